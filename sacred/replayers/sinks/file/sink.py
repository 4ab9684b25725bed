"""The sink of the file view.

The position lies in ``<id>/.journal/position.json`` and is replaced last. Whole files are replaced
at once; growing ones (``cout.txt``, and ``.journal/points``, of which ``metrics.json`` is made) are
cut to the length that the position names before anything is added.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.errors import JournalError
from sacred.journal.position import Position
from sacred.journal.regular_file import open_regular
from sacred.replayers.errors import ViewMovedError
from sacred.replayers.mark_files import MarkFiles
from sacred.replayers.sink import (
    Batch,
    FieldsChanged,
    FileEntry,
    OutputChanged,
    PointsAdded,
    RunKey,
    SinkSpec,
    ViewPosition,
)
from sacred.replayers.sinks.file.disk import (
    NewContents,
    copy,
    disk_errors,
    locked_folder,
    offset_of,
)
from sacred.replayers.sinks.file.folders import (
    RunFolders,
    State,
    journal_name,
    load_position,
    name_journal,
)
from sacred.replayers.tree.documents import (
    changed_run,
    json_document,
    metrics_document,
    run_fields,
)
from sacred.replayers.tree.names import artifact_file, below, first_names, shared_file
from sacred.replayers.tree.position import view_position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["FileSink"]

log = logging.getLogger("sacred.replayers")

#: ``metrics.json`` goes with every batch up to so many points, then when it grew by a twentieth.
_SMALL_POINTS = 4096
_SHARE = 20
#: A first batch of so many points and characters of output is written while others wait.
_AT_ONCE = 20_000
_CHARACTERS = 50
_WORD = float(1 << 63)
#: A document that is larger is not in the report (bytes).
_REPORTED = 256 << 20


class FileSink:
    """Writes runs as folders of files.

    Options: ``resource_dir``, ``source_dir``, ``copy_artifacts``, ``copy_sources``, ``report`` (write
    ``report.html`` when everything that there is was written).
    """

    rewrites: frozenset[str] = frozenset({"rendered"})
    takes_unasked = True

    def __init__(self, spec: SinkSpec) -> None:
        options = spec.options
        self.spec = spec
        self.base = os.path.abspath(spec.url)
        self.source_dir = str(options.get("source_dir") or os.path.join(self.base, "_sources"))
        self.resource_dir = str(
            options.get("resource_dir") or os.path.join(self.base, "_resources")
        )
        self.copy_artifacts = bool(options.get("copy_artifacts", True))
        self.copy_sources = bool(options.get("copy_sources", True))
        self.report = bool(options.get("report"))
        taken = first_names(self.base, (self.source_dir, self.resource_dir))
        self._folders = RunFolders(self.base, taken)
        self._states = self._folders.states
        #: Runs that were taken up, and have no folder.
        self._new: dict[str, RunKey] = {}
        #: Of the run that was written last.
        self.view_id: Any = None
        self._blobs: dict[tuple[str, str, str | None, int], str] = {}
        # Sacredboard takes every other name in the base for a run.
        self._marks = MarkFiles(os.path.join(self.base, "_sources", ".journal"), "mark-")

    # -- the place -----------------------------------------------------------------------------

    def open(self) -> None:
        """Make the base folder."""
        self._states.clear()
        self._new.clear()
        # ENOENT, as in /proc: waiting makes no folder there.
        with disk_errors(self.base, errno.ENOENT):
            os.makedirs(self.base, exist_ok=True)

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        with disk_errors(self.base):
            return self._marks.get(owner)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        with disk_errors(self.base):
            self._marks.raise_to(owner, number)

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Make the run's folder; ``mkdir`` decides between runs, a lock between processes."""
        with self._claiming():
            state = self._folders.find(run, locked=True)
            if state is None:
                state = self._folders.make(run)
                with NewContents() as contents:
                    document = self._save_fields(contents, state, dict(run.fields), (), {})
                    _add_run(contents, state, document)
                    contents.commit()
                if "config" in run.fields:  # what can not wait is there: the folder looks begun
                    os.close(open_regular(state.path("cout.txt"), os.O_WRONLY | os.O_CREAT))
            found: int | str = state.kept["view_id"]
            return found

    def take_up(self, run: RunKey) -> ViewPosition:
        """Remember what the run would like: its first batch makes the folder, with all that is in it."""
        self._states.pop(run.journal_id, None)
        self._new[run.journal_id] = run
        return ViewPosition(None, Position(), 0, claimed=True)

    @contextlib.contextmanager
    def _claiming(self) -> Iterator[None]:
        # ENOENT, as in /proc: waiting makes no folder there.
        with disk_errors(self.base, errno.ENOENT):
            os.makedirs(self.base, exist_ok=True)
            with locked_folder(self.base):
                self._folders.finish_claim()
                yield

    def clear_claims(self, max_age: float) -> int:
        """Take away claimed folders among the newest, whose process is gone."""
        with disk_errors(self.base):
            if not os.path.isdir(self.base):
                return 0
            return sum(self.release(run) for run in list(self._folders.stale_claims(max_age)))

    def release(self, run: RunKey) -> bool:
        """Take a claimed folder away again."""
        import shutil

        with disk_errors(self.base):
            state = self._folders.find(run)
            if state is None or not state.kept.get("claimed"):
                return False
            # A kill in between must not leave a run that is damaged.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(state.own(journal_name(run.journal_id)))
            shutil.rmtree(state.folder)
            self._states.pop(run.journal_id, None)
            return True

    # -- positions -----------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Read the run's ``position.json``."""
        with disk_errors(self.base):
            self._states.pop(run.journal_id, None)
            self._new.pop(run.journal_id, None)
            state = self._folders.find(run)
            if state is None:
                return None
            kept = state.kept
            if kept.get("rendered", 0) < sum(kept.get("counts", {}).values()):
                try:
                    self._cut_points(state)
                    with NewContents() as contents:
                        self._render_metrics(contents, state)
                        contents.commit()
                except _FlawError as flaw:
                    kept.setdefault("flaw", str(flaw))
            try:
                return view_position(kept)
            except (TypeError, ValueError, AttributeError, JournalError) as error:
                log.info("%s: %s", state.own("position.json"), error)
                return ViewPosition(
                    *(kept["view_id"], Position(), 0),
                    flaw="its .journal/position.json was damaged",
                )

    @contextlib.contextmanager
    def _turn(self, state: State) -> Iterator[None]:
        """Let one process write at a time, and only one that knows how the folder stands."""
        try:
            import fcntl
        except ImportError:
            fcntl = None  # type: ignore[assignment]
        try:
            descriptor = open_regular(state.own("lock"), os.O_CREAT | os.O_RDWR)
        except FileNotFoundError:
            raise ViewMovedError("the run's folder is gone") from None
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            now = load_position(state.folder, state.kept["journal_id"])
            known = state.kept.get("revision")
            gone = now is None and not state.damaged
            if gone or (now is not None and now.get("revision") != known):
                raise ViewMovedError("another replayer wrote this run meanwhile")
            yield
        finally:
            os.close(descriptor)

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write what changed, the position last."""
        new = self._new.pop(batch.run.journal_id, None)
        if new is not None and self._begins(new, batch):
            return
        with disk_errors(self.base):
            state = self._states.get(batch.run.journal_id)
            if state is None:
                raise ViewMovedError("the run is not in the view any more")
            self.view_id = state.kept["view_id"]
            before = json.loads(json.dumps(state.kept))
            try:
                with self._turn(state), NewContents() as contents:
                    try:
                        self._write(contents, state, batch)
                    except _FlawError as flaw:
                        state.kept = before
                        state.find_flaw(str(flaw))
                        before = state.kept
                        raise ViewMovedError(f"{state.folder}: {flaw}") from flaw
            except BaseException:
                state.kept = before
                raise

    def _begins(self, run: RunKey, batch: Batch) -> bool:
        """Make the folder of a run that was taken up, and write the batch into it; False: only made.

        A small batch is written before the folder has its name, so that it has it with all that is in
        it: one wait for the disk, and no file that is replaced. A large one would hold up everybody
        who makes a folder.
        """
        with self._claiming():
            if self._folders.find(run, locked=True) is not None:
                raise ViewMovedError("another replayer took the run up meanwhile")
            if _size(batch) > _AT_ONCE:
                self._folders.make(run)
                return False
            wanted = self._folders.wanted(run)
            state = self._folders.begin(run)
            try:
                with NewContents(hidden=True) as contents:
                    self._write(contents, state, batch)
                self._folders.place(state, wanted)
            except BaseException:
                self._folders.finish_claim()
                raise
            self.view_id = state.kept["view_id"]
            return True

    def _write(self, contents: NewContents, state: State, batch: Batch) -> None:
        """Write what changed; of a folder that has no name yet all but the position."""
        kept = state.kept
        document = None
        self._cut_points(state)
        points = self._save_points(
            state, [one for one in batch.changes if isinstance(one, PointsAdded)]
        )
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                document = self._save_fields(
                    contents, state, change.fields, change.removed, batch.references
                )
            elif isinstance(change, OutputChanged):
                self._save_output(contents, state, change)
        if points:
            descriptor = open_regular(state.own("points"), os.O_RDWR)
            contents.grown(os.fdopen(descriptor, "r+b"))
        total = sum(kept.get("counts", {}).values())
        rendered = kept.get("rendered", -1)
        grown = total - max(rendered, 0)
        due = total <= _SMALL_POINTS or batch.complete
        if grown * _SHARE >= total and time.monotonic() > state.render_after:
            due = True
        if total != rendered and due:
            self._render_metrics(contents, state, points)
        # Who reads there that a run is over finds everything.
        _add_run(contents, state, document)
        if self.report and batch.complete:
            contents.commit()
            self._write_report(contents, state)
        kept["position"] = batch.position.to_wire()
        kept["projector"], kept["order"] = batch.projector, batch.order
        kept["spool"], kept["claimed"] = batch.spool, False
        kept["revision"] = int(kept.get("revision", 0)) + 1
        if not kept.get("named"):  # a folder of an earlier version
            name_journal(state.folder, batch.run.journal_id)
            kept["named"] = True
        if "view_id" in kept:
            contents.add(state.own("position.json"), state.position())
        contents.commit()

    def _save_fields(
        self,
        contents: NewContents,
        state: State,
        fields: dict[str, Any],
        removed: tuple[str, ...],
        references: Mapping[tuple[str, str, str | None, int], Any],
    ) -> bytes | None:
        """Save what has documents of its own; return ``run.json``, or None if it stays."""
        if "config" in fields:
            contents.add(state.path("config.json"), json_document(fields["config"]))
        if fields.get("info") or ("info" in fields and os.path.exists(state.path("info.json"))):
            contents.add(state.path("info.json"), json_document(fields["info"]))
        mine = run_fields(
            fields,
            references,
            lambda stored: os.path.relpath(stored, self.base),
            lambda entries: self._save_artifacts(state, entries),
        )
        if not mine and not removed:
            return None
        state.run = changed_run(state.run, mine, removed, anew=state.kept.pop("anew", False))
        return json_document(state.run)

    # output

    def _save_output(self, contents: NewContents, state: State, change: OutputChanged) -> None:
        kept = state.kept
        characters, size = kept.get("output", [0, 0])
        path = state.path("cout.txt")
        descriptor = open_regular(path, os.O_CREAT | os.O_RDWR)
        file = os.fdopen(descriptor, "r+b")
        contents.grown(file)
        if os.fstat(descriptor).st_size < size:
            raise _FlawError("its cout.txt was shorter than it had been")
        keep = min(change.keep, characters)
        if keep < characters:
            size = offset_of(file, size, characters - keep)
        file.truncate(size)
        file.seek(size)
        added = change.text.encode("utf-8", "replace")
        file.write(added)
        contents.begin(file)
        kept["output"] = [keep + len(change.text), size + len(added)]

    # points

    def _cut_points(self, state: State) -> None:
        size, there = state.kept.get("points_size", 0), 0
        with contextlib.suppress(FileNotFoundError):
            descriptor = open_regular(state.own("points"), os.O_RDWR)
            with os.fdopen(descriptor, "r+b") as file:
                there = os.fstat(descriptor).st_size
                if there > size:
                    file.truncate(size)
        if there < size:
            raise _FlawError("its .journal/points was shorter than it had been")

    def _save_points(self, state: State, changes: list[PointsAdded]) -> list[PointsAdded]:
        """Add what is new to the points; return it."""
        from sacred.journal.codec import pack

        kept = state.kept
        added = []
        content = []
        for change in changes:
            seqs = kept.setdefault("next_seqs", {}).setdefault(change.metric, {})
            new = change.beyond({int(writer): seq for writer, seq in seqs.items()})
            if new is None:
                continue
            added.append(new)
            content.append(pack([new.metric, new.steps, new.values, new.times]))
            seqs.update({str(writer): seq for writer, seq in new.next_seqs().items()})
            counts = kept.setdefault("counts", {})
            counts[new.metric] = counts.get(new.metric, 0) + len(new.seqs)
        if added:
            descriptor = open_regular(state.own("points"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            with os.fdopen(descriptor, "ab") as file:
                file.writelines(content)
            kept["points_size"] = kept.get("points_size", 0) + sum(map(len, content))
        return added

    def _render_metrics(
        self, contents: NewContents, state: State, added: list[PointsAdded] | None = None
    ) -> None:
        """Write ``metrics.json`` from the points; ``added`` are those that came just now."""
        from sacred.journal.codec import unpack_all

        total = sum(state.kept.get("counts", {}).values())
        parts: Iterable[Any] = ()
        content = b""
        if added and total == sum(len(one.seqs) for one in added) and all(map(_is_plain, added)):
            parts = ((one.metric, one.steps, one.values, one.times) for one in added)
        else:
            with (
                contextlib.suppress(FileNotFoundError),
                os.fdopen(open_regular(state.own("points")), "rb") as file,
            ):
                content = file.read(state.kept.get("points_size", 0))
        metrics: dict[str, tuple[list[Any], list[Any], list[Any]]] = {}
        try:
            for name, *columns in parts or unpack_all(content):
                known = metrics.setdefault(name, ([], [], []))
                for column, new in zip(known, columns, strict=True):
                    column.extend(new)
        except (ValueError, TypeError) as error:
            raise _FlawError("its .journal/points was damaged") from error
        began = time.monotonic()
        contents.add(state.path("metrics.json"), metrics_document(metrics))
        state.kept["rendered"] = total
        # A large one that is written again and again must not be all that a replayer does.
        state.render_after = time.monotonic() + _SHARE * (time.monotonic() - began)

    # the report

    def _write_report(self, contents: NewContents, state: State) -> None:
        """Write ``report.html`` from the other documents, which are complete by now."""
        from sacred.replayers.tree.report import REPORT, report_page

        if REPORT in (state.run.get("artifacts") or ()):
            log.warning("%s: an artifact is called %s: no report is written", state.folder, REPORT)
            return
        documents = [
            _document(state.path(f"{name}.json")) for name in ("config", "info", "metrics")
        ]
        config, info, metrics = documents
        page = report_page(state.run, config, info, _end_of(state.path("cout.txt")), metrics)
        contents.add(state.path(REPORT), page)

    # -- files ---------------------------------------------------------------------------------

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Copy sources and resources to where all runs share them; artifacts wait for ``write``."""
        del run
        if entry.role == "artifact":
            if blob is not None:
                self._blobs[entry.key] = str(blob)
            return entry.name
        wanted = self.copy_sources
        if entry.role == "resource":
            wanted = self.copy_artifacts or below(self.base, entry.path) is None
        if blob is None or not wanted:
            return entry.path
        folder = self.source_dir if entry.role == "source" else self.resource_dir
        with disk_errors(self.base):
            target = os.path.join(folder, shared_file(entry.name, entry.md5 or entry.digest))
            if not os.path.exists(target):
                os.makedirs(folder, exist_ok=True)
                copy(str(blob), target)
        return target

    def _save_artifacts(self, state: State, entries: list[FileEntry]) -> list[str]:
        """Copy the newest artifact of each name, unless it is there; return the files' names."""
        newest = {entry.name: entry for entry in entries}
        files = {name: self._save_artifact(state, entry) for name, entry in newest.items()}
        return [files[entry.name] for entry in entries]

    def _save_artifact(self, state: State, entry: FileEntry) -> str:
        renamed = state.kept.setdefault("renamed", {})
        stored = state.kept.setdefault("artifacts", {})
        name = entry.name
        file = str(renamed.get(name) or artifact_file(name))
        blob = self._blobs.get(entry.key)
        if blob is not None and stored.get(name) != entry.digest:
            try:
                _copy_below(state.folder, file, blob)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                # Another artifact is a folder of this name, or a file of its folder's.
                file = artifact_file(name, aside=True)
                _copy_below(state.folder, file, blob)
            stored[name] = entry.digest
        if file != name and renamed.get(name) != file:
            renamed[name] = file
            log.warning("%s: the artifact %r is stored as %s", state.folder, name, file)
        return file

    # -- the end -------------------------------------------------------------------------------

    def reset(self, run: RunKey) -> None:
        """Forget the files' lengths; they are written anew, and the folder stays."""
        with disk_errors(self.base):
            state = self._folders.find(run)
            if state is None:
                return
            with self._turn(state):
                kept = state.kept
                name_journal(state.folder, run.journal_id)
                state.kept = {
                    name: kept[name] for name in ("format", "journal_id", "view_id") if name in kept
                }
                state.kept["named"] = True
                state.kept |= {"claimed": False, "position": [], "projector": 0, "anew": True}
                # Of a damaged one nobody knows the number: one that no other replayer has.
                known = int(kept.get("revision", 0))
                state.kept["revision"] = time.time_ns() if state.damaged else known + 1
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(state.path("info.json"))
                state.save_position()
                state.damaged = False

    def close(self) -> None:
        """Forget what was known."""
        self._states.clear()


class _FlawError(Exception):
    """One of the sink's own files is damaged; the text says which, in a few words."""


def _is_plain(points: PointsAdded) -> bool:
    """Tell whether what the points' file would say of them is what they are."""
    for column in (points.steps, points.values):
        kinds = set(map(type, column))
        # A larger integer is another kind of value there.
        small = kinds <= {float} or (
            kinds <= {float, int} and -_WORD <= min(column) <= max(column) < _WORD
        )
        if not small:
            return False
    return True


def _size(batch: Batch) -> int:
    """Return how much there is to write, in points; a line of output counts as one."""
    points = sum(len(one.seqs) for one in batch.changes if isinstance(one, PointsAdded))
    texts = sum(len(one.text) for one in batch.changes if isinstance(one, OutputChanged))
    files: int = sum(
        entry.size
        for one in batch.changes
        if isinstance(one, FieldsChanged)
        for entry in one.fields.get("artifacts") or ()
    )
    return points + (texts + files) // _CHARACTERS


def _add_run(contents: NewContents, state: State, document: bytes | None) -> None:
    if document is not None:
        contents.add(state.path("run.json"), document)


def _document(path: str) -> dict[str, Any]:
    """Return what a document holds; nothing, if it is not there, no map, or too much for a report."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            if os.fstat(file.fileno()).st_size > _REPORTED:
                return {}
            found = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _end_of(path: str) -> str:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 18)))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _copy_below(folder: str, name: str, source: str) -> None:
    target = os.path.join(folder, *name.split("/"))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    copy(source, target)
