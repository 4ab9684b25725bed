"""`sacred import` of stores, as a shell runs it."""

from __future__ import annotations

import datetime as dt
import json
import os

import pytest

from sacred.replayers.contract import write_run


@pytest.fixture
def old(root, run_sacred, tmp_path):
    """A tree of files of four runs, the last of which is damaged; its root is gone."""
    for name in ("one", "two", "three", "four"):
        write_run(root.journals.claim(), points=5, name=name)
    done = run_sacred("replay", "--to", "file:old")
    assert 0 == done.code, done.err
    (tmp_path / "old" / "4" / "run.json").write_text('{"command": ')
    for number in (1, 2, 3, 4):
        # As Sacred leaves it: nothing of ours.
        for file in (tmp_path / "old" / str(number) / ".journal").iterdir():
            file.unlink()
        (tmp_path / "old" / str(number) / ".journal").rmdir()
    return tmp_path / "old"


def _states(out):
    lines = [line.split("\t") for line in out.splitlines()]
    assert ["ID", "RUN", "STATE"] == lines[0][:3]
    return [tuple(line[:3]) for line in lines[1:]]


def test_a_tree(old, run_sacred):
    """A table on stdout, what is wrong on stderr, exit code 1 for the damaged run."""
    done = run_sacred("import", "file:old", "--root", "new")
    assert 1 == done.code
    imported = [(name, name, "imported") for name in "123"]
    assert [*imported, ("4", "", "failed")] == _states(done.out)
    assert "run 4: its run.json is damaged: at line 1, column 13: Expecting value" in done.err
    assert f"4 runs of file:{old}: 3 imported, 1 failed" in done.err
    assert "no run of such a store has when each line was printed" in done.err
    done = run_sacred("import", "file:old", "1", "2", "--root", "new")
    assert 0 == done.code
    assert [("1", "1", "already"), ("2", "2", "already")] == _states(done.out)
    assert ["one", "two", "three"] == [
        line.split("\t")[5] for line in run_sacred("ls", "--root", "new").out.splitlines()[1:]
    ]


def test_where_a_run_came_from(old, run_sacred):
    """`sacred show` tells the store and the run, and what did not come."""
    (old / "2" / "config.json").unlink()
    run_sacred("import", "file:old", "2", "--partial", "--root", "new")
    shown = run_sacred("show", "2", "--root", "new").out
    assert f"  imported  from file:{old}, run 2\n" in shown
    assert "warning: imported without all of it: it has no config.json: left out" in shown


def test_chosen_runs(old, run_sacred, tmp_path):
    """Runs by their ids, or the last ones; --dry-run writes nothing."""
    done = run_sacred("import", "file:old", "3", "--dry-run", "--root", "new")
    assert (0, [("3", "", "new")]) == (done.code, _states(done.out))
    assert not (tmp_path / "new").exists()
    done = run_sacred("import", "file:old", "--last", "2", "--root", "new")
    assert (1, [("3", "3", "imported"), ("4", "", "failed")]) == (done.code, _states(done.out))
    done = run_sacred("import", "file:old", "--root", "new", "--last")
    assert (1, [("4", "", "failed")]) == (done.code, _states(done.out))
    done = run_sacred("import", "file:old", "3", "2", "3", "--root", "new")
    assert [("3", "3", "already"), ("2", "2", "imported")] == _states(done.out)


def test_runs_that_go_on(old, run_sacred):
    """A run with a fresh heartbeat waits; --running takes it; what it does later is told: exit 1."""
    path = old / "1" / "run.json"
    run = json.loads(path.read_text())
    now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None).isoformat()
    path.write_text(json.dumps({**run, "status": "RUNNING", "heartbeat": now, "stop_time": None}))
    done = run_sacred("import", "file:old", "1", "--root", "new")
    assert (0, [("1", "", "running")]) == (done.code, _states(done.out))
    assert "1 run of" in done.err
    assert "1 still running" in done.err
    done = run_sacred("import", "file:old", "1", "--running", "--root", "new")
    assert (0, [("1", "1", "imported")]) == (done.code, _states(done.out))
    path.write_text(json.dumps(run))
    done = run_sacred("import", "file:old", "1", "--root", "new")
    assert (1, [("1", "1", "changed")]) == (done.code, _states(done.out))
    assert "and import it again" in done.err


def test_json(old, run_sacred, tmp_path):
    """One document, with what could not be carried."""
    (old / "2" / "config.json").write_text("")
    done = run_sacred("import", "file:old", "1", "2", "--json", "--partial", "--root", "new")
    found = json.loads(done.out)
    assert (0, "", "file", f"file:{old}") == (done.code, done.err, found["kind"], found["store"])
    assert (str(tmp_path / "new"), False) == (found["root"], found["dry_run"])
    assert "heartbeats but for the last one" in found["never_carried"]
    first, second = found["runs"]
    assert (1, "imported", 1, [], None) == (
        first["id"],
        first["state"],
        first["run"],
        first["left_out"],
        first["reason"],
    )
    assert first["points"] > 0
    assert ["its config.json is damaged: at line 1, column 1: Expecting value: left out"] == (
        second["left_out"]
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["file:none"], "none does not exist: name the folder of the runs"),
        (["file:old", "9"], "has no run '9': it has 1 to 4"),
        (["old"], "old is a folder: a tree of Sacred's files is written file:old"),
        (["file:old", "1", "--last"], "name the runs of the store, or give --last, not both"),
        (["x.tar", "--dry-run"], "--dry-run is for stores, and 'x.tar' is the name of a file"),
        (["file:old", "--collection", "x"], "--collection is for MongoDB"),
        (["flie:old"], "there is no store 'flie': write file:DIR"),
        (["s3://bucket/x"], "runs can not be imported from s3"),
    ],
)
def test_wrong_use(old, run_sacred, words, sentence, tmp_path):
    """One sentence, exit code 2, and no root is made."""
    done = run_sacred("import", *words, "--root", "new")
    assert (2, "") == (done.code, done.out)
    assert sentence in done.err
    assert 1 == len(done.err.splitlines())
    assert "--to" not in done.err
    assert not (tmp_path / "new").exists()


def test_a_server_that_is_away(run_sacred, tmp_path):
    """Exit code 3, without the password."""
    for address in (
        "mongodb://me:secret@127.0.0.1:9/lab",
        "postgresql://me:secret@127.0.0.1:9/lab",
    ):
        done = run_sacred("import", address, "--root", "new")
        assert (3, "") == (done.code, done.out)
        assert "secret" not in done.err
        assert 1 == len(done.err.splitlines())
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_nobody_may_read(old, run_sacred):
    """One sentence."""
    old.chmod(0)
    try:
        done = run_sacred("import", "file:old", "--root", "new")
    finally:
        old.chmod(0o755)
    assert (2, 1) == (done.code, len(done.err.splitlines()))
