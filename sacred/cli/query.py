"""The command ``sacred query``."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import (
    at_option,
    cache_option,
    json_option,
    print_lines,
    print_records,
    roots_of,
    roots_option,
    say,
)
from sacred.cli.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.analysis.queries import QueryResult
    from sacred.analysis.root_choice import RootChoice
    from sacred.journal.past import Moment

__all__ = ["answered", "print_answer", "query"]

#: Bytes of a statement in a file; a longer one is something else.
_LONGEST = 1 << 20

_QUERY_HELP = """Ask the runs a question in SQL.

    \b
    The tables are runs, metrics, config, output, events, artifacts, resources,
    sources, hosts, views; "describe metrics" shows the columns of one. For example:

    \b
      sacred query "select run, name, status, duration from runs"
      sacred query "select run, metric, min(value) from metrics group by all"

    With --root repeated every table has a column root in front, and the runs of
    all: join and group by root and run.
    """


@click.command(help=_QUERY_HELP)
@click.argument("sql", required=False)
@click.option(
    "-f", "--file", "file", metavar="FILE", help="Read the statement from a file; - is stdin."
)
@click.option(
    "--memory", metavar="SIZE", help="What it may take, such as 4GiB (else half of the machine's)."
)
@click.option("--files", is_flag=True, help="Let it read files of this machine, such as a CSV.")
@at_option
@cache_option
@json_option
@roots_option
def query(
    sql: str | None,
    file: str | None,
    memory: str | None,
    files: bool,
    at: Moment | None,
    cache: bool,
    as_json: bool,
    root: tuple[str, ...],
) -> int:
    """Ask the runs a question in SQL."""
    if (sql is None) == (file is None):
        both = ", not both" if file is not None else ""
        raise click.UsageError(f"give a statement, or --file with one{both}")
    statement = sql if sql is not None else _read(file or "")
    place = roots_of(root)
    result = answered(statement, place, memory=memory, files=files, at=at, cache=cache)
    print_answer(result, as_json=as_json)
    return 0


def answered(statement: str, place: RootChoice, **options: Any) -> QueryResult:
    """Ask a question; on a terminal the place of an error is shown, and runs with problems are told."""
    from sacred.analysis.queries import StatementError
    from sacred.analysis.queries import query as ask

    try:
        with Waiting("reading the runs"):
            result = ask(statement, place, **options)
    except StatementError as error:
        if terminal.is_terminal(sys.stderr):
            for line in error.pointer:
                print(f"  {terminal.clean(line)}", file=sys.stderr)
        raise
    _tell_problems(result.problems, place)
    return result


def print_answer(result: QueryResult, *, as_json: bool = False, records: bool = False) -> None:
    """Print an answer: a table, rows one below the other, or JSON."""
    if as_json:
        names = _distinct(result.columns)
        print_records(dict(zip(names, map(_json_value, row), strict=True)) for row in result.rows)
        return
    if result.columns == ["explain_key", "explain_value"]:
        print_lines(line for row in result.rows for line in str(row[1]).splitlines())
        return
    if not result.rows and terminal.is_terminal():
        say(f"no rows; the columns are {terminal.clean(', '.join(result.columns))}")
        return
    columns = list(zip(*result.rows, strict=True)) or [()] * len(result.columns)
    kinds = [frozenset(map(type, column)) for column in columns]
    numeric = [name for name, of in zip(result.columns, kinds, strict=True) if of <= _NUMBERS]
    table = terminal.Table(result.columns, right=numeric, flexible=result.columns)
    # Column by column: 10,000 rows of 18 take 30 ms, cell by cell 140.
    texts = (_cells(column, of) for column, of in zip(columns, kinds, strict=True))
    for row in zip(*texts, strict=True):
        table.add(*row)
    print_lines(table.lines() if table.fits() and not records else table.records())


#: Types of what is shown at the right.
_NUMBERS = frozenset({bool, int, float, type(None)})


def _read(file: str) -> str:
    """Return the text of a file, or of standard input."""
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_LONGEST + 1)
        else:
            with open(file, "rb") as stream:
                content = stream.read(_LONGEST + 1)
    except OSError as error:
        raise click.UsageError(f"{file} can not be read: {error.strerror or error}") from None
    if len(content) > _LONGEST:
        raise click.UsageError(f"{file} is no statement: it has more than {_LONGEST:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file} is no text in UTF-8") from None


def _tell_problems(problems: list[str], choice: RootChoice) -> None:
    from sacred.journal.finding import command_for

    one = re.search(r"(?:^|: )run (\d+): ", problems[0]) if len(problems) == 1 else None
    root = choice.told_of(problems)
    verify = f"{command_for('verify', one[1] if one else '--all', root)} says what to do"
    if len(problems) > 1:
        say(
            f"{len(problems)} runs are damaged or can not be read, their rows may be missing: "
            f"{verify}"
        )
    elif problems:
        say(f"{terminal.clean(problems[0])}; {verify}")


def _distinct(names: list[str]) -> list[str]:
    """Return the names with numbers behind those that came before."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return distinct


def _json_value(value: Any) -> Any:
    """Return a decimal as the number it is; JSON has no other."""
    from decimal import Decimal

    return float(value) if isinstance(value, Decimal) else value


def _cells(column: Sequence[Any], kinds: frozenset[type]) -> Sequence[str]:
    """Return what a column's values are shown as."""
    if kinds == {str}:
        return column
    if kinds <= {str, int, float}:
        return list(map(str, column))
    return [_cell(value) for value in column]


def _cell(value: Any) -> str:
    if value is None:
        return "" if not terminal.is_terminal() else "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        from sacred.replayers.jsontext import to_json

        return to_json(value)
    return str(value)
