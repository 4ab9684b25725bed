"""The tests of sizes: many runs, and a metric of many points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.events import EventType
from sacred.journal.writer import JournalWriter
from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.runs import write_run
from sacred.replayers.sink import RunKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import Sink, SinkSpec

__all__ = ["SizeContract"]


class SizeContract(SinkPlace):
    """A view of many runs and points is as right as a small one.

    Attributes
    ----------
    runs
        How many runs of others are there.
    points
        How many points a metric has.
    """

    runs = 10_000
    points = 1_000_000

    def place_foreign_runs(self, spec: SinkSpec, count: int) -> None:
        """Put another program's runs under the ids from 1 to ``count``; as fast as the place can."""
        for view_id in range(1, count + 1):
            self.place_foreign_run(spec, view_id)

    @pytest.mark.slow
    def test_ten_thousand_runs(
        self, spec: SinkSpec, root: JournalRoot, opened: Callable[[], Sink]
    ) -> None:
        """A run among many gets the next id, is found again, and leaves the others as they were."""
        sink = opened()
        self.place_foreign_runs(spec, self.runs)
        before = self.document(spec, self.runs)
        assert before is not None
        folder = root.claim()
        write_run(folder)
        status = self.follow(folder, spec)
        assert (status.state, status.error) == ("current", None)
        assert status.view_id == self.runs + 1
        self.check(folder, spec, self.runs + 1)
        assert sink.claim(RunKey("00000000000000c0", 5)) == self.runs + 2
        assert sink.position(RunKey("00000000000000c1", 7)) is None
        assert sink.release(RunKey("00000000000000c0", 5))
        again = self.follow(folder, spec)
        assert (again.state, again.view_id) == ("current", self.runs + 1)
        assert self.document(spec, self.runs) == before

    @pytest.mark.slow
    def test_a_metric_of_a_million_points(self, spec: SinkSpec, root: JournalRoot) -> None:
        """All are there, in their order; a second replay and a point more find them."""
        folder = root.claim()
        writer = JournalWriter.create(folder.journal, durability="process")
        experiment = {"name": "long", "base_dir": "/base"}
        about: dict[str, Any] = {
            "run_id": 1,
            "name": "long",
            "command": "main",
            "config": {},
            "meta": {},
        }
        writer.append(EventType.RUN_STARTED, experiment=experiment, host={}, **about)
        for step in range(self.points):
            writer.log_point("loss", step, step / 7)
        writer.flush()
        status = self.follow(folder, spec)
        assert (status.state, status.error) == ("current", None)
        writer.log_point("loss", self.points, 0.5)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        for _ in range(2):
            status = self.follow(folder, spec)
            assert (status.state, status.error) == ("current", None)
        self.check(folder, spec, status.view_id)
