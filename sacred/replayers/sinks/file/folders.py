"""The folders of the runs: which there are, whose they are, and how a run gets one."""

from __future__ import annotations

import heapq
import json
import os
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.identity import own_identity, process_lives
from sacred.journal.regular_file import open_regular
from sacred.replayers.errors import TerminalSinkError
from sacred.replayers.sink import RunKey
from sacred.replayers.sinks.file.disk import replace
from sacred.replayers.tree.names import folder_name, is_number, view_id

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["RunFolders", "State", "load_position"]

#: So many of the newest folders are looked at for claims that nobody needs any more.
_RECENT = 50


class State:
    """What is known of one run's folder: the content of ``position.json``, and ``run.json``."""

    def __init__(self, folder: str, kept: dict[str, Any]) -> None:
        self.folder = folder
        self.kept = kept
        self.run: dict[str, Any] = {}
        self.render_after = 0.0

    def path(self, name: str) -> str:
        """Return the path of one of the run's files."""
        return os.path.join(self.folder, name)

    def own(self, name: str) -> str:
        """Return the path of one of this sink's own files."""
        return os.path.join(self.folder, ".journal", name)

    def save_position(self) -> None:
        """Replace ``position.json``."""
        content = json.dumps(self.kept, separators=(",", ":")).encode()
        replace(self.own("position.json"), content)


def load_position(folder: str, journal_id: str | None = None) -> dict[str, Any] | None:
    """Return the content of a folder's ``position.json`` if it is there, and that run's."""
    try:
        descriptor = open_regular(os.path.join(folder, ".journal", "position.json"))
        with os.fdopen(descriptor, "rb") as file:
            kept = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or journal_id not in {None, kept.get("journal_id")}:
        return None
    return kept


class RunFolders:
    """The runs below one base folder.

    Parameters
    ----------
    base
        Absolute.
    taken
        Names below it that no run can have.
    """

    def __init__(self, base: str, taken: Container[str] = ()) -> None:
        self.base = base
        self._taken = taken
        self.states: dict[str, State] = {}

    def _next_number(self) -> int:
        return max((int(name) for name in os.listdir(self.base) if is_number(name)), default=0) + 1

    def _names(self) -> Iterator[str]:
        """Yield the names that may be runs', the highest numbers first, then the texts."""
        names = [name for name in os.listdir(self.base) if folder_name(name) is not None]
        numbers = [name for name in names if is_number(name)]
        yield from sorted(numbers, key=int, reverse=True)
        yield from (name for name in names if not is_number(name))

    def find(self, run: RunKey) -> State | None:
        """Look for a run's folder: where it is wanted first, then everywhere."""
        state = self.states.get(run.journal_id)
        if state is not None and load_position(state.folder, run.journal_id) is not None:
            return state
        wanted = folder_name(run.run_id)
        found = self._at(wanted, run.journal_id) if wanted is not None else None
        if found is not None:
            return found
        try:
            for name in self._names():
                found = self._at(name, run.journal_id)
                if found is not None:
                    return found
        except FileNotFoundError:
            return None
        self.states.pop(run.journal_id, None)
        return None

    def _at(self, name: str, journal_id: str) -> State | None:
        folder = os.path.join(self.base, name)
        kept = load_position(folder, journal_id)
        if kept is None:
            return None
        state = State(folder, kept)
        try:
            with os.fdopen(open_regular(state.path("run.json")), "rb") as file:
                state.run = json.loads(file.read())
        except (OSError, ValueError, RecursionError):
            # Somebody took it away or changed it beyond reading: written anew.
            kept["projector"] = -1
        self.states[journal_id] = state
        return state

    def make(self, run: RunKey) -> State:
        """Make a folder for a run that has none: of its id if that is free, else the next number.

        The caller holds the base folder's lock; ``mkdir`` decides nevertheless.
        """
        wanted = folder_name(run.run_id, self._taken)
        if wanted is None or os.path.lexists(os.path.join(self.base, wanted)):
            wanted = str(self._next_number())
        for _ in range(100_000):
            folder = os.path.join(self.base, wanted)
            try:
                os.mkdir(folder)
            except FileExistsError:
                following = int(wanted) + 1 if is_number(wanted) else 1
                wanted = str(max(following, self._next_number()))
                continue
            break
        else:
            raise TerminalSinkError(f"no free number was found in {self.base}")
        kept: dict[str, Any] = {
            "format": 1,
            "journal_id": run.journal_id,
            "view_id": view_id(wanted),
            "claimed": own_identity(),
            "position": [],
            "projector": 0,
            "revision": 0,
        }
        state = State(folder, kept)
        os.mkdir(state.own(""))
        self.states[run.journal_id] = state
        return state

    def stale_claims(self, max_age: float) -> Iterator[RunKey]:
        """Yield the claims among the newest folders that are older, and whose process is gone."""
        for name in self._newest():
            kept = load_position(os.path.join(self.base, name))
            claim = (kept or {}).get("claimed")
            if kept is None or not isinstance(claim, dict):
                continue
            old = time.time() - claim.get("wall", 0) / 1e9 > max_age
            if old and process_lives(claim) is False:
                yield RunKey(kept["journal_id"], name)

    def _newest(self) -> list[str]:
        numbers, texts = [], []
        with os.scandir(self.base) as entries:
            for entry in entries:
                if is_number(entry.name):
                    numbers.append(entry.name)
                elif folder_name(entry.name) is not None:
                    try:
                        texts.append((entry.stat().st_mtime, entry.name))
                    except OSError:  # taken away meanwhile
                        continue
        newest = heapq.nlargest(_RECENT, numbers, key=int)
        return newest + [name for _, name in heapq.nlargest(_RECENT, texts)]
