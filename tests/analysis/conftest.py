"""What the tests of questions share: the roots and runs of the replayers' tests."""

from tests.replayers.conftest import root, run_writer

__all__ = ["root", "run_writer"]
