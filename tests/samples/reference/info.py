from sacred import Experiment

ex = Experiment("info")


@ex.capture
def my_captured_function(_run):
    _run.info["inside"] = True
    return _run.info is ex.info


@ex.automain
def my_main():
    print(my_captured_function())
