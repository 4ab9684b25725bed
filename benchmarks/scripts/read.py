"""Read one metric into numpy arrays: ``read.py KIND FOLDER RESULT`` (seconds and points).

KIND is ``journal``, ``file`` (Sacred's metrics.json), ``tensorboardX`` or ``bare`` (the bytes of an
array, for scale).
"""

import json
import os
import struct
import sys
from time import perf_counter

import numpy as np


def journal(folder):
    from sacred.journal import JournalRoot, read_metrics

    (run,) = JournalRoot(folder).runs()
    loss = read_metrics(run.journal)["loss"]
    return loss.steps, loss.values


def file(folder):
    for path, _, names in os.walk(folder):
        if "metrics.json" in names:
            with open(os.path.join(path, "metrics.json")) as stream:
                metric = json.load(stream)["loss"]
            return np.asarray(metric["steps"]), np.asarray(metric["values"])
    raise FileNotFoundError(f"there is no metrics.json below {folder}")


def tensorboard(folder):
    from tensorboardX.proto.event_pb2 import Event

    steps, values = [], []
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as stream:
                data = stream.read()
            at = 0
            while at < len(data):
                (size,) = struct.unpack_from("<Q", data, at)
                event = Event.FromString(data[at + 12 : at + 12 + size])
                for value in event.summary.value:
                    steps.append(event.step)
                    values.append(value.simple_value)
                at += 16 + size
    return np.asarray(steps), np.asarray(values)


def bare(folder):
    data = np.fromfile(os.path.join(folder, "points"), dtype="u1")
    points = np.frombuffer(data.tobytes(), dtype="<f8").reshape(-1, 3)
    return points[:, 0].copy(), points[:, 1].copy()


def main(kind, folder, result):
    read = {"journal": journal, "file": file, "tensorboardX": tensorboard, "bare": bare}[kind]
    begin = perf_counter()
    steps, values = read(folder)
    seconds = perf_counter() - begin
    if len(steps) != len(values):
        raise ValueError(f"{len(steps)} steps and {len(values)} values")
    with open(result, "w") as stream:
        print(seconds, len(values), file=stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
