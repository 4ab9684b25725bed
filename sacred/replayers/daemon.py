"""The replayer as a service: the runs of many roots into many views, for as long as one likes.

It takes up what is new and what changed, leaves alone what another replayer writes, and begins where
it was after a crash: of a run whose note says that the view has all of the journal, nothing is read.
What it keeps of ten thousand runs is a few numbers each.
"""

from __future__ import annotations

import os
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.errors import JournalError
from sacred.journal.notes import notes_size
from sacred.journal.root import JournalRoot, RunFolder
from sacred.replayers.errors import ReplayConfigError, SinkError
from sacred.replayers.health import Health
from sacred.replayers.memo import JournalSize, ViewMemo
from sacred.replayers.place_mark import PlaceGuards
from sacred.replayers.place_watch import PlaceWatch
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import declared_spec
from sacred.replayers.view_worker import ViewWorker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.replayers.sink import SinkSpec

__all__ = ["Daemon", "DaemonPlan"]

#: Between two looks for new runs (s).
LOOK = 1.0
#: Runs that are looked at in one step, and known ones that are looked at again in one.
_STEP = 500
#: What is at hand when it is to end is finished within (s).
LAST_EFFORT = 30.0


class DaemonPlan(NamedTuple):
    """What is to be done.

    Attributes
    ----------
    roots
        Where the runs are.
    views
        (name, view); the name is for the log.
    jobs
        So many runs at once, for each view.
    health
        ``host:port``, the path of a file, or None.
    settings
        The file that said so, or None.
    """

    roots: tuple[Path, ...]
    views: tuple[tuple[str, SinkSpec], ...]
    jobs: int = 1
    health: str | None = None
    settings: Path | None = None


class _Root:
    """One root, and which of its runs are known."""

    def __init__(self, path: Path) -> None:
        self.journals = JournalRoot(path)
        self.path = self.journals.path
        #: By the run's number, when the folder of its journal changed last, and what was said of it.
        self.known: dict[int, tuple[int, ...]] = {}
        #: Claimed, and without a journal yet.
        self.empty: set[int] = set()
        self.listed = -1
        self.problem: str | None = None
        self.place = 0

    def folder(self, number: int) -> RunFolder:
        """Return a run's folder."""
        return RunFolder(self.path / str(number), number)

    def look(self) -> tuple[list[int], list[int]]:
        """Return the numbers of runs that are new or changed, and of those that are gone."""
        changed = os.stat(self.path).st_mtime_ns
        new: list[int] = []
        gone: list[int] = []
        # A folder that changed a moment ago may change again under the same time.
        if changed != self.listed or time.time_ns() - changed < 2 * 10**9:
            numbers = set(self.journals.numbers())
            gone = [number for number in self.known if number not in numbers]
            for number in gone:
                del self.known[number]
            self.empty = {number for number in numbers if number not in self.known}
            self.listed = changed
        for number in sorted(self.empty):
            when = self._when(number)
            if when is not None:
                self.empty.discard(number)
                self.known[number] = when
                new.append(number)
        return new + self._again(), gone

    def _again(self) -> list[int]:
        """Return which of some known runs changed: runs are gone on with, and repaired."""
        if self.place >= len(self.known):
            self.place = 0
        some = list(islice(self.known.items(), self.place, self.place + _STEP))
        self.place += _STEP
        changed = []
        for number, known in some:
            when = self._when(number)
            if when is not None and when != known:
                self.known[number] = when
                changed.append(number)
        return changed

    def _when(self, number: int) -> tuple[int, ...] | None:
        try:
            folder = f"{self.path}/{number}/journal"
            if not any(name.endswith(".jzst") for name in os.listdir(folder)):
                return None
            return os.stat(folder).st_mtime_ns, *notes_size(self.path / str(number))
        except OSError:
            return None


class Daemon:
    """Writes runs into views until it is stopped.

    Parameters
    ----------
    plan
        What is to be done.
    load
        Returns the plan anew, for ``reload``; raises what is wrong with it.
    say
        Takes a line of the log.
    rebuild
        Write each run anew, once.

    Raises
    ------
    SinkError, ReplayConfigError, NoRootError
        A view needs what is not installed, the place of health can not be had, a root is none.
    """

    def __init__(
        self,
        plan: DaemonPlan,
        load: Callable[[], DaemonPlan],
        say: Callable[[str], None],
        *,
        rebuild: bool = False,
    ) -> None:
        from sacred.journal.watch import FolderWatch

        self.plan = DaemonPlan((), ())
        self._load = load
        self._say = say
        self._rebuild = rebuild
        self._watch = FolderWatch()
        self._began = time.time_ns()
        self._roots: dict[Path, _Root] = {}
        self._workers: dict[tuple[Any, ...], ViewWorker] = {}
        self._leaving: list[ViewWorker] = []
        self._guards = PlaceGuards()
        self._places: dict[ViewWorker, PlaceWatch] = {}
        #: Runs to be looked at, for one worker or for all.
        self._todo: deque[tuple[tuple[Path, int], ViewWorker | None]] = deque()
        self._health: Health | None = None
        self._ended = False
        self._apply(plan)

    # -- what is to be done --------------------------------------------------------------------------

    def reload(self) -> None:
        """Take the plan anew; one that is wrong is told of, and the old one stays."""
        try:
            plan = self._load()
            self._apply(plan)
        except (ReplayConfigError, SinkError, JournalError, OSError) as error:
            problems = getattr(error, "problems", None) or (str(error),)
            for problem in problems:
                self._tell(None, f"the new settings are not taken: {problem}")
            self._tell(None, "going on with the old ones")
            return
        for worker in self._workers.values():
            worker.try_failed()
        self._tell(None, f"settings read again: {_summary(plan)}")

    def _apply(self, plan: DaemonPlan) -> None:
        for _, spec in plan.views:
            load_sink(spec).close()  # a missing package is said before anything is done
        paths = [JournalRoot(root).path for root in plan.roots]
        for path in paths:
            JournalRoot(path).numbers()  # raises where there is no root
        health = self._health
        if health is None or plan.health != health.place:
            health = Health(plan.health, self.report) if plan.health is not None else None
            if self._health is not None:
                self._health.close()
        self._health = health
        self.plan = plan
        old, self._workers = self._workers, {}
        fresh = []
        for name, spec in plan.views:
            key = (name, spec.key, repr(spec.to_wire()), plan.jobs)
            worker = old.pop(key, None)
            if worker is None:
                worker = ViewWorker(
                    *(spec, name or spec.name, plan.jobs, self._folder, self._tell, self._watch),
                    rebuild=self._rebuild,
                    places=self._guards,
                )
                fresh.append(worker)
                self._places[worker] = PlaceWatch(spec, self._guards)
            self._workers[key] = worker
        for worker in old.values():
            worker.stop()
            self._leaving.append(worker)
            del self._places[worker]
        self._take_roots(paths)
        for worker in fresh:
            for root in self._roots.values():
                self._todo.extend(((root.path, number), worker) for number in root.known)
            worker.start()

    def _take_roots(self, paths: list[Path]) -> None:
        for path in [path for path in self._roots if path not in paths]:
            for number in self._roots.pop(path).known:
                for worker in self._workers.values():
                    worker.remove((path, number))
        for path in paths:
            self._roots.setdefault(path, _Root(path))

    def _folder(self, key: tuple[Path, int]) -> RunFolder:
        return RunFolder(key[0] / str(key[1]), key[1])

    # -- the loop ------------------------------------------------------------------------------------

    def step(self) -> float:
        """Look for what is new, once; return after how many seconds to do so again."""
        for root in self._roots.values():
            self._look(root)
        for view, place in self._places.items():
            self._look_at_place(view, place)
        for _ in range(min(_STEP, len(self._todo))):
            key, worker = self._todo.popleft()
            self._hand_out(key, worker)
        self._leaving = [worker for worker in self._leaving if not worker.join(time.monotonic())]
        if self._health is not None:
            self._health.beat()
        return 0.0 if self._todo else LOOK

    def _look(self, root: _Root) -> None:
        try:
            new, gone = root.look()
        except (JournalError, OSError) as error:
            problem = str(error)
            if problem != root.problem:
                self._tell(None, f"{root.path}: {problem}; trying again")
            root.problem = problem
            return
        if root.problem is not None:
            root.problem = None
            self._tell(None, f"{root.path}: well again")
        self._todo.extend(((root.path, number), None) for number in new)
        for number in gone:
            for worker in self._workers.values():
                worker.remove((root.path, number))

    def _look_at_place(self, worker: ViewWorker, place: PlaceWatch) -> None:
        """Have runs looked at whose notes a view does not keep: it came back older, or empty."""
        roots = [root.journals for root in self._roots.values()]
        for path, count in place.lost(roots):
            root = self._roots[path]
            self._tell(
                None,
                f"{worker.name}: lacks what it had (put back to a backup, or dropped?): {count} "
                f"run{'s' * (count != 1)} of {path} looked at again",
            )
            self._todo.extend(((path, number), worker) for number in root.known)
        place.look(roots, worker.counts().written)

    def _hand_out(self, key: tuple[Path, int], only: ViewWorker | None) -> None:
        """Give a run to the views that may lack something of it."""
        if key[0] not in self._roots:
            return
        folder = self._folder(key)
        size, notes = JournalSize.of(folder.journal), notes_size(folder.path)
        for worker in self._workers.values() if only is None else (only,):
            spec = _declared(worker.spec, folder)
            if spec is not None and worker in self._places:
                self._places[worker].know(spec)
            if spec is not None and not self._rebuild and _has_all(folder, spec, size, notes):
                worker.add_whole(key)
            else:
                worker.add(key)

    def stop(self) -> bool:
        """End after the batches at hand; False if one took too long (it is written again later)."""
        workers = [*self._workers.values(), *self._leaving]
        for worker in workers:
            worker.stop()
        deadline = time.monotonic() + LAST_EFFORT
        done = all(worker.join(deadline) for worker in workers)
        for place in self._places.values():
            place.finish([root.journals for root in self._roots.values()])
        self._ended = True
        if self._health is not None:
            self._health.close()
        self._watch.close()
        return done

    @property
    def exit_code(self) -> int:
        """0 done, 1 a view failed, 3 a view is behind."""
        counts = [worker.counts() for worker in self._workers.values()]
        if any(count.failed for count in counts):
            return 1
        return 3 if any(count.behind for count in counts) else 0

    # -- what it says --------------------------------------------------------------------------------

    def _tell(self, key: tuple[Path, int] | None, text: str) -> None:
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        if key is None:
            self._say(f"{when}  {text}")
            return
        where = f" of {key[0]}" if len(self._roots) > 1 else ""
        self._say(f"{when}  run {key[1]}{where} -> {text}")

    def report(self) -> dict[str, Any]:
        """Return how all is, as plain data."""
        from sacred.replayers.jsontext import instant

        views, states = [], set()
        for worker in list(self._workers.values()):
            counts = worker.counts()
            state = "failed" if counts.failed else "behind" if counts.behind else "ok"
            states.add(state)
            views.append(
                {
                    "name": worker.name,
                    "kind": worker.spec.kind,
                    "view": worker.spec.name,
                    "state": state,
                    **counts.record(),
                }
            )
        problems = [root for root in list(self._roots.values()) if root.problem is not None]
        worst = next((state for state in ("failed", "behind") if state in states), "ok")
        return {
            "status": "ended" if self._ended else "behind" if problems and worst == "ok" else worst,
            "pid": os.getpid(),
            "began": instant(self._began),
            "now": instant(time.time_ns()),
            "settings": str(self.plan.settings) if self.plan.settings is not None else None,
            "roots": [
                {"path": str(root.path), "runs": len(root.known), "error": root.problem}
                for root in list(self._roots.values())
            ],
            "views": views,
        }


def _declared(spec: SinkSpec, folder: RunFolder) -> SinkSpec | None:
    try:
        return declared_spec(spec, folder)
    except SinkError:
        return None


def _has_all(
    folder: RunFolder, spec: SinkSpec, size: JournalSize | None, notes: tuple[int, int]
) -> bool:
    """Tell whether a note says that the view has all of a run that is over."""
    memo = ViewMemo.load(folder.views, spec.key)
    if memo is None:
        return False
    if memo.state == "deleted":
        return True
    # A sealed run has smaller files with the same events: a copy is made of these, too.
    covers = memo.is_of(size) if spec.kind == "journal" else memo.covers(size)
    return memo.ended and covers and memo.has_notes(notes)


def _summary(plan: DaemonPlan) -> str:
    views = ", ".join(name or spec.name for name, spec in plan.views)
    roots = f"{len(plan.roots)} root{'s' * (len(plan.roots) != 1)}"
    return f"{roots} -> {views}, {plan.jobs} job{'s' * (plan.jobs != 1)}"
