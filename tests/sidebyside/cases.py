"""Scripts and command lines as people write them, and as they mistype them, made by hypothesis.

Each function is a family of cases, which looks at one part of the framework.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from sidebyside.maker import NAMES, Maker
from sidebyside.pair import Case


@st.composite
def configurations(draw: Any) -> Case:
    """One experiment, several configurations on top of each other, updates of all kinds."""
    make = Maker(draw)
    earlier: list[str] = []
    name = make.pick(["iris"] * 6 + ["my exp", "a.b", "50%", "ünï", "x-1", "root"])
    parts = [make.preamble(), f"ex = Experiment({name!r}, save_git_info=False)"]
    for number in range(make.number(1, 3)):
        parts.append(make.configuration("ex", earlier, number))
    parts.append(make.function("ex", "main", "main", earlier))
    return make.case(parts)


@st.composite
def named_configurations(draw: Any) -> Case:
    """Named configurations, several of them, in any order, also files."""
    make = Maker(draw)
    earlier: list[str] = []
    parts = [make.preamble(), 'ex = Experiment("iris", save_git_info=False)']
    for number in range(make.number(1, 2)):
        parts.append(make.configuration("ex", earlier, number))
    for name in ("fast", "slow", "other")[: make.number(1, 3)]:
        parts.append(make.named_configuration("ex", name, "", earlier))
    parts.append(make.function("ex", "main", "main", earlier))
    case = make.case(parts, calls=make.number(1, 2))
    make.files.setdefault("more.json", '{"a": 5, "opts": {"x": 2}}')
    return case


@st.composite
def ingredients(draw: Any) -> Case:
    """Ingredients, nested and shared, with entries, functions, commands and hooks of their own."""
    make = Maker(draw)
    parts = [make.preamble()]
    made: dict[str, str] = {}
    used: dict[str, list[str]] = {}
    # Those inside of another's path first, and that one uses them.
    chosen = make.some(["data", "data.paths", "model", "model.opt", "aux"], 4) or ["data"]
    for path in sorted(chosen, key=lambda path: "." not in path):
        variable = path.replace(".", "_")
        # The shorter paths first: else Sacred loses the groups in a group (ING-13).
        inside = [name for name in made if name.startswith(f"{path}.")]
        below = sorted({*make.some(made, 2), *inside})
        used[path] = below
        made[path] = variable
        make.ingredients.append(path)
        names = ", ".join(made[name] for name in below)
        parts.append(
            f"{variable} = Ingredient({path!r}, ingredients=[{names}], save_git_info=False)"
        )
    top = sorted(make.some(made, 3)) or [next(iter(made))]
    # Sacred draws the seed of an ingredient by chance that does not lie below the one using it.
    seeded = {*top}
    for path in reversed(made):
        seeded |= {b for b in used[path] if path in seeded and b.startswith(f"{path}.")}
    for path, variable in made.items():
        entries: list[str] = []
        prefix = f"{path}."
        readable = tuple(b.removeprefix(f"{path}.").partition(".")[0] for b in used[path])
        if path != "aux":
            # Whether an empty group is there with Sacred depends on which dicts are one object.
            parts.append(f"{variable}.add_config(kept=1)\n")
        for number in range(make.number(0, 2)):
            parts.append(
                make.configuration(variable, entries, number, readable=readable, prefix=prefix)
            )
        if make.chance(30):
            parts.append(make.named_configuration(variable, "special", path, entries))
        draws = path in seeded
        body = ""
        if make.chance(70):
            parts.append(
                make.function(
                    variable, "capture", f"use_{variable}", entries + list(readable), draws=draws
                )
            )
            body = f"use_{variable}()"
        if make.chance(30):
            prefix_text = make.pick(["", "", "(prefix='opts')", "(prefix='deep.x')"])
            parts.append(
                make.function(
                    variable, f"command{prefix_text}", f"stats_{variable}", entries, body, draws
                )
            )
            make.commands.append(f"{path}.stats_{variable}")
        if make.chance(20):
            hook = make.pick(["pre_run_hook", "post_run_hook"])
            parts.append(make.function(variable, hook, f"hook_{variable}", entries, draws=draws))
    # An experiment may be called like one of its ingredients (ING-13).
    name = make.pick(["iris", "iris", "iris", top[0]])
    parts.append(
        f"ex = Experiment({name!r}, ingredients=[{', '.join(made[p] for p in top)}], "
        "save_git_info=False)"
    )
    earlier: list[str] = []
    reachable = tuple(dict.fromkeys(path.partition(".")[0] for path in top))
    for number in range(make.number(0, 2)):
        parts.append(make.configuration("ex", earlier, number, readable=reachable))
    if make.chance(30):
        pairs = ", ".join(f"{p!r}: {{{make.pick(NAMES)!r}: {make.value(1)}}}" for p in top[:1])
        parts.append(f"ex.add_named_config('across', {{{pairs}}})\n")
        make.named.append("across")
    calls = "\n".join(
        f"use_{made[p]}()" for p in seeded if f"def use_{made[p]}(" in "\n".join(parts)
    )
    parts.append(make.function("ex", "main", "main", earlier + list(reachable), calls))
    return make.case(parts)


@st.composite
def functions(draw: Any) -> Case:
    """Captured functions: prefixes, defaults, missing and extra arguments, random draws, hooks."""
    make = Maker(draw)
    earlier: list[str] = []
    parts = [make.preamble(), 'ex = Experiment("iris", save_git_info=False)']
    parts.append(
        "@ex.config\ndef config():\n    a = 1\n    b = [1, {'x': 2}]\n"
        "    opts = {'x': 1, 'lr': 0.5, 'deep': {'a': 'in deep', 'x': 3}}\n    name = 'iris'\n"
    )
    earlier += ["a", "b", "opts", "name"]
    make.paths += ["a", "b", "opts", "opts.x", "opts.deep", "opts.deep.a", "name"]
    if make.chance(50):
        parts.append(make.configuration("ex", earlier, 1))
    body = []
    for number in range(make.number(1, 3)):
        prefix = make.pick(["", "", "", "(prefix='opts')", "(prefix='opts.deep')", "(prefix='no')"])
        own = {"(prefix='opts')": ["x", "lr", "deep"], "(prefix='opts.deep')": ["a", "x"]}
        inner = make.pick(
            [
                "",
                "",
                "return 5",
                "raise KeyError('inside')",
                "np.random.seed(1)",
                "print(random.random(), np.random.rand())",
                "opts['x'] = 9" if not prefix else "",
                "b.append(4)",
                "import copy; b = copy.deepcopy(b); b.append(4); print(b)",
            ]
            if make.chance(30)
            else [""]
        )
        parts.append(
            make.function(
                "ex", f"capture{prefix}", f"work{number}", own.get(prefix, earlier), inner
            )
        )
        given = make.pick(
            [
                *("", "", "", "5", "1, 2, 3, 4, 5", "a=7", "a=7, b=8", "nothing=3", "5, a=6"),
                *("name='given'", "*[1]", "_seed=5", "_config={}", "x=1"),
            ]
        )
        body.append(f"print('work{number} gave', work{number}({given}))")
        if make.chance(20):
            body.append(body[-1])
    for hook in make.some(["pre_run_hook", "post_run_hook"], 2) if make.chance(30) else []:
        parts.append(make.function("ex", hook, f"on_{hook}", earlier))
    if make.chance(20):
        parts.append(make.function("ex", "command", "second", earlier, "\n".join(body)))
        make.commands.append("second")
    body.append(
        make.pick(["", "return 42", "return opts", "return 'text'", "return np.float64(0.5)"])
    )
    parts.append(make.function("ex", "main", "main", [*earlier, "opts"], "\n".join(body)))
    if make.chance(20):
        parts.append(
            "class Thing:\n    name = 'thing'\n\n    @ex.capture\n    def method(self, a, name='x'):\n"
            "        return (self.name, a, name)\n\n    @staticmethod\n    @ex.capture\n"
            "    def static(a):\n        return a\n\n    @classmethod\n    @ex.capture\n"
            "    def of_class(cls, a):\n        return (cls.__name__, a)\n"
        )
    case = make.case(parts, calls=2 if make.chance(20) else 1)
    direct = [
        *("work0()", "work0(1)", "work0(a=1)", "work0.prefix, work0.__name__, work0.__doc__"),
        *("[*ex.commands], len(ex.captured_functions)", "ex.current_run is None"),
        "Thing().method()" if "class Thing" in parts[-1] else "work0(*[1, 2])",
        "Thing.static(), Thing.of_class()" if "class Thing" in parts[-1] else "work0(**{})",
    ]
    before = make.some(direct, 1) if make.chance(15) else []
    after = make.some(direct, 2) if make.chance(25) else []
    calls = tuple(f"print({call})" for call in before), tuple(f"print({call})" for call in after)
    return replace(case, calls=(*calls[0], *case.calls, *calls[1]))


@st.composite
def hooks(draw: Any) -> Case:
    """Config hooks and option hooks, and what they return."""
    make = Maker(draw)
    make.dicts_in_tuples = False
    earlier: list[str] = []
    parts = [make.preamble()]
    owner = "ex"
    if make.chance(40):
        parts.append("data = Ingredient('data', save_git_info=False)")
        inner: list[str] = []
        parts.append(make.configuration("data", inner, 0, prefix="data."))
        make.ingredients.append("data")
        name = make.pick(["iris", "iris", "data"])
        parts.append(f"ex = Experiment({name!r}, ingredients=[data], save_git_info=False)")
        owner = make.pick(["ex", "data"])
    else:
        parts.append('ex = Experiment("iris", save_git_info=False)')
    parts.append(make.configuration("ex", earlier, 0))
    for number in range(make.number(1, 2)):
        returned = make.pick(
            [
                "{}",
                f"{{{make.pick(NAMES)!r}: {make.value()}}}",
                f"{{'opts': {{'x': {make.value(1)}}}}}",
                "{'seed': 5}",
                f"{{'fresh': {make.value(1)}}}",
                # An ingredient's own name in what its hook gives is the ingredient (CFG-08).
                "config" if owner == "ex" else "config['data']",
            ]
        )
        parts.append(
            f"@{owner}.config_hook\ndef hook{number}(config, command_name, logger):\n"
            f"    print('hook', command_name, logger.name, config)\n"
            + ("    print('returned the whole configuration')\n" if returned == "config" else "")
            + f"    return {returned}\n"
        )
    if make.chance(30):
        change = make.pick(
            [
                "pass",
                "options['--force'] = True",
                "options['--comment'] = 'by hook'",
                "options['--name'] = 'n'",
            ]
        )
        parts.append(
            "@ex.option_hook\ndef on_options(options):\n"
            "    print('options', options['UPDATE'] if 'UPDATE' in options else None)\n"
            f"    {change}\n"
        )
    parts.append(make.function("ex", "main", "main", earlier))
    return make.case(parts)


_ENDINGS = (
    *(
        "return None",
        "return 0",
        "return 'done'",
        "return [1, (2,)]",
        "return {'x': 1}",
        "return ''",
    ),
    *("raise ValueError('no good')", "raise KeyError('k')", "raise KeyboardInterrupt", "1 / 0"),
    *("import sys; sys.exit(3)", "import sys; sys.exit('words')", "import sys; sys.exit()"),
    *("raise SacredInterrupt('own')", "raise TimeoutInterrupt()", "raise Stopped()", "inner()"),
    *("raise InvalidConfigError('bad', conflicting_configs=['a', 'opts.x'])",),
    *("raise ConfigError('bad', conflicting_configs='a')", "raise SacredError('plain')"),
    *("raise SacredError('shown', print_traceback=False, print_usage=True)", "raise MyError()"),
    *(
        "raise SacredError('never', filter_traceback='never')",
        "raise NotImplementedError",
    ),
    *("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('from') from e",),
    *("try:\n    inner()\nexcept ZeroDivisionError:\n    raise ValueError('while')",),
    *("try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('alone') from None",),
    *("assert False, 'why'", "raise Exception", "raise Exception('a', 2)", "main(missing=1)"),
    *("raise OSError(2, 'No such file', 'name')", "open('missing')", "raise BaseException('b')"),
    *("use()", "use(1, 2)", "need()", "raise UnicodeError('ü')", "raise ValueError('two\\nlines')"),
    *("raise RuntimeError('from the past') from ValueError('never raised')", "raise GeneratorExit"),
    *(
        "_run.result = 5\nraise ValueError('with result')",
        "_run.info['x'] = 1\nreturn 1",
        "deep(3)",
    ),
    *(
        "_run.result = 5",
        "_run.log_scalar('m', 1.5)\n_run.log_scalar('m', 2, 10)\nraise ValueError",
    ),
    *("open('art.txt', 'w').close()\n_run.add_artifact('art.txt', metadata={'k': 1})",),
    *("open('res.txt', 'w').close()\n_run.open_resource('res.txt').close()",),
    *(
        "print('out')\nimport sys\nprint('err', file=sys.stderr)\n_log.info('info')\n_log.error('e')",
    ),
    *(
        "print('no end', end='')",
        "print('\\r1\\r2\\b3')",
        "_log.debug('unseen')",
        "return _run.status",
    ),
    *("ex.log_scalar('loss', np.float32(0.5))\nreturn ex.info", "return ex.current_run is _run"),
)


_OWN_ERROR = """\
class MyError(SacredError):
    def __init__(self):
        super().__init__('mine', print_traceback=False)
"""


@st.composite
def endings(draw: Any) -> Case:
    """How runs end: results, exceptions of each kind, interrupts, exits, and what is recorded then."""
    make = Maker(draw)
    parts = [
        make.preamble(),
        "class Stopped(SacredInterrupt):\n    STATUS = 'STOPPED'\n",
        _OWN_ERROR,
        'ex = Experiment("iris", save_git_info=False)',
        "ex.add_config(a=1, opts={'x': 2}, mode=0)",
        "def inner():\n    return 1 / 0\n",
        "@ex.capture\ndef use(a):\n    show('use', locals())\n    return inner()\n",
        "@ex.capture\ndef need(nothing):\n    return nothing\n",
        "@ex.capture\ndef deep(n, a):\n    return deep(n - 1) if n else use()\n",
    ]
    if make.chance(15):
        where = make.pick(["pre_run_hook", "post_run_hook"])
        ending = make.pick(_ENDINGS)
        parts.append(
            f"@ex.{where}\ndef on_run(_run, _log):\n    print('hook')\n"
            + textwrap.indent(ending, "    ")
        )
    ending = make.pick(_ENDINGS)
    parts.append(
        "@ex.main\ndef main(_run, _log, a):\n    print('begin')\n" + textwrap.indent(ending, "    ")
    )
    if make.chance(10):
        parts.append(
            "from sacred.utils import apply_backspaces_and_linefeeds\n"
            "ex.captured_out_filter = apply_backspaces_and_linefeeds"
        )
    return make.case(parts)


_OPTIONS = (
    *("-l 30", "-l30", "-lDEBUG", "--loglevel=ERROR", "--loglevel 20", "--log 30", "-l warning"),
    *("-n other", "--name=other", "--name 'two words'", "-c hello", "--comment='a b'", "-c ''"),
    *("-f", "--force", "-u", "--unobserved", "--unobs", "-p", "--print-config", "--print_config"),
    *("-d", "--debug", "-C no", "-C sys", "--capture=no", "-C xx", "-P 3", "--priority=x", "-P -1"),
    *("-b 5", "--beat-interval=0.5", "--beat_interval 3", "-b x", "-i 7", "--id=abc", "--id 7"),
    *("-q", "--queue", "-fu", "-up", "-ul30", "-h", "--help", "--hel", "--nonsense", "-x", "-Z 3"),
    *(
        "--force=1",
        "--comment",
        "-l",
        "--",
        "-",
        "-l nope",
        "--pri 3",
        "--pr",
        "-e",
        "-fff",
        "-u -u",
    ),
)
_COMMANDS = (
    *("main", "other", "print_config", "print_dependencies", "print_named_configs", "save_config"),
    *("data.stats", "nope", "stats", "iris.main", "help", "help main", "help other", "help nope"),
    *("main other", "help main other", "with", "MAIN", "", "help data.stats", "help print_config"),
)


_SCRIPT = """\
import numpy as np
from sacred import Experiment, Ingredient, cli_option

data = Ingredient("data", save_git_info=False)


@data.config
def data_config():
    size = 10  # how many
    path = "here"


@data.named_config
def big():
    size = 1000


@data.command
def stats(size):
    '''Tell the size.'''
    print("stats", size)


@cli_option("-o", "--own", is_flag=False)
def own(args, run):
    '''An option of one's own.'''
    run.info["own"] = args


ex = Experiment("iris", ingredients=[data], save_git_info=False, additional_cli_options=[own])


@ex.config
def config():
    a = 1  # the first
    b = {"c": 0.5, "d": "text"}
    e = None
    layers = [1, 2]


@ex.named_config
def fast():
    '''Not slow.'''
    a = 10


@ex.named_config
def slow():
    '''Slow.

    And steady.
    '''
    b = {"c": 100.0}
    data = {"size": 3}


@ex.command(unobserved=True)
def other(b, _log):
    '''The other command.

    With more to say.
    '''
    _log.info("in other")
    print("other", b)


@ex.main
def main(a, b, e, layers, data, _run, _log):
    '''The main function.'''
    print(a, b, e, layers, data, _run.beat_interval, _run.info)
    _log.debug("debug")
    _log.warning("warning")
    return a
"""


@st.composite
def command_lines(draw: Any) -> Case:
    """Command lines: the words, the options, their order, their spelling."""
    import shlex

    make = Maker(draw)
    doc = make.pick(['"""What this is about."""\n', '"""\nTwo\n\nparts.\n"""\n', ""])
    script = doc + _SCRIPT
    make.paths += ["a", "b", "b.c", "b.d", "e", "layers", "data", "data.size", "data.path"]
    make.named += ["fast", "slow", "data.big", "more.json"]
    make.files["more.json"] = '{"a": 7, "data": {"size": 4}}'
    words: list[str] = []
    if make.chance(40):
        words += shlex.split(make.pick(_COMMANDS)) or [""]
    with_ = make.words() if make.chance(70) else []
    words += ["with", *with_] if with_ else []
    for option in make.some([*_OPTIONS, "-o x", "--own=y", "--own"], 3) if make.chance(60) else []:
        place = make.number(0, len(words))
        words[place:place] = shlex.split(option)
    return Case(script, (f"ex.run_commandline({['case.py', *words]!r})",), dict(make.files))


@st.composite
def sequences(draw: Any) -> Case:
    """Several runs of one experiment, one after the other, also without a seed."""
    make = Maker(draw)
    seeded = make.chance(70)
    earlier: list[str] = []
    parts = [make.preamble(), 'ex = Experiment("iris", save_git_info=False)']
    parts.append(make.configuration("ex", earlier, 0))
    parts.append(make.named_configuration("ex", "fast", "", earlier))
    parts.append(make.function("ex", "capture", "work", earlier, "state = []", draws=seeded))
    parts.append(make.function("ex", "main", "main", earlier, "work()\nreturn 1", draws=seeded))
    return make.case(parts, calls=make.number(2, 3), seeded=seeded)


_OBSERVER = """\
class Own(RunObserver):
    def __init__(self, name, priority, given=None, failing=()):
        self.name, self.priority = name, priority
        self.given, self.failing = given, failing
    def say(self, event, *more):
        print(self.name, event, *more)
        if event in self.failing:
            raise RuntimeError(self.name + ' fails in ' + event)
    def __repr__(self):
        return f'<Own {self.name}>'
    def queued_event(self, ex_info, command, host_info, queue_time, config, meta_info, _id):
        self.say('queued', command, config, _id)
        return self.given
    def started_event(self, ex_info, command, host_info, start_time, config, meta_info, _id):
        self.say('started', command, config, _id)
        return self.given
    def heartbeat_event(self, info, captured_out, beat_time, result):
        self.say('heartbeat', info, result)
    def log_metrics(self, metrics_by_name, info):
        self.say('metrics', {n: (m['steps'], m['values']) for n, m in metrics_by_name.items()})
    def completed_event(self, stop_time, result):
        self.say('completed', result)
    def interrupted_event(self, interrupt_time, status):
        self.say('interrupted', status)
    def failed_event(self, fail_time, fail_trace):
        self.say('failed', fail_trace[-1])
    def resource_event(self, filename):
        self.say('resource', filename)
    def artifact_event(self, name, filename, metadata=None, content_type=None):
        self.say('artifact', name, filename, metadata, content_type)
    def join(self):
        self.say('join')
"""


@st.composite
def observers(draw: Any) -> Case:
    """Observers of one's own: their order, the ids they give, those that fail."""
    make = Maker(draw)
    parts = [
        make.preamble(),
        "from sacred.observers import RunObserver\n",
        'ex = Experiment("iris", save_git_info=False)',
        "ex.add_config(a=1, b={'c': 2})",
        _OBSERVER,
    ]
    for name in ("one", "two", "three")[: make.number(1, 3)]:
        given = make.pick(["None", "None", "7", "'text'", "0", "''"])
        failing = make.pick(
            ["()", "()", "()", "()", "('started',)", "('completed',)", "('failed',)"]
        )
        parts.append(
            f"ex.observers.append(Own({name!r}, {make.pick([0, 0, 10, -5, 2.5])}, {given}, {failing}))"
        )
    bodies = [
        "pass",
        "ex.log_scalar('loss', 1.5)\nex.log_scalar('loss', np.float32(2), 10)\nex.log_scalar('loss', 3)",
        "_run.info['seen'] = {'x': [1]}\n_run.result = 3",
        "with open('file.txt', 'w') as file:\n    file.write('x')\nex.add_artifact('file.txt')",
        "with open('file.txt', 'w') as file:\n    file.write('x')\n_run.add_resource('file.txt')",
        "print(_run.status, _run.experiment_info['name'], sorted(_run.meta_info))",
        "ex.log_scalar('a', 1, 0.5)\nex.log_scalar('b', -1)",
    ]
    body = make.some(bodies, 2) + [
        make.pick(
            [
                "return 1",
                "return {'x': 1}",
                "raise ValueError('v')",
                "raise KeyboardInterrupt",
                "raise SacredInterrupt",
            ]
        )
    ]
    parts.append("@ex.main\ndef main(a, _run):\n" + textwrap.indent("\n".join(body), "    "))
    option = make.pick(
        [
            "",
            "",
            "",
            ", options={'--queue': True}",
            ", options={'--id': 'given'}",
            ", options={'--unobserved': True}",
            ", options={'--name': 'n', '--comment': 'c', '--priority': 3}",
        ]
    )
    return Case(
        "\n\n".join(parts),
        # A given id can be used once (EXP-09).
        (f"ex.run(config_updates={{'seed': 3}}{option})",)
        * (1 if "--id" in option else make.number(1, 2)),
        observed=make.chance(50),
    )


FAMILIES = {
    "observers": observers,
    "configurations": configurations,
    "named_configurations": named_configurations,
    "ingredients": ingredients,
    "functions": functions,
    "hooks": hooks,
    "endings": endings,
    "command_lines": command_lines,
    "sequences": sequences,
}
