"""``sacred ls`` with columns that are named, chosen, sorted and grouped runs."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_main import on_a_terminal


@pytest.fixture
def trained(root):
    """Four runs: the lower ``lr``, the higher the loss; one failed."""
    for lr, optimizer in ((0.1, "sgd"), (0.01, "adam"), (1.0, "adam"), (0.5, "sgd")):
        writer = root.writer()
        config = {"lr": lr, "optimizer": {"name": optimizer}, "status": "new"}
        root.start(writer, root.last.number, config=config, name="digits")
        for step in range(20):
            writer.log_point("val/loss", step, 1 / (step + 1) / lr)
        how = {"how": "failed", "status": "FAILED"} if lr == 0.5 else {"result": lr * 2}
        root.end(writer, **how)
    return root


def lines_of(done):
    """Return the cells of a listing in a pipe."""
    assert (0, "") == (done.code, done.err)
    return [line.split("\t") for line in done.out.splitlines()]


def test_columns_by_name(trained, run_sacred):
    """-c shows these columns, and the run in front; values have all their digits in a pipe."""
    done = run_sacred("ls", "-c", "config.lr,metrics.val/loss.min,duration")
    assert [
        ["RUN", "config.lr", "metrics.val/loss.min", "TIME"],
        ["1", "0.1", "0.5", "1m30s"],
        ["2", "0.01", "5.0", "1m30s"],
    ] == lines_of(done)[:3]
    assert ["config.lr", "RUN"] == lines_of(run_sacred("ls", "-c", "config.lr,run"))[0]


def test_columns_besides_the_usual(trained, run_sacred):
    """-c +NAME adds to the usual columns."""
    header, first, *_ = lines_of(run_sacred("ls", "-c", "+config.optimizer.name"))
    assert ["RUN", "STATUS", "STARTED"] == header[:3]
    assert ("config.optimizer.name", "sgd") == (header[-1], first[-1])


def test_filter_sort_and_the_first(trained, run_sacred):
    """--filter chooses as SQL does, --sort sorts, the greatest first with -, and -n takes the first."""
    done = run_sacred("ls", "-c", "run", "--filter", "config.lr < 0.6 and status = 'COMPLETED'")
    assert [["RUN"], ["1"], ["2"]] == lines_of(done)
    done = run_sacred("ls", "-c", "run", "--sort", "-metrics.val/loss.min", "-n", "2")
    assert [["RUN"], ["2"], ["1"]] == lines_of(done)
    done = run_sacred("ls", "-c", "run", "--sort", "metrics.val/loss.min", "-n", "1")
    assert [["RUN"], ["3"]] == lines_of(done)
    done = run_sacred("ls", "-c", "run", "-n", "1", "--filter", '"metrics"."val/loss".min > 0.4')
    assert [["RUN"], ["2"]] == lines_of(done)


def test_groups(trained, run_sacred):
    """--group has a line for each value: how many runs, and what they come to."""
    done = run_sacred(
        "ls", "--group", "config.optimizer.name", "-c", "status,config.lr,metrics.val/loss.min"
    )
    assert [
        ["config.optimizer.name", "RUNS", "STATUS", "config.lr mean", "metrics.val/loss.min"],
        ["adam", "2", "2 COMPLETED", "0.505", "0.05"],
        ["sgd", "2", "1 COMPLETED, 1 FAILED", "0.3", "0.1"],
    ] == lines_of(done)
    done = run_sacred(
        "ls", "--group", "config.optimizer.name", "-c", "points", "--sort", "-config.optimizer.name"
    )
    assert [["sgd", "2", "40"], ["adam", "2", "40"]] == lines_of(done)[1:]


def test_json(trained, run_sacred):
    """--json has the fields by the names that they were asked for by; times are UTC."""
    done = run_sacred("ls", "-c", "config.lr,start,tags", "--json", "-n", "1")
    assert [
        {"run": 4, "config.lr": 0.5, "start": "2023-11-14T22:13:20Z", "tags": []}
    ] == json.loads(done.out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-c", "config.lrr"], "there is no config.lrr; did you mean config.lr?"),
        (["-c", "lr"], "there is no lr; did you mean config.lr?"),
        (["--sort", "-metrics.val/los.min"], "did you mean metrics.val/loss"),
        (["--group", "config.optimiser.name"], "did you mean config.optimizer.name?"),
        (["--group", "status", "--sort", "statsu"], "did you mean status?"),
        (["--filter", "config.lr <"], "'config.lr <' is no condition: it ends too early"),
        (
            ["--filter", "statu = 'FAILED'"],
            "there is no statu; did you mean one of config.status, status?",
        ),
        (["-c", ""], "-c needs the name of a column"),
        (["-c", "+"], "-c needs the name of a column"),
        (["--sort", ","], "--sort needs the name of a column"),
        (["--group", " "], "--group needs the name of a column"),
        (["--filter", ""], "--filter needs a condition"),
        (["-c", '"a'], "a quotation mark is missing"),
    ],
)
def test_bad_names(trained, run_sacred, arguments, sentence):
    """One sentence with what is near, exit code 2, and nothing on stdout."""
    done = run_sacred("ls", *arguments)
    assert (2, "") == (done.code, done.out)
    assert sentence in done.err
    assert 1 == done.err.count("\n")


def test_runs_that_can_not_be_read(trained, run_sacred):
    """Foreign and damaged runs are in the table, with what they have, and are told of."""
    trained.file(trained.completed()).write_bytes(b"something else")
    done = run_sacred("ls", "-c", "status,config.lr")
    assert ["5", "FOREIGN", ""] == done.out.splitlines()[-1].split("\t")
    assert "sacred: run 5: its files hold no frame of a journal" in done.err
    assert "sacred verify --all says what to do" in done.err


def test_no_such_run(trained, run_sacred):
    """A condition that no run satisfies: a sentence, and exit code 0."""
    done = run_sacred("ls", "--filter", "config.lr > 99")
    assert (0, "", "sacred: there is no such run\n") == (done.code, done.out, done.err)
    assert [] == json.loads(run_sacred("ls", "--filter", "config.lr > 99", "--json").out)


def test_control_characters(root, run_sacred):
    """What users wrote can not steer the terminal, in values and in names."""
    writer = root.writer()
    root.start(writer, 1, config={"a\x1b[2J": "b\tc\x1b[31m"})
    root.end(writer)
    done = run_sacred("ls", "-c", "config.a\x1b[2J")
    assert [["RUN", "config.a\\x1b[2J"], ["1", "b\\tc\\x1b[31m"]] == lines_of(done)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal(trained, tmp_path, columns):
    """Every line fits; where not all columns do, runs stand one below the other."""
    names = "status,config.lr,config.optimizer.name,metrics.val/loss.min,metrics.val/loss.last"
    shown = on_a_terminal(tmp_path, ["ls", "-c", names], columns, NO_COLOR="1")
    lines = shown.rpartition("\r\x1b[K")[2].splitlines()
    assert max(map(len, lines)) <= columns
    assert (columns == 40) == (lines[0].split() == ["RUN", "1"])
    assert shown.count("COMPLETED") == 3
    # Without config. and metrics., as long as that is another name.
    assert ("optimizer.name" in shown, "config.optimizer" in shown) == (True, False)
    shown = on_a_terminal(tmp_path, ["ls", "-c", "config.status,config.lr"], 80, NO_COLOR="1")
    assert ["RUN", "config.status", "lr"] == shown.rpartition("\r\x1b[K")[2].split()[:3]
