"""ParquetObserver: what it declares, which numbers it gives, and what it writes when it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from observers.calls import NOW, beat, points, start
from replayers.parquet_tree import ask, source

from sacred.core.arguments import InvalidArgumentError
from sacred.core.views import declared_view
from sacred.observers import ParquetObserver
from sacred.replayers.sink import SinkSpec


def test_it_declares_a_view(tmp_path, monkeypatch):
    """The arguments are the view's specification; the folder is that of the moment."""
    monkeypatch.chdir(tmp_path)
    observer = ParquetObserver(Path("tables"), priority=3, required=True)
    monkeypatch.chdir("/")
    view = declared_view(observer)
    assert view is not None
    assert view["url"] == str(tmp_path / "tables")
    assert SinkSpec.from_wire(view).key == SinkSpec.parse(f"parquet:{tmp_path}/tables").key
    assert (observer.priority, observer.required) == (3, True)
    assert observer == ParquetObserver(tmp_path / "tables")
    assert observer != ParquetObserver(tmp_path / "others")
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("arguments", [(3,), (None,), ("",), (" ",), ("x", "high")])
def test_what_it_refuses(arguments):
    """A folder that is no path or none at all, and a priority that is no number, are refused at once."""
    with pytest.raises(InvalidArgumentError):
        ParquetObserver(*arguments)


def test_it_gives_numbers(tmp_path):
    """A run gets the next number, or the one it has if that is free; ``--id`` of another run is refused."""
    observer = ParquetObserver(tmp_path / "tables")

    def claim(journal, run_id=None, **options):
        return observer.claim_run(
            journal_id=f"{journal:016x}", run_id=run_id, document={}, **options
        )

    assert [claim(1), claim(2, 7), claim(3, 7), claim(1), claim(4, "a name")] == [1, 7, 8, 1, 9]
    with pytest.raises(FileExistsError, match="There is a run with the id 7 in"):
        claim(5, 7, strict=True)
    assert claim(6) == 10
    assert claim(7, "a name", strict=True) == 11
    assert not list((tmp_path / "tables").glob("[a-z]*"))


def test_it_writes_when_it_is_called(tmp_path):
    """A subclass is called event by event, and writes the same tables."""

    class Mine(ParquetObserver):
        pass

    observer = Mine(tmp_path / "tables")
    assert declared_view(observer) is None
    assert start(observer) == 1
    observer.log_metrics({"loss": points(0.5, 0.25)}, {})
    beat(observer, text="a line\nand another")
    observer.completed_event(NOW, 42)
    assert ask(f"select status, result from {source(tmp_path / 'tables', 'runs')}") == [
        ("COMPLETED", "42")
    ]
    values = ask(f"select value from {source(tmp_path / 'tables', 'metrics')} order by seq")
    assert values == [(0.5,), (0.25,)]
    text = ask(f"select text from {source(tmp_path / 'tables', 'output')}")
    assert text == [("a line",), ("and another",)]


def test_a_program_that_declares_it(tmp_path):
    """A program's runs are in the tables when it ends, under their own ids."""
    (tmp_path / "program.py").write_text(
        "from sacred import Experiment\n"
        "from sacred.observers import ParquetObserver\n"
        "ex = Experiment('declared')\n"
        "ex.observers.append(ParquetObserver('tables'))\n"
        "@ex.config\n"
        "def config():\n"
        "    rate = 0.5\n"
        "@ex.automain\n"
        "def main(_run):\n"
        "    for step in range(20):\n"
        "        _run.log_scalar('loss', 1 / (step + 1), step)\n"
        "    print('run', _run._id)\n"
    )
    for rate in (0.1, 0.2):
        subprocess.run(
            [sys.executable, "program.py", "with", f"rate={rate}"],
            cwd=tmp_path,
            env={**os.environ, "SACRED_JOURNAL_VIEW_WAIT": "60"},
            check=True,
            capture_output=True,
            timeout=120,
        )
    rows = ask(
        f"select r.run, r.id, r.status, r.points, c.number from {source(tmp_path / 'tables', 'runs')} r "
        f"join {source(tmp_path / 'tables', 'config')} c using (run) where key = 'rate' order by run"
    )
    assert rows == [(1, "1", "COMPLETED", 20, 0.1), (2, "2", "COMPLETED", 20, 0.2)]
    text = f"select text from {source(tmp_path / 'tables', 'output')} where run = 2"
    assert ("run 2",) in ask(text)
