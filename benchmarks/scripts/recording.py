"""One loop, recorded by whatever is installed: the same text runs beside this project and its peers."""

import os


def record(api, folder, body):
    """Call ``body(log)`` inside a run, where ``log(name, value, step)`` records one point.

    ``api`` is ``sacred`` (this project or Sacred: whichever the interpreter has, the run's journal
    is wherever the environment says), ``sacred-file`` (with a file view in ``folder``),
    ``tensorboardX`` or ``write`` (a bare ``os.write`` of 24 bytes).
    """
    {"sacred": _sacred, "sacred-file": _sacred_file, "tensorboardX": _tensorboard, "write": _write}[
        api
    ](folder, body)


def _sacred(folder, body, observers=()):
    from sacred import Experiment

    experiment = Experiment("benchmark", save_git_info=False)
    experiment.observers.extend(observers)

    @experiment.main
    def main(_run):
        body(_run.log_scalar)

    experiment.run()


def _sacred_file(folder, body):
    from sacred.observers import FileStorageObserver

    _sacred(folder, body, [FileStorageObserver(folder)])


def _tensorboard(folder, body):
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(folder)
    body(writer.add_scalar)
    writer.close()


def _write(folder, body):
    os.makedirs(folder, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    descriptor = os.open(os.path.join(folder, "points"), flags, 0o666)
    write = os.write
    point = b"\x2a" * 24

    def log(name, value, step):
        write(descriptor, point)

    body(log)
    os.close(descriptor)
