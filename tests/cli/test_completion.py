"""Tab in real shells, typed on a terminal."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

from sacred.cli import main

SECONDS = 100.0

SCRIPT = """\
#!/usr/bin/env python
from sacred import Experiment, Ingredient
open("ran", "w").close()
data = Ingredient("data")
data.add_config(name="iris")
ex = Experiment("x", ingredients=[data])

@ex.config
def config():
    learning_rate = 0.5
    fast = False

@ex.named_config
def quick():
    fast = True

@ex.command
def evaluate():
    "Evaluate it."

@ex.automain
def train(learning_rate):
    "Train it."
"""


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, argv, folder, environment):
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.chdir(folder)
            os.execvpe(argv[0], argv, environment)

    def type(self, text):
        os.write(self.terminal, text.encode())

    def read(self, until):
        """Return what the shell writes up to a text."""
        seen, end = "", time.monotonic() + SECONDS
        while until not in seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                raise AssertionError(f"{until!r} did not come, but {seen!r}")
            seen += os.read(self.terminal, 1 << 16).decode("utf-8", "replace")
        return seen

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.fixture
def folder(tmp_path):
    """A folder with an experiment, a script that is none, and the commands on the PATH."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name, text in {
        "train.py": SCRIPT,
        "deploy.py": "# no sacred thing\nprint('RAN')\n",
        "start.py": "from train import ex\nex.run_commandline()\n",
        "pack/__main__.py": "from pack.core import ex\nex.run_commandline()\n",
        "pack/core.py": SCRIPT,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, function in (("sacred", "main"), ("sacred-replay", "replay_main")):
        program = programs / name
        program.write_text(
            f"#!{sys.executable}\nfrom sacred.cli import {function}\n"
            f"raise SystemExit({function}())\n"
        )
        program.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    return folder


@pytest.fixture
def shell(folder, tmp_path):
    """Start a shell in which completion was set up, as in its file of settings."""
    started = []

    def start(name):
        if not shutil.which(name):
            pytest.skip(f"there is no {name} here")
        import sacred

        package = os.path.dirname(os.path.dirname(sacred.__file__))
        environment = {
            "PATH": f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": package,
            "HOME": str(tmp_path),
            "TERM": "dumb" if name == "bash" else "xterm",
            "PS1": "READY> ",
            "ZDOTDIR": str(tmp_path),
        }
        files = {
            "bash": "rc", "zsh": ".zshrc", "fish": ".config/fish/config.fish",
        }  # fmt: skip
        setup = {
            "bash": (
                "bind 'set bell-style none'; bind 'set show-all-if-ambiguous on'\n"
                "bind 'set page-completions off'\n"
                'eval "$(sacred completion bash)"\nPS1="READY> "\n'
            ),
            "zsh": (
                "autoload -Uz compinit && compinit -u\nunsetopt beep prompt_cr prompt_sp zle_bracketed_paste\n"
                'eval "$(sacred completion zsh)"\nPS1="READY> "\n'
            ),
            "fish": (
                "function fish_greeting; end\nfunction fish_prompt; echo 'READY> '; end\n"
                "sacred completion fish | source\n"
            ),
        }[name]
        path = tmp_path / files[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(setup)
        argv = {
            "bash": ["bash", "--noprofile", "--rcfile", str(path), "-i"],
            "zsh": ["zsh", "-i"],
            "fish": ["fish", "-i"],
        }[name]
        shell = Shell(argv, folder, environment)
        started.append(shell)
        shell.read("READY> ")
        return shell

    yield start
    for one in started:
        one.close()


#: What is typed, and what stands there when Tab was pressed behind it.
TYPED = [
    ("python train.py ev", "python train.py evaluate"),
    ("python train.py with lea", "python train.py with learning_rate="),
    ("python train.py with learning_rate=", "python train.py with learning_rate=0.5"),
    ("python train.py with fast=T", "python train.py with fast=True"),
    ("python train.py with qu", "python train.py with quick"),
    ("python train.py with data.n", "python train.py with data.name="),
    ("./train.py evaluate with fa", "./train.py evaluate with fast="),
    ("python -m train with lea", "python -m train with learning_rate="),
    ("python train.py --deb", "python train.py --debug"),
    # The experiment is in another file than the one that runs it, which does not name sacred.
    ("python start.py ev", "python start.py evaluate"),
    ("python -m pack with lea", "python -m pack with learning_rate="),
]


@pytest.mark.parametrize("name", ["bash", pytest.param("zsh", marks=pytest.mark.slow)])
def test_tab_completes_an_experiment(name, shell, folder):
    """CLI-01: commands, entries, values, named configurations; and nothing of the script is run."""
    os.mkfifo(folder / "pipe.py")
    typed = shell(name)
    # A script that is none: the shell offers files, as before, and it is not run. A pipe is not
    # read: nobody may write into it.
    others = [
        ("python deploy.py tra", "python deploy.py train.py"),
        ("python pipe.py tra", "python pipe.py train.py"),
    ]
    for keys, expected in [*TYPED, *others]:
        # The line is shown by a command that is put in front of it.
        typed.type(f"{keys}\t\x01echo is \r")
        typed.read(f"\nis {expected}\r")
    assert not (folder / "ran").exists()


@pytest.mark.slow
def test_tab_in_fish(shell, folder):
    """CLI-01: fish is asked what it would offer, which it tells in lines."""
    typed = shell("fish")
    for line, expected in TYPED:
        typed.type(f"complete -C '{line}' | string replace -r '^' 'GOT '; echo DONE-(math 1 + 1)\r")
        last = expected.split()[-1]
        assert f"GOT {last}" in typed.read("DONE-2")
    typed.type(
        "complete -C 'python deploy.py ev' | string replace -r '^' 'GOT '; echo DONE-(math 2 + 2)\r"
    )
    assert "GOT evaluate" not in typed.read("DONE-4")
    assert not (folder / "ran").exists()


#: Runs, metrics, columns: what is typed, and what stands there then.
ABOUT_RUNS = [
    ("sacred show la", "sacred show last"),
    ("sacred diff 1 lea", "sacred diff 1 learner~0"),
    ("sacred plot 1 -m val", "sacred plot 1 -m validation.loss"),
    ("sacred ls -c duration,config.mom", "sacred ls -c duration,config.momentum"),
    ("sacred ls --sort metrics.val", "sacred ls --sort metrics.validation.loss"),
]


@pytest.fixture
def runs(folder):
    """Two runs beside the experiment."""
    from sacred import start_run

    for _ in range(2):
        config = {"momentum": 0.9}
        with start_run("learner", config=config, root=folder / "sacred_runs") as run:
            run.log_scalar("validation.loss", 0.5)


@pytest.mark.parametrize("name", ["bash", pytest.param("zsh", marks=pytest.mark.slow)])
def test_tab_completes_runs_metrics_and_columns(name, shell, runs):
    """Numbers, last and names of runs; metrics; columns, also behind a comma."""
    typed = shell(name)
    for keys, expected in ABOUT_RUNS:
        typed.type(f"{keys}\t\x01echo is \r")
        typed.read(f"\nis {expected}")


@pytest.mark.slow
def test_tab_completes_runs_in_fish(shell, runs):
    """The same in fish, words with a comma too."""
    typed = shell("fish")
    for line, expected in ABOUT_RUNS:
        typed.type(f"complete -C '{line}' | string replace -r '^' 'GOT '; echo DONE-(math 1 + 1)\r")
        assert f"GOT {expected.split()[-1]}" in typed.read("DONE-2")


def test_tab_outside_of_any_root_says_nothing(folder):
    """No root, a damaged run: nothing is offered, nothing is printed below the prompt."""
    asks = {"_SACRED_COMPLETE": "bash_complete", "COMP_WORDS": "sacred show ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from sacred.cli import main; sys.exit(main())"],
        cwd=folder,
        env=os.environ | asks,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (0, "", "") == (done.returncode, done.stdout.strip(), done.stderr)


def test_several_candidates_are_shown(shell):
    """CLI-01: where there is a choice, bash lists it."""
    typed = shell("bash")
    typed.type("python train.py print_\t")
    seen = typed.read("print_named_configs")
    assert "print_config" in seen
    assert "print_dependencies" in seen


def test_the_commands_themselves(shell):
    """The completion of sacred and sacred-replay is click's."""
    typed = shell("bash")
    typed.type("sacred veri\t")
    typed.read("sacred verify ")
    typed.type("\x15sacred-replay --job\t")
    typed.read("sacred-replay --jobs")


def test_what_was_there_before_goes_on(shell):
    """A completion of python, or for all programs, that the user has is asked where we know nothing."""
    typed = shell("bash")
    typed.type(
        "_mine() { COMPREPLY=(of_mine); }; complete -F _mine python; complete -F _mine -D; "
        'eval "$(sacred completion bash)"; echo a-$((1 + 1))\r'
    )
    typed.read("a-2")
    typed.type("python deploy.py \t")
    typed.read("python deploy.py of_mine")
    typed.type("\x15anything \t")
    typed.read("anything of_mine")
    typed.type("\x15python train.py ev\t")
    typed.read("python train.py evaluate")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_functions_are_right_for_their_shell(name, folder, capsys):
    """What is printed can be parsed; it names this Python, and not the present folder."""
    assert 0 == main(["completion", name])
    text = capsys.readouterr().out
    assert sys.executable in text
    assert "_SACRED_COMPLETE" in text
    assert "_SACRED_REPLAY_COMPLETE" in text
    if shutil.which(name):
        subprocess.run([name, "-n"], input=text, text=True, check=True, timeout=100)


def test_a_module_in_the_present_folder_is_not_loaded(shell, folder):
    """A folder in which somebody has a file "ast.py" or "sacred.py" is safe to press Tab in."""
    for name in ("ast", "sacred", "argparse", "typing"):
        (folder / f"{name}.py").write_text("open('loaded', 'w').close()\n")
    typed = shell("bash")
    typed.type("python train.py ev\t")
    typed.read("python train.py evaluate ")
    assert not (folder / "loaded").exists()


def test_a_shell_that_there_is_not(capsys):
    """The three are named."""
    assert 2 == main(["completion", "tcsh"])
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
