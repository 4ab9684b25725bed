"""A process that reads and folds the next runs while this one writes: it sends what they came to.

It is a fork that only reads: it takes no lock, writes no file, opens no view and starts nothing. It
sends one message a run through a pipe, in the order of the runs, waits where nobody reads, and ends
with the last run or when the pipe has no reader any more, however that went. What it does not send,
or what came out otherwise by then, is read and folded by the process that writes, as without it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import struct
import sys
from typing import TYPE_CHECKING, BinaryIO

from sacred.replayers.folded_run import FoldedRun, fold_whole
from sacred.replayers.memo import ViewMemo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import SinkSpec

__all__ = ["FoldAhead", "is_of_use"]

#: Fewer runs are not worth a process.
_FEWEST = 8
#: How much may wait in the pipe (bytes): some runs of a thousand points.
_AHEAD = 1 << 20
_LENGTH = struct.Struct("<I")
#: Views that are told a run's document as everybody shows it, in any order of the views.
_KINDS = frozenset({"file", "gcs", "mongo", "parquet", "s3", "sql", "tinydb"})


def is_of_use(folders: Sequence[RunFolder], views: Sequence[SinkSpec]) -> bool:
    """Tell whether a second process would help, and may be forked.

    A process with several threads is not forked: what another thread holds stays held in the child.
    """
    if sys.platform != "linux" or len(folders) * len(views) < _FEWEST:
        return False
    if not all(view.kind in _KINDS and view.url for view in views):
        return False
    try:
        return len(os.sched_getaffinity(0)) > 1 and len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class FoldAhead:
    """The process, for who writes each of the runs into each of the views.

    Parameters
    ----------
    folders
        The runs.
    views
        The views of each, in the order in which they are written.

    Notes
    -----
    One thread uses it. ``close`` has to be called: the process is waited for there.
    """

    def __init__(self, folders: Sequence[RunFolder], views: Sequence[SinkSpec]) -> None:
        self._pid = 0
        self._pipe: BinaryIO | None = None
        reading, writing = os.pipe()
        _widen(writing)
        try:
            pid = os.fork()
        except OSError:  # no room for another process: then without
            os.close(reading)
            os.close(writing)
            return
        if pid == 0:
            _child(reading, writing, folders, views)
        os.close(writing)
        self._pid, self._pipe = pid, os.fdopen(reading, "rb")

    def next(self) -> FoldedRun | None:
        """Return the next run of the next view; None if it is to be folded here.

        A process that is gone has told of no more runs.
        """
        if self._pipe is None:
            return None
        try:
            head = self._pipe.read(_LENGTH.size)
            length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
            content = self._pipe.read(length)
            if len(head) < _LENGTH.size or len(content) < length:
                self.close()
                return None
            found = pickle.loads(content) if length else None  # noqa: S301 - from our own child
        except (OSError, pickle.UnpicklingError, EOFError):
            self.close()
            return None
        return found if isinstance(found, FoldedRun) else None

    def close(self) -> None:
        """End the process and wait until it is gone: it holds nothing that could be lost."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        pid, self._pid = self._pid, 0
        if pid:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def _widen(descriptor: int) -> None:
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _AHEAD)


def _child(
    reading: int, writing: int, folders: Sequence[RunFolder], views: Sequence[SinkSpec]
) -> None:
    """Fold and send; never returns, and nothing of the parent's ends is run."""
    # The parent folds for itself what does not come, whatever the reason.
    with contextlib.suppress(BaseException):
        # Ctrl-C is the parent's to answer: this one ends with the pipe.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(reading)
        keys = [view.key for view in views]
        for folder in folders:
            for key in keys:
                _send(writing, folder, key)
    os._exit(0)


def _send(writing: int, folder: RunFolder, key: str) -> None:
    memo = ViewMemo.load(folder.views, key)
    known = memo is not None and bool(memo.position)  # the view has it, or some of it
    found = fold_whole(folder) if not known else None
    content = pickle.dumps(found, pickle.HIGHEST_PROTOCOL) if found is not None else b""
    message = memoryview(_LENGTH.pack(len(content)) + content)
    while message:
        message = message[os.write(writing, message) :]
