"""What Sacred answers with an error of Python's own, or takes in silence, is a sentence here."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import types
from typing import TYPE_CHECKING, Any

import pytest

import sacred
from sacred import Experiment, Ingredient
from sacred.core.config.config_files import load_config_file
from sacred.core.config.errors import ConfigFileError, ConfigTypeError, InvalidKeyError
from sacred.core.errors import ConfigAddedError, SacredError
from sacred.core.repositories import EnforceCleanError, check_clean_repositories
from sacred.core.run_arguments import RunArgumentError
from sacred.core.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "false")


def _experiment(hook: Any = None) -> Experiment:
    data = Ingredient("data", save_git_info=False)
    data.add_config(size=1)
    ex = Experiment("bad", ingredients=[data], save_git_info=False)
    ex.add_config(a=1, seed=1, d={"x": 1, "y": {"z": 2}})
    ex.add_named_config("quick", a=2)
    if hook is not None:

        @ex.config_hook
        def change(config: Any, command_name: str, logger: Any) -> Any:
            return hook

    @ex.main
    def main(_config: Any) -> Any:
        return dict(_config)

    return ex


def _config(**arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = _experiment().run(**arguments).result
    return result


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("updates", "place"),
    [
        ({"d": {"": 1}}, 'in "d" of'),
        ({"d": {"y": {"": 1}}}, 'in "d.y" of'),
        ({"a": {"": 1}}, 'in "a" of'),
        ({"": 1}, "in"),
        ({"d.": 1}, 'in "d" of'),
        ({"d..x": 1}, 'in "d" of'),
    ],
)
def test_an_update_with_an_empty_key(updates: Any, place: str) -> None:
    """CFG-16: Sacred replaces the whole group by the value, in silence."""
    with pytest.raises(InvalidKeyError, match="cannot be empty") as caught:
        _config(config_updates=updates)
    assert f"It is {place} what was set in the config_updates of the call." in str(caught.value)


def test_an_empty_key_of_a_group_can_not_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """CFG-16: no path leads to it, whatever the setting says: so the setting is not named."""
    monkeypatch.setitem(SETTINGS.CONFIG, "ENFORCE_KEYS_MONGO_COMPATIBLE", False)
    with pytest.raises(InvalidKeyError) as caught:
        _config(config_updates={"d": {"": 1}})
    assert "SETTINGS" not in str(caught.value)


def test_a_dot_in_the_key_of_a_group_leads_into_it() -> None:
    """CFG-02: as on the outermost level, and as with Sacred."""
    assert _config(config_updates={"d": {"y.z": 5}})["d"] == {"x": 1, "y": {"z": 5}}


def test_a_group_with_an_empty_key_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """CFG-16: the sentence says that it came from there."""
    with pytest.raises(SystemExit) as caught:
        _experiment().run_commandline(["bad.py", "with", 'd={"": 1}'])
    assert caught.value.code == 1
    assert 'in "d" of what was set on the command line. Rename it.' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("returned", "place"),
    [
        ({"": 1}, "It is in what"),
        ({"$x": 1}, "It is in what"),
        ({"a=b": 1}, "It is in what"),
        ({"py/object": 1}, "It is in what"),
        ({"d": {"": 1}}, 'It is in "d" of what'),
        ({"d.": 1}, 'It is in "d" of what'),
        ({"d": [{"": 1}]}, 'It is in "d" of what'),
        ({"data": {"": 1}}, 'It is in "data" of what'),
    ],
)
def test_a_config_hook_that_returns_a_bad_key(returned: Any, place: str) -> None:
    """CFG-16: keys of hooks follow the rules of all others; the hook and its line are named."""
    with pytest.raises(InvalidKeyError) as caught:
        _experiment(returned).run()
    assert f'{place} the config hook "change" (' in str(caught.value)
    assert "test_bad_input.py:" in str(caught.value)


@pytest.mark.parametrize("returned", [{3: 1}, {"d": {(1, 2): 1}}, {"d": {"new": 1}}, {"new": {}}])
def test_what_config_hooks_may_return(returned: Any) -> None:
    """CFG-08, CFG-16: as with Sacred, keys that are no text among it."""
    ((key, value),) = returned.items()
    config = _experiment(returned).run().result
    assert config[key] == ({**config[key], **value} if isinstance(value, dict) else value)


def test_a_config_hook_whose_dots_lead_through_a_value() -> None:
    """CFG-08: the hook, the entry and the part are named."""
    with pytest.raises(ConfigTypeError, match=r"\"change\" \(.*can not set 'a.b': its part 'a'"):
        _experiment({"a.b": 1}).run()


def test_values_that_contain_themselves() -> None:
    """A circle is told wherever it comes from: Sacred's error is a RecursionError."""
    circle: dict[str, Any] = {}
    circle["d"] = circle
    told = "contains itself"
    with pytest.raises(ConfigTypeError, match=f"dictionary {told}"):
        _experiment().add_config(circle)
    with pytest.raises(ConfigTypeError, match=f"config_updates of the call {told}"):
        _config(config_updates=circle)
    with pytest.raises(ConfigTypeError, match=f'hook "change".*returned {told}'):
        _experiment(circle).run()
    ex = _experiment()

    @ex.config
    def scope():
        loop = []  # type: ignore[var-annotated]
        loop.append(loop)

    with pytest.raises(ConfigTypeError, match=f'scope "scope".*{told}'):
        ex.run()


# -- scopes ----------------------------------------------------------------------------------------


class _Model:
    width = 7

    def config(self) -> None:
        q = self.width  # noqa: F841

    def config_of(self, a: int) -> None:
        q = self.width + a  # noqa: F841

    @classmethod
    def class_config(cls) -> None:
        q = cls.width  # noqa: F841

    @staticmethod
    def static_config() -> None:
        q = 4  # noqa: F841

    def hook(self, config: Any, command_name: str, logger: Any) -> Any:
        return {"a": self.width}


def _decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@_decorated
def _wrapped_config() -> None:
    q = 10  # noqa: F841


async def _async_config() -> None:
    q = 11  # noqa: F841


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        (_Model().config, 7),
        (_Model().config_of, 8),
        (_Model.class_config, 7),
        (_Model.static_config, 4),
        (_wrapped_config, 10),
        (_async_config, 11),
    ],
)
def test_methods_and_decorated_functions_as_scopes(scope: Any, value: int) -> None:
    """SCO-02: as with Sacred; here the body sees the object as well, and it is no entry."""
    ex = _experiment()
    ex.config(scope)
    config = ex.run().result
    assert config["q"] == value
    assert not {"self", "cls"} & config.keys()


@pytest.mark.parametrize("other", [functools.partial(_wrapped_config), _Model(), _Model, len, 3])
def test_what_can_be_no_scope(other: Any) -> None:
    """SCO-02: objects without a body are told as such."""
    with pytest.raises(TypeError, match="A config scope must be a function"):
        _experiment().config(other)


def test_methods_and_decorated_functions_as_hooks() -> None:
    """EXP-13, ING-06: their own parameters count."""
    ex = _experiment()
    ex.config_hook(_Model().hook)

    @ex.option_hook
    @_decorated
    def hook(options: Any) -> None:
        options["--comment"] = "hooked"

    run = ex.run()
    assert (run.result["a"], run.meta_info["comment"]) == (7, "hooked")


@pytest.mark.parametrize("nameless", [functools.partial(_wrapped_config), _Model()])
def test_a_command_has_a_name(nameless: Any) -> None:
    """ING-05: what has none is told; Sacred's error is an AttributeError."""
    with pytest.raises(TypeError, match="A command has the name of its function"):
        _experiment().command(nameless)


# -- YAML ------------------------------------------------------------------------------------------

_BOMB = "a0: &a0 [1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 40)
)
_MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 4)}]}}\n" for n in range(1, 40)
)
_TEXTS = f"t: &t {'x' * 100_000}\nl: &l [{', '.join(['*t'] * 2000)}]\nm: [*l, *l, *l, *l, *l, *l]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_BOMB, "stand for more than 1,000,000 values"),
        (_MERGED, "stand for more than 1,000,000 values"),
        (_TEXTS, "stand for more than 1,000,000 values"),
        ("a: 1\nb: &b\n  c: [*b]\n", "what begins in line 2 contains itself"),
        ("&a [*a]", "what begins in line 1 contains itself"),
    ],
)
def test_yaml_that_grows_or_goes_in_circles(text: str, told: str) -> None:
    """CFG-18: a file of some lines that stands for more than fits into memory is not expanded."""
    pytest.importorskip("yaml")
    with open("bomb.yaml", "w") as file:
        file.write(text)
    with pytest.raises(ConfigFileError, match=f'"bomb.yaml" can not be read as YAML: .*{told}'):
        load_config_file("bomb.yaml")
    with pytest.raises(ConfigFileError):
        _config(named_configs=["bomb.yaml"])


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("d: &d {x: 1}\ne:\n  <<: *d\n  y: 2\nf: [*d, *d]\n", None),
        ("", {}),
        ("a: [" + "1, " * 20_000 + "1]", None),
    ],
)
def test_yaml_with_aliases_is_read(text: str, content: Any) -> None:
    """CFG-18: aliases that stand for little, files without any, and empty ones are as ever."""
    yaml = pytest.importorskip("yaml")
    with open("good.yaml", "w") as file:
        file.write(text)
    expected = yaml.safe_load(text) if content is None else content
    assert expected == (load_config_file("good.yaml") or {})


# -- the arguments of a run ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"config_updates": 3}, "in the config_updates of the call is 3: give a dictionary"),
        ({"config_updates": "a=3"}, "is 'a=3': give a dictionary"),
        ({"config_updates": [("a", 3)]}, "give a dictionary"),
        ({"named_configs": 3}, "named_configs is 3: give a list of names"),
        ({"named_configs": "quick"}, r"is the text 'quick': give a list of names, \['quick'\]"),
        ({"named_configs": [3]}, "3 in named_configs is no name"),
        ({"named_configs": [None]}, "None in named_configs is no name"),
        ({"info": 3}, "info is 3: give a dictionary"),
        ({"meta_info": "x"}, "meta_info is 'x': give a dictionary"),
        ({"options": 3}, "options is 3: give a dictionary"),
        ({"options": True}, "options is True: give a dictionary"),
        ({"command_name": 3}, "command_name is 3: give the name of a command"),
        ({"command_name": ["main"]}, "give the name of a command"),
    ],
)
def test_arguments_of_the_wrong_kind(arguments: Any, told: str) -> None:
    """EXP-06: Sacred's errors are those of the first line that stumbles over them."""
    with pytest.raises(TypeError, match=told) as caught:
        _config(**arguments)
    assert isinstance(caught.value, SacredError)


def test_a_function_is_not_the_name_of_a_command() -> None:
    """EXP-06: its name is told."""
    ex = _experiment()
    with pytest.raises(RunArgumentError, match='give the name of a command: "main"'):
        ex.run(ex.commands["main"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {"config_updates": []},
        {"config_updates": types.MappingProxyType({"a": 1})},
        {"named_configs": None},
        {"named_configs": ""},
        {"info": []},
        {"options": []},
        {"options": types.MappingProxyType({"--force": True})},
        {"options": {3: 3, "--unknown": 3}},
        {"options": {"--beat-interval": [], "--priority": ""}},
        {"command_name": ""},
        {"command_name": ".main"},
    ],
)
def test_arguments_that_sacred_takes(arguments: Any) -> None:
    """EXP-06: whatever it gives a result for."""
    assert _config(**arguments)["a"] == 1


def test_arguments_that_sacred_takes_and_uses() -> None:
    """EXP-06: pairs instead of dictionaries, any iterable of names, paths, letters of a text."""
    with open("c.json", "w") as file:
        file.write('{"a": 5}')
    ex = _experiment()
    ex.add_named_config("q", a=7)
    assert ex.run(named_configs={"quick"}).result["a"] == 2
    assert ex.run(named_configs="q").result["a"] == 7
    run = ex.run(named_configs=(name for name in ["quick"]), info=[("b", 3)])
    assert (run.result["a"], run.info, run.meta_info["named_configs"]) == (2, {"b": 3}, ["quick"])
    assert ex.run(named_configs=[os.path.abspath("c.json")]).result["a"] == 5
    run = ex.run(options=[("--force", True)], config_updates={"zzz": 1}, meta_info=[("m", 1)])
    assert (run.result["zzz"], run.meta_info["m"]) == (1, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"--loglevel": [1]}, "Unknown log level"),
        ({"--name": 3}, "The name of -n/--name is 3: give a text"),
        ({"--file_storage": 3}, "The folder of -F/--file_storage is 3: give a path"),
        ({"--beat-interval": "x"}, "must be a number"),
    ],
)
def test_options_of_the_wrong_kind(options: Any, told: str) -> None:
    """EXP-09: those given by a call, too, are told by their flags."""
    with pytest.raises(SacredError, match=told):
        _config(options=options)


@pytest.mark.parametrize("seed", [-1, 2**32, "x", 1.5, [1]])
def test_seeds_that_no_generator_takes(seed: Any) -> None:
    """RND-02: a ValueError in a sentence, and no stack of numpy's."""
    with pytest.raises(ValueError, match="Seed ") as caught:
        _config(config_updates={"seed": seed})
    assert isinstance(caught.value, SacredError)
    assert not caught.value.print_traceback
    assert "seed=42" in str(caught.value)


def test_positional_arguments_of_a_command() -> None:
    """USE-18: a list of them."""
    with pytest.raises(RunArgumentError, match="args is 3: give a list"):
        _experiment().run_command("main", args=3)  # type: ignore[arg-type]


# -- the command line ------------------------------------------------------------------------------


def _line(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        _experiment().run_commandline(["bad.py", *words])
    code = caught.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("words", [("with", "-h"), ("with", "--help"), ("-h", "with")])
def test_help_behind_with(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """CLI-01: who asks for help gets it."""
    assert _line(*words) == 0
    assert capsys.readouterr().out.startswith("Usage:")


def test_queue_and_unobserved(capsys: pytest.CaptureFixture[str], caplog: Any) -> None:
    """CLI-10: nothing is queued where nothing is recorded, and the line says so."""
    with caplog.at_level("INFO"):
        _experiment().run_commandline(["bad.py", "-q", "-u"])
    lines = [record.getMessage() for record in caplog.records]
    assert "Queued" not in lines
    assert "The run is not queued: nothing records it, because of -u (--unobserved)." in lines
    caplog.clear()
    with caplog.at_level("INFO"):
        _experiment().run_commandline(["bad.py", "-q"])
    assert "the journal is switched off and there is no observer." in caplog.messages[-1]


@pytest.mark.parametrize("option", ["--id=", "--name=", "--comment=", "--priority=", "--capture="])
def test_options_with_an_empty_text(option: str) -> None:
    """CLI-10: as an empty variable of a shell gives it: with Sacred, too, as if not given."""
    run = _experiment().run_commandline(["bad.py", option])
    assert run is not None
    assert (run._id, run.run_logger.name, "comment" in run.meta_info) == (None, "bad", False)


@pytest.mark.parametrize("option", ["-F", "-m", "-J"])
def test_places_with_an_empty_text(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """CLI-10: a run would go unrecorded by it, as it does with Sacred."""
    assert _line(option, "") == 1
    assert "Error: " in capsys.readouterr().err


def test_a_file_for_save_config(capsys: pytest.CaptureFixture[str]) -> None:
    """CMD-06: what is no name of a file is told."""
    assert _line("save_config", "with", "config_filename=3") == 1
    assert "config_filename is 3: give the name of a file" in capsys.readouterr().err


def test_enforce_clean_is_one_sentence(tmp_path: Path) -> None:
    """CLI-10: where there is no repository."""
    (tmp_path / "script.py").write_text(
        "from sacred import Experiment\n"
        "ex = Experiment('clean', save_git_info=False)\n"
        "ex.automain(lambda: None)\n"
    )
    result = subprocess.run(
        [sys.executable, "script.py", "-e"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'git'", name="git"), "pip install GitPython"),
        (ImportError("Bad git executable.\nThe git executable must be\n..."), "the program git,"),
    ],
)
def test_enforce_clean_without_git(
    error: ImportError, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLI-10: without GitPython, and where that does not find git: one sentence, and not its own."""

    class Finder:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "git":
                raise error

    for name in [name for name in sys.modules if name.partition(".")[0] == "git"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(EnforceCleanError, match=told) as caught:
        check_clean_repositories({"base_dir": ".", "sources": []})
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, RuntimeError)


def test_a_script_from_standard_input(tmp_path: Path) -> None:
    """SCO-02: works with a dictionary; a config scope needs the file, and the sentence says so."""
    begin = "from sacred import Experiment\nex = Experiment('piped', save_git_info=False)\n"
    end = "@ex.main\ndef main(a):\n    print('a is', a)\n\nex.run_commandline()\n"
    scope = "@ex.config\ndef config():\n    a = 1\n\n"
    result = _piped(begin + "ex.add_config(a=1)\n" + end, tmp_path)
    assert (result.returncode, result.stdout) == (0, "a is 1\n")
    result = _piped(begin + scope + end, tmp_path)
    assert result.returncode == 1
    assert "Run the script by its name (python script.py)" in result.stderr


def _piped(program: str, folder: Path) -> Any:
    return subprocess.run(
        [sys.executable], input=program, cwd=folder, capture_output=True, text=True, timeout=60
    )


# -- runs without an experiment --------------------------------------------------------------------


def test_the_configuration_of_start_run_says_what_it_is() -> None:
    """It is in no captured function; the sentence is one for whoever holds a run."""
    with sacred.start_run("mine", config={"a": {"b": [1]}}) as run:
        for change in (
            lambda: run.config.update(x=1),
            lambda: run.config["a"].clear(),
            lambda: run.config["a"]["b"].append(2),
        ):
            with pytest.raises(SacredError, match="The configuration of a run can not be changed"):
                change()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"observers": 3}, "no list of observers"),
        ({"observers": [3]}, "3 is no observer"),
        ({"info": 3}, "info is 3: give a dictionary"),
        ({"meta_info": 3}, "meta_info is 3: give a dictionary"),
    ],
)
def test_arguments_of_start_run(arguments: Any, told: str) -> None:
    """As those of an experiment's run."""
    with pytest.raises(TypeError, match=told):
        sacred.start_run("mine", **arguments)


# -- the end of the program ------------------------------------------------------------------------

_DAEMON = """
    import sys, threading
    from sacred import Experiment, start_run

    began, never = threading.Event(), threading.Event()
    ex = Experiment("late", save_git_info=False)

    @ex.main
    def main(_run):
        _run.log_scalar("loss", 1.0)
        began.set()
        never.wait(60)

    def by_hand():
        with start_run("late") as run:
            run.log_scalar("loss", 1.0)
            began.set()
            never.wait(60)

    target = by_hand if sys.argv[1] == "start_run" else ex.run
    threading.Thread(target=target, daemon=True).start()
    began.wait(60)
    if sys.argv[2] == "raises":
        raise ValueError("of the program")
"""


@pytest.mark.parametrize("how", ["run", "start_run"])
@pytest.mark.parametrize("end", ["returns", "raises"])
def test_a_run_in_a_daemon_thread_ends_with_the_program(
    how: str, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUN-06: INTERRUPTED, with a line that says why; with Sacred it is RUNNING for ever."""
    from sacred.journal.reader import JournalReader
    from sacred.journal.root import JournalRoot

    monkeypatch.delenv("SACRED_JOURNAL_ENABLED")
    (tmp_path / "late.py").write_text(textwrap.dedent(_DAEMON))
    result = subprocess.run(
        [sys.executable, "late.py", how, end], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == (1 if end == "raises" else 0)
    assert "The program ended while run 1 of late went on in a daemon thread" in result.stderr
    (folder,) = JournalRoot(tmp_path / "sacred_runs").runs()
    *_, last = [e for e in JournalReader(folder.path).read() if e.name == "run_ended"]
    assert last.fields["status"] == "INTERRUPTED"


def test_a_run_is_ended_once() -> None:
    """Who leaves it second, the thread or the end of the program, changes nothing."""
    from sacred.core.daemon_runs import ProgramEnded

    ex = _experiment()
    ended: list[Any] = []

    @ex.main
    def main(_run: Any) -> int:
        import gc

        from sacred.core.life import Life

        (life,) = [o for o in gc.get_objects() if type(o) is Life and o.run is _run]
        life.__exit__(ProgramEnded, ProgramEnded("over"), None)
        ended.append(life.over.is_set())
        return 3

    run = ex.run()
    assert (ended, run.status, run.result) == ([True], "INTERRUPTED", 3)


def test_conflicting_updates_of_an_ingredient_are_unchanged() -> None:
    """CFG-02: an ingredient can not be a value."""
    with pytest.raises(ConfigAddedError, match='"data" is an ingredient'):
        _config(config_updates={"data": 3})
