"""The examples run as their first lines say."""

from __future__ import annotations

import os
import re
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
        ("04_captured_functions.py", [], "Hello world!\nGoodbye world!\nHello world.\n"),
        (
            "04_captured_functions.py",
            ["with", "greeting=Ave", "times=0"],
            "Goodbye world!\nAve world.\n",
        ),
        ("05_my_commands.py", [], "20.0 C = 68.0 F\n"),
        ("05_my_commands.py", ["celsius", "with", "degrees=98.6"], "98.6 F = 37.0 C\n"),
        ("ingredient.py", ["with", "dice.sides=1", "rounds=2"], "4 of 4\n"),
        ("named_config.py", [], "2 layers of 32: 2048 weights, learned with rate 0.1\n"),
        (
            "named_config.py",
            ["with", "large", "width=300"],
            "8 layers of 300: 720000 weights, learned with rate 0.01\n",
        ),
        (
            "named_config.py",
            ["with", "large", "careful"],
            "8 layers of 256: 524288 weights, learned with rate 0.001\n",
        ),
        ("modular.py", [], "=== about digits ===\nloaded [0, 4, 6]\n=== done ===\n"),
        ("modular.py", ["with", "tiny", "verbose=False"], "loaded [0, 4, 4]\n"),
        ("docstrings.py", ["greet", "with", "loud=True"], "HELLO WORLD!\n"),
        ("options.py", ["--tag=first"], "working on 1 core, tag first\n"),
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


@pytest.mark.parametrize(
    ("script", "arguments", "shown"),
    [
        ("05_my_commands.py", ["table"], "100 C = 212.0 F\n"),
        ("05_my_commands.py", ["help", "celsius"], "Take the degrees for Fahrenheit"),
        ("ingredient.py", ["dice.odds", "with", "dice.coin"], "1 dice of 2 sides: 1 in 2\n"),
        ("docstrings.py", ["--help"], "Where the texts of"),
        ("docstrings.py", ["print_named_configs"], "As in a letter."),
        ("docstrings.py", ["print_config"], "# how it is said"),
        ("options.py", ["--help"], "Note a word with the run, to find it by."),
    ],
)
def test_what_only_looks(tmp_path, script, arguments, shown):
    """Commands that are unobserved, and help, say what they say and leave no run behind."""
    result = _run(tmp_path, script, *arguments)
    assert result.returncode == 0, result.stderr
    assert shown in result.stdout
    assert not (tmp_path / "sacred_runs").exists()


def test_randomness(tmp_path):
    """With one seed each function draws the same, also where a command calls them in another order."""
    first, again, other = (
        _run(tmp_path, "06_randomness.py", *words).stdout.splitlines()
        for words in (
            ["with", "seed=12345"],
            ["with", "seed=12345"],
            ["reverse", "with", "seed=12345"],
        )
    )
    assert first == again
    assert first[:3] == [other[1], other[0], other[2]]
    assert first[0] != first[2]
    assert first != _run(tmp_path, "06_randomness.py", "with", "seed=1").stdout.splitlines()


@pytest.mark.parametrize("script", ["07_magic.py", "08_less_magic.py"])
def test_magic_or_not(tmp_path, script):
    """Both forms of one experiment learn the slope that was asked for, and log the way there."""
    result = _run(tmp_path, script, "with", "slope=3", "model.epochs=200", "seed=1")
    assert result.returncode == 0, result.stderr
    events = _events(tmp_path)
    ended = next(e for e in events if e.type == EventType.RUN_ENDED)
    assert ended.fields["result"] == 3.0
    points = [e for e in events if e.type in {EventType.METRIC_POINT, EventType.METRIC_TABLE}]
    assert sum(event.count for event in points) == 200


def test_loggers(tmp_path):
    """A logger of one's own replaces Sacred's format, and ``-l`` sets its level."""
    said = _run(tmp_path, "log_example.py", "with", "kettle=0.2").stderr
    assert "kitchen.boil: 0.2 litres are too little for 4 cups (W)\n" in said
    assert "kitchen.tea: Result: 0 (I)\n" in said
    quiet = _run(tmp_path, "log_example.py", "-l", "ERROR").stderr
    assert quiet == ""


def test_captured_out_filter(tmp_path):
    """The progress of a counter is one line in the record, and all of it in the journal."""
    # Log lines come by another pipe: they may stand in the middle of a line that is printed slowly.
    words = ["-F", "my_runs", "-l", "ERROR", "with", "pause=0", "steps=3"]
    result = _run(tmp_path, "captured_out_filter.py", *words)
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "my_runs" / "1" / "cout.txt").read_text().splitlines()
    assert lines == ["step   3 of 3", "almost there there"]
    output = [e.fields["data"] for e in _events(tmp_path) if e.type == EventType.OUTPUT]
    assert b"step   1 of 3" in b"".join(output)


def test_report(tmp_path):
    """The template makes a page of the run, with what a page must not take literally escaped."""
    pytest.importorskip("mako")
    result = _run(tmp_path, "report/report.py", "with", "seed=7")
    assert result.returncode == 0, result.stderr
    report = (tmp_path / "my_runs" / "1" / "report.html").read_text()
    assert report.startswith("<!DOCTYPE html>")
    assert "<title>dice: COMPLETED</title>" in report
    assert "<tr><th>throws</th><td>12</td></tr>" in report
    assert "<li>report.py</li>" in report
    assert "thrown: {&#39;1&#39;:" in report


@pytest.mark.slow
def test_save_folder(tmp_path):
    """Twelve runs of one process: each has its folder, its picture and its points, over float steps."""
    pytest.importorskip("matplotlib")
    result = _run(tmp_path, "save_folder/run_multi_exp.py")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Running Sacred experiment for") == 12
    points = []
    for number in range(1, 13):
        assert (tmp_path / "results" / f"run_{number}" / "output_plot.png").stat().st_size > 1000
        events = _events(tmp_path, number)
        names = [e.fields["name"] for e in events if e.type == EventType.ARTIFACT_ADDED]
        assert names == ["output_plot.png"]
        kinds = {EventType.METRIC_POINT, EventType.METRIC_TABLE}
        points.append(sum(event.count for event in events if event.type in kinds))
    assert points == [100] * 5 + [5, 10, 100, 1000] + [100] * 3


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


def test_resume(tmp_path):
    """The training that kills itself goes on from its checkpoint, and learns what it would have."""
    assert _run(tmp_path, "resume.py", "with", "seed=3").returncode == 0
    died = _run(tmp_path, "resume.py", "with", "seed=3", "dies_in=5")
    assert died.returncode == -9
    result = _run(tmp_path, "resume.py", "--resume", "last")
    assert result.returncode == 0, result.stderr
    assert "DIED: going on with epoch 5\n" in result.stdout
    whole, stopped = (
        [e.fields["result"] for e in _events(tmp_path, number) if e.type == EventType.RUN_ENDED]
        for number in (1, 2)
    )
    assert whole == stopped


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


def test_a_plain_script(tmp_path):
    """A script with a command line of its own is recorded, as its first lines say."""
    for number, (degree, error) in enumerate([("2", "0.0000"), ("1", "0.9614")], 1):
        result = _run(tmp_path, "plain_script.py", "--degree", degree)
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"run {number}: error {error}\n"
        started = next(e for e in _events(tmp_path, number) if e.type == EventType.RUN_STARTED)
        assert started.fields["config"] == {"degree": int(degree), "rate": 0.3, "steps": 500}
        assert started.fields["name"] == "parabola"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook(tmp_path, monkeypatch):
    """A real kernel runs every cell of the notebook; each shows what it says, each run is recorded."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    shown = [
        "".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.get("outputs", ())
        )
        for cell in notebook.cells
    ]
    assert "weight 2.635" in shown[4]
    assert "weight 3.000" in shown[5]
    assert ["notebook", "notebook", "cells"] == re.findall(
        "COMPLETED.*?(notebook|cells)", shown[-2]
    )
    assert re.search(r"cells.* 16\r?\n", shown[-2])
    assert re.search(r"cells\s+square\s+5\s+16", shown[-1]), shown[-1]
    sources = [e.fields for e in _events(tmp_path, 2) if e.type == EventType.SOURCE_ADDED]
    assert ["notebook.cells.py"] == [fields["filename"] for fields in sources]


def test_sampling(tmp_path):
    """The metrics of the machine stand beside those of the program."""
    result = _run(tmp_path, "sampling.py", "with", "numbers=1000")
    assert result.returncode == 0, result.stderr
    events = _events(tmp_path)
    declared = {e.fields["metric"] for e in events if e.type == EventType.METRIC_DECLARED}
    assert {"system.cpu", "system.memory", "system.run.cpu", "system.run.memory"} <= declared
    ended = next(e for e in events if e.type == EventType.RUN_ENDED)
    assert ended.fields["result"] == 2 * sum(range(1000))


def test_workers(tmp_path):
    """Four tasks in processes of their own: their metrics and prints are in the one run."""
    result = _run(tmp_path, "workers.py", "with", "steps=20")
    assert result.returncode == 0, result.stderr
    events = _events(tmp_path)
    points = [e.fields for e in events if e.type == EventType.METRIC_POINT]
    assert {f"height {task}" for task in range(4)} == {point["metric"] for point in points}
    assert 80 == len(points)
    output = b"".join(e.fields["data"] for e in events if e.type == EventType.OUTPUT).decode()
    assert 4 == output.count("ended at")
