"""What people wrote about a run: its tags and its note.

Events tell of them: those of the run's own journal (a run that was imported came with some), and then
those of the journal of notes beside it, which ``sacred tag`` and ``sacred note`` write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.journal.events import Event

__all__ = ["Annotations"]


class Annotations(NamedTuple):
    """Tags and notes of a run.

    Attributes
    ----------
    tags
        Each once, in the order in which they came.
    notes
        The text; None if there is none.
    """

    tags: tuple[str, ...] = ()
    notes: str | None = None

    @property
    def digest(self) -> str:
        """By which a view knows that it was told of these; empty if there are none."""
        if self == Annotations():
            return ""
        import hashlib

        text = repr((*self.tags, self.notes)).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:16]

    def after_all(self, events: Iterable[Event]) -> Annotations:
        """Return them as they are after some ``ANNOTATED`` events.

        Parameters
        ----------
        events
            In order.
        """
        said = self
        for event in events:
            said = said.after(event.fields)
        return said

    def after(self, fields: dict[str, Any]) -> Annotations:
        """Return them as they are after an ``ANNOTATED`` event; what else it says is left out.

        Parameters
        ----------
        fields
            The event's.
        """
        what, action = fields.get("what"), fields.get("action")
        text = plain_text(str(fields.get("value")))
        if what == "tag":
            others = tuple(tag for tag in self.tags if tag != text)
            if action == "remove":
                return self._replace(tags=others)
            return self if text in self.tags else self._replace(tags=(*self.tags, text))
        if what == "note":
            return self._replace(notes=None if action == "remove" else text)
        return self
