"""What generated scripts are put together from: values, scopes, functions, updates, words."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import yaml
from hypothesis import strategies as st

from sidebyside.pair import Case

NAMES = ("a", "b", "c", "lr", "size", "name", "opts", "layers")
KEYS = ("a", "b", "x", "lr", "deep", "seed", "two words", "ünı", "_p", "1")
NEW_NAMES = ("new", "extra", "z")

_COMMON = (
    *("0", "1", "2", "-3", "17", "0.5", "3.0", "1e-3", "True", "False", "None"),
    *("'text'", "''", "'some words'", "'1'", "'a=b'", "'None'", "[]", "{}", "()", "[1, 2]"),
    *("[1, 2, 3]", "(1, 2)", "['x', 'y']", "{'x': 1}", "{'x': 1, 'lr': 0.1}", "{'deep': {'x': 1}}"),
)
_ODD = (
    *(
        "np.float64(0.5)",
        "np.int64(3)",
        "np.float32(0.25)",
        "np.bool_(True)",
        "np.array([1, 2, 3])",
    ),
    *("np.array([0.5])", "float('nan')", "float('inf')", "-0.0", "10**20", "1j", "b'bytes'", "..."),
    *(repr('it\'s "quoted"'), repr("line\nline"), repr("tab\t"), repr("ünïcødé ✓"), repr("a.b")),
    *("[[]]", "[{}]", "[{'x': 1}]", "({'x': 1}, [2])", "{'x': None}", "{'x': (1, 2)}", "{1: 2}"),
    *("[None, 1]", "[1, 'x', None]", "{'x': []}", "{'x': {}}", "range(3)", "{1, 2}", "len", "math"),
    *("datetime.date(2020, 1, 2)", "Ellipsis", "[1.5, 2]", "'x' * 50", "list(range(40))"),
)
#: For these Sacred saves empty dicts, or dicts of its own (CFG-19).
_SAVED_OTHERWISE = ("{1, 2}", "np.array", "range(", "len", "math", "date", "1j", "b'", "...", "Ell")
#: Words that are typed on a command line after an equals sign.
_TYPED = (
    *("0", "1", "-3", "0.5", "1e-3", "1.", "True", "False", "None", "true", "none", "text", "''"),
    *('"quoted"', "'quoted'", "[1, 2]", "[1,2,]", "(1,2)", "(1)", "()", "{}", "{'x': 1}", "{1: 2}"),
    *("{'x': {'deep': [1, (2,)]}}", "[", "]", "{", "1/2", "1_000", "0x10", "1e400", "a b", " 5 "),
    *("a=b", "=", "", "1,2", "'a','b'", "-", "--", "None,", "[a, b]", "1+1", "-1", "- 1", "1+2j"),
    *(
        '"it\'s"',
        "'open",
        "\\n",
        "'\\n'",
        "ünï",
        "None None",
        "[None]",
        "{'a b': 1}",
        "#",
        "1 # no",
    ),
    *(
        "../x",
        "/tmp/x",
        "a.b",
        "*",
        "$HOME",
        "nan",
        "inf",
        "-inf",
        "b'x'",
        "{1, 2}",
        "...",
        "lambda: 1",
    ),
)

_SETTINGS = (
    ("CONFIG.READ_ONLY_CONFIG", False),
    ("CONFIG.NUMPY_RANDOM_LEGACY_API", True),
    ("CONFIG.ENFORCE_KEYS_MONGO_COMPATIBLE", False),
    ("CONFIG.ENFORCE_KEYS_JSONPICKLE_COMPATIBLE", False),
    ("CONFIG.ENFORCE_VALID_PYTHON_IDENTIFIER_KEYS", True),
    ("CONFIG.ENFORCE_STRING_KEYS", True),
    ("CONFIG.ENFORCE_KEYS_NO_EQUALS", False),
    ("CONFIG.IGNORED_COMMENTS", ["^the"]),
    ("COMMAND_LINE.STRICT_PARSING", True),
    ("CAPTURE_MODE", "no"),
    ("DEFAULT_BEAT_INTERVAL", 0.01),
    ("DISCOVER_SOURCES", "dir"),
    ("DISCOVER_SOURCES", "none"),
    ("DISCOVER_DEPENDENCIES", "none"),
    ("HOST_INFO.CAPTURED_ENV", ["LC_ALL", "NOT_SET"]),
)

_PREAMBLE = """\
{doc}import datetime
import math
import random

import numpy as np
from sacred import Experiment, Ingredient, SETTINGS
from sacred.utils import (
    ConfigError,
    InvalidConfigError,
    SacredError,
    SacredInterrupt,
    TimeoutInterrupt,
)


def show(place, values):
    for name in sorted(values):
        value = values[name]
        if name == "_rnd":
            draw = getattr(value, "integers", None) or value.randint
            value = [int(draw(1000)) for _ in range(3)]
        elif name == "_log":
            value = (value.name, value.level)
        elif name == "_run":
            value = (value.status, type(value).__name__, value.result)
        elif name == "_config":
            value = (type(value).__name__, dict(value))
        print(place, name, type(value).__name__, repr(value))
"""


class Maker:
    """Draws one script piece by piece."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.files: dict[str, str] = {}
        self.named: list[str] = []
        #: Whether a dict can be in a tuple: of those in updates Sacred loses entries (SCO-12).
        self.dicts_in_tuples = True
        #: Dotted paths of entries that were assigned somewhere, most of them.
        self.paths: list[str] = []
        self.commands: list[str] = []
        self.ingredients: list[str] = []

    # -- chance ----------------------------------------------------------------------------------

    def pick(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(tuple(choices)))

    def chance(self, percent: int) -> bool:
        # The simplest case is the one without.
        return self.draw(st.integers(0, 99)) >= 100 - percent

    def some(self, choices: Any, most: int = 3) -> list[Any]:
        choices = list(choices)
        if not choices:
            return []
        return self.draw(
            st.lists(st.sampled_from(choices), max_size=most, unique_by=lambda item: str(item))
        )

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    # -- values ----------------------------------------------------------------------------------

    def value(self, depth: int = 2) -> str:
        if depth and self.chance(25):
            items = [self.value(depth - 1) for _ in range(self.number(0, 3))]
            kind = self.number(0, 3)
            if kind == 0:
                return f"[{', '.join(items)}]"
            if kind == 1 and (self.dicts_in_tuples or "{" not in "".join(items)):
                return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
            keys = self.some(KEYS, len(items))
            pairs = [f"{key!r}: {item}" for key, item in zip(keys, items, strict=False)]
            return "{" + ", ".join(pairs) + "}"
        chosen = self.pick(_ODD) if self.chance(20) else self.pick(_COMMON)
        return chosen if self.dicts_in_tuples or not chosen.startswith("({") else "(1, [2])"

    # -- configurations --------------------------------------------------------------------------

    def scope(
        self,
        owner: str,
        decorator: str,
        function: str,
        earlier: list[str],
        readable: tuple[str, ...] = (),
        prefix: str = "",
    ) -> str:
        """Return a config scope; adds what it assigns to ``earlier``."""
        arguments = self.some([name for name in dict.fromkeys(earlier) if name.isidentifier()], 2)
        groups = self.some(readable, 1) if self.chance(60) else []
        arguments += groups
        if self.chance(3):
            arguments.append(self.pick(["_log", "seed", "nowhere", "_run"]))
        arguments = list(dict.fromkeys(arguments))
        kinds = dict.fromkeys(arguments, "unknown") | dict.fromkeys(groups, "ingredient")
        lines = []
        if self.chance(20):
            lines.append(
                self.pick(
                    [
                        '"""What it is."""',
                        '"""Two\n    lines."""',
                        '"""\n    A heading.\n\n      More of it.\n    """',
                        "'single'",
                        "# a comment first",
                    ]
                )
            )
        for _ in range(self.number(1, 4)):
            lines += self.statement(kinds)
        for name in kinds:
            if name not in arguments and name.isidentifier():
                earlier.append(name)
                self.paths.append(prefix + name)
        self.paths += [prefix + path for path in kinds if "." in path]
        body = "\n".join(lines) if any(not s.startswith("#") for s in lines) else "a = 1"
        return (
            f"@{owner}.{decorator}\ndef {function}({', '.join(arguments)}):\n"
            + textwrap.indent(body, "    ").replace("\n        ", "\n        ")
            + "\n"
        )

    def statement(self, kinds: dict[str, str]) -> list[str]:
        known = [name for name in kinds if "." not in name]
        dicts = [name for name in known if kinds[name] == "dict"]
        lists = [name for name in known if kinds[name] == "list"]
        which = self.number(0, 99)
        groups = [name for name in known if kinds[name] == "ingredient"]
        if groups and self.chance(40):
            group, name = self.pick(groups), self.pick(NAMES)
            kinds[name] = "plain"
            return [
                self.pick(
                    [
                        f"{name} = {group}['kept']",
                        f"{name} = {group}.get('paths', {group}.get('opt'))",
                        f"{name} = dict({group})",
                        f"{group}['kept'] = 5\n{name} = {group}['kept']",
                        f"{group}['fresh'] = 5\n{name} = {group}",
                        f"{name} = [sorted({group}), type({group}).__name__]",
                        f"{name} = {group}['{self.pick(NAMES)}']",
                    ]
                )
            ]
        if which < 55 or not known:
            name, value = self.pick(NAMES), self.value()
            if self.chance(3):
                name = "seed"
                value = self.pick(["7", "123", "None", "'x'"])
            kinds[name] = {"{": "dict", "[": "list"}.get(value[0], "plain")
            if value.startswith("{'"):
                key = value[2 : value.index("'", 2)]
                if "." not in key and " " not in key:
                    kinds[f"{name}.{key}"] = "nested"
            line = f"{name} = {value}"
            comment = self.number(0, 9)
            if comment == 0 and "\n" not in line:
                return [f"{line}  # the {name} of it"]
            if comment == 1:
                return [f"# above {name}", line]
            if comment == 2:
                return ["# far above", "", line]
            return [line]
        if which < 70:
            name, source = self.pick(NAMES), self.pick(known)
            kinds[name] = "plain"
            return [
                f"{name} = "
                + self.pick([source, f"[{source}, 1]", f"str({source})", f"{{'x': {source}}}"])
            ]
        if which < 78 and dicts:
            name, key = self.pick(dicts), self.pick(("x", "lr", "deep"))
            kinds[f"{name}.{key}"] = "nested"
            return [
                self.pick(
                    [
                        f"{name}[{key!r}] = {self.value(1)}",
                        f"{name}.update({key}={self.value(1)})",
                    ]
                )
            ]
        if which < 84 and lists:
            name = self.pick(lists)
            return [
                self.pick(
                    [
                        f"{name}.append({self.value(1)})",
                        f"{name} += [{self.value(0)}]",
                        f"{name}.extend([1, 2])",
                        f"{name}.insert(0, 9)",
                        f"{name} = {name} + [3]",
                    ]
                )
            ]
        if which < 89:
            name = self.pick(NAMES)
            kinds[name] = "plain"
            return [
                f"if {self.pick(known)}:",
                f"    {name} = {self.value(1)}",
                "else:",
                f"    {name} = {self.value(1)}  # otherwise",
            ]
        if which < 92:
            one, other = self.pick(NAMES[:4]), self.pick(NAMES[4:])
            kinds[one] = kinds[other] = "plain"
            return [f"{one}, {other} = {self.value(0)}, {self.value(1)}  # both"]
        if which < 94:
            return [f"for i in range({self.number(1, 3)}):", f"    {self.pick(NAMES)} = i"]
        if which < 96:
            return [f"{self.pick(known)} += 1"]
        if which < 98:
            return [f"del {self.pick(known)}"]
        return [
            self.pick(["import os", "pass", "with open('case.py') as file:\n    pass", "1 / 0"])
        ]

    def entries(self, earlier: list[str], prefix: str = "") -> str:
        """Return a dict's source text, and remember its paths."""
        pairs = []
        for name in self.some(NAMES, 3):
            value = self.value()
            earlier.append(name)
            self.paths.append(prefix + name)
            pairs.append(f"{name!r}: {value}")
        if self.chance(6):
            key = self.pick(
                ["'a.b'", "'$x'", "'a=b'", "'py/object'", "'json://x'", "5", "(1, 2)", "''"]
            )
            pairs.append(f"{key}: 1")
        return "{" + ", ".join(pairs) + "}"

    def file(self, earlier: list[str], prefix: str = "") -> str:
        """Make a configuration file; return its name."""
        content: dict[str, Any] = {}
        for name in self.some(NAMES, 3) or ["a"]:
            content[name] = self.pick(
                [
                    1,
                    2.5,
                    "text",
                    None,
                    True,
                    [1, 2],
                    {"x": 1},
                    {"deep": {"x": [1]}},
                    [],
                    {},
                    "1",
                    1e-3,
                ]
            )
            earlier.append(name)
            self.paths.append(prefix + name)
        name = f"file{len(self.files)}." + self.pick(["json", "yaml", "yml"])
        if name.endswith("json"):
            self.files[name] = json.dumps(content)
        else:
            self.files[name] = yaml.safe_dump(content)
        return name

    def configuration(self, owner: str, earlier: list[str], number: int, **how: Any) -> str:
        """Return one configuration of any kind."""
        which = self.number(0, 9)
        prefix = how.get("prefix", "")
        if which < 6:
            return self.scope(owner, "config", f"config{number}", earlier, **how)
        if which < 8:
            return f"{owner}.add_config({self.entries(earlier, prefix)})\n"
        if which < 9:
            name = self.pick(NAMES)
            earlier.append(name)
            self.paths.append(prefix + name)
            return f"{owner}.add_config({name}={self.value()})\n"
        return f"{owner}.add_config({self.file(earlier, prefix)!r})\n"

    def named_configuration(self, owner: str, name: str, path: str, earlier: list[str]) -> str:
        full = f"{path}.{name}" if path else name
        self.named.append(full)
        which = self.number(0, 9)
        prefix = f"{path}." if path else ""
        if which < 7:
            # Most read nothing: the scopes are not evaluated yet.
            known = list(earlier) if self.chance(10) else []
            return self.scope(owner, "named_config", name, known, prefix=prefix)
        if which < 9:
            return f"{owner}.add_named_config({name!r}, {self.entries([], prefix)})\n"
        return f"{owner}.add_named_config({name!r}, {self.file([], prefix)!r})\n"

    # -- functions -------------------------------------------------------------------------------

    def function(
        self,
        owner: str,
        decorator: str,
        function: str,
        earlier: list[str],
        body: str = "",
        draws: bool = True,
    ) -> str:
        """Return a captured function that shows what it was given."""
        known = [name for name in dict.fromkeys(earlier) if name.isidentifier()]
        arguments = self.some(known, 3)
        special = ["_log", "_run", "_config"] + (["_seed", "_rnd"] if draws else [])
        arguments += self.some(special, 2) if self.chance(50) else []
        defaults = []
        if self.chance(25):
            # An array as a default is an error in Sacred (CAP-06).
            default = self.value(0)
            if "array" not in default:
                defaults.append(f"{self.pick(['extra', *known])}={default}")
        if self.chance(3):
            arguments.append("missing")
        names = list(dict.fromkeys(arguments))
        defaults = [text for text in defaults if text.partition("=")[0] not in names]
        star = [self.pick(["*", "*more"])] if self.chance(10) else []
        if not (names or defaults) or (star == ["*"] and not defaults) or not names:
            star = ["*more"] if star else []
        rest = ["**others"] if self.chance(4) else []
        doc = '    """Do the work.\n\n    In two parts."""\n' if self.chance(15) else ""
        return (
            f"@{owner}.{decorator}\n"
            f"def {function}({', '.join([*names, *star, *defaults, *rest])}):\n{doc}"
            f"    show({function!r}, dict(locals()))\n" + textwrap.indent(body, "    ") + "\n"
        )

    # -- updates ---------------------------------------------------------------------------------

    def path(self) -> str:
        """Return a path to update: mostly one that is there."""
        which = self.number(0, 19)
        if which < 13 and self.paths:
            return self.pick(self.paths)
        if which < 15:
            return f"{self.pick(self.paths or NAMES)}.{self.pick(('x', 'lr', 'deep', 'deep.x'))}"
        if which < 16:
            return self.pick(NEW_NAMES)
        if which < 17:
            return self.pick([*self.ingredients, "seed", "nowhere.at.all"])
        return self.pick(NAMES)

    def updates(self, seeded: bool = True) -> str:
        """Return the source text of ``config_updates``."""
        pairs = {"'seed'": str(self.pick([3, 3, 3, 42]))} if seeded else {}
        before, self.dicts_in_tuples = self.dicts_in_tuples, False
        for _ in range(self.number(0, 3)):
            path, value = self.path(), self.value()
            if "." in path and self.chance(40):
                head, _, rest = path.partition(".")
                path, value = head, f"{{{rest!r}: {value}}}"
            if seeded and (path, value) == ("seed", "None"):
                value = "3"  # none is given then, and each draws another (RND-01)
            # Above what a config hook set, an update to an empty group is lost in Sacred (CFG-08).
            pairs[repr(path)] = "0" if value == "{}" and not before else value
        self.dicts_in_tuples = before
        return "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"

    def words(self, seeded: bool = True) -> list[str]:
        """Return words that come after ``with``."""
        found = ["seed=3"] if seeded else []
        for _ in range(self.number(0, 3)):
            which = self.number(0, 19)
            if which < 14:
                equals = self.pick(["=", "=", "=", "=", " = ", "= ", "=="])
                found.append(f"{self.path()}{equals}{self.pick(_TYPED)}")
            elif which < 18 and self.named:
                found.append(self.pick(self.named))
            elif which < 19 and self.files:
                found.append(self.pick(self.files))
            else:
                found.append(
                    self.pick(["", "nope", "=3", "a", ".a=1", "a.=1", "a..b=1", "data.nope"])
                )
        if self.chance(20):
            found = self.draw(st.permutations(found))
        return list(found)

    def call(self, seeded: bool = True) -> str:
        """Return one run."""
        command = self.pick(self.commands) if self.commands and self.chance(30) else None
        if self.chance(25):
            command = self.pick(
                ["print_config", "print_config", "print_named_configs", "save_config"]
            )
        if self.chance(50):
            words = ["case.py", *([command] if command else [])]
            with_ = self.words(seeded)
            words += ["with", *with_] if with_ else []
            if self.chance(15):
                words.insert(
                    self.number(1, len(words)), self.pick(["-p", "-f", "-u", "-l=30", "-d"])
                )
            return f"ex.run_commandline({words!r})"
        arguments = [repr(command)] if command else []
        arguments.append(f"config_updates={self.updates(seeded)}")
        if self.named and self.chance(50):
            arguments.append(f"named_configs={self.some(self.named, 3)!r}")
        if self.chance(15):
            option = self.pick(["--force", "--print-config", "--unobserved", "--debug"])
            arguments.append(f"options={{{option!r}: True}}")
        if self.chance(5):
            arguments.append("info={'mine': 1}, meta_info={'comment': 'hello'}")
        return f"ex.run({', '.join(arguments)})"

    def preamble(self) -> str:
        doc = self.pick(['"""What this is about."""\n', '"""\nTwo\n\nparts.\n"""\n', ""])
        return _PREAMBLE.format(doc=doc)

    def calls(self, number: int, seeded: bool, saved: bool) -> tuple[str, ...]:
        found = []
        for _ in range(number):
            call = self.call(seeded)
            plain = saved and "(" not in call.partition("(")[2]
            if "save_config" in call and plain and self.chance(60):
                call = f"[{call}, print(open('config.json').read())][0]"
            found.append(call)
        return tuple(found)

    def case(self, parts: list[str], calls: int = 1, seeded: bool = True) -> Case:
        saved = self.dicts_in_tuples and not any(
            text in part for part in parts[1:] for text in _SAVED_OTHERWISE
        )
        return Case(
            "\n\n".join(parts),
            self.calls(calls, seeded, saved),
            dict(self.files),
            settings=dict([self.pick(_SETTINGS)]) if self.chance(12) else {},
            observed=self.chance(70),
        )
