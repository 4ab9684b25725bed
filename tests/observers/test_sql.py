"""SqlObserver: what it declares and hands out, and what it writes when it is called."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from observers.calls import NOW, PEER, beat, experiment, points, start

from sacred import Experiment
from sacred.core.settings import SETTINGS
from sacred.core.views import declared_view
from sacred.observers.sql import SqlObserver
from sacred.observers.sql_bases import Artifact, Host, Resource, Run, Source
from sacred.observers.sql_bases import Experiment as ExperimentRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


@pytest.fixture
def observer() -> Iterator[SqlObserver]:
    """An observer of a database in memory."""
    made = SqlObserver("sqlite://")
    yield made
    made.session.close()
    made.engine.dispose()


# -- the declaration -------------------------------------------------------------------------------


def test_it_declares_a_view(tmp_path: Path) -> None:
    """SQL-01: the address is the view's; a file's as of the folder where it was named."""
    view = declared_view(SqlObserver("sqlite:///runs.db"))
    assert view is not None
    assert ("sql", f"sqlite:///{tmp_path}/runs.db") == (view["kind"], view["url"])
    assert [] == os.listdir()


def test_its_arguments() -> None:
    """SQL-01, OBS-01: address, echo, priority; 40 by default, before all others."""
    assert 40 == SqlObserver("sqlite:///x.db").priority
    observer = SqlObserver("sqlite:///x.db", True, 3)
    assert (True, 3) == (observer.echo, observer.priority)
    with pytest.raises(TypeError, match=r"SqlObserver\(...\) is 'x': give a number"):
        SqlObserver("sqlite:///x.db", priority="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("url", [3, None, "", b"sqlite://"])
def test_what_is_no_address(url: Any) -> None:
    """SQL-01: refused where it is given, with what to write."""
    with pytest.raises(TypeError, match=r'give the address .* SqlObserver\("sqlite:///runs.db"\)'):
        SqlObserver(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:runs.db", "three slashes: write sqlite:///runs.db"),
        ("runs.db", "an SQL view is written"),
        ("postgresql://host", "needs a database"),
        ("postgresql://host:x/db", "'x' is no port"),
    ],
)
def test_an_address_that_is_none(url: str, says: str) -> None:
    """SQL-01: refused where it is given, in a sentence."""
    with pytest.raises(ValueError, match=says):
        SqlObserver(url)


@pytest.mark.parametrize(
    ("missing", "url", "package"),
    [
        ("sqlalchemy", "sqlite:///x.db", "sqlalchemy"),
        ("psycopg", "postgresql://h/d", "psycopg"),
        ("pymysql", "mysql://h/d", "pymysql"),
    ],
)
def test_a_driver_that_is_not_installed(
    missing: str, url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """USE-12: an ImportError with the name of the package, and what to type."""
    import importlib.util

    find = importlib.util.find_spec
    gone = {missing, "psycopg2", "MySQLdb"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in gone else find(n))
    with pytest.raises(ImportError, match=r"pip install 'sacred-journal\[sql\]'") as caught:
        SqlObserver(url)
    assert package == caught.value.name


def test_nothing_is_loaded_to_declare() -> None:
    """A training process pays for the journal alone."""
    code = (
        "import sys; from sacred.observers import SqlObserver; "
        "SqlObserver('postgresql://h/d').declare_view(); "
        "print([m for m in ('sqlalchemy', 'psycopg', 'sacred.replayers.follower') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]" == done.stdout.strip()


def test_an_id_that_is_taken(tmp_path: Path) -> None:
    """R14: in a SQLite file it is looked up, without SQLAlchemy; what is no such file says nothing."""
    observer = SqlObserver("sqlite:///runs.db")
    observer.check_run_id(5)  # there is no file, and none is made
    assert [] == os.listdir()
    SqlObserver.create_from(observer.engine, observer.session).session.close()
    ex = Experiment("taken", save_git_info=False)
    ex.main(lambda: None)
    for given in ("5", "my run"):
        ex.observers[:] = [SqlObserver("sqlite:///runs.db")]
        assert given == str(ex.run(options={"--id": given})._id)
        with pytest.raises(FileExistsError, match=f"There is a run with the id {given} in sqlite"):
            observer.check_run_id(given)
    observer.check_run_id(6)
    (tmp_path / "noise.db").write_bytes(b"noise" * 1000)
    SqlObserver("sqlite:///noise.db").check_run_id(5)
    SqlObserver("postgresql://127.0.0.1:1/db").check_run_id(5)
    SqlObserver("sqlite://").check_run_id(5)
    code = (
        "import sys\nfrom sacred.observers import SqlObserver\n"
        "try:\n    SqlObserver('sqlite:///runs.db').check_run_id(5)\nexcept FileExistsError: "
        "print('sqlalchemy' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == said.stdout.strip()


def test_no_name_shows_a_password() -> None:
    """Passwords are masked in everything printed."""
    observer = SqlObserver("postgresql://me:secret@h:5/db")
    view = declared_view(observer)
    assert view is not None
    assert "sql:h:5/db" == view["name"]
    assert "secret" not in repr(observer)


def test_observers_of_one_store_are_equal(observer: SqlObserver) -> None:
    """OBS-07, USE-04: by the address, or by engine and session; they can not be hashed."""
    assert SqlObserver("sqlite:///a.db") == SqlObserver("sqlite:///a.db")
    assert SqlObserver("sqlite:///a.db") != SqlObserver("sqlite:///b.db")
    assert observer == SqlObserver.create_from(observer.engine, observer.session)
    assert observer != SqlObserver.create_from(observer.engine, "another")
    assert observer != 3
    with pytest.raises(TypeError):
        hash(observer)


def test_how_it_was_made_of_old() -> None:
    """OBS-06: create warns, create_from takes handles and is called in this process."""
    with pytest.warns(DeprecationWarning, match="Please use SqlObserver"):
        assert SqlObserver.create("sqlite:///x.db") == SqlObserver("sqlite:///x.db")
    made = SqlObserver.create_from("engine", "session", 7)
    assert ("engine", "session", 7) == (made.engine, made.session, made.priority)
    assert declared_view(made) is None


def test_what_is_called_in_this_process() -> None:
    """R22: a database in memory, a subclass, a replaced method."""

    class Mine(SqlObserver):
        """Somebody's own."""

    replaced = SqlObserver("sqlite:///x.db")
    replaced.completed_event = lambda *_: None  # type: ignore[method-assign]
    for one in (SqlObserver("sqlite://"), Mine("sqlite:///x.db"), replaced):
        assert declared_view(one) is None


# -- called directly -------------------------------------------------------------------------------

_PROGRAM = """
import datetime as dt, json, os, sys, warnings
warnings.simplefilter("ignore")
from sacred.dependencies import get_digest
from sacred.observers import SqlObserver
from sacred.observers.sql_bases import *
from sacred.observers.sql_bases import Artifact, Dependency, Experiment, Host, Repository, Resource, Run, Source

now = dt.datetime(2024, 5, 4, 3, 2, 1, 5)
ex_info = {"name": "iris", "base_dir": os.getcwd(), "sources": [["main.py", get_digest("main.py")]],
           "dependencies": ["numpy==1", "odd"], "mainfile": "main.py",
           "repositories": [{"url": "u", "commit": "c", "dirty": True}]}
facts = {"command": "main", "config": {"b": [1, {"c": None}], "a": 0.5, "n": float("nan")},
         "host_info": {"hostname": "h", "cpu": "c", "os": ["Linux", "L-1"], "python_version": "3"}}

def show(observer):
    run = observer.run.to_json()
    run["experiment"]["dependencies"].sort()
    print(json.dumps(run, default=repr, sort_keys=True), observer.run.info, observer.run.config, observer.run.id)
    print(observer.run.experiment.md5sum)

for ends in ("completed", "interrupted", "failed"):
    for meta in ({"comment": "c", "priority": "3.5", "options": {}}, {}):
        observer = SqlObserver("sqlite:///runs.db")
        print(repr(observer.started_event(ex_info=ex_info, start_time=now, meta_info=meta, _id=None, **facts)))
        show(observer)
        for n in range(2):
            observer.log_metrics({"loss": {"steps": [n], "values": [2.5], "timestamps": [now]}}, {})
            observer.heartbeat_event({"x": n}, "out\\n" * n, now, n)
            show(observer)
        for _ in range(2):
            observer.resource_event(os.path.abspath("main.py"))
            observer.artifact_event("main", "main.py", {"k": 1}, None)
        show(observer)
        {"completed": lambda: observer.completed_event(now, 4),
         "interrupted": lambda: observer.interrupted_event(now, "TIMEOUT"),
         "failed": lambda: observer.failed_event(now, ["a\\n", "b"])}[ends]()
        show(observer)
print(repr(observer.started_event(ex_info=ex_info, start_time=now, meta_info={}, _id="x", **facts)))
show(observer)
print(repr(observer.started_event(ex_info=ex_info, start_time=now, meta_info={}, _id=None, **facts)))
print(json.dumps(observer.query(1), default=repr, sort_keys=True).replace('"numpy==1", "odd=="', "").replace('"odd==", "numpy==1"', ""))
for table in (Source, Repository, Dependency, Artifact, Resource, Host, Experiment, Run):
    print(table.__name__, observer.session.query(table).count())
"""


@pytest.mark.skipif(PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
def test_the_same_rows_as_the_peer(tmp_path: Path) -> None:
    """USE-03, USE-14, OBS-03, SQL-02, SQL-05, SQL-06: ids, to_json, info, checksum, number of rows."""
    said = []
    for name, python in (("theirs", str(PEER)), ("ours", sys.executable)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text("print(1)\n")
        (folder / "program.py").write_text(_PROGRAM)
        path = {} if python == sys.executable else {"PYTHONPATH": ""}
        done = subprocess.run(
            [python, "program.py"],
            cwd=folder,
            env={**os.environ, **path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        # The checksum of an experiment is that of its folder, too.
        lines = done.stdout.replace(str(folder), "HERE").splitlines()
        said.append([line for line in lines if len(line) != 32])
    assert said[0] == said[1]


_THEIRS = """
import datetime as dt, warnings
warnings.simplefilter("ignore")
from sacred.observers import SqlObserver
now = dt.datetime(2024, 5, 4, 3, 2, 1, 5)
ex_info = {"name": "theirs", "base_dir": "/", "sources": [], "dependencies": [], "repositories": []}
host = {"hostname": "h", "cpu": "c", "os": ["Linux", "L-1"], "python_version": "3"}
observer = SqlObserver("sqlite:///runs.db")
print(repr(observer.started_event(ex_info, "main", host, now, {"a": (1, 2)}, {}, None)))
observer.completed_event(now, 1)
print([(one.run_id, one.status, one.result) for one in observer.session.query(type(observer.run))])
"""


@pytest.mark.skipif(PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7")
def test_a_database_that_both_use(tmp_path: Path) -> None:
    """SQL-02, SQL-05: Sacred 0.8.7 makes it, we write into it, Sacred goes on; each reads the other's."""

    def theirs() -> list[str]:
        done = subprocess.run(
            [str(PEER), "-c", _THEIRS],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout.splitlines()

    assert ["'0'", "[('0', 'COMPLETED', 1.0)]"] == theirs()
    ours = SqlObserver("sqlite:///runs.db")
    assert 2 == start(ours)
    ours.completed_event(NOW, {"not": "a number"})
    assert {"a": (1, 2)} == ours.query("0")["config"]
    both = "('0', 'COMPLETED', 1.0), ('2', 'COMPLETED', None), ('3', 'COMPLETED', 1.0)"
    assert ["3", f"[{both}]"] == theirs()
    ours.session.remove()
    ours.engine.dispose()


def test_a_start(observer: SqlObserver) -> None:
    """USE-14, SQL-02: nothing captured yet, a priority of 0.0, the run's row as Sacred shows it."""
    run_id = start(observer)
    assert observer.run is not None
    found = observer.run.to_json()
    assert {
        "_id": run_id,
        "command": "main",
        "start_time": NOW,
        "heartbeat": None,
        "stop_time": None,
        "queue_time": None,
        "status": "RUNNING",
        "result": None,
        "meta": {"comment": "c", "priority": 0.0},
        "resources": [],
        "artifacts": [],
        "host": {"hostname": "here", "cpu": None, "os": [None, None], "python_version": None},
        "experiment": {
            "name": "iris",
            "base_dir": "/base",
            "sources": [],
            "repositories": [],
            "dependencies": ["numpy==1"],
        },
        "config": {"a": 1},
        "captured_out": None,
        "fail_trace": None,
    } == found


def test_ids(observer: SqlObserver) -> None:
    """OBS-03, SQL-05: the text 0, then integers; a given one is kept, and passed over by others."""
    assert ["0", 2, 3] == [start(observer) for _ in range(3)]
    assert ("x", 5, "6") == (start(observer, "x"), start(observer), start(observer, "6"))
    assert 7 == start(observer)
    with pytest.raises(FileExistsError, match="There is a run with the id x"):
        start(observer, "x")
    assert 8 == start(observer)


def test_two_processes_at_once(tmp_path: Path) -> None:
    """SQL-05: each run has a row and an id of its own, whoever is faster."""
    given: list[Any] = []

    def begin() -> None:
        mine = SqlObserver("sqlite:///runs.db")
        given.extend(start(mine) for _ in range(5))
        mine.engine.dispose()

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 20 == len(given) == len(set(given))


@pytest.mark.parametrize("result", ["text", {"a": [1]}, 3, 2.5, None])
def test_results_of_any_kind(observer: SqlObserver, result: Any) -> None:
    """SQL-03: a number is in ``result``, and everything as JSON beside it."""
    start(observer)
    beat(observer, {"x": 1}, "out", result)
    run = observer.session.query(Run).one()
    assert result == run.to_json()["result"]
    is_number = isinstance(result, (int, float))
    assert (result if is_number else None) == run.result
    assert '{"x": 1}' == run.info


def test_a_status_of_ones_own(observer: SqlObserver) -> None:
    """SQL-03: any text."""
    start(observer)
    observer.interrupted_event(NOW, "OUT_OF_COFFEE")
    assert "OUT_OF_COFFEE" == observer.session.query(Run).one().status


def test_long_texts(observer: SqlObserver) -> None:
    """SQL-03: nothing is cut off."""
    start(observer, ex_info={**experiment(base="/" + "b" * 500), "name": "n" * 100})
    row = observer.session.query(ExperimentRow).one()
    assert (501, 100) == (len(row.base_dir), len(row.name))


def test_a_queued_run(observer: SqlObserver) -> None:
    """SQL-03: it has its status, and the time when it was queued."""
    observer.queued_event(experiment(), "main", {}, NOW, {}, {}, None)
    run = observer.session.query(Run).one()
    assert ("QUEUED", NOW, None) == (run.status, run.queue_time, run.start_time)


def test_beats_of_another_thread(observer: SqlObserver) -> None:
    """SQL-04: they are there at once."""
    start(observer)
    thread = threading.Thread(target=beat, args=(observer, {"x": 2}, "from the thread"))
    thread.start()
    thread.join(60)
    with observer.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT captured_out, info FROM run").all()
    assert [("from the thread", '{"x": 2}')] == [tuple(row) for row in rows]


def test_sources_as_they_are(observer: SqlObserver, tmp_path: Path) -> None:
    """SQL-05: no text, changed since, gone: the run begins all the same."""
    from sacred.core.sources import get_digest

    (tmp_path / "bin.so").write_bytes(b"\xff\x00binary")
    md5 = get_digest("bin.so")
    names = ["bin.so", md5], ["gone.py", "0" * 32]
    start(observer, ex_info=experiment(*names, base=tmp_path))
    found = {row.filename: row.content for row in observer.session.query(Source)}
    assert {"bin.so": "\ufffd\ufffdbinary", "gone.py": None} == found


def test_runs_share_rows(observer: SqlObserver) -> None:
    """SQL-06: of the same experiment and the same host."""
    for _ in range(3):
        start(observer)
    counts = [observer.session.query(kind).count() for kind in (Run, ExperimentRow, Host)]
    assert [3, 1, 1] == counts


def test_files(observer: SqlObserver, tmp_path: Path) -> None:
    """SQL-02: contents of resources and artifacts; of a folder, all files."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.txt").write_bytes(b"a")
    (tmp_path / "made" / "b.txt").write_bytes(b"b")
    start(observer)
    observer.artifact_event("made", "made")
    observer.resource_event(str(tmp_path / "made" / "a.txt"))
    observer.resource_event(str(tmp_path / "made" / "a.txt"))
    rows = observer.session.query(Artifact).order_by(Artifact.artifact_id)
    assert [("made/a.txt", b"a"), ("made/b.txt", b"b")] == [(r.filename, r.content) for r in rows]
    assert [b"a"] == [row.content for row in observer.session.query(Resource)]
    assert observer.run is not None
    assert 1 == len(observer.run.resources)


def test_no_table_of_ours(observer: SqlObserver) -> None:
    """USE-03: a direct call makes Sacred's tables and nothing else, metrics neither."""
    from sqlalchemy import inspect

    start(observer)
    observer.log_metrics({"m": points(1.0)}, {})
    assert [] == [name for name in inspect(observer.engine).get_table_names() if "journal" in name]


def test_a_given_engine_and_session() -> None:
    """USE-04: rows are written through the session that was handed over."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker

    engine = create_engine("sqlite://")
    session = scoped_session(sessionmaker(bind=engine))
    observer = SqlObserver.create_from(engine, session)
    start(observer)
    beat(observer, {}, "out", 3)
    run = session.query(Run).one()
    assert ("out", 3.0) == (run.captured_out, run.result)
    session.remove()
    engine.dispose()


def test_events_before_a_start(observer: SqlObserver) -> None:
    """A failure that came before it is none of this database's; anything else is an error."""
    observer.failed_event(NOW, [])
    with pytest.raises(RuntimeError, match="comes first"):
        beat(observer)


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_called_with_a_server(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """SQL-01, SQL-03, USE-03: the same rows as in SQLite; what is long or of another kind fits."""
    (tmp_path / "a.bin").write_bytes(b"\xff\x00a")
    observer = SqlObserver(request.getfixturevalue(f"{kind}_url"))
    long = "ä🚀" * 200
    start(observer, ex_info={**experiment(base=f"/{long}"), "name": long})
    beat(observer, {"x": float("nan")}, f"out\0{long}", {"any": "thing"})
    observer.artifact_event("a.bin", "a.bin")
    observer.resource_event(str(tmp_path / "a.bin"))
    observer.interrupted_event(NOW, "OUT_OF_COFFEE")
    assert observer.run is not None
    found = observer.run.to_json()
    assert (f"out\ufffd{long}", {"any": "thing"}) == (found["captured_out"], found["result"])
    assert ("OUT_OF_COFFEE", long) == (found["status"], found["experiment"]["name"])
    assert [b"\xff\x00a"] == [row.content for row in observer.session.query(Artifact)]
    assert ["2", "3"] == [str(start(observer)) for _ in range(2)]
    observer.session.remove()
    observer.engine.dispose()


# -- a run -----------------------------------------------------------------------------------------


def _experiment(observer: Any) -> Experiment:
    ex = Experiment("iris", save_git_info=False)
    ex.observers.append(observer)

    @ex.config
    def config() -> None:
        rate = 0.5  # noqa: F841

    @ex.main
    def main(_run: Any, rate: float) -> dict[str, float]:
        for step in range(3):
            _run.log_scalar("loss", rate * step, step)
        return {"loss": rate}

    return ex


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.server),
        pytest.param("maria", marks=pytest.mark.server),
    ],
)
def test_a_run_with_a_declared_view(kind: str, request: pytest.FixtureRequest) -> None:
    """SQL-01, OBS-03: another process writes it; its id is the view's, and ``run`` finds its row."""
    url = "sqlite:///runs.db" if kind == "sqlite" else request.getfixturevalue(f"{kind}_url")
    observer = SqlObserver(url, required=True)
    run = _experiment(observer).run()
    assert 1 == run._id
    row = observer.run
    assert row is not None
    assert ("1", "COMPLETED", {"loss": 0.5}) == (
        row.run_id,
        row.status,
        row.to_json()["result"],
    )
    with observer.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT step, value FROM journal_point ORDER BY seq")
        assert [(0, 0), (1, 0.5), (2, 1)] == [tuple(one) for one in rows]
    observer.session.remove()
    observer.engine.dispose()


def test_a_run_that_calls_it(observer: SqlObserver) -> None:
    """SQL-01, R22: in memory, in this process; the first id is a text."""
    run = _experiment(observer).run()
    assert "0" == run._id
    assert observer.run is not None
    found = observer.run.to_json()
    assert ("COMPLETED", {"loss": 0.5}) == (found["status"], found["result"])
    assert 0.5 == found["config"]["rate"]
