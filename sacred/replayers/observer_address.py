"""The address of somebody's own observer: ``package.module:MyObserver?name=value``. Nothing is imported."""

from __future__ import annotations

import re
from typing import Any

from sacred.replayers.errors import SinkSpecError
from sacred.replayers.sink import SinkSpec

__all__ = ["FORM", "names_an_observer", "observer_spec", "parse_observer"]

#: For messages.
FORM = "package.module:MyObserver"

_NAME = r"[^\W\d]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_ADDRESS = re.compile(rf"(?:observer:)?({_DOTTED}):({_DOTTED})(?:\?(.*))?", re.DOTALL)
#: Arguments whose values are nobody's business.
_SECRET = re.compile(
    r"pass|pw|secret|token|key|auth|credential|webhook|cookie|session", re.IGNORECASE
)
#: A value is shown if it is no longer than this and can be no address with a password in it.
_SHOWN = 60


def names_an_observer(text: str) -> bool:
    """Tell whether an address has the form of a module and a name in it."""
    return _ADDRESS.fullmatch(text.strip()) is not None


def parse_observer(text: str) -> SinkSpec:
    """Return the specification of ``package.module:MyObserver?name=value&name=value``.

    ``observer:`` may stand in front of it: a module that is called as a kind of view needs that.
    Values are Python's (``3``, ``True``, ``[1, 2]``), and text where they are none; ``%26`` is an
    ``&``.

    Raises
    ------
    SinkSpecError
        It is none; the text repeats no value.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        raise SinkSpecError(
            f"an observer of your own is written --to {FORM}, with arguments as in "
            f"'{FORM}?project=lab&every=10'"
        )
    module, name, query = found.groups()
    return observer_spec(module, name, _arguments(query or ""))


def observer_spec(module: str, name: str, arguments: dict[str, Any]) -> SinkSpec:
    """Return the specification of an observer.

    Parameters
    ----------
    module, name
        Where it is: a class, a function that makes one, or an observer.
    arguments
        For the class or the function; plain data.
    """
    url = f"{module}:{name}"
    if not arguments:
        return SinkSpec("observer", url, {}, url)
    import hashlib
    import json

    # Two projects are two places; which they are is told by no file name.
    text = json.dumps(arguments, sort_keys=True, default=str)
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    shown = "&".join(f"{key}={_shown(key, value)}" for key, value in arguments.items())
    return SinkSpec("observer", f"{url}#{mark}", {"arguments": arguments}, f"{url}?{shown}")


def _arguments(query: str) -> dict[str, Any]:
    from urllib.parse import unquote

    arguments: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or re.fullmatch(_NAME, name) is None:
            raise SinkSpecError(
                f"the arguments of an observer are written ?name=value&name=value: {name[:40]!r} is "
                "no name with a value"
            )
        if name in arguments:
            raise SinkSpecError(f"the argument {name} of the observer is given twice")
        arguments[name] = _value(unquote(value))
    return arguments


def _value(text: str) -> Any:
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _shown(name: str, value: Any) -> str:
    text = str(value)
    is_secret = _SECRET.search(name) is not None or "@" in text or len(text) > _SHOWN
    return "***" if is_secret else text
