"""Replaying: journals of a root into views, once or for as long as one likes."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError, NotAJournalError
from sacred.journal.finding import find_runs, start_fields
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.root import JournalRoot, RunFolder
from sacred.replayers.addresses import DEFAULT_DATABASE, DEFAULT_MONGO, mongo_spec
from sacred.replayers.copy_follower import follower_for
from sacred.replayers.errors import RunDeletedError, SinkError, SinkSpecError, TransientSinkError
from sacred.replayers.fold_ahead import FoldAhead, is_of_use
from sacred.replayers.listing import outline
from sacred.replayers.memo import ViewMemo
from sacred.replayers.place_mark import PlaceGuards
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sink_pool import SinkPool
from sacred.replayers.status import ViewStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sacred.journal.watch import FolderWatch
    from sacred.replayers.folded_run import FoldedRun
    from sacred.replayers.follower import Follower

__all__ = ["DECLARED", "ReplayOutcome", "ReplaySummary", "declared_spec", "replay"]

log = logging.getLogger("sacred.replayers")

#: Views that without an address are where each run declared them.
DECLARED = frozenset({"mongo", "sql", "parquet"})
#: Living runs that are followed at the same time, at most.
MAX_FOLLOWED = 64
_LOOK_FOR_RUNS = 1.0
#: A view that could not be written is tried again after so long (s), while others are followed.
_RETRY_FIRST, _RETRY_LAST = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What became of one run in one view.

    Attributes
    ----------
    run
        The folder's number, or its path where it has none.
    folder
        The run's folder.
    view
        The view's name, without secrets.
    view_id
        The run's id there; None if it has none.
    state
        ``current``, ``behind`` (the view can not be written now), ``failed``, ``deleted`` (by a
        person, in the view) or ``empty`` (nothing was journalled yet).
    error
        Why, in one sentence.
    damage
        What is wrong with the journal itself, one sentence each; see ``sacred verify``.
    mended
        What was damaged in the view, so that the run was written there anew; else None.
    """

    run: int | str
    folder: str
    view: str
    view_id: Any
    state: str
    error: str | None = None
    damage: tuple[str, ...] = ()
    mended: str | None = None


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a replay did.

    Attributes
    ----------
    outcomes
        One for each run and view, in the order of the runs.
    put_back
        Views whose place came back older, or empty, and of how many runs the notes were taken back
        for that; these runs are in ``outcomes`` as they are now.
    """

    outcomes: tuple[ReplayOutcome, ...]
    put_back: tuple[tuple[str, int], ...] = ()

    @property
    def exit_code(self) -> int:
        """0 done, 1 a view failed or a journal is damaged, 3 a view is behind."""
        states = {outcome.state for outcome in self.outcomes}
        if "failed" in states or any(outcome.damage for outcome in self.outcomes):
            return 1
        return 3 if "behind" in states else 0

    def count(self, state: str) -> int:
        """Return how many outcomes have a state."""
        return sum(outcome.state == state for outcome in self.outcomes)


def replay(
    root: JournalRoot | str | Path,
    runs: Iterable[str | int | RunFolder] | None,
    specs: Sequence[SinkSpec | str],
    *,
    follow: bool = False,
    jobs: int = 1,
    ahead: bool = False,
    rebuild: bool = False,
    patience: float = 0.0,
    progress: Callable[[int, int, ReplayOutcome], None] | None = None,
    stop: threading.Event | None = None,
) -> ReplaySummary:
    """Write runs into views.

    Parameters
    ----------
    root
        The root of the journals.
    runs
        Each by its number, ``last``, ``id:X``, path or folder; None for all.
    specs
        The views, or their addresses as text. A ``mongo`` without an address stands for the
        MongoDB that each run declared, else the one of this machine.
    follow
        Go on: living runs are followed, and new ones taken up if no run was named.
    jobs
        How many runs and views are written at the same time.
    ahead
        Whether this process may be forked: with one job and runs that are given, a second process
        then reads and folds short ones that ended while this one writes those before them. Only on
        Linux, with a second processor, eight runs and no other thread.
    rebuild
        Write the views of these runs anew.
    patience
        For how long to try again where a view does not answer (s).
    progress
        Called with (done, all, outcome) after each; from several threads, but one at a time.
    stop
        Ends following once it is set; without it following ends with the last run that was named.

    Returns
    -------
    ReplaySummary
        Its ``exit_code`` says it in a number. A view that can not be written is in there, not
        raised.

    Raises
    ------
    SinkError
        A specification is none, or needs a package that is not installed (``exit_code`` 2).
    JournalError
        A run that was named is not there (``exit_code`` 2).
    """
    if not isinstance(root, JournalRoot):
        root = JournalRoot(root)
    if not specs:
        raise SinkSpecError("name a view to write: --to file:DIR, --to mongodb://host/db")
    views = [SinkSpec.parse(spec) if isinstance(spec, str) else spec for spec in specs]
    every = runs is None
    folders = list(find_runs(root, runs)) if runs is not None else None
    folding = None
    if folders and ahead and not (follow or rebuild) and jobs == 1 and is_of_use(folders, views):
        folding = FoldAhead(folders, views)  # before the drivers: it works while they are imported
    try:
        views = _by_priority(views)  # a missing package is said before anything is done
        if folders is None:
            folders = root.runs()
        work = _Replay(views, jobs, rebuild, patience, progress)
        try:
            if follow:
                work.follow(root if every else None, folders, stop or threading.Event())
            else:
                work.once(folders, folding)
            work.look_at_places()
        finally:
            work.sinks.close()
    finally:
        if folding is not None:
            folding.close()
    return ReplaySummary(
        tuple(work.outcomes[key] for key in sorted(work.outcomes)),
        tuple((spec.name, guard.lost) for guard, spec in work.places.all() if guard.lost),
    )


class _Replay:
    """The work of one call of ``replay``."""

    def __init__(
        self,
        views: list[SinkSpec],
        jobs: int,
        rebuild: bool,
        patience: float,
        progress: Callable[[int, int, ReplayOutcome], None] | None,
    ) -> None:
        self.views = views
        self.jobs = max(1, jobs)
        self.rebuild = rebuild
        self.patience = patience
        self.progress = progress
        self.outcomes: dict[tuple[int, int], ReplayOutcome] = {}
        self.total = 0
        self.sinks = SinkPool()
        self.places = PlaceGuards()
        self._lock = threading.Lock()
        self._unreachable: dict[str, ViewStatus] = {}
        #: What is to be tried again while others are followed.
        self._behind: dict[tuple[int, int], RunFolder] = {}

    def _pairs(self, folders: list[RunFolder]) -> Iterator[tuple[tuple[int, int], RunFolder]]:
        for number, folder in enumerate(folders, len(self.outcomes)):
            for view in range(len(self.views)):
                yield (number, view), folder

    def once(self, folders: list[RunFolder], folding: FoldAhead | None = None) -> None:
        """Write each run into each view; with ``folding`` as another process folded it."""
        pairs = list(self._pairs(folders))
        self.total += len(pairs)
        if self.jobs == 1:
            for key, folder in pairs:
                self._one(key, folder, folding.next() if folding is not None else None)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(self.jobs, thread_name_prefix="replay") as pool:
            try:
                for future in [pool.submit(self._one, key, folder) for key, folder in pairs]:
                    future.result()
            except BaseException:  # Ctrl-C: those that are begun are ended, and no more
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(
        self, key: tuple[int, int], folder: RunFolder, folded: FoldedRun | None = None
    ) -> None:
        with self._follower(key, folder, folded) as (follower, spec):
            if follower is None:
                return
            known = self._unreachable.get(spec.key)
            if known is not None:  # no second wait for a server that did not answer the first
                ViewMemo.expect(folder.views, spec, known.error, known.state)
                self._done(key, folder, spec, known)
                return
            status = follower.run_once(patience=self.patience)
            if status.error and not follower.reached:
                self._unreachable[spec.key] = status
            self._done(key, folder, spec, status, follower)

    def look_at_places(self) -> None:
        """Count up in the places that were written; runs that one of them lost meanwhile come again."""
        for guard, spec in self.places.all():
            if not guard.is_due or spec.key in self._unreachable:
                continue
            try:
                sink = self.sinks.borrow(spec)
                try:
                    sink.open()
                    lost = guard.look(sink)
                finally:
                    self.sinks.give_back(spec, sink, works=False)
            except SinkError as error:
                log.info("%s: not looked at: %s", spec.name, error)
                continue
            if lost:
                self._write_again(spec)

    def _write_again(self, spec: SinkSpec) -> None:
        """Write once more what was written into a place before it was put back."""
        for key, outcome in sorted(self.outcomes.items()):
            if outcome.view == spec.name:
                self._one(key, RunFolder.at(outcome.folder))

    @contextlib.contextmanager
    def _follower(
        self, key: tuple[int, int], folder: RunFolder, folded: FoldedRun | None = None
    ) -> Iterator[tuple[Follower | None, SinkSpec]]:
        spec = self.views[key[1]]
        try:
            spec = declared_spec(spec, folder)
            sink = self.sinks.borrow(spec)
            place = self.places.of(folder.root, spec)
            follower = follower_for(
                folder, sink, spec, rebuild=self.rebuild, folded=folded, place=place
            )
        except SinkError as error:
            ViewMemo.expect(folder.views, spec, str(error))
            self._done(key, folder, spec, ViewStatus.failed(str(error)))
            yield None, spec
            return
        try:
            yield follower, spec
        finally:
            follower.release()
            self.sinks.give_back(spec, sink, works=follower.failure is None)

    def _done(
        self,
        key: tuple[int, int],
        folder: RunFolder,
        spec: SinkSpec,
        status: ViewStatus,
        follower: Follower | None = None,
    ) -> None:
        state, error = status.state, status.error
        failure = follower.failure if follower is not None else None
        if isinstance(failure, RunDeletedError):
            state = "deleted"
        elif isinstance(failure, NotAJournalError):
            state = "empty"
        elif getattr(failure, "exit_code", None) == TransientSinkError.exit_code:
            state = "behind"
        elif state == "current" and status.view_id is None:
            state = "empty"
        damage = follower.damage if follower is not None else ()
        if state == "empty":
            state, error, damage = _why_nothing(folder, error)
        outcome = ReplayOutcome(
            folder.number if folder.number is not None else str(folder.path),
            str(folder.path),
            spec.name,
            status.view_id,
            state,
            error,
            damage,
            follower.mended if follower is not None else None,
        )
        with self._lock:
            news = self.outcomes.get(key) != outcome
            self.outcomes[key] = outcome
            if state == "behind":
                self._behind[key] = folder
            else:
                self._behind.pop(key, None)
            if self.progress is not None and news:
                self.progress(len(self.outcomes), max(self.total, len(self.outcomes)), outcome)

    # -- following -----------------------------------------------------------------------------

    def follow(
        self, root: JournalRoot | None, folders: list[RunFolder], stop: threading.Event
    ) -> None:
        """Write what is there, follow what lives, and take up what is new in ``root``."""
        from sacred.journal.watch import FolderWatch

        watch = FolderWatch()
        threads: dict[str, list[threading.Thread]] = {}
        waiting = list(folders)
        seen = {str(folder.path) for folder in folders}
        pause, again = _RETRY_FIRST, time.monotonic() + _RETRY_FIRST
        try:
            while True:
                alive = sum(t.is_alive() for group in threads.values() for t in group)
                while waiting and alive + len(self.views) <= MAX_FOLLOWED and not stop.is_set():
                    folder = waiting.pop(0)
                    if _lives(folder):
                        threads[str(folder.path)] = self._start(folder, watch, stop)
                        alive += len(self.views)
                    else:
                        self.once([folder])
                if stop.wait(_LOOK_FOR_RUNS):
                    return
                if self._behind and time.monotonic() >= again:
                    self._try_behind(stop)
                    pause = min(2 * pause, _RETRY_LAST) if self._behind else _RETRY_FIRST
                    again = time.monotonic() + pause
                if root is not None:
                    for folder in root.runs():
                        if str(folder.path) not in seen and _has_begun(folder):
                            seen.add(str(folder.path))
                            waiting.append(folder)
                elif not (waiting or any(t.is_alive() for g in threads.values() for t in g)):
                    return
        finally:
            stop.set()
            for group in threads.values():
                for thread in group:
                    thread.join(30.0)
            watch.close()

    def _try_behind(self, stop: threading.Event) -> None:
        """Write the views that could not be written before."""
        self._unreachable.clear()
        for key, folder in tuple(self._behind.items()):
            if stop.is_set():
                return
            self._one(key, folder)

    def _start(
        self, folder: RunFolder, watch: FolderWatch, stop: threading.Event
    ) -> list[threading.Thread]:
        pairs = list(self._pairs([folder]))
        self.total += len(pairs)
        for key, _ in pairs:  # the place of each in the summary
            spec = self.views[key[1]]
            self.outcomes[key] = ReplayOutcome(
                folder.number or str(folder.path), str(folder.path), spec.name, None, "behind"
            )
        threads = []
        for key, _ in pairs:
            thread = threading.Thread(
                target=self._follow_one, args=(key, folder, watch, stop), daemon=True
            )
            thread.start()
            threads.append(thread)
        return threads

    def _follow_one(
        self, key: tuple[int, int], folder: RunFolder, watch: FolderWatch, stop: threading.Event
    ) -> None:
        over = threading.Event()
        with self._follower(key, folder) as (follower, spec):
            if follower is None:
                return

            def look() -> None:
                # The run is over when nobody writes it any more, and then all is written.
                while not over.wait(_LOOK_FOR_RUNS):
                    if stop.is_set() or not _lives(folder):
                        over.set()
                        follower.wake.set()

            watcher = threading.Thread(target=look, daemon=True)
            watcher.start()
            status = follower.follow(over, watch)
            if status.state != "failed" and not stop.is_set():
                status = follower.run_once(patience=max(self.patience, 60.0))
            over.set()
            watcher.join(5.0)
            self._done(key, folder, spec, status, follower)


def _by_priority(views: list[SinkSpec]) -> list[SinkSpec]:
    """Return the views as they are told of a run: those of a higher priority before others.

    Raises
    ------
    SinkError
        One of them can not be made.
    """
    priorities = {}
    for number, view in enumerate(views):
        sink = load_sink(view)
        sink.close()
        priorities[number] = getattr(sink, "priority", 0)
    return [views[number] for number in sorted(priorities, key=lambda n: -priorities[n])]


def _lives(folder: RunFolder) -> bool:
    try:
        return run_liveness(folder) is Liveness.RUNNING
    except (JournalError, OSError):
        return False


def _why_nothing(folder: RunFolder, error: str | None) -> tuple[str, str | None, tuple[str, ...]]:
    """Return state, reason and damage of a run of which there was nothing to write."""
    found = outline(folder)
    if found.status in {"FOREIGN", "NEWER"}:
        return "failed", found.problem or error, ()
    whole = folder.holds_nothing() or found.problem is None
    return "empty", found.problem or "it has not begun yet", () if whole else (found.problem or "",)


def _has_begun(folder: RunFolder) -> bool:
    return bool(start_fields(folder))


def declared_spec(spec: SinkSpec, folder: RunFolder) -> SinkSpec:
    """Return what a bare ``mongo``, ``sql`` or ``parquet`` stands for with this run.

    Raises
    ------
    SinkSpecError
        The run's declaration has a password, which the journal does not keep, or there is none and
        nothing else can be meant.
    """
    if spec.kind not in DECLARED or spec.url:
        return spec
    for view in start_fields(folder).get("views") or ():
        if not isinstance(view, dict) or view.get("kind") != spec.kind or not view.get("url"):
            continue
        url = str(view["url"])
        if ":***@" in url:
            scheme = url.partition("://")[0]
            raise SinkSpecError(
                f"the run declared {view.get('name')} with a password, which the journal does not "
                f"keep: write --to {scheme}://user:password@host/database"
            )
        if spec.kind == "sql":
            return SinkSpec.parse(url)
        if spec.kind == "parquet":
            return SinkSpec.parse(f"parquet:{url}")
        options = {k: v for k, v in (view.get("options") or {}).items() if v is not None}
        database = str(options.pop("db_name", DEFAULT_DATABASE))
        return mongo_spec(url, database, **options)
    if spec.kind == "sql":
        raise SinkSpecError(
            "no run says which database a bare sql is: write --to sqlite:///FILE.db, "
            "postgresql://user:password@host/database or mysql://user:password@host/database"
        )
    if spec.kind == "parquet":
        raise SinkSpecError("the run declared no Parquet tables: write --to parquet:DIR")
    return mongo_spec(DEFAULT_MONGO, DEFAULT_DATABASE)
