"""What a program has imported: through its own modules, inside its functions, and late."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipapp

import pytest

from sacred.core.imports import reachable_modules
from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot

_HEAD = "from sacred import Experiment\nex = Experiment('late')\n"


def write(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/", 1) + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(folder, *words, expect=0, **options):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    assert expect == done.returncode, done.stderr
    return done


def events(folder, kind, number=1):
    journal = JournalRoot(folder / "sacred_runs").run(number).journal
    return [event.fields for event in JournalReader(journal).read() if event.type == kind]


def sources(folder, number=1):
    return [fields["filename"] for fields in events(folder, EventType.SOURCE_ADDED, number)]


def test_sources_of_sources(tmp_path):
    """SRC-01: what a source imports is a source too, through any number of them, circles too."""
    write(
        tmp_path,
        main=_HEAD + "import one\n@ex.automain\ndef main(): pass\n",
        one="import two\n",
        two="from pkg import three\n",
        pkg__three="import one\n",
        alone="",
    )
    (tmp_path / "pkg" / "__init__.py").write_text("")
    run(tmp_path, "main.py")
    names = ["main.py", "one.py", "pkg/__init__.py", "pkg/three.py", "two.py"]
    assert names == sorted(sources(tmp_path))
    assert "main.py" == sources(tmp_path)[0]


@pytest.mark.parametrize(
    "statement",
    [
        "import helper",
        "import helper as h",
        "from helper import thing",
        "from lib import deep",
        "import lib.deep",
        "from lib.deep import thing",
        "import importlib; importlib.import_module('helper')",
        "[__import__('helper') for _ in range(1)]",
    ],
)
def test_imports_inside_main(tmp_path, statement):
    """SRC-01: a source that main imports is recorded, with its content, once."""
    write(
        tmp_path,
        main=f"{_HEAD}@ex.automain\ndef main():\n    {statement}\n",
        helper="thing = 1\n",
        lib__deep="thing = 1\n",
    )
    run(tmp_path, "main.py", "-C", "no")
    module = "lib/deep.py" if "lib" in statement.replace("importlib", "") else "helper.py"
    assert ["main.py", module] == sources(tmp_path)
    blobs = BlobStore(JournalRoot(tmp_path / "sacred_runs").blobs)
    stored = [f["blob"]["digest"] for f in events(tmp_path, EventType.SOURCE_ADDED)]
    assert [(tmp_path / name).read_bytes() for name in ("main.py", module)] == [
        blobs.read(digest) for digest in stored
    ]


@pytest.mark.parametrize(
    "place",
    [
        "@ex.config\ndef config():\n    import helper as _h\n    x = 1\n    del _h\n",
        "@ex.capture\ndef captured():\n    import helper\n@ex.pre_run_hook\ndef hook(): captured()\n",
        "class C:\n    @staticmethod\n    def a():\n        import helper\nC.a()\n",
        "class C:\n    @property\n    def a(self):\n        import helper\nC().a\n",
        "def a():\n    def b():\n        import helper\n    b()\na()\n",
        "import functools\n@functools.lru_cache\ndef a():\n    import helper\na()\n",
    ],
)
def test_imports_inside_functions(tmp_path, place):
    """SRC-01: also what ran before the run began: scopes, hooks, methods, inner functions."""
    write(tmp_path, main=f"{_HEAD}{place}@ex.automain\ndef main(): pass\n", helper="")
    run(tmp_path, "main.py")
    assert ["helper.py", "main.py"] == sorted(sources(tmp_path))


def test_only_what_was_imported(tmp_path):
    """SRC-01: an import that was never reached is none, and no file is looked for."""
    write(
        tmp_path,
        main=f"{_HEAD}@ex.automain\ndef main():\n    if not ex:\n        import helper\n",
        helper="",
    )
    run(tmp_path, "main.py")
    assert ["main.py"] == sources(tmp_path)


def test_a_driver_of_two_experiments(tmp_path):
    """SRC-01: a run has the sources of its own experiment, not those of its neighbour."""
    for name in ("first", "second"):
        write(
            tmp_path,
            **{
                name: f"import {name}_part\n{_HEAD}@ex.main\ndef main(): pass\n",
                f"{name}_part": "",
            },
        )
    write(tmp_path, drive="import first, second\nfirst.ex.run()\nsecond.ex.run()\n")
    run(tmp_path, "drive.py")
    assert ["first.py", "first_part.py"] == sorted(sources(tmp_path, 1))
    assert ["second.py", "second_part.py"] == sorted(sources(tmp_path, 2))


def test_namespace_packages(tmp_path):
    """SRC-02: modules of a package without `__init__.py` are sources."""
    write(
        tmp_path,
        main=f"import space.tool\n{_HEAD}@ex.automain\ndef main():\n    from space import other\n",
        space__tool="",
        space__other="",
    )
    run(tmp_path, "main.py")
    assert ["main.py", "space/other.py", "space/tool.py"] == sorted(sources(tmp_path))
    assert not [
        name
        for fields in events(tmp_path, EventType.DEPENDENCIES_FOUND)
        for name in fields["dependencies"]
        if name.startswith("space")
    ]


def test_a_module_of_a_program_run_as_a_module(tmp_path):
    """SRC-02: `python -m` with relative imports inside functions."""
    write(
        tmp_path,
        pkg__train=f"{_HEAD}@ex.automain\ndef main():\n    from . import tool\n    from .other import x\n",
        pkg__tool="",
        pkg__other="x = 1\n",
    )
    (tmp_path / "pkg" / "__init__.py").write_text("")
    run(tmp_path, "-m", "pkg.train")
    assert ["__init__.py", "other.py", "tool.py", "train.py"] == sorted(sources(tmp_path))


def test_a_zip_application(tmp_path):
    """SRC-02: of a program in an archive the archive is the source; Sacred can not start it."""
    write(tmp_path / "app", lib="")
    (tmp_path / "app" / "__main__.py").write_text(
        f"import lib\n{_HEAD}@ex.automain\ndef main():\n    pass\n"
    )
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    run(tmp_path, "app.pyz", "-F", "view")
    assert ["app.pyz"] == sources(tmp_path)
    experiment = json.loads((tmp_path / "view" / "1" / "run.json").read_text())["experiment"]
    assert ("app.pyz", str(tmp_path)) == (experiment["mainfile"], experiment["base_dir"])


def test_a_file_that_is_not_there_is_no_source(tmp_path):
    """SRC-02: in a frozen application `__file__` names no file: there is no source, and no error."""
    program = f"{_HEAD}@ex.main\ndef main(): pass\nex.run()\n"
    frozen = f"exec({program!r}, {{'__name__': 'frozen', '__file__': '/no/such/place/train.py'}})"
    run(tmp_path, "-c", frozen)
    assert [] == sources(tmp_path)


def test_late_packages(tmp_path):
    """SRC-03: a package that main imports is recorded; those that this one imports are not."""
    site = tmp_path / "site"
    for name in ("spoon", "handle"):
        (site / name).mkdir(parents=True)
        (site / f"{name}-1.5.dist-info").mkdir()
    (site / "spoon" / "__init__.py").write_text("import handle\n")
    (site / "handle" / "__init__.py").write_text("")
    folder = tmp_path / "work"
    write(folder, main=f"{_HEAD}@ex.automain\ndef main():\n    import spoon\n")
    run(folder, "main.py", env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), _path()])})
    found = [n for f in events(folder, EventType.DEPENDENCIES_FOUND) for n in f["dependencies"]]
    assert "spoon==1.5" in found
    assert "handle==1.5" not in found
    assert len(found) == len(set(found))


def _path():
    import sacred

    return os.path.dirname(sacred.__path__[0])


def test_a_late_source_survives_a_kill(tmp_path):
    """SRC-01: it is recorded while the run goes on, not at its end."""
    write(
        tmp_path,
        main=(
            f"{_HEAD}import threading\n@ex.automain\ndef main(_run):\n"
            "    while not _run._facts.done:\n        threading.Event().wait(0.01)\n"
            "    import helper\n"
            "    print('ready', flush=True)\n    threading.Event().wait(60)\n"
        ),
        helper="",
    )
    process = subprocess.Popen(
        [sys.executable, "main.py", "-C", "no"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert b"ready\n" == process.stdout.readline()
        seen = comes(lambda: "helper.py" in sources(tmp_path))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(100)
        process.stdout.close()
    assert seen
    assert ["helper.py", "main.py"] == sorted(sources(tmp_path))


def comes(found, patience=100.0):
    import time

    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("none", ["main.py"]),
        ("imported", ["helper.py", "main.py"]),
        ("sys", ["helper.py", "main.py"]),
        ("dir", ["helper.py", "main.py", "unused.py"]),
    ],
)
def test_the_setting_decides(tmp_path, strategy, expected):
    """SRC-01: DISCOVER_SOURCES holds for what comes late as well."""
    write(
        tmp_path,
        main=(
            f"from sacred import SETTINGS\nSETTINGS.DISCOVER_SOURCES = {strategy!r}\n"
            f"{_HEAD}@ex.automain\ndef main():\n    import helper\n"
        ),
        helper="",
        unused="",
    )
    run(tmp_path, "main.py")
    assert expected == sorted(sources(tmp_path))


def test_a_lazy_object_is_not_woken():
    """SRC-01: looking for imports calls nothing of the user's; what raises is passed over."""

    class Lazy:
        def __getattr__(self, name):
            raise ZeroDivisionError

        @property
        def __class__(self):
            raise ZeroDivisionError

    globs = {"__name__": "x", "lazy": Lazy(), "json": json}
    assert (json, False) in list(reachable_modules(globs, lambda module: False))
