"""A bucket of Google Cloud Storage, through google-cloud-storage."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions
from google.cloud import storage

from sacred.replayers.errors import TransientSinkError
from sacred.replayers.last_answer import LastAnswer
from sacred.replayers.objects.store import (
    ABSENT,
    Found,
    Listed,
    ObjectConflictError,
    content_type,
)
from sacred.replayers.sinks.gcs.errors import meaning
from sacred.replayers.sinks.gcs.pace import Pace, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.replayers.sink import SinkSpec

__all__ = ["GcsStore"]

#: The follower tries again, and a service that swallows packets must not hold a view (s).
_ONCE: dict[str, Any] = {"retry": None, "timeout": 60}
#: So often an object is read that changes between two requests.
_READS = 10
#: The driver's switch. Since 3.17 each client reads the bucket's facts once more, in a thread of its own, for
#: traces that nobody asked for: a request more a run, refused to who may use objects only.
_NO_FACTS = ("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
#: One for each bucket: the sinks of all runs of this process write there.
_paces: dict[str, Pace] = {}
#: Larger objects are put in parts of this size (bytes).
_PART = 64 << 20


class GcsStore:
    """A bucket.

    Parameters
    ----------
    spec
        The view; its address and its option ``project`` count here.
    """

    #: The driver's session is nowhere said to be for several threads.
    takes_several = False

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        self.bucket = spec.url.partition("://")[2].partition("/")[0]
        self._project = spec.options.get("project")
        self._client: Any = None
        self._bucket: Any = None
        #: That the bucket is there.
        self._answer = LastAnswer()
        self._pace = _paces.setdefault(self.bucket, Pace(spec.name))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._answer.forget()
            if isinstance(error, exceptions.TooManyRequests) or retry_after(error) is not None:
                self._pace.refused(retry_after(error))
            # Without the driver's traceback: its frames hold keys.
            raise meaning(error, self.spec.name, self.bucket) from None

    def open(self) -> None:
        """Look that the bucket is there; it is not made here.

        It is not looked for again within a few seconds in which nothing failed.
        """
        self._pace.check()
        if self._answer.counts():
            return
        with self._errors():
            if self._client is None:
                os.environ.setdefault(*_NO_FACTS)
                self._client = storage.Client(
                    **({"project": self._project} if self._project else {})
                )
                self._bucket = self._client.bucket(self.bucket)
            # Not the bucket's own facts, which not everybody may read who may write objects.
            next(iter(self._client.list_blobs(self.bucket, max_results=1, **_ONCE)), None)
        self._answer.came()

    def close(self) -> None:
        """Give the connection back."""
        client, self._client = self._client, None
        self._answer.forget()
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    def get(self, key: str) -> Found | None:
        """Read an object: which version there is, and that version."""
        with self._errors():
            for _ in range(_READS):
                blob = self._bucket.get_blob(key, **_ONCE)
                if blob is None:
                    return None
                version = int(blob.generation)
                try:
                    content = blob.download_as_bytes(if_generation_match=version, **_ONCE)
                except (exceptions.NotFound, exceptions.PreconditionFailed):
                    continue  # another replayer changed it meanwhile
                return Found(content, str(version))
        raise TransientSinkError(f"{self.spec.name}: {key} changes too fast to be read")

    def put(self, key: str, content: bytes | Path, expected: str | None = None) -> str:
        """Write an object, if it is as expected."""
        condition: dict[str, Any] = {}
        if expected is not None:
            condition["if_generation_match"] = int(expected) if expected != ABSENT else 0
        if os.environ.get("STORAGE_EMULATOR_HOST"):  # a stand-in has no such limit
            self._pace.check()
        else:
            self._pace.wait(key)
        with self._errors():
            blob = self._bucket.blob(key)
            try:
                self._send(blob, content, {**condition, **_ONCE})
            except exceptions.PreconditionFailed:
                raise ObjectConflictError(f"{key} is not as it was") from None
            except exceptions.NotFound:
                if expected in {None, ABSENT}:
                    raise
                raise ObjectConflictError(f"{key} is gone") from None
            return str(blob.generation)

    def _send(self, blob: Any, content: bytes | Path, options: dict[str, Any]) -> None:
        from sacred.journal.regular_file import open_regular

        kind = content_type(str(blob.name)) or "application/octet-stream"
        if isinstance(content, bytes):
            blob.upload_from_string(content, content_type=kind, **options)
            return
        with os.fdopen(open_regular(content), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > _PART:
                blob.chunk_size = _PART
            blob.upload_from_file(file, size=size, content_type=kind, **options)

    def list(self, prefix: str, *, folders: bool = False) -> Iterator[Listed]:
        """Yield what begins with a prefix."""
        with self._errors():
            found = self._client.list_blobs(
                self.bucket, prefix=prefix, delimiter="/" if folders else None, **_ONCE
            )
            pages = found.pages
        while True:
            with self._errors():
                page = next(pages, None)
                if page is None:
                    break
                blobs = [Listed(str(blob.name), str(blob.generation)) for blob in page]
            yield from blobs
        for common in sorted(found.prefixes):
            yield Listed(str(common), ABSENT)

    def delete(self, key: str) -> None:
        """Delete an object."""
        with self._errors(), contextlib.suppress(exceptions.NotFound):
            self._bucket.delete_blob(key, **_ONCE)
