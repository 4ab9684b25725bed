"""One view of a replayer that goes on: which runs wait for it, which are written, which live.

Each view has threads of its own, so that a server that does not answer holds up no other view. A
run that lives keeps a thread until it is over; a server that can not be reached is tried with one
run, less and less often, and the other runs wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import NotAJournalError
from sacred.journal.finding import start_fields
from sacred.replayers.copy_follower import follower_for
from sacred.replayers.errors import RunDeletedError, SinkError, TransientSinkError
from sacred.replayers.memo import ViewMemo
from sacred.replayers.place_mark import PlaceGuards
from sacred.replayers.replay import declared_spec
from sacred.replayers.sink_pool import SinkPool
from sacred.replayers.view_lock import give_back_view, take_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.root import RunFolder
    from sacred.journal.watch import FolderWatch
    from sacred.replayers.follower import Follower
    from sacred.replayers.sink import SinkSpec
    from sacred.replayers.status import ViewStatus

__all__ = ["ViewCounts", "ViewWorker"]

log = logging.getLogger("sacred.replayers")

#: Living runs that are followed at the same time, at most, in one view.
MAX_FOLLOWED = 64
#: After an error it is tried again: first, and at most (s).
RETRY_FIRST, RETRY_LAST = 2.0, 60.0
#: A run that another replayer writes, or that lives and finds no thread, is looked at again (s).
LOOK_AGAIN = 5.0
#: A run that began so recently is left to the replayer of its own process (s).
OWN_START = 5.0


@dataclass
class ViewCounts:
    """How a view stands, as its worker knows it.

    Attributes
    ----------
    current
        Runs that it has whole: they were found so, or written.
    written
        How many of them were written by this process.
    following
        Living runs that are being written.
    elsewhere
        Runs that another replayer writes.
    waiting
        Runs that were not looked at yet, or are to be tried again.
    behind
        Of these, those that could not be written.
    failed
        Runs that will not come right by themselves.
    error
        Why the view can not be written, or why the last run failed; None if all is well.
    last
        When it was last written (ns since the epoch), or None.
    """

    current: int = 0
    written: int = 0
    following: int = 0
    elsewhere: int = 0
    waiting: int = 0
    behind: int = 0
    failed: int = 0
    error: str | None = None
    last: int | None = None

    def record(self) -> dict[str, Any]:
        """Return it as plain data."""
        from sacred.replayers.jsontext import instant

        return {**self.__dict__, "last": instant(self.last)}


@dataclass
class _State:
    """What a worker keeps; its lock is held while it is changed."""

    #: Not looked at yet. Numbers where a run has one: ten thousand runs take little.
    new: deque[Any] = field(default_factory=deque)
    #: When to try again, by run.
    again: dict[Any, float] = field(default_factory=dict)
    behind: dict[Any, float] = field(default_factory=dict)
    failed: dict[Any, str] = field(default_factory=dict)
    elsewhere: set[Any] = field(default_factory=set)
    busy: set[Any] = field(default_factory=set)
    #: Runs of which the view has all.
    whole: set[Any] = field(default_factory=set)
    #: Runs that changed while they were busy.
    changed: set[Any] = field(default_factory=set)


class ViewWorker:
    """Writes runs into one view until it is stopped.

    Parameters
    ----------
    spec
        The view.
    name
        What it is called in the log.
    jobs
        So many runs at once, besides those that live.
    folder_of
        Finds the folder of a run by the key under which it was added.
    tell
        Called with (run's key, sentence) for the log.
    rebuild
        Write each run anew, once.
    places
        Tells which places were put back to backups.
    """

    def __init__(
        self,
        spec: SinkSpec,
        name: str,
        jobs: int,
        folder_of: Callable[[Any], RunFolder],
        tell: Callable[[Any, str], None],
        watch: FolderWatch,
        *,
        rebuild: bool = False,
        places: PlaceGuards | None = None,
    ) -> None:
        self.spec = spec
        self.name = name
        self._places = places or PlaceGuards()
        self.jobs = jobs
        self._folder_of = folder_of
        self._tell = tell
        self._watch = watch
        self._rebuild = rebuild
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._state = _State()
        self._written = 0
        self._sinks = SinkPool()
        self._rebuilt: set[Any] = set()
        self._last: int | None = None
        #: Why the view can not be reached, and until when nobody tries.
        self._down: str | None = None
        self._down_until = 0.0
        #: Why a run is behind, the last one that was.
        self._behind_for: str | None = None
        self._pause = RETRY_FIRST
        self._probing = False
        self._followers: dict[Any, threading.Thread] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"view-{name}-{n}", daemon=True)
            for n in range(jobs)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Have everything end after the batch at hand."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, deadline: float) -> bool:
        """Wait for the end until a time of the monotonic clock; False if something goes on."""
        with self._changed:
            threads = [*self._threads, *self._followers.values()]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            return False
        self._sinks.close()
        return True

    def add(self, key: Any) -> None:
        """Have a run looked at: a new one, or one that changed."""
        with self._changed:
            state = self._state
            if key in state.busy or key in self._followers:
                state.changed.add(key)
                return
            state.again.pop(key, None)
            state.new.append(key)
            self._changed.notify()

    def add_whole(self, key: Any) -> None:
        """Count a run of which the view is known to have all."""
        with self._changed:
            self._state.whole.add(key)

    def remove(self, key: Any) -> None:
        """Forget a run that was removed from its root."""
        with self._changed:
            state = self._state
            for known in (state.whole, state.elsewhere, state.changed, self._rebuilt):
                known.discard(key)
            for kept in (state.again, state.behind, state.failed):
                kept.pop(key, None)

    def try_failed(self) -> None:
        """Try again now what failed and what is behind."""
        with self._changed:
            state = self._state
            self._down_until = 0.0
            for key in (*state.failed, *state.behind):
                if key not in self._followers:  # that one tries by itself
                    state.again[key] = 0.0
            state.failed.clear()
            self._changed.notify_all()

    def counts(self) -> ViewCounts:
        """Return how the view stands."""
        with self._changed:
            state = self._state
            error = self._down or next(reversed(state.failed.values()), None)
            if error is None and state.behind:
                error = self._behind_for
            return ViewCounts(
                len(state.whole),
                self._written,
                len(self._followers),
                len(state.elsewhere),
                len(state.new) + len(state.again) + len(state.busy),
                len(state.behind),
                len(state.failed),
                error,
                self._last,
            )

    # -- which run is next -------------------------------------------------------------------------

    def _next(self) -> Any:
        """Wait for a run that is to be written; None at the end."""
        with self._changed:
            while not self._stop.is_set():
                now = time.monotonic()
                if self._down is not None and (self._probing or now < self._down_until):
                    self._changed.wait(max(0.05, min(1.0, self._down_until - now)))
                    continue
                key = self._due(now)
                if key is not None:
                    self._state.busy.add(key)
                    self._probing = self._down is not None
                    return key
                self._changed.wait(0.5)
        return None

    def _due(self, now: float) -> Any:
        state = self._state
        due = min(state.again.items(), key=lambda item: item[1], default=None)
        if due is not None and due[1] <= now:
            del state.again[due[0]]
            return due[0]
        while state.new:
            key = state.new.popleft()
            if key not in state.busy and key not in self._followers:
                return key
        return None

    def _work(self) -> None:
        while (key := self._next()) is not None:
            again = None
            try:
                again = self._bring(key)
            except Exception as error:
                log.exception("%s: a defect", self.name)
                self._note_failed(key, f"a defect, please report it: {type(error).__name__}")
            finally:
                with self._changed:
                    self._state.busy.discard(key)
                    self._probing = False
                    if key in self._state.changed and key not in self._followers:
                        self._state.changed.discard(key)
                        again = again or 0.0
                    if again is not None:
                        self._state.again[key] = time.monotonic() + again
                    self._changed.notify_all()

    # -- one run ------------------------------------------------------------------------------------

    def _bring(self, key: Any) -> float | None:
        """Write a run; return in how many seconds to look again, None for not at all."""
        folder = self._folder_of(key)
        if not folder.journal.is_dir():
            self.remove(key)
            return None
        try:
            spec = declared_spec(self.spec, folder)
            if self._has_its_own(folder, spec):
                return OWN_START
            if not take_view(folder, spec.key):
                self._elsewhere(key)
                return LOOK_AGAIN
        except SinkError as error:
            ViewMemo.expect(folder.views, self.spec, str(error))
            self._note_failed(key, str(error))
            return None
        kept = False
        try:
            self._state.elsewhere.discard(key)
            rebuild = self._rebuild and key not in self._rebuilt
            follower = follower_for(
                *(folder, self._sinks.borrow(spec), spec),
                rebuild=rebuild,
                on_status=lambda status: self._heard(key, status),
                place=self._places.of(folder.root, spec),
            )
            try:
                self._rebuilt.update([key] * rebuild)
                status = follower.run_once()
                again = self._judged(key, follower, status)
                if again is None and status.error is None and not self._is_over(follower):
                    kept = self._keep(key, folder, spec, follower)
                    again = None if kept else LOOK_AGAIN
                elif again is None and status.error is None:
                    self._done(key, follower)
            finally:
                if not kept:
                    self._let_go(follower)
        except SinkError as error:
            self._note_failed(key, str(error))
            return None
        finally:
            if not kept:
                give_back_view(folder, spec.key)
        return again

    def _let_go(self, follower: Follower) -> None:
        follower.release()
        self._sinks.give_back(follower.spec, follower.sink, works=follower.failure is None)

    def _has_its_own(self, folder: RunFolder, spec: SinkSpec) -> bool:
        """Tell whether a run that just began declared this view: its process has a replayer."""
        if (folder.views / f"{spec.key}.json").exists():
            return False
        try:
            age = time.time() - folder.journal.stat().st_ctime
        except OSError:
            return False
        if not 0 <= age < OWN_START:
            return False
        declared = start_fields(folder).get("views") or ()
        return any(isinstance(view, dict) and view.get("name") == spec.name for view in declared)

    def _is_over(self, follower: Follower) -> bool:
        return follower.status.view_id is None or follower.is_over

    def _judged(self, key: Any, follower: Follower, status: ViewStatus) -> float | None:
        """Take in how it went; return in how many seconds to try again, if at all."""
        failure = follower.failure
        if failure is None:
            self._well(key)
            return None
        if isinstance(failure, RunDeletedError):
            self._well(key)
            self._tell(
                key,
                f"{self.name}: was deleted there, or a backup without it was put back: --rebuild "
                "writes it again",
            )
            return None
        if isinstance(failure, NotAJournalError):
            self._well(key)
            return LOOK_AGAIN if not follower.folder.holds_nothing() else None
        text = status.error or type(failure).__name__
        if not follower.reached and isinstance(failure, SinkError):
            self._is_down(key, text, passes=failure.exit_code == TransientSinkError.exit_code)
            return 0.0
        self._reached()
        if getattr(failure, "exit_code", None) == TransientSinkError.exit_code or not isinstance(
            failure, SinkError
        ):
            return self._is_behind(key, text)
        self._note_failed(key, text)
        return None

    def _well(self, key: Any) -> None:
        with self._changed:
            self._state.behind.pop(key, None)
            self._state.failed.pop(key, None)
        self._reached()

    def _reached(self) -> None:
        with self._changed:
            down, self._down = self._down, None
            self._pause = RETRY_FIRST
            self._changed.notify_all()
        if down is not None:
            self._tell(None, f"{self.name}: well again")

    def _is_down(self, key: Any, text: str, *, passes: bool) -> None:
        with self._changed:
            news = text != self._down
            self._down = text
            self._down_until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, RETRY_LAST)
            if passes:
                self._state.failed.pop(key, None)
                self._state.behind.setdefault(key, RETRY_FIRST)
            else:  # a refused login: tried again all the same, for somebody may mend it
                self._state.behind.pop(key, None)
                self._state.failed[key] = text
        if news:
            self._tell(None, f"{self.name}: {text}")

    def _is_behind(self, key: Any, text: str) -> float:
        with self._changed:
            pause = self._state.behind.get(key)
            self._state.behind[key] = min(2 * (pause or RETRY_FIRST / 2), RETRY_LAST)
            self._behind_for = text
            wait = self._state.behind[key]
        if pause is None:
            self._tell(key, f"{self.name}: behind: {text}")
        return wait

    def _note_failed(self, key: Any, text: str) -> None:
        with self._changed:
            self._state.failed[key] = text
            self._state.behind.pop(key, None)
        self._tell(key, f"{self.name}: failed: {text}")

    def _elsewhere(self, key: Any) -> None:
        with self._changed:
            news = key not in self._state.elsewhere
            self._state.elsewhere.add(key)
        if news:
            self._tell(key, f"{self.name}: another replayer writes it")

    def _done(self, key: Any, follower: Follower) -> None:
        if follower.status.view_id is None:
            return  # nothing was journalled yet
        with self._changed:
            news = follower.wrote or key not in self._state.whole
            self._state.whole.add(key)
            if follower.wrote:
                self._written += 1
                self._last = time.time_ns()
        if news:
            mended = f" ({follower.mended}: written anew)" if follower.mended else ""
            self._tell(key, f"{self.name} as {follower.status.view_id}: up to date{mended}")

    # -- runs that live -----------------------------------------------------------------------------

    def _keep(self, key: Any, folder: RunFolder, spec: SinkSpec, follower: Follower) -> bool:
        """Follow a living run in a thread of its own, if there is room."""
        with self._changed:
            if len(self._followers) >= MAX_FOLLOWED or self._stop.is_set():
                return False
            thread = threading.Thread(
                target=self._follow,
                args=(key, folder, spec, follower),
                name=f"run-{folder.path.name}-{self.name}",
                daemon=True,
            )
            self._followers[key] = thread
        self._tell(key, f"{self.name} as {follower.status.view_id}: being written")
        thread.start()
        return True

    def _heard(self, key: Any, status: ViewStatus) -> None:
        """Take in how a living run is doing, which its follower tries for as long as it lives."""
        if key not in self._followers or status.state == "failed":
            return
        if status.error is not None:
            self._is_behind(key, status.error)
        elif self._state.behind.get(key) is not None:
            with self._changed:
                self._state.behind.pop(key, None)
            self._tell(key, f"{self.name}: well again")

    def _follow(self, key: Any, folder: RunFolder, spec: SinkSpec, follower: Follower) -> None:
        again: float | None = None
        try:
            status = follower.follow(self._stop, self._watch, until_over=True)
            again = self._judged(key, follower, status)
            if again is None and status.error is None and self._is_over(follower):
                self._done(key, follower)
        except Exception as error:
            log.exception("%s: a defect", self.name)
            self._note_failed(key, f"a defect, please report it: {type(error).__name__}")
        finally:
            self._let_go(follower)
            give_back_view(folder, spec.key)
            with self._changed:
                self._followers.pop(key, None)
                if key in self._state.changed:
                    self._state.changed.discard(key)
                    again = again or 0.0
                if again is not None:
                    self._state.again[key] = time.monotonic() + again
                self._changed.notify_all()
