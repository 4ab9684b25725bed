"""`sacred rm`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys


def test_into_the_trash_and_back(root, run_sacred):
    """A line for each run, how to bring it back, and where it is looked for in vain."""
    for _ in range(3):
        root.completed()
    done = run_sacred("rm", "1", "3")
    assert (0, "run 1: in the trash\nrun 3: in the trash\n") == (done.code, done.out)
    assert "sacred: sacred rm --restore 1 3 brings them back\n" == done.err
    shown = run_sacred("show", "3")
    assert (2, True) == (shown.code, "it is in the trash, sacred rm --restore 3" in shown.err)
    listed = run_sacred("rm", "--list")
    rows = [line.split("\t") for line in listed.out.splitlines()]
    assert ["RUN", "REMOVED", "STATUS", "NAME", "SIZE"] == rows[0]
    assert [["1", "COMPLETED", "trains"], ["3", "COMPLETED", "trains"]] == [
        [row[0], row[2], row[3]] for row in rows[1:]
    ]
    records = json.loads(run_sacred("rm", "--list", "--json").out)
    assert [1, 3] == [record["run"] for record in records]
    back = run_sacred("rm", "--restore", "3", "9")
    assert (2, "run 3: back\n") == (back.code, back.out)
    assert "sacred: run 9 is not in the trash, which has 1, 3\n" == back.err
    assert [2, 3] == [r["run"] for r in json.loads(run_sacred("ls", "--json").out)]


def test_emptied(root, run_sacred):
    """For good only when it is asked for, by whoever can answer, or with --yes."""
    root.completed()
    run_sacred("rm", "1")
    refused = run_sacred("rm", "--empty")
    assert (2, True) == (refused.code, "give --yes" in refused.err)
    young = run_sacred("rm", "--empty", "--older-than", "30d", "--yes")
    assert (0, "") == (young.code, young.out)
    assert "nothing in the trash was removed so long ago" in young.err
    done = run_sacred("rm", "--empty", "--yes")
    assert (0, "1 run removed for good\n") == (done.code, done.out)
    assert "sacred gc removes the stored files" in done.err
    assert "nothing in the trash" in run_sacred("rm", "--empty", "--yes").err


def test_what_is_no_use(root, run_sacred):
    """Exit code 2 and a sentence."""
    root.completed()
    for words, text in (
        ((), "name the runs to remove"),
        (("--list", "--empty"), "--list and --empty do not go together"),
        (("1", "--older-than", "3d"), "--older-than goes with --empty"),
        (("--empty", "1"), "--empty takes no runs"),
        (("--empty", "--older-than", "soon"), "is no time"),
        (("7",), "there is no run 7"),
    ):
        done = run_sacred("rm", *words)
        assert (2, True) == (done.code, text in done.err), done.err


def test_one_that_runs(root, run_sacred):
    """It stays, the others go; exit code 2."""
    root.completed()
    writer = root.writer()
    root.start(writer, 2)
    done = run_sacred("rm", "1", "2", "--force")
    writer.close()
    assert (2, "run 1: in the trash\n") == (done.code, done.out)
    assert "run 2 is not removed: a process writes into it" in done.err


def test_views_are_left_alone(root, run_sacred, tmp_path):
    """What they have stays, and it is said."""
    root.completed()
    run_sacred("replay", "--to", f"file:{tmp_path / 'view'}")
    done = run_sacred("rm", "1")
    assert "what views have of it stays there: file:" in done.err
    assert (tmp_path / "view" / "1" / "run.json").exists()


def _on_a_terminal(folder, answer, *words):
    main, child = pty.openpty()
    code = "import sys; from sacred.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=folder, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    os.write(main, answer)
    said = b""
    try:
        while chunk := os.read(main, 4096):
            said += chunk
    except OSError:  # the terminal is gone with the process
        pass
    os.close(main)
    return process.wait(60), said.decode()


def test_it_asks_on_a_terminal(root, tmp_path):
    """What is removed is shown first; a no changes nothing."""
    root.completed()
    for answer, code in ((b"n\n", 130), (b"y\n", 0)):
        found, said = _on_a_terminal(tmp_path, answer, "rm", "1")
        assert (code, True, True) == (
            found,
            "COMPLETED" in said,
            "Move 1 run into the trash? [y/N]" in said,
        ), said
        assert (code != 0) is (root.path / "1").is_dir()
