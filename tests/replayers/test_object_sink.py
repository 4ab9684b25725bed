"""The sink of objects: who is killed or asleep at which request, and what a run costs."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest
from servers.objects import MemoryStore

from sacred.replayers.contract import SinkContract
from sacred.replayers.errors import SinkSpecError, TransientSinkError, ViewMovedError
from sacred.replayers.follower import Follower
from sacred.replayers.objects.address import s3_spec
from sacred.replayers.objects.sink import ObjectSink
from sacred.replayers.sink import FieldsChanged, FileEntry, OutputChanged, RunKey, SinkSpec

RUN = RunKey("00000000000000aa", 1)
BASE = "lab/iris/"
EVENTS = SinkContract.events(2000)


@pytest.fixture
def objects():
    """What a bucket holds."""
    return {}


@pytest.fixture
def opened(objects):
    """Make sinks on the bucket, each with a store of its own: ``sink._store`` notes its calls."""

    def make(run=None):
        spec = SinkSpec("s3", "s3://bucket/lab/iris", {}, "s3:bucket/lab/iris")
        sink = ObjectSink(spec, MemoryStore(objects))
        sink.open()
        if run is not None:
            sink.claim(run)
            sink.position(run)
        return sink

    return make


def _batch(upto, run=RUN, **more):
    return SinkContract.batch(run, EVENTS[:upto], upto)._replace(**more)


def _seen(objects, run="1"):
    """What other programs see of a run."""
    prefix = f"{BASE}{run}/"
    return {
        key: found.content
        for key, found in objects.items()
        if key.startswith(prefix) and ".journal" not in key
    }


def _next_seq(sink, run=RUN):
    found = sink.position(run)
    return found.position[0].next_seq if found is not None and found.position else 0


class Killed(BaseException):
    """The process is gone."""


def _dies_at(store, number, *, after):
    """Have a process end at its nth put: before it, or with its effect."""
    left = [number]

    def before(name, key):
        if name not in {"put", "delete"}:
            return
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        if left[0] == -1 and after:
            raise Killed

    store.before = before


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_replayer_that_is_killed_at_any_request(opened, objects, number, after, tmp_path):
    """Whichever put is its last: who comes after it brings the run to the same objects."""
    (tmp_path / "blob").write_bytes(b"content")
    entry = FileEntry("artifact", "out.csv", "/out.csv", "d" * 64, "0" * 32, 7)
    fields = FieldsChanged({"artifacts": [entry], "info": {"a": 1}})

    def last(sink):
        sink.put_file(RUN, entry, tmp_path / "blob")
        batch = _batch(30)
        sink.write(batch._replace(changes=(*batch.changes[2:], fields, OutputChanged(0, "text\n"))))

    first = opened(RUN)
    first.write(_batch(20))
    first.position(RUN)
    _dies_at(first._store, number, after=after)
    try:
        last(first)
    except Killed:
        pass
    second = opened()
    second.position(RUN)
    last(second)
    assert 30 == _next_seq(second)
    seen = {key.removeprefix(f"{BASE}1/"): content for key, content in _seen(objects).items()}
    assert (b"content", b"text\n") == (seen["out.csv"], seen["cout.txt"])
    assert 29 == len(json.loads(seen["metrics.json"])["m"]["values"])
    assert ["out.csv"] == json.loads(seen["run.json"])["artifacts"]


@pytest.mark.parametrize("number", range(1, 7))
def test_a_replayer_that_falls_asleep_behind_take_up(opened, objects, number):
    """The claim was its turn; whoever found it has taken the next one: it is refused all the same."""
    asleep, other = opened(), opened()
    assert asleep.position(RUN) is None
    assert asleep.take_up(RUN).claimed
    left, seen = [number], []

    def before(name, key):
        if name == "put":
            left[0] -= 1
            if left[0] == 0:
                asleep._store.before = lambda *_: None
                assert other.position(RUN).claimed
                other.write(_batch(40))
                seen.append(_seen(objects))

    asleep._store.before = before
    with pytest.raises(ViewMovedError):
        asleep.write(_batch(20, changes=(*_batch(20).changes, OutputChanged(0, "text\n"))))
    assert seen == [_seen(objects)]
    assert 40 == _next_seq(other)
    # What it put aside and no list names goes with the next write.
    other.write(_batch(50))
    parts = [key for key in objects if "/.journal/points/" in key]
    assert len(parts) == len(other._runs.find(RUN).kept["parts"])


@pytest.mark.parametrize("number", range(1, 7))
def test_a_replayer_that_falls_asleep_at_any_request(opened, objects, number):
    """It wakes up when another has gone on: it is refused, and what the other wrote stays."""
    asleep, other = opened(RUN), opened()
    asleep.write(_batch(10))
    asleep.position(RUN)
    left, seen = [number], []

    def before(name, key):
        if name == "put":
            left[0] -= 1
            if left[0] == 0:
                asleep._store.before = lambda *_: None
                other.position(RUN)
                other.write(_batch(40))
                seen.append(_seen(objects))

    asleep._store.before = before
    batch = _batch(20)
    late = FieldsChanged({"status": "FAILED", "result": 7, "config": {"late": 1}})
    try:
        asleep.write(batch._replace(changes=(*batch.changes[2:], late)))
    except ViewMovedError:
        assert seen == [_seen(objects)]
        assert 40 == _next_seq(other)
    else:
        assert [] == seen  # it had no such put


def test_a_document_that_the_other_did_not_touch(opened, objects):
    """Who knows less is refused there, too: the turn comes before every document."""
    one, two = opened(RUN), opened()
    one.write(_batch(10))
    one.position(RUN)
    two.position(RUN)
    one.write(_batch(20)._replace(changes=_batch(20).changes[2:]))
    before = dict(objects)
    with pytest.raises(ViewMovedError):
        two.write(_batch(15)._replace(changes=(FieldsChanged({"status": "FAILED"}),)))
    assert before == objects


def test_a_part_that_nobody_lists_is_deleted(opened, objects):
    """What a replayer left that was killed before its position was put is not there for ever."""
    first = opened(RUN)
    first.write(_batch(10))
    first.position(RUN)
    first._store.before = lambda name, key: (
        (_ for _ in ()).throw(Killed) if key.endswith("position.json") else None
    )
    with pytest.raises(Killed):
        first.write(_batch(20)._replace(changes=_batch(20).changes[2:]))
    second = opened()
    second.position(RUN)
    second.write(_batch(20))
    second.position(RUN)
    second.write(_batch(30))
    listed = {
        name
        for name, _, _ in json.loads(objects[f"{BASE}1/.journal/position.json"].content)["parts"]
    }
    there = {key.rpartition("/")[2] for key in objects if "/points/" in key}
    assert listed == there


def test_what_a_person_changed_in_run_json_stays(opened, objects):
    """Fields that are others' are kept, also if they come while a replayer writes."""
    sink = opened(RUN)
    sink.write(_batch(10))
    sink.position(RUN)
    key = f"{BASE}1/run.json"
    changed = {**json.loads(objects[key].content), "comment": "mine"}
    MemoryStore(objects).put(key, json.dumps(changed).encode())
    with pytest.raises(ViewMovedError):
        sink.write(_batch(20))
    sink.position(RUN)
    sink.write(_batch(20))
    assert "mine" == json.loads(objects[key].content)["comment"]


def test_a_run_json_that_is_none(opened, objects):
    """It is written anew: the view says that another version wrote it."""
    sink = opened(RUN)
    sink.write(_batch(10))
    MemoryStore(objects).put(f"{BASE}1/run.json", b"no json")
    assert -1 == sink.position(RUN).projector
    sink.reset(RUN)
    sink.position(RUN)
    sink.write(_batch(10))
    assert "RUNNING" == json.loads(objects[f"{BASE}1/run.json"].content)["status"]


def test_a_run_that_a_person_deleted(opened, objects):
    """It is not known any more, though the index names it; a claim gives it its id again."""
    sink = opened(RUN)
    sink.write(_batch(10))
    for key in [key for key in objects if key.startswith(f"{BASE}1/")]:
        del objects[key]
    assert sink.position(RUN) is None
    opened(RunKey("00000000000000bb", 2))
    assert 1 == sink.claim(RUN)


def test_without_the_index(opened, objects):
    """A run is found where it would like to be."""
    opened(RUN).write(_batch(10))
    del objects[f"{BASE}.journal/runs/{RUN.journal_id}.json"]
    assert 10 == _next_seq(opened())


def test_two_that_claim_one_run_at_once(opened, objects):
    """At whichever request the second comes between, both get the same id, and one entry is there."""
    for number in range(1, 12):
        objects.clear()
        slow, fast = opened(), opened()
        left, given = [number], []

        def before(*_, slow=slow, fast=fast, left=left, given=given):
            left[0] -= 1
            if left[0] == 0:
                given.append(fast.claim(RUN))

        slow._store.before = before
        mine = slow.claim(RUN)
        assert given in ([], [mine])
        positions = [key for key in objects if key.endswith("position.json")]
        assert [f"{BASE}{mine}/.journal/position.json"] == positions


def test_two_runs_that_claim_one_id_at_once(opened, objects):
    """At whichever request the second comes between, each has its own."""
    other = RunKey("00000000000000bb", 1)
    for number in range(1, 12):
        objects.clear()
        slow, fast = opened(), opened()
        left, given = [number], []

        def before(*_, slow=slow, fast=fast, left=left, given=given):
            left[0] -= 1
            if left[0] == 0:
                given.append(fast.claim(other))

        slow._store.before = before
        mine = slow.claim(RUN)
        assert mine not in given
        assert mine == opened().claim(RUN)


def test_a_claim_that_is_written_while_it_is_taken_back(opened):
    """It stays: the release sees that."""
    one, two = opened(RUN), opened()
    two.position(RUN)
    one._store.before = lambda name, key: (
        (setattr(one._store, "before", lambda *_: None), two.write(_batch(10)))
        if name == "put"
        else None
    )
    assert not one.release(RUN)
    assert 10 == _next_seq(two)


def test_claims_of_processes_that_are_gone(opened, objects, monkeypatch):
    """They are found by their marks alone, and taken back whole; what is written has no mark."""
    opened(RUN).write(_batch(10))
    gone = RunKey("00000000000000bb", 2, {"config": {"a": 1}, "status": "RUNNING"})
    opened(gone)
    monkeypatch.setattr("sacred.replayers.objects.runs.process_lives", lambda _: False)
    sink = opened()
    assert 0 == sink.clear_claims(3600.0)
    assert 1 == sink.clear_claims(0.0)
    assert {} == _seen(objects, "2")
    assert not [key for key in objects if "/claims/" in key or key.startswith(f"{BASE}2/")]
    assert 10 == _next_seq(sink)


@pytest.mark.parametrize("number", [None, 1, 2, 3])
def test_what_a_replayer_took_up_that_was_killed(opened, objects, monkeypatch, number):
    """Its mark says that there may be claims without one; they are found wherever the write was cut."""
    opened(RUN).write(_batch(10))
    gone = RunKey("00000000000000bb", 2)
    killed = opened()
    assert killed.position(gone) is None
    assert killed.take_up(gone).claimed
    if number is not None:
        _dies_at(killed._store, number, after=True)
        with pytest.raises(Killed):
            killed.write(_batch(10, gone))
        killed._store.before = killed._store.after = lambda *_: None
    assert "2" in {key.removeprefix(BASE).partition("/")[0] for key in objects}
    sink = opened()
    assert 0 == sink.clear_claims(0.0)  # its process lives
    monkeypatch.setattr("sacred.replayers.objects.runs.process_lives", lambda _: False)
    assert 0 == sink.clear_claims(3600.0)
    whole = f"{BASE}2/run.json" in objects
    assert int(not whole) == sink.clear_claims(0.0)
    assert whole or not [key for key in objects if key.startswith(f"{BASE}2/")]
    assert not [key for key in objects if "/claims/" in key]
    assert 0 == sink.clear_claims(0.0)
    assert 10 == _next_seq(sink)


def test_a_replayer_that_ends_leaves_no_mark(opened, objects):
    """One mark for all that it takes up, gone at its end; it stays while a run is only claimed."""
    sink = opened()
    for number in range(1, 6):
        run = RunKey(f"{number:016x}", number)
        assert sink.position(run) is None
        assert sink.take_up(run).claimed
        assert 1 == len([key for key in objects if "/claims/" in key])
        if number == 3:
            sink.close()
            assert 1 == len([key for key in objects if "/claims/" in key])
            sink.open()
            assert sink.position(run).claimed
        sink.write(_batch(10, run))
    sink.close()
    assert not [key for key in objects if "/claims/" in key]


def test_a_claim_that_was_half_taken_back(opened, objects, monkeypatch):
    """A release that was killed is ended by the next that clears."""
    sink = opened(RUN)
    _dies_at(sink._store, 1, after=True)
    with pytest.raises(Killed):
        sink.release(RUN)
    other = opened()
    assert other.position(RUN) is None
    other.clear_claims(0.0)
    assert {} == objects


def test_many_runs_cost_no_more(opened, objects):
    """Where a run stands is asked of its own objects; the next id of one listing with a delimiter."""
    store = MemoryStore(objects)
    for number in range(1, 500):
        store.put(f"{BASE}{number}/run.json", b"{}")
        store.put(f"{BASE}{number}/cout.txt", b"")
    sink = opened()
    assert 500 == sink.claim(RunKey("00000000000000cc"))
    assert sum(sink._store.calls.values()) < 15
    sink._store.calls.clear()
    sink.position(RunKey("00000000000000cc"))
    assert 4 == sum(sink._store.calls.values())


@pytest.fixture
def clock(monkeypatch):
    """What the sink takes for the time, in a list."""
    now = [0.0]
    substitute = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("sacred.replayers.objects.sink.time", substitute)
    return now


def _cost(opened, objects, clock, points, batch):
    """Bytes that are put for a run of so many points, written bit by bit."""
    objects.clear()
    events = SinkContract.events(points)
    sink = opened(RUN)
    for upto in range(batch, points + 1, batch):
        clock[0] += 1.0
        one = SinkContract.batch(RUN, [events[0], *events[upto - batch : upto]], upto)
        sink.write(one._replace(complete=upto == points))
    assert points - 1 == sink.position(RUN).points["m"]
    metrics = json.loads(objects[f"{BASE}1/metrics.json"].content)
    assert list(range(1, points)) == metrics["m"]["steps"]
    return sink._store.written


def test_the_cost_is_linear(opened, objects, clock):
    """R20: four times the points cost about four times the bytes, not sixteen times."""
    small, large = (_cost(opened, objects, clock, points, 100) for points in (15_000, 60_000))
    assert large < 5.5 * small


def test_a_run_that_is_followed_costs_no_more(root, run_writer):
    """R20: all that is put while a run grows is a small multiple of what is there at its end."""
    spec = SinkSpec("s3", "s3://bucket/lab/iris", {}, "s3:bucket/lab/iris")
    store = MemoryStore()
    writer = run_writer(root.claim(), ends=False)
    follower = Follower(root.run(1), ObjectSink(spec, store), spec)
    try:
        for begin in range(0, 30_000, 200):
            for step in range(begin, begin + 200):
                writer.log_point("loss", step, step / 2)
            writer.append_output(1, b"a line of the output, as long as such lines are\n" * 20)
            writer.flush()
            follower._advance(complete=False)
        follower._advance(complete=True)
    finally:
        follower.close()
        writer.close()
    assert store.written < 20 * sum(len(found.content) for found in store.objects.values())


def test_few_parts(opened, objects, clock):
    """A thousand batches leave a few dozen parts, and a position that stays small."""
    _cost(opened, objects, clock, 4000, 4)
    parts = [key for key in objects if "/points/" in key]
    assert len(parts) < 40
    assert len(objects[f"{BASE}1/.journal/position.json"].content) < 4096


def test_a_batch_of_points_alone(opened, objects):
    """It costs two puts while ``metrics.json`` waits."""
    sink = opened(RUN)
    events = SinkContract.events(10_000)
    sink.write(SinkContract.batch(RUN, events[:9000], 9000))
    batch = SinkContract.batch(RUN, [events[0], *events[9000:9010]], 9010)
    sink._store.calls.clear()
    sink.write(batch._replace(changes=batch.changes[2:], complete=False))
    assert {"put": 2} == dict(sink._store.calls)
    assert 8999 == len(json.loads(objects[f"{BASE}1/metrics.json"].content)["m"]["steps"])
    sink.position(RUN)
    assert 9009 == len(json.loads(objects[f"{BASE}1/metrics.json"].content)["m"]["steps"])


def test_a_store_that_fails(opened, objects):
    """What it raises comes through, and the next attempt goes on."""
    sink = opened(RUN)

    def before(name, key):
        if key.endswith("run.json"):
            raise TransientSinkError("down")

    sink._store.before = before
    with pytest.raises(TransientSinkError, match="down"):
        sink.write(_batch(10))
    sink._store.before = lambda *_: None
    sink.write(_batch(10))
    assert 10 == _next_seq(sink)


def test_shared_files(opened, objects, tmp_path):
    """Sources and resources are stored once for all runs, by their content."""
    (tmp_path / "blob").write_bytes(b"print(1)")
    entry = FileEntry("source", "a/main.py", "/base/a/main.py", "d" * 64, "5" * 32, 8)
    sinks = [opened(), opened()]
    assert {f"{BASE}_sources/main_{'5' * 32}.py"} == {
        sink.put_file(RUN, entry, tmp_path / "blob") for sink in sinks for _ in "ab"
    }
    assert 1 == sum(sink._store.calls["put"] for sink in sinks)


def test_names_that_no_object_can_have(opened, objects, tmp_path):
    """An artifact of a very long name, or of one that leaves the run, is stored under another."""
    (tmp_path / "blob").write_bytes(b"x")
    names = ["/".join("d" * 200 for _ in range(6)), "../../other/run.json", "run.json"]
    entries = [FileEntry("artifact", name, "/x", "d" * 64, "0" * 32, 1) for name in names]
    sink = opened(RUN)
    for entry in entries:
        sink.put_file(RUN, entry, tmp_path / "blob")
    sink.write(_batch(5)._replace(changes=(FieldsChanged({"artifacts": entries}),)))
    assert all(len(key) < 1024 and key.startswith(BASE) for key in objects)
    stored = json.loads(objects[f"{BASE}1/run.json"].content)["artifacts"]
    assert all(b"x" == objects[f"{BASE}1/{name}"].content for name in stored)


def test_names_that_are_folders_of_others(opened, objects, tmp_path):
    """The later of two that no file system can have is stored under another name, as in a file view."""
    (tmp_path / "blob").write_bytes(b"x")
    names = ["a", "a/b", "d/e", "d", "d/f"]
    entries = [FileEntry("artifact", name, "/x", "d" * 64, "0" * 32, 1) for name in names]
    sink = opened(RUN)
    for count in range(1, 6):
        for entry in entries[:count]:
            sink.put_file(RUN, entry, tmp_path / "blob")
        sink.write(_batch(5)._replace(changes=(FieldsChanged({"artifacts": entries[:count]}),)))
        sink.position(RUN)
    stored = json.loads(objects[f"{BASE}1/run.json"].content)["artifacts"]
    assert ["a", "d/e", "d/f"] == [name for name in stored if name in names]
    assert stored[1].startswith("b-")
    assert stored[3].startswith("d-")
    assert all(b"x" == objects[f"{BASE}1/{name}"].content for name in stored)


# -- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s3:", "a bucket is missing: write --to s3://BUCKET/PATH"),
        ("s3://", "a bucket is missing"),
        ("s3:///path", "a bucket is missing"),
        ("s3:bucket/path", "is no name of a bucket"),
        ("s3://UPPER/x", "'UPPER' is no name of a bucket"),
        ("s3://key:secret@bucket/x", "keys are not part of the address"),
        ("s3://bucket/x?regoin=eu", "has no option 'regoin': did you mean region?"),
        ("s3://bucket/x?colour=red", "has no option 'colour': there is endpoint_url, region"),
        ("s3://bucket/x?region=", "the option region of the address is empty"),
        ("s3://bucket/x?endpoint_url=host:9000", "endpoint_url is no address of a server"),
        ("s3://bucket/x?endpoint_url=http://u:secret@h", "endpoint_url is no address of a server"),
    ],
)
def test_addresses_that_are_none(text, says):
    """One sentence that says what to write, and no key in it."""
    with pytest.raises(SinkSpecError, match=says.replace("?", r"\?")) as caught:
        s3_spec(text)
    assert 2 == caught.value.exit_code
    assert "secret" not in str(caught.value)


def test_an_address(monkeypatch):
    """CLI-10: bucket, path and options; the environment says the rest."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    spec = SinkSpec.parse("s3://bucket/lab/iris/?region=eu-central-1")
    assert ("s3", "s3://bucket/lab/iris", {"region": "eu-central-1"}, "s3:bucket/lab/iris") == spec
    assert {} == s3_spec("s3://bucket").options
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://h:9000")
    elsewhere = s3_spec("s3://bucket")
    assert {"endpoint_url": "http://h:9000"} == elsewhere.options
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert elsewhere.key != s3_spec("s3://bucket").key


def test_documents_are_put_side_by_side(objects):
    """B9: where a store takes several puts at once, documents wait for each other's answers no more.

    Nothing but them: ``run.json`` begins when all of them are there, and the position behind it.
    """
    spec = SinkSpec("s3", "s3://bucket/lab/iris", {}, "s3:bucket/lab/iris")
    store = MemoryStore(objects)
    store.takes_several = True
    sink = ObjectSink(spec, store)
    sink.open()
    sink.claim(RUN)
    sink.position(RUN)
    together = threading.Barrier(3)
    seen = []

    def before(name, key):
        last = key.rpartition("/")[2]
        if name == "put" and last in {"config.json", "metrics.json", "cout.txt"}:
            together.wait(30)  # breaks, if one of them waits for another
        if name == "put":
            seen.append(last)

    store.before = before
    changes = (*_batch(200).changes, FieldsChanged({"config": {"a": 1}, "status": "RUNNING"}))
    fields = [one for one in changes if isinstance(one, FieldsChanged)]
    values = {name: value for one in fields for name, value in one.fields.items()}
    others = [one for one in changes if not isinstance(one, FieldsChanged | OutputChanged)]
    one = _batch(200, changes=(FieldsChanged(values), OutputChanged(0, "text"), *others))
    sink.write(one)
    sink.close()
    assert seen[-2:] == ["run.json", "position.json"]


def test_a_put_beside_others_is_refused(objects):
    """P7: of documents that are put side by side one is refused: the position stays as it was."""
    spec = SinkSpec("s3", "s3://bucket/lab/iris", {}, "s3:bucket/lab/iris")
    store = MemoryStore(objects)
    store.takes_several = True
    sink = ObjectSink(spec, store)
    sink.open()
    sink.claim(RUN)
    before = sink.position(RUN).position

    def refused(name, key):
        if name == "put" and key.endswith("config.json"):
            raise TransientSinkError("not now")

    store.before = refused
    fields = FieldsChanged({"config": {"a": 1}, "status": "RUNNING"})
    one = _batch(200, changes=(fields, OutputChanged(0, "text")))
    with pytest.raises(TransientSinkError):
        sink.write(one)
    store.before = lambda *_: None
    assert sink.position(RUN).position == before
    sink.write(one)
    assert sink.position(RUN).position != before
    sink.close()
