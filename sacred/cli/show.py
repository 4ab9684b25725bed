"""The command ``sacred show``: one run closely."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import (
    DAMAGED,
    NOT_LOOKED,
    at_option,
    json_option,
    print_lines,
    root_option,
    runs_of,
    say,
)
from sacred.cli.sparklines import sparkline
from sacred.cli.waiting import Waiting
from sacred.journal.integers import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sacred.analysis.config_changes import ConfigChanges
    from sacred.analysis.details import Message, Repository, Resumption, RunDetails
    from sacred.analysis.metric_summary import MetricSummary
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["show"]

_SHOWN_OUTPUT = 20
#: Lines of a section that may have any number.
_SHOWN = 10
#: Columns of a sparkline: where nothing is known of the width, and on terminals.
_TREND, _NARROW_TREND, _WIDE_TREND = 16, 8, 60


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

    \b
      sacred show 7
      sacred show last --at -10m           as it was ten minutes ago
      sacred show 7 --diff | git apply     with the changes that were not committed

    Configuration (what was changed is marked), machine, files, views, metrics with their course,
    the end of the output, and why it failed: what one looks for first stands last.
    """  # noqa: D301 - click's sign
    from sacred.analysis.details import details

    if only_diff and at is not None:
        raise click.UsageError("--diff is of the run as it is: give --diff or --at")
    if only_diff and as_json:
        raise click.UsageError("--diff prints a patch, not JSON: give one of the two")
    (folder,) = runs_of(root, (run,))
    if only_diff:
        return _show_diff(folder)
    with Waiting(f"reading run {run}"):
        found = details(folder, at=at)
    if found.outline.status != "FOREIGN" and not os.path.isdir(folder.journal):
        say(f"run {terminal.clean(run)} was removed while it was read")
        return NOT_LOOKED
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
    """Return the lines; what a person looks for first stands last, where the prompt is."""
    document = found.document
    experiment = document.get("experiment") or {}
    trace = [line for part in document.get("fail_trace") or () for line in str(part).splitlines()]
    lines = _heading(found, folder)
    lines += _section("notes", _laid_out(_note_lines(found.annotations.notes), 0))
    lines += _last("resumed", [_resumption_line(each) for each in found.resumed])
    lines += _last("messages", [_message_line(each) for each in found.messages])
    lines += _config_section(document.get("config"), found.changes)
    lines += _section("info", _laid_out(*_settings(document.get("info"))))
    lines += _section("host", _laid_out(*_host_lines(document.get("host") or {})))
    lines += _section("git", _laid_out([_repository_line(each) for each in found.repositories], 2))
    lines += _section("sources", _files(experiment.get("sources") or ()))
    lines += _section("resources", _files(document.get("resources") or ()))
    lines += _section("artifacts", _laid_out(_artifact_lines(document.get("artifacts") or ()), 2))
    lines += _section("views", _laid_out([_view_line(view) for view in found.views], 2))
    lines += _section("logged", _series_lines(found))
    metrics = _section("metrics", _metric_lines(found.metrics))
    output = _output_section(found.output)
    lines += [*output, *metrics] if found.outline.status == "COMPLETED" else [*metrics, *output]
    return lines + _section("trace", _trace_lines(trace))


def _repeated(meta: dict[str, Any]) -> str | None:
    link = meta.get("rerun_of")
    return f"run {link.get('run')}" if isinstance(link, dict) else None


def _heading(found: RunDetails, folder: RunFolder) -> list[str]:
    from sacred.journal.finding import command_on
    from sacred.replayers.jsontext import to_json

    outline, document = found.outline, found.document
    number = outline.path if outline.run is None else f"run {outline.run}"
    status = terminal.status_text(outline.status)
    meta, origin = document.get("meta") or {}, found.imported_from
    facts = {
        "name": outline.name,
        "id": None if outline.id is None or outline.id == outline.run else text_of(outline.id),
        "command": outline.command,
        "with": _given(meta),
        "comment": meta.get("comment"),
        "tags": ", ".join(found.annotations.tags),
        "repeats": _repeated(meta),
        "imported": origin and f"from {origin['store']}, run {origin['run']}",
        "started": ", ".join(
            part for part in (terminal.local_time(outline.start), _took(found)) if part
        ),
        "host": outline.host,
        "writers": len(found.writers) if len(found.writers) > 1 else None,
        "folder": outline.path,
        "result": None if outline.result is None else _shortened(to_json(outline.result)),
        "problem": outline.problem,
        "note": outline.note,
        "to do": command_on("verify", folder) if outline.problem else None,
    }
    lines = [f"{terminal.paint(terminal.clean(number), 'bold')}  {status}"]
    for key, value in facts.items():
        if value:
            text = f"  {key:<8}  {terminal.clean(str(value))}"
            lines += terminal.wrapped(text, " " * 12, terminal.columns())
    return lines


def _took(found: RunDetails) -> str:
    took = terminal.duration_text(found.outline.duration)
    if not took:
        return ""
    if found.outline.status == "DIED":
        return f"last sign of life after {took}"
    return f"for {took}" if found.outline.status == "RUNNING" else f"took {took}"


def _trace_lines(trace: list[str]) -> list[str]:
    """Return a stack trace; a line of marks that a terminal would break marks nothing."""
    room = terminal.columns() - 2 if terminal.is_terminal() else 1 << 30
    return [terminal.clean(line) for line in trace if len(line) <= room or set(line) - set(" ^~")]


def _given(meta: dict[str, Any]) -> str | None:
    """Return what stood behind ``with`` on the command line."""
    options = meta.get("options")
    given = options.get("UPDATE") if isinstance(options, dict) else None
    return " ".join(map(str, given)) if isinstance(given, (list, tuple)) else None


def _section(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return ["", terminal.paint(title, "bold"), *("  " + line for line in lines)]


def _last(title: str, lines: list[str]) -> list[str]:
    """Return the section of the last lines, with a title that says so."""
    if len(lines) > _SHOWN:
        title = f"{title} (the last {_SHOWN})"
    return _section(title, _laid_out(lines[-_SHOWN:], 4))


def _laid_out(lines: Sequence[str], indent: int, colours: Sequence[str] = ()) -> list[str]:
    """Return a section's lines as its width needs them: side by side, or broken.

    Parameters
    ----------
    lines
        One for each thing.
    indent
        Where a line that is too long goes on.
    colours
        Of the lines, if they have some.
    """
    colours = colours or [""] * len(lines)
    if not terminal.is_terminal() or not lines:
        return list(lines)
    room = terminal.columns() - 2
    width = max(map(terminal.width_of, lines))
    count = min((room + 4) // (width + 4), len(lines) // 4)
    if count < 2:
        return [
            terminal.paint(part, colour)
            for line, colour in zip(lines, colours, strict=True)
            for part in terminal.wrapped(line, " " * indent, room)
        ]
    rows = -(-len(lines) // count)
    painted = [
        terminal.paint(line, colour) + " " * (width - terminal.width_of(line))
        for line, colour in zip(lines, colours, strict=True)
    ]
    return ["    ".join(painted[row::rows]).rstrip() for row in range(rows)]


def _note_lines(notes: str | None) -> list[str]:
    return [terminal.clean(line) for line in (notes or "").splitlines()]


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


#: How an entry of the configuration is marked, in which colour, and what the mark is called.
_MARKS = {
    "modified": ("*", "blue", "modified"),
    "added": ("+", "green", "added"),
    "typechanged": ("!", "red", "of another type"),
}


def _config_section(config: Any, changes: ConfigChanges) -> list[str]:
    """Return the configuration, with a mark at each entry that was changed."""
    from sacred.replayers.jsontext import leaves

    tree = config if isinstance(config, dict) else {}
    paths = [path for path, _ in leaves(tree)]
    kinds = [changes.kind(path) for path in paths]
    counts = Counter(kind for kind in kinds if kind is not None)
    legend = ", ".join(
        f"{mark} {counts[kind]} {name}" for kind, (mark, _, name) in _MARKS.items() if counts[kind]
    )
    lines, colours = [], []
    settings, width = _settings(tree)
    for text, kind, path in zip(settings, kinds, paths, strict=True):
        mark, colour, _ = _MARKS[kind] if kind is not None else (" ", "", "")
        was = changes.typechanged.get(path)
        lines.append(f"{mark} {text}" + (f"  (was {terminal.clean(was[0])})" if was else ""))
        colours.append(colour)
    title = f"config ({legend})" if legend else "config"
    return _section(title, _laid_out(lines, width + 2, colours))


def _settings(tree: Any) -> tuple[list[str], int]:
    """Return ``key = value`` lines of nested entries, and where the values begin."""
    from sacred.replayers.jsontext import leaves, to_json

    pairs = [(terminal.clean(key), to_json(value)) for key, value in leaves(tree or {})]
    width = min(32, max((len(key) for key, _ in pairs), default=0))
    lines = [f"{key:<{width}} = {terminal.clean(_shortened(value))}" for key, value in pairs]
    return lines, width + 3


def _shortened(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _host_lines(host: dict[str, Any]) -> tuple[list[str], int]:
    """Return what the machine is, its name apart, and where the values begin."""
    from sacred.replayers.jsontext import leaves, to_json

    facts: dict[str, Any] = {key: value for key, value in host.items() if key != "hostname"}
    system = facts.get("os")
    if isinstance(system, (list, tuple)) and system:
        facts["os"] = system[-1]
    for name in ("memory", "total_memory"):
        if type(facts.get(name)) is int:
            facts[name] = f"{facts[name] / (1 << 30):.1f} GiB"
    pairs = [
        (terminal.clean(key), value if isinstance(value, str) else to_json(value))
        for key, value in leaves(facts)
        if value not in (None, {}, [], "")
    ]
    width = min(32, max((len(key) for key, _ in pairs), default=0))
    lines = [f"{key:<{width}}  {terminal.clean(_shortened(value, 200))}" for key, value in pairs]
    return lines, width + 2


def _metric_lines(metrics: Sequence[MetricSummary]) -> list[str]:
    from sacred.replayers.jsontext import to_json

    if not metrics:
        return []
    room = terminal.columns() - 2 if terminal.is_terminal() else None
    numeric = ("LAST", "MIN", "AT", "MAX", "AT ", "STEP", "POINTS")
    table = terminal.Table(
        ("METRIC", "TREND", *numeric),
        right=numeric,
        flexible={"METRIC": 24, "LAST": 12},
        optional=("AT", "AT ", "POINTS", "STEP", "TREND", "MAX"),
        colours={"TREND": "cyan"},
    )
    for metric in metrics:
        texts = [
            "" if n is None else _number_text(n)
            for n in (metric.last, metric.lowest, metric.highest)
        ]
        low, high, step = (
            "" if s is None else to_json(s)
            for s in (metric.lowest_step, metric.highest_step, metric.last_step)
        )
        last, least, most = texts
        table.add(metric.name, "", last, least, low, most, high, step, str(metric.points))
    width = _TREND
    if room is not None:  # what the other columns leave
        width = max(_NARROW_TREND, min(_WIDE_TREND, room - table.width() + len("TREND")))
    for row, metric in zip(table.rows, metrics, strict=True):
        row[1] = sparkline(metric.trend.curve(width))
    return table.lines(aligned=True, width=room or 1 << 20)


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


def _files(entries: Iterable[Any]) -> list[str]:
    return _laid_out([_file_line(entry) for entry in entries], 2)


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


def _output_section(output: str) -> list[str]:
    printed = terminal.printed_lines(output)
    title = "output"
    if len(printed) > _SHOWN_OUTPUT:
        title = f"output (the last {_SHOWN_OUTPUT} lines)"
    return _section(title, printed[-_SHOWN_OUTPUT:])
