"""Several runs at once in one process: threads, asyncio's tasks, one inside another."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import decimal
import io
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from sacred import Experiment, Ingredient
from sacred.core.async_main import AsyncMainError
from sacred.core.run_scope import scope_of_now
from sacred.core.settings import SETTINGS
from sacred.core.sys_capture import SysCapture, TeeingStream
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.core.run import Run


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


def _experiment(name: str = "one") -> Experiment:
    experiment = Experiment(name, save_git_info=False)
    experiment.add_config(number=0, seed=1)
    return experiment


def _points(run: Run) -> list[tuple[str, Any, Any]]:
    found = []
    for event in JournalReader(str(run.folder)).read():
        if event.type == EventType.METRIC_POINT:
            found.append(tuple(event.fields[name] for name in ("metric", "step", "value")))
        elif event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            names = [table.metrics[at] for at in table.index or [0] * table.rows]
            found += list(zip(names, table.steps, table.values, strict=True))
    return found


def _in_threads(work: Callable[[int], Any], numbers: range) -> list[Any]:
    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(work, numbers, timeout=60))


# -- threads --------------------------------------------------------------------------------------


def test_runs_in_threads_keep_to_themselves() -> None:
    """CAP-05: configuration, seeds, metrics, info and output of runs in threads are their own."""
    ex = _experiment()
    part = Ingredient("part", save_git_info=False)
    part.add_config(size=0)
    ex.ingredients.append(part)
    everybody = threading.Barrier(6, timeout=100)

    @part.capture
    def size_of(size: int) -> int:
        return size

    @ex.capture
    def look(number: int, _run: Run, _config: dict[str, Any], _seed: int) -> tuple[Any, ...]:
        return number, _config["number"], _run.config["number"], size_of(), _seed

    @ex.main
    def main(number: int, _run: Run, _log: Any) -> Any:
        seen = []
        for step in range(5):
            everybody.wait()
            seen.append(look())
            _run.log_scalar("own", number, step)
            ex.log_scalar("by the experiment", number, step)
            ex.info[str(step)] = number
            print(f"run {number} step {step}\n", end="")
        return seen

    def work(number: int) -> Run:
        updates = {"number": number, "seed": 100 + number, "part": {"size": 7 * number}}
        return ex.run(config_updates=updates)

    together = _in_threads(work, range(6))
    everybody.abort()
    everybody = threading.Barrier(1)
    for number, run in enumerate(together):
        alone = work(number)
        assert alone.result == run.result  # the same seeds, too
        expected = (number, number, number, 7 * number)
        assert [expected] * 5 == [seen[:4] for seen in run.result]
        names = ("own", "by the experiment")
        assert {(n, s, number) for n in names for s in range(5)} == set(_points(run))
        assert dict.fromkeys("01234", number) == run.info
        assert [f"run {number} step {step}" for step in range(5)] == run.captured_out.splitlines()


def test_threads_of_a_run_are_in_it() -> None:
    """CAP-05: threads, timers and pools that a run starts see its configuration, not another's."""
    ex = _experiment()
    others = threading.Barrier(2, timeout=100)

    @ex.capture
    def look(number: int) -> int:
        print(f"seen by {number}\n", end="")
        return number

    class Own(threading.Thread):
        def run(self) -> None:
            self.seen = look()

    @ex.main
    def main(number: int) -> list[int]:
        others.wait()  # both runs are built: what was bound last is one's of them
        found: list[int] = []
        timer = threading.Timer(0, lambda: found.append(look()))
        plain = threading.Thread(target=lambda: found.append(look()))
        own = Own()
        for thread in (timer, plain, own):
            thread.start()
            thread.join(100)
        with ThreadPoolExecutor(2) as pool:
            found += pool.map(lambda _: look(), range(4), timeout=100)
        others.wait()
        return [*found, own.seen]

    def work(number: int) -> Run:
        return ex.run(config_updates={"number": number})

    for number, run in enumerate(_in_threads(work, range(2))):
        assert [number] * 7 == run.result
        assert [f"seen by {number}"] * 7 == run.captured_out.splitlines()


def test_a_pool_that_two_runs_share() -> None:
    """CAP-05: a job is in the run that gave it, whoever's thread does it; outside of runs in none."""
    ex = _experiment()
    pool = ThreadPoolExecutor(1)

    @ex.capture
    def look(number: int) -> int:
        return number

    @ex.main
    def main() -> int:
        return pool.submit(look).result(20)

    runs = [ex.run(config_updates={"number": number}) for number in (1, 2)]
    assert [1, 2] == [run.result for run in runs]
    assert pool.submit(scope_of_now).result(20) is None
    pool.shutdown()


def test_other_context_variables_stay_what_they_are_for_a_thread() -> None:
    """What decimals are rounded to in a new thread is what Python says, not what the run's is."""
    ex = _experiment()
    seen = []

    @ex.main
    def main() -> None:
        decimal.getcontext().prec = 3
        thread = threading.Thread(target=lambda: seen.append(decimal.getcontext().prec))
        thread.start()
        thread.join(100)
        assert "run" not in thread.__dict__  # nothing of ours stays in it

    contextvars.copy_context().run(ex.run)
    assert [decimal.DefaultContext.prec] == seen


def test_after_the_run_the_last_configuration_stays() -> None:
    """CAP-05: a captured function called outside of every run has the last one's configuration."""
    ex = _experiment()

    @ex.capture
    def look(number: int) -> int:
        return number

    ex.main(lambda: None)
    ex.run(config_updates={"number": 3})
    assert 3 == look()


# -- one inside another ---------------------------------------------------------------------------


def test_a_run_inside_a_run() -> None:
    """R23: the inner run's metrics, info and prints are its own; then the outer one goes on."""
    outer, inner = _experiment("outer"), _experiment("inner")

    @inner.main
    def inside(number: int) -> int:
        print("inside")
        inner.log_scalar("inner", number)
        outer.log_scalar("told to the outer one", number)
        inner.info["who"] = "inner"
        return number

    @outer.main
    def around(number: int) -> Any:
        print("before")
        found = inner.run(config_updates={"number": 5})
        print("behind")
        outer.log_scalar("outer", number)
        outer.info["who"] = "outer"
        return found

    run = outer.run(config_updates={"number": 2})
    nested = run.result
    assert [("told to the outer one", 0, 5), ("outer", 0, 2)] == _points(run)
    assert [("inner", 0, 5)] == _points(nested)
    assert (["before", "behind"], ["inside"]) == (
        run.captured_out.splitlines(),
        nested.captured_out.splitlines(),
    )
    assert ({"who": "outer"}, {"who": "inner"}) == (run.info, nested.info)


def test_an_experiment_that_runs_itself() -> None:
    """CAP-05: recursion with other values; each level goes on with its own."""
    ex = _experiment()

    @ex.capture
    def look(number: int) -> int:
        return number

    @ex.main
    def main(number: int) -> list[int]:
        below = ex.run(config_updates={"number": number - 1}).result if number else []
        ex.log_scalar("level", look())
        return [*below, look()]

    assert [0, 1, 2, 3] == ex.run(config_updates={"number": 3}).result


def test_an_inner_run_that_is_not_recorded_prints_into_the_outer_one() -> None:
    """R23: an unobserved command (print_config) inside a run: what it prints is the run's."""
    ex = _experiment()

    @ex.main
    def main() -> None:
        ex.run("print_config")

    assert "number = 0" in ex.run().captured_out


# -- output ---------------------------------------------------------------------------------------


def test_runs_that_overlap_for_ever_leave_no_row_of_proxies() -> None:
    """R23: each run ends while the next goes on: sys.stdout is one proxy deep, then itself again."""
    ex = _experiment()
    begun, end = [threading.Event() for _ in range(20)], [threading.Event() for _ in range(20)]
    depths, before = [], sys.stdout

    @ex.main
    def main(number: int) -> None:
        begun[number].set()
        assert end[number].wait(100)
        print(number)

    def depth() -> int:
        stream, found = sys.stdout, 0
        while isinstance(stream, TeeingStream):
            stream, found = stream._sacred_original, found + 1
        return found

    with ThreadPoolExecutor(3) as pool:
        runs = []
        for number in range(20):
            runs.append(pool.submit(ex.run, config_updates={"number": number}))
            assert begun[number].wait(100)
            depths.append(depth())
            if number:
                end[number - 1].set()
                runs[number - 1].result(30)
        end[-1].set()
        assert [f"{number}\n" for number in range(20)] == [
            run.result(30).captured_out for run in runs
        ]
    assert {1} == set(depths)
    assert before is sys.stdout


def test_a_proxy_outlives_the_print_that_writes_to_it() -> None:
    """print holds no reference to its stream: threads print while captures begin and end at once, and nothing crashes."""
    ends = threading.Event()
    taken = io.StringIO()

    def prints() -> None:
        while not ends.is_set():
            print("x" * 100 + "\n", end="")

    with redirect_stdout(taken):
        threads = [threading.Thread(target=prints) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2000):
            with SysCapture(lambda *_: None):
                pass
        ends.set()
        for thread in threads:
            thread.join(100)
    assert {"x" * 100} == set(taken.getvalue().splitlines())


def test_a_stream_of_the_user_on_top_of_a_proxy() -> None:
    """What is printed through a stream that main put over ours is told once."""
    outer, inner = _experiment("outer"), _experiment("inner")
    inner.main(lambda: print("inside"))

    class Shouting(io.TextIOBase):
        def __init__(self, below: Any) -> None:
            self.below = below

        def write(self, text: str) -> int:
            return int(self.below.write(text.upper()))

    @outer.main
    def around() -> None:
        with redirect_stdout(Shouting(sys.stdout)):
            print("around")
            inner.run()

    run = outer.run()
    assert ("AROUND\n", "inside\n") == (
        run.captured_out,
        inner.current_run.captured_out,  # type: ignore[union-attr]
    )


def test_a_stream_in_between_is_left_to_the_user() -> None:
    """What main redirects is redirected, also for the runs in it; their output is theirs."""
    outer, inner = _experiment("outer"), _experiment("inner")
    inner.main(lambda: print("inside"))

    @outer.main
    def around() -> str:
        with redirect_stdout(io.StringIO()) as taken:
            print("redirected")
            inner.run()
        print("shown")
        return taken.getvalue()

    run = outer.run()
    assert ("redirected\ninside\n", "shown\n") == (run.result, run.captured_out)
    assert "inside\n" == inner.current_run.captured_out  # type: ignore[union-attr]


def test_prints_of_a_thread_of_nobody_go_to_the_oldest() -> None:
    """A thread that was there before all runs: its prints are the oldest run's, once."""
    ex = _experiment()
    ask, done = threading.Event(), threading.Event()

    def stranger() -> None:
        ask.wait(100)
        print("from nowhere")
        done.set()

    thread = threading.Thread(target=stranger)
    thread.start()
    inner = _experiment("inner")

    @inner.main
    def inside() -> None:
        ask.set()
        assert done.wait(100)

    ex.main(lambda: inner.run())
    run = ex.run()
    thread.join(100)
    assert ("from nowhere\n", "") == (run.captured_out, run.result.captured_out)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fd mode")
def test_prints_of_a_second_run_pass_the_first_ones_pipes(tmp_path: Path) -> None:
    """R23: the first run has fd mode, a second sys mode with one warning; both are shown, none mixed."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, threading
            from sacred import Experiment

            ex = Experiment("two", save_git_info=False)
            ex.add_config(number=0, seed=1)
            both = threading.Barrier(2, timeout=100)

            @ex.main
            def main(number, _run):
                print(f"mode {_run.capture_mode}\\n", end="", flush=True)
                both.wait()
                for step in range(3):
                    print(f"run {number} {step}\\n", end="", flush=True)
                    print(f"error {number} {step}\\n", end="", file=sys.stderr, flush=True)
                    sys.stdout.buffer.write(b"bytes %d\\n" % number)
                    sys.stdout.flush()
                both.wait()

            def work(number):
                runs[number] = ex.run(
                    config_updates={"number": number}, options={"--capture": "fd"}
                )

            if __name__ == "__main__":
                runs = {}
                threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                with open("seen", "w") as file:
                    for number in (1, 2):
                        kept = [line for line in runs[number].captured_out.splitlines()
                                if " - " not in line]
                        print(number, sorted(kept), file=file)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    lines = {
        number: sorted(
            [f"{what} {number} {step}" for step in range(3) for what in ("run", "error")]
            + [f"bytes {number}"] * 3
        )
        for number in (1, 2)
    }
    seen = (tmp_path / "seen").read_text().splitlines()
    modes = {seen[at].count("'mode fd'") for at in (0, 1)}
    assert {0, 1} == modes
    for number, line in zip((1, 2), seen, strict=True):
        kept = [entry for entry in ast.literal_eval(line[2:]) if not entry.startswith("mode")]
        # The warning, and the line of the program that it names, are what the second printed.
        warned = [entry for entry in kept if "RuntimeWarning" in entry or entry.startswith(" ")]
        assert ("'mode sys'" in line) == ("Output is captured in `sys` mode" in "".join(warned))
        assert lines[number] == [entry for entry in kept if entry not in warned]
    shown = done.stdout.splitlines()
    assert 6 == sum(line.startswith("bytes ") for line in shown)
    assert 6 == sum(line.startswith("run ") for line in shown)
    assert 1 == done.stderr.count("Output is captured in `sys` mode, because another run")


# -- asyncio --------------------------------------------------------------------------------------


def _turns(ex: Experiment, count: int) -> None:
    """Give an experiment an async main that takes turns with ``count`` others at each step."""
    there: list[int] = []

    @ex.capture
    def look(number: int) -> int:
        return number

    @ex.main
    async def main(number: int, _run: Run) -> list[int]:
        seen = []
        for step in range(4):
            there.append(number)
            while len(there) < count * (step + 1):  # noqa: ASYNC110 - all of them have the turn
                await asyncio.sleep(0)
            print(f"run {number} step {step}\n", end="")
            _run.log_scalar("number", number)
            ex.log_scalar("by the experiment", number)
            seen.append(look())
            seen.append(await asyncio.to_thread(look))
            loop = asyncio.get_running_loop()
            seen.append(await loop.run_in_executor(None, look))
            seen.append(await asyncio.create_task(_later(look)))
        return seen


async def _later(function: Callable[[], int]) -> int:
    await asyncio.sleep(0)
    return function()


def test_runs_take_turns_in_a_loop() -> None:
    """CAP-05: runs of one loop, turn by turn; in tasks and in jobs of the loop's pool, too."""
    ex = _experiment()
    _turns(ex, 5)

    async def together() -> list[Run]:
        runs = [ex.run_async(config_updates={"number": number}) for number in range(5)]
        return await asyncio.wait_for(asyncio.gather(*runs), 60)

    for number, run in enumerate(asyncio.run(together())):
        assert ([number] * 16, "COMPLETED") == (run.result, run.status)
        assert [f"run {number} step {step}" for step in range(4)] == run.captured_out.splitlines()
        names = ("number", "by the experiment")
        assert [(n, s, number) for s in range(4) for n in names] == _points(run)


def test_an_async_main_runs_in_a_loop_of_its_own() -> None:
    """ex.run() of an async main runs it to its end; hooks may be async, too."""
    ex = _experiment()
    _turns(ex, 1)
    said = []

    @ex.post_run_hook
    async def behind(number: int) -> None:
        await asyncio.sleep(0)
        said.append(number)

    assert [7] * 16 == ex.run(config_updates={"number": 7}).result
    assert [7] == said


def test_a_sync_main_that_makes_a_loop() -> None:
    """asyncio.run inside main: its tasks are in the run."""
    ex = _experiment()

    @ex.capture
    async def look(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @ex.main
    def main() -> list[int]:
        async def both() -> list[int]:
            return list(await asyncio.gather(look(), look()))

        return asyncio.run(both())

    assert [4, 4] == ex.run(config_updates={"number": 4}).result


def test_runs_by_to_thread() -> None:
    """CAP-05: asyncio.to_thread(ex.run) of ordinary mains, at once."""
    ex = _experiment()
    both = threading.Barrier(2, timeout=100)

    @ex.main
    def main(number: int, _run: Run) -> tuple[int, int]:
        both.wait()
        return number, _run.config["number"]

    async def together() -> list[Run]:
        runs = [asyncio.to_thread(ex.run, None, {"number": number}) for number in (1, 2)]
        return list(await asyncio.gather(*runs))

    assert [(1, 1), (2, 2)] == [run.result for run in asyncio.run(together())]


def test_an_async_main_where_a_loop_is_at_work() -> None:
    """ex.run() inside a loop (a notebook) of an async main is a sentence that says what to do."""
    ex = _experiment()
    _turns(ex, 1)

    async def inside() -> None:
        with pytest.raises(AsyncMainError, match=r"main is async.*await ex\.run_async\(\.\.\.\)"):
            ex.run()
        assert "COMPLETED" == (await ex.run_async()).status

    asyncio.run(inside())


@pytest.mark.parametrize("is_async", [True, False])
def test_a_run_that_is_cancelled(is_async: bool) -> None:
    """An awaited run that is cancelled has ended when the await has: INTERRUPTED, if it could be."""
    ex = _experiment()
    begun, may_end = threading.Event(), threading.Event()

    if is_async:

        @ex.main
        async def main() -> None:
            begun.set()
            await asyncio.sleep(60)
    else:

        @ex.main
        def main() -> None:
            begun.set()
            assert may_end.wait(100)

    async def cancel() -> None:
        task = asyncio.create_task(ex.run_async())
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    run = ex.current_run
    assert run is not None
    assert ("INTERRUPTED" if is_async else "COMPLETED") == run.status
    (ended,) = [e for e in JournalReader(str(run.folder)).read() if e.type == EventType.RUN_ENDED]
    assert run.status == ended.fields["status"]


def test_an_awaited_run_that_fails() -> None:
    """What an async main raises is raised by the await, and the run has FAILED."""
    ex = _experiment()

    @ex.main
    async def main() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(ex.run_async())
    assert "FAILED" == ex.current_run.status  # type: ignore[union-attr]


# -- info and result ------------------------------------------------------------------------------


def test_info_and_result_change_in_many_threads() -> None:
    """info and result are changed by eight threads while the run looks: all of it is recorded."""
    ex = _experiment()

    @ex.main
    def main(_run: Run) -> int:
        _run.info["list"] = []

        def work(number: int) -> None:
            for step in range(200):
                _run.info[f"{number} {step}"] = {"a": step}
                _run.info["list"].append(step)
                _run.info.pop(f"{number} {step - 50}", None)
                _run.result = step
                if step % 50 == 0:
                    _run._look()

        _in_threads(work, range(8))
        return 9

    run = ex.run()
    assert 8 * 50 + 1 == len(run.info)
    known: dict[str, Any] = {}
    for event in JournalReader(str(run.folder)).read():
        if event.type == EventType.INFO_SNAPSHOT:
            known = dict(event.fields["info"])
        elif event.type == EventType.INFO_CHANGED:
            for (
                key,
                *_,
            ) in event.fields["deleted"]:
                known.pop(key, None)
            for path, value in event.fields["set"]:
                if len(path) == 1:
                    known[path[0]] = value
                elif path[0] == "list":
                    known["list"][path[1] :] = [value]
    assert {k: v for k, v in run.info.items() if k != "list"} == {
        k: v for k, v in known.items() if k != "list"
    }
    assert sorted(run.info["list"]) == sorted(known["list"])
    (ended,) = [e for e in JournalReader(str(run.folder)).read() if e.type == EventType.RUN_ENDED]
    assert 9 == ended.fields["result"]
