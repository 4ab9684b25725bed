"""``${NAME}`` and ``${file:PATH}`` in what a person wrote: how secrets stay out of files and commands.

``${NAME}`` is a variable of the environment, ``${file:PATH}`` what a file holds, ``$${`` is ``${``.
Between ``://`` and ``@`` of an address what is put in is quoted, so that a password may hold any
character and is written nowhere twice.
"""

from __future__ import annotations

import os
import re
import stat
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from sacred.journal.regular_file import read_regular
from sacred.replayers.errors import ReplayConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["substituted"]

_PLACE = re.compile(r"\$\$(?=\{)|\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: No secret is longer (bytes).
_MOST = 64 * 1024


def substituted(
    text: str,
    where: str,
    folder: Path | None = None,
    warn: Callable[[str], None] | None = None,
) -> str:
    """Return a text with its variables and files put in.

    Parameters
    ----------
    text
        As a person wrote it.
    where
        What it is the text of, for sentences: ``views.lab.to``.
    folder
        As seen from where a file is named; the working folder if None.
    warn
        Called with a sentence for each file that everybody on this machine may read.

    Raises
    ------
    ReplayConfigError
        A variable is not set, a file can not be read; no value is in the sentence.
    """
    login = _login(text)

    def put_in(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        value = _value(match[1], where, folder, warn)
        if match.start() in login:
            return urllib.parse.quote(value, safe="")
        return value

    rest = _PLACE.sub("", text)
    if "${" in rest:
        raise ReplayConfigError(f"{where} has a ${{ without its }}: write ${{NAME}} or $${{")
    return _PLACE.sub(put_in, text)


def _login(text: str) -> range:
    """Return where user and password of an address stand in it."""
    masked = _PLACE.sub(lambda match: "x" * len(match[0]), text)
    begin = masked.find("://")
    if begin < 0:
        return range(0)
    server = re.match(r"[^/?#]*", masked[begin + 3 :])
    at = server[0].rfind("@") if server is not None else -1
    return range(begin + 3, begin + 3 + at) if at >= 0 else range(0)


def _value(name: str, where: str, folder: Path | None, warn: Callable[[str], None] | None) -> str:
    kind, colon, place = name.partition(":")
    if colon and kind == "file":
        path = _path(place, where, folder)
        content = _content(path, where)
        if warn is not None and _is_open_to_all(path):
            warn(f"{where} names the file {path}, which everybody here may read: chmod 600 {path}")
        return content
    if not _NAME.match(name):
        raise ReplayConfigError(
            f"{where} names ${{{name[:80]}}}, which is no variable: write ${{NAME}} or ${{file:PATH}}"
        )
    value = os.environ.get(name)
    if value is None:
        raise ReplayConfigError(
            f"{where} names ${{{name}}}, which the environment has not: set it, or write "
            "${file:PATH}"
        )
    if not value:
        raise ReplayConfigError(f"{where} names ${{{name}}}, which is empty: set it")
    return value


def _path(place: str, where: str, folder: Path | None) -> Path:
    for match in _VARIABLE.finditer(place):
        if match[1] not in os.environ:
            by = ""
            if match[1] == "CREDENTIALS_DIRECTORY":
                by = ", which systemd does for a unit with LoadCredential="
            raise ReplayConfigError(
                f"{where} names the file {place}, and the environment has no {match[1]}: set "
                f"it{by}, or write the whole path"
            )
    path = Path(os.path.expanduser(os.path.expandvars(place)))
    return (folder or Path()) / path


def _is_open_to_all(path: Path) -> bool:
    """Tell whether everybody on this machine may read a file: it, and the way to it."""
    if os.name == "nt":  # its rights are elsewhere
        return False
    try:
        place = path.resolve()
        way = all(folder.stat().st_mode & stat.S_IXOTH for folder in place.parents)
        return way and bool(place.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _content(path: Path, where: str) -> str:
    try:
        content = read_regular(path, _MOST).decode().rstrip("\r\n")
    except OSError as error:
        raise ReplayConfigError(
            f"{where} names the file {path}, which can not be read: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError:
        raise ReplayConfigError(f"{where} names the file {path}, which is no text") from None
    if not content or "\n" in content or "\0" in content:
        raise ReplayConfigError(f"{where} names the file {path}, which does not hold one line")
    return content
