from hello_cs import ex

from sacred.observers import MongoObserver

ex.observers.append(MongoObserver(url="my.server.org:27017", db_name="MY_DB"))
