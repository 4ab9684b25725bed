"""Where a reader stands in a journal."""

from __future__ import annotations

from typing import Any

from sacred.journal.errors import JournalError
from sacred.journal.named_tuple import NamedTuple


class WriterPosition(NamedTuple):
    """Where a reader stands in what one writer wrote.

    Attributes
    ----------
    epoch
        The file the last applied frame came from.
    next_seq
        The first sequence number that was not applied.
    chain
        The chain behind the last applied frame; with ``next_seq`` it proves that a journal still
        is the one that was applied.
    offset
        Where in the epoch's file the next frame begins. A hint: it is checked, and the file is
        walked from its beginning if it does not hold.
    """

    epoch: int
    next_seq: int
    chain: int
    offset: int = 0


class Position:
    """A vector: one ``WriterPosition`` for each writer that was read from.

    Immutable, and so thread-safe. Two are equal if they stand at the same events (offsets, being
    hints, do not count).

    Parameters
    ----------
    writers
        By number; None for the beginning of a journal.
    """

    __slots__ = ("_writers",)

    def __init__(self, writers: dict[int, WriterPosition] | None = None) -> None:
        self._writers = dict(writers or {})

    def __getitem__(self, writer: int) -> WriterPosition:
        """Return the position in one writer's events; KeyError if none was read."""
        return self._writers[writer]

    def __contains__(self, writer: object) -> bool:
        """Tell whether anything of this writer was read."""
        return writer in self._writers

    def __bool__(self) -> bool:
        """Tell whether anything was read at all."""
        return bool(self._writers)

    def __eq__(self, other: object) -> bool:
        """Compare epochs, sequence numbers and chains."""
        if not isinstance(other, Position):
            return NotImplemented
        return self._without_hints() == other._without_hints()

    def __hash__(self) -> int:
        """Hash what ``==`` compares."""
        return hash(tuple(sorted(self._without_hints().items())))

    def __repr__(self) -> str:
        """Show each writer's epoch and next sequence number."""
        inside = ", ".join(
            f"w{writer}: e{at.epoch} seq {at.next_seq}" for writer, at in sorted(self.items())
        )
        return f"<Position {inside or 'at the beginning'}>"

    def _without_hints(self) -> dict[int, tuple[int, int, int]]:
        return {writer: at[:3] for writer, at in self._writers.items()}

    def items(self) -> list[tuple[int, WriterPosition]]:
        """Return (writer, its position) pairs."""
        return list(self._writers.items())

    def get(self, writer: int) -> WriterPosition | None:
        """Return the position in one writer's events.

        Parameters
        ----------
        writer
            Its number.

        Returns
        -------
        None if nothing of it was read.
        """
        return self._writers.get(writer)

    def moved(self, writer: int, to: WriterPosition) -> Position:
        """Return the position with one writer moved.

        Parameters
        ----------
        writer
            Its number.
        to
            Where it stands then.

        Returns
        -------
        A new position; this one stays.
        """
        return Position({**self._writers, writer: to})

    def events(self) -> int:
        """Return how many sequence numbers lie before the position, all writers together."""
        return sum(at.next_seq for at in self._writers.values())

    def behind(self, other: Position) -> bool:
        """Tell whether there is more before another position than before this one.

        Parameters
        ----------
        other
            A position in the same journal.

        Returns
        -------
        Whether ``other`` has events of some writer that this position has not.
        """
        return any(
            (mine := self._writers.get(writer)) is None or mine.next_seq < at.next_seq
            for writer, at in other.items()
            if at.next_seq
        )

    def to_wire(self) -> list[list[Any]]:
        """Return plain lists, for JSON, BSON or SQL.

        Returns
        -------
        [writer, epoch, next_seq, chain in hex, offset] of each writer, in order.
        """
        # Hex, because a 64-bit unsigned number fits neither BSON nor SQL nor JSON's doubles.
        return [
            [writer, at.epoch, at.next_seq, f"{at.chain:016x}", at.offset]
            for writer, at in sorted(self._writers.items())
        ]

    @classmethod
    def from_wire(cls, wire: Any) -> Position:
        """Read what ``to_wire`` gave.

        Parameters
        ----------
        wire
            The lists, or tuples; None and an empty one are the beginning.

        Returns
        -------
        The position.

        Raises
        ------
        JournalError
            It is something else.
        """
        try:
            return cls(
                {
                    int(writer): WriterPosition(int(epoch), int(seq), int(chain, 16), int(offset))
                    for writer, epoch, seq, chain, offset in wire or ()
                }
            )
        except (TypeError, ValueError) as error:
            raise JournalError(f"not a position in a journal: {wire!r}") from error
