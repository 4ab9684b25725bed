from hello_cs import ex

from sacred.observers import FileStorageObserver, QueueObserver

fs_observer = FileStorageObserver("my_runs")
ex.observers.append(QueueObserver(fs_observer))

ex.run()
