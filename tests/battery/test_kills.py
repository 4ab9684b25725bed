"""Row 6 of the battery: a writer that is killed, some thousand times."""

from __future__ import annotations

import os

import pytest

from battery import soak

ROUNDS = 2_400
#: Kills of runs that are gone on with.
GONE_ON = 240


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="row 6 needs fork")
def test_a_killed_writer_loses_no_event_it_was_told_of(record_property):
    """Row 6, P1, P3: SIGKILL at any instant: a prefix, every control event that returned, and of the points at most those that waited; none with durability "event"."""
    longest = soak.seconds(0.2)
    with soak.scratch() as folder:
        found = soak.run_program(
            "kill_loop.py", folder, ROUNDS, longest, soak.seed(), limit=280 + longest
        )
    assert found["rounds"] >= ROUNDS
    assert found["told"] > ROUNDS
    record_property("battery", ("row 6: SIGKILLs", found["rounds"]))
    record_property("battery", ("row 6: control events acknowledged, all kept", found["told"]))
    record_property("battery", ("row 6: torn ends", found["torn"]))
    record_property(
        "battery", ("row 6: points lost by one kill, at most", found["most_points_lost"])
    )
    record_property("battery", ("row 6: age of the oldest, p99 (ms)", found["age_p99"]))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="row 6 needs fork")
def test_a_killed_run_is_gone_on_with_by_one_process_and_loses_nothing(record_property):
    """Row 6, P1, P3, R8: two processes go on at once with a run that was killed, one is given it, the other is told, and both are killed at any instant, six times over; a worker joins. Every event that returned and each printed line is seen, once."""
    longest = soak.seconds(0.05)
    with soak.scratch() as folder:
        found = soak.run_program(
            "go_on_loop.py", folder, GONE_ON, longest, soak.seed(), limit=280 + longest
        )
    assert found["kills"] >= GONE_ON
    assert min(found["refused"], found["early"]) > GONE_ON / 20
    assert found["lines"] > GONE_ON
    record_property("battery", ("row 6: SIGKILLs of runs that are gone on with", found["kills"]))
    record_property(
        "battery", ("row 6: processes that were told another goes on", found["refused"])
    )
    record_property("battery", ("row 6: control events acknowledged, all kept", found["told"]))
    record_property("battery", ("row 6: lines printed, all seen once", found["lines"]))
