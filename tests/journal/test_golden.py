"""P9: format 1 is readable for ever. Journals that were written once, and what was read in them then.

``tests/golden/<name>/`` holds a journal and ``expected.jsonl`` (see ``tests/golden/dump.py``). They were
made once by ``tests/golden/make.py``; a reader that finds something else in one of them is wrong.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import msgpack
import pytest
from golden import dump

from sacred.journal import JournalReader, Position
from sacred.journal.errors import NewerFormatError
from sacred.journal.events import KEYS
from sacred.journal.position import WriterPosition

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.jsonl"))
#: The manifest as format 1 became final: so many lines, and their SHA-256. More may follow them.
FIRST_LINES = 294
FIRST_SHA256 = "6d1dfae8783d3e14694d8cd561fa3191311610a6ccff8315841231dab4a8b7a0"
#: What the page's reader does not promise to read: an end that is not torn, but damaged.
DAMAGED_ENDS = {"damaged-last-frame", "torn-into-garbage", "torn-into-zeros"}


def _expected(name):
    text = (GOLDEN / name / "expected.jsonl").read_text(encoding="ascii")
    return [json.loads(line) for line in text.splitlines()]


def _verdicts(name):
    return set(_expected(name)[0]["verdicts"])


WITHOUT_HOLES = [name for name in NAMES if _verdicts(name) <= {"tail"}]


def test_there_are_enough():
    """Forty journals and more, some of each kind."""
    assert len(NAMES) >= 40
    heads = [_expected(name)[0]["verdicts"] for name in NAMES]
    assert {verdict for verdicts in heads for verdict in verdicts} == {
        "tail",
        "gap",
        "foreign",
        "NewerFormatError",
    }
    assert heads.count([]) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_as_it_did(record_property, name):
    """Row 18, P9: every event, bit for bit, every frame's bounds and chain, every verdict, spool and blob."""
    record_property("battery", ("row 18: golden journals", 1))
    head, *expected = _expected(name)
    found = dump.lines(GOLDEN / name)
    for number, (then, now) in enumerate(zip(expected, found, strict=False)):
        assert then == now, f"line {number + 2}"
    assert len(expected) == len(found)
    verdicts = [line.get("verdict") or line.get("refused") for line in found]
    assert head["verdicts"] == list(filter(None, verdicts))


@pytest.mark.parametrize("name", WITHOUT_HOLES)
def test_positions_of_then_still_hold(name):
    """A reader that stopped behind any frame goes on there, with the offset as a hint and without."""
    expected = [line for line in _expected(name) if "frame" in line]
    at = {}
    for number, line in enumerate(expected):
        writer, epoch, *_ = line["frame"]
        at[writer] = (epoch, line["next_seq"], int(line["chain"], 16), line["offset"])
        rest = [frame["frame"] for frame in expected[number + 1 :] if frame["frame"][3]]
        for hint in (line["offset"], 0):
            place = at | {writer: (*at[writer][:3], hint)}
            start = Position({number: WriterPosition(*where) for number, where in place.items()})
            reader = JournalReader(GOLDEN / name, start)
            frames = [[f.writer, f.epoch, f.first_seq, f.count] for f in reader.poll() if f.count]
            assert rest == frames
            assert reader.unproven() == []


def _wire(value):
    """A value as msgpack alone gives it, for JSON: the page's table of extensions, written anew."""
    if isinstance(value, msgpack.ExtType):
        return _extension(value.code, value.data)
    if isinstance(value, list):
        return [_wire(item) for item in value]
    if isinstance(value, dict):
        return {"map": [[_wire(key), _wire(item)] for key, item in value.items()]}
    return dump.plain(value)


def _extension(code, data):
    if code == 1:
        return int.from_bytes(data, "big", signed=True)
    if code == 6:
        return {"complex": [dump.tag_float(part) for part in struct.unpack("<dd", data)]}
    if code == 9:
        return {"text": data.hex()}
    if code not in range(2, 11):
        return {"object": [f"msgpack.ext{code}", data[:256].hex()]}
    inside = msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")
    if code == 2:
        return dump.tag_datetime(_wire(inside[0]), inside[1])
    if code == 3:
        return {"tuple": _wire(inside)}
    if code == 4:
        return dump.tag_set(_wire(inside))
    if code == 5:
        return {"array": [inside[0], inside[1], dump.tag_bytes(inside[2])]}
    if code == 7:
        return {"object": _wire(inside)}
    if code == 8:
        return {"blob": [inside[key] for key in ("algorithm", "digest", "size", "encoding")]}
    return {inside[0]: _wire(inside[1])}


def _rows_of_then(name):
    """What was read then, by (writer, seq), as the page's reader gives it."""
    rows = {}
    for line in _expected(name):
        if "event" not in line or line["seq"] < 0:
            continue
        writer, seq, fields = line["writer"], line["seq"], line["fields"]
        if line["event"] == 17:
            table = fields["table"]["table"]
            index = table["index"] or [0] * len(table["times"])
            names = [table["metrics"][number] for number in index]
            columns = zip(table["times"], names, table["steps"], table["values"], strict=True)
            for row, (micros, *point) in enumerate(columns):
                rows[writer, seq + row] = (micros * 1000, 16, point)
        elif line["event"] == 16:
            point = [fields["metric"], fields["step"], fields["value"]]
            rows[writer, seq] = (line["time"], 16, point)
        else:
            keys = KEYS.get(line["event"], {})
            wire = {keys.get(key, key): value for key, value in fields.items()}
            rows[writer, seq] = (line["time"], line["event"], wire)
    return rows


@pytest.mark.parametrize("name", [name for name in WITHOUT_HOLES if name not in DAMAGED_ENDS])
def test_the_pages_reader_reads_the_same(name, page_reader):
    """The 60 lines of the format page, with nothing of the package, find the same events."""
    if page_reader is None:
        pytest.skip("the tests run without the checkout's documents")
    found = {}
    for at, (when, kind, event) in page_reader(str(GOLDEN / name / "journal")).items():
        if isinstance(event, tuple):
            found[at] = (when, kind, _wire(list(event)))
        else:
            found[at] = (when, kind, {key: _wire(value) for key, value in event.items()})
    expected = _rows_of_then(name)
    assert expected.keys() == found.keys()
    for at, row in expected.items():
        assert row == found[at], at


@pytest.mark.parametrize("name", [name for name in NAMES if "NewerFormatError" in _verdicts(name)])
def test_what_needs_a_later_reader_says_so(name):
    """A reader that is too old ends with exit status 2 and says what to do."""
    with pytest.raises(NewerFormatError, match="upgrade") as caught:
        list(JournalReader(GOLDEN / name).read())
    assert caught.value.exit_code == 2


def _manifest():
    lines = (GOLDEN / "MANIFEST").read_text(encoding="ascii").splitlines(keepends=True)
    return lines, {path: digest for digest, path in (line.split() for line in lines)}


def test_no_file_ever_changes():
    """Every file is the one that the manifest names, none is missing, none is in no line of it."""
    _, listed = _manifest()
    there = {
        path.relative_to(GOLDEN).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in GOLDEN.iterdir()
        if folder.is_dir() and folder.name not in {"__pycache__", "journals"}  # how they were made
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert listed == there
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 3_000_000


def test_new_journals_change_no_old_one():
    """The manifest only grows: its first lines are those of the day on which format 1 was final."""
    lines, listed = _manifest()
    assert len(lines) == len(listed)
    first = "".join(lines[:FIRST_LINES])
    assert FIRST_SHA256 == hashlib.sha256(first.encode()).hexdigest()
