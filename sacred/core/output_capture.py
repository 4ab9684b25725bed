"""Capturing what a run prints: the modes ``no``, ``sys`` and ``fd``.

``sys`` watches what Python code writes to ``sys.stdout`` and ``sys.stderr``. ``fd`` watches the
descriptors 1 and 2, so it sees C code and child processes too: it puts pipes in their place and
lets a process of its own (``tee.py``) copy them to the terminal and into a spool file, which is
read here. ``no`` watches nothing.

In all modes the terminal shows what it would show without. What is captured is bytes: nobody can
promise that it is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sacred.core.errors import SacredError
from sacred.core.sys_capture import SysCapture, TeeingStream

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from sacred.core.fd_capture import FdCapture
    from sacred.core.sys_capture import Sink

__all__ = [
    "CAPTURE_MODES",
    "Capture",
    "NoCapture",
    "SysCapture",
    "TeeingStream",
    "UnknownCaptureModeError",
    "capture",
    "check_capture_mode",
    "default_capture_mode",
]

CAPTURE_MODES = ("fd", "no", "sys")


class UnknownCaptureModeError(SacredError, ValueError, KeyError):
    """A capture mode that does not exist."""

    def __init__(self, mode: object) -> None:
        super().__init__(
            f"Unknown capture mode {mode!r}. Available options are {list(CAPTURE_MODES)}",
            print_traceback=False,
        )

    def __str__(self) -> str:
        """Return the sentence itself (``KeyError`` would show its ``repr``)."""
        return str(self.args[0])


def check_capture_mode(mode: object) -> str:
    """Return the mode, or raise :class:`UnknownCaptureModeError` if it is none."""
    if not isinstance(mode, str) or mode not in CAPTURE_MODES:
        raise UnknownCaptureModeError(mode)
    return mode


def default_capture_mode(is_observed: bool) -> str:
    """Return the mode for a run that names none.

    Parameters
    ----------
    is_observed
        Whether a view was asked for. Without one, ``sys`` leaves the descriptors alone, so that
        nobody's progress bar changes.
    """
    from sacred.core.settings import SETTINGS

    return check_capture_mode(SETTINGS.CAPTURE_MODE) if is_observed else "sys"


class Capture(Protocol):
    """A capture; entering it begins, leaving it ends, and after that everything is as before.

    Attributes
    ----------
    mode
        The mode in force, which is not always the one that was asked for.
    lost
        Bytes that were shown but could not be kept, because the disk did not take them.
    """

    mode: str
    lost: int

    def __enter__(self) -> Capture:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; waits at most a second for a terminal that is behind."""
        ...

    def poll(self) -> int:
        """Pass on what is new and return its bytes. Any thread may call it, also after the end."""
        ...


def capture(
    mode: str, sink: Sink, spool_path: str | os.PathLike[str] | None = None, begin: int = 0
) -> NoCapture | SysCapture | FdCapture:
    """Return a capture of what the process prints.

    Parameters
    ----------
    mode
        ``"no"``, ``"sys"`` or ``"fd"``. Where ``fd`` can not be had (another run of this process
        has it, Windows, a frozen application), it is ``sys`` with one warning.
    sink
        Takes the bytes: in ``sys`` mode in the thread that prints, in ``fd`` mode in the thread
        that calls ``poll()``. What it raises is dropped, because a print must not fail by it.
    spool_path
        The spool file for ``fd`` mode, which stays. By default a temporary file that does not.
    begin
        Where in that file the output begins (bytes): behind that of an earlier process.

    Raises
    ------
    UnknownCaptureModeError
        If there is no such mode.
    """
    check_capture_mode(mode)
    if mode == "no":
        return NoCapture()
    if mode == "sys":
        return SysCapture(sink)
    from sacred.core.fd_capture import FdCapture, notice, reason_against_fd

    reason = reason_against_fd()
    if reason is None:
        return FdCapture(sink, spool_path, begin)
    return SysCapture(sink, notice=notice(reason))


class NoCapture:
    """The capture that captures nothing."""

    mode = "no"
    lost = 0

    def __enter__(self) -> NoCapture:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""

    def poll(self) -> int:
        """Return 0."""
        return 0


UnknownCaptureModeError.__module__ = "sacred.stdout_capturing"
