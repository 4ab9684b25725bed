"""Metric points as numpy arrays, many tables at a time.

A live journal has a table for each hundred points, and a call of numpy costs as much as they hold:
tables of one length are decoded together. The only module of the journal that needs numpy.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from sacred.journal.events import EventType
from sacred.journal.lanes import decode_together
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.reader import JournalReader
from sacred.journal.root import parse_epoch_file_name
from sacred.journal.tables import COLUMN_FLOAT, COLUMN_INT, DTYPES, MAX_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy.typing as npt

    from sacred.journal.events import Event

__all__ = ["EXACT", "MetricArrays", "RawTable", "read_metrics"]

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
            if _has_beyond(index, rows, len(names)):
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


def _has_beyond(raw: bytes, rows: int, count: int) -> bool:
    """Tell whether an index names something behind the first ``count``."""
    if len(raw) == rows:  # max() takes 30 us for 2,048 rows, this two
        return bool(raw.translate(None, bytes(range(min(count, 256)))))
    return bool(max(struct.unpack(f"<{rows}I", raw)) >= count)


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
    NotAJournalError
        The folder holds none.
    NewerFormatError
        It needs a newer version of this package.
    JournalUnreadableError
        The system does not let us read it.
    """
    _keep_freed_memory()
    reader = JournalReader(folder, table_decoder=RawTable.of)
    gathered = _Gathered(None if names is None else frozenset(names), lambda: _part_read(reader))
    try:
        for event in reader.read(order="time"):
            if event.type == EventType.METRIC_TABLE:
                gathered.add_table(event)
            elif event.type == EventType.METRIC_POINT:
                gathered.add_point(event)
    finally:
        reader.close()
    return gathered.arrays()


#: So many rows are decoded together: enough that numpy's calls cost little, and not so many that
#: what is decoded and freed has left the processor's cache.
_SETTLED_ROWS = 1 << 15
#: See ``_keep_freed_memory`` (bytes).
_KEPT = 1 << 24

#: So much more than the first batch is expected at most; what is said of a file may be wrong.
_MOST_GROWTH = 1000.0

#: Rows of one metric: (steps, values, times) as three sequences.
_Part = tuple[Any, Any, Any]


class _Gathered:
    """Points on their way into arrays.

    Tables are decoded as soon as there are some: what stood in them goes back to the allocator, and
    the next take its place. Reading a million points, half of the time is the kernel's, which gives
    out memory page by page.
    """

    def __init__(self, names: frozenset[str] | None, part_read: Callable[[], float]) -> None:
        self._names = names
        self._part_read = part_read
        #: What is not decoded yet, and how many rows that is.
        self._tables: list[RawTable] = []
        self._rows = 0
        #: Before which tables single points stand.
        self._before: set[int] = set()
        #: By metric, each with its place among the tables.
        self._parts: dict[str, list[tuple[float, _Part]]] = {}
        #: By metric, in their order: steps, values and times.
        self._columns: dict[str, tuple[_Column, _Column, _Column]] = {}

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
        self._rows += table.length
        if self._rows >= _SETTLED_ROWS:
            self._settle()

    def arrays(self) -> dict[str, MetricArrays]:
        self._settle()
        found = {}
        for name, (steps, values, times) in self._columns.items():
            micros = _joined(times.arrays())
            found[name] = MetricArrays(
                _joined(steps.arrays()), _joined(values.arrays()), micros.view("M8[us]")
            )
        return found

    def _settle(self) -> None:
        """Decode the tables that are there, and put all points behind those before."""
        alike: dict[tuple[int, tuple[int, int]], list[int]] = {}
        for number, table in enumerate(self._tables):
            alike.setdefault((table.length, table.kinds), []).append(number)
        for (length, kinds), numbers in alike.items():
            self._decode(length, kinds, numbers)
        # What the first batch holds of a metric tells how much is to come of it.
        growth = 1.0 if self._columns else min(1 / self._part_read(), _MOST_GROWTH)
        for name, parts in self._parts.items():
            parts.sort(key=lambda part: part[0])
            if name not in self._columns:
                rows = int(growth * sum(len(part[2]) for _, part in parts))
                self._columns[name] = (_Column(rows), _Column(rows), _Column(rows))
            columns = self._columns[name]
            for _, part in parts:
                for column, values in zip(columns, part, strict=True):
                    column.append(values)
        self._tables, self._rows = [], 0
        self._before.clear()
        self._parts.clear()

    def _decode(self, length: int, kinds: tuple[int, int], numbers: list[int]) -> None:
        """Decode tables of one length and of columns of the same kinds."""
        tables = [self._tables[number] for number in numbers]
        columns = (
            decode_together([table.steps for table in tables], length).view(DTYPES[kinds[0]]),
            decode_together([table.values for table in tables], length).view(DTYPES[kinds[1]]),
            decode_together([table.times for table in tables], length).view("<i8"),
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


def _part_read(reader: JournalReader) -> float:
    """Return how much of a journal was read, by the bytes: above 0, and 1 if that is not known."""
    standing = list(reader.position.items())
    if len(standing) != 1:
        return 1.0
    ((writer, at),) = standing
    done = whole = 0
    try:
        for name in os.listdir(reader.folder):
            of = parse_epoch_file_name(name)
            if of is not None:
                size = os.path.getsize(os.path.join(reader.folder, name))
                whole += size
                if of == (writer, at.epoch):
                    done += at.offset
                elif of[1] < at.epoch:
                    done += size
    except OSError:
        return 1.0
    return done / whole if 0 < done < whole else 1.0


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed while tables are decoded, and not ask for it again.

    glibc returns free memory to the system above a threshold, which it raises to the size of the
    largest block that was freed so far, as in every program that uses large arrays. At first the
    threshold is 128 KiB, and a page that was returned costs a fault when it is wanted again: of
    13,000 faults for a million points 7,000 are left. The block is never touched.
    """
    import numpy as np

    np.empty(_KEPT, np.uint8)


class _Column:
    """Values that come in pieces, kept as few arrays.

    Arrays of one type are copied into a larger one: what they were decoded into is free again. The
    first is as large as is expected, for memory that is never touched costs nothing, and the next
    twice as large as the one that is full. Where types alternate, each is as large as it has to be.
    """

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._whole: list[Any] = []
        self._last: Any = None
        self._filled = 0

    def append(self, values: Any) -> None:
        """Put values behind the others: numbers in an array, or what was logged one by one."""
        import numpy as np

        if not isinstance(values, np.ndarray):
            values = _array(values)
        count = len(values)
        wanted = count
        last = self._last
        if last is not None and (last.dtype != values.dtype or self._filled + count > len(last)):
            if last.dtype == values.dtype:
                wanted = max(count, 2 * self._filled)
            self._end()
        if self._last is None:
            self._last = self._room(wanted, values.dtype)
        self._last[self._filled : self._filled + count] = values
        self._filled += count

    def _room(self, wanted: int, dtype: Any) -> Any:
        import numpy as np

        expected, self._expected = self._expected, 0
        try:
            return np.empty(max(wanted, expected), dtype)
        except MemoryError:
            return np.empty(wanted, dtype)

    def _end(self) -> None:
        self._whole.append(self._last[: self._filled])
        self._last, self._filled = None, 0

    def arrays(self) -> list[Any]:
        """Return what there is, in few arrays: something, and nothing comes any more."""
        self._end()
        return self._whole


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


def _joined(arrays: Sequence[Any]) -> Any:
    """Return one array of a metric's steps or values, of the narrowest type that holds all."""
    import numpy as np

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
