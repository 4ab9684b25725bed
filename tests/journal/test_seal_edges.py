"""Corners of sealing and repair: what is refused, and why nothing is changed then."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter, Position, seal_index, sealer
from sacred.journal.codec import pack
from sacred.journal.epoch_file import EpochFile, NotYet
from sacred.journal.errors import NotSealableError, PositionContradictedError
from sacred.journal.frames import FrameDecoder, FrameEncoder, chain_after
from sacred.journal.garbage import collect
from sacred.journal.position import WriterPosition
from sacred.journal.repair import repair_run
from sacred.journal.root import RunFolder, epoch_file_name
from sacred.journal.seal import seal_run
from sacred.journal.seal_index import INDEX_MAGIC, LiveBounds, SealedFrame, SealIndex, read_index
from sacred.journal.sealer import seal_file
from sacred.journal.verdicts import Foreign, Loss
from sacred.journal.verification import verify

MESSAGE = EventType.MESSAGE
ID = 0x0123456789ABCDEF


def message(text, when=1):
    return pack({"t": when, "e": int(MESSAGE), "level": "info", "text": text})


def frame(first, chain, *events, count=None, writer=0, epoch=1, journal=ID):
    """Return a frame that says what it is told to say."""
    count = len(events) if count is None else count
    head = pack([0, journal, writer, epoch, first, count, chain])
    return FrameEncoder().encode(head + b"".join(events))


def began(first=0, chain=0, epoch=1, opened_by="start", writer=0, journal=ID, **more):
    """Return the first frame of a file: that of a process of another boot, which is dead."""
    event = {"t": 1, "e": 1, "format": 1, "min_reader": 1, "features": [], "journal": journal}
    event.update(opened_by=opened_by, host=os.uname().nodename, boot="another", pid=1, **more)
    place = {"writer": writer, "epoch": epoch, "journal": journal}
    return frame(first, chain, pack(event), count=0, **place)


def chained(*events, chain=0):
    """Return the chain before each event, each being alone in its frame, and the one behind all."""
    chains = [chain]
    for event in events:
        chains.append(chain_after(chains[-1], event))
    return chains


EVENTS = [message(str(n)) for n in range(5)]
CHAINS = chained(*EVENTS)
FRAMES = [frame(n, CHAINS[n], EVENTS[n]) for n in range(5)]


@pytest.fixture
def run(tmp_path):
    """A run's folder with an empty journal folder."""
    (tmp_path / "1" / "journal").mkdir(parents=True)
    return RunFolder(tmp_path / "1")


def file(run, *parts, epoch=1, writer=0):
    path = run.journal / epoch_file_name(writer, epoch)
    path.write_bytes(b"".join(parts))
    return path


def texts(run, position=None):
    reader = JournalReader(run.journal, position)
    return [e.fields["text"] for e in reader.read() if e.type == MESSAGE], reader


def wire(path):
    """Return all events of a file as they stand in it."""
    events, source = [], EpochFile(path, 0, 1)
    try:
        while True:
            found = source.next_frame()
            events += found.values[1:]
            if found.values[1]["e"] == EventType.SEALED:
                return events
    except NotYet:
        return events
    finally:
        source.close()


DAMAGED = bytearray(FRAMES[1])
DAMAGED[-1] ^= 1
OUTPUT = {"e": int(EventType.OUTPUT), "s": 1, "d": b"no spool"}


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([], "is empty"),
        ([b"\x28\xb5"], "is empty"),
        ([FRAMES[0]], "does not begin as a file of a journal does"),
        ([frame(0, 0, message("x"), count=0)], "does not begin as a file of a journal does"),
        ([frame(0, 0, pack([1]), count=0)], "does not begin as a file of a journal does"),
        ([began(epoch=2), FRAMES[0]], "of another writer or epoch"),
        ([began(), FRAMES[0], frame(1, CHAINS[1], EVENTS[1], journal=5)], "of something else"),
        ([began(), FRAMES[0], frame(1, CHAINS[1], EVENTS[1], epoch=2)], "of something else"),
        ([began(), FRAMES[0], FRAMES[2]], "lacks events before byte"),
        ([began(), FRAMES[0], frame(1, 7, EVENTS[1])], "lacks events before byte"),
        ([began(), FRAMES[0], bytes(DAMAGED), FRAMES[2]], "is damaged at byte"),
        ([began(), FRAMES[0], b"garbage, and more of it"], "is damaged at byte"),
        ([began(), frame(0, 0, EVENTS[0], count=3)], "tell of more events than they hold"),
    ],
)
def test_a_damaged_file_is_not_sealed(run, parts, why):
    """Sealing never makes damage look whole: the file stays as it is, and nothing lies beside it."""
    path = file(run, *parts)
    before = path.read_bytes()
    with pytest.raises(NotSealableError, match=why):
        seal_file(run.journal, 0, 1)
    assert path.read_bytes() == before
    assert os.listdir(run.journal) == [path.name]


def test_an_event_without_a_number_in_the_middle_costs_nothing(run):
    """A frame that takes no sequence number, as later versions may write, is passed over."""
    extra = frame(1, CHAINS[1], pack({"t": 1, "e": 200}), count=0)
    file(run, began(), FRAMES[0], extra, FRAMES[1])
    assert seal_file(run.journal, 0, 1).events == 2
    assert texts(run)[0] == ["0", "1"]


def test_what_stands_again_later_is_not_sealed_twice(run):
    """R2: a file is sealed up to where the next one begins; half of a frame is never taken."""
    path = file(run, began(), *FRAMES[:4])
    again = [frame(n, CHAINS[n], EVENTS[n], epoch=2) for n in (2, 3, 4)]
    file(run, began(2, CHAINS[2], epoch=2, opened_by="fault"), *again, epoch=2)
    assert [outcome.state for outcome in seal_run(run)] == ["sealed", "sealed"]
    descriptor = os.open(path, os.O_RDONLY)
    index = read_index(descriptor)
    os.close(descriptor)
    assert (index.first_seq, index.next_seq) == (0, 2)
    assert texts(run)[0] == ["0", "1", "2", "3", "4"]
    assert texts(run)[1].verdicts == []


def test_a_next_file_that_begins_inside_a_frame(run):
    """No writer makes that: the run says so, and both files stay."""
    wide = frame(1, CHAINS[1], EVENTS[1], EVENTS[2])
    file(run, began(), FRAMES[0], wide)
    again = [frame(n, CHAINS[n], EVENTS[n], epoch=2) for n in (2, 3)]
    file(run, began(2, CHAINS[2], epoch=2, opened_by="fault"), *again, epoch=2)
    with pytest.raises(NotSealableError, match="share half a frame"):
        seal_file(run.journal, 0, 1, until=2)
    assert {outcome.state for outcome in seal_run(run)} == {"damaged"}


def again(first, *numbers, epoch=2, opened_by="fault"):
    """Return the frames of a later file, in which events stand again."""
    head = began(first, CHAINS[first], epoch=epoch, opened_by=opened_by)
    return [head, *(frame(n, CHAINS[n], EVENTS[n], epoch=epoch) for n in numbers)]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("rest", "torn"),
    [
        ([bytes(DAMAGED)], len(DAMAGED)),
        ([bytes(DAMAGED), *FRAMES[2:4]], len(DAMAGED) + len(FRAMES[2] + FRAMES[3])),
        ([FRAMES[1], b"no frame"], 8),
        ([FRAMES[1], FRAMES[3], FRAMES[2]], 0),
        ([FRAMES[1][:40]], 40),
    ],
)
def test_damage_to_what_stands_whole_in_the_next_file_is_left_out(run, first, rest, torn):
    """A file is hit behind where the next one begins, or all of it stands there again: both are sealed, no event is missing."""
    path = file(run, began(), FRAMES[0], *rest)
    file(run, *again(first, *range(first, 5)), epoch=2)
    before, _ = texts(run)
    position = _everything(run)
    assert ["0", "1", "2", "3", "4"] == before
    outcomes = seal_run(run)
    assert ["sealed", "sealed"] == [outcome.state for outcome in outcomes]
    assert torn == outcomes[0].sealed.torn
    found, reader = texts(run)
    assert (before, [], []) == (found, reader.verdicts, reader.tails())
    assert (position, first) == (_everything(run), EpochFile(path, 0, 1).index().next_seq)
    assert [] == repair_run(run)


def test_a_file_of_which_nothing_counts_and_that_begins_in_damage_is_passed_over(run):
    """All of it stands again in the next one: there is nothing to seal, and nothing to repair."""
    head = bytearray(began())
    head[20] ^= 1
    path = file(run, bytes(head), *FRAMES[:3])
    before = path.read_bytes()
    file(run, *again(0, *range(5)), epoch=2)
    assert [] == repair_run(run)
    assert ["empty", "sealed"] == [outcome.state for outcome in seal_run(run)]
    assert (["0", "1", "2", "3", "4"], before) == (texts(run)[0], path.read_bytes())
    path.unlink()  # damage that costs nothing is unknown to the page's reader


def _everything(run):
    reader = JournalReader(run.journal)
    list(reader.poll())
    reader.close()
    return reader.position


def test_the_whole_files_of_a_damaged_writer_are_sealed(run):
    """Each for itself; but not the last one, which tells what became of the run: damage may hide that."""
    file(run, began(), *FRAMES[:2])
    hit = file(run, *again(2)[:1], frame(2, CHAINS[2], EVENTS[2], epoch=2)[:-1] + b"x", epoch=2)
    third = [frame(n, CHAINS[n], EVENTS[n], epoch=3) for n in (3,)]
    file(run, began(3, CHAINS[3], epoch=3, opened_by="rotation"), *third, epoch=3)
    file(run, *again(4, 4, epoch=4), epoch=4)
    other = file(run, began(writer=1), frame(0, 0, EVENTS[0], writer=1), writer=1)
    before = hit.read_bytes()
    outcomes = {outcome.path.name: outcome for outcome in seal_run(run)}
    states = [outcome.state for outcome in outcomes.values()]
    # The events that the second one lacks are missed where the third begins.
    assert ["sealed", "damaged", "damaged", "damaged", "sealed"] == states
    assert f"at byte {len(again(2)[0])} (a frame whose checksum" in outcomes[hit.name].reason
    assert "it is not whole: repair it first" == outcomes["w0000-e0003.jzst"].reason
    assert "repair w0000-e0003.jzst first" in outcomes["w0000-e0004.jzst"].reason
    assert (before, other.name) == (hit.read_bytes(), list(outcomes)[-1])
    assert all(outcome.reason is None for outcome in repair_run(run))
    assert {"sealed", "already"} == {outcome.state for outcome in seal_run(run)}
    assert ["0", "1", "3", "4", "0"] == texts(run)[0]


def test_a_file_that_lacks_its_end_is_not_sealed_as_if_it_were_whole(run):
    """Its length was hit, which looks like a torn end; the next file tells where it ended."""
    path = file(run, began(), FRAMES[0], FRAMES[1][:-9])
    file(run, *again(2, 2, opened_by="rotation"), epoch=2)
    with pytest.raises(NotSealableError, match="lacks its last events: repair it first"):
        seal_file(run.journal, 0, 1, until=2)
    assert ["damaged", "damaged"] == [outcome.state for outcome in seal_run(run)]
    assert path.read_bytes().endswith(FRAMES[1][:-9])
    assert [None] == [outcome.reason for outcome in repair_run(run)]
    assert {"sealed", "already"} == {outcome.state for outcome in seal_run(run)}


@pytest.mark.parametrize("rest", [[], [FRAMES[3]]])
def test_an_end_that_the_writer_told_to_be_lost_is_not_lacked(run, rest):
    """A full disk never took the last events before the next file, or those up to beyond its beginning."""
    path = file(run, began(), FRAMES[0], *rest)
    lost = [Loss(1, 3, "No space left on device", 5)]
    assert 1 == seal_file(run.journal, 0, 1, until=2, lost=lost).events
    index = EpochFile(path, 0, 1).index()
    assert (0, 1) == (index.first_seq, index.next_seq)


def test_a_file_of_something_else_is_passed_over(run):
    """Somebody put another journal's file there: it is named, and what is ours is sealed."""
    file(run, began(), *FRAMES[:2])
    stranger = file(run, began(epoch=2, journal=5), epoch=2)
    ours, other = seal_run(run)
    assert ("sealed", "damaged", stranger) == (ours.state, other.state, other.path)
    assert "move it out of the folder" in other.reason
    index = EpochFile.of(run.journal, 0, 1).index()
    assert 2 == index.next_seq


def test_a_file_that_turns_out_damaged_is_named(run, monkeypatch):
    """What the first look did not see, sealing does: the outcome says so."""
    file(run, began(), frame(0, 0, EVENTS[0]))
    refusal = NotSealableError("it changed")
    monkeypatch.setattr("sacred.journal.seal.seal_file", _raise(refusal))
    (outcome,) = seal_run(run)
    assert (outcome.state, outcome.reason) == ("damaged", "it changed")


def _raise(error):
    def call(*args, **more):
        raise error

    return call


def test_files_of_several_writers_and_one_that_is_empty(run):
    """Each file for itself; an empty one, left by a kill, stays, and the spool is the first's alone."""
    printed = pack({"t": 1, **OUTPUT})
    file(run, began(), frame(0, 0, printed))
    file(run, epoch=2)
    file(run, began(writer=1), frame(0, 0, EVENTS[0], writer=1), writer=1)
    outcomes = {outcome.path.name: outcome.state for outcome in seal_run(run)}
    assert outcomes["w0001-e0001.jzst"] == "sealed"
    assert outcomes["w0000-e0002.jzst"] == "empty"


def test_a_process_of_its_own_seals_what_another_closed(run):
    """`python -m sacred.journal.seal` seals the last file of a writer that was closed and lives."""
    writer = JournalWriter.create(run.path / "other" / "journal")
    writer.append(MESSAGE, level="info", text="one")
    writer.close()
    other = RunFolder(run.path / "other")
    assert [outcome.state for outcome in seal_run(other)] == ["growing"]
    command = [sys.executable, "-m", "sacred.journal.seal", str(other.path), "0", "1"]
    subprocess.run(command, check=True, timeout=60)
    assert [outcome.state for outcome in seal_run(other)] == ["already"]
    assert [outcome.state for outcome in seal_run(other, closed={0: 1})] == ["already"]


def test_the_main_of_that_process(run, monkeypatch):
    """It steps behind everything else, where the system has priorities."""
    from sacred.journal.seal import _main

    nice = []
    monkeypatch.setattr(os, "nice", nice.append)
    file(run, began(), FRAMES[0])
    _main(str(run.path), "0", "1")
    assert nice == [19]
    monkeypatch.delattr(os, "nice")
    _main(str(run.path), "0", "1")
    assert [outcome.state for outcome in seal_run(run)] == ["already"]


def test_a_point_of_a_later_version_is_sealed_as_it_is(run):
    """A point or a table with a field that this version does not know keeps it."""
    point = {"t": 1, "e": 16, "m": "x", "s": 0, "v": 0.5}
    column = [0, bytes(8)]
    table = {"t": 1, "e": 17, "n": 1, "m": ["x"], "x": column, "s": column, "v": column}
    odd = [pack({**point, "unit": "s"}), pack({**table, "unit": "s"})]
    chains = chained(*odd)
    path = file(run, began(), frame(0, 0, odd[0]), frame(1, chains[1], odd[1]))
    seal_file(run.journal, 0, 1)
    assert [event.get("unit") for event in wire(path)] == [None, "s", "s", None]


def test_long_texts_as_values_are_cut_into_tables_that_fit(run):
    """A table that would be larger than a frame is halved until it fits."""
    events = [
        pack({"t": n, "e": 16, "m": "x", "s": n, "v": f"{n}" + "x" * 100_000}) for n in range(8)
    ]
    chains = chained(*events)
    path = file(run, began(), *(frame(n, chains[n], events[n]) for n in range(8)))
    assert seal_file(run.journal, 0, 1).events == 8
    found = [e.fields["table"] for e in JournalReader(run.journal).read() if e.type == 17]
    assert sum(table.rows for table in found) == 8
    assert len(found) > 1
    assert path.stat().st_size < 100_000


def test_points_that_do_not_come_back_are_not_sealed(run, monkeypatch):
    """Each table is decoded and compared before it is written."""
    points = [pack({"t": n * 1000, "e": 16, "m": "x", "s": n, "v": n / 2}) for n in range(8)]
    chains = chained(*points)
    file(run, began(), *(frame(n, chains[n], points[n]) for n in range(8)))
    real = sealer.decode_table
    monkeypatch.setattr(
        sealer, "decode_table", lambda fields: real(fields)._replace(steps=list(range(1, 9)))
    )
    with pytest.raises(NotSealableError, match="do not come back as they were"):
        seal_file(run.journal, 0, 1)


def test_frames_and_an_index_that_do_not_come_back_are_not_kept(run, monkeypatch):
    """A frame that decodes to other events, and an index that can not be read."""
    path = file(run, began(), *FRAMES)
    before = path.read_bytes()
    real = FrameDecoder.decode

    def other(self, data, size):
        return real(self, data, size).replace(b"info", b"warn")

    with monkeypatch.context() as patch:
        patch.setattr(sealer, "FrameDecoder", type("Other", (FrameDecoder,), {"decode": other}))
        with pytest.raises(NotSealableError, match="come back as it was"):
            seal_file(run.journal, 0, 1)
    monkeypatch.setattr(sealer, "read_index", lambda descriptor: None)
    with pytest.raises(NotSealableError, match="index that was written"):
        seal_file(run.journal, 0, 1)
    assert path.read_bytes() == before


def test_a_disk_that_takes_a_part_leaves_the_file(run, monkeypatch):
    """A short write, and what was written aside can not even be removed: the file is as it was."""
    path = file(run, began(), *FRAMES)
    before = path.read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:5]))
    monkeypatch.setattr(os, "unlink", _raise(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        seal_file(run.journal, 0, 1)
    assert path.read_bytes() == before


def test_a_system_without_modes_seals_all_the_same(run, monkeypatch):
    """Where a file has no mode to keep, nothing else changes."""
    monkeypatch.delattr(os, "fchmod")
    file(run, began(), *FRAMES)
    assert seal_file(run.journal, 0, 1).events == 5
    assert texts(run)[0] == ["0", "1", "2", "3", "4"]


# -- the index -----------------------------------------------------------------------------------


def sealed(run):
    """Seal a file of five messages; return its path and what its index says."""
    path = file(run, began(), *FRAMES)
    seal_file(run.journal, 0, 1)
    descriptor = os.open(path, os.O_RDONLY)
    index = read_index(descriptor)
    os.close(descriptor)
    return path, index


def test_the_index_of_a_sealed_file_proves_the_chain(run):
    """R5: a position on a bound of the live file holds with its chain, and with no other."""
    _, index = sealed(run)
    for n in range(6):
        assert index.proves(n, CHAINS[n])
        if n:
            assert not index.proves(n, CHAINS[n] ^ 1)
            assert texts(run, Position({0: WriterPosition(1, n, CHAINS[n])}))[0] == [
                str(number) for number in range(n, 5)
            ]
            with pytest.raises(PositionContradictedError):
                texts(run, Position({0: WriterPosition(1, n, CHAINS[n] ^ 1)}))
    assert index.frame_of(-1) is None
    assert index.frame_of(5) is None
    assert index.frame_of(0).first_seq == 0


def test_a_reader_asks_the_index_whether_a_position_holds(run):
    """A frame of a sealed file holds the positions that its index proves, unless that is damaged."""
    path, index = sealed(run)
    reader = JournalReader(run.journal)
    _, content, *_ = reader.poll()
    at = content.after
    assert reader.holds(content, at._replace(next_seq=2, chain=CHAINS[2]))
    assert not reader.holds(content, at._replace(next_seq=2, chain=CHAINS[2] ^ 1))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(INDEX_MAGIC)])
    assert not JournalReader(run.journal).holds(content, at._replace(next_seq=2, chain=CHAINS[2]))
    assert index is not None


def test_a_damaged_index_is_none(run, tmp_path):
    """Every byte of the index and the seek table damaged, cut, or forged: none, or the same."""
    path, index = sealed(run)
    data = path.read_bytes()
    begin = data.index(INDEX_MAGIC)

    def read(content):
        forged = tmp_path / "forged"
        forged.write_bytes(content)
        descriptor = os.open(forged, os.O_RDONLY)
        try:
            return read_index(descriptor)
        finally:
            os.close(descriptor)

    rng = random.Random(7)
    for at in range(begin, len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        assert read(bytes(changed)) in (None, index)
        # Without the seek table it is found from frame to frame.
        whole = at >= begin + 8 + int.from_bytes(data[begin + 4 : begin + 8], "little")
        assert read(data[:at]) == (index if whole else None)
        if whole:
            assert read(bytes(changed)) == index
    # Behind the frame of the index something more, its sizes being right.
    frames = len(index.frames) + 3  # with the first of the file, the one that ends it, the index
    size = int.from_bytes(data[begin + 4 : begin + 8], "little")
    content = data[begin + 8 : begin + 8 + size]
    for more in (content + b"x", content[:-1], b"\x28\xb5" * 20, content[:10]):
        body = INDEX_MAGIC + len(more).to_bytes(4, "little") + more
        table = bytearray(data[begin + 8 + size :])
        entry = len(table) - 9 - 8
        table[entry : entry + 4] = len(body).to_bytes(4, "little")
        assert read(data[:begin] + body + bytes(table)) is None
    assert len(table) == 8 + 8 * frames + 9
    # A number of entries that no file has, and one of none.
    for entries in (0, 1 << 21, (1 << 32) - 1):
        changed = bytearray(data)
        changed[-9:-5] = entries.to_bytes(4, "little")
        assert read(bytes(changed)) == index  # found from frame to frame


def test_an_index_that_says_nonsense_is_none(run, tmp_path):
    """Whole by its checksum, and its numbers are none."""
    _, index = sealed(run)
    for change in ({"first_seq": "a"}, {"chain": None}, {"end": 1.5}):
        forged = tmp_path / "forged"
        forged.write_bytes(seal_index.write_index(index._replace(**change), [(1, 1)]))
        descriptor = os.open(forged, os.O_RDONLY)
        assert read_index(descriptor) is None
        os.close(descriptor)
    live = LiveBounds([0], [0])
    other = SealIndex(0, 1, 0, 5, live, [SealedFrame(0, 0, 1, 0, 0, (1,))], [])
    (tmp_path / "forged").write_bytes(seal_index.write_index(other, [(1, 1)]))
    descriptor = os.open(tmp_path / "forged", os.O_RDONLY)
    assert read_index(descriptor) == other
    os.close(descriptor)


# -- repair --------------------------------------------------------------------------------------


def test_a_file_with_nothing_whole_of_the_journal_is_left(run):
    """The copy of another journal's file: there is nothing to be written anew."""
    file(run, began(), FRAMES[0])
    stranger = file(run, began(journal=5, writer=1), writer=1)
    (outcome,) = repair_run(run, force=True)
    assert (outcome.path, outcome.kept) == (stranger, None)
    assert outcome.reason == "it is of something else than this run: move it out of the folder"


def test_a_file_with_nothing_whole_is_left(run):
    """Noise and nothing else, behind a file that is whole: there is nothing to be written anew."""
    file(run, began(), FRAMES[0])
    noise = run.journal / "w0000-e0002.jzst"
    noise.write_bytes(b"\xa5" * 700)
    (outcome,) = repair_run(run, force=True)
    assert (outcome.path, outcome.kept) == (noise, None)
    assert outcome.reason == "nothing whole is in it: move it out of the folder"
    assert ["sealed", "damaged"] == [outcome.state for outcome in seal_run(run, force=True)]
    run.root.create()
    (obstacle,) = collect(run.root, dry_run=True).obstacles
    assert ("w0000-e0002.jzst: nothing whole is in it: move it out of the folder", True, False) == (
        obstacle.reason,
        obstacle.damaged,
        obstacle.reparable,
    )
    noise.unlink()
    assert verify(run).clean


def test_a_journal_of_noise_alone(run):
    """There is nothing else: no seal and no removal of stored files passes over it; an empty file may."""
    noise = run.journal / "w0000-e0001.jzst"
    noise.write_bytes(b"\xa5" * 700)
    run.root.create()
    assert [] == repair_run(run, force=True)
    assert ["damaged"] == [outcome.state for outcome in seal_run(run, force=True)]
    (obstacle,) = collect(run.root, dry_run=True).obstacles
    assert (
        "w0000-e0001.jzst is damaged at byte 0: nothing whole is in it: move it out of the folder",
        True,
        False,
    ) == (obstacle.reason, obstacle.damaged, obstacle.reparable)
    noise.write_bytes(b"")
    assert ["empty"] == [outcome.state for outcome in seal_run(run, force=True)]
    assert () == tuple(collect(run.root, dry_run=True).obstacles)


def test_a_file_with_nothing_whole_whose_events_stand_again_is_nobodys_business(run):
    """Noise, and all that may have been in it stands in the next file: all tools agree that it is well."""
    file(run, b"\xa5" * 700)
    file(run, began(epoch=2), frame(0, 0, EVENTS[0], epoch=2), epoch=2)
    assert [] == repair_run(run, force=True)
    assert verify(run).clean
    assert ["empty", "sealed"] == [outcome.state for outcome in seal_run(run, force=True)]


def test_a_file_that_is_cut_while_it_is_repaired_is_left(run, monkeypatch):
    """There was damage in it, and when it is to be written anew nothing whole is left."""
    file(run, began(), FRAMES[0], bytes(DAMAGED), FRAMES[2])
    monkeypatch.setattr("sacred.journal.repair._all_whole", lambda *_: iter(()))
    (outcome,) = repair_run(run, force=True)
    assert ("no frame of this journal is whole in it", None) == (outcome.reason, outcome.kept)


def test_a_file_that_can_not_be_repaired_is_named(run, monkeypatch):
    """It changed meanwhile: the outcome says why nothing was done."""
    file(run, began(), FRAMES[0], bytes(DAMAGED), FRAMES[2])
    refusal = NotSealableError("it changed")
    monkeypatch.setattr("sacred.journal.repair.write_sealed", _raise(refusal))
    (outcome,) = repair_run(run)
    assert (outcome.kept, outcome.reason, outcome.lost) == (None, "it changed", [(1, 2)])


def test_an_end_that_is_whole_by_now_is_no_damage(run, monkeypatch):
    """Between two looks the writer finished its frame, or its file went away."""
    path = file(run, began(), FRAMES[0][:-3])
    reader = JournalReader(run.journal)
    assert [] == [f for f in reader.poll() if f.count]
    (tail,) = reader.tails()
    assert (tail.offset, tail.damaged) == (len(began()), False)
    path.write_bytes(began() + b"no frame")
    other = JournalReader(run.journal)
    list(other.poll())
    (tail,) = other.tails()
    assert tail.damaged
    path.write_bytes(began() + FRAMES[0])
    cursor = other._cursors[0]
    cursor.file.reread(tail.offset)
    assert not cursor.ends_in_damage(cursor.file)
    assert ["0"] == [e.fields["text"] for f in other.poll() for e in f.events if e.seq >= 0]


def test_frames_of_others_are_left_out(run):
    """A frame of another journal in the middle, and damage: what is ours is kept."""
    foreign = frame(9, 9, message("foreign"), journal=5)
    file(run, began(), FRAMES[0], foreign, bytes(DAMAGED), FRAMES[2])
    (outcome,) = repair_run(run)
    assert outcome.reason is None
    assert outcome.lost == [(1, 2)]
    found, reader = texts(run)
    assert found == ["0", "2"]
    assert not [verdict for verdict in reader.verdicts if isinstance(verdict, Foreign)]


def test_a_seal_that_does_not_say_where_it_ends(run):
    """The event that ends a damaged sealed file holds nonsense: the frames say where it ended."""
    end = frame(3, 7, pack({"t": 1, "e": int(EventType.SEALED), "next_seq": "x"}), count=0)
    begin = began(opened_by="seal")
    file(run, begin, FRAMES[0], bytes(DAMAGED), FRAMES[2], end)
    (outcome,) = repair_run(run, force=True)
    assert outcome.reason is None
    assert texts(run)[0] == ["0", "2"]


def test_a_second_repair_names_both_losses(run):
    """What one repair wrote down as lost stays written down by the next."""
    other = bytearray(FRAMES[3])
    other[-1] ^= 1
    path = file(run, began(), FRAMES[0], bytes(DAMAGED), FRAMES[2], bytes(other), FRAMES[4])
    (outcome,) = repair_run(run)
    assert outcome.lost == [(1, 2), (3, 4)]
    data = bytearray(path.read_bytes())
    descriptor = os.open(path, os.O_RDONLY)
    frames = read_index(descriptor).frames
    os.close(descriptor)
    assert [(found.first_seq, found.count) for found in frames] == [(0, 1), (2, 1), (4, 1)]
    data[frames[0].offset + 20] ^= 1
    path.write_bytes(data)
    (outcome,) = repair_run(run)
    assert outcome.lost == [(0, 1)]  # the other was known
    (begin, *_) = wire(path)
    assert [entry[:2] for entry in begin["lost"]] == [[1, 2], [3, 4], [0, 1]]
    found, reader = texts(run)
    assert found == ["2", "4"]
    named = [(gap.first_seq, gap.next_seq, gap.repaired) for gap in reader.verdicts]
    assert named == [(0, 1, True), (1, 2, True), (3, 4, True)]


def test_a_file_that_the_system_does_not_let_us_read(tmp_path, monkeypatch):
    """It is not called damaged; nor is the one before it sealed as the last, which it may not be."""
    folder = tmp_path / "1" / "journal"
    writer = JournalWriter.create(folder)
    writer.append(MESSAGE, level="info", text="whole")
    writer.close()
    closed = folder / epoch_file_name(0, 2)
    closed.write_bytes(writer.path.read_bytes())
    really_open = os.open

    def refuse(path, *rest, **options):
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_open(path, *rest, **options)

    monkeypatch.setattr(os, "open", refuse)
    before = writer.path.read_bytes()
    first, second = seal_run(RunFolder(folder.parent, 1), force=True)
    assert ["unknown", "unknown"] == [first.state, second.state]
    assert first.reason.startswith("w0000-e0002.jzst can not be read, and may tell")
    assert "ask its owner for the right to read it" in second.reason
    assert before == writer.path.read_bytes()
