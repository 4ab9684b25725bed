"""Notebooks, run by a real kernel, and prompts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# -- a kernel --------------------------------------------------------------------------------------


class _Kernel:
    """A kernel of ipykernel, and a client that runs cells in it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        manager_module = pytest.importorskip("jupyter_client.manager")
        pytest.importorskip("ipykernel")
        self.folder = folder
        # python3 is the kernel of this interpreter, whatever kernels the machine has.
        self.manager = manager_module.KernelManager(kernel_name="python3")
        self.manager.start_kernel(
            cwd=str(folder),
            env={**os.environ, "IPYTHONDIR": str(folder / ".ipython")} | environment,
        )
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, *, interrupt_at: str | None = None) -> dict[str, Any]:
        """Run a cell; return what it printed, displayed and raised."""
        shown: dict[str, Any] = {"stdout": "", "stderr": "", "result": None, "error": None}

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown[content["name"]] += content["text"]
                if interrupt_at and interrupt_at in content["text"]:
                    self.manager.interrupt_kernel()
            elif message["msg_type"] == "execute_result":
                shown["result"] = content["data"]["text/plain"]
            elif message["msg_type"] == "error":
                trace = re.sub("\x1b\\[[0-9;]*m", "", "\n".join(content["traceback"]))
                shown["error"] = (content["ename"], content["evalue"], trace)

        self.client.execute_interactive(code, timeout=60, output_hook=note, allow_stdin=False)
        return shown

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)
        self.manager.cleanup_resources()

    def events(self, number: int) -> list[Any]:
        return list(JournalReader(self.folder / "sacred_runs" / str(number)).read())

    def only(self, number: int, kind: EventType) -> dict[str, Any]:
        (found,) = [e.fields for e in self.events(number) if e.type == kind]
        return found

    def source(self, number: int) -> tuple[str, str]:
        """Return the name and the text of the main source, as it was recorded last."""
        fields = [e.fields for e in self.events(number) if e.type == EventType.SOURCE_ADDED][-1]
        assert fields["main"]
        blobs = BlobStore(self.folder / "sacred_runs" / "blobs")
        return fields["filename"], blobs.read(fields["blob"]["digest"]).decode()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Kernel]:
    """One kernel for the tests that leave it as it was."""
    started = _Kernel(tmp_path_factory.mktemp("notebook"), JPY_SESSION_NAME="dir/analysis.ipynb")
    try:
        started.run("import sacred, time\nfrom sacred import Experiment")
        yield started
    finally:
        started.stop()


def _last(kernel: _Kernel) -> int:
    return max(int(p.name) for p in (kernel.folder / "sacred_runs").iterdir() if p.name.isdigit())


pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # those of the client


@pytest.mark.slow
def test_an_experiment_in_cells(kernel: _Kernel) -> None:
    """EXP-15: it runs, what it prints is in the cell and in the record, and so is its config, result and id."""
    kernel.run(
        "ex = Experiment('cells', interactive=True, save_git_info=False)\n"
        "@ex.config\ndef config():\n    lr = 0.1  # the rate\n"
    )
    kernel.run(
        "import sys\n"
        "@ex.main\ndef main(lr, _run):\n"
        "    print('to out'); print('to err', file=sys.stderr)\n"
        "    _run.log_scalar('a', lr)\n"
        "    return lr * 2\n"
    )
    shown = kernel.run(
        "run = ex.run(config_updates={'lr': 0.5})\n(run._id, run.status, run.result)"
    )
    number = _last(kernel)
    assert None is shown["error"]
    assert f"({number}, 'COMPLETED', 1.0)" == shown["result"]
    assert "to out\n" in shown["stdout"]
    assert "to err\n" in shown["stderr"]
    printed = b"".join(
        e.fields["data"] for e in kernel.events(number) if e.type == EventType.OUTPUT
    ).decode()
    assert "to out\n" in printed
    assert "to err\n" in printed
    assert 0.5 == kernel.only(number, EventType.RUN_STARTED)["config"]["lr"]
    assert "print behind" in kernel.run("print('print behind')")["stdout"]


@pytest.mark.slow
def test_the_cells_are_the_source(kernel: _Kernel) -> None:
    """What was run so far, numbered, with the cell that runs it, is the main source of the run."""
    kernel.run("# a cell of its own\nmarked = 1")
    kernel.run(
        "ex = Experiment('sources', interactive=True, save_git_info=False)\n"
        "@ex.main\ndef main():\n    pass\nrun = ex.run()"
    )
    name, text = kernel.source(_last(kernel))
    assert "sources.cells.py" == name
    assert "# a cell of its own\nmarked = 1\n" in text
    assert text.rstrip().endswith("run = ex.run()")
    assert "# In[1]:\nimport sacred, time" in text
    assert None is kernel.only(_last(kernel), EventType.RUN_STARTED)["experiment"].get("doc")


@pytest.mark.slow
def test_a_cell_that_is_run_again(kernel: _Kernel) -> None:
    """What it defines is replaced: no hook is called twice, no old entry is left."""
    kernel.run("ex = Experiment('again', interactive=True, save_git_info=False)")
    cell = (
        "@ex.config\ndef config():\n    {name} = 1\n"
        "@ex.pre_run_hook\ndef before():\n    print('hook')\n"
        "@ex.main\ndef main():\n    pass\n"
    )
    for name in ("a", "a", "b"):
        assert None is kernel.run(cell.format(name=name))["error"]
    shown = kernel.run("sorted(ex.run().config)")
    assert ("['b', 'seed']", 1) == (shown["result"], shown["stdout"].count("hook"))


@pytest.mark.slow
def test_an_interrupted_cell(kernel: _Kernel) -> None:
    """RUN-06: the notebook's stop button: INTERRUPTED, the notebook shows KeyboardInterrupt and goes on."""
    kernel.run(
        "ex = Experiment('stopped', interactive=True, save_git_info=False)\n"
        "@ex.main\ndef main(_run):\n"
        "    _run.log_scalar('a', 1)\n"
        "    print('it runs', flush=True)\n"
        "    for _ in range(600):\n        time.sleep(0.1)\n"
    )
    shown = kernel.run("ex.run()", interrupt_at="it runs")
    assert "KeyboardInterrupt" == shown["error"][0]
    ended = kernel.only(_last(kernel), EventType.RUN_ENDED)
    assert ("INTERRUPTED", "interrupted") == (ended["status"], ended["how"])
    assert "1" == kernel.run("1")["result"]


@pytest.mark.slow
def test_an_error_is_shown_as_the_notebook_shows_it(kernel: _Kernel) -> None:
    """The cell's own line is in the notebook's traceback and in the recorded one."""
    kernel.run(
        "ex = Experiment('broken', interactive=True, save_git_info=False)\n"
        "@ex.main\ndef main():\n    number = 0\n    return 1 / number\n"
    )
    name, text, trace = kernel.run("ex.run()")["error"]
    assert ("ZeroDivisionError", "division by zero") == (name, text)
    assert "return 1 / number" in trace
    ended = kernel.only(_last(kernel), EventType.RUN_ENDED)
    assert "FAILED" == ended["status"]
    assert any("return 1 / number" in line for line in ended["fail_trace"])


@pytest.mark.slow
def test_a_run_over_several_cells(kernel: _Kernel) -> None:
    """``start_run``: named after the notebook, each cell shows what it prints, all of it is recorded."""
    kernel.run("run = sacred.start_run(config={'lr': 0.1})\nprint('one')")
    number = _last(kernel)
    assert "sacred.start_run(config" in kernel.source(number)[1]
    assert "two\n" == kernel.run("run.log_scalar('a', 1)\nprint('two')")["stdout"]
    assert "NameError" == kernel.run("undefined")["error"][0]
    assert "'RUNNING'" == kernel.run("run.status")["result"]
    assert "'COMPLETED'" == kernel.run("run.result = 3\nrun.finish()\nrun.status")["result"]
    assert "analysis" == kernel.only(number, EventType.RUN_STARTED)["name"]
    ended = kernel.only(number, EventType.RUN_ENDED)
    assert ("COMPLETED", 3) == (ended["status"], ended["result"])
    printed = b"".join(
        e.fields["data"] for e in kernel.events(number) if e.type == EventType.OUTPUT
    )
    assert b"one\ntwo\n" == printed
    name, text = kernel.source(number)
    assert "analysis.cells.py" == name
    assert "run.finish()" in text


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fd", "no"])
def test_capture_modes_in_a_kernel(kernel: _Kernel, mode: str) -> None:
    """OUT-02: in every mode the cell shows all; ``fd`` records what programs print as well."""
    shown = kernel.run(
        "import subprocess, sys\n"
        f"with sacred.start_run('modes', capture={mode!r}) as run:\n"
        "    print('from python')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"from a program\")'], check=True)\n"
    )
    assert None is shown["error"]
    assert "from python\n" in shown["stdout"]
    printed = b"".join(
        e.fields["data"] for e in kernel.events(_last(kernel)) if e.type == EventType.OUTPUT
    )
    expected = (True, True) if mode == "fd" else (False, False)
    assert expected == (b"from python\n" in printed, b"from a program\n" in printed)
    assert "still there\n" == kernel.run("print('still there')")["stdout"]


@pytest.mark.slow
def test_a_view_is_written_from_a_kernel(kernel: _Kernel) -> None:
    """A process writes it; when the cell is done, the tree is whole, with the cells as its source."""
    kernel.run(
        "from sacred.observers import FileStorageObserver\n"
        "ex = Experiment('viewed', interactive=True, save_git_info=False)\n"
        "for _ in range(2):\n    ex.observers.append(FileStorageObserver('tree'))\n"
        "@ex.main\ndef main():\n    print('seen')\n    return 5\n"
    )
    shown = kernel.run("run = ex.run()\nrun._id")
    assert "'1'" == shown["result"], shown
    tree = kernel.folder / "tree" / "1"
    document = json.loads((tree / "run.json").read_text())
    assert ("COMPLETED", 5, "viewed.cells.py") == (
        document["status"],
        document["result"],
        document["experiment"]["mainfile"],
    )
    (source,) = [stored for name, stored in document["experiment"]["sources"]]
    assert "FileStorageObserver('tree')" in (kernel.folder / "tree" / source).read_text()
    assert "seen\n" in (tree / "cout.txt").read_text()


@pytest.mark.slow
def test_what_sacred_refuses_in_a_notebook(kernel: _Kernel) -> None:
    """EXP-02, EXP-05, EXP-15: an experiment that is not interactive, one without a name, and automain."""
    assert (
        "Defining an experiment in interactive mode!" in kernel.run("Experiment('x')")["error"][1]
    )
    assert "No main-file found" in kernel.run("Experiment()")["error"][1]
    assert "name is required" in kernel.run("Experiment(interactive=True)")["error"][1]
    shown = kernel.run(
        "ex = Experiment('x', interactive=True, save_git_info=False)\n"
        "@ex.automain\ndef main():\n    pass\n"
    )
    assert "Cannot use @ex.automain decorator in interactive mode" in shown["error"][1]


@pytest.mark.slow
def test_sources_that_nobody_wants(kernel: _Kernel) -> None:
    """SRC-01: with ``DISCOVER_SOURCES = "none"`` the cells are not recorded either."""
    kernel.run(
        "from sacred import SETTINGS\nSETTINGS.DISCOVER_SOURCES = 'none'\n"
        "with sacred.start_run('secret') as run:\n    pass\n"
        "SETTINGS.DISCOVER_SOURCES = 'imported'\n"
    )
    kinds = {event.type for event in kernel.events(_last(kernel))}
    assert EventType.RUN_ENDED in kinds
    assert EventType.SOURCE_ADDED not in kinds


@pytest.mark.slow
def test_a_kernel_that_is_shut_down(tmp_path: Path) -> None:
    """A run that goes on then is INTERRUPTED, with all that it recorded."""
    kernel = _Kernel(tmp_path)
    try:
        kernel.run("import sacred\nrun = sacred.start_run('open')\nrun.log_scalar('a', 1)")
    finally:
        kernel.stop()
    ended = kernel.only(1, EventType.RUN_ENDED)
    assert "INTERRUPTED" == ended["status"]
    assert any(e.type == EventType.METRIC_POINT for e in kernel.events(1))


# -- prompts ---------------------------------------------------------------------------------------

_TYPED = """\
import sacred
ex = sacred.Experiment('typed', interactive=True, save_git_info=False)
@ex.main
def main(_run):
    _run.log_scalar('a', 1)
    return 7

ex.add_config(lr=0.1)
print('result', ex.run().result)
run = sacred.start_run(config={'b': 2})
1 / 0
run.finish()
print('status', run.status)
"""


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["python", "ipython"])
def test_a_prompt(shell: str, tmp_path: Path) -> None:
    """EXP-15: typed into Python's or IPython's own prompt; an error there ends no run."""
    words = ["-i", "-q"]
    if shell == "ipython":
        pytest.importorskip("IPython")
        words = ["-m", "IPython", "--simple-prompt", "--no-banner"]
    result = subprocess.run(
        [sys.executable, *words],
        input=_TYPED,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / ".ipython")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "result 7" in result.stdout, result.stderr
    assert "status COMPLETED" in result.stdout, result.stderr
    names = [
        next(
            event.fields["name"]
            for event in JournalReader(tmp_path / "sacred_runs" / number).read()
            if event.type == EventType.RUN_STARTED
        )
        for number in ("1", "2")
    ]
    assert ["typed", "interactive"] == names
    sources = [
        event.fields["filename"]
        for event in JournalReader(tmp_path / "sacred_runs" / "1").read()
        if event.type == EventType.SOURCE_ADDED
    ]
    assert (["typed.cells.py"] if shell == "ipython" else []) == sources


def test_code_that_is_in_no_file() -> None:
    """EXP-15: what ``exec`` runs has no file: an experiment there has to be interactive."""
    with pytest.raises(RuntimeError, match="interactive mode!"):
        exec("from sacred import Experiment\nExperiment('x')", {"__name__": "made"})
    exec("from sacred import Experiment\nExperiment('x', interactive=True)", {"__name__": "made"})


def test_a_config_scope_that_is_in_no_file() -> None:
    """SCO-02: its source can not be read: a sentence that says what to use instead."""
    made: dict[str, Any] = {"__name__": "made"}
    exec("from sacred import Experiment\nex = Experiment('x', interactive=True)", made)
    with pytest.raises(OSError, match="add_config with a dictionary"):
        exec("@ex.config\ndef config():\n    a = 1\n", made)
