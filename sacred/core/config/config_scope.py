"""A configuration given as the body of a function.

The body is compiled on its own and run with a namespace that records every assignment, so that
values fixed from outside can not be overwritten. Names assigned in the body are seen everywhere in
it: in comprehensions, lambdas, nested functions and classes too.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from sacred.core.config.config_summary import ConfigSummary
from sacred.core.config.custom_containers import DogmaticDict
from sacred.core.config.errors import ConfigTypeError, InvalidKeyError, ScopeArgumentError
from sacred.core.config.place import function_place
from sacred.core.config.scope_comments import get_config_comments
from sacred.core.config.scope_source import (
    ASSIGN,
    get_function_body,
    get_function_body_code,
    line_of,
)
from sacred.core.config.utils import (
    CONTAINS_ITSELF,
    dogmatize,
    normalize_or_die,
    recursive_fill_in,
    undogmatize,
)
from sacred.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ConfigScope",
    "dedent_function_body",
    "get_config_comments",
    "get_function_body",
    "get_function_body_code",
]

_VARARGS, _VARKEYWORDS = 0x04, 0x08


class ConfigScope:
    """A function whose local variables are configuration entries.

    Parameters
    ----------
    func
        A function without default values, ``*args`` and ``**kwargs``. Its parameters name the
        earlier entries, ingredients and special values (``_log``) that the body reads. Of a bound
        method the first one is the object, which the body can use. Of a decorated function
        (``functools.wraps``) the body is that of the function inside.

    Raises
    ------
    TypeError
        If the function has parameters of another kind, or is none that was defined by ``def``.
    SyntaxError
        If there is a ``return`` or ``yield`` in the body.
    OSError
        If the source of the function can not be read.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        func, self._bound = _innermost(func)
        self.args = _parameter_names(func)[len(self._bound) :]
        self._func = func
        self._body_code = get_function_body_code(func)
        self._var_docs = get_config_comments(func)
        self.__doc__ = func.__doc__

    def __call__(
        self,
        fixed: Mapping[str, Any] | None = None,
        preset: Mapping[str, Any] | None = None,
        fallback: Mapping[str, Any] | None = None,
    ) -> ConfigSummary:
        """Evaluate the body.

        Parameters
        ----------
        fixed
            Values that the body can not change. They are part of the result.
        preset
            Values that it can read when it declares them. They are part of the result.
        fallback
            Values that it can read when it declares them. They are no part of the result.

        Raises
        ------
        ScopeArgumentError, InvalidKeyError
            If a declared name is in neither ``preset`` nor ``fallback``; if the name of an entry
            is not allowed. Both are a ``KeyError``, and name the file and the line.
        """
        fallback = fallback or {}
        preset = preset or {}
        available = {*preset, *fallback}
        for name in self.args:
            if name not in available:
                raise self._unknown_argument(name, available)
        visible = _visible_names(self._func)
        visible.update(zip(self._func.__code__.co_varnames, self._bound, strict=False))
        names = _Namespace(dogmatize(fixed or {}).fixed, visible)
        names.fallback = {name: fallback[name] for name in self.args if name in fallback}
        names.visible.update(names.fallback)
        for name in self.args:
            if name not in fallback:
                names[name] = preset[name]
        with ConfigError.track(names):
            try:
                exec(self._body_code, visible, names)  # noqa: S102 - the user's own function
            except NameError as error:
                self._tell_of_parameters(error, available)
                raise

        try:
            return self._summary(names, preset)
        except InvalidKeyError as error:
            error.place = self.place(error.above[0] if error.above else None)
            raise
        except RecursionError:
            raise ConfigTypeError(f"A value of {self.place()} {CONTAINS_ITSELF}") from None

    def _summary(self, names: _Namespace, preset: Mapping[str, Any]) -> ConfigSummary:
        added = names.revelation()
        for key, group in preset.items():
            # Now, so that they are complete also where another entry holds them.
            if key in names.fixed and isinstance(group, dict) and key in names:
                _fill_fixed(names[key], group)
        entries = undogmatize(names)
        recursive_fill_in(entries, preset)
        summary = ConfigSummary(
            added, names.modified, names.typechanges, names.fallback_writes, self._var_docs
        )
        summary.update(normalize_or_die(entries))
        return summary

    def place(self, entry: str | None = None) -> str:
        """Return what this is and where it is written: at its head, or where an entry is set."""
        return f"the config scope {function_place(self._func, line_of(self._func, entry))}"

    def _unknown_argument(self, name: str, available: set[Any]) -> ScopeArgumentError:
        remedy = (
            "An earlier configuration has to set it, or an ingredient has to be called so. Named "
            "configurations are evaluated before all others."
        )
        if name == "seed":
            remedy = "A scope can set the seed and not read it: it is drawn after all of them."
        return ScopeArgumentError(
            f"'{name}' not in preset for ConfigScope. Available options are: "
            f"{available or 'set()'}.",
            f"It is a parameter of {self.place()}. {remedy}",
        )

    def _tell_of_parameters(self, error: NameError, available: set[Any]) -> None:
        name = getattr(error, "name", None)
        if name in available and hasattr(error, "add_note"):
            error.add_note(
                f'To read "{name}", which is known before, {self.place()} has to declare it: '
                f"def {self._func.__name__}({', '.join([*self.args, str(name)])})"
            )

    def __repr__(self) -> str:
        return f"ConfigScope({self._func!r})"


ConfigScope.__module__ = "sacred.config.config_scope"


def _fill_fixed(fixed: Any, preset: Mapping[Any, Any]) -> None:
    """Add what only the preset has to a fixed group."""
    if isinstance(fixed, DogmaticDict):
        recursive_fill_in(fixed, preset)


class _Namespace(DogmaticDict):
    """The local variables of a scope, copied into its global ones as they change.

    Code nested in the body looks names up among the globals, which are a copy of the module's.
    """

    def __init__(self, fixed: Mapping[Any, Any], visible: dict[str, Any]) -> None:
        super().__init__(fixed)
        self.visible = visible
        self.visible[ASSIGN] = self._assign
        self._hidden: dict[str, Any] = {}

    def _assign(self, key: str, value: Any) -> Any:
        """Assign as ``:=`` does, and return what the entry is then."""
        self[key] = value
        return dict.__getitem__(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key in self.visible and not dict.__contains__(self, key):
            self._hidden[key] = self.visible[key]
        super().__setitem__(key, value)
        self.visible[key] = dict.__getitem__(self, key)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        if not dict.__contains__(self, key):
            self.visible.pop(key, None)
            if key in self._hidden:
                self.visible[key] = self._hidden[key]


def _innermost(func: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the function that has the body, and the object that it is bound to, if it is."""
    bound: tuple[Any, ...] = ()
    # As often as functions are wrapped in sane programs: one may lead to itself.
    for _ in range(100):
        if isinstance(func, MethodType):
            func, bound = func.__func__, (func.__self__,)
        elif hasattr(func, "__wrapped__") and not isinstance(func, type):
            func = func.__wrapped__
        else:
            break
    return func, bound


def _parameter_names(func: Any) -> list[str]:
    code = getattr(func, "__code__", None)
    if code is None:
        raise TypeError(f"A config scope must be a function, not {func!r}.")
    wrong = ""
    if code.co_flags & _VARARGS:
        wrong = "*args not allowed for ConfigScope functions"
    elif code.co_flags & _VARKEYWORDS:
        wrong = "**kwargs not allowed for ConfigScope functions"
    elif func.__defaults__ or func.__kwdefaults__:
        wrong = "default values are not allowed for ConfigScope functions"
    if wrong:
        raise TypeError(
            f"{wrong}: the parameters of {function_place(func)} can only be names of what it reads"
        )
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _visible_names(func: Any) -> dict[str, Any]:
    """Return a copy of the function's globals, with the variables of its closure in front."""
    visible = dict(func.__globals__)
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=True):
        try:
            visible[name] = cell.cell_contents
        except ValueError:
            # Not assigned yet: using it is the NameError that it would be in a function.
            visible.pop(name, None)
    return visible


def dedent_function_body(body: str) -> str:
    """Return the lines of a function's body without the indentation that they share."""
    from textwrap import dedent

    return dedent(body)
