"""QueueObserver around an observer of one's own."""

from __future__ import annotations

import datetime as dt
import json
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred.core.views import declared_view
from sacred.observers.file_storage import FileStorageObserver
from sacred.observers.queue import QueueObserver

if TYPE_CHECKING:
    from pathlib import Path


def test_events_are_handed_on_in_order() -> None:
    """QUE-02: started at once, the rest in a thread, all there when the end returns."""
    covered = mock.Mock(priority=3)
    covered.started_event.return_value = 9
    observer = QueueObserver(covered)
    assert (9, 3) == (observer.started_event(_id=None), observer.priority)
    observer.resource_event(filename="f")
    observer.log_metrics(metrics_by_name={"a": {}}, info={})
    observer.heartbeat_event(info={}, captured_out="", beat_time=None, result=None)
    observer.completed_event(stop_time=None, result=1)
    assert [
        "started_event",
        "resource_event",
        "log_metrics",
        "heartbeat_event",
        "completed_event",
    ] == [call[0] for call in covered.mock_calls]


def test_an_event_that_fails_comes_again() -> None:
    """QUE-02: until it passes, and nothing overtakes it."""
    covered = mock.Mock()
    covered.heartbeat_event.side_effect = [OSError("down"), OSError("down"), None]
    observer = QueueObserver(covered, retry_interval=0.01)
    observer.heartbeat_event(info={})
    observer.completed_event(result=1)
    assert ["heartbeat_event"] * 3 + ["completed_event"] == [c[0] for c in covered.mock_calls]


def test_the_rest_is_the_covered_observers() -> None:
    """QUE-06: attributes fall through; equality compares the covered one."""
    covered = mock.Mock(some_handle=5)
    assert 5 == QueueObserver(covered).some_handle
    assert QueueObserver(covered) == QueueObserver(covered)
    assert QueueObserver(covered) != QueueObserver(mock.Mock())


def test_the_end_does_not_wait_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """QUE-03: what failed is tried at once when somebody waits, and soon again."""
    monkeypatch.setattr("sacred.observers.queue._SOON", 0.001)
    covered = mock.Mock()
    covered.heartbeat_event.side_effect = [OSError("down")] * 5 + [None]
    observer = QueueObserver(covered, interval=1000, retry_interval=1000)
    observer.heartbeat_event(info={})
    observer.completed_event(result=1)
    assert ["heartbeat_event"] * 6 + ["completed_event"] == [c[0] for c in covered.mock_calls]


def test_join_does_not_wait_for_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-05: what failed is tried again when join is called, whenever it would come."""
    monkeypatch.setattr("sacred.observers.queue._SOON", 0.001)
    failed = threading.Event()
    results: list[Any] = [None, OSError("down")]

    def fail(**_: Any) -> None:
        failed.set()
        if result := results.pop():
            raise result

    covered = mock.Mock()
    covered.heartbeat_event.side_effect = fail
    observer = QueueObserver(covered, interval=1000, retry_interval=1000)
    observer.heartbeat_event(info={})
    assert failed.wait(100)
    observer.join()
    assert [] == results


def test_an_observer_that_keeps_failing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """QUE-05: the end waits within bounds, and join says what is not delivered."""
    monkeypatch.setattr("sacred.observers.queue._END_WAIT", 0.05)
    covered = mock.Mock()
    covered.heartbeat_event.side_effect = OSError("down")
    observer = QueueObserver(covered, retry_interval=0.01)
    observer.heartbeat_event(info={})
    observer.failed_event(fail_time=None, fail_trace=[])
    observer.join()
    assert "2 events are not delivered" in caplog.text
    assert not covered.failed_event.called
    covered.heartbeat_event.side_effect = None
    observer.join()  # it went on trying
    assert (True, True) == (covered.failed_event.called, covered.join.called)


def test_the_end_of_a_run_waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """QUE-03: the event of the end and ``join`` behind it have ten seconds together; a ``join`` that comes later has its own."""
    waits: list[float] = []
    covered = mock.Mock()
    covered.failed_event.side_effect = OSError("down")
    observer = QueueObserver(covered, retry_interval=0.01)
    wait_for = observer._wake.wait_for

    def counted(predicate: Any, timeout: float | None = None) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return wait_for(predicate, timeout)
        assert timeout is not None
        waits.append(timeout)
        return wait_for(predicate, 0.01)

    monkeypatch.setattr(observer._wake, "wait_for", counted)
    observer.failed_event(fail_time=None, fail_trace=[])
    observer.join()
    covered.failed_event.side_effect = None
    observer.join()
    assert [10.0, 0.0, 10.0] == waits


def test_nothing_is_left_behind_by_join() -> None:
    """QUE-03: the thread ends with join, and there is another one for what comes later."""
    covered = mock.Mock(spec=["resource_event"])  # and without a join of its own
    observer = QueueObserver(covered)
    for count in (1, 2):
        observer.resource_event(filename="f")
        observer.join()
        worker = observer._worker
        if worker is not None:
            worker.join(100)
        assert (count, None) == (covered.resource_event.call_count, observer._worker)


class _Files(FileStorageObserver):
    """One of one's own."""


class _Queue(QueueObserver):
    """One of one's own."""


def test_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R22: the covered view, if queue and observer are as they were written."""
    covered = FileStorageObserver(str(tmp_path / "runs"))
    assert declared_view(covered) == declared_view(QueueObserver(covered))
    assert declared_view(QueueObserver(covered)) is not None
    assert declared_view(QueueObserver(_Files("runs"))) is None
    assert declared_view(_Queue(covered)) is None
    queue = QueueObserver(covered)
    monkeypatch.setattr(QueueObserver, "heartbeat_event", lambda *_, **__: None)
    assert declared_view(queue) is None


def test_metrics_around_files(tmp_path: Path) -> None:
    """QUE-04, QUE-05: points in one call, as the observer takes them; a queued run before any start."""
    observer = QueueObserver(_Files(str(tmp_path)))
    now = dt.datetime(2024, 5, 4)
    facts: dict[str, Any] = {"command": "main", "host_info": {}, "config": {}, "meta_info": {}}
    info = {"name": "iris", "sources": []}
    assert "1" == observer.queued_event(ex_info=info, queue_time=now, _id=None, **facts)
    assert "2" == observer.started_event(ex_info=info, start_time=now, _id=None, **facts)
    points = {"steps": [0], "values": [0.5], "timestamps": [now]}
    observer.log_metrics({"a": points, "b": points}, {})
    observer.completed_event(stop_time=now, result=1)
    metrics = json.loads((tmp_path / "2" / "metrics.json").read_text())
    assert {"a": [0.5], "b": [0.5]} == {name: metrics[name]["values"] for name in metrics}
