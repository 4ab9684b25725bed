"""Experiments whose runs can not be lost: a drop-in for the ``sacred`` of IDSIA.

::

    from sacred import Experiment

    ex = Experiment("iris")

    @ex.config
    def config():
        C = 1.0

    @ex.automain
    def main(C, _run):
        _run.log_scalar("score", 0.9)

Without an experiment::

    import sacred

    with sacred.start_run("iris", config={"C": 1.0}) as run:
        run.log_scalar("score", 0.9)

Every run is appended to a journal below ``./sacred_runs`` as it happens. ``sacred-replay`` and the
replayers that observers declare write it into MongoDB, files and other views from there.

Everything here is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.__about__ import __author__, __author_email__, __url__, __version__

if TYPE_CHECKING:
    from sacred import observers
    from sacred.analysis.queries import query
    from sacred.analysis.runs import compare, runs
    from sacred.core.active_run import ActiveRun, start_run
    from sacred.core.experiment import Experiment
    from sacred.core.host_info import host_info_gatherer, host_info_getter
    from sacred.core.ingredient import Ingredient
    from sacred.core.options import cli_option
    from sacred.core.settings import SETTINGS

__all__ = [
    "SETTINGS",
    "ActiveRun",
    "Experiment",
    "Ingredient",
    "__author__",
    "__author_email__",
    "__url__",
    "__version__",
    "cli_option",
    "compare",
    "host_info_gatherer",
    "host_info_getter",
    "observers",
    "query",
    "runs",
    "start_run",
]

_HOMES = {
    "ActiveRun": "sacred.core.active_run",
    "Experiment": "sacred.core.experiment",
    "Ingredient": "sacred.core.ingredient",
    "SETTINGS": "sacred.core.settings",
    "cli_option": "sacred.core.options",
    "host_info_gatherer": "sacred.core.host_info",
    "host_info_getter": "sacred.core.host_info",
    "compare": "sacred.analysis.runs",
    "query": "sacred.analysis.queries",
    "runs": "sacred.analysis.runs",
    "start_run": "sacred.core.active_run",
}
#: Modules that Sacred loads with the package, so that people use them without importing them.
_MODULES = frozenset(
    {
        "arg_parser",
        "commandline_options",
        "commands",
        "config",
        "dependencies",
        "experiment",
        "host_info",
        "ingredient",
        "initialize",
        "metrics_logger",
        "observers",
        "optional",
        "randomness",
        "run",
        "serializer",
        "settings",
        "stdout_capturing",
        "stflow",
        "utils",
    }
)


def __getattr__(name: str) -> Any:
    import importlib

    from sacred.core.uncollected import Uncollected

    home = _HOMES.get(name)
    if home is None and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with Uncollected():
        module = importlib.import_module(home or f"{__name__}.{name}")
    value = module if home is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
