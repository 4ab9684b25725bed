"""Row 9's program: disks that are really full, and limits on the size of a file.

``full_disk.py KIND FOLDER ROUNDS SECONDS SEED``, KIND being ``tmpfs`` (as root, in a mount
namespace of its own: every round mounts a small disk) or ``limit`` (RLIMIT_FSIZE). In each round
events are recorded until well after the disk took its last byte, then there is space again, and
more are recorded. Prints what it counted.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import shutil
import signal
import sys
import time

from battery import oracle
from sacred.journal import EventType, JournalWriter, file_writer
from sacred.journal import epoch_writer as lower_half
from sacred.journal.verdicts import Foreign, Gap

MESSAGE = EventType.MESSAGE


class SmallDisk:
    """A tmpfs of some size, which can be given more."""

    def __init__(self, folder, rng):
        self.folder = folder
        self.size = 4096 * rng.randint(4, 40)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._mount(0, f"size={self.size}")
        self.ballast = os.path.join(folder, "ballast")
        with open(self.ballast, "wb") as file:  # so that the end is at any byte of a page
            file.write(bytes(rng.randrange(8192)))

    def _mount(self, flags, options):
        done = self._libc.mount(
            b"none", os.fsencode(self.folder), b"tmpfs", flags, options.encode()
        )
        if done:
            raise OSError(ctypes.get_errno(), "mount")

    def give_space(self):
        remount = 32
        self._mount(remount, "size=64m")

    def close(self):
        if self._libc.umount2(os.fsencode(self.folder), 2):
            raise OSError(ctypes.get_errno(), "umount")


class SmallFiles:
    """No file of this process may be larger than so many bytes."""

    def __init__(self, folder, rng):
        self.folder = folder
        self.size = rng.choice((rng.randint(1, 700), rng.randint(300, 20_000)))
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._limited = False

    def begin(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self._before[1]))

    def give_space(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    def close(self):
        self.give_space()
        for name in os.listdir(self.folder):
            shutil.rmtree(os.path.join(self.folder, name))


def round_of(kind, folder, seed):
    """Fill a disk under a journal, and judge what is read; return (kept, lost, epochs)."""
    rng = random.Random(seed)
    lower_half.RING_BYTES = rng.choice((2_000, 20_000, 4 << 20))
    durability = rng.choice(("process", "second", "event"))
    disk = SmallDisk(folder, rng) if kind == "tmpfs" else SmallFiles(folder, rng)
    faults = []
    try:
        journal = os.path.join(folder, "journal")
        writer = JournalWriter.create(journal, durability=durability, on_fault=faults.append)
        writer._rouse = lambda: None  # one thread: a failing round can be made again
        written = []
        synced, most_left = 0, 0

        def sync():
            nonlocal synced, most_left
            most_left = max(most_left, writer.epoch - synced)
            synced = writer.epoch
            return writer.sync()

        def say(count):
            for _ in range(count):
                text = f"event {len(written)} " + os.urandom(rng.randrange(150)).hex()
                writer.append(MESSAGE, level="info", text=text)
                written.append(text)
                if rng.random() < 0.02:
                    sync()

        say(2)
        if kind == "limit":
            disk.begin()
        said = 0
        while not faults and said < 5_000:
            say(20)
            said += 20
        if not faults:
            raise oracle.Broken("the disk never was full")
        say(rng.choice((3, 60)))  # more than the smallest ring holds
        disk.give_space()
        writer._retry_at = 0.0
        say(5)
        if writer.fault is not None:
            raise oracle.Broken(f"there is space, and the writer still says {writer.fault}")
        promised = sync()
        writer.close()
        # Of more files than are kept open until a sync, it does not vouch for the first ones.
        if not promised and most_left <= file_writer._LEFT_FILES:
            raise oracle.Broken("sync() is False with space on the disk")
        return check(oracle.look(journal), written, writer)
    finally:
        disk.close()


def check(seen, written, writer):
    """Raise if anything is missing that no gap event counts, or counted that is there."""
    oracle.check_prefix(seen)
    read = [
        event
        for frame in seen.frames
        for event in frame.events
        if event.type in {MESSAGE, EventType.GAP}
    ]
    texts = [event.fields["text"] for event in read if event.type == MESSAGE]
    counted = sum(event.fields["count"] for event in read if event.type == EventType.GAP)
    lost = sum(loss.count for loss in writer.losses)
    if counted != lost:
        raise oracle.Broken(f"gap events count {counted}, the writer {lost}")
    if len(texts) + lost != len(written):
        raise oracle.Broken(f"{len(written)} written, {len(texts)} read, {lost} told to be lost")
    for verdict in seen.verdicts:
        # A file that met a fault is never written again: nothing whole stands behind its torn end.
        if isinstance(verdict, Foreign) or (isinstance(verdict, Gap) and not lost):
            raise oracle.Broken(str(verdict))
    left = iter(written)
    if not all(text in left for text in texts):
        raise oracle.Broken("the events came in another order, or others")
    if texts[-5:] != written[-5:]:
        raise oracle.Broken("with space again, events are missing")
    return len(texts), lost, writer.epoch


def main(kind, folder, rounds, seconds, seed):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    until, seed = time.monotonic() + float(seconds), int(seed)
    count = kept = lost = 0
    epochs = 0
    while count < int(rounds) or time.monotonic() < until:
        try:
            found = round_of(kind, folder, seed + count)
        except Exception as error:
            raise SystemExit(f"seed {seed + count}: {type(error).__name__}: {error}") from error
        count += 1
        kept, lost, epochs = kept + found[0], lost + found[1], max(epochs, found[2])
    print(json.dumps({"rounds": count, "kept": kept, "lost": lost, "epochs": epochs}))


if __name__ == "__main__":
    main(*sys.argv[1:])
