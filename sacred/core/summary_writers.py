"""TensorBoard's writers: in which folders a run has them write."""

from __future__ import annotations

import functools
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sacred.core.interception import BodyDecorator, ContextMethodDecorator
from sacred.core.late_import import when_imported
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["ContextMethodDecorator", "LogFileWriter", "SummaryWriterMissingError"]

#: Packages with writers, and the module that has them.
_PACKAGES = {
    "tensorboardX": "tensorboardX",
    "torch": "torch.utils.tensorboard",
    "tensorflow": "tensorflow",
}


class SummaryWriterMissingError(ImportError):
    """No package with summary writers is installed."""

    exit_code = 1


class LogFileWriter(BodyDecorator):
    """Notes in which folders summary writers write, in ``info["tensorflow"]["logdirs"]``.

    ::

        @ex.automain
        @LogFileWriter(ex)
        def main():
            writer = SummaryWriter("runs/first")

    A decorator, also of functions that are ``async`` or ``yield``, and a context manager. It knows the ``SummaryWriter`` of tensorboardX and of
    ``torch.utils.tensorboard``, the ``FileWriter`` of both, TensorFlow's ``tf.summary.create_file_writer`` and, of its first
    version, ``FileWriter``; a package that is imported later is noticed too. A folder is noted as
    it was given; one that the writer chose by itself, as the writer names it.

    Of several that are entered at a time, one inside the other or in threads, the one that the
    writer's own thread (or task) entered last takes the folder; for a thread that entered none, it
    is the last one of all.

    Parameters
    ----------
    experiment
        The experiment whose run it is, or a run.

    Raises
    ------
    TypeError
        It is neither.
    SummaryWriterMissingError
        None of the three packages is installed (an ``ImportError``). Making a writer raises
        ``AttributeError`` if the experiment has no run yet.
    """

    def __init__(self, experiment: Any) -> None:
        from sacred.core.optional import module_exists

        self.experiment = experiment
        if not (hasattr(type(experiment), "info") or hasattr(experiment, "info")):
            raise TypeError(
                f"LogFileWriter takes the experiment whose run notes the folders, not "
                f"{experiment!r}: LogFileWriter(ex)."
            )
        if not any(module_exists(package) for package in _PACKAGES):
            raise SummaryWriterMissingError(
                "LogFileWriter notes the folders of summary writers, and no package with any is "
                "installed: pip install tensorboardX, torch or tensorflow."
            )

    def __enter__(self) -> None:
        """Begin to take notes."""
        _MINE.set((*_MINE.get(), self))
        with _lock:
            _entered.append(self)
            for name, module in _PACKAGES.items():
                when_imported(module, _FINDERS[name])
            _put_in_force()

    def __exit__(self, *exception: object) -> None:
        """End; with the last one the writers are as they were."""
        _MINE.set(_without_last(_MINE.get(), self))
        with _lock:
            _entered[:] = _without_last(_entered, self)
            _put_in_force()

    def note(self, logdir: Any, *, again: bool = True) -> None:
        """Add a folder to the run's ``info``; one that is there, if it is to be there ``again``.

        Raises
        ------
        AttributeError
            The experiment has no run yet.
        """
        info = self.experiment.info
        logdirs = info.setdefault("tensorflow", {}).setdefault("logdirs", [])
        if again or os.fspath(logdir) not in logdirs:
            logdirs.append(os.fspath(logdir))


# -- who takes notes ------------------------------------------------------------------------------

_lock = threading.RLock()
#: Those that were entered and not left yet, in this order.
_entered: list[LogFileWriter] = []
_MINE: ContextVar[tuple[LogFileWriter, ...]] = ContextVar("sacred_log_file_writers", default=())


def _without_last(all_of_them: Sequence[LogFileWriter], one: LogFileWriter) -> tuple[Any, ...]:
    for i in range(len(all_of_them) - 1, -1, -1):
        if all_of_them[i] is one:
            return (*all_of_them[:i], *all_of_them[i + 1 :])
    return tuple(all_of_them)


def _note(logdir: Any, *, again: bool = True) -> None:
    taking = _MINE.get() or tuple(_entered)
    if taking and isinstance(logdir, (str, os.PathLike)):
        taking[-1].note(logdir, again=again)


# -- the writers ----------------------------------------------------------------------------------


class _MadeByFunction:
    """A function that makes writers, stood in for where it is looked up."""

    def __init__(self, place: Any, name: str) -> None:
        self._place = place
        self._name = name
        self._original: Any = None
        self._replacement: Any = None

    def __enter__(self) -> None:
        original = self._original = getattr(self._place, self._name)

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            writer = original(*args, **kwargs)
            _note(_first(args, kwargs))
            return writer

        self._replacement = replacement
        setattr(self._place, self._name, replacement)

    def __exit__(self, *exception: object) -> None:
        if getattr(self._place, self._name) is self._replacement:
            setattr(self._place, self._name, self._original)


def _first(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else kwargs.get("logdir")


def _construct_with_logdir(writer: Any, original: Any, args: Any, kwargs: Any) -> None:
    original(writer, *args, **kwargs)
    _note(_first(args, kwargs))


def _construct(writer: Any, original: Any, args: Any, kwargs: Any) -> None:
    # It makes a file writer of its own.
    outer, _making.summary_writer = getattr(_making, "summary_writer", False), True
    try:
        original(writer, *args, **kwargs)
    finally:
        _making.summary_writer = outer
    # Also where the writer chose it by itself.
    _note(getattr(writer, "logdir", None) or getattr(writer, "log_dir", None))


_making = threading.local()


def _construct_file_writer(writer: Any, original: Any, args: Any, kwargs: Any) -> None:
    original(writer, *args, **kwargs)
    if not getattr(_making, "summary_writer", False):
        # A summary writer that was closed makes another one when it is written to again.
        _note(_first(args, kwargs), again=False)


def _of_summary_writer(module: Any) -> list[Any]:
    """Return what stands in for the writers of tensorboardX and torch."""
    found = {
        getattr(module, "SummaryWriter", None): _construct,
        getattr(module, "FileWriter", None): _construct_file_writer,
    }
    return [
        ContextMethodDecorator(writer, "__init__", construct)
        for writer, construct in found.items()
        if writer is not None
    ]


def _of_tensorflow(module: Any) -> list[Any]:
    """Return what stands in for the writers of TensorFlow, of both versions."""
    compat = getattr(module, "compat", None)
    places = [module, getattr(compat, "v1", None), getattr(compat, "v2", None)]
    summaries = [getattr(place, "summary", None) for place in places]
    classes: list[type] = []
    functions: list[Any] = []
    for summary in summaries:
        found = getattr(summary, "FileWriter", None)
        if found is not None and not any(found is known for known in classes):
            classes.append(found)
        if hasattr(summary, "create_file_writer") and not any(
            summary is known for known in functions
        ):
            functions.append(summary)
    return [
        *(ContextMethodDecorator(found, "__init__", _construct_with_logdir) for found in classes),
        *(_MadeByFunction(summary, "create_file_writer") for summary in functions),
    ]


class _Writers(NamedTuple):
    """The writers of a package, and what stands in for them."""

    module: Any
    patches: list[Any]


_found: dict[str, _Writers] = {}
_in_force: list[Any] = []


def _finder(package: str, find: Callable[[Any], list[Any]]) -> Callable[[Any], None]:
    def found(module: Any) -> None:
        with _lock:
            known = _found.get(package)
            if known is None or known.module is not module:
                _found[package] = _Writers(module, find(module))
            _put_in_force()

    return found


_FINDERS = {
    "tensorboardX": _finder("tensorboardX", _of_summary_writer),
    "torch": _finder("torch", _of_summary_writer),
    "tensorflow": _finder("tensorflow", _of_tensorflow),
}


def _put_in_force() -> None:
    """Stand in for all writers that were found, or for none when nobody takes notes."""
    if not _entered:
        while _in_force:
            _in_force.pop().__exit__(None, None, None)
        return
    for writers in _found.values():
        for patch in writers.patches:
            if not any(patch is known for known in _in_force):
                patch.__enter__()
                _in_force.append(patch)


LogFileWriter.__module__ = "sacred.stflow"
SummaryWriterMissingError.__module__ = "sacred.stflow"
