"""What a store of objects has to do, in five calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from sacred.replayers.errors import ViewMovedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ABSENT", "Found", "Listed", "ObjectConflictError", "ObjectStore", "content_type"]

#: The version of an object that is not there.
ABSENT = ""


class ObjectConflictError(ViewMovedError):
    """The object is not as it was expected to be; nothing was written."""


class Found(NamedTuple):
    """An object that was read.

    Attributes
    ----------
    content
        All of it.
    version
        Changes with the content: an ETag, a generation.
    """

    content: bytes
    version: str


class Listed(NamedTuple):
    """An object, or what several names have in common up to the next slash.

    Attributes
    ----------
    key
        The name; the common part of several ends with a slash.
    version
        As of the listing; ``ABSENT`` for a common part.
    """

    key: str
    version: str


class ObjectStore(Protocol):
    """A bucket.

    Every method raises ``TransientSinkError`` or ``TerminalSinkError`` and nothing else for what
    the other side does. What was put is what every later call sees (S3 and GCS promise that).

    Attributes
    ----------
    takes_several
        Whether ``put`` may be called from several threads at once.
    """

    @property
    def takes_several(self) -> bool:
        """See above."""
        ...

    def open(self) -> None:
        """Look that the bucket is there and can be reached."""
        ...

    def get(self, key: str) -> Found | None:
        """Read an object; None if there is none."""
        ...

    def put(self, key: str, content: bytes | Path, expected: str | None = None) -> str:
        """Write an object whole; return its version.

        Parameters
        ----------
        key
            Its name.
        content
            What to write, or a file that holds it.
        expected
            The version that it has to have, ``ABSENT`` if it must not be there; None: whatever is
            there.

        Raises
        ------
        ObjectConflictError
            It is not as expected.
        """
        ...

    def list(self, prefix: str, *, folders: bool = False) -> Iterator[Listed]:
        """Yield what begins with a prefix, page by page.

        ``folders``: names are cut behind the next slash, and each is yielded once.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is none."""
        ...

    def close(self) -> None:
        """Give back connections; never raises."""
        ...


def content_type(key: str) -> str | None:
    """Return what browsers shall take an object for; None leaves it to the store."""
    if key.endswith(".json"):
        return "application/json"
    return "text/plain; charset=utf-8" if key.endswith(".txt") else None
