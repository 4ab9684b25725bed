"""Reading: a prefix without a hole, or the hole is named; never an exception for what bytes are."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.journal import EventType, JournalReader, JournalWriter, Position
from sacred.journal.codec import pack, unpack_all
from sacred.journal.epoch_file import EpochFile
from sacred.journal.errors import NewerFormatError, NotAJournalError, PositionContradictedError
from sacred.journal.frames import FrameDecoder, FrameEncoder, chain_after, frame_bounds
from sacred.journal.owner import first_frame
from sacred.journal.position import WriterPosition
from sacred.journal.reader import Foreign, Gap, Tail
from sacred.journal.root import epoch_file_name
from sacred.journal.sealer import seal_file
from sacred.journal.tables import encode_table

EVENTS = [f"event {number}" for number in range(10)]


def _content(frame):
    bounds = frame_bounds(frame, 0)
    return FrameDecoder().decode(frame, bounds.content_size)


def _reframe(frame, *, preamble=None, events=None):
    """Write a frame again with parts of its preamble or its events changed, checksum and all."""
    values = unpack_all(_content(frame))
    head, rest = values[0], values[1:]
    for place, value in (preamble or {}).items():
        head[place] = value
    body = b"".join(map(pack, rest if events is None else events))
    return FrameEncoder().encode(pack(head) + body)


def test_a_clean_journal_is_read_whole(make, read_texts):
    """Every event, in order, and no verdict."""
    found, reader = read_texts(make())
    assert found == EVENTS
    assert (reader.verdicts, reader.tails()) == ([], [])


def test_every_truncation_gives_a_prefix(make, only_file, read_texts, split):
    """Cut at every byte: exactly the whole frames are read, and the rest is a tail, never a gap."""
    folder = make(4)
    path = only_file(folder)
    data = path.read_bytes()
    bounds = list(itertools.accumulate(map(len, split(data))))
    for size in range(len(data)):
        path.write_bytes(data[:size])
        whole = sum(bound <= size for bound in bounds)
        found, reader = read_texts(folder)
        assert found == EVENTS[: max(0, whole - 1)], size
        assert reader.verdicts == [], size
        begin = max([bound for bound in bounds if bound <= size], default=0)
        expected = [Tail(0, 1, begin, size - begin)] if size > begin and whole else []
        assert reader.tails() == expected, size


def test_every_flipped_bit_costs_the_frame_it_hit(make, only_file, read_texts, split):
    """Flip every bit of a journal: the frame hit is lost and named, all others are read."""
    folder = make(3)
    path = only_file(folder)
    data = path.read_bytes()
    bounds = list(itertools.accumulate(map(len, split(data))))
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        hit = sum(bound <= bit // 8 for bound in bounds)
        found, reader = read_texts(folder)
        expected = [text for number, text in enumerate(EVENTS[:3]) if number != hit - 1]
        assert found == expected, bit
        if hit in {1, 2}:
            gaps = [verdict for verdict in reader.verdicts if isinstance(verdict, Gap)]
            assert [(gap.first_seq, gap.next_seq) for gap in gaps] == [(hit - 1, hit)], bit
        elif hit == 3:  # indistinguishable from a torn end
            assert len(reader.tails()) == 1
        elif reader.verdicts == []:  # a bit of the compressed data that means nothing
            head = slice(bounds[0])
            assert _content(bytes(damaged)[head]) == _content(data[head])


@pytest.mark.parametrize("filler", [b"\0", b"\xff", None])
@pytest.mark.parametrize("size", [16, 64, 512])
def test_damaged_sectors_cost_what_they_hit(make, only_file, read_texts, split, filler, size):
    """Zeroed, saturated and random stretches: what is read is right, and the hole is named."""
    folder = make(12)
    path = only_file(folder)
    data = path.read_bytes()
    bounds = list(itertools.accumulate(map(len, split(data))))
    rng = random.Random(size)
    everything = [f"event {number}" for number in range(12)]
    for at in range(0, len(data) - size, 37):
        stuff = filler * size if filler else rng.randbytes(size)
        path.write_bytes(data[:at] + stuff + data[at + size :])
        written = data[:at] + stuff + data[at + size :]
        begins = [0, *bounds[:-1]]
        # A stretch that happens to hold what was there harms nothing.
        hit = [written[b:e] != data[b:e] for b, e in zip(begins, bounds, strict=True)]
        found, reader = read_texts(folder)
        expected = [text for text, harmed in zip(everything, hit[1:], strict=True) if not harmed]
        assert found == expected
        assert reader.verdicts or reader.tails() or not any(hit)


def test_dropped_doubled_and_swapped_frames_are_noticed(make, only_file, read_texts, split):
    """Every drop is a gap with its numbers, every double is foreign, every swap is both."""
    folder = make(8)
    path = only_file(folder)
    frames = split(path.read_bytes())
    everything = [f"event {number}" for number in range(8)]
    for i in range(1, 8):  # the last frame's loss can not be seen
        path.write_bytes(b"".join(frames[:i] + frames[i + 1 :]))
        found, reader = read_texts(folder)
        assert found == everything[: i - 1] + everything[i:]
        assert [(g.first_seq, g.next_seq) for g in reader.verdicts] == [(i - 1, i)]
        path.write_bytes(b"".join(frames[: i + 1] + frames[i:]))
        found, reader = read_texts(folder)
        assert found == everything
        path.write_bytes(b"".join(frames[:i] + [frames[i + 1], frames[i]] + frames[i + 2 :]))
        found, reader = read_texts(folder)
        assert any(isinstance(verdict, Gap) for verdict in reader.verdicts)
        assert set(found) <= set(everything)
        assert found == sorted(found)


def test_an_exchanged_frame_is_noticed_by_the_chain(make, only_file, read_texts, split):
    """A frame replaced by another one of the same numbers, checksum and all, breaks the chain."""
    folder = make(5)
    path = only_file(folder)
    frames = split(path.read_bytes())
    forged = {"t": 1, "e": int(EventType.MESSAGE), "level": "info", "text": "forged"}
    frames[3] = _reframe(frames[3], events=[forged])
    path.write_bytes(b"".join(frames))
    _, reader = read_texts(folder)
    assert [type(verdict) for verdict in reader.verdicts] == [Gap]
    assert reader.verdicts[0].first_seq == reader.verdicts[0].next_seq == 3


def test_frames_of_others_are_foreign(make, only_file, read_texts, split):
    """Frames of another journal, writer or epoch are skipped and reported, wherever they stand."""
    folder, other = make(4), make(4, name="other", text="other {}")
    path = only_file(folder)
    frames = split(path.read_bytes())
    strange = split(only_file(other).read_bytes())
    wrong_writer = _reframe(frames[2], preamble={2: 7})
    wrong_epoch = _reframe(frames[2], preamble={3: 9})
    for intruder in (strange[2], wrong_writer, wrong_epoch):
        path.write_bytes(b"".join([*frames[:3], intruder, *frames[3:]]))
        found, reader = read_texts(folder)
        assert found == EVENTS[:4]
        assert [type(verdict) for verdict in reader.verdicts] == [Foreign]


def test_another_journal_inside_an_event_fools_nobody(make, only_file, read_texts, tmp_path):
    """An event that holds the bytes of a journal does not become a source of events."""
    inner = only_file(make(3, name="inner")).read_bytes()
    writer = JournalWriter.create(tmp_path / "outer")
    writer.append(EventType.OUTPUT, stream=1, data=os.urandom(200_000) + inner)
    writer.append(EventType.MESSAGE, level="info", text="after")
    writer.close()
    path = only_file(tmp_path / "outer")
    data = bytearray(path.read_bytes())
    at = data.index(inner[:40])
    data[at - 20] ^= 1  # the frame that holds it is damaged: the search walks through it
    path.write_bytes(bytes(data))
    found, reader = read_texts(tmp_path / "outer")
    assert found == ["after"]
    assert [(gap.first_seq, gap.next_seq) for gap in reader.verdicts] == [(0, 1)]


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.binary(max_size=600), prefix=st.integers(0, 400))
def test_any_bytes_are_read_without_an_exception(tmp_path_factory, data, prefix):
    """Whatever a file holds, reading ends, and raises at most that there is no journal."""
    folder = tmp_path_factory.mktemp("any")
    writer = JournalWriter.create(folder / "journal", durability="process")
    writer.append(EventType.MESSAGE, level="info", text="x")
    writer.close()
    good = writer.path.read_bytes()
    writer.path.write_bytes(good[:prefix] + data + good)
    reader = JournalReader(folder / "journal")
    list(reader.read())
    reader.tails()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x28\xb5\x2f\xfd", bytes(5000)])
def test_a_file_that_is_no_journal(tmp_path, content):
    """An empty, short or foreign file gives no event and no exception."""
    (tmp_path / epoch_file_name(0, 1)).write_bytes(content)
    reader = JournalReader(tmp_path)
    assert list(reader.read()) == []
    assert reader.journal_id == 0


def test_a_folder_that_is_no_journal(tmp_path):
    """A folder without journal files, or none at all, is said to be so."""
    with pytest.raises(NotAJournalError, match="holds no journal"):
        JournalReader(tmp_path)
    with pytest.raises(NotAJournalError, match="missing does not exist"):
        JournalReader(tmp_path / "missing")


def test_newer_journals_are_refused_and_newer_events_are_not(make, only_file, read_texts, split):
    """P9: an unknown type below 128, a higher min_reader or a feature stop; from 128 on they pass."""
    folder = make(2)
    path = only_file(folder)
    frames = split(path.read_bytes())
    values = unpack_all(_content(frames[0]))

    def with_event(number):
        event = {"t": 1, "e": number, "what": 1}
        return b"".join([*frames[:2], _reframe(frames[2], events=[event])])

    path.write_bytes(with_event(120))
    with pytest.raises(NewerFormatError, match="type 120"):
        list(JournalReader(folder).read())
    path.write_bytes(with_event(200))
    event = list(JournalReader(folder).read())[-1]
    assert (event.name, event.fields) == ("unknown_200", {"what": 1})
    for change in ({"min_reader": 2}, {"features": ["sparkles"]}):
        first = _reframe(frames[0], events=[{**values[1], **change}])
        path.write_bytes(b"".join([first, *frames[1:]]))
        with pytest.raises(NewerFormatError, match="upgrade"):
            list(JournalReader(folder).read())


def test_unknown_fields_are_kept(make, only_file, split):
    """A field of a later version is passed on under its own key."""
    folder = make(1)
    path = only_file(folder)
    frames = split(path.read_bytes())
    wire = unpack_all(_content(frames[1]))[1]
    path.write_bytes(frames[0] + _reframe(frames[1], events=[{**wire, "mood": "good"}]))
    assert list(JournalReader(folder).read())[-1].fields["mood"] == "good"


def test_reading_goes_on_from_every_position(make, read_texts):
    """From any frame's bound exactly the rest is read, with its offset as a hint and without."""
    folder = make(10)
    reader = JournalReader(folder)
    positions = [Position()]
    for frame in reader.poll():
        positions.append(Position({0: frame.after}))
    for number, position in enumerate(positions):
        rest = EVENTS[max(0, number - 1) :]
        assert read_texts(folder, position)[0] == rest
        if position:
            at = position[0]
            for offset in (0, 3, 10**9):
                moved = Position({0: at._replace(offset=offset)})
                assert read_texts(folder, moved)[0] == rest
            assert Position.from_wire(position.to_wire()) == position


def test_a_position_of_another_history_is_contradicted(make, read_texts):
    """A journal that has other events before a position does not continue it (R11)."""
    folder = make(6)
    reader = JournalReader(folder)
    frames = list(reader.poll())
    at = frames[3].after
    false = Position({0: WriterPosition(1, at.next_seq, at.chain ^ 1, at.offset)})
    with pytest.raises(PositionContradictedError):
        read_texts(folder, false)


def test_a_later_epoch_wins_and_continues(make, only_file, read_texts, split):
    """R2: frames written again in the next epoch are read once; the torn end before is no gap."""
    folder = make(6)
    path = only_file(folder)
    frames = split(path.read_bytes())
    torn = b"".join(frames[:5]) + frames[5][:-9]
    first = _reframe(frames[0], preamble={3: 2, 4: 3, 6: _chain(frames, 3)})
    again = [_reframe(frame, preamble={3: 2}) for frame in frames[4:]]
    path.write_bytes(torn)
    (folder / epoch_file_name(0, 2)).write_bytes(b"".join([first, *again]))
    found, reader = read_texts(folder)
    assert found == EVENTS[:6]
    assert not [verdict for verdict in reader.verdicts if isinstance(verdict, Gap)]
    assert all(verdict.superseded for verdict in reader.verdicts)
    # A reader that had read the first epoch to its end goes on without reading anything twice.
    (folder / epoch_file_name(0, 2)).unlink()
    reader = JournalReader(folder)
    before = [e.fields["text"] for e in reader.read() if e.type == EventType.MESSAGE]
    (folder / epoch_file_name(0, 2)).write_bytes(b"".join([first, *again]))
    after = [e.fields["text"] for e in reader.read() if e.type == EventType.MESSAGE]
    assert before + after == EVENTS[:6]


def _chain(frames, count):
    chain = 0
    for frame in frames[1 : count + 1]:
        content = _content(frame)
        head = len(pack(unpack_all(content)[0]))
        chain = chain_after(chain, content[head:])
    return chain


def test_a_phantom_tail_is_contradicted(make, only_file, read_texts, split):
    """R11: events that a power cut took back, followed by others under their numbers."""
    folder = make(6)
    path = only_file(folder)
    frames = split(path.read_bytes())
    reader = JournalReader(folder)
    list(reader.read())
    path.write_bytes(b"".join(frames[:4]))  # three events survived the cut
    writer = JournalWriter(folder, reader.journal_id, "second", None, None)
    writer.next_seq, writer._chain = 3, _chain(frames, 3)
    writer._open_epoch(2, "resume")
    for number in range(3, 6):
        writer.append(EventType.MESSAGE, level="info", text=f"other {number}")
        if number < 5:  # as long as it is shorter, it may still turn out to be the same
            list(reader.read())
            assert reader.unproven() == [0]
    with pytest.raises(PositionContradictedError):
        list(reader.read())
    writer.close()
    assert read_texts(folder)[0] == [*EVENTS[:3], "other 3", "other 4", "other 5"]


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_reader_in_the_middle_goes_on_where_all_was_written_again_and_sealed(
    make, only_file, split, ahead
):
    """What was read stands again in a later file, sealed meanwhile: its index proves the position.

    Also behind a sealed file that holds none of it (``ahead``), whose end says nothing of it.
    """
    folder = make(6)
    frames = split(only_file(folder).read_bytes())
    reader = JournalReader(folder)
    found = [frame.events for frame in reader.poll(5)]  # up to event 3
    if ahead:  # of the file in which writing again was tried first, its end was lost
        empty = _reframe(frames[0], preamble={3: 2, 4: 2, 6: _chain(frames, 2)})
        (folder / epoch_file_name(0, 2)).write_bytes(empty)
    epoch = 2 + ahead
    began = _reframe(frames[0], preamble={3: epoch, 4: 2, 6: _chain(frames, 2)})
    again = b"".join(_reframe(frame, preamble={3: epoch}) for frame in frames[3:])
    (folder / epoch_file_name(0, epoch)).write_bytes(began + again)
    (folder / epoch_file_name(0, epoch + 1)).write_bytes(
        _reframe(frames[0], preamble={3: epoch + 1, 4: 6, 6: _chain(frames, 6)})
    )
    for sealed in range(2, epoch + 1):
        seal_file(folder, 0, sealed)
    found += [frame.events for frame in reader.poll()]
    texts = [e.fields["text"] for events in found for e in events if e.type == EventType.MESSAGE]
    assert EVENTS[:6] == texts
    assert ([], [], []) == (reader.verdicts, reader.tails(), reader.unproven())
    assert (6, _chain(frames, 6)) == reader.position[0][1:3]


# -- what a power cut took back, and damage shows again ------------------------------------------


@pytest.fixture
def taken_back(make, only_file, split):
    """Make a journal of six events that were to be written again from the third on; a power cut left the second file's first frame.

    Returns its folder, the file that a resumed run wrote then, and both files' first frames' sizes.
    """
    folder = make(6)
    frames = split(only_file(folder).read_bytes())
    began = _reframe(frames[0], preamble={3: 2, 4: 3, 6: _chain(frames, 3)})
    (folder / epoch_file_name(0, 2)).write_bytes(began + _reframe(frames[4], preamble={3: 2})[:-5])

    def resume():
        writer = JournalWriter(folder, unpack_all(_content(began))[0][1], "second", None, None)
        writer.next_seq, writer._chain = 3, _chain(frames, 3)
        writer._open_epoch(3, "resume")
        for number in range(3, 6):
            writer.append(EventType.MESSAGE, level="info", text=f"other {number}")
        writer.close()

    return folder, resume


def _harm(folder, epoch, split, *places):
    """Flip a bit in some frames of a file."""
    path = folder / epoch_file_name(0, epoch)
    data = path.read_bytes()
    frames = [bytearray(frame) for frame in split(data[: _whole(data)])]
    for place in places:
        frames[place][len(frames[place]) // 2] ^= 4
    path.write_bytes(b"".join(frames) + data[_whole(data) :])


def _whole(data):
    end = 0
    while (bounds := frame_bounds(data, end)) is not None:
        end = bounds.end
    return end


def test_what_a_file_took_the_place_of_is_read_where_nothing_of_it_is_whole(
    taken_back, read_texts, split
):
    """P3: a file whose only whole frame is damaged counts for nothing: the events are read from the file before, as they were written first."""
    folder, resume = taken_back
    found, reader = read_texts(folder)
    assert EVENTS[:3] == found
    assert [2] == [tail.epoch for tail in reader.tails()]
    position = reader.position
    _harm(folder, 2, split, 0)
    found, reader = read_texts(folder)
    assert EVENTS[:6] == found
    assert ([], [2]) == (reader.verdicts, [tail.epoch for tail in reader.tails()])
    assert EVENTS[3:6] == read_texts(folder, position)[0]


def test_what_was_taken_back_is_not_shown_beside_what_came_in_its_place(
    taken_back, read_texts, split
):
    """P3: the run went on with others of the same numbers: one damaged file of the two shows no event that a power cut took back."""
    folder, resume = taken_back
    resume()
    others = ["other 3", "other 4", "other 5"]
    assert EVENTS[:3] + others == read_texts(folder)[0]
    whole = {epoch: (folder / epoch_file_name(0, epoch)).read_bytes() for epoch in (2, 3)}
    for epoch, places, found in (
        (2, [0], EVENTS[:3] + others),
        (3, [0], EVENTS[:3] + others),
        (3, [0, 1], EVENTS[:3] + others[1:]),
        (3, [0, 1, 2, 3], EVENTS[:3]),
    ):
        _harm(folder, epoch, split, *places)
        assert found == read_texts(folder)[0]
        (folder / epoch_file_name(0, epoch)).write_bytes(whole[epoch])


def test_two_histories_are_told_apart_where_they_meet(taken_back, read_texts, split):
    """The beginnings of both files are gone: what the first file still holds is shown up to there, and the chain tells that the rest is none of its."""
    folder, resume = taken_back
    resume()
    _harm(folder, 2, split, 0)
    _harm(folder, 3, split, 0, 1)
    found, reader = read_texts(folder)
    assert [*EVENTS[:4], "other 4", "other 5"] == found
    gaps = [verdict for verdict in reader.verdicts if isinstance(verdict, Gap)]
    assert [(4, 4)] == [(gap.first_seq, gap.next_seq) for gap in gaps]


def test_several_writers_merge_by_time(tmp_path):
    """R10: the rebuilt order is by time, each writer in its own order also if its clock went back."""
    folder = tmp_path / "journal"
    first = JournalWriter.create(folder)
    times = {0: [10, 30, 20, 50], 1: [15, 25, 40]}
    for when in times[0]:
        first.append(EventType.MESSAGE, level="info", text=f"w0 {when}", time_ns=when)
    first.close()
    second = JournalWriter(folder, first.journal_id, "second", None, None)
    second._claim_number("child")
    for when in times[1]:
        second.append(EventType.MESSAGE, level="info", text=f"w1 {when}", time_ns=when)
    second.close()
    for order in ("arrival", "time"):
        events = [e for e in JournalReader(folder).read(order=order) if e.seq >= 0]
        for writer in (0, 1):
            own = [e.time for e in events if e.writer == writer]
            assert own == times[writer]
    texts = [e.fields["text"] for e in events]
    assert texts == ["w0 10", "w1 15", "w1 25", "w0 30", "w0 20", "w1 40", "w0 50"]


LIVE = """
import sys
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(sys.argv[1])
for number in range(int(sys.argv[2])):
    writer.log_point("x", number, number / 2)
    if number % 50 == 0:
        writer.append(EventType.MESSAGE, level="info", text=str(number))
writer.close()
"""


def test_a_growing_journal_is_read_once_and_in_order(tmp_path):
    """Each event once and in order, while a process writes flat out; never a verdict."""
    count = 30_000
    folder = tmp_path / "journal"
    process = subprocess.Popen([sys.executable, "-c", LIVE, str(folder), str(count)])
    deadline = time.monotonic() + 60
    while not (folder.exists() and os.listdir(folder)):
        assert time.monotonic() < deadline
    reader = JournalReader(folder)
    steps: list[int] = []
    while len(steps) < count and time.monotonic() < deadline:
        for event in reader.read():
            if event.type == EventType.METRIC_POINT:
                steps.append(event.fields["step"])
            elif event.type == EventType.METRIC_TABLE:
                steps += event.fields["table"].steps
    assert process.wait(100) == 0
    assert steps == list(range(count))
    assert reader.verdicts == []


def test_reading_changes_nothing(make, only_file, read_texts):
    """P5: neither bytes nor times of a journal change when it is read."""
    folder = make(5)
    path = only_file(folder)
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(os.listdir(folder)))
    read_texts(folder)
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(os.listdir(folder))) == before


def test_a_run_that_is_deleted_while_it_is_read(make):
    """A folder that vanishes is said to be no journal."""
    folder = make(3)
    reader = JournalReader(folder)
    shutil.rmtree(folder)
    with pytest.raises(NotAJournalError):
        list(reader.read())


def test_a_copy_under_another_epochs_name_costs_nothing(make, only_file, read_texts):
    """A file's copy under the name of a later epoch is foreign: it hides nothing."""
    folder = make(5)
    for name in (epoch_file_name(0, 2), epoch_file_name(0, 9)):
        (folder / name).write_bytes((folder / epoch_file_name(0, 1)).read_bytes())
    found, reader = read_texts(folder)
    assert found == EVENTS[:5]
    assert [(type(v), v.epoch) for v in reader.verdicts] == [(Foreign, 2), (Foreign, 9)]


def test_every_doubled_frame_is_reported(make, only_file, read_texts, split):
    """P4: a frame that stands twice is read once, and said to be there twice."""
    folder = make(5)
    path = only_file(folder)
    frames = split(path.read_bytes())
    for number in range(1, 6):
        path.write_bytes(b"".join([*frames[: number + 1], *frames[number:]]))
        found, reader = read_texts(folder)
        assert found == EVENTS[:5]
        assert {type(verdict) for verdict in reader.verdicts} == {Foreign}
        assert "there before" in reader.verdicts[0].reason
    path.write_bytes(b"".join([*frames[:3], frames[4], frames[3], frames[5]]))
    found, reader = read_texts(folder)
    assert found == [*EVENTS[:2], *EVENTS[3:5]]
    assert {type(verdict) for verdict in reader.verdicts} == {Gap, Foreign}


def test_the_lost_end_of_a_file_is_seen_in_the_next_one(make, only_file, read_texts, split):
    """P3: the first frame of a file tells where the one before ended, also with nothing behind it."""
    folder = make(6)
    path = only_file(folder)
    frames = split(path.read_bytes())
    path.write_bytes(b"".join(frames[:5]))
    began = _reframe(frames[0], preamble={3: 2, 4: 6, 6: _chain(frames, 6)})
    (folder / epoch_file_name(0, 2)).write_bytes(began)
    found, reader = read_texts(folder)
    assert found == EVENTS[:4]
    assert [(v.epoch, v.first_seq, v.next_seq) for v in reader.verdicts] == [(2, 4, 6)]


FORGED = {"t": 1, "e": int(EventType.MESSAGE), "level": "info", "text": "forged"}
TABLE = {"t": 1, "e": 17, "n": 3, "m": ["a"], "x": [0, b"0" * 24]}
COLUMN = [0, b"0" * 24]


@pytest.mark.parametrize("order", ["arrival", "time"])
@pytest.mark.parametrize(
    ("first", "count", "event"),
    [
        (4, 1, FORGED),
        (3, 5, FORGED),
        (5, 3, FORGED),
        (5, 0, FORGED),
        (5, 1 << 63, FORGED),
        ((1 << 64) - 1, 5, FORGED),
        (5, 1, {**FORGED, "t": "noon"}),
        (5, 1, {**FORGED, "t": None}),
        (5, 1, {**FORGED, "e": -4}),
        (5, 1, {**FORGED, "e": 16.0}),
        (5, 1, {**FORGED, "e": [1]}),
        (5, 1, {**FORGED, "e": 1 << 70}),
        (5, 1, [1]),
        (5, 1, "text"),
        (5, 1, {"t": 1, "e": 16, "m": -1, "s": 1, "v": 1}),
        (5, 0, {"t": 1, "e": 136, "chain": "zz"}),
        (5, 0, {"t": 1, "e": 1, "min_reader": "a"}),
        (5, 3, {**TABLE, "s": [0, "x" * 24], "v": COLUMN}),
        (5, 3, {**TABLE, "s": COLUMN, "v": [0, [1] * 24]}),
        (5, 3, {**TABLE, "s": COLUMN, "v": COLUMN, "vs": [[10**9, 1]]}),
        (5, 3, {**TABLE, "s": COLUMN, "v": COLUMN, "vs": 3}),
        (5, 3, {**TABLE, "s": COLUMN, "v": COLUMN, "i": "aaa"}),
        (5, 3, {**TABLE, "m": {}, "s": COLUMN, "v": COLUMN}),
    ],
)
def test_frames_that_lie_are_reported_and_raise_nothing(
    make, only_file, split, order, first, count, event
):
    """A frame that is whole and says nonsense: a verdict, the events before it, no exception."""
    folder = make(5)
    path = only_file(folder)
    frames = split(path.read_bytes())
    forged = _reframe(frames[2], preamble={4: first, 5: count, 6: 7}, events=[event])
    path.write_bytes(b"".join([*frames, forged]))
    reader = JournalReader(folder)
    found = [e.fields["text"] for e in reader.read(order=order) if e.type == EventType.MESSAGE]
    assert found[:5] == EVENTS[:5]
    assert reader.verdicts


def test_a_search_behind_damage_is_bounded(make, only_file, split):
    """Megabytes that look like beginnings of frames cost seconds, not hours."""
    folder = make(2)
    path = only_file(folder)
    frames = split(path.read_bytes())
    lure = b"\x28\xb5\x2f\xfd\xa4" + (1 << 24).to_bytes(4, "little") + b"\x00\x00\x10"
    path.write_bytes(b"".join(frames) + lure * 100_000)
    reader = JournalReader(folder)
    assert len(list(reader.read())) == 3
    assert len(reader.tails()) == 1


def test_a_frame_that_is_finished_during_a_look_is_no_damage(
    make, only_file, read_texts, split, monkeypatch
):
    """A live end is never called damaged: the writer may finish it, and go on, while we search."""
    from sacred.journal.epoch_file import EpochFile

    folder = make(6)
    path = only_file(folder)
    data = path.read_bytes()
    bounds = list(itertools.accumulate(map(len, split(data))))
    real = EpochFile.resync
    for cut in (bounds[2] + 1, bounds[2] + 30, bounds[3] - 1):
        path.write_bytes(data[:cut])

        def resync(file, accept):
            path.write_bytes(data)
            return real(file, accept)

        monkeypatch.setattr(EpochFile, "resync", resync)
        found, reader = read_texts(folder)
        found += [e.fields["text"] for e in reader.read() if e.type == EventType.MESSAGE]
        assert found == EVENTS[:6]
        assert reader.verdicts == []


def test_files_under_each_others_names_are_foreign(tmp_path):
    """A file of another writer or epoch gives no event, and the reader says so."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.log_point("x", 0, 0.5)
    writer.close()
    writer.path.rename(writer.folder / "w0001-e0001.jzst")
    reader = JournalReader(writer.folder)
    assert list(reader.read()) == []
    (verdict,) = reader.verdicts
    assert (type(verdict), verdict.writer) == (Foreign, 1)


def test_a_file_that_is_finished_while_it_is_looked_at_is_not_foreign(tmp_path, monkeypatch):
    """Its first frame was not whole at the first look, and is at the second: no verdict."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.log_point("x", 0, 0.5)
    real = JournalReader._first_whole
    looks = []

    def late(self, file):
        looks.append(file)
        return real(self, file) if len(looks) > 1 else None

    monkeypatch.setattr(JournalReader, "_first_whole", late)
    reader = JournalReader(writer.folder)
    assert reader.journal_id == 0
    assert [event.name for event in reader.read()] == ["epoch_began", "metric_point"]
    assert reader.verdicts == []
    writer.close()


def test_fields_of_a_later_version_are_kept(tmp_path):
    """Unknown fields are ignored and kept, also those of points and tables of points."""
    writer = JournalWriter.create(tmp_path / "journal")
    point = {"t": 1, "e": int(EventType.METRIC_POINT), "m": "loss", "s": 0, "v": 0.5}
    table = {"t": 2, "e": int(EventType.METRIC_TABLE)}
    table |= encode_table(("loss",), (1,), (2000,), (0.25,))
    for event in (point, table):
        writer._append_packed(pack({**event, "unit": "bits"}), control=True)
    writer.close()
    _, first, second = JournalReader(tmp_path / "journal").read()
    assert first.fields == {"metric": "loss", "step": 0, "value": 0.5, "unit": "bits"}
    assert second.fields["unit"] == "bits"
    assert second.fields["table"].values == [0.25]


def test_bytes_of_a_later_file_that_are_no_frame_are_a_tail(make, only_file, read_texts, split):
    """P3: where the first frame of the last file is not whole, its bytes are said to be a tail; in a file that was passed over, too."""
    folder = make(3)
    frames = split(only_file(folder).read_bytes())
    (folder / epoch_file_name(0, 2)).write_bytes(frames[0][:50])
    found, reader = read_texts(folder)
    assert found == EVENTS[:3]
    assert reader.tails() == [Tail(0, 2, 0, 50)]
    began = _reframe(frames[0], preamble={3: 3, 4: 3, 6: _chain(frames, 3)})
    (folder / epoch_file_name(0, 3)).write_bytes(began)
    found, reader = read_texts(folder)
    assert found == EVENTS[:3]
    assert (reader.verdicts, reader.tails()) == ([Tail(0, 2, 0, 50, superseded=True)], [])


def test_a_torn_event_that_holds_own_frames_is_not_yet_whole(tmp_path, split):
    """A live end that holds the bytes of an earlier frame is no damage, and is read when it is whole."""
    writer = JournalWriter.create(tmp_path / "journal")
    writer.append(EventType.MESSAGE, level="info", text="a")
    inner = split(writer.path.read_bytes())[1]
    before = writer.path.stat().st_size
    writer.append(EventType.OUTPUT, stream=1, data=inner)
    writer.close()
    data = writer.path.read_bytes()
    assert inner in data[before:]
    writer.path.write_bytes(data[:-1])
    reader = JournalReader(tmp_path / "journal")
    assert [e.name for e in reader.read()] == ["epoch_began", "message"]
    assert reader.tails() == [Tail(0, 1, before, len(data) - 1 - before)]
    writer.path.write_bytes(data)
    assert [e.name for e in reader.read()] == ["output"]
    assert (reader.verdicts, reader.tails()) == ([], [])


def test_a_stranger_in_damage_does_not_say_whose_journal_it_is(tmp_path, split):
    """Behind a damaged beginning most frames tell the journal, not the first that is found in one."""
    other = JournalWriter.create(tmp_path / "other", journal_id=77)
    other.append(EventType.MESSAGE, level="info", text="other")
    other.close()
    writer = JournalWriter.create(tmp_path / "journal", journal_id=7)
    writer.append(EventType.OUTPUT, stream=1, data=split(other.path.read_bytes())[1])
    for text in EVENTS[:3]:
        writer.append(EventType.MESSAGE, level="info", text=text)
    writer.close()
    data = bytearray(writer.path.read_bytes())
    frames = split(bytes(data))
    data[20] ^= 1
    data[len(frames[0]) + 10] ^= 1
    writer.path.write_bytes(bytes(data))
    reader = JournalReader(tmp_path / "journal")
    assert [e.fields["text"] for e in reader.read()] == EVENTS[:3]
    assert [(v.first_seq, v.next_seq) for v in reader.verdicts] == [(0, 1)]


def test_a_frame_of_another_writer_says_nothing_of_whose_file_it_is(
    make, only_file, read_texts, split
):
    """The first frame is the journal's; a frame of another writer behind it has no vote."""
    folder = make(2)
    path = only_file(folder)
    frames = split(path.read_bytes())
    other = _reframe(frames[1], preamble={2: 1})
    path.write_bytes(b"".join([frames[0], other, *frames[1:]]))
    found, reader = read_texts(folder)
    assert found == EVENTS[:2]
    assert [type(verdict) for verdict in reader.verdicts] == [Foreign]


@pytest.fixture
def stranger(tmp_path, split):
    """Give the frames of a file of the same name, of another journal."""
    other = JournalWriter.create(tmp_path / "other", journal_id=77)
    for text in EVENTS:
        other.append(EventType.MESSAGE, level="info", text=f"other {text}")
    other.close()
    return split(other.path.read_bytes())


def test_a_strange_beginning_does_not_say_whose_journal_it_is(
    make, only_file, read_texts, split, stranger
):
    """P4: the first frame is another journal's, of a file of the same name: it is foreign, and all others are read."""
    folder = make(8)
    path = only_file(folder)
    frames = split(path.read_bytes())
    journal_id = JournalReader(folder).journal_id
    for known in (frames[1:], frames):
        path.write_bytes(b"".join([stranger[0], *known]))
        found, reader = read_texts(folder)
        assert (journal_id, EVENTS[:8]) == (reader.journal_id, found)
        assert [(Foreign, 0)] == [(type(v), v.offset) for v in reader.verdicts]


def test_a_strange_end_does_not_say_whose_journal_it_is(
    make, only_file, read_texts, split, stranger
):
    """P4: frames of another journal at the end are foreign, as few or many as there are: one verdict."""
    folder = make(8)
    path = only_file(folder)
    data = path.read_bytes()
    path.write_bytes(data + b"".join(stranger[5:8]))
    found, reader = read_texts(folder)
    assert EVENTS[:8] == found
    (verdict,) = reader.verdicts
    size = len(b"".join(stranger[5:8]))
    assert (Foreign, len(data), size) == (type(verdict), verdict.offset, verdict.size)
    assert "frames of another journal" in str(verdict)


def test_strange_frames_are_told_of_by_the_place(make, only_file, read_texts, split, stranger):
    """P4: those that follow one another are one verdict, also where they come while one looks; others are another."""
    folder = make(8)
    path = only_file(folder)
    frames = split(path.read_bytes())
    at = len(b"".join(frames[:3]))
    path.write_bytes(b"".join([*frames[:3], *stranger[5:7], *frames[3:], stranger[5]]))
    found, reader = read_texts(folder)
    assert EVENTS[:8] == found
    said = [(v.offset, v.size, "frames of" in v.reason) for v in reader.verdicts]
    two, end = len(b"".join(stranger[5:7])), path.stat().st_size
    assert [(at, two, True), (end - len(stranger[5]), len(stranger[5]), False)] == said
    with open(path, "ab") as file:
        file.write(stranger[6])
    assert [] == list(reader.poll())
    said = [(v.offset, v.size) for v in reader.verdicts]
    assert [(at, two), (end - len(stranger[5]), two)] == said


def test_strange_frames_that_are_read_again_are_no_news(make, only_file, read_texts, stranger):
    """P4: another file with the same bytes took the name, as after a restore from a backup."""
    folder = make(8)
    path = only_file(folder)
    path.write_bytes(path.read_bytes() + b"".join(stranger[5:7]))
    _, reader = read_texts(folder)
    before = list(reader.verdicts)
    reader._cursors[0].rest()
    shutil.copy(path, folder / "copy")
    (folder / "copy").rename(path)
    assert 0 == sum(frame.count for frame in reader.poll())
    assert (1, before) == (len(before), reader.verdicts)


@pytest.mark.parametrize("place", [(0, 1), (0, 2), (1, 1), (1, 3)])
def test_a_file_of_another_journal_is_one_verdict(
    make, tmp_path, read_texts, split, stranger, place
):
    """P4: wherever somebody put it, its frames are not told of one by one; the others are read."""
    folder = make(8)
    writer, epoch = place
    if epoch == 1 and writer == 0:
        folder.rename(tmp_path / "away")
        folder.mkdir()
        (tmp_path / "away" / epoch_file_name(0, 1)).rename(folder / epoch_file_name(0, 2))
        moved = folder / epoch_file_name(0, 2)
        frames = [_reframe(f, preamble={3: 2}) for f in split(moved.read_bytes())]
        moved.write_bytes(b"".join(frames))
    alone = [_reframe(frame, preamble={2: 9}) for frame in stranger]  # not this writer's, either
    (folder / epoch_file_name(writer, epoch)).write_bytes(b"".join(alone))
    found, reader = read_texts(folder)
    assert EVENTS[:8] == found
    (verdict,) = reader.verdicts
    size = len(b"".join(alone))
    assert (Foreign, *place, 0, size) == (type(verdict), *verdict[:4])
    assert [] == reader.tails()


@pytest.mark.parametrize("place", [0, 1])
def test_a_strange_beginning_of_a_later_file_costs_what_it_hit(
    make, only_file, read_texts, split, stranger, place
):
    """P4: a later file begins with a frame of another journal, in the place of its first or before it: the rest of it is read."""
    folder = make(6)
    path = only_file(folder)
    frames = split(path.read_bytes())
    path.write_bytes(b"".join(frames[:4]))
    began = _reframe(frames[0], preamble={3: 2, 4: 3, 6: _chain(frames, 3)})
    again = [began, *(_reframe(frame, preamble={3: 2}) for frame in frames[4:])]
    strange = _reframe(stranger[0], preamble={3: 2})
    (folder / epoch_file_name(0, 2)).write_bytes(b"".join([strange, *again[1 - place :]]))
    found, reader = read_texts(folder)
    assert EVENTS[:6] == found
    assert [(Foreign, 2, 0)] == [(type(v), v.epoch, v.offset) for v in reader.verdicts]


def test_a_file_of_another_journal_is_not_searched_to_its_end(make, tmp_path):
    """A file that is another journal's for a MiB is foreign, whatever comes then."""
    other = JournalWriter.create(tmp_path / "other", journal_id=77)
    for number in range(40):
        other.append(EventType.OUTPUT, stream=1, data=random.Random(number).randbytes(50_000))
    other.close()
    file = EpochFile.of(other.folder, 0, 1)
    assert first_frame(file, 78) is None
    assert 1 << 20 < file.offset < (1 << 20) + 60_000
    file.close()


def test_a_frame_that_holds_less_than_it_tells_is_a_gap(make, only_file, read_texts, split):
    """P3: what a forged frame takes and does not hold is named by its numbers, and what has these numbers behind it is foreign."""
    folder = make(6)
    path = only_file(folder)
    frames = split(path.read_bytes())
    forged = _reframe(frames[3], preamble={5: 3})
    path.write_bytes(b"".join([*frames[:3], forged, *frames[4:]]))
    found, reader = read_texts(folder)
    assert [*EVENTS[:3], EVENTS[5]] == found
    gaps = [(v.first_seq, v.next_seq) for v in reader.verdicts if isinstance(v, Gap)]
    assert [(3, 5), (5, 5)] == gaps
    doubles = [verdict.offset for verdict in reader.verdicts if isinstance(verdict, Foreign)]
    assert [sum(map(len, frames[:4])), sum(map(len, frames[:5]))] == doubles


def test_an_event_that_is_none_is_a_gap(make, only_file, read_texts, split):
    """P3: a whole frame one of whose events is none: its number is named, and the others are read."""
    folder = make(4)
    path = only_file(folder)
    frames = split(path.read_bytes())
    texts = [{**FORGED, "text": "left"}, ["no event"], {**FORGED, "text": "right"}]
    path.write_bytes(
        b"".join(
            [
                *frames,
                _reframe(frames[4], preamble={4: 4, 5: 3, 6: _chain(frames, 4)}, events=texts),
            ]
        )
    )
    found, reader = read_texts(folder)
    assert [*EVENTS[:4], "left", "right"] == found
    assert [(Gap, 5, 6)] == [(type(v), v.first_seq, v.next_seq) for v in reader.verdicts]
    assert [6] == [e.seq for e in JournalReader(folder).read() if e.fields.get("text") == "right"]


def test_events_beyond_what_a_frame_tells_are_not_read(make, only_file, read_texts, split):
    """P3: no number comes twice where a forged frame holds more events than it tells."""
    folder = make(4)
    path = only_file(folder)
    frames = split(path.read_bytes())
    table = {"t": 1, "e": 17, "n": 3, "m": ["a"], "s": COLUMN, "x": COLUMN, "v": COLUMN}
    for more in (FORGED, table):
        events = [unpack_all(_content(frames[2]))[1], more]
        path.write_bytes(b"".join([*frames[:2], _reframe(frames[2], events=events), *frames[3:]]))
        reader = JournalReader(folder)
        assert [-1, 0, 1, 2, 3] == [event.seq for event in reader.read()]
        assert "tells of 1 events and holds" in reader.verdicts[0].reason


def test_a_first_frame_in_another_place_is_foreign(make, only_file, read_texts, split):
    """P4: the first frame of a file is named where it stands once more, or not at the beginning."""
    folder = make(4)
    path = only_file(folder)
    frames = split(path.read_bytes())
    for order in ([0, 1, 0, 2, 3, 4], [1, 0, 2, 3, 4]):
        path.write_bytes(b"".join(frames[number] for number in order))
        found, reader = read_texts(folder)
        assert found == EVENTS[:4]
        place = order.index(0, 1)
        at = sum(len(frames[number]) for number in order[:place])
        assert [(type(v), v.offset) for v in reader.verdicts] == [(Foreign, at)]


def test_damage_before_doubled_frames_costs_no_other(make, only_file, read_texts, split):
    """Frames that were read before, found behind damage, do not set the reader back."""
    folder = make(8)
    path = only_file(folder)
    frames = split(path.read_bytes())
    parts = [*frames[:6], frames[6][:-9], *frames[:4], *frames[7:]]
    path.write_bytes(b"".join(parts))
    found, reader = read_texts(folder)
    assert found == [*EVENTS[:5], *EVENTS[6:8]]
    assert [(v.first_seq, v.next_seq) for v in reader.verdicts] == [(5, 6)]


def test_a_preamble_of_other_numbers_is_none(make, only_file, read_texts, split):
    """A preamble is an array of seven unsigned integers: any other form of them is no frame of ours."""
    folder = make(3)
    path = only_file(folder)
    frames = split(path.read_bytes())
    content = _content(frames[2])
    for forged in (
        b"\xdc\x00\x07" + content[1:],
        content[:1] + b"\xd3" + bytes(8) + content[2:],
        content[:1] + b"\xd0\x00" + content[2:],
    ):
        path.write_bytes(b"".join([*frames[:2], FrameEncoder().encode(forged), frames[3]]))
        found, reader = read_texts(folder)
        assert found == [EVENTS[0], EVENTS[2]]
        assert [(v.first_seq, v.next_seq) for v in reader.verdicts] == [(1, 2)]


@pytest.mark.parametrize("first_seq", [0, 1, 7])
def test_an_empty_frame_is_foreign(make, only_file, read_texts, split, first_seq):
    """No writer makes a frame without events: it is named, and says nothing of what is missing."""
    folder = make(3)
    path = only_file(folder)
    frames = split(path.read_bytes())
    empty = _reframe(frames[2], preamble={4: first_seq, 5: 0}, events=[])
    path.write_bytes(b"".join([*frames[:2], empty, *frames[2:]]))
    found, reader = read_texts(folder)
    assert found == EVENTS[:3]
    (verdict,) = reader.verdicts
    at = len(frames[0]) + len(frames[1])
    assert (type(verdict), verdict.offset, verdict.size) == (Foreign, at, len(empty))


def test_frames_behind_the_end_of_a_sealed_file_are_foreign(make, only_file, read_texts, split):
    """P4: what stands behind a seal is not read, and is named; a seal of other events, too."""
    from sacred.journal.sealer import seal_file

    folder = make(3)
    path = only_file(folder)
    live = split(path.read_bytes())
    seal_file(folder, 0, 1)
    data = path.read_bytes()
    reader = JournalReader(folder)
    end = [frame.after.offset for frame in reader.poll()][-1]
    path.write_bytes(data[:end] + live[2] + data[end:])
    found, reader = read_texts(folder)
    assert found == EVENTS[:3]
    size = len(data) - end + len(live[2])
    assert [(type(v), v.offset, v.size) for v in reader.verdicts] == [(Foreign, end, size)]
    frames = [data[:end][at:] for at in (data[:end].rindex(b"\x28\xb5\x2f\xfd"),)]
    seal = unpack_all(_content(frames[0]))[1]
    forged = _reframe(frames[0], events=[{**seal, "next_seq": 2}])
    path.write_bytes(data[: end - len(frames[0])] + forged + data[end:])
    _, reader = read_texts(folder)
    assert [type(v) for v in reader.verdicts] == [Foreign]


def test_a_sealed_file_that_is_doubled_is_named(make, only_file, read_texts):
    """P4: behind index and seek table of a sealed file stands a copy of it: it is foreign, from there on."""
    folder = make(5)
    seal_file(folder, 0, 1)
    path = only_file(folder)
    data = path.read_bytes()
    path.write_bytes(data + data)
    found, reader = read_texts(folder)
    assert EVENTS[:5] == found
    assert [Foreign(0, 1, len(data), len(data), reader.verdicts[0].reason)] == reader.verdicts


@pytest.mark.parametrize("lost", [0.5, 3, "text", {"a": 1}])
def test_losses_that_are_no_list_name_nothing(make, only_file, read_texts, split, lost):
    """What a first event says of losses may be anything: then it says nothing."""
    folder = make(3)
    path = only_file(folder)
    frames = split(path.read_bytes())
    began = unpack_all(_content(frames[0]))[1]
    frames[0] = _reframe(frames[0], events=[{**began, "lost": lost}])
    path.write_bytes(b"".join([*frames[:2], frames[3]]))
    found, reader = read_texts(folder)
    assert found == [EVENTS[0], EVENTS[2]]
    assert [(v.first_seq, v.repaired) for v in reader.verdicts] == [(1, False)]


def test_a_value_before_the_first_row_of_a_table_is_refused(make, only_file, read_texts, split):
    """Rows count from 0: a side list that names row -1 makes no table."""
    folder = make(1)
    path = only_file(folder)
    frames = split(path.read_bytes())
    table = {"t": 1, "e": 17, "n": 3, "m": ["a"], "x": [0, bytes(24)], "vs": [[-1, 7]]}
    event = {**table, "s": [0, bytes(24)], "v": [0, bytes(24)]}
    path.write_bytes(frames[0] + _reframe(frames[1], preamble={5: 3}, events=[event]))
    _, reader = read_texts(folder)
    assert [(Gap, 0, 3)] == [(type(v), v.first_seq, v.next_seq) for v in reader.verdicts]


def test_a_first_event_behind_what_stands_again_raises_nothing(tmp_path):
    """A forged file whose first frame stands behind what the next file holds again is read without an exception (a fuzzer found it)."""
    from battery import mutator

    found = Path(__file__).parents[1] / "battery" / "corpus"
    (tmp_path / "journal").mkdir()
    for data in sorted(found.glob("*.bin")):
        mutator.write_files(tmp_path / "journal", data.read_bytes())
        reader = JournalReader(tmp_path / "journal")
        list(reader.read())
        assert reader.verdicts


def test_a_look_ends_where_the_file_ended_when_it_began(tmp_path):
    """A writer that is as fast as its reader does not keep him: what it adds is for the next look."""
    writer = JournalWriter.create(tmp_path / "journal")
    numbers = itertools.count()
    for _ in range(3):
        writer.append(EventType.MESSAGE, level="info", text=str(next(numbers)))
    reader, seen = JournalReader(tmp_path / "journal"), []
    for at_most in (4, 8, 12):
        for frame in reader.poll():
            seen += [event.fields["text"] for event in frame.events if "text" in event.fields]
            writer.append(EventType.MESSAGE, level="info", text=str(next(numbers)))
            assert len(seen) <= at_most
    assert len(seen) >= 9
    assert [str(number) for number in range(len(seen))] == seen
    writer.close()
