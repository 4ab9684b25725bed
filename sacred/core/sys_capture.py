"""Capturing what Python code writes to ``sys.stdout`` and ``sys.stderr``."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    #: Called with the stream (1 stdout, 2 stderr), the bytes, and where their record begins and
    #: ends in the spool; None for both where there is no spool.
    Sink = Callable[[int, bytes, int | None, int | None], object]

__all__ = ["STDERR", "STDOUT", "SysCapture", "TeeingStream", "note_sink_failure"]

STDOUT, STDERR = 1, 2


class SysCapture:
    """Captures what Python code writes to ``sys.stdout`` and ``sys.stderr``."""

    mode = "sys"
    lost = 0

    def __init__(self, sink: Sink, streams: tuple[int, ...] = (STDOUT, STDERR)) -> None:
        self._sink = sink
        self._streams = streams
        self._proxies: dict[str, TeeingStream] = {}

    def __enter__(self) -> SysCapture:
        """Put the proxies in place."""
        for stream, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
            original = getattr(sys, name)
            if stream in self._streams and original is not None:
                proxy = TeeingStream(original, _Guarded(self._sink, stream))
                self._proxies[name] = proxy
                setattr(sys, name, proxy)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the originals back, unless someone replaced the proxies meanwhile."""
        for name, proxy in self._proxies.items():
            proxy._sacred_end()
            if getattr(sys, name) is proxy:
                setattr(sys, name, proxy._sacred_original)
        self._proxies.clear()

    def poll(self) -> int:
        """Return 0: everything was passed on at once."""
        return 0


class _Guarded:
    """A sink that neither fails nor hears what it causes itself."""

    def __init__(self, sink: Sink, stream: int) -> None:
        self._sink: Sink | None = sink
        self._stream = stream
        self._inside = threading.local()

    def __call__(self, data: bytes) -> None:
        sink = self._sink
        if not data or sink is None or getattr(self._inside, "yes", False):
            return
        self._inside.yes = True
        try:
            sink(self._stream, data, None, None)
        except Exception as error:
            note_sink_failure(error)
        finally:
            self._inside.yes = False

    def end(self) -> None:
        self._sink = None


def note_sink_failure(error: Exception) -> None:
    """Log why something that was printed could not be recorded."""
    import logging

    logging.getLogger("sacred").debug("captured output could not be recorded", exc_info=error)


class TeeingStream:
    """A text stream that also tells someone what is written to it.

    In everything else it is the stream that it stands for: ``isatty()``, ``encoding``,
    ``fileno()``, ... are that stream's answers. It stays usable after the capture, because log
    handlers keep it.
    """

    def __init__(self, original: Any, tell: _Guarded) -> None:
        self._sacred_original = original
        self._sacred_tell = tell

    def write(self, text: str) -> int:
        """Write to the original and tell."""
        count = self._sacred_original.write(text)
        self._sacred_tell(self._sacred_encode(text))
        return count if isinstance(count, int) else len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The binary stream behind, watched as well."""
        return _TeeingBuffer(self._sacred_original.buffer, self._sacred_tell)

    def _sacred_encode(self, text: Any) -> bytes:
        if not isinstance(text, str):
            return b""
        encoding = getattr(self._sacred_original, "encoding", None) or "utf-8"
        errors = getattr(self._sacred_original, "errors", None) or "strict"
        try:
            return text.encode(encoding, errors)
        except (UnicodeError, LookupError):
            return text.encode("utf-8", "surrogateescape" if _escapes_only(text) else "replace")

    def _sacred_end(self) -> None:
        self._sacred_tell.end()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sacred_original, name)

    def __iter__(self) -> Any:
        return iter(self._sacred_original)

    def __enter__(self) -> TeeingStream:
        return self

    def __exit__(self, *exception: object) -> None:
        # Leaving `with sys.stdout:` closes the stream that everybody shares, as it would without.
        self._sacred_original.close()

    def __repr__(self) -> str:
        return f"<captured {self._sacred_original!r}>"


class _TeeingBuffer:
    """The binary side of a :class:`TeeingStream`."""

    def __init__(self, original: Any, tell: _Guarded) -> None:
        self._sacred_original = original
        self._sacred_tell = tell

    def write(self, data: Any) -> int:
        count = self._sacred_original.write(data)
        written = bytes(data)
        self._sacred_tell(written[:count] if isinstance(count, int) else written)
        return count if isinstance(count, int) else len(written)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sacred_original, name)


def _escapes_only(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeError:
        return False
    return True
