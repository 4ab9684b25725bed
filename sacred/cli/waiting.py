"""That something takes a while, where it can not be told how far it is."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from sacred.cli import terminal

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Waiting"]

#: Nothing is shown of what is over sooner (s), and then so often.
_AFTER, _PAUSE = 1.0, 0.12


class Waiting:
    """A line on stderr, for as long as a ``with`` lasts: what is done, and since when.

    Only where stderr is a terminal, and only from a second on. Whoever prints
    inside of the ``with`` prints into the line.

    Parameters
    ----------
    what
        Such as ``reading 10,000 runs``.
    """

    def __init__(self, what: str) -> None:
        self._what = terminal.clean(what)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Waiting:
        if terminal.is_terminal(sys.stderr):
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join()

    def _show(self) -> None:
        began = time.monotonic()
        signs = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if terminal.shows("⠋", sys.stderr) else "|/-\\"
        turn, pause = 0, _AFTER
        try:
            while not self._over.wait(pause):
                passed = terminal.duration_text(time.monotonic() - began)
                text = f"{signs[turn % len(signs)]} {self._what}  {passed}"
                sys.stderr.write(f"\r\x1b[K{terminal.fitted(text, terminal.columns() - 1)}")
                sys.stderr.flush()
                turn, pause = turn + 1, _PAUSE
            if turn:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
        except (OSError, ValueError):
            pass  # the terminal is gone
