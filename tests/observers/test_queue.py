"""QueueObserver around an observer of one's own."""

from __future__ import annotations

from unittest import mock

from sacred.observers.queue import QueueObserver


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
