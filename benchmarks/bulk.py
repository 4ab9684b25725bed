"""B4: a process that records many points, until all of them are on disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.laboratory import OURS, Contestant, recorders
from benchmarks.samples import interleave
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome

_NAMES = (10, 1_000)
_MILLION = 1_000_000
_LIMITS = {"wall": 1.2, "rss": 45.0}


def measure(laboratory: Laboratory) -> Table:
    """Measure whole processes with more and more points, and with more and more metric names."""
    scale = laboratory.scale
    known = recorders(laboratory.environments)
    cases = [(points, 1, contestant) for points in scale.bulk_points for contestant in known] + [
        (scale.bulk_points[-1], names, known[0]) for names in _NAMES
    ]
    contestants: dict[str, Callable[[], Outcome]] = {
        str(number): _once(laboratory, contestant, points, names)
        for number, (points, names, contestant) in enumerate(cases)
    }
    samples = interleave(
        contestants,
        rounds=scale.bulk_rounds,
        progress=lambda text: laboratory.say(f"B4 {text}"),
    )
    rows = []
    for number, (points, names, contestant) in enumerate(cases):
        limits = _LIMITS if contestant.ours and points == _MILLION and names == 1 else {}
        rows.append(
            Row(
                f"{points:,} points, {names:,} name{'s' if names > 1 else ''}",
                contestant.name,
                samples[str(number)],
                limits,
                contestant.name == OURS,
            )
        )
    return Table(
        "B4",
        "many points, whole process",
        (
            Column("wall", "wall, s"),
            Column("cpu", "processor, s"),
            Column("rss", "memory, MB", 1e6),
            Column("each", "µs a point", 1e-6),
        ),
        tuple(rows),
        scale.bulk_rounds,
        (
            "From the start of the interpreter to the end of the process, the loop that draws the "
            "random walk included. The journal alone, the default durability; Sacred with a "
            "`FileStorageObserver`. Memory is the largest resident set. The point counts are read "
            "back after every run; a contestant that lost one counts as failed."
        ),
    )


def _once(
    laboratory: Laboratory, contestant: Contestant, points: int, names: int
) -> Callable[[], Outcome]:
    def once() -> Outcome:
        folder = laboratory.folder()
        cost = laboratory.record(contestant, "points", [points, names, 0], folder=folder)
        if names == 1:
            kept, _ = laboratory.count(contestant, folder)
            if kept != points:
                raise RuntimeError(f"{kept:,} of {points:,} points can be read back")
        shutil.rmtree(folder, ignore_errors=True)
        return {
            "wall": cost.wall,
            "cpu": cost.cpu,
            "rss": float(cost.rss),
            "each": cost.wall / points,
        }

    return once
