"""What the observers have in common that declare a view instead of writing it themselves."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sacred.core.observers import RunObserver

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator
    from datetime import datetime

    from sacred.core.launch import Channel
    from sacred.observers.direct import DirectView
    from sacred.replayers.sink import Sink

__all__ = ["DeclaredObserver", "declares_a_view", "extended", "is_as_written", "logger"]

_Class = TypeVar("_Class", bound=type)


def declares_a_view(cls: _Class) -> _Class:
    """Remember how a class was written, so that a changed one is noticed.

    People assign to the methods of these classes and subclass them. Another process would not know
    of that, so what was changed is called in this one, event by event.
    """
    cls._as_written = _attributes(cls)  # type: ignore[attr-defined]
    return cls


def is_as_written(observer: object) -> bool:
    """Return whether an observer's class and the observer itself are as they were written."""
    if "_as_written" not in vars(type(observer)):
        return False
    for cls in type(observer).__mro__:
        written = vars(cls).get("_as_written")
        now = _attributes(cls)
        if written and (
            written.keys() != now.keys()
            or any(now[name] is not value for name, value in written.items())
        ):
            return False
    return not any(callable(getattr(type(observer), name, None)) for name in vars(observer))


@contextmanager
def extended(entry: dict[str, Any], name: str, found: list[Any]) -> Iterator[None]:
    """Have more in a list of an entry while it is saved, and from then on if that works.

    If it does not, the event comes again, and it would be in the list twice.
    """
    before = entry[name]
    entry[name] = [*before, *found]
    try:
        yield
    except BaseException:
        entry[name] = before
        raise


def logger() -> logging.Logger:
    """Return where observers tell what stops nothing."""
    import logging

    return logging.getLogger("sacred")


def _attributes(cls: type) -> dict[str, Any]:
    return {name: value for name, value in vars(cls).items() if name != "_as_written"}


class DeclaredObserver(RunObserver):
    """An observer that says which view it wants, as data.

    Attributes
    ----------
    priority
        Higher ones are asked for a run's id first.
    required
        True gives Sacred's old promise: a run does not begin without the view, and ends when the
        view has everything.
    """

    required = False

    def declare_view(self) -> dict[str, Any] | None:
        """Return the view's specification; None if this object has to be called itself."""
        return self._specification() if is_as_written(self) else None

    def _specification(self) -> dict[str, Any] | None:
        """Return ``{"kind", "url", "options", "name"}``, or None if that does not say it all."""
        raise NotImplementedError

    def open_channel(self) -> Channel:
        """Open a way to a replayer in a thread of this process, where no other can be started."""
        from sacred.observers.in_process import ThreadChannel

        return ThreadChannel()

    # -- called directly -------------------------------------------------------------------------

    _direct: DirectView | None = None

    def _new_direct_view(self) -> DirectView:
        from sacred.observers.direct import DirectView

        return DirectView(self._new_sink())

    def _new_sink(self) -> Sink:
        """Return the sink that writes this view in this process."""
        from sacred.replayers.registry import load_sink
        from sacred.replayers.sink import SinkSpec

        specification = self._specification()
        if specification is None:
            raise NotImplementedError(f"{self!r} can only be written by a process of its own")
        return load_sink(SinkSpec.from_wire(specification))

    def _begun(self) -> DirectView:
        if self._direct is None:
            raise RuntimeError("started_event or queued_event comes first")
        return self._direct

    def queued_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Write a queued run, now and in this process; returns its id."""
        self._direct = self._new_direct_view()
        return self._direct.queued(ex_info, command, host_info, queue_time, config, meta_info, _id)

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Write the start of a run, now and in this process; returns its id."""
        self._direct = self._new_direct_view()
        return self._direct.started(ex_info, command, host_info, start_time, config, meta_info, _id)

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Write what is known by now."""
        self._begun().heartbeat(info, captured_out, beat_time, result)

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Write the end of a run that went well."""
        self._begun().ended("completed", "COMPLETED", stop_time, result=result)

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Write the end of a run that was interrupted."""
        self._begun().ended("interrupted", status, interrupt_time)

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Write the end of a run that failed."""
        if self._direct is not None:
            self._direct.ended("failed", "FAILED", fail_time, fail_trace=fail_trace)

    def resource_event(self, filename: str) -> None:
        """Write a file that the run needs."""
        self._begun().resource(filename)

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Write a file that the run made."""
        self._begun().artifact(name, filename, metadata, content_type)

    def log_metrics(
        self,
        metrics_by_name: dict[str, dict[str, Any]],
        info: dict[str, Any],  # noqa: ARG002 - the heartbeat that follows has it
    ) -> None:
        """Write metric points."""
        self._begun().metrics(metrics_by_name)
