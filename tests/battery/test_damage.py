"""Rows 1 to 4 of the battery: journals that are cut, flipped, damaged and taken apart."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import time
import tracemalloc
from typing import NamedTuple

import pytest

from battery import corpus as corpora
from battery import judge, soak
from battery.oracle import Broken
from sacred.journal import JournalReader, Position
from sacred.journal.errors import PositionContradictedError
from sacred.journal.frames import MAGIC
from sacred.journal.seal_index import read_index, why_unindexed
from sacred.journal.verdicts import Tail


class Harm(NamedTuple):
    """A journal that is harmed again and again, and made whole in between."""

    corpus: corpora.Corpus
    descriptors: dict

    def put(self, name, data):
        """Write a file anew, without making another one: a reader that comes opens it by its name."""
        os.ftruncate(self.descriptors[name], 0)
        os.pwrite(self.descriptors[name], data, 0)

    def heal(self, name):
        self.put(name, self.corpus.files[name])


@contextlib.contextmanager
def harmed(name):
    """Give a journal of the corpus, in memory."""
    with soak.scratch() as base, contextlib.ExitStack() as stack:
        corpus = corpora.make(base, name)
        descriptors = {}
        for file in corpus.files:
            descriptors[file] = os.open(corpus.folder / file, os.O_RDWR)
            stack.callback(os.close, descriptors[file])
        yield Harm(corpus, descriptors)


def start_before(corpus, name, offset):
    """Return (writer, position) two frames before the one that an offset is in; None at the beginning."""
    frames = corpus.frames[name]
    hit = next((n for n, frame in enumerate(frames) if offset < frame.end), len(frames))
    before = min(hit, len(frames)) - 2
    if before < 1 or not frames[before].count or not frames[before + 1].count:
        return None
    after = corpus.after[name][before]
    # Where the next file takes over, nobody stands.
    return None if after is None else (frames[before].writer, after)


def deadline(share):
    """Return when a soak of so large a share is over; now, outside of one."""
    return time.monotonic() + soak.seconds(share)


# -- row 1 -----------------------------------------------------------------------------------------


def _cuts(corpus, name, rng):
    """Every length but the whole; of a large file those near frames' bounds, and some others."""
    size = len(corpus.files[name])
    if size <= 8_000:
        # Behind its events a sealed file has what no event needs.
        end = min(size, corpus.ends[name] + 20)
        return [*range(end), *range(end, size, 16)]
    near = {
        bound + step
        for frame in corpus.frames[name]
        for bound in (frame.start, frame.end)
        for step in range(-40, 41)
    }
    near |= {rng.randrange(size) for _ in range(150)}
    return sorted(cut for cut in near if 0 <= cut < size)


def _cut(harm, name, cut, *, whole):
    """Cut a file, and look: exactly the frames before, and the rest is a tail where it begins."""
    corpus = harm.corpus
    data = corpus.files[name][:cut]
    os.ftruncate(harm.descriptors[name], cut)
    start = None if whole else start_before(corpus, name, cut)
    found, expected, _ = judge.check(corpus, {name: data}, start=start, what=f"{name} cut at {cut}")
    writer, epoch = corpora.at(name)
    begin = expected.ends[name]
    tails = {
        (tail.writer, tail.epoch, tail.offset, tail.size)
        for tail in (*found.tails, *(v for v in found.verdicts if isinstance(v, Tail)))
    }
    over = corpus.sealed and begin == corpus.ends[name]
    last = not any(w == writer and e > epoch for w, e in map(corpora.at, corpus.files))
    # A sealed file was whole once, and says so also where it was cut between two frames.
    ends = cut > begin or (corpus.sealed and begin and last)
    wanted = {(writer, epoch, begin, cut - begin)} if ends and not over else set()
    if found.known and tails != wanted:
        raise Broken(f"{corpus.name}, {name} cut at {cut}: {tails} instead of {wanted}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", corpora.KINDS)
def test_every_cut_leaves_a_prefix_and_a_tail(record_property, kind):
    """Row 1, P3: cut at any byte: the whole frames before it, a tail where the torn one begins, and nothing else."""
    rng = random.Random(soak.seed())
    count = 0
    with harmed(kind) as harm:
        for name, data in harm.corpus.files.items():
            for cut in _cuts(harm.corpus, name, rng):
                _cut(harm, name, cut, whole=cut % 8 == 0)
                os.pwrite(harm.descriptors[name], data[cut:], cut)
                count += 1
        until = deadline(0.01)
        while time.monotonic() < until:
            name = rng.choice(list(harm.corpus.files))
            _cut(harm, name, rng.randrange(len(harm.corpus.files[name])), whole=True)
            harm.heal(name)
            count += 1
    record_property("battery", ("row 1: cuts", count))


# -- row 2 -----------------------------------------------------------------------------------------


def _flip(harm, name, bits, *, whole, kept=None):
    corpus = harm.corpus
    data = bytearray(corpus.files[name])
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
        os.pwrite(harm.descriptors[name], data[bit // 8 : bit // 8 + 1], bit // 8)
    start = None if whole else start_before(corpus, name, min(bits) // 8)
    what = f"{name}, bits {bits}"
    found, _, harmless = judge.check(corpus, {name: bytes(data)}, start=start, what=what)
    if kept is not None and whole:
        _go_on(corpus, kept, found, what)
    if corpus.sealed and min(bits) >= 8 * corpus.ends[name]:
        harmless += _behind(harm, name, what)
    for bit in bits:
        os.pwrite(harm.descriptors[name], corpus.files[name][bit // 8 : bit // 8 + 1], bit // 8)
    return harmless


def _go_on(corpus, position, whole, what):
    """Read from a position that was kept: what follows it, or damage or doubt is said; never else."""
    reader = JournalReader(corpus.folder, position)
    try:
        rows = _rows(frame for frame in reader.poll() if frame.count)
    except PositionContradictedError:
        return
    finally:
        reader.close()
    next_seq = position[0].next_seq
    if rows == {seq: row for seq, row in _rows(whole.frames).items() if seq >= next_seq}:
        return
    told = reader.verdicts or reader.tails() or reader.unproven()
    right = {seq: row for seq, row in corpus_rows(corpus).items() if seq >= next_seq}
    if not told or not rows.items() <= right.items():
        raise Broken(f"{corpus.name}, {what}: from {position} other events, and nothing is said")


def _rows(frames):
    """What is read by sequence number, points one by one."""
    rows = {}
    for frame in frames:
        for event in frame.events:
            table = event.fields.get("table")
            if table is None:
                rows[event.seq] = repr(event)
                continue
            columns = zip(table.names(), table.steps, table.values, table.times, strict=True)
            rows.update((event.seq + n, repr(row)) for n, row in enumerate(columns))
    return rows


def corpus_rows(corpus):
    """All that a whole journal of one file holds."""
    ((_, frames),) = corpus.frames.items()
    return _rows(frame for frame in frames if frame.count)


def _behind(harm, name, what):
    """Look at what stands behind the events: verify says that it is damaged, or nothing changed."""
    descriptor = harm.descriptors[name]
    if why_unindexed(descriptor) is not None:
        return False
    index = read_index(descriptor)
    harm.heal(name)
    if index != read_index(descriptor):
        raise Broken(f"{harm.corpus.name}, {what}: the index changed, and nothing is said")
    return True


def _half_way(name, corpus):
    """Positions in the middle of a sealed file, as they were taken on it and on the live one before."""
    with soak.scratch() as base:
        live = corpora.make(base, name.removeprefix("sealed-"))
    kept = []
    for known in (corpus, live):
        ((_, after),) = known.after.items()
        at = after[len(after) // 2]
        kept += [Position({0: at}), Position({0: at._replace(offset=0)})]
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("kind", ["batched", "columnar", "sealed-columnar"])
def test_every_flipped_bit_costs_the_frame_it_hit_and_no_other(record_property, kind, part):
    """Row 2, P4: every bit of live and sealed files flipped: the frame that was hit is named by its numbers, all others are read, from the beginning and from where a view stood; of index and seek table too, which verify names."""
    rng = random.Random(soak.seed() + part)
    count = harmless = pairs = 0
    with harmed(kind) as harm:
        ((name, data),) = harm.corpus.files.items()
        stands = itertools.cycle(_half_way(kind, harm.corpus) if harm.corpus.sealed else [None])
        end = 8 * harm.corpus.ends[name]
        for bit in range(part, 8 * len(data), 2):
            whole = bit // 2 % 16 == 0 or bit >= end
            harmless += _flip(harm, name, (bit,), whole=whole, kept=next(stands) if whole else None)
            count += 1
        until = deadline(0.02)
        while time.monotonic() < until:
            bits = rng.sample(range(8 * len(data)), 2)
            _flip(harm, name, bits, whole=True, kept=next(stands))
            pairs += 1
    record_property("battery", ("row 2: flipped bits", count))
    record_property("battery", ("row 2: of them such as mean nothing", harmless))
    if pairs:
        record_property("battery", ("row 2: two bits flipped", pairs))


# -- row 3 -----------------------------------------------------------------------------------------


def _stuff(rng, size):
    return rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))


def _damage(rng, data):
    """Damage a file as disks do; return what is there then, and whether its bytes moved."""
    size = len(data)
    kind = rng.choice(("byte", "sector", "sector", "page", "hole", "double", "swap", "gone"))
    unit = rng.choice((64, 512, 512, 4096))
    if kind == "byte":
        at = rng.randrange(size)
        return data[:at] + rng.randbytes(1) + data[at + 1 :], False
    if kind in {"sector", "page", "hole"}:
        if kind == "hole":
            unit = rng.randint(1, 64) * 1024 if size > 4096 else rng.randint(1, size)
            at = rng.randrange(size)
        else:
            at = rng.randrange(0, size, unit)
        end = min(size, at + unit)
        stuff = bytes(end - at) if kind == "hole" else _stuff(rng, end - at)
        return data[:at] + stuff + data[end:], False
    one, other = (rng.randrange(0, size, unit) for _ in range(2))
    first, second = data[one : one + unit], data[other : other + unit]
    if kind == "gone":
        return data[:one] + data[one + unit :], True
    if kind == "double":
        if rng.random() < 0.5:  # a sector that was written to another one's place
            return data[:other] + first + data[other + len(first) :], True
        return data[: one + unit] + first + data[one + unit :], True
    if one > other:
        one, other, first, second = other, one, second, first
    if one == other:
        return data, False
    return data[:one] + second + data[one + unit : other] + first + data[other + unit :], True


#: How many of each kind, in ``make test``.
DAMAGES = {
    "messages": 3_500,
    "columnar": 2_500,
    "epochs": 2_500,
    "overlap": 1_500,
    "writers": 1_500,
    "embedded": 2_000,
    "large": 60,
    "sealed-columnar": 2_500,
    "sealed-epochs": 2_500,
    "sealed-overlap": 1_500,
    "sealed-large": 60,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_costs_what_it_hit_and_is_named(record_property, kind):
    """Row 3, P3, P4: bytes, sectors, pages and holes of zeros, ones and noise, doubled, swapped and gone: all that is whole is read, in bounded memory, and every hole named."""
    seed = soak.seed()
    rng = random.Random(seed)
    count, peak = 0, 0
    until = deadline(0.01)
    with harmed(kind) as harm:
        names = list(harm.corpus.files)
        while count < DAMAGES[kind] or time.monotonic() < until:
            for name in rng.sample(names, rng.randint(1, min(2, len(names)))):
                data, moved = _damage(rng, harm.corpus.files[name])
                moved = moved or kind == "embedded"  # in a frame that is harmed stands another one
                harm.put(name, data)
                traced = count % 400 == 0
                if traced:
                    tracemalloc.start()
                try:
                    what = f"seed {seed}, {name}, round {count}"
                    judge.check(harm.corpus, {name: data}, moved=moved, what=what)
                finally:
                    if traced:
                        peak = max(peak, tracemalloc.get_traced_memory()[1])
                        tracemalloc.stop()
                harm.heal(name)
                count += 1
    # A buffer of a frame, the frame, what it decodes to, and as much again where the judge looks.
    assert peak < 24 << 20
    record_property("battery", ("row 3: damaged files", count))


# -- row 4 -----------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """What stands in a file that was put together from frames."""

    raw: bytes
    own: bool


def _operate(harm, name, pieces, what):
    """Write a file of pieces, and look: what is not of it is named by its place and size, what follows one another together."""
    data = b"".join(piece.raw for piece in pieces)
    harm.put(name, data)
    found, expected, _ = judge.check(harm.corpus, {name: data}, moved=True, what=what)
    named = {(v.offset, v.size) for v in found.verdicts if type(v).__name__ == "Foreign"}
    wanted, at, begin = set(), 0, None
    last = harm.corpus.frames[name][-1].raw if harm.corpus.sealed else None
    for piece in pieces:
        begin = None if piece.own else at if begin is None else begin
        if begin is not None:
            wanted.discard((begin, at - begin))
            wanted.add((begin, at - begin + len(piece.raw)))
        at += len(piece.raw)
        if piece.raw == last:  # the end of a sealed file
            if data[at : at + 4] == MAGIC:
                wanted.add((at, len(data) - at))
            break
    wanted |= {(offset, size) for _, offset, size in expected.doubles}
    if named != wanted:
        raise Broken(f"{harm.corpus.name}, {what}: foreign {named} instead of {wanted}")


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["drop", "double", "swap", "splice", "replace"])
@pytest.mark.parametrize("kind", ["forty", "sealed-forty"])
def test_frames_that_were_moved_are_named_exactly(record_property, kind, operation):
    """Row 4, P4: frames dropped, doubled, swapped, and those of another journal, all pairs of forty: each loss and each stranger is named."""
    count = 0
    with harmed(kind) as harm, soak.scratch() as base:
        ((name, data),) = harm.corpus.files.items()
        frames = [Piece(known.raw, True) for known in harm.corpus.frames[name]]
        others = corpora.make(base, "messages").frames[name]
        strange = [Piece(known.raw, False) for known in others]
        behind = data[harm.corpus.ends[name] :]
        for i in range(len(frames)):
            for j in range(len(frames)):
                pieces = list(frames)
                if operation in {"drop", "swap"} and i > j:
                    continue
                if operation == "drop":
                    pieces = [p for n, p in enumerate(frames) if n not in {i, j}]
                elif operation == "swap":
                    pieces[i], pieces[j] = pieces[j], pieces[i]
                elif operation == "double":
                    pieces.insert(j, frames[i])
                elif operation == "splice":
                    pieces.insert(i, strange[j % len(strange)])
                else:
                    pieces[i] = strange[j % len(strange)]
                if behind:
                    pieces.append(Piece(behind, True))
                _operate(harm, name, pieces, f"{operation} {i} and {j}")
                count += 1
    record_property("battery", ("row 4: frames moved", count))


def test_two_strangers_at_the_beginning_are_believed_and_all_else_is_named():
    """Row 4: a file that begins with two frames of another journal is taken for that journal's: all other frames are named as foreign."""
    with harmed("forty") as harm, soak.scratch() as base:
        ((name, data),) = harm.corpus.files.items()
        ((_, strange),) = corpora.make(base, "messages").frames.items()
        harm.put(name, strange[0].raw + strange[1].raw + data)
        found = judge.read(harm.corpus.folder)
    assert len(found.frames) == 1
    begins = len(strange[0].raw) + len(strange[1].raw)
    end = harm.corpus.frames[name][-1].end
    assert [(v.offset, v.size) for v in found.verdicts] == [(begins, end)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epochs", "sealed-epochs"])
def test_an_old_epoch_in_a_later_file_is_foreign(record_property, kind):
    """Row 4, P4: frames of an earlier and of a later file of the same writer, put into another: foreign, all of them, told of together."""
    count = 0
    with harmed(kind) as harm:
        corpus = harm.corpus
        for name in corpus.files:
            behind = corpus.files[name][corpus.ends[name] :]
            for other in corpus.files:
                if other == name:
                    continue
                strange = [Piece(known.raw, False) for known in corpus.frames[other]]
                own = [Piece(known.raw, True) for known in corpus.frames[name]]
                for at in range(1, len(own) + (not corpus.sealed)):
                    for begin in range(len(strange)):
                        pieces = [*own[:at], *strange[begin:], *own[at:], Piece(behind, True)]
                        _operate(harm, name, pieces, f"{name}: {other} from {begin} at {at}")
                        count += 1
            harm.heal(name)
    record_property("battery", ("row 4: frames moved", count))
