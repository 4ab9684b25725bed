"""The commands ``sacred`` and ``sacred-replay``: they find runs, show them, and write views.

A command calls one function of :mod:`sacred.analysis`, :mod:`sacred.replayers` or
:mod:`sacred.journal` and shows what it gave; nothing heavy is imported before it is needed.
:mod:`sacred.cli.program` says which commands there are, each is a module, and what they share stands
in :mod:`sacred.cli.options`; how a terminal shows things in :mod:`sacred.cli.terminal` and its kin.
"""

from sacred.cli.program import commands_by_section, main, replay_main

__all__ = ["commands_by_section", "main", "replay_main"]
