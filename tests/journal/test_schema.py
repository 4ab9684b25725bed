"""The machine-readable registry beside the format page is that of the code, and journals obey it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sacred.journal import EventType
from sacred.journal.codec import BlobReference, ObjectText, unpack_all
from sacred.journal.frames import MAGIC, FrameDamagedError, FrameDecoder, frame_bounds
from sacred.journal.schema import KINDS, events_table, schema_document, schema_json

DOCS = Path(__file__).parents[2] / "docs"
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def document():
    path = DOCS / "journal-events.json"
    if not path.exists():
        pytest.skip("the tests run without the checkout's documents")
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_document_is_the_registry(document):
    """docs/journal-events.json is what ``schema_document`` gives, byte for byte."""
    assert schema_document() == document
    assert schema_json().encode() == (DOCS / "journal-events.json").read_bytes()


def test_the_table_on_the_page_is_made_from_the_document(document):
    """The format page lists the events as the document does."""
    page = (DOCS / "journal-format.md").read_text(encoding="utf-8")
    written = re.search(r"<!-- events: .*? -->\n\n(.*?)\n\n<!-- events end -->", page, re.S)
    assert written[1].strip() == events_table(document).strip()


def test_the_document_is_sound(document):
    """Numbers, names and keys are unique, every kind is explained, and no key is the envelope's."""
    events = document["events"]
    assert len({event["number"] for event in events}) == len(events) == len(EventType)
    assert len({event["name"] for event in events}) == len(events)
    for event in events:
        for what in ("key", "name"):
            assert len({field[what] for field in event["fields"]}) == len(event["fields"])
        assert {field["kind"] for field in event["fields"]} <= set(document["kinds"])
        assert not {field["key"] for field in event["fields"]} & set(document["every_event"])
    assert set(KINDS) == {field["kind"] for event in events for field in event["fields"]}


def _is_int(value):
    return type(value) is int


def _is_blob(value):
    types = {"algorithm": str, "digest": str, "size": int, "encoding": str}
    return type(value) is dict and all(
        type(value.get(key, "identity" if key == "encoding" else None)) is kind
        for key, kind in types.items()
    )


def _is_column(value):
    code, planes = value if type(value) is list and len(value) == 2 else (None, None)
    return code in (0, 1) and type(planes) is bytes and len(planes) % 8 == 0


CHECKS = {
    "int": _is_int,
    "float": lambda value: type(value) in (float, int),
    "str": lambda value: type(value) is str,
    "bytes": lambda value: type(value) is bytes,
    "bool": lambda value: type(value) is bool,
    "list": lambda value: type(value) is list,
    "map": lambda value: type(value) is dict,
    "time": _is_int,
    "blob": _is_blob,
    "name": lambda value: type(value) is str or (type(value) is int and value >= 0),
    "column": _is_column,
    "any": lambda _: True,
}


def _objections(document, event):
    """What an event, as it stands on disk, has against the document."""
    if type(event) is not dict or not all(_is_int(event.get(key)) for key in ("t", "e")):
        return ["it is no event"]
    known = {entry["number"]: entry for entry in document["events"]}.get(event["e"])
    found = []
    for field in known["fields"] if known else ():
        value = event.get(field["key"], KeyError)
        if value is KeyError:
            found += [f"no {field['name']}"] if field["required"] else []
        elif type(value) not in (BlobReference, ObjectText) and not CHECKS[field["kind"]](value):
            found.append(f"{field['name']} is no {field['kind']}: {value!r:.60}")
    return found


def _events_on_disk(path):
    """The events of all frames of a file that are whole."""
    data, at, decoder = path.read_bytes(), 0, FrameDecoder()
    while (at := data.find(MAGIC, at)) >= 0:
        try:
            bounds = frame_bounds(data, at)
            values = unpack_all(decoder.decode(data[at : bounds.end], bounds.content_size))
        except (FrameDamagedError, AttributeError, ValueError):
            at += 1
            continue
        at = bounds.end
        if type(values[0]) is list:
            yield from values[1:]


def test_every_golden_event_is_as_the_document_says(document):
    """Required fields are there and kinds are right, in every event of every golden journal."""
    seen = {}
    for path in sorted(GOLDEN.glob("*/journal/*.jzst")):
        for event in _events_on_disk(path):
            assert _objections(document, event) == [], (path.parents[1].name, event)
            seen.setdefault(event["e"], set()).update(event)
    for entry in document["events"]:
        if entry["number"] != EventType.SEALED:  # comes with the sealed golden journals
            assert {field["key"] for field in entry["fields"]} <= seen[entry["number"]]


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"level": None}, "level is no str"),
        ({"t": 1.0}, "it is no event"),
        ({"e": 9}, "no writer"),
        ({"e": 20, "s": True, "d": b""}, "stream is no int"),
        ({"e": 17, "s": [0, b"1234567"]}, "steps is no column"),
        ({"e": 49, "blob": {"algorithm": "sha256"}}, "blob is no blob"),
        ({"e": 16, "m": -1}, "metric is no name"),
    ],
)
def test_what_is_not_as_the_document_says_is_noticed(document, change, objection):
    """The check that golden journals pass fails for a missing field and for a wrong kind."""
    event = {"t": 1, "e": 135, "level": "info", "text": "x"}
    assert _objections(document, event) == []
    assert any(
        map(objection.__eq__, (o.split(":")[0] for o in _objections(document, event | change)))
    )
