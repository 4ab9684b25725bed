"""The addresses of buckets: what a person writes, made a specification. No driver is loaded."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from sacred.replayers.address_options import options_of
from sacred.replayers.errors import SinkSpecError
from sacred.replayers.sink import SinkSpec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "bucket_is_valid",
    "endpoint_of",
    "gcs_bucket_is_valid",
    "gcs_spec",
    "objects_spec",
    "s3_spec",
]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


def bucket_is_valid(name: str) -> bool:
    """Tell whether a bucket of S3 can have this name.

    3 to 63 lower-case letters, digits, hyphens and dots, in parts that begin and end with a letter
    or a digit; not an IP address.
    """
    if _NAME.fullmatch(name) is None or _IP.fullmatch(name) is not None:
        return False
    return not any(pair in name for pair in ("..", ".-", "-."))


def gcs_bucket_is_valid(name: str) -> bool:
    """Tell whether a bucket of Google Cloud Storage can have this name.

    As S3's, with underscores; not Google's own name.
    """
    if name.startswith("goog") or "google" in name or "g00gle" in name:
        return False
    return bucket_is_valid(name.replace("_", "0"))


def objects_spec(kind: str, scheme: str, bucket: str, path: str, **options: Any) -> SinkSpec:
    """Return the specification of a view of objects.

    Parameters
    ----------
    kind, scheme
        ``s3`` and ``s3``, ``gcs`` and ``gs``.
    bucket, path
        Where; the path is the prefix of all names, as it is, but for slashes at its end.
    options
        Those that are None are left out.
    """
    path = path.rstrip("/")
    place = f"{bucket}/{path}" if path else bucket
    given = {name: value for name, value in options.items() if value is not None}
    return SinkSpec(kind, f"{scheme}://{place}", given, f"{kind}:{place}")


def s3_spec(text: str) -> SinkSpec:
    """Return the specification of an S3 view: ``s3://BUCKET/PATH?endpoint_url=URL&region=NAME``.

    Without them, the environment says both (``AWS_ENDPOINT_URL``, ``AWS_DEFAULT_REGION``).

    Raises
    ------
    SinkSpecError
        The address names no bucket.
    """
    bucket, path, options = _read(text, "s3", ("endpoint_url", "region"), bucket_is_valid)
    options["endpoint_url"] = endpoint_of(options.get("endpoint_url"))
    return objects_spec("s3", "s3", bucket, path, **options)


def gcs_spec(text: str) -> SinkSpec:
    """Return the specification of a view in Google Cloud Storage: ``gs://BUCKET/PATH``.

    Raises
    ------
    SinkSpecError
        The address names no bucket.
    """
    bucket, path, options = _read(text, "gs", ("project",), gcs_bucket_is_valid)
    return objects_spec("gcs", "gs", bucket, path, **options)


def endpoint_of(given: str | None) -> str | None:
    """Return the address of another store than AWS's: as given, else as the environment says.

    Raises
    ------
    SinkSpecError
        It is none, or holds a password, which would stand in the journal; the text repeats neither.
    """
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = given or next((os.environ[name] for name in names if os.environ.get(name)), None)
    if endpoint and re.fullmatch(r"https?://[^/@\s?#]+(/[^@\s?#]*)?", endpoint) is None:
        raise SinkSpecError(
            "endpoint_url is no address of a server: write http://HOST:PORT, without keys "
            "(or AWS_ENDPOINT_URL is none)"
        )
    return endpoint


def _read(
    text: str, scheme: str, names: tuple[str, ...], is_valid: Callable[[str], bool]
) -> tuple[str, str, dict[str, Any]]:
    """Return bucket, path and options of an address."""
    form = f"{scheme}://BUCKET/PATH"
    place, _, query = text.partition("?")
    rest = place.partition(":")[2]
    bucket, _, path = rest.removeprefix("//").partition("/")
    if "@" in bucket:  # not repeated: a key may be in it
        raise SinkSpecError(
            f"a view in a bucket is written --to {form}; keys are not part of the address, "
            "the environment or the driver's files say them"
        )
    if not rest.startswith("//") or not is_valid(bucket):
        what = f"{bucket[:80]!r} is no name of a bucket" if bucket else "a bucket is missing"
        raise SinkSpecError(
            f"{what}: write --to {form}, with 3 to 63 lower-case letters, digits, hyphens and dots"
        )
    return bucket, path, _options(query, names)


def _options(query: str, names: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {**options_of(query, names, "a view in a bucket")}
    for name, value in options.items():
        if not value:
            raise SinkSpecError(f"the option {name} of the address is empty: leave it out")
    return options
