"""What a child leaves behind of events that no file took, and who finds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sacred.journal import loss_note
from sacred.journal.events import Event, EventType
from sacred.journal.loss_note import LossNote, forget_losses, note_losses, take_loss_notes
from sacred.journal.reader import JournalReader
from sacred.journal.writer import JournalWriter, Loss, new_journal_id

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="notes are left by forked children")
FULL = "No space left on device"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two places of the test's own."""
    found = [tmp_path / "memory" / "notes", tmp_path / "temporary" / "notes"]
    for place in found:
        place.parent.mkdir()
    monkeypatch.setattr(loss_note, "_places", lambda: [str(place) for place in found])
    return found


def in_child(work: Callable[[], None], *, killed: bool = False) -> int:
    """Do something in a forked child, which ends without a word; return its pid."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            if killed:
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert status == (signal.SIGKILL if killed else 0)
    return pid


def events_of(folder: Path) -> list[Event]:
    """Return all events of a journal."""
    return list(JournalReader(folder).read())


def test_a_note_is_found_when_its_process_has_ended(places: list[Path]) -> None:
    """The last number counts, the note is taken once, and nothing stays behind."""
    journal = new_journal_id()

    def work() -> None:
        note_losses(journal, 1, FULL)
        note_losses(journal, 12, FULL, told=True)

    pid = in_child(work)
    assert [] == take_loss_notes(new_journal_id())
    assert [LossNote(pid, 12, FULL, True)] == take_loss_notes(journal)
    assert [] == take_loss_notes(journal)
    assert not places[0].exists()


def test_a_living_process_keeps_its_note(places: list[Path]) -> None:
    """It may write yet what it counted, and takes its note away then."""
    journal = new_journal_id()
    assert note_losses(journal, 3, FULL)
    assert [] == take_loss_notes(journal)
    assert 1 == len(os.listdir(places[0]))
    forget_losses(journal)
    assert not places[0].exists()


def test_a_later_process_of_the_same_number(
    places: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pid that was given away again hides no note."""
    journal = new_journal_id()
    note_losses(journal, 3, FULL)
    monkeypatch.setattr(loss_note, "process_start", lambda _pid: 1.5)
    assert [3] == [note.lost for note in take_loss_notes(journal)]


def test_a_process_without_a_descriptor_leaves_a_note(places: list[Path]) -> None:
    """Where a child can open nothing more, it can still say what it lost."""
    import resource

    journal = new_journal_id()

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        note_losses(journal, 5, "Too many open files")

    in_child(work)
    assert [5] == [note.lost for note in take_loss_notes(journal)]


def test_the_second_place_is_taken_where_the_first_is_not_ours(places: list[Path]) -> None:
    """What stands in the way in a folder that is everybody's is left alone; else nothing is noted."""
    places[0].symlink_to(places[0].parent)
    journal = new_journal_id()
    in_child(lambda: note_losses(journal, 2, FULL) and None)
    assert [2] == [note.lost for note in take_loss_notes(journal)]
    places[1].mkdir(mode=0o777)
    places[1].chmod(0o777)
    assert not note_losses(journal, 2, FULL)
    assert [] == take_loss_notes(journal)
    assert [] == os.listdir(places[1])


def test_what_is_no_note_is_passed_over(places: list[Path]) -> None:
    """Whoever put something there: it takes nobody's losses away and stops no run."""
    journal = new_journal_id()
    in_child(lambda: note_losses(journal, 2, FULL) and None)
    (places[0] / f"{journal:016x}-file").write_text("3")
    (places[0] / f"{journal:016x}-99").symlink_to("what")
    assert [2] == [note.lost for note in take_loss_notes(journal)]


def test_places_are_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory first, then what the system calls temporary."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    *_, last = loss_note._places()
    assert str(tmp_path / f"sacred-journal-{os.getuid()}") == last


@pytest.mark.parametrize("killed", [False, True], ids=["os._exit", "SIGKILL"])
def test_a_child_that_never_had_a_file(places: list[Path], tmp_path: Path, killed: bool) -> None:
    """P6: what a forked child recorded while its journal's folder was away is counted in a gap event."""
    folder, away = tmp_path / "journal", tmp_path / "away"
    writer = JournalWriter.create(folder)

    def work() -> None:
        folder.rename(away)
        for step in range(7):
            writer.log_point("m", step, 1.0)
        writer.append(EventType.HEARTBEAT)

    pid = in_child(work, killed=killed)
    away.rename(folder)
    (note,) = take_loss_notes(writer.journal_id)
    assert (pid, 8, "No such file or directory", False) == note
    assert JournalWriter.tell_losses_of(
        note, folder, journal_id=writer.journal_id, durability="second"
    )
    writer.close()
    events = events_of(folder)
    gaps = [event.fields for event in events if event.type == EventType.GAP]
    assert [(1, 0, 8)] == [(gap["writer"], gap["first_seq"], gap["count"]) for gap in gaps]
    labels = [event.fields["label"] for event in events if event.type == EventType.CHILD_BEGAN]
    assert [f"process {pid}"] == labels


def test_a_child_that_finds_room_again(places: list[Path], tmp_path: Path) -> None:
    """What was noted and then written is no loss: all of it is in the child's file, and no note stays."""
    folder, away = tmp_path / "journal", tmp_path / "away"
    writer = JournalWriter.create(folder)

    def work() -> None:
        folder.rename(away)
        for step in range(7):
            writer.log_point("m", step, 1.0)
        assert os.listdir(places[0])
        away.rename(folder)
        writer._retry_at = 0.0
        writer.log_point("m", 7, 1.0)

    in_child(work)
    assert [] == take_loss_notes(writer.journal_id)
    assert not places[0].exists()
    writer.close()
    events = events_of(folder)
    steps = [event.fields["step"] for event in events if event.type == EventType.METRIC_POINT]
    assert [*range(8)] == steps
    assert not [event for event in events if event.type == EventType.GAP]


def test_a_worker_that_closes_its_journal(
    places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its own gap event told, which no file took either, is counted with the rest."""
    folder, away = tmp_path / "journal", tmp_path / "away"
    writer = JournalWriter.create(folder)
    worker = JournalWriter.join(folder, journal_id=writer.journal_id)
    worker.append(EventType.HEARTBEAT)
    folder.rename(away)
    worker._unreported = [Loss(worker.next_seq, 4, FULL)]
    worker.next_seq += 4
    worker._exclusively(worker._close_file)
    worker._exclusively(worker._tell_losses)
    worker.append(EventType.HEARTBEAT)
    worker.close()
    monkeypatch.setattr(loss_note, "process_start", lambda _pid: 1.5)  # it has ended
    assert [5] == [note.lost for note in take_loss_notes(writer.journal_id)]
    away.rename(folder)
    writer.close()


def test_losses_that_no_file_takes_either(places: list[Path], tmp_path: Path) -> None:
    """Where there is still no room, the caller is told, and no note in its name stays."""
    note = LossNote(1, 3, FULL, False)
    journal = new_journal_id()
    gone = tmp_path / "gone"
    told = JournalWriter.tell_losses_of(note, gone, journal_id=journal, durability="second")
    assert not told
    assert not places[0].exists()
