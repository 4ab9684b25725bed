"""Runs that another process folds while this one writes: the same views, whatever becomes of it."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from sacred.journal.events import EventType
from sacred.journal.writer import JournalWriter
from sacred.replayers import folded_run
from sacred.replayers.contract import write_run
from sacred.replayers.fold_ahead import is_of_use
from sacred.replayers.folded_run import FoldedRun, fold_whole
from sacred.replayers.follower import Follower
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import replay
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.memory import PLACES, MemoryPlace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.journal.root import JournalRoot, RunFolder

_RUNS = 12


@pytest.fixture
def views() -> Iterator[list[SinkSpec]]:
    """Two empty views in memory."""
    names = [uuid.uuid4().hex for _ in range(2)]
    yield [SinkSpec.parse(f"memory:{name}") for name in names]
    for name in names:
        PLACES.pop(name, None)


def brought(folder: RunFolder, view: SinkSpec, folded: FoldedRun | None = None) -> Follower:
    """Write a run into a view, perhaps as it was folded elsewhere."""
    follower = Follower(folder, load_sink(view), view, folded=folded)
    status = follower.run_once()
    follower.close()
    assert (status.state, status.error) == ("current", None)
    return follower


def sent(folder: RunFolder) -> FoldedRun:
    """Fold a run, and send it through a pickle as between two processes."""
    found = pickle.loads(pickle.dumps(fold_whole(folder), pickle.HIGHEST_PROTOCOL))  # noqa: S301
    assert isinstance(found, FoldedRun)
    return found


def place(view: SinkSpec) -> MemoryPlace:
    """Return what is in a view."""
    return PLACES[view.url]


def shown(view: SinkSpec) -> list[object]:
    """Return all that is in a view, without the number that counts its writes."""
    return [
        {name: value for name, value in vars(run).items() if name != "revision"}
        for run in place(view).runs.values()
    ]


def test_the_view_is_the_same(root: JournalRoot, views: list[SinkSpec]) -> None:
    """A run that was folded elsewhere gives the view, the position and the note that it gives here."""
    write_run(root.claim())
    folder = root.runs()[0]
    there = brought(folder, views[0], sent(folder))
    here = brought(folder, views[1])
    assert shown(views[0]) == shown(views[1])
    assert there._memo is not None and here._memo is not None
    assert there._memo[1:8] == here._memo[1:8]  # without names and times
    assert (there.damage, there.ended) == (here.damage, here.ended)


def test_a_journal_that_went_on_is_read_again(root: JournalRoot, views: list[SinkSpec]) -> None:
    """What came to the journal after it was folded elsewhere is in the view."""
    folder = root.claim()
    write_run(folder)
    old = sent(folder)
    end = old.end[0]
    again = JournalWriter.go_on(folder.journal, end, journal_id=int(old.journal_id, 16))
    again.append(EventType.RUN_RESUMED)
    again.log_point("loss", 1000, 0.25)
    again.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=43)
    again.close()
    brought(folder, views[0], old)
    brought(folder, views[1])
    assert shown(views[0]) == shown(views[1])


def test_a_view_that_knows_the_run(root: JournalRoot, views: list[SinkSpec]) -> None:
    """A view that has the run, of which this machine remembers nothing, is not written again."""
    folder = root.claim()
    write_run(folder)
    brought(folder, views[0])
    shutil.rmtree(folder.views)
    before = shown(views[0])
    assert not brought(folder, views[0], sent(folder)).wrote
    assert before == shown(views[0])


def test_a_write_that_fails_is_made_again(
    root: JournalRoot, views: list[SinkSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was handed to a write that failed is not lost: the journal is folded here then."""
    from sacred.replayers.errors import TransientSinkError

    folder = root.claim()
    write_run(folder)
    sink = load_sink(views[0])
    really = sink.write
    fails = [True]

    def write(batch: object) -> None:
        if fails.pop() if fails else False:
            raise TransientSinkError("not now")
        really(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(sink, "write", write)
    status = Follower(folder, sink, views[0], folded=sent(folder)).run_once(patience=10.0)
    assert (status.state, fails) == ("current", [])
    brought(folder, views[1])
    assert shown(views[0]) == shown(views[1])


def test_only_what_is_plain_is_folded_elsewhere(
    root: JournalRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that go on, damaged ones, long ones and folders with nothing are left to who writes them."""
    living, damaged, whole = root.claim(), root.claim(), root.claim()
    writer = write_run(living, ends=False)
    assert fold_whole(living) is None
    writer.close()
    write_run(damaged)
    (file,) = [path for path in damaged.journal.iterdir() if path.name.startswith("w0000")]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    assert fold_whole(damaged) is None
    assert fold_whole(root.claim()) is None
    write_run(whole)
    assert fold_whole(whole) is not None
    monkeypatch.setattr(folded_run, "MOST_POINTS", 10)
    assert fold_whole(whole) is None


def test_where_no_process_is_made(root: JournalRoot, tmp_path: Path) -> None:
    """Few runs, an observer of one's own or a copy of journals are not worth another process."""
    folders = [root.claim() for _ in range(_RUNS)]
    assert not is_of_use(folders[:2], [SinkSpec.parse(f"file:{tmp_path}")])
    assert not is_of_use(folders, [SinkSpec.parse(f"journal:{tmp_path}")])
    assert not is_of_use(folders, [SinkSpec.parse("mongo")])


_SCRIPT = """
import os, signal, sys
import sacred.replayers.fold_ahead as ahead
import sacred.replayers.follower as follower
from sacred.cli import replay_main
{change}
raise SystemExit(replay_main(sys.argv[1:]))
"""
#: Whoever folds a run in the process that writes fails: so all of them came from the other one.
_ELSEWHERE = """
class Nobody(follower.RunFold):
    def frames(self): raise SystemExit("folded here")
follower.RunFold = Nobody
"""
_KILLED = """
really, calls = ahead.FoldAhead.next, []
def next_of(self):
    calls.append(self)
    if len(calls) == 5: os.kill(self._process._pid, signal.SIGKILL)
    return really(self)
ahead.FoldAhead.next = next_of
"""
_PARENT_DIES = """
really, calls = ahead.FoldAhead.next, []
def next_of(self):
    calls.append(self)
    if len(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)
    return really(self)
ahead.FoldAhead.next = next_of
"""
_INTERRUPTED = _PARENT_DIES.replace("os.getpid()", "0").replace("SIGKILL", "SIGINT")


def replayed(
    root: JournalRoot, out: Path, change: str = "", kind: str = "file:"
) -> subprocess.CompletedProcess[str]:
    """Run ``sacred-replay`` in a process of its own; it ends with all that it started."""
    words = ["--to", f"{kind}{out}", "--root", str(root.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(change=change), *words],
        capture_output=True,  # who holds the other end of these is waited for, too
        text=True,
        timeout=120,
        check=False,
        env=environment,
        start_new_session=True,
    )


def tree(out: Path) -> dict[str, object]:
    """Return the documents of a view of files."""
    names = ("run.json", "config.json", "metrics.json", "cout.txt", "info.json")
    return {
        f"{number}/{name}": (out / str(number) / name).read_text().replace(str(out), "")
        for number in range(1, _RUNS + 1)
        for name in names
    }


two_processors = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="a second process is made on Linux, with a second processor",
)


@two_processors
def test_many_runs_are_folded_elsewhere(root: JournalRoot, tmp_path: Path) -> None:
    """``sacred-replay`` has short runs folded by a second process: lines and files are as without."""
    for _ in range(_RUNS):
        write_run(root.claim())
    out = tmp_path / "out"
    done = replayed(root, out, _ELSEWHERE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"run {number} -> file:{out}: up to date" for number in range(1, _RUNS + 1)
    ]
    replay(root, None, [f"file:{tmp_path / 'here'}"])
    assert tree(out) == tree(tmp_path / "here")


@two_processors
def test_the_process_that_folds_is_killed(root: JournalRoot, tmp_path: Path) -> None:
    """Without it the one that writes goes on alone; nothing is lost and nothing said."""
    for _ in range(_RUNS):
        write_run(root.claim())
    done = replayed(root, tmp_path / "out", _KILLED)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == _RUNS == len(tree(tmp_path / "out")) // 5


@two_processors
@pytest.mark.parametrize(("change", "code"), [(_PARENT_DIES, -9), (_INTERRUPTED, 130)])
def test_the_process_that_writes_ends(
    root: JournalRoot, tmp_path: Path, change: str, code: int
) -> None:
    """Killed, or by Ctrl-C: the process that folds is gone as well, and the next replay does the rest."""
    for _ in range(_RUNS):
        write_run(root.claim())
    done = replayed(root, tmp_path / "out", change)  # returns when nobody holds its output
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert replayed(root, tmp_path / "out").returncode == 0
    assert len(tree(tmp_path / "out")) == 5 * _RUNS


@two_processors
@pytest.mark.parametrize("kind", ["sqlite:///", "tinydb:", "parquet:"])
def test_every_kind_of_view(root: JournalRoot, tmp_path: Path, kind: str) -> None:
    """What was folded elsewhere stands there as the journal says: a process that knows nothing finds it so."""
    for _ in range(_RUNS):
        write_run(root.claim())
    out = tmp_path / "out"
    done = replayed(root, out, _ELSEWHERE, kind)
    assert (done.returncode, done.stderr) == (0, "")
    for folder in root.runs():
        shutil.rmtree(folder.views)
    again = replay(root, None, [f"{kind}{out}"])
    assert [(one.run, one.view_id, one.state) for one in again.outcomes] == [
        (number, number, "current") for number in range(1, _RUNS + 1)
    ]
    for folder in root.runs():
        (note,) = folder.views.iterdir()
        assert '"written": null' in note.read_text()  # nothing was missing
