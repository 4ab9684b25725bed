"""The kill matrix: a replayer ends by SIGKILL before, during and after each thing that it does.

The run is one that takes several batches. Its calls of the sink are always the same (``CALLS``), and
each is a place to be killed at: before it begins, in its middle (after a share of the functions
that it calls, so between any two of its requests), and when it has had its effect and the follower
has not heard of it. Before the call that follows, it has heard of it. A sink that takes runs up
(``TakingSink``) has one call where others have two (``TAKING_CALLS``), and as many places in it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.replayer import KILLED, KillPoint, Order, Replayers
from sacred.replayers.contract.runs import without_ids, write_timed_run
from sacred.replayers.registry import load_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import SinkSpec

__all__ = [
    "CALLS",
    "CRASHES",
    "CRASHES_OF_TWO",
    "TAKING_CALLS",
    "Crash",
    "CrashContract",
    "crashes",
]

#: What a replayer of ``write_timed_run`` calls, in turn.
CALLS = (
    *("open", "position", "claim", "position"),
    *("put_file", "put_file", "put_file"),
    *("write", "write", "write", "write"),
    "close",
)
#: What it calls of a sink that has ``take_up``.
TAKING_CALLS = (*CALLS[:2], "take_up", *CALLS[4:])


class Crash(NamedTuple):
    """One place in the matrix.

    Attributes
    ----------
    call
        The number of the call in ``CALLS``.
    share
        How much of that call is done: 0 nothing, 1 all of it.
    name
        Of the call.
    """

    call: int
    share: float
    name: str

    def __str__(self) -> str:
        return f"{self.name}#{self.call} at {self.share:.0%}"


def _shares(name: str) -> tuple[float, ...]:
    if name == "close":
        return (0.0,)
    if name == "take_up":
        return (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)
    return (0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0) if name == "write" else (0.0, 0.3, 0.7, 1.0)


def crashes(calls: tuple[str, ...], *, of_two: bool = False) -> tuple[Crash, ...]:
    """Return the places to be killed at: each call of the sink, before, during and after it.

    ``of_two``: of one of two replayers that write at the same time, what changes the view.
    """
    return tuple(
        Crash(call, share, name)
        for call, name in enumerate(calls)
        if not of_two or name in {"claim", "take_up", "write"}
        for share in ((0.5, 1.0) if of_two else _shares(name))
    )


CRASHES = crashes(CALLS)
CRASHES_OF_TWO = crashes(CALLS, of_two=True)


class CrashContract(SinkPlace):
    """A view is whole in the end, whoever is killed when."""

    @pytest.fixture
    def replayers(self) -> Iterator[Replayers]:
        """Return a process from which replayers are forked."""
        with Replayers() as found:
            yield found

    @pytest.mark.slow
    def test_a_killed_replayer(
        self,
        spec: SinkSpec,
        root: JournalRoot,
        replayers: Replayers,
        record_property: Callable[[str, object], None],
    ) -> None:
        """Killed at any point of any call: who comes after it brings the run there whole."""
        if not self.outlives_processes:
            return
        done = self._rehearse(spec, root, replayers)
        for number, crash in enumerate(self._crashes(crashes(_calls_of(spec))), 2):
            folder = root.claim()
            write_timed_run(folder)
            point = _point(crash, done)
            (ending,) = replayers.run(Order(spec, str(folder.path), point))
            assert ending.code == KILLED, f"{crash}: {ending.code} {ending.error}"
            self._assert_whole(spec, root, number, str(crash))
        record_property("battery", ("replayers killed at a point of a call", number - 1))

    @pytest.mark.slow
    def test_a_killed_replayer_of_two(
        self,
        spec: SinkSpec,
        root: JournalRoot,
        replayers: Replayers,
        record_property: Callable[[str, object], None],
    ) -> None:
        """Two write at the same time, and one of them is killed: the run is there whole, once."""
        if not (self.excludes_others and self.outlives_processes):
            return
        done = self._rehearse(spec, root, replayers)
        places = crashes(_calls_of(spec), of_two=True)
        for number, crash in enumerate(self._crashes(places), 2):
            folder = root.claim()
            write_timed_run(folder)
            doomed = Order(spec, str(folder.path), _point(crash, done))
            killed, other = replayers.run(doomed, doomed._replace(point=None))
            # One that comes second has less to do, and perhaps not that call.
            assert killed.code in {KILLED, 0, 3}, f"{crash}: {killed.code} {killed.error}"
            assert other.code in {0, 3}, f"{crash}: {other.code} {other.error}"
            self._assert_whole(spec, root, number, str(crash))
        record_property("battery", ("replayers killed beside another one", number - 1))

    def _crashes(self, places: tuple[Crash, ...]) -> Iterator[Crash]:
        """Yield the crashes, in rounds that follow at other points of the same calls."""
        for number in self.rounds():
            for crash in places:
                yield crash._replace(share=random.random()) if number else crash  # noqa: S311 - no secret

    def _rehearse(
        self, spec: SinkSpec, root: JournalRoot, replayers: Replayers
    ) -> list[tuple[str, int]]:
        """Have a first run written by a replayer that is not killed; return what it called."""
        folder = root.claim()
        write_timed_run(folder)
        (ending,) = replayers.run(Order(spec, str(folder.path)))
        assert (ending.code, ending.error) == (0, None)
        assert tuple(name for name, _ in ending.calls) == _calls_of(spec)
        self.check(folder, spec, 1)
        return list(ending.calls)

    def _assert_whole(self, spec: SinkSpec, root: JournalRoot, number: int, what: str) -> None:
        folder = root.runs()[-1]
        status = self.follow(folder, spec)
        assert (status.state, status.error) == ("current", None), what
        # A run that is written twice would have two ids.
        assert status.view_id == number, what
        assert self.document(spec, number + 1) is None, what
        assert without_ids(self.document(spec, 1)) == without_ids(self.document(spec, number)), what
        self.check(folder, spec, number)


def _calls_of(spec: SinkSpec) -> tuple[str, ...]:
    """Return what a replayer calls of a view's sink."""
    sink = load_sink(spec)
    sink.close()
    return TAKING_CALLS if hasattr(sink, "take_up") else CALLS


def _point(crash: Crash, calls: list[tuple[str, int]]) -> KillPoint:
    """Return where a crash is, in a place where the calls call as many functions as they did."""
    if crash.share == 1.0:
        return KillPoint(crash.call, -1)
    return KillPoint(crash.call, int(crash.share * calls[crash.call][1]))
