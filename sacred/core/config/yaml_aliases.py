"""Aliases of YAML files: what a file of a few lines may grow to.

``*name`` stands for all that ``&name`` marks, so ten lines can stand for thousands of millions of
values, and a value can hold itself. A configuration is copied as the tree that it is, so both are
refused before anything is made of them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["check_aliases"]

#: So many values a file with aliases may stand for, or ten times what is written, if that is more.
_MOST_VALUES = 1_000_000
#: So many characters of a text count as a value.
_TEXT = 100


def check_aliases(root: Any) -> None:
    """Refuse a document whose aliases lead in a circle, or stand for too much.

    Parameters
    ----------
    root
        Its outermost node, as PyYAML composes it.

    Raises
    ------
    ValueError
        The file can not be a configuration; the text says why.
    """
    sizes: dict[int, int] = {}
    written: list[int] = []
    total = _size(root, sizes, written)
    if total > max(_MOST_VALUES, 10 * sum(written)):
        raise ValueError(
            f"its aliases (*name) stand for more than {_MOST_VALUES:,} values. Write out what it is "
            "to hold"
        )


def _size(node: Any, sizes: dict[int, int], written: list[int]) -> int:
    """Return how many values a node stands for.

    ``sizes`` has those of the nodes that were seen, ``written`` what each of them is without those
    in it.
    """
    known = sizes.get(id(node))
    if known == 0:
        raise ValueError(
            f"what begins in line {node.start_mark.line + 1} contains itself by an alias (*name). "
            "Write out what it is to hold"
        )
    if known is None:
        sizes[id(node)] = 0
        inside = node.value if isinstance(node.value, list) else ()
        known = 1 if inside else 1 + len(node.value) // _TEXT
        written.append(known)
        for item in inside:
            for part in item if isinstance(item, tuple) else (item,):
                known += _size(part, sizes, written)
        sizes[id(node)] = known
    return known
