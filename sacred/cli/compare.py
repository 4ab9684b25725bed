"""The command ``sacred compare``: runs side by side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.columns import cell_text, field_table, tell_problems
from sacred.cli.options import (
    json_option,
    print_lines,
    print_records,
    roots_of,
    roots_option,
    runs_among,
    say,
)
from sacred.cli.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.analysis.root_choice import RootChoice
    from sacred.analysis.run_table import RunTable
    from sacred.journal.root import RunFolder

__all__ = ["compare"]

_COMPARE_HELP = """Put runs side by side: config that differs, and metrics.

    \b
      sacred compare 3 4 last
      sacred compare --filter "config.dataset = 'mnist'" -n 5

    Of each metric the last value, the best and the mean. The best is the least
    of a loss, an error, a time and the like, else the greatest; --best says it
    for a metric. On a terminal each run is a column, and the best one of a row
    is green; in a pipe and in JSON each run is a row.
    """
#: What is the same in all, and no entry that anybody chose.
_ABOUT = ("name", "status")


@click.command(help=_COMPARE_HELP)
@click.argument("runs", nargs=-1, metavar="RUN...")
@click.option("--filter", "where", metavar="CONDITION", help="The runs that satisfy it, as in ls.")
@click.option("-n", "last", type=click.IntRange(1), metavar="N", help="Only the last N of them.")
@click.option(
    "--best", multiple=True, metavar="METRIC=min|max", help="Which value is best; may be repeated."
)
@json_option
@roots_option
def compare(
    runs: tuple[str, ...],
    where: str | None,
    last: int | None,
    best: tuple[str, ...],
    as_json: bool,
    root: tuple[str, ...],
) -> int:
    """Put runs side by side: config that differs, and metrics."""
    from sacred.analysis.comparison import comparison

    which = dict(map(_which, best))
    _check_asked(runs, where, last)
    choice = roots_of(root, runs)
    with Waiting("reading the runs"):
        folders = _chosen(choice, runs, where, last)
        found = comparison(folders, best=which, choice=choice)
    tell_problems(found.problems, choice)
    if as_json:
        print_records(found.records())
    elif not found.rows:
        say("there is no such run" if where else "there are no runs yet")
    elif not terminal.is_terminal():
        print_lines(field_table(found).lines())
    else:
        if len(found.rows) > 1 and not any(name.startswith("config.") for name in found.columns):
            say("no entry of their configuration differs")
        print_lines(_side_by_side(found, which, choice))
    return 0


def _check_asked(texts: tuple[str, ...], where: str | None, last: int | None) -> None:
    if where is not None and not where.strip():
        raise click.UsageError("--filter needs a condition")
    if not texts and where is None and last is None:
        raise click.UsageError("name the runs to compare, or give --filter or -n")
    if len(set(texts)) == 1:
        raise click.UsageError("one run alone can not be compared: name two or more")


def _chosen(
    choice: RootChoice, texts: tuple[str, ...], where: str | None, last: int | None
) -> list[RunFolder]:
    folders = list(runs_among(choice, texts)) if texts else choice.folders()
    if where is not None:
        from sacred.analysis.run_table import run_table

        folders = run_table(folders, ("run",), where=where, choice=choice).folders
    return folders if last is None else folders[max(0, len(folders) - last) :]


def _which(text: str) -> tuple[str, str]:
    metric, equals, which = text.rpartition("=")
    if not equals or not metric or which not in {"min", "max"}:
        raise click.UsageError(f"--best is METRIC=min or METRIC=max, not {text[:80]!r}")
    return metric, which


def _side_by_side(found: RunTable, which: dict[str, str], choice: RootChoice) -> list[str]:
    """Return tables with a column for each run, as many below each other as the width needs."""
    if "root" in found.columns:
        at = found.columns.index("root")
        shown = [(*r[:at], choice.short(r[at]), *r[at + 1 :]) for r in found.rows]
        found = found._replace(rows=shown)
    rows = [row for row in _rows(found, which) if any(row[1])]
    width = terminal.columns()
    widest = max(terminal.width_of(name) for name, *_ in rows)
    names = max(12, min(widest, width // 2))
    lines: list[str] = []
    begin = 0
    while begin < len(found.rows):
        end = begin + 1
        while end < len(found.rows) and _part(found, rows, begin, end + 1, names) <= width:
            end += 1
        table = _table(found, rows, begin, end)
        lines += [""] * bool(lines) + table.lines(width=width)
        begin = end
    return lines


_Row = tuple[str, list[str], set[int]]


def _rows(found: RunTable, which: dict[str, str]) -> list[_Row]:
    """Return of each entry its name, a cell for each run, and which of them are the best."""
    from sacred.analysis.comparison import best_of

    rows: list[_Row] = []
    for number, name in enumerate(found.columns):
        values = [row[number] for row in found.rows]
        if name in {"root", "run"} or (name == "name" and len(set(values)) == 1):
            continue
        title, winners = name, set[int]()
        if name.startswith("metrics."):
            metric, _, what = name.removeprefix("metrics.").rpartition(".")
            better = which.get(metric) or best_of(metric)
            winners = _winners(values, better)
            if what == "best":
                title = f"metrics.{metric}.{better}"
        rows.append((title, [cell_text(value, name) for value in values], winners))
    return rows


def _winners(values: Sequence[Any], better: str) -> set[int]:
    known = [value for value in values if value is not None and value == value]  # noqa: PLR0124 - NaN
    if len(set(known)) < 2:
        return set()
    best = min(known) if better == "min" else max(known)
    return {number for number, value in enumerate(values) if value == best}


def _part(found: RunTable, rows: Sequence[_Row], begin: int, end: int, names: int) -> int:
    """Return the width of a table of some runs, with so much for the names."""
    table = _table(found, rows, begin, end)
    return table.width() - max(terminal.width_of(name) for name, *_ in rows) + names


def _titles(found: RunTable) -> list[str]:
    """Return what the runs are called: their numbers, or their folders where they have the same."""
    at = found.columns.index("run")
    numbers = [str(row[at]) for row in found.rows]
    if "root" in found.columns:
        named = found.columns.index("root")
        return [os.path.join(str(row[named]), str(row[at])) for row in found.rows]
    if len(set(numbers)) == len(numbers):
        return numbers
    return [str(folder.path) for folder in found.folders]


def _table(found: RunTable, rows: Sequence[_Row], begin: int, end: int) -> terminal.Table:
    titles = _titles(found)[begin:end]
    table = terminal.Table(
        ["RUN", *titles], right=titles, flexible=dict.fromkeys(["RUN", *titles], 12)
    )
    for title, cells, winners in rows:
        table.add(title, *cells[begin:end])
        for number in range(begin, end):
            if title == "status":
                colour = terminal.status_colour(cells[number])
            else:
                colour = "green" if number in winners else ""
            table.colour(1 + number - begin, colour)
    return table
