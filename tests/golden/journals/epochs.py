"""Golden journals of several files and several writers."""

from __future__ import annotations

import errno
import os

from golden.journals.samples import START, E
from golden.make import (
    golden,
    head_of,
    reframe,
)

from sacred.journal import epoch_writer


@golden("three files, each begun because the one before was large")
def epochs_rotation(place):
    place.three_files()


class _Fault:
    """A disk that takes a part of the next frame and then refuses for some calls."""

    def __init__(self, taken, error=errno.EIO, opens=0):
        self.taken, self.error, self.opens = taken, error, opens
        self.real = os.write, os.open
        os.write, os.open = self.write, self.open

    def write(self, descriptor, data):
        os.write = self.real[0]
        if self.taken:
            self.real[0](descriptor, data[: self.taken])
        if self.taken is None:
            self.real[0](descriptor, data)
        raise OSError(self.error, os.strerror(self.error))

    def open(self, path, flags, *args, **options):
        if flags & os.O_CREAT and self.opens:
            self.opens -= 1
            raise OSError(self.error, os.strerror(self.error))
        return self.real[1](path, flags, *args, **options)


@golden("a write that tore a frame: what was not durable stands again in the next file", "tail")
def epochs_fault_torn(place):
    writer = place.writer()
    place.messages(writer, 3)
    writer._sync_file()
    place.messages(writer, 3, 3)
    _Fault(20)
    place.messages(writer, 3, 6)
    writer.close()


@golden("a write that failed without a byte, then one that was whole and said to have failed")
def epochs_fault_whole(place):
    writer = place.writer()
    place.messages(writer, 2)
    _Fault(0)
    place.messages(writer, 2, 2)
    _Fault(None)
    place.messages(writer, 2, 4)
    writer.close()


@golden("faults one after the other, a rotation and a resume: five files", "tail", "tail")
def epochs_of_all_kinds(place):
    writer = place.writer()
    place.messages(writer, 2)
    _Fault(9)
    place.messages(writer, 2, 2)
    _Fault(50)
    place.points(writer, [("loss", step, step / 4) for step in range(30)])
    writer._sync_file()
    writer._rotate()
    place.messages(writer, 1, 4)
    writer.close()
    writer = place.resumed(writer.epoch + 1)
    place.messages(writer, 2, 5)
    writer.close()


@golden(
    "a disk that refused for so long that events were lost, and are named by a gap event", "gap"
)
def epochs_gap(place):
    writer = place.writer()
    place.messages(writer, 2)
    writer._sync_file()
    frames, epoch_writer.RING_FRAMES = epoch_writer.RING_FRAMES, 2
    fault = _Fault(0, errno.ENOSPC, opens=100)
    place.messages(writer, 6, 2)
    fault.opens = 0
    epoch_writer.RING_FRAMES = frames
    writer._exclusively(lambda: writer._try_again(force=True))
    place.messages(writer, 2, 8)
    writer.close()


@golden("a writer whose next file was taken goes on under a new number")
def epochs_superseded(place):
    writer = place.writer()
    place.messages(writer, 3)
    writer._sync_file()
    other = place.resumed(2)
    place.messages(other, 2, 3)
    place.pid -= 1
    _Fault(0)
    place.messages(writer, 2, 100)
    place.messages(other, 2, 5)
    other.close()
    writer.close()


@golden("a kill while the next file was made: an empty one, and the hidden one", "tail")
def epoch_half_made(place):
    parts = place.simple(4)
    place.put([*parts[:-1], parts[-1][:-7]])
    place.put([], epoch=2)
    hidden = place.journal / f".0badcafe-{place.file(0, 2).name}"
    hidden.write_bytes(reframe(parts[0], {3: 2})[:50])


@golden("a file of which only the name is there")
def empty_file(place):
    place.put([])


@golden("a second file of which only the name is there")
def empty_second_file(place):
    place.simple(3)
    place.put([], epoch=2)


@golden("an empty file between two whole ones")
def empty_file_between(place):
    parts = place.simple(4)
    place.put(parts[:3])
    place.put([], epoch=2)
    began = reframe(parts[0], {3: 3, 4: 2, 6: head_of(parts[3])[6]})
    place.put([began, *[reframe(part, {3: 3}) for part in parts[3:]]], epoch=3)


@golden("a child that logs beside its parent")
def child(place):
    parent = place.writer()
    place.append(parent, E.RUN_STARTED, **START)
    forked = place.child(parent)
    place.single(forked, [("child/loss", step, step / 2) for step in range(3)])
    place.messages(parent, 2)
    place.append(parent, E.CHILD_SEEN, writer=1)
    place.points(forked, [("child/loss", step, step / 2) for step in range(3, 30)])
    place.append(forked, E.CHILD_ENDED, status="exit 0")
    place.append(parent, E.RUN_ENDED, how="completed", status="COMPLETED")
    forked.close()
    parent.close()


@golden("three children, one of a child, one of which nothing but the name of its file is there")
def children(place):
    parent = place.writer()
    first, second = place.child(parent), place.child(parent)
    place.messages(first, 2)
    place.messages(second, 2, 10)
    place.messages(parent, 1, 20)
    third = place.child(second)
    place.messages(third, 1, 30)
    for writer in (third, second, first, parent):
        writer.close()
    place.put([], writer=4)


@golden("two writers whose clocks were put back: by time, each in its own order")
def writers_by_time(place):
    first = place.writer()
    for when in (10, 30, 20, 50):
        first.append(E.MESSAGE, level="info", text=f"w0 {when}", time_ns=when)
    second = place.child(first)
    second.append(E.CHILD_BEGAN, kind="worker", time_ns=12)
    for when in (15, 25, 40):
        second.append(E.MESSAGE, level="info", text=f"w1 {when}", time_ns=when)
    first.close()
    second.close()


@golden("numbers of more than four digits")
def writers_of_many_digits(place):
    parts = place.simple(2)
    place.put([reframe(part, {2: 12345, 3: 67890}) for part in parts], 12345, 67890)


@golden("a child's file without any of its parent's")
def child_alone(place):
    parts = place.simple(3)
    place.put([reframe(part, {2: 3}) for part in parts], 3)
    place.file().unlink()
