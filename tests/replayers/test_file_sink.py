"""The file view: Sacred's FileStorage tree."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil

import pytest

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.root import JournalRoot
from sacred.journal.writer import JournalWriter
from sacred.replayers.claims import claim_in_process
from sacred.replayers.contract import write_run
from sacred.replayers.errors import TerminalSinkError, TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import replay
from sacred.replayers.sink import FieldsChanged, RunKey, SinkSpec
from sacred.replayers.sinks.file import FileSink
from sacred.replayers.sinks.file import folders as module
from sacred.replayers.sinks.file.disk import NewContents
from sacred.replayers.tree.names import artifact_file

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\Z")


@pytest.fixture
def spec(tmp_path):
    return SinkSpec.parse(f"file:{tmp_path / 'tree'}")


def once(folder, spec, **options):
    follower = Follower(folder, FileSink(spec), spec, **options)
    try:
        return follower.run_once()
    finally:
        follower.close()


def test_the_tree_is_that_of_sacred(root, spec, tmp_path, run_writer):
    """FSO-02, FSO-04, FSO-05: names, keys and types as sacred 0.8.7 writes them."""
    folder = root.claim()
    run_writer(folder, points=2)
    once(folder, spec)
    tree = tmp_path / "tree"
    md5 = hashlib.md5(b"print(1)\n").hexdigest()
    data = hashlib.md5(b"the artifact").hexdigest()
    assert sorted(os.listdir(tree)) == ["1", "_resources", "_sources"]
    assert os.listdir(tree / "_sources") == [f"main_{md5}.py"]
    assert os.listdir(tree / "_resources") == [f"data_{data}.csv"]
    assert sorted(os.listdir(tree / "1")) == [
        ".journal",
        "a file.txt",
        "config.json",
        "cout.txt",
        "info.json",
        "metrics.json",
        "run.json",
    ]
    run = json.loads((tree / "1" / "run.json").read_text())
    assert sorted(run) == [
        "artifacts",
        "command",
        "experiment",
        "heartbeat",
        "host",
        "meta",
        "resources",
        "result",
        "start_time",
        "status",
        "stop_time",
    ]
    assert all(TIME.match(run[name]) for name in ("start_time", "stop_time", "heartbeat"))
    assert run["artifacts"] == ["a file.txt"]
    assert run["resources"] == [["/base/data.csv", str(tree / "_resources" / f"data_{data}.csv")]]
    assert run["experiment"]["sources"] == [["main.py", f"_sources/main_{md5}.py"]]
    assert sorted(run["experiment"]) == [
        "base_dir",
        "dependencies",
        "mainfile",
        "name",
        "repositories",
        "sources",
    ]
    metrics = json.loads((tree / "1" / "metrics.json").read_text())
    assert sorted(metrics) == ["dotted.name", "loss"]
    assert metrics["loss"]["steps"] == [0, 1]
    assert metrics["loss"]["values"] == [0.0, 0.25]
    assert all(TIME.match(time) for time in metrics["loss"]["timestamps"])
    config = (tree / "1" / "config.json").read_text()
    assert config == json.dumps(json.loads(config), indent=2, sort_keys=True)
    text = (tree / "1" / "metrics.json").read_text()
    assert text == json.dumps(metrics, indent=2, sort_keys=True)
    assert (tree / "1" / "cout.txt").read_text() == "first line: ä\nsecond line\n"
    assert (tree / "1" / "a file.txt").read_bytes() == b"the artifact"


def _simple(folder, **more):
    writer = JournalWriter.create(folder.journal, durability="process")
    fields = {"run_id": 1, "name": "x", "command": "m", "config": {}, "meta": {}}
    fields |= {"experiment": {"name": "x", "base_dir": "/"}, "host": {}}
    writer.append(EventType.RUN_STARTED, **{**fields, **more})
    return writer


def test_without_metrics_and_info(root, spec, tmp_path):
    """FSO-02, FSO-05: metrics.json is there without metrics, info.json not without info."""
    folder = root.claim()
    _simple(folder).close()
    once(folder, spec)
    assert (tmp_path / "tree" / "1" / "metrics.json").read_text() == "{}"
    assert not (tmp_path / "tree" / "1" / "info.json").exists()
    assert (tmp_path / "tree" / "1" / "cout.txt").read_text() == ""


def test_numbers_that_json_has_not(root, spec, tmp_path):
    """FSO-05: NaN and infinities are written as Sacred writes them."""
    folder = root.claim()
    writer = _simple(folder)
    for value in (float("nan"), float("inf"), -float("inf")):
        writer.log_point("m", 0, value)
    writer.close()
    once(folder, spec)
    text = (tmp_path / "tree" / "1" / "metrics.json").read_text()
    assert re.findall(r"NaN|-?Infinity", text) == ["NaN", "Infinity", "-Infinity"]


def test_growing_files_are_cut_first(root, spec, tmp_path):
    """What an append that was cut off left behind the recorded length goes away first."""
    folder = root.claim()
    writer = _simple(folder)
    writer.append_output(1, "ä one\n".encode())
    writer.log_point("m", 0, 0.5)
    writer.flush()
    once(folder, spec)
    for name in ("cout.txt", ".journal/points"):
        with (tmp_path / "tree" / "1" / name).open("ab") as file:
            file.write(b"half a wri")
    writer.append_output(1, b"two\n")
    writer.log_point("m", 1, 1.5)
    writer.close()
    once(folder, spec)
    assert (tmp_path / "tree" / "1" / "cout.txt").read_text() == "ä one\ntwo\n"
    metrics = json.loads((tmp_path / "tree" / "1" / "metrics.json").read_text())
    assert metrics["m"]["values"] == [0.5, 1.5]


def test_filtered_output_is_cut_by_characters(root, spec, tmp_path):
    """The offset that a filter's text keeps is found from the end, in characters."""
    folder = root.claim()
    writer = _simple(folder)
    for keep, text in ((0, "ä😀 progress 10 %"), (12, "20 %"), (2, " done €\n")):
        writer.append(EventType.OUTPUT_FILTERED, keep=keep, text=text)
        writer.flush()
        once(folder, spec)
    writer.close()
    assert (tmp_path / "tree" / "1" / "cout.txt").read_text() == "ä😀 done €\n"


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "run.json",
        "cout.txt",
        ".journal",
        ".journal/x",
        "",
        "a\0b",
        ".",
        "x" * 256,
        "folder/" + "\u00e4" * 128,
    ],
)
def test_names_that_would_leave_the_folder(root, spec, tmp_path, name):
    """FSO-06: such an artifact gets another name in the folder; nothing lies outside or is lost."""
    folder = root.claim()
    writer = _simple(folder)
    blob = BlobStore(root.blobs).put_bytes(b"evil").blob.to_wire()
    for one in (name, "good.txt", "folder/good.txt"):
        writer.append(EventType.ARTIFACT_ADDED, name=one, filename="/x", blob=blob)
    writer.close()
    assert once(folder, spec).state == "current"
    tree = tmp_path / "tree"
    names = json.loads((tree / "1" / "run.json").read_text())["artifacts"]
    assert names[1:] == ["good.txt", "folder/good.txt"]
    evil = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"evil"]
    ours = [path for path in evil if root.path not in path.parents]
    assert sorted(ours) == sorted(tree / "1" / one for one in names)
    assert names[0] == artifact_file(name) != name
    assert "/" not in names[0]


def test_artifacts_in_each_others_way(root, spec, tmp_path, caplog):
    """A file and a folder of one name are both there, also after more arrives and anew."""
    folder = root.claim()
    writer = _simple(folder)
    store = BlobStore(root.blobs)
    names = ["a", "a/b", "c/d", "c", "a"]
    for number, name in enumerate(names):
        blob = store.put_bytes(str(number).encode()).blob.to_wire()
        writer.append(EventType.ARTIFACT_ADDED, name=name, filename="/x", blob=blob)
        writer.flush()
        assert once(folder, spec).state == "current"
    writer.close()
    aside = {name: artifact_file(name, aside=True) for name in ("a/b", "c")}
    stored = [aside.get(name, name) for name in names]
    tree = tmp_path / "tree" / "1"

    def content():
        listed = json.loads((tree / "run.json").read_text())["artifacts"]
        return {name: (tree / name).read_text() for name in listed}, listed

    assert content() == ({stored[1]: "1", "c/d": "2", stored[3]: "3", "a": "4"}, stored)
    said = [text for text in caplog.messages if "is stored as" in text]
    assert len(said) == 2
    once(folder, spec, rebuild=True)
    assert content() == ({stored[1]: "1", "c/d": "2", stored[3]: "3", "a": "4"}, stored)


def test_a_text_keeps_its_name(root, spec, tmp_path):
    """R21: a run whose id is a text has that folder if it is free, else the next number."""
    os.makedirs(tmp_path / "tree" / "taken")
    os.makedirs(tmp_path / "tree" / "6")
    found = []
    for wanted in ("abc", "007", "taken", "../evil", "_sources", 12):
        folder = root.claim()
        writer = JournalWriter.create(folder.journal)
        fields = {"run_id": wanted, "name": "x", "command": "m", "config": {}, "meta": {}}
        writer.append(EventType.RUN_STARTED, **fields, experiment={}, host={})
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
        writer.close()
        found.append(once(folder, spec).view_id)
        assert once(folder, spec).view_id == found[-1]
    assert found == ["abc", "007", 8, 9, 10, 12]
    for name in found:
        assert (tmp_path / "tree" / str(name) / "run.json").exists()


def test_a_run_is_found_whatever_it_is_called(spec, tmp_path):
    """A folder is known by the journal's id in it, also where nobody says its name."""
    FileSink(spec).claim(RunKey("00000000000000aa", "abc"))
    FileSink(spec).claim(RunKey("00000000000000bb", "007"))
    sink = FileSink(spec)
    assert sink.position(RunKey("00000000000000aa")).view_id == "abc"
    assert sink.position(RunKey("00000000000000bb", 3)).view_id == "007"
    assert sink.position(RunKey("00000000000000cc", "abc")) is None
    assert sink.claim(RunKey("00000000000000cc", "abc")) == 8


def test_stale_claims_of_texts(spec, tmp_path):
    """R15: a claim whose process is gone is taken back, whatever its folder's name."""
    for journal_id, wanted in (("00000000000000aa", "abc"), ("00000000000000bb", 7)):
        FileSink(spec).claim(RunKey(journal_id, wanted))
        path = tmp_path / "tree" / str(wanted) / ".journal" / "position.json"
        kept = json.loads(path.read_text())
        kept["claimed"] |= {"pid": 2**22 + 1, "wall": 0}
        path.write_text(json.dumps(kept))
    FileSink(spec).claim(RunKey("00000000000000cc", "alive"))
    assert FileSink(spec).clear_claims(60.0) == 2
    assert os.listdir(tmp_path / "tree") == ["alive"]


def test_a_resource_with_the_longest_name(root, spec, tmp_path):
    """FSO-05: a name that has no room for the checksum is shortened, and the run goes on."""
    folder = root.claim()
    writer = _simple(folder)
    blob = BlobStore(root.blobs).put_bytes(b"data").blob.to_wire()
    name = "\u00e4" * 125 + ".data"
    writer.append(EventType.RESOURCE_ADDED, filename=f"/x/{name}", blob=blob, md5="0" * 32)
    writer.close()
    assert once(folder, spec).state == "current"
    (stored,) = os.listdir(tmp_path / "tree" / "_resources")
    assert stored == "\u00e4" * 108 + "_" + "0" * 32 + ".data"


def test_the_newest_artifact_of_a_name_stays(root, spec, tmp_path):
    """An artifact that is added again replaces the file, also in a later replay."""
    folder = root.claim()
    writer = _simple(folder)
    store = BlobStore(root.blobs)
    for version in (1, 2):
        blob = store.put_bytes(b"v%d" % version).blob.to_wire()
        writer.append(EventType.ARTIFACT_ADDED, name="a", filename="/a", blob=blob, version=version)
        writer.flush()
        once(folder, spec)
        assert (tmp_path / "tree" / "1" / "a").read_bytes() == b"v%d" % version
    writer.close()
    once(folder, spec, rebuild=True)
    assert (tmp_path / "tree" / "1" / "a").read_bytes() == b"v2"
    run = json.loads((tmp_path / "tree" / "1" / "run.json").read_text())
    assert run["artifacts"] == ["a", "a"]


def test_files_are_only_referenced(root, tmp_path, run_writer):
    """FSO-07: with copy_sources=False only paths are recorded."""
    spec = SinkSpec("file", str(tmp_path / "tree"), {"copy_sources": False}, "f")
    folder = root.claim()
    run_writer(folder)
    once(folder, spec)
    run = json.loads((tmp_path / "tree" / "1" / "run.json").read_text())
    expected = os.path.relpath("/base/main.py", tmp_path / "tree")
    assert run["experiment"]["sources"] == [["main.py", expected]]
    assert not (tmp_path / "tree" / "_sources").exists()


def test_a_claim_in_the_process(tmp_path):
    """The folder, config.json, run.json and cout.txt are there when the claim returns."""
    spec = SinkSpec.parse(f"file:{tmp_path / 'tree'}").to_wire()
    document = {
        "name": "x",
        "command": "m",
        "config": {"a": (1, 2)},
        "host": {"hostname": "h"},
        "meta": {},
        "experiment": {"name": "x", "base_dir": "/", "sources": [["a.py", "0" * 32]]},
        "start_time": 1_700_000_000_000_000_000,
    }
    given, folder = claim_in_process(spec, "00000000000000aa", None, document)
    assert (given, folder) == (1, str(tmp_path / "tree" / "1"))
    assert json.loads((tmp_path / "tree" / "1" / "config.json").read_text()) == {"a": [1, 2]}
    run = json.loads((tmp_path / "tree" / "1" / "run.json").read_text())
    assert (run["status"], run["start_time"]) == ("RUNNING", "2023-11-14T22:13:20.000000")
    assert claim_in_process(spec, "00000000000000ab", 1, document)[0] == 2
    assert claim_in_process(spec, "00000000000000ab", 1, document)[0] == 2


def test_fields_of_others_stay(root, spec, tmp_path):
    """Keys that somebody added to run.json survive a write and a rebuild."""
    folder = root.claim()
    writer = _simple(folder)
    once(folder, spec)
    path = tmp_path / "tree" / "1" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tags": ["mine"]}))
    writer.append(EventType.HEARTBEAT)
    writer.append(EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=["x"])
    writer.close()
    once(folder, spec)
    assert json.loads(path.read_text())["tags"] == ["mine"]
    once(folder, spec, rebuild=True)
    run = json.loads(path.read_text())
    assert (run["tags"], run["status"], run["fail_trace"]) == (["mine"], "FAILED", ["x"])


def test_a_run_json_that_was_damaged(root, spec, tmp_path):
    """A document that can not be read any more is written anew."""
    folder = root.claim()
    _simple(folder).close()
    once(folder, spec)
    path = tmp_path / "tree" / "1" / "run.json"
    good = path.read_text()
    path.write_text(good[:20])
    assert once(folder, spec).state == "current"
    assert path.read_text() == good


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (28, TransientSinkError),
        (5, TransientSinkError),
        (13, TerminalSinkError),
        (30, TerminalSinkError),
    ],
)
def test_what_a_disk_says(spec, monkeypatch, number, kind):
    """A full or failing disk may recover, one that may not be written has to be changed."""
    sink = FileSink(spec)
    sink.open()
    run = RunKey("00000000000000aa", 1)
    sink.claim(run)
    sink.position(run)

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(NewContents, "add", fail)
    from sacred.replayers.sink import Batch, Position

    with pytest.raises(kind, match=os.strerror(number)) as caught:
        sink.write(Batch(run, (FieldsChanged({"status": "x"}),), Position()))
    assert type(caught.value) is kind


def test_metrics_are_rendered_at_last(root, spec, tmp_path):
    """A large metrics.json waits while it grows, and is whole when the run is."""
    folder = root.claim()
    writer = _simple(folder)
    for step in range(10_000):
        writer.log_point("m", step, 0.5)
    writer.flush()
    follower = Follower(folder, FileSink(spec), spec)
    follower._advance(complete=False)
    writer.log_point("m", 10_000, 0.5)
    writer.flush()
    follower._advance(complete=False)
    path = tmp_path / "tree" / "1" / "metrics.json"
    assert len(json.loads(path.read_text())["m"]["steps"]) == 10_000
    assert not follower._is_current()
    follower._advance(complete=True)
    assert follower._is_current()
    assert len(json.loads(path.read_text())["m"]["steps"]) == 10_001
    follower.close()
    writer.close()


def test_many_runs_cost_no_more_each(tmp_path, monkeypatch):
    """What a run costs does not grow with the runs that are there: no folder is opened for another's run."""
    opened = []
    real = module.load_position
    monkeypatch.setattr(module, "load_position", lambda *a: (opened.append(a), real(*a))[1])
    root = JournalRoot(tmp_path / "root")
    root.create()
    view = tmp_path / "view"
    for number in range(1, 41):  # runs of another program, and of nobody
        (view / str(number)).mkdir(parents=True)
    for _ in range(60):
        write_run(root.claim(None), points=2)
    spec = [f"file:{view}"]
    assert 0 == replay(root, None, spec).exit_code
    assert len(opened) < 60 * 8
    assert 100 == sum(path.name.isdigit() for path in view.iterdir())


def test_a_folder_that_another_replayer_claims_meanwhile(tmp_path):
    """What was looked at without the lock is looked at again with it: a run has one folder."""
    view = tmp_path / "view"
    (view / "1").mkdir(parents=True)
    one = load_sink(SinkSpec.parse(f"file:{view}"))
    one.open()
    key = RunKey("00000000000000ab", None, {"config": {}})
    assert one.position(key) is None  # "1" has no position yet: the other is about to write it
    other = load_sink(SinkSpec.parse(f"file:{tmp_path / 'elsewhere'}"))
    other.open()
    assert 1 == other.claim(key)
    (tmp_path / "elsewhere/1/.journal").rename(view / "1/.journal")
    assert 1 == one.claim(key)
    assert ["1"] == [path.name for path in view.iterdir() if path.name.isdigit()]
    for sink in (one, other):
        sink.close()


def test_a_folder_that_another_run_took(tmp_path):
    """A folder that was removed and made again for another run is not taken for the first one's."""
    view = tmp_path / "view"
    sink = load_sink(SinkSpec.parse(f"file:{view}"))
    sink.open()
    first, second = RunKey("00000000000000ab", None, {}), RunKey("00000000000000cd", None, {})
    assert 1 == sink.claim(first)
    assert 2 == sink.claim(second)
    shutil.rmtree(view / "1")
    (view / "2").rename(view / "1")
    sink.open()
    assert sink.position(first) is None
    found = sink.position(second)
    assert found is not None
    assert 2 == found.view_id
    sink.close()


def test_a_run_that_is_followed_costs_its_length(root, spec, tmp_path, run_writer, monkeypatch):
    """R20: all that is written while a run grows is a small multiple of what is there at its end."""
    written = []

    def counted(contents, path, content, add=NewContents.add):
        pieces = [content] if isinstance(content, bytes) else list(content)
        written.append(sum(map(len, pieces)))
        add(contents, path, pieces)

    monkeypatch.setattr(NewContents, "add", counted)
    writer = run_writer(root.claim(), ends=False)
    follower = Follower(root.run(1), FileSink(spec), spec)
    for begin in range(0, 30_000, 200):
        for step in range(begin, begin + 200):
            writer.log_point("loss", step, step / 2)
        writer.flush()
        follower._advance(complete=False)
    follower._advance(complete=True)
    follower.close()
    writer.close()
    there = sum(path.stat().st_size for path in (tmp_path / "tree" / "1").rglob("*.json"))
    assert there < sum(written) < 30 * there


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_tree_that_is_copied_or_moved(root, spec, tmp_path, run_writer, how):
    """Its runs are known in the other place, and go on there; nothing in it leads back."""
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    assert once(folder, spec).state == "current"
    there = tmp_path / "another place"
    how(tmp_path / "tree", there)
    for step in range(50, 60):
        writer.log_point("loss", step, 1.0)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    moved = SinkSpec.parse(f"file:{there}")
    status = once(folder, moved)
    assert (status.state, status.view_id) == ("current", 1)
    run = json.loads((there / "1" / "run.json").read_text())
    assert run["status"] == "COMPLETED"
    assert json.loads((there / "1" / "metrics.json").read_text())["loss"]["steps"] == [*range(60)]
    ((_, source),) = run["experiment"]["sources"]
    assert (there / source).read_text() == "print(1)\n"
    assert sorted(os.listdir(there)) == ["1", "_resources", "_sources"]
    if how is shutil.copytree:  # which is a view of its own from now on
        assert json.loads((tmp_path / "tree/1/run.json").read_text())["status"] == "RUNNING"
        assert once(folder, spec).state == "current"
        assert (tmp_path / "tree/1/run.json").read_text() == (there / "1/run.json").read_text()


def test_sources_of_many_runs_are_stored_once(root, spec, tmp_path, run_writer):
    """FSO-04: each content once, whatever number of runs has it."""
    for _ in range(3):
        folder = root.claim()
        run_writer(folder)
        assert once(folder, spec).state == "current"
    assert len(os.listdir(tmp_path / "tree" / "_sources")) == 1
    assert len(os.listdir(tmp_path / "tree" / "_resources")) == 1
