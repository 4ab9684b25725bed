"""`sacred merge`, and `sacred-replay --to journal:...`, as a shell runs them."""

from __future__ import annotations

import json
import shutil

import pytest

from sacred.journal import JournalRoot


@pytest.fixture
def other(tmp_path, root):
    """Another root, with a run that ended and one that died."""
    made = type(root)(tmp_path / "other")
    made.completed()
    made.died()
    return made


def test_a_root_is_merged(root, other, run_sacred):
    """Runs come with new numbers where theirs are taken; a repeat finds all of them; exit code 0."""
    root.completed()
    done = run_sacred("merge", other.path)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0].startswith("run 1 there, run 2 here: new: ")
    assert done.out.splitlines()[-1].endswith(": 2 new")
    again = run_sacred("merge", other.path, "--json")
    assert [run["state"] for run in json.loads(again.out)] == ["already", "already"]
    assert [run["run"] for run in json.loads(again.out)] == [2, 3]
    listed = run_sacred("ls")
    assert ("COMPLETED" in listed.out, "DIED" in listed.out) == (True, True)
    assert run_sacred("verify", "--all").code == 0


def test_a_dry_run(root, other, run_sacred):
    """It says what would be done, and does not even make the root."""
    shutil.rmtree(root.path)
    done = run_sacred("merge", other.path, "--dry-run", "-J", root.path)
    assert done.code == 0
    assert "run 1 there: would be new" in done.out
    assert "would be merged into" in done.out
    assert not root.path.exists()


def test_a_run_that_is_refused(root, other, run_sacred):
    """Exit code 1, and a sentence that says what to do."""
    from sacred.journal import EventType, JournalWriter

    for place, text in ((root, "one"), (other, "two")):
        writer = JournalWriter.create(place.journals.claim().journal, journal_id=4711)
        writer.append(EventType.MESSAGE, level="info", text=text)
        writer.close()
    done = run_sacred("merge", other.path)
    assert done.code == 1
    assert "each has events that the other lacks: look at both" in done.out


def test_what_can_not_be_merged(root, other, run_sacred, tmp_path):
    """What is no root, the root itself, or a place of something else: a sentence, exit code 2."""
    (tmp_path / "empty").mkdir()
    for what, says in (
        (tmp_path / "nothing", "does not exist"),
        (tmp_path / "empty", "is no root"),
        (root.path, "is the root itself"),
        ("mongodb://host/db", "sacred import"),
        ("s3://x", "3 to 63"),
        ("", "root to merge is empty"),
    ):
        done = run_sacred("merge", what)
        assert (done.code, done.out) == (2, ""), what
        assert says in done.err
    assert run_sacred("merge").code == 2


def test_a_damaged_run_is_told(root, other, run_sacred):
    """It comes with all its bytes; exit code 1, and stderr says what is wrong."""
    file = other.file(JournalRoot(other.path).run(1))
    broken = bytearray(file.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    file.write_bytes(broken)
    done = run_sacred("merge", other.path)
    assert done.code == 1
    assert "lost at byte" in done.err
    assert root.file(root.journals.run(1)).read_bytes() == broken


def test_copies_and_back(root, run_sacred, tmp_path):
    """A copy is a root to all commands, and a root that was lost comes back from it."""
    root.completed()
    root.died()
    copy = run_sacred("--to", "journal:backup", name="replay_main")
    assert (copy.code, copy.err) == (0, "")
    assert copy.out.splitlines() == [
        f"run {number} -> journal:{tmp_path / 'backup'}: up to date" for number in (1, 2)
    ]
    assert run_sacred("ls", "-J", "backup").out == run_sacred("ls").out
    assert run_sacred("verify", "--all", "-J", "backup").code == 0
    points = "select run, count(*) from metrics group by all order by all"
    asked = run_sacred("query", points, "-J", "backup")
    assert asked.code == 0, asked.err
    assert asked.out == run_sacred("query", points).out
    files = run_sacred("--to", "file:tree", "--root", "backup", name="replay_main")
    assert files.code == 0
    assert run_sacred("gc", "-J", "backup").code == 0
    assert run_sacred("seal", "--all", "-J", "backup").code == 0
    shutil.rmtree(root.path)
    back = run_sacred("merge", "backup", "-J", root.path)
    assert back.code == 0
    assert "2 new" in back.out
    assert run_sacred("verify", "--all").code == 0


def test_a_copy_into_a_root(root, run_sacred):
    """Copies need a place of their own: exit code 2, and the command that joins roots is named."""
    root.completed()
    done = run_sacred("--to", "journal:sacred_runs", name="replay_main")
    assert done.code == 2
    assert "sacred merge" in done.err
