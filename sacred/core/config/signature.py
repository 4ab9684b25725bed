"""Which arguments a function takes, and filling in those that a call leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.errors import MissingConfigError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Signature", "get_argspec"]

_VARARGS, _VARKEYWORDS = 0x04, 0x08


class Signature:
    """The parameters of a function.

    Attributes
    ----------
    name
        The function's name.
    arguments
        All parameters that take one value, in order.
    vararg_name, kw_wildcard_name
        The names behind ``*`` and ``**``, or None.
    positional_args
        Parameters that can be given by position and have no default.
    kwargs
        Parameter -> default, in order.

    Raises
    ------
    TypeError
        If the object can not be called.
    ValueError
        If it has no signature, as some built-in functions.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        self.name: str = getattr(f, "__name__", None) or type(f).__name__
        (
            self.arguments,
            self.vararg_name,
            self.kw_wildcard_name,
            self.positional_args,
            self.kwargs,
            self._by_position,
            self._by_name,
        ) = _parameters(f)

    def get_free_parameters(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], bound: bool = False
    ) -> list[str]:
        """Return the parameters that a call would leave open."""
        open_ones = self.arguments[len(args) + (1 if bound else 0) :]
        return [name for name in open_ones if name not in kwargs]

    def construct_arguments(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
        bound: bool = False,
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the arguments of a call with those filled in that it leaves out.

        Parameters
        ----------
        args, kwargs
            What the call gives. It wins.
        options
            Where parameters are looked up that the call does not give. They win over defaults.
        bound
            Whether the first parameter is given already, as in a bound method.

        Raises
        ------
        SignatureError
            If the call gives an argument twice, or one that the function does not take.
        MissingConfigError
            If a parameter without a default is left open.
        """
        skipped = 1 if bound else 0
        n_positions = len(self._by_position) - skipped
        n_given = len(args)
        if n_given > n_positions:
            if self.vararg_name is None:
                unexpected = tuple(args[n_positions:])
                raise SignatureError(f"{self.name} got unexpected argument(s): {unexpected}")
            n_given = n_positions
        if kwargs:
            self._check_kwargs(self.arguments[: n_given + skipped], kwargs)
        filled = dict(kwargs)
        by_name, defaults = self._by_name, self.kwargs
        positions: list[Any] = []
        missing = []
        for name in self.arguments[n_given + skipped :]:
            if name not in by_name:
                # By position only: those before it have to be given as well.
                if name in options:
                    positions.append(options[name])
                elif name in defaults:
                    positions.append(defaults[name])
                else:
                    missing.append(name)
            elif name not in filled:
                if name in options:
                    filled[name] = options[name]
                elif name not in defaults:
                    missing.append(name)
        if missing:
            raise MissingConfigError(f"{self.name} is missing value(s):", missing_configs=missing)
        return ([*args, *positions] if positions else args), filled

    def _check_kwargs(self, given: Sequence[str], kwargs: Mapping[str, Any]) -> None:
        duplicates = [name for name in given if name in kwargs and name in self._by_name]
        if duplicates:
            raise SignatureError(f"{self.name} got multiple values for argument(s) {duplicates}")
        if self.kw_wildcard_name is None:
            unexpected = sorted(name for name in kwargs if name not in self._by_name)
            if unexpected:
                raise SignatureError(f"{self.name} got unexpected kwarg(s): {unexpected}")

    def __str__(self) -> str:
        parts = list(self.positional_args)
        if self.vararg_name:
            parts.append(f"*{self.vararg_name}")
        parts.extend(f"{name}={value}" for name, value in self.kwargs.items())
        if self.kw_wildcard_name:
            parts.append(f"**{self.kw_wildcard_name}")
        return f"{self.name}({', '.join(parts)})"

    def __repr__(self) -> str:
        return f"<Signature at {id(self):#x} for '{self.name}'>"


Signature.__module__ = "sacred.config.signature"

#: arguments, name of *args, name of **kwargs, positional without default, defaults, what can be
#: given by position, what can be given by name
_Parameters = tuple[
    list[str], "str | None", "str | None", list[str], dict[str, Any], list[str], frozenset[str]
]


def _parameters(f: Any) -> _Parameters:
    function, skipped = f, 0
    if hasattr(f, "__func__") and getattr(f, "__self__", None) is not None:
        function, skipped = f.__func__, 1
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        # What only inspect understands: classes, built-in and decorated functions.
        return _inspected_parameters(f)
    names = code.co_varnames
    n_positions, n_by_name = code.co_argcount, code.co_kwonlyargcount
    end = n_positions + n_by_name
    vararg = kw_wildcard = None
    if code.co_flags & _VARARGS:
        vararg = names[end]
    if code.co_flags & _VARKEYWORDS:
        kw_wildcard = names[end + (vararg is not None)]
    by_position = list(names[skipped:n_positions])
    values = function.__defaults__ or ()
    defaults = dict(zip(names[n_positions - len(values) : n_positions], values, strict=True))
    defaults.update(
        (name, (function.__kwdefaults__ or {})[name])
        for name in names[n_positions:end]
        if name in (function.__kwdefaults__ or {})
    )
    arguments = list(names[skipped:end])
    return (
        arguments,
        vararg,
        kw_wildcard,
        [name for name in by_position if name not in defaults],
        defaults,
        by_position,
        frozenset(names[max(skipped, code.co_posonlyargcount) : end]),
    )


def _inspected_parameters(f: Any) -> _Parameters:
    import inspect

    kinds = inspect.Parameter
    parameters = list(inspect.signature(f).parameters.values())
    single = [p for p in parameters if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    by_position = [p.name for p in single if p.kind is not kinds.KEYWORD_ONLY]
    defaults = {p.name: p.default for p in single if p.default is not kinds.empty}
    return (
        [p.name for p in single],
        next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), None),
        next((p.name for p in parameters if p.kind is kinds.VAR_KEYWORD), None),
        [name for name in by_position if name not in defaults],
        defaults,
        by_position,
        frozenset(p.name for p in single if p.kind is not kinds.POSITIONAL_ONLY),
    )


def get_argspec(
    f: Callable[..., Any],
) -> tuple[list[str], str | None, str | None, list[str], dict[str, Any]]:
    """Return (arguments, name of ``*args``, name of ``**kwargs``, positional ones, defaults)."""
    return _parameters(f)[:5]
