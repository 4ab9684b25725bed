"""The life of a run: what it records, whom it tells, and how it ends."""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred.core import observers
from sacred.core.errors import ObserverError, SacredInterrupt, TimeoutInterrupt
from sacred.core.observers import RunObserver
from sacred.core.run import Run, RunIdTakenError
from sacred.core.settings import SETTINGS
from sacred.journal.blobs import BlobStore
from sacred.journal.errors import JournalUnavailableError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.journal.events import Event


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


def _run(main: Callable[..., Any] = lambda: 42, *observers: Any, **changes: Any) -> Run:
    """Return a run built positionally, as people's tests build it."""
    if not hasattr(main, "__name__"):
        main.__name__ = "main"  # type: ignore[attr-defined]
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}
    parts = [
        {"a": 1, "seed": 7},
        None,
        main,
        list(observers),
        mock.Mock(),
        mock.Mock(),
        info,
        {"hostname": "here"},
        [],
        [],
    ]
    run = Run(*parts)  # type: ignore[arg-type]
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def _observer(priority: int = 0, run_id: Any = None, **events: Any) -> mock.Mock:
    observer = mock.Mock(priority=priority)
    observer.started_event.return_value = run_id
    observer.queued_event.return_value = run_id
    for name, effect in events.items():
        getattr(observer, name).side_effect = effect
    return observer


def _events(run: Run) -> list[Event]:
    assert run.folder is not None
    return list(JournalReader(run.folder).read())


def _of_type(run: Run, kind: EventType) -> list[dict[str, Any]]:
    return [event.fields for event in _events(run) if event.type == kind]


def _log_lines(run: Run) -> list[str]:
    """Return what the run logged, in order, formatted; with how long it took as ``TIME``."""
    logger: Any = run.run_logger
    return [
        re.sub(
            r"(?<= after )\d:\d\d:\d\d",
            "TIME",
            (call.args[0] % call.args[1:]) if len(call.args) > 1 else call.args[0],
        )
        for call in logger.mock_calls
        if call[0] in ("info", "warning", "error")
    ]


# -- the journal ----------------------------------------------------------------------------------


def test_every_run_is_journalled_without_any_observer(tmp_path: Path) -> None:
    """A run with no observer has a journal in ./sacred_runs, from its start to its end."""
    run = _run()
    run()
    assert (42, "COMPLETED", 1) == (run.result, run.status, run._id)
    assert str(tmp_path / "sacred_runs" / "1") == run.folder
    (started,) = _of_type(run, EventType.RUN_STARTED)
    assert ("iris", {"a": 1, "seed": 7}, 7, 1) == (
        started["name"],
        started["config"],
        started["seed"],
        started["run_id"],
    )
    (ended,) = _of_type(run, EventType.RUN_ENDED)
    assert ("completed", "COMPLETED", 42) == (ended["how"], ended["status"], ended["result"])
    folder = RunFolder.at(str(run.folder))
    assert verify(folder, blobs=BlobStore(folder.root.blobs)).clean


def test_several_runs_in_one_process_have_consecutive_ids() -> None:
    """One process, several runs: ids are ints and journals are apart."""
    runs = [_run(), _run(), _run()]
    for run in runs:
        run()
    assert [1, 2, 3] == [run._id for run in runs]
    assert [1, 1, 1] == [len(_of_type(run, EventType.RUN_ENDED)) for run in runs]


def test_an_unobserved_run_writes_nothing(tmp_path: Path) -> None:
    """``-u`` and unobserved commands leave no trace, and their metrics are checked all the same."""
    observer = _observer()

    def main() -> None:
        run.log_scalar("a", 1.0)

    run = _run(main, observer, unobserved=True)
    run()
    assert [] == list(tmp_path.iterdir())
    assert [] == observer.mock_calls


def test_the_setting_switches_journalling_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SETTINGS.JOURNAL.ENABLED = False: observers in the process are served, no journal."""
    monkeypatch.setitem(SETTINGS.JOURNAL, "ENABLED", False)
    observer = _observer(run_id=5)
    run = _run(lambda: 1, observer)
    run()
    assert [] == list(tmp_path.iterdir())
    assert 5 == run._id
    assert observer.completed_event.called


def test_the_root_is_where_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-J wins over the environment, the environment over the settings."""
    monkeypatch.setitem(SETTINGS.JOURNAL, "ROOT", str(tmp_path / "settings"))
    by_settings = _run()
    by_settings()
    monkeypatch.setenv("SACRED_JOURNAL_ROOT", str(tmp_path / "environment"))
    by_environment = _run()
    by_environment()
    by_option = _run(journal_root=str(tmp_path / "option"))
    by_option()
    assert [str(tmp_path / name / "1") for name in ("settings", "environment", "option")] == [
        by_settings.folder,
        by_environment.folder,
        by_option.folder,
    ]


def test_a_root_that_can_not_be_written_is_said_before_main(tmp_path: Path) -> None:
    """The run does not begin; the sentence says what to do."""
    (tmp_path / "file").write_text("")
    main = mock.Mock(__name__="main")
    run = _run(main, journal_root=str(tmp_path / "file" / "root"))
    with pytest.raises(JournalUnavailableError, match="choose another folder with -J"):
        run()
    assert not main.called
    assert run.status is None


def test_points_info_and_result_are_recorded() -> None:
    """log_scalar, info and an intermediate result reach the journal."""

    def main() -> int:
        for value in (0.5, 0.25):
            run.log_scalar("loss", value)
        run.info["best"] = {"loss": 0.25}
        run.result = 7
        return 8

    run = _run(main)
    run()
    points = _of_type(run, EventType.METRIC_POINT)
    assert [("loss", 0, 0.5), ("loss", 1, 0.25)] == [
        (point["metric"], point["step"], point["value"]) for point in points
    ]
    (changed,) = _of_type(run, EventType.INFO_CHANGED)
    assert [[["best"], {"loss": 0.25}]] == changed["set"]
    assert 8 == _of_type(run, EventType.RUN_ENDED)[0]["result"]


def test_points_before_the_start_are_not_lost() -> None:
    """USE-06: log_scalar and add_artifact work on a run that has not started."""
    run = _run(lambda: run.log_scalar("a", 2.0))
    run.log_scalar("a", 1.0)
    run()
    points = _of_type(run, EventType.METRIC_POINT)
    assert [(0, 1.0), (1, 2.0)] == [(point["step"], point["value"]) for point in points]


def test_a_bad_metric_value_raises_and_the_run_can_go_on() -> None:
    """log_scalar of an object: a ValueError and TypeError, nothing recorded is lost."""

    def main() -> None:
        run.log_scalar("a", 1.0)
        with pytest.raises(ValueError, match="metric 'a'"):
            run.log_scalar("a", object())

    run = _run(main)
    run()
    assert [1.0] == [point["value"] for point in _of_type(run, EventType.METRIC_POINT)]


def test_log_scalar_of_a_subclass_is_called(tmp_path: Path) -> None:
    """The fast path does not hide an overridden method."""
    seen = []

    class Own(Run):
        def log_scalar(self, metric_name: str, value: Any, step: Any = None) -> None:
            seen.append(metric_name)
            super().log_scalar(metric_name, value, step)

    own = Own({}, None, lambda: own.log_scalar("x", 1), [], mock.Mock(), mock.Mock(), {"name": "n"},
              {}, [], [])  # fmt: skip
    own()
    assert ["x"] == seen
    assert ["x"] == [point["metric"] for point in _of_type(own, EventType.METRIC_POINT)]


def test_artifacts_and_resources_are_stored_with_their_content(tmp_path: Path) -> None:
    """RUN-10: absolute path, name by default the base name, content in a blob, md5 beside."""
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "data.txt").write_text("data")

    def main() -> None:
        run.add_artifact("model.bin")
        run.add_artifact("model.bin", name="other", metadata={"a": 1}, content_type="x/y")
        with run.open_resource("data.txt") as file:
            assert "data" == file.read()

    run = _run(main)
    run()
    first, second = _of_type(run, EventType.ARTIFACT_ADDED)
    assert ("model.bin", str(tmp_path / "model.bin")) == (first["name"], first["filename"])
    assert ("other", {"a": 1}, "x/y") == (
        second["name"],
        second["metadata"],
        second["content_type"],
    )
    (resource,) = _of_type(run, EventType.RESOURCE_ADDED)
    assert "8d777f385d3dfec8815d20f7496026dc" == resource["md5"]
    blobs = BlobStore(tmp_path / "sacred_runs" / "blobs")
    assert b"weights" == blobs.read(first["blob"]["digest"])


def test_an_artifact_that_does_not_exist(tmp_path: Path) -> None:
    """A missing file is a FileNotFoundError for an artifact and for a resource."""
    run = _run()
    for add in (run.add_artifact, run.add_resource, run.open_resource):
        with pytest.raises(FileNotFoundError, match=r"nothing\.here"):
            add("nothing.here")


def test_a_folder_as_artifact(tmp_path: Path) -> None:
    """A folder is recorded with all files below it."""
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "b.txt").write_text("b")
    (tmp_path / "out" / "a.txt").write_text("a")
    run = _run(lambda: run.add_artifact("out"))
    run()
    (directory,) = _of_type(run, EventType.DIRECTORY_ADDED)
    assert ["a.txt", "deep/b.txt"] == [entry[0] for entry in directory["entries"]]


def test_modules_and_functions_are_left_out_of_what_is_recorded() -> None:
    """CFG-17: they stay usable in the configuration; other objects become text that names them."""
    run = _run()
    run.config.update({"m": os, "f": len, "g": lambda: 1, "n": {"m": os, "x": 1}, "o": object()})
    run()
    (started,) = _of_type(run, EventType.RUN_STARTED)
    config = started["config"]
    assert {"a", "seed", "n", "o"} == set(config)
    assert {"x": 1} == config["n"]
    assert "builtins.object" == config["o"].type
    assert run.config["m"] is os


def test_passwords_are_masked_in_what_is_recorded() -> None:
    """Nothing recorded shows the password of an address."""
    run = _run()
    run.meta_info["options"] = {"--mongo_db": "mongodb://me:secret@host/db"}
    run.config["url"] = "postgresql://me:secret@host/db"
    run()
    assert "secret" not in repr(_of_type(run, EventType.RUN_STARTED))


# -- output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sys", "fd"])
def test_what_is_printed_is_recorded(mode: str) -> None:
    """OUT-02: stdout and stderr, told apart; captured_out is there after the run."""

    def main() -> None:
        print("to stdout")
        print("to stderr", file=sys.stderr)

    run = _run(main, capture_mode=mode)
    run()
    pieces = dict.fromkeys((1, 2), b"")
    for piece in _of_type(run, EventType.OUTPUT):
        pieces[piece["stream"]] += piece["data"]
    assert {1: b"to stdout\n", 2: b"to stderr\n"} == pieces
    assert {"to stdout", "to stderr"} == set(run.captured_out.splitlines())


def test_output_before_the_start_event_comes_after_it() -> None:
    """EVT-09: what an observer prints at the start is captured, behind the start."""
    observer = _observer(started_event=lambda **_: print("hello from an observer"))
    run = _run(lambda: None, observer)
    run()
    kinds = [event.type for event in _events(run)]
    assert kinds.index(EventType.RUN_STARTED) < kinds.index(EventType.OUTPUT)
    assert "hello from an observer\n" == run.captured_out


def test_output_of_a_run_that_fails_is_not_lost() -> None:
    """OUT-05: what was printed just before an exception is recorded."""

    def main() -> None:
        print("the last words")
        raise ValueError("no")

    run = _run(main)
    with pytest.raises(ValueError, match="no"):
        run()
    assert "the last words\n" == run.captured_out


def test_the_filter_is_applied_to_what_is_recorded() -> None:
    """OUT-06: captured_out_filter changes the text of the views; the raw bytes stay."""
    observer = _observer()
    run = _run(lambda: print("secret word"), observer, captured_out_filter=str.upper)
    run()
    assert "SECRET WORD\n" == run.captured_out
    (filtered,) = _of_type(run, EventType.OUTPUT_FILTERED)
    assert "SECRET WORD\n" == filtered["text"]
    assert [b"secret word\n"] == [
        b"".join(piece["data"] for piece in _of_type(run, EventType.OUTPUT))
    ]
    assert "SECRET WORD\n" == observer.heartbeat_event.call_args.kwargs["captured_out"]


# -- the end --------------------------------------------------------------------------------------


def test_a_run_can_be_started_once() -> None:
    """RUN-04: a second call is a RuntimeError."""
    run = _run()
    run()
    with pytest.raises(RuntimeError, match="only be started once"):
        run()


class _OwnInterrupt(SacredInterrupt):
    STATUS = "SOLD_OUT"


@pytest.mark.parametrize(
    ("error", "status", "how"),
    [
        (KeyboardInterrupt(), "INTERRUPTED", "interrupted"),
        (SacredInterrupt(), "INTERRUPTED", "interrupted"),
        (TimeoutInterrupt(), "TIMEOUT", "interrupted"),
        (_OwnInterrupt(), "SOLD_OUT", "interrupted"),
        (ValueError("no"), "FAILED", "failed"),
        (SystemExit(3), "FAILED", "failed"),
    ],
)
def test_how_a_run_ends_by_an_exception(error: BaseException, status: str, how: str) -> None:
    """RUN-03, RUN-06: the status, the trace, and the exception goes on."""

    def main() -> None:
        run.info["a"] = 1
        raise error

    run = _run(main)
    with pytest.raises(type(error)):
        run()
    (ended,) = _of_type(run, EventType.RUN_ENDED)
    assert (how, status, status) == (ended["how"], ended["status"], run.status)
    assert type(error).__name__ in ended["fail_trace"][-1]
    assert "in main" in "".join(ended["fail_trace"])
    assert [[["a"], 1]] == _of_type(run, EventType.INFO_CHANGED)[0]["set"]
    assert run.stop_time is not None


def test_hooks_run_around_main() -> None:
    """RUN-05: pre hooks, main, post hooks; an exception in one fails the run."""
    order: list[str] = []
    run = _run(lambda: order.append("main"))
    run.pre_run_hooks = [lambda: order.append("pre")]
    run.post_run_hooks = [lambda: order.append("post")]
    run()
    assert ["pre", "main", "post"] == order
    failing = _run()
    failing.pre_run_hooks = [lambda: 1 / 0]
    with pytest.raises(ZeroDivisionError):
        failing()
    assert "FAILED" == failing.status


def test_the_log_lines_of_a_run() -> None:
    """CMD-08: a run that went well logs exactly Sacred's lines."""
    run = _run()
    run()
    assert [
        "No observers have been added to this run",
        "Running command '<lambda>'",
        "Started",
        "Result: 42",
        "Completed after TIME",
    ] == _log_lines(run)


@pytest.mark.parametrize(
    ("error", "line"), [(ValueError(), "Failed after TIME!"),
                        (KeyboardInterrupt(), "Aborted after TIME!")],
)  # fmt: skip
def test_the_log_lines_of_a_run_that_does_not_end_well(error: BaseException, line: str) -> None:
    """CMD-08: Failed after, Aborted after."""

    def main() -> None:
        raise error

    run = _run(main)
    with pytest.raises(type(error)):
        run()
    assert line == _log_lines(run)[-1]


def test_queue_only() -> None:
    """RUN-08: a queued run is recorded with all it needs, and main is not called."""
    observer = _observer(run_id=12)
    main = mock.Mock(__name__="main", prefix=None)
    run = _run(main, observer, queue_only=True)
    assert run() is None
    assert not main.called
    assert ("QUEUED", 12) == (run.status, run._id)
    assert observer.queued_event.called
    assert not observer.started_event.called
    (queued,) = _of_type(run, EventType.RUN_QUEUED)
    assert (12, {"a": 1, "seed": 7}) == (queued["run_id"], queued["config"])
    assert ["Queuing-up command 'main'", 'Queued-up run with ID "12"'] == _log_lines(run)


# -- ids ------------------------------------------------------------------------------------------


def test_the_first_observer_that_gives_an_id_decides() -> None:
    """OBS-02: by priority; the others are given it."""
    late, silent, first = _observer(1, 99), _observer(5), _observer(3, 17)
    run = _run(lambda: None, late, silent, first)
    run()
    assert 17 == run._id
    assert [None, None, 17] == [
        observer.started_event.call_args.kwargs["_id"] for observer in (silent, first, late)
    ]
    assert "17" == os.path.basename(str(run.folder))
    assert 'Started run with ID "17"' in _log_lines(run)


def test_a_given_id_is_given_to_observers() -> None:
    """R14, OBS-03: --id wins, in-process observers receive it as the text it is."""
    observer = _observer(run_id=99)
    run = _run(lambda: None, observer, _id="23")
    run()
    assert "23" == run._id == observer.started_event.call_args.kwargs["_id"]
    assert "23" == os.path.basename(str(run.folder))
    assert 23 == _of_type(run, EventType.RUN_STARTED)[0]["run_id"]


def test_a_given_id_that_is_taken_is_an_error() -> None:
    """R14: --id of a run in this root; nothing is written and main is not called."""
    _run()()
    main = mock.Mock(__name__="main")
    run = _run(main, _id="1")
    with pytest.raises(RunIdTakenError, match="There is a run with the id 1"):
        run()
    assert not main.called


@pytest.mark.parametrize("given", ["a name", "\u00e4" * 200, "7"])
def test_a_given_id_that_is_no_folder_is_taken_too(given) -> None:
    """R14: a text, and a number that came from elsewhere while its folder has another."""
    if given == "7":
        _run(lambda: None, _observer(run_id=7))()
    else:
        _run(lambda: None, _id=given)()
    again = mock.Mock(__name__="main")
    with pytest.raises(RunIdTakenError, match=f"There is a run with the id {given} in "):
        _run(again, _id=given)()
    assert not again.called
    _run(lambda: None, _id="another")()


def test_a_foreign_id_keeps_its_text() -> None:
    """An id that is no number is kept; the folder has a number of the root."""
    run = _run(lambda: None, _observer(run_id="f00-bar"))
    run()
    assert "f00-bar" == run._id
    assert "1" == os.path.basename(str(run.folder))
    assert "f00-bar" == _of_type(run, EventType.RUN_STARTED)[0]["run_id"]


# -- observers ------------------------------------------------------------------------------------


def test_an_observer_gets_sacreds_events_with_the_exact_keywords() -> None:
    """EVT: names and order of the events, each with its keywords, before run() returns."""
    observer = _observer(run_id=1)

    def main() -> int:
        run.log_scalar("m", 0.5)
        return 3

    run = _run(main, observer)
    run()
    calls = [(call[0], set(call.kwargs)) for call in observer.mock_calls]
    assert [
        (
            "started_event",
            {"ex_info", "command", "host_info", "start_time", "config", "meta_info", "_id"},
        ),
        ("log_metrics", {"metrics_by_name", "info"}),
        ("heartbeat_event", {"info", "captured_out", "beat_time", "result"}),
        ("completed_event", {"stop_time", "result"}),
        ("join", set()),
    ] == calls
    metrics = observer.log_metrics.call_args.kwargs["metrics_by_name"]
    assert ([0], [0.5]) == (metrics["m"]["steps"], metrics["m"]["values"])
    assert run.start_time == observer.started_event.call_args.kwargs["start_time"]


def test_a_failing_start_fails_the_run_and_is_recorded() -> None:
    """USE-06: ObserverError from started_event propagates; failed_event goes to all."""
    good, bad = _observer(1), _observer(2, started_event=ObserverError("no"))
    run = _run(lambda: None, good, bad)
    with pytest.raises(ObserverError):
        run()
    assert "FAILED" == run.status
    assert good.failed_event.called
    assert bad.failed_event.called
    assert "FAILED" == _of_type(run, EventType.RUN_ENDED)[0]["status"]


@pytest.mark.parametrize(
    "event", ["heartbeat_event", "log_metrics", "completed_event", "artifact_event", "join"]
)
def test_an_observer_that_raises_does_not_stop_the_run(tmp_path: Path, event: str) -> None:
    """EVT-04: it is reported, the others are still called."""
    (tmp_path / "a.txt").write_text("a")
    bad, good = _observer(2, **{event: TypeError("oops")}), _observer(1)
    run = _run(lambda: run.add_artifact("a.txt"), bad, good)
    run()
    assert "COMPLETED" == run.status
    assert getattr(good, event).called
    assert bad.completed_event.called
    lines = " ".join(str(call) for call in run.run_logger.mock_calls)  # type: ignore[attr-defined]
    assert "oops" in lines
    # Joining comes last, and the trace of a last event says it all, as Sacred has it.
    told = event not in {"join", "completed_event"}
    assert told == ("failed at some point during the run" in lines)


def test_what_an_observer_could_not_take_comes_again() -> None:
    """Issues 1 and 26: one hiccup does not silence an observer for the rest of the run."""
    taken: list[Any] = []
    hiccups = [OSError("down")]

    def log_metrics(metrics_by_name: dict[str, Any], info: Any) -> None:
        if hiccups:
            raise hiccups.pop()
        taken.append(metrics_by_name)

    observer = _observer(log_metrics=log_metrics)

    def main() -> None:
        run.log_scalar("m", 1.0)
        run._emit_heartbeat()
        run.log_scalar("m", 2.0)

    run = _run(main, observer)
    run()
    assert [[1.0, 2.0]] == [metrics["m"]["values"] for metrics in taken]


def test_an_observer_that_takes_no_metrics_does_not_fill_the_memory(monkeypatch: Any) -> None:
    """Only the newest points are kept for it, and that is said once."""
    monkeypatch.setattr(observers, "_POINTS", 3)
    observer = _observer(log_metrics=OSError("down"))

    def main() -> None:
        for _ in range(3):
            for _ in range(4):
                run.log_scalar("m", 1.0)
            run._emit_heartbeat()
        (listener,) = run._listeners
        kept.extend(entry.step for entry in listener._points)

    kept: list[Any] = []
    run = _run(main, observer)
    run()
    assert [9, 10, 11] == kept
    lines = [str(call) for call in run.run_logger.mock_calls]  # type: ignore[attr-defined]
    assert 1 == sum("only the newest %d are kept for it" in line for line in lines)


def test_each_observer_has_its_own_copy() -> None:
    """OBS-05, EVT-06: what one changes is seen by nobody else."""

    def spoil(**arguments: Any) -> None:
        arguments["config"]["a"] = "spoilt"
        arguments["ex_info"]["sources"].append("spoilt")

    spoiler, victim = _observer(2, started_event=spoil), _observer(1)
    run = _run(lambda: run.config["a"], spoiler, victim)
    run()
    assert 1 == run.result
    assert 1 == victim.started_event.call_args.kwargs["config"]["a"]
    assert [] == victim.started_event.call_args.kwargs["ex_info"]["sources"]


def test_short_signatures_of_the_documents_are_accepted(tmp_path: Path) -> None:
    """EVT-01: an observer written after the documents' sample, without the later arguments."""
    (tmp_path / "a.txt").write_text("a")
    seen = []

    class Old(RunObserver):
        def artifact_event(self, name: str, filename: str) -> None:  # type: ignore[override]
            seen.append(name)

    run = _run(lambda: run.add_artifact("a.txt"), Old())
    run()
    assert ["a.txt"] == seen
    assert not any("failed" in line for line in _log_lines(run))


def test_a_heartbeat_comes_in_its_interval() -> None:
    """HB-01: beats while main runs, in the journal and for observers."""
    beaten = threading.Event()
    observer = _observer(heartbeat_event=lambda **_: beaten.set())
    run = _run(lambda: beaten.wait(100), observer, beat_interval=0.01)
    run()
    assert run.result is True
    assert 2 <= len(_of_type(run, EventType.HEARTBEAT))


def test_no_interval_still_has_a_last_beat() -> None:
    """HB-02: Sacred loses output, info and metrics with an interval of 0; here nothing is lost."""
    observer = _observer()
    run = _run(lambda: run.log_scalar("a", 1.0), observer, beat_interval=0)
    run()
    assert 1 == observer.heartbeat_event.call_count
    assert ["a"] == list(observer.log_metrics.call_args.kwargs["metrics_by_name"])


def test_a_disk_that_begins_to_fail_does_not_stop_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P6: one line says so, and main goes on to its end."""
    said = threading.Event()

    def main() -> int:
        real_write = os.write

        def write(descriptor: int, data: bytes) -> int:
            if descriptor == run._recorder.writer._fd:  # type: ignore[union-attr]
                raise OSError(28, "No space left on device")
            return real_write(descriptor, data)

        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(run._recorder.writer, "_open_epoch", mock.Mock(  # type: ignore[union-attr]
            side_effect=OSError(28, "No space left on device")))  # fmt: skip
        run.run_logger.warning.side_effect = lambda *_: said.set()  # type: ignore[attr-defined]
        run.info["a"] = 1
        run._recorder.heartbeat()  # type: ignore[union-attr]
        run._recorder.heartbeat()  # type: ignore[union-attr]
        assert said.wait(100)
        return 5

    run = _run(main)
    run()
    assert ("COMPLETED", 5) == (run.status, run.result)
    lines = [line for line in _log_lines(run) if "can not be written" in line]
    assert 1 == len(lines)
    assert "No space left on device" in lines[0]


@pytest.mark.parametrize("durability", ["second", "event"])
def test_a_point_behind_the_end_stops_nobody(
    durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that outlives its run goes on; that its points are not recorded is said once."""
    monkeypatch.setitem(SETTINGS.JOURNAL, "DURABILITY", durability)
    run = _run(lambda: run.log_scalar("loss", 0.5))
    run()
    for value in (0.25, 0.125):
        run.log_scalar("loss", value)
    assert [0] == [point["step"] for point in _of_type(run, EventType.METRIC_POINT)]
    lines = [line for line in _log_lines(run) if "after the end" in line]
    assert 1 == len(lines)
    assert "A point of the metric 'loss' came after the end of the run" in lines[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_end_the_run() -> None:
    """R9: a child that comes out of main() leaves the end to its parent."""

    def main() -> int:
        pid = os.fork()
        if pid == 0:
            run.log_scalar("child", 1.0)
            raise ValueError("in the child")
        os.waitpid(pid, 0)
        return 3

    owner = os.getpid()
    run = _run(main)
    try:
        run()
    except ValueError:
        if os.getpid() != owner:
            run._recorder.writer.flush()  # type: ignore[union-attr]
            os._exit(0)
        raise
    assert ["COMPLETED"] == [ended["status"] for ended in _of_type(run, EventType.RUN_ENDED)]
    assert ["child"] == [point["metric"] for point in _of_type(run, EventType.METRIC_POINT)]
