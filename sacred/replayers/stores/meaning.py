"""What an error of a server means for who reads: the connections are those of the views."""

from __future__ import annotations

from sacred.replayers.errors import (
    SinkError,
    SinkMissingError,
    SinkSpecError,
    StoreError,
    TransientSinkError,
)

__all__ = ["meaning_for_a_reader"]

#: What the connections say of writing, and what it is here.
_WORDS = (
    (", and that the user may write there", ", and that the user may read there"),
    ("refused what was to be written", "can not be read"),
    (". Make the database first (CREATE DATABASE)", ": name one that is there"),
    ("refused a document", "can not be read"),
    ("can not be written", "can not be read"),
    ("can not write now", "can not be read now"),
)


def meaning_for_a_reader(error: SinkError) -> Exception:
    """Return the error to raise in the place of one of a view's connection.

    One that passes stays one that passes; another one is a ``StoreError``.
    """
    if isinstance(error, (SinkMissingError, SinkSpecError)):
        return error
    text = str(error)
    for writing, reading in _WORDS:
        text = text.replace(writing, reading)
    return TransientSinkError(text) if isinstance(error, TransientSinkError) else StoreError(text)
