"""The way back: runs of stores that Sacred (or a view of ours) wrote, as journals.

A store (:mod:`~sacred.replayers.stores.store`) gives its runs one by one, in one form whatever it is
kept in; :mod:`~sacred.replayers.stores.events` tells a run as the events that its journal would have
had; :mod:`~sacred.replayers.stores.importer` writes them. Nothing in a store is ever changed.
"""
