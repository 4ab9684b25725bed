"""Pipes and devices under the names of files: every tool ends, and nothing lies elsewhere afterwards.

The names are not listed here: a root is made with all that a root has, and each of its files is
replaced in turn.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal

import pytest

from sacred.analysis.details import details, event_lines
from sacred.analysis.queries import query
from sacred.core.recorder import Recorder
from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter
from sacred.journal.bundle_import import import_bundle
from sacred.journal.bundle_writer import write_bundle
from sacred.journal.errors import JournalError
from sacred.journal.garbage import collect
from sacred.journal.repair import repair_run
from sacred.journal.seal import seal_run
from sacred.journal.spool import encode_record
from sacred.replayers.listing import outlines
from sacred.replayers.memo import ViewMemo
from sacred.replayers.replay import replay
from sacred.replayers.verification import check


class TooLongError(BaseException):
    """No Exception: nothing of ours may take it for an error of the disk."""


@contextlib.contextmanager
def at_most(seconds, what):
    """End what waits, by a signal."""

    def over(*_):
        raise TooLongError(what)

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def write_run(folder, root, *, ends):
    """A run with what a run has: a blob, output, a point; killed, where it does not end."""
    store = BlobStore(root.blobs)
    writer = JournalWriter.create(folder.journal, blobs=store)
    about = {"name": "odd", "command": "main", "config": {}, "meta": {}, "host": {}}
    about |= {"run_id": folder.number, "experiment": {"name": "odd", "sources": []}}
    writer.append(EventType.RUN_STARTED, **about)
    blob = store.put_bytes(b"content").blob.to_wire()
    writer.append(EventType.ARTIFACT_ADDED, name="file", filename="file", blob=blob)
    writer.append_output(1, b"said\n")
    writer.log_point("loss", 0, 0.5)
    if ends:
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A root with all kinds of files that roots have, and a file view of it."""
    place = tmp_path_factory.mktemp("odd")
    root = JournalRoot(place / "root")
    folder = root.claim()
    write_run(folder, root, ends=False)
    (folder.journal / "w0000.spool").write_bytes(encode_record(1, 5, b"the last words\n"))
    kept = folder.journal / "w0000-e0001.jzst.damaged-1"
    kept.write_bytes(b"damaged")
    ViewMemo("a view", 1, "current").save(folder.views, "odd")
    other = root.claim()
    write_run(other, root, ends=True)
    notes = JournalWriter.create(folder.path / "notes")
    notes.append(EventType.MESSAGE, level="info", text="a note")
    notes.close()
    recorder = Recorder(root.path)
    recorder.folder = folder
    recorder.note_id("an id")
    view = f"file:{place / 'view'}"
    about = {"name": "odd", "command": "main", "config": {}, "meta": {}, "host": {}, "run_id": 3}
    live = JournalWriter.create(
        root.claim().journal
    )  # of which the view is written twice: its lock
    live.append(EventType.RUN_STARTED, experiment={"name": "odd", "sources": []}, **about)
    live.flush()
    replay(root, [3], [view])
    live.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    live.close()
    replay(root, [3], [view])
    write_bundle(other, place / "bundle")
    import_bundle(place / "bundle", root)
    replay(root, None, [view])
    return place


def names(place):
    """All files below a folder."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def replaced(model, tmp_path, name, kind):
    """A copy of the model in which one file is something else."""
    place = tmp_path / "copy"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(model, place, symlinks=True)
    path = place / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(tmp_path / "elsewhere")
    return place


def everything(place):
    """Have every tool look at a root, and write what it writes."""
    root = JournalRoot(place / "root")
    view = f"file:{place / 'view'}"

    def use_ids():
        recorder = Recorder(root.path)
        recorder.holds_run("an id")
        recorder.folder = root.runs()[0]
        recorder.reserve_id("another id")
        recorder.note_id("an id")
        recorder.release_id()

    runs = root.runs()
    yield "claim", root.claim
    yield "ids", use_ids
    yield "ls", lambda: list(outlines(root))
    for folder in runs:
        yield "show", lambda folder=folder: details(folder)
        yield "events", lambda folder=folder: list(event_lines(folder, []))
        yield "verify", lambda folder=folder: check(folder)
        yield "bundle", lambda folder=folder: write_bundle(folder, place / "new", overwrite=True)
        yield "repair", lambda folder=folder: repair_run(folder, force=True)
        yield "seal", lambda folder=folder: seal_run(folder, force=True)
        memo = ViewMemo("a view", 1, "current")
        yield "memo", lambda folder=folder, memo=memo: memo.save(folder.views, "odd")
    yield "gc", lambda: collect(root, dry_run=True)
    yield "gc", lambda: collect(root)
    yield "import", lambda: import_bundle(place / "bundle", root)
    yield "query", lambda: query("select count(*) from output", root).rows
    yield "replay", lambda: replay(root, None, [view])
    yield "rebuild", lambda: replay(root, None, [view], rebuild=True)


def test_all_tools_work_where_nothing_is_odd(model, tmp_path, monkeypatch):
    """Else the next test would prove nothing."""
    monkeypatch.setattr("sacred.journal.liveness.process_lives", lambda _: False)
    shutil.copytree(model, tmp_path / "copy", symlinks=True)
    done = []
    for what, tool in everything(tmp_path / "copy"):
        tool()
        done.append(what)
    assert 30 == len(done)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
def test_no_tool_waits_at_any_name(model, tmp_path, monkeypatch, caplog, kind):
    """Each file of a root, of a file view and a bundle, as something that would be waited at for ever."""
    monkeypatch.setattr("sacred.journal.liveness.process_lives", lambda _: False)
    caplog.set_level(logging.CRITICAL, "sacred.replayers")
    elsewhere = tmp_path / "elsewhere"
    found = names(model)
    wanted = {"bundle", "root/.high-water", "root/.sacred-journal", "root/1/journal/w0000.spool"}
    wanted |= {"root/1/views/odd.json", "root/.import.lock", "view/3/.journal/lock"}
    assert wanted <= {*found}
    for name in found:
        elsewhere.write_bytes(b"of somebody else")
        place = replaced(model, tmp_path, name, kind)
        for what, tool in everything(place):
            with at_most(100, f"{what} with {name}"), contextlib.suppress(JournalError, OSError):
                tool()
        assert b"of somebody else" == elsewhere.read_bytes(), name
