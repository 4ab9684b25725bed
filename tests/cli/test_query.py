"""``sacred query``: SQL over the journals, read-only."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.analysis.queries import StatementError, query
from sacred.journal import BlobStore, EventType
from sacred.journal.errors import NoRootError
from sacred.journal.spool import encode_record
from sacred.replayers.errors import QueryError


def test_runs(root, run_sacred):
    """One row a run; a dead one is DIED, a foreign one is there, what is wrong is said."""
    root.completed(result=2)
    root.died()
    root.file(root.completed()).write_bytes(b"something else")
    done = run_sacred("query", "select run, status, points, result_value from runs", "--json")
    rows = [tuple(row.values()) for row in json.loads(done.out)]
    assert [(1, "COMPLETED", 30, 2.0), (2, "DIED", 50, None), (3, "FOREIGN", 0, None)] == rows
    problem = "run 3: its files hold no frame of a journal; sacred verify 3 says what to do"
    assert (0, f"sacred: {problem}\n") == (done.code, done.err)


def test_compare(root, run_sacred):
    """A pipe gets a header and tab-separated values."""
    root.completed(metrics=(("loss", 40), ("acc", 2)))
    root.died()
    sql = "select run, metric, count(*) n, min(value) least from metrics group by all order by all"
    done = run_sacred("query", sql)
    assert [
        "run\tmetric\tn\tleast",
        "1\tacc\t2\t0.5",
        "1\tloss\t40\t0.025",
        "2\tloss\t50\t0.02",
    ] == (done.out.splitlines())


def test_memory(root, run_sacred, tmp_path, monkeypatch):
    """What is more than a question may take is put aside, and is gone when it is answered."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root.completed(metrics=(("loss", 300_000),))
    sql = (
        "select count(*) as n, sum(step) from (select distinct value, step, time, seq from metrics)"
    )
    found = query(sql, root.journals, memory="100MiB")
    assert [(300_000, 300_000 * 299_999 / 2)] == found.rows
    found.close()
    assert not list(tmp_path.glob("sacred-query-*"))
    large = "select len(list(repeat(metric, 500))) from metrics"  # which can not be put aside
    done = run_sacred("query", large, "--memory", "32MiB")
    said = "sacred: the answer needs more memory than it may take: --memory gives it more\n"
    assert (2, said) == (done.code, done.err)
    assert run_sacred("query", sql, "--memory", "1 GB").out.splitlines()[1].startswith("300000\t")


@pytest.mark.parametrize("memory", ["much", "5 XB", "-1", "", "1MB", "0", 1000])
def test_memory_that_is_none(root, memory):
    """What is no size, or too little for anything, is said."""
    with pytest.raises(QueryError, match="memory"):
        query("select 1", root.journals, memory=memory)


EXTREME = [
    math.nan, math.inf, -math.inf, -0.0, 5e-324, 1, 1 << 53, (1 << 53) + 1, -(1 << 62) - 1,
    1 << 70, 10**400, True, None, "text", "", [1, "x"],
]  # fmt: skip


def expected(value):
    """Return what ``value`` and ``value_text`` hold."""
    if isinstance(value, float):
        return repr(value), None
    if isinstance(value, int):
        if abs(value) > 1 << 1000:
            return None, str(value)
        return repr(float(value)), None if int(float(value)) == value else str(value)
    if isinstance(value, str) or value is None:
        return None, value
    return None, json.dumps(value)


def ask_points(root, run=1):
    """Return metric, steps and values as they are in SQL, by seq."""
    rows = query(
        f"select metric, step, step_text, value, value_text from metrics where run = {run} "
        "order by writer, seq",
        root.journals,
    ).rows
    return [
        (name, (s if s is None else repr(s), st), (v if v is None else repr(v), vt))
        for name, s, st, v, vt in rows
    ]


@pytest.mark.parametrize("numpy", [True, False])
@pytest.mark.parametrize("between", [True, False])
def test_every_value(root, monkeypatch, numpy, between):
    """Steps and values come as they were logged, in tables and one by one, with numpy or not."""
    writer = root.writer()
    root.start(writer, 1)
    logged = []
    for turn, value in enumerate(EXTREME * 3):
        logged.append((f"m{turn % 3}", value, EXTREME[-1 - turn % len(EXTREME)]))
        writer.log_point(*logged[-1])
        if between:
            writer.flush()
    root.end(writer)
    if not numpy:
        monkeypatch.setitem(sys.modules, "numpy", None)
    wanted = [(name, expected(step), expected(value)) for name, step, value in logged]
    assert wanted == ask_points(root)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "\u00e4"]),
            st.integers(-(1 << 65), 1 << 65) | st.floats(),
            st.floats() | st.integers() | st.booleans() | st.text(max_size=3),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_points_property(root, points):
    """Whatever was logged is what SQL sees."""
    writer = root.writer()
    root.start(writer, 1)
    for point in points:
        writer.log_point(*point)
    root.end(writer)
    wanted = [(name, expected(step), expected_text(value)) for name, step, value in points]
    assert wanted == ask_points(root, root.last.number)


def expected_text(value):
    """As ``expected``; a text that is no Unicode is shown with replacements."""
    if isinstance(value, str):
        return None, value.encode("utf-8", "replace").decode()
    return expected(value)


def test_times_and_order(root):
    """seq and time are those of the journal, to the microsecond."""
    root.completed(metrics=(("loss", 20),))
    rows = query("select seq, time, writer from metrics order by time, seq", root.journals).rows
    assert list(range(1, 21)) == [seq for seq, *_ in rows]
    assert {0} == {writer for *_, writer in rows}
    assert 2024 < rows[0][1].year


def test_damaged_run(root):
    """What can be read of a damaged run is there, and the loss is a problem that is told."""
    file = root.file(root.died())
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    result = query("select count(*) from metrics", root.journals)
    assert ([(1,)], []) == (result.rows, result.problems)  # what a kill leaves is none
    file.write_bytes(whole[:-3] + b"xyz")
    result = query("select count(*) from metrics", root.journals)
    assert [(1,)] == result.rows
    assert "are damaged" in result.problems[0]


def test_config(root):
    """One row a leaf, with the value as what it is."""
    big = 1 << 70
    root.completed(
        config={"o": {"lr": 0.5, "n": big}, "on": True, "s": "5", "l": [1, "x"], "e": {}, "z": None}
    )
    rows = query("select * exclude run from config", root.journals).rows
    assert [
        ("o.lr", "float", "0.5", 0.5, None, None),
        ("o.n", "int", str(big), float(big), None, None),
        ("on", "bool", "true", None, None, True),
        ("s", "str", "5", None, None, None),
        ("l", "list", '[1, "x"]', None, None, None),
        ("e", "map", "{}", None, None, None),
        ("z", "null", None, None, None, None),
    ] == rows


def test_output(root):
    """Output is text, also where a character was cut in two, and what is in the spool only."""
    writer = root.writer()
    root.start(writer, 1)
    cut = "ü".encode()
    spooled = [encode_record(1, 1, b"a" + cut[:1]), encode_record(2, 2, b"err\n")]
    spooled += [encode_record(1, 3, cut[1:] + b"\n")]
    writer.append_output(1, b"a" + cut[:1], 0, len(spooled[0]))
    writer.flush()
    (root.last.journal / "w0000.spool").write_bytes(b"".join(spooled))
    rows = query("select stream, text, seq from output", root.journals).rows
    assert [("stderr", "err", None), ("stdout", "aü", 1)] == rows
    writer.close()


def test_a_row_of_output_is_a_line(root):
    """However it was written: by print, in pieces, with CR LF, without an end."""
    writer = root.writer()
    root.start(writer, 1)
    for data in (b"one\ntw", b"o\r\n", b"\n", b"\r10 %\r20 %", b"\r30 %\nlast"):
        writer.append_output(1, data)
        writer.flush()
    writer.append_output(2, b"error\n")
    root.end(writer)
    rows = query("select stream, text from output order by seq, text", root.journals).rows
    lines = [("stdout", text) for text in ("one", "two", "", "\r10 %\r20 %\r30 %", "last")]
    assert sorted([*lines, ("stderr", "error")]) == sorted(rows)


def test_a_time_with_a_zone(root):
    """DuckDB's times with a zone come back, as its Python package alone does not have it."""
    (row,) = query("select now() > timestamptz '2020-01-01', now()", root.journals).rows
    assert row[0] is True
    assert row[1].tzinfo is not None


def test_the_rest(root):
    """Events, artifacts, resources, sources and hosts can be asked for."""
    blobs = BlobStore(root.journals.blobs)
    blob = blobs.put_bytes(b"12345").blob.to_wire()
    writer = root.writer(blobs=blobs)
    root.start(writer, 1, host={"hostname": "there", "gpus": {"count": 2}})
    writer.append(EventType.SOURCE_ADDED, filename="a.py", path="/x/a.py", md5="0", blob=blob)
    writer.append(EventType.RESOURCE_ADDED, filename="/data", md5="1", blob=blob)
    about = {"metadata": {"k": 1}, "content_type": "text/plain"}
    writer.append(EventType.ARTIFACT_ADDED, name="m", filename="/m", blob=blob, md5="2", **about)
    for step in range(20):
        writer.log_point("loss", step, 1.0)
    root.end(writer)
    sha = blob["digest"]

    def ask(sql):
        return query(sql, root.journals).rows

    assert [(1, "a.py", "/x/a.py", 5, sha, "0")] == ask("from sources")
    assert [(1, "/data", 5, sha, "1")] == ask("from resources")
    artifact = (1, "m", "/m", 5, sha, "2", "text/plain", '{"k": 1}', 1)
    assert [artifact] == ask("from artifacts")
    assert [("hostname", "there"), ("gpus.count", "2")] == ask("select key, value from hosts")
    kinds = [kind for (kind,) in ask("select type from events where seq is not null order by seq")]
    assert ["run_started", "source_added"] == kinds[:2]
    assert "run_ended" == kinds[-1]
    assert 20 == sum(
        json.loads(fields).get("rows", 1)
        for (fields,) in ask("select fields from events where type like 'metric%'")
    )


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("selec 1", 'syntax error at or near "selec" (line 1, column 1 at "selec")'),
        (
            "select 1 from metricz",
            'there is no table metricz: did you mean metrics? (line 1, column 15 at "metricz")',
        ),
        (
            "select valu from metrics",
            'there is no column "valu" there; the nearest: "value", "value_text" (line 1, column 8',
        ),
        (
            "select m.valu from metrics m",
            'there is no column "valu" in "m"; the nearest: "value"',
        ),
        (
            "select r.stats from runs r join metrics using (run)",
            'there is no column "stats" in "r"; the nearest: "start", "status", "tags"',
        ),
        ("", "the query is empty"),
        ("select 1; select 2", "a query is one statement, not 2"),
        ("delete from runs", "a query reads (select, "),
        ("with q as (select 1) delete from runs", "this is delete: journals are never changed"),
        ("explain analyze delete from runs", "this is delete: journals are never changed"),
        ("/* ü */ explain (analyze) copy runs to 'x'", "this is copy: journals are never changed"),
        ("create table x (a int)", "a query reads"),
        ("attach '/tmp/x.db'", "a query reads"),
        ("install httpfs", "a query reads"),
        ("load httpfs", "a query reads"),
        ("copy runs to '/tmp/x.csv'", "a query reads"),
        ("set threads = 1", "a query reads"),
        ("pragma version", "a query reads"),
        ("call pragma_version()", "a query reads"),
        ("select * from read_text('/etc/passwd')", "a query reads the runs and no file, such as "),
        ("select * from glob('/*')", "a query reads the runs and no file, such as "),
        ("from '/etc/passwd'", 'a query reads the runs and no file, such as "/etc/passwd"'),
        ("select * from root", "there is no table root: there are runs, metrics, "),
        ("select 'a'::int", "Could not convert string 'a' to INT32"),
        ("select error('mine')", "mine"),
    ],
)
def test_wrong_or_not_allowed(root, run_sacred, sql, sentence):
    """SQL that is wrong, or does more than read the journals: one sentence, exit code 2."""
    with pytest.raises(QueryError) as caught:
        query(sql, root.journals)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "copy runs to '{file}'",
        "copy/* c */(select 1) to '{file}'",
        "with y as (select 1 as run) insert into runs(run) select run from y returning run",
        "delete from runs returning run",
        "update runs set status = 'x' returning run",
        "truncate runs",
    ],
)
@pytest.mark.parametrize("rest", ["from x", "select 1", "pivot x on run", "select (from x)"])
@pytest.mark.parametrize("before", ["", "explain analyze "])
def test_nothing_changes_behind_with(root, tmp_path, body, rest, before):
    """What DuckDB would change or write in front of a select is refused, also where files are read."""
    file = tmp_path / "x.csv"
    sql = f"{before}with x as ({body.format(file=file)}) {rest}"
    with pytest.raises(QueryError):
        query(sql, root.journals, files=True)
    assert not file.exists()


@pytest.mark.parametrize(
    "sql",
    [
        "with copy as (select 1 as update) select (update), max(update) as delete from copy group by 1",
        "select 'with x as (delete' || '\"type\":\"COPY_QUERY_NODE\"'",
        "explain (select 1)",
        "explain analyze -- copy\n from runs",
        "explain (analyze, format json) with x as (from runs) select count(*) from x",
        "pivot runs on status using count(*) group by run",
        "summarize runs",
    ],
)
def test_words_of_changes_that_change_nothing(root, sql):
    """Names and texts that look like a change are a name and a text."""
    root.completed()
    assert query(sql, root.journals).rows


def test_error_on_the_command_line(root, run_sacred):
    """The sentence goes to stderr, with exit code 2."""
    done = run_sacred("query", "select 1 from metricz")
    assert (2, "") == (done.code, done.out)
    assert done.err.startswith("sacred: there is no table metricz: did you mean metrics?")
    assert 1 == done.err.count("\n")


def test_the_place_of_an_error(root):
    """It is known by line and column, also behind other lines, tabs and wide letters."""
    root.completed()
    for sql, line, column, pointer in [
        ("select 1 from metricz", 1, 15, ("select 1 from metricz", " " * 14 + "^" * 7)),
        ("from runs\n\twhere nam = 'x'", 2, 8, (" where nam = 'x'", " " * 7 + "^^^")),
        ("select '日本', zzz from runs", 1, 14, ("select '日本', zzz from runs", " " * 13 + "^^^")),
        ("selct 1", 1, 1, ("selct 1", "^" * 5)),
    ]:
        with pytest.raises(StatementError) as caught:
            query(sql, root.journals)
        found = caught.value
        assert (line, column, pointer) == (found.line, found.column, found.pointer)


def test_a_statement_in_a_file(root, run_sacred, tmp_path):
    """--file reads it; both, neither, a file that is none or no text are wrong use."""
    root.completed()
    file = tmp_path / "q.sql"
    file.write_text("\ufeffselect run -- the number\nfrom runs;\n", "utf-8")
    done = run_sacred("query", "--file", str(file))
    assert (0, "run\n1\n") == (done.code, done.out)
    for arguments, sentence in [
        ((), "give a statement, or --file with one"),
        (("select 1", "-f", str(file)), "not both"),
        (("-f", str(tmp_path / "none.sql")), "can not be read: No such file"),
        (("-f", sys.executable), "is no"),
    ]:
        done = run_sacred("query", *arguments)
        assert (2, "") == (done.code, done.out)
        assert sentence in done.err


def test_views_of_runs(root, run_sacred, tmp_path):
    """The relation says what `sacred views` does, can be joined, and is not of the past."""
    root.completed(run_id=7)
    run_sacred("replay", "--to", f"file:{tmp_path / 'out'}")
    columns = "v.run, kind, view, view_id, state, lag_events, lag_seconds, error, error_since"
    sql = f"select {columns}, written > start from views v join runs r on v.run = r.run"
    expected = (1, "file", f"file:{tmp_path / 'out'}", "7", "current", 0, 0.0, None, None, True)
    assert [expected] == query(f"{sql} where status = 'COMPLETED'", root.journals).rows
    assert [] == query(f"{sql} where status = 'FAILED'", root.journals).rows
    bound = "select count(*) from metrics join views using (run) where state = 'current'"
    assert [(30,)] == query(bound, root.journals).rows
    with pytest.raises(QueryError, match="how views stood in the past nobody knows"):
        query("from views", root.journals, at="now")


def test_named_by_an_expression(root):
    """A relation whose name is made by an expression is filled as well."""
    root.completed()
    rows = query("select count(*) from query_table('met' || 'rics')", root.journals).rows
    assert [(30,)] == rows


def test_json_values(root, run_sacred):
    """Values that JSON has not are text; columns of one name are told apart."""
    sql = (
        "select 'nan'::double a, 1 a, timestamp '2024-01-02 03:04:05' t, [1, 2] l, "
        "'x'::blob b, interval 1 day i, 1.5::decimal(3,1) d"
    )
    (row,) = json.loads(run_sacred("query", sql, "--json").out)
    assert {"a": "NaN", "a_2": 1, "t": "2024-01-02T03:04:05Z", "l": [1, 2], "b": "x"} == {
        key: row[key] for key in ("a", "a_2", "t", "l", "b")
    }
    assert (1.5, "1 day, 0:00:00") == (row["d"], row["i"])
    assert [] == json.loads(run_sacred("query", "select 1 where false", "--json").out)


def test_describe(root, run_sacred):
    """describe and summarize work, explain shows a plan."""
    assert "value\tDOUBLE" in run_sacred("query", "describe metrics").out
    assert 0 == run_sacred("query", "summarize runs").code
    assert 0 == run_sacred("query", "explain select 1").code


def test_result_objects(root):
    """The result has columns, rows, and gives pandas' and Arrow's tables where they are."""
    root.completed()
    result = query("select run, status from runs", root.journals)
    assert (["run", "status"], [(1, "COMPLETED")], 1) == (result.columns, result.rows, len(result))
    pytest.importorskip("pandas")
    assert [[1, "COMPLETED"]] == result.df().to_numpy().tolist()
    pytest.importorskip("pyarrow")
    assert [{"run": 1, "status": "COMPLETED"}] == result.arrow().to_pylist()


def test_no_root(tmp_path):
    """A root that is none is an error of the journal."""
    with pytest.raises(NoRootError):
        query("from runs", tmp_path)


def test_pivot(root):
    """A pivot reads, although DuckDB makes several statements of it."""
    root.completed(metrics=(("loss", 4), ("acc", 2)))
    result = query("pivot metrics on metric using min(value) group by run", root.journals)
    assert (["run", "acc", "loss"], [(1, 0.5, 0.25)]) == (result.columns, result.rows)


def test_interrupt(root, tmp_path):
    """Ctrl-C ends a query that would never end, with 130 and without a traceback."""
    code = (
        "import sys, sacred.analysis.queries as q\n"
        "names = q._names_and_rows\n"
        "def told(connection, sql):\n"
        "    print('ready', flush=True)\n"
        "    return names(connection, sql)\n"
        "q._names_and_rows = told\n"
        "from sacred.cli import main\n"
        "sys.exit(main(['query', 'select sum(i) from range(1000000000000) t(i)']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert b"ready\n" == process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (130, b"\n") == (process.returncode, err)


def test_names_of_columns_do_not_steer_the_terminal(root, run_sacred):
    """What a metric was named is shown, and does nothing, also as the name of a column."""
    root.completed(metrics=(("\x1b[2J\n", 1),))
    done = run_sacred("query", "pivot metrics on metric using min(value) group by run")
    assert "run\t\\x1b[2J\\n\n1\t1.0\n" == done.out


def test_a_result_shows_itself(root):
    """In a notebook: the columns and the first rows."""
    root.completed(metrics=(("loss", 30),))
    shown = repr(query("select step from metrics order by step", root.path)).splitlines()
    assert shown[:2] == ["step", "(0.0,)"] or shown[:2] == ["step", "(0,)"]
    assert (len(shown), shown[-1]) == (22, "... and 10 more")


def test_files_of_the_machine(root, run_sacred, tmp_path):
    """With --files a statement may read a file, and still neither write one nor leave the machine."""
    root.completed()
    table = tmp_path / "who.csv"
    table.write_text("run,who\n1,me\n")
    sql = f"select who, status from runs join '{table}' using (run)"
    assert [("me", "COMPLETED")] == query(sql, root.journals, files=True).rows
    assert "who\tstatus\nme\tCOMPLETED\n" == run_sacred("query", "--files", sql).out
    assert "--files lets it" in run_sacred("query", sql).err
    before = sorted(tmp_path.rglob("*"))
    for refused, sentence in [
        (f"copy runs to '{tmp_path / 'x.csv'}'", "a query reads"),
        (f"explain analyze copy runs to '{tmp_path / 'x.csv'}'", "this is copy"),
        (f"explain (analyze) copy runs to '{tmp_path / 'x.csv'}'", "this is copy"),
        (f"attach '{tmp_path / 'x.db'}'", "a query reads"),
        ("set enable_external_access = true", "a query reads"),
        ("from 'https://example.org/x.csv'", "reads files of this machine, and https"),
        (f"from '{tmp_path / 'none.csv'}'", "No files found"),
    ]:
        with pytest.raises(QueryError, match=sentence):
            query(refused, root.journals, files=True)
    assert before == sorted(tmp_path.rglob("*"))
