"""The proxy does each fault that it can be told to do, and gets well again."""

from __future__ import annotations

import socket
import threading

import pytest

from servers.proxy import FaultProxy

SECONDS = 10  # for what has to happen; a test that fails here hangs no longer


@pytest.fixture
def echo():
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[-1].start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def proxy(echo):
    """A proxy in front of the echo."""
    with FaultProxy(echo) as made:
        yield made


def connect(proxy, seconds=SECONDS):
    """A client of the proxy that waits so long for an answer."""
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=seconds)


def exchange(client, data):
    """What comes back for what is sent: as many bytes, or fewer where the connection ended."""
    client.sendall(data)
    back = b""
    while len(back) < len(data):
        try:
            chunk = client.recv(65536)
        except ConnectionError:
            break
        if not chunk:
            break
        back += chunk
    return back


def test_bytes_pass_unchanged(proxy):
    """With no fault a client speaks to the server, several at once."""
    data = bytes(range(256)) * 4096
    with connect(proxy) as one, connect(proxy) as two:
        assert data == exchange(one, data)
        assert b"two" == exchange(two, b"two")
    assert len(data) + 3 == proxy.received
    assert 2 == proxy.accepted


def test_refuse(proxy):
    """A server that is down refuses, ends what was open, and is back after heal at the same port."""
    with connect(proxy) as client:
        assert b"a" == exchange(client, b"a")
        proxy.refuse()
        assert b"" == exchange(client, b"b")
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as client:
        assert b"c" == exchange(client, b"c")


def test_cut_after(proxy):
    """The connection ends at the byte that was said, and the next one is whole."""
    proxy.cut_after(5)
    with connect(proxy) as client:
        assert b"1234" == exchange(client, b"1234")
        assert b"" == exchange(client, b"5")
    with connect(proxy) as client:
        assert b"123456" == exchange(client, b"123456")


def test_cut(proxy):
    """Every open connection ends; new ones are taken."""
    with connect(proxy) as client:
        assert b"a" == exchange(client, b"a")
        proxy.cut()
        assert b"" == exchange(client, b"b")
    with connect(proxy) as client:
        assert b"c" == exchange(client, b"c")


def test_swallow(proxy):
    """A connection is taken and its bytes vanish; after heal it ends, and the next one is well."""
    proxy.swallow()
    with connect(proxy, 0.3) as client:
        with pytest.raises(TimeoutError):
            exchange(client, b"gone")
        proxy.heal()
        client.settimeout(SECONDS)
        assert b"" == exchange(client, b"too late")
    with connect(proxy) as client:
        assert b"c" == exchange(client, b"c")


def test_hold(proxy):
    """What is held arrives after heal, on the same connection."""
    with connect(proxy, 0.3) as client:
        assert b"a" == exchange(client, b"a")
        proxy.hold()
        with pytest.raises(TimeoutError):
            exchange(client, b"kept")
        proxy.heal()
        client.settimeout(SECONDS)
        assert b"kept" == client.recv(4)


def test_delay(proxy):
    """A delayed answer is not there at once and comes later; no delay is left after heal."""
    proxy.delay(30)
    with connect(proxy, 0.3) as client:
        with pytest.raises(TimeoutError):
            exchange(client, b"slow")
        proxy.heal()
        client.settimeout(SECONDS)
        assert b"slow" == client.recv(4)


def test_a_server_that_is_not_there(echo):
    """A proxy whose server is down ends the connection."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy(unused.getsockname()) as proxy, connect(proxy) as client:
            assert b"" == exchange(client, b"a")


@pytest.mark.parametrize("fault", ["pass", "swallow", "hold", "refuse"])
def test_stop_ends_every_thread(echo, fault):
    """Nothing is left after stop, whatever fault was on."""
    proxy = FaultProxy(echo)
    with connect(proxy) as client:
        assert b"a" == exchange(client, b"a")
        if fault != "pass":
            getattr(proxy, fault)()
        if fault in ("swallow", "hold"):
            client.sendall(b"b")
        proxy.stop()
    assert [] == [thread for thread in proxy._threads if thread.is_alive()]
