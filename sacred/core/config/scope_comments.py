"""The comments on the assignments of a config scope, which document its entries."""

from __future__ import annotations

import _ast
import re
from typing import TYPE_CHECKING, Any

from sacred.core.config.scope_source import SCOPES, blocks, find_definition, source_lines
from sacred.core.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["get_config_comments"]

_SEED_DOC = "the random seed for this experiment"


def get_config_comments(func: Callable[..., Any]) -> dict[str, str]:
    """Return the comments on the assignments of a function: name -> text.

    The comment on the line of an assignment counts, else the nearest one above that only empty
    lines lie between; of several assignments to one name, the first with a comment. Assignments
    directly in the body and one level deeper are looked at.
    """
    docs: dict[str, str] = {}
    lines = source_lines(func)
    definition = find_definition(func)
    if any("#" in line for line in lines[definition.lineno - 1 : definition.end_lineno]):
        above: int = definition.lineno
        for statement in definition.body:
            _add_doc(docs, statement, lines, above)
            if not isinstance(statement, SCOPES):
                above = statement.lineno
                for block in blocks(statement):
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
            docs.setdefault(target.id, comment)
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
    patterns = SETTINGS.CONFIG.IGNORED_COMMENTS
    try:
        if isinstance(patterns, str):
            raise TypeError("it is a text")
        ignored = any(re.search(pattern, text) for pattern in patterns)
    except (TypeError, re.error) as error:
        from sacred.core.setting_checks import SettingTypeError

        raise SettingTypeError(
            "SETTINGS.CONFIG.IGNORED_COMMENTS must be a list of regular expressions, not "
            f"{patterns!r}: {error}.",
            print_traceback=False,
        ) from None
    return None if ignored else text
