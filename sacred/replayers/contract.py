"""The tests that every sink passes, ours or a third party's.

Install your package (``pip install -e .``: its entry point makes the sink known), derive a class in
a test module of your own, and say three things::

    import pytest

    from sacred.replayers.contract import SinkContract
    from sacred.replayers.sink import SinkSpec


    class TestMySink(SinkContract):
        @pytest.fixture
        def spec(self, tmp_path):
            # an empty place, for one test
            return SinkSpec.parse(f"my:{tmp_path}")

        def document(self, spec, view_id):
            ...  # all that the place holds of a run, a dict with "metrics"; None if nothing

        def place_foreign_run(self, spec, view_id):
            ...  # put another program's run under an id

``pytest`` then runs every test of the class, each in a place of its own, against whatever ``spec``
leads to: let that be the real thing, a server that the fixture starts, and not a stand-in of yours.
Some tests use several sinks at once, in threads too; none needs the network beyond that place, and
none waits for a clock.

``document`` is compared: of a run with itself after a repeat, a rebuild or a crash; and of two runs
that did the same. For these keys named ``_id``, ``id``, ``run_id``, ``file_id``, ``start_time``,
``stop_time``, ``heartbeat`` and ``timestamps`` do not count, at any depth. Leave out revisions and
what else each write changes. The more of the place is in it, the more the tests prove.

What your place can not have is left out by name, and the reason belongs beside it::

        test_two_followers_at_once = None  # it has no conditional writes: one replayer at a time

``docs/write-a-sink.md`` builds a whole package with its test. A place that can not be asked what it
holds, like a chat, keeps :class:`sacred.replayers.notification_contract.NotificationContract`.

Needs pytest; nothing else here does.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.blobs import BlobStore
from sacred.journal.events import Event, EventType
from sacred.journal.position import Position, WriterPosition
from sacred.journal.root import JournalRoot, RunFolder
from sacred.journal.writer import JournalWriter
from sacred.replayers.errors import TransientSinkError, ViewMovedError
from sacred.replayers.follower import Follower
from sacred.replayers.projection import PROJECTOR, RunProjection
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import Batch, FieldsChanged, FileEntry, RunKey, Sink, SinkSpec
from sacred.replayers.sinks.chaos import ChaosSink
from sacred.replayers.status import ViewStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["SinkContract", "write_run"]


def write_run(
    folder: RunFolder, *, points: int = 50, ends: bool = True, name: str = "contract"
) -> JournalWriter:
    """Write a run with something of everything; returns its writer, closed if the run ended."""
    blobs = BlobStore(folder.root.blobs, durable=False)
    writer = JournalWriter.create(folder.journal, durability="process", blobs=blobs)
    writer.append(
        EventType.RUN_STARTED,
        run_id=folder.number,
        name=name,
        command="main",
        config={"seed": 1, "tuple": (1, 2), "nested": {"a": 0.5}},
        meta={"command": "main", "options": {}},
        experiment={"name": name, "base_dir": "/base", "mainfile": "main.py"},
        host={"hostname": "host"},
    )
    source, artifact = blobs.put_bytes(b"print(1)\n"), blobs.put_bytes(b"the artifact")
    writer.append(
        EventType.SOURCE_ADDED,
        filename="main.py",
        path="/base/main.py",
        md5=source.md5,
        blob=source.blob.to_wire(),
    )
    writer.append_output(1, "first line: ä\n".encode())
    for step in range(points):
        writer.log_point("loss", step, step / 4)
        if step % 3 == 0:
            writer.log_point("dotted.name", step, step)
    writer.append(EventType.INFO_CHANGED, set=[[["key"], [1, {"deep": 2}]]], deleted=[])
    writer.append(
        EventType.ARTIFACT_ADDED,
        name="a file.txt",
        filename="/base/a file.txt",
        blob=artifact.blob.to_wire(),
        md5=artifact.md5,
        content_type="text/plain",
    )
    writer.append(
        EventType.RESOURCE_ADDED,
        filename="/base/data.csv",
        blob=artifact.blob.to_wire(),
        md5=artifact.md5,
    )
    writer.append(EventType.HEARTBEAT)
    if ends:
        writer.append_output(2, b"second line\n")
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=42)
        writer.close()
    else:
        writer.flush()
    return writer


class SinkContract:
    """What a sink promises; each test says it in its docstring."""

    # -- to be given -----------------------------------------------------------------------------

    @pytest.fixture
    def spec(self) -> SinkSpec:
        """Return the specification of an empty place."""
        raise NotImplementedError

    def document(self, spec: SinkSpec, view_id: Any) -> Any:
        """Return all that the place holds of a run, as a value that can be compared.

        Without using the sink, and without times of writing and the like. ``None`` if there is
        nothing. Of a run written by ``write_run`` it must hold points and output.
        """
        raise NotImplementedError

    def place_foreign_run(self, spec: SinkSpec, view_id: int) -> None:
        """Put another program's run under an id."""
        raise NotImplementedError

    # -- help ------------------------------------------------------------------------------------

    @pytest.fixture
    def root(self, tmp_path: Path) -> JournalRoot:
        """Return a root of journals."""
        return JournalRoot(tmp_path / "contract_runs")

    @pytest.fixture
    def opened(self, spec: SinkSpec) -> Iterator[Callable[[], Sink]]:
        """Return a function that opens sinks, all closed at the end."""
        sinks: list[Sink] = []

        def make() -> Sink:
            sink = load_sink(spec)
            sink.open()
            sinks.append(sink)
            return sink

        yield make
        for sink in sinks:
            sink.close()

    def follow(
        self, folder: RunFolder, spec: SinkSpec, sink: Sink | None = None, **options: Any
    ) -> ViewStatus:
        """Bring a run into the view once, with a follower of its own."""
        follower = Follower(folder, sink or load_sink(spec), spec, **options)
        try:
            return follower.run_once(patience=20.0)
        finally:
            follower.close()

    @staticmethod
    def batch(run: RunKey, events: list[Event], upto: int) -> Batch:
        """Return a batch of some events."""
        projection = RunProjection(keep_output=True)
        for event in events:
            projection.apply(event)
        position = Position({0: WriterPosition(1, upto, upto * 7 + 1)})
        changes = tuple(projection.changes())
        return Batch(
            run, changes, position, PROJECTOR, metrics=tuple(projection.counts), ahead=position
        )

    @staticmethod
    def events(count: int) -> list[Event]:
        """Return the start of a run and some points."""
        began = 1_700_000_000_000_000_000
        fields = {"run_id": 1, "name": "x", "command": "main", "config": {}, "meta": {}}
        fields |= {"experiment": {"name": "x", "base_dir": "/b"}, "host": {}}
        points = [
            Event(16, began + n, n, 0, {"metric": "m", "step": n, "value": n / 2})
            for n in range(1, count)
        ]
        return [Event(int(EventType.RUN_STARTED), began, 0, 0, fields), *points]

    # -- the view equals the fold ----------------------------------------------------------------

    def test_a_run_arrives(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that is replayed is in the place, under its id."""
        folder = root.claim()
        write_run(folder)
        status = self.follow(folder, spec)
        assert (status.state, status.error) == ("current", None)
        assert status.view_id == 1
        assert self.document(spec, 1) is not None

    def test_a_repeat_changes_nothing(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A second replay finds everything there."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        before = self.document(spec, 1)
        self.follow(folder, spec)
        assert before == self.document(spec, 1)

    def test_many_batches_give_what_one_gives(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that is followed while it is written equals one that is replayed at its end."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        follower = Follower(folder, load_sink(spec), spec)
        try:
            for step in range(50, 80):
                writer.log_point("loss", step, float(step))
                writer.append_output(1, f"line {step}\n".encode())
                writer.flush()
                assert follower.run_once(patience=20.0).state == "current"
            writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
            writer.close()
            follower.run_once(patience=20.0)
        finally:
            follower.close()
        followed = self.document(spec, 1)
        self.follow(folder, spec, rebuild=True)
        assert self.document(spec, 1) == followed

    @pytest.mark.parametrize("how", ["before", "after"])
    @pytest.mark.parametrize("call", range(8))
    def test_a_failure_at_any_call(
        self, spec: SinkSpec, root: JournalRoot, call: int, how: str
    ) -> None:
        """Whichever call fails, with or without effect: the run arrives whole, nothing twice."""
        folder, other = root.claim(), root.claim()
        write_run(folder)
        write_run(other)
        chaos = ChaosSink(load_sink(spec), ["ok"] * call + [how])
        status = self.follow(folder, spec, chaos)
        assert status.state == "current", status.error
        self.follow(other, spec)
        assert _same_but_id(self.document(spec, 1), self.document(spec, 2))

    def test_a_replayer_that_vanishes(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A replayer that ends after any of its writes is followed by one that goes on."""
        folder, other = root.claim(), root.claim()
        writer, reference = write_run(folder, ends=False), write_run(other, ends=False)
        for part in range(3):
            sink = load_sink(spec)
            chaos = ChaosSink(sink, ["ok"] * (3 + part) + ["after"])
            follower = Follower(folder, chaos, spec)
            follower.run_once()
            follower.close()
            for one in (writer, reference):
                for step in range(10):
                    one.log_point("loss", 100 * part + step, 0.5)
                one.flush()
        for one in (writer, reference):
            one.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
            one.close()
        self.follow(folder, spec)
        self.follow(other, spec)
        assert _same_but_id(self.document(spec, 1), self.document(spec, 2))

    def test_a_view_that_is_written_anew(self, spec: SinkSpec, root: JournalRoot) -> None:
        """After a rebuild the view holds the same under the same id."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        before = self.document(spec, 1)
        status = self.follow(folder, spec, rebuild=True)
        assert status.view_id == 1
        assert before == self.document(spec, 1)

    def test_a_phantom_tail(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A view with events that a power cut took from the journal is written anew."""
        folder, truth = root.claim(), root.claim()
        journal_id = 4711
        for where, extra in ((folder, 5.0), (truth, 7.0)):
            writer = JournalWriter.create(where.journal, journal_id=journal_id)
            writer.append(EventType.RUN_STARTED, time_ns=10**18, **_start())
            for step in range(5):
                writer.log_point("m", step, extra if step > 2 else 1.0)
                writer.flush()
            writer.append(EventType.RUN_ENDED, time_ns=10**18 + 1, how="failed", status="FAILED")
            writer.close()
        self.follow(folder, spec)
        before = self.document(spec, 1)
        status = self.follow(truth, spec)
        assert status.state == "current", status.error
        assert self.document(spec, 1) != before
        self.follow(truth, spec, rebuild=True)
        rebuilt = self.document(spec, 1)
        self.follow(truth, spec)
        assert rebuilt == self.document(spec, 1)

    # -- batches ---------------------------------------------------------------------------------

    def test_a_batch_that_comes_twice(self, spec: SinkSpec, opened: Callable[[], Sink]) -> None:
        """Points that were stored before are recognised, however they are cut."""
        run = RunKey("00000000000000aa", 1)
        events = self.events(30)
        first = opened()
        first.claim(run)
        first.position(run)
        first.write(self.batch(run, events[:20], 20))
        before = self.document(spec, 1)
        second = opened()
        second.position(run)
        second.write(self.batch(run, events[:20], 20))
        assert _points(before) == _points(self.document(spec, 1))
        second.position(run)
        second.write(self.batch(run, [events[0], *events[10:]], 30))
        found = second.position(run)
        assert found is not None
        assert found.points is None or found.points == {"m": 29}

    def test_position_and_projector_are_kept(self, opened: Callable[[], Sink]) -> None:
        """What a batch says of its position is what another sink reads."""
        run = RunKey("00000000000000ab", 1)
        first = opened()
        assert first.position(run) is None
        first.claim(run)
        claimed = first.position(run)
        assert claimed is not None
        assert claimed.claimed
        assert not claimed.position
        batch = self.batch(run, self.events(5), 5)._replace(order="time", spool=99)
        first.write(batch)
        found = opened().position(run)
        assert found is not None
        assert found.position == batch.position
        assert found.position[0].offset == batch.position[0].offset
        facts = (found.projector, found.order, found.spool, found.claimed)
        assert facts == (PROJECTOR, "time", 99, False)

    def test_two_replayers(self, opened: Callable[[], Sink]) -> None:
        """Of two that write the same run, the one that knows less is told to look again."""
        run = RunKey("00000000000000ac", 1)
        one, two = opened(), opened()
        one.claim(run)
        one.position(run)
        two.position(run)
        one.write(self.batch(run, self.events(5), 5))
        with pytest.raises(ViewMovedError):
            two.write(self.batch(run, self.events(4), 4))
        found = two.position(run)
        assert found is not None
        assert found.position[0].next_seq == 5

    def test_two_replayers_of_a_view_that_goes_on(
        self, spec: SinkSpec, opened: Callable[[], Sink]
    ) -> None:
        """What the one that knows less is refused leaves no trace: no point, no field."""
        run = RunKey("00000000000000b1", 1)
        events = self.events(30)
        one, two = opened(), opened()
        one.claim(run)
        one.position(run)
        one.write(self.batch(run, events[:10], 10))
        one.position(run)
        two.position(run)
        one.write(self.batch(run, events[:20], 20))
        before = self.document(spec, 1)
        fields = (FieldsChanged({"status": "FAILED", "result": 7}),)
        stale = self.batch(run, events[:20], 20)
        for batch in (stale, self.batch(run, events, 30), stale._replace(changes=fields)):
            with pytest.raises(ViewMovedError):
                two.write(batch)
            assert self.document(spec, 1) == before
        third = opened()
        third.position(run)
        one.write(self.batch(run, events, 30))
        before = self.document(spec, 1)
        with pytest.raises(ViewMovedError):
            third.write(stale._replace(changes=fields))
        assert self.document(spec, 1) == before

    def test_two_followers_at_once(self, spec: SinkSpec, root: JournalRoot) -> None:
        """Two replayers of one run at the same time write it once."""
        folder, other = root.claim(), root.claim()
        write_run(folder, points=300)
        write_run(other, points=300)
        threads = [
            threading.Thread(target=self.follow, args=(folder, spec), daemon=True) for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        self.follow(folder, spec)
        self.follow(other, spec)
        assert _same_but_id(self.document(spec, 1), self.document(spec, 2))

    # -- ids -------------------------------------------------------------------------------------

    def test_a_free_id_is_kept(self, opened: Callable[[], Sink]) -> None:
        """A run keeps its id where that is free, also if the id is the text of a number."""
        assert opened().claim(RunKey("0000000000000001", 7)) == 7
        assert opened().claim(RunKey("0000000000000002", "9")) == 9

    def test_a_taken_id_is_mapped(self, opened: Callable[[], Sink]) -> None:
        """A run whose id is taken gets the next free one, and keeps that."""
        sink = opened()
        assert sink.claim(RunKey("0000000000000001", 7)) == 7
        assert sink.claim(RunKey("0000000000000002", 7)) == 8
        assert sink.claim(RunKey("0000000000000002", 7)) == 8
        assert opened().claim(RunKey("0000000000000002", None)) == 8

    def test_an_id_that_is_a_text(self, opened: Callable[[], Sink]) -> None:
        """A text is kept where the view can have one, else the next free integer is given."""
        sink = opened()
        assert sink.claim(RunKey("0000000000000001", 4)) == 4
        assert sink.claim(RunKey("0000000000000002", "a name")) in {5, "a name"}
        assert sink.claim(RunKey("0000000000000003", "a name")) in {5, 6}

    @pytest.mark.parametrize("wanted", [None, "../../evil", 0, -3, True, 1 << 70])
    def test_what_is_no_id(self, opened: Callable[[], Sink], wanted: Any) -> None:
        """What can be no id gets the next free integer."""
        sink = opened()
        assert sink.claim(RunKey("0000000000000001", 4)) == 4
        assert sink.claim(RunKey("0000000000000002", wanted)) == 5

    def test_another_programs_run(
        self, spec: SinkSpec, root: JournalRoot, opened: Callable[[], Sink]
    ) -> None:
        """An entry that is not ours is never touched."""
        opened()
        self.place_foreign_run(spec, 1)
        before = self.document(spec, 1)
        folder = root.claim()
        write_run(folder)
        assert self.follow(folder, spec).view_id == 2
        assert self.document(spec, 1) == before

    def test_a_claim_is_taken_back(self, spec: SinkSpec, opened: Callable[[], Sink]) -> None:
        """A claim can be released as long as there is nothing but it."""
        run = RunKey("00000000000000ad", 3)
        sink = opened()
        sink.claim(run)
        assert sink.release(run)
        assert sink.position(run) is None
        assert self.document(spec, 3) is None
        sink.claim(run)
        sink.position(run)
        sink.write(self.batch(run, self.events(3), 3))
        assert not sink.release(run)
        assert sink.position(run) is not None

    def test_claims_of_living_processes_stay(self, opened: Callable[[], Sink]) -> None:
        """Clearing what was left behind spares what lives."""
        sink = opened()
        sink.claim(RunKey("00000000000000ae", 3))
        assert sink.clear_claims(0.0) == 0
        assert sink.position(RunKey("00000000000000ae", 3)) is not None

    def test_two_roots(self, spec: SinkSpec, tmp_path: Path) -> None:
        """Runs of two roots that use the same numbers are kept apart."""
        documents = []
        for name in ("one", "two"):
            folder = JournalRoot(tmp_path / name).claim()
            write_run(folder, name=name)
            status = self.follow(folder, spec)
            documents.append((status.view_id, self.document(spec, status.view_id)))
        assert [view_id for view_id, _ in documents] == [1, 2]
        assert self.document(spec, 1) == documents[0][1]

    # -- files -----------------------------------------------------------------------------------

    def test_a_file_without_content(self, opened: Callable[[], Sink]) -> None:
        """A file whose content was lost does not stop a run."""
        run = RunKey("00000000000000af", 1)
        sink = opened()
        sink.claim(run)
        sink.position(run)
        for role in ("source", "resource", "artifact"):
            sink.put_file(run, FileEntry(role, "/base/lost.py", "/base/lost.py", None), None)

    def test_a_file_that_comes_twice(self, opened: Callable[[], Sink], tmp_path: Path) -> None:
        """Storing a file again gives the same reference."""
        blob = tmp_path / "blob"
        blob.write_bytes(b"content")
        run = RunKey("00000000000000b0", 1)
        entry = FileEntry("source", "x.py", "/base/x.py", "d" * 64, "0" * 32, 7)
        references = []
        for _ in range(2):
            sink = opened()
            sink.claim(run)
            sink.position(run)
            references.append(sink.put_file(run, entry, blob))
        assert references[0] == references[1]

    # -- errors ----------------------------------------------------------------------------------

    def test_a_view_that_is_down_and_comes_back(self, spec: SinkSpec, root: JournalRoot) -> None:
        """While a view can not be opened the run waits; then it arrives."""
        folder = root.claim()
        write_run(folder)
        chaos = ChaosSink(load_sink(spec), ["before"] * 4, TransientSinkError("down for a while"))
        status = self.follow(folder, spec, chaos)
        assert (status.state, chaos.failures) == ("current", 4)

    def test_following(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that goes on is in the view while it does, and whole at its end."""
        folder, other = root.claim(), root.claim()
        writer = write_run(folder, ends=False)
        stop = threading.Event()
        follower = Follower(folder, load_sink(spec), spec)
        thread = threading.Thread(target=follower.follow, args=(stop,), daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + 30.0
            while self.document(spec, 1) is None and time.monotonic() < deadline:
                stop.wait(0.01)
            assert self.document(spec, 1) is not None
            writer.append_output(2, b"second line\n")
            writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=42)
            writer.close()
        finally:
            stop.set()
            thread.join(30.0)
            follower.close()
        assert follower.status.state == "current"
        write_run(other)
        self.follow(other, spec)
        assert _same_but_id(self.document(spec, 1), self.document(spec, 2))


def _start() -> dict[str, Any]:
    fields: dict[str, Any] = {"run_id": 1, "name": "x", "command": "main", "config": {}}
    experiment = {"name": "x", "base_dir": "/base"}
    return {**fields, "meta": {}, "experiment": experiment, "host": {"hostname": "h"}}


def _points(document: Any) -> Any:
    return document["metrics"] if isinstance(document, dict) else document


#: What differs between two runs that did the same.
_OWN = frozenset(
    {"start_time", "stop_time", "heartbeat", "timestamps", "_id", "run_id", "id", "file_id"}
)


def _same_but_id(one: Any, two: Any) -> bool:
    return bool(_stripped(one) == _stripped(two))


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items() if key not in _OWN}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value
