"""Facts about the machine that a run is on.

Everything here is cheap and safe to call at the start of a run: without a GPU the facts take about
a millisecond, programs are started only when they are found on the PATH, and with a time limit.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "HostInfoGetter",
    "IgnoreHostInfo",
    "check_additional_host_info",
    "cpu_count",
    "get_host_info",
    "getters_of",
    "host_info_gatherer",
    "host_info_gatherers",
    "host_info_getter",
    "machine_facts",
    "python_compiler",
]

#: Facts that :func:`host_info_getter` added for all experiments of the process, by name.
host_info_gatherers: dict[str, Callable[[], Any]] = {}


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


def getters_of(additional: Any) -> list[HostInfoGetter]:
    """Return additional facts, a list of them or a dictionary of names and functions, as a list.

    Raises
    ------
    InvalidArgumentError
        It is neither, or has something in it that is no fact. It is a ``TypeError``.
    """
    from collections.abc import Mapping

    if isinstance(additional, Mapping):
        functions: dict[Any, Any] = {
            name: getattr(fact, "getter_function", fact) for name, fact in additional.items()
        }
        facts = [HostInfoGetter(function, name) for name, function in functions.items()]
        wrong = [
            fact.name
            for fact in facts
            if not isinstance(fact.name, str) or not callable(fact.getter_function)
        ]
        if wrong:
            raise _no_fact(f"The entry {wrong[0]!r} of additional_host_info")
        return facts
    try:
        facts = list(additional or ())
    except TypeError:
        raise _no_fact(f"additional_host_info={additional!r}") from None
    for fact in facts:
        if not hasattr(fact, "name") or not hasattr(fact, "get_info"):
            raise _no_fact(f"{fact!r} in additional_host_info")
    return facts


def _no_fact(what: str) -> Exception:
    from sacred.core.arguments import InvalidArgumentError

    return InvalidArgumentError(
        f"{what} is no fact: give a list of functions that are decorated by "
        '@host_info_gatherer("NAME"), or a dictionary, {"NAME": FUNCTION}.'
    )


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
    additional_host_info: Sequence[HostInfoGetter] | Mapping[str, Callable[[], Any]] | None = None,
    *,
    gpus: bool = True,
) -> dict[str, Any]:
    """Collect the facts about this machine.

    Parameters
    ----------
    additional_host_info
        Facts to collect beside the built-in ones: a list, or a dictionary of names and functions.
    gpus
        False leaves out what needs the driver's program to answer (up to some seconds): the entry
        is absent then. :func:`gpu_facts` gives it later.

    Returns
    -------
    dict
        ``hostname``, ``os`` (system, platform), ``python_version``, ``cpu`` (its model), ``gpus``
        (absent without NVIDIA's driver) and ``ENV`` (the variables named by
        ``SETTINGS.HOST_INFO.CAPTURED_ENV``; ``***`` where the name matches
        ``SETTINGS.HOST_INFO.SECRET_ENV``), and the additional facts.

    Raises
    ------
    KeyError
        If an additional fact has the name of a built-in one.
    Exception
        Whatever an additional fact's function raises, but :class:`IgnoreHostInfo`.
    """
    additional = getters_of(additional_host_info)
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
        stacklevel=1,  # as Sacred's: a script shows none of it
    )
    host_info_gatherers[name or func.__name__] = func
    return func


# -- facts ----------------------------------------------------------------------------------------


def cpu_count() -> int | None:
    """Return the number of CPUs of the machine, or None if the system does not say."""
    return os.cpu_count()


def python_compiler() -> str:
    """Return the compiler that built this Python, such as "GCC 12.2.0"."""
    with IMPORTING:
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
    with IMPORTING:
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
        with IMPORTING:
            from sacred.core.programs import ask_program

        model = ask_program(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
    elif sys.platform == "win32":
        model = _cpu_model_of_windows()
    else:
        model = None
    if model:
        return model
    with IMPORTING:
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


def gpu_program() -> str | None:
    """Return the path of the NVIDIA driver's program; None without one."""
    # Looked for before the module that asks it is loaded: most machines have none.
    return find_program("nvidia-smi.exe" if sys.platform == "win32" else "nvidia-smi")


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
    program = gpu_program()
    if program is not None:
        with IMPORTING:
            from sacred.core.gpus import gpus_of_machine

        found = gpus_of_machine(program)
        if found is not None:
            return found
    raise IgnoreHostInfo


def find_program(name: str) -> str | None:
    """Return the path of a program on the PATH, or None."""
    # As shutil.which does, whose import would take longer than all the facts together.
    for folder in os.get_exec_path():
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def machine_facts() -> dict[str, Any]:
    """Return facts that take a look at the disk: of the processors and the memory.

    Returns
    -------
    dict
        ``physical_cpu_count`` (cores), ``usable_cpu_count`` (CPUs that this process may run on) and
        ``memory`` (bytes of the machine); what the system does not say is left out.
    """
    from sacred.core.settings import SETTINGS

    facts: dict[str, Any] = {"memory": _memory()}
    if SETTINGS.HOST_INFO.INCLUDE_CPU_INFO:
        facts |= {"physical_cpu_count": _physical_cpus(), "usable_cpu_count": _usable_cpus()}
    return {name: value for name, value in facts.items() if value is not None and value > 0}


def _memory() -> int | None:
    # psutil says the same; its import takes 26 ms, for which the end of a short run would wait.
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _from_psutil(lambda psutil: psutil.virtual_memory().total)


def _usable_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


_CPUS = "/sys/devices/system/cpu"


def _physical_cpus() -> int | None:
    if sys.platform == "linux":
        # As psutil counts them: CPUs that are named together are threads of one core.
        cores = set()
        for folder in _cpu_folders():
            try:
                with open(f"{folder}/topology/thread_siblings_list", "rb") as file:
                    cores.add(file.read())
            except OSError:  # a CPU that is switched off, or a container that does not show it
                continue
        if cores:
            return len(cores)
    return _from_psutil(lambda psutil: psutil.cpu_count(logical=False))


def _cpu_folders() -> list[str]:
    try:
        names = os.listdir(_CPUS)
    except OSError:
        return []
    return [f"{_CPUS}/{name}" for name in names if name[:3] == "cpu" and name[3:].isdigit()]


def _from_psutil(ask: Callable[[Any], int | None]) -> int | None:
    try:
        with IMPORTING:
            import psutil

        return ask(psutil)
    except Exception:  # whatever is wrong with it, the run does not fail over a fact
        return None


def _environment() -> dict[str, str]:
    from sacred.core.settings import SETTINGS

    wanted, secret = SETTINGS.HOST_INFO.CAPTURED_ENV, SETTINGS.HOST_INFO.SECRET_ENV
    if not wanted:
        return {}
    from fnmatch import fnmatchcase

    from sacred.core.passwords import MASK, is_secret_name, mask_assigned

    found = {}
    for pattern in wanted:
        names = [pattern] if pattern in os.environ else sorted(os.environ)
        for name in names:
            if name == pattern or fnmatchcase(name, pattern):
                value = os.environ[name]
                found[name] = MASK if is_secret_name(name, secret) else mask_assigned(value)
    return found


_BUILT_IN = (
    HostInfoGetter(_hostname, "hostname"),
    HostInfoGetter(_os, "os"),
    HostInfoGetter(_python_version, "python_version"),
    HostInfoGetter(_cpu, "cpu"),
    HostInfoGetter(_gpus, "gpus"),
    HostInfoGetter(_environment, "ENV"),
)

for _public in (HostInfoGetter, IgnoreHostInfo):
    _public.__module__ = "sacred.host_info"
