"""A tour in half a minute: train, kill a training, look, replay, ask.

Everything it makes lies in one folder (default ``demo_runs`` in the current folder), which is made anew
each time::

    $ python examples/demo.py
    $ python examples/demo.py some/folder
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from sacred.journal import JournalReader, JournalRoot

HERE = Path(__file__).resolve().parent
WAIT = 60.0  # seconds; each step takes far less
MARK = ".sacred-journal-demo"


def say(text):
    print(f"\n{text}\n", flush=True)


def show(command):
    """Print a command as one would type it."""
    print("  $ " + " ".join(map(quoted, command)), flush=True)


def quoted(word):
    """Quote a word as one would by hand: in double quotes, if that is all it takes."""
    if shlex.quote(word) == word:
        return word
    return shlex.quote(word) if any(mark in word for mark in '"$`\\!') else f'"{word}"'


def program(name):
    """Return the console script beside this Python."""
    return str(Path(sys.executable).parent / name)


def run(command, *, typed=None):
    show(typed or command)
    if sys.stdout.isatty():  # let it see the terminal, for a table as one sees it oneself
        result = subprocess.run(command, timeout=WAIT)
        if result.returncode:
            sys.exit(f"the command above ended with exit status {result.returncode}")
        return
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT
    )
    for line in result.stdout.splitlines():
        print(f"  {line}")
    sys.stdout.flush()
    if result.returncode:
        sys.exit(f"the command above ended with exit status {result.returncode}")


def points(root, number):
    """Count the metric points that a run's journal holds."""
    try:
        reader = JournalReader(root.run(number).journal)
    except Exception:
        return 0  # it has not begun yet
    return sum(event.count for event in reader.read() if event.name.startswith("metric_"))


def train_and_kill(root, command, typed, wanted):
    show(typed)
    before = set(root.numbers())
    training = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + WAIT
    number = None
    while time.monotonic() < deadline and training.poll() is None:
        new = set(root.numbers()) - before
        if new:
            number = max(new)
            if points(root, number) >= wanted:
                break
        time.sleep(0.02)
    if number is None or training.poll() is not None:
        training.kill()
        sys.exit("the second training ended before it could be killed")
    os.kill(training.pid, signal.SIGKILL)
    training.wait()
    print(f"  (killed with SIGKILL after {points(root, number)} metric points)")
    return number


def clear(folder):
    """Remove what an earlier demo left; never anything else."""
    if folder.exists():
        if not (folder / MARK).exists():
            sys.exit(f"{folder} exists and was not made by this demo: name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo_runs").resolve()
    before = os.getcwd()
    clear(folder)
    os.chdir(folder)
    on_path = shutil.which("sacred") == program("sacred")
    sacred = "sacred" if on_path else os.path.relpath(program("sacred"), folder)
    root = JournalRoot(folder / "sacred_runs")
    python = [sys.executable, "-W", "ignore"]
    digits = str(HERE / "digits.py")

    say("1. Train a small network on handwritten digits. It is an ordinary Sacred experiment.")
    run([*python, digits, "with", "epochs=8"], typed=["python", "digits.py", "with", "epochs=8"])

    say(
        "2. Train another one, and kill it in the middle: no chance to save anything, to close a\n"
        "   file, or to tell a database."
    )
    updates = ["with", "wide", "epochs=500", "pause=0.05"]
    killed = train_and_kill(
        root, [*python, digits, *updates], ["python", "digits.py", *updates], wanted=42
    )

    say("3. What is there? One completed, one died, and the points of both.")
    run([program("sacred"), "ls"], typed=["sacred", "ls"])

    say("4. Bring both into a folder that Sacred's file tools read (with a server: --to mongo).")
    replay = ["--to", "file:my_runs"]
    run([program("sacred-replay"), *replay], typed=["sacred-replay", *replay])
    show(["ls", f"my_runs/{killed}"])
    names = sorted(path.name for path in (folder / "my_runs" / str(killed)).iterdir())
    print("  " + "  ".join(name for name in names if not name.startswith(".")))

    say("5. Ask: how far did each get, and how good was it after the same number of epochs?")
    query = (
        "select run, max(step)::int + 1 as epochs,\n"
        "      round(max(value), 3) as best, round(max(value) filter (step < 8), 3) as best_of_8\n"
        "      from metrics where metric = 'test.accuracy' group by run order by run"
    )
    run([program("sacred"), "query", query], typed=["sacred", "query", query])

    say(
        "What you saw: every metric point, every printed line and the configuration of a training that was\n"
        "killed without warning are there, and so they are for one whose disk filled up or whose database was\n"
        "away. The journals are the truth; the file tree, MongoDB and SQL are views made from them.\n\n"
        f"Try next, in the folder {os.path.relpath(folder, before)}:\n"
        f"  {sacred} show {killed}          the run that was killed, with the end of what it printed\n"
        f"  {sacred} verify {killed}        is every byte of its journal whole?\n"
        f"  {sacred} events {killed}        every event as JSON, one a line\n"
        f'  {sacred} query "select * from config"'
    )


if __name__ == "__main__":
    main()
