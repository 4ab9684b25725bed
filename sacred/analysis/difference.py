"""What is different between two runs: what ``sacred diff`` shows."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.analysis.details import RunDetails, details
from sacred.journal.blobs import BlobStore
from sacred.journal.errors import BlobDamagedError, BlobError, NotAJournalError
from sacred.replayers.jsontext import jsonable, leaves, to_json
from sacred.replayers.sink import FileEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sacred.analysis.details import Repository
    from sacred.analysis.metric_summary import MetricSummary
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["SECTIONS", "Change", "Difference", "MetricChange", "TextChange", "difference"]

#: The parts of a difference, in the order in which they are shown.
SECTIONS = ("run", "config", "metrics", "sources", "dependencies", "git", "host")
#: What is larger is told of in a sentence, and not compared line by line: that takes minutes.
_MOST_BYTES = 1 << 20
_MOST_LINES = 10_000
#: Options that are how the configuration was given, or nothing that a run remembers.
_NO_OPTIONS = frozenset({"with", "UPDATE", "COMMAND", "help", "--help"})
_UNSEEN = frozenset({"FOREIGN", "EMPTY", "NEWER", "UNREADABLE"})


class _Absent:
    """Stands for what one of the runs does not have."""

    def __repr__(self) -> str:
        return "<absent>"


_ABSENT = _Absent()


class Change(NamedTuple):
    """One thing that is different.

    Attributes
    ----------
    key
        What; dotted.
    a, b
        In the first and in the second run; see ``kind`` where one does not have it.
    """

    key: str
    a: Any
    b: Any

    @property
    def kind(self) -> str:
        """``added``: the second run alone has it; ``removed``: the first alone; ``changed``."""
        if self.a is _ABSENT:
            return "added"
        return "removed" if self.b is _ABSENT else "changed"

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON; a run that does not have it has no entry."""
        record: dict[str, Any] = {"key": self.key, "change": self.kind}
        sides = {"a": self.a, "b": self.b}
        return record | {n: jsonable(v) for n, v in sides.items() if v is not _ABSENT}


class TextChange(NamedTuple):
    """A stored text that is different: a source file, the uncommitted changes of a repository.

    Attributes
    ----------
    name
        Of the file; the repository's address.
    kind
        ``added``, ``removed`` or ``changed``.
    sizes
        Bytes in both runs; None where it is not stored.
    lines
        A unified diff without ends of lines, or None.
    why
        Why there is none, half a sentence, or None.
    """

    name: str
    kind: str
    sizes: tuple[int | None, int | None]
    lines: list[str] | None
    why: str | None

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        diff = None if self.lines is None else "\n".join([*self.lines, ""])
        return {
            "name": self.name,
            "change": self.kind,
            "sizes": list(self.sizes),
            "diff": diff,
            "why": self.why,
        }


class MetricChange(NamedTuple):
    """A metric of which points, last value, minimum or maximum differ.

    Attributes
    ----------
    name
        Of the metric.
    a, b
        What became of it in both runs; None where it does not appear.
    """

    name: str
    a: MetricSummary | None
    b: MetricSummary | None

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        sides = {"a": self.a, "b": self.b}
        return {"name": self.name} | {k: v and v.record() for k, v in sides.items()}


class Difference(NamedTuple):
    """What is different between two runs; empty lists where nothing is.

    Attributes
    ----------
    a, b
        The runs.
    facts
        Name, command, options, named configurations, status, result, tags, notes, ...
    durations
        Of both (s). They are told and are no difference: no two runs take the same time.
    config, dependencies, host
        Entries by dotted keys, packages by name, facts by dotted keys.
    sources, uncommitted
        Stored files, and the changes that were not committed.
    commits
        Of repositories that both have: what was checked out; of the others, that they are there.
    metrics
        In the order of the first run, then of the second.
    """

    a: RunDetails
    b: RunDetails
    facts: list[Change]
    durations: tuple[float | None, float | None]
    config: list[Change]
    metrics: list[MetricChange]
    sources: list[TextChange]
    dependencies: list[Change]
    commits: list[Change]
    uncommitted: list[TextChange]
    host: list[Change]

    def __bool__(self) -> bool:
        """Tell whether anything is different."""
        return any((*self.parts().values(),))

    def parts(self) -> dict[str, list[Any]]:
        """Return what is different by section, as ``SECTIONS`` names them."""
        return {
            "run": self.facts,
            "config": self.config,
            "metrics": self.metrics,
            "sources": self.sources,
            "dependencies": self.dependencies,
            "git": [*self.commits, *self.uncommitted],
            "host": self.host,
        }

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        record: dict[str, Any] = {
            "a": self.a.outline.record(),
            "b": self.b.outline.record(),
            "different": bool(self),
        }
        return record | {
            name: [each.record() for each in found] for name, found in self.parts().items()
        }


def difference(a: RunFolder, b: RunFolder, *, at: Moment | None = None) -> Difference:
    """Compare two runs as their journals are now, or were at a moment.

    Raises
    ------
    RunNotFoundError
        One of them had not begun at that moment.
    NotAJournalError
        One of them holds nothing to compare; the text says why.

    Notes
    -----
    Values are the same if they are written alike: ``1`` and ``1.0`` are not, two NaN are. Memory:
    the documents of both, and two texts of a megabyte at most.
    """
    first, second = details(a, at=at), details(b, at=at)
    for found in (first, second):
        if found.outline.status in _UNSEEN:
            name = found.outline.path if found.outline.run is None else f"run {found.outline.run}"
            raise NotAJournalError(f"{name} can not be compared: {found.outline.problem}")
    one, other = _experiment(first), _experiment(second)
    return Difference(
        first,
        second,
        _changes(_facts(first), _facts(second)),
        (first.outline.duration, second.outline.duration),
        _changes(*(dict(leaves(d.document.get("config") or {})) for d in (first, second))),
        _metric_changes(first.metrics, second.metrics),
        _source_changes(a, b, _files(one), _files(other)),
        _changes(_packages(one), _packages(other)),
        _changes(_commits(first.repositories), _commits(second.repositories)),
        _patch_changes(a, b, first.repositories, second.repositories),
        _changes(*(dict(leaves(d.document.get("host") or {})) for d in (first, second))),
    )


def _experiment(found: RunDetails) -> dict[str, Any]:
    experiment = found.document.get("experiment")
    return experiment if isinstance(experiment, dict) else {}


def _facts(found: RunDetails) -> dict[str, Any]:
    outline, meta = found.outline, found.document.get("meta") or {}
    facts = {
        "name": outline.name,
        "command": outline.command,
        "status": outline.status,
        "result": outline.result,
        "comment": meta.get("comment"),
        "named configs": meta.get("named_configs"),
        "tags": list(found.annotations.tags),
        "notes": found.annotations.notes,
    }
    trace = found.document.get("fail_trace") or ()
    said = [line.strip() for part in trace for line in str(part).splitlines()]
    facts["failure"] = next((line for line in reversed(said) if line), None)
    options = meta.get("options")
    for key, value in (options if isinstance(options, dict) else {}).items():
        if key not in _NO_OPTIONS:
            facts[f"option {key}"] = value or None
    return {key: value for key, value in facts.items() if value not in (None, [], {})}


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """Compare two flat maps; the keys of the first come first."""
    changes = []
    for key in (*a, *(key for key in b if key not in a)):
        change = Change(key, a.get(key, _ABSENT), b.get(key, _ABSENT))
        if change.kind != "changed" or not _alike(change.a, change.b):
            changes.append(change)
    return changes


def _alike(a: Any, b: Any) -> bool:
    return isinstance(a, str) == isinstance(b, str) and to_json(a) == to_json(b)


def _metric_changes(a: list[MetricSummary], b: list[MetricSummary]) -> list[MetricChange]:
    first, second = ({metric.name: metric for metric in side} for side in (a, b))
    changes = []
    for name in (*first, *(name for name in second if name not in first)):
        one, other = first.get(name), second.get(name)
        if one is None or other is None or not _alike(one.record(), other.record()):
            changes.append(MetricChange(name, one, other))
    return changes


def _files(experiment: dict[str, Any]) -> dict[str, FileEntry]:
    return {e.name: e for e in experiment.get("sources") or () if isinstance(e, FileEntry)}


def _packages(experiment: dict[str, Any]) -> dict[str, str]:
    packages = {}
    for dependency in experiment.get("dependencies") or ():
        name, _, version = str(dependency).partition("==")
        packages[name] = version or "?"
    return dict(sorted(packages.items()))


def _commits(repositories: Iterable[Repository]) -> dict[str, str]:
    return {each.url: each.commit + (" (changed)" if each.dirty else "") for each in repositories}


class _Text(NamedTuple):
    """A text in the store: its digest, its size, or that it was not stored."""

    digest: str | None
    size: int


def _source_changes(
    a: RunFolder, b: RunFolder, first: dict[str, FileEntry], second: dict[str, FileEntry]
) -> list[TextChange]:
    changes = []
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if one and other and (one.digest, one.md5) == (other.digest, other.md5):
            continue
        texts = [e and _Text(e.digest, e.size) for e in (one, other)]
        changes.append(_text_change(name, (a, b), texts[0], texts[1]))
    return changes


def _patch_changes(
    a: RunFolder, b: RunFolder, first: list[Repository], second: list[Repository]
) -> list[TextChange]:
    sides = [{r.url: r.diff for r in side if r.diff is not None} for side in (first, second)]
    changes = []
    for url in sorted({*sides[0], *sides[1]}):
        one, other = (side.get(url) for side in sides)
        if one and other and one.digest == other.digest:
            continue
        texts = [blob and _Text(blob.digest, blob.size) for blob in (one, other)]
        changes.append(_text_change(url, (a, b), texts[0], texts[1]))
    return changes


def _text_change(
    name: str, folders: tuple[RunFolder, RunFolder], one: _Text | None, other: _Text | None
) -> TextChange:
    kind = "added" if one is None else "removed" if other is None else "changed"
    sizes = tuple(None if t is None or t.digest is None else t.size for t in (one, other))
    sides: list[list[str]] = []
    why = None
    for folder, text in zip(folders, (one, other), strict=True):
        lines, reason = ([], None) if text is None else _lines(folder, text)
        why = why or reason
        sides.append(lines)
    diff = None
    if why is None:
        labels = [_label(f, name, t) for f, t in zip(folders, (one, other), strict=True)]
        diff = list(difflib.unified_diff(sides[0], sides[1], labels[0], labels[1], lineterm=""))
    return TextChange(name, kind, (sizes[0], sizes[1]), diff, why)


def _label(folder: RunFolder, name: str, text: _Text | None) -> str:
    return "/dev/null" if text is None else f"{folder.number or folder.path.name}/{name}"


def _lines(folder: RunFolder, text: _Text) -> tuple[list[str], str | None]:
    """Return a stored text's lines, or why there are none."""
    name = f"run {folder.number}" if folder.number is not None else str(folder.path)
    if text.digest is None:
        return [], f"its content in {name} was not stored"
    if text.size > _MOST_BYTES:
        return [], f"it is too large to be compared by lines ({text.size:,} bytes in {name})"
    try:
        content = BlobStore(folder.root.blobs).read(text.digest)
    except BlobDamagedError:
        return [], f"its content in {name} is damaged"
    except (BlobError, OSError):
        return [], f"its content in {name} is missing from the store"
    if b"\0" in content:
        return [], "it is no text"
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return [], "it is no text"
    if len(lines) > _MOST_LINES:
        return [], f"it is too large to be compared by lines ({len(lines):,} in {name})"
    return lines, None
