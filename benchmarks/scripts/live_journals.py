"""Write journals of runs that go on: ``live_journals.py ROOT RUNS POINTS READY``, two metrics each.

Makes the file READY when they are written, and lives on until it is killed.
"""

import random
import signal
import sys

from sacred.journal.events import EventType
from sacred.journal.root import JournalRoot
from sacred.journal.writer import JournalWriter


def main(folder, runs, points, ready):
    root = JournalRoot(folder)
    writers = []
    for number in range(runs):
        run = root.claim(None)
        writer = JournalWriter.create(run.journal, durability="process")
        writer.append(
            EventType.RUN_STARTED,
            run_id=run.number,
            name="replayed",
            command="main",
            config={"seed": number, "rate": 0.1, "layers": [64, 64, 10]},
            meta={"command": "main", "options": {}},
            experiment={"name": "replayed", "base_dir": "/base", "mainfile": "main.py"},
            host={"hostname": "host", "python_version": "3.11", "cpu_count": 2},
        )
        draw = random.Random(number).random
        for step in range(points // 2):
            writer.log_point("loss", step, draw())
            writer.log_point("accuracy", step, draw())
        writer.flush()
        writers.append(writer)
    with open(ready, "w"):
        pass
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
