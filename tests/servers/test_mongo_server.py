"""The server does what the Mongo view asks of a server."""

from __future__ import annotations

import datetime as dt
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import gridfs
import psutil
import pymongo
import pytest
from bson.int64 import Int64
from pymongo.errors import ConnectionFailure, DuplicateKeyError, PyMongoError

pytestmark = pytest.mark.server
TESTS = Path(__file__).resolve().parents[1]


def test_it_speaks_what_the_view_speaks(mongo_db):
    """Unique ids, guarded updates, pushes and files work on this server as on MongoDB."""
    mongo_db.runs.insert_one({"_id": 1, "n": 0})
    with pytest.raises(DuplicateKeyError) as caught:
        mongo_db.runs.insert_one({"_id": 1})
    assert 11000 == caught.value.code
    guarded = {"_id": 1, "n": {"$lt": 1}}
    change = {"$push": {"values": {"$each": [1.0, 2.0]}}, "$set": {"n": 1}}
    assert mongo_db.runs.update_one(guarded, change).matched_count == 1
    assert mongo_db.runs.update_one(guarded, change).matched_count == 0
    assert mongo_db.runs.find_one() == {"_id": 1, "n": 1, "values": [1.0, 2.0]}
    files = gridfs.GridFS(mongo_db)
    assert files.get(files.put(b"x" * 400_000, filename="f")).read() == b"x" * 400_000


def test_it_keeps_types_and_limits(mongo_db):
    """Int, long, float, NaN and dates come back as they went; 16 MB are the limit of a document."""
    when = dt.datetime(2024, 5, 1, 12, 30, 0, 123000)  # noqa: DTZ001 - as Sacred stores it
    mongo_db.runs.insert_one({"_id": 1, "i": 1, "l": 2**40, "f": 1.0, "nan": math.nan, "t": when})
    found = mongo_db.runs.find_one()
    assert (int, Int64, float) == (type(found["i"]), type(found["l"]), type(found["f"]))
    assert (2**40, when) == (found["l"], found["t"])
    assert math.isnan(found["nan"])
    mongo_db.runs.insert_one({"_id": 2, "text": "x" * (16 * 2**20 - 100)})
    with pytest.raises(PyMongoError):
        mongo_db.runs.insert_one({"_id": 3, "text": "x" * (16 * 2**20 + 100)})
    assert [1, 2] == sorted(mongo_db.runs.distinct("_id"))


def test_each_test_has_a_database_of_its_own(mongo_db):
    """What another test of this file wrote is not here."""
    assert [] == mongo_db.list_collection_names()


def test_it_comes_back_after_a_stop_and_a_kill(private_mongo):
    """Stopped or killed, it is gone; started again, it has its data at the same address."""
    with pymongo.MongoClient(private_mongo.url, serverSelectionTimeoutMS=1000) as client:
        client.x.y.insert_one({"_id": 1})
        private_mongo.stop()
        with pytest.raises(ConnectionFailure):
            client.x.y.find_one()
        private_mongo.start()
        assert client.x.y.find_one() == {"_id": 1}
        private_mongo.kill()
        with pytest.raises(ConnectionFailure):
            client.x.y.find_one()
        private_mongo.start()
        assert client.x.y.find_one() == {"_id": 1}


def test_it_ends_with_the_process_that_started_it(tmp_path):
    """A killed test session leaves no server behind."""
    program = (
        "import sys; from pathlib import Path; from servers.mongo import MongoServer\n"
        "server = MongoServer(Path(sys.argv[1])); server.start(); print(server.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        server = psutil.Process(int(parent.stdout.readline()))
        assert server.is_running()
        parent.send_signal(signal.SIGKILL)
        gone, alive = psutil.wait_procs([server], timeout=100)
    assert ([server], []) == (gone, alive)


def test_without_java_it_is_said_what_to_install(tmp_path):
    """Nobody's PATH but an empty one: without root, install says which packages and fails."""
    program = (
        "import os; os.geteuid = lambda: 1000\n"
        "from servers import install; raise SystemExit(install.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(TESTS), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 2 == done.returncode
    assert "apt-get install default-jdk-headless maven" in done.stderr


def test_a_network_that_breaks_in_front_of_it(private_mongo, fault_proxy):
    """Through the proxy a client works, times out while packets vanish, and works again after."""
    proxy = fault_proxy(private_mongo.port)
    with pymongo.MongoClient(
        proxy.url, serverSelectionTimeoutMS=2000, connectTimeoutMS=500, socketTimeoutMS=500
    ) as client:
        client.x.y.insert_one({"_id": 1})
        proxy.swallow()
        with pytest.raises(ConnectionFailure):
            client.x.y.insert_one({"_id": 2})
        proxy.heal()
        assert [{"_id": 1}] == list(client.x.y.find())
