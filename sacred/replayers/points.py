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
from sacred.journal.reader import JournalReader
from sacred.journal.tables import COLUMN_INT, decode_table
from sacred.replayers.jsontext import to_json
from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    from sacred.journal.events import Event
    from sacred.journal.root import RunFolder

__all__ = ["PointLoader", "exact_number"]

#: Points collected before they go to DuckDB.
_CHUNK = 1 << 19
_MICROS = 9 * 10**18
_SEQS = 1 << 62
_KINDS = frozenset({EventType.METRIC_POINT, EventType.METRIC_TABLE})
#: What a number column can not say by itself: DuckDB takes numpy's NaN for NULL.
_NUMBER, _NAN, _NULL = 0, 1, 2

_INSERT = """
insert into metrics
select r, w, q, $names[m + 1], {s}, {st}, {v}, {vt}, make_timestamp(x) from sacred_chunk
"""
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
    """

    def __init__(self, connection: Any) -> None:
        self._points: _Arrays | _Lists
        try:
            import numpy as np
        except ImportError:
            self._points = _Lists(connection)
        else:
            self._points = _Arrays(np, connection)

    def load(self, folder: RunFolder) -> None:
        """Read a run's points; ``flush`` makes sure that they are in the relation.

        Raises
        ------
        NotAJournalError, NewerFormatError
        OverflowError
            Its sequence numbers are too large to be any.
        """
        reader = JournalReader(folder.journal, table_decoder=self._points.decode)
        try:
            for event in reader.read(order="time"):
                if event.type in _KINDS:
                    if event.seq > _SEQS:
                        raise OverflowError(f"there is no event {event.seq} in a journal")
                    self._points.add(folder.number, event)
        finally:
            reader.close()

    def flush(self) -> None:
        """Give DuckDB what was collected."""
        self._points.flush()


class _Lists:
    """Points on their way into DuckDB, as Python lists."""

    # DuckDB 1 takes a NaN in a list for NULL, so that what is one is told beside.
    _insert = """
    insert into metrics
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

    def __init__(self, np: Any, connection: Any) -> None:
        self._np = np
        self._connection = connection
        self._forget()

    def _forget(self) -> None:
        self._held = 0
        self._names: dict[str, int] = {}
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
        whole = {key: np.zeros(rows, np.int64) for key in "rwqmx"}
        chunk: dict[str, Any] = whole | {key: np.zeros(rows) for key in "sv"}
        texts: dict[str, dict[int, str]] = {"s": {}, "v": {}}
        if self._points:
            columns = np.array(self._points, np.int64).T
            for key, column in zip("rwqmx", columns[1:], strict=True):
                chunk[key][columns[0]] = column
        alike: dict[tuple[int, int], list[tuple[tuple[int, int, int, int], RawTable]]] = {}
        for held in self._tables:
            alike.setdefault((held[1].length, held[1].width), []).append(held)
        for held_tables in alike.values():
            self._decode(chunk, texts, held_tables)
        for key in "sv":
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
        within = np.arange(rows)[None, :]
        wanted = (within >= skip) if skip.any() else np.s_[:]
        place = (first + within)[wanted]
        names = np.array([self._name(name) for table in tables for name in table.metrics], np.int64)
        named = np.cumsum([0] + [len(table.metrics) for table in tables[:-1]])[:, None]
        order = None
        if width:
            raw = b"".join([table.index for table in tables])
            index = np.frombuffer(raw, f"<u{width}").reshape(-1, rows)
            order = np.argsort(index, axis=1, kind="stable")
            named = named + index
        chunk["m"][place] = np.broadcast_to(names[named], (len(tables), rows))[wanted]
        for key, column in (("r", runs), ("w", writers)):
            chunk[key][place] = np.broadcast_to(column, (len(tables), rows))[wanted]
        chunk["q"][place] = (seqs - skip + within)[wanted]
        times = decode_together([table.times for table in tables], rows).view("<i8")
        chunk["x"][place] = np.clip(times, -_MICROS, _MICROS)[wanted]
        for number, key in enumerate("sv"):
            columns = [table.values if number else table.steps for table in tables]
            lanes = self._in_order(decode_together(columns, rows), order)
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
            chunk[key][place] = floats[wanted]

    def _in_order(self, lanes: Any, order: Any) -> Any:
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
        terms = {}
        for key in "sv":
            kinds = chunk[key + "k"]
            terms[key] = key if not kinds.any() else _NUMBERS.format(key)
            if texts[key]:
                column = self._np.full(len(kinds), None, object)
                column[list(texts[key])] = list(texts[key].values())
                chunk[key + "t"] = column
            terms[key + "t"] = key + "t" if texts[key] else "null"
        self._connection.register("sacred_chunk", chunk)
        try:
            statement = _INSERT.format(**terms)
            self._connection.execute(statement, {"names": list(self._names)})
        finally:
            self._connection.unregister("sacred_chunk")
