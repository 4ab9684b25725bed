"""`sacred plot`: metrics drawn in a terminal and into pictures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest


def test_a_chart(root, run_sacred):
    """Title, axes with numbers and a label; without a terminal no colours, 80 columns at most."""
    root.completed(metrics=(("loss", 30), ("hits", 5)))
    done = run_sacred("plot", 1)
    assert (0, "") == (done.code, done.err)
    lines = done.out.splitlines()
    assert "loss  (run 1)" == lines[0]
    assert "hits  (run 1)" in lines
    assert "\x1b" not in done.out
    assert max(map(len, lines)) <= 80
    assert "1 ┤⢇" == lines[1].strip()
    assert any(line.split() == ["0", "10", "20", "step"] for line in lines)
    assert run_sacred("plot", "last", "loss").out == run_sacred("plot", 1, "-m", "loss").out
    assert done.out.startswith(run_sacred("plot", 1, "loss").out)


def test_several_runs(root, run_sacred):
    """Runs share a panel, told apart by letters where there are no colours; the legend names them."""
    for _ in range(3):
        root.completed()
    done = run_sacred("plot", "1", "2", "last", "loss")
    assert 0 == done.code
    assert "a run 1  b run 2  c run 3" == done.out.splitlines()[-1]
    assert "loss" == done.out.splitlines()[0]


def test_ascii(root, run_sacred):
    """A terminal without UTF-8 gets ASCII."""
    root.completed()
    done = run_sacred("plot", 1, env={"PYTHONIOENCODING": "ascii"})
    assert 0 == done.code
    assert done.out.isascii()
    assert "*" in done.out


def test_what_is_left_out_is_said(root, run_sacred):
    """NaN, and what a logarithm can not show; a run without the metric; nothing at all."""
    writer = root.writer()
    root.start(writer, 1)
    for step, value in enumerate((1.0, float("nan"), -1.0, 10.0)):
        writer.log_point("loss", step, value)
    writer.log_point("bad", 0, float("inf"))
    root.end(writer)
    root.completed(metrics=(("other", 2),))
    done = run_sacred("plot", 1, "loss")
    assert (0, "sacred: run 1, loss: 1 point left out, no finite number\n") == (done.code, done.err)
    done = run_sacred("plot", 1, "loss", "--log")
    assert "run 1, loss: 2 points left out, no finite number above zero" in done.err
    done = run_sacred("plot", 1, 2, "loss")
    assert (0, True) == (done.code, "run 2 has none of these metrics" in done.err)
    done = run_sacred("plot", 1, "bad")
    assert (1, "") == (done.code, done.out)
    assert "there is no point that can be drawn" in done.err


def test_json(root, run_sacred):
    """--json has the points."""
    root.completed(metrics=(("loss", 3),))
    (record,) = json.loads(run_sacred("plot", 1, "loss", "--json").out)
    assert ("run 1", "loss", [0, 1, 2]) == (record["run"], record["metric"], record["x"])
    assert [1, 1 / 2, 1 / 3] == record["y"]


def test_pictures(root, run_sacred, tmp_path):
    """PNG, SVG and PDF by the name; nothing is written over unasked, and another suffix is refused."""
    pytest.importorskip("matplotlib")
    root.completed(metrics=(("loss", 30), ("$x$ \\q", 3)))
    heads = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for kind, head in heads.items():
        done = run_sacred("plot", 1, "--png", f"p.{kind}", "-x", "time")
        assert (0, f"{tmp_path}/p.{kind}\n", "") == (done.code, done.out, done.err)
        assert (tmp_path / f"p.{kind}").read_bytes().startswith(head)
    before = (tmp_path / "p.png").read_bytes()
    done = run_sacred("plot", 1, "loss", "--png", "p.png")
    assert 2 == done.code
    assert "is there already" in done.err
    assert before == (tmp_path / "p.png").read_bytes()
    assert 0 == run_sacred("plot", 1, "loss", "--png", "p.png", "--force").code
    assert before != (tmp_path / "p.png").read_bytes()
    done = run_sacred("plot", 1, "--png", "p.gif")
    assert (2, "sacred: 'p.gif' names no picture: end it in .png, .svg, .pdf\n") == (
        done.code,
        done.err,
    )


def test_numbers_that_can_not_be_drawn(root, run_sacred, tmp_path):
    """The largest numbers make a chart; what matplotlib makes of them is a picture or a sentence."""
    pytest.importorskip("matplotlib")
    writer = root.writer()
    root.start(writer, 1)
    for step, value in enumerate((1.7e308, -1.7e308, 5e-324)):
        writer.log_point("loss", step, value)
    root.end(writer)
    assert 0 == run_sacred("plot", 1).code
    assert 0 == run_sacred("plot", 1, "--log").code
    done = run_sacred("plot", 1, "--png", "a.png")
    assert (0 if (tmp_path / "a.png").exists() else 2) == done.code
    assert "itself" not in done.err
    assert "Warning" not in done.err


def test_without_matplotlib(root, tmp_path):
    """A picture says what to install, and leaves nothing; a chart needs nothing."""
    root.completed()
    code = "import sys; sys.modules['matplotlib'] = None; from sacred.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "plot", "1"]
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [*command, "--png", "a.png"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert 2 == done.returncode
    assert "matplotlib, which is not installed: pip install 'sacred-journal[plot]'" in done.stderr
    assert before == sorted(tmp_path.iterdir())
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert 0 == done.returncode


def test_wrong_use(root, run_sacred):
    """A metric that is none has its nearest; a run that is none is said; so is one without metrics."""
    root.completed()
    root.completed(metrics=())
    done = run_sacred("plot", 1, "lose")
    assert (2, "sacred: there is no metric 'lose': did you mean 'loss'?\n") == (done.code, done.err)
    assert 2 == run_sacred("plot", 9).code
    assert 2 == run_sacred("plot").code
    done = run_sacred("plot", 2)
    assert (2, True) == (done.code, "no metric was logged" in done.err)
    assert 2 == run_sacred("plot", 1, "-x", "when").code


def test_text_of_users_steers_nothing(root, run_sacred):
    """A metric's name with control characters is shown as escapes."""
    root.completed(metrics=(("\x1b[2Jloss", 3),))
    done = run_sacred("plot", 1)
    assert 0 == done.code
    assert "\x1b" not in done.out


def _on_a_terminal(folder, *args, **environment):
    """What a terminal of 60 columns gets."""
    command = [sys.executable, "-c", "import sys; from sacred.cli import main; sys.exit(main())"]
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", **environment}
    environment["PYTHONIOENCODING"] = "utf-8"
    process = subprocess.Popen(
        [*command, *args], stdout=theirs, stderr=theirs, cwd=folder, env=environment
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # everybody has closed it
        pass
    finally:
        os.close(ours)
    assert 0 == process.wait(60)
    return seen.decode().replace("\r\n", "\n")


def test_colours(root, tmp_path):
    """On a terminal curves are braille in colours of their own; NO_COLOR gets letters; both fit."""
    root.completed()
    root.completed(metrics=(("loss", 20),))
    seen = _on_a_terminal(tmp_path, "plot", "1", "2", "loss", NO_COLOR="")
    assert {"36", "33"} <= set(re.findall(r"\x1b\[(\d+)m", seen))
    assert re.search("[\u2801-\u28ff]", seen)
    plain = re.sub(r"\x1b\[[0-9;]*[mK]", "", seen).split("\r")[-1]
    assert max(map(len, plain.split("\n"))) <= 60
    seen = _on_a_terminal(tmp_path, "plot", "1", "2", "loss", NO_COLOR="1")
    assert not re.search(r"\x1b\[\d+m|[\u2801-\u28ff]", seen)
    assert "a run 1  b run 2" in seen
