"""From where ``sacred run`` imports the modules of a program, and what ``-q`` says of the others."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
import importlib, os, sys
from sacred import Experiment, SETTINGS
"""
TAIL = """
ex = Experiment("top", save_git_info=False)

@ex.main
def main():
    return mylib.f()

if __name__ == "__main__":
    ex.run_commandline()
"""
QUEUED = "def f(): return 'as queued'\n"
EDITED = "def f(): return 'EDITED AFTERWARDS'\n"
#: Where this very package and its dependencies are found, when a test sets PYTHONPATH.
OURS = os.environ.get("PYTHONPATH", "")


class Shell:
    """A folder with a program, and what is typed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = JournalRoot(folder / "sacred_runs")
        self.said = ""

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def package(self, name: str, text: str) -> None:
        path = self.folder / name / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def call(self, *words: str, path: str = "", expect: int = 0) -> str:
        """Start Python; return what it wrote on stderr."""
        paths = os.pathsep.join(filter(None, (path, OURS)))
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert expect == done.returncode, done.stderr
        return done.stderr

    def queue(self, *words: str, path: str = "") -> str:
        """Queue a run; return what was said besides Sacred's lines."""
        lines = self.call(*words, "-q", path=path).splitlines()
        return "\n".join(line for line in lines if "WARNING" in line and "No observers" not in line)

    def run(self, number: int = 1, *, path: str = "", expect: int = 0) -> str:
        return self.call("-m", "sacred", "run", str(number), path=path, expect=expect)

    def events(self, kind: EventType, number: int = 1) -> list[dict[str, Any]]:
        journal = self.root.run(number).journal
        return [e.fields for e in JournalReader(journal).read() if e.type == kind]

    def sources(self, number: int = 1) -> list[str]:
        return sorted(fields["filename"] for fields in self.events(EventType.SOURCE_ADDED, number))

    def result(self, number: int = 1) -> Any:
        (end,) = self.events(EventType.RUN_ENDED, number)
        return end["result"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


IN_SRC = ["src/mylib/__init__.py", "src/mylib/part.py", "top.py"]


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ("sys.path.insert(0, 'src')", ""),
        ("sys.path.insert(0, os.path.abspath('src'))", ""),
        ("sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'src'))", ""),
        ("sys.path.insert(0, 'src'); SETTINGS.DISCOVER_SOURCES = 'dir'", ""),
        ("SETTINGS.DISCOVER_SOURCES = 'dir'", "src"),
        ("", "src"),
        ("sys.path.insert(0, 'src')\ndel sys.modules['mylib'], sys.path[0]", "src"),
    ],
)
def test_a_library_in_a_folder_of_its_own(shell: Shell, lines: str, path: str) -> None:
    """SRC-01, RUN-08: a `src` of the program is a source, however it came to be imported from.

    What it is by then is never executed, whether the folder is still there or not.
    """
    statement = "import mylib"
    first, _, then = lines.partition("\n")
    then = then and f"import mylib\n{then}\nsys.path.insert(0, 'src')"
    shell.write(top=f"{HEAD}{first}\n{then}\n{statement}\n{TAIL}")
    shell.package("src/mylib", "from .part import f\n")
    shell.write(src__mylib__part=QUEUED)
    for _ in range(2):
        assert "" == shell.queue("top.py", path=path)
    assert IN_SRC == shell.sources()
    shell.write(src__mylib__part=EDITED)
    shell.run(1, path="src" if path else "")
    (shell.folder / "src").rename(shell.folder / "gone")
    shell.run(2)
    assert ["as queued"] * 2 == [shell.result(number) for number in (1, 2)]


def test_what_is_imported_later_from_such_a_folder(shell: Shell) -> None:
    """An import inside main is looked for below PYTHONPATH, and found there again."""
    text = TAIL.replace("    return", "    import mylib\n    return")
    shell.write(top=HEAD + text, src__mylib=QUEUED)
    assert "" == shell.queue("top.py", path="src")
    assert ["src/mylib.py", "top.py"] == shell.sources()
    shell.write(src__mylib=EDITED)
    shell.run()
    assert "as queued" == shell.result()
    (queued,) = shell.events(EventType.RUN_QUEUED)
    assert [str(shell.folder / "src")] == queued["program"]["path"]


def test_parts_of_one_package_in_two_folders(shell: Shell) -> None:
    """A package without `__init__.py` may lie in several folders of the path."""
    shell.write(top=f"{HEAD}import both.one\nfrom both import two as mylib\n{TAIL}")
    shell.write(src__both__one="", lib__both__two="import both.one\n" + QUEUED)
    assert "" == shell.queue("top.py", path=os.pathsep.join(("src", "lib")))
    assert ["lib/both/two.py", "src/both/one.py", "top.py"] == shell.sources()
    shell.write(lib__both__two=EDITED)
    shell.run()
    assert "as queued" == shell.result()


_FINDER = """
import sys
from importlib.util import spec_from_file_location

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        part = name.removeprefix("mylib").replace(".", "/")
        if name.partition(".")[0] == "mylib":
            file = {place!r} + (f"{{part}}.py" if part else "/__init__.py")
            return spec_from_file_location(name, file)

sys.meta_path.append(Finder)
"""


def test_an_editable_installation_below_the_base_folder(shell: Shell, tmp_path: Path) -> None:
    """Its modules are the program's, and its finder does not lead into the checkout."""
    place = str(tmp_path / "src" / "mylib")
    shell.write(site__sitecustomize=_FINDER.format(place=place))
    shell.write(top=f"{HEAD}import mylib.part\n{TAIL}", src__mylib__part=QUEUED)
    shell.package("src/mylib", "from .part import f\n")
    shell.write(src__mylib__other=EDITED)
    site = str(tmp_path / "site")
    assert "" == shell.queue("top.py", path=site)
    assert IN_SRC == shell.sources()
    shell.write(src__mylib__part=EDITED)
    shell.run(path=site)
    assert "as queued" == shell.result()
    # What it would lead to, and is not stored, is missed.
    text = TAIL.replace("    return", "    importlib.import_module('mylib.' + 'other')\n    return")
    shell.write(top=f"{HEAD}import mylib\n{text}")
    assert "" == shell.queue("top.py", path=site)
    said = shell.run(2, path=site, expect=1)
    assert "ModuleNotFoundError: mylib.other leads to" in said
    assert "not stored with this run" in said


def test_a_script_that_changes_its_working_folder(shell: Shell) -> None:
    """It is run where it was called, and goes to where it is queued by itself, again."""
    shell.write(
        top=HEAD + "os.chdir('sub')\nsys.path.insert(0, os.getcwd())\nimport mylib\n" + TAIL,
        sub__mylib=QUEUED,
    )
    shell.root = JournalRoot(shell.folder / "sub" / "sacred_runs")
    assert "" == shell.queue("top.py")
    assert ["sub/mylib.py", "top.py"] == shell.sources()
    shell.write(sub__mylib=EDITED)
    shell.call("-m", "sacred", "--root", "sub/sacred_runs", "run", "1")
    assert "as queued" == shell.result()


def test_a_plug_in_that_is_loaded_by_its_file(shell: Shell) -> None:
    """`spec_from_file_location` of a file below the base folder loads the stored one, or none."""
    load = """
    def load(name, file):
        from importlib.util import module_from_spec, spec_from_file_location
        spec = spec_from_file_location(name, file)
        sys.modules[name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    mylib = load("mylib", "plugs/mylib.py")
    """
    shell.write(top=HEAD + textwrap.dedent(load) + TAIL, plugs__mylib=QUEUED)
    assert "" == shell.queue("top.py")
    assert ["plugs/mylib.py", "top.py"] == shell.sources()
    shell.write(plugs__mylib=EDITED)
    shell.run()
    assert "as queued" == shell.result()
    shell.write(top=HEAD + textwrap.dedent(load).replace('"mylib"', '"other"') + TAIL)
    shell.queue("top.py")
    said = shell.run(2, expect=2)
    assert "needs the module 'other', which is neither stored with it nor installed here" in said


def test_an_ingredient_outside_the_folders_of_the_program(shell: Shell) -> None:
    """It is stored, and found where it lies among the sources."""
    shell.write(
        lab__data="""
        from sacred import Ingredient
        from . import numbers
        data = Ingredient("data", save_git_info=False)

        @data.capture
        def f():
            return numbers.WORD
        """,
        lab__numbers="WORD = 'as queued'\n",
        scripts__top=f"{HEAD}from lab import data as mylib\n"
        + TAIL.replace("save_git", "ingredients=[mylib.data], save_git"),
    )
    assert "" == shell.queue("scripts/top.py", path=".")
    assert ["../lab/data.py", "../lab/numbers.py", "top.py"] == shell.sources()
    shell.write(lab__numbers="WORD = 'EDITED'\n")
    shell.run()
    shell.call("scripts/top.py", "-q", path=".")
    (shell.folder / "lab").rename(shell.folder / "gone")
    shell.run(2)
    assert ["EDITED", "as queued"] == [shell.result(2), shell.result(1)]


def test_an_ingredient_in_the_folder_above(tmp_path: Path) -> None:
    """The path says `..`, and what is found there has that in its name."""
    shell = Shell(tmp_path / "project")
    above = tmp_path / "data.py"
    shell.write(
        top=f"{HEAD}sys.path.insert(0, '..')\nimport data as mylib\n"
        + TAIL.replace("save_git", "ingredients=[mylib.data], save_git"),
    )
    text = """
        from sacred import Ingredient
        data = Ingredient("data", save_git_info=False)

        @data.capture
        def f():
            return "as queued"
        """
    above.write_text(textwrap.dedent(text), encoding="utf-8")
    assert "" == shell.queue("top.py")
    assert ["../data.py", "top.py"] == shell.sources()
    above.write_text(textwrap.dedent(text).replace("as queued", "EDITED"), encoding="utf-8")
    shell.run()
    assert "as queued" == shell.result()


def test_a_library_outside_of_the_base_folder(shell: Shell) -> None:
    """It is no source: that is said at -q, with its place and the line, and at `sacred run`."""
    shell.write(
        scripts__top=f"{HEAD}import mylib\nimport mylib as again\n{TAIL}", src__mylib=QUEUED
    )
    said = shell.queue("scripts/top.py", path=os.pathsep.join(("src", ".")))
    place = shell.folder / "src" / "mylib.py"
    assert f"not stored with this run: mylib ({place}; top.py, line 4)." in said
    assert "neither installed nor modules of its base folder" in said
    assert 1 == said.count("mylib.py")
    assert ["top.py"] == shell.sources()
    said = shell.run(expect=2)
    assert "needs the module 'mylib', which is neither stored with it nor installed here" in said
    # Either remedy that is named helps.
    for number, remedy in enumerate(
        (
            TAIL.replace("save_git", f"base_dir={str(shell.folder)!r}, save_git"),
            TAIL.replace("\n@ex", "ex.add_source_file(mylib.__file__)\n\n@ex", 1),
        ),
        2,
    ):
        shell.write(scripts__top=f"{HEAD}import mylib\n{remedy}", src__mylib=QUEUED)
        assert "" == shell.queue("scripts/top.py", path="src")
        shell.write(src__mylib=EDITED)
        shell.run(number)
        assert "as queued" == shell.result(number)


@pytest.mark.parametrize(
    "place", ["venv/lib/python3/site-packages", "env/lib", "vendor", "tools/dist-packages"]
)
def test_what_is_installed_below_the_base_folder(shell: Shell, place: str) -> None:
    """Packages in an environment below it, or where pip was told to put them, are no sources."""
    (shell.folder / place / "mylib-1.0.dist-info").mkdir(parents=True)
    if place == "env/lib":
        (shell.folder / place / "mylib-1.0.dist-info").rmdir()
        (shell.folder / "env" / "pyvenv.cfg").write_text("")
    shell.write(top=f"{HEAD}import mylib\n{TAIL}", **{f"{place.replace('/', '__')}__mylib": QUEUED})
    path = str(shell.folder / place)
    said = shell.queue("top.py", path=path)
    assert ["top.py"] == shell.sources()
    # An environment without any record of what is installed in it says nothing to anybody.
    assert ("mylib (" in said) == (place == "env/lib")
    (queued,) = shell.events(EventType.RUN_QUEUED)
    assert "path" not in queued["program"]
    shell.run(path=path)
    assert "as queued" == shell.result()


def test_a_module_that_was_compiled(shell: Shell) -> None:
    """An extension module of the program is a source, too; without it nothing could be imported."""
    import _bisect

    file = getattr(_bisect, "__file__", None)
    if file is None:
        pytest.skip("this Python has no extension module in a file")
    suffix = os.path.basename(file).partition(".")[2]
    place = shell.folder / "src" / "mylib" / f"_bisect.{suffix}"
    shell.package(
        "src/mylib", "from ._bisect import bisect_right\ndef f(): return bisect_right([1], 2)\n"
    )
    with open(file, "rb") as content:
        place.write_bytes(content.read())
    shell.write(top=f"{HEAD}import mylib\n{TAIL}")
    assert "" == shell.queue("top.py", path="src")
    assert ["src/mylib/__init__.py", f"src/mylib/_bisect.{suffix}", "top.py"] == shell.sources()
    (shell.folder / "src").rename(shell.folder / "gone")
    shell.run()
    assert 1 == shell.result()


_POOL = """
import multiprocessing

def work(_):
    import mylib
    return mylib.f()

ex = Experiment("top", save_git_info=False)

@ex.main
def main():
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        return pool.map(work, [1]) + pool.map(mylib.g, [1])

if __name__ == "__main__":
    ex.run_commandline()
"""


@pytest.mark.skipif(os.name == "nt", reason="fork")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_the_program_starts(shell: Shell, method: str) -> None:
    """They execute the main file anew, and import what is stored as well."""
    lines = "sys.path.insert(0, 'src')\nimport mylib"
    shell.write(top=f"{HEAD}{lines}\n{_POOL.format(method=method)}")
    shell.write(src__mylib=QUEUED + "def g(_): return 'as queued'\n")
    assert "" == shell.queue("top.py")
    shell.write(src__mylib=EDITED + "def g(_): return 'EDITED'\n")
    shell.run()
    assert ["as queued"] * 2 == shell.result()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_run_that_was_killed_as_it_began(shell: Shell) -> None:
    """It has its main file; who wants to go on with it by what is stored is told what can be done."""
    die = "\n".join(
        (
            "from sacred.core.recorder import Recorder",
            "if '-c' not in sys.argv:",
            "    Recorder.sources = lambda *_: os.kill(os.getpid(), 9)",
        )
    )
    shell.write(top=f"{HEAD}import mylib\n{die}\n{TAIL}", mylib=QUEUED)
    shell.call("top.py", expect=-9)
    assert ["top.py"] == shell.sources()
    said = shell.call("-m", "sacred", "run", "1", "--resume", expect=2)
    assert "needs the module 'mylib'" in said
    assert "its own program can go on with it, by --resume 1" in said
    shell.call("top.py", "--resume", "1", "-c", "again")
    assert ["mylib.py", "top.py"] == shell.sources()
    assert "as queued" == shell.result()
