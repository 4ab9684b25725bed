"""What one observer sees of a run, in which order, from which thread and with which values."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from sacred import Experiment, Ingredient
from sacred.observers import RunObserver

if TYPE_CHECKING:
    from pathlib import Path

_EVENTS = (
    "queued_event",
    "started_event",
    "log_metrics",
    "heartbeat_event",
    "resource_event",
    "artifact_event",
    "completed_event",
    "interrupted_event",
    "failed_event",
    "join",
)


class _Recorder(RunObserver):
    """Keeps each call: its name, what it was given, its thread and the status of the run then."""

    def __init__(self, ex: Experiment, priority: float = 0, log: list[Any] | None = None) -> None:
        self.priority = priority  # type: ignore[assignment]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.threads: list[str] = []
        self.statuses: list[str | None] = []
        self.inside = 0
        self.most_inside = 0
        for event in _EVENTS:
            setattr(self, event, self._take(event, ex, log if log is not None else []))

    def _take(self, event: str, ex: Experiment, log: list[Any]) -> Any:
        def take(**arguments: Any) -> Any:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.calls.append((event, arguments))
            self.threads.append(threading.current_thread().name)
            run = ex.current_run
            self.statuses.append(run.status if run is not None else None)
            log.append((self.priority, event))
            self.inside -= 1
            return 7 if event == "started_event" and arguments["_id"] is None else None

        return take

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def given(self, event: str) -> dict[str, Any]:
        """The arguments of the last call of an event."""
        return next(arguments for name, arguments in reversed(self.calls) if name == event)


@pytest.fixture
def ex() -> Experiment:
    experiment = Experiment("events", save_git_info=False)

    @experiment.config
    def config() -> None:
        a = {"b": {"c": 1}}  # noqa: F841

    return experiment


def test_one_observer_sees_a_run_in_order(ex: Experiment, tmp_path: Path) -> None:
    """EVT-02, EVT-11: started, what happens, a last beat, one end, join; the status comes before."""
    file = tmp_path / "file.txt"
    file.write_text("text")
    recorder = _Recorder(ex)
    ex.observers.append(recorder)

    @ex.main
    def main(_run: Any) -> None:
        _run.add_resource(file)
        _run.add_artifact(file)

    ex.run()
    assert [
        ("started_event", "RUNNING"),
        ("resource_event", "RUNNING"),
        ("artifact_event", "RUNNING"),
        ("log_metrics", "RUNNING"),
        ("heartbeat_event", "RUNNING"),
        ("completed_event", "COMPLETED"),
        ("join", "COMPLETED"),
    ] == list(zip(recorder.names(), recorder.statuses, strict=True))


@pytest.mark.parametrize(
    ("error", "event", "status"),
    [
        (RuntimeError("oh"), "failed_event", "FAILED"),
        (KeyboardInterrupt(), "interrupted_event", "INTERRUPTED"),
    ],
)
def test_a_run_has_one_end(ex: Experiment, error: BaseException, event: str, status: str) -> None:
    """EVT-02: also a run that does not end well has a last beat, one end, and join."""
    recorder = _Recorder(ex)
    ex.observers.append(recorder)

    @ex.main
    def main() -> None:
        raise error

    with pytest.raises(type(error)):
        ex.run()
    assert ["log_metrics", "heartbeat_event", event, "join"] == recorder.names()[-4:]
    assert status == recorder.statuses[-1]


def test_observers_are_called_in_turn(ex: Experiment) -> None:
    """EVT-03, OBS-01: each event goes to all, the highest priority first, equal ones as added."""
    log: list[Any] = []
    for priority in (0, 30, 10):
        ex.observers.append(_Recorder(ex, priority, log))

    @ex.main
    def main() -> None:
        pass

    ex.run()
    assert [
        (priority, event)
        for event in ("started_event", "completed_event", "join")
        for priority in (30, 10, 0)
    ] == [entry for entry in log if entry[1] in ("started_event", "completed_event", "join")]


def test_ends_and_files_come_on_the_users_thread(ex: Experiment, tmp_path: Path) -> None:
    """EVT-03: beats come from a thread of the run, everything else from the one that caused it."""
    file = tmp_path / "file.txt"
    file.write_text("text")
    beaten = threading.Event()
    recorder = _Recorder(ex)
    ex.observers.append(recorder)
    take = recorder.heartbeat_event

    def heartbeat(**arguments: Any) -> None:
        take(**arguments)
        beaten.set()

    recorder.heartbeat_event = heartbeat  # type: ignore[method-assign]

    @ex.main
    def main(_run: Any) -> bool:
        _run.add_artifact(file)
        return beaten.wait(100)

    assert ex.run(options={"--beat-interval": 0.01}).result
    here = threading.current_thread().name
    threads = list(zip(recorder.names(), recorder.threads, strict=True))
    assert {here} == {
        thread
        for name, thread in threads
        if name in ("started_event", "artifact_event", "completed_event", "join")
    }
    assert here != next(thread for name, thread in threads if name == "heartbeat_event")


def test_one_observer_is_never_called_twice_at_once(ex: Experiment, tmp_path: Path) -> None:
    """EVT-05: Sacred's beat and the user's thread may call one observer at the same time."""
    file = tmp_path / "file.txt"
    file.write_text("text")
    recorder = _Recorder(ex)
    ex.observers.append(recorder)

    @ex.main
    def main(_run: Any) -> None:
        def add() -> None:
            for number in range(50):
                _run.add_artifact(file, name=f"{threading.current_thread().name}-{number}")
                _run._emit_heartbeat()

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)

    ex.run()
    assert 200 == recorder.names().count("artifact_event")
    assert 1 == recorder.most_inside


def test_a_beat_brings_metrics_before_the_heartbeat(ex: Experiment) -> None:
    """HB-04, EVT-10: the points since the last beat, then the state, whole; no result is None."""
    recorder = _Recorder(ex)
    ex.observers.append(recorder)

    @ex.main
    def main(_run: Any) -> int:
        _run.log_scalar("m", 1.0)
        _run.info["a"] = 1
        _run._emit_heartbeat()
        _run.log_scalar("m", 2.0)
        _run.info["b"] = 2
        return 5

    ex.run()
    beats = [call for call in recorder.calls if call[0] in ("log_metrics", "heartbeat_event")]
    assert ["log_metrics", "heartbeat_event"] * 2 == [name for name, _ in beats]
    assert [[1.0], [2.0]] == [given["metrics_by_name"]["m"]["values"] for _, given in beats[::2]]
    assert [({"a": 1}, None), ({"a": 1, "b": 2}, 5)] == [
        (given["info"], given["result"]) for _, given in beats[1::2]
    ]


def test_each_beat_has_the_whole_text(ex: Experiment) -> None:
    """OUT-07, EVT-09: what was captured so far; the log's lines of the run are in it."""
    recorder = _Recorder(ex)
    ex.observers.append(recorder)

    @ex.main
    def main(_run: Any) -> None:
        print("first")
        _run._emit_heartbeat()
        print("second")

    ex.run(options={"--capture": "sys"})
    texts = [given["captured_out"] for name, given in recorder.calls if name == "heartbeat_event"]
    assert "first\n" in texts[0]
    assert "second\n" not in texts[0]
    assert texts[1].startswith(texts[0])
    assert texts[1].index("first\n") < texts[1].index("second\n")


def test_a_command_is_called_like_its_prefix_and_function(ex: Experiment) -> None:
    """EVT-07: the function's prefix is part of the name, the ingredient's path is not."""
    data = Ingredient("data", save_git_info=False)
    ex.ingredients = [*ex.ingredients, data]

    @ex.command(prefix="a.b")
    def first() -> None:
        pass

    @data.command
    def second() -> None:
        pass

    recorder = _Recorder(ex)
    ex.observers.append(recorder)
    ex.run("first")
    first_name = recorder.given("started_event")["command"]
    ex.run("data.second")
    assert ("a.b.first", "second") == (first_name, recorder.given("started_event")["command"])


def test_the_store_of_the_first_gives_the_id(ex: Experiment) -> None:
    """EVT-12: the id comes from the first observer that gives one; one that fails fails the run."""
    first, second = _Recorder(ex, 2), _Recorder(ex, 1)
    ex.observers += [first, second]

    @ex.main
    def main() -> None:
        pass

    assert 7 == ex.run()._id
    assert (None, 7) == (first.given("started_event")["_id"], second.given("started_event")["_id"])

    def fail(**_: Any) -> None:
        raise OSError("no store")

    second.started_event = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no store"):
        ex.run()
    assert "FAILED" == ex.current_run.status  # type: ignore[union-attr]


def test_times_are_utc_without_a_zone(ex: Experiment) -> None:
    """RUN-07: of the start, of the beats, of the end; by the run and by its events."""
    recorder = _Recorder(ex)
    ex.observers.append(recorder)

    @ex.main
    def main() -> None:
        pass

    run = ex.run()
    times = [
        run.start_time,
        run.stop_time,
        recorder.given("started_event")["start_time"],
        recorder.given("heartbeat_event")["beat_time"],
        recorder.given("completed_event")["stop_time"],
    ]
    assert [None] * 5 == [time.tzinfo for time in times]
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    assert all(abs((now - time).total_seconds()) < 60 for time in times)
