"""Talking to the replayer process: ids in time, waits with an end, and a replayer that dies."""

from __future__ import annotations

import json
import os
import queue
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sacred.core import launch, replayer_process
from sacred.core.launch import ClaimAnswer, ReplayerLink
from sacred.core.replayer_process import ProcessChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MONGO = {"kind": "mongo", "url": "mongodb://h", "name": "mongo:s@h", "options": {}}
_HELLO = {"do": "hello", "protocol": 1}
_LONG = 100.0  # seconds that no test reaches


class _Channel:
    """A replayer that answers as a function says."""

    def __init__(self, answer: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
        self._answer = answer
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self.commands: list[dict[str, Any]] = []
        self.open = True

    def send(self, line: bytes) -> None:
        if not self.open:
            raise BrokenPipeError("gone")
        command = json.loads(line)
        self.commands.append(command)
        for answer in self._answer(command):
            self.say(answer)

    def say(self, answer: dict[str, Any]) -> None:
        self._lines.put(json.dumps(answer).encode())

    def receive(self) -> Iterator[bytes]:
        while (line := self._lines.get()) is not None:
            yield line

    def alive(self) -> bool:
        return self.open

    def close(self) -> None:
        self.open = False
        self._lines.put(None)

    def leave(self) -> None:
        self.close()

    def done(self) -> list[str]:
        return [command["do"] for command in self.commands]


def _link(
    answer: Callable[[dict[str, Any]], list[dict[str, Any]]],
) -> tuple[ReplayerLink, list[_Channel]]:
    channels: list[_Channel] = []

    def open_channel() -> _Channel:
        channels.append(_Channel(answer))
        return channels[-1]

    link = ReplayerLink(open_channel)
    assert link.ensure_alive(_HELLO)
    return link, channels


def _silence(command: dict[str, Any]) -> list[dict[str, Any]]:
    return []


def _well(command: dict[str, Any]) -> list[dict[str, Any]]:
    if command["do"] == "claim":
        return [{"ticket": command["ticket"], "id": 42}]
    if command["do"] == "wait":
        return [{"ticket": command["ticket"], "view": "mongo:s@h", "state": "current"}]
    return []


def test_an_id_is_given() -> None:
    """R14: a server gives the id."""
    link, channels = _link(_well)
    assert ClaimAnswer(42) == link.claim(_MONGO, "ab", None, {"name": "x"}, _LONG)
    claim = channels[0].commands[1]
    assert ("ab", None, {"name": "x"}, _MONGO) == (
        claim["journal_id"],
        claim["run_id"],
        claim["document"],
        claim["view"],
    )


def test_a_view_that_missed_an_answer_is_not_asked_again() -> None:
    """R16: one wait, not twelve."""
    link, channels = _link(_silence)
    for _ in range(12):
        assert link.claim(_MONGO, "ab", None, {}, 0.01).id is None
    assert 1 == channels[0].done().count("claim")
    assert {"mongo:s@h"} == link.silent


def test_a_view_that_refused_is_not_asked_again() -> None:
    """R16: a refusal is a missed answer, and its reason is told."""

    def refuse(command: dict[str, Any]) -> list[dict[str, Any]]:
        ticket = command.get("ticket")
        return [{"ticket": ticket, "error": "refused", "transient": True}] if ticket else []

    link, channels = _link(refuse)
    assert ClaimAnswer(None, "refused") == link.claim(_MONGO, "ab", None, {}, _LONG)
    assert ClaimAnswer(None) == link.claim(_MONGO, "cd", None, {}, _LONG)
    assert 1 == channels[0].done().count("claim")


def test_a_view_that_wrote_is_waited_for_again() -> None:
    """R16: until it has written once."""
    link, channels = _link(_silence)
    link.claim(_MONGO, "ab", None, {}, 0.01)
    link._take({"view": "mongo:s@h", "folder": "/r/1", "state": "current"})
    link.claim(_MONGO, "cd", None, {}, 0.01)
    assert 2 == channels[0].done().count("claim")


@pytest.mark.parametrize("mended", [{"url": "mongodb://u:right@h"}, {"options": {"tls": True}}])
def test_a_view_that_was_mended_is_asked_again(mended: dict[str, Any]) -> None:
    """A password or an option that was mended, in a notebook: the old refusal is not told of it."""

    def answer(command: dict[str, Any]) -> list[dict[str, Any]]:
        if command["do"] == "claim" and command["view"] == _MONGO:
            return [{"ticket": command["ticket"], "error": "refused"}]
        return _well(command)

    link, _ = _link(answer)
    assert ClaimAnswer(None, "refused") == link.claim(_MONGO, "ab", None, {}, _LONG)
    link.follow("/r/1", "ab", None, [_MONGO])
    assert "mongo:s@h" in link.silent
    link.follow("/r/2", "cd", None, [{**_MONGO, **mended}])
    assert "it has not answered yet" == link._reason("mongo:s@h")
    assert ClaimAnswer(42) == link.claim({**_MONGO, **mended}, "ef", None, {}, _LONG)


def test_a_late_answer_is_given_back() -> None:
    """R15: the claim is released when its answer comes after the wait."""
    link, channels = _link(_silence)
    link.claim(_MONGO, "ab", None, {}, 0.01)
    link._take({"ticket": channels[0].commands[1]["ticket"], "id": 7})
    assert {"do": "release", "journal_id": "ab", "view": _MONGO} == channels[0].commands[-1]


def test_the_end_returns_when_the_views_are_current() -> None:
    """The bounded wait ends as soon as all is written."""
    link, _ = _link(_well)
    link.follow("/r/1", "ab", 1, [_MONGO])
    states = link.wait("/r/1", [[0, 1, 5, "00", 0]], _LONG)
    assert {"mongo:s@h": "current"} == {name: state.state for name, state in states.items()}


def test_a_view_that_nobody_tries_any_more() -> None:
    """It is known while the run goes on, for its run alone; one that comes right is none."""
    said = [
        {"view": "mongo:s@h", "folder": "/r/1", "state": "failed", "error": "refused"},
        {"view": "file:x", "folder": "/r/1", "state": "behind", "error": "full"},
        {"view": "mongo:s@h", "folder": "/r/2", "state": "failed", "error": "foreign"},
    ]
    link, channels = _link(lambda command: said if command["do"] == "run" else _well(command))
    assert {} == link.failures("/r/1")
    link.follow("/r/1", "ab", 1, [_MONGO])
    link.claim(_MONGO, "ab", None, {}, _LONG)  # answered behind what was said before
    assert {"mongo:s@h": "refused"} == link.failures("/r/1")
    assert {"mongo:s@h": "foreign"} == link.failures("/r/2")
    link.wait("/r/1", [], _LONG)
    assert {} == link.failures("/r/1")


def test_a_view_that_is_behind_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the replayer said last is the reason."""

    def behind(command: dict[str, Any]) -> list[dict[str, Any]]:
        if command["do"] != "wait":
            return []
        return [{"ticket": command["ticket"], "view": "mongo:s@h", "state": "behind", "error": "e"}]

    link, channels = _link(behind)
    link.follow("/r/1", "ab", 1, [_MONGO])
    # The time is over once it has been said, however long that takes.
    monkeypatch.setattr(launch.time, "monotonic", lambda: 3600.0 * len(link._states))
    states = link.wait("/r/1", [], _LONG)
    monkeypatch.undo()
    assert ("behind", "e") == tuple(states["mongo:s@h"])
    link.follow("/r/2", "cd", 2, [_MONGO])
    # Waited for once: this returns at once, although it may take long.
    assert "behind" == link.wait("/r/2", [], _LONG)["mongo:s@h"].state


def test_what_is_waited_for_longer_keeps_no_other_view() -> None:
    """R16: one that must have all (``required``) gets its time; one beside it that is down does not."""
    file = {"kind": "file", "name": "file:x", "url": "x", "options": {}}
    link, _ = _link(_well)  # the file view never answers
    link.follow("/r/1", "ab", 1, [_MONGO, file])
    states = link.wait("/r/1", [], 0.05, {"mongo:s@h": 3600.0})
    assert {"mongo:s@h": "current", "file:x": "behind"} == {
        name: state.state for name, state in states.items()
    }
    assert {"file:x"} == link.silent


def test_a_replayer_that_dies_ends_a_wait_at_once() -> None:
    """R17: its death ends a wait."""

    def die(command: dict[str, Any]) -> list[dict[str, Any]]:
        if command["do"] == "wait":
            channels[-1].close()
        return []

    link, channels = _link(die)
    link.follow("/r/1", "ab", 1, [_MONGO])
    state = link.wait("/r/1", [], _LONG)["mongo:s@h"]
    assert "behind" == state.state
    assert "replayer process ended" in str(state.error)


def test_a_dead_replayer_is_started_again_three_times() -> None:
    """R17: it is told again what it has to do; not for ever."""
    link, channels = _link(_silence)
    link.follow("/r/1", "ab", 1, [_MONGO])
    for _ in range(3):
        channels[-1].open = False
        assert link.ensure_alive()
    channels[-1].open = False
    assert not link.ensure_alive()
    assert 4 == len(channels)
    assert ["hello", "run"] == channels[-1].done()


def test_no_replayer_at_all_never_raises() -> None:
    """A link without a replayer answers: no id, behind."""

    def open_channel() -> _Channel:
        raise OSError("no processes left")

    link = ReplayerLink(open_channel)
    assert not link.ensure_alive(_HELLO)
    assert link.claim(_MONGO, "ab", None, {}, _LONG).id is None
    link.follow("/r/1", "ab", 1, [_MONGO])
    assert "no processes left" in str(link.wait("/r/1", [], _LONG)["mongo:s@h"].error)


@pytest.mark.parametrize("line", [b"", b"not json", b"[]", b"3"])
def test_nonsense_from_the_replayer_is_ignored(line: bytes) -> None:
    """What is no answer changes nothing."""
    link, channels = _link(_well)
    channels[0]._lines.put(line)
    assert 42 == link.claim(_MONGO, "ab", None, {}, _LONG).id


_STUB = """
import json, sys
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "claim":
        print(json.dumps({"ticket": command["ticket"], "id": 5}), flush=True)
    elif command["do"] == "run":
        print(json.dumps({"view": "x", "folder": command["folder"], "state": "behind",
                          "error": "cwd " + __import__("os").getcwd()}), flush=True)
    elif command["do"] == "wait":
        sys.exit(4)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are polled")
def test_a_process_is_talked_to_over_its_pipes(tmp_path: Path) -> None:
    """The seam for real: JSON lines both ways, a session of its own, cwd "/", a log in the root."""
    script = tmp_path / "stub.py"
    script.write_text(_STUB)
    channels: list[ProcessChannel] = []

    def open_channel() -> ProcessChannel:
        channels.append(ProcessChannel(str(tmp_path), (str(script),)))
        return channels[-1]

    link = ReplayerLink(open_channel)
    assert link.ensure_alive(_HELLO)
    try:
        assert 5 == link.claim(_MONGO, "ab", None, {"a": object()}, _LONG).id
        assert os.getsid(channels[0].pid) == channels[0].pid
        view = {**_MONGO, "name": "x"}
        link.follow("/r/1", "ab", 5, [view])
        state = link.wait("/r/1", [], _LONG)["x"]
        assert ("behind", "cwd /") == tuple(state) or "ended" in str(state.error)
    finally:
        link.leave()
        channels[0]._process.kill()
        channels[0]._process.wait(100)
    assert 1 == len(list((tmp_path / ".cache" / "replayers").glob("*.log")))


_READER = """
import sys
size = len(sys.stdin.buffer.readline())
print(size, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are polled")
def test_a_replayer_that_reads_slowly_is_not_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration of 20 MB is one line: two seconds count from the last piece that was read."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(replayer_process.time, "monotonic", lambda: float(next(ticks)))
    script = tmp_path / "reader.py"
    script.write_text(_READER)
    channel = ProcessChannel(str(tmp_path), (str(script),))
    try:
        channel.send(b"x" * (20 << 20) + b"\n")
        assert next(channel.receive()) == str((20 << 20) + 1).encode()
    finally:
        channel.close()
        channel._process.wait(100)
