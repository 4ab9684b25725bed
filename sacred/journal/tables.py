"""Many metric points as columns.

Rows are grouped by metric (a stable sort by the metric's index); in that order the steps and the
values are 64-bit lanes (:mod:`sacred.journal.lanes`), as the times are in the order of the rows.

Exactness: a float comes back bit for bit (NaN payloads, -0.0 and infinities too), an int or a text
as itself; times are cut to microseconds.
"""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sacred.journal.lanes import (
    decode_plainly,
    decode_together,
    encode_lanes,
    encode_long,
    masks_of,
)
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: Puts a column's rows into the order in which they are encoded, if that is another one.
    _Order = Callable[[Sequence[Any]], Sequence[Any]] | None

#: Column of 64-bit integers, and of float64 taken by their bits.
COLUMN_INT, COLUMN_FLOAT = 0, 1

_FORMATS = {COLUMN_INT: "q", COLUMN_FLOAT: "d"}
#: The same by numpy's names.
DTYPES = {COLUMN_INT: "<i8", COLUMN_FLOAT: "<f8"}
#: Largest number of rows in a table: bounds what a reader allocates.
MAX_ROWS = 1 << 20


def _encode_times(times: Sequence[int]) -> bytes:
    """Encode nanoseconds as a column of microseconds."""
    rows = len(times)
    raw = struct.pack(f"<{rows}q", *times)
    low, _, _, quotient, beyond = masks_of(rows)
    first = times[0] // 1000
    # Nanoseconds since the first: all lanes are divided by 1000 in one multiplication (exact below
    # 2**32), 1 us in place of 5 for 128 rows. A lane that is negative borrows, and shows it above.
    since = int.from_bytes(raw, "little") - first * 1000 * low
    if first < 0 or since & beyond:
        return encode_lanes(struct.pack(f"<{rows}q", *[time // 1000 for time in times]))
    micros = ((since * 549_755_814) >> 39) & quotient
    return encode_long(micros + first * low, rows)


def encode_numbers(numbers: Sequence[int]) -> bytes:
    """Encode unsigned 64-bit numbers as a column's bytes."""
    return encode_lanes(struct.pack(f"<{len(numbers)}Q", *numbers))


def decode_numbers(planes: bytes, rows: int) -> list[int]:
    """Undo ``encode_numbers``.

    Raises
    ------
    ValueError
        There are not so many.
    """
    if len(planes) != 8 * rows:
        raise ValueError("a column of another length")
    return decode_plainly(planes)


class MetricTable(NamedTuple):
    """Metric points as columns, in the order of their sequence numbers.

    Attributes
    ----------
    metrics
        The names.
    index
        Per row the position of its name in ``metrics``; empty if there is one metric only.
    steps, values
        As they were logged.
    times
        Microseconds since the epoch, UTC.
    """

    metrics: tuple[str, ...]
    index: bytes | tuple[int, ...]  # type: ignore[assignment]  # nobody searches in a table
    steps: list[Any]
    times: list[int]
    values: list[Any]

    @property
    def rows(self) -> int:
        """How many points, and how many sequence numbers."""
        return len(self.times)

    def names(self) -> list[str]:
        """Return the metric's name of each row."""
        if not self.index:
            return [self.metrics[0]] * len(self.times)
        metrics = self.metrics
        return [metrics[i] for i in self.index]

    def first_rows(self, rows: int) -> MetricTable:
        """Return the first ``rows`` rows of the table."""
        return self._replace(
            index=self.index[:rows],
            steps=self.steps[:rows],
            times=self.times[:rows],
            values=self.values[:rows],
        )

    def from_row(self, row: int) -> MetricTable:
        """Return the table without its first ``row`` rows."""
        return self._replace(
            index=self.index[row:],
            steps=self.steps[row:],
            times=self.times[row:],
            values=self.values[row:],
        )


class TableLength(NamedTuple):
    """A metric table of which only the length is known."""

    rows: int

    def from_row(self, row: int) -> TableLength:
        """Return the table without its first ``row`` rows."""
        return TableLength(self.rows - row)


def decode_length(fields: dict[str, Any]) -> TableLength:
    """Stand in for ``decode_table`` where only the length of a table counts.

    Raises
    ------
    ValueError
        It tells no length.
    """
    rows = fields["n"]
    if type(rows) is not int or rows <= 0:
        raise ValueError("a metric table of no rows")
    return TableLength(rows)


def _column(values: Sequence[Any], order: _Order) -> tuple[list[Any], list[Any]]:
    """Encode one column: ([code, bytes], [[row, value], ...] of what does not fit)."""
    kinds = set(map(type, values))
    code = COLUMN_FLOAT if kinds == {float} else COLUMN_INT
    if len(kinds) == 1 and kinds <= {float, int}:
        try:
            return [code, encode_lanes(_lanes(values, order, code))], []
        except struct.error:  # an integer of more than 64 bits
            pass
    values = list(map(_plain_number, values))
    # The commoner of the two number types gets the lanes.
    ints = sum(map(_is_lane_int, values))
    code = COLUMN_INT if ints > sum(type(value) is float for value in values) else COLUMN_FLOAT
    values, odd = _set_aside(values, _is_lane_int if code == COLUMN_INT else _is_float)
    return [code, encode_lanes(_lanes(values, order, code))], odd


def _lanes(values: Sequence[Any], order: _Order, code: int) -> bytes:
    """Return numbers as 64-bit lanes, grouped by metric."""
    if order is not None:
        values = order(values)
    return struct.pack(f"<{len(values)}{_FORMATS[code]}", *values)


def _is_float(value: Any) -> bool:
    return type(value) is float


def _is_lane_int(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _plain_number(value: Any) -> Any:
    """Return numpy's numbers and the like as the Python numbers that the codec makes of them."""
    if type(value) in {int, float, bool, str} or value is None:
        return value
    if isinstance(value, float):
        return float(value)
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    if generic is not None and isinstance(value, generic):
        item = value.item()
        return item if type(item) in {int, float} else value
    return value


def _set_aside(values: Any, fits: Callable[[Any], bool]) -> tuple[list[Any], list[Any]]:
    """Replace what does not fit by what stands before it, so that its difference is 0."""
    kept, odd = [], []
    before: Any = next((value for value in values if fits(value)), 0)
    for row, value in enumerate(values):
        if fits(value):
            before = value
        else:
            odd.append([row, value])
        kept.append(before)
    return kept, odd


#: Tables of more rows are too large to be kept in mind.
_REMEMBERED_ROWS = 256


# A loop logs the same names in the same turn: looked up in 3 us, found out in 25.
@lru_cache(maxsize=32)
def _grouping(names: tuple[str, ...]) -> tuple[tuple[int, ...], bytes, _Order]:
    """Return for rows of several metrics the first of each, the index's bytes, and the order."""
    rows = len(names)
    metrics = list(dict.fromkeys(names))
    index: Sequence[int] = range(rows)
    order: _Order = None
    firsts = index
    if len(metrics) < rows:  # else they are grouped as they stand: a thousand metrics in turn
        number_of = dict(zip(metrics, range(rows), strict=False)).__getitem__
        index = list(map(number_of, names))
        order = itemgetter(*sorted(range(rows), key=index.__getitem__))
        firsts = list(map(index.index, range(len(metrics))))
    width = 1 if len(metrics) <= 256 else 4
    packed = bytes(index) if width == 1 else struct.pack(f"<{rows}I", *index)
    return tuple(firsts), packed, order


def encode_table(
    names: Sequence[str], steps: Sequence[Any], times: Sequence[int], values: Sequence[Any]
) -> dict[str, Any]:
    """Return the fields of a ``METRIC_TABLE`` event, by wire key.

    Parameters
    ----------
    names, steps, times, values
        One entry a row; times in nanoseconds.
    """
    rows = len(times)
    fields: dict[str, Any] = {"n": rows}
    order: _Order = None
    if names.count(names[0]) == rows:
        fields["m"] = [names[0]]
    else:
        grouping = _grouping if rows <= _REMEMBERED_ROWS else _grouping.__wrapped__
        firsts, fields["i"], order = grouping(tuple(names))
        fields["m"] = list(itemgetter(*firsts)(names))
    fields["s"], odd_steps = _column(steps, order)
    fields["x"] = [COLUMN_INT, _encode_times(times)]
    fields["v"], odd_values = _column(values, order)
    if odd_steps:
        fields["ss"] = odd_steps
    if odd_values:
        fields["vs"] = odd_values
    return fields


def decode_table(fields: dict[str, Any]) -> MetricTable:
    """Read the fields of a ``METRIC_TABLE`` event, by wire key.

    Raises
    ------
    ValueError
        The columns do not fit together, or a code is not known.
    """
    rows = fields["n"]
    metrics = tuple(fields["m"])
    if type(rows) is not int or not 0 < rows <= MAX_ROWS or not metrics:
        raise ValueError("a metric table of no or too many rows")
    index = _decode_index(fields.get("i"), rows, len(metrics))
    order = sorted(range(rows), key=index.__getitem__) if index else None
    steps = _decode_column(fields["s"], rows, order, fields.get("ss"))
    times = _decode_column(fields["x"], rows, None, None)
    values = _decode_column(fields["v"], rows, order, fields.get("vs"))
    return MetricTable(metrics, index, steps, times, values)


def decode_times(fields: dict[str, Any]) -> list[int]:
    """Read of the fields of a ``METRIC_TABLE`` event the times alone: us since the epoch.

    Raises
    ------
    ValueError
        The column is none.
    """
    rows = fields["n"]
    if type(rows) is not int or not 0 < rows <= MAX_ROWS:
        raise ValueError("a metric table of no or too many rows")
    return _decode_column(fields["x"], rows, None, None)


def _decode_index(raw: bytes | None, rows: int, metrics: int) -> bytes | tuple[int, ...]:
    if raw is None:
        if metrics != 1:
            raise ValueError("a metric table without the column that tells its metrics apart")
        return b""
    if len(raw) == rows:
        index: bytes | tuple[int, ...] = raw
    elif len(raw) == 4 * rows:
        index = struct.unpack(f"<{rows}I", raw)
    else:
        raise ValueError("a metric table whose columns have different lengths")
    if max(index) >= metrics:
        raise ValueError("a metric table that names a metric it has not")
    return index


def _decode_column(
    column: list[Any], rows: int, order: list[int] | None, odd: list[Any] | None
) -> list[Any]:
    code, planes = column
    if code not in _FORMATS or len(planes) != 8 * rows:
        raise ValueError("a metric table with a column of an unknown kind or length")
    numpy = sys.modules.get("numpy")
    if rows >= 32 and hasattr(numpy, "cumsum"):  # else it is being imported
        lanes = decode_together([planes], rows).view(DTYPES[code])
        decoded: list[Any] = lanes[0].tolist()
    else:
        plain = struct.pack(f"<{rows}Q", *decode_plainly(planes))
        decoded = list(struct.unpack(f"<{rows}{_FORMATS[code]}", plain))
    if order is not None:
        ordered = [None] * rows
        for row, value in zip(order, decoded, strict=True):
            ordered[row] = value
        decoded = ordered
    for row, value in odd or ():
        if row < 0:
            raise ValueError("a metric table with a value before its first row")
        decoded[row] = value
    return decoded
