"""Named tuples as ``typing`` has them, made in a tenth of its time.

A start imports some forty classes of values. ``typing.NamedTuple`` takes 108 us for one of five
fields, because it evaluates each annotation and compiles a constructor, also for those that nobody
makes; ``collections.namedtuple`` takes 42, and this 9. Of an empty run's instructions it was one
in fourteen (``docs/decisions/0013-what-a-start-is-made-of.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from _collections import _tuplegetter

    _new = tuple.__new__

    class _Declared(type):
        """Makes the annotations of a class the fields of its values."""

        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> type:
            fields = tuple(space.get("__annotations__", ()))
            space["__slots__"] = ()
            if fields:
                defaults = {field: space[field] for field in fields if field in space}
                space.update({field: _tuplegetter(i, "") for i, field in enumerate(fields)})
                space["_fields"] = space["__match_args__"] = fields
                space["_field_defaults"] = defaults
            return type.__new__(cls, name, bases, space)

        @property
        def __signature__(cls) -> Any:
            """What ``help`` and editors show: the fields, and not that they are still to come."""
            import inspect

            signature = inspect.signature(cls._constructor())
            return signature.replace(parameters=[*signature.parameters.values()][1:])

        def _constructor(cls) -> Any:
            # As collections.namedtuple does: a function that unpacks *values takes half as long
            # again, and readers make a value for each event. The names are those of our fields.
            text = ", ".join(cls._fields)
            made = eval(f"lambda _cls, {text}: _new(_cls, ({text},))", {"_new": _new})  # noqa: S307
            made.__defaults__ = tuple(cls._field_defaults.values())
            made.__annotations__ = dict(cls.__annotations__)
            made.__name__ = "__new__"
            made.__qualname__ = f"{cls.__qualname__}.__new__"
            return made

    class NamedTuple(tuple, metaclass=_Declared):
        """A tuple whose fields are the annotations of its class; a value there is the default.

        What ``typing.NamedTuple`` is to a type checker. At run time annotations are not evaluated,
        and it is a class: a class of values may be inherited from for methods, not for more fields.
        """

        __slots__ = ()

        def __new__(cls, *values: Any, **named: Any) -> Any:
            """Make a value, and before the first one of its class what makes them."""
            made = cls._constructor()
            cls.__new__ = staticmethod(made)
            return made(cls, *values, **named)

        @classmethod
        def _make(cls, values: Any) -> Any:
            """Make one of an iterable with a value for each field."""
            made = _new(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} values, got {len(made)}")
            return made

        def _replace(self, **named: Any) -> Any:
            """Return another one with some fields replaced."""
            made = _new(type(self), map(named.pop, self._fields, self))
            if named:
                raise ValueError(f"Got unexpected field names: {list(named)!r}")
            return made

        def _asdict(self) -> dict[str, Any]:
            """Return the fields and their values."""
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self) -> tuple[Any, ...]:
            """Return what a copy or a pickle makes it of again."""
            return tuple(self)

        def __repr__(self) -> str:
            text = ", ".join(map("{}={!r}".format, self._fields, self))
            return f"{type(self).__name__}({text})"


__all__ = ["NamedTuple"]
