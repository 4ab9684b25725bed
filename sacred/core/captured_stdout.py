r"""Sacred's own way to capture what is printed: ``get_stdcapturer``.

Runs do not use it. It is for programs and tests that capture output themselves::

    mode, capture_out = get_stdcapturer("sys")
    with capture_out() as out:
        print("hello")
        so_far = out.get()  # "hello\n"
"""

from __future__ import annotations

import contextlib
import threading
from typing import IO, TYPE_CHECKING, Any

from sacred.core.output_capture import NoCapture, SysCapture, check_capture_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sacred.core.fd_capture import FdCapture

__all__ = [
    "CapturedStdout",
    "TeeingStreamProxy",
    "flush",
    "get_stdcapturer",
    "no_tee",
    "tee_output_fd",
    "tee_output_python",
]


class CapturedStdout:
    """What was captured so far, as text.

    Parameters
    ----------
    buffer
        The text; it can be read and sought in.

    Attributes
    ----------
    buffer
        The same.
    read_position
        Where ``get`` goes on.
    final
        What was left at the end, until ``get`` took it.
    """

    def __init__(self, buffer: IO[str]) -> None:
        self.buffer = buffer
        self.read_position = 0
        self.final: str | None = None
        self._fetch: Callable[[], object] | None = None
        self._lock = threading.RLock()

    @property
    def closed(self) -> bool:
        """Whether the capture is over."""
        return self.buffer.closed

    def flush(self) -> None:
        """Flush the buffer."""
        self.buffer.flush()

    def get(self) -> str:
        """Return what is new since the last call; once more after the end.

        Raises
        ------
        ValueError
            If the capture is over and all of it was returned.
        """
        if self._fetch is not None:
            self._fetch()
        with self._lock:
            if self.final is not None:
                text, self.final = self.final, None
                return text
            self.buffer.seek(self.read_position)
            text = self.buffer.read()
            self.read_position = self.buffer.tell()
            return text

    def finalize(self) -> None:
        """End the capture: the rest is kept for one more ``get``."""
        self.flush()
        self.final = self.get()
        self._fetch = None
        self.buffer.close()

    def _append(self, text: str) -> None:
        with self._lock:
            self.buffer.seek(0, 2)
            self.buffer.write(text)


class TeeingStreamProxy:
    """A stream that writes to a second one, too; in everything else it is the first."""

    def __init__(self, wrapped: Any, out: Any) -> None:
        self.__wrapped__ = wrapped
        self._self_out = out

    def write(self, data: str) -> None:
        """Write to both."""
        self.__wrapped__.write(data)
        self._self_out.write(data)

    def flush(self) -> None:
        """Flush both."""
        self.__wrapped__.flush()
        self._self_out.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)


def flush() -> None:
    """Flush the buffers of stdout and stderr, those of C code too."""
    from sacred.core.fd_capture import flush_everything

    flush_everything()


def get_stdcapturer(
    mode: str | None = None,
) -> tuple[str, Callable[[], AbstractContextManager[CapturedStdout]]]:
    """Return a capture mode, and the function that captures in it.

    Parameters
    ----------
    mode
        ``no``, ``sys`` or ``fd``; by default what ``SETTINGS.CAPTURE_MODE`` says.

    Raises
    ------
    UnknownCaptureModeError
        If there is no such mode; it is a ``KeyError``.
    """
    from sacred.core.settings import SETTINGS

    name = check_capture_mode(SETTINGS.CAPTURE_MODE if mode is None else mode)
    return name, {"no": no_tee, "sys": tee_output_python, "fd": tee_output_fd}[name]


@contextlib.contextmanager
def no_tee() -> Iterator[CapturedStdout]:
    """Capture nothing."""
    with _captured(lambda _sink: NoCapture()) as out:
        yield out


@contextlib.contextmanager
def tee_output_python() -> Iterator[CapturedStdout]:
    """Capture what Python code writes to ``sys.stdout`` and ``sys.stderr``, which still show it."""
    with _captured(SysCapture) as out:
        yield out


@contextlib.contextmanager
def tee_output_fd() -> Iterator[CapturedStdout]:
    """Capture what is written to the descriptors 1 and 2, which still show it.

    As in a run, ``sys`` mode takes its place, with a warning, where this can not be had: on
    Windows, and while a run captures so.
    """
    from sacred.core.output_capture import capture

    with _captured(lambda sink: capture("fd", sink)) as out:
        yield out


@contextlib.contextmanager
def _captured(
    begin: Callable[[Any], NoCapture | SysCapture | FdCapture],
) -> Iterator[CapturedStdout]:
    import codecs
    import io

    out = CapturedStdout(io.StringIO(newline=""))
    decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (1, 2)}

    def keep(stream: int, data: bytes, _begin: int | None, _end: int | None) -> None:
        out._append(decoders[stream].decode(data))

    captured = begin(keep)
    drain = getattr(captured, "drain", None)

    def fetch() -> None:
        # What was printed is on its way through another process.
        if drain is not None:
            flush()
            drain(1.0)
        captured.poll()

    try:
        with captured:
            out._fetch = fetch
            yield out
    finally:
        out._fetch = None
        captured.poll()
        out.finalize()
        close = getattr(captured, "close", None)
        if close is not None:
            close()


for _public in (CapturedStdout, TeeingStreamProxy):
    _public.__module__ = "sacred.stdout_capturing"
