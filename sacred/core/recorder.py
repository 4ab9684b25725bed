"""Recorder: the one place in core that writes journal events."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import xxhash

from sacred.core.artifacts import files_of
from sacred.core.changes import ChangeTracker, named
from sacred.core.items import items_of
from sacred.journal.blobs import BlobStore
from sacred.journal.codec import describe
from sacred.journal.errors import InvalidEventError, JournalError, WriterClosedError
from sacred.journal.events import EventType
from sacred.journal.root import JournalRoot
from sacred.journal.writer import JournalWriter, journal_id_text, new_journal_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from sacred.journal.blobs import StoredFile
    from sacred.journal.root import RunFolder
    from sacred.journal.writer import Loss

__all__ = ["Recorder", "number_of", "recordable"]

#: After so many changes of info comes a snapshot, from which a reader may begin.
_SNAPSHOT_EVERY = 64
_SPOOL = "w0000.spool"
#: A main file of so many bytes is recorded before the main function is called.
_SMALL_SOURCE = 1 << 20
#: Containers of a configuration or result that may stand within one another.
_MAX_DEPTH = 200


class Recorder:
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
        self._on_fault = on_fault
        self._blobs = BlobStore(self.root.blobs, durable=durability != "process")
        self._lock = threading.Lock()
        self._early_output: list[tuple[int, bytes, int | None, int | None]] | None = []
        self._info = ChangeTracker()
        self._info_events = 0
        self._result = ChangeTracker({"": None})
        self._versions: dict[str, int] = {}
        #: Numbers of the child writers that were noted.
        self._children: set[int] = set()
        self._filtered = ""
        #: The main file's name and the digest of its content, once it is recorded.
        self._main: tuple[str, str] | None = None
        self._began = _clocks()
        #: Real paths of folders that no artifact holds: those of the run's views.
        self.places: frozenset[str] = frozenset()

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
        """
        folder = self.root.claim(preferred)
        self.folder = folder
        self.writer = JournalWriter.create(
            folder.journal,
            journal_id=self._number,
            durability=self._durability,
            blobs=self._blobs,
            on_fault=self._on_fault,
        )
        if self.early_spool_path.exists():
            os.replace(self.early_spool_path, folder.journal / _SPOOL)
        return folder

    @property
    def early_spool_path(self) -> Path:
        """Where output captured in ``fd`` mode passes through until the run has a folder."""
        return self.root.path / f".{self.journal_id}.spool"

    def remove_spool(self) -> None:
        """Remove the spool of the output, all of which is in the journal."""
        paths = [self.early_spool_path]
        if self.folder is not None:
            paths.append(self.folder.journal / _SPOOL)
        for path in paths:
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
            number = int(self._note_of(run_id).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False
        return str(run_id_of(self.root.path / str(number))) == str(run_id)

    def note_id(self, run_id: Any) -> None:
        """Remember under which number the run with this id is found, where they differ.

        A note that can be thrown away: without it ``--id`` may be given twice.
        """
        if self.folder is None or str(run_id) == str(self.folder.number):
            return
        note = self._note_of(run_id)
        with contextlib.suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(str(self.folder.number), encoding="ascii")

    def _note_of(self, run_id: Any) -> Path:
        digest = xxhash.xxh64_intdigest(str(run_id).encode("utf-8", "surrogatepass"))
        return self.root.path / ".cache" / "ids" / journal_id_text(digest)

    @property
    def log_point(self) -> Callable[[str, Any, Any], None]:
        """Takes a metric point: name, step, value."""
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
        self._release_early_output()

    def queued(self, **facts: Any) -> None:
        """Record that the run waits; the facts are the fields of ``RUN_QUEUED``."""
        self._append(EventType.RUN_QUEUED, **facts)
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
        with contextlib.suppress(OSError):
            for number in writer.other_writers():
                if number not in self._children:
                    self._children.add(number)
                    self._append(EventType.CHILD_SEEN, writer=number)

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
            writer.append(EventType.RUN_ENDED, result=recordable(result), **facts)
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
                from sacred.journal.seal_own import seal_own

                seal_own(writer)

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
        keep = _common(last, text)
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

    # -- files -----------------------------------------------------------------------------------

    def resource(self, filename: str) -> None:
        """Record a file the run needs, with its content as it is now.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        stored, error = self._store(filename)
        self._append(EventType.RESOURCE_ADDED, filename=filename, **_content(stored, error))

    def artifact(
        self, name: str, filename: str, metadata: Any = None, content_type: str | None = None
    ) -> list[str]:
        """Record a file or folder the run made, with its content as it is now.

        Durable as far as the disk takes it: the blob is synced before the event names it.

        Returns
        -------
        What of a folder was left out, and why.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        version = self._versions[name] = self._versions.get(name, 0) + 1
        if os.path.isdir(filename):
            found = files_of(filename, self.places)
            self._append(
                EventType.DIRECTORY_ADDED,
                name=name,
                role="artifact",
                filename=filename,
                entries=self._directory(filename, found.files, found.left_out),
                metadata=metadata,
                version=version,
            )
            return found.left_out
        stored, error = self._store(filename)
        self._append(
            EventType.ARTIFACT_ADDED,
            name=name,
            filename=filename,
            metadata=metadata,
            content_type=content_type,
            guessed_type=None if content_type else _guess_type(filename),
            version=version,
            **_content(stored, error),
        )
        return []

    def _directory(self, folder: str, names: list[str], left_out: list[str]) -> list[list[Any]]:
        entries: list[list[Any]] = []
        for name in names:
            path = os.path.join(folder, name)
            try:
                mode = stat.S_IMODE(os.stat(path).st_mode)
                stored, _ = self._store(path)
            except FileNotFoundError:  # somebody else's, and taken away meanwhile
                left_out.append(f"{name} (gone)")
                continue
            entries.append([name, stored.blob.to_wire() if stored else None, mode])
        return entries

    def _store(self, filename: str) -> tuple[StoredFile | None, str | None]:
        """Return the stored file, or why it could not be stored."""
        # Opened once before: the caller hears of a file that can not be read, but not of a disk
        # that takes no copy of it.
        with open(filename, "rb"):
            pass
        if not self.is_open:
            return None, None
        try:
            return self._blobs.put_file(filename), None
        except OSError as error:
            self._fault(error)
            return None, f"not stored: {error.strerror or error}"

    def _fault(self, error: OSError) -> None:
        if self._on_fault is not None:
            self._on_fault(error)

    # -- facts that arrive late ------------------------------------------------------------------

    def main_source(self, name: str, path: str) -> None:
        """Record the main file without waiting for the disk: a run killed at once has it, too.

        ``sync_main_source`` makes it durable. A large one, or one that can not be read, is left to
        ``sources``.
        """
        try:
            if os.stat(path).st_size > _SMALL_SOURCE:
                return
            stored = BlobStore(self.root.blobs, durable=False).put_file(path)
        except OSError:
            return
        self._main = (name, stored.blob.digest)
        self._append(
            EventType.SOURCE_ADDED,
            filename=name,
            path=path,
            md5=stored.md5,
            blob=stored.blob.to_wire(),
            main=True,
        )

    def sync_main_source(self) -> None:
        """Make the content of the main file durable; may wait for the disk."""
        if self._main is not None and self._durability != "process":
            try:
                self._blobs.sync(self._main[1])
            except OSError as error:
                self._fault(error)

    def sources(self, sources: Iterable[tuple[str, str, str]], main: str | None) -> None:
        """Record source files: (relative name, absolute path, md5), and which is the main one."""
        for name, path, md5 in sources:
            if self._main is not None and name == self._main[0]:
                continue
            fields: dict[str, Any] = {"filename": name, "path": path, "md5": md5}
            try:
                stored = self._blobs.put_file(path)
                fields["blob"] = stored.blob.to_wire()
                # The blob's bytes are what the run's record is about.
                fields["md5"] = stored.md5
            except OSError as error:
                fields["error"] = f"not stored: {error.strerror or error}"
            if name == main:
                fields["main"] = True
            self._append(EventType.SOURCE_ADDED, **fields)

    def dependencies(self, dependencies: list[str]) -> None:
        """Record packages, as ``name==version``."""
        if dependencies:
            self._append(EventType.DEPENDENCIES_FOUND, dependencies=dependencies)

    def repositories(self, repositories: Iterable[Mapping[str, Any]]) -> None:
        """Record the repositories that sources lie in, each state once."""
        seen = set()
        for repository in repositories:
            facts = tuple(repository.get(name) for name in ("url", "commit", "dirty"))
            if facts in seen:
                continue
            seen.add(facts)
            url, commit, dirty = facts
            self._append(
                EventType.REPOSITORY_FOUND,
                url=masked(str(url)),
                commit=str(commit),
                dirty=bool(dirty),
            )

    def host_facts(self, facts: dict[str, Any]) -> None:
        """Record host facts that took their time."""
        if facts:
            self._append(EventType.HOST_FACTS, facts=facts)

    def message(self, level: str, text: str) -> None:
        """Record something that whoever looks at the run should know."""
        self._append(EventType.MESSAGE, level=level, text=text, source="sacred")

    def _append(self, event_type: EventType, **fields: Any) -> None:
        writer = self.writer
        if writer is None:
            return
        try:
            writer.append(event_type, **fields)
        except WriterClosedError:
            return
        except InvalidEventError as error:
            # A value that no journal takes must not end the run that made it.
            text = f"a {event_type.name.lower()} event was left out: {error}"
            writer.append(EventType.MESSAGE, level="error", text=text, source="sacred")
        except JournalError:
            return
        except OSError as error:  # the store of large values
            self._fault(error)


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


def _content(stored: StoredFile | None, error: str | None) -> dict[str, Any]:
    if stored is None:
        return {"error": error or "not stored"}
    return {"blob": stored.blob.to_wire(), "md5": stored.md5}


def _guess_type(filename: str) -> str | None:
    import mimetypes

    # The tables of the system differ from machine to machine; those of Python do not.
    return mimetypes.MimeTypes(filenames=()).guess_type(filename)[0]


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


# -- what of a configuration is recorded ----------------------------------------------------------


def number_of(run_id: Any) -> int | None:
    """Return the number that an id is or spells; None for other texts.

    Sacred has ids of the command line and of file observers as text. Journals and the folders of
    a root know a number as a number, whoever gave it.
    """
    if isinstance(run_id, int) and not isinstance(run_id, bool):
        return run_id
    if not isinstance(run_id, str) or not run_id.isascii() or not run_id.isdigit():
        return None
    number = int(run_id[:19])
    return number if str(number) == run_id and 0 < number < 1 << 53 else None


def recordable(value: Any) -> Any:
    """Return a value without the modules and functions that a scope happened to define.

    Other objects stay; the journal keeps them as text that names them. Passwords in addresses are
    masked. A part that contains itself, or lies too deep, is replaced by a text that says so; no
    value makes this raise.
    """
    return _recordable(value, ())


def _recordable(value: Any, within: tuple[int, ...]) -> Any:
    if type(value) is str:
        return masked(value) if "://" in value else value
    if not isinstance(value, (dict, list)) and type(value) is not tuple:
        return value
    if id(value) in within:
        return named(value, "<contains itself>")
    if len(within) >= _MAX_DEPTH:
        return named(value, "<nested too deeply>")
    inside = (*within, id(value))
    try:
        if isinstance(value, dict):
            items = items_of(value)
            return {key: _recordable(item, inside) for key, item in items if not _is_code(item)}
        if isinstance(value, list):
            return [_recordable(item, inside) for item in value]
        return tuple([_recordable(item, inside) for item in value])
    except Exception:  # the methods of a user's class raise what they like
        return describe(value)


_CODE = (type(os), type(_content), type(len))


def _is_code(value: Any) -> bool:
    return isinstance(value, _CODE)


def masked(text: str) -> str:
    """Return a text with the passwords of the addresses in it masked."""
    if "@" not in text:
        return text
    from sacred.core.view_options import mask_password

    return mask_password(text)
