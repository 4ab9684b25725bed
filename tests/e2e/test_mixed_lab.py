"""What docs/migrate.md says about places that Sacred and this project both write."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from servers import peer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(peer.interpreter() is None, reason="needs the original: make servers"),
]

SCRIPT = """
import sys
from sacred import Experiment
from sacred.observers import FileStorageObserver, MongoObserver

ex = Experiment("lab")

@ex.config
def config():
    foo = 42

@ex.automain
def main(foo, _run, _seed, _rnd):
    _run.log_scalar("loss", 0.5, 0)
    return [foo, _seed, _run._id]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the script with this project, or with the original."""
    monkeypatch.delenv("COLUMNS", raising=False)
    script = tmp_path / "lab.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def start(which, *words):
        ours = which == "ours"
        python = sys.executable if ours else os.fspath(peer.interpreter())
        environment = {name: v for name, v in os.environ.items() if ours or name != "PYTHONPATH"}
        done = subprocess.run(
            [python, "-W", "ignore", str(script), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return done

    return start


def test_a_folder_of_files_is_shared(run, tmp_path):
    """Both take the next number in turn, and no entry of the other's changes by a byte."""
    seen = {}
    for number, which in enumerate(["original", "ours", "original", "ours"], 1):
        run(which, "-F", "my_runs", "with", "seed=1")
        folder = tmp_path / "my_runs" / str(number)
        assert "COMPLETED" == json.loads((folder / "run.json").read_text())["status"]
        for path, text in seen.items():
            assert text == path.read_bytes(), path
        seen |= {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    entries = [p.name for p in (tmp_path / "my_runs").iterdir() if p.name != "_sources"]
    assert ["1", "2", "3", "4"] == sorted(entries)
    results = [json.loads((tmp_path / "my_runs" / n / "run.json").read_text()) for n in "1234"]
    assert 1 == len({str(result["result"][:2]) for result in results}), "seeds give the same draws"


@pytest.mark.server
@pytest.mark.usefixtures("patient_claims")
def test_a_database_is_shared(run, tmp_path, mongo_server, mongo_db):
    """Both take the next number in turn, and no document of the other's changes."""
    place = mongo_server.url.removeprefix("mongodb://").rstrip("/")
    seen = []
    for number, which in enumerate(["original", "ours", "original", "ours"], 1):
        run(which, "-m", f"{place}:{mongo_db.name}", "with", "seed=1")
        documents = list(mongo_db["runs"].find().sort("_id"))
        assert list(range(1, number + 1)) == [document["_id"] for document in documents]
        assert "COMPLETED" == documents[-1]["status"]
        assert seen == documents[:-1]
        seen = documents
    fields = [set(document) - {"_journal"} for document in seen]
    assert fields[0] == fields[1] == fields[2] == fields[3]
    assert 4 == mongo_db["metrics"].count_documents({"name": "loss"})
