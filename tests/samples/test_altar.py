"""The pair of scripts of Altar's page about Sacred: an experiment, and twelve runs of it."""

from __future__ import annotations

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot
from samples import typed

pytestmark = [pytest.mark.server, pytest.mark.slow]


def _on(folder, url, name):
    path = typed.program("altar/experiment", folder)
    text = path.read_text()
    assert "mongodb://localhost:27017/" in text
    path.write_text(text.replace("mongodb://localhost:27017/", url).replace("test_db", name))


def test_one_run(tmp_path, mongo_server, mongo_db):
    """The experiment alone: a picture in the run's folder and in the database, and a curve over float steps."""
    pytest.importorskip("matplotlib")
    _on(tmp_path, mongo_server.url, mongo_db.name)
    typed.printed("altar/experiment", tmp_path)
    (document,) = mongo_db["runs"].find()
    assert "COMPLETED" == document["status"]
    assert ["output_plot.png"] == [artifact["name"] for artifact in document["artifacts"]]
    assert (tmp_path / "results" / str(document["_id"]) / "output_plot.png").exists()
    (metric,) = mongo_db["metrics"].find()
    assert ("y", document["_id"], 100) == (metric["name"], metric["run_id"], len(metric["values"]))
    assert (0.0, 1.0, 13.0) == (metric["steps"][0], metric["steps"][-1], metric["values"][0])


def test_twelve_runs(tmp_path, mongo_server, mongo_db):
    """Twelve runs of one process, each with a folder, a document and a metric of its own."""
    pytest.importorskip("matplotlib")
    _on(tmp_path, mongo_server.url, mongo_db.name)
    said = typed.printed("altar/run_multi_exp", tmp_path)
    assert 12 == said.count("Running Sacred experiment for")
    documents = list(mongo_db["runs"].find().sort("_id"))
    assert ["COMPLETED"] * 12 == [document["status"] for document in documents]
    taus = [0.1, 0.5, 1.0, 5, 10.0] + [10.0] * 7
    assert taus == [document["config"]["tau"] for document in documents]
    points = {m["run_id"]: len(m["values"]) for m in mongo_db["metrics"].find()}
    assert points == {document["_id"]: document["config"]["N"] for document in documents}
    root = JournalRoot(tmp_path / "sacred_runs")
    assert 12 == len(root.numbers())
    kinds = {event.type for event in JournalReader(root.run(12).journal).read()}
    assert EventType.RUN_ENDED in kinds
