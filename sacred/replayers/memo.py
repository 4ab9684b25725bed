"""What a replayer remembers about a run's view on this machine: ``<run>/views/<view>.json``.

The truth about a view is in the view. This says what the view can not: that it had the run once
(a run that a person deleted there is not written again), and how it is doing, for ``sacred ls``.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.regular_file import create_regular, read_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ViewMemo", "read_memos"]

#: No memo is larger (bytes): a reason why a view is behind is a sentence.
_MOST = 1 << 20


class ViewMemo(NamedTuple):
    """How a run stands in a view, as of the last look.

    Attributes
    ----------
    view
        Its name, without secrets.
    view_id
        The run's id there.
    state
        ``following``, ``current`` (it had everything there was) or ``behind``.
    error
        Why it is behind.
    """

    view: str
    view_id: Any
    state: str
    error: str | None = None

    def save(self, folder: Path, key: str) -> None:
        """Write it into a run's ``views`` folder; in silence where that can not be written."""
        path = folder / f"{key}.json"
        temporary = folder / f".{key}.{os.urandom(6).hex()}"
        with contextlib.suppress(OSError):  # an archive that is read-only stays so
            folder.mkdir(exist_ok=True)
            try:
                create_regular(temporary, json.dumps(self._asdict()) + "\n")
                os.replace(temporary, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise

    @classmethod
    def load(cls, folder: Path, key: str) -> ViewMemo | None:
        """Read it; None if there is none."""
        try:
            found = json.loads(read_regular(folder / f"{key}.json", _MOST))
            return cls(**found)
        except (OSError, ValueError, TypeError, RecursionError):
            return None


def read_memos(folder: Path) -> list[ViewMemo]:
    """Return what is remembered about a run's views (``folder`` is its ``views`` folder)."""
    try:
        names = sorted(name[:-5] for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return []
    memos = [ViewMemo.load(folder, name) for name in names]
    return [memo for memo in memos if memo is not None]
