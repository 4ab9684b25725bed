"""The golden journals of format 1: a function each. See ``make.py`` for how to add one."""

from golden.journals import (
    companions,
    damage,
    epochs,
    events,
    points,
    sealed,
    texts,
    torn,
    values,
    versions,
)
from golden.make import GOLDENS

__all__ = [
    "GOLDENS",
    "events",
    "values",
    "points",
    "texts",
    "epochs",
    "torn",
    "damage",
    "companions",
    "versions",
    "sealed",
]
