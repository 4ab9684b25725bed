"""Telegram: messages of a bot when a run starts and ends, by plain requests to the Bot API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from sacred.replayers.errors import TerminalSinkError
from sacred.replayers.messages import TELEGRAM_TEXTS, Occasion, shortened
from sacred.replayers.notification_specs import DEFAULT_API
from sacred.replayers.notifier import NotificationSink
from sacred.replayers.posting import TIMEOUT, Answer, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sacred.replayers.sink import RunKey, SinkSpec

__all__ = ["MOST", "TelegramSink"]

#: Characters of a message that Telegram takes.
MOST = 4096


class TelegramSink(NotificationSink):
    """Sends messages to a chat, as a bot."""

    defaults: ClassVar[Mapping[str, str]] = TELEGRAM_TEXTS

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        secret = spec.options.get("secret") or {}
        token, proxy = str(secret.get("token") or ""), secret.get("proxy")
        base = str(secret.get("api_url") or DEFAULT_API)
        login = str(proxy or "").partition("://")[2].rpartition("@")[0]
        hidden = (token, token.partition(":")[2], login, login.partition(":")[2])
        self._chat = spec.url.partition("/")[2]
        self._place = Place(
            spec.name,
            spec.key,
            f"{base}/bot{token}/sendMessage",
            tuple(piece for piece in hidden if piece),
            proxy,
            float(spec.options.get("timeout") or TIMEOUT),
        )

    @property
    def place(self) -> Place:
        """The bot's method that sends."""
        return self._place

    def compose(
        self,
        occasion: Occasion,
        text: str,
        fields: Mapping[str, Any],  # noqa: ARG002
        run: RunKey,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return what Sacred sends: starts are silent, interruptions and failures never."""
        silent = occasion.rule == "started" or (
            occasion.rule == "completed" and bool(self.spec.options.get("silent_completion"))
        )
        is_number = self._chat.lstrip("-").isdecimal()
        return {
            "chat_id": int(self._chat) if is_number else self._chat,
            "text": shortened(text, MOST),
            "disable_notification": silent,
            "parse_mode": "Markdown",
        }

    def deliver(self, message: Mapping[str, Any], mark: str) -> Answer:  # noqa: ARG002
        """Send it; without its marks if these can not be read (a lone ``_`` in a name)."""
        answer = self._post(message)
        if answer.status == 400 and "can't parse entities" in _description(answer):
            plain = {name: value for name, value in message.items() if name != "parse_mode"}
            answer = self._post(plain)
        return answer

    def _post(self, message: Mapping[str, Any]) -> Answer:
        body = json.dumps(message).encode()
        answer = self._place.post(body, {"Content-Type": "application/json"})
        parameters = answer.data().get("parameters")
        pause = parameters.get("retry_after") if isinstance(parameters, dict) else None
        if isinstance(pause, (int, float)):
            answer = answer._replace(retry_after=float(pause))
        return answer

    def judge(self, answer: Answer) -> None:
        """Raise for every answer that is not Telegram's yes."""
        hint = "check token and chat_id"
        if answer.status in {401, 404}:
            hint = "no bot has this token: ask @BotFather for it"
        elif answer.status == 403:
            hint = "the bot may not write there: let it into the chat, or write to it first"
        elif answer.status == 400:
            hint = (
                "check the chat_id: a chat with a person begins when that person writes to the bot"
            )
        self._place.check(answer, hint, _description(answer))
        if answer.data().get("ok") is not True:
            raise TerminalSinkError(
                f"{self._place.name} answers as Telegram does not: check api_url and the proxy"
            )


def _description(answer: Answer) -> str:
    return str(answer.data().get("description") or "")
