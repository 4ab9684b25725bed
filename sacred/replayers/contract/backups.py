"""The tests of a place that is put back to a backup: what it lacks is written again, and only that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.runs import write_run
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.root import JournalRoot
    from sacred.replayers.sink import SinkSpec

__all__ = ["BackupContract"]


class BackupContract(SinkPlace):
    """A person's deletions stay, and what a backup lacks comes again."""

    def copy_of_place(self, spec: SinkSpec) -> Callable[[], None] | None:  # noqa: ARG002
        """Return what puts the place back as it is now; None if the test class does not say.

        The whole place, as a backup of it would: its runs, and what the sink keeps beside them.
        """
        return None

    def delete_run(self, spec: SinkSpec, view_id: Any) -> None:
        """Delete a run in the place, as a person does with the programs that are used there."""
        raise NotImplementedError

    def test_a_view_put_back_to_a_backup(self, spec: SinkSpec, root: JournalRoot) -> None:
        """Runs that began after the backup are written again; runs that a person deleted are not."""
        put_back = self._marked_place(spec, root)
        late = root.claim()
        write_run(late)
        assert self._states(root, spec) == ["deleted", "current", "current"]
        put_back()
        assert self._states(root, spec, put_back=True) == ["deleted", "current", "current"]
        self.check(late, spec, 3)
        self.check(root.run(2), spec, 2)
        assert self.document(spec, 1) is None
        self.delete_run(spec, 3)
        assert self._states(root, spec) == ["deleted", "current", "deleted"]
        assert self._states(root, spec) == ["deleted", "current", "deleted"]

    def test_a_place_without_a_number(self, spec: SinkSpec, root: JournalRoot) -> None:
        """A place written by a version that kept no number is as it is: nothing is written again."""
        self._marked_place(spec, root)
        for path in (root.path / ".cache" / "replayers").glob("*.mark"):
            path.unlink()
        self.delete_run(spec, 2)
        assert self._states(root, spec) == ["deleted", "deleted"]

    def _marked_place(self, spec: SinkSpec, root: JournalRoot) -> Callable[[], None]:
        """Make a place with two runs, of which one was deleted; return what puts it back."""
        if not hasattr(load_sink(spec), "marked"):
            pytest.skip("the sink keeps no number there")
        if type(self).delete_run is BackupContract.delete_run:
            pytest.skip("a place that is put back: the test class deletes no run")
        for _ in range(2):
            write_run(root.claim())
        assert self._states(root, spec) == ["current", "current"]
        self.delete_run(spec, 1)
        assert self._states(root, spec) == ["deleted", "current"]
        put_back = self.copy_of_place(spec)
        if put_back is None:
            pytest.skip("the test class can not put it back")
        return put_back

    @staticmethod
    def _states(root: JournalRoot, spec: SinkSpec, *, put_back: bool = False) -> list[str]:
        summary = replay(root, None, [spec], patience=20.0)
        assert bool(summary.put_back) == put_back
        return [outcome.state for outcome in summary.outcomes]
