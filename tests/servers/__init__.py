"""The real servers that the tests talk to: how each is had, started, killed and stopped."""
