"""Notebooks and prompts: whether the program is typed, and what was typed so far."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.core.recorder import Recorder

__all__ = [
    "is_interactive",
    "is_made_up",
    "is_typed",
    "notebook_name",
    "record_cells",
    "typed_cells",
]


def is_interactive() -> bool:
    """Return whether somebody types the program: a notebook, IPython, a prompt, ``python -i``."""
    return _shell() is not None or hasattr(sys, "ps1") or bool(sys.flags.inspect)


def is_typed(function: Callable[..., Any]) -> bool:
    """Return whether a function was defined in a cell or at a prompt, and in no file."""
    code = getattr(function, "__code__", None)
    filename = code.co_filename if code is not None else ""
    if filename.startswith(("<stdin>", "<ipython-input-", "<python-input-")):
        return True
    # Newer kernels put a cell under the temporary folder, in one that is called after themselves.
    return os.path.basename(os.path.dirname(filename)).startswith("ipykernel_")


def is_made_up(doc: str | None) -> bool:
    """Return whether a docstring is the one that IPython gives to what is typed."""
    return bool(doc) and str(doc).startswith("Automatically created module for IPython")


def notebook_name() -> str:
    """Return what a run that is typed is called: after its notebook, where that can be known."""
    # JPY_SESSION_NAME is Jupyter's, for kernels that its server started.
    place = os.environ.get("JPY_SESSION_NAME") or ""
    shell = _shell()
    if shell is not None:
        place = str(getattr(shell, "user_ns", {}).get("__vsc_ipynb_file__") or place)
    stem, extension = os.path.splitext(os.path.basename(place))
    return stem if extension == ".ipynb" and stem else "interactive"


def typed_cells() -> str | None:
    """Return the cells that were run so far, as one text; None where there is no IPython.

    Each begins with its number, as ``# In[3]:``. They are as they were typed: commands of IPython
    are no Python.
    """
    shell = _shell()
    history = getattr(shell, "history_manager", None)
    cells = getattr(history, "input_hist_raw", None) or getattr(shell, "user_ns", {}).get("In")
    if not isinstance(cells, list):
        return None
    texts = [
        f"# In[{number}]:\n{str(cell).rstrip()}\n"
        for number, cell in enumerate(cells)
        if str(cell).strip()
    ]
    return "\n".join(texts) if texts else None


def record_cells(recorder: Recorder, name: str, base_dir: str) -> None:
    """Record the cells that were run so far as the main source of a run.

    Nothing is recorded outside of IPython, or if ``SETTINGS.DISCOVER_SOURCES`` is ``"none"``.
    Called again, what was run since is recorded too, in place of the first record.
    """
    from sacred.core.settings import SETTINGS

    cells = typed_cells() if SETTINGS.DISCOVER_SOURCES != "none" else None
    if cells:
        # No module can have this name.
        filename = f"{name}.cells.py"
        recorder.main_text(filename, os.path.join(base_dir, filename), cells)


def _shell() -> Any:
    """Return the shell of IPython if this program is typed into one."""
    ipython = sys.modules.get("IPython")
    get = getattr(ipython, "get_ipython", None)
    return get() if get is not None else None
