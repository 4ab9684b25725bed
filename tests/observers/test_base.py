"""The base of observers, and durations in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

import sacred.observers
from sacred.core.observers import RunObserver
from sacred.observers.base import td_format


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "less than a second"),
        (0.9, "less than a second"),
        (61, "1 minute, 1 second"),
        (7325, "2 hours, 2 minutes, 5 seconds"),
        (90000, "1 day, 1 hour"),
    ],
)
def test_durations_in_words(seconds: float, expected: str) -> None:
    """The texts of Sacred's td_format."""
    assert expected == td_format(timedelta(seconds=seconds))


def test_the_base_does_nothing() -> None:
    """EVT: every method exists and may be left out of a subclass."""
    observer = RunObserver()
    assert 0 == observer.priority
    assert observer.completed_event(None, None) is None  # type: ignore[arg-type, func-returns-value]
    assert observer.artifact_event("a", "f") is None  # type: ignore[func-returns-value]
    assert "sacred.observers.base" == RunObserver.__module__


def test_the_names_that_people_import() -> None:
    """PKG-02: each is found, and the same object as in its module."""
    for name in sacred.observers.__all__:
        assert getattr(sacred.observers, name) is not None
    with pytest.raises(AttributeError):
        sacred.observers.NoSuchObserver  # noqa: B018
