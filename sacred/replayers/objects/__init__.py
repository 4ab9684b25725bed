"""Views of objects: the tree of a run's files in a store that replaces objects whole (S3, GCS).

``ObjectStore`` is what a store has to do, ``ObjectSink`` the sink that S3 and Google Cloud Storage
share. Decision 14 says why a refused write leaves no trace.
"""
