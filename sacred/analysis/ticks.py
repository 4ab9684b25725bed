"""Round numbers for the axes of a picture, and how they are written."""

from __future__ import annotations

import math
import time

__all__ = ["log_ticks", "number_texts", "ticks", "time_texts"]

#: What divides a time without a strange rest (s).
_SPANS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def ticks(low: float, high: float, most: int, *, times: bool = False) -> list[float]:
    """Return round numbers between two, ends included.

    Parameters
    ----------
    low, high
        Finite.
    most
        How many numbers at most; one at least is given.
    times
        They are seconds: 15 s, 1 min, 6 h apart.
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most)
    if rough < 1e-300 or not math.isfinite(rough):
        return [low, high][: max(1, most)]
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [power * factor for factor in (1, 2, 2.5, 5, 10, 20)]
    if times and rough > 1:
        days = 86400 * max(1, math.ceil(rough / 86400))
        steps = [*(span for span in _SPANS if span >= rough), days, 2 * days]
    for step in steps:
        first, last = math.ceil(low / step), math.floor(high / step)
        if step >= rough * 0.999 and 1 <= last - first + 1 <= max(1, most):
            return [number * step for number in range(first, last + 1)]
    return [low]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return powers of ten between two numbers above zero; 1, 2 and 5 of each if those are few."""
    first, last = math.floor(math.log10(low)), min(308, math.ceil(math.log10(high)))
    for factors in ((1, 2, 5), (1,)):
        found = [
            factor * 10.0**power
            for power in range(first, last + 1)
            for factor in factors
            if low <= factor * 10.0**power <= high
        ]
        if 2 <= len(found) <= most:
            return found
    if len(found) > most:
        apart = math.ceil(len(found) / most)
        return found[::apart]
    return [low, high][: max(1, most)]


def number_texts(numbers: list[float]) -> list[str]:
    """Return numbers as texts that tell them apart."""
    for digits in range(4, 17):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(set(numbers)):
            break
    return [
        f"{number:.0f}" if _is_short(number) else text
        for number, text in zip(numbers, texts, strict=True)
    ]


def _is_short(number: float) -> bool:
    return number == int(number) and abs(number) < 1e7


def time_texts(moments: list[float]) -> list[str]:
    """Return times (seconds since the epoch) as the wall clock here shows them."""
    apart = moments[-1] - moments[0] if len(moments) > 1 else 0
    form = "%H:%M:%S" if apart < 6 * 3600 else "%m-%d %H:%M" if apart < 30 * 86400 else "%Y-%m-%d"
    texts = []
    for moment in moments:
        try:
            texts.append(time.strftime(form, time.localtime(moment)))
        except (OverflowError, ValueError, OSError):
            texts.append("?")
    if len(set(texts)) < len(texts):
        return [
            f"{text}.{int(moment % 1 * 1000):03d}"
            for text, moment in zip(texts, moments, strict=True)
        ]
    return texts
