"""An environment with the original Sacred, whose behaviour some tests compare with ours.

``$SACRED_PEER_PYTHON`` names a Python that has it; else one is made in ``.cache/servers/peer``.
"""

from __future__ import annotations

from servers.environments import Environment

PEER = Environment(
    "peer",
    "the original Sacred",
    "SACRED_PEER_PYTHON",
    (
        "sacred==0.8.7",
        "setuptools<80",  # Sacred imports pkg_resources, which newer ones do not have
        "numpy",
        "PyYAML",
        "pymongo",
        "tinydb",
        "tinydb-serialization",
        "hashfs",
        "SQLAlchemy",
        "boto3",
        "google-cloud-storage",
    ),
)
interpreter, install = PEER.interpreter, PEER.install
