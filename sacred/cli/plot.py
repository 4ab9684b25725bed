"""The command ``sacred plot``."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from sacred.cli import terminal
from sacred.cli.options import (
    DAMAGED,
    at_option,
    json_option,
    print_lines,
    root_option,
    runs_of,
    say,
)
from sacred.cli.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.analysis.curves import Curve, RunCurves
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["plot"]

_PLOT_HELP = """Draw metrics of runs, in the terminal or into a picture.

    \b
      sacred plot last                    all its metrics
      sacred plot last loss accuracy      these two, one below the other
      sacred plot 1 2 3 loss              one metric of three runs
      sacred plot 1 2 -m 2 -m 'train.*'   metrics whose names look like runs
      sacred plot last loss --log --png loss.png

    The first argument is a run, and so is each behind it that is written as
    one (a number, last, last~2, id:X, the folder of a run); the rest are
    metrics, or patterns of their names. With -m all arguments are runs.

    Of many points the highest and the lowest of each column stay. Values that
    are no finite number (and, with --log, those not above zero) are left out,
    and their number is said. Pictures (.png, .svg, .pdf by the name) need
    matplotlib: pip install 'sacred-journal[plot]'.
    """

_RUN = re.compile(r"\d+|last(~\d+)?|id:.*", re.DOTALL)
_HEIGHT = 16


@click.command(help=_PLOT_HELP)
@click.argument("arguments", nargs=-1, required=True, metavar="RUN... METRIC...")
@click.option("-m", "--metric", "metrics", multiple=True, metavar="METRIC", help="A metric.")
@click.option(
    "-x",
    "x",
    type=click.Choice(["step", "time", "relative"]),
    default="step",
    help="What stands below: the step (default), the time, or that since the start of the run.",
)
@click.option("--log", "log", is_flag=True, help="A logarithmic scale.")
@click.option("--together", is_flag=True, help="All metrics in one picture.")
@click.option("--png", "picture", metavar="FILE", help="Into a picture: .png, .svg or .pdf.")
@click.option("--force", is_flag=True, help="Also over a picture that is there.")
@click.option(
    "--height", type=click.IntRange(6, 200), metavar="LINES", help="Of each in a terminal."
)
@at_option
@json_option
@root_option
def plot(
    arguments: tuple[str, ...],
    metrics: tuple[str, ...],
    x: str,
    log: bool,
    together: bool,
    picture: str | None,
    force: bool,
    height: int | None,
    at: Moment | None,
    as_json: bool,
    root: str | None,
) -> int:
    """Draw metrics of runs, in the terminal or into a picture."""
    from sacred.analysis.curves import panels
    from sacred.replayers.errors import QueryError

    texts, names = _apart(arguments, metrics)
    if picture is not None and as_json:
        raise click.UsageError("--png draws, --json does not: give one of the two")
    if picture is None and force:
        raise click.UsageError("--force goes with --png FILE")
    if picture is not None:
        from sacred.analysis.picture import picture_kind

        picture_kind(picture)
    folders = runs_of(root, texts)
    runs = _read(folders, names, x, at)
    problems = [
        f"{run}: {problem}"
        for run, each in zip(map(_named, folders), runs, strict=True)
        for problem in each.problems
    ]
    try:
        found = panels(runs, names, together=together)
    except QueryError:
        for problem in problems:  # the metric may be what is lost
            say(terminal.clean(problem))
        raise
    if log:
        found = [[curve.above_zero() for curve in panel] for panel in found]
    _tell_skipped(found, runs, folders, log=log)
    if as_json:
        _print_points(found)
    else:
        drawn = [[curve for curve in panel if curve.x] for panel in found]
        drawn = [panel for panel in drawn if panel]
        if not drawn:
            say("there is no point that can be drawn")
            return DAMAGED
        if picture is None:
            _draw(drawn, x, log=log, height=height)
        else:
            _save(drawn, picture, x, log=log, force=force)
    for problem in problems:
        say(terminal.clean(problem))
    return DAMAGED if problems else 0


def _apart(arguments: Sequence[str], metrics: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Tell the runs among the arguments from the metrics."""
    if metrics:
        return tuple(arguments), list(metrics)
    count = 1
    while count < len(arguments) and _is_run(arguments[count]):
        count += 1
    return tuple(arguments[:count]), list(arguments[count:])


def _is_run(text: str) -> bool:
    return bool(_RUN.fullmatch(text)) or (os.sep in text and os.path.isdir(text))


def _named(folder: RunFolder) -> str:
    return str(folder.path) if folder.number is None else f"run {folder.number}"


def _read(
    folders: Sequence[RunFolder], names: Sequence[str], x: str, at: Moment | None
) -> list[RunCurves]:
    from sacred.analysis.curves import run_curves

    if len(folders) == 1:
        with Waiting(f"reading {_named(folders[0])}"):
            return [run_curves(folders[0], names, x, at=at)]
    runs = []
    progress = terminal.Progress(after=1.0)
    try:
        for number, folder in enumerate(folders):
            progress.draw(number, len(folders), _named(folder))
            runs.append(run_curves(folder, names, x, at=at))
    finally:
        progress.close()
    return runs


def _tell_skipped(
    found: Sequence[Sequence[Curve]],
    runs: Sequence[RunCurves],
    folders: Sequence[RunFolder],
    *,
    log: bool,
) -> None:
    from sacred.journal.wording import counted

    for folder, run in zip(folders, runs, strict=True):
        if not run.metrics:
            say(terminal.clean(f"{_named(folder)} logged no metric"))
        elif not run.curves:
            say(terminal.clean(f"{_named(folder)} has none of these metrics"))
    what = "finite number above zero" if log else "finite number"
    for panel in found:
        for curve in panel:
            if curve.skipped:
                points = counted(curve.skipped, "point")
                say(terminal.clean(f"{curve.run}, {curve.metric}: {points} left out, no {what}"))


def _label(curve: Curve, panel: Sequence[Curve]) -> str:
    """Return what tells a curve from the others of its panel."""
    metrics, runs = {each.metric for each in panel}, {each.run for each in panel}
    names = [curve.metric] * (len(metrics) > 1) + [curve.run] * (len(runs) > 1 or len(metrics) == 1)
    return ", ".join(names)


def _title(panel: Sequence[Curve]) -> str:
    metrics = list(dict.fromkeys(curve.metric for curve in panel))
    runs = list(dict.fromkeys(curve.run for curve in panel))
    unit = panel[0].unit if len({curve.unit for curve in panel}) == 1 else None
    name = ", ".join(metrics) + (f" [{unit}]" if unit else "")
    return f"{name}  ({runs[0]})" if len(runs) == 1 else name


def _draw(panels: Sequence[Sequence[Curve]], x: str, *, log: bool, height: int | None) -> None:
    from sacred.analysis.curves import AXES
    from sacred.cli.terminal_chart import Series, chart_lines

    width = terminal.columns() if terminal.is_terminal() else 80
    for number, panel in enumerate(panels):
        if number:
            print()
        few = [curve.reduced(2 * width) for curve in panel]
        print_lines(
            chart_lines(
                _title(panel),
                [Series(_label(curve, panel), curve.x, curve.y) for curve in few],
                x_label=AXES[x],
                width=width,
                height=height or _HEIGHT,
                log=log,
                times=x == "time",
            )
        )


def _save(panels: Sequence[Sequence[Curve]], path: str, x: str, *, log: bool, force: bool) -> None:
    from sacred.analysis.picture import save_picture

    runs = list(dict.fromkeys(curve.run for panel in panels for curve in panel))
    title = runs[0] if len(runs) == 1 else ""
    with Waiting("drawing"):
        done = save_picture(panels, path, x=x, log=log, title=title, overwrite=force)
    print(f"{terminal.clean(str(done))}")


def _print_points(panels: Sequence[Sequence[Curve]]) -> None:
    from sacred.cli.options import print_records

    print_records(
        {
            "run": curve.run,
            "metric": curve.metric,
            "unit": curve.unit,
            "x": list(curve.x),
            "y": list(curve.y),
            "skipped": curve.skipped,
        }
        for panel in panels
        for curve in panel
    )
