from sacred import Experiment
from sacred.observers import SqlObserver

ex = Experiment("sql")
ex.observers.append(SqlObserver("sqlite:///foo.db"))
