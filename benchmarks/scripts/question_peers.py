"""Write runs for a question: ``question_peers.py KIND FOLDER RUNS POINTS``, two metrics each.

KIND is ``mlflow`` (its SQLite store, by its own client), ``tensorboard`` (a folder of event files a
run, by tensorboardX) or ``sacred`` (the folders of a FileStorageObserver, by Sacred).
"""

import os
import random
import sys

NAMES = ("loss", "accuracy")


def mlflow(folder, runs, points):
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("asked", artifact_location=f"file://{folder}/artifacts")
    for number in range(runs):
        draw = random.Random(number).random
        run = client.create_run(experiment).info.run_id
        batch = []
        for step in range(points // 2):
            batch += [Metric(name, draw(), 1_700_000_000_000 + step, step) for name in NAMES]
            if len(batch) >= 1000 or step == points // 2 - 1:
                client.log_batch(run, metrics=batch)
                batch = []
        client.set_terminated(run)


def tensorboard(folder, runs, points):
    from tensorboardX import SummaryWriter

    for number in range(runs):
        draw = random.Random(number).random
        with SummaryWriter(os.path.join(folder, str(number))) as writer:
            for step in range(points // 2):
                for name in NAMES:
                    writer.add_scalar(name, draw(), step)


def sacred(folder, runs, points):
    from sacred import SETTINGS, Experiment
    from sacred.observers import FileStorageObserver

    SETTINGS.CAPTURE_MODE = "no"
    for number in range(runs):
        draw = random.Random(number).random
        experiment = Experiment("asked", save_git_info=False)
        experiment.observers.append(FileStorageObserver(folder))

        @experiment.main
        def main(_run, draw=draw):
            for step in range(points // 2):
                for name in NAMES:
                    _run.log_scalar(name, draw(), step)

        experiment.logger = None
        experiment.run(options={"--loglevel": "ERROR"})


if __name__ == "__main__":
    os.makedirs(sys.argv[2], exist_ok=True)
    write = {"mlflow": mlflow, "tensorboard": tensorboard, "sacred": sacred}[sys.argv[1]]
    write(os.path.abspath(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
