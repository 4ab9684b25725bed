"""The commands that show what is there: ``sacred ls`` and ``events``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sacred import terminal
from sacred.cli_options import (
    DAMAGED,
    NOT_LOOKED,
    first_of,
    json_option,
    print_lines,
    print_records,
    root_of,
    root_option,
    runs_of,
    say,
)
from sacred.journal.integers import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.root import JournalRoot
    from sacred.replayers.listing import RunOutline
    from sacred.replayers.standings import Standing

__all__ = ["events", "ls"]


@click.command()
@click.option("-n", "last", type=click.IntRange(1), metavar="N", help="Only the last N runs.")
@json_option
@root_option
def ls(last: int | None, as_json: bool, root: str | None) -> int:
    """List the runs and what became of them.

    Times are those of this machine's zone; --json and SQL have UTC. Views that are behind or
    failed are told of in one line on stderr; --json has the views of each run.
    """
    from sacred.journal.finding import command_for
    from sacred.journal.root import RunFolder
    from sacred.replayers.listing import outlines
    from sacred.replayers.standings import standings

    place = root_of(root)
    found = outlines(place, last=last)
    if as_json:
        wrong_views: list[Standing] = []

        def records() -> Iterator[dict[str, Any]]:
            for outline in found:
                folder = RunFolder(Path(outline.path), outline.run)
                views = list(standings([folder], measure=False))
                wrong_views.extend(view for view in views if not view.is_well)
                yield {**outline.record(), "views": [_view_record(view) for view in views]}

        print_records(records())
        _tell_of_views(wrong_views, place)
        return 0
    listed = list(found)
    if not listed:
        say("there are no runs yet")
        return 0
    print_lines(_listing(listed))
    if terminal.is_terminal():
        wrong = [outline for outline in listed if outline.problem]
        for outline in wrong:
            say(f"run {outline.run}: {terminal.clean(outline.problem or '')}")
        for outline in listed:
            if outline.note and not outline.problem:
                say(f"run {outline.run}: {terminal.clean(outline.note)}")
        if wrong:
            which = str(wrong[0].run) if len(wrong) == 1 else "--all"
            say(f"{command_for('verify', which, place)} says what to do")
    folders = [RunFolder(Path(outline.path), outline.run) for outline in listed]
    views = [view for view in standings(folders, measure=False) if not view.is_well]
    _tell_of_views(views, place)
    return 0


def _view_record(view: Standing) -> dict[str, Any]:
    return {
        "kind": view.kind,
        "view": view.view,
        "view_id": view.view_id,
        "state": view.state,
        "error": view.error,
    }


def _tell_of_views(wrong: list[Standing], place: JournalRoot) -> None:
    """Say in a line which views lack something."""
    from sacred.journal.finding import command_for

    if not wrong:
        return
    names = Counter(view.view for view in wrong)
    states = Counter(view.state for view in wrong)
    name, count = names.most_common(1)[0]
    runs = "1 run" if count == 1 else f"{count:,} runs"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    if len(wrong) == 1:
        text = f"the view {name} of run {wrong[0].run} {_IS[wrong[0].state]}"
    else:
        how = " or ".join(state for state in ("behind", "failed") if states[state])
        text = f"the view {name} of {runs}{more}: {how}"
    say(f"{terminal.clean(text)}; {command_for('views', '', place)} says why".replace("  ", " "))


_IS = {"behind": "is behind", "failed": "failed"}


def _listing(listed: list[RunOutline]) -> list[str]:
    from sacred.replayers.jsontext import to_json

    whole = not terminal.is_terminal()
    header = ["RUN", "ID", "STATUS", "STARTED", "TIME", "NAME", "COMMAND", "POINTS", "RESULT"]
    if whole:
        header.append("PROBLEM")
    optional = ["COMMAND", "STARTED", "TIME", "RESULT", "NAME"]
    if all(outline.id in {None, outline.run} for outline in listed if _plain_id(outline.id)):
        optional.insert(0, "ID")
    table = terminal.Table(
        header,
        right=("RUN", "TIME", "POINTS"),
        flexible=("ID", "NAME", "COMMAND", "RESULT"),
        optional=optional,
    )
    for outline in listed:
        cells = [
            str(outline.run),
            "" if outline.id is None else text_of(outline.id),
            outline.status,
            terminal.local_time(outline.start),
            terminal.duration_text(outline.duration),
            outline.name or "",
            outline.command or "",
            str(outline.points),
            "" if outline.result is None else to_json(outline.result),
        ]
        table.add(*cells, *([outline.problem or outline.note or ""] if whole else []))
    return table.lines()


def _plain_id(value: Any) -> bool:
    return value is None or isinstance(value, (int, str))


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="As JSON Lines; this is what it always does.")
@root_option
def events(run: str, as_json: bool, root: str | None) -> int:  # noqa: ARG001 - always JSON
    """Print every event of a run as JSON Lines.

    Metric points come one by one. Exit code 1 if the journal is damaged.
    """
    from sacred.analysis.details import event_lines
    from sacred.journal.finding import command_on

    (folder,) = runs_of(root, (run,))
    if folder.holds_nothing():
        say(f"run {run} was claimed, and nothing was written")
        return NOT_LOOKED
    problems: list[str] = []
    notes: list[str] = []
    print_lines(event_lines(folder, problems, notes))
    for note in first_of(notes, command_on("verify", folder)):
        say(f"run {run}: {terminal.clean(note)}")
    for problem in first_of(problems, command_on("verify", folder)):
        say(f"run {run}: {terminal.clean(problem)}")
    if problems:
        say(f"run {run} is not whole: {command_on('verify', folder)} says what to do")
    return DAMAGED if problems else 0
