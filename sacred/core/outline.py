"""The outline of an experiment: its commands, named configurations, entries and options, as far as
its source shows them.

Files are read and never run, so that looking at one has no effect, however long the experiment
takes to be imported. What a program makes of names in variables, in loops or by ``setattr`` is not
in the outline.
"""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Entry", "Outline", "OwnOption", "outline_of"]

#: Modules of a program that are looked at, and how large a file may be.
_MOST_FILES = 50
_MOST_BYTES = 1 << 20
_COMMANDS = ("main", "automain", "command")
_MOST_LETTERS = 40


class Entry(NamedTuple):
    """An entry of a configuration: its dotted path, and the text of its value where that is short."""

    path: str
    value: str


class OwnOption(NamedTuple):
    """An option that the script defines."""

    short: str
    long: str
    takes_value: bool
    doc: str


class Outline(NamedTuple):
    """What the source of an experiment shows.

    Attributes
    ----------
    commands, named_configs
        Dotted name -> first line of the docstring.
    entries
        The entries of its configuration.
    options
        Its own options.
    """

    commands: dict[str, str]
    named_configs: dict[str, str]
    entries: list[Entry]
    options: list[OwnOption]


def outline_of(script: str, folder: str | None = None) -> Outline | None:
    """Return the outline of the experiment whose command line a script runs.

    Parameters
    ----------
    script
        The file that is started.
    folder
        Where what it imports is looked for; without it where the file is. Of ``python -m`` it is
        the present folder.

    Returns
    -------
    Outline
        None where the file can not be read or runs no experiment's command line.
    """
    if folder is None:
        folder = os.path.dirname(script)
    program = _Program(os.path.abspath(folder))
    module = program.load(os.path.abspath(script))
    if module is None:
        return None
    for name in module.started:
        experiment = program.resolve(module, name)
        if experiment is not None and experiment.is_experiment:
            return _outline(program, experiment)
    return None


class _Part:
    """An experiment or an ingredient, and what was found of it."""

    def __init__(self, is_experiment: bool, path: str, module: _Module, below: list[str]) -> None:
        self.is_experiment = is_experiment
        self.path = path
        self.module = module
        self.below = below
        self.commands: dict[str, str] = {}
        self.named_configs: dict[str, str] = {}
        self.entries: dict[str, str] = {}


class _Module:
    """One file: the parts that it defines, what it imports, and what it adds to parts."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.parts: dict[str, _Part] = {}
        #: Local name -> (file, name in it); the name is empty for a module.
        self.imports: dict[str, tuple[str, str]] = {}
        #: Local names of classes and of the package.
        self.classes: dict[str, str] = {}
        self.started: list[str] = []
        self.additions: list[tuple[str, str, Any]] = []
        self.options: list[OwnOption] = []


class _Program:
    """The files that a script consists of, each read once."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.modules: dict[str, _Module | None] = {}

    def load(self, filename: str) -> _Module | None:
        if filename in self.modules:
            return self.modules[filename]
        if len(self.modules) >= _MOST_FILES:
            return None
        self.modules[filename] = None
        tree = _parsed(filename)
        if tree is None:
            return None
        module = self.modules[filename] = _Module(filename)
        for node in ast.walk(tree):
            self._read(module, node)
        for other, _ in list(module.imports.values()):
            self.load(other)
        for name, kind, node in module.additions:
            part = self.resolve(module, name)
            if part is not None:
                _add(part, kind, node)
        return module

    def resolve(self, module: _Module, name: str) -> _Part | None:
        """Return the part that a dotted name of a module stands for."""
        seen = set()
        while (module.filename, name) not in seen:
            seen.add((module.filename, name))
            if name in module.parts:
                return module.parts[name]
            # The longest part of the name that was imported is the file to look in.
            head, tail = name, ""
            while head not in module.imports:
                head, dot, last = head.rpartition(".")
                if not dot:
                    return None
                tail = f"{last}.{tail}" if tail else last
            filename, inner = module.imports[head]
            found = self.load(filename)
            if found is None:
                return None
            module, name = found, ".".join(part for part in (inner, tail) if part)
        return None

    def _read(self, module: _Module, node: ast.AST) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._read_import(module, node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            part = _part(module, node.value)
            if part is not None:
                module.parts.update({name: part for name in map(_dotted, targets) if name})
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                _read_decorator(module, decorator, node)
        elif isinstance(node, ast.Call):
            name, _, method = _dotted(node.func).rpartition(".")
            if method == "run_commandline":
                module.started.append(name)
            elif method in ("add_config", "add_named_config"):
                module.additions.append((name, method, node))

    def _read_import(self, module: _Module, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "sacred":
                    module.classes[alias.asname or "sacred"] = ""
                    continue
                found = _module_file(self.folder, alias.name)
                if found:
                    module.imports[alias.asname or alias.name] = (found, "")
            return
        if not node.level and (node.module or "").partition(".")[0] == "sacred":
            for alias in node.names:
                module.classes[alias.asname or alias.name] = alias.name
            return
        folder = self.folder
        if node.level:
            folder = os.path.dirname(module.filename)
            for _ in range(node.level - 1):
                folder = os.path.dirname(folder)
        for alias in node.names:
            # What is imported is a module of its own or a name of the package.
            inner = ".".join(part for part in (node.module, alias.name) if part)
            found = _module_file(folder, inner)
            if found:
                module.imports[alias.asname or alias.name] = (found, "")
                continue
            found = _module_file(folder, node.module or "")
            if found:
                module.imports[alias.asname or alias.name] = (found, alias.name)


def _parsed(filename: str) -> ast.Module | None:
    import warnings

    try:
        if os.path.getsize(filename) > _MOST_BYTES:
            return None
        with open(filename, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _module_file(folder: str, name: str) -> str | None:
    path = os.path.join(folder, *name.split(".")) if name else folder
    for candidate in (f"{path}.py", os.path.join(path, "__init__.py")):
        if os.path.isfile(candidate):
            return candidate
    return None


def _dotted(node: Any) -> str:
    """Return a name with its attributes, or an empty text for another expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return f"{above}.{node.attr}" if above else ""
    return ""


def _class_of(module: _Module, call: ast.Call) -> str:
    name, _, attribute = _dotted(call.func).rpartition(".")
    if not name:
        return module.classes.get(attribute, "")
    return attribute if name.partition(".")[0] in module.classes else ""


def _part(module: _Module, call: ast.Call) -> _Part | None:
    kind = _class_of(module, call)
    if kind not in ("Experiment", "Ingredient"):
        return None
    arguments = {word.arg: word.value for word in call.keywords if word.arg}
    positional = dict(
        zip(("name" if kind == "Experiment" else "path", "ingredients"), call.args, strict=False)
    )
    arguments = {**positional, **arguments}
    path = _text(arguments.get("path", arguments.get("name")))
    below = arguments.get("ingredients")
    names = (
        [_dotted(item) for item in below.elts] if isinstance(below, (ast.List, ast.Tuple)) else []
    )
    return _Part(kind == "Experiment", path, module, [name for name in names if name])


def _read_decorator(module: _Module, decorator: ast.expr, function: ast.FunctionDef) -> None:
    call = decorator if isinstance(decorator, ast.Call) else None
    name, _, method = _dotted(call.func if call else decorator).rpartition(".")
    if call is not None and _class_of(module, call) == "cli_option":
        flags = [_text(argument) for argument in call.args[:2]]
        is_flag: Any = call.args[2] if len(call.args) > 2 else None
        for word in call.keywords:
            is_flag = word.value if word.arg == "is_flag" else is_flag
            flags += [_text(word.value)] if word.arg in ("short_flag", "long_flag") else []
        if len(flags) == 2 and flags[1].startswith("--"):
            takes_value = not (isinstance(is_flag, ast.Constant) and bool(is_flag.value))
            module.options.append(OwnOption(flags[0], flags[1], takes_value, _doc(function)))
    elif method in (*_COMMANDS, "config", "named_config"):
        module.additions.append((name, method, function))
        if method == "automain":
            module.started.append(name)


def _add(part: _Part, kind: str, node: Any) -> None:
    if kind in _COMMANDS:
        part.commands[node.name] = _doc(node)
    elif kind == "named_config":
        part.named_configs[node.name] = _doc(node)
    elif kind == "add_named_config":
        name = _text(node.args[0]) if node.args else ""
        if name:
            part.named_configs[name] = ""
    elif kind == "config":
        for name, value in _assignments(node.body):
            _add_entry(part, name, value)
    else:
        for word in node.keywords:
            if word.arg:
                _add_entry(part, word.arg, word.value)
        for argument in node.args[:1]:
            if isinstance(argument, ast.Dict):
                for path, value in _leaves("", argument):
                    part.entries.setdefault(path, value)
            elif _text(argument):
                _add_file(part, _text(argument))


def _assignments(body: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for statement in body:
        value = getattr(statement, "value", None)
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                names = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
                for item in names:
                    if isinstance(item, ast.Name):
                        yield item.id, value if item is target else None
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if value is not None:
                yield statement.target.id, value
        elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in ("body", "orelse", "finalbody"):
                yield from _assignments(getattr(statement, block, None) or ())
            for clause in [
                *(getattr(statement, "handlers", None) or ()),
                *(getattr(statement, "cases", None) or ()),
            ]:
                yield from _assignments(clause.body)


def _add_entry(part: _Part, name: str, value: Any) -> None:
    for path, text in _leaves(name, value):
        part.entries.setdefault(path, text)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, ast.Dict):
        pairs = [(_text(key), item) for key, item in zip(value.keys, value.values, strict=True)]
    elif isinstance(value, ast.Call) and _dotted(value.func) == "dict" and not value.args:
        pairs = [(word.arg, word.value) for word in value.keywords]
    pairs = [(key, item) for key, item in pairs if key]
    for key, item in pairs:
        yield from _leaves(f"{path}.{key}" if path else key, item)
    if not pairs and path:
        text = "" if value is None else ast.unparse(value)
        yield path, text if len(text) <= _MOST_LETTERS and "\n" not in text else ""


def _add_file(part: _Part, filename: str) -> None:
    from sacred.core.config.config_files import load_config_file
    from sacred.core.dotted import iterate_flattened
    from sacred.journal.integers import legible

    if filename.lower().endswith(".pickle"):
        return
    try:
        content = load_config_file(filename)
    except Exception:
        # Completing is no time to say what is wrong with it; running says it.
        return
    if isinstance(content, dict):
        for path, value in iterate_flattened(content):
            text = repr(legible(value))
            part.entries.setdefault(str(path), text if len(text) <= _MOST_LETTERS else "")


def _text(node: Any) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _doc(function: ast.FunctionDef) -> str:
    return (ast.get_docstring(function) or "").partition("\n")[0]


def _outline(program: _Program, experiment: _Part) -> Outline:
    outline = Outline({}, {}, [], [])
    waiting, seen = [experiment], set()
    while waiting:
        part = waiting.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        prefix = "" if part is experiment else f"{part.path}."
        for name, doc in part.commands.items():
            outline.commands.setdefault(prefix + name, doc)
        for name, doc in part.named_configs.items():
            outline.named_configs.setdefault(prefix + name, doc)
        outline.entries.extend(
            Entry(prefix + path, value)
            for path, value in part.entries.items()
            if not path.startswith("_")
        )
        below = (program.resolve(part.module, name) for name in part.below)
        waiting.extend(found for found in below if found is not None)
    for module in program.modules.values():
        outline.options.extend(module.options if module is not None else ())
    return outline
