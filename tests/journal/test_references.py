"""Which blobs a journal names: what may not be collected, and what a bundle takes along."""

from __future__ import annotations

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter, RunFolder
from sacred.journal.codec import BlobReference
from sacred.journal.references import decode_odd, references
from sacred.journal.seal import seal_run

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
    assert [done.state for done in seal_run(run, closed=frozenset({0}))] == ["sealed"]
    assert [OTHER] == named(run.journal, reader.position)


@pytest.mark.parametrize("wire", [{"algorithm": "sha256"}, "a text", {"digest": []}])
def test_what_is_no_reference_names_nothing(tmp_path, wire):
    """A field for a blob in which something else stands, as a damaged program may write it."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.append(EventType.ARTIFACT_ADDED, name="x", filename="/x", blob=wire)
    writer.close()
    assert [] == named(tmp_path / "journal")
