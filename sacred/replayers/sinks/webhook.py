"""A web hook: JSON posted to somebody's own address when a run starts and ends."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, ClassVar

from sacred.replayers.messages import WEBHOOK_TEXTS, Occasion, run_facts, shortened
from sacred.replayers.notifier import NotificationSink
from sacred.replayers.posting import TIMEOUT, Answer, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sacred.replayers.sink import RunKey, SinkSpec

__all__ = ["WebhookSink"]

_MOST = 40_000
_HINT = "check the address of the web hook"


class WebhookSink(NotificationSink):
    """Posts JSON; ``Idempotency-Key`` is the same whenever a message is sent again."""

    defaults: ClassVar[Mapping[str, str]] = WEBHOOK_TEXTS

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec)
        secret = spec.options.get("secret") or {}
        url = str(secret.get("url") or "")
        self._headers = {str(k): str(v) for k, v in (secret.get("headers") or {}).items()}
        path = url.partition("://")[2].partition("/")[2]
        self._place = Place(
            spec.name,
            spec.key,
            url,
            tuple(piece for piece in (url, path, *self._headers.values()) if piece),
            timeout=float(spec.options.get("timeout") or TIMEOUT),
        )

    @property
    def place(self) -> Place:
        """The address."""
        return self._place

    def needs(self) -> frozenset[str]:
        """What the message says beside its text."""
        return frozenset({"experiment", "command", "host", "result", "fail_trace"})

    def compose(
        self, occasion: Occasion, text: str, fields: Mapping[str, Any], run: RunKey
    ) -> dict[str, Any]:
        """Return what happened, as data."""
        facts = run_facts(occasion.rule, run.run_id, fields)
        begins = occasion.rule == "started"
        return {
            "event": occasion.rule,
            "text": shortened(text, _MOST),
            "run": {
                "id": run.run_id,
                "journal_id": run.journal_id,
                "name": facts["experiment"].get("name"),
                "command": facts["command"],
                "host": facts["host_info"].get("hostname"),
                "status": "RUNNING" if begins else fields.get("status"),
                "start_time": _time(fields.get("start_time")),
                "stop_time": None if begins else _time(fields.get("stop_time")),
                "elapsed_time": facts.get("elapsed_time"),
                "result": facts.get("result"),
                "error": facts.get("error"),
            },
        }

    def deliver(self, message: Mapping[str, Any], mark: str) -> Answer:
        """Post it, with its mark."""
        body = json.dumps(_finite(message), default=str).encode()
        own = {"Content-Type": "application/json", "Idempotency-Key": mark}
        return self._place.post(body, {**own, **self._headers})

    def judge(self, answer: Answer) -> None:
        """Raise for every status but those that say that it is there."""
        self._place.check(answer, _HINT)


def _time(when: Any) -> str | None:
    return f"{when.isoformat()}Z" if isinstance(when, dt.datetime) else None


def _finite(value: Any) -> Any:
    """Return a value as every reader of JSON takes it: NaN and the infinities as text."""
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
