"""Observers of ours that are called themselves: the same documents, at once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.observers.declaration import DeclaredObserver, declares_a_view
from sacred.replayers.sinks.memory import PLACES

if TYPE_CHECKING:
    from pathlib import Path

_NOW = dt.datetime(2024, 5, 4, 3, 2, 1)


@declares_a_view
class _Memory(DeclaredObserver):
    """Declares a view in memory."""

    def __init__(self, place: str) -> None:
        self.place = place

    def _specification(self) -> dict[str, Any]:
        return {"kind": "memory", "url": self.place, "name": self.place, "options": {}}


class _Subclass(_Memory):
    """Not as it was written any more, so it is called."""


def _start(observer: Any, tmp_path: Path, run_id: Any = None) -> Any:
    (tmp_path / "main.py").write_text("print()")
    return observer.started_event(
        ex_info={
            "name": "iris",
            "base_dir": str(tmp_path),
            "sources": [("main.py", "abc")],
            "dependencies": ["numpy==1"],
            "repositories": [],
            "mainfile": "main.py",
        },
        command="main",
        host_info={"hostname": "here"},
        start_time=_NOW,
        config={"a": 1},
        meta_info={},
        _id=run_id,
    )


def test_events_become_the_document(tmp_path: Path) -> None:
    """USE-03: written when the call returns."""
    observer = _Memory(str(tmp_path))
    assert 1 == _start(observer, tmp_path)
    run = PLACES[str(tmp_path)].runs[1]
    document = run.document()
    assert ("RUNNING", {"a": 1}, _NOW, "main") == tuple(
        document[name] for name in ("status", "config", "start_time", "command")
    )
    assert [b"print()"] == list(run.files.values())
    times = [_NOW, _NOW + dt.timedelta(seconds=1)]
    observer.log_metrics({"m": {"steps": [0, 1], "values": [5, 6], "timestamps": times}}, {})
    observer.heartbeat_event(info={"x": 1}, captured_out="hello", beat_time=_NOW, result=2)
    document = run.document()
    assert ({"x": 1}, "hello", 2) == (
        document["info"],
        document["captured_out"],
        document["result"],
    )
    assert [5, 6] == document["metrics"]["m"]["values"]
    (tmp_path / "out.txt").write_text("out")
    observer.artifact_event(name="out", filename=str(tmp_path / "out.txt"))
    observer.completed_event(stop_time=_NOW + dt.timedelta(seconds=3), result=4)
    document = run.document()
    assert ("COMPLETED", 4, ["out"]) == (
        document["status"],
        document["result"],
        [artifact.name for artifact in document["artifacts"]],
    )


def test_a_failure_and_an_interrupt(tmp_path: Path) -> None:
    """EVT: failed and interrupted, with trace and status."""
    observer = _Memory(str(tmp_path))
    _start(observer, tmp_path)
    observer.failed_event(fail_time=_NOW, fail_trace=["a", "b"])
    _start(observer, tmp_path)
    observer.interrupted_event(interrupt_time=_NOW, status="TIMEOUT")
    runs = PLACES[str(tmp_path)].runs
    assert ("FAILED", ["a", "b"]) == (runs[1].fields["status"], runs[1].fields["fail_trace"])
    assert "TIMEOUT" == runs[2].fields["status"]


def test_a_taken_id_is_an_error(tmp_path: Path) -> None:
    """USE-11: FileExistsError, and nothing is left behind."""
    observer = _Memory(str(tmp_path))
    assert 7 == _start(observer, tmp_path, 7)
    with pytest.raises(FileExistsError, match="id 7"):
        _start(observer, tmp_path, 7)
    assert [7] == list(PLACES[str(tmp_path)].runs)


def test_what_could_not_be_written_is_written_by_the_next_call(tmp_path: Path) -> None:
    """A call that fails loses nothing."""
    observer = _Memory(str(tmp_path))
    _start(observer, tmp_path)
    sink = observer._begun()._sink
    real = sink.write
    with mock.patch.object(sink, "write", side_effect=OSError("down")), pytest.raises(OSError):
        observer.heartbeat_event(info={"x": 1}, captured_out="one", beat_time=_NOW, result=None)
    assert sink.write == real
    observer.log_metrics({"m": {"steps": [0], "values": [5], "timestamps": [_NOW]}}, {})
    document = PLACES[str(tmp_path)].runs[1].document()
    assert ({"x": 1}, "one", [5]) == (
        document["info"],
        document["captured_out"],
        document["metrics"]["m"]["values"],
    )


def test_a_subclass_is_called_by_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R22: event by event, and the base methods write the view."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")
    observer = _Subclass(str(tmp_path))
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}

    def main() -> int:
        print("hello")
        run.log_scalar("m", 0.5)
        return 3

    run = Run({"seed": 1}, None, main, [observer], mock.Mock(), mock.Mock(), info, {}, [], [])
    run()
    document = PLACES[str(tmp_path)].runs[1].document()
    assert ("COMPLETED", 3, "hello\n", [0.5]) == (
        document["status"],
        document["result"],
        document["captured_out"],
        document["metrics"]["m"]["values"],
    )


def test_events_before_the_start_are_refused(tmp_path: Path) -> None:
    """A heartbeat without a run has nowhere to go."""
    with pytest.raises(RuntimeError, match="comes first"):
        _Memory(str(tmp_path)).heartbeat_event({}, "", _NOW, None)


def test_a_view_that_is_down_at_the_start_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views never stop a run: it is told of the start again with a beat."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")
    observer = _Subclass(str(tmp_path))
    real = observer._new_sink
    failures = [OSError("down")]

    def new_sink() -> Any:
        if failures:
            raise failures.pop()
        return real()

    observer._new_sink = new_sink  # type: ignore[method-assign]
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}
    run = Run({"seed": 1}, None, lambda: 3, [observer], mock.Mock(), mock.Mock(), info, {}, [], [])
    run()
    assert 3 == run.result
    assert "COMPLETED" == PLACES[str(tmp_path)].runs[1].fields["status"]
