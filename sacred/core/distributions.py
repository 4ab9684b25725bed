"""Which installed distribution a module belongs to.

Most modules are called like their distribution, and the folders that installers leave beside a
package (``numpy-2.1.0.dist-info``) tell name and version at the price of one directory listing.
For the others (``yaml`` is of PyYAML) the lists of files in these folders are searched, and only
for editable installations ``importlib.metadata`` is asked, which takes ten times as long.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from sacred.core.fork import IMPORTING
from sacred.journal.named_tuple import NamedTuple

_OWN_PACKAGE = __name__.split(".", 1)[0]
_OWN_DISTRIBUTION = "sacred-journal"

__all__ = ["Distribution", "all_distributions", "distribution_of", "find_distribution"]


class Distribution(NamedTuple):
    """An installed distribution: its normalised name and its version."""

    name: str
    version: str


def distribution_of(module_name: str, module_file: str | None = None) -> Distribution | None:
    """Return the distribution that a module belongs to.

    Parameters
    ----------
    module_name
        Any module of the package; only the part before the first dot counts.
    module_file
        Where the module was loaded from, if known: its folder is looked into first.

    Returns
    -------
    Distribution or None
        None for the standard library, and for modules that no distribution claims.
    """
    top_level = module_name.split(".", 1)[0]
    if top_level in sys.stdlib_module_names or top_level in sys.builtin_module_names:
        return None
    if top_level == _OWN_PACKAGE:
        # Every experiment imports us, so this is not worth a search.
        return find_distribution(_OWN_DISTRIBUTION)
    if module_file is None:
        return find_distribution(top_level)
    folder = _folder_of_package(module_name, module_file)
    installed = _distributions_in(folder)
    found = installed.get(normalise(top_level)) or _claimant(folder, top_level)
    if found is None and not installed and _has_editables():
        found = _claimant_of_editable(top_level)
    return found


def find_distribution(name: str) -> Distribution | None:
    """Return an installed distribution by its name, or None."""
    key = normalise(name)
    for folder in sys.path:
        found = _distributions_in(folder or os.curdir).get(key)
        if found is not None:
            return found
    return None


def all_distributions() -> list[Distribution]:
    """Return every distribution on ``sys.path``, once, in no particular order."""
    found: dict[str, Distribution] = {}
    for folder in sys.path:
        for key, distribution in _distributions_in(folder or os.curdir).items():
            found.setdefault(key, distribution)
    return list(found.values())


def normalise(name: str) -> str:
    """Return a distribution's name in the one form that all its spellings share."""
    return name.lower().replace("_", "-")


def _folder_of_package(module_name: str, module_file: str) -> str:
    folder = os.path.dirname(module_file)
    is_package = os.path.basename(module_file).startswith("__init__.")
    for _ in range(module_name.count(".") + is_package):
        folder = os.path.dirname(folder)
    return folder


_listings: dict[str, tuple[int, dict[str, Distribution]]] = {}


def _distributions_in(folder: str) -> dict[str, Distribution]:
    """Return what is installed in a folder, by normalised name; listed again when it changed."""
    try:
        changed = os.stat(folder).st_mtime_ns
        known = _listings.get(folder)
        if known is not None and known[0] == changed:
            return known[1]
        names = os.listdir(folder)
    except (OSError, ValueError):
        return {}
    found: dict[str, Distribution] = {}
    for name in names:
        stem, extension = os.path.splitext(name)
        if extension not in (".dist-info", ".egg-info"):
            continue
        # `name-version.dist-info` and `name-version-py3.11.egg-info`; a name holds no dash here.
        parts = stem.split("-")
        if len(parts) > 1:
            found[normalise(parts[0])] = Distribution(normalise(parts[0]), parts[1])
        elif extension == ".egg-info":
            version = _version_of_egg_info(os.path.join(folder, name))
            if version is not None:
                found[normalise(stem)] = Distribution(normalise(stem), version)
    _listings[folder] = (changed, found)
    return found


def _version_of_egg_info(path: str) -> str | None:
    file = os.path.join(path, "PKG-INFO") if os.path.isdir(path) else path
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key == "Version":
                    return value.strip()
    except OSError:
        pass
    return None


_claimants: dict[tuple[str, str], tuple[int, Distribution | None]] = {}


def _claimant(folder: str, top_level: str) -> Distribution | None:
    """Return the distribution in a folder whose metadata lists a top-level module."""
    changed = _mtime(folder)
    known = _claimants.get((folder, top_level))
    if known is not None and known[0] == changed:
        return known[1]
    found = None
    for name in _names_in(folder):
        if name.endswith((".dist-info", ".egg-info")) and _lists(folder, name, top_level):
            found = _distributions_in(folder).get(
                normalise(os.path.splitext(name)[0].split("-")[0])
            )
            break
    _claimants[folder, top_level] = changed, found
    return found


def _lists(folder: str, info: str, top_level: str) -> bool:
    names = _content(os.path.join(folder, info, "top_level.txt"))
    if names is not None:
        return top_level.encode() in names.split()
    files = b"\n" + (_content(os.path.join(folder, info, "RECORD")) or b"")
    return any(f"\n{top_level}{end}".encode() in files for end in ("/", ".py,", ".so,"))


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return None


def _has_editables() -> bool:
    # Modules of an editable installation lie anywhere; a file beside the others tells of them.
    return any(
        name.endswith((".egg-link", ".pth")) and name != "distutils-precedence.pth"
        for site in sys.path
        if site.endswith("-packages")
        for name in _names_in(site)
    )


def _claimant_of_editable(top_level: str) -> Distribution | None:
    for name in _names_by_module().get(top_level, ()):
        found = find_distribution(name)
        if found is not None:
            return found
    return None


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


_module_names: dict[Any, dict[str, list[str]]] = {}


def _names_by_module() -> dict[str, list[str]]:
    """Return the distributions that have a top-level module of each name."""
    key = tuple(sys.path), tuple(_mtime(folder) for folder in sys.path)
    if key not in _module_names:
        with IMPORTING:  # the call imports, too
            from importlib.metadata import packages_distributions

            found = packages_distributions()
        _module_names.clear()
        _module_names[key] = {module: list(dict.fromkeys(names)) for module, names in found.items()}
    return _module_names[key]


def _mtime(folder: str) -> int:
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except (OSError, ValueError):
        return 0
