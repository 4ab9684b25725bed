"""What ``sacred.journal`` exports says what it takes, gives and raises, and what may be believed then."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import pkgutil
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

import sacred.journal
from sacred.journal import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

#: These change what is on the disk: whoever calls them wants to know what a power cut leaves.
WRITES = ("collect", "import_bundle", "repair_run", "seal_run", "write_bundle")


def _sections(doc: str) -> dict[str, str]:
    """Return the sections of a NumPy docstring by their names; what stands before them as ``""``."""
    parts = re.split(r"^(\w[\w ]*)\n-+$", inspect.cleandoc(doc), flags=re.M)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _entries(section: str) -> set[str]:
    """Return the names that a section explains: at the margin, several with commas between."""
    margin = [line for line in section.splitlines() if line and not line.startswith(" ")]
    return {name.strip() for line in margin for name in line.split(",")}


def _public() -> Iterator[tuple[str, Any]]:
    for name in sacred.journal.__all__:
        what = getattr(sacred.journal, name)
        yield name, what
        if not inspect.isclass(what) or issubclass(what, Exception):
            continue
        ours = [base for base in reversed(what.__mro__) if base.__module__.startswith("sacred.")]
        for member, value in {n: v for base in ours for n, v in vars(base).items()}.items():
            if not member.startswith("_"):
                yield f"{name}.{member}", value


PUBLIC = dict(_public())


def _function(value: Any) -> Any:
    inner = getattr(value, "__func__", value)
    return inner if inspect.isfunction(inner) else None


FUNCTIONS = {name: found for name, value in PUBLIC.items() if (found := _function(value))}
CLASSES = {
    name: value
    for name, value in PUBLIC.items()
    if inspect.isclass(value) and not issubclass(value, (Exception, enum.Enum))
}


def _parameters(function: Any) -> set[str]:
    """Return what a caller gives; ``**fields`` counts as ``fields``."""
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def _raised(function: Any) -> set[str]:
    """Return the package's errors that a function raises in its own lines."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc)
    names = {ast.unparse(error.func if isinstance(error, ast.Call) else error) for error in raised}
    return names & vars(errors).keys()


def test_there_is_something_to_look_at() -> None:
    """Functions, methods and classes are found: an empty walk would prove nothing."""
    assert {"verify", "collect", "BlobStore.put_bytes", "JournalWriter.append"} <= FUNCTIONS.keys()
    assert {"BlobStore", "JournalReader", "JournalRoot", "Position"} <= CLASSES.keys()


def test_everything_says_what_it_is() -> None:
    """A sentence, at the least: classes, errors, functions, methods and properties."""
    said = {
        name: value.__doc__ or ""
        for name, value in PUBLIC.items()
        if _function(value) or inspect.isclass(value) or isinstance(value, property)
    }
    assert [] == [name for name, doc in said.items() if not re.match(r"\w.*[.:]", doc, re.S)]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_says_what_it_takes_gives_and_raises(name: str) -> None:
    """``Parameters`` with each of them, ``Returns`` or ``Yields``, and ``Raises`` with each error of its own lines.

    Of a function without parameters that raises nothing one sentence is enough.
    """
    function = FUNCTIONS[name]
    doc = _sections(function.__doc__ or "")
    parameters, raised = _parameters(function), _raised(function)
    assert parameters <= _entries(doc.get("Parameters", ""))
    assert raised <= _entries(doc.get("Raises", ""))
    returns = inspect.signature(function).return_annotation
    if returns not in {"None", None}:
        alone = not parameters and "Raises" not in doc
        says = {"Returns", "Yields"} & doc.keys()
        assert says or (alone and re.match(r"(Return|Tell) .*\.\Z", doc[""].strip(), re.S))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_says_what_it_is_made_of_and_who_may_share_it(name: str) -> None:
    """What its maker takes stands in ``Parameters`` or ``Attributes``, or it names another maker; what is no plain value says which threads may use it."""
    found = CLASSES[name]
    doc = _sections(found.__doc__ or "")
    named = _entries(doc.get("Parameters", "")) | _entries(doc.get("Attributes", ""))
    if f"Use ``{name}.create``" not in doc[""]:
        assert _parameters(found) <= named
    if not issubclass(found, tuple):
        assert "thread" in (found.__doc__ or "")


def test_what_is_raised_or_named_is_exported() -> None:
    """Every error of the journal; and what a public docstring names of what its modules offer."""
    tree = {n for n, v in vars(errors).items() if inspect.isclass(v) and issubclass(v, Exception)}
    assert set() == tree - set(sacred.journal.__all__)
    assert {"JournalBusyError", "NotSealableError", "RunNotFoundError"} <= tree
    modules = [info.name for info in pkgutil.iter_modules(sacred.journal.__path__)]
    offered = {
        name
        for module in modules
        for name in getattr(importlib.import_module(f"sacred.journal.{module}"), "__all__", ())
    }
    assert "locked_journal" in offered
    docs = [sacred.journal.__doc__ or "", *(value.__doc__ or "" for value in PUBLIC.values())]
    named = {word for doc in docs for word in re.findall(r"``(\w+)", doc)}
    assert set() == named & offered - set(sacred.journal.__all__)


@pytest.mark.parametrize("name", WRITES)
def test_what_writes_says_what_is_durable(name: str) -> None:
    """What of it survives a power cut, or a kill."""
    assert re.search(r"power\s+cut|durable|[Kk]illed", FUNCTIONS[name].__doc__)
