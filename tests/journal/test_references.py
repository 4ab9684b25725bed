"""Which blobs a journal names: what may not be collected, and what a bundle takes along."""

from __future__ import annotations

import pytest

from sacred.journal import BlobStore, EventType, JournalReader, JournalWriter, RunFolder
from sacred.journal.codec import BlobReference, pack
from sacred.journal.references import decode_odd, references
from sacred.journal.seal import seal_run
from sacred.journal.verification import verify

ONE, OTHER = (BlobReference("sha256", digit * 64, 5, "msgpack") for digit in "ab")


def named(folder, position=None):
    """Return what the events of a journal name."""
    reader = JournalReader(folder, position, table_decoder=decode_odd)
    return [reference for event in reader.read() for reference in references(event)]


def test_values_in_tables_and_events_are_found(tmp_path):
    """Beside a table's columns, and at any depth of a field."""
    writer = JournalWriter.create(tmp_path / "journal")
    for step in range(20):
        writer.log_point("x", step, ONE if step == 7 else 0.5)
    writer.flush()
    writer.append(EventType.MESSAGE, level="info", text={"a": [("b", frozenset({OTHER}))]})
    writer.close()
    assert [ONE, OTHER] == named(tmp_path / "journal")


def test_a_table_that_is_entered_in_the_middle(tmp_path):
    """R5: of a table of which some rows were read the blobs are named all the same."""
    run = RunFolder(tmp_path / "1")
    writer = JournalWriter.create(run.journal)
    for part in range(2):
        for step in range(20):
            writer.log_point("x", 20 * part + step, OTHER if part and step == 7 else 0.5)
        writer.flush()
        if not part:
            reader = JournalReader(run.journal)
            list(reader.read())
    writer.close()
    assert [done.state for done in seal_run(run, closed={0: 1})] == ["sealed"]
    assert [OTHER] == named(run.journal, reader.position)


@pytest.mark.parametrize("wire", [{"algorithm": "sha256"}, "a text", {"digest": []}])
def test_what_is_no_reference_names_nothing(tmp_path, wire):
    """A field for a blob in which something else stands, as a damaged program may write it."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.append(EventType.ARTIFACT_ADDED, name="x", filename="/x", blob=wire)
    writer.close()
    assert [] == named(tmp_path / "journal")


def blobs_of(tmp_path, *, entries=None, value=None):
    """Make a run that names a blob; return its folder and the store."""
    run, blobs = RunFolder(tmp_path / "1"), BlobStore(tmp_path / "blobs")
    writer = JournalWriter.create(run.journal, blobs=blobs)
    if entries is not None:
        writer.append(
            EventType.DIRECTORY_ADDED,
            role="artifact",
            name="d",
            filename="/d",
            entries=entries(blobs),
        )
    if value is not None:
        writer.append(EventType.RESULT_CHANGED, result=value(blobs))
    writer.close()
    return run, blobs


def test_a_list_of_files_that_is_a_blob_names_the_files(tmp_path):
    """A folder of very many files: each of them is looked at, not only the list."""
    inner = []

    def entries(blobs):
        inner.append(blobs.put_bytes(b"a file").blob)
        listed = [
            ["a", dict(zip(("algorithm", "digest", "size", "encoding"), inner[0], strict=True))]
        ]
        return BlobReference(*blobs.put_bytes(pack([*listed, ["odd"], 7])).blob[:3], "msgpack")

    run, blobs = blobs_of(tmp_path, entries=entries)
    report = verify(run, blobs=blobs)
    assert (report.blobs, report.blob_errors) == (2, [])
    blobs.path_of(inner[0].digest).unlink()
    assert [inner[0].digest in error for error in verify(run, blobs=blobs).blob_errors] == [True]


@pytest.mark.parametrize("content", [b"\xc1", b"", b"\x93\x01", pack(7)])
def test_a_blob_that_is_no_value_names_nothing(tmp_path, content):
    """It is said to hold a value, and holds other bytes."""

    def value(blobs):
        return BlobReference(*blobs.put_bytes(content).blob[:3], "msgpack")

    run, blobs = blobs_of(tmp_path, value=value)
    report = verify(run, blobs=blobs)
    assert (report.blobs, report.blob_errors) == (1, [])
