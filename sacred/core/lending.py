"""Names that Sacred's modules have because they import them.

Other packages import ``Run`` from ``sacred.experiment`` or ``get_host_info`` from
``sacred.initialize``. A module of ours is lent such names: each is looked up where it is defined
when somebody asks for it, so that nothing is loaded before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["lend"]


def lend(module: ModuleType, **homes: str) -> None:
    """Let a module have names of other modules.

    Parameters
    ----------
    module
        The module. What it has itself is not changed.
    homes
        By name, the module that defines it; as ``module:name`` where it has another name there.
    """
    own = module.__dict__.get("__getattr__")

    def find(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            if own is not None:
                return own(name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        from importlib import import_module

        place, _, real_name = home.partition(":")
        value = getattr(import_module(place), real_name or name)
        module.__dict__[name] = value
        return value

    module.__dict__["__getattr__"] = find
