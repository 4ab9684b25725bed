"""The compose file of docs/omniboard.md says what it has to; its images are not pulled here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "omniboard.md"


def test_the_compose_file() -> None:
    """It is YAML; what it names is there; ports are open to this machine alone, as the page says."""
    yaml = pytest.importorskip("yaml")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    found = yaml.safe_load(block)
    assert set(found) == {"services", "volumes"}
    services = found["services"]
    for service in services.values():
        assert set(service) <= {"image", "command", "ports", "volumes", "depends_on"}
        assert re.fullmatch(r"[\w./-]+:[\w.]+", service["image"])
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in found["volumes"]
        for port in service["ports"]:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    server, _, port_and_database = services["omniboard"]["command"][1].partition(":")
    assert server in services
    assert port_and_database == "27017:sacred"
