"""The digits training and a real MongoDB server that is up, down, late, killed and restored.

The measure is always the journal: after everything has settled, the documents equal it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pymongo
import pytest

pytestmark = [pytest.mark.server, pytest.mark.slow]

QUICK = ("with", "epochs=5")
# It is interrupted or killed: on a busy machine 400 were over before the server was back.
LONG = ("with", "epochs=100000", "pause=0.02")


_clients = []


@pytest.fixture(autouse=True)
def _close_clients():
    yield
    while _clients:
        _clients.pop().close()


def _database(server, name):
    _clients.append(pymongo.MongoClient(server.url, serverSelectionTimeoutMS=5000))
    return _clients[-1][name]


def _interrupt(training):
    """Press Ctrl-C until it ends: scikit-learn's partial_fit takes an interrupt for itself."""
    deadline = time.monotonic() + 100
    while training.process.poll() is None and time.monotonic() < deadline:
        training.process.send_signal(signal.SIGINT)
        try:
            training.process.wait(3)
        except subprocess.TimeoutExpired:
            continue
    training.wait()


def _address(server, name):
    return f"{server.url.rstrip('/')}/{name}"


def test_the_documents_equal_the_journal(train, check_mongo, mongo_server, mongo_db):
    """With the server up, `-m` has every document complete when the script ends, and says nothing."""
    training = train("-m", _address(mongo_server, mongo_db.name), *QUICK)
    folder = training.completed()
    document = check_mongo(mongo_db, 1, folder)
    assert document["status"] == "COMPLETED"
    assert document["artifacts"][0]["name"] == "confusion.png"
    assert document["resources"][0][0].endswith("digits_classes.txt")
    assert (
        mongo_db.fs.files.find_one({"_id": document["artifacts"][0]["file_id"]})["contentType"]
        == "image/png"
    )
    assert 'Started run with ID "1"' in training.output()
    assert "behind" not in training.output()


def test_ids_are_consecutive_and_those_of_the_folders(train, check_mongo, mongo_server, mongo_db):
    """Two runs get the ids 1 and 2 in the database, and the folders of the same numbers."""
    for number in (1, 2):
        folder = train("-m", _address(mongo_server, mongo_db.name), "with", "epochs=1").completed()
        assert folder.number == number
        check_mongo(mongo_db, number, folder)


def test_a_server_that_comes_later(train, check_mongo, private_mongo, until):
    """Down at the start: the run begins all the same; up again, the documents catch up."""
    private_mongo.stop()
    training = train("-m", _address(private_mongo, "late"), *LONG)
    training.wait_for_points(6)
    private_mongo.start()
    database = _database(private_mongo, "late")
    until(lambda: database.runs.find_one(), "the run is in the database while it still goes on")
    assert training.process.poll() is None
    _interrupt(training)
    folder = training.folder()
    document = until(
        lambda: database.runs.find_one({"status": "INTERRUPTED"}), "the end is in the database"
    )
    check_mongo(database, document["_id"], folder)


def test_a_server_that_is_killed_and_comes_back(train, check_mongo, private_mongo, until):
    """Killed in the middle and back, perhaps a second older: nothing twice, nothing missing."""
    training = train("-m", _address(private_mongo, "killed"), *LONG)
    database = _database(private_mongo, "killed")
    until(lambda: database.metrics.find_one(), "the first points are in the database")
    private_mongo.kill()
    training.wait_for_points(60)
    private_mongo.start()
    until(lambda: database.runs.find_one(), "the database is back")
    _interrupt(training)
    folder = training.folder()
    document = until(
        lambda: database.runs.find_one({"status": "INTERRUPTED"}), "the end is in the database"
    )
    check_mongo(database, document["_id"], folder)


def test_a_server_that_comes_back_older(train, check_mongo, private_mongo, until):
    """Killed, and back with what it held many points ago: the replayer writes what it lacks."""
    training = train("-m", _address(private_mongo, "older"), *LONG)
    database = _database(private_mongo, "older")
    metric = {"name": "test.accuracy"}
    until(lambda: database.metrics.find_one(metric), "the first points are in the database")
    copy = private_mongo.backup()
    before = len(database.metrics.find_one(metric)["values"])

    def has_more() -> bool:
        return len(database.metrics.find_one(metric)["values"]) >= before + 10

    until(has_more, "ten points more are in the database")
    private_mongo.restore(copy)
    _interrupt(training)
    folder = training.folder()
    document = until(
        lambda: database.runs.find_one({"status": "INTERRUPTED"}), "the end is in the database"
    )
    check_mongo(database, document["_id"], folder)


def test_a_server_that_never_comes(train, check_mongo, replay, private_mongo, journalled):
    """The run takes its own time and the bounded waits, says what is behind, and loses nothing."""
    private_mongo.stop()
    address = _address(private_mongo, "never")
    training = train("-m", address, *QUICK, environment={"SACRED_JOURNAL_VIEW_WAIT": "1"})
    folder = training.completed()
    lines = [line for line in training.output().splitlines() if "behind" in line]
    assert len(lines) == 1, training.output()
    assert len(journalled(folder).metrics["test.accuracy"]) == 5
    private_mongo.start()
    replay("--to", address)
    check_mongo(_database(private_mongo, "never"), folder.number, folder)


@pytest.mark.parametrize("victims", ["experiment", "replayer", "both"])
def test_kills(train, check_mongo, replay, replayers, until, mongo_server, mongo_db, victims):
    """`kill -9` of the experiment, of the replayer, of both: after a replay, documents = journal."""
    address = _address(mongo_server, mongo_db.name)
    training = train("-m", address, *LONG)
    until(lambda: mongo_db.metrics.find_one(), "the first points are in the database")
    folder = training.wait_for_points(20)
    if victims in {"replayer", "both"}:
        found = until(replayers, "the replayer runs")
        assert len(found) == 1
        os.kill(found[0], signal.SIGKILL)
    if victims == "replayer":
        training.wait_for_points(60)
        _interrupt(training)
    else:
        training.kill()
    until(lambda: not replayers(), "no replayer runs any more")
    replay("--to", address)
    document = check_mongo(mongo_db, 1, folder)
    assert document["status"] == ("INTERRUPTED" if victims == "replayer" else "RUNNING")
    before = {name: list(mongo_db[name].find().sort("_id")) for name in ("runs", "metrics")}
    replay("--to", address)
    after = {name: list(mongo_db[name].find().sort("_id")) for name in ("runs", "metrics")}
    assert before == after


TWELVE = textwrap.dedent(
    """
    import sys, time
    from sacred import Experiment
    from sacred.observers import MongoObserver

    def build():
        ex = Experiment("twelve", save_git_info=False)
        ex.observers.append(MongoObserver(url=sys.argv[1], db_name=sys.argv[2]))

        @ex.config
        def config():
            tau = 0.5

        @ex.main
        def main(tau, _run):
            for step in range(20):
                _run.log_scalar("y", tau * step, step / 4)
            return tau

        return ex

    runs, seconds = [], []
    for n in range(12):
        begin = time.monotonic()
        runs.append(build().run(config_updates={"tau": n / 2}, options={"--capture": "no"}))
        seconds.append(time.monotonic() - begin)
    print("SECONDS", *seconds)
    print("IDS", [run._id for run in runs])
    """
)


def _twelve(tmp_path, url, name, wait="10"):
    script = tmp_path / "twelve.py"
    script.write_text(TWELVE, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, str(script), url, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "SACRED_JOURNAL_VIEW_WAIT": wait},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    values = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)
    return list(map(float, values["SECONDS"].split())), values["IDS"], result.stderr


@pytest.mark.usefixtures("patient_claims")
def test_twelve_runs_share_one_replayer(tmp_path, mongo_server, mongo_db):
    """Twelve runs of one process are written by one replayer, each under its id, with float steps."""
    _, ids, _ = _twelve(tmp_path, mongo_server.url, mongo_db.name)
    assert ids == str(list(range(1, 13)))
    runs = list(mongo_db.runs.find().sort("_id"))
    assert [run["_id"] for run in runs] == list(range(1, 13))
    assert [run["result"] for run in runs] == [n / 2 for n in range(12)]
    assert [run["status"] for run in runs] == ["COMPLETED"] * 12
    for run in runs:
        metric = mongo_db.metrics.find_one({"run_id": run["_id"]})
        assert metric["steps"] == [step / 4 for step in range(20)]
        assert {type(step) for step in metric["steps"]} == {float}
    logs = list((tmp_path / "sacred_runs" / ".cache" / "replayers").glob("*.log"))
    assert len(logs) == 1


@pytest.fixture
def swallowing_server():
    """A server that takes connections and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    listener.settimeout(0.2)
    held, done = [], threading.Event()

    def accept():
        while not done.is_set():
            try:
                held.append(listener.accept()[0])
            except TimeoutError:
                continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"mongodb://127.0.0.1:{listener.getsockname()[1]}"
    done.set()
    thread.join(100)
    for connection in held:
        connection.close()
    listener.close()


def test_twelve_runs_wait_once_for_a_server_that_swallows_packets(tmp_path, swallowing_server):
    """R16: twelve runs against a silent server cost one wait at a start and one at an end."""
    seconds, ids, errors = _twelve(tmp_path, swallowing_server, "silent", wait="4")
    assert ids == str(list(range(1, 13)))
    assert sorted(seconds)[6] < 4, errors  # who waits takes as long, and a few may be slow
    assert (tmp_path / "sacred_runs" / "12" / "journal" / "w0000-e0001.jzst").exists()


def test_two_roots_into_one_database(tmp_path, replay, mongo_server, mongo_db):
    """Roots that use the same integers replay into one database, and nothing is overwritten."""
    from sacred.journal import EventType, JournalRoot, JournalWriter

    for machine in ("here", "there"):
        root = JournalRoot(tmp_path / machine / "sacred_runs")
        for number in (1, 2):
            folder = root.claim(number)
            writer = JournalWriter.create(folder.journal)
            writer.append(
                EventType.RUN_STARTED,
                run_id=number,
                name=f"{machine}-{number}",
                command="main",
                config={"seed": number},
                meta={},
                experiment={"name": f"{machine}-{number}", "base_dir": "/", "sources": []},
                host={"hostname": machine},
            )
            writer.log_point("x", 0, float(number))
            writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
            writer.close()
    address = _address(mongo_server, mongo_db.name)
    for machine in ("here", "there", "here"):
        replay("--root", str(tmp_path / machine / "sacred_runs"), "--to", address)
    names = {run["_id"]: run["experiment"]["name"] for run in mongo_db.runs.find()}
    assert names == {1: "here-1", 2: "here-2", 3: "there-1", 4: "there-2"}
    for run_id, name in names.items():
        assert mongo_db.metrics.find_one({"run_id": run_id})["values"] == [float(name[-1])]
