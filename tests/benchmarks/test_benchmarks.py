"""The harness of the benchmarks: it measures every budget, counts right, and never judges by a time."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "benchmarks" / "run.py").exists():
    pytest.skip("benchmarks/ is not beside these tests", allow_module_level=True)
# At the end: an installed sacred comes before the checkout's.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import environments, machine, processes, report, run  # noqa: E402
from benchmarks.laboratory import OURS, TINY, Contestant, Laboratory, folder_size  # noqa: E402
from benchmarks.samples import Failure, Samples, interleave, percentile  # noqa: E402
from benchmarks.tables import Column, Row, Table, number  # noqa: E402

HERE = Path(sys.executable)
PAGE = ROOT / "docs" / "benchmarks.md"


def samples(*values, failure=None):
    made = Samples()
    made.rounds = [{"wall": value} for value in values]
    made.failure = failure
    return made


def table(*rows, largest=False):
    return Table("B4", "title", (Column("wall", "wall, ms", 1e-3, largest),), rows, 3)


@pytest.fixture
def laboratory(tmp_path):
    """A laboratory whose contestant is the sacred of the interpreter that runs the tests."""
    if importlib.util.find_spec("numpy") is None:
        pytest.skip("numpy is not installed")
    probe = [str(HERE), "-c", "from sacred import Experiment"]
    probed = subprocess.run(
        probe,
        cwd=tmp_path,
        env=processes.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if probed.returncode:
        pytest.skip(
            "sacred is not installed for a new interpreter, only found from this folder: "
            f"{probed.stderr.strip().splitlines()[-1]}"
        )
    found = environments.Environments(HERE, HERE, None)
    with Laboratory(found, TINY, tmp_path) as made:
        yield made


def test_contestants_take_turns():
    """Rounds go A B A B, after warm-up rounds that are not counted."""
    order = []

    def one(name):
        def measure():
            order.append(name)
            return {"wall": float(len(order))}

        return measure

    result = interleave({"a": one("a"), "b": one("b")}, rounds=2, warmup=1)
    assert ["a", "b"] * 3 == order
    assert [3.0, 5.0] == result["a"].values("wall")
    assert [4.0, 6.0] == result["b"].values("wall")


def test_a_contestant_that_fails_costs_the_others_nothing():
    """One that raises is out of the rounds that follow, its reason is kept, the others go on."""

    def bad():
        raise RuntimeError("first line\nlost 3 points")

    result = interleave({"bad": bad, "good": lambda: {"wall": 1.0}}, rounds=3)
    assert "lost 3 points" == result["bad"].failure.sentence
    assert [] == result["bad"].rounds
    assert 3 == len(result["good"].rounds)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1)]
)
def test_percentile_is_the_nearest_rank(share, expected):
    """A percentile is one of the samples: of 1 to 100, p99 is 99."""
    assert expected == percentile(list(range(1, 101)), share)


def test_percentile_of_nothing_is_refused():
    """No samples have no percentile."""
    with pytest.raises(ValueError, match="measure at least once"):
        percentile([], 0.5)


def test_a_row_within_its_limit_holds_and_one_above_is_named():
    """The verdict names the columns that are over; a row without limits has none."""
    good = Row("case", OURS, samples(0.001, 0.1, 0.002), {"wall": 3.0})
    bad = Row("case", OURS, samples(0.004, 0.005, 0.006), {"wall": 3.0})
    plain = Row("case", "peer", samples(1.0))
    made = table(good, bad, plain)
    assert "holds" == made.verdict(good)
    assert "**over: wall, ms**" == made.verdict(bad)
    assert "" == made.verdict(plain)


def test_a_column_can_stand_for_the_worst_round():
    """Where the largest value counts, one bad round is over the limit."""
    row = Row("case", OURS, samples(0.001, 0.1, 0.002), {"wall": 3.0})
    assert "**over: wall, ms**" == table(row, largest=True).verdict(row)


def test_a_value_that_is_missing_does_not_hold():
    """A limit without a measured value is no success; a failure is said to be one."""
    missing = Row("case", OURS, samples(), {"wall": 3.0})
    failed = Row("case", OURS, samples(failure=Failure("Error: no disk")), {"wall": 3.0})
    made = table(missing, failed)
    assert "**over: wall, ms**" == made.verdict(missing)
    assert "not measured" == made.verdict(failed)
    assert "Not measured: sacred-journal (case). The reason: Error: no disk" in made.markdown()


def test_ratios_are_to_this_project_in_the_same_case():
    """The ratio is the first column by that of the case's reference row."""
    ours = Row("a", OURS, samples(2.0), reference=True)
    peer = Row("a", "peer", samples(7.0))
    other = Row("b", "peer", samples(7.0))
    made = table(ours, peer, other)
    assert 3.5 == made.ratio(peer)
    assert 1.0 == made.ratio(ours)
    assert made.ratio(other) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.0, "1"), (12.345, "12.3"), (1234567.0, "1,234,567")],
)
def test_numbers_have_three_digits(value, expected):
    """Numbers are shown with three significant digits and no exponent."""
    assert expected == number(value)


def test_a_page_keeps_what_was_written_by_hand():
    """Only what stands between the marks of a budget is replaced, and twice is as good as once."""
    page = "# Page\n\n<!-- B3:begin -->\n\nold\n\n<!-- B3:end -->\n\nBy hand.\n"
    once = report.update(page, "B3", r"new \1")
    expected = "# Page\n\n<!-- B3:begin -->\n\nnew \\1\n\n<!-- B3:end -->\n\nBy hand.\n"
    assert expected == once
    assert once == report.update(once, "B3", r"new \1")


def test_the_page_has_a_place_for_every_budget():
    """docs/benchmarks.md has the marks of each budget that can be measured, and the machine's."""
    text = PAGE.read_text(encoding="utf-8")
    for name in [*run.BUDGETS, "machine"]:
        assert 1 == text.count(f"<!-- {name}:begin -->"), name
        assert 1 == text.count(f"<!-- {name}:end -->"), name


def test_a_process_is_measured(tmp_path):
    """A process costs wall time, processor time and memory, all of them more than nothing."""
    cost = processes.run([str(HERE), "-c", "sum(range(10**6))"], cwd=tmp_path, limit=60)
    assert cost.wall > 0
    assert cost.cpu > 0
    assert cost.rss > 1_000_000


def test_a_process_that_fails_says_why(tmp_path):
    """A failure names the exit status and the end of the output."""
    with pytest.raises(processes.ProcessFailedError, match=r"exit status 3:\nout of luck"):
        processes.run(
            [str(HERE), "-c", "print('out of luck'); raise SystemExit(3)"], cwd=tmp_path, limit=60
        )


def test_a_process_that_hangs_is_killed(tmp_path):
    """A process that does not end in its time is killed and counts as failed."""
    with pytest.raises(processes.ProcessFailedError, match="took more than"):
        processes.run([str(HERE), "-c", "import time; time.sleep(600)"], cwd=tmp_path, limit=0.3)


def test_the_environment_of_what_is_measured_is_clean(monkeypatch):
    """Settings of this project and of Python do not reach a measured process unless meant to."""
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "no")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    made = processes.environment({"SACRED_JOURNAL_ROOT": "/here"})
    assert "SACRED_JOURNAL_ENABLED" not in made
    assert "PYTHONPATH" not in made
    assert "/here" == made["SACRED_JOURNAL_ROOT"]


def test_the_machine_is_described(tmp_path):
    """Every fact about the machine has a text."""
    facts = machine.machine(tmp_path)
    assert {"processor", "cores", "memory", "kernel", "Python", "file system"} == set(facts)
    assert all(facts.values())


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path):
    """Files in folders count, folders themselves do not."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"1" * 10)
    (tmp_path / "a" / "b" / "two").write_bytes(b"2" * 5)
    assert 15 == folder_size(tmp_path)


def test_a_missing_point_is_a_hole(laboratory):
    """Points are counted from what is on the disk; one missing before the last is a hole."""
    folder = laboratory.folder()
    (folder / "data" / "1").mkdir(parents=True)
    metrics = {"loss": {"steps": [0, 1, 3], "values": [0.0, 1.0, 3.0], "timestamps": []}}
    (folder / "data" / "1" / "metrics.json").write_text(json.dumps(metrics))
    assert (3, 1) == laboratory.count(Contestant("peer", HERE, "", "file"), folder)


def test_the_points_of_a_journal_are_counted(laboratory):
    """Points written one by one and in tables are counted alike."""
    folder = laboratory.folder()
    ours = Contestant(OURS, HERE, "sacred", "journal", ours=True)
    laboratory.record(ours, "points", [1_000, 1, 0], folder=folder)
    assert (1_000, 0) == laboratory.count(ours, folder)


def test_an_environment_is_made_anew_when_the_package_changed(tmp_path):
    """The digest of a wheel is that of what it holds, not of when it was built."""

    def wheel(name, text, year):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            entry = zipfile.ZipInfo("sacred/__init__.py", (year, 1, 1, 0, 0, 0))
            archive.writestr(entry, text)
        return environments._fingerprint(path)

    first = wheel("a.whl", "one = 1", 2024)
    assert first == wheel("b.whl", "one = 1", 2025)
    assert first != wheel("c.whl", "one = 2", 2024)


@pytest.mark.parametrize(
    "words",
    [
        ["--only", "B99"],
        ["--wheel", "nowhere.whl"],
        ["--write", "no/where/page.md"],
        ["--view", "nothing"],
        ["--only", "B9", "--view", "file", "--write", "page.md"],
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(words, capsys):
    """Wrong use ends with exit status 2 and a sentence."""
    with pytest.raises(SystemExit) as ended:
        run.main(words)
    assert 2 == ended.value.code
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(run.BUDGETS))
def test_every_budget_is_measured(laboratory, name):
    """Each budget's table has a finite number for this project in every column."""
    made = run.BUDGETS[name](laboratory)
    assert name == made.budget
    ours = [row for row in made.rows if row.name.startswith(OURS)]
    assert ours
    for row in ours:
        assert row.samples.failure is None
        values = {column.key: column.value(row.samples) for column in made.columns}
        if name == "B2" and "view" not in row.case:
            del values["incomplete"]
        if name == "B8" and "live" not in row.name:
            del values["times"]
        assert all(value is not None and math.isfinite(value) for value in values.values()), values
    lines = [line for line in made.markdown().splitlines() if line.startswith("|")]
    assert len(made.rows) + 2 == len(lines)
    assert 1 == len({line.count("|") for line in lines})


@pytest.mark.parametrize("name", ["B3", "B5", "B6"])
def test_the_peers_are_measured(laboratory, tmp_path, name):
    """Beside the peers' environment, their rows have numbers too, by the same scripts."""
    peer = environments.existing_peer()
    if peer is None:
        pytest.skip(f"the peers' environment {environments.CACHE / 'peer'} is not there")
    found = environments.Environments(HERE, HERE, peer)
    with Laboratory(found, TINY, tmp_path / "peers") as beside:
        made = run.BUDGETS[name](beside)
    names = {row.name for row in made.rows}
    assert {"sacred 0.8.7", "tensorboardX"} <= names
    assert [] == [row.samples.failure for row in made.rows if row.samples.failure is not None]
