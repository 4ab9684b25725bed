"""The error tree and what each error says."""

from __future__ import annotations

import pytest

from sacred.core import errors
from sacred.core.errors import (
    CircularDependencyError,
    ConfigAddedError,
    ConfigError,
    InvalidConfigError,
    MissingConfigError,
    NamedConfigNotFoundError,
    SacredError,
    SacredInterrupt,
    SettingError,
    SignatureError,
    TimeoutInterrupt,
)


class _Named:
    def __init__(self, path):
        self.path = path


def test_the_public_module_of_every_error():
    """RUN-12: errors call themselves by the path that people import them from."""
    for name in errors.__all__:
        expected = "sacred.settings" if name == "SettingError" else "sacred.utils"
        assert expected == getattr(errors, name).__module__, name


@pytest.mark.parametrize(
    ("error", "printing"),
    [
        (SacredError("x"), (True, "default", False)),
        (ConfigError("x"), (True, "default", False)),
        (ConfigAddedError("x"), (False, "default", False)),
        (MissingConfigError(), (False, "default", True)),
        (NamedConfigNotFoundError("x"), (False, "default", False)),
        (SignatureError("x"), (True, "always", False)),
        (SettingError("x"), (True, "default", False)),
        (CircularDependencyError(), (True, "default", False)),
    ],
)
def test_how_an_error_wants_to_be_printed(error, printing):
    """RUN-11: the defaults of print_traceback, filter_traceback and print_usage."""
    assert printing == (error.print_traceback, error.filter_traceback, error.print_usage)


def test_an_unknown_filter_is_refused():
    """RUN-11: filter_traceback is one of three words."""
    with pytest.raises(ValueError, match="must be one of 'always', 'default' or 'never'"):
        SacredError("x", filter_traceback="sometimes")


def test_a_missing_value_is_a_type_error():
    """CAP-01: the overview promises a TypeError, Sacred's users catch MissingConfigError."""
    error = MissingConfigError("f is missing value(s):", missing_configs=["a"])
    assert isinstance(error, TypeError)
    assert isinstance(SignatureError("x"), TypeError)
    assert str(error) == "f is missing value(s): ['a']"


def test_conflicting_values_are_listed():
    """SCO-13: the text of a ConfigError lists the entries with their values."""
    error = InvalidConfigError("no", conflicting_configs=("a", "b.c", "d.e"), config={
        "a": 1, "b": {"c": 2}, "d": 3,
    })  # fmt: skip
    assert str(error) == "no\nConflicting configuration values:\n  a=1\n  b.c=2\n  d.e=None"
    assert str(ConfigError("no", "a", print_conflicting_configs=False)) == "no"


def test_a_prefix_is_put_in_front_once():
    """SCO-13: an entry is named as the whole configuration names it, with its value."""
    with pytest.raises(ConfigError) as caught:  # noqa: SIM117
        with ConfigError.track({"x": 2}, "not.here"):
            with ConfigError.track({"x": 1}, "p.q"):
                raise ConfigError("no", conflicting_configs=("x",))
    assert str(caught.value).endswith("\n  p.q.x=1")


def test_possible_keys_leave_special_arguments_out():
    """CFG-11: the hint names the arguments that functions take."""
    error = ConfigAddedError("foo", config={"foo": 3}, captured_args=["fou", "bar", "_run"])
    assert str(error).endswith("  foo=3\nPossible config keys are: {'bar', 'fou'}")


def test_a_circle_is_shown_from_its_start():
    """ING-11: the text lists the ingredients in the order in which they contain each other."""
    a, b = _Named("a"), _Named("b")
    with pytest.raises(CircularDependencyError, match=r"^Circular dependency detected:a->b->a$"):
        with CircularDependencyError.track(_Named("x")):
            with CircularDependencyError.track(a):
                with CircularDependencyError.track(b):
                    raise CircularDependencyError(ingredients=[a])


def test_interrupts_have_a_status():
    """RUN-03: the status of a run that an interrupt ended."""
    assert SacredInterrupt.STATUS == "INTERRUPTED"
    assert TimeoutInterrupt.STATUS == "TIMEOUT"
    assert not issubclass(SacredInterrupt, SacredError)
