"""What the errors of S3 and of its driver mean for a view."""

from __future__ import annotations

from typing import Any

from botocore import exceptions

from sacred.replayers.errors import (
    SinkError,
    SinkSpecError,
    TerminalSinkError,
    TransientSinkError,
)

__all__ = ["code_of", "meaning", "status_of"]

#: Codes that mean "not now", whatever their status.
_RETRYABLE = frozenset(
    {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "OperationAborted"}
    | {"TooManyRequests", "BadDigest", "IncompleteBody", "NoSuchUpload", "XMinioStorageFull"}
)
#: The keys, or what they may do.
_REFUSED = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "401", "403"}
    | {"InvalidToken", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "Forbidden"}
)
_ELSEWHERE = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "301"}
    | {"IllegalLocationConstraintException", "InvalidLocationConstraint"}
)


def code_of(error: BaseException) -> str:
    """Return the code with which a store refused a request; empty if it did not answer."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an answer; 0 if there was none."""
    return int(_answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _answer(error: BaseException) -> dict[str, Any]:
    found = getattr(error, "response", None)
    return found if isinstance(found, dict) else {}


def meaning(error: Exception, place: str, bucket: str) -> SinkError:
    """Return what an error means for the view."""
    if isinstance(error, SinkError):
        return error
    text = " ".join(str(error).split())[:300].rstrip(".")
    if isinstance(error, exceptions.ClientError):
        return _answered(error, place, bucket)
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return TerminalSinkError(
            f"{place} has no keys to be written with: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or run aws configure"
        )
    if isinstance(error, exceptions.SSLError):
        return TerminalSinkError(f"{place} was not trusted ({text}): check AWS_CA_BUNDLE")
    if isinstance(error, (exceptions.ProfileNotFound, exceptions.ConfigParseError)):
        return SinkSpecError(f"{place} can not be connected: {text}. Check AWS_PROFILE")
    if isinstance(error, (exceptions.ParamValidationError, exceptions.NoRegionError, ValueError)):
        return SinkSpecError(f"{place} can not be connected with these options: {text}")
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        return TransientSinkError(f"{place} does not answer: {text}")
    if isinstance(error, exceptions.BotoCoreError):
        return TransientSinkError(f"{place} can not be written now: {text}")
    if isinstance(error, (OSError, EOFError)):
        return TransientSinkError(f"{place}: {text}")
    if isinstance(error, (KeyError, RecursionError)):
        # boto3, of an answer without the headers of S3, and of one that sends it in a circle.
        return TransientSinkError(
            f"what answers for {place} is no S3 store, but a login or a proxy in between, or "
            "another server: check endpoint_url"
        )
    return TerminalSinkError(f"{place}: {type(error).__name__}: {text}")


def _answered(error: Exception, place: str, bucket: str) -> SinkError:
    code, status = code_of(error), status_of(error)
    said = _answer(error).get("Error", {}).get("Message") or ""
    text = f"{code}: {said}".strip(": ")[:300].rstrip(".") or f"status {status}"
    if code in _RETRYABLE or status == 429 or (status >= 500 and status != 501):
        return TransientSinkError(f"{place} can not write now: {text}")
    if code in _ELSEWHERE:
        return TerminalSinkError(
            f"the bucket {bucket} is in another region ({text}): give its region"
        )
    if code == "RequestTimeTooSkewed":
        return TerminalSinkError(f"{place} refuses the time of this machine: set its clock")
    if code in _REFUSED or code.endswith("UserNotFound") or status in {401, 403}:
        return TerminalSinkError(
            f"{place} refuses the keys: {text}. Check them, and that they may read, list and "
            f"write {bucket}"
        )
    if code == "NoSuchBucket":
        return TransientSinkError(f"{place}: the bucket {bucket} is gone")
    if code in {"BucketAlreadyExists", "InvalidBucketName"}:
        return TerminalSinkError(f"{place}: {text}. Choose another bucket")
    return TerminalSinkError(f"{place} refused an object: {text}")
