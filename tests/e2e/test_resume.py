"""The training of examples/resume.py, killed and gone on with, until it is through.

Nothing of it may be told from one that was never killed but that it stopped: the same numbers, one
run, and views that equal the journal.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sacred.journal import RunFolder

EXAMPLES = Path(os.environ.get("SACRED_TEST_EXAMPLES", Path(__file__).parents[2] / "examples"))
PATIENCE = 60.0
SETTING = ("with", "epochs=40", "pause=0.02", "seed=11")


class Lab:
    """One folder in which the training is started, killed and gone on with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = JournalRoot(folder / "sacred_runs")
        self.started: list[subprocess.Popen[bytes]] = []

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def train(self, *words: str) -> subprocess.Popen[bytes]:
        return self.begin(str(EXAMPLES / "resume.py"), *words)

    def ends(self, process: subprocess.Popen[bytes], status: int = 0) -> None:
        assert status == process.wait(PATIENCE), (self.folder / "log.txt").read_text()

    def points(self, number: int = 1) -> list[Any]:
        try:
            events = list(JournalReader(self.root.run(number).journal).read())
        except Exception:  # noqa: BLE001 - it has not begun yet
            return []
        return [e.fields["step"] for e in events if e.type == EventType.METRIC_POINT]

    def kill_at(self, process: subprocess.Popen[bytes], step: int) -> None:
        """Kill it as the kernel would, as soon as it has logged a step."""
        deadline = time.monotonic() + PATIENCE
        while step not in self.points():
            assert process.poll() is None, (self.folder / "log.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)

    def result(self, number: int) -> Any:
        events = JournalReader(self.root.run(number).journal).read()
        return [e.fields["result"] for e in events if e.type == EventType.RUN_ENDED]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for process in lab.started:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE)


def _check_in_files(folder: Path, journalled: Any) -> dict[str, Any]:
    """Compare a run's folder of files with its journal; return ``run.json``."""
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    for name, points in journalled.metrics.items():
        assert metrics[name]["steps"] == [step for step, _ in points]
        assert metrics[name]["values"] == [value for _, value in points]
    assert list(metrics) == list(journalled.metrics)
    assert journalled.output == (folder / "cout.txt").read_bytes()
    assert journalled.artifacts == record["artifacts"]
    assert journalled.started["config"] == json.loads((folder / "config.json").read_text())
    return record


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_twice(lab: Lab, journalled: Callable[[RunFolder], Any]) -> None:
    """After two kills the run has the result and the points of one that nobody killed, in one view."""
    lab.kill_at(lab.train("-F", "runs", *SETTING), 8)
    lab.kill_at(lab.train("--resume", "last"), 20)
    lab.ends(lab.begin("-m", "sacred", "run", "1", "--resume"))
    lab.ends(lab.train(*SETTING))

    folder = lab.root.run(1)
    assert verify(folder).clean
    assert lab.result(1) == lab.result(2)
    found = journalled(folder)
    points = dict(found.metrics["loss"])
    assert dict(journalled(lab.root.run(2)).metrics["loss"]) == points
    assert list(range(40)) == sorted(points)
    assert 2 == found.output.count(b"DIED: going on with epoch")

    record = _check_in_files(lab.folder / "runs" / "1", found)
    assert "COMPLETED" == record["status"]
    started = next(
        e for e in JournalReader(folder.journal).read() if e.type == EventType.RUN_STARTED
    )
    began = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=started.time // 1000)
    assert dt.datetime.fromisoformat(record["start_time"]) == began
    assert "fail_trace" not in record
    assert ["1", "_sources"] == sorted(os.listdir(lab.folder / "runs"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_view_of_the_dead_run(
    lab: Lab, journalled: Callable[[RunFolder], Any], replay: Callable[..., Any]
) -> None:
    """A view that has a dead run, its last output too, and the sealed journal, go on as one."""
    lab.kill_at(lab.train("-C", "fd", *SETTING), 5)
    replay("--to", "file:replayed")
    dead = json.loads((lab.folder / "replayed" / "1" / "run.json").read_text())
    assert "RUNNING" == dead["status"]
    lab.ends(lab.begin("-m", "sacred", "seal", "1"))
    lab.kill_at(lab.train("--resume", "last"), 12)
    replay("--to", "file:replayed")
    lab.ends(lab.train("-R", "1"))
    replay("--to", "file:replayed")
    found = journalled(lab.root.run(1))
    for place in ("replayed", "anew"):
        replay("--to", f"file:{place}")
        record = _check_in_files(lab.folder / place / "1", found)
        assert "COMPLETED" == record["status"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_two_that_go_on_at_once(lab: Lab) -> None:
    """Of two that go on with a dead run at once one does, and the other is told, with status 2."""
    lab.kill_at(lab.train(*SETTING), 5)
    both = [lab.train("--resume", "1"), lab.begin("-m", "sacred", "run", "1", "--resume")]
    assert [0, 2] == sorted(process.wait(PATIENCE) for process in both)
    events = list(JournalReader(lab.root.run(1).journal).read())
    assert 1 == len([e for e in events if e.type == EventType.RUN_RESUMED])
    assert verify(lab.root.run(1)).clean
    said = (lab.folder / "log.txt").read_text()
    assert any(why in said for why in ("run 1 is running", "goes on with", "is COMPLETED"))


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_in_mongo(
    lab: Lab, check_mongo: Callable[..., Any], mongo_server: Any, mongo_db: Any
) -> None:
    """The document is QUEUED, then RUNNING, and after kills it is complete, under the same `_id`."""
    address = f"{mongo_server.url.rstrip('/')}/{mongo_db.name}"
    lab.ends(lab.train("-q", "-m", address, *SETTING))
    assert "QUEUED" == mongo_db.runs.find_one({"_id": 1})["status"]
    process = lab.begin("-m", "sacred", "run", "1")
    deadline = time.monotonic() + PATIENCE
    while 5 not in lab.points():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (started,) = [
        e for e in JournalReader(lab.root.run(1).journal).read() if e.type == EventType.RUN_STARTED
    ]
    assert started.fields["run_id"] == 1
    pid = next(
        identity["pid"]
        for (_, epoch), identity in _identities(lab.root.run(1)).items()
        if epoch == 2
    )
    os.kill(pid, signal.SIGKILL)
    assert 128 + signal.SIGKILL == process.wait(PATIENCE)
    lab.kill_at(lab.train("--resume", "last"), 20)
    lab.ends(lab.train("--resume", "last"))
    document = check_mongo(mongo_db, 1, lab.root.run(1))
    assert "COMPLETED" == document["status"]
    assert "fail_trace" not in document
    assert 1 == mongo_db.runs.count_documents({})


def _identities(folder: RunFolder) -> dict[tuple[int, int], dict[str, Any]]:
    reader = JournalReader(folder.journal)
    list(reader.read())
    reader.close()
    return reader.identities
