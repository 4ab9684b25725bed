"""Writing runs of a store into a root: each appears whole, durable, and once."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.blobs import BlobStore
from sacred.journal.bundle_import import (
    ASIDE,
    date_files,
    importing_alone,
    remove_aside,
    sweep_asides,
)
from sacred.journal.codec import pack
from sacred.journal.errors import InvalidEventError, JournalError, JournalUnavailableError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder, fsync_folder, is_run_number
from sacred.journal.seal import seal_run
from sacred.journal.tables import decode_length
from sacred.journal.writer import JournalWriter, journal_id_text
from sacred.replayers.errors import StoredRunError
from sacred.replayers.sink import wanted_id
from sacred.replayers.stores.events import events_of, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sacred.journal.blobs import StoredFile as StoredBlob
    from sacred.journal.root import JournalRoot
    from sacred.replayers.stores.events import StoredEvent
    from sacred.replayers.stores.store import RunStore, StoredFile, StoredRun

__all__ = ["FRESH", "RunImport", "import_runs", "journal_id_of"]

#: A run with a younger heartbeat goes on (s): Sacred's clients take others for dead, too.
FRESH = 120
_MESSAGES = 100


class RunImport(NamedTuple):
    """What became of one run of a store.

    Attributes
    ----------
    run_id
        Its id in the store.
    state
        ``imported``; ``new`` (it would be: nothing is written); ``already`` (it was, or the root has
        the journal that the store is a view of); ``changed`` (it was, and the store has more of it
        now); ``running`` (it goes on: left for later); ``failed``.
    folder
        Of the run in the root; None if it has none.
    status, points, files
        Of the run: files are those with content.
    losses
        What could not be carried, a sentence each.
    reason
        Why, where it is ``changed``, ``running`` or ``failed``.
    """

    run_id: int | str
    state: str
    folder: RunFolder | None = None
    status: str | None = None
    points: int = 0
    files: int = 0
    losses: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def exit_code(self) -> int:
        """1 where the root does not have what the store has, though it is over there."""
        return int(self.state in {"failed", "changed"})


def journal_id_of(kind: str, run: StoredRun, place: str) -> int:
    """Return the id of the journal that a stored run becomes: the same whenever it is imported.

    It is made of what stays when a store is moved or copied: the kind of store, the run's id, when
    it began, its name and host. Only a run that says nothing of its beginning is known by its place.
    """
    began = run.start_time or run.queue_time
    facts = [kind, str(run.run_id), run.experiment.get("name"), run.host.get("hostname")]
    facts.append(place if began is None else nanoseconds(began))
    digest = hashlib.sha256(pack(["sacred import", *facts])).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def import_runs(
    store: RunStore,
    root: JournalRoot,
    run_ids: Iterable[int | str],
    *,
    dry_run: bool = False,
    partial: bool = False,
    fresh: float = FRESH,
) -> Iterator[RunImport]:
    """Make runs of a store runs of a root, one after the other.

    A run appears with all its files at once, durable, under the number that its id is if that was
    never used in this root, else the next one; its ``_run._id`` stays the store's. What ends this in
    the middle leaves the runs that were yielded, and nothing else: the next import goes on there.

    Parameters
    ----------
    store
        Open.
    root
        Made if it is not there.
    run_ids
        As ``store.runs`` has them.
    dry_run
        Read everything and write nothing.
    partial
        Leave out what is damaged of a run, instead of the run.
    fresh
        A run without an end whose last heartbeat is younger goes on, and is left for later (s).

    Yields
    ------
    RunImport
        One for each id. A run that can not be read stops no other one.

    Raises
    ------
    JournalUnavailableError, OSError
        The root can not be written.
    SinkError
        The server of the store is gone.

    Notes
    -----
    Memory: the document of one run, and for MongoDB one document of its metrics.
    """
    known = _Known(root)
    if root.exists() and not dry_run:
        with importing_alone(root) as alone:
            if alone:
                sweep_asides(root)
    for run_id in run_ids:
        yield _Import(store, root, known, dry_run, partial, fresh).run(run_id)


class _Known:
    """The runs that a root has, by the ids of their journals."""

    def __init__(self, root: JournalRoot) -> None:
        self._root = root
        self._seen: set[str] = set()
        self._folders: dict[str, RunFolder] = {}
        self.look()

    def look(self) -> None:
        """Take in the runs that came since the last look."""
        try:
            names = set(os.listdir(self._root.path)) - self._seen
        except OSError:
            return  # it is not there yet
        for name in names:
            if not is_run_number(name):
                continue
            folder = RunFolder(self._root.path / name, int(name))
            with contextlib.suppress(JournalError, OSError):
                reader = JournalReader(folder.journal, table_decoder=decode_length)
                reader.close()
                self._folders[journal_id_text(reader.journal_id)] = folder
                self._seen.add(name)

    def find(self, journal_id: str) -> RunFolder | None:
        """Return the run with this journal, if it was there at the last look and still is."""
        found = self._folders.get(journal_id)
        return found if found is not None and found.journal.is_dir() else None


class _Import:
    """Imports one run."""

    def __init__(
        self,
        store: RunStore,
        root: JournalRoot,
        known: _Known,
        dry_run: bool,
        partial: bool,
        fresh: float,
    ) -> None:
        self._store = store
        self._root = root
        self._known = known
        self._dry_run = dry_run
        self._partial = partial
        self._fresh = fresh
        self._points = 0
        self._files = 0

    def run(self, run_id: int | str) -> RunImport:
        """Import it, or say why not."""
        try:
            run = self._store.read(run_id, partial=self._partial)
            number = journal_id_of(self._store.kind, run, f"{self._store.name}/{run_id}")
            found = self._found(run, number) or self._going_on(run)
            if found is not None:
                return found
            folder = None if self._dry_run else self._written(run, number)
            if self._dry_run:
                self._told(run)
        except StoredRunError as error:
            return RunImport(run_id, "failed", reason=str(error))
        if isinstance(folder, RunImport):
            return folder
        return RunImport(
            run_id,
            "new" if self._dry_run else "imported",
            folder,
            run.status,
            self._points,
            self._files,
            tuple(run.losses),
        )

    # -- is it there? ----------------------------------------------------------------------------

    def _found(self, run: StoredRun, journal_id: int) -> RunImport | None:
        if run.journal_id is not None:
            own = self._known.find(run.journal_id)
            if own is not None:
                return RunImport(run.run_id, "already", own, run.status)
        folder = self._known.find(journal_id_text(journal_id))
        if folder is None:
            return None
        if _origin(folder).get("state") in {None, _state(run)}:
            return RunImport(run.run_id, "already", folder, run.status)
        reason = (
            f"it was imported as run {folder.number}, and the store has more of it now: move "
            f"{folder.path} out of the root, and import it again"
        )
        return RunImport(run.run_id, "changed", folder, run.status, reason=reason)

    def _going_on(self, run: StoredRun) -> RunImport | None:
        """Leave a run alone that is being written: what comes of it would be missing here."""
        import datetime as dt

        if run.status != "RUNNING" or run.heartbeat is None:
            return None
        now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
        if (now - run.heartbeat).total_seconds() >= self._fresh:
            return None
        reason = (
            "its last heartbeat is less than two minutes old: import it when it has ended, or "
            "as it is now, with --running"
        )
        return RunImport(run.run_id, "running", None, run.status, reason=reason)

    # -- writing ---------------------------------------------------------------------------------

    def _events(self, run: StoredRun) -> Iterator[StoredEvent]:
        origin = {
            "kind": self._store.kind,
            "store": self._store.name,
            "run": run.run_id,
            "state": _state(run),
        }
        if run.journal_id is not None:
            origin["view_of"] = run.journal_id
        return events_of(run, origin)

    def _told(self, run: StoredRun) -> None:
        """Read all of a run, and leave it at that."""
        for event in self._events(run):
            self._count(event)
            if event.content is not None:
                self._look_into(event.content, run)

    def _look_into(self, file: StoredFile, run: StoredRun) -> None:
        assert file.open is not None
        try:
            with file.open() as content:
                content.read(1)
        except (OSError, StoredRunError) as error:
            self._files -= 1
            run.losses.append(_no_content(file, error))

    def _count(self, event: StoredEvent) -> None:
        self._points += event.type == EventType.METRIC_POINT
        self._files += event.content is not None

    def _written(self, run: StoredRun, journal_id: int) -> RunFolder | RunImport:
        self._root.create()
        with importing_alone(self._root):
            self._known.look()  # another process may have been faster
            found = self._found(run, journal_id)
            if found is not None:
                return found
            aside = self._root.path / f"{ASIDE}{os.getpid()}-{os.urandom(6).hex()}"
            try:
                aside.mkdir()
                return self._staged(run, journal_id, aside)
            finally:
                remove_aside(aside)

    def _staged(self, run: StoredRun, journal_id: int, aside: Path) -> RunFolder:
        staged = RunFolder(aside / "run")
        blobs = BlobStore(self._root.blobs)
        faults: list[OSError] = []
        writer = JournalWriter.create(
            staged.journal, journal_id=journal_id, blobs=blobs, on_fault=faults.append
        )
        last = 0
        try:
            for event in self._events(run):
                self._count(event)
                fields = event.fields
                if event.content is not None:
                    fields = {**fields, **self._stored(event, blobs, aside, run)}
                _append(writer, event.type, event.time, fields)
                last = max(last, event.time)
            self._note(writer, run, last)
        finally:
            writer.close()
        if faults or writer.fault is not None or writer.losses:
            raise _refused(self._root.path, [*faults, writer.fault])
        seal_run(staged, closed={0: writer.epoch})
        date_files(staged.journal, last)
        for folder in (staged.journal, staged.path):
            fsync_folder(folder)
        return self._root.adopt(staged.path, wanted_id(run.run_id))

    def _note(self, writer: JournalWriter, run: StoredRun, time: int) -> None:
        """Have the journal itself say what did not come with the run."""
        told = run.losses[:_MESSAGES]
        if len(run.losses) > len(told):
            told = [*told, f"and {len(run.losses) - len(told):,} more things did not come"]
        for text in told:
            writer.append(
                EventType.MESSAGE,
                time_ns=time,
                level="warning",
                text=f"imported without all of it: {text}",
                source="sacred import",
            )

    def _stored(
        self, event: StoredEvent, blobs: BlobStore, aside: Path, run: StoredRun
    ) -> dict[str, Any]:
        """Store the content of a file; return the fields that name it."""
        file = event.content
        assert file is not None
        try:
            found = _blob(file, blobs, aside / "content")
        except StoredRunError as error:
            self._files -= 1
            run.losses.append(_no_content(file, error))
            return {"error": str(error), **({"md5": file.md5} if file.md5 else {})}
        if file.md5 and file.md5 != found.md5:
            run.losses.append(
                f"{file.name!r} is not as it was: its md5 is {found.md5}, and the store says "
                f"{file.md5}"
            )
        return {"blob": found.blob.to_wire(), "md5": file.md5 or found.md5}


def _append(writer: JournalWriter, kind: EventType, time: int, fields: dict[str, Any]) -> None:
    try:
        writer.append(kind, time_ns=time, **fields)
    except InvalidEventError as error:
        raise StoredRunError(f"its document has what no journal takes: {error}") from None


def _blob(file: StoredFile, blobs: BlobStore, copy: Path) -> StoredBlob:
    """Store a content, which may be larger than memory.

    Raises
    ------
    StoredRunError
        The store does not give it.
    OSError
        The root does not take it.
    """
    assert file.open is not None
    try:
        source = file.open()
    except OSError as error:
        raise StoredRunError(error.strerror or str(error)) from None
    with source, open(copy, "wb") as target:
        while True:
            try:
                piece = source.read(1 << 20)
            except OSError as error:
                raise StoredRunError(error.strerror or str(error)) from None
            if not piece:
                break
            target.write(piece)
    return blobs.put_file(copy)


def _no_content(file: StoredFile, error: Exception) -> str:
    why = error.strerror if isinstance(error, OSError) else None
    return f"the content of {file.name!r} is not in the store: {why or error}"


def _refused(path: Path, faults: list[OSError | None]) -> JournalUnavailableError:
    fault = next((one for one in faults if one is not None), OSError(errno.EIO, "it failed"))
    return JournalUnavailableError(
        fault.errno or errno.EIO,
        f"the run can not be written in {path}: {fault.strerror or fault}. Make room or make it "
        "writable, and import again: it goes on with this run",
    )


def _state(run: StoredRun) -> str:
    """Return a digest of what changes when a run goes on."""
    facts = [run.status, run.stop_time, run.heartbeat]
    return hashlib.sha256(pack([str(fact) for fact in facts])).hexdigest()[:16]


def _origin(folder: RunFolder) -> dict[str, Any]:
    """Return what the journal of an imported run remembers of where it came from."""
    with contextlib.suppress(JournalError, OSError):
        reader = JournalReader(folder.journal, table_decoder=decode_length)
        try:
            for frame in reader.poll():
                for event in frame.events:
                    if event.type != EventType.LINKED:
                        continue
                    target = event.fields.get("target")
                    if event.fields.get("relation") == "imported_from" and isinstance(target, dict):
                        return target
        finally:
            reader.close()
    return {}
