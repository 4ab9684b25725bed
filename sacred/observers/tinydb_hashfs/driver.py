"""Whether the driver is there, asked without loading it."""

from __future__ import annotations

import sys

__all__ = ["require_driver"]


def require_driver(user: str) -> None:
    """See that tinydb is installed.

    Parameters
    ----------
    user
        The class that needs it.

    Raises
    ------
    ImportError
        It is not.
    """
    from importlib.util import find_spec

    if sys.modules.get("tinydb") is not None or find_spec("tinydb") is not None:
        return
    raise ImportError(
        f"{user} needs tinydb: pip install tinydb. (sacred-replay --to tinydb:DIR writes a TinyDB "
        "without it.)",
        name="tinydb",
    )
