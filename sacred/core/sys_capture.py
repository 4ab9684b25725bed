"""Capturing what Python code writes to ``sys.stdout`` and ``sys.stderr``.

Several captures may be at work at once, one for each run. What is written belongs to the capture of
the run that the writing thread or task is in; what a thread writes that is in none, to the oldest.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sacred.core.run_scope import inherited

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from contextvars import Token
    from types import TracebackType

    #: Called with the stream (1 stdout, 2 stderr), the bytes, and where their record begins and
    #: ends in the spool; None for both where there is no spool.
    Sink = Callable[[int, bytes, int | None, int | None], object]

__all__ = [
    "CURRENT",
    "PAST",
    "STDERR",
    "STDOUT",
    "SysCapture",
    "TeeingStream",
    "descriptor_of",
    "lines_as_before",
    "lines_at_once",
    "note_sink_failure",
]

STDOUT, STDERR = 1, 2

#: The capture of the run that this thread or task is in: it has ``tells``, by stream.
CURRENT: ContextVar[Any] = ContextVar("sacred_capture", default=None)
inherited(CURRENT)
#: Where the descriptors 1 and 2 are captured: writes to where they lead without. What another
#: run prints is to be shown, and not to be in the output of the run that has them.
PAST: dict[int, Callable[[bytes], object]] = {}

_live: list[SysCapture] = []
_changing = threading.RLock()
#: Proxies that are not in place any more. ``print`` does not hold the stream that it writes to: one
#: that another thread takes away meanwhile must live on, or the interpreter crashes.
_kept: deque[TeeingStream] = deque(maxlen=64)


class _Writing(threading.local):
    """Whether this thread writes to what a proxy stands for: others below have nothing to tell."""

    now = False


_writing = _Writing()


class SysCapture:
    """Captures what Python code writes to ``sys.stdout`` and ``sys.stderr``.

    A ``notice`` is a warning for when it has begun: a part of what it captures, and of no other
    run's output.

    Attributes
    ----------
    tells
        By stream, whom to tell what is written to it; empty when the capture is over.
    """

    mode = "sys"
    lost = 0

    def __init__(
        self,
        sink: Sink,
        streams: tuple[int, ...] = (STDOUT, STDERR),
        notice: str | None = None,
    ) -> None:
        self.tells: dict[int, _Guarded] = {}
        self._sink = sink
        self._streams = streams
        self._notice = notice
        self._proxies: dict[str, TeeingStream] = {}
        self._token: Token[Any] | None = None

    @property
    def is_live(self) -> bool:
        """Whether it captures."""
        return bool(self.tells)

    def __enter__(self) -> SysCapture:
        """Put the proxies in place, unless those of another capture are."""
        with _changing:
            for stream, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
                original = getattr(sys, name)
                if stream in self._streams and original is not None:
                    self.tells[stream] = _Guarded(self._sink, stream)
                    proxy = self._proxies[name] = _proxy_of(original, stream)
                    proxy._sacred_users += 1
                    setattr(sys, name, proxy)
            _live.append(self)
        self._token = CURRENT.set(self)
        if self._notice is not None:
            _warn_once(self._notice)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the originals back, unless someone replaced the proxies meanwhile."""
        with _changing:
            self.tells.clear()
            _live.remove(self)
            for name, proxy in self._proxies.items():
                proxy._sacred_users -= 1
                if not proxy._sacred_users and getattr(sys, name) is proxy:
                    _kept.append(proxy)
                    setattr(sys, name, proxy._sacred_original)
            self._proxies.clear()
        if self._token is not None:
            # Not where a task goes on in another context: there it was never set.
            with contextlib.suppress(ValueError):
                CURRENT.reset(self._token)
            self._token = None

    def poll(self) -> int:
        """Return 0: everything was passed on at once."""
        return 0


_warned: set[str] = set()


def _warn_once(message: str) -> None:
    """Warn, unless this process has warned of the same before; where a user's code called."""
    if message in _warned:
        return
    _warned.add(message)
    import warnings

    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("sacred."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def _listener(stream: int) -> _Guarded | None:
    """Return whom to tell what this thread writes to a stream."""
    if _writing.now:
        return None
    current = CURRENT.get()
    if current is not None:
        tells = current.tells
        if tells or current.is_live:
            tell: _Guarded | None = tells.get(stream)
            return tell
    if stream in PAST:
        return None  # it is heard where it arrives
    everybody = (capture.tells.get(stream) for capture in _live[:])
    return next((tell for tell in everybody if tell is not None), None)


def _proxy_of(original: Any, stream: int) -> TeeingStream:
    """Return the proxy of a stream; there is one for all captures, so that they do not pile up."""
    if isinstance(original, TeeingStream):
        return original
    known = (proxy for proxy in _kept if proxy._sacred_original is original)
    found = next((proxy for proxy in known if proxy._sacred_stream == stream), None)
    return TeeingStream(original, stream) if found is None else found


class _Inside(threading.local):
    yes = False


class _Guarded:
    """A sink that neither fails nor hears what it causes itself."""

    def __init__(self, sink: Sink, stream: int) -> None:
        self._sink = sink
        self._stream = stream
        self._inside = _Inside()

    def __call__(self, data: bytes) -> None:
        inside = self._inside
        if not data or inside.yes:
            return
        inside.yes = True
        try:
            self._sink(self._stream, data, None, None)
        except Exception as error:
            note_sink_failure(error)
        finally:
            inside.yes = False


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

    def __init__(self, original: Any, stream: int) -> None:
        self._sacred_original = original
        self._sacred_stream = stream
        self._sacred_users = 0

    def write(self, text: str) -> int:
        """Write to the original and tell."""
        original, number = self._sacred_original, self._sacred_stream
        tell = _listener(number)
        if tell is None:
            count = original.write(text)
        else:
            data = self._sacred_encode(text)
            if PAST and number in PAST and data and descriptor_of(original) == number:
                PAST[number](data)
                count = len(text)
            else:
                # As in `_written_alone`, which would be a call for each of the parts of a print.
                _writing.now = True
                try:
                    count = original.write(text)
                finally:
                    _writing.now = False
            tell(data)
        return count if isinstance(count, int) else len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The binary stream behind, watched as well."""
        return _TeeingBuffer(self._sacred_original, self._sacred_stream)

    def _sacred_encode(self, text: Any) -> bytes:
        if not isinstance(text, str):
            return b""
        if text.isascii():  # a tenth of the time, and the same in what terminals and files speak
            return text.encode()
        encoding = getattr(self._sacred_original, "encoding", None) or "utf-8"
        errors = getattr(self._sacred_original, "errors", None) or "strict"
        try:
            return text.encode(encoding, errors)
        except (UnicodeError, LookupError):
            return text.encode("utf-8", "surrogateescape" if _escapes_only(text) else "replace")

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

    def __init__(self, base: Any, stream: int) -> None:
        self._sacred_base = base
        self._sacred_original = base.buffer
        self._sacred_stream = stream

    def write(self, data: Any) -> int:
        number = self._sacred_stream
        tell = _listener(number)
        if tell is None:
            count = self._sacred_original.write(data)
            return count if isinstance(count, int) else len(bytes(data))
        written = bytes(data)
        if number in PAST and written and descriptor_of(self._sacred_base) == number:
            PAST[number](written)
            count = len(written)
        else:
            count = _written_alone(self._sacred_original, data)
        tell(written[:count] if isinstance(count, int) else written)
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


def _written_alone(stream: Any, data: Any) -> Any:
    """Write, with nobody below told of it: a user's stream may stand on another proxy of ours."""
    _writing.now = True
    try:
        return stream.write(data)
    finally:
        _writing.now = False


def descriptor_of(stream: Any) -> int | None:
    """Return the descriptor that a stream writes to, if it has one."""
    try:
        return int(stream.fileno())
    except Exception:
        # Replaced streams answer with all sorts of errors.
        return None


def lines_at_once(descriptors: Container[int]) -> list[Any]:
    """Have ``sys.stdout`` and ``sys.stderr`` write each line at once, and now what they hold.

    A stream that is no terminal keeps up to 8 KiB to itself: a kill, ``os._exit`` or the end of a
    pool would take that along.

    Parameters
    ----------
    descriptors
        Streams that write to others of 1 and 2, or to none, stay as they are.

    Returns
    -------
    list
        The streams that were changed, for ``lines_as_before``.
    """
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "line_buffering", True) or not hasattr(stream, "reconfigure"):
            continue
        if descriptor_of(stream) in descriptors:
            try:
                stream.reconfigure(line_buffering=True)
            except (ValueError, OSError):  # nobody reads what it holds
                continue
            changed.append(stream)
    return changed


def lines_as_before(streams: Iterable[Any]) -> None:
    """Undo what ``lines_at_once`` changed."""
    for stream in streams:
        try:
            stream.reconfigure(line_buffering=False)
        except (ValueError, OSError):
            continue
