"""The files of a writer: made, written frame by frame, left and closed, each for good.

This is the lowest part of :class:`sacred.journal.writer.JournalWriter`. It knows nothing of events
but their bytes, and raises what the disk says. Whoever calls a method that says so holds the lock.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Any

from sacred.journal import __software__, descriptors
from sacred.journal.codec import new_packer, pack
from sacred.journal.descriptors import Identity
from sacred.journal.events import FORMAT, MIN_READER, EventType
from sacred.journal.exclusion import Exclusion
from sacred.journal.frames import FrameEncoder
from sacred.journal.identity import own_identity
from sacred.journal.root import epoch_file_name

if TYPE_CHECKING:
    from pathlib import Path

#: From so many pending points on they are written as a table.
TABLE_ROWS = 16
#: So many files that a write failed in, or that a rotation left, wait to be made durable; the
#: flusher does it within a second, and with ``durability="process"`` nobody before ``sync()``.
_LEFT_FILES = 16

#: What a frame holds behind its preamble, kept until it is durable: first seq, number of seqs,
#: chain before it, events. A plain tuple: a named one costs 0.2 us more, with every frame.
Body = tuple[int, int, int, bytes]
#: A file that takes no more frames and was not made durable yet: descriptor, number of its writer,
#: the sequence number behind the last in it, its path, and which file it is.
Left = tuple[int, int, int, "Path", Identity]


class FileWriter(Exclusion):
    """Writes frames into the file of one epoch, and makes the next one's.

    Attributes
    ----------
    folder
        The ``journal`` folder.
    journal_id
        63 random bits, the same for all writers of the journal.
    durability
        ``"process"``, ``"second"`` or ``"event"``.
    number, epoch
        Which writer, and which of its files.
    path
        That file.
    next_seq
        The sequence number of the next event.
    durable_seq
        Events below survive a power cut.
    """

    def __init__(self, folder: Path, journal_id: int, durability: str) -> None:
        self.folder = folder
        self.journal_id = journal_id
        self.durability = durability
        self.number = 0
        self.epoch = 0
        self.next_seq = 0
        self.durable_seq = 0
        self.path = folder
        self._chain = 0
        self._fd = -1
        #: Which file that is: other code may close the number, and be given it for a file of its own.
        self._identity: Identity = (-1, -1)
        #: What lies below was written while the number was known to be the file's.
        self._sure = 0
        self._prefix = b""
        self._size = 0
        self._file_seq = 0
        self._parent: list[int] | None = None
        self._encoder = FrameEncoder()
        self._packer = new_packer()
        self._ring: deque[Body] = deque()
        #: The files that were made, or about to be.
        self._made: set[Path] = set()
        #: Whether the file system can make anything durable.
        self._can_sync = True
        #: Files that a write failed in hold what is as good as ever, and perhaps nowhere else.
        self._left: tuple[Left, ...] = ()
        #: What lies below was written, and is not in memory to be written again.
        self._forgotten = 0
        #: What lies below, and is not durable, was in a file of which the fsync failed.
        self._suspect = 0
        #: Something is in a file that could not be made durable, and was not written again.
        self._in_doubt = False
        self._dirty = False
        self._names_durable = False
        super().__init__()

    def _open_epoch(self, epoch: int, opened_by: str, **more: Any) -> None:
        """Make the file of an epoch and write its first event.

        Raises
        ------
        FileExistsError
            The file is there: another process goes on for this writer.
        OSError
        """
        name = epoch_file_name(self.number, epoch)
        path = aside = self.folder / name
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        ours = path in self._made
        self._made.add(path)
        try:
            descriptor = os.open(str(path), flags, 0o666)
        except FileExistsError:
            if not ours:
                raise
            # Left by ourselves when an interrupt came: it is empty, and passed over.
            self._open_epoch(epoch + 1, opened_by, **more)
            return
        except OSError:  # nothing was made: what stands there next time is another's
            if not ours:
                self._made.discard(path)
            raise
        try:
            if self._ring and os.name != "nt":
                # A later file takes the place of the end of the one before: it gets its name when
                # all that is written again stands in it, or else a kill would cost what was there.
                aside = self.folder / f".{os.urandom(4).hex()}-{name}"
                named, descriptor = descriptor, -1
                os.close(named)
                descriptor = os.open(str(aside), flags, 0o666)
            descriptor = descriptors.out_of_the_way(descriptor)
            identity = descriptors.identity_of(descriptor)
            descriptors.lock(descriptor)
            # The four numbers with which every preamble of this file begins.
            prefix = self._packer.pack([0, self.journal_id, self.number, epoch, 0, 0, 0])[:-3]
            first, chain = self.next_seq, self._chain
            if self._ring:
                first, _, chain, _ = self._ring[0]
            # Alone in its frame: the chain of the events is then the same in whichever file they
            # are written again.
            event = self._pack_epoch_began(opened_by, more)
            size = self._write(descriptor, prefix, first, 0, chain, event)
            for body in tuple(self._ring):
                size += self._write(descriptor, prefix, *body)
            if aside != path:
                os.replace(aside, path)
        except BaseException:
            self._packer.reset()
            # All in it is elsewhere: a disk that refuses for hours leaves no row of files.
            descriptors.close(descriptor)
            descriptors.remove(path, aside)
            raise
        # Nothing is called here: this is the writer's file in every respect or in none.
        self._fd, self._identity, self._size = descriptor, identity, size
        self._prefix, self._file_seq, self._sure = prefix, first, self.next_seq
        self.path, self.epoch, self._names_durable = path, epoch, False

    def _pack_epoch_began(self, opened_by: str, more: dict[str, Any]) -> bytes:
        identity = own_identity()
        event = {
            "t": identity["wall"],
            "e": int(EventType.EPOCH_BEGAN),
            "format": FORMAT,
            "min_reader": MIN_READER,
            "features": [],
            "journal": self.journal_id,
            "opened_by": opened_by,
            **identity,
            "software": __software__,
            "durability": self.durability,
            **more,
        }
        if self._parent is not None:
            event["parent"] = self._parent
        return pack(event)

    def _look_at_file(self) -> os.stat_result | None:
        """Return the state of the file, or None if the disk does not tell. Holds the lock.

        Raises
        ------
        OSError
            The number is not the file's any more. What was written below ``_sure`` stands in the file.
        """
        try:
            state = os.fstat(self._fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                return None
        else:
            if (state.st_dev, state.st_ino) == self._identity:
                self._sure = self.next_seq
                return state
        # Not to be closed: it may be the number of a file that the program has opened since. What
        # is not durable is in memory, or in doubt.
        self._fd = -1
        self._suspect = max(self._suspect, self.next_seq)
        raise OSError(errno.EBADF, "its file was closed by other code of the program")

    def _write_frame(self, first: int, count: int, chain: int, events: bytes) -> None:
        if self.durability != "event":  # there the system call would cost as much as the event
            self._look_at_file()
        self._size += self._write(self._fd, self._prefix, first, count, chain, events)

    def _write(
        self, descriptor: int, prefix: bytes, first: int, count: int, chain: int, events: bytes
    ) -> int:
        """Write one frame into a file; return its size (bytes)."""
        packed = self._packer.pack
        frame = self._encoder.encode(
            prefix + packed(first) + packed(count) + packed(chain) + events,
            numbers=count >= TABLE_ROWS,
        )
        if (done := os.write(descriptor, frame)) != len(frame):
            raise descriptors.short_write(descriptor, frame[done:])
        return len(frame)

    def _sync_now(self) -> OSError | None:
        try:
            descriptors.sync(self._fd)
        except OSError as error:
            return error
        return None

    def _leave_file(self, next_seq: int) -> None:
        """Write no more into the file, and have what is in it made durable. Holds the lock."""
        # Nothing is called in between, so that an interrupt finds it here or there, and a second
        # one a file that takes nothing more.
        if self._fd >= 0 and self._can_sync:
            left = (self._fd, self.number, next_seq, self.path, self._identity)
            self._left, self._fd = (*self._left, left), -1
        self._close_file()
        self._dirty = True
        if len(self._left) > _LEFT_FILES:
            oldest, self._left = self._left[0], self._left[1:]
            self._suspect_all(oldest)
            descriptors.close_own(oldest[0], oldest[4])

    def _suspect_all(self, left: Left) -> None:
        """Take down that a file can not be made durable. Holds the lock."""
        _, number, next_seq, _, _ = left
        if number == self.number:
            self._suspect = max(self._suspect, next_seq)
        else:
            self._in_doubt = True

    def _is_doubtful(self) -> bool:
        """Tell whether something is written, in doubt and not in memory. Holds the lock."""
        return min(self._forgotten, self._suspect) > self.durable_seq

    def _close_file(self) -> None:
        descriptor, self._fd = self._fd, -1
        descriptors.close_own(descriptor, self._identity)

    def _close_left(self) -> None:
        """Give up the files that nobody made durable."""
        left, self._left = self._left, ()
        for file in left:
            descriptors.close_own(file[0], file[4])
