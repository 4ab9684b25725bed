"""What can be wrong with a configuration, each told in a sentence.

Sacred answers most of this with an error of Python's own; each class here derives from the one that
it raises there, so that programs which catch that go on doing so. The text names the entry, where
it is written, and what to do.
"""

from __future__ import annotations

from sacred.core.errors import ConfigError, NamedConfigNotFoundError, SacredError

__all__ = [
    "CommandNotFoundError",
    "ConfigFileAccessError",
    "ConfigFileError",
    "ConfigTypeError",
    "IngredientNotFoundError",
    "IngredientPathError",
    "InvalidKeyError",
    "ScopeArgumentError",
]


class _ConfigSentence(ConfigError):
    """An error whose sentence is all there is to say: no stack, no list of values."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, print_conflicting_configs=False, print_traceback=False)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}".rstrip()


class InvalidKeyError(_ConfigSentence, KeyError):
    """A key that no configuration may have.

    Attributes
    ----------
    problem, remedy
        What is wrong with it, and what to do.
    above
        The keys that lead to it, the outermost first.
    place
        What it was found in; None where nobody knows.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.above: tuple[str, ...] = ()
        self.place: str | None = None

    def __str__(self) -> str:
        where = f'in "{".".join(self.above)}"' if self.above else ""
        place = f"{'of' if where else 'in'} {self.place}" if self.place else ""
        found = " ".join(part for part in (where, place) if part)
        middle = f"It is {found}." if found else ""
        return " ".join(part for part in (self.problem, middle, self.remedy) if part)


class ScopeArgumentError(_ConfigSentence, KeyError):
    """A config scope reads an entry that there is not."""


class ConfigTypeError(_ConfigSentence, TypeError):
    """Something that a configuration is built of is of a kind that it can not be."""


class ConfigFileError(_ConfigSentence, ValueError):
    """A file that is no configuration, or may not be read as one."""


class ConfigFileAccessError(SacredError, OSError):
    """A configuration file that the system does not let us read or write."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


class CommandNotFoundError(SacredError, KeyError):
    """A command that there is not."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)

    def __str__(self) -> str:
        """Return the sentence itself (``KeyError`` would show its ``repr``)."""
        return str(self.args[0])


class IngredientNotFoundError(NamedConfigNotFoundError, KeyError):
    """The name of a configuration names an ingredient that there is not."""

    def __init__(self, message: str) -> None:
        SacredError.__init__(self, message, print_traceback=False)
        self.message = message

    def __str__(self) -> str:
        return self.message


class IngredientPathError(SacredError, ValueError):
    """The configuration of an ingredient has no place, or one that another has too."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)
