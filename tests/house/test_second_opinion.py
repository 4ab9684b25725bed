"""The second opinion that every test's journals get (``tests/conftest.py``) can be another one."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from sacred.journal import EventType, JournalWriter
from sacred.journal.codec import ObjectText

EVENTS = 5 + 300


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A clean journal with events of several kinds, a table, and values that msgpack has not."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.append(EventType.MESSAGE, level="info", text="hello", source="a test")
    writer.append(
        EventType.INFO_SNAPSHOT,
        info={"when": datetime(2026, 1, 2, tzinfo=timezone.utc), "big": 1 << 80, "pair": (1, {2})},
    )
    writer.append_output(2, b"\xff\x00")
    writer.flush()  # what waits is in no promised order
    writer.append(EventType.RESULT_CHANGED, result=ObjectText("its.type", "text"))
    writer.flush()
    for step in range(300):
        writer.log_point(f"metric {step % 3}", step, step / 7)
    writer.log_point("odd", float("nan"), 1 << 70)
    writer.close()
    return tmp_path / "journal"


def test_the_readers_agree(journal: Path, second_opinion) -> None:
    """Every event of a clean journal is compared."""
    assert EVENTS == second_opinion(journal)


def _without_the_last(events):
    return dict(list(events.items())[:-1])


def _changed(at, change):
    """A reader's answer in which the event of one sequence number differs."""
    return lambda events: events | {(0, at): change(*events[0, at])}


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(_without_the_last, id="an event less"),
        pytest.param(_changed(0, lambda t, e, f: (t + 1, e, f)), id="a time"),
        pytest.param(_changed(0, lambda t, e, f: (t, e + 1, f)), id="a type"),
        pytest.param(_changed(0, lambda t, e, f: (t, e, f | {"text": "hallo"})), id="a text"),
        pytest.param(_changed(0, lambda t, e, f: (t, e, f | {"more": None})), id="a field more"),
        pytest.param(_changed(0, lambda t, e, f: (t, e, {})), id="no fields"),
        pytest.param(_changed(1, lambda t, e, f: (t, e, {"info": {}})), id="extension values"),
        pytest.param(_changed(2, lambda t, e, f: (t, e, f | {"d": b"\xff"})), id="output"),
        pytest.param(_changed(100, lambda t, e, f: (t, e, (*f[:2], f[2] + 1e-12))), id="a value"),
        pytest.param(_changed(100, lambda t, e, f: (t, e, ("x", *f[1:]))), id="a metric"),
        pytest.param(_changed(EVENTS - 1, lambda t, e, f: (t, e, (*f[:2], 0))), id="an odd value"),
    ],
)
def test_another_reading_is_noticed(journal: Path, second_opinion, page_reader, mistake) -> None:
    """A reader that gets one thing wrong disagrees, whatever it is."""
    assert EVENTS == len(page_reader(str(journal)))
    with pytest.raises(AssertionError, match="differently, at first writer 0, seq"):
        second_opinion(journal, lambda folder: mistake(page_reader(folder)))


def test_all_temporary_folders_are_looked_at(tmp_path_factory, made_folders, request) -> None:
    """The folders of ``tmp_path`` and of ``tmp_path_factory`` are read when a test is done."""
    before = len(made_folders)
    factory = tmp_path_factory.mktemp("own")
    own = request.getfixturevalue("tmp_path")
    assert [factory, own] == made_folders[before:]
