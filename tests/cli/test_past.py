"""``--at`` on tail, diff and plot: what they show of runs as they were."""

from __future__ import annotations

import json
import time

import pytest

from sacred.journal import EventType
from sacred.journal.spool import encode_record


@pytest.fixture
def printed(root):
    """Two runs that print a line before each of five points; the second ended with another result.

    Their events: start 0, then line and point by turns, so that line N is event 1 + 2 N.
    """
    for number in range(2):
        writer = root.writer()
        root.start(writer, number + 1, config={"lr": number})
        for step in range(5):
            writer.append_output(1, f"step {step}\n".encode())
            writer.flush()
            writer.append(EventType.METRIC_POINT, metric="loss", step=step, value=step / (number + 1))  # fmt: skip
        root.end(writer, result=number)
    return root


def test_tail_ends_at_the_moment(run_sacred, printed):
    """Lines and points that came later are not there; -f is about what comes."""
    assert run_sacred("tail", "1", "--at", "3").out == "step 0\nstep 1\n"
    assert run_sacred("tail", "1", "-n", "1", "--at", "6").out == "step 2\n"
    assert run_sacred("tail", "1", "--metrics", "--at", "4").out == "loss\t0\t0.0\nloss\t1\t1.0\n"
    assert run_sacred("tail", "1", "--at", "99").out == run_sacred("tail", "1").out
    done = run_sacred("tail", "-f", "1", "--at", "4")
    assert (done.code, done.out) == (2, "")
    assert "-f shows what comes, --at what was" in done.err


def test_tail_leaves_out_what_was_spooled_later(run_sacred, root):
    """What a killed run printed last, and only its spool has, was printed at its own time."""
    folder = root.died()
    second = 10**9
    (folder.journal / "w0000.spool").write_bytes(
        encode_record(1, root.START, b"soon\n")
        + encode_record(1, root.START + 60 * second, b"later\n")
    )
    # The run itself began when the test did; what is asked for is when its lines were.
    start = f"@{root.START // second}"
    assert "had not begun" in run_sacred("tail", folder.number, "--at", start).err
    assert run_sacred("tail", folder.number, "--at", "now").out == "soon\nlater\n"
    (folder.journal / "w0000.spool").write_bytes(
        encode_record(1, root.START, b"soon\n")
        + encode_record(1, time.time_ns() + 3600 * second, b"later\n")
    )
    assert run_sacred("tail", folder.number, "--at", "now").out == "soon\n"


def test_plot_draws_the_points_that_were_there(run_sacred, printed):
    """The curve ends at the moment; before the run there is none."""
    (curve,) = json.loads(run_sacred("plot", "1", "loss", "--at", "6", "--json").out)
    assert (curve["x"], curve["y"]) == ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    assert "loss" in run_sacred("plot", "1", "2", "loss", "--at", "8").out


def test_diff_compares_the_runs_as_they_were(run_sacred, printed):
    """Both are taken at the moment: their results had not come."""
    found = json.loads(run_sacred("diff", "1", "2", "--json").out)
    assert [change["key"] for change in found["run"]] == ["result"]
    found = json.loads(run_sacred("diff", "1", "2", "--json", "--at", "4").out)
    assert found["run"] == []
    (metric,) = found["metrics"]
    assert (metric["a"]["points"], metric["a"]["last"], metric["b"]["last"]) == (2, 1.0, 0.5)
    assert (found["a"]["status"], found["b"]["status"]) == ("RUNNING", "RUNNING")


@pytest.mark.parametrize("command", [["tail", "1"], ["plot", "1", "loss"], ["diff", "1", "2"]])
def test_a_run_that_had_not_begun(run_sacred, printed, command):
    """It is told in a sentence, and so is what is no moment."""
    done = run_sacred(*command, "--at", "2020-01-01")
    assert (done.code, done.out) == (2, "")
    assert "run 1 had not begun at 2020-01-01" in done.err
    done = run_sacred(*command, "--at", "yesterdayish")
    assert done.code == 2
    assert "is no moment" in done.err
