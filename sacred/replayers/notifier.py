"""What the sinks have in common that send messages: a chat, somebody's own web hook.

A chat has no document of a run that could be looked up. What a sink of this kind keeps of a run is
its outbox, on this machine: where it stands, what was sent, and the fields that templates will name.
:class:`sacred.replayers.notification_contract.NotificationContract` says what may be believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sacred.journal.position import Position
from sacred.replayers.errors import SinkError, ViewMovedError
from sacred.replayers.messages import (
    RULES,
    Occasion,
    fields_for,
    occasions,
    run_facts,
    write_text,
)
from sacred.replayers.outbox import PENDING, SENDING, SENT, Ledger, Outbox, OutboxEntry
from sacred.replayers.patience import Patience
from sacred.replayers.posting import check_pause
from sacred.replayers.sink import FieldsChanged, ViewPosition, wanted_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.replayers.posting import Answer, Place
    from sacred.replayers.sink import Batch, FileEntry, RunKey, SinkSpec

__all__ = ["NotificationSink"]


class NotificationSink:
    """Sends a message for each thing that happens to a run.

    A subclass says what a message is (``compose``), how it is sent (``deliver``) and what an answer
    means (``judge``).

    Parameters
    ----------
    spec
        The view. Its option ``texts`` holds templates by rule: None sends none, and of a rule that
        is not named there the default is sent.
    """

    rewrites: frozenset[str] = frozenset()
    #: The default templates, by rule.
    defaults: ClassVar[Mapping[str, str]] = {}

    def __init__(self, spec: SinkSpec) -> None:
        self.spec = spec
        given = {**self.defaults, **(spec.options.get("texts") or {})}
        self.texts: dict[str, str] = {rule: given[rule] for rule in RULES if given.get(rule)}
        # A template that a run can not fill in gives way to the default, which needs its own.
        defaults = {rule: self.defaults[rule] for rule in self.texts if rule in self.defaults}
        self._kept = fields_for(self.texts) | fields_for(defaults) | self.needs()
        self._outbox = Outbox(spec.key)
        self._seen: dict[str, int] = {}
        self._patience: Patience | None = None

    # -- of the kind -----------------------------------------------------------------------------

    @property
    def place(self) -> Place:
        """Where messages go."""
        raise NotImplementedError

    def needs(self) -> frozenset[str]:
        """Return the fields of a run's document that ``compose`` needs beside those of templates."""
        return frozenset()

    def compose(
        self,
        occasion: Occasion,
        text: str,
        fields: Mapping[str, Any],
        run: RunKey,
    ) -> dict[str, Any]:
        """Return the message, as plain data without secrets."""
        raise NotImplementedError

    def deliver(self, message: Mapping[str, Any], mark: str) -> Answer:
        """Send it and return the answer; ``mark`` is the same whenever this message is sent.

        Raises
        ------
        SinkError
            There was no answer: nobody knows whether the place has the message.
        """
        raise NotImplementedError

    def judge(self, answer: Answer) -> None:
        """Raise a ``SinkError`` if an answer says that the place does not have the message."""
        raise NotImplementedError

    # -- the protocol of a sink ------------------------------------------------------------------

    def attend(self, folder: RunFolder) -> None:
        """Keep the outbox beside the run."""
        self._outbox = Outbox(self.spec.key, folder.views)
        self._patience = Patience(folder.root, self.spec.key)

    def open(self) -> None:
        """Do nothing but raise while the place wants to be left alone: it is asked by sending."""
        if self._patience is not None:
            self._patience.take_up(self.place)
        check_pause(self.place)

    def claim(self, run: RunKey) -> Any:
        """Return the id that the run has: a chat gives none, and two runs may have the same."""
        with self._outbox.locked():
            ledger = self._outbox.load(run.journal_id)
            if ledger is None:
                wanted = wanted_id(run.run_id)
                view_id = wanted if wanted is not None else run.run_id
                if not isinstance(view_id, (int, str)) or isinstance(view_id, bool):
                    view_id = run.journal_id
                stands = ViewPosition(view_id, Position(), 0, claimed=True)
                ledger = self._outbox.save(Ledger(run.journal_id, stands, kept=self._kept))
            return ledger.stands.view_id

    def clear_claims(self, max_age: float) -> int:  # noqa: ARG002 - nobody else sees a claim here
        """Return 0: a claim is a file beside the run, and goes with it."""
        return 0

    def release(self, run: RunKey) -> bool:
        """Take a claim back, if there is nothing but it."""
        with self._outbox.locked():
            ledger = self._outbox.load(run.journal_id)
            if ledger is None or not ledger.stands.claimed:
                return False
            self._outbox.remove(run.journal_id)
            return True

    def position(self, run: RunKey) -> ViewPosition | None:
        """Return where the run's messages stand.

        At the beginning, if the templates name what was not kept by then: all comes again, and
        what was sent stays sent.
        """
        with self._outbox.locked():
            ledger = self._outbox.load(run.journal_id)
            if ledger is None:
                return None
            self._seen[run.journal_id] = ledger.revision
        if not self._kept <= ledger.kept:
            return ledger.stands._replace(position=Position(), ahead=Position(), spool=0)
        return ledger.stands

    def write(self, batch: Batch) -> None:
        """Send what is due, and move the position when all of it arrived.

        Where sending fails the messages stay in the outbox, and the position where it was.
        """
        run = batch.run
        with self._outbox.locked():
            ledger = self._outbox.load(run.journal_id)
            if ledger is None:
                raise ViewMovedError("the outbox of the run is not there any more")
            if ledger.revision != self._seen.get(run.journal_id):
                raise ViewMovedError("another replayer wrote this run meanwhile")
            fields = self._fields_after(ledger, batch)
            entries = self._entries_after(ledger, fields, run)
            is_waiting = any(entry.state != SENT for entry in entries)
            if fields == ledger.fields and not is_waiting and not batch.complete:
                return  # points and output are nothing to a chat: they may come again
            begun = ledger.stands._replace(claimed=False, projector=batch.projector)
            ledger = ledger._replace(fields=fields, entries=entries, kept=self._kept, stands=begun)
            ledger = self._send(ledger, run)
            stands = ViewPosition(
                ledger.stands.view_id,
                batch.position,
                batch.projector,
                batch.order,
                batch.position,
                spool=batch.spool,
            )
            self._save(ledger._replace(stands=stands))

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:  # noqa: ARG002
        """Do nothing: a message names no file."""
        return entry.digest

    def reset(self, run: RunKey) -> None:
        """Forget where the run stands, but neither its id nor what was sent.

        What was said can not be unsaid: a run that is written anew is not announced again.
        """
        with self._outbox.locked():
            ledger = self._outbox.load(run.journal_id)
            if ledger is None:
                return
            stands = ViewPosition(ledger.stands.view_id, Position(), 0)
            self._save(ledger._replace(stands=stands, fields={}, kept=self._kept))

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    # -- one batch -------------------------------------------------------------------------------

    def _save(self, ledger: Ledger) -> Ledger:
        ledger = self._outbox.save(ledger)
        self._seen[ledger.journal_id] = ledger.revision
        return ledger

    def _fields_after(self, ledger: Ledger, batch: Batch) -> dict[str, Any]:
        fields = {name: value for name, value in ledger.fields.items() if name in self._kept}
        for change in batch.changes:
            if isinstance(change, FieldsChanged):
                for name in change.removed:
                    fields.pop(name, None)
                for name in change.fields.keys() & self._kept:
                    fields[name] = _named_files(name, change.fields[name])
        return fields

    def _entries_after(
        self, ledger: Ledger, fields: Mapping[str, Any], run: RunKey
    ) -> tuple[OutboxEntry, ...]:
        entries = ledger.entries
        for occasion in occasions(fields):
            text = self.texts.get(occasion.rule)
            if text is None or ledger.has(*occasion):
                continue
            facts = run_facts(occasion.rule, run.run_id, fields)
            default = self.defaults.get(occasion.rule, text)
            said = write_text(text, facts, default)
            message = self.compose(occasion, said, fields, run)
            entries = (*entries, OutboxEntry(*occasion, PENDING, message))
        return entries

    def _send(self, ledger: Ledger, run: RunKey) -> Ledger:
        """Send what was not sent; the last "sent" is saved by who moves the position."""
        for number, entry in enumerate(ledger.entries):
            if entry.state == SENT or entry.message is None:
                continue
            try:
                check_pause(self.place)
            except SinkError:
                self._save(ledger)
                raise
            ledger = self._save(ledger.in_state(number, SENDING))
            answer = self.deliver(entry.message, _mark(run, entry))
            try:
                self.judge(answer)
            except SinkError:
                self._save(ledger.in_state(number, PENDING))
                if self._patience is not None:
                    self._patience.keep(self.place)
                raise
            ledger = ledger.in_state(number, SENT)
        return ledger


def _mark(run: RunKey, entry: OutboxEntry) -> str:
    """Return what is the same for the same message, whenever and by whomever it is sent."""
    import hashlib

    text = f"{run.journal_id}\n{entry.rule}\n{entry.event}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _named_files(name: str, value: Any) -> Any:
    """Return a field as it can be kept: of a source its name and checksum, as Sacred has them."""
    if name != "experiment" or not isinstance(value, dict):
        return value
    sources = [[entry.name, entry.md5] for entry in value.get("sources") or ()]
    return {**value, "sources": sources}
