from hello_cs import ex

from sacred.observers import MongoObserver

ex.observers.append(
    MongoObserver(
        url="mongodb://user:password@example.com/the_database?authMechanism=SCRAM-SHA-1",
        db_name="MY_DB",
    )
)
