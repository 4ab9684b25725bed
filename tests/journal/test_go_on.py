"""Going on with a journal: the next file of its first writer, given to one process only."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal import (
    EventType,
    InvalidEventError,
    JournalBusyError,
    JournalReader,
    JournalUnavailableError,
    JournalWriter,
    NotAJournalError,
    RunFolder,
    locked_journal,
    repair_run,
    seal_run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.position import WriterPosition


def _died(folder: Path) -> WriterPosition:
    """Have a process write a journal and end without a word; return where that ends."""
    program = textwrap.dedent(
        """
        import os, sys
        from sacred.journal import EventType, JournalWriter
        writer = JournalWriter.create(sys.argv[1], journal_id=77)
        for number in range(3):
            writer.append(EventType.MESSAGE, level="info", text=str(number))
        writer.flush()
        os._exit(9)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], timeout=60, check=False)
    assert 9 == done.returncode
    return _end(folder)


def _end(folder: Path) -> WriterPosition:
    reader = JournalReader(folder)
    list(reader.read())
    reader.close()
    return reader.position[0]


def _texts(folder: Path) -> list[tuple[int, str]]:
    reader = JournalReader(folder)
    events = [e for e in reader.read() if e.type == EventType.MESSAGE]
    assert [] == reader.verdicts
    return [(event.seq, event.fields["text"]) for event in events]


@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_the_sequence_goes_on(tmp_path: Path, durability: str) -> None:
    """Numbers and chain go on in the next file, which names the process that opened it."""
    folder = tmp_path / "1" / "journal"
    at = _died(folder)
    writer = JournalWriter.go_on(folder, at, journal_id=77, durability=durability)
    writer.append(EventType.MESSAGE, level="info", text="3")
    writer.close()
    assert [(0, "0"), (1, "1"), (2, "2"), (3, "3")] == _texts(folder)
    reader = JournalReader(folder)
    list(reader.read())
    began = reader.identities[0, 2]
    assert ("resume", os.getpid()) == (began["opened_by"], began["pid"])


def test_one_of_two_is_given_the_file(tmp_path: Path) -> None:
    """Of two that stand at the same place the second is told, and writes nothing."""
    folder = tmp_path / "1" / "journal"
    at = _died(folder)
    first = JournalWriter.go_on(folder, at, journal_id=77)
    with pytest.raises(JournalBusyError, match="another process goes on with .*1 already"):
        JournalWriter.go_on(folder, at, journal_id=77)
    first.append(EventType.MESSAGE, level="info", text="3")
    first.close()
    assert ["w0000-e0001.jzst", "w0000-e0002.jzst"] == sorted(os.listdir(folder))
    assert (3, "3") == _texts(folder)[-1]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """A folder that can not be written is said as at a start."""
    folder = tmp_path / "1" / "journal"
    at = _died(folder)
    folder.rename(tmp_path / "away")
    with pytest.raises(JournalUnavailableError, match="can not be written"):
        JournalWriter.go_on(folder, at, journal_id=77)


def test_what_is_sealed_meanwhile_has_its_turn(tmp_path: Path) -> None:
    """While one process holds the lock, no other seals, repairs or goes on."""
    run = RunFolder(tmp_path / "1", 1)
    _died(run.journal)
    for work in (lambda: seal_run(run), lambda: repair_run(run)):
        with locked_journal(run.journal), pytest.MonkeyPatch.context() as patch:
            patch.setattr("sacred.journal.seal.locked_journal", _impatient)
            patch.setattr("sacred.journal.repair.locked_journal", _impatient)
            with pytest.raises(JournalBusyError, match="sealed, repaired or gone on with"):
                work()
    (outcome,) = seal_run(run)
    assert "sealed" == outcome.state


def _impatient(folder: Path, **more: Any):
    return locked_journal(folder, patience=0.05, **more)


def test_who_waits_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as another process is found to hold it, and not again; nobody waits in silence."""
    told: list[int] = []
    pauses: list[float] = []
    holds = locked_journal(tmp_path, on_wait=lambda: told.append(-1))
    holds.__enter__()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            holds.__exit__(None, None, None)

    monkeypatch.setattr("sacred.journal.folder_lock.time.sleep", pause)
    with locked_journal(str(tmp_path), on_wait=lambda: told.append(len(pauses))):
        pass
    assert ([0], 3) == (told, len(pauses))


def test_a_journal_of_its_own(tmp_path: Path) -> None:
    """A folder of any name in no root, by the docstring alone; what is in the way is named."""
    folder = tmp_path / "temperatures"
    _died(folder)

    def goes_on() -> JournalWriter:
        with locked_journal(folder):
            reader = JournalReader(folder)
            for _ in reader.poll():
                pass
            at = reader.position[0]
            return JournalWriter.go_on(folder, at, journal_id=reader.journal_id)

    writer = goes_on()
    writer.append(EventType.MESSAGE, level="info", text="3")
    writer.close()
    assert [(0, "0"), (1, "1"), (2, "2"), (3, "3")] == _texts(folder)
    (folder / "w0000-e0003.jzst").touch()  # what a kill leaves
    with pytest.raises(
        JournalBusyError, match="with .*/temperatures already: w0000-e0003.jzst is th"
    ):
        goes_on()
    match = (
        f"{folder} holds the files of a journal and is no run: move them into .*temperatures/jour"
    )
    with pytest.raises(NotAJournalError, match=match):
        RunFolder.at(folder)


def test_the_lock_is_passed_on(tmp_path: Path) -> None:
    """Who waits has it as soon as it is free; a folder that is not there has none."""
    with locked_journal(tmp_path):
        pass
    with locked_journal(tmp_path, patience=0.0):
        pass
    with locked_journal(tmp_path / "nowhere"):
        pass


def test_behind_a_sealed_file(tmp_path: Path) -> None:
    """The file of a writer that died may be sealed before somebody goes on."""
    run = RunFolder(tmp_path / "1", 1)
    _died(run.journal)
    seal_run(run)
    writer = JournalWriter.go_on(run.journal, _end(run.journal), journal_id=77)
    writer.append(EventType.MESSAGE, level="info", text="3")
    writer.close()
    seal_run(run, closed={0: 1})
    assert [(0, "0"), (1, "1"), (2, "2"), (3, "3")] == _texts(run.journal)


def test_a_late_sealer_leaves_the_file_of_who_goes_on(tmp_path: Path) -> None:
    """R4: what an ended process says it closed is one file; the next belongs to another process."""
    run = RunFolder(tmp_path / "1")
    at = _died(run.journal)
    writer = JournalWriter.go_on(run.journal, at, journal_id=77, durability="process")
    writer.append(EventType.MESSAGE, level="info", text="more")
    outcomes = seal_run(run, closed={0: 1})
    assert ["sealed", "growing"] == [outcome.state for outcome in outcomes]
    writer.append(EventType.MESSAGE, level="info", text="still more")
    assert (None, []) == (writer.fault, writer.losses)
    assert ["0", "1", "2", "more", "still more"] == [text for _, text in _texts(run.journal)]
    writer.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A worker that begins while a thread seals has the folder's descriptor, too."""
    folder = tmp_path / "1" / "journal"
    _died(folder)
    reading, writing = os.pipe()
    with locked_journal(folder):
        child = os.fork()
        if not child:
            os.read(reading, 1)
            os._exit(0)
    try:
        with locked_journal(folder, patience=0.0):
            pass
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("journal_id", [0, -3, 1 << 63, "abc", None, True])
def test_an_id_that_is_none(tmp_path: Path, journal_id: Any) -> None:
    """Whoever goes on, or joins, names the journal: a file of another one would be nobody's."""
    at = _died(tmp_path / "1" / "journal")
    with pytest.raises(InvalidEventError, match="journal_id is 1 to"):
        JournalWriter.go_on(tmp_path / "1" / "journal", at, journal_id=journal_id)
    with pytest.raises(InvalidEventError, match="journal_id is 1 to"):
        JournalWriter.join(tmp_path / "1" / "journal", journal_id=journal_id)


def test_a_worker_says_what_it_is_when_its_first_file_had_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses the claim once: the number is claimed later, and its kind is told."""
    folder = tmp_path / "1" / "journal"
    _died(folder)
    worker = JournalWriter.join(folder, journal_id=77, kind="rank", label="3")
    opened, failures = os.open, [OSError(28, "no room")]

    def failing(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_EXCL and failures:
            raise failures.pop()
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", failing)
    worker.append(EventType.MESSAGE, level="info", text="hello")
    worker.close()
    assert [] == failures
    found = [e for e in JournalReader(folder).read() if e.writer == 1]
    assert {"kind": "rank", "label": "3"} in [e.fields for e in found if e.name == "child_began"]
    assert ["hello"] == [e.fields["text"] for e in found if e.type == EventType.MESSAGE]
