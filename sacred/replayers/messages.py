"""Messages: what a chat is told of a run, from templates that people write.

A template is a text for ``str.format``. It may name what Sacred's notifiers know of a run; which
that is, is checked before a run begins, because a message that can not be written is found out
about when nobody looks any more.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.replayers.durations import td_format
from sacred.replayers.errors import SinkSpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "ENDS",
    "RULES",
    "SLACK_TEXTS",
    "TELEGRAM_TEXTS",
    "WEBHOOK_TEXTS",
    "Occasion",
    "check_text",
    "fields_for",
    "occasions",
    "run_facts",
    "shortened",
    "text_name",
    "write_text",
]

#: What a message can be about, in the order in which a run comes by it.
RULES = ("started", "completed", "interrupted", "failed")
#: The rules that end a run.
ENDS = RULES[1:]

SLACK_TEXTS: Mapping[str, str] = {
    "completed": ":white_check_mark: *{experiment[name]}* completed after _{elapsed_time}_ "
    "with result=`{result}`",
    "interrupted": ":warning: *{experiment[name]}* interrupted after _{elapsed_time}_",
    "failed": ":x: *{experiment[name]}* failed after _{elapsed_time}_ with `{error}`",
}
TELEGRAM_TEXTS: Mapping[str, str] = {
    "started": "\u267b *{experiment[name]}* started at _{start_time}_ on host `{host_info[hostname]}`",
    "completed": "\u2705 *{experiment[name]}* completed after _{elapsed_time}_ with result=`{result}`",
    "interrupted": "\u26a0 *{experiment[name]}* interrupted after _{elapsed_time}_",
    "failed": "\u274c *{experiment[name]}* failed after _{elapsed_time}_ with `{error}`\n\n"
    "Backtrace:\n```{backtrace}```",
}
WEBHOOK_TEXTS: Mapping[str, str] = {
    "started": "{experiment[name]} started at {start_time} on host {host_info[hostname]}",
    "completed": "{experiment[name]} completed after {elapsed_time} with result={result}",
    "interrupted": "{experiment[name]} interrupted after {elapsed_time} ({status})",
    "failed": "{experiment[name]} failed after {elapsed_time} with {error}",
}

_ALWAYS = ("_id", "config", "start_time", "experiment", "ex_info", "command", "host_info")
_NAMES = {
    "started": _ALWAYS,
    "completed": (*_ALWAYS, "result", "stop_time", "elapsed_time"),
    "interrupted": (*_ALWAYS, "status", "interrupt_time", "elapsed_time"),
    "failed": (*_ALWAYS, "error", "fail_trace", "backtrace", "fail_time", "elapsed_time"),
}
#: The fields of a run's document that a name of a template is made of, where it is not its own.
_FIELDS = {
    "_id": (),
    "ex_info": ("experiment",),
    "host_info": ("host",),
    "interrupt_time": ("stop_time",),
    "fail_time": ("stop_time",),
    "elapsed_time": ("start_time", "stop_time"),
    "error": ("fail_trace",),
    "backtrace": ("fail_trace",),
}
_HOW = {"RUNNING": None, "COMPLETED": "completed", "FAILED": "failed"}
_UNKNOWN = "an unknown time"


class Occasion(NamedTuple):
    """Something that a message may be about.

    Attributes
    ----------
    rule
        One of ``RULES``.
    event
        What tells it from others of its rule: the time at which it happened. A run that goes on
        after it failed may fail again.
    """

    rule: str
    event: str


def text_name(rule: str) -> str:
    """Return what the template of a rule is called, as an argument and in a file of settings."""
    return f"{rule}_text"


def check_text(text: Any, rule: str, owner: str) -> None:
    """See that a template can be filled in.

    Parameters
    ----------
    text
        The template.
    rule
        What it is about.
    owner
        Whose it is, for the sentence.

    Raises
    ------
    SinkSpecError
        It is no text, has a brace too much or too few, or names what a message of this rule has not.
    """
    where = f"the {text_name(rule)} of {owner}"
    if not isinstance(text, str):
        raise SinkSpecError(f"{where} is {text!r}: give a text, or null to send none")
    try:
        names = list(_names_in(text))
    except (ValueError, RecursionError) as error:
        raise SinkSpecError(
            f"{where} can not be filled in: {_said(error)}. A name stands between braces, as in "
            "{experiment[name]}; write a brace itself twice"
        ) from None
    known = _NAMES[rule]
    for name in names:
        if name not in known:
            raise SinkSpecError(f"{where} names {{{name}}}. {_nearest(name, known)}")


def fields_for(texts: Mapping[str, str]) -> frozenset[str]:
    """Return the fields of a run's document that some templates, and their occasions, need."""
    needed = {"status", "start_time", "stop_time"}
    for text in texts.values():
        for name in _names_in(text):
            needed.update(_FIELDS.get(name, (name,)))
    return frozenset(needed)


def occasions(fields: Mapping[str, Any]) -> Iterator[Occasion]:
    """Yield what happened to a run so far, as far as its document shows it.

    A run that was queued and has not begun is no occasion.
    """
    status = fields.get("status")
    if status is None or status == "QUEUED":
        return
    yield Occasion("started", _moment(fields.get("start_time")))
    rule = _HOW.get(status, "interrupted")
    if rule is not None:
        yield Occasion(rule, _moment(fields.get("stop_time")))


def run_facts(rule: str, run_id: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template of a rule may name, from a run's document."""
    experiment = fields.get("experiment") or {}
    facts: dict[str, Any] = {
        "_id": run_id,
        "config": fields.get("config") or {},
        "start_time": fields.get("start_time"),
        "experiment": experiment,
        "ex_info": experiment,
        "command": fields.get("command"),
        "host_info": fields.get("host") or {},
    }
    if rule == "started":
        return facts
    begin, end = fields.get("start_time"), fields.get("stop_time")
    facts["elapsed_time"] = _UNKNOWN
    if isinstance(begin, dt.datetime) and isinstance(end, dt.datetime):
        facts["elapsed_time"] = td_format(end - begin)
    if rule == "completed":
        return {**facts, "result": fields.get("result"), "stop_time": end}
    if rule == "interrupted":
        return {**facts, "status": fields.get("status"), "interrupt_time": end}
    trace = [str(line) for line in fields.get("fail_trace") or ()]
    return {
        **facts,
        "fail_trace": trace,
        "error": trace[-1].strip() if trace else "an unknown error",
        "backtrace": "".join(trace),
        "fail_time": end,
    }


def write_text(text: str, facts: Mapping[str, Any], default: str) -> str:
    """Return a template filled in.

    Parameters
    ----------
    text
        The template.
    facts
        What ``run_facts`` gave.
    default
        The template to use where this run lacks what the other one names (``{config[lr]}``): the
        message then says so.
    """
    try:
        return text.format(**facts)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        try:
            said = default.format(**facts)
        except (LookupError, ValueError, TypeError, AttributeError):
            name = facts["experiment"].get("name")
            said = f"{name}: {facts.get('status') or facts.get('error') or facts.get('result')}"
        return f"{said}\n(the template could not be filled in: {_said(error)})"


def shortened(text: str, most: int) -> str:
    """Return a text with its middle left out where it has more characters than a chat takes.

    Both ends stay: a message begins with what happened, and a stack trace ends with it.
    """
    if len(text) <= most:
        return text
    left_out = "\n[...]\n"
    head = most // 4
    return text[:head] + left_out + text[len(text) - (most - head - len(left_out)) :]


def _names_in(text: str, depth: int = 0) -> Iterator[str]:
    """Yield the names that a template uses; ValueError if it is none."""
    import string

    if depth > 2:
        raise ValueError("a format has a format that has a format")
    for _, field, form, conversion in string.Formatter().parse(text):
        if field is None:
            continue
        if conversion not in (None, "", "r", "s", "a"):
            raise ValueError(f"!{conversion} is no conversion")
        name = re.split(r"[.\[]", field, maxsplit=1)[0]
        if not name or name.isdecimal():
            raise ValueError(f"{{{field}}} has no name")
        yield name
        yield from _names_in(form or "", depth + 1)


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"Did you mean {{{near[0]}}}?"
    return "It may name " + ", ".join(known)


def _said(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r}"
    return " ".join(str(error).split())[:200].rstrip(".")


def _moment(when: Any) -> str:
    return when.isoformat() if isinstance(when, dt.datetime) else "unknown"
