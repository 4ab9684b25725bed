"""Recorder: the one place in core that writes journal events."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from sacred.core.changes import ChangeTracker, named
from sacred.core.file_recorder import FileRecorder
from sacred.core.passwords import masked_within
from sacred.core.recordable import number_of, recordable
from sacred.core.series_recorder import SeriesRecorder
from sacred.core.source_recorder import SourceRecorder
from sacred.journal.blobs import BlobStore
from sacred.journal.errors import (
    InvalidEventError,
    JournalError,
    JournalUnavailableError,
    WriterClosedError,
)
from sacred.journal.events import EventType
from sacred.journal.identity import host_name
from sacred.journal.loss_note import note_losses, take_loss_notes
from sacred.journal.regular_file import NO_FILE, open_regular, read_regular
from sacred.journal.root import JournalRoot, RunFolder, unavailable
from sacred.journal.writer import JournalWriter, journal_id_text, new_journal_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from logging import Logger

    from sacred.core.given_id import GivenId
    from sacred.core.recorded import RecordedRun
    from sacred.journal.blobs import StoredFile
    from sacred.journal.codec import BlobReference
    from sacred.journal.loss_note import LossNote
    from sacred.journal.writer import Loss

__all__ = ["Recorder", "number_of", "recordable", "tell_losses_of_child", "words_of_losses"]

#: After so many changes of info comes a snapshot, from which a reader may begin.
_SNAPSHOT_EVERY = 64
_SPOOL = "w0000.spool"
#: A note holds a number of 18 digits at most.
_NOTE_BYTES = 64


def words_of_losses(lost: int) -> tuple[str, str, str]:
    """Return what a sentence on lost events needs: ``2 events``, ``are``, ``them``."""
    return ("1 event", "is", "it") if lost == 1 else (f"{lost} events", "are", "them")


def tell_losses_of_child(logger: Logger, pid: int, lost: int) -> None:
    """Say what a child process lost."""
    events, are, them = words_of_losses(lost)
    logger.warning(
        "%s that a child process (%d) recorded %s lost, because the disk of its run did not take "
        "%s.",
        events,
        pid,
        are,
        them,
    )


class Recorder(SeriesRecorder, FileRecorder, SourceRecorder):
    """Writes the journal of one run.

    ``Recorder(root)`` touches nothing; ``open`` makes folder and journal. Every method may be
    called from any thread. Once ``open`` has returned, no method raises because of a disk that
    fails: what can not be written is counted by the writer and said by ``on_fault``.

    Attributes
    ----------
    journal_id
        Drawn at once, 16 hex digits: views know the run by it before its journal exists.
    folder
        The run's folder; None before ``open``.
    writer
        None before ``open``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        durability: str = "second",
        seal: bool = True,
        on_fault: Callable[[OSError], None] | None = None,
    ) -> None:
        self.root = JournalRoot(root)
        self.folder: RunFolder | None = None
        self.writer: JournalWriter | None = None
        self._number = new_journal_id()
        self.journal_id = journal_id_text(self._number)
        self._durability = durability
        self._seal = seal
        #: How the run ended, as soon as the journal has it.
        self._status: str | None = None
        self._on_fault = on_fault
        self._blobs = BlobStore(self.root.blobs, durable=durability != "process")
        self._lock = threading.Lock()
        self._early_output: list[tuple[int, bytes, int | None, int | None]] | None = []
        self._info = ChangeTracker()
        self._info_events = 0
        self._result = ChangeTracker({"": None})
        self._versions: dict[str, int] = {}
        #: What children lost that have ended: told in the journal, or still to be told by somebody.
        self.losses_of_children: list[LossNote] = []
        #: Numbers of the child writers that were noted.
        self._children: set[int] = set()
        #: What is stored of each version of an artifact, by its name.
        self._artifacts: dict[str, list[BlobReference]] = {}
        #: By name of a source, the digest with which it was recorded before this process.
        self._sources: dict[str, str | None] = {}
        #: Sources that are not as they were when the run began.
        self.changed_sources: list[str] = []
        self._has_begun = False
        #: Where in the spool the output of this process begins (bytes).
        self.spool_begin = 0
        #: What the filter of the output made of it last; None until it made anything.
        self._filtered: str | None = None
        #: The digest of the main file's content, once it is recorded.
        self._main: str | None = None
        self._kept: tuple[str, str, StoredFile] | None = None
        #: Names of the sources and packages that were told by now.
        self._told: set[str] = set()
        self._dependencies: set[str] = set()
        self._began = _clocks()
        #: Real paths of folders that no artifact holds: those of the run's views.
        self.places: frozenset[str] = frozenset()
        #: The right to begin a run with the id that was given, until it has begun.
        self._given_id: GivenId | None = None

    @classmethod
    def join(
        cls,
        folder: str | os.PathLike[str],
        journal_id: str,
        *,
        durability: str = "second",
        on_fault: Callable[[OSError], None] | None = None,
        label: str | None = None,
    ) -> Recorder:
        """Return a recorder for a worker: it writes into the journal of a run that goes on.

        Parameters
        ----------
        folder
            The run's folder.
        journal_id
            That of the journal, in hex.
        durability, on_fault
            As for a recorder of one's own.
        label
            What the worker is called.
        """
        run = RunFolder(Path(folder))
        recorder = cls(run.path.parent, durability=durability, seal=False, on_fault=on_fault)
        recorder.folder, recorder.journal_id = run, journal_id
        recorder._number, recorder._early_output = int(journal_id, 16), None
        recorder.writer = JournalWriter.join(
            run.journal,
            journal_id=recorder._number,
            durability=durability,
            blobs=recorder._blobs,
            on_fault=on_fault,
            label=label,
        )
        return recorder

    # -- life ------------------------------------------------------------------------------------

    def create_root(self) -> None:
        """Make the root.

        Raises
        ------
        JournalUnavailableError
            It can not be made or written.
        """
        self.root.create()

    def next_number(self) -> int:
        """Return the number that the run's folder is likely to get."""
        return self.root.next_number()

    def open(self, preferred: int | None = None) -> RunFolder:
        """Claim a folder and begin the journal.

        Parameters
        ----------
        preferred
            The folder's number, if it is free.

        Raises
        ------
        JournalUnavailableError
            The disk does not take it.
        FileExistsError
            The id that was reserved is that number, and a run that nobody gave an id got it since.
        """
        folder = self.root.claim(preferred)
        if self._given_id is not None and preferred not in {None, folder.number}:
            self._check_number(folder, preferred)
        self.folder = folder
        self.writer = JournalWriter.create(
            folder.journal,
            journal_id=self._number,
            durability=self._durability,
            blobs=self._blobs,
            on_fault=self._on_fault,
        )
        self._take_early_spool(folder)
        return folder

    def _take_early_spool(self, folder: RunFolder) -> None:
        """Move what was captured before the run had a folder there, if there is any."""
        early = self.early_spool_path
        try:
            os.replace(early, folder.journal / _SPOOL)
        except FileNotFoundError:
            return
        except OSError as error:
            if os.path.lexists(early):
                raise unavailable(folder.path, error) from error

    def expect(self, record: RecordedRun) -> None:
        """Have the id of the journal that will be gone on with."""
        self._number = record.journal_id
        self.journal_id = journal_id_text(record.journal_id)

    def go_on(
        self, record: RecordedRun, *, resume: bool, options: Mapping[str, Any] | None = None
    ) -> None:
        """Go on with the journal of a run; the caller holds ``locked_journal``.

        What a killed process left of the output becomes part of the journal.

        Parameters
        ----------
        record
            What the journal holds.
        resume
            True for a run that began, False for one that was queued.
        options
            Those that were given for this time, by their long flags.

        Raises
        ------
        JournalBusyError, JournalUnavailableError
        """
        from sacred.core.recorded import live_value

        self.expect(record)
        self.writer = JournalWriter.go_on(
            record.folder.journal,
            record.at,
            journal_id=record.journal_id,
            durability=self._durability,
            blobs=self._blobs,
            on_fault=self._on_fault,
        )
        self.folder = record.folder
        self._children = set(record.children)
        self._versions = dict(record.versions)
        self._artifacts = {name: list(blobs) for name, blobs in record.artifacts.items()}
        self._filtered = record.filtered
        self._sources = {name: source.digest for name, source in record.sources.items()}
        self._dependencies = set(record.dependencies)
        if resume:
            self._has_begun = True
            self._info = ChangeTracker(live_value(record.info))
            self._result = ChangeTracker({"": live_value(record.result)})
            self._append(
                EventType.RUN_RESUMED,
                reason=record.status,
                last_seen=record.last or None,
                options=recordable(dict(options)) if options else None,
            )
        else:
            self._append(
                EventType.RUN_CLAIMED,
                worker=f"{host_name()}:{os.getpid()}",
                options=recordable(dict(options)) if options else None,
            )
        self._take_spool(record.spool_end)

    def _take_spool(self, begin: int) -> None:
        """Record what a killed process left of the output, and go on behind it."""
        from sacred.journal.spool import (
            SpoolFlaw,
            chunks_from,
            flaws_from,
            set_damage_aside,
            told_flaws,
        )

        self.spool_begin = begin
        path = self.spool_path
        flaws: list[SpoolFlaw] = []
        try:
            for chunk in chunks_from(path, begin, flaws):
                self._append(
                    EventType.OUTPUT,
                    time_ns=chunk.time_ns,
                    stream=chunk.stream,
                    data=chunk.data,
                    begin=chunk.begin,
                    end=chunk.end,
                )
                self.spool_begin = chunk.end
        except OSError as error:
            cure = ". Move it out of the folder, and try again" if error.strerror == NO_FILE else ""
            raise JournalUnavailableError(
                error.errno or errno.EIO,
                f"what was printed before can not be read in {path}: "
                f"{error.strerror or error}{cure}",
            ) from error
        for text in told_flaws(path, flaws):
            self.message("warning", text)
        writer = self.writer
        if writer is not None:
            writer.sync()
            if writer.fault is not None or writer.losses:
                # Nothing is lost: the spool stays, and whoever goes on next begins here.
                fault = writer.fault or OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
                writer.close()
                raise JournalUnavailableError(
                    fault.errno or errno.EIO,
                    f"what was printed before can not be recorded in {writer.folder}: "
                    f"{fault.strerror or fault}. Make room, and try again.",
                )
        try:
            # From its beginning: who was killed here before recorded what can be read already.
            if flaws or flaws_from(path, 0):
                set_damage_aside(path)
            # A tee that still lives goes on writing into it, under no name.
            path.unlink(missing_ok=True)
        except OSError as error:
            self._fault(error)

    @property
    def early_spool_path(self) -> Path:
        """Where output captured in ``fd`` mode passes through until the run has a folder."""
        return self.root.path / f".{self.journal_id}.spool"

    @property
    def spool_path(self) -> Path:
        """Where output captured in ``fd`` mode passes through now."""
        return self.early_spool_path if self.folder is None else self.folder.journal / _SPOOL

    @property
    def has_begun(self) -> bool:
        """Whether the event that begins the run is in the journal."""
        return self._has_begun

    def remove_spool(self) -> None:
        """Remove the spool of the output, all of which is in the journal."""
        for path in {self.early_spool_path, self.spool_path}:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue

    def holds_run(self, run_id: int | str) -> bool:
        """Return whether the root has a run with this id."""
        from sacred.core.printed import run_id_of

        wanted = number_of(run_id)
        if wanted is not None:
            folder = self.root.path / str(wanted)
            if folder.exists() and str(run_id_of(folder)) in {str(run_id), "None"}:
                return True
        try:
            number = int(read_regular(self._note_of(run_id), _NOTE_BYTES))
        except (OSError, ValueError):
            return False
        return str(run_id_of(self.root.path / str(number))) == str(run_id)

    def reserve_id(self, run_id: int | str) -> bool:
        """Reserve an id for the run that will begin; False if a run has it, or is about to.

        Of several processes that ask at once one gets it. ``release_id`` ends it.
        """
        from sacred.core.given_id import GivenId

        given = GivenId(self._note_of(run_id))
        if not given.take():
            return False
        self._given_id = given
        if self.holds_run(run_id):
            self.release_id()
            return False
        return True

    def release_id(self) -> None:
        """End what ``reserve_id`` began: the run has its id by now, or does not begin."""
        given, self._given_id = self._given_id, None
        if given is not None:
            given.release()

    def _check_number(self, claimed: RunFolder, wanted: int | None) -> None:
        """See that the folder with the number that was wanted is that of a run with another id."""
        if wanted is None or not self.holds_run(wanted):
            return
        with contextlib.suppress(OSError):
            claimed.journal.rmdir()
            claimed.path.rmdir()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(wanted))

    def note_id(self, run_id: Any) -> None:
        """Remember under which number the run with this id is found, where they differ.

        A note that can be thrown away: without it ``--id`` may be given twice.
        """
        if self.folder is None or str(run_id) == str(self.folder.number):
            return
        note = self._note_of(run_id)
        with contextlib.suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(open_regular(note, flags), "wb") as file:
                file.write(str(self.folder.number).encode("ascii"))

    def _note_of(self, run_id: Any) -> Path:
        digest = xxhash.xxh64_intdigest(str(run_id).encode("utf-8", "surrogatepass"))
        return self.root.path / ".cache" / "ids" / journal_id_text(digest)

    @property
    def log_point(self) -> Callable[[str, Any, Any], None]:
        """Takes a metric point: name, step, value.

        Raises
        ------
        WriterClosedError
            The journal is not open; what this returned raises it when it is closed.
        """
        if self.writer is None:
            raise WriterClosedError("the journal is not open")
        return self.writer.log_point

    @property
    def losses(self) -> list[Loss]:
        """What the disk did not take."""
        return self.writer.losses if self.writer is not None else []

    @property
    def end_is_lost(self) -> bool:
        """Whether the disk did not take the last event."""
        return self.writer is not None and any(
            loss.first_seq + loss.count == self.writer.next_seq for loss in self.writer.losses
        )

    @property
    def is_open(self) -> bool:
        """Whether events can be recorded."""
        return self.writer is not None and not self.writer.closed

    def position(self) -> list[list[Any]]:
        """Return where the journal ends, as ``Position.to_wire`` writes it."""
        writer = self.writer
        if writer is None:
            return []
        writer.flush()
        return [[0, writer.epoch, writer.next_seq, f"{writer._chain:016x}", 0]]

    def started(self, **facts: Any) -> None:
        """Record the start; the facts are the fields of ``RUN_STARTED``."""
        self._info = ChangeTracker(facts.get("info"))
        if not facts.get("info"):
            facts.pop("info", None)
        self._append(EventType.RUN_STARTED, **facts)
        self._has_begun = True
        self._release_early_output()

    def queued(self, **facts: Any) -> None:
        """Record that the run waits; the facts are the fields of ``RUN_QUEUED``."""
        self._append(EventType.RUN_QUEUED, **facts)
        self._release_early_output()

    def resumed(self, host: dict[str, Any], views: list[dict[str, Any]]) -> None:
        """Record where a run that goes on does so, and views that it had not declared."""
        self.host_facts(host)
        for view in views:
            self._append(EventType.VIEW_DECLARED, view=view)
        self._release_early_output()

    def heartbeat(self) -> None:
        """Record that the run lives, and how much of its journal survives a power cut."""
        writer = self.writer
        self._append(EventType.HEARTBEAT, durable=writer.durable_seq if writer else None)
        self._note_children()

    def _note_children(self) -> None:
        """Record which children write: one whose file vanishes is missed (R9)."""
        writer = self.writer
        if writer is None:
            return
        if writer.fault is None:
            self.tell_losses_of_children()
        with contextlib.suppress(OSError):
            for number in writer.other_writers():
                if number not in self._children:
                    self._children.add(number)
                    self._append(EventType.CHILD_SEEN, writer=number)

    def tell_losses_of_children(self) -> None:
        """Record what children lost that ended before the disk took anything of them.

        Where it still takes nothing, only ``losses_of_children`` tells.
        """
        folder = self.folder
        for note in take_loss_notes(self._number):
            self.losses_of_children.append(note)
            if folder is not None:
                JournalWriter.tell_losses_of(
                    note, folder.journal, journal_id=self._number, durability=self._durability
                )

    def usage(self) -> None:
        """Record what the process used of the machine so far."""
        self._append(EventType.USAGE, **_usage(self._began))

    def ended(
        self, how: str, status: str, result: Any = None, fail_trace: list[str] | None = None
    ) -> Exception | None:
        """Record the end. The journal stays open, for what arrives late.

        Returns
        -------
        Why a text stands in place of the result; mostly None. How a run ended is recorded whatever
        its result is.
        """
        writer = self.writer
        if writer is None:
            return None
        self._note_children()
        facts: dict[str, Any] = {"how": how, "status": status, "fail_trace": fail_trace}
        try:
            writer.append(EventType.RUN_ENDED, result=recordable(result), **masked_within(facts))
            self._status = status
        except WriterClosedError:
            return None
        except Exception as error:
            text = named(result, f"<not recorded: {type(error).__name__}>")
            self._append(EventType.RUN_ENDED, result=text, **facts)
            return error
        return None

    def close(self) -> None:
        """Make everything durable, end the journal and seal it; later calls do nothing."""
        writer = self.writer
        if writer is not None and not writer.closed:
            writer.close()
            if self._seal:
                try:
                    from sacred.journal.seal_own import seal_own
                except Exception:
                    return  # no descriptor is left to read it by: `sacred seal` does it later
                seal_own(writer, self._status)

    def tell_losses_at_end(self, logger: Logger) -> None:
        """In a child process: end the journal at its end, and say what no file took of it.

        Parameters
        ----------
        logger
            What says it. Where the child ends by ``os._exit``, or is killed, the process that began
            the run says it at its own end.
        """
        import atexit

        child = os.getpid()
        told: list[int] = []

        def tell() -> None:
            writer = self.writer
            if told or writer is None or os.getpid() != child:
                return
            told.append(child)
            writer.close()
            lost = sum(loss.count for loss in writer.losses)
            if lost:
                note_losses(self._number, lost, writer.losses[-1].reason, told=True)
                tell_losses_of_child(logger, child, lost)

        atexit.register(tell)
        util = sys.modules.get("multiprocessing.util")
        if util is not None:  # its children may end without what `atexit` has
            util.Finalize(None, tell, exitpriority=0)

    # -- while the run goes on -------------------------------------------------------------------

    def output(
        self, stream: int, data: bytes, begin: int | None = None, end: int | None = None
    ) -> None:
        """Record a piece of output; what comes before the start is kept until then."""
        early = self._early_output
        if early is not None:
            with self._lock:
                if self._early_output is not None:
                    self._early_output.append((stream, data, begin, end))
                    return
        writer = self.writer
        if writer is not None:
            try:
                writer.append_output(stream, data, begin, end)
            except WriterClosedError:
                return

    def _release_early_output(self) -> None:
        with self._lock:
            early, self._early_output = self._early_output, None
        for piece in early or ():
            self.output(*piece)

    def filtered_output(self, text: str) -> None:
        """Record what the user's filter made of the output so far."""
        last = self._filtered
        if text == last:
            return
        keep = _common(last or "", text)
        self._filtered = text
        self._append(EventType.OUTPUT_FILTERED, keep=keep, text=text[keep:])

    def info(self, info: dict[str, Any]) -> None:
        """Record what changed in info."""
        with self._lock:
            changes = self._info.look(info)
            if changes:
                self._info_events += 1
                if self._info_events % _SNAPSHOT_EVERY:
                    self._append(EventType.INFO_CHANGED, set=changes.set, deleted=changes.deleted)
                else:
                    self._append(EventType.INFO_SNAPSHOT, info=self._info.state())

    def result(self, result: Any) -> None:
        """Record the intermediate result if it is another one."""
        with self._lock:
            if self._result.look({"": result}):
                self._append(EventType.RESULT_CHANGED, result=recordable(result))

    # -- the rest --------------------------------------------------------------------------------

    def _fault(self, error: OSError) -> None:
        if self._on_fault is not None:
            self._on_fault(error)

    def declare_metric(self, name: str, unit: str, doc: str) -> None:
        """Record what a metric is that is measured of the machine."""
        self._append(EventType.METRIC_DECLARED, metric=name, unit=unit, system=True, doc=doc)

    def message(self, level: str, text: str) -> None:
        """Record something that whoever looks at the run should know."""
        self._append(EventType.MESSAGE, level=level, text=text, source="sacred")

    def _append(self, event_type: EventType, **fields: Any) -> None:
        """Append an event, the passwords of addresses in it masked."""
        writer = self.writer
        if writer is None:
            return
        if event_type not in _AS_IT_IS:
            # Views come without their secrets (RunViews.public), and their names look like some.
            fields = {k: v if k == "views" else masked_within(v) for k, v in fields.items()}
        try:
            writer.append(event_type, **fields)
        except WriterClosedError:
            return
        except InvalidEventError as error:
            # A value that no journal takes must not end the run that made it.
            text = f"a {event_type.name.lower()} event was left out: {error}"
            with contextlib.suppress(WriterClosedError):
                writer.append(EventType.MESSAGE, level="error", text=text, source="sacred")
        except JournalError:
            return
        except OSError as error:  # the store of large values
            self._fault(error)


#: What the program prints is its user's own.
_AS_IT_IS = (EventType.OUTPUT, EventType.OUTPUT_FILTERED)


def _common(one: str, other: str) -> int:
    """Return with how many characters two texts begin alike."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _clocks() -> tuple[float, ...]:
    times = os.times()
    spent = (times.user, times.system, times.children_user, times.children_system)
    return (time.monotonic(), *spent)


_CLOCKS = ("wall", "user", "system", "children_user", "children_system")


def _usage(began: tuple[float, ...]) -> dict[str, Any]:
    """Return what was used since ``began``; memory is that of the process, which has one peak."""
    used: dict[str, Any] = {
        name: round(now - then, 6)
        for name, now, then in zip(_CLOCKS, _clocks(), began, strict=True)
    }
    try:
        import resource
    except ImportError:  # Windows
        return used
    unit = 1 if sys.platform == "darwin" else 1024
    used["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    used["children_peak_memory"] = children
    return used
