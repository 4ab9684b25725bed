"""What was fetched of copies in a bucket before: a run that is as it was need not be fetched again.

It lies in ``<root>/.cache/merged/`` and may be thrown away at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

from sacred.journal.regular_file import open_regular, read_regular, replace_regular
from sacred.journal.run_files import names_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.journal.root import JournalRoot

__all__ = ["FetchedBefore", "files_digest"]

#: Some 150 bytes a run.
_MOST = 64 << 20


class FetchedBefore:
    """Which copy, by its manifest, is byte for byte which run of a root.

    Parameters
    ----------
    root
        Into which is merged.
    address
        Of the copies.
    """

    def __init__(self, root: JournalRoot, address: str) -> None:
        key = hashlib.sha256(address.encode()).hexdigest()[:12]
        self._root = root
        self._path = root.path / ".cache" / "merged" / f"{key}.json"
        self._known = self._load()
        self._changed = False

    def _load(self) -> dict[str, tuple[str, int, str]]:
        try:
            found = json.loads(read_regular(self._path, _MOST))
            return {
                str(name): (str(manifest), int(number), str(digest))
                for name, (manifest, number, digest) in found.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}

    def run(self, name: str, manifest: bytes) -> Path | None:
        """Return the folder of the run here that a copy is; None if that is not known any more.

        Its files are read: one that was damaged since is not the copy.

        Parameters
        ----------
        name
            Of the copy's folder.
        manifest
            What the copy says of itself now.
        """
        known = self._known.get(name)
        if known is None or known[0] != hashlib.sha256(manifest).hexdigest():
            return None
        folder = self._root.path / str(known[1])
        return folder if files_digest(folder) == known[2] else None

    def remember(self, name: str, manifest: bytes, fetched: Path, number: int) -> None:
        """Note that a copy was fetched, if the run of this number is the same byte for byte."""
        digest = files_digest(fetched)
        if digest is not None and digest == files_digest(self._root.path / str(number)):
            self._known[name] = (hashlib.sha256(manifest).hexdigest(), number, digest)
            self._changed = True

    def save(self) -> None:
        """Write it down, if there is anything new; in silence where that can not be done."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_regular(self._path, json.dumps(self._known) + "\n")


def files_digest(folder: Path) -> str | None:
    """Return what tells a run's files from all others, by names and content; None without any."""
    sha = hashlib.sha256()
    names = names_of_run(folder)
    try:
        for name in names:
            with os.fdopen(open_regular(folder / name), "rb") as file:
                content = hashlib.sha256()
                while piece := file.read(1 << 20):
                    content.update(piece)
            sha.update(f"{name}\0{content.hexdigest()}\n".encode())
    except OSError:
        return None
    return sha.hexdigest() if names else None
