"""Chaos: a sink around another one that fails when it is told to, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.replayers.errors import TransientSinkError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.replayers.sink import Batch, FileEntry, RunKey, Sink, ViewPosition

__all__ = ["ChaosSink"]


class ChaosSink:
    """Passes everything on, and fails where the plan says.

    Parameters
    ----------
    inner
        The real sink.
    plan
        For each call in turn: ``"ok"``, ``"before"`` (fails, nothing was done), ``"after"`` (was
        done, but the answer is lost). Calls beyond the plan succeed.
    error
        What to raise.
    """

    def __init__(self, inner: Sink, plan: Iterable[str], error: Exception | None = None) -> None:
        self.inner = inner
        self.plan = iter(plan)
        self.error = error or TransientSinkError("chaos: the server went away")
        self.failures = 0

    @property
    def rewrites(self) -> frozenset[str]:
        """As the inner sink."""
        return self.inner.rewrites

    @property
    def profile(self) -> str:
        """As the inner sink."""
        return getattr(self.inner, "profile", "sacred")

    @property
    def view_id(self) -> Any:
        """As the inner sink."""
        return getattr(self.inner, "view_id", None)

    def _do(self, call: Any, *arguments: Any) -> Any:
        step = next(self.plan, "ok")
        if step == "before":
            self.failures += 1
            raise self.error
        result = call(*arguments)
        if step == "after":
            self.failures += 1
            raise self.error
        return result

    def attend(self, folder: RunFolder) -> None:
        """Pass on."""
        attend = getattr(self.inner, "attend", None)
        if attend is not None:
            attend(folder)

    def open(self) -> None:
        """Open, or fail."""
        self._do(self.inner.open)

    def claim(self, run: RunKey) -> Any:
        """Claim, or fail."""
        return self._do(self.inner.claim, run)

    def __getattr__(self, name: str) -> Any:
        """Have ``take_up`` if the inner sink has it: it may fail, too."""
        if name != "take_up":
            raise AttributeError(name)
        take_up = getattr(self.inner, "take_up")  # noqa: B009 - an error of its own otherwise
        return lambda run: self._do(take_up, run)

    def clear_claims(self, max_age: float) -> int:
        """Pass on."""
        return self.inner.clear_claims(max_age)

    def release(self, run: RunKey) -> bool:
        """Release, or fail."""
        return bool(self._do(self.inner.release, run))

    def position(self, run: RunKey) -> ViewPosition | None:
        """Ask, or fail."""
        found: ViewPosition | None = self._do(self.inner.position, run)
        return found

    def write(self, batch: Batch) -> None:
        """Write, or fail, or both."""
        self._do(self.inner.write, batch)

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store, or fail, or both."""
        return self._do(self.inner.put_file, run, entry, blob)

    def reset(self, run: RunKey) -> None:
        """Reset, or fail, or both."""
        self._do(self.inner.reset, run)

    def close(self) -> None:
        """Close."""
        self.inner.close()
