"""`sacred gc`."""

from __future__ import annotations

import json
import os
import time

import pytest

from sacred.journal import BlobStore, EventType


@pytest.fixture
def orphan(root):
    """A blob that no run names, a month old."""
    store = BlobStore(root.journals.blobs)
    path = store.path_of(store.put_bytes(b"nobody's").blob.digest)
    os.utime(path, (time.time() - 30 * 86400,) * 2)
    return path


@pytest.fixture
def used(root):
    """A run that names a blob."""
    store = BlobStore(root.journals.blobs)
    stored = store.put_bytes(b"the model")
    writer = root.writer()
    root.start(writer, 1)
    reference = stored.blob.to_wire()
    writer.append(EventType.ARTIFACT_ADDED, name="m", filename="m", blob=reference)
    root.end(writer)
    path = store.path_of(stored.blob.digest)
    os.utime(path, (time.time() - 30 * 86400,) * 2)
    return path


def damage(root):
    """Exchange some bytes in the middle of the run's file."""
    file = root.file(root.last)
    data = bytearray(file.read_bytes())
    data[-60:-50] = bytes(10)
    file.write_bytes(data)


def test_a_line_for_each_kind_and_the_bytes(root, run_sacred, used, orphan):
    """What was removed, first as a trial; nothing is left to say on stderr."""
    says = (
        "stored files that no run names: 1 {0}, 8 bytes\n"
        "files that were being stored: 0 {0}, 0 bytes\n"
        "journal files that were being written: 0 {0}, 0 bytes\n"
        "spools whose output is in the journal: 0 {0}, 0 bytes\n"
        "checkpoints of replayers that none needs: 0 {0}, 0 bytes\n"
        "caches of questions that none reads: 0 {0}, 0 bytes\n"
        "stored files in use: 1, too young to judge: 0\n"
    )
    tried = run_sacred("gc", "--dry-run")
    assert (0, "") == (tried.code, tried.err)
    assert says.format("would be removed") + "would free 8 bytes\n" == tried.out
    assert orphan.exists()
    done = run_sacred("gc")
    assert (0, "") == (done.code, done.err)
    assert says.format("removed") + "freed 8 bytes\n" == done.out
    assert [False, True] == [orphan.exists(), used.exists()]


def test_as_json(root, run_sacred, used, orphan):
    """The same for programs."""
    done = run_sacred("gc", "--json", "--grace", "365d")
    facts = json.loads(done.out)
    assert {"removed": 0, "bytes": 0} == facts["blobs"]
    names = ("used", "young", "kept", "unknown", "freed", "journals", "obstacles", "failures")
    assert [1, 1, 0, 0, 0, 1, [], []] == [facts[name] for name in names]
    assert {"removed": 1, "bytes": 8} == json.loads(run_sacred("gc", "--json").out)["blobs"]


def test_a_damaged_run(root, run_sacred, used, orphan):
    """Exit code 1, what is damaged, and what may be done; --force removes all the same."""
    damage(root)
    done = run_sacred("gc")
    assert 1 == done.code
    assert done.err.startswith("sacred: 1/journal: ")
    assert "no stored file was removed: sacred repair 1 mends what can be" in done.err
    assert "kept because it is not known who needs them: 1" in done.out
    assert orphan.exists()
    forced = run_sacred("gc", "--force")
    assert 0 == forced.code
    assert "1/journal: " in forced.err
    assert [False, True] == [orphan.exists(), used.exists()]


def test_a_file_of_another_run(root, run_sacred, used, orphan):
    """It has to be moved away, which no repair does; --force removes all the same."""
    stranger = root.last.journal / "w0007-e0001.jzst"
    stranger.write_bytes(root.file(root.completed()).read_bytes())
    (root.last.journal / "w0000-e0002.jzst").mkdir()
    done = run_sacred("gc")
    assert 1 == done.code
    assert done.err.splitlines() == [
        (
            "sacred: 1/journal: w0007-e0001.jzst: it is of something else than this run: move it out of "
            "the folder"
        ),
        "sacred: 2/journal: w0000-e0002.jzst: it is no regular file: move it out of the folder",
        (
            "sacred: so no stored file was removed: see to that first; --force removes stored files in "
            "spite of all that"
        ),
    ]
    damage(root)
    assert "removed: sacred repair 2 mends what can be" in run_sacred("gc").err
    assert 0 == run_sacred("gc", "--force").code
    assert [False, True] == [orphan.exists(), used.exists()]


def test_a_run_of_a_later_version(root, run_sacred, orphan):
    """Exit code 2, also with --force: somebody else can read it."""
    writer = root.writer()
    from sacred.journal.codec import pack

    writer._exclusively(writer._emit, pack({"t": 1, "e": 100}), 1)
    writer.close()
    for options in ((), ("--force",)):
        done = run_sacred("gc", *options)
        assert 2 == done.code
        assert "upgrade sacred-journal" in done.err
        assert "no stored file was removed: see to that first" in done.err
    assert orphan.exists()


@pytest.mark.parametrize("grace", ["", "x", "-1d", "7 d ays", "1e9d", "\uff17d", "nan", "5y"])
def test_a_grace_that_is_no_time(root, run_sacred, grace):
    """One sentence with the text, exit code 2."""
    done = run_sacred("gc", "--grace", grace)
    assert 2 == done.code
    assert "is no time, give one like 7d, 12h or 30m" in done.err
    assert 1 == done.err.count("\n")


def test_a_short_grace(root, run_sacred, used, orphan):
    """Less than a day is refused, and taken with --force."""
    done = run_sacred("gc", "--grace", "23h")
    assert 2 == done.code
    assert "less than a day of grace needs --force" in done.err
    assert 0 == run_sacred("gc", "--grace", "0", "--force").code
    assert not orphan.exists()
    assert 0 == run_sacred("gc", "--grace", "1.5").code


def test_no_root(run_sacred, tmp_path):
    """Where no root is nothing is made, and nothing removed."""
    (tmp_path / "blobs" / "aa").mkdir(parents=True)
    (tmp_path / "blobs" / "aa" / ("a" * 64)).touch()
    done = run_sacred("gc", "--grace", "0", "--force", "--root", tmp_path)
    assert 2 == done.code
    assert "is no root of journals" in done.err
    assert (tmp_path / "blobs" / "aa" / ("a" * 64)).exists()


def test_checkpoints_of_a_run_that_is_gone(root, run_sacred, used):
    """Told as the other kinds are, first as a trial."""
    cache = root.journals.path / ".cache" / "replayers"
    cache.mkdir(parents=True)
    (cache / "99-memory-0123456789ab.fold").write_bytes(b"12345")
    tried = run_sacred("gc", "--dry-run")
    assert "checkpoints of replayers that none needs: 1 would be removed, 5 bytes\n" in tried.out
    assert "would free 5 bytes\n" in tried.out
    facts = json.loads(run_sacred("gc", "--json").out)
    assert ({"removed": 1, "bytes": 5}, 5) == (facts["checkpoints"], facts["freed"])
    assert [] == list(cache.iterdir())
