"""SQL databases: Sacred's tables, and some of ours beside them.

``run`` and what hangs on it are the tables that Sacred's SqlObserver makes, by the same names, so
that people's queries go on working; the types are wide enough for what runs really hold. Metric
points, and where the view stands, are in tables of ours (``journal_...``). One transaction per batch
holds changes and position. Importing this package loads no driver: ``sink`` and the modules below
it do, and only a replayer loads those.
"""
