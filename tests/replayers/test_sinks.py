"""The contract, run over every sink there is."""

from __future__ import annotations

import shutil
import time

import psutil
import pytest
from battery import soak
from replayers import places

from sacred.replayers.contract import SinkContract, write_run
from sacred.replayers.contract.crashes import CRASHES, CRASHES_OF_TWO
from sacred.replayers.replay import replay


def _resident():
    """Return what this process takes of the memory (bytes)."""
    return psutil.Process().memory_info().rss


class _Tested(SinkContract):
    """What is of chance is repeated for as long as a soak goes on, and a million points are its too."""

    points = 1_000_000 if soak.seconds(1) else 100_000

    #: Runs of our own that are replayed, one after the other.
    own_runs = 10_000 if soak.seconds(1) else 100

    @pytest.mark.slow
    def test_many_runs_of_our_own(self, spec, root):
        """Each gets its number and keeps it, also where the notes are lost; memory stays flat."""
        for _ in range(self.own_runs):
            write_run(root.claim(), points=1)
        some = max(1, self.own_runs // 5)
        sizes = []
        for first in range(1, self.own_runs + 1, some):
            chosen = range(first, min(first + some, self.own_runs + 1))
            summary = replay(root, chosen, [spec])
            assert summary.exit_code == 0
            assert [one.view_id for one in summary.outcomes] == list(chosen)
            sizes.append(_resident())
        assert sizes[-1] - sizes[0] < 64 << 20
        for folder in root.runs():
            shutil.rmtree(folder.views)
        again = replay(root, None, [spec])
        assert [one.view_id for one in again.outcomes] == list(range(1, self.own_runs + 1))

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

    own_runs = min(1000, _Tested.own_runs)  # its one file is written whole for each


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
