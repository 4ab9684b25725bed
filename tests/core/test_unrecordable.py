"""Values that no record can hold as they are: what stands for them, and that the run ends well."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred.core.changes import ChangeTracker
from sacred.core.items import items_of
from sacred.core.observers import copy_of
from sacred.core.recordable import recordable
from sacred.core.recorder import Recorder
from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.journal.codec import ObjectText
from sacred.journal.errors import InvalidEventError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "no")


class _Moody(dict[Any, Any]):
    """A dict that never shows what is in it."""

    def items(self) -> Any:
        raise RuntimeError("not now")

    def __repr__(self) -> str:
        return "Moody()"


def _deep(levels: int, wrap: Callable[[Any], Any] = lambda inner: {"a": inner}) -> Any:
    value: Any = wrap(0)
    for _ in range(levels - 1):
        value = wrap(value)
    return value


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, (dict, list, tuple)) and type(value) is not ObjectText:
        value = value["a"] if isinstance(value, dict) else value[0]
        depth += 1
    return depth


def _cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {"good": 1}
    value["self"] = value
    return value


def _cyclic_list() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def _run(main: Callable[..., Any], *observers: Any) -> Run:
    if not hasattr(main, "__name__"):
        main.__name__ = "main"  # type: ignore[attr-defined]
    info = {"name": "iris", "sources": [], "dependencies": [], "repositories": []}
    loggers = mock.Mock(), mock.Mock()
    return Run({"seed": 7}, None, main, list(observers), *loggers, info, {}, [], [])


def _of_type(run: Run, kind: EventType) -> list[dict[str, Any]]:
    assert run.folder is not None
    return [event.fields for event in JournalReader(run.folder).read() if event.type == kind]


def _warnings(run: Run) -> list[str]:
    calls = run.run_logger.warning.call_args_list  # type: ignore[attr-defined]
    return [str(call.args[0]) for call in calls if "observers" not in str(call.args[0])]


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "recorded"),
    [
        (_cyclic_dict, {"good": 1, "self": ObjectText("builtins.dict", "<contains itself>")}),
        (_cyclic_list, [1, ObjectText("builtins.list", "<contains itself>")]),
        (lambda: [_Moody(x=1), 2], [ObjectText(f"{__name__}._Moody", "Moody()"), 2]),
    ],
)
def test_a_result_that_can_not_be_recorded_as_it_is(
    result: Callable[[], Any], recorded: Any
) -> None:
    """RUN-09: a part that contains itself, or can not be read, is a text; the run has completed."""
    run = _run(lambda: result())
    run()
    (ended,) = _of_type(run, EventType.RUN_ENDED)
    assert ("COMPLETED", recorded) == (ended["status"], ended["result"])
    assert [recorded] == [e["result"] for e in _of_type(run, EventType.RESULT_CHANGED)]
    assert [] == _warnings(run)


@pytest.mark.parametrize(
    "wrap", [lambda inner: {"a": inner}, lambda inner: [inner]], ids=["dict", "list"]
)
@pytest.mark.parametrize("levels", [600, 5000])
def test_a_result_that_is_nested_too_deeply(wrap: Callable[[Any], Any], levels: int) -> None:
    """RUN-09: what lies deeper than 200 containers is a text; the run has completed."""
    run = _run(lambda: _deep(levels, wrap))
    run()
    (ended,) = _of_type(run, EventType.RUN_ENDED)
    assert ("COMPLETED", 200) == (ended["status"], _depth(ended["result"]))
    assert [] == _warnings(run)


def test_a_result_that_no_log_can_show() -> None:
    """RUN-04: the line "Result: ..." names what the handlers of logging can not print."""
    run = _run(lambda: [1])
    run.run_logger.info.side_effect = lambda text, *parts: (  # type: ignore[attr-defined]
        _raise(RecursionError()) if parts == ([1],) else None
    )
    run()
    assert "COMPLETED" == run.status
    assert mock.call("Result: %s", "[1]") in run.run_logger.info.call_args_list  # type: ignore[attr-defined]


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("error", [InvalidEventError("x"), OSError(28, "full"), MemoryError("m")])
def test_the_end_is_recorded_whatever_its_result_is(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """RUN-09: where the journal does not take the result, a text stands for it; it is said once."""
    append = JournalWriter.append

    def refuse(self: JournalWriter, kind: int, /, **fields: Any) -> int:
        if fields.get("result") == 42:
            raise error
        return append(self, kind, **fields)

    monkeypatch.setattr(JournalWriter, "append", refuse)
    run = _run(lambda: 42)
    run()
    (ended,) = _of_type(run, EventType.RUN_ENDED)
    assert ("completed", "COMPLETED") == (ended["how"], ended["status"])
    text = f"<not recorded: {type(error).__name__}>"
    assert ObjectText("builtins.int", text) == ended["result"]
    said = [text for text in _warnings(run) if text.startswith("The result")]
    assert ["The result could not be recorded, a text stands in its place: %s"] == said


@pytest.mark.parametrize("step", ["usage", "sync_main_source"])
def test_no_step_of_the_end_keeps_the_end_from_the_journal(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """RUN-01: whatever fails at the end, how the run ended is recorded."""
    monkeypatch.setattr(Recorder, step, mock.Mock(side_effect=ValueError("broken")))
    run = _run(lambda: 42)
    run()
    assert ["COMPLETED"] == [ended["status"] for ended in _of_type(run, EventType.RUN_ENDED)]


def test_an_exception_that_can_not_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """RUN-03: its name stands for its stack trace; the run has failed."""
    import traceback

    def main() -> None:
        raise KeyError("x")

    run = _run(main)
    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(traceback, "format_exception", mock.Mock(side_effect=ValueError))
        run()
    (ended,) = _of_type(run, EventType.RUN_ENDED)
    assert ("FAILED", ["KeyError\n"]) == (ended["status"], ended["fail_trace"])


# -- info ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "recorded"),
    [
        (_cyclic_dict, {"good": 1, "self": ObjectText("builtins.dict", "<contains itself>")}),
        (_cyclic_list, [1, ObjectText("builtins.list", "<contains itself>")]),
        (lambda: _Moody(x=1), ObjectText(f"{__name__}._Moody", "Moody()")),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_one_bad_value_loses_nothing_else_of_info(
    bad: Callable[[], Any], recorded: Any, known: bool
) -> None:
    """RUN-08: only the bad part is a text, also beside what was recorded before."""
    run = _run(lambda: run.info.update(first=1, bad=bad(), last=2))
    if known:
        run.info["before"] = 0
    run()
    changed = [e["set"] for e in _of_type(run, EventType.INFO_CHANGED)]
    assert [[[["first"], 1], [["bad"], recorded], [["last"], 2]]] == changed
    assert [] == _warnings(run)


def test_a_deep_value_loses_nothing_else_of_info() -> None:
    """RUN-08: what lies too deep is told with what is around it."""
    run = _run(lambda: run.info.update(first=1, bad=_deep(600), last=2))
    run()
    ((first, bad, last),) = [e["set"] for e in _of_type(run, EventType.INFO_CHANGED)]
    assert ([["first"], 1], ["bad"], [["last"], 2]) == (first, bad[0], last)
    assert _depth(bad[1]) >= 200


@pytest.mark.parametrize("value", [_cyclic_dict(), _deep(600), {"x": _Moody()}])
def test_a_bad_value_that_did_not_change_is_not_told_again(value: Any) -> None:
    """A second look finds nothing, whatever the value is."""
    tracker = ChangeTracker({})
    assert tracker.look(value)
    assert not tracker.look(value)
    assert not ChangeTracker(value).look(value)


def test_a_change_far_below_is_seen() -> None:
    """What lies deeper than is looked into counts as one value, which changes with its parts."""
    bottom: dict[str, Any] = {"a": 1}
    value: Any = bottom
    for _ in range(150):
        value = {"a": value}
    tracker = ChangeTracker(value)
    bottom["a"] = 2
    ((path, _),) = tracker.look(value).set
    assert 100 == len(path)


def test_a_change_beside_a_bad_value_is_told_alone() -> None:
    """One bad part is no reason to tell the rest again."""
    value = {"bad": _Moody(), "list": [_cyclic_list()], "n": 1}
    tracker = ChangeTracker(value)
    value["n"] = 2
    assert ([[["n"], 2]], []) == tracker.look(value)


def test_a_snapshot_is_what_was_told_before() -> None:
    """A reader that begins at a snapshot sees the same as one that began at the start."""
    run = _run(lambda: None)
    recorder = Recorder("root", durability="process")
    recorder.open()
    recorder.started(run_id=1, name="n", command="m", config={}, meta={}, experiment={}, host={})
    info: dict[str, Any] = {"bad": _Moody(x=1), "self": _cyclic_list(), "t": (1, {2})}
    for number in range(64):
        info["n"] = number
        recorder.info(info)
    recorder.close()
    assert recorder.folder is not None
    events = list(JournalReader(recorder.folder.journal).read())
    (snapshot,) = [e.fields["info"] for e in events if e.type == EventType.INFO_SNAPSHOT]
    told = [pair for e in events if e.type == EventType.INFO_CHANGED for pair in e.fields["set"]]
    assert {**{path[0]: value for path, value in told}, "n": 63} == snapshot
    assert ObjectText(f"{__name__}._Moody", "Moody()") == snapshot["bad"]
    assert run.folder is None


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("info", "_run.info"),
        ("result", "_run.result"),
        ("filtered_output", "What was printed"),
    ],
)
def test_what_can_not_be_recorded_is_said_by_its_name(
    monkeypatch: pytest.MonkeyPatch, method: str, what: str
) -> None:
    """OUT-06, RUN-08: each part has its own guard, so that the others are recorded."""
    monkeypatch.setattr(Recorder, method, mock.Mock(side_effect=ValueError("broken")))
    run = _run(lambda: run.info.update(a=1) or print("printed") or 42)
    run.captured_out_filter = str
    run()
    said = run.run_logger.warning.call_args_list  # type: ignore[attr-defined]
    assert [what] == [call.args[1] for call in said if "recorded" in call.args[0]]
    kinds = {"info": EventType.INFO_CHANGED, "result": EventType.RESULT_CHANGED}
    for other in kinds.keys() - {method}:
        assert 1 == len(_of_type(run, kinds[other]))


# -- what they are made of -------------------------------------------------------------------------


def test_a_dict_that_never_shows_its_items() -> None:
    """A hundred tries, then its error counts."""
    looks = mock.Mock(side_effect=RuntimeError("not now"))
    with pytest.raises(RuntimeError, match="not now"):
        items_of(mock.Mock(items=looks))
    assert 100 == looks.call_count
    looks = mock.Mock(side_effect=[RuntimeError("changed"), [("a", 1)]])
    assert [("a", 1)] == items_of(mock.Mock(items=looks))
    looks = mock.Mock(side_effect=RecursionError)
    with pytest.raises(RecursionError):
        items_of(mock.Mock(items=looks))
    assert 1 == looks.call_count


def test_what_an_observer_is_given() -> None:
    """OBS-02: a copy that contains itself as the value did; what nobody can copy is shared."""
    value = _cyclic_dict()
    copied = copy_of(value)
    assert (True, True, 1) == (copied["self"] is copied, copied is not value, copied["good"])
    moody, shared = _Moody(), [1]
    assert [True, True] == [one is moody for one in copy_of([moody, moody])]
    first, second = copy_of([shared, (shared,)])
    assert ([1], ([1],)) == (first, second)
    assert 600 == _depth(copy_of(_deep(600)))
    assert 600 == _depth(copy_of(_deep(600, lambda inner: (inner,))))


def test_a_value_that_stands_twice_is_recorded_twice() -> None:
    """CFG-17: standing in two places is not containing oneself."""
    shared = [1]
    assert {"a": [1], "b": [[1], [1]]} == recordable({"a": shared, "b": [shared, shared]})


def test_an_observer_hears_of_a_run_with_such_a_result() -> None:
    """OBS-02: in-process observers are told of the end, and have not failed."""
    observer = mock.Mock(priority=0)
    observer.started_event.return_value = None
    run = _run(_cyclic_dict, observer)
    run()
    (call,) = observer.completed_event.call_args_list
    assert 1 == call.kwargs["result"]["good"]


_SCRIPT = """
from sacred import Experiment
ex = Experiment("deep", save_git_info=False)
@ex.main
def main():
    value = []
    for _ in range(5000):
        value = [value]
    return value
ex.run_commandline()
"""


def test_a_program_whose_result_is_too_deep_ends_well(tmp_path: Path) -> None:
    """RUN-09: exit status 0, also where logging itself can not print the result."""
    (tmp_path / "deep.py").write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, "deep.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (0, True) == (done.returncode, "Completed after" in done.stderr)
    events = JournalReader(tmp_path / "sacred_runs" / "1" / "journal").read()
    ended = [event.fields["status"] for event in events if event.type == EventType.RUN_ENDED]
    assert ["COMPLETED"] == ended


# -- the main file ---------------------------------------------------------------------------------


def test_a_run_that_is_killed_at_once_has_its_main_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SRC-01: the main file is in the journal before the main function is called; once."""
    (tmp_path / "train.py").write_text("pass\n")
    blocked, seen = threading.Event(), []

    def late(*_: object) -> None:
        assert blocked.wait(100)

    def main() -> None:
        seen.extend(_of_type(run, EventType.SOURCE_ADDED))
        blocked.set()

    monkeypatch.setattr(Recorder, "dependencies", late)
    run = _run(main)
    run.experiment_info |= {"base_dir": str(tmp_path), "mainfile": "train.py"}
    (tmp_path / "other.py").write_text("pass # other\n")
    run.experiment_info["sources"] = [("other.py", "?"), ("train.py", "?")]
    run()
    assert "train.py" == seen[0]["filename"]
    assert (True, str(tmp_path / "train.py")) == (seen[0]["main"], seen[0]["path"])
    every = [fields["filename"] for fields in _of_type(run, EventType.SOURCE_ADDED)]
    assert ["train.py", "other.py"] == every


def test_the_main_file_is_stored_before_the_start_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SRC-01: its event follows the start at once, and the other sources do not wait for its sync."""
    names = {"train.py": "pass\n", "other.py": "pass # other\n"}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    steps: list[tuple[str, int]] = []

    def watched(name: str) -> None:
        original = getattr(Recorder, name)

        def call(self: Recorder, *args: Any, **more: Any) -> Any:
            steps.append((name, sum(path.is_file() for path in self.root.blobs.rglob("*"))))
            return original(self, *args, **more)

        monkeypatch.setattr(Recorder, name, call)

    for name in ("started", "main_source", "sources", "sync_main_source"):
        watched(name)
    run = _run(lambda: None)
    run.experiment_info |= {"base_dir": str(tmp_path), "mainfile": "train.py"}
    run.experiment_info["sources"] = [(name, "?") for name in names]
    run()
    began = [("started", 1), ("main_source", 1), ("sources", 1), ("sync_main_source", 2)]
    assert began == steps[:4]
    assert run.folder is not None
    kinds = [e.type for e in JournalReader(f"{run.folder}/journal").read() if e.seq >= 0]
    assert [EventType.RUN_STARTED, EventType.SOURCE_ADDED] == kinds[:2]


def test_a_main_file_that_is_large_or_gone_is_left_for_later(tmp_path: Path) -> None:
    """SRC-01: the main function does not wait for it; the facts that follow have it."""
    recorder = Recorder(tmp_path / "root", durability="process")
    recorder.open()
    large = tmp_path / "large.py"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    for name in ("large.py", "gone.py"):
        recorder.keep_main_source(name, str(tmp_path / name))
        recorder.main_source()
    recorder.sources([("large.py", str(large), "?")], "large.py")
    recorder.close()
    assert recorder.folder is not None
    events = JournalReader(recorder.folder.journal).read()
    added = [event.fields for event in events if event.type == EventType.SOURCE_ADDED]
    assert [("large.py", True)] == [(fields["filename"], fields["main"]) for fields in added]
