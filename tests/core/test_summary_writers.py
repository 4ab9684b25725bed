"""Folders of TensorBoard's writers in a run's info."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest

import sacred
from sacred import Experiment
from sacred.core import summary_writers
from sacred.stflow import LogFileWriter
from sacred.stflow.internal import ContextMethodDecorator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A stand-in for tensorboardX."""
    module = types.ModuleType("tensorboardX")

    class SummaryWriter:
        def __init__(self, logdir: Any = None, comment: str = "") -> None:
            self.logdir = logdir or f"runs/now{comment}"

    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    yield module
    assert not summary_writers._entered
    summary_writers._found.clear()


def _logdirs(run: Any) -> Any:
    return run.info.get("tensorflow", {}).get("logdirs")


def test_a_decorator_notes_the_folders(package: Any) -> None:
    """TF-01: by position, by name, chosen by the writer; in this order, each time; as text."""
    from pathlib import Path

    ex = Experiment("writers", save_git_info=False)
    untouched = package.SummaryWriter.__init__

    @ex.main
    @LogFileWriter(ex)
    def main() -> int:
        """Documented."""
        package.SummaryWriter("/a")
        package.SummaryWriter(logdir=Path("b") / "c")
        package.SummaryWriter(comment="-x")
        package.SummaryWriter("/a")
        return 3

    run = ex.run()
    assert (["/a", "b/c", "runs/now-x", "/a"], 3) == (_logdirs(run), run.result)
    assert ("main", "Documented.") == (main.__name__, main.__doc__)
    assert untouched is package.SummaryWriter.__init__
    package.SummaryWriter("/after")
    assert 4 == len(_logdirs(run))


def test_a_decorator_of_a_function_that_is_async(package: Any) -> None:
    """TF-01: it is in force while the function runs, and not only until its coroutine is made."""
    import asyncio

    ex = Experiment("writers", save_git_info=False)

    @ex.main
    @LogFileWriter(ex)
    async def main() -> int:
        package.SummaryWriter("/first")
        await asyncio.sleep(0)
        package.SummaryWriter("/second")
        return 3

    run = ex.run()
    assert (["/first", "/second"], 3) == (_logdirs(run), run.result)


def test_a_decorator_of_a_captured_function_that_is_async(package: Any) -> None:
    """TF-01: what is decorated may be an object around a function."""
    ex = Experiment("writers", save_git_info=False)
    ex.add_config(folder="/configured")

    @LogFileWriter(ex)
    @ex.capture
    async def write(folder: str) -> None:
        package.SummaryWriter(folder)

    @ex.main
    async def main() -> None:
        await write()  # type: ignore[call-arg]

    assert ["/configured"] == _logdirs(ex.run())


def test_a_decorator_of_generators(package: Any) -> None:
    """TF-01: as if the ``with`` stood around the body; what is sent, returned and raised goes through."""
    import asyncio

    ex = Experiment("writers", save_git_info=False)

    @LogFileWriter(ex)
    def epochs() -> Any:
        package.SummaryWriter("/one")
        sent = yield 1
        package.SummaryWriter(f"/{sent}")
        try:
            yield 2
        except ValueError:
            return "caught"

    @LogFileWriter(ex)
    async def steps() -> Any:
        package.SummaryWriter("/async")
        yield 5

    async def collected() -> list[int]:
        return [step async for step in steps()]

    @ex.main
    def main() -> Any:
        found = epochs()
        assert (1, 2) == (next(found), found.send("two"))
        with pytest.raises(StopIteration) as caught:
            found.throw(ValueError())
        assert [5] == asyncio.run(collected())
        package.SummaryWriter("/outside")
        return caught.value.value

    run = ex.run()
    assert (["/one", "/two", "/async"], "caught") == (_logdirs(run), run.result)


def test_a_context_manager_and_a_run_without_an_experiment(package: Any) -> None:
    """TF-01: inside the ``with`` and not after it; a run of ``start_run`` has an info as well."""
    with sacred.start_run("writers") as run:
        package.SummaryWriter("/before")
        with LogFileWriter(run) as entered:
            package.SummaryWriter("/within")
        package.SummaryWriter("/after")
    assert (None, ["/within"]) == (entered, _logdirs(run))


def test_subclasses_and_names_imported_before_are_noticed(package: Any) -> None:
    """The class itself is changed, not the place where it is looked up."""
    writer = package.SummaryWriter

    class Mine(writer):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__("/mine")

    with sacred.start_run("writers") as run, LogFileWriter(run):
        writer("/known")
        Mine()
    assert ["/known", "/mine"] == _logdirs(run)


def test_one_inside_another_and_in_threads(package: Any) -> None:
    """The one that the writer's thread entered last; else the last of all. Left in any order."""
    one, two = sacred.start_run("one"), sacred.start_run("two")
    outer, inner = LogFileWriter(one), LogFileWriter(two)
    with outer:
        with inner:
            package.SummaryWriter("/two")
            thread = threading.Thread(target=package.SummaryWriter, args=("/thread",))
            thread.start()
            thread.join(60)
        package.SummaryWriter("/one")
    first, second = LogFileWriter(one), LogFileWriter(two)
    first.__enter__()
    second.__enter__()
    first.__exit__()
    package.SummaryWriter("/still two")
    second.__exit__()
    package.SummaryWriter("/nobody")
    one.finish()
    two.finish()
    assert (["/one"], ["/two", "/thread", "/still two"]) == (_logdirs(one), _logdirs(two))


def test_threads_that_take_notes_at_once(package: Any) -> None:
    """Each run has the folders of the thread that entered for it, whichever entered last."""
    runs = [sacred.start_run(f"run {n}") for n in range(2)]
    entered = threading.Barrier(2)

    def work(n: int) -> None:
        with LogFileWriter(runs[n]):
            entered.wait(60)
            package.SummaryWriter(f"/{n}")
            entered.wait(60)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for run in runs:
        run.finish()
    assert [["/0"], ["/1"]] == [_logdirs(run) for run in runs]


def test_a_writer_that_could_not_be_made_is_not_noted(package: Any) -> None:
    """Its exception goes on."""
    with sacred.start_run("writers") as run, LogFileWriter(run):
        with pytest.raises(TypeError):
            package.SummaryWriter("/a", 1, 2, 3)
    assert None is _logdirs(run)


def test_file_writers(package: Any) -> None:
    """TF-01: those that a program makes are noted, and not those that a summary writer makes."""

    class FileWriter:
        def __init__(self, logdir: str) -> None:
            self.logdir = logdir

    class Summary(package.SummaryWriter):  # type: ignore[misc]
        def __init__(self, logdir: str) -> None:
            FileWriter(logdir)
            super().__init__(logdir)

    package.FileWriter, package.SummaryWriter = FileWriter, Summary
    with sacred.start_run("writers") as run, LogFileWriter(run):
        package.SummaryWriter("/summary")
        # As a summary writer that was closed does when it is written to.
        FileWriter("/summary")
        FileWriter("/file")
    assert ["/summary", "/file"] == _logdirs(run)


@pytest.mark.parametrize("other", [3, None, len, "ex"])
def test_what_has_no_runs(package: Any, other: Any) -> None:
    """TF-01: the sentence says what it takes."""
    with pytest.raises(TypeError, match=r"LogFileWriter takes the experiment.*LogFileWriter\(ex\)"):
        LogFileWriter(other)


def test_before_the_first_run(package: Any) -> None:
    """A sentence, in the call that makes the writer."""
    ex = Experiment("writers", save_git_info=False)
    with LogFileWriter(ex), pytest.raises(AttributeError, match="during a run"):
        package.SummaryWriter("/a")


def test_torch_and_tensorflow(monkeypatch: pytest.MonkeyPatch, package: Any) -> None:
    """TF-01: torch's writer, TensorFlow's function of version 2 and class of version 1, each once."""
    torch = types.ModuleType("torch.utils.tensorboard")

    class SummaryWriter:
        def __init__(self, log_dir: Any = None) -> None:
            self.log_dir = log_dir or "runs/chosen"

    class FileWriter:
        def __init__(self, logdir: str, graph: Any = None) -> None:
            pass

    torch.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    tensorflow: Any = types.ModuleType("tensorflow")
    summary = types.SimpleNamespace(create_file_writer=lambda logdir, max_queue=None: logdir)
    old = types.SimpleNamespace(summary=types.SimpleNamespace(FileWriter=FileWriter))
    tensorflow.summary = summary
    tensorflow.compat = types.SimpleNamespace(v1=old, v2=types.SimpleNamespace(summary=summary))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", torch)
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    before = summary.create_file_writer
    with sacred.start_run("writers") as run, LogFileWriter(run):
        assert "/tf2" == tensorflow.summary.create_file_writer("/tf2")
        tensorflow.summary.create_file_writer(logdir="/named", max_queue=1)
        tensorflow.compat.v1.summary.FileWriter("/tf1")
        torch.SummaryWriter()  # type: ignore[attr-defined]
        torch.SummaryWriter(log_dir="/torch")  # type: ignore[attr-defined]
    assert ["/tf2", "/named", "/tf1", "runs/chosen", "/torch"] == _logdirs(run)
    assert before is summary.create_file_writer


@pytest.mark.slow
def test_tensorboardx(tmp_path: Path) -> None:
    """TF-01: the real writer, imported inside the main function, as the real package is used."""
    pytest.importorskip("tensorboardX")
    script = tmp_path / "script.py"
    script.write_text(
        "from sacred import Experiment\n"
        "from sacred.stflow import LogFileWriter\n"
        "ex = Experiment('x', save_git_info=False)\n"
        "@ex.main\n"
        "@LogFileWriter(ex)\n"
        "def main():\n"
        "    from tensorboardX import FileWriter, SummaryWriter\n"
        "    with SummaryWriter('first') as writer:\n"
        "        writer.add_scalar('a', 1.0, 0)\n"
        "    SummaryWriter(logdir='second').close()\n"
        "    third = SummaryWriter(comment='-third')\n"
        "    third.close()\n"
        "    third.add_scalar('a', 1.0, 0)\n"
        "    third.close()\n"
        "    FileWriter('fourth').close()\n"
        "run = ex.run()\n"
        "first, second, third, fourth = run.info['tensorflow']['logdirs']\n"
        "import os\n"
        "assert (first, second, fourth) == ('first', 'second', 'fourth')\n"
        "assert third.startswith('runs') and third.endswith('-third'), third\n"
        "assert all(os.path.isdir(folder) for folder in (first, second, third, fourth))\n",
        encoding="utf-8",
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == result.returncode, result.stderr


def test_without_any_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-12: importing is no error; using it is one, which names what to install."""
    from sacred.core import optional

    monkeypatch.setattr(optional, "module_exists", lambda _name: False)
    importlib.reload(importlib.import_module("sacred.stflow"))
    with pytest.raises(ImportError, match="pip install tensorboardX, torch or tensorflow"):
        LogFileWriter(Experiment("writers", save_git_info=False))


def test_importing_it_imports_no_writer(tmp_path: Path) -> None:
    """PKG-05: nor does entering it: what the program did not import is not loaded."""
    program = (
        "import sys; from sacred.stflow import LogFileWriter; import sacred\n"
        "from sacred.core import optional; optional.module_exists = lambda name: True\n"
        "with LogFileWriter(sacred.Experiment('ex', interactive=True)): pass\n"
        "print(sorted({'tensorboardX', 'torch', 'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "[]\n" == result.stdout


# -- standing in for a method ----------------------------------------------------------------------


class _Base:
    def shout(self, word: str) -> str:
        return word.upper()


class _Derived(_Base):
    pass


def test_standing_in_for_a_method() -> None:
    """PKG-03: ``sacred.stflow.internal``: called with instance, method and arguments; a decorator too."""

    def doubled(instance: Any, method: Any, args: Any, kwargs: Any) -> str:
        return str(method(instance, *args, **kwargs)) * 2

    within = ContextMethodDecorator(_Base, "shout", doubled)
    original = _Base.shout
    with within:
        assert "AA" == _Base().shout("a")
        with within:
            assert "AA" == _Base().shout(word="a")
        assert "AA" == _Base().shout("a")
    assert original is _Base.shout

    @within
    def function() -> str:
        return _Base().shout("b")

    assert ("BB", "B") == (function(), _Base().shout("b"))


def test_an_inherited_method_stays_inherited() -> None:
    """Afterwards the subclass has none of its own."""
    with ContextMethodDecorator(_Derived, "shout", lambda *_call: "other"):
        assert ("other", "A") == (_Derived().shout("a"), _Base().shout("a"))
    assert "shout" not in vars(_Derived)


def test_a_method_that_somebody_replaced_meanwhile_is_left() -> None:
    """The place is given back only if it is still ours."""

    def theirs(_self: Any, word: str) -> str:
        return f"their {word}"

    original = _Base.shout
    try:
        with ContextMethodDecorator(_Base, "shout", lambda *_call: "ours"):
            _Base.shout = theirs  # type: ignore[method-assign]
        assert "their a" == _Base().shout("a")
    finally:
        _Base.shout = original  # type: ignore[method-assign]
