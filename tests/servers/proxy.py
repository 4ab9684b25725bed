"""A TCP proxy that stands between a client and a server and does what networks do.

It runs in threads of the test's own process. What a fault says holds for the connections that are open
and for those that come.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from servers.mongo import free_port

CHUNK = 65536


class FaultProxy:
    """Pass bytes between clients and ``(host, port)``, and break that on order.

    Use it as a context manager, or ``start`` and ``stop`` it. ``url`` is what a client connects to.
    Every method may be called from any thread at any time.

    * ``delay(seconds)``: every chunk waits that long, in both directions;
    * ``cut_after(n)``: with the ``n``-th more byte from the clients that connection ends, once;
    * ``cut()``: all open connections end now;
    * ``refuse()``: nothing listens, open connections end;
    * ``swallow()``: connections are taken, bytes vanish, nothing is ever answered;
    * ``hold()``: like ``swallow``, but ``heal`` lets what was held go on;
    * ``heal()``: everything passes again.

    ``server_greets``: the server speaks first, as MySQL's do, and is connected before the client says
    anything.
    """

    def __init__(self, target: tuple[str, int], *, server_greets: bool = False) -> None:
        self.target = target
        self._server_greets = server_greets
        self.received = 0  #: bytes that clients sent, passed on or not
        self.accepted = 0  #: connections that were taken
        self._changed = threading.Condition()
        self._mode = "pass"
        self._delay = 0.0
        self._left: int | None = None
        self._done = False
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        # Between the search for a free port and its use another test may take it.
        for _ in range(3):
            with contextlib.suppress(OSError):
                self._listen(free_port())
                break
        else:
            self._listen(free_port())

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """``host:port`` of the proxy."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The proxy's address as that of a MongoDB server."""
        return f"mongodb://{self.address}"

    def delay(self, seconds: float) -> None:
        """Let every chunk wait; 0 ends it."""
        with self._changed:
            self._delay = seconds
            self._changed.notify_all()

    def cut_after(self, count: int) -> None:
        """End a connection before its bytes pass once ``count`` more came from clients, then heal."""
        with self._changed:
            self._left = count

    def cut(self) -> None:
        """End every open connection."""
        with self._changed:
            self._end_all()

    def refuse(self) -> None:
        """Be a server that is down."""
        self._set("refuse")

    def swallow(self) -> None:
        """Be a network that loses every packet."""
        self._set("swallow")

    def hold(self) -> None:
        """Keep every byte until ``heal``."""
        self._set("hold")

    def heal(self) -> None:
        """Pass everything again; what was swallowed is gone, so its connections end."""
        with self._changed:
            if self._mode == "swallow":
                self._end_all()
            self._delay, self._left = 0.0, None
        self._set("pass")

    def stop(self) -> None:
        """End what is open, and all threads."""
        with self._changed:
            self._done = True
            self._end_all()
            self._unlisten()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(100)

    def _set(self, mode: str) -> None:
        with self._changed:
            self._mode = mode
            if mode == "refuse":
                self._unlisten()
                self._end_all()
            elif self._listener is None and not self._done:
                self._listen(self.port)
            self._changed.notify_all()

    def _listen(self, port: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._spawn(self._accept, listener)

    def _unlisten(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which close alone does not
            listener.close()

    def _spawn(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end_all(self) -> None:
        for connection in list(self._sockets):
            self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        """End a connection, whatever was under way; the thread that serves it closes the socket.

        Closing it here would leave that thread inside ``recv`` of a number that means another socket.
        """
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                if self._done or listener is not self._listener:
                    client.close()
                    return
                self.accepted += 1
                self._sockets.add(client)
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """Be the client's side of one connection; the server's is opened once bytes may pass."""
        server: socket.socket | None = None
        answers: threading.Thread | None = None
        try:
            if self._server_greets:
                server, answers = self._reach(client)
            while chunk := client.recv(CHUNK):
                if not self._may_pass(chunk):
                    break
                if self._mode == "swallow":
                    continue
                if server is None:
                    server, answers = self._reach(client)
                server.sendall(chunk)
        except OSError:
            pass
        finally:
            for end in (client, server):
                if end is not None:
                    self._end(end)
            if answers is not None:
                answers.join(100)
            for end in (client, server):
                if end is not None:
                    with self._changed:
                        self._sockets.discard(end)
                    end.close()

    def _reach(self, client: socket.socket) -> tuple[socket.socket, threading.Thread]:
        """Connect the server, and let its answers pass."""
        server = socket.create_connection(self.target, timeout=100)
        server.settimeout(None)
        with self._changed:
            self._sockets.add(server)
        answers = threading.Thread(target=self._answer, args=(server, client), daemon=True)
        answers.start()
        return server, answers

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(CHUNK):
                self._wait()
                if self._mode == "swallow":
                    continue
                client.sendall(chunk)
        self._end(client)

    def _may_pass(self, chunk: bytes) -> bool:
        """Count a client's chunk and wait as the faults say; return false if it ends the connection."""
        with self._changed:
            self.received += len(chunk)
            if self._left is not None:
                self._left -= len(chunk)
                if self._left <= 0:
                    self._left = None
                    return False
        self._wait()
        return not self._done

    def _wait(self) -> None:
        with self._changed:
            end = time.monotonic() + self._delay
            while not self._done:
                left = end - time.monotonic()
                if self._mode == "hold":
                    self._changed.wait()
                elif left > 0 and self._delay:
                    self._changed.wait(left)
                else:
                    return
