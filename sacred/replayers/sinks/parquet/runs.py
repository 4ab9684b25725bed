"""The runs of a tree: whose number is which, how each stands, and files that are on their way.

::

    .journal/ids/<number>                   the id of the journal that has this number
    .journal/<journal id>/position.json     how the run stands: replaced in one step
    .journal/<journal id>/lock              held while it is replaced
    .journal/<journal id>/new-..., anew-... files that nobody reads yet
"""

from __future__ import annotations

import contextlib
import errno
import glob
import heapq
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.identity import own_identity
from sacred.journal.integers import text_of
from sacred.journal.regular_file import read_regular
from sacred.journal.root import fsync_folder
from sacred.replayers.errors import TerminalSinkError, ViewMovedError, ViewUnreadableError
from sacred.replayers.plain import plain_text
from sacred.replayers.sink import RunKey, wanted_id
from sacred.replayers.sinks.parquet.disk import (
    damaged,
    disk_errors,
    locked_file,
    read_file,
    replace,
    sync,
)
from sacred.replayers.sinks.parquet.layout import OWN, TABLES, part_name, part_of, table_of
from sacred.replayers.sinks.parquet.orphans import forget_orphans, orphan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.replayers.sinks.parquet.footer import Footer

__all__ = ["RunState", "RunStates"]

_JOURNAL_ID = re.compile(r"[0-9a-f]{16}")
#: So many of the newest numbers are looked at for claims that nobody needs any more.
_RECENT = 50


class RunState:
    """One run: what ``position.json`` holds of it, and its files.

    Attributes
    ----------
    kept
        The content of ``position.json``.
    moves
        Pairs of a file of the run's own folder, and where below the base it is going; nowhere
        (empty) if it is removed.
    """

    def __init__(self, base: str, kept: dict[str, Any]) -> None:
        self.base = base
        self.kept = kept
        self.own = os.path.join(base, OWN, str(kept["journal_id"]))
        self.moves: list[tuple[str, str]] = []
        #: Whether nothing that can be read says how the run stands.
        self.damaged = False
        self._swept = False

    # -- where its files are ---------------------------------------------------------------------

    def folder(self, table: str) -> str:
        """Return where readers find a table's rows of this run, relative to the base."""
        return os.path.join(table, str(self.kept["folder"]))

    def path(self, relative: str) -> str:
        """Return the path of something below the base."""
        return os.path.join(self.base, relative)

    def parts(self, table: str) -> dict[tuple[int, int], str]:
        """Return the parts that readers find, by generation and number: their names."""
        if not self.kept.get("folder"):
            return {}
        try:
            names = os.listdir(self.path(self.folder(table)))
        except FileNotFoundError:
            return {}
        return {found: name for name in names if (found := part_of(name)) is not None}

    def is_shown(self) -> bool:
        """Tell whether readers find the run, as they should."""
        if not self.kept.get("shown"):
            return True
        return os.path.exists(self.path(os.path.join(self.folder("runs"), part_name(0, 0))))

    # -- changing them ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Let one process change the run at a time, and only one that knows how it stands."""
        lock = os.path.join(self.own, "lock")
        try:
            with locked_file(lock):
                now = _load(self.base, str(self.kept["journal_id"]))
                known = self.kept.get("revision")
                if (now is None) != self.damaged or (now or {}).get("revision") != known:
                    raise ViewMovedError("another replayer wrote this run meanwhile")
                self.finish()
                self._sweep()
                yield
        except FileNotFoundError as error:
            if error.filename != lock:
                raise
            raise ViewMovedError("the run is not in the view any more") from None

    def latest(self, relative: str) -> str | None:
        """Return where the latest version of a file of the tree is; None if there is none."""
        for name, place in reversed(self.moves):
            if place == relative:
                return os.path.join(self.own, name)
        path = self.path(relative)
        return path if os.path.lexists(path) else None

    def footer(self, relative: str) -> Footer | None:
        """Read the footer of the latest version of a file; None if there is none.

        Raises
        ------
        TerminalSinkError
            It is damaged.
        """
        from sacred.replayers.sinks.parquet.version import footer_of

        path = self.latest(relative)
        with self._undamaged():
            return footer_of(path) if path is not None else None

    @contextlib.contextmanager
    def put(self, relative: str, keep: int = 0) -> Iterator[str]:
        """Give the path of a file to write, whose rows are in the tree with the next ``commit``.

        They come behind the first ``keep`` row groups of the file's latest version.
        """
        path = os.path.join(self.own, f"new-{os.urandom(8).hex()}")
        try:
            yield path
            self.add(relative, keep, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def add(self, relative: str, keep: int, added: str) -> None:
        """Have the rows of a file come behind the first ``keep`` row groups of one of the tree.

        Raises
        ------
        TerminalSinkError
            One of both is damaged.
        """
        from sacred.replayers.sinks.parquet.version import HELD, write_version

        before = self.latest(relative)
        name = f"new-{os.urandom(8).hex()}"
        path = os.path.join(self.own, name)
        self.moves.append((name, relative))
        table, hidden = table_of(relative)
        with self._undamaged():
            # Nobody is at a file that is hidden: nothing is held.
            held = -1.0 if hidden else HELD
            dead = write_version(path, before, keep, added, time.time(), held)
        sync(path)
        self.kept.setdefault("sizes", {})[table] = [os.path.getsize(path), dead]

    @contextlib.contextmanager
    def _undamaged(self) -> Iterator[None]:
        from sacred.replayers.sinks.parquet.footer import FooterError

        try:
            yield
        except FooterError as error:
            raise damaged(self.base, str(error)) from None

    def drop(self) -> None:
        """Forget what was put since the last ``commit``."""
        for name, _ in self.moves:
            if name.startswith("new-"):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.own, name))
        self.moves = []

    def commit(self, before: dict[str, Any]) -> None:
        """Make what was put, and what ``kept`` says, true in one step.

        That step is the new ``position.json``, which names the files that are on their way: whoever
        asks for the run brings them there first. If it fails, ``kept`` is ``before`` again.
        """
        self.kept["moves"] = self.moves
        # Of a damaged one nobody knows the number: one that no other replayer has.
        known = int(before.get("revision") or 0)
        self.kept["revision"] = time.time_ns() if self.damaged else known + 1
        try:
            content = json.dumps(self.kept, separators=(",", ":")).encode()
            fsync_folder(self.own)
            replace(os.path.join(self.own, "position.json"), content)
        except BaseException:
            self.drop()
            self.kept = before
            raise
        self.moves = []
        self.damaged = False
        self.finish()

    def finish(self) -> None:
        """Bring the files of the last ``commit`` to their places, where a kill left them."""
        folders = set()
        for name, relative in self.kept.get("moves") or ():
            source, target = os.path.join(self.own, name), self.path(relative)
            if not os.path.lexists(source):
                continue
            if not relative:
                os.unlink(source)
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(source, target)
            folders.add(os.path.dirname(target))
        for folder in folders:
            fsync_folder(folder)

    def finish_if_begun(self) -> None:
        """Do as ``finish``, if a kill left anything, and nobody else is at it."""
        moves = self.kept.get("moves") or ()
        if any(os.path.lexists(os.path.join(self.own, name)) for name, _ in moves):
            with locked_file(os.path.join(self.own, "lock")):
                self.kept = _load(self.base, str(self.kept["journal_id"])) or self.kept
                self.finish()

    def _sweep(self) -> None:
        """Remove what kills left of files that no ``position.json`` names."""
        if self._swept:
            return
        self._swept = True
        for name in os.listdir(self.own):
            if name.startswith((".", "new-")):
                os.unlink(os.path.join(self.own, name))


class RunStates:
    """The runs of one tree.

    Parameters
    ----------
    base
        The tree's folder, absolute.
    """

    def __init__(self, base: str) -> None:
        self.base = base
        self.known: dict[str, RunState] = {}

    def find(self, run: RunKey) -> RunState | None:
        """Read how a run stands; None if the tree does not know it."""
        kept, damaged = _load(self.base, run.journal_id), False
        if kept is None:
            kept, damaged = self._damaged(run.journal_id), True
        if kept is None:
            return self._adopt(run)
        state = self.known[run.journal_id] = RunState(self.base, kept)
        state.damaged = damaged
        return state

    def _adopt(self, run: RunKey) -> RunState | None:
        """Take up a run that only its rows know; None if there is none, or another process was faster."""
        self.known.pop(run.journal_id, None)
        found = orphan(self.base, run.journal_id)
        if found is None or not _JOURNAL_ID.fullmatch(run.journal_id):
            return None
        number, folder = found
        kept: dict[str, Any] = {
            **_empty(run.journal_id, number),
            "folder": folder,
            "flaw": "its hidden folder .journal was gone",
        }
        if run.run_id is not None:
            kept["id"] = plain_text(text_of(run.run_id))
        state = RunState(self.base, kept)
        os.makedirs(state.own, exist_ok=True)
        with locked_file(os.path.join(state.own, "lock")):
            if _load(self.base, run.journal_id) is None:
                # The number behind the position: after a kill in between the run is still found so.
                state.commit({})
                replace(os.path.join(self.base, OWN, "ids", str(number)), run.journal_id.encode())
        return self.find(run)

    def _damaged(self, journal_id: str) -> dict[str, Any] | None:
        """Return what stands for a ``position.json`` that can not be read; None if none is there."""
        if not _JOURNAL_ID.fullmatch(journal_id):
            return None
        if not os.path.lexists(os.path.join(self.base, OWN, journal_id, "position.json")):
            return None
        ids = os.path.join(self.base, OWN, "ids")
        numbers = (
            one for one in self.numbers() if _text(os.path.join(ids, str(one))) == journal_id
        )
        number = next(numbers, None)
        if number is None:
            own = os.path.join(self.base, OWN, journal_id)
            raise ViewUnreadableError(
                f"{own}/position.json is damaged, and no file in {ids} says which run of the tables "
                "this is: put a copy of either back, or remove that folder and the run's rows, and "
                "replay with --rebuild"
            )
        kept = {**_empty(journal_id, number), "flaw": "its position.json was damaged"}
        for table in TABLES:
            for folder in glob.glob(
                os.path.join(glob.escape(self.base), table, "*", f"run={number}")
            ):
                kept["folder"] = os.path.relpath(folder, os.path.join(self.base, table))
        return kept if "folder" in kept else None  # without rows it is deleted, or a claim

    def own_folder(self) -> str:
        """Make the folder that no reader looks into, and return it."""
        own = os.path.join(self.base, OWN)
        if not os.path.isdir(os.path.join(own, "ids")):
            forget_orphans(self.base)
        os.makedirs(os.path.join(own, "ids"), exist_ok=True)
        return own

    def claim(self, run: RunKey) -> int:
        """Return a run's number; give it one if it has none.

        Raises
        ------
        TransientSinkError, TerminalSinkError
            The disk refuses.
        """
        # ENOENT, as in /proc: waiting makes no folder there.
        with disk_errors(self.base, errno.ENOENT):
            lock = os.path.join(self.own_folder(), "lock")
            with locked_file(lock):
                state = self.find(run)
                if state is None:
                    state = self._make(run)
                else:
                    state.finish_if_begun()
                    if not state.is_shown():  # a person removed it, and wants it again
                        with state.turn():
                            before = {**state.kept}
                            state.kept.update(cleared(), shown=False, metrics=None, output=None)
                            state.commit(before)
                number: int = state.kept["view_id"]
                return number

    def _make(self, run: RunKey) -> RunState:
        """Give a run a number: the wanted one if it is free, else the next.

        The caller holds a lock; that the number's file is new decides nevertheless.
        """
        if not _JOURNAL_ID.fullmatch(run.journal_id):
            raise TerminalSinkError(f"{run.journal_id[:80]!r} is no journal's id")
        ids = os.path.join(self.base, OWN, "ids")
        number = wanted_id(run.run_id)
        if number is None or not self._take(ids, number, run.journal_id):
            number = max(self.numbers(), default=0) + 1
            while not self._take(ids, number, run.journal_id):
                number += 1
        kept: dict[str, Any] = {
            "format": 1,
            "journal_id": run.journal_id,
            "view_id": number,
            "claimed": own_identity(),
            **cleared(),
        }
        if run.run_id is not None:
            kept["id"] = plain_text(text_of(run.run_id))
        state = RunState(self.base, kept)
        os.makedirs(state.own, exist_ok=True)
        state.commit({})
        self.known[run.journal_id] = state
        return state

    def _take(self, ids: str, number: int, journal_id: str) -> bool:
        """Take a number; False if it is another run's, or another program's."""
        path = os.path.join(ids, str(number))
        if os.path.lexists(path):
            return _text(path) == journal_id
        if self._is_foreign(number):
            return False
        aside = os.path.join(ids, f".{os.urandom(8).hex()}")
        replace(aside, journal_id.encode())
        try:
            os.link(aside, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}:
                raise
            os.replace(aside, path)  # a file system without links; the caller's lock decides
            return True
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
        return True

    def _is_foreign(self, number: int) -> bool:
        """Tell whether a run of this number is in the tree that nobody here gave it to."""
        for table in TABLES:
            place = os.path.join(self.base, table)
            try:
                experiments = os.listdir(place)
            except FileNotFoundError:
                continue
            if any(
                os.path.lexists(os.path.join(place, one, f"run={number}")) for one in experiments
            ):
                return True
        return False

    def numbers(self) -> Iterator[int]:
        """Yield the numbers that were given."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(os.path.join(self.base, OWN, "ids")):
                if name.isascii() and name.isdecimal():
                    yield int(name)

    def release(self, run: RunKey) -> bool:
        """Take a number back of which nobody has seen anything; False if somebody has."""
        import shutil

        with disk_errors(self.base):
            state = self.find(run)
            if state is None or not state.kept.get("claimed"):
                return False
            with state.turn():
                # The number last: a kill in between costs a number, and no two runs get one.
                os.unlink(os.path.join(state.own, "position.json"))
                shutil.rmtree(state.own)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.base, OWN, "ids", str(state.kept["view_id"])))
            self.known.pop(run.journal_id, None)
            return True

    def claims(self) -> Iterator[RunState]:
        """Yield the claims among the newest runs."""
        for number in heapq.nlargest(_RECENT, self.numbers()):
            journal_id = _text(os.path.join(self.base, OWN, "ids", str(number)))
            kept = _load(self.base, journal_id or "")
            if kept is not None and isinstance(kept.get("claimed"), dict):
                yield RunState(self.base, kept)


def _empty(journal_id: str, number: int) -> dict[str, Any]:
    """Return how a run stands of which only the number is known."""
    return {
        "format": 1,
        "journal_id": journal_id,
        "view_id": number,
        "claimed": False,
        **cleared(),
        "metrics": None,
        "output": None,
    }


def cleared() -> dict[str, Any]:
    """Return how a run stands of which nothing was written; ``anew`` as in ``write``."""
    return {
        "position": [],
        "projector": 0,
        "anew": 0,
        "counts": {},
        "next_seqs": {},
        "facts": {},
    }


def _load(base: str, journal_id: str) -> dict[str, Any] | None:
    """Return the content of a run's ``position.json``, if it is there, and that run's."""
    if not _JOURNAL_ID.fullmatch(journal_id):
        return None
    try:
        kept = json.loads(read_file(os.path.join(base, OWN, journal_id, "position.json")))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or kept.get("journal_id") != journal_id:
        return None
    forms = {"view_id": int, "position": list, "counts": dict, "facts": dict, "next_seqs": dict}
    return kept if all(isinstance(kept.get(name), form) for name, form in forms.items()) else None


def _text(path: str) -> str | None:
    try:
        return read_regular(path, 100).decode()
    except (OSError, ValueError):
        return None
