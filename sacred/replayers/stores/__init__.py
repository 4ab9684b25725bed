"""The way back: runs of stores that Sacred (or a view of ours) wrote, as journals.

A store (:mod:`~sacred.replayers.stores.store`) gives its runs one by one, in one form whatever it is
kept in; :mod:`~sacred.replayers.stores.events` tells a run as the events that its journal would have
had; :mod:`~sacred.replayers.stores.importer` writes them. Nothing in a store is ever changed::

    store = store_at("file:old_runs")
    store.open()
    for done in import_runs(store, JournalRoot("sacred_runs"), store.runs()):
        print(done.run_id, done.state, done.losses)
"""

from sacred.replayers.stores.importer import RunImport, import_runs
from sacred.replayers.stores.registry import store_at
from sacred.replayers.stores.store import RunStore, StoredFile, StoredRun

__all__ = ["RunImport", "RunStore", "StoredFile", "StoredRun", "import_runs", "store_at"]
