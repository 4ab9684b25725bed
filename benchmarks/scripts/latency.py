"""Time each call: ``latency.py API FOLDER RESULT CALLS SPACING NAMES [numpy]`` (spacing in seconds).

Writes 64-bit integers to RESULT: the cost of the clock itself, then ns for each call.
"""

import sys

if sys.argv[7:] == ["numpy"]:
    import numpy as np  # noqa: F401 - some programs have it loaded, and it must not make a point dearer

from array import array
from random import random
from time import perf_counter_ns, sleep

from recording import record


def clock_cost():
    pairs = []
    for _ in range(10_001):
        begin = perf_counter_ns()
        pairs.append(perf_counter_ns() - begin)
    return sorted(pairs)[5_000]


def main(api, folder, result, calls, spacing, names):
    times = array("q", bytes(8 * calls))
    walk = []
    value = 0.0
    for _ in range(calls):
        value += random() - 0.5
        walk.append(value)

    def tight(log):
        clock = perf_counter_ns
        keys = [f"loss{number}" for number in range(names)] if names > 1 else ["loss"]
        for step in range(calls):
            value, key = walk[step], keys[step % names]
            begin = clock()
            log(key, value, step)
            times[step] = clock() - begin

    def spaced(log):
        clock = perf_counter_ns
        for step in range(calls):
            sleep(spacing)
            value = walk[step]
            begin = clock()
            log("loss", value, step)
            times[step] = clock() - begin

    cost = clock_cost()
    record(api, folder, spaced if spacing else tight)
    with open(result, "wb") as stream:
        array("q", [cost]).tofile(stream)
        times.tofile(stream)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
