"""Slack: a message through an incoming webhook when a run ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from sacred.replayers.messages import SLACK_TEXTS, Occasion, shortened
from sacred.replayers.notification_specs import DEFAULT_BOT_NAME, DEFAULT_ICON
from sacred.replayers.notifier import NotificationSink
from sacred.replayers.posting import TIMEOUT, Answer, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sacred.replayers.sink import RunKey, SinkSpec

__all__ = ["SlackSink"]

#: Characters of a message that Slack does not cut.
_MOST = 40_000
_HINT = "check the webhook, or make a new one among the incoming webhooks of your Slack app"
HEADERS = {"Content-type": "application/json", "Accept": "text/plain"}


class SlackSink(NotificationSink):
    """Posts to a webhook of Slack, or of what understands the same (Mattermost, Rocket.Chat)."""

    defaults: ClassVar[Mapping[str, str]] = SLACK_TEXTS

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        url = str((spec.options.get("secret") or {}).get("webhook_url") or "")
        path = url.partition("://")[2].partition("/")[2]
        self._place = Place(
            spec.name,
            spec.key,
            url,
            tuple(piece for piece in (url, path) if piece),
            timeout=float(spec.options.get("timeout") or TIMEOUT),
        )

    @property
    def place(self) -> Place:
        """The webhook."""
        return self._place

    def compose(
        self,
        occasion: Occasion,  # noqa: ARG002
        text: str,
        fields: Mapping[str, Any],  # noqa: ARG002
        run: RunKey,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return what Sacred posts."""
        options = self.spec.options
        return {
            "username": options.get("bot_name", DEFAULT_BOT_NAME),
            "icon_emoji": options.get("icon", DEFAULT_ICON),
            "text": shortened(text, _MOST),
        }

    def deliver(self, message: Mapping[str, Any], mark: str) -> Answer:  # noqa: ARG002
        """Post it. Slack knows no mark by which a repeat could be told."""
        return self._place.post(json.dumps(message).encode(), HEADERS)

    def judge(self, answer: Answer) -> None:
        """Raise for every status but those that say that it is there."""
        self._place.check(answer, _HINT)
