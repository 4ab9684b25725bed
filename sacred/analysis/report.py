"""A run as one page of HTML that needs nothing else: no server, no script, no other file."""

from __future__ import annotations

import base64
import mimetypes
import re
import unicodedata
from html import escape
from typing import TYPE_CHECKING, Any

from sacred.__about__ import __version__
from sacred.analysis.curves import run_curves
from sacred.analysis.details import RunDetails, details
from sacred.analysis.export import Exported
from sacred.analysis.report_style import STYLE
from sacred.analysis.stored import content
from sacred.analysis.svg_chart import svg_chart
from sacred.journal.errors import BlobError, JournalError, NotAJournalError
from sacred.journal.new_file import free_place, new_file
from sacred.replayers.jsontext import instant, leaves, to_json
from sacred.replayers.sink import FileEntry

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from sacred.analysis.curves import Curve
    from sacred.analysis.metric_summary import MetricSummary
    from sacred.journal.root import RunFolder

__all__ = ["write_report"]

_GOOD, _BAD = frozenset({"COMPLETED"}), frozenset({"FAILED", "DIED"})
_LIVE = frozenset({"RUNNING", "QUEUED"})
_UNSEEN = frozenset({"FOREIGN", "EMPTY", "NEWER", "UNREADABLE"})
#: What is more is told of in a sentence: a page that a browser opens at once.
_MOST_CHARTS, _MOST_ROWS, _MOST_LINES, _MOST_TEXT = 60, 1000, 300, 4000
_PICTURE_BYTES, _PICTURES_BYTES, _MOST_PICTURES = 1 << 20, 12 << 20, 48
#: What a browser draws in an ``img``, where no script of it runs.
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})
_SAFE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STEERING = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")


def write_report(
    folder: RunFolder, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Exported:
    """Write a run as one page of HTML.

    It has what the run was, its configuration, curves of its metrics, the end of its output, why it
    failed, and its files by name and size, small pictures themselves. Everything of the run's is
    shown as text; the page runs no script and loads nothing.

    Parameters
    ----------
    folder
        Of the run. One that is still written is taken as it is now.
    path
        The file: it appears when it is whole and durable.
    overwrite
        Also in the place of another file.

    Returns
    -------
    ``rows`` is 1.

    Raises
    ------
    NotAJournalError
        There is nothing to be read; the text says why.
    OutputPlaceError
        Something is there already, or can not be.
    OSError
        The disk refuses.

    Notes
    -----
    Memory: the run's document, 16 bytes a metric point, and the pictures.
    """
    found = details(folder)
    if found.outline.status in _UNSEEN:
        raise NotAJournalError(f"there is no report of this run: {found.outline.problem}")
    problems = [found.outline.problem] if found.outline.problem else []
    try:
        curves = run_curves(folder).curves
    except JournalError as error:
        curves, problems = [], [*problems, str(error)]
    with new_file(path, overwrite=overwrite) as file:
        for part in _page(folder, found, curves):
            file.write(part.encode("utf-8", "replace"))
    return Exported(free_place(path, overwrite=True), 1, [str(each) for each in problems])


def _shown(text: str) -> str:
    """Return a text of a user's as HTML: no markup, and nothing that can not be seen."""
    if not text.isprintable():
        text = "".join(
            character
            if character in "\n\t\u200d"
            or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
            else character.encode("unicode_escape").decode("ascii")
            for character in text
        )
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]}... ({len(text):,} characters)"
    return escape(text)


def _value(value: Any) -> str:
    return _shown(value if isinstance(value, str) else to_json(value))


def _page(folder: RunFolder, found: RunDetails, curves: Sequence[Curve]) -> Iterator[str]:
    outline, document = found.outline, found.document
    name = _shown(outline.name or "run")
    number = outline.path if outline.run is None else f"run {outline.run}"
    experiment = document.get("experiment") or {}
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_SAFE}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}, {_shown(number)}</title>\n<style>{STYLE}</style></head>\n<body><main>\n"
    )
    kind = "good" if outline.status in _GOOD else "bad" if outline.status in _BAD else ""
    kind = kind or ("live" if outline.status in _LIVE else "")
    yield f'<h1>{name} <span class="status {kind}">{_shown(outline.status)}</span></h1>\n'
    yield from _facts(found, number)
    trace = "".join(str(line) for line in document.get("fail_trace") or ())
    if trace:
        yield f'<h2>Failure</h2>\n<pre class="trace">{_shown(trace[-_MOST_TEXT:])}</pre>\n'
    yield from _settings(document)
    yield from _metrics(found.metrics, curves)
    if document.get("info"):
        yield from _entries("Info", dict(leaves(document["info"])))
    yield from _artifacts(folder, document.get("artifacts") or ())
    yield from _output(found.output)
    yield from _program(found, experiment)
    yield from _details(
        "Machine", _table(("fact", "value"), leaves(document.get("host") or {}), raw=False)
    )
    state = f"As of {_when(outline.last)} (UTC). " if outline.status in _LIVE else ""
    yield f"<footer>{state}Made by sacred-journal {_shown(__version__)}.</footer>\n"
    yield "</main></body></html>\n"


def _when(nanoseconds: Any) -> str:
    text = instant(nanoseconds)
    return "" if text is None else text[:19].replace("T", " ")


def _facts(found: RunDetails, number: str) -> Iterator[str]:
    outline, meta = found.outline, found.document.get("meta") or {}
    took = None if outline.duration is None else _took(outline.duration)
    what = {"RUNNING": "running for", "DIED": "last sign of life after"}.get(outline.status, "took")
    facts = {
        "run": number,
        "id": None if outline.id in (None, outline.run) else outline.id,
        "command": outline.command,
        "comment": meta.get("comment"),
        "started": f"{_when(outline.start)} (UTC)" if outline.start else None,
        what: took,
        "host": outline.host,
        "result": outline.result,
        "named configs": ", ".join(map(str, meta.get("named_configs") or ())),
        "tags": ", ".join(found.annotations.tags),
        "note": outline.note,
    }
    rows = [
        f"<dt>{escape(key)}</dt><dd>{_value(value)}</dd>"
        for key, value in facts.items()
        if value not in (None, "")
    ]
    yield f"<dl>{''.join(rows)}</dl>\n"
    if outline.problem:
        yield f'<p class="problem">{_shown(outline.problem)}</p>\n'
    if found.annotations.notes:
        yield f"<h2>Notes</h2>\n<pre>{_shown(found.annotations.notes)}</pre>\n"


def _took(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"


def _settings(document: dict[str, Any]) -> Iterator[str]:
    config = dict(leaves(document.get("config") or {}))
    if not config:
        return
    updates = (document.get("meta") or {}).get("config_updates")
    given = {key for key, _ in leaves(updates)} if isinstance(updates, dict) else set()
    note = "<p class='note'>Set for this run: those in colour.</p>\n" if given & set(config) else ""
    yield from _entries("Configuration", config, given, note)


def _entries(
    title: str, entries: dict[str, Any], marked: Iterable[str] = (), note: str = ""
) -> Iterator[str]:
    marked = set(marked)
    yield f"<h2>{title}</h2>\n{note}<table>"
    for key, value in list(entries.items())[:_MOST_ROWS]:
        kind = ' class="set"' if key in marked else ""
        text = _shown(to_json(value))
        yield f'<tr{kind}><td class="n">{_shown(key)}</td><td class="v">{text}</td></tr>\n'
    yield "</table>\n" + _more(len(entries) - _MOST_ROWS, "entries")


def _more(count: int, what: str) -> str:
    return f'<p class="note">And {count:,} more {what}.</p>\n' if count > 0 else ""


def _metrics(metrics: Sequence[MetricSummary], curves: Sequence[Curve]) -> Iterator[str]:
    if not metrics:
        return
    yield '<h2>Metrics</h2>\n<div class="charts">\n'
    drawn = [curve for curve in curves if curve.x]
    for curve in drawn[:_MOST_CHARTS]:
        unit = f" <span>[{_shown(curve.unit)}]</span>" if curve.unit else ""
        skipped = f" <span>{curve.skipped:,} points are no numbers</span>" if curve.skipped else ""
        chart = svg_chart(curve._replace(metric=_visible(curve.metric)), x_label="step")
        yield f"<figure><figcaption>{_shown(curve.metric)}{unit}{skipped}</figcaption>{chart}</figure>\n"
    yield "</div>\n" + _more(len(drawn) - _MOST_CHARTS, "curves")
    head = "".join(f'<th class="r">{word}</th>' for word in ("points", "last", "min", "max"))
    yield f"<table><tr><th>metric</th>{head}</tr>\n"
    for metric in metrics[:_MOST_ROWS]:
        numbers = (metric.points, metric.last, metric.lowest, metric.highest)
        cells = "".join(f'<td class="v r">{_number(number)}</td>' for number in numbers)
        yield f'<tr><td class="n">{_shown(metric.name)}</td>{cells}</tr>\n'
    yield "</table>\n" + _more(len(metrics) - _MOST_ROWS, "metrics")


def _visible(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else _shown(to_json(value)[:60])


def _artifacts(folder: RunFolder, artifacts: Iterable[Any]) -> Iterator[str]:
    last: dict[str, FileEntry] = {e.name: e for e in artifacts if isinstance(e, FileEntry)}
    if not last:
        return
    yield "<h2>Artifacts</h2>\n"
    shown = [text for entry in last.values() if (text := _kind(entry)) in _PICTURES]
    if shown:
        yield '<div class="pictures">\n'
        yield from _pictures(folder, list(last.values()))
        yield "</div>\n"
    rows = ((e.name, f"{e.version}", _size(e), _kind(e)) for e in last.values())
    yield _table(("name", "version", "bytes", "type"), rows, right=(1, 2))


def _kind(entry: FileEntry) -> str:
    return entry.content_type or mimetypes.guess_type(entry.name)[0] or ""


def _size(entry: FileEntry) -> str:
    return f"{entry.size:,}" if entry.digest else "not stored"


def _pictures(folder: RunFolder, entries: Iterable[FileEntry]) -> Iterator[str]:
    """Yield small pictures, each within the page."""
    left, count = _PICTURES_BYTES, 0
    for entry in entries:
        kind = _kind(entry)
        if kind not in _PICTURES or entry.digest is None or entry.size > _PICTURE_BYTES:
            continue
        if entry.size > left or count >= _MOST_PICTURES:
            yield '<p class="note">And more pictures: see the list.</p>\n'
            return
        try:
            data = b"".join(content(folder, entry))
        except (BlobError, OSError):
            yield f'<p class="note">{_shown(entry.name)}: its content is not there, or damaged.</p>\n'
            continue
        left, count = left - len(data), count + 1
        text = base64.b64encode(data).decode("ascii")
        label = _shown(entry.name)
        yield (
            f'<figure><img alt="{label}" src="data:{kind};base64,{text}">'
            f"<figcaption><span>{label}</span></figcaption></figure>\n"
        )


def _output(text: str) -> Iterator[str]:
    # As a terminal showed it at last: a carriage return begins the line anew.
    plain = _STEERING.sub("", text).replace("\r\n", "\n")
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return
    title = f"Output (the last {_MOST_LINES} lines)" if len(lines) > _MOST_LINES else "Output"
    told = "\n".join(_shown(line) for line in lines[-_MOST_LINES:])
    yield f"<h2>{title}</h2>\n<pre>{told}</pre>\n"


def _program(found: RunDetails, experiment: dict[str, Any]) -> Iterator[str]:
    sources = [e for e in experiment.get("sources") or () if isinstance(e, FileEntry)]
    resources = [e for e in found.document.get("resources") or () if isinstance(e, FileEntry)]
    packages = [str(each) for each in experiment.get("dependencies") or ()]
    if not (sources or resources or packages or found.repositories):
        return
    yield "<h2>Program</h2>\n"
    if found.repositories:
        rows = ((r.url, r.commit, "changed" if r.dirty else "clean") for r in found.repositories)
        yield _table(("repository", "commit", "state"), rows)
    for title, files in (("Sources", sources), ("Resources", resources)):
        rows3 = ((e.name, _size(e), (e.digest or "")[:16]) for e in files)
        yield from _details(
            title, _table(("name", "bytes", "sha256"), rows3, right=(1,)), len(files)
        )
    versions = (each.partition("==")[::2] for each in packages)
    yield from _details("Packages", _table(("package", "version"), versions), len(packages))


def _details(title: str, table: str, count: int | None = None) -> Iterator[str]:
    if table:
        shown = title if count is None else f"{title} ({count:,})"
        yield f"<details><summary>{shown}</summary>\n{table}</details>\n"


def _table(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[int] = (),
    raw: bool = True,
) -> str:
    """Return a table; empty if it has no rows. ``raw``: texts as they are, else as JSON."""
    kept = list(rows)
    if not kept:
        return ""
    parts = ["<table><tr>"]
    for place, word in enumerate(header):
        parts.append(f'<th class="r">{word}</th>' if place in right else f"<th>{word}</th>")
    parts.append("</tr>\n")
    for row in kept[:_MOST_ROWS]:
        cells = []
        for place, cell in enumerate(row):
            kind = "v r" if place in right else "v" if place else "n"
            text = cell if raw or isinstance(cell, str) else to_json(cell)
            cells.append(f'<td class="{kind}">{_shown(str(text))}</td>')
        parts.append(f"<tr>{''.join(cells)}</tr>\n")
    parts.append("</table>\n" + _more(len(kept) - _MOST_ROWS, "rows"))
    return "".join(parts)
