# A stand-in for the package of this name.
from sacred.observers.tinydb_hashfs.bases import HashFS

__all__ = ["HashFS"]
