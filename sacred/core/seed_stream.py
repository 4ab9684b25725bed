"""The numbers that ``numpy.random.default_rng(seed).integers(1, 10**9)`` draws, without numpy.

Runs draw the seeds of their ingredients and functions from numpy's default generator wherever
numpy is installed. To import it for a handful of integers would cost a start-up of 50 ms another
65 ms, so the two published algorithms behind it stand here: numpy's ``SeedSequence`` (after Melissa
O'Neill's ``seed_seq_fe``) and PCG64 (PCG XSL-RR 128/64), both frozen by numpy's compatibility
policy for streams.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from sacred.journal.integers import text_of

_WORD = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF
_WIDE = (1 << 128) - 1
_POOL = 4
_PCG_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645

#: One for all: a draw takes a microsecond. A forked child has a new one, for a thread that is not
#: there any more may hold the old.
_drawing = threading.Lock()


def _after_fork_in_child() -> None:
    global _drawing  # noqa: PLW0603
    _drawing = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

_LOW = 1
#: How many values there are: 1 to 10**9 - 1.
_COUNT = 999_999_999


class SeedStream:
    """A stream of seeds in [1, 10**9), equal to numpy's draw for draw.

    Everything else that a generator can do is numpy's: the first use of another attribute loads
    numpy and goes on where the stream stands. Threads may draw at once; each gets a seed of its own.

    Raises
    ------
    ValueError
        If the seed is negative.
    """

    __slots__ = ("_drawn", "_generator", "_half", "_increment", "_seed", "_state")

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"expected a non-negative integer as seed, not {text_of(seed)}")
        self._seed = int(seed)
        self._drawn = 0
        self._half: int | None = None
        self._generator: Any = None
        # Most streams are never drawn from: the generator's state is made by the first draw.
        self._state = -1
        self._increment = 0

    def draw(self) -> int:
        """Return the next seed."""
        with _drawing:
            return self._draw()

    def _draw(self) -> int:
        if self._generator is not None:
            return int(self._generator.integers(1, 1_000_000_000))
        self._drawn += 1
        # Lemire's method: the upper half of the product is uniform once the few lowest lower
        # halves are drawn again.
        product = self._next_word() * _COUNT
        if product & _WORD < _COUNT:
            threshold = (1 << 32) % _COUNT
            while product & _WORD < threshold:
                product = self._next_word() * _COUNT
        return _LOW + (product >> 32)

    def _next_word(self) -> int:
        if self._half is not None:
            word, self._half = self._half, None
            return word
        if self._state < 0:
            self._state, self._increment = _initial_state(self._seed)
        self._state = state = (self._state * _PCG_MULTIPLIER + self._increment) & _WIDE
        folded = (state >> 64) ^ (state & _LONG)
        turn = state >> 122
        value = (folded >> turn | folded << (64 - turn)) & _LONG if turn else folded
        self._half = value >> 32
        return value & _WORD

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._generator is None:
            import numpy as np

            generator = np.random.default_rng(self._seed)
            for _ in range(self._drawn):
                generator.integers(1, 1_000_000_000)
            self._generator = generator
        return getattr(self._generator, name)

    def __repr__(self) -> str:
        return f"SeedStream({self._seed})"


def _initial_state(seed: int) -> tuple[int, int]:
    words = _generate_words(_mix_entropy(seed), 8)
    longs = [words[i] | words[i + 1] << 32 for i in range(0, 8, 2)]
    increment = ((longs[2] << 64 | longs[3]) << 1 | 1) & _WIDE
    state = (increment + (longs[0] << 64 | longs[1])) & _WIDE
    return (state * _PCG_MULTIPLIER + increment) & _WIDE, increment


def _mix_entropy(seed: int) -> list[int]:
    entropy: list[int] = []
    while seed or not entropy:
        entropy.append(seed & _WORD)
        seed >>= 32
    constant = 0x43B0D7E5

    def hashed(value: int) -> int:
        nonlocal constant
        value ^= constant
        constant = constant * 0x931E8875 & _WORD
        value = value * constant & _WORD
        return value ^ value >> 16

    padded = entropy + [0] * (_POOL - len(entropy))
    pool = [hashed(value) for value in padded[:_POOL]]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mixed(pool[target], hashed(pool[source]))
    for value in padded[_POOL:]:
        for target in range(_POOL):
            pool[target] = _mixed(pool[target], hashed(value))
    return pool


def _mixed(x: int, y: int) -> int:
    result = (0xCA01F9DD * x - 0x4973F715 * y) & _WORD
    return result ^ result >> 16


def _generate_words(pool: list[int], n: int) -> list[int]:
    constant = 0x8B51F9DD
    words = []
    for i in range(n):
        value = pool[i % _POOL] ^ constant
        constant = constant * 0x58F38DED & _WORD
        value = value * constant & _WORD
        words.append(value ^ value >> 16)
    return words
