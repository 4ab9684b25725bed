"""The git state of the folders that an experiment's sources are in.

git is asked once for a repository, with two processes that run while the experiment goes on, and
never once for a file. That git is missing, that a file is in no repository or that a repository
has no commit yet are no errors: there simply is no state to tell, and a debug message says why.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping

__all__ = [
    "PendingGitState",
    "RepositoryState",
    "check_clean_repositories",
    "repository_root",
    "start_git_query",
    "state_of_file",
]

#: Seconds that git may take to tell the state of a repository, from the moment it is asked.
GIT_TIMEOUT = 5.0


class RepositoryState(NamedTuple):
    """Where a repository came from, the commit it stands on, and whether tracked files changed."""

    url: str
    commit: str
    dirty: bool


def repository_root(path: str) -> str | None:
    """Return the working directory of the repository that a file is in, without asking git.

    Parameters
    ----------
    path
        An absolute path.

    Returns
    -------
    str or None
        The nearest folder above the file that holds ``.git`` (a folder, or a file in worktrees and
        submodules), or None.
    """
    if "GIT_DIR" in os.environ:
        return os.path.abspath(os.environ.get("GIT_WORK_TREE", os.getcwd()))
    folder = os.path.dirname(path)
    while not os.path.exists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


def start_git_query(paths: Iterable[str]) -> PendingGitState:
    """Ask git for the state of every repository that one of the files is in; do not wait.

    The states replace those that :func:`state_of_file` gave so far.

    Parameters
    ----------
    paths
        Absolute paths of files.
    """
    roots = {path: repository_root(path) for path in paths}
    queries = {root: _Query(root) for root in set(roots.values()) if root is not None}
    with _lock:
        _queries.update(queries)
    return PendingGitState(roots, queries)


def state_of_file(path: str) -> RepositoryState | None:
    """Return the state of the repository that a file is in, as git told it last.

    git is asked, and waited for, when it was not asked in this process before.
    """
    root = repository_root(path)
    if root is None:
        return None
    with _lock:
        query = _queries.get(root)
        if query is None or query.owner != os.getpid():
            query = _queries[root] = _Query(root)
    return query.result()


class PendingGitState:
    """Answers of git that are on their way.

    Thread-safe. The processes behind it end by themselves, or are ended by :meth:`cancel`.
    """

    def __init__(self, roots: Mapping[str, str | None], queries: Mapping[str, _Query]) -> None:
        self._roots = dict(roots)
        self._queries = dict(queries)

    @property
    def done(self) -> bool:
        """True when :meth:`result` returns without waiting."""
        return all(query.done for query in self._queries.values())

    def result(self, timeout: float | None = None) -> dict[str, RepositoryState]:
        """Return the state for every file that has one.

        Parameters
        ----------
        timeout
            The seconds to wait at most for each repository. What has not answered by then is left
            out, and can be asked for again. None waits until git answers or has used up its time
            limit.

        Returns
        -------
        dict
            States by path, for the files in a repository with a commit.
        """
        states = {root: query.result(timeout) for root, query in self._queries.items()}
        found = {}
        for path, root in self._roots.items():
            state = states.get(root) if root is not None else None
            if state is not None:
                found[path] = state
        return found

    def cancel(self) -> None:
        """End the processes; a repository that has not answered has no state."""
        for query in self._queries.values():
            query.cancel()


_lock = threading.Lock()
_queries: dict[str, _Query] = {}


class _Query:
    """The two processes that tell the state of one repository."""

    def __init__(self, root: str) -> None:
        import time

        self.root = root
        self.owner = os.getpid()
        self.done = False
        self._state: RepositoryState | None = None
        self._told: bytes | None = None
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + GIT_TIMEOUT
        self._status: subprocess.Popen[bytes] | None = None
        self._config: subprocess.Popen[bytes] | None = None
        try:
            self._status = self._start(
                "status", "--porcelain=v2", "--branch", "--untracked-files=no"
            )
            self._config = self._start("config", "--get", "remote.origin.url")
        except OSError as error:
            self._give_up(f"git can not be started: {error}")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        import subprocess

        # Without optional locks the status is told but never written into the user's index.
        return subprocess.Popen(
            ["git", "--no-optional-locks", "-C", self.root, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def result(self, timeout: float | None = None) -> RepositoryState | None:
        """Return the state, or None when there is none or it was not told in time."""
        import subprocess
        import time

        with self._lock:
            if self.done or self._status is None or self._config is None:
                return self._state
            left = max(0.0, self._deadline - time.monotonic())
            patience = left if timeout is None else min(timeout, left)
            until = time.monotonic() + patience
            try:
                if self._told is None:
                    self._told, _ = self._status.communicate(timeout=patience)
                url, _ = self._config.communicate(timeout=max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                if time.monotonic() >= self._deadline:
                    self._give_up(f"git did not answer within {GIT_TIMEOUT:g} seconds")
                return None
            if self._status.returncode != 0:
                self._give_up(f"git status failed with exit status {self._status.returncode}")
                return None
            self.done = True
            self._state = self._read(self._told, url)
            return self._state

    def _read(self, status: bytes, url: bytes) -> RepositoryState | None:
        commit = ""
        dirty = False
        for line in status.splitlines():
            if line.startswith(b"# branch.oid "):
                commit = line[len(b"# branch.oid ") :].decode("ascii", "replace")
            elif not line.startswith(b"#"):
                dirty = True
        if not commit or commit == "(initial)":
            _note(self.root, "it has no commit yet")
            return None
        remote = url.decode("utf-8", "surrogateescape").strip()
        return RepositoryState(remote or f"git:/{self.root}", commit, dirty)

    def cancel(self) -> None:
        """End the processes."""
        with self._lock:
            if not self.done:
                self._give_up("it was not waited for")

    def _give_up(self, reason: str) -> None:
        self.done = True
        _note(self.root, reason)
        for process in (self._status, self._config):
            if process is not None and self.owner == os.getpid():
                if process.poll() is None:
                    process.kill()
                    process.wait()
                if process.stdout is not None:
                    process.stdout.close()


def _note(root: str, reason: str) -> None:
    import logging

    logging.getLogger("sacred").debug("no git state for %s: %s", root, reason)


def check_clean_repositories(experiment_info: Mapping[str, Any]) -> None:
    """Raise RuntimeError unless the sources are in repositories without changes.

    Parameters
    ----------
    experiment_info
        An experiment's information: ``base_dir``, and ``sources`` relative to it.
    """
    try:
        import git
    except ImportError as error:
        raise RuntimeError(
            "Option --enforce_clean needs GitPython and a git program: install them, or leave out "
            f"the option ({error})."
        ) from error

    base = experiment_info.get("base_dir") or os.getcwd()
    files = [os.path.abspath(os.path.join(base, name)) for name, _ in experiment_info["sources"]]
    roots = {repository_root(file) for file in files} - {None}
    if not roots:
        raise RuntimeError(
            "No version control detected, so --enforce_clean can not be kept. Put the sources "
            "under git, or leave out the option."
        )
    for root in sorted(filter(None, roots)):
        try:
            with git.Repo(root) as repository:
                dirty = repository.is_dirty()
        except git.GitError as error:
            raise RuntimeError(f"git can not tell the state of {root}: {error}") from error
        if dirty:
            raise RuntimeError(
                f"There are uncommitted changes in the repository {root}. Commit or stash them, "
                "or leave out the option --enforce_clean."
            )
