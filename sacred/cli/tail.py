"""The command ``sacred tail``."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import at_option, json_option, root_option, runs_of, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.analysis.tail import Point, RunTail
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder
    from sacred.replayers.lines import Line
    from sacred.replayers.listing import RunOutline

__all__ = ["tail"]

_TAIL_HELP = """Show the end of what a run printed; with -f what comes, too.

    \b
      sacred tail 7                its last ten lines
      sacred tail -f last          then each new line; metrics in a line below
      sacred tail -f 7 --metrics   the points instead: loss 17 0.25
      sacred tail -n all 7         all it printed

    On a terminal -f keeps the last value of each metric at the bottom. With
    both --output and --metrics lines and points come one below the other, by
    time; a pipe gets the output alone unless asked for more. What a killed run
    printed last is shown, too.

    With --at the lines and points up to that moment.

    -f ends when the run ends, and says how; the exit code is 0 however it
    ended. Ctrl-C leaves the run alone (exit code 130).
    """

#: How often a terminal's last line is drawn anew at most (s).
_REDRAW = 0.1
#: Lines without an end that a terminal shows at most: one for each process that prints.
_MOST_UNFINISHED = 3


class _Count(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3
    name = "N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        text = str(value)
        if text == "all":
            return text
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            self.fail(f"{text!r} is no number of lines: give one, or all", param, ctx)
        return int(text)


@click.command(help=_TAIL_HELP)
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option(
    "-n", "most", type=_Count(), default=10, metavar="N", help="Begin with the last N (10), or all."
)
@click.option("--output", "output", is_flag=True, help="What it prints.")
@click.option("--metrics", "metrics", is_flag=True, help="Its metric points, a line each.")
@at_option
@json_option
@root_option
def tail(
    run: str,
    follow: bool,
    most: int | str,
    output: bool,
    metrics: bool,
    at: Moment | None,
    as_json: bool,
    root: str | None,
) -> int:
    """Show the end of what a run printed; with -f what comes, too."""
    from sacred.analysis.details import outline_then
    from sacred.analysis.tail import RunTail
    from sacred.journal.errors import NotAJournalError
    from sacred.replayers.listing import outline

    if at is not None and follow:
        raise click.UsageError("-f shows what comes, --at what was: give one of the two")
    (folder,) = runs_of(root, (run,))
    found = outline_then(folder, at)
    if found.status in _UNSEEN:
        raise NotAJournalError(f"{_named(folder)} has nothing to show: {found.problem}")
    lines = output or not metrics
    points = metrics or (as_json and not output)
    shows = _Lines(as_json) if as_json or not (follow and _is_live()) else _Screen(folder)
    ended = RunTail(folder, lines=lines, points=points, at=at)
    try:
        shows.add(ended.last(None if isinstance(most, str) else most))
        if follow and found.status in _GOING_ON:
            if found.status == "QUEUED" and not isinstance(shows, _Screen):
                say(f"{_named(folder)} is queued: waiting for it to begin")
            shows.pause(ended, found, draw=not metrics)
            for item in ended.follow():
                if item is None:
                    shows.pause(ended, found, draw=not metrics)
                else:
                    shows.add([item])
            found = outline(folder)
        elif found.status not in _GOING_ON:
            shows.add(ended.rest())
        elif not as_json:
            shows.add(ended.unfinished())
    finally:
        shows.close()
        ended.close()
    if follow or (terminal.is_terminal() and not as_json):
        _tell(folder, found, ended, follow=follow)
    if found.problem:  # also in a pipe: what is lost may be what was asked for
        from sacred.journal.finding import command_on

        say(f"{terminal.clean(found.problem)}; {command_on('verify', folder)} says what to do")
    return 0


_GOING_ON = frozenset({"RUNNING", "QUEUED"})
_UNSEEN = frozenset({"FOREIGN", "EMPTY", "NEWER", "UNREADABLE"})


def _is_live() -> bool:
    return terminal.is_terminal() and os.environ.get("TERM") != "dumb"


def _named(folder: RunFolder) -> str:
    return terminal.clean(str(folder.path)) if folder.number is None else f"run {folder.number}"


def _tell(folder: RunFolder, found: RunOutline, ended: RunTail, *, follow: bool) -> None:
    """Say what became of the run, and how far its metrics came."""
    took = terminal.duration_text(found.duration)
    how = {"RUNNING": "for", "DIED": "its last sign of life after"}.get(found.status, "after")
    parts = [f"{_named(folder)} {found.status}"]
    if took:
        parts[0] += f", {how} {took}" if found.status == "DIED" else f" {how} {took}"
    if ended.error:
        parts.append(ended.error)
    elif not follow or terminal.is_terminal():
        parts += [_short_text(point) for point in ended.latest.values()]
    say(terminal.clean(": ".join([parts[0], ", ".join(parts[1:])] if parts[1:] else parts)))


def _point_text(point: Point, separator: str = " ") -> str:
    from sacred.replayers.jsontext import to_json

    cells = (point.metric, to_json(point.step).strip('"'), to_json(point.value).strip('"'))
    return separator.join(map(terminal.clean, cells))


def _short_text(point: Point) -> str:
    value = point.value
    return _point_text(
        point._replace(value=float(f"{value:.6g}") if type(value) is float else value)
    )


def _item_lines(item: Line | Point) -> list[str]:
    from sacred.analysis.tail import Point

    if isinstance(item, Point):
        if terminal.is_terminal():
            return [terminal.paint(_point_text(item), "cyan")]
        return [_point_text(item, "\t")]
    return terminal.printed_lines(item.text) or [""]


class _Lines:
    """Shows lines and points below one another: where nothing can be drawn over."""

    def __init__(self, as_json: bool = False) -> None:
        self._json = as_json

    def add(self, items: Iterable[Line | Point]) -> None:
        if self._json:
            from sacred.analysis.tail import item_record
            from sacred.replayers.jsontext import to_json

            for item in items:
                sys.stdout.write(to_json(item_record(item)) + "\n")
            return
        for item in items:
            for line in _item_lines(item):
                sys.stdout.write(line + "\n")

    def pause(self, ended: RunTail, found: RunOutline, *, draw: bool) -> None:  # noqa: ARG002
        sys.stdout.flush()

    def close(self) -> None:
        sys.stdout.flush()


class _Screen(_Lines):
    """Shows them above a few lines that are drawn anew: what is not ended yet, and the metrics."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self._folder = folder
        self._drawn = 0
        self._when = 0.0

    def add(self, items: Iterable[Line | Point]) -> None:
        for item in items:
            self._wipe()
            super().add([item])

    def pause(self, ended: RunTail, found: RunOutline, *, draw: bool) -> None:
        now = time.monotonic()
        if self._drawn and now - self._when < _REDRAW:
            return
        width = terminal.columns() - 1
        region = []
        for line in ended.unfinished()[-_MOST_UNFINISHED:]:
            region += [terminal.fitted(text, width) for text in _item_lines(line)[-1:]]
        status = terminal.fitted(self._status(ended, found, draw=draw), width)
        region.append(terminal.paint(status, "dim"))
        with terminal.undisturbed():
            self._wipe()
            sys.stdout.write("\n".join(region))
            sys.stdout.flush()
            self._drawn, self._when = len(region), now

    def _status(self, ended: RunTail, found: RunOutline, *, draw: bool) -> str:
        parts = [f"{_named(self._folder)} {ended.status or found.status}"]
        if ended.since is not None and ended.status == "RUNNING":
            parts[0] += f" {terminal.duration_text(max(0.0, time.time() - ended.since / 1e9))}"
        if draw:
            parts += [_short_text(point) for point in ended.latest.values()]
        return "  ".join(parts)

    def _wipe(self) -> None:
        if self._drawn:
            up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
            with terminal.undisturbed():
                sys.stdout.write(f"\r{up}\x1b[J")
                self._drawn = 0

    def close(self) -> None:
        self._wipe()
        super().close()
