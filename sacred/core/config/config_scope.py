"""A configuration given as the body of a function.

The body is compiled on its own and run with a namespace that records every assignment, so that
values fixed from outside can not be overwritten. Names assigned in the body are seen everywhere in
it: in comprehensions, lambdas, nested functions and classes too.
"""

from __future__ import annotations

import _ast
import linecache
import re
from typing import TYPE_CHECKING, Any

from sacred.core.config.config_summary import ConfigSummary
from sacred.core.config.custom_containers import DogmaticDict
from sacred.core.config.utils import dogmatize, normalize_or_die, recursive_fill_in, undogmatize
from sacred.core.errors import ConfigError
from sacred.core.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import CodeType

__all__ = [
    "ConfigScope",
    "dedent_function_body",
    "get_config_comments",
    "get_function_body",
    "get_function_body_code",
]

_ONLY_AST = 0x400
#: The bits of a code object's flags that stand for ``from __future__ import ...``.
_FUTURE_FLAGS = 0x1FE0000
_VARARGS, _VARKEYWORDS = 0x04, 0x08
#: How many ends are tried for a function; each wrong one is a line of a string at its margin.
_MOST_ENDS = 1000

_SEED_DOC = "the random seed for this experiment"


class ConfigScope:
    """A function whose local variables are configuration entries.

    Parameters
    ----------
    func
        A function without default values, ``*args`` and ``**kwargs``. Its parameters name the
        earlier entries, ingredients and special values (``_log``) that the body reads.

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
        self.args = _parameter_names(func)
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
        KeyError
            If a declared name is in neither ``preset`` nor ``fallback``, or if the name of an
            entry is not allowed.
        """
        fallback = fallback or {}
        preset = preset or {}
        available = {*preset, *fallback}
        for name in self.args:
            if name not in available:
                raise KeyError(
                    f"'{name}' not in preset for ConfigScope. "
                    f"Available options are: {available or 'set()'}"
                )
        names = _Namespace(dogmatize(fixed or {}).fixed, _visible_names(self._func))
        names.fallback = {name: fallback[name] for name in self.args if name in fallback}
        names.visible.update(names.fallback)
        for name in self.args:
            if name not in fallback:
                names[name] = preset[name]
        with ConfigError.track(names):
            exec(self._body_code, names.visible, names)  # noqa: S102 - the user's own function

        added = names.revelation()
        entries = undogmatize(names)
        recursive_fill_in(entries, preset)
        summary = ConfigSummary(
            added, names.modified, names.typechanges, names.fallback_writes, self._var_docs
        )
        summary.update(normalize_or_die(entries))
        return summary

    def __repr__(self) -> str:
        return f"ConfigScope({self._func!r})"


ConfigScope.__module__ = "sacred.config.config_scope"


class _Namespace(DogmaticDict):
    """The local variables of a scope, copied into its global ones as they change.

    Code nested in the body looks names up among the globals, which are a copy of the module's.
    """

    def __init__(self, fixed: Mapping[Any, Any], visible: dict[str, Any]) -> None:
        super().__init__(fixed)
        self.visible = visible
        self._hidden: dict[str, Any] = {}

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if key in self.visible and key not in self._hidden:
            self._hidden[key] = self.visible[key]
        self.visible[key] = dict.__getitem__(self, key)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        if not dict.__contains__(self, key):
            self.visible.pop(key, None)
            if key in self._hidden:
                self.visible[key] = self._hidden[key]


def _parameter_names(func: Any) -> list[str]:
    code = getattr(func, "__code__", None)
    if code is None:
        raise TypeError(f"A config scope must be a function, not {func!r}.")
    if code.co_flags & _VARARGS:
        raise TypeError("*args not allowed for ConfigScope functions")
    if code.co_flags & _VARKEYWORDS:
        raise TypeError("**kwargs not allowed for ConfigScope functions")
    if func.__defaults__ or func.__kwdefaults__:
        raise TypeError("default values are not allowed for ConfigScope functions")
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


# -- source ---------------------------------------------------------------------------------------

#: The last definition that was found, by its code: each is asked for several times in a row.
_last_definition: list[tuple[CodeType, _ast.FunctionDef]] = []


def _find_definition(func: Any) -> _ast.FunctionDef:
    """Return the syntax tree of a function, with the line numbers of its file.

    Raises
    ------
    OSError
        If there is no source, or one that does not fit.
    """
    code: CodeType = func.__code__
    # By identity: code objects of two files can be equal.
    for known, definition in _last_definition:
        if known is code:
            return definition
    lines = _source_lines(func)
    start = code.co_firstlineno - 1
    for end in _possible_ends(lines, start):
        try:
            node = _parse(lines[start:end], start)
        except SyntaxError:
            continue
        if not isinstance(node, _ast.FunctionDef):
            raise TypeError("A config scope must be a function that was defined by def.")
        _last_definition[:] = [(code, node)]
        return node
    raise OSError(
        f"could not get source code of {func.__qualname__} from {code.co_filename}: "
        "it does not fit the function. Use add_config with a dictionary instead."
    )


def _source_lines(func: Any) -> list[str]:
    filename = func.__code__.co_filename
    linecache.checkcache(filename)
    lines = linecache.getlines(filename, func.__globals__)
    if len(lines) < func.__code__.co_firstlineno:
        raise OSError(
            f"could not get source code of {func.__qualname__}: a config scope needs it, and "
            f"{filename} can not be read. Use add_config with a dictionary instead."
        )
    return lines


def _possible_ends(lines: Sequence[str], start: int) -> Iterator[int]:
    """Yield where the block that begins at ``start`` may end, the nearest first.

    A line at the block's margin ends it unless it belongs to a header of several lines or to a
    string; then what lies before it can not be parsed, and the next one is tried.
    """
    margin = _indentation(lines[start])
    tried = 0
    for i in range(start + 1, len(lines)):
        line = lines[i].strip()
        if line and not line.startswith("#") and _indentation(lines[i]) <= margin:
            yield i
            tried += 1
            if tried > _MOST_ENDS:
                break
    yield len(lines)


def _indentation(line: str) -> int:
    expanded = line.expandtabs()
    return len(expanded) - len(expanded.lstrip())


def _parse(block: Sequence[str], start: int) -> Any:
    # Empty lines in front keep the line numbers; a margin needs something to be indented under.
    source = "".join(block)
    if _indentation(block[0]):
        source = "\n" * (start - 1) + "if 1:\n" + source
    else:
        source = "\n" * start + source
    node: Any = compile(source, "<config scope>", "exec", _ONLY_AST, dont_inherit=True)
    statements = node.body[0].body if _indentation(block[0]) else node.body
    return statements[0]


def get_function_body_code(func: Callable[..., Any]) -> CodeType:
    """Return the body of a function, compiled to be run with a namespace of its own.

    Line numbers and the name of the file are those of the function.

    Raises
    ------
    SyntaxError
        If there is a ``return`` or ``yield`` in the body.
    """
    definition = _find_definition(func)
    code: CodeType = func.__code__
    for node in _walk(definition.body):
        if isinstance(node, (_ast.Return, _ast.Yield, _ast.YieldFrom)):
            raise SyntaxError(  # noqa: TRY004 - the statement is wrong, no value
                f"No return/yield statements allowed in ConfigScopes ({func.__qualname__})",
                (code.co_filename, node.lineno, node.col_offset + 1, None),
            )
    tree = _ast.Module(body=_prepared(_body_of(definition)), type_ignores=[])
    body: CodeType = compile(
        tree, code.co_filename, "exec", code.co_flags & _FUTURE_FLAGS, dont_inherit=True
    )
    # In stack traces the frame is called like the function.
    names: dict[str, Any] = {
        name: getattr(code, name) for name in ("co_name", "co_qualname") if hasattr(code, name)
    }
    return body.replace(**names)


_SCOPES = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda, _ast.ClassDef)


def _walk(nodes: Any) -> Iterator[Any]:
    """Yield the nodes of some statements, without those of nested functions and classes."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _SCOPES):
            continue
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                waiting.extend(entry for entry in value if isinstance(entry, _ast.AST))
            elif isinstance(value, _ast.AST):
                waiting.append(value)


def _blocks(statement: Any) -> Iterator[list[Any]]:
    """Yield the lists of statements of a compound statement, and those of its clauses."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(statement, field, None)
        if isinstance(block, list):
            yield block
    for clause in [*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())]:
        yield clause.body


def _prepared(body: list[Any]) -> list[Any]:
    """Turn annotated assignments into plain ones, which leave no ``__annotations__`` behind."""
    prepared: list[Any] = []
    for statement in body:
        if isinstance(statement, _ast.AnnAssign):
            place = _place(statement)
            if statement.value is None:
                prepared.append(_ast.Pass(**place))
            else:
                prepared.append(
                    _ast.Assign(
                        targets=[statement.target],
                        value=statement.value,
                        type_comment=None,
                        **place,
                    )
                )
            continue
        if not isinstance(statement, _SCOPES):
            for block in _blocks(statement):
                block[:] = _prepared(block)
        prepared.append(statement)
    return prepared


def _body_of(definition: _ast.FunctionDef) -> list[Any]:
    """Return the statements of a function, its docstring without the margin of the body.

    The docstring becomes the entry ``__doc__`` and is shown there.
    """
    first = definition.body[0]
    if not (isinstance(first, _ast.Expr) and isinstance(first.value, _ast.Constant)):
        return definition.body
    text = first.value.value
    if not isinstance(text, str) or "\n" not in text:
        return definition.body
    margin = " " * first.col_offset
    dedented = "\n".join(line.removeprefix(margin) for line in text.split("\n"))
    constant = _ast.Constant(value=dedented, kind=None, **_place(first.value))
    return [_ast.Expr(value=constant, **_place(first)), *definition.body[1:]]


def _place(node: Any) -> dict[str, Any]:
    names = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    return {name: getattr(node, name) for name in names}


# -- comments -------------------------------------------------------------------------------------


def get_config_comments(func: Callable[..., Any]) -> dict[str, str]:
    """Return the comments on the assignments of a function: name -> text.

    The comment on the line of an assignment counts, else the nearest one above that only empty
    lines lie between. Assignments directly in the body and one level deeper are looked at.
    """
    docs: dict[str, str] = {}
    lines = _source_lines(func)
    definition = _find_definition(func)
    if any("#" in line for line in lines[definition.lineno - 1 : definition.end_lineno]):
        above: int = definition.lineno
        for statement in definition.body:
            _add_doc(docs, statement, lines, above)
            if not isinstance(statement, _SCOPES):
                above = statement.lineno
                for block in _blocks(statement):
                    for nested in block:
                        _add_doc(docs, nested, lines, above)
                        above = nested.end_lineno
            above = statement.end_lineno or above
    docs["seed"] = _SEED_DOC
    return docs


def _add_doc(docs: dict[str, str], statement: Any, lines: Sequence[str], above: int) -> None:
    if isinstance(statement, _ast.Assign):
        targets = statement.targets
    elif isinstance(statement, _ast.AnnAssign):
        targets = [statement.target]
    else:
        return
    comment = _comment_for(statement, lines[above : statement.lineno - 1], lines)
    if comment is None:
        return
    waiting = list(targets)
    while waiting:
        target = waiting.pop()
        if isinstance(target, _ast.Name):
            docs[target.id] = comment
        elif isinstance(target, (_ast.Tuple, _ast.List)):
            waiting.extend(target.elts)
        elif isinstance(target, _ast.Starred):
            waiting.append(target.value)


def _comment_for(statement: Any, between: Sequence[str], lines: Sequence[str]) -> str | None:
    """Return the comment on a statement; ``between`` are the lines up to the one before."""
    beside = _comment_after(lines[statement.end_lineno - 1], statement.end_col_offset)
    if beside is not None and statement.lineno == statement.end_lineno:
        return beside
    for line in reversed(between):
        text = line.strip()
        if text.startswith("#"):
            comment = _comment_text(text)
            return beside if comment is None else comment
        if text:
            break
    return beside


def _comment_after(line: str, offset: int) -> str | None:
    # Behind a statement there are only other statements of the line; a string with a # in one of
    # them is told from a comment by Python's own tokens.
    rest = line.encode()[offset:].decode().strip()
    if "#" not in rest:
        return None
    if not rest.startswith("#"):
        from io import StringIO
        from tokenize import COMMENT, TokenError, generate_tokens

        try:
            tokens = list(generate_tokens(StringIO(rest.lstrip(";")).readline))
        except (TokenError, SyntaxError):
            return None
        comments = [token.string for token in tokens if token.type == COMMENT]
        if not comments:
            return None
        rest = comments[-1]
    return _comment_text(rest)


def _comment_text(comment: str) -> str | None:
    text = comment.strip().lstrip("#").strip()
    if any(re.search(pattern, text) for pattern in SETTINGS.CONFIG.IGNORED_COMMENTS):
        return None
    return text


# -- as text --------------------------------------------------------------------------------------


def get_function_body(func: Callable[..., Any]) -> tuple[str, int]:
    """Return the body of a function as it is written, and how many lines of the file precede it."""
    definition = _find_definition(func)
    first, last = definition.body[0], definition.body[-1]
    lines = _source_lines(func)[first.lineno - 1 : last.end_lineno]
    if first.lineno == definition.lineno:
        lines[0] = lines[0].encode()[first.col_offset :].decode()
    return "".join(lines), first.lineno - 1


def dedent_function_body(body: str) -> str:
    """Return the lines of a function's body without the indentation that they share."""
    from textwrap import dedent

    return dedent(body)
