"""What has to be read in a journal that was harmed: told from the bytes, not by the reader.

Of a file that was harmed, exactly the frames count whose bytes stand in it as they were written.
From their numbers follows all that a reader has to say: which events it gives, and which it names
as lost.
"""

from __future__ import annotations

from typing import NamedTuple

import zstandard

from battery.oracle import Broken
from sacred.journal import JournalReader, Position
from sacred.journal.root import epoch_file_name, parse_epoch_file_name
from sacred.journal.verdicts import Foreign, Gap, Tail


class Expected(NamedTuple):
    """What is to be read.

    Attributes
    ----------
    frames
        Those that give events, in order.
    lost
        {(writer, first, next)} that must be named, and nothing else.
    rest
        The file names that hold bytes which are no frame of theirs.
    told
        Those of them of which something has to be said.
    ends
        Per file name where its last frame ends.
    doubles
        {(file name, offset, size)} of frames that stand there once more.
    """

    frames: list
    lost: set
    rest: set
    told: set
    ends: dict
    doubles: set


class Read(NamedTuple):
    """What a reader said."""

    frames: list
    verdicts: list
    tails: list
    known: bool


def read(folder, position=None):
    """Read a journal that holds anything: it may raise nothing."""
    reader = JournalReader(folder, position)
    try:
        frames = [frame for frame in reader.poll() if frame.count]
        return Read(frames, reader.verdicts, reader.tails(), bool(reader.journal_id))
    finally:
        reader.close()


def _standing(known, data, harmless):
    """Return (offset, frame) of the frames that stand where they were written."""
    return [
        (frame.start, frame)
        for frame in known
        if data[frame.start : frame.end] == frame.raw
        or (harmless and _decodes(data[frame.start : frame.end], frame.raw))
    ]


def _decodes(piece, raw):
    """Tell whether a frame that was harmed still is one of the same content."""
    decoder = zstandard.ZstdDecompressor()
    try:
        found = decoder.decompress(piece, allow_extra_data=False)
    except zstandard.ZstdError:
        return False
    return found == decoder.decompress(raw)


def _anywhere(known, data):
    """Return (offset, frame) of the frames that stand anywhere, but not within each other."""
    found = []
    for frame in known:
        at = data.find(frame.raw)
        while at >= 0:
            found.append((at, frame))
            at = data.find(frame.raw, at + 1)
    found.sort(key=lambda item: (item[0], -len(item[1].raw)))
    kept, end = [], 0
    for at, frame in found:
        if at >= end:
            kept.append((at, frame))
            end = at + len(frame.raw)
    return kept


def expect(corpus, harmed, *, moved=False, harmless=False, start=None):
    """Tell what is to be read.

    Parameters
    ----------
    corpus
        The journal as it was.
    harmed
        Bytes by file name, of the files that are not as they were.
    moved
        Frames may stand elsewhere than they did.
    harmless
        Also a frame counts whose bytes were harmed and whose content was not.
    start
        (writer, position) where reading begins; the frame behind it is whole.
    """
    found, rest, ends = {}, set(), {}
    for name, known in corpus.frames.items():
        data = harmed.get(name)
        if data is None:
            found[name] = [(frame.start, frame) for frame in known]
            ends[name] = corpus.ends[name]
            continue
        standing = _anywhere(known, data) if moved else _standing(known, data, harmless)
        size = len(data)
        if corpus.sealed:
            for number, (at, frame) in enumerate(standing):
                if frame is known[-1]:  # behind the end of a sealed file nothing is read
                    del standing[number + 1 :]
                    size = at + len(frame.raw)
                    break
        found[name] = standing
        ends[name] = max((at + len(frame.raw) for at, frame in standing), default=0)
        # A sealed file was whole once: cut where a frame ends, it lacks its end all the same.
        cut = corpus.sealed and all(frame is not known[-1] for _, frame in standing)
        if sum(len(frame.raw) for _, frame in standing) < size or (cut and standing):
            rest.add(name)
    frames, lost, doubles, unsaid = [], set(), set(), set()
    writers = {}
    for name in corpus.frames:
        writer, epoch = parse_epoch_file_name(name)
        writers.setdefault(writer, []).append((epoch, name))
    for writer, files in sorted(writers.items()):
        firsts = {epoch: found[name][0][1].first_seq for epoch, name in files if found[name]}
        next_seq, skip_epoch, skip_offset = 0, 0, 0
        if start is not None and start[0] == writer:
            next_seq, skip_epoch = start[1].next_seq, start[1].epoch
            skip_offset = start[1].offset
        for epoch, name in sorted(files):
            if epoch < skip_epoch:
                continue
            horizon = min((first for e, first in firsts.items() if e > epoch), default=None)
            if horizon is not None:  # what is lost here is told by what the next file lacks
                unsaid.add(name)
            walked, read_to, began = 0, 0, False
            for at, frame in found[name]:
                if epoch == skip_epoch and at < skip_offset:
                    read_to = skip_offset
                    continue
                end = frame.first_seq + frame.count
                # Behind damage only a later frame shows that the file goes on.
                if at > read_to and (end < next_seq or (frame.count and end == next_seq)):
                    continue
                read_to = at + len(frame.raw)
                if not frame.count:
                    if began and frame is corpus.frames[name][0]:
                        doubles.add((name, at, len(frame.raw)))
                        continue
                    began = True
                    if frame.first_seq > next_seq:
                        lost.add((writer, next_seq, frame.first_seq))
                        next_seq = frame.first_seq
                    continue
                if horizon is not None and end > horizon:
                    continue
                began = True
                if frame.first_seq < walked:
                    doubles.add((name, at, len(frame.raw)))
                    continue
                walked = end
                if end <= next_seq:
                    continue
                if frame.first_seq > next_seq:
                    lost.add((writer, next_seq, frame.first_seq))
                frames.append(frame)
                next_seq = end
    return Expected(frames, lost, rest, rest - unsaid, ends, doubles)


def differences(corpus, expected, found):
    """Say what is not as it has to be; None if all is."""
    got = [(f.writer, f.epoch, f.first_seq, f.count) for f in found.frames]
    wanted = [(f.writer, f.epoch, f.first_seq, f.count) for f in expected.frames]
    if got != wanted:
        return f"frames {got} instead of {wanted}"
    for frame, known in zip(found.frames, expected.frames, strict=True):
        if frame.events != known.events and repr(frame.events) != repr(known.events):
            return f"other events in {got}"
    named = {
        (verdict.writer, verdict.first_seq, verdict.next_seq)
        for verdict in found.verdicts
        if isinstance(verdict, Gap) and verdict.first_seq < verdict.next_seq
    }
    if named != expected.lost:
        return f"lost {named} instead of {expected.lost}: {found.verdicts}"
    if found.known:
        said = {epoch_file_name(v.writer, v.epoch) for v in (*found.verdicts, *found.tails)}
        if not expected.told <= said:
            return f"nothing is said of {expected.told - said}: {found.verdicts} {found.tails}"
        foreign = {
            (epoch_file_name(verdict.writer, verdict.epoch), verdict.offset, verdict.size)
            for verdict in found.verdicts
            if isinstance(verdict, Foreign)
        }
        if not expected.doubles <= foreign:
            return f"not said to be double: {expected.doubles - foreign}: {found.verdicts}"
    elif expected.frames:
        return "no journal, though frames are whole"
    if not expected.rest and not expected.lost and not expected.doubles:
        tails = [verdict for verdict in found.verdicts if isinstance(verdict, Tail)]
        # What stands behind the end of a sealed file is named and not read: row 4 looks at it.
        foreign = any(
            isinstance(v, Foreign) and v.offset < expected.ends[epoch_file_name(v.writer, v.epoch)]
            for v in found.verdicts
        )
        if found.tails or tails or foreign:
            return f"{found.verdicts} {found.tails} of what is not harmed"
    return None


def check(corpus, harmed, *, moved=False, start=None, what=""):
    """Read what was harmed, and raise if it is not read as it has to be.

    Returns
    -------
    What the reader said, what was expected, and whether a frame was harmed in vain.
    """
    position = None if start is None else Position({start[0]: start[1]})
    found = read(corpus.folder, position)
    expected = expect(corpus, harmed, moved=moved, start=start)
    wrong = differences(corpus, expected, found)
    if wrong is None:
        return found, expected, False
    if not moved:
        gentle = expect(corpus, harmed, harmless=True, start=start)
        if differences(corpus, gentle, found) is None:
            return found, gentle, True
    raise Broken(f"{corpus.name}, {what}: {wrong}")
