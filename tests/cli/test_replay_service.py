"""``sacred-replay --follow`` as a service: real processes, signals, reload, locks, memory."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from servers.mongo import free_port

from sacred.journal import EventType, JournalRoot, JournalWriter
from sacred.journal.reader import JournalReader
from sacred.journal.seal import seal_run
from sacred.replayers.memo import JournalSize, ViewMemo
from sacred.replayers.registry import parse_spec
from sacred.replayers.view_lock import give_back_view, take_view
from tests.cli.conftest import Root

_CODE = "import sys; from sacred.cli import replay_main; sys.exit(replay_main())"
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ")


class Service:
    """A service in a process, and the lines of its log."""

    def __init__(self, folder, *arguments, env=None):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CODE, "--follow", *map(str, arguments)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.seen = []
        self.errors = []
        self._lines = queue.Queue()
        for stream, take in (
            (self.process.stdout, self._lines.put),
            (self.process.stderr, self.errors.append),
        ):
            threading.Thread(target=self._read, args=(stream, take), daemon=True).start()

    def _read(self, stream, take):
        for line in stream:
            take(line)
        take(None)

    def until(self, *wanted):
        """Read the log until each of some texts was in a line."""
        left = list(wanted)
        while left:
            line = self._lines.get(timeout=60)
            assert line is not None, (left, self.seen, self.errors)
            assert _TIME.match(line)
            self.seen.append(line[21:].rstrip("\n"))
            left = [text for text in left if text not in line]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(60)
        while (line := self._lines.get(timeout=60)) is not None:
            self.seen.append(line[21:].rstrip("\n"))
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(60)


@pytest.fixture
def serve(tmp_path):
    """Start services, which end with the test."""
    services = []

    def start(*arguments, **options):
        services.append(Service(tmp_path, *arguments, **options))
        return services[-1]

    yield start
    for service in services:
        service.kill()
        for stream in (service.process.stdout, service.process.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.close()


def settings(tmp_path, text):
    """Write the settings; the old ones or the new ones are there, never a half."""
    path = tmp_path / "sacred-replay.toml"
    (tmp_path / "new.toml").write_text(text)
    (tmp_path / "new.toml").replace(path)
    return path


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def until(holds, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def asked(address):
    """Ask for the health; (status, answer), or None while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=100) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return None


def free_address():
    return f"127.0.0.1:{free_port()}"


def test_many_roots_and_views(root, tmp_path, serve):
    """Runs of two roots, that are there and that begin later, into two views; the log says it all."""
    other = Root(tmp_path / "other")
    other.journals.create()
    root.completed()
    other.completed()
    settings(tmp_path, 'roots = ["sacred_runs", "other"]\njobs = 2\nhealth = "health.json"\n'
             '[views.a]\nto = "file:a"\n[views.b]\nto = "file:b"\n')  # fmt: skip
    service = serve()
    service.until(
        f"run 1 of {root.path} -> a as ", f"run 1 of {root.path} -> b as ",
        f"run 1 of {other.path} -> a as ", f"run 1 of {other.path} -> b as ",
    )  # fmt: skip
    root.completed()
    service.until(f"run 2 of {root.path} -> a as ", f"run 2 of {root.path} -> b as ")
    found = until(lambda: _health(tmp_path / "health.json", current=3))
    assert ("ok", [2, 1]) == (found["status"], [each["runs"] for each in found["roots"]])
    assert [("a", "file", 3, 3), ("b", "file", 3, 3)] == [
        (view["name"], view["kind"], view["current"], view["written"]) for view in found["views"]
    ]
    assert 0 == service.end()
    assert "ended" == json.loads((tmp_path / "health.json").read_text())["status"]
    assert 3 == len([path for path in (tmp_path / "a").iterdir() if path.name.isdigit()])


def _health(path, **counts):
    found = json.loads(path.read_text())
    good = all(view[name] == count for view in found["views"] for name, count in counts.items())
    return found if good and found["views"] else None


def test_reload(root, tmp_path, serve):
    """SIGHUP takes new views and lets others go; a broken file keeps the old settings and says so."""
    root.completed()
    settings(tmp_path, '[views.a]\nto = "file:a"\n')
    service = serve()
    service.until("run 1 -> a as 1: up to date")
    settings(tmp_path, "[views.a]\nto = 3\n[[[")
    service.process.send_signal(signal.SIGHUP)
    service.until("the new settings are not taken: ", "going on with the old ones")
    root.completed()
    service.until("run 2 -> a as 2: up to date")
    settings(tmp_path, 'jobs = 2\n[views.b]\nto = "file:b"\n')
    service.process.send_signal(signal.SIGHUP)
    service.until("settings read again: 1 root -> b, 2 jobs", "run 1 -> b as 1", "run 2 -> b as 2")
    root.completed()
    service.until("run 3 -> b as 3: up to date")
    assert 0 == service.end()
    assert not (tmp_path / "a" / "3").exists()


def test_a_reload_warns_of_open_secrets(root, tmp_path, serve):
    """A file of secrets that everybody may read is told of at SIGHUP, too, and not at each step."""
    root.completed()
    secret = tmp_path / "secret"
    secret.write_text("out\n")
    secret.chmod(0o600)
    settings(tmp_path, '[views.a]\nto = "file:${file:secret}"\n')
    service = serve()
    service.until("run 1 -> a as 1: up to date")
    places = [one for one in (*tmp_path.parents, tmp_path) if not one.stat().st_mode & 0o001]
    for one in places:  # the folders of tests are their user's alone
        one.chmod(one.stat().st_mode | 0o011)
    try:
        secret.chmod(0o644)
        for _ in range(2):
            service.process.send_signal(signal.SIGHUP)
            service.until("settings read again")
        assert 0 == service.end()
    finally:
        for one in places:
            one.chmod(one.stat().st_mode & ~0o011)
    told = [line for line in service.errors if line and "everybody here may read" in line]
    assert 2 == len(told), service.errors
    assert f"chmod 600 {secret}" in told[0]


def test_two_services_on_one_root(root, tmp_path, serve):
    """The lock: a living run has one of two services as its writer; the other takes it up when that dies."""
    writer = root.writer()
    root.start(writer, 1)
    writer.flush()
    to = ("--to", "file:out", "--root", root.path)
    first = serve(*to)
    first.until("run 1 -> ", "being written")
    second = serve(*to)
    second.until(f"run 1 -> file:{tmp_path}/out: another replayer writes it")
    first.kill()
    second.until("run 1 -> ", "being written")
    root.end(writer)
    second.until(f"run 1 -> file:{tmp_path}/out as 1: up to date")
    assert 0 == second.end()
    assert "COMPLETED" == json.loads((tmp_path / "out" / "1" / "run.json").read_text())["status"]


def test_locks_of_one_process(root):
    """A run of a view is taken once in a process too, and given back; other runs are free."""
    one, two = root.completed(), root.completed()
    assert take_view(one, "k")
    assert not take_view(one, "k")
    assert take_view(two, "k")
    assert take_view(one, "other")
    give_back_view(one, "k")
    assert take_view(one, "k")
    for folder, key in ((one, "k"), (two, "k"), (one, "other")):
        give_back_view(folder, key)


def test_killed_and_started_again(root, tmp_path, serve):
    """After a kill the service writes what came meanwhile, and what is whole is not opened again."""
    for _ in range(3):
        root.completed()
    service = serve("--to", "file:out")
    service.until("run 1 -> ", "run 2 -> ", "run 3 -> ")
    until(lambda: (root.journals.runs()[2].views / f"{_key(tmp_path)}.json").exists())
    service.kill()
    # The number by which the place is known was counted up for run 4.
    before = {
        path: when for path, when in files(tmp_path / "out").items() if "mark-" not in path.name
    }
    root.completed()
    # Whoever opened the first run's journal would find it damaged.
    (folder, *_) = root.journals.runs()
    file = root.file(folder)
    file.write_bytes(b"\0" * file.stat().st_size)
    service = serve("--to", "file:out", "--health", "health.json")
    service.until("run 4 -> ")
    found = until(lambda: _health(tmp_path / "health.json", current=4))
    assert 1 == found["views"][0]["written"]
    assert 0 == service.end()
    assert [f"run 4 -> file:{tmp_path}/out as 4: up to date"] == service.seen
    after = files(tmp_path / "out")
    assert before == {path: when for path, when in after.items() if path in before}


@pytest.mark.parametrize("fate", ["completed", "died"])
def test_copies_of_runs_that_are_over(root, tmp_path, serve, fate):
    """A copied run is let go when it is over, known after a restart, and copied again when it is sealed."""
    folder = getattr(root, fate)()
    to = ("--to", "journal:copy", "--health", "health.json")
    service = serve(*to)
    service.until("run 1 -> ", " as 1: up to date")
    found = until(lambda: _health(tmp_path / "health.json", current=1, following=0))
    assert "ok" == found["status"]
    assert 0 == service.end()
    copied = root.file(only_copy(tmp_path))
    assert copied.read_bytes() == root.file(folder).read_bytes()
    service = serve(*to)
    until(lambda: _health(tmp_path / "health.json", current=1, written=0))
    seal_run(folder)
    until(lambda: copied.read_bytes() == root.file(folder).read_bytes())
    assert 0 == service.end()
    assert [] == service.seen


def only_copy(tmp_path):
    """Return the run of a folder of copies that holds one."""
    (only,) = JournalRoot(tmp_path / "copy").runs()
    return only


def _key(tmp_path):
    return parse_spec(f"file:{tmp_path}/out").key


def test_a_dead_server_holds_up_no_other_view(root, tmp_path, serve):
    """One view's server is down: said once, the other view is written; 503 at the health address."""
    for _ in range(5):
        root.completed()
    address, dead = free_address(), free_address()
    settings(tmp_path, f'health = "{address}"\n[views.dead]\nto = "mongodb://u:hush@{dead}/db"\n'
             '[views.good]\nto = "file:out"\n')  # fmt: skip
    service = serve()
    service.until(*(f"run {n} -> good as {n}: up to date" for n in range(1, 6)), "dead: ")
    status, found = until(
        lambda: (got := asked(address)) and got[1]["views"][1]["current"] == 5 and got
    )
    assert (503, "behind") == (status, found["status"])
    assert "Connection refused" in found["views"][0]["error"]
    assert 3 == service.end()
    assert 1 == sum("dead" in line for line in service.seen)
    assert "hush" not in "".join(service.seen) + json.dumps(found)


def test_a_view_that_refuses(root, tmp_path, serve):
    """What does not come right by itself is failed, in the health and by exit code 1; and it may be mended."""
    root.completed()
    settings(tmp_path, 'health = "health.json"\n[views.v]\nto = "sqlite:///none/x.db"\n')
    service = serve()
    service.until("v: sql:")
    found = until(lambda: _health(tmp_path / "health.json", failed=1, behind=0))
    assert ("failed", "failed") == (found["status"], found["views"][0]["state"])
    assert "see that its folder is there" in found["views"][0]["error"]
    (tmp_path / "none").mkdir()
    service.until("v: well again", "run 1 -> v as 1: up to date")
    until(lambda: _health(tmp_path / "health.json", failed=0, current=1))
    assert 0 == service.end()
    service = serve("--to", "sqlite:///missing/x.db")
    service.until("missing/x.db can not be opened")
    assert 1 == service.end()


def test_a_poisoned_run_stops_alone(root, tmp_path, serve):
    """A run that a view can not take fails with a sentence; the other runs are written; exit code 1."""
    for _ in range(3):
        root.completed()
    out = tmp_path / "out"
    out.mkdir()
    (out / "2").write_text("a file where the run's folder should be")
    (out / ".claims").write_text("")
    blocked = root.journals.runs()[1]
    service = serve("--to", f"file:{out}")
    service.until("run 1 -> ", "run 3 -> ", "run 2 -> ")
    code = service.end()
    assert code in {0, 1}  # it gets another id, or fails
    assert (code == 1) == any("failed: " in line for line in service.seen)
    assert blocked.journal.exists()


def test_a_run_that_goes_on(root, tmp_path, serve):
    """A run that was whole in the view and is gone on with is taken up again."""
    folder = root.died()
    service = serve("--to", "file:out")
    service.until("run 1 -> ", "up to date")
    reader = JournalReader(folder.journal)
    assert list(reader.poll())
    writer = JournalWriter.go_on(folder.journal, reader.position[0], journal_id=reader.journal_id)
    reader.close()
    writer.append(EventType.RUN_RESUMED)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    service.until("run 1 -> ", "up to date")
    assert 0 == service.end()
    assert "COMPLETED" == json.loads((tmp_path / "out" / "1" / "run.json").read_text())["status"]


def test_a_root_that_is_gone_for_a_while(root, tmp_path, serve):
    """A disk that is away is said once, and the service goes on when it is back."""
    root.completed()
    service = serve("--to", f"file:{tmp_path / 'out'}", "--root", root.path)
    service.until("run 1 -> ")
    root.path.rename(tmp_path / "away")
    service.until("trying again")
    (tmp_path / "away").rename(root.path)
    service.until("well again")
    root.completed()
    service.until("run 2 -> ")
    assert 0 == service.end()


def test_a_second_signal_kills(root, tmp_path, serve):
    """Who can not wait sends a second signal: the process dies of it."""
    writer = root.writer()
    root.start(writer, 1)
    writer.flush()
    service = serve("--to", "file:out")
    service.until("being written")
    service.process.send_signal(signal.SIGSTOP)
    service.process.send_signal(signal.SIGTERM)
    service.process.send_signal(signal.SIGINT)
    service.process.send_signal(signal.SIGCONT)
    assert service.process.wait(60) in {0, -signal.SIGTERM, -signal.SIGINT}
    writer.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--root", "nowhere"), "nowhere"),
        (("--health", "127.0.0.1:0"), "whose port is none"),
        (("--health", "no/such/folder/x"), "can not be written"),
        (("--health", "256.1.1.1:80"), "can not be had"),
    ],
)
def test_what_can_not_begin(root, run_sacred, arguments, sentence):
    """One sentence, exit code 2."""
    done = run_sacred("--follow", "--to", "file:out", *arguments, name="replay_main")
    assert (2, "", 1) == (done.code, done.out, done.err.count("\n"))
    assert sentence in done.err


def test_a_password_is_in_no_process_list(root, tmp_path, serve):
    """The settings put it in: neither the command line nor the log nor a note has it."""
    root.completed()
    (tmp_path / "secret").write_text("hush")
    dead = free_address()
    settings(tmp_path, f'[views.a]\nto = "mongodb://u:${{file:secret}}@{dead}/db"\n')
    service = serve()
    service.until("a: ")
    command = f"/proc/{service.process.pid}/cmdline"
    if os.path.exists(command):
        assert b"hush" not in open(command, "rb").read()
    service.end()
    assert "hush" not in "".join(service.seen) + "".join(filter(None, service.errors))
    assert not [
        path for path in root.path.rglob("*") if path.is_file() and b"hush" in path.read_bytes()
    ]


def _whole(root, spec, count):
    """Make runs of which a note says that the view has them whole."""
    now = time.time_ns()
    for number in range(1, count + 1):
        folder = root.path / str(number)
        (folder / "journal").mkdir(parents=True)
        (folder / "journal" / "w0000-e0001.jzst").write_bytes(b"x" * 64)
        (folder / "views").mkdir()
        memo = ViewMemo(spec.name, number, "current", None, spec.kind, [[0, 1, 9, "00", 0]],
                        [1, 64], True, now, now)  # fmt: skip
        (folder / "views" / f"{spec.key}.json").write_text(json.dumps(memo._asdict()))
    assert JournalSize(1, 64) == JournalSize.of(folder / "journal")


def _memory(root, tmp_path, serve, count):
    """Return what a service takes of memory (kB) that knows so many runs."""
    base = Root(tmp_path / f"of-{count}")
    base.journals.create()
    _whole(base, parse_spec(f"file:{tmp_path / 'out'}"), count)
    report = tmp_path / f"health-{count}.json"
    service = serve("--to", "file:out", "--root", base.path, "--health", report)
    found = until(lambda: report.exists() and _health(report, current=count), 120.0)
    assert 0 == found["views"][0]["written"]
    with open(f"/proc/{service.process.pid}/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert 0 == service.end()
    return memory


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_memory_of_1000_runs(root, tmp_path, serve):
    """A thousand runs that are known take less than 2 MB more than ten."""
    assert _memory(root, tmp_path, serve, 1000) - _memory(root, tmp_path, serve, 10) < 2000


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_memory_of_10000_runs(root, tmp_path, serve):
    """Ten thousand take less than 8 MB more than ten."""
    assert _memory(root, tmp_path, serve, 10_000) - _memory(root, tmp_path, serve, 10) < 8000


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_memory_while_runs_are_written(root, tmp_path, serve):
    """Runs that are written one after the other leave nothing behind but a number each."""
    report = tmp_path / "health.json"
    service = serve("--to", "file:out", "--root", root.path, "--health", report)
    sizes = []
    for part in range(4):
        for _ in range(100):
            root.completed()
        until(lambda: report.exists() and _health(report, written=100 * (part + 1)), 120.0)  # noqa: B023
        with open(f"/proc/{service.process.pid}/status") as status:
            sizes.append(next(int(line.split()[1]) for line in status if line.startswith("VmRSS")))
    assert 0 == service.end()
    assert sizes[3] - sizes[1] < 3000, sizes


_EXPERIMENT = """
import sys
from sacred import Experiment
from sacred.observers import MongoObserver
ex = Experiment("served", save_git_info=False)
ex.observers.append(MongoObserver(url=sys.argv[1], db_name=sys.argv[2]))

@ex.main
def main(_run):
    for step in range(200):
        _run.log_scalar("loss", 1 / (step + 1), step)
    return 7

ex.run()
"""


@pytest.mark.server
def test_beside_the_replayers_of_experiments(mongo_db, root, tmp_path, serve):
    """A service and the experiments' own replayers write one MongoDB: each run once, with all its points."""
    url, name = mongo_address(mongo_db)
    (tmp_path / "train.py").write_text(_EXPERIMENT)
    settings(tmp_path, f'roots = ["sacred_runs"]\nhealth = "health.json"\n'
             f'[views.lab]\nto = "{url}"\ndb = "{name}"\n')  # fmt: skip
    service = serve()
    for _ in range(3):
        command = [sys.executable, "train.py", url, name]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    until(lambda: _health(tmp_path / "health.json", current=3), 120.0)
    assert 0 == service.end()
    documents = list(mongo_db.runs.find())
    assert [("COMPLETED", 7)] * 3 == [(each["status"], each["result"]) for each in documents]
    assert [200] * 3 == [len(each["values"]) for each in mongo_db.metrics.find()]
    assert not [line for line in service.seen if "failed" in line]


@pytest.mark.server
def test_a_server_that_goes_away_while_a_run_is_followed(
    mongo_db, fault_proxy, root, tmp_path, serve
):
    """The health says why the run is behind; SIGHUP takes no run from who follows it."""
    proxy = fault_proxy(mongo_db.client.address[1])
    writer = root.writer()
    root.start(writer, 1)
    writer.flush()
    settings(tmp_path, f'health = "health.json"\n[views.lab]\nto = "mongodb://127.0.0.1:{proxy.port}"\n'
             f'db = "{mongo_db.name}"\n')  # fmt: skip
    service = serve()
    service.until("run 1 -> lab as 1: being written")
    proxy.refuse()
    writer.log_point("loss", 0, 1.0)
    writer.flush()
    service.until("run 1 -> lab: behind: ")
    found = until(lambda: _health(tmp_path / "health.json", behind=1))
    assert f"lab@127.0.0.1:{proxy.port} does not answer" in str(found["views"][0]["error"]).replace(
        mongo_db.name, "lab"
    )
    service.process.send_signal(signal.SIGHUP)
    service.until("settings read again: ")
    root.completed()
    service.until("lab: mongo:")  # the new run was tried, after all that SIGHUP had tried again
    proxy.heal()
    root.end(writer)
    service.until("run 1 -> lab as 1: up to date", "run 2 -> lab as 2: up to date")
    assert 0 == service.end()
    assert not [line for line in service.seen if "another replayer" in line]


def mongo_address(database):
    host, port = database.client.address
    return f"mongodb://{host}:{port}", database.name
