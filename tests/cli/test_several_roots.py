"""``--root`` repeated: the runs of several roots in one listing, question, comparison, export."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Root

MINUTE = 60 * 10**9
SEVERAL = ("--root", "a", "--root", "b")


@pytest.fixture
def roots(tmp_path):
    """Two roots whose runs took turns: a1 b1 a2 b2 a3; b2 died."""
    a, b = Root(tmp_path / "a"), Root(tmp_path / "b")
    for number, root in enumerate((a, b, a)):
        root.completed(name=f"of-{root.path.name}", result=number)
    b.died()
    a.completed(name="newest", result=4)
    return a, b


def table(out):
    """Return the rows of a table in a pipe."""
    return [line.split("\t") for line in out.splitlines()]


def test_a_listing_has_the_root_of_each_run(run_sacred, roots):
    """Runs stand as they began, each behind its root; of one root there is no such column."""
    for ask in (["ls", *SEVERAL], [*SEVERAL, "ls"]):
        header, *rows = table(run_sacred(*ask).out)
        assert header[:2] == ["ROOT", "RUN"]
        assert sorted(map(tuple, (row[:2] for row in rows))) == [
            *(("a", "1"), ("a", "2"), ("a", "3")),
            *(("b", "1"), ("b", "2")),
        ]
        assert rows[-1][:2] == ["b", "2"]  # the others have the time of the tests
    assert table(run_sacred("ls", "--root", "a").out)[0][0] == "RUN"
    (last,) = json.loads(run_sacred("ls", *SEVERAL, "-n", "1", "--json").out)
    assert (last["root"], last["run"], last["status"]) == ("b", 2, "DIED")


def test_columns_conditions_and_groups_know_the_root(run_sacred, roots):
    """``root`` is a column, a condition and a group, by the path that was given."""
    assert table(run_sacred("ls", *SEVERAL, "-c", "name", "--filter", "root = 'b'").out) == [
        ["ROOT", "RUN", "NAME"],
        ["b", "1", "of-b"],
        ["b", "2", "dies"],
    ]
    assert table(run_sacred("ls", *SEVERAL, "--group", "root", "-c", "points").out) == [
        ["ROOT", "RUNS", "POINTS sum"],
        ["a", "3", "90"],
        ["b", "2", "80"],
    ]
    found = run_sacred("ls", *SEVERAL, "-c", "result", "--sort", "-result", "-n", "1")
    assert table(found.out)[1] == ["a", "3", "4"]


def test_the_past_of_several_roots(run_sacred, roots):
    """--at holds for all of them."""
    header, *rows = table(run_sacred("ls", *SEVERAL, "--at", "2023-11-15").out)
    assert [row[:2] for row in rows] == [["a", "1"], ["a", "2"], ["a", "3"], ["b", "1"]]
    assert header[0] == "ROOT"
    done = run_sacred("ls", *SEVERAL, "--at", "2020-01-01")
    assert (done.out, done.err) == ("", "sacred: no run had begun at 2020-01-01\n")


def test_a_question_to_several_roots(run_sacred, roots):
    """query and sql have the column root; what takes two runs for one is refused."""
    ask = "select root, count(*) as runs from runs group by all order by all"
    expected = "root\truns\na\t3\nb\t2\n"
    assert run_sacred("query", *SEVERAL, ask).out == expected
    assert run_sacred("sql", *SEVERAL, input=f"{ask};".encode()).out == expected
    for command in (["query", *SEVERAL, "from runs join config using (run)"],):
        done = run_sacred(*command)
        assert (done.code, done.out) == (2, "")
        assert "join using (root, run)" in done.err


def test_a_damaged_run_is_told_with_its_root(run_sacred, roots):
    """The sentence and the command name the root that it is in."""
    folder = roots[1].journals.runs()[0]
    content = bytearray(roots[1].file(folder).read_bytes())
    content[200:230] = bytes(30)
    roots[1].file(folder).write_bytes(content)
    done = run_sacred("query", *SEVERAL, "select root, run from runs where problem is not null")
    assert done.out == "root\trun\nb\t1\n"
    assert done.err.startswith("sacred: b: run 1: ")
    assert "sacred verify 1 --root b" in done.err
    done = run_sacred("ls", *SEVERAL, "-c", "status")
    assert done.code == 0
    assert "sacred verify --all --root b" in done.err


def test_runs_of_several_roots_by_name(run_sacred, roots):
    """A number in both is ambiguous, with the folders to name; last is the newest of all."""
    done = run_sacred("compare", *SEVERAL, "1", "last")
    assert (done.code, done.out) == (2, "")
    first, *listed = done.err.splitlines()
    assert first == "sacred: '1' is a run in 2 of the roots: name one by its folder, as b/1"
    assert [line.split(":")[0].strip() for line in listed] == ["a/1", "b/1"]
    header, *rows = table(run_sacred("compare", *SEVERAL, "a/1", "b/1", "last").out)
    assert header[:2] == ["ROOT", "RUN"]
    assert [row[:2] for row in rows] == [["a", "1"], ["b", "1"], ["b", "2"]]
    done = run_sacred("compare", *SEVERAL, "newest", "9")
    assert done.code == 2
    assert "there is no run 9 in a or b" in done.err


def test_exports_of_several_roots(run_sacred, roots, tmp_path):
    """Tables and lines have the root; one run is found by its name in all of them."""
    done = run_sacred("export", *SEVERAL, "--all", "--format", "csv", "-o", "csv")
    assert done.code == 0
    assert (tmp_path / "csv" / "metrics.csv").read_text().startswith("root,run,writer,")
    lines = run_sacred("export", *SEVERAL, "--all").out.splitlines()
    assert {json.loads(line)["root"] for line in lines} == {"a", "b"}
    assert run_sacred("export", *SEVERAL, "3", "--html", "3.html").code == 0


def test_the_same_root_twice_is_one(run_sacred, roots, tmp_path):
    """Also through a link; a command for one root takes it then, too."""
    (tmp_path / "link").symlink_to("a")
    same = ("--root", "a", "--root", "link")
    assert len(run_sacred("ls", *same).out.splitlines()) == 4
    assert "run 3" in run_sacred("show", "3", *same).out


@pytest.mark.parametrize(
    "command",
    [
        *(["rm", "1"], ["tag", "1", "x"], ["note", "1", "x"], ["seal", "1"], ["repair", "1"]),
        *(["gc"], ["show", "1"], ["tail", "1"], ["verify", "1"], ["views"], ["doctor"]),
    ],
)
def test_what_acts_on_runs_takes_one_root(run_sacred, roots, command):
    """It says so, and does nothing; whether the roots stand before the command or behind it."""
    for ask in ([*command, *SEVERAL], [*SEVERAL, *command]):
        done = run_sacred(*ask)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(
            f"sacred: {command[0]} is about the runs of one root: give --root once"
        )
    assert len(roots[0].journals.runs()) == 3


def test_odd_roots(run_sacred, roots, tmp_path):
    """One that is missing is named; one that is empty adds nothing; nothing is no folder."""
    for command in (["ls"], ["query", "from runs"], ["export", "--all"], ["compare", "1", "2"]):
        done = run_sacred(*command, "--root", "a", "--root", "gone")
        assert (done.code, done.out) == (2, "")
        assert "gone does not exist" in done.err
    Root(tmp_path / "empty").journals.create()
    done = run_sacred("ls", "--root", "empty", "--root", "b")
    assert len(done.out.splitlines()) == 3
    done = run_sacred("ls", "--root", "empty", "--root", "./empty")
    assert (done.code, done.out) == (0, "")
    assert "there are no runs yet" in done.err
    assert run_sacred("ls", "--root", "a", "--root", "").code == 2
