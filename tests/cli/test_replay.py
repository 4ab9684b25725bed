"""``sacred replay`` and ``sacred-replay``: the arguments, the lines, the exit codes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest
from servers.mongo import free_port


def test_file_view(root, tmp_path, run_sacred):
    """Every run is brought into a folder of files; a second time changes nothing."""
    root.completed()
    root.died()
    for _ in range(2):
        done = run_sacred("--to", f"file:{tmp_path / 'out'}", name="replay_main")
        assert (0, "") == (done.code, done.err)
        assert [
            f"run 1 -> file:{tmp_path / 'out'}: up to date",
            f"run 2 -> file:{tmp_path / 'out'}: up to date",
        ] == done.out.splitlines()
    document = json.loads((tmp_path / "out" / "1" / "run.json").read_text())
    assert "COMPLETED" == document["status"]


def test_some_runs_several_views(root, tmp_path, run_sacred):
    """Only the runs that were named, into each view that was named, with several jobs."""
    for _ in range(3):
        root.completed()
    to = ["--to", f"file:{tmp_path / 'a'}", "--to", f"file:{tmp_path / 'b'}"]
    done = run_sacred("replay", *to, "--jobs", "2", "1", "last")
    assert 0 == done.code
    assert 4 == len(done.out.splitlines())
    for view in ("a", "b"):
        assert not (tmp_path / view / "2").exists()
        assert (tmp_path / view / "3" / "run.json").exists()


def test_a_root_that_is_named_by_way_of_another_folder(root, tmp_path, run_sacred):
    """It is the one that was named: nothing has to be said of it, once or twice."""
    root.completed()
    (tmp_path / "beside").mkdir()
    named = f"../{root.path.name}"
    for runs in ((), ("1",)):
        done = run_sacred(
            *("replay", "--to", f"file:{tmp_path / 'out'}", "--root", named, *runs),
            cwd=tmp_path / "beside",
        )
        assert (0, "") == (done.code, done.err)


def test_path_without_a_root_around(root, tmp_path, run_sacred):
    """A run may be named by its path, from anywhere."""
    folder = root.completed()
    done = run_sacred("replay", "--to", f"file:{tmp_path / 'out'}", folder.path, cwd="/")
    assert (0, "") == (done.code, done.err)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name a view: --to mongo"),
        (("--to", "foo:x"), "there is no view 'foo'. Write one of file:DIR"),
        (("--to", "mongos"), "Did you mean mongo?"),
        (("--to", "sqlite:x.db"), "write sqlite:///x.db"),
        (("--to", "postgresql://host"), "an SQL view needs a database"),
        (("--to", "file:"), "a file view needs a folder: --to file:DIR"),
        (("--to", "mongodb://"), "a MongoDB view is written --to mongodb://host:port/database"),
        (("--to", "file:out", "--url", "h"), "--url and --db go with exactly one --to mongo"),
        (("--to", "mongo", "--to", "mongo", "--db", "x"), "go with exactly one"),
        (("--to", "file:out", "99"), "there is no run 99 in"),
        (("--to", "file:out", "../../evil"), "does not exist"),
        (("--to", "file:out", "--jobs", "0"), "0 is not in the range"),
        (("--to", "file:out", "--what"), "no such option"),
    ],
)
def test_wrong_use(root, run_sacred, arguments, sentence):
    """Wrong use: one sentence that says what to do, exit code 2, nothing is written."""
    root.completed()
    done = run_sacred("replay", *arguments)
    assert sentence.lower() in (done.err + done.out).lower()
    assert 1 == (done.err + done.out).count("\n")
    assert 2 == done.code


def test_only_the_nearest_kind_is_told(root, run_sacred):
    """Where it is known; else all that there are."""
    root.completed()
    assert (
        "there is no view 'mongos'. Did you mean mongo?\n"
        in run_sacred("replay", "--to", "mongos").err
    )
    near = run_sacred("replay", "--to", "sqlight:///x.db").err
    assert near.endswith("there is no view 'sqlight'. Did you mean sqlite?\n")
    assert "parquet:DIR" in run_sacred("replay", "--to", "foo:x").err


def test_server_that_refuses(root, run_sacred):
    """A server that is not there: the view is behind, exit code 3."""
    root.completed()
    port = free_port()
    done = run_sacred(
        "replay", "--to", "mongo", "--url", f"mongodb://127.0.0.1:{port}", "--db", "x"
    )
    assert 3 == done.code
    assert done.out.startswith(f"run 1 -> mongo:x@127.0.0.1:{port}: behind, replay again: ")
    assert 1 == done.out.count("\n")


def test_address_that_is_none(root, run_sacred):
    """An address that the driver refuses: one line, before anything is done, no traceback."""
    root.completed()
    done = run_sacred("replay", "--to", "mongodb://user:pass:word@h/db")
    assert (2, "", 1) == (done.code, done.out, done.err.count("\n"))
    assert "the address of mongo:db@h is no MongoDB address: " in done.err
    assert "word" not in done.err.replace("password", "")


def test_a_server_that_is_down_for_many(root, run_sacred):
    """The reason is said once, not for each of a thousand runs."""
    for _ in range(3):
        root.completed()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        done = run_sacred("replay", "--to", f"mongodb://{address}/db")
    first, *others = done.out.splitlines()
    assert 3 == done.code
    assert "Connection refused" in first
    assert others == [f"run {n} -> mongo:db@{address}: behind, replay again" for n in (2, 3)]
    (views,) = json.loads(run_sacred("views", "--summary", "--json").out)
    assert (3, 3) == (views["runs"], views["behind"])
    assert "Connection refused" in views["error"]


def test_every_view_that_failed_says_why(root, tmp_path, run_sacred):
    """Each run in each view has its line; a reason that is the same is told once a view; exit code 1."""
    for _ in range(2):
        root.completed()
    (tmp_path / "taken").write_text("")
    one, two = (f"file:{tmp_path / 'taken' / name}" for name in ("one", "two"))
    done = run_sacred("replay", "--to", one, "--to", two)
    lines = done.out.splitlines()
    reason = lines[0].removeprefix(f"run 1 -> {one}: failed: ")
    assert "can not be written: Not a directory." in reason
    assert lines == [
        f"run 1 -> {one}: failed: {reason}",
        f"run 1 -> {two}: failed: {reason.replace('/one ', '/two ')}",
        f"run 2 -> {one}: failed: as the one before",
        f"run 2 -> {two}: failed: as the one before",
    ]
    assert 1 == done.code
    views = json.loads(run_sacred("views", "--summary", "--json").out)
    assert [(2, 2), (2, 2)] == [(view["runs"], view["failed"]) for view in views]


def test_view_below_a_file(root, tmp_path, run_sacred):
    """A folder that can never be made: the view failed, exit code 1, in one line."""
    root.completed()
    (tmp_path / "taken").write_text("")
    done = run_sacred("replay", "--to", f"file:{tmp_path / 'taken' / 'out'}")
    assert 1 == done.code
    assert 1 == done.out.count("\n")
    assert f"run 1 -> file:{tmp_path / 'taken' / 'out'}: failed: " in done.out


def test_killed_run(root, tmp_path, run_sacred):
    """A run whose last frame is not whole is replayed; that is no damage, exit code 0."""
    file = root.file(root.died())
    file.write_bytes(file.read_bytes()[:-3])
    done = run_sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    assert (0, f"run 1 -> file:{tmp_path / 'out'}: up to date\n") == (done.code, done.out)
    assert (tmp_path / "out" / "1" / "run.json").exists()


def test_damaged_run(root, tmp_path, run_sacred):
    """A damaged run is replayed as far as it can be read, and the damage is said: exit code 1."""
    file = root.file(root.completed())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = run_sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    assert (1, f"run 1 -> file:{tmp_path / 'out'}: up to date\n") == (done.code, done.out)
    assert "run 1 is damaged: w0000-e0001.jzst: " in done.err
    assert (tmp_path / "out" / "1" / "run.json").exists()


def test_no_runs(root, run_sacred):
    """Nothing to do is done."""
    done = run_sacred("replay", "--to", "file:out")
    assert (0, "sacred: there are no runs yet\n") == (done.code, done.err)


def test_nothing_to_write(root, tmp_path, run_sacred):
    """A foreign file, and a run that has not begun, are named with the reason; the others go on."""
    root.file(root.completed()).write_bytes(b"something else")
    root.writer().close()
    root.completed()
    done = run_sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    to = f"-> file:{tmp_path / 'out'}:"
    assert [
        f"run 1 {to} failed: its files hold no frame of a journal",
        f"run 2 {to} nothing to write: it has not begun yet",
        f"run 3 {to} up to date",
    ] == done.out.splitlines()
    assert (1, "") == (done.code, done.err)


def test_runs_above_are_not_replayed_unasked(root, tmp_path, run_sacred):
    """The runs of a folder above may be somebody else's: to write them somewhere takes --root."""
    root.completed()
    below = tmp_path / "below"
    below.mkdir()
    to = ("replay", "--to", f"file:{tmp_path / 'out'}")
    done = run_sacred(*to, cwd=below)
    assert (2, "") == (done.code, done.out)
    assert f"say so with --root {root.path}" in done.err
    assert run_sacred(*to, "--root", root.path, cwd=below).code == 0
    assert run_sacred("ls", cwd=below).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_until_a_signal(root, tmp_path, number):
    """--follow writes what comes; Ctrl-C and SIGTERM end it in good order, with its exit code."""
    root.completed()
    out = tmp_path / "out"
    code = "import sys; from sacred.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "replay", "--follow", "--to", f"file:{out}"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            lines = iter(process.stdout.readline, "")
            assert next(lines)[21:] == f"run 1 -> file:{out} as 1: up to date\n"
            writer = root.writer()  # a run that lives, in this process
            root.start(writer, 2)
            writer.append_output(1, b"hello\n")
            writer.flush()
            _until(lambda: _content(out / "2" / "cout.txt") == b"hello\n")
            assert next(lines)[21:] == f"run 2 -> file:{out} as 2: being written\n"
            root.end(writer)
            assert next(lines)[21:] == f"run 2 -> file:{out} as 2: up to date\n"
            process.send_signal(number)
            rest, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (0, "", "") == (process.returncode, rest, err)


def _content(path):
    return path.read_bytes() if path.exists() else None


def _until(holds, seconds=60.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
