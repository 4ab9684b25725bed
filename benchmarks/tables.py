"""Results as tables: rows of contestants, limits, ratios to this project."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.samples import Samples


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of a table.

    Attributes
    ----------
    key
        The name of the quantity in the samples.
    heading
        What it is, with its unit.
    scale
        What a value is divided by before it is shown and compared with a limit.
    largest
        Whether the largest value of all rounds stands for them; else the median.
    """

    key: str
    heading: str
    scale: float = 1.0
    largest: bool = False

    def value(self, samples: Samples) -> float | None:
        """Return the number that stands for the rounds, or None where there is none."""
        found = samples.largest(self.key) if self.largest else samples.median(self.key)
        return None if found is None else found / self.scale


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant in one case.

    Attributes
    ----------
    case
        What was done; rows of the same case are compared with each other.
    name
        Who did it.
    samples
        What came out.
    limits
        The budget by the keys of columns, in the columns' units.
    reference
        Whether the ratios of the case are to this row.
    remark
        What else is to be known of it.
    """

    case: str
    name: str
    samples: Samples
    limits: Mapping[str, float] = field(default_factory=dict)
    reference: bool = False
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The results of one budget.

    Attributes
    ----------
    budget
        ``B1`` to ``B9``.
    title
        What is measured.
    columns
        The quantities; ratios are of the first.
    rows
        In the order in which they are shown.
    rounds
        How often each contestant was measured.
    note
        What a reader must know to believe the numbers.
    """

    budget: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    rounds: int
    note: str = ""

    def missed(self, row: Row) -> list[Column]:
        """Return the columns in which a row is over its limit, or has no value."""
        over = []
        for column in self.columns:
            limit = row.limits.get(column.key)
            if limit is None:
                continue
            value = column.value(row.samples)
            if value is None or value > limit:
                over.append(column)
        return over

    def ratio(self, row: Row) -> float | None:
        """Return how many times the reference of its case a row takes."""
        for other in self.rows:
            if other.case == row.case and other.reference:
                return _ratio(
                    self.columns[0].value(row.samples), self.columns[0].value(other.samples)
                )
        return None

    def verdict(self, row: Row) -> str:
        """Return what a row means for its budget: ``holds``, what it missed, or nothing."""
        if row.samples.failure is not None:
            return "not measured"
        if not row.limits:
            return ""
        missed = self.missed(row)
        return f"**over: {', '.join(c.heading for c in missed)}**" if missed else "holds"

    def markdown(self) -> str:
        """Return the table as Markdown, its notes below."""
        headings = ["case", "who", *(c.heading for c in self.columns), "ratio", "budget"]
        lines = [
            f"| {' | '.join(headings)} |",
            f"|{'|'.join(['---'] * 2 + ['---:'] * (len(self.columns) + 1) + ['---'])}|",
        ]
        failures: dict[str, list[str]] = {}
        case = None
        for row in self.rows:
            cells = [row.case if row.case != case else "", row.name]
            case = row.case
            cells += [self._cell(row, column) for column in self.columns]
            ratio = self.ratio(row)
            cells += ["" if ratio is None else f"{number(ratio)} x"]
            cells += [" ".join(part for part in (self.verdict(row), row.remark) if part)]
            lines.append(f"| {' | '.join(cells)} |")
            if row.samples.failure is not None:
                who = f"{row.name} ({row.case})"
                failures.setdefault(row.samples.failure.sentence, []).append(who)
        if self.note:
            lines += ["", self.note]
        for reason, those in failures.items():
            lines += ["", f"Not measured: {'; '.join(those)}. The reason: {reason}"]
        return "\n".join(lines)

    def _cell(self, row: Row, column: Column) -> str:
        value = column.value(row.samples)
        text = "-" if value is None else number(value)
        limit = row.limits.get(column.key)
        return text if limit is None else f"{text} (≤ {number(limit)})"


def _ratio(value: float | None, reference: float | None) -> float | None:
    if value is None or not reference or reference < 0:
        return None
    return value / reference


def number(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
