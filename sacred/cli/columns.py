"""Tables of runs whose columns are named: what ``sacred ls -c`` and ``sacred compare`` print."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sacred.analysis.fields import RUN_FIELDS
from sacred.cli import terminal
from sacred.cli.options import print_lines, print_records, say
from sacred.cli.waiting import Waiting
from sacred.cli.watch import Picture, counts_text, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.analysis.root_choice import RootChoice
    from sacred.analysis.run_table import RunTable
    from sacred.journal.past import Moment

__all__ = ["Asked", "cell_text", "field_table", "tell_problems"]

_NUMBERS = frozenset({"BIGINT", "DOUBLE"})
#: Sentences of single runs that are told.
_TOLD = 5
#: What is no entry of a part of the run.
_RUN_NAMES = frozenset({*RUN_FIELDS, "runs"})
#: Names of the run's own fields, as the listing has them.
_TITLES = {"start": "STARTED", "stop": "STOPPED", "duration": "TIME"}


class Asked(NamedTuple):
    """What a person wants to see of which runs.

    Attributes
    ----------
    columns
        Names of fields.
    optional
        Those of them that a narrow terminal may leave out, the first first.
    where
        A condition, or None.
    sort, group
        Names of fields.
    last
        How many lines at most; None: all.
    cache
        Whether what earlier questions kept may be used.
    at
        The runs as they were at a moment; None: as they are.
    """

    columns: tuple[str, ...]
    optional: tuple[str, ...]
    where: str | None
    sort: tuple[str, ...]
    group: tuple[str, ...]
    last: int | None
    cache: bool = True
    at: Moment | None = None

    @classmethod
    def of(
        cls,
        columns: str | None,
        where: str | None,
        sort: str | None,
        group: str | None,
        last: int | None,
    ) -> Asked:
        """Take it from the options of a command; None is an option that was not given."""
        from sacred.analysis.fields import split_names
        from sacred.analysis.run_table import DEFAULT_COLUMNS

        if where is not None and not where.strip():
            raise click.UsageError("--filter needs a condition")
        for name, given in (("-c", columns), ("--sort", sort), ("--group", group)):
            if given is not None and not given.strip(" ,+"):
                raise click.UsageError(f"{name} needs the name of a column")
        groups = tuple(split_names(group or ""))
        optional: tuple[str, ...] = ()
        usual = ("status", "duration") if groups else DEFAULT_COLUMNS
        given = (columns or "").strip()
        if not given or given.startswith("+"):
            added = split_names(given.removeprefix("+"))
            chosen = [*usual, *(name for name in added if name not in usual)]
            optional = _OPTIONAL
        else:
            # What a line is about stands in it.
            chosen = split_names(given)
            chosen = chosen if groups or "run" in chosen else ["run", *chosen]
        names = dict.fromkeys(name for name in chosen if name not in groups)
        return cls(tuple(names), optional, where, tuple(split_names(sort or "")), groups, last)

    def table(self, choice: RootChoice) -> RunTable:
        """Read the runs and return their table.

        Raises
        ------
        QueryError
            No run has such a field, or the condition is none.
        """
        from sacred.analysis.run_table import run_table

        found = run_table(
            choice.folders(cache=self.cache),
            self._columns_of(choice),
            where=self.where,
            sort=self.sort,
            last=None if self.sort else self.last,
            group=self.group,
            cache=self.cache,
            at=self.at,
            choice=choice,
        )
        if self.sort and self.last is not None:
            found = found._replace(rows=found.rows[: self.last], folders=found.folders[: self.last])
        return found

    def _columns_of(self, choice: RootChoice) -> tuple[str, ...]:
        """Return the columns; of runs of several roots the root stands in front."""
        named = "root" in (*self.columns, *self.group)
        if not choice.several or named or (self.group and "run" not in self.columns):
            return self.columns
        return ("root", *self.columns)

    def printed(self, choice: RootChoice, *, as_json: bool) -> int:
        """Print it as a command's result; return the exit code."""
        with Waiting("reading the runs"):
            found = self.table(choice)
        tell_problems(found.problems, choice)
        if as_json:
            print_records(found.records())
        elif not found.rows:
            say("there is no such run" if self.where else "there are no runs yet")
        else:
            print_lines(self._lines(found, choice))
        return 0

    def _lines(self, found: RunTable, choice: RootChoice) -> list[str]:
        if choice.several and "root" in found.columns and terminal.is_terminal():
            at = found.columns.index("root")
            rows = [(*r[:at], r[at] and choice.short(r[at]), *r[at + 1 :]) for r in found.rows]
            found = found._replace(rows=rows)
        table = field_table(found, grouped=len(self.group), optional=self.optional)
        return table.lines() if table.fits() else table.records()

    def watched(self, choice: RootChoice) -> int:
        """Draw it on the terminal until somebody has seen enough; return the exit code."""

        def picture() -> Picture:
            found = self.table(choice)
            lines = self._lines(found, choice)
            counts = Counter[str]()
            if "status" in found.columns and not self.group:
                at = found.columns.index("status")
                counts.update(str(row[at]) for row in found.rows)
            kind = "groups" if self.group else "runs"
            summary = counts_text(counts) or f"{len(found.rows):,} {kind}"
            return Picture(summary, lines[:1], lines[1:], first=bool(self.sort or self.group))

        return watch(choice.title, picture)


#: What of the usual columns a narrow terminal leaves out where others are shown, too.
_OPTIONAL = ("command", "start", "points", "result", "duration", "name")


def field_table(
    found: RunTable, *, grouped: int = 0, optional: Sequence[str] = ()
) -> terminal.Table:
    """Return the table to print.

    Parameters
    ----------
    found
        Its columns and rows.
    grouped
        By how many columns its rows are grouped; 0 if each is a run.
    optional
        Names of columns that a narrow terminal may leave out, the first first.
    """
    titles = [
        _title(name, kind, of_group=bool(grouped) and number > grouped)
        for number, (name, kind) in enumerate(zip(_short(found.columns), found.types, strict=True))
    ]
    right = [title for title, kind in zip(titles, found.types, strict=True) if kind in _NUMBERS]
    by_name = dict(zip(found.columns, titles, strict=True))
    table = terminal.Table(
        titles,
        right=right,
        flexible={
            title: 16
            for name, title, kind in zip(found.columns, titles, found.types, strict=True)
            if kind == "VARCHAR" and name != "status"
        },
        optional=[by_name[name] for name in optional if name in by_name],
    )
    for row in found.rows:
        table.add(*(cell_text(v, name) for name, v in zip(found.columns, row, strict=True)))
    return table


def _short(names: Sequence[str]) -> list[str]:
    """Return names without ``config.`` and ``metrics.`` on a terminal, where they stay different."""
    if not terminal.is_terminal():
        return list(names)
    short = [name.removeprefix("config.").removeprefix("metrics.") for name in names]
    taken = Counter([*short, *_RUN_NAMES])
    return [
        name if name == less or taken[less] > 1 else less
        for name, less in zip(names, short, strict=True)
    ]


def _title(name: str, kind: str, *, of_group: bool) -> str:
    """Return a column's title; of a group's number, what it is of them."""
    title = _TITLES.get(name, name.upper()) if name in _RUN_NAMES else name
    if not of_group or kind not in _NUMBERS or name.endswith((".min", ".max")):
        return title
    return f"{title} {'sum' if name == 'points' or name.endswith('.count') else 'mean'}"


def cell_text(value: Any, name: str = "") -> str:
    """Return a value as a cell: short on a terminal, with all its digits elsewhere.

    Parameters
    ----------
    value
        Of a field.
    name
        The field's: durations and times are shown as a listing shows them.
    """
    from datetime import datetime

    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return terminal.local_time(_nanoseconds(value))
    if isinstance(value, float) and name == "duration":
        return terminal.duration_text(value)
    if isinstance(value, float):
        return f"{value:.6g}" if terminal.is_terminal() else repr(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and name == "tags":
        return ", ".join(map(str, value))
    from sacred.replayers.jsontext import to_json

    return to_json(value)


def _nanoseconds(value: Any) -> int:
    from datetime import timezone

    return int(value.replace(tzinfo=timezone.utc).timestamp()) * 10**9


def tell_problems(problems: Sequence[str], choice: RootChoice) -> None:
    """Say which runs could not be read whole."""
    from sacred.journal.finding import command_for

    for problem in problems[:_TOLD]:
        say(terminal.clean(problem))
    if len(problems) > _TOLD:
        say(f"and {len(problems) - _TOLD:,} more runs")
    if problems:
        root = choice.told_of(problems)
        say(f"{command_for('verify', '--all', root)} says what to do")
