"""B3: what one call of ``log_scalar`` costs the loop that makes it."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.laboratory import OURS, Contestant, event_recorder, recorders
from benchmarks.samples import interleave, percentile
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome

_TIGHT = {"p50": 0.6, "p99": 3.0, "p99.9": 100.0}
_SPACED = {"p50": 60.0, "p99": 120.0}
_EVENT = {"p50": 2.5, "p99": 10.0}
#: Cases with several metrics, one after the other: what a point costs must not depend on them.
_NAMES = {"tight loop, 10 names": 10, "tight loop, 1,000 names": 1000}


def measure(laboratory: Laboratory) -> Table:
    """Time single calls in a tight loop and with pauses, beside the peers and a bare write."""
    scale = laboratory.scale
    pause = f"one call every {scale.spacing * 1e3:g} ms"
    cases = _cases(laboratory, pause)
    contestants: dict[str, Callable[[], Outcome]] = {}
    for number, (case, contestant, numpy, _) in enumerate(cases):
        names = _NAMES.get(case, 1)
        contestants[str(number)] = _once(laboratory, contestant, case == pause, numpy, names)
    samples = interleave(
        contestants,
        rounds=scale.rounds,
        progress=lambda text: laboratory.say(f"B3 {text}"),
    )
    rows = []
    for number, (case, contestant, numpy, limits) in enumerate(cases):
        name = contestant.name + (", numpy loaded" if numpy else "")
        reference = contestant.name == OURS and not numpy
        rows.append(Row(case, name, samples[str(number)], limits, reference))
    return Table(
        "B3",
        "`log_scalar`, one call",
        (
            Column("p50", "p50, µs", 1e3),
            Column("p99", "p99, µs", 1e3),
            Column("p99.9", "p99.9, µs", 1e3),
            Column("max", "max, µs", 1e3, largest=True),
        ),
        tuple(rows),
        scale.rounds,
        (
            f"{scale.tight_calls:,} calls a round in the tight loop, {scale.spaced_calls:,} with a "
            "`time.sleep` before each. Percentiles are of one round, and the median of the rounds "
            "is shown; the maximum is that of all rounds. The cost of the clock (two "
            "`perf_counter_ns`) is measured in each process and subtracted. The bare write is "
            "`os.write` of 24 bytes to a file opened with O_APPEND, behind one Python function."
        ),
    )


def _cases(
    laboratory: Laboratory, pause: str
) -> list[tuple[str, Contestant, bool, dict[str, float]]]:
    environments = laboratory.environments
    known = recorders(environments)
    event = event_recorder(environments)
    write = Contestant("bare write", environments.ours, "write")
    cases: list[tuple[str, Contestant, bool, dict[str, float]]] = []
    for case, limits in (("tight loop", _TIGHT), (pause, _SPACED)):
        for contestant in known:
            cases.append((case, contestant, False, limits if contestant.ours else {}))
            if contestant.ours:
                loaded = replace(contestant, python=environments.ours_numpy)
                cases.append((case, loaded, True, limits))
                cases.append((case, event, False, _EVENT if case != pause else {}))
                if case != pause:
                    loaded = replace(event, python=environments.ours_numpy)
                    cases.append((case, loaded, True, _EVENT))
        cases.append((case, write, False, {}))
    ours = known[0]
    for version, python in environments.others.items():
        other = replace(ours, name=f"{OURS}, Python {version}", python=python)
        cases.append(("tight loop, other Pythons", other, False, _TIGHT))
    cases += [(case, ours, False, _TIGHT) for case in _NAMES]
    return cases


def _once(
    laboratory: Laboratory, contestant: Contestant, spaced: bool, numpy: bool, names: int
) -> Callable[[], Outcome]:
    scale = laboratory.scale
    calls = scale.spaced_calls if spaced else scale.tight_calls
    spacing = scale.spacing if spaced else 0

    def once() -> Outcome:
        folder = laboratory.folder()
        result = folder / "result"
        words = [result, calls, spacing, names, *(["numpy"] if numpy else [])]
        laboratory.record(contestant, "latency", words, folder=folder)
        return _percentiles(result)

    return once


def _percentiles(result: Path) -> Outcome:
    times = array("q")
    times.frombytes(result.read_bytes())
    clock, *calls = times
    calls.sort()
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {key: max(0.0, percentile(calls, share) - clock) for key, share in shares.items()}
