"""Journals into the relations that SQL sees: what a statement may read of them, and no more."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from sacred.analysis.details import blob_resolver, spool_beyond
from sacred.analysis.reach import reaches
from sacred.analysis.rows import event_row, micros, run_row, said_row, view_row
from sacred.journal.errors import JournalError
from sacred.journal.events import EventType
from sacred.journal.notes import read_notes
from sacred.journal.past import PastReader
from sacred.journal.reader import JournalReader
from sacred.journal.sealed_events import SealedEvents
from sacred.journal.tables import decode_length
from sacred.journal.verdicts import is_damage
from sacred.replayers.jsontext import leaves
from sacred.replayers.kept_outlines import KeptOutlines
from sacred.replayers.lines import Line, OutputLines
from sacred.replayers.listing import outline
from sacred.replayers.past_outline import outline_at
from sacred.replayers.plain import plain_text
from sacred.replayers.points import PointLoader
from sacred.replayers.projection import RunProjection
from sacred.replayers.relations import RELATIONS, ROOT
from sacred.replayers.rows import file_row, leaf_row
from sacred.replayers.standings import standings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sacred.analysis.reach import Reach
    from sacred.analysis.statement import Scan, Statement
    from sacred.journal.events import Event
    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder
    from sacred.journal.seal_index import SealedFrame
    from sacred.replayers.listing import RunOutline

__all__ = ["Loader", "create_relations"]

#: Rows collected before they go to DuckDB.
_ROWS = 8192
#: Relations that one pass over a run's events gives: small ones, and those as long as the run.
_DOCUMENT = frozenset({"config", "hosts", "artifacts", "resources", "sources"})
_BESIDE_JOURNAL = frozenset({"views"})
_LONG = frozenset({"metrics", "output", "events"})
#: Tables of a loader's own: of a statement's conditions it asks DuckDB which runs satisfy them.
_RUNS, _METRICS = "sacred_run_numbers", "sacred_asked_names"


def create_relations(connection: Any, *, several: bool = False) -> None:
    """Make the relations, empty; of several roots each has the column ``root``."""
    for relation in RELATIONS.values():
        every = (ROOT, *relation.columns) if several else relation.columns
        columns = ", ".join(f'"{column.name}" {column.type}' for column in every)
        connection.execute(f'create table "{relation.name}" ({columns})')


class Loader:
    """Fills relations from journals.

    Parameters
    ----------
    connection
        DuckDB's. It gets every relation.
    names
        The relations that are filled; the others stay empty.
    statement
        Whose conditions bound what is read; None: everything is.
    kept
        Bytes of metric points that may stay in arrays; see ``PointLoader``.
    cache
        Whether what is known of ended runs may be used, and kept for the next question.
    at
        The runs as they were at that moment; those that had not begun are left out. None: as they
        are.
    root
        What conditions on ``root`` are about: the name of the root all runs are of, where a
        statement is about several. The relations have no such column here.
    space
        Begins the names of what is the connection's own, where it has several loaders: each in a
        schema of its own, which has to be the one that names mean while it reads.
    create
        Whether to make the relations; else they are there, with any columns more.

    Attributes
    ----------
    problems
        A sentence for each run that was looked at and could not be read whole.
    """

    def __init__(
        self,
        connection: Any,
        names: Iterable[str] = RELATIONS,
        statement: Statement | None = None,
        kept: int = 0,
        *,
        cache: bool = False,
        at: Moment | None = None,
        root: str | None = None,
        space: str = "",
        create: bool = True,
    ) -> None:
        if create:
            create_relations(connection)
        self._connection = connection
        self._reaches: dict[str, list[Reach]] = {}
        self._names = frozenset(names)
        self._scans: dict[str, list[Scan]] = {} if statement is None else statement.scans
        self._statement = statement
        self._loaded: set[str] = set()
        wanted_of = self._wanted_metrics if self._metrics_of() else None
        columns_read = None if statement is None else statement.columns("metrics")
        self._points = PointLoader(connection, columns_read, wanted_of, kept, space)
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in self._names}
        #: What may be read of each relation: the rest stays NULL.
        self._columns = {
            name: frozenset(column.name for column in RELATIONS[name].columns)
            if statement is None
            else statement.columns(name) | {"run"}
            for name in self._names
        }
        self._told: set[int | None] = set()
        self._cache = cache
        self._at = at
        self._root = root
        #: Runs that had not begun at the moment that is asked about.
        self._absent: set[int | None] = set()
        #: By root.
        self._outlines: dict[str, KeptOutlines] = {}
        self.problems: list[str] = []

    @property
    def room(self) -> int:
        """Bytes of metric points that may still stay in arrays."""
        return self._points.room

    def load(self, folders: Sequence[RunFolder]) -> None:
        """Read runs. What is wrong with one is a problem to tell, and no error.

        What bounds other relations is read first; where nothing does, a run is looked at once.
        """
        try:
            self._read(folders)
        finally:
            for outlines in self._outlines.values():
                outlines.close()
            self._outlines.clear()

    def _read(self, folders: Sequence[RunFolder]) -> None:
        self._number(folders)
        if self._statement is not None:
            for name in self._names & _LONG:
                self._reaches[name] = reaches(self._statement, self._scans.get(name, ()))
        others = (scans for name, scans in self._scans.items() if name != "runs")
        bound = any(self._partners(scan) for scans in others for scan in scans)
        stages = ({"runs"}, _DOCUMENT | _BESIDE_JOURNAL, _LONG) if bound else (self._names,)
        for stage in stages:
            names = stage & self._names
            if not names:
                continue
            runs = {name: self._runs_of(name) for name in names}
            for folder in folders:
                chosen = {n for n in names if (of := runs[n]) is None or folder.number in of}
                if chosen:
                    self._load(folder, chosen)
            self._flush()
            self._loaded |= names
        self._points.finish()

    def _outline(self, folder: RunFolder) -> RunOutline:
        """Return a run's outline, where that is all that is asked of it."""
        number = folder.number
        root, _, name = folder.place.rpartition(os.sep)
        if not self._cache or number is None or name != str(number):
            return outline(folder)
        if root not in self._outlines:
            self._outlines[root] = KeptOutlines(folder.root)
        return self._outlines[root].of(number)

    def _load(self, folder: RunFolder, names: set[str]) -> None:
        """Read one run into some relations."""
        number = folder.number
        if number in self._absent:
            return
        try:
            if self._at is not None:
                self._load_past_outline(folder, names, self._at)
            elif names & {"runs", "metrics"}:
                self._load_outline(folder, names)
            elif number not in self._told:
                self._tell(self._outline(folder))
            if number in self._absent:
                return
            if "views" in names:
                for standing in standings([folder]):
                    self._add("views", *view_row(standing))
            if names - {"runs", "metrics", "views"} and folder.journal.is_dir():
                self._load_events(folder, names)
        except (JournalError, OSError, OverflowError) as error:
            if number not in self._told:
                self.problems.append(f"run {number}: {error}")
            self._told.add(number)

    def _load_outline(self, folder: RunFolder, names: set[str]) -> None:
        add = partial(self._points.add, folder.number)
        if "metrics" not in names or self._load_sealed_points(folder, add):
            found = self._outline(folder)
        else:
            found = outline(folder, visit=add, table_decoder=self._points.decode)
        self._tell(found)
        if "runs" in names:
            self._add("runs", *run_row(found, self._columns["runs"]))

    def _load_past_outline(self, folder: RunFolder, names: set[str], at: Moment) -> None:
        """Do so for a moment; of each run it is known then whether it had begun."""
        if not names & {"runs", "metrics"} and folder.number in self._told:
            return
        if "metrics" in names:
            add = partial(self._points.add, folder.number)
            found = outline_at(folder, at, visit=add, table_decoder=self._points.decode)
        else:
            found = outline_at(folder, at)
        if found is None:
            self._absent.add(folder.number)
            return
        self._tell(found)
        if "runs" in names:
            self._add("runs", *run_row(found, self._columns["runs"]))

    def _load_sealed_points(self, folder: RunFolder, add: Callable[[Event], None]) -> bool:
        """Read of a sealed run those points alone that can be wanted; tell whether that was done."""
        if not folder.journal.is_dir():
            return False
        reader = JournalReader(folder.journal, table_decoder=self._points.decode)
        try:
            sealed = SealedEvents.of(reader)
            if sealed is None:
                return False
            wanted = self._wanted_frames(sealed, {"metrics"})
            if wanted is None:
                return False
            for event in sealed.read(wanted):
                add(event)
            self._tell_verdicts(folder, reader)
        finally:
            reader.close()
        return True

    def _tell_verdicts(self, folder: RunFolder, reader: JournalReader) -> None:
        """Tell of damage that was met where the run's outline does not look."""
        damage = [
            v for v in reader.verdicts if is_damage(v) and not getattr(v, "superseded", False)
        ]
        if damage and not any(told.startswith(f"run {folder.number}: ") for told in self.problems):
            self.problems.append(f"run {folder.number}: {damage[0]}")

    def _wanted_frames(
        self, sealed: SealedEvents, names: set[str]
    ) -> Callable[[SealedFrame], bool] | None:
        """Return which frames of a sealed run can hold what some relations need; None: most do."""
        kinds: list[tuple[frozenset[int] | None, list[Reach]]] = []
        if "metrics" in names and self._points.wants(metric.name for metric in sealed.metrics):
            kinds.append((_POINTS, self._reaches.get("metrics", [])))
        if "events" in names:
            kinds.append((None, self._reaches.get("events", [])))
        if "output" in names:
            # A line may begin in one frame and end in another: all of them, or none.
            reach = self._reaches.get("output", [])
            printed = [frame for frame in sealed.frames if EventType.OUTPUT in frame.types]
            if any(_meets(frame, reach) for frame in printed):
                kinds.append((_OUTPUT, []))
        documents = bool(names & _DOCUMENT)

        def wanted(frame: SealedFrame) -> bool:
            if documents and not _BESIDE_DOCUMENT.issuperset(frame.types):
                return True
            return any(
                (types is None or not types.isdisjoint(frame.types)) and _meets(frame, reach)
                for types, reach in kinds
            )

        held = sum(frame.count for frame in sealed.frames if wanted(frame))
        every = sum(frame.count for frame in sealed.frames)
        return wanted if held * _WORTH <= every * (_WORTH - 1) else None

    def _tell(self, found: RunOutline) -> None:
        if found.problem and found.run not in self._told:
            self.problems.append(f"run {found.run}: {found.problem}")
        self._told.add(found.run)

    # -- what a statement asks for -------------------------------------------------------------------

    def _number(self, folders: Sequence[RunFolder]) -> None:
        if any(scans for scans in self._scans.values()):
            numbers = [folder.number for folder in folders]
            self._connection.execute(
                f"create table {_RUNS} as select unnest($numbers::bigint[]) as run",
                {"numbers": numbers},
            )

    def _runs_of(self, name: str) -> set[int] | None:
        """Return the runs whose rows a relation has to have; None: all."""
        scans = self._scans.get(name)
        if not scans:
            return None
        runs: set[int] = set()
        for scan in scans:
            wanted = self._runs_of_scan(scan)
            if wanted is None:
                return None
            runs |= wanted
        return runs

    def _runs_of_scan(self, scan: Scan) -> set[int] | None:
        wanted: set[int] | None = None
        tables = [
            (each.alias, own, _RUNS)
            for each in self._meeting(scan)
            if (own := tuple(c for c in each.conditions if c.columns <= {"root", "run"}))
        ]
        tables += [(each.alias, each.conditions, each.relation) for each in self._partners(scan)]
        for alias, conditions, table in tables:
            if table != _RUNS and table not in self._loaded:
                continue
            assert self._statement is not None
            found = self._statement.rows_where(alias, conditions, table, "run", root=self._root)
            if found is not None:
                wanted = found if wanted is None else wanted & found
        return wanted

    def _meeting(self, scan: Scan) -> list[Scan]:
        """Return a scan and those whose rows of the same run alone meet its rows."""
        if scan.group is None:
            return [scan]
        return [
            each for every in self._scans.values() for each in every if each.group == scan.group
        ]

    def _partners(self, scan: Scan) -> list[Scan]:
        """Return the small relations whose conditions bound the runs of a scan."""
        if scan.group is None:
            return []
        return [
            each
            for name in ("runs", *sorted(_DOCUMENT | _BESIDE_JOURNAL))
            for each in self._scans.get(name, ())
            if each.group == scan.group and each is not scan and each.conditions
        ]

    def _metrics_of(self) -> bool:
        """Tell whether each place that reads points has a condition on the metric's name."""
        scans = self._scans.get("metrics", ())
        return bool(scans) and all(
            any(condition.columns == {"metric"} for condition in scan.conditions) for scan in scans
        )

    def _wanted_metrics(self, names: Sequence[str]) -> set[str]:
        """Return of names of metrics those whose points may be asked for."""
        assert self._statement is not None
        self._connection.execute(
            f"create or replace table {_METRICS} as select unnest($names::varchar[]) as metric",
            {"names": list(names)},
        )
        wanted: set[str] = set()
        for scan in self._scans["metrics"]:
            own = [condition for condition in scan.conditions if condition.columns == {"metric"}]
            found = self._statement.rows_where(scan.alias, own, _METRICS, "metric")
            if found is None:
                return set(names)
            wanted |= found
        return wanted

    # -- rows ----------------------------------------------------------------------------------------

    def _add(self, name: str, *row: Any) -> None:
        rows = self._rows[name]
        rows.append(row)
        if len(rows) >= _ROWS:
            self._insert(name)

    def _insert(self, name: str) -> None:
        rows = self._rows[name]
        if not rows:
            return
        self._rows[name] = []
        terms, parameters, filled = [], {}, []
        for number, column in enumerate(RELATIONS[name].columns):
            if column.name not in self._columns[name]:
                continue
            filled.append(f'"{column.name}"')
            parameters[f"c{number}"] = [row[number] for row in rows]
            if column.type == "TIMESTAMP":
                terms.append(f"make_timestamp(unnest($c{number}::bigint[]))")
            elif column.type == "DOUBLE":
                # As texts: DuckDB 1 takes a NaN in a list of numbers for NULL.
                texts = [None if row[number] is None else repr(row[number]) for row in rows]
                parameters[f"c{number}"] = texts
                terms.append(f"unnest($c{number}::varchar[])::double")
            else:
                terms.append(f"unnest($c{number}::{column.type}[])")
        self._connection.execute(
            f'insert into "{name}" ({", ".join(filled)}) select {", ".join(terms)}', parameters
        )

    def _flush(self) -> None:
        """Give DuckDB what was collected."""
        self._points.flush()
        for name in self._rows:
            self._insert(name)

    # -- what one pass over the events gives -------------------------------------------------

    def _load_events(self, folder: RunFolder, names: set[str]) -> None:
        run = folder.number
        projection = RunProjection(resolve=blob_resolver(folder.root))
        output = OutputLines()
        spool_end = 0
        reader = (
            JournalReader(folder.journal, table_decoder=decode_length)
            if self._at is None
            else PastReader(folder.journal, self._at, table_decoder=decode_length)
        )
        try:
            for event in self._events_of(reader, names):
                if "events" in names:
                    self._add("events", run, *event_row(event))
                if event.type == EventType.OUTPUT:
                    fields = event.fields
                    end = fields.get("end")
                    if type(end) is int:
                        if end <= spool_end:
                            continue  # it was there before
                        spool_end = end
                    if "output" in names:
                        stream, data = fields.get("stream", 1), fields.get("data") or b""
                        piece = (event.writer, event.seq, event.time, stream, data)
                        self._lines(run, output.add(*piece))
                elif event.type not in _BESIDE:
                    projection.apply(event)
            self._tell_verdicts(folder, reader)
        finally:
            reader.close()
        if "events" in names:
            for said in read_notes(folder).events:
                if isinstance(reader, PastReader) and not reader.was_there(said.time):
                    continue
                self._add("events", run, *said_row(said))
        if "output" in names:
            for chunk in spool_beyond(folder, spool_end):
                if isinstance(reader, PastReader) and not reader.had_spooled(chunk.time_ns):
                    continue
                self._lines(run, output.add(0, None, chunk.time_ns, chunk.stream, chunk.data))
            self._lines(run, output.end())
        document = projection.document()
        if "config" in names:
            for key, value in leaves(document.get("config") or {}):
                self._add("config", run, key, *leaf_row(value))
        if "hosts" in names:
            for key, value in leaves(document.get("host") or {}):
                self._add("hosts", run, key, leaf_row(value)[1])
        self._files(run, document, names)

    def _events_of(self, reader: JournalReader, names: set[str]) -> Iterator[Event]:
        """Yield the events that some relations need, and others where leaving them out gains little."""
        sealed = SealedEvents.of(reader) if self._at is None else None
        wanted = None if sealed is None else self._wanted_frames(sealed, names)
        if sealed is None or wanted is None:
            return reader.read(order="time")
        return sealed.read(wanted)

    def _lines(self, run: int | None, lines: Iterable[Line]) -> None:
        for line in lines:
            text = plain_text(line.text)
            self._add("output", run, line.writer, line.seq, micros(line.time), line.stream, text)

    def _files(self, run: int | None, document: dict[str, Any], names: set[str]) -> None:
        experiment = document.get("experiment") or {}
        entries = {
            "artifacts": document.get("artifacts") or (),
            "resources": document.get("resources") or (),
            "sources": experiment.get("sources") or (),
        }
        for name in names & set(entries):
            for entry in entries[name]:
                self._add(name, run, *file_row(entry))


def _meets(frame: SealedFrame, reaches: list[Reach]) -> bool:
    times = frame.first_time, frame.last_time
    return not reaches or any(reach.meets(*times) for reach in reaches)


#: Less than a part of so many left out is not worth another way of reading.
_WORTH = 8
_POINTS = frozenset({int(EventType.METRIC_POINT), int(EventType.METRIC_TABLE)})
_OUTPUT = frozenset({int(EventType.OUTPUT)})
#: What says nothing of config, files and machine.
_BESIDE_DOCUMENT = _POINTS | _OUTPUT | {int(EventType.OUTPUT_FILTERED)}
_BESIDE = frozenset(
    {EventType.METRIC_POINT, EventType.METRIC_TABLE, EventType.OUTPUT_FILTERED},
)
