"""``sacred show`` and ``sacred events``: one run closely."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys

import pytest

from sacred import cli
from sacred.journal import BlobStore, EventType
from sacred.journal.events import Event
from sacred.journal.reader import JournalReader
from sacred.journal.spool import encode_record
from sacred.replayers.jsontext import event_lines

START = 1_700_000_000 * 10**9


def test_text(root, run_sacred):
    """Configuration, metrics, info, files, result and output are shown as lines."""
    writer = root.writer(blobs=BlobStore(root.journals.blobs))
    root.start(writer, 1, config={"opt": {"lr": 0.1}}, meta={"comment": "a try"})
    for step in range(40):
        writer.log_point("loss", step, 40.0 - step)
        writer.log_point("acc", step, step)
    writer.append(EventType.INFO_CHANGED, set=[[["seen"], 3]], deleted=[])
    stored = BlobStore(root.journals.blobs).put_bytes(b"12345")
    writer.append(
        EventType.ARTIFACT_ADDED,
        name="model.bin",
        filename="/x/model.bin",
        blob=stored.blob.to_wire(),
    )
    writer.append_output(1, b"10%\r50%\r100%\n\x1b[31mred\x1b[0m\n")
    root.end(writer, result={"best": 1})
    done = run_sacred("show", "1")
    assert (0, "") == (done.code, done.err)
    lines = [line.strip() for line in done.out.splitlines()]
    assert "run 1  COMPLETED" == lines[0]
    assert "comment   a try" in lines
    assert 'result    {"best": 1}' in lines
    assert "opt.lr = 0.1" in lines
    assert "seen = 3" in lines
    assert "model.bin  (5 bytes)" in lines
    words = [line.split() for line in lines[-2:]]
    assert ["loss", "1", "1", "39", "40", "0", "39", "40"] == words[0][:1] + words[0][2:]
    assert ["acc", "39", "0", "0", "39", "39", "39", "40"] == words[1][:1] + words[1][2:]
    assert (16, "█", "▁") == (len(words[0][1]), words[0][1][0], words[0][1][-1])
    assert (16, "▁", "█") == (len(words[1][1]), words[1][1][0], words[1][1][-1])
    at = lines.index("output")
    assert ["100%", "red"] == lines[at + 1 : at + 3]


def test_what_was_changed_of_the_configuration(root, run_sacred):
    """An entry that was modified, added or changed its type has a mark, and the title says which."""
    changes = {
        "added": ["extra"],
        "modified": ["opt", "opt.lr"],  # Sacred names the dict of an entry, too
        "typechanged": {"layers": ["list", "str"]},
        "docs": {"opt.lr": "how far"},
    }
    config = {"opt": {"lr": 0.1, "name": "sgd"}, "layers": "wide", "extra": {"a": 1}, "b": 2}
    writer = root.writer()
    root.start(writer, 1, config=config, modifications=changes)
    root.end(writer)
    lines = run_sacred("show", "1").out.splitlines()
    at = lines.index("config (* 1 modified, + 1 added, ! 1 of another type)")
    assert [
        "  * opt.lr   = 0.1",
        '    opt.name = "sgd"',
        '  ! layers   = "wide"  (was list)',
        "  + extra.a  = 1",
        "    b        = 2",
    ] == lines[at + 1 : at + 6]
    assert changes == json.loads(run_sacred("show", "1", "--json").out)["config_changes"]


@pytest.mark.parametrize("changes", [None, 3, {"added": 3, "typechanged": {"b": 1}, "docs": []}])
def test_changes_that_are_none(root, run_sacred, changes):
    """What a strange journal has in their place marks nothing."""
    writer = root.writer()
    root.start(writer, 1, config={"b": 2}, modifications=changes)
    root.end(writer)
    done = run_sacred("show", "1")
    assert (0, True) == (done.code, "\nconfig\n    b = 2\n" in done.out)


@pytest.mark.parametrize(
    ("status", "order"),
    [
        ("COMPLETED", ["config", "host", "output", "metrics"]),
        ("FAILED", ["config", "host", "metrics", "output", "trace"]),
        (None, ["config", "host", "metrics", "output"]),
    ],
)
def test_the_order_of_sections(root, run_sacred, status, order):
    """Where the prompt is stands what one looks for: results, what it prints now, why it failed."""
    writer = root.writer()
    root.start(writer, 1, config={"a": 1}, host={"cpu": "x", "hostname": "h"})
    writer.log_point("loss", 0, 1.0)
    writer.append_output(1, b"line\n")
    if status == "FAILED":
        root.end(writer, how="failed", status=status, fail_trace=["Oops\n"])
    elif status:
        root.end(writer)
    writer.flush()
    lines = run_sacred("show", "1").out.splitlines()
    titles = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert order == titles
    writer.close()


@pytest.mark.parametrize("reading", [1, 2])
def test_a_run_that_is_removed_while_it_is_read(root, capsys, monkeypatch, reading):
    """One sentence and exit code 2, whichever part of it was read by then."""
    folder = root.completed()
    begin, begun = JournalReader.__init__, []

    def begins(self, *args, **options):
        begun.append(self)
        if len(begun) == reading:
            shutil.rmtree(folder.path)
        begin(self, *args, **options)

    monkeypatch.setattr(JournalReader, "__init__", begins)
    assert 2 == cli.main(["show", "1", "--root", str(root.path)])
    told = capsys.readouterr()
    if reading == 2:
        assert ("", "sacred: run 1 was removed while it was read\n") == told
    else:
        assert "journal does not exist" in told.out


def test_metrics_without_blocks(root, run_sacred):
    """An encoding without block characters has letters; what is no number is an x in the curve."""
    writer = root.writer()
    root.start(writer, 1)
    for step, value in enumerate([0.0, 1.0, math.nan, 1.0]):
        writer.log_point("m", step, value)
    writer.log_point("text", 0, "abc")
    root.end(writer)
    env = {"PYTHONIOENCODING": "ascii"}
    lines = run_sacred("show", "1", env=env).out.splitlines()
    assert ["m", "_#x#", "1", "0", "0", "1", "1", "3", "4"] in [line.split() for line in lines]
    assert ["text", "x", '"abc"', "0", "1"] in [line.split() for line in lines]


def test_versions_of_an_artifact(root, run_sacred):
    """A name stands once, with its last version, however many checkpoints there are."""
    writer = root.writer(blobs=BlobStore(root.journals.blobs))
    root.start(writer, 1)
    for name, content in (("a", b"1"), ("b", b"12"), ("a", b"123")):
        blob = BlobStore(root.journals.blobs).put_bytes(content).blob.to_wire()
        writer.append(EventType.ARTIFACT_ADDED, name=name, filename=f"/x/{name}", blob=blob)
    root.end(writer)
    lines = run_sacred("show", "1").out.splitlines()
    at = lines.index("artifacts")
    assert ["  a  (3 bytes, the last of 2 versions)", "  b  (2 bytes)"] == lines[at + 1 : at + 3]
    assert 3 == len(json.loads(run_sacred("show", "1", "--json").out)["artifacts"])


def test_a_run_that_was_resumed(root, run_sacred):
    """When, from what status and how often; none of it for a run that nobody went on with."""
    writer = root.writer()
    root.start(writer, 1)
    second = 10**9
    given = {"--capture": "fd", "-d": True}
    for number, more in enumerate(
        ({"reason": "DIED", "last_seen": START + second}, {"options": given})
    ):
        writer.append(EventType.RUN_RESUMED, time_ns=START + (60 + number) * second, **more)
    root.end(writer)
    lines = run_sacred("show", "1", env={"TZ": "UTC"}).out.splitlines()
    at = lines.index("resumed")
    assert ["  2023-11-14 22:14:20, was DIED", "  2023-11-14 22:14:21, with --capture fd -d"] == (
        lines[at + 1 : at + 3]
    )
    assert [
        {
            "time": "2023-11-14T22:14:20.000000000Z",
            "status": "DIED",
            "last_seen": "2023-11-14T22:13:21.000000000Z",
            "options": {},
        },
        {
            "time": "2023-11-14T22:14:21.000000000Z",
            "status": None,
            "last_seen": None,
            "options": given,
        },
    ] == json.loads(run_sacred("show", "1", "--json").out)["resumed"]
    writer = root.writer()
    root.start(writer, 2)
    writer.append(EventType.RUN_RESUMED, time_ns=START + second, reason="\x1b[31mFAILED")
    root.end(writer)
    out = run_sacred("show", "2", env={"TZ": "UTC"}).out
    assert "\nresumed\n  2023-11-14 22:13:21, was \\x1b[31mFAILED\n" in out
    root.completed()
    assert "\nresumed\n" not in run_sacred("show", "3").out
    found = json.loads(run_sacred("show", "3", "--json").out)
    assert [[], []] == [found["resumed"], found["messages"]]


def test_messages(root, run_sacred):
    """What the run recorded for people, with time and level; the last ten, and 1,000 as JSON."""
    writer = root.writer()
    root.start(writer, 1)
    about = {"level": "warning", "source": "sacred"}
    writer.append(EventType.MESSAGE, time_ns=START, text="no git\nfor \x1b[2J", **about)
    lines = run_sacred("show", "1", env={"TZ": "UTC"}).out.splitlines()
    at = lines.index("messages")
    assert "  2023-11-14 22:13:20  warning: no git\\nfor \\x1b[2J" == lines[at + 1]
    (found,) = json.loads(run_sacred("show", "1", "--json").out)["messages"]
    assert {
        "time": "2023-11-14T22:13:20.000000000Z",
        "text": "no git\nfor \x1b[2J",
        **about,
    } == found
    for number in range(1004):
        writer.append(EventType.MESSAGE, level="info", text=f"m{number}")
    root.end(writer)
    lines = run_sacred("show", "1").out.splitlines()
    at = lines.index("messages (the last 10)")
    assert [f"info: m{number}" for number in range(994, 1004)] == [
        line.strip().partition("  ")[2] for line in lines[at + 1 : at + 11]
    ]
    found = json.loads(run_sacred("show", "1", "--json").out)["messages"]
    assert (1000, "m4", None) == (len(found), found[0]["text"], found[0]["source"])


def test_uncommitted_changes(root, run_sacred):
    """The repositories are shown, and --diff prints their changes as `git apply` takes them."""
    patch = b"diff --git a/x b/x\n+\xff\x1b[2J\n"
    store = BlobStore(root.journals.blobs)
    writer = root.writer(blobs=store)
    root.start(writer, 1)
    stored = store.put_bytes(patch).blob
    about = {"commit": "c0ffee", "dirty": True}
    for _ in range(2):  # a resumed run tells it again
        writer.append(
            EventType.REPOSITORY_FOUND, url="u", root="/a\nb", diff=stored.to_wire(), **about
        )
    writer.append(EventType.REPOSITORY_FOUND, url="v", commit="ab", dirty=False)
    root.end(writer)
    lines = run_sacred("show", "1").out.splitlines()
    at = lines.index("git")
    assert [
        "  u  c0ffee  (changed: 26 bytes, --diff shows them)",
        "  v  ab",
    ] == lines[at + 1 : at + 3]
    found = json.loads(run_sacred("show", "1", "--json").out)["repositories"]
    assert [
        {"url": "u", "root": "/a\nb", "diff": {"sha256": stored.digest, "size": 26}, **about},
        {"url": "v", "commit": "ab", "dirty": False, "root": None, "diff": None},
    ] == found
    done = subprocess.run(
        [sys.executable, "-m", "sacred", "show", "1", "--diff", "--root", root.path],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"# /a b at c0ffee\n" + patch == done.stdout
    store.path_of(stored.digest).write_bytes(b"other")
    done = run_sacred("show", "1", "--diff")
    assert (1, True) == (done.code, "is not what its name says" in done.err)


def test_no_uncommitted_changes(root, run_sacred):
    """--diff says where there are none; it is no JSON."""
    root.completed()
    done = run_sacred("show", "1", "--diff")
    assert (0, "") == (done.code, done.out)
    assert "run 1 has no uncommitted changes on record" in done.err
    done = run_sacred("show", "1", "--diff", "--json")
    assert (2, True) == (done.code, "give one of the two" in done.err)


def test_json(root, run_sacred):
    """--json is one object with everything."""
    root.completed(config={"a": math.inf}, metrics=(("loss", 20), ("b", 3)))
    found = json.loads(run_sacred("show", "last", "--json").out)
    assert ("COMPLETED", {"a": "Infinity"}) == (found["status"], found["config"])
    assert [("loss", 20, 0.05), ("b", 3, 1 / 3)] == [
        (metric["name"], metric["points"], metric["last"]) for metric in found["metrics"]
    ]
    assert "epoch 0\nGrüße\n" == found["output"]


def test_failed(root, run_sacred):
    """A failed run shows its stack trace."""
    writer = root.writer()
    root.start(writer, 1)
    root.end(writer, how="failed", status="FAILED", fail_trace=["Oops\n", "  at \x1b[2Jx\n"])
    done = run_sacred("show", "1")
    assert done.out.startswith("run 1  FAILED\n")
    assert "trace\n  Oops\n    at \\x1b[2Jx\n" in done.out


def test_spool(root, run_sacred):
    """R8: what the spool has beyond the journal is the run's last output, and is not written."""
    folder = root.died()
    first, second = encode_record(1, 5, b"journalled\n"), encode_record(2, 6, b"not yet\n")
    (folder.journal / "w0000.spool").write_bytes(first + second)
    before = root.file(folder).read_bytes()
    assert "journalled\nnot yet\n" == json.loads(run_sacred("show", "1", "--json").out)["output"]
    last = json.loads(run_sacred("events", "1").out.splitlines()[-1])
    assert (None, "output", "not yet\n") == (last["seq"], last["type"], last["fields"]["data"])
    assert before == root.file(folder).read_bytes()


def test_spool_is_not_told_twice(root, run_sacred):
    """R8: output that events hold already, by its offsets, is not taken from the spool again."""
    writer = root.writer()
    root.start(writer, 1)
    first, second = encode_record(1, 5, b"one\n"), encode_record(1, 6, b"two\n")
    writer.append_output(1, b"one\n", 0, len(first))
    (root.last.journal / "w0000.spool").write_bytes(first + second)
    root.end(writer)
    assert "one\ntwo\n" == json.loads(run_sacred("show", "1", "--json").out)["output"]


@pytest.mark.parametrize(
    ("text", "run"), [("1", 1), ("last", 3), ("last~2", 1), ("id:two", 2), ("sacred_runs/3", 3)]
)
def test_names_of_runs(root, run_sacred, text, run):
    """A run is named by its folder's number, from the end, by its id, or by a path."""
    root.completed()
    root.completed("two")
    root.completed()
    done = run_sacred("show", text, "--json")
    assert (run, "") == (json.loads(done.out)["run"], done.err)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("99", "there is no run 99 in {root}, which holds run 1 only"),
        ("last~1", "there is no run last~1 in {root}, which holds run 1 only"),
        ("id:nobody", "there is no run with the id 'nobody' in {root}"),
        ("what", "'what' names no run: write its number, last, last~2, id:X or the path"),
        ("0", "there is no run 0 in"),
        ("-1", "no such option '-1'"),
        ("../../evil", "holds no journal"),
        ("/nowhere/at/all", "/nowhere/at/all does not exist"),
        ("1/../", "holds no journal"),
        ("9" * 40, "names no run"),
    ],
)
@pytest.mark.parametrize("command", ["show", "events", "verify"])
def test_no_such_run(root, run_sacred, command, text, sentence):
    """A run that is not there: one sentence, exit code 2."""
    root.completed()
    (root.path.parent / "1").mkdir()
    (root.path.parent / "evil").mkdir()
    done = run_sacred(command, text)
    assert (2, "") == (done.code, done.out)
    assert sentence.format(root=root.path).lower() in done.err.lower() or "exist" in done.err
    assert 1 == done.err.count("\n")


def test_a_path_inside_of_a_run(root, run_sacred):
    """A file of a run's journal, and its folder, stand for the run."""
    file = root.file(root.completed())
    root.completed()
    for path in (file, file.parent, os.path.relpath(file, root.path.parent)):
        assert 1 == json.loads(run_sacred("show", path, "--json").out)["run"]
    assert run_sacred("verify", file).out.startswith("run 1: clean, ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "./sacred_runs",
            "{0}/sacred_runs is a root, which holds runs: name one of them, and --root",
        ),
        ("sacred_runs", "or the path of its folder (./sacred_runs for the one in this folder)"),
        ("./file", "{0}/file holds no journal: it is no folder, and a run is one"),
        ("./folder", "{0}/folder holds no journal (no file like w0000-e0001.jzst)"),
        ("2", "run 2 was claimed, and nothing was written"),
    ],
)
def test_what_is_no_run(root, tmp_path, run_sacred, text, sentence):
    """What was named instead of a run is said, and what to name."""
    root.completed()
    (root.path / "2").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    done = run_sacred("events", text)
    assert (2, "") == (done.code, done.out)
    assert sentence.format(tmp_path) in done.err


def test_a_damaged_run_names_the_command(root, run_sacred):
    """Whoever looks at a damaged run is told the command that says what to do."""
    file = root.file(root.completed(metrics=(("loss", 900),)))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "\n  to do     sacred verify 1\n" in run_sacred("show", "1").out
    assert run_sacred("events", "1").err.endswith(": sacred verify 1 says what to do\n")
    assert run_sacred("query", "from runs").err.endswith("; sacred verify 1 says what to do\n")
    replayed = run_sacred("replay", "--to", f"file:{root.path.parent / 'out'}")
    assert replayed.err.endswith("; sacred verify 1 says what to do\n")


def test_broken(root, run_sacred):
    """A foreign file can not be shown: exit code 2 and what is wrong; the same for events."""
    root.file(root.completed()).write_bytes(b"something else")
    done = run_sacred("show", "1")
    assert 2 == done.code
    assert "its files hold no frame of a journal" in done.out
    done = run_sacred("events", "1")
    assert (1, "") == (done.code, done.out)
    assert [
        "sacred: run 1: its files hold no frame of a journal",
        "sacred: run 1 is not whole: sacred verify 1 says what to do",
    ] == done.err.splitlines()


def refuse(text):
    """Refuse what is no JSON."""
    raise AssertionError(f"{text} is no JSON")


def test_events(root, run_sacred):
    """Every event is a line of valid JSON: bytes as text, non-finite numbers by name."""
    writer = root.writer()
    root.start(writer, "x", config={"deep": {"t": (1, 2)}, "when": b"\xff"})
    for step, value in enumerate([math.nan, math.inf, -math.inf, -0.0, 1 << 70, "text", None]):
        writer.log_point("m", step, value)
    for step in range(20):
        writer.log_point("table", step, step / 2)
    writer.append_output(2, b"caf\xc3\xa9 \xff\n")
    root.end(writer)
    done = run_sacred("events", "1")
    events = [json.loads(line, parse_constant=refuse) for line in done.out.splitlines()]
    assert (0, "") == (done.code, done.err)
    assert list(range(len(events) - 1)) == [event["seq"] for event in events[1:]]
    values = [event["fields"]["value"] for event in events if event["type"] == "metric_point"]
    assert ["NaN", "Infinity", "-Infinity", -0.0, 1 << 70, "text", None] == values[:7]
    assert [step / 2 for step in range(20)] == values[7:]
    assert "run_started" == events[1]["type"]
    assert "2023-11-14T22:13:20.000000000Z" == events[1]["time"]
    output = next(event for event in events if event["type"] == "output")
    assert {"stream": 2, "data": "café \ufffd\n"} == output["fields"]


def test_lines_of_points_are_those_of_any_event():
    """A point's line, put together for speed, is what the JSON module would write."""
    for step, value in [(0, 0.1), (-1, 1e300), (1 << 70, math.nan), ('a"b', None), (True, [1.5])]:
        fields = {"metric": 'n"ü', "step": step, "value": value}
        (line,) = event_lines(Event(EventType.METRIC_POINT, 5, 7, 3, fields))
        fields["value"] = "NaN" if value is math.nan else value
        about = {"time": "1970-01-01T00:00:00.000000005Z", "type": "metric_point"}
        whole = {"writer": 3, "seq": 7, **about, "fields": fields}
        assert json.dumps(whole, ensure_ascii=False) == line


def test_events_of_a_damaged_run(root, run_sacred):
    """What can be read comes, what is missing is named, and the exit code is 1."""
    folder = root.died()
    whole = run_sacred("events", "1").out.splitlines()
    file = root.file(folder)
    file.write_bytes(file.read_bytes()[:-3] + b"xyz")
    done = run_sacred("events", "1")
    assert 1 == done.code
    lines = done.out.splitlines()
    assert whole[: len(lines)] == lines
    assert len(lines) < len(whole)
    assert "are damaged" in done.err


def test_no_permission(root, run_sacred):
    """A journal that may not be read is reported, not hidden."""
    folder = root.completed()
    os.chmod(root.file(folder), 0)
    if os.access(root.file(folder), os.R_OK):
        pytest.skip("root may read everything")
    assert 0 != run_sacred("events", "1").code


def test_a_number_that_is_no_folder(root, run_sacred):
    """A file, or a link that leads nowhere, under a run's number: one sentence, exit code 2."""
    (root.path / "1").write_text("x")
    (root.path / "2").symlink_to(root.path / "2")
    for number in ("1", "2"):
        done = run_sacred("show", number)
        assert (2, "") == (done.code, done.out)
        assert f"sacred: {root.path / number} is no folder, and so no run\n" == done.err
    assert ["FOREIGN", "FOREIGN"] == [
        record["status"] for record in json.loads(run_sacred("ls", "--json").out)
    ]


def test_an_id_of_several_runs(root, run_sacred):
    """id:X that several runs have names none of them: their numbers are told."""
    root.completed(run_id="twice")
    root.completed(run_id="twice")
    done = run_sacred("show", "id:twice")
    assert (2, "") == (done.code, done.out)
    assert "several runs in " in done.err
    assert "name one by its number, 1, 2" in done.err


def test_views(root, run_sacred, tmp_path):
    """R21: a view that gave the run another id, and one that is behind, are shown with both."""
    root.completed()
    (tmp_path / "tree" / "1").mkdir(parents=True)
    run_sacred("replay", "--to", f"file:{tmp_path / 'tree'}", "--to", "mongodb://127.0.0.1:1/db")
    shown = run_sacred("show", "1").out
    assert f"\n  file:{tmp_path / 'tree'}  as 2, up to date\n" in shown
    assert "\n  mongo:db@127.0.0.1:1  behind: mongo:db@127.0.0.1:1 does not answer: " in shown
    views = json.loads(run_sacred("show", "1", "--json").out)["views"]
    assert [(2, "current"), (None, "behind")] == [(view["id"], view["state"]) for view in views]
