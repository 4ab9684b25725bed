"""Files: Sacred's FileStorage tree, ``<base>/<id>/run.json config.json cout.txt info.json ...``.

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

from sacred.journal.identity import own_identity, process_lives
from sacred.journal.position import Position
from sacred.replayers.errors import TerminalSinkError, TransientSinkError, ViewMovedError
from sacred.replayers.sink import (
    OWNED_FIELDS,
    Batch,
    FieldsChanged,
    FileEntry,
    OutputChanged,
    PointsAdded,
    RunKey,
    SinkSpec,
    ViewPosition,
    wanted_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["FileSink"]

log = logging.getLogger("sacred.replayers")

OWN_FILES = frozenset(
    {"run.json", "config.json", "cout.txt", "metrics.json", "info.json", ".journal"}
)
_RUN_FIELDS = tuple(name for name in OWNED_FIELDS if name not in {"config", "info"})
#: ``metrics.json`` goes with every batch up to so many points, then when it grew by a twentieth.
_SMALL_POINTS = 4096
_SHARE = 20
_PIECE = 16384
#: So many of the newest folders are looked at for claims that nobody needs any more.
_RECENT = 50
#: Longest name of a file on the usual file systems.
_NAME_BYTES = 255


class _State:
    """What is known of one run's folder: the content of ``position.json``, and ``run.json``."""

    def __init__(self, folder: str, kept: dict[str, Any]) -> None:
        self.folder = folder
        self.kept = kept
        self.run: dict[str, Any] = {}
        self.render_after = 0.0

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def own(self, name: str) -> str:
        return os.path.join(self.folder, ".journal", name)


#: Errors that waiting does not mend; EEXIST is a file of the folder's name.
_FINAL = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)


class FileSink:
    """Writes runs as folders of files.

    Options: ``resource_dir``, ``source_dir``, ``copy_artifacts``, ``copy_sources``.
    """

    rewrites: frozenset[str] = frozenset({"rendered"})

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
        self._states: dict[str, _State] = {}
        self._blobs: dict[tuple[str, str, str | None, int], str] = {}

    # -- the place -----------------------------------------------------------------------------

    def open(self) -> None:
        """Make the base folder."""
        self._states.clear()
        # ENOENT, as in /proc: waiting makes no folder there.
        with self._errors(errno.ENOENT):
            os.makedirs(self.base, exist_ok=True)

    @contextlib.contextmanager
    def _errors(self, *final: int) -> Iterator[None]:
        """Say what a failing disk means for the view; ``final`` are errors that stay, here."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            text = f"the file view {self.base} can not be written: {reason}"
            if error.errno in _FINAL or error.errno in final:
                raise TerminalSinkError(f"{text}. Make it writable, or choose another") from error
            raise TransientSinkError(text) from error

    def _ids(self) -> list[int]:
        return sorted(int(n) for n in os.listdir(self.base) if n.isascii() and n.isdecimal())

    def _find(self, run: RunKey) -> _State | None:
        """Look for a run's folder: where it is wanted first, then everywhere."""
        state = self._states.get(run.journal_id)
        if state is not None and self._load(state.folder, run.journal_id) is not None:
            return state
        wanted = wanted_id(run.run_id)
        candidates = [str(wanted)] if wanted is not None else []
        for name in candidates:
            kept = self._load(os.path.join(self.base, name), run.journal_id)
            if kept is not None:
                return self._remember(run.journal_id, os.path.join(self.base, name), kept)
        try:
            ids = self._ids()
        except FileNotFoundError:
            return None
        for number in reversed(ids):
            folder = os.path.join(self.base, str(number))
            kept = self._load(folder, run.journal_id)
            if kept is not None:
                return self._remember(run.journal_id, folder, kept)
        self._states.pop(run.journal_id, None)
        return None

    @staticmethod
    def _load(folder: str, journal_id: str | None = None) -> dict[str, Any] | None:
        try:
            with open(os.path.join(folder, ".journal", "position.json"), "rb") as file:
                kept = json.loads(file.read())
        except (OSError, ValueError):
            return None
        if not isinstance(kept, dict) or journal_id not in {None, kept.get("journal_id")}:
            return None
        return kept

    def _remember(self, journal_id: str, folder: str, kept: dict[str, Any]) -> _State:
        state = _State(folder, kept)
        try:
            with open(state.path("run.json"), "rb") as file:
                state.run = json.loads(file.read())
        except (OSError, ValueError):
            # Somebody took it away or changed it beyond reading: written anew.
            kept["projector"] = -1
        self._states[journal_id] = state
        return state

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Make the run's folder; ``mkdir`` decides between runs, a lock between processes."""
        # ENOENT, as in /proc: waiting makes no folder there.
        with self._errors(errno.ENOENT):
            os.makedirs(self.base, exist_ok=True)
            with _locked_folder(self.base):
                return self._claim(run)

    def _claim(self, run: RunKey) -> int:
        known = self._find(run)
        if known is not None:
            return int(known.kept["view_id"])
        wanted = wanted_id(run.run_id)
        if wanted is None or os.path.lexists(os.path.join(self.base, str(wanted))):
            wanted = max(self._ids(), default=0) + 1
        for _ in range(100_000):
            folder = os.path.join(self.base, str(wanted))
            try:
                os.mkdir(folder)
            except FileExistsError:
                wanted = max(wanted, max(self._ids(), default=0)) + 1
                continue
            break
        else:
            raise TerminalSinkError(f"no free number was found in {self.base}")
        kept: dict[str, Any] = {
            "format": 1,
            "journal_id": run.journal_id,
            "view_id": wanted,
            "claimed": own_identity(),
            "position": [],
            "projector": 0,
            "revision": 0,
        }
        state = _State(folder, kept)
        os.mkdir(state.own(""))
        self._states[run.journal_id] = state
        self._save_fields(state, dict(run.fields), (), {})
        if "config" in run.fields:  # what can not wait is there at once: the folder looks begun
            with open(state.path("cout.txt"), "ab"):
                pass
        self._save_position(state)
        return wanted

    def clear_claims(self, max_age: float) -> int:
        """Take away claimed folders among the newest, whose process is gone."""
        cleared = 0
        with self._errors():
            if not os.path.isdir(self.base):
                return 0
            for number in self._ids()[-_RECENT:]:
                kept = self._load(os.path.join(self.base, str(number)))
                claim = (kept or {}).get("claimed")
                if kept is None or not isinstance(claim, dict):
                    continue
                old = time.time() - claim.get("wall", 0) / 1e9 > max_age
                if old and process_lives(claim) is False:
                    cleared += self.release(RunKey(kept["journal_id"], number))
        return cleared

    def release(self, run: RunKey) -> bool:
        """Take a claimed folder away again."""
        import shutil

        with self._errors():
            state = self._find(run)
            if state is None or not state.kept.get("claimed"):
                return False
            shutil.rmtree(state.folder)
            self._states.pop(run.journal_id, None)
            return True

    # -- positions -----------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Read the run's ``position.json``."""
        with self._errors():
            self._states.pop(run.journal_id, None)
            state = self._find(run)
            if state is None:
                return None
            kept = state.kept
            if kept.get("rendered", 0) < sum(kept.get("counts", {}).values()):
                self._cut_points(state)
                self._render_metrics(state)
        return ViewPosition(
            kept["view_id"],
            Position.from_wire(kept.get("position")),
            int(kept.get("projector", 0)),
            str(kept.get("order", "arrival")),
            points=dict(kept.get("counts", {})),
            claimed=bool(kept.get("claimed")),
            spool=int(kept.get("spool", 0)),
        )

    def _save_position(self, state: _State) -> None:
        content = json.dumps(state.kept, separators=(",", ":")).encode()
        _replace(state.own("position.json"), content)

    @contextlib.contextmanager
    def _turn(self, state: _State) -> Iterator[None]:
        """Let one process write at a time, and only one that knows how the folder stands."""
        try:
            import fcntl
        except ImportError:
            fcntl = None  # type: ignore[assignment]
        try:
            descriptor = os.open(state.own("lock"), os.O_CREAT | os.O_RDWR, 0o666)
        except FileNotFoundError:
            raise ViewMovedError("the run's folder is gone") from None
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            now = self._load(state.folder)
            if now is None or now.get("revision") != state.kept.get("revision"):
                raise ViewMovedError("another replayer wrote this run meanwhile")
            yield
        finally:
            os.close(descriptor)

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Write what changed, the position last."""
        with self._errors():
            state = self._states.get(batch.run.journal_id)
            if state is None:
                raise ViewMovedError("the run is not in the view any more")
            before = json.loads(json.dumps(state.kept))
            try:
                with self._turn(state):
                    self._write(state, batch)
            except BaseException:
                state.kept = before
                raise

    def _write(self, state: _State, batch: Batch) -> None:
        kept = state.kept
        points = False
        self._cut_points(state)
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                self._save_fields(state, change.fields, change.removed, batch.references)
            elif isinstance(change, OutputChanged):
                self._save_output(state, change)
            else:
                points = self._save_points(state, change) or points
        if points:
            _sync(state.own("points"))
        total = sum(kept.get("counts", {}).values())
        rendered = kept.get("rendered", -1)
        grown = total - max(rendered, 0)
        due = total <= _SMALL_POINTS or batch.complete
        if grown * _SHARE >= total and time.monotonic() > state.render_after:
            due = True
        if total != rendered and due:
            self._render_metrics(state)
        kept["position"] = batch.position.to_wire()
        kept["projector"], kept["order"] = batch.projector, batch.order
        kept["spool"], kept["claimed"] = batch.spool, False
        kept["revision"] = int(kept.get("revision", 0)) + 1
        self._save_position(state)

    def _save_fields(
        self,
        state: _State,
        fields: dict[str, Any],
        removed: tuple[str, ...],
        references: Mapping[tuple[str, str, str | None, int], Any],
    ) -> None:
        if "config" in fields:
            _replace(state.path("config.json"), _json(fields["config"]))
        if fields.get("info") or ("info" in fields and os.path.exists(state.path("info.json"))):
            _replace(state.path("info.json"), _json(fields["info"]))
        mine = {name: fields[name] for name in _RUN_FIELDS if name in fields}
        if not mine and not removed:
            return
        if "experiment" in mine:
            sources = [self._source(entry, references) for entry in mine["experiment"]["sources"]]
            mine["experiment"] = {**mine["experiment"], "sources": sources}
        if "resources" in mine:
            entries = mine["resources"]
            mine["resources"] = [[e.name, references.get(e.key) or e.path] for e in entries]
        if "artifacts" in mine:
            mine["artifacts"] = self._save_artifacts(state, mine["artifacts"])
        if state.kept.pop("anew", False):
            state.run = {k: v for k, v in state.run.items() if k not in OWNED_FIELDS}
        state.run.update(mine)
        for name in removed:
            state.run.pop(name, None)
        _replace(state.path("run.json"), _json(state.run))

    def _source(
        self, entry: FileEntry, references: Mapping[tuple[str, str, str | None, int], Any]
    ) -> list[str]:
        stored = references.get(entry.key) or entry.path
        return [entry.name, os.path.relpath(stored, self.base)]

    # output

    def _save_output(self, state: _State, change: OutputChanged) -> None:
        kept = state.kept
        characters, size = kept.get("output", [0, 0])
        path = state.path("cout.txt")
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            keep = min(change.keep, characters)
            if keep < characters:
                size = _offset_of(file, size, characters - keep)
            file.truncate(size)
            file.seek(size)
            added = change.text.encode("utf-8", "replace")
            file.write(added)
            file.flush()
            os.fsync(file.fileno())
        kept["output"] = [keep + len(change.text), size + len(added)]

    # points

    def _cut_points(self, state: _State) -> None:
        size = state.kept.get("points_size", 0)
        path = state.own("points")
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_size > size:
                os.truncate(path, size)

    def _save_points(self, state: _State, change: PointsAdded) -> bool:
        from sacred.journal.codec import pack

        kept = state.kept
        seqs = kept.setdefault("next_seqs", {}).setdefault(change.metric, {})
        new = change.beyond({int(writer): seq for writer, seq in seqs.items()})
        if new is None:
            return False
        content = pack([new.metric, new.steps, new.values, new.times])
        with open(state.own("points"), "ab") as file:
            file.write(content)
        kept["points_size"] = kept.get("points_size", 0) + len(content)
        seqs.update({str(writer): seq for writer, seq in new.next_seqs().items()})
        counts = kept.setdefault("counts", {})
        counts[new.metric] = counts.get(new.metric, 0) + len(new.seqs)
        return True

    def _render_metrics(self, state: _State) -> None:
        """Write ``metrics.json`` from the points."""
        from sacred.journal.codec import unpack_all

        try:
            with open(state.own("points"), "rb") as file:
                content = file.read(state.kept.get("points_size", 0))
        except FileNotFoundError:
            content = b""
        metrics: dict[str, tuple[list[Any], list[Any], list[Any]]] = {}
        for name, *columns in unpack_all(content):
            known = metrics.setdefault(name, ([], [], []))
            for column, new in zip(known, columns, strict=True):
                column.extend(new)
        began = time.monotonic()
        _replace(state.path("metrics.json"), _rendered(metrics))
        state.kept["rendered"] = sum(state.kept.get("counts", {}).values())
        # A large one that is written again and again must not be all that a replayer does.
        state.render_after = time.monotonic() + _SHARE * (time.monotonic() - began)

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
            below = os.path.commonpath([self.base, os.path.abspath(entry.path)]) == self.base
            wanted = self.copy_artifacts or not below
        if blob is None or not wanted:
            return entry.path
        folder = self.source_dir if entry.role == "source" else self.resource_dir
        stem, extension = os.path.splitext(os.path.basename(entry.name))
        with self._errors():
            ending = f"_{entry.md5 or entry.digest}{extension}"
            target = os.path.join(folder, _shortened(stem, _size(ending)) + ending)
            if not os.path.exists(target):
                os.makedirs(folder, exist_ok=True)
                _copy(str(blob), target)
        return target

    def _save_artifacts(self, state: _State, entries: list[FileEntry]) -> list[str]:
        """Copy the newest artifact of each name, unless it is there; return the names."""
        names, newest = [], {}
        for entry in entries:
            if not _safe_name(entry.name):
                log.warning(
                    "%s: the artifact %r can not be a file of this name and stays in the journal",
                    state.folder,
                    entry.name,
                )
                continue
            names.append(entry.name)
            newest[entry.name] = entry
        stored = state.kept.setdefault("artifacts", {})
        for name, entry in newest.items():
            blob = self._blobs.get(entry.key)
            if blob is None or stored.get(name) == entry.digest:
                continue
            target = os.path.join(state.folder, *name.split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _copy(blob, target)
            stored[name] = entry.digest
        return names

    # -- the end -------------------------------------------------------------------------------

    def reset(self, run: RunKey) -> None:
        """Forget the files' lengths; they are written anew, and the folder stays."""
        with self._errors():
            state = self._find(run)
            if state is None:
                return
            with self._turn(state):
                kept = state.kept
                state.kept = {
                    name: kept[name] for name in ("format", "journal_id", "view_id") if name in kept
                }
                state.kept |= {"claimed": False, "position": [], "projector": 0, "anew": True}
                state.kept["revision"] = int(kept.get("revision", 0)) + 1
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(state.path("info.json"))
                self._save_position(state)

    def close(self) -> None:
        """Forget what was known."""
        self._states.clear()


@contextlib.contextmanager
def _locked_folder(path: str) -> Iterator[None]:
    """Hold a folder's lock, where the system has such; no file is made for it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _safe_name(name: str) -> bool:
    """Tell whether an artifact's name is one of a file below the run's folder, and not ours."""
    parts = name.split("/")
    if not name or "\0" in name or "\\" in name or os.path.isabs(name):
        return False
    if any(part in {"", ".", ".."} or _size(part) > _NAME_BYTES for part in parts):
        return False
    return parts[0] not in OWN_FILES


def _size(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


def _shortened(stem: str, size: int) -> str:
    """Cut a name so that it has room for ``size`` bytes more (the rest of it tells them apart)."""
    while stem and _size(stem) + size > _NAME_BYTES:
        stem = stem[:-1]
    return stem


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, default=_as_text).encode()


def _as_text(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="microseconds")
    return str(value)


def _iso_times(times: list[int]) -> list[str]:
    import datetime as dt

    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Sacred's times are naive UTC
    seconds, text = -1, ""
    found = []
    for time_us in times:
        second, micro = divmod(time_us, 1_000_000)
        if second != seconds:
            seconds, text = second, (epoch + dt.timedelta(seconds=second)).isoformat()
        found.append(f"{text}.{micro:06d}")
    return found


def _rendered(
    metrics: dict[str, tuple[list[Any], list[Any], list[Any]]],
) -> Iterator[bytes]:
    """Yield ``metrics.json`` in pieces, as ``json`` with an indent writes it."""
    before = "{\n"
    for name in sorted(metrics):
        steps, values, times = metrics[name]
        yield f"{before}  {json.dumps(name)}: {{\n".encode()
        yield from _column("steps", steps)
        yield b",\n"
        yield from _column("timestamps", times, _iso_times)
        yield b",\n"
        yield from _column("values", values)
        yield b"\n  }"
        before = ",\n"
    yield b"{}" if before == "{\n" else b"\n}"


def _column(
    name: str, values: list[Any], convert: Callable[[list[Any]], list[Any]] = list
) -> Iterator[bytes]:
    if not values:
        yield f'    "{name}": []'.encode()
        return
    yield f'    "{name}": [\n      '.encode()
    for begin in range(0, len(values), _PIECE):
        rows = convert(values[begin : begin + _PIECE])
        # With a separator instead of an indent the C encoder does it, twenty times as fast.
        inside = json.dumps(rows, separators=(",\n      ", ": "), default=_as_text)
        yield ((",\n      " if begin else "") + inside[1:-1]).encode()
    yield b"\n    ]"


def _offset_of(file: Any, size: int, back: int) -> int:
    """Return the offset of the character that lies ``back`` characters before ``size``."""
    span = min(size, 4 * back)
    file.seek(size - span)
    content = file.read(span)
    at = len(content)
    while at > 0 and back > 0:
        at -= 1
        if content[at] & 0xC0 != 0x80:
            back -= 1
    return size - span + at


def _replace(path: str, content: bytes | Iterable[bytes]) -> None:
    """Give a file a new content, whole or not at all, and durable."""
    folder, name = os.path.split(path)
    aside = folder if folder.endswith(".journal") else os.path.join(folder, ".journal")
    temporary = os.path.join(aside, f".{name}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _copy(source: str, target: str) -> None:
    """Copy a file under a name that it has whole or not at all."""
    import shutil

    folder, name = os.path.split(target)
    # Runs share their sources and resources: another thread may be at the same one.
    temporary = os.path.join(folder, f".{name[:100]}.{os.urandom(4).hex()}")
    try:
        shutil.copyfile(source, temporary)
        _sync(temporary)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
