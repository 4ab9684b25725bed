# ruff: noqa: F841 - the local variables of a scope are its entries
"""Configurations given as the body of a function."""

from __future__ import annotations

import linecache
import os
import traceback
import types
from math import sqrt

import pytest

from sacred.core.config.config_scope import (
    ConfigScope,
    dedent_function_body,
    get_function_body,
)
from sacred.core.errors import ConfigError, InvalidConfigError

GLOBAL = 10


def scope_from(tmp_path, source, name="scope", **names):
    """Return a function defined in a file of its own."""
    path = tmp_path / f"module_{len(os.listdir(tmp_path))}.py"
    path.write_text(source)
    module = {"__name__": "module", "__file__": str(path), **names}
    exec(compile(source, str(path), "exec"), module)
    return module[name]


def test_local_variables_become_entries():
    """SCO-08: all of them, in the order of assignment, normalised."""

    @ConfigScope
    def scope():
        a = 1
        b, (c, *d) = a + GLOBAL, (2, 3, 4)
        if b > 5:
            e = (1, 2)
        for f in range(3):
            g = f
        with open(os.devnull) as h:
            i = h.read()
        _private = True
        del f
        h = None

    assert dict(scope()) == {
        "a": 1, "b": 11, "c": 2, "d": [3, 4], "e": [1, 2], "g": 2, "h": None, "i": "",
        "_private": True,
    }  # fmt: skip


def test_nested_code_sees_the_variables_of_the_scope():
    """SCO-06: comprehensions, generators, lambdas, functions and classes, on every Python."""

    @ConfigScope
    def scope():
        n = 3
        squares = [i * n for i in range(n)]
        table = {i: n + i for i in squares}
        total = sum(i + n for i in squares)
        add = lambda x: x + n  # noqa: E731
        added = add(1)

        def nested(x):
            return [x + n + i for i in squares]

        result = nested(1)

        class Local:
            size = n

        size = Local.size
        n = 4
        later = add(1)

    config = scope()
    assert (27, 4, 3, 5) == (config["total"] + 9, config["added"], config["size"], config["later"])
    assert ([0, 3, 6], [4, 7, 10]) == (config["squares"], config["result"])
    assert config["table"] == {0: 3, 3: 6, 6: 9}


STATEMENTS = {
    "an import": ("import math\nfrom os import sep as s\na = math.floor(2.5)", {"a": 2, "s": os.sep}),
    "a walrus": ("if (n := 3) > 2:\n    a = n", {"n": 3, "a": 3}),
    "a match": (
        ("v = {'kind': 'x', 'n': [1, 2, 3]}\n"
        "match v:\n    case {'kind': kind, 'n': [first, *rest]} if first == 1:\n        a = first"),
        {"v": {"kind": "x", "n": [1, 2, 3]}, "kind": "x", "first": 1, "rest": [2, 3], "a": 1},
    ),
    "a try": (
        ("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    a = str(error)\n"
        "else:\n    b = 1\nfinally:\n    c = 2"),
        {"a": "division by zero", "c": 2},
    ),
    "a with": ("from io import StringIO\nwith StringIO('t') as f:\n    a = f.read()\ndel f", {"a": "t"}),
    "loops": ("a = 0\nwhile a < 3:\n    a += 1\nfor i in range(2):\n    a += i", {"a": 4, "i": 1}),
    "annotations": ("a: int = 1\nb: 'not defined'\nc: nor_this = 2", {"a": 1, "c": 2}),
    "assignments": (
        "a = b = [1]\nc, (d, *e) = 1, (2, 3, 4)\nf = {}\nf['g'] = 1\nf['h'], b = 2, 3",
        {"a": [1], "b": 3, "c": 1, "d": 2, "e": [3, 4], "f": {"g": 1, "h": 2}},
    ),
    "a lambda": ("k = 2\nf = lambda x: x * k\na = f(3)\nb = sorted([1, 2], key=lambda x: -k * x)",
                 {"k": 2, "a": 6, "b": [2, 1]}),
    "a recursion": (
        ("k = 2\ndef f(n):\n    def g():\n        return k\n"
        "    return g() if n == 0 else f(n - 1) + g()\na = f(2)"),
        {"k": 2, "a": 6},
    ),
    "a class": (
        ("k = 2\nclass K:\n    v = k + 1\n    w = [k for _ in 'ab']\n"
        "    def m(self):\n        return k * self.v\na, b = K().m(), K.w"),
        {"k": 2, "a": 6, "b": [2, 2]},
    ),
    "comprehensions": (
        ("k = 2\na = [[k * i for i in range(n)] for n in range(k)]\n"
        "b = {i: {k for _ in 'x'} == {2} for i in range(1)}\nc = sum(k * i for i in range(3) if i < k)"),
        {"k": 2, "a": [[], [0]], "b": {0: True}, "c": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", STATEMENTS)
def test_what_a_body_may_have(which, tmp_path):
    """SCO-06, SCO-07, SCO-08: every statement of a function, with the scope's own variables."""
    body, expected = STATEMENTS[which]
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    summary = ConfigScope(scope_from(tmp_path, f"def scope():\n{lines}"))()
    code = (type, types.ModuleType, types.FunctionType)
    assert expected == {key: value for key, value in summary.items() if not isinstance(value, code)}


def test_a_walrus_in_a_comprehension_assigns_to_the_scope():
    """SCO-06: as in any function; what is read afterwards is the last value."""

    @ConfigScope
    def scope(known):
        total = 0
        sums = [total := total + n for n in range(4)]
        twice = 2 * total
        any((hit := n) > 1 for n in (1, 2, 3))
        found = hit
        [GLOBAL := n for n in (7,)]
        [known := n for n in (8,)]

    assert dict(scope(preset={"known": 1})) == {
        "known": 8, "total": 6, "sums": [0, 1, 3, 6], "twice": 12, "hit": 2, "found": 2, "GLOBAL": 7,
    }  # fmt: skip
    assert 10 == GLOBAL


def test_a_walrus_does_not_win_over_a_fixed_value():
    """SCO-12: an update wins wherever the entry is assigned."""

    @ConfigScope
    def scope():
        [a := n for n in (1, 2)]
        b = a

    summary = scope(fixed={"a": 9})
    assert (9, 9) == (summary["a"], summary["b"])
    assert "a" in summary.modified


def test_an_ingredient_that_a_walrus_could_assign_is_no_entry():
    """SCO-10: what is read as a fallback stays outside of the result."""

    @ConfigScope
    def scope(data):
        b = [(data := n) for n in ()]

    assert {"b": []} == dict(scope(fallback={"data": 3}))


def test_variables_around_the_function_are_seen():
    """SCO-06: a scope defined in a function sees the variables of that function."""
    outside = 5

    @ConfigScope
    def scope():
        a = outside + 1
        b = [outside for _ in range(2)]

    outside = 6
    assert dict(scope()) == {"a": 7, "b": [6, 6]}


def test_a_variable_around_hides_the_modules():
    """SCO-06: the nearest variable counts, a local one before all."""
    GLOBAL = 1  # noqa: N806

    @ConfigScope
    def scope():
        seen = GLOBAL
        sqrt = 3
        also = [sqrt for _ in range(1)]

    assert (1, [3]) == (scope()["seen"], scope()["also"])
    assert sqrt(4) == 2


def test_a_deleted_variable_uncovers_what_it_hid():
    """SCO-02: del takes the local variable away, not the module's."""

    @ConfigScope
    def scope():
        before = GLOBAL
        GLOBAL_copy = [GLOBAL]  # noqa: N806
        os = 3
        del os
        name = os.__name__  # noqa: F821

    assert scope()["name"] == "os"


def test_a_deleted_variable_is_gone():
    """SCO-02: also one that was assigned twice."""

    @ConfigScope
    def scope():
        a = 1
        a = 2
        del a
        b = a  # noqa: F821

    with pytest.raises(NameError):
        scope()


def test_annotations_leave_nothing_behind():
    """SCO-07: annotated assignments are entries, with comments, also inside blocks."""

    @ConfigScope
    def scope():
        a: int = 1  # the a
        b: NotDefinedAnywhere  # noqa: F821, F842
        if a:
            c: str = "x"

    assert dict(scope()) == {"a": 1, "c": "x"}
    assert scope().docs["a"] == "the a"


def test_modules_and_functions_can_be_used():
    """CFG-17: what a scope imports and defines is there for its own code and for functions."""

    @ConfigScope
    def scope():
        import math
        from math import pi

        def helper(x):
            return math.floor(x)

        a = helper(pi)

    config = scope()
    assert config["a"] == 3
    assert isinstance(config["math"], types.ModuleType)
    assert config["helper"](2.5) == 2


def test_the_globals_of_the_module_stay():
    """SCO-02: a global statement changes a copy."""

    @ConfigScope
    def scope():
        global GLOBAL
        GLOBAL = 99
        a = GLOBAL

    assert dict(scope()) == {"a": 99}
    assert GLOBAL == 10


def test_parameters_name_what_is_read():
    """SCO-04, SCO-10: preset is part of the result, fallback is not, the rest is not seen."""

    @ConfigScope
    def scope(a, data: dict):
        b = a + data["x"]

    assert dict(scope(preset={"a": 1, "p": 5}, fallback={"data": {"x": 2}, "q": 1})) == {
        "a": 1, "b": 3, "p": 5,
    }  # fmt: skip

    @ConfigScope
    def blind():
        b = p  # noqa: F821

    with pytest.raises(NameError, match="name 'p' is not defined"):
        blind(preset={"p": 5})


def test_a_parameter_that_nobody_provides():
    """SCO-04: KeyError with the names that there are; fixed values are none of them."""

    @ConfigScope
    def scope(a):
        b = a

    with pytest.raises(KeyError, match=r"'a' not in preset for ConfigScope. Available .*: {'q'}"):
        scope(fixed={"a": 1}, fallback={"q": 2})


def test_fixed_values_win():
    """SCO-10, SCO-12: assignments, item assignments, deletions and appends have no effect."""

    @ConfigScope
    def scope():
        a = 1
        derived = a * 2
        group = {"x": 1, "free": 1}
        group["x"] = 2
        values = [1]
        values.append(2)
        del a

    summary = scope(fixed={"a": 5, "group": {"x": 9, "new": 1}, "values": [7], "z": 0})
    assert dict(summary) == {
        "a": 5, "derived": 10, "group": {"x": 9, "free": 1, "new": 1}, "values": [7], "z": 0,
    }  # fmt: skip
    assert {"group.new", "z"} == summary.added
    assert {"a", "group", "group.x", "values"} == summary.modified


def test_fixed_values_win_over_presets_and_are_seen_everywhere():
    """CFG-04: code nested in the body sees the fixed value too."""

    @ConfigScope
    def scope(a):
        b = [a for _ in range(1)]

    summary = scope(fixed={"a": 7}, preset={"a": 1})
    assert dict(summary) == {"a": 7, "b": [7]}
    assert {"a"} == summary.modified


def test_assigning_to_an_ingredient_is_noted():
    """CFG-13: for the warning."""

    @ConfigScope
    def scope(data):
        data = 3

    assert {"data"} == scope(fallback={"data": {}}).ignored_fallbacks


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda *args: None, r"\*args not allowed"),
        (lambda **kwargs: None, r"\*\*kwargs not allowed"),
        (lambda a=1: None, "default values are not allowed"),
        (lambda *, a=1: None, "default values are not allowed"),
        (lambda: None, "defined by def"),
        (int, "must be a function"),
    ],
)
def test_functions_that_can_be_no_scope(function, message):
    """SCO-01: the parameters are names to be read, nothing else."""
    with pytest.raises(TypeError, match=message):
        ConfigScope(function)


@pytest.mark.parametrize("statement", ["return 1", "yield 1", "x = yield from ()", "return"])
def test_no_return_and_no_yield(statement, tmp_path):
    """SCO-03: SyntaxError that names the line."""
    function = scope_from(tmp_path, f"\ndef scope():\n    if True:\n        {statement}\n")
    with pytest.raises(SyntaxError, match="No return/yield statements allowed") as caught:
        ConfigScope(function)
    assert caught.value.lineno == 4


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (
            ["count = 0", "def inc():", "    nonlocal count"],
            6,
            "no binding for nonlocal 'count' found",
        ),
        (["nonlocal outside"], 4, "nonlocal declaration not allowed at module level"),
    ],
)
def test_no_nonlocal(body, line, said, tmp_path):
    """SCO-06: what a scope assigns is an entry, and no variable that a function could assign to; the error says what to write."""
    source = ["def around():", "    outside = 1", "    def scope():"]
    source += [f"        {text}" for text in body] + ["    return scope", ""]
    scope = scope_from(tmp_path, "\n".join(source), "around")()
    with pytest.raises(SyntaxError) as caught:
        ConfigScope(scope)
    assert line == caught.value.lineno
    assert caught.value.msg.startswith(f"{said}: the variables of a ConfigScope are entries")
    assert "Keep what it counts in a list, count = [0]" in caught.value.msg


def test_nested_functions_may_return():
    """SCO-03: only the scope itself may not."""

    @ConfigScope
    def scope():
        def f():
            return 1

        a = f()

    assert scope()["a"] == 1


def test_comments_document_entries():
    """SCO-09: the comment of the line, else the nearest one above."""

    @ConfigScope
    def scope():
        """What it is about."""
        a = 1  # of the line
        # above

        b = 2
        c, (d, e) = 1, (2, 3)  # of all
        if a:
            # one level deep
            f = 1
            if b:
                g = 1  # two levels deep
        h = [
            1,  # of an element
        ]
        ## several signs
        i = "# no comment"
        text = """
        # in a string"""
        m = 1
        # pylint: disable=all
        n = 1
        o = p = 1  # of two

    assert scope().docs == {
        "seed": "the random seed for this experiment",
        "a": "of the line", "b": "above", "c": "of all", "d": "of all", "e": "of all",
        "f": "one level deep", "i": "several signs", "o": "of two", "p": "of two",
    }  # fmt: skip


def test_a_comment_on_several_statements(tmp_path):
    """SCO-09: the comment of a line documents all that the line assigns."""
    source = "def scope():\n    a = 1; b = '# no'; c = 2  # of all\n    d = '#'; e = 3\n"
    docs = ConfigScope(scope_from(tmp_path, source))().docs
    del docs["seed"]
    assert docs == {"a": "of all", "b": "of all", "c": "of all"}


def test_the_first_comment_on_an_entry_counts():
    """SCO-09: in the order of the text, nested assignments among the others."""

    @ConfigScope
    def scope():
        a = 1
        if a:
            a = 2
        else:
            a = 3  # nested
        # above
        a = 4
        b = 1  # first
        b = 2  # second

    assert {"a": "nested", "b": "first"} == {name: scope().docs[name] for name in "ab"}


def test_the_docstring_is_an_entry():
    """SCO-09: entry __doc__, without the margin of the body."""

    @ConfigScope
    def scope():
        """First.

        Second
          third.
        """
        a = 1

    assert scope() == {"__doc__": "First.\n\nSecond\n  third.\n", "a": 1}
    assert "Second" in scope.__doc__


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def scope(): a = 1; b = 2\n", {"a": 1, "b": 2}),
        ("def scope(\n): a = 1", {"a": 1}),
        ("def scope(\n    # a comment\n):\n\n# at the margin\n  a = 1\nb = 2\n", {"a": 1}),
        ("def scope():\n    a = '''\nat the margin\n'''\n    b = 1\nc = 1\n", None),
        ("def scope():\n    a = 1 + \\\n2\n    b = [\n1,\n]\nc = 1\n", {"a": 3, "b": [1]}),
        ("if True:\n\tdef scope():\n\t\ta = 1\n\t\tb = 2\n", {"a": 1, "b": 2}),
        ("def keep(f): return f\n@keep\n@keep\ndef scope():\n    a = 1\n", {"a": 1}),
        ("# -*- coding: utf-8 -*-\ndef scope():\n    ü = 'ß'  # é\n", {"ü": "ß"}),
        ("def scope():\n    pass\n", {}),
        ("def scope():\n    a = 1\n    # the end", {"a": 1}),
    ],
)
def test_ways_to_write_a_function(source, expected, tmp_path):
    """SCO-02: headers and strings over several lines, decorators, tabs, one line."""
    if expected is None:
        expected = {"a": "\nat the margin\n", "b": 1}
    assert expected == ConfigScope(scope_from(tmp_path, source))()


def test_errors_show_the_line_of_the_file(tmp_path):
    """SCO-02: file, line and function name in the stack trace are the user's."""
    function = scope_from(tmp_path, "\n\ndef scope():\n    a = 1\n    b = a / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        ConfigScope(function)()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (function.__code__.co_filename, 5, "scope") == (last.filename, last.lineno, last.name)


def test_errors_of_the_configuration_show_values():
    """SCO-13: a ConfigError raised in a scope lists the values that are in conflict."""

    @ConfigScope
    def scope():
        a = 1
        raise InvalidConfigError("no", "a")

    with pytest.raises(ConfigError, match=r"no\nConflicting configuration values:\n  a=5"):
        scope(fixed={"a": 5})


def test_a_function_without_source():
    """SCO-02: what to do instead is said."""
    names = {}
    # A file name of its own: Python 3.13 remembers the source of one "<string>" for all.
    exec(compile("def scope():\n    a = 1\n", "<nowhere>", "exec"), names)
    with pytest.raises(OSError, match="could not get source code.*Use add_config"):
        ConfigScope(names["scope"])


def test_a_source_that_has_changed(tmp_path):
    """SCO-02: source that no longer fits is not run."""
    function = scope_from(tmp_path, "\n\n\ndef scope():\n    a = 1\n")
    with open(function.__code__.co_filename, "w") as file:
        file.write("# one\n# two\n# three\nx = (1,\n")
    linecache.checkcache()
    with pytest.raises((OSError, TypeError), match="fit the function|defined by def"):
        ConfigScope(function)


def test_future_statements_of_the_module_hold(tmp_path):
    """SCO-02: the body is compiled as its module is."""
    source = (
        "from __future__ import annotations\n"
        "def scope():\n    def f(x: Nothing): return 1\n    a = f(1)\n"
    )
    assert ConfigScope(scope_from(tmp_path, source))()["a"] == 1


def test_the_body_as_text():
    """PKG-03: names that people replace or call in this module."""

    def scope():
        a = 1  # one
        if a:
            b = 2

    body, lines_before = get_function_body(scope)
    assert dedent_function_body(body) == "a = 1  # one\nif a:\n    b = 2\n"
    assert lines_before == scope.__code__.co_firstlineno


def test_two_functions_with_equal_code(tmp_path):
    """SCO-09: functions of two files are not taken for one another."""
    first = scope_from(tmp_path, "def scope():\n    a = 1  # first\n")
    second = scope_from(tmp_path, "def scope():\n    a = 1  # other\n")
    docs = [ConfigScope(function)().docs["a"] for function in (first, second)]
    assert ["first", "other"] == docs
