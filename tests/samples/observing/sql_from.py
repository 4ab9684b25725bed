from sacred.observers import SqlObserver

my_engine, my_session = object(), object()
SqlObserver.create_from(my_engine, my_session)
