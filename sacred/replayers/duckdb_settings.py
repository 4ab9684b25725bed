"""What every database of DuckDB here is told: load nothing, print nothing, see nothing of the caller."""

from __future__ import annotations

__all__ = ["ALONE"]

#: Statements, to be executed before anything is asked.
ALONE = (
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set enable_progress_bar = false",
    # Names of the caller's Python variables are no tables.
    "set python_enable_replacements = false",
)
