from sacred import Experiment

ex = Experiment()


@ex.config
def my_config():
    foo = 42
    bar = "baz"


@ex.automain
def my_main(foo, bar):
    return f"{foo} {bar}"
