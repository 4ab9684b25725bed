"""A picture on the terminal that is drawn anew in its place, and leaves the terminal as it was."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

from sacred.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType

__all__ = ["LiveScreen"]

#: The terminal's other screen, without a cursor; and back. What was on the first one is still there.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"
#: Signals that end a program: the terminal is given back first.
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class LiveScreen:
    """The terminal's other screen, for as long as a ``with`` lasts.

    Only lines that are other than before are sent: a connection may be slow. Keys are not shown;
    ``q`` and Ctrl-C end it, Ctrl-Z and ``fg`` work, a change of the size draws anew. The last
    picture is printed on the first screen, so that it can still be read.
    """

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._kept: list[str] = []
        self._handlers: dict[int, Any] = {}
        self._mode: list[Any] | None = None
        self._wake: tuple[int, int] | None = None
        self._old_wake = -1
        self._entered = False
        self._stopping = False

    def __enter__(self) -> LiveScreen:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        self._wake = reading, writing
        # A signal that has a handler writes a byte there: that ends a wait.
        self._old_wake = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number, handler in (
            *((number, self._end) for number in _ENDING),
            (signal.SIGWINCH, self._changed),
            (signal.SIGTSTP, self._stop),
            (signal.SIGCONT, self._changed),
        ):
            self._handlers[number] = signal.signal(number, handler)
        self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wake)
        for descriptor in self._wake or ():
            os.close(descriptor)
        if kind is None or kind is KeyboardInterrupt:
            for line in self._kept:
                sys.stdout.write(line + "\n")
            sys.stdout.flush()

    @property
    def height(self) -> int:
        """How many lines there are."""
        return shutil.get_terminal_size((80, 24)).lines

    def draw(self, title: str, lines: Sequence[str]) -> None:
        """Show a line at the top and a picture below it; what is below the screen is cut.

        Parameters
        ----------
        title
            Of this moment; it is not kept.
        lines
            Each fits the terminal's width.
        """
        self._kept = list(lines)
        new = [title, *lines][: self.height]
        if not self._shown:
            sys.stdout.write("\x1b[2J")
        for row, line in enumerate(new):
            if row >= len(self._shown) or self._shown[row] != line:
                sys.stdout.write(f"\x1b[{row + 1};1H{line}\x1b[K")
        if len(new) < len(self._shown):
            sys.stdout.write(f"\x1b[{len(new) + 1};1H\x1b[J")
        sys.stdout.flush()
        self._shown = new

    def wait(self, seconds: float) -> bool:
        """Wait until it is time to draw; tell whether to go on.

        Parameters
        ----------
        seconds
            How long at most: a change of the terminal's size ends it sooner.
        """
        assert self._wake is not None
        watched = [self._wake[0], *([sys.stdin.fileno()] if self._mode is not None else [])]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wake[0] in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake[0], 4096)
            ready.remove(self._wake[0])
        if self._stopping:
            self._suspend()
        if ready:
            keys = os.read(ready[0], 1024)
            return bool(keys) and b"q" not in keys and b"Q" not in keys
        return True

    def _enter(self) -> None:
        with contextlib.suppress(ImportError, OSError, ValueError):
            import termios

            if terminal.is_terminal(sys.stdin):
                descriptor = sys.stdin.fileno()
                mode = termios.tcgetattr(descriptor)
                quiet = [*mode[:3], mode[3] & ~(termios.ECHO | termios.ICANON), *mode[4:]]
                termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
                self._mode = mode
        self._shown = []
        self._entered = True
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def _leave(self) -> None:
        if not self._entered:
            return
        self._entered = False
        # A terminal that is gone takes nothing more, and needs nothing.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
        if self._mode is not None:
            import termios

            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._mode)

    # A handler writes nothing: it may have come in the middle of a write. It notes what is to be
    # done, and ``wait``, which it ends, does it.

    def _changed(self, _number: int, _frame: FrameType | None) -> None:
        self._shown = []

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _suspend(self) -> None:
        """Give the terminal back while the program is stopped."""
        self._stopping = False
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here it goes on, by SIGCONT, or at once where nobody could send that.
        signal.signal(signal.SIGTSTP, self._stop)
        self._enter()

    def _end(self, number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)
