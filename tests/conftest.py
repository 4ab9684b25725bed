"""Fixtures that all tests share: the servers, and the ways in which a network breaks."""

from __future__ import annotations

import contextlib
import os
import uuid

import opinion
import pytest
from hypothesis import HealthCheck, settings
from servers import peer

# No example is wrong because the machine was slow: by default one that takes 200 ms is.
settings.register_profile("sacred", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sacred")

# Test modules look for it when they are imported.
if _peer := peer.interpreter():
    os.environ["SACRED_PEER_PYTHON"] = str(_peer)


def pytest_terminal_summary(terminalreporter):
    """What the battery counted, and which of its rows this machine did not allow."""
    counts, skipped = {}, set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "battery" and getattr(report, "when", "") == "call":
                    what, number = value
                    most = "ms" in what or "most" in what
                    known = counts.get(what, 0)
                    counts[what] = max(known, number) if most else known + number
            if getattr(report, "skipped", False) and isinstance(report.longrepr, tuple):
                reason = report.longrepr[2].removeprefix("Skipped: ")
                if reason.startswith("row "):
                    skipped.add(reason)
    if counts or skipped:
        terminalreporter.section("the battery")
        for what in sorted(counts):
            terminalreporter.write_line(f"{counts[what]:>12,} {what}")
        for reason in sorted(skipped):
            terminalreporter.write_line(f"not here: {reason}")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """Whoever runs the tests may have a root or a durability of his own."""
    for name in list(os.environ):
        if name.startswith("SACRED_JOURNAL_"):
            monkeypatch.delenv(name)
    # Many tests look into a view when the run is over; ten seconds are not much for a machine that is busy.
    monkeypatch.setenv("SACRED_JOURNAL_VIEW_WAIT", "60")


@pytest.fixture
def patient_claims(tmp_path_factory, monkeypatch):
    """Programs wait a minute for the id that a server gives, not two seconds.

    A replayer that starts on a busy machine may take longer, and a view that did not answer in time is
    not waited for when the run is over either.
    """
    folder = tmp_path_factory.mktemp("patient")
    program = "import sacred.core.views\n\nsacred.core.views.CLAIM_WAIT = 60.0\n"
    (folder / "sitecustomize.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


@pytest.fixture(scope="session")
def page_reader():
    """The reader that docs/journal-format.md shows; None where the tests run without documents."""
    return opinion.page_reader()


@pytest.fixture(scope="session")
def made_folders(tmp_path_factory):
    """All temporary folders that this session has made so far, ``tmp_path`` among them."""
    folders, make = [], tmp_path_factory.mktemp

    def mktemp(*args, **options):
        folders.append(make(*args, **options))
        return folders[-1]

    tmp_path_factory.mktemp = mktemp
    yield folders
    del tmp_path_factory.mktemp


@pytest.fixture(autouse=True)
def _second_opinion(made_folders, page_reader):
    """Every clean journal that a test made is read by the page's reader too, with the same events."""
    before = len(made_folders)
    yield
    if page_reader is not None:
        for place in made_folders[before:]:
            for folder in {path.parent for path in place.rglob("w*-e*.jzst")}:
                opinion.compare(folder, page_reader)


@pytest.fixture(scope="session")
def second_opinion(page_reader):
    """Compare what the package reads in a journal with what the page's reader reads, or another one."""
    return lambda folder, reader=page_reader: opinion.compare(folder, reader)


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


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """A PostgreSQL server for the whole session of this worker."""
    from servers.databases import PostgresServer

    yield from _database_server(PostgresServer(tmp_path_factory.mktemp("postgres")))


@pytest.fixture(scope="session")
def maria_server(tmp_path_factory):
    """A MariaDB server for the whole session of this worker."""
    from servers.databases import MariaServer

    yield from _database_server(MariaServer(tmp_path_factory.mktemp("maria")))


def _database_server(server):
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres_server):
    """The address of a database of its own for one test."""
    yield from _database(postgres_server)


@pytest.fixture
def maria_url(maria_server):
    """The address of a database of its own for one test."""
    yield from _database(maria_server)


def _database(server):
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.ask(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.drop(name)


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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """A store that speaks S3 and knows conditions of a put, for the whole session of this worker."""
    from servers.s3 import VersityServer

    server = VersityServer(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def private_s3(tmp_path_factory):
    """A store that speaks S3 of one's own, up, to stop and start (see ``servers/programs.py``)."""
    from servers.s3 import VersityServer

    server = VersityServer(tmp_path_factory.mktemp("private-s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def s3_place(s3_server, monkeypatch):
    """A bucket of its own for one test, not made yet: its name; the environment has the keys."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def simple_s3_server(tmp_path_factory):
    """A store that speaks S3 and ignores conditions of a put."""
    from servers.s3 import RcloneServer

    server = RcloneServer(tmp_path_factory.mktemp("simple-s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory):
    """A store that speaks as Google Cloud Storage, for the whole session of this worker."""
    from servers.gcs import FakeGcsServer

    server = FakeGcsServer(tmp_path_factory.mktemp("gcs"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def gcs_place(gcs_server, monkeypatch):
    """A bucket of its own for one test: its name; the environment says where it is."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    name = f"test-{uuid.uuid4().hex[:12]}"
    gcs_server.make_bucket(name)
    return name


@pytest.fixture
def fault_proxy():
    """Make a proxy in front of a port of this machine; it can break (``servers/proxy.py``)."""
    from servers.proxy import FaultProxy

    with contextlib.ExitStack() as stack:
        yield lambda port, **how: stack.enter_context(FaultProxy(("127.0.0.1", port), **how))


@pytest.fixture
def locked_mongo():
    """A server that asks for a password and accepts none (codes 13 and 18)."""
    from servers.locked import LockedMongo

    with LockedMongo() as server:
        yield server
