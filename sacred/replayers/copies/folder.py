"""Copies in a folder, which is a root of its own: each run under its journal's id, and a number.

::

    DIR/
      .sacred-journal  .sacred-copies
      .sacred-marks/<owner>   a number for each root that is copied here
      blobs/<2 hex>/<sha256>
      journal-<id>/           one run
        copy.json             how far it is copied; written last
        journal/w0000-e0001.jzst ...
      57 -> journal-<id>      its number here

A file grows as the one does that is copied: bytes are added where the manifest says that it ends,
made durable, and then count. A file that takes another one's place is written aside and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.blobs import BlobStore
from sacred.journal.errors import BlobError, JournalBusyError, JournalUnavailableError
from sacred.journal.folder_lock import locked_journal
from sacred.journal.new_file import written_aside
from sacred.journal.regular_file import A_LINK, NO_FILE, create_regular, open_regular, read_regular
from sacred.journal.root import JournalRoot, copy_name, fsync_folder, is_run_number
from sacred.replayers.copies.address import COPIES
from sacred.replayers.copies.run_copy import MANIFEST, RunCopy
from sacred.replayers.copies.scan import head_of
from sacred.replayers.errors import TerminalSinkError, TransientSinkError
from sacred.replayers.mark_files import MarkFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.replayers.copies.run_copy import FileCopy, Part

__all__ = ["FolderPlace"]

#: Errors that waiting does not mend.
_FINAL = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
    | {errno.ELOOP, errno.ENOENT}
)
_MANIFEST_BYTES = 256 << 20
#: So much before its end tells that a file is the one that was copied.
_END = 4096
_CHUNK = 1 << 20


class FolderPlace:
    """A folder of copies.

    Parameters
    ----------
    path
        Of the folder; made if it is not there.
    """

    def __init__(self, path: str) -> None:
        self.root = JournalRoot(path)
        self._store = BlobStore(self.root.blobs)
        self._marks = MarkFiles(self.root.path / ".sacred-marks")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except JournalUnavailableError as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            text = f"copies can not be written in {self.root.path}: {cause.strerror or cause}"
            if error.errno in _FINAL:
                raise TerminalSinkError(
                    f"{text}. Choose another folder, --to journal:DIR"
                ) from error
            raise TransientSinkError(text) from error
        except OSError as error:
            reason = error.strerror or str(error)
            text = f"the copies in {self.root.path} can not be written: {reason}"
            if reason in {NO_FILE, A_LINK}:
                raise TerminalSinkError(f"{text}: move {error.filename} away") from error
            if error.errno in _FINAL:
                raise TerminalSinkError(
                    f"{text}. Make it writable, or choose another folder"
                ) from error
            raise TransientSinkError(text) from error

    # -- the place -------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the folder a root of copies."""
        with self._errors():
            fresh = not self.root.exists()
            if fresh:
                self.root.create()
            marker = self.root.path / COPIES
            if os.path.lexists(marker):
                return
            if not fresh and any(not folder.path.is_symlink() for folder in self.root.runs()):
                raise TerminalSinkError(
                    f"{self.root.path} is a root that programs write: `sacred merge` brings runs "
                    "into it, and copies need a folder of their own, --to journal:DIR"
                )
            with contextlib.suppress(FileExistsError):
                create_regular(marker, '{"copies": 1}\n')

    def close(self) -> None:
        """Do nothing: nothing stays open."""

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        with self._errors():
            return self._marks.get(owner)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        with self._errors():
            self._marks.raise_to(owner, number)

    def is_source(self, root: Path) -> bool:
        """Tell whether a root is this folder."""
        return os.path.realpath(root) == os.path.realpath(self.root.path)

    # -- runs ------------------------------------------------------------------------------------

    def _folder(self, journal_id: str) -> Path:
        return self.root.path / copy_name(journal_id)

    def load(self, journal_id: str) -> RunCopy | None:
        """Read a run's manifest; a run whose number was removed is not there any more."""
        with self._errors():
            copy = self._manifest(journal_id)
            if copy is None or not self._has_number(copy):
                return None
            return copy

    def _manifest(self, journal_id: str) -> RunCopy | None:
        try:
            content = read_regular(self._folder(journal_id) / MANIFEST, _MANIFEST_BYTES)
        except FileNotFoundError:
            return None
        # A manifest that is none counts for nothing: what is there is written again.
        found = RunCopy.from_bytes(content)
        if found is None or found.journal_id != journal_id:
            number = self._number_of(journal_id)
            return RunCopy(journal_id, number if number is not None else journal_id, None)
        return found

    def _has_number(self, copy: RunCopy) -> bool:
        if not isinstance(copy.view_id, int):
            return True
        link = self.root.path / str(copy.view_id)
        return os.path.realpath(link) == os.path.realpath(self._folder(copy.journal_id))

    def _number_of(self, journal_id: str) -> int | None:
        """Return the number under which a run is found."""
        name = copy_name(journal_id)
        for entry in filter(is_run_number, os.listdir(self.root.path)):
            with contextlib.suppress(OSError):  # a folder is no link
                if os.readlink(self.root.path / entry) == name:
                    return int(entry)
        return None

    def claim(self, journal_id: str, run: int | None) -> Any:
        """Make a run's folder and give it a number: the one it has elsewhere, if it is free."""
        with self._errors(), self._locked(self.root.path):
            folder = self._folder(journal_id)
            known = self._manifest(journal_id)
            if known is not None and self._has_number(known):
                return known.view_id
            # Of a claim that was killed.
            number = self._number_of(journal_id) if folder.exists() else None
            (folder / "journal").mkdir(parents=True, exist_ok=True)
            if number is None:
                linked = self.root.link(folder.name, run)
                number = linked.number if linked is not None else None
            view_id = number if number is not None else journal_id
            copy = known or RunCopy(journal_id, view_id, run)
            self._save(copy._replace(view_id=view_id))
            fsync_folder(self.root.path)
            return view_id

    def release(self, journal_id: str) -> None:
        """Take a run's folder and number away."""
        with self._errors(), self._locked(self.root.path):
            number = self._number_of(journal_id)
            if number is not None:
                (self.root.path / str(number)).unlink()
            shutil.rmtree(self._folder(journal_id), ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        try:
            with locked_journal(folder):
                yield
        except JournalBusyError as error:
            raise TransientSinkError(str(error)) from error

    @contextlib.contextmanager
    def alone(self, journal_id: str) -> Iterator[None]:
        """Hold the lock of a run: also of whoever seals or repairs the copy."""
        with self._locked(self._folder(journal_id) / "journal"):
            yield

    def commit(self, copy: RunCopy) -> None:
        """Write a run's manifest; all it tells of is durable."""
        with self._errors():
            self._save(copy)

    def _save(self, copy: RunCopy) -> None:
        folder = self._folder(copy.journal_id)
        with written_aside(folder / MANIFEST, folder) as file:
            file.write(copy.to_bytes())
        fsync_folder(folder)

    # -- blobs -----------------------------------------------------------------------------------

    def has_blob(self, digest: str, size: int) -> bool:
        """Tell whether a blob is there, by its name and size."""
        with self._errors():
            try:
                return os.stat(self._store.path_of(digest)).st_size == size
            except FileNotFoundError:
                return False

    def put_blob(self, digest: str, path: Path) -> None:
        """Store a blob."""
        with self._errors():
            try:
                self._store.bring(path, digest)
            except BlobError as error:
                raise TransientSinkError(str(error)) from error  # it changed a moment ago

    # -- files -----------------------------------------------------------------------------------

    def goes_on(self, copy: RunCopy, name: str, source: Path) -> bool:
        """Look whether a file ends, as far as it was copied, as the one does that is copied."""
        known = copy.files[name]
        target = self._folder(copy.journal_id) / name
        begin = max(0, known.whole - _END)
        try:
            if not known.size:
                return True
            if os.stat(target).st_size < known.size:
                return False
            if known.head and head_of(target) != known.head:
                return False
            return _bytes(target, begin, known.whole) == _bytes(source, begin, known.whole)
        except FileNotFoundError:
            return False

    def write(
        self, copy: RunCopy, name: str, source: Path, parts: tuple[Part, ...], *, keep: bool
    ) -> tuple[Part, ...]:
        """Add bytes to a file, or write it anew."""
        folder = self._folder(copy.journal_id)
        target = folder / name
        with os.fdopen(open_regular(source), "rb") as file:
            when = os.fstat(file.fileno())
            file.seek(parts[0].begin)
            size = parts[-1].end - parts[0].begin
            with self._errors():
                target.parent.mkdir(exist_ok=True)
                if parts[0].begin == 0:
                    self._replace(target, file, size, keep=keep)
                else:
                    self._add(target, file, parts[0].begin, size)
                # gc and ls judge by dates.
                os.utime(target, ns=(when.st_atime_ns, when.st_mtime_ns))
        return ()

    @staticmethod
    def _replace(target: Path, file: Any, size: int, *, keep: bool) -> None:
        # So ``gc`` knows what a kill left.
        aside = target.with_name(f".{os.urandom(4).hex()}-{target.name}")
        try:
            with open(aside, "xb") as out:
                _copy(file, out, size)
                out.flush()
                os.fsync(out.fileno())
            if keep and target.exists():
                os.link(target, _free_name(target))
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)
        fsync_folder(target.parent)

    @staticmethod
    def _add(target: Path, file: Any, begin: int, size: int) -> None:
        with os.fdopen(open_regular(target, os.O_RDWR), "r+b") as out:
            out.seek(begin)
            _copy(file, out, size)
            out.truncate()
            out.flush()
            os.fsync(out.fileno())

    def remove(self, copy: RunCopy, name: str, file: FileCopy) -> None:
        """Remove a file."""
        del file
        with self._errors():
            (self._folder(copy.journal_id) / name).unlink(missing_ok=True)


def _copy(file: Any, out: Any, size: int) -> None:
    while size and (chunk := file.read(min(_CHUNK, size))):
        out.write(chunk)
        size -= len(chunk)
    if size:
        raise OSError(errno.EAGAIN, "the file that is copied became shorter")


def _bytes(path: Path, begin: int, end: int) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        file.seek(begin)
        return file.read(end - begin)


def _free_name(target: Path) -> Path:
    """Return a name under which a file is kept that another one took the place of."""
    number = 1
    while (kept := target.with_name(f"{target.name}.before-{number}")).exists():
        number += 1
    return kept
