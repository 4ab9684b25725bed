"""Sinks that are lent to one run after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sacred.journal.root import JournalRoot
from sacred.replayers import sink_pool
from sacred.replayers.contract import write_run
from sacred.replayers.errors import SinkSpecError
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import replay
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sink_pool import SinkPool

if TYPE_CHECKING:
    from pathlib import Path

    from sacred.replayers.sink import Sink


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Sink]:
    """All sinks that a pool makes; each notes in ``ended`` that it was closed."""
    found: list[Sink] = []

    def load(spec: SinkSpec) -> Sink:
        sink = load_sink(spec)
        close = sink.close

        def noted() -> None:
            sink.ended = True  # type: ignore[attr-defined]
            close()

        sink.close = noted  # type: ignore[method-assign]
        found.append(sink)
        return sink

    monkeypatch.setattr(sink_pool, "load_sink", load)
    return found


def ended(sink: Sink) -> bool:
    """Tell whether a sink was closed."""
    return getattr(sink, "ended", False)


def test_a_sink_is_lent_again(tmp_path: Path, made: list[Sink]) -> None:
    """One view, one sink, one borrower at a time; another view or another option is another sink."""
    pool = SinkPool()
    spec = SinkSpec.parse(f"file:{tmp_path}")
    first = pool.borrow(spec)
    second = pool.borrow(spec)
    assert first is not second
    pool.give_back(spec, first, works=True)
    assert pool.borrow(spec._replace(options={"copy": True})) is not first
    assert pool.borrow(spec) is first
    pool.give_back(spec, first, works=True)
    pool.close()
    assert [True, False, False] == [ended(sink) for sink in made]
    pool.give_back(spec, second, works=True)
    assert ended(second)


def test_a_sink_that_failed_is_not_lent_again(tmp_path: Path, made: list[Sink]) -> None:
    """What an error left in it is nobody else's."""
    pool = SinkPool()
    spec = SinkSpec.parse(f"file:{tmp_path}")
    pool.give_back(spec, pool.borrow(spec), works=False)
    assert ended(made[0])
    assert pool.borrow(spec) is not made[0]


def test_a_sink_of_one_run_is_not_lent_again(tmp_path: Path, made: list[Sink]) -> None:
    """One that attends to a run's folder is that run's."""
    settings = tmp_path / "slack.json"
    settings.write_text('{"webhook_url": "http://127.0.0.1:9/x"}')
    pool = SinkPool()
    spec = SinkSpec.parse(f"slack:{settings}")
    pool.give_back(spec, pool.borrow(spec), works=True)
    assert ended(made[0])


def test_what_is_no_view(tmp_path: Path) -> None:
    """A pool refuses what the registry refuses."""
    with pytest.raises(SinkSpecError):
        SinkPool().borrow(SinkSpec("papyrus", "x", {}, "x"))


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_runs_cost_one_connection(tmp_path: Path, made: list[Sink], jobs: int) -> None:
    """A replay opens as many sinks as work at once, closes them all, and each run is in the view."""
    root = JournalRoot(tmp_path / "root")
    root.create()
    for number in range(8):
        write_run(root.claim(None), points=5, name=f"run{number}")
    summary = replay(root, None, [f"file:{tmp_path / 'view'}"], jobs=jobs)
    assert 8 == summary.count("current")
    assert len(made) <= jobs
    assert all(ended(sink) for sink in made)
    for run in root.runs():
        assert f'"run{run.number - 1}"' in (tmp_path / f"view/{run.number}/run.json").read_text()
