"""The places of all sinks, as tests see them: what is in them, without asking the sink."""

from __future__ import annotations

import copy
import datetime as dt
import json
import shutil
import uuid
from pathlib import Path

import bson
import pytest
from replayers import shown

from sacred.replayers.addresses import mongo_spec
from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.sizes import SizeContract
from sacred.replayers.sink import SinkSpec


def _put_back_folder(path):
    """Keep a folder as it is; return what puts it back."""
    kept = path.with_name(f"{path.name} of {uuid.uuid4().hex}")
    shutil.copytree(path, kept)

    def put_back():
        shutil.rmtree(path)
        shutil.copytree(kept, path)

    return put_back


class MemoryPlace(SinkPlace):
    """The memory of this process."""

    outlives_processes = False

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

    def expected(self, folded, view_id):
        return shown.in_memory(folded)

    def place_foreign_run(self, spec, view_id):
        from sacred.replayers.sinks.memory import PLACES, MemoryRun

        PLACES[spec.url].runs[view_id] = MemoryRun("somebody else's", view_id, {"mine": 1})

    def copy_of_place(self, spec):
        from sacred.replayers.sinks.memory import PLACES

        kept = copy.deepcopy(PLACES[spec.url])

        def put_back():
            PLACES[spec.url] = kept

        return put_back

    def delete_run(self, spec, view_id):
        from sacred.replayers.sinks.memory import PLACES

        del PLACES[spec.url].runs[view_id]


class FilePlace(SinkPlace):
    """The file tree."""

    @pytest.fixture
    def spec(self, tmp_path):
        self.resources = f"{tmp_path / 'tree'}/"
        return SinkSpec.parse(f"file:{tmp_path / 'tree'}")

    def content(self, spec, view_id):
        from pathlib import Path

        folder = Path(spec.url) / str(view_id)
        files = [one for one in folder.rglob("*") if one.is_file()]
        return shown.tree({str(one.relative_to(folder)): one.read_bytes() for one in files})

    def expected(self, folded, view_id):
        return shown.in_tree(folded, self.resources)

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

    def copy_of_place(self, spec):
        return _put_back_folder(Path(spec.url))

    def delete_run(self, spec, view_id):
        shutil.rmtree(Path(spec.url) / str(view_id))


class TinyDbPlace(SinkPlace):
    """A TinyDB: its one file, and those of the points and the contents."""

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"tinydb:{tmp_path / 'runs_db'}")

    def copy_of_place(self, spec):
        return _put_back_folder(Path(spec.url))

    def delete_run(self, spec, view_id):
        from tinydb import TinyDB, where

        with TinyDB(Path(spec.url) / "metadata.json") as database:
            assert database.table("runs").remove(where("_id") == view_id)

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
        named = [*found[0].get("experiment", {}).get("sources", ()), *found[0].get("resources", ())]
        named += found[0].get("artifacts", ())
        md5s = [one[-2] for one in named if one[-1]]
        files = [base / "hashfs" / m[:2] / m[2:4] / m[4:6] / m[6:] for m in md5s]
        return {**found[0], "metrics": metrics, "files": [one.read_text() for one in files]}

    def content(self, spec, view_id):
        from pathlib import Path

        base = Path(spec.url)
        tables = json.loads((base / "metadata.json").read_text())
        (found,) = [run for run in tables["runs"].values() if run["_id"] == view_id]
        assert (found.pop("_id"), found.pop("format")) == (view_id, "TinyDbObserver-0.8.7")
        stored = base / "metrics" / f"{view_id}.json"
        metrics = json.loads(stored.read_text())["metrics"] if stored.exists() else {}

        def named(entries):
            return [[one[0], self.stored(base, one[-2]) if one[-1] else None] for one in entries]

        found["sources"] = named(found["experiment"].pop("sources"))
        found["resources"] = named(found["resources"])
        found["artifacts"] = named(found["artifacts"])
        return {**found, "metrics": metrics}

    @staticmethod
    def stored(base, md5):
        content = (base / "hashfs" / md5[:2] / md5[2:4] / md5[4:6] / md5[6:]).read_bytes()
        assert shown.md5(content) == md5
        return content

    def expected(self, folded, view_id):
        return shown.in_tinydb(folded)

    def place_foreign_run(self, spec, view_id):
        from pathlib import Path

        run = {"_id": view_id, "status": "RUNNING", "experiment": {"name": "another's"}}
        Path(spec.url, "metadata.json").write_text(json.dumps({"runs": {"4": run}}))

    def place_foreign_runs(self, spec, count):
        from pathlib import Path

        one = {"status": "RUNNING", "experiment": {"name": "another's"}}
        runs = {str(number): {**one, "_id": number} for number in range(1, count + 1)}
        Path(spec.url, "metadata.json").write_text(json.dumps({"runs": runs}))


class ParquetPlace(SinkPlace):
    """A tree of Parquet, read by DuckDB as its users do."""

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"parquet:{tmp_path / 'tables'}")

    def copy_of_place(self, spec):
        return _put_back_folder(Path(spec.url))

    def delete_run(self, spec, view_id):
        for folder in Path(spec.url).glob(f"[!.]*/experiment=*/run={view_id}"):
            shutil.rmtree(folder)

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
        import shutil
        from pathlib import Path

        folder = Path(spec.url) / "runs" / "experiment=another's" / f"run={view_id}"
        folder.mkdir(parents=True)
        shutil.copy(self._row_of_theirs(Path(spec.url)), folder / "data.parquet")
        (folder / "notes.txt").write_text("mine")

    @staticmethod
    def _row_of_theirs(base):
        import duckdb

        path = base.with_name("theirs.parquet")
        if not path.exists():
            schema = base / "runs/experiment=_schema/run=0/part-0-00000.parquet"
            with duckdb.connect() as connection:
                connection.execute(f"CREATE TABLE theirs AS FROM read_parquet('{schema}')")
                connection.execute("INSERT INTO theirs (status) VALUES ('RUNNING')")
                connection.execute(f"COPY theirs TO '{path}' (FORMAT parquet)")
        return path


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


def _bytes_of_objects(prefix, objects):
    return shown.tree({key.removeprefix(prefix): content for key, content in objects})


class ObjectPlace(SinkPlace):
    """The tree as objects of a store in memory."""

    outlives_processes = False

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

    def copy_of_place(self, spec):
        kept = dict(self.store.objects)

        def put_back():
            self.store.objects.clear()
            self.store.objects.update(kept)

        return put_back

    def delete_run(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        for key in [key for key in self.store.objects if key.startswith(prefix)]:
            del self.store.objects[key]

    def document(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        found = sorted(self.store.objects.items())
        return _run_of_objects(
            prefix, [(key, one.content) for key, one in found if key.startswith(prefix)]
        )

    def content(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        found = self.store.objects.items()
        return _bytes_of_objects(
            prefix, [(key, one.content) for key, one in found if key.startswith(prefix)]
        )

    def expected(self, folded, view_id):
        return shown.in_tree(folded, "path/to/runs/", printable=True)

    def place_foreign_run(self, spec, view_id):
        self.store.put(f"path/to/runs/{view_id}/run.json", b'{"status": "RUNNING"}')


class S3Place(SinkPlace):
    """The tree as objects of a real store."""

    @pytest.fixture
    def client(self, server):
        return server.client()

    @pytest.fixture
    def spec(self, server, client, monkeypatch):
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        self.server = server
        self.bucket, self.client_of_test = f"test-{uuid.uuid4().hex[:12]}", client
        return SinkSpec.parse(f"s3://{self.bucket}/path/to/runs?endpoint_url={server.url}")

    def keys(self, prefix):
        pages = self.client_of_test.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        return [one["Key"] for page in found for one in page.get("Contents", ())]

    def copy_of_place(self, spec):
        client, place = self.client_of_test, {"Bucket": self.bucket}
        kept = {
            key: client.get_object(**place, Key=key)["Body"].read()
            for key in self.keys("path/to/runs/")
        }

        def put_back():
            for key in self.keys("path/to/runs/"):
                client.delete_object(**place, Key=key)
            for key, content in kept.items():
                client.put_object(**place, Key=key, Body=content)

        return put_back

    def delete_run(self, spec, view_id):
        for key in self.keys(f"path/to/runs/{view_id}/"):
            self.client_of_test.delete_object(Bucket=self.bucket, Key=key)

    def document(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        return _run_of_objects(prefix, self.objects(prefix))

    def content(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        return _bytes_of_objects(prefix, self.objects(prefix))

    def expected(self, folded, view_id):
        return shown.in_tree(folded, "path/to/runs/", printable=True)

    def objects(self, prefix):
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
            return []
        return found

    def place_foreign_runs(self, spec, count):
        # Where the server keeps them: a request each takes half a minute.
        place = self.server.folder / "data" / self.bucket / "path/to/runs"
        for view_id in range(1, count + 1):
            (place / str(view_id)).mkdir(parents=True)
            (place / str(view_id) / "run.json").write_text('{"status": "RUNNING"}')

    def place_foreign_run(self, spec, view_id):
        self.client_of_test.put_object(
            Bucket=self.bucket,
            Key=f"path/to/runs/{view_id}/run.json",
            Body=b'{"status": "RUNNING"}',
        )


class VersityPlace(S3Place):
    """S3, on a store that knows conditions of a put."""

    @pytest.fixture
    def server(self, s3_server):
        return s3_server


class RclonePlace(S3Place):
    """S3, on a store without them: what two replayers do at once is not promised there."""

    @pytest.fixture
    def server(self, simple_s3_server):
        return simple_s3_server

    excludes_others = False
    runs = 1000  # a request each: it lists what it remembers, not what is in its folder by now
    place_foreign_runs = SizeContract.place_foreign_runs


class GcsPlace(SinkPlace):
    """Google Cloud Storage, on a stand-in that knows generations."""

    runs = 1000  # a request each, and the stand-in takes its time

    @pytest.fixture
    def spec(self, gcs_server, gcs_place):
        self.server, self.bucket = gcs_server, gcs_place
        return SinkSpec.parse(f"gs://{gcs_place}/path/to/runs")

    def copy_of_place(self, spec):
        kept = self.server.objects(self.bucket, "path/to/runs/", all_of=True)

        def put_back():
            for key in self.server.objects(self.bucket, "path/to/runs/", all_of=True):
                self.server.delete(self.bucket, key)
            for key, content in kept.items():
                self.server.put(self.bucket, key, content)

        return put_back

    def delete_run(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        for key in self.server.objects(self.bucket, prefix, all_of=True):
            self.server.delete(self.bucket, key)

    def document(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        found = self.server.objects(self.bucket, prefix)
        return _run_of_objects(prefix, list(found.items()))

    def content(self, spec, view_id):
        prefix = f"path/to/runs/{view_id}/"
        return _bytes_of_objects(prefix, self.server.objects(self.bucket, prefix).items())

    def expected(self, folded, view_id):
        return shown.in_tree(folded, "path/to/runs/", printable=True)

    def place_foreign_run(self, spec, view_id):
        key = f"path/to/runs/{view_id}/run.json"
        self.server.put(self.bucket, key, b'{"status": "RUNNING"}')


class MongoPlace(SinkPlace):
    """MongoDB, on a real server."""

    @pytest.fixture
    def spec(self, mongo_server, mongo_db):
        self.database = mongo_db
        return mongo_spec(mongo_server.url, mongo_db.name)

    def copy_of_place(self, spec):
        names = self.database.list_collection_names()
        kept = {name: list(self.database[name].find()) for name in names}

        def put_back():
            for name in self.database.list_collection_names():
                self.database[name].delete_many({})
                if kept.get(name):
                    self.database[name].insert_many(kept[name])

        return put_back

    def delete_run(self, spec, view_id):
        """As Omniboard does."""
        self.database.metrics.delete_many({"run_id": view_id})
        assert self.database.runs.delete_one({"_id": view_id}).deleted_count

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

    def content(self, spec, view_id):
        found = self.database.runs.find_one({"_id": view_id})
        assert found.pop("_id") == view_id
        found.pop("_journal")
        listed = found["info"].pop("metrics", [])
        metrics = {}
        for reference in listed:
            series = self.database.metrics.find_one({"_id": bson.ObjectId(reference["id"])})
            assert (series["name"], series["run_id"]) == (reference["name"], view_id)
            known = metrics.setdefault(
                series["_journal"].get("metric", series["name"]),
                {"steps": [], "values": [], "timestamps": []},
            )
            for column, rows in known.items():
                rows.extend(series[column])
        assert self.database.metrics.count_documents({"run_id": view_id}) == len(listed)
        sources = found["experiment"].pop("sources")
        output = found["captured_out"]
        if not found.get("omniboard"):
            found.pop("omniboard", None)
        return {
            **found,
            "sources": [[name, self.stored(one)] for name, one in sources],
            "resources": [[name, self.stored_as(md5)] for name, md5 in found["resources"]],
            "artifacts": [[one["name"], self.stored(one["file_id"])] for one in found["artifacts"]],
            "captured_out": output,
            "metrics": metrics,
        }

    def stored(self, reference):
        import gridfs

        return gridfs.GridFS(self.database).get(reference).read()

    def stored_as(self, md5):
        found = self.database.fs.files.find_one({"md5": md5})
        return None if found is None else self.stored(found["_id"])

    def expected(self, folded, view_id):
        return shown.in_mongo(folded)

    def place_foreign_runs(self, spec, count):
        ids = range(1, count + 1)
        self.database.runs.insert_many([{"_id": one, "status": "RUNNING"} for one in ids])

    def place_foreign_run(self, spec, view_id):
        self.database.runs.insert_one({"_id": view_id, "status": "RUNNING", "omniboard": {"a": 1}})


_TIMES = ("_time", "heartbeat")


def _timed(value):
    """A time, as each driver gives it; SQLite has texts."""
    return dt.datetime.fromisoformat(value) if isinstance(value, str) else value


def _content(value):
    return bytes(value) if isinstance(value, memoryview) else value


class SqlPlace(SinkPlace):
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
            columns = ("steps", "values", "seqs", "exact", "timestamps")
            series = metrics.setdefault(row["name"], {column: [] for column in columns})
            series["steps"].append(row["step"])
            series["exact"].append(row["exact"])
            series["timestamps"].append(row["time"])
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

    def content(self, spec, view_id):
        found = self.rows("SELECT * FROM run WHERE run_id = :id", id=str(view_id))
        (run,) = found
        document = self.document(spec, view_id)

        def read(text):
            return None if text is None else json.loads(text)

        columns = ("status", "command", "start_time", "heartbeat", "stop_time", "result")
        columns += ("fail_trace", "captured_out")
        files = ("sources", "resources", "artifacts")
        return {
            **{name: _timed(run[name]) if name.endswith(_TIMES) else run[name] for name in columns},
            **{name: read(run[name]) for name in ("config", "info", "result_json")},
            **{name: self._files(document[name], ordered=name == "artifacts") for name in files},
            "metrics": {
                name: [
                    (_timed(at), read(exact) if exact is not None else [step, value])
                    for step, value, exact, at in zip(
                        one["steps"], one["values"], one["exact"], one["timestamps"], strict=True
                    )
                ]
                for name, one in document["metrics"].items()
            },
        }

    def expected(self, folded, view_id):
        return shown.in_sql(folded)

    @staticmethod
    def _files(rows, *, ordered):
        found = [[row["filename"], _content(row["content"])] for row in rows]
        return found if ordered else sorted(found, key=repr)

    def _without_key(self, statement, key):
        return [{**row, "host_id": None} for row in self.rows(statement, key=key)]

    def place_foreign_runs(self, spec, count):
        from sqlalchemy import text

        rows = [{"id": str(one)} for one in range(1, count + 1)]
        with self.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO run (run_id, status) VALUES (:id, 'RUNNING')"), rows
            )

    def place_foreign_run(self, spec, view_id):
        from sqlalchemy import text

        with self.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO run (run_id, status, comment) VALUES (:id, 'RUNNING', 'mine')"),
                {"id": str(view_id)},
            )

    def copy_of_place(self, spec):
        from sqlalchemy import MetaData

        tables = MetaData()
        tables.reflect(self.engine)
        with self.engine.connect() as connection:
            kept = [
                (table, [dict(row) for row in connection.execute(table.select()).mappings()])
                for table in tables.sorted_tables
            ]

        def put_back():
            with self.engine.begin() as connection:
                for table in reversed(tables.sorted_tables):
                    connection.execute(table.delete())
                for table, rows in kept:
                    if rows:
                        connection.execute(table.insert(), rows)

        return put_back

    def delete_run(self, spec, view_id):
        from sqlalchemy import text

        with self.engine.begin() as connection:
            for table in ("artifact", "runs_resources", "run"):
                connection.execute(
                    text(f"DELETE FROM {table} WHERE run_id = :id"), {"id": str(view_id)}
                )


class SqlitePlace(SqlPlace):
    """SQLite."""

    @pytest.fixture
    def spec(self, tmp_path):
        return SinkSpec.parse(f"sqlite:///{tmp_path / 'runs.db'}")


class PostgresPlace(SqlPlace):
    """PostgreSQL, on a real server."""

    @pytest.fixture
    def spec(self, postgres_url):
        return SinkSpec.parse(postgres_url)


class MariaPlace(SqlPlace):
    """MariaDB, on a real server."""

    takes_large_files = False  # half of what max_allowed_packet is by default

    @pytest.fixture
    def spec(self, maria_url):
        return SinkSpec.parse(maria_url)
