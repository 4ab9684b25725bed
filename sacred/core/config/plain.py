"""A configuration made of what any reader of a file knows."""

from __future__ import annotations

import os
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from sacred.core.config.captured_function import CapturedFunction
from sacred.journal.integers import text_of, whole_number

__all__ = ["plain_value"]


_CODE = (ModuleType, FunctionType, BuiltinFunctionType, CapturedFunction)


def plain_value(value: Any) -> Any:
    """Return a copy of ``value`` made of what JSON can hold.

    Numpy scalars and arrays become numbers and lists, tuples and sets lists, keys and paths text,
    integers of more than 4,300 digits hexadecimal text.
    Modules and functions, which scopes happen to define, are left out of dictionaries; every other
    object becomes text that names it.
    """
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        return whole_number(value)
    if isinstance(value, dict):
        return {
            text_of(key): plain_value(entry)
            for key, entry in value.items()
            if not isinstance(entry, _CODE)
        }
    if isinstance(value, (list, tuple)):
        return [plain_value(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain_value(entry) for entry in value), key=repr)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return plain_value(value.tolist())
    # Subclasses, such as members of an IntEnum, are the number or text that they are.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return plain_value(int.__int__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str):
        return repr(value)
    module = getattr(value, "__module__", None)
    return f"{module}.{name}" if isinstance(module, str) else name
