"""Seeds and generators of random numbers, draw for draw those of Sacred.

A generator is numpy's where numpy is installed and Python's own elsewhere, because that decides
every number that follows. numpy takes 65 ms to import, so it is loaded only for what it alone can
give.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError
from sacred.core.late_import import when_imported
from sacred.core.settings import SETTINGS
from sacred.journal.integers import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "SEEDRANGE",
    "SeedError",
    "create_rnd",
    "create_seed_stream",
    "get_seed",
    "set_global_seed",
]

#: Seeds are drawn from this range; numpy's generators leave its upper end out.
SEEDRANGE = (1, 1_000_000_000)


class SeedError(SacredError, ValueError):
    """A seed that no generator takes."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


def get_seed(rnd: Any = None) -> int:
    """Draw a seed.

    Parameters
    ----------
    rnd
        A generator of :func:`create_rnd` or :func:`create_seed_stream`; None for Python's global
        one.
    """
    if rnd is None:
        return random.randint(*SEEDRANGE)  # noqa: S311 - Sacred's numbers
    for method in ("draw", "integers"):
        draw = getattr(type(rnd), method, None)
        if draw is not None:
            return int(draw(rnd) if method == "draw" else draw(rnd, *SEEDRANGE))
    return int(rnd.randint(*SEEDRANGE))


def create_rnd(seed: int) -> Any:
    """Return a generator of random numbers.

    ``numpy.random.default_rng(seed)``; with ``SETTINGS.CONFIG.NUMPY_RANDOM_LEGACY_API``
    ``numpy.random.RandomState(seed)``; without numpy ``random.Random(seed)``.

    Raises
    ------
    TypeError
        If the seed is no integer.
    """
    _check_is_integer(seed)
    if not _numpy_is_installed():
        return random.Random(seed)  # noqa: S311 - Sacred's numbers
    import numpy as np

    if SETTINGS.CONFIG.NUMPY_RANDOM_LEGACY_API:
        return np.random.RandomState(seed)
    return np.random.default_rng(seed)


def create_seed_stream(seed: int) -> Any:
    """Return a generator whose seeds are those of :func:`create_rnd`, without loading numpy.

    Raises
    ------
    TypeError
        If the seed is no integer.
    ValueError
        If it is one that numpy refuses.
    """
    _check_is_integer(seed)
    if not _numpy_is_installed():
        return random.Random(seed)  # noqa: S311 - Sacred's numbers
    if SETTINGS.CONFIG.NUMPY_RANDOM_LEGACY_API:
        return create_rnd(seed)
    from sacred.core.seed_stream import SeedStream

    return SeedStream(seed)


def set_global_seed(seed: int) -> None:
    """Seed the global generators of Python, numpy, TensorFlow and PyTorch.

    A package that is not imported yet is seeded at the moment that it is, by the last seed that
    was set.

    Raises
    ------
    TypeError
        If the seed is no integer.
    ValueError
        If numpy is installed and would refuse the seed.
    """
    _check_is_integer(seed)
    if not 0 <= seed < 2**32 and _numpy_is_installed():
        raise SeedError(
            f"Seed must be between 0 and 2**32 - 1, not {text_of(seed)}: numpy "
            "takes no other. Give one of these, seed=42."
        )
    random.seed(seed)
    for name, seed_package in _SEEDERS.items():
        package = sys.modules.get(name)
        if package is not None:
            seed_package(package, seed)
        elif name not in _last_seed:
            _seed_when_imported(name)
        _last_seed[name] = seed


def _check_is_integer(seed: Any) -> None:
    if not isinstance(seed, int):
        raise TypeError(f"Seed is not integer but {type(seed)}")


def _numpy_is_installed() -> bool:
    from sacred.core.optional import module_exists

    return module_exists("numpy")


# -- packages with a global generator -------------------------------------------------------------


def _seed_numpy(numpy: Any, seed: int) -> None:
    numpy.random.seed(seed)


def _seed_tensorflow(tensorflow: Any, seed: int) -> None:
    compat = getattr(getattr(tensorflow, "compat", None), "v1", None)
    (tensorflow if compat is None else compat).set_random_seed(seed)


def _seed_torch(torch: Any, seed: int) -> None:
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


_SEEDERS: dict[str, Callable[[Any, int], None]] = {
    "numpy": _seed_numpy,
    "tensorflow": _seed_tensorflow,
    "torch": _seed_torch,
}


#: The seed for each package, once one was set.
_last_seed: dict[str, int] = {}


def _seed_when_imported(name: str) -> None:
    when_imported(name, lambda package: _SEEDERS[name](package, _last_seed[name]))
