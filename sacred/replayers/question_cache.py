"""What questions keep of runs that ended: ``<root>/.cache/questions``.

It makes the second question fast, and is never needed: whatever is wrong with it, the journals are
read. What it says of a run counts as long as nothing happened to the run's ``journal`` folder, which
is seen without opening a file (``JournalStamps``). A user has one of his own: what he may not read
in a journal he can not read here.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import xxhash

from sacred.__about__ import __version__
from sacred.journal.regular_file import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sacred.journal.root import JournalRoot
    from sacred.replayers.journal_stamps import JournalStamps, Stamp

__all__ = ["KeptRows", "QuestionCaches", "collect_question_caches"]

#: Raise it when what is kept, or what it is made of, changes its meaning.
_FORMAT = 1
_MAGIC = b"sacred-journal questions\n"
#: The largest file (bytes): some 250,000 runs at a glance.
_MOST = 64 << 20
#: What stands around the rows, at most (bytes).
_AROUND = 1024
#: The largest of one run: the rest of its kind is what all are read for.
_MOST_ROW = 8 << 10
#: Of a file that nobody else may read.
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_NAME = re.compile(r"([a-z]+)-([0-9]+)\Z")
_ASIDE = re.compile(r"\.[a-z]+-[0-9]+\.[0-9a-f]{12}\Z")


class _Kept(NamedTuple):
    """What is known of one run."""

    stamp: Stamp
    names: tuple[str, ...]
    row: Any


class KeptRows:
    """One kind of what is known of the runs of a root, a row each.

    Parameters
    ----------
    root
        Of the runs.
    kind
        Small letters; the file is named by it.
    stamps
        Of the root.
    form
        What a row consists of: what was kept in another form is not read.

    Notes
    -----
    Any number of processes may have it: each reads what is there when it begins, and the last one
    to write wins. Nothing here raises: where nothing can be kept, nothing is.
    """

    def __init__(self, root: JournalRoot, kind: str, stamps: JournalStamps, form: str = "") -> None:
        self._folder = os.path.join(str(root.path), ".cache", "questions")
        self._name = f"{kind}-{_user()}"
        self._path = os.path.join(self._folder, self._name)
        self._stamps = stamps
        self._head = _head() + form.encode() + b"\n"
        #: Of a file that is full, those below the lowest number are read each time.
        self._lowest = 0
        self._kept = self._load()
        self._before = len(self._kept)
        self._lost = self._new = 0
        #: The file that will take the place of the one that is there, and when it was made.
        self._aside: str | None = None
        self._now: int | None = None
        self._seen: dict[int, tuple[Stamp, tuple[str, ...]]] = {}
        self._put: set[int] = set()

    def __len__(self) -> int:
        """Return of how many runs something is known."""
        return len(self._kept)

    def begin(self) -> None:
        """Look at the disk's clock: before a second process, forked from this one, reads journals."""
        self._clock()

    def get(self, number: int) -> Any:
        """Return what is known of a run; None if nothing is, or it is not so any more.

        In the latter case its journal was looked at: read it then, and ``put`` what it says.
        """
        if number < self._lowest:
            return None
        known = self._kept.get(number)
        if known is not None:
            if self._stamps.is_still(number, known.stamp, known.names):
                return known.row
            del self._kept[number]
            self._lost += 1
        now = self._clock()
        if now:
            seen = self._stamps.of(number, now)
            if seen is not None:
                self._seen[number] = seen
        return None

    def put(self, number: int, row: Any) -> None:
        """Keep what a run's journal says, which ``get`` did not know, and which was read since.

        Parameters
        ----------
        number
            Of the run.
        row
            Numbers, texts, bytes, None, and tuples of these. Nothing but the journal's files may
            decide what it is.
        """
        seen = self._seen.pop(number, None)
        if seen is not None:
            self._kept[number] = _Kept(*seen, row)
            self._put.add(number)
            self._new += 1

    def new(self, number: int) -> tuple[Any, ...] | None:
        """Return what was put for a run, for whoever ``adopt``s it in another process; else None."""
        return self._kept[number] if number in self._put else None

    def adopt(self, number: int, kept: tuple[Any, ...]) -> None:
        """Keep what a process that was forked from this one put for a run."""
        self._kept[number] = _Kept(*kept)
        self._new += 1

    def forget_others(self, numbers: Iterable[int]) -> None:
        """Forget runs that are not among these: they were removed."""
        gone = self._kept.keys() - set(numbers)
        for number in gone:
            del self._kept[number]
        self._lost += len(gone)

    def save(self) -> None:
        """Write it down, if that is worth it."""
        # A few new runs in a large root are read again until they are some: so much is written
        # that each run is written ten times at most.
        changed = self._new + self._lost
        try:
            if self._new and changed * 100 >= self._before and self._aside is not None:
                content = _packed(self._kept, self._head)
                if content is not None:
                    with os.fdopen(open_regular(self._aside, os.O_RDWR), "r+b") as file:
                        file.write(content)
                    os.replace(self._aside, self._path)
                    self._aside = None
        except (OSError, MemoryError):
            pass  # a full disk: the next question reads the journals
        finally:
            self._remove_aside()

    def close(self) -> None:
        """Leave nothing behind that is half done."""
        self._remove_aside()

    def _remove_aside(self) -> None:
        if self._aside is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._aside)
            self._aside = None

    def _clock(self) -> int:
        """Return the time of the disk before the first journal was read; 0 if nothing can be kept."""
        if self._now is None:
            aside = os.path.join(self._folder, f".{self._name}.{os.urandom(6).hex()}")
            try:
                os.makedirs(self._folder, exist_ok=True)
                descriptor = open_regular(aside, _NEW, 0o600)
                self._aside = aside
                self._now = os.fstat(descriptor).st_mtime_ns
                os.close(descriptor)
            except OSError:  # nothing may be written here
                self._now = 0
        return self._now

    def _load(self) -> dict[int, _Kept]:
        try:
            content = _read_own(self._path)
            kept = {row[0]: _Kept(row[1], row[2], row[3]) for row in _unpacked(content, self._head)}
            if len(content) > _MOST - _AROUND - _MOST_ROW:
                self._lowest = min(kept)
            return kept
        except (OSError, ValueError, LookupError, TypeError, msgpack.UnpackException):
            return {}


class QuestionCaches(NamedTuple):
    """What lies in a root's ``.cache/questions``.

    Attributes
    ----------
    files, size
        How many files, and their bytes together.
    failures
        What could not be removed, a sentence each.
    """

    files: int
    size: int
    failures: list[str]


def collect_question_caches(
    root: JournalRoot, *, grace: float, dry_run: bool = False, everything: bool = False
) -> QuestionCaches:
    """Remove what no question will read: files of other versions, and what kills left half written.

    Parameters
    ----------
    root
        The folder of the runs.
    grace
        How old (s) a file must be.
    dry_run
        Remove nothing; tell what would be.
    everything
        All of it: the next question reads the journals.
    """
    files = size = 0
    failures: list[str] = []
    for name, path in _files(root):
        try:
            found = os.lstat(path)
            ours = _NAME.match(name) is not None or _ASIDE.match(name) is not None
            if not (ours and stat.S_ISREG(found.st_mode)):
                continue
            old = found.st_mtime < time.time() - grace
            if not everything and not (old and not _is_of_this_version(path)):
                continue
            if not dry_run:
                os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            failures.append(f"{path}: {error.strerror or error}")
            continue
        files += 1
        size += found.st_size
    return QuestionCaches(files, size, failures)


def _files(root: JournalRoot) -> Iterator[tuple[str, str]]:
    place = os.path.join(str(root.path), ".cache", "questions")
    if os.path.realpath(place) != os.path.join(os.path.realpath(root.path), ".cache", "questions"):
        return  # it lies behind a link
    try:
        names = sorted(os.listdir(place))
    except OSError:
        return
    for name in names:
        yield name, os.path.join(place, name)


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _head() -> bytes:
    return _MAGIC + f"{_FORMAT} {__version__}\n".encode()


def _is_of_this_version(path: str) -> bool:
    head = _head()
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(len(head)) == head


def _read_own(path: str) -> bytes:
    """Return what a file of ours holds: what somebody else put there is not believed."""
    with os.fdopen(open_regular(path), "rb") as file:
        if _user() and os.fstat(file.fileno()).st_uid != _user():
            raise ValueError("another's")
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError("larger than any that is written")
    return content


def _packed(kept: dict[int, _Kept], head: bytes) -> bytes | None:
    """Return the file's content: of the runs with the highest numbers, as many as it may hold."""
    packer = msgpack.Packer(autoreset=True)
    rows: list[bytes] = []
    room = _MOST - _AROUND
    for number in sorted(kept, reverse=True):
        try:
            row = packer.pack((number, *kept[number]))
        except (TypeError, ValueError, OverflowError):
            continue  # of nothing that can be kept as it is
        room -= len(row)
        if room < 0:
            break
        if len(row) <= _MOST_ROW:
            rows.append(row)
    body = msgpack.Packer().pack_array_header(len(rows)) + b"".join(rows)
    return b"".join((head, xxhash.xxh64_digest(body), body))


def _unpacked(content: bytes, head: bytes) -> Any:
    body = memoryview(content)[len(head) + 8 :]
    digest = content[len(head) : len(head) + 8]
    if not content.startswith(head) or xxhash.xxh64_digest(body) != digest:
        raise ValueError("of another version, or damaged")
    return msgpack.unpackb(body, use_list=False, strict_map_key=False)
