"""What a writer itself told to be lost: a hole with a reason, and no damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sacred.journal import JournalReader, Position
from sacred.journal.codec import pack
from sacred.journal.events import EventType
from sacred.journal.frames import FrameEncoder, chain_after
from sacred.journal.repair import repair_run
from sacred.journal.root import JournalRoot, RunFolder
from sacred.journal.seal import seal_run
from sacred.journal.verdicts import Gap, Loss, explained, is_damage
from sacred.journal.verification import verify
from sacred.replayers.listing import outline

GOLDEN = Path(__file__).parents[1] / "golden"
ID = 0x0123456789ABCDEF
WHEN = 1_700_000_000_000_000_000
DISK_FULL = "No space left on device"


def frame(first, chain, *events, count=None, epoch=1):
    """Return a frame and the chain behind it."""
    count = len(events) if count is None else count
    body = b"".join(map(pack, events))
    content = pack([0, ID, 0, epoch, first, count, chain]) + body
    return FrameEncoder().encode(content), chain_after(chain, body) if count else chain


def message(text):
    return {"t": WHEN, "e": int(EventType.MESSAGE), "level": "info", "text": text}


def gap(first, count, writer=0, **more):
    """Return the event with which a writer tells what it lost."""
    told = {"writer": writer, "first_seq": first, "count": count, "reason": DISK_FULL}
    return {"t": WHEN, "e": int(EventType.GAP), **told, **more}


def journal(folder, *parts, epochs=((1, 0),)):
    """Write (first seq, events) as files of a process of another boot, each part a frame."""
    (folder / "journal").mkdir(parents=True)
    chain = 0
    for number, (epoch, begin) in enumerate(epochs):
        last = epochs[number + 1][1] if number + 1 < len(epochs) else len(parts)
        began = {"t": WHEN, "e": 1, "format": 1, "min_reader": 1, "features": [], "journal": ID}
        began |= {"opened_by": "start", "host": "elsewhere", "boot": "another", "pid": 1}
        data, _ = frame(parts[begin][0], chain, began, count=0, epoch=epoch)
        for first, *events in parts[begin:last]:
            more, chain = frame(first, chain, *events, epoch=epoch)
            data += more
        (folder / "journal" / f"w0000-e{epoch:04}.jzst").write_bytes(data)
    return RunFolder(folder)


def holes(run):
    """Return (first, next, told) of what is missing, and the reader."""
    reader = JournalReader(run.journal)
    texts = [e.fields.get("text") for e in reader.read() if e.type == EventType.MESSAGE]
    gaps = [(v.first_seq, v.next_seq, bool(v.told)) for v in reader.verdicts if isinstance(v, Gap)]
    return texts, gaps, reader.verdicts


@pytest.fixture
def full(tmp_path):
    """A run whose disk was full for a while, in a root."""
    root = JournalRoot(tmp_path / "sacred_runs")
    folder = root.claim()
    shutil.copytree(GOLDEN / "epochs-gap" / "journal", folder.journal, dirs_exist_ok=True)
    return folder


def test_a_full_disk_is_named_with_its_reason_and_is_no_damage(full):
    """As its writer told it: verify is clean and says it, repair has nothing to do, sealing goes on."""
    (hole,) = verify(full).verdicts
    assert not is_damage(hole)
    assert str(hole) == (
        "w0000-e0002.jzst: events 2 to 5 were never written, as the run itself said at "
        "2023-11-14 22:13:28 UTC: No space left on device"
    )
    assert verify(full).verdict == "clean"
    assert (outline(full).problem, outline(full).note) == (None, str(hole))
    assert repair_run(full, force=True) == []
    before = holes(full)
    outcomes = seal_run(full, force=True)
    assert ["sealed", "sealed"] == [outcome.state for outcome in outcomes]
    assert (before[0], [(2, 6, True)]) == holes(full)[:2]
    assert verify(full).verdict == "clean"


def test_a_hole_in_the_middle_of_a_file(tmp_path):
    """Where memory ran out, a file goes on behind what was missed: it is sealed as it is."""
    parts = [(0, message("0")), (3, gap(1, 2)), (4, message("4"))]
    run = journal(tmp_path / "1", *parts)
    assert holes(run)[:2] == (["0", "4"], [(1, 3, True)])
    reader = JournalReader(run.journal)
    stands = [frame.after for frame in reader.poll() if frame.count]
    assert ["sealed"] == [outcome.state for outcome in seal_run(run, force=True)]
    assert holes(run)[:2] == (["0", "4"], [(1, 3, True)])
    assert verify(run).verdict == "clean"
    for at, rest in zip(stands, (["4"], ["4"], []), strict=True):
        again = JournalReader(run.journal, Position({0: at._replace(offset=0)}))
        found = [e.fields["text"] for e in again.read() if e.type == EventType.MESSAGE]
        assert (found, again.unproven()) == (rest, [])


def test_what_was_told_does_not_excuse_damage(tmp_path):
    """P4: where bytes are damaged something stood, also if a writer said that it was lost."""
    parts = [(seq, message(str(seq))) for seq in range(4)] + [(4, gap(1, 2)), (5, message("5"))]
    run = journal(tmp_path / "1", *parts)
    assert (["0", "1", "2", "3", "5"], []) == holes(run)[:2]
    path = run.journal / "w0000-e0001.jzst"
    data = bytearray(path.read_bytes())
    for text in ("1", "2"):
        data[data.index(pack(message(text))) + 2] ^= 1
    path.write_bytes(data)
    assert (["0", "3", "5"], [(1, 3, False)]) == holes(run)[:2]
    assert "gap" == verify(run).verdict
    assert "damaged" == seal_run(run, force=True)[0].state
    (outcome,) = repair_run(run, force=True)
    assert [(1, 3)] == outcome.lost
    assert [False] == [is_damage(verdict) for verdict in verify(run).verdicts]


def test_a_hole_that_is_told_in_part_is_damage_in_the_rest(tmp_path):
    """Half of it was never written, the other half was: only that is damage, and repaired."""
    parts = [(0, message("0")), (1, message("1")), (4, gap(2, 2)), (5, message("5"))]
    run = journal(tmp_path / "1", *parts)
    path = run.journal / "w0000-e0001.jzst"
    data = bytearray(path.read_bytes())
    data[data.index(pack(message("1"))) + 2] ^= 1
    path.write_bytes(data)
    _, gaps, verdicts = holes(run)
    assert gaps == [(1, 2, False), (2, 4, True)]
    assert [True, False] == [is_damage(verdict) for verdict in verdicts]
    assert seal_run(run, force=True)[0].state == "damaged"
    (outcome,) = repair_run(run, force=True)
    assert outcome.lost == [(1, 2)]
    texts, gaps, verdicts = holes(run)
    assert (texts, gaps) == (["0", "5"], [(1, 2, False), (2, 4, True)])
    assert [True, False] == [verdict.repaired for verdict in verdicts]
    assert verify(run).verdict == "clean"


def test_an_untold_hole_is_damage(tmp_path):
    """What another writer told, or told of other numbers, or nonsense, explains nothing."""
    strange = [gap(1, 2, writer=1), gap(5, 2), gap(1, 0), gap("1", 2), gap(1, None), gap(1, -2)]
    for number, event in enumerate(strange):
        run = journal(tmp_path / str(number), (0, message("0")), (3, event), (4, message("4")))
        texts, gaps, verdicts = holes(run)
        assert (texts, gaps) == (["0", "4"], [(1, 3, False)])
        assert is_damage(verdicts[0])
        assert "damaged" == seal_run(run, force=True)[0].state


def test_times_of_any_size(tmp_path):
    """A time that no clock shows is told all the same."""
    for when in (-5, 0, 1 << 62, (1 << 64) - 1):
        run = journal(tmp_path / str(when), (0, message("0")), (3, gap(1, 2, t=when)))
        _, gaps, (verdict,) = holes(run)
        assert gaps == [(1, 3, True)]
        assert DISK_FULL in str(verdict)


def test_pieces():
    """A hole is cut where what is known of it begins and ends; the first that knows counts."""
    hole = Gap(0, 1, 7, 10, 20, "why")
    one, two = Loss(5, 12, "one", 1), Loss(11, 14, "two")
    pieces = explained(hole, [one, two, Loss(30, 40, "far", 1)])
    assert pieces == [
        Gap(0, 1, 7, 10, 12, "one", False, 1),
        Gap(0, 1, 7, 12, 14, "two", True),
        Gap(0, 1, 7, 14, 20, "why"),
    ]
    assert [hole] == explained(hole, [])
    order = hole._replace(next_seq=10)
    assert [order] == explained(order, [one, two])
    assert [order._replace(repaired=True, reason="x")] == explained(order, [Loss(10, 10, "x")])
    unknown = hole._replace(next_seq=-1)
    assert [unknown] == explained(unknown, [one])
