"""What a replayer that goes on says of itself to others: in a file, or to who asks at an address.

The answer is JSON. An address answers with status 200 if all is well, 503 if a view is behind or
failed, so that a monitor need not read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.regular_file import replace_regular
from sacred.replayers.errors import ReplayConfigError
from sacred.replayers.replay_config import health_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.server import ThreadingHTTPServer

__all__ = ["Health"]

#: So often the file is written while nothing changes (s).
INTERVAL = 10.0


class Health:
    """Keeps one file, or answers at one address.

    Parameters
    ----------
    place
        ``host:port`` (without a host: of this machine), or the path of a file.
    report
        Returns what is to be told, with its ``status``; may be called from any thread.

    Raises
    ------
    ReplayConfigError
        The address can not be had, the file can not be written.
    """

    def __init__(self, place: str, report: Callable[[], dict[str, Any]]) -> None:
        self.place = place
        self._report = report
        self._server: ThreadingHTTPServer | None = None
        self._next = 0.0
        self._told: Any = None
        address = health_address(place)
        if address is None:
            self._path = os.path.abspath(os.path.expanduser(place))
            try:
                self._write()
            except OSError as error:
                raise ReplayConfigError(
                    f"health: {place} can not be written: {error.strerror or error}"
                ) from None
        else:
            self._path = ""
            self._serve(*address)

    def _serve(self, host: str, port: int) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        report = self._report

        class Answer(BaseHTTPRequestHandler):
            timeout = 10.0

            def do_GET(self) -> None:
                found = report()
                body = json.dumps(found, indent=2, default=str).encode() + b"\n"
                self.send_response(200 if found["status"] in {"ok", "starting"} else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                """Leave the log to what happens to views."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def server_bind(self) -> None:
                # The base class asks for the host's name, which may take seconds.
                import socketserver

                socketserver.TCPServer.server_bind(self)
                self.server_name, self.server_port = str(host), port

            def handle_error(self, *_arguments: Any) -> None:
                """Who asked went away."""

        try:
            self._server = Server((host, port), Answer)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise ReplayConfigError(f"health: {host}:{port} can not be had: {why}") from None
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def beat(self) -> None:
        """Write the file if it is time to."""
        if self._server is not None:
            return
        found = self._report()
        told = {name: value for name, value in found.items() if name != "now"}
        if told == self._told and time.monotonic() < self._next:
            return
        with contextlib.suppress(OSError):  # a disk that is full is no reason to end
            self._write()
        self._told = told

    def _write(self) -> None:
        self._next = time.monotonic() + INTERVAL
        replace_regular(self._path, json.dumps(self._report(), indent=2, default=str) + "\n")

    def close(self) -> None:
        """Say for the last time how it is, and answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        else:
            with contextlib.suppress(OSError):
                self._write()
