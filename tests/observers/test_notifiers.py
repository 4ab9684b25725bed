"""SlackObserver and TelegramObserver: what they declare, and what they do when they are called."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from observers.calls import NOW, beat, experiment, points, start
from servers.web import HttpServer, Reply

from sacred import Experiment
from sacred.core.arguments import InvalidArgumentError
from sacred.journal.finding import start_fields
from sacred.journal.root import JournalRoot
from sacred.observers import QueueObserver, RunObserver, SlackObserver, TelegramObserver
from sacred.replayers.errors import TerminalSinkError

TELEGRAM_OK = Reply(200, '{"ok": true, "result": {}}')
LATER = NOW + dt.timedelta(hours=1, minutes=2, seconds=3, microseconds=5)
TRACE = ["Traceback\n", '  File "x"\n', "ValueError: bad\n"]


@pytest.fixture(autouse=True)
def _no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may sit behind one."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with HttpServer() as server:
        yield server


class MySlack(SlackObserver):
    """Is called event by event, as every subclass."""


class Bot:
    """Somebody's own bot."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send_message(self, **message: Any) -> None:
        self.sent.append(message)


def ends(observer: Any) -> None:
    """Three runs, one of each end."""
    for how in ("completed", "interrupted", "failed"):
        assert start(observer, 7) is None
        beat(observer)
        observer.log_metrics({"m": points(1.0)}, {})
        observer.artifact_event("a", "/a")
        observer.resource_event("/r")
        if how == "completed":
            observer.completed_event(LATER, 42)
        elif how == "interrupted":
            observer.interrupted_event(LATER, "TIMEOUT")
        else:
            observer.failed_event(LATER, TRACE)


# -- Slack -----------------------------------------------------------------------------------------


def test_slack_as_sacred_calls_it(server: HttpServer) -> None:
    """SLK-01, USE-03: a subclass posts in the process, when an event comes, what Sacred posts."""
    observer = MySlack(f"{server.url}/services/T/B/X", "me", ":imp:")
    ends(observer)
    lasted = "1 hour, 2 minutes, 3 seconds"
    assert [
        f":white_check_mark: *iris* completed after _{lasted}_ with result=`42`",
        f":warning: *iris* interrupted after _{lasted}_",
        f":x: *iris* failed after _{lasted}_ with `ValueError: bad`",
    ] == [request.data()["text"] for request in server.requests]
    assert {("me", ":imp:")} == {
        (request.data()["username"], request.data()["icon_emoji"]) for request in server.requests
    }
    assert "/services/T/B/X" == server.requests[0].path
    assert "text/plain" == server.requests[0].headers["accept"]


def test_the_run_that_slack_knows() -> None:
    """SLK-01: what subclasses read in ``run``, name by name."""

    class Quiet(SlackObserver):
        def _notify(self, rule: str, text: str) -> None:
            self.said = text

    observer = Quiet("https://hooks.slack.com/services/T/B/X")
    start(observer, 7)
    assert {
        "_id": 7,
        "config": {"a": 1},
        "start_time": NOW,
        "experiment": experiment(),
        "command": "main",
        "host_info": {"hostname": "here"},
    } == observer.run
    observer.failed_event(LATER, TRACE)
    assert observer.run is not None
    assert {"fail_trace", "error", "fail_time", "elapsed_time"} <= observer.run.keys()
    observer.interrupted_event(LATER, "TIMEOUT")
    assert "TIMEOUT" == observer.run["status"]
    assert LATER == observer.run["interrupt_time"]


def test_slack_with_a_text_of_a_subclass(server: HttpServer) -> None:
    """SLK-01: ``get_completed_text`` can be replaced."""

    class Mine(SlackObserver):
        def get_completed_text(self) -> str:
            return "mine"

    observer = Mine(f"{server.url}/x", failed_text="")
    start(observer)
    observer.completed_event(LATER, 1)
    observer.failed_event(LATER, TRACE)
    assert ["mine"] == [request.data()["text"] for request in server.requests]


def test_slack_that_refuses_when_it_is_called(server: HttpServer) -> None:
    """SLK-01: the status is looked at, and the sentence holds no webhook."""
    server.default = Reply(403, "invalid_token")
    observer = MySlack(f"{server.url}/services/T/B/XSECRET")
    start(observer)
    with pytest.raises(TerminalSinkError, match="refuses the message") as found:
        observer.completed_event(LATER, 1)
    assert "XSECRET" not in str(found.value)


def test_slack_where_a_test_looks_into_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-01: a replaced ``requests.post`` is called in this process, as Sacred calls it."""
    posted = []
    module = types.ModuleType("requests")
    module.post = lambda url, **more: posted.append((url, more))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "requests", module)
    observer = SlackObserver("https://hooks.slack.com/services/T/B/X")
    assert observer.declare_view() is None
    start(observer)
    observer.completed_event(LATER, 42)
    ((url, more),) = posted
    assert "https://hooks.slack.com/services/T/B/X" == url
    assert {"username", "icon_emoji", "text"} == json.loads(more["data"]).keys()
    assert {"Content-type": "application/json", "Accept": "text/plain"} == more["headers"]


def test_slack_from_a_file(tmp_path: Path) -> None:
    """SLK-01: all entries count; null switches a text off, which with Sacred is the default."""
    path = tmp_path / "slack.json"
    path.write_text(
        json.dumps(
            {
                "webhook_url": "https://hooks.slack.com/services/T/B/X",
                "icon": ":imp:",
                "bot_name": "b",
                "completed_text": "YAY! {ex_info[name]} completed with result=`{result}`",
                "interrupted_text": None,
            }
        )
    )
    observer = SlackObserver.from_config(path)
    assert (":imp:", "b", None) == (observer.icon, observer.bot_name, observer.interrupted_text)
    assert observer.failed_text is not None
    view = observer.declare_view()
    assert view is not None
    assert view["options"]["texts"]["interrupted"] is None
    assert 10 == observer.priority


# -- Telegram --------------------------------------------------------------------------------------


def test_telegram_with_a_bot_of_ones_own() -> None:
    """TLG-01, USE-03: an object with ``send_message`` is called in the process, as Sacred calls it."""
    bot = Bot()
    observer = TelegramObserver(bot, 77, silent_completion=True)
    assert observer.declare_view() is None
    ends(observer)
    texts = [message["text"] for message in bot.sent]
    begun = "\u267b *iris* started at _2024-05-04 03:02:01_ on host `here`"
    lasted = "1 hour, 2 minutes, 3 seconds"
    assert [
        begun,
        f"\u2705 *iris* completed after _{lasted}_ with result=`42`",
        begun,
        f"\u26a0 *iris* interrupted after _{lasted}_",
        begun,
        (
            f"\u274c *iris* failed after _{lasted}_ with `ValueError: bad`\n\nBacktrace:\n"
            '```Traceback\n  File "x"\nValueError: bad\n```'
        ),
    ] == texts
    silent = [message["disable_notification"] for message in bot.sent]
    assert [True, True, True, False, True, False] == silent
    assert {(77, "Markdown")} == {(m["chat_id"], m["parse_mode"]) for m in bot.sent}


def test_telegram_with_a_bot_of_today() -> None:
    """TLG-01: a bot whose method is ``async`` sends, too; with Sacred nothing comes of it."""
    sent = []

    class Modern:
        async def __aenter__(self) -> None:
            sent.append("opened")

        async def __aexit__(self, *_: Any) -> None:
            sent.append("closed")

        async def send_message(self, **message: Any) -> None:
            sent.append(message["text"])

    observer = TelegramObserver(Modern(), 77, started_text=None, completed_text="x {result}")
    start(observer)
    observer.completed_event(LATER, 42)
    assert ["opened", "x 42", "closed"] == sent


def test_telegram_that_fails_when_it_is_called(caplog: pytest.LogCaptureFixture) -> None:
    """TLG-01: an error is a warning of "telegram-observer", without the token, and the run goes on."""

    class Broken:
        token = "4711:TOKENSECRET"

        def send_message(self, **_: Any) -> None:
            raise RuntimeError("no way to https://api.telegram.org/bot4711:TOKENSECRET/sendMessage")

    observer = TelegramObserver(Broken(), 77)
    with caplog.at_level(logging.WARNING, "telegram-observer"):
        ends(observer)
    assert 6 == len(caplog.records)
    assert "RuntimeError: no way" in caplog.text
    assert "TOKENSECRET" not in caplog.text


def test_telegram_in_a_subclass(server: HttpServer) -> None:
    """TLG-01, USE-03: with a token it sends itself, and has a bot that can send."""

    class Mine(TelegramObserver):
        def get_started_text(self) -> str:
            return "mine"

    server.default = TELEGRAM_OK
    observer = Mine("1:abc", 77, api_url=server.url)
    start(observer)
    observer.bot.send_message(chat_id=78, text="more")
    assert [(77, "mine"), (78, "more")] == [
        (request.data()["chat_id"], request.data()["text"]) for request in server.requests
    ]
    assert "abc" not in repr(observer.bot) + repr(observer)


def test_telegram_from_a_file(tmp_path: Path) -> None:
    """TLG-01: token and chat, a proxy, texts, of which null is off; what is missing is said."""
    path = tmp_path / "telegram.json"
    settings = {
        "token": "1:abc",
        "chat_id": 5,
        "silent_completion": True,
        "started_text": None,
        "proxy_url": "socks5://proxy:1080/",
        "username": "u",
        "password": "p",
        "comment": "ours",
    }
    path.write_text(json.dumps(settings))
    observer = TelegramObserver.from_config(path)
    assert (True, None, 5) == (
        observer.silent_completion,
        observer.started_text,
        observer.chat_id,
    )
    view = observer.declare_view()
    assert view is not None
    assert "socks5://u:p@proxy:1080" == view["options"]["secret"]["proxy"]
    path.write_text(json.dumps({"token": "1:abc"}))
    with pytest.raises(ValueError, match="must contain entries for 'token' and 'chat_id'"):
        TelegramObserver.from_config(path)


# -- both ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SlackObserver("u"), "The webhook_url of SlackObserver is none"),
        (lambda: SlackObserver("https://h/x", failed_text="{ex_info[name"), "can not be filled in"),
        (lambda: SlackObserver("https://h/x", failed_text="{eror}"), r"Did you mean \{error\}\?$"),
        (lambda: SlackObserver("https://h/x", priority="high"), "The priority of SlackObserver"),
        (lambda: TelegramObserver("token", 5), "The token of TelegramObserver is none"),
        (lambda: TelegramObserver("1:a", "me"), "The chat_id of TelegramObserver"),
        (lambda: TelegramObserver(3, 5), "an object with the method send_message"),
        (lambda: TelegramObserver("1:a", 5, complete_text="x"), "Did you mean 'completed_text'"),
        (lambda: TelegramObserver("1:a", 5, proxy_url="h:1"), "The proxy_url of TelegramObserver"),
        (lambda: TelegramObserver(Bot(), 5, failed_text="{}"), "has no name"),
    ],
)
def test_what_can_not_be_taken(make: Any, said: str) -> None:
    """SLK-01, TLG-01: refused where it is given, in a sentence."""
    with pytest.raises(InvalidArgumentError, match=said):
        make()


def test_no_id_comes_from_a_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OBS-01, OBS-02: 10 is their priority; a chat gives a run no id, the next observer does."""
    monkeypatch.chdir(tmp_path)
    seen = []

    class Own(RunObserver):
        def started_event(self, _id: Any, **_: Any) -> Any:
            seen.append(_id)
            return "own"

    with HttpServer() as server:
        slack = SlackObserver(f"{server.url}/x", priority=99)
        ex = Experiment("iris", save_git_info=False)
        ex.observers += [slack, Own()]
        ex.main(lambda: 3)
        run = ex.run()
        assert "own" == run._id
        assert [None] == seen
        (request,) = server.wait_for(1)
    assert "result=`3`" in request.data()["text"]
    assert 10 == SlackObserver("https://h/x").priority == TelegramObserver("1:a", 5).priority


@pytest.mark.parametrize("queued", [False, True])
def test_a_run_that_only_a_chat_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queued: bool
) -> None:
    """OBS-02: its id is the number of its folder; behind a queue, too."""
    monkeypatch.chdir(tmp_path)
    with HttpServer() as server:
        slack = SlackObserver(f"{server.url}/x", completed_text="{_id}")
        ex = Experiment("iris", save_git_info=False)
        ex.observers.append(QueueObserver(slack) if queued else slack)
        ex.main(lambda: 3)
        assert 1 == ex.run()._id
        (request,) = server.wait_for(1)
    assert "1" == request.data()["text"]


PROGRAM = """
import sys
from sacred import Experiment
from sacred.observers import SlackObserver, TelegramObserver

ex = Experiment("iris", save_git_info=False)
ex.observers.append(SlackObserver.from_config(sys.argv.pop()))
ex.observers.append(TelegramObserver.from_config(sys.argv.pop()))


@ex.automain
def main():
    return 42
"""


def test_no_secret_of_a_run_is_kept(server: HttpServer, tmp_path: Path) -> None:
    """SLK-01, TLG-01, USE-07: neither journal nor log, files or processes hold webhook and token; the
    program prints Sacred's lines and no more.
    """
    seen: list[str] = []

    def look(request: Any) -> Reply:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(path.read_bytes().decode("utf-8", "replace"))
            except OSError:
                pass
        return TELEGRAM_OK

    server.plan = [look] * 3
    (tmp_path / "slack.json").write_text(
        json.dumps({"webhook_url": f"{server.url}/services/T/B/WEBHOOKSECRET"})
    )
    (tmp_path / "telegram.json").write_text(
        json.dumps({"token": "4711:TOKENSECRET", "chat_id": 77, "api_url": server.url})
    )
    (tmp_path / "train.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "train.py", "telegram.json", "slack.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert 0 == done.returncode, done.stderr
    assert 3 == len(server.wait_for(3))
    assert {"/services/T/B/WEBHOOKSECRET", "/bot4711:TOKENSECRET/sendMessage"} == {
        request.path for request in server.requests
    }
    assert [line for line in done.stderr.splitlines() if "INFO" not in line] == []
    folder = JournalRoot(tmp_path / "sacred_runs").run(1)
    fields = start_fields(folder)
    views = {view["name"]: view for view in fields["views"]}
    assert {f"slack:127.0.0.1:{server.port}", "telegram:77"} == views.keys()
    texts = [done.stdout, done.stderr, repr(fields), *seen]
    texts += [
        path.read_bytes().decode("latin-1")
        for path in (tmp_path / "sacred_runs").rglob("*")
        if path.is_file()
    ]
    assert any("sacred.replayers" in text for text in seen)
    for secret in ("WEBHOOKSECRET", "TOKENSECRET"):
        assert not [text for text in texts if secret in text]
