"""SHA-256 and MD5 for names of content, at a start without OpenSSL.

``hashlib`` loads OpenSSL, which takes 3 ms of an empty run's 110. The interpreter has both
algorithms itself: SHA-256 there is six times slower (280 MB/s against 1,670 on the machine of the
benchmarks), which is nothing for sources of some kilobytes and much for data sets. So who is about
to store files or large values says :func:`load_openssl` first.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import md5 as _own_md5
    from hashlib import sha256 as _own_sha256
    from typing import Protocol

    class Digest(Protocol):
        """What content is added to."""

        def update(self, content: bytes, /) -> None:
            """Add content."""

        def hexdigest(self) -> str:
            """Return what it is so far, in hexadecimal."""
else:
    try:
        from _md5 import md5 as _own_md5

        try:
            from _sha2 import sha256 as _own_sha256
        except ImportError:  # before 3.12
            from _sha256 import sha256 as _own_sha256
    except ImportError:  # an interpreter that is built without them
        from hashlib import md5 as _own_md5
        from hashlib import sha256 as _own_sha256

__all__ = ["is_digest", "load_openssl", "md5", "sha256"]

_HEX = frozenset("0123456789abcdef")


def is_digest(text: str) -> bool:
    """Tell whether a text is a SHA-256 in hex."""
    # No pattern: a start would pay 80 us to compile it.
    return len(text) == 64 and _HEX.issuperset(text)


def load_openssl() -> None:
    """Load the fast SHA-256; 3 ms, once.

    To be called in a thread of the program, or where forks wait: a child that is forked while
    another thread loads a module waits for it for ever.
    """
    import hashlib  # noqa: F401


def sha256(content: bytes = b"") -> Digest:
    """Return a SHA-256 of some content."""
    make = getattr(sys.modules.get("hashlib"), "sha256", _own_sha256)
    made: Digest = make(content)
    return made


def md5(content: bytes = b"") -> Digest:
    """Return an MD5 of some content: a name in Sacred's documents, it protects nothing."""
    make = getattr(sys.modules.get("hashlib"), "md5", _own_md5)
    made: Digest = make(content, usedforsecurity=False)
    return made
