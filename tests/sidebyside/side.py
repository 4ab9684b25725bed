"""One side: a warmed process that runs each case in a child of its own and says what came of it.

It is started by the Python of either environment, so it needs nothing but the standard library and
a package called ``sacred``. It reads one case a line (JSON) and answers with one line::

    {"folder": an empty folder, "script": source text, "files": {name: text}, "calls": [expression],
     "observed": whether an observer is added, "settings": {dotted name: value},
     "argv": words of the command line, "limit": seconds that it may take}

The child executes the script, which defines ``ex``, then evaluates the calls one after the other.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import types

#: What the children need is loaded once, before they are forked.
_NEEDED = (
    *("numpy", "numpy.random", "yaml", "pydoc", "pprint", "random", "threading", "traceback"),
    *("logging", "textwrap", "fcntl", "zlib", "encodings.ascii", "shlex", "ast", "difflib"),
    *("sacred", "sacred.commands", "sacred.config", "sacred.observers.base", "sacred.utils"),
    *(
        f"sacred.core.{name}"
        for name in (
            *("experiment", "dependencies", "distributions", "host_info", "ingredient", "launch"),
            *("initialize", "options", "output_capture", "sys_capture", "repositories", "run"),
            *("seed_stream", "view_options", "commandline", "commands", "tracebacks"),
        )
    ),
    *("sacred.journal.root", "sacred.journal.writer", "sacred.journal.seal_own"),
)


def main() -> None:
    """Answer until the input ends."""
    import gc

    for name in _NEEDED:
        try:
            __import__(name)
        except ImportError:  # the two packages have modules of their own
            pass
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGALRM, _too_long)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _too_long(*_):
    raise TimeoutError


def _answer(case):
    folder = case["folder"]
    outcome = os.path.join(folder, "outcome.json")
    pid = os.fork()
    if not pid:
        status = 70
        try:
            status = _child(case, outcome)
        finally:
            os._exit(status)
    status = None
    signal.setitimer(signal.ITIMER_REAL, case["limit"])
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except TimeoutError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        if status is None:
            os.waitpid(pid, 0)
    answer = {"status": "too long" if status is None else status, "calls": []}
    try:
        with open(outcome, encoding="utf-8") as file:
            answer.update(json.load(file))
    except (OSError, ValueError):
        pass
    for name in ("stdout", "stderr"):
        with open(os.path.join(folder, name), encoding="utf-8", errors="backslashreplace") as file:
            answer[name] = file.read()
    return answer


# -- in the child ---------------------------------------------------------------------------------


def _child(case, outcome):
    os.setsid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    folder = case["folder"]
    place = os.path.join(folder, "place")
    os.mkdir(place)
    os.chdir(place)
    for number, name in ((1, "stdout"), (2, "stderr")):
        opened = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    # A file is written in blocks; a line at a time keeps what both streams say in order.
    sys.stdout.reconfigure(line_buffering=True)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    for name, text in {**case["files"], "case.py": case["script"]}.items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    _settle(case["settings"])
    sys.argv = ["case.py", *case["argv"]]
    # As Python does it for a program: its folder comes first.
    sys.path[0] = place
    answer = _evaluate(case)
    with open(outcome, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    _end()
    return 0


def _settle(settings):
    import sacred

    known = sacred.SETTINGS
    known.CAPTURE_MODE = "sys"
    known.HOST_INFO.INCLUDE_GPU_INFO = False
    known.HOST_INFO.INCLUDE_CPU_INFO = False
    if "COLOR" in known.COMMAND_LINE:
        # Into a file the original writes colours, too; what they look like is compared.
        known.COMMAND_LINE.COLOR = "always"
    for path, value in settings.items():
        *above, last = path.split(".")
        group = known
        for name in above:
            group = group[name]
        group[last] = value


def _evaluate(case):
    """Return what came of the script and the calls."""
    module = types.ModuleType("__main__")
    module.__file__ = os.path.abspath("case.py")
    sys.modules["__main__"] = module
    code = compile(case["script"], module.__file__, "exec", dont_inherit=True)
    defined = _ended(lambda: exec(code, module.__dict__))
    answer = {"script": defined, "calls": []}
    if defined["how"] != "returned":
        return answer
    ex = module.__dict__["ex"]
    for call in case["calls"]:
        observer = _observer()
        if case["observed"]:
            ex.observers.append(observer)
        ex.current_run = None
        # So that the seed which the original draws by chance is known to be one (known.CHANCE).
        random.seed(0)
        # A marker separates what each call printed.
        for stream in (sys.stdout, sys.stderr):
            stream.write(f"-- {call}\n")
            stream.flush()
        ended = _ended(lambda call=call: eval(call, module.__dict__))
        answer["calls"].append({**ended, "run": _told(ex.current_run), "events": observer.seen})
        if case["observed"]:
            ex.observers.remove(observer)
    return answer


def _ended(call):
    try:
        value = call()
    except SystemExit as error:
        return {"how": "exit", "value": _tagged(error.code or 0)}
    except BaseException as error:
        kind = type(error)
        return {"how": "raised", "value": [kind.__name__, str(error)]}
    return {"how": "returned", "value": _tagged(getattr(value, "result", None))}


def _told(run):
    """Return what a run knows of itself."""
    if run is None:
        return None
    changes = run.config_modifications
    return {
        "config": _tagged(run.config),
        "added": sorted(map(str, changes.added)),
        "modified": sorted(map(str, changes.modified)),
        "typechanged": {
            str(path): [old.__name__, new.__name__]
            for path, (old, new) in sorted(changes.typechanged.items(), key=str)
        },
        "docs": {str(path): text for path, text in sorted(changes.docs.items(), key=str)},
        "status": run.status,
        "result": _tagged(run.result),
        "info": _tagged(run.info),
        "meta_info": _tagged(run.meta_info),
        "id": _tagged(run._id),
        "captured_out": run.captured_out,
        "fail_trace": bool(run.fail_trace),
        "logger": run.run_logger.name,
        "name": run.experiment_info["name"],
        "beat_interval": _tagged(run.beat_interval),
        "unobserved": run.unobserved,
        "force": run.force,
        "debug": run.debug,
        "queue_only": run.queue_only,
    }


def _observer():
    """Return an observer that remembers what it is told."""
    from sacred.observers import RunObserver

    class Witness(RunObserver):
        def __init__(self):
            self.seen = []

        def _see(self, event, **arguments):
            self.seen.append(
                [event, {name: _tagged(value) for name, value in sorted(arguments.items())}]
            )

        def queued_event(self, ex_info, command, host_info, queue_time, config, meta_info, _id):
            self._see("queued", command=command, config=config, meta_info=meta_info, _id=_id)

        def started_event(self, ex_info, command, host_info, start_time, config, meta_info, _id):
            sources = [os.path.basename(str(name)) for name, *_ in ex_info["sources"]]
            self._see(
                "started",
                command=command,
                config=config,
                meta_info=meta_info,
                _id=_id,
                sources=sources,
                mainfile=ex_info["mainfile"],
                name=ex_info["name"],
                dependencies=ex_info["dependencies"],
                repositories=ex_info["repositories"],
                host=sorted(host_info),
            )

        def heartbeat_event(self, info, captured_out, beat_time, result):
            self._see("heartbeat", info=info, captured_out=captured_out, result=result)

        def log_metrics(self, metrics_by_name, info):
            points = {
                name: [metric["steps"], metric["values"]]
                for name, metric in metrics_by_name.items()
            }
            self._see("metrics", points=points)

        def resource_event(self, filename):
            self._see("resource", filename=filename)

        def artifact_event(self, name, filename, metadata=None, content_type=None):
            self._see(
                "artifact",
                name=name,
                filename=filename,
                metadata=metadata,
                content_type=content_type,
            )

        def completed_event(self, stop_time, result):
            self._see("completed", result=result)

        def interrupted_event(self, interrupt_time, status):
            self._see("interrupted", status=status)

        def failed_event(self, fail_time, fail_trace):
            self._see("failed", last=fail_trace[-1] if fail_trace else None)

        def join(self):
            self._see("join")

    return Witness()


#: Types that JSON keeps, but for bool and float.
_PLAIN = (type(None), str)


def _tagged(value, depth=0):
    """Return a value as JSON has it, with its type where JSON would forget that."""
    if depth > 40:
        return ["deep"]
    kind = type(value)
    if kind in _PLAIN:
        return value
    # A dict as pairs: their order is part of it.
    if kind is dict:
        return ["dict", *([_tagged(k, depth + 1), _tagged(v, depth + 1)] for k, v in value.items())]
    if kind is list:
        return ["list", *(_tagged(item, depth + 1) for item in value)]
    if isinstance(value, dict):
        return [kind.__name__, _tagged(dict(value), depth + 1)]
    if isinstance(value, (list, tuple)):
        return [kind.__name__, _tagged(list(value), depth + 1)]
    if isinstance(value, types.ModuleType):
        return ["module", value.__name__]
    return [kind.__name__, repr(value)]


def _end():
    """End as the interpreter does, without taking its modules apart."""
    import atexit
    import threading

    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


if __name__ == "__main__":
    main()
