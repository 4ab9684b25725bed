"""`sacred rerun`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sacred.analysis.queries import query
from sacred.analysis.repetition import compare_repetition
from sacred.journal import JournalRoot

_SAME = """
from sacred import Experiment

ex = Experiment("same")


@ex.config
def config():
    lr = 0.1
    steps = 5


@ex.automain
def main(lr, steps, _run, _rnd):
    value = 1.0
    for step in range(steps):
        value *= 1 - lr * _rnd.random()
        _run.log_scalar("loss", value, step)
    return value
"""

_OTHER = """
import os, random
from sacred import Experiment

ex = Experiment("other")


@ex.automain
def main(_run):
    for step in range(20):
        _run.log_scalar("noise", random.SystemRandom().random() if step > 9 else 0.5, 10 * step)
        _run.log_scalar("calm", step / 3, step)
    with open("out.bin", "wb") as file:
        file.write(os.urandom(8))
    _run.add_artifact("out.bin")
    return os.environ.get("GIVES")
"""


@pytest.fixture
def program(tmp_path):
    """Write a program and run it."""

    def write(text, *words):
        path = tmp_path / "program.py"
        path.write_text(text)
        command = [sys.executable, str(path), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return path

    return write


def test_the_same_again(program, run_sacred, tmp_path):
    """Same sources, configuration and seed: a new run, linked to the old, and all is the same."""
    program(_SAME, "with", "lr=0.3", "seed=7").write_text("raise SystemExit('changed since')")
    done = run_sacred("rerun", "1")
    assert 0 == done.code, done.err
    assert "run 2 repeats run 1: the same, bit for bit" in done.out
    assert "metrics that are the same: loss" in done.out
    root = JournalRoot(tmp_path / "sacred_runs")
    sql = "select b.run, a.run from runs a join runs b on b.rerun_of = a.journal_id"
    assert [(2, 1)] == query(sql, root).rows
    sql = "select run, value from config where key in ('lr', 'seed') order by 1, key"
    assert [(1, "0.3"), (1, "7"), (2, "0.3"), (2, "7")] == query(sql, root).rows
    record = json.loads(run_sacred("show", "2", "--json").out)
    assert ("COMPLETED", 1) == (record["status"], record["meta"]["rerun_of"]["run"])
    assert "repeats   run 1\n" in run_sacred("show", "2").out
    assert "linked" in {row[0] for row in query("select type from events where run = 2", root).rows}
    assert "run 3 repeats run 2: the same" in run_sacred("rerun", "last").out
    assert 0 == run_sacred("verify", "--all").code


def test_what_came_out_different(program, run_sacred, tmp_path):
    """Metrics point by point, artifacts by content, the outcome; exit code of the program."""
    program(_OTHER)
    done = run_sacred("rerun", "1", "--json", env={"GIVES": "1"})
    assert 0 == done.code
    report = json.loads(done.out.splitlines()[-1])
    assert (1, 2, False) == (report["run"], report["again"], report["same"])
    assert [("result", None, "1")] == [tuple(d.values()) for d in report["outcome"]]
    metrics = {metric["name"]: metric for metric in report["metrics"]}
    assert (True, False) == (metrics["calm"]["same"], metrics["noise"]["same"])
    assert (100, 20, 20) == tuple(
        metrics["noise"][name] for name in ("step", "points_before", "points_now")
    )
    assert ["out.bin"] == [each["name"] for each in report["artifacts"]]
    assert ([], []) == (report["config"], report["dependencies"])
    text = run_sacred("rerun", "1").out
    assert "run 3 repeats run 1: it came out different" in text
    assert "metric noise: 20 points; first at step 100: " in text
    assert "artifacts out.bin: content " in text


def test_runs_of_other_lengths(root, tmp_path):
    """The first place where one has ended, values of every type, and NaN that is NaN again."""
    folders = []
    for values in ([1, 2.0, float("nan"), "x"], [1, 2, float("nan"), "x", 1 << 60]):
        writer = root.writer()
        root.start(writer, root.last.number)
        for step, value in enumerate(values):
            writer.log_point("m", step, value)
            writer.log_point("n", step, values[0])
            writer.log_point("long", 1 << 60, values[2])
        root.end(writer)
        folders.append(root.last)
    found = compare_repetition(*folders)
    by = {metric.name: metric for metric in found.metrics}
    assert (1, 2.0, 2) == by["m"][3:6]
    assert (4, None, 1, 4, 5) == (*by["n"][3:6], *by["n"][1:3])
    assert (1 << 60, None) == by["long"][3:5]
    assert compare_repetition(folders[0], folders[0]).is_same


def test_what_can_not_be_run_again(root, program, run_sacred, tmp_path):
    """A sentence and exit code 2, before anything is made."""
    program(_SAME)
    path = tmp_path / "program.py"
    command = [sys.executable, str(path), "--queue"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=True)
    done = run_sacred("rerun", "2")
    assert (2, True) == (done.code, "sacred run 2 runs it" in done.err)
    done = run_sacred("rerun", "77")
    assert (2, True) == (done.code, "there is no run 77" in done.err)
    for blob in (tmp_path / "sacred_runs" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    done = run_sacred("rerun", "1")
    assert (1, True) == (done.code, "its source program.py is not there any more" in done.err)
    assert [1, 2] == JournalRoot(tmp_path / "sacred_runs").numbers()


def test_one_that_does_not_begin(program, run_sacred, tmp_path):
    """A wrong option: the queued run goes into the trash, and it is said."""
    program(_SAME)
    done = run_sacred("rerun", "1", "-C", "nonsense")
    assert (2, True) == (done.code, "run 2 did not begin, and is in the trash" in done.err)
    assert [1] == JournalRoot(tmp_path / "sacred_runs").numbers()


def test_a_package_that_is_missing(root, run_sacred):
    """It is named, and --force tries without it."""
    from sacred.journal import EventType

    writer = root.writer()
    root.start(writer, 1)
    writer.append(EventType.DEPENDENCIES_FOUND, dependencies=["no-such-package==1.0"])
    root.end(writer)
    done = run_sacred("rerun", "1")
    assert (2, True) == (done.code, "no-such-package==1.0" in done.err)
    assert [1] == root.journals.numbers()
