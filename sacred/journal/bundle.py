"""A bundle: one file that holds a run, its journal and its blobs, byte for byte.

It is a tar archive without compression, of plain files in a fixed order, and nothing in it depends
on when, where or by whom it was made: the same run gives the same bytes. ``docs/export.md`` is the
format. The first member is the manifest, which tells every other one with its size and sha256. So
a bundle is what its manifest says, or it is refused.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from typing import TYPE_CHECKING

from sacred.journal.digests import is_digest
from sacred.journal.errors import BundleError, NewerFormatError, NotABundleError
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.regular_file import NO_FILE, open_regular
from sacred.journal.root import epoch_file_name, parse_epoch_file_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["CHUNK", "MANIFEST", "BundleReader", "Manifest", "Member", "end", "header", "padding"]

FORMAT = 1
MANIFEST = "sacred-bundle.json"
_ABOUT = "A run of sacred-journal: its journal (zstd frames of msgpack), its files by SHA-256."
#: A manifest of 300,000 members. Its size is believed before anything else is known.
MANIFEST_CAP = 64 << 20
CHUNK = 1 << 20
_BLOCK = 512
#: What tar pads an archive to.
_RECORD = 10240
#: The largest size that stands in a header; beyond, it stands in a header of its own before it.
_HEADER_SIZES = 8**11 - 1

_EPOCH = re.compile(
    r"(?:journal|notes)/(w\d{4,9}-e\d{4,9}\.jzst)(?:\.damaged-[1-9]\d{0,8})?\Z", re.ASCII
)
_SPOOL = re.compile(r"journal/w\d{4,9}\.spool\Z", re.ASCII)
_BLOB = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{62})\Z")


class Member(NamedTuple):
    """One file in a bundle: a name like ``journal/w0000-e0001.jzst``, bytes, and their sha256."""

    name: str
    size: int
    sha256: str

    @property
    def digest(self) -> str | None:
        """The digest that a blob's name is; None if it is no blob."""
        return self.name[9:] if self.name.startswith("blobs/") else None


class Manifest(NamedTuple):
    """What a bundle holds.

    Attributes
    ----------
    run
        Number of the folder the run had; None if it had none.
    members
        In the order in which they stand.
    missing
        Digests of blobs that the journal names and that could not be had.
    """

    journal_id: int
    run: int | None
    members: tuple[Member, ...]
    missing: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return it as it stands in a bundle."""
        content = {
            "about": _ABOUT,
            "bundle": FORMAT,
            "journal_id": f"{self.journal_id:016x}",
            "members": [member._asdict() for member in self.members],
            "missing": list(self.missing),
            "run": self.run,
        }
        digest = hashlib.sha256(_json(content)).hexdigest()
        return _json({**content, "sha256": digest})

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Take what ``to_bytes`` gave, and nothing else.

        Raises
        ------
        NewerFormatError
        ValueError
            It is something else; the text says what.
        """
        try:
            content = json.loads(data.decode("ascii"), parse_int=_small_int, parse_float=_no_float)
        except (ValueError, RecursionError):
            raise ValueError("its manifest is not one") from None
        version = content.get("bundle") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise NewerFormatError(
                f"it is a bundle of format {version}: upgrade sacred-journal to import it"
            )
        try:
            journal_id = int(content["journal_id"], 16)
            members = tuple(Member(**member) for member in content["members"])
            found = cls(journal_id, content["run"], members, tuple(content["missing"]))
        except (KeyError, TypeError, ValueError):
            raise ValueError("its manifest is not one") from None
        found._check()
        if found.to_bytes() != data:
            raise ValueError("its manifest is not as it was written")
        return found

    def _check(self) -> None:
        if not 0 < self.journal_id < 1 << 63:
            raise ValueError("its manifest names no journal")
        if self.run is not None and not (type(self.run) is int and 0 < self.run < 10**18):
            raise ValueError("its manifest names no run")
        for member in self.members:
            if type(member.name) is not str or type(member.sha256) is not str:
                raise ValueError("its manifest names a file of no name")
            if type(member.size) is not int or member.size < 0:
                raise ValueError("its manifest names a file of no size")
            if not is_digest(member.sha256) or member.digest not in {None, member.sha256}:
                raise ValueError("its manifest names a file whose digest is none")
        order = [place_of(member.name) for member in self.members]
        if any(left >= right for left, right in itertools.pairwise(order)):
            raise ValueError("its manifest names files twice, or not in order")
        if not any(parse_epoch_file_name(name.removeprefix("journal/")) for _, name in order):
            raise ValueError("its manifest names no file of a journal")
        if not all(type(digest) is str and is_digest(digest) for digest in self.missing):
            raise ValueError("its manifest misses what is no blob")


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode("ascii") + b"\n"


def _small_int(text: str) -> int:
    if len(text) > 20:  # a large one takes time that grows with the square of its length
        raise ValueError("no size")
    return int(text)


def _no_float(text: str) -> float:
    raise ValueError(text)


def place_of(name: str) -> tuple[int, str]:
    """Return the key by which members are ordered.

    Raises
    ------
    ValueError
        Nothing in a run has such a name.
    """
    match = _EPOCH.match(name)
    if match:
        numbers = parse_epoch_file_name(match[1])
        if numbers is not None and epoch_file_name(*numbers) == match[1]:
            return int(name.startswith("notes/")), name
    elif _SPOOL.match(name):
        return 0, name
    elif _BLOB.match(name):
        return 2, name
    raise ValueError(f"it names {name[:200]!r}, which is no file of a run")


# -- tar ---------------------------------------------------------------------------------------


def header(name: str, size: int, kind: bytes = b"0") -> bytes:
    """Return the header of a member, as POSIX.1-1988 (ustar) has it."""
    if size > _HEADER_SIZES:
        record = f" size={size}\n"
        length = len(record) + len(str(len(record) + 2))
        told = f"{length}{record}".encode("ascii")
        return header("size", length, b"x") + told + padding(length) + header(name, 0)
    fields = [
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,  # mode, user, group
        b"%011o\0" % size,
        b"00000000000\0",  # time
        b" " * 8,  # the sum counts itself as blanks
        kind,
        bytes(100),  # link
        b"ustar\0" + b"00",
        bytes(64),  # names of user and group
        b"0000000\0" * 2,  # device
        bytes(155 + 12),
    ]
    total = sum(b"".join(fields))
    fields[4] = b"%06o\0 " % total
    return b"".join(fields)


def padding(size: int) -> bytes:
    """Return what follows a content of some size."""
    return bytes(-size % _BLOCK)


def _stored(name: str, size: int) -> int:
    """Return how many bytes a member takes."""
    return len(header(name, size)) + size + -size % _BLOCK


def end(size: int) -> bytes:
    """Return what follows the last member."""
    return bytes(2 * _BLOCK + -(size + 2 * _BLOCK) % _RECORD)


# -- reading -----------------------------------------------------------------------------------


class BundleReader:
    """Reads a bundle; nothing in it is believed that was not proved.

    Opening one reads and checks its manifest, and that it is as long as that says.

    Parameters
    ----------
    path
        Of the bundle: a regular file.

    Attributes
    ----------
    manifest
        What the bundle holds.

    Raises
    ------
    NotABundleError
        The file is something else.
    BundleError
        It is damaged, cut off, or was changed.
    NewerFormatError
        A newer version wrote it.
    OSError
        It can not be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            descriptor = open_regular(path)
        except OSError as error:
            if error.strerror == NO_FILE:
                raise NotABundleError(f"{self.path} is no file") from None
            raise
        self._file = os.fdopen(descriptor, "rb")
        try:
            self.manifest = self._manifest()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> BundleReader:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def _manifest(self) -> Manifest:
        first = self._file.read(_BLOCK)
        size = first[124:135]
        if not size.isdigit() or not first.startswith(MANIFEST.encode("ascii") + b"\0"):
            raise NotABundleError(f"{self.path} {_what_it_is(first)}")
        try:
            length = int(size, 8)
        except ValueError:
            length = MANIFEST_CAP + 1
        if length > MANIFEST_CAP:
            raise self._refused("its first header is damaged")
        if first != header(MANIFEST, length):
            if _is_header(first):
                raise self._refused(f"it is not as `sacred export` wrote it: {_REPACKED}")
            raise self._refused("its first header is damaged")
        data = self._file.read(length)
        if len(data) < length or self._file.read(-length % _BLOCK) != padding(length):
            raise self._refused("it is cut off, or its manifest is not as it was written")
        try:
            found = Manifest.from_bytes(data)
        except ValueError as error:
            raise self._refused(str(error)) from None
        except NewerFormatError as error:
            raise NewerFormatError(f"{self.path}: {error}") from None
        self._begin = self._file.tell()
        expected = self._begin + sum(_stored(member.name, member.size) for member in found.members)
        expected += len(end(expected))
        actual = os.fstat(self._file.fileno()).st_size
        if actual != expected:
            what = "it is cut off" if actual < expected else "something stands behind its end"
            raise self._refused(f"{what} ({actual:,} bytes, not {expected:,})")
        return found

    def _refused(self, why: str) -> BundleError:
        return BundleError(f"{self.path} is no whole bundle: {why}")

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield every member, with the pieces of its content.

        The pieces have to be taken, to the last: their end proves them.

        Raises
        ------
        BundleError
            Something is not as the manifest says; also from the pieces.
        """
        self._file.seek(self._begin)
        for member in self.manifest.members:
            told = header(member.name, member.size)
            if self._file.read(len(told)) != told:
                raise self._refused(f"the header of {member.name} is damaged")
            yield member, self._pieces(member)
        tail = end(self._file.tell())
        if self._file.read(len(tail) + 1) != tail:
            raise self._refused("its end is damaged")

    def _pieces(self, member: Member) -> Iterator[bytes]:
        digest, left = hashlib.sha256(), member.size
        while left and (piece := self._file.read(min(CHUNK, left))):
            digest.update(piece)
            left -= len(piece)
            yield piece
        if left or digest.hexdigest() != member.sha256:
            raise self._refused(f"the content of {member.name} is damaged")
        if self._file.read(-member.size % _BLOCK) != padding(member.size):
            raise self._refused(f"the bytes behind {member.name} are damaged")

    def prove(self) -> None:
        """Read the bundle through.

        Raises
        ------
        BundleError
            A byte is not as it was written.
        """
        for _, pieces in self.members():
            for _ in pieces:
                pass


_REPACKED = (
    "another tar packed it anew. Take the file that `sacred export RUN --bundle FILE` wrote, or "
    "unpack this one into a root: `journal` and `notes` into a folder with a new number, and "
    "`blobs` beside that"
)


def _is_header(block: bytes) -> bool:
    """Tell whether a block is a whole header of a tar archive, whoever wrote it."""
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    told = block[148:156].strip(b" \0").lstrip(b"0")
    return block[257:262] == b"ustar" and told == b"%o" % total


def _what_it_is(first: bytes) -> str:
    compressed = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz"}
    for magic, name in compressed.items():
        if first.startswith(magic):
            return f"is compressed by {name}: decompress it first"
    if _is_header(first):
        return f"is no bundle of a run, or {_REPACKED}"
    return "is no bundle of a run (`sacred export RUN --bundle FILE` writes one)"
