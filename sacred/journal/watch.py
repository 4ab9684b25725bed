"""Waking up when a folder changes: by the system's notifications, else by looking."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FolderWatch"]

#: How often to look where there are no notifications, or where they do not tell (s).
POLL_INTERVAL = 1.0


class FolderWatch:
    """Sets events when files in folders grow or appear.

    One for a process: it has one thread of its own, started with the first folder. Where the
    system gives no notifications (network file systems, a limit that is reached), whoever waits
    looks once a second. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._observer: Any = None
        self._broken = False
        self._wakes: dict[str, set[threading.Event]] = {}
        self._watches: dict[str, Any] = {}

    @contextlib.contextmanager
    def watching(self, folder: Path, wake: threading.Event) -> Iterator[None]:
        """Set ``wake`` at each change in ``folder``, as long as the context lasts."""
        self._add(str(folder), wake)
        try:
            yield
        finally:
            self._remove(str(folder), wake)

    def _add(self, folder: str, wake: threading.Event) -> None:
        with self._lock:
            wakes = self._wakes.setdefault(folder, set())
            wakes.add(wake)
            if self._broken or folder in self._watches:
                return
            try:
                self._watches[folder] = self._schedule(folder)
            except Exception:
                # No notifications here (no inotify left, a strange file system): looking is
                # enough.
                self._broken = self._observer is None

    def _schedule(self, folder: str) -> Any:
        # Imported here: it costs 45 ms, and a single replay does without.
        from watchdog.events import (
            FileCreatedEvent,
            FileModifiedEvent,
            FileMovedEvent,
            FileSystemEventHandler,
        )
        from watchdog.observers import Observer

        wakes = self._wakes[folder]

        class Waker(FileSystemEventHandler):
            def on_any_event(self, event: Any) -> None:  # noqa: ARG002 - any will do
                for wake in list(wakes):
                    wake.set()

        if self._observer is None:
            observer = Observer()
            observer.daemon = True
            observer.start()
            self._observer = observer
        # Reading a file makes events as well: a follower would wake itself for ever.
        kinds = [FileModifiedEvent, FileCreatedEvent, FileMovedEvent]
        return self._observer.schedule(Waker(), folder, event_filter=kinds)

    def _remove(self, folder: str, wake: threading.Event) -> None:
        with self._lock:
            wakes = self._wakes.get(folder, set())
            wakes.discard(wake)
            if wakes:
                return
            self._wakes.pop(folder, None)
            watch = self._watches.pop(folder, None)
            if watch is not None:
                with contextlib.suppress(Exception):  # the folder may be gone
                    self._observer.unschedule(watch)

    def close(self) -> None:
        """Stop the thread."""
        with self._lock:
            observer, self._observer = self._observer, None
            self._watches.clear()
        if observer is not None:
            observer.stop()
            observer.join(2.0)
