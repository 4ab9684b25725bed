"""What people wrote about a run: its tags and its notes, as the journal's events tell of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from sacred.replayers.plain import plain_text

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
