"""A reader for each frame: whoever stores a position and begins anew behind it comes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter, Position
from sacred.journal.errors import NewerFormatError
from sacred.journal.sealer import seal_file

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.jsonl"))


def at_once(folder):
    """Return which numbers a reader finds that reads all."""
    reader = JournalReader(folder)
    found = [(f.writer, e.seq, e.count) for f in reader.poll() for e in f.events if e.seq >= 0]
    reader.close()
    return found, reader.position


def one_by_one(folder, most):
    """Do so with a new reader for each frame, as a process is that is killed behind each."""
    wire, found = None, []
    for _ in range(most):
        reader = JournalReader(folder, Position.from_wire(wire))
        new = [(f.writer, e.seq, e.count) for f in reader.poll(1) for e in f.events if e.seq >= 0]
        reader.close()
        wire = reader.position.to_wire()
        if not new:
            return found, reader.position
        found += new
    raise AssertionError(f"still not through after {most} readers, at {reader.position}")


@pytest.mark.parametrize("name", NAMES)
def test_every_golden_journal(name):
    """P3: damaged, sealed, superseded or of many files: the same events, and the same end."""
    try:
        expected, end = at_once(GOLDEN / name)
    except NewerFormatError:
        return
    found, position = one_by_one(GOLDEN / name, len(expected) + 2)
    assert sorted(expected) == sorted(found)
    assert end == position


def written(folder, count=5):
    writer = JournalWriter.create(folder)
    for number in range(count):
        writer.append(EventType.MESSAGE, level="info", text=str(number))
    return writer


def test_damage_behind_the_first_frame(tmp_path, split):
    """The frame that begins the file is given again each time: it does not count."""
    writer = written(tmp_path / "journal")
    writer.close()
    data = bytearray(writer.path.read_bytes())
    data[len(split(bytes(data))[0]) + 30] ^= 1
    writer.path.write_bytes(data)
    found, _ = one_by_one(tmp_path / "journal", 7)
    assert [1, 2, 3, 4] == [seq for _, seq, _ in found]


def test_the_end_of_a_sealed_file(tmp_path):
    """Nor does the one that ends a sealed file: the next file is reached."""
    writer = written(tmp_path / "journal")
    writer._rotate()
    writer.append(EventType.MESSAGE, level="info", text="5")
    writer.close()
    seal_file(tmp_path / "journal", 0, 1)
    found, _ = one_by_one(tmp_path / "journal", 8)
    assert [0, 1, 2, 3, 4, 5] == [seq for _, seq, _ in found]


def test_damage_in_a_file_that_stands_again_in_a_later_one(tmp_path, split):
    """All of the first file was written again, and it is damaged: the second one is reached."""
    writer = written(tmp_path / "journal")
    first = writer.path
    writer._fail(OSError(5, "a failing disk"))  # nothing was durable: all is written again
    writer.append(EventType.MESSAGE, level="info", text="5")
    writer.close()
    assert 2 == writer.epoch
    whole = first.read_bytes()
    data = bytearray(whole)
    data[len(split(whole)[0]) + 30] ^= 1
    first.write_bytes(data)
    found, _ = one_by_one(tmp_path / "journal", 8)
    first.write_bytes(whole)  # of damage that costs nothing the page's reader knows nothing
    assert [0, 1, 2, 3, 4, 5] == [seq for _, seq, _ in found]
