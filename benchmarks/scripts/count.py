"""Count what can be read back: ``count.py KIND FOLDER`` prints ``POINTS HOLES`` as JSON.

KIND is ``journal`` (read by this project), ``file`` (Sacred's metrics.json) or ``tensorboardX``.
Holes are points that are missing before the last one that is there.
"""

import json
import os
import struct
import sys


def journal(folder):
    from sacred.journal import JournalReader, JournalRoot

    steps = []
    for run in JournalRoot(folder).runs():
        for event in JournalReader(run.journal).read():
            if event.name == "metric_point":
                steps.append(event.fields["step"])
            elif event.name == "metric_table":
                steps.extend(event.fields["table"].steps)
    return steps


def file(folder):
    steps = []
    for path, _, names in os.walk(folder):
        if "metrics.json" in names:
            with open(os.path.join(path, "metrics.json")) as stream:
                for metric in (json.loads(stream.read() or "{}")).values():
                    steps.extend(metric["steps"])
    return steps


def tensorboard(folder):
    """Read the records of event files: length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    steps = []
    for path, _, names in os.walk(folder):
        for name in names:
            if "tfevents" not in name:
                continue
            with open(os.path.join(path, name), "rb") as stream:
                data = stream.read()
            at = 0
            while at + 12 <= len(data):
                (size,) = struct.unpack_from("<Q", data, at)
                if at + 16 + size > len(data):
                    break
                event = Event.FromString(data[at + 12 : at + 12 + size])
                steps.extend(event.step for value in event.summary.value if value.tag)
                at += 16 + size
    return steps


def main(kind, folder):
    steps = {"journal": journal, "file": file, "tensorboardX": tensorboard}[kind](folder)
    holes = max(steps, default=-1) + 1 - len(steps)
    print(json.dumps({"points": len(steps), "holes": holes}))


if __name__ == "__main__":
    main(*sys.argv[1:])
