"""Operations on whole configurations."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sacred.core.config.custom_containers import DogmaticDict, DogmaticList
from sacred.core.config.errors import InvalidKeyError
from sacred.core.settings import SETTINGS
from sacred.journal.integers import text_of

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Mapping

    from sacred.core.config.config_summary import ConfigSummary

    PYTHON_IDENTIFIER: re.Pattern[str]

__all__ = [
    "CONTAINS_ITSELF",
    "PYTHON_IDENTIFIER",
    "assert_is_valid_key",
    "chain_evaluate_config_scopes",
    "dogmatize",
    "normalize_numpy",
    "normalize_or_die",
    "recursive_fill_in",
    "restore_fixed",
    "undogmatize",
]


def __getattr__(name: str) -> Any:
    """Make the pattern that other packages import, which we do not need, when they do."""
    if name != "PYTHON_IDENTIFIER":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import re

    pattern = globals()[name] = re.compile("^[a-zA-Z_][_a-zA-Z0-9]*$")
    return pattern


#: Of a value, as the end of a sentence.
CONTAINS_ITSELF = "contains itself, or is nested too deeply: a configuration is a tree of values."

#: Keys that mean something to jsonpickle, which reads what is stored.
_RESERVED = frozenset(
    "py/" + name
    for name in [
        "bytes",
        "function",
        "id",
        "initargs",
        "iterator",
        "mod",
        "newargs",
        "newargsex",
        "newobj",
        "object",
        "property",
        "reduce",
        "ref",
        "repr",
        "seq",
        "set",
        "state",
        "tuple",
        "type",
    ]
)


def assert_is_valid_key(key: Any) -> None:
    """Refuse a key that the settings do not allow in a configuration.

    Raises
    ------
    InvalidKeyError
        If ``SETTINGS.CONFIG.ENFORCE_...`` forbids the key. It is a ``KeyError``.
    """
    rules = SETTINGS.CONFIG
    if not isinstance(key, str):
        if rules.ENFORCE_STRING_KEYS:
            raise _refused(
                f'Invalid key "{text_of(key)}". Config-keys have to be strings, but was {type(key)}',
                "ENFORCE_STRING_KEYS",
            )
        return
    if rules.ENFORCE_KEYS_MONGO_COMPATIBLE:
        if not key:
            raise _refused(
                'Invalid key "". Config-keys cannot be empty', "ENFORCE_KEYS_MONGO_COMPATIBLE"
            )
        if "." in key or key[0] == "$":
            raise _refused(
                f'Invalid key "{key}". Config-keys cannot contain "." or start with "$"',
                "ENFORCE_KEYS_MONGO_COMPATIBLE",
            )
    if rules.ENFORCE_KEYS_JSONPICKLE_COMPATIBLE and (key in _RESERVED or key.startswith("json://")):
        raise _refused(
            f'Invalid key "{key}". Config-keys cannot be one of the reserved jsonpickle tags: '
            f"{', '.join(sorted(_RESERVED))}",
            "ENFORCE_KEYS_JSONPICKLE_COMPATIBLE",
        )
    if rules.ENFORCE_VALID_PYTHON_IDENTIFIER_KEYS and not (key.isascii() and key.isidentifier()):
        raise _refused(
            f'Key "{key}" is not a valid python identifier', "ENFORCE_VALID_PYTHON_IDENTIFIER_KEYS"
        )
    if rules.ENFORCE_KEYS_NO_EQUALS and "=" in key:
        raise _refused(
            f'Invalid key "{key}". Config keys may not contain an equals sign ("=")',
            "ENFORCE_KEYS_NO_EQUALS",
        )


def _refused(problem: str, rule: str) -> InvalidKeyError:
    return InvalidKeyError(
        f"{problem}.", f"Rename it, or allow such keys: SETTINGS.CONFIG.{rule} = False."
    )


def normalize_numpy(obj: Any) -> Any:
    """Return a numpy scalar as the Python number that it is, anything else as it is."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(obj, numpy.generic):
        return obj.item()
    return obj


def normalize_or_die(obj: Any) -> Any:
    """Return ``obj`` made of plain dictionaries and lists, its keys checked.

    Dictionaries, lists and tuples are copied at every level (tuples become lists) and numpy
    scalars become numbers; everything else is kept as it is.

    Raises
    ------
    InvalidKeyError
        If a key is not allowed; it names the keys that lead there.
    """
    if isinstance(obj, dict):
        result = {}
        for key, value in obj.items():
            assert_is_valid_key(key)
            try:
                result[key] = normalize_or_die(value)
            except InvalidKeyError as error:
                error.above = (text_of(key), *error.above)
                raise
        return result
    if isinstance(obj, (list, tuple)):
        return [normalize_or_die(value) for value in obj]
    return normalize_numpy(obj)


def recursive_fill_in(config: dict[Any, Any], preset: Mapping[Any, Any]) -> None:
    """Add to ``config``, in place and at every level, what only ``preset`` has."""
    for key, value in preset.items():
        if key not in config:
            config[key] = value
        elif isinstance(value, dict) and isinstance(config[key], dict):
            recursive_fill_in(config[key], value)


def restore_fixed(config: dict[Any, Any], fixed: Mapping[Any, Any]) -> None:
    """Put the fixed values into ``config``, in place and at every level, as they were given."""
    for key, value in fixed.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            restore_fixed(config[key], value)
        else:
            config[key] = _copied(value)


def _copied(value: Any) -> Any:
    """Return a copy down to the values that are no containers, of the same types."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return tuple([_copied(item) for item in value]) if type(value) is tuple else value


def chain_evaluate_config_scopes(
    config_scopes: Iterable[Callable[..., ConfigSummary]],
    fixed: Mapping[str, Any] | None = None,
    preset: Mapping[str, Any] | None = None,
    fallback: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[ConfigSummary]]:
    """Evaluate configurations one after the other, each with the result of those before.

    Parameters
    ----------
    config_scopes
        Called with ``fixed``, ``preset`` and ``fallback``.
    fixed
        Values that nothing can change. They are part of the result.
    preset
        Values that the first configuration starts from. They are part of the result.
    fallback
        Values that can be read. They are no part of the result.

    Returns
    -------
    (configuration, summaries)
        What the last one gave, and what each of them gave.
    """
    fixed = fixed or {}
    final = dict(preset or {})
    summaries = []
    for scope in config_scopes:
        summary = scope(fixed=fixed, preset=final, fallback=fallback or {})
        summaries.append(summary)
        final.update(summary)
    if not summaries:
        final.update(fixed)
    return undogmatize(final), summaries


def dogmatize(obj: Any) -> Any:
    """Return ``obj`` with dictionaries and lists that keep their values against assignments."""
    if isinstance(obj, dict):
        return DogmaticDict({key: dogmatize(value) for key, value in obj.items()})
    if isinstance(obj, list):
        return DogmaticList([dogmatize(value) for value in obj])
    if isinstance(obj, tuple):
        return tuple(dogmatize(value) for value in obj)
    return obj


def undogmatize(obj: Any) -> Any:
    """Return ``obj`` with plain dictionaries and lists."""
    if isinstance(obj, DogmaticDict):
        return {key: undogmatize(value) for key, value in obj.items()}
    if isinstance(obj, DogmaticList):
        return [undogmatize(value) for value in obj]
    if isinstance(obj, tuple):
        return tuple(undogmatize(value) for value in obj)
    return obj
