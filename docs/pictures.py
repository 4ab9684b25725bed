"""The pictures of what a person sees: `python docs/pictures.py` makes those of `docs/pictures/` anew.

Real runs are made in a folder of their own (an experiment with several configurations, one that
fails, one that is killed, one that is still running), the commands are typed on a terminal of a
given width, and what they print becomes an SVG that follows the light or dark of whoever looks::

    python docs/pictures.py                       all of them
    python docs/pictures.py --columns 80 ls show  some, in another width, to look at
    python docs/pictures.py --to /tmp/pictures    elsewhere
"""

from __future__ import annotations

import argparse
import fcntl
import io
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
from typing import NamedTuple

HERE = Path(__file__).parent
#: Seconds a command may take.
PATIENCE = 60.0

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
RUNS = [
    "",
    "with lr=0.03",
    "with lr=0.3",
    "with optimizer.kind=adam",
    "with optimizer.kind=adam lr=0.03",
    "with lr=1.5",
]


class Picture(NamedTuple):
    """One picture: its file, the commands in it, and how wide its terminal is."""

    name: str
    commands: tuple[str, ...]
    columns: int = 100


PICTURES = [
    Picture("ls", ("sacred ls",)),
    Picture("show", ("sacred show 2",)),
    Picture(
        "query",
        (
            'sacred query "select run, metric, count(*) as points, min(value), last(value) from metrics group by all order by all"',
        ),
    ),
]

#: rich's own frame, without the fonts that it would load from elsewhere.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", "Cascadia Mono", Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect class="{unique_id}-ground" x="1" y="1" width="{terminal_width}" height="{terminal_height}" rx="8" transform="scale(1 0.995)"/>
<g transform="translate({terminal_x}, 6)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def typed(command: str, folder: Path, columns: int) -> str:
    """Return what a command prints on a terminal, with its colours."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {"TERM": "xterm-256color", "PATH": programs, "TZ": "UTC"}
    process = subprocess.Popen(  # noqa: S602 - the commands of this file
        command,
        shell=True,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    text, end = b"", time.monotonic() + PATIENCE
    while time.monotonic() < end and select.select([ours], [], [], PATIENCE)[0]:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # everybody has closed it
            break
        text += part
    process.kill()
    process.wait()
    os.close(ours)
    # What a line was written over with is what is seen.
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    seen = "\n".join(re.split(r"\r|\x1b\[K", line)[-1] for line in lines)
    return seen.replace(str(folder), "/home/you/digits")


def drawn(picture: Picture, folder: Path, columns: int) -> str:
    """Return a picture as SVG."""
    from rich.console import Console
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI
    from rich.text import Text

    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    for command in picture.commands:
        console.print(Text(f"$ {command}", style="bold"), soft_wrap=False)
        console.print(Text.from_ansi(typed(command, folder, columns)))
    name = f"sj-{picture.name}"
    light, dark = (
        console.export_svg(title="", theme=theme, code_format=FRAME, unique_id=name, clear=False)
        for theme in (DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI)
    )
    styles = [re.search(r"\n(\.\S+-r1 .*?)</style>", svg, re.DOTALL) for svg in (light, dark)]
    body = [svg.partition("</style>")[2] for svg in (light, dark)]
    if None in styles or body[0] != body[1]:
        raise SystemExit(f"{picture.name}: light and dark differ in more than their colours")
    rules = [found[1] for found in styles if found]
    ground = [f".{name}-ground {{ fill: {fill}; stroke: #8888; }}" for fill in ("#fff", "#191919")]
    dim = f"{rules[0]}{ground[0]}\n@media (prefers-color-scheme: dark) {{\n{rules[1]}{ground[1]}\n}}\n"
    return light.replace(rules[0], dim)


def run_experiments(folder: Path) -> subprocess.Popen[bytes]:
    """Make the runs; return the one that goes on."""
    (folder / "digits.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "slowly.py").write_text(PROGRAM, encoding="utf-8")
    for seed, words in enumerate(RUNS, 1):
        command = [sys.executable, "digits.py", *words.split()]
        command += [] if "with" in words else ["with"]
        subprocess.run([*command, f"seed={seed}"], cwd=folder, capture_output=True, check=False, timeout=PATIENCE)  # fmt: skip
    dies = subprocess.Popen([sys.executable, "slowly.py", "with", "seed=7"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    _until(dies, b"epoch  10")
    dies.send_signal(signal.SIGKILL)
    dies.wait()
    goes_on = subprocess.Popen([sys.executable, "slowly.py", "with", "seed=8", "epochs=400"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
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
                    svg = drawn(picture, folder, given.columns or picture.columns)
                    (given.to / f"{picture.name}.svg").write_text(svg, encoding="utf-8")
        finally:
            goes_on.kill()
            goes_on.wait()


if __name__ == "__main__":
    main()
