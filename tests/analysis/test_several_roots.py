"""Runs of several roots in one question: each run is that of its root, whatever its number."""

from __future__ import annotations

import os
import shutil

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sacred
from sacred.analysis import root_choice
from sacred.analysis.export import csv_tables, parquet, run_lines, snapshot
from sacred.analysis.loader import Loader
from sacred.analysis.root_choice import AmbiguousRunError, RootChoice
from sacred.journal import EventType, JournalRoot, JournalWriter
from sacred.journal.errors import NoRootError, RunNotFoundError
from sacred.replayers import journal_stamps
from sacred.replayers.errors import QueryError
from sacred.replayers.relations import RELATIONS

START = 1_700_000_000 * 10**9
SECOND = 10**9


def written(root, *, at, points=3, base=0.0, status="COMPLETED", name="train", end=True):
    """Write a run that began so many seconds after the others; return its open writer or None."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    about = {"name": name, "command": "main", "config": {"lr": base}, "meta": {}}
    about |= {"experiment": {"name": name, "base_dir": "/x"}, "host": {"hostname": "there"}}
    writer.append(EventType.RUN_STARTED, time_ns=START + at * SECOND, run_id=folder.number, **about)
    for step in range(points):
        writer.log_point("loss", step, base + step)
    writer.append_output(1, f"{name} {folder.number}\n".encode())
    if not end:
        writer.flush()
        return writer
    ended = START + (at + 5) * SECOND
    writer.append(EventType.RUN_ENDED, time_ns=ended, how="completed", status=status, result=base)
    writer.close()
    return None


def filled(folder):
    """Make two roots whose runs took turns: a1 b1 a2 b2 a3."""
    a, b = JournalRoot(folder / "a"), JournalRoot(folder / "b")
    written(a, at=0, base=1.0, name="first")
    written(b, at=10, base=2.0, name="second", status="FAILED")
    written(a, at=20, base=3.0, name="first", status="FAILED")
    written(b, at=30, base=4.0, name="second")
    written(a, at=40, base=5.0, name="third")
    return a, b


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """The two roots; the folder they lie in is this process's."""
    monkeypatch.chdir(tmp_path)
    return filled(tmp_path)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The same once for all, and a database of all that they hold, read without a statement."""
    folder = tmp_path_factory.mktemp("asked")
    choice = RootChoice.of(filled(folder))
    done = snapshot(choice.folders(), folder / "whole.duckdb", choice=choice)
    with duckdb.connect(str(done.path), read_only=True) as whole:
        yield choice, whole


def rows(found):
    """Return rows in some order, as text."""
    return sorted(map(repr, found))


# -- what an answer is -----------------------------------------------------------------------------


def test_every_relation_has_the_root_in_front(roots):
    """The column is the path as it was given, for each row that of its run."""
    assert [("a", 1, "first"), ("a", 2, "first"), ("a", 3, "third")] == sacred.query(
        "select root, run, name from runs where root = 'a' order by run", ["a", roots[1].path]
    ).rows
    for name in RELATIONS:
        found = sacred.query(f"from {name}", ["a", "b"])
        assert ["root", "run"] == found.columns[:2], name
    assert [("a", 9, 1.0, 7.0), ("b", 6, 2.0, 6.0)] == sacred.query(
        "select root, count(*), min(value), max(value) from metrics group by all order by all",
        ["a", "b"],
    ).rows
    assert ["run"] == sacred.query("from metrics", "a").columns[:1]


def test_a_list_of_one_root_names_it_too(roots):
    """A program that passes a list finds the column, however long the list is."""
    assert [("b", 2)] == sacred.query("select root, max(run) from runs group by all", ["b"]).rows
    assert [(2, 3)] == sacred.query("select run, count(*) from metrics where run = 2 group by run", ["b"]).rows  # fmt: skip


def test_the_same_root_counts_once(roots, tmp_path):
    """By another path, or through a link, it is the root that it is, under its first name."""
    (tmp_path / "link").symlink_to(tmp_path / "a")
    given = ["a", "link", "b", f"b{os.sep}..{os.sep}a", str(tmp_path / "b")]
    counted = sacred.query("select root, count(*) from runs group by all order by all", given)
    assert [("a", 3), ("b", 2)] == counted.rows
    assert ["a", "b"] == [name for name, _ in RootChoice.of(given).roots]


@pytest.mark.parametrize(
    ("given", "short"),
    [
        (["a", "b"], ["a", "b"]),
        (["x/y/a", "x/y/b"], ["a", "b"]),
        (["x/a/runs", "x/b/runs"], ["a/runs", "b/runs"]),
        (["a", "x/b"], ["a", "x/b"]),
        (["x/y/a"], ["a"]),
    ],
)
def test_names_are_shortened_by_what_they_share(tmp_path, monkeypatch, given, short):
    """A narrow table shows the part of a path that tells one root from another."""
    monkeypatch.chdir(tmp_path)
    for place in given:
        JournalRoot(tmp_path / place).create()
    choice = RootChoice.of([os.path.join(*place.split("/")) for place in given])
    names = [name for name, _ in choice.roots]
    assert short == [choice.short(name).replace(os.sep, "/") for name in names]
    mixed = RootChoice.of([names[0], str(tmp_path / given[-1]), str(tmp_path / given[0])])
    if len(mixed.roots) > 1:
        assert names[0] == mixed.short(names[0])


_CONDITIONS = [
    *("{0}root = 'ROOT'", "{0}root <> 'ROOT'", "{0}root in ('ROOT', 'x')", "{0}root like '%b'"),
    *(
        "{0}run = 1",
        "{0}run > 1",
        "({0}root, {0}run) = ('ROOT', 2)",
        "{0}root = 'ROOT' or {0}run = 3",
    ),
    *("r.status = 'FAILED'", "r.name = 'second'", "r.name = 'first' and r.root = 'ROOT'", "true"),
    *("m.value > 3", "m.metric = 'loss'", "m.time > '2020-01-01'"),
]
_JOINS = [
    "metrics m join runs r using (root, run)",
    "metrics m join runs r on m.root = r.root and r.run = m.run",
    "metrics m, runs r where m.run = r.run and r.root = m.root",
    "metrics m natural join runs r",
    "metrics m join runs r on m.run = r.run and m.root <> r.root",
    "output m join runs r using (root, run) join config c using (root, run)",
]


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.sampled_from(_JOINS),
    st.lists(st.sampled_from(_CONDITIONS), min_size=1, max_size=2),
    st.integers(0, 1),
)
def test_what_is_not_read_is_not_needed(asked, join, conditions, which):
    """Whatever a statement asks of which root, its answer is that over all that the roots hold."""
    choice, whole = asked
    joiner = " and " if " where " in join else " where "
    said = choice.roots[which].name
    condition = " and ".join(f"({each})" for each in conditions).replace("ROOT", said)
    sql = f"select m.*, r.name, r.status from {join}{joiner}{condition.format('m.')}"
    try:
        expected = whole.execute(sql).fetchall()
    except duckdb.Error:
        with pytest.raises(QueryError):
            sacred.query(sql, choice)
        return
    assert rows(expected) == rows(sacred.query(sql, choice).rows), sql


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from metrics where root = 'b'",
        "select count(*) from metrics m join runs r using (root, run) where r.root = 'b'",
        """select count(*) from metrics m join runs r on m.run = r.run and m.root = r.root
           where r.name = 'second' and m.root = 'b'""",
        "from config where root in ('b', 'c')",
    ],
)
def test_a_condition_on_the_root_spares_the_others(roots, monkeypatch, sql):
    """No run of a root that the conditions leave out is looked at."""
    read = set()
    before = Loader._load
    monkeypatch.setattr(
        Loader,
        "_load",
        lambda self, folder, names: read.add(folder.place) or before(self, folder, names),
    )
    sacred.query(sql, ["a", "b"])
    assert {str(roots[1].path / "1"), str(roots[1].path / "2")} == read


def test_conditions_on_runs_bound_what_is_read_root_by_root(roots, monkeypatch):
    """The numbers that one root's runs bound are no numbers of another's."""
    read = []
    before = Loader._load
    monkeypatch.setattr(
        Loader,
        "_load",
        lambda self, folder, names: (
            (read.append(folder.place) if "metrics" in names else None)
            or before(self, folder, names)
        ),
    )
    sql = "select count(*) from metrics join runs using (root, run) where status = 'FAILED'"
    assert [(6,)] == sacred.query(sql, ["a", "b"]).rows
    assert [str(roots[0].path / "2"), str(roots[1].path / "1")] == read


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "write"),
    [
        ("select run, count(*) from metrics group by run", "group by root, run"),
        ("select run, count(*) from metrics group by all", "group by root, run"),
        ("select metric, run, count(*) from metrics group by 1, 2", "group by root, run"),
        ("select run as r, count(*) from metrics group by r", "group by root, run"),
        ("select m.run, count(*) from metrics m group by m.run", "group by root, run"),
        ("from metrics join runs using (run)", r"using \(root, run\)"),
        ("from metrics left join runs using (run) where status = 'FAILED'", r"using \(root, run\)"),
        ("from metrics m, runs r where m.run = r.run", "write m.root = r.root"),
        ("from metrics m join runs r on m.run = r.run and r.root = 'a'", "write m.root = r.root"),
        ("from metrics where run in (select run from runs)", r"\(root, run\) in"),
        ("select count(distinct run) from metrics", r"count\(distinct \(root, run\)\)"),
        ("select first(value) over (partition by run) from metrics", "partition by root, run"),
        ("with best as (select root, run from runs) from metrics join best using (run)", "using"),
        ("select (select name from runs r where r.run = m.run) from metrics m", "r.root = m.root"),
        ("from (select run, min(value) from metrics group by run)", "group by root, run"),
    ],
)
def test_runs_are_not_told_apart_by_their_numbers(roots, sql, write):
    """What would take runs of two roots for one is refused with what to write; one root may ask it."""
    with pytest.raises(QueryError, match=write):
        sacred.query(sql, ["a", "b"])
    if "root" not in sql:
        sacred.query(sql, "a")


@pytest.mark.parametrize(
    "sql",
    [
        "select root, run, count(*) from metrics group by all",
        "select run, count(*) from metrics where root = 'a' group by run",
        "from metrics m join runs r on m.run = r.run where m.root = 'a' and r.root = 'b'",
        "select a.run from runs a join runs b on a.run = b.run and a.root < b.root",
        "from metrics where (root, run) in (select root, run from runs)",
        "select count(distinct (root, run)) from metrics",
        "select row_number() over (partition by root, run order by step) from metrics",
        "from runs natural join config",
        "select run from runs order by run",
        "with labels as (select 1 as x) select x, run from labels, runs",
    ],
)
def test_what_names_the_root_is_answered(roots, sql):
    """Joins, groups and lists by root and run, or within one root, are questions like others."""
    sacred.query(sql, ["a", "b"])


def test_a_file_of_labels_has_no_root(roots, tmp_path):
    """What joins runs with a file is not refused: the file says of which runs it tells."""
    (tmp_path / "labels.csv").write_text("run,label\n1,good\n")
    sql = "select root, label from runs join 'labels.csv' using (run) order by root"
    assert [("a", "good"), ("b", "good")] == sacred.query(sql, ["a", "b"], files=True).rows


# -- odd roots and runs ----------------------------------------------------------------------------


def test_an_empty_root_has_no_rows(roots, tmp_path):
    """Of a root without runs nothing is there; that of the others is."""
    JournalRoot(tmp_path / "empty").create()
    counts = sacred.query("select root, count(*) from runs group by all", ["empty", "b"])
    assert [("b", 2)] == counts.rows
    assert 2 == len(sacred.runs(["empty", "b"]))
    assert [] == sacred.query("from runs", ["empty"]).rows


def test_a_missing_root_is_told(roots):
    """One that is none is an error that names it, also beside others; no list is none either."""
    for ask in (lambda given: sacred.query("from runs", given), sacred.runs):
        with pytest.raises(NoRootError, match="gone"):
            ask(["a", "gone"])
        with pytest.raises(QueryError, match="one at least"):
            ask([])


def test_a_damaged_run_is_told_with_its_root(roots):
    """The runs of the same number in other roots have nothing to do with it."""
    (file,) = [path for path in (roots[1].path / "2" / "journal").iterdir() if path.is_file()]
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20] = bytes(20)
    file.write_bytes(content)
    found = sacred.query("select root, run, problem is null from runs order by all", ["a", "b"])
    assert ("b", 2, False) in found.rows
    assert {("a", 1, True), ("a", 2, True), ("a", 3, True), ("b", 1, True)} < set(found.rows)
    (problem,) = found.problems
    assert problem.startswith("b: run 2: ")
    (problem,) = sacred.runs(["a", "b"]).table(["root", "run", "status"]).problems
    assert problem.startswith("b: run 2: ")


def test_a_run_that_goes_on_is_read_to_its_last_frame(roots):
    """In each root, also with what earlier questions kept of the others."""
    sql = "select root, run, count(*) from metrics group by all order by all"
    writer = written(roots[1], at=50, points=4, end=False)
    try:
        assert ("b", 3, 4) == sacred.query(sql, ["a", "b"]).rows[-1]
        writer.log_point("loss", 4, 1.0)
        writer.flush()
        assert ("b", 3, 5) == sacred.query(sql, ["a", "b"]).rows[-1]
        assert "RUNNING" == sacred.runs(["a", "b"]).get("last").status
    finally:
        writer.close()


def test_what_is_kept_is_that_of_each_root(roots, monkeypatch):
    """The second answer is the first; without caches, too; a run that is exchanged is noticed."""
    monkeypatch.setattr(journal_stamps, "_GRAIN", -(10**9))
    sql = "select root, run, name, status, result_value from runs order by root, run"
    first = sacred.query(sql, ["a", "b"]).rows
    assert first == sacred.query(sql, ["b", "a"]).rows == sacred.query(sql, ["a", "b"]).rows
    assert all((root.path / ".cache" / "questions").is_dir() for root in roots)
    assert first == sacred.query(sql, ["a", "b"], cache=False).rows
    shutil.rmtree(roots[1].path / "1")
    shutil.copytree(roots[0].path / "3", roots[1].path / "1")
    assert ("b", 1, "third", "COMPLETED", 5.0) in sacred.query(sql, ["a", "b"]).rows
    shutil.rmtree(roots[0].path / ".cache")
    assert 5 == len(sacred.query(sql, ["a", "b"]).rows)


def test_points_beyond_the_memory_that_arrays_may_take(roots, monkeypatch):
    """Of several roots all points are there, whether they stay arrays or are inserted."""
    from sacred.replayers import points

    monkeypatch.setattr(points, "_CHUNK", 2)
    sql = "select root, run, step, value from metrics order by all"
    expected = sacred.query(sql, ["a", "b"]).rows
    assert 15 == len(expected)
    before = Loader.__init__
    for kept in (0, 100, 250):
        monkeypatch.setattr(
            Loader,
            "__init__",
            lambda self, connection, names, statement, room, kept=kept, **more: before(
                self, connection, names, statement, min(room, kept), **more
            ),
        )
        assert expected == sacred.query(sql, ["a", "b"]).rows


def test_the_past_of_several_roots(roots):
    """At a moment only the runs are there that had begun, in each root."""
    sql = "select root, run, status from runs order by root, run"
    at = "@1700000022"
    expected = [("a", 1, "COMPLETED"), ("a", 2, "RUNNING"), ("b", 1, "FAILED")]
    assert expected == sacred.query(sql, ["a", "b"], at=at).rows
    found = sacred.runs(["a", "b"]).at(at)
    assert [("a", 1), ("b", 1), ("a", 2)] == found.table(["root", "run"]).rows
    assert ["COMPLETED", "FAILED", "RUNNING"] == [run.status for run in found]


# -- runs in Python --------------------------------------------------------------------------------


def test_runs_stand_as_they_began(roots):
    """Of several roots the last ones are those that began last, whatever their numbers."""
    runs = sacred.runs(["b", "a"])
    assert [1.0, 2.0, 3.0, 4.0, 5.0] == [run.result for run in runs]
    assert [("b", 2), ("a", 3)] == runs.last(2).table(["root", "run"]).rows
    assert [("b", 2)] == runs.where("root = 'b' and run > 1").table(["root", "run"]).rows
    assert "root" == runs.table().columns[0]


def test_a_run_that_never_began_stands_behind_the_one_before_it(roots):
    """A folder without a start keeps its place among the runs of its root."""
    roots[0].claim()
    written(roots[1], at=60, base=6.0)
    found = [(run.folder.root.path.name, run.number) for run in sacred.runs(["a", "b"])]
    assert [("a", 3), ("a", 4), ("b", 3)] == found[-3:]


def test_one_run_of_several_roots(roots):
    """A number in one root alone is found, one in two is not guessed, last is the newest of all."""
    runs = sacred.runs(["a", "b"])
    assert roots[0].path / "3" == runs.get(3).folder.path
    assert roots[0].path / "3" == runs.get("last").folder.path
    assert roots[1].path / "2" == runs.get("last~1").folder.path
    assert roots[0].path / "1" == runs.get("last~4").folder.path
    assert roots[0].path / "3" == runs.get("thi").folder.path
    assert roots[0].path / "2" == runs.get("first~0").folder.path
    assert roots[1].path / "1" == runs.get(os.path.join("b", "1")).folder.path
    with pytest.raises(AmbiguousRunError, match="2 of the roots") as caught:
        runs.get(1)
    assert (os.path.join("a", "1"), os.path.join("b", "1")) == caught.value.places
    with pytest.raises(AmbiguousRunError):
        runs.get("first")
    for name in (9, "last~5", "none", "id:9"):
        with pytest.raises(RunNotFoundError):
            runs.get(name)


def test_runs_side_by_side_are_named_with_their_root(roots):
    """A comparison of runs of one number tells them apart."""
    pd = pytest.importorskip("pandas")
    frame = sacred.compare(sacred.runs(["a", "b"]).first(2))
    assert isinstance(frame, pd.DataFrame)
    assert [("a", 1), ("b", 1)] == list(frame.index)


def test_each_root_is_read_by_its_own_listing(roots, monkeypatch):
    """What several roots need for their order is read without the cache if it is not wanted."""
    asked = []
    before = root_choice.KeptOutlines
    monkeypatch.setattr(
        root_choice,
        "KeptOutlines",
        lambda root, cache: asked.append(cache) or before(root, cache=cache),
    )
    RootChoice.of(["a", "b"]).folders(cache=False)
    assert [False, False] == asked
    assert not (roots[0].path / ".cache").exists()


# -- exports ---------------------------------------------------------------------------------------


def test_exports_have_the_root(roots, tmp_path):
    """Tables of several roots have its column, lines its key; of one root they have neither."""
    choice = RootChoice.of(["a", "b"])
    done = csv_tables(choice.folders(), tmp_path / "csv", choice=choice)
    lines = (done.path / "runs.csv").read_text().splitlines()
    assert lines[0].startswith("root,run,id,")
    assert ["a,1", "a,2", "a,3", "b,1", "b,2"] == sorted(line[:3] for line in lines[1:])
    done = parquet(choice.folders(), tmp_path / "parquet", choice=choice)
    (count,) = duckdb.sql(
        f"select count(distinct (root, run)) from read_parquet('{done.path}/metrics.parquet')"
    ).fetchall()
    assert (5,) == count
    problems = []
    (line, *_) = run_lines(choice.folders(), problems, numbered=True, choice=choice)
    assert line.startswith('{"root": "a", "run": 1, ')
    told = []
    snapshot(
        choice.folders(),
        tmp_path / "x.duckdb",
        choice=choice,
        told=lambda done, total, folder: told.append((done, total)),
    )
    assert [(number, 5) for number in range(5)] == told
    one = RootChoice.of("a")
    done = csv_tables(one.folders(), tmp_path / "one", choice=one)
    assert (done.path / "runs.csv").read_text().startswith("run,id,")
