"""Integers of more digits than Python writes: recorded as they are, shown in hexadecimal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sacred.analysis.details import details, event_lines
from sacred.analysis.queries import query
from sacred.core.commandline import CommandLineError, get_config_updates, parse_value
from sacred.core.config.config_files import load_config_file, save_config_file
from sacred.core.config.errors import ConfigFileError
from sacred.core.experiment import Experiment
from sacred.core.metrics import MetricError
from sacred.core.observers import RunObserver
from sacred.core.settings import SETTINGS
from sacred.journal.codec import pack, unpack
from sacred.journal.events import EventType
from sacred.journal.integers import is_long, legible, text_of, whole_number
from sacred.journal.reader import JournalReader
from sacred.journal.root import JournalRoot

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.core.run import Run

HUGE = 10**5000
SHOWN = hex(HUGE)
pytestmark = pytest.mark.skipif(
    not hasattr(sys, "get_int_max_str_digits"), reason="this Python writes any number of digits"
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


# -- the numbers ----------------------------------------------------------------------------------


def test_how_long_is_long() -> None:
    """What Python writes with digits stays a number; of the others each is text that tells it all."""
    for number in (0, 1, -1, 1 << 64, 10**4299, -(10**4299), 10**4300 - 1):
        assert is_long(number) == (whole_number(number) != number)
        text_of(number)
    assert not is_long(10**4299)
    for number in (HUGE, -HUGE, 10**4300, 1 << 20_000):
        assert is_long(number)
        assert number == int(str(whole_number(number)), 0)
        assert hex(number) == text_of(number)


def test_what_is_shown_of_a_value() -> None:
    """Whatever holds such a number can be shown; what holds none is the very same object."""
    for value in ([1, {"a": (2, {3})}], {}, "text", None, 1.5, {"a": [True]}):
        assert legible(value) is value
    assert f"[{SHOWN}, -{SHOWN}]" == text_of([HUGE, -HUGE])
    assert f"{{{SHOWN}: ({SHOWN}, {{{SHOWN}}})}}" == repr(legible({HUGE: (HUGE, {HUGE})}))
    around: list[Any] = [HUGE]
    around.append(around)
    assert f"[{SHOWN}, ...]" == repr(legible(around))


def test_text_of_what_can_not_be_shown_for_another_reason() -> None:
    """Another error of a user's class stays one."""

    class Moody:
        def __str__(self) -> str:
            raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        text_of(Moody())


# -- a run ----------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "plain": HUGE,
    "negative": -HUGE,
    "nested": {"a": [{"b": (HUGE, {HUGE})}]},
    "key": {HUGE: 1, (HUGE, 2): 3},
}


def _values() -> dict[str, Any]:
    values = dict(VALUES)
    try:
        import numpy as np
    except ImportError:
        return values
    return {**values, "array": np.array([HUGE, -1], dtype=object)}


class Listener(RunObserver):
    """Is told of everything, as an observer of somebody's own."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def completed_event(self, stop_time: Any, result: Any) -> None:
        self.results.append(result)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A run that has such integers wherever one can be."""
    ex = Experiment("long", base_dir=os.getcwd(), save_git_info=False)
    ex.add_config(whole=HUGE, group={"parts": [HUGE, -HUGE]})
    ex.observers.append(Listener())

    @ex.main
    def main(_run: Run, whole: int) -> Any:
        assert whole == HUGE
        _run.info.update(_values())
        _run.log_scalar("value", HUGE, 1)
        _run.log_scalar("value", -HUGE, HUGE)
        _run.log_scalar("value", 1.5)
        _run.log_text("words", "text", HUGE)
        _run.log_dict("dict", VALUES, 0)
        return _values()

    run = ex.run(options={"--print-config": True})
    out, err = capsys.readouterr()
    assert f"whole = {SHOWN}" in out
    assert "Logging error" not in err
    return run


def _shown(name: str) -> Any:
    return {
        "plain": SHOWN,
        "negative": f"-{SHOWN}",
        "nested": {"a": [{"b": [SHOWN, [SHOWN]]}]},
        "key": {SHOWN: 1, f"({SHOWN}, 2)": 3},
        "array": [SHOWN, -1],
    }[name]


def test_nothing_is_lost(run: Run) -> None:
    """The journal has every number as it was; no event was left out."""
    assert run.folder is not None
    folder = JournalRoot("sacred_runs").run(1)
    events = list(JournalReader(folder.journal).read())
    assert not [event for event in events if event.type == EventType.MESSAGE]
    fields = {event.type: event.fields for event in events}
    assert HUGE == fields[EventType.RUN_STARTED]["config"]["whole"]
    result = fields[EventType.RUN_ENDED]["result"]
    assert {HUGE: 1, (HUGE, 2): 3} == result["key"]
    assert {"a": [{"b": (HUGE, frozenset({HUGE}))}]} == result["nested"]
    assert [HUGE, -1] == result.get("array", [HUGE, -1])


def test_what_views_show(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Hexadecimal text in details, events and queries, in JSON that every parser takes."""
    assert run.folder is not None
    folder = JournalRoot("sacred_runs").run(1)
    record = json.loads(json.dumps(details(folder).record()))
    expected = {name: _shown(name) for name in _values()}
    assert expected == record["result"]
    assert expected == record["info"]
    assert SHOWN == record["config"]["whole"]
    (metric,) = record["metrics"]
    assert (f"-{SHOWN}", SHOWN) == (metric["min"], metric["max"])
    problems: list[str] = []
    events = [json.loads(line) for line in event_lines(folder, problems)]
    points = [each["fields"] for each in events if each["type"] == "metric_point"]
    assert [1, SHOWN] == [point["step"] for point in points[:2]]
    assert [SHOWN, f"-{SHOWN}", 1.5] == [point["value"] for point in points]
    assert [] == problems
    found = query("select value, value_text, step, step_text from metrics order by seq")
    assert [] == found.problems
    assert (None, SHOWN) == found.rows[0][:2]
    assert (None, SHOWN) == found.rows[1][2:]
    for relation in ("runs", "config", "events", "hosts"):
        assert [] == query(f"select * from {relation}").problems


@pytest.mark.parametrize(
    "words",
    [["ls"], ["ls", "--json"], ["show", "1"], ["show", "1", "--json"], ["events", "1"],
     ["query", "select * from metrics"], ["query", "--json", "select result from runs"],
     ["export", "1", "--format", "jsonl", "-o", "out"]],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_the_commands(run: Run, words: list[str]) -> None:
    """None of them stops."""
    from sacred.cli import main

    assert run.folder is not None
    with pytest.raises(SystemExit) as end:
        sys.exit(main(words))
    assert not end.value.code


def test_documents_of_a_file_view(tmp_path: Path) -> None:
    """Whoever reads the file of a view gets it whole."""
    from sacred.observers import FileStorageObserver
    from sacred.observers.direct import plain_value

    assert _shown("key") == plain_value(VALUES["key"])
    observer = FileStorageObserver(str(tmp_path / "files"))
    import datetime as dt

    now = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - as Sacred's
    info = {"name": "e", "sources": [], "dependencies": [], "repositories": [], "base_dir": "."}
    observer.started_event(info, "main", {}, now, {"whole": HUGE}, {}, None)
    observer.heartbeat_event(VALUES, "", now, HUGE)
    observer.completed_event(now, VALUES)
    record = json.loads((tmp_path / "files" / "1" / "run.json").read_text())
    assert {name: _shown(name) for name in VALUES} == record["result"]


# -- what is typed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["1" * 5000, "-" + "1" * 5000, "[" + "1" * 5000 + "]", "1_0" * 4000]
)
def test_a_value_on_the_command_line(text: str) -> None:
    """It is refused in a sentence that names the entry and says how it can be written."""
    with pytest.raises(
        CommandLineError, match=r'"a.b=.{20}..." has an integer of .* digits.*a.b=0x'
    ):
        get_config_updates([f"a.b={text}"])
    assert HUGE == parse_value(SHOWN)
    assert "1" * 5000 == parse_value(f"'{'1' * 5000}'")


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.toml"])
def test_a_value_in_a_file(name: str) -> None:
    """A file with one is refused by its name, in words of ours."""
    if name == "a.yaml":
        pytest.importorskip("yaml")
    sign = {"a.json": '{"a": %s}', "a.yaml": "a: %s", "a.toml": "a = %s"}[name]
    with open(name, "w", encoding="utf-8") as file:
        file.write(sign % ("1" * 5000))
    with pytest.raises(ConfigFileError, match=f'"{name}" can not be read .* an integer of more'):
        load_config_file(name)


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_a_configuration_that_is_saved(name: str) -> None:
    """It can be read again: a long integer is hexadecimal text in it."""
    if name == "a.yaml":
        pytest.importorskip("yaml")
    save_config_file({"a": {"b": HUGE}, HUGE: 1}, name)
    assert {"a": {"b": SHOWN}, SHOWN: 1} == load_config_file(name)


def test_a_fraction_that_no_float_holds() -> None:
    """A number that can not be a float is told as such, not as none."""
    from fractions import Fraction

    from sacred.core.metrics import plain_scalar

    with pytest.raises(MetricError, match="a Fraction larger than any float"):
        plain_scalar(Fraction(HUGE), "loss")


@pytest.mark.parametrize("seed", [HUGE, -HUGE], ids=["large", "negative"])
def test_a_seed(seed: int) -> None:
    """One that is none is refused by its own sentence."""
    ex = Experiment("seeded", base_dir=os.getcwd(), save_git_info=False)
    ex.main(lambda: None)
    with pytest.raises(ValueError, match=f"(?i)seed (must|has to) be .*{hex(seed)}"):
        ex.run("<lambda>", config_updates={"seed": seed})


def test_a_lower_limit() -> None:
    """Where somebody sets a lower one, nothing stops either."""
    program = (
        "from sacred.replayers.jsontext import to_json\n"
        "print(len(to_json({'a': 10**700, 10**700: -1})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONINTMAXSTRDIGITS": "640"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert HUGE == unpack(pack(HUGE))
