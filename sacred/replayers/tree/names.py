"""Names in the tree: of a run's folder by its id, and of files by what the user calls them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

__all__ = [
    "OWN_FILES",
    "artifact_file",
    "below",
    "first_names",
    "folder_name",
    "is_number",
    "shared_file",
    "shortened",
    "size",
    "view_id",
]

#: What of a run's folder is the tree's.
OWN_FILES = frozenset(
    {"run.json", "config.json", "cout.txt", "metrics.json", "info.json", ".journal"}
)
#: Folders beside those of the runs, by default; other names are given by options.
_OWN_FOLDERS = frozenset({"_sources", "_resources"})
#: Longest name of a file on the usual file systems.
NAME_BYTES = 255
#: A path of an artifact: below whatever folder systems take it (4,096 bytes in all on Linux).
_PATH_BYTES, _PATH_PARTS = 2000, 100
#: Longest id that names a folder: what is made beside it needs room, too.
_ID_BYTES = 200


def is_number(name: str) -> bool:
    """Tell whether a name counts among those that the next free number is beyond."""
    return name.isascii() and name.isdecimal() and len(name) <= 18


def folder_name(run_id: Any, taken: Container[str] = ()) -> str | None:
    """Return the name of the folder that a run of this id has, if it can have one.

    Parameters
    ----------
    run_id
        An integer above 0, or a text: one name without slashes, control characters, white space
        around it, or a dot in front, and not that of the folder of sources or resources.
    taken
        Names that stand for something else below the base.
    """
    if isinstance(run_id, int) and not isinstance(run_id, bool):
        return str(run_id) if 0 < run_id < 1 << 53 else None
    if not isinstance(run_id, str) or not run_id or run_id in taken:
        return None
    if run_id in _OWN_FOLDERS or run_id[0] == "." or "/" in run_id or "\\" in run_id:
        return None
    # A text that can be printed has no control characters, and nothing that is no character.
    if not run_id.isprintable() or run_id != run_id.strip() or size(run_id) > _ID_BYTES:
        return None
    return run_id


def view_id(name: str) -> int | str:
    """Return the id of the run whose folder has this name."""
    return int(name) if is_number(name) and name[0] != "0" else name


def shared_file(name: str, digest: str | None) -> str:
    """Return the name under which all runs share a source or a resource of this content."""
    stem, extension = os.path.splitext(os.path.basename(name.replace("\0", "_")))
    ending = f"_{digest}{extension}"
    return shortened(stem, size(ending)) + ending


def below(base: str, path: str) -> str | None:
    """Return a path relative to the base; None if it does not lie there."""
    inside = os.path.relpath(os.path.abspath(path), base)
    return None if inside.split(os.sep)[0] == os.pardir else inside


def first_names(base: str, places: Iterable[str]) -> set[str]:
    """Return the names right below the base that stand for places or lead to them."""
    return {inside.split(os.sep)[0] for place in places if (inside := below(base, place))}


def artifact_file(name: str, *, aside: bool = False, longest: int = NAME_BYTES) -> str:
    """Return under which path below the run's folder an artifact is stored.

    That is its name, if this is the path of a file below the folder and none of the tree's own;
    else the name's last part with a part of a checksum, which tells it from others.

    Parameters
    ----------
    name
        What the user calls it.
    aside
        True: the checksum in any case; another artifact is in the way.
    longest
        What each part of the path may have (bytes).
    """
    if not aside and _is_path(name, longest):
        return name
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(c if c.isprintable() else "_" for c in last).lstrip(".")
    stem, extension = os.path.splitext(plain)
    digest = hashlib.md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    ending = f"-{digest[:8]}{shortened(extension, 200)}"
    return shortened(stem or "artifact", size(ending), longest) + ending


def _is_path(name: str, longest: int) -> bool:
    """Tell whether a name is the path of a file below the run's folder, and not the tree's."""
    parts = name.split("/")
    if "\0" in name or "\\" in name or size(name) > _PATH_BYTES or len(parts) > _PATH_PARTS:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    if any(part in {"", ".", ".."} or size(part) > longest for part in parts):
        return False
    return parts[0] not in OWN_FILES


def size(name: str) -> int:
    """Return the length of a name in bytes."""
    return len(name.encode("utf-8", "surrogatepass"))


def shortened(stem: str, room: int, longest: int = NAME_BYTES) -> str:
    """Cut a name so that it has room for so many bytes more (the rest of it tells them apart)."""
    while stem and size(stem) + room > longest:
        stem = stem[:-1]
    return stem
