"""What people give to experiments, ingredients and runs: the sentences for what can not be taken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError

if TYPE_CHECKING:
    from sacred.core.ingredient import Ingredient

__all__ = [
    "InvalidArgumentError",
    "checked_options",
    "checked_priority",
    "file_name",
    "ingredient_list",
    "name_of_part",
    "name_in_database",
]


class InvalidArgumentError(SacredError, TypeError, ValueError):
    """Something was given that can not be taken; the message says what can.

    Sacred raises a ``TypeError`` from its own inside for most of it, a ``ValueError`` for some.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, filter_traceback="always")


def name_of_part(name: Any, kind: str) -> str:
    """Return the name of an experiment or the path of an ingredient as a text.

    Parameters
    ----------
    name
        What was given.
    kind
        The class that it was given to.

    Raises
    ------
    InvalidArgumentError
        It is no text.
    """
    try:
        return os.fsdecode(name)
    except TypeError:
        raise InvalidArgumentError(
            f'The name of {kind}(...) is {name!r}: give a text, {kind}("NAME").'
        ) from None


def ingredient_list(ingredients: Any, kind: type[Ingredient], path: str) -> list[Ingredient]:
    """Return ingredients as a list of one's own.

    Parameters
    ----------
    ingredients
        What was given.
    kind
        The class ``Ingredient``.
    path
        Of the experiment or ingredient that uses them.

    Raises
    ------
    InvalidArgumentError
        They are no list, or there is something else among them.
    """
    hint = "give a list of Ingredient objects, ingredients=[data]."
    if isinstance(ingredients, (str, kind)):
        raise InvalidArgumentError(f'The ingredients of "{path}" are {ingredients!r}: {hint}')
    try:
        given = list(ingredients)
    except TypeError:
        raise InvalidArgumentError(
            f'The ingredients of "{path}" are {ingredients!r}: {hint}'
        ) from None
    for ingredient in given:
        if not isinstance(ingredient, kind):
            raise InvalidArgumentError(
                f'{ingredient!r} among the ingredients of "{path}" is no Ingredient: {hint}'
            )
    return given


def checked_options(options: Any) -> list[Any]:
    """Return the options of an experiment's own as a list.

    Raises
    ------
    InvalidArgumentError
        They are no list, or one is none.
    """
    try:
        given = list(options)
    except TypeError:
        raise InvalidArgumentError(
            f"additional_cli_options is {options!r}: give a list of options, each made by "
            '@cli_option("-o", "--own").'
        ) from None
    for option in given:
        if not hasattr(option, "get_flags"):
            raise InvalidArgumentError(
                f"{option!r} in additional_cli_options is no option: decorate its function by "
                '@cli_option("-o", "--own").'
            )
    return given


def checked_priority(priority: Any, observer: str) -> Any:
    """Return the priority of an observer.

    Raises
    ------
    InvalidArgumentError
        It is no number.
    """
    is_number = hasattr(type(priority), "__float__") or hasattr(type(priority), "__index__")
    # A NaN comes neither before nor behind any other.
    if not is_number or priority != priority:  # noqa: PLR0124
        raise InvalidArgumentError(
            f"The priority of {observer}(...) is {priority!r}: give a number, priority=30."
        )
    return priority


def name_in_database(name: Any, argument: str, observer: str) -> str:
    """Return a name that something has in a database.

    Raises
    ------
    InvalidArgumentError
        It is no text.
    """
    if not isinstance(name, str):
        raise InvalidArgumentError(
            f'{argument} of {observer}(...) is {name!r}: give a text, {argument}="NAME".'
        )
    return name


def file_name(filename: Any, call: str) -> str:
    """Return the path of a file or folder as a text.

    Parameters
    ----------
    filename
        What was given.
    call
        To what, and what that takes: as in ``add_source_file(PATH)``.

    Raises
    ------
    InvalidArgumentError
        It is none.
    """
    try:
        return os.fsdecode(filename)
    except TypeError:
        raise InvalidArgumentError(
            f"{filename!r} is no path: write {call}, PATH being a text or a pathlib.Path."
        ) from None
