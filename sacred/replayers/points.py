"""Metric points from journals into DuckDB, whole tables at a time.

With numpy the columns of a journal's tables become the columns of DuckDB without a Python object
for each point; without it they go through lists.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sacred.journal.columns import EXACT, RawTable
from sacred.journal.events import EventType
from sacred.journal.integers import text_of
from sacred.journal.lanes import decode_together
from sacred.journal.tables import COLUMN_INT, decode_table
from sacred.replayers.jsontext import to_json
from sacred.replayers.plain import plain_text
from sacred.replayers.relations import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sacred.journal.events import Event

__all__ = ["PointLoader", "exact_number"]

#: Points collected before they go to DuckDB.
_CHUNK = 1 << 19
_MICROS = 9 * 10**18
_SEQS = 1 << 62
_KINDS = frozenset({EventType.METRIC_POINT, EventType.METRIC_TABLE})
#: What a number column can not say by itself: DuckDB takes numpy's NaN for NULL.
_NUMBER, _NAN, _NULL = 0, 1, 2

#: Columns of the relation by the key of the array that they are made of.
_KEYS = {"run": "r", "writer": "w", "seq": "q", "metric": "m", "step": "s", "step_text": "s"} | {
    "value": "v",
    "value_text": "v",
    "time": "x",
}
#: Relations of a question's own, which no statement names by chance.
_CHUNK_NAME, _NAMES, _TOLD = "sacred_points_{}", "sacred_metric_names", "sacred_points_told"
_NUMBERS = "case {0}k when 0 then {0} when 1 then 'nan'::double end"


def exact_number(value: Any) -> tuple[float | None, str | None]:
    """Return a step or value as (number, text); the text where the number does not say it all."""
    if isinstance(value, float):
        return float(value), None
    if isinstance(value, int):
        try:
            number = float(value)
        except OverflowError:
            return None, text_of(int(value))
        return number, None if int(number) == value else str(int(value))
    if value is None:
        return None, None
    if isinstance(value, str):
        return None, plain_text(value)
    return None, to_json(value)


class PointLoader:
    """Reads the points of runs into the relation ``metrics``, many runs at a time.

    Parameters
    ----------
    connection
        DuckDB's, with the relation in it.
    columns
        Those that will be read; the others may be NULL. All if None.
    wanted_of
        Returns of names of metrics those whose points will be read; None: all.
    kept
        Bytes of points that may be kept as arrays, which DuckDB reads where they are: ten times as
        fast as inserting them. What is more is inserted, so that DuckDB can put it aside. 0: all.
    space
        Begins the names of the arrays, which are the connection's.

    Notes
    -----
    With ``kept`` the relation becomes a view of the same columns at ``finish``, and the connection
    must not outlive the loader.
    """

    def __init__(
        self,
        connection: Any,
        columns: Collection[str] | None = None,
        wanted_of: Callable[[Sequence[str]], Collection[str]] | None = None,
        kept: int = 0,
        space: str = "",
    ) -> None:
        self._wanted_of = wanted_of
        self._wanted: dict[str, bool] = {}
        self._points: _Arrays | _Lists
        try:
            import numpy as np
        except ImportError:
            self._points = _Lists(connection)
        else:
            every = frozenset(_KEYS)
            wanted = every if columns is None else every & frozenset(columns)
            self._points = _Arrays(np, connection, wanted, kept, space)

    @property
    def room(self) -> int:
        """Bytes of points that may still be kept as arrays."""
        return self._points.room

    @property
    def decode(self) -> Callable[[dict[str, Any]], Any]:
        """What a journal's reader is to make of a table of points."""
        return self._points.decode

    def add(self, run: int | None, event: Event) -> None:
        """Take in the points of an event, which ``decode`` made; ``finish`` puts them in their place.

        Raises
        ------
        OverflowError
            Its sequence number is too large to be one.
        """
        if event.type not in _KINDS:
            return
        if event.seq > _SEQS:
            raise OverflowError(f"there is no event {event.seq} in a journal")
        if self._wanted_of is None or self._has_wanted(event, self._wanted_of):
            self._points.add(run, event)

    def _has_wanted(
        self, event: Event, wanted_of: Callable[[Sequence[str]], Collection[str]]
    ) -> bool:
        """Tell whether an event has points that are wanted: its other points come with them."""
        table = event.fields.get("table")
        if table is None:
            told: Iterable[Any] = (event.fields["metric"],)
        else:
            told = table.metrics if isinstance(table, RawTable) else table.names()
        return self._has(told, wanted_of)

    def wants(self, names: Iterable[Any]) -> bool:
        """Tell whether points of one of these metrics will be read."""
        return self._wanted_of is None or self._has(names, self._wanted_of)

    def _has(
        self, told: Iterable[Any], wanted_of: Callable[[Sequence[str]], Collection[str]]
    ) -> bool:
        names = {plain_text(str(name)) for name in told}
        unknown = sorted(names - self._wanted.keys())
        if unknown:
            wanted = wanted_of(unknown)
            self._wanted.update((name, name in wanted) for name in unknown)
        return any(map(self._wanted.__getitem__, names))

    def flush(self) -> None:
        """Give DuckDB what was collected."""
        self._points.flush()

    def finish(self) -> None:
        """Give DuckDB what was collected, and the relation its final form."""
        self._points.flush()
        self._points.finish()


class _Lists:
    """Points on their way into DuckDB, as Python lists."""

    # DuckDB 1 takes a NaN in a list for NULL, so that what is one is told beside.
    _insert = """
    insert into metrics
      (run, writer, seq, metric, step, step_text, value, value_text, time)
    select c0, c1, c2, c3, if(n4, 'nan'::double, c4), c5, if(n6, 'nan'::double, c6), c7,
      make_timestamp(c8)
    from (select unnest($c0::bigint[]) as c0, unnest($c1::int[]) as c1, unnest($c2::bigint[]) as c2,
      unnest($c3::varchar[]) as c3, unnest($c4::double[]) as c4, unnest($n4::bool[]) as n4,
      unnest($c5::varchar[]) as c5, unnest($c6::double[]) as c6, unnest($n6::bool[]) as n6,
      unnest($c7::varchar[]) as c7, unnest($c8::bigint[]) as c8)
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._forget()

    def _forget(self) -> None:
        self._columns: list[list[Any]] = [[] for _ in range(9)]

    decode = staticmethod(decode_table)
    #: None are kept as arrays.
    room = 0

    def add(self, run: int | None, event: Event) -> None:
        """Take in an event."""
        if event.type == EventType.METRIC_POINT:
            fields = event.fields
            point = (fields["metric"], fields["step"], fields["value"], _micros(event.time))
            self._row((run, event.writer, event.seq), point)
        else:
            table = event.fields["table"]
            rows = zip(table.names(), table.steps, table.values, table.times, strict=True)
            for row, point in enumerate(rows):
                self._row((run, event.writer, event.seq + row), point)
        if len(self._columns[0]) >= _CHUNK:
            self.flush()

    def _row(self, place: tuple[Any, int, int], point: tuple[Any, Any, Any, int]) -> None:
        name, step, value, micros = point
        items = (
            *place,
            plain_text(str(name)),
            *exact_number(step),
            *exact_number(value),
            _clipped(micros),
        )
        for column, item in zip(self._columns, items, strict=True):
            column.append(item)

    def finish(self) -> None:
        """Do nothing: all is in the relation."""

    def flush(self) -> None:
        """Give DuckDB what was collected."""
        if self._columns[0]:
            parameters = {f"c{number}": column for number, column in enumerate(self._columns)}
            for number in (4, 6):
                numbers = self._columns[number]
                parameters[f"n{number}"] = [one is not None and math.isnan(one) for one in numbers]
            self._connection.execute(self._insert, parameters)
            self._forget()


def _micros(nanoseconds: Any) -> int:
    return _clipped(nanoseconds // 1000) if type(nanoseconds) is int else 0


def _clipped(micros: int) -> int:
    return max(-_MICROS, min(_MICROS, micros))


class _Arrays:
    """Points on their way into DuckDB, as numpy's arrays.

    Tables of one length are decoded together: most have 128 rows, and a call of numpy costs as
    much as they hold.
    """

    def __init__(
        self,
        np: Any,
        connection: Any,
        columns: Collection[str] = frozenset(_KEYS),
        kept: int = 0,
        space: str = "",
    ) -> None:
        self._np = np
        self._connection = connection
        self._columns = columns
        #: The arrays that are wanted; of the run and the metric each chunk has one.
        self._keys = {"r", "m", *(_KEYS[name] for name in columns)}
        #: Whether rows of one table may stand grouped by metric.
        self._in_order = not kept or bool(self._keys & {"q", "x"})
        self.room = kept
        self._chunk = space + _CHUNK_NAME
        self._names: dict[str, int] = {}
        #: How each chunk that is kept is read.
        self._views: list[str] = []
        self._forget()

    def _forget(self) -> None:
        self._held = 0
        #: Row in the chunk, run, writer, first number; and the table.
        self._tables: list[tuple[tuple[int, int, int, int], RawTable]] = []
        #: Row in the chunk, run, writer, number, name, time.
        self._points: list[tuple[int, int, int, int, int, int]] = []
        #: Row in the chunk and step or value, of what no column held.
        self._odd: dict[str, list[tuple[int, Any]]] = {"s": [], "v": []}

    def _name(self, name: Any) -> int:
        return self._names.setdefault(plain_text(str(name)), len(self._names))

    decode = staticmethod(RawTable.of)

    def add(self, run: int | None, event: Event) -> None:
        """Take in an event."""
        if event.type == EventType.METRIC_POINT:
            fields, row = event.fields, self._held
            name = self._name(fields["metric"])
            place = (row, run or 0, event.writer, event.seq)
            self._points.append((*place, name, _micros(event.time)))
            self._odd["s"].append((row, fields["step"]))
            self._odd["v"].append((row, fields["value"]))
            self._held += 1
        else:
            table: RawTable = event.fields["table"]
            place = (self._held, run or 0, event.writer, event.seq)
            self._tables.append((place, table))
            for key, odd in (("s", table.odd_steps), ("v", table.odd_values)):
                first = self._held - table.skip
                self._odd[key] += [(first + row, value) for row, value in odd if row >= table.skip]
            self._held += table.rows
        if self._held >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Give DuckDB what was collected."""
        if not self._held:
            return
        np, rows = self._np, self._held
        kinds = {"r": np.int64, "w": np.int32, "q": np.int64, "m": np.int32, "x": np.int64}
        chunk: dict[str, Any] = {
            key: np.zeros(rows, kinds.get(key, np.float64)) for key in sorted(self._keys)
        }
        texts: dict[str, dict[int, str]] = {"s": {}, "v": {}}
        if self._points:
            columns = np.array(self._points, np.int64).T
            for key, column in zip("rwqmx", columns[1:], strict=True):
                if key in chunk:
                    chunk[key][columns[0]] = column
        alike: dict[tuple[int, int], list[tuple[tuple[int, int, int, int], RawTable]]] = {}
        for held in self._tables:
            alike.setdefault((held[1].length, held[1].width), []).append(held)
        for held_tables in alike.values():
            self._decode(chunk, texts, held_tables)
        for key in sorted({"s", "v"} & self._keys):
            chunk[key + "k"] = np.isnan(chunk[key]).astype(np.uint8)
            self._put(chunk, texts, key)
        self._hand_out(chunk, texts)
        self._forget()

    def _decode(
        self,
        chunk: dict[str, Any],
        texts: dict[str, dict[int, str]],
        placed: list[tuple[tuple[int, int, int, int], RawTable]],
    ) -> None:
        """Put tables of one length, and one width of index, into their places in the chunk."""
        np = self._np
        tables = [table for _, table in placed]
        rows, width = tables[0].length, tables[0].width
        held, runs, writers, seqs = np.array([at for at, _ in placed], np.int64).T[:, :, None]
        skip = np.array([table.skip for table in tables], np.int64)[:, None]
        first = held - skip
        places = _Places(np, first, skip, rows)
        names = np.array([self._name(name) for table in tables for name in table.metrics], np.int32)
        named = np.cumsum([0] + [len(table.metrics) for table in tables[:-1]])[:, None]
        order = None
        if width:
            raw = b"".join([table.index for table in tables])
            index = np.frombuffer(raw, f"<u{width}").reshape(-1, rows)
            odd = any(table.odd_steps or table.odd_values for table in tables)
            if self._in_order or odd or places.skips:
                order = np.argsort(index, axis=1, kind="stable")
            else:  # the numbers stand grouped by metric, and so may the names
                index = np.sort(index, axis=1, kind="stable")
            named = named + index
        places.put(chunk["m"], names[named])
        for key, column in (("r", runs), ("w", writers)):
            if key in chunk:
                places.put(chunk[key], column)
        if "q" in chunk:
            places.put(chunk["q"], seqs - skip + np.arange(rows)[None, :])
        if "x" in chunk:
            times = decode_together([table.times for table in tables], rows).view("<i8")
            places.put(chunk["x"], np.clip(times, -_MICROS, _MICROS, out=times))
        for number, key in enumerate("sv"):
            if key not in chunk:
                continue
            columns = [table.values if number else table.steps for table in tables]
            lanes = self._ordered(decode_together(columns, rows), order)
            floats = lanes.view("<f8")
            ints = np.array([table.kinds[number] == COLUMN_INT for table in tables])[:, None]
            if ints.any():
                whole = lanes.view("<i8")
                large = ints & ((whole > EXACT) | (whole < -EXACT))
                for table, row in np.argwhere(large).tolist():
                    text = exact_number(int(whole[table, row]))[1]
                    if text is not None and row >= skip[table, 0]:
                        texts[key][int(first[table, 0]) + row] = text
                floats = np.where(ints, whole.astype(np.float64), floats)
            places.put(chunk[key], floats)

    def _ordered(self, lanes: Any, order: Any) -> Any:
        """Return lanes that stand grouped by metric in the order of their rows."""
        if order is None:
            return lanes
        ordered = self._np.empty_like(lanes)
        self._np.put_along_axis(ordered, order, lanes, axis=1)
        return ordered

    def _put(self, chunk: dict[str, Any], texts: dict[str, dict[int, str]], key: str) -> None:
        """Put what no column held, and what stands beside the columns, into its place."""
        numbers, kinds = chunk[key], chunk[key + "k"]
        for row, value in self._odd[key]:
            number, text = exact_number(value)
            if number is None:
                kinds[row] = _NULL
            elif number != number:  # noqa: PLR0124 - NaN
                kinds[row] = _NAN
            else:
                numbers[row], kinds[row] = number, _NUMBER
            if text is None:
                texts[key].pop(row, None)
            else:
                texts[key][row] = text

    def _hand_out(self, chunk: dict[str, Any], texts: dict[str, dict[int, str]]) -> None:
        """Let DuckDB read the chunk where it is, or insert it."""
        terms = {name: f'"{key}"' if key in chunk else "null" for name, key in _KEYS.items()}
        terms["metric"], terms["time"] = "metric", "make_timestamp(x)" if "x" in chunk else "null"
        for name, key in (("step", "s"), ("value", "v")):
            terms[name + "_text"] = "null"
            if key not in chunk:
                continue
            kinds = chunk[key + "k"]
            if kinds.any():
                terms[name] = _NUMBERS.format(key)
            else:
                del chunk[key + "k"]
            if texts[key]:
                column = self._np.full(len(kinds), None, object)
                column[list(texts[key])] = list(texts[key].values())
                chunk[key + "t"] = column
                terms[name + "_text"] = key + "t"
        types = {column.name: column.type for column in RELATIONS["metrics"].columns}
        chosen = ", ".join(f'{terms[name]}::{types[name]} as "{name}"' for name in _KEYS)
        size = sum(column.nbytes for column in chunk.values())
        if size <= self.room:
            self.room -= size
            place = self._chunk.format(len(self._views))
            self._connection.register(place, chunk)
            self._views.append(f"select {chosen} from {place} join {_NAMES} using (m)")  # noqa: S608 - our own names
            return
        place = self._chunk.format("once")
        self._connection.register(place, chunk)
        try:
            chosen = chosen.replace("metric::", "$names[m + 1]::")
            self._connection.execute(
                f"insert into metrics ({', '.join(_KEYS)}) select {chosen} from {place}",  # noqa: S608 - our own names
                {"names": list(self._names)},
            )
        finally:
            self._connection.unregister(place)

    def finish(self) -> None:
        """Make the relation a view of what is kept and what was inserted."""
        if not self._views:
            return
        self._connection.execute(f"alter table metrics rename to {_TOLD}")
        self._connection.execute(
            f"create table {_NAMES} as select unnest($names::varchar[]) as metric, "
            "unnest(range(len($names)))::int as m",
            {"names": list(self._names)},
        )
        every = " union all ".join([f"select * from {_TOLD}", *self._views])  # noqa: S608 - our own names
        self._connection.execute(f"create view metrics as {every}")


class _Places:
    """Where the rows of tables of one length stand in a chunk."""

    #: A stretch of tables that follow each other costs a copy; a row for itself costs 5 ns.
    _FEW = 8

    def __init__(self, np: Any, first: Any, skip: Any, rows: int) -> None:
        self._np = np
        self._rows = rows
        self._tables = len(first)
        self.skips = bool(skip.any())
        self._stretches: list[tuple[int, int, int]] | None = None
        if not self.skips:
            breaks = np.flatnonzero(np.diff(first[:, 0]) != rows) + 1
            if len(breaks) * self._FEW <= self._tables:
                begins = [0, *breaks.tolist(), self._tables]
                ends = begins[1:]
                self._stretches = [
                    (begin, end, int(first[begin, 0]))
                    for begin, end in zip(begins, ends, strict=False)
                ]
                return
        within = np.arange(rows)[None, :]
        self._wanted = (within >= skip) if self.skips else np.s_[:]
        self._place = (first + within)[self._wanted]

    def put(self, target: Any, block: Any) -> None:
        """Put a block of a row for each table, or of one value for each, into its place."""
        if self._stretches is None:
            shape = (self._tables, self._rows)
            target[self._place] = self._np.broadcast_to(block, shape)[self._wanted]
            return
        for begin, end, at in self._stretches:
            rows = (end - begin) * self._rows
            target[at : at + rows].reshape(-1, self._rows)[:] = block[begin:end]
