"""Passwords in what a run records or prints, and the variables that hold some.

An address may hold a password (``mongodb://me:secret@host``), a token in the place of a user's name
(``https://ghp_...@github.com/me/x``), one among its parameters or behind its ``#``
(``?access_token=...``) or one in its path (a webhook); so may what databases are reached by, a list
of ``name=value;``. Everything else of it stays readable. What
is in files, and what the program prints, is the user's own and is never touched.

A text that *is* an address may have spaces in its password, and may lack the scheme
(``me:secret@host:6379``). In a text that only mentions addresses a secret ends at the first space,
and one without a scheme is not seen: ``at 12:30@room`` and ``image:tag@sha256`` are no passwords,
and what is masked for nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.items import items_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

__all__ = [
    "MASK",
    "is_masked",
    "is_secret_name",
    "mask_assigned",
    "mask_password",
    "masked_key",
    "masked_within",
]

#: What stands in the place of a secret.
MASK = "***"
#: Containers within one another that are looked into; no text lies deeper in what is recorded.
_MAX_DEPTH = 200

_NAMES = (
    r"[\w.-]{0,64}?(?:password|passwd|passphrase|pwd|secret|token|signature|credentials?|"
    r"api[_-]?key|access[_-]?key(?:[_-]?id)?)|sig|key|auth|authMechanismProperties"
)
#: A password that is not quoted as it should be may hold @ and /; what looks like a port is one.
_UNQUOTED = r"(?:(?!\d{1,5}[?#])[^/\s]*|(?!\d{1,5}(?:[,/?#]|$))\S{0,256})"
_WEBHOOKS = (
    ("hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/"),
    ("api.telegram.org/", r"api\.telegram\.org/(?:file/)?bot"),
    ("/api/webhooks/", r"(?:\w+\.)?discord(?:app)?\.com/api/webhooks/"),
)
#: Each with a text that all of its matches have. Most runs record the address of a repository,
#: which has none of them: to compile the patterns for it takes 1.5 ms.
_PATTERNS = (
    # user:password@
    ("@", rf"(://(?!\[)[^/@:\s]*:){_UNQUOTED}(?=@)", rf"\1{MASK}"),
    # token@ and token:x@. A person's name is shorter.
    ("@", r"(https?://)[^/@:\s]{16,}(?=@|:[*]{3}@)", rf"\1{MASK}"),
    ("=", rf"(?i)([?&;#](?:{_NAMES})=)[^&#;\s\"'<>]+", rf"\1{MASK}"),
    *((place, rf"(://{path})[^\s\"'<>]+", rf"\1{MASK}") for place, path in _WEBHOOKS),
)


#: Of a text that is one address. What looks like a port is no password here, either.
_SPACED = (
    (
        "@",
        r"\A(\s*[\w.+-]{1,32}://(?!\[)[^/@:\s]*:)(?!\d{1,5}\b)[^@\n]{0,256}(?=@[^@\s]*\Z)",
        rf"\1{MASK}",
    ),
    ("=", rf"(?i)([?&;#](?:{_NAMES})=)[^&#;\n\"'<>]+", rf"\1{MASK}"),
)
_ADDRESS = r"\s*[\w.+-]{1,32}://[^\n]*"
#: me:secret@host, alone or behind "name="; the host is followed by a port, or plainly is one.
_BARE = (
    r"((?:[\w.-]{1,64}=)?(?!\d+:)[\w.+-]{0,64}:)(?!//)[^@\s]{1,256}"
    r"(@(?:[\w.-]{1,253}:\d{2,5}|localhost|\d{1,3}(?:\.\d{1,3}){3})(?:[/?,][^@\s]*)?)"
)
#: Longer texts are no address.
_MAX_ADDRESS = 2048
#: Server=host;User ID=me;Pwd=secret: what drivers of databases and storages are told.
_PAIRS = r"\s*[\w .-]{1,64}=(?:\{[^}]*\}|[^;]*)(?:;\s*[\w .-]{1,64}=(?:\{[^}]*\}|[^;]*))+;?\s*"
_HIDDEN_OF_PAIRS = (
    r"(?i)((?:^|;)\s*(?:[\w.-]{0,64}?(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key)|"
    r"AccountKey|SharedAccessKey|SharedAccessSignature)\s*=\s*)(?:\{[^}]*\}|[^;]+)"
)
#: What looks like a password among words: -Ddb.password=secret, host=h password='my own'.
_ASSIGNED = (
    r"(?i)(?<![\w.-])([\w.-]{0,64}?(?:password|passwd|passphrase|pwd)\s*=\s*)"
    r"(?:\{[^}]*\}|\"[^\"]*\"|'[^']*'|[^;&\s]+)"
)


def mask_password(text: str) -> str:
    """Return the text with the secrets of every URL in it replaced by ``***``.

    A text without ``://`` is returned as it is, at the price of three searches, unless all of it is
    an address whose scheme was left out, or a list of ``name=value;`` with a password in it.
    """
    if ";" in text and "=" in text and len(text) <= _MAX_ADDRESS:
        text = _without_secret_pairs(text)
    if "://" in text:
        import re

        has_sign = "@" in text or "=" in text
        if has_sign and len(text) <= _MAX_ADDRESS and re.fullmatch(_ADDRESS, text):
            text = _without(text, _SPACED)
        text = _without(text, _PATTERNS)
    elif "@" in text and len(text) <= _MAX_ADDRESS:
        import re

        bare = re.fullmatch(_BARE, text)
        if bare is not None:
            return f"{bare[1]}{MASK}{bare[2]}"
    return text


def _without(text: str, patterns: Iterable[tuple[str, str, str]]) -> str:
    import re

    for sign, pattern, replacement in patterns:
        if sign in text:
            text = re.sub(pattern, replacement, text)
    return text


def _without_secret_pairs(text: str) -> str:
    import re

    return re.sub(_HIDDEN_OF_PAIRS, rf"\1{MASK}", text) if re.fullmatch(_PAIRS, text) else text


def mask_assigned(text: str) -> str:
    """Return the value of a variable with the secrets of URLs in it, and passwords, replaced.

    A password is what stands behind ``pwd=``, ``password=`` and the like, anywhere in it: whoever
    names a variable wants to know how a program was set up, and loses little where it is none.
    """
    text = mask_password(text)
    if "=" not in text:
        return text
    import re

    return re.sub(_ASSIGNED, rf"\1{MASK}", text)


def is_masked(text: str) -> bool:
    """Tell whether a recorded text lacks a secret that it had."""
    return MASK in text and ("://" in text or f":{MASK}@" in text or (";" in text and "=" in text))


def masked_within(value: Any) -> Any:
    """Return a value with :func:`mask_password` applied to every text in it.

    Looks into dicts, their keys too, lists and tuples, and into bytes that are text. Where nothing is to be masked the value itself is returned,
    not a copy. Never raises: what can not be looked into stays as it is.
    """
    return _masked(value, ())


def masked_key(key: Any, taken: Container[Any]) -> Any:
    """Return the key of a dictionary without secrets.

    Parameters
    ----------
    key
        The key.
    taken
        The keys before it. Two that differ in their secrets alone stay two: the later one gets a
        number.
    """
    masked = mask_password(key) if isinstance(key, str) else key
    if masked is key or masked == key:
        return key
    found, number = masked, 1
    while found in taken:
        number += 1
        found = f"{masked} ({number})"
    return found


def _masked_bytes(value: bytes) -> bytes:
    if b"://" not in value and b"@" not in value:
        return value
    try:
        text = value.decode()
    except UnicodeDecodeError:  # data, of which nobody knows what it would be with a part replaced
        return value
    masked = mask_password(text)
    return value if masked == text else masked.encode()


_HARMLESS = frozenset({int, float, bool, type(None)})


def _masked(value: Any, within: tuple[int, ...]) -> Any:
    kind = type(value)
    if kind in _HARMLESS:
        return value
    if isinstance(value, str):
        return mask_password(value)
    if kind is bytes:
        return _masked_bytes(value)
    if id(value) in within or len(within) >= _MAX_DEPTH:
        return value
    inside = (*within, id(value))
    try:
        if isinstance(value, dict):
            return _masked_dict(value, inside)
        if isinstance(value, list) or kind is tuple:
            return _masked_items(value, inside)
    except Exception:  # the methods of a user's class raise what they like
        return value
    return value


def _masked_dict(value: dict[Any, Any], inside: tuple[int, ...]) -> Any:
    items = items_of(value)
    found: dict[Any, Any] = {}
    is_new = False
    for key, item in items:
        name, masked = masked_key(key, found), _masked(item, inside)
        is_new = is_new or name is not key or masked is not item
        found[name] = masked
    return found if is_new else value


def _masked_items(value: Any, inside: tuple[int, ...]) -> Any:
    items = list(value)
    masked = [_masked(item, inside) for item in items]
    if all(new is old for new, old in zip(masked, items, strict=True)):
        return value
    return tuple(masked) if type(value) is tuple else masked


def is_secret_name(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a variable's name matches one of the patterns for secrets.

    Parameters
    ----------
    name
        The name. Upper and lower case are the same.
    patterns
        As for file names: ``*`` stands for any characters.
    """
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name.upper(), pattern.upper()) for pattern in patterns)
