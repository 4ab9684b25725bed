"""The contract, run over every sink there is."""

from __future__ import annotations

import json
import shutil
import uuid

import pytest

from sacred.replayers.addresses import mongo_spec
from sacred.replayers.contract import SinkContract
from sacred.replayers.sink import SinkSpec


class TestMemorySink(SinkContract):
    """The reference keeps its own contract."""

    @pytest.fixture
    def spec(self):
        from sacred.replayers.sinks.memory import PLACES

        url = uuid.uuid4().hex
        yield SinkSpec.parse(f"memory:{url}")
        PLACES.pop(url, None)

    def document(self, spec, view_id):
        from sacred.replayers.sinks.memory import PLACES

        run = PLACES[spec.url].runs.get(view_id) if spec.url in PLACES else None
        return run.document() if run is not None else None

    def place_foreign_run(self, spec, view_id):
        from sacred.replayers.sinks.memory import PLACES, MemoryRun

        PLACES[spec.url].runs[view_id] = MemoryRun("somebody else's", view_id, {"mine": 1})


class TestFileSink(SinkContract):
    """The file tree."""

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"file:{tmp_path / 'tree'}")

    def document(self, spec, view_id):
        from pathlib import Path

        base = Path(spec.url)
        folder = base / str(view_id)
        if not folder.exists():
            return None
        found = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_file() and not name.startswith(".journal"):
                content = path.read_text()
                found[name] = json.loads(content) if name.endswith(".json") else content
        found["metrics"] = found.pop("metrics.json", None)
        return found

    def place_foreign_run(self, spec, view_id):
        from pathlib import Path

        folder = Path(spec.url) / str(view_id)
        folder.mkdir()
        (folder / "run.json").write_text('{"status": "RUNNING"}')


class TestTinyDbSink(SinkContract):
    """A TinyDB: its one file, and those of the points and the contents."""

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"tinydb:{tmp_path / 'runs_db'}")

    def document(self, spec, view_id):
        from pathlib import Path

        base = Path(spec.url)
        try:
            tables = json.loads((base / "metadata.json").read_text())
        except FileNotFoundError:
            return None
        runs = tables.get("runs", {}).values()
        found = [run for run in runs if run["_id"] == view_id]
        if not found:
            return None
        assert len(found) == 1
        assert not any("_journal" in run for run in runs)
        stored = base / "metrics" / f"{view_id}.json"
        metrics = json.loads(stored.read_text())["metrics"] if stored.exists() else {}
        named = [*found[0]["experiment"].get("sources", ()), *found[0].get("resources", ())]
        named += found[0].get("artifacts", ())
        md5s = [one[-2] for one in named if one[-1]]
        files = [base / "hashfs" / m[:2] / m[2:4] / m[4:6] / m[6:] for m in md5s]
        return {**found[0], "metrics": metrics, "files": [one.read_text() for one in files]}

    def place_foreign_run(self, spec, view_id):
        from pathlib import Path

        run = {"_id": view_id, "status": "RUNNING", "experiment": {"name": "another's"}}
        Path(spec.url, "metadata.json").write_text(json.dumps({"runs": {"4": run}}))


class TestParquetSink(SinkContract):
    """A tree of Parquet, read by DuckDB as its users do."""

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"parquet:{tmp_path / 'tables'}")

    def document(self, spec, view_id):
        from replayers.parquet_tree import tables_of

        found = tables_of(spec.url, view_id)
        if not any(found.values()):
            return None
        for row in found["runs"]:
            for name in ("id", "journal_id", "path", "start", "stop", "duration"):
                row.pop(name, None)
        for row in found["metrics"]:
            row.pop("time")
        found["metrics"].sort(key=lambda row: (row["writer"], row["seq"]))
        return found

    def place_foreign_run(self, spec, view_id):
        from pathlib import Path

        folder = Path(spec.url) / "runs" / "experiment=another's" / f"run={view_id}"
        folder.mkdir(parents=True)
        shutil.copy(
            Path(spec.url, "runs/experiment=_schema/run=0/part-0-00000.parquet"),
            folder / "data.parquet",
        )
        (folder / "notes.txt").write_text("mine")


def _run_of_objects(prefix, objects):
    """All that a bucket holds of a run, but for what is ours alone."""
    found = {}
    for key, content in objects:
        name = key.removeprefix(prefix)
        if not name.startswith(".journal/"):
            text = content.decode()
            found[name] = json.loads(text) if name.endswith(".json") else text
    if found:
        found["metrics"] = found.pop("metrics.json", None)
    return found or None


class TestObjectSink(SinkContract):
    """The tree as objects of a store in memory."""

    @pytest.fixture
    def spec(self, monkeypatch):
        from servers.objects import MemoryStore

        from sacred.replayers.objects.sink import ObjectSink
        from sacred.replayers.sinks import s3

        self.store = MemoryStore()
        monkeypatch.setattr(
            s3, "S3Sink", lambda spec: ObjectSink(spec, MemoryStore(self.store.objects))
        )
        return SinkSpec.parse("s3://bucket/path/to/runs")

    def document(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        found = sorted(self.store.objects.items())
        return _run_of_objects(
            prefix, [(key, one.content) for key, one in found if key.startswith(prefix)]
        )

    def place_foreign_run(self, spec, view_id):
        self.store.put(f"path/to/runs/{view_id}/run.json", b'{"status": "RUNNING"}')


class _S3(SinkContract):
    """The tree as objects of a real store."""

    @pytest.fixture
    def client(self, server):
        return server.client()

    @pytest.fixture
    def spec(self, server, client, monkeypatch):
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        self.bucket, self.client_of_test = f"test-{uuid.uuid4().hex[:12]}", client
        return SinkSpec.parse(f"s3://{self.bucket}/path/to/runs?endpoint_url={server.url}")

    def document(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        found = []
        pages = self.client_of_test.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for one in page.get("Contents", ()):
                    place = {"Bucket": self.bucket, "Key": one["Key"]}
                    if "/.journal/" not in one["Key"]:
                        content = self.client_of_test.get_object(**place)["Body"].read()
                        found.append((one["Key"], content))
        except self.client_of_test.exceptions.NoSuchBucket:
            return None
        return _run_of_objects(prefix, found)

    def place_foreign_run(self, spec, view_id):
        self.client_of_test.put_object(
            Bucket=self.bucket,
            Key=f"path/to/runs/{view_id}/run.json",
            Body=b'{"status": "RUNNING"}',
        )


@pytest.mark.server
class TestS3Sink(_S3):
    """S3, on a store that knows conditions of a put."""

    @pytest.fixture
    def server(self, s3_server):
        return s3_server


@pytest.mark.server
class TestSimpleS3Sink(_S3):
    """S3, on a store without them: what two replayers do at once is not promised there."""

    @pytest.fixture
    def server(self, simple_s3_server):
        return simple_s3_server

    test_two_followers_at_once = None


@pytest.mark.server
class TestGcsSink(SinkContract):
    """Google Cloud Storage, on a stand-in that knows generations."""

    @pytest.fixture
    def spec(self, gcs_server, gcs_place):
        self.server, self.bucket = gcs_server, gcs_place
        return SinkSpec.parse(f"gs://{gcs_place}/path/to/runs")

    def document(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        found = self.server.objects(self.bucket, prefix)
        return _run_of_objects(prefix, list(found.items()))

    def place_foreign_run(self, spec, view_id):
        key = f"path/to/runs/{view_id}/run.json"
        self.server.put(self.bucket, key, b'{"status": "RUNNING"}')


@pytest.mark.server
class TestMongoSink(SinkContract):
    """MongoDB, on a real server."""

    @pytest.fixture
    def spec(self, mongo_server, mongo_db):
        self.database = mongo_db
        return mongo_spec(mongo_server.url, mongo_db.name)

    def document(self, spec, view_id):
        found = self.database.runs.find_one({"_id": view_id})
        if found is None:
            return None
        found.pop("_journal", None)
        info = found.get("info") or {}
        for reference in info.get("metrics", []):
            assert self.database.metrics.find_one({"name": reference["name"]}) is not None
        metrics = {}
        for series in self.database.metrics.find({"run_id": view_id}).sort("_id"):
            series.pop("_journal", None)
            metrics[series["name"]] = series
        named = [one for _, one in (found.get("experiment") or {}).get("sources", [])]
        named += [one["file_id"] for one in found.get("artifacts", [])]
        files = [self.database.fs.files.find_one({"_id": one})["length"] for one in named]
        return {**found, "metrics": metrics, "files": files}

    def place_foreign_run(self, spec, view_id):
        self.database.runs.insert_one({"_id": view_id, "status": "RUNNING", "omniboard": {"a": 1}})


class _SqlSink(SinkContract):
    """Sacred's tables, looked at without the sink."""

    @pytest.fixture
    def connect(self, spec):
        """The tables, for ``document``."""
        from sqlalchemy import create_engine

        from sacred.replayers.sinks.sql.address import driver_url

        self.engine = create_engine(driver_url(spec.url))
        yield
        self.engine.dispose()

    @pytest.fixture(autouse=True)
    def _connected(self, connect):
        pass

    def rows(self, statement, **values):
        from sqlalchemy import text

        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def document(self, spec, view_id):
        from sqlalchemy import inspect

        if not inspect(self.engine).has_table("journal_point"):
            return None
        found = self.rows("SELECT * FROM run WHERE run_id = :id", id=str(view_id))
        if not found:
            return None
        (run,) = found
        key, experiment, host = run.pop("id"), run.pop("experiment_id"), run.pop("host_id")
        metrics = {}
        for row in self.rows(
            "SELECT m.name, p.* FROM journal_point p JOIN journal_metric m "
            "ON m.run_key = p.run_key AND m.metric = p.metric "
            "WHERE p.run_key = :key ORDER BY p.time, p.writer, p.seq",
            key=key,
        ):
            series = metrics.setdefault(row["name"], {"steps": [], "values": [], "seqs": []})
            series["steps"].append(row["step"])
            series["values"].append(row["value"])
            series["seqs"].append((row["writer"], row["seq"]))
        return {
            **run,
            "metrics": metrics,
            "host": self._without_key("SELECT * FROM host WHERE host_id = :key", host),
            "experiment": self.rows(
                "SELECT name, base_dir FROM experiment WHERE experiment_id = :key", key=experiment
            ),
            "sources": self.rows(
                "SELECT filename, md5sum, content FROM source s JOIN experiments_sources e "
                "ON e.source_id = s.source_id WHERE e.experiment_id = :key ORDER BY filename",
                key=experiment,
            ),
            "artifacts": self.rows(
                "SELECT filename, content FROM artifact WHERE run_id = :id ORDER BY artifact_id",
                id=str(view_id),
            ),
            "resources": self.rows(
                "SELECT filename, md5sum, content FROM resource s JOIN runs_resources r "
                "ON r.resource_id = s.resource_id WHERE r.run_id = :id ORDER BY filename",
                id=str(view_id),
            ),
        }

    def _without_key(self, statement, key):
        return [{**row, "host_id": None} for row in self.rows(statement, key=key)]

    def place_foreign_run(self, spec, view_id):
        from sqlalchemy import text

        with self.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO run (run_id, status, comment) VALUES (:id, 'RUNNING', 'mine')"),
                {"id": str(view_id)},
            )


class TestSqliteSink(_SqlSink):
    """SQLite."""

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"sqlite:///{tmp_path / 'runs.db'}")


@pytest.mark.server
class TestPostgresSink(_SqlSink):
    """PostgreSQL, on a real server."""

    @pytest.fixture
    def spec(self, postgres_url):
        return SinkSpec.parse(postgres_url)


@pytest.mark.server
class TestMariaSink(_SqlSink):
    """MariaDB, on a real server."""

    @pytest.fixture
    def spec(self, maria_url):
        return SinkSpec.parse(maria_url)
