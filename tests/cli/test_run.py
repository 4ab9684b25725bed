"""``sacred run``: a queued run by its stored sources, one that ended early from where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal import EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAM = """
import os, time
import words
from sacred import Experiment

ex = Experiment("queued", save_git_info=False)

@ex.config
def config():
    name = "nobody"
    fails = False
    waits = False

@ex.automain
def main(_run, name, fails, waits, _seed):
    first = _run.resumed.steps["n"] + 1 if _run.resumed else 0
    print(words.HELLO, name, "in", os.path.basename(os.getcwd()), "from", first, flush=True)
    _run.log_scalar("n", 1.0)
    if fails and not _run.resumed:
        raise ValueError("no good")
    while waits and not _run.resumed:
        time.sleep(0.01)
    return _seed
"""


class Place:
    """A folder with a program, and what a shell does there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = JournalRoot(folder / "sacred_runs")
        self.started: list[subprocess.Popen[str]] = []
        (folder / "temporary").mkdir()
        self.write("queued.py", PROGRAM)
        self.write("words.py", 'HELLO = "hello"\n')

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def begin(self, *words: str, cwd: str = ".", **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder / cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(self.folder / "temporary"), **environment},
        )
        self.started.append(process)
        return process

    def call(self, *words: str, **more: str) -> tuple[int, str, str]:
        process = self.begin(*words, **more)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def queue(self, *words: str, program: str = "queued.py") -> None:
        code, _, err = self.call(program, "--queue", *words)
        assert 0 == code, err

    def run(self, *words: str, **more: str) -> tuple[int, str, str]:
        return self.call("-m", "sacred", "run", *words, **more)

    def status(self, number: int = 1) -> str:
        code, out, err = self.call("-m", "sacred", "ls", "--json")
        assert 0 == code, err
        return next(run["status"] for run in json.loads(out) if run["run"] == number)

    def events(self, kind: EventType, number: int = 1) -> list[dict[str, Any]]:
        folder = self.root.run(number)
        return [e.fields for e in JournalReader(folder.journal).read() if e.type == kind]

    def left(self) -> list[str]:
        return os.listdir(self.folder / "temporary")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for process in place.started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def _wait(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# -- queued runs ----------------------------------------------------------------------------------


def test_by_the_stored_sources(place: Place) -> None:
    """RUN-08: what was queued runs as it was then, as the same run, and leaves nothing behind."""
    place.queue("with", "name=anna")
    assert "QUEUED" == place.status()
    place.write("words.py", "raise SystemExit('the checkout is used')\n")
    place.write("queued.py", "raise SystemExit('the checkout is used')\n")
    code, out, err = place.run("1")
    assert 0 == code, err
    here = place.folder.name
    assert f"hello anna in {here} from 0\n" == out
    assert 'Started run with ID "1"' in err
    assert "COMPLETED" == place.status()
    assert [] == place.left()
    (queued,), (started,) = (
        place.events(kind) for kind in (EventType.RUN_QUEUED, EventType.RUN_STARTED)
    )
    for name in ("run_id", "name", "command", "config", "meta", "experiment", "seed", "program"):
        assert queued[name] == started[name], name
    assert str(place.folder) == queued["program"]["cwd"]
    assert 1 == len(place.events(EventType.RUN_CLAIMED))
    names = [fields["filename"] for fields in place.events(EventType.SOURCE_ADDED)]
    assert ["queued.py", "words.py"] == sorted(names)
    assert verify(place.root.run(1)).clean


def test_from_elsewhere(place: Place) -> None:
    """It runs where it was called; where that is gone, where one is, and that is said."""
    (place.folder / "work").mkdir()
    (place.folder / "other").mkdir()
    for _ in range(2):
        code, _, err = place.call("../queued.py", "-q", "-J", str(place.root.path), cwd="work")
        assert 0 == code, err
    root = ("--root", str(place.root.path))
    _, out, _ = place.run("1", *root, cwd="other")
    assert "hello nobody in work from 0\n" == out
    (place.folder / "work").rmdir()
    code, out, err = place.run("2", *root, cwd="other")
    assert (0, "hello nobody in other from 0\n") == (code, out)
    assert "it was called in" in err


def test_a_package_and_a_script_that_queues(place: Place) -> None:
    """A run that a loop in another file queued starts alone; modules of packages are found."""
    place.write("lab/__init__.py", "")
    place.write("lab/parts/__init__.py", "")
    place.write("lab/parts/sums.py", "def add(a, b):\n    return a + b\n")
    place.write(
        "lab/exp.py",
        """
        from sacred import Experiment
        from .parts import sums
        ex = Experiment("lab", save_git_info=False, base_dir="..")

        @ex.config
        def config():
            a = 1

        @ex.main
        def main(a):
            print("sum", sums.add(a, 1), __name__)
        """.replace('base_dir=".."', "base_dir=__import__('os').getcwd()"),
    )
    place.write(
        "sweep.py",
        """
        from lab.exp import ex
        for a in range(3):
            ex.run(config_updates={"a": a}, info={"loop": a}, options={"--queue": True})
        """,
    )
    code, _, err = place.call("sweep.py")
    assert 0 == code, err
    (place.folder / "lab").rename(place.folder / "gone")
    code, out, err = place.run("2")
    assert (0, "sum 2 lab.exp\n") == (code, out), err
    assert [{"loop": 1}] == [fields["info"] for fields in place.events(EventType.RUN_STARTED, 2)]
    assert ["QUEUED", "COMPLETED", "QUEUED"] == [place.status(n) for n in (1, 2, 3)]


def test_a_program_that_calls_run_itself(place: Place) -> None:
    """What stands before the call is done, the call and what follows is not made again."""
    place.write(
        "calls.py",
        """
        import sys
        from sacred import Experiment
        ex = Experiment("calls", save_git_info=False)

        @ex.main
        def main(gift):
            print("given", gift)

        if __name__ == "__main__":
            ex.add_config(gift=len(sys.argv))
            ex.run(options={"--queue": True})
            print("behind")
        """,
    )
    code, _, err = place.call("calls.py", "one", "two")
    assert 0 == code, err
    code, out, err = place.run("1")
    assert (0, "given 3\n") == (code, out), err


@pytest.mark.skipif(os.name == "nt", reason="processes by their signals")
def test_two_at_once(place: Place) -> None:
    """One of two that start a run at once gets it; the other ends with status 2 and says why."""
    place.queue()
    both = [place.begin("-m", "sacred", "run", "1") for _ in range(2)]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in both]
    assert [0, 2] == sorted(code for _, code in ends)
    (said,) = [text for text, code in ends if code]
    assert any(
        why in said for why in ("goes on with", "is running", "about to be", "is COMPLETED")
    ), said
    assert 1 == len(place.events(EventType.RUN_STARTED))
    assert verify(place.root.run(1)).clean


def test_the_status_is_the_programs(place: Place) -> None:
    """A run that fails ends the command with its status, and its trace is shown."""
    place.queue("with", "fails=True")
    code, _, err = place.run("1")
    assert 1 == code
    assert "ValueError: no good" in err
    assert "FAILED" == place.status()
    assert [] == place.left()
    code, _, err = place.run("1")
    assert 2 == code
    assert "it is FAILED: `sacred run 1 --resume` goes on with it" in err
    code, out, err = place.run("1", "--resume")
    assert 0 == code, err
    assert out.endswith("from 1\n")


def test_options_of_now_win(place: Place) -> None:
    """Options of the experiment's command line can be given, a configuration can not."""
    place.queue("-c", "then", "-C", "no")
    code, _, err = place.run("1", "with", "name=else")
    assert 2 == code
    assert "only options of its command line can be given" in err
    assert "QUEUED" == place.status()
    code, _, err = place.run("1", "-C", "sys", "-F", "my_runs")
    assert 0 == code, err
    (started,) = place.events(EventType.RUN_STARTED)
    assert ("sys", "then") == (started["capture"], started["meta"]["comment"])
    record = json.loads((place.folder / "my_runs" / "1" / "run.json").read_text())
    assert "COMPLETED" == record["status"]


def test_the_views_know_that_it_waits(place: Place) -> None:
    """A file view has the queued run, then the one that ran, in one folder."""
    place.queue("-F", "my_runs", "with", "name=eva")
    path = place.folder / "my_runs" / "1" / "run.json"
    assert "QUEUED" == json.loads(path.read_text())["status"]
    code, _, err = place.run("1")
    assert 0 == code, err
    record = json.loads(path.read_text())
    assert "COMPLETED" == record["status"]
    assert "queue_time" in record["meta"]
    assert ["queued.py", "words.py"] == sorted(n for n, _ in record["experiment"]["sources"])
    assert ["1", "_sources"] == sorted(os.listdir(place.folder / "my_runs"))


def test_a_source_that_is_not_what_was_stored(place: Place) -> None:
    """A stored source with another content, or none, starts nothing: file, blob and remedy are told."""
    place.queue()
    (blob,) = [
        fields["blob"]["digest"]
        for fields in place.events(EventType.SOURCE_ADDED)
        if fields["filename"] == "words.py"
    ]
    path = place.root.blobs / blob[:2] / blob
    content = path.read_bytes()
    path.write_text('HELLO = "bye"\n')
    code, _, err = place.run("1")
    assert 1 == code
    assert f"the content of blob {blob} is not what its name says" in err
    path.unlink()
    code, _, err = place.run("1")
    assert 1 == code
    assert f"the source words.py of run 1 can not be unpacked: blob {blob} is not in" in err
    assert "Bring it back from a copy of the root, or from a bundle of the run" in err
    assert "Traceback" not in err
    path.write_bytes(content)
    assert "QUEUED" == place.status()
    assert [] == place.left()


def test_a_module_that_is_not_stored(place: Place) -> None:
    """What was no source is not taken from the checkout: it is missed, and named."""
    place.write("later.py", "")
    text = PROGRAM.replace("    first =", "    first =", 1)
    place.write("queued.py", text.replace("import words\n", "import words\nimport missing_one\n"))
    place.write("missing_one.py", "")
    place.queue()
    folder = place.root.run(1)
    record = next(
        fields
        for fields in place.events(EventType.SOURCE_ADDED)
        if fields["filename"] == "missing_one.py"
    )
    # As if it had not been found: its name leads elsewhere.
    writer = _going_on(folder)
    about = {**record, "path": str(place.folder / "another_name.py")}
    writer.append(EventType.SOURCE_ADDED, **about)
    writer.close()
    code, _, err = place.run("1")
    assert 2 == code, err
    assert "needs the module 'missing_one'" in err


def _going_on(folder: Any) -> JournalWriter:
    reader = JournalReader(folder.journal)
    list(reader.read())
    at = reader.position[0]
    reader.close()
    return JournalWriter.go_on(folder.journal, at, journal_id=reader.journal_id)


def test_packages_and_the_interpreter(place: Place) -> None:
    """Another version is said; a package that is missing stops it, unless forced."""
    place.queue()
    writer = _going_on(place.root.run(1))
    wants = ["msgpack==0.0.1", "no-such-package==1.0"]
    writer.append(EventType.DEPENDENCIES_FOUND, dependencies=wants)
    writer.close()
    code, _, err = place.run("1")
    assert 2 == code
    assert "needs packages that are not installed here: no-such-package==1.0" in err
    assert "recorded with msgpack==0.0.1, and msgpack is" in err
    code, _, err = place.run("1", "--force")
    assert 0 == code, err
    assert "missing: no-such-package==1.0" in err


def test_a_claim_that_came_to_nothing(place: Place) -> None:
    """A process that took a queued run and died leaves it queued, for the next."""
    place.queue()
    folder = place.root.run(1)
    program = textwrap.dedent(
        """
        import os, sys
        from sacred.core.recorded import RecordedRun
        from sacred.core.recorder import Recorder
        from sacred.journal.root import RunFolder
        record = RecordedRun(RunFolder.at(sys.argv[1]))
        recorder = Recorder(record.folder.root.path)
        recorder.go_on(record, resume=False)
        print("taken", flush=True)
        sys.stdin.read()
        os._exit(9)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "taken\n" == process.stdout.readline()
    code, _, err = place.run("1")
    assert 2 == code
    assert f"run 1 is about to be started by {os.uname().nodename}:{process.pid}" in err
    process.communicate("", timeout=60)
    assert "QUEUED" == place.status()
    code, _, err = place.run("1")
    assert 0 == code, err
    assert 2 == len(place.events(EventType.RUN_CLAIMED))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_signals_are_passed_on(place: Place) -> None:
    """Asked to end, the command has the run end as INTERRUPTED; then the run goes on."""
    place.queue("with", "waits=True")
    process = place.begin("-m", "sacred", "run", "1")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("hello")
    _wait(lambda: place.events(EventType.METRIC_POINT), "the point is in the journal")
    process.send_signal(signal.SIGTERM)
    assert 128 + signal.SIGTERM == process.wait(60)
    assert "INTERRUPTED" == place.status()
    assert [] == place.left()
    code, out, err = place.run("1", "--resume")
    assert 0 == code, err
    assert out.endswith("from 1\n")
    assert "COMPLETED" == place.status()


# -- what is refused ------------------------------------------------------------------------------


def test_what_can_not_be_run(place: Place) -> None:
    """A run in another state is refused in a sentence that says what can be done."""
    code, _, err = place.call("queued.py")
    assert 0 == code, err
    for words, says in (
        (["1"], "run 1 is COMPLETED: there is nothing left of it to run"),
        (["1", "--resume"], "run 1 is COMPLETED"),
        (["7"], "there is no run 7 in"),
    ):
        code, _, err = place.run(*words)
        assert 2 == code
        assert says in err
    place.queue()
    code, _, err = place.run("2", "--resume")
    assert 2 == code
    assert "run 2 is queued and has not begun: start it with `sacred run 2`" in err


def test_a_run_of_another_machine(place: Place) -> None:
    """Whether it lives can not be seen from here: it needs --force."""
    folder = place.root.claim()
    writer = JournalWriter.create(folder.journal)
    about: dict[str, Any] = {"name": "queued", "command": "main", "config": {}, "meta": {}}
    writer.append(
        EventType.RUN_STARTED, time_ns=1_700_000_000 * 10**9, run_id=1, host={},
        experiment={"name": "queued"}, **about,
    )  # fmt: skip
    writer.close()
    path = folder.journal / "w0000-e0001.jzst"
    _elsewhere(path)
    code, _, err = place.run("1", "--resume")
    assert 2 == code
    assert "whether its process lives can not be seen from here" in err
    code, _, err = place.run("1", "--resume", "--force")
    assert 2 == code
    assert "no main file among its stored sources" in err


def _elsewhere(path: Path) -> None:
    """Have a file say that another machine wrote it, long ago."""
    from golden.make import content_of, reframe, split

    from sacred.journal.codec import unpack_all

    first, *rest = split(path.read_bytes())
    began = unpack_all(content_of(first))[1]
    path.write_bytes(reframe(first, events=[{**began, "host": "elsewhere"}]) + b"".join(rest))
    os.utime(path, (1_700_000_000, 1_700_000_000))


def test_a_package_that_is_run_as_a_module(place: Place) -> None:
    """``python -m lab.train``: the package's folder is unpacked under its name, and imported from nowhere else."""
    place.write("lab/__init__.py", "")
    place.write("lab/parts.py", "def name():\n    return 'stored'\n")
    place.write(
        "lab/train.py",
        """
        from sacred import Experiment
        from .parts import name
        ex = Experiment("lab", save_git_info=False)

        @ex.automain
        def main():
            print("parts", name())
        """,
    )
    code, _, err = place.call("-m", "lab.train", "-q")
    assert 0 == code, err
    (place.folder / "lab").rename(place.folder / "gone")
    # What others may leave in the folder for temporary files is not to be executed.
    place.write("temporary/lab/__init__.py", "raise SystemExit('not mine')\n")
    code, out, err = place.run("1")
    assert (0, "parts stored\n") == (code, out), err


def test_what_the_program_writes_beside_itself_is_kept(place: Place) -> None:
    """A checkpoint below ``__file__`` is not removed with the unpacked sources; a line says where it is."""
    place.write(
        "beside.py",
        """
        import pathlib
        from sacred import Experiment
        ex = Experiment("beside", save_git_info=False)

        @ex.automain
        def main():
            folder = pathlib.Path(__file__).resolve().parent / "checkpoints"
            folder.mkdir()
            (folder / "model.pt").write_text("weights")
        """,
    )
    place.queue(program="beside.py")
    code, _, err = place.run("1")
    assert 0 == code, err
    (left,) = place.left()
    kept = place.folder / "temporary" / left
    assert f"checkpoints/model.pt stay in {kept}" in err
    assert ["checkpoints", "checkpoints/model.pt"] == sorted(
        path.relative_to(kept).as_posix() for path in kept.rglob("*")
    )


def test_a_run_of_a_plain_script(place: Place) -> None:
    """A run of ``start_run`` is refused before anything is executed, and is not begun again on the way to another."""
    place.write(
        "plain.py",
        """
        import sacred
        with sacred.start_run("prepares", save_git_info=False) as run:
            run.log_scalar("a", 1.0)
            print("prepared")
        ex = sacred.Experiment("plain", save_git_info=False)

        @ex.automain
        def main():
            print("trained")
        """,
    )
    place.queue(program="plain.py")
    code, out, err = place.run("1", "--resume")
    assert (2, "") == (code, out)
    code, out, err = place.run("2")
    assert 0 == code, err
    assert "trained" in out
    assert [1, 2] == sorted(place.root.numbers())
    place.write("fails.py", "import sacred\nwith sacred.start_run('f'):\n    raise ValueError\n")
    assert 1 == place.call("fails.py")[0]
    code, out, err = place.run("3", "--resume")
    assert (2, "") == (code, out)
    assert "was begun by sacred.start_run" in err
    assert [1, 2, 3] == sorted(place.root.numbers())


# -- what a stored program needs ------------------------------------------------------------------


def test_what_is_imported_inside_main_is_stored(place: Place) -> None:
    """Modules that the program imports later are read at -q, with what they import, and not executed."""
    place.write(
        "late.py",
        """
        from sacred import Experiment
        ex = Experiment("late", save_git_info=False)

        @ex.automain
        def main():
            from parts import sums
            import constants
            print(sums.add(1, constants.TWO))
        """,
    )
    place.write("parts/__init__.py", "")
    place.write(
        "parts/sums.py", "from .base import zero\ndef add(a, b):\n    return zero + a + b\n"
    )
    place.write("parts/base.py", "zero = 0\n")
    place.write("parts/unused.py", "raise SystemExit('executed')\n")
    place.write("constants.py", "TWO = 2\n")
    code, _, err = place.call("late.py", "-q")
    assert 0 == code, err
    assert "not found" not in err
    names = {fields["filename"] for fields in place.events(EventType.SOURCE_ADDED)}
    parts = {f"parts/{name}.py" for name in ("__init__", "base", "sums")}
    assert {"late.py", "constants.py", *parts} == names
    (place.folder / "parts").rename(place.folder / "gone")
    (place.folder / "constants.py").unlink()
    code, out, err = place.run("1")
    assert (0, "3\n") == (code, out), err


def test_imports_that_are_not_found_are_said_once(place: Place) -> None:
    """At -q, in one line with file and number; a run that is not queued says nothing."""
    text = PROGRAM.replace("    first =", "    if fails: import no_such_one\n    first =")
    place.write("queued.py", text)
    code, _, err = place.call("queued.py", "-q")
    assert 0 == code, err
    (line,) = [line for line in err.splitlines() if "no_such_one" in line]
    assert "not stored with this run: no_such_one (queued.py, line 16)." in line
    assert [line.partition(" - ")[2].partition(" - ")[2]] == [
        fields["text"] for fields in place.events(EventType.MESSAGE)
    ]
    code, _, err = place.call("queued.py")
    assert (0, False) == (code, "no_such_one" in err)


def test_files_of_the_configuration_are_stored(place: Place) -> None:
    """What `add_config` and `add_named_config` name is a source; the stored content is read."""
    place.write(
        "conf.py",
        """
        import os
        from sacred import Experiment
        ex = Experiment("conf", save_git_info=False)
        ex.add_config("first.json")
        ex.add_config(os.path.join(os.path.dirname(os.path.abspath(__file__)), "conf/second.json"))
        ex.add_named_config("third", "conf/third.json")

        @ex.automain
        def main(a, b):
            print(a, b)
        """,
    )
    files = ("first.json", "conf/second.json", "conf/third.json")
    for name, content in zip(files, ({"a": 1}, {"b": 2}, {"a": 3}), strict=True):
        place.write(name, json.dumps(content))
    for words in (["-q"], ["-q", "with", "third"]):
        code, _, err = place.call("conf.py", *words)
        assert 0 == code, err
    names = {fields["filename"] for fields in place.events(EventType.SOURCE_ADDED)}
    assert {"conf.py", *files} == names
    place.write("first.json", "no json")
    (place.folder / "conf").rename(place.folder / "gone")
    for number, says in ((1, "1 2\n"), (2, "3 2\n")):
        code, out, err = place.run(str(number))
        assert (0, says) == (code, out), err


def test_a_file_that_is_missing(place: Place) -> None:
    """A program that reads a file which is no source is told by its name and line, without a trace."""
    place.write(
        "reads.py",
        """
        from sacred import Experiment
        ex = Experiment("reads", save_git_info=False)
        with open("words.txt") as file:
            ex.add_config(text=file.read())

        @ex.automain
        def main(text):
            print(text)
        """,
    )
    place.write("words.txt", "words")
    place.queue(program="reads.py")
    (place.folder / "words.txt").unlink()
    code, _, err = place.run("1")
    assert 2 == code
    assert "needs the file 'words.txt' (reads.py, line 4), which is not there" in err
    assert "Traceback" not in err
    assert "QUEUED" == place.status()


def test_a_package_that_is_deeper(place: Place) -> None:
    """``python -m lab.sub.train``: the packages above it and what it imports from them are stored."""
    place.write("lab/__init__.py", "NAME = 'lab'\n")
    place.write("lab/common.py", "from . import NAME\ndef name():\n    return NAME\n")
    place.write("lab/later.py", "WORD = 'later'\n")
    place.write("lab/sub/__init__.py", "")
    place.write(
        "lab/sub/train.py",
        """
        from sacred import Experiment
        from ..common import name
        ex = Experiment("lab", save_git_info=False)

        @ex.automain
        def main():
            from ..later import WORD
            print(name(), WORD, __package__, __spec__.name)
        """,
    )
    code, _, err = place.call("-m", "lab.sub.train", "-q")
    assert 0 == code, err
    (place.folder / "lab").rename(place.folder / "gone")
    code, out, err = place.run("1")
    assert (0, "lab later lab.sub lab.sub.train\n") == (code, out), err


# -- folders that kills leave ---------------------------------------------------------------------


def _killed(place: Place, *, program: bool = True) -> subprocess.Popen[str]:
    """Start the queued run 1 and kill ``sacred run``, with its program or without."""
    process = place.begin("-m", "sacred", "run", "1")
    _wait(lambda: "RUNNING" == place.status(), "it never began")
    if not program:
        process.kill()
        process.wait(timeout=60)
        return process
    (child,) = _children(process.pid)
    for pid in (process.pid, child):
        os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)
    _wait(lambda: not os.path.exists(f"/proc/{child}") or _is_zombie(child), "it lives")
    return process


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux")


@needs_proc
@pytest.mark.slow
def test_a_folder_that_a_kill_left_is_removed_later(place: Place) -> None:
    """At the next `sacred run`; what the program wrote in it stays, and is said."""
    place.write("queued.py", PROGRAM.replace(
        "    while waits",
        "    if waits and not _run.resumed:\n"
        "        open(os.path.join(os.path.dirname(__file__), 'model.pt'), 'w').close()\n"
        "    while waits",
    ))  # fmt: skip
    place.queue("with", "waits=True")
    _killed(place)
    (left,) = place.left()
    os.mkdir(place.folder / "temporary" / "sacred-run-mine")
    code, out, err = place.run("1", "--resume")
    assert 0 == code, err
    assert out.endswith("from 1\n")
    assert ["sacred-run-mine", left] == sorted(place.left(), key=lambda name: name == left)
    assert ["model.pt"] == os.listdir(place.folder / "temporary" / left)
    kept = place.folder / "temporary" / left
    assert f"was killed: the program wrote beside its sources: model.pt stay in {kept}" in err
    place.queue()
    assert "was killed" not in place.run("2")[2]


@needs_proc
@pytest.mark.slow
def test_a_folder_in_which_a_program_works_stays(place: Place) -> None:
    """`sacred run` was killed and its program lives: its sources are not taken away."""
    place.queue("with", "waits=True")
    place.queue()
    process = _killed(place, program=False)
    (running,) = place.left()
    try:
        code, _, err = place.run("2")
        assert 0 == code, err
        assert [running] == place.left()
        assert "queued.py" in os.listdir(place.folder / "temporary" / running)
    finally:
        identity = JournalReader(place.root.run(1).journal)
        list(identity.read())
        pid = max(identity.identities.items())[1]["pid"]
        identity.close()
        os.kill(pid, signal.SIGKILL)
    assert process.returncode
    _wait(lambda: _is_zombie(pid), "it lives")
    place.queue()
    assert 0 == place.run("3")[0]
    assert [] == place.left()


# -- options of one time --------------------------------------------------------------------------


def test_options_of_one_time_are_recorded(place: Place) -> None:
    """What was given when a run was begun or gone on with stands in the journal, and is shown."""
    place.queue("-C", "no", "with", "fails=True")
    assert 1 == place.run("1", "-C", "sys", "-b", "5")[0]
    (claimed,) = place.events(EventType.RUN_CLAIMED)
    assert {"--capture": "sys", "--beat-interval": "5"} == claimed["options"]
    url = "mongodb://me:secret@nowhere.invalid/db"
    code, _, err = place.call("queued.py", "--resume", "1", "-C", "fd", "-p", "-c", url)
    assert 0 == code, err
    (resumed,) = place.events(EventType.RUN_RESUMED)
    hidden = "mongodb://me:***@nowhere.invalid/db"
    options = {"--capture": "fd", "--print-config": True, "--comment": hidden}
    assert options == resumed["options"]
    _, out, _ = place.call("-m", "sacred", "show", "1")
    begun, went_on = (line for line in out.splitlines() if ", was " in line)
    assert "was QUEUED, with --beat-interval 5 --capture sys" in begun
    assert "was FAILED, with" in went_on
    assert "--print-config" in went_on
    _, out, _ = place.call("-m", "sacred", "show", "1", "--json")
    assert [claimed["options"], options] == [each["options"] for each in json.loads(out)["resumed"]]


# -- what was typed -------------------------------------------------------------------------------

_TYPED = """
import json, sys
from sacred import Experiment
ex = Experiment("typed", interactive=True, save_git_info=False)

@ex.main
def main(_run, a):
    print("typed", a, _run._id)

ex.add_config(a=1)
run = ex.run(config_updates={"a": 2}, options={"--queue": True})
if "begin" in sys.argv:
    ex.run(resume=1)
"""


def test_what_was_typed_and_queued(place: Place) -> None:
    """It is said once, where it is queued, who can run it; `sacred run` says the same; and it does."""
    code, _, err = place.call("-c", _TYPED)
    assert 0 == code, err
    said = [line for line in err.splitlines() if "ex.run(resume=1)" in line]
    assert 1 == len(said)
    code, _, err = place.run("1")
    assert 2 == code
    assert "was typed, in a notebook or at a prompt" in err
    assert "ex.run(resume=1) runs it" in err
    assert "QUEUED" == place.status()
    code, out, err = place.call("-c", _TYPED, "begin")
    assert (0, "typed 2 1\n") == (code, out), err
    assert ["COMPLETED", "QUEUED"] == [place.status(number) for number in (1, 2)]
    code, _, err = place.call("-c", _TYPED, "begin")
    assert 1 == code
    assert "run 1 is COMPLETED" in err
