"""Record points at a steady rate until killed: ``stream.py API FOLDER RATE PIPE``.

One byte goes into the pipe for each call that returned.
"""

import os
import sys
from random import random
from time import perf_counter, sleep

from recording import record


def main(api, folder, rate, pipe):
    def body(log):
        write = os.write
        interval = 1.0 / rate
        value = 0.0
        step = 0
        begin = perf_counter()
        # An end for the case that nobody is left who could kill this.
        while step < 60 * rate:
            wait = begin + step * interval - perf_counter()
            if wait > 0:
                sleep(wait)
            value += random() - 0.5
            log("loss", value, step)
            write(pipe, b".")
            step += 1

    record(api, folder, body)


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]))
