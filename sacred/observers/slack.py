"""Slack: the observer that declares messages through an incoming webhook."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import InvalidArgumentError
from sacred.core.lending import lend
from sacred.observers.declaration import declares_a_view
from sacred.observers.notification import NotifyingObserver, settings_in
from sacred.replayers.messages import SLACK_TEXTS
from sacred.replayers.notification_specs import misspelt, slack_spec

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from sacred.replayers.sink import SinkSpec

__all__ = ["DEFAULT_SLACK_PRIORITY", "SlackObserver"]

DEFAULT_SLACK_PRIORITY = 10
_TEXTS = ("completed_text", "interrupted_text", "failed_text")
_SETTINGS = ("webhook_url", "bot_name", "icon", "priority", *_TEXTS)


@declares_a_view
class SlackObserver(NotifyingObserver):
    """Declares that Slack shall be told when a run ends.

    Parameters
    ----------
    webhook_url
        The address of the incoming webhook, which is a password: it is in no journal, no log and no
        command line.
    bot_name
        Who says it.
    icon
        The emoji beside it.
    priority
        Of no consequence here: Slack gives no ids.
    completed_text, interrupted_text, failed_text
        Templates for ``str.format``: ``{experiment[name]}``, ``{elapsed_time}``, ``{result}``,
        ``{error}``, ``{config[...]}``, ``{host_info[hostname]}``, ``{_id}``, ``{command}``. None is
        the default text; an empty text sends none, as null does in a file of settings.

    Raises
    ------
    InvalidArgumentError
        ``webhook_url`` is no address, a template can not be filled in, or ``priority`` is no number.
    """

    def __init__(
        self,
        webhook_url: str,
        bot_name: str = "sacred-bot",
        icon: str = ":angel:",
        priority: int = DEFAULT_SLACK_PRIORITY,
        completed_text: str | None = None,
        interrupted_text: str | None = None,
        failed_text: str | None = None,
    ) -> None:
        self.webhook_url = webhook_url
        self.bot_name = bot_name
        self.icon = icon
        given = (completed_text, interrupted_text, failed_text)
        texts = dict(zip(_TEXTS, given, strict=True))
        for name, text in texts.items():
            default = SLACK_TEXTS[name.removesuffix("_text")]
            texts[name] = default if text is None else text or None
        self._take(texts, priority)

    @classmethod
    def from_config(cls, filename: str | os.PathLike[str]) -> SlackObserver:
        """Return an observer with the settings of a file, which has at least ``webhook_url``.

        Raises
        ------
        InvalidArgumentError
            A setting is missing, unknown, or can not be one.
        ConfigFileError, OSError
            The file can not be read.
        """
        settings = settings_in(filename, cls.__name__)
        if not settings.get("webhook_url"):
            raise InvalidArgumentError(
                f"\"{filename}\" has no entry 'webhook_url', the address that Slack gave."
            )
        if cls.__init__ is SlackObserver.__init__:
            for name in settings:
                if name not in _SETTINGS:
                    near = misspelt(str(name), _SETTINGS)
                    hint = (
                        f"Did you mean {near!r}?" if near else "There are " + ", ".join(_SETTINGS)
                    )
                    raise InvalidArgumentError(
                        f'"{filename}": a {cls.__name__} has no setting {name!r}. {hint}'
                    )
        off = [name for name in _TEXTS if name in settings and settings[name] is None]
        observer = cls(**{name: value for name, value in settings.items() if name not in off})
        for name in off:
            setattr(observer, name, None)
        return observer

    def _spec(self) -> SinkSpec:
        texts = {name: getattr(self, name) for name in _TEXTS}
        owner = type(self).__name__
        return slack_spec(self.webhook_url, self.bot_name, self.icon, owner=owner, **texts)

    def _specification(self) -> dict[str, Any] | None:
        return super()._specification() if not _requests_is_replaced() else None

    def _defaults(self) -> Mapping[str, str]:
        return SLACK_TEXTS

    def _notify(self, rule: str, text: str) -> None:  # noqa: ARG002
        from sacred.replayers.sinks.slack import HEADERS, SlackSink

        message = {"username": self.bot_name, "icon_emoji": self.icon, "text": text}
        if _requests_is_replaced():
            import requests

            requests.post(self.webhook_url, data=json.dumps(message), headers=dict(HEADERS))  # noqa: S113 - what a test put there
            return
        sink = SlackSink(self._checked_spec())
        sink.judge(sink.deliver(message, ""))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._checked_spec().name}>"


def _requests_is_replaced() -> bool:
    """Tell whether a test looks into what would be posted: another process would not see that."""
    requests = sys.modules.get("requests")
    if requests is None:
        return False
    if getattr(getattr(requests, "post", None), "__module__", None) != "requests.api":
        return True
    adapters = sys.modules.get("requests.adapters")
    send = getattr(getattr(adapters, "HTTPAdapter", None), "send", None)
    return getattr(send, "__module__", None) != "requests.adapters"


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    RunObserver="sacred.core.observers",
    load_config_file="sacred.core.config.config_files",
    td_format="sacred.replayers.durations",
)
