"""Write sealed journals of runs that ended: ``make_journals.py ROOT RUNS POINTS``, two metrics each."""

import random
import sys

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.root import JournalRoot
from sacred.journal.seal_own import seal_own
from sacred.journal.writer import JournalWriter


def main(folder, runs, points):
    root = JournalRoot(folder)
    root.create()
    blobs = BlobStore(root.blobs, durable=False)
    for number in range(runs):
        run = root.claim(None)
        writer = JournalWriter.create(run.journal, durability="process", blobs=blobs)
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
        writer.append_output(1, b"an epoch has ended\n" * 20)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=0.5)
        writer.close()
        seal_own(writer, "COMPLETED")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
