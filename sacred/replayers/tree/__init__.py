"""The tree of a run's files, as Sacred's observers lay it out, wherever it is kept.

``<base>/<id>/{run.json,config.json,cout.txt,info.json,metrics.json,<artifacts>}``, and beside the
runs ``_sources`` and ``_resources``. Here are its names and documents; sinks put them somewhere.
"""
