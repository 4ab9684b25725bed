"""The id of a run with a file view, from the command line to the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from sacred.journal.root import JournalRoot

SCRIPT = textwrap.dedent(
    """
    import os
    from sacred import Experiment

    ex = Experiment("ids", save_git_info=False)

    @ex.config
    def config():
        name = None

    @ex.automain
    def main(_run, name):
        print("id", repr(_run._id), os.path.isdir(os.path.join("runs", _run._id)))
        if name is not None:
            if name == "pipe":
                os.mkfifo("pipe")
                _run.add_artifact("pipe")
            _run.add_artifact(__file__, name=name)
    """
)


@pytest.fixture
def run(tmp_path):
    """Run the script with some arguments."""
    (tmp_path / "ids.py").write_text(SCRIPT, encoding="utf-8")

    def start(*arguments):
        return subprocess.run(
            [sys.executable, "ids.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return start


@pytest.mark.parametrize("given", ["abc", "007", "12", None])
def test_the_id_is_the_name_of_the_folder(tmp_path, run, given):
    """OBS-03: `-F runs --id abc` is runs/abc, and _run._id the text 'abc'; without --id it is '1'."""
    result = run("-F", "runs", *(["--id", given] if given else []))
    assert result.returncode == 0, result.stderr
    shown = given or "1"
    assert f"id '{shown}' True\n" in result.stdout
    assert f'Started run with ID "{shown}"' in result.stderr
    record = json.loads((tmp_path / "runs" / shown / "run.json").read_text())
    assert record["status"] == "COMPLETED"
    listed = subprocess.run(
        [sys.executable, "-m", "sacred", "show", f"id:{shown}", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert str(json.loads(listed.stdout)["id"]) == shown


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("abc", "There is a run with the id abc in "),
        ("_sources", "can not be the name of a run's folder"),
    ],
)
def test_an_id_that_can_not_be(tmp_path, run, given, says):
    """R14: a sentence as for a run of the root; nothing is journalled, no folder is made."""
    os.makedirs(tmp_path / "runs" / "abc")
    result = run("-F", "runs", "--id", given)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()[-1:]
    assert line.startswith("Error: ")
    assert says in line
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path / "runs") == ["abc"]
    assert JournalRoot(tmp_path / "sacred_runs").numbers() == []


def test_an_artifact_of_a_name_that_is_taken(tmp_path, run):
    """FSO-06: it is in the tree under another name, and said."""
    result = run("-F", "runs", "with", "name=run.json")
    assert result.returncode == 0, result.stderr
    (name,) = json.loads((tmp_path / "runs" / "1" / "run.json").read_text())["artifacts"]
    assert (tmp_path / "runs" / "1" / name).read_text() == SCRIPT
    assert result.stderr.count(f"The artifact 'run.json' is stored as '{name}'") == 1


def test_a_pipe_as_artifact(tmp_path, run):
    """It does not block: the line of the user's script and a sentence are shown."""
    result = run("-F", "runs", "with", "name=pipe")
    assert result.returncode == 1
    assert 'ids.py", line 17, in main' in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert f"{tmp_path / 'pipe'} can not be added as artifact: it is a pipe" in last
    assert json.loads((tmp_path / "runs" / "1" / "run.json").read_text())["status"] == "FAILED"
