"""What a queued program will import that it has not imported yet: inside main, by a command, later.

The import statements of its sources are read, and nothing is imported. What they name below the
folders that the stored program will import from is a source of the run, with what that imports in
turn; other modules are packages, or are not found, and then somebody should know.
"""

from __future__ import annotations

import ast
import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING
from sacred.core.installed import found_anew, is_installed, place_of_module
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sacred.core.recorder import Recorder

__all__ = ["LaterImports", "Missed", "find_later_imports", "what_will_be_missed"]

#: Files that are looked through at most, and the size of one (bytes).
_MOST_FILES = 2000
_MOST_BYTES = 4 << 20
#: Imports that are named in a sentence.
_TOLD = 10
_CATCHES = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")


class Missed(NamedTuple):
    """An import statement that could not be followed.

    Attributes
    ----------
    module
        As it is named there, with its dots.
    file, line
        Where.
    place
        The file that it is, which is neither of the program nor installed; None if it was not
        found.
    """

    module: str
    file: str
    line: int
    place: str | None = None


class LaterImports(NamedTuple):
    """What the import statements of a program name.

    Attributes
    ----------
    files
        Real paths of the program's own modules, those that were looked through first included.
    packages
        Names of installed modules that it imports, without what stands behind a dot.
    missed
        Imports of modules that are neither, whether they were found or not.
    """

    files: list[str]
    packages: list[str]
    missed: list[Missed]


class _Import(NamedTuple):
    """A module that a statement names: dots, name, names that may be modules in it, line."""

    dots: int
    name: str
    members: tuple[str, ...]
    line: int
    is_optional: bool


def find_later_imports(files: Iterable[str], folders: Iterable[str]) -> LaterImports:
    """Follow the import statements of some files, wherever they stand in them.

    Parameters
    ----------
    files
        The sources that are known.
    folders
        Where modules are imported from.

    Returns
    -------
    LaterImports
        Statements that are for type checkers only, or whose failure is caught, miss nothing.
    """
    roots = list(dict.fromkeys(os.path.realpath(folder) for folder in folders))
    # A script may have no extension; what else has another one is no Python.
    known = [os.path.realpath(f) for f in files if os.path.splitext(f)[1] in {"", ".py", ".pyw"}]
    found = dict.fromkeys(_with_packages(known, roots))
    waiting = list(found)
    packages: dict[str, None] = {}
    missed: dict[tuple[str, str], Missed] = {}
    while waiting:
        file = waiting.pop()
        for statement in _imports_of(file):
            paths = _resolved(statement, file, roots)
            for path in _with_packages(paths or (), roots):
                if path not in found and len(found) < _MOST_FILES:
                    found[path] = None
                    waiting.append(path)
            if paths:
                continue
            name, top = statement.name, statement.name.partition(".")[0]
            is_of_program = statement.dots or any(_below(root, [top], ()) for root in roots)
            place = None
            if not statement.dots and (not is_of_program or name in sys.modules):
                place = place_of_module(name if name in sys.modules else top)
            if paths is not None and (is_of_program or place is None or os.path.isdir(place)):
                continue  # without files: a folder that is a package
            if place is None:
                if not statement.is_optional:
                    module = "." * statement.dots + name
                    missed.setdefault((module, file), Missed(module, file, statement.line))
            elif is_installed(name, place):
                packages[top] = None
            elif place not in found:
                # Of an optional one the program does without, and would do something else.
                missed.setdefault((top, ""), Missed(top, file, statement.line, place))
    again = found_anew({top: one.place for (top, _), one in missed.items() if one.place})
    packages.update(dict.fromkeys(again))
    told = [one for (top, file), one in missed.items() if file or top not in again]
    return LaterImports(list(found), list(packages), told)


def what_will_be_missed(
    recorder: Recorder, experiment_info: Any, program: Mapping[str, Any]
) -> str | None:
    """Record what a queued program needs besides what it has loaded; say what it will lack.

    Parameters
    ----------
    recorder
        Of the run; it has the sources that are loaded.
    experiment_info
        What is known of the experiment.
    program
        How it was called, as the journal keeps it.

    Returns
    -------
    str or None
        A sentence for whoever queued the run.
    """
    if recorder.folder is None:
        return None
    if not experiment_info.get("mainfile"):
        return (
            "This experiment is in no file that could be started: `sacred run` can not run what "
            "was queued. Here, or wherever the experiment is defined again, "
            f"ex.run(resume={recorder.folder.number}) does."
        )
    try:
        text = _record_later_imports(recorder, experiment_info, program)
    except Exception as error:
        text = f"What the program imports later could not be looked for: {error}"
    if text is not None:
        recorder.message("warning", text)
    return text


def _record_later_imports(
    recorder: Recorder, experiment_info: Any, program: Mapping[str, Any]
) -> str | None:
    """Record what a queued program will import; return a sentence about what was not found.

    The parameters are those of ``what_will_be_missed``.

    Raises
    ------
    OSError
        A file can not be read.
    """
    with IMPORTING:
        from sacred.core.distributions import distribution_of
        from sacred.core.imports import imported_as
        from sacred.core.settings import SETTINGS
        from sacred.core.sources import import_folder

    if SETTINGS.DISCOVER_SOURCES == "none":
        return None
    base = os.path.realpath(str(experiment_info["base_dir"]))
    main = str(experiment_info.get("mainfile") or "")
    known = [os.path.join(base, str(name)) for name, _ in experiment_info.get("sources") or ()]
    top = os.path.dirname(os.path.join(base, main))
    for _ in filter(None, str(program.get("package") or "").split(".")):
        top = os.path.dirname(top)
    folders: list[str] = [top, base, *map(str, program.get("path") or ())]
    for file, name in imported_as(known).items():
        folders += filter(None, [import_folder(os.path.realpath(file), name)])
    found = find_later_imports(known, folders)
    recorder.sources(list(_described(found.files, base)), None)
    if SETTINGS.DISCOVER_DEPENDENCIES != "none":
        distributions = [distribution_of(name, _origin(name)) for name in found.packages]
        recorder.dependencies(
            sorted(f"{one.name}=={one.version}" for one in distributions if one is not None)
        )
    return _sentence(found.missed, base)


def _described(files: Iterable[str], base: str) -> Iterator[tuple[str, str, str]]:
    # The store finds out the MD5 while it reads the file.
    for file in sorted(files):
        yield os.path.relpath(file, base), file, ""


def _sentence(missed: list[Missed], base: str) -> str | None:
    def named(some: list[Missed]) -> str:
        told = ", ".join(
            f"{one.module} ({f'{one.place}; ' if one.place else ''}"
            f"{os.path.relpath(one.file, base)}, line {one.line})"
            for one in some[:_TOLD]
        )
        return f"{told} and {len(some) - _TOLD} more" if len(some) > _TOLD else told

    absent = [one for one in missed if one.place is None]
    strange = [one for one in missed if one.place is not None]
    sentences = []
    if absent:
        sentences.append(
            "Imports of the program were not found, and are not stored with this run: "
            f"{named(absent)}. `sacred run` needs them installed, or named by `ex.add_source_file`."
        )
    if strange:
        sentences.append(
            "Modules that the program imports are neither installed nor modules of its base folder "
            f"({base}), and are not stored with this run: {named(strange)}. `sacred run` does not "
            "find them, or finds what they are by then: give the experiment a `base_dir` that they "
            "lie in, or name their files by `ex.add_source_file`."
        )
    return " ".join(sentences) or None


# -- statements -----------------------------------------------------------------------------------


def _imports_of(file: str) -> list[_Import]:
    """Return what a file imports; nothing of one that can not be read."""
    import warnings

    try:
        if os.path.getsize(file) > _MOST_BYTES:
            return []
        with open(file, "rb") as content, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[_Import] = []
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, is_optional = waiting.pop()
        if isinstance(node, ast.If) and _is_for_checkers(node.test):
            waiting += [(child, is_optional) for child in node.orelse]
            continue
        if isinstance(node, ast.With) and any(map(_suppresses, node.items)):
            is_optional = True
        if isinstance(node, ast.Try):
            caught = is_optional or any(map(_catches_imports, node.handlers))
            waiting += [(child, caught) for child in [*node.body, *node.handlers]]
            waiting += [(child, is_optional) for child in [*node.orelse, *node.finalbody]]
            continue
        found += _imported_by(node, is_optional)
        waiting += [(child, is_optional) for child in ast.iter_child_nodes(node)]
    return sorted(found, key=lambda one: one.line)


def _imported_by(node: ast.AST, is_optional: bool) -> Iterator[_Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _Import(0, alias.name, (), node.lineno, is_optional)
    elif isinstance(node, ast.ImportFrom):
        members = tuple(alias.name for alias in node.names)
        yield _Import(node.level, node.module or "", members, node.lineno, is_optional)
    elif isinstance(node, ast.Call) and node.args:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        first = node.args[0]
        if called in {"import_module", "__import__"} and isinstance(first, ast.Constant):
            name = first.value if isinstance(first.value, str) else ""
            bare = name.lstrip(".")
            if bare and all(part.isidentifier() for part in bare.split(".")):
                yield _Import(len(name) - len(bare), bare, (), node.lineno, is_optional)


def _is_for_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _suppresses(item: ast.withitem) -> bool:
    call = item.context_expr
    called = call.func if isinstance(call, ast.Call) else None
    return "suppress" in {getattr(called, "id", None), getattr(called, "attr", None)}


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = (kind.attr if isinstance(kind, ast.Attribute) else kind for kind in kinds)
    return any((getattr(name, "id", name)) in _CATCHES for name in names)


# -- files ----------------------------------------------------------------------------------------


def _resolved(statement: _Import, file: str, roots: list[str]) -> list[str] | None:
    """Return the files that an import executes; None if the module is none of the program's."""
    parts = statement.name.split(".") if statement.name else []
    if statement.dots:
        folder = os.path.dirname(file)
        for _ in range(statement.dots - 1):
            folder = os.path.dirname(folder)
        starts = [folder]
    else:
        starts = roots
    files: dict[str, None] = {}
    is_there = False
    for start in starts:
        found = _below(start, parts, statement.members)
        if found is None:
            continue
        is_there = True
        files.update(dict.fromkeys(found))
        # A package without `__init__.py` may have more parts, in other folders.
        if statement.dots or _below(start, parts[:1], ()):
            break
    return [path for path in files if path != file] if is_there else None


def _with_packages(paths: Iterable[str], roots: list[str]) -> Iterator[str]:
    """Yield some files, and the ``__init__.py`` of the packages that they are in."""
    for path in paths:
        yield path
        folder = os.path.dirname(path)
        inside = [root for root in roots if folder.startswith(os.path.join(root, ""))]
        while inside and folder not in roots[:1]:
            package = os.path.join(folder, "__init__.py")
            if not os.path.isfile(package):
                break
            yield package
            folder = os.path.dirname(folder)


def _below(start: str, parts: list[str], members: tuple[str, ...]) -> list[str] | None:
    """Return the files of a module below a folder, its packages first; None if it is not there."""
    files: list[str] = []
    at = start
    for number, part in enumerate(parts, 1):
        files_of_it = (os.path.join(at, part + suffix) for suffix in _suffixes())
        file = next(filter(os.path.isfile, files_of_it), None)
        at = os.path.join(at, part)
        package = os.path.join(at, "__init__.py")
        if os.path.isfile(package):
            files.append(os.path.realpath(package))
        elif file is not None:
            # A name behind it is one in the module, not a module.
            return [*files, os.path.realpath(file)] if number == len(parts) else None
        elif not _is_namespace(at):
            return None
    inside = os.path.join(at, "__init__.py")
    if not parts and os.path.isfile(inside):
        files.append(os.path.realpath(inside))
    for member in members:
        found = _below(at, [member], ()) if member != "*" else None
        files += found or ()
    # A folder without any Python file in it that was named is no module.
    return files if files or not parts or _is_namespace(at) else None


def _suffixes() -> list[str]:
    from importlib.machinery import EXTENSION_SUFFIXES

    return [*EXTENSION_SUFFIXES, ".py"]


def _is_namespace(folder: str) -> bool:
    """Tell whether a folder can be a package without ``__init__.py``, and no environment or root."""
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    if {"pyvenv.cfg", ".sacred-journal"} & set(names):
        return False
    return any(name.endswith(".py") or os.path.isdir(os.path.join(folder, name)) for name in names)


def _origin(top: str) -> str | None:
    import importlib.util

    if top in sys.stdlib_module_names:
        return None
    try:
        with IMPORTING:
            spec: Any = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec is not None and spec.has_location else None
