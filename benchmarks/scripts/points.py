"""Record a random walk and end: ``points.py API FOLDER POINTS NAMES SPACING`` (seconds, 0: none)."""

import sys
from random import random
from time import sleep

from recording import record


def main(api, folder, points, names, spacing):
    def one_name(log):
        value = 0.0
        for step in range(points):
            value += random() - 0.5
            log("loss", value, step)

    def many_names(log):
        keys = [f"layer{number}.weight.norm" for number in range(names)]
        walks = [0.0] * names
        for point in range(points):
            key = point % names
            walks[key] = value = walks[key] + random() - 0.5
            log(keys[key], value, point // names)

    def trickle(log):
        value = 0.0
        for step in range(points):
            value += random() - 0.5
            log("loss", value, step)
            sleep(spacing)

    record(api, folder, trickle if spacing else one_name if names == 1 else many_names)


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
