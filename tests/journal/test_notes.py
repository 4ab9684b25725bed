"""What people say of a run: a journal beside the run's, by any number of processes, killed whenever."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

from sacred.journal import EventType, JournalRoot, JournalWriter
from sacred.journal import notes as module
from sacred.journal.errors import JournalUnavailableError, RunNotFoundError
from sacred.journal.notes import Said, annotate, bring_notes, notes_size, read_notes

ROOT_USER = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def folder(tmp_path):
    """A run that ended."""
    folder = JournalRoot(tmp_path / "sacred_runs").claim()
    writer = JournalWriter.create(folder.journal)
    about = {"run_id": 1, "name": "x", "command": "main", "config": {}, "meta": {}}
    writer.append(EventType.RUN_STARTED, **about, experiment={}, host={})
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    return folder


def tag(name, action="add"):
    return Said("tag", action, name)


def texts(folder):
    return [event.fields["value"] for event in read_notes(folder).events]


def test_nothing_of_the_run_changes(folder):
    """Its files are byte for byte what they were; each call makes a file of its own."""
    before = {path.name: path.read_bytes() for path in folder.journal.iterdir()}
    annotate(folder, [tag("a"), tag("b")], author="me")
    annotate(folder, [Said("note", "set", "text\nof two lines")])
    annotate(folder, [])
    assert before == {path.name: path.read_bytes() for path in folder.journal.iterdir()}
    names = sorted(path.name for path in (folder.path / "notes").iterdir())
    assert ["w0000-e0001.jzst", "w0001-e0001.jzst"] == names
    found = read_notes(folder)
    assert (["a", "b", "text\nof two lines"], None) == (texts(folder), found.problem)
    assert ["me", "me", None] == [event.fields.get("author") for event in found.events]
    assert 2 == notes_size(folder.path)[0]


def test_later_than_all_that_was_said(folder):
    """Who says something has the last word over what he could read, whatever his clock says."""
    annotate(folder, [tag("future")], at=4_000_000_000 * 10**9)
    annotate(folder, [tag("future", "remove"), tag("b")], at=5)
    assert ["future", "future", "b"] == texts(folder)
    times = [event.time for event in read_notes(folder).events]
    assert sorted(set(times)) == times


def _say(path, number):
    annotate(JournalRoot(path).run(1), [tag(f"{number}-{n}") for n in range(3)])


def test_many_at_once(folder):
    """Twelve processes say something of a run that nobody had said anything of: all of it is there."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_say, args=(folder.root.path, n)) for n in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [0] * 12 == [process.exitcode for process in processes]
    wanted = {f"{number}-{n}" for number in range(12) for n in range(3)}
    assert (wanted, 36, None) == (
        set(texts(folder)),
        len(texts(folder)),
        read_notes(folder).problem,
    )


_KILLED = """
import os, sys
from sacred.journal.root import JournalRoot
from sacred.journal.notes import Said, annotate
left = int(sys.argv[2])
write = os.write
def counting(descriptor, data):
    global left
    if bytes(data[:4]) == bytes.fromhex("28b52ffd"):
        left -= 1
        if left < 0:
            write(descriptor, data[: len(data) // 2])
            os._exit(9)
    return write(descriptor, data)
os.write = counting
annotate(JournalRoot(sys.argv[1]).run(1), [Said("tag", "add", "x"), Said("tag", "add", "y")])
"""


@pytest.mark.parametrize("frames", range(5))
@pytest.mark.parametrize("others", [0, 1])
def test_killed_in_the_middle_of_a_frame(folder, frames, others, monkeypatch):
    """A first part of what it said is there, and others say what they have to say behind it."""
    monkeypatch.setattr(module, "_BEGINNING", 0.0)
    for _ in range(others):
        annotate(folder, [tag("before")])
    command = [sys.executable, "-c", _KILLED, str(folder.root.path), str(frames)]
    done = subprocess.run(command, timeout=60, check=False)
    assert done.returncode in {0, 9}
    said = texts(folder)
    assert said in [["before"][:others] + ["x", "y"][:n] for n in range(3)]
    annotate(folder, [tag("after")])
    assert ([*said, "after"], None) == (texts(folder), read_notes(folder).problem)


def test_damage_takes_nothing_else(folder):
    """What is damaged is told of, and the rest is read and goes on."""
    annotate(folder, [tag("a")])
    annotate(folder, [tag("b")])
    file = folder.path / "notes" / "w0001-e0001.jzst"
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    annotate(folder, [tag("c")])
    found = read_notes(folder)
    assert ["a", "c"] == texts(folder)
    assert "its tags and notes are not whole" in found.problem


def test_a_run_that_is_gone(folder):
    """One that was removed does not come back as a folder of notes."""
    os.rename(folder.path, folder.path.with_name("elsewhere"))
    with pytest.raises(RunNotFoundError, match="the run was removed"):
        annotate(folder, [tag("a")])
    assert not folder.path.exists()
    assert read_notes(folder) == ((), None)


def test_a_copy_is_its_originals(folder):
    """What is said of a copy would be lost when the original's notes come."""
    (folder.path / "copy.json").write_text("{}")
    with pytest.raises(JournalUnavailableError, match="is a copy of a run"):
        annotate(folder, [tag("a")])


@pytest.mark.skipif(ROOT_USER, reason="root may write everywhere")
def test_no_right_to_write(folder):
    """A sentence with the place and the system's reason."""
    folder.path.chmod(0o555)
    try:
        with pytest.raises(JournalUnavailableError, match="nothing was written down.*denied"):
            annotate(folder, [tag("a")])
    finally:
        folder.path.chmod(0o755)


def test_a_file_in_the_place_of_the_folder(folder):
    """Somebody else's file stays, and is named."""
    (folder.path / "notes").write_text("mine")
    with pytest.raises(JournalUnavailableError, match="nothing was written down"):
        annotate(folder, [tag("a")])
    assert read_notes(folder) == ((), None)
    assert "mine" == (folder.path / "notes").read_text()


def test_a_full_disk(folder, monkeypatch):
    """What can not be written is an error, and nothing of it appears later."""
    annotate(folder, [tag("a")])

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalUnavailableError, match="No space left"):
        annotate(folder, [tag("b")])
    monkeypatch.undo()
    assert ["a"] == texts(folder)


def test_two_copies_become_one(folder, tmp_path):
    """What was said of either is said of the one that stays, once, in the order of time."""
    other = JournalRoot(tmp_path / "other").claim()
    (other.journal / "w0000-e0001.jzst").write_bytes(
        (folder.journal / "w0000-e0001.jzst").read_bytes()
    )
    annotate(folder, [tag("both")], at=10)
    assert 1 == bring_notes(folder, other)
    annotate(folder, [tag("here")], at=30)
    annotate(other, [tag("there")], at=20)
    assert (1, 0) == (bring_notes(other, folder), bring_notes(other, folder))
    assert ["both", "there", "here"] == texts(folder)
    assert 1 == bring_notes(folder, other)
    assert texts(folder) == texts(other)


def test_a_merge_brings_what_was_said_there(folder, tmp_path):
    """Also of a run that this root has already, whoever wrote its notes here; and once."""
    from sacred.journal.merging import RootOrigin, merge

    other = JournalRoot(tmp_path / "other")
    annotate(folder, [tag("first")])
    assert ["new"] == [run.state for run in merge(RootOrigin(folder.root), other)]
    copy = other.run(1)
    assert ["first"] == texts(copy)
    annotate(folder, [tag("a"), tag("b")])
    annotate(copy, [tag("c")])
    for _ in range(2):
        assert ["already"] == [run.state for run in merge(RootOrigin(folder.root), other)]
        assert ({"first", "a", "b", "c"}, None) == (set(texts(copy)), read_notes(copy).problem)
        assert 4 == len(texts(copy))


def test_a_merge_into_notes_of_ones_own(folder, tmp_path):
    """Two journals of notes that began apart: neither's files are taken for the other's."""
    from sacred.journal.merging import RootOrigin, merge

    other = JournalRoot(tmp_path / "other")
    merge(RootOrigin(folder.root), other)
    copy = other.run(1)
    annotate(copy, [tag("here")])
    for number in range(3):
        annotate(folder, [tag(f"there {number}")])
    merge(RootOrigin(folder.root), other)
    assert ({"here", "there 0", "there 1", "there 2"}, None) == (
        set(texts(copy)),
        read_notes(copy).problem,
    )


def test_a_bundle_brings_what_was_said_there(folder, tmp_path):
    """Of a run that the root has not, and of one that it has."""
    from sacred.journal.bundle_import import import_bundle
    from sacred.journal.bundle_writer import write_bundle

    other = JournalRoot(tmp_path / "other")
    for number in range(2):
        annotate(folder, [tag(f"t{number}")])
        path = tmp_path / f"{number}.tar"
        write_bundle(folder, path)
        import_bundle(path, other)
    assert ["t0", "t1"] == texts(other.run(1))


def test_what_looks_a_run_over_sees_damage(folder):
    """``verify`` names it and what to do; ``gc`` removes no stored file and proposes no repair."""
    from sacred.journal.garbage import collect
    from sacred.replayers.verification import check

    annotate(folder, [tag("a")])
    assert ("clean", 1) == ((found := check(folder)).verdict, found.facts["notes"])
    assert [] == collect(folder.root).obstacles
    file = folder.path / "notes" / "w0000-e0001.jzst"
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    found = check(folder)
    assert ("notes", 1) == (found.verdict, found.exit_code)
    assert "from a backup" in found.remedies[0]
    (obstacle,) = collect(folder.root).obstacles
    assert ("1/notes", True, False) == (obstacle.where, obstacle.damaged, obstacle.reparable)
