"""One HTTP request that is over after so long, whatever the other side does.

The time-out of a socket is that of each look at it: a server that sends a byte now and then would hold
who asked for ever. Here the connection is shut when the time for all of it is over.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

__all__ = ["OverdueError", "Reply", "post"]


class OverdueError(TimeoutError):
    """The time for the whole request is over."""


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    headers: Message
    content: bytes


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    silence: float,
    total: float,
    most: int,
    proxy: str | None = None,
) -> Reply:
    """Post something, and return the answer, whatever its status.

    Parameters
    ----------
    url, body, headers
        What is sent, and where.
    silence
        Seconds that the other side may say nothing.
    total
        Seconds that all of it may take, from the first connection on.
    most
        Bytes of the answer that are read.
    proxy
        ``http://...`` or ``socks5://...``; None for that of the environment.

    Raises
    ------
    OverdueError
        ``total`` is over.
    OSError, http.client.HTTPException
        There was no whole answer.
    ImportError
        A SOCKS proxy needs PySocks.
    """
    is_socks = proxy is not None and proxy.lower().startswith("socks")
    with _Line(_by_socks(str(proxy)) if is_socks else socket.create_connection) as line:
        proxies = None
        if proxy is not None:
            proxies = {} if is_socks else {"http": proxy, "https": proxy}
        opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.ProxyHandler(proxies), _Http(line), _Https(line)
        )
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            url, data=body, headers=dict(headers), method="POST"
        )
        try:
            with line.bounded(total):
                try:
                    response = opener.open(request, timeout=silence)
                except urllib.error.HTTPError as error:
                    response = error
                with response:
                    content = response.read(most)
                    length = str(response.headers.get("Content-Length") or "")
                    if length.isdecimal() and len(content) < min(int(length[:9]), most):
                        # A limited read says nothing of it.
                        raise http.client.IncompleteRead(content)
                    answer = Reply(int(response.status), response.headers, content)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if line.over.is_set():
                raise OverdueError(f"not all of it came in {total:g} s") from error
            raise
        if line.over.is_set():  # what was read ends where the connection was shut
            raise OverdueError(f"not all of it came in {total:g} s")
        return answer


class _Line:
    """The sockets of one request, which can be shut from another thread."""

    def __init__(self, connect: Callable[..., socket.socket]) -> None:
        self.over = threading.Event()
        self._connect = connect
        self._doubles: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            while self._doubles:
                self._doubles.pop().close()

    @contextlib.contextmanager
    def bounded(self, seconds: float) -> Any:
        """Shut the sockets when the time is over."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        with self._lock:
            self.over.set()
            for double in self._doubles:
                with contextlib.suppress(OSError):
                    double.shutdown(socket.SHUT_RDWR)

    def connection(self, *args: Any, **keywords: Any) -> socket.socket:
        """Make a connection, as ``socket.create_connection`` does."""
        made = self._connect(*args, **keywords)
        with self._lock:
            if self.over.is_set():
                made.close()
                raise OverdueError
            # TLS takes the descriptor away from the socket that it is given.
            self._doubles.append(socket.socket(fileno=os.dup(made.fileno())))
        return made


class _Http(urllib.request.HTTPHandler):
    """Opens the connections of a line."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def http_open(self, request: urllib.request.Request) -> Any:
        """Open a request."""
        return self.do_open(_connecting(http.client.HTTPConnection, self._line), request)


class _Https(urllib.request.HTTPSHandler):
    """The same, with TLS."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def https_open(self, request: urllib.request.Request) -> Any:
        """Open a request."""
        return self.do_open(_connecting(http.client.HTTPSConnection, self._line), request)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and the message would be lost."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _connecting(kind: type[http.client.HTTPConnection], line: _Line) -> Any:
    def make(host: str, **keywords: Any) -> http.client.HTTPConnection:
        connection = kind(host, **keywords)
        connection._create_connection = line.connection  # type: ignore[attr-defined]
        return connection

    return make


def _by_socks(proxy: str) -> Callable[..., socket.socket]:
    """Return what makes connections through a SOCKS proxy.

    Raises
    ------
    ImportError
        PySocks is not installed.
    """
    from urllib.parse import unquote, urlsplit

    import socks

    parts = urlsplit(proxy)
    kind = socks.SOCKS4 if parts.scheme.lower().startswith("socks4") else socks.SOCKS5
    login = [None if one is None else unquote(one) for one in (parts.username, parts.password)]

    def connect(
        address: tuple[str, int], timeout: Any = None, source_address: Any = None
    ) -> socket.socket:
        made: socket.socket = socks.create_connection(
            address,
            timeout,
            source_address,
            kind,
            parts.hostname,
            parts.port or 1080,
            # As with curl: an "h" has the proxy look the name up.
            parts.scheme.lower() in {"socks5h", "socks4a"},
            *login,
        )
        return made

    return connect
