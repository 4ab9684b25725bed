"""The MongoDB view's guards: of two replayers that know different things, one writes."""

from __future__ import annotations

import pytest

from sacred.replayers.addresses import mongo_spec
from sacred.replayers.contract import SinkContract
from sacred.replayers.errors import TransientSinkError, ViewMovedError
from sacred.replayers.sink import FieldsChanged, RunKey
from sacred.replayers.sinks.mongo import MongoSink

pytestmark = pytest.mark.server

RUN = RunKey("00000000000000a1", 1)
#: The start of a run and 29 points of one metric.
EVENTS = SinkContract.events(30)


def batch(upto, run=RUN):
    """Return the batch of the first events."""
    return SinkContract.batch(run, EVENTS[:upto], upto)


def fields_only(upto, run=RUN, **fields):
    """Return a batch that changes fields and has neither points nor output."""
    return batch(1, run)._replace(
        changes=(FieldsChanged(fields),), position=batch(upto).position, ahead=batch(upto).position
    )


def stored_points(database):
    """Return all points, with how many the documents themselves count."""
    series = list(database.metrics.find().sort("_journal.bucket"))
    counted = sum(one["_journal"]["n"] for one in series)
    return counted, [
        point for one in series for point in zip(one["steps"], one["values"], strict=True)
    ]


def wanted_points(upto):
    """Return what ``stored_points`` gives once the first events are in the view."""
    return upto - 1, [(step, step / 2) for step in range(1, upto)]


@pytest.fixture
def open_sink(mongo_server, mongo_db):
    """Return a function that opens sinks on one database; all are closed at the end."""
    sinks = []

    def make(**options):
        sink = MongoSink(mongo_spec(mongo_server.url, mongo_db.name, **options))
        sinks.append(sink)
        sink.open()
        return sink

    yield make
    for sink in sinks:
        sink.close()


def test_a_stale_batch_of_fields_alone_is_refused(open_sink, mongo_db):
    """P7, R18: the document's revision guards fields and position, where no point does."""
    one, two = open_sink(), open_sink()
    one.claim(RUN)
    one.position(RUN)
    two.position(RUN)
    one.write(fields_only(5, status="COMPLETED", result=42))
    before = mongo_db.runs.find_one()
    with pytest.raises(ViewMovedError, match="another replayer"):
        two.write(fields_only(4, status="RUNNING"))
    assert mongo_db.runs.find_one() == before
    assert (before["status"], before["_journal"]["revision"]) == ("COMPLETED", 1)
    # Who looks again may write, from there.
    assert two.position(RUN).position[0].next_seq == 5
    two.write(fields_only(6, result=43))
    found = mongo_db.runs.find_one()
    assert (found["status"], found["result"]) == ("COMPLETED", 43)
    assert found["_journal"]["revision"] == 2


def test_a_batch_from_before_a_reset_is_refused(open_sink, mongo_db):
    """P7: a view that was reset meanwhile is not set back to where a stale replayer saw it."""
    one, two = open_sink(), open_sink()
    one.claim(RUN)
    one.position(RUN)
    one.write(fields_only(5, status="RUNNING"))
    two.position(RUN)
    one.reset(RUN)
    with pytest.raises(ViewMovedError):
        two.write(fields_only(6, status="COMPLETED"))
    assert not one.position(RUN).position
    assert mongo_db.runs.find_one()["status"] == "RUNNING"


def test_two_stale_writers_push_a_series_on_once(open_sink, mongo_db):
    """R18: each metrics document guards itself: points pushed onto it by two are there once."""
    one, two = open_sink(), open_sink()
    one.claim(RUN)
    one.position(RUN)
    one.write(batch(11))
    assert wanted_points(11) == stored_points(mongo_db)
    one.position(RUN)
    two.position(RUN)
    one.write(batch(21))
    assert wanted_points(21) == stored_points(mongo_db)
    with pytest.raises(ViewMovedError):
        two.write(batch(21))
    assert wanted_points(21) == stored_points(mongo_db)
    with pytest.raises(ViewMovedError):  # it is not asked to guess: first it has to look
        two.write(batch(30))
    assert wanted_points(21) == stored_points(mongo_db)
    assert two.position(RUN).points == {"m": 20}
    two.write(batch(30))
    assert wanted_points(30) == stored_points(mongo_db)


def test_a_stale_writer_that_knows_more_pushes_nothing(open_sink, mongo_db):
    """R18: also points that nobody else has are not pushed behind a gap or a repeat."""
    one, two = open_sink(), open_sink()
    one.claim(RUN)
    one.position(RUN)
    one.write(batch(6))
    two.position(RUN)
    one.write(batch(11))
    with pytest.raises(ViewMovedError):
        two.write(batch(30))
    assert wanted_points(11) == stored_points(mongo_db)


def test_a_series_that_a_client_deleted_is_noticed(open_sink, mongo_db):
    """R18: points that found no document to be pushed onto do not move the position."""
    sink = open_sink()
    sink.claim(RUN)
    sink.position(RUN)
    sink.write(batch(11))
    mongo_db.metrics.delete_many({})
    with pytest.raises(ViewMovedError, match="a client changed this run's metrics"):
        sink.write(batch(21))
    found = sink.position(RUN)
    assert (found.position[0].next_seq, found.points) == (11, {})


def test_after_a_write_that_failed_the_view_is_asked_again(private_mongo, fault_proxy):
    """P7: a sink whose write failed does not believe that its points arrived; none is lost."""
    import pymongo

    proxy = fault_proxy(private_mongo.port)
    options = {"serverSelectionTimeoutMS": 2000, "retryWrites": False}
    sink = MongoSink(mongo_spec(proxy.url, "guards", client=options))
    try:
        sink.open()
        sink.claim(RUN)
        sink.position(RUN)
        sink.write(batch(11))
        proxy.refuse()
        with pytest.raises(TransientSinkError):
            sink.write(batch(21))
        proxy.heal()
        with pytest.raises(ViewMovedError, match="not in the view any more"):
            sink.write(batch(21))
        with pymongo.MongoClient(private_mongo.url, serverSelectionTimeoutMS=5000) as client:
            assert wanted_points(11) == stored_points(client.guards)
            found = sink.position(RUN)
            assert (found.points, found.position[0].next_seq) == ({"m": 10}, 11)
            sink.write(batch(21))
            assert wanted_points(21) == stored_points(client.guards)
            assert sink.position(RUN).position[0].next_seq == 21
    finally:
        sink.close()


def test_an_entry_that_was_taken_over_is_not_deleted(open_sink, mongo_db):
    """MGO-07, R15: giving back a claim leaves an entry that was there before it."""
    mongo_db.runs.insert_one({"_id": 3, "status": "OLD", "foreign": 1})
    sink = open_sink(overwrite=3)
    assert sink.claim(RUN) == 3
    assert sink.position(RUN).claimed
    assert not sink.release(RUN)
    found = mongo_db.runs.find_one({"_id": 3})
    assert (found["status"], found["foreign"]) == ("OLD", 1)


def test_a_dead_process_does_not_take_an_entry_along(open_sink, mongo_db):
    """R15: clearing stale claims spares the entry that a dead process had taken over."""
    from sacred.journal.identity import own_identity

    mongo_db.runs.insert_one({"_id": 3, "status": "OLD"})
    open_sink(overwrite=3).claim(RUN)
    gone = {**own_identity(), "process_start": 0.5, "wall": 0}
    mongo_db.runs.update_one({"_id": 3}, {"$set": {"_journal.claimed": gone}})
    assert open_sink().clear_claims(60) == 0
    assert mongo_db.runs.find_one({"_id": 3})["status"] == "OLD"


def test_a_run_whose_entry_another_took_over_is_out(open_sink, mongo_db):
    """MGO-07: the one that lost its entry neither writes it nor takes it away."""
    other = RunKey("00000000000000a2", 2)
    first = open_sink()
    assert first.claim(RUN) == 1
    first.position(RUN)
    second = open_sink(overwrite=1)
    assert second.claim(other) == 1
    before = mongo_db.runs.find_one()
    assert before["_journal"]["id"] == other.journal_id
    with pytest.raises(ViewMovedError):
        first.write(fields_only(5, status="FAILED"))
    assert not first.release(RUN)
    assert mongo_db.runs.find_one() == before
    assert first.position(RUN) is None
