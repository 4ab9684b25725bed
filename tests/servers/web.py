"""A small HTTP server that stands for a chat: it records what is posted, and answers as it is told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: What a login in front of a network answers, whatever is asked.
PAGE = "<!DOCTYPE html><html><body>Please log in</body></html>"


class Request(NamedTuple):
    """What was posted; the names of headers in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"

    def data(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Reply(NamedTuple):
    """What is answered."""

    status: int = 200
    body: str = "ok"
    headers: tuple[tuple[str, str], ...] = ()


#: Take the message, and say nothing; and close the connection; and close it in the middle of the answer.
HANG, CLOSE, HALF = "hang", "close", "half"


class HttpServer:
    """A server on a free port of this machine; a context manager.

    Attributes
    ----------
    url : str
        Its address, without a slash at the end.
    requests : list of Request
        What was posted, in order, also what was answered with an error.
    plan : list
        The answers to come: ``Reply``, ``HANG``, ``CLOSE``, ``HALF``, or a function of the request that
        gives one of these. Behind them ``default`` is answered, or what it gives.
    """

    def __init__(self, default: Reply | Callable[[Request], Reply] = Reply()) -> None:
        self.requests: list[Request] = []
        self.plan: list[Any] = []
        self.default = default
        self.arrived = threading.Condition()
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(length)
                request = Request(self.path, headers, body, self.command)
                with outer.arrived:
                    outer.requests.append(request)
                    reply = outer.plan.pop(0) if outer.plan else outer.default
                    outer.arrived.notify_all()
                if callable(reply):
                    reply = reply(request)
                self.close_connection = True
                if reply == HANG:
                    outer._over.wait(60)
                elif reply == CLOSE:
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                elif reply == HALF:
                    self._say(Reply(200, "o"), length=100)
                else:
                    self._say(reply)

            do_GET = do_CONNECT = do_PUT = do_DELETE = do_HEAD = do_POST

            def _say(self, reply: Reply, length: int | None = None) -> None:
                content = reply.body.encode()
                with contextlib.suppress(OSError):  # whoever asked may be gone
                    self.send_response(reply.status)
                    for name, value in reply.headers:
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(length or len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:  # connections are broken on purpose
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def wait_for(self, count: int, timeout: float = 30.0) -> list[Request]:
        """Wait until so many requests came, and return all."""
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.requests) >= count, timeout)
            return list(self.requests)

    def __enter__(self) -> HttpServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
