# ruff: noqa: NPY002 - the global generators are what is seeded
"""Seeds and generators, draw for draw those of Sacred and of numpy."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.core import randomness
from sacred.core.randomness import SEEDRANGE, create_rnd, create_seed_stream, get_seed
from sacred.core.seed_stream import SeedStream
from sacred.core.settings import SETTINGS


@pytest.fixture
def legacy():
    """The old generators of numpy, as the setting asks for them."""
    SETTINGS.CONFIG.NUMPY_RANDOM_LEGACY_API = True
    yield
    SETTINGS.CONFIG.NUMPY_RANDOM_LEGACY_API = None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**150))
def test_seeds_are_those_of_numpy(seed):
    """RND-04: without numpy the same seeds are drawn as with it, rejected draws included."""
    stream, generator = SeedStream(seed), np.random.default_rng(seed)
    assert [int(generator.integers(1, 10**9)) for _ in range(9)] == [
        stream.draw() for _ in range(9)
    ]


def test_a_stream_becomes_the_generator_where_it_stands():
    """RND-04: any other use goes on behind the seeds that were drawn."""
    stream, generator = SeedStream(3), np.random.default_rng(3)
    for _ in range(3):
        assert get_seed(generator) == get_seed(stream)
    assert generator.normal() == stream.normal()
    assert get_seed(generator) == stream.draw()


def test_generators_follow_the_setting(legacy):
    """RND-04: NUMPY_RANDOM_LEGACY_API gives RandomState and its draws."""
    assert isinstance(create_rnd(1), np.random.RandomState)
    assert get_seed(np.random.RandomState(5)) == get_seed(create_seed_stream(5))


def test_generators_without_numpy(monkeypatch):
    """RND-04: without numpy they are Python's, the upper end of the range included."""
    monkeypatch.setattr(randomness, "_numpy_is_installed", lambda: False)
    assert isinstance(create_rnd(1), random.Random)
    expected = random.Random(4).randint(*SEEDRANGE)
    assert expected == get_seed(create_seed_stream(4))


def test_the_default_generator_is_numpys():
    """RND-04: default_rng where numpy is installed."""
    assert np.random.default_rng(7).integers(10**9) == create_rnd(7).integers(10**9)


@pytest.mark.parametrize("seed", ["1", 1.0, None])
def test_a_seed_is_an_integer(seed):
    """RND-02: anything else is refused."""
    for use in (create_rnd, create_seed_stream, randomness.set_global_seed):
        with pytest.raises(TypeError, match="Seed is not integer"):
            use(seed)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_global_seed_that_numpy_would_refuse(seed):
    """RND-02: the run ends at its start, also when numpy is imported only later."""
    with pytest.raises(ValueError, match="between 0 and"):
        randomness.set_global_seed(seed)


def test_global_generators_are_seeded():
    """RND-03: Python's and numpy's global generators, with the numbers that Sacred gives."""
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        randomness.set_global_seed(12345)
        assert (0.41661987254534116, 741858) == (random.random(), np.random.randint(10**6))
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def _python(code, *paths):
    script = "import sys\n" + "".join(f"sys.path.insert(0, {str(p)!r})\n" for p in paths)
    done = subprocess.run(
        [sys.executable, "-c", script + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.split()


def test_numpy_is_seeded_when_it_is_imported_later():
    """RND-03: the seed is applied right after the import, the module looks as ever."""
    assert ["False", "741858", "True", "False"] == _python("""
        from sacred.core.randomness import set_global_seed
        set_global_seed(1)
        set_global_seed(12345)
        print("numpy" in sys.modules)
        import numpy
        print(numpy.random.randint(10**6))
        print(numpy.__loader__ is numpy.__spec__.loader)
        print("late_import" in type(numpy.__loader__).__module__)
    """)


def test_torch_and_tensorflow_are_seeded_when_they_are_imported_later(tmp_path):
    """RND-03: whichever framework comes, before the seed or after it."""
    (tmp_path / "torch.py").write_text(
        "seeds = []\nmanual_seed = seeds.append\nclass cuda:\n    manual_seed_all = seeds.append\n"
    )
    (tmp_path / "tensorflow.py").write_text(
        "seeds = []\nclass compat:\n    class v1:\n        set_random_seed = seeds.append\n"
    )
    assert ["[7,7]", "[7,8]", "[7,7,8,8]"] == _python(
        """
        from sacred.core.randomness import set_global_seed
        set_global_seed(7)
        import torch, tensorflow
        print(str(torch.seeds).replace(" ", ""))
        set_global_seed(8)
        print(str(tensorflow.seeds).replace(" ", ""))
        print(str(torch.seeds).replace(" ", ""))
        """,
        tmp_path,
    )
