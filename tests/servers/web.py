"""A small HTTP server that stands for a chat: it records what is posted, and answers as it is told."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
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
#: Take it, and send a byte now and then, for ever: in the headers; behind them.
TRICKLE, TRICKLE_BODY = "trickle", "trickle in the body"


def make_certificate(path: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1, which nobody else trusts, into one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, *form) + made.public_bytes(pem))
    return path


class HttpServer:
    """A server on a free port of this machine; a context manager.

    Attributes
    ----------
    url : str
        Its address, without a slash at the end.
    requests : list of Request
        What was posted, in order, also what was answered with an error.
    plan : list
        The answers to come: ``Reply``, ``HANG``, ``CLOSE``, ``HALF``, ``TRICKLE``, ``TRICKLE_BODY``, or a
        function of the request that gives one of these. Behind them ``default`` is answered, or what
        that gives.

    Parameters
    ----------
    default : Reply, or a function of the request
    certificate : path, optional
        A file with a key and a certificate: then it speaks TLS.
    """

    def __init__(
        self,
        default: Reply | Callable[[Request], Reply] = Reply(),
        certificate: Path | None = None,
    ) -> None:
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
                elif reply in (TRICKLE, TRICKLE_BODY):
                    self._trickle(reply)
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

            def _trickle(self, reply: str) -> None:
                start = b"HTTP/1.1 200 OK\r\n"
                start += b"X-Y: " if reply == TRICKLE else b"Content-Length: 60000\r\n\r\n"
                with contextlib.suppress(OSError):
                    self.wfile.write(start)
                    for _ in range(60_000):
                        if outer._over.wait(0.02):
                            return
                        self.wfile.write(b"x")

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            # Five, the default, are full at once where the machine is busy: the system then drops who
            # connects, and tries again after 1, 3 and 7 s, as long as a sink waits.
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:  # connections are broken on purpose
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is the thread's of the connection: one that fails stops no other.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
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
        self._thread.join(100)
