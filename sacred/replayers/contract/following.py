"""The tests of what arrives in a view: all of it, once, whoever fails."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.writer import JournalWriter
from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.runs import without_ids, write_run
from sacred.replayers.copy_follower import follower_for
from sacred.replayers.errors import TransientSinkError
from sacred.replayers.projection import PROJECTOR
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import Batch, FieldsChanged, OutputChanged, RunKey, SinkSpec
from sacred.replayers.sinks.chaos import ChaosSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import Sink

__all__ = ["FollowingContract"]


class FollowingContract(SinkPlace):
    """A view equals what its journal says."""

    def test_a_run_arrives(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that is replayed is in the place, under its id."""
        folder = root.claim()
        write_run(folder)
        status = self.follow(folder, spec)
        assert (status.state, status.error) == ("current", None)
        assert status.view_id == 1
        assert self.document(spec, 1) is not None
        self.check(folder, spec, 1)

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
        follower = follower_for(folder, load_sink(spec), spec)
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
        self.check(folder, spec, 1)
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
        assert without_ids(self.document(spec, 1)) == without_ids(self.document(spec, 2))

    def test_a_replayer_that_vanishes(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A replayer that ends after any of its writes is followed by one that goes on."""
        folder, other = root.claim(), root.claim()
        writer, reference = write_run(folder, ends=False), write_run(other, ends=False)
        for part in range(3):
            sink = load_sink(spec)
            chaos = ChaosSink(sink, ["ok"] * (3 + part) + ["after"])
            follower = follower_for(folder, chaos, spec)
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
        assert without_ids(self.document(spec, 1)) == without_ids(self.document(spec, 2))

    def test_a_view_that_is_written_anew(self, spec: SinkSpec, root: JournalRoot) -> None:
        """After a rebuild the view holds the same under the same id."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        before = self.document(spec, 1)
        status = self.follow(folder, spec, rebuild=True)
        assert status.view_id == 1
        assert before == self.document(spec, 1)
        self.check(folder, spec, 1)

    def test_another_projector(
        self, spec: SinkSpec, root: JournalRoot, opened: Callable[[], Sink]
    ) -> None:
        """What another version of the projection wrote is written anew, under the same id."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        with contextlib.closing(JournalReader(folder.journal)) as reader:
            run = RunKey(f"{reader.journal_id:016x}", 1)
        sink = opened()
        found = sink.position(run)
        assert found is not None
        old = (FieldsChanged({"result": "of old", "status": "OLD"}), OutputChanged(0, "of old\n"))
        sink.write(Batch(run, old, found.position, PROJECTOR - 1, metrics=("loss", "dotted.name")))
        status = self.follow(folder, spec)
        assert (status.state, status.error, status.view_id) == ("current", None, 1)
        self.check(folder, spec, 1)
        found = sink.position(run)
        assert found is not None
        assert found.projector == PROJECTOR

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
        self.check(truth, spec, 1)
        self.follow(truth, spec, rebuild=True)
        rebuilt = self.document(spec, 1)
        self.follow(truth, spec)
        assert rebuilt == self.document(spec, 1)

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
        follower = follower_for(folder, load_sink(spec), spec)
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
        assert without_ids(self.document(spec, 1)) == without_ids(self.document(spec, 2))


def _start() -> dict[str, Any]:
    fields: dict[str, Any] = {"run_id": 1, "name": "x", "command": "main", "config": {}}
    experiment = {"name": "x", "base_dir": "/base"}
    return {**fields, "meta": {}, "experiment": experiment, "host": {"hostname": "h"}}
