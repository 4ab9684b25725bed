"""The command ``sacred views``: how far the views of runs are, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sacred.cli import terminal
from sacred.cli.options import (
    json_option,
    print_lines,
    print_records,
    root_of,
    root_option,
    runs_of,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.replayers.standings import Standing, ViewSummary

__all__ = ["views"]

#: A table of more lines than this tells of views, and of the runs that are not well.
_MOST = 30
_STATES = {
    "current": "up to date",
    "following": "being written",
    "deleted": "deleted there",
}


_HELP = """Tell how far the views of runs are, MongoDB and all others.

    \b
    RUN      57 -> mongo 900: run 57 is run 900 in that MongoDB
    STATE    up to date, being written, behind (it lacks events and is not
             written now), failed (it will not come right by itself), deleted
             there (by a person: --rebuild of sacred-replay writes it again)
    EVENTS   how many events of the journal are in the view; ? where the note of
             an earlier version does not tell
    LAG      how many are not, and for how long the oldest of them waits
    WRITTEN  when the view was last written from this machine

    This is what this machine remembers; no view is asked. Where that would be
    more than 30 lines, each view gets one, and each run that is behind or
    failed. Exit code 0 if none is, 1 if one failed, 3 if one is behind.
    """


@click.command(help=_HELP)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--all", "everything", is_flag=True, help="Every run, however many there are.")
@click.option("--summary", is_flag=True, help="A line for each view, not for each run.")
@json_option
@root_option
def views(
    runs: tuple[str, ...], everything: bool, summary: bool, as_json: bool, root: str | None
) -> int:
    """Tell how far the views of runs are."""
    from sacred.replayers.standings import standings, summarised

    if everything and (runs or summary):
        other = "--summary" if summary else "RUN"
        raise click.UsageError(f"--all and {other} contradict each other: give one of the two")
    folders = runs_of(root, runs) if runs else root_of(root).runs()
    found = list(standings(folders))
    if as_json:
        print_records(each.record() for each in (summarised(found) if summary else found))
    elif not found:
        say("no run here was written into a view" if folders else "there are no runs yet")
    elif summary:
        print_lines(_summaries(summarised(found)))
    elif len(found) <= _MOST or everything or runs:
        print_lines(_listing(found))
    else:
        _print_many(found, summarised(found))
    states = {standing.state for standing in found}
    return 1 if "failed" in states else 3 if "behind" in states else 0


def _print_many(found: list[Standing], summaries: list[ViewSummary]) -> None:
    print_lines(_summaries(summaries))
    wrong = [standing for standing in found if not standing.is_well]
    if wrong:
        print()
        print_lines(_listing(wrong[:_MOST]))
    if len(wrong) > _MOST:
        say(f"and {len(wrong) - _MOST:,} more that are behind or failed: --all shows every run")


def _listing(found: Sequence[Standing]) -> list[str]:
    table = terminal.Table(
        ("RUN", "STATE", "EVENTS", "LAG", "WRITTEN", "VIEW", "ERROR"),
        right=("EVENTS",),
        flexible=("RUN", "LAG", "VIEW", "ERROR"),
        optional=("WRITTEN", "VIEW", "EVENTS"),
    )
    for each in found:
        table.add(
            each.title,
            _STATES.get(each.state, each.state),
            "?" if each.events is None else str(each.events),
            _lag(each.lag_events, each.lag_seconds),
            terminal.local_time(each.written),
            each.view,
            each.error or "",
        )
    return table.lines() + _reasons(found)


def _reasons(found: Sequence[Standing]) -> list[str]:
    """Return the reasons in full where a table has no room for them, each once."""
    if not terminal.is_terminal():
        return []
    reasons: dict[str, list[str]] = {}
    for each in found:
        if each.error is not None:
            reasons.setdefault(f"{each.view}: {each.error}", []).append(str(each.run))
    return [""] * bool(reasons) + [terminal.clean(reason) for reason in reasons]


def _summaries(found: Sequence[ViewSummary]) -> list[str]:
    numbers = ("RUNS", "CURRENT", "FOLLOWING", "BEHIND", "FAILED", "DELETED")
    table = terminal.Table(
        ("VIEW", *numbers, "LAG", "WRITTEN", "ERROR"),
        right=numbers,
        flexible=("VIEW", "ERROR"),
        optional=("DELETED", "WRITTEN", "FOLLOWING"),
    )
    for each in found:
        counts = [str(each.counts.get(name.lower(), 0)) for name in numbers[1:]]
        table.add(
            each.view,
            str(each.runs),
            *counts,
            _lag(each.lag_events, each.lag_seconds),
            terminal.local_time(each.written),
            each.error or "",
        )
    return table.lines()


def _lag(events: int | None, seconds: float | None) -> str:
    if events is None:
        return "?"
    if not events:
        return ""
    return f"{events:,} events, {terminal.duration_text(seconds)}"
