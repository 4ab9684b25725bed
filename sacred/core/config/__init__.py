"""The configuration: scopes, dictionaries and files, and the functions that use it."""
