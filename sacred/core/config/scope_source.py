"""The source of a config scope: its syntax tree, its body compiled, and where things stand in it."""

from __future__ import annotations

import _ast
import linecache
from typing import TYPE_CHECKING, Any

from sacred.core.config.place import function_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import CodeType

    _Definition = _ast.FunctionDef | _ast.AsyncFunctionDef

__all__ = [
    "ASSIGN",
    "SCOPES",
    "blocks",
    "find_definition",
    "get_function_body",
    "get_function_body_code",
    "line_of",
    "source_lines",
]

_ONLY_AST = 0x400
#: The bits of a code object's flags that stand for ``from __future__ import ...``.
_FUTURE_FLAGS = 0x1FE0000
#: How many ends are tried for a function; each wrong one is a line of a string at its margin.
_MOST_ENDS = 1000

_DICTIONARY = "Use add_config with a dictionary instead."
#: Of names that stand for no file.
_REMEDIES = {
    "<stdin>": f"Run the script by its name (python script.py). Or: {_DICTIONARY.lower()}",
    "<string>": f"Write the program into a file. Or: {_DICTIONARY.lower()}",
}

#: The last definition that was found, by its code: each is asked for several times in a row.
_last_definition: list[tuple[CodeType, _Definition]] = []


def find_definition(func: Any) -> _Definition:
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
    lines = source_lines(func)
    start = code.co_firstlineno - 1
    for end in _possible_ends(lines, start):
        try:
            node = _parse(lines[start:end], start)
        except SyntaxError:
            continue
        if not isinstance(node, (_ast.FunctionDef, _ast.AsyncFunctionDef)):
            raise TypeError(
                "A config scope must be a function that was defined by def. This is none: "
                f"{function_place(func)}"
            )
        _last_definition[:] = [(code, node)]
        return node
    raise OSError(
        f"could not get source code of {func.__qualname__} from {code.co_filename}: "
        f"it does not fit the function. {_DICTIONARY}"
    )


def source_lines(func: Any) -> list[str]:
    """Return the lines of the file that a function is in, as they are now.

    Raises
    ------
    OSError
        If they can not be read, or are too few.
    """
    filename = func.__code__.co_filename
    linecache.checkcache(filename)
    lines = linecache.getlines(filename, func.__globals__)
    if len(lines) < func.__code__.co_firstlineno:
        raise OSError(
            f"could not get source code of {func.__qualname__}: a config scope needs it, and "
            f"{filename} can not be read. {_REMEDIES.get(filename, _DICTIONARY)}"
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
        If there is a ``return`` or ``yield`` in the body, or a ``nonlocal`` for a variable of it.
    """
    definition = find_definition(func)
    code: CodeType = func.__code__
    for node in _walk(definition.body):
        if isinstance(node, (_ast.Return, _ast.Yield, _ast.YieldFrom)):
            raise SyntaxError(  # noqa: TRY004 - the statement is wrong, no value
                f"No return/yield statements allowed in ConfigScopes ({func.__qualname__})",
                (
                    code.co_filename,
                    node.lineno,
                    node.col_offset + 1,
                    linecache.getline(code.co_filename, node.lineno),
                ),
            )
    statements = _prepared(_body_of(definition))
    _assignments_by_call(statements)
    tree = _ast.Module(body=statements, type_ignores=[])
    flags = code.co_flags & _FUTURE_FLAGS
    try:
        body: CodeType = compile(tree, code.co_filename, "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        if "nonlocal" in str(error.msg):
            error.msg = (
                f"{error.msg}: the variables of a ConfigScope are entries of the configuration, to "
                "which no function can assign. Keep what it counts in a list, count = [0], and write "
                f"count[0] += 1 ({func.__qualname__})"
            )
        raise
    # In stack traces the frame is called like the function.
    names: dict[str, Any] = {
        name: getattr(code, name) for name in ("co_name", "co_qualname") if hasattr(code, name)
    }
    return body.replace(**names)


SCOPES = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda, _ast.ClassDef)


def _walk(nodes: Any) -> Iterator[Any]:
    """Yield the nodes of some statements, without those of nested functions and classes."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, SCOPES):
            continue
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                waiting.extend(entry for entry in value if isinstance(entry, _ast.AST))
            elif isinstance(value, _ast.AST):
                waiting.append(value)


_COMPREHENSIONS = (_ast.ListComp, _ast.SetComp, _ast.DictComp, _ast.GeneratorExp)
#: No identifier, so that no name of a user's is in its way.
ASSIGN = "<:=>"


def _assignments_by_call(nodes: Any) -> None:
    """Turn ``:=`` inside of comprehensions into calls, in place.

    Python makes a name that is assigned so at the outermost level of code a global one, in all of
    that code; here it is a variable of the scope, as in any function.
    """
    for node in _walk(nodes):
        if isinstance(node, _COMPREHENSIONS):
            _replace_assignments(node)


def _replace_assignments(node: Any) -> None:
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            value[:] = [_replaced(item) for item in value]
        else:
            setattr(node, field, _replaced(value))


def _replaced(node: Any) -> Any:
    if not isinstance(node, _ast.AST) or isinstance(node, SCOPES):
        return node
    _replace_assignments(node)
    if not isinstance(node, _ast.NamedExpr):
        return node
    place = _place(node)
    name = _ast.Constant(value=node.target.id, kind=None, **_place(node.target))
    function = _ast.Name(id=ASSIGN, ctx=_ast.Load(), **_place(node.target))
    return _ast.Call(func=function, args=[name, node.value], keywords=[], **place)


def line_of(func: Any, entry: str | None) -> int:
    """Return the line on which a scope assigns to an entry last, or that of its head."""
    try:
        definition = find_definition(func)
    except (OSError, TypeError):
        # The file has changed since.
        return int(func.__code__.co_firstlineno)
    lines = [
        node.lineno
        for node in _walk(definition.body)
        if isinstance(node, _ast.Name) and isinstance(node.ctx, _ast.Store) and node.id == entry
    ]
    return max(lines, default=definition.lineno)


def blocks(statement: Any) -> Iterator[list[Any]]:
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
        if not isinstance(statement, SCOPES):
            for block in blocks(statement):
                block[:] = _prepared(block)
        prepared.append(statement)
    return prepared


def _body_of(definition: _Definition) -> list[Any]:
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


def get_function_body(func: Callable[..., Any]) -> tuple[str, int]:
    """Return the body of a function as it is written, and how many lines of the file precede it."""
    definition = find_definition(func)
    first, last = definition.body[0], definition.body[-1]
    lines = source_lines(func)[first.lineno - 1 : last.end_lineno]
    if first.lineno == definition.lineno:
        lines[0] = lines[0].encode()[first.col_offset :].decode()
    return "".join(lines), first.lineno - 1
