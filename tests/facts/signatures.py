"""Parameters as a table writes them, against those of what is there."""

from __future__ import annotations

import inspect
from typing import Any


def parameters(function: Any) -> list[tuple[str, object]]:
    """Return (name, default) of the parameters but ``self``, with the stars before the names."""
    found = list(inspect.signature(function).parameters.values())
    if found and found[0].name == "self":
        del found[0]
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [(stars.get(one.kind, "") + one.name, one.default) for one in found]


def written(text: str) -> list[tuple[str, object]]:
    """Return the parameters that a line says: names, and the defaults as Python reads them."""
    made: dict[str, Any] = {}
    exec(f"def function({text}): pass", made)  # noqa: S102  # a line of our own table
    return parameters(made["function"])


def disagreement(text: str, function: Any) -> str:
    """Return what is wrong with a function's parameters; empty if they are those of the text.

    What is ours comes behind and can be left out; what has to be given there may be left out here.
    """
    expected, actual = written(text), parameters(function)
    if [name.rstrip("_abcdefghijklmnopqrstuvwxyz") for name, _ in actual] == ["*", "**"]:
        return ""  # it takes whatever comes
    more = actual[len(expected) :]
    if [name for name, _ in expected] != [name for name, _ in actual[: len(expected)]]:
        return f"has the parameters {[name for name, _ in actual]}"
    empty = inspect.Parameter.empty
    for (name, default), (_, ours) in zip(expected, actual, strict=False):
        if default is not empty and default != ours:
            return f"{name} is {ours!r} by default"
    needed = [name for name, default in more if default is empty and "*" not in name]
    return f"needs {needed}" if needed else ""
