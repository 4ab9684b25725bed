"""The contract, run over every sink there is."""

from __future__ import annotations

import time

import pytest
from battery import soak
from replayers import places

from sacred.replayers.contract import SinkContract
from sacred.replayers.contract.crashes import CRASHES, CRASHES_OF_TWO


class _Tested(SinkContract):
    """What is of chance is repeated for as long as a soak goes on, and a million points are its too."""

    points = 1_000_000 if soak.seconds(1) else 100_000

    def rounds(self):
        end = time.monotonic() + soak.seconds(1 / 30)
        yield 0
        number = 1
        while time.monotonic() < end:
            yield number
            number += 1


class TestMemorySink(places.MemoryPlace, _Tested):
    """The reference keeps its own contract."""


class TestFileSink(places.FilePlace, _Tested):
    """The file tree."""

    points = 1_000_000


class TestTinyDbSink(places.TinyDbPlace, _Tested):
    """A TinyDB."""


class TestParquetSink(places.ParquetPlace, _Tested):
    """A tree of Parquet."""


class TestObjectSink(places.ObjectPlace, _Tested):
    """The tree as objects of a store in memory."""


@pytest.mark.server
class TestS3Sink(places.VersityPlace, _Tested):
    """S3, on a store that knows conditions of a put."""


@pytest.mark.server
class TestSimpleS3Sink(places.RclonePlace, _Tested):
    """S3, on a store without them: what two replayers do at once is not promised there."""


@pytest.mark.server
class TestGcsSink(places.GcsPlace, _Tested):
    """Google Cloud Storage, on a stand-in that knows generations."""


@pytest.mark.server
class TestMongoSink(places.MongoPlace, _Tested):
    """MongoDB, on a real server."""


class TestSqliteSink(places.SqlitePlace, _Tested):
    """SQLite."""


@pytest.mark.server
class TestPostgresSink(places.PostgresPlace, _Tested):
    """PostgreSQL, on a real server."""


@pytest.mark.server
class TestMariaSink(places.MariaPlace, _Tested):
    """MariaDB, on a real server."""


def test_how_many_kills_these_are():
    """What ``make test`` shows is said here: at least 500 replayers end by SIGKILL at some point."""
    tested = [one for name, one in globals().items() if name.startswith("Test")]
    reached = [one for one in tested if one.outlives_processes]
    assert len(reached) == 10
    alone = len(CRASHES) * len(reached)
    beside = len(CRASHES_OF_TWO) * sum(one.excludes_others for one in reached)
    assert (alone, beside) == (570, 90)
