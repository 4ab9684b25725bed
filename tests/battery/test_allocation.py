"""Row 15 of the battery: memory that runs out."""

from __future__ import annotations

import importlib.util
import os

import pytest

from battery import soak

ROUNDS = 2_000


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="row 15 needs the interpreter's _testcapi"
)
def test_no_allocation_that_fails_is_noticed_by_the_caller(record_property):
    """Row 15, P3, P6: the n-th allocation of every call fails, once or for good: nothing is raised, the lock is free, all is read or counted as lost."""
    longest = soak.seconds(0.05)
    with soak.scratch() as folder:
        words = ("faults", folder, ROUNDS, longest, soak.seed())
        found = soak.run_program("allocation.py", *words, limit=280 + longest)
    assert found["rounds"] >= ROUNDS
    assert found["lost"] > 0
    record_property("battery", ("row 15: allocations that failed", found["rounds"]))
    record_property("battery", ("row 15: events lost for lack of memory, counted", found["lost"]))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="row 15 needs RLIMIT_AS")
@pytest.mark.parametrize("mib", [24, 40])
def test_a_program_that_takes_all_memory_goes_on_recording(mib, record_property):
    """Row 15, P6: under RLIMIT_AS the program meets MemoryError at its own allocations only, and all points are read or counted."""
    with soak.scratch() as folder:
        found = soak.run_program("allocation.py", "limit", folder, mib, limit=200)
    assert found["own"] > 0
    assert found["synced"]
    assert found["points"] > 3_000
    record_property("battery", ("row 15: points logged while there was no memory", 3_000))
