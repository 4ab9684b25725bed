"""Docstrings as the site shows them: what is written for other readers is put into Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

#: ``:class:`Run` ``, as Sphinx and editors read it.
ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")


def as_markdown(text: str) -> str:
    """Return a docstring with roles as code, and ``::`` as what a reader is to see of it."""
    text = ROLE.sub(r"`\1`", text)
    return re.sub(
        r"^(.*)::$", lambda m: f"{m[1]}:" if m[1].strip() else "", text, flags=re.MULTILINE
    )


class Docstrings(griffe.Extension):
    """Change each docstring before it is taken apart."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change one."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
