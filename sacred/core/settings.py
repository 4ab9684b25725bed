"""The settings of the package, changed by assignment: ``SETTINGS.CONFIG.READ_ONLY_CONFIG = False``.

Every setting can be read and set as an attribute and as an item. A name that does not exist is
refused, so that a misspelt setting does not go unnoticed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from sacred.core.errors import SettingError
from sacred.journal.named_tuple import NamedTuple

__all__ = [
    "SETTINGS",
    "CollectionSettings",
    "FrozenKeyMunch",
    "JournalSettings",
    "SettingError",
    "allows_typed_pickles",
    "collection_settings",
    "journal_settings",
]


class FrozenKeyMunch(dict[str, Any]):
    """A dictionary whose entries are attributes too and whose keys can be frozen.

    Once frozen, it refuses new keys and values that would replace a nested group. Setting a value
    is atomic, as in any dictionary; threads that set several see no order among them.
    """

    __slots__ = ("_frozen_keys",)
    _frozen_keys: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, value in self.items():
            if type(value) is dict:
                super().__setitem__(key, FrozenKeyMunch(value))
        object.__setattr__(self, "_frozen_keys", False)

    def freeze_keys(self) -> None:
        """Refuse new keys from now on, here and in all nested groups."""
        if self._frozen_keys:
            return
        object.__setattr__(self, "_frozen_keys", True)
        for value in self.values():
            if isinstance(value, FrozenKeyMunch):
                value.freeze_keys()

    def _check_can_set(self, key: str, value: Any) -> None:
        if not self._frozen_keys:
            return
        if key not in self:
            raise SettingError(f"Unknown setting: {key}. Possible keys are: {list(self)}")
        if isinstance(self[key], FrozenKeyMunch) and not isinstance(value, FrozenKeyMunch):
            raise SettingError(
                f"Can't set this setting ({key}) to a non-munch value {value}, "
                "it is a nested setting!"
            )

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __delattr__(self, key: str) -> None:
        try:
            del self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setitem__(self, key: str, value: Any) -> None:
        self._check_can_set(key, value)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        if self._frozen_keys and key in self:
            raise SettingError(f"Can't delete the setting {key}, set it to another value instead.")
        super().__delitem__(key)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several entries, all or none."""
        new = dict(*args, **kwargs)
        for key, value in new.items():
            self._check_can_set(key, value)
        super().update(new)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return an entry, set to ``default`` first where it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> FrozenKeyMunch:
        """Return a shallow copy, as frozen as this."""
        return self._rebuilt(dict(self))

    def __copy__(self) -> FrozenKeyMunch:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> FrozenKeyMunch:
        from copy import deepcopy

        return self._rebuilt({key: deepcopy(value, memo) for key, value in self.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self), self._frozen_keys)

    def _rebuilt(self, content: dict[str, Any]) -> FrozenKeyMunch:
        return _restore(type(self), content, self._frozen_keys)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"FrozenKeyMunch({dict(self)})"


def _restore(kind: type[FrozenKeyMunch], content: dict[str, Any], frozen: bool) -> FrozenKeyMunch:
    munch = kind(content)
    object.__setattr__(munch, "_frozen_keys", frozen)
    return munch


class _ConfigMunch(FrozenKeyMunch):
    """The group whose default for numpy's random API depends on the numpy that is installed."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if value is None and key == "NUMPY_RANDOM_LEGACY_API":
            value = _numpy_is_legacy()
        return value


def _numpy_is_legacy() -> bool:
    """Whether the numpy in use is older than 1.19, the first with today's generators."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        text = str(numpy.__version__)
    else:
        # importlib.metadata would cost the start of every run 20 ms.
        from sacred.core.distributions import find_distribution

        found = find_distribution("numpy")
        if found is None:
            return False
        text = found.version
    major, minor = [*text.split("."), "0"][:2]
    return major.isdigit() and minor.isdigit() and (int(major), int(minor)) < (1, 19)


SETTINGS = FrozenKeyMunch(
    CONFIG=_ConfigMunch(
        # make sure all config keys are compatible with MongoDB
        ENFORCE_KEYS_MONGO_COMPATIBLE=True,
        # make sure all config keys are serializable with jsonpickle
        ENFORCE_KEYS_JSONPICKLE_COMPATIBLE=True,
        # make sure all config keys are valid python identifiers
        ENFORCE_VALID_PYTHON_IDENTIFIER_KEYS=False,
        # make sure all config keys are strings
        ENFORCE_STRING_KEYS=False,
        # make sure no config key contains an equals sign
        ENFORCE_KEYS_NO_EQUALS=True,
        # captured functions can not change the configuration they are given
        READ_ONLY_CONFIG=True,
        # comments that match one of these are no documentation of an entry
        IGNORED_COMMENTS=["^pylint:", "^noinspection"],
        # None stands for "numpy is older than 1.19", found out when asked for
        NUMPY_RANDOM_LEGACY_API=None,
    ),
    HOST_INFO=FrozenKeyMunch(
        INCLUDE_GPU_INFO=True,
        INCLUDE_CPU_INFO=True,
        # names of environment variables to record, also with * and ?
        CAPTURED_ENV=[],
        # names of variables whose values are recorded as ***
        SECRET_ENV=[
            *("*SECRET*", "*PASSW*", "*PASSPHRASE*", "*CREDENTIAL*", "*_PWD", "*APIKEY*"),
            *("*TOKEN", "*_TOKEN_*", "*_KEY", "*_KEY_*"),
            *("*JWT*", "*_PAT", "*_PASS", "*COOKIE*", "*PRIVATE*"),
        ],
    ),
    GIT=FrozenKeyMunch(
        # record the uncommitted changes of the repositories that sources are in
        INCLUDE_DIFF=True,
        # bytes; larger changes are not recorded
        MAX_DIFF_SIZE=5 * 2**20,
        # files whose changes are not recorded, as in .gitignore
        DIFF_EXCLUDE=[".env", ".env.*", "*.pem", "*.key", "id_rsa*", ".netrc", ".pgpass"],
    ),
    SAMPLING=FrozenKeyMunch(
        # seconds between two looks at what a run uses of the machine; None: it is not looked at
        INTERVAL=None,
        # what is looked at then
        CPU=True,
        MEMORY=True,
        GPU=True,
    ),
    COMMAND_LINE=FrozenKeyMunch(
        # refuse values on the command line that are no Python literals
        STRICT_PARSING=False,
        # show options in the usage text that can not be used here
        SHOW_DISABLED_OPTIONS=True,
        # read pickles that a command line names; whoever wrote one can run any code
        ALLOW_PICKLE=False,
        # "auto", "always" or "never"
        COLOR="auto",
    ),
    # "no", "sys" or "fd"
    CAPTURE_MODE="sys" if sys.platform == "win32" else "fd",
    # "none", "imported", "sys" or "pkg"
    DISCOVER_DEPENDENCIES="imported",
    # "none", "imported", "sys" or "dir"
    DISCOVER_SOURCES="imported",
    # seconds
    DEFAULT_BEAT_INTERVAL=10.0,
    JOURNAL=FrozenKeyMunch(
        # the folder of the journals; None stands for ./sacred_runs
        ROOT=None,
        # "process", "second" or "event"
        DURABILITY="second",
        # seconds that the end of a run waits for its views
        VIEW_WAIT=10.0,
        ENABLED=True,
        # whether the end of a run seals its journal
        SEAL=True,
    ),
)
SETTINGS.freeze_keys()

_DURABILITIES = ("process", "second", "event")
_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class JournalSettings(NamedTuple):
    """The journal's settings as a run uses them: checked, the environment taken into account.

    Attributes
    ----------
    root
        The folder of the journals as it was given, or None where nobody gave one.
    durability
        ``"process"``, ``"second"`` or ``"event"``.
    view_wait
        Seconds that the end of a run waits for its views; not negative.
    enabled
        Whether runs are journalled.
    seal
        Whether the end of a run seals its journal (else ``sacred seal`` does, some day).
    """

    root: str | None
    durability: str
    view_wait: float
    enabled: bool
    seal: bool


def journal_settings() -> JournalSettings:
    """Return the journal's settings of this moment.

    ``$SACRED_JOURNAL_ROOT``, ``_DURABILITY``, ``_VIEW_WAIT``, ``_ENABLED`` and ``_SEAL`` win over
    ``SETTINGS.JOURNAL``; an empty variable counts as not set.

    Raises
    ------
    SettingError
        If a value can not be used. The sentence names the variable or the setting it came from.
    """
    root, source = _journal_setting("ROOT")
    if root is not None and not isinstance(root, (str, os.PathLike)):
        raise _wrong(f"{source} must be the path of a folder, not {root!r}.")
    durability, source = _journal_setting("DURABILITY")
    if durability not in _DURABILITIES:
        raise _wrong(f"{source} must be one of {', '.join(_DURABILITIES)}, not {durability!r}.")
    view_wait = _seconds(*_journal_setting("VIEW_WAIT"))
    return JournalSettings(
        None if root is None else os.fsdecode(root),
        str(durability),
        view_wait,
        enabled=_truth(*_journal_setting("ENABLED")),
        seal=_truth(*_journal_setting("SEAL")),
    )


def allows_typed_pickles() -> bool:
    """Return whether a pickle that the command line names is read.

    ``$SACRED_COMMAND_LINE_ALLOW_PICKLE`` wins over ``SETTINGS.COMMAND_LINE.ALLOW_PICKLE``.

    Raises
    ------
    SettingError
        If the value is neither true nor false.
    """
    return _truth(*_setting("COMMAND_LINE", "ALLOW_PICKLE"))


class CollectionSettings(NamedTuple):
    """What is found out about a run beside what it says itself; checked.

    Attributes
    ----------
    diff
        Whether uncommitted changes are recorded.
    diff_limit
        Bytes that they may have.
    diff_exclude
        Patterns of the files that are left out of them.
    sample_every
        Seconds between two samples of what the run uses; None for none.
    sample_cpu, sample_memory, sample_gpu
        What is looked at then.
    """

    diff: bool
    diff_limit: int
    diff_exclude: tuple[str, ...]
    sample_every: float | None
    sample_cpu: bool
    sample_memory: bool
    sample_gpu: bool


def collection_settings() -> CollectionSettings:
    """Return what ``SETTINGS.HOST_INFO``, ``.GIT`` and ``.SAMPLING`` say at this moment.

    Raises
    ------
    SettingError
        If a value can not be used. The sentence names the setting.
    """
    git, sampling = SETTINGS.GIT, SETTINGS.SAMPLING
    for group, name in (
        ("HOST_INFO", "CAPTURED_ENV"),
        ("HOST_INFO", "SECRET_ENV"),
        ("GIT", "DIFF_EXCLUDE"),
    ):
        texts = SETTINGS[group][name]
        is_list = isinstance(texts, (list, tuple, set, frozenset))
        if not is_list or not all(isinstance(text, str) for text in texts):
            raise _wrong(f"SETTINGS.{group}.{name} must be a list of texts, not {texts!r}.")
    limit = git.MAX_DIFF_SIZE
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise _wrong(f"SETTINGS.GIT.MAX_DIFF_SIZE must be a number of bytes, not {limit!r}.")
    every = sampling.INTERVAL
    if every is not None:
        every = _seconds(every, "SETTINGS.SAMPLING.INTERVAL")
        if every < _SHORTEST_SAMPLING:
            raise _wrong(
                f"SETTINGS.SAMPLING.INTERVAL must be None or at least {_SHORTEST_SAMPLING} "
                f"seconds, not {sampling.INTERVAL!r}."
            )
    sampled = (bool(sampling.CPU), bool(sampling.MEMORY), bool(sampling.GPU))
    return CollectionSettings(
        bool(git.INCLUDE_DIFF), limit, tuple(git.DIFF_EXCLUDE), every, *sampled
    )


#: A look takes some milliseconds, more with many processes or a graphics card.
_SHORTEST_SAMPLING = 0.1


def _journal_setting(name: str) -> tuple[Any, str]:
    return _setting("JOURNAL", name)


def _setting(group: str, name: str) -> tuple[Any, str]:
    variable = f"SACRED_{group}_{name}"
    text = os.environ.get(variable)
    if text:
        return text, f"The environment variable {variable}"
    return SETTINGS[group][name], f"SETTINGS.{group}.{name}"


def _seconds(value: Any, source: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    # Not a number is neither negative nor not: it has to fail as well.
    if isinstance(value, bool) or not 0.0 <= seconds <= 86_400.0:
        raise _wrong(f"{source} must be a number of seconds between 0 and 86400, not {value!r}.")
    return seconds


def _truth(value: Any, source: str) -> bool:
    if isinstance(value, bool):
        return value
    word = _WORDS.get(str(value).strip().lower())
    if word is None:
        raise _wrong(f"{source} must be true or false, not {value!r}.")
    return word


class JournalSettingError(SettingError):
    """A setting of ours has a value that it can not have."""


def _wrong(text: str) -> JournalSettingError:
    # No traceback: what is wrong stands in no line of the program.
    return JournalSettingError(text, print_traceback=False)


for _public in (FrozenKeyMunch, JournalSettingError, _ConfigMunch):
    _public.__module__ = "sacred.settings"
