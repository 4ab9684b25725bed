from sacred import Experiment
from sacred.observers import MongoObserver

ex = Experiment("observed")
ex.observers.append(MongoObserver())


@ex.config
def my_config():
    foo = 42


@ex.automain
def my_main(foo):
    return foo
