"""Facts about the machine that a run is on.

Everything here is cheap and safe to call at the start of a run: without a GPU the facts take about
a millisecond, programs are started only when they are found on the PATH, and with a time limit.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "HostInfoGetter",
    "IgnoreHostInfo",
    "check_additional_host_info",
    "cpu_count",
    "get_host_info",
    "host_info_gatherer",
    "host_info_gatherers",
    "host_info_getter",
    "python_compiler",
]

#: Facts that :func:`host_info_getter` added for all experiments of the process, by name.
host_info_gatherers: dict[str, Callable[[], Any]] = {}

#: Seconds that a program which is asked for a fact may take.
_PROGRAM_TIMEOUT = 5.0


class IgnoreHostInfo(Exception):
    """Raised by a gatherer to leave its fact out."""


class HostInfoGetter:
    """A fact about the host: its name, and the function that finds it."""

    def __init__(self, getter_function: Callable[[], Any], name: str) -> None:
        self.getter_function = getter_function
        self.name = name

    def __call__(self) -> Any:
        """Return the fact."""
        return self.getter_function()

    def get_info(self) -> Any:
        """Return the fact.

        Raises
        ------
        IgnoreHostInfo
            If there is nothing to tell.
        """
        return self.getter_function()


def host_info_gatherer(name: str) -> Callable[[Callable[[], Any]], HostInfoGetter]:
    """Make a fact for ``Experiment(additional_host_info=[...])`` from a function.

    Parameters
    ----------
    name
        The key of the fact in the host information.

    Examples
    --------
    >>> @host_info_gatherer("scratch")
    ... def scratch():
    ...     return "/scratch"
    """

    def make_getter(function: Callable[[], Any]) -> HostInfoGetter:
        return HostInfoGetter(function, name)

    return make_getter


def check_additional_host_info(additional_host_info: Sequence[HostInfoGetter]) -> None:
    """Raise KeyError if an additional fact has the name of a built-in one."""
    names = [getter.name for getter in _BUILT_IN]
    for getter in additional_host_info:
        if getter.name in names:
            raise KeyError(
                f"The name {getter.name!r} in `additional_host_info` is taken by a built-in fact. "
                f"Use a name that is none of these: {names}"
            )


def get_host_info(
    additional_host_info: Sequence[HostInfoGetter] | None = None, *, gpus: bool = True
) -> dict[str, Any]:
    """Collect the facts about this machine.

    Parameters
    ----------
    additional_host_info
        Facts to collect beside the built-in ones.
    gpus
        False leaves out what needs the driver's program to answer (up to some seconds): the entry
        is absent then. :func:`gpu_facts` gives it later.

    Returns
    -------
    dict
        ``hostname``, ``os`` (system, platform), ``python_version``, ``cpu`` (its model), ``gpus``
        (absent without NVIDIA's driver) and ``ENV`` (the variables named by
        ``SETTINGS.HOST_INFO.CAPTURED_ENV``), and the additional facts.

    Raises
    ------
    KeyError
        If an additional fact has the name of a built-in one.
    Exception
        Whatever an additional fact's function raises, but :class:`IgnoreHostInfo`.
    """
    additional = list(additional_host_info or ())
    check_additional_host_info(additional)
    legacy = [HostInfoGetter(function, name) for name, function in host_info_gatherers.items()]
    built_in = [getter for getter in _BUILT_IN if gpus or getter.name != "gpus"]
    facts: dict[str, Any] = {}
    for getter in [*legacy, *additional, *built_in]:
        try:
            facts[getter.name] = getter.get_info()
        except IgnoreHostInfo:
            continue
    return facts


def host_info_getter(func: Callable[[], Any], name: str | None = None) -> Callable[[], Any]:
    """Add a fact for every experiment of this process. Deprecated.

    Use ``Experiment(additional_host_info=[...])`` with :func:`host_info_gatherer`.

    Parameters
    ----------
    func
        Called without arguments; returns the fact.
    name
        The key of the fact; the function's name by default.
    """
    import warnings

    warnings.warn(
        "host_info_getter is deprecated. Pass `additional_host_info` to the Experiment instead.",
        DeprecationWarning,
        stacklevel=2,
    )
    host_info_gatherers[name or func.__name__] = func
    return func


# -- facts ----------------------------------------------------------------------------------------


def cpu_count() -> int | None:
    """Return the number of CPUs of the machine, or None if the system does not say."""
    return os.cpu_count()


def python_compiler() -> str:
    """Return the compiler that built this Python, such as "GCC 12.2.0"."""
    import platform

    return platform.python_compiler()


def _hostname() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def _os() -> list[str]:
    # What `platform.platform()` says, without the process that it starts to hear of the processor.
    if sys.platform == "linux":
        libc = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        if len(libc) == 2:
            kernel = os.uname()
            parts = (kernel.sysname, kernel.release, kernel.machine, "with", "".join(libc))
            return [kernel.sysname, "-".join(parts)]
    import platform

    return [platform.system(), platform.platform()]


def _python_version() -> str:
    return sys.version.split()[0]


def _cpu() -> str | None:
    from sacred.core.settings import SETTINGS

    return cpu_model() if SETTINGS.HOST_INFO.INCLUDE_CPU_INFO else None


def cpu_model() -> str | None:
    """Return the name of the CPU's model, or None if the system does not say."""
    if sys.platform == "linux":
        model = _cpu_model_of_linux()
    elif sys.platform == "darwin":
        model = _ask(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
    elif sys.platform == "win32":
        model = _cpu_model_of_windows()
    else:
        model = None
    if model:
        return model
    import platform

    return platform.processor() or platform.machine() or None


def _cpu_model_of_linux() -> str | None:
    try:
        # The first page is enough: it holds the first CPU, and the kernel takes its time for each.
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            text = file.read(4096).decode("utf-8", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return None


def _cpu_model_of_windows() -> str | None:
    import importlib

    try:
        winreg: Any = importlib.import_module("winreg")
        with winreg.OpenKey(
            winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        ) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except OSError:
        return None


def _gpus() -> dict[str, Any] | None:
    from sacred.core.settings import SETTINGS

    if not SETTINGS.HOST_INFO.INCLUDE_GPU_INFO:
        return None
    return gpu_facts()


def gpu_facts() -> dict[str, Any]:
    """Return the NVIDIA driver's version and the model and memory of each GPU.

    Returns
    -------
    dict
        ``driver_version`` and ``gpus``, a list of ``model``, ``total_memory`` (MiB) and
        ``persistence_mode``.

    Raises
    ------
    IgnoreHostInfo
        If there is no driver, or it does not answer within five seconds.
    """
    program = _find_program("nvidia-smi.exe" if sys.platform == "win32" else "nvidia-smi")
    text = _ask([program, "-q", "-x"]) if program else None
    if not text:
        raise IgnoreHostInfo
    import xml.etree.ElementTree as ET

    try:
        root = ET.fromstring(text)  # noqa: S314 (the driver's own program wrote it)
        return {
            "driver_version": root.findtext("driver_version"),
            "gpus": [
                {
                    "model": gpu.findtext("product_name"),
                    "total_memory": int((gpu.findtext("fb_memory_usage/total") or "").split()[0]),
                    "persistence_mode": gpu.findtext("persistence_mode") == "Enabled",
                }
                for gpu in root.iter("gpu")
            ],
        }
    except (ET.ParseError, ValueError, IndexError) as error:
        raise IgnoreHostInfo from error


def _find_program(name: str) -> str | None:
    # As shutil.which does, whose import would take longer than all the facts together.
    for folder in os.get_exec_path():
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _ask(command: list[str]) -> str | None:
    """Return what a program prints, or None if it fails or takes too long."""
    import subprocess

    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PROGRAM_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()


def _environment() -> dict[str, str]:
    from sacred.core.settings import SETTINGS

    names = SETTINGS.HOST_INFO.CAPTURED_ENV
    return {name: os.environ[name] for name in names if name in os.environ}


_BUILT_IN = (
    HostInfoGetter(_hostname, "hostname"),
    HostInfoGetter(_os, "os"),
    HostInfoGetter(_python_version, "python_version"),
    HostInfoGetter(_cpu, "cpu"),
    HostInfoGetter(_gpus, "gpus"),
    HostInfoGetter(_environment, "ENV"),
)
