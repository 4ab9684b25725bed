"""Somebody's own observer as a view: the contract of messages, and what is its own."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path

import pytest

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.root import JournalRoot
from sacred.journal.writer import JournalWriter
from sacred.observers import RunObserver
from sacred.replayers.contract import SinkContract, write_run
from sacred.replayers.errors import SinkMissingError, SinkSpecError, TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.notification_contract import NotificationContract
from sacred.replayers.registry import load_sink, parse_spec
from sacred.replayers.replay import replay
from sacred.replayers.sink import RunKey, SinkSpec

EVENTS = (
    *("queued_event", "started_event", "heartbeat_event", "completed_event", "interrupted_event"),
    *("failed_event", "resource_event", "artifact_event", "log_metrics", "join"),
)


class Calls:
    """All that the observers of a test were told, in order."""

    def __init__(self):
        self.told = []
        self.plan = []
        self.given = []
        self.accepted = []
        self.taken_up = []
        self.news = threading.Condition()

    def take(self, tag, event, arguments):
        """An observer is called; what is planned for the event happens."""
        how = self.plan.pop(0)[1] if self.plan and self.plan[0][0] in ("", event) else None
        if isinstance(how, Exception):
            raise how
        key = (arguments.get("start_time"), arguments.get("_id"))
        with self.news:
            self.told.append((tag, event, arguments))
            self.taken_up.append(event == "started_event" and key in self.accepted)
            self.news.notify_all()
        if how is not None:
            raise how[0]
        if event == "started_event" and tag == "SAME":
            self.accepted.append((arguments["start_time"], arguments["_id"]))
            return arguments["_id"]
        if event == "started_event":
            self.given.append(f"{tag}-{len(self.given) + 1}")
            return self.given[-1]
        return None

    def names(self):
        """The events."""
        return [event for _, event, _ in self.told]

    def of(self, name):
        """The arguments of each call of an event."""
        return [arguments for _, event, arguments in self.told if event == name]

    def wait_for(self, count, event):
        """Wait until an event came so often."""
        with self.news:
            assert self.news.wait_for(lambda: self.names().count(event) >= count, 100)


@pytest.fixture
def calls(monkeypatch):
    """A module with observers of all sorts, and what they are told."""
    calls = Calls()
    module = types.ModuleType("of_a_test")

    class Recorder(RunObserver):
        def __init__(self, tag="SAC", token=None):
            self.tag = tag
            calls.made = (tag, token)

    for event in EVENTS:
        setattr(
            Recorder,
            event,
            lambda self, _event=event, **arguments: calls.take(self.tag, _event, arguments),
        )

    class Urgent(Recorder):
        priority = 30

        def __init__(self):
            super().__init__("URGENT")

    class Old(RunObserver):
        """Written after Sacred's documents: it takes less than there is."""

        def started_event(self, ex_info, command, config, _id):
            calls.take("OLD", "started_event", {"command": command})

        def artifact_event(self, name, filename):
            calls.take("OLD", "artifact_event", {"name": name})

    module.Recorder, module.Urgent, module.Old = Recorder, Urgent, Old
    module.ready = Recorder("READY")
    module.make = lambda tag="MADE": Recorder(tag)
    module.makes_nothing = lambda: 3
    module.Nothing, module.number = type("Nothing", (), {}), 3
    monkeypatch.setitem(sys.modules, "of_a_test", module)
    return calls


@pytest.fixture
def root(tmp_path):
    """A root of journals."""
    return JournalRoot(tmp_path / "runs")


def follow(folder, spec="of_a_test:Recorder", patience=100.0, **options):
    """Bring a run to an observer; the status and the error."""
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    follower = Follower(folder, load_sink(spec), spec, **options)
    try:
        return follower.run_once(patience=patience), follower.failure
    finally:
        follower.close()


# -- the contract of what can not be asked --------------------------------------------------------


class TestObserver(NotificationContract):
    """An observer is told once of each thing, whatever fails; taking a run up again is no message."""

    rules = ("started", "completed")

    @pytest.fixture
    def spec(self, calls):
        self.calls = calls
        return parse_spec("of_a_test:Recorder?tag=SAME&token=TOKENSECRET")

    @pytest.fixture(autouse=True)
    def _closes(self):
        self.open_sinks = []
        yield
        for sink in self.open_sinks:
            sink.close()

    def attending(self, folder, spec):
        # One replayer at a time tells an observer of a run.
        while self.open_sinks:
            self.open_sinks.pop().close()
        sink = super().attending(folder, spec)
        self.open_sinks.append(sink)
        return sink

    def received(self, spec):
        found = []
        told = zip(self.calls.told, self.calls.taken_up, strict=True)
        for (_, event, arguments), taken_up in told:
            rule = event.removesuffix("_event")
            if rule in ("started", "completed", "failed") and not taken_up:
                found.append((rule, arguments.get("result"), arguments.get("command")))
        return found

    def fail_next(self, spec, how):
        down = ConnectionError("redis://me:TOKENSECRET@host does not answer")
        error = {"later": down, "never": ValueError("no"), "silent": (down,)}[how]
        event = "started_event" if "started_event" not in self.calls.names() else "failed_event"
        self.calls.plan.append((event, error))

    def secrets(self, spec):
        return ["TOKENSECRET"]

    def test_what_could_not_be_sent_is_sent_later(self, spec, root):
        """A run that failed while the service was down, and went on since, is told of as it is now."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        self.follow(folder, spec)
        writer.append(EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=["no"])
        writer.flush()
        self.fail_next(spec, "later")
        assert "behind" == self.follow(folder, spec, patience=0.0).state
        writer.append(EventType.RUN_RESUMED)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        assert "current" == self.follow(folder, spec).state
        assert ["started", "completed"] == [rule for rule, *_ in self.received(spec)]

    def test_one_that_knows_less(self, spec, root):
        """Of two that tell one run, the second waits until the first has let it go."""
        folder, run = root.claim(), RunKey("00000000000000ac", 1)
        one = self.attending(folder, spec)
        one.claim(run)
        two = load_sink(spec)
        two.attend(folder)
        two.open()
        with pytest.raises(TransientSinkError, match="another replayer tells"):
            two.position(run)
        one.close()
        assert two.position(run).claimed
        two.close()


# -- what it is told --------------------------------------------------------------------------------


def test_what_an_observer_is_told(root, calls):
    """EVT-02: a start, files in the order in which they were added, points and a beat, the end, join."""
    folder = root.claim()
    write_run(folder)
    status, _ = follow(folder)
    assert ("current", "SAC-1") == (status.state, status.view_id)
    expected = ["started_event", "artifact_event", "resource_event", "log_metrics"]
    assert [*expected, "heartbeat_event", "completed_event", "join"] == calls.names()
    (start,) = calls.of("started_event")
    assert {"ex_info", "command", "host_info", "start_time", "config", "meta_info", "_id"} == set(
        start
    )
    assert (1, "main") == (start["_id"], start["command"])
    assert {"seed": 1, "tuple": (1, 2), "nested": {"a": 0.5}} == start["config"]
    assert dt.datetime is type(start["start_time"]) and start["start_time"].tzinfo is None
    ((name, md5),) = start["ex_info"]["sources"]
    assert ("main.py", 32) == (name, len(md5))
    (points,) = calls.of("log_metrics")
    assert ["loss", "dotted.name"] == list(points["metrics_by_name"])
    loss = points["metrics_by_name"]["loss"]
    assert ["steps", "values", "timestamps", "name"] == list(loss)
    assert (list(range(50)), dt.datetime) == (loss["steps"], type(loss["timestamps"][0]))
    (beat,) = calls.of("heartbeat_event")
    assert ("first line: ä\nsecond line\n", 42) == (beat["captured_out"], beat["result"])
    assert {"key": [1, {"deep": 2}]} == beat["info"] == points["info"]
    (end,) = calls.of("completed_event")
    assert (42, dt.datetime) == (end["result"], type(end["stop_time"]))


def test_values_are_those_of_the_program(root, calls):
    """EVT-06: keys, tuples, sets and arrays are what they were, in the configuration, info, metadata and the result."""
    np = pytest.importorskip("numpy")
    folder = root.claim()
    writer = write_run(folder, ends=False)
    value = {3: (1, {2}), "array": np.arange(6.0).reshape(2, 3), "when": dt.date(2024, 5, 4)}
    writer.append(EventType.INFO_CHANGED, set=[[["value"], value]], deleted=[])
    end = {"how": "completed", "status": "COMPLETED", "result": (1, 2)}
    writer.append(EventType.RUN_ENDED, **end)
    writer.close()
    follow(folder)
    found = calls.of("heartbeat_event")[0]["info"]["value"]
    assert (1, {2}) == found[3]
    assert np.array_equal(value["array"], found["array"])
    assert "float64" == found["array"].dtype
    found["array"][0, 0] = 7  # it is the observer's own
    assert dt.date(2024, 5, 4) == found["when"]
    assert (1, 2) == calls.of("completed_event")[0]["result"]


@pytest.mark.parametrize(
    ("end", "event", "about"),
    [
        (
            {"how": "failed", "status": "FAILED", "fail_trace": ["Traceback\n", "E: x\n"]},
            "failed_event",
            ("fail_trace", ["Traceback\n", "E: x\n"]),
        ),
        (
            {"how": "interrupted", "status": "TIMEOUT"},
            "interrupted_event",
            ("status", "TIMEOUT"),
        ),
    ],
)
def test_how_a_run_ended(root, calls, end, event, about):
    """A failure has its trace, an interruption its status."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    writer.append(EventType.RUN_ENDED, **end)
    writer.close()
    follow(folder)
    assert [event, "join"] == calls.names()[-2:]
    assert about[1] == calls.of(event)[0][about[0]]


def test_a_run_that_died(root, calls):
    """What was recorded up to the kill is told, with a last beat at the last sign of life; no end is."""
    folder = root.claim()
    write_run(folder, ends=False)
    assert "current" == follow(folder)[0].state
    assert ["log_metrics", "heartbeat_event", "join"] == calls.names()[-3:]
    before = list(calls.told)
    follow(folder)
    assert before == calls.told


def test_a_queued_run(root, calls):
    """It is told as queued; when it is started, by the id that the observer gave."""
    folder = root.claim()
    fields = SinkContract.events(1)[0].fields
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_QUEUED, **fields)
    writer.flush()
    follow(folder)
    assert ["queued_event", "join"] == calls.names()
    assert dt.datetime is type(calls.of("queued_event")[0]["queue_time"])
    follow(folder)
    assert ["queued_event", "join"] == calls.names()
    writer.append(EventType.RUN_STARTED, **fields)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    follow(folder)
    names = ["started_event", "log_metrics", "heartbeat_event", "completed_event", "join"]
    assert names == calls.names()[2:]


def test_a_run_that_is_followed(root, calls):
    """Points and output wait for the beats of the run, as they did in it; each is told once."""
    folder = root.claim()
    writer = write_run(folder, ends=False, points=0)
    writer.append(EventType.DEPENDENCIES_FOUND, dependencies=["numpy==1"])
    writer.flush()
    spec = parse_spec("of_a_test:Recorder")
    follower = Follower(folder, load_sink(spec), spec)
    stop = threading.Event()
    thread = threading.Thread(target=follower.follow, args=(stop,), daemon=True)
    thread.start()
    try:
        calls.wait_for(1, "heartbeat_event")
        for beat in range(3):
            for step in range(10):
                writer.log_point("m", 10 * beat + step, 0.5)
            writer.append_output(1, f"beat {beat}\n".encode())
            writer.append(EventType.HEARTBEAT)
            writer.flush()
            calls.wait_for(beat + 2, "heartbeat_event")
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=None)
        writer.close()
        calls.wait_for(1, "completed_event")
    finally:
        stop.set()
        thread.join(100)
        follower.close()
    assert 1 == calls.names().count("started_event")
    steps = [
        step
        for told in calls.of("log_metrics")
        for step in told["metrics_by_name"].get("m", {"steps": []})["steps"]
    ]
    assert list(range(30)) == steps
    assert 4 == calls.names().count("heartbeat_event")
    last = calls.of("heartbeat_event")[-1]["captured_out"]
    assert last.endswith("beat 0\nbeat 1\nbeat 2\n")


@pytest.mark.parametrize(
    ("packages", "beat_after", "begins"),
    [([], 4.9, False), ([], 5.0, True), (["numpy==1"], 0.1, True)],
)
def test_a_start_waits_for_the_packages(root, calls, packages, beat_after, begins):
    """A sign of life in the run's first seconds, before its packages are recorded, does not begin it for an observer."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    start = SinkContract.events(1)[0].fields
    writer.append(EventType.RUN_STARTED, time_ns=10**18, **start)
    writer.append(EventType.HEARTBEAT, time_ns=10**18 + int(beat_after * 1e9))
    if packages:
        writer.append(EventType.DEPENDENCIES_FOUND, dependencies=packages)
    writer.flush()
    spec = parse_spec("of_a_test:Recorder")
    follower = Follower(folder, load_sink(spec), spec)
    try:
        follower._advance(complete=False)
        assert begins == ("started_event" in calls.names())
    finally:
        follower.close()
        writer.close()


def test_what_waits_for_a_beat_is_told_when_the_run_dies(root, calls):
    """Points behind the last beat of a killed run are told by whoever followed it."""
    folder = root.claim()
    writer = write_run(folder, ends=False, points=0)
    spec = parse_spec("of_a_test:Recorder")
    follower = Follower(folder, load_sink(spec), spec)
    assert follower._advance(complete=False)
    writer.log_point("late", 1, 2.0)
    writer.flush()
    assert follower._advance(complete=False)
    assert not any("late" in told["metrics_by_name"] for told in calls.of("log_metrics"))
    follower.run_once()
    follower.close()
    assert "late" in calls.of("log_metrics")[-1]["metrics_by_name"]
    follow(folder)
    assert 1 == sum("late" in told["metrics_by_name"] for told in calls.of("log_metrics"))


def test_another_process_goes_on_with_a_run(root, calls):
    """A new object is told of the start again, by the id that the first gave, and then of what is new alone."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    follow(folder)
    first = len(calls.told)
    writer.log_point("loss", 99, 9.0)
    writer.append(EventType.HEARTBEAT)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    status, _ = follow(folder)
    names = ["started_event", "log_metrics", "heartbeat_event", "completed_event", "join"]
    assert names == calls.names()[first:]
    assert "SAC-1" == calls.of("started_event")[1]["_id"]
    assert [99] == calls.of("log_metrics")[-1]["metrics_by_name"]["loss"]["steps"]
    assert "SAC-2" == status.view_id


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can not fork")
def test_several_writers_are_told_once(root, calls):
    """R10: points of a worker are told as they come; the order by time, at the end, repeats nothing."""
    folder = root.claim()
    writer = write_run(folder, ends=False, points=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            for step in range(5):
                writer.log_point("worker", step, 1.0)
            writer.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    assert "current" == follow(folder)[0].state
    found = [told["metrics_by_name"] for told in calls.of("log_metrics")]
    assert 1 == sum("worker" in metrics for metrics in found)
    assert 1 == calls.names().count("completed_event")


def test_points_that_a_power_cut_took_back(root, calls):
    """Points that were told and lost, and others under their numbers: those are told too, the rest once."""
    folder, truth = root.claim(), root.claim()
    for where, extra in ((folder, 5.0), (truth, 7.0)):
        writer = JournalWriter.create(where.journal, journal_id=4711)
        writer.append(EventType.RUN_STARTED, time_ns=10**18, **SinkContract.events(1)[0].fields)
        for step in range(5):
            is_late = extra == 7.0 and step > 2
            time_ns = 10**18 + 10**9 * (step + 100 * is_late)
            fields = {"metric": "m", "step": step, "value": extra if step > 2 else 1.0}
            writer.append(EventType.METRIC_POINT, time_ns=time_ns, **fields)
            writer.flush()
        writer.close()
    follow(folder)
    folder.views.rename(truth.views)
    assert "current" == follow(truth)[0].state
    found = [told["metrics_by_name"].get("m") for told in calls.of("log_metrics")]
    assert [1.0, 1.0, 1.0, 5.0, 5.0] == found[0]["values"]
    assert ([3, 4], [7.0, 7.0]) == (found[1]["steps"], found[1]["values"])


# -- files -------------------------------------------------------------------------------------------


def test_files_are_as_they_were(root, calls, tmp_path):
    """The program's own path while its content is the same, else a copy with the same name until the end."""
    same, changed = tmp_path / "same.txt", tmp_path / "changed.txt"
    same.write_text("same")
    changed.write_text("changed since")
    folder = root.claim()
    writer = write_run(folder, ends=False)
    blobs = BlobStore(folder.root.blobs, durable=False)
    for path, content in ((same, b"same"), (changed, b"as it was")):
        stored = blobs.put_bytes(content)
        writer.append(
            EventType.ARTIFACT_ADDED,
            name=path.name,
            filename=str(path),
            blob=stored.blob.to_wire(),
            md5=stored.md5,
            guessed_type="text/plain",
        )
    writer.append(EventType.ARTIFACT_ADDED, name="lost", filename=str(tmp_path / "lost"))
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    seen = {}

    def look(tag, event, arguments, take=calls.take):
        if event == "artifact_event":
            path = Path(arguments["filename"])
            seen[arguments["name"]] = (path, path.read_text())
        return take(tag, event, arguments)

    calls.take = look
    follow(folder)
    assert (same, "same") == seen["same.txt"]
    path, content = seen["changed.txt"]
    assert ("changed.txt", "as it was") == (path.name, content)
    assert path != changed
    assert not path.exists()  # nothing stays behind
    assert "lost" not in seen
    assert [None, None] == [told["content_type"] for told in calls.of("artifact_event")[1:]]


def test_sources_are_as_they_were(root, calls, tmp_path):
    """``base_dir`` is the program's while its sources are unchanged, else a folder that holds them as they were."""
    seen = []

    def look(tag, event, arguments, take=calls.take):
        if event == "started_event":
            base = arguments["ex_info"]["base_dir"]
            seen.append((base, Path(base, "main.py").read_text()))
        return take(tag, event, arguments)

    calls.take = look
    (tmp_path / "main.py").write_text("print(1)\n")
    for content in ("print(1)\n", "print(2)\n"):
        (tmp_path / "main.py").write_text(content)
        folder = root.claim()
        writer = JournalWriter.create(folder.journal)
        fields = SinkContract.events(1)[0].fields
        about = {"experiment": {"name": "x", "base_dir": str(tmp_path)}}
        writer.append(EventType.RUN_STARTED, **{**fields, **about})
        stored = BlobStore(folder.root.blobs, durable=False).put_bytes(b"print(1)\n")
        writer.append(
            EventType.SOURCE_ADDED,
            filename="main.py",
            path=str(tmp_path / "main.py"),
            md5=stored.md5,
            blob=stored.blob.to_wire(),
        )
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        follow(folder)
    assert (str(tmp_path), "print(1)\n") == seen[0]
    assert seen[1][0] != str(tmp_path)
    assert "print(1)\n" == seen[1][1]


# -- observers that fail -------------------------------------------------------------------------


def test_a_service_that_is_down(root, calls):
    """An error of the system or of a library: the view is behind, the event comes again, no other is repeated."""
    folder = root.claim()
    write_run(folder)
    calls.plan = [("heartbeat_event", ConnectionError("refused"))]
    status, failure = follow(folder, patience=0.0)
    assert ("behind", 3) == (status.state, failure.exit_code)
    assert "heartbeat_event raised ConnectionError: refused" in status.error
    assert 1 == calls.names().count("log_metrics")
    assert "current" == follow(folder)[0].state
    assert 1 == calls.names().count("log_metrics")
    assert 1 == calls.names().count("artifact_event")
    assert 1 == calls.names().count("completed_event")


def test_a_service_that_comes_back(root, calls):
    """While a replayer is patient the same object is told, and of the start once."""
    folder = root.claim()
    write_run(folder)
    calls.plan = [("artifact_event", OSError("no")), ("completed_event", OSError("no"))]
    assert "current" == follow(folder)[0].state
    names = ["started_event", "artifact_event", "resource_event", "log_metrics"]
    assert [*names, "heartbeat_event", "completed_event", "join"] == calls.names()


def test_a_mistake_in_an_observer(root, calls):
    """EVT-04: an error of Python's own stops this view with a sentence that names the line; others go on."""
    folder = root.claim()
    write_run(folder)
    calls.plan = [("started_event", ValueError("3 is\nno step"))]
    summary = replay(root, None, ["of_a_test:Recorder", "of_a_test:make"])
    failed, current = summary.outcomes
    assert ("failed", "current", 1) == (failed.state, current.state, summary.exit_code)
    assert "started_event raised ValueError: 3 is no step (test_replayed.py, line " in failed.error


def test_a_mistake_is_told_with_the_observers_own_line(tmp_path, monkeypatch):
    """What raises is often Python's library: its line says nothing of the observer."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_mine.py").write_text(
        "import json\n"
        "from sacred.observers import RunObserver\n"
        "class Careless(RunObserver):\n"
        "    def started_event(self, config):\n"
        "        json.dumps(object())\n"
    )
    root = JournalRoot(tmp_path / "runs")
    folder = root.claim()
    write_run(folder)
    try:
        status = follow(folder, "of_mine:Careless")[0]
    finally:
        sys.modules.pop("of_mine", None)
    assert "started_event raised TypeError" in status.error
    assert "(of_mine.py, line 5)" in status.error


def test_a_method_that_takes_less(root, calls):
    """EVT-01: an observer that was written after Sacred's documents is told what it takes."""
    folder = root.claim()
    write_run(folder)
    assert "current" == follow(folder, "of_a_test:Old")[0].state
    assert ["started_event", "artifact_event"] == calls.names()


def test_an_id_that_is_taken(root, calls):
    """Where the run's id is another's, the observer is asked to give one."""
    folder = root.claim()
    write_run(folder)
    calls.plan = [("started_event", FileExistsError("there is a run 1"))]
    assert "SAC-1" == follow(folder)[0].view_id
    assert [None] == [told["_id"] for told in calls.of("started_event")]
    folder = root.claim()
    write_run(folder)
    calls.plan = [("started_event", FileExistsError("no"))] * 2
    assert "behind" == follow(folder, patience=0.0)[0].state


KILLED = """
import os, sys
from sacred.observers import RunObserver
class Killed(RunObserver):
    def __getattribute__(self, name):
        if not name.endswith("_event") and name != "log_metrics":
            return object.__getattribute__(self, name)
        def tell(**arguments):
            about = arguments.get("name") or os.path.basename(arguments.get("filename", ""))
            about += repr({n: m["steps"] for n, m in arguments.get("metrics_by_name", {}).items()})
            with open(os.environ["TOLD"], "a+") as file:
                file.seek(0)
                number = len(file.readlines())
                if number == int(os.environ["KILL"]) and os.environ["WHEN"] == "before":
                    os._exit(9)
                taken_up = name == "started_event" and arguments["_id"] == "mine"
                file.write(("again" if taken_up else name + about) + chr(10))
                file.flush()
            if number == int(os.environ["KILL"]):
                os._exit(9)
            return "mine"
        return tell
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(6))
def test_a_kill_repeats_one_call_at_most(root, tmp_path, at, when):
    """Killed inside any call: nothing is left out, the call may come twice, no other does."""
    folder = root.claim()
    write_run(folder)
    (tmp_path / "killed.py").write_text(KILLED)
    told = tmp_path / "told"
    command = [sys.executable, "-m", "sacred.replayers", "once", str(folder.path)]
    for kill in (at, -1, -1):
        env = {**os.environ, "TOLD": str(told), "KILL": str(kill), "WHEN": when}
        done = subprocess.run(
            [*command, "--sink", "killed:Killed"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (9 if kill >= 0 else 0) == done.returncode, done.stderr
    lines = [line for line in told.read_text().splitlines() if line != "again"]
    names = [line.partition("_")[0] for line in dict.fromkeys(lines)]
    assert ["started", "artifact", "resource", "log", "heartbeat", "completed"] == names
    assert len(lines) <= 6 + (when == "after")


# -- how one is named ---------------------------------------------------------------------------------


def test_an_address(calls):
    """A module and a name in it, with arguments that are Python's values or text."""
    spec = parse_spec("of_a_test:Recorder?tag=lab%26co&token='x'")
    assert {"tag": "lab&co", "token": "x"} == spec.options["arguments"]
    assert "of_a_test:Recorder?tag=lab&co&token=***" == spec.name
    assert "observer" == spec.kind
    assert {"tag": 3} == parse_spec("of_a_test:Recorder?tag=3").options["arguments"]
    keys = {parse_spec(f"of_a_test:Recorder{more}").key for more in ("", "?tag=3", "?tag=4")}
    assert 3 == len(keys)
    assert SinkSpec.from_wire(json.loads(json.dumps(spec.to_wire()))) == spec
    assert parse_spec("observer:of_a_test:Recorder") == parse_spec("of_a_test:Recorder")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("of_a_test:Recorder?tga=3", "takes no argument 'tga': did you mean tag\\?"),
        ("of_a_test:Recorder?tag", "'tag' is no name with a value"),
        ("of_a_test:Recorder?tag=1&tag=2", "tag of the observer is given twice"),
        ("of_a_test:Recorde", "the module of_a_test has no Recorde. Did you mean Recorder\\?"),
        ("of_a_test:ready?tag=3", "is an observer, and no class: it takes no arguments"),
        ("of_a_test:Nothing", "is no observer: it has none of the methods that a run calls"),
        ("of_a_test:number", "is no observer"),
        ("of_a_tset:Recorder", "there is no view 'of_a_tset'.*Nor is there a Python module"),
        ("moongo:there", "there is no view 'moongo'. Did you mean mongo\\?"),
        ("json.nowhere:X", "there is no Python module json.nowhere: run sacred-replay where"),
        ("observer:", "an observer of your own is written --to package.module:MyObserver"),
    ],
)
def test_a_wrong_address_is_a_sentence(calls, address, says):
    """It says what to write, with exit status 2, before anything is told."""
    with pytest.raises((SinkSpecError, SinkMissingError), match=says) as caught:
        load_sink(parse_spec(address))
    assert 2 == caught.value.exit_code


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import nowhere_at_all", "the module broken needs nowhere_at_all, which is not installed"),
        ("1 / 0", "the module broken can not be imported: ZeroDivisionError"),
        ("import", "the module broken can not be imported: SyntaxError"),
        ("raise SystemExit(0)", "the module broken can not be imported: SystemExit"),
    ],
)
def test_a_module_that_can_not_be_imported(tmp_path, monkeypatch, program, says):
    """A module of the folder is found from there; what is wrong with it is one sentence."""
    (tmp_path / "broken.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SinkMissingError, match=says):
        load_sink(parse_spec("broken:X"))
    monkeypatch.delitem(sys.modules, "broken", raising=False)


def test_what_a_function_makes(root, calls):
    """A function makes an observer for each run; what it makes has to be one."""
    for _ in "ab":
        write_run(root.claim())
    assert 0 == replay(root, None, ["of_a_test:make?tag=LAB"]).exit_code
    assert ["LAB-1", "LAB-2"] == calls.given
    status, _ = follow(root.run(1), "of_a_test:makes_nothing")
    assert "failed" == status.state
    assert "3 is no observer" in status.error


def test_a_ready_observer_has_one_run_at_a_time(root, calls):
    """An object is told of one run after the other; another run waits, and a sentence says why."""
    for _ in "ab":
        write_run(root.claim(), ends=False)
    spec = parse_spec("of_a_test:ready")
    first = Follower(root.run(1), load_sink(spec), spec)
    first.run_once()
    status, _ = follow(root.run(2), spec, patience=0.0)
    assert "behind" == status.state
    assert "is one object and is told of another run" in status.error
    first.close()
    assert "current" == follow(root.run(2), spec)[0].state


def test_views_are_told_by_priority(root, calls):
    """OBS-01: of several the one with the higher priority is told first of each run."""
    for _ in "ab":
        write_run(root.claim())
    summary = replay(root, None, ["of_a_test:Recorder", "of_a_test:Urgent"])
    assert ["URGENT-1", "SAC-2", "URGENT-3", "SAC-4"] == calls.given
    assert 0 == summary.exit_code


def test_a_run_that_another_replayer_tells_of(root, calls):
    """It waits, and no other run does: its turn comes with the next replay."""
    for _ in "ab":
        write_run(root.claim(), ends=False)
    spec = parse_spec("of_a_test:Recorder")
    first = Follower(root.run(1), load_sink(spec), spec)
    first.run_once()
    summary = replay(root, None, [spec])
    assert ["behind", "current"] == [outcome.state for outcome in summary.outcomes]
    assert "another replayer tells of_a_test:Recorder of this run" in summary.outcomes[0].error
    first.close()
    assert 0 == replay(root, None, [spec]).exit_code


def test_what_was_told_can_be_told_anew(root, calls):
    """``--rebuild`` tells nothing twice; without the file beside the run it tells everything again."""
    folder = root.claim()
    write_run(folder)
    follow(folder)
    told = len(calls.told)
    follow(folder, rebuild=True)
    assert told == len(calls.told)
    (path,) = folder.views.glob(".*.told")
    path.unlink()
    assert "deleted" in follow(folder)[0].error
    follow(folder, rebuild=True)
    assert 2 * told == len(calls.told)


def test_a_torn_line_is_a_call_that_is_repeated(root, calls):
    """What a kill tore off at the end of the file is told again, and nothing else."""
    folder = root.claim()
    write_run(folder)
    follow(folder)
    told = len(calls.told)
    (path,) = folder.views.glob(".*.told")
    lines = path.read_bytes().splitlines(keepends=True)
    assert b"ended" in lines[-2]
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:9])
    follow(folder)
    names = calls.names()[told:]
    assert ["started_event", "completed_event", "join"] == [
        n for n in names if "log" not in n and "heart" not in n
    ]
    assert 1 == sum(bool(told["metrics_by_name"]) for told in calls.of("log_metrics"))


def test_a_folder_that_can_not_be_written(root, calls):
    """Where nothing can be remembered nothing is told, and a sentence says so."""
    folder = root.claim()
    write_run(folder)
    folder.views.write_text("a file in its place")
    status, _ = follow(folder)
    assert "failed" == status.state
    assert "told nothing, because it could not be remembered" in status.error
    assert [] == calls.told


def test_many_lines_are_written_anew(root, calls):
    """The file of a run with many beats stays small."""
    folder = root.claim()
    write_run(folder, ends=False)
    spec = parse_spec("of_a_test:Recorder")
    sink = load_sink(spec)
    sink.attend(folder)
    sink.open()
    sink.claim(RunKey("00000000000000ad", 1))
    for number in range(2000):
        sink._told.tell_beat(str(number), "")
    sink.close()
    (path,) = folder.views.glob(".*.told")
    assert len(path.read_text().splitlines()) < 600


LIVE = """
import sys, time
from pathlib import Path
from sacred import Experiment

ex = Experiment("live", save_git_info=False)

@ex.automain
def main(_run):
    told = Path("told")
    for step in range(3):
        _run.log_scalar("loss", 0.5, step)
        until = time.monotonic() + 60
        while f"loss {step}" not in (told.read_text() if told.exists() else ""):
            if time.monotonic() > until:
                sys.exit("nobody was told of it")
            time.sleep(0.05)
"""
LISTENER = """
from sacred.observers import RunObserver

class Listener(RunObserver):
    def started_event(self, ex_info, _id):
        self.tell("started", ex_info["sources"][0][0], bool(ex_info["dependencies"]))
    def log_metrics(self, metrics_by_name):
        for step in metrics_by_name.get("loss", {"steps": []})["steps"]:
            self.tell("loss", step)
    def completed_event(self):
        self.tell("completed")
    def join(self):
        self.tell("join")
    def tell(self, *words):
        with open("told", "a") as file:
            print(*words, file=file)
"""


def test_a_run_is_told_while_it_goes_on(tmp_path):
    """A program waits, point by point, until `sacred-replay --follow` told an observer of it; Ctrl-C ends that."""
    (tmp_path / "live.py").write_text(LIVE)
    (tmp_path / "listener.py").write_text(LISTENER)
    JournalRoot(tmp_path / "sacred_runs").claim()  # an empty one: the replayer may begin first
    command = [sys.executable, "-W", "ignore"]
    with subprocess.Popen(
        [*command, "-m", "sacred", "replay", "--to", "listener:Listener", "--follow"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as replayer:
        try:
            program = [*command, "live.py", "-b", "0.2"]
            subprocess.run(program, cwd=tmp_path, timeout=200, check=True, capture_output=True)
            for line in replayer.stdout:  # it says when it is done with the run
                if "run 2" in line and "being written" not in line:
                    break
        finally:
            replayer.send_signal(signal.SIGINT)
        assert 0 == replayer.wait(60)
    assert "up to date" in line
    lines = (tmp_path / "told").read_text().splitlines()
    assert ["started live.py True", "loss 0", "loss 1", "loss 2", "completed", "join"] == lines
