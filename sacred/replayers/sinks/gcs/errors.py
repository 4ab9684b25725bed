"""What the errors of Google Cloud Storage and of its driver mean for a view."""

from __future__ import annotations

import re

import requests.exceptions
from google.api_core import exceptions
from google.auth import exceptions as auth

from sacred.replayers.errors import SinkError, TerminalSinkError, TransientSinkError

__all__ = ["meaning"]


def meaning(error: Exception, place: str, bucket: str) -> SinkError:
    """Return what an error means for the view."""
    if isinstance(error, SinkError):
        return error
    text = " ".join(str(getattr(error, "message", "") or error).split())[:300].rstrip(".")
    if "<html" in text.lower():
        text = f"status {getattr(error, 'code', None) or 'unknown'}, with a web page"
    if isinstance(error, auth.TransportError):
        return TransientSinkError(f"{place} does not answer: {_of_network(error)}")
    if isinstance(error, auth.GoogleAuthError):
        return TerminalSinkError(
            f"{place} has no credentials to be written with: let GOOGLE_APPLICATION_CREDENTIALS "
            "name a file of them, or run gcloud auth application-default login"
        )
    if isinstance(error, exceptions.NotFound):
        return TerminalSinkError(
            f"there is no bucket {bucket}: make it first, "
            f"gcloud storage buckets create gs://{bucket}"
        )
    if isinstance(error, (exceptions.Forbidden, exceptions.Unauthorized)):
        return TerminalSinkError(
            f"{place} refuses the credentials: {text}. They have to be allowed to read, list, "
            f"write and delete objects of {bucket}"
        )
    if isinstance(error, (exceptions.TooManyRequests, exceptions.ServerError)):
        return TransientSinkError(f"{place} can not write now: {text}")
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return TransientSinkError(
            f"what answers for {place} is not Google Cloud Storage, but a login or a proxy in "
            "between, or another server: check the network, and STORAGE_EMULATOR_HOST"
        )
    if isinstance(error, (exceptions.RetryError, requests.exceptions.RequestException)):
        return TransientSinkError(f"{place} does not answer: {_of_network(error)}")
    if isinstance(error, exceptions.GoogleAPICallError):
        if (error.code or 0) in {408, 429} or (error.code or 0) >= 500:
            return TransientSinkError(f"{place} can not write now: {text}")
        return TerminalSinkError(f"{place} refused an object: {text}")
    if isinstance(error, (OSError, EOFError)):
        return TransientSinkError(f"{place}: {text}")
    return TerminalSinkError(f"{place}: {type(error).__name__}: {text}")


def _of_network(error: Exception) -> str:
    """Return what kept a request from its server, without the address of the request."""
    text = " ".join(str(error).split())
    why = re.search(r"\[Errno -?\d+\] ([^()'\"\[\]]+)", text)
    where = re.search(r"host='([^']+)', port=(\d+)", text)
    if why is None or where is None:
        return text[:300].rstrip(".")
    return f"{where[1]}:{where[2]}: {why[1].strip()}"
