"""What Sacred's users import from ``sacred.utils``, gathered from where it is defined."""

from __future__ import annotations

import functools
import re
import shlex
import sys
from logging import getLogger
from os import PathLike
from typing import TYPE_CHECKING, Any, Union

from sacred.core.config.utils import PYTHON_IDENTIFIER
from sacred.core.dotted import (
    PATHCHANGE,
    convert_to_nested_dict,
    get_by_dotted_path,
    is_prefix,
    iter_prefixes,
    iterate_flattened,
    iterate_flattened_separately,
    join_paths,
    recursive_update,
    rel_path,
    set_by_dotted_path,
)
from sacred.core.errors import (
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
)
from sacred.core.heartbeat import IntervalTimer
from sacred.core.optional import (
    get_package_version,
    module_exists,
    module_is_in_cache,
    modules_exist,
    parse_version,
)
from sacred.core.output_filter import apply_backspaces_and_linefeeds
from sacred.core.resolve import create_basic_stream_logger
from sacred.core.tracebacks import (
    format_filtered_stacktrace,
    format_sacred_error,
    print_filtered_stacktrace,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "NO_LOGGER",
    "PATHCHANGE",
    "PYTHON_IDENTIFIER",
    "CircularDependencyError",
    "ConfigAddedError",
    "ConfigError",
    "IntervalTimer",
    "InvalidConfigError",
    "MissingConfigError",
    "NamedConfigNotFoundError",
    "ObserverError",
    "PathType",
    "SacredError",
    "SacredInterrupt",
    "SignatureError",
    "TimeoutInterrupt",
    "apply_backspaces_and_linefeeds",
    "convert_camel_case_to_snake_case",
    "convert_to_nested_dict",
    "create_basic_stream_logger",
    "ensure_wellformed_argv",
    "format_filtered_stacktrace",
    "format_sacred_error",
    "get_by_dotted_path",
    "get_inheritors",
    "get_package_version",
    "is_non_empty_dict",
    "is_prefix",
    "iter_prefixes",
    "iterate_flattened",
    "iterate_flattened_separately",
    "join_paths",
    "module_exists",
    "module_is_in_cache",
    "modules_exist",
    "optional_kwargs_decorator",
    "parse_version",
    "print_filtered_stacktrace",
    "recursive_update",
    "rel_path",
    "set_by_dotted_path",
]

#: A logger that nothing listens to.
NO_LOGGER = getLogger("ignore")
NO_LOGGER.disabled = True

PathType = Union[str, bytes, "PathLike[str]"]


def optional_kwargs_decorator(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """Let a decorator with options be used with and without parentheses."""

    @functools.wraps(decorator)
    def decorate(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return functools.partial(decorator, **options)
        return decorator(function, **options)

    return decorate


def get_inheritors(cls: type) -> set[type]:
    """Return the subclasses of a class and theirs."""
    subclasses: set[type] = set(cls.__subclasses__())
    return subclasses.union(*map(get_inheritors, subclasses))


def convert_camel_case_to_snake_case(name: str) -> str:
    """Return ``GetHTTPCode`` as ``get_http_code``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def is_non_empty_dict(python_object: Any) -> bool:
    """Say whether something is a dictionary with at least one entry."""
    return isinstance(python_object, dict) and bool(python_object)


def ensure_wellformed_argv(argv: str | Sequence[str] | None) -> Sequence[str]:
    """Return the words of a command line, taken apart if need be; None stands for ``sys.argv``.

    Raises
    ------
    ValueError
        If it is neither a string nor a sequence of strings.
    """
    if argv is None:
        return sys.argv
    if isinstance(argv, str):
        return shlex.split(argv)
    if not isinstance(argv, (list, tuple)):
        raise ValueError(f"argv must be str or list, but was {type(argv)}")  # noqa: TRY004
    wrong = [word for word in argv if not isinstance(word, str)]
    if wrong:
        raise ValueError(f"argv must be list of str but contained the following elements: {wrong}")
    return argv
