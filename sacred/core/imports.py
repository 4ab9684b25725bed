"""Which modules a program has imported, seen from one of its modules.

A module's globals show what stands in them. What a function imports, and from which module a number
or text was imported, stands in the code only, so that is looked at as well; and what its own modules
imported counts as imported by the program.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CodeType, ModuleType

__all__ = [
    "file_of",
    "imported_as",
    "iterate_imported_modules",
    "iterate_sys_modules",
    "reachable_modules",
]

_FUNCTION = type(lambda: None)
_CODE = type((lambda: None).__code__)
#: Decorators around decorators that are looked through.
_WRAPPERS = 20


def iterate_imported_modules(globs: Mapping[str, Any]) -> Iterator[ModuleType]:
    """Yield the modules that the values of a module's globals are, or come from.

    The packages that these are in follow each of them. Nothing is yielded twice.
    """
    names: dict[str, None] = {}
    for value in list(globs.values()):
        _add(names, _module_name_of(value))
    yield from _loaded(names)


def reachable_modules(
    globs: Mapping[str, Any], is_own: Callable[[ModuleType], bool]
) -> Iterator[tuple[ModuleType, bool]]:
    """Yield the modules that a program's own modules have imported, at their top or in functions.

    Each with whether it is one of the program's own.

    Parameters
    ----------
    globs
        The globals of the module to begin with.
    is_own
        Tells whether a module is one of the program's own, whose imports count, too.

    Notes
    -----
    Only modules that are loaded are yielded, each once. A module that was imported by a name which
    the program made up (``importlib.import_module``) is found if its result is kept in a global.
    """
    known: set[str] = set()
    waiting: list[Mapping[str, Any]] = [globs]
    while waiting:
        space = waiting.pop()
        names: dict[str, None] = {}
        for value in list(space.values()):
            _add(names, _module_name_of(value))
        for name in _imported_in_functions(space):
            _add(names, name)
        for name in _imported_by_file(space):
            _add(names, name)
        new = [name for name in names if name not in known]
        known.update(new)
        for module in _loaded(new):
            own = is_own(module)
            yield module, own
            if own:
                waiting.append(vars(module))


def _add(names: dict[str, None], name: str) -> None:
    """Add a module's name, and those of the packages that it is in."""
    while name:
        names[name] = None
        name = name.rpartition(".")[0]


def _loaded(names: Any) -> Iterator[ModuleType]:
    for name in list(names):
        module = sys.modules.get(name)
        if module is not None:
            yield module


def _module_name_of(value: Any) -> str:
    try:
        # Not isinstance: that asks the object for its class, and a lazy one would wake up.
        name = value.__name__ if issubclass(type(value), type(sys)) else value.__module__
    except Exception:
        # Lazy objects and proxies may raise anything when they are looked at.
        return ""
    return name if isinstance(name, str) else ""


# -- imports inside functions -----------------------------------------------------------------------


def _imported_in_functions(space: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of loaded modules that functions of a module import."""
    own = space.get("__name__")
    package = str(space.get("__package__") or "")
    seen: set[CodeType] = set()
    for value in list(space.values()):
        try:
            codes = [code for code in _codes_of(value, own) if code not in seen]
        except Exception:
            continue  # as above
        seen.update(codes)
        for code in codes:
            yield from _imported_by(code, package)


def _codes_of(value: Any, own: Any) -> Iterator[CodeType]:
    """Yield the code of a function that is defined in a module, or of the methods of a class."""
    kind = type(value)
    if issubclass(kind, type):
        if value.__module__ == own:
            for member in list(vars(value).values()):
                yield from _code_within(member)
        return
    if kind is not _FUNCTION:
        # An object around a function: a cache, a configuration scope. Its attributes are taken
        # from where they are kept, because a lazy object would wake up.
        kept = object.__getattribute__(value, "__dict__")
        value = kept.get("__wrapped__", kept.get("_func"))
    if type(value) is _FUNCTION and value.__module__ == own:
        yield from _code_within(value)


def _code_within(value: Any) -> Iterator[CodeType]:
    """Yield the code of a function, looked for inside of what decorators made of it."""
    for _ in range(_WRAPPERS):
        if type(value) is property:
            value = value.fget
        inner = getattr(value, "__wrapped__", None) or getattr(value, "__func__", None)
        if inner is None:
            break
        value = inner
    code = getattr(value, "__code__", None)
    if type(code) is _CODE:
        yield code


def _imported_by(code: CodeType, package: str) -> Iterator[str]:
    """Yield the loaded modules that a piece of code names in its import statements."""
    waiting = [code]
    while waiting:
        one = waiting.pop()
        waiting += [const for const in one.co_consts if type(const) is _CODE]
        # Few names are those of modules; only then it counts how they are used.
        if any(True for name in one.co_names for _ in _meant_by(name, (), package)):
            for name in _names_in_imports(one):
                yield from _meant_by(name, one.co_consts, package)


def _names_in_imports(code: CodeType) -> Iterator[str]:
    """Yield the names that stand in import statements of a piece of code."""
    with IMPORTING:
        from opcode import opmap

    wanted, extended = opmap["IMPORT_NAME"], opmap["EXTENDED_ARG"]
    content, high = code.co_code, 0
    for offset in range(0, len(content) - 1, 2):
        operation, argument = content[offset], high << 8 | content[offset + 1]
        high = argument if operation == extended else 0
        if operation == wanted and argument < len(code.co_names):
            yield code.co_names[argument]


def _meant_by(name: str, consts: tuple[Any, ...], package: str) -> Iterator[str]:
    """Yield the loaded modules that an import of a name can mean."""
    # How many dots stood before it is not looked at: of what it can mean, little is loaded.
    bases = [name] if name else []
    while package:
        bases.append(f"{package}.{name}" if name else package)
        package = package.rpartition(".")[0]
    members = [
        member
        for const in consts
        if type(const) is tuple
        for member in const
        if type(member) is str
    ]
    for base in bases:
        if base in sys.modules:
            yield base
            yield from (f"{base}.{m}" for m in members if f"{base}.{m}" in sys.modules)


# -- imports of a whole file ------------------------------------------------------------------------

#: A file of more bytes is not looked through.
_MOST_BYTES = 1 << 20
#: Comments and strings, in which nothing is a statement, and the modules of import statements.
#: Compiling a file takes 30 times as long, and would say its warnings again.
_TOKENS = (
    r"#[^\n]*",
    r'"""(?:\\[\s\S]|(?!""")[^\\])*"""',
    r"'''(?:\\[\s\S]|(?!''')[^\\])*'''",
    r'"(?:\\[\s\S]|[^"\\\n])*"',
    r"'(?:\\[\s\S]|[^'\\\n])*'",
    r"(?:^|[;:])[ \t]*(?:from[ \t]*(\.*)[ \t]*([\w.]*)[ \t]*import\b|import[ \t]+([\w., \t]+))",
)
#: The modules that a file names in import statements, with the dots before them, by the file's name
#: and with the state in which it was read.
_named_in: dict[str, tuple[tuple[int, int], tuple[tuple[int, str], ...]]] = {}


def _imported_by_file(space: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of loaded modules that the file of a module imports anywhere."""
    file = space.get("__file__")
    is_main = space.get("__name__") == "__main__"  # a script may be called anything
    if not isinstance(file, str) or not (file.endswith(".py") or is_main):
        return
    package = str(space.get("__package__") or "")
    for dots, name in _modules_named_in(file):
        above = package
        for _ in range(dots - 1):
            above = above.rpartition(".")[0]
        full = ".".join(filter(None, (above, name))) if dots else name
        if full in sys.modules:
            yield full


def _modules_named_in(file: str) -> tuple[tuple[int, str], ...]:
    try:
        found = os.stat(file)
        state = found.st_mtime_ns, found.st_size
        known = _named_in.get(file)
        if known is not None and known[0] == state:
            return known[1]
        if found.st_size > _MOST_BYTES:
            return ()
        with open(file, encoding="utf-8", errors="replace") as content:
            names = tuple(_modules_in_text(content.read()))
    except OSError:
        return ()
    _named_in[file] = state, names
    return names


def _modules_in_text(text: str) -> Iterator[tuple[int, str]]:
    """Yield the modules that import statements name, each with the number of dots before it."""
    with IMPORTING:
        import re

    for match in re.finditer("|".join(_TOKENS), text, re.MULTILINE):
        dots, name, several = match.groups()
        if several is not None:
            for part in several.split(","):
                words = part.split()
                if words:
                    yield 0, words[0]
        elif dots is not None and (dots or name):
            yield len(dots), name


# -- all modules ------------------------------------------------------------------------------------


def iterate_sys_modules() -> Iterator[ModuleType]:
    """Yield all loaded modules."""
    yield from [module for module in list(sys.modules.values()) if isinstance(module, type(sys))]


def file_of(module: ModuleType) -> str | None:
    """Return the file that a module says it was loaded from; None if it says none."""
    try:
        file = module.__file__
    except Exception:
        return None
    return file if isinstance(file, str) else None


def imported_as(files: Iterable[str]) -> dict[str, str]:
    """Return the names of the loaded modules that some files are, by the files as they are given.

    Of several names of one file the first that was imported.
    """
    wanted = {os.path.realpath(file): file for file in files}
    # The end of a path is enough to pass over nearly all modules, and looking for links is slow.
    ends = {_end(file) for file in wanted}
    found: dict[str, str] = {}
    for module in iterate_sys_modules() if wanted else ():
        file = file_of(module)
        if file is not None and _end(file) in ends:
            given = wanted.get(os.path.realpath(file))
            if given is not None and module.__name__ != "__main__":
                found.setdefault(given, module.__name__)
    return found


def _end(file: str) -> tuple[str, ...]:
    if os.pardir in file:  # a folder of the path that was given so
        file = os.path.normpath(file)
    return tuple(file.rsplit(os.sep, 2)[1:])
