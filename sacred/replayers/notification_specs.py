"""The addresses and settings of views that send messages: read, checked, made a specification.

An address of a chat, a token and the password of a proxy are secrets. They stand in the option
``secret`` of a specification and nowhere else in it, so that a journal, which keeps no option of
that name, holds none.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import SinkSpecError
from sacred.replayers.messages import RULES, check_text, text_name
from sacred.replayers.sink import SinkSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "MOST_TIMEOUT",
    "misspelt",
    "parse_slack",
    "parse_telegram",
    "parse_webhook",
    "slack_spec",
    "telegram_spec",
    "webhook_spec",
]

_TEXTS = tuple(text_name(rule) for rule in RULES)
#: What a server of messages may be waited for (s).
MOST_TIMEOUT = 600
_SLACK = ("webhook_url", "bot_name", "icon", *_TEXTS[1:], "priority", "timeout")
_TELEGRAM = (
    *("token", "chat_id", "silent_completion", *_TEXTS, "proxy_url", "username", "password"),
    *("priority", "timeout", "api_url"),
)
_WEBHOOK = ("url", "headers", *_TEXTS, "timeout")

DEFAULT_BOT_NAME, DEFAULT_ICON = "sacred-bot", ":angel:"
DEFAULT_API = "https://api.telegram.org"
#: A bot's number, and what only its owner knows.
_TOKEN = re.compile(r"(\d{1,20}):([\w-]{1,200})")
_CHAT = re.compile(r"-?\d{1,20}|@[A-Za-z]\w{1,63}")
#: Bytes of a file of settings that are read.
_MOST = 1 << 20


# -- what a person writes --------------------------------------------------------------------------


def parse_slack(text: str) -> SinkSpec:
    """Return the specification of ``slack:https://hooks.slack.com/...`` or ``slack:FILE``.

    Raises
    ------
    SinkSpecError
        It is none.
    """
    rest = _rest(text, "a Slack view needs its settings: --to slack:slack.json")
    return slack_spec(**_address_or_settings(rest, "Slack", _SLACK, "that Slack gave"))


def parse_telegram(text: str) -> SinkSpec:
    """Return the specification of ``telegram:FILE`` or ``telegram:TOKEN@CHAT_ID``.

    Raises
    ------
    SinkSpecError
        It is none.
    """
    rest = _rest(text, "a Telegram view needs its settings: --to telegram:telegram.json")
    typed = re.fullmatch(rf"({_TOKEN.pattern})@({_CHAT.pattern})", rest)
    if typed is not None:
        return telegram_spec(typed[1], typed[4])
    if re.match(r"(?:bot)?\d{5,}:[\w-]{10,}", rest):  # never shown: it holds a token
        raise SinkSpecError(
            "a Telegram view is written --to telegram:telegram.json, or telegram:TOKEN@CHAT_ID"
        )
    settings = _settings(rest, "Telegram", _TELEGRAM)
    if not settings.get("token") or not settings.get("chat_id"):
        raise SinkSpecError(f"{rest} has to have entries 'token' and 'chat_id'")
    return telegram_spec(**settings)


def parse_webhook(text: str) -> SinkSpec:
    """Return the specification of ``webhook:https://...`` or ``webhook:FILE``.

    Raises
    ------
    SinkSpecError
        It is none.
    """
    rest = _rest(text, "a web hook needs its address: --to webhook:https://host/path")
    return webhook_spec(**_address_or_settings(rest, "web hook", _WEBHOOK, "of the web hook"))


# -- specifications --------------------------------------------------------------------------------


def slack_spec(
    webhook_url: Any,
    bot_name: Any = DEFAULT_BOT_NAME,
    icon: Any = DEFAULT_ICON,
    *,
    owner: str = "the Slack view",
    timeout: Any = None,
    priority: Any = None,  # noqa: ARG001 - of observers
    **texts: Any,
) -> SinkSpec:
    """Return the specification of a view in Slack.

    Parameters
    ----------
    webhook_url
        The address of an incoming webhook.
    bot_name, icon
        Whose message it is.
    owner
        Whose settings these are, for sentences.
    timeout
        Seconds that Slack may be silent.
    priority
        Of no meaning here.
    texts
        ``completed_text`` and the like; None sends none.

    Raises
    ------
    SinkSpecError
        A setting can not be one.
    """
    host = _checked_url(webhook_url, f"the webhook_url of {owner}")
    options = {"bot_name": str(bot_name), "icon": str(icon), **_common(texts, timeout, owner)}
    options["secret"] = {"webhook_url": webhook_url}
    return SinkSpec("slack", f"{host}#{_mark(webhook_url)}", options, f"slack:{host}")


def telegram_spec(
    token: Any,
    chat_id: Any,
    *,
    silent_completion: Any = False,
    proxy_url: Any = None,
    username: Any = None,
    password: Any = None,
    api_url: Any = DEFAULT_API,
    owner: str = "the Telegram view",
    timeout: Any = None,
    priority: Any = None,  # noqa: ARG001 - of observers
    **texts: Any,
) -> SinkSpec:
    """Return the specification of a view in a chat of Telegram.

    Parameters
    ----------
    token
        The bot's, as @BotFather gave it.
    chat_id
        The number of a chat, or the ``@name`` of a channel.
    silent_completion
        Whether a run that went well makes no sound.
    proxy_url, username, password
        A proxy (``http://host:port/``, ``socks5://host:port/``) and who uses it.
    api_url
        Another server of Telegram's Bot API.
    owner
        Whose settings these are, for sentences.
    timeout
        Seconds that Telegram may be silent.
    priority
        Of no meaning here.
    texts
        ``started_text`` and the like; None sends none.

    Raises
    ------
    SinkSpecError
        A setting can not be one.
    """
    typed = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if typed is None:
        raise SinkSpecError(
            f"the token of {owner} is none: @BotFather gives one of the form 123456:ABC-def"
        )
    chat = str(chat_id)
    if isinstance(chat_id, bool) or not _CHAT.fullmatch(chat):
        raise SinkSpecError(
            f"the chat_id of {owner} is {chat[:80]!r}: give the number of a chat, or the @name of "
            "a channel"
        )
    _checked_url(api_url, f"the api_url of {owner}")
    options: dict[str, Any] = {"silent_completion": bool(silent_completion)}
    options.update(_common(texts, timeout, owner))
    options["secret"] = {
        "token": token,
        "api_url": str(api_url).rstrip("/"),
        "proxy": _proxy(proxy_url, username, password, owner),
    }
    return SinkSpec("telegram", f"{typed[1]}/{chat}", options, f"telegram:{chat}")


def webhook_spec(
    url: Any,
    headers: Any = None,
    *,
    owner: str = "the web hook",
    timeout: Any = None,
    **texts: Any,
) -> SinkSpec:
    """Return the specification of a view in a web hook.

    Parameters
    ----------
    url
        Where to post.
    headers
        To send along, a dictionary of texts (``Authorization``).
    owner
        Whose settings these are, for sentences.
    timeout
        Seconds that the server may be silent.
    texts
        ``started_text`` and the like; None sends none.

    Raises
    ------
    SinkSpecError
        A setting can not be one.
    """
    host = _checked_url(url, f"the address of {owner}")
    headers = {} if headers is None else headers
    if not isinstance(headers, dict) or not all(_is_header(*item) for item in headers.items()):
        raise SinkSpecError(f"the headers of {owner} are none: give names and texts of one line")
    options = _common(texts, timeout, owner)
    options["secret"] = {"url": url, "headers": headers}
    return SinkSpec("webhook", f"{host}#{_mark(url)}", options, f"webhook:{host}")


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a name was probably meant to be."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


# -- pieces ----------------------------------------------------------------------------------------


def _rest(text: str, missing: str) -> str:
    rest = text.partition(":")[2]
    if not rest.strip():
        raise SinkSpecError(missing)
    return rest


def _address_or_settings(
    rest: str, what: str, known: tuple[str, ...], whose: str
) -> dict[str, Any]:
    """Return the settings that an address is, or that a file holds; the first known is the address."""
    address = known[0]
    settings = {address: rest} if "://" in rest else _settings(rest, what, known)
    if not settings.get(address):
        raise SinkSpecError(f"{rest} has no entry {address!r}, the address {whose}")
    return settings


def _settings(path: str, what: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings in a file, of which each is known."""
    import json

    from sacred.journal.regular_file import read_regular

    name = os.path.abspath(os.path.expanduser(path))
    try:
        content = read_regular(name, _MOST)
    except OSError as error:
        raise SinkSpecError(
            f"the settings of the {what} view can not be read from {name}: "
            f"{error.strerror or error}"
        ) from None
    try:
        found = _read_yaml(content) if name.endswith((".yaml", ".yml")) else json.loads(content)
    except ImportError:
        raise SinkSpecError(f"{name} needs PyYAML to be read: pip install PyYAML") from None
    except Exception as error:  # a parser's own; its text may show what stands there
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise SinkSpecError(f"{name} is not written as its name says{where}") from None
    if not isinstance(found, dict):
        raise SinkSpecError(f"{name} has to hold a dictionary of settings")
    for setting in found:
        if setting not in known:
            near = misspelt(str(setting), known)
            hint = f"Did you mean {near!r}?" if near else "There are " + ", ".join(known)
            raise SinkSpecError(
                f"{name}: there is no setting {str(setting)[:80]!r} of a {what} view. {hint}"
            )
    return found


def _read_yaml(content: bytes) -> Any:
    import yaml

    return yaml.safe_load(content)


def _checked_url(url: Any, what: str) -> str:
    """Return the host and port of an address; it is shown nowhere, because it is a secret."""
    from urllib.parse import urlsplit

    example = "give an address, https://host/path"
    if not isinstance(url, str) or not url.isascii() or re.search(r"[\s\x00-\x20]", url):
        raise SinkSpecError(f"{what} is none: {example}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SinkSpecError(f"{what} is none: {example}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SinkSpecError(f"{what} is none: {example}")
    if parts.username is not None:
        raise SinkSpecError(f"{what} has a user in it: no message can be sent so")
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


def _proxy(url: Any, username: Any, password: Any, owner: str) -> str | None:
    from urllib.parse import quote, urlsplit

    if url is None:
        return None
    where = f"the proxy_url of {owner}"
    form = "write http://host:port/ or socks5://host:port/"
    try:
        parts = urlsplit(str(url))
        port = parts.port
    except ValueError:
        raise SinkSpecError(f"{where} is none: {form}") from None
    if parts.scheme not in {"http", "https", "socks5", "socks5h", "socks4"} or not parts.hostname:
        raise SinkSpecError(f"{where} is none: {form}")
    place = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = place if port is None else f"{place}:{port}"
    if username is None:
        login = parts.netloc.rpartition("@")[0]
    else:
        login = quote(str(username), safe="")
        if password is not None:
            login += ":" + quote(str(password), safe="")
    return f"{parts.scheme}://{login}{'@' if login else ''}{place}"


def _common(texts: Mapping[str, Any], timeout: Any, owner: str) -> dict[str, Any]:
    """Return the options that all have: the texts by rule, the time-out."""
    found: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in _TEXTS:
            near = misspelt(name, _TEXTS)
            hint = f"Did you mean {near!r}?" if near else "There are " + ", ".join(_TEXTS)
            raise SinkSpecError(f"there is no setting {name!r} of {owner}. {hint}")
        rule = name.removesuffix("_text")
        if text is not None:
            check_text(text, rule, owner)
        found[rule] = text or None
    options: dict[str, Any] = {"texts": found}
    if timeout is not None:
        is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
        if not is_number or not 0 < timeout <= MOST_TIMEOUT:
            raise SinkSpecError(
                f"the timeout of {owner} is {timeout!r}: give seconds, up to {MOST_TIMEOUT}"
            )
        options["timeout"] = timeout
    return options


def _is_header(name: Any, value: Any) -> bool:
    is_name = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9-]{1,100}", name)
    return bool(is_name and isinstance(value, str) and re.fullmatch(r"[\x20-\x7e]*", value))


def _mark(secret: str) -> str:
    """Return what tells an address from others, and from which it can not be told."""
    import hashlib

    return hashlib.sha256(secret.encode()).hexdigest()[:12]
