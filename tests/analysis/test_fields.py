"""Runs are chosen, sorted, grouped and shown by the names of their entries."""

from __future__ import annotations

import math

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.analysis.annotation import change_tags
from sacred.analysis.fields import RUN_FIELDS, Field, entry, near, split_names
from sacred.analysis.run_table import run_table
from sacred.journal import EventType, JournalWriter
from sacred.replayers.errors import QueryError


def written(root, config, points=(), *, status="COMPLETED", result=None, name="train"):
    """Write a run that ended."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    writer.append(
        EventType.RUN_STARTED,
        run_id=folder.number,
        name=name,
        command="main",
        config=config,
        meta={"comment": f"run {folder.number}"},
        experiment={"name": name},
        host={"hostname": "there", "cpu": "one"},
    )
    for metric, step, value in points:
        writer.log_point(metric, step, value)
    writer.append(EventType.INFO_CHANGED, set=[[["epoch"], folder.number]], deleted=[])
    writer.append(EventType.RUN_ENDED, how="completed", status=status, result=result)
    writer.close()
    return folder


@pytest.fixture
def runs(root):
    """Four runs, one of them without the entries of the others."""
    for number, lr in enumerate((0.1, 0.01, 0.5), 1):
        points = [("loss", step, (step - 2) ** 2 * lr) for step in range(5)]
        points += [("loss", 5, math.nan), ("loss.min", 0, float(number)), ("val acc", 0, lr)]
        config = {"lr": lr, "model": {"kind": "mlp" if lr < 0.5 else "cnn", "a.b": number}}
        written(root, config, points, result={"accuracy": 1 - lr}, status="COMPLETED")
    written(root, {"seed": 7}, status="FAILED", name="other")
    return root.runs()


def test_values_of_each_part(runs):
    """A field's value is what the run has, None where it has nothing; each column has one type."""
    names = ["run", "status", "config.lr", "config.model.kind", "result.accuracy", "info.epoch"]
    names += ["host.cpu", "host", "comment", "seed", "name", "config.model.a.b", "points"]
    table = run_table(runs, names)
    assert tuple(names) == table.columns
    assert (2, "COMPLETED", 0.01, "mlp", 0.99, 2, "one", "there", "run 2", None, "train", 2, 8) == (
        table.rows[1]
    )
    assert (4, "FAILED", None, None, None, 4, "one", "there", "run 4", 7, "other", None, 0) == (
        table.rows[3]
    )
    assert ("BIGINT", "VARCHAR", "DOUBLE") == table.types[:3]
    assert [folder.number for folder in table.folders] == [1, 2, 3, 4]


def test_statistics_of_a_metric(runs):
    """Statistics are over the numbers of a metric; one without a name is the last."""
    names = [f"metrics.loss.{each}" for each in ("max", "mean", "first", "count", "step", "last")]
    first = run_table(runs[:1], [*names, "metrics.loss", "metrics.val acc"]).rows[0]
    assert first[:3] == pytest.approx((0.4, 0.2, 0.4))
    assert (6, 5.0) == first[3:5]
    assert first[7] == 0.1
    assert math.isnan(first[5])
    assert math.isnan(first[6])


def test_a_metric_whose_name_ends_like_a_statistic(runs):
    """Where a metric has the whole name it is meant, and its statistics are behind that."""
    table = run_table(runs[:3], ["metrics.loss.min", "metrics.loss.min.max"])
    assert [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)] == table.rows


AT_A_NUL = pytest.mark.skipif(duckdb.__version__ < "2", reason="DuckDB 1 ends a text at a NUL")


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("config.lr < 0.2", [1, 2]),
        ("config.lr < 0.2 and status = 'COMPLETED' or run = 4", [1, 2, 4]),
        ("config.lr is null", [4]),
        ("config.model.kind like 'c%'", [3]),
        ('metrics."val acc" >= 0.1', [1, 3]),
        ("metrics.loss.max between 0.03 and 0.5", [1, 2]),
        ("result.accuracy > 0.8", [1, 2]),
        ("name in ('other', 'x')", [4]),
        ("true", [1, 2, 3, 4]),
        ("duration >= 0 and start < now()::timestamp", [1, 2, 3, 4]),
        ("config.seed = 7 -- a remark", [4]),
    ],
)
def test_conditions(runs, where, numbers):
    """A condition is SQL over the fields; what a run lacks is null."""
    assert numbers == [row[0] for row in run_table(runs, ["run"], where=where).rows]


@pytest.mark.parametrize("where", ["config.seed < 1", "config.seed like 'x%'", "not config.seed"])
def test_what_all_that_are_left_lack_is_null(runs, where):
    """A condition on an entry that none of the runs has which another one leaves holds for none."""
    assert [] == run_table(runs, ["run"], where=["run < 3", where]).rows


def test_several_conditions_have_to_hold_together(runs):
    """Of a list of conditions each takes its part away."""
    where = ["config.lr < 0.2", "run > 1"]
    assert [(2,)] == run_table(runs, ["run"], where=where).rows


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("config.lrr < 1", "there is no config.lrr; did you mean config.lr?"),
        ("lr < 1", "there is no lr; did you mean config.lr?"),
        ("metrics.los.max < 1", "there is no metrics.los.max; did you mean "),
        ("metrics.loss.minn < 1", "there is no metrics.loss.minn; did you mean metrics.loss.min?"),
        ("statuss = 'x'", "there is no statuss; did you mean status?"),
        ("config.lr <", "is no condition: it ends too early"),
        ("config.lr < 'x'", "can not be judged: Could not convert string 'x' to DOUBLE"),
        ("nothing(config.lr)", "can not be judged"),
        ("config.lr in (select 1)", "is no condition: it has to be an expression"),
        ("run = 1; drop table t", "is no condition"),
        ("config = 1", "config has entries: name one, such as config.lr"),
        ("config.lr + 1", "can not be judged|is no condition"),
        ("1) or (1=1", "is no condition: syntax error"),
        ("run = 1 order by run", "is no condition: syntax error"),
        ("run = 1; select 1", "is no condition: syntax error"),
        (" ", "a condition is empty: write one such as"),
        (["run = 1"], "a condition is a text such as"),
        ("status = COMPLETED", "COMPLETED is a text: it stands in quotes, 'COMPLETED'"),
        ("model.kind = 'x'", "there is no model.kind; did you mean "),
        ("loss.max < 1", "there is no loss.max; did you mean metrics.loss.max?"),
        ("Config.lr < 1", "there is no Config.lr; did you mean config.lr?"),
    ],
)
def test_wrong_conditions(runs, where, sentence):
    """What is wrong with a condition is said, with what is near."""
    if where == "config.lr + 1":  # a number is taken as true or false
        assert 3 == len(run_table(runs, ["run"], where=where).rows)
        return
    with pytest.raises(QueryError, match=sentence.replace("?", r"\?")):
        run_table(runs, ["run"], where=[where])


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("config.layers = [64, 32]", [1]),
        ("config.layers = '[64, 32]'", [1]),
        ("len(config.layers) = 2 and config.layers[2] = 32", [1]),
        ("'b' in config.words", [1]),
        ("'a' in tags", [2]),
        ("len(tags) = 0", [1]),
        ("list_filter([1, 2], lambda x: x > run) = [2]", [1]),
        ("[x for x in config.layers if x > 40] = [64]", [1]),
        ("(result->>'score')::int = 1", [1]),
        ("config.seed = 36893488147419103233", [1]),
        ("config.seed = 36893488147419103232", []),
        ("isnan(config.odd)", [1]),
        ('config."a b" = 1 and config."it\'s" = 2 and config."quo""te" = 3', [1]),
        pytest.param('metrics."nul\0m" = 4', [1], marks=AT_A_NUL),
    ],
)
def test_conditions_on_odd_entries(root, where, numbers):
    """Lists are lists, whole numbers exact, and any name can be asked for."""
    config = {"layers": [64, 32], "words": ["b"], "seed": 2**65 + 1, "odd": math.nan}
    names = {"a b": 1, "it's": 2, 'quo"te': 3}
    points = [("nul\0m", 0, 4.0), ("nul\0m", 1, 4.0)]
    written(root, config | names, points, result={"score": 1})
    change_tags(written(root, {"words": ["bb", "abc"]}), add=["a", "other"])
    change_tags(written(root, {}), add=["abc"])
    assert numbers == [row[0] for row in run_table(root.runs(), ["run"], where=where).rows]


def test_times_of_conditions_are_utc(root, monkeypatch):
    """Whatever the machine's zone is, a run's start is compared as UTC."""
    import time

    written(root, {})
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # 14 hours before UTC
    time.tzset()
    try:
        near = "start > now() - interval 1 hour and start < now() + interval 1 hour"
        where = f"{near} and start::date >= current_date - 1"
        assert [(1,)] == run_table(root.runs(), ["run"], where=where).rows
    finally:
        monkeypatch.undo()
        time.tzset()


def test_entries_of_several_kinds_are_told(root):
    """Where numbers are compared with texts, the sentence says how to take the numbers."""
    written(root, {"x": 1})
    written(root, {"x": "one"})
    with pytest.raises(QueryError, match=r"try_cast\(config.x as double\) takes the numbers"):
        run_table(root.runs(), ["run"], where="config.x + 1 > 1")
    where = "try_cast(config.x as double) = 1"
    assert [(1,)] == run_table(root.runs(), ["run"], where=where).rows


def test_a_condition_can_not_read_files(runs, tmp_path):
    """No function of a condition reaches a file."""
    (tmp_path / "secret").write_text("x")
    with pytest.raises(QueryError, match="can not be judged"):
        run_table(runs, ["run"], where=f"read_text('{tmp_path / 'secret'}') = 'x' or run = 1")


def test_sorting(runs):
    """The first name decides, a minus turns the order round, and what is missing stands last."""
    table = run_table(runs, ["run"], sort=["-config.lr"])
    assert [(3,), (1,), (2,), (4,)] == table.rows
    table = run_table(runs, ["run"], sort=["config.model.kind", "-run"], last=3)
    assert [(2,), (1,), (4,)] == table.rows


def test_groups(runs):
    """A group has a row: how many runs, and of each column what its name says."""
    columns = ["status", "points", "config.lr", "metrics.loss.max", "name"]
    table = run_table(runs, columns, group=["config.model.kind"])
    assert ("config.model.kind", "runs", *columns) == table.columns
    assert [
        ("cnn", 1, "1 COMPLETED", 8, 0.5, 2.0, "train"),
        ("mlp", 2, "2 COMPLETED", 16, 0.055, 0.4, "train"),
        (None, 1, "1 FAILED", 0, None, None, "other"),
    ] == table.rows


def test_damaged_and_foreign_runs_are_rows(runs):
    """A run that can not be read is a row with its problem, and is told."""
    folder = runs[1]
    file = next(folder.journal.glob("*.jzst"))
    file.write_bytes(b"noise" * 100)
    table = run_table(runs, ["run", "status", "config.lr", "problem"])
    assert (2, "FOREIGN", None) == table.rows[1][:3]
    assert table.rows[1][3]
    assert 1 == len(table.problems)
    assert 4 == len(table.rows)


def test_no_runs():
    """Without runs nothing is known, and nothing is wrong."""
    assert [] == run_table([], ["config.lr"], where="config.lr < 1").rows


def test_what_is_left_out_is_not_read(runs, monkeypatch):
    """Points are read of the runs alone that a condition on other entries leaves."""
    read = []
    from sacred.analysis import run_facts

    statistics = run_facts.metric_statistics
    monkeypatch.setattr(
        run_facts,
        "metric_statistics",
        lambda folders, names, *, at: read.append(folders) or statistics(folders, names, at=at),
    )
    run_table(runs, ["metrics.loss.max"], where="config.lr = 0.5")
    ((folder,),) = read
    assert folder.number == 3


def test_no_duckdb_for_what_the_ends_of_a_run_tell(runs, monkeypatch):
    """A listing without condition and metrics imports no database."""
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    assert 4 == len(run_table(runs, ["run", "status", "config.lr"], sort=["run"]).rows)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("run,config.lr", ["run", "config.lr"]),
        (" run , ,status", ["run", "status"]),
        ('metrics."a,b".min,run', ["metrics.a,b.min", "run"]),
        ("", []),
    ],
)
def test_lists_of_names(text, names):
    """Names stand between commas; quotes keep a comma in a name."""
    assert names == split_names(text)


def test_a_missing_quote():
    """A quotation mark that nothing closes is told."""
    with pytest.raises(QueryError, match="a quotation mark is missing"):
        split_names('metrics."a,run')


@given(
    st.recursive(
        st.integers(),
        lambda inner: st.dictionaries(st.text("ab.", min_size=1, max_size=4), inner, max_size=4),
    )
)
def test_every_leaf_has_its_path(tree):
    """What ``names_in`` names, ``entry`` finds, keys with dots included, unless two paths are the same."""
    from collections import Counter

    from sacred.analysis.fields import names_in

    names = Counter(names_in("config", tree))
    for name, times in names.items():
        found, _ = entry(tree, name.removeprefix("config."))
        assert found or times > 1, name


def test_every_field_of_a_run_has_a_value(runs):
    """Each name of ``RUN_FIELDS`` can be asked for."""
    table = run_table(runs, list(RUN_FIELDS))
    assert 4 == len(table.rows)
    assert {field: Field.of(field).part for field in RUN_FIELDS} == dict.fromkeys(RUN_FIELDS, "run")


def test_near_names():
    """The nearest name comes first, and those that are much less like are left out."""
    assert ["config.lr"] == near("config.lrr", ["config.lr", "config.seed", "run"])
    assert ["config.optimizer.lr"] == near("lr", ["config.optimizer.lr", "run"])
    assert [] == near("xyzzy", ["config.lr"])
