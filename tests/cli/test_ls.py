"""``sacred ls``: every run is listed, whatever became of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sacred import cli
from sacred.journal import EventType
from sacred.replayers.listing import outline, outlines


def listed(run_sacred, *args, **options):
    """Return the listing by run, and the answer."""
    done = run_sacred("ls", "--json", *args, **options)
    return {record["run"]: record for record in json.loads(done.out)}, done


def test_fates(root, run_sacred):
    """A completed run is COMPLETED; one whose process is gone is DIED, with its points."""
    root.completed()
    root.died()
    runs, done = listed(run_sacred)
    assert ["COMPLETED", "DIED"] == [runs[number]["status"] for number in (1, 2)]
    assert [30, 50] == [runs[number]["points"] for number in (1, 2)]
    assert 0 == done.code
    assert "" == done.err


def test_one_line(root):
    """Name, command, id, start, duration and result are those of the journal."""
    folder = root.completed("my id", name="digits", command="train", host={"hostname": "there"})
    found = outline(folder)
    assert ("my id", "digits", "train", "there") == (
        found.id,
        found.name,
        found.command,
        found.host,
    )
    assert (root.START, 90.0, 0.5) == (found.start, found.duration, found.result)
    assert found.problem is None


def test_running(root):
    """A run whose process lives is RUNNING, and its time goes on."""
    writer = root.writer()
    root.start(writer, 1)
    found = outline(root.last, now=root.START + 5 * 10**9)
    assert ("RUNNING", 5.0) == (found.status, found.duration)
    writer.close()


def test_resumed_and_result(root):
    """What the last of several ends said counts; an intermediate result is one."""
    writer = root.writer()
    root.start(writer, 1)
    writer.append(EventType.RESULT_CHANGED, result=1)
    writer.append(EventType.RUN_ENDED, how="interrupted", status="INTERRUPTED")
    writer.append(EventType.RUN_RESUMED)
    writer.append(EventType.RUN_ENDED, how="failed", status="FAILED")
    writer.close()
    found = outline(root.last)
    assert ("FAILED", 1) == (found.status, found.result)


def test_queued(root):
    """A queued run is QUEUED, also when the process that queued it is gone."""
    writer = root.writer()
    about = {"name": "q", "command": "main", "config": {}, "meta": {}, "experiment": {}}
    writer.append(EventType.RUN_QUEUED, run_id=1, host={}, **about)
    writer.close()
    assert ("QUEUED", None) == (outline(root.last).status, outline(root.last).start)


@pytest.mark.parametrize(
    ("content", "status", "problem"),
    [
        (b"", "EMPTY", "its files are empty"),
        (b"something else " * 99, "FOREIGN", "its files hold no frame of a journal"),
    ],
)
def test_broken_runs(root, run_sacred, content, status, problem):
    """An empty or foreign file is listed as such and does not hide the others."""
    root.file(root.completed()).write_bytes(content)
    root.completed()
    runs, done = listed(run_sacred)
    assert (status, problem) == (runs[1]["status"], runs[1]["problem"])
    assert ("COMPLETED", 0) == (runs[2]["status"], done.code)


@pytest.mark.parametrize(
    ("inside", "status", "problem"),
    [
        ((), "EMPTY", "it was claimed, and nothing was written"),
        (("journal/",), "EMPTY", "it was claimed, and nothing was written"),
        (("notes.txt",), "FOREIGN", "holds no journal"),
        (("journal/", "results.csv"), "FOREIGN", "holds no journal"),
    ],
)
def test_folder_without_journal(root, run_sacred, inside, status, problem):
    """A folder of which nothing was made is EMPTY for every command, one of somebody else FOREIGN."""
    folder = root.path / "7"
    folder.mkdir()
    for name in inside:
        (folder / name).mkdir() if name.endswith("/") else (folder / name).write_text("")
    runs, _ = listed(run_sacred)
    assert status == runs[7]["status"]
    assert problem in runs[7]["problem"]
    empty = status == "EMPTY"
    assert run_sacred("verify", "--all").code == (0 if empty else 2)
    assert run_sacred("show", "7").code == 2
    to = ("replay", "--to", f"file:{folder.parent.parent / 'view'}")
    # A folder that never was one of a run is not tried.
    assert run_sacred(*to).code == (0 if empty or "journal/" not in inside else 1)
    assert run_sacred(*to, "7").code == (0 if empty else 2)


def test_truncated(root):
    """A run with a torn last frame is DIED; the torn end is named, and no problem."""
    file = root.file(root.died())
    file.write_bytes(file.read_bytes()[:-3])
    found = next(outlines(root.journals))
    assert "DIED" == found.status
    assert (None, True) == (found.problem, found.note.endswith("are not whole"))


def test_newer(root):
    """A journal that needs a newer version is NEWER and says so."""
    writer = root.writer()
    writer._append_packed(b"\x82\xa1t\x01\xa1e\x7f", control=True)  # the event type 127
    writer.close()
    found = outline(root.last)
    assert "NEWER" == found.status
    assert "upgrade sacred-journal" in found.problem


def test_points_are_not_decoded(root, monkeypatch):
    """A listing counts points and never decodes their columns."""
    folder = root.completed(metrics=(("loss", 500),))

    def refuse(*_):
        raise AssertionError("a column was decoded")

    monkeypatch.setattr("sacred.journal.tables._decode_column", refuse)
    assert 500 == outline(folder).points


def test_last_n(root, run_sacred):
    """-n shows the last runs only."""
    for _ in range(3):
        root.completed()
    runs, _ = listed(run_sacred, "-n", "2")
    assert [2, 3] == list(runs)


def test_pipe(root, run_sacred):
    """A pipe gets a header and tab-separated lines without colours, one a run."""
    root.completed(name="a\tb\nc\x1b[31m")
    done = run_sacred("ls")
    lines = done.out.splitlines()
    assert 2 == len(lines)
    assert lines[0].split("\t")[:3] == ["RUN", "ID", "STATUS"]
    assert ["1", "1", "COMPLETED"] == lines[1].split("\t")[:3]
    assert "a\\tb\\nc\\x1b[31m" == lines[1].split("\t")[5]


def test_no_runs(root, run_sacred):
    """A root without runs is said to be one."""
    done = run_sacred("ls")
    assert (0, "", "sacred: there are no runs yet\n") == (done.code, done.out, done.err)
    assert [] == json.loads(run_sacred("ls", "--json").out)


def test_no_root(run_sacred):
    """Without a root anywhere: one sentence that says where was looked, exit code 2."""
    done = run_sacred("ls", cwd="/")
    assert 2 == done.code
    assert 1 == done.err.count("\n")
    assert done.err.startswith("sacred: no root of journals in / or a folder above")


def test_root_given(root, tmp_path, run_sacred):
    """--root is taken as it is; one that is none is an error."""
    root.completed()
    (tmp_path / "else").mkdir()
    done = run_sacred("ls", "--root", root.path, cwd=tmp_path / "else")
    assert (0, "") == (done.code, done.err)
    done = run_sacred("ls", "--root", tmp_path / "else")
    assert 2 == done.code
    assert f"{tmp_path / 'else'} is no root of journals" in done.err


@pytest.mark.parametrize("option", ["-J", "--journal", "--root"])
def test_a_root_by_the_name_that_experiments_have_for_it(
    root, tmp_path, capsys, monkeypatch, option
):
    """The three are one option of every command; it may stand before the command, and behind it wins."""
    folder = root.completed()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    place = str(root.path)
    verbs = [
        ["ls"],
        ["show", "1"],
        ["events", "1"],
        ["verify", "1"],
        ["seal", "1"],
        ["repair", "1"],
    ]
    verbs += [["query", "select 1"], ["export", "1"], ["gc", "--dry-run"]]
    verbs += [["replay", "--to", f"file:{tmp_path / 'view'}"]]
    for verb in verbs:
        for words in (
            [*verb, option, place],
            [option, place, *verb],
            ["-J", ".", *verb, option, place],
        ):
            assert (words, 0) == (words, cli.main(words))
        assert (verb, 2) == (verb, cli.main([option, "", *verb]))
        assert "a folder is needed, not an empty text" in capsys.readouterr().err
    bundle = str(tmp_path / "run.tar")
    assert 0 == cli.main([option, place, "export", "1", "--bundle", bundle])
    assert 0 == cli.main([option, str(tmp_path / "new"), "import", bundle])
    assert (tmp_path / "new" / "1").is_dir()
    capsys.readouterr()
    assert 2 == cli.main([option, place, "run", "1"])
    assert "run 1 is COMPLETED" in capsys.readouterr().err
    assert 0 == cli.replay_main(
        [option, place, "--to", f"file:{tmp_path / 'view'}", str(folder.path)]
    )


def test_a_root_without_its_marker(root, tmp_path, run_sacred):
    """A copy without hidden files: the sentence has the command that makes it a root again."""
    root.completed()
    (root.path / ".sacred-journal").unlink()
    for words, cwd in (((), tmp_path), (("--root", root.path), "/"), (("-J", tmp_path), "/")):
        done = run_sacred("ls", *words, cwd=cwd)
        assert (2, "") == (done.code, done.out)
        assert done.err.startswith(
            f"sacred: {root.path} holds runs, but .sacred-journal is missing"
        )
        assert 1 == done.err.count("\n")
    command = done.err.rstrip("\n").partition("To mark it: ")[2]
    subprocess.run(["/bin/sh", "-c", command], check=True, timeout=60)
    assert "COMPLETED" in run_sacred("ls").out


def test_a_root_without_its_marker_is_not_passed_over(root, tmp_path, run_sacred):
    """What a program that is started here would write to comes before a root further up."""
    root.completed()
    root.path.rename(tmp_path / "other")
    inner = tmp_path / "other" / "deep" / "sacred_runs"
    (inner / "1" / "journal").mkdir(parents=True)
    done = run_sacred("ls", cwd=inner.parent)
    assert 2 == done.code
    assert f"{inner} holds runs, but .sacred-journal is missing" in done.err


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nothing", "{0}/nothing does not exist: name the folder of the runs with --root DIR"),
        ("sacred_runs/1", "{0}/sacred_runs/1 is no root, but lies in one: --root {0}/sacred_runs"),
        ("file", "{0}/file is no root of journals (no .sacred-journal in it): name the folder"),
    ],
)
def test_what_is_no_root(root, tmp_path, run_sacred, given, sentence):
    """It is said what it is, and what to name; also where the environment names it."""
    root.completed()
    (tmp_path / "file").touch()
    said = sentence.format(tmp_path)
    assert run_sacred("ls", "--root", given).err.startswith(f"sacred: {said}")
    done = run_sacred("ls", env={"SACRED_JOURNAL_ROOT": given})
    assert done.err.startswith(f"sacred: SACRED_JOURNAL_ROOT names no root: {said}")


def test_in_a_folder_that_was_removed(tmp_path):
    """One sentence, exit code 2."""
    (tmp_path / "gone").mkdir()
    code = "import os; os.rmdir(os.getcwd()); from sacred.cli import main; raise SystemExit(main(['ls']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "gone",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert 2 == done.returncode
    assert b"sacred: this folder was removed: go to another one\n" == done.stderr


def test_root_above_and_environment(root, tmp_path, run_sacred):
    """The root of a folder above, or of the environment, is used and said."""
    root.completed()
    below = tmp_path / "deep" / "er"
    below.mkdir(parents=True)
    told = f"sacred: the runs are in {root.path}\n"
    done = run_sacred("ls", cwd=below)
    assert (0, told) == (done.code, done.err)
    done = run_sacred("ls", cwd="/", env={"SACRED_JOURNAL_ROOT": str(root.path)})
    assert (0, told) == (done.code, done.err)


def test_imports_nothing_heavy(root, tmp_path):
    """``sacred ls`` imports no database driver and no numpy."""
    root.completed(metrics=(("loss", 100),))
    code = (
        "import sys; from sacred.cli import main; main(['ls']);"
        "print([m for m in ('duckdb', 'pymongo', 'numpy', 'git', 'pandas') if m in sys.modules],"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=60, check=True
    )
    assert b"[]\n" == done.stderr


def test_many_writers(root):
    """Points of child writers count; only the first writer says what became of the run."""
    writer = root.writer()
    root.start(writer, 1)
    pid = os.fork()
    if pid == 0:
        writer.log_point("loss", 0, 1.0)
        writer.close()
        os._exit(0)
    os.waitpid(pid, 0)
    writer.log_point("loss", 1, 0.5)
    root.end(writer)
    found = outline(root.last)
    assert ("COMPLETED", 2) == (found.status, found.points)
