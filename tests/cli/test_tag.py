"""`sacred tag` and `sacred note`."""

from __future__ import annotations

import json
import os
import stat

import pytest

from sacred.analysis.annotation import annotations_of, change_tags, set_note
from sacred.analysis.details import details, event_lines
from sacred.analysis.queries import query
from sacred.journal.errors import RunNotFoundError
from sacred.replayers.errors import AnnotationError


def tags(folder):
    return list(annotations_of(folder).tags)


def test_tags_come_and_go(root, run_sacred):
    """Several runs at once; what is there already, or is not there, changes nothing."""
    folders = [root.completed() for _ in range(3)]
    done = run_sacred("tag", "1", "2", "good", "+2024")
    assert (0, "RUN\tTAGS\n1\tgood, 2024\n2\tgood, 2024\n") == (done.code, done.out)
    done = run_sacred("tag", "last", "last~1", "-goed", "-good", "late")
    assert (0, "RUN\tTAGS\n3\tlate\n2\t2024, late\n") == (done.code, done.out)
    assert "sacred: all of these runs lack the tag goed\n" == done.err
    near = run_sacred("tag", "3", "-lat").err
    assert "sacred: run 3 lacks the tag lat: did you mean late?\n" == near
    assert [["good", "2024"], ["2024", "late"], ["late"]] == [tags(f) for f in folders]
    files = sorted(os.listdir(folders[0].path / "notes"))
    run_sacred("tag", "1", "good")
    assert files == sorted(os.listdir(folders[0].path / "notes"))


def test_tags_are_listed(root, run_sacred):
    """Of a run, and how many runs have each; in a pipe, and as JSON."""
    for number in range(3):
        change_tags(root.completed(), ["all", *(["some"] if number else [])])
    assert "TAG\tRUNS\nall\t3\nsome\t2\n" == run_sacred("tag").out
    assert "RUN\tTAGS\n2\tall, some\n" == run_sacred("tag", "2").out
    assert [{"tag": "all", "runs": 3}, {"tag": "some", "runs": 2}] == json.loads(
        run_sacred("tag", "--json").out
    )
    (record,) = json.loads(run_sacred("--root", root.path, "tag", "1", "--json").out)
    assert (1, ["all"]) == (record["run"], record["tags"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("+x",), "name the run first"),
        (("1", "x", "2"), "name the runs first, then the tags: +2"),
        (("9", "x"), "there is no run 9"),
        (("1", " "), "a tag is a word"),
        (("1", "+--x"), "begins with no sign"),
        (("1", "x" * 300), "200 characters at most"),
        (("1", "a\nb"), "one line of text"),
        (("1", "+x", "-x"), "to be added and to be removed"),
        (("1", "--jsonn"), "no such option"),
    ],
)
def test_what_is_no_tag(root, run_sacred, words, text):
    """Exit code 2, a sentence, and nothing written."""
    folder = root.completed()
    done = run_sacred("tag", *words)
    assert (2, True, "") == (done.code, text in done.err, done.out), done.err
    assert not (folder.path / "notes").exists()


def test_a_note_is_written_and_read(root, run_sacred):
    """From the command line, from stdin, and taken away again."""
    root.completed()
    assert (0, "") == ((done := run_sacred("note", "1")).code, done.out)
    assert 0 == run_sacred("note", "1", "see run 2").code
    assert "see run 2\n" == run_sacred("note", "1").out
    assert 0 == run_sacred("note", "1", "-", input=b"a\nb\x1b[31m\n\n").code
    assert "a\nb\\x1b[31m\n" == run_sacred("note", "1").out
    assert 0 == run_sacred("note", "1", "--clear").code
    assert "" == run_sacred("note", "1").out
    for words in (("",), ("x", "--clear")):
        assert 2 == run_sacred("note", "1", *words).code
    assert 2 == run_sacred("note").code


def test_where_they_are_seen(root, run_sacred):
    """In lists, in SQL, among the events, in the details; the run's own files stay as they are."""
    folder = root.completed()
    before = {p.name: p.read_bytes() for p in folder.journal.iterdir()}
    change_tags(folder, ["good", "best"], author="somebody")
    set_note(folder, "text")
    assert before == {p.name: p.read_bytes() for p in folder.journal.iterdir()}
    record = json.loads(run_sacred("ls", "--json").out)[0]
    assert (["good", "best"], "text") == (record["tags"], record["notes"])
    record = json.loads(run_sacred("show", "1", "--json").out)
    assert (["good", "best"], "text") == (record["tags"], record["notes"])
    assert (("good", "best"), "text") == tuple(details(folder).annotations)
    sql = "select run, notes from runs where list_contains(tags, 'best')"
    assert [(1, "text")] == query(sql, root.journals).rows
    sql = "select writer, seq, fields->>'author', fields->>'value' from events where type = 'annotated'"
    rows = query(sql, root.journals).rows
    assert [(None, None, "somebody", "good"), (None, None, "somebody", "best")] == rows[:2]
    lines = [json.loads(line) for line in event_lines(folder, [])]
    assert ["good", "best", "text"] == [
        line["fields"]["value"] for line in lines if line["type"] == "annotated"
    ]


def test_runs_of_every_fate(root):
    """Running, died, damaged, foreign: each can be told of; one that never began can not."""
    running = root.writer()
    root.start(running, 1)
    folders = [root.last, root.died()]
    foreign = root.journals.claim()
    (foreign.journal / "w0000-e0001.jzst").write_bytes(b"nothing of ours" * 9)
    damaged = root.completed()
    data = bytearray(root.file(damaged).read_bytes())
    data[-60:-50] = bytes(10)
    root.file(damaged).write_bytes(data)
    for folder in (*folders, foreign, damaged):
        assert ("x",) == change_tags(folder, ["x"]).tags
        assert ["x"] == tags(folder)
    running.close()
    with pytest.raises(RunNotFoundError, match="it is no run"):
        change_tags(root.journals.claim(), ["x"])
    with pytest.raises(AnnotationError, match="keep it as a file"):
        set_note(damaged, "x" * 1_000_001)


def test_tags_of_a_run_that_was_imported(root):
    """What came with it is there, and may be taken away."""
    from sacred.journal import EventType

    writer = root.writer()
    root.start(writer, 1)
    for tag in ("theirs", "old"):
        writer.append(EventType.ANNOTATED, what="tag", action="add", value=tag)
    root.end(writer)
    changed = change_tags(root.last, ["ours", "old"], ["theirs"])
    assert (("old", "ours"), ("ours",), ("theirs",)) == changed[:3]
    assert ["old", "ours"] == tags(root.last)


def test_an_editor(root, run_sacred, tmp_path):
    """On a terminal the note is edited; what is saved is written."""
    import pty
    import subprocess
    import sys

    folder = root.completed()
    set_note(folder, "before")
    editor = tmp_path / "edits"
    editor.write_text('#!/bin/sh\necho "and after" >> "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    main, child = pty.openpty()
    code = "import sys; from sacred.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "note", "1"],
        cwd=tmp_path, stdin=child, stdout=child, stderr=child,
        env={**os.environ, "EDITOR": str(editor), "VISUAL": str(editor)},
    )  # fmt: skip
    os.close(child)
    assert 0 == process.wait(60)
    os.close(main)
    assert "before\nand after" == annotations_of(folder).notes.replace("beforeand", "before\nand")
