"""Runs named by how their name begins."""

from __future__ import annotations

import json
import shutil

import pytest

import sacred
from sacred.journal import RunNotFoundError
from sacred.replayers.run_names import AmbiguousNameError, run_by_name

_NAMES = ("lstm small", "train", "train_big", "train_big", "last", "12", "Tree")


@pytest.fixture
def named(root):
    """A root of runs 1 to 7."""
    for name in _NAMES:
        root.completed(name=name)
    return root


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("ls", 1),  # how it begins
        ("lstm s", 1),  # with a space
        ("train", 2),  # a whole name comes before longer ones
        ("train_big~0", 4),
        ("train_~1", 3),
        ("train~0", 2),
        ("LSTM", 1),  # the case counts only where it decides
        ("tree", 7),
        ("last", 7),  # what looks like another way to name a run is that
        ("last~2", 5),
        ("las", 5),
        ("last~0", 7),
        ("12~0", 6),
        ("id:3", 3),
        ("3", 3),
    ],
)
def test_the_run_of_a_name(named, run_sacred, text, run):
    """One run; a number, last and id:X are what they were."""
    done = run_sacred("show", text, "--json")
    assert (0, run) == (done.code, json.loads(done.out)["run"])
    told = f"sacred: {text} is run {run}: {_NAMES[run - 1]}, 2023-11-1" in done.err
    assert told == (text not in {"last", "last~2", "last~0", "id:3", "3"})


def test_several_fit(named, run_sacred):
    """They are listed, the last ten, with how one is named."""
    for _ in range(11):
        named.completed(name="tra\x1b[1mx")
    done = run_sacred("rm", "--yes", "tra")
    first, *lines = done.err.splitlines()
    assert (2, "") == (done.code, done.out)
    assert "'tra' fits 14 runs in" in first
    assert "'tra~0' is the last of them" in first
    assert "  (4 before these)" == lines[0]
    assert 11 == len(lines)
    assert lines[-1].startswith("  run 18: tra\\x1b[1mx, 2023-11-1")
    assert lines[-1].endswith(", COMPLETED")
    assert 18 == len(named.journals.numbers())
    with pytest.raises(AmbiguousNameError) as raised:
        run_by_name(named.journals, "train_")
    assert ([3, 4], 0) == ([found.run for found in raised.value.candidates], raised.value.more)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("trian", "'trian' names no run: did you mean 'train'? Else write its number"),
        ("trian~0", "'trian' names no run: did you mean 'train'?"),
        ("train_~2", "there is no run 'train_~2' in {root}: 'train_' fits 2 runs, and 'train_~0'"),
        ("nothing", "'nothing' names no run: write its number, last, last~2, id:X or the path"),
        ("", "'' names no run"),
        ("12", "there is no run 12 in"),
    ],
)
def test_nothing_fits(named, run_sacred, text, sentence):
    """A sentence with the nearest name, exit code 2."""
    done = run_sacred("show", text)
    assert (2, "") == (done.code, done.out)
    assert sentence.format(root=named.path) in done.err


def test_what_changes_runs(named, run_sacred):
    """Commands that change a run take a name, and say which run it was."""
    done = run_sacred("rm", "--yes", "lstm")
    assert "run 1: in the trash\n" == done.out
    assert "sacred: lstm is run 1: lstm small, " in done.err
    assert [2, 3, 4, 5, 6, 7] == named.journals.numbers()
    tagged = run_sacred("tag", "Tree", "train", "good")
    assert 0 == tagged.code, "a later word is a tag, whatever runs are called"
    assert "train, good" in tagged.out
    for command in ("seal", "verify", "repair"):
        assert "Tree is run 7" in run_sacred(command, "Tree").err


def test_damaged_and_foreign_runs(named, run_sacred):
    """They fit no name, and hinder nobody."""
    named.file(named.journals.runs()[2]).write_bytes(b"no journal" * 100)
    shutil.rmtree(named.journals.runs()[0].journal)
    done = run_sacred("show", "train_", "--json")
    assert 4 == json.loads(done.out)["run"]
    assert "'lstm' names no run" in run_sacred("show", "lstm").err


def test_what_is_kept_is_not_believed_for_longer(named):
    """A name that another run took in the meantime is that one's, too."""
    assert 1 == run_by_name(named.journals, "lstm").number
    named.completed(name="lstm large")
    with pytest.raises(AmbiguousNameError):
        run_by_name(named.journals, "lstm")
    shutil.rmtree(named.journals.path / "1")
    assert 8 == run_by_name(named.journals, "lstm").number


def test_in_python(named):
    """``get`` takes names, too."""
    assert 1 == sacred.runs(named.path).get("lstm").number
    with pytest.raises(RunNotFoundError, match="did you mean 'train'"):
        sacred.runs(named.path).get("trian")
