"""Joining roots: runs of another root, by the ids of their journals."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from died_runs import died_run

from sacred.journal import (
    BlobStore,
    EventType,
    JournalReader,
    JournalRoot,
    JournalWriter,
    RootOrigin,
    merge,
    repair_run,
    run_files,
    seal_run,
    verify,
)


@pytest.fixture
def there(tmp_path):
    """The other root."""
    return JournalRoot(tmp_path / "there")


@pytest.fixture
def here(tmp_path):
    """The root into which is merged; not there yet."""
    return JournalRoot(tmp_path / "here")


def joined(there, here, **options):
    """Merge one root into another."""
    return merge(RootOrigin(there), here, **options)


def states(done):
    """What became of each run."""
    return [run.state for run in done]


def files(folder):
    """Return the content of every file below a folder, by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def events(folder):
    """Return every event of a run that has a number."""
    return [
        (e.writer, e.seq, e.time, e.type, repr(e.fields))
        for e in JournalReader(folder.journal).read("time")
        if e.seq >= 0
    ]


def test_runs_come_with_their_files(there, here):
    """Runs and stored files of another root are here, byte for byte, and verify is content."""
    for _ in range(3):
        died_run(there)
    done = joined(there, here)
    assert states(done) == ["new"] * 3
    assert [run.number for run in done] == [1, 2, 3]
    for ours, theirs in zip(here.runs(), there.runs(), strict=True):
        assert files(ours.path) == files(theirs.path)
        assert verify(ours, blobs=BlobStore(here.blobs)).clean
    assert files(here.blobs) == files(there.blobs)


def test_a_repeat_changes_nothing(there, here):
    """A second merge finds all runs by the ids of their journals."""
    died_run(there)
    joined(there, here)
    before = files(here.path)
    done = joined(there, here)
    assert states(done) == ["already"]
    after = files(here.path)
    assert {n: c for n, c in after.items() if n != ".import.lock"} == {
        n: c for n, c in before.items() if n != ".import.lock"
    }


def test_numbers_that_clash_get_new_ones(there, here):
    """A run whose number another one has gets the next; the other one's folder stays."""
    died_run(there)
    own = died_run(here)
    before = files(own.path)
    (run,) = joined(there, here)
    assert (run.state, run.there, run.number) == ("new", 1, 2)
    assert files(own.path) == before
    assert files(here.run(2).path) == files(there.run(1).path)


def test_the_longer_copy_wins(there, here):
    """A run that came while it went on gets the rest; the one that is longer here stays."""
    folder = died_run(there)
    shutil.copytree(there.path, here.path)
    whole = events(folder)
    file = here.run(1).journal / "w0000-e0001.jzst"
    cut = _bound_before(file, file.stat().st_size // 2)
    file.write_bytes(file.read_bytes()[:cut])
    shorter = events(here.run(1))
    assert len(shorter) < len(whole)
    assert states(joined(here, there)) == ["already"]
    assert events(folder) == whole
    (run,) = joined(there, here)
    assert (run.state, run.number) == ("longer", 1)
    assert events(here.run(1)) == whole
    assert states(joined(there, here)) == ["already"]


def test_a_sealed_copy_is_the_same_run(there, here):
    """Sealing moves no event: neither copy is longer, both stay as they are."""
    folder = died_run(there)
    shutil.copytree(there.path, here.path)
    seal_run(folder)
    before = files(here.run(1).path)
    assert states(joined(there, here)) == ["already"]
    assert states(joined(here, there)) == ["already"]
    assert files(here.run(1).path) == before


def test_a_longer_copy_that_is_sealed_wins(there, here):
    """The chain of a live copy is proved by the index of the sealed one."""
    folder = died_run(there)
    shutil.copytree(there.path, here.path)
    seal_run(folder)
    file = here.run(1).journal / "w0000-e0001.jzst"
    file.write_bytes(file.read_bytes()[: _bound_before(file, file.stat().st_size // 2)])
    assert states(joined(there, here)) == ["longer"]
    assert files(here.run(1).journal) == files(folder.journal)


def test_copies_that_went_apart_are_refused(there, here):
    """Where each copy has events that the other lacks, nothing is touched, and a sentence says so."""
    for root, value in ((there, 1.0), (here, 2.0)):
        writer = JournalWriter.create(root.claim().journal, journal_id=4711)
        writer.append(EventType.MESSAGE, time_ns=10**18, level="info", text=f"with {value}")
        writer.close()
    before = files(here.run(1).path)
    (run,) = joined(there, here)
    assert run.state == "refused"
    assert run.exit_code == 1
    assert "each has events that the other lacks" in run.reason
    assert files(here.run(1).path) == before


def test_a_run_that_is_written_here_is_left_alone(there, here):
    """A run whose process has it open is not replaced, though the other copy is longer."""
    writer = JournalWriter.create(here.claim().journal)
    writer.append(EventType.MESSAGE, level="info", text="one")
    writer.flush()
    here.create()
    there.create()
    writer.append(EventType.MESSAGE, level="info", text="two")
    writer.flush()
    shutil.copytree(here.run(1).path, there.path / "1")
    file = here.run(1).journal / "w0000-e0001.jzst"
    content = file.read_bytes()
    os.truncate(file, _bound_before(file, len(content) - 1))
    (run,) = joined(there, here)
    assert (run.state, "still written" in (run.reason or "")) == ("refused", True)
    writer.close()


def test_a_damaged_run_is_mended_by_a_whole_copy(there, here):
    """A backup that is whole takes the place of damage, and the damaged bytes stay beside it."""
    folder = died_run(there)
    shutil.copytree(there.path, here.path)
    file = here.run(1).journal / "w0000-e0001.jzst"
    broken = bytearray(file.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    file.write_bytes(broken)
    assert not verify(here.run(1)).clean
    (run,) = joined(there, here)
    assert run.state == "mended"
    assert verify(here.run(1)).clean
    assert events(here.run(1)) == events(folder)
    assert file.with_name(f"{file.name}.damaged-1").read_bytes() == broken


@pytest.mark.parametrize("repaired", [False, True])
def test_a_damaged_copy_takes_no_whole_runs_place(there, here, repaired):
    """A copy that lost events, mended or not, is no longer one, though it ends later."""
    folder = died_run(there)
    shutil.copytree(there.path, here.path)
    file = folder.journal / "w0000-e0001.jzst"
    broken = bytearray(file.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    file.write_bytes(broken)
    if repaired:
        repair_run(folder, force=True)
    before = files(here.run(1).path)
    assert states(joined(there, here)) == ["already"]
    assert files(here.run(1).path) == before
    ours = here.run(1).journal / "w0000-e0001.jzst"
    ours.write_bytes(ours.read_bytes()[: _bound_before(ours, ours.stat().st_size - 1)])
    assert states(joined(there, here)) == ["refused"]


def test_stored_files_come_back(there, here):
    """What a run here lost of its stored files comes from the other root; what both lost is told."""
    died_run(there)
    joined(there, here)
    shutil.rmtree(here.blobs)
    (run,) = joined(there, here)
    assert (run.state, run.blobs, run.damaged) == ("already", 1, False)
    assert files(here.blobs) == files(there.blobs)
    for root in (there, here):
        shutil.rmtree(root.blobs)
    (run,) = joined(there, here)
    assert run.damaged
    assert "does not come" in run.notes[0]


def test_a_damaged_stored_file_is_not_taken(there, here):
    """What is not what its digest says is left out, and told."""
    died_run(there)
    (blob,) = (path for path in there.blobs.rglob("*") if path.is_file())
    blob.write_bytes(b"noise")
    (run,) = joined(there, here)
    assert run.damaged
    assert not files(here.blobs)


def test_a_dry_run_changes_nothing(there, here):
    """What would be done is told as what is done, and the root is not even made."""
    died_run(there)
    told = joined(there, here, dry_run=True)
    assert not here.path.exists()
    done = joined(there, here)
    assert states(told) == states(done) == ["new"]
    assert told[0].events == done[0].events


def test_runs_that_are_none(there, here):
    """An empty folder is passed over; what can not be read is told, and the others come."""
    there.claim()
    damaged = there.claim()
    (damaged.journal / "w0000-e0001.jzst").write_bytes(b"noise" * 100)
    died_run(there)
    done = joined(there, here)
    assert states(done) == ["empty", "failed", "new"]
    assert [run.exit_code for run in done] == [0, 2, 0]


def _bound_before(file, size):
    """Return where the last frame ends that lies before a size."""
    from sacred.journal.epoch_file import EpochFile

    walk, bound = EpochFile(Path(file), 0, 1), 0
    while True:
        frame = walk.next_frame()
        if frame.end > size:
            walk.close()
            return bound
        bound = frame.end


# -- killed at any moment --------------------------------------------------------------------------

_CALLS = ("replace", "rename", "fsync", "mkdir", "link")


def test_killed_at_any_call(there, here, tmp_path):
    """A merge that ends at any call to the disk leaves whole runs, and the next one does the rest."""
    died_run(there, 60)
    died_run(there, 300)
    joined(there, here)
    second = here.run(2).journal / "w0000-e0001.jzst"
    second.write_bytes(second.read_bytes()[: _bound_before(second, second.stat().st_size // 2)])
    (second.parent / "w0001-e0001.jzst").unlink()  # it came behind what is left of the first
    died_run(there, 60)
    begin, truth = tmp_path / "begin", {n: events(there.run(n)) for n in (1, 2, 3)}
    shutil.copytree(here.path, begin)
    short = events(JournalRoot(begin).run(2))
    killed = 0
    while True:
        shutil.rmtree(here.path)
        shutil.copytree(begin, here.path)
        if _killed_at(there, here, killed) == 0:
            break
        killed += 1
        for folder in here.runs():
            found = events(folder)
            assert found in (truth[folder.number], short) or _lies_between(
                short, found, truth[folder.number]
            )
            assert verify(folder, blobs=BlobStore(here.blobs)).verdict in {"clean", "tail"}
        joined(there, here)
        assert {folder.number: events(folder) for folder in here.runs()} == truth
        assert not [name for name in os.listdir(here.path) if name.startswith(".import-")]
    assert killed > 20
    assert {folder.number: events(folder) for folder in here.runs()} == truth


def _lies_between(short, found, whole):
    return {e[:2] for e in short} <= {e[:2] for e in found} <= {e[:2] for e in whole}


def _killed_at(there, here, number):
    """Merge in a child that ends without a word before its n-th call; return its exit code."""
    pid = os.fork()
    if pid == 0:
        left = number

        def counting(call):
            def counted(*args, **options):
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return call(*args, **options)

            return counted

        for name in _CALLS:
            setattr(os, name, counting(getattr(os, name)))
        try:
            joined(there, here)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_full_disk_ends_the_merge(there, here, monkeypatch):
    """Where this root can not be written, the merge ends with its sentence and leaves nothing."""
    from sacred.journal import JournalUnavailableError

    died_run(there)
    here.create()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_files, "_copy_file", full)
    with pytest.raises(JournalUnavailableError, match="No space left"):
        joined(there, here)
    assert here.runs() == []
    assert not [name for name in os.listdir(here.path) if name.startswith(".import-")]
