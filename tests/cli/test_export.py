"""`sacred export` and `sacred import`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sacred.journal import JournalReader
from sacred.journal.errors import NewerFormatError
from sacred.replayers.jsontext import event_lines


def test_lines_on_stdout(root, run_sacred):
    """One run: exactly what ``sacred events`` prints; several: each line with its run."""
    root.completed()
    root.died()
    assert run_sacred("events", 1).out == run_sacred("export", 1).out != ""
    assert run_sacred("events", 1).out == run_sacred("export", "last~1", "-o", "-").out
    for names in (["1", "2"], ["--all"]):
        done = run_sacred("export", *names)
        assert (0, "") == (done.code, done.err)
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert [1, 2] == sorted({line.pop("run") for line in lines})
        single = "".join(run_sacred("events", number).out for number in (1, 2))
        assert [json.loads(line) for line in single.splitlines()] == lines


def test_into_files(root, run_sacred, tmp_path):
    """A file of lines, a folder of tables: said in a line, and not written over unasked."""
    root.completed()
    done = run_sacred("export", "--all", "-o", "runs.jsonl")
    count = len((tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines())
    assert (0, f"{count} lines in {tmp_path}/runs.jsonl\n", "") == (done.code, done.out, done.err)
    done = run_sacred("export", 1, "--format", "parquet", "-o", "tables")
    assert 0 == done.code
    assert done.out.startswith("1 run, 30 metrics, ")
    for args in (["-o", "runs.jsonl"], ["--format", "parquet", "-o", "tables"]):
        done = run_sacred("export", 1, *args)
        assert 2 == done.code
        assert "is there already: choose another name, or --force" in done.err
        assert 0 == run_sacred("export", 1, *args, "--force").code


def test_there_and_back(root, run_sacred, tmp_path):
    """A bundle is made a run again, once, in a root that is made for it."""
    root.died()
    done = run_sacred("export", 1, "--bundle", "run.tar")
    assert (0, "") == (done.code, done.err)
    assert done.out.startswith("run 1: ")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bundle = tmp_path / "run.tar"
    done = run_sacred("import", bundle, cwd=elsewhere)
    assert (0, "") == (done.code, done.err)
    assert done.out.startswith(f"run 1: imported into {elsewhere}/sacred_runs, ")
    done = run_sacred("import", bundle, cwd=elsewhere)
    assert (0, f"run 1: in {elsewhere}/sacred_runs already\n") == (done.code, done.out)
    assert run_sacred("events", 1).out == run_sacred("events", 1, cwd=elsewhere).out
    assert "DIED" in run_sacred("ls", cwd=elsewhere).out
    assert "clean" in run_sacred("verify", 1, cwd=elsewhere).out
    # Within a root it is that root; a name is a name.
    done = run_sacred("import", bundle, "--json", cwd=elsewhere / "sacred_runs")
    (record,) = json.loads(done.out)
    assert ("already", 1, 1) == (record["state"], record["run"], record["run_before"])
    done = run_sacred("import", bundle, "--json", "--root", "third")
    (record,) = json.loads(done.out)
    assert ("imported", f"{tmp_path}/third/1") == (record["state"], record["path"])


def test_no_root_above_is_written_to(root, run_sacred, tmp_path):
    """Imports go where a program started here would write: not into a root of a folder above."""
    root.completed()
    run_sacred("export", 1, "--bundle", "run.tar")
    below = tmp_path / "below"
    below.mkdir()
    run_sacred("import", "../run.tar", cwd=below)
    assert (below / "sacred_runs" / "1").is_dir()
    done = run_sacred("import", "run.tar", env={"SACRED_JOURNAL_ROOT": str(tmp_path / "named")})
    assert (0, True) == (done.code, (tmp_path / "named" / "1").is_dir())


def test_another_number(root, run_sacred, tmp_path):
    """A number that is taken is told."""
    root.completed()
    run_sacred("export", 1, "--bundle", "run.tar")
    (tmp_path / "other" / "1" / "journal").mkdir(parents=True)
    (tmp_path / "other" / ".sacred-journal").write_text('{"layout": 1}\n')
    done = run_sacred("import", "run.tar", "-J", "other")
    assert done.out.startswith(f"run 2: imported into {tmp_path}/other, ")
    assert done.out.endswith(" events, where it was run 1\n")


def test_damaged_runs(root, run_sacred, tmp_path):
    """What is whole is exported, what is lost is told, and the exit code is 1."""
    file = root.file(root.completed(metrics=(("loss", 400),)))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    for args in (["-o", "x.jsonl"], ["--format", "parquet", "-o", "x"], ["--bundle", "x.tar"], []):
        done = run_sacred("export", 1, *args)
        assert 1 == done.code
        assert "w0000-e0001.jzst: " in done.err
        assert done.out
    done = run_sacred("import", "x.tar", "-J", "there")
    assert 0 == done.code
    assert bytes(data) == (tmp_path / "there" / "1" / "journal" / file.name).read_bytes()


def test_several_bundles(root, run_sacred, tmp_path):
    """Each is told by itself; one that is none stops no other, and decides the exit code."""
    for number in (1, 2):
        root.completed()
        run_sacred("export", number, "--bundle", f"{number}.tar")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "1.tar").read_bytes()[:-1])
    (tmp_path / "text").write_text("text")
    done = run_sacred("import", "1.tar", "nothing", "text", "2.tar", "-J", "there")
    assert 2 == done.code
    assert ["run 1", "run 2"] == [line[:5] for line in done.out.splitlines()]
    assert [
        "sacred: nothing: No such file or directory",
        "sacred: text is no bundle of a run (`sacred export RUN --bundle FILE` writes one)",
    ] == done.err.splitlines()
    done = run_sacred("import", "cut.tar", "text", "-J", "there")
    assert 1 == done.code
    assert "cut.tar is no whole bundle: it is cut off (" in done.err
    assert 1 == run_sacred("import", "cut.tar", "-J", "new").code
    assert not (tmp_path / "new").exists()


def test_missing_files_are_told(root, run_sacred):
    """A stored file that is gone is told when the bundle is written, and when it is read."""
    from sacred.journal import BlobStore, EventType

    store = BlobStore(root.journals.blobs)
    writer = root.writer()
    root.start(writer, 1)
    stored = store.put_bytes(b"x")
    writer.append(EventType.RESOURCE_ADDED, filename="/x", blob=stored.blob.to_wire())
    root.end(writer)
    os.remove(store.path_of(stored.blob.digest))
    done = run_sacred("export", 1, "--bundle", "x.tar")
    assert 1 == done.code
    assert f"blob {stored.blob.digest} is not in" in done.err
    done = run_sacred("import", "x.tar", "-J", "there")
    assert (0, "sacred: run 1: 1 stored file was missing when it was exported\n") == (
        done.code,
        done.err,
    )


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "name the runs to export, or give --all"),
        (["1", "--all"], "name the runs to export, or give --all"),
        (["1", "--format", "xml"], "'xml' is not one of 'jsonl', 'csv', 'parquet'"),
        (["1", "--format", "parquet"], "Parquet needs a folder"),
        (["1", "--format", "parquet", "-o", "-"], "Parquet needs a folder"),
        (["1", "--bundle", "x", "-o", "y"], "goes without --format and -o"),
        (["1", "--bundle", "x", "--format", "jsonl"], "goes without --format and -o"),
        (["--all", "--bundle", "x"], "a bundle is of one run"),
        (["1", "2", "--bundle", "x"], "a bundle is of one run"),
        (["1", "--bundle", ""], "the name of what to write is empty"),
        (["1", "-o", ""], "the name of what to write is empty"),
        (["1", "-o", "."], "is a folder: name a file in it"),
        (["7"], "there is no run 7"),
        (["1", "-o", "no/x"], "does not exist: make it first"),
        (["1", "--bundle", "sacred_runs/1/x.tar"], "lies among the journals"),
        (["2", "--bundle", "x"], "holds no journal"),
    ],
)
def test_wrong_use(root, run_sacred, tmp_path, args, sentence):
    """One sentence, exit code 2, and nothing is written."""
    root.completed()
    root.journals.claim()
    done = run_sacred("export", *args)
    assert (2, "") == (done.code, done.out)
    assert sentence.lower() in done.err.lower()
    assert 1 == done.err.count("\n")
    assert ["sacred_runs"] == os.listdir(tmp_path)


def test_import_without_a_file(run_sacred):
    """A bundle has to be named."""
    done = run_sacred("import")
    assert 2 == done.code
    assert "missing argument" in done.err


def test_the_help_shows_what_works(root, run_sacred):
    """The examples of the help can be typed."""
    for number in range(7):
        root.completed()
    for command in ("export", "import"):
        text = run_sacred(command, "--help").out
        lines = [line.split() for line in text.splitlines() if line.startswith("    sacred ")]
        assert lines
        for _, name, *rest in lines:
            stop = next(
                (
                    n
                    for n, word in enumerate(rest)
                    if word in {"its", "those", "journal", "the", "a"}
                ),
                9,
            )
            words = [word for word in rest[:stop] if word not in {"here", "there"}]
            done = run_sacred(name, *words, "--force" if name == "export" else "--json")
            assert (0, "") == (done.code, done.err)


def piped(tmp_path, command, stdin=b""):
    """Run a command of ``sacred`` between two pipes."""
    code = "import sys; from sacred.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=tmp_path,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_through_a_pipe(root, run_sacred, tmp_path):
    """A bundle goes out by stdout and comes in by stdin, the same bytes as in a file."""
    root.completed()
    run_sacred("export", 1, "--bundle", "run.tar")
    out = piped(tmp_path, ["export", "1", "--bundle", "-"])
    assert (0, (tmp_path / "run.tar").read_bytes()) == (out.returncode, out.stdout)
    assert out.stderr == f"sacred: run 1: {len(out.stdout):,} bytes, 0 stored files\n".encode()
    into = piped(tmp_path, ["import", "-", "--root", "there"], out.stdout)
    assert (0, b"") == (into.returncode, into.stderr)
    assert into.stdout == f"run 1: imported into {tmp_path}/there, 33 events\n".encode()
    assert {"run.tar", "sacred_runs", "there"} == set(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("stdin", "code", "sentence"),
    [
        (b"", 2, "standard input is no bundle of a run"),
        (b"{}", 2, "standard input is no bundle of a run"),
        (None, 1, "standard input is no whole bundle: it is cut off"),
    ],
)
def test_a_pipe_with_something_else(root, tmp_path, stdin, code, sentence):
    """It is refused in one sentence that names where it came from, and nothing is made."""
    root.completed()
    if stdin is None:
        stdin = piped(tmp_path, ["export", "1", "--bundle", "-"]).stdout[:3000]
    done = piped(tmp_path, ["import", "-", "--root", "there"], stdin)
    assert (code, b"") == (done.returncode, done.stdout)
    assert f"sacred: {sentence}" in done.stderr.decode()
    assert 1 == done.stderr.count(b"\n")
    assert not (tmp_path / "there").exists()


def test_a_damaged_run_names_the_command(root, run_sacred):
    """What is not in an export is followed by the command that tells what to do."""
    file = root.file(root.completed(metrics=(("loss", 900),)))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    for what in (["-o", "x.jsonl"], ["--bundle", "x.tar"], ["--format", "parquet", "-o", "x"]):
        done = run_sacred("export", 1, *what)
        first, last = done.err.splitlines()
        assert first.startswith("sacred: run 1: w0000-e0001.jzst: events ")
        assert "sacred: not all of it could be exported: sacred verify 1 says what to do" == last
        assert 1 == done.code


GOLDEN = Path(__file__).parents[1] / "golden"


def test_each_golden_journal_has_its_lines():
    """P9: whatever a journal of the format holds, ``sacred events`` has lines of JSON for it."""
    for journal in sorted(GOLDEN.glob("*/journal")):
        reader = JournalReader(journal)
        try:
            for event in reader.read():
                for line in event_lines(event):
                    assert event.writer == json.loads(line)["writer"]
        except NewerFormatError:
            assert journal.parent.name.startswith("future")


def test_tables_of_several_kinds(root, run_sacred, tmp_path):
    """CSV into a folder or the metrics on stdout, a database, a page: each said in a line."""
    root.completed()
    done = run_sacred("export", "--all", "--format", "csv", "-o", "tables")
    assert (0, "") == (done.code, done.err)
    assert done.out.startswith("1 run, 30 metrics, ")
    done = run_sacred("export", 1, "--format", "csv")
    assert (0, "") == (done.code, done.err)
    assert (tmp_path / "tables" / "metrics.csv").read_text(encoding="utf-8") == done.out
    done = run_sacred("export", "--all", "--duckdb", "runs.duckdb")
    assert (0, True) == (done.code, done.out.endswith(f" in {tmp_path}/runs.duckdb\n"))
    done = run_sacred("export", 1, "--html", "page.html")
    assert (0, f"run 1 in {tmp_path}/page.html\n") == (done.code, done.out)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == run_sacred("export", 1, "--html", "-").out
    for args in (["--duckdb", "runs.duckdb"], ["--html", "page.html"]):
        done = run_sacred("export", 1, *args)
        assert (2, True) == (done.code, "is there already" in done.err)
        assert 0 == run_sacred("export", 1, *args, "--force").code


@pytest.mark.parametrize(
    "args",
    [
        ["--html", "a", "--duckdb", "b"],
        ["--html", "a", "--format", "csv"],
        ["--duckdb", "a", "-o", "b"],
        ["--all", "--html", "a"],
        ["--html", ""],
        ["--duckdb", "-"],
    ],
)
def test_what_does_not_go_together(root, run_sacred, args):
    """One kind at a time, a page of one run: a sentence, 2, and nothing is written."""
    root.completed()
    done = run_sacred("export", *([] if "--all" in args else [1]), *args)
    assert (2, "") == (done.code, done.out)
    assert 1 == done.err.count("\n")


def test_a_page_of_a_damaged_run(root, run_sacred, tmp_path):
    """What can be read is in it, and the exit code is 1."""
    folder = root.completed()
    file = root.file(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = run_sacred("export", 1, "--html", "page.html")
    assert 1 == done.code
    assert "sacred verify 1 says what to do" in done.err
    assert "trains" in (tmp_path / "page.html").read_text(encoding="utf-8")
