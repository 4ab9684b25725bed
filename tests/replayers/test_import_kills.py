"""An import that is killed, from each kind of store: given again it goes on, and each run comes once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot
from sacred.journal.verification import verify
from sacred.replayers.contract import write_run
from sacred.replayers.replay import replay
from sacred.replayers.stores.importer import import_runs
from sacred.replayers.stores.registry import store_at

_RUNS = 2
_KILLED = """
import os, signal, sys
from sacred.journal import root as roots
from sacred.journal.root import JournalRoot
from sacred.replayers.stores import importer
from sacred.replayers.stores.registry import store_at

where, place, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
done = 0

def dies(of, name):
    real = getattr(of, name)
    def call(*args, **keywords):
        global done
        done += 1
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **keywords)
    setattr(of, name, call)

for of, name in ((importer, "_append"), (importer, "seal_run"), (importer, "fsync_folder"),
                 (importer, "date_files"), (os, "rename"), (roots, "fsync_folder")):
    dies(of, name)
store = store_at(where)
store.open()
found = list(importer.import_runs(store, JournalRoot(place), store.runs(), fresh=0))
store.close()
print(len(found), done)
"""


def _events(folder: Any) -> list[Any]:
    """Return what a journal says, without who wrote the file, and when."""
    own = {EventType.EPOCH_BEGAN, EventType.SEALED, EventType.METRIC_TABLE}
    reader = JournalReader(folder.journal)
    try:
        return [(e.type, e.time, e.seq, repr(e.fields)) for e in reader.read() if e.type not in own]
    finally:
        reader.close()


def _killed_and_again(address: str, tmp_path: Path) -> None:
    """Fill a store with runs, import them with a kill at every few steps, and compare."""
    source = JournalRoot(tmp_path / "source")
    for _ in range(_RUNS):
        write_run(source.claim(), points=20)
    assert replay(source, None, [address]).exit_code == 0

    def run(place: Path, number: int) -> Any:
        words = [sys.executable, "-c", _KILLED, address, str(place), str(number)]
        return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)

    whole = run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    count, steps = map(int, whole.stdout.split())
    assert count == _RUNS
    assert steps > 20
    wanted = [_events(folder) for folder in JournalRoot(tmp_path / "whole").runs()]
    for at in sorted({1, 2, *range(5, steps, max(1, steps // 4)), steps - 1, steps}):
        root = JournalRoot(tmp_path / f"killed-{at}")
        assert run(root.path, at).returncode == -signal.SIGKILL
        store = store_at(address)
        store.open()
        try:
            found = list(import_runs(store, root, store.runs(), fresh=0))
            twice = list(import_runs(store, root, store.runs(), fresh=0))
        finally:
            store.close()
        assert {one.state for one in found} <= {"imported", "already"}
        assert ["already"] * _RUNS == [one.state for one in twice]
        assert list(range(1, _RUNS + 1)) == root.numbers()
        assert wanted == [_events(folder) for folder in root.runs()]
        assert all(verify(folder).clean for folder in root.runs())
        assert not [entry for entry in os.listdir(root.path) if entry.startswith(".import-")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file:{}", "tinydb:{}", "sqlite:///{}.db"])
def test_stores_of_this_machine(kind: str, tmp_path: Path) -> None:
    """A tree of files, a TinyDB, an SQLite file."""
    _killed_and_again(kind.format(tmp_path / "store"), tmp_path)


@pytest.mark.slow
@pytest.mark.server
def test_mongo(mongo_server: Any, mongo_db: Any, tmp_path: Path) -> None:
    """A database of MongoDB."""
    _killed_and_again(f"{mongo_server.url.rstrip('/')}/{mongo_db.name}", tmp_path)


@pytest.mark.slow
@pytest.mark.server
def test_postgres(postgres_url: str, tmp_path: Path) -> None:
    """A PostgreSQL."""
    _killed_and_again(postgres_url, tmp_path)


@pytest.mark.slow
@pytest.mark.server
def test_mariadb(maria_url: str, tmp_path: Path) -> None:
    """A MariaDB."""
    _killed_and_again(maria_url, tmp_path)
