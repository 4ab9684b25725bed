"""What a statement may read: less than everything, and never less than its answer needs."""

from __future__ import annotations

import contextlib

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.analysis import queries
from sacred.analysis.loader import Loader
from sacred.analysis.statement import Statement
from sacred.journal import EventType, JournalRoot, JournalWriter
from sacred.replayers import points
from sacred.replayers.relations import RELATIONS

_STATUSES = ["COMPLETED", "FAILED", "INTERRUPTED"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Seven runs: sealed and not, with one metric or many, one that goes on."""
    found = JournalRoot(tmp_path_factory.mktemp("asked") / "runs")
    for number in range(1, 8):
        writer = JournalWriter.create(found.claim().journal)
        config = {"lr": 0.1 / number, "model": {"layers": number % 3}, "name": f"n{number % 2}"}
        about = {"run_id": number, "name": f"exp{number % 3}", "command": "main", "config": config}
        experiment = {"name": "x", "base_dir": "/x"}
        host = {"hostname": f"host{number % 2}"}
        writer.append(EventType.RUN_STARTED, **about, meta={}, experiment=experiment, host=host)
        for step in range(30 * number):
            writer.log_point("loss", step, 1.0 / (step + number))
            if number > 2:
                writer.log_point(f"m{step % 5}", step, float(step) if step % 7 else float("nan"))
        writer.append_output(1, f"run {number}\nlast line of {number}\n".encode())
        if number < 7:
            status = _STATUSES[number % 3]
            writer.append(EventType.RUN_ENDED, how="completed", status=status, result=number)
        writer.close()
    return found


@pytest.fixture(scope="module")
def whole(root):
    """All that the relations hold, read without any statement."""
    connection = duckdb.connect(":memory:")
    loader = Loader(connection)
    loader.load(root.runs())
    assert not loader.problems
    with contextlib.closing(connection):
        yield connection


def rows(found):
    """Return rows in some order; as text, because NaN equals nothing."""
    return sorted(map(repr, found))


def same(root, whole, sql):
    """Ask both ways."""
    try:
        expected = whole.execute(sql).fetchall()
    except duckdb.Error:
        with pytest.raises(queries.QueryError):
            queries.query(sql, root)
        return
    assert rows(queries.query(sql, root).rows) == rows(expected), sql


_CONDITIONS = {
    "metrics": [
        *("{}run = 3", "{}run in (2, 5, 99)", "{}run between 2 and 4", "not ({}run = 1)"),
        *("{}metric = 'loss'", "{}metric like 'm%'", "{}metric in ('m1', 'm2', 'none')"),
        *("{}value > 0.1", "{}step < 3", "{}run + {}step < 9", "{}metric = 'loss' or {}run = 3"),
        *("{}time > timestamp '2020-01-01'", "isnan({}value)", "{}value is null", "{}seq % 3 = 0"),
    ],
    "runs": [
        *("{}status = 'COMPLETED'", "{}name = 'exp1'", "{}run > 2", "{}result_value >= 4"),
        *("{}run % 2 = 1", "{}name like 'exp%' and {}run <> 5", "{}stop is null", "{}id = '3'"),
    ],
    "config": [
        *("{}key = 'lr'", "{}number < 0.03", "{}value = 'n1'", "{}key = 'lr' and {}number < 0.04"),
        *("{}run < 5", "{}truth is null"),
    ],
    "output": ["{}text like '%last%'", "{}run = 4", "{}stream = 'stdout'"],
}
_KEY = {"metrics": "metric", "runs": "status", "config": "key", "output": "text"}
_relations = st.sampled_from(sorted(_CONDITIONS))


@st.composite
def selects(draw, depth=0):
    """Draw a select over one to three relations."""
    names = draw(st.lists(_relations, min_size=1, max_size=2 if depth else 3))
    aliases = [f"t{depth}{number}" for number in range(len(names))]
    source, joined = f"{names[0]} {aliases[0]}", []
    for alias, name in zip(aliases[1:], names[1:], strict=True):
        how = draw(st.sampled_from(["using", "on", "where", "left", "semi", "anti", "full"]))
        before = draw(st.sampled_from(aliases[: aliases.index(alias)]))
        if how == "using":
            source += f" join {name} {alias} using (run)"
        elif how == "where":
            source += f" cross join {name} {alias}"
            joined.append(f"{alias}.run = {before}.run")
        else:
            kind = {"on": "", "full": "full outer"}.get(how, how)
            more = draw(st.sampled_from(["", f" and {alias}.run < 5"]))
            source += f" {kind} join {name} {alias} on {alias}.run = {aliases[0]}.run{more}"
            if how in {"semi", "anti"}:
                names, aliases = [*names], [*aliases]
    visible = [
        (alias, name)
        for alias, name in zip(aliases, names, strict=True)
        if f"semi join {name} {alias} " not in source and f"anti join {name} {alias} " not in source
    ]
    conditions = [*joined]
    for alias, name in visible:
        for text in draw(st.lists(st.sampled_from(_CONDITIONS[name]), max_size=2)):
            qualifier = f"{alias}." if len(names) > 1 or draw(st.booleans()) else ""
            conditions.append(f"({text.format(qualifier, qualifier)})")
    if not depth and draw(st.booleans()):
        inner = draw(selects(depth=1))
        conditions.append(f"{visible[0][0]}.run in (select run from ({inner}))")
    glue = draw(st.sampled_from([" and ", " and ", " or "])) if not joined else " and "
    where = f" where {glue.join(conditions)}" if conditions else ""
    alias, name = draw(st.sampled_from(visible))
    chosen = draw(
        st.sampled_from(
            [
                f"{alias}.run as run, count(*) as n",
                f"{alias}.run as run, {alias}.{_KEY[name]} as k, count(*) as n",
                f"{alias}.run as run, count(distinct {alias}.{_KEY[name]}) as n",
            ]
        )
    )
    return f"select {chosen} from {source}{where} group by all"


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(sql=selects())
def test_any_statement(root, whole, sql):
    """The answer is that of everything, whatever is left out."""
    same(root, whole, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "from metrics",
        "from metrics where metric = 'loss' and run = 2",
        "select m from metrics m where run = 2",
        "select metrics from metrics where run = 2",
        "select m.* exclude (run) from metrics m where m.run = 2",
        "select columns('v.*') from metrics where run = 2",
        "select a, i from metrics as m(a, b, c, d, e, f, g, h, i) where a = 3",
        "with metrics as (select 5 as run) select * from metrics where run = 5",
        "with runs as (select 3 as run, 'x' as name) select count(*) from metrics join runs using (run) where runs.name = 'x'",
        "with best as (select run, min(value) as low from metrics where metric = 'loss' group by run) select * from best join runs using (run) where status = 'COMPLETED'",
        "select run from runs r where exists (select 1 from metrics m where m.run = r.run and m.metric = 'm1')",
        "select count(*) from metrics m, lateral (select * from runs where runs.run = m.run and m.run > 3)",
        "select run, (select count(*) from metrics where metrics.run = runs.run) as n from runs where run < 4",
        "select value * 100 as run from metrics where run > 6 and metric = 'loss'",
        "select run, lag(value) over (partition by run order by step) from metrics where metric = 'm1'",
        "select run, value from metrics where metric = 'loss' qualify row_number() over (partition by run order by step) = 1",
        "select count(*) from metrics m asof join (from metrics where metric = 'm2') n on m.run = n.run and m.step >= n.step",
        "select count(*) from metrics natural join runs",
        "select run from metrics where run = 2 union all select run from metrics where run = 3",
        "select count(*) from metrics where run = 2 or metric = 'm1'",
        "pivot metrics on metric using avg(value) group by run",
        "from (pivot (from metrics where run = 4) on metric using count(*) group by run)",
        "unpivot (select run, points from runs) on points",
        "describe metrics",
        "summarize select run, step from metrics where run = 2",
        "select count(*) from query_table('metrics')",
        "from query('select count(*) from metrics where run = 3')",
        "select run, step from main.metrics where metrics.run = 2",
        "select RUN, Metric, COUNT(*) from Metrics M where m.Run = 2 group by all order by all",
        "select count(*) from metrics where run = 'nonsense'",
        "select count(*) from metrics where metric = 5",
        "select count(*) from metrics where run = 2 and run = 3",
        "select count(*) from events where run = 2 and type = 'run_ended'",
        "select run, name from sources where run = 2",
        "select count(*) from metrics m positional join runs r",
        "select 1",
        "select count(*) from metrics limit 1",
        "select distinct on (run) run, metric from metrics where metric = 'loss' order by run",
        "select list_transform([run], lambda x: x + 1) from runs where run = 3",
    ],
)
def test_a_statement(root, whole, sql):
    """Forms that could be taken for what they are not."""
    same(root, whole, sql)


@pytest.mark.parametrize(
    ("sql", "runs", "metrics"),
    [
        ("select value from metrics where run = 3", {3}, None),
        (
            "select value from metrics where run in (2, 3) and run > 2 and metric = 'loss'",
            {3},
            {"loss"},
        ),
        (
            "select value from metrics m join runs r using (run) where r.name = 'exp1'",
            {1, 4, 7},
            None,
        ),
        (
            "select value from metrics m, runs r where m.run = r.run and status = 'COMPLETED'",
            {3, 6},
            None,
        ),
        (
            "select m.value from metrics m join config using (run) where key = 'lr' and number < 0.02 and metric like 'm%'",
            {6, 7},
            {"m0", "m1", "m2", "m3", "m4"},
        ),
        (
            "select value from metrics m left join runs r using (run) where r.name = 'exp1'",
            None,
            None,
        ),
        ("select value from metrics where random() < run", None, None),
        ("select value from metrics tablesample 10% where run = 3", None, None),
    ],
)
def test_what_is_read(root, monkeypatch, sql, runs, metrics):
    """Runs and metrics that a statement leaves out are not read."""
    pytest.importorskip("numpy")
    read = set()
    really = points._Arrays.add

    def add(arrays, run, event):
        table = event.fields.get("table")
        read.update((run, name) for name in (table.metrics if table else [event.fields["metric"]]))
        really(arrays, run, event)

    monkeypatch.setattr(points._Arrays, "add", add)
    queries.query(sql, root)
    assert {run for run, _ in read} == (set(range(1, 8)) if runs is None else runs)
    if metrics:
        # A table of several metrics is read for each of them.
        assert {name for _, name in read} >= metrics


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("select run, avg(value) from metrics group by all order by all", {"run", "value"}),
        ("select count(*) from metrics", set()),
        (
            "select m.run, c.key from metrics m join config c using (run) order by m.step",
            {"run", "step"},
        ),
        ("select m from metrics m", {column.name for column in RELATIONS["metrics"].columns}),
    ],
)
def test_columns(sql, columns):
    """The columns that a statement names are known."""
    with contextlib.closing(duckdb.connect(":memory:")) as connection:
        assert Statement(connection, sql).columns("metrics") == columns


def test_a_deep_statement(root):
    """A statement too deep to be looked through is answered all the same."""
    condition = " and ".join(f"run <> {number}" for number in range(8, 500))
    deep = "(" * 100 + "run" + ")" * 100
    found = queries.query(f"select count(*) from runs where {condition} and {deep} > 3", root)
    assert found.rows == [(4,)]
