"""The place that a sink is tested in: what a test class says of it, and what its tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.events import Event, EventType
from sacred.journal.position import Position, WriterPosition
from sacred.journal.root import JournalRoot, RunFolder
from sacred.replayers.contract.folded import Folded, canonical, fold_of
from sacred.replayers.copy_follower import follower_for
from sacred.replayers.projection import PROJECTOR, RunProjection
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import Batch, RunKey, Sink, SinkSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sacred.replayers.status import ViewStatus

__all__ = ["SinkPlace"]


class SinkPlace:
    """A place, as the tests of a sink see it.

    Attributes
    ----------
    excludes_others
        Whether of two replayers of one run that write at the same moment the place refuses one. Most
        do; a store of objects that knows no conditions can not.
    takes_large_files
        Whether a content of 20 MB is kept; else it is left out, and a line in the log says so.
    outlives_processes
        Whether other processes find what one has written. A place in memory is gone with it.
    """

    excludes_others = True
    takes_large_files = True
    outlives_processes = True

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

    def content(self, spec: SinkSpec, view_id: Any) -> Any:
        """Return what the place holds of a run, in the form of ``expected``.

        Without using the sink. Where the place keeps bytes, as bytes.
        """
        return self.document(spec, view_id)

    def expected(self, folded: Folded, view_id: Any) -> Any:  # noqa: ARG002 - a sink's own tell
        """Return what ``content`` has to be for a run of which this is the fold.

        None, if the test class does not say: then a run is compared with its own second replay only.
        """
        return None

    def place_foreign_run(self, spec: SinkSpec, view_id: int) -> None:
        """Put another program's run under an id."""
        raise NotImplementedError

    def rounds(self) -> Iterator[int]:
        """Yield the numbers of the rounds of a test of chance, from 0.

        The first is the same each time; those that follow, for a test that goes on as long as it is
        told to, are others each time.
        """
        yield 0

    # -- what the tests share --------------------------------------------------------------------

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
        follower = follower_for(folder, sink or load_sink(spec), spec, **options)
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

    def check(self, folder: RunFolder, spec: SinkSpec, view_id: Any) -> None:
        """Fail unless the place holds of a run what its journal says, neither more nor less."""
        expected = self.expected(fold_of(folder), view_id)
        if expected is not None:
            assert canonical(self.content(spec, view_id)) == canonical(expected)
