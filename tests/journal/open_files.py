"""Which files this process has open, by what they are.

Numbers alone can not be counted: what an earlier test left to the collector goes at any moment.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

FD = Path("/proc/self/fd")


def open_files(*below):
    """Count, by path, the descriptors of files at or below paths.

    Parameters
    ----------
    *below : path-like
        Files or folders; links in them are followed, as the system's list shows targets.

    Returns
    -------
    Counter
        Paths and how many descriptors each has; empty where there is no ``/proc``.
    """
    wanted = [os.path.realpath(path) for path in below]
    found = Counter()
    for number in os.listdir(FD) if FD.is_dir() else ():
        try:
            target = os.readlink(FD / number)
        except FileNotFoundError:  # the number of the listing itself
            continue
        if any(target == path or target.startswith(path + os.sep) for path in wanted):
            found[target] += 1
    return found
