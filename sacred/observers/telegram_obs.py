"""Telegram: the observer that declares messages of a bot.

Sacred's needs ``python-telegram-bot`` in a version before 14. Here nothing is needed: the Bot API is
asked by plain requests.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import InvalidArgumentError
from sacred.core.lending import lend
from sacred.observers.declaration import declares_a_view
from sacred.observers.notification import NotifyingObserver, settings_in
from sacred.replayers.messages import RULES, TELEGRAM_TEXTS, text_name
from sacred.replayers.notification_specs import misspelt, telegram_spec

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from datetime import datetime

    from sacred.replayers.sink import SinkSpec

__all__ = ["DEFAULT_TELEGRAM_PRIORITY", "TelegramBot", "TelegramObserver"]

DEFAULT_TELEGRAM_PRIORITY = 10
_TEXTS = tuple(text_name(rule) for rule in RULES)
_CONNECTION = ("proxy_url", "username", "password", "api_url", "timeout")
_SETTINGS = ("token", "chat_id", "silent_completion", *_TEXTS, *_CONNECTION, "priority")


class TelegramBot:
    """A bot that can send messages, and nothing else.

    Parameters
    ----------
    token
        As @BotFather gave it: a password.
    connection
        ``proxy_url``, ``username``, ``password``, ``api_url``, ``timeout``.
    """

    def __init__(self, token: str, **connection: Any) -> None:
        self.token = token
        self.connection = connection

    def send_message(self, chat_id: int | str, text: str, **more: Any) -> None:
        """Send a message, now.

        Raises
        ------
        SinkError
            It did not arrive, or nobody knows whether it did.
        """
        from sacred.replayers.messages import shortened
        from sacred.replayers.sinks.telegram import MOST, TelegramSink

        sink = TelegramSink(telegram_spec(self.token, chat_id, **self.connection))
        message = {"chat_id": chat_id, "text": shortened(text, MOST), **more}
        sink.judge(sink.deliver(message, ""))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.token).partition(':')[0]}>"


@declares_a_view
class TelegramObserver(NotifyingObserver):
    """Declares that a chat of Telegram shall be told when a run starts and ends.

    Parameters
    ----------
    bot
        The bot's token; or an object with ``send_message(chat_id=, text=, disable_notification=,
        parse_mode=)``, also one whose method is ``async``, which is then called in the run's process.
    chat_id
        The number of the chat, or the ``@name`` of a channel.
    silent_completion
        Whether a run that went well makes no sound. A start never does, any other end always.
    priority
        Of no consequence here: Telegram gives no ids.
    kwargs
        ``started_text``, ``completed_text``, ``interrupted_text``, ``failed_text``: templates, None
        sends none. With a token also ``proxy_url``, ``username``, ``password``, ``api_url`` and
        ``timeout``.

    Raises
    ------
    InvalidArgumentError
        The token can be none, a template can not be filled in, or an argument is unknown.
    """

    def __init__(
        self,
        bot: Any,
        chat_id: int | str,
        silent_completion: bool = False,
        priority: int = DEFAULT_TELEGRAM_PRIORITY,
        **kwargs: Any,
    ) -> None:
        known = (*_TEXTS, *_CONNECTION)
        for name in kwargs:
            near = misspelt(name, known) if name not in known else None
            if near is not None:  # Sacred takes anything, and a name that is none does nothing
                raise InvalidArgumentError(
                    f"A {type(self).__name__} has no {name!r}. Did you mean {near!r}?"
                )
        connection = {name: kwargs[name] for name in _CONNECTION if kwargs.get(name) is not None}
        self.silent_completion = silent_completion
        self.chat_id = chat_id
        self.bot = TelegramBot(bot, **connection) if isinstance(bot, str) else bot
        if not callable(getattr(self.bot, "send_message", None)):
            raise InvalidArgumentError(
                f"The bot of {type(self).__name__}(...) is of the type {type(bot).__name__}: give the token of "
                "a bot, or an object with the method send_message."
            )
        texts = {
            name: kwargs.get(name, TELEGRAM_TEXTS[name.removesuffix("_text")]) for name in _TEXTS
        }
        self._take(texts, priority)

    @classmethod
    def from_config(cls, filename: str | os.PathLike[str]) -> TelegramObserver:
        """Return an observer with the settings of a file: ``token``, ``chat_id`` and more.

        Raises
        ------
        InvalidArgumentError
            ``token`` or ``chat_id`` is missing, or a setting can not be one. It is a ``ValueError``.
        ConfigFileError, OSError
            The file can not be read.
        """
        settings = settings_in(filename, cls.__name__)
        if "token" not in settings or "chat_id" not in settings:
            raise InvalidArgumentError(
                "Telegram configuration file must contain entries for 'token' and 'chat_id'!"
            )
        for name in settings:
            near = misspelt(str(name), _SETTINGS) if name not in _SETTINGS else None
            if near is not None:
                raise InvalidArgumentError(
                    f'"{filename}": a {cls.__name__} has no setting {name!r}. Did you mean {near!r}?'
                )
        known = {name: value for name, value in settings.items() if name in _SETTINGS}
        token = known.pop("token")
        if not isinstance(token, str):
            raise InvalidArgumentError(f'The token in "{filename}" is no text.')
        return cls(token, **known)

    def _spec(self) -> SinkSpec:
        texts = {name: getattr(self, name) for name in _TEXTS}
        owner = type(self).__name__
        bot = self.bot
        # Somebody's own bot has its own ways; its texts are checked all the same.
        token = bot.token if isinstance(bot, TelegramBot) else "0:x"
        chat_id = self.chat_id if isinstance(bot, TelegramBot) else 0
        connection = bot.connection if isinstance(bot, TelegramBot) else {}
        silent = self.silent_completion
        return telegram_spec(
            token, chat_id, silent_completion=silent, owner=owner, **connection, **texts
        )

    def _specification(self) -> dict[str, Any] | None:
        return super()._specification() if type(self.bot) is TelegramBot else None

    def _defaults(self) -> Mapping[str, str]:
        return TELEGRAM_TEXTS

    def get_started_text(self) -> str:
        """Return the message about a run that begins."""
        return self._text("started")

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> None:
        """Tell that the run begins, without a sound."""
        super().started_event(ex_info, command, host_info, start_time, config, meta_info, _id)
        if self.started_text:
            self._notify("started", self.get_started_text())

    def _notify(self, rule: str, text: str) -> None:
        silent = rule == "started" or (rule == "completed" and bool(self.silent_completion))
        try:
            answer = self.bot.send_message(
                chat_id=self.chat_id,
                text=text,
                disable_notification=silent,
                parse_mode="Markdown",
            )
            if hasattr(answer, "__await__"):
                _wait_for(self.bot, answer)
        except Exception as error:  # a run goes on without its messages
            import logging

            from sacred.replayers.posting import without

            said = " ".join(str(error).split())[:300]
            secret = str(getattr(self.bot, "token", "") or "")
            secrets = [piece for piece in (secret, secret.partition(":")[2]) if piece]
            logging.getLogger("telegram-observer").warning(
                "the message that the run %s could not be sent: %s: %s",
                rule if rule != "interrupted" else "was interrupted",
                type(error).__name__,
                without(said, secrets),
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} telegram:{self.chat_id}>"


def _wait_for(bot: Any, answer: Any) -> None:
    """Run what a bot of today's libraries gives: a coroutine, also where a loop is running."""
    import asyncio
    import threading

    failures: list[Exception] = []

    async def send() -> None:
        # python-telegram-bot wants its bots opened, and closed in the same loop.
        async with bot if hasattr(type(bot), "__aenter__") else contextlib.nullcontext():
            await answer

    def run() -> None:
        try:
            asyncio.run(send())
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="telegram-message")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    RunObserver="sacred.core.observers",
    load_config_file="sacred.core.config.config_files",
    td_format="sacred.replayers.durations",
)
