"""What of a user's values is recorded: ids as numbers, configurations without code and passwords."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sacred.core.changes import named
from sacred.core.config.captured_function import CapturedFunction
from sacred.core.items import items_of
from sacred.core.passwords import mask_password, masked_key, masked_within
from sacred.journal.codec import describe

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["as_it_was", "kinds_in", "number_of", "recordable"]

#: Containers of a configuration or result that may stand within one another.
_MAX_DEPTH = 200


def number_of(run_id: Any) -> int | None:
    """Return the number that an id is or spells; None for other texts.

    Sacred has ids of the command line and of file observers as text. Journals and the folders of
    a root know a number as a number, whoever gave it.
    """
    if isinstance(run_id, int) and not isinstance(run_id, bool):
        return run_id
    if not isinstance(run_id, str) or not run_id.isascii() or not run_id.isdigit():
        return None
    number = int(run_id[:19])
    return number if str(number) == run_id and 0 < number < 1 << 53 else None


def recordable(value: Any) -> Any:
    """Return a value without the modules and functions that a scope happened to define.

    Other objects stay; the journal keeps them as text that names them. Passwords in addresses are
    masked. A part that contains itself, or lies too deep, is replaced by a text that says so; no
    value makes this raise.
    """
    return _recordable(value, ())


def _recordable(value: Any, within: tuple[int, ...]) -> Any:
    if isinstance(value, str):
        return mask_password(value)
    if isinstance(value, bytes):
        return masked_within(value)
    if not isinstance(value, (dict, list)) and type(value) is not tuple:
        return value
    if id(value) in within:
        return named(value, "<contains itself>")
    if len(within) >= _MAX_DEPTH:
        return named(value, "<nested too deeply>")
    inside = (*within, id(value))
    try:
        if isinstance(value, dict):
            items = items_of(value)
            found: dict[Any, Any] = {}
            for key, item in items:
                if not _is_code(item):
                    found[masked_key(key, found)] = _recordable(item, inside)
            return found
        if isinstance(value, list):
            return [_recordable(item, inside) for item in value]
        return tuple([_recordable(item, inside) for item in value])
    except Exception:  # the methods of a user's class raise what they like
        return describe(value)


_CODE = (type(sys), type(number_of), type(len), CapturedFunction)


def _is_code(value: Any) -> bool:
    return isinstance(value, _CODE)


# -- what is recorded as something else -----------------------------------------------------------


def kinds_in(config: Any) -> list[list[Any]]:
    """Return where a configuration has paths and frozensets, which a journal has as texts and sets.

    Who goes on with the run needs them as they were: a text knows no ``/``.

    Returns
    -------
    list
        For each the keys that lead to it (in a list its index), and the name of its type.
    """
    found: list[list[Any]] = []
    try:
        _note_kinds(config, (), found)
    except Exception:  # the methods of a user's class raise what they like
        return found
    return found


def _note_kinds(value: Any, keys: tuple[Any, ...], found: list[list[Any]]) -> None:
    kind = _kind_of(value)
    if kind is not None:
        found.append([list(keys), kind])
    elif len(keys) >= _MAX_DEPTH:
        return
    elif isinstance(value, dict):
        for key, item in items_of(value):
            if type(item) not in _PLAIN:
                _note_kinds(item, (*keys, key), found)
    elif isinstance(value, list) or type(value) is tuple:
        for index, item in enumerate(value):
            if type(item) not in _PLAIN:
                _note_kinds(item, (*keys, index), found)


#: Most of what stands in a configuration.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def _kind_of(value: Any) -> str | None:
    if isinstance(value, frozenset):
        return "frozenset"
    pathlib: Any = sys.modules.get("pathlib")
    if pathlib is None or not isinstance(value, pathlib.PurePath):
        return None
    if isinstance(value, pathlib.Path):
        return "Path"
    is_windows = isinstance(value, pathlib.PureWindowsPath)
    return "PureWindowsPath" if is_windows else "PurePosixPath"


def as_it_was(recorded: Any, kinds: Any) -> Any:
    """Return a recorded configuration with its paths and frozensets.

    Parameters
    ----------
    recorded
        As the journal has it.
    kinds
        What :func:`kinds_in` said of it; what does not fit is passed over.
    """
    if not isinstance(kinds, list):
        return recorded
    entries = [entry for entry in kinds if isinstance(entry, (list, tuple)) and len(entry) == 2]
    found = [(tuple(keys), kind) for keys, kind in entries if isinstance(keys, (list, tuple))]
    try:
        return _as_it_was(recorded, found)
    except TypeError:  # what can be no key
        return recorded


def _as_it_was(value: Any, kinds: list[tuple[tuple[Any, ...], Any]]) -> Any:
    if not kinds:
        return value
    below: dict[Any, list[tuple[tuple[Any, ...], Any]]] = {}
    for keys, kind in kinds:
        if not keys:
            return _of_kind(value, kind)
        below.setdefault(keys[0], []).append((keys[1:], kind))
    if isinstance(value, dict):
        return {key: _as_it_was(item, below.get(key, [])) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items: Iterable[Any] = enumerate(value)
        return type(value)([_as_it_was(item, below.get(index, [])) for index, item in items])
    return value


def _of_kind(value: Any, kind: Any) -> Any:
    if kind == "frozenset" and isinstance(value, (set, frozenset)):
        return frozenset(value)
    if kind in {"Path", "PurePosixPath", "PureWindowsPath"} and isinstance(value, str):
        import pathlib

        return getattr(pathlib, kind)(value)
    return value
