"""Stack traces as the command line prints them, without the framework's own frames."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traceback import TracebackException
    from types import FrameType, TracebackType

    from sacred.core.errors import SacredError

__all__ = ["format_filtered_stacktrace", "format_sacred_error", "print_filtered_stacktrace"]

_PYTHONS_HEADER = "Traceback (most recent call last):"


def format_sacred_error(e: SacredError, short_usage: str) -> str:
    """Return an error as its own attributes say, to be called while it is handled.

    Parameters
    ----------
    e
        The error that is being handled.
    short_usage
        What stands in front where the error wants the usage to be printed.
    """
    from traceback import format_exception_only

    lines = [short_usage] if e.print_usage else []
    if e.print_traceback:
        lines.append(format_filtered_stacktrace(e.filter_traceback))
    else:
        lines.append("".join(format_exception_only(type(e), e)))
    return "\n".join(lines)


def print_filtered_stacktrace(filter_traceback: str = "default") -> None:
    """Print the exception that is being handled to stderr; see format_filtered_stacktrace."""
    print(format_filtered_stacktrace(filter_traceback), file=sys.stderr)


def format_filtered_stacktrace(filter_traceback: str = "default") -> str:
    """Return the stack trace of the exception that is being handled.

    Parameters
    ----------
    filter_traceback
        ``"never"``: as Python prints it. ``"always"``: without the frames of the framework, also
        in the exceptions that caused this one. ``"default"``: like ``"always"``, but if the
        exception was raised by the framework itself, and not in a call that the user's function
        made, its last frame is all that is shown. (Sacred shows that one also where the user's
        function made the call, and nothing of it: RUN-11.)
    """
    from traceback import TracebackException, format_exception, format_exception_only, format_tb

    kind, error, trace = sys.exc_info()
    if kind is None or error is None:
        return ""
    if filter_traceback == "never":
        return "".join(format_exception(kind, error, trace))
    last = trace
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if (
        filter_traceback == "default"
        and last is not None
        and _is_sacred_frame(last.tb_frame)
        and not _calls_back(trace)
    ):
        head = "Exception originated from within Sacred.\nTraceback (most recent calls):\n"
        shown = [*format_tb(last), *format_exception_only(kind, error)]
        return head + "".join(shown).rstrip("\n")
    described = TracebackException(kind, error, trace)
    _leave_out_sacred(described, error, set())
    return "".join(described.format()).replace(
        _PYTHONS_HEADER, "Traceback (most recent calls WITHOUT Sacred internals):"
    )


def _calls_back(trace: TracebackType | None) -> bool:
    """Tell whether a function of the user's, called by the framework, made the call."""
    from traceback import walk_tb

    ours = [_is_sacred_frame(frame) for frame, _ in walk_tb(trace)]
    return True in ours and False in ours[ours.index(True) :]


def _leave_out_sacred(described: TracebackException, error: BaseException, seen: set[int]) -> None:
    """Remove our frames from the description of an exception and of those behind it."""
    if id(error) in seen:
        return
    seen.add(id(error))
    from traceback import walk_tb

    # An exception that was never raised has no frames.
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    described.stack[:] = [
        summary
        for summary, frame in zip(described.stack, frames, strict=False)
        if not _is_sacred_frame(frame)
    ]
    members: Any = getattr(error, "exceptions", None)
    described_members: Any = getattr(described, "exceptions", None)
    for inner, cause in (
        (described.__cause__, error.__cause__),
        (described.__context__, error.__context__),
        *zip(described_members or (), members or (), strict=False),
    ):
        if inner is not None and cause is not None:
            _leave_out_sacred(inner, cause, seen)


def _is_sacred_frame(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and name.partition(".")[0] == "sacred"
