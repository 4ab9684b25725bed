"""Typed uses of the package: read by mypy in strict mode, never run.

``assert_type`` says what a user's editor and type checker see. A ``type: ignore`` says that the line
is an error and has to be one: mypy complains about those that are not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import assert_type

import sacred
from sacred import ActiveRun, Experiment, Ingredient
from sacred.config.captured_function import CapturedFunction
from sacred.config.config_scope import ConfigScope
from sacred.observers import FileStorageObserver, MongoObserver, RunObserver
from sacred.run import Run
from sacred.stflow import LogFileWriter

data = Ingredient("data")
ex = Experiment("uses", ingredients=[data])
ex.observers.append(FileStorageObserver("runs"))
ex.observers += [MongoObserver(url="mongodb://localhost", db_name="x"), RunObserver()]


# -- captured functions ----------------------------------------------------------------------------


@data.capture
def load(filename: str, size: int = 3, *, normalize: bool = True) -> list[float]:
    return [1.0] * size


@data.capture(prefix="paths")
def locate(root: str) -> str:
    return root


@ex.capture()
def scale(factor: float, _log: Any) -> float:
    return factor


# What a call leaves out may come from the configuration; the result is the function's. A call has
# two forms: the function's own parameters, which editors show, and anything, which is why no call
# that leaves something out is an error.
assert_type(load(), list[float])
assert_type(load("a.csv", size=4), list[float])
assert_type(locate(), str)
assert_type(scale(2), float)

# The function's own parameters are those of __wrapped__, which editors show and mypy checks.
assert_type(load.__wrapped__("a.csv", 3, normalize=False), list[float])
load.__wrapped__()  # type: ignore[call-arg]
load.__wrapped__(3)  # type: ignore[arg-type]
locate.__wrapped__(1)  # type: ignore[arg-type]

as_written: Callable[[str, int], list[float]] = load
without_any: Callable[[], list[float]] = load
assert_type(load.__code__, Any)

number: int = locate()  # type: ignore[assignment]
assert_type(load.prefix, str | None)
captured_again: CapturedFunction[..., list[float]] = data.capture(load)


class Model:
    @ex.capture
    def fit(self, epochs: int) -> bool:
        return epochs > 1


assert_type(Model().fit(), bool)


# -- commands and hooks ----------------------------------------------------------------------------


@ex.command
def evaluate(model: str) -> float:
    return 1.0


@ex.command(unobserved=True)
def show(model: str) -> None:
    print(model)


@ex.command(prefix="data", unobserved=False)
def stats() -> dict[str, int]:
    return {}


@ex.main
def main(lr: float, _run: Run) -> float:
    _run.log_scalar("loss", lr, 1)
    _run.info["k"] = 1
    return lr


assert_type(evaluate(), float)
assert_type(show(), None)
assert_type(stats(), dict[str, int])
assert_type(main(0.1), float)


@ex.pre_run_hook
def before(lr: float) -> None: ...


@ex.post_run_hook(prefix="data")
def after() -> int:
    return 1


assert_type(before(), None)
assert_type(after(), int)


# -- configuration ---------------------------------------------------------------------------------


@ex.config
def config() -> None:
    lr = 0.1  # noqa: F841


@ex.named_config
def fast() -> None:
    lr = 1.0  # noqa: F841


@ex.config_hook
def hook(config: dict[str, Any], command_name: str, logger: Any) -> dict[str, Any]:
    return {"lr": 0.2}


@ex.option_hook
def options_hook(options: dict[str, Any]) -> None:
    options["--force"] = True


assert_type(config, ConfigScope)
assert_type(fast, ConfigScope)
assert_type(hook({}, "main", None), dict[str, Any])
hook()  # type: ignore[call-arg]
kept: Callable[[dict[str, Any]], None] = options_hook
ex.add_config({"a": 1})
ex.add_config("conf.yaml")
ex.add_config(a=1, b=2)
ex.capture(3)  # type: ignore[call-overload]
ex.main()  # type: ignore[call-arg]


# -- running ---------------------------------------------------------------------------------------

assert_type(ex.run(config_updates={"lr": 1}, named_configs=["fast"]), Run)
assert_type(ex.run_commandline(["prog", "with", "lr=1"]), Run | None)
ex.run(config_updates=["lr=1"])  # type: ignore[arg-type]

with sacred.start_run("plain", {"lr": 0.1}, seed=3, observers=ex.observers) as run:
    assert_type(run, ActiveRun)
    run.log_scalar("loss", 1.0)
    run.result = 3
    generic: Run = run
sacred.start_run("plain", 3)  # type: ignore[arg-type]
sacred.start_run(capture=3)  # type: ignore[arg-type]
assert_type(sacred.start_run().finish(), None)


@ex.automain
@LogFileWriter(ex)
def train(epochs: int) -> str:
    return "done"


assert_type(train(), str)
train.__wrapped__("x")  # type: ignore[arg-type]
