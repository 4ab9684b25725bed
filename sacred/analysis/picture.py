"""Curves as a picture in a file, by matplotlib."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from sacred.analysis.curves import AXES
from sacred.journal.errors import OutputPlaceError
from sacred.journal.new_file import new_file
from sacred.replayers.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sacred.analysis.curves import Curve

__all__ = ["KINDS", "picture_kind", "save_picture"]

#: What matplotlib writes, by the end of a file's name.
KINDS = ("png", "svg", "pdf")
#: Columns of which each curve keeps its extremes: more than a picture has.
_BUCKETS = 4000


def picture_kind(path: str | os.PathLike[str]) -> str:
    """Return what the name of a picture says that it is.

    Raises
    ------
    OutputPlaceError
        It ends in nothing that can be drawn.
    """
    kind = os.path.splitext(os.fspath(path))[1].lower().removeprefix(".")
    if kind not in KINDS:
        raise OutputPlaceError(
            f"{os.fspath(path)!r} names no picture: end it in {', .'.join(('', *KINDS))[2:]}"
        )
    return kind


def save_picture(
    panels: Sequence[Sequence[Curve]],
    path: str | os.PathLike[str],
    *,
    x: str = "step",
    log: bool = False,
    title: str = "",
    overwrite: bool = False,
) -> Path:
    """Draw curves into a new file, one panel below the other.

    Parameters
    ----------
    panels
        The curves of each.
    path
        Ends in ``.png``, ``.svg`` or ``.pdf``. The file appears when it is whole.
    x
        What the curves were read over: ``step``, ``time``, ``relative``.
    log
        A logarithmic y axis.
    title
        Stands above.
    overwrite
        Also over a file that is there.

    Raises
    ------
    OutputPlaceError
        The name says no kind of picture, or something is there already.
    ModuleNotFoundError
        There is no matplotlib.
    QueryError
        It can not draw these numbers: they are too large.
    OSError
        The disk refuses.
    """
    kind = picture_kind(path)
    with new_file(path, overwrite=overwrite) as file:
        # No date: the same run gives the same picture.
        about = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fonts without a character, of wide ranges
                figure = _figure(panels, x=x, log=log, title=title)
                figure.savefig(file, format=kind, dpi=150, metadata=about)
        except (ValueError, OverflowError, ArithmeticError) as error:
            text = " ".join(str(error).split())
            raise QueryError(f"matplotlib can not draw these numbers: {text}") from None
    from pathlib import Path

    return Path(os.path.realpath(path))


def _figure(panels: Sequence[Sequence[Curve]], *, x: str, log: bool, title: str) -> Any:
    # Not pyplot: that looks for a screen, and keeps every figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 2.8 * len(panels)), layout="constrained")
    if title:
        figure.suptitle(_plain(title))
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axis, curves in zip(axes, panels, strict=True):
        metrics = list(dict.fromkeys(curve.metric for curve in curves))
        runs = {curve.run for curve in curves}
        for curve in curves:
            drawn = curve.reduced(_BUCKETS)
            names = [curve.metric] * (len(metrics) > 1) + [curve.run] * (len(runs) > 1)
            places = _moments(drawn.x) if x == "time" else drawn.x
            marker = "." if len(drawn.x) == 1 else ""
            axis.plot(places, drawn.y, label=_plain(", ".join(names)), linewidth=1.2, marker=marker)
        if log:
            axis.set_yscale("log")
        units = {curve.unit for curve in curves if curve.unit}
        unit = f" [{units.pop()}]" if len(units) == 1 else ""
        axis.set_ylabel(_plain(metrics[0] + unit if len(metrics) == 1 else f"value{unit}"))
        axis.grid(visible=True, alpha=0.3)
        if len(curves) > 1:
            axis.legend(fontsize="small")
    axes[-1].set_xlabel(f"time ({_zone()})" if x == "time" else AXES[x].replace("seconds", "s", 1))
    if x == "time":
        axes[-1].tick_params(axis="x", rotation=20)
    return figure


def _plain(text: str) -> str:
    """Return a text that matplotlib takes for no formula, and that every font can begin with."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return shown.replace("\\", "\\\\").replace("$", "\\$")


def _zone() -> str:
    import time

    return time.strftime("%Z")


def _moments(seconds: Sequence[float]) -> list[object]:
    import datetime as dt

    zone = dt.datetime.now().astimezone().tzinfo
    return [dt.datetime.fromtimestamp(second, zone) for second in seconds]
