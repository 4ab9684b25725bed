"""``sacred verify``: 0 clean, 1 damaged, 2 could not look."""

from __future__ import annotations

import json
import os

import pytest

from sacred.journal import BlobStore, EventType, JournalReader, JournalWriter
from sacred.journal.codec import pack
from sacred.journal.sealer import seal_file
from sacred.journal.spool import encode_record

#: Of the records in a spool (ns).
START = 1_700_000_000 * 10**9


def test_clean(root, run_sacred):
    """A clean run: one line, exit code 0."""
    root.completed()
    done = run_sacred("verify", "1")
    assert (0, "run 1: clean, 33 events in 1 file, 0 stored files\n") == (done.code, done.out)


def test_died_is_clean(root, run_sacred):
    """A run that was killed between two frames lost nothing: it is clean."""
    root.died()
    done = run_sacred("verify", "last", "--json")
    (found,) = json.loads(done.out)
    assert ("clean", "died", 0) == (found["verdict"], found["liveness"], done.code)


def torn(content):
    """Leave the last bytes out, as a kill does."""
    return content[:-3]


def half(content):
    """Leave the second half out of a sealed file, which no kill does."""
    return content[: len(content) // 2]


def flip(content):
    """Change a bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_what_a_kill_leaves_is_no_damage(root, run_sacred):
    """A torn end of a run that died: told, by verify and by events, with exit code 0."""
    file = root.file(root.died())
    file.write_bytes(torn(file.read_bytes()))
    done = run_sacred("verify", "1")
    assert 0 == done.code
    assert done.out.startswith("run 1: tail, ")
    assert "w0000-e0001.jzst: the last " in done.out
    events = run_sacred("events", "1")
    assert (0, True) == (events.code, "are not whole" in events.err)
    assert "are not whole" in run_sacred("show", "1").out
    assert "nothing to repair" in run_sacred("repair", "1").out
    assert "" == run_sacred("query", "select run from runs").err


def test_an_end_that_no_kill_leaves_is_damage(root, run_sacred):
    """Bytes that are no beginning of a frame: exit code 1 until it is repaired."""
    file = root.file(root.died())
    file.write_bytes(file.read_bytes() + b"something else")
    assert (1, 1) == (run_sacred("verify", "1").code, run_sacred("events", "1").code)
    assert "are damaged: whatever was in it is lost" in run_sacred("verify", "1").out
    assert 0 == run_sacred("repair", "1", "--force").code
    assert (0, 0) == (run_sacred("verify", "1").code, run_sacred("events", "1").code)


def test_a_damaged_index(root, run_sacred):
    """No event is lost: a verdict of its own, with exit code 1, and repair writes it anew."""
    file = root.file(root.completed())
    seal_file(file.parent, 0, 1)
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    done = run_sacred("verify", "1")
    assert 1 == done.code
    assert done.out.startswith("run 1: index, 33 events in 1 file")
    assert "no event is lost, but the seek table behind its events is damaged" in done.out
    assert "repaired, no event is lost" in run_sacred("repair", "1").out
    assert "run 1: clean, 33 events in 1 file, 0 stored files\n" == run_sacred("verify", "1").out


@pytest.mark.parametrize(
    ("damage", "verdict"),
    [
        (half, "gap"),
        (flip, "gap"),
        (lambda _: b"", "empty"),
        (lambda _: b"something else", "foreign"),
    ],
)
def test_damaged(root, run_sacred, damage, verdict):
    """Damage is named, with exit code 1; the others of --all are looked at all the same."""
    file = root.file(root.completed(metrics=(("loss", 900),)))
    if damage is half:
        seal_file(file.parent, 0, 1)
    file.write_bytes(damage(file.read_bytes()))
    root.completed()
    done = run_sacred("verify", "--all", "--json")
    first, second = json.loads(done.out)
    assert (1, "clean") == (done.code, second["verdict"])
    assert verdict == first["verdict"]
    assert first["problems"]


def test_blobs(root, run_sacred):
    """A stored file that is missing is damage, too."""
    blobs = BlobStore(root.journals.blobs)
    stored = blobs.put_bytes(b"12345")
    writer = root.writer(blobs=blobs)
    root.start(writer, 1)
    writer.append(EventType.ARTIFACT_ADDED, name="a", filename="/a", blob=stored.blob.to_wire())
    root.end(writer)
    assert "run 1: clean, 3 events in 1 file, 1 stored file\n" == run_sacred("verify", "1").out
    blobs.path_of(stored.blob.digest).unlink()
    done = run_sacred("verify", "1")
    assert 1 == done.code
    assert done.out.startswith("run 1: blobs, ")
    assert stored.blob.digest in done.out


def test_the_files_of_a_large_folder(root, run_sacred):
    """Their list became a blob itself: the files that it names are looked at all the same."""
    blobs = BlobStore(root.journals.blobs)
    files = [blobs.put_bytes(text) for text in (b"one", b"two")]
    entries = [[f"{n}.txt", file.blob.to_wire(), 0o644] for n, file in enumerate(files)]
    entries.append(["gone.txt", None, 0o644])
    listed = blobs.put_bytes(pack(entries), "msgpack").blob
    writer = root.writer(blobs=blobs)
    root.start(writer, 1)
    writer.append(
        EventType.DIRECTORY_ADDED, name="d", role="artifact", filename="/d", entries=listed
    )
    root.end(writer)
    done = run_sacred("verify", "1")
    assert (0, "run 1: clean, 3 events in 1 file, 3 stored files\n") == (done.code, done.out)
    blobs.path_of(files[1].blob.digest).unlink()
    done = run_sacred("verify", "1")
    assert 1 == done.code
    assert files[1].blob.digest in done.out
    blobs.path_of(listed.digest).write_bytes(b"no list")
    done = run_sacred("verify", "1")
    assert f"the content of blob {listed.digest} is not what its name says" in done.out


@pytest.mark.parametrize(
    "content", [b"\xc1", pack("text"), pack([1, [2], ["a", "b"], ["a", None]])]
)
def test_a_list_of_files_that_is_none(root, run_sacred, content):
    """A blob that is as its name says, and no list: it names nothing, and nothing fails."""
    blobs = BlobStore(root.journals.blobs)
    writer = root.writer(blobs=blobs)
    listed = blobs.put_bytes(content, "msgpack").blob
    more = {"role": "artifact", "filename": "/d"}
    writer.append(EventType.DIRECTORY_ADDED, name="d", entries=listed, **more)
    writer.close()
    assert "1 stored file\n" in run_sacred("verify", "1").out


def test_could_not_look(root, run_sacred):
    """A numbered folder of something else: exit code 2, and 1 where a run is damaged."""
    root.completed()
    (root.path / "2").mkdir()
    (root.path / "2" / "notes.txt").write_text("")
    done = run_sacred("verify", "--all")
    assert 2 == done.code
    assert "run 2: unreadable, " in done.out
    root.file(root.completed()).write_bytes(b"")
    assert 1 == run_sacred("verify", "--all").code


@pytest.mark.parametrize("arguments", [(), ("--all", "1")])
def test_which(root, run_sacred, arguments):
    """Either some runs or all."""
    done = run_sacred("verify", *arguments)
    assert (2, "") == (done.code, done.out)
    assert done.err.startswith("sacred: name the runs to verify, or give --all")


def test_numbers(root, run_sacred):
    """--json has the numbers of what was looked at, and each gap by writer and sequence numbers."""
    file = root.file(root.completed(metrics=(("loss", 900),)))
    (found,) = json.loads(run_sacred("verify", "1", "--json").out)
    assert (903, 900, 1, [], 0) == tuple(
        found[name] for name in ("events", "points", "files", "gaps", "lost")
    )
    assert (file.stat().st_size, 0, 0) == tuple(
        found[name] for name in ("bytes", "blobs", "blobs_damaged")
    )
    assert found["frames"] >= 4
    file.write_bytes(flip(file.read_bytes()))
    (found,) = json.loads(run_sacred("verify", "1", "--json").out)
    (gap,) = found["gaps"]
    assert (0, 1, False) == (gap["writer"], gap["epoch"], gap["repaired"])
    assert found["lost"] == gap["next_seq"] - gap["first_seq"] == 903 - found["events"]


def test_what_to_do(root, run_sacred, tmp_path):
    """A damaged run is followed by the command that mends it, as it is typed from here."""
    file = root.file(root.completed(metrics=(("loss", 900),)))
    file.write_bytes(flip(file.read_bytes()))
    command = "  to do: sacred repair 1 (it writes the damaged file anew, "
    assert command in run_sacred("verify", "1").out
    assert command in run_sacred("verify", root.path / "1").out
    here = "  to do: sacred repair 1 --root 'my runs/sacred_runs' ("
    (tmp_path / "above" / "my runs").mkdir(parents=True)
    root.path.rename(tmp_path / "above" / "my runs" / "sacred_runs")
    done = run_sacred("verify", "--all", "--root", "my runs", cwd=tmp_path / "above")
    assert here in done.out
    (tmp_path / "aside").mkdir()
    root_there = tmp_path / "above" / "my runs" / "sacred_runs"
    done = run_sacred("verify", "--all", "-J", root_there, cwd=tmp_path / "aside")
    assert f"  to do: sacred repair 1 --root '{root_there}' (" in done.out


def test_what_no_repair_mends(root, run_sacred):
    """Of what is not the run's, or can not be read at all, it is said what else may be done."""
    folder = root.completed()
    (folder.journal / "w0007-e0001.jzst").write_bytes(root.file(root.completed()).read_bytes())
    root.file(root.completed()).write_bytes(b"something else")
    out = run_sacred("verify", "--all").out
    assert f"  to do: move w0007-e0001.jzst out of {folder.journal}: it is not of this run" in out
    assert f"  to do: take {root.path}/3/journal from a backup; if there is none, remove" in out
    assert "sacred repair" not in out


def test_words_of_ours(root, run_sacred):
    """What libzstd says of a damaged frame is said in the words of this project."""
    file = root.file(root.completed(metrics=(("loss", 900),)))
    whole = file.read_bytes()
    said = set()
    for place in range(600, len(whole), 97):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        said.update(json.loads(run_sacred("verify", "1", "--json").out)[0]["problems"])
    assert said
    assert not [text for text in said if "ecompression" in text or "Restored" in text]


def test_many_problems(root, run_sacred):
    """The first twenty are told one by one; --json has all."""
    folder = root.completed()
    stranger = root.file(root.completed()).read_bytes()
    for writer in range(1, 26):
        (folder.journal / f"w{writer:04}-e0001.jzst").write_bytes(stranger)
    problems = json.loads(run_sacred("verify", "1", "--json").out)[0]["problems"]
    assert 25 == len(problems)
    lines = run_sacred("verify", "1").out.splitlines()
    assert f"  and {len(problems) - 20} more: --json has them all" == lines[21]
    assert 23 == len(lines)


def test_run_by_run(root, monkeypatch, capsys):
    """Each run is told before the next one is looked at, for people and for programs."""
    from sacred import cli
    from sacred.replayers import verification

    seen = []
    really = verification.check

    def check(folder):
        seen.append(capsys.readouterr().out)
        return really(folder)

    root.completed()
    root.completed()
    monkeypatch.setattr(verification, "check", check)
    monkeypatch.chdir(root.path.parent)
    assert 0 == cli.main(["verify", "--all"])
    assert ["", "run 1: clean, 33 events in 1 file, 0 stored files\n"] == seen
    capsys.readouterr()
    seen.clear()
    assert 0 == cli.main(["verify", "--all", "--json"])
    assert seen[1].startswith('[\n{"run": 1, "verdict": "clean", ')


def spooled(folder, hit=True):
    """Leave thirty lines in the spool of a killed run, of which one is damaged."""
    parts = [encode_record(1, START + at, f"line {at}\n".encode()) for at in range(30)]
    content = bytearray(b"".join(parts))
    place = len(b"".join(parts[:9]))
    content[place] ^= 4 * hit
    (folder.journal / "w0000.spool").write_bytes(content)
    return f"from byte {place} to byte {place + len(parts[9])} (20 bytes)"


@pytest.mark.slow
def test_output_that_can_not_be_read(root, run_sacred):
    """Verify, and whoever reads what the run printed, name it; a seal keeps the rest, and the file."""
    folder = root.died()
    place = spooled(folder)
    problem = f"w0000.spool: what was printed can not be read {place}: the bytes are damaged"
    done = run_sacred("verify", "1")
    assert 1 == done.code
    assert done.out.startswith("run 1: spool, 51 events in 1 file")
    assert f"\n  {problem}\n  to do: sacred seal 1 (it records what can be read" in done.out
    (found,) = json.loads(run_sacred("verify", "1", "--json").out)
    assert ([problem], 1) == (found["problems"], len(found["spool"]))
    assert problem in run_sacred("show", "1").out
    assert "  line 29\n" in run_sacred("show", "1").out
    assert problem in run_sacred("ls").out
    for command in (["events", "1"], ["export", "1"], ["export", "1", "--bundle", "run.tar"]):
        done = run_sacred(*command)
        assert (1, True) == (done.code, problem in done.err), command
    assert problem in run_sacred("query", "select count(*) from output").err
    done = run_sacred("--to", "file:view", name="replay_main")
    assert (1, True) == (done.code, f"run 1 is damaged: {problem}" in done.err)
    again = run_sacred("--to", "file:view", name="replay_main")
    assert (1, True) == (again.code, f"run 1 is damaged: {problem}" in again.err)
    assert (
        "no event is damaged, but w0000.spool is, see sacred verify 1"
        in run_sacred("repair", "1").out
    )
    sealed = run_sacred("seal", "1")
    assert (0, True) == (sealed.code, "as it was: w0000.spool.damaged-1\n" in sealed.out)
    assert (0, "run 1: clean") == ((done := run_sacred("verify", "1")).code, done.out[:12])
    assert (
        f"warning: {problem}. It is kept as w0000.spool.damaged-1." in run_sacred("show", "1").out
    )
    assert 0 == run_sacred("--to", "file:view", name="replay_main").code


@pytest.mark.slow
def test_a_pipe_in_the_place_of_the_spool(root, run_sacred):
    """No command waits at it, and the runs behind it are looked at."""
    folder = root.died()
    os.mkfifo(folder.journal / "w0000.spool")
    root.completed()
    done = run_sacred("verify", "--all")
    assert 1 == done.code
    assert "w0000.spool: what was printed can not be read: it is no regular file\n" in done.out
    assert f"to do: move w0000.spool out of {folder.journal}" in done.out
    assert "\nrun 2: clean" in done.out
    done = run_sacred("seal", "--all")
    assert (1, True) == (done.code, "w0000.spool: it is no regular file: move it" in done.out)
    assert "\nrun 2 w0000-e0001.jzst: growing" in done.out
    for command in (["show", "1"], ["events", "1"], ["export", "--all"], ["gc", "--dry-run"]):
        run_sacred(*command)
    done = run_sacred("--to", "file:view", name="replay_main")
    assert "run 2 -> " in done.out


@pytest.mark.parametrize("end", ["completed", "sealed"])
def test_output_of_a_run_that_ended(root, run_sacred, end):
    """What a child printed behind the end: nobody records it any more, and the remedy says so."""
    folder = root.completed() if end == "completed" else root.died()
    if end == "sealed":
        run_sacred("seal", "1")
    spooled(folder)
    done = run_sacred("verify", "1")
    assert (1, True) == (
        done.code,
        f"move w0000.spool out of {folder.journal}; `sacred show`" in done.out,
    )
    spooled(folder, hit=False)
    assert 0 == run_sacred("verify", "1").code


def test_a_run_without_the_file_of_its_first_writer(root, run_sacred):
    """What `show` and `export` refer to verify for is said there; the file brings all of it back."""
    folder = root.died()
    writer = JournalWriter.join(folder.journal, journal_id=JournalReader(folder.journal).journal_id)
    writer.log_point("worker", 0, 0.5)
    writer.close()
    first = root.file(folder)
    first.rename(root.path / "first")
    spooled(folder)  # which no seal takes in now
    for command in ("show", "export"):
        shown = run_sacred(command, "1")
        assert "sacred verify 1" in shown.out + shown.err
    done = run_sacred("verify", "1")
    assert (1, "run 1: gap, ") == (done.code, done.out[:12])
    assert f"to do: take w0000-e0001.jzst from a backup into {folder.journal}, if" in done.out
    assert f"to do: move w0000.spool out of {folder.journal}; " in done.out
    bundle = run_sacred("export", "1", "--bundle", "run.tar")
    assert (1, True) == (bundle.code, "w0000-e0001.jzst: the events from 0 on" in bundle.err)
    (folder.journal / "w0000.spool").unlink()
    (root.path / "first").rename(first)
    assert 0 == run_sacred("verify", "1").code
    first.rename(first.with_name("w0001-e0007.jzst"))  # and what is called so is none of its
    (folder.journal / "w0001-e0001.jzst").unlink()
    done = run_sacred("verify", "1")
    assert (1, True) == (done.code, "journal from a backup; if there is none, remove" in done.out)


def test_a_spool_beside_a_queued_run(root, run_sacred):
    """No run wrote it: the remedy says so."""
    writer = root.writer()
    about = {"name": "q", "command": "main", "config": {}, "meta": {}, "host": {}, "experiment": {}}
    writer.append(EventType.RUN_QUEUED, run_id=1, **about)
    writer.close()
    spooled(root.last)
    done = run_sacred("verify", "1")
    assert (1, True) == (done.code, f"move w0000.spool out of {root.last.journal}" in done.out)
