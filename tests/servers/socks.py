"""A SOCKS5 proxy of the tests, which wants a user and a password (RFC 1928, RFC 1929)."""

from __future__ import annotations

import contextlib
import socket
import threading


class SocksProxy:
    """A proxy on a free port of this machine; a context manager.

    Attributes
    ----------
    port : int
        Where it listens.
    targets : list of (host, port)
        Where it was asked to connect by somebody with the right password.
    logins : list of (user, password)
        What it was given.
    """

    def __init__(self, user: str, password: str, target: tuple[str, int]) -> None:
        self._login = (user, password)
        self._target = target
        self.targets: list[tuple[str, int]] = []
        self.logins: list[tuple[str, str]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> SocksProxy:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(100)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            connection.settimeout(30)
            self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        def take(size: int) -> bytes:
            found = b""
            while len(found) < size:
                piece = connection.recv(size - len(found))
                if not piece:
                    raise EOFError
                found += piece
            return found

        take(take(2)[1])
        connection.sendall(b"\x05\x02")  # by user and password
        user = take(take(2)[1]).decode()
        password = take(take(1)[0]).decode()
        self.logins.append((user, password))
        if (user, password) != self._login:
            connection.sendall(b"\x01\x01")
            return
        connection.sendall(b"\x01\x00")
        kind = take(4)[3]
        if kind == 3:
            host = take(take(1)[0]).decode()
        else:
            host = socket.inet_ntop(
                *((socket.AF_INET, take(4)) if kind == 1 else (socket.AF_INET6, take(16)))
            )
        self.targets.append((host, int.from_bytes(take(2), "big")))
        with socket.create_connection(self._target, timeout=100) as inner:
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            there = threading.Thread(target=_pass_on, args=(connection, inner), daemon=True)
            there.start()
            _pass_on(inner, connection)
            there.join(100)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
