"""A bucket of S3, through boto3."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import TerminalSinkError
from sacred.replayers.last_answer import LastAnswer
from sacred.replayers.objects.store import (
    ABSENT,
    Found,
    Listed,
    ObjectConflictError,
    content_type,
)
from sacred.replayers.sinks.s3.client import client_for
from sacred.replayers.sinks.s3.errors import code_of, meaning, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sacred.replayers.sink import SinkSpec

__all__ = ["S3Store"]

log = logging.getLogger("sacred.replayers")

#: Larger objects are put in parts of this size (bytes); S3 takes 10,000 of them.
_PART = 64 << 20
#: What a store answers when an object is not as the request says.
_CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
#: Buckets of which is known whether conditions count there: by endpoint and name.
_conditions: dict[tuple[str | None, str], bool] = {}
#: Held by whoever makes a bucket, or finds out about one: stores answer several at once with errors.
_FIRST = threading.Lock()


class S3Store:
    """A bucket.

    Where a store takes no conditions, each put looks first: then one replayer at a time writes a
    run rightly, and of two at once the later one wins.

    Parameters
    ----------
    spec
        The view; its address and its options ``endpoint_url`` and ``region`` count here.
    probes
        Find out whether conditions count, which leaves an object.
    makes
        Make the bucket if it is not there.
    """

    #: botocore's clients are for several threads.
    takes_several = True

    def __init__(self, spec: SinkSpec, *, probes: bool = True, makes: bool = True) -> None:
        self.spec = spec
        self._probes = probes
        self._makes = makes
        self.bucket, _, base = spec.url.partition("://")[2].partition("/")
        self._probe = f"{base}/.journal/conditions" if base else ".journal/conditions"
        self._endpoint = spec.options.get("endpoint_url")
        self._region = spec.options.get("region")
        self._client: Any = None
        #: Whether a name is the same without slashes at its beginning; None: not known yet.
        self._slashless: bool | None = None
        #: That the bucket is there.
        self._answer = LastAnswer()

    @property
    def has_conditions(self) -> bool:
        """Whether the store refuses a put that names another version; known once it is open."""
        return _conditions.get((self._endpoint, self.bucket), True)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._answer.forget()
            # Without the driver's traceback: its frames hold keys.
            raise meaning(error, self.spec.name, self.bucket) from None

    # -- the bucket ------------------------------------------------------------------------------

    def open(self) -> None:
        """Look that the bucket is there, or make it, and whether conditions count.

        It is not looked for again within a few seconds in which nothing failed.
        """
        if self._answer.counts():
            return
        with self._errors():
            if self._client is None:
                self._client = client_for(self._endpoint, self._region)
            if not self._is_there():
                if not self._makes:
                    raise TerminalSinkError(f"{self.spec.name}: there is no bucket {self.bucket}")
                with _FIRST:
                    if not self._is_there():
                        self._make_bucket()
        key = (self._endpoint, self.bucket)
        if self._probes and key not in _conditions:
            with _FIRST:
                if key not in _conditions:
                    self._look_for_conditions()
        self._answer.came()

    def _is_there(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except Exception as error:
            if status_of(error) != 404:
                raise
            return False
        return True

    def _make_bucket(self) -> None:
        region = self._client.meta.region_name
        place = {} if region in {None, "us-east-1"} else {"LocationConstraint": region}
        more: dict[str, Any] = {"CreateBucketConfiguration": place} if place else {}
        try:
            self._client.create_bucket(Bucket=self.bucket, **more)
        except Exception as error:
            # Another process made it meanwhile, which stores tell in many ways, status 500 among them.
            if code_of(error) == "BucketAlreadyExists" or not self._is_there():
                raise

    def _look_for_conditions(self) -> None:
        """Put an object that is there as if it was not: the second time at the latest."""
        key = (self._endpoint, self.bucket)
        counts = True
        try:
            for _ in range(2):
                self._put(self._probe, b"", {"IfNoneMatch": "*"})
            counts = False
        except ObjectConflictError:
            pass
        except TerminalSinkError as error:
            if "NotImplemented" not in str(error):
                raise
            counts = False
        _conditions[key] = counts
        if not counts:
            log.warning(
                "%s: this store ignores conditions of a put: have one replayer at a time write "
                "there, or choose a store that has If-None-Match and If-Match",
                self.spec.name,
            )

    def close(self) -> None:
        """Forget the connection, which stays for the next run."""
        self._client = None
        self._answer.forget()

    # -- objects ---------------------------------------------------------------------------------

    def get(self, key: str) -> Found | None:
        """Read an object."""
        with self._errors():
            try:
                found = self._client.get_object(Bucket=self.bucket, Key=key)
            except Exception as error:
                if code_of(error) not in _MISSING:
                    raise
                return None
            return Found(found["Body"].read(), _bare(found["ETag"]))

    def put(self, key: str, content: bytes | Path, expected: str | None = None) -> str:
        """Write an object, if it is as expected."""
        if expected is None:
            return self._put(key, content, {})
        if not self.has_conditions:
            if self._version(key) != expected:
                raise ObjectConflictError(f"{key} is not as it was")
            return self._put(key, content, {})
        condition = {"IfMatch": f'"{expected}"'} if expected != ABSENT else {"IfNoneMatch": "*"}
        return self._put(key, content, condition)

    def _version(self, key: str) -> str:
        with self._errors():
            try:
                return _bare(self._client.head_object(Bucket=self.bucket, Key=key)["ETag"])
            except Exception as error:
                if status_of(error) != 404:
                    raise
                return ABSENT

    def _put(self, key: str, content: bytes | Path, condition: dict[str, str]) -> str:
        with self._errors():
            try:
                return self._send(key, content, condition)
            except Exception as error:
                gone = "IfMatch" in condition and code_of(error) in _MISSING
                if code_of(error) in _CONFLICTS or gone:
                    raise ObjectConflictError(f"{key} is not as it was") from None
                raise

    def _send(self, key: str, content: bytes | Path, condition: dict[str, str]) -> str:
        from sacred.journal.regular_file import open_regular

        place = {"Bucket": self.bucket, "Key": key}
        named = content_type(key)
        kind = {"ContentType": named} if named else {}
        if isinstance(content, bytes):
            done = self._client.put_object(**place, **condition, **kind, Body=content)
            return _bare(done["ETag"])
        with os.fdopen(open_regular(content), "rb") as file:
            if os.fstat(file.fileno()).st_size <= _PART:
                done = self._client.put_object(**place, **condition, **kind, Body=file)
                return _bare(done["ETag"])
            return self._send_parts(place, file, condition, kind)

    def _send_parts(
        self, place: dict[str, str], file: Any, condition: dict[str, str], kind: dict[str, str]
    ) -> str:
        """Put a large object; it is there when its last request says so."""
        upload = self._client.create_multipart_upload(**place, **kind)["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            while content := file.read(_PART):
                number = len(parts) + 1
                done = self._client.upload_part(
                    **place, UploadId=upload, PartNumber=number, Body=content
                )
                parts.append({"ETag": done["ETag"], "PartNumber": number})
            done = self._client.complete_multipart_upload(
                **place, **condition, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            with contextlib.suppress(Exception):
                self._client.abort_multipart_upload(**place, UploadId=upload)
            raise
        return _bare(done["ETag"])

    def list(self, prefix: str, *, folders: bool = False) -> Iterator[Listed]:
        """Yield what begins with a prefix.

        A store whose objects are files (versitygw) takes ``/a`` and ``a`` for one, and lists it
        without its slash.
        """
        is_empty = True
        for one in self._listed(prefix, folders=folders):
            is_empty = False
            yield one
        bare = prefix.lstrip("/")
        if is_empty and bare != prefix and self._leaves_slashes_out(bare):
            slashes = prefix[: -len(bare)] if bare else prefix
            for one in self._listed(bare, folders=folders):
                yield one._replace(key=slashes + one.key)

    def _leaves_slashes_out(self, bare: str) -> bool:
        """Tell whether the store's names begin behind their slashes; False if nothing shows it."""
        if self._slashless is None:
            one = next(self._listed(bare, folders=False), None)
            if one is None:
                return False
            self._slashless = self._version(f"/{one.key}") == one.version
        return self._slashless

    def _listed(self, prefix: str, *, folders: bool) -> Iterator[Listed]:
        more = {"Delimiter": "/"} if folders else {}
        token: dict[str, str] = {}
        while True:
            with self._errors():
                page = self._client.list_objects_v2(
                    Bucket=self.bucket, Prefix=prefix, **more, **token
                )
            for one in page.get("Contents", ()):
                yield Listed(str(one["Key"]), _bare(one["ETag"]))
            for one in page.get("CommonPrefixes", ()):
                yield Listed(str(one["Prefix"]), ABSENT)
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """Delete an object."""
        with self._errors():
            self._client.delete_object(Bucket=self.bucket, Key=key)


def _bare(tag: Any) -> str:
    """Return an ETag as every store has it: some leave out its quotes in listings."""
    return str(tag).removeprefix('"').removesuffix('"')
