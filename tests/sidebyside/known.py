"""The differences that are wanted. Each excuses what it says and nothing else."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sidebyside.comparison import FRAMES
from sidebyside.pair import Case
from sidebyside.sentences import SENTENCES

Answer = dict[str, Any]

#: The page that tells each of them.
DIFFERENCES = Path(__file__).parents[2] / "docs" / "differences.md"


class Known(NamedTuple):
    """A difference that docs/differences.md tells.

    Attributes
    ----------
    section
        Where it does.
    facts
        The facts about Sacred that it is about.
    excuse
        Changes both answers where it applies, so that they are equal there.
    example
        A case with the difference and no other.
    """

    section: str
    facts: tuple[str, ...]
    excuse: Callable[[Answer, Answer], None]
    example: Case | None


def _calls(theirs: Answer, ours: Answer) -> Iterator[tuple[Answer, Answer]]:
    return zip(theirs["calls"], ours["calls"], strict=False)


_OURS = (["--journal", None], ["--resume", None], ["--gcs", None], ["--color", None])


def _own_options(_theirs: Answer, ours: Answer) -> None:
    """``-J``, ``-R`` and ``--color`` are ours, and ``-G`` can be reached."""

    def leave_out(value: Any) -> None:
        if not isinstance(value, list):
            return
        value[:] = [item for item in value if item not in _OURS]
        for item in value:
            leave_out(item)

    for call in ours["calls"]:
        leave_out((call["run"] or {}).get("meta_info"))
        for _, arguments in call["events"]:
            leave_out(arguments.get("meta_info"))


def _ids(theirs: Answer, ours: Answer) -> None:
    """Where nobody gives an id, it is the number of the run's folder."""
    for their, our in _calls(theirs, ours):
        if their["run"] and our["run"] and their["run"]["id"] is None:
            number = our["run"]["id"]
            if number is not None and number[0] == "int":
                our["run"]["id"] = None


def _captured(theirs: Answer, ours: Answer) -> None:
    """Output is captured without an observer too."""
    for their, our in _calls(theirs, ours):
        if their["run"] and our["run"] and not their["events"] and not our["events"]:
            their["run"]["captured_out"] = our["run"]["captured_out"]


#: What the original takes as a seed when nobody gives one: ``side.py`` seeds Python's generator.
CHANCE = random.Random(0).randint(1, 10**9)


def _chance_seeds(theirs: Answer, ours: Answer) -> None:
    """A seed that nobody gave comes from the system."""
    for number, (their, our) in enumerate(_calls(theirs, ours), 1):
        seed, other = (_entry(call["run"], "seed") for call in (their, our))
        if seed != ["int", str(CHANCE)] or not other or other[0] != "int":
            continue
        ours["calls"][number - 1] = _replaced(our, other[1], str(CHANCE))
        for stream in ("stdout", "stderr"):
            parts = _parts(ours, stream)
            # What comes later may show it again, as a file that was saved does.
            rest = "".join(parts[number:]).replace(other[1], str(CHANCE))
            ours[stream] = "".join(parts[:number]) + rest
        # A comment is further away from a shorter number.
        for answer in (theirs, ours):
            answer["stdout"] = re.sub(rf"(seed = {CHANCE}) +(?=\x1b)", r"\1  ", answer["stdout"])


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def _entry(run: Answer | None, path: str) -> Any:
    """Return an entry of a run's configuration as ``side.py`` tells it."""
    value: Any = run["config"] if run else None
    for name in path.split("."):
        if not value or value[0] != "dict":
            return None
        value = next((item for key, item in value[1:] if key == name), None)
    return value


def _equal_lists(theirs: Answer, ours: Answer) -> None:
    """A list counts as modified if it differs, not if all its elements do."""
    for number, (their, our) in enumerate(_calls(theirs, ours), 1):
        if not their["run"] or not our["run"]:
            continue
        one, other = set(their["run"]["modified"]), set(our["run"]["modified"])
        lists = {
            path
            for path in one ^ other
            if (_entry(our["run"], path) or [""])[0] in {"list", "tuple"}
        }
        if lists and all(
            path in lists or any(below.startswith(f"{path}.") for below in lists)
            for path in one ^ other
        ):
            their["run"]["modified"] = our["run"]["modified"]
            for answer in (theirs, ours):
                parts = _parts(answer, "stdout")
                parts[number] = re.sub(r"(?m)^\x1b\[34m|(?:\x1b\[0m)+$", "", parts[number])
                answer["stdout"] = "".join(parts)


def _late_output(theirs: Answer, ours: Answer) -> None:
    """What was printed before a run failed is kept."""
    for their, our in _calls(theirs, ours):
        run = our["run"]
        if run and their["run"] and run["status"] not in {"COMPLETED", "QUEUED", None}:
            pairs = [(their["run"], run)]
            pairs += [
                (one, other)
                for (event, one), (_, other) in zip(their["events"], our["events"], strict=False)
                if event == "heartbeat"
            ]
            for one, other in pairs:
                if one["captured_out"] == "":
                    one["captured_out"] = other["captured_out"]


def _hints(_theirs: Answer, ours: Answer) -> None:
    """An unknown command is told with the one that was meant."""
    ours["stdout"] = re.sub(
        r"(?m)(Available commands are: .*)\. Did you mean \".*\"\?$", r"\1", ours["stdout"]
    )


def _own_copies(theirs: Answer, _ours: Answer) -> None:
    """Observers get copies, which they may change."""
    for call in theirs["calls"]:
        call["events"] = _plain(call["events"])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if value and value[0] in ("ReadOnlyDict", "ReadOnlyList"):
        value = value[1]
    return [_plain(item) for item in value]


def _traces_of_interrupts(theirs: Answer, ours: Answer) -> None:
    """An interrupted run keeps its stack trace."""
    for their, our in _calls(theirs, ours):
        run = our["run"]
        if run and their["run"] and run["status"] not in {"COMPLETED", "FAILED"}:
            their["run"]["fail_trace"] = run["fail_trace"]


def _order_of_hooks(theirs: Answer, ours: Answer) -> None:
    """Where a config hook gives the whole configuration, groups of ingredients stand elsewhere."""
    if "returned the whole configuration" not in theirs["stdout"]:
        return
    for call in [*theirs["calls"], *ours["calls"]]:
        runs = [call["run"], *(arguments for _, arguments in call["events"])]
        for run in runs:
            if run and run.get("config"):
                run["config"] = [run["config"][0], *sorted(run["config"][1:], key=str)]


_MACHINERY = re.compile(
    r"(?m)^DEBUG - \S+ - (?:Using capture mode|Starting Heartbeat|Stopping Heartbeat).*\n"
)


def _debug_lines(theirs: Answer, _ours: Answer) -> None:
    """Debug lines about the machinery are not logged."""
    theirs["stderr"] = _MACHINERY.sub("", theirs["stderr"])


def _blank_lines(theirs: Answer, _ours: Answer) -> None:
    """A whole stack trace has no empty lines in it."""
    parts = _parts(theirs, "stderr")
    for number, part in enumerate(parts):
        if "(most recent call last):\n\n" in part:
            part = re.sub(r"\n\n(?=  )|\n\n(?=\S+: )", "\n", part)
            parts[number] = re.sub(r"(?:  frames of the package\n)+", FRAMES, part)
    theirs["stderr"] = "".join(parts)


_OPTION = re.compile(r"(?m)^  ((?:-\S(?: \S+)? )?--\S+).*\n(?:^    .*\n)*")


def _help(theirs: Answer, ours: Answer) -> None:
    """The texts of the built-in options, arguments and commands are our own."""
    for answer in (theirs, ours):
        parts = _parts(answer, "stdout")
        for number, part in enumerate(parts):
            if "\nOptions:\n" in part and "\nArguments:\n" in part:
                part = _OPTION.sub(r"  \1\n", part)
                part = re.sub(r"(?m)^  (?:-[JGR] |--color=).*\n", "", part)
                part = re.sub(r"(?s)\nArguments:\n.*?\n\n(?=\nCommands:)", "", part)
                parts[number] = re.sub(r"(?m)^(  (?:print|save)_\w+ ).*", r"\1", part)
        answer["stdout"] = "".join(parts)


_SCOPE_FRAME = r'  File "FOLDER/case.py", line \d+, in {}\n(?:    .*\n)*'
_THEIR_SCOPE = re.compile(_SCOPE_FRAME.format("<module>"))
_OUR_SCOPE = re.compile(_SCOPE_FRAME.format(r"(?:config\d|fast|slow|other|special|failing)"))


def _scope_frames(theirs: Answer, ours: Answer) -> None:
    """The line of an error in a config scope is the right one, and the scope is named."""
    for answer, pattern in ((theirs, _THEIR_SCOPE), (ours, _OUR_SCOPE)):
        answer["stderr"] = pattern.sub("  a line of the scope\n", answer["stderr"])


# -- errors ---------------------------------------------------------------------------------------

#: What a program logs is compared also where an error is told in other words.
_LOGGED = re.compile(r"(?m)^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) - .*\n|^-- .*\n")


def _parts(answer: Answer, stream: str) -> list[str]:
    """Return what was printed by the script and by each call."""
    return re.split(r"(?m)^(?=-- )", answer[stream])


def _ending(call: Answer, printed: str) -> str:
    value = call["value"]
    if call["how"] == "raised":
        return f"raised {value[0]} {value[1]}"
    value = value[1] if isinstance(value, list) else value
    return f"{call['how']} {value}\n{_LOGGED.sub('', printed)}".rstrip()


def _spoiled(number: int, parts: list[str]) -> list[int]:
    """Return the numbers of a call that went on on one side only, and of those that look at it."""
    found = [number]
    while found[-1] + 1 < len(parts) and parts[found[-1] + 1].startswith("-- print("):
        found.append(found[-1] + 1)
    return found


def _told(theirs: Answer, ours: Answer) -> None:
    """Errors in other words: how a call ended and what it printed but for log lines."""
    pairs = [(theirs["script"], ours["script"]), *_calls(theirs, ours)]
    their_parts, our_parts = _parts(theirs, "stderr"), _parts(ours, "stderr")
    for number, (their, our) in enumerate(pairs):
        if number >= min(len(their_parts), len(our_parts)):
            break
        if not their or their["how"] == our["how"] == "returned":
            continue
        one = _ending(their, their_parts[number])
        other = _ending(our, our_parts[number])
        for sentence in SENTENCES:
            if one == other and not sentence.call:
                continue
            found, same = re.fullmatch(sentence.theirs, one), re.fullmatch(sentence.ours, other)
            if not re.search(sentence.call, their_parts[number].partition("\n")[0]):
                continue
            if found and same and found.groupdict().get("same") == same.groupdict().get("same"):
                if sentence.whole and not number:
                    # The script itself: nothing is left to compare.
                    for answer in (theirs, ours):
                        answer.update(script={}, calls=[], stdout="", stderr="")
                    return
                if sentence.whole:
                    for index in _spoiled(number, their_parts):
                        theirs["calls"][index - 1] = ours["calls"][index - 1] = {}
                        for answer, parts in ((theirs, their_parts), (ours, our_parts)):
                            parts[index] = parts[index].partition("\n")[0] + "\n"
                            printed = _parts(answer, "stdout")
                            printed[index] = printed[index].partition("\n")[0] + "\n"
                            answer["stdout"] = "".join(printed)
                    break
                our["how"], our["value"] = their["how"], their["value"]
                for (event, one_told), (_, other_told) in zip(
                    their.get("events", ()), our.get("events", ()), strict=False
                ):
                    if event == "failed":
                        other_told["last"] = one_told.get("last")
                for parts in (their_parts, our_parts):
                    parts[number] = "".join(_LOGGED.findall(parts[number]))
                break
    theirs["stderr"], ours["stderr"] = "".join(their_parts), "".join(our_parts)


_EXPERIMENT = """\
from sacred import Experiment, Ingredient
from sacred.utils import SacredError

data = Ingredient("data", save_git_info=False)
data.add_config(size=10)
ex = Experiment("iris", ingredients=[data], save_git_info=False)


@ex.config
def config():
    a = 1
    layers = [1, 2]
    group = {"x": 1}


@ex.named_config
def failing():
    b = 1
    c = b / 0


@ex.main
def main(a, group, _run):
    print("printed")
    if a == 2:
        raise ValueError
    if a == 3:
        raise KeyboardInterrupt
    if a == 4:
        raise SacredError("shown whole", filter_traceback="never")
    return group


def hooked():
    @ex.config_hook
    def hook(config, command_name, logger):
        print("returned the whole configuration")
        return config

    @ex.config_hook
    def other(config, command_name, logger):
        return {"fresh": 1}

    return ex.run(config_updates={"seed": 1})
"""


def _example(call: str, *, observed: bool = True) -> Case:
    return Case(_EXPERIMENT, (call,), observed=observed)


_DEFECTS = "Sacred's defects that are not here"
# In this order: the last puts whole calls aside.
KNOWN = (
    Known(_DEFECTS, ("RND-01",), _chance_seeds, _example("ex.run()")),
    Known(
        _DEFECTS,
        ("CFG-15",),
        _equal_lists,
        _example("ex.run(config_updates={'seed': 1, 'layers': [1, 3]})"),
    ),
    Known(
        "The command line",
        ("CLI-10",),
        _own_options,
        _example("ex.run(config_updates={'seed': 1})"),
    ),
    Known("Ids", ("OBS-02",), _ids, _example("ex.run(config_updates={'seed': 1})")),
    Known(
        "More is recorded",
        ("OUT-01",),
        _captured,
        _example("ex.run(config_updates={'seed': 1})", observed=False),
    ),
    Known(
        "The command line",
        ("CLI-20",),
        _hints,
        _example("ex.run_commandline(['case.py', 'mian'])"),
    ),
    Known(
        "The command line",
        ("CLI-05",),
        _help,
        _example("ex.run_commandline(['case.py', '--help'])"),
    ),
    Known(
        _DEFECTS,
        ("EVT-06",),
        _own_copies,
        _example("ex.run(config_updates={'seed': 1})"),
    ),
    Known(
        "More is recorded",
        ("RUN-06",),
        _traces_of_interrupts,
        _example("ex.run(config_updates={'seed': 1, 'a': 3})"),
    ),
    Known(
        "Errors in other words",
        ("RUN-11",),
        _blank_lines,
        _example("ex.run_commandline(['case.py', 'with', 'a=4', 'seed=1'])"),
    ),
    Known("Small things", ("CFG-08",), _order_of_hooks, _example("hooked()")),
    Known(
        "Small things",
        ("LOG-01",),
        _debug_lines,
        _example("ex.run_commandline(['case.py', '-l', 'DEBUG', 'with', 'seed=1'])"),
    ),
    Known(
        _DEFECTS,
        ("OUT-05",),
        _late_output,
        _example("ex.run(config_updates={'seed': 1, 'a': 2})"),
    ),
    Known(
        "Errors in other words",
        ("SCO-02",),
        _scope_frames,
        _example("ex.run_commandline(['case.py', 'with', 'failing'])"),
    ),
    # Its examples stand beside the sentences.
    Known("Errors in other words", (), _told, None),
)


def sections() -> dict[str, str]:
    """Return the sections of docs/differences.md by their titles."""
    parts = re.split(r"(?m)^## (.*)\n", DIFFERENCES.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def excused(theirs: Answer, ours: Answer) -> tuple[Answer, Answer]:
    """Return both answers as they are without the known differences."""
    theirs, ours = copy.deepcopy(theirs), copy.deepcopy(ours)
    for known in KNOWN:
        known.excuse(theirs, ours)
    return theirs, ours
