"""The tests that every sink passes, ours or a third party's.

Inherit and say how to make a sink, and what is in the place without asking the sink::

    class TestMySink(SinkContract):
        @pytest.fixture
        def spec(self, tmp_path):
            return SinkSpec.parse(f"my:{tmp_path}")

        def document(self, spec, view_id):
            ...

With ``expected`` (and ``content``) the view is also compared with the fold of its journal; without,
with its own second replay. Needs pytest and hypothesis; nothing else here does.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{one}"
        for one in ("place", "following", "batches", "ids", "files", "crashes", "histories")
    )
)

from sacred.replayers.contract.batches import BatchContract  # noqa: E402 - rewritten from here on
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
    IdContract,
    FileContract,
    CrashContract,
    HistoryContract,
    ValueContract,
    SizeContract,
):
    """What a sink promises; each test says it in its docstring."""
