"""Facts about the host."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys

import pytest

import sacred
from sacred.core import host_info
from sacred.core.host_info import (
    IgnoreHostInfo,
    check_additional_host_info,
    get_host_info,
    host_info_gatherer,
    host_info_getter,
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
    monkeypatch.setattr(host_info, "_PROGRAM_TIMEOUT", 0.05)
    fake_nvidia_smi(no_gpu, "import time; time.sleep(60)")
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
        timeout=30,
        check=True,
    )
    assert "[]\n" == done.stdout
