"""Outages of the servers that views are written to: kills, networks that break, older backups, full disks.

A fault proxy stands between the view and a server of the test's own. What a replayer would wait for by
the clock is waited for by a clock that is told what time it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from replayers import places

from sacred.journal.events import EventType
from sacred.replayers import follower as following
from sacred.replayers.contract import write_run
from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.errors import RunDeletedError
from sacred.replayers.follower import Follower
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.chaos import ChaosSink

pytestmark = [pytest.mark.server, pytest.mark.slow]

#: For what has to happen (s); a test that fails here hangs no longer.
PATIENCE = 60.0


class Clock:
    """What a follower takes for the time: sleeping moves it on, and nobody waits."""

    def __init__(self):
        self.slept = 0.0
        self.at = {}

    def monotonic(self):
        return time.monotonic() + self.slept

    def sleep(self, seconds):
        self.slept += seconds
        for when in sorted(self.at):
            if self.slept >= when:
                self.at.pop(when)()


@pytest.fixture
def clock(monkeypatch):
    """A clock for the followers of this test."""
    found = Clock()
    monkeypatch.setattr(
        following,
        "time",
        SimpleNamespace(monotonic=found.monotonic, sleep=found.sleep, time_ns=time.time_ns),
    )
    return found


class _ActingSink(ChaosSink):
    """Does something before, in the middle of, or after the first write."""

    def __init__(self, inner, where, act):
        super().__init__(inner, ())
        self.where, self.act = where, act

    def write(self, batch):
        if self.where is None:
            self.inner.write(batch)
            return
        where, self.where = self.where, None
        if where == "before":
            self.act()
            self.inner.write(batch)
        elif where == "after":
            self.inner.write(batch)
            self.act()
        else:
            self._write_and_act(batch)

    def _write_and_act(self, batch):
        """Act when the write has called a hundred functions: its first requests are on their way."""
        counted = 0

        def count(_frame, event, _argument):
            nonlocal counted
            counted += event == "call"
            if counted == 100:
                sys.setprofile(None)
                self.act()

        sys.setprofile(count)
        try:
            self.inner.write(batch)
        finally:
            sys.setprofile(None)


class Outages(SinkPlace):
    """What every server may do to its views."""

    server_greets = False
    #: A server that gives up when it can not write has to be started again.
    survives_full_disk = True

    @pytest.fixture
    def proxy(self, one_server, fault_proxy):
        return fault_proxy(one_server.port, server_greets=self.server_greets)

    @pytest.fixture
    def through(self, spec, one_server, proxy):
        """The view, through the proxy, with a driver that loses patience early."""
        return self.impatient(spec, one_server.port, proxy.port)

    def impatient(self, spec, port, other):
        raise NotImplementedError

    def kill(self, server):
        server.kill()

    def backup(self, server):
        """Copy what the server holds; return what puts it back."""
        data = self.data(server)
        copy = data.with_name("backup")
        server.stop()
        shutil.copytree(data, copy, symlinks=True)
        self.own_as(data, copy)
        server.start()

        def restore():
            self.kill(server)
            shutil.rmtree(data)
            copy.rename(data)
            server.start()

        return restore

    def data(self, server):
        return server.folder / "data"

    @staticmethod
    def own_as(data, copy):
        for one in (copy, *copy.rglob("*")):
            about = os.lstat(data / one.relative_to(copy))
            os.chown(one, about.st_uid, about.st_gid, follow_symlinks=False)

    # -- networks --------------------------------------------------------------------------------

    def test_an_outage_of_a_moment(self, root, spec, through, proxy):
        """The view is behind while nobody answers, says so, and goes on by itself."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        with _Following(folder, through) as one:
            one.wait_for(lambda status: status.state == "current")
            proxy.refuse()
            writer.log_point("loss", 50, 0.5)
            writer.append(EventType.HEARTBEAT)
            one.wait_for(lambda status: status.state == "behind" and status.error)
            proxy.heal()
            writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
            writer.close()
            one.wait_for(lambda status: status.state == "current" and one.follower.ended)
        assert one.follower.status.error is None
        self.check(folder, spec, 1)

    def test_an_outage_of_a_minute(self, root, spec, through, proxy, clock):
        """What is tried again for two minutes arrives, with some dozen attempts."""
        folder = root.claim()
        write_run(folder)
        proxy.refuse()
        clock.at[60.0] = proxy.heal
        chaos = ChaosSink(load_sink(through), ())
        tries = []
        chaos.open = lambda: (tries.append(1), chaos.inner.open())
        status = self.follow_with(folder, through, chaos, 120.0)
        assert (status.state, status.error) == ("current", None)
        assert clock.slept >= 60.0
        assert len(tries) < 30
        self.check(folder, spec, 1)

    def test_an_outage_for_good(self, root, spec, through, proxy, clock):
        """A sentence says who does not answer; the journal is whole, and comes another day."""
        folder = root.claim()
        write_run(folder)
        before = {one.name: one.read_bytes() for one in folder.journal.iterdir()}
        proxy.refuse()
        status = self.follow_with(folder, through, None, 600.0)
        assert status.state == "behind"
        assert "does not answer" in status.error or "refused" in status.error.lower()
        assert "\n" not in status.error
        assert before == {one.name: one.read_bytes() for one in folder.journal.iterdir()}
        assert 300.0 < clock.slept < 700.0
        proxy.heal()
        status = self.follow_with(folder, through, None, 60.0)
        assert (status.state, status.error) == ("current", None)
        self.check(folder, spec, 1)

    def test_a_slow_server(self, root, spec, through, proxy):
        """Each packet takes its time; all arrives, and nothing twice."""
        folder = root.claim()
        write_run(folder, points=20)
        proxy.delay(0.02)
        status = self.follow_with(folder, through, None, PATIENCE)
        assert (status.state, status.error) == ("current", None)
        self.check(folder, spec, 1)

    def test_a_connection_that_is_half_open(self, root, spec, through, proxy):
        """Packets that vanish end in an error that passes, in the middle of a run and at its start."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        follower = Follower(folder, load_sink(through), through)
        try:
            assert follower.run_once(patience=PATIENCE).state == "current"
            for step in range(2):
                proxy.swallow()
                writer.log_point("loss", 50 + step, 0.5)
                writer.flush()
                status = follower.run_once()
                assert status.state == "behind", status
                assert status.error
                proxy.heal()
                assert follower.run_once(patience=PATIENCE).state == "current"
            proxy.swallow()
            fresh = Follower(folder, load_sink(through), through)
            assert fresh.run_once().state == "behind"
            proxy.heal()
            fresh.close()
        finally:
            follower.close()
            writer.close()
        self.follow(folder, spec)
        self.check(folder, spec, 1)

    def follow_with(self, folder, spec, sink, patience):
        follower = Follower(folder, sink or load_sink(spec), spec)
        try:
            return follower.run_once(patience=patience)
        finally:
            follower.close()

    # -- servers ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("replayers", [1, 2])
    @pytest.mark.parametrize("where", ["before", "during", "after"])
    def test_a_server_that_is_killed(self, root, spec, one_server, where, replayers):
        """Before, in the middle of or after a write: who is left brings the run there whole."""
        folder = root.claim()
        writer = write_run(folder, ends=False)
        self.follow(folder, spec)
        self.settle(one_server)
        for step in range(50, 80):
            writer.log_point("loss", step, 0.5)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()

        def restart():
            self.kill(one_server)
            one_server.start()
            self.after_start(one_server)

        acting = _ActingSink(load_sink(spec), where, restart)
        others = [
            threading.Thread(
                target=self.follow_with, args=(folder, spec, None, PATIENCE), daemon=True
            )
            for _ in range(replayers - 1)
        ]
        for thread in others:
            thread.start()
        # Here and in no thread: the kernel ends a server with the thread that started it.
        self.follow_with(folder, spec, acting, PATIENCE)
        for thread in others:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()
        status = self.follow_with(folder, spec, None, PATIENCE)
        assert (status.state, status.error, status.view_id) == ("current", None, 1)
        self.check(folder, spec, 1)

    def after_start(self, server):
        """What an owner does who starts it again."""

    def settle(self, server):
        """Have what it answered for survive a kill: a run that is gone altogether was deleted."""

    @pytest.mark.skipif(os.geteuid() != 0, reason="row a server's disk: only root mounts one")
    def test_a_disk_that_is_full(self, root, small_disk):
        """The view is behind with a sentence while the server takes nothing; then it has all."""
        server, spec, disk = small_disk
        folder = root.claim()
        writer = write_run(folder, ends=False)
        assert self.follow(folder, spec).state == "current"
        disk.fill()
        writer.append_output(1, (b"x" * 63 + b"\n") * (3 << 14))
        for step in range(50, 20_000):
            writer.log_point("loss", step, step / 7)
        writer.flush()
        status = self.follow_with(folder, spec, None, 0.0)
        assert status.state == "behind", status
        assert status.error
        assert "\n" not in status.error
        disk.make_room()
        if not self.survives_full_disk:
            self.kill(server)
            server.start()
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        status = self.follow_with(folder, spec, None, PATIENCE)
        assert (status.state, status.error, status.view_id) == ("current", None, 1)
        self.check(folder, spec, 1)

    def test_an_older_backup(self, root, spec, one_server):
        """A server that lost what it had answered for is asked where it stands, and gets the rest."""
        folder, late = root.claim(), root.claim()
        writer = write_run(folder, ends=False)
        follower = Follower(folder, load_sink(spec), spec)
        try:
            assert follower.run_once(patience=PATIENCE).state == "current"
            restore = self.backup(one_server)
            assert follower.run_once(patience=PATIENCE).state == "current"
            for step in range(50, 60):
                writer.log_point("loss", step, 0.5)
            writer.append_output(1, b"what the backup has not\n")
            writer.flush()
            assert follower.run_once(patience=PATIENCE).state == "current"
            write_run(late)
            assert self.follow(late, spec).view_id == 2
            restore()
            self.after_start(one_server)
            writer.log_point("loss", 60, 0.5)
            writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
            writer.close()
            status = follower.run_once(patience=PATIENCE)
            assert (status.state, status.error, status.view_id) == ("current", None, 1)
        finally:
            follower.close()
        self.check(folder, spec, 1)
        # A run of which the backup knows nothing was deleted, as far as anybody can see.
        other = Follower(late, load_sink(spec), spec)
        other.run_once(patience=PATIENCE)
        assert isinstance(other.failure, RunDeletedError), other.status
        assert "--rebuild" in str(other.failure)
        other.close()
        assert self.follow(late, spec, rebuild=True).state == "current"
        self.check(late, spec, 2)


class _SmallDisk:
    """A disk of some size, with a file that can take all of it."""

    def __init__(self, folder, size):
        folder.mkdir(parents=True)
        self.folder = folder
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", str(folder)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip("row a server's disk: nothing can be mounted here")

    def fill(self):
        try:
            with (self.folder / "ballast").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 16))
        except OSError as error:
            assert error.errno == errno.ENOSPC

    def make_room(self):
        (self.folder / "ballast").unlink()

    def close(self):
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@contextlib.contextmanager
def _on_small_disk(folder, size, make):
    """Run a server whose data lie on a small disk; yield both."""
    disk = _SmallDisk(folder, size)
    server = None
    try:
        server = make(folder)
        server.start()
        yield server, disk
    finally:
        if server is not None:
            server.stop()
        disk.close()


class _Following:
    """A follower in a thread."""

    def __init__(self, folder, spec):
        self.changed = threading.Condition()
        self.follower = Follower(folder, load_sink(spec), spec, on_status=self._said)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.follower.follow, args=(self.stop,), daemon=True)

    def _said(self, _status):
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, condition):
        with self.changed:
            said = self.changed.wait_for(lambda: condition(self.follower.status), PATIENCE)
        assert said, self.follower.status

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.follower.wake.set()
        self.thread.join(PATIENCE)
        self.follower.close()


def _started(server):
    try:
        server.start()
        yield server
    finally:
        server.stop()


class TestMongoOutages(places.MongoPlace, Outages):
    """MongoDB."""

    @pytest.fixture(scope="class")
    @classmethod
    def one_server(cls, tmp_path_factory):
        from servers.mongo import MongoServer

        yield from _started(MongoServer(tmp_path_factory.mktemp("mongo-out") / "server"))

    @pytest.fixture
    def mongo_server(self, one_server):
        return one_server

    def settle(self, server):
        server.restart()  # a kill may take what it answered for within the last second

    # The server of the tests answers out of its memory, and has not heard of its disk by then.
    test_a_disk_that_is_full = None

    def data(self, server):
        return server.folder

    def impatient(self, spec, port, other):
        url = spec.url.replace(f":{port}", f":{other}")
        limits = "socketTimeoutMS=700&connectTimeoutMS=700&serverSelectionTimeoutMS=700"
        return spec._replace(url=f"{url}/?{limits}")


class _Sql(Outages):
    @pytest.fixture
    def url(self, one_server):
        import uuid

        name = f"test_{uuid.uuid4().hex[:12]}"
        one_server.ask(f"CREATE DATABASE {name}")
        return one_server.url(name)

    @pytest.fixture
    def spec(self, url):
        return SinkSpec.parse(url)

    survives_full_disk = False

    @pytest.fixture
    def small_disk(self, tmp_path):
        from sqlalchemy import create_engine

        from sacred.replayers.sinks.sql.address import driver_url

        def make(at):
            server = self.server_class(at)
            server.folder = at  # and not where its user finds it among the temporary files
            return server

        with _on_small_disk(self.reachable / "disk", "256m", make) as (server, disk):
            server.ask("CREATE DATABASE small")
            self.engine.dispose()
            self.engine = create_engine(driver_url(server.url("small")))
            yield server, SinkSpec.parse(server.url("small")), disk
            self.engine.dispose()

    @property
    def server_class(self):
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _reachable(self):
        self.reachable = Path(tempfile.mkdtemp(prefix="sacred-small-disk-"))
        self.reachable.chmod(0o755)
        yield
        shutil.rmtree(self.reachable, ignore_errors=True)


class TestPostgresOutages(_Sql, places.SqlPlace):
    """PostgreSQL."""

    @property
    def server_class(self):
        from servers.databases import PostgresServer

        return PostgresServer

    @pytest.fixture(scope="class")
    @classmethod
    def one_server(cls, tmp_path_factory):
        from servers.databases import PostgresServer

        yield from _started(PostgresServer(tmp_path_factory.mktemp("postgres-out")))

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch):
        from sacred.replayers.sinks.sql import patience

        monkeypatch.setattr(patience, "ANSWER", 1.0)
        monkeypatch.setattr(patience, "CONNECT", 1.0)

    def impatient(self, spec, port, other):
        url = spec.url.replace(f":{port}/", f":{other}/")
        return spec._replace(url=f"{url}?connect_timeout=2")


class TestMariaOutages(_Sql, places.SqlPlace):
    """MariaDB."""

    @property
    def server_class(self):
        from servers.databases import MariaServer

        return MariaServer

    server_greets = True

    @pytest.fixture(scope="class")
    @classmethod
    def one_server(cls, tmp_path_factory):
        from servers.databases import MariaServer

        yield from _started(MariaServer(tmp_path_factory.mktemp("maria-out")))

    def impatient(self, spec, port, other):
        url = spec.url.replace(f":{port}/", f":{other}/")
        return spec._replace(url=f"{url}?connect_timeout=1&read_timeout=1&write_timeout=1")


class TestS3Outages(places.S3Place, Outages):
    """S3."""

    @pytest.fixture(scope="class")
    @classmethod
    def one_server(cls, tmp_path_factory):
        from servers.s3 import VersityServer

        yield from _started(VersityServer(tmp_path_factory.mktemp("s3-out")))

    @pytest.fixture
    def server(self, one_server):
        return one_server

    @pytest.fixture
    def small_disk(self, tmp_path, monkeypatch):
        from servers.s3 import VersityServer

        with _on_small_disk(
            tmp_path / "disk", "32m", lambda at: VersityServer(at / "server")
        ) as made:
            server, disk = made
            for name, value in server.environment().items():
                monkeypatch.setenv(name, value)
            self.bucket, self.client_of_test = "small", server.client()
            url = f"s3://small/path/to/runs?endpoint_url={server.url}"
            yield server, SinkSpec.parse(url), disk

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch):
        from sacred.replayers.sinks.s3 import client

        config = client.Config
        monkeypatch.setattr(
            client,
            "Config",
            lambda **more: config(**{**more, "read_timeout": 1, "connect_timeout": 1}),
        )

    def impatient(self, spec, port, other):
        options = dict(spec.options)
        options["endpoint_url"] = options["endpoint_url"].replace(f":{port}", f":{other}")
        return spec._replace(options=options)


class TestGcsOutages(places.GcsPlace, Outages):
    """Google Cloud Storage: the stand-in keeps all in memory, so what it held is put back."""

    test_a_disk_that_is_full = None

    @pytest.fixture(scope="class")
    @classmethod
    def one_server(cls, tmp_path_factory):
        from servers.gcs import FakeGcsServer

        yield from _started(FakeGcsServer(tmp_path_factory.mktemp("gcs-out")))

    @pytest.fixture
    def gcs_server(self, one_server):
        return one_server

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch):
        from sacred.replayers.sinks.gcs import store

        monkeypatch.setitem(store._ONCE, "timeout", 1)

    @pytest.fixture
    def through(self, spec, one_server, proxy, monkeypatch):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{proxy.port}")
        return spec

    def kill(self, server):
        self.kept = server.objects(self.bucket, "", all_of=True)
        server.kill()

    def after_start(self, server):
        server.make_bucket(self.bucket)
        for key, content in self.kept.items():
            server.put(self.bucket, key, content)

    def backup(self, server):
        kept = server.objects(self.bucket, "", all_of=True)

        def restore():
            server.kill()
            self.kept = kept
            server.start()

        return restore
