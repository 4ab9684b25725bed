"""Notes of child processes on what no file took: how many events, and why.

A child process has no file before the disk takes one. Where the disk is full until the child has
ended, nothing in the journal would tell what it recorded. So while the disk refuses, a child keeps a
note beside it, in memory that all processes of this machine share (``/dev/shm``, else ``$TMPDIR``,
``/tmp``), with every event; whoever ends the child, by ``os._exit`` or SIGKILL, leaves the note
where it is. The process that began the run finds it, and writes the ``gap`` event.

A note is a symbolic link whose target is its text: making one takes no file descriptor and replacing
one is atomic, so that a process that has used up its descriptors can leave one, too.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from sacred.journal.identity import process_start
from sacred.journal.named_tuple import NamedTuple

__all__ = ["LossNote", "forget_losses", "note_losses", "take_loss_notes"]

#: A link's target holds 4095 bytes; a reason is a sentence of the system.
_REASON = 200


class LossNote(NamedTuple):
    """What a process noted that has ended.

    Attributes
    ----------
    pid
        The process.
    lost
        How many events it recorded that are in no file.
    reason
        What the system said, such as ``No space left on device``.
    told
        Whether the process said so itself at its end.
    """

    pid: int
    lost: int
    reason: str
    told: bool


def note_losses(journal_id: int, lost: int, reason: str, *, told: bool = False) -> bool:
    """Note how many events of this process are in no file, in place of what was noted before.

    Parameters
    ----------
    journal_id
        Of which journal.
    lost, reason, told
        As in ``LossNote``.

    Returns
    -------
    Whether it is noted. It raises nothing because of a disk.
    """
    pid = os.getpid()
    text = f"{lost} {int(told)} {_start_of(pid)} {reason[:_REASON]}".replace("\0", "")
    for place in _places():
        try:
            _make(place)
            new = os.path.join(place, f".{journal_id:016x}-{pid}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            os.symlink(text, new)
            os.replace(new, os.path.join(place, f"{journal_id:016x}-{pid}"))
        except OSError:
            continue
        return True
    return False


def forget_losses(journal_id: int) -> None:
    """Take this process's note away: what it counted is in a file now."""
    for place in _places():
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(place, f"{journal_id:016x}-{os.getpid()}"))
            os.rmdir(place)  # where it was the last one


def take_loss_notes(journal_id: int) -> list[LossNote]:
    """Return the notes of processes that have ended, and take them away.

    Those of processes that live stay: they may write yet what they counted.
    """
    found = []
    prefix = f"{journal_id:016x}-"
    for place in _places():
        try:
            if not _is_ours(place):
                continue
            names = [name for name in os.listdir(place) if name.startswith(prefix)]
        except OSError:
            continue
        for name in names:
            note = _take(os.path.join(place, name), name.removeprefix(prefix))
            if note is not None:
                found.append(note)
        with contextlib.suppress(OSError):
            os.rmdir(place)
    return found


def _take(path: str, pid: str) -> LossNote | None:
    try:
        lost, told, start, reason = os.readlink(path).split(" ", 3)
        note = LossNote(int(pid), int(lost), reason, told == "1")
        now = _start_of(note.pid)
        if now != "-" and start in {"-", now}:
            return None
        os.unlink(path)
    except (OSError, ValueError):  # somebody else's hand was in it
        return None
    return note


def _start_of(pid: int) -> str:
    """Return what tells a process from a later one of its number; ``-`` for one that has ended."""
    start = process_start(pid)
    return "-" if start is None else f"{start:.2f}"


def _places() -> list[str]:
    user = os.getuid() if hasattr(os, "getuid") else 0
    # Anybody may write there: `_is_ours` looks before anything is believed.
    folders = ["/dev/shm"] if sys.platform == "linux" else []  # noqa: S108
    folders.append(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
    return [os.path.join(folder, f"sacred-journal-{user}") for folder in folders]


def _make(place: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(place, 0o700)
    if not _is_ours(place):
        raise PermissionError(place)


def _is_ours(place: str) -> bool:
    """Tell whether a folder is this user's alone: anybody may make one in these places."""
    state = os.lstat(place)
    mine = not hasattr(os, "getuid") or state.st_uid == os.getuid()
    return stat.S_ISDIR(state.st_mode) and mine and not state.st_mode & 0o022
