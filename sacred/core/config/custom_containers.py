"""Dictionaries and lists that keep fixed values or refuse changes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from sacred.core.dotted import join_paths
from sacred.core.errors import SacredError
from sacred.core.late_import import when_imported
from sacred.journal.integers import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "SIMPLIFY_TYPE",
    "DogmaticDict",
    "DogmaticList",
    "ReadOnlyContainer",
    "ReadOnlyDict",
    "ReadOnlyList",
    "RecordedDict",
    "RecordedList",
    "fallback_dict",
    "is_different",
    "make_read_only",
    "make_recorded",
    "read_only",
    "type_changed",
]


def fallback_dict(fallback: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Return a copy of ``fallback`` in which the keyword arguments win."""
    return {**fallback, **kwargs}


class DogmaticDict(dict[Any, Any]):
    """A dictionary with fixed entries: assigning to them is recorded and has no effect.

    Parameters
    ----------
    fixed
        The entries that can not be changed. They appear when they are assigned to, or at the end
        by :meth:`revelation`.
    fallback
        Entries that can be read, but are no content of the dictionary.

    Attributes
    ----------
    modified
        Dotted paths at which an assignment was overruled by a different value.
    typechanges
        Path -> (type that was assigned, type of the fixed value).
    fallback_writes
        Keys of the fallback that were assigned to.
    """

    def __init__(
        self, fixed: Mapping[Any, Any] | None = None, fallback: Mapping[Any, Any] | None = None
    ) -> None:
        super().__init__()
        self.typechanges: dict[str, tuple[type, type]] = {}
        self.fallback_writes: list[Any] = []
        self.modified: set[str] = set()
        self.fixed: Mapping[Any, Any] = fixed or {}
        self._fallback: Mapping[Any, Any] = fallback or {}

    @property
    def fallback(self) -> Mapping[Any, Any]:
        """Entries that can be read, but are no content of the dictionary."""
        return self._fallback

    @fallback.setter
    def fallback(self, newval: Mapping[Any, Any]) -> None:
        self._fallback = newval

    def _log_blocked_setitem(self, key: Any, value: Any, fixed_value: Any) -> None:
        path = text_of(key)
        if type_changed(value, fixed_value):
            self.typechanges[path] = (type(value), type(fixed_value))
        if is_different(value, fixed_value):
            self.modified.add(path)
        # A nested dictionary has its own record of what was overruled.
        if isinstance(fixed_value, DogmaticDict):
            self.modified.update(join_paths(path, name) for name in fixed_value.modified)
            for name, change in fixed_value.typechanges.items():
                self.typechanges[join_paths(path, name)] = change

    def __setitem__(self, key: Any, value: Any) -> None:
        if key not in self.fixed:
            if key in self._fallback:
                self.fallback_writes.append(key)
            super().__setitem__(key, value)
            return
        fixed_value = self.fixed[key]
        if isinstance(fixed_value, DogmaticDict) and isinstance(value, dict):
            for name, entry in value.items():
                fixed_value[name] = entry
        super().__setitem__(key, fixed_value)
        self._log_blocked_setitem(key, value, fixed_value)

    def __getitem__(self, key: Any) -> Any:
        if super().__contains__(key):
            return super().__getitem__(key)
        if key in self._fallback:
            return self._fallback[key]
        raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(key) or key in self._fallback

    def get(self, k: Any, d: Any = None) -> Any:
        """Return an entry, one of the fallback, or ``d``."""
        return self[k] if k in self else d  # noqa: SIM401 - this is how get is done

    def has_key(self, item: Any) -> bool:
        """Say whether there is such an entry, in the fallback too."""
        return item in self

    def __delitem__(self, key: Any) -> None:
        if key not in self.fixed:
            super().__delitem__(key)

    def update(self, iterable: Any = None, **kwargs: Any) -> None:  # type: ignore[override]
        """Assign several entries."""
        for key, value in {**dict(() if iterable is None else iterable), **kwargs}.items():
            self[key] = value

    def __ior__(self, other: Any) -> DogmaticDict:  # type: ignore[misc]
        self.update(other)
        return self

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return an entry, assigned first where it is missing."""
        if not super().__contains__(key):
            self[key] = default
        return self[key]

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove an entry and return it; a fixed one stays."""
        if key in self.fixed:
            return self[key] if super().__contains__(key) else self.fixed[key]
        return super().pop(key, *default)

    def clear(self) -> None:
        """Remove all entries but the fixed ones."""
        for key in list(self):
            del self[key]

    def revelation(self) -> set[str]:
        """Add the fixed entries that nobody assigned to, and return their dotted paths."""
        missing = set()
        for key in self.fixed:
            if not super().__contains__(key):
                super().__setitem__(key, self.fixed[key])
                missing.add(text_of(key))
            missing.update(
                join_paths(text_of(key), name) for name in _revealed(super().__getitem__(key))
            )
        return missing


class DogmaticList(list[Any]):
    """A list that ignores every attempt to change it."""

    def _ignore(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    append = extend = insert = remove = reverse = sort = clear = _ignore
    __setitem__ = __delitem__ = _ignore

    def __iadd__(self, other: Any) -> DogmaticList:  # type: ignore[misc]
        return self

    def __imul__(self, other: Any) -> DogmaticList:  # type: ignore[misc]
        return self

    def pop(self, index: Any = None) -> NoReturn:  # noqa: ARG002
        """Refuse, because a value has to be returned that is not removed."""
        raise TypeError("Cannot pop from DogmaticList")

    def revelation(self) -> set[str]:
        """Complete the dictionaries in the list. Nothing of it counts as missing."""
        for value in self:
            _revealed(value)
        return set()


def _revealed(value: Any) -> set[str]:
    """Complete the dictionaries in a fixed value; return the paths that were missing."""
    if isinstance(value, (DogmaticDict, DogmaticList)):
        return value.revelation()
    if isinstance(value, tuple):
        for item in value:
            _revealed(item)
    return set()


class ReadOnlyContainer:
    """What the containers of a read-only configuration have in common.

    A copy is an ordinary container that can be changed.
    """

    def _readonly(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise self._refusal()

    def _refusal(self) -> SacredError:
        return SacredError(
            "The configuration is read-only in a captured function!", filter_traceback="always"
        )


class ReadOnlyDict(ReadOnlyContainer, dict[Any, Any]):
    """A dictionary that raises a ``SacredError`` when it is changed."""

    __setitem__ = __delitem__ = __ior__ = ReadOnlyContainer._readonly
    clear = pop = popitem = setdefault = update = ReadOnlyContainer._readonly

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        from copy import deepcopy

        return {deepcopy(key, memo): deepcopy(value, memo) for key, value in self.items()}


class ReadOnlyList(ReadOnlyContainer, list[Any]):
    """A list that raises a ``SacredError`` when it is changed."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = ReadOnlyContainer._readonly
    append = clear = extend = insert = pop = ReadOnlyContainer._readonly
    remove = reverse = sort = ReadOnlyContainer._readonly

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        from copy import deepcopy

        return [deepcopy(value, memo) for value in self]


class _RecordedContainer(ReadOnlyContainer):
    """What the containers of a recorded configuration have in common."""

    def _refusal(self) -> SacredError:
        return SacredError(
            "The configuration of a run can not be changed: it is recorded as it was when the run "
            "began. copy.deepcopy of it can be changed, and run.info holds what is found later.",
            filter_traceback="always",
        )


class RecordedDict(_RecordedContainer, ReadOnlyDict):
    """A dictionary of a configuration that was recorded."""


class RecordedList(_RecordedContainer, ReadOnlyList):
    """A list of a configuration that was recorded."""


def make_read_only(o: Any) -> Any:
    """Return ``o`` with all its dictionaries, lists and tuples made read-only.

    Subclasses and everything else are left as they are.
    """
    when_imported("yaml", _teach_yaml)
    return read_only(o, ReadOnlyDict, ReadOnlyList)


def make_recorded(o: Any) -> Any:
    """Return ``o`` read-only, as the configuration of a run that is no experiment's."""
    when_imported("yaml", _teach_yaml)
    return read_only(o, RecordedDict, RecordedList)


def read_only(o: Any, dict_type: Callable[..., Any], list_type: Callable[..., Any]) -> Any:
    """Return ``o`` with its dictionaries and lists, of every level, made into those types."""
    kind = type(o)
    if kind is dict:
        items = {key: read_only(value, dict_type, list_type) for key, value in o.items()}
        return dict_type(items)
    if kind is list:
        return list_type([read_only(value, dict_type, list_type) for value in o])
    if kind is tuple:
        return tuple([read_only(value, dict_type, list_type) for value in o])
    return o


def _teach_yaml(yaml: Any) -> None:
    """Let PyYAML write our containers as the plain ones that they stand for."""
    if ReadOnlyDict in yaml.representer.SafeRepresenter.yaml_representers:
        return
    for representer in (yaml.representer.SafeRepresenter, yaml.representer.Representer):
        for mapping in (ReadOnlyDict, RecordedDict, DogmaticDict):
            representer.add_representer(mapping, representer.represent_dict)
        for sequence in (ReadOnlyList, RecordedList, DogmaticList):
            representer.add_representer(sequence, representer.represent_list)


#: The type that a value's type counts as when a change of type is looked for.
SIMPLIFY_TYPE: dict[type, type] = {
    type(None): type(None),
    bool: bool,
    float: float,
    int: int,
    str: str,
    list: list,
    tuple: list,
    dict: dict,
    DogmaticDict: dict,
    DogmaticList: list,
    ReadOnlyDict: dict,
    ReadOnlyList: list,
    RecordedDict: dict,
    RecordedList: list,
}


def type_changed(old_value: Any, new_value: Any) -> bool:
    """Say whether two values differ in type; nothing is a change from or to None."""
    if old_value is None or new_value is None:
        # Sacred counts a change to None when the old value was something; the log does not.
        return old_value is not None
    return _simple_type(old_value) is not _simple_type(new_value)


def _simple_type(value: Any) -> type:
    kind = type(value)
    simple = SIMPLIFY_TYPE.get(kind)
    if simple is not None:
        return simple
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return SIMPLIFY_TYPE.get(type(value.item()), kind)
    return kind


def is_different(old_value: Any, new_value: Any) -> bool:
    """Say whether two values differ; lists equal tuples of the same elements.

    Arrays are compared by shape and elements. Values that can not be compared count as different.
    """
    if old_value is new_value:
        return False
    numpy = sys.modules.get("numpy")
    if numpy is not None and (
        isinstance(old_value, numpy.ndarray) or isinstance(new_value, numpy.ndarray)
    ):
        return _differs(
            lambda: not numpy.array_equal(numpy.asarray(old_value), numpy.asarray(new_value))
        )
    if isinstance(old_value, (list, tuple)) and isinstance(new_value, (list, tuple)):
        return len(old_value) != len(new_value) or any(map(is_different, old_value, new_value))
    if isinstance(old_value, dict) and isinstance(new_value, dict):
        return old_value.keys() != new_value.keys() or any(
            is_different(value, new_value[key]) for key, value in old_value.items()
        )
    return _differs(lambda: bool(old_value != new_value))


def _differs(compare: Callable[[], bool]) -> bool:
    try:
        return compare()
    except Exception:
        return True


def _public(classes: Iterable[type]) -> None:
    for public in classes:
        public.__module__ = "sacred.config.custom_containers"


_public((DogmaticDict, DogmaticList, ReadOnlyContainer, ReadOnlyDict, ReadOnlyList))
