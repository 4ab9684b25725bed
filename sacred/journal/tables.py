"""Many metric points as columns.

Rows are grouped by metric (a stable sort by the metric's index); in that order each number is
taken as 64 bits, replaced by its difference from the one before, zigzagged, and the bytes are laid
out plane by plane: all first bytes, all second bytes, ... That is what zstd compresses best
(random walk: 7.2 bytes a value against 8 as it stands, learning rates 5.3 against 6.3), and the
arithmetic is done on one long Python integer, so that it costs 10 us for 128 rows without numpy.

Exactness: a float comes back bit for bit (NaN payloads, -0.0 and infinities too), an int or a text
as itself; times are cut to microseconds.
"""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: Puts a column's rows into the order in which they are encoded, if that is another one.
    _Order = Callable[[Sequence[Any]], Sequence[Any]] | None

#: Column of 64-bit integers, and of float64 taken by their bits.
COLUMN_INT, COLUMN_FLOAT = 0, 1

_FORMATS = {COLUMN_INT: "q", COLUMN_FLOAT: "d"}
_MASK = (1 << 64) - 1
#: Masks for so many rows are worth their memory (48 bytes a row).
_KEPT_MASKS = 1024
#: Largest number of rows in a table: bounds what a reader allocates.
MAX_ROWS = 1 << 20


class _Masks(NamedTuple):
    """Bits of so many lanes."""

    #: The lowest of each, the highest, and all but the highest.
    low: int
    high: int
    low63: int
    #: What a quotient of ``_encode_times`` has, and what lies beyond its dividend.
    quotient: int
    beyond: int


def _masks(rows: int) -> _Masks:
    return _kept_masks(rows) if rows <= _KEPT_MASKS else _new_masks(rows)


def _new_masks(rows: int) -> _Masks:
    low = int.from_bytes(b"\1\0\0\0\0\0\0\0" * rows, "little")
    high = low << 63
    quotient, beyond = low * ((1 << 25) - 1), low * (_MASK ^ ((1 << 32) - 1))
    return _Masks(low, high, high - low, quotient, beyond)


_kept_masks = lru_cache(maxsize=256)(_new_masks)


def _encode_lanes(raw: bytes) -> bytes:
    """Difference, zigzag and split 64-bit little-endian lanes."""
    return _encode_long(int.from_bytes(raw, "little"), len(raw) // 8)


def _encode_long(value: int, rows: int) -> bytes:
    """Do so with lanes that stand in one integer."""
    low, high, low63, _, _ = _masks(rows)
    previous = value << 64  # one lane more, which is masked or cut below
    delta = value - (previous & (low63 | high))
    if (value | delta) & high:
        # Lane-wise subtraction without borrows crossing lanes (SWAR). The highest bits come out
        # wrong, and are no part of the number: they say its sign.
        delta = (value | high) - (previous & low63)
        sign = ((delta ^ value ^ previous ^ high) >> 63) & low
        delta = ((delta & low63) << 1) ^ ((sign << 64) - sign)
    else:
        delta <<= 1  # nothing fell, as steps and times seldom do: no borrow, and no sign
    lanes = delta.to_bytes(8 * rows, "little")
    return b"".join([lanes[plane::8] for plane in range(8)])


def _encode_times(times: Sequence[int]) -> bytes:
    """Encode nanoseconds as a column of microseconds."""
    rows = len(times)
    raw = struct.pack(f"<{rows}q", *times)
    low, _, _, quotient, beyond = _masks(rows)
    first = times[0] // 1000
    # Nanoseconds since the first: all lanes are divided by 1000 in one multiplication (exact below
    # 2**32), 1 us in place of 5 for 128 rows. A lane that is negative borrows, and shows it above.
    since = int.from_bytes(raw, "little") - first * 1000 * low
    if first < 0 or since & beyond:
        return _encode_lanes(struct.pack(f"<{rows}q", *[time // 1000 for time in times]))
    micros = ((since * 549_755_814) >> 39) & quotient
    return _encode_long(micros + first * low, rows)


def _decode_lanes(planes: bytes) -> list[int]:
    """Undo ``_encode_lanes``; unsigned 64-bit numbers."""
    rows = len(planes) // 8
    lanes = bytearray(8 * rows)
    for plane in range(8):
        lanes[plane::8] = planes[plane * rows : (plane + 1) * rows]
    deltas = [(z >> 1) ^ -(z & 1) for z in struct.unpack(f"<{rows}Q", lanes)]
    return [total & _MASK for total in accumulate(deltas)]


def encode_numbers(numbers: Sequence[int]) -> bytes:
    """Encode unsigned 64-bit numbers as a column's bytes."""
    return _encode_lanes(struct.pack(f"<{len(numbers)}Q", *numbers))


def decode_numbers(planes: bytes, rows: int) -> list[int]:
    """Undo ``encode_numbers``.

    Raises
    ------
    ValueError
        There are not so many.
    """
    if len(planes) != 8 * rows:
        raise ValueError("a column of another length")
    return _decode_lanes(planes)


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
            return [code, _encode_lanes(_lanes(values, order, code))], []
        except struct.error:  # an integer of more than 64 bits
            pass
    values = list(map(_plain_number, values))
    # The commoner of the two number types gets the lanes.
    ints = sum(map(_is_lane_int, values))
    code = COLUMN_INT if ints > sum(type(value) is float for value in values) else COLUMN_FLOAT
    values, odd = _set_aside(values, _is_lane_int if code == COLUMN_INT else _is_float)
    return [code, _encode_lanes(_lanes(values, order, code))], odd


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
    first = names[0]
    fields: dict[str, Any] = {"n": rows}
    order: _Order = None
    if names.count(first) == rows:
        fields["m"] = [first]
    else:
        metrics = list(dict.fromkeys(names))
        number_of = dict(zip(metrics, range(rows), strict=False)).__getitem__
        index = list(map(number_of, names))
        fields["m"] = metrics
        width = 1 if len(metrics) <= 256 else 4
        fields["i"] = bytes(index) if width == 1 else struct.pack(f"<{rows}I", *index)
        if len(metrics) < rows:  # else they are grouped as they stand: a thousand metrics in turn
            order = itemgetter(*sorted(range(rows), key=index.__getitem__))
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
        decoded = _decode_with_numpy(numpy, code, planes, rows)
    else:
        lanes = struct.pack(f"<{rows}Q", *_decode_lanes(planes))
        decoded = list(struct.unpack(f"<{rows}{_FORMATS[code]}", lanes))
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


def _decode_with_numpy(numpy: Any, code: int, planes: bytes, rows: int) -> list[Any]:
    lanes = numpy.frombuffer(planes, numpy.uint8).reshape(8, rows).T.copy().view("<u8").ravel()
    deltas = (lanes >> 1) ^ (0 - (lanes & 1))
    totals = numpy.cumsum(deltas, dtype="<u8")
    return totals.view("<i8" if code == COLUMN_INT else "<f8").tolist()  # type: ignore[no-any-return]
