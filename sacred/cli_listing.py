"""The commands that show what is there: ``sacred ls``, ``show`` and ``events``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sacred import terminal
from sacred.cli_options import (
    DAMAGED,
    NOT_LOOKED,
    at_option,
    cache_option,
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
    from collections.abc import Iterable, Iterator

    from sacred.analysis.details import Message, Repository, Resumption, RunDetails
    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.replayers.listing import RunOutline
    from sacred.replayers.standings import Standing

__all__ = ["events", "ls", "show"]

_SHOWN_OUTPUT = 20
#: Lines of a section that may have any number.
_SHOWN = 10


@click.command()
@click.option("-n", "last", type=click.IntRange(1), metavar="N", help="Only the last N runs.")
@at_option
@cache_option
@json_option
@root_option
def ls(last: int | None, at: Moment | None, cache: bool, as_json: bool, root: str | None) -> int:
    """List the runs and what became of them.

    Times are those of this machine's zone; --json and SQL have UTC. Views that are behind or
    failed are told of in one line on stderr; --json has the views of each run.
    """
    from sacred.journal.finding import command_for
    from sacred.journal.root import RunFolder
    from sacred.replayers.listing import outlines
    from sacred.replayers.standings import standings

    place = root_of(root)
    found = outlines(place, last=last, cache=cache, at=at)
    if as_json:
        wrong_views: list[Standing] = []

        def records() -> Iterator[dict[str, Any]]:
            for outline in found:
                folder = RunFolder(Path(outline.path), outline.run)
                views = [] if at is not None else list(standings([folder], measure=False))
                wrong_views.extend(view for view in views if not view.is_well)
                yield {**outline.record(), "views": [_view_record(view) for view in views]}

        print_records(records())
        _tell_of_views(wrong_views, place)
        return 0
    listed = list(found)
    if not listed:
        say("there are no runs yet" if at is None else f"no run had begun at {at}")
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
    if at is not None:
        return 0  # how the views stood then nobody knows
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
@click.option(
    "--diff", "only_diff", is_flag=True, help="Only its uncommitted changes, for `git apply`."
)
@at_option
@json_option
@root_option
def show(run: str, only_diff: bool, at: Moment | None, as_json: bool, root: str | None) -> int:
    """Show one run closely.

    Its configuration, metrics, info, files and result, what it told of itself, when it was resumed,
    and the end of what it printed.
    """
    from sacred.analysis.details import details

    if only_diff and at is not None:
        raise click.UsageError("--diff is of the run as it is: give --diff or --at")
    if only_diff and as_json:
        raise click.UsageError("--diff prints a patch, not JSON: give one of the two")
    (folder,) = runs_of(root, (run,))
    if only_diff:
        return _show_diff(folder)
    found = details(folder, at=at)
    if as_json:
        from sacred.replayers.jsontext import to_json

        print(to_json(found.record(), indent=2))
    else:
        print_lines(_description(found, folder))
    return NOT_LOOKED if found.outline.status in {"FOREIGN", "EMPTY", "NEWER", "UNREADABLE"} else 0


def _show_diff(folder: RunFolder) -> int:
    from sacred.analysis.details import patches
    from sacred.journal.errors import BlobError
    from sacred.journal.finding import command_on

    shown = False
    try:
        for patch in patches(folder):
            shown = True
            if terminal.is_terminal():
                print_lines(
                    map(terminal.clean, patch.decode("utf-8", "replace").rstrip("\n").split("\n"))
                )
            else:
                sys.stdout.buffer.write(patch)
    except BlobError as error:
        say(f"{error}: {command_on('verify', folder)} says what to do")
        return DAMAGED
    sys.stdout.buffer.flush()
    if not shown:
        say(f"run {folder.number} has no uncommitted changes on record")
    return 0


def _description(found: RunDetails, folder: RunFolder) -> list[str]:
    from sacred.journal.finding import command_on
    from sacred.replayers.jsontext import to_json

    outline, document = found.outline, found.document
    number = outline.path if outline.run is None else f"run {outline.run}"
    status = terminal.status_text(outline.status)
    lines = [f"{terminal.paint(terminal.clean(number), 'bold')}  {status}"]
    meta, origin = document.get("meta") or {}, found.imported_from
    started = terminal.local_time(outline.start)
    took = terminal.duration_text(outline.duration)
    if outline.status == "DIED":
        took = f"last sign of life after {took}" if took else ""
    elif outline.status == "RUNNING":
        took = f"for {took}" if took else ""
    else:
        took = f"took {took}" if took else ""
    facts = {
        "name": outline.name,
        "id": None if outline.id is None or outline.id == outline.run else text_of(outline.id),
        "command": outline.command,
        "comment": meta.get("comment"),
        "imported": origin and f"from {origin['store']}, run {origin['run']}",
        "started": ", ".join(part for part in (started, took) if part),
        "host": outline.host,
        "result": None if outline.result is None else to_json(outline.result),
        "folder": outline.path,
        "problem": outline.problem,
        "note": outline.note,
        "to do": command_on("verify", folder) if outline.problem else None,
        "writers": len(found.writers) if len(found.writers) > 1 else None,
    }
    lines += [f"  {key:<8}  {terminal.clean(str(value))}" for key, value in facts.items() if value]
    lines += _section(*_last("resumed", [_resumption_line(each) for each in found.resumed]))
    lines += _section(*_last("messages", [_message_line(each) for each in found.messages]))
    lines += _section("config", _settings(document.get("config")))
    lines += _section("metrics", _metric_lines(found))
    lines += _section("logged", _series_lines(found))
    lines += _section("info", _settings(document.get("info")))
    lines += _section("artifacts", _artifact_lines(document.get("artifacts") or ()))
    lines += _section("resources", [_file_line(entry) for entry in document.get("resources") or ()])
    experiment = document.get("experiment") or {}
    lines += _section("sources", [_file_line(entry) for entry in experiment.get("sources") or ()])
    lines += _section("repositories", [_repository_line(each) for each in found.repositories])
    lines += _section("views", [_view_line(view) for view in found.views])
    trace = [line for part in document.get("fail_trace") or () for line in str(part).splitlines()]
    lines += _section("trace", [terminal.clean(line) for line in trace])
    printed = terminal.printed_lines(found.output)
    title = "output"
    if len(printed) > _SHOWN_OUTPUT:
        title = f"output (the last {_SHOWN_OUTPUT} lines)"
    lines += _section(title, printed[-_SHOWN_OUTPUT:])
    return lines


def _last(title: str, lines: list[str]) -> tuple[str, list[str]]:
    """Return a section's last lines, and a title that says so."""
    if len(lines) <= _SHOWN:
        return title, lines
    return f"{title} (the last {_SHOWN})", lines[-_SHOWN:]


def _resumption_line(resumption: Resumption) -> str:
    from sacred.replayers.jsontext import to_json

    given = [
        flag if value is True else f"{flag} {value if isinstance(value, str) else to_json(value)}"
        for flag, value in resumption.options.items()
    ]
    before = f", was {resumption.status}" if resumption.status else ""
    options = f", with {' '.join(given)}" if given else ""
    return terminal.clean(f"{terminal.local_time(resumption.time)}{before}{options}")


def _message_line(message: Message) -> str:
    when = terminal.local_time(message.time)
    return terminal.clean(f"{when}  {message.level}: {_shortened(message.text)}")


def _section(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    return ["", terminal.paint(title, "bold"), *("  " + line for line in lines)]


def _settings(tree: Any) -> list[str]:
    """Return ``key = value`` lines of nested entries."""
    from sacred.replayers.jsontext import leaves, to_json

    pairs = [(terminal.clean(key), to_json(value)) for key, value in leaves(tree or {})]
    width = min(32, max((len(key) for key, _ in pairs), default=0))
    return [f"{key:<{width}} = {terminal.clean(_shortened(value))}" for key, value in pairs]


def _shortened(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _metric_lines(found: RunDetails) -> list[str]:
    from sacred.replayers.jsontext import to_json

    if not found.metrics:
        return []
    numeric = ("POINTS", "STEP", "LAST", "MIN", "MAX")
    header = ("METRIC", *numeric)
    table = terminal.Table(header, right=numeric, flexible=("METRIC", "LAST"), optional=("STEP",))
    for metric in found.metrics:
        numbers = (metric.last, metric.lowest, metric.highest)
        last, low, high = ("" if n is None else _number_text(n) for n in numbers)
        table.add(metric.name, str(metric.points), to_json(metric.last_step), last, low, high)
    # The section indents it by two.
    return table.lines(
        aligned=True, width=terminal.columns() - 2 if terminal.is_terminal() else 1 << 20
    )


def _series_lines(found: RunDetails) -> list[str]:
    from sacred.replayers.jsontext import to_json

    if not found.logged:
        return []
    numeric = ("ENTRIES", "STEP")
    table = terminal.Table(("SERIES", "KIND", *numeric), right=numeric, flexible=("SERIES",))
    for series in found.logged:
        table.add(series.name, series.kind, str(series.entries), to_json(series.last_step))
    return table.lines(
        aligned=True, width=terminal.columns() - 2 if terminal.is_terminal() else 1 << 20
    )


def _number_text(value: Any) -> str:
    from sacred.replayers.jsontext import to_json

    if isinstance(value, float):
        return f"{value:.6g}"
    return _shortened(to_json(value), 40)


_VIEW_STATES = {
    "current": "up to date",
    "following": "being written",
    "behind": "behind",
    "deleted": "deleted there",
}


def _view_line(view: Any) -> str:
    from sacred.replayers.jsontext import to_json

    name = view.get("name") if isinstance(view, dict) else None
    if not name:
        return to_json(view)
    facts = [] if view.get("id") is None else [f"as {view['id']}"]
    if view.get("state"):
        facts.append(_VIEW_STATES.get(view["state"], str(view["state"])))
    error = f": {view['error']}" if view.get("error") else ""
    return terminal.clean(f"{name}  {', '.join(facts)}{error}".rstrip())


def _artifact_lines(artifacts: Iterable[Any]) -> list[str]:
    """Return a line for the last version of each: a training may keep hundreds of checkpoints."""
    last: dict[str, Any] = {}
    versions: Counter[str] = Counter()
    for entry in artifacts:
        last[entry.name] = entry
        versions[entry.name] += 1
    return [
        _file_line(
            entry, f", the last of {count} versions" if (count := versions[name]) > 1 else ""
        )
        for name, entry in last.items()
    ]


def _file_line(entry: Any, more: str = "") -> str:
    size = f"{entry.size:,} bytes" if entry.digest else "content not stored"
    return terminal.clean(f"{entry.name}  ({size}{more})")


def _repository_line(repository: Repository) -> str:
    state = ""
    if repository.diff is not None:
        state = f"  (changed: {repository.diff.size:,} bytes, --diff shows them)"
    elif repository.dirty:
        state = "  (changed)"
    return terminal.clean(f"{repository.url}  {repository.commit}{state}")


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
