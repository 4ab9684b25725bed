"""The tests that every sink passes, ours or a third party's.

Install your package (``pip install -e .``: its entry point makes the sink known), derive a class in
a test module of your own, and say three things::

    import pytest

    from sacred.replayers.contract import SinkContract
    from sacred.replayers.sink import SinkSpec


    class TestMySink(SinkContract):
        @pytest.fixture
        def spec(self, tmp_path):
            # an empty place, for one test
            return SinkSpec.parse(f"my:{tmp_path}")

        def document(self, spec, view_id):
            ...  # all that the place holds of a run, a dict with "metrics"; None if nothing

        def place_foreign_run(self, spec, view_id):
            ...  # put another program's run under an id

``pytest`` then runs every test of the class, each in a place of its own, against whatever ``spec``
leads to: let that be the real thing, a server that the fixture starts, and not a stand-in of yours.
Some tests use several sinks at once, in threads and in processes that are killed; none needs the
network beyond that place.

``document`` is compared: of a run with itself after a repeat, a rebuild or a crash; and of two runs
that did the same. For these keys named ``_id``, ``id``, ``run_id``, ``file_id``, ``start_time``,
``stop_time``, ``heartbeat`` and ``timestamps`` do not count, at any depth. Leave out revisions and
what else each write changes. The more of the place is in it, the more the tests prove. With
``expected`` (and ``content``) the view is also compared with the fold of its journal.

A sink that keeps a number by which a backup is known (``MarkedSink``) says two things more, so that
this is tested, too: ``copy_of_place`` and ``delete_run``.

What your place can not have is left out by name, and the reason belongs beside it::

        test_two_followers_at_once = None  # it has no conditional writes: one replayer at a time

``docs/write-a-sink.md`` builds a whole package with its test. A place that can not be asked what it
holds, like a chat, keeps :class:`sacred.replayers.notification_contract.NotificationContract`.

Needs pytest and hypothesis; nothing else here does.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{one}"
        for one in (
            "backups",
            "place",
            "following",
            "batches",
            "ids",
            "files",
            "crashes",
            "histories",
        )
    )
)

from sacred.replayers.contract.backups import BackupContract  # noqa: E402 - rewritten from here on
from sacred.replayers.contract.batches import BatchContract  # noqa: E402
from sacred.replayers.contract.crashes import CrashContract  # noqa: E402
from sacred.replayers.contract.files import FileContract  # noqa: E402
from sacred.replayers.contract.folded import Folded, Series, fold_of  # noqa: E402
from sacred.replayers.contract.following import FollowingContract  # noqa: E402
from sacred.replayers.contract.histories import HistoryContract  # noqa: E402
from sacred.replayers.contract.ids import IdContract  # noqa: E402
from sacred.replayers.contract.runs import write_run  # noqa: E402
from sacred.replayers.contract.sizes import SizeContract  # noqa: E402
from sacred.replayers.contract.values import ValueContract  # noqa: E402

__all__ = ["Folded", "Series", "SinkContract", "fold_of", "write_run"]


class SinkContract(
    FollowingContract,
    BatchContract,
    BackupContract,
    IdContract,
    FileContract,
    CrashContract,
    HistoryContract,
    ValueContract,
    SizeContract,
):
    """What a sink promises; each test says it in its docstring."""
