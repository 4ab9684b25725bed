"""The locked server turns PyMongo away as a server with logins does."""

from __future__ import annotations

import pymongo
import pytest
from pymongo.errors import OperationFailure

from servers.locked import LockedMongo


@pytest.fixture
def locked():
    """A server that lets nobody in."""
    with LockedMongo() as server:
        yield server


def test_without_a_password(locked):
    """Whoever gives no name is told that the command requires authentication (13)."""
    with pymongo.MongoClient(locked.url, serverSelectionTimeoutMS=5000) as client:
        with pytest.raises(OperationFailure, match="requires authentication") as caught:
            client.sacred.runs.insert_one({"_id": 1})
    assert 13 == caught.value.code
    assert "insert" in locked.commands


def test_with_a_wrong_password(locked):
    """Whoever gives a name and a password is told that they are wrong (18)."""
    address = locked.url_for("me", "secret")
    with pymongo.MongoClient(address, serverSelectionTimeoutMS=5000) as client:
        with pytest.raises(OperationFailure, match="Authentication failed") as caught:
            client.sacred.runs.find_one()
    assert 18 == caught.value.code
    assert "find" not in locked.commands
