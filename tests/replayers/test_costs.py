"""What a view costs, in operations and never in time: by points kept, by runs, by the run that is new."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from replayers import places
from servers.objects import MemoryStore

from sacred.journal.events import EventType
from sacred.replayers.addresses import mongo_spec
from sacred.replayers.contract.runs import write_run
from sacred.replayers.folded_run import fold_whole
from sacred.replayers.follower import Follower
from sacred.replayers.objects.sink import ObjectSink
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.file import FileSink
from sacred.replayers.sinks.file.disk import NewContents


class Costs(Counter):
    """How often the place was asked for something, and ``bytes`` that were sent there."""

    def less(self, before):
        """Return what came since, all of it."""
        return {name: count - before[name] for name, count in self.items() if count != before[name]}


def _files(monkeypatch, tmp_path):
    costs = Costs()
    real_add, real_commit, real_sync, real_open = (
        *(NewContents.add, NewContents.commit),
        *(os.fsync, os.open),
    )
    base = str(tmp_path / "tree")

    def add(contents, path, content):
        pieces = [content] if isinstance(content, bytes) else list(content)
        costs["bytes"] += sum(map(len, pieces))
        costs[os.path.basename(path)] += 1
        real_add(contents, path, pieces)

    def commit(contents):
        costs["commit"] += 1
        real_commit(contents)

    def sync(descriptor):
        costs["fsync"] += 1
        real_sync(descriptor)

    def opened(path, *more, **named):
        if str(path).startswith(base):
            costs["open"] += 1
        return real_open(path, *more, **named)

    for where, name, new in (
        (NewContents, "add", add),
        (NewContents, "commit", commit),
        (os, "fsync", sync),
        (os, "open", opened),
    ):
        monkeypatch.setattr(where, name, new)
    spec = SinkSpec.parse(f"file:{base}")
    return costs, lambda: (FileSink(spec), spec)


def _objects(*_):
    costs = Costs()

    class Store(MemoryStore):
        def _note(self, name, key):
            costs[name] += 1
            super()._note(name, key)

        def put(self, key, content, expected=None):
            before = self.written
            version = super().put(key, content, expected)
            costs["bytes"] += self.written - before
            return version

    objects = {}
    spec = SinkSpec("s3", "s3://bucket/lab", {}, "s3:bucket/lab")
    return costs, lambda: (ObjectSink(spec, Store(objects)), spec)


@pytest.fixture(params=[_files, _objects], ids=["file", "objects"])
def place(request, monkeypatch, tmp_path):
    """Return the costs of a place, and what makes a sink for it and its specification."""
    return request.param(monkeypatch, tmp_path)


def _heartbeats(root, sink, spec, points):
    """Follow a run with so many points; yield before and after a heartbeat that nothing else is with."""
    folder = root.claim()
    writer = write_run(folder, points=3, ends=False)
    for step in range(points):
        writer.log_point("loss", step, step / 2)
    writer.flush()
    follower = Follower(folder, sink, spec)
    follower._advance(complete=True)
    for _ in range(3):
        yield
        writer.append(EventType.HEARTBEAT)
        writer.flush()
        assert follower._advance(complete=False)
    yield
    follower.close()
    writer.close()


def _costs_of_heartbeats(root, place, points):
    costs, make = place
    found, before = [], None
    for _ in _heartbeats(root, *make(), points):
        if before is not None:
            found.append(costs.less(before))
        before = costs.copy()
    return found


@pytest.mark.slow
def test_a_heartbeat_costs_the_same_with_a_million_points(root, place):
    """B9, R20: a heartbeat with 10^6 points kept asks a place for what one with 10^3 does."""
    few = _costs_of_heartbeats(root, place, 1_000)
    many = _costs_of_heartbeats(root, place, 1_000_000)
    for less, more in zip(few, many, strict=True):
        sent = less.pop("bytes"), more.pop("bytes")
        # The position names lengths, which have more digits; objects have a few parts more to name.
        assert sent[1] < sent[0] + 2_000
        assert less == more


def test_a_followed_run_sends_what_its_length_asks_for(root, place):
    """B9: what a followed run sends for its points grows as they do, up to a factor."""
    costs, make = place
    sent = []
    for points in (2_000, 20_000):
        before = costs["bytes"]
        folder = root.claim()
        writer = write_run(folder, points=3, ends=False)
        follower = Follower(folder, *make())
        for begin in range(0, points, 500):
            for step in range(begin, begin + 500):
                writer.log_point("loss", step, step / 2)
            writer.flush()
            follower._advance(complete=False)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        follower._advance(complete=True)
        follower.close()
        sent.append((costs["bytes"] - before) / points)
    assert sent[1] < 3 * sent[0]


def test_each_new_run_costs_the_same(root, place):
    """B9: the hundredth run costs a place what the tenth one did."""
    costs, make = place
    sink, spec = make()
    found = []
    for _ in range(100):
        folder = root.claim()
        write_run(folder, points=20)
        before = costs.copy()
        follower = Follower(folder, sink, spec)
        assert follower.run_once().state == "current"
        follower.release()
        found.append(costs.less(before))
        found[-1].pop("bytes")
    sink.close()
    # The first ones bring the sources and resources that all of them share.
    assert found[-1] == found[9]


def _ended_run(root):
    """Write a run that ended, without files of its own."""
    from sacred.journal.writer import JournalWriter

    folder = root.claim()
    writer = JournalWriter.create(folder.journal, durability="process")
    facts = {"meta": {}, "experiment": {"name": "short"}, "host": {}, "config": {}}
    writer.append(
        EventType.RUN_STARTED, run_id=folder.number, name="short", command="main", **facts
    )
    for step in range(100):
        writer.log_point("loss", step, step / 2)
    writer.append_output(1, b"text\n")
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    return folder


def _cost_of_a_short_run(root, place, *, ahead=False):
    costs, make = place
    sink, spec = make()
    for _ in range(2):
        folder = _ended_run(root)
        before = costs.copy()
        follower = Follower(folder, sink, spec, folded=fold_whole(folder) if ahead else None)
        assert follower.run_once().state == "current"
        follower.release()
    found = costs.less(before)
    sink.close()
    return found


def test_what_a_short_run_costs_in_files(root, monkeypatch, tmp_path):
    """B9: a run that has ended is two waits for the disk: all of it, and then its position."""
    found = _cost_of_a_short_run(root, _files(monkeypatch, tmp_path))
    assert (found["commit"], found["fsync"]) == (2, 6)
    assert found["position.json"] == 1


def test_what_a_short_run_costs_in_objects(root):
    """B9: a run that has ended is seven objects, and three questions more."""
    found = _cost_of_a_short_run(root, _objects())
    found.pop("bytes")
    # Index, claim, points, metrics, config, output, run, position.
    assert found == {"get": 1, "list": 1, "put": 8}


def test_what_a_folded_run_costs_in_objects(root):
    """B9: whether the view has a run of which there is no note is told by the put of its index."""
    found = _cost_of_a_short_run(root, _objects(), ahead=True)
    found.pop("bytes")
    assert found == {"list": 1, "put": 8}


@pytest.mark.server
class TestMongo(places.MongoPlace):
    """The same of MongoDB: commands, as the driver reports them."""

    @pytest.fixture
    def place(self, spec):
        """Return the costs of a database, and what makes a sink for it and its specification."""
        from pymongo import monitoring

        costs = Costs()

        class Listener(monitoring.CommandListener):
            def started(self, event):
                costs[event.command_name] += 1
                costs["bytes"] += len(str(event.command))

            def succeeded(self, event):
                pass

            failed = succeeded

        from sacred.replayers.sinks.mongo import MongoSink

        listened = mongo_spec(
            spec.url, str(spec.options["db_name"]), client={"event_listeners": [Listener()]}
        )
        return costs, lambda: (MongoSink(listened), spec)

    def test_what_a_short_run_costs(self, root, place):
        """B9: a run that has ended is four commands: looked for, claimed, its points, its document."""
        found = _cost_of_a_short_run(root, place)
        found.pop("bytes")
        assert found == {"find": 1, "insert": 2, "update": 1}

    def test_what_a_folded_run_costs(self, root, place):
        """B9: whether the view has a run of which there is no note is told by the index of the server."""
        found = _cost_of_a_short_run(root, place, ahead=True)
        found.pop("bytes")
        assert found == {"insert": 2, "update": 1}

    def test_a_heartbeat_costs_the_same_with_many_points(self, root, place):
        """B9, R20: a heartbeat with 10^5 points kept sends what one with 10^3 does."""
        few = _costs_of_heartbeats(root, place, 1_000)
        many = _costs_of_heartbeats(root, place, 100_000)
        for less, more in zip(few, many, strict=True):
            assert abs(less.pop("bytes") - more.pop("bytes")) < 100
            assert less == more == {"update": 1}
