"""The folders of the runs: which there are, whose they are, and how a run gets one."""

from __future__ import annotations

import heapq
import json
import os
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.identity import own_identity, process_lives
from sacred.journal.regular_file import open_regular
from sacred.replayers.errors import TerminalSinkError, ViewUnreadableError
from sacred.replayers.sink import RunKey
from sacred.replayers.sinks.file.disk import replace
from sacred.replayers.tree.documents import began_at_once
from sacred.replayers.tree.names import folder_name, is_number, view_id

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["RunFolders", "State", "journal_name", "load_position", "name_journal"]

#: So many of the newest folders are looked at for claims that nobody needs any more.
_RECENT = 50
#: Where a claim is made, before it has its number. One process at a time makes one.
_ASIDE = ".claim"
#: In a run's ``.journal``, before the id of the journal.
_OF = "of-"


class State:
    """What is known of one run's folder: the content of ``position.json``, and ``run.json``."""

    def __init__(self, folder: str, kept: dict[str, Any]) -> None:
        self.folder = folder
        self.kept = kept
        self.run: dict[str, Any] = {}
        self.render_after = 0.0
        #: Whether nothing that can be read says how the run stands.
        self.damaged = False

    def path(self, name: str) -> str:
        """Return the path of one of the run's files."""
        return os.path.join(self.folder, name)

    def own(self, name: str) -> str:
        """Return the path of one of this sink's own files."""
        return os.path.join(self.folder, ".journal", name)

    def position(self) -> bytes:
        """Return the content of ``position.json``."""
        return json.dumps(self.kept, separators=(",", ":")).encode()

    def save_position(self) -> None:
        """Replace ``position.json``."""
        replace(self.own("position.json"), self.position())

    def find_flaw(self, flaw: str) -> None:
        """Have the run written anew, by whoever asks for its position next, because of a flaw."""
        self.kept["flaw"] = flaw
        self.kept["revision"] = time.time_ns()
        self.save_position()


def journal_name(journal_id: str) -> str:
    """Return the name, in a run's ``.journal``, of the empty file that says whose the folder is."""
    return _OF + journal_id


def name_journal(folder: str, journal_id: str) -> None:
    """Say a second time which journal a folder is of: by a name, which outlives every content."""
    os.close(
        open_regular(
            os.path.join(folder, ".journal", journal_name(journal_id)), os.O_CREAT | os.O_RDWR
        )
    )


def named_journal(folder: str) -> str | None:
    """Return which journal a folder is of, by that name; None if none or several say so."""
    try:
        names = os.listdir(os.path.join(folder, ".journal"))
    except OSError:
        return None
    found = [name.removeprefix(_OF) for name in names if name.startswith(_OF)]
    return found[0] if len(found) == 1 else None


def damaged_position(folder: str, journal_id: str) -> dict[str, Any] | None:
    """Return what stands for a ``position.json`` that can not be read; None if all is well, or lost."""
    if named_journal(folder) != journal_id or load_position(folder) is not None:
        return None
    kept = {"format": 1, "journal_id": journal_id, "view_id": view_id(os.path.basename(folder))}
    flaw = "its .journal/position.json was damaged"
    return {**kept, "claimed": False, "position": [], "projector": 0, "flaw": flaw, "named": True}


def load_position(folder: str, journal_id: str | None = None) -> dict[str, Any] | None:
    """Return the content of a folder's ``position.json`` if it is there, and that run's."""
    try:
        descriptor = open_regular(os.path.join(folder, ".journal", "position.json"))
        with os.fdopen(descriptor, "rb") as file:
            kept = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or type(kept.get("journal_id")) is not str:
        return None
    if not isinstance(kept.get("view_id"), int | str) or not isinstance(kept.get("position"), list):
        return None
    return kept if journal_id in {None, kept["journal_id"]} else None


def _stamp(folder: str) -> tuple[int, int, int]:
    """Return what changes whenever something comes into a folder or goes."""
    state = os.stat(folder)
    return state.st_mtime_ns, state.st_nlink, state.st_ino


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
        #: Of each folder how it stood, and the journal whose view it is; None for what is no view.
        self._whose: dict[str, tuple[tuple[int, int, int], str | None]] = {}
        #: The folder of each journal.
        self._known: dict[str, str] = {}
        #: How the base folder stood when they were looked at, and whether its lock was held.
        self._seen: tuple[int, int, int] | None = None
        self._looked_locked = False
        #: How it stood when a folder was begun.
        self._before: tuple[int, int, int] | None = None

    def _next_number(self) -> int:
        return max((int(name) for name in os.listdir(self.base) if is_number(name)), default=0) + 1

    def _names(self) -> Iterator[str]:
        """Yield the names that may be runs', the highest numbers first, then the texts."""
        names = [name for name in os.listdir(self.base) if folder_name(name) is not None]
        numbers = [name for name in names if is_number(name)]
        yield from sorted(numbers, key=int, reverse=True)
        yield from (name for name in names if not is_number(name))

    def find(self, run: RunKey, *, locked: bool = False) -> State | None:
        """Look for a run's folder: where it is wanted first, then everywhere.

        Parameters
        ----------
        run
            The run.
        locked
            Whether the caller holds the base folder's lock: a folder that is not a run's yet will
            never be one then.
        """
        state = self.states.get(run.journal_id)
        if state is not None and load_position(state.folder, run.journal_id) is not None:
            return state
        wanted = folder_name(run.run_id)
        found = self._at(wanted, run.journal_id) if wanted is not None else None
        if found is not None:
            return found
        try:
            found = self._look_everywhere(run.journal_id, locked)
        except FileNotFoundError:
            return None
        if found is None:
            self.states.pop(run.journal_id, None)
            if wanted is not None:
                folder = os.path.join(self.base, wanted)
                self._refuse_damaged(folder)
                self._refuse_nameless(folder, run)
        return found

    @staticmethod
    def _refuse_damaged(folder: str) -> None:
        """Raise if a folder is a run's, and nothing in it says any more which: an earlier version's.

        Raises
        ------
        ViewUnreadableError
        """
        place = os.path.join(folder, ".journal", "position.json")
        if not os.path.lexists(place) or load_position(folder) is not None:
            return
        if named_journal(folder) is None:
            raise ViewUnreadableError(
                f"{place} is damaged, so that nobody can tell whose folder {folder} is: move the "
                "folder away, or put a copy of the file back, and replay with --rebuild"
            )

    @staticmethod
    def _refuse_nameless(folder: str, run: RunKey) -> None:
        """Raise if a folder is of this run by when that began, and has nothing of ours.

        Raises
        ------
        ViewUnreadableError
        """
        if "start_time" not in run.fields or load_position(folder) is not None:
            return
        try:
            with os.fdopen(open_regular(os.path.join(folder, "run.json")), "rb") as file:
                document = json.loads(file.read())
        except (OSError, ValueError, RecursionError):
            return
        if named_journal(folder) is None and began_at_once(document, run.fields):
            raise ViewUnreadableError(
                f"{folder} has this run, without the hidden folder .journal that says how far (was "
                "it copied without hidden files, or written by another program?): put that back, or "
                "move the folder away, and replay with --rebuild; or choose another folder"
            )

    def _look_everywhere(self, journal_id: str, locked: bool) -> State | None:
        """Look into the folders that came since the last look; of the others it is known whose they are.

        Opening each of them for each new run would make the cost of n runs n times n.
        """
        stamp = _stamp(self.base)
        if stamp != self._seen or (locked and not self._looked_locked):
            self._learn_names()
            self._seen = stamp
            self._looked_locked = locked
        name = self._known.get(journal_id)
        found = self._at(name, journal_id) if name is not None else None
        if name is not None and found is None:  # another run took its place
            self._whose.clear()
            self._learn_names()
            name = self._known.get(journal_id)
            found = self._at(name, journal_id) if name is not None else None
        return found

    def _learn_names(self) -> None:
        """Look into the folders that are new, or changed since, and note whose they are."""
        whose: dict[str, tuple[tuple[int, int, int], str | None]] = {}
        for name in self._names():
            folder = os.path.join(self.base, name)
            try:
                stamp = _stamp(folder)
            except OSError:  # taken away meanwhile
                continue
            before, journal_id = self._whose.get(name, (None, None))
            if before != stamp or (journal_id is None and not self._looked_locked):
                kept = load_position(folder)
                journal_id = named_journal(folder) if kept is None else str(kept["journal_id"])
            whose[name] = stamp, journal_id
        self._whose = whose
        # The highest number counts where there are several.
        self._known = {}
        for name, (_, journal_id) in whose.items():
            if journal_id is not None:
                self._known.setdefault(journal_id, name)

    def _at(self, name: str, journal_id: str) -> State | None:
        folder = os.path.join(self.base, name)
        kept, damaged = load_position(folder, journal_id), None
        if kept is None:
            kept = damaged = damaged_position(folder, journal_id)
        if kept is None:
            return None
        state = State(folder, kept)
        state.damaged = damaged is not None
        try:
            with os.fdopen(open_regular(state.path("run.json")), "rb") as file:
                state.run = json.loads(file.read())
        except (OSError, ValueError, RecursionError):
            if not kept.get("claimed"):  # somebody took it away, or changed it beyond reading
                kept.setdefault("flaw", "its run.json could not be read")
        self.states[journal_id] = state
        return state

    def make(self, run: RunKey) -> State:
        """Make a folder for a run that has none: of its id if that is free, else the next number.

        The caller holds the base folder's lock; ``mkdir`` decides nevertheless.
        """
        wanted = self.wanted(run)
        state = self.begin(run)
        state.kept["claimed"] = own_identity()
        self.place(state, wanted)
        return state

    def begin(self, run: RunKey) -> State:
        """Make a folder aside for a run that has none; ``place`` gives it its name.

        What has no ``position.json`` there when this process is killed is taken away by the next one
        that makes a folder, and what has is given its name: the position comes when all else is there.
        The caller holds the base folder's lock from here to the end of ``place``.
        """
        kept: dict[str, Any] = {
            "format": 1,
            "journal_id": run.journal_id,
            "claimed": False,
            "position": [],
            "projector": 0,
            "revision": 0,
            "named": True,
        }
        self._before = _stamp(self.base)
        state = State(os.path.join(self.base, _ASIDE), kept)
        os.makedirs(state.own(""))
        name_journal(state.folder, run.journal_id)
        return state

    def wanted(self, run: RunKey) -> str:
        """Return the name that a run without a folder gets: of its id if that is free, else the next number."""
        name = folder_name(run.run_id, self._taken)
        if name is None or os.path.lexists(os.path.join(self.base, name)):
            return str(self._next_number())
        return name

    def place(self, state: State, wanted: str) -> None:
        """Save the position of a folder that was made aside, and give it a name that no other has.

        ``mkdir`` decides between two who want one.
        """
        kept, journal_id = state.kept, state.kept["journal_id"]
        for _ in range(100_000):
            folder = os.path.join(self.base, wanted)
            kept["view_id"] = view_id(wanted)
            state.save_position()
            try:
                os.mkdir(folder)
            except FileExistsError:
                following = int(wanted) + 1 if is_number(wanted) else 1
                wanted = str(max(following, self._next_number()))
                continue
            break
        else:
            raise TerminalSinkError(f"no free number was found in {self.base}")
        os.rename(state.folder, folder)  # onto the empty one: it has its position from the first
        state.folder = folder
        if self._before == self._seen:
            self._whose[wanted] = _stamp(folder), journal_id
            self._known[journal_id] = wanted
            self._seen = _stamp(self.base)
        self.states[journal_id] = state

    def finish_claim(self) -> None:
        """Finish, or take away, what a process left that was killed in ``make``. Under the lock."""
        aside = os.path.join(self.base, _ASIDE)
        if not os.path.lexists(aside):
            return
        kept = load_position(aside)
        name = folder_name(kept.get("view_id")) if kept is not None else None
        if name is not None:
            try:
                os.rename(aside, os.path.join(self.base, name))
            except OSError:  # it is another run's, or was never made
                pass
            else:
                return
        import shutil

        shutil.rmtree(aside, ignore_errors=True)

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
