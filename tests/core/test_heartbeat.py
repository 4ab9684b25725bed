"""The thread that looks after a run."""

from __future__ import annotations

import threading

from sacred.core.heartbeat import Heartbeat, IntervalTimer


def test_a_beat_that_fails_is_not_the_last() -> None:
    """EVT-06, OUT-04: an exception in a beat does not end the beats."""
    errors: list[Exception] = []
    again = threading.Event()

    def beat() -> None:
        if not errors:
            raise ValueError("once")
        again.set()

    heartbeat = Heartbeat(lambda: None, beat, 0.01, errors.append)
    heartbeat.start()
    try:
        assert again.wait(100)
    finally:
        assert heartbeat.stop()
    assert ["once"] == [str(error) for error in errors]


def test_stopping_waits_within_bounds() -> None:
    """HB-03: a beat that hangs is left behind."""
    hang, began = threading.Event(), threading.Event()

    def beat() -> None:
        began.set()
        hang.wait(100)

    heartbeat = Heartbeat(lambda: None, beat, 0.01, lambda error: None)
    heartbeat.start()
    assert began.wait(100)
    assert not heartbeat.stop(patience=0.05)
    hang.set()


def test_stopping_twice_and_before_the_start() -> None:
    """Nothing to stop is no error."""
    heartbeat = Heartbeat(lambda: None, lambda: None, 10, lambda error: None)
    assert heartbeat.stop()
    heartbeat.start()
    assert heartbeat.stop()
    assert heartbeat.stop()


def test_an_interval_timer_calls_once_more_at_its_end() -> None:
    """HB-01: the public timer's last call is at the stop."""
    calls: list[int] = []
    stop, timer = IntervalTimer.create(lambda: calls.append(1), interval=100)
    timer.start()
    stop.set()
    timer.join(100)
    assert [1] == calls
