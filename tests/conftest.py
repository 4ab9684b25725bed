"""Fixtures that all tests share: the servers, and the ways in which a network breaks."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from pathlib import Path

import pytest

#: Journals larger than this are left out of the second opinion (bytes): it reads byte by byte.
_SECOND_OPINION = 400_000
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


@pytest.fixture(scope="session")
def page_reader():
    """The reader that docs/journal-format.md shows; None where the tests run without documents."""
    page = Path(__file__).parents[1] / "docs" / "journal-format.md"
    if not page.exists():
        return None
    section = page.read_text(encoding="utf-8").split("## 13. A reader", 1)[1]
    code = re.search(r"```python\n(.*?)```", section, re.S)
    scope = {"__name__": "page"}
    exec(compile(code[1], str(page), "exec"), scope)
    return scope["events"]


@pytest.fixture(autouse=True)
def _second_opinion(request, page_reader):
    """Every clean journal that a test made is read by the page's reader too, with the same events."""
    uses = page_reader is not None and "tmp_path" in request.fixturenames
    # Asked for before the test, so that it is still there behind it.
    place = request.getfixturevalue("tmp_path") if uses else None
    yield
    if place is not None:
        for folder in {path.parent for path in place.rglob("w*-e*.jzst")}:
            _compare(folder, page_reader)


def _compare(folder, page_reader):
    from msgpack import ExtType

    from sacred.journal import EventType, JournalReader
    from sacred.journal.errors import JournalError

    if sum(path.stat().st_size for path in folder.glob("*.jzst")) > _SECOND_OPINION:
        return
    try:
        reader = JournalReader(folder)
        events = [event for event in reader.read() if event.seq >= 0]
    except (JournalError, OSError):
        return  # made to be so
    if not reader.journal_id or reader.verdicts or reader.tails():
        return
    ours = {}
    for event in events:
        fields = event.fields
        if event.type == EventType.METRIC_TABLE:
            table = fields["table"]
            rows = zip(table.times, table.names(), table.steps, table.values, strict=True)
            for row, (micros, *point) in enumerate(rows):
                ours[event.writer, event.seq + row] = (micros * 1000, 16, repr(tuple(point)))
        elif event.type == EventType.METRIC_POINT:
            point = (fields["metric"], fields["step"], fields["value"])
            ours[event.writer, event.seq] = (event.time, 16, repr(point))
        else:
            ours[event.writer, event.seq] = (event.time, int(event.type), None)
    theirs = {}
    for key, (when, kind, what) in page_reader(str(folder)).items():
        if kind == 16 and any(isinstance(part, ExtType) for part in what):
            what = ours.get(key, (0, 0, None))[2]  # the page leaves extension types as they are
        elif kind == 16:
            what = repr(what)
        else:
            what = None
        theirs[key] = (when, kind, what)
    assert ours == theirs, f"the page's reader reads {folder} differently"


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
