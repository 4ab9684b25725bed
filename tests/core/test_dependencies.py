"""Finding sources and packages."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from sacred.core import dependencies, distributions, repositories
from sacred.core import sources as sources_module
from sacred.core.dependencies import (
    PackageDependency,
    Source,
    gather_sources_and_dependencies,
    get_digest,
    is_local_source,
)
from sacred.core.imports import imported_as
from sacred.core.settings import SETTINGS
from sacred.core.sources import Installations, import_folder


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An experiment of several files, imported."""
    files = {
        "spoon_main.py": "import json\nimport spoon_lib\nfrom spoon_pkg.sub import thing\n",
        "spoon_lib.py": "import spoon_deep\n",
        "spoon_deep.py": "",
        "spoon_pkg/__init__.py": "",
        "spoon_pkg/sub.py": "class T: pass\nthing = T()\n",
        "spoon_pkg/unused.py": "",
        "notes.txt": "",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("spoon_main")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("spoon_")]:
        del sys.modules[name]


def names(sources, base):
    return sorted(os.path.relpath(source.filename, base) for source in sources)


def gather(project):
    return gather_sources_and_dependencies(vars(sys.modules["spoon_main"]), False, None)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("none", ["spoon_main.py"]),
        (
            "imported",
            [
                "spoon_deep.py",
                "spoon_lib.py",
                "spoon_main.py",
                "spoon_pkg/__init__.py",
                "spoon_pkg/sub.py",
            ],
        ),
        (
            "sys",
            [
                "spoon_deep.py",
                "spoon_lib.py",
                "spoon_main.py",
                "spoon_pkg/__init__.py",
                "spoon_pkg/sub.py",
            ],
        ),
        (
            "dir",
            [
                "spoon_deep.py",
                "spoon_lib.py",
                "spoon_main.py",
                "spoon_pkg/__init__.py",
                "spoon_pkg/sub.py",
                "spoon_pkg/unused.py",
            ],
        ),
    ],
)
def test_sources_by_strategy(project, monkeypatch, strategy, expected):
    """SRC-01: none, imported (with what sources import, and parent packages), sys, dir."""
    monkeypatch.setitem(SETTINGS, "DISCOVER_SOURCES", strategy)
    main, sources, _ = gather(project)
    assert expected == names(sources, project)
    assert str(project / "spoon_main.py") == main.filename


@pytest.mark.parametrize("setting", ["DISCOVER_SOURCES", "DISCOVER_DEPENDENCIES"])
def test_an_unknown_strategy_is_a_key_error(project, monkeypatch, setting):
    """SRC-01, SRC-03: a setting that names no strategy says which there are."""
    monkeypatch.setitem(SETTINGS, setting, "bogus")
    with pytest.raises(KeyError, match=f"SETTINGS.{setting} is 'bogus'.*imported"):
        gather(project)


def test_without_a_file_there_is_no_main_source(monkeypatch, tmp_path):
    """SRC-01: globals without `__file__` have no main file."""
    monkeypatch.chdir(tmp_path)
    main, sources, _ = gather_sources_and_dependencies({"__name__": "x"}, False)
    assert (None, set()) == (main, sources)


def test_the_journals_are_no_sources(project, monkeypatch):
    """SRC-01: files below a root of journals, or in a virtual environment, are passed over."""
    for folder, marker in (("sacred_runs", ".sacred-journal"), ("venv", "pyvenv.cfg")):
        inner = project / folder / "deep"
        inner.mkdir(parents=True)
        (project / folder / marker).write_text("")
        (inner / "copy.py").write_text("")
    monkeypatch.setitem(SETTINGS, "DISCOVER_SOURCES", "dir")
    _, sources, _ = gather(project)
    assert [] == [name for name in names(sources, project) if "copy" in name]
    copy = project / "sacred_runs" / "deep" / "copy.py"
    assert not is_local_source(copy, "sacred_runs.deep.copy", project)


@pytest.mark.parametrize(
    ("file", "module", "local"),
    [
        ("b/c.py", "b.c", True),
        ("b/c.py", "c", False),
        ("b/__init__.py", "b", True),
        ("b/s/c.py", "s.c", False),
        ("b/s/c.py", "b.s.c", True),
        ("top.py", "top", True),
        ("top.py", "__main__", False),
        ("top.py", "x.top", False),
    ],
)
def test_a_local_source_is_where_its_name_says(tmp_path, file, module, local):
    """SRC-02: local means below the base folder, with the parts of the module's name."""
    assert local == is_local_source(tmp_path / file, module, tmp_path)
    assert not is_local_source(tmp_path / file, module, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("file", "module", "base", "local"),
    [
        ("pkg/tools.py", "pkg.tools", "pkg", True),
        ("pkg/__init__.py", "pkg", "pkg", True),
        ("pkg/sub/tools.py", "pkg.sub.tools", "pkg", True),
        ("pkg/sub/tools.py", "pkg.sub.tools", "pkg/sub", True),
        ("pkg/sub/__init__.py", "pkg.sub", "pkg/sub", True),
        ("pkg/sub/tools.py", "sub.tools", "pkg/sub", True),
        ("pkg/tools.py", "pkg.tools", "pkg/sub", False),
        ("pkg/tools.py", "other.tools", "pkg", False),
        ("pkg/__init__.py", "other", "pkg", False),
        ("pkg/sub/tools.py", "x.pkg.sub.tools", "pkg", False),
        ("pkg/lib/site-packages/tools/__init__.py", "tools", "pkg", False),
        ("pkg/lib/site-packages/tools/deep.py", "tools.deep", "pkg", False),
    ],
)
def test_the_base_folder_may_lie_in_the_package(tmp_path, file, module, base, local):
    """SRC-02: a name may begin above the base folder, in the folders that it lies in."""
    assert local == is_local_source(tmp_path / file, module, tmp_path / base)


@pytest.mark.parametrize(
    ("file", "module", "folder"),
    [
        ("src/pkg/tools.py", "pkg.tools", "src"),
        ("src/pkg/__init__.py", "pkg", "src"),
        ("src/tools.py", "tools", "src"),
        ("src/pkg/fast.cpython-311-x86_64-linux-gnu.so", "pkg.fast", "src"),
        ("src/pkg/tools.py", "src.pkg.tools", ""),
        ("src/pkg/tools.py", "other", None),
        ("src/pkg/tools.py", "lib.tools", None),
        ("src/pkg/tools.py", "__main__", None),
    ],
)
def test_the_folder_that_a_module_was_imported_from(tmp_path, file, module, folder):
    """What is left of its file's path without its name, if the two agree."""
    expected = None if folder is None else str(tmp_path / folder)
    assert expected == import_folder(str(tmp_path / file), module)


@pytest.mark.parametrize(
    ("marker", "place", "holds"),
    [
        ("", "src", False),
        ("", "src/deep/er", False),
        ("src/pyvenv.cfg", "src/lib/deep", True),
        ("src/conda-meta/history", "src/lib", True),
        ("src/.sacred-journal", "src", True),
        ("src/other-1.0.dist-info/METADATA", "src/pkg", True),
        ("src/other.egg-info/PKG-INFO", "src", False),
        ("", "lib/site-packages", True),
        ("", "lib/dist-packages/pkg", True),
        ("pyvenv.cfg", "src", False),
        ("pyvenv.cfg", ".", False),
    ],
)
def test_what_is_installed_below_a_folder(tmp_path, marker, place, holds):
    """Environments, packages of pip's and journals are no part of a program; what is around it is."""
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    if marker:
        (tmp_path / marker).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / marker).write_text("")
    assert holds == Installations(str(tmp_path)).hold(str(folder))


def test_an_interpreter_below_a_folder(tmp_path, monkeypatch):
    """An experiment in a home folder does not own the Python, nor this package, that lies in it."""
    prefix = tmp_path / ".pyenv" / "3.11"
    monkeypatch.setattr(sys, "base_prefix", str(prefix))
    installations = Installations(str(tmp_path))
    assert installations.hold(str(prefix / "lib" / "python3.11"))
    assert not installations.hold(str(tmp_path / ".pyenv"))
    package = Path(sources_module.__file__).parents[1]
    assert Installations(str(package.parents[1])).hold(str(package / "core"))


@pytest.mark.parametrize(
    ("files", "main", "expected"),
    [
        (("src/q9a/__init__.py", "src/q9a/one.py", "src/q9a/two.py"), "import q9a.one", True),
        (("src/q9n/one.py",), "import q9n.one", True),
        (("lib/site-packages/q9i.py",), "import q9i", False),
    ],
)
def test_modules_of_a_folder_below(tmp_path, monkeypatch, files, main, expected):
    """SRC-01, SRC-02: what was imported from a folder below the experiment's is a source."""
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from . import two\n" if name.endswith("a/one.py") else "")
    (tmp_path / "q9main.py").write_text(main + "\n")
    top = tmp_path / ("src" if expected else "lib/site-packages")
    monkeypatch.syspath_prepend(str(top))
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        module = importlib.import_module("q9main")
        _, found, _ = gather_sources_and_dependencies(vars(module), False, None)
        assert sorted(["q9main.py", *(files if expected else ())]) == names(found, tmp_path)
        every = imported_as([str(tmp_path / name) for name in files])
        assert {str(tmp_path / name) for name in files} == set(every)
        outside = is_local_source(tmp_path / files[0], every[str(tmp_path / files[0])], tmp_path)
        assert not outside  # Sacred's own measure is what it was
    finally:
        for name in [name for name in sys.modules if name.startswith("q9")]:
            del sys.modules[name]


_TRAIN = """
from sacred import Experiment
from {package} import tools
ex = Experiment("packed")
@ex.main
def main():
    return tools.answer()
if __name__ == "__main__":
    ex.run_commandline()
"""
_OUTSIDE = """
from {package}.train import ex
ex.run_commandline()
"""


@pytest.mark.parametrize("package", ["spoons", "spoons.deep", "spoons.deep.deeper"])
@pytest.mark.parametrize("how", ["-m", "main.py"])
def test_an_experiment_in_a_package_has_its_modules(tmp_path, package, how):
    """SRC-01, SRC-02: the modules beside the main file count, and the packages that they are in."""
    folder = tmp_path.joinpath(*package.split("."))
    folder.mkdir(parents=True)
    for parent in [folder, *folder.parents]:
        if parent == tmp_path:
            break
        (parent / "__init__.py").write_text("")
    (folder / "tools.py").write_text("def answer(): return 42\n")
    (folder / "train.py").write_text(_TRAIN.format(package=package))
    (tmp_path / "main.py").write_text(_OUTSIDE.format(package=package))
    script = ["-m", f"{package}.train"] if how == "-m" else ["main.py"]
    subprocess.run(
        [sys.executable, *script, "-F", "view"],
        cwd=tmp_path,
        timeout=60,
        check=True,
        capture_output=True,
    )
    experiment = json.loads((tmp_path / "view" / "1" / "run.json").read_text())["experiment"]
    above = ["../" * depth + "__init__.py" for depth in range(package.count(".") + 1)]
    names = [name for name, _ in experiment["sources"]]
    assert sorted([*above, "tools.py", "train.py"]) == sorted(names)
    assert ("train.py", str(folder)) == (experiment["mainfile"], experiment["base_dir"])


def _loaded(tmp_path, monkeypatch, files, main):
    """Import a module of some files, and return the names of its sources and packages."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    tops = {name.partition("/")[0].removesuffix(".py") for name in files}
    try:
        module = importlib.import_module(main)
        _, sources, _ = gather_sources_and_dependencies(vars(module), False, None)
        return names(sources, tmp_path)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]


@pytest.mark.parametrize(
    "statement",
    [
        "from .fork_x import LIMIT",
        "from . fork_x import LIMIT",
        "from forks.fork_x import (\n    LIMIT,\n)",
        "from forks.fork_x import LIMIT; del LIMIT",
        "import json, forks.fork_x as x; LIMIT = x.LIMIT; del x",
        "if True:\n    from .fork_x import LIMIT",
        "try: from .fork_x import LIMIT\nexcept ImportError: pass",
        "class T:\n    from .fork_x import LIMIT",
    ],
)
def test_a_module_that_only_gave_a_constant_is_a_source(tmp_path, monkeypatch, statement):
    """SRC-01: a number imports nothing into the globals that tells where it came from."""
    files = {
        "forks/__init__.py": "",
        "forks/fork_main.py": statement + "\n",
        "forks/fork_x.py": "from .fork_y import DEPTH\nLIMIT = DEPTH\n",
        "forks/fork_y.py": "DEPTH = 3\n",
        "forks/fork_z.py": "",
    }
    found = _loaded(tmp_path, monkeypatch, files, "forks.fork_main")
    assert [f"forks/{name}.py" for name in ("__init__", "fork_main", "fork_x", "fork_y")] == found


@pytest.mark.parametrize(
    "text",
    [
        '"""\nimport fork_z\n"""\n',
        "'''\nimport fork_z '''\n",
        "# import fork_z\n",
        'a = "\\"; import fork_z"\n',
        "a = '''\\''' ; import fork_z'''\n",
        'a = "#"; b = """\nfrom fork_z import x\n"""\n',
    ],
)
def test_what_stands_in_a_string_imports_nothing(tmp_path, monkeypatch, text):
    """A module that is loaded, and only spoken of, is no source."""
    files = {
        "fork_main.py": text,
        "fork_other.py": "import fork_main, fork_z\n",
        "fork_z.py": "",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        importlib.import_module("fork_other")
        found = gather_sources_and_dependencies(vars(sys.modules["fork_main"]), False, None)[1]
    finally:
        for name in [name for name in sys.modules if name.startswith("fork_")]:
            del sys.modules[name]
    assert ["fork_main.py"] == names(found, tmp_path)


def test_the_package_of_an_experiment_is_its_own(tmp_path, monkeypatch):
    """What an experiment imports from the folders above it, in its own package, is a source."""
    files = {
        "forks/__init__.py": "",
        "forks/common.py": "from .deep import LIMIT\n",
        "forks/deep.py": "LIMIT = 3\n",
        "forks/unused.py": "",
        "forks/sub/__init__.py": "",
        "forks/sub/train.py": "from ..common import LIMIT\nimport spoons_beside\n",
        "spoons_beside.py": "",
    }
    found = _loaded(tmp_path, monkeypatch, files, "forks.sub.train")
    expected = ["__init__", "common", "deep", "sub/__init__", "sub/train"]
    assert [f"forks/{name}.py" for name in expected] == found
    sys.modules.pop("spoons_beside", None)


def test_an_installed_package_is_no_source(tmp_path, monkeypatch):
    """Above the base folder, an experiment's own package counts only where it is developed."""
    site = tmp_path / "lib" / "site-packages"
    site.mkdir(parents=True)
    files = {
        "forks/__init__.py": "",
        "forks/common.py": "LIMIT = 3\n",
        "forks/sub/__init__.py": "",
        "forks/sub/train.py": "from ..common import LIMIT\n",
    }
    found = _loaded(site, monkeypatch, files, "forks.sub.train")
    assert ["forks/sub/train.py"] == found


def test_a_source_knows_its_digest(tmp_path):
    """SRC-02, USE-08: a source is its real path and the MD5 of its content."""
    file = tmp_path / "a.py"
    file.write_bytes(b"x = 1\n")
    (tmp_path / "link.py").symlink_to(file)
    source = Source.create(str(tmp_path / "link.py"), False)
    md5 = hashlib.md5(b"x = 1\n").hexdigest()
    assert (str(file), md5) == (source.filename, source.digest)
    assert (str(file), md5) == source.to_json()
    assert ("a.py", md5) == source.to_json(tmp_path)
    assert md5 == get_digest(file)
    assert Source.create(file) in {source}
    assert f"<Source: {file}>" == repr(source)


def test_sources_are_ordered_by_file(tmp_path):
    """SRC-02: sources sort by their path."""
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("")
    first, second = (Source.create(tmp_path / name) for name in ("a.py", "b.py"))
    assert [first, second] == sorted([second, first])
    assert first not in (second, 1)


@pytest.mark.parametrize("name", ["script", "notes.txt", "x.ipynb", "x.so"])
def test_any_file_can_be_a_source(tmp_path, name):
    """SRC-02 [!]: a script without extension failed an assertion."""
    file = tmp_path / name
    file.write_text("")
    assert str(file) == Source.create(file).filename


def test_a_compiled_file_stands_for_its_source(tmp_path):
    """SRC-02: `x.pyc` is `x.py` when that is there."""
    (tmp_path / "x.pyc").write_bytes(b"")
    assert str(tmp_path / "x.pyc") == Source.create(tmp_path / "x.pyc").filename
    (tmp_path / "x.py").write_text("")
    assert str(tmp_path / "x.py") == Source.create(tmp_path / "x.pyc").filename


@pytest.mark.parametrize("name", ["", "/no/such/file.py"])
def test_a_missing_source_is_a_value_error(name):
    """SRC-02, ING-09: a source must exist."""
    with pytest.raises(ValueError, match="file not found"):
        Source.create(name)


def test_create_can_be_replaced(project, monkeypatch):
    """PKG-03: Altar assigns `Source.create`; what it returns is used."""
    seen = []

    def create(filename, save_git_info=True):
        seen.append(os.path.basename(filename))
        return Source(filename, "digest", "url", "commit", True)

    monkeypatch.setattr(Source, "create", staticmethod(create))
    main, _, _ = gather(project)
    names = ["__init__.py", "spoon_deep.py", "spoon_lib.py", "spoon_main.py", "sub.py"]
    assert names == sorted(seen)
    assert ("digest", "url", "commit", True) == (
        main.digest,
        main.repo,
        main.commit,
        main.is_dirty,
    )


def test_git_is_left_alone(tmp_path, monkeypatch):
    """SRC-04: with save_git_info=False no repository is looked for."""
    monkeypatch.setattr(repositories, "repository_root", lambda path: pytest.fail("asked"))
    file = tmp_path / "a.py"
    file.write_text("")
    source = Source.create(file, False)
    assert (None, None, None) == (source.repo, source.commit, source.is_dirty)


# -- packages -------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages."""
    folder = tmp_path / "lib" / "site-packages"
    for name in ("spork", "other_name", "odd"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
    for name, version, top in (
        ("spork", "1.2", None),
        ("other_name_dist", "3.0rc1", "other_name"),
    ):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        )
        if top:
            (info / "top_level.txt").write_text(top + "\n")
        (info / "RECORD").write_text("")
    (folder / "bare.egg-info").mkdir()
    (folder / "bare.egg-info" / "PKG-INFO").write_text("Name: bare\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("spork", "other_name", "odd"):
        sys.modules.pop(name, None)


def load(name):
    return importlib.import_module(name)


def test_a_package_called_like_its_distribution(site, monkeypatch):
    """SRC-03: the usual case is answered from the folder's listing alone."""
    monkeypatch.setattr(distributions, "_names_by_module", lambda: pytest.fail("slow way"))
    dependency = PackageDependency.create(load("spork"))
    assert ("spork", "1.2") == (dependency.name, dependency.version)
    assert "spork==1.2" == dependency.to_json()


def test_a_package_of_another_distribution(site):
    """SRC-03: `top_level.txt` tells which distribution a module is of."""
    dependency = PackageDependency.create(load("other_name"))
    assert "other-name-dist==3.0rc1" == dependency.to_json()


def test_an_editable_installation(site, tmp_path, monkeypatch):
    """SRC-03: a module that lies elsewhere belongs to the distribution that lists it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "spoon_edit.py").write_text("")
    (site / "spoon_edit_dist-4.0.dist-info").mkdir()
    info = site / "spoon_edit_dist-4.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spoon-edit-dist\nVersion: 4.0\n")
    (info / "top_level.txt").write_text("spoon_edit\n")
    (site / "__editable__.spoon_edit_dist.pth").write_text(str(elsewhere))
    monkeypatch.syspath_prepend(str(elsewhere))
    try:
        dependency = PackageDependency.create(load("spoon_edit"))
    finally:
        sys.modules.pop("spoon_edit", None)
    assert "spoon-edit-dist==4.0" == dependency.to_json()


def test_our_own_package_is_found_by_its_name(monkeypatch):
    """SRC-03: every experiment imports us; that costs no search."""
    monkeypatch.setattr(distributions, "_claimant", lambda *_: pytest.fail("searched"))
    expected = distributions.find_distribution("sacred-journal")
    assert expected == distributions.distribution_of("sacred.core", "/anywhere/sacred/core/x.py")


def test_a_list_of_files_tells_as_well(site):
    """SRC-03: without `top_level.txt` the record of installed files is searched."""
    info = site / "other_name_dist-3.0rc1.dist-info"
    (info / "top_level.txt").unlink()
    (info / "RECORD").write_text("other_name/__init__.py,sha256=x,0\nother_name_dist.txt,,\n")
    assert "other-name-dist==3.0rc1" == PackageDependency.create(load("other_name")).to_json()


@pytest.mark.parametrize("name", ["odd", "json"])
def test_what_no_distribution_claims(site, name):
    """SRC-03: a module without a distribution has no version."""
    dependency = PackageDependency.create(load(name))
    assert (name, None, f"{name}==<unknown>") == (
        dependency.name,
        dependency.version,
        dependency.to_json(),
    )


def test_a_missing_version_is_filled_in(site):
    """ING-09: a dependency given by its name alone finds its version."""
    dependency = PackageDependency("spork", None)
    dependency.fill_missing_version()
    assert "1.2" == dependency.version
    assert "<PackageDependency: spork=1.2>" == repr(dependency)
    assert PackageDependency("spork", "9") in {dependency}
    assert [PackageDependency("a"), dependency] == sorted([dependency, PackageDependency("a")])


def test_an_old_installation_is_found(site):
    """SRC-03: an .egg-info without a version in its name holds it inside."""
    assert ("bare", "0.1") == distributions.find_distribution("bare")


def test_a_new_installation_is_seen(site):
    """SRC-03: the listing of a folder is not kept when the folder changes."""
    assert None is distributions.find_distribution("late")
    (site / "late-2.0.dist-info").mkdir()
    os.utime(site, ns=(1, 1))
    assert ("late", "2.0") == distributions.find_distribution("late")


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("none", set()), ("imported", {"spork"}), ("sys", {"spork"}), ("pkg", {"spork", "bare"})],
)
def test_dependencies_by_strategy(site, monkeypatch, tmp_path, strategy, expected):
    """SRC-03: none, imported, sys, pkg; numpy is always among them when it is installed."""
    monkeypatch.setitem(SETTINGS, "DISCOVER_DEPENDENCIES", strategy)
    monkeypatch.setitem(SETTINGS, "DISCOVER_SOURCES", "none")
    main = tmp_path / "main.py"
    main.write_text("")
    globs = {"__file__": str(main), "s": load("spork"), "j": load("json"), "odd": load("odd")}
    _, _, found = gather_sources_and_dependencies(globs, False)
    assert expected == {item.name for item in found} & {"spork", "bare", "odd", "json"}
    numpy = distributions.find_distribution("numpy")
    assert (numpy is not None) == ("numpy" in {item.name for item in found})


def test_objects_that_can_not_be_looked_at(tmp_path):
    """SRC-01: a global that raises when it is looked at does no harm."""

    class Lazy:
        def __getattribute__(self, name):
            raise RuntimeError(name)

    module = types.ModuleType("spoon_odd")
    found = list(dependencies.iterate_imported_modules({"a": Lazy(), "b": module, "c": json}))
    assert [sys.modules["json"]] == found


def test_names_that_other_packages_import(tmp_path):
    """USE-15: MB, the pattern of versions, the modules of Python, and the commit of a file."""
    from sacred import dependencies

    file = tmp_path / "a.py"
    file.write_text("")
    assert 1 << 20 == dependencies.MB
    assert {"os", "json"} <= dependencies.MODULE_BLACKLIST
    pattern = dependencies.PEP440_VERSION_PATTERN
    assert [True, True, False] == [bool(pattern.match(text)) for text in ("1.0", "1!2.0rc1", "x")]
    assert (None, None, None) == dependencies.get_commit_if_possible(str(file), False)
    with pytest.raises(ValueError):
        dependencies.get_commit_if_possible(str(tmp_path / "none.py"), False)
