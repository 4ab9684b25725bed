"""Golden journals of texts and sizes: output, names, large events, every kind of frame header."""

from __future__ import annotations

import random

from golden.journals.samples import BLOB, E
from golden.make import (
    chain_behind,
    content_of,
    golden,
    handmade,
    head_of,
    reframe,
)

from sacred.journal.codec import pack
from sacred.journal.events import SCHEMAS
from sacred.journal.frames import FrameEncoder


@golden("output of both streams, in pieces that cut characters and are no text")
def output(place):
    writer = place.writer()
    for stream, data in (
        (1, b"hello\n"),
        (2, b"warning\n"),
        (1, "grö".encode()[:-1]),
        (1, "ö".encode()[1:] + b"\xff\xfe\0\x1b[31m\r"),
        (1, bytes(range(256))),
        (1, b""),
    ):
        place.clock.sleep(1)
        writer.append_output(stream, data)
        writer.flush()
    writer.append(E.OUTPUT_FILTERED, keep=0, text="hello\ngrö")
    writer.append(E.OUTPUT_FILTERED, keep=6, text="größe 😀\n")
    writer.close()


NAMES = ["größe", "损失", "потери", "😀 loss", "a/b.c d", "", "nul\0", "new\nline", "é", "e\u0301"]


@golden("names of metrics and artifacts in many scripts, empty ones, with control characters")
def names_unicode(place):
    writer = place.writer()
    place.single(writer, [(name, 0, 0.5) for name in NAMES])
    place.points(writer, [(name, step, 0.25) for name in NAMES for step in range(3)])
    for name in NAMES:
        place.append(writer, E.ARTIFACT_ADDED, name=name, filename=f"/srv/{name}", blob=BLOB)
    writer.close()


@golden("names with lone surrogates: in a metric escaped, in a field as extension 9")
def names_surrogates(place):
    writer = place.writer()
    place.single(writer, [("bad \udcff", 0, 0.5)])
    place.points(writer, [("bad \ud800", step, 0.25) for step in range(20)])
    place.append(writer, E.ARTIFACT_ADDED, name="a\udce4", filename="/srv/a\udce4", blob=BLOB)
    writer.close()


@golden("text that is no UTF-8 under msgpack's type for text, as another program may write it")
def names_not_utf8(place):
    event = pack({"t": 1, "e": 135, "level": "info", "text": "AB", "source": "x"})
    parts = place.built([place.message("first")])
    body = event.replace(b"AB", b"A\xff")
    _, _, _, _, first, count, _ = head_of(parts[1])
    chain = chain_behind(parts[1])
    content = place.content(first + count, 1, chain, []) + body
    place.put([*parts, FrameEncoder().encode(content)])


@golden("events of 1 MiB: text that compresses, bytes that do not much, whose frames have a window")
def event_of_1_mib(place):
    writer = place.writer()
    rng = random.Random(4)
    words = [f"{number:x}" for number in range(64)]
    place.append(writer, E.MESSAGE, level="info", text="x" * 2**20)
    text = " ".join(rng.choices(words, k=1500)) + "\n"
    place.append(writer, E.INFO_SNAPSHOT, info={"log": text * (2**20 // len(text))})
    place.append(writer, E.MESSAGE, level="info", text="behind")
    writer.close()


@golden("frames at every bound of the content size's width and of raw blocks")
def frame_sizes(place):
    bodies = []
    for size in (*range(60, 75), 158, 159, 160, 161, 254, 255, 256, 257, 258, 65790, 65791, 65792):
        bodies.append([size])
    parts = place.built()
    seq = chain = 0
    for (size,) in bodies:
        event = {"t": 1, "e": 135, "level": "info", "text": ""}
        bare = len(place.content(seq, 1, chain, [event]))
        text = "y" * max(0, size - bare)
        content = place.content(seq, 1, chain, [{**event, "text": text}])
        while len(content) > size and text:
            text = text[:-1]
            content = place.content(seq, 1, chain, [{**event, "text": text}])
        parts.append(FrameEncoder().encode(content))
        chain = chain_behind(parts[-1])
        seq += 1
    place.put(parts)


@golden("frames as other compressors may write them: each width, windows, raw and RLE blocks")
def frame_headers(place):
    parts = place.built()
    seq = chain = 0
    for width, window, cut in (
        (1, None, False),
        (2, None, False),
        (4, None, False),
        (8, None, False),
        (2, b"\x00", False),
        (4, b"\x50", True),
        (8, b"\x08", True),
    ):
        text = f"width {width} " + "z" * (0 if width == 1 else 300)
        content = place.content(seq, 1, chain, [place.message(text)])
        blocks = None
        if cut:  # raw, empty, RLE
            begin = content.index(b"zzz")
            end = begin + 300
            blocks = [(0, content[:begin]), (0, b""), (1, (b"z", 300)), (0, content[end:])]
        parts.append(handmade(content, width=width, window=window, blocks=blocks))
        chain = chain_behind(parts[-1])
        seq += 1
    place.put(parts)


@golden("the first event of a file with every field")
def first_event_with_every_field(place):
    place.built(
        [place.message("first")],
        began={
            "parent": [0, 1, 17],
            "supersedes": 3,
            "durability": "event",
            "last_seen": 1_699_999_000_000_000_000,
        },
    )


@golden("the first event of a file with those fields only that a reader may count on")
def first_event_with_required_fields(place):
    from sacred.journal.codec import unpack_all

    parts = place.built([place.message("first")])
    must = {"t", "e", *(field.key for field in SCHEMAS[E.EPOCH_BEGAN].fields if field.required)}
    began = unpack_all(content_of(parts[0]))[1]
    least = {key: value for key, value in began.items() if key in must}
    place.put([reframe(parts[0], events=[least]), *parts[1:]])
