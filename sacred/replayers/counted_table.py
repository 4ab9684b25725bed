"""A table of points of which only the number counts: its columns are decoded if somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.journal.tables import MAX_ROWS, _decode_index, decode_table

if TYPE_CHECKING:
    from sacred.journal.tables import MetricTable

__all__ = ["CountedTable"]


class CountedTable:
    """Stands in for a ``MetricTable`` while a journal is folded in silence.

    Parameters
    ----------
    fields
        Of the ``METRIC_TABLE`` event, by wire key.

    Raises
    ------
    ValueError
        It tells no length, or not which metrics its rows are of.
    """

    __slots__ = ("_fields", "index", "metrics", "rows")

    def __init__(self, fields: dict[str, Any]) -> None:
        rows = fields["n"]
        self.metrics = tuple(fields["m"])
        if type(rows) is not int or not 0 < rows <= MAX_ROWS or not self.metrics:
            raise ValueError("a metric table of no or too many rows")
        self.rows = rows
        self.index = _decode_index(fields.get("i"), rows, len(self.metrics))
        self._fields = fields

    def decoded(self) -> MetricTable:
        """Decode the columns.

        Raises
        ------
        ValueError
            They do not fit together.
        """
        return decode_table(self._fields)

    def first_rows(self, rows: int) -> MetricTable:
        """Return the first rows, decoded."""
        return self.decoded().first_rows(rows)

    def from_row(self, row: int) -> MetricTable:
        """Return the rows from one on, decoded."""
        return self.decoded().from_row(row)
