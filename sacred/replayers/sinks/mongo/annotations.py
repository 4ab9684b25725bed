"""Tags and notes in a run's document, where Omniboard has them: ``omniboard.tags``, ``omniboard.notes``.

They belong to the person who writes them there. Those of the journal are written where there are none,
and go on only as long as they are as they were written: what is there from us is remembered in
``_journal.annotations``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sacred.replayers.annotations import Annotations

__all__ = ["AnnotationUpdate", "annotation_update"]


class AnnotationUpdate(NamedTuple):
    """Parts of the one update of a run's document.

    Attributes
    ----------
    guard
        What has to be as it was when it was looked at: a person may write meanwhile.
    fields, gone
        For ``$set`` and ``$unset``.
    """

    guard: dict[str, Any]
    fields: dict[str, Any]
    gone: dict[str, str]


def annotation_update(found: Mapping[str, Any], annotations: Annotations) -> AnnotationUpdate:
    """Return what takes the journal's tags and notes into a document.

    Parameters
    ----------
    found
        The document's ``omniboard`` and ``_journal.annotations``, as they are now.
    annotations
        Those of the journal.
    """
    update = AnnotationUpdate({}, {}, {})
    board = found.get("omniboard", {})
    if not isinstance(board, dict):
        return update  # another program's
    ours = (found.get("_journal") or {}).get("annotations") or {}
    for name, value in (("tags", list(annotations.tags)), ("notes", annotations.notes)):
        place, mark = f"omniboard.{name}", f"_journal.annotations.{name}"
        if name in ours:
            if board.get(name) != ours[name]:
                continue  # a person's by now
            update.guard[place] = ours[name]
        elif name in board or not value:
            continue
        else:
            update.guard[place] = {"$exists": False}
        if value:
            update.fields[place] = update.fields[mark] = value
        else:
            update.gone[place] = update.gone[mark] = ""
    return update
