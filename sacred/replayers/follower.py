"""The follower: one run's journal -> projection -> one view, whatever is killed when.

It is the only retry loop. Where the view stands is asked of the view itself, at the beginning and
after every error of its connection; the journal is then folded from its beginning up to that point
in silence, and from there into the view.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import (
    JournalError,
    JournalUnreadableError,
    NotAJournalError,
    PositionContradictedError,
)
from sacred.journal.finding import start_fields, start_time
from sacred.journal.notes import notes_size, read_notes
from sacred.journal.position import Position
from sacred.replayers.checkpoint import CONTENT, Checkpoints
from sacred.replayers.errors import (
    RunDeletedError,
    SinkError,
    SinkMissingError,
    TransientSinkError,
    ViewDefectError,
    ViewMovedError,
)
from sacred.replayers.fold import RunFold
from sacred.replayers.growth import POINT_BYTES, Growth, is_due_in_whole
from sacred.replayers.memo import JournalSize, ViewMemo
from sacred.replayers.missing_package import how_to_install
from sacred.replayers.plain import utc
from sacred.replayers.projection import PROJECTOR, RunProjection
from sacred.replayers.sink import Batch, FieldsChanged, FileEntry, OutputChanged, RunKey
from sacred.replayers.status import ViewStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.journal.watch import FolderWatch
    from sacred.replayers.checkpoint import Checkpoint
    from sacred.replayers.folded_run import FoldedRun
    from sacred.replayers.place_mark import PlaceGuard
    from sacred.replayers.sink import Change, Sink, SinkSpec, ViewPosition

__all__ = ["Follower"]

log = logging.getLogger("sacred.replayers")
# Whoever calls says what is to be seen: the replayer process its log, the command line its lines.
log.addHandler(logging.NullHandler())

#: A batch is written when so many points or characters wait, at the latest.
BATCH_POINTS = 100_000
BATCH_CHARACTERS = 4 << 20
#: Seconds between two writes while following: at least, and as a multiple of what one costs.
WRITE_INTERVAL = 0.25
WRITE_COST = 5.0
#: Seconds between two attempts after an error: first, and at most.
RETRY_FIRST, RETRY_LAST = 0.2, 15.0
#: So often a view that another replayer moved is looked at again before it counts as behind.
MOVED_TRIES = 20
#: What was held back is written when nothing was new for so long (s).
IDLE_FLUSH = 30.0
#: So often it is remembered how far a view is while nothing else changes (s).
REMEMBER_INTERVAL = 10.0


class Follower:
    """Brings one run into one view, and keeps it there.

    Parameters
    ----------
    folder
        The run's folder.
    sink
        The view; the follower opens it and closes it.
    spec
        What the view is called, and under which key it is remembered.
    rebuild
        Write the run anew, also if the view says that it has it or that it was deleted there.
    on_status
        Called with the status after each step, from the thread that follows.
    folded
        The run as another process folded it. It is taken for a run that the view does not know, if
        nothing came to the journal since.
    place
        Tells whether the view's place was put back to a backup; without it a run that is missing
        there was deleted by a person.

    Attributes
    ----------
    status
        As of the last step. May be read from any thread.
    failure
        The error because of which the view is not current, or None.
    journal_id
        16 hex digits; empty until the journal could be read.
    reached
        Whether the view could be opened at the last attempt.
    rounds
        How often everything there was has been written.
    ended
        Whether the journal says that the run ended.
    mended
        What was damaged in the view, so that the run was written there anew; None if nothing was.

    Notes
    -----
    One thread uses a follower; ``ask`` and ``wake`` may be used from others.
    """

    def __init__(
        self,
        folder: RunFolder,
        sink: Sink,
        spec: SinkSpec,
        *,
        rebuild: bool = False,
        on_status: Callable[[ViewStatus], None] | None = None,
        folded: FoldedRun | None = None,
        place: PlaceGuard | None = None,
    ) -> None:
        self.folder = folder
        self.sink = sink
        self.spec = spec
        self._key = spec.key  # a digest
        self.wake = threading.Event()
        self.status = ViewStatus("behind", None, None, Position())
        self.failure: Exception | None = None
        self.reached = False
        self.rounds = 0
        self.ended = False
        self._rebuild = rebuild
        self._on_status = on_status
        self._place = place
        self._attached = False
        self._connection_failed = False
        self._had = False
        #: When the run was last there, by the monotonic clock.
        self._there = 0.0
        self._finished = False
        #: Stored files that are not there, as sentences, in the order they were missed.
        self._missing: dict[str, None] = {}
        self._damage: tuple[str, ...] = ()
        self._memo: ViewMemo | None = None
        #: Whether what is remembered lies on the disk, and when it was put there.
        self._remembered = True
        self._remembered_at = 0.0
        self._journal_size: JournalSize | None = None
        self._written: int | None = None
        self._complete = threading.Event()
        self.journal_id = ""
        self.mended: str | None = None
        self._references: dict[tuple[str, str, str | None, int], Any] = {}
        self._last_write = 0.0
        self._last_cost = 0.0
        self._last_news = 0.0
        self._fold: RunFold | FoldedRun | None = None
        self._folded = folded
        attend = getattr(sink, "attend", None)
        if attend is not None:
            attend(folder)
        self._forget()

    def _forget(self) -> None:
        """Know nothing of where the view stands."""
        if self._fold is not None:
            self._fold.close()
            self._fold = None
        self._growth = Growth()
        self._view_id: Any = None
        self._order = "arrival"
        #: The run is to be taken up, and the view was not asked whether it has it.
        self._unasked = False
        self._committed = Position()
        #: All that was folded is in the view.
        self._settled = False
        self._complete_written = True
        #: What of the notes beside the journal was taken, and what of all that was said the view
        #: was told of.
        self._notes: tuple[int, int] | None = None
        self._told = ""

    @property
    def _profile(self) -> str:
        return getattr(self.sink, "profile", "sacred")

    def _new_fold(self, begin: Checkpoint | None = None) -> RunFold:
        keep = "output" in self.sink.rewrites
        self._fold = RunFold(self.folder, keep_output=keep, profile=self._profile, begin=begin)
        return self._fold

    # -- the public steps ----------------------------------------------------------------------

    def run_once(self, *, patience: float = 0.0) -> ViewStatus:
        """Bring everything that the journal holds now into the view.

        Parameters
        ----------
        patience
            For how long to try again after errors that may pass (s).

        Returns
        -------
        ViewStatus
            Never raises for what the view or the journal does.
        """
        deadline = time.monotonic() + patience
        delay = RETRY_FIRST
        moved = 0
        while True:
            try:
                self._advance(complete=True)
            except (TransientSinkError, PositionContradictedError) as error:
                self._failed(error, "behind")
                if isinstance(error, ViewMovedError) and moved < MOVED_TRIES:
                    moved += 1  # another replayer writes this run too: look where it got to
                    time.sleep(RETRY_FIRST * random.uniform(0.1, 0.5))  # noqa: S311 - jitter
                    continue
                if time.monotonic() + delay > deadline:
                    return self.status
                time.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                delay = min(2 * delay, RETRY_LAST)
            except (SinkError, JournalError, OSError) as error:
                self._failed(error, "failed")
                return self.status
            except Exception as error:
                self._stopped(error)
                return self.status
            else:
                self._well("current")
                return self.status

    def follow(
        self, stop: threading.Event, watch: FolderWatch | None = None, *, until_over: bool = False
    ) -> ViewStatus:
        """Keep the view up to date until ``stop`` is set or the view can not be written at all.

        With ``until_over`` also until nothing more is to be expected of the run.

        When it returns, all that the journal held is in the view, or ``status`` says why not.
        """
        from sacred.journal.watch import FolderWatch

        own = FolderWatch() if watch is None else None
        try:
            with (watch or own or FolderWatch()).watching(self.folder.journal, self.wake):
                self._follow(stop, until_over=until_over)
        finally:
            if own is not None:
                own.close()
        return self.status

    def ask(self) -> None:
        """Have everything written now, also what was held back. From any thread."""
        self._complete.set()
        self.wake.set()

    @property
    def damage(self) -> tuple[str, ...]:
        """What was wrong with the journal, as far as it was read; one sentence each."""
        return (*self._damage, *self._missing)

    @property
    def wrote(self) -> bool:
        """Whether anything was written into the view."""
        return self._written is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected of the run; for the thread that follows."""
        return self._fold is not None and self._fold.is_final()

    def release(self) -> None:
        """Close the files; the sink stays open, for whoever lent it."""
        if self._memo is not None and not self._remembered:
            self._save_memo(self._memo)
        self._detach()

    def close(self) -> None:
        """Close the sink and the files."""
        self.release()
        self.sink.close()

    # -- the loop ------------------------------------------------------------------------------

    def _follow(self, stop: threading.Event, *, until_over: bool) -> None:
        from sacred.journal.watch import POLL_INTERVAL

        delay = RETRY_FIRST
        over = False
        while True:
            stopping = over or stop.is_set()
            self.wake.clear()
            asked = self._complete.is_set()
            self._complete.clear()
            idle = time.monotonic() - self._last_news > IDLE_FLUSH
            try:
                news = self._advance(complete=stopping or asked or self.ended or idle)
            except (TransientSinkError, PositionContradictedError) as error:
                self._failed(error, "behind")
                if stopping:
                    return
                if asked:
                    self._complete.set()
                pause = delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                delay = min(2 * delay, RETRY_LAST)
                stop.wait(pause)
                continue
            except (NotAJournalError, JournalUnreadableError, OSError) as error:
                # Its first file may be about to appear, its disk about to come back.
                self._failed(error, "behind")
                if stopping or (until_over and not self.folder.journal.is_dir()):
                    return
                self.wake.wait(POLL_INTERVAL)
                continue
            except (SinkError, JournalError) as error:
                self._failed(error, "failed")
                return
            except Exception as error:
                self._stopped(error)
                return
            delay = RETRY_FIRST
            self._well("current" if self._is_current() else "behind")
            if stopping:
                return
            if news:
                self._last_news = time.monotonic()
                pause = max(WRITE_INTERVAL, WRITE_COST * self._last_cost)
                if not self._complete.is_set():
                    stop.wait(min(pause, 60.0))
            elif until_over and self.is_over:
                over = True
            else:
                self.wake.wait(POLL_INTERVAL)

    def _is_current(self) -> bool:
        if self._fold is None or self._committed.behind(self._fold.reached):
            return False
        return self._complete_written or "rendered" not in self.sink.rewrites

    def _well(self, state: str) -> None:
        self._connection_failed = False
        self.rounds += self._finished
        self.failure = None
        self._say(ViewStatus(state, self._view_id, None, self._committed))

    def _failed(self, error: Exception, state: str) -> None:
        if not isinstance(error, (ViewMovedError, PositionContradictedError)):
            self._connection_failed = True
        if isinstance(error, OSError) and not isinstance(error, JournalError):
            text = f"{self.folder.path}: {error.strerror or error}"
        else:
            text = str(error)
        self.failure = error
        self._say(ViewStatus(state, self._view_id or self.status.view_id, text, self._committed))
        self._detach()

    def _stopped(self, error: Exception) -> None:
        """Give this view up for an error that nobody thought of: other runs and views go on."""
        lacks = how_to_install(error) if isinstance(error, ImportError) else None
        if lacks is not None:
            self._failed(SinkMissingError(f"the view {self.spec.name} needs {lacks}"), "failed")
            return
        log.error("%s -> %s: a defect", self.folder.path, self.spec.name, exc_info=error)
        what = " ".join(f"{type(error).__name__}: {error}".split())
        text = f"a defect in sacred-journal stopped the view {self.spec.name}, please report it: "
        self._failed(ViewDefectError(text + what[:500]), "failed")

    def _say(self, status: ViewStatus) -> None:
        before, self.status = self.status, status
        self._remember()
        if status.error and status.error != before.error:
            log.warning("%s -> %s: %s", self.folder.path, self.spec.name, status.error)
        elif before.error and not status.error:
            log.info("%s -> %s: well again", self.folder.path, self.spec.name)
        if self._on_status is not None:
            self._on_status(status)

    def _remember(self) -> None:
        status = self.status
        if status.view_id is None and status.error is None:
            return
        memo = self._memo_now(status)
        before = self._memo
        if before is not None and memo == before._replace(looked=memo.looked):
            return
        self._memo, self._remembered = memo, False
        moved = ("position", "journal", "looked", "written")
        told = {name: getattr(before, name) for name in moved} if before is not None else {}
        # A run that goes on moves with every batch: that alone is worth a file now and then.
        if before != memo._replace(**told) or (
            time.monotonic() - self._remembered_at >= REMEMBER_INTERVAL
        ):
            self._save_memo(memo)

    def _memo_now(self, status: ViewStatus) -> ViewMemo:
        before = self._memo or ViewMemo.load(self.folder.views, self._key)
        error, position = status.error, status.position.to_wire()
        state = "current" if self._finished else "following"
        if isinstance(self.failure, RunDeletedError):
            state, error = "deleted", None
        elif error is not None:
            state = "failed" if status.state == "failed" else "behind"
        written, since = self._written, None
        if before is not None:
            written = written or before.written
            asked = status.view_id is not None or state == "deleted"
            if not position and (not asked or before.view_id == status.view_id):
                position = before.position  # it could not be asked where it stands
        now = time.time_ns()
        if error is not None:
            since = before.since if before is not None and before.error == error else now
        size = list(self._journal_size) if self._journal_size is not None else None
        ended = self.ended or (state == "current" and self.is_over)
        view_id = status.view_id
        if view_id is None and before is not None:
            view_id = before.view_id
        return ViewMemo(
            *(self.spec.name, view_id, state, error, self.spec.kind, position, size),
            *(ended, written, now, since, list(self._notes) if self._notes is not None else None),
        )

    def _save_memo(self, memo: ViewMemo) -> None:
        self._remembered, self._remembered_at = True, time.monotonic()
        memo.save(self.folder.views, self._key)

    # -- one step ------------------------------------------------------------------------------

    def _advance(self, *, complete: bool) -> bool:
        """Bring what is new into the view; True if there was anything.

        With ``complete`` also what would otherwise wait for more.
        """
        try:
            return self._step(complete=complete)
        except ViewMovedError:
            if not self._unasked:
                raise
        # It was there: where one run is, the next ones may be too.
        self.sink.takes_unasked = False  # type: ignore[attr-defined]
        self._detach()
        return self._step(complete=complete)

    def _step(self, *, complete: bool) -> bool:
        size = JournalSize.of(self.folder.journal)
        if not self._attached:
            self._attach(size)
            if not self._attached:
                return False
        fold = self._fold
        if fold is None:
            return False
        news = False
        if isinstance(fold, RunFold):
            news = self._read_on(fold)
        if fold.add_end():
            news = True
            self._settled = False
        if (complete or not news) and fold.add_spool(settled=self._settled):
            complete = True
        news = self._take_notes(fold) or news
        self._flush(fold, complete=complete)
        if complete and self._has_several_orders(fold):
            fold = self._rebuild_in_order(fold)
        self._finished = complete
        self._journal_size = size
        self.ended = fold.ended
        self._damage = tuple(map(str, fold.flaws))
        return news

    def _read_on(self, fold: RunFold) -> bool:
        """Fold what was not read yet, and write what is too much for one batch."""
        news = False
        self._keep_checkpoint(fold)
        projection = fold.projection
        for frame in fold.frames():
            news = True
            self._settled = False
            fold.add(frame)
            if projection.pending_points >= BATCH_POINTS or (
                projection.pending_output >= BATCH_CHARACTERS
            ):
                self._flush(fold, complete=False, everything=True)
            self._keep_checkpoint(fold)
        return news

    def _take_notes(self, fold: RunFold | FoldedRun) -> bool:
        """Take what people said of the run beside its journal; True if the view lacks of it."""
        if not getattr(self.sink, "annotated", False):
            return False
        size = notes_size(self.folder.path)
        if size == self._notes:
            return False
        notes = read_notes(self.folder)
        self._notes = size
        projection = fold.projection
        projection.take_notes(notes.events)
        if notes.problem is not None:
            log.warning("%s: %s", self.folder.path, notes.problem)
        told = projection.annotations.digest == self._told
        if told or notes.events or self._told:
            projection.mark_annotations(told=told)
        return not told

    def _detach(self) -> None:
        """Forget where the view stood: the view is asked again."""
        self._attached = False
        if self._fold is not None:
            self.ended = self._fold.ended
        self._forget()

    def _attach(self, size: JournalSize | None = None) -> None:
        """Ask the view where it stands, and fold the journal up to there."""
        self._forget()
        self.reached = False
        self.sink.open()
        self.reached = True
        folded, self._folded = self._folded, None
        if folded is not None and folded.size == size and self._attach_folded(folded):
            return
        fold = self._new_fold()
        if not fold.journal_id:
            return  # nothing whole is in the file yet
        self.journal_id = fold.journal_id
        memo = ViewMemo.load(self.folder.views, self._key)
        hint = memo.view_id if memo is not None else None
        if hint is None:
            hint = start_fields(self.folder).get("run_id")
        key = RunKey(self.journal_id, hint)
        found = self.sink.position(key)
        if found is None and (self._had or (memo is not None and memo.had)):
            # Before it counts as deleted: it may be there, without what says that it is this one.
            key = key._replace(fields=self._start())
            found = self.sink.position(key)
        self._references = {}
        if found is None:
            self._attach_unknown(memo)
        elif found.flaw is not None:
            self.mended = found.flaw
            self._begin_anew(key, found.flaw)
        elif self._rebuild or (found.projector != PROJECTOR and not found.claimed):
            self._begin_anew(key, "asked for" if self._rebuild else "written by another version")
        else:
            self._catch_up(key, found, self._from_checkpoint(found, fold))
        self._rebuild = False
        self._attached = True

    def _start(self) -> dict[str, Any]:
        """Return the fields by which a place knows a run again that says its id no more."""
        began = start_time(self.folder)
        return {} if began is None else {"start_time": utc(began)}

    def _attach_folded(self, folded: FoldedRun) -> bool:
        """Begin with what another process folded; False where the view knows the run already."""
        if self._rebuild or self._profile != "sacred":
            return False
        memo = ViewMemo.load(self.folder.views, self._key)
        hint = memo.view_id if memo is not None else None
        if hint is None:
            hint = folded.projection.run_id
        unasked = memo is None and getattr(self.sink, "takes_unasked", False)
        if not unasked and self.sink.position(RunKey(folded.journal_id, hint)) is not None:
            return False
        if memo is not None and memo.had:
            return False  # what a run needs that is missing is done in one place
        self.journal_id = folded.journal_id
        self._fold = folded
        self._references = {}
        self._attach_unknown(memo)
        self._unasked = unasked
        self._attached = True
        return True

    def _from_checkpoint(self, found: ViewPosition, fold: RunFold) -> RunFold:
        """Return a fold that begins where an earlier one was kept, if that was before the view."""
        if found.order != "arrival" or self._profile != "sacred":
            return fold
        kept = self._checkpoints().find(self.journal_id, found.position)
        if kept is None:
            return fold
        try:
            begun = self._new_fold(kept)
        except (ValueError, TypeError, KeyError):
            self._checkpoints().drop()
            return self._new_fold()
        fold.close()
        return begun

    def _checkpoints(self) -> Checkpoints:
        whole = "output" in self.sink.rewrites
        return Checkpoints(self.folder, self._key, f"{PROJECTOR} {'output' if whole else ''}")

    def _keep_checkpoint(self, fold: RunFold) -> None:
        if fold.content < CONTENT:
            return
        fold.content = 0
        if self._order != "arrival" or self._profile != "sacred":
            return  # values as an observer is told them have no form in a file
        kept = fold.checkpoint()
        if kept is not None:
            self._checkpoints().save(self.journal_id, kept)

    def _attach_unknown(self, memo: ViewMemo | None) -> None:
        """Take up a run that the view does not know, unless it knew it before, and still would."""
        noted = memo is not None and memo.had  # on this machine, that the view had the run
        if self._rebuild or self._connection_failed or not (self._had or noted):
            return
        if self._place is not None:
            since = self._there if self._had else None
            if self._place.is_put_back(self.sink, since) and (self._had or not self._is_noted()):
                return
        raise RunDeletedError(
            f"the run was deleted in {self.spec.name}; --rebuild writes it there again"
        )

    def _is_noted(self) -> bool:
        """Tell whether that note still stands: who finds a place put back takes it back."""
        memo = ViewMemo.load(self.folder.views, self._key)
        return memo is not None and memo.had

    def _changes_place(self) -> None:
        """Have it known that the view's place is about to be changed."""
        if self._place is not None:
            self._place.before_write(self.sink)

    def _begin_anew(self, key: RunKey, why: str) -> RunFold:
        log.info("%s -> %s: written anew (%s)", self.folder.path, self.spec.name, why)
        self._changes_place()
        self.sink.reset(key)
        found = self.sink.position(key)
        self._forget()
        self._references = {}
        self._view_id = found.view_id if found is not None else None
        self._had, self._there = found is not None, time.monotonic()
        return self._new_fold()

    def _catch_up(self, key: RunKey, found: ViewPosition, fold: RunFold) -> None:
        """Fold in silence what the view has, and prove that it is of this journal."""
        self._view_id, self._told = found.view_id, found.told
        # A claim may be taken back: that is nobody's deletion.
        self._had, self._there = not found.claimed, time.monotonic()
        try:
            fresh = fold.add_known(found, self.spec.name)
        except PositionContradictedError as error:
            if fold.begun:
                self._checkpoints().drop()  # of another journal than this one is by now
                self._catch_up(key, found, self._new_fold())
                return
            self._begin_anew(key, str(error))
            return
        missing = fold.missing_points(found)
        if missing:
            self._begin_anew(key, f"the view lost points of {missing}")
            return
        self._committed = found.position
        self._order = found.order
        self._settled = not fresh
        for name, count in (found.points or {}).items():
            self._growth.written(name, count * POINT_BYTES)
        self._growth.written("", fold.projection.output_length)

    # -- writing -------------------------------------------------------------------------------

    def _flush(
        self, fold: RunFold | FoldedRun, *, complete: bool, everything: bool = False
    ) -> None:
        """Write what is due. ``everything``: no point is held back."""
        projection, rewrites = fold.projection, self.sink.rewrites
        if projection.start_time is None:
            return  # a run that has not begun has no document
        if not (complete or everything or self._is_due(projection)):
            return  # all of it waits, and the position with it
        hold = "points" in rewrites and not complete and not everything
        growth = self._growth
        waiting = projection.pending_by_metric()
        names = [
            name
            for name, count in waiting.items()
            if count and (not hold or growth.due(name, count * POINT_BYTES))
        ]
        with_output = (
            complete or "output" not in rewrites or growth.due("", projection.pending_output)
        )
        changes: list[Change] = []
        fields = projection.take_fields()
        if fields is not None:
            changes.append(fields)
        if with_output:
            output = projection.take_output()
            if output is not None:
                if "output" in rewrites:
                    output = OutputChanged(0, projection.output())
                    growth.written("", projection.output_length)
                changes.append(output)
            fold.output_taken()
        changes.extend(projection.take_points(names))
        position = fold.position()
        unfinished = complete and not self._complete_written and "rendered" in rewrites
        if not changes and position == self._committed and not unfinished:
            return
        self._write(fold, tuple(changes), position, fields, complete=complete)
        for name in names:
            growth.written(name, projection.counts[name] * POINT_BYTES)

    def _is_due(self, projection: RunProjection) -> bool:
        """Tell whether what waits is worth a write, in a view that is written whole."""
        if "whole" not in self.sink.rewrites or self._view_id is None:
            return True
        waiting = projection.pending_points * POINT_BYTES + projection.pending_output
        since = time.monotonic() - self._last_write
        return is_due_in_whole(getattr(self.sink, "weight", 0), waiting, since)

    def _write(
        self,
        fold: RunFold | FoldedRun,
        changes: tuple[Change, ...],
        position: Position,
        fields: FieldsChanged | None,
        *,
        complete: bool,
    ) -> None:
        begin = time.monotonic()
        projection = fold.projection
        self._changes_place()
        if self._view_id is None:
            self._take_up(projection)
        key = RunKey(self.journal_id, self._view_id)
        for entry in _files(fields):
            if entry.key not in self._references:
                reference = self.sink.put_file(key, entry, self._blob(entry))
                self._references[entry.key] = reference
        self.sink.write(
            Batch(
                key,
                changes,
                position,
                PROJECTOR,
                self._order,
                tuple(projection.counts),
                self._references,
                complete,
                fold.spool,
                fold.latest(),
            )
        )
        self._unasked = False
        # Somebody else's program may give the id when it is told of the run.
        self._view_id = getattr(self.sink, "view_id", None) or self._view_id
        self._committed = position
        self._complete_written = complete
        if fields is not None and fields.annotations is not None:
            self._told = fields.annotations.digest
        self._had = True
        self._last_write = self._there = time.monotonic()
        self._last_cost = self._last_write - begin
        self._written = time.time_ns()

    def _take_up(self, projection: RunProjection) -> None:
        """Give a run that the view does not know its id there, and have the sink ready for it."""
        document = _without_files(projection.document())
        key = RunKey(self.journal_id, projection.run_id, document)
        take_up = getattr(self.sink, "take_up", None)
        if take_up is None:
            self._view_id = self.sink.claim(key)
            self.sink.position(key)
            return
        found: ViewPosition = take_up(key)
        if found.position or found.flaw is not None:
            raise ViewMovedError("another replayer wrote this run meanwhile")
        self._view_id = found.view_id

    def _blob(self, entry: FileEntry) -> Path | None:
        from sacred.journal.blobs import BlobStore

        if entry.digest is None:
            return None
        try:
            path = BlobStore(self.folder.root.blobs).path_of(entry.digest)
        except JournalError:
            return None
        if path.is_file():
            return path
        text = f"the stored content of {entry.name} is missing"
        if text not in self._missing:
            self._missing[text] = None
            log.warning("%s: %s", self.folder.path, text)
        return None

    # -- several writers -----------------------------------------------------------------------

    def _has_several_orders(self, fold: RunFold | FoldedRun) -> bool:
        """Tell whether the view has to be put into the rebuilt order, once the run is over."""
        if len(fold.projection.writers) < 2 or (self._order == "time" and self._settled):
            return False
        return fold.is_final()

    def _rebuild_in_order(self, fold: RunFold | FoldedRun) -> RunFold:
        """Write a run of several writers anew, its events merged by time."""
        ended = fold.ended
        key = RunKey(self.journal_id, self._view_id)
        anew = self._begin_anew(key, "its writers merged by time")
        self._order = "time"
        anew.add_by_time()
        anew.add_end()
        anew.ended = ended
        anew.add_spool(settled=False)
        self._take_notes(anew)
        self._flush(anew, complete=True)
        self._settled = True
        return anew


def _files(fields: FieldsChanged | None) -> Iterator[FileEntry]:
    if fields is None:
        return
    yield from (fields.fields.get("experiment") or {}).get("sources", ())
    yield from fields.fields.get("resources") or ()
    yield from fields.fields.get("artifacts") or ()


def _without_files(document: dict[str, Any]) -> dict[str, Any]:
    experiment = {**document.get("experiment", {}), "sources": []}
    return {**document, "experiment": experiment, "resources": [], "artifacts": []}
