"""The collector is off while our modules are loaded, and as it was after that."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from sacred.core.uncollected import Uncollected


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_as_it_was(on):
    """Also when what was loaded raised."""
    before = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        with pytest.raises(ImportError), Uncollected():
            assert not gc.isenabled()
            raise ImportError("no such module")
        assert on == gc.isenabled()
        with Uncollected(), Uncollected():
            assert not gc.isenabled()
        assert on == gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()


_SCRIPT = """
import gc, sys
seen = []
gc.callbacks.append(lambda phase, facts: phase == "start" and seen.append(facts["generation"]))
from sacred import Experiment
assert gc.isenabled()
ex = Experiment("quiet", save_git_info=False)

@ex.main
def main():
    print(len(seen), gc.isenabled())

ex.run()
assert gc.isenabled()
"""


def test_a_run_begins_with_few_collections(tmp_path):
    """What is loaded for a run is not looked through again and again; user code has its collector."""
    (tmp_path / "script.py").write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    count, on = done.stdout.split()
    assert "True" == on
    assert int(count) < 25  # 12 and 38
