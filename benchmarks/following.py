"""B-follow: how long until a reader has what was logged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.laboratory import OURS
from benchmarks.samples import interleave, percentile
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome

_RATES = (10, 1_000, 20_000)
_LIMITS = {"p99": 50.0}


def measure(laboratory: Laboratory) -> Table:
    """Follow journals that are written at several rates, by notifications and by polling."""
    cases = [(rate, how) for rate in _RATES for how in ("watchdog", "polling")]
    contestants: dict[str, Callable[[], Outcome]] = {
        f"{rate} {how}": _once(laboratory, rate, how) for rate, how in cases
    }
    samples = interleave(
        contestants,
        rounds=laboratory.scale.bulk_rounds,
        progress=lambda text: laboratory.say(f"B-follow {text}"),
    )
    return Table(
        "B-follow",
        "following a journal that is written",
        (
            Column("p50", "lag p50, ms", 1e-3),
            Column("p99", "p99, ms", 1e-3),
            Column("max", "max, ms", 1e-3, largest=True),
        ),
        tuple(
            Row(
                f"{rate:,} points/s",
                f"{OURS}, {how}",
                samples[f"{rate} {how}"],
                _LIMITS,
                how == "watchdog",
            )
            for rate, how in cases
        ),
        laboratory.scale.bulk_rounds,
        (
            "From the call of `log_point` in one process until `sacred.journal.follow` yields the "
            "event in another, by the machine's monotonic clock. A point waits up to 10 ms for "
            "company before it is written."
        ),
    )


def _once(laboratory: Laboratory, rate: int, how: str) -> Callable[[], Outcome]:
    seconds = laboratory.scale.stream_seconds

    def once() -> Outcome:
        folder = laboratory.folder()
        result = folder / "lags.json"
        command = [
            str(laboratory.environments.ours),
            str(laboratory.script("follow")),
            str(folder / "journal"),
            str(rate),
            str(max(seconds, 3 / rate)),
            how,
            str(result),
        ]
        processes.run(command, cwd=folder, limit=120.0)
        lags = sorted(json.loads(result.read_text(encoding="utf-8")))
        return {"p50": percentile(lags, 0.5), "p99": percentile(lags, 0.99), "max": lags[-1]}

    return once
