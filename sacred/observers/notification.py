"""What the observers have in common that send messages about a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.arguments import InvalidArgumentError, checked_priority
from sacred.core.observers import RunObserver
from sacred.observers.declaration import DeclaredObserver, declares_a_view
from sacred.replayers.errors import SinkSpecError
from sacred.replayers.messages import run_facts, text_name, write_text

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from datetime import datetime

    from sacred.replayers.sink import SinkSpec

__all__ = ["NotifyingObserver", "settings_in"]


@declares_a_view
class NotifyingObserver(DeclaredObserver):
    """Declares that messages about runs shall be sent, or sends them itself.

    As it is, a process of its own sends what the run's journal says, and tries again until it
    arrived. A subclass, an observer with a replaced method or with a live object is called event by
    event instead: it sends in the run's process, once, and waits for the answer.

    Attributes
    ----------
    run
        Called event by event: what templates may name.
    """

    run: dict[str, Any] | None = None
    started_text: str | None
    completed_text: str | None
    interrupted_text: str | None
    failed_text: str | None
    priority: int

    def _take(self, texts: Mapping[str, str | None], priority: int) -> None:
        """Take the templates, by their names, and the priority; see that all settings can be meant."""
        for name, text in texts.items():
            setattr(self, name, text)
        self.priority = checked_priority(priority, type(self).__name__)
        self.run = None
        self._checked_spec()

    def _spec(self) -> SinkSpec:
        """Return the specification; ``SinkSpecError`` if a setting can not be one."""
        raise NotImplementedError

    def _checked_spec(self) -> SinkSpec:
        try:
            return self._spec()
        except SinkSpecError as error:
            text = str(error)
            end = "" if text.endswith("?") else "."
            raise InvalidArgumentError(f"{text[:1].upper()}{text[1:]}{end}") from None

    def _specification(self) -> dict[str, Any] | None:
        return self._checked_spec().to_wire()

    def claim_run(self, **_: Any) -> None:
        """Give no id: a chat has none."""

    # -- texts -----------------------------------------------------------------------------------

    def _defaults(self) -> Mapping[str, str]:
        """Return the default templates by rule."""
        raise NotImplementedError

    def _text(self, rule: str) -> str:
        """Return the message of a rule, filled in."""
        default = self._defaults().get(rule, "")
        template = getattr(self, text_name(rule)) or default
        run = self.run or {}
        facts = {"ex_info": run.get("experiment"), **run}
        if rule == "failed":
            facts["backtrace"] = "".join(run.get("fail_trace") or ())
        return write_text(template, facts, default)

    def get_completed_text(self) -> str:
        """Return the message about a run that went well."""
        return self._text("completed")

    def get_interrupted_text(self) -> str:
        """Return the message about a run that was interrupted."""
        return self._text("interrupted")

    def get_failed_text(self) -> str:
        """Return the message about a run that failed."""
        return self._text("failed")

    # -- called directly -------------------------------------------------------------------------

    # A chat is told of starts and ends alone: of the rest, as of a run that is queued, nothing.
    queued_event = RunObserver.queued_event
    heartbeat_event = RunObserver.heartbeat_event
    resource_event = RunObserver.resource_event
    artifact_event = RunObserver.artifact_event
    log_metrics = RunObserver.log_metrics

    def _notify(self, rule: str, text: str) -> None:
        """Send a message, now."""
        raise NotImplementedError

    def _ended(self, rule: str, **more: Any) -> None:
        """Note the end of the run, and send its message unless that is switched off."""
        run = self.run if self.run is not None else {}
        when = next(value for name, value in more.items() if name.endswith("_time"))
        fields = {"start_time": run.get("start_time"), "stop_time": when, **more}
        facts = run_facts(rule, run.get("_id"), fields)
        run.update(more)
        run["elapsed_time"] = facts["elapsed_time"]
        if rule == "failed":
            run["error"] = facts["error"]
        self.run = run
        if getattr(self, text_name(rule)):
            self._notify(rule, getattr(self, f"get_{rule}_text")())

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],  # noqa: ARG002 - messages do not name it
        _id: Any,
    ) -> None:
        """Remember what templates may name."""
        self.run = {
            "_id": _id,
            "config": config,
            "start_time": start_time,
            "experiment": ex_info,
            "command": command,
            "host_info": host_info,
        }

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Tell that the run went well."""
        self._ended("completed", result=result, stop_time=stop_time)

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Tell that the run was interrupted."""
        self._ended("interrupted", status=status, interrupt_time=interrupt_time)

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Tell that the run failed."""
        self._ended("failed", fail_trace=fail_trace, fail_time=fail_time)


def settings_in(filename: str | os.PathLike[str], observer: str) -> dict[str, Any]:
    """Return the settings of an observer from a file: JSON, YAML, TOML or pickle.

    Raises
    ------
    InvalidArgumentError
        It holds no settings.
    ConfigFileError, OSError
        It can not be read.
    """
    from sacred.core.config.config_files import load_config_file

    found = load_config_file(filename)
    if not isinstance(found, dict):
        raise InvalidArgumentError(
            f'"{filename}" holds no settings of a {observer}: write a dictionary.'
        )
    return dict(found)
