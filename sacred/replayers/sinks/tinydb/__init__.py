"""TinyDB: the documents that Sacred's TinyDbObserver writes, for those who query them.

``<base>/metadata.json`` is a TinyDB: table ``runs`` has Sacred's documents and not a field more, table
``_journal`` says which run each is and where its view stands. The file is written whole and takes its
name at once, so that both change together. Sources, resources and artifacts lie below
``<base>/hashfs`` under the md5 of their content, and the points of a run, for which Sacred's documents
have no place, in ``<base>/metrics/<id>.json``.
"""

from __future__ import annotations

from sacred.replayers.sinks.tinydb.sink import TinyDbSink

__all__ = ["TinyDbSink"]
