"""Row 21 of the battery: clocks that jump."""

from __future__ import annotations

import time

import pytest

from battery import oracle
from sacred.journal import EventType, JournalReader, JournalWriter, RunFolder
from sacred.journal.seal import seal_run

YEAR = 365 * 86_400 * 10**9
CLOCKS = {
    "backwards": [1_800_000_000 * 10**9, 1_700_000_000 * 10**9],
    "a jump ahead": [1_800_000_000 * 10**9, 1_800_000_000 * 10**9 + 10 * YEAR],
    "a leap second, again": [1_483_228_799 * 10**9 + 999_999_999, 1_483_228_799 * 10**9],
    "1970": [0, 1, 999],
    "2100": [4_102_444_800 * 10**9, 4_102_444_800 * 10**9 + 1],
    "below a microsecond": [1_800_000_000 * 10**9 + 1, 1_800_000_000 * 10**9 + 999],
    "standing": [1_800_000_000 * 10**9],
}


@pytest.mark.parametrize("durability", ["second", "event"])
@pytest.mark.parametrize("name", CLOCKS)
def test_no_clock_changes_what_is_read(tmp_path, monkeypatch, name, durability):
    """Row 21: backwards, ahead, leap second, 1970, 2100: all is there, in the order of its calls, live and sealed, and nothing raises."""
    times, calls = CLOCKS[name], [0]

    def clock():
        calls[0] += 1
        return times[calls[0] % len(times)]

    monkeypatch.setattr(time, "time_ns", clock)
    writer = JournalWriter.create(tmp_path / "1" / "journal", durability=durability)
    writer._rouse = lambda: None
    for step in range(300):
        writer.log_point("x", step, step / 7)
        if step % 50 == 0:
            writer.append(EventType.MESSAGE, level="info", text=str(step))
            writer.append_output(1, b"%d\n" % step)
        writer._tick()
    writer.close()
    for sealed in (False, True):
        if sealed:
            outcomes = seal_run(RunFolder.at(tmp_path / "1"), closed={0: 1})
            assert ["sealed"] == [outcome.state for outcome in outcomes]
        seen = oracle.look(writer.folder)
        assert [] == seen.verdicts
        oracle.check_prefix(seen)
        steps = []
        for event in JournalReader(writer.folder).read(order="time"):
            if event.type == EventType.METRIC_POINT:
                steps.append(event.fields["step"])
                assert event.time in times
            elif event.type == EventType.METRIC_TABLE:
                table = event.fields["table"]
                steps += table.steps
                assert {when // 1000 for when in times} >= set(table.times)
        assert list(range(300)) == steps
        texts = oracle.texts(seen)
        assert [str(step) for step in range(0, 300, 50)] == texts
