"""The commands that look closely, on runs that are damaged, foreign, empty, unreadable or killed."""

from __future__ import annotations

import os
import random

import pytest

from sacred.cli import main

COMMANDS = {
    "tail": ["tail", "RUN"],
    "tail -f": ["tail", "-f", "RUN", "--metrics", "--output"],
    "diff": ["diff", "1", "RUN"],
    "plot": ["plot", "RUN"],
    "picture": ["plot", "RUN", "--png", "a.svg", "--force"],
    "artifacts": ["artifacts", "RUN", "--all", "--to", "out", "--force"],
    "source": ["source", "RUN", "--to", "out", "--force"],
    "csv": ["export", "RUN", "--format", "csv", "-o", "csv", "--force"],
    "duckdb": ["export", "RUN", "--duckdb", "a.duckdb", "--force"],
    "html": ["export", "RUN", "--html", "a.html", "--force"],
}


@pytest.fixture
def odd(root):
    """A whole run 1; 2 is empty, 3 foreign, 4 died, 5 an empty file, 6 to 9 are damaged somewhere."""
    root.completed(metrics=(("loss", 300),))
    root.journals.claim()
    foreign = root.journals.claim()
    foreign.journal.mkdir(exist_ok=True)
    (foreign.journal / "w0000-e0001.jzst").write_bytes(b"something else, of another program")
    root.died()
    hollow = root.journals.claim()
    hollow.journal.mkdir(exist_ok=True)
    (hollow.journal / "w0000-e0001.jzst").touch()
    generator = random.Random(7)
    for _ in range(4):
        file = root.file(root.completed(metrics=(("loss", 3000),)))
        content = bytearray(file.read_bytes())
        begin = generator.randrange(len(content))
        content[begin : begin + 40] = generator.randbytes(min(40, len(content) - begin))
        file.write_bytes(content)
    return root


@pytest.mark.parametrize("name", COMMANDS)
def test_a_sentence_and_never_a_traceback(odd, tmp_path, monkeypatch, capfd, name):
    """Each command ends with a code that is documented, and says what is wrong in sentences."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    for number in range(1, 10):
        arguments = [str(number) if word == "RUN" else word for word in COMMANDS[name]]
        code = main(arguments)
        error = capfd.readouterr().err
        assert code in {0, 1, 2}, error
        assert "error in sacred-journal itself" not in error
        assert "Traceback" not in error
        if number in {1, 4}:
            assert 0 == code, error
        if number in {2, 3, 5} and name not in {"csv", "duckdb"}:
            assert 2 == code, (number, error)
            assert error.startswith("sacred: ")
    assert not [each for each in os.listdir(tmp_path) if each.startswith(".a.")]


@pytest.mark.parametrize("name", ["plot", "diff", "html", "tail"])
def test_nothing_there(run_sacred, name):
    """Without a root each says what was looked for and where: 2."""
    arguments = ["1" if word == "RUN" else word for word in COMMANDS[name]]
    done = run_sacred(*arguments)
    assert (2, "") == (done.code, done.out)
    assert "sacred_runs" in done.err
