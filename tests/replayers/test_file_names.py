"""Names in the file tree: whatever a user calls things, they stay below their folder."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.replayers.tree.names import OWN_FILES, artifact_file, first_names, folder_name

_NAMES = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(["..", ".", "a", "", "run.json", "\\", "\ud800", "\0"])).map("/".join),
)


@given(_NAMES, st.booleans())
def test_an_artifact_is_stored_in_the_folder(name, aside):
    """FSO-06: a relative path without `..`, which the system takes, and none of the tree's own."""
    stored = artifact_file(name, aside=aside)
    parts = os.fsdecode(os.fsencode(stored)).split("/")
    assert os.path.normpath(os.path.join("/base", stored)) == "/base/" + stored
    assert all(0 < len(os.fsencode(part)) <= 255 for part in parts)
    assert parts[0] not in OWN_FILES
    assert stored == artifact_file(name, aside=aside)


@given(st.text(max_size=300))
def test_an_ids_folder_lies_in_the_base(text):
    """A folder's name is the id itself, or there is none."""
    name = folder_name(text)
    assert name in {None, text}
    if name is not None:
        assert os.path.dirname(os.path.normpath(os.path.join("/base", name))) == "/base"
        assert name[0] != "."


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a file.txt", "a file.txt"),
        ("folder/x", "folder/x"),
        ("folder/run.json", "folder/run.json"),
        ("run.json", "run-8c0309bf.json"),
        ("../../evil", "evil-982a773a"),
        ("a\\b.txt", "b-2201b6ba.txt"),
        ("..", "artifact-58b9e70b"),
        ("a/" * 99 + "b", "a/" * 99 + "b"),
        ("a/" * 100 + "b", "b-1d7ae0b2"),
        ("/".join(["a" * 200] * 10), "a" * 200 + "-e03941ea"),
    ],
)
def test_names_of_artifacts(name, stored):
    """What can be kept is; else the last part and a part of a checksum."""
    assert artifact_file(name) == stored


def test_names_that_stand_for_something_else(tmp_path):
    """A run can not be called like the folder that leads to the sources."""
    base = str(tmp_path)
    taken = first_names(base, [f"{base}/here/sources", "/elsewhere/out", f"{base}/_resources"])
    assert taken == {"here", "_resources"}
    assert folder_name("here", taken) is None
    assert folder_name("out", taken) == "out"


def test_an_id_may_begin_with_an_underscore():
    """As with Sacred; the folders of the sources and resources are the only ones called so."""
    assert folder_name("_trial") == "_trial"


@pytest.mark.parametrize(
    "run_id",
    [None, True, 0, -1, 1 << 70, 1.0, "", "a/b", " a", "a\x7f", ".a", "_sources", "_resources"],
)
def test_ids_without_a_folder(run_id):
    """Not everything is a name."""
    assert folder_name(run_id) is None
