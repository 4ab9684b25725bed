"""Posting: one HTTP request with a message in it, and what the answer means for a view.

With the proxies of the environment; one that speaks SOCKS needs ``requests[socks]``.
Addresses and tokens of chats are their passwords: nothing that is raised here holds any of them.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.replayers.errors import SinkMissingError, TerminalSinkError, TransientSinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "TIMEOUT",
    "Answer",
    "Place",
    "check_pause",
    "go_on_pausing",
    "pause_left",
    "seconds_of",
    "without",
]

#: Seconds that a server may be silent.
TIMEOUT = 10.0
#: A request may take so many times as long, all in all: a server may send a byte now and then.
_WHOLE = 3
#: Bytes of an answer that are read.
_MOST = 64 << 10
#: Seconds: after a 429 that does not say how long, and at most, whatever it says.
_PAUSE, _LONGEST = 1.0, 3600.0
_LATER = frozenset({408, 425, 429})

#: Until when (monotonic) each place that asked for a pause is left alone, by all of this process.
_pauses: dict[str, float] = {}
#: A pause that has so little left is not worth a note (s).
_SHORT = 1.0


class Answer(NamedTuple):
    """What a server said.

    Attributes
    ----------
    status
        The HTTP status.
    body
        The text, or as much of it as anybody reads.
    retry_after
        Seconds to wait before the next request, or None.
    """

    status: int
    body: str
    retry_after: float | None = None

    def data(self) -> dict[str, Any]:
        """Return the object that the body is as JSON; an empty one if it is none."""
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        return {}


class Place(NamedTuple):
    """Where messages are posted.

    Attributes
    ----------
    name
        For people, without secrets.
    key
        What is the same for the same place.
    url
        Where; a secret.
    secrets
        Texts that nobody may see.
    proxy
        The address of a proxy, or None for those of the environment.
    timeout
        Seconds that the server may be silent.
    """

    name: str
    key: str
    url: str
    secrets: tuple[str, ...] = ()
    proxy: str | None = None
    timeout: float = TIMEOUT

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a request, and return the answer, whatever its status.

        Raises
        ------
        TransientSinkError
            There was no answer, or not all of it: the message may have arrived.
        TerminalSinkError
            There will be none: the server's certificate is not trusted, the proxy refuses.
        """
        import http.client

        from sacred.replayers.bounded_http import post

        try:
            status, answered, content = post(
                self.url,
                body,
                {"User-Agent": "sacred-journal", **headers},
                silence=self.timeout,
                total=_WHOLE * self.timeout,
                most=_MOST,
                proxy=self.proxy or _proxy_of_environment(self.url),
            )
        except ImportError:
            raise SinkMissingError(
                f"{self.name}: a SOCKS proxy needs requests with its socks extra: "
                "pip install 'requests[socks]'"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._no_answer(error) from None  # the traceback may name the address
        return Answer(status, content.decode("utf-8", "replace"), seconds_of(answered))

    def _no_answer(self, error: Exception) -> TransientSinkError | TerminalSinkError:
        import http.client
        import ssl

        from sacred.replayers.bounded_http import OverdueError

        reason = getattr(error, "reason", None)
        cause = reason if isinstance(reason, Exception) else error
        text = self.say(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)
        if isinstance(cause, ssl.SSLCertVerificationError) or "certificate verify" in text:
            return TerminalSinkError(
                f"{self.name} was not trusted ({text}): check its address and this machine's "
                "certificates"
            )
        if re.search(r"\b407\b", text):
            return TerminalSinkError(
                f"{self.name}: the proxy refuses: give it a user and a password ({text})"
            )
        if isinstance(cause, http.client.IncompleteRead):
            text = "the connection ended in the middle of the answer"
        if isinstance(cause, OverdueError):
            text = str(cause)
        elif isinstance(cause, TimeoutError):
            text = f"nothing came for {self.timeout:g} s"
        return TransientSinkError(f"{self.name} does not answer: {text}")

    def say(self, text: str) -> str:
        """Return what somebody else said, in one short line without secrets."""
        return " ".join(without(text, self.secrets).split())[:200].rstrip(".")

    def check(self, answer: Answer, hint: str, reason: str = "") -> None:
        """Raise if an answer does not say that the message arrived.

        Parameters
        ----------
        answer
            The answer.
        hint
            What to do where the server refuses the message for good.
        reason
            What the server says, if its body has to be read for it.

        Raises
        ------
        TransientSinkError
            Not now. Until the server's own time is over nothing is sent there.
        TerminalSinkError
            Not at all.
        """
        status = answer.status
        if status in _LATER or status >= 500:
            pause = answer.retry_after
            if pause is None and status == 429:
                pause = _PAUSE
            if pause is not None:
                _pauses[self.key] = time.monotonic() + min(max(pause, 0.0), _LONGEST)
            asked = f" and asks for {pause:g} s of patience" if pause else ""
            raise TransientSinkError(f"{self.name} can not take a message now ({status}){asked}")
        if status == 407:
            raise TerminalSinkError(
                f"{self.name}: the proxy refuses: give it a user and a password (407)"
            )
        if 300 <= status < 400:
            raise TerminalSinkError(
                f"{self.name} sends to another address ({status}), and no message is sent there: "
                f"{hint}"
            )
        is_page = re.match(r"\s*(?:<!doctype html|<html)", answer.body, re.IGNORECASE) is not None
        if is_page:
            raise TerminalSinkError(
                f"{self.name} answers with a web page ({status}), as a login or a proxy in between "
                f"does: {hint}"
            )
        if not 200 <= status < 300:
            said = self.say(reason or answer.body)
            raise TerminalSinkError(
                f"{self.name} refuses the message ({status}{': ' if said else ''}{said}): {hint}"
            )


def check_pause(place: Place) -> None:
    """Raise ``TransientSinkError`` while a place wants to be left alone."""
    until = _pauses.get(place.key)
    if until is None:
        return
    if time.monotonic() < until:
        raise TransientSinkError(f"{place.name} has asked for patience: nothing is sent until then")
    _pauses.pop(place.key, None)


def pause_left(place: Place) -> float:
    """Return for how many seconds a place still wants to be left alone; 0 if it does not."""
    left = _pauses.get(place.key, 0.0) - time.monotonic()
    return left if left >= _SHORT else 0.0


def go_on_pausing(place: Place, until: float) -> None:
    """Leave a place alone that asked another process for it, until a time (s since the epoch)."""
    left = min(until - time.time(), _LONGEST)
    if left > 0:
        _pauses[place.key] = max(_pauses.get(place.key, 0.0), time.monotonic() + left)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text with secrets replaced by ``***``, also as they stand in an address."""
    from urllib.parse import quote, unquote

    for secret in sorted(secrets, key=len, reverse=True):
        for form in dict.fromkeys((secret, unquote(secret), quote(secret, safe=""))):
            if len(form) > 3:  # less is no secret, and in every sentence
                text = text.replace(form, "***")
    return text


def _proxy_of_environment(url: str) -> str | None:
    """Return a proxy of the environment that urllib does not take itself: SOCKS, ``all_proxy``."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    own = proxies.get(parts.scheme)
    if own is not None:
        return own if own.lower().startswith("socks") else None
    return proxies.get("all")


def seconds_of(headers: Any) -> float | None:
    """Return what ``Retry-After`` says: seconds, or a date."""
    said = str(headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,6})?", said):
        return float(said)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        from email.utils import parsedate_to_datetime

        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    return None
