"""Row 19 of the battery: other programs read the same journals."""

from __future__ import annotations

import importlib.util
import random
import shutil
import subprocess
import time

import msgpack
import opinion
import pytest
import zstandard

from battery import corpus as corpora
from battery import judge, soak
from battery.mutator import split
from battery.test_damage import _damage

KINDS = [kind for kind in corpora.KINDS if "large" not in kind]
#: Files harmed of each kind.
HARMED = 240


def _contents(data):
    """Return what the frames of a file hold, one behind the other, by our own reader of frames."""
    decoder = zstandard.ZstdDecompressor()
    frames, _ = split(data)
    return b"".join(decoder.decompress(frame, allow_extra_data=False) for frame in frames)


def _harmed(corpus, rng):
    """Yield (file name, bytes) as they are, and so many harmed ones."""
    yield from corpus.files.items()
    names = list(corpus.files)
    for number in range(HARMED):
        name = rng.choice(names)
        data = corpus.files[name]
        if number % 3 == 0:
            yield name, data[: rng.randrange(len(data))]
        elif number % 3 == 1:
            at, flipped = rng.randrange(len(data)), bytearray(data)
            flipped[at] ^= 1 << rng.randrange(8)
            yield name, bytes(flipped)
        else:
            yield name, _damage(rng, data)[0]


def _zstd(files, folder):
    """Have the program decode files; return per file what it holds, None where it refuses."""
    source, target = folder / "in", folder / "out"
    for place in (source, target):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    paths = [source / f"{number}.zst" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    command = ["zstd", "-q", "-d", "-f", "--output-dir-flat", str(target), *map(str, paths)]
    subprocess.run(command, check=False, capture_output=True, timeout=120)
    tested = subprocess.run(
        ["zstd", "-t", *map(str, paths)], check=False, capture_output=True, timeout=120, text=True
    )
    found = []
    for path in paths:
        decoded = target / path.stem
        found.append(decoded.read_bytes() if decoded.exists() else None)
        # What `zstd -t` says is what `zstd -d` does.
        refused = any(
            f"/{path.name}" in line and ": " in line and "bytes" not in line
            for line in tested.stderr.splitlines()
        )
        if refused != (found[-1] is None):
            raise AssertionError(f"zstd -t and -d differ: {tested.stderr[-600:]}")
    return found


def _backport(files, _folder):
    """Have the backport of Python 3.14's own zstd decode files."""
    from backports import zstd

    found = []
    for data in files:
        try:
            found.append(zstd.decompress(data))
        except (zstd.ZstdError, EOFError):
            found.append(None)
    return found


OTHERS = {"zstd": _zstd, "backports.zstd": _backport}


def _compare(corpus, name, data, theirs):
    """Raise if another program and the reader do not say the same of a file; return if both took it."""
    if not data:
        return False  # a file that is made and not yet written; other programs take it or not
    found = judge.read(corpus.folder)
    said = [v for v in (*found.verdicts, *found.tails) if (v.writer, v.epoch) == corpora.at(name)]
    whole = corpus.files[name]
    # What ends a sealed file serves other programs: a reader of events does not look at it.
    beyond = corpus.sealed and data.startswith(whole[: corpus.ends[name]])
    if theirs is None:
        # What stands again in the next file is not missed here.
        again = name != max(n for n in corpus.files if corpora.at(n)[0] == corpora.at(name)[0])
        if not (said or beyond or again or not found.known):
            raise AssertionError(f"refused, and nothing is said of {name}")
        return False
    if said or not found.known:
        return False  # frames that are whole, and not where they belong
    events = _contents(data[: corpus.ends[name]])
    # Damage may have made a frame of the index, which they decode behind the events.
    if theirs != events and not (beyond and theirs.startswith(events)):
        raise AssertionError(f"{name} holds something else")
    return True


@pytest.mark.slow
@pytest.mark.parametrize("program", OTHERS)
def test_other_programs_read_the_same_or_refuse(record_property, program):
    """Row 19, P4: `zstd -t`, `zstd -d` and Python's own zstd: what they refuse is named by the reader, what the reader takes they decode to the same bytes."""
    if program == "zstd" and not shutil.which("zstd"):
        pytest.skip("row 19 needs the program zstd")
    if program != "zstd" and importlib.util.find_spec("backports.zstd") is None:
        pytest.skip("row 19 needs backports.zstd")
    seed = soak.seed()
    until = time.monotonic() + soak.seconds(0.05)
    count = taken = rounds = 0
    with soak.scratch() as base:
        (base / "other").mkdir()
        while not rounds or time.monotonic() < until:
            for kind in KINDS:
                corpus = corpora.make(base, kind)
                cases = list(_harmed(corpus, random.Random(seed + rounds)))
                theirs = OTHERS[program]([data for _, data in cases], base / "other")
                for (name, data), decoded in zip(cases, theirs, strict=True):
                    (corpus.folder / name).write_bytes(data)
                    try:
                        taken += _compare(corpus, name, data, decoded)
                    except AssertionError as error:
                        raise AssertionError(f"seed {seed + rounds}, {kind}: {error}") from None
                    finally:
                        (corpus.folder / name).write_bytes(corpus.files[name])
                    count += 1
            rounds += 1
    assert taken > len(KINDS)
    record_property("battery", (f"row 19: files read by {program} too", count))


@pytest.mark.slow
@pytest.mark.skipif(not opinion.PAGE.exists(), reason="row 19 needs the documents")
def test_the_pages_reader_reads_the_same_or_the_reader_says_why(record_property):
    """Row 19: the page's reader over all that rows 1 to 4 harm: the same events wherever the journal is clean, and never an event that was not written."""
    seed = soak.seed()
    until = time.monotonic() + soak.seconds(0.03)
    page = opinion.page_reader()
    count = compared = rounds = 0
    with soak.scratch() as base:
        while not rounds or time.monotonic() < until:
            for kind in KINDS:
                corpus = corpora.make(base, kind)
                for name, data in _harmed(corpus, random.Random(seed + rounds)):
                    (corpus.folder / name).write_bytes(data)
                    try:
                        compared += bool(_second(corpus.folder, page))
                    except AssertionError as error:
                        text = f"seed {seed + rounds}, {kind}, {name}: {error}"
                        raise AssertionError(text) from None
                    finally:
                        (corpus.folder / name).write_bytes(corpus.files[name])
                    count += 1
            rounds += 1
    assert compared >= len(KINDS)
    record_property("battery", ("row 19: files read by the page's reader too", count))


class _Superseded(Exception):
    """A frame is damaged whose events stand again in another file: no event is missing."""


def _second(folder, page):
    def read(place):
        try:
            return page(place)
        except zstandard.ZstdError as error:  # of what stands again in a later file
            raise _Superseded from error

    try:
        return opinion.compare(folder, read)
    except _Superseded:
        return 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("zstd"), reason="row 19 needs the program zstd")
@pytest.mark.parametrize("kind", corpora.KINDS)
def test_any_msgpack_decoder_reads_what_zstd_gives(record_property, kind):
    """Row 19, P9: `zstd -dc | any msgpack decoder`, with nothing of ours: preambles that count up, and as many events as were written."""
    count = 0
    with soak.scratch() as base:
        corpus = corpora.make(base, kind)
        for name, frames in corpus.frames.items():
            command = ["zstd", "-dc", str(corpus.folder / name)]
            done = subprocess.run(command, check=True, capture_output=True, timeout=60)
            stream = msgpack.Unpacker(
                strict_map_key=False, unicode_errors="surrogateescape", max_buffer_size=1 << 25
            )
            stream.feed(done.stdout)
            preambles, events = [], 0
            for value in stream:
                if isinstance(value, list):
                    assert value[0] == 0
                    preambles.append((value[2], value[3], value[4], value[5]))
                else:
                    assert {"t", "e"} <= set(value)
                    events += 1
            assert preambles == [(f.writer, f.epoch, f.first_seq, f.count) for f in frames]
            assert events == sum(len(frame.events) for frame in frames)
            count += events
    record_property("battery", ("row 19: events read by zstd and msgpack alone", count))
