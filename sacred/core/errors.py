"""Everything that the framework raises.

::

    Exception
    +-- SacredError                       says how it wants to be printed
    |   +-- SettingError                  a setting that does not exist or can not be used
    |   +-- CircularDependencyError       ingredients that contain each other
    |   +-- ConfigError                   names the configuration entries that are in conflict
    |   |   +-- InvalidConfigError        for the user's own checks
    |   |   +-- ConfigAddedError          an update that nothing uses
    |   +-- MissingConfigError            also a TypeError: a value that nothing provides
    |   +-- SignatureError                also a TypeError: arguments that do not fit a function
    |   +-- NamedConfigNotFoundError
    +-- ObserverError                     raised by observers
    +-- SacredInterrupt                   ends a run with a status of one's own
        +-- TimeoutInterrupt
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "CircularDependencyError",
    "ConfigAddedError",
    "ConfigError",
    "InvalidConfigError",
    "MissingConfigError",
    "NamedConfigNotFoundError",
    "ObserverError",
    "SacredError",
    "SacredInterrupt",
    "SettingError",
    "SignatureError",
    "TimeoutInterrupt",
]


class SacredError(Exception):
    """An error that says how the command line shall print it.

    Parameters
    ----------
    message
        One sentence for the user.
    print_traceback
        Whether the stack is printed as well.
    filter_traceback
        ``"always"`` leaves the framework's own frames out, ``"never"`` keeps them, and
        ``"default"`` leaves them out unless the error came from within the framework.
    print_usage
        Whether the short usage text is printed first.

    Raises
    ------
    ValueError
        If ``filter_traceback`` is none of the three words.
    """

    #: What a command line exits with that ends by this error.
    exit_code = 1

    def __init__(
        self,
        message: str,
        print_traceback: bool = True,
        filter_traceback: str = "default",
        print_usage: bool = False,
    ) -> None:
        super().__init__(message)
        if filter_traceback not in ("always", "default", "never"):
            raise ValueError(
                "filter_traceback must be one of 'always', 'default' or 'never', "
                f"not {filter_traceback}"
            )
        self.print_traceback = print_traceback
        self.filter_traceback = filter_traceback
        self.print_usage = print_usage

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is: the sentence is not made once more of itself, as ``__init__`` would.
        return _error_again, (type(self), self.args, self.__dict__)


def _error_again(
    kind: type[SacredError], args: tuple[Any, ...], state: dict[str, Any]
) -> SacredError:
    """Return an error that came from another process."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class SettingError(SacredError):
    """A setting that does not exist, or a value that it can not have."""


class CircularDependencyError(SacredError):
    """Ingredients that contain each other, directly or through others."""

    def __init__(
        self,
        message: str = "Circular dependency detected:",
        ingredients: Iterable[Any] | None = None,
        print_traceback: bool = True,
        filter_traceback: str = "default",
        print_usage: bool = False,
    ) -> None:
        super().__init__(
            message,
            print_traceback=print_traceback,
            filter_traceback=filter_traceback,
            print_usage=print_usage,
        )
        self.__ingredients__: list[Any] = [] if ingredients is None else list(ingredients)
        self.__circular_dependency_handled__ = False

    @classmethod
    @contextmanager
    def track(cls, ingredient: Any) -> Iterator[None]:
        """Note that ``ingredient`` is on the way to where a circle is found."""
        try:
            yield
        except cls as error:
            if not error.__circular_dependency_handled__:
                error.__circular_dependency_handled__ = ingredient in error.__ingredients__
                error.__ingredients__.append(ingredient)
            raise

    def __str__(self) -> str:
        path = "->".join(str(ingredient.path) for ingredient in reversed(self.__ingredients__))
        return super().__str__() + path


class ConfigError(SacredError):
    """Configuration entries that are in conflict with something.

    Parameters
    ----------
    message
        What is wrong.
    conflicting_configs
        The dotted paths of the entries, or one of them as a string. Inside a captured function or
        a config scope they are relative to what that sees.
    print_conflicting_configs
        Whether the text of the error lists the entries with their values.
    config
        Where to look the values up; filled in by the framework where it is left out.
    """

    def __init__(
        self,
        message: str,
        conflicting_configs: Iterable[str] = (),
        print_conflicting_configs: bool = True,
        print_traceback: bool = True,
        filter_traceback: str = "default",
        print_usage: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            message,
            print_traceback=print_traceback,
            filter_traceback=filter_traceback,
            print_usage=print_usage,
        )
        if isinstance(conflicting_configs, str):
            conflicting_configs = (conflicting_configs,)
        self.print_conflicting_configs = print_conflicting_configs
        self.__conflicting_configs__ = conflicting_configs
        self.__prefix_handled__ = False
        self.__config__: Mapping[str, Any] = {} if config is None else config

    @classmethod
    @contextmanager
    def track(cls, config: Mapping[str, Any], prefix: str | None = None) -> Iterator[None]:
        """Give errors raised inside the configuration that their entries belong to.

        Parameters
        ----------
        config
            The values that the place sees.
        prefix
            The dotted path of that place, put in front of the entries' names once.
        """
        try:
            yield
        except ConfigError as error:
            error.locate(config, prefix)
            raise

    def locate(self, config: Mapping[str, Any], prefix: str | None = None) -> None:
        """Note where the entries belong, unless an inner place did so already."""
        if self.__prefix_handled__:
            return
        from sacred.core.dotted import join_paths, set_by_dotted_path

        located: dict[str, Any] = {}
        if prefix:
            set_by_dotted_path(located, prefix, config)
            self.__conflicting_configs__ = tuple(
                join_paths(prefix, path) for path in self.__conflicting_configs__
            )
        self.__config__ = located or config
        self.__prefix_handled__ = True

    def __str__(self) -> str:
        text = super().__str__()
        if not self.print_conflicting_configs:
            return text
        from sacred.core.dotted import get_by_dotted_path
        from sacred.core.passwords import mask_password

        lines = [text, "Conflicting configuration values:"]
        for path in self.__conflicting_configs__:
            try:
                value = get_by_dotted_path(self.__config__, path)
            except TypeError:
                value = None
            lines.append(mask_password(f"  {path}={value}"))
        return "\n".join(lines)


class InvalidConfigError(ConfigError):
    """Raise this from your own code when values of the configuration make no sense."""


class ConfigAddedError(ConfigError):
    """An update of the configuration that neither a scope nor a captured function knows."""

    SPECIAL_ARGS = frozenset(("_log", "_config", "_seed", "__doc__", "config_filename", "_run"))

    def __init__(
        self,
        conflicting_configs: Iterable[str],
        message: str = "Added new config entry that is not used anywhere",
        captured_args: Sequence[str] = (),
        print_conflicting_configs: bool = True,
        print_traceback: bool = False,
        filter_traceback: str = "default",
        print_usage: bool = False,
        print_suggestions: bool = True,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            message,
            conflicting_configs=conflicting_configs,
            print_conflicting_configs=print_conflicting_configs,
            print_traceback=print_traceback,
            filter_traceback=filter_traceback,
            print_usage=print_usage,
            config=config,
        )
        self.captured_args = captured_args
        self.print_suggestions = print_suggestions
        #: Where the update was given, and what was probably meant.
        self.hint = ""

    def __str__(self) -> str:
        text = super().__str__()
        possible = sorted(set(self.captured_args) - self.SPECIAL_ARGS)
        if self.print_suggestions and possible:
            names = ", ".join(repr(name) for name in possible)
            text += f"\nPossible config keys are: {{{names}}}"
        return f"{text}\n{self.hint}" if self.hint else text


class MissingConfigError(SacredError, TypeError):
    """A captured function needs values that neither the call nor the configuration gives.

    It is a ``TypeError`` as well, because that is what Python itself raises there.
    """

    def __init__(
        self,
        message: str = "Configuration values are missing:",
        missing_configs: Iterable[str] = (),
        print_traceback: bool = False,
        filter_traceback: str = "default",
        print_usage: bool = True,
    ) -> None:
        super().__init__(
            f"{message} {missing_configs}",
            print_traceback=print_traceback,
            filter_traceback=filter_traceback,
            print_usage=print_usage,
        )


class SignatureError(SacredError, TypeError):
    """Arguments that do not fit the signature of a captured function."""

    def __init__(
        self,
        message: str,
        print_traceback: bool = True,
        filter_traceback: str = "always",
        print_usage: bool = False,
    ) -> None:
        super().__init__(message, print_traceback, filter_traceback, print_usage)


class NamedConfigNotFoundError(SacredError):
    """A named configuration that does not exist."""

    def __init__(
        self,
        named_config: str,
        message: str = "Named config not found:",
        available_named_configs: Sequence[str] = (),
        print_traceback: bool = False,
        filter_traceback: str = "default",
        print_usage: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(
            f'{message} "{named_config}". Available config values are: {available_named_configs}'
            + (f". {hint}" if hint else ""),
            print_traceback=print_traceback,
            filter_traceback=filter_traceback,
            print_usage=print_usage,
        )


class ObserverError(Exception):
    """An observer can not do what it was asked for."""


class SacredInterrupt(Exception):
    """Base of exceptions that end a run on purpose; the run gets the class's ``STATUS``."""

    STATUS = "INTERRUPTED"


class TimeoutInterrupt(SacredInterrupt):
    """The run used up its time; its status becomes ``TIMEOUT``."""

    STATUS = "TIMEOUT"


for _error in (
    CircularDependencyError,
    ConfigAddedError,
    ConfigError,
    InvalidConfigError,
    MissingConfigError,
    NamedConfigNotFoundError,
    ObserverError,
    SacredError,
    SacredInterrupt,
    SignatureError,
    TimeoutInterrupt,
):
    _error.__module__ = "sacred.utils"
SettingError.__module__ = "sacred.settings"
