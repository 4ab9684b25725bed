"""Two answers to one case: what of them can not be equal is put aside, the rest is compared."""

from __future__ import annotations

import re
from typing import Any

#: What depends on the moment, the folder or the place in memory, and what stands for it.
_CHANCE = [
    (re.compile(r"/\S*/(?:theirs|ours)/\d+/place"), "FOLDER"),
    (re.compile(r"\b0x[0-9a-f]{6,}"), "ADDRESS"),
    (re.compile(r"datetime\(2\d{3}(, \d+){5,6}\)"), "datetime(NOW)"),
    (re.compile(r"\b(after) \d+:\d\d:\d\d\b"), r"\1 TIME"),
    (re.compile(r"\b(sacred)(?:-journal)?==[\w.]+"), r"\1==VERSION"),
    (re.compile(r"\b(sacred)(?:-journal)? +== [\w.]+"), r"\1 == VERSION"),
]
#: The frames of either package in a stack trace: the place, then the line of code and its marks.
_FRAMES = re.compile(r'(?m)(?:^ *File "[^"\n]*/sacred/[^"\n]*", line \d+, in .*\n(?:^    .*\n)*)+')
#: What stands for them.
FRAMES = "  frames of the package\n"
#: Frames of a package that only one of the two uses.
_WRAPT = re.compile(r'(?m)(?:^ *File "[^"\n]*/wrapt/[^"\n]*", line \d+, in .*\n(?:^    .*\n)*)+')


#: A set of names in an error, in the order of its hashes.
_SET = re.compile(r"(?<=Available options are: )\{(.*?)\}")


def _sorted_names(match: re.Match[str]) -> str:
    return "{" + ", ".join(sorted(match[1].split(", "))) + "}"


def normal(value: Any) -> Any:
    """Return an answer without what chance and the places of the two packages decide."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if not isinstance(value, str):
        return value
    for pattern, replacement in _CHANCE:
        value = pattern.sub(replacement, value)
    value = _SET.sub(_sorted_names, value)
    value = _WRAPT.sub("", value)
    return _FRAMES.sub(FRAMES, value)


def differences(theirs: Any, ours: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Return (where, what the original has, what this project has) of all that differs."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        for key in sorted({*theirs, *ours}):
            found += differences(theirs.get(key), ours.get(key), f"{path}/{key}")
        return found
    if theirs == ours:
        return []
    # What each call printed stands under a line that names the call.
    if path in {"/stdout", "/stderr"}:
        return _text_differences(theirs, ours, path)
    if (
        isinstance(theirs, list)
        and isinstance(ours, list)
        and len(theirs) == len(ours)
        and (path.endswith("/calls") or "/events" in path)
    ):
        found = []
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            found += differences(one, other, f"{path}/{index}")
        return found
    return [(path, theirs, ours)]


def _text_differences(theirs: str, ours: str, path: str) -> list[tuple[str, Any, Any]]:
    one, other = (re.split(r"(?m)^(?=-- )", text) for text in (theirs, ours))
    if len(one) != len(other):
        return [(path, theirs, ours)]
    return [(path, a, b) for a, b in zip(one, other, strict=True) if a != b]


def report(found: list[tuple[str, Any, Any]]) -> str:
    """Return differences as text to read."""
    return "\n".join(
        f"{path}\n  Sacred: {theirs!r}\n  here:   {ours!r}" for path, theirs, ours in found
    )
