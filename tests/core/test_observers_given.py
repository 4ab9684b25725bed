"""What may stand among the observers of a run, and what is said of the rest."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from sacred import Experiment
from sacred.core.errors import ObserverError, SacredError
from sacred.core.observer_checks import InvalidObserverError, ObserverSignatureError
from sacred.core.observers import Listener
from sacred.observers import RunObserver

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "false")


#: The arguments of the events, in the order of Sacred's protocol.
_START = ("ex_info", "command", "host_info", "start_time", "config", "meta_info", "_id")
EVENTS = {
    "started_event": _START,
    "queued_event": tuple("queue_time" if n == "start_time" else n for n in _START),
    "heartbeat_event": ("info", "captured_out", "beat_time", "result"),
    "completed_event": ("stop_time", "result"),
    "interrupted_event": ("interrupt_time", "status"),
    "failed_event": ("fail_time", "fail_trace"),
    "resource_event": ("filename",),
    "artifact_event": ("name", "filename", "metadata", "content_type"),
    "log_metrics": ("metrics_by_name", "info"),
}
#: What an event is about, and can not be left out.
HEART = {
    "resource_event": "filename",
    "artifact_event": "filename",
    "log_metrics": "metrics_by_name",
}


def _observer(event: str, parameters: tuple[str, ...]) -> tuple[Any, list[Any]]:
    """Return an observer whose method for an event has these parameters, and what it was given."""
    given: list[Any] = []
    names: dict[str, Any] = {}
    exec(
        f"def {event}(self, {', '.join(parameters)}): given.append(locals())",
        {"given": given},
        names,
    )
    return type("Short", (RunObserver,), names)(), given


@pytest.mark.parametrize(
    ("event", "left_out"), [(event, name) for event in EVENTS for name in EVENTS[event]]
)
def test_short_signatures(event: str, left_out: str) -> None:
    """EVT-01: any argument may be missing, but what the event is about: that is told."""
    parameters = tuple(name for name in EVENTS[event] if name != left_out)
    observer, given = _observer(event, parameters)
    listener = Listener(observer, logging.getLogger("short"))
    arguments = dict.fromkeys(EVENTS[event], 1)
    if left_out != HEART.get(event):
        listener.call(event, **arguments)
        assert [set(parameters)] == [set(each) - {"self"} for each in given]
        return
    with pytest.raises(ObserverSignatureError, match=f"def {event}\\(self, ") as caught:
        listener.call(event, **arguments)
    assert left_out in str(caught.value)
    assert given == []


@pytest.mark.parametrize("event", [event for event in EVENTS if event not in HEART])
def test_methods_without_parameters(event: str) -> None:
    """EVT-01: one that only wants to know that it happened is called."""
    observer, given = _observer(event, ())
    Listener(observer, logging.getLogger("bare")).call(event, **dict.fromkeys(EVENTS[event], 1))
    assert [{"self"}] == [set(each) for each in given]


@pytest.mark.parametrize("parameters", [("*args",), ("info", "*args")])
def test_arguments_by_their_places(parameters: tuple[str, ...]) -> None:
    """EVT-01: a method that waits for its arguments where none come is told, and not called with nothing."""
    observer, given = _observer("heartbeat_event", parameters)
    listener = Listener(observer, logging.getLogger("places"))
    with pytest.raises(ObserverSignatureError, match="or \\*\\*kwargs"):
        listener.call("heartbeat_event", **dict.fromkeys(EVENTS["heartbeat_event"], 1))
    whole, given = _observer("heartbeat_event", (*EVENTS["heartbeat_event"], "*args"))
    Listener(whole, logging.getLogger("places")).call(
        "heartbeat_event", **dict.fromkeys(EVENTS["heartbeat_event"], 1)
    )
    assert 1 == len(given)


def test_the_signatures_of_older_documents() -> None:
    """EVT-01: a run with an observer as it was written for Sacred 0.6 goes well, and all of it is told."""
    told: list[Any] = []

    class Old(RunObserver):
        def started_event(self, ex_info, command, start_time, config, _id):
            told.append(("started", command, config["a"], _id))

        def heartbeat_event(self, info, captured_out, beat_time):
            told.append(("beat", info))

        def completed_event(self, stop_time, result):
            told.append(("completed", result))

        def artifact_event(self, name, filename):
            told.append(("artifact", name))

    ex = _experiment(Old())
    ex.add_config(a=7)
    ex.main(lambda _run: _run.info.update(b=1) or _run.add_artifact(__file__, "x") or 5)
    ex.run()
    expected = [
        ("started", "<lambda>", 7, None),
        ("artifact", "x"),
        ("beat", {"b": 1}),
        ("completed", 5),
    ]
    assert expected == told


@pytest.mark.parametrize(
    "parameters",
    [("**anything",), ("filename", "more=1"), ("*", "filename"), ("filename", "**rest")],
)
def test_signatures_that_fit(parameters: tuple[str, ...]) -> None:
    """EVT-01: whatever the arguments can be given to by their names."""
    observer, given = _observer("resource_event", parameters)
    Listener(observer, logging.getLogger("fits")).call("resource_event", filename="f")
    assert len(given) == 1


@pytest.mark.parametrize("parameters", [("filename", "more"), ("filename", "*", "more")])
def test_signatures_that_want_more(parameters: tuple[str, ...]) -> None:
    """EVT-01: a parameter that no event has is told."""
    observer, _ = _observer("resource_event", parameters)
    with pytest.raises(ObserverSignatureError, match="is given filename, by these names"):
        Listener(observer, logging.getLogger("more")).call("resource_event", filename="f")


def _experiment(*observers: Any) -> Experiment:
    ex = Experiment("told", save_git_info=False)
    ex.observers.extend(observers)
    ex.main(lambda: 5)
    return ex


def test_a_start_that_an_observer_can_not_take(capsys: pytest.CaptureFixture[str]) -> None:
    """EVT-01: the run fails, as with Sacred, with a sentence and no stack."""
    observer, _ = _observer("started_event", ("ex_info", "comand"))
    with pytest.raises(TypeError, match="started_event of the observer") as caught:
        _experiment(observer).run()
    assert isinstance(caught.value, (SacredError, ObserverError))
    with pytest.raises(SystemExit):
        _experiment(observer).run_commandline(["told.py"])
    error = capsys.readouterr().err
    assert error.startswith("Error: started_event of the observer")
    assert "Traceback" not in error


class _Duck:
    """Has the methods of the events but one."""

    def __init__(self, missing: str) -> None:
        self.told: list[str] = []
        for event in (*EVENTS, "join"):
            if event != missing:
                setattr(self, event, lambda event=event, **_: self.told.append(event))


@pytest.mark.parametrize("missing", [*EVENTS, "join"])
@pytest.mark.parametrize("options", [{}, {"--queue": True}])
def test_an_observer_without_a_method(missing: str, options: Any, caplog: Any) -> None:
    """USE-06: an event that it has no method for is none of its business."""
    duck = _Duck(missing)
    ex = _experiment(duck)
    ex.run(options=options)
    told = (
        ["queued_event"]
        if options
        else ["started_event", "log_metrics", "heartbeat_event", "completed_event", "join"]
    )
    assert [event for event in told if event != missing] == duck.told
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


@pytest.mark.parametrize("given", [3, None, "mongodb://db", object(), [RunObserver()], len])
def test_what_is_no_observer(given: Any) -> None:
    """OBS-02: one sentence before the run begins; Sacred's error is an AttributeError."""
    with pytest.raises(InvalidObserverError, match="is no observer: it has none of the methods"):
        _experiment(given).run()
    # Nobody is told of it, so nobody has to be able to.
    assert _experiment(given).run(options={"--unobserved": True}).result == 5


def test_a_class_is_no_observer() -> None:
    """OBS-02: the remedy is a pair of parentheses."""
    with pytest.raises(InvalidObserverError, match=r"add an object of it, RunObserver\(...\)"):
        _experiment(RunObserver).run()


@pytest.mark.parametrize("observers", [3, None, RunObserver()])
def test_observers_that_are_no_list(observers: Any) -> None:
    """EXP-10: assigned to the experiment."""
    ex = _experiment()
    ex.observers = observers
    with pytest.raises(InvalidObserverError, match="no list of observers"):
        ex.run()


def test_observers_may_be_any_collection() -> None:
    """EXP-10: a tuple, as with Sacred."""
    ex = _experiment()
    ex.observers = (RunObserver(),)  # type: ignore[assignment]
    assert ex.run().result == 5


def test_one_sentence_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """OBS-02: without a stack, with status 1."""
    with pytest.raises(SystemExit) as caught:
        _experiment(3).run_commandline(["told.py"])
    assert caught.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("Error: 3 is no observer")
