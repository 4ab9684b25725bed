"""Which runs of a view this process writes: another replayer then leaves them alone.

A lock saves two replayers from doing the same work; it is not what keeps a view right, which is the
guard of each write. It is a byte of ``<root>/.cache/replayers/<view>.lock``, at the run's number, and
ends with the process, however that ends. Where no lock can be had (a root that is read-only, a file
system that has none), every replayer writes, and the guards decide.
"""

from __future__ import annotations

import os
import sys
import threading
import zlib
from typing import TYPE_CHECKING

from sacred.journal.regular_file import open_regular

if TYPE_CHECKING:
    from sacred.journal.root import RunFolder

__all__ = ["give_back_view", "is_taken", "take_view"]

_lock = threading.Lock()
#: By the lock file: its descriptor, and the bytes that this process holds. All locks of a process
#: on a file go when it closes any descriptor of it: there is one, and it is closed with the last.
_held: dict[str, tuple[int, set[int]]] = {}


def take_view(folder: RunFolder, key: str) -> bool:
    """Take a run in a view; False if another replayer has it, in this process or in another.

    Parameters
    ----------
    folder
        Of the run.
    key
        ``SinkSpec.key`` of the view.
    """
    name, place = _name(folder, key), _place(folder)
    with _lock:
        descriptor, places = _held.get(name, (-1, set()))
        if place in places:
            return False
        if descriptor < 0:
            descriptor = _opened(name)
        if descriptor >= 0 and not _try(descriptor, place):
            if not places:
                os.close(descriptor)
            return False
        places.add(place)
        _held[name] = (descriptor, places)
        return True


def give_back_view(folder: RunFolder, key: str) -> None:
    """Give back what ``take_view`` took."""
    name, place = _name(folder, key), _place(folder)
    with _lock:
        descriptor, places = _held.get(name, (-1, set()))
        places.discard(place)
        if not places:
            _held.pop(name, None)
            if descriptor >= 0:
                os.close(descriptor)
        elif descriptor >= 0:
            import fcntl

            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, place)


def is_taken(folder: RunFolder, key: str) -> bool | None:
    """Tell whether a replayer has a run in a view, without taking it; None where nobody can tell."""
    name, place = _name(folder, key), _place(folder)
    with _lock:
        descriptor, places = _held.get(name, (-1, set()))
        if place in places:
            return True
        if sys.platform != "linux":  # the form of a question is each system's own
            return None
        import fcntl
        import struct

        own = -1
        try:
            if descriptor < 0:
                own = descriptor = open_regular(name)
            asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
            found = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
            return bool(struct.unpack("hhqqi", found)[0] != fcntl.F_UNLCK)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        finally:
            if own >= 0:
                os.close(own)


def _name(folder: RunFolder, key: str) -> str:
    return str(folder.root.path / ".cache" / "replayers" / f"{key}.lock")


def _place(folder: RunFolder) -> int:
    # Beyond all numbers of runs that there may be.
    return folder.number or (1 << 61) + zlib.crc32(os.fsencode(folder.path))


def _opened(name: str) -> int:
    if os.name == "nt":
        return -1
    try:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        return open_regular(name, os.O_RDWR | os.O_CREAT)
    except OSError:
        return -1


def _try(descriptor: int, place: int) -> bool:
    import errno
    import fcntl

    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except OSError as error:
        return error.errno not in {errno.EACCES, errno.EAGAIN}
    return True
