"""What `verify` finds of blobs, sizes and files that go away while it looks."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter, RunFolder, verify
from sacred.journal import verification as module
from sacred.journal.codec import pack

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def run(tmp_path):
    """A root with a run, and what is to be written into it."""
    root = JournalRoot(tmp_path / "root")
    folder = root.claim()
    return folder, JournalWriter.create(folder.journal), BlobStore(root.blobs)


def test_points_and_stored_files_are_counted(run):
    """Each point counts, in a table or alone; each file that events name, once."""
    folder, writer, blobs = run
    for step in range(300):
        writer.log_point("a", step, 0.5)
    reference = blobs.put_bytes(b"content").blob
    writer.append(EventType.ARTIFACT_ADDED, name="one", filename="f", blob=reference)
    writer.append(EventType.ARTIFACT_ADDED, name="two", filename="f", blob=reference)
    writer.close()
    report = verify(folder, blobs=blobs)
    assert (True, 300, 302, 1) == (report.clean, report.points, report.events, report.blobs)


def test_a_stored_file_of_another_size_is_named(run, monkeypatch):
    """A reference tells the size: the content has to have it, though its name is right."""
    folder, writer, blobs = run
    reference = blobs.put_bytes(b"content").blob
    writer.append(
        EventType.ARTIFACT_ADDED, name="one", filename="f", blob=reference._replace(size=99)
    )
    writer.close()
    (error,) = verify(folder, blobs=blobs).blob_errors
    assert f"blob {reference.digest} has 7 bytes, not 99" == error


def test_stored_files_that_stored_values_name(run):
    """A value that became a blob itself may name others: they are looked at, too."""
    folder, writer, blobs = run
    inner = blobs.put_bytes(b"inside").blob
    value = blobs.put_bytes(pack({"files": [inner, inner]})).blob
    writer.append(
        EventType.ARTIFACT_ADDED, name="one", filename="f", blob=value._replace(encoding="msgpack")
    )
    writer.close()
    assert verify(folder, blobs=blobs).clean
    os.unlink(blobs.path_of(inner.digest))
    (error,) = verify(folder, blobs=blobs).blob_errors
    assert inner.digest in error


def test_a_file_that_goes_away_meanwhile(run, monkeypatch):
    """Sealed or removed by somebody between the reading and the count of its bytes."""
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 100)
    folder, writer, _ = run
    for text in ("one", "two", "three"):
        writer.append(EventType.MESSAGE, level="info", text=text)
    writer.close()
    first = folder.journal / "w0000-e0001.jzst"
    rest = sum(os.stat(folder.journal / name).st_size for name in os.listdir(folder.journal))
    rest -= first.stat().st_size
    real = module.unindexed

    def remove(*arguments):
        first.unlink()
        return real(*arguments)

    monkeypatch.setattr(module, "unindexed", remove)
    report = verify(folder)
    assert (rest, 3) == (report.size, report.events)


def test_nothing_whole(tmp_path):
    """A file in which no frame is whole is no clean journal."""
    folder = JournalRoot(tmp_path / "root").claim()
    (folder.journal / "w0000-e0001.jzst").write_bytes(b"\0" * 10)
    report = verify(folder)
    assert not report.clean
    assert 0 == report.events


def test_a_child_whose_file_vanished(run):
    """The first writer notes each writer that it sees: one that is not there is missed."""
    folder, writer, _ = run
    writer.append(EventType.CHILD_SEEN, writer=1)
    writer.close()
    (gap,) = verify(folder).verdicts
    assert (1, 1, -1) == (gap.writer, gap.epoch, gap.next_seq)


def test_a_sealed_file_whose_index_can_not_be_looked_at(tmp_path, monkeypatch):
    """What the disk says at the second look is no verdict: the first one read it whole."""
    shutil.copytree(GOLDEN / "sealed-beside-live" / "journal", tmp_path / "1" / "journal")
    asked = []

    def refuse(descriptor):
        asked.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("sacred.journal.seal_index.why_unindexed", refuse)
    assert verify(RunFolder(tmp_path / "1", 1)).clean
    assert asked


def test_noise_in_the_place_of_the_runs_own_file(run):
    """Beside its workers' whole files it is damage at once: nobody can be about to write it."""
    folder, writer, _ = run
    writer.append(EventType.HEARTBEAT)
    writer.flush()
    child = os.fork()
    if not child:
        try:
            writer.log_point("a", 1, 1.0)
            writer.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    writer.close()
    (folder.journal / "w0000-e0001.jzst").write_bytes(b"\xa5" * 500)
    assert (folder.journal / "w0001-e0001.jzst").exists()
    report = verify(folder)
    assert (report.frames > 0, report.verdict, report.clean) == (True, "gap", False)
