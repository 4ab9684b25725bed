"""Facts about the host."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time

import pytest

import sacred
from sacred.core import host_info, programs
from sacred.core.host_info import (
    IgnoreHostInfo,
    check_additional_host_info,
    get_host_info,
    host_info_gatherer,
    host_info_getter,
    machine_facts,
)
from sacred.core.settings import SETTINGS


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch, tmp_path):
    """Hides the machine's own nvidia-smi."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_built_in_facts():
    """HST-01: the keys, and what they hold; `gpus` is absent without a driver."""
    facts = get_host_info()
    assert ["hostname", "os", "python_version", "cpu", "ENV"] == list(facts)
    assert socket.gethostname() == facts["hostname"]
    assert [platform.system(), platform.platform()] == facts["os"]
    assert platform.python_version() == facts["python_version"]
    assert {} == facts["ENV"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_the_cpu_is_the_model_name():
    """HST-01, USE-09: the CPU is there at once, as the kernel names it."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    expected = models[0] if models else platform.processor() or platform.machine()
    assert expected == get_host_info()["cpu"]


def test_facts_can_be_disabled(monkeypatch):
    """HST-01: a disabled fact is None."""
    monkeypatch.setitem(SETTINGS.HOST_INFO, "INCLUDE_CPU_INFO", False)
    monkeypatch.setitem(SETTINGS.HOST_INFO, "INCLUDE_GPU_INFO", False)
    facts = get_host_info()
    assert (None, None) == (facts["cpu"], facts["gpus"])


def test_environment_variables_are_recorded_by_name(monkeypatch):
    """HST-01: ENV holds the variables that the settings name and that are set."""
    monkeypatch.setitem(SETTINGS.HOST_INFO, "CAPTURED_ENV", ["SOME_VARIABLE", "NO_SUCH_VARIABLE"])
    monkeypatch.setenv("SOME_VARIABLE", "value")
    assert {"SOME_VARIABLE": "value"} == get_host_info()["ENV"]


def test_environment_variables_by_pattern(monkeypatch):
    """HST-01: patterns stand for every variable that matches; secrets are recorded as ***."""
    monkeypatch.setitem(SETTINGS.HOST_INFO, "CAPTURED_ENV", ["MY_*", "THEIR_TOKEN", "U?L"])
    for name, value in {
        "MY_B": "1",
        "MY_A": "2",
        "MY_API_KEY": "secret",
        "THEIR_TOKEN": "secret",
        "NOT_MY_B": "3",
        "URL": "http://me:secret@host",
    }.items():
        monkeypatch.setenv(name, value)
    assert {
        "MY_A": "2",
        "MY_API_KEY": "***",
        "MY_B": "1",
        "THEIR_TOKEN": "***",
        "URL": "http://me:***@host",
    } == get_host_info()["ENV"]


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        ("Driver=x;Server=h;Uid=me;Pwd=my own;", "Driver=x;Server=h;Uid=me;Pwd=***;"),
        ("host=h user=me password='my own' port=5", "host=h user=me password=*** port=5"),
        ("-Xmx1g -Ddb.password=pw -Dx=y", "-Xmx1g -Ddb.password=*** -Dx=y"),
        ("PASSWD=pw", "PASSWD=***"),
        ("a=1 b=2", "a=1 b=2"),
        ("/home/me", "/home/me"),
    ],
)
def test_passwords_in_the_values_of_variables(monkeypatch, value, recorded):
    """HST-01: what stands behind Pwd=, password= and the like is masked, whatever the variable is called."""
    monkeypatch.setitem(SETTINGS.HOST_INFO, "CAPTURED_ENV", ["DSN"])
    monkeypatch.setenv("DSN", value)
    assert {"DSN": recorded} == get_host_info()["ENV"]


def test_what_is_secret_can_be_changed(monkeypatch):
    """HST-01: SETTINGS.HOST_INFO.SECRET_ENV decides which values are masked."""
    monkeypatch.setitem(SETTINGS.HOST_INFO, "CAPTURED_ENV", ["A_TOKEN", "B_NAME"])
    monkeypatch.setitem(SETTINGS.HOST_INFO, "SECRET_ENV", ["*_NAME"])
    monkeypatch.setenv("A_TOKEN", "a")
    monkeypatch.setenv("B_NAME", "b")
    assert {"A_TOKEN": "a", "B_NAME": "***"} == get_host_info()["ENV"]


def test_facts_of_the_machine(monkeypatch):
    """HST-01: cores, usable CPUs and memory, as psutil tells them."""
    psutil = pytest.importorskip("psutil")
    facts = machine_facts()
    assert psutil.virtual_memory().total == facts["memory"]
    assert psutil.cpu_count(logical=False) == facts.get("physical_cpu_count")
    if hasattr(os, "sched_getaffinity"):
        assert len(os.sched_getaffinity(0)) == facts["usable_cpu_count"]
    monkeypatch.setitem(SETTINGS.HOST_INFO, "INCLUDE_CPU_INFO", False)
    assert ["memory"] == list(machine_facts())


def test_facts_that_the_system_does_not_tell(monkeypatch):
    """HST-01: where the usual way fails psutil is asked; where that fails too, there is no fact."""
    psutil = pytest.importorskip("psutil")

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "sysconf", refuse)
    monkeypatch.setattr(host_info, "_CPUS", "/no/such/folder")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 3)
    facts = machine_facts()
    assert (psutil.virtual_memory().total, 3) == (facts["memory"], facts["physical_cpu_count"])
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr(psutil, "cpu_count", refuse)
    assert ["usable_cpu_count"] == list(machine_facts())


def test_additional_facts():
    """HST-02: additional facts come first; one may leave itself out."""

    @host_info_gatherer("x")
    def x():
        return 3

    @host_info_gatherer("none")
    def none():
        raise IgnoreHostInfo

    facts = get_host_info([x, none])
    assert (3, "x") == (facts["x"], next(iter(facts)))
    assert "none" not in facts
    assert (3, 3, "x") == (x.get_info(), x(), x.name)


def test_an_additional_fact_must_not_hide_a_built_in_one():
    """HST-02: a clash of names is a KeyError that names the taken ones."""
    clash = host_info_gatherer("cpu")(lambda: 1)
    with pytest.raises(KeyError, match=r"'cpu'.*hostname"):
        check_additional_host_info([clash])
    with pytest.raises(KeyError, match="'cpu'"):
        get_host_info([clash])


def test_other_exceptions_of_a_fact_propagate():
    """HST-02: what a fact raises ends the collection."""

    @host_info_gatherer("bad")
    def bad():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get_host_info([bad])


def test_the_old_way_to_add_a_fact(monkeypatch):
    """HST-02, USE-18: host_info_getter adds to `host_info_gatherers` with a warning."""
    monkeypatch.setattr(host_info, "host_info_gatherers", {})

    def shelf():
        return 6

    with pytest.warns(DeprecationWarning, match="additional_host_info"):
        assert shelf is host_info_getter(shelf)
    with pytest.warns(DeprecationWarning):
        host_info_getter(shelf, name="other")
    facts = get_host_info()
    assert (6, 6) == (facts["shelf"], facts["other"])
    assert {"shelf": shelf, "other": shelf} == host_info.host_info_gatherers


GPU_XML = """<?xml version="1.0" ?>
<nvidia_smi_log>
  <driver_version>535.1</driver_version>
  <gpu id="0"><product_name>Card</product_name><persistence_mode>Enabled</persistence_mode>
    <fb_memory_usage><total>8192 MiB</total></fb_memory_usage></gpu>
</nvidia_smi_log>"""


def fake_nvidia_smi(folder, body):
    program = folder / "nvidia-smi"
    program.write_text(f"#!{sys.executable} -S\n{body}")
    program.chmod(0o755)


def test_gpus(no_gpu):
    """HST-01: driver version, and model, memory in MiB and persistence of each GPU."""
    fake_nvidia_smi(no_gpu, f"print({GPU_XML!r})")
    assert {
        "driver_version": "535.1",
        "gpus": [{"model": "Card", "total_memory": 8192, "persistence_mode": True}],
    } == get_host_info()["gpus"]
    assert "gpus" not in get_host_info(gpus=False)


@pytest.mark.parametrize("body", ["raise SystemExit(1)", "print('<no xml')", "print('')"])
def test_a_broken_driver_is_no_driver(no_gpu, body):
    """HST-01: when nvidia-smi fails, the key is absent."""
    fake_nvidia_smi(no_gpu, body)
    assert "gpus" not in get_host_info()


def test_a_driver_that_hangs_is_no_driver(no_gpu, monkeypatch):
    """HST-01: nvidia-smi has a time limit."""
    monkeypatch.setattr(programs, "PROGRAM_TIMEOUT", 0.05)
    fake_nvidia_smi(no_gpu, "import time; time.sleep(60)")
    assert "gpus" not in get_host_info()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs sessions")
def test_a_wrapper_around_a_driver_that_hangs(no_gpu, monkeypatch):
    """HST-01: what the program started, and what holds its output, is ended with it."""
    monkeypatch.setattr(programs, "PROGRAM_TIMEOUT", 0.5)
    pid = no_gpu / "pid"
    inner = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    body = f"import subprocess\nsubprocess.run([{sys.executable!r}, '-S', '-c', {inner!r}])"
    fake_nvidia_smi(no_gpu, body)
    assert "gpus" not in get_host_info()
    if pid.exists() and pid.read_text():  # it was started in time, and got as far as to say so
        end = time.monotonic() + 50  # it would end by itself after a minute
        while not _is_gone(pid.read_text()):
            assert time.monotonic() < end
            time.sleep(0.01)


def _is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_program_that_can_not_be_started(no_gpu):
    """HST-01: a file that only looks like a program is no driver."""
    (no_gpu / "nvidia-smi").write_text("#!/no/such/interpreter\n")
    (no_gpu / "nvidia-smi").chmod(0o755)
    assert "gpus" not in get_host_info()


def test_the_environment_stays_as_it_is():
    """HST-03 [!]: collecting facts changes nothing in the process's environment."""
    before = dict(os.environ)
    get_host_info()
    assert before == dict(os.environ)


def test_cpu_count_and_compiler():
    """EVT-08: what the documents promise beside."""
    assert os.cpu_count() == host_info.cpu_count()
    assert platform.python_compiler() == host_info.python_compiler()


def test_importing_costs_no_program_runner():
    """HST-01: the module loads nothing that only some facts need."""
    code = (
        "import sys; import sacred.core.host_info; "
        "print([m for m in ('subprocess', 'xml', 'platform', 'socket') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": os.path.dirname(sacred.__path__[0])},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert "[]\n" == done.stdout
