"""A curve as SVG that stands in a page: it takes the page's colours, light or dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from sacred.analysis.scale import Scale
from sacred.analysis.ticks import number_texts, ticks

if TYPE_CHECKING:
    from sacred.analysis.curves import Curve

__all__ = ["svg_chart"]

_WIDTH, _HEIGHT = 460, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 34
#: Columns of which a curve keeps its extremes.
_BUCKETS = _WIDTH - _LEFT - _RIGHT


def svg_chart(curve: Curve, *, x_label: str) -> str:
    """Return a picture of a curve, with axes: an ``svg`` element with the classes of a report.

    Parameters
    ----------
    curve
        One point at least.
    x_label
        Of the x axis.
    """
    drawn = curve.reduced(_BUCKETS)
    across, up = Scale.of(drawn.x), Scale.of(drawn.y)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(x: float) -> float:
        return _LEFT + across.place(x) * (right - _LEFT)

    def height(y: float) -> float:
        return bottom - up.place(y) * (bottom - _TOP)

    label = escape(curve.metric)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" class="chart">'
    ]
    marks = ticks(up.low, up.high, 5)
    for mark, text in zip(marks, number_texts(marks), strict=True):
        y = height(mark)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        )
    marks = ticks(across.low, across.high, 6)
    for mark, text in zip(marks, number_texts(marks), strict=True):
        x = place(mark)
        anchor = "end" if x > right - 20 else "middle"
        parts.append(
            f'<path class="tick" d="M{x:.1f} {bottom}v4"/>'
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{escape(text)}</text>'
        )
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
    middle = (_LEFT + right) // 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
    )
    points = [f"{place(x):.1f} {height(y):.1f}" for x, y in zip(drawn.x, drawn.y, strict=True)]
    if len(points) == 1:
        at = points[0].split()
        parts.append(f'<circle class="point" cx="{at[0]}" cy="{at[1]}" r="3"/>')
    else:
        parts.append(f'<path class="curve" d="M{"L".join(points)}"/>')
    parts.append("</svg>")
    return "".join(parts)
