"""The uncommitted changes of a working tree, as a patch that ``git apply`` takes.

The patch is the same whatever the user's git configuration says: no colours, no external programs,
no other prefixes or algorithms. Tracked files only; of a submodule the commit, not its content.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

__all__ = ["Changes", "uncommitted_changes"]

#: Seconds that git may take for a patch.
DIFF_TIMEOUT = 5.0
_CONFIGURATION = (
    "core.quotePath=true",
    "core.safecrlf=false",
    # Larger files count as binary: a text of 100 MB is not compared line by line.
    "core.bigFileThreshold=16m",
    "diff.suppressBlankEmpty=false",
)
_OPTIONS = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-relative"),
    *("--diff-algorithm=myers", "--no-indent-heuristic", "--full-index", "-O/dev/null"),
    *("--unified=3", "--inter-hunk-context=0", "--src-prefix=a/", "--dst-prefix=b/"),
    *("--submodule=short", "--ignore-submodules=dirty"),
)
#: Variables by which programs around us change what git compares or prints.
_VARIABLES = ("GIT_DIFF_OPTS", "GIT_EXTERNAL_DIFF", "GIT_LITERAL_PATHSPECS")


class Changes(NamedTuple):
    """What of a working tree is not committed.

    Attributes
    ----------
    patch
        The difference to the last commit; None if it is not known.
    note
        What is missing, and why, in one sentence; None if nothing is.
    """

    patch: bytes | None
    note: str | None = None


def uncommitted_changes(root: str, limit: int, excluded: Iterable[str] = ()) -> Changes:
    """Return the difference of a working tree to its last commit; waits for git.

    Parameters
    ----------
    root
        The working tree.
    limit
        Bytes. Where the patch is larger it is made anew without the contents of binary files, which
        are only named then; where that is too large as well there is none.
    excluded
        Patterns for files that are left out, as in ``.gitignore``: ``*.pem``.

    Notes
    -----
    Never raises because of git. It is stopped after five seconds.
    """
    paths = [":/", *(f":(top,exclude,glob,icase)**/{pattern}" for pattern in excluded)]
    whole = _ask(root, ["--binary", "HEAD", "--", *paths], limit)
    if not isinstance(whole, _TooLarge):
        return whole
    named = _ask(root, ["HEAD", "--", *paths], limit)
    if isinstance(named, _TooLarge):
        return Changes(
            None,
            f"the uncommitted changes in {root} are not recorded: they are larger than {limit} "
            "bytes (SETTINGS.GIT.MAX_DIFF_SIZE)",
        )
    if named.patch is None:
        return named
    return Changes(
        named.patch,
        f"of the uncommitted changes in {root} those of binary files are only named: all of them "
        f"are larger than {limit} bytes (SETTINGS.GIT.MAX_DIFF_SIZE)",
    )


class _TooLarge:
    pass


def _ask(root: str, arguments: list[str], limit: int) -> Changes | _TooLarge:
    import subprocess

    configuration = [word for setting in _CONFIGURATION for word in ("-c", setting)]
    command = ["git", "--no-optional-locks", "-C", root, *configuration, "diff", *_OPTIONS]
    try:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name not in _VARIABLES},
        )
    except OSError as error:
        return Changes(None, _failure(root, f"git can not be started ({error.strerror or error})"))
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    # Its output is read in pieces up to the limit, which `communicate` does not know.
    timer = threading.Timer(DIFF_TIMEOUT, stop)
    timer.daemon = True
    timer.start()
    try:
        patch = _read(process, limit)
    finally:
        timer.cancel()
        process.kill()
        _reap(process)
    if patch is None:
        return _TooLarge()
    if late.is_set():
        return Changes(None, _failure(root, f"git took longer than {DIFF_TIMEOUT:g} seconds"))
    if process.returncode != 0:
        return Changes(None, _failure(root, f"git ended with status {process.returncode}"))
    return Changes(patch)


def _read(process: subprocess.Popen[bytes], limit: int) -> bytes | None:
    """Return what a process prints; None if it is more than the limit."""
    if process.stdout is None:
        return b""
    with process.stdout as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        return None
    _reap(process)
    return content


def _reap(process: subprocess.Popen[bytes]) -> None:
    import subprocess

    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:  # a disk that hangs
        pass


def _failure(root: str, why: str) -> str:
    return f"the uncommitted changes in {root} are not recorded: {why}"
