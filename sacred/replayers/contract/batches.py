"""The tests of a batch: once, in its turn, with its position."""

from __future__ import annotations

import contextlib
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.runs import points_of, without_ids, write_run
from sacred.replayers.errors import ViewMovedError
from sacred.replayers.folded_run import fold_whole
from sacred.replayers.follower import Follower
from sacred.replayers.projection import PROJECTOR
from sacred.replayers.sink import FieldsChanged, RunKey, SinkSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import Sink

__all__ = ["BatchContract"]


class BatchContract(SinkPlace):
    """A batch and its position are written together, or not at all."""

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
        assert points_of(before) == points_of(self.document(spec, 1))
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

    def test_two_that_take_a_run_up(self, spec: SinkSpec, opened: Callable[[], Sink]) -> None:
        """Of two replayers that take the same run up, one writes it, and the other one looks again."""
        run = RunKey("00000000000000b2", 1)
        one, two = opened(), opened()
        if not (hasattr(one, "take_up") and hasattr(two, "take_up")):
            return
        assert (one.position(run), two.position(run)) == (None, None)
        taken = one.take_up(run)
        assert taken.view_id in {1, None}
        assert (taken.claimed, bool(taken.position)) == (True, False)
        one.write(self.batch(run, self.events(5), 5))
        before = self.document(spec, 1)
        with contextlib.suppress(ViewMovedError):
            # It is told now, or by the position, or as late as by the write.
            if not two.take_up(run).position:
                two.write(self.batch(run, self.events(4), 4))
                pytest.fail("the second wrote over what the first has written")
        assert (self.document(spec, 1), self.document(spec, 2)) == (before, None)
        found = two.position(run)
        assert found is not None
        assert (found.view_id, found.claimed, found.position[0].next_seq) == (1, False, 5)

    def test_two_that_take_a_run_up_at_once(
        self, spec: SinkSpec, opened: Callable[[], Sink]
    ) -> None:
        """One claims it, the other writes it: the first is told to look again, and no id is lost."""
        run = RunKey("00000000000000b3", 1)
        one, two = opened(), opened()
        if not (hasattr(one, "take_up") and hasattr(two, "take_up")):
            return
        assert (one.position(run), two.position(run)) == (None, None)
        one.take_up(run)
        found = two.position(run)
        if found is None:  # the claim of one is a part of its first batch
            found = two.take_up(run)
        assert found.view_id in {1, None}
        assert found.claimed
        two.write(self.batch(run, self.events(5), 5))
        before = self.document(spec, 1)
        with pytest.raises(ViewMovedError):
            one.write(self.batch(run, self.events(4), 4))
        assert (self.document(spec, 1), self.document(spec, 2)) == (before, None)

    def test_a_run_that_is_taken_up_unasked(
        self, spec: SinkSpec, opened: Callable[[], Sink]
    ) -> None:
        """A run that is there, and that nobody asked for: who takes it up is told, and changes nothing."""
        run, other = RunKey("00000000000000b4", 1), RunKey("00000000000000b5", 1)
        one, two = opened(), opened()
        if not getattr(two, "takes_unasked", False):
            return
        one.claim(run)
        one.position(run)
        one.write(self.batch(run, self.events(5), 5))
        before = self.document(spec, 1)
        with contextlib.suppress(ViewMovedError):
            if not two.take_up(run).position:  # type: ignore[attr-defined]
                two.write(self.batch(run, self.events(4), 4))
                pytest.fail("the second wrote over what the first has written")
        assert (self.document(spec, 1), self.document(spec, 2)) == (before, None)
        taken = two.take_up(other)  # type: ignore[attr-defined]
        assert (taken.view_id in {2, None}, bool(taken.position)) == (True, False)
        two.write(self.batch(other._replace(run_id=taken.view_id or 1), self.events(4), 4))
        assert self.document(spec, 1) == before
        found = opened().position(other)
        assert found is not None
        assert (found.view_id, found.position[0].next_seq) == (2, 4)

    def test_a_folded_run_that_the_view_has(
        self, spec: SinkSpec, root: JournalRoot, opened: Callable[[], Sink]
    ) -> None:
        """A replayer without notes writes no run twice, and asks first once it met one that was there."""
        folders = [root.claim(), root.claim()]
        for folder in folders:
            write_run(folder)
            self.follow(folder, spec)
            shutil.rmtree(folder.views)
        before = [self.document(spec, number) for number in (1, 2)]
        sink = opened()
        if not getattr(sink, "takes_unasked", False):
            return
        for folder in folders:
            folded = fold_whole(folder)
            assert folded is not None
            follower = Follower(folder, sink, spec, folded=folded)
            status = follower.run_once()
            assert (status.state, status.error, follower.wrote) == ("current", None, False)
            assert not getattr(sink, "takes_unasked", False)
            follower.release()
        assert [self.document(spec, number) for number in (1, 2)] == before

    def test_two_followers_at_once(self, spec: SinkSpec, root: JournalRoot) -> None:
        """Two replayers of one run at the same time write it once."""
        if not self.excludes_others:
            return
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
        assert without_ids(self.document(spec, 1)) == without_ids(self.document(spec, 2))
