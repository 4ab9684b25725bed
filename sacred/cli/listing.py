"""The commands that show what is there: ``sacred ls`` and ``events``."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import (
    DAMAGED,
    NOT_LOOKED,
    at_option,
    cache_option,
    first_of,
    json_option,
    print_lines,
    print_records,
    root_option,
    roots_of,
    roots_option,
    runs_of,
    say,
)
from sacred.cli.watch import Picture, counts_text
from sacred.cli.watch import watch as watch_it
from sacred.journal.integers import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sacred.analysis.root_choice import RootChoice
    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot
    from sacred.replayers.listing import RunOutline
    from sacred.replayers.standings import Standing

__all__ = ["events", "ls"]


#: Sentences of single runs that are told below a listing.
_TOLD = 10


_LS_HELP = """List the runs and what became of them.

    \b
      sacred ls -n 20                                   the last 20
      sacred ls -c +config.lr,metrics.loss.min          with two columns more
      sacred ls --sort metrics.loss.min -n 3            the best 3
      sacred ls --filter "config.lr < 0.1 and status = 'COMPLETED'"
      sacred ls --group config.optimizer -c metrics.accuracy.max,duration

    Columns: run, status, name, start, duration, result, tags, ..., config.X,
    info.X, host.X, result.X, and metrics.X with .last, .min, .max, .mean,
    .first, .count or .step behind it. A name with other signs than letters,
    digits and _ is quoted in a condition: metrics."val/loss".min.

    Of a group: the mean of numbers, the least of .min, the greatest of .max,
    the sum of points and .count; of others what all its runs have in common.

    With --root repeated the runs of all, as they began, with their root.

    Times are those of this machine's zone; --json and SQL have UTC. Views that
    are behind or failed are told of in one line on stderr.
    """


@click.command(help=_LS_HELP)
@click.option(
    "-n", "last", type=click.IntRange(1), metavar="N", help="The last N; with --sort the first N."
)
@click.option(
    "-c", "columns", metavar="NAMES", help="Columns, by commas; with + in front, besides the usual."
)
@click.option(
    "--filter", "where", metavar="CONDITION", help="Only runs that satisfy it, as in SQL."
)
@click.option("--sort", metavar="NAMES", help="Sort by columns; by -NAME the greatest is first.")
@click.option("--group", metavar="NAMES", help="A line for all runs that have the same values.")
@click.option("--watch", is_flag=True, help="Draw it anew as runs go on, until q or Ctrl-C.")
@at_option
@cache_option
@json_option
@roots_option
def ls(
    last: int | None,
    columns: str | None,
    where: str | None,
    sort: str | None,
    group: str | None,
    watch: bool,
    at: Moment | None,
    cache: bool,
    as_json: bool,
    root: tuple[str, ...],
) -> int:
    """List the runs and what became of them."""
    if watch and as_json:
        raise click.UsageError("--watch draws for people, --json is for programs: give one")
    choice = roots_of(root)
    if at is not None and watch:
        raise click.UsageError("--watch shows what goes on, --at what was: give one of the two")
    if any(given is not None for given in (columns, where, sort, group)):
        from sacred.cli.columns import Asked

        asked = Asked.of(columns, where, sort, group, last)._replace(cache=cache, at=at)
        return asked.watched(choice) if watch else asked.printed(choice, as_json=as_json)
    if watch:
        drawn = partial(choice.outlines, last=last, cache=cache)
        return watch_it(choice.title, lambda: _pictured(list(drawn()), choice))
    found = choice.outlines(last=last, cache=cache, at=at)
    if as_json:
        return _print_json(found, choice, views=at is None)
    listed = _read(found, choice, last)
    if not listed:
        say("there are no runs yet" if at is None else f"no run had begun at {at}")
        return 0
    print_lines(_listing(listed, choice))
    if terminal.is_terminal():
        _tell_of_runs(listed, choice)
    if at is None:  # how the views stood then nobody knows
        for place, of_root in _by_root(listed, choice):
            _tell_of_views(_behind(of_root), place)
    return 0


def _by_root(
    listed: list[RunOutline], choice: RootChoice
) -> Iterator[tuple[JournalRoot, list[RunOutline]]]:
    if not choice.several:
        yield choice.first, listed
        return
    for name, root in choice.roots:
        yield root, [found for found in listed if choice.name_of(found.path) == name]


def _read(found: Iterable[RunOutline], choice: RootChoice, last: int | None) -> list[RunOutline]:
    """Return all outlines; on a terminal it is shown how far that is."""
    bar = terminal.Progress(after=1.0)
    if not bar.visible:
        return list(found)
    total = sum(len(root.numbers()) for _, root in choice.roots)
    total, listed = min(total, last or total), []
    try:
        for outline in found:
            listed.append(outline)
            bar.draw(len(listed), total, f"run {outline.run}")
    finally:
        bar.close()
    return listed


def _print_json(found: Iterable[RunOutline], choice: RootChoice, *, views: bool) -> int:
    from sacred.journal.root import RunFolder
    from sacred.replayers.standings import standings

    wrong: dict[str, list[Standing]] = {}

    def records() -> Iterator[dict[str, Any]]:
        for outline in found:
            folder = RunFolder(outline.path, outline.run)
            stand = list(standings([folder], measure=False)) if views else []
            root = choice.name_of(outline.path)
            wrong.setdefault(root, []).extend(view for view in stand if not view.is_well)
            record = {**outline.record(), "views": [_view_record(view) for view in stand]}
            yield {"root": root, **record} if choice.several else record

    print_records(records())
    for name, place in choice.roots:
        _tell_of_views(wrong.get(name, []), place)
    return 0


def _behind(listed: Iterable[RunOutline]) -> list[Standing]:
    from sacred.journal.root import RunFolder

    every = (RunFolder(outline.path, outline.run) for outline in listed)
    folders = [folder for folder in every if folder.has_views()]
    if not folders:
        return []
    from sacred.replayers.standings import standings

    return [view for view in standings(folders, measure=False) if not view.is_well]


def _tell_of_runs(listed: list[RunOutline], choice: RootChoice) -> None:
    """Say what is wrong, or odd, with single runs."""
    wrong = [outline for outline in listed if outline.problem]
    odd = [outline for outline in listed if outline.note and not outline.problem]
    if not wrong and not odd:
        return
    from sacred.journal.finding import command_for
    from sacred.journal.root import RunFolder

    for outline in (wrong + odd)[:_TOLD]:
        root = f"{choice.name_of(outline.path)}: " if choice.several else ""
        told = outline.problem or outline.note or ""
        say(terminal.clean(f"{root}run {outline.run}: {told}"))
    if len(wrong) + len(odd) > _TOLD:
        more = len(wrong) + len(odd) - _TOLD
        whole = command_for("ls", "--json", choice.first)
        say(f"and of {more:,} more run{'s' * (more != 1)}: {whole}")
    if wrong:
        which = str(wrong[0].run) if len(wrong) == 1 else "--all"
        place = RunFolder(wrong[0].path).root
        say(f"{command_for('verify', which, place)} says what to do")


def _pictured(listed: list[RunOutline], choice: RootChoice) -> Picture:
    statuses = Counter(outline.status for outline in listed)
    lines = _listing(listed, choice) if listed else ["there are no runs yet"]
    return Picture(counts_text(statuses), lines[:1], lines[1:])


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
    if not wrong:
        return
    from sacred.journal.finding import command_for

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


def _listing(listed: list[RunOutline], choice: RootChoice) -> list[str]:
    from sacred.replayers.jsontext import to_json

    whole = not terminal.is_terminal()
    header = ["RUN", "ID", "STATUS", "STARTED", "TIME", "NAME", "COMMAND", "POINTS", "RESULT"]
    if choice.several:
        header.insert(0, "ROOT")
    if whole:
        header.append("PROBLEM")
    optional = ["COMMAND", "STARTED", "TIME", "RESULT", "NAME"]
    if all(outline.id in {None, outline.run} for outline in listed if _plain_id(outline.id)):
        optional.insert(0, "ID")
    table = terminal.Table(
        header,
        right=("RUN", "TIME", "POINTS"),
        flexible=("ROOT", "ID", "NAME", "COMMAND", "RESULT"),
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
        if choice.several:
            name = choice.name_of(outline.path)
            cells.insert(0, name if whole else choice.short(name))
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
