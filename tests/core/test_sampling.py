"""What a run uses of the machine, as metrics."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from sacred.core import gpus
from sacred.core.gpus import GpuUse, gpu_use
from sacred.core.sampling import METRICS, Sample, Sampler, declaration_of
from sacred.journal import EventType, JournalReader, JournalRoot, read_metrics

psutil = pytest.importorskip("psutil")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch, tmp_path):
    """Hides the machine's own nvidia-smi."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def fake_nvidia_smi(folder, body):
    program = folder / "nvidia-smi"
    program.write_text(f"#!{sys.executable} -S\n{body}")
    program.chmod(0o755)
    return str(program)


class Burner:
    """A child process that computes until it is told to end."""

    def __enter__(self):
        code = "import sys; x = bytearray(30_000_000); print(flush=True)\nwhile True: pass"
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        self.process.stdout.readline()
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(100)
        self.process.stdout.close()


def busy(seconds):
    """Use so much time of this process's CPU."""
    import time

    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_process_and_the_machine():
    """A look tells the use of the machine and of this process since the look before."""
    sample = Sample(gpu=False)
    busy(0.05)
    seen = dict(sample.look())
    assert ["system.cpu", "system.run.cpu", "system.memory", "system.run.memory"] == list(seen)
    assert 0 <= seen["system.cpu"] <= 100
    assert 0 < seen["system.run.cpu"]
    assert 0 < seen["system.run.memory"] <= psutil.virtual_memory().total
    assert 0 < seen["system.memory"] <= psutil.virtual_memory().total


def test_children_count():
    """The memory of child processes is in it, and their CPU time also when they have ended."""
    sample = Sample(gpu=False)
    before = sample._seen[1]
    alone = dict(sample.look())["system.run.memory"]
    with Burner() as child:
        assert dict(sample.look())["system.run.memory"] > alone + 30_000_000
        family = psutil.Process(child.pid)
        while sum(family.cpu_times()[:2]) < 0.05:
            pass
        used = sum(family.cpu_times()[:2])
    sample._spent()
    if sys.platform == "linux":
        assert sample._seen[1] - before >= used


def test_a_child_that_ends_meanwhile(monkeypatch):
    """A process that is gone when it is looked at is left out."""
    sample = Sample(gpu=False)
    with Burner() as child:
        gone = psutil.Process(child.pid)
    monkeypatch.setattr(sample, "_processes", lambda: [sample._process, gone])
    assert 4 == len(dict(sample.look()))


@pytest.mark.parametrize(
    ("switches", "names"),
    [
        ({"cpu": False}, ["system.memory", "system.run.memory"]),
        ({"memory": False}, ["system.cpu", "system.run.cpu"]),
        ({"cpu": False, "memory": False}, []),
    ],
)
def test_each_can_be_switched_off(switches, names):
    """What is not wanted is not measured."""
    assert names == [name for name, _ in Sample(gpu=False, **switches).look()]


def test_graphics_cards(no_gpu):
    """The use and the memory of each card; what the driver does not tell is left out."""
    program = fake_nvidia_smi(no_gpu, "print('0, 35, 1024\\n1, [N/A], 2\\n3, 5, [N/A]')")
    assert [
        GpuUse(0, 35.0, 1 << 30),
        GpuUse(1, None, 2 << 20),
        GpuUse(3, 5.0, None),
    ] == gpu_use(program)
    assert {
        "system.gpu0.use": 35.0,
        "system.gpu0.memory": 1 << 30,
        "system.gpu1.memory": 2 << 20,
        "system.gpu3.use": 5.0,
    } == dict(Sample(cpu=False, memory=False).look())


def test_the_driver_is_asked_the_question(no_gpu, tmp_path):
    """The program is asked for numbers alone."""
    fake_nvidia_smi(
        no_gpu, f"import sys; open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]))"
    )
    list(Sample(cpu=False, memory=False).look())
    asked = "--query-gpu=index,utilization.gpu,memory.used --format=csv,noheader,nounits"
    assert asked == (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    "body",
    [
        "import time; time.sleep(60)",
        "raise SystemExit(9)",
        "print('NVIDIA-SMI has failed because it could not communicate')",
        "print('0, 35')",
        "print('x, 35, 7')",
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 100)",
    ],
)
def test_a_driver_that_does_not_answer_is_given_up(no_gpu, monkeypatch, tmp_path, body):
    """A driver that hangs, fails or answers garbage is asked three times, and never again."""
    monkeypatch.setattr(gpus, "_SAMPLE_TIMEOUT", 0.2)
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x')\n"
    fake_nvidia_smi(no_gpu, count + body)
    sample = Sample(cpu=False, memory=False)
    for _ in range(5):
        assert [] == list(sample.look())
    assert len((tmp_path / "count").read_text()) <= 3
    assert sample._gpu_program is None


def test_every_metric_is_declared():
    """What a look gives has a unit and a sentence."""
    for name, _ in Sample(gpu=False).look():
        assert METRICS[name] == declaration_of(name)
    assert METRICS["system.gpu.use"] == declaration_of("system.gpu12.use")
    assert None is declaration_of("loss")
    assert None is declaration_of("system.gpu0.colour")


class Fake:
    """A sample that says when it was asked."""

    def __init__(self, *effects):
        self.effects = list(effects)
        self.looks = threading.Semaphore(0)

    def look(self):
        self.looks.release()
        effect = self.effects.pop(0) if self.effects else 1.0
        if isinstance(effect, Exception):
            raise effect
        yield "m", effect


def sampler(fake, logged, errors, **changes):
    parts = {
        "log": lambda name, value: logged.append((name, value)),
        "declare": lambda name: logged.append(name),
        "interval": 0.001,
        "make": lambda: fake,
        "on_error": errors.append,
    }
    return Sampler(**{**parts, **changes})


def test_the_thread_survives_everything():
    """An error of a look, or of whoever takes it, ends nothing, and is told once for each kind."""
    logged, errors = [], []
    fake = Fake(1.0, OSError("a"), OSError("b"), psutil.NoSuchProcess(1), ZeroDivisionError(), 2.0)
    made = iter([ImportError("no psutil"), fake])

    def make():
        found = next(made)
        if isinstance(found, Exception):
            raise found
        return found

    thread = sampler(fake, logged, errors, make=make)
    thread.start()
    for _ in range(7):
        assert fake.looks.acquire(timeout=100)
    assert thread.stop(30)
    kinds = [ImportError, OSError, psutil.NoSuchProcess, ZeroDivisionError]
    assert kinds == [type(error) for error in errors]
    assert ["m", ("m", 1.0), ("m", 2.0)] == logged[:3]


def test_a_last_sample_is_taken_at_the_end():
    """A run that is shorter than the interval has one sample."""
    logged, errors = [], []
    made = threading.Event()
    fake = Fake(5.0)
    thread = sampler(fake, logged, errors, interval=3600, make=lambda: made.set() or fake)
    thread.start()
    assert made.wait(100)
    assert thread.stop(30)
    assert (["m", ("m", 5.0)], []) == (logged, errors)


def test_behind_the_end_nothing_is_logged():
    """What a driver that hangs says later is left out, and the end does not wait for it."""
    logged, errors = [], []
    go, entered = threading.Event(), threading.Event()

    class Hanging:
        def look(self):
            entered.set()
            go.wait(100)
            yield "m", 1.0

    thread = sampler(Hanging(), logged, errors)
    thread.start()
    assert entered.wait(100)
    assert not thread.stop(0.01)
    go.set()
    thread._thread.join(100)
    assert ([], []) == (logged, errors)


_SCRIPT = """
import sys, threading
from sacred import Experiment, SETTINGS
from sacred.observers import FileStorageObserver

ex = Experiment("sampled")
ex.observers.append(FileStorageObserver("view"))
if sys.argv.pop(1) == "on":
    SETTINGS.SAMPLING.INTERVAL = 0.1

@ex.main
def main(_run):
    _run.log_scalar("loss", 1.0)
    sampling = [t for t in threading.enumerate() if t.name == "sacred-sampling"]
    for thread in sampling:
        while _run._metrics.metric_step_counter.get("system.cpu", -1) < 1:
            threading.Event().wait(0.01)
    return [len(sampling), "psutil" in sys.modules]

ex.run_commandline()
"""


def sampled(tmp_path, switch):
    (tmp_path / "train.py").write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, "train.py", switch, "-C", "no"],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 0 == done.returncode, done.stderr
    folder = JournalRoot(tmp_path / "sacred_runs").run(1)
    return folder, list(JournalReader(folder.journal).read()), done


def test_a_run_that_is_sampled(tmp_path, no_gpu):
    """Its journal and its view have the metrics, declared as those of the machine."""
    pytest.importorskip("numpy")
    fake_nvidia_smi(no_gpu, "import sys\nif '-x' not in sys.argv: print('0, 35, 1024')")
    folder, events, done = sampled(tmp_path, "on")
    found = read_metrics(folder.journal)
    names = {"loss", *METRICS} - {"system.gpu.use", "system.gpu.memory"}
    assert names | {"system.gpu0.use", "system.gpu0.memory"} == set(found)
    steps = list(found["system.cpu"].steps)
    assert list(range(len(steps))) == steps
    declared = {e.fields["metric"]: e.fields for e in events if e.type == EventType.METRIC_DECLARED}
    assert set(found) - {"loss"} == set(declared)
    about = declared["system.gpu0.memory"]
    assert ("bytes", True, METRICS["system.gpu.memory"].doc) == (
        about["unit"],
        about["system"],
        about["doc"],
    )
    assert "system.run.memory" in (tmp_path / "view" / "1" / "metrics.json").read_text()
    assert "system" not in done.stderr


def test_a_run_that_is_not_sampled(tmp_path):
    """Off by default: no thread, no psutil, no metric."""
    pytest.importorskip("numpy")
    folder, events, _ = sampled(tmp_path, "off")
    assert {"loss"} == set(read_metrics(folder.journal))
    (ended,) = [event.fields for event in events if event.type == EventType.RUN_ENDED]
    assert [0, False] == ended["result"]


def test_a_bad_interval_is_told_before_the_run(tmp_path):
    """A setting that can not be used ends the program with a sentence, and no run begins."""
    script = _SCRIPT.replace("0.1", "'now and then'")
    (tmp_path / "train.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "train.py", "on"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert 1 == done.returncode
    assert "SETTINGS.SAMPLING.INTERVAL must be a number of seconds" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "sacred_runs").exists()
