"""Make golden journals: run by hand, once for each; no test ever runs it.

::

    python tests/golden/make.py            makes those of journals/ that are not there yet
    python tests/golden/make.py --list     says which are there

A journal that is there is never made again, and a line of ``MANIFEST`` never changes: what was
written once has to be read for ever. To add one, add a function to a module of ``journals/`` and
run this; then look at its ``expected.jsonl`` with a critical eye, for it is what will be believed.

Files of another kind (sealed ones, as soon as something seals) are added the same way: a function
in ``journals/sealed.py`` writes an ordinary journal with ``Place.writer``, then seals
``place.journal`` with the package's own function.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

import xxhash
from golden import dump

from sacred.journal import EventType, JournalWriter, file_writer
from sacred.journal.codec import pack, unpack_all
from sacred.journal.frames import MAGIC, FrameDecoder, FrameEncoder, chain_after, frame_bounds
from sacred.journal.root import epoch_file_name

MANIFEST = HERE / "MANIFEST"
FOREIGN_ID = 0x0F0E_0D0C_0B0A_0908


class Clock:
    """A clock that goes on by 100.7 us with every look."""

    def __init__(self):
        self.now = 1_700_000_000_000_000_000
        self.back = 0

    def time_ns(self):
        self.now += 100_700
        return self.now

    def monotonic_ns(self):
        return self.now - 1_699_999_000_000_000_000 + self.back

    def sleep(self, seconds):
        self.now += int(seconds * 1_000_000_000)

    def set_back(self, seconds):
        """Put the wall clock back; the monotonic one goes on."""
        self.now -= int(seconds * 1_000_000_000)
        self.back += int(seconds * 1_000_000_000)


class Quiet(JournalWriter):
    """A writer without its background, so that the same calls give the same file."""

    def _rouse(self):
        pass


class Place:
    """One golden journal while it is made."""

    def __init__(self, path, name):
        self.path = path
        self.journal = path / "journal"
        self.id = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
        self.clock = Clock()
        self.pid = 4242
        time.time_ns, time.monotonic_ns = self.clock.time_ns, self.clock.monotonic_ns
        file_writer.own_identity = self.identity

    def identity(self):
        return {
            "host": "golden",
            "pid": self.pid,
            "process_start": self.pid / 4,
            "boot": "60144e64-0000-4000-8000-000000000001",
            "pid_namespace": "pid:[4026531836]",
            "wall": self.clock.time_ns(),
            "monotonic": self.clock.monotonic_ns(),
        }

    def writer(self, **options):
        return Quiet.create(self.journal, journal_id=self.id, **options)

    def another(self):
        """A writer of another process, which has no file yet."""
        self.pid += 1
        return Quiet(self.journal, self.id, "second", None, None)

    def child(self, parent):
        """What a fork makes of a writer; it claims its number with its first event."""
        child = self.another()
        child.number, child.epoch, child.next_seq = parent.number, parent.epoch, parent.next_seq
        child._after_fork_in_child()
        return child

    def resumed(self, epoch, **more):
        """The first writer in a later process, behind all that is there."""
        from sacred.journal import JournalReader

        at = {}
        for frame in JournalReader(self.journal).poll():
            at[frame.writer] = frame.after
        writer = self.another()
        writer.next_seq, writer._chain = at[0].next_seq, at[0].chain
        writer._open_epoch(epoch, "resume", **more)
        return writer

    def append(self, writer, kind, /, **fields):
        """An event a quarter of a second later."""
        self.clock.sleep(0.25)
        writer.append(kind, **fields)

    def messages(self, writer, count, first=0, size=0):
        """So many frames of one message each."""
        for number in range(first, first + count):
            self.clock.sleep(1)
            text = f"event {number}" + ", and so on" * size
            writer.append(EventType.MESSAGE, level="info", text=text)

    def points(self, writer, points):
        """Points that waited together; they are written as rows or as a table."""
        for point in points:
            writer._cells += (*point, self.clock.time_ns())
        writer.flush()

    def single(self, writer, points):
        """Points each of which is a frame."""
        for point in points:
            self.clock.sleep(1)
            writer.log_point(*point)

    def file(self, writer=0, epoch=1):
        return self.journal / epoch_file_name(writer, epoch)

    def frames(self, writer=0, epoch=1):
        return split(self.file(writer, epoch).read_bytes())

    def put(self, parts, writer=0, epoch=1):
        self.journal.mkdir(parents=True, exist_ok=True)
        self.file(writer, epoch).write_bytes(b"".join(parts))

    def simple(self, count=6):
        """An ordinary journal of one message a frame; its frames."""
        writer = self.writer()
        self.messages(writer, count, size=3)
        writer.close()
        return self.frames()

    def three_files(self, messages=2):
        """Three files, each begun because the one before was large."""
        writer = self.writer()
        for part in range(3):
            self.messages(writer, messages, messages * part)
            self.points(writer, [("loss", step, step / 4) for step in range(20)])
            if part < 2:
                writer._rotate()
        writer.close()

    def faulted(self):
        """Two files: what was not durable in the first stands again in the second.

        Returns the sequence number from which on it does.
        """
        writer = self.writer()
        self.messages(writer, 3)
        writer._sync_file()
        self.messages(writer, 3, 3)
        again = writer._ring[0][0]
        writer._fail(OSError(5, os.strerror(5)))
        self.messages(writer, 3, 6)
        writer.close()
        return again

    def built(self, *bodies, began=None):
        """A file whose frames hold the given lists of events, as another program may write it."""
        first = {
            "t": self.clock.time_ns(),
            "e": 1,
            "format": 1,
            "min_reader": 1,
            "features": [],
            "journal": self.id,
            "opened_by": "start",
            **self.identity(),
            "software": "another program 2.0",
            **(began or {}),
        }
        parts = [FrameEncoder().encode(self.content(0, 0, 0, [first]))]
        seq = chain = 0
        for body in bodies:
            count = sum(event.get("n", 1) if event.get("e") == 17 else 1 for event in body)
            parts.append(FrameEncoder().encode(self.content(seq, count, chain, body)))
            chain = chain_after(chain, b"".join(map(pack, body)))
            seq += count
        self.put(parts)
        return parts

    def content(self, seq, count, chain, events, **preamble):
        head = [
            0,
            preamble.get("journal", self.id),
            preamble.get("writer", 0),
            preamble.get("epoch", 1),
            seq,
            count,
            chain,
        ]
        return pack(head) + b"".join(map(pack, events))

    def message(self, text, **fields):
        return {"t": self.clock.time_ns(), "e": 135, "level": "info", "text": text, **fields}


def split(data):
    """The frames of a whole file."""
    frames, at = [], 0
    while at < len(data):
        bounds = frame_bounds(data, at)
        frames.append(data[at : bounds.end])
        at = bounds.end
    return frames


def content_of(frame):
    return FrameDecoder().decode(frame, frame_bounds(frame, 0).content_size)


def reframe(frame, preamble=None, events=None):
    """A frame again, checksum and all, with other numbers in its preamble or other events."""
    head, *rest = unpack_all(content_of(frame))
    for place, value in (preamble or {}).items():
        head[place] = value
    body = b"".join(map(pack, rest if events is None else events))
    return FrameEncoder().encode(pack(head) + body)


def head_of(frame):
    return unpack_all(content_of(frame))[0]


def chain_behind(frame):
    head = head_of(frame)
    return xxhash.xxh64_intdigest(content_of(frame)[len(pack(head)) :], head[6]) if head[5] else 0


def handmade(content, *, width, window=None, blocks=None, descriptor=0, checksum=True):
    """A frame made by hand: any width of the content size, with a window or without, any blocks."""
    flag = {1: 0, 2: 1, 4: 2, 8: 3}[width]
    lead = flag << 6 | (0 if window else 32) | (4 if checksum else 0) | descriptor
    size = len(content) - (256 if width == 2 else 0)
    parts = [MAGIC, bytes([lead]), window or b"", size.to_bytes(width, "little")]
    blocks = blocks or [(0, content)]
    for number, (kind, data) in enumerate(blocks):
        length = data[1] if kind == 1 else len(data)
        header = length << 3 | kind << 1 | (number == len(blocks) - 1)
        parts += [header.to_bytes(3, "little"), data[0] if kind == 1 else data]
    if checksum:
        parts.append(xxhash.xxh64_digest(content)[:3:-1])
    return b"".join(parts)


def flipped(frame, at, bit=0):
    return frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]


def float_of(number):
    """A float by its 64 bits."""
    return struct.unpack(">d", number.to_bytes(8, "big"))[0]


class Golden(NamedTuple):
    make: object
    what: str
    verdicts: tuple


GOLDENS: dict[str, Golden] = {}


def golden(what, *verdicts):
    """Register a function that makes a journal; ``verdicts`` are those that a reader has to give."""

    def register(make):
        name = make.__name__.replace("_", "-")
        GOLDENS[name] = Golden(make, what, verdicts)
        return make

    return register


def make(name):
    """Make one golden journal beside where it belongs, check it, and put it there."""
    what = GOLDENS[name]
    aside = HERE / f".{name}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    real = os.write, os.open, time.time_ns, time.monotonic_ns, file_writer.own_identity
    try:
        what.make(Place(aside, name))
    finally:
        os.write, os.open, time.time_ns, time.monotonic_ns, file_writer.own_identity = real
    found = dump.lines(aside)
    verdicts = tuple(line.get("verdict") or line.get("refused") for line in found)
    verdicts = tuple(filter(None, verdicts))
    if verdicts != what.verdicts:
        raise SystemExit(f"{name} should be read with {what.verdicts}, but gives {verdicts}")
    head = {"golden": name, "what": what.what, "verdicts": list(verdicts)}
    (aside / "expected.jsonl").write_text(dump.text([head, *found]), encoding="ascii")
    files = sorted(path for path in aside.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}/{path.relative_to(aside).as_posix()}\n"
        for path in files
    ]
    aside.rename(HERE / name)
    with open(MANIFEST, "a", encoding="ascii") as manifest:
        manifest.writelines(lines)
    return sum(path.stat().st_size for path in (HERE / name).rglob("*") if path.is_file())


def main():
    parser = argparse.ArgumentParser(description="Make the golden journals that are not there yet.")
    parser.add_argument("--list", action="store_true", help="say which are there")
    arguments = parser.parse_args()
    from golden import journals

    for name, what in journals.GOLDENS.items():
        there = (HERE / name).exists()
        if arguments.list:
            print("there  " if there else "missing", name, "-", what.what)
        elif not there:
            print(make(name), name)


if __name__ == "__main__":
    sys.modules["golden.make"] = sys.modules["__main__"]
    main()
