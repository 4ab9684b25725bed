"""An id that is asked for by several at once: one run of the root has it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from sacred.core.experiment import Experiment
from sacred.core.printed import run_id_of
from sacred.core.recorder import Recorder
from sacred.core.settings import SETTINGS
from sacred.core.views import RunIdTakenError, ViewPlaceError
from sacred.journal.root import JournalRoot
from sacred.observers import FileStorageObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Asks for the ids that stand on its input, one after the other, and says what came of it.
_ASKER = """
import sys
from sacred import Experiment, SETTINGS
from sacred.run import RunIdTakenError

SETTINGS["CAPTURE_MODE"] = "no"
ex = Experiment("asks", save_git_info=False)

@ex.main
def main():
    pass

for line in sys.stdin:
    options = {"--loglevel": "ERROR", "--queue": "queue" in line}
    if not line.startswith("none"):
        options["--id"] = line.split()[0]
    try:
        run = ex.run(options=options)
    except RunIdTakenError as error:
        print("refused", error, flush=True)
    else:
        print("began", run._id, flush=True)
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[[str], list[str]]]:
    """Have three processes ask at once, and return what each says."""
    (tmp_path / "asks.py").write_text(_ASKER, encoding="utf-8")
    processes = [
        subprocess.Popen(
            [sys.executable, "asks.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for _ in range(3)
    ]
    # Whoever hangs is killed, and its silence fails the test.
    watch = threading.Timer(240, lambda: [process.kill() for process in processes])
    watch.start()

    def ask(line: str) -> list[str]:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(line + "\n")
        for process in processes:
            assert process.stdin is not None
            process.stdin.flush()
        return [process.stdout.readline() for process in processes if process.stdout]

    yield ask
    watch.cancel()
    for process in processes:
        process.kill()
        process.communicate(timeout=60)


def _rounds(ask: Callable[[str], list[str]], rounds: int) -> None:
    # The folder of the number 3 has the run of another id: whoever asks for 3 gets another folder.
    words = ["name-{}", "{}00", "{}00 queue", "{}"]
    ids = [words[number % 4].format(number) for number in range(4, rounds + 4)]
    for wanted in ["other", *ids]:
        said = ask(wanted)
        ident = wanted.split()[0]
        assert 1 == said.count(f"began {ident}\n"), (wanted, said)
        refused = [line for line in said if line.startswith("refused")]
        assert 2 == len(refused)
        assert all(f"There is a run with the id {ident} in" in line for line in refused)
    root = JournalRoot("sacred_runs")
    found = [str(run_id_of(folder.path)) for folder in root.runs()]
    assert len(found) == len(set(found)) == len(ids) + 1
    # Nobody who was refused left a folder behind.
    assert len(found) == len(root.numbers())


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="locks of files")
def test_of_several_processes_one_gets_it(ask: Callable[[str], list[str]]) -> None:
    """CLI-10: the others are told in the same sentence as if the run had been there before."""
    _rounds(ask, 12)


@pytest.mark.soak
@pytest.mark.skipif(os.name == "nt", reason="locks of files")
def test_of_several_processes_one_gets_it_each_time(ask: Callable[[str], list[str]]) -> None:
    """The same in many rounds."""
    _rounds(ask, 400)


def _experiment() -> Experiment:
    ex = Experiment("given", base_dir=os.getcwd(), save_git_info=False)

    @ex.main
    def main() -> None:
        pass

    return ex


def test_while_another_is_about_to_begin(tmp_path: Path) -> None:
    """From the question whether an id is free to the start of its run nobody else gets it."""
    recorder = Recorder(tmp_path / "sacred_runs")
    recorder.create_root()
    assert recorder.reserve_id("mine")
    with pytest.raises(RunIdTakenError, match="There is a run with the id mine in"):
        _experiment().run(options={"--id": "mine"})
    recorder.release_id()
    recorder.release_id()
    assert "mine" == _experiment().run(options={"--id": "mine"})._id
    assert not recorder.reserve_id("mine")


def test_a_run_that_does_not_begin_gives_it_back() -> None:
    """Whoever is refused for another reason can try again with the same id."""
    ex = _experiment()
    ex.run()
    ex.observers.append(FileStorageObserver("sacred_runs"))
    with pytest.raises(ViewPlaceError) as error:
        ex.run(options={"--id": "mine"})
    del ex.observers[:]
    assert "mine" == ex.run(options={"--id": "mine"})._id
    assert error.value is not None  # held: nothing was given back by the collector


def test_a_number_that_was_just_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without an id may get the folder that an id names, after that was looked for."""
    ask = Recorder.reserve_id

    def reserve(self: Recorder, run_id: int | str) -> bool:
        free = ask(self, run_id)
        monkeypatch.setattr(Recorder, "reserve_id", ask)
        assert 1 == _experiment().run()._id
        return free

    monkeypatch.setattr(Recorder, "reserve_id", reserve)
    with pytest.raises(RunIdTakenError, match="There is a run with the id 1 in"):
        _experiment().run(options={"--id": "1"})
    assert ["1"] == sorted(n for n in os.listdir(tmp_path / "sacred_runs") if n.isdigit())
