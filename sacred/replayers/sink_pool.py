"""Open sinks that wait for the next run of their view: connecting costs more than a short run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sacred.replayers.registry import load_sink

if TYPE_CHECKING:
    from sacred.replayers.sink import Sink, SinkSpec

__all__ = ["SinkPool"]


class SinkPool:
    """Lends sinks, one borrower each; as many are kept as were ever lent at the same time.

    May be used from several threads. A sink that attends to a folder (``AttendingSink``) is lent
    once: it belongs to its run.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[SinkSpec, Sink]] = []
        self._lock = threading.Lock()
        self._closed = False

    def borrow(self, spec: SinkSpec) -> Sink:
        """Return a sink of a view, one that is open if there is one.

        Raises
        ------
        SinkError
            There is no such view, or a package is missing.
        """
        with self._lock:
            for place, (known, sink) in enumerate(self._idle):
                if known == spec:
                    del self._idle[place]
                    return sink
        return load_sink(spec)

    def give_back(self, spec: SinkSpec, sink: Sink, *, works: bool) -> None:
        """Take a sink back; one that does not work, or belongs to its run, is closed.

        Parameters
        ----------
        spec, sink
            As they were lent.
        works
            Whether the last that it did went well.
        """
        with self._lock:
            if works and not self._closed and not hasattr(sink, "attend"):
                self._idle.append((spec, sink))
                return
        sink.close()

    def close(self) -> None:
        """Close the sinks that are not lent; the others when they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, sink in idle:
            sink.close()
