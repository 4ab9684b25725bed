"""A journal without any experiment: one process writes it, another one follows it meanwhile.

    $ python journal_alone.py
    following temperatures/journal
    sensor 0 is at 20.0 degrees
    sensor 1 is at 20.5 degrees
    ...
    the writer is gone; 6 points were read, and nothing is wrong with the journal
    sensor 0: mean 21.0
    sensor 1: mean 21.5

`sacred.journal` needs neither the framework nor a database. What `log_point` took is on the disk 10 ms
later; whoever follows has it a moment after that.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from sacred.journal import EventType, JournalReader, JournalWriter, follow, read_metrics

FOLDER = "temperatures/journal"


def measure() -> None:
    """Write three temperatures of two sensors. In a process of its own."""
    writer = JournalWriter.create(FOLDER)
    print("ready", flush=True)
    for hour in range(3):
        for sensor in range(2):
            writer.log_point(f"sensor {sensor}", hour, 20.0 + hour + sensor / 2)
        writer.flush()
    writer.append(EventType.MESSAGE, level="info", text="that was all")
    writer.close()


def listen() -> None:
    """Start the process that measures, and print what it writes."""
    shutil.rmtree("temperatures", ignore_errors=True)
    command = [sys.executable, __file__, "measure"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if process.stdout is not None:
            process.stdout.readline()
        print(f"following {FOLDER}")
        reader = JournalReader(FOLDER)
        points = 0
        for event in follow(reader):
            if event.type == EventType.METRIC_POINT:
                fields = event.fields
                print(f"{fields['metric']} is at {fields['value']} degrees")
                points += 1
    wrong = reader.verdicts or "nothing"
    print(f"the writer is gone; {points} points were read, and {wrong} is wrong with the journal")
    try:
        metrics = read_metrics(FOLDER)
    except ImportError:
        return  # arrays need numpy
    for name, metric in metrics.items():
        print(f"{name}: mean {metric.values.mean()}")


if __name__ == "__main__":
    measure() if "measure" in sys.argv else listen()
