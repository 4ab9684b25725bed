"""The MongoDB driver: whether it is there, whether it is itself, and what its client takes."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["check_client", "driver_is_replaced", "modern_keywords", "require_driver"]

#: Keywords of the MongoClient of PyMongo 3 that PyMongo 4 refuses, and what they are called now.
_OLD_KEYWORDS = {
    "ssl": "tls",
    "ssl_ca_certs": "tlsCAFile",
    "ssl_certfile": "tlsCertificateKeyFile",
    "ssl_keyfile": "tlsCertificateKeyFile",
    "ssl_pem_passphrase": "tlsCertificateKeyFilePassword",
    "ssl_crlfile": "tlsCRLFile",
    "ssl_match_hostname": "tlsAllowInvalidHostnames",
    "ssl_cert_reqs": "tlsAllowInvalidCertificates",
}
_NEGATED = {"ssl_match_hostname"}


def require_driver() -> None:
    """See that pymongo is installed, without loading it.

    Raises
    ------
    ImportError
    """
    import importlib.util

    try:
        found = importlib.util.find_spec("pymongo") is not None
    except ValueError:  # something that a test put in its place
        return
    if not found:
        raise ImportError(
            "a MongoObserver needs the package pymongo: pip install pymongo", name="pymongo"
        )


def driver_is_replaced() -> bool:
    """Tell whether somebody put another ``MongoClient`` or ``GridFS`` into the driver."""
    for module, name in (("pymongo", "MongoClient"), ("gridfs", "GridFS")):
        loaded = sys.modules.get(module)
        if loaded is not None:
            found = getattr(loaded, name, None)
            home = str(getattr(found, "__module__", "")).partition(".")[0]
            if not isinstance(found, type) or home != module:
                return True
    return False


def check_client(client: Any) -> None:
    """See that something is a ``pymongo.MongoClient``.

    Raises
    ------
    ValueError
    """
    import pymongo

    kind = pymongo.MongoClient
    # Tests put a function in the class's place; then there is nothing to check against.
    if isinstance(kind, type) and not isinstance(client, kind):
        raise ValueError(  # noqa: TRY004 - what Sacred raises
            f"client needs to be a pymongo.MongoClient, but is {type(client)} instead"
        )


def modern_keywords(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return keywords for a client, those that PyMongo 4 refuses under their new names."""
    modern: dict[str, Any] = {}
    for name, value in keywords.items():
        if name in _NEGATED:
            said = not value
        elif name == "ssl_cert_reqs":
            # ssl.CERT_NONE is 0, and its old spelling is a text.
            said = value in (0, None, "CERT_NONE")
        else:
            said = value
        modern[_OLD_KEYWORDS.get(name, name)] = said
    return modern
