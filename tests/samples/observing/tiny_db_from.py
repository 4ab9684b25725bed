from sacred import Experiment
from sacred.observers import TinyDbObserver


def made_before():
    from hashfs import HashFS
    from tinydb import TinyDB

    return TinyDB("metadata.json"), HashFS("hashfs")


my_db, my_fs = made_before()
ex = Experiment("tiny")
ex.observers.append(TinyDbObserver.create_from(my_db, my_fs))
