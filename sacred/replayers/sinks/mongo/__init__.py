"""MongoDB: the documents that Sacred's MongoObserver writes, for the clients that read them.

``runs`` and ``metrics`` documents and GridFS files, with one field more: ``_journal``, by which a
run is known and which holds where the view stands. A run's document is written by one guarded
``update_one``; points are pushed before it, into documents that guard themselves by how many points
they have. No sessions, no transactions, no pipeline updates: it works on any server that speaks the
protocol.
"""

from __future__ import annotations

from sacred.replayers.sinks.mongo.sink import MongoSink

__all__ = ["MongoSink"]
