"""``python -m sacred``: the same as the command ``sacred``."""

from __future__ import annotations

from sacred.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
