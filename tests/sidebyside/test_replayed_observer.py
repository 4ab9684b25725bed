"""An observer that is told from a journal, beside one that Sacred 0.8.7 calls in the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_PEER = os.environ.get("SACRED_PEER_PYTHON")
PROGRAM = Path(__file__).with_name("observed.py")
PROJECT = Path(__file__).parents[2]


def _run(python, folder, *words, ours):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if ours:
        env["PYTHONPATH"] = str(PROJECT)
    done = subprocess.run(
        [python, "-W", "ignore", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def _notes(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _normal(notes):
    """What was told, without what has to differ; see docs/differences.md and docs/views.md."""
    found = []
    for event, arguments in notes:
        told = dict(arguments)
        told.pop("_id", None)  # a number here, None with Sacred
        if "ex_info" in told:
            told["ex_info"] = _without(told["ex_info"], "dependencies", "doc")  # has more here
        if "host_info" in told:  # has more here, and the peer may run on another Python
            told["host_info"] = _only(told["host_info"], ("hostname", "os", "cpu", "ENV"))
        if "meta_info" in told:  # options that Sacred does not have
            options = ("--color", "--gcs", "--journal", "--resume")
            told["meta_info"] = [
                "dict",
                [
                    [key, _without(value, *options) if key == ["str", "options"] else value]
                    for key, value in told["meta_info"][1]
                ],
            ]
        if "fail_trace" in told:  # the lines between are each package's own
            lines = told["fail_trace"][1]
            told["fail_trace"] = [told["fail_trace"][0], [lines[0], lines[-1]]]
        found.append([event, told])
    return found


def _without(described, *names):
    return ["dict", [pair for pair in described[1] if pair[0][1] not in names]]


def _only(described, names):
    return ["dict", [pair for pair in described[1] if pair[0][1] in names]]


@pytest.mark.skipif(_PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
@pytest.mark.parametrize("what", ["complete", "fail", "interrupt", "queue"])
def test_told_later_as_in_the_run(tmp_path, what):
    """EVT-02, EVT-08, EVT-10: the same program under Sacred, here, and here told from its journal: the same events in the same order with the same arguments and types."""
    (tmp_path / "observed.py").write_text(PROGRAM.read_text(encoding="utf-8"), encoding="utf-8")
    _run(_PEER, tmp_path, "observed.py", what, "theirs", ours=False)
    _run(sys.executable, tmp_path, "observed.py", what, "called", ours=True)
    address = "observed:Notes?file=told"
    _run(sys.executable, tmp_path, "-m", "sacred", "replay", "--to", address, "1", ours=True)
    theirs, called, told = (
        _normal(_notes(tmp_path / name)) for name in ("theirs", "called", "told")
    )
    if what == "queue":  # who lets an observer go tells it that nothing more comes
        assert ["join", {}] == told.pop()
    assert [event for event, _ in theirs] == [event for event, _ in told]
    assert called == told
    if what in ("fail", "interrupt"):  # where Sacred's last heartbeat has no output
        for notes in (theirs, told):
            for _, arguments in notes:
                arguments.pop("captured_out", None)
    assert theirs == told
    if what == "complete":
        ids = [arguments.get("_id") for _, arguments in _notes(tmp_path / "told")]
        assert ["int", 1] == ids[0]
