"""Main functions that are coroutines, and runs that are awaited."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sacred.core.run import Run

__all__ = ["AsyncMainError", "complete", "run_in_loop"]


class AsyncMainError(SacredError, RuntimeError):
    """A coroutine was to be run where an event loop is at work already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is async, and an event loop is at work in this thread: "
            "use `await ex.run_async(...)` instead of `ex.run(...)`.",
            filter_traceback="always",
        )


class _Bridge:
    """The way from the thread in which a run is looked after to the loop that its main runs in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    def complete(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop, in the context of this thread, and wait for its end."""
        done: Future[Any] = Future()

        def start() -> None:
            self._task = self.loop.create_task(coroutine)
            self._task.add_done_callback(finish)
            if self._cancelled:
                self._task.cancel()

        def finish(task: asyncio.Task[Any]) -> None:
            self._task = None
            if task.cancelled():
                done.set_exception(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                done.set_exception(error)
            else:
                done.set_result(task.result())

        self.loop.call_soon_threadsafe(start)
        return done.result()

    def cancel(self) -> None:
        """Have the coroutine hear that it is to end. Called in the loop."""
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()


_BRIDGE: contextvars.ContextVar[_Bridge | None] = contextvars.ContextVar(
    "sacred_bridge", default=None
)


def complete(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns.

    In the loop of whoever awaits the run; else in a loop of its own.

    Raises
    ------
    AsyncMainError
        A loop is at work in this thread.
    """
    if _is_in_a_loop():
        coroutine.close()
        raise AsyncMainError(getattr(coroutine, "__name__", "The main function"))
    bridge = _BRIDGE.get()
    return asyncio.run(coroutine) if bridge is None else bridge.complete(coroutine)


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def run_in_loop(run: Callable[[], Run]) -> Run:
    """Make a run while the loop goes on: its start and its end wait in a thread of their own.

    A main function that is a coroutine runs in the loop; another one in that thread. Where this is
    cancelled, the coroutine is, and the run ends as INTERRUPTED before this returns; another main
    function is waited for.
    """
    loop = asyncio.get_running_loop()
    bridge = _Bridge(loop)
    ended: asyncio.Future[Run] = loop.create_future()

    def settle(result: Run | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        elif result is not None:
            ended.set_result(result)

    def work() -> None:
        _BRIDGE.set(bridge)
        result: Run | None = None
        error: BaseException | None = None
        try:
            result = run()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    context = contextvars.copy_context()
    # No job of the loop's pool: that has so many threads, and each run takes one for its time.
    threading.Thread(target=context.run, args=(work,), name="sacred-run").start()
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        bridge.cancel()
        with contextlib.suppress(BaseException):
            await asyncio.shield(ended)
        raise
