"""What may not be read is said to be so: it is neither foreign, nor damaged, nor passed over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from sacred.journal import BlobStore, EventType, JournalReader, JournalWriter

# Root may read everything, unless it gives that right away.
_WITHOUT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
_WITHOUT.append("--inh-caps=-dac_override,-dac_read_search")
_IS_ROOT = os.name != "nt" and os.geteuid() == 0

pytestmark = pytest.mark.skipif(
    os.name == "nt" or (_IS_ROOT and not shutil.which("setpriv")),
    reason="needs permissions that bind, and for root setpriv (util-linux)",
)


@pytest.fixture
def sacred(tmp_path):
    """Run ``sacred ARGS`` as somebody whom permissions bind."""

    def run(*args, cwd=tmp_path):
        code = "import sys; from sacred.cli import main; sys.exit(main())"
        command = [*(_WITHOUT if _IS_ROOT else []), sys.executable, "-c", code, *map(str, args)]
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, timeout=60, check=False, text=True
        )
        assert "Traceback" not in done.stderr
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


@pytest.fixture(params=["files", "folder"])
def closed(root, request):
    """A root of two runs; the first one's files, or its whole folder, may not be read."""
    first = root.completed()
    root.completed()
    paths = [root.file(first)] if request.param == "files" else [first.path]
    for path in paths:
        path.chmod(0)
    yield first
    for path in paths:
        path.chmod(0o755)


def test_listing(closed, sacred):
    """`ls` and `query` show the others, and that this one can not be read."""
    done = sacred("ls")
    assert done.code == 0
    first, second = (line.split("\t") for line in done.out.splitlines()[1:])
    assert first[:3] == ["1", "", "UNREADABLE"]
    assert "can not be read: Permission denied" in first[-1]
    assert second[:3] == ["2", "2", "COMPLETED"]
    done = sacred("query", "select run, status from runs order by run")
    assert done.out.splitlines()[1:] == ["1\tUNREADABLE", "2\tCOMPLETED"]
    assert "sacred: run 1: " in done.err
    assert "can not be read: Permission denied" in done.err


def test_looking_at_one(closed, sacred):
    """`show`, `events` and `verify`: exit code 2, and why."""
    for command in ("show", "events", "verify"):
        done = sacred(command, "1")
        assert (command, 2) == (command, done.code)
        assert "can not be read: Permission denied" in done.out + done.err
        assert "foreign" not in done.out
        assert "no journal" not in done.err


def test_the_last_one(closed, sacred):
    """`last` counts from the newest, whoever may read the others."""
    assert sacred("show", "last").out.startswith("run 2  COMPLETED")


@pytest.fixture
def in_part(root):
    """A run of two files of its first writer and two of others, of which one each may not be read."""
    store = BlobStore(root.journals.blobs)
    folder = root.completed()
    journal_id = JournalReader(folder.journal).journal_id
    whole, closed = (JournalWriter.join(folder.journal, journal_id=journal_id) for _ in range(2))
    whole.append(EventType.MESSAGE, level="info", text="may be read")
    blob = store.put_bytes(b"the model").blob
    closed.append(EventType.ARTIFACT_ADDED, name="m", filename="m", blob=blob.to_wire())
    for writer in (whole, closed):
        writer.close()
    first = root.file(folder)
    later = folder.journal / "w0000-e0002.jzst"
    later.write_bytes(first.read_bytes())
    month = time.time() - 30 * 86400
    os.utime(store.path_of(blob.digest), (month, month))
    paths = [later, closed.path]
    for path in paths:
        path.chmod(0)
    yield SimpleNamespace(
        folder=folder, blob=store.path_of(blob.digest), names=[p.name for p in paths]
    )
    for path in paths:
        path.chmod(0o644)


def test_files_of_a_run(in_part, sacred):
    """They are not said to be damaged or of something else; nothing is done that they might forbid.

    What is in them may be whole: `verify` and `seal` end with 2, no repair is advised, the file
    before one of them is not sealed as the last, and `gc` does not remove what they may name, force
    or not.
    """
    names = ", ".join(in_part.names)
    done = sacred("verify", "1")
    assert (2, "run 1: unreadable") == (done.code, done.out.partition(",")[0])
    assert (
        f"  to do: get the right to read {names} in {in_part.folder.journal}, or take them"
        in done.out
    )
    why = "it can not be read: Permission denied: ask its owner for the right to read it"
    done = sacred("seal", "1", "--force")
    assert 2 == done.code
    assert done.out.splitlines()[:2] == [
        (
            "run 1 w0000-e0001.jzst: unknown: w0000-e0002.jzst can not be read, and may tell where it "
            "ends and what became of its writer"
        ),
        f"run 1 w0000-e0002.jzst: unknown: {why}",
    ]
    assert done.out.splitlines()[3] == f"run 1 w0002-e0001.jzst: unknown: {why}"
    for options in ((), ("--force",)):
        done = sacred("gc", *options)
        assert (2, True) == (done.code, in_part.blob.exists())
        assert f"1/journal: w0000-e0002.jzst: {why}" in done.err
        assert done.err.endswith("so no stored file was removed: see to that first\n")
    done = sacred("repair", "1")
    assert f"run 1 w0000-e0002.jzst: not repaired: {why}; see sacred verify 1" in done.out
    done = sacred("run", "1", "--resume")
    assert (2, False) == (done.code, "repair" in done.err)
    assert f"stands w0000-e0002.jzst, and {why}; then try again" in done.err


def test_replaying(closed, sacred, tmp_path):
    """`replay` writes the others, and its exit code is not 0."""
    done = sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    first, second = done.out.splitlines()
    assert "can not be read: Permission denied" in first
    assert second == f"run 2 -> file:{tmp_path / 'out'}: up to date"
    assert done.code in {1, 3}


def test_a_root_that_may_not_be_entered(root, sacred, tmp_path):
    """It is not passed over for one in a folder above."""
    root.completed()
    inner = tmp_path / "inner"
    (inner / "sacred_runs").mkdir(parents=True)
    (inner / "sacred_runs").chmod(0)
    try:
        done = sacred("ls", cwd=inner)
    finally:
        (inner / "sacred_runs").chmod(0o755)
    assert (2, "") == (done.code, done.out)
    assert f"{inner / 'sacred_runs'} can not be read: Permission denied" in done.err


def test_a_pipe_with_the_name_of_a_file(root, sacred):
    """Nobody waits at it; the rest of the run is read, and the pipe is named."""
    folder = root.completed()
    os.mkfifo(folder.journal / "w0001-e0001.jzst")
    done = sacred("verify", "1")
    assert done.code == 1
    assert "w0001-e0001.jzst: skipped: it is no regular file" in done.out
    assert "COMPLETED" in sacred("ls").out
