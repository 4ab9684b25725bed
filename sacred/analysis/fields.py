"""The names by which a run's entries are asked for: ``status``, ``config.lr``, ``metrics.loss.min``.

One language for Python (``runs.where(...)``, ``.sort(...)``) and the terminal (``sacred ls -c``,
``--sort``, ``--filter``, ``--group``). A name is one of ``RUN_FIELDS``, or begins with one of

* ``config.``, ``info.``, ``host.``, ``result.``: a dotted path into that part of the run; a path
  that ends at a group of entries stands for the group, as a dict;
* ``metrics.``: the name of a metric, and behind it perhaps one of ``STATISTICS`` (``last`` if none
  is given). Where a metric's own name ends like one of these, the metric of that name is meant.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.replayers.errors import QueryError
from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["RUN_FIELDS", "STATISTICS", "Field", "near", "split_names"]

#: Fields of the run itself, and what they say.
RUN_FIELDS = {
    "run": "number of its folder",
    "id": "its `_id`, by which views know it",
    "name": "name of the experiment",
    "command": "command that ran",
    "status": "what became of it, as `sacred ls` says",
    "start": "when it began, UTC",
    "stop": "when it ended, UTC; nothing if it did not",
    "duration": "seconds to the end, to now, or to the last sign of life of one that died",
    "points": "how many metric points it has",
    "result": "its result",
    "host": "name of the machine",
    "tags": "its tags",
    "notes": "what was noted about it",
    "comment": "its comment (`--comment`)",
    "seed": "the seed of the experiment",
    "commit": "what was checked out of the first repository of its sources",
    "problem": "what is wrong with its journal; nothing if all is well",
    "journal_id": "id of its journal, 16 hex digits",
    "path": "its folder",
    "root": "the root it lies in",
}
#: What can be asked of a metric. Numbers alone count; of these no NaN but for ``last`` and ``first``.
STATISTICS = {
    "last": "the value logged last",
    "min": "the least value",
    "max": "the greatest value",
    "mean": "the mean of the values",
    "first": "the value logged first",
    "count": "how many points it has",
    "step": "the step of the last point",
}
#: How like a name has to be to one that may be meant, of a last part alone, and how much less like
#: than the best the others are that are told.
_LIKE, _LIKE_PART, _SPREAD = 0.6, 0.75, 0.1
#: Parts of a run whose entries have paths.
_PARTS = ("config", "info", "host", "result")
#: Fields of the run that its first and last events do not tell.
_OF_THE_DOCUMENT = frozenset({"comment", "seed", "commit"})


class Field(NamedTuple):
    """One name.

    Attributes
    ----------
    name
        As it was given.
    part
        ``run``, ``config``, ``info``, ``host``, ``result`` or ``metrics``.
    path
        What stands behind the part; of ``run`` the name itself.
    """

    name: str
    part: str
    path: str

    @classmethod
    def of(cls, name: str) -> Field:
        """Take a name apart.

        Raises
        ------
        QueryError
            No field has such a name. (Whether a run has that entry is another question.)
        """
        if not isinstance(name, str):
            raise QueryError(f"a name is a text such as config.lr, not {name!r:.80}")
        part, dot, path = name.partition(".")
        if not dot and part in RUN_FIELDS:
            return cls(name, "run", part)
        if path and part in (*_PARTS, "metrics"):
            return cls(name, part, path)
        if part in (*_PARTS, "metrics"):
            raise QueryError(f"{part} has entries: name one, such as {part}.{_EXAMPLES[part]}")
        raise QueryError(unknown(name, RUN_FIELDS))

    @property
    def of_the_document(self) -> bool:
        """Whether a run has to be read whole for it, but for its points."""
        return self.part in {"config", "info", "host"} or self.path in _OF_THE_DOCUMENT

    def metrics(self) -> tuple[tuple[str, str], ...]:
        """Return the metrics and statistics that may be meant, the likeliest first."""
        path = plain_text(self.path)  # as every view has it
        name, _, statistic = path.rpartition(".")
        if statistic in STATISTICS and "." in path:
            return (path, "last"), (name, statistic)
        return ((path, "last"),)


_EXAMPLES = {
    "config": "lr",
    "info": "epoch",
    "host": "cpu",
    "result": "accuracy",
    "metrics": "loss",
}


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that nothing has."""
    known = list(known)
    head, _, tail = name.rpartition(".")
    statistic = difflib.get_close_matches(tail, STATISTICS, 1)
    if head in known and head.startswith("metrics.") and statistic:
        return f"there is no {name}; did you mean {head}.{statistic[0]}?"
    found = near(name, known)
    if len(found) == 1:
        return f"there is no {name}; did you mean {found[0]}?"
    if found:
        return f"there is no {name}; did you mean one of {', '.join(found)}?"
    return f"there is no {name}; there are {', '.join(RUN_FIELDS)} and config.X, metrics.X, info.X"


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return names that may have been meant, the nearest first, three at most.

    A last part without what belongs in front of it is near, too: ``lr`` to ``config.lr``.
    """
    names = list(dict.fromkeys(known))
    lowered = name.lower()
    same = [each for each in names if f".{each}".lower().endswith(f".{lowered}")]
    scores: dict[str, float] = {}
    for each in names:
        last = each.rpartition(".")[2]
        whole, part = _likeness(lowered, each.lower()), _likeness(lowered, last.lower())
        scores[each] = max(whole if whole >= _LIKE else 0.0, part if part >= _LIKE_PART else 0.0)
    best = max(scores.values(), default=0.0)
    found = sorted((each for each in names if scores[each]), key=lambda each: -scores[each])
    found = [each for each in found if scores[each] >= best - _SPREAD]
    return list(dict.fromkeys([*same, *found]))[:3]


def _likeness(one: str, other: str) -> float:
    matcher = difflib.SequenceMatcher(None, one, other)
    # The first two are quick and never less than the last.
    if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < _LIKE:
        return 0.0
    return matcher.ratio()


def split_names(text: str) -> list[str]:
    """Return the names of a list with commas, as ``-c`` takes it; quotes keep a comma together."""
    names, name, quoted = [], "", False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            names.append(name.strip())
            name = ""
        else:
            name += letter
    names.append(name.strip())
    if quoted:
        raise QueryError(f"a quotation mark is missing in {text[:80]!r}")
    return [each for each in names if each]


def entry(tree: Any, path: str) -> tuple[bool, Any]:
    """Return whether a part of a run has an entry, and its value.

    A key that has dots itself is found, too; the longest key decides.
    """
    if not isinstance(tree, dict) or not isinstance(path, str):
        return False, None
    if path in tree:
        return True, tree[path]
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        key = ".".join(parts[:length])
        if key in tree:
            found, value = entry(tree[key], ".".join(parts[length:]))
            if found:
                return True, value
    return False, None


def names_in(part: str, tree: Any) -> Iterator[str]:
    """Yield the names of all entries of a part of a run, groups before what is in them."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{part}.{key}"
            yield from names_in(f"{part}.{key}", value)


def statistics(summaries: Mapping[str, Mapping[str, Any]], field: Field) -> tuple[bool, Any]:
    """Return whether a run has the metric that a field names, and what is asked of it."""
    for metric, statistic in field.metrics():
        if metric in summaries:
            return True, summaries[metric].get(statistic)
    return False, None
