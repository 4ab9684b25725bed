"""A run whose output goes through a spool: as it is printed, and as readers see it."""

from __future__ import annotations

import os
import time

from battery.oracle import Broken, named_holes
from sacred.analysis.details import spool_beyond
from sacred.journal import EventType, JournalReader, JournalWriter, RunFolder
from sacred.journal import writer as writers
from sacred.journal.spool import encode_record
from sacred.replayers.projection import RunProjection

NAME = "w0000.spool"
#: What a run tells when it begins; no reader needs more of it.
START = {
    "run_id": 1,
    "name": "printing",
    "command": "main",
    "config": {},
    "meta": {},
    "experiment": {"name": "printing"},
    "host": {},
}


def line(number):
    """Return what is printed as the how-manieth, in a length of its own."""
    return b"%d %s\n" % (number, b"." * (number * 37 % 90))


class Spool:
    """The spool of a run, written as the process that copies the output does it."""

    def __init__(self, journal, begin=0):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self.descriptor = os.open(os.path.join(journal, NAME), flags, 0o666)
        size = os.fstat(self.descriptor).st_size
        if size < begin:  # zeros: readers know the output by its place
            os.write(self.descriptor, bytes(begin - size))
        self.end = max(begin, size)

    def print(self, data):
        """Write one record; return where it begins and ends."""
        record = encode_record(1, time.time_ns(), data)
        if os.write(self.descriptor, record) != len(record):
            raise OSError("the spool took a part of a record")
        begin, self.end = self.end, self.end + len(record)
        return begin, self.end

    def close(self):
        os.close(self.descriptor)


def begin_run(writer):
    """Record that a run began."""
    writer.append(EventType.RUN_STARTED, **START)


def kill(folder):
    """Leave the journal's writers in this process as SIGKILL does: nothing is written any more."""
    for writer in list(writers._living):
        if writer.folder == folder:
            kill_one(writer)


def kill_one(writer):
    """Do so with one writer."""
    writer.closed = True
    writer._cells.clear()
    writer._pending.clear()
    writer._piece = None
    writer._close_file()
    writer._close_left()
    writers._living.discard(writer)


def output(journal):
    """Return what readers see that was printed: the fold of the journal, and the spool behind it."""
    projection, text = RunProjection(), ""
    reader = JournalReader(journal)
    for event in reader.read(order="time"):
        projection.apply(event)
    reader.close()
    if change := projection.take_output():
        text = change.text
    rest = spool_beyond(RunFolder(journal.parent, 1), projection.spool_end)
    return text + b"".join(chunk.data for chunk in rest).decode()


def lines(journal):
    """Return the numbers of the lines that readers see, in their order."""
    text = output(journal)
    found = []
    for number, entry in enumerate(text.splitlines()):
        first = entry.split(" ", 1)[0]
        if not first.isdigit() or line(int(first)).decode() != entry + "\n":
            raise Broken(f"line {number} was never printed: {entry[:80]!r}")
        found.append(int(first))
    return found


def check_lines(journal, least, most):
    """Raise if not all lines are seen, each once and in order; return how many there are."""
    found = lines(journal)
    if found != list(range(len(found))):
        twice = sorted({number for number in found if found.count(number) > 1})
        raise Broken(f"lines {found[:50]}: {twice} come twice")
    if not least <= len(found) <= most:
        raise Broken(f"{len(found)} lines are seen, {least} to {most} were printed")
    return len(found)


def check_output(seen, spool, printed, least):
    """Raise if output is in the journal twice, was never printed, or is missing.

    Parameters
    ----------
    seen
        What was read of the journal.
    spool
        The bytes of the spool; empty where there is none.
    printed
        By the offset at which each piece begins, where it ends and what it is.
    least
        So far (an offset) it has to be there, in the journal or in the spool.
    """
    end = 0
    for frame in seen.frames:
        for event in frame.events if frame.writer == 0 else ():
            if event.type != EventType.OUTPUT:
                continue
            begin, behind = event.fields["begin"], event.fields["end"]
            if begin < end:
                raise Broken(f"output {begin} to {behind} again, behind {end}")
            if begin > end and not named_holes(seen):
                raise Broken(f"output {end} to {begin} is missing, and not named")
            if printed.get(begin) != (behind, event.fields["data"]):
                raise Broken(f"output {begin} to {behind} was never printed")
            end = behind
    while end < least:
        behind, data = printed.get(end, (0, b""))
        if not data or not spool[end:behind].endswith(data):
            raise Broken(f"output from {end} on is lost; {least} bytes of it were there")
        end = behind


def writer_of(journal, **options):
    """Begin the journal of a run that prints."""
    writer = JournalWriter.create(journal, **options)
    begin_run(writer)
    return writer
