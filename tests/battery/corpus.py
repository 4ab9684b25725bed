"""Small journals of every kind, live and sealed, which the battery then harms.

They are made anew by whatever writes journals now (tests/golden keeps what was written once), with
a clock that stands still but for us: the same names give the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from golden.journals.samples import START, E
from golden.make import Place

from sacred.journal import JournalReader, file_writer, sealer
from sacred.journal.epoch_file import EpochFile, NotYet
from sacred.journal.frames import FrameEncoder
from sacred.journal.root import parse_epoch_file_name


class Known(NamedTuple):
    """A frame as it was written: where it lies in which file, and what a reader makes of it."""

    path: str
    start: int
    end: int
    writer: int
    epoch: int
    first_seq: int
    count: int
    events: list
    raw: bytes


class Corpus(NamedTuple):
    """A journal, where it lies, and all that is known of it.

    Attributes
    ----------
    files
        Bytes by file name.
    frames
        Per file name the frames, in order.
    ends
        Per file name where its events end: behind that, a sealed file has what no event needs.
    after
        Per file name the positions behind its frames.
    """

    name: str
    folder: object
    sealed: bool
    files: dict
    frames: dict
    ends: dict
    after: dict


@contextlib.contextmanager
def _real_time():
    kept = os.write, os.open, time.time_ns, time.monotonic_ns, file_writer.own_identity
    try:
        yield
    finally:
        os.write, os.open, time.time_ns, time.monotonic_ns, file_writer.own_identity = kept


def _tiny(place):
    writer = place.writer()
    place.messages(writer, 1)
    writer.close()


def _messages(place, count=24):
    """A frame an event, as control events come: 4 KB."""
    writer = place.writer()
    place.messages(writer, count)
    writer.close()


def _forty(place):
    """Forty frames, for row 4."""
    _messages(place, 39)


def _batched(place):
    """A handful of points a frame, with what was printed between them."""
    writer = place.writer()
    for part in range(9):
        place.points(writer, [("loss", 9 * part + n, n / 7) for n in range(9)])
        writer.append_output(1, b"step %d\n" % part)
        writer.flush()
    writer.close()


def _columnar(place):
    """Tables of one metric and of three, among them what fits no column."""
    writer = place.writer()
    rng = random.Random(5)
    for part in range(4):
        place.points(writer, [("loss", n, rng.random()) for n in range(40 * part, 40 * part + 40)])
        place.points(writer, [("abc"[n % 3], n, [n, n / 3, "text"][n % 3]) for n in range(30)])
        place.messages(writer, 1, part)
    writer.close()


def _utf8(place):
    writer = place.writer()
    names = ["größe", "损失", "потери", "😀 loss", "nul\0", "new\nline", "e\u0301", "bad \udcff"]
    place.single(writer, [(name, 0, 0.5) for name in names])
    place.points(writer, [(name, step, 0.25) for name in names for step in range(3)])
    for text in ("损失函数 " * 20, "\u202eright to left", "a\udce4", "😀" * 60):
        place.append(writer, E.MESSAGE, level="info", text=text)
    writer.close()


def _epochs(place):
    """Three files, each begun because the one before was large."""
    place.three_files(messages=4)


def _overlap(place):
    """After a fault the second file holds again what was not durable in the first."""
    place.faulted()


def _writers(place):
    writer = place.writer()
    place.messages(writer, 3)
    children = [place.child(writer) for _ in range(2)]
    for number, child in enumerate(children):
        place.messages(child, 3, 10 * number)
        place.points(child, [("loss", step, step / 4) for step in range(18)])
    place.messages(writer, 3, 3)
    for one in (writer, *children):
        one.close()


def _a_run(place):
    """What an experiment writes: a start, points, output, an end."""
    writer = place.writer()
    place.append(writer, E.RUN_STARTED, **START)
    place.points(writer, [("loss", step, step / 7) for step in range(40)])
    writer.append_output(1, b"through\n")
    place.append(writer, E.RUN_ENDED, how="completed", status="COMPLETED", result=0.25)
    writer.close()


def _large(place):
    """An event of 1 MiB, of which zstd can save nothing, between two small ones."""
    writer = place.writer()
    place.messages(writer, 2)
    place.append(writer, E.OUTPUT, stream=1, data=random.Random(1).randbytes(1 << 20))
    place.messages(writer, 2, 2)
    writer.close()


def _embedded(place):
    """Output that holds whole frames, of this journal and of others: small, so that they stand bare."""
    writer = place.writer()
    place.messages(writer, 3)
    own = place.frames()[1:]
    others = [
        FrameEncoder().encode(place.content(5, 1, 7, [place.message("x")], **told))
        for told in ({"journal": 77}, {"writer": 3}, {"epoch": 2})
    ]
    for inner in (*own, *others):
        place.append(writer, E.OUTPUT, stream=1, data=inner)
        place.messages(writer, 1, 3)
    writer.close()


def _seal(place, frame_bytes):
    """Seal all its files, with frames small enough that there are several of them."""
    kept = sealer._FRAME_BYTES, sealer._TABLE_ROWS
    sealer._FRAME_BYTES, sealer._TABLE_ROWS = frame_bytes, 64
    try:
        files = sorted(parse_epoch_file_name(name) for name in os.listdir(place.journal))
        for writer, epoch in files:
            until = None
            if (writer, epoch + 1) in files:
                following = EpochFile.of(place.journal, writer, epoch + 1)
                until = following.next_frame().first_seq
                following.close()
            sealer.seal_file(place.journal, writer, epoch, until=until)
    finally:
        sealer._FRAME_BYTES, sealer._TABLE_ROWS = kept


#: For one row only.
MORE = {"forty": (_forty, 0), "sealed-forty": (_forty, 45)}
#: (what makes it, bytes of a sealed frame's content; 0 if it is not sealed)
KINDS = {
    "tiny": (_tiny, 0),
    "messages": (_messages, 0),
    "batched": (_batched, 0),
    "columnar": (_columnar, 0),
    "utf8": (_utf8, 0),
    "epochs": (_epochs, 0),
    "overlap": (_overlap, 0),
    "writers": (_writers, 0),
    "a-run": (_a_run, 0),
    "large": (_large, 0),
    "embedded": (_embedded, 0),
    "sealed-tiny": (_tiny, 1 << 18),
    "sealed-messages": (_messages, 400),
    "sealed-columnar": (_columnar, 2500),
    "sealed-utf8": (_utf8, 500),
    "sealed-epochs": (_epochs, 300),
    "sealed-overlap": (_overlap, 300),
    "sealed-writers": (_writers, 300),
    "sealed-a-run": (_a_run, 1 << 18),
    "sealed-large": (_large, 1 << 18),
}


def at(name):
    """Return the writer and epoch that a file's name tells."""
    return parse_epoch_file_name(name)


def make(base, name):
    """Make one of them below a folder, and take note of what it holds."""
    function, frame_bytes = (KINDS | MORE)[name]
    folder = base / name
    if not folder.exists():
        with _real_time():
            place = Place(folder, name)
            function(place)
            if frame_bytes:
                _seal(place, frame_bytes)
    return describe(name, folder / "journal")


def describe(name, folder):
    """Take note of all that a whole journal holds, also of what stands again in a later file."""
    reader = JournalReader(folder)
    list(reader.poll())
    if reader.verdicts or reader.tails():
        raise AssertionError(f"{name} is not clean: {reader.verdicts} {reader.tails()}")
    reader.close()
    corpus = Corpus(name, folder, name.startswith("sealed"), {}, {}, {}, {})
    for path in sorted(folder.iterdir()):
        parsed = parse_epoch_file_name(path.name)
        if parsed is not None:
            with tempfile.TemporaryDirectory(dir=folder.parent) as alone:
                os.link(path, Path(alone, path.name))
                _describe_file(corpus, path, parsed, alone)
    return corpus


def _describe_file(corpus, path, parsed, alone):
    reader = JournalReader(alone)
    seen = {(f.writer, f.epoch, f.first_seq, f.count): f for f in reader.poll()}
    reader.close()
    data = corpus.files[path.name] = path.read_bytes()
    frames, after = [], []
    file = EpochFile.of(path.parent, *parsed)
    with contextlib.suppress(NotYet):
        while True:
            raw = file.next_frame()
            key = (raw.writer, raw.epoch, raw.first_seq, raw.count)
            frame = seen[key]
            piece = data[raw.offset : raw.end]
            frames.append(Known(path.name, raw.offset, raw.end, *key, frame.events, piece))
            after.append(frame.after)
            if raw.values[1].get("e") == E.SEALED:
                break
    file.close()
    corpus.frames[path.name], corpus.after[path.name] = frames, after
    corpus.ends[path.name] = frames[-1].end
