"""Samples of repeated measurements, taken in turns, and the numbers that stand for them."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: What one round of one contestant gave: quantity -> value.
Outcome = dict[str, float]


class Failure(str):
    """Why a contestant could not be measured."""

    __slots__ = ()

    @property
    def sentence(self) -> str:
        """The last line, where a traceback has its error."""
        lines = self.strip().splitlines()
        return lines[-1][:200] if lines else "unknown"


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of sorted samples lie: the nearest rank."""
    if not ordered:
        raise ValueError("there is no percentile of no samples; measure at least once")
    # Rounded first: 0.07 * 100 is a little more than 7.
    rank = min(len(ordered), max(1, math.ceil(round(share * len(ordered), 6)))) - 1
    return ordered[rank]


class Samples:
    """The outcomes of one contestant, round by round."""

    def __init__(self) -> None:
        self.rounds: list[Outcome] = []
        self.failure: Failure | None = None

    def values(self, quantity: str) -> list[float]:
        """Return a quantity's value in each round that has it."""
        return [outcome[quantity] for outcome in self.rounds if quantity in outcome]

    def median(self, quantity: str) -> float | None:
        """Return the median over the rounds, or None where there is none."""
        values = self.values(quantity)
        return statistics.median(values) if values else None

    def largest(self, quantity: str) -> float | None:
        """Return the largest value of all rounds, or None where there is none."""
        return max(self.values(quantity), default=None)


def interleave(
    contestants: Mapping[str, Callable[[], Outcome]],
    *,
    rounds: int,
    warmup: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Samples]:
    """Measure contestants in turns (A B C A B C ...), so that a busy minute hits them alike.

    Parameters
    ----------
    contestants
        Key -> function that measures once.
    rounds
        How often each is measured.
    warmup
        Rounds before that are not counted: compiled modules and the page cache get warm.
    progress
        Told the number of each round.

    Returns
    -------
    For each key its samples. A contestant that raised is out of the rounds that follow, and its
    samples say why.
    """
    samples = {key: Samples() for key in contestants}
    for turn in range(warmup + rounds):
        progress(f"round {turn + 1 - warmup} of {rounds}" if turn >= warmup else "warming up")
        for key, measure in contestants.items():
            kept = samples[key]
            if kept.failure is not None:
                continue
            try:
                outcome = measure()
            except Exception as error:
                kept.failure = Failure(f"{type(error).__name__}: {error}")
                progress(f"contestant {key} failed: {kept.failure.sentence}")
                continue
            if turn >= warmup:
                kept.rounds.append(outcome)
    return samples
