"""A spool with damage in it: what stands behind it is read, and what is lost is named by all who read it."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import textwrap

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal.bundle_writer import write_bundle
from sacred.journal.garbage import collect
from sacred.journal.repair import repair_run
from sacred.journal.seal import seal_run
from sacred.journal.spool import (
    SPOOL,
    SpoolFlaw,
    chunks_from,
    encode_record,
    read_spool,
)
from sacred.journal.verification import verify

NOW = 1_763_700_000 * 10**9


def records(*texts, begin=NOW):
    """Records of stdout, a millisecond apart."""
    return [encode_record(1, begin + i * 10**6, text) for i, text in enumerate(texts)]


def lines(count):
    return [f"line {number}\n".encode() for number in range(1, count + 1)]


def texts(path, offset=0):
    """What can be read of a spool, and what can not."""
    flaws = []
    found = [chunk.data for chunk in chunks_from(path, offset, flaws)]
    return found, flaws


@pytest.fixture
def path(tmp_path):
    return tmp_path / SPOOL


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bit", range(13 * 8))
def test_a_bit_of_a_header(path, bit):
    """Of thirty lines, a bit of the tenth one's header costs that line at most, and is named.

    But for its time, which nothing proves, and where it makes stdout what was stderr.
    """
    parts = records(*lines(30))
    place, behind = len(b"".join(parts[:9])), len(b"".join(parts[:10]))
    data = bytearray(b"".join(parts))
    data[place + bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    found, flaws = texts(path)
    expected = lines(30)
    if 8 <= bit < 72:  # the time
        assert (expected, []) == (found, flaws)
        return
    assert expected[:9] == found[:9]
    assert expected[10:] == found[-20:]
    (flaw,) = flaws
    assert (place <= flaw.begin < behind, behind) == (True, flaw.end)
    part = b"".join(found[9:-20])
    assert (
        expected[9][: len(part)] == part
    )  # a length that is too small leaves the line's beginning


def test_a_length_that_ends_where_another_record_ends_shows_that_record_in_its_text(path):
    """Nothing tells; the bytes are there all the same. (There is no checksum: the format's page.)"""
    parts = records(b"one\n", b"two\n", b"three\n")
    data = bytearray(b"".join(parts))
    data[9] = 4 + len(parts[1])
    path.write_bytes(data)
    assert ([b"one\n" + parts[1], b"three\n"], []) == texts(path)


def test_bytes_in_the_middle(path):
    """Noise, zeros or text between records: from where to where, and what follows."""
    before, behind = records(b"before\n"), records(*lines(9))
    for noise in (b"\x07" * 40, bytes(40), bytes(9000), random.Random(1).randbytes(70_000), b"x"):
        path.write_bytes(before[0] + noise + b"".join(behind))
        begin = len(before[0])
        expected = [b"before\n", *lines(9)]
        assert (expected, [SpoolFlaw(begin, begin + len(noise))]) == texts(path)
        assert expected[1:] == texts(path, begin + len(noise))[0]


def test_damage_twice(path):
    """Each is named, and what lies between is read."""
    parts = records(*lines(30))
    data = bytearray(b"".join(parts))
    places = [len(b"".join(parts[:number])) for number in (9, 14, 20)]
    for place in places:
        data[place] = 99
    path.write_bytes(data)
    found, flaws = texts(path)
    wanted = [line for number, line in enumerate(lines(30)) if number not in (9, 14, 20)]
    assert wanted == found
    assert places == [flaw.begin for flaw in flaws]
    text = f"from byte {places[0]} to byte {places[0] + len(parts[9])} (21 bytes): the bytes are damaged"
    assert f"{SPOOL}: what was printed can not be read {text}" == str(flaws[0])


@pytest.mark.parametrize(
    "rest", [b"", bytes(5000), b"\x01\x00torn", encode_record(1, NOW, b"torn")[:-1]]
)
def test_what_a_kill_or_a_power_cut_leaves_is_no_damage(path, rest):
    """Nothing, zeros, a record that was not finished: also behind the record that follows damage."""
    path.write_bytes(b"".join(records(b"said\n")) + rest)
    assert ([b"said\n"], []) == texts(path)
    path.write_bytes(b"\x07" * 5 + b"".join(records(b"said\n")) + rest)
    assert ([b"said\n"], [SpoolFlaw(0, 5)]) == texts(path)


def test_nothing_follows(path):
    """Where no records follow one another, nothing behind the damage is read, and it is said so."""
    whole = b"".join(records(b"said\n"))
    rest = [
        b"text " * 100,
        b"\x07" * 20 + encode_record(1, NOW, b"torn")[:-1],  # the only one is not whole
        b"\x07" * 20 + encode_record(1, NOW, b"whole") + b"text " * 10,  # nor does it lead on
        b"\x07" * 20 + encode_record(1, 5, b"of 1970") * 9,
    ]
    for noise in rest:
        path.write_bytes(whole + noise)
        end = len(whole + noise)
        assert ([b"said\n"], [SpoolFlaw(len(whole), end, at_end=True)]) == texts(path)
    assert f"can not be read from byte {len(whole)} on (" in str(texts(path)[1][0])


def test_a_spool_that_was_printed_is_text(path):
    """Records within a record are text, also before a torn end and before damage."""
    inner = b"".join(records(*lines(9)))
    parts = records(b"before\n", inner)
    for rest in (b"\x01torn", b"\x07" * 30, b"\x07" * 30 + b"".join(records(*lines(5)))):
        path.write_bytes(b"".join(parts) + rest)
        assert [b"before\n", inner] == texts(path)[0][:2]


def test_zeros_behind_a_hole_are_damage(path):
    """The spool of who went on begins with a hole; zeros further on are none of that."""
    first, second = records(b"one\n", b"two\n")
    path.write_bytes(bytes(100) + first + bytes(64) + second)
    assert ([b"one\n", b"two\n"], [SpoolFlaw(100 + len(first), 164 + len(first))]) == texts(
        path, 50
    )


def test_what_somebody_made_to_be_slow(path):
    """Noise, headers everywhere, damage everywhere, and a terabyte that takes no room: seconds, megabytes."""
    header = encode_record(1, NOW, b"x")[:13]
    spools = {
        "headers": header * 400_000,
        "damage": b"".join(records(b"x") + [b"\x07"]) * 400_000,
        "noise": random.Random(1).randbytes(8 << 20) + b"\x07",
        "hole": b"".join(records(b"said\n")) + b"\x07",
    }
    code = (
        "import resource, sys\n"
        "from sacred.journal.spool import chunks_from\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))\n"
        "flaws = []\n"
        "count = sum(1 for _ in chunks_from(sys.argv[1], 0, flaws))\n"
        "print(count, len(flaws))\n"
    )
    for name, content in spools.items():
        path.write_bytes(content)
        if name == "hole":
            os.truncate(path, 1 << 40)
            with open(path, "r+b") as file:
                file.seek((1 << 40) - 1)
                file.write(b"\x07")
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert 0 == done.returncode, (name, done.stderr)
        count, flaws = map(int, done.stdout.split())
        assert 1 <= flaws <= 5000, (name, count, flaws)


# -- a run -------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty root, on a machine where all that write into it are dead."""
    monkeypatch.setattr("sacred.journal.liveness.process_lives", lambda _: False)
    root = JournalRoot(tmp_path / "root")
    root.create()
    return root


def died(root, content):
    """A run that was killed, and left this in its spool."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    about = {"run_id": 1, "name": "dies", "command": "main", "config": {}, "meta": {}, "host": {}}
    writer.append(EventType.RUN_STARTED, **about, experiment={"name": "dies"})
    writer.close()
    (folder.journal / SPOOL).write_bytes(content)
    return folder


def damaged(count=30, at=9):
    """Lines, of which one can not be read; and from where to where."""
    parts = records(*lines(count))
    place = len(b"".join(parts[:at]))
    data = bytearray(b"".join(parts))
    data[place] ^= 8
    return bytes(data), place, place + len(parts[at])


def recorded(folder):
    """What a journal has of output and messages, and its last sign of life."""
    output, messages, last = [], [], 0
    for event in JournalReader(folder.journal).read():
        if event.type == EventType.OUTPUT:
            output.append(event.fields["data"])
        elif event.type == EventType.MESSAGE:
            messages.append((event.fields["level"], event.fields["text"]))
        if event.seq >= 0 and event.type != EventType.OUTPUT:
            last = max(last, event.time)
    return output, messages, last


def test_looking_a_run_over_names_it(root):
    """Also where nothing else is wrong; and a whole spool is clean."""
    content, begin, end = damaged()
    folder = died(root, content)
    report = verify(folder)
    assert ("spool", False, (SpoolFlaw(begin, end),)) == (
        report.verdict,
        report.clean,
        report.spool,
    )
    (folder.journal / SPOOL).write_bytes(b"".join(records(*lines(30))))
    assert ("clean", True, ()) == (
        verify(folder).verdict,
        verify(folder).clean,
        verify(folder).spool,
    )


def test_a_seal_records_what_can_be_read_and_keeps_the_file(root):
    """The run is clean then: what is lost is told in it, and the bytes are beside it."""
    content, begin, end = damaged()
    folder = died(root, content)
    (folder.journal / f"{SPOOL}.damaged-1").write_bytes(b"of another time")
    last = recorded(folder)[2]
    assert ["sealed"] == [outcome.state for outcome in seal_run(folder)]
    output, messages, after = recorded(folder)
    assert [*lines(30)[:9], *lines(30)[10:]] == output
    text = f"{SpoolFlaw(begin, end)}. It is kept as {SPOOL}.damaged-2."
    assert [("warning", text)] == messages
    assert last == after
    assert content == (folder.journal / f"{SPOOL}.damaged-2").read_bytes()
    assert not (folder.journal / SPOOL).exists()
    assert ("clean", ()) == (verify(folder).verdict, verify(folder).spool)
    assert ["already"] == [outcome.state for outcome in seal_run(folder)]


def test_a_spool_that_a_killed_seal_left_is_not_collected(root, monkeypatch):
    """Sealed, but not set aside: the journal has its end, and a part of it is nowhere else."""
    content, *_ = damaged()
    folder = died(root, content)
    monkeypatch.setattr("sacred.journal.seal.set_damage_aside", lambda _: None)
    seal_run(folder)
    os.utime(folder.journal / SPOOL, (0, 0))
    spools = [entry for entry in collect(root).collected if entry.kind == "spools"]
    assert (0, content) == (spools[0].count, (folder.journal / SPOOL).read_bytes())
    (folder.journal / SPOOL).write_bytes(b"".join(records(*lines(30))))
    os.utime(folder.journal / SPOOL, (0, 0))
    assert 1 == next(entry for entry in collect(root).collected if entry.kind == "spools").count


def test_a_bundle_has_the_spool_and_tells(root, tmp_path):
    """The file is in it as it is, and what is wrong with it is said."""
    content, begin, end = damaged()
    folder = died(root, content)
    done = write_bundle(folder, tmp_path / "bundle")
    assert [str(SpoolFlaw(begin, end))] == done.problems
    assert f"journal/{SPOOL}" in [member.name for member in done.manifest.members]


def test_a_run_with_endless_damage_tells_of_some(root):
    """The messages of a seal have an end."""
    folder = died(root, b"".join([*records(*lines(5)), b"\x07"]) * 120)
    seal_run(folder)
    output, messages, _ = recorded(folder)
    assert (lines(5) * 120, 101) == (output, len(messages))
    assert f"{SPOOL}: 19 more parts can not be read. It is kept" in messages[-1][1]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_no_file_in_the_place_of_the_spool(root, kind):
    """Nobody waits at it; it is named, and a seal leaves the run as it is and says what to do."""
    folder = died(root, b"")
    path = folder.journal / SPOOL
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    assert f"{SPOOL}: what was printed can not be read: it is no regular file" == str(
        verify(folder).spool[0]
    )
    with pytest.raises(OSError, match="no regular file"):
        read_spool(path)
    (outcome,) = seal_run(folder)
    reason = f"{SPOOL}: it is no regular file: move it out of the folder"
    assert ("damaged", reason) == (outcome.state, outcome.reason)
    assert [] == repair_run(folder)
    assert os.path.lexists(path)


def test_a_spool_that_may_not_be_read(root, monkeypatch):
    """Nothing may be damaged then: it is said whose right is missing, and the run stays as it is."""
    folder = died(root, b"".join(records(b"said\n")))

    def refused(path, *_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("sacred.journal.spool.open_regular", refused)
    monkeypatch.setattr("sacred.journal.seal.open_regular", refused)
    (flaw,) = verify(folder).spool
    assert (True, "Permission denied") == (flaw.refused, flaw.reason)
    (outcome,) = seal_run(folder)
    assert ("unknown", f"{SPOOL} can not be read: Permission denied") == (
        outcome.state,
        outcome.reason,
    )


def test_a_live_run_says_what_it_could_not_read(tmp_path):
    """Damage while the run goes on: the spool stays, and the run says where."""
    script = """
    import os, sys
    import sacred
    ex = sacred.Experiment("live", save_git_info=False)

    @ex.main
    def main(_run):
        print("before", flush=True)
        _run._capture.drain(5.0)
        _run._capture.poll()
        spool = _run._recorder.spool_path
        size = os.path.getsize(spool)
        print("hit", flush=True)
        print("behind", flush=True)
        _run._capture.drain(5.0)
        with open(spool, "r+b") as file:
            file.seek(size)
            file.write(b"\\x07")

    ex.run_commandline([sys.argv[0], "-C", "fd"])
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    folder = JournalRoot(tmp_path / "sacred_runs").run(1)
    assert f"is kept in {folder.journal / SPOOL}" in done.stderr
    assert "spool" == verify(folder).verdict
