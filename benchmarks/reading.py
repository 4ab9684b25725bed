"""B7: reading the points of one metric back into numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.laboratory import OURS, Contestant, recorders
from benchmarks.samples import interleave
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome

_MILLION = 1_000_000
_LIVE, _SEALED = "sacred-journal, not sealed", OURS
_LIMITS = {_LIVE: {"seconds": 180.0}, _SEALED: {"seconds": 40.0}}


def measure(laboratory: Laboratory) -> Table:
    """Record one run with each contestant, then read all of them in turns."""
    scale = laboratory.scale
    environments = laboratory.environments
    points = scale.bulk_points[-1]
    known = [
        replace(one, python=environments.ours_numpy, live=True) if one.ours else one
        for one in recorders(environments)
    ]
    known.insert(0, replace(known[0], name=_LIVE))
    known.append(Contestant("bare array", environments.ours_numpy, "write", "bare"))
    contestants: dict[str, Callable[[], Outcome]] = {
        contestant.name: _once(laboratory, contestant, points) for contestant in known
    }
    samples = interleave(
        contestants,
        # A reading takes milliseconds, and varies by as much as the memory that is at hand.
        rounds=3 * scale.bulk_rounds,
        progress=lambda text: laboratory.say(f"B7 {text}"),
    )
    return Table(
        "B7",
        "reading one metric into numpy",
        (Column("seconds", "ms", 1e-3), Column("points", "points")),
        tuple(
            Row(
                f"{points:,} points",
                contestant.name,
                samples[contestant.name],
                _LIMITS.get(contestant.name, {}) if points == _MILLION else {},
                contestant.name == OURS,
            )
            for contestant in known
        ),
        3 * scale.bulk_rounds,
        (
            "In a fresh process, numpy loaded, from opening the files to two arrays (steps and "
            "values). The journal is read by `sacred.journal.read_metrics` (times, too), sealed as "
            "the run leaves it and as it is until then; the bare array is 24 bytes a point, read "
            "and copied."
        ),
    )


def _once(laboratory: Laboratory, contestant: Contestant, points: int) -> Callable[[], Outcome]:
    recorded: list[Path] = []

    def once() -> Outcome:
        if not recorded:
            folder = laboratory.folder()
            laboratory.record(contestant, "points", [points, 1, 0], folder=folder)
            if contestant.name == _SEALED:
                laboratory.seal(contestant, folder)
            recorded.append(folder)
        (folder,) = recorded
        result = folder / "read.txt"
        command = [
            contestant.python,
            laboratory.script("read"),
            contestant.reader,
            folder / "data",
            result,
        ]
        processes.run([str(part) for part in command], cwd=folder, limit=300.0)
        seconds, found = result.read_text(encoding="utf-8").split()
        if int(found) != points:
            raise RuntimeError(f"{int(found):,} of {points:,} points were read")
        return {"seconds": float(seconds), "points": float(found)}

    return once
