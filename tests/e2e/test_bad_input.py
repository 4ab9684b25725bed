"""Bad input gets one clear sentence that says what to do, and a documented exit status."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
from golden.journals.samples import START

from sacred.journal import EventType, JournalReader, JournalRoot, JournalWriter
from sacred.journal.verification import verify

SCRIPT = textwrap.dedent(
    """
    from sacred import Experiment

    ex = Experiment("bad", save_git_info=False)

    @ex.config
    def config():
        what = "nothing"

    @ex.automain
    def main(what, _run):
        _run.log_scalar("before", 1.0, 0)
        if what == "array":
            import numpy
            _run.log_scalar("x", numpy.zeros(3))
        if what == "object":
            _run.log_scalar("x", object())
        if what == "artifact":
            _run.add_artifact("missing.png")
        if what == "resource":
            ex.open_resource("missing.txt")
        return 7
    """
)


@pytest.fixture
def run(tmp_path):
    """Run the script with some arguments."""
    script = tmp_path / "bad.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def start(*arguments, before=(), environment=None):
        return subprocess.run(
            [*before, sys.executable, str(script), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )

    return start


def _events(tmp_path, number=1):
    folder = JournalRoot(tmp_path / "sacred_runs").run(number)
    assert verify(folder).clean
    return _numbered(folder.journal)


def _numbered(folder):
    """Return a journal's events without those that only begin and seal its files."""
    return [event for event in JournalReader(folder).read() if event.seq >= 0]


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        ("array", "MetricError", "x"),
        ("object", "MetricError", "x"),
        ("artifact", "FileNotFoundError", "missing.png"),
        ("resource", "FileNotFoundError", "missing.txt"),
    ],
)
def test_a_mistake_in_the_users_script_is_an_exception_there(tmp_path, run, what, error, says):
    """The user sees an exception that names the thing, the run FAILED, and nothing is lost."""
    if what == "array":
        pytest.importorskip("numpy")
    result = run("with", f"what={what}")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert error in last
    assert says in last
    events = _events(tmp_path)
    ended = events[-1].fields
    assert ended["status"] == "FAILED"
    assert error in "".join(ended["fail_trace"])
    points = [e.fields["metric"] for e in events if e.type == EventType.METRIC_POINT]
    assert points == ["before"]


@pytest.mark.parametrize("name", ["../../evil", "a/b", "..", "/etc/passwd", "a\nb"])
def test_an_id_that_is_a_path_is_refused(tmp_path, run, name):
    """`--id ../../evil` ends with a sentence and status 1; nothing is written anywhere."""
    result = run(f"--id={name}")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "can not be the id of a run" in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "sacred_runs").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.py"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-J", ""], "-J needs a folder"),
        (["-F", ""], "-F needs a folder"),
        (["-F", "sacred_runs"], "is a place of journals"),
        (["-F", "sacred_runs/1"], "give the file storage a folder of its own"),
        (["-F", "sacred_runs/blobs"], "is a place of journals"),
        (["-t", ""], "-t needs a folder"),
        (["-t", "sacred_runs"], "is a place of journals"),
        (["-t", "sacred_runs/1"], "give the TinyDB a folder of its own"),
    ],
)
def test_a_folder_that_can_not_be_meant_is_refused(tmp_path, run, options, says):
    """An empty name, as of a variable that is not set; the file storage among the journals."""
    assert run().returncode == 0
    result = run(*options)
    assert result.returncode == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(os.listdir(tmp_path / "sacred_runs")) == sorted(
        [".gitignore", ".high-water", ".sacred-journal", "1", "blobs"]
    )
    assert not (tmp_path / ".sacred-journal").exists()


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("-F", "The file view {} can not be written: File exists"),
        ("-t", "{} is no folder: give the TinyDB one of its own"),
    ],
)
def test_a_view_that_can_never_be_written_is_not_waited_for(
    tmp_path, run, monkeypatch, option, says
):
    """The folder of the view is a file: that is said at the end, at once, and the run is safe."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("SACRED_JOURNAL_VIEW_WAIT", "3600")
    result = run(option, "taken")
    assert result.returncode == 0
    assert says.format(tmp_path / "taken") in result.stderr
    assert "The run is safe in" in result.stderr
    assert _events(tmp_path)[-1].fields["status"] == "COMPLETED"


def test_a_view_that_fails_is_said_while_the_run_goes_on(tmp_path):
    """One that gives no id: in a line as soon as it is known, and at the end what becomes of the run."""
    (tmp_path / "waits.py").write_text(
        "import logging, threading\n"
        "from sacred import Experiment\n"
        "ex = Experiment('waits', save_git_info=False)\n"
        "@ex.automain\n"
        "def main(_run):\n"
        "    said = threading.Event()\n"
        "    class Hears(logging.Handler):\n"
        "        def emit(self, record):\n"
        "            if 'is no folder' in record.getMessage():\n"
        "                said.set()\n"
        "    _run.run_logger.addHandler(Hears())\n"
        "    print('heard', said.wait(50))\n"
    )
    (tmp_path / "taken").write_text("")
    result = subprocess.run(
        [sys.executable, "waits.py", "-F", "runs", "-t", "taken"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "heard True" in result.stdout, result.stderr
    during, end = [line for line in result.stderr.splitlines() if "is no folder" in line]
    assert during.endswith("The run goes on: its journal has everything.")
    assert "The run is safe in" in end


@pytest.mark.parametrize(
    ("name", "value"), [("DURABILITY", "evnt"), ("VIEW_WAIT", "soon"), ("ENABLED", "perhaps")]
)
def test_a_setting_that_is_none(run, monkeypatch, name, value):
    """A variable of the environment that says nothing we know: one sentence that names it."""
    monkeypatch.setenv(f"SACRED_JOURNAL_{name}", value)
    result = run()
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert f"SACRED_JOURNAL_{name}" in line
    assert value in line


def test_an_id_that_is_taken_is_refused(tmp_path, run):
    """R14: an `--id` that a run of this root has is an error, and that run stays as it is."""
    assert run("--id=5").returncode == 0
    before = {p: p.read_bytes() for p in (tmp_path / "sacred_runs" / "5").rglob("*.jzst")}
    result = run("--id=5")
    assert result.returncode == 1
    assert "5" in result.stderr.splitlines()[-1]
    assert {p: p.read_bytes() for p in (tmp_path / "sacred_runs" / "5").rglob("*.jzst")} == before


def test_a_root_that_can_not_be_made_is_said(tmp_path, run):
    """A file where the root should be: one sentence, status 1, no traceback."""
    (tmp_path / "file").write_text("")
    result = run("-J", str(tmp_path / "file" / "runs"))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "the journal can not be written" in result.stderr
    assert "-J DIR" in result.stderr


@pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="needs root, to mount a small disk"
)
@pytest.mark.parametrize("options", ["ro", "size=4k,nr_inodes=2"])
def test_a_read_only_or_full_disk_at_the_start_is_said(tmp_path, run, options):
    """A disk for the journals that takes nothing: one sentence, status 1, no traceback."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o {options} none "{disk}" && exec "$@"'
    result = run("-J", str(disk / "runs"), before=["unshare", "-m", "sh", "-c", mount, "sh"])
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "the journal can not be written" in result.stderr


FILLS = textwrap.dedent(
    """
    import os, sys
    from sacred import Experiment

    ex = Experiment("fills", save_git_info=False)

    def fill(_run):
        disk = os.path.dirname(sys.argv[-1].split("=")[1])
        with open(os.path.join(disk, "ballast"), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(os.urandom(4096))

            except OSError:
                pass
        for step in range(20000):
            _run.log_scalar("x", step / 7, step)
        if "keep" not in sys.argv:
            os.unlink(os.path.join(disk, "ballast"))
        return "done"

    @ex.command
    def keep(_run):
        return fill(_run)

    @ex.automain
    def main(_run):
        return fill(_run)
    """
)


def _fill(tmp_path, *words):
    """Run the script above on a small disk, and copy what it left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = tmp_path / "fills.py"
    script.write_text(FILLS, encoding="utf-8")
    # The runs are copied out before the disk goes away with the namespace.
    shell = (
        f'mount -t tmpfs -o size=1m none "{disk}" && "$@"; status=$?; '
        f'cp -r "{disk}/sacred_runs" "{tmp_path}/sacred_runs"; exit $status'
    )
    command = [sys.executable, str(script), *words, f"--journal={disk}/sacred_runs"]
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", shell, "sh", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="needs root, to mount a small disk"
)
def test_a_disk_that_stays_full_is_said_with_what_it_cost(tmp_path):
    """P6: what is told to be lost is what no file has, and that the end is not there is told too."""
    result = _fill(tmp_path, "keep")
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if " are lost, because its disk" in line]
    lost = int(re.search(r"(\d+) events", line)[1])
    assert line.endswith("its end is not among it, so that sacred ls shows it as DIED.")
    events = _numbered(tmp_path / "sacred_runs" / "1")
    kept = sum(event.count for event in events if event.name.startswith("metric_"))
    assert 20_000 <= kept + lost < 20_100
    assert not any(event.type == EventType.RUN_ENDED for event in events)


@pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="needs root, to mount a small disk"
)
def test_a_disk_that_fills_up_does_not_stop_the_run(tmp_path):
    """P6: the run ends as it would, one line says what happened, and what was kept is whole."""
    result = _fill(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert "Result: 'done'" in result.stderr or "Result: done" in result.stderr
    lines = [line for line in result.stderr.splitlines() if "No space left" in line]
    assert len(lines) == 1, result.stderr
    events = _numbered(tmp_path / "sacred_runs" / "1")
    assert events[-1].fields.get("status") == "COMPLETED" or any(
        event.type == EventType.RUN_ENDED for event in events
    )


# -- replaying ---------------------------------------------------------------------------------


@pytest.fixture
def one_run(tmp_path):
    """A root with one small run."""
    folder = JournalRoot(tmp_path / "sacred_runs").claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **{**START, "run_id": 1})
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    return folder


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("mongoo", "mongo"),
        ("sqlite:x.db", "sqlite"),
        ("file:", "folder"),
        ("tinydb:", "folder"),
        ("tinydb:/dev/null", "is no folder"),
        ("mongodb://", "mongodb://"),
        ("mongodb://host:notaport/db", "port"),
        ("", "view"),
    ],
)
def test_a_view_that_can_not_be_meant(one_run, replay, to, says):
    """An unknown kind or a wrong address: status 2 (1 for one that only the driver refuses)."""
    result = replay("--to", to, expect=None)
    assert result.returncode in {1, 2}
    assert "Traceback" not in result.stderr
    assert says in (result.stderr + result.stdout).lower()


def test_a_server_that_refuses(one_run, replay):
    """Nobody listens: status 3, one sentence with the address, the journal untouched."""
    from servers.mongo import free_port

    before = {p: p.read_bytes() for p in one_run.journal.iterdir()}
    result = replay("--to", f"mongodb://user:secret@127.0.0.1:{free_port()}/db", expect=3)
    said = result.stdout + result.stderr
    assert "127.0.0.1" in said
    assert "secret" not in said
    assert "Traceback" not in said
    assert {p: p.read_bytes() for p in one_run.journal.iterdir()} == before


def test_a_database_that_is_cut_in_half(one_run, replay, tmp_path):
    """A TinyDB that is none: status 1, one sentence, nothing touched; the other view gets the run."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "metadata.json").write_text('{"runs": {"1"')
    before = {p: p.read_bytes() for p in one_run.journal.iterdir()}
    views = ("--to", f"tinydb:{tmp_path / 'db'}", "--to", f"file:{tmp_path / 'out'}")
    said = (result := replay(*views, expect=1)).stdout + result.stderr
    assert "metadata.json is no TinyDB database (at character 13 of 13" in said
    assert "Traceback" not in said
    assert '{"runs": {"1"' == (tmp_path / "db" / "metadata.json").read_text()
    assert (tmp_path / "out" / "1" / "run.json").exists()
    assert {p: p.read_bytes() for p in one_run.journal.iterdir()} == before


def test_a_run_that_does_not_exist(one_run, replay, tmp_path):
    """A run number that is none: status 2, the number and the root in the sentence."""
    result = replay("--to", f"file:{tmp_path / 'out'}", "57", expect=2)
    assert "57" in result.stderr
    assert str(tmp_path / "sacred_runs") in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_root_that_is_none(tmp_path, replay):
    """A folder without runs: status 2, and where was looked."""
    result = replay("--to", f"file:{tmp_path / 'out'}", "--root", str(tmp_path), expect=2)
    assert str(tmp_path) in result.stderr


CLOSES = textwrap.dedent(
    """
    import os
    from sacred import Experiment

    ex = Experiment("closes", save_git_info=False)

    @ex.automain
    def main(_run):
        print("before", flush=True)
        os.closerange(3, 256)
        print("after", flush=True)
        _run.log_scalar("x", 1.0)
    """
)


def test_a_program_that_closes_all_descriptors_ends_as_it_would(tmp_path):
    """P6: journal, capture and replayer lose theirs; the run is COMPLETED all the same, and kept."""
    (tmp_path / "closes.py").write_text(CLOSES, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "closes.py", "-F", "view"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    events = _numbered(tmp_path / "sacred_runs" / "1")
    assert [event.fields["metric"] for event in events if event.name == "metric_point"] == ["x"]
    assert events[-1].fields["status"] == "COMPLETED"


def test_a_root_that_is_moved_is_where_it_was_moved_to(tmp_path):
    """The view can not follow; the line says that the run is safe, and not where it no longer is."""
    (tmp_path / "moves.py").write_text(
        textwrap.dedent(
            """
            import os
            from sacred import Experiment

            ex = Experiment("moves", save_git_info=False)

            @ex.automain
            def main(_run):
                os.rename("sacred_runs", "moved")
                _run.log_scalar("x", 1.0)
            """
        ),
        encoding="utf-8",
    )
    result = subprocess.run(
        [sys.executable, "moves.py", "-F", "view"],
        cwd=tmp_path,
        env={**os.environ, "SACRED_JOURNAL_VIEW_WAIT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "is behind" in line]
    assert line.endswith(
        "safe where it is now, and sacred-replay there brings the view up to date."
    )
    events = _numbered(tmp_path / "moved" / "1")
    assert events[-1].fields["status"] == "COMPLETED"
