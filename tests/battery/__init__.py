"""The battery: what can break a promise of the journal, done to it many times.

Every test names its row of the plan in its docstring. ``SACRED_SOAK_MINUTES`` makes them go on for
about so long, all together, after the numbers that ``make test`` asks for.
"""
