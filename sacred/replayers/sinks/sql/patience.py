"""Connections to PostgreSQL that do not wait for an answer for ever.

libpq waits as long as the connection is there, and one whose other end was switched off, or whose
server hangs, is there for hours.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["ANSWER", "PatientConnection"]

#: For so long an answer may not move on (s).
ANSWER = 60.0


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is given up when nothing came for a minute."""

    def wait(self, gen: Any, *how: Any, **more: Any) -> Any:
        """Wait for what libpq does, as long as it moves on.

        Raises
        ------
        psycopg.OperationalError
            The server did not answer; the connection is closed.
        """
        try:
            return super().wait(_bounded(gen), *how, **more)
        except TimeoutError as error:
            self.close()
            raise psycopg.OperationalError(str(error)) from None


def _bounded(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Pass on what is waited for, until nothing was ready for too long."""
    last = time.monotonic()
    try:
        awaited = next(steps)
        while True:
            ready = yield awaited
            now = time.monotonic()
            if ready:
                last = now
            elif now - last > ANSWER:
                raise TimeoutError(f"no answer within {ANSWER:.0f} s")
            awaited = steps.send(ready)
    except StopIteration as done:
        return done.value
