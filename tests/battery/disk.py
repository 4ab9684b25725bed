"""A disk that loses its power: calls of the system recorded, and what they may have left behind.

The idea is ALICE's (Pillai and others, OSDI 2014). A program runs with its calls recorded; then
the disks are made that a power cut at any moment may leave, by what POSIX promises and no more:

* what was synced is there;
* of what was written since, any beginning, with its last write torn at any byte, the rest of the
  size filled with zeros or with garbage, or any sectors of it;
* of the names that changed in a folder since that folder was synced, any beginning of the changes,
  or any of the names alone;
* files and folders independently of each other;
* after a sync that failed, what it was to make durable is never sure again, whatever later syncs
  of the same file say.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import pathlib
from typing import Any, NamedTuple

SECTOR = 512
_WRITES = os.O_WRONLY | os.O_RDWR


class Op(NamedTuple):
    """One thing that was done.

    Attributes
    ----------
    kind
        ``name`` (a folder's entry appears), ``unname``, ``rename``, ``append``, ``sync``,
        ``sync_failed``, or ``ack``: the program was told something.
    what
        The file or folder; for ``ack`` what was told.
    """

    kind: str
    what: Any
    folder: int = 0
    name: str = ""
    old: str = ""
    data: bytes = b""


class _Raw(io.RawIOBase):
    """A file whose writes go through ``os.write``, where they are seen."""

    def __init__(self, descriptor):
        self._descriptor = descriptor

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def write(self, data):
        return os.write(self._descriptor, bytes(data))

    def close(self):
        if not self.closed:
            try:
                super().close()
            finally:
                os.close(self._descriptor)


class Recorder:
    """Records what happens below a folder; make it before what keeps ``os.write`` for itself."""

    def __init__(self, base, monkeypatch):
        self.base = os.path.abspath(base)
        self.ops = []
        #: The file that each path names now, 0 being the base.
        self.paths = {self.base: 0}
        self.folders = {0}
        self._descriptors = {}
        self._next = 1
        #: Called before each call with its name and path: may raise, or return how many bytes of a
        #: write are taken.
        self.before = lambda name, path: None
        self._real = {
            name: getattr(os, name)
            for name in ("open", "write", "fsync", "fdatasync", "close", "dup", "mkdir", "rename")
        }
        self._real.update(replace=os.replace, unlink=os.unlink, open_file=builtins.open)
        for name in self._real:
            if name != "open_file":
                monkeypatch.setattr(os, name, getattr(self, f"_{name}"))
        monkeypatch.setattr(os, "remove", self._unlink)
        self._real["fcntl"] = fcntl.fcntl
        monkeypatch.setattr(fcntl, "fcntl", self._fcntl)
        monkeypatch.setattr(builtins, "open", self._open_file)
        monkeypatch.setattr(io, "open", self._open_file)
        accessor = getattr(pathlib, "_NormalAccessor", None)  # Python 3.10 keeps the functions
        if accessor is not None:
            for name in ("mkdir", "rename", "replace", "unlink"):
                monkeypatch.setattr(accessor, name, staticmethod(getattr(self, f"_{name}")))
            monkeypatch.setattr(accessor, "open", staticmethod(self._open_file))

    # -- what the program calls --------------------------------------------------------------

    def _path(self, path):
        path = os.path.abspath(os.fspath(path))
        return path if path == self.base or path.startswith(self.base + os.sep) else None

    def _add(self, kind, what, path="", **more):
        folder, name = os.path.split(path)
        self.ops.append(Op(kind, what, self.paths.get(folder, 0), name, **more))

    def _open(self, path, flags, mode=0o777, **more):
        known = self._path(path) if isinstance(path, str | os.PathLike) else None
        if known:
            self.before("open", known)
        descriptor = self._real["open"](path, flags, mode, **more)
        if known:
            if known not in self.paths:
                self.paths[known] = self._next
                self._next += 1
                self._add("name", self.paths[known], known)
            elif flags & os.O_TRUNC:
                raise NotImplementedError("a file that is cut")
            self._descriptors[descriptor] = self.paths[known]
        return descriptor

    def _open_file(self, path, mode="r", *args, **more):
        if not set(mode) & set("wxa+"):
            return self._real["open_file"](path, mode, *args, **more)
        if isinstance(path, int):
            descriptor = path if path in self._descriptors else None
        elif self._path(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            flags |= os.O_EXCL if "x" in mode else os.O_TRUNC if "w" in mode else os.O_APPEND
            descriptor = os.open(path, flags, 0o666)
        else:
            descriptor = None
        if descriptor is None:
            return self._real["open_file"](path, mode, *args, **more)
        file = io.BufferedWriter(_Raw(descriptor))
        return file if "b" in mode else io.TextIOWrapper(file, encoding="utf-8")

    def _write(self, descriptor, data):
        file = self._descriptors.get(descriptor)
        if file is None:
            return self._real["write"](descriptor, data)
        taken = self.before("write", self.name_of(file))
        if taken is not None:
            data = bytes(data)[:taken]
        size = self._real["write"](descriptor, data)
        self.ops.append(Op("append", file, data=bytes(data)[:size]))
        return size

    def _sync(self, name, descriptor):
        file = self._descriptors.get(descriptor)
        if file is not None:
            try:
                self.before(name, self.name_of(file))
            except OSError:
                self.ops.append(Op("sync_failed", file))
                raise
            self.ops.append(Op("sync", file))
            return
        self._real[name](descriptor)

    def _fsync(self, descriptor):
        self._sync("fsync", descriptor)

    def _fdatasync(self, descriptor):
        self._sync("fdatasync", descriptor)

    def _close(self, descriptor):
        self._descriptors.pop(descriptor, None)
        self._real["close"](descriptor)

    def _dup(self, descriptor):
        other = self._real["dup"](descriptor)
        if descriptor in self._descriptors:
            self._descriptors[other] = self._descriptors[descriptor]
        return other

    def _fcntl(self, descriptor, command, *argument):
        other = self._real["fcntl"](descriptor, command, *argument)
        if command == fcntl.F_DUPFD_CLOEXEC and descriptor in self._descriptors:
            self._descriptors[other] = self._descriptors[descriptor]
        return other

    def _mkdir(self, path, mode=0o777, **more):
        known = self._path(path)
        if known:
            self.before("mkdir", known)
        self._real["mkdir"](path, mode, **more)
        if known:
            self.paths[known] = self._next
            self.folders.add(self._next)
            self._next += 1
            self._add("name", self.paths[known], known)

    def _replace(self, source, target, **more):
        old, new = self._path(source), self._path(target)
        if old:
            self.before("rename", old)
        self._real["replace"](source, target, **more)
        if old and new:
            self.paths[new] = self.paths.pop(old)
            same = os.path.dirname(old) == os.path.dirname(new)
            if same:
                self._add("rename", self.paths[new], new, old=os.path.basename(old))
            else:
                # Which of the two folders is written first is anybody's guess.
                self._add("name", self.paths[new], new)
                self._add("unname", self.paths[new], old)

    _rename = _replace

    def _unlink(self, path, **more):
        known = self._path(path)
        if known:
            self.before("unlink", known)
        self._real["unlink"](path, **more)
        if known:
            self._add("unname", self.paths.pop(known, -1), known)

    # -- what a scenario says ----------------------------------------------------------------

    def name_of(self, file):
        """Return a path of a file, or an empty text if it has none any more."""
        return next((path for path, known in self.paths.items() if known == file), "")

    def ack(self, what):
        """Note what the program was told at this moment."""
        self.ops.append(Op("ack", what))

    def fail(self, name, number=errno.EIO, *, match="", times=1, taken=None):
        """Let the next calls of a name fail, or a write take a few bytes only."""
        left = [times]

        def before(called, path):
            if called == name and match in path and left[0]:
                left[0] -= 1
                if taken is not None:
                    return taken
                raise OSError(number, os.strerror(number))
            return None

        self.before = before

    def adopt(self, ops):
        """Take the calls that a forked child recorded, as of now."""
        for op in ops:
            if op.kind in {"name", "rename"}:
                folder = self.name_of(op.folder)
                if op.old:
                    self.paths.pop(os.path.join(folder, op.old), None)
                self.paths[os.path.join(folder, op.name)] = op.what
                self._next = max(self._next, op.what + 1)
            elif op.kind == "unname":
                self.paths.pop(os.path.join(self.name_of(op.folder), op.name), None)
            self.ops.append(op)


class Moment:
    """The disk at one moment, as far as it is certain, and what is not.

    Attributes
    ----------
    names
        Per folder its durable entries.
    changes
        Per folder the changes of its entries since it was synced.
    chunks
        Per file what was written, as (bytes, state): durable, pending or doubtful.
    acks
        What the program was told so far.
    """

    def __init__(self, names=None, chunks=None):
        self.names = {folder: dict(entries) for folder, entries in (names or {0: {}}).items()}
        self.chunks = {file: list(parts) for file, parts in (chunks or {}).items()}
        self.changes = {}
        self.acks = []

    def copy(self):
        """Return a copy that can go its own way."""
        other = Moment(self.names, self.chunks)
        other.changes = {folder: list(ops) for folder, ops in self.changes.items()}
        other.acks = list(self.acks)
        return other

    def apply(self, op):
        """Let one thing happen."""
        if op.kind in {"name", "unname", "rename"}:
            self.changes.setdefault(op.folder, []).append(op)
            self.chunks.setdefault(op.what, [])
            self.names.setdefault(op.what, {})
        elif op.kind == "append":
            self.chunks[op.what].append((op.data, "pending"))
        elif op.kind == "ack":
            self.acks.append(op.what)
        elif op.kind == "sync_failed":
            self._settle(op.what, "doubtful")
        else:
            self._settle(op.what, "durable")
            entries = self.names.setdefault(op.what, {})
            for change in self.changes.pop(op.what, ()):
                _change(entries, change)

    def _settle(self, file, state):
        parts = self.chunks.get(file, [])
        self.chunks[file] = [(data, state if was == "pending" else was) for data, was in parts]

    def names_after(self, taken):
        """Return all entries when of each folder's changes the first ``taken[folder]`` were kept."""
        names = {}
        for folder, entries in self.names.items():
            kept = dict(entries)
            for change in self.changes.get(folder, ())[: taken.get(folder, 0)]:
                _change(kept, change)
            names[folder] = kept
        return names

    def names_by_chance(self, rng):
        """Return all entries when each name was kept or not by itself."""
        names = {}
        for folder, entries in self.names.items():
            kept, last = dict(entries), dict(entries)
            changes = self.changes.get(folder, ())
            for change in changes:
                _change(last, change)
            for change in changes:
                for name in filter(None, (change.name, change.old)):
                    if rng.random() < 0.5:
                        if name in last:
                            kept[name] = last[name]
                        else:
                            kept.pop(name, None)
            names[folder] = kept
        return names

    def floor(self, file):
        """Return the least of a file: nothing that is not durable."""
        return self.torn(file, 0, 0, None)

    def full(self, file):
        """Return all of a file."""
        return b"".join(data for data, _ in self.chunks.get(file, ()))

    def uncertain(self, file):
        """Return the writes of a file that may be lost."""
        return [data for data, state in self.chunks.get(file, ()) if state != "durable"]

    def torn(self, file, whole, cut, fill, rng=None):
        """Return a file with the first ``whole`` uncertain writes, ``cut`` bytes of the next one.

        ``fill`` says what stands where the rest would: nothing (None: what follows is closed up,
        as far as it is not durable), ``zeros`` or ``garbage`` to the end of that write, or ``size``
        (zeros to the end of the file).
        """
        content, seen = [], 0
        parts = self.chunks.get(file, ())
        last = max((i for i, (_, state) in enumerate(parts) if state == "durable"), default=-1)
        for index, (data, state) in enumerate(parts):
            if state == "durable":
                content.append(data)
                continue
            keep = data if seen < whole else data[:cut] if seen == whole else b""
            rest = len(data) - len(keep)
            if rest and index < last:
                keep += bytes(rest)  # something durable stands behind: the size is certain
            elif rest and (fill == "size" or (fill == "zeros" and seen == whole)):
                keep += bytes(rest)
            elif rest and fill == "garbage" and seen == whole:
                keep += rng.randbytes(rest)
            content.append(keep)
            seen += 1
        return b"".join(content)

    def sectors(self, file, rng):
        """Return a file of its full size in which any sectors of the uncertain writes are zero."""
        content = bytearray(self.full(file))
        at = 0
        for data, state in self.chunks.get(file, ()):
            end = at + len(data)
            while at < end and state != "durable":
                stop = min(end, (at // SECTOR + 1) * SECTOR)
                if rng.random() < 0.4:
                    content[at:stop] = bytes(stop - at)
                at = stop
            at = end
        return bytes(content)


def _change(entries, change):
    if change.kind == "unname":
        entries.pop(change.name, None)
        return
    if change.kind == "rename":
        entries.pop(change.old, None)
    entries[change.name] = change.what


def files_of(names, contents, folder=0, prefix=""):
    """Return what can be reached from a folder: path to bytes, folders by a path with a slash."""
    found = {}
    for name, what in names.get(folder, {}).items():
        path = prefix + name
        if what in contents:
            found[path] = contents[what]
        else:
            found[path + "/"] = b""
            found.update(files_of(names, contents, what, path + "/"))
    return found
