"""Install what the tests speak to or compare with: ``python tests/servers/install.py``.

As root, missing Debian packages are installed; else this says which, and fails (exit status 2).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers import databases, engines, gcs, mongo, peer, s3


def main() -> int:
    """Install; return the exit status."""
    missing = sorted(
        {
            *mongo.missing_packages(),
            *databases.missing_packages(),
            *engines.missing_packages(),
        }
    )
    if missing:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            print(
                f"The tests need programs that are missing: apt-get install {' '.join(missing)}",
                file=sys.stderr,
            )
            return 2
        print(f"installing {' '.join(missing)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (
            ["update", "-q"],
            ["install", "-y", "-q", "--no-install-recommends", *missing],
        ):
            done = subprocess.run(
                ["apt-get", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                timeout=1200,
                check=False,
            )
            if done.returncode:
                print(f"apt-get {arguments[0]} failed", file=sys.stderr)
                return 2
    try:
        mongo.install()
        peer.install()
        engines.install()
        s3.install()
        gcs.install()
    except mongo.ServerMissingError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
