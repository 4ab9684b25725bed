"""Row 10's program: an ext4 file system that is shut down under a writer, and mounted again.

``power_cut.py FOLDER ROUNDS SECONDS SEED``: as root, in a mount namespace of its own. The shutdown
drops everything that the file system did not write to its device, its log included
(FS_IOC_SHUTDOWN with NOLOGFLUSH). Prints what it counted.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time

from battery import oracle
from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter
from sacred.journal import epoch_writer as lower_half

_SHUTDOWN = 0x8004587D
_NOLOGFLUSH = 2
OPTIONS = ("data=ordered", "data=writeback", "nodelalloc", "commit=1")
MESSAGE = EventType.MESSAGE


class Disk:
    """An image with ext4 in it."""

    def __init__(self, folder):
        self.image = os.path.join(folder, "image")
        self.place = os.path.join(folder, "disk")
        self.mounted = False
        os.mkdir(self.place)
        with open(self.image, "wb") as file:
            file.truncate(24 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)

    def mount(self, options):
        command = ["mount", "-o", f"loop,{options}", self.image, self.place]
        subprocess.run(command, check=True)
        self.mounted = True

    def cut(self):
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(descriptor)

    def unmount(self):
        for _ in range(100):
            done = subprocess.run(["umount", self.place], check=False, capture_output=True)
            if done.returncode == 0:
                self.mounted = False
                return
            time.sleep(0.02)  # something of the killed process is still being closed
        raise RuntimeError(done.stderr.decode())


def write(root, rng, pipe):
    """Write until the end; tell what sync() promised, and which blob."""
    lower_half.EPOCH_BYTES = rng.choice((3_000, 1 << 28))
    store = BlobStore(root.blobs)
    run = root.claim()
    writer = JournalWriter.create(run.journal, durability=rng.choice(("second", "event")))
    writer._rouse = lambda: None
    number = 0
    while True:
        for _ in range(rng.randint(1, 12)):
            text = f"{number} " + "x" * rng.choice((5, 80, 3000))
            writer.append(MESSAGE, level="info", text=text)
            writer.log_point("loss", number, number / 7)
            number += 1
        if rng.random() < 0.3:
            blob = store.put_bytes(os.urandom(rng.choice((10, 70_000)))).blob
            fields = {"name": f"{number}", "filename": "/a", "blob": blob}
            writer.append(EventType.ARTIFACT_ADDED, **fields)
        if rng.random() < 0.3 and writer.sync():
            told = struct.pack("<QQ", int(run.path.name), writer.durable_seq)
            os.write(pipe, told)


def round_of(disk, seed, epochs):
    """Cut the power under a writer; return how many events were promised."""
    rng = random.Random(seed)
    disk.mount(OPTIONS[seed % len(OPTIONS)])
    root = JournalRoot(os.path.join(disk.place, "sacred_runs"))
    if epochs == 0:
        root.create()
        os.sync()  # the root was there long before
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write(root, rng, writing)
        finally:
            os._exit(9)
    os.close(writing)
    told = os.read(reading, 16)
    time.sleep(rng.random() * 0.02)
    # Only what was told before the cut began: while ext4 is being shut down fdatasync returns 0 for
    # bytes that are gone, also to a program that does nothing but write and fdatasync.
    os.set_blocking(reading, False)
    try:
        told += os.read(reading, 1 << 16)
    except BlockingIOError:
        pass
    disk.cut()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    disk.unmount()
    disk.mount(OPTIONS[seed % len(OPTIONS)])
    try:
        run, durable = struct.unpack("<QQ", told[:16])
        for at in range(0, len(told) - 15, 16):
            durable = max(durable, struct.unpack_from("<QQ", told, at)[1])
        store = BlobStore(root.blobs)
        for folder in root.runs():
            seen = oracle.look(folder.journal)
            oracle.check_prefix(seen)
            if folder.number == run:
                oracle.check_kept(seen, {0: [(0, durable)]})
                for frame in seen.frames:
                    for event in frame.events:
                        if event.type == EventType.ARTIFACT_ADDED:
                            store.check(event.fields["blob"].digest)
        if run not in root.numbers():
            raise oracle.Broken(f"run {run} was promised, and is not there")
        subprocess.run(["rm", "-rf", os.path.join(disk.place, "sacred_runs", str(run))], check=True)
        subprocess.run(["rm", "-rf", root.blobs], check=True)
    finally:
        disk.unmount()
    return durable


def main(folder, rounds, seconds, seed):
    until, seed = time.monotonic() + float(seconds), int(seed)
    count = kept = 0
    disk = Disk(folder)
    try:
        while count < int(rounds) or time.monotonic() < until:
            try:
                kept += round_of(disk, seed + count, count)
            except Exception as error:
                raise SystemExit(f"seed {seed + count}: {type(error).__name__}: {error}") from error
            count += 1
    finally:
        if disk.mounted:
            subprocess.run(["umount", "-l", disk.place], check=False)
    print(json.dumps({"rounds": count, "kept": kept}))


if __name__ == "__main__":
    main(*sys.argv[1:])
