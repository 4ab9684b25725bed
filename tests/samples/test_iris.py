"""The two scripts of Sacred's first README: a support vector machine on the iris data."""

from __future__ import annotations

import pytest

from samples import typed

pytestmark = pytest.mark.slow  # scikit-learn takes two seconds to import


def test_the_plain_script(tmp_path):
    """The left column: a script that knows nothing of experiments."""
    pytest.importorskip("sklearn")
    assert float(typed.printed("iris/plain", tmp_path)) > 0.8


def test_the_experiment(tmp_path):
    """The right column: the same as an experiment; the run's seed decides numpy's draws."""
    pytest.importorskip("sklearn")
    results = []
    for number in (1, 2):
        typed.printed("iris/experiment", tmp_path, "with", "seed=7")
        results.append(typed.ended(tmp_path, number)["result"])
    assert results[0] == results[1]
    assert results[0] > 0.8
    typed.printed("iris/experiment", tmp_path, "with", "seed=7", "C=0.001")
    assert typed.ended(tmp_path, 3)["result"] < results[0]
