"""The replayer process: its protocol, its life, and what is there after it was killed."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sacred.journal.events import EventType
from sacred.journal.identity import process_start
from sacred.journal.position import Position
from sacred.journal.reader import JournalReader
from sacred.replayers.replay import replay
from sacred.replayers.serve import Service
from sacred.replayers.sink import SinkSpec

PATIENCE = 60


class Replayer:
    """A replayer process, as ``core.launch`` starts it."""

    def __init__(self, root):
        package = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": package}
        self.log = root.path.parent / "replayer.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sacred.replayers", "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        self.answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        pid = os.getpid()
        hello = {"do": "hello", "protocol": 1, "pid": pid, "process_start": process_start(pid)}
        self.send(**hello, root=str(root.path))

    def _listen(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))

    def send(self, **command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        return self.answers.get(timeout=PATIENCE)

    def follow(self, folder, *specs):
        reader = JournalReader(folder.journal)
        views = [spec.to_wire() for spec in specs]
        journal_id = f"{reader.journal_id:016x}"
        self.send(do="run", folder=str(folder.path), journal_id=journal_id, run_id=1, views=views)

    def wait_for(self, folder, ticket):
        reader = JournalReader(folder.journal)
        list(reader.read())
        position = reader.position.to_wire()
        self.send(do="wait", ticket=ticket, folder=str(folder.path), position=position)

    def end(self):
        self.process.stdin.close()
        return self.process.wait(PATIENCE)


@pytest.fixture
def replayer(root):
    root.create()
    started = []

    def start():
        started.append(Replayer(root))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(PATIENCE)
        one.process.stdout.close()
        if not one.process.stdin.closed:
            try:
                one.process.stdin.close()
            except OSError:
                pass


@pytest.fixture
def tree(tmp_path):
    return SinkSpec.parse(f"file:{tmp_path / 'tree'}")


def metrics(tree, number=1):
    return json.loads((Path(tree.url) / str(number) / "metrics.json").read_text())


def test_a_run_from_start_to_end(root, replayer, tree, run_writer):
    """One line says that the view has reached the position; then the process ends with 0."""
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    process = replayer()
    process.follow(folder, tree)
    writer.log_point("loss", 50, 1.0)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    process.wait_for(folder, 7)
    assert process.answer() == {"ticket": 7, "view": tree.name, "state": "current"}
    assert metrics(tree)["loss"]["steps"] == list(range(51))
    assert process.end() == 0


def test_a_claim_comes_before_the_journal(root, replayer, tree, run_writer):
    """A claim is answered with the id, and the run that comes keeps it."""
    process = replayer()
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    journal_id = f"{writer.journal_id:016x}"
    document = {"name": "x", "command": "m", "config": {}, "start_time": 10**18}
    Path(tree.url, "5").mkdir(parents=True)
    process.send(
        do="claim",
        ticket=1,
        journal_id=journal_id,
        view=tree.to_wire(),
        run_id=None,
        document=document,
    )
    assert process.answer() == {"ticket": 1, "id": 6}
    process.follow(folder, tree)
    process.wait_for(folder, 2)
    assert process.answer()["state"] == "current"
    assert json.loads((Path(tree.url) / "6" / "run.json").read_text())["command"] == "main"
    writer.close()


def test_a_claim_is_released(root, replayer, tree):
    """R15: an answer that came too late is taken back."""
    process = replayer()
    claim = {"journal_id": "00000000000000aa", "view": tree.to_wire()}
    process.send(do="claim", ticket=1, run_id=3, document={}, **claim)
    assert process.answer() == {"ticket": 1, "id": 3}
    process.send(do="release", **claim)
    # In the same order: a claim of another run gets the number that is free again.
    for ticket in range(2, 200):
        other = {"journal_id": f"{ticket:016x}", "view": tree.to_wire()}
        process.send(do="claim", ticket=ticket, run_id=3, document={}, **other)
        given = process.answer()["id"]
        if given == 3:
            break
        process.send(do="release", **other)
    assert given == 3


def test_a_claim_of_a_run_that_is_written_stays(root, tree, run_writer, monkeypatch):
    """A late answer is not taken back under a replayer: another run would get an id with its points."""
    taken_back = []
    monkeypatch.setattr(
        Service, "_release", lambda _, journal_id, __: taken_back.append(journal_id)
    )
    service = Service(lambda _: None)
    view = tree.to_wire()
    late, unknown = "00000000000000aa", "00000000000000ab"

    def command(**words):
        service.command(json.dumps(words).encode())

    folder = root.claim()
    run_writer(folder)
    command(do="run", folder=str(folder.path), journal_id=late, run_id=3, views=[view])
    for journal_id in (late, unknown):
        command(do="release", journal_id=journal_id, view=view)
    service.end_of_commands()
    service.run()
    assert taken_back == [unknown]


def test_a_view_that_fails(root, replayer, tmp_path, run_writer):
    """The first failure is said, a wait is answered with the sentence, and the exit status is 3."""
    (tmp_path / "a file").write_text("in the way")
    broken = SinkSpec.parse(f"file:{tmp_path / 'a file' / 'tree'}")
    folder = root.claim()
    run_writer(folder)
    process = replayer()
    process.follow(folder, broken)
    said = process.answer()
    assert (said["view"], said["folder"], said["state"]) == (
        broken.name,
        str(folder.path),
        "failed",
    )
    assert "can not be written" in said["error"]
    process.wait_for(folder, 1)
    answer = process.answer()
    assert (answer["ticket"], answer["state"]) == (1, "failed")
    assert "can not be written" in answer["error"]
    assert process.end() == 3


def test_what_is_no_command_is_passed_over(root, replayer, tree, run_writer):
    """Lines that are none, unknown commands and wrong values end nothing."""
    folder = root.claim()
    run_writer(folder)
    process = replayer()
    process.process.stdin.write(b"nonsense\n[]\n{}\n")
    process.send(do="dance")
    process.send(do="claim", ticket=1, view={"kind": "nothing", "url": ""}, journal_id="aa")
    assert process.answer()["ticket"] == 1
    process.send(do="run", folder="/nowhere", views=[])
    process.follow(folder, tree)
    process.wait_for(folder, 2)
    assert process.answer()["state"] == "current"
    assert process.end() == 0


def test_the_experiment_vanishes(root, replayer, tree, run_writer):
    """The end of the commands is not the end of the work: what the journal has is written."""
    folder = root.claim()
    run_writer(folder, points=2000)
    process = replayer()
    process.follow(folder, tree)
    assert process.end() == 0
    assert metrics(tree)["loss"]["steps"] == list(range(2000))


def test_a_root_that_is_deleted(root, replayer, tmp_path, run_writer):
    """A replayer whose view does not answer does not wait for runs that are not there any more."""
    silent = SinkSpec(
        "mongo", "mongodb://127.0.0.1:1", {"client": {"serverSelectionTimeoutMS": 50}}, "m"
    )
    folder = root.claim()
    run_writer(folder)
    process = replayer()
    process.follow(folder, silent)
    assert process.answer()["state"] == "behind"
    shutil.rmtree(root.path)
    assert process.end() == 3


def test_kill_9_in_the_middle(root, replayer, tree, run_writer):
    """P7: whenever the replayer is killed, the next replay makes the view the journal's fold."""
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    for part in range(4):
        process = replayer()
        process.follow(folder, tree)
        for step in range(500):
            writer.log_point("loss", 1000 * (part + 1) + step, 0.5)
            writer.append_output(1, f"{part} {step}\n".encode())
        writer.flush()
        if part % 2:
            process.wait_for(folder, part)
            process.answer()
        process.process.send_signal(signal.SIGKILL)
        process.process.wait(PATIENCE)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    assert replay(root, None, [tree]).exit_code == 0
    whole = SinkSpec.parse(f"file:{tree.url}-anew")
    assert replay(root, None, [whole]).exit_code == 0
    for name in ("run.json", "config.json", "cout.txt", "info.json", "metrics.json"):
        killed = (Path(tree.url) / "1" / name).read_text()
        anew = (Path(whole.url) / "1" / name).read_text()
        assert anew.replace("tree-anew", "tree") == killed, name
    assert len(metrics(tree)["loss"]["steps"]) == 50 + 2000


def test_a_pipe_that_nobody_reads_does_not_stop_it():
    """Answers that nobody takes are dropped, and the end of the reader is no error."""
    from sacred.replayers.serve import _Output

    reading, writing = os.pipe()
    output = _Output(writing)
    for _ in range(1000):
        output.send(b"x" * 4096)
    assert len(output._rest) < 2 << 20
    os.close(reading)
    output.send(b"y\n")
    os.close(writing)


def test_commands_without_a_process():
    """A service can be driven in a thread: nothing but lines goes in and out."""
    lines = []
    service = Service(lines.append)
    service.command(b'{"do":"wait","ticket":1,"folder":"/nowhere","position":[]}')
    assert json.loads(lines[0])["ticket"] == 1
    service.end_of_commands()
    assert service.run() == 0
    assert Position.from_wire([]) == Position()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [([], 2), (["--help"], 0), (["once"], 2), (["once", "/nowhere", "--sink", "file:/x"], 2)],
)
def test_by_hand(arguments, status, capfd):
    """``python -m sacred.replayers`` says how it is used; a wrong run is exit 2."""
    from sacred.replayers.__main__ import main

    assert main(arguments) == status
    assert "Traceback" not in capfd.readouterr().err


def test_once_by_hand(root, tree, run_writer, capfd):
    """``once RUN --sink SPEC`` writes a run and says under which id."""
    from sacred.replayers.__main__ import main

    folder = root.claim()
    run_writer(folder)
    assert main(["once", str(folder.path), "--sink", json.dumps(tree.to_wire())]) == 0
    assert capfd.readouterr().out == f"run 1 -> {tree.name}: current as 1\n"
