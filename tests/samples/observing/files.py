from hello_cs import ex

from sacred.observers import FileStorageObserver

ex.observers.append(FileStorageObserver("my_runs"))

ex.run()
