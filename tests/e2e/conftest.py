"""What the end-to-end tests share: a real training as a process, and the contract of Mongo's clients."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot, RunFolder
from sacred.journal.errors import RunNotFoundError
from sacred.journal.spool import read_spool

EXAMPLES = Path(os.environ.get("SACRED_TEST_EXAMPLES", Path(__file__).parents[2] / "examples"))
PATIENCE = 60.0


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first true answer of ``condition``, asked again and again for a bounded time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"after {seconds} s still not so: {what}")


class Journalled:
    """What a run's journal says, found by plain reading: the measure for every view."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.metrics: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self.output = b""
        self.started: dict[str, Any] = {}
        self.ended: dict[str, Any] = {}
        self.artifacts: list[str] = []
        reader = JournalReader(folder.journal)
        spool_end = 0
        for event in reader.read(order="time"):
            if event.type == EventType.METRIC_POINT:
                fields = event.fields
                self.metrics[fields["metric"]].append((fields["step"], fields["value"]))
            elif event.type == EventType.METRIC_TABLE:
                table = event.fields["table"]
                for name, step, value in zip(table.names(), table.steps, table.values, strict=True):
                    self.metrics[name].append((step, value))
            elif event.type == EventType.OUTPUT:
                self.output += event.fields["data"]
                spool_end = event.fields.get("end") or spool_end
            elif event.type == EventType.RUN_STARTED:
                self.started = event.fields
            elif event.type == EventType.RUN_ENDED:
                self.ended = event.fields
            elif event.type == EventType.ARTIFACT_ADDED:
                self.artifacts.append(event.fields["name"])
        # What a killed run left in its spool is the end of its output (R8).
        spool = read_spool(folder.journal / "w0000.spool", spool_end)
        self.output += b"".join(chunk.data for chunk in spool.chunks)
        self.journal_id = f"{reader.journal_id:016x}"
        self.verdicts = reader.verdicts


class Training:
    """The digits example as a process of its own, in a root of its own."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None):
        self.root = JournalRoot(folder / "sacred_runs")
        self.known = set(self.root.numbers()) if self.root.exists() else set()
        self.log = folder / f"training-{len(self.known)}.log"
        command = [sys.executable, "-W", "ignore", str(EXAMPLES / "digits.py"), *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MPLBACKEND": "Agg", **(environment or {})},
            )

    def output(self) -> str:
        """Return what it printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Wait for its end and return its exit status."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the training did not end:\n{self.output()}") from None

    def completed(self) -> RunFolder:
        """Wait for its end, which has to be a good one, and return the run's folder."""
        status = self.wait()
        assert status == 0, self.output()
        return self.folder()

    def folder(self) -> RunFolder:
        """Return the run's folder, waiting for it."""

        def found() -> RunFolder | None:
            new = (set(self.root.numbers()) if self.root.exists() else set()) - self.known
            try:
                return self.root.run(max(new)) if new else None
            except RunNotFoundError:  # its number is claimed, its journal about to be made
                return None

        return wait_until(found, "the run has a folder")  # type: ignore[no-any-return]

    def wait_for_points(self, count: int) -> RunFolder:
        """Wait until the journal holds so many metric points."""
        folder = self.folder()

        def enough() -> bool:
            try:
                events = list(JournalReader(folder.journal).read())
            except Exception:  # noqa: BLE001 - it has not begun yet
                return False
            return sum(e.count for e in events if e.name.startswith("metric_")) >= count

        wait_until(enough, f"{count} points are in the journal:\n{self.output()}")
        return folder

    def kill(self) -> None:
        """Kill it as the kernel would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[..., Training]]:
    """Start trainings in one folder; whatever still runs at the end is killed."""
    started: list[Training] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Training:
        training = Training(tmp_path, *arguments, environment=environment)
        started.append(training)
        return training

    yield start
    for training in started:
        if training.process.poll() is None:
            training.kill()


@pytest.fixture
def replay(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``sacred-replay`` in the folder of the trainings and return what it did."""

    def run(*arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        program = "import sys; from sacred.cli import replay_main; sys.exit(replay_main())"
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert expect is None or result.returncode == expect, result.stdout + result.stderr
        return result

    return run


def _replayers_of(root: Path) -> list[int]:
    """Return the process ids of the replayers that know a root."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            line = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode()
            logs = [os.readlink(f"/proc/{name}/fd/2")]
        except (OSError, UnicodeDecodeError):
            continue
        if "sacred.replayers" in line and any(log.startswith(str(root)) for log in logs):
            found.append(int(name))
    return found


@pytest.fixture(autouse=True)
def replayers(tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """Find the replayer processes of this test's root; kill what is left of them at the end."""
    yield lambda: _replayers_of(tmp_path)
    for pid in _replayers_of(tmp_path):
        os.kill(pid, signal.SIGKILL)


def check_run_in_mongo(database: Any, run_id: Any, folder: RunFolder) -> dict[str, Any]:
    """Check a run's documents against its journal and against what the clients read.

    Field by field and type by type; returns the run document.
    """
    import gridfs
    from bson import ObjectId

    journal = Journalled(folder)
    files = gridfs.GridFS(database)
    document = database.runs.find_one({"_id": run_id})
    assert document is not None, f"no run {run_id} in {database.name}"
    assert type(document["_id"]) is int
    assert document["format"] == "MongoObserver-0.7.0"
    assert document["command"] == journal.started["command"]
    assert document["experiment"]["name"] == journal.started["name"]
    for field in ("start_time", "heartbeat"):
        assert type(document[field]) is dt.datetime, field
        assert document[field].tzinfo is None, field
    assert isinstance(document["host"]["hostname"], str)
    assert isinstance(document["experiment"]["base_dir"], str)
    assert isinstance(document["experiment"]["mainfile"], str)
    assert all(isinstance(item, str) for item in document["experiment"]["dependencies"])
    assert document["experiment"]["sources"], "the main function's file at least"
    for name, file_id in document["experiment"]["sources"]:
        assert type(file_id) is ObjectId
        stored = files.get(file_id)
        path = os.path.join(document["experiment"]["base_dir"], name)
        assert stored.filename == path
        assert stored.read() == Path(path).read_bytes()
    assert document["config"] == journal.started["config"]
    assert type(document["config"]["seed"]) is int
    assert isinstance(document["info"], dict)
    assert isinstance(document["meta"], dict)
    assert isinstance(document["captured_out"], str)
    assert document["captured_out"].encode() == journal.output
    assert [artifact["name"] for artifact in document["artifacts"]] == journal.artifacts
    for artifact in document["artifacts"]:
        assert type(artifact["file_id"]) is ObjectId
        stored = files.get(artifact["file_id"])
        assert stored.filename == f"artifact://runs/{run_id}/{artifact['name']}"
        assert stored.read()
    for path, digest in document["resources"]:
        assert isinstance(path, str)
        assert len(digest) == 32

    references = {entry["name"]: entry["id"] for entry in document["info"].get("metrics", [])}
    assert sorted(references) == sorted(journal.metrics)
    assert database.metrics.count_documents({"run_id": run_id}) == len(journal.metrics)
    for name, points in journal.metrics.items():
        metric = database.metrics.find_one({"run_id": run_id, "name": name})
        assert type(metric["_id"]) is ObjectId
        assert references[name] == str(metric["_id"])
        assert metric["steps"] == [step for step, _ in points]
        assert metric["values"] == [value for _, value in points]
        assert {type(step) for step in metric["steps"]} <= {int}
        assert {type(value) for value in metric["values"]} <= {float}
        assert len(metric["timestamps"]) == len(points)
        assert all(type(time) is dt.datetime for time in metric["timestamps"])

    if journal.ended:
        assert document["status"] == journal.ended["status"]
        assert document["result"] == journal.ended.get("result")
        assert type(document["stop_time"]) is dt.datetime
    else:
        assert document["status"] == "RUNNING"
        assert document.get("stop_time") is None
    if document["status"] == "FAILED":
        assert all(isinstance(line, str) for line in document["fail_trace"])
    return document  # type: ignore[no-any-return]


@pytest.fixture
def check_mongo() -> Callable[[Any, Any, RunFolder], dict[str, Any]]:
    """Give the tests ``check_run_in_mongo``."""
    return check_run_in_mongo


@pytest.fixture
def journalled() -> Callable[[RunFolder], Journalled]:
    """Give the tests what a journal says."""
    return Journalled


@pytest.fixture
def until() -> Callable[..., Any]:
    """Give the tests ``wait_until``."""
    return wait_until
