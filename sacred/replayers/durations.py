"""Durations in words, as Sacred's messages and reports say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["td_format"]

_UNITS = (
    ("year", 365 * 86400),
    ("month", 30 * 86400),
    ("day", 86400),
    ("hour", 3600),
    ("minute", 60),
    ("second", 1),
)


def td_format(td_object: timedelta) -> str:
    """Return a duration in words: ``"1 hour, 2 minutes"``."""
    seconds = int(td_object.total_seconds())
    if seconds == 0:
        return "less than a second"
    parts = []
    for unit, length in _UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return ", ".join(parts)
