"""A store of objects in memory, which notes what it is asked and can be told to fail."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from sacred.replayers.objects.store import ABSENT, Found, Listed, ObjectConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


#: No version comes twice, also of a name that was deleted meanwhile.
_VERSIONS = itertools.count(1)


class MemoryStore:
    """Objects by name, each with a version that counts.

    Attributes
    ----------
    calls
        How often each method was called.
    written
        Bytes that were put.
    before
        Called with the method and the key before anything is done; may raise.
    takes_several
        As a sink asks a store.
    """

    takes_several = False

    def __init__(self, objects: dict[str, Found] | None = None) -> None:
        self.objects = {} if objects is None else objects
        self.calls: Counter[str] = Counter()
        self.written = 0
        self.before: Callable[[str, str], object] = lambda *_: None

    def _note(self, name: str, key: str) -> None:
        self.calls[name] += 1
        self.before(name, key)

    def open(self) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Nothing is to be done."""

    def get(self, key: str) -> Found | None:
        """Read an object."""
        self._note("get", key)
        return self.objects.get(key)

    def put(self, key: str, content: bytes | Path, expected: str | None = None) -> str:
        """Write an object, if it is as expected."""
        self._note("put", key)
        found = self.objects.get(key)
        if expected is not None and expected != (found.version if found else ABSENT):
            raise ObjectConflictError(key)
        data = content.read_bytes() if isinstance(content, Path) else content
        self.written += len(data)
        version = str(next(_VERSIONS))
        self.objects[key] = Found(data, version)
        return version

    def list(self, prefix: str, *, folders: bool = False) -> Iterator[Listed]:
        """Yield what begins with a prefix, sorted."""
        self._note("list", prefix)
        seen = set()
        for key in sorted(self.objects):
            if key.startswith(prefix):
                rest, slash, _ = key[len(prefix) :].partition("/")
                if not folders or not slash:
                    yield Listed(key, self.objects[key].version)
                elif rest not in seen:
                    seen.add(rest)
                    yield Listed(f"{prefix}{rest}/", ABSENT)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._note("delete", key)
        self.objects.pop(key, None)
