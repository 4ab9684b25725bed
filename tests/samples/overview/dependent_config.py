from sacred import Experiment

ex = Experiment("dependent_config")


@ex.config
def my_config():
    foo = 42
    bar = "baz"
    both = f"{bar}{foo}"


@ex.automain
def my_main(both):
    print(both)
