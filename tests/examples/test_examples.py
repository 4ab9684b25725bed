"""The examples run as their first lines say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot
from sacred.journal.verification import verify

EXAMPLES = Path(os.environ.get("SACRED_TEST_EXAMPLES", Path(__file__).parents[2] / "examples"))


def _run(folder, script, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )


def _events(folder, number=1):
    run = JournalRoot(folder / "sacred_runs").run(number)
    assert verify(run).clean
    return list(JournalReader(run.journal).read())


@pytest.mark.parametrize(
    ("script", "arguments", "printed"),
    [
        ("01_hello_world.py", [], "Hello world!\n"),
        ("02_hello_config_dict.py", [], "Hello world!\n"),
        ("02_hello_config_dict.py", ["with", "message=Ciao world!"], "Ciao world!\n"),
        ("03_hello_config_scope.py", [], "Hello world!\n"),
        ("03_hello_config_scope.py", ["with", "recipient=that is cool"], "Hello that is cool!\n"),
        ("03_hello_config_scope.py", ["with", "message=Hi, I was changed"], "Hi, I was changed\n"),
    ],
)
def test_hello(tmp_path, script, arguments, printed):
    """The hello-world examples print what they say, and their journals have it."""
    result = _run(tmp_path, script, *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout == printed
    events = _events(tmp_path)
    output = b"".join(e.fields["data"] for e in events if e.type == EventType.OUTPUT)
    assert printed.encode() in output
    assert [e.fields["status"] for e in events if e.type == EventType.RUN_ENDED] == ["COMPLETED"]


def test_print_config_writes_nothing(tmp_path):
    """`print_config` shows the configuration and leaves no run behind."""
    result = _run(tmp_path, "03_hello_config_scope.py", "print_config", "with", "recipient=you")
    assert result.returncode == 0, result.stderr
    assert "message = 'Hello you!'" in result.stdout
    assert not (tmp_path / "sacred_runs").exists()


def test_iris(tmp_path):
    """The iris example is reproducible by its seed and good at its task."""
    pytest.importorskip("sklearn")
    for number in (1, 2):
        result = _run(tmp_path, "iris_rbf_svm.py", "with", "seed=7")
        assert result.returncode == 0, result.stderr
        ended = [e for e in _events(tmp_path, number) if e.type == EventType.RUN_ENDED]
        results = ended[0].fields["result"]
        if number == 1:
            first = results
    assert results == first
    assert results > 0.9


def test_digits(tmp_path):
    """The digits training leaves metrics, output, an artifact, a resource and its sources."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    result = _run(tmp_path, "digits.py", "with", "wide", "epochs=3", "data.noise=0.05")
    assert result.returncode == 0, result.stderr
    events = _events(tmp_path)
    names = set()
    points = 0
    for event in events:
        if event.type == EventType.METRIC_POINT:
            names.add(event.fields["metric"])
            points += 1
        elif event.type == EventType.METRIC_TABLE:
            names |= set(event.fields["table"].metrics)
            points += event.fields["table"].rows
    assert names == {"train.loss", "test.loss", "test.accuracy"}
    assert points == 9
    started = next(e for e in events if e.type == EventType.RUN_STARTED)
    assert started.fields["config"]["hidden"] == [128, 64]
    assert started.fields["config"]["data"]["noise"] == 0.05
    artifacts = [e.fields["name"] for e in events if e.type == EventType.ARTIFACT_ADDED]
    assert artifacts == ["confusion.png"]
    resources = [e.fields["filename"] for e in events if e.type == EventType.RESOURCE_ADDED]
    assert [os.path.basename(name) for name in resources] == ["digits_classes.txt"]
    sources = {e.fields["filename"] for e in events if e.type == EventType.SOURCE_ADDED}
    assert {"digits.py", "digits_data.py"} <= sources


@pytest.mark.slow
def test_demo(tmp_path):
    """The demo shows a completed and a died run, with the points of both, and answers its query."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    result = _run(tmp_path, "demo.py", str(tmp_path / "demo"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "COMPLETED" in result.stdout
    assert "DIED" in result.stdout
    assert "best_of_8" in result.stdout
    assert (tmp_path / "demo" / "my_runs" / "2" / "metrics.json").exists()


def test_a_journal_alone(tmp_path):
    """A journal is written and followed without any experiment, and read into arrays."""
    pytest.importorskip("numpy")
    result = _run(tmp_path, "journal_alone.py")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "following temperatures/journal"
    assert lines[1:7] == [
        f"sensor {sensor} is at {20.0 + hour + sensor / 2} degrees"
        for hour in range(3)
        for sensor in range(2)
    ]
    assert lines[7:] == [
        "the writer is gone; 6 points were read, and nothing is wrong with the journal",
        "sensor 0: mean 21.0",
        "sensor 1: mean 21.5",
    ]
