"""What survives a power cut: files are synced behind the writer, and what is durable is forgotten.

This is the middle of :class:`sacred.journal.writer.JournalWriter`: above the frames and files, and
below the events. Whoever calls a method that says so holds the lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sacred.journal import descriptors
from sacred.journal.epoch_writer import EpochWriter
from sacred.journal.root import fsync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.descriptors import Identity
    from sacred.journal.file_writer import Left


class DurableWriter(EpochWriter):
    """Makes durable what was written, without holding up who writes."""

    def _sync_file(self) -> None:
        """Make what was written durable, names included."""
        if self._is_frozen():
            return
        with self._sync_lock:
            begun = self._exclusively(self._begin_sync)
            if begun is None:
                return
            seq, left, descriptor, path, identity = begun
            good: list[Left] = []
            named = False
            failure: OSError | None = None
            try:
                for file in left:
                    with contextlib.suppress(OSError):
                        if not descriptors.is_anothers(file[0], file[4]):
                            descriptors.sync(file[0])
                            good.append(file)
                try:
                    if descriptor >= 0:
                        if descriptors.is_anothers(descriptor, identity):
                            raise OSError(errno.EBADF, "its file was closed by other code")
                        descriptors.sync(descriptor)
                    if good or not self._names_durable:
                        for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                            with contextlib.suppress(FileNotFoundError):  # the root was moved
                                fsync_folder(folder)
                        self._names_durable = path == self.path
                    named = True
                except OSError as error:
                    failure = error
            except BaseException:
                self._dirty = True
                raise
            finally:
                descriptors.close_own(descriptor, identity)
                self._exclusively(self._end_left, left, good if named else [])
            if descriptor >= 0:
                self._exclusively(self._end_sync, seq, path, failure)

    def _begin_sync(self) -> tuple[int, tuple[Left, ...], int, Path, Identity] | None:
        """Return what will be durable, and descriptors by which. Holds the lock."""
        self._dirty = False
        if not self._can_sync:
            self._has_its_file()
            return None
        descriptor = -1
        if self._has_its_file():
            try:
                # A descriptor of its own: a fault in another thread closes the writer's.
                descriptor = descriptors.duplicate(self._fd)
            except OSError:
                self._dirty = True  # too many are open: the next turn tries again
        left, self._left = self._left, ()
        if descriptor < 0 and not left:
            return None
        return self.next_seq, left, descriptor, self.path, self._identity

    def _end_left(self, left: tuple[Left, ...], good: list[Left]) -> None:
        """Forget what is durable in files that were left, and doubt the others. Holds the lock."""
        for file in left:
            descriptors.close_own(file[0], file[4])
            if file not in good:
                self._suspect_all(file)
            elif file[1] == self.number:
                self._has_made_durable(file[2])

    def _has_made_durable(self, seq: int) -> None:
        """Forget what is durable. Holds the lock."""
        self._in_doubt = self._in_doubt or self._is_doubtful()
        self.durable_seq = max(self.durable_seq, seq)
        self._forget_below(seq)

    def _has_its_file(self) -> bool:
        """Return whether the file still has a name; a fault if not. Holds the lock.

        Somebody may have removed it: what goes there would be gone with the process. Or sealed it,
        by force: then it goes on behind what the sealed file has (R4). A root that was moved takes
        the open file along.
        """
        if self._fd < 0 or self.fault is not None:
            return False
        try:
            state = self._look_at_file()
        except OSError as error:
            # It stands under its name with all that is in it: nothing of that is lost.
            self._fail_to_write(error, min(self._sure, self.next_seq))
            return False
        if state is None or state.st_nlink:
            return True
        self._go_on_without_its_file()
        return False

    def _go_on_without_its_file(self) -> None:
        """Have what is in memory written anew, and tell what was in that file alone. Holds the lock."""
        error = OSError(errno.ENOENT, "its file was removed")
        first = known = self._file_seq
        try:
            first = known = self._sealed_until(first)
        except OSError as problem:
            # Nobody knows what stands there. A reader misses what is gone; what is told to be lost
            # and is there would be missed by nobody, should it be damaged later.
            error, known = problem, self.next_seq
        self._forget_below(first)
        kept = self._ring[0][0] if self._ring else self.next_seq
        self._fail(error, kept)
        if kept > known:
            self._lose(known, kept - known)

    def _sealed_until(self, first: int) -> int:
        """Return where the sealed file ends that took the place of ours; ``first`` if none did."""
        from sacred.journal.regular_file import open_regular
        from sacred.journal.seal_index import read_index

        try:
            descriptor = open_regular(self.path)
        except FileNotFoundError:
            return first
        try:
            index = read_index(descriptor)
        finally:
            os.close(descriptor)
        return index.next_seq if index is not None and index.first_seq == first else first

    def _end_sync(self, seq: int, path: Path, failure: OSError | None) -> None:
        """Forget what is durable, or give the file up. Holds the lock."""
        if failure is None:
            if path == self.path:
                self._has_made_durable(seq)
        elif not self._give_up_syncing(failure):
            # Never a second fsync of the same file: the kernel has forgotten the pages.
            for file in [file for file in self._left if file[3] == path]:
                self._left = tuple(other for other in self._left if other is not file)
                self._suspect_all(file)
                descriptors.close_own(file[0], file[4])
            if path == self.path:
                self._suspect = max(self._suspect, self.next_seq)
                self._fail(failure)

    def _forget_below(self, seq: int) -> None:
        """Keep what must perhaps be written again only. Holds the lock."""
        ring = self._ring
        while ring and ring[0][0] + ring[0][1] <= seq:
            self._ring_bytes = max(0, self._ring_bytes - len(ring.popleft()[3]))
