"""The outbox: what a place that keeps no memory of its own was told of a run.

A chat can not be asked what it was told, so this machine remembers it, beside the run: one entry
for each thing a message is about, in one of three states.

``pending``
    It is to be sent, and surely was not: it was not tried, or was refused.
``sending``
    It is being sent; it may have arrived. That is written down before a byte leaves.
``sent``
    The place said that it has it.

Whoever finds an entry in ``sending`` can not know whether the message arrived, and sends it again:
of one that a kill fell on, at most one repeat for each kill. Nothing that is ``sent`` is sent again.

The file is replaced whole: written aside, made durable, renamed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.journal.errors import JournalError
from sacred.journal.new_file import written_aside
from sacred.journal.position import Position
from sacred.journal.regular_file import open_regular, read_regular
from sacred.journal.root import fsync_folder
from sacred.replayers.disk import errors_of_notes
from sacred.replayers.errors import TerminalSinkError, TransientSinkError
from sacred.replayers.sink import ViewPosition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["PENDING", "SENDING", "SENT", "Ledger", "Outbox", "OutboxEntry"]

PENDING, SENDING, SENT = "pending", "sending", "sent"

_FORMAT = 1
#: No outbox is larger (bytes): it holds a configuration, at most.
_MOST = 64 << 20
#: Seconds to wait for another replayer that sends messages of this run, and between two looks.
_PATIENCE, _PAUSE = 60.0, 0.02
_TIME = "__time__"


class OutboxEntry(NamedTuple):
    """A message, and how far it is.

    Attributes
    ----------
    rule, event
        What it is about; together they are unique among the messages of a run.
    state
        ``pending``, ``sending`` or ``sent``.
    message
        What is sent, plain data without secrets; None once it was.
    """

    rule: str
    event: str
    state: str
    message: dict[str, Any] | None = None


class Ledger(NamedTuple):
    """All that is remembered of a run.

    Attributes
    ----------
    journal_id
        Whose it is.
    stands
        Where the view stands.
    revision
        Counts the changes: by it one of two replayers sees that the other was there.
    kept
        The names of the fields that are kept.
    fields
        Of the run's document, what templates need.
    entries
        In the order in which they came about.
    """

    journal_id: str
    stands: ViewPosition
    revision: int = 0
    kept: frozenset[str] = frozenset()
    fields: dict[str, Any] = {}  # noqa: RUF012 - never changed in place
    entries: tuple[OutboxEntry, ...] = ()

    def has(self, rule: str, event: str) -> bool:
        """Tell whether there is an entry, in whatever state."""
        return any((entry.rule, entry.event) == (rule, event) for entry in self.entries)

    def in_state(self, number: int, state: str) -> Ledger:
        """Return the ledger with one entry, by its place, in another state."""
        changed = self.entries[number]._replace(state=state)
        if state == SENT:
            changed = changed._replace(message=None)
        before, after = self.entries[:number], self.entries[number + 1 :]
        return self._replace(entries=(*before, changed, *after))

    def to_json(self) -> str:
        """Return the text of the file."""
        stands = self.stands
        found = {
            "format": _FORMAT,
            "journal_id": self.journal_id,
            "view_id": stands.view_id,
            "position": stands.position.to_wire(),
            "ahead": stands.ahead.to_wire(),
            "projector": stands.projector,
            "order": stands.order,
            "spool": stands.spool,
            "claimed": stands.claimed,
            "revision": self.revision,
            "kept": sorted(self.kept),
            "fields": self.fields,
            "entries": [list(entry) for entry in self.entries],
        }
        return json.dumps(found, default=_encoded)

    @classmethod
    def from_json(cls, text: bytes) -> Ledger:
        """Read what ``to_json`` gave; ValueError if it is something else."""
        found = json.loads(text, object_hook=_decoded)
        try:
            if found["format"] != _FORMAT:
                raise ValueError("of another version")
            stands = ViewPosition(
                found["view_id"],
                Position.from_wire(found["position"]),
                int(found["projector"]),
                str(found["order"]),
                Position.from_wire(found["ahead"]),
                claimed=bool(found["claimed"]),
                spool=int(found["spool"]),
            )
            entries = tuple(OutboxEntry(*entry) for entry in found["entries"])
            return cls(
                str(found["journal_id"]),
                stands,
                int(found["revision"]),
                frozenset(found["kept"]),
                dict(found["fields"]),
                entries,
            )
        except (KeyError, TypeError, JournalError) as error:
            raise ValueError("not an outbox") from error


class Outbox:
    """Where the ledgers of a view are kept.

    Parameters
    ----------
    key
        The key of the view's specification.
    folder
        The ``views`` folder of the run. None: they are kept in memory, for as long as this object
        lives.

    Notes
    -----
    Every method raises ``TransientSinkError`` or ``TerminalSinkError`` for what the disk does.
    """

    def __init__(self, key: str, folder: Path | None = None) -> None:
        self._key = key
        self._folder = folder
        self._memory: dict[str, Ledger] = {}

    @property
    def path(self) -> Path | None:
        """The file, which need not be there; None in memory."""
        return self._folder / f".{self._key}.outbox" if self._folder is not None else None

    def load(self, journal_id: str) -> Ledger | None:
        """Return what is remembered of a run; None if that is nothing."""
        path = self.path
        if path is None:
            return self._memory.get(journal_id)
        with self._disk_errors():
            try:
                content = read_regular(path, _MOST)
            except FileNotFoundError:
                return None
        try:
            ledger = Ledger.from_json(content)
        except (ValueError, RecursionError):
            raise TerminalSinkError(
                f"{path} does not say what was sent, or is of a newer version: move it away, and "
                "sacred-replay --rebuild sends all messages of this run again"
            ) from None
        return ledger if ledger.journal_id == journal_id else None

    def save(self, ledger: Ledger) -> Ledger:
        """Remember it, durably; return it with its new revision."""
        ledger = ledger._replace(revision=ledger.revision + 1)
        path = self.path
        if path is None:
            self._memory[ledger.journal_id] = ledger
            return ledger
        with self._disk_errors():
            path.parent.mkdir(exist_ok=True)
            self._remove_halves(path)
            with written_aside(path, path.parent) as file:
                file.write(ledger.to_json().encode() + b"\n")
            fsync_folder(path.parent)
        return ledger

    @staticmethod
    def _remove_halves(path: Path) -> None:
        """Remove what a kill left half written: nobody else writes while the lock is held."""
        for name in os.listdir(path.parent):
            if name.startswith(f".{path.name}."):
                with contextlib.suppress(OSError):
                    os.unlink(path.parent / name)

    def remove(self, journal_id: str) -> None:
        """Forget a run."""
        self._memory.pop(journal_id, None)
        path = self.path
        if path is not None:
            with self._disk_errors(), contextlib.suppress(FileNotFoundError):
                path.unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other replayers of this run away, those of other processes too."""
        if self._folder is None:
            yield
            return
        try:
            import fcntl
        except ImportError:
            yield
            return
        with self._disk_errors():
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f".{self._key}.lock"
            descriptor = open_regular(path, os.O_CREAT | os.O_RDWR)
        try:
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TransientSinkError(
                            "another replayer is sending the messages of this run"
                        ) from None
                    time.sleep(_PAUSE)
                    continue
                except OSError:  # a file system without locks
                    pass
                break
            yield
        finally:
            os.close(descriptor)

    def _disk_errors(self) -> AbstractContextManager[None]:
        return errors_of_notes("nothing is sent", self._folder)


def _encoded(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return {_TIME: value.isoformat()}
    return str(value)


def _decoded(found: dict[str, Any]) -> Any:
    if found.keys() == {_TIME} and isinstance(found[_TIME], str):
        with contextlib.suppress(ValueError):
            return dt.datetime.fromisoformat(found[_TIME])
    return found
