"""Facts about a run that take their time: sources, packages, git state, graphics cards.

Nobody waits for them at the start; they are there when somebody looks, and at the end.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sacred.core.fork import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["BackgroundFacts", "LateDict"]


class LateDict(dict[str, Any]):
    """A dict, some of whose entries are found when they are first asked for.

    Parameters
    ----------
    known
        Entries that are there at once.
    find
        Returns the whole dict; called at most once, by whichever thread asks first. What is set
        by hand meanwhile stays.
    late
        The names of the entries that only ``find`` gives.
    """

    def __init__(
        self, known: dict[str, Any], find: Callable[[], dict[str, Any]], late: tuple[str, ...]
    ) -> None:
        super().__init__(known)
        self._find: Callable[[], dict[str, Any]] | None = find
        self._late = frozenset(late)
        self._lock = ForkSafeLock()

    @property
    def pending(self) -> bool:
        """Whether entries are still to be found."""
        return self._find is not None

    def known(self) -> dict[str, Any]:
        """Return the entries that are there, without finding more."""
        return dict(dict.items(self))

    def complete(self) -> LateDict:
        """Find the rest now, and return the dict itself.

        Raises
        ------
        Exception
            Whatever ``find`` raises, each time again.
        """
        with self._lock:
            find = self._find
            if find is not None:
                for key, value in find().items():
                    if not dict.__contains__(self, key):
                        dict.__setitem__(self, key, value)
                self._find = None
        return self

    def __missing__(self, key: str) -> Any:
        if key not in self._late or not dict.__contains__(self.complete(), key):
            raise KeyError(key)
        return dict.__getitem__(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return an entry, found if need be, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        if key in self._late and not dict.__contains__(self, key):
            self.complete()
        return dict.__contains__(self, key)

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self.complete())

    def __len__(self) -> int:
        return dict.__len__(self.complete())

    def __eq__(self, other: object) -> bool:
        return dict.__eq__(self.complete(), other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return dict.__repr__(self.complete())

    def keys(self) -> Any:
        """Return all keys."""
        return dict.keys(self.complete())

    def values(self) -> Any:
        """Return all values."""
        return dict.values(self.complete())

    def items(self) -> Any:
        """Return all items."""
        return dict.items(self.complete())

    def copy(self) -> dict[str, Any]:
        """Return a plain copy."""
        return dict(self.items())

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        import copy

        return copy.deepcopy(self.copy(), memo)


class BackgroundFacts:
    """Runs a function in a thread, once, and lets others wait for its end."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sacred-facts", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it began and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self._error = error

    def wait(self, patience: float) -> Exception | None:
        """Wait for the end, at most ``patience`` seconds; return what the work raised."""
        self._thread.join(patience)
        return self._error
