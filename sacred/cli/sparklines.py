"""Curves of a line's height."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacred.cli.terminal import shows

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["sparkline"]


def sparkline(values: Sequence[float | None]) -> str:
    """Return a curve of one character a value, from the lowest to the highest.

    A value that is None, no number to draw, is an ``x``. Where the encoding has no blocks, the
    heights are ``_.-~=+*#``.
    """
    heights = "▁▂▃▄▅▆▇█" if shows("▁█") else "_.-~=+*#"
    known = [value for value in values if value is not None]
    if not known:
        return "x" * len(values)
    low, high = min(known), max(known)
    # Halves: the difference of two finite numbers may be none.
    span = high / 2 - low / 2
    top = len(heights) - 1

    def drawn(value: float | None) -> str:
        if value is None:
            return "x"
        part = (value / 2 - low / 2) / span if span > 0 else 0.5
        return heights[min(top, int(part * len(heights)))]

    return "".join(map(drawn, values))
