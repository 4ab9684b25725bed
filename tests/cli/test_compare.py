"""``sacred compare``: runs side by side."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_main import on_a_terminal


@pytest.fixture
def trained(root):
    """Three runs that differ in ``lr``; the third has a metric and an entry more."""
    for lr in (0.1, 0.01, 1.0):
        writer = root.writer()
        config = {"lr": lr, "data": "mnist"} | ({"extra": "x\x1b[2J"} if lr == 1.0 else {})
        root.start(writer, root.last.number, config=config, name="digits")
        for step in range(20):
            writer.log_point("loss", step, 1 / (step + 1) / lr)
            if lr == 1.0:
                writer.log_point("accuracy", step, step / 20)
        root.end(writer)
    return root


def test_a_pipe_has_a_line_for_each_run(trained, run_sacred):
    """What differs of the configuration, and last, best and mean of each metric."""
    done = run_sacred("compare", "3", "1")
    assert (0, "") == (done.code, done.err)
    header, one, other = (line.split("\t") for line in done.out.splitlines())
    assert ["RUN", "NAME", "STATUS", "config.lr", "config.extra"] == header[:5]
    assert "config.data" not in header
    assert ["metrics.loss.last", "metrics.loss.best", "metrics.loss.mean"] == header[5:8]
    first, second = dict(zip(header, one)), dict(zip(header, other))
    assert ("3", "1") == (first["RUN"], second["RUN"])
    assert ("x\\x1b[2J", "") == (first["config.extra"], second["config.extra"])
    assert ("0.05", "0.5") == (first["metrics.loss.best"], second["metrics.loss.best"])
    assert ("0.95", "") == (first["metrics.accuracy.best"], second["metrics.accuracy.best"])


def test_which_is_best(trained, run_sacred):
    """--best says for a metric whether the least or the greatest value is."""
    done = run_sacred("compare", "1", "2", "--json", "--best", "loss=max")
    assert [10.0, 100.0] == [record["metrics.loss.best"] for record in json.loads(done.out)]


def test_chosen_by_a_condition(trained, run_sacred):
    """--filter and -n choose the runs, among those that are named or all."""

    def numbers(*arguments):
        done = run_sacred("compare", "--json", *arguments)
        assert 0 == done.code
        return [record["run"] for record in json.loads(done.out)]

    assert [1, 3] == numbers("--filter", "config.lr >= 0.1")
    assert [2, 3] == numbers("-n", "2")
    assert [3] == numbers("2", "3", "--filter", "config.lr >= 0.1")
    assert [2, 1] == numbers("2", "1", "./sacred_runs/2")
    assert [] == numbers("--filter", "config.lr > 99")


def test_on_a_terminal(trained, tmp_path):
    """Runs are columns, entries by the names that other commands take; the best is green."""
    shown = on_a_terminal(tmp_path, ["compare", "1", "2", "3"], 80)
    lines = shown.rpartition("\r\x1b[K")[2].splitlines()
    assert max(len(line.replace("\x1b[0m", "").replace("\x1b[32m", "")) for line in lines[2:]) <= 80
    plain = [line.replace("\x1b[0m", "").replace("\x1b[32m", "").split() for line in lines]
    assert ["config.lr", "0.1", "0.01", "1"] in plain
    assert ["metrics.loss.min", "0.5", "5", "0.05"] in plain
    assert ["metrics.accuracy.max", "0.95"] in plain
    (best,) = (line for line in lines if line.startswith("metrics.loss.min"))
    assert best.endswith("\x1b[32m0.05\x1b[0m")
    assert 1 == best.count("\x1b[32m")


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_as_wide_as_the_terminal(trained, tmp_path, columns):
    """Runs for which there is no room stand below, with the names again."""
    for _ in range(3):
        trained.completed(config={"lr": 3, "data": "mnist"})
    shown = on_a_terminal(tmp_path, ["compare", "-n", "6"], columns, NO_COLOR="1")
    lines = shown.rpartition("\r\x1b[K")[2].splitlines()
    assert max(map(len, lines)) <= columns
    heads = [line.split() for line in lines if line.startswith("RUN")]
    assert ["1", "2", "3", "4", "5", "6"] == [number for head in heads for number in head[1:]]
    assert (columns == 200) == (len(heads) == 1)


def test_nothing_differs(trained, tmp_path):
    """It is said that the configurations are the same."""
    for _ in range(2):
        trained.completed()
    shown = on_a_terminal(tmp_path, ["compare", "4", "5"], 80, NO_COLOR="1")
    assert "no entry of their configuration differs" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name the runs to compare, or give --filter or -n"),
        (["1"], "one run alone can not be compared: name two or more"),
        (["last", "last"], "one run alone can not be compared: name two or more"),
        (["1", "99"], "there is no run 99 in"),
        (["--filter", ""], "--filter needs a condition"),
        (["--filter", "config.lrr < 1"], "there is no config.lrr; did you mean config.lr?"),
        (["1", "2", "--best", "loss"], "--best is METRIC=min or METRIC=max, not 'loss'"),
        (["1", "2", "--best", "los=min"], "has a metric los; did you mean loss?"),
    ],
)
def test_bad_input(trained, run_sacred, arguments, sentence):
    """One sentence, exit code 2."""
    done = run_sacred("compare", *arguments)
    assert (2, "") == (done.code, done.out)
    assert sentence in done.err
    assert 1 == done.err.count("\n")


def test_runs_that_can_not_be_read(trained, run_sacred):
    """A foreign run is a line, too, and told of."""
    trained.file(trained.completed()).write_bytes(b"something else")
    done = run_sacred("compare", "1", "4")
    assert "FOREIGN" in done.out
    assert "sacred: run 4: its files hold no frame of a journal" in done.err
