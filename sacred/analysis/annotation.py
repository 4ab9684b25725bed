"""Saying something of a run: its tags and its note, as ``sacred tag`` and ``sacred note`` do.

What is said lies beside the run's journal (:mod:`sacred.journal.notes`) and changes nothing of it. A
tag that is there already, or is not there to be removed, is not written down again.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from sacred.journal.errors import RunNotFoundError
from sacred.journal.notes import Said, annotate
from sacred.replayers.annotations import Annotations
from sacred.replayers.errors import AnnotationError
from sacred.replayers.listing import outline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.journal.root import JournalRoot, RunFolder

__all__ = ["TagsChanged", "annotations_of", "change_tags", "checked_tag", "set_note", "tag_counts"]

#: The longest tag, and the longest note (characters).
_TAG, _NOTE = 200, 1_000_000


class TagsChanged(NamedTuple):
    """What became of a run's tags.

    Attributes
    ----------
    tags
        As they are now.
    added, removed
        What changed.
    lacked
        Tags that were to be removed and are not there.
    """

    tags: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    lacked: tuple[str, ...]


def checked_tag(text: str) -> str:
    """Return a tag without the space around it.

    Raises
    ------
    AnnotationError
        It is none: empty, longer than 200 characters, of several lines, or it begins with a sign,
        which on a command line says whether it is added or removed.
    """
    tag = text.strip()
    if not tag:
        raise AnnotationError("a tag is a word, not an empty text")
    if len(tag) > _TAG:
        raise AnnotationError(f"a tag has {_TAG} characters at most, this one {len(tag):,}: a note")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in tag):
        raise AnnotationError(f"a tag is one line of text, without control characters: {tag!r}")
    if tag[0] in "+-":
        raise AnnotationError(f"a tag begins with no sign, and {tag!r} does")
    return tag


def annotations_of(folder: RunFolder) -> Annotations:
    """Return what was said of a run, in its own journal and beside it.

    Never raises for what is in the folder.
    """
    return outline(folder).annotations


def change_tags(
    folder: RunFolder,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    *,
    author: str | None = None,
) -> TagsChanged:
    """Give a run tags, and take tags away.

    Parameters
    ----------
    folder
        The run's: it may be running, sealed or damaged.
    add, remove
        The tags.
    author
        Who says so; the user that the system knows if None.

    Returns
    -------
    What changed; it survives a power cut. Called again, nothing does.

    Raises
    ------
    AnnotationError
        One of them is no tag, or is to be added and removed at once.
    RunNotFoundError
        There is no run: its folder was removed, or nothing was ever written into it.
    JournalUnavailableError
        It can not be written.
    """
    wanted = tuple(dict.fromkeys(map(checked_tag, add)))
    unwanted = tuple(dict.fromkeys(map(checked_tag, remove)))
    both = set(wanted) & set(unwanted)
    if both:
        raise AnnotationError(f"{min(both)!r} is to be added and to be removed: say one of them")
    _check_written(folder)
    before = annotations_of(folder).tags
    added = tuple(tag for tag in wanted if tag not in before)
    removed = tuple(tag for tag in unwanted if tag in before)
    said = [Said("tag", "add", tag) for tag in added]
    said += [Said("tag", "remove", tag) for tag in removed]
    annotate(folder, said, author=author or _user())
    tags = (*(tag for tag in before if tag not in removed), *added)
    lacked = tuple(tag for tag in unwanted if tag not in before)
    return TagsChanged(tags, added, removed, lacked)


def set_note(folder: RunFolder, text: str | None, *, author: str | None = None) -> bool:
    """Give a run its note, in the place of the one that it has.

    Parameters
    ----------
    folder
        The run's: it may be running, sealed or damaged.
    text
        The note; None or an empty text takes it away. Space at its end is left out.
    author
        Who says so; the user that the system knows if None.

    Returns
    -------
    Whether that changed anything.

    Raises
    ------
    AnnotationError
        It is longer than a million characters.
    RunNotFoundError, JournalUnavailableError
        As by ``change_tags``.
    """
    note = (text or "").rstrip() or None
    if note is not None and len(note) > _NOTE:
        raise AnnotationError(
            f"a note has {_NOTE:,} characters at most, this one {len(note):,}: keep it as a file"
        )
    _check_written(folder)
    before = annotations_of(folder).notes
    if note == before:
        return False
    said = Said("note", "remove", before or "") if note is None else Said("note", "set", note)
    annotate(folder, [said], author=author or _user())
    return True


def tag_counts(root: JournalRoot) -> dict[str, int]:
    """Return how many runs of a root have each tag, the most frequent first.

    Raises
    ------
    NoRootError
    """
    counts: Counter[str] = Counter()
    for folder in root.runs():
        counts.update(annotations_of(folder).tags)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _check_written(folder: RunFolder) -> None:
    if folder.holds_nothing():
        raise RunNotFoundError(f"{folder.path} was claimed, and nothing was written: it is no run")


def _user() -> str | None:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return None
