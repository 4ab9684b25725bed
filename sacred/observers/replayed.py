"""A view that is somebody's own observer: told from a journal what Sacred would have told it.

::

    sacred-replay --to package.module:MyObserver

What an observer does with what it is told, nobody knows here, and it can not be asked what it has.
So what is promised is less than of a view that keeps a position:

* It is told of everything, whatever is killed or broken when, in the order in which it happened.
* Each call is made once; once more for each kill that falls between a call and the note that it
  returned.
* An observer is an object, and lives no longer than its process. Where another process goes on with
  a run, another object is made: it is told ``started_event`` again, with the ``_id`` that the first
  one gave, and then only what is new.
* A method that raises is called again later with the same event, and nothing overtakes it.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import traceback
from typing import TYPE_CHECKING, Any

from sacred.core.observers import Listener
from sacred.core.passwords import mask_password
from sacred.journal.codec import pack
from sacred.journal.position import Position
from sacred.observers.replayed_files import ReplayedFiles
from sacred.observers.target import ObserverTarget
from sacred.observers.told import ToldLog
from sacred.replayers.errors import (
    SinkError,
    TerminalSinkError,
    TransientSinkError,
    ViewMovedError,
)
from sacred.replayers.plain import utc
from sacred.replayers.sink import FieldsChanged, OutputChanged, PointsAdded, ViewPosition

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import Batch, FileEntry, RunKey, SinkSpec

__all__ = ["ObserverSink"]

log = logging.getLogger("sacred.replayers")

#: A run whose packages are not in the journal after this time, by its own clock, has none.
_DETAILS_TAKE_UP_TO = dt.timedelta(seconds=5)
#: So many points wait for a heartbeat, at most.
_MOST_POINTS = 100_000
#: What an observer has to be told before anything else.
_START = ("experiment", "command", "host", "config", "meta", "start_time", "status")
_GOES_ON = frozenset({"RUNNING", "QUEUED"})
#: How the entries of a run's document stand among what Sacred says of an experiment.
_EX_INFO = ("name", "base_dir", "sources", "dependencies", "repositories", "mainfile")


class ObserverSink:
    """Tells somebody's observer of runs.

    Parameters
    ----------
    spec
        The view; ``sacred.replayers.observer_address`` says how it is written.

    Attributes
    ----------
    priority
        The observer's: of several views the higher are written first.
    view_id
        The run's id there, as the observer gave it; None before.

    Raises
    ------
    SinkError
        There is no such observer, or it does not take the arguments.
    """

    #: What waited for a heartbeat is told with the last batch, which comes without changes.
    rewrites: frozenset[str] = frozenset({"rendered"})
    profile = "observer"

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self._target = ObserverTarget(spec)
        self.priority = self._target.priority
        self._told = ToldLog(spec.key, spec.name)
        self._files = ReplayedFiles()
        self._listener: Listener | None = None
        self._fields: dict[str, Any] = {}
        self._text = ""
        self._points: list[PointsAdded] = []
        #: The run is read from its beginning, because an object that is new knows nothing of it.
        self._reads_all = False

    @property
    def view_id(self) -> Any:
        """See above."""
        return self._told.view_id

    # -- the protocol of a sink ------------------------------------------------------------------

    def attend(self, folder: RunFolder) -> None:
        """Remember beside the run what was told."""
        self._told = ToldLog(self.spec.key, self.spec.name, folder.views)

    def open(self) -> None:
        """Do nothing: an observer is made when there is something to tell."""

    def claim(self, run: RunKey) -> Any:
        """Return the run's own id; the observer may give another one when it is told of the run."""
        self._told.lock()
        if not self._told.load(run.journal_id):
            view_id = run.run_id
            if not isinstance(view_id, (int, str)) or isinstance(view_id, bool) or view_id == "":
                view_id = run.journal_id
            self._told.begin(run.journal_id, view_id)
        return self._told.view_id

    def clear_claims(self, max_age: float) -> int:  # noqa: ARG002 - nobody else sees a claim here
        """Return 0: a claim is a file beside the run, and goes with it."""
        return 0

    def release(self, run: RunKey) -> bool:
        """Take a claim back, if there is nothing but it."""
        if not self._told.load(run.journal_id):
            return False
        stands = self._told.stands
        if stands is None or not stands.claimed or self._told.events:
            return False
        self._told.remove()
        return True

    def position(self, run: RunKey) -> ViewPosition | None:
        """Return where the run stands: at its beginning where an object has to be told all of it.

        From here until ``close`` no other replayer tells this observer of this run.
        """
        self._told.lock()
        if not self._told.load(run.journal_id) or self._told.stands is None:
            return None
        self._points = []
        stands = self._told.stands
        stands = stands._replace(view_id=self._told.view_id)
        if self._reads_all:
            self._forget_run()
            return stands._replace(position=Position(), ahead=Position(), spool=0)
        return stands

    def write(self, batch: Batch) -> None:
        """Tell what is due, and move the position when nothing waits.

        Points and output wait for a heartbeat of the run, as they did while it ran.
        """
        if not self._told.load(batch.run.journal_id) or self._told.stands is None:
            raise ViewMovedError("what the observer was told is not there any more")
        self._take(batch)
        if batch.changes or batch.complete:
            self._tell_what_is_due(complete=batch.complete)
        if self._has_begun and not self._points:
            self._told.stand(
                ViewPosition(
                    self._told.view_id,
                    batch.position,
                    batch.projector,
                    batch.order,
                    batch.position,
                    spool=batch.spool,
                )
            )

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:  # noqa: ARG002
        """Note where a file's content is, for when the observer is told of it."""
        self._files.add(entry, blob)
        return entry.digest

    def reset(self, run: RunKey) -> None:
        """Forget where the run stands, but not what was told: nobody can take that back."""
        if self._told.load(run.journal_id):
            self._forget_run()
            self._told.stand(ViewPosition(self._told.view_id, Position(), 0))

    def close(self) -> None:
        """Tell the observer that nothing more comes, and let it go; never raises."""
        self._let_go()
        self._files.close()
        self._told.close()

    # -- what is known of the run ----------------------------------------------------------------

    @property
    def _has_begun(self) -> bool:
        """Whether the observer was told that there is such a run."""
        return "queued" in self._told.events or "started" in self._told.events

    def _forget_run(self) -> None:
        self._fields, self._text, self._points = {}, "", []

    def _take(self, batch: Batch) -> None:
        """Take in a batch; one that comes again changes nothing."""
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                for name in change.removed:
                    self._fields.pop(name, None)
                self._fields.update(change.fields)
            elif isinstance(change, OutputChanged):
                self._text = self._text[: change.keep] + change.text
            else:
                untold = self._told.untold(change)
                if untold is not None:
                    self._points.append(untold)

    @property
    def _is_over(self) -> bool:
        return self._fields.get("status") not in _GOES_ON

    @property
    def _is_queued(self) -> bool:
        return self._fields.get("status") == "QUEUED"

    def _new_files(self) -> list[FileEntry]:
        entries = [*self._fields.get("resources", ()), *self._fields.get("artifacts", ())]
        untold = [entry for entry in entries if _mark_of(entry) not in self._told.events]
        return sorted(untold, key=lambda entry: entry.added)

    def _has_new_beat(self) -> bool:
        """Tell whether the run lived on since the observer heard of it."""
        beat = self._fields.get("heartbeat")
        since = self._told.beat or _text_of(self._fields.get("start_time"))
        return beat is not None and not self._is_over and _text_of(beat) > since

    def _has_news(self) -> bool:
        """Tell whether a heartbeat would say anything that was not said."""
        if self._points:
            return True
        if not self._told.beat:
            info, result = self._fields.get("info"), self._fields.get("result")
            return bool(info or result is not None or self._text)
        return self._checksum() != self._told.said

    def _checksum(self) -> str:
        """Return what tells apart two heartbeats that say different things."""
        from hashlib import sha256

        said = sha256(pack([self._fields.get("info") or {}, self._fields.get("result")]))
        said.update(self._text.encode("utf-8", "surrogatepass"))
        return said.hexdigest()[:16]

    def _beat_is_due(self, *, complete: bool) -> bool:
        waiting = sum(len(change.seqs) for change in self._points)
        if self._has_new_beat() or waiting >= _MOST_POINTS:
            return True
        if self._is_over and not self._told.beat:
            return True
        return (complete or self._is_over) and self._has_news()

    def _end(self) -> tuple[str, str, dict[str, Any]] | None:
        """Return mark, event and arguments of how the run ended."""
        fields = self._fields
        if not self._is_over:
            return None
        status = str(fields.get("status"))
        # Where the event that ends a run is lost, its last sign of life is all there is.
        when = fields.get("stop_time") or fields.get("heartbeat")
        mark = f"ended {status} {_text_of(when)}"
        if status == "COMPLETED":
            about = {"stop_time": when, "result": fields.get("result")}
            return mark, "completed_event", about
        if status == "FAILED":
            about = {"fail_time": when, "fail_trace": fields.get("fail_trace") or []}
            return mark, "failed_event", about
        return mark, "interrupted_event", {"interrupt_time": when, "status": status}

    # -- telling ---------------------------------------------------------------------------------

    def _tell_what_is_due(self, *, complete: bool) -> None:
        if self._listener is None and not all(name in self._fields for name in _START):
            if not self._would_tell_anything(complete=complete):
                return
            self._reads_all = True
            raise ViewMovedError("the observer is new and is told of the run from its beginning")
        self._reads_all = False
        end = self._end()
        if not self._has_begun and not self._start_is_whole(complete=complete):
            return
        if self._is_queued:
            self._tell_start("queued")
            return
        has_ended = end is not None and end[0] not in self._told.events
        files = self._new_files()
        beats = self._beat_is_due(complete=complete)
        if end is not None and not has_ended and not files and not self._points:
            return  # it was told how the run ended; what a last look at it changed is no event
        if not ("started" not in self._told.events or files or beats or has_ended):
            return
        if self._listener is None or "started" not in self._told.events:
            self._tell_start("started")
        for entry in files:
            self._tell_file(entry)
        if beats:
            self._tell_beat()
        if end is not None and has_ended:
            mark, event, about = end
            self._call(event, **about)
            self._told.tell(mark)
            self._let_go()

    def _would_tell_anything(self, *, complete: bool) -> bool:
        """Tell whether something is to be said, of a run whose beginning is not at hand."""
        if self._points or self._new_files() or (self._text and complete):
            return True
        if "status" in self._fields:
            end = self._end()
            return end is None or end[0] not in self._told.events
        return "heartbeat" in self._fields or "info" in self._fields or "result" in self._fields

    def _start_is_whole(self, *, complete: bool) -> bool:
        """Tell whether what Sacred knows before it starts a run is in the journal.

        Sources and packages are recorded a moment after the start. Of a run that never names any,
        a sign of life that is long after its start is enough: what was known before it is there.
        """
        if complete or self._is_over or (self._fields.get("experiment") or {}).get("dependencies"):
            return True
        start, beat = self._fields.get("start_time"), self._fields.get("heartbeat")
        return not start or (beat is not None and beat - start >= _DETAILS_TAKE_UP_TO)

    def _tell_start(self, how: str) -> None:
        if self._is_queued and "queued" in self._told.events:
            return
        fields = self._fields
        arguments = {
            "ex_info": self._ex_info(),
            "command": fields["command"],
            "host_info": fields["host"],
            "config": fields["config"],
            "meta_info": fields["meta"],
        }
        time = "queue_time" if how == "queued" else "start_time"
        arguments[time] = fields["start_time"]
        event = f"{how}_event"
        listener = self._new_listener()
        try:
            given = self._call_of(listener, event, **arguments, _id=self._told.view_id)
        except FileExistsError:
            # Another run has this id where the observer writes: that one gives the next.
            given = self._call_of(listener, event, **arguments, _id=None, is_last=True)
        self._listener = listener
        if isinstance(given, (int, str)) and not isinstance(given, bool) and given != "":
            self._told.name_run(given)
        self._told.tell(how)

    def _ex_info(self) -> dict[str, Any]:
        experiment = dict(self._fields["experiment"])
        sources: list[FileEntry] = experiment.get("sources") or []
        base_dir = experiment.get("base_dir")
        if isinstance(base_dir, str):
            try:
                experiment["base_dir"] = self._files.base_of(base_dir, sources)
            except OSError as error:
                raise TransientSinkError(_no_copy(error)) from None
        experiment["sources"] = [(entry.name, entry.md5) for entry in sources]
        first = {name: experiment.pop(name) for name in _EX_INFO if name in experiment}
        return {**first, **experiment}

    def _tell_file(self, entry: FileEntry) -> None:
        try:
            path = self._files.path_of(entry)
        except OSError as error:
            raise TransientSinkError(_no_copy(error)) from None
        if path is None:
            log.warning("%s is not told of %s: its content is lost", self.spec.name, entry.name)
        elif entry.role == "resource":
            self._call("resource_event", filename=path)
        else:
            about = {"metadata": entry.metadata, "content_type": entry.content_type}
            self._call("artifact_event", name=entry.name, filename=path, **about)
        self._told.tell(_mark_of(entry))

    def _tell_beat(self) -> None:
        info, result = self._fields.get("info") or {}, self._fields.get("result")
        beat = self._fields.get("heartbeat") or self._fields["start_time"]
        points, text = self._points, self._text
        if points or self._told.metrics != _text_of(beat):
            self._call("log_metrics", metrics_by_name=_by_name(points), info=info)
            self._told.tell_points(points, _text_of(beat))
            self._points = []
        self._call("heartbeat_event", info=info, captured_out=text, beat_time=beat, result=result)
        self._told.tell_beat(_text_of(beat), self._checksum())

    # -- the observer ----------------------------------------------------------------------------

    def _new_listener(self) -> Listener:
        if self._listener is not None:
            return self._listener
        try:
            return Listener(self._target.take(), log)
        except SinkError:
            raise
        except (Exception, SystemExit) as error:
            raise self._refusal("making it", error) from error

    def _call(self, event: str, **arguments: Any) -> Any:
        if self._listener is None:
            raise TerminalSinkError(f"{self.spec.name} was not told of the start of the run")
        return self._call_of(self._listener, event, **arguments, is_last=True)

    def _call_of(
        self, listener: Listener, event: str, *, is_last: bool = False, **arguments: Any
    ) -> Any:
        """Call a method; what it raises becomes an error of this view.

        Raises
        ------
        SinkError
            It raised.
        FileExistsError
            It raised that, and may be called once more.
        """
        try:
            return listener.call(event, **arguments)
        except FileExistsError as error:
            if is_last:
                raise self._refusal(event, error) from error
            raise
        except SinkError:
            raise
        except (Exception, SystemExit) as error:
            raise self._refusal(event, error) from error

    def _refusal(self, event: str, error: BaseException) -> SinkError:
        """Return what an error of an observer means for its view."""
        text = " ".join(f"{type(error).__name__}: {error}".split())
        frames = traceback.extract_tb(error.__traceback__)
        # The line of the observer's that led there, and not one of Python's library behind it.
        own = [frame for frame in frames if not _is_pythons(frame.filename)]
        where = (own or frames)[-1:]
        place = f" ({os.path.basename(where[0].filename)}, line {where[0].lineno})" if where else ""
        log.info("%s: %s raised", self.spec.name, event, exc_info=error)
        said = mask_password(f"{self.spec.name}: {event} raised {text[:500]}{place}")
        # A service that is down is told by an error of the system or of a library; one of Python's
        # own is a mistake in a program, which no second attempt mends.
        is_ours = type(error).__module__ in {"builtins", "sacred.core.observer_checks"}
        if is_ours and not isinstance(error, OSError):
            return TerminalSinkError(f"{said}: it gets this event again with the next replay")
        return TransientSinkError(said)

    def _let_go(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            try:
                listener.call("join")
            except (Exception, SystemExit) as error:
                log.warning("%s: join raised %s", self.spec.name, type(error).__name__)
        self._target.give_back()


def _by_name(points: list[PointsAdded]) -> dict[str, dict[str, Any]]:
    """Return points as observers are given them."""
    found: dict[str, dict[str, Any]] = {}
    for change in points:
        columns = found.setdefault(
            change.metric, {"steps": [], "values": [], "timestamps": [], "name": change.metric}
        )
        columns["steps"] += change.steps
        columns["values"] += change.values
        columns["timestamps"] += [utc(time * 1000) for time in change.times]
    return found


def _mark_of(entry: FileEntry) -> str:
    """Return what tells a file that was added from the others of its run."""
    return f"{entry.role} {entry.added} {entry.name}"


def _text_of(when: dt.datetime | None) -> str:
    return when.isoformat(timespec="microseconds") if when is not None else ""


def _no_copy(error: OSError) -> str:
    return f"the disk for temporary files takes no copy of a file: {error.strerror or error}"


def _is_pythons(filename: str) -> bool:
    library = os.path.dirname(os.__file__) + os.sep
    if not filename.startswith(library):
        return filename.startswith("<frozen ")
    return not filename[len(library) :].startswith(("site-packages", "dist-packages"))
