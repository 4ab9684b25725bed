"""An observer that is called in process: what it does not take comes again, and holds up nothing else."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any
from unittest import mock

import pytest

from sacred.core import observers
from sacred.core.observers import Listener, RunObserver

_BEAT = {
    "info": {},
    "captured_out": "",
    "beat_time": dt.datetime(2024, 5, 4, 3, 2, 1),
    "result": None,
}


class _Picky(RunObserver):
    """Takes all but the files in ``refused``."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)
        self.taken: list[Any] = []
        self.asked = 0

    def artifact_event(self, name: str, filename: str, **_: Any) -> None:
        self.asked += 1
        if name in self.refused:
            raise ValueError(f"no {name}")
        self.taken.append((name, filename))

    def resource_event(self, filename: str) -> None:
        if filename in self.refused:
            raise ValueError(f"no {filename}")
        self.taken.append(filename)

    def heartbeat_event(self, **_: Any) -> None:
        self.taken.append("beat")


def _listener(*refused: str) -> tuple[Listener, _Picky]:
    observer = _Picky(*refused)
    return Listener(observer, logging.getLogger("test.listener")), observer


def test_a_file_that_is_never_taken_holds_up_nothing_else() -> None:
    """EVT-04: other files, points and beats go on; only what is added under the same name waits."""
    listener, observer = _listener("a", "r")
    for name, filename in (("a", "a-1"), ("b", "b-1"), ("a", "a-2")):
        listener.deliver("artifact_event", name=name, filename=filename)
    for filename in ("r", "s"):
        listener.deliver("resource_event", filename=filename)
    assert not listener.beat([], _BEAT)
    assert [("b", "b-1"), "s", "beat"] == observer.taken
    observer.refused.clear()
    observer.taken.clear()
    assert listener.beat([], _BEAT)
    assert [("a", "a-1"), ("a", "a-2"), "r", "beat"] == observer.taken


def test_the_same_errors_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two files that are refused with each beat are two warnings, until all was taken once."""
    listener, observer = _listener("a", "b")
    for name in "ab":
        listener.deliver("artifact_event", name=name, filename=name)
    for _ in range(3):
        listener.beat([], _BEAT)
    assert [f"An error ocurred in the '{observer}' observer: no {name}" for name in "ab"] == [
        record.getMessage() for record in caplog.records
    ]
    observer.refused.clear()
    assert listener.beat([], _BEAT)
    observer.refused.add("a")
    listener.deliver("artifact_event", name="a", filename="a")
    assert 3 == len(caplog.records)


def test_a_slow_failure_is_not_repeated_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is down answers after seconds: the rest waits untried, and in order."""
    listener, observer = _listener("a", "b", "c")
    for name in "abc":
        listener.deliver("artifact_event", name=name, filename=name)
    observer.asked = 0
    with monkeypatch.context() as patched:
        patched.setattr(observers, "_AGAIN", -1.0)
        assert not listener.deliver("artifact_event", name="d", filename="d")
        assert 1 == observer.asked
        listener.beat([], _BEAT)
        assert (2, ["beat"]) == (observer.asked, observer.taken)
    observer.refused.clear()
    listener.beat([], _BEAT)
    assert ["a", "b", "c", "d"] == sorted(name for name, _ in observer.taken[1:-1])


def test_an_interrupt_while_it_is_offered_loses_nothing() -> None:
    """Ctrl-C in an observer's call: what was left over is still there."""
    listener, observer = _listener("a", "b")
    for name in "ab":
        listener.deliver("artifact_event", name=name, filename=name)
    with mock.patch.object(observer, "artifact_event", side_effect=KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            listener.beat([], _BEAT)
    observer.refused.clear()
    listener.beat([], _BEAT)
    assert [("a", "a"), ("b", "b"), "beat"] == observer.taken


class _Late(RunObserver):
    """A view of ours that can not write at first."""

    down = True
    declare_view = None

    def __init__(self) -> None:
        self.taken: list[str] = []

    def started_event(self, **_: Any) -> int:
        if self.down:
            raise OSError("down")
        self.taken.append("start")
        return 7

    def heartbeat_event(self, **_: Any) -> None:
        self.taken.append("beat")

    def artifact_event(self, name: str, **_: Any) -> None:
        self.taken.append(name)


def test_behind_a_start_everything_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that was not told of the start is told of nothing else before."""
    monkeypatch.setattr(_Late, "declare_view", lambda _: None)
    observer = _Late()
    listener = Listener(observer, logging.getLogger("test.listener"))
    assert listener.begin("started_event", config={}) is None
    assert not listener.deliver("artifact_event", name="a", filename="a")
    assert (False, []) == (listener.beat([], _BEAT), observer.taken)
    observer.down = False
    assert listener.beat([], _BEAT)
    assert ["start", "a", "beat"] == observer.taken
