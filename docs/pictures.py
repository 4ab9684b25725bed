"""The pictures of what a person sees: `python docs/pictures.py` makes those of `docs/pictures/` anew.

Real runs are made in a folder of their own (an experiment with several configurations, one that
fails, one that is killed, one that is still running), the commands are typed on a terminal of a
given width, and what is seen becomes two SVG, `NAME.svg` and `NAME-dark.svg`, as wide as it needs::

    python docs/pictures.py                       all of them
    python docs/pictures.py --columns 80 ls show  some, in another width, to look at
    python docs/pictures.py --to /tmp/pictures    elsewhere
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import io
import itertools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

HERE = Path(__file__).parent
#: Seconds a command may take.
PATIENCE = 30.0

PROGRAM = """
import math, random, sys, time
from sacred import Experiment

ex = Experiment("digits")
SECONDS = 0.0


@ex.config
def config():
    lr = 0.1
    epochs = 40
    optimizer = {"kind": "sgd", "momentum": 0.9}
    dataset = "mnist-small"


@ex.automain
def train(lr, epochs, optimizer, dataset, _run, _rnd):
    print(f"training on {dataset}: {epochs} epochs")
    best = 0.0
    for epoch in range(epochs):
        speed = lr * (1.6 if optimizer["kind"] == "adam" else 1.0)
        loss = 2.3 * math.exp(-3 * speed * epoch / 4) + 0.08 + _rnd.random() * 0.08
        if lr > 0.5:
            loss *= 1.2 ** epoch
        accuracy = max(0.1, 1 - loss / 2.4)
        best = max(best, accuracy)
        _run.log_scalar("training.loss", loss, epoch)
        _run.log_scalar("validation.accuracy", accuracy, epoch)
        if epoch % 5 == 0:
            print(f"epoch {epoch:3d}  loss {loss:7.4f}  accuracy {accuracy:.3f}", flush=True)
        if loss > 50:
            raise FloatingPointError(f"the loss is {loss:.1f} in epoch {epoch}")
        if "slowly" in sys.argv[0]:
            time.sleep(0.2)
    return round(best, 4)
"""
#: Every program here believes to be on this machine.
MACHINE = """
import os
_true = os.uname()
os.uname = lambda: os.uname_result(("Linux", "desk", "6.12.0", _true.version, _true.machine))
"""
PLACE = "/home/you/digits"
PACKAGE = str(HERE.parent / "sacred")
ROWS = 40
RUNS = [
    "",
    "with lr=0.03",
    "with lr=0.3",
    "with optimizer.kind=adam",
    "with optimizer.kind=adam lr=0.03",
    "with lr=1.5",
]


class Picture(NamedTuple):
    """One picture: its file, a command, how wide its terminal is, and what is typed into it."""

    name: str
    command: str
    columns: int = 80
    #: What a person waits for, and what he types then; what is seen after the last is the picture.
    talk: tuple[tuple[str, str], ...] = ()


PICTURES = [
    Picture(
        "ls",
        "sacred ls -c +config.lr,config.optimizer.kind,metrics.training.loss.min,metrics.validation.accuracy.max",
        200,
    ),
    Picture("ls-narrow", "sacred ls -c +config.lr,metrics.training.loss.min"),
    Picture(
        "group",
        "sacred ls --group config.optimizer.kind -c duration,metrics.training.loss.min",
    ),
    Picture("show", "sacred show 6"),
    Picture("compare", "sacred compare 1 2 3"),
    Picture("plot", "sacred plot 1 2 3 -m training.loss"),
    Picture("diff", "sacred diff 1 4"),
    Picture(
        "query",
        'sacred query "select run, metric, count(*) as points, min(value) as least'
        ' from metrics where run <= 3 group by all order by all"',
    ),
    Picture(
        "sql",
        "sacred sql",
        talk=(
            (r"sql>\s*$", "select run, status, duration from runs where status <> 'COMPLETED';\r"),
            (r"RUNNING.*\s*sql>\s*$", "select run, min(value) from metrics where metric = 'tr\t"),
            ("training.loss", "' and run < 3 group by run order by run;\r"),
            (r"  2 +1\.\d+\s*sql>\s*$", ""),
        ),
    ),
    Picture("tail", "sacred tail -f 8", talk=((r"epoch  40[\s\S]*training.loss", ""),)),
]

#: rich's own frame, without the fonts that it would load from elsewhere.
FRAME = """\
<svg viewBox="0 0 {width} {terminal_height}" width="{width}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", "Cascadia Mono", Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<rect class="ground" x="0.5" y="0.5" width="{width}" height="{terminal_height}" rx="8" transform="scale(0.999 0.995)"/>
<g transform="translate(9, 6)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def opened(command: str, folder: Path, columns: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start a command on a terminal; return it, and the terminal's other end."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    process = subprocess.Popen(  # noqa: S602 - the commands of this file
        command,
        shell=True,
        cwd=folder,
        env=environment(folder),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    return process, ours


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of all commands: those of nobody's machine."""
    kept = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS", "LINES"}}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    paths = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {
        "TERM": "xterm-256color",
        "PATH": f"{folder / 'bin'}{os.pathsep}{programs}",
        "TZ": "UTC",
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def pieces(terminal: int) -> Iterator[str]:
    """Yield what comes to a terminal."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    end = time.monotonic() + PATIENCE
    while select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # everybody has closed it
            return
        yield decoder.decode(piece)


def printed(picture: Picture, folder: Path, columns: int) -> Text:
    """Return what a command prints, with its colours."""
    from rich.text import Text

    process, terminal = opened(picture.command, folder, columns)
    try:
        text = "".join(pieces(terminal))
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    # What a line was written over with is what is seen.
    lines = text.replace("\r\n", "\n").split("\n")
    seen = "\n".join(re.split(r"\r|\x1b\[K", line)[-1] for line in lines)
    return Text.from_ansi(seen.replace(str(folder), PLACE).replace(PACKAGE, "sacred").rstrip("\n"))


def talked(picture: Picture, folder: Path, columns: int) -> Text:
    """Return what a terminal shows when everything of a talk was typed."""
    import pyte
    from rich.text import Text

    screen = pyte.Screen(columns, ROWS)
    stream = pyte.Stream(screen)
    process, terminal = opened(picture.command, folder, columns)
    # It is asked where the cursor is.
    screen.write_process_input = lambda data: os.write(terminal, data.encode())
    talk = list(picture.talk)
    try:
        for piece in pieces(terminal):
            stream.feed(piece)
            seen = "\n".join(line.rstrip() for line in screen.display)
            while talk and re.search(talk[0][0], f"{seen} "):
                os.write(terminal, talk.pop(0)[1].encode())
                break
            if not talk:
                break
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(terminal)
    if talk:
        raise SystemExit(f"{picture.name}: {talk[0][0]!r} was not seen, but\n{seen}")
    text = Text()
    for number, line in enumerate(screen.display):
        cells = [screen.buffer[number][column] for column in range(len(line.rstrip()))]
        for style, alike in itertools.groupby(cells, _style):
            text.append("".join(cell.data for cell in alike), style=style)
        text.append("\n")
    text.rstrip()
    return Text("\n").join(
        Text.assemble(line) for line in text.split("\n") if str(folder) not in line.plain
    )


def _style(cell: Any) -> str:
    words = [word for word in ("bold", "reverse") if getattr(cell, word)]
    names = {"brown": "yellow", "default": ""}
    fore, ground = (
        f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else names.get(name, name)
        for name in (cell.fg, cell.bg)
    )
    return " ".join([*words, fore, *(["on", ground] if ground else [])])


def drawn(picture: Picture, folder: Path, columns: int) -> dict[str, str]:
    """Return a picture as SVG, light and dark, by the names of their files."""
    from rich.console import Console
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI
    from rich.text import Text

    seen = (talked if picture.talk else printed)(picture, folder, columns)
    asked = Text()
    for number, line in enumerate(_folded(picture.command, columns - 2)):
        asked.append(f"{'> ' if number else '$ '}{line}\n", style="bold")
    text = asked + seen + Text("\n")
    width = max(line.cell_len for line in text.split("\n"))
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(text, no_wrap=True, overflow="ignore", crop=False)
    made = {}
    for ending, theme, ground in (
        ("", DEFAULT_TERMINAL_THEME, "#fff"),
        ("-dark", DIMMED_MONOKAI, "#191919"),
    ):
        svg = console.export_svg(
            title="", theme=theme, code_format=FRAME, unique_id="t", clear=False
        )
        svg = re.sub(r' clip-path="[^"]*"', "", svg)
        rule = f".ground {{ fill: {ground}; stroke: #8888; }}\n</style>"
        made[f"{picture.name}{ending}.svg"] = svg.replace("</style>", rule)
    return made


def _folded(command: str, width: int) -> list[str]:
    """Return a command as a person would type it: continued on the next line where it is long."""
    lines = [""]
    for word in command.split(" "):
        if len(lines[-1]) + len(word) + 3 > width:
            lines[-1] += "" if command.count('"', 0, sum(map(len, lines))) % 2 else " \\"
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def run_experiments(folder: Path) -> subprocess.Popen[bytes]:
    """Make the runs; return the one that goes on."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(MACHINE, encoding="utf-8")
    (folder / "bin").mkdir()
    program = folder / "bin" / "sacred"
    program.write_text(
        f"#!{sys.executable}\nfrom sacred.cli import main\nraise SystemExit(main())\n"
    )
    program.chmod(0o755)
    (folder / "digits.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "slowly.py").write_text(PROGRAM, encoding="utf-8")
    for seed, words in enumerate(RUNS, 1):
        command = [sys.executable, "digits.py", *words.split()]
        command += [] if "with" in words else ["with"]
        subprocess.run([*command, f"seed={seed}"], cwd=folder, env=environment(folder), capture_output=True, check=False, timeout=PATIENCE)  # fmt: skip
    dies = subprocess.Popen([sys.executable, "slowly.py", "with", "seed=7"], cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    _until(dies, b"epoch  10")
    dies.send_signal(signal.SIGKILL)
    dies.wait()
    goes_on = subprocess.Popen([sys.executable, "slowly.py", "with", "seed=8", "epochs=400"], cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    _until(goes_on, b"epoch  10")
    return goes_on


def _until(process: subprocess.Popen[bytes], words: bytes) -> None:
    if process.stdout is not None:
        for line in process.stdout:
            if line.startswith(words):
                return


def main() -> None:
    """Make the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="which; all if none")
    parser.add_argument("--columns", type=int, help="how wide, in the place of their own width")
    parser.add_argument("--to", type=Path, default=HERE / "pictures", metavar="DIR")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        goes_on = run_experiments(folder)
        try:
            for picture in PICTURES:
                if not given.names or picture.name in given.names:
                    for name, svg in drawn(
                        picture, folder, given.columns or picture.columns
                    ).items():
                        (given.to / name).write_text(svg, encoding="utf-8")
        finally:
            goes_on.kill()
            goes_on.wait()


if __name__ == "__main__":
    main()
