"""What ``sacred-replay`` is to do, of its command line and of ``sacred-replay.toml``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from sacred.replayers.replay_config import ReplayConfig
    from sacred.replayers.sink import SinkSpec

__all__ = ["Asked", "Plan"]

#: Addresses without a colon.
_BARE = frozenset({"mongo", "sql"})


class Plan(NamedTuple):
    """What a replayer is to do: the command line and the settings in one.

    Attributes
    ----------
    settings
        The file that was read, or None.
    roots
        As they were named; empty for the one of this place.
    views
        Each with the name by which it was asked for.
    jobs, follow, health
        As in the settings.
    warnings
        What works, and somebody should look at.
    """

    settings: Path | None
    roots: tuple[str, ...]
    views: tuple[tuple[str, SinkSpec], ...]
    jobs: int
    follow: bool
    health: str | None
    warnings: tuple[str, ...] = ()

    @property
    def specs(self) -> list[SinkSpec]:
        """The views."""
        return [spec for _, spec in self.views]


class Asked(NamedTuple):
    """What stands in the command line; the settings are read anew for each plan."""

    specs: tuple[str, ...]
    url: str | None
    db: str | None
    config: str | None
    roots: tuple[str, ...]
    follow: bool | None
    jobs: int | None
    health: str | None

    def plan(self) -> Plan:
        """Read the settings and return what is to be done.

        Raises
        ------
        ReplayConfigError, SinkError, click.UsageError
        """
        from sacred.replayers.replay_config import ReplayConfig

        path = self._settings()
        found = ReplayConfig(views={}) if path is None else ReplayConfig.load(path)
        warnings = list(found.warnings)
        if not self.specs:
            views = [(name, found.views[name]) for name in found.to]
        else:
            views = self._views(found, warnings)
        if not views and path is not None:
            raise click.UsageError(f"{path} names no view: write [views.NAME], or give --to")
        if not views:
            raise click.UsageError(
                "name a view: --to mongo, --to mongodb://host/database, --to file:DIR, "
                "--to package.module:MyObserver"
            )
        jobs = self.jobs if self.jobs is not None else found.jobs
        follow = self.follow if self.follow is not None else found.follow
        return Plan(
            path,
            _each_once(self.roots or tuple(map(str, found.roots))),
            tuple(view for n, view in enumerate(views) if view not in views[:n]),
            jobs or 1,
            bool(follow),
            self.health or found.health,
            tuple(warnings),
        )

    def _settings(self) -> Path | None:
        from sacred.replayers.replay_config import find_config

        if self.config is not None:
            return Path(self.config).absolute()
        # An address on the command line needs no settings; a name may be one of theirs.
        if self.specs and all(":" in spec or spec.strip() in _BARE for spec in self.specs):
            return None
        return find_config()

    def _views(self, found: ReplayConfig, warnings: list[str]) -> list[tuple[str, SinkSpec]]:
        from sacred.replayers.addresses import DEFAULT_MONGO, mongo_spec
        from sacred.replayers.registry import kinds, parse_spec
        from sacred.replayers.replay_config import nearest
        from sacred.replayers.substitution import substituted

        views = []
        for text in self.specs:
            known = found.views.get(text)
            if known is None and found.views and ":" not in text and text not in kinds():
                hint = nearest(text, found.views)
                raise click.UsageError(f"{found.path} has no view {text[:80]!r}{hint}")
            address = substituted(text, "--to", None, warnings.append) if "${" in text else text
            views.append((text, known) if known is not None else ("", parse_spec(address)))
        if self.url is None and self.db is None:
            return views
        bare = [n for n, spec in enumerate(self.specs) if spec.strip().lower() == "mongo"]
        if len(bare) != 1:
            raise click.UsageError("--url and --db go with exactly one --to mongo")
        views[bare[0]] = ("", mongo_spec(self.url or DEFAULT_MONGO, self.db))
        return views


def _each_once(roots: tuple[str, ...]) -> tuple[str, ...]:
    """Return roots without those that are another one by another path."""
    places: dict[str, str] = {}
    for root in roots:
        places.setdefault(os.path.realpath(root), root)
    return tuple(places.values())
