"""The settings of a replayer: ``sacred-replay.toml``.

::

    roots = ["/data/alice/sacred_runs", "../bob/sacred_runs"]
    to = ["lab", "backup"]        # all views below, if this is not given
    jobs = 4                      # so many runs at once, for each view
    follow = true                 # go on, as a service does
    health = "127.0.0.1:8642"     # an address, or the path of a file

    [views.lab]
    to = "mongodb://sacred:${MONGO_PASSWORD}@db.lab/sacred"
    collection = "runs"

    [views.backup]
    to = "file:/backup/runs"

Paths are as seen from the folder of the file. ``${NAME}`` is a variable of the environment,
``${file:PATH}`` what a file holds (:mod:`sacred.replayers.substitution`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.regular_file import read_regular
from sacred.replayers.errors import ReplayConfigError, SinkSpecError
from sacred.replayers.notification_specs import MOST_TIMEOUT
from sacred.replayers.registry import kinds, parse_spec
from sacred.replayers.sink import SinkSpec
from sacred.replayers.substitution import substituted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["CONFIG_NAME", "ReplayConfig", "find_config", "health_address"]

CONFIG_NAME = "sacred-replay.toml"
#: No such file is larger (bytes).
_MOST = 1 << 20
_VIEW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_PORTS = range(1, 65536)
JOBS = range(1, 65)

#: What may stand beside ``to``; of a kind that is not here, its sink has the say.
_TEXT, _SWITCH, _NUMBER, _TABLE = "a text", "true or false", "a number", "a table"
_TYPES: dict[str, tuple[type, ...]] = {
    _TEXT: (str,),
    _SWITCH: (bool,),
    _NUMBER: (int, float),
    _TABLE: (dict,),
}
_OPTIONS: dict[str, dict[str, str]] = {
    "mongo": {
        "db": _TEXT,
        "collection": _TEXT,
        "collection_prefix": _TEXT,
        "client": _TABLE,
    },
    "file": {
        "source_dir": _TEXT,
        "resource_dir": _TEXT,
        "copy_artifacts": _SWITCH,
        "copy_sources": _SWITCH,
    },
    "tinydb": {},
    "sql": {},
    "s3": {"endpoint_url": _TEXT, "region": _TEXT, "source_dir": _TEXT, "resource_dir": _TEXT},
    "gcs": {"project": _TEXT, "source_dir": _TEXT, "resource_dir": _TEXT},
    "slack": {"timeout": _NUMBER},
    "telegram": {"timeout": _NUMBER},
    "webhook": {"timeout": _NUMBER},
    "parquet": {},
    "journal": {},
    "memory": {},
}
#: Kinds whose address is a path of this machine.
_PATHS = ("file", "tinydb", "parquet", "journal", "slack", "telegram")


@dataclass(frozen=True)
class ReplayConfig:
    """What a replayer is to do.

    Attributes
    ----------
    path
        The file that says so; None if none does.
    roots
        Where the runs are; empty if the file does not say it.
    views
        The views by their names.
    to
        The names of those that are written.
    jobs
        How many runs are written at once, for each view.
    follow
        Whether to go on.
    health
        ``host:port`` or the path of a file; None for neither.
    warnings
        A sentence for each thing that works, and that somebody should look at.
    """

    path: Path | None = None
    roots: tuple[Path, ...] = ()
    views: Mapping[str, SinkSpec] = None  # type: ignore[assignment]
    to: tuple[str, ...] = ()
    jobs: int | None = None
    follow: bool | None = None
    health: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def specs(self) -> list[SinkSpec]:
        """The views that are written."""
        return [self.views[name] for name in self.to]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ReplayConfig:
        """Read a file.

        Raises
        ------
        ReplayConfigError
            It can not be read, or is wrong; ``problems`` has a sentence for each thing.
        """
        place = Path(path).absolute()
        return _Reading(place).config(_parsed(place))


def find_config() -> Path | None:
    """Find the file of the working folder, else the user's own; None if there is neither."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    for path in (Path(CONFIG_NAME).absolute(), Path(home) / "sacred" / CONFIG_NAME):
        if os.path.lexists(path):
            return path
    return None


def health_address(text: str) -> tuple[str, int] | None:
    """Return host and port if a text names an address; None if it is a path.

    Raises
    ------
    ReplayConfigError
        The port is none.
    """
    if os.sep in text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon:
        return None
    if not (port.isascii() and port.isdecimal() and int(port[:6]) in _PORTS):
        raise ReplayConfigError(
            f"health is {text[:80]!r}, whose port is none: write 127.0.0.1:8642, or a path"
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:  # before 3.11
        import tomli as tomllib
    try:
        found: dict[str, Any] = tomllib.loads(read_regular(path, _MOST).decode())
    except OSError as error:
        raise ReplayConfigError(f"{path} can not be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ReplayConfigError(f"{path} is no text in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise ReplayConfigError(f"{path} is no TOML: {what[:1].lower()}{what[1:]}") from None
    return found


class _Reading:
    """The reading of one file: all that is wrong is said, not the first thing alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def config(self, found: dict[str, Any]) -> ReplayConfig:
        """Return what the file says; raise with all that is wrong."""
        known = ("roots", "views", "to", "jobs", "follow", "health")
        self._unknown(found, known, "")
        views = self._views(found.get("views", {}))
        declared = found.get("views")
        config = ReplayConfig(
            self.path,
            tuple(self._roots(found.get("roots", []))),
            views,
            tuple(self._to(found.get("to"), views, declared)),
            self._jobs(found.get("jobs")),
            self._switch(found.get("follow"), "follow"),
            self._health(found.get("health")),
            tuple(f"{self.path}: {warning}" for warning in dict.fromkeys(self.warnings)),
        )
        self._each_elsewhere(config)
        if self.problems:
            raise ReplayConfigError(*[f"{self.path}: {problem}" for problem in self.problems])
        return config

    def _each_elsewhere(self, config: ReplayConfig) -> None:
        """Say which views that are to be written are one place."""
        places: dict[str, str] = {}
        for name in config.to:
            first = places.setdefault(config.views[name].key, name)
            if first != name:
                self._say(
                    f"views.{name} is the same place as views.{first}: give it another one, or "
                    'name one of them alone, as in to = ["' + first + '"]'
                )

    def _say(self, problem: str) -> None:
        self.problems.append(problem)

    def _tried(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return work(*arguments)
        except (ReplayConfigError, SinkSpecError) as error:
            self._say(str(error))
            return None

    def _unknown(self, found: Iterable[str], known: Iterable[str], where: str) -> None:
        names = list(known)
        for name in found:
            if name not in names:
                self._say(f"there is no setting {where}{str(name)[:80]}{nearest(name, names)}")

    def _roots(self, roots: Any) -> Iterable[Path]:
        if not isinstance(roots, list):
            self._say('roots is no list: write roots = ["DIR", "DIR"]')
            return
        for number, root in enumerate(roots, 1):
            where = f"roots, entry {number}"
            if not isinstance(root, str) or not root:
                self._say(f"{where} is no folder: give a text")
                continue
            text = self._tried(substituted, root, where, self.folder, self.warnings.append)
            if text is not None:
                path = os.path.expanduser(text)
                yield Path(os.path.normpath(self.folder / path))

    def _views(self, views: Any) -> dict[str, SinkSpec]:
        if not isinstance(views, dict):
            self._say('views is no table: write [views.NAME] and below it to = "ADDRESS"')
            return {}
        specs = {}
        for name, table in views.items():
            spec = self._tried(self._view, name, table)
            if spec is not None:
                specs[name] = spec
        return specs

    def _view(self, name: str, table: Any) -> SinkSpec | None:
        where = f"views.{name[:80]}"
        if not _VIEW_NAME.match(name):
            raise ReplayConfigError(f"{where}: a view's name has letters, digits, - and _ only")
        if name in {*kinds(), "mongodb", "sqlite", "postgresql", "mysql"}:
            raise ReplayConfigError(f"{where}: that is a kind of view: give it a name of its own")
        if not isinstance(table, dict):
            raise ReplayConfigError(f'{where} is no table: write [{where}] and to = "ADDRESS"')
        address = table.get("to")
        if not isinstance(address, str) or not address:
            raise ReplayConfigError(f'{where} does not say where: write to = "ADDRESS" below it')
        address = substituted(address, f"{where}.to", self.folder, self.warnings.append)
        try:
            spec = parse_spec(self._anchored(address))
        except SinkSpecError as error:
            raise ReplayConfigError(f"{where}.to: {error}") from None
        options = {key: value for key, value in table.items() if key != "to"}
        return self._with_options(where, spec, options)

    def _anchored(self, address: str) -> str:
        """Return an address whose path is seen from the folder of the file."""
        scheme, _, rest = address.partition(":")
        if (
            scheme in _PATHS
            and rest
            and not rest.startswith(("//", "/", "~"))
            and "://" not in rest
        ):
            return f"{scheme}:{self.folder / rest}"
        if address.startswith("sqlite:///") and address[10:] and address[10] not in "/~?":
            return f"sqlite:///{self.folder / address[10:]}"
        return address

    def _with_options(self, where: str, spec: SinkSpec, options: dict[str, Any]) -> SinkSpec:
        known = _OPTIONS.get(spec.kind)
        if known is not None:
            self._unknown(options, ("to", *known), f"{where}.")
        given = {}
        for name, value in options.items():
            kind = (known or {}).get(name)
            if known is not None and kind is None:
                continue
            if kind is not None and (
                not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != _SWITCH)
            ):
                self._say(f"{where}.{name} is not {kind}")
                continue
            if name == "timeout" and kind is not None and not 0 < value <= MOST_TIMEOUT:
                self._say(f"{where}.timeout is {value:g}: give seconds, up to {MOST_TIMEOUT}")
                continue
            if isinstance(value, str):
                value = substituted(value, f"{where}.{name}", self.folder, self.warnings.append)  # noqa: PLW2901
            given[name] = value
        try:
            return _optioned(spec, given, self.folder) if given else spec
        except SinkSpecError as error:
            raise ReplayConfigError(f"{where}: {error}") from None

    def _to(self, names: Any, views: dict[str, SinkSpec], declared: Any) -> Iterable[str]:
        if names is None:
            return list(views)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._say('to is no list of names: write to = ["NAME"]')
            return []
        there = list(declared) if isinstance(declared, dict) else []
        for name in names:
            if name not in there:
                self._say(f"to names {name[:80]}, and there is no [views.{name[:80]}]"
                          f"{nearest(name, there)}")  # fmt: skip
        return [name for name in dict.fromkeys(names) if name in views]

    def _jobs(self, jobs: Any) -> int | None:
        if jobs is None:
            return None
        if type(jobs) is not int or jobs not in JOBS:
            self._say(f"jobs is no number from {JOBS[0]} to {JOBS[-1]}")
            return None
        return jobs

    def _switch(self, value: Any, name: str) -> bool | None:
        if value is None or isinstance(value, bool):
            return value
        self._say(f"{name} is neither true nor false")
        return None

    def _health(self, text: Any) -> str | None:
        if text is None:
            return None
        if not isinstance(text, str) or not text:
            self._say('health is no text: write "127.0.0.1:8642", or the path of a file')
            return None
        text = self._tried(substituted, text, "health", self.folder, self.warnings.append)
        if text is None:
            return None
        try:
            if health_address(text) is not None:
                return str(text)
        except ReplayConfigError as error:
            self._say(str(error))
            return None
        return os.path.normpath(self.folder / os.path.expanduser(str(text)))


def _optioned(spec: SinkSpec, given: dict[str, Any], folder: Path) -> SinkSpec:
    """Return a specification with options, as its kind takes them."""
    from sacred.replayers.addresses import DEFAULT_MONGO, mongo_spec

    options = {**spec.options, **given}
    if spec.kind == "mongo":
        database = options.pop("db", None) or options.pop("db_name", None)
        options.pop("db_name", None)
        return mongo_spec(spec.url or DEFAULT_MONGO, database, **options)
    if spec.kind == "s3":
        from sacred.replayers.objects.address import endpoint_of

        if options.get("endpoint_url"):
            options["endpoint_url"] = endpoint_of(options["endpoint_url"])
    if spec.kind == "file":
        for name in ("source_dir", "resource_dir"):
            if name in given:
                options[name] = os.path.normpath(folder / os.path.expanduser(given[name]))
    return spec._replace(options=options)


def nearest(name: Any, known: Iterable[str]) -> str:
    """Return a hint which name was meant, or which there are."""
    import difflib

    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    if near:
        return f": did you mean {near[0]}?"
    return f": there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else ""
