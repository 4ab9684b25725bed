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
    RepositoryState,
    check_clean_repositories,
    repository_root,
    start_git_query,
    state_of_file,
)

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs a git program")


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
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
    (query,) = pending._queries.values()
    assert query._status.returncode is not None


@pytest.mark.parametrize("kind", ["no git", "no repository", "no commit", "broken"])
def test_no_state_is_no_error(kind, repository, tmp_path, monkeypatch, caplog):
    """SRC-04 [!]: a missing git, no repository, no commit: a debug message, never an error."""
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
