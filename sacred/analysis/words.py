"""What may stand on a command line about the runs of a root: runs, metrics, names of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sacred.analysis.fields import RUN_FIELDS, STATISTICS
from sacred.journal.errors import JournalError
from sacred.replayers.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.journal.root import JournalRoot, RunFolder

__all__ = ["Candidate", "column_candidates", "metric_candidates", "run_candidates"]

#: Runs that are offered or looked at, the last ones: whoever pressed Tab waits.
_RUNS = 20
#: Names of runs are looked for in so many.
_NAMED_RUNS = 100


class Candidate(NamedTuple):
    """A word, and what it is in a few others.

    Attributes
    ----------
    text
        The whole word.
    about
        What it is; may be empty.
    """

    text: str
    about: str = ""


def run_candidates(root: JournalRoot, typed: str) -> list[Candidate]:
    """Return words that name runs: numbers, the last first, ``last``, and names of experiments.

    Parameters
    ----------
    root
        Whose runs are meant.
    typed
        What the words begin with.
    """
    numbers = [n for n in reversed(root.numbers()) if str(n).startswith(typed)]
    found = [Candidate(str(n), _about(root.run(n))) for n in numbers[:_RUNS]]
    if "last".startswith(typed) and root.numbers():
        found.insert(0, Candidate("last", "the run that began last"))
    if typed and not typed.isdigit():
        last = root.numbers()[-_NAMED_RUNS:]
        names = dict.fromkeys(_name(root.run(n)) for n in reversed(last))
        found += [
            Candidate(f"{name}~0", "the last of this name")
            for name in names
            if name and name.startswith(typed) and not name.isdigit()
        ]
    return found


def metric_candidates(root: JournalRoot, typed: str) -> list[Candidate]:
    """Return the names of metrics that the last runs logged.

    Parameters
    ----------
    root, typed
        As of ``run_candidates``.
    """
    names = _asked(root, "select distinct metric from metrics where run > {after}")
    return [Candidate(name) for name in names if name.startswith(typed)]


def column_candidates(root: JournalRoot, typed: str) -> list[Candidate]:
    """Return the names that ``sacred ls -c`` takes and the last runs have, for the last of a list.

    Parameters
    ----------
    root
        As of ``run_candidates``.
    typed
        Names by commas, maybe with a sign in front; the last one is to be completed.
    """
    before, comma, name = typed.rpartition(",")
    if not comma and name[:1] in {"+", "-"}:
        before, name = name[0], name[1:]
    found = [Candidate(each, about) for each, about in RUN_FIELDS.items()]
    if name:
        keys = "select distinct key from config where run > {after}"
        found += [Candidate(f"config.{key}") for key in _asked(root, keys)]
        metrics = [f"metrics.{each.text}" for each in metric_candidates(root, "")]
        found += [Candidate(each, STATISTICS["last"]) for each in metrics]
        whole = [each for each in metrics if name.startswith(each)]
        found += [Candidate(f"{m}.{s}", about) for m in whole for s, about in STATISTICS.items()]
    return [
        Candidate(f"{before}{comma}{each.text}", each.about)
        for each in found
        if each.text.startswith(name) and not set(each.text) & set(" ,\"'")
    ]


def _asked(root: JournalRoot, statement: str) -> Iterator[str]:
    from sacred.analysis.queries import query

    numbers = root.numbers()
    after = numbers[-_RUNS] - 1 if len(numbers) >= _RUNS else 0
    try:
        rows = query(statement.format(after=after), root).rows
    except (JournalError, QueryError, OSError):
        return  # there is less to offer
    yield from sorted(str(row[0]) for row in rows if row[0] is not None)


def _about(folder: RunFolder) -> str:
    from sacred.replayers.listing import outline

    try:
        found = outline(folder)
    except (JournalError, OSError):
        return ""
    return ", ".join(filter(None, (found.name, found.status)))


def _name(folder: RunFolder) -> str:
    from sacred.journal.finding import start_fields

    try:
        fields = start_fields(folder)
    except (JournalError, OSError):
        return ""
    return str((fields.get("experiment") or {}).get("name") or fields.get("name") or "")
