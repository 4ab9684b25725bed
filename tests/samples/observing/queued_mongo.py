from hello_cs import ex

from sacred.observers import QueuedMongoObserver

ex.observers.append(QueuedMongoObserver(url="my.server.org:27017", db_name="MY_DB"))
