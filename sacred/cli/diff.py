"""The command ``sacred diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import at_option, json_option, print_lines, root_option, runs_of, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.analysis.difference import Change, Difference, MetricChange, TextChange
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["diff"]

_DIFF_HELP = """Show what is different between two runs.

    \b
      sacred diff 1 2                    everything that differs
      sacred diff last~1 last --only config --only metrics

    The sections are run (name, command, options, status, result, tags, notes),
    config, metrics, sources, dependencies, git and host; those in which nothing
    differs are left out. Sources are compared as stored, line by line.

    The exit code is 0 whether or not anything differs; with --exit-code it is 1
    if anything does, the time that they took aside.
    """

_SECTIONS = ("run", "config", "metrics", "sources", "dependencies", "git", "host")


@click.command(help=_DIFF_HELP)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--only",
    "only",
    multiple=True,
    type=click.Choice(_SECTIONS),
    metavar="SECTION",
    help="Only this section; may be repeated.",
)
@click.option("--exit-code", "tells", is_flag=True, help="Exit with 1 if anything differs.")
@at_option
@json_option
@root_option
def diff(
    a: str,
    b: str,
    only: tuple[str, ...],
    tells: bool,
    at: Moment | None,
    as_json: bool,
    root: str | None,
) -> int:
    """Show what is different between two runs."""
    from sacred.analysis.difference import difference

    # One after the other: a run may be compared with itself.
    (one,), (other,) = runs_of(root, (a,)), runs_of(root, (b,))
    found = difference(one, other, at=at)
    sections = only or _SECTIONS
    parts = found.parts()
    differs = any(parts[name] for name in sections)
    for side in (found.a, found.b):
        if side.outline.problem:
            say(terminal.clean(f"{_named(side.outline.run)}: {side.outline.problem}"))
    if as_json:
        from sacred.replayers.jsontext import to_json

        left_out = set(_SECTIONS) - set(sections)
        record = {key: value for key, value in found.record().items() if key not in left_out}
        print(to_json({**record, "different": differs}, indent=2))
    else:
        print_lines(_description(found, sections, (one, other), differs))
    return int(tells and differs)


def _named(number: int | None) -> str:
    return "the run" if number is None else f"run {number}"


def _description(
    found: Difference, sections: Iterable[str], folders: tuple[RunFolder, RunFolder], differs: bool
) -> list[str]:
    names = [
        terminal.clean(str(f.path)) if f.number is None else f"run {f.number}" for f in folders
    ]
    lines = [terminal.paint(f"{names[0]} -> {names[1]}", "bold")]
    made = {
        "run": lambda: _fact_lines(found),
        "config": lambda: _change_lines(found.config),
        "metrics": lambda: _metric_lines(found.metrics),
        "sources": lambda: _text_lines(found.sources),
        "dependencies": lambda: _change_lines(found.dependencies, plain=True),
        "git": lambda: [*_change_lines(found.commits, plain=True), *_text_lines(found.uncommitted)],
        "host": lambda: _change_lines(found.host),
    }
    for name in _SECTIONS:
        if name not in sections:
            continue
        section = made[name]()
        if not section:
            continue
        if name == "run":
            lines += section
        else:
            lines += ["", terminal.paint(name, "bold"), *section]
    if not differs:
        lines.append("  nothing else differs" if len(lines) > 1 else "  nothing differs")
    return lines


def _fact_lines(found: Difference) -> list[str]:
    from sacred.analysis.difference import Change

    facts = list(found.facts)
    took = [terminal.duration_text(seconds) for seconds in found.durations]
    if took[0] != took[1]:
        facts.append(Change("duration", took[0] or "?", took[1] or "?"))
    return _change_lines(facts, plain=True)


def _change_lines(changes: list[Change], *, plain: bool = False) -> list[str]:
    """Return a line for each change: ``key  a -> b``, or a sign before what one run alone has."""
    width = min(32, max((len(terminal.clean(change.key)) for change in changes), default=0))
    lines = []
    for change in changes:
        key = f"{terminal.clean(change.key):<{width}}"
        if change.kind == "added":
            lines.append(terminal.paint(f"+ {key}  {_value(change.b, plain)}", "green"))
        elif change.kind == "removed":
            lines.append(terminal.paint(f"- {key}  {_value(change.a, plain)}", "red"))
        else:
            before = terminal.paint(_value(change.a, plain), "red")
            lines.append(f"  {key}  {before} -> {terminal.paint(_value(change.b, plain), 'green')}")
    return lines


def _value(value: Any, plain: bool) -> str:
    from sacred.replayers.jsontext import to_json

    text = value if plain and isinstance(value, str) else to_json(value)
    return terminal.clean(text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)")


def _metric_lines(changes: list[MetricChange]) -> list[str]:
    if not changes:
        return []
    width = terminal.columns() - 2 if terminal.is_terminal() else 1 << 20
    facts = ["LAST", "MIN", "MAX", "POINTS"]
    # A name that is cut tells nothing: what is known besides the last values goes first, of both runs.
    while (table := _metric_table(changes, facts)).width() > width and len(facts) > 1:
        facts.pop()
    return ["  " + line for line in table.lines(aligned=True, width=width)]


def _metric_table(changes: list[MetricChange], facts: list[str]) -> terminal.Table:
    numeric = [f"{name} {side}" for name in facts for side in "AB"]
    table = terminal.Table(("METRIC", *numeric), right=numeric, flexible=("METRIC",))
    for change in changes:
        sides = [
            (None, None, None, None) if s is None else (s.last, s.lowest, s.highest, s.points)
            for s in (change.a, change.b)
        ]
        cells = [_number(value) for pair in zip(*sides, strict=True) for value in pair]
        table.add(change.name, *cells[: len(numeric)])
    return table


def _number(value: Any) -> str:
    from sacred.replayers.jsontext import to_json

    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else terminal.fitted(to_json(value), 40)


_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_IS = {"added": "in the second run only", "removed": "in the first run only", "changed": "changed"}


def _text_lines(changes: list[TextChange]) -> list[str]:
    lines: list[str] = []
    for change in changes:
        if change.lines:
            lines += [
                terminal.paint(terminal.clean(_tabless(line)), _COLOURS.get(line[:1], ""))
                for line in change.lines
            ]
            continue
        sizes = [f"{size:,} bytes" for size in change.sizes if size is not None]
        about = f" ({' -> '.join(sizes)})" if sizes else ""
        why = f": {change.why}" if change.why else ""
        lines.append(terminal.clean(f"  {change.name}  {_IS[change.kind]}{about}{why}"))
    return lines


def _tabless(line: str) -> str:
    return line.replace("\t", "        ")
