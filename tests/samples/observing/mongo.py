from hello_cs import ex

from sacred.observers import MongoObserver

ex.observers.append(MongoObserver())
