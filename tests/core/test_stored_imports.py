"""Where a path of a program leads when its stored sources are executed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sacred.core.stored_imports import StoredImports

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stored(tmp_path: Path) -> StoredImports:
    """A program of ``base``, unpacked into a folder below that, with ``beside`` from elsewhere."""
    for name in ("base/src", "base/.venv/lib", "base/tmp/unpacked/base"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "base" / ".venv" / "pyvenv.cfg").write_text("")
    folder = str(tmp_path / "base" / "tmp" / "unpacked")
    others = {str(tmp_path / "beside"): f"{folder}/beside"}
    return StoredImports(folder, str(tmp_path / "base"), f"{folder}/base", others)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("base", "base"),
        ("base/src", "base/src"),
        ("base/gone/deep", "base/gone/deep"),
        ("base/src/../src/", "base/src"),
        ("base/linked", "base/src"),
        ("base/.venv/lib", None),
        ("base/.venv/lib/gone", None),
        ("base/tmp/unpacked/base/src", None),
        ("beside", "beside"),
        ("beside/deep", None),
        ("elsewhere", None),
        ("based", None),
        (".", None),
    ],
)
def test_where_a_path_leads(
    stored: StoredImports, tmp_path: Path, path: str, place: str | None
) -> None:
    """What is below the base folder, and no environment, leads to what is unpacked of it."""
    (tmp_path / "base" / "linked").symlink_to(tmp_path / "base" / "src")
    found = stored.place(f"{tmp_path}/{path}")
    expected = None if place is None else str(tmp_path / "base" / "tmp" / "unpacked" / place)
    assert expected == found


def test_relative_paths(
    stored: StoredImports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of the working folder, as for imports."""
    monkeypatch.chdir(tmp_path / "base")
    unpacked = tmp_path / "base" / "tmp" / "unpacked" / "base"
    assert [str(unpacked / "src"), str(unpacked)] == [stored.place("src"), stored.place("")]


def test_a_run_of_an_older_version(tmp_path: Path) -> None:
    """Without a base folder nothing is mapped."""
    stored = StoredImports(str(tmp_path / "unpacked"), "", str(tmp_path / "unpacked"), {})
    assert stored.place(str(tmp_path)) is None


_PROGRAM = """
import sys
from pathlib import Path
from sacred.core.stored_imports import StoredImports
here = Path(sys.argv[1])
sys.path.append(str(here / "base" / "src"))
before = len(sys.path)
try:
    import stored_one  # fills the caches of the import system
except ModuleNotFoundError:
    pass
stored = StoredImports(str(here / "now"), str(here / "base"), str(here / "now"), {})
stored.install([str(here / "now")])
sys.path.insert(0, str(here / "base" / "src"))
import importlib, importlib.util, pickle
import stored_one
print(stored_one.WORD)
for name, file in (("plug", here / "base" / "plug.py"), ("json2", importlib.util.__file__)):
    print(importlib.util.spec_from_file_location(name, file).origin)
try:
    importlib.util.spec_from_file_location("other", str(here / "base" / "other.py"))
except ModuleNotFoundError as error:
    print(error.name)
print(importlib.util.find_spec("stored_none"), importlib.util.find_spec("json").name)
copied = pickle.loads(pickle.dumps(sys.path[1:]))
print(copied == sys.path[1:], type(copied[0]) is type(sys.path[1]), repr(copied[0]))
"""


def test_a_process_that_is_led(tmp_path: Path) -> None:
    """Folders, files and copies of the path, after the import system has looked into the old ones."""
    for name, text in {
        "base/src/stored_two.py": "",
        "base/src/stored_none.py": "",
        "base/other.py": "",
        "now/src/stored_one.py": "WORD = 'stored'\n",
        "now/plug.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    now = str(tmp_path / "now")
    assert [
        "stored",
        f"{now}/plug.py",
        importlib.util.__file__,
        "other",
        "None json",
        f"True True {now!r}",
    ] == done.stdout.splitlines()


def test_this_process_is_left_alone(stored: StoredImports) -> None:
    """Asking where a path leads changes nothing of the import system."""
    hooks, finders = list(sys.path_hooks), list(sys.meta_path)
    stored.place("base")
    assert (hooks, finders) == (sys.path_hooks, sys.meta_path)
