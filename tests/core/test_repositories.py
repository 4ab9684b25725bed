"""The git state of sources, with a real git."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from sacred.core import repositories
from sacred.core.dependencies import Source
from sacred.core.repositories import (
    FoundRepository,
    RepositoryState,
    check_clean_repositories,
    found_repositories,
    repository_root,
    start_git_query,
    state_of_file,
)
from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot
from sacred.journal.verification import verify

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs a git program")


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def no_memory(monkeypatch):
    """Each test starts without answers of earlier ones, and without git variables."""
    monkeypatch.setattr(repositories, "_queries", {})
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path):
    """A repository of one commit with two files."""
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q", ".")
    (folder / "a.py").write_text("a = 1\n")
    (folder / "sub" / "b.py").write_text("b = 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_repository(repository):
    """SRC-04: url, commit and state; without a remote the url is `git:/` and the folder."""
    path = str(repository / "sub" / "b.py")
    commit = git(repository, "rev-parse", "HEAD")
    expected = RepositoryState(f"git:/{repository}", commit, False)
    assert {path: expected} == start_git_query([path]).result(30)


def test_changes_and_remotes(repository):
    """SRC-04: a tracked change makes it dirty, an untracked file does not; origin is the url."""
    path = str(repository / "a.py")
    git(repository, "remote", "add", "origin", "git@host:me/a.git")
    (repository / "new.py").write_text("")
    assert (False, "git@host:me/a.git") == (
        start_git_query([path]).result(30)[path].dirty,
        start_git_query([path]).result(30)[path].url,
    )
    (repository / "a.py").write_text("a = 2\n")
    assert start_git_query([path]).result(30)[path].dirty is True


def test_two_processes_a_repository(repository, monkeypatch):
    """SRC-04 [!]: git is asked for a repository, not for a file."""
    started = []
    real = subprocess.Popen

    def count(command, **keywords):
        started.append(command)
        return real(command, **keywords)

    monkeypatch.setattr(subprocess, "Popen", count)
    for number in range(20):
        (repository / f"f{number}.py").write_text("")
    sources = [Source.create(file) for file in sorted(repository.rglob("*.py"))]
    assert {f"git:/{repository}"} == {source.repo for source in sources}
    assert {False} == {source.is_dirty for source in sources}
    assert 1 == len({source.commit for source in sources})
    assert 2 == len(started)


def test_asking_does_not_wait(repository, monkeypatch, tmp_path):
    """SRC-04: a start does not wait for git; a query that is not waited for can be ended."""
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    slow_git(tmp_path, f"open({str(fifo)!r}).read()", monkeypatch)
    path = str(repository / "a.py")
    pending = start_git_query([path])
    assert ({}, False) == (pending.result(0), pending.done)
    pending.cancel()
    assert ({}, True) == (pending.result(30), pending.done)


def slow_git(tmp_path, body, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!{sys.executable} -S\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_git_that_hangs(repository, monkeypatch, tmp_path):
    """SRC-04: git has a time limit, after which there is no state and no process."""
    slow_git(tmp_path, "import time; time.sleep(60)", monkeypatch)
    monkeypatch.setattr(repositories, "GIT_TIMEOUT", 0.1)
    pending = start_git_query([str(repository / "a.py")])
    assert ({}, True) == (pending.result(), pending.done)
    (query,) = pending.queries.values()
    assert query._status.returncode is not None


@pytest.mark.filterwarnings("error")
def test_a_query_that_nobody_waits_for(repository, monkeypatch, tmp_path):
    """Its processes end with it."""
    slow_git(tmp_path, "import time; time.sleep(60)", monkeypatch)
    pending = start_git_query([str(repository / "main.py")])
    (query,) = pending.queries.values()
    processes = [query._status, query._config]
    repositories._queries.clear()
    del pending, query
    assert [True, True] == [process.returncode is not None for process in processes]


@pytest.mark.parametrize("kind", ["no git", "no repository", "no commit", "broken"])
def test_no_state_is_no_error(kind, repository, tmp_path, monkeypatch, caplog):
    """SRC-04 [!]: a missing git, no repository, no commit: a note, never an error."""
    path = repository / "a.py"
    if kind == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif kind == "no repository":
        path = tmp_path / "alone.py"
    elif kind == "no commit":
        (tmp_path / "empty").mkdir()
        git(tmp_path / "empty", "init", "-q", ".")
        path = tmp_path / "empty" / "c.py"
    else:
        (repository / ".git" / "HEAD").write_text("rubbish")
    path.write_text("")
    with caplog.at_level("DEBUG", "sacred"):
        source = Source.create(path)
        assert (None, None, None) == (source.repo, source.commit, source.is_dirty)
    assert (kind != "no repository") == any(
        "no git state for" in record.getMessage() for record in caplog.records
    )
    why = {
        "no git": "git can not be started (No such file or directory)",
        "no commit": "it has no commit yet",
        "broken": "fatal: not a git repository (or any of the parent directories): .git",
    }
    root = str(path.parent)
    expected = [FoundRepository(root, None, f"no git state for {root}: {why.get(kind)}")]
    assert (expected if kind in why else []) == found_repositories([str(path)])
    assert [] == [record for record in caplog.records if record.levelname != "DEBUG"]


def test_a_worktree_has_its_own_root(repository, tmp_path):
    """SRC-04: a `.git` that is a file marks a root as well."""
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    path = str(tmp_path / "tree" / "sub" / "b.py")
    assert str(tmp_path / "tree") == repository_root(path)
    assert git(repository, "rev-parse", "HEAD") == state_of_file(path).commit


def test_no_root(tmp_path):
    """SRC-04: a file in no repository has no root."""
    assert None is repository_root(str(tmp_path / "x.py"))


def test_the_index_is_not_written(repository):
    """SRC-04: asking for the state changes nothing in the repository."""
    (repository / "a.py").touch()
    before = (repository / ".git" / "index").stat().st_mtime_ns
    start_git_query([str(repository / "a.py")]).result(30)
    assert before == (repository / ".git" / "index").stat().st_mtime_ns


def test_a_new_query_replaces_what_is_known(repository):
    """SRC-04: sources show the state of the last query."""
    source = Source.create(repository / "a.py")
    assert source.is_dirty is False
    (repository / "a.py").write_text("a = 2\n")
    assert source.is_dirty is False
    start_git_query([source.filename]).result(30)
    assert source.is_dirty is True


def test_found_repositories(repository, tmp_path):
    """SRC-04: what git told of the repositories of some files; those it was not asked are none."""
    path = str(repository / "a.py")
    assert [] == found_repositories([path])
    state = state_of_file(path)
    assert [FoundRepository(str(repository), state, None)] == found_repositories(
        [path, str(repository / "sub" / "b.py"), str(tmp_path / "c.py")]
    )


_SCRIPT = """
import pathlib
from sacred import Experiment, SETTINGS
ex = Experiment("dirty", save_git_info={save})
@ex.main
def main():
    return 1
{settings}
ex.run()
{between}
ex.run()
"""


def events_of(folder, number, kind):
    journal = JournalRoot(folder / "sacred_runs").run(number).journal
    return [event.fields for event in JournalReader(journal).read() if event.type == kind]


def run_script(repository, *, settings="", between="", save=True):
    script = _SCRIPT.format(save=save, settings=settings, between=between)
    (repository / "train.py").write_text(script)
    git(repository, "add", "train.py")
    git(repository, "commit", "-qm", "script")
    (repository / "a.py").write_text("a = 2\n")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert 0 == done.returncode, done.stderr
    return done


def test_the_changes_of_a_dirty_tree_are_recorded(repository, tmp_path):
    """SRC-04: a run has a patch by which its working tree comes out of the commit again."""
    run_script(repository)
    (found,) = events_of(repository, 1, EventType.REPOSITORY_FOUND)
    commit = git(repository, "rev-parse", "HEAD")
    assert (f"git:/{repository}", commit, True, str(repository)) == tuple(
        found[name] for name in ("url", "commit", "dirty", "root")
    )
    patch = BlobStore(repository / "sacred_runs" / "blobs").read(found["diff"]["digest"])
    git(tmp_path, "clone", "-q", str(repository), "again")
    (tmp_path / "patch").write_bytes(patch)
    git(tmp_path / "again", "apply", str(tmp_path / "patch"))
    assert "a = 2\n" == (tmp_path / "again" / "a.py").read_text()
    assert verify(JournalRoot(repository / "sacred_runs").run(1)).clean


def test_each_run_of_a_process_asks_anew(repository):
    """SRC-04: a process lives longer than the state of a working tree, a notebook for days."""
    run_script(repository, between="pathlib.Path('a.py').write_text('a = 1\\n')")
    states = [events_of(repository, number, EventType.REPOSITORY_FOUND)[0] for number in (1, 2)]
    assert [True, False] == [state["dirty"] for state in states]
    assert [True, False] == ["diff" in state for state in states]


def test_the_changes_can_be_left_out(repository):
    """SRC-04: SETTINGS.GIT.INCLUDE_DIFF keeps the state without the patch."""
    run_script(repository, settings="SETTINGS.GIT.INCLUDE_DIFF = False")
    (found,) = events_of(repository, 1, EventType.REPOSITORY_FOUND)
    assert (True, None) == (found["dirty"], found.get("diff"))


def test_without_git_info_there_is_nothing(repository):
    """SRC-04: save_git_info=False records no repository, no changes and no note."""
    run_script(repository, save=False)
    assert [] == events_of(repository, 1, EventType.REPOSITORY_FOUND)
    assert [] == events_of(repository, 1, EventType.MESSAGE)


def test_changes_that_are_too_large_are_a_note(repository):
    """SRC-04: the journal says why the changes are not there; the terminal says nothing."""
    done = run_script(repository, settings="SETTINGS.GIT.MAX_DIFF_SIZE = 10")
    (found,) = events_of(repository, 1, EventType.REPOSITORY_FOUND)
    assert (True, None) == (found["dirty"], found.get("diff"))
    (message,) = events_of(repository, 1, EventType.MESSAGE)
    assert ("info", True) == (message["level"], "MAX_DIFF_SIZE" in message["text"])
    assert "DIFF" not in done.stderr


def test_a_repository_without_a_commit_is_a_note(tmp_path):
    """SRC-04 [!]: the run is recorded, and the journal says why it has no repository."""
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text(_SCRIPT.format(save=True, settings="", between=""))
    subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, timeout=60, check=True
    )
    assert [] == events_of(tmp_path, 1, EventType.REPOSITORY_FOUND)
    (message,) = events_of(tmp_path, 1, EventType.MESSAGE)
    assert f"no git state for {tmp_path}: it has no commit yet" == message["text"]


def test_enforce_clean_needs_a_commit(tmp_path):
    """CLI-10: a repository without a commit is not clean, whatever is in it."""
    pytest.importorskip("git")
    git(tmp_path, "init", "-q")
    with pytest.raises(RuntimeError, match="has no commit yet"):
        check_clean_repositories({"base_dir": str(tmp_path), "sources": [("a.py", "md5")]})


def test_enforce_clean(repository, tmp_path):
    """CLI-10: -e passes clean repositories, and refuses dirty ones and none."""
    pytest.importorskip("git")
    info = {"base_dir": str(repository), "sources": [("a.py", "md5")]}
    check_clean_repositories(info)
    (repository / "a.py").write_text("a = 2\n")
    with pytest.raises(RuntimeError, match="uncommitted changes"):
        check_clean_repositories(info)
    with pytest.raises(RuntimeError, match="No version control detected"):
        check_clean_repositories({"base_dir": str(tmp_path), "sources": [("x.py", "md5")]})
