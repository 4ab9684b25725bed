"""Slack, Telegram, web hooks: the contract of messages, on a real HTTP server, and what is theirs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from servers.socks import SocksProxy
from servers.web import (
    CLOSE,
    HALF,
    HANG,
    PAGE,
    TRICKLE,
    TRICKLE_BODY,
    HttpServer,
    Reply,
    make_certificate,
)

from sacred.journal import JournalReader
from sacred.journal.events import EventType
from sacred.replayers import posting
from sacred.replayers.contract import write_run
from sacred.replayers.errors import SinkMissingError, TerminalSinkError, TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.messages import shortened
from sacred.replayers.notification_contract import NotificationContract
from sacred.replayers.notification_specs import slack_spec, telegram_spec, webhook_spec
from sacred.replayers.outbox import Outbox
from sacred.replayers.registry import load_sink, parse_spec
from sacred.replayers.replay import replay

TELEGRAM_OK = Reply(200, '{"ok": true, "result": {"message_id": 1}}')
FAILURES = {"later": Reply(503, "busy"), "never": Reply(404, "no_service"), "silent": CLOSE}


@pytest.fixture(autouse=True)
def _no_proxy_from_outside(monkeypatch):
    """Whoever runs the tests may sit behind one."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class _OnServer(NotificationContract):
    """The part of all three: what the server took is what it did not answer with an error."""

    @pytest.fixture
    def server(self):
        with HttpServer() as server:
            self.http = server
            self.refused = []
            yield server

    def fail_next(self, spec, how):
        def fail(request):
            if how != "silent":
                self.refused.append(request)
            return FAILURES[how]

        self.http.plan.append(fail)

    def taken(self):
        refused = {id(request) for request in self.refused}
        return [request for request in self.http.requests if id(request) not in refused]


class TestSlack(_OnServer):
    """Slack."""

    @pytest.fixture
    def spec(self, server):
        return slack_spec(f"{server.url}/services/T000/B000/XXXSECRET", timeout=5)

    def received(self, spec):
        return [request.data() for request in self.taken()]

    def secrets(self, spec):
        return ["services/T000/B000", "XXXSECRET"]


class TestTelegram(_OnServer):
    """Telegram."""

    rules = ("started", "completed")

    @pytest.fixture
    def spec(self, server):
        server.default = TELEGRAM_OK
        return telegram_spec("4711:TOKENSECRET", 77, api_url=server.url, timeout=5)

    def received(self, spec):
        found = [request.data() for request in self.taken()]
        for message in found:
            message["text"] = message["text"].partition(" at ")[0]
        return found

    def secrets(self, spec):
        return ["TOKENSECRET"]


class TestWebhook(_OnServer):
    """A web hook."""

    rules = ("started", "completed")

    @pytest.fixture
    def spec(self, server):
        server.default = Reply(204, "")
        headers = {"Authorization": "Bearer HEADERSECRET"}
        return webhook_spec(f"{server.url}/hook?key=QUERYSECRET", headers, timeout=5)

    def received(self, spec):
        return [
            (message["event"], message["run"]["name"], message["run"]["result"])
            for message in (request.data() for request in self.taken())
        ]

    def secrets(self, spec):
        return ["HEADERSECRET", "QUERYSECRET"]


# -- what a message says ---------------------------------------------------------------------------


@pytest.fixture
def server():
    with HttpServer() as server:
        yield server
    posting._pauses.clear()


@pytest.fixture
def slack(server):
    return slack_spec(f"{server.url}/services/T/B/XSECRET", timeout=5)


def follow(folder, spec, patience=100.0, sink=None):
    """Bring a run into a view; the status and the error."""
    follower = Follower(folder, sink or load_sink(spec), spec)
    try:
        return follower.run_once(patience=patience), follower.failure
    finally:
        follower.close()


def ended(folder, **end):
    """A run that ends so, half a second after its start, however long that takes."""
    writer = write_run(folder, ends=False, name="my_run")
    start = next(iter(JournalReader(folder.journal).read())).time
    writer.append(EventType.RUN_ENDED, time_ns=start + 5 * 10**8, **end)
    writer.close()


FAILED = {"how": "failed", "status": "FAILED", "fail_trace": ["Traceback\n", "KeyError: 'a_b'\n"]}


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (
            {"how": "completed", "status": "COMPLETED", "result": 0.5},
            ":white_check_mark: *my_run* completed after _less than a second_ with result=`0.5`",
        ),
        (
            {"how": "interrupted", "status": "TIMEOUT"},
            ":warning: *my_run* interrupted after _less than a second_",
        ),
        (FAILED, ":x: *my_run* failed after _less than a second_ with `KeyError: 'a_b'`"),
    ],
    ids=["completed", "interrupted", "failed"],
)
def test_slack_is_told_what_sacred_tells_it(root, server, slack, end, text):
    """SLK-01: who says it, with which picture, and the text, of each end."""
    folder = root.claim()
    ended(folder, **end)
    assert follow(folder, slack)[0].state == "current"
    (request,) = server.requests
    assert request.path == "/services/T/B/XSECRET"
    assert request.headers["content-type"] == "application/json"
    assert request.data() == {"username": "sacred-bot", "icon_emoji": ":angel:", "text": text}


def test_telegram_is_told_what_sacred_tells_it(root, server):
    """TLG-01: a silent start with the host, and a loud failure with the stack trace; Markdown."""
    server.default = TELEGRAM_OK
    spec = telegram_spec("1:abc", -5, api_url=f"{server.url}/", silent_completion=True)
    folder = root.claim()
    ended(folder, **FAILED)
    assert follow(folder, spec)[0].state == "current"
    start, failure = (request.data() for request in server.requests)
    assert [request.path for request in server.requests] == ["/bot1:abc/sendMessage"] * 2
    assert start["text"].startswith("\u267b *my_run* started at _20")
    assert start["text"].endswith("_ on host `host`")
    assert failure["text"] == (
        "\u274c *my_run* failed after _less than a second_ with `KeyError: 'a_b'`\n\n"
        "Backtrace:\n```Traceback\nKeyError: 'a_b'\n```"
    )
    loud = [message["disable_notification"] for message in (start, failure)]
    assert loud == [True, False]
    assert {message["parse_mode"] for message in (start, failure)} == {"Markdown"}
    assert {message["chat_id"] for message in (start, failure)} == {-5}


def test_a_web_hook_is_told_in_data(root, server):
    """What happened, in fields and in a sentence, with a mark that a repeat has too."""
    server.plan = [HANG]
    hasty = webhook_spec(f"{server.url}/hook", {"X-Key": "k"}, timeout=0.2)
    spec = webhook_spec(f"{server.url}/hook", {"X-Key": "k"}, timeout=100)
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=float("nan"))
    assert follow(folder, hasty, patience=0.0)[0].state == "behind"
    server.wait_for(1)
    assert follow(folder, spec)[0].state == "current"
    first, again, end = server.requests
    assert first.body == again.body
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert end.headers["idempotency-key"] != again.headers["idempotency-key"]
    assert end.headers["x-key"] == "k"
    assert end.data()["event"] == "completed"
    assert end.data()["text"] == "my_run completed after less than a second with result=nan"
    run = end.data()["run"]
    assert (run["id"], run["name"], run["status"], run["result"]) == (
        1,
        "my_run",
        "COMPLETED",
        "nan",
    )
    assert run["stop_time"].endswith("Z")


def test_markdown_that_can_not_be_read(root, server):
    """Telegram refuses a lone ``_``: the message is sent without marks, and nothing is lost."""
    refusal = (
        '{"ok": false, "error_code": 400, "description": "Bad Request: can\'t parse entities"}'
    )
    server.default = TELEGRAM_OK
    server.plan = [Reply(400, refusal)]
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=1)
    spec = telegram_spec("1:a", 5, api_url=server.url, started_text=None)
    assert follow(folder, spec)[0].state == "current"
    marked, plain = (request.data() for request in server.requests)
    assert "parse_mode" not in plain
    assert marked["text"] == plain["text"]


def test_a_long_message_keeps_both_ends(root, server):
    """A stack trace of a thousand lines is cut in its middle: Telegram takes 4,096 characters."""
    server.default = TELEGRAM_OK
    folder = root.claim()
    ended(folder, how="failed", status="FAILED", fail_trace=["x" * 99 + "\n"] * 999 + ["Last: 1\n"])
    spec = telegram_spec("1:a", 5, api_url=server.url, started_text=None)
    assert follow(folder, spec)[0].state == "current"
    text = server.requests[0].data()["text"]
    assert len(text) == 4096
    assert "with `Last: 1`" in text
    assert text.endswith("Last: 1\n```")
    assert shortened("short", 5) == "short"


def test_templates_name_what_sacreds_do(root, server):
    """SLK-01: both ``{experiment[name]}`` and ``{ex_info[name]}``, the configuration, the host."""
    text = "{experiment[name]} {ex_info[name]} {config[nested][a]:.2f} {host_info[hostname]} {_id} {command} {result!r}"
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result="x")
    spec = slack_spec(f"{server.url}/x", completed_text=text)
    assert follow(folder, spec)[0].state == "current"
    assert server.requests[0].data()["text"] == "my_run my_run 0.50 host 1 main 'x'"


def test_a_template_that_does_not_fit_a_run(root, server):
    """An entry that this run's configuration has not: the default text is sent, and says why."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    spec = slack_spec(f"{server.url}/x", completed_text="{config[lr]} is good")
    assert follow(folder, spec)[0].state == "current"
    text = server.requests[0].data()["text"]
    assert "*my_run* completed" in text
    assert "with result=`3`" in text  # which the template did not name
    assert "there is no 'lr'" in text


def test_of_a_failure_too_the_default_text_knows_all(root, server):
    """A template that does not fit names no error; the text that is sent in its place has it."""
    folder = root.claim()
    ended(folder, **FAILED)
    spec = slack_spec(f"{server.url}/x", failed_text="{config[lr]} is bad")
    assert follow(folder, spec)[0].state == "current"
    assert "failed" in server.requests[0].data()["text"]
    assert "`KeyError: 'a_b'`" in server.requests[0].data()["text"]


def test_a_text_that_is_switched_off(root, server):
    """SLK-01, TLG-01: None sends nothing, and the run is up to date."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    off = slack_spec(f"{server.url}/x", completed_text=None)
    assert follow(folder, off)[0].state == "current"
    assert server.requests == []


def test_a_template_that_needs_what_was_not_kept(root, server):
    """Where templates change between two batches the run is read from its beginning again."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    url = f"{server.url}/x"
    assert follow(folder, slack_spec(url))[0].state == "current"
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=3)
    writer.close()
    spec = slack_spec(url, completed_text="seed {config[seed]}")
    assert follow(folder, spec)[0].state == "current"
    assert [request.data()["text"] for request in server.requests] == ["seed 1"]


def test_a_run_that_died_says_nothing(root, server, slack):
    """A run without an end has none that could be told."""
    folder = root.claim()
    write_run(folder, ends=False)
    assert follow(folder, slack)[0].state == "current"
    assert server.requests == []


# -- what goes wrong -------------------------------------------------------------------------------


def test_the_states_of_a_message(root, server, slack):
    """It is "sending" before a byte leaves, "pending" after a refusal, "sent" after a yes."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    path = Outbox(slack.key, folder.views).path
    seen = []

    def states(answer):
        def look(_request):
            seen.extend(entry[2] for entry in json.loads(path.read_text())["entries"])
            return answer

        return look

    server.plan = [states(Reply(503, "")), states(CLOSE), states(Reply(200, "ok"))]
    for _ in range(3):
        follow(folder, slack, patience=0.0)
        seen.extend(entry[2] for entry in json.loads(path.read_text())["entries"])
    assert seen == ["sending", "pending", "sending", "sending", "sending", "sent"]


@pytest.mark.parametrize("how", [CLOSE, HALF, HANG, Reply(500, "no"), Reply(502, PAGE)])
def test_what_passes(root, server, how):
    """A closed connection, half an answer, silence, an error of the server: tried again."""
    hasty = slack_spec(f"{server.url}/services/T/B/XSECRET", timeout=0.3)
    spec = slack_spec(f"{server.url}/services/T/B/XSECRET", timeout=100)
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    server.plan = [how]
    status, failure = follow(folder, hasty if how == HANG else spec, patience=0.0)
    assert status.state == "behind"
    assert isinstance(failure, TransientSinkError)
    server.wait_for(1)  # where the server is slow, it comes after who sent it has given up
    assert follow(folder, spec)[0].state == "current"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Reply(404, "no_service"), "refuses the message (404: no_service): check the webhook"),
        (Reply(200, PAGE), "answers with a web page (200)"),
        (Reply(302, "", (("Location", "http://x/SECRET"),)), "sends to another address (302)"),
        (Reply(407, ""), "the proxy refuses"),
        (Reply(400, "the url /services/T/B/XSECRET is bad"), "the url /*** is bad"),
    ],
    ids=["404", "page", "302", "407", "400"],
)
def test_what_does_not_pass(root, server, slack, answer, said):
    """A wrong webhook, a page of a login, an address elsewhere: one sentence without the address."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    server.plan = [answer]
    status, failure = follow(folder, slack)
    assert status.state == "failed"
    assert type(failure) is TerminalSinkError
    assert said in status.error
    assert "SECRET" not in status.error
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "description", "said"),
    [
        (400, "Bad Request: chat not found", "chat not found): check the chat_id"),
        (401, "Unauthorized", "no bot has this token"),
        (403, "Forbidden: bot was blocked by the user", "the bot may not write there"),
    ],
)
def test_what_telegram_refuses(root, server, status, description, said):
    """A chat that does not exist, a token of nobody: the sentence says what to do."""
    server.default = Reply(status, json.dumps({"ok": False, "description": description}))
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    spec = telegram_spec("1:TOKENSECRET", 5, api_url=server.url)
    found, failure = follow(folder, spec)
    assert type(failure) is TerminalSinkError
    assert said in found.error
    assert "SECRET" not in found.error


def test_something_else_than_telegram(root, server):
    """A server that says yes in another language is not taken for Telegram."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    found, failure = follow(folder, telegram_spec("1:a", 5, api_url=server.url))
    assert type(failure) is TerminalSinkError
    assert "answers as Telegram does not" in found.error


@pytest.mark.parametrize("kind", ["slack", "telegram"])
def test_a_place_that_asks_for_patience(root, server, kind):
    """429: until its time is over nobody of this process asks again; then the message is sent."""
    if kind == "slack":
        spec = slack_spec(f"{server.url}/x")
        server.plan = [Reply(429, "slow down", (("Retry-After", "3000"),))]
    else:
        server.default = TELEGRAM_OK
        spec = telegram_spec("1:a", 5, api_url=server.url, started_text=None)
        body = {"ok": False, "description": "Too Many", "parameters": {"retry_after": 3000}}
        server.plan = [Reply(429, json.dumps(body))]
    one, other = root.claim(), root.claim()
    for folder in (one, other):
        ended(folder, how="completed", status="COMPLETED", result=3)
    status, failure = follow(one, spec, patience=0.0)
    assert isinstance(failure, TransientSinkError)
    assert "(429) and asks for 3000 s of patience" in status.error
    status, _ = follow(other, spec, patience=0.0)
    assert (status.state, "has asked for patience" in status.error) == ("behind", True)
    assert len(server.requests) == 1
    (place,) = posting._pauses
    posting._pauses.clear()  # a process that is started anew knows it, too, of all runs
    for folder in (one, other):
        status, _ = follow(folder, spec, patience=0.0)
        assert (status.state, "has asked for patience" in status.error) == ("behind", True)
    assert len(server.requests) == 1
    for kept in (root.path / ".cache" / "replayers").glob("*.patience"):
        kept.write_text("no time\n")  # damaged: as if there were none
    assert posting._pauses[place] > time.monotonic() + 2000
    until = posting._pauses[place] = time.monotonic() + 1.0
    for folder in (one, other):
        assert follow(folder, spec)[0].state == "current"
    assert time.monotonic() >= until  # not a measurement: what the server asked for
    assert len(server.requests) == 3


def test_what_comes_while_a_place_wants_patience(root, server, slack):
    """A run that fails and goes on during the pause of another one is told of at both ends."""
    folder = root.claim()
    writer = write_run(folder, ends=False)
    follower = Follower(folder, load_sink(slack), slack)
    try:
        assert follower.run_once().state == "current"
        writer.append(EventType.RUN_ENDED, **FAILED)
        writer.flush()
        posting._pauses[slack.key] = time.monotonic() + 3600
        assert "asked for patience" in follower.run_once().error
    finally:
        follower.close()
    writer.append(EventType.RUN_RESUMED)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    assert server.requests == []
    posting._pauses.clear()
    assert follow(folder, slack)[0].state == "current"
    assert [":x:", ":white_check_mark:"] == [
        request.data()["text"].split()[0] for request in server.requests
    ]


def test_an_outbox_that_is_gone(root, server, slack):
    """Without it nobody knows what was sent: nothing is, until ``--rebuild`` asks for all of it."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    assert follow(folder, slack)[0].state == "current"
    Outbox(slack.key, folder.views).path.unlink()
    assert replay(root, None, [slack]).outcomes[0].state == "deleted"
    assert len(server.requests) == 1
    assert replay(root, None, [slack], rebuild=True).outcomes[0].state == "current"
    assert len(server.requests) == 2


def test_what_a_kill_left_half_written(root, server, slack):
    """A file that was never renamed is removed with the next that is."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    folder.views.mkdir(exist_ok=True)
    half = folder.views / f"..{slack.key}.outbox.0123456789ab"
    half.write_text("{")
    assert follow(folder, slack)[0].state == "current"
    assert not half.exists()


def test_nobody_listens(root):
    """A port at which nobody listens: behind, with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    summary = replay(root, None, [slack_spec(f"http://127.0.0.1:{port}/SECRET")])
    assert summary.exit_code == 3
    assert f"slack:127.0.0.1:{port} does not answer" in summary.outcomes[0].error
    assert "SECRET" not in summary.outcomes[0].error


def test_a_server_with_a_certificate(root, tmp_path, monkeypatch):
    """Over https: a certificate that nobody trusts is refused, with what to check; one that is trusted, not."""
    certificate = make_certificate(tmp_path / "certificate.pem")
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    with HttpServer(certificate=certificate) as server:
        spec = slack_spec(f"{server.url}/services/T/B/XSECRET")
        status, failure = follow(folder, spec, patience=0.0)
        assert isinstance(failure, TerminalSinkError)
        assert "was not trusted" in status.error
        assert "check its address and this machine's certificates" in status.error
        assert "SECRET" not in status.error
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        status, _ = follow(folder, spec)
        assert status.state == "current", status.error
        assert server.requests[0].path == "/services/T/B/XSECRET"
        wrong = slack_spec(f"https://localhost:{server.port}/x")  # a name that it does not have
        status, failure = follow(folder, wrong, patience=0.0)
        assert isinstance(failure, TerminalSinkError), status.error


@pytest.mark.parametrize("how", [TRICKLE, TRICKLE_BODY])
@pytest.mark.parametrize("certificate", [False, True])
def test_a_server_that_sends_a_byte_now_and_then(root, tmp_path, monkeypatch, how, certificate):
    """No single wait is long, and all of them together are bounded: the view is behind, and is repeated."""
    monkeypatch.setattr(posting, "_WHOLE", 0.01)
    file = make_certificate(tmp_path / "certificate.pem") if certificate else None
    if file is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    with HttpServer(certificate=file) as server:
        server.default = how
        spec = slack_spec(f"{server.url}/x", timeout=100)
        status, failure = follow(folder, spec, patience=0.0)
        assert isinstance(failure, TransientSinkError)
        assert "not all of it came in 1 s" in status.error
        server.default = Reply(200, "ok")
        monkeypatch.setattr(posting, "_WHOLE", 1)
        assert follow(folder, spec)[0].state == "current"
        assert len(server.requests) >= 1  # in its second, who is slow may not have got to the first


def test_a_proxy_of_the_environment_that_speaks_socks(root, server, monkeypatch):
    """``all_proxy=socks5h://user:password@host``: the message goes through it; without PySocks it is said."""
    monkeypatch.setenv("no_proxy", "")
    folder, other = root.claim(), root.claim()
    for one in (folder, other):
        ended(one, how="completed", status="COMPLETED", result=3)
    spec = slack_spec("http://slack.invalid:81/x")
    with SocksProxy("me", "p:w@SECRET", ("127.0.0.1", server.port)) as proxy:
        monkeypatch.setenv("all_proxy", f"socks5h://me:p%3Aw%40SECRET@127.0.0.1:{proxy.port}")
        assert follow(folder, spec)[0].state == "current"
        assert proxy.targets == [("slack.invalid", 81)]
    monkeypatch.setitem(sys.modules, "socks", None)
    status, failure = follow(other, spec)
    assert isinstance(failure, SinkMissingError)
    assert "pip install 'requests[socks]'" in status.error


def test_one_proxy_for_all(root, server, monkeypatch):
    """``all_proxy=http://...`` counts where no other does."""
    monkeypatch.setenv("all_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    assert follow(folder, slack_spec("http://slack.invalid/x"))[0].state == "current"
    assert server.requests[0].path == "http://slack.invalid/x"


def test_a_proxy_of_the_environment(root, server, monkeypatch):
    """A message to a host that only the proxy knows arrives through it."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    assert follow(folder, slack_spec("http://slack.invalid/x"))[0].state == "current"
    assert server.requests[0].path == "http://slack.invalid/x"


def test_a_proxy_of_the_settings(root, server):
    """TLG-01: ``proxy_url`` with its user and password, which are sent to the proxy alone."""
    import base64

    server.default = TELEGRAM_OK
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    spec = telegram_spec(
        "1:a",
        5,
        api_url="http://telegram.invalid",
        proxy_url=server.url,
        username="me",
        password="p:w@d",
    )
    assert follow(folder, spec)[0].state == "current"
    login = server.requests[0].headers["proxy-authorization"].removeprefix("Basic ")
    assert base64.b64decode(login) == b"me:p:w@d"


def test_a_proxy_that_speaks_socks(root, server):
    """TLG-01: through a SOCKS5 proxy that wants a password; one it does not take is in no sentence."""
    server.default = TELEGRAM_OK
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    with SocksProxy("me", "p:w@SECRET", ("127.0.0.1", server.port)) as proxy:
        about = {"api_url": "http://telegram.invalid:81", "username": "me", "timeout": 5}
        about["proxy_url"] = f"socks5h://127.0.0.1:{proxy.port}/"
        wrong = telegram_spec("1:a", 5, password="SECRETLY", **about)
        status, failure = follow(folder, wrong, patience=0.0)
        assert isinstance(failure, TransientSinkError)
        assert "SECRET" not in status.error
        right = telegram_spec("1:a", 5, password="p:w@SECRET", **about)
        assert follow(folder, right)[0].state == "current"
        assert proxy.logins[0] == ("me", "SECRETLY")
        assert set(proxy.targets) == {("telegram.invalid", 81)}
    assert len(server.requests) == 2


def test_a_proxy_that_speaks_socks_without_its_package(root, monkeypatch):
    """TLG-01: it needs requests[socks]; without it a sentence says so, before anything is sent."""
    monkeypatch.setitem(sys.modules, "socks", None)
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    spec = telegram_spec(
        "1:a", 5, proxy_url="socks5://127.0.0.1:1", username="u", password="PWSECRET"
    )
    status, failure = follow(folder, spec)
    assert isinstance(failure, SinkMissingError)
    assert "pip install 'requests[socks]'" in status.error
    assert "PWSECRET" not in status.error


def test_kill_9_between_sending_and_writing_it_down(root, server, tmp_path):
    """P7: of a message on which a kill fell there is at most one repeat, and the run is current."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    settings = tmp_path / "slack.json"
    settings.write_text(json.dumps({"webhook_url": f"{server.url}/services/T/B/XSECRET"}))
    command = [sys.executable, "-m", "sacred", "replay", "--root", str(root.path)]
    command += ["--to", f"slack:{settings}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for kills in range(1, 4):
        server.plan = [HANG]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            assert len(server.wait_for(kills)) == kills
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "XSECRET" not in done.stdout + done.stderr
    assert len(server.requests) == 4
    assert len({request.body for request in server.requests}) == 1


def test_two_replayers_while_a_message_is_on_its_way(root, server, slack):
    """The second one waits until it is known what became of the message, and sends none."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)

    def slowly(_request):
        second.start()
        server.wait_for(2, timeout=1.0)  # must not come
        return Reply(200, "ok")

    second = threading.Thread(target=follow, args=(folder, slack), daemon=True)
    server.plan = [slowly]
    assert follow(folder, slack)[0].state == "current"
    second.join(60)
    assert len(server.requests) == 1


def test_a_folder_that_can_not_be_written(root, server, slack):
    """What could not be remembered is not sent."""
    folder = root.claim()
    ended(folder, how="completed", status="COMPLETED", result=3)
    folder.views.parent.mkdir(exist_ok=True)
    if folder.views.is_dir():
        folder.views.rmdir()
    folder.views.write_text("a file")
    status, failure = follow(folder, slack)
    assert type(failure) is TerminalSinkError
    assert "nothing is sent, because it could not be remembered" in status.error
    assert server.requests == []


# -- what a person writes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slack", "--to slack:slack.json"),
        ("slack:nothing.json", "can not be read from"),
        ("slack:ftp://h/x", "the webhook_url of the Slack view is none"),
        ("telegram:", "--to telegram:telegram.json"),
        ("telegram:123456:ABCDEFGHIJKL", "telegram:TOKEN@CHAT_ID"),
        ("webhook:https://h:99999/", "the address of the web hook is none"),
        ("webhook:https://me:pw@h/", "has a user in it"),
        ("webhok:https://h/", "Did you mean webhook?"),
        ("slak:x.json", "Did you mean slack?"),
    ],
)
def test_what_is_no_address(text, said, monkeypatch, tmp_path):
    """A sentence says what is wrong with it, and holds no secret; wrong use, exit code 2."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TerminalSinkError) as found:
        parse_spec(text)
    assert said in str(found.value)
    assert "ABCDEFG" not in str(found.value)
    assert found.value.exit_code == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook_url": "https://h/x", "bot_nam": "x"}, "Did you mean 'bot_name'?"),
        ({"bot_name": "x"}, "has no entry 'webhook_url'"),
        ({"webhook_url": 3}, "the webhook_url of the Slack view is none"),
        (
            {"webhook_url": "https://h/x", "completed_text": "{ex_info[name]"},
            "can not be filled in",
        ),
        ({"webhook_url": "https://h/x", "completed_text": "{reslt}"}, "Did you mean {result}?"),
        ({"webhook_url": "https://h/x", "failed_text": 3}, "give a text, or null to send none"),
        ({"webhook_url": "https://h/x", "timeout": -1}, "give seconds"),
        ([], "has to hold a dictionary"),
    ],
)
def test_what_are_no_settings(settings, said, tmp_path):
    """SLK-01: each mistake in a file of settings is a sentence."""
    path = tmp_path / "slack.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(TerminalSinkError, match=r"\S") as found:
        parse_spec(f"slack:{path}")
    assert said in str(found.value)


def test_settings_that_can_not_be_read(tmp_path):
    """A file that is no JSON: the line, and nothing of what stands there."""
    path = tmp_path / "slack.json"
    path.write_text('{"webhook_url":\n "https://h/SECRET" "x"}')
    with pytest.raises(TerminalSinkError) as found:
        parse_spec(f"slack:{path}")
    assert "(line 2)" in str(found.value)
    assert "SECRET" not in str(found.value)


def test_settings_in_files(tmp_path):
    """SLK-01, TLG-01: a file of Sacred's settings is a view, in JSON or YAML."""
    pytest.importorskip("yaml")
    path = tmp_path / "t.yaml"
    path.write_text("token: '1:a'\nchat_id: 5\nstarted_text: null\nsilent_completion: true\n")
    spec = parse_spec(f"telegram:{path}")
    assert (spec.url, spec.name) == ("1/5", "telegram:5")
    assert spec.options["texts"] == {"started": None}
    typed = parse_spec("telegram:1:a@5")
    assert typed.key == spec.key
    assert (
        parse_spec("webhook:https://h/a?room=1").key != parse_spec("webhook:https://h/a?room=2").key
    )
