"""Content-addressed files beside the journals: sources, resources, artifacts, large values.

A blob lies at ``blobs/<first two hex digits>/<sha256>`` and is never changed. It is durable before
an event names it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

from sacred.journal.codec import BlobReference
from sacred.journal.digests import is_digest, load_openssl, md5, sha256
from sacred.journal.errors import BlobDamagedError, BlobError, BlobMissingError
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.regular_file import NO_FILE, open_regular
from sacred.journal.root import fsync_folder
from sacred.journal.snapshot import Snapshot

_CHUNK = 1 << 20
#: Files up to here are read once into memory; larger ones are hashed first, so that a data set of
#: many GB that is stored already is not copied again.
SMALL_FILE = 4 << 20
#: A blob that was stored or used within so many seconds is none that a collector looks for.
_FRESH = 12 * 3600


class StoredFile(NamedTuple):
    """What storing a file found out.

    Attributes
    ----------
    blob
        What an event names it by: algorithm, digest, size, encoding.
    md5
        Of the content, in hex: Sacred's documents have it.
    """

    blob: BlobReference
    md5: str


class BlobStore:
    """The blobs of one root.

    May be used from several processes and threads at once: a blob appears under its name whole or
    not at all. The folder itself may be a link to another disk; one of those in it may not, and
    nothing is stored behind it. Memory: a file of up to 4 MiB, else a piece of one.

    Parameters
    ----------
    path
        The folder of the blobs, as ``JournalRoot.blobs`` names it; made with the first blob.
    durable
        Whether what is stored survives a power cut when the call returns. If not, it survives the
        process, and ``sync`` makes it durable: before an event names it.
    """

    __slots__ = ("_durable", "_lasting", "path")

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        #: Folders of blobs whose names were made durable by this store: half of the syncs of a
        #: program whose sources are stored already are not needed.
        self._lasting: frozenset[str] = frozenset()

    def path_of(self, digest: str) -> Path:
        """Return where the blob of this sha256 lies.

        Parameters
        ----------
        digest
            In hex.

        Returns
        -------
        The path, whether there is such a blob or not.

        Raises
        ------
        BlobError
            The digest is not 64 hex digits (it may come from a damaged or foreign journal).
        """
        if not is_digest(digest):
            raise BlobError(f"not a sha256 in hex: {digest[:80]!r}")
        return self.path / digest[:2] / digest

    def put_file(self, filename: str | os.PathLike[str]) -> StoredFile:
        """Store the content of a file as it is now.

        Durable when it returns. The name of a file that changes meanwhile is that of the bytes
        that were stored; of one that grows, these are no more than it had at the beginning, so that
        whoever writes it is not chased.

        Parameters
        ----------
        filename
            Of the file. Links are followed.

        Returns
        -------
        What an event names it by, with its MD5.

        Raises
        ------
        OSError
            The file can not be read, or the blob not written.
        """
        with open(filename, "rb") as file:
            found = Snapshot(file)
            if found.size <= SMALL_FILE:
                return self.put_bytes(found.read())
            load_openssl()
            sha, other, size = _hash(found, None)
            if self._is_stored(sha, size):
                return StoredFile(BlobReference("sha256", sha, size), other)
            found.rewind()
            return self._store_stream(found)

    def put_bytes(self, content: bytes, encoding: str = "identity") -> StoredFile:
        """Store some bytes.

        Durable when it returns. What is stored already is not written again; it is made durable,
        and looks young to ``collect``.

        Parameters
        ----------
        content
            Of the blob.
        encoding
            What its reader has to know: ``identity`` (the bytes of a file), ``msgpack`` (a value
            that was too large for its event) or ``zstd``. The bytes are stored as they are.

        Returns
        -------
        What an event names it by, with its MD5.

        Raises
        ------
        OSError
            The blob can not be written. Nothing is left of it.
        """
        sha = sha256(content).hexdigest()
        if not self._is_stored(sha, len(content)):
            temporary = self._temporary()
            try:
                with open(temporary, "xb") as out:
                    out.write(content)
                    self._sync(out)
                self._publish(temporary, self.path_of(sha))
            finally:
                temporary.unlink(missing_ok=True)
        blob = BlobReference("sha256", sha, len(content), encoding)
        return StoredFile(blob, md5(content).hexdigest())

    def adopt(self, temporary: Path, digest: str) -> bool:
        """Take over a file that is durable and proved to have this content.

        Durable when it returns.

        Parameters
        ----------
        temporary
            The file: on the same disk it is renamed, else copied.
        digest
            SHA-256 of its content, in hex.

        Returns
        -------
        Whether it was needed: not if the store has the blob, whole. Then the file stays where it is.

        Raises
        ------
        BlobError
            The digest is none.
        OSError
            The disk refuses.
        """
        target = self.path_of(digest)
        with contextlib.suppress(BlobError, OSError):
            if self._is_stored(digest, self.check(digest)):
                return False
        self._make()
        try:
            self._publish(temporary, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self.put_file(temporary)  # the blobs are a link to another disk
        return True

    def bring(self, path: str | os.PathLike[str], digest: str) -> bool:
        """Store a copy of a blob that lies in another store.

        Durable when it returns.

        Parameters
        ----------
        path
            Of the other one; it stays.
        digest
            SHA-256 of its content, in hex.

        Returns
        -------
        Whether it was needed: not if the store has a blob of this name and size.

        Raises
        ------
        BlobDamagedError
            Its content is not what its name says; nothing is stored.
        BlobMissingError
            It is not there.
        BlobError
            The digest is none.
        OSError
            The disk refuses.
        """
        self.path_of(digest)
        try:
            descriptor = open_regular(path)
        except FileNotFoundError:
            raise BlobMissingError(f"blob {digest} is not in {Path(path).parent.parent}") from None
        except OSError as error:
            if error.strerror == NO_FILE:
                raise BlobDamagedError(f"blob {digest} is no regular file") from None
            raise
        with os.fdopen(descriptor, "rb") as file:
            if self._is_stored(digest, os.fstat(file.fileno()).st_size):
                return False
            temporary = self._temporary()
            try:
                with open(temporary, "xb") as out:
                    sha, _, _ = _hash(file, out)
                    self._sync(out)
                if sha != digest:
                    raise BlobDamagedError(
                        f"the content of blob {digest} is not what its name says"
                    )
                self._publish(temporary, self.path_of(digest))
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def _is_stored(self, digest: str, size: int) -> bool:
        """Tell whether a blob is there already; have it look young, and be durable."""
        target = self.path_of(digest)
        try:
            if os.path.islink(target.parent):
                return False  # nothing behind it is touched: storing it says so
            found = os.lstat(target)
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                return False  # damaged, or a link to what is not ours: stored anew
            try:
                os.utime(target)  # a collector of unused blobs spares the young ones
            except FileNotFoundError:
                raise
            except OSError:  # of another user, on a shared disk
                old = time.time() - found.st_mtime > _FRESH
                if old and os.access(target.parent, os.W_OK):
                    return False
            # Looked for again behind the touch: a collector that took it away before did not see
            # that it is young, and one that comes later does.
            if self._durable:  # who stored it may have been killed before it was
                self.sync(digest)
            else:
                os.lstat(target)
        except FileNotFoundError:
            return False
        return True

    def _store_stream(self, file: Snapshot) -> StoredFile:
        temporary = self._temporary()
        try:
            with open(temporary, "xb") as out:
                sha, other, size = _hash(file, out)
                self._sync(out)
            self._publish(temporary, self.path_of(sha))
        finally:
            temporary.unlink(missing_ok=True)
        return StoredFile(BlobReference("sha256", sha, size), other)

    def _make(self) -> None:
        try:
            self.path.mkdir()
        except FileExistsError:
            pass
        else:
            self._lasting = frozenset()
            if self._durable:
                fsync_folder(self.path.parent)

    def _temporary(self) -> Path:
        self._make()
        return self.path / f".new-{os.getpid()}-{os.urandom(6).hex()}"

    def _sync(self, file: BinaryIO) -> None:
        file.flush()
        if self._durable:
            os.fsync(file.fileno())

    def _publish(self, temporary: Path, target: Path) -> None:
        try:
            target.parent.mkdir()
        except FileExistsError:
            if os.path.islink(target.parent):
                where = f"{self.path.name}/{target.parent.name}"
                why = f"{where} is a link, and nothing is stored behind one: remove it"
                raise OSError(errno.ELOOP, why, str(target.parent)) from None
        else:
            self._lasting -= {target.parent.name}
        os.replace(temporary, target)
        if self._durable:
            fsync_folder(target.parent)
            fsync_folder(self.path)

    def sync(self, digest: str) -> None:
        """Make a blob durable that a store which is not durable wrote.

        Parameters
        ----------
        digest
            SHA-256 of its content, in hex.

        Raises
        ------
        BlobError
            The digest is none.
        OSError
            It is not there, or the disk refuses.
        """
        target = self.path_of(digest)
        with os.fdopen(open_regular(target), "rb") as file:
            os.fsync(file.fileno())
        fsync_folder(target.parent)
        if target.parent.name not in self._lasting:
            names = os.listdir(self.path)
            fsync_folder(self.path)
            fsync_folder(self.path.parent)
            self._lasting = frozenset(names)

    def exists(self, digest: str) -> bool:
        """Tell whether the blob is there.

        Parameters
        ----------
        digest
            SHA-256 of its content, in hex.

        Returns
        -------
        Whether a file has its name; the content is not looked at.

        Raises
        ------
        BlobError
            The digest is none.
        """
        return self.path_of(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading, unchecked.

        Parameters
        ----------
        digest
            SHA-256 of its content, in hex.

        Returns
        -------
        The file; whoever asked for it closes it.

        Raises
        ------
        BlobMissingError
            It is not there.
        BlobDamagedError
            What is there is no file: a folder, or a pipe that one would wait at for ever.
        BlobError
            The digest is none.
        OSError
            It can not be read.
        """
        try:
            descriptor = open_regular(self.path_of(digest))
        except FileNotFoundError:
            raise BlobMissingError(f"blob {digest} is not in {self.path}") from None
        except OSError as error:
            if error.strerror == NO_FILE:
                raise BlobDamagedError(f"blob {digest} is no regular file") from None
            raise
        return os.fdopen(descriptor, "rb")

    def read(self, digest: str) -> bytes:
        """Return a blob's content, checked against its name.

        Parameters
        ----------
        digest
            SHA-256 of its content, in hex.

        Returns
        -------
        All of it, in memory.

        Raises
        ------
        BlobMissingError
            It is not there.
        BlobDamagedError
            Its content is not what its name says.
        BlobError
            The digest is none.
        OSError
            It can not be read.
        """
        with self.open(digest) as file:
            content = file.read()
        if sha256(content).hexdigest() != digest:
            raise BlobDamagedError(f"the content of blob {digest} is not what its name says")
        return content

    def check(self, digest: str) -> int:
        """Read a blob through.

        Parameters
        ----------
        digest
            SHA-256 of its content, in hex.

        Returns
        -------
        Its size (bytes).

        Raises
        ------
        BlobMissingError
            It is not there.
        BlobDamagedError
            Its content is not what its name says.
        BlobError
            The digest is none.
        OSError
            It can not be read.
        """
        load_openssl()
        with self.open(digest) as file:
            sha, _, size = _hash(file, None)
        if sha != digest:
            raise BlobDamagedError(f"the content of blob {digest} is not what its name says")
        return size


def _hash(file: BinaryIO | Snapshot, out: BinaryIO | None) -> tuple[str, str, int]:
    sha, other, size = sha256(), md5(), 0
    while chunk := file.read(_CHUNK):
        sha.update(chunk)
        other.update(chunk)
        size += len(chunk)
        if out is not None:
            out.write(chunk)
    return sha.hexdigest(), other.hexdigest(), size
