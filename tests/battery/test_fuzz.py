"""Row 12 of the battery: journals that say anything."""

from __future__ import annotations

import importlib.util
import os

import pytest

from battery import soak

SECONDS = 20


def _fuzz(how):
    longest = max(SECONDS, soak.seconds(0.15))
    with soak.scratch() as folder:
        words = (folder, longest, soak.seed(), how)
        found = soak.run_program("fuzz.py", *words, limit=200 + 2 * longest)
    # The golden journals alone are so many.
    assert found["inputs"] > 100
    assert found["clean"]
    assert found["compared"]
    assert found["refused"]
    return found


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="row 12 needs SIGALRM")
def test_a_reader_survives_what_chance_writes(record_property):
    """Row 12, P3, P4: whole frames that say anything, checksum and chain and all: no exception, no hang, bounded memory, and the events that the page's reader reads."""
    found = _fuzz("plain")
    record_property("battery", ("row 12: forged journals read", found["inputs"]))
    record_property("battery", ("row 12: compared with the page's reader", found["compared"]))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="row 12 needs SIGALRM")
def test_a_reader_survives_what_coverage_finds(record_property):
    """Row 12, P3, P4: the same, led by the reader's own branches."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("row 12 needs atheris to be led by coverage: chance alone did it")
    found = _fuzz("guided")
    assert found["guided"]
    record_property("battery", ("row 12: forged journals read, led by coverage", found["inputs"]))
    record_property("battery", ("row 12: compared with the page's reader", found["compared"]))
