"""`sacred diff`: what is different between two runs."""

from __future__ import annotations

import hashlib
import json

import pytest

from sacred.cli import diff
from sacred.journal import BlobStore, EventType


@pytest.fixture
def write(root):
    """Write a run with these sources, packages, points and fields of its start; return its number."""
    store = BlobStore(root.journals.blobs)

    def write(*, sources=(), packages=(), points=(), patch=None, commit=None, end=None, **fields):
        writer = root.writer(blobs=store)
        root.start(writer, root.last.number, **fields)
        for name, content in dict(sources).items():
            stored = store.put_bytes(content)
            about = {"blob": stored.blob.to_wire(), "md5": stored.md5}
            writer.append(EventType.SOURCE_ADDED, filename=name, path=f"/x/{name}", **about)
        writer.append(EventType.DEPENDENCIES_FOUND, dependencies=list(packages))
        if commit:
            diff = store.put_bytes(patch).blob.to_wire() if patch else None
            writer.append(
                EventType.REPOSITORY_FOUND,
                url="git@x:y",
                commit=commit,
                dirty=bool(patch),
                diff=diff,
            )
        for step, value in enumerate(points):
            writer.log_point("loss", step, value)
        root.end(writer, **(end or {}))
        return root.last.number

    write.store = store
    return write


def test_every_section(write, run_sacred):
    """Config, metrics, sources, packages, git and host: each with what differs, and nothing else."""
    a = write(
        sources={"train.py": b"same\nold\n", "gone.py": b"1\n"},
        packages=["numpy==1.26", "rich==13.0", "kept==1"],
        points=[1.0, 0.5],
        commit="aaaa",
        patch=b"-x\n",
        config={"lr": 0.1, "kept": 1, "net": {"layers": [1, 2]}, "old": None},
        host={"hostname": "h1", "cpu": "c"},
    )
    b = write(
        sources={"train.py": b"same\nnew\n", "fresh.py": b"2\n"},
        packages=["numpy==2.0", "duckdb==1.4", "kept==1"],
        points=[1.0, 0.25],
        commit="bbbb",
        config={"lr": 0.5, "kept": 1, "net": {"layers": [1, 3]}, "new": "x"},
        host={"hostname": "h2", "cpu": "c"},
        end={"status": "TIMEOUT", "result": 3},
    )
    done = run_sacred("diff", a, b)
    assert (0, "") == (done.code, done.err)
    lines = done.out.splitlines()
    words = [line.split() for line in lines]
    assert "run 1 -> run 2" == lines[0]
    for expected in (
        "status COMPLETED -> TIMEOUT",
        "+ result 3",
        "lr 0.1 -> 0.5",
        "net.layers [1, 2] -> [1, 3]",
        "- old null",
        '+ new "x"',
        "loss 0.5 0.25 0.5 0.25 1 1 2 2",
        "numpy 1.26 -> 2.0",
        "- rich 13.0",
        "+ duckdb 1.4",
        "git@x:y aaaa (changed) -> bbbb",
        'hostname "h1" -> "h2"',
    ):
        assert expected.split() in words, expected
    for expected in (
        "--- 1/train.py",
        "+++ 2/train.py",
        "-old",
        "+new",
        "--- 1/gone.py",
        "+++ 2/fresh.py",
    ):
        assert expected in lines
    titles = ["config", "metrics", "sources", "dependencies", "git", "host"]
    assert titles == [line for line in lines if line in titles]
    assert not {"kept", "cpu"} & {row[0] for row in words if row}
    record = json.loads(run_sacred("diff", a, b, "--json").out)
    assert {"key": "old", "change": "removed", "a": None} in record["config"]
    assert {"key": "new", "change": "added", "b": "x"} in record["config"]
    (metric,) = record["metrics"]
    assert (0.5, 0.25) == (metric["a"]["last"], metric["b"]["last"])
    assert "-old\n+new\n" in {each["name"]: each["diff"] for each in record["sources"]}["train.py"]


def test_the_exit_code_tells_only_if_asked(write, run_sacred):
    """0 whether or not anything differs; --exit-code makes it 1, of the sections that are asked for."""
    write(config={"lr": 1})
    write(config={"lr": 2})
    write(config={"lr": 2})
    assert 0 == run_sacred("diff", 1, 2).code
    assert 1 == run_sacred("diff", 1, 2, "--exit-code").code
    assert 0 == run_sacred("diff", 1, 2, "--exit-code", "--only", "host").code
    done = run_sacred("diff", 2, 3, "--exit-code")
    assert (0, "run 2 -> run 3\n  nothing differs\n") == (done.code, done.out)
    assert 0 == run_sacred("diff", 1, 1, "--exit-code").code
    done = run_sacred("diff", 1, 2, "--json", "--only", "config", "--exit-code")
    assert 1 == done.code
    assert {"a", "b", "different", "config"} == set(json.loads(done.out))


def test_values_that_look_alike(write, run_sacred):
    """1 and 1.0 differ, and so do 1 and "1"; two NaN do not."""
    nan = float("nan")
    write(config={"whole": 1, "text": 1, "nan": nan, "truth": True}, points=[nan])
    write(config={"whole": 1.0, "text": "1", "nan": nan, "truth": 1}, points=[nan])
    record = json.loads(run_sacred("diff", 1, 2, "--json").out)
    assert ["whole", "text", "truth"] == [change["key"] for change in record["config"]]
    assert [] == record["metrics"]


def test_sources_that_can_not_be_compared(write, run_sacred):
    """Large, binary, missing and damaged ones are a sentence each."""
    contents = {
        "large.py": (b"x = 1\n" * 200_000, b"x = 2\n" * 200_000),
        "long.py": (b"a\n" * 10_001, b"b\n"),
        "binary": (b"\0\1", b"\0\2"),
        "latin.py": (b"gr\xfc\xdf", b"x"),
        "gone.py": (b"gone", b"there"),
        "bad.py": (b"good", b"fine"),
    }
    write(sources={name: pair[0] for name, pair in contents.items()})
    write(sources={name: pair[1] for name, pair in contents.items()})
    write.store.path_of(hashlib.sha256(b"gone").hexdigest()).unlink()
    write.store.path_of(hashlib.sha256(b"fine").hexdigest()).write_bytes(b"evil")
    done = run_sacred("diff", 1, 2)
    assert (0, "") == (done.code, done.err)
    told = {line.split()[0]: line for line in done.out.splitlines() if ": it" in line}
    assert set(contents) == set(told)
    assert "too large to be compared by lines (1,200,000 bytes in run 1)" in told["large.py"]
    assert "too large to be compared by lines (10,001 in run 1)" in told["long.py"]
    assert told["binary"].endswith("changed (2 bytes -> 2 bytes): it is no text")
    assert told["latin.py"].endswith("it is no text")
    assert told["gone.py"].endswith("its content in run 1 is missing from the store")
    assert told["bad.py"].endswith("its content in run 2 is damaged")


def test_runs_that_are_no_use(root, write, run_sacred):
    """A claimed folder can not be compared: 2; a run that died can; text of users steers nothing."""
    write(config={"\x1b[2J": "\x1b[31m"}, sources={"a\x1b.py": b"\x1b[2J\n"})
    root.died()
    root.journals.claim()
    done = run_sacred("diff", 1, 2)
    assert 0 == done.code
    assert "\x1b" not in done.out
    assert "COMPLETED -> DIED" in done.out
    done = run_sacred("diff", 1, 3)
    assert (2, "") == (done.code, done.out)
    assert "run 3 can not be compared: it was claimed, and nothing was written" in done.err
    assert 2 == run_sacred("diff", 1).code


def test_names_of_metrics_stay_whole_on_a_narrow_terminal(monkeypatch):
    """Maxima, minima and counts go, of both runs at once, before the name of a metric is cut."""
    from types import SimpleNamespace

    side = SimpleNamespace(last=0.123456, lowest=0.1, highest=2.54321, points=40)
    change = SimpleNamespace(name="validation.accuracy.of_five", a=side, b=side)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(diff.terminal, "is_terminal", lambda *_: True)
    headers = {}
    for width in (60, 80, 120):
        monkeypatch.setattr(diff.terminal, "columns", lambda width=width: width)
        header, row = diff._metric_lines([change])
        assert change.name in row
        headers[width] = header.split()[1:]
    assert ["LAST", "A", "LAST", "B"] == headers[60]
    assert "POINTS" not in headers[80]
    assert 2 == headers[120].count("POINTS")


def test_tags_and_notes_are_told(write, run_sacred, root):
    """What people said of one of the runs alone is a difference."""
    from sacred.analysis.annotation import change_tags, set_note

    write()
    write()
    change_tags(root.journals.run(1), add=["good"])
    set_note(root.journals.run(1), "see run 2")
    out = run_sacred("diff", 1, 2).out
    assert "- tags " in out
    assert "see run 2" in out
