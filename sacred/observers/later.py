"""What is said where somebody imports an observer of Sacred that is still to come."""

from __future__ import annotations

from sacred.core.observer_checks import ObserverMissingError

__all__ = ["LATER", "not_here_yet"]

#: The observers that are still to come, and the modules in which Sacred has them.
LATER: dict[str, str] = {}


def not_here_yet(name: str) -> ObserverMissingError:
    """Return the error about an observer of Sacred, by the name of its class.

    It is an ``ImportError``: from an ``AttributeError``, ``from sacred.observers import ...`` would
    hide the sentence.
    """
    return ObserverMissingError(
        f"this version of sacred-journal has no {name} yet; without it the run is journalled all the "
        "same, and a later sacred-replay brings it there"
    )
