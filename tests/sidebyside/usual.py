"""Scripts as most people write them: the kinds of examples that Sacred's documents show, typed anew."""

from __future__ import annotations

import textwrap

from sidebyside.pair import Case


def _case(script: str, *calls: str, **more: object) -> Case:
    return Case(textwrap.dedent(script).lstrip("\n"), calls, **more)  # type: ignore[arg-type]


def _line(*words: str) -> str:
    return f"ex.run_commandline({['case.py', *words]!r})"


_HELLO = """
    from sacred import Experiment

    ex = Experiment("hello", save_git_info=False)


    @ex.main
    def greet():
        print("Hello world!")
"""

_DICT = """
    '''Says hello to a person, with the greeting in a dictionary.'''
    from sacred import Experiment

    ex = Experiment("hello_dict", save_git_info=False)
    ex.add_config({"person": "Ada", "greeting": {"word": "Hello", "marks": 1}, "seed": 9})


    @ex.main
    def greet(person, greeting):
        print(greeting["word"] + " " + person + "!" * greeting["marks"])
"""

_SCOPE = """
    '''The greeting is put together in a scope.'''
    from sacred import Experiment

    ex = Experiment("hello_scope", save_git_info=False)


    @ex.config
    def greeting_config():
        '''What is said, and to whom.'''
        person = "Ada"  # who is greeted
        # what is said
        message = "Hello {}!".format(person)
        seed = 11
        verbose = False


    @ex.main
    def greet(message):
        print(message)
        return len(message)
"""

_CAPTURED = """
    from sacred import Experiment

    ex = Experiment("captured", save_git_info=False)


    @ex.config
    def numbers():
        a = 10
        b = 3 * a
        c = -1
        seed = 5


    @ex.capture
    def combine(a, b, c, d=4, *, e=5):
        print(a, b, c, d, e)
        return a + b + c + d + e


    @ex.capture(prefix="inner")
    def in_a_group(x, y="default"):
        print("group", x, y)


    @ex.main
    def run(b, _log):
        _log.info("b is %s", b)
        combine()
        combine(1)
        combine(1, 2, c=3)
        combine(d=0, e=0)
        return combine(b=b)
"""

_COMMANDS = """
    '''An experiment with commands of its own.'''
    from sacred import Experiment

    ex = Experiment("commands", save_git_info=False)


    @ex.config
    def config():
        name = "Grace"
        seed = 1


    @ex.command
    def salute(name):
        '''Say it politely.

        For those who deserve it.
        '''
        print(f"Good day, {name}.")


    @ex.command(unobserved=True)
    def shout(name, _log):
        print(name.upper())
        _log.warning("that was loud")


    @ex.main
    def main(name):
        '''Say it.'''
        print("Hi", name)
"""

_RANDOM = """
    import random

    import numpy as np
    from sacred import Experiment

    ex = Experiment("dice", save_git_info=False)


    @ex.config
    def config():
        sides = 6


    @ex.capture
    def throw(sides, _rnd):
        return int(_rnd.integers(sides))


    @ex.capture
    def seeds(_seed):
        return _seed


    @ex.main
    def main(_seed, _rnd):
        print([throw() for _ in range(5)], [seeds() for _ in range(3)])
        print(_seed, int(_rnd.integers(10**6)), random.random(), float(np.random.rand()))
        return throw()
"""

_NAMED = """
    from sacred import Experiment

    ex = Experiment("training", save_git_info=False)


    @ex.config
    def config():
        lr = 0.1  # the step
        layers = [64, 64]
        optimizer = {"kind": "sgd", "momentum": 0.9}
        steps = 100
        seed = 2
        if optimizer["kind"] == "adam":
            lr = 0.001


    @ex.named_config
    def adam():
        '''Another optimizer.'''
        optimizer = {"kind": "adam"}


    @ex.named_config
    def small():
        '''Quick.

        To see whether it works at all.
        '''
        layers = [4]
        steps = 2


    ex.add_named_config("long", steps=100000)
    ex.add_named_config("from_file", "more.yaml")


    @ex.main
    def train(_config, lr, layers, optimizer, steps):
        print(lr, layers, optimizer, steps)
        print(sorted(_config))
        for i in range(2):
            ex.log_scalar("loss", 1 / (i + 1))
        return {"loss": 0.5}
"""
_MORE = {"more.yaml": "lr: 0.5\noptimizer:\n  kind: rmsprop\n", "other.json": '{"steps": 7}'}

_INGREDIENTS = """
    '''A model is trained on data.'''
    from sacred import Experiment, Ingredient

    paths = Ingredient("dataset.paths", save_git_info=False)
    paths.add_config(folder="/data", name="train.csv")

    dataset = Ingredient("dataset", ingredients=[paths], save_git_info=False)


    @dataset.config
    def dataset_config(paths):
        normalise = True  # whether to
        filename = paths["folder"] + "/" + paths["name"]


    @dataset.named_config
    def raw():
        normalise = False


    @dataset.capture
    def load(filename, normalise, paths, _seed):
        print("loading", filename, normalise, paths["name"], _seed)
        return [1, 2, 3]


    @dataset.command
    def stats(filename):
        '''Tell about the data.'''
        print("stats of", filename)


    @dataset.pre_run_hook
    def before(filename):
        print("before", filename)


    @dataset.post_run_hook
    def after(_log):
        _log.info("after")


    model = Ingredient("model", save_git_info=False)
    model.add_config({"size": 3})


    @model.capture
    def build(size, _rnd):
        return int(_rnd.integers(100)) * size


    ex = Experiment("training", ingredients=[dataset, model], save_git_info=False)


    @ex.config
    def config(dataset):
        seed = 21
        shown = dataset["filename"]
        lr = 0.1


    @ex.main
    def main(lr, dataset, shown):
        print(lr, dataset, shown, load(), build())
"""

_HOOKS = """
    from sacred import Experiment

    ex = Experiment("hooks", save_git_info=False)
    ex.add_config(a=1, b={"c": 2}, seed=3)


    @ex.config_hook
    def change(config, command_name, logger):
        logger.info("hook for %s", command_name)
        config.update({"b": {"c": config["a"] + 10, "new": 1}})
        return config


    @ex.pre_run_hook
    def before(a):
        print("before", a)


    @ex.post_run_hook(prefix="b")
    def after(c):
        print("after", c)


    @ex.main
    def main(a, b):
        print(a, b)
"""

_ENDS = """
    from sacred import Experiment
    from sacred.utils import SacredInterrupt, TimeoutInterrupt

    ex = Experiment("ends", save_git_info=False)


    class Enough(SacredInterrupt):
        STATUS = "ENOUGH"


    @ex.config
    def config():
        seed = 1
        how = "well"


    @ex.capture
    def helper(how, missing):
        return how


    @ex.main
    def main(how, _run):
        print("begin")
        _run.info["seen"] = [1, 2]
        _run.log_scalar("m", 0.5)
        if how == "error":
            raise ValueError("no good")
        if how == "stop":
            raise KeyboardInterrupt
        if how == "enough":
            raise Enough("of it")
        if how == "timeout":
            raise TimeoutInterrupt
        if how == "missing":
            helper()
        if how == "wrong":
            helper(1, 2, 3)
        if how == "exit":
            raise SystemExit(4)
        if how == "cause":
            try:
                {}["k"]
            except KeyError as error:
                raise RuntimeError("because") from error
        return how
"""

_FILES = """
    from sacred import Experiment

    ex = Experiment("files", save_git_info=False)
    ex.add_config("base.json")
    ex.add_config("base.yaml")


    @ex.main
    def main(a, b, _run):
        print(a, b)
        with open("out.txt", "w") as file:
            file.write("done")
        ex.add_artifact("out.txt")
        _run.add_artifact("out.txt", name="other.txt", metadata={"k": 1})
        with ex.open_resource("base.json") as file:
            print(file.read())
"""
_BASE = {
    "base.json": '{"a": {"x": 1, "y": [1, 2]}, "seed": 4}',
    "base.yaml": "b: text\na:\n  z: 2.5\n",
}

_OPTIONS = """
    '''With an option of one's own.'''
    from sacred import Experiment, cli_option


    @cli_option("-o", "--own-flag", is_flag=True)
    def flag(args, run):
        '''A flag of one's own.'''
        run.info["flag"] = args


    @cli_option("-w", "--with-value")
    def value(args, run):
        '''A value of one's own.'''
        run.info["value"] = args


    ex = Experiment("options", additional_cli_options=[flag, value], save_git_info=False)
    ex.add_config(a=1, seed=1)


    @ex.option_hook
    def look(options):
        print("hook", options["--own-flag"], options["--with-value"])


    @ex.main
    def main(a, _run):
        print(a, _run.info, _run.meta_info.get("comment"))
"""

_AUTOMAIN = """
    from sacred import Experiment

    ex = Experiment(save_git_info=False)


    @ex.config
    def config():
        a, b = 1, [2, 3]
        seed = 8


    @ex.automain
    def my_main(a, b, _run):
        print(a, b, _run.experiment_info["name"])
        return a
"""

_CLASS = """
    from sacred import Experiment

    ex = Experiment("methods", save_git_info=False)
    ex.add_config(size=3, model={"depth": 2}, seed=1)


    class Model:
        @ex.capture
        def __init__(self, size):
            self.size = size

        @ex.capture(prefix="model")
        def build(self, depth, width=7):
            return [self.size, depth, width]


    @ex.capture
    def changes(model):
        model["depth"] = 5


    @ex.main
    def main(_config):
        print(Model().build(), Model(size=9).build(width=1))
        print(type(_config).__name__, dict(_config))
        changes()
"""

#: Name -> case; each with the calls that its kind of script meets most.
USUAL: dict[str, Case] = {
    "hello": _case(_HELLO, "ex.run()", _line(), observed=False),
    "hello observed": _case(_HELLO, "ex.run()", _line("-u"), _line("-l", "ERROR")),
    "dict": _case(
        _DICT,
        _line("with", "person=Bob", "greeting.marks=3"),
        _line("with", "greeting={'word': 'Bye'}"),
        _line("print_config", "with", "greeting.word=Bye", "greeting.new=1"),
    ),
    "dict run": _case(
        _DICT,
        "ex.run(config_updates={'person': 'Bob', 'greeting.word': 'Hey'})",
        "ex.run(config_updates={'greeting': {'marks': 2.0}})",
        "ex.run(config_updates={'unknown': 1})",
        "ex.run(config_updates={'unknown': 1}, options={'--force': True})",
    ),
    "scope": _case(
        _SCOPE, _line(), _line("with", "person=Bob"), _line("with", "message='Go'"), _line("-p")
    ),
    "scope print": _case(
        _SCOPE,
        _line("print_config"),
        _line("print_config", "with", "person=Bob", "verbose=1"),
        _line("print_config", "with", "person=None", "verbose='yes'"),
        "ex.run('print_config')",
    ),
    "scope save": _case(
        _SCOPE,
        _line("save_config"),
        "print(open('config.json').read())",
        _line("save_config", "with", "config_filename=other.json", "person=Bob"),
        "print(open('other.json').read())",
        _line("print_named_configs"),
        _line("print_dependencies"),
    ),
    "captured": _case(_CAPTURED, _line(), _line("with", "a=1"), _line("with", "b=2", "d=1")),
    "captured odd": _case(
        _CAPTURED,
        "ex.run(config_updates={'inner': {'x': 1}})",
        "combine(1, 2, 3)",
        "in_a_group(x=5)",
        "in_a_group()",
        "combine(1, 2, 3, 4, 5)",
        "combine(unknown=1)",
    ),
    "commands": _case(
        _COMMANDS,
        _line("salute"),
        _line("shout", "with", "name=Bob"),
        _line("main"),
        _line("nothing"),
        "ex.run('salute', {'name': 'Bob'})",
    ),
    "commands help": _case(_COMMANDS, _line("help", "salute"), _line("-h"), _line("help")),
    "random": _case(
        _RANDOM, _line("with", "seed=42"), _line("with", "seed=42"), _line("with", "seed=7")
    ),
    "random legacy": _case(
        _RANDOM.replace("_rnd.integers", "_rnd.randint"),
        _line("with", "seed=12345"),
        settings={"CONFIG.NUMPY_RANDOM_LEGACY_API": True},
    ),
    "random without a seed": _case(_HELLO, "ex.run()", "ex.run()", _line("print_config")),
    "named": _case(
        _NAMED,
        _line("with", "small"),
        _line("with", "adam"),
        _line("with", "adam", "small", "lr=3"),
        files=_MORE,
    ),
    "named more": _case(
        _NAMED,
        _line("with", "small", "long"),
        _line("with", "long", "small", "steps=5"),
        _line("with", "from_file"),
        _line("with", "other.json"),
        files=_MORE,
    ),
    "named run": _case(
        _NAMED,
        "ex.run(named_configs=['adam', 'small'], config_updates={'lr': 1})",
        "ex.run(named_configs=('other.json', 'adam'))",
        "ex.run(named_configs=['nope'])",
        _line("print_named_configs"),
        files=_MORE,
    ),
    "named print": _case(
        _NAMED, _line("print_config", "with", "adam", "steps='x'", "layers=[1]"), files=_MORE
    ),
    "ingredients": _case(
        _INGREDIENTS,
        _line(),
        _line("with", "dataset.normalise=False", "dataset.paths.folder=/tmp"),
        _line("with", "dataset.raw", "model.size=5"),
        _line("dataset.stats", "with", "dataset.filename=x.csv"),
    ),
    "ingredients print": _case(
        _INGREDIENTS,
        _line("print_config", "with", "dataset.paths.name=test.csv", "dataset.normalise=1"),
        _line("print_named_configs"),
        _line("help"),
        _line("stats"),
    ),
    "ingredients run": _case(
        _INGREDIENTS,
        "ex.run(config_updates={'dataset': {'normalise': 0, 'paths': {'name': 'n'}}})",
        "ex.run('dataset.stats')",
        "ex.run(config_updates={'dataset.nothing': 1})",
        "ex.run('nothing.stats')",
    ),
    "hooks": _case(
        _HOOKS, _line(), _line("with", "a=5"), _line("with", "b.c=100"), _line("print_config")
    ),
    "ends": _case(
        _ENDS,
        *(
            _line("with", f"how={how}")
            for how in ("well", "error", "missing", "wrong", "cause", "exit")
        ),
    ),
    "ends run": _case(
        _ENDS,
        *(
            f"ex.run(config_updates={{'how': {how!r}}})"
            for how in ("error", "stop", "enough", "timeout", "missing")
        ),
    ),
    "ends debug": _case(
        _ENDS, _line("-d", "with", "how=error"), _line("with", "how=stop"), _line("-q")
    ),
    "files": _case(_FILES, _line(), _line("with", "a.x=2", "b=None"), files=_BASE),
    "options": _case(
        _OPTIONS,
        _line("-o", "-w", "5"),
        _line("--own-flag", "--with-value=x", "-c", "a comment"),
        _line("-n", "other", "--comment=said", "with", "a=2"),
        _line("-f", "-l", "20", "-b", "3", "-P", "2"),
        _line("--id", "abc", "-u"),
    ),
    "automain": _case(_AUTOMAIN, argv=("with", "a=5", "b=[1]", "-l", "INFO")),
    "automain help": _case(_AUTOMAIN, argv=("--help",)),
    "automain error": _case(_AUTOMAIN, argv=("with", "nothing=5")),
    "methods": _case(_CLASS, _line(), _line("with", "model.depth=7", "size='x'")),
    "methods that may change": _case(_CLASS, _line(), settings={"CONFIG.READ_ONLY_CONFIG": False}),
    "literals": _case(
        _DICT,
        *(
            _line("with", f"person={text}")
            for text in (
                "5",
                "1e3",
                "True",
                "None",
                "'quoted'",
                "[1, 'a']",
                "(1,)",
                "{'a': 1}",
                "a b",
                "",
                "x=y",
            )
        ),
    ),
}
