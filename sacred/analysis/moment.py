"""Moments as people name them: what stands behind ``--at`` and ``at=``."""

from __future__ import annotations

import datetime as dt
import re
import time

from sacred.journal.past import Moment
from sacred.replayers.errors import QueryError

__all__ = ["HOW", "Moment", "moment_of"]

#: For help texts and errors.
HOW = "a time such as '2026-11-23 14:05', -10m or '2 hours ago', or the number of an event"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_SECOND = 10**9
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), _SECOND),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * _SECOND),
    **dict.fromkeys(("h", "hour", "hours"), 3600 * _SECOND),
    **dict.fromkeys(("d", "day", "days"), 86400 * _SECOND),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400 * _SECOND),
}
_DATED = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[ tT]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?"
    r"(?: ?(z|utc|[+-]\d{2}(?::?\d{2})?))?)?",
    re.IGNORECASE,
)
_PIECE = r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*"
#: A number that no event has, and that no time is given by.
_MOST = 1 << 62


def moment_of(value: Moment | str | int | dt.datetime, *, now: int | None = None) -> Moment:
    """Return the moment that somebody means.

    Parameters
    ----------
    value
        Text, as behind ``--at``:

        * ``2026-11-23T14:05:09Z``, ``2026-11-23 14:05:09.5 +01:00``, ``2026-11-23 14:05``,
          ``2026-11-23``: the end of the second, minute or day that is named, so that a time which a
          table shows is not before what it is the time of. Without a zone it is this machine's, by
          which tables show times.
        * ``-10m``, ``-1h30m``, ``10 minutes ago``, ``now``: so long ago (s, m, h, d, w).
        * ``@1763906709.25``: seconds since the epoch.
        * ``1500``: of each run the events with sequence numbers up to and with this one.

        Or a whole number, which is a sequence number; or a ``datetime``: exactly that, and UTC if it
        has no zone, as all times that a query hands out.
    now
        By which "ago" is counted (ns since the epoch); the present if None.

    Raises
    ------
    QueryError
        It is none of these.
    """
    if isinstance(value, Moment):
        return value
    if isinstance(value, dt.datetime):
        zoned = value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)
        return Moment(_nanoseconds(zoned), None, str(value))
    text = str(value).strip()
    if re.fullmatch(r"\d+", text) and int(text) < _MOST:
        return Moment(None, int(text), f"event {text}")
    clock = time.time_ns() if now is None else now
    found = _dated(text) if _DATED.fullmatch(text) else _relative(text, clock)
    if found is None:
        raise QueryError(f"{text[:60]!r} is no moment: give {HOW}")
    return Moment(found, None, text)


def _dated(text: str) -> int:
    """Return the end of the second, minute or day that a text names."""
    match = _DATED.fullmatch(text)
    assert match is not None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        parts = [int(part or 0) for part in (year, month, day, hour, minute, second)]
        named = dt.datetime(*parts[:6], tzinfo=_zone(zone))  # type: ignore[misc,arg-type]  # six
        if hour is None:
            end = named + dt.timedelta(days=1)
        else:
            end = named + dt.timedelta(minutes=1 if second is None else 0)
        if zone is None:  # with the offset that this machine has then
            end = end.astimezone()
        since = _nanoseconds(end)
    except (ValueError, OverflowError, OSError):
        raise QueryError(f"there is no time {text[:60]!r}: give {HOW}") from None
    if second is None:
        return since - 1
    if fraction is None:
        return since + _SECOND - 1
    step: int = 10 ** max(0, 9 - len(fraction))
    return since + int(fraction[:9]) * step + step - 1


def _zone(text: str | None) -> dt.tzinfo | None:
    if text is None:
        return None
    digits = re.sub(r"\D", "", text)
    minutes = int(digits[:2] or 0) * 60 + int(digits[2:] or 0)
    return dt.timezone(dt.timedelta(minutes=-minutes if text.startswith("-") else minutes))


def _relative(text: str, now: int) -> int | None:
    """Return a time that is so long ago, or so many seconds since the epoch."""
    said = text.lower()
    if said == "now":
        return now
    if match := re.fullmatch(r"@(-?\d+)(?:\.(\d{1,9}))?", said):
        part = int((match[2] or "").ljust(9, "0"))
        whole = int(match[1])
        return whole * _SECOND + (-part if match[1].startswith("-") else part)
    match = re.fullmatch(rf"(?:-\s*((?:{_PIECE})+)|((?:{_PIECE})+)ago)", said)
    if match is None:
        return None
    ago = 0
    for number, unit in re.findall(_PIECE, match[1] or match[4]):
        if unit not in _UNITS:
            return None
        ago += int(float(number) * _UNITS[unit])
    return now - ago


def _nanoseconds(moment: dt.datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86400 + since.seconds) * _SECOND + since.microseconds * 1000
