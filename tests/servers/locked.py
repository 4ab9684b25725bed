"""A server that speaks just enough of MongoDB's protocol to turn everybody away.

The Java server of the tests knows no logins. This one answers the greeting, and everything else with the
error of a server that asks for a password (code 13) or does not accept the one it was given (code 18).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

HEADER = struct.Struct("<iiii")  # length, request id, response to, opcode
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
GREETINGS = frozenset({"hello", "ismaster", "isMaster"})
LOGINS = frozenset({"saslStart", "saslContinue", "authenticate"})
UNAUTHORIZED, AUTHENTICATION_FAILED = 13, 18


class LockedMongo:
    """A server of MongoDB's wire protocol that lets nobody in; a context manager.

    Attributes
    ----------
    url : str
        The address, without a name and a password.
    commands : list of str
        The names of the commands it was asked, greetings left out.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"mongodb://127.0.0.1:{self.port}"
        self.commands: list[str] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url_for(self, user: str, password: str) -> str:
        """Return the address with a name and a password that it will not accept."""
        return f"mongodb://{user}:{password}@127.0.0.1:{self.port}"

    def __enter__(self) -> LockedMongo:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(100)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            while True:
                length, request, _, opcode = HEADER.unpack(_exactly(connection, HEADER.size))
                body = _exactly(connection, length - HEADER.size)
                connection.sendall(self._reply(request, opcode, body))
        with self._lock:
            self._open.discard(connection)

    def _reply(self, request: int, opcode: int, body: bytes) -> bytes:
        import bson

        if opcode == OP_QUERY:
            start = body.index(b"\0", 4) + 1 + 8  # flags, name, skip, return
        elif opcode == OP_MSG:
            start = 5  # flags, kind of the section; the command is the first one
        else:
            raise EOFError
        size = int.from_bytes(body[start : start + 4], "little")
        command = bson.decode(body[start : start + size])
        document = bson.encode(self._answer(next(iter(command))))
        if opcode == OP_QUERY:
            content = struct.pack("<iqii", 8, 0, 0, 1) + document
            return HEADER.pack(HEADER.size + len(content), 0, request, OP_REPLY) + content
        content = struct.pack("<IB", 0, 0) + document
        return HEADER.pack(HEADER.size + len(content), 0, request, OP_MSG) + content

    def _answer(self, command: str) -> dict[str, object]:
        if command in GREETINGS:
            return {
                "ok": 1.0,
                "ismaster": True,
                "isWritablePrimary": True,
                "helloOk": True,
                "maxBsonObjectSize": 16 * 2**20,
                "maxMessageSizeBytes": 48_000_000,
                "maxWriteBatchSize": 100_000,
                "minWireVersion": 0,
                "maxWireVersion": 9,
                "saslSupportedMechs": ["SCRAM-SHA-256"],
            }
        self.commands.append(command)
        if command in LOGINS:
            return {
                "ok": 0.0,
                "errmsg": "Authentication failed.",
                "code": AUTHENTICATION_FAILED,
                "codeName": "AuthenticationFailed",
            }
        return {
            "ok": 0.0,
            "errmsg": f"command {command} requires authentication",
            "code": UNAUTHORIZED,
            "codeName": "Unauthorized",
        }


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
