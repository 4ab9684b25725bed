"""`sacred artifacts` and `sacred source`: what a run stored, listed, printed and copied out."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from sacred.journal import BlobStore, EventType


class Made:
    """A run with files, as the recorder writes it."""

    def __init__(self, root):
        self.root = root
        self.store = BlobStore(root.journals.blobs)
        self.writer = root.writer(blobs=self.store)
        root.start(self.writer, 1)

    def file(self, kind, content, **fields):
        stored = self.store.put_bytes(content)
        fields = {"blob": stored.blob.to_wire(), "md5": stored.md5, **fields}
        self.writer.append(kind, **fields)

    def artifact(self, name, content, **fields):
        self.file(EventType.ARTIFACT_ADDED, content, name=name, filename=f"/far/{name}", **fields)

    def source(self, name, content):
        self.file(EventType.SOURCE_ADDED, content, filename=name, path=f"/far/{name}")

    def blob(self, content):
        return self.store.path_of(hashlib.sha256(content).hexdigest())

    def end(self):
        self.root.end(self.writer)


@pytest.fixture
def made(root):
    return Made(root)


def _files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def test_a_list(made, run_sacred):
    """Each version with its size; JSON has the digest and the user's metadata."""
    made.artifact("model.bin", b"one", version=1)
    made.artifact("model.bin", b"three", version=2, metadata={"epoch": 3})
    made.writer.append(EventType.ARTIFACT_ADDED, name="huge", filename="/far/huge")
    made.end()
    lines = run_sacred("artifacts", 1).out.splitlines()
    assert ["NAME", "model.bin", "model.bin", "huge"] == [line.split("\t")[0] for line in lines]
    assert ["BYTES", "3", "5", ""] == [line.split("\t")[2] for line in lines]
    records = json.loads(run_sacred("artifacts", 1, "--json").out)
    assert [3, 5, None] == [record["size"] for record in records]
    assert {"epoch": 3} == records[1]["metadata"]
    assert hashlib.sha256(b"three").hexdigest() == records[1]["sha256"]


def test_one_on_stdout(made, run_sacred):
    """--cat prints the last version, or the one that is asked for, byte for byte."""
    made.artifact("a", "gr\u00fc\u00df\n".encode(), version=1)
    made.artifact("a", b"line\r\nline", version=2)
    made.end()
    assert "line\r\nline" == run_sacred("artifacts", 1, "--cat", "a").out
    assert "gr\u00fc\u00df\n" == run_sacred("artifacts", 1, "--cat", "a", "--version", 1).out
    done = run_sacred("artifacts", 1, "--cat", "a", "--version", 7)
    assert (2, "sacred: there is no version 7 of 'a': there are 1, 2\n") == (done.code, done.err)


def test_copies(made, run_sacred, tmp_path):
    """By name, by pattern, or all; folders in names are made, what is there is kept unless forced."""
    made.artifact("plots/a.png", b"A")
    made.artifact("plots/b.png", b"B")
    made.artifact("config.json", b"N")
    made.end()
    done = run_sacred("artifacts", 1, "--copy", "plots/*", "--to", "out")
    assert (0, "2 files in out\n", "") == (done.code, done.out, done.err)
    assert {"plots/a.png": b"A", "plots/b.png": b"B"} == _files(tmp_path / "out")
    (tmp_path / "out" / "plots" / "a.png").write_bytes(b"mine")
    done = run_sacred("artifacts", 1, "--all", "--to", "out")
    assert 2 == done.code
    assert "out/plots/a.png is there already (and 1 more): choose another folder" in done.err
    assert {"plots/a.png": b"mine", "plots/b.png": b"B"} == _files(tmp_path / "out")
    assert 0 == run_sacred("artifacts", 1, "--all", "--to", "out", "--force").code
    assert {"plots/a.png": b"A", "plots/b.png": b"B", "config.json": b"N"} == _files(
        tmp_path / "out"
    )
    assert 0 == run_sacred("artifacts", 1, "--copy", "config.json").code
    assert b"N" == (tmp_path / "config.json").read_bytes()


NAMES = [
    "/etc/passwd",
    "../up",
    "a/../../b",
    "..",
    ".",
    "",
    "x\\..\\y",
    "n" * 300,
    "w\x1b[2J\n",
    "a//b",
]


def test_no_name_leads_out(made, run_sacred, tmp_path):
    """Whatever a name is, its file lies below the folder; every content is there once."""
    for number, name in enumerate(NAMES):
        made.artifact(name, f"content {number}".encode())
    made.end()
    before = _files(tmp_path)
    done = run_sacred("artifacts", 1, "--all", "--to", "deep/out")
    assert (0, f"{len(NAMES)} files in deep/out\n") == (done.code, done.out)
    assert "\x1b" not in done.err
    found = _files(tmp_path / "deep" / "out")
    assert sorted(f"content {n}".encode() for n in range(len(NAMES))) == sorted(found.values())
    assert set(before) == {name for name in _files(tmp_path) if not name.startswith("deep/")}


def test_one_file_in_the_way_of_another(made, run_sacred, tmp_path):
    """A file and a folder of one name are both there."""
    made.artifact("a", b"file")
    made.artifact("a/b", b"inside")
    made.artifact("c/d", b"first")
    made.artifact("c", b"second")
    made.end()
    assert 0 == run_sacred("artifacts", 1, "--all", "--to", "out").code
    found = _files(tmp_path / "out")
    assert {b"file", b"inside", b"first", b"second"} == set(found.values())
    assert (b"file", b"first") == (found["a"], found["c/d"])


def test_no_link_is_followed(made, run_sacred, tmp_path):
    """A link below the folder is no way out, not even with --force."""
    made.artifact("sub/a", b"A")
    made.artifact("b", b"B")
    made.end()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(outside)
    done = run_sacred("artifacts", 1, "--all", "--to", "out", "--force")
    assert 2 == done.code
    assert "is a link, and nothing is written through one" in done.err
    (tmp_path / "out" / "sub").unlink()
    (tmp_path / "out" / "b").symlink_to(outside / "b")
    assert 2 == run_sacred("artifacts", 1, "--all", "--to", "out", "--force").code
    assert {} == _files(outside)


def test_damaged_and_missing_content(made, run_sacred, tmp_path):
    """What is not whole is not copied and said; the rest is copied: exit code 1."""
    for name in ("bad", "gone", "good"):
        made.artifact(name, name.encode())
    made.writer.append(EventType.ARTIFACT_ADDED, name="never", filename="/far/never")
    made.end()
    made.blob(b"bad").write_bytes(b"BAD")
    made.blob(b"gone").unlink()
    done = run_sacred("artifacts", 1, "--all", "--to", "out")
    assert (1, "1 file in out\n") == (done.code, done.out)
    assert "the content of 'bad' is damaged: sacred verify 1 says what to do" in done.err
    assert "the content of 'gone' is missing from the store: sacred verify 1" in done.err
    assert "the content of 'never' was not stored" in done.err
    assert {"good": b"good"} == _files(tmp_path / "out")
    for name in ("bad", "gone", "never"):
        done = run_sacred("artifacts", 1, "--cat", name)
        assert (1, "") == (done.code, done.out)


def test_wrong_use(made, run_sacred, tmp_path):
    """A name that is none has its nearest; options that do not go together are said; a root is no place."""
    made.artifact("model.txt", b"A")
    made.end()
    done = run_sacred("artifacts", 1, "--cat", "modle.txt")
    assert (2, "sacred: there is no 'modle.txt': did you mean 'model.txt'?\n") == (
        done.code,
        done.err,
    )
    assert 2 == run_sacred("artifacts", 1, "--to", "x").code
    assert 2 == run_sacred("artifacts", 1, "--all", "--cat", "a").code
    done = run_sacred("artifacts", 1, "--all", "--to", "sacred_runs/1")
    assert 2 == done.code
    assert "lies among the journals" in done.err
    (tmp_path / "file").touch()
    assert "is no folder" in run_sacred("artifacts", 1, "--all", "--to", "file").err


def test_sources(made, run_sacred, tmp_path):
    """Listed, printed and restored with their folders; changes of the repository lie beside them."""
    made.source("train.py", b"print(1)\n")
    made.source("lib/net.py", b"net\n")
    patch = made.store.put_bytes(b"diff --git a/x b/x\n").blob.to_wire()
    made.writer.append(
        EventType.REPOSITORY_FOUND, url="git@x:y", commit="c0ffee", dirty=True, diff=patch
    )
    made.end()
    listed = run_sacred("source", 1).out.splitlines()
    assert ["NAME", "lib/net.py", "train.py"] == [line.split("\t")[0] for line in listed]
    assert "print(1)\n" == run_sacred("source", 1, "train.py").out
    assert 0 == run_sacred("source", 1, "--to", "back").code
    assert {
        "train.py": b"print(1)\n",
        "lib/net.py": b"net\n",
        "uncommitted.patch": b"diff --git a/x b/x\n",
    } == _files(tmp_path / "back")
    done = run_sacred("source", 1, "--to", "back")
    assert (2, "") == (done.code, done.out)
    assert 0 == run_sacred("source", 1, "--to", "back", "--force").code
    assert "did you mean 'train.py'?" in run_sacred("source", 1, "trian.py").err


def test_a_damaged_journal_still_gives_files(made, run_sacred, tmp_path):
    """What stands before the damage is copied, and the damage is said."""
    made.artifact("early", b"early")
    made.writer.flush()
    for number in range(2000):
        made.writer.append(EventType.MESSAGE, level="info", text=os.urandom(8).hex())
        if number % 100 == 0:
            made.writer.flush()
    made.end()
    file = made.root.file(made.root.last)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    file.write_bytes(content)
    done = run_sacred("artifacts", 1, "--all", "--to", "out")
    assert "1 file in out\n" == done.out
    assert done.err != ""
