"""The SQL view: what is in the tables, and what each error of a database means."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import random
import socket
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.position import Position
from sacred.journal.writer import JournalWriter
from sacred.replayers.errors import (
    SinkMissingError,
    SinkSpecError,
    TerminalSinkError,
    TransientSinkError,
)
from sacred.replayers.follower import Follower
from sacred.replayers.replay import replay
from sacred.replayers.sink import Batch, PointsAdded, RunKey, SinkSpec
from sacred.replayers.sinks.sql import connection as connection_module
from sacred.replayers.sinks.sql import patience as patience_module
from sacred.replayers.sinks.sql import sink as sink_module
from sacred.replayers.sinks.sql.address import anchored, driver_url, parse_sql, sql_spec
from sacred.replayers.sinks.sql.connection import SqlConnection
from sacred.replayers.sinks.sql.meaning import meaning_of
from sacred.replayers.sinks.sql.runs import find_run
from sacred.replayers.sinks.sql.sink import SqlSink
from sacred.replayers.sinks.sql.values import exact_point

server = pytest.mark.server
KINDS = ["sqlite", pytest.param("postgres", marks=server), pytest.param("maria", marks=server)]


class _Place:
    """A database, looked at without the sink."""

    def __init__(self, url):
        self.spec = SinkSpec.parse(url)
        self.engine = create_engine(driver_url(self.spec.url))

    def rows(self, statement, **values):
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def row(self, statement, **values):
        (row,) = self.rows(statement, **values)
        return row

    def do(self, *statements):
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'runs.db'}"
    else:
        url = request.getfixturevalue(f"{request.param}_url")
    made = _Place(url)
    yield made
    made.engine.dispose()


@pytest.fixture
def lite(tmp_path):
    """An empty SQLite database."""
    made = _Place(f"sqlite:///{tmp_path / 'runs.db'}")
    yield made
    made.engine.dispose()


def once(folder, spec, **options):
    follower = Follower(folder, SqlSink(spec), spec, **options)
    try:
        return follower.run_once()
    finally:
        follower.close()


def _simple(folder, **more):
    writer = JournalWriter.create(
        folder.journal, durability="process", blobs=BlobStore(folder.root.blobs)
    )
    fields = {"run_id": 1, "name": "x", "command": "m", "config": {}, "meta": {}}
    fields |= {"experiment": {"name": "x", "base_dir": "/"}, "host": {}}
    writer.append(EventType.RUN_STARTED, **{**fields, **more})
    return writer


# -- the tables ------------------------------------------------------------------------------------

#: SQL-02, as Sacred 0.8.7 makes them.
SACRED = {
    "artifact": {"artifact_id", "filename", "content", "run_id"},
    "dependency": {"dependency_id", "name", "version"},
    "experiment": {"experiment_id", "name", "md5sum", "base_dir"},
    "experiments_dependencies": {"experiment_id", "dependency_id"},
    "experiments_repositories": {"experiment_id", "repository_id"},
    "experiments_sources": {"experiment_id", "source_id"},
    "host": {"host_id", "cpu", "hostname", "os", "os_info", "python_version"},
    "repository": {"repository_id", "url", "commit", "dirty"},
    "resource": {"resource_id", "filename", "md5sum", "content"},
    "run": set(
        "id run_id command start_time heartbeat stop_time queue_time priority comment fail_trace "
        "captured_out config info status host_id experiment_id result".split()
    ),
    "runs_resources": {"run_id", "resource_id"},
    "source": {"source_id", "filename", "md5sum", "content"},
}


def test_the_tables(place, root):
    """SQL-02: Sacred's tables with Sacred's columns; ours are beside them, but for the result."""
    _simple(root.claim()).close()
    once(root.runs()[0], place.spec)
    found = inspect(place.engine)
    columns = {
        name: {column["name"] for column in found.get_columns(name)}
        for name in found.get_table_names()
    }
    assert {name for name in columns if not name.startswith("journal_")} == set(SACRED)
    assert columns["run"] - SACRED["run"] == {"result_json"}
    assert {name: columns[name] & SACRED[name] for name in SACRED} == SACRED


def test_a_run(place, root, run_writer):
    """SQL-02, SQL-06: each column of a run and of what belongs to it."""
    folder = root.claim()
    run_writer(folder, points=3)
    assert once(folder, place.spec).view_id == 1
    row = place.row("SELECT run_id, command, status, result, result_json, config, info FROM run")
    assert row[:4] == ("1", "main", "COMPLETED", 42.0)
    assert row[4] == "42"
    assert json.loads(row[5]) == {"seed": 1, "tuple": [1, 2], "nested": {"a": 0.5}}
    assert json.loads(row[6]) == {"key": [1, {"deep": 2}]}
    assert place.row("SELECT captured_out FROM run")[0].startswith("first line: ä\n")
    assert place.row("SELECT priority, comment, fail_trace FROM run") == (0.0, "", None)
    times = "SELECT start_time, heartbeat, stop_time FROM run"
    if place.engine.dialect.name != "sqlite":  # which has no times, but texts
        assert all(type(one) is dt.datetime for one in place.row(times))
    assert place.row("SELECT hostname FROM host") == ("host",)
    assert place.row("SELECT name, base_dir FROM experiment") == ("contract", "/base")
    assert place.row("SELECT filename, content FROM source") == ("main.py", "print(1)\n")
    assert place.row("SELECT filename FROM artifact") == ("a file.txt",)
    assert bytes(place.row("SELECT content FROM artifact")[0]) == b"the artifact"
    assert place.row("SELECT filename FROM resource") == ("/base/data.csv",)
    assert place.rows("SELECT run_id FROM runs_resources") == [("1",)]
    points = place.rows(
        "SELECT m.name, p.step, p.value FROM journal_point p JOIN journal_metric m "
        "ON m.run_key = p.run_key AND m.metric = p.metric ORDER BY m.name, p.seq"
    )
    assert points == [
        ("dotted.name", 0.0, 0.0),
        ("loss", 0.0, 0.0),
        ("loss", 1.0, 0.25),
        ("loss", 2.0, 0.5),
    ]


def test_what_a_double_can_not_hold(place, root):
    """SQL-03: such points and results are NULL as numbers, and exact beside that."""
    folder = root.claim()
    writer = _simple(folder)
    for step, value in ((0, math.nan), (1, -math.inf), (1 << 60, 0.5), ("x", 10**400), (2.5, True)):
        writer.log_point("m", step, value)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result={"a": math.nan})
    writer.close()
    assert once(folder, place.spec).state == "current"
    rows = place.rows("SELECT step, value, exact FROM journal_point ORDER BY seq")
    assert [row[:2] for row in rows] == [
        (0.0, None),
        (1.0, None),
        (float(1 << 60), 0.5),
        (None, None),
        (2.5, rows[4][1]),
    ]
    assert [json.loads(row[2]) for row in rows[:4]] == [
        [0, "NaN"],
        [1, "-Infinity"],
        [1 << 60, 0.5],
        ["x", 10**400],
    ]
    assert place.row("SELECT result, result_json FROM run") == (None, '{"a": "NaN"}')


def test_any_text(place, root):
    """SQL-03: long, of any alphabet, with NUL; any status."""
    folder = root.claim()
    long = "ä🚀" * 300
    writer = _simple(
        folder,
        command=long,
        config={long: "a\0b"},
        meta={"comment": "n\0l", "priority": "3.5"},
        experiment={"name": long, "base_dir": "/" + long, "dependencies": [f"{long}=={long}"]},
        host={"hostname": long, "os": ["Linux", long]},
    )
    writer.append_output(1, "x\0y🚀".encode())
    writer.log_point(long, 1, 1.0)
    writer.append(EventType.RUN_ENDED, how="interrupted", status="OUT_OF_COFFEE")
    writer.close()
    status = once(folder, place.spec)
    assert (status.state, status.error) == ("current", None)
    assert place.row("SELECT command, status, priority FROM run") == (long, "OUT_OF_COFFEE", 3.5)
    assert place.row("SELECT comment, captured_out FROM run") == ("n\ufffdl", "x\ufffdy🚀")
    assert json.loads(place.row("SELECT config FROM run")[0]) == {long: "a\0b"}
    assert place.row("SELECT name, version FROM dependency") == (long, long)
    assert place.row("SELECT name FROM journal_metric") == (long,)


def test_names_that_differ_in_case(place, root):
    """SQL-02: "A.py" and "a.py" of one content are two sources."""
    folder = root.claim()
    writer = _simple(folder)
    for name in ("A.py", "a.py"):
        writer.append(EventType.SOURCE_ADDED, filename=name, path=f"/{name}", md5="0" * 32)
    writer.close()
    once(folder, place.spec)
    assert sorted(place.rows("SELECT filename FROM source")) == [("A.py",), ("a.py",)]


def test_versions_of_an_artifact(lite, root):
    """SQL-02: each is a row of its own, once."""
    folder = root.claim()
    blobs = BlobStore(folder.root.blobs)
    writer = _simple(folder)
    for version, content in enumerate((b"one", b"two"), 1):
        stored = blobs.put_bytes(content)
        facts = {"name": "a", "filename": "/a", "version": version, "md5": stored.md5}
        writer.append(EventType.ARTIFACT_ADDED, blob=stored.blob.to_wire(), **facts)
        writer.flush()
        once(folder, lite.spec)
    writer.close()
    once(folder, lite.spec, rebuild=True)
    rows = lite.rows("SELECT filename, content FROM artifact ORDER BY artifact_id")
    assert rows == [("a", b"one"), ("a", b"two")]


def test_a_queued_run(lite, root):
    """SQL-03: its status, and when it was queued."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    facts = {"config": {}, "meta": {}, "host": {}, "experiment": {"name": "x"}}
    writer.append(EventType.RUN_QUEUED, run_id=1, name="x", command="m", **facts)
    writer.close()
    once(folder, lite.spec)
    status, queued, started = lite.row("SELECT status, queue_time, start_time FROM run")
    assert ("QUEUED", queued) == (status, started)


def test_an_experiment_that_grows_leaves_one_row(lite, root):
    """SQL-06: sources that come later make another experiment; the one before goes."""
    folder = root.claim()
    writer = _simple(folder)
    for name in "abc":
        writer.append(EventType.SOURCE_ADDED, filename=name, path=f"/{name}", md5=name * 32)
        writer.flush()
        once(folder, lite.spec)
    writer.close()
    once(folder, lite.spec)
    assert lite.row("SELECT count(*) FROM experiment") == (1,)
    assert lite.row("SELECT count(*) FROM experiments_sources") == (3,)


def test_what_is_too_large(lite, root, monkeypatch):
    """SQL-03: of output the end is kept, of a file the name; the view goes on."""
    monkeypatch.setattr(connection_module, "MOST_BYTES", 1000)
    folder = root.claim()
    stored = BlobStore(folder.root.blobs).put_bytes(b"x" * 2000)
    writer = _simple(folder, config={"large": "y" * 2000})
    writer.append_output(1, b"a line of output\n" * 100)
    facts = {"name": "a", "filename": "/a", "md5": stored.md5}
    writer.append(EventType.ARTIFACT_ADDED, blob=stored.blob.to_wire(), **facts)
    writer.close()
    assert once(folder, lite.spec).state == "current"
    output, config = lite.row("SELECT captured_out, config FROM run")
    assert output.startswith("[1700 bytes of output, whole in the journal; its end:]\na line")
    assert "kept in the journal" in json.loads(config)["too_large"]
    assert lite.row("SELECT filename, content FROM artifact") == ("a", None)


# -- tables that Sacred made -----------------------------------------------------------------------

#: What ``create_all`` of Sacred 0.8.7 sends to PostgreSQL; MySQL's differs in the words marked.
_OLD_TABLES = [
    (
        "CREATE TABLE host (host_id {key}, cpu VARCHAR(64), hostname VARCHAR(64), os VARCHAR(16), "
        "os_info VARCHAR(64), python_version VARCHAR(16))"
    ),
    (
        "CREATE TABLE experiment (experiment_id {key}, name VARCHAR(32), md5sum VARCHAR(32), "
        "base_dir VARCHAR(64))"
    ),
    "CREATE TABLE dependency (dependency_id {key}, name VARCHAR(32), version VARCHAR(16))",
    (
        "CREATE TABLE repository (repository_id {key}, url VARCHAR(2048), {commit} VARCHAR(40), "
        "dirty BOOLEAN)"
    ),
    (
        "CREATE TABLE resource (resource_id {key}, filename VARCHAR(256), md5sum VARCHAR(32), "
        "content {blob})"
    ),
    "CREATE TABLE source (source_id {key}, filename VARCHAR(256), md5sum VARCHAR(32), content TEXT)",
    (
        "CREATE TABLE run (id {key}, run_id VARCHAR(24) UNIQUE, command VARCHAR(64), "
        "start_time {time}, heartbeat {time}, stop_time {time}, queue_time {time}, priority FLOAT, "
        "comment TEXT, fail_trace TEXT, captured_out TEXT, config TEXT, info TEXT, status {status}, "
        "host_id INTEGER REFERENCES host (host_id), "
        "experiment_id INTEGER REFERENCES experiment (experiment_id), result FLOAT)"
    ),
    (
        "CREATE TABLE artifact (artifact_id {key}, filename VARCHAR(64), content {blob}, "
        "run_id VARCHAR(24) REFERENCES run (run_id))"
    ),
    (
        "CREATE TABLE runs_resources (run_id VARCHAR(24) REFERENCES run (run_id), "
        "resource_id INTEGER REFERENCES resource (resource_id))"
    ),
    *[
        f"CREATE TABLE experiments_{many} (experiment_id INTEGER REFERENCES "
        f"experiment (experiment_id), {one}_id INTEGER REFERENCES {one} ({one}_id))"
        for many, one in (
            ("sources", "source"),
            ("repositories", "repository"),
            ("dependencies", "dependency"),
        )
    ],
]
_WORDS = {
    "sqlite": {
        "key": "INTEGER NOT NULL PRIMARY KEY",
        "blob": "BLOB",
        "time": "DATETIME",
        "status": "VARCHAR(11)",
        "commit": '"commit"',
    },
    "postgresql": {
        "key": "SERIAL PRIMARY KEY",
        "blob": "BYTEA",
        "time": "TIMESTAMP",
        "status": "status_enum",
        "commit": '"commit"',
    },
    "mysql": {
        "key": "INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY",
        "blob": "BLOB",
        "time": "DATETIME",
        "status": "ENUM('RUNNING', 'COMPLETED', 'INTERRUPTED', 'TIMEOUT', 'FAILED')",
        "commit": "commit",
    },
}


def test_a_database_that_sacred_made(place, root):
    """SQL-02, SQL-03: its rows stay, its columns get room, and ours come beside it."""
    dialect = place.engine.dialect.name
    if dialect == "postgresql":
        names = "'RUNNING', 'COMPLETED', 'INTERRUPTED', 'TIMEOUT', 'FAILED'"
        place.do(f"CREATE TYPE status_enum AS ENUM ({names})")
    place.do(*(statement.format(**_WORDS[dialect]) for statement in _OLD_TABLES))
    place.do(
        "INSERT INTO run (run_id, command, status, result, config) "
        "VALUES ('0', 'main', 'COMPLETED', 0.5, '{}'), ('1', 'main', 'RUNNING', NULL, '{}')"
    )
    folder = root.claim()
    long = "x" * 400
    writer = _simple(folder, command=long, experiment={"name": long, "base_dir": f"/{long}"})
    writer.append_output(1, b"y" * 100_000)
    writer.append(EventType.RUN_ENDED, how="interrupted", status="MINE", result=[1])
    writer.close()
    status = once(folder, place.spec)
    assert (status.state, status.error, status.view_id) == ("current", None, 2)
    rows = place.rows("SELECT run_id, command, status, result, result_json FROM run ORDER BY id")
    assert rows[:2] == [
        ("0", "main", "COMPLETED", 0.5, None),
        ("1", "main", "RUNNING", None, None),
    ]
    assert rows[2][:3] == ("2", long, "MINE")
    assert len(place.row("SELECT captured_out FROM run WHERE run_id = '2'")[0]) == 100_000
    assert place.row("SELECT base_dir FROM experiment") == (f"/{long}",)


# -- ids -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "journal_point"])
def test_a_database_of_something_else(place, root, name):
    """A table of one of the names that is another program's: a sentence, and nothing is made or changed."""
    place.do(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, athlete VARCHAR(20))")
    place.do(f"INSERT INTO {name} VALUES (1, 'me')")
    folder = root.claim()
    _simple(folder).close()
    status = once(folder, place.spec)
    assert status.state == "failed"
    assert f"the database has a table {name!r} that is not Sacred's" in status.error
    assert "choose another database" in status.error
    assert inspect(place.engine).get_table_names() == [name]
    assert place.row(f"SELECT * FROM {name}") == (1, "me")  # noqa: S608


def test_many_claims_at_once(place):
    """SQL-05: of eight replayers that ask at the same moment each gets an id of its own."""
    given = []

    def claim(number):
        sink = SqlSink(place.spec)
        sink.open()
        given.extend(sink.claim(RunKey(f"{number:08x}{n:08x}", 1)) for n in range(3))
        sink.close()

    SqlConnection(place.spec).open()
    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(given) == list(range(1, 25))


@pytest.mark.parametrize("name", ["run", "journal_point"])
def test_a_database_with_a_view_of_one_of_the_names(place, root, name):
    """A sentence says so, and no table is made."""
    place.do(
        "CREATE TABLE athletes (id INTEGER PRIMARY KEY, status VARCHAR(20))",
        f"CREATE VIEW {name} AS SELECT * FROM athletes",
    )
    folder = root.claim()
    _simple(folder).close()
    status = once(folder, place.spec)
    assert status.state == "failed"
    assert f"the database has a view {name!r}, where Sacred has a table" in status.error
    assert inspect(place.engine).get_table_names() == ["athletes"]


@pytest.mark.parametrize("wanted", [1, None])
def test_a_run_that_is_claimed_between_a_look_and_a_claim(place, monkeypatch, wanted):
    """Of two replayers of one run the second takes the first one's row, at whatever moment it came."""
    run = RunKey("00000000000000aa", wanted)
    first, second = SqlSink(place.spec), SqlSink(place.spec)
    first.open()
    second.open()
    looked = []

    def find(connection, asked):
        found = find_run(connection, asked)
        looked.append(found)
        if len(looked) == 1:  # the second one has found nothing
            assert first.claim(run) == 1
        return found

    monkeypatch.setattr(sink_module, "find_run", find)
    assert second.claim(run) == 1
    assert looked[0] is None
    assert place.rows("SELECT run_id FROM run") == [("1",)]
    assert place.rows("SELECT journal_id FROM journal_run") == [(run.journal_id,)]
    first.close()
    second.close()


def test_many_make_the_tables_at_once(place):
    """SQL-01: of several that find none, all go on."""
    errors = []

    def opens():
        connection = SqlConnection(place.spec)
        try:
            connection.open()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=opens) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert inspect(place.engine).has_table("journal_point")


def test_a_name_as_an_id(lite):
    """SQL-05: kept where it is free, and where the column has room."""
    sink = SqlSink(lite.spec)
    sink.open()
    assert sink.claim(RunKey("0" * 15 + "1", "my run")) == "my run"
    assert sink.claim(RunKey("0" * 15 + "2", "my run")) == 1
    assert sink.claim(RunKey("0" * 15 + "3", "x" * 300)) == 2
    sink.close()


def test_a_run_that_somebody_deleted(place, root):
    """A run that is not there any more is left alone; --rebuild writes it again, under a free id."""
    folder = root.claim()
    writer = _simple(folder)
    writer.log_point("m", 1, 1.0)
    writer.close()
    once(folder, place.spec)
    place.do("DELETE FROM run")
    assert "was deleted in" in str(once(folder, place.spec).error)
    assert place.rows("SELECT id FROM run") == []
    assert once(folder, place.spec, rebuild=True).state == "current"
    assert place.rows("SELECT value FROM journal_point") == [(1.0,)]


def test_what_goes_with_a_run(place, root, run_writer):
    """A row of ``run`` that is deleted in a client takes with it what is this run's alone."""
    gone, kept = root.claim(), root.claim()
    run_writer(gone, points=3)
    run_writer(kept, points=3)
    for folder in (gone, kept):
        assert once(folder, place.spec).state == "current"
    if place.engine.dialect.name == "sqlite":
        path = place.spec.url.partition(":///")[2]
        with contextlib.closing(sqlite3.connect(path)) as client:  # as one of a person's
            client.execute("DELETE FROM run WHERE run_id = '1'")
            client.commit()
    else:  # Sacred's tables have to be asked first
        place.do(
            "DELETE FROM artifact WHERE run_id = '1'",
            "DELETE FROM runs_resources WHERE run_id = '1'",
            "DELETE FROM run WHERE run_id = '1'",
        )
    for table in ("journal_run", "journal_point", "journal_metric", "journal_artifact"):
        assert place.rows(f"SELECT DISTINCT run_key FROM {table}") == [(2,)]  # noqa: S608
    assert place.rows("SELECT run_id FROM artifact") == [("2",)]
    assert place.rows("SELECT run_id FROM runs_resources") == [("2",)]
    assert once(kept, place.spec).state == "current"


# -- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "url", "name"),
    [
        ("sqlite:///x.db", "sqlite:///{here}/x.db", "sql:{here}/x.db"),
        ("sqlite:////a/x.db", "sqlite:////a/x.db", "sql:/a/x.db"),
        ("sql:sqlite:////a/x.db?timeout=3", "sqlite:////a/x.db?timeout=3", "sql:/a/x.db"),
        ("postgresql://me:pw@h:5/d", "postgresql://me:pw@h:5/d", "sql:h:5/d"),
        ("mysql+pymysql://h/d?x=1", "mysql+pymysql://h/d?x=1", "sql:h/d"),
        ("postgresql:///d", "postgresql:///d", "sql:localhost/d"),
    ],
)
def test_addresses(address, url, name, tmp_path, monkeypatch):
    """SQL-01: what a person writes, with the folder of now, and a name without secrets."""
    monkeypatch.chdir(tmp_path)
    spec = SinkSpec.parse(address)
    assert (spec.kind, spec.url, spec.name) == (
        "sql",
        url.format(here=tmp_path),
        name.format(here=tmp_path),
    )


def test_which_driver(monkeypatch):
    """SQL-01: those that the extra installs, or older ones where only those are."""
    import importlib.util

    assert driver_url("postgresql://h/d") == "postgresql+psycopg://h/d"
    assert driver_url("postgres://h/d") == "postgresql+psycopg://h/d"
    assert driver_url("mysql://h/d") == driver_url("mariadb://h/d") == "mysql+pymysql://h/d"
    assert driver_url("mysql+mysqldb://h/d") == "mysql+mysqldb://h/d"
    there = {"psycopg2", "MySQLdb"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: n if n in there else None)
    assert driver_url("postgresql://h/d") == "postgresql+psycopg2://h/d"
    assert driver_url("mysql://h/d") == "mysql+mysqldb://h/d"


def test_a_file_is_that_of_now(tmp_path, monkeypatch):
    """SQL-01: a relative path means the folder of the moment it was written."""
    monkeypatch.chdir(tmp_path)
    assert anchored("sqlite:///a/b.db?timeout=1") == f"sqlite:///{tmp_path}/a/b.db?timeout=1"
    for same in (
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://h/d",
        "sqlite:///file:x?uri=true",
    ):
        assert anchored(same) == same


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("sqlite:x.db", "three slashes: write sqlite:///x.db"),
        ("sqlite://x.db", "three slashes: write sqlite:///x.db"),
        ("sqlite://", "in memory ends with its process"),
        ("sqlite:///:memory:", "in memory ends with its process"),
        ("sqlite:////", "is a folder: write sqlite"),
        ("postgresql://host", "needs a database: write postgresql://host/NAME"),
        ("postgresql:host/db", "an SQL view is written"),
        ("mysql://u:secret@host:0/db", "'0' is no port"),
    ],
)
def test_addresses_that_are_none(address, says):
    """SQL-01: a sentence, without the password."""
    with pytest.raises(SinkSpecError, match=says) as caught:
        parse_sql(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://h/d?sslmod=require", "did you mean sslmode?"),
        ("mysql://h/d?chars=utf8", "knows no option 'chars'"),
        ("mysql://h/d?read_timout=3", "did you mean read_timeout?"),
        ("sqlite:////tmp/x.db?timeot=3", "did you mean timeout?"),
    ],
)
def test_a_misspelt_option(url, says):
    """SQL-01: told with the one that was meant, before anything is connected."""
    with pytest.raises(SinkSpecError) as caught:
        SqlSink(sql_spec(url)).open()
    assert says in str(caught.value)


def test_a_dialect_that_nobody_knows():
    """SQL-01: a sentence."""
    with pytest.raises(SinkSpecError, match="knows no database 'oraclee'"):
        SqlSink(sql_spec("oraclee://h/d")).open()


def test_a_driver_that_is_missing(monkeypatch):
    """USE-12: what to install."""
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SinkMissingError, match=r"pip install 'sacred-journal\[sql\]'"):
        SqlSink(sql_spec("postgresql://h/d")).open()


def test_a_bare_sql_is_what_the_run_declared(lite, root):
    """SQL-01: without an address; where no run says one, a sentence."""
    folder, other = root.claim(), root.claim()
    _simple(folder, views=[{"kind": "sql", "url": lite.spec.url, "name": "x"}]).close()
    _simple(other).close()
    summary = replay(root, [folder], ["sql"])
    assert summary.exit_code == 0
    assert lite.rows("SELECT run_id FROM run") == [("1",)]
    summary = replay(root, [other], ["sql"])
    assert "no run says which database" in str(summary.outcomes[0].error)


# -- errors ----------------------------------------------------------------------------------------


def _refusal(url):
    sink = SqlSink(sql_spec(url))
    try:
        with pytest.raises((TransientSinkError, TerminalSinkError)) as caught:
            sink.open()
    finally:
        sink.close()
    return caught.value


_FULL = {
    "postgres": "DO $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100'; END $$",
    "maria": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'the disk is full'",
}


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_a_server_that_says_its_disk_is_full(request, kind):
    """It did answer: the sentence does not say the opposite, and it is tried again."""
    spec = SinkSpec.parse(request.getfixturevalue(f"{kind}_url"))
    engine = create_engine(driver_url(spec.url))
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(_FULL[kind]))
    engine.dispose()
    found = meaning_of(caught.value, spec)
    assert isinstance(found, TransientSinkError)
    assert f"{spec.name} can not be written now: the disk is full" in str(found)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_down(scheme):
    """Nobody listens: it will be tried again, and no password is shown."""
    from servers.mongo import free_port

    error = _refusal(f"{scheme}://me:s3cret@127.0.0.1:{free_port()}/d")
    assert isinstance(error, TransientSinkError)
    assert "does not answer" in str(error)
    assert "s3cret" not in str(error)


@server
def test_a_database_that_is_not_there(postgres_server, maria_server):
    """Nothing will come of waiting: make it first."""
    for one in (postgres_server, maria_server):
        error = _refusal(one.url("nowhere"))
        assert isinstance(error, TerminalSinkError)
        assert "Make the database first (CREATE DATABASE)" in str(error)


@server
def test_a_user_that_is_refused(postgres_server, maria_server, maria_url):
    """Nothing will come of waiting: check user and password, which is not shown."""
    name = maria_url.rpartition("/")[2]
    for url in (
        postgres_server.url("postgres", "nobody:s3cret"),
        maria_server.url(name, "nobody:s3cret"),
    ):
        error = _refusal(url)
        assert isinstance(error, TerminalSinkError)
        assert "Check user and password" in str(error)
        assert "s3cret" not in str(error)


@server
def test_a_password_of_odd_characters(maria_server, maria_url, root):
    """SQL-01: quoted as in any URL; where it is wrong, it is in no message."""
    name = maria_url.rpartition("/")[2]
    maria_server.ask(
        "CREATE OR REPLACE USER odd@'%' IDENTIFIED BY 'p@s/s:%'",
        f"GRANT ALL ON {name}.* TO odd@'%'",
    )
    try:
        folder = root.claim()
        _simple(folder).close()
        spec = SinkSpec.parse(maria_server.url(name, "odd:p%40s%2Fs%3A%25"))
        assert once(folder, spec).state == "current"
        assert spec.name == f"sql:127.0.0.1:{maria_server.port}/{name}"
        assert "p@s/x" not in str(_refusal(maria_server.url(name, "odd:p%40s%2Fx")))
    finally:
        maria_server.ask("DROP USER odd@'%'")


@server
def test_a_user_that_may_not_make_tables(postgres_server, postgres_url):
    """Nothing will come of waiting: the user needs the right."""
    name = postgres_url.rpartition("/")[2]
    postgres_server.ask(
        "CREATE USER reader", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", database=name
    )
    try:
        error = _refusal(postgres_server.url(name, "reader"))
        assert isinstance(error, TerminalSinkError)
        assert "may make tables" in str(error)
    finally:
        postgres_server.ask("DROP OWNED BY reader", database=name)
        postgres_server.ask("DROP USER reader")


def test_files_that_are_none(tmp_path):
    """SQLite: a folder that is missing, a file that is something else."""
    assert "see that its folder is there" in str(_refusal(f"sqlite:///{tmp_path}/no/x.db"))
    (tmp_path / "x.db").write_text("not a database at all, by no means\n" * 100)
    error = _refusal(f"sqlite:///{tmp_path}/x.db")
    assert isinstance(error, TerminalSinkError)
    assert "is no SQLite database: name another file" in str(error)
    assert (tmp_path / "x.db").read_text().startswith("not a database")


def test_a_file_that_was_cut(lite, root):
    """SQLite: a damaged database is left as it is, and the sentence says what to do."""
    folder = root.claim()
    _simple(folder).close()
    once(folder, lite.spec)
    lite.engine.dispose()
    path = Path(str(lite.engine.url.database))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = path.read_bytes()
    status = once(folder, lite.spec)
    assert "failed" == status.state
    assert "is damaged (database disk image is malformed). It is left as it is" in str(status.error)
    assert before == path.read_bytes()


def test_a_file_that_is_locked(lite, root, monkeypatch):
    """SQLite: another program writes; it will be tried again."""
    monkeypatch.setattr(connection_module, "_LOCKED", 0.05)
    folder = root.claim()
    _simple(folder).close()
    SqlConnection(lite.spec).open()
    with lite.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        status = once(folder, lite.spec)
        assert "can not be written now: database is locked" in str(status.error)
        connection.exec_driver_sql("ROLLBACK")
    assert once(folder, lite.spec).state == "current"


def test_tables_that_somebody_dropped(place, root):
    """They are made again, and the run is written anew."""
    folder = root.claim()
    writer = _simple(folder)
    writer.log_point("m", 1, 1.0)
    writer.flush()
    follower = Follower(folder, SqlSink(place.spec), place.spec)
    assert follower.run_once(patience=100.0).state == "current"
    place.do("DROP TABLE journal_point", "DROP TABLE journal_metric")
    writer.log_point("m", 2, 2.0)
    writer.close()
    assert follower.run_once(patience=100.0).state == "current"
    follower.close()
    assert sorted(place.rows("SELECT value FROM journal_point")) == [(1.0,), (2.0,)]


def _ended(call):
    """Return what a call raised that has to come to an end by itself."""
    raised = []

    def run():
        try:
            call()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(100)
    assert not thread.is_alive(), "it still waits"
    return raised[0] if raised else None


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
def test_a_server_that_never_greets(scheme, monkeypatch):
    """Connections are taken and nothing is said: that costs what a connection may, not an answer."""
    monkeypatch.setattr(connection_module, "CONNECT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        spec = sql_spec(f"{scheme}://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/d")
        sink = SqlSink(spec)
        error = _ended(sink.open)
        sink.close()
    assert isinstance(error, TransientSinkError)
    assert "s3cret" not in str(error)


@server
@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_a_server_that_falls_silent(kind, request, root, fault_proxy, monkeypatch):
    """A network that swallows everything in the middle of a run: behind, then whole, nothing twice."""
    url = request.getfixturevalue(f"{kind}_url")
    port = int(url.rpartition(":")[2].partition("/")[0])
    proxy = fault_proxy(port, server_greets=kind == "maria")
    for module in (connection_module, patience_module):
        monkeypatch.setattr(module, "ANSWER", 6.0)
        monkeypatch.setattr(module, "CONNECT", 6.0)
    spec = SinkSpec.parse(url.replace(f":{port}/", f":{proxy.port}/"))
    folder = root.claim()
    writer = _simple(folder)
    sink = SqlSink(spec)
    key = RunKey(f"{writer.journal_id:016x}", 1)
    sink.open()
    sink.claim(key)
    sink.position(key)
    proxy.swallow()
    error = _ended(lambda: sink.write(Batch(key, (), Position())))
    assert isinstance(error, TransientSinkError)
    said = "nothing came for 6 s" if kind == "postgres" else ""  # PyMySQL counts itself
    assert f"{spec.name} does not answer: {said}" in str(error)
    proxy.heal()
    sink.close()
    writer.log_point("m", 0, 0.5)
    writer.close()
    assert once(folder, spec).state == "current"
    place = _Place(url)
    assert place.rows("SELECT step FROM journal_point") == [(0.0,)]
    place.engine.dispose()


@server
def test_a_batch_that_moves_is_not_a_silent_server(root, postgres_url, monkeypatch):
    """Points that go past SQLAlchemy say that they move, and how much is on its way at last."""
    seconds = []
    watch = patience_module.Patience._watch
    monkeypatch.setattr(
        patience_module.Patience,
        "_watch",
        lambda self, line, most: (seconds.append(most), watch(self, line, most))[1],
    )
    folder = root.claim()
    writer = _simple(folder)
    for step in range(20_000):
        writer.log_point("m", step, step / 7)
    writer.close()
    assert once(folder, SinkSpec.parse(postgres_url)).state == "current"
    longer = [most for most in seconds if most > patience_module.ANSWER + 5]
    assert longer, "the last answer is waited for no longer than any"
    before = seconds[: seconds.index(longer[0])]
    assert before[-20:] == [patience_module.ANSWER] * 20


@server
def test_answers_are_waited_for_longer_than_greetings(maria_url):
    """The bound of a greeting does not hold for a query that takes its time."""
    sink = SqlSink(sql_spec(maria_url))
    sink.open()
    with sink._connection.begin() as connection:
        line = connection.connection.dbapi_connection
        assert line._read_timeout == patience_module.ANSWER
    sink.close()


def test_a_given_time_for_answers_counts():
    """``read_timeout`` of an address is that of the connection."""
    engine = connection_module.engine_for("mysql://h/d?read_timeout=3")
    patience_module.Patience(engine)
    keywords = {"connect_timeout": 5, "read_timeout": 3}

    class Record:
        info: dict = {}

    engine.dialect.dispatch.do_connect(engine.dialect, Record, [], keywords)
    assert keywords["read_timeout"] == 3
    assert Record.info == {}


@server
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PostgresServer", "MariaServer"])
def test_a_server_that_is_killed(kind, root, tmp_path_factory):
    """A kill in the middle of a run: it is behind, and whole when the server is back."""
    from servers import databases

    one = getattr(databases, kind)(tmp_path_factory.mktemp("killed"))
    folder = root.claim()
    writer = _simple(folder)
    try:
        one.start()
        one.ask("CREATE DATABASE runs")
        place = _Place(one.url("runs"))
        follower = Follower(folder, SqlSink(place.spec), place.spec)
        for step in range(3):
            writer.log_point("m", step, 0.5)
            writer.flush()
            assert follower.run_once(patience=100.0).state == "current"
        one.kill()
        writer.log_point("m", 3, 0.5)
        writer.close()
        status = follower.run_once()
        assert status.state == "behind"
        assert "does not answer" in str(status.error)
        one.start()
        assert follower.run_once(patience=60).state == "current"
        follower.close()
        place.engine.dispose()
        rows = place.rows("SELECT step FROM journal_point ORDER BY seq")
        assert rows == [(0.0,), (1.0,), (2.0,), (3.0,)]
        place.engine.dispose()
    finally:
        one.stop()


@server
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_a_connection_that_is_cut(kind, request, root, fault_proxy):
    """Wherever the connection breaks, the run is whole in the end, nothing twice."""
    url = request.getfixturevalue(f"{kind}_url")
    port = int(url.rpartition(":")[2].partition("/")[0])
    proxy = fault_proxy(port, server_greets=kind == "maria")
    spec = SinkSpec.parse(url.replace(f":{port}/", f":{proxy.port}/"))
    place = _Place(url)
    folder = root.claim()
    writer = _simple(folder)
    follower = Follower(folder, SqlSink(spec), spec)
    cut = 0
    for step in range(12):
        writer.log_point("m", step, 0.5)
        writer.append_output(1, f"line {step}\n".encode())
        writer.flush()
        proxy.cut_after(20 + step * (45 if kind == "maria" else 90))
        cut += follower.run_once().state == "behind"
        proxy.heal()
        assert follower.run_once(patience=100.0).state == "current"
    writer.close()
    follower.close()
    rows = place.rows("SELECT step FROM journal_point ORDER BY seq")
    assert rows == [(float(step),) for step in range(12)]
    assert cut > 6, "hardly any cut fell into a batch"
    output = place.row("SELECT captured_out FROM run")[0]
    assert output == "".join(f"line {step}\n" for step in range(12))
    place.engine.dispose()


def test_the_end_of_an_output_of_one_line():
    """SQL-03: of an output that is too large and has no line that could be left out, the end is kept."""
    from sacred.replayers.sinks.sql.values import bounded_output

    assert bounded_output("x" * 99, 40).endswith("its end:]\n" + "x" * 20)
    assert bounded_output("x" * 89 + "\n" + "y" * 9, 40).endswith("its end:]\n" + "y" * 9)


# -- what a run costs ------------------------------------------------------------------------------


def _points(folder, count):
    writer = _simple(folder, run_id=folder.number)
    for step in range(count):
        writer.log_point("m", step, step / 7)
        writer.log_point("n", step, step)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=0.5)
    writer.close()


def test_a_run_is_one_transaction(place, root):
    """A run that has ended costs one commit of changes, and as few statements if it has more points."""
    folders = [root.claim() for _ in range(4)]
    for folder, count in zip(folders, (5, 5, 5, 500), strict=True):
        _points(folder, count)
    sink = SqlSink(place.spec)
    sink.open()
    engine = sink._connection._pool.engine
    statements, transactions = [], []

    def asked(connection, cursor, statement, values, context, many):
        statements[-1].append(statement.split()[0])

    def committed(connection):
        transactions[-1].append("INSERT" in statements[-1])

    event.listen(engine, "before_cursor_execute", asked)
    event.listen(engine, "commit", committed)
    for folder in folders:
        statements.append([])
        transactions.append([])
        follower = Follower(folder, sink, place.spec)
        assert follower.run_once().state == "current"
        follower.release()
    sink.close()
    # A look whether the run is known changes nothing; then all of it is inserted.
    assert transactions == [[False, True]] * 4
    counts = [len(asked) for asked in statements]
    assert counts[1] == counts[2] == counts[3]
    assert counts[1] <= 8
    assert place.rows(
        "SELECT run_key, count(*) FROM journal_point GROUP BY run_key ORDER BY run_key"
    ) == [
        *((key, 10) for key in (1, 2, 3)),
        (4, 1000),
    ]


def test_what_is_known_of_shared_rows_is_seen_to_be_there(place, root):
    """A host or an experiment that somebody deleted, or changed, is made anew for the next run."""
    folders = [root.claim() for _ in range(3)]
    for folder in folders:
        _points(folder, 1)
    sink = SqlSink(place.spec)

    def write(folder):
        follower = Follower(folder, sink, place.spec)
        assert follower.run_once().state == "current"
        follower.release()

    query = (
        "SELECT r.run_id, h.hostname, e.name FROM run r LEFT JOIN host h ON h.host_id = r.host_id "
        "LEFT JOIN experiment e ON e.experiment_id = r.experiment_id ORDER BY r.run_id"
    )
    write(folders[0])
    place.do("UPDATE run SET host_id = NULL, experiment_id = NULL", "DELETE FROM experiment")
    place.do("UPDATE host SET hostname = 'another'")
    write(folders[1])
    assert place.rows(query) == [("1", None, None), ("2", None, "x")]
    assert place.rows("SELECT hostname FROM host ORDER BY host_id") == [("another",), (None,)]
    write(folders[2])
    assert place.rows(query)[2] == ("3", None, "x")
    assert place.rows("SELECT count(*) FROM host") == [(2,)]
    assert place.rows("SELECT count(*) FROM experiment") == [(1,)]
    sink.close()


def test_an_id_that_was_taken_since_the_look(place, root):
    """A run that was taken up gets the next id if another one has its own by then, and says which."""
    folder = root.claim()
    _points(folder, 2)
    sink, other = SqlSink(place.spec), SqlSink(place.spec)
    follower = Follower(folder, sink, place.spec)
    other.open()
    take_up = sink.take_up

    def late(run):
        found = take_up(run)
        assert other.claim(RunKey("00000000000000aa", 1)) == 1
        return found

    sink.take_up = late
    status = follower.run_once()
    assert (status.state, status.view_id) == ("current", 2)
    assert place.rows("SELECT run_id FROM run ORDER BY id") == [("1",), ("2",)]
    follower.close()
    other.close()


def test_a_file_that_is_exchanged_while_it_is_open(lite, root, tmp_path):
    """A view writes into the file that has the name now, not into the one that it has open."""
    folders = [root.claim() for _ in range(3)]
    for folder in folders:
        _points(folder, 1)
    sink = SqlSink(lite.spec)

    def write(folder):
        follower = Follower(folder, sink, lite.spec)
        assert follower.run_once().state == "current"
        follower.release()

    path = tmp_path / "runs.db"
    write(folders[0])
    path.rename(tmp_path / "old.db")
    write(folders[1])
    assert lite.rows("SELECT run_id FROM run") == [("2",)]
    (tmp_path / "old.db").replace(path)
    write(folders[2])
    lite.engine.dispose()
    assert lite.rows("SELECT run_id FROM run ORDER BY id") == [("1",), ("3",)]
    sink.close()


def test_files_stay_open_between_runs(lite, root, monkeypatch):
    """A file is opened once for many runs, and again where somebody else wrote into it."""
    folders = [root.claim() for _ in range(3)]
    for folder in folders:
        _points(folder, 1)
    sink = SqlSink(lite.spec)
    sink.open()
    opened = []
    event.listen(sink._connection._pool.engine, "connect", lambda *_: opened.append(1))

    def write(folder):
        follower = Follower(folder, sink, lite.spec)
        assert follower.run_once().state == "current"
        follower.release()

    write(folders[0])
    write(folders[1])
    before = len(opened)
    assert before <= 1
    lite.do("UPDATE run SET comment = 'mine'")
    write(folders[2])
    assert len(opened) == before + 1
    sink.close()


def test_how_points_are_written(place):
    """Whatever a column of numbers is made of, each database has them to the last bit, in one order."""
    sink = SqlSink(place.spec)
    run = RunKey("00000000000000ab", 1)
    sink.open()
    sink.claim(run)
    sink.position(run)
    numbers = [0.1, 1e-7, 1.7976931348623157e308, 5e-324, -12345678901234.568, 1 / 3, 1e16]
    numbers += [random.uniform(-1, 1) * 10.0 ** random.randint(-300, 300) for _ in range(333)]
    steps = [(1 << 53) - n for n in range(len(numbers))]
    odd = [0.0, -0.0, float("nan"), "a\\b\t\n'\"", None, True, 1 << 60] * 30
    seqs = range(len(numbers), len(numbers) + len(odd))
    times = [1_700_000_000_000_000 + 500_007 * n for n in range(len(numbers))]
    plain = PointsAdded("plain", [0] * len(numbers), [*range(len(numbers))], steps, numbers, times)
    mixed = PointsAdded("odd", [0] * len(odd), [*seqs], odd, odd, [-1] * len(odd))
    sink.write(Batch(run, (plain, mixed), Position()))
    sink.close()
    query = "SELECT step, value, time, exact FROM journal_point WHERE metric = :metric ORDER BY seq"
    found = place.rows(query, metric=1)
    assert [row[:2] for row in found] == list(zip(steps, numbers, strict=True))
    assert {row[3] for row in found} == {None}
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001
    assert [dt.datetime.fromisoformat(str(row[2])) for row in found] == [
        epoch + dt.timedelta(microseconds=time) for time in times
    ]
    found = place.rows(query, metric=2)
    assert [row[3] for row in found] == [exact_point(one, one) for one in odd]
    assert str(found[0][2]).startswith("1969-12-31 23:59:59.999999")
