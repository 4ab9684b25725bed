"""Blobs: whole or not there, stored once, proved by their name."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from sacred.journal import blobs
from sacred.journal.blobs import BlobStore
from sacred.journal.errors import BlobDamagedError, BlobError, BlobMissingError


@pytest.fixture
def store(tmp_path):
    """A store of its own."""
    return BlobStore(tmp_path / "blobs")


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (4 << 20) + 1, 9 << 20])
def test_contents_come_back(store, tmp_path, size):
    """Small and large files are stored under their sha256, with their md5 for the views."""
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    stored = store.put_file(tmp_path / "file")
    assert stored.blob.digest == hashlib.sha256(content).hexdigest()
    assert stored.md5 == hashlib.md5(content).hexdigest()
    assert stored.blob.size == size
    assert store.read(stored.blob.digest) == content
    assert store.check(stored.blob.digest) == size
    assert [p.name for p in store.path.iterdir() if p.name.startswith(".")] == []


def test_a_content_is_stored_once(store, tmp_path):
    """The same content again, large or small, is not written again, and looks young again."""
    for size in (10, 5 << 20):
        (tmp_path / "file").write_bytes(b"x" * size)
        digest = store.put_file(tmp_path / "file").blob.digest
        path = store.path_of(digest)
        os.utime(path, (1, 1))
        inode = path.stat().st_ino
        store.put_file(tmp_path / "file")
        assert path.stat().st_ino == inode
        assert path.stat().st_mtime > 1


def test_threads_may_store_the_same_content_at_once(store, tmp_path):
    """Sixteen writers of one content leave one whole blob."""
    content = os.urandom(300_000)
    threads = [threading.Thread(target=store.put_bytes, args=(content,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert store.read(hashlib.sha256(content).hexdigest()) == content


def test_missing_and_damaged_blobs_are_named(store):
    """A blob that is gone, or whose content is not what its name says."""
    digest = store.put_bytes(b"content").blob.digest
    store.path_of(digest).write_bytes(b"other")
    for look in (store.read, store.check):
        with pytest.raises(BlobDamagedError, match=digest):
            look(digest)
    store.path_of(digest).unlink()
    with pytest.raises(BlobMissingError, match=digest):
        store.read(digest)
    assert not store.exists(digest)


@pytest.mark.parametrize(
    "digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/x"]
)
def test_a_digest_never_leads_out_of_the_store(store, digest):
    """What a damaged or foreign journal names as a digest is refused unless it is one."""
    with pytest.raises(BlobError, match="not a sha256"):
        store.path_of(digest)


def test_a_file_that_can_not_be_read_leaves_nothing(store, tmp_path):
    """A missing file is an OSError of its own, and the store stays as it was."""
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "missing")
    assert not store.path.exists()


def test_a_blob_that_was_cut_is_stored_anew(store, tmp_path):
    """The same content given again mends a blob that a crash left empty or short."""
    for size in (100, 5 << 20):
        content = os.urandom(size)
        (tmp_path / "file").write_bytes(content)
        digest = store.put_file(tmp_path / "file").blob.digest
        store.path_of(digest).write_bytes(content[: size // 2])
        store.put_file(tmp_path / "file")
        assert store.read(digest) == content


def test_a_blob_of_somebody_else_is_used(store, monkeypatch):
    """On a shared disk a blob may belong to another user, who alone may touch it."""
    digest = store.put_bytes(b"content").blob.digest

    def refuse(path, *rest):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    assert store.put_bytes(b"content").blob.digest == digest


def test_names_are_made_durable_once(tmp_path, monkeypatch):
    """A blob that was there is made durable with its folders, and each of those once more at most.

    Not so a folder that came later: its name is new.
    """
    others = BlobStore(tmp_path / "blobs", durable=False)
    contents = [bytes([number]) for number in range(6)]
    digests = [others.put_bytes(content).blob.digest for content in contents[:5]]
    synced = []
    monkeypatch.setattr(blobs, "fsync_folder", lambda path: synced.append(Path(path).name))
    store = BlobStore(tmp_path / "blobs")
    for content in contents[:5]:
        store.put_bytes(content)
    folders = [digest[:2] for digest in digests]
    assert [folders[0], "blobs", tmp_path.name, *folders[1:]] == synced
    synced.clear()
    late = others.put_bytes(contents[5]).blob.digest[:2]
    assert late not in folders
    store.put_bytes(contents[5])
    assert [late, "blobs", tmp_path.name] == synced
    synced.clear()
    shutil.rmtree(tmp_path / "blobs")
    store.put_bytes(contents[0])
    assert [tmp_path.name, folders[0], "blobs"] == synced
    others.put_bytes(contents[1])
    store.put_bytes(contents[1])
    assert [folders[1], "blobs", tmp_path.name] == synced[3:]


def test_what_is_no_file_is_not_brought(store, tmp_path):
    """A blob of another store that is a pipe there is refused at once, and what the disk says is said."""
    digest = hashlib.sha256(b"content").hexdigest()
    os.mkfifo(tmp_path / digest)
    with pytest.raises(BlobDamagedError, match="no regular file"):
        store.bring(tmp_path / digest, digest)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        store.bring(tmp_path / "file" / digest, digest)
    with pytest.raises(BlobMissingError):
        store.bring(tmp_path / "gone" / digest, digest)
