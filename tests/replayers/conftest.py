"""What the tests of the replayers share."""

from __future__ import annotations

import pytest

from sacred.journal.root import JournalRoot
from sacred.replayers.contract import write_run


@pytest.fixture
def root(tmp_path):
    """A root of journals."""
    return JournalRoot(tmp_path / "sacred_runs")


@pytest.fixture
def run_writer():
    """Writes a run with something of everything."""
    return write_run
