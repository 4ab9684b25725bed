"""Corners of the journal that no story of a run comes by: each is the one of a bug, or of a branch."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import msgpack
import pytest

from sacred.journal import (
    EventType,
    JournalReader,
    JournalWriter,
    Position,
    codec,
    descriptors,
    exclusion,
    flusher,
)
from sacred.journal import epoch_writer as epoch_writer_module
from sacred.journal import file_writer as file_writer_module
from sacred.journal.blobs import BlobStore
from sacred.journal.codec import Array, ObjectText, new_packer, pack, split, unpack, unpack_all
from sacred.journal.epoch_file import EpochFile
from sacred.journal.errors import (
    InvalidEventError,
    JournalUnreadableError,
    NotAJournalError,
    PositionContradictedError,
    WriterClosedError,
)
from sacred.journal.frames import (
    FrameDamagedError,
    FrameDecoder,
    FrameEncoder,
    chain_after,
    frame_bounds,
)
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.packing import FRAME_BYTES
from sacred.journal.position import WriterPosition
from sacred.journal.root import RunFolder, epoch_file_name
from sacred.journal.seal_index import INDEX_MAGIC
from sacred.journal.sealer import seal_file
from sacred.journal.spool import encode_record, read_spool
from sacred.journal.tables import TableLength, decode_length, decode_numbers, decode_table
from sacred.journal.verdicts import Foreign, Gap, Tail

MESSAGE = EventType.MESSAGE
KEYS_OF_A_MESSAGE = {"e": int(MESSAGE), "level": "info"}
ID = 0x0123456789ABCDEF


def say(writer, text):
    return writer.append(MESSAGE, level="info", text=text)


def texts(folder, position=None):
    reader = JournalReader(folder, position)
    return [e.fields["text"] for e in reader.read() if e.type == MESSAGE], reader


def message(text, when=1):
    return pack({"t": when, **KEYS_OF_A_MESSAGE, "text": text})


def frame(first, chain, *events, count=None, writer=0, epoch=1, journal=ID, mark=0):
    """Return a frame that says what it is told to say."""
    count = len(events) if count is None else count
    head = pack([mark, journal, writer, epoch, first, count, chain])
    return FrameEncoder().encode(head + b"".join(events))


def began(first=0, chain=0, epoch=1, opened_by="start", writer=0, journal=ID, **more):
    """Return the first frame of a file."""
    event = {"t": 1, "e": 1, "format": 1, "min_reader": 1, "features": [], "journal": journal}
    event.update(opened_by=opened_by, **more)
    place = {"writer": writer, "epoch": epoch, "journal": journal}
    return frame(first, chain, pack(event), count=0, **place)


def chained(*events, chain=0):
    """Return the chain before each event, each being alone in its frame, and the one behind all."""
    chains = [chain]
    for event in events:
        chains.append(chain_after(chains[-1], event))
    return chains


def file(folder, *parts, epoch=1, writer=0):
    folder.mkdir(exist_ok=True)
    path = folder / epoch_file_name(writer, epoch)
    path.write_bytes(b"".join(parts))
    return path


@pytest.fixture
def no_background(monkeypatch):
    """Let the flusher never run: what happens is what the callers do."""
    monkeypatch.setattr(JournalWriter, "_rouse", lambda self: None)


@pytest.fixture
def folder(tmp_path):
    """The folder of a journal."""
    return tmp_path / "journal"


def refuse(number):
    def call(*args, **more):
        raise OSError(number, os.strerror(number))

    return call


# -- values --------------------------------------------------------------------------------------


def test_arrays_are_lists_with_and_without_numpy():
    """Each kind of element, any shape, also an empty one and one that only numpy knows."""
    assert Array("|b1", (3,), b"\1\0\1").tolist() == [True, False, True]
    assert Array("<i2", (2, 2), b"\1\0\2\0\3\0\4\0").tolist() == [[1, 2], [3, 4]]
    assert Array("<f8", (), bytes(8)).tolist() == 0.0
    assert Array("<u1", (2, 0), b"").tolist() == [[], []]
    pytest.importorskip("numpy")
    assert Array("<c8", (1,), bytes(8)).tolist() == [0j]


def test_arrays_and_numbers_of_numpy_that_have_no_plain_form():
    """An array of objects becomes a list, a number wider than Python's a text."""
    np = pytest.importorskip("numpy")
    assert unpack(pack(np.array([1, "a", None], dtype=object))) == [1, "a", None]
    assert type(unpack(pack(np.longdouble(1)))) is ObjectText
    packed = new_packer().pack
    assert [unpack(packed(v)) for v in (np.int8(3), np.float32(0.5), np.str_("a"))] == [3, 0.5, "a"]
    with pytest.raises(TypeError):
        packed(np.datetime64("2020-01-01"))


def test_a_packer_of_ones_own_takes_subclasses():
    """What a writer packs in one go may be of a class derived from a number or a text."""

    class Float(float):
        pass

    class Text(str):
        __slots__ = ()

    packed = new_packer().pack
    assert [unpack(packed(value)) for value in (Float(0.5), Text("a"), True)] == [0.5, "a", True]
    with pytest.raises(TypeError):
        packed(object())

    class Bytes(bytes):
        __slots__ = ()

    values = [Float(0.5), bytearray(b"x"), memoryview(b"y"), Bytes(b"z")]
    assert unpack(pack(values)) == [0.5, b"x", b"y", b"z"]


def test_what_was_read_can_be_written_again():
    """An array, as it is read, is encoded as it was."""
    array = Array("<i4", (1,), b"\1\0\0\0")
    assert unpack(pack(array)) == array


def test_values_of_libraries():
    """Times, paths, and what pandas has."""
    assert unpack(pack([dt.time(12, 30), Path("a/b")])) == [dt.time(12, 30), os.path.join("a", "b")]
    pd = pytest.importorskip("pandas")
    assert unpack(pack(pd.Series([1, 2]))) == {0: 1, 1: 2}
    assert unpack(pack(pd.DataFrame({"a": [1]}))) == {"a": {0: 1}}
    assert unpack(pack(pd.Index([1, 2]))) == [1, 2]
    assert unpack(pack(Path("a"))) == "a"


def test_libraries_that_are_not_loaded_are_not_asked(monkeypatch):
    """A program without numpy and pandas, or in the middle of importing them, records all the same."""
    for modules in ({}, {"numpy": object(), "pandas": object(), "pathlib": None}):
        for name in ("numpy", "pandas", "pathlib"):
            monkeypatch.setitem(sys.modules, name, modules.get(name))
        assert unpack(pack({1j, 2})) == {1j, 2}
        assert type(unpack(pack(object()))) is ObjectText


def test_a_value_beyond_all_limits_is_refused(monkeypatch):
    """What msgpack refuses twice (more than 4 GiB) is an error of the package's."""

    def refused(value):
        raise ValueError("memory")

    monkeypatch.setattr(codec, "_pack_plain", refused)
    with pytest.raises(InvalidEventError, match="can not be journalled: memory"):
        pack({"x": 1})


@pytest.mark.parametrize("code", [2, 5, 8, 10, 99])
def test_an_extension_that_does_not_decode_is_shown(code):
    """Data that is not what its number promises is an object of that name, never an exception."""
    for data in (b"\xc1", b"\x80", b"\x90"):
        found = unpack(msgpack.packb(msgpack.ExtType(code, data)))
        assert found == ObjectText(f"msgpack.ext{code}", data.hex())


def test_a_forged_nesting_is_cut():
    """Extension values within one another are read to a depth of 32: more would end the process."""
    forged = b"\x01"
    for _ in range(40):
        forged = msgpack.packb(msgpack.ExtType(3, b"\x91" + forged))
    value, depth = unpack(forged), 0
    while isinstance(value, tuple) and not isinstance(value, ObjectText):
        value, depth = value[0], depth + 1
    assert (type(value), depth) == (ObjectText, codec.MAX_NESTED)


def test_keys_that_can_be_none_are_refused():
    """A list as the key of a map is an error of the value, by whichever way it is read."""
    for read in (unpack, unpack_all):
        with pytest.raises(ValueError, match="a key that can be none"):
            read(b"\x81\x91\x01\x02")
    for read in (unpack_all, split):
        with pytest.raises(ValueError, match="ends inside a value"):
            read(b"\x92\x01")


# -- tables --------------------------------------------------------------------------------------


def test_a_length_is_a_number_of_rows():
    """Who needs the length of a table alone gets it, or a ValueError."""
    assert decode_length({"n": 7}).from_row(3) == TableLength(4)
    for rows in (0, -1, "7", 1.5):
        with pytest.raises(ValueError, match="no rows"):
            decode_length({"n": rows})


def test_columns_of_another_length_are_refused():
    """Numbers that are too few, and a table of two metrics that does not tell them apart."""
    with pytest.raises(ValueError, match="another length"):
        decode_numbers(bytes(8), 2)
    column = [0, bytes(8)]
    with pytest.raises(ValueError, match="tells its metrics apart"):
        decode_table({"n": 1, "m": ["a", "b"], "x": column, "s": column, "v": column})


# -- frames --------------------------------------------------------------------------------------


def test_a_beginning_that_is_none_is_damage():
    """Two bytes that begin no magic are no torn frame, and a size that does not fit is none either."""
    with pytest.raises(FrameDamagedError):
        frame_bounds(b"ab", 0)
    assert frame_bounds(b"\x28\xb5", 0) is None
    whole = FrameEncoder().encode(bytes(500))
    with pytest.raises(FrameDamagedError, match="not the size"):
        FrameDecoder().decode(whole, 499)


@pytest.mark.parametrize("values", [[1, ID, 0, 1, 0, 1, 0], [0, ID, 0, 1, -1, 1, 0], [0, ID, 0, 1]])
def test_a_preamble_that_is_none(folder, values):
    """A frame, whole by its checksum, whose preamble is none: damage, and reading goes on behind."""
    one, two = message("one"), message("two")
    chains = chained(one, two)
    forged = FrameEncoder().encode(pack(values) + one)
    file(folder, began(), frame(0, 0, one), forged, frame(1, chains[1], two))
    found, reader = texts(folder)
    assert found == ["one", "two"]
    assert [type(verdict) for verdict in reader.verdicts] == [Foreign]
    assert "no event was lost" in str(reader.verdicts[0])


def test_a_search_goes_on_beyond_its_buffer(folder):
    """A whole frame behind megabytes of nothing is found."""
    one, two = message("one"), message("two")
    chains = chained(one, two)
    hole = bytes((2 << 20) + 12345)
    file(folder, began(), frame(0, 0, one), hole, frame(1, chains[1], two))
    assert texts(folder)[0] == ["one", "two"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_no_file(tmp_path):
    """Nobody waits at a pipe that has the name of a file."""
    path = tmp_path / epoch_file_name(0, 1)
    os.mkfifo(path)
    pipe = EpochFile.of(tmp_path, 0, 1)
    with pytest.raises(OSError, match="no regular file"):
        pipe.next_frame()
    assert pipe.index() is None
    assert EpochFile.of(tmp_path, 0, 2).index() is None


# -- verdicts ------------------------------------------------------------------------------------


def test_verdicts_say_where_and_what():
    """Each names the file, the byte and the numbers in a sentence."""
    assert str(Tail(0, 1, 10, 3)) == (
        "w0000-e0001.jzst: the last 3 bytes (from byte 10) are not whole"
    )
    assert str(Gap(0, 1, 10, 5, 7, "why")) == (
        "w0000-e0001.jzst: events 5 to 6 lost at byte 10: why"
    )
    assert str(Gap(0, 1, 10, 5, 6, "why")) == "w0000-e0001.jzst: event 5 lost at byte 10: why"
    assert str(Tail(0, 1, 10, 1)).endswith("the last byte (from byte 10) is not whole")
    assert "1 byte at byte 10 skipped: why" in str(Foreign(0, 1, 10, 1, "why"))
    assert "no event but their order is lost at byte 10" in str(Gap(0, 1, 10, 5, 5, "why"))
    assert str(Gap(0, 1, 10, 5, -1, "why")) == (
        "w0000-e0001.jzst: the events from 5 on are lost: why"
    )
    assert str(Gap(0, 1, 10, 5, 7, "why", repaired=True)) == (
        "w0000-e0001.jzst: events 5 to 6 lost before it was repaired: why"
    )
    assert str(Foreign(0, 1, 10, 0, "why")) == "w0000-e0001.jzst: skipped: why"
    assert str(Foreign(0, 1, 10, 4, "why")) == ("w0000-e0001.jzst: 4 bytes at byte 10 skipped: why")


# -- reader --------------------------------------------------------------------------------------


def two_writers(folder):
    """Make a journal of two writers, three messages each."""
    for number in (0, 1):
        events = [message(f"{number}{n}", 10 * n + number) for n in range(3)]
        chains = chained(*events)
        frames = [frame(n, chains[n], events[n], writer=number) for n in range(3)]
        file(folder, began(writer=number), *frames, writer=number)


def test_reading_stops_after_so_many_frames(folder):
    """A limit ends a look in the middle of a file, and the next look goes on there: one frame of each writer, beside those that begin its files."""
    two_writers(folder)
    reader = JournalReader(folder)
    assert list(reader.poll(0)) == []
    assert reader.tails() == []
    reader.close()
    seen = []
    while some := list(reader.poll(1)):
        assert sorted(frame.writer for frame in some if frame.count) == [0, 1]
        seen += some
    assert len(seen) == 8  # with the first of each file
    assert reader.verdicts == []


def test_a_writer_that_vanishes_during_a_look(folder):
    """Its files are removed while another writer's are read: there is no more, and no exception."""
    two_writers(folder)
    reader = JournalReader(folder)
    poll = reader.poll()
    next(poll)
    os.unlink(folder / epoch_file_name(1, 1))
    list(JournalReader.poll(reader, 0))
    assert {found.writer for found in poll} == {0}


def test_reading_by_time_goes_on(folder):
    """The second look by time gives what came since."""
    two_writers(folder)
    reader = JournalReader(folder)
    first = [e.fields["text"] for e in reader.read("time") if e.type == MESSAGE]
    assert first == ["00", "10", "01", "11", "02", "12"]
    events = [message(f"0{n}", 10 * n) for n in range(3)]
    with open(folder / epoch_file_name(0, 1), "ab") as more:
        more.write(frame(3, chained(*events)[3], message("03", 40)))
    assert [e.fields["text"] for e in reader.read("time")] == ["03"]


def test_an_end_that_does_not_grow_is_looked_at_once(folder, monkeypatch):
    """A torn end: nothing is searched behind it again before something came."""
    path = file(folder, began(), frame(0, 0, message("one")), b"\x28\xb5\x2f")
    reader = JournalReader(folder)
    assert len(list(reader.poll())) == 2
    searched = []
    real = EpochFile.resync
    monkeypatch.setattr(
        EpochFile, "resync", lambda self, accept: searched.append(self) or real(self, accept)
    )
    assert list(reader.poll()) == []
    assert searched == []
    assert [(tail.offset, tail.size) for tail in reader.tails()] == [(path.stat().st_size - 3, 3)]
    with open(path, "ab") as more:
        more.write(b"\xfd")
    assert list(reader.poll()) == []
    assert len(searched) == 1


def test_damage_to_what_stands_again_is_told_by_what_is_missing(folder):
    """P4: damage in frames that the next file has again costs nothing and is no verdict."""
    events = [message(str(n)) for n in range(4)]
    chains = chained(*events)
    frames = [frame(n, chains[n], events[n]) for n in range(4)]
    damaged = bytearray(frames[2])
    damaged[-1] ^= 1
    file(folder, began(), *frames[:2], bytes(damaged), frames[3])
    again = [frame(n, chains[n], events[n], epoch=2) for n in (2, 3)]
    file(folder, began(2, chains[2], epoch=2, opened_by="fault"), *again, epoch=2)
    found, reader = texts(folder)
    assert found == ["0", "1", "2", "3"]
    assert reader.verdicts == []
    shutil.rmtree(folder)  # the page's reader does not look behind damage


def test_a_position_before_damage_is_contradicted(folder):
    """The frame that would prove a position is gone, and the one behind tells of another past."""
    events = [message(str(n)) for n in range(4)]
    chains = chained(*events)
    frames = [frame(n, chains[n], events[n]) for n in range(4)]
    file(folder, began(), frames[0], b"\0" * len(frames[1]), *frames[2:])
    right = Position({0: WriterPosition(1, 2, chains[2], 0)})
    assert texts(folder, right)[0] == ["2", "3"]
    with pytest.raises(PositionContradictedError):
        texts(folder, Position({0: WriterPosition(1, 2, chains[2] ^ 1, 0)}))


def test_a_frame_that_shares_half_with_the_one_before_is_foreign(folder):
    """No writer moves its bounds: a frame that begins inside of what was read is not taken."""
    events = [message(str(n)) for n in range(4)]
    chains = chained(*events)
    file(folder, began(), *(frame(n, chains[n], events[n]) for n in range(3)))
    wide = frame(2, chains[2], events[2], events[3], epoch=2)
    file(folder, began(3, chains[3], epoch=2, opened_by="fault"), wide, epoch=2)
    found, reader = texts(folder)
    assert found == ["0", "1", "2"]
    assert [verdict.reason for verdict in reader.verdicts] == [
        "a frame whose sequence numbers were there before"
    ]


def test_other_events_under_numbers_that_were_read_are_foreign(folder):
    """A later file that holds an exchanged copy of the frame before its first one."""
    events = [message(str(n)) for n in range(3)]
    chains = chained(*events)
    file(folder, began(), *(frame(n, chains[n], events[n]) for n in range(2)))
    other = frame(1, chains[1], message("x"), epoch=2)
    begin = began(2, chains[2], epoch=2, opened_by="fault")
    file(folder, begin, other, frame(2, chains[2], events[2], epoch=2), epoch=2)
    found, reader = texts(folder)
    assert found == ["0", "1", "2"]
    assert [verdict.reason for verdict in reader.verdicts] == [
        "a frame whose sequence numbers were there before"
    ]


def test_a_position_is_held_by_the_frame_it_lies_in(folder):
    """R5: who folds a journal anew asks whether a position lies on a frame's end, also of old ones."""
    events = [message(str(n)) for n in range(3)]
    chains = chained(*events)
    file(folder, began(), frame(0, 0, events[0], events[1]), frame(2, chains[2], events[2]))
    reader = JournalReader(folder)
    _, wide, last = reader.poll()
    assert reader.holds(wide, wide.after)
    assert not reader.holds(wide, wide.after._replace(chain=wide.after.chain ^ 1))
    assert not reader.holds(last, WriterPosition(1, 2, 5))  # inside of it nobody ever stood


@pytest.mark.parametrize("call", ["read", "open"])
def test_a_disk_that_fails_at_any_read(folder, monkeypatch, call):
    """EIO at the k-th call, once or for ever: a verdict or an error that says so; nothing is wrong."""
    monkeypatch.setattr("sacred.journal.epoch_file._READ", 256)
    two_writers(folder)
    with open(folder / epoch_file_name(0, 1), "r+b") as damaged:
        damaged.seek(60)
        damaged.write(b"\0")
    file(folder, b"\x28\xb5", epoch=2)
    events = [message(f"0{n}", 10 * n) for n in range(4)]
    chains = chained(*events)
    last = frame(3, chains[3], events[3], epoch=3)
    file(folder, began(3, chains[3], epoch=3, opened_by="fault"), last, epoch=3)
    real = getattr(os, call)
    silent = refused = told = 0
    for at in range(1, 60):
        for once in (True, False):
            calls = 0

            def fail(*args, at=at, once=once, **more):
                nonlocal calls
                calls += 1
                if calls == at or (calls > at and not once):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return real(*args, **more)

            with monkeypatch.context() as patch:
                patch.setattr(os, call, fail)
                try:
                    found, reader = texts(folder)
                    reader.tails()
                except JournalUnreadableError:
                    refused += 1
                    continue
            assert set(found) <= {f"{w}{n}" for w in range(2) for n in range(4)}
            assert found == sorted(found)
            told += any("nput/output" in str(verdict) for verdict in reader.verdicts)
            silent += calls < at
    assert refused
    assert told
    assert silent  # the last rounds come to the end before the failure


@pytest.mark.parametrize("change", [{"journal": 5}, {"epoch": 2}, {"writer": 1}])
def test_a_frame_that_would_fit_is_foreign_all_the_same(folder, change):
    """P4: number and chain continue, but it says that it belongs to something else: not taken."""
    events = [message(str(n)) for n in range(3)]
    chains = chained(*events)
    ours = frame(0, 0, events[0]), frame(1, chains[1], events[1])
    stranger = frame(1, chains[1], events[1], **change)
    for parts, wanted in (
        ((ours[0], stranger), ["0"]),
        ((ours[0], stranger, ours[1]), ["0", "1"]),
        ((ours[0], b"damage", stranger, ours[1]), ["0", "1"]),
    ):
        file(folder, began(), *parts)
        found, reader = texts(folder)
        assert found == wanted
        assert {type(verdict) for verdict in reader.verdicts} == {Foreign}
    file(folder, began(), *ours)  # for the page's reader


def test_what_can_not_be_looked_at_is_said(folder, monkeypatch):
    """A folder that may not be listed, and one in a file's place."""
    file(folder, began(), frame(0, 0, message("one")))
    (folder / epoch_file_name(1, 1)).mkdir()
    found, reader = texts(folder)
    assert found == ["one"]
    assert [verdict.reason for verdict in reader.verdicts] == ["it is no regular file"]
    for number, error in ((errno.EACCES, JournalUnreadableError), (errno.ENOENT, NotAJournalError)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", refuse(number))
            with pytest.raises(error):
                JournalReader(folder)
    shutil.rmtree(folder)


def test_a_file_that_can_not_be_opened_is_said(folder, monkeypatch):
    """Permissions: one sentence where it is the only file, a verdict where it is not."""
    two_writers(folder)
    real = os.open

    def refused(path, *args, **more):
        if str(path).endswith("w0001-e0001.jzst"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args, **more)

    reader = JournalReader(folder)
    monkeypatch.setattr(os, "open", refused)
    assert {found.writer for found in reader.poll()} == {0}
    assert {verdict.writer for verdict in reader.verdicts} == {1}
    assert all("Permission denied" in str(verdict) for verdict in reader.verdicts)
    os.unlink(folder / epoch_file_name(0, 1))
    with pytest.raises(JournalUnreadableError):
        JournalReader(folder)


def test_a_file_that_goes_while_it_rests(folder):
    """With very many writers no file stays open: one that is removed meanwhile has no unfinished end."""
    two_writers(folder)
    reader = JournalReader(folder)
    reader._many = lambda: True
    assert len(list(reader.poll())) == 8
    for number in (0, 1):
        with open(folder / epoch_file_name(number, 1), "ab") as torn:
            torn.write(b"\x28\xb5")
    file(folder, b"\x28\xb5", epoch=2)
    assert list(reader.poll()) == []
    assert [(tail.writer, tail.epoch) for tail in reader.tails()] == [(0, 1), (0, 2), (1, 1)]
    os.unlink(folder / epoch_file_name(0, 1))
    assert [(tail.writer, tail.epoch) for tail in reader.tails()] == [(0, 2), (1, 1)]


def test_a_writer_without_files_rests_as_well(folder, monkeypatch):
    """Of very many writers one whose files are gone before they are opened costs nothing."""
    two_writers(folder)
    reader = JournalReader(folder)
    monkeypatch.setattr(JournalReader, "_many", lambda self: True)
    real = JournalReader._epochs
    monkeypatch.setattr(
        JournalReader, "_epochs", lambda self, writer: [] if writer else real(self, writer)
    )
    assert {found.writer for found in reader.poll()} == {0}
    os.unlink(folder / epoch_file_name(1, 1))  # for the page's reader


# -- writer --------------------------------------------------------------------------------------


def test_what_is_written_during_a_sync_is_not_durable_by_it(folder, monkeypatch, no_background):
    """P2: an fdatasync makes durable what was there when it began, and the rest is still to be synced."""
    writer = JournalWriter.create(folder)
    say(writer, "before")
    real = os.fdatasync

    def sync(descriptor):
        monkeypatch.setattr(os, "fdatasync", real)
        real(descriptor)
        say(writer, "meanwhile")

    monkeypatch.setattr(os, "fdatasync", sync)
    assert writer.sync()
    assert (writer.durable_seq, writer.next_seq, writer._dirty) == (1, 2, True)
    assert len(writer._ring) == 1
    assert writer.sync()
    assert (writer.durable_seq, writer._dirty) == (2, False)
    writer.close()


def test_a_system_without_fdatasync_syncs_all_the_same(folder, monkeypatch, no_background):
    """P2: where there is only fsync, that is called, also at a rotation."""
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(number) or real(number))
    monkeypatch.delattr(os, "fdatasync")
    writer = JournalWriter.create(folder)
    say(writer, "one")
    assert writer.sync()
    before = len(synced)
    assert before
    say(writer, "two")
    writer._exclusively(writer._rotate)
    assert len(synced) == before + 1
    writer.close()


def test_a_system_without_locks_writes_all_the_same(folder, monkeypatch):
    """A lock is for readers that can not look at the pid: without it nothing else changes."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    writer = JournalWriter.create(folder)
    say(writer, "one")
    writer.close()
    assert texts(folder)[0] == ["one"]


def test_an_empty_file_of_ones_own_is_passed_over(folder, monkeypatch, no_background):
    """What an interrupt left of making a file belongs to nobody else: the number is skipped."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    left = folder / epoch_file_name(0, 2)
    left.touch()
    writer._made.add(left)
    with monkeypatch.context() as patch:  # the disk refuses once more before it is seen
        patch.setattr(os, "open", refuse(errno.EIO))
        writer._exclusively(writer._rotate)
    say(writer, "two")
    writer.close()
    assert (writer.number, writer.epoch) == (0, 3)
    assert texts(folder)[0] == ["one", "two"]


@pytest.mark.parametrize("call", ["fdatasync", "open"])
def test_a_rotation_that_fails_is_a_fault_that_passes(folder, monkeypatch, no_background, call):
    """P6: the old file can not be synced, or the new one not made: nothing is lost or raised."""
    faults = []
    writer = JournalWriter.create(folder, on_fault=faults.append)
    say(writer, "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(errno.EIO))
        writer._exclusively(writer._rotate)
        assert writer.fault is not None
    assert [error.errno for error in faults] == [errno.EIO]
    say(writer, "two")
    assert writer.fault is None
    writer.close()
    found, reader = texts(folder)
    assert found == ["one", "two"]
    assert reader.verdicts == []


def test_a_second_interrupt_keeps_what_the_first_one_found(folder, no_background):
    """Doubt about a frame during a fault: what is in no file is still what it was."""
    writer = JournalWriter.create(folder)
    for text in ("one", "two"):
        say(writer, text)
    writer._doubt(1)
    first = writer.fault
    writer._doubt(2)
    assert (writer.fault, writer._unwritten) == (first, 1)
    say(writer, "three")
    writer.close()
    assert texts(folder)[0] == ["one", "two", "three"]


def test_numbers_that_are_taken_meanwhile_are_passed_over(folder, monkeypatch, no_background):
    """R3: two processes that look for a free number at once; and when none is free, that is a fault."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    file(folder, began(writer=1), writer=1)
    monkeypatch.setattr(epoch_writer_module, "_writer_numbers", lambda folder: [])
    (folder / epoch_file_name(0, 2)).touch()
    writer._exclusively(writer._rotate)
    assert (writer.number, writer.epoch) == (2, 1)
    taken = JournalWriter._open_epoch

    def all_taken(self, epoch, opened_by, **more):
        raise FileExistsError

    monkeypatch.setattr(JournalWriter, "_open_epoch", all_taken)
    writer._exclusively(writer._rotate)
    assert "no free writer number" in str(writer.fault)
    monkeypatch.setattr(JournalWriter, "_open_epoch", taken)
    say(writer, "two")
    writer.close()
    assert writer.fault is None


def test_a_superseded_writer_of_a_process_renumbers_what_no_file_has(folder, monkeypatch):
    """R3: the next file is another's, and could not be made before; what the old one has stays there."""
    writer = JournalWriter.create(folder, durability="process")
    writer.log_point("x", 0, 0.5)
    writer.log_point("x", 1, 0.5)
    writer.flush()
    writer._ring.append((1, 1, 0, message("in the old file")))
    (folder / epoch_file_name(0, 2)).touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse(errno.EIO))
        patch.setattr(os, "open", refuse(errno.EIO))
        writer._exclusively(writer._fail, OSError(errno.EIO, "x"), 2)
        say(writer, "in no file")
    writer._exclusively(lambda: writer._try_again(force=True))
    writer.close()
    assert not writer._in_doubt
    assert writer.number == 1
    assert texts(folder)[0] == ["in no file"]


def test_a_child_that_finds_a_full_disk_tries_again(folder, monkeypatch, no_background):
    """P6, R9: a forked child can not make its file: it claims its number when the disk takes again."""
    parent = JournalWriter.create(folder)
    say(parent, "parent")
    with monkeypatch.context() as patch:
        parent._start_anew()
        patch.setattr(os, "open", refuse(errno.ENOSPC))
        say(parent, "one")
        assert parent.fault is not None
    parent._exclusively(lambda: parent._try_again(force=True))
    say(parent, "two")
    parent.close()
    found, reader = texts(folder)
    assert found == ["parent", "one", "two"]
    assert reader.verdicts == []


def test_no_descriptor_for_a_sync_is_no_success(folder, monkeypatch, no_background):
    """P2: no second number is to be had (too many open files): nothing is called durable, and the next sync does it."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    with monkeypatch.context() as patch:
        patch.setattr(descriptors, "duplicate", refuse(errno.EMFILE))
        assert not writer.sync()
    assert writer.fault is None
    assert writer.sync()
    writer.close()


def test_a_descriptor_that_somebody_closed_is_a_fault(folder, no_background):
    """A program that closes all descriptors: the writer goes on in the next file."""
    faults = []
    writer = JournalWriter.create(folder, on_fault=faults.append)
    say(writer, "one")
    os.close(writer._fd)
    assert writer.sync() is False
    say(writer, "two")
    assert writer.sync()
    writer.close()
    assert [error.errno for error in faults] == [errno.EBADF]
    found, reader = texts(folder)
    assert found == ["one", "two"]
    assert reader.verdicts == []


class LockOf:
    """A lock at which an interrupt comes."""

    def __init__(self, lock, behind):
        self.lock, self.behind = lock, behind

    def acquire(self):
        if self.behind:
            self.lock.acquire()
        raise KeyboardInterrupt

    def __getattr__(self, name):
        return getattr(self.lock, name)


@pytest.mark.parametrize("behind", [True, False])
def test_an_interrupt_at_the_lock_leaves_it_free(folder, behind, no_background):
    """Ctrl-C before the lock is taken or right behind: the next point finds it free."""
    writer = JournalWriter.create(folder, durability="event")
    lock = writer._lock
    writer._lock = LockOf(lock, behind)
    with pytest.raises(KeyboardInterrupt):
        writer.log_point("x", 0, 0.5)
    writer._lock = lock
    assert not lock._is_owned()
    writer.log_point("x", 1, 0.5)
    writer.close()
    assert [e.fields["step"] for e in JournalReader(folder).read() if e.seq >= 0] == [1]


@pytest.mark.parametrize("how", ["refused", "short", "interrupt", "handler"])
def test_a_point_whose_write_fails(folder, monkeypatch, how, no_background):
    """P1, P6: the one write of a point is refused, cut, interrupted, or a handler comes in it."""
    real, armed = os.write, []

    def write(descriptor, data):
        if not armed:
            return real(descriptor, data)
        armed.clear()
        if how == "refused":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if how == "short":
            return real(descriptor, data[:9])
        if how == "interrupt":
            raise KeyboardInterrupt
        assert say(writer, "from a handler") == -1
        writer.append_output(1, b"printed\n")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    writer = JournalWriter.create(folder, durability="event")
    writer.log_point("x", 0, 0.0)  # the first of a name goes another way
    writer.log_point("x", 1, 0.5)
    armed.append(True)
    if how == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            writer.log_point("x", 2, 1.0)
    else:
        writer.log_point("x", 2, 1.0)
    writer.log_point("x", 3, 1.5)
    writer.close()
    reader = JournalReader(folder)
    events = [event for event in reader.read() if event.seq >= 0]
    steps = [event.fields["step"] for event in events if event.type == EventType.METRIC_POINT]
    assert steps == [0, 1, 2, 3]
    assert len(events) == 4 + 2 * (how == "handler")
    assert not [verdict for verdict in reader.verdicts if not isinstance(verdict, Tail)]


def test_a_short_write_takes_nothing_back(folder, monkeypatch, no_background):
    """P1: a disk that is full for ever: what was written before is read, nothing is cut back."""
    writer = JournalWriter.create(folder, durability="event")
    real_write, real_open, full = os.write, os.open, []
    monkeypatch.setattr(
        os, "write", lambda descriptor, data: real_write(descriptor, data[: 9 if full else None])
    )
    writer.close()
    writer = JournalWriter.create(folder.parent / "other", durability="event")
    for step in range(20):
        writer.log_point("x", step, 0.5)
    full.append(True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse(errno.ENOSPC))
        writer.log_point("x", 20, 0.5)
    assert os.open is real_open
    steps = [e.fields["step"] for e in JournalReader(writer.folder).read() if e.seq >= 0]
    assert steps == list(range(20))
    full.clear()
    writer.close()


def test_an_interrupt_before_a_frame_keeps_what_waits(folder, monkeypatch, no_background):
    """P1: Ctrl-C when nothing of a frame is kept yet: what waits is written by the next call."""
    writer = JournalWriter.create(folder)
    writer._last = time.time_ns()
    for step in range(3):
        writer.log_point("x", step, 0.5)
    writer.append_output(1, b"waits")
    with monkeypatch.context() as patch:

        def interrupted(*args):
            raise KeyboardInterrupt

        patch.setattr(epoch_writer_module, "chain_after", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.flush()
    writer.close()
    events = [event for event in JournalReader(folder).read() if event.seq >= 0]
    assert [event.fields.get("step") for event in events] == [0, 1, 2, None]


def test_what_waits_at_a_fork_is_the_parents(folder, no_background):
    """R9: points, output and events that wait when a child is forked are written once."""
    writer = JournalWriter.create(folder)
    writer._last = time.time_ns()
    for step in range(5):
        writer.log_point("x", step, 0.5)
    writer.append_output(1, b"waits")
    assert writer._cells
    child = os.fork()
    if child == 0:
        say(writer, "child")
        os._exit(0)
    os.waitpid(child, 0)
    writer.close()
    events = [event for event in JournalReader(folder).read() if event.seq >= 0]
    points = [e.fields["step"] for e in events if e.type == EventType.METRIC_POINT]
    assert points == list(range(5))
    assert [e.fields["data"] for e in events if e.type == EventType.OUTPUT] == [b"waits"]
    assert [e.writer for e in events if e.type == MESSAGE] == [1]


def test_a_writer_knows_of_the_others(folder, no_background):
    """The files of other numbers in its folder, and none of its own."""
    writer = JournalWriter.create(folder)
    assert writer.other_writers() == []
    file(folder, began(writer=3), writer=3)
    assert writer.other_writers() == [3]
    writer.close()


def test_a_handler_that_comes_in_an_event_waits_for_its_end(folder, monkeypatch, no_background):
    """A signal handler's events are written as soon as the call that it interrupted is through."""
    real, armed = os.write, []

    def write(descriptor, data):
        if armed:
            armed.clear()
            assert say(writer, "from a handler") == -1
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    writer = JournalWriter.create(folder)
    armed.append(True)
    assert say(writer, "one") == 0
    assert texts(folder)[0] == ["one", "from a handler"]
    writer.close()


def test_points_and_output_behind_the_end(folder):
    """Both are refused, also with durability "event"."""
    writer = JournalWriter.create(folder, durability="event")
    writer.log_point("x", 0, 0.5)
    writer.close()
    with pytest.raises(WriterClosedError):
        writer.log_point("x", 1, 0.5)
    with pytest.raises(WriterClosedError):
        writer.append_output(1, b"late\n")
    assert [e.fields["step"] for e in JournalReader(folder).read() if e.seq >= 0] == [0]


def test_a_blob_that_can_not_be_stored_needs_no_listener(tmp_path, folder, monkeypatch):
    """P6: nobody asked to be told of faults: the value is named, and the run goes on."""
    writer = JournalWriter.create(folder, blobs=BlobStore(tmp_path / "blobs"))
    monkeypatch.setattr(BlobStore, "put_bytes", refuse(errno.ENOSPC))
    writer.append(MESSAGE, level="info", text="x" * (17 << 20))
    writer.close()
    (found,) = texts(folder)[0]
    assert "could not be stored" in found.text


@pytest.mark.parametrize("count", [3, 40])
def test_names_that_are_none_are_their_texts(folder, no_background, count):
    """As rows and as a table, alone and beside others: a number, a text that is no Unicode."""
    writer = JournalWriter.create(folder)
    for names in ([5], [5, "a"], ["\ud800"], ["a", "\ud800"]):
        writer._last = time.time_ns()
        for step in range(count):
            writer.log_point(names[step % len(names)], step, 0.5)
        writer.flush()
    writer.close()
    found = set()
    for event in JournalReader(folder).read():
        if event.type == EventType.METRIC_TABLE:
            found |= set(event.fields["table"].names())
        elif event.type == EventType.METRIC_POINT:
            found.add(event.fields["metric"])
    assert found == {"5", "a", "\\ud800"}


def test_a_large_event_has_a_frame_of_its_own(folder, no_background):
    """What waits and an event that is larger than a frame of several do not share one."""
    writer = JournalWriter.create(folder)
    writer._last = time.time_ns()
    writer.append_output(1, b"waits")
    say(writer, "x" * FRAME_BYTES)
    writer.close()
    counts = [found.count for found in JournalReader(folder).poll()]
    assert counts == [0, 1, 1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_flusher_that_can_not_be_started(folder, monkeypatch, error):
    """At the interpreter's end no thread starts; an interrupt in a start is no end of it."""
    writer = JournalWriter.create(folder)

    def refused(self):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refused)
        if error is RuntimeError:
            writer._rouse()
        else:
            with pytest.raises(KeyboardInterrupt):
                writer._rouse()
        assert writer._flusher is None
    assert writer._dozing is (error is KeyboardInterrupt)
    say(writer, "one")
    writer.close()
    assert texts(folder)[0] == ["one"]


class Turns:
    """Stands for the flusher's queue; ends it when it has had its turns."""

    def __init__(self, turns):
        self.turns, self.timeouts = turns, []

    def empty(self):
        return True

    def get(self, timeout=None):
        self.timeouts.append(timeout)
        self.turns -= 1
        if not self.turns:
            raise InterruptedError


def test_what_comes_while_the_flusher_lies_down_wakes_it(folder, monkeypatch, no_background):
    """P1: a point that comes between the look and the doze does not wait for a wake-up call."""
    writer = JournalWriter.create(folder, durability="process")

    class Late(JournalWriter):
        """One that gets a point at the moment at which its flusher lies down."""

        @property
        def _dozing(self):
            return self.__dict__["dozing"]

        @_dozing.setter
        def _dozing(self, value):
            self.__dict__["dozing"] = value
            if value:
                self._cells += ["x", 0, 0.5, 1]

    writer.__class__ = Late
    writer.__dict__["dozing"] = False
    wake = Turns(flusher._DOZE_AFTER + 1)
    with pytest.raises(InterruptedError):
        flusher.flush_in_background(lambda: writer, wake)
    assert wake.timeouts[-1] == flusher.TICK
    assert writer._dozing is False
    writer.__class__ = JournalWriter
    writer._dozing = True
    writer.close()


def test_a_writer_that_is_gone_ends_its_flusher(folder, no_background):
    """Nobody holds the writer any more: its thread ends, also from its sleep."""
    writer = JournalWriter.create(folder, durability="process")
    left = [writer]
    flusher.flush_in_background(lambda: left.pop() if left else None, Turns(9))
    writer.close()


class Held:
    """A lock that another thread holds, until the test is through."""

    def __init__(self, lock):
        self.taken, self.done = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold, args=(lock,), daemon=True)

    def hold(self, lock):
        with lock:
            self.taken.set()
            self.done.wait(100)

    def __enter__(self):
        self.thread.start()
        assert self.taken.wait(100)

    def __exit__(self, *error):
        self.done.set()
        self.thread.join(100)


@pytest.mark.parametrize("which", ["_lock", "_sync_lock"])
def test_a_finalizer_does_not_wait_for_a_thread_that_is_no_more(
    folder, monkeypatch, no_background, which
):
    """At the interpreter's end a lock that a stopped thread holds is never free: nobody waits for it."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    writer._prepare_for_the_end()
    monkeypatch.setattr(exclusion, "sys", SimpleNamespace(is_finalizing=lambda: True))
    assert say(writer, "two") == 1
    with Held(getattr(writer, which)):
        assert say(writer, "three") == -1
        assert not writer.sync()
        writer.close()
    assert writer.closed
    writer._close_file()
    assert texts(folder)[0] == ["one", "two"]


@pytest.mark.parametrize("listens", [True, False])
def test_a_file_system_that_can_not_sync_is_told_once(folder, monkeypatch, no_background, listens):
    """P6: a rotation learns it, and the sync that it comes into: one line, and nothing is a fault."""
    faults, turns = [], []
    writer = JournalWriter.create(folder, on_fault=faults.append if listens else None)
    say(writer, "one")

    def sync(descriptor):
        if not turns:
            turns.append(1)
            writer._exclusively(writer._rotate)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(descriptors, "sync", sync)
    assert not writer.sync()
    assert (writer.fault, writer.epoch, len(faults)) == (None, 2, int(listens))
    assert not writer.sync()
    say(writer, "two")
    writer.close()
    assert texts(folder)[0] == ["one", "two"]


@pytest.mark.parametrize("superseded", [True, False])
def test_files_that_wait_to_be_synced_are_bounded(folder, monkeypatch, no_background, superseded):
    """P2: more files than are kept open were left: `sync` makes the others durable, and says False."""
    monkeypatch.setattr(file_writer_module, "_LEFT_FILES", 2)
    writer = JournalWriter.create(folder, durability="process")
    for number in range(2):
        say(writer, str(number))
        if superseded and number:
            (folder / epoch_file_name(0, 3)).touch()
        writer._exclusively(writer._rotate)
    assert (writer.number, len(writer._left)) == (int(superseded), 2)
    oldest, other = writer._left
    closed, close = [], descriptors.close
    monkeypatch.setattr(descriptors, "close", lambda number: closed.append(number) or close(number))
    say(writer, "2")
    writer._exclusively(writer._rotate)
    assert (len(writer._left), writer._left[0]) == (2, other)
    assert oldest[0] in closed
    assert writer._in_doubt is superseded
    say(writer, "3")
    assert not writer.sync()
    assert writer._left == ()
    writer.close()
    assert texts(folder)[0] == ["0", "1", "2", "3"]


def test_what_a_superseded_writer_could_not_sync_stays_in_doubt(folder, monkeypatch, no_background):
    """P2, R3: its fsync failed and its next file is another's: it stands in the old file, in doubt."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    (folder / epoch_file_name(0, 2)).touch()
    with monkeypatch.context() as patch:
        patch.setattr(descriptors, "sync", refuse(errno.EIO))
        assert not writer.sync()
    say(writer, "two")
    assert (writer.number, writer.fault, writer._in_doubt) == (1, None, True)
    assert not writer.sync()
    writer.close()
    assert texts(folder)[0] == ["one", "two"]


def full_once(monkeypatch):
    """Let the next write be refused, and none behind it."""
    real, left = os.write, [1]

    def write(descriptor, data):
        if left:
            left.clear()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)


def test_a_file_that_was_left_and_can_not_be_synced_is_written_again(
    folder, monkeypatch, no_background
):
    """P2: the disk was full, and the fsync of what it had taken fails: memory has it, `sync` says True."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse(errno.ENOSPC))
        patch.setattr(os, "open", refuse(errno.ENOSPC))
        say(writer, "two")
        patch.setattr(descriptors, "sync", refuse(errno.EIO))
        assert not writer.sync()
    assert (writer._left, writer._suspect, writer.durable_seq) == ((), 1, 0)
    writer._exclusively(lambda: writer._try_again(force=True))
    assert writer.sync()
    writer.close()
    assert texts(folder)[0] == ["one", "two"]


def test_a_sync_that_fails_behind_a_write_that_failed(folder, monkeypatch, no_background):
    """P2: the file was left while it was synced: no second fsync of it, and the next one holds all."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    synced = []

    def sync(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        if len(synced) == 1:
            full_once(monkeypatch)
            say(writer, "two")
            assert len(writer._left) == 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(descriptors, "sync", sync)
    assert not writer.sync()
    assert (writer._left, writer._suspect, writer.fault, writer.epoch) == ((), 1, None, 2)
    assert writer.sync()
    assert len(set(synced)) == len(synced) == 2
    writer.close()
    assert texts(folder)[0] == ["one", "two"]


def test_the_end_counts_as_lost_what_no_file_has(folder, monkeypatch, no_background):
    """P6: a disk that is full for ever: what was written before, durable or not, is not among it."""
    writer = JournalWriter.create(folder)
    say(writer, "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse(errno.ENOSPC))
        patch.setattr(os, "open", refuse(errno.ENOSPC))
        say(writer, "two")
        writer.close()
    assert [(loss.first_seq, loss.count) for loss in writer.losses] == [(1, 1)]
    assert texts(folder)[0] == ["one"]


# -- who lives, what was printed -----------------------------------------------------------------


def test_a_worker_that_outlives_its_run_does_not_make_it_live(tmp_path):
    """A worker of a killed run inherited its lock: the run died all the same, because its pid did."""
    fcntl = pytest.importorskip("fcntl")
    run = RunFolder(tmp_path / "1")
    program = """
import os, sys
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(sys.argv[1])
writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
              experiment={}, host={})
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program, str(run.journal)], check=True, timeout=60)
    with open(run.journal / epoch_file_name(0, 1), "rb") as inherited:
        fcntl.flock(inherited, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert run_liveness(run) is Liveness.DIED


def test_a_torn_record_of_a_spool_is_not_yet(tmp_path):
    """R8: of a record that is there in part nothing is shown, wherever it is torn."""
    path = tmp_path / "spool"
    one, two = encode_record(1, 5, b"one"), encode_record(2, 6, b"two")
    for size in range(1, len(two)):
        path.write_bytes(one + two[:size])
        read = read_spool(path)
        assert [chunk.data for chunk in read.chunks] == [b"one"]
        assert (read.next_offset, read.verdict) == (len(one), "tail")


def test_a_position_at_the_end_of_a_sealed_file_needs_no_index(folder):
    """R5: with a damaged index what ends the file proves a position that was taken there, or contradicts it."""
    writer = JournalWriter.create(folder, durability="event")
    for step in range(40):
        writer.log_point("x", step, 0.5)
    writer.close()
    reader = JournalReader(folder)
    assert len(list(reader.read())) == 41
    position = reader.position
    seal_file(folder, 0, 1)
    path = folder / epoch_file_name(0, 1)
    content = bytearray(path.read_bytes())
    content[content.rindex(INDEX_MAGIC) + 20] ^= 1
    path.write_bytes(content)
    again = JournalReader(folder, position)
    assert [event.seq for event in again.read() if event.seq >= 0] == []
    assert again.unproven() == []
    other = Position({0: position[0]._replace(chain=position[0].chain ^ 1)})
    with pytest.raises(PositionContradictedError):
        list(JournalReader(folder, other).read())
