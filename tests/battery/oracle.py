"""What may be read after anything happened: a prefix without a hole, or the hole has a name."""

from __future__ import annotations

from typing import NamedTuple

from sacred.journal import EventType, JournalReader
from sacred.journal.errors import NotAJournalError
from sacred.journal.verdicts import Gap


class Broken(AssertionError):
    """A promise did not hold."""


class Seen(NamedTuple):
    """What a reader found in a folder."""

    frames: list
    verdicts: list
    tails: list
    reader: JournalReader | None


def look(folder):
    """Read a journal once; a folder that holds none is an empty one."""
    try:
        reader = JournalReader(folder)
    except NotAJournalError:
        return Seen([], [], [], None)
    try:
        frames = list(reader.poll())
        return Seen(frames, list(reader.verdicts), reader.tails(), reader)
    finally:
        reader.close()


def content(event):
    """Return an event as plain values that can be compared."""
    fields = event.fields
    if event.type == EventType.METRIC_TABLE:
        table = fields["table"]
        rows = [list(map(list, (table.names(), table.times, table.steps, table.values)))]
        return event.seq, event.type, event.time, repr(rows)
    return event.seq, event.type, event.time, fields


def by_writer(frames):
    """Return each writer's frames that take sequence numbers, in the order they were read."""
    writers = {}
    for frame in frames:
        if frame.count:
            writers.setdefault(frame.writer, []).append(frame)
    return writers


def named_holes(seen):
    """Return (writer, first, next) of all that is said to be missing: by a verdict or a gap event."""
    holes = [(v.writer, v.first_seq, v.next_seq) for v in seen.verdicts if isinstance(v, Gap)]
    for frame in seen.frames:
        for event in frame.events:
            if event.type == EventType.GAP:
                first = event.fields["first_seq"]
                holes.append((event.fields["writer"], first, first + event.fields["count"]))
    return holes


def present(seen):
    """Return the sequence numbers that were read: per writer a list of [first, next)."""
    return {
        writer: [(frame.first_seq, frame.first_seq + frame.count) for frame in frames]
        for writer, frames in by_writer(seen.frames).items()
    }


def check_prefix(seen):
    """Raise if a sequence number comes twice, or is missing and nobody says so."""
    holes = None
    for writer, ranges in present(seen).items():
        next_seq = 0
        for first, end in ranges:
            if first < next_seq:
                raise Broken(f"writer {writer}: event {first} again behind {next_seq - 1}")
            if first > next_seq:
                holes = named_holes(seen) if holes is None else holes
                for seq in range(next_seq, first):
                    if not any(w == writer and a <= seq < b for w, a, b in holes):
                        raise Broken(f"writer {writer}: event {seq} is missing, and not named")
            next_seq = end


def check_kept(seen, required):
    """Raise if an event is missing that was promised to be there.

    Parameters
    ----------
    seen
        What was read.
    required
        Per writer the ranges [first, next) of sequence numbers that must be there.
    """
    there = present(seen)
    for writer, ranges in required.items():
        have = {seq for first, end in there.get(writer, ()) for seq in range(first, end)}
        for first, end in ranges:
            for seq in range(first, end):
                if seq not in have:
                    raise Broken(f"writer {writer}: event {seq} was promised, and is not there")


def texts(seen):
    """Return the texts of all messages that were read."""
    return [
        event.fields["text"]
        for frame in seen.frames
        for event in frame.events
        if event.type == EventType.MESSAGE
    ]
