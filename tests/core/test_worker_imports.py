"""What workers import is among the sources and packages of their run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from sacred.core.recorded import RecordedRun
from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="its start methods are those of Linux"
)

PROGRAM = """
import multiprocessing, os, signal, sys, time
from sacred import SETTINGS, Experiment
from sacred.journal import JournalReader
import base_module

ex = Experiment("importing", save_git_info=False)

@ex.capture
def in_function(task, _run):
    import only_in_worker
    from folder import deep
    import spoon

def by_name(run, name):
    __import__(name)

def initialise(name):
    __import__(name)

@ex.capture
def kept_alive(name, told, _run):
    __import__(name)
    told.set()
    time.sleep(60)

@ex.capture
def uses(_run):
    import given_to_pool

def is_recorded(folder, name):
    events = JournalReader(os.path.join(folder, "journal")).read()
    return name in [e.fields["filename"] for e in events if e.name == "source_added"]

def main_of(_run, what, how):
    if how == "loky":
        from joblib import Parallel, delayed
        Parallel(n_jobs=2)(delayed(in_function)(task) for task in range(2))
        return
    context = multiprocessing.get_context(how)
    if what == "function":
        with context.Pool(2) as pool:
            pool.map(in_function, range(4))
    elif what == "end":
        child = context.Process(target=by_name, args=(_run, "only_in_worker"))
        child.start()
        child.join(60)
    elif what == "initializer":
        with context.Pool(2, initialise, ("given_to_pool",)) as pool:
            pool.apply(uses)
    elif what == "killed":
        told = context.Event()
        child = context.Process(target=kept_alive, args=("only_in_worker", told))
        child.start()
        assert told.wait(60)
        deadline = time.monotonic() + 100
        while not is_recorded(_run.folder, "only_in_worker.py") and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
        child.join(60)
    elif what == "reused":
        older.apply(in_function, (1,))

@ex.main
def main(_run):
    main_of(_run, *sys.argv[1:3])

if __name__ == "__main__":
    what, how, *strategies = sys.argv[1:]
    if strategies:
        SETTINGS.DISCOVER_SOURCES, SETTINGS.DISCOVER_DEPENDENCIES = strategies
    if what == "reused" and how != "loky":
        older = multiprocessing.get_context(how).Pool(1)
    for _ in range(2 if what == "reused" else 1):
        ex.run(options={"--capture": "no"})
    if what == "reused" and how != "loky":
        older.terminate()
    if how == "loky":
        from joblib.externals.loky import get_reusable_executor
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
"""
FILES = {
    "program.py": textwrap.dedent(PROGRAM),
    "base_module.py": "",
    "only_in_worker.py": "from base_module import *\nimport beside\n",
    "beside.py": "",
    "given_to_pool.py": "",
    "unused.py": "",
    "folder/__init__.py": "",
    "folder/deep.py": "",
}


def _run(tmp_path: Path, *words: str) -> None:
    work, site = tmp_path / "work", tmp_path / "site"
    for name, text in FILES.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    for name in ("spoon", "handle"):
        (site / name).mkdir(parents=True, exist_ok=True)
        (site / f"{name}-1.5.dist-info").mkdir(exist_ok=True)
    (site / "spoon" / "__init__.py").write_text("import handle\n")
    (site / "handle" / "__init__.py").write_text("")
    import sacred

    path = os.pathsep.join([str(site), os.path.dirname(sacred.__path__[0])])
    done = subprocess.run(
        [sys.executable, "program.py", *words],
        cwd=work,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-4000:]


def _events(tmp_path: Path, kind: EventType, number: int = 1) -> list[dict[str, Any]]:
    journal = JournalRoot(tmp_path / "work" / "sacred_runs").run(number).journal
    return [event.fields for event in JournalReader(journal).read() if event.type == kind]


def _sources(tmp_path: Path, number: int = 1) -> set[str]:
    return {fields["filename"] for fields in _events(tmp_path, EventType.SOURCE_ADDED, number)}


AT_HOME = {"program.py", "base_module.py"}
IN_WORKER = {"only_in_worker.py", "beside.py", "folder/__init__.py", "folder/deep.py"}
KINDS = ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)]


@pytest.mark.parametrize("how", [*KINDS, pytest.param("loky", marks=pytest.mark.slow)])
def test_what_a_function_imports_in_a_worker(tmp_path: Path, how: str) -> None:
    """SRC-01, SRC-03: sources, with their contents, and what these import; packages, but not what these import; though the pool is terminated at once."""
    if how == "loky":
        pytest.importorskip("joblib")
    _run(tmp_path, "function", how)
    assert AT_HOME | IN_WORKER == _sources(tmp_path)
    blobs = BlobStore(JournalRoot(tmp_path / "work" / "sacred_runs").blobs)
    for fields in _events(tmp_path, EventType.SOURCE_ADDED):
        content = (tmp_path / "work" / fields["filename"]).read_bytes()
        assert content == blobs.read(fields["blob"]["digest"])
        assert ("program.py" == fields["filename"]) == bool(fields.get("main"))
    found = [n for f in _events(tmp_path, EventType.DEPENDENCIES_FOUND) for n in f["dependencies"]]
    assert "spoon==1.5" in found
    assert "handle==1.5" not in found
    # The stored program needs them.
    recorded = RecordedRun(JournalRoot(tmp_path / "work" / "sacred_runs").run(1))
    assert AT_HOME | IN_WORKER == set(recorded.sources)
    assert "spoon==1.5" in recorded.dependencies


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_worker_that_ends(tmp_path: Path, how: str) -> None:
    """SRC-01: what a plain function imports that was sent the run is recorded at the end of its process."""
    _run(tmp_path, "end", how)
    assert AT_HOME | {"only_in_worker.py", "beside.py"} == _sources(tmp_path)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_worker_that_is_killed(tmp_path: Path, how: str) -> None:
    """SRC-01: what it imports is recorded within half a second, though the function goes on, and records nothing else."""
    _run(tmp_path, "killed", how)
    assert AT_HOME | {"only_in_worker.py", "beside.py"} == _sources(tmp_path)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_what_a_pool_was_begun_with(tmp_path: Path, how: str) -> None:
    """SRC-01: a module that the initializer of a pool loaded counts where a captured function imports it."""
    _run(tmp_path, "initializer", how)
    assert AT_HOME | {"given_to_pool.py"} == _sources(tmp_path)


@pytest.mark.parametrize(
    "how",
    [
        "fork",
        pytest.param("spawn", marks=pytest.mark.slow),
        pytest.param("loky", marks=pytest.mark.slow),
    ],
)
def test_a_pool_that_works_for_several_runs(tmp_path: Path, how: str) -> None:
    """SRC-01: the second run has what its functions import, though the pool's process had loaded it for the first."""
    if how == "loky":
        pytest.importorskip("joblib")
    _run(tmp_path, "reused", how)
    for number in (1, 2):
        assert AT_HOME | IN_WORKER == _sources(tmp_path, number)
        found = _events(tmp_path, EventType.DEPENDENCIES_FOUND, number)
        assert "spoon==1.5" in {name for fields in found for name in fields["dependencies"]}


@pytest.mark.parametrize(
    ("sources", "packages", "expected", "found"),
    [
        ("none", "none", {"program.py"}, []),
        ("sys", "sys", AT_HOME | IN_WORKER, ["handle==1.5", "spoon==1.5"]),
        ("dir", "none", set(FILES), []),
        ("imported", "none", AT_HOME | IN_WORKER, []),
        ("none", "imported", {"program.py"}, ["spoon==1.5"]),
    ],
)
@pytest.mark.parametrize("how", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_settings_decide(
    tmp_path: Path, how: str, sources: str, packages: str, expected: set[str], found: list[str]
) -> None:
    """SRC-01, SRC-03: the strategies that the run's own process has hold for its workers."""
    _run(tmp_path, "function", how, sources, packages)
    assert expected == _sources(tmp_path)
    named = {n for f in _events(tmp_path, EventType.DEPENDENCIES_FOUND) for n in f["dependencies"]}
    assert found == sorted(name for name in named if name.endswith("==1.5"))


AUDITED = """
import multiprocessing, sys, threading, time

def audit(event, arguments):
    if event == "import" and threading.current_thread().name.startswith("sacred-"):
        from sacred.core.fork import IMPORTING
        if not IMPORTING._lock._is_owned():
            with open("bare.txt", "a") as file:
                print(arguments[0], file=file)

sys.addaudithook(audit)

from sacred import Experiment
from sacred.journal import JournalReader

ex = Experiment("audited", save_git_info=False)

def work(run):
    import only_in_worker
    deadline = time.monotonic() + 100
    while "only_in_worker.py" not in recorded(run.folder) and time.monotonic() < deadline:
        time.sleep(0.02)

def recorded(folder):
    events = JournalReader(folder).read()
    return [e.fields["filename"] for e in events if e.name == "source_added"]

@ex.main
def main(_run):
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(_run,))
    child.start()
    child.join(60)
    return child.exitcode

if __name__ == "__main__":
    run = ex.run(options={"--capture": "no"})
    assert run.result == 0
    assert "only_in_worker.py" in recorded(run.folder)
"""


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_the_thread_that_looks_imports_where_a_fork_waits(tmp_path: Path, how: str) -> None:
    """A worker may fork itself: what our thread is importing at that moment would be held in the child for ever."""
    (tmp_path / "work").mkdir()
    FILES_OF_IT = {**FILES, "program.py": textwrap.dedent(AUDITED)}
    for name in ("program.py", "only_in_worker.py", "beside.py", "base_module.py"):
        (tmp_path / "work" / name).write_text(FILES_OF_IT[name])
    import sacred

    done = subprocess.run(
        [sys.executable, "program.py", how],
        cwd=tmp_path / "work",
        env={**os.environ, "PYTHONPATH": os.path.dirname(sacred.__path__[0])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-4000:]
    bare = tmp_path / "work" / "bare.txt"
    assert [] == (bare.read_text().split() if bare.exists() else [])
