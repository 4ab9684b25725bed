"""The tests of ids: each run has one, and nobody takes that of another."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.runs import write_run
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import RunKey, SinkSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.replayers.sink import Batch, Sink

__all__ = ["IdContract"]


class _WithWordBefore:
    """A sink before whose first write something happens."""

    def __init__(self, sink: Sink, happens: Callable[[RunKey], None]) -> None:
        self._sink = sink
        self._happens: Callable[[RunKey], None] | None = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def write(self, batch: Batch) -> None:
        happens, self._happens = self._happens, None
        if happens is not None:
            happens(batch.run)
        self._sink.write(batch)


class IdContract(SinkPlace):
    """A run has one id in a view, and nobody else has it."""

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

    def test_an_id_that_is_given_away(
        self, spec: SinkSpec, root: JournalRoot, opened: Callable[[], Sink]
    ) -> None:
        """A claim that is taken back before its first write: nothing goes under another run's id."""
        folder = root.claim()
        write_run(folder)
        with contextlib.closing(JournalReader(folder.journal)) as reader:
            opened().claim(RunKey(f"{reader.journal_id:016x}", 1))  # by somebody who is gone
        other = RunKey("00000000000000ad", 1)
        given: list[Any] = []

        def give_away(run: RunKey) -> None:
            sink = opened()
            sink.release(run)
            given.append(sink.claim(other))
            given.append(self.document(spec, given[0]))

        status = self.follow(folder, spec, _WithWordBefore(load_sink(spec), give_away))
        view_id, before = given
        assert (status.state, status.error) == ("current", None)
        assert status.view_id != view_id
        assert self.document(spec, view_id) == before
        self.check(folder, spec, status.view_id)

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
