"""The tests that every sink passes that sends messages, ours or a third party's.

:class:`sacred.replayers.contract.SinkContract` says what a place holds of a run. A chat holds no
run: it has no document that could be compared, no ids, no files and no points, and what it was told
it can neither be asked nor made to forget. So what is promised of it is less, and is said here.

* Every message that the templates ask for arrives, whatever is killed or broken when.
* A message arrives once; and once more at most for each time that nobody could know whether it had
  arrived: the replayer was killed, or the answer was lost, after it was handed over.
* A message that was answered for is never sent again: by no second replay, no other replayer, no
  rebuild.
* Where the run stands is remembered beside the run, and moves when its messages have arrived.
* No file, no status and no error holds an address or a token that lets others write there.

Inherit and say how to make a sink, and what its place was told::

    class TestMyChat(NotificationContract):
        rules = ("completed",)

        @pytest.fixture
        def spec(self, server):
            return SinkSpec.parse(f"my:{server.url}")

        def received(self, spec):
            ...

Needs pytest; nothing else here does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.events import EventType
from sacred.journal.root import JournalRoot, RunFolder
from sacred.journal.writer import JournalWriter
from sacred.replayers.contract import SinkContract, write_run
from sacred.replayers.errors import TerminalSinkError, TransientSinkError, ViewMovedError
from sacred.replayers.follower import Follower
from sacred.replayers.projection import PROJECTOR
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import RunKey, Sink, SinkSpec
from sacred.replayers.sinks.chaos import ChaosSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.replayers.status import ViewStatus

__all__ = ["NotificationContract"]


class NotificationContract:
    """What a sink promises that sends messages; each test says it in its docstring."""

    #: Of "started" and "completed", what the view tells of a run that goes well.
    rules: tuple[str, ...] = ("completed",)

    # -- to be given -----------------------------------------------------------------------------

    @pytest.fixture
    def spec(self) -> SinkSpec:
        """Return the specification of a place that was told nothing."""
        raise NotImplementedError

    def received(self, spec: SinkSpec) -> list[Any]:
        """Return the messages that the place took, in order, without what differs between runs."""
        raise NotImplementedError

    def fail_next(self, spec: SinkSpec, how: str) -> None:
        """Have the place fail at the next message.

        ``"later"``: it says that it can not take it now. ``"never"``: that it takes none.
        ``"silent"``: it takes the message, and the answer is lost.
        """
        raise NotImplementedError

    def secrets(self, spec: SinkSpec) -> list[str]:
        """Return the texts that nobody may see."""
        raise NotImplementedError

    # -- help ------------------------------------------------------------------------------------

    @pytest.fixture
    def root(self, tmp_path: Path) -> JournalRoot:
        """Return a root of journals."""
        return JournalRoot(tmp_path / "contract_runs")

    def follow(
        self, folder: RunFolder, spec: SinkSpec, sink: Sink | None = None, **options: Any
    ) -> ViewStatus:
        """Bring a run into the view once, with a follower of its own."""
        patience = options.pop("patience", 20.0)
        follower = Follower(folder, sink or load_sink(spec), spec, **options)
        try:
            return follower.run_once(patience=patience)
        finally:
            follower.close()

    def attending(self, folder: RunFolder, spec: SinkSpec) -> Sink:
        """Return a sink that is open and knows its run's folder."""
        sink: Any = load_sink(spec)
        sink.attend(folder)
        sink.open()
        found: Sink = sink
        return found

    # -- what arrives ----------------------------------------------------------------------------

    def test_a_run_is_told(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that is replayed is told of once by each rule, and is up to date then."""
        folder = root.claim()
        write_run(folder)
        status = self.follow(folder, spec)
        assert (status.state, status.error, status.view_id) == ("current", None, 1)
        assert len(self.received(spec)) == len(self.rules)

    def test_a_repeat_tells_nothing(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A second replay has nothing to say."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        before = self.received(spec)
        assert self.follow(folder, spec).state == "current"
        assert self.received(spec) == before

    def test_a_rebuild_tells_nothing(self, spec: SinkSpec, root: JournalRoot) -> None:
        """What was said can not be unsaid: a view that is written anew says nothing again."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        before = self.received(spec)
        status = self.follow(folder, spec, rebuild=True)
        assert (status.state, status.view_id) == ("current", 1)
        assert self.received(spec) == before

    def test_many_batches_tell_what_one_tells(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that is followed while it is written is told of as one that is replayed."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        follower = Follower(folder, load_sink(spec), spec)
        try:
            for step in range(50, 60):
                writer.log_point("loss", step, float(step))
                writer.flush()
                assert follower.run_once(patience=20.0).state == "current"
            begun = self.received(spec)
            assert len(begun) == len(self.rules) - 1
            writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=42)
            writer.close()
            assert follower.run_once(patience=20.0).state == "current"
        finally:
            follower.close()
        followed = self.received(spec)
        other = root.claim()
        write_run(other)
        self.follow(other, spec)
        assert self.received(spec)[len(followed) :] == followed

    def test_a_run_that_goes_on_ends_again(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that failed, went on and was completed is told of at both ends, begun once."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        writer.append(EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=["no\n"])
        writer.flush()
        self.follow(folder, spec)
        failed = len(self.received(spec))
        writer.append(EventType.RUN_RESUMED)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        self.follow(folder, spec)
        assert len(self.received(spec)) == failed + 1

    # -- what fails ------------------------------------------------------------------------------

    @pytest.mark.parametrize("how", ["before", "after"])
    @pytest.mark.parametrize("call", range(10))
    def test_a_failure_at_any_call(
        self, spec: SinkSpec, root: JournalRoot, call: int, how: str
    ) -> None:
        """Whichever call of the sink fails, with or without effect: each message arrives once."""
        folder = root.claim()
        write_run(folder)
        chaos = ChaosSink(load_sink(spec), ["ok"] * call + [how])
        status = self.follow(folder, spec, chaos)
        assert status.state == "current", status.error
        assert len(self.received(spec)) == len(self.rules)

    def test_a_place_that_can_not_now(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A place that says "later" is asked again, and has the message once."""
        folder = root.claim()
        write_run(folder)
        self.fail_next(spec, "later")
        self.fail_next(spec, "later")
        status = self.follow(folder, spec)
        assert status.state == "current", status.error
        assert len(self.received(spec)) == len(self.rules)

    def test_a_place_that_can_not_now_is_said(self, spec: SinkSpec, root: JournalRoot) -> None:
        """Without patience the view is behind, a sentence says why, and a later replay sends it."""
        folder = root.claim()
        write_run(folder)
        self.fail_next(spec, "later")
        status = self.follow(folder, spec, patience=0.0)
        assert status.state == "behind"
        assert status.error
        assert self.received(spec) == []
        assert self.follow(folder, spec).state == "current"
        assert len(self.received(spec)) == len(self.rules)

    def test_an_answer_that_is_lost(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A message whose answer was lost is sent once more, and no other is."""
        folder = root.claim()
        write_run(folder)
        self.fail_next(spec, "silent")
        status = self.follow(folder, spec)
        assert status.state == "current", status.error
        assert len(self.received(spec)) == len(self.rules) + 1
        assert len({repr(message) for message in self.received(spec)}) == len(self.rules)

    def test_a_place_that_refuses(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A refusal stops this view with a sentence; when it is mended the message is sent."""
        folder = root.claim()
        write_run(folder)
        self.fail_next(spec, "never")
        follower = Follower(folder, load_sink(spec), spec)
        status = follower.run_once(patience=20.0)
        follower.close()
        assert status.state == "failed"
        assert isinstance(follower.failure, TerminalSinkError)
        assert self.received(spec) == []
        assert self.follow(folder, spec).state == "current"
        assert len(self.received(spec)) == len(self.rules)

    def test_what_could_not_be_sent_is_sent_later(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run that failed while the place was down, and went on since, is told of at both ends."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        self.follow(folder, spec)
        writer.append(EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=["no\n"])
        writer.flush()
        self.fail_next(spec, "later")
        assert self.follow(folder, spec, patience=0.0).state == "behind"
        writer.append(EventType.RUN_RESUMED)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        assert self.follow(folder, spec).state == "current"
        assert len(self.received(spec)) == len(self.rules) + 1

    def test_no_secret_is_shown(self, spec: SinkSpec, root: JournalRoot) -> None:
        """No file beside the run and no error holds what lets others write there."""
        folder = root.claim()
        write_run(folder)
        texts = [repr(spec), spec.name, spec.key, spec.url]
        for how in ("later", "silent", "never"):
            self.fail_next(spec, how)
            texts.append(str(self.follow(folder, spec, patience=0.0).error))
        self.follow(folder, spec)
        texts += [path.read_text() for path in folder.views.iterdir()]
        for secret in self.secrets(spec):
            assert not [text for text in texts if secret in text]

    # -- several replayers -----------------------------------------------------------------------

    def test_two_followers_at_once(self, spec: SinkSpec, root: JournalRoot) -> None:
        """Two replayers of one run at the same time tell of it once."""
        folder = root.claim()
        write_run(folder)
        threads = [
            threading.Thread(target=self.follow, args=(folder, spec), daemon=True) for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert len(self.received(spec)) == len(self.rules)
        assert self.follow(folder, spec).state == "current"
        assert len(self.received(spec)) == len(self.rules)

    def test_one_that_knows_less(self, spec: SinkSpec, root: JournalRoot) -> None:
        """Of two that write the same run, the one that knows less is told to look again."""
        folder, run = root.claim(), RunKey("00000000000000ac", 1)
        one, two = self.attending(folder, spec), self.attending(folder, spec)
        one.claim(run)
        one.position(run)
        two.position(run)
        one.write(SinkContract.batch(run, SinkContract.events(5), 5))
        with pytest.raises(ViewMovedError):
            two.write(SinkContract.batch(run, SinkContract.events(4), 4))
        found = two.position(run)
        assert found is not None
        assert found.position[0].next_seq == 5

    def test_a_phantom_tail(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A run whose journal lost its tail is followed on, and told of once."""
        folder, truth = root.claim(), root.claim()
        for where, extra in ((folder, 5.0), (truth, 7.0)):
            writer = JournalWriter.create(where.journal, journal_id=4711)
            fields = SinkContract.events(1)[0].fields
            writer.append(EventType.RUN_STARTED, time_ns=10**18, **fields)
            for step in range(5):
                writer.log_point("m", step, extra if step > 2 else 1.0)
                writer.flush()
            end = {"how": "completed", "status": "COMPLETED", "result": 1}
            writer.append(EventType.RUN_ENDED, time_ns=10**18 + 1, **end)
            writer.close()
        self.follow(folder, spec)
        folder.views.rename(truth.views)
        assert self.follow(truth, spec).state == "current"
        assert len(self.received(spec)) == len(self.rules)

    # -- what is remembered ----------------------------------------------------------------------

    def test_position_and_projector_are_kept(self, spec: SinkSpec, root: JournalRoot) -> None:
        """What a batch says of its position is what another sink reads."""
        folder, run = root.claim(), RunKey("00000000000000ab", 1)
        first = self.attending(folder, spec)
        assert first.position(run) is None
        first.claim(run)
        claimed = first.position(run)
        assert claimed is not None
        assert claimed.claimed
        assert not claimed.position
        batch = SinkContract.batch(run, SinkContract.events(5), 5)._replace(order="time", spool=99)
        first.write(batch)
        found = self.attending(folder, spec).position(run)
        assert found is not None
        assert found.position == batch.position
        assert found.position[0].offset == batch.position[0].offset
        facts = (found.projector, found.order, found.spool, found.claimed)
        assert facts == (PROJECTOR, "time", 99, False)

    def test_what_is_remembered_has_the_name_of_the_view(
        self, spec: SinkSpec, root: JournalRoot
    ) -> None:
        """Beside the run lie hidden files with the key of the view, and nothing is left over."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        names = {path.name for path in folder.views.iterdir()} - {f"{spec.key}.json"}
        assert names
        assert all(name.startswith(f".{spec.key}.") for name in names)
        assert all(len(name) < len(spec.key) + 12 for name in names)  # no temporary file

    def test_without_a_folder(self, spec: SinkSpec) -> None:
        """A sink that was told of no folder remembers for as long as it lives."""
        run = RunKey("00000000000000ad", 3)
        sink = load_sink(spec)
        sink.open()
        sink.claim(run)
        sink.position(run)
        sink.write(SinkContract.batch(run, SinkContract.events(3), 3))
        before = len(self.received(spec))
        sink.position(run)
        sink.write(SinkContract.batch(run, SinkContract.events(3), 3))
        assert len(self.received(spec)) == before
        sink.close()

    def test_a_claim_is_taken_back(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A claim can be released as long as there is nothing but it."""
        folder, run = root.claim(), RunKey("00000000000000ad", 3)
        sink = self.attending(folder, spec)
        assert sink.claim(run) == 3
        assert sink.claim(run) == 3
        assert sink.release(run)
        assert sink.position(run) is None
        sink.claim(run)
        sink.position(run)
        sink.write(SinkContract.batch(run, SinkContract.events(3), 3))
        assert not sink.release(run)
        assert sink.position(run) is not None
        assert sink.clear_claims(0.0) == 0

    @pytest.mark.parametrize("wanted", [None, "a name", 0, 1 << 70])
    def test_any_id_will_do(self, spec: SinkSpec, root: JournalRoot, wanted: Any) -> None:
        """A chat gives no ids: whatever a run is called, it has one here, and keeps it."""
        folder, run = root.claim(), RunKey("00000000000000ae", wanted)
        given = self.attending(folder, spec).claim(run)
        assert given is not None
        assert self.attending(folder, spec).claim(run) == given

    def test_two_runs_of_one_id(self, spec: SinkSpec, tmp_path: Path) -> None:
        """Runs of two roots that use the same numbers are both told of."""
        for name in ("one", "two"):
            folder = JournalRoot(tmp_path / name).claim()
            write_run(folder, name=name)
            assert self.follow(folder, spec).view_id == 1
        assert len(self.received(spec)) == 2 * len(self.rules)

    def test_an_outbox_that_is_no_outbox(
        self, spec: SinkSpec, root: JournalRoot, unreadable: Callable[[RunFolder], None]
    ) -> None:
        """Where nobody can read what was sent, nothing is sent, and a sentence says what to do."""
        folder = root.claim()
        write_run(folder)
        self.follow(folder, spec)
        before = self.received(spec)
        unreadable(folder)
        status = self.follow(folder, spec)
        assert status.state == "failed"
        assert "rebuild" in str(status.error)
        assert self.received(spec) == before

    @pytest.fixture
    def unreadable(self) -> Callable[[RunFolder], None]:
        """Return a function that spoils what is remembered of a run."""

        def spoil(folder: RunFolder) -> None:
            for path in folder.views.glob(".*"):
                path.write_text("{not an outbox")

        return spoil

    def test_a_place_that_is_down_and_comes_back(self, spec: SinkSpec, root: JournalRoot) -> None:
        """While the sink can not be opened the run waits; then it is told of."""
        folder = root.claim()
        write_run(folder)
        chaos = ChaosSink(load_sink(spec), ["before"] * 4, TransientSinkError("down for a while"))
        status = self.follow(folder, spec, chaos)
        assert (status.state, chaos.failures) == ("current", 4)
        assert len(self.received(spec)) == len(self.rules)
