"""The next version of a file that readers may be at.

A reader opens a file by its name more than once: for the footer, and for the rows. DuckDB does so
within a query, and a dataset of pyarrow keeps footers for as long as it lives. So a row group stays at
its place in the versions that follow, byte for byte; new ones come behind it or where there is room, and
the footer, which a reader reads by one handle, is another one at the end. Whoever has the footer of an
earlier version is led to the rows of that version. The room of a row group that the footer does not name
any more is used again ``HELD`` seconds later.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

from sacred.journal.regular_file import open_regular
from sacred.replayers.sinks.parquet.footer import MAGIC, Footer, FooterError, read_footer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from sacred.replayers.sinks.parquet.footer import RowGroup

__all__ = ["HELD", "footer_of", "write_version"]

#: So long stays what earlier footers refer to (s).
HELD = 300.0
#: Times at which bytes went out of use are rounded up to this (s), so that there are few of them.
_ROUNDED = 15.0
_NOTE = "sacred.held"


class _Span(NamedTuple):
    """Bytes that no footer may find changed, and since when none refers to them; None: one does."""

    begin: int
    end: int
    since: float | None


def footer_of(path: str) -> Footer:
    """Read the footer of a file.

    Raises
    ------
    FooterError
        It is no Parquet file, or damaged.
    OSError
        It can not be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return read_footer(file)


def write_version(
    path: str, before: str | None, keep: int, added: str, now: float, held: float = HELD
) -> int:
    """Write the next version of a file.

    Parameters
    ----------
    path
        Where; nothing is there.
    before
        The version that readers have. One that is damaged has nothing to be kept; None: there is none.
    keep
        So many of its row groups stay, the first ones.
    added
        A file whose row groups come behind them.
    now
        The time (s since the epoch).
    held
        How long bytes that went out of use stay (s).

    Returns
    -------
    int
        How many bytes of it are out of use.

    Raises
    ------
    FooterError
        ``added`` is damaged, or ``before`` is and has row groups to be kept.
    """
    with (
        os.fdopen(open_regular(added), "rb") as new,
        os.fdopen(open_regular(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "wb") as out,
    ):
        footer = read_footer(new)
        if before is None:
            return _write(out, None, [], (), new, footer)
        with os.fdopen(open_regular(before), "rb") as old:
            try:
                known = read_footer(old)
            except FooterError:
                if keep:
                    raise
                return _write(out, None, [], (), new, footer)
            spans = _kept(known, keep, now, held)
            return _write(out, old, spans, known.groups[:keep], new, footer)


def _kept(footer: Footer, keep: int, now: float, held: float) -> list[_Span]:
    """Return what the next version has at the same places, in their order."""
    rounded = math.ceil(now / _ROUNDED) * _ROUNDED
    found = [_Span(group.begin, group.end, None) for group in footer.groups[:keep]]
    found += [_Span(group.begin, group.end, rounded) for group in footer.groups[keep:]]
    live = list(found)
    for span in _noted(footer):
        if not any(span.begin < one.end and one.begin < span.end for one in live):
            # A clock that was wrong keeps nothing for ever.
            found.append(span._replace(since=min(span.since or 0.0, rounded)))
    spans: list[_Span] = []
    for span in sorted(found, key=lambda span: span.begin):
        if span.since is not None and now - span.since > held:
            continue
        if spans and spans[-1].end == span.begin and spans[-1].since == span.since:
            spans[-1] = spans[-1]._replace(end=span.end)
        else:
            spans.append(span)
    return spans


def _noted(footer: Footer) -> Iterable[_Span]:
    """Yield what a file says of its bytes that are out of use."""
    for text in footer.notes.get(_NOTE, "").split():
        try:
            begin, end, since = map(int, text.split("-"))
        except ValueError:
            continue
        if len(MAGIC) <= begin <= end <= footer.size:
            yield _Span(begin, end, float(since))


def _write(
    out: BinaryIO,
    old: BinaryIO | None,
    spans: list[_Span],
    kept: tuple[RowGroup, ...],
    new: BinaryIO,
    footer: Footer,
) -> int:
    out.write(MAGIC)
    if old is not None:
        for span in spans:
            _copy(old, span.begin, span.end, out, span.begin)
    groups = list(kept)
    taken = list(spans)
    for group in footer.groups:
        begin = _room(taken, group.end - group.begin)
        moved = group.at(begin)
        _copy(new, group.begin, group.end, out, begin)
        groups.append(moved)
        taken.append(_Span(moved.begin, moved.end, None))
        taken.sort(key=lambda span: span.begin)
    dead = [span for span in spans if span.since is not None]
    text = " ".join(f"{span.begin}-{span.end}-{int(span.since or 0)}" for span in dead)
    out.seek(taken[-1].end if taken else len(MAGIC))
    out.write(footer.of(tuple(groups), {_NOTE: text} if text else {}))
    return sum(span.end - span.begin for span in dead)


def _room(taken: list[_Span], size: int) -> int:
    """Return the first place where so many bytes touch nothing."""
    at = len(MAGIC)
    for span in taken:
        if span.begin - at >= size:
            return at
        at = span.end
    return at


def _copy(source: BinaryIO, begin: int, end: int, out: BinaryIO, at: int) -> None:
    source.seek(begin)
    out.seek(at)
    while begin < end:
        piece = source.read(min(end - begin, 1 << 20))
        if not piece:
            raise FooterError("it is shorter than its footer says")
        out.write(piece)
        begin += len(piece)
