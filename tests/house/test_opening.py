"""Files in a root are opened in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sacred

PACKAGE = Path(sacred.__file__).parent

#: Who opens files by itself: how often, and why nothing is waited at there.
BY_THEMSELVES = {
    "journal/blobs.py": (4, "the file that a program stores; new files"),
    "journal/bundle_import.py": (1, "a new file"),
    "journal/file_writer.py": (2, "new files"),
    "journal/folder_lock.py": (1, "a folder"),
    "journal/identity.py": (1, "of the system"),
    "journal/new_file.py": (1, "a new file"),
    "journal/regular_file.py": (1, "it is this place"),
    "journal/root.py": (1, "a folder"),
    "journal/run_files.py": (1, "a new file"),
    "journal/sealer.py": (1, "a new file"),
    "replayers/contract/files.py": (1, "a test's own file"),
    "replayers/copies/fetch.py": (2, "new files, in a folder of its own"),
    "replayers/copies/folder.py": (1, "a new file"),
    "analysis/export.py": (1, "what was written a moment ago, in a folder of its own"),
    "replayers/journal_stamps.py": (2, "folders"),
    "replayers/mark_files.py": (1, "a folder"),
    "replayers/notification_contract.py": (2, "a test's own files"),
    "replayers/sinks/file/disk.py": (1, "a folder"),
    "replayers/sinks/memory.py": (1, "a view for tests"),
    "replayers/sinks/tinydb/disk.py": (1, "a folder"),
    "replayers/stores/importer.py": (1, "a file in a folder of its own"),
}
_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes"}


def _opens(tree: ast.AST) -> int:
    """Count the calls that open a file by its name."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            builtin = isinstance(called, ast.Name) and called.id == "open"
            count += builtin or (isinstance(called, ast.Attribute) and called.attr in _METHODS)
            count += ast.unparse(called) == "os.open"
    return count


@pytest.mark.parametrize("part", ["journal", "replayers"])
def test_who_opens_files(part: str) -> None:
    """What may be a pipe, a device or a link is opened by ``sacred.journal.regular_file``."""
    found = {}
    for path in sorted((PACKAGE / part).rglob("*.py")):
        count = _opens(ast.parse(path.read_text(encoding="utf-8")))
        if count:
            found[path.relative_to(PACKAGE).as_posix()] = count
    assert {
        name: count for name, (count, _) in BY_THEMSELVES.items() if name.startswith(part)
    } == found
