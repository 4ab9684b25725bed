from sacred import Experiment
from sacred.observer import RunObserver

ex = Experiment("watched")


class MyObserver(RunObserver):
    def queued_event(self, ex_info, command, queue_time, config, meta_info, _id):
        print("queued", command)

    def started_event(self, ex_info, command, host_info, start_time, config, meta_info, _id):
        print("started", ex_info["name"], command, config["foo"], _id)
        return "mine"

    def heartbeat_event(self, info, captured_out, beat_time, result):
        self.last = (info, result)

    def completed_event(self, stop_time, result):
        print("completed", result, self.last)

    def interrupted_event(self, interrupt_time, status):
        print("interrupted", status)

    def failed_event(self, fail_time, fail_trace):
        print("failed", fail_trace[-1].strip())

    def resource_event(self, filename):
        print("resource", filename.rpartition("/")[2])

    def artifact_event(self, name, filename):
        print("artifact", name)


ex.observers.append(MyObserver())


@ex.config
def cfg():
    foo = 42


@ex.command
def fail():
    raise ValueError("on purpose")


@ex.command
def stop():
    raise KeyboardInterrupt


@ex.automain
def main(foo, _run):
    with ex.open_resource(__file__):
        pass
    ex.add_artifact(__file__, name="me.py")
    _run.info["loss"] = 0.5
    return foo
