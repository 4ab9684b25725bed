"""The git state of the folders that an experiment's sources are in.

git is asked once for a repository, with two processes that run while the experiment goes on, and
never once for a file. That git is missing, that a file is in no repository or that a repository
has no commit yet are no errors: there simply is no state to tell, and a note says why.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError
from sacred.core.fork import IMPORTING, ForkSafeLock
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping

__all__ = [
    "EnforceCleanError",
    "FoundRepository",
    "PendingGitState",
    "RepositoryState",
    "check_clean_repositories",
    "found_repositories",
    "repository_root",
    "start_git_query",
    "state_of_file",
]

#: Seconds that git may take to tell the state of a repository, from the moment it is asked.
GIT_TIMEOUT = 5.0


class EnforceCleanError(SacredError, RuntimeError):
    """The sources are not all committed, or nobody can tell."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


class RepositoryState(NamedTuple):
    """Where a repository came from, the commit it stands on, and whether tracked files changed."""

    url: str
    commit: str
    dirty: bool


class FoundRepository(NamedTuple):
    """A repository that git was asked about.

    Attributes
    ----------
    root
        Its working directory.
    state
        What git told; None if it told nothing.
    note
        Why it told nothing, in one sentence.
    """

    root: str
    state: RepositoryState | None
    note: str | None


def found_repositories(paths: Iterable[str]) -> list[FoundRepository]:
    """Return the repositories of some files, as far as git was asked about them; waits for git."""
    roots = sorted({root for root in map(repository_root, paths) if root is not None})
    with _lock:
        queries = [(root, _queries.get(root)) for root in roots]
    return [
        FoundRepository(root, query.result(), query.note)
        for root, query in queries
        if query is not None and query.owner == os.getpid()
    ]


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


def start_git_query(
    paths: Iterable[str], besides: PendingGitState | None = None
) -> PendingGitState:
    """Ask git for the state of every repository that one of the files is in; do not wait.

    The states replace those that :func:`state_of_file` gave so far.

    Parameters
    ----------
    paths
        Absolute paths of files.
    besides
        What was asked a moment ago: its repositories are not asked again.
    """
    roots = {path: repository_root(path) for path in paths}
    known = {} if besides is None else besides.queries
    queries = {
        root: known.get(root) or _Query(root) for root in set(roots.values()) if root is not None
    }
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
        self.queries = dict(queries)

    @property
    def done(self) -> bool:
        """True when :meth:`result` returns without waiting."""
        return all(query.done for query in self.queries.values())

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
        states = {root: query.result(timeout) for root, query in self.queries.items()}
        found = {}
        for path, root in self._roots.items():
            state = states.get(root) if root is not None else None
            if state is not None:
                found[path] = state
        return found

    def cancel(self) -> None:
        """End the processes; a repository that has not answered has no state."""
        for query in self.queries.values():
            query.cancel()


_lock = ForkSafeLock()
_queries: dict[str, _Query] = {}


class _Query:
    """The two processes that tell the state of one repository."""

    def __init__(self, root: str) -> None:
        import time

        self.root = root
        self.owner = os.getpid()
        self.done = False
        #: Why there is no state, once that is known.
        self.note: str | None = None
        self._state: RepositoryState | None = None
        self._told: tuple[bytes, bytes] | None = None
        self._lock = ForkSafeLock()
        self._deadline = time.monotonic() + GIT_TIMEOUT
        self._status: subprocess.Popen[bytes] | None = None
        self._config: subprocess.Popen[bytes] | None = None
        try:
            self._status = self._start(
                "status", "--porcelain=v2", "--branch", "--untracked-files=no"
            )
            self._config = self._start("config", "--get", "remote.origin.url", tells_why=False)
        except OSError as error:
            self._give_up(f"git can not be started ({error.strerror or error})")

    def __del__(self) -> None:
        # A run that could not wait let go of it: git and its pipes end with it.
        try:
            if not self.done:
                self._give_up("nobody waited for it")
        except Exception:
            pass

    def _start(self, *arguments: str, tells_why: bool = True) -> subprocess.Popen[bytes]:
        with IMPORTING:
            import subprocess

        # Without optional locks the status is told but never written into the user's index.
        return subprocess.Popen(
            ["git", "--no-optional-locks", "-C", self.root, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if tells_why else subprocess.DEVNULL,
        )

    def result(self, timeout: float | None = None) -> RepositoryState | None:
        """Return the state, or None when there is none or it was not told in time."""
        import subprocess
        import time

        with self._lock:
            foreign = self.owner != os.getpid()  # the processes are our parent's
            if self.done or foreign or self._status is None or self._config is None:
                return self._state
            left = max(0.0, self._deadline - time.monotonic())
            patience = left if timeout is None else min(timeout, left)
            until = time.monotonic() + patience
            try:
                if self._told is None:
                    self._told = self._status.communicate(timeout=patience)
                url, _ = self._config.communicate(timeout=max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                if time.monotonic() >= self._deadline:
                    self._give_up(f"git did not answer within {GIT_TIMEOUT:g} seconds")
                return None
            status, why = self._told
            if self._status.returncode != 0:
                said = why.decode("utf-8", "replace").strip().splitlines() or [""]
                self._give_up(said[0] or f"git ended with status {self._status.returncode}")
                return None
            self.done = True
            self._state = self._read(status, url)
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
            self._say("it has no commit yet")
            return None
        remote = url.decode("utf-8", "surrogateescape").strip()
        return RepositoryState(remote or f"git:/{self.root}", commit, dirty)

    def cancel(self) -> None:
        """End the processes."""
        with self._lock:
            if not self.done:
                self._give_up("it was not waited for")

    def _give_up(self, reason: str) -> None:
        import contextlib
        import subprocess

        self.done = True
        self._say(reason)
        for process in (self._status, self._config):
            if process is not None and self.owner == os.getpid():
                if process.poll() is None:
                    process.kill()
                    with contextlib.suppress(subprocess.TimeoutExpired):  # a disk that hangs
                        process.wait(1.0)
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        stream.close()

    def _say(self, reason: str) -> None:
        import logging

        self.note = f"no git state for {self.root}: {reason}"
        logging.getLogger("sacred").debug("%s", self.note)


def check_clean_repositories(experiment_info: Mapping[str, Any]) -> None:
    """See that the repositories of the sources have no changes.

    Only tracked files count, as with git's own "nothing to commit".

    Parameters
    ----------
    experiment_info
        An experiment's information: ``base_dir``, and ``sources`` relative to it.

    Raises
    ------
    EnforceCleanError
        They have, or nobody can tell. It is a ``RuntimeError``.
    """
    try:
        import git
    except ModuleNotFoundError as error:
        raise EnforceCleanError(
            f"Option --enforce_clean needs the package {error.name}, which is not installed: "
            "pip install GitPython, or leave out the option."
        ) from error
    except ImportError as error:
        # With a page of advice on how GitPython finds its program.
        raise EnforceCleanError(
            "Option --enforce_clean needs the program git, which can not be run: install it, or "
            "leave out the option."
        ) from error

    base = experiment_info.get("base_dir") or os.getcwd()
    files = [os.path.abspath(os.path.join(base, name)) for name, _ in experiment_info["sources"]]
    roots = {repository_root(file) for file in files} - {None}
    if not roots:
        raise EnforceCleanError(
            "No version control detected, so --enforce_clean can not be kept. Put the sources "
            "under git, or leave out the option."
        )
    for root in sorted(filter(None, roots)):
        try:
            with git.Repo(root) as repository:
                has_commit = repository.head.is_valid()
                dirty = repository.is_dirty()
        except (git.GitError, OSError) as error:
            raise EnforceCleanError(
                f"git can not tell the state of {root}: {_first_line(error)}"
            ) from error
        if not has_commit:
            raise EnforceCleanError(
                f"The repository {root} has no commit yet, so --enforce_clean can not be kept. "
                "Commit the sources, or leave out the option."
            )
        if dirty:
            raise EnforceCleanError(
                f"There are uncommitted changes in the repository {root}. Commit or stash them, "
                "or leave out the option --enforce_clean."
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
