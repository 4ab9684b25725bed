"""``sacred verify``: 0 clean, 1 damaged, 2 could not look."""

from __future__ import annotations

import json

import pytest

from sacred.journal import BlobStore, EventType


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


def cut(content):
    """Leave the last bytes out."""
    return content[:-3]


def flip(content):
    """Change a bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "verdict"),
    [
        (cut, "tail"),
        (flip, "gap"),
        (lambda _: b"", "empty"),
        (lambda _: b"something else", "foreign"),
    ],
)
def test_damaged(root, run_sacred, damage, verdict):
    """Damage is named, with exit code 1; the others of --all are looked at all the same."""
    file = root.file(root.died() if damage is cut else root.completed(metrics=(("loss", 900),)))
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
