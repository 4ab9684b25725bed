"""A server that answers as CouchDB does, as far as documents, revisions and `_find` by one field go."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

from servers.web import HttpServer, Reply, Request


class CouchServer(HttpServer):
    """A CouchDB in memory, on a free port of this machine; a context manager.

    Attributes
    ----------
    databases : dict
        The documents of each database, by their names.
    """

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.databases: dict[str, dict[str, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def _answer(self, request: Request) -> Reply:
        self.requests.clear()  # a whole contract's, with values of 20 MB, would fill the memory
        url = urlsplit(request.path)
        database, _, name = url.path.lstrip("/").partition("/")
        with self._lock:
            if not name:
                return self._database(request.method, database)
            if database not in self.databases:
                return _said(404, {"error": "not_found"})
            documents = self.databases[database]
            body = json.loads(request.body) if request.body else {}
            if name == "_all_docs":
                return _said(200, {"rows": [{"id": one} for one in sorted(documents)]})
            if name == "_find":
                wanted = body["selector"].items()
                found = [d for d in documents.values() if all(d.get(k) == v for k, v in wanted)]
                return _said(200, {"docs": found})
            if request.method in {"GET", "HEAD"}:
                return _said(200 if name in documents else 404, documents.get(name, {}))
            revision = body.get("_rev") or parse_qs(url.query).get("rev", [None])[0]
            if documents.get(name, {}).get("_rev") != revision:
                return _said(409, {"error": "conflict"})
            if request.method == "DELETE":
                return _said(200, documents.pop(name))
            stored = documents[name] = {**body, "_id": name, "_rev": uuid.uuid4().hex}
            return _said(201, {"ok": True, "rev": stored["_rev"]})

    def _database(self, method: str, name: str) -> Reply:
        if method == "PUT":
            self.databases.setdefault(name, {})
        elif name not in self.databases:
            return _said(404, {"error": "not_found"})
        elif method == "DELETE":
            del self.databases[name]
        return _said(200, {"db_name": name})


def _said(status: int, content: Any) -> Reply:
    return Reply(status, json.dumps(content), (("Content-Type", "application/json"),))
