"""Tags and notes in a run's document, where Omniboard has them: ``omniboard.tags``, ``omniboard.notes``.

People write them there, and in the journal (``sacred tag``, ``sacred note``). What is there from us is
remembered in ``_journal.annotations``; against that both sides are compared. A tag that either side
adds or takes away is added or taken away, and nothing else changes; a note that a person wrote there
stays, whatever the journal's is.
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
    """Return what takes the journal's tags and note into a document.

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
    there = board.get("tags", [])
    if isinstance(there, list):
        tags = _joined(there, ours.get("tags") or [], annotations.tags)
        _put(update, board, "tags", tags)
        _mark(update, ours, "tags", list(annotations.tags))
    note, before = board.get("notes"), ours.get("notes")
    # A note that we brought and that is gone was taken away by a person: another one may come.
    if (note == before or not note) and annotations.notes != before:
        _put(update, board, "notes", annotations.notes)
    _mark(update, ours, "notes", annotations.notes)
    return update


def _joined(there: list[Any], before: list[Any], now: tuple[str, ...]) -> list[Any]:
    """Return the tags that are there with what the journal changed since it was there last."""
    kept = [tag for tag in there if tag not in before or tag in now]
    return kept + [tag for tag in now if tag not in before and tag not in kept]


def _put(update: AnnotationUpdate, board: Mapping[str, Any], name: str, value: Any) -> None:
    """Have an entry of ``omniboard`` be a value, if it is not, and nobody changed it meanwhile."""
    if value == board.get(name) or not (value or board.get(name)):
        return
    place = f"omniboard.{name}"
    update.guard[place] = board.get(name, {"$exists": False})
    if value:
        update.fields[place] = value
    else:
        update.gone[place] = ""


def _mark(update: AnnotationUpdate, ours: Mapping[str, Any], name: str, value: Any) -> None:
    """Remember what the journal said of an entry."""
    if (value or None) == (ours.get(name) or None):
        return
    if value:
        update.fields[f"_journal.annotations.{name}"] = value
    else:
        update.gone[f"_journal.annotations.{name}"] = ""
