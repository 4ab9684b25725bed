"""The numbers by which a bucket is known again, as objects: see ``sacred.replayers.place_mark``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sacred.replayers.errors import TransientSinkError
from sacred.replayers.mark_files import number_of
from sacred.replayers.objects.store import ABSENT, ObjectConflictError

if TYPE_CHECKING:
    from sacred.replayers.objects.store import Found, ObjectStore

__all__ = ["MarkObjects"]

_ATTEMPTS = 10


class MarkObjects:
    """Numbers as objects.

    Parameters
    ----------
    store
        The bucket.
    prefix
        What their names begin with.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def get(self, owner: str) -> int:
        """Return an owner's number; 0 if there is none, or it is damaged."""
        return _stored(self._store.get(self._prefix + owner))

    def raise_to(self, owner: str, number: int) -> None:
        """Put a number, unless there is a larger one.

        Raises
        ------
        TransientSinkError
            The store refuses it again and again.
        """
        for _ in range(_ATTEMPTS):
            found = self._store.get(self._prefix + owner)
            if _stored(found) >= number:
                return
            with contextlib.suppress(ObjectConflictError):
                version = ABSENT if found is None else found.version
                self._store.put(self._prefix + owner, b"%d\n" % number, version)
                return
        raise TransientSinkError("the number of this root is being changed by many at once")


def _stored(found: Found | None) -> int:
    return 0 if found is None else number_of(found.content)
