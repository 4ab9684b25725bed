"""The commands in README and docs do what the pages show.

A block marked ```console holds commands behind ``$ ``, lines of the same command behind ``> ``, and what the
command prints. With ``<!-- test: run -->`` in front of it its commands are typed, all of a page one after the
other, into one folder, on a terminal; each has to end with 0. Blocks behind ``<!-- test: file NAME -->`` are saved
there under their names when it is their turn. What stands behind a command has to be what it
printed: ``...`` stands for anything, times of day, durations and the width of columns may differ. A command with
nothing behind it may print what it likes. ``<!-- test: skip REASON -->`` leaves a block out.

Commands that name MongoDB are typed where a server runs only, with its address in place of the page's. ``--follow``
ends by Ctrl-C when it has written everything.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).parents[2]
MARKED = re.compile(
    r"^<!-- test: (?P<how>\w+) ?(?P<reason>[^\n]*?)-->\n```console\n(?P<lines>.*?)^```", re.S | re.M
)
SAVED = re.compile(r"^<!-- test: file (?P<name>\S+) -->\n```\w+\n(?P<lines>.*?)^```", re.S | re.M)
#: The pages whose commands are typed. A page that loses its blocks is no page without commands.
PAGES = [
    "README.md",
    "docs/annotations.md",
    "docs/cli.md",
    "docs/collected-information.md",
    "docs/command-line.md",
    "docs/configuration.md",
    "docs/export.md",
    "docs/metrics.md",
    "docs/migrate.md",
    "docs/operations.md",
    "docs/queries.md",
    "docs/queue-and-resume.md",
    "docs/replay.md",
    "docs/terminal.md",
    "docs/tutorial.md",
    "docs/views.md",
]
#: What a page shows the use of, and not every environment has.
PACKAGES = {"docs/views.md": "pandas"}
#: Pages with commands that no test can type.
UNTYPED = {"docs/benchmarks.md": "made by the benchmarks, which take a quarter of an hour"}
NEEDS_SERVER = re.compile(r"mongo| -m ")
SECONDS = 120.0
QUIET = 10.0

EXPERIMENT = """
from sacred import Experiment

ex = Experiment("my_experiment")


@ex.config
def config():
    learning_rate = 0.1


@ex.automain
def train(learning_rate, _run):
    best = 0.875 if learning_rate == 0.1 else 0.75
    for step in range(3):
        _run.log_scalar("loss", 1 - best + 0.25 * (2 - step), step)
        _run.log_scalar("accuracy", best - (0.1875 if best > 0.8 else 0.25) * (2 - step), step)
    if learning_rate != 0.1:
        print("the loss is nan")
"""
#: Pages whose first program is the script, and what it is called.
OWN_SCRIPTS = {"README.md": "adding.py", "docs/metrics.md": "everything.py"}
#: What has happened before a reader types the page's commands.
BEFORE = {
    "README.md": [],
    "docs/annotations.md": [],
    "docs/cli.md": [],
    "docs/collected-information.md": ["python my_experiment.py"],
    "docs/command-line.md": [],
    "docs/configuration.md": [],
    "docs/queries.md": [
        "python my_experiment.py",
        "python my_experiment.py with learning_rate=0.01",
    ],
    "docs/export.md": [
        "python my_experiment.py",
        "python my_experiment.py with learning_rate=0.01",
    ],
    "docs/metrics.md": ["python everything.py"],
    "docs/migrate.md": [],
    "docs/operations.md": ["python my_experiment.py"],
    "docs/queue-and-resume.md": [
        f"cp {HERE}/examples/resume.py train.py",
        "sh -c 'python train.py with dies_in=5; true'",
    ],
    "docs/replay.md": ["python my_experiment.py", "python my_experiment.py"],
    "docs/terminal.md": [
        "python my_experiment.py",
        "python my_experiment.py with learning_rate=0.01",
    ],
    "docs/tutorial.md": [],
    "docs/views.md": [],
}
#: Pages that take more than five seconds.
SLOW = {"docs/tutorial.md"}


class Command(NamedTuple):
    """A command of a page, and what the page shows that it prints."""

    text: str
    printed: str


def _text(page: str) -> str:
    return (HERE / page).read_text(encoding="utf-8")


def _commands(block: str) -> list[Command]:
    found: list[Command] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append(Command(line[2:].strip(), ""))
            continue
        assert found, f"output without a command: {line}"
        text, printed = found.pop()
        if line.startswith("> "):
            found.append(Command(f"{text}\n{line[2:].strip()}", printed))
        else:
            found.append(Command(text, printed + line))
    return found


def _saving(block: re.Match[str]) -> Command:
    """The command that saves a block of a page as a file."""
    return Command(f"cat > {block['name']} <<'END OF FILE'\n{block['lines']}END OF FILE", "")


def _page(text: str) -> list[Command]:
    """The commands of a page that are to be typed, and its files, in the page's order."""
    found = [
        (match.start(), _commands(match["lines"]))
        for match in MARKED.finditer(text)
        if match["how"] == "run"
    ]
    found += [(match.start(), [_saving(match)]) for match in SAVED.finditer(text)]
    return [command for _, commands in sorted(found) for command in commands]


def _saved_as_a_script(page: str) -> str:
    """The page's first program, "saved as a script with ``@ex.automain``"."""
    program = re.search(r"^```python\n(.*?)^```", _text(page), re.S | re.M)
    assert program is not None
    script, ends, _ = program[1].replace("@ex.main", "@ex.automain").partition("\nrun = ex.run(")
    assert ends
    return script


def _as_read(output: str) -> str:
    """What a person sees of an output: a line that began anew shows its last text."""
    lines = output.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2].replace("\x1b[K", "") for line in lines)


def _stable(output: str) -> str:
    """An output without what differs from run to run."""
    output = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME", output)
    output = re.sub(r"(?<= after )\d+:\d\d:\d\d\b", "TIME", output)
    output = re.sub(r"\b\d+\.\d+s\b|\b\d+\.\d{5,}\b", "SECONDS", output)
    return "\n".join(" ".join(line.split()) for line in output.strip().split("\n"))


def _agrees(shown: str, printed: str) -> bool:
    """Say whether a command printed what a page shows."""
    pattern = ".*".join(map(re.escape, _stable(shown).split("...")))
    return re.fullmatch(pattern, _stable(printed), re.S) is not None


def _typed(command: str, folder: Path) -> tuple[int, str]:
    """Type a command on a terminal, as who has the environment's programs on the PATH."""
    programs = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "NO_COLOR": "1",
    }
    ours, its = os.openpty()
    try:
        process = subprocess.Popen(
            command if command.startswith("for ") else f"exec {command}",
            shell=True,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
    finally:
        os.close(its)
    try:
        return _watched(process, ours, follows="--follow" in command)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _watched(process: subprocess.Popen[bytes], terminal: int, *, follows: bool) -> tuple[int, str]:
    output, end, ended = b"", time.monotonic() + SECONDS, False
    heard = time.monotonic()
    while time.monotonic() < end:
        # Asked before the look at the terminal, so that the last words are read.
        ended = process.poll() is not None
        if select.select([terminal], [], [], 0 if ended else 0.1)[0]:
            try:
                output += os.read(terminal, 1 << 16)
            except OSError:  # everybody has closed it
                break
            heard = time.monotonic()
        elif ended:
            break
        elif follows and b"up to date" in output and time.monotonic() - heard > QUIET:
            # It says a line for each run and view, and nothing when all are written.
            os.killpg(process.pid, signal.SIGINT)
            follows = False
    text = _as_read(output.decode("utf-8", "replace"))
    try:
        return process.wait(max(0.1, end - time.monotonic())), text
    except subprocess.TimeoutExpired:
        raise AssertionError(f"not done after {SECONDS} s:\n{text}") from None


def _type(commands: list[Command], folder: Path) -> None:
    for command in commands:
        status, printed = _typed(command.text, folder)
        assert 0 == status, f"$ {command.text}\n{printed}"
        if command.printed:
            assert _agrees(command.printed, printed), (
                f"$ {command.text}\n{printed}\nThe page shows:\n{command.printed}"
            )


def _prepare(page: str, folder: Path) -> None:
    name = OWN_SCRIPTS.get(page)
    script = EXPERIMENT if name is None else _saved_as_a_script(page)
    name = name or "my_experiment.py"
    (folder / name).write_text(script, encoding="utf-8")
    _type([Command(text, "") for text in BEFORE[page]], folder)


def _on(address: str, database: str, command: str) -> str:
    """A command with a server's address, and a database of the test's own, in place of the page's."""
    command = re.sub(r"\s+# .*", "", command)
    view = f"{address}/{database}"
    command = re.sub(r"--to mongo(?! --url)(?!\S)", f"--to {view}", command)
    command = re.sub(r"-m sacred(?!\S)", f"-m {view}", command)
    command = re.sub(r"mongodb://(user:pw@)?server/\w+", view, command)
    place = f"--url {urlsplit(address).netloc} --db {database}"
    return re.sub(r"--url server:27017 --db \w+", place, command)


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.slow] if p in SLOW else []) for p in PAGES]
)
@pytest.mark.usefixtures("patient_claims")
def test_the_commands_of_a_page_do_what_it_shows(page: str, tmp_path: Path) -> None:
    """A page's commands end well and print what the page says, one after the other."""
    if page in PACKAGES:
        pytest.importorskip(PACKAGES[page])
    commands = [row for row in _page(_text(page)) if not NEEDS_SERVER.search(row.text)]
    assert commands
    _prepare(page, tmp_path)
    _type(commands, tmp_path)


@pytest.mark.server
@pytest.mark.parametrize(
    ("page", "runs"), [("README.md", 1), ("docs/replay.md", 5), ("docs/tutorial.md", 8)]
)
@pytest.mark.usefixtures("patient_claims")
def test_the_commands_that_need_a_server_do_what_the_page_shows(
    page: str, runs: int, tmp_path: Path, mongo_server, mongo_db
) -> None:
    """All commands of a page, also those that name MongoDB, end well, and all runs are there then."""
    address = mongo_server.url.rstrip("/")
    commands = [
        Command(_on(address, mongo_db.name, text) if NEEDS_SERVER.search(text) else text, printed)
        for text, printed in _page(_text(page))
    ]
    assert any(address in text for text, _ in commands)
    for text, _ in commands:  # nothing is to reach the server of whoever runs the tests
        if NEEDS_SERVER.search(text):
            assert mongo_db.name in text, text
        assert re.search(r"server|:27017/|-m sacred|--to mongo(?!\S)(?! --url)", text) is None, text
    _prepare(page, tmp_path)
    _type(commands, tmp_path)
    assert runs == mongo_db["runs"].count_documents({"status": "COMPLETED"})


def test_every_command_of_the_documents_is_typed_or_left_out_for_a_reason() -> None:
    """No page shows a command outside of a block that is marked, and the pages are those that have some."""
    typed = []
    for path in [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]:
        page = path.relative_to(HERE).as_posix()
        text = _text(page)
        marked = list(MARKED.finditer(text))
        assert {match["how"] for match in marked} <= {"run", "skip"}, page
        assert all(match["reason"].strip() for match in marked if match["how"] == "skip"), page
        if any(match["how"] == "run" for match in marked):
            typed.append(page)
        if page not in UNTYPED:
            assert re.findall(r"^\s*\$ .*", MARKED.sub("", text), re.M) == [], page
    assert PAGES == typed


def test_the_queries_within_the_prose_are_answered(tmp_path: Path) -> None:
    """``sacred query "..."`` in the middle of a sentence is right SQL too."""
    queries = [
        query
        for path in [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]
        for query in re.findall(r'`(sacred query "[^`.]+")`', path.read_text(encoding="utf-8"))
    ]
    assert [query for query in queries if "SQL" not in query]
    _prepare("docs/queries.md", tmp_path)
    _type([Command(query, "") for query in queries if "SQL" not in query], tmp_path)


def test_the_targets_of_make_are_there() -> None:
    """Every ``make X`` that README and CONTRIBUTING show is a target of the Makefile."""
    targets = set(re.findall(r"^([\w-]+):", _text("Makefile"), re.M))
    for page in ("README.md", "CONTRIBUTING.md"):
        shown = set(re.findall(r"^make ([\w-]+)", _text(page), re.M))
        assert shown
        assert set() == shown - targets, page


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    """A command that does not end with 0 is red."""
    with pytest.raises(AssertionError, match="sacred show 99"):
        _type(_commands("$ sacred --version\n$ sacred show 99\n"), tmp_path)


@pytest.mark.parametrize(
    ("shown", "agrees"),
    [
        ("run 1: clean, ...\n", True),
        ("run  1: clean, 7 events\n2020-01-01 00:00:00 0.7s\n", True),
        ("run 2: clean, ...\n", False),
        ("run 1: clean\n", False),
        ("...\n2020-01-01 00:00:00 0.7\n", False),
    ],
)
def test_what_a_command_prints_is_compared(shown: str, agrees: bool) -> None:
    """Anything but times, durations and widths has to be as the page shows it."""
    assert agrees == _agrees(shown, "run 1: clean, 7 events\n2026-11-20 10:15:30  0.0s\n")


def test_an_output_that_a_page_shows_wrongly_is_noticed(tmp_path: Path) -> None:
    """What stands behind a command is compared, and what stands behind ``>`` belongs to it."""
    _type(_commands('$ echo "a\n> b"\na\nb\n'), tmp_path)
    with pytest.raises(AssertionError, match="The page shows"):
        _type(_commands("$ echo a\nb\n"), tmp_path)


def test_a_block_is_saved_when_it_is_its_turn(tmp_path: Path) -> None:
    """A file of a page is there for the commands below it, until the page gives it anew."""
    block = "<!-- test: file a.py -->\n```python\nprint({})\n```\n"
    typed = "<!-- test: run -->\n```console\n$ cat a.py\nprint({})\n```\n"
    page = "".join(part.format(number) for number in (1, 2) for part in (block, typed))
    _type(_page(page), tmp_path)
    assert "print(2)\n" == (tmp_path / "a.py").read_text()


def test_a_loop_over_several_lines_is_typed(tmp_path: Path) -> None:
    """What stands behind ``>`` goes on with the command, a shell's loop included."""
    _type(_commands("$ for i in 1 2; do\n>     echo $i\n> done\n1\n2\n"), tmp_path)


def test_the_marker_decides() -> None:
    """Only a block behind ``test: run`` is typed."""
    text = "```console\n$ no\n```\n<!-- test: run -->\n```console\n$ yes # why\nsaid\n```\n"
    text += "<!-- test: skip it costs money -->\n```console\n$ never\n```\n"
    assert [Command("yes # why", "said\n")] == _page(text)
