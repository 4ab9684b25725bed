"""Settings that a run needs and can not use: told before it begins, and not when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sacred.core.settings import SETTINGS, JournalSettingError, collection_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SettingChoiceError", "SettingTypeError", "check_settings"]

_SOURCES = ("none", "imported", "sys", "dir")
_DEPENDENCIES = ("none", "imported", "sys", "pkg")


class SettingChoiceError(JournalSettingError, ValueError, KeyError):
    """A setting has none of the values that it can have. Sacred raises a ``KeyError``."""

    def __str__(self) -> str:
        """Return the sentence itself (``KeyError`` would show its ``repr``)."""
        return str(self.args[0])


class SettingTypeError(JournalSettingError, TypeError, ValueError):
    """A setting has a value of a kind that it can not have. Sacred raises a ``TypeError``."""


def check_settings() -> None:
    """See that a run can use the settings of this moment.

    Raises
    ------
    JournalSettingError
        It can not. The sentence names the setting, and what it can be. It is a ``KeyError`` where
        the value is none of those that there are, and a ``TypeError`` where it is of a wrong kind.
    """
    _check_choice("CAPTURE_MODE", SETTINGS.CAPTURE_MODE, ("no", "sys", "fd"))
    _check_strategy("DISCOVER_SOURCES", _SOURCES)
    _check_strategy("DISCOVER_DEPENDENCIES", _DEPENDENCIES)
    colour = SETTINGS.COMMAND_LINE.COLOR
    _check_choice("COMMAND_LINE.COLOR", colour, ("auto", "always", "never"), any_case=True)
    beat = SETTINGS.DEFAULT_BEAT_INTERVAL
    try:
        float(beat)
    except (TypeError, ValueError):
        raise SettingTypeError(
            f"SETTINGS.DEFAULT_BEAT_INTERVAL must be a number of seconds, not {beat!r}.",
            print_traceback=False,
        ) from None
    collection_settings()


def _check_strategy(name: str, known: Sequence[str]) -> None:
    value = SETTINGS[name]
    if isinstance(value, str) and value in known:
        return
    # People may have added one of their own.
    from sacred.core import dependencies

    table = f"{'source' if name == 'DISCOVER_SOURCES' else 'dependency'}_discovery_strategies"
    _check_choice(name, value, [*known, *(getattr(dependencies, table).keys() - {*known})])


def _check_choice(name: str, value: Any, known: Iterable[str], *, any_case: bool = False) -> None:
    if isinstance(value, str) and (value.lower() if any_case else value) in known:
        return
    choices = ", ".join(map(repr, known))
    raise SettingChoiceError(
        f"SETTINGS.{name} is {value!r}. Set it to one of {choices}.",
        print_traceback=False,
    )
