"""Fixtures that all tests share: the servers, and the ways in which a network breaks."""

from __future__ import annotations

import contextlib
import os
import uuid

import pytest
from servers import peer

# Test modules look for it when they are imported.
if _peer := peer.interpreter():
    os.environ["SACRED_PEER_PYTHON"] = str(_peer)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """Whoever runs the tests may have a root or a durability of his own."""
    for name in list(os.environ):
        if name.startswith("SACRED_JOURNAL_"):
            monkeypatch.delenv(name)


class _OutsideServer:
    """A server that somebody else runs, named by $SACRED_TEST_MONGO."""

    def __init__(self, url):
        self.url = url


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory):
    """A MongoDB server for the whole session of this worker."""
    outside = os.environ.get("SACRED_TEST_MONGO")
    if outside:
        yield _OutsideServer(outside)
        return
    from servers.mongo import MongoServer

    server = MongoServer(tmp_path_factory.mktemp("mongo"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def mongo_db(mongo_server):
    """A database of its own for one test."""
    import pymongo

    with pymongo.MongoClient(mongo_server.url, serverSelectionTimeoutMS=5000) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def private_mongo(tmp_path_factory):
    """A MongoDB server of one's own, up, to stop, kill and restart (see ``servers/mongo.py``)."""
    from servers.mongo import MongoServer

    server = MongoServer(tmp_path_factory.mktemp("private-mongo"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def fault_proxy():
    """Make a proxy in front of a port of this machine; it can break (``servers/proxy.py``)."""
    from servers.proxy import FaultProxy

    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(FaultProxy(("127.0.0.1", port)))


@pytest.fixture
def locked_mongo():
    """A server that asks for a password and accepts none (codes 13 and 18)."""
    from servers.locked import LockedMongo

    with LockedMongo() as server:
        yield server
