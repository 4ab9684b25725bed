"""Cases that chance makes, under both packages: 2,250 in `make test`, any number in a soak."""

from __future__ import annotations

import os
import time
from typing import Any

import hypothesis
import pytest
from battery import soak
from hypothesis import HealthCheck, Phase, given, settings

pytest.importorskip("yaml", reason="cases have configuration files of every kind")

from sidebyside import cases, comparison, known  # noqa: E402
from sidebyside.pair import pair  # noqa: E402

_PEER = os.environ.get("SACRED_PEER_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        _PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7"
    ),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each case is a fork of a warmed process"),
]

#: How many of each family, outside of a soak: 2,250 together, and 2,000 at least, because hypothesis
#: may make some fewer than it was asked for.
CASES = {
    "configurations": 300,
    "named_configurations": 250,
    "ingredients": 300,
    "functions": 300,
    "hooks": 200,
    "endings": 250,
    "command_lines": 350,
    "observers": 150,
    "sequences": 150,
}
#: The part of them that is made in any case.
_FLOOR = 0.9
#: So many before the clock is looked at, in a soak.
ROUND = 200


@pytest.fixture(scope="module")
def both():
    """Both packages in warmed processes, stopped at the end."""
    with pair() as sides:
        yield sides


def compare(family: str, number: int, chance: int | None, both: Any) -> int:
    """Compare so many cases of a family; return how many were compared.

    Without a number for ``chance`` they are the same each time. All are compared, and the smallest
    that differs is shown: to make the first one smaller would take minutes, and show no other.
    """
    compared = 0
    wrong: list[str] = []

    @settings(
        max_examples=number,
        derandomize=chance is None,
        deadline=None,
        database=None,
        print_blob=False,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases.FAMILIES[family]())
    def same(case):
        nonlocal compared
        compared += 1
        theirs, ours = map(comparison.normal, both.answers(case))
        found = comparison.differences(*known.excused(theirs, ours))
        if found:
            wrong.append(f"{case}\n\n{comparison.report(found)}")

    if chance is not None:
        same = hypothesis.seed(chance)(same)
    same()
    assert not wrong, f"{len(wrong)} of {compared} differ, such as\n\n{min(wrong, key=len)}"
    return compared


def test_how_many_are_compared():
    """USE-07: at least 2,000, also where each family has the fewest that pass."""
    assert (2250, True) == (sum(CASES.values()), sum(CASES.values()) * _FLOOR >= 2000)


@pytest.mark.parametrize("family", CASES)
def test_the_same_as_the_original(family, both, record_property):
    """Output, exit status, configuration, what counts as changed, seeds, draws and events are those of Sacred 0.8.7, but for the known differences."""
    compared = compare(family, CASES[family], None, both)
    assert compared >= CASES[family] * _FLOOR
    record_property("battery", ("side by side: cases compared with Sacred 0.8.7", compared))
    end = time.monotonic() + soak.seconds(0.5 / len(CASES))
    seed = soak.seed()
    print(f"SACRED_SOAK_SEED={seed}")
    while time.monotonic() < end:
        more = compare(family, ROUND, seed, both)
        record_property("battery", ("side by side: cases compared with Sacred 0.8.7", more))
        seed += 1
