"""What a place of copies has to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sacred.replayers.copies.run_copy import FileCopy, Part, RunCopy

__all__ = ["CopyPlace"]


class CopyPlace(Protocol):
    """Where runs are copied to.

    Every method raises ``TransientSinkError`` or ``TerminalSinkError`` for what the place does, and
    ``OSError`` only for what the file does that is copied.
    """

    def open(self) -> None:
        """Look that the place is there and can be written."""
        ...

    def close(self) -> None:
        """Give back connections; never raises."""
        ...

    def marked(self, owner: str) -> int:
        """Return the number that is kept for an owner: see ``MarkedSink``."""
        ...

    def mark(self, owner: str, number: int) -> None:
        """Keep a number for an owner; a larger one that is there stays."""
        ...

    def is_source(self, root: Path) -> bool:
        """Tell whether a root is this very place."""
        ...

    def load(self, journal_id: str) -> RunCopy | None:
        """Return what is there of a run; None if it is not, or not any more."""
        ...

    def claim(self, journal_id: str, run: int | None) -> Any:
        """Make a place for a run that is not there; return its id."""
        ...

    def release(self, journal_id: str) -> None:
        """Take away the place of a run of which nothing was copied."""
        ...

    def alone(self, journal_id: str) -> AbstractContextManager[None]:
        """Keep others from writing the run meanwhile, where the place can."""
        ...

    def commit(self, copy: RunCopy) -> None:
        """Write down what is there of a run.

        Raises
        ------
        ViewMovedError
            Somebody else did since ``load``.
        """
        ...

    def has_blob(self, digest: str, size: int) -> bool:
        """Tell whether a blob is there."""
        ...

    def put_blob(self, digest: str, path: Path) -> None:
        """Store a blob whose content was proved."""
        ...

    def goes_on(self, copy: RunCopy, name: str, source: Path) -> bool:
        """Tell whether a file is there as far as it was copied, and may be added to."""
        ...

    def write(
        self, copy: RunCopy, name: str, source: Path, parts: tuple[Part, ...], *, keep: bool
    ) -> tuple[Part, ...]:
        """Copy bytes of a file that follow each other.

        Those that begin at 0 take the place of what is there, at once when they are all written;
        ``keep``: which stays beside it. Others follow what is there.

        Returns
        -------
        All parts of the file.
        """
        ...

    def remove(self, copy: RunCopy, name: str, file: FileCopy) -> None:
        """Remove a file."""
        ...
