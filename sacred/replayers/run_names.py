"""Runs named by how the name of their experiment begins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sacred.journal.errors import RunNotFoundError
from sacred.journal.finding import names_no_run
from sacred.journal.root import RunFolder
from sacred.replayers.listing import outlines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.journal.root import JournalRoot
    from sacred.replayers.listing import RunOutline

__all__ = ["AmbiguousNameError", "run_by_name"]

#: How many of the runs that fit are told.
_TOLD = 10
_BACK = re.compile(r"(.+)~(\d{1,9})\Z", re.DOTALL)


class AmbiguousNameError(RunNotFoundError):
    """Several runs fit a name.

    Attributes
    ----------
    candidates
        The last ten of them, in the order of their numbers.
    more
        How many there are before these.
    """

    def __init__(self, text: str, root: JournalRoot, fitting: list[RunOutline]) -> None:
        self.candidates = tuple(fitting[-_TOLD:])
        self.more = len(fitting) - len(self.candidates)
        super().__init__(
            f"{text!r} fits {len(fitting):,} runs in {root.path}: name one by its number; "
            f"{text + '~0'!r} is the last of them, {text + '~1'!r} the one before"
        )


def run_by_name(root: JournalRoot, text: str) -> RunFolder:
    """Find the run whose name begins so.

    Costs what a listing of the root costs, and keeps and uses what listings keep of ended runs.

    Parameters
    ----------
    root
        Where the runs are.
    text
        The name of its experiment, or how it begins. Runs whose whole name it is come before those
        whose name is longer, and these before those where only the case differs. ``NAME~0`` is the
        last of the runs that fit, ``NAME~1`` the one before it.

    Raises
    ------
    AmbiguousNameError
        Several runs fit.
    RunNotFoundError
        None does; the text has the nearest name.
    """
    if not text:
        raise names_no_run(text)
    named = [found for found in outlines(root) if found.name]
    fitting = _fitting(text, named)
    if len(fitting) > 1:
        raise AmbiguousNameError(text, root, fitting)
    if fitting:
        return _folder(fitting[0])
    if match := _BACK.match(text):
        begins, back = match[1], int(match[2])
        fitting = _fitting(begins, named)
        if back < len(fitting):
            return _folder(fitting[-1 - back])
        if fitting:
            count = f"{len(fitting):,} run{'s' * (len(fitting) != 1)}"
            raise RunNotFoundError(
                f"there is no run {text!r} in {root.path}: {begins!r} fits {count}, "
                f"and {begins + '~0'!r} is the last"
            )
        text = begins
    raise names_no_run(text, _near(text, {str(found.name) for found in named}))


def _fitting(text: str, named: list[RunOutline]) -> list[RunOutline]:
    folded = text.casefold()
    return (
        [found for found in named if found.name == text]
        or [found for found in named if str(found.name).startswith(text)]
        or [found for found in named if str(found.name).casefold().startswith(folded)]
    )


def _folder(found: RunOutline) -> RunFolder:
    return RunFolder(found.path, found.run)


def _near(text: str, names: Iterable[str]) -> str | None:
    import difflib

    near = difflib.get_close_matches(text[:200], sorted(names), 1)
    return near[0] if near else None
