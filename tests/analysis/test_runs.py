"""Runs as Python objects: chosen lazily, looked at closely, followed, side by side."""

from __future__ import annotations

import math
import subprocess
import sys
import threading

import pytest

import sacred
from sacred.analysis.comparison import best_of, comparison
from sacred.analysis.notebook_view import sparkline_svg
from sacred.journal import BlobStore, EventType, JournalWriter
from sacred.journal.errors import NoRootError, RunNotFoundError
from sacred.replayers.contract import write_run
from sacred.replayers.errors import QueryError
from tests.analysis.test_fields import written

np = pytest.importorskip("numpy")


@pytest.fixture
def filled(root):
    """A root of four runs."""
    for lr in (0.1, 0.01, 0.5):
        points = [("loss", step, lr * (step - 2) ** 2) for step in range(5)]
        points += [("accuracy", 4, 1 - lr)]
        written(root, {"lr": lr, "model": {"kind": "mlp"}}, points, result=1 - lr)
    written(root, {"lr": 7}, status="FAILED", name="<other>")
    return root


def test_a_choice_is_made_when_it_is_asked_for(filled, monkeypatch):
    """where, sort, last read nothing; what is asked for is there, in its order."""
    read = []
    from sacred.analysis.kept_facts import KeptFacts

    before = KeptFacts.outline
    monkeypatch.setattr(KeptFacts, "outline", lambda k, f: read.append(f) or before(k, f))
    chosen = sacred.runs(filled).where("status = 'COMPLETED'").sort("-metrics.loss.max").last(2)
    assert [] == read
    assert [1, 2] == [run.number for run in chosen]
    assert 2 == len(chosen)
    assert 1 == chosen[0].number
    assert [2] == [run.number for run in chosen[1:]]
    assert [3] == [run.number for run in sacred.runs(filled).sort("-config.lr")[1:2]]


def test_conditions_follow_one_another(filled):
    """Each where takes its part away; several conditions of one have to hold together."""
    runs = sacred.runs(filled)
    assert [1] == [r.number for r in runs.where("config.lr < 0.3").where("config.lr > 0.05")]
    assert [1] == [r.number for r in runs.where("config.lr < 0.3", "config.lr > 0.05")]
    assert [1, 2] == [r.number for r in runs.first(2)]
    assert [] == list(runs.last(0))


def test_new_runs_are_there_after_a_refresh(filled):
    """A choice stays what it was found to be; refresh looks again."""
    runs = sacred.runs(filled)
    assert 4 == len(runs)
    written(filled, {"lr": 1})
    assert 4 == len(runs)
    assert 5 == len(runs.refresh())


def test_one_run_by_its_name(filled):
    """get takes what the command line takes."""
    runs = sacred.runs(filled)
    assert [3, 4, 2] == [runs.get(name).number for name in (3, "last", "last~2")]
    assert runs.get("id:2") == runs.get(2)
    with pytest.raises(RunNotFoundError):
        runs.get(99)


def test_no_root(tmp_path):
    """A folder that is no root is told at once."""
    with pytest.raises(NoRootError):
        sacred.runs(tmp_path / "nothing")


def test_several_roots(filled, tmp_path):
    """The runs of several roots are chosen together, each with its own root."""
    from sacred.journal.root import JournalRoot

    other = JournalRoot(tmp_path / "other")
    written(other, {"lr": 3}, [("loss", 0, 9.0)])
    runs = sacred.runs([filled, other])
    assert [1, 2, 3, 4, 1] == [run.number for run in runs]
    table = runs.where("metrics.loss.max > 1").table(["run", "metrics.loss.max", "root"])
    assert [(3, 2.0, str(filled.path)), (1, 9.0, str(other.path))] == table.rows
    with pytest.raises(RunNotFoundError, match="2 of the roots"):
        runs.get(1)


def test_a_wrong_condition_is_told_when_runs_are_asked_for(filled):
    """The nearest name is in the error."""
    chosen = sacred.runs(filled).where("config.lrr < 1")
    with pytest.raises(QueryError, match=r"did you mean config.lr\?"):
        len(chosen)


def test_tables(filled):
    """pandas, Arrow and polars get a row for each run, and the columns that were named."""
    names = ["run", "config.lr", "status", "metrics.loss.min", "start", "config.model"]
    runs = sacred.runs(filled)
    for package in ("pandas", "pyarrow", "polars"):
        pytest.importorskip(package)
    assert names == list(runs.to_pandas(names).columns)
    assert [0.1, 0.01, 0.5, 7.0] == runs.to_pandas(names)["config.lr"].tolist()
    assert [1, 2, 3, 4] == runs.to_arrow(names)["run"].to_pylist()
    import polars as pl

    frame = runs.to_polars(names)
    assert pl.Float64 == frame.schema["config.lr"]
    assert '{"kind": "mlp"}' == frame["config.model"][0]


def test_what_a_run_recorded(root):
    """Config, info, result, output, files, tags and the rest of one run."""
    folder = root.claim()
    write_run(folder)
    run = sacred.runs(root)[0]
    assert (1, "COMPLETED", "contract", "main", 42) == (
        run.number,
        run.status,
        run.name,
        run.command,
        run.result,
    )
    assert run.config["nested.a"] == run.config["nested"]["a"] == 0.5
    assert {"seed", "tuple", "nested"} == set(run.config)
    assert {"nested.a", "seed", "tuple"} == set(run.config.dotted())
    assert run.config.to_dict() is not run.config.to_dict()
    assert [1, {"deep": 2}] == run.info["key"]
    assert "first line: ä\nsecond line\n" == run.output
    assert "second line\n" == run.output_of("stderr")
    assert run.duration is not None
    assert run.start is not None
    assert run.problem is None
    assert run.fail_trace is None
    assert "<RecordedRun 1: COMPLETED, contract>" == repr(run)
    with pytest.raises(KeyError, match="did you mean seed"):
        run.config["sead"]
    with pytest.raises(QueryError, match="stdout or stderr"):
        run.output_of("stdin")


def test_points_of_a_metric(root):
    """A metric's points are arrays: steps, values, times; names that are wrong are told."""
    write_run(root.claim(), points=50)
    run = sacred.runs(root)[0]
    loss = run.metrics["loss"]
    assert ["loss", "dotted.name"] == list(run.metrics)
    assert 50 == len(loss)
    np.testing.assert_array_equal(np.arange(50.0), loss.steps)
    np.testing.assert_array_equal(np.arange(50) / 4, loss.values)
    assert "datetime64[us]" == str(loss.times.dtype)
    assert np.all(np.diff(loss.times) >= np.timedelta64(0, "us"))
    assert (12.25, 0.0, 12.25, 6.125) == (loss.last, loss.min, loss.max, loss.mean)
    assert loss is run.metrics["loss"]
    with pytest.raises(KeyError, match="did you mean loss"):
        run.metrics["los"]


def test_points_for_other_packages(root):
    """pandas, Arrow and polars get the points with their steps."""
    write_run(root.claim(), points=50)
    loss = sacred.runs(root)[0].metrics["loss"]
    for package in ("pandas", "pyarrow", "polars"):
        pytest.importorskip(package)
    assert 50 == len(loss.to_pandas())
    assert ["step", "value", "time"] == loss.to_arrow().column_names == loss.to_polars().columns


def test_a_missing_package_is_a_sentence(root, monkeypatch):
    """What is not installed is named, with the line that installs it."""
    write_run(root.claim())
    for package in ("pandas", "pyarrow", "polars"):
        monkeypatch.setitem(sys.modules, package, None)
    runs = sacred.runs(root)
    for ask in (runs.to_pandas, runs.to_arrow, runs.to_polars, runs.compare):
        with pytest.raises(QueryError, match="pip install"):
            ask()
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(QueryError, match="this needs numpy: pip install numpy"):
        runs[0].metrics["loss"]


def test_points_that_are_no_numbers(root):
    """What is no number is NaN, and is left out of what is computed."""
    written(root, {}, [("m", 0, 1.0), ("m", 1, math.nan), ("m", 2, "text"), ("m", 3, math.inf)])
    series = sacred.runs(root)[0].metrics["m"]
    np.testing.assert_array_equal([1.0, math.nan, math.nan, math.inf], series.values)
    assert (1.0, math.inf) == (series.min, series.max)


def test_files_of_a_run(root, tmp_path):
    """Artifacts are read, opened and saved by name; the last version first."""
    folder = root.claim()
    blobs = BlobStore(root.blobs, durable=False)
    writer = JournalWriter.create(folder.journal, blobs=blobs)
    started = {"name": "x", "command": "c", "config": {}, "meta": {}, "experiment": {}, "host": {}}
    writer.append(EventType.RUN_STARTED, run_id=1, **started)
    for content in (b"one", b"second"):
        writer.append(
            EventType.ARTIFACT_ADDED,
            name="sub/x.txt",
            filename="/there/x.txt",
            md5="0" * 32,
            blob=blobs.put_bytes(content).blob.to_wire(),
        )
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    files = sacred.runs(root)[0].artifacts
    assert ["sub/x.txt"] == list(files)
    assert [b"one", b"second"] == [each.read() for each in files.versions("sub/x.txt")]
    assert "second" == files["sub/x.txt"].text()
    with files["sub/x.txt"].open() as file:
        assert b"sec" == file.read(3)
    place = files["sub/x.txt"].save(tmp_path / "out")
    assert tmp_path / "out" / "sub" / "x.txt" == place
    assert b"second" == place.read_bytes()
    with pytest.raises(KeyError, match=r"did you mean sub/x.txt"):
        files["sub/y.txt"]


def test_a_run_is_read_anew_after_refresh(root):
    """What was read stays; refresh shows what a run that goes on wrote since."""
    folder = root.claim()
    writer = write_run(folder, points=4, ends=False)
    run = sacred.runs(root)[0]
    assert ("RUNNING", 4) == (run.status, len(run.metrics["loss"]))
    writer.log_point("loss", 4, 1.0)
    writer.flush()
    assert 4 == len(run.metrics["loss"])
    assert 5 == len(run.refresh().metrics["loss"])
    writer.close()


def test_following_a_run_that_goes_on(root):
    """follow yields what is there and what comes, each point once, and ends with the run."""
    writer = write_run(root.claim(), points=3, ends=False)
    run = sacred.runs(root)[0]
    points = run.follow("loss")
    assert [0, 1, 2] == [next(points).step for _ in range(3)]

    def goes_on():
        for step in range(3, 200):
            writer.log_point("loss", step, float(step))
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
        writer.close()

    thread = threading.Thread(target=goes_on)
    thread.start()
    rest = [(point.metric, point.step) for point in points]
    thread.join()
    assert [("loss", step) for step in range(3, 200)] == rest


def test_following_ends_in_time(root):
    """A run that says nothing is left when the time is over."""
    writer = write_run(root.claim(), points=2, ends=False)
    points = list(sacred.runs(root)[0].follow(timeout=0.2))
    assert 3 == len(points)  # two of loss, one of dotted.name
    writer.close()


def test_side_by_side(filled):
    """What differs in the configuration, and last, best and mean of each metric."""
    table = comparison(filled.runs())
    assert ("run", "name", "status", "config.lr", "config.model.kind") == table.columns[:5]
    assert ("metrics.loss.last", "metrics.loss.best", "metrics.loss.mean") == table.columns[5:8]
    assert (1, "train", "COMPLETED", 0.1, "mlp", 0.4, 0.0) == table.rows[0][:7]
    assert table.rows[0][8:] == (0.9, 0.9, 0.9)
    assert (None,) * 6 == table.rows[3][5:]
    first_two = comparison(filled.runs()[:2], best={"loss": "max"})
    assert "config.model.kind" not in first_two.columns
    assert 0.4 == first_two.rows[0][first_two.columns.index("metrics.loss.best")]
    pytest.importorskip("pandas")
    frame = sacred.compare(sacred.runs(filled).first(2))
    assert [1, 2] == frame.index.tolist()
    with pytest.raises(QueryError, match="its min or its max, not 'least'"):
        comparison(filled.runs(), best={"loss": "least"})


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("loss", "min"),
        ("val/loss", "min"),
        ("training.error_rate", "min"),
        ("accuracy", "max"),
        ("lossless", "max"),
        ("f1", "max"),
    ],
)
def test_which_value_is_best(metric, best):
    """Less is better where a word of the name says so."""
    assert best == best_of(metric)


def test_texts_of_notebooks_are_escaped(filled):
    """What a user named stands in a notebook as text; tables and runs have their HTML."""
    runs = sacred.runs(filled)
    html = runs._repr_html_()
    assert "&lt;other&gt;" in html
    assert "<other>" not in html
    assert "4 runs" in html
    page = runs[0]._repr_html_()
    assert "<svg" in page
    assert "lr" in page
    assert "<other>" not in runs[3]._repr_html_()
    assert "4 runs" in repr(runs).splitlines()[0]
    assert "config.lr" not in repr(runs)
    assert "lr" in runs[0].config._repr_html_()


@pytest.mark.parametrize("values", [[], [1.0], [math.nan] * 5, [1, 2, math.inf, 3], range(100_000)])
def test_curves_are_small(values):
    """A curve of any number of points is bounded, and leaves out what is no number."""
    svg = sparkline_svg(list(values))
    assert len(svg) < 4000
    assert "nan" not in svg
    assert "inf" not in svg


def test_looking_at_runs_loads_no_framework(filled):
    """``sacred.runs`` imports neither the framework nor a driver, and DuckDB only where it is asked."""
    program = (
        "import sys, sacred; r = sacred.runs(sys.argv[1]); print(len(r), r[0].config['lr']);"
        "print([m for m in ('duckdb', 'pandas', 'pymongo', 'sacred.core.run') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(filled.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ["4 0.1", "[]"] == done.stdout.splitlines()


def test_a_damaged_run_is_an_object_too(filled):
    """A run that can not be read says so, and its parts are empty."""
    next(filled.run(2).journal.glob("*.jzst")).write_bytes(b"noise" * 100)
    run = sacred.runs(filled)[1]
    assert "FOREIGN" == run.status
    assert run.problem
    assert 0 == len(run.config)
    assert [] == list(run.metrics)
    assert run.output == ""
    assert "FOREIGN" in run._repr_html_()


def test_any_name_of_a_metric_or_an_entry(root):
    """Names with NUL, quotes, dots and lone surrogates lead to their points; wrong ones to a KeyError."""
    names = ["nul\0m", "it's", 'quo"te', "a.b c", "ü", "", "\udc80"]
    written(root, {"a.b": 1, "a": {"b": 2}}, [(name, 0, 1.0) for name in names])
    run = sacred.runs(root)[0]
    assert len(names) == len(run.metrics.read())
    assert [1] * len(names) == [len(run.metrics[name]) for name in run.metrics]
    assert (1, 1) == (run.config["a.b"], run.config.dotted()["a.b"])
    assert 2 == run.config["a"]["b"]
    assert 5 not in run.config
    assert run.config.get("nothing", 7) == 7
    for wrong in (5, "lrr"):
        with pytest.raises(KeyError, match="in config"):
            run.config[wrong]
    assert [(1, 1.0)] == sacred.runs(root).table("run,metrics.nul\0m").rows


def test_metrics_of_a_page_are_read_together(root, monkeypatch):
    """A notebook's page of a run opens its journal once for all curves."""
    from sacred.analysis import recorded_metrics

    written(root, {}, [(f"m{number}", 0, 1.0) for number in range(9)])
    read = []
    before = recorded_metrics._series
    monkeypatch.setattr(
        recorded_metrics, "_series", lambda f, names, at: read.append(names) or before(f, names, at)
    )
    sacred.runs(root)[0]._repr_html_()
    assert [[f"m{number}" for number in range(9)]] == read


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_condition_ends_at_an_interrupt(filled):
    """Ctrl-C ends a condition that takes long, as the interrupt that it is."""
    program = (
        "import os, signal, sys, threading, sacred\n"
        "from sacred.analysis import condition\n"
        "runs = sacred.runs(sys.argv[1])\n"
        "before = condition._rows\n"
        "def rows(connection, sql):\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    return before(connection, sql)\n"
        "condition._rows = rows\n"
        "try:\n"
        "    len(runs.where('list_sum(list_transform(range(run + 100000000), lambda x: x % 7)) = 1'))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "    os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(filled.path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "interrupted\n" == done.stdout, done.stderr


def test_compare_takes_runs_alone():
    """Numbers in the place of runs are refused in a sentence."""
    pytest.importorskip("pandas")
    with pytest.raises(QueryError, match=r"compare takes runs, .*, not 1"):
        sacred.compare([1, 2])


def test_compare_knows_the_metrics_that_it_is_told_of(dated):
    """A misspelt metric is refused: what is best of the right one would be a guess."""
    pytest.importorskip("pandas")
    with pytest.raises(QueryError, match="none of the runs has a metric lss; did you mean loss"):
        sacred.compare(sacred.runs(dated), best={"lss": "min"})
    assert [19.0] == list(
        sacred.compare(sacred.runs(dated)[1:2], best={"loss": "max"})["metrics.loss.best"]
    )


START = 1_700_000_000 * 10**9
SECOND = 10**9


@pytest.fixture
def dated(root):
    """Three runs, a minute apart: each goes on for ten minutes, with a point a minute."""
    for number in range(3):
        folder = root.claim()
        begun = START + number * 60 * SECOND
        writer = JournalWriter.create(folder.journal, durability="process")
        about = {"run_id": folder.number, "name": "train", "command": "main", "host": {}}
        about |= {"config": {"lr": number}, "meta": {}, "experiment": {"name": "train"}}
        writer.append(EventType.RUN_STARTED, time_ns=begun, **about)
        for step in range(1, 10):
            at = begun + step * 60 * SECOND
            point = {"metric": "loss", "step": step, "value": float(10 * number + step)}
            writer.append(EventType.METRIC_POINT, time_ns=at, **point)
        end = {"how": "completed", "status": "COMPLETED", "result": number}
        writer.append(EventType.RUN_ENDED, time_ns=begun + 600 * SECOND, **end)
        writer.close()
    return root


def _after(seconds):
    """Return the moment so many seconds after the first run began."""
    return f"@{START // SECOND + seconds}"


def test_runs_as_they_were(dated):
    """At a moment those are there that had begun, with what they were then; at None all, as now."""
    then = sacred.runs(dated).at(_after(90))
    assert [1, 2] == [run.number for run in then]
    assert ["RUNNING", "RUNNING"] == [run.status for run in then]
    assert [1, 0] == [len(run.metrics["loss"]) if "loss" in run.metrics else 0 for run in then]
    names = ["run", "status", "result", "metrics.loss.max"]
    assert [(1, "RUNNING", None, 1.0), (2, "RUNNING", None, None)] == then.table(names).rows
    assert 0 == len(sacred.runs(dated).at(_after(-1)))
    assert "0 runs" in repr(sacred.runs(dated).at(_after(-1)))
    assert [0, 1] == [run.result for run in then.at(None)]
    assert then[0] == sacred.runs(dated)[0].at(_after(90)) != sacred.runs(dated)[0]


def test_what_is_chosen_before_a_moment_and_behind_it(dated):
    """Conditions in front of at are about the present, those behind it about then."""
    runs = sacred.runs(dated)
    over = runs.where("status = 'COMPLETED'").at(_after(610))
    assert ["COMPLETED", "RUNNING", "RUNNING"] == [run.status for run in over]
    assert [1] == [r.number for r in runs.at(_after(610)).where("status = 'COMPLETED'")]
    assert [3, 2] == [r.number for r in runs.at(_after(200)).sort("-metrics.loss.last").first(2)]
    assert [2] == [r.number for r in runs.at(_after(200))[1:2]]
    assert [2, 3] == [r.number for r in runs.at(_after(200)).last(2)]
    assert ["RUNNING"] == [runs.at(_after(200)).get("last").status]


def test_a_moment_by_the_number_of_an_event(dated):
    """Each run is as it was at its own event of that number; the present again is at None."""
    then = sacred.runs(dated).at(3)
    assert [3, 3, 3] == [run.metrics["loss"].steps[-1] for run in then]
    assert [13.0] == [v for r, v in then.table(["run", "metrics.loss.last"]).rows if r == 2]
    assert [0, 1, 2] == [run.result for run in then.at(None)]


def test_runs_side_by_side_as_they_were(dated):
    """A comparison of runs at a moment is that of then; at several moments it is refused."""
    pytest.importorskip("pandas")
    runs = sacred.runs(dated)
    assert [1.0, 10.0 + 1] == [float(v) for v in runs.first(2).at(1).compare()["metrics.loss.last"]]
    frame = sacred.compare([runs[0].at(2), runs[1].at(2)])
    assert [2.0, 12.0] == list(frame["metrics.loss.last"])
    with pytest.raises(QueryError, match="several moments"):
        sacred.compare([runs[0].at(2), runs[1]])


def test_no_moment(dated):
    """What names no moment is told at once."""
    with pytest.raises(QueryError, match="is no moment"):
        sacred.runs(dated).at("soonish")
