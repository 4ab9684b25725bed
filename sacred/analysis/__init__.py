"""Questions about runs: journals as relations that SQL sees, as Python objects, as files.

Everything here reads: a question changes no journal and no view. Nothing is loaded before it is
asked for.
"""
