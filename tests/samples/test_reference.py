"""The samples of Sacred's reference page; its names are checked in ``tests/facts``."""

from __future__ import annotations

from samples import typed


def test_the_shortcut_to_info(tmp_path):
    """Info: ``ex.info`` is the same object as ``_run.info`` in a captured function."""
    assert "True\n" == typed.printed("reference/info", tmp_path)


def test_the_run_object(tmp_path):
    """The run object: in a captured function while it runs, and what ``ex.run()`` returns."""
    assert "RUNNING\nCOMPLETED 7\n" == typed.printed("reference/run_object", tmp_path)
