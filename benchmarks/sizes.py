"""B5: bytes on disk for each metric point."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.laboratory import OURS, Contestant, folder_size, recorders
from benchmarks.samples import Failure, Samples
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from benchmarks.laboratory import Laboratory

#: Just above the 25 ms of silence after which the journal writes a point at once (s).
_IDLE = 0.026


def measure(laboratory: Laboratory) -> Table:
    """Measure what runs with points leave on the disk beyond what a run without points leaves."""
    scale = laboratory.scale
    known = recorders(laboratory.environments)
    cases: list[tuple[str, int, int, float, dict[str, float]]] = [
        ("burst", scale.size_points, 1, 0.0, {"each": 9.0, "sealed": 7.0}),
        ("burst, 1,000 names", scale.size_points, 1_000, 0.0, {"each": 13.0, "sealed": 8.0}),
        (f"one point every {_IDLE * 1e3:g} ms", scale.idle_points, 1, _IDLE, {}),
        (
            f"one point every {scale.trickle_spacing:g} s",
            scale.trickle_points,
            1,
            scale.trickle_spacing,
            {"each": 90.0, "sealed": 20.0},
        ),
    ]
    empty = {contestant.name: _size(laboratory, contestant, 0, 1, 0.0) for contestant in known}
    rows = []
    for case, points, names, spacing, budget in cases:
        laboratory.say(f"B5 {case}")
        # A size does not depend on what else the machine does: those that mostly sleep sleep together.
        with ThreadPoolExecutor(max_workers=len(known) if spacing else 1) as pool:
            futures = [
                pool.submit(_size, laboratory, contestant, points, names, spacing)
                for contestant in known
            ]
        for contestant, future in zip(known, futures, strict=True):
            samples = _per_point(future.result(), empty[contestant.name], points)
            limits = budget if contestant.ours else {}
            rows.append(Row(case, contestant.name, samples, limits, contestant.name == OURS))
    return Table(
        "B5",
        "bytes a point",
        (
            Column("each", "bytes a point"),
            Column("sealed", "sealed"),
            Column("empty", "an empty run, kB", 1e3),
        ),
        tuple(rows),
        1,
        (
            "A random walk with step and time; all files of the run, less those of a run without "
            f"points, by the number of points ({scale.size_points:,} in a burst). *Sealed*: as the "
            f"run leaves them, or `sacred seal`; the column before it is what they are until then. With {_IDLE * 1e3:g} ms between points each is written by itself, which "
            "is what a point alone costs; with a second between them the heartbeats and whatever "
            f"else a run writes in that time are in it too ({scale.trickle_points} points)."
        ),
    )


def _size(
    laboratory: Laboratory, contestant: Contestant, points: int, names: int, spacing: float
) -> tuple[int, int | None] | Failure:
    folder = laboratory.folder()
    try:
        contestant = replace(contestant, live=True)
        laboratory.record(contestant, "points", [points, names, spacing], folder=folder)
        live = folder_size(folder / "data")
        if not contestant.ours:
            return live, None
        laboratory.seal(contestant, folder)
        return live, folder_size(folder / "data")
    except Exception as error:
        failure = Failure(f"{type(error).__name__}: {error}")
        laboratory.say(f"B5 {contestant.name} failed: {failure.sentence}")
        return failure
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _per_point(
    size: tuple[int, int | None] | Failure, empty: tuple[int, int | None] | Failure, points: int
) -> Samples:
    samples = Samples()
    if isinstance(size, Failure):
        samples.failure = size
    elif isinstance(empty, Failure):
        samples.failure = empty
    else:
        found = {"each": (size[0] - empty[0]) / points, "empty": float(empty[0])}
        if size[1] is not None and empty[1] is not None:
            found["sealed"] = (size[1] - empty[1]) / points
        samples.rounds.append(found)
    return samples
