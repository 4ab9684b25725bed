"""The SQL servers do what the view's tests ask of a server."""

from __future__ import annotations

import socket

import pytest

from servers import databases
from servers.mongo import ServerMissingError


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("kind", [databases.PostgresServer, databases.MariaServer])
def test_what_was_committed_outlives_a_kill(kind, tmp_path_factory):
    """Killed and started again it has the same port and the same rows."""
    server = kind(tmp_path_factory.mktemp("killed"))
    try:
        server.start()
        pid, port = server.pid, server.port
        server.ask("CREATE DATABASE kept")
        server.ask("CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)", database="kept")
        server.kill()
        assert server.pid is None
        with pytest.raises(Exception, match=r"(?i)connect"):
            server.ask("SELECT 1")
        server.start()
        assert (port, True) == (server.port, server.pid != pid)
        server.ask("INSERT INTO t SELECT 1 / n FROM t", database="kept")
        server.drop("kept")
    finally:
        server.stop()


@pytest.mark.parametrize("kind", [databases.PostgresServer, databases.MariaServer])
def test_a_missing_server_says_what_installs_it(kind, tmp_path, monkeypatch):
    """A server that is not installed fails the test with what to type."""
    monkeypatch.setattr(databases, "program", lambda _: None)
    with pytest.raises(ServerMissingError, match=r"apt-get install (postgresql|mariadb-server)"):
        kind(tmp_path).start()


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("kind", [databases.PostgresServer, databases.MariaServer])
def test_a_port_that_somebody_took_is_not_insisted_on(kind, tmp_path_factory):
    """The server ends by itself there; it is started on another one."""
    server = kind(tmp_path_factory.mktemp("taken"))
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", server.port))
        taken = server.port
        try:
            server.start()
            assert server.port != taken
            server.ask("SELECT 1")
        finally:
            server.stop()
