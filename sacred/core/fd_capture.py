"""Capturing what is written to the descriptors 1 and 2, by Python, C code and child processes.

The work is done by a process of its own; ``tee.py`` is the other side of what is here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from sacred.core.sys_capture import (
    CURRENT,
    PAST,
    STDERR,
    STDOUT,
    SysCapture,
    descriptor_of,
    lines_as_before,
    lines_at_once,
    note_sink_failure,
)
from sacred.journal.descriptors import duplicate, out_of_the_way

if TYPE_CHECKING:
    from types import TracebackType

    from sacred.core.sys_capture import Sink

__all__ = ["FdCapture", "flush_everything", "notice", "reason_against_fd"]

#: Seconds that the end of a capture waits for the terminal to have shown everything.
DRAIN_TIMEOUT = 1.0

#: The capture that has the descriptors: one at a time.
_owners: list[FdCapture] = []

# Descriptors of the tee: see the docstring of `tee.py`.
_OUT_PIPE, _ERR_PIPE, _SPOOL, _REQUESTS, _REPLIES = 3, 4, 5, 6, 7
#: Descriptors for the tee are put up here first, so that none is overwritten on its way.
_HIGH = 64

_SPOOLED, _SHOWN, _ENDED = 1, 2, 3
#: The least of the tokens that say how much of stderr comes first.
_LOGGED = 1 << 31
_REPLY_SIZE = 21
#: What is read of a pipe at once where the tee does not: a record of the spool holds as much.
_PIECE = 65536

#: SIGHUP, SIGINT, SIGQUIT and SIGTERM: whatever ends the run must not end the tee.
_BLOCKED_SIGNALS = (1, 2, 3, 15)

_unreaped: list[int] = []


def reason_against_fd() -> str | None:
    """Return why ``fd`` mode can not be had now, or None if it can."""
    if not hasattr(os, "posix_spawn"):
        return "`fd` mode needs a POSIX system"
    if getattr(sys, "frozen", False) or not sys.executable:
        return "no process can be started by a frozen application"
    if _owners:
        return "another run of this process captures its output in `fd` mode"
    return None


def notice(reason: str | None) -> str:
    """Return the warning of a capture that is not in ``fd`` mode."""
    return f"Output is captured in `sys` mode, because {reason}."


class FdCapture:
    """Captures what is written to the descriptors 1 and 2, by whomever.

    A stream of Python that is not behind its descriptor (a notebook's, a test's) is watched as in
    ``sys`` mode beside.

    Attributes
    ----------
    spool_path
        The spool file, or None for a temporary one.
    tee_pid
        The process that copies.
    lost
        Bytes that could not be spooled, as the tee told last.
    """

    def __init__(
        self, sink: Sink, spool_path: str | os.PathLike[str] | None = None, begin: int = 0
    ) -> None:
        self.mode = "fd"
        self.spool_path = spool_path
        self.tee_pid = 0
        self.lost = 0
        self._sink = sink
        self._lock = threading.RLock()
        self._offset = begin
        self._token = 0
        self._answered = {_SPOOLED: 0, _SHOWN: 0}
        self._replies_left = b""
        self._spool = self._requests = self._replies = -1
        self._saved: dict[int, int | None] = {}
        self._pipes: dict[int, int] = {}
        self._closed: list[int] = []
        self._pid = 0
        self._active = self._tee_dead = self._ended = self._damaged = False
        self._restore_buffering: list[Any] = []
        self._beside: SysCapture | None = None
        self._entered: Any = None

    # -- life

    def __enter__(self) -> FdCapture:
        """Start the tee and put its pipes in place of the descriptors 1 and 2.

        Where that fails, or another run got there first, this is a ``sys`` capture.
        """
        if _owners:
            self._beside = SysCapture(self._sink, notice=notice(reason_against_fd()))
        else:
            _owners.append(self)
            try:
                self._begin()
            except OSError as error:
                _owners.clear()
                self._close_everything()
                why = f"`fd` mode can not begin: {error}"
                self._beside = SysCapture(self._sink, notice=notice(why))
        if not self._active:
            self.mode = "sys"
        self._entered = CURRENT.set(self)
        if self._beside is not None:
            self._beside.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the descriptors back, and pass on everything that was printed so far.

        Waits at most a second for the terminal to have shown it. Child processes that hold the
        pipes go on being copied; ``poll()`` has what they print.
        """
        if self._beside is not None:
            self._beside.__exit__(kind, error, trace)
        if self._entered is not None:
            with contextlib.suppress(ValueError):  # a task that goes on in another context
                CURRENT.reset(self._entered)
            self._entered = None
        if not self._active:
            return
        flush_everything()
        self._restore()
        if self._is_foreign():
            return
        _owners.clear()
        self.drain(DRAIN_TIMEOUT)
        self.poll()

    @property
    def is_live(self) -> bool:
        """Whether it captures."""
        return self._active

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be written into the spool."""
        return self._ended or self._tee_dead or self.mode != "fd"

    @property
    def tells(self) -> dict[int, Any]:
        """Nobody: what goes to the descriptors is heard there."""
        return {}

    @property
    def is_damaged(self) -> bool:
        """Whether something stands in the spool that can not be read: it has to be kept.

        When nobody writes it any more that is also a record which seems to be longer than the file.
        """
        if not self._damaged and self.is_over and self._spool >= 0:
            with contextlib.suppress(OSError):
                return os.fstat(self._spool).st_size > self._offset
        return self._damaged

    def close(self) -> None:
        """Let go of the spool; ``poll()`` finds nothing more. The tee goes on if it has to."""
        with self._lock:
            self._close_everything()

    def _begin(self) -> None:
        _reap()
        flush_everything()
        self._closed = _open_closed_descriptors()
        self._spool = out_of_the_way(self._open_spool())
        if os.fstat(self._spool).st_size < self._offset:
            # Readers know the output by its place: what came before is in the journal, not here.
            os.ftruncate(self._spool, self._offset)
        ends = [os.pipe() for _ in range(4)]
        (out, out_end), (err, err_end), (requests, requests_end), (replies_end, replies) = ends
        # Programs close all descriptors that they know nothing of, and are given these numbers.
        out, err = out_of_the_way(out), out_of_the_way(err)
        self._requests, self._replies = out_of_the_way(requests_end), out_of_the_way(replies_end)
        self._pipes = {STDOUT: out, STDERR: err}
        try:
            self._saved = {fd: None if fd in self._closed else duplicate(fd) for fd in (1, 2)}
            self.tee_pid = self._spawn_tee(out, err, requests, replies)
            for fd in (self._requests, self._replies, out, err):
                os.set_blocking(fd, False)
            self._watch_detached_streams()
            # Before the pipes are in place, and until they are gone: what another run prints at that
            # moment would be in this run's output.
            for stream in (STDOUT, STDERR):
                PAST[stream] = partial(self._show, stream)
            os.dup2(out_end, 1, inheritable=True)
            os.dup2(err_end, 2, inheritable=True)
        except BaseException:
            PAST.clear()
            raise
        finally:
            for fd in (out_end, err_end, requests, replies):
                os.close(fd)
        self._active = True
        self._pid = os.getpid()
        self._restore_buffering = lines_at_once((STDOUT, STDERR))

    def _show(self, stream: int, data: bytes) -> None:
        """Show what another run prints, without capturing it."""
        saved = self._saved.get(stream)
        if saved is None:
            return
        view = memoryview(data)
        with contextlib.suppress(OSError):  # nobody is there to see it
            while view:
                view = view[os.write(saved, view) :]

    def _is_foreign(self) -> bool:
        # A forked child shares the pipes to the tee, but the answers in them are its parent's.
        return self._pid != os.getpid()

    def _open_spool(self) -> int:
        if self.spool_path is None:
            import tempfile

            with tempfile.TemporaryFile() as file:
                return os.dup(file.fileno())
        from sacred.journal.regular_file import open_regular

        return open_regular(self.spool_path, os.O_RDWR | os.O_CREAT)

    def _spawn_tee(self, out: int, err: int, requests: int, replies: int) -> int:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tee.py")
        passed = {
            _OUT_PIPE: out,
            _ERR_PIPE: err,
            _SPOOL: self._spool,
            _REQUESTS: requests,
            _REPLIES: replies,
        }
        high: list[int] = []
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        try:
            for stream in (STDOUT, STDERR):
                saved = self._saved[stream]
                if saved is None:
                    actions.append((os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0))
                else:
                    high.append(_duplicate_above(saved))
                    actions.append((os.POSIX_SPAWN_DUP2, high[-1], stream))
            for target, fd in passed.items():
                high.append(_duplicate_above(fd))
                actions.append((os.POSIX_SPAWN_DUP2, high[-1], target))
            return os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-B", script],
                os.environ,
                file_actions=actions,
                setsigmask=_BLOCKED_SIGNALS,
                **_SESSION,
            )
        finally:
            for fd in high:
                os.close(fd)

    def _watch_detached_streams(self) -> None:
        streams = tuple(
            fd
            for fd, stream in ((STDOUT, sys.stdout), (STDERR, sys.stderr))
            if stream is not None and descriptor_of(stream) != fd
        )
        if streams:
            self._beside = SysCapture(self._pass_beside, streams)

    def _pass_beside(self, stream: int, data: bytes, begin: int | None, end: int | None) -> object:
        with self._lock:
            return self._sink(stream, data, begin, end)

    def _restore(self) -> None:
        """Put the original descriptors back."""
        with self._lock:
            if not self._active:
                return
            self._active = False
            lines_as_before(self._restore_buffering)
            self._restore_buffering = []
            for stream, saved in self._saved.items():
                if saved is not None:
                    with contextlib.suppress(OSError):  # the program closed it
                        os.dup2(saved, stream, inheritable=True)
            PAST.clear()
            self._close_again()

    def _close_again(self) -> None:
        while self._closed:
            _close(self._closed.pop())

    def _close_everything(self) -> None:
        saved = [fd for fd in self._saved.values() if fd is not None]
        for fd in (self._spool, self._requests, self._replies, *saved, *self._pipes.values()):
            _close(fd)
        self._close_again()
        self._spool = self._requests = self._replies = -1
        self._saved, self._pipes = {}, {}
        if self.tee_pid:
            _unreaped.append(self.tee_pid)
            self.tee_pid = 0
        _reap()

    # -- copying

    def poll(self) -> int:
        """Pass on what is new in the spool.

        Returns
        -------
        int
            The bytes of output that were passed on.
        """
        if self.mode != "fd" or self._is_foreign():
            return 0
        try:
            from sacred.journal.spool import read_spool
        except Exception as error:  # no descriptor is left to read it by: the spool keeps it all
            note_sink_failure(error)
            return 0
        with self._lock:
            if self._spool < 0:
                return 0
            self._read_replies()
            count = 0
            while True:
                try:
                    found = read_spool(self._spool, self._offset)
                except OSError as error:  # the program closed our descriptors
                    note_sink_failure(error)
                    return count
                for chunk in found.chunks:
                    self._offset = chunk.end
                    count += len(chunk.data)
                    try:
                        self._sink(chunk.stream, chunk.data, chunk.begin, chunk.end)
                    except Exception as error:
                        note_sink_failure(error)
                if found.verdict != "more":
                    self._damaged = found.verdict == "damaged"
                    return count

    def note_start(self) -> None:
        """Have what was logged so far stand before what is printed from now on. Does not wait."""
        import fcntl
        import termios

        with self._lock:
            if self._requests < 0 or self._tee_dead or self._is_foreign():
                return
            # Where it can not be told, or the tee is behind, the order is that of chance.
            with contextlib.suppress(OSError):
                waiting = int.from_bytes(fcntl.ioctl(2, termios.FIONREAD, bytes(4)), sys.byteorder)
                if 0 < waiting < _LOGGED:
                    os.write(self._requests, (_LOGGED + waiting).to_bytes(4, "little"))

    def drain(self, timeout: float) -> bool:
        """Wait until everything printed so far is in the spool and on the terminal.

        Parameters
        ----------
        timeout
            The seconds to wait at most.

        Returns
        -------
        bool
            False if the time was not enough; everything is copied all the same, later.
        """
        import select
        import time

        with self._lock:
            if self._requests < 0 or self._tee_dead or self._is_foreign():
                return self._tee_dead
            self._token += 1
            token = self._token
            try:
                os.write(self._requests, token.to_bytes(4, "little"))
            except OSError:
                self._read_replies()
                return False
        until = time.monotonic() + timeout
        while self._answered[_SHOWN] < token and not self._tee_dead:
            left = until - time.monotonic()
            if left <= 0:
                return False
            waiting = select.poll()
            waiting.register(self._replies, select.POLLIN)
            waiting.poll(max(1, int(left * 1000)))
            with self._lock:
                if self._replies < 0:
                    return False
                self._read_replies()
        return True

    def _read_replies(self) -> None:
        if self._tee_dead or self._replies < 0:
            return
        try:
            data = os.read(self._replies, 65536)
        except BlockingIOError:
            return
        except OSError:  # the program closed our descriptors: nothing is left to go back to
            self._tee_dead = True
            return
        if not data:
            self._tee_dead = True
            self._do_without_tee()
            return
        data = self._replies_left + data
        while len(data) >= _REPLY_SIZE:
            kind, token = data[0], int.from_bytes(data[1:5], "little")
            self.lost = max(self.lost, int.from_bytes(data[13:21], "little"))
            if kind == _ENDED:
                self._ended = True
            else:
                self._answered[kind] = token
            data = data[_REPLY_SIZE:]
        self._replies_left = data

    def _do_without_tee(self) -> None:
        """Copy what the pipes hold and go back to the terminal: nobody reads them any more."""
        import time

        self._restore()
        try:
            from sacred.journal.spool import encode_record
        except Exception as error:  # no descriptor is left to read it by: it is shown all the same
            note_sink_failure(error)
            encode_record = None  # type: ignore[assignment]
        end = os.fstat(self._spool).st_size
        for stream, pipe in self._pipes.items():
            saved = self._saved[stream]
            while True:
                try:
                    data = os.read(pipe, _PIECE)
                except BlockingIOError:
                    break
                if not data:
                    break
                try:
                    if encode_record is None:
                        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                    record = encode_record(stream, time.time_ns(), data)
                    end += os.pwrite(self._spool, record, end)
                except OSError:
                    self.lost += len(data)
                try:
                    if saved is not None:
                        os.write(saved, data)
                except OSError:
                    continue


_SESSION: dict[str, Any] = {"setsid": True}


def _open_closed_descriptors() -> list[int]:
    """Open the null device on those of 0, 1 and 2 that are closed, and return them.

    Otherwise the next file that is opened would be the one that everybody prints to.
    """
    opened = []
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            opened.append(fd)
    return opened


def _close(fd: int) -> None:
    """Close a descriptor that the program may have closed already."""
    if fd >= 0:
        with contextlib.suppress(OSError):
            os.close(fd)


def _duplicate_above(fd: int) -> int:
    import fcntl

    return int(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH))


def _reap() -> None:
    for pid in list(_unreaped):
        try:
            done, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            done = pid
        if done:
            _unreaped.remove(pid)


def flush_everything() -> None:
    """Flush the buffers of stdout and stderr, and those of C code where some was loaded."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            continue
    if _has_foreign_c_code():
        import ctypes

        try:
            ctypes.CDLL(None).fflush(None)
        except (OSError, AttributeError):
            return


def _has_foreign_c_code() -> bool:
    """Return whether C code that may have buffers of its own was loaded."""
    if "ctypes" in sys.modules:
        return True
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith((".so", ".dylib")) and "lib-dynload" not in file:
            return True
    return False
