from sacred import Experiment
from sacred.observers import TinyDbObserver

ex = Experiment("tiny")
ex.observers.append(TinyDbObserver("my_runs"))
