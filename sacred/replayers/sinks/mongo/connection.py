"""The connection to a server, one for all the runs of a process, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import warnings
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import (
    SinkError,
    SinkMissingError,
    SinkSpecError,
    TerminalSinkError,
    TransientSinkError,
)
from sacred.replayers.last_answer import LastAnswer
from sacred.replayers.sinks.mongo.options import check_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sacred.replayers.sink import SinkSpec

#: Codes of the server that mean "not now": stepdowns, shutdowns, timeouts, no primary.
_RETRYABLE = frozenset(
    {6, 7, 50, 63, 64, 89, 91, 133, 150, 189, 234, 262, 9001, 10107, 11600, 11602, 13388, 13435}
    | {13436, 112}
)
REFUSED = frozenset({13, 18, 8000})
_COMMAND_NOT_FOUND = 59
#: What the driver says of bytes that are no MongoDB's: of a web server, say, at a mistyped port.
_ALIEN = re.compile(r"Got response id|Message length \(|Got opcode|Unknown opcode")

_clients: dict[tuple[int, str, str], list[Any]] = {}
_clients_lock = threading.Lock()


def _borrow_client(url: str, options: Mapping[str, Any]) -> Any:
    import pymongo

    key = (os.getpid(), url, repr(sorted(options.items(), key=repr)))
    with _clients_lock:
        found = _clients.get(key)
        if found is None:
            keywords = dict(options)
            named = {name.lower() for name in keywords} | _named_in(url)
            # A server that swallows packets must not hold a view for ever.
            defaults = {
                "serverSelectionTimeoutMS": 5000,
                "connectTimeoutMS": 5000,
                "socketTimeoutMS": 60000,
                "appname": "sacred-journal",
            }
            keywords.update({k: v for k, v in defaults.items() if k.lower() not in named})
            with warnings.catch_warnings():
                # Of options that other programs know, to whoever looks at a terminal.
                warnings.simplefilter("ignore", UserWarning)
                client = pymongo.MongoClient(url, connect=False, **keywords)
            found = _clients[key] = [client, 0]
        found[1] += 1
        return found[0]


def _named_in(url: str) -> set[str]:
    query = url.partition("?")[2]
    return {part.partition("=")[0].lower() for part in query.replace(";", "&").split("&")}


def _knows_no_logins(text: str, code: int | None) -> bool:
    """Tell whether a server does not know the command of a login; compatible ones say it variously."""
    names_one = any(name in text for name in ("saslStart", "saslContinue", "authenticate"))
    unknown = re.search(
        "(no such|unknown|not supported|unsupported|unrecognized)", text, re.IGNORECASE
    )
    return names_one and (code == _COMMAND_NOT_FOUND or unknown is not None)


def _return_client(client: Any) -> None:
    with _clients_lock:
        for key, found in list(_clients.items()):
            if found[0] is client:
                found[1] -= 1
                if found[1] <= 0:
                    del _clients[key]
                    client.close()


def _check_database(name: str) -> None:
    """Raise if MongoDB allows no database of this name."""
    bad = sorted(set(name) & set(' "$/.\\\0'))
    if bad or len(name.encode("utf-8", "replace")) > 63:
        why = f"{bad[0]!r} may not be in it" if bad else "it has more than 63 bytes"
        raise SinkSpecError(f"{name[:80]!r} is no name of a MongoDB database: {why}")


class MongoConnection:
    """A database of a server.

    Parameters
    ----------
    spec
        The view; its options ``db_name`` and ``client`` count here.

    Raises
    ------
    SinkSpecError
        Its address or database can be none, whatever the server.
    """

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.db_name = str(spec.options.get("db_name") or "sacred")
        self._client: Any = None
        self._answer = LastAnswer()
        self._seeds: list[tuple[str, int | None]] = []
        _check_database(self.db_name)
        check_options(spec.url, spec.name)
        if spec.url.startswith("mongodb://"):  # +srv would ask the network
            with self.errors(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from pymongo.uri_parser import parse_uri

                self._seeds = parse_uri(spec.url, warn=True)["nodelist"]

    def open(self) -> Any:
        """Look that the server answers, and return the database.

        It is not asked again within a few seconds in which nothing failed.
        """
        try:
            import pymongo
        except ImportError as error:
            raise SinkMissingError("a MongoDB view needs PyMongo: pip install pymongo") from error
        if self._client is None:
            self._knock()
            self._client = _borrow_client(self.spec.url, self.spec.options.get("client") or {})
        database = self._client[self.db_name]
        if not database.write_concern.acknowledged:
            # Without an answer nobody would know what the view holds.
            database = database.with_options(write_concern=pymongo.WriteConcern(w=1))
        if not self._answer.counts():
            self._client.admin.command("ping")
            self._answer.came()
        return database

    def _knock(self) -> None:
        """Raise if every server refuses or has no address: the driver asks for five seconds to say so."""
        refused = []
        for host, port in self._seeds:
            try:
                if port is None:
                    with socket.socket(socket.AF_UNIX) as line:
                        line.settimeout(1.0)
                        line.connect(host)
                else:
                    socket.create_connection((host, port), timeout=1.0).close()
            except (ConnectionRefusedError, FileNotFoundError) as error:
                place = host if port is None else f"{host}:{port}"
                refused.append(f"{place}: {error.strerror}")
            except socket.gaierror as error:
                if error.errno != socket.EAI_NONAME:
                    return  # it may be known in a moment
                refused.append(f"{host}: {error.strerror}")
            except OSError:
                return  # silent, far away: the driver knows better
            else:
                return
        if refused:
            raise TransientSinkError(f"{self.spec.name} does not answer: {', '.join(refused)}")

    def close(self) -> None:
        """Give the connection back."""
        client, self._client = self._client, None
        self._answer.forget()
        if client is not None:
            _return_client(client)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the driver raises into what it means for the view."""
        try:
            yield
        except SinkError:
            raise
        except Exception as error:
            self._answer.forget()
            raise self._meaning(error) from None  # the driver's traceback may name the password

    def _meaning(self, error: Exception) -> SinkError:
        try:
            from bson.errors import BSONError
            from gridfs.errors import GridFSError
            from pymongo import errors
        except ImportError:
            return SinkMissingError("a MongoDB view needs PyMongo: pip install pymongo")
        text = self.say(error)
        place = self.spec.name
        code = getattr(error, "code", None)
        if isinstance(error, errors.InvalidURI):
            return SinkSpecError(f"the address of {place} is no MongoDB address: {text}")
        if isinstance(error, errors.ConfigurationError):
            if "DNS" in text or "resol" in text:
                return TransientSinkError(f"{place} can not be found: {text}")
            return SinkSpecError(f"{place} can not be connected with these options: {text}")
        if isinstance(error, errors.ConnectionFailure):
            if "certificate" in text or "SSL handshake" in text:
                return TerminalSinkError(
                    f"{place} was not trusted ({text}): check tlsCAFile and the server's name"
                )
            if _ALIEN.search(text):
                return TransientSinkError(
                    f"{place} does not answer as a MongoDB does ({text}): check host and port"
                )
            return TransientSinkError(f"{place} does not answer: {text}")
        if isinstance(error, errors.OperationFailure):
            if code in REFUSED:
                return TerminalSinkError(
                    f"{place} refuses the connection: {text}. Check user, password and authSource, "
                    "and that the user may write there"
                )
            if _knows_no_logins(text, code):
                return TerminalSinkError(
                    f"{place} knows no logins: leave user and password out of its address "
                    "(mongodb://host:port/database), or check that this is the server you mean"
                )
            if isinstance(
                error, (errors.ExecutionTimeout, errors.WTimeoutError, errors.CursorNotFound)
            ):
                return TransientSinkError(f"{place} is too slow: {text}")
            labels = getattr(error, "has_error_label", None)
            retryable = labels is not None and labels("RetryableWriteError")
            if code in _RETRYABLE or retryable:
                return TransientSinkError(f"{place} can not write now: {text}")
            return TerminalSinkError(f"{place} refused a document: {text}")
        if isinstance(error, (errors.PyMongoError, BSONError, GridFSError)):
            return TerminalSinkError(f"{place} can not be written: {text}")
        if isinstance(error, (OSError, EOFError)):
            return TransientSinkError(f"{place}: {text}")
        if isinstance(error, (ValueError, TypeError)):
            return SinkSpecError(f"{place} can not be connected with these options: {text}")
        return TerminalSinkError(f"{place}: {type(error).__name__}: {text}")

    def say(self, error: Exception) -> str:
        """Return an error's text without secrets, and without the driver's inner life."""
        from urllib.parse import unquote

        text = str(getattr(error, "_message", None) or error)
        text = text.partition(", Timeout: ")[0].partition(", full error: ")[0]
        text = text.partition(" (configured timeouts")[0]
        login = self.spec.url.partition("://")[2].rpartition("@")[0]
        options = self.spec.options.get("client") or {}
        password = login.partition(":")[2]
        # A name alone is no secret, and a short one stands in every word.
        secrets = [password, login if password else "", str(options.get("password") or "")]
        for secret in secrets:
            for form in (secret, unquote(secret)):
                if form:
                    text = text.replace(form, "***")
        # The system's number of an error tells a reader nothing; what follows ends the sentence.
        text = re.sub(r"\[Errno -?\d+\] ", "", text)
        return " ".join(text.split())[:300].rstrip(".")
