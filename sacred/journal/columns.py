"""Metric points as numpy arrays, many tables at a time.

A live journal has a table for each hundred points, and a call of numpy costs as much as they hold:
tables of one length are decoded together. The only module of the journal that needs numpy.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.tables import COLUMN_FLOAT, COLUMN_INT, MAX_ROWS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from sacred.journal.events import Event

__all__ = ["EXACT", "MetricArrays", "RawTable", "decode_lanes", "read_metrics"]

#: So many numbers are decoded in one go: what stays in a processor's cache (8 bytes each).
_AT_ONCE = 1 << 16
#: Floats hold every integer up to here.
EXACT = 1 << 53
_KINDS = frozenset({COLUMN_INT, COLUMN_FLOAT})


class RawTable(NamedTuple):
    """A metric table as it stands in the journal, checked and not yet decoded.

    Attributes
    ----------
    rows
        How many points.
    metrics
        The names.
    width
        Bytes of a row's entry in ``index``: 0 (one metric), 1 or 4.
    kinds
        ``COLUMN_INT`` or ``COLUMN_FLOAT``: of the steps, and of the values.
    index, steps, times, values
        The columns' bytes.
    odd_steps, odd_values
        ``[row, value]`` of what its column does not hold.
    skip
        So many rows of it are not meant: they were read before.
    """

    rows: int
    metrics: tuple[str, ...]
    width: int
    kinds: tuple[int, int]
    index: bytes  # type: ignore[assignment]  # nobody searches in a table
    steps: bytes
    times: bytes
    values: bytes
    odd_steps: list[Any] | tuple[()]
    odd_values: list[Any] | tuple[()]
    skip: int = 0

    @property
    def length(self) -> int:
        """How many rows its columns have."""
        return self.rows + self.skip

    @property
    def is_plain(self) -> bool:
        """Whether it is of one metric, and its columns hold all."""
        return not (self.width or self.odd_steps or self.odd_values)

    def from_row(self, row: int) -> RawTable:
        """Return the table without its first ``row`` rows."""
        return self._replace(rows=self.rows - row, skip=self.skip + row)

    @classmethod
    def of(cls, wire: dict[str, Any]) -> RawTable:
        """Take the fields of a ``METRIC_TABLE``; for ``JournalReader(table_decoder=...)``.

        Raises
        ------
        ValueError
            They are none.
        """
        rows, names, index = wire["n"], wire["m"], wire.get("i", b"")
        if type(rows) is not int or not 0 < rows <= MAX_ROWS or not names:
            raise ValueError("a metric table of no or too many rows")
        (step_kind, steps), (time_kind, times), (value_kind, values) = (
            wire["s"],
            wire["x"],
            wire["v"],
        )
        if not _KINDS.issuperset((step_kind, time_kind, value_kind)) or not (
            8 * rows == len(steps) == len(times) == len(values)
        ):
            raise ValueError("a metric table with a column of an unknown kind or length")
        if len(names) != 1 or index:
            if not index:
                raise ValueError("a metric table without the column that tells its metrics apart")
            if len(index) not in {rows, 4 * rows}:
                raise ValueError("a metric table whose columns have different lengths")
            if max(_index(index, rows)) >= len(names):
                raise ValueError("a metric table that names a metric it has not")
        odd_steps, odd_values = wire.get("ss") or (), wire.get("vs") or ()
        for row, _ in (*odd_steps, *odd_values):
            if type(row) is not int or not 0 <= row < rows:
                raise ValueError("a metric table with a value beside its rows")
        return cls(
            rows,
            tuple(names),
            len(index) // rows,
            (step_kind, value_kind),
            index,
            steps,
            times,
            values,
            odd_steps,
            odd_values,
        )


def _index(raw: bytes, rows: int) -> Sequence[int]:
    return raw if len(raw) == rows else struct.unpack(f"<{rows}I", raw)


def decode_lanes(columns: Sequence[bytes], rows: int) -> npt.NDArray[Any]:
    """Decode columns of several tables of one length.

    Parameters
    ----------
    columns
        The bytes of each, 8 for each row.
    rows
        How many rows each has.

    Returns
    -------
    Unsigned 64-bit lanes, a table a row; grouped by metric, as they stand.
    """
    import numpy as np

    lanes = np.zeros((len(columns), rows), "<u8")
    at_once = max(1, _AT_ONCE // rows)
    for at in range(0, len(columns), at_once):
        part = np.frombuffer(b"".join(columns[at : at + at_once]), np.uint8).reshape(-1, 8, rows)
        found = lanes[at : at + at_once]
        places = found.view(np.uint8).reshape(len(part), rows, 8)
        places[:, 0] = part[:, :, 0]
        for plane in range(8):
            # Of steps and times most planes are empty but for the first row.
            if part[:, plane, 1:].any():
                places[:, 1:, plane] = part[:, plane, 1:]
        sign = found & np.uint64(1)
        np.negative(sign, out=sign)
        found >>= np.uint64(1)
        found ^= sign
        np.cumsum(found, axis=1, out=found)
    return lanes


class MetricArrays(NamedTuple):
    """The points of one metric, in the order in which they were logged.

    Attributes
    ----------
    steps, values
        ``int64`` or ``float64`` where all are numbers of one kind (integers among floats become
        floats where a float can hold them), else ``object``: exactly what was logged.
    times
        ``datetime64[us]``, UTC.
    """

    steps: npt.NDArray[Any]
    values: npt.NDArray[Any]
    times: npt.NDArray[Any]


def read_metrics(
    folder: str | os.PathLike[str], names: Collection[str] | None = None
) -> dict[str, MetricArrays]:
    """Read metrics from a journal into numpy arrays.

    Parameters
    ----------
    folder
        The ``journal`` folder of a run, which may be still written.
    names
        The metrics that are wanted; all if None.

    Returns
    -------
    By name; of several writers merged by time. A metric that is not there is left out.

    Raises
    ------
    NotAJournalError, NewerFormatError, JournalUnreadableError
    """
    reader = JournalReader(folder, table_decoder=RawTable.of)
    gathered = _Gathered(None if names is None else frozenset(names))
    try:
        for event in reader.read(order="time"):
            if event.type == EventType.METRIC_TABLE:
                gathered.add_table(event)
            elif event.type == EventType.METRIC_POINT:
                gathered.add_point(event)
    finally:
        reader.close()
    return gathered.arrays()


_TYPES = {COLUMN_INT: "<i8", COLUMN_FLOAT: "<f8"}
#: Rows of one metric: (steps, values, times) as three sequences.
_Part = tuple[Any, Any, Any]


class _Gathered:
    """Points on their way into arrays."""

    def __init__(self, names: frozenset[str] | None) -> None:
        self._names = names
        self._tables: list[RawTable] = []
        #: Before which tables single points stand.
        self._before: set[int] = set()
        #: By metric, each with its place among the tables.
        self._parts: dict[str, list[tuple[float, _Part]]] = {}

    def add_point(self, event: Event) -> None:
        name = str(event.fields["metric"])
        if self._names is not None and name not in self._names:
            return
        place = len(self._tables)
        self._before.add(place)
        parts = self._parts.setdefault(name, [])
        if not parts or parts[-1][0] != place:
            parts.append((place, ([], [], [])))
        steps, values, times = parts[-1][1]
        steps.append(event.fields["step"])
        values.append(event.fields["value"])
        times.append(event.time // 1000)

    def add_table(self, event: Event) -> None:
        table: RawTable = event.fields["table"]
        if self._names is not None and self._names.isdisjoint(table.metrics):
            return
        self._tables.append(table)

    def arrays(self) -> dict[str, MetricArrays]:
        import numpy as np

        alike: dict[tuple[int, tuple[int, int]], list[int]] = {}
        for number, table in enumerate(self._tables):
            alike.setdefault((table.length, table.kinds), []).append(number)
        for (length, kinds), numbers in alike.items():
            self._decode(length, kinds, numbers)
        found = {}
        for name, parts in self._parts.items():
            parts.sort(key=lambda part: part[0])
            steps, values, times = zip(*(columns for _, columns in parts), strict=True)
            micros = np.concatenate([np.asarray(column, np.int64) for column in times])
            found[name] = MetricArrays(_joined(steps), _joined(values), micros.view("M8[us]"))
        return found

    def _decode(self, length: int, kinds: tuple[int, int], numbers: list[int]) -> None:
        """Decode tables of one length and of columns of the same kinds."""
        tables = [self._tables[number] for number in numbers]
        columns = (
            decode_lanes([table.steps for table in tables], length).view(_TYPES[kinds[0]]),
            decode_lanes([table.values for table in tables], length).view(_TYPES[kinds[1]]),
            decode_lanes([table.times for table in tables], length).view("<i8"),
        )
        begin = 0
        for row in range(1, len(numbers) + 1):
            if row < len(numbers) and self._goes_on(numbers[row - 1], numbers[row]):
                continue
            self._split(numbers[begin], [column[begin:row].reshape(-1) for column in columns])
            begin = row

    def _goes_on(self, number: int, following: int) -> bool:
        """Tell whether two tables are one array as they stand: of one metric, nothing between."""
        one, other = self._tables[number], self._tables[following]
        return (
            following == number + 1
            and one.metrics == other.metrics
            and one.is_plain
            and other.is_plain
            and not other.skip
            and following not in self._before
        )

    def _split(self, number: int, columns: Sequence[Any]) -> None:
        """Take a table apart into its metrics; or several that are one array."""
        import numpy as np

        table = self._tables[number]
        steps, values, times = columns
        index = None
        if table.width:
            index = np.frombuffer(table.index, f"<u{table.width}")
            order = np.argsort(index, kind="stable")
            steps, values = _ordered(steps, order), _ordered(values, order)
        steps, values = _with_odd(steps, table.odd_steps), _with_odd(values, table.odd_values)
        for metric, name in enumerate(table.metrics):
            rows: Any = np.s_[table.skip :]
            if index is not None:
                rows = np.flatnonzero(index == metric)
                rows = rows[rows >= table.skip]
            part = (steps[rows], values[rows], times[rows])
            if (self._names is None or name in self._names) and len(part[2]):
                # Between the points that came before this table and those behind it.
                self._parts.setdefault(str(name), []).append((number + 0.5, part))


def _ordered(column: Any, order: Any) -> Any:
    import numpy as np

    ordered = np.empty_like(column)
    ordered[order] = column
    return ordered


def _with_odd(column: Any, odd: Any) -> Any:
    """Put what stands beside a column into its places."""
    if not odd:
        return column
    exact = column.astype(object)
    for row, value in odd:
        exact[row] = value
    return exact


def _joined(parts: Sequence[Any]) -> Any:
    """Return one array of a metric's steps or values, of the narrowest type that holds all."""
    import numpy as np

    arrays = [part if isinstance(part, np.ndarray) else _array(part) for part in parts]
    kinds = {array.dtype.kind for array in arrays}
    if kinds in ({"i"}, {"f"}):
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if "O" not in kinds and all(array.dtype.kind == "f" or _floats_hold(array) for array in arrays):
        return np.concatenate([array.astype(np.float64) for array in arrays])
    # Decided for all together: an integer among floats is one where texts are, too.
    values = [value for array in arrays for value in array.tolist()]
    if set(map(type, values)) == {int, float} and all(
        type(value) is float or abs(value) <= EXACT for value in values
    ):
        return np.array(values, np.float64)
    return _objects(values)


def _floats_hold(array: Any) -> bool:
    return bool(((array <= EXACT) & (array >= -EXACT)).all())


def _array(values: list[Any]) -> Any:
    """Return an array of Python values: of numbers if all are of one kind."""
    import numpy as np

    kinds = set(map(type, values))
    if kinds == {float}:
        return np.array(values, np.float64)
    if kinds == {int} and all(-(1 << 63) <= value < 1 << 63 for value in values):
        return np.array(values, np.int64)
    return _objects(values)


def _objects(values: list[Any]) -> Any:
    import numpy as np

    array = np.empty(len(values), object)
    for row, value in enumerate(values):  # at once, a list among them would become a dimension
        array[row] = value
    return array
