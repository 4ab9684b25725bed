"""A store that speaks as Google Cloud Storage does: fake-gcs-server."""

from __future__ import annotations

import json
import urllib.request
from urllib.parse import quote

from servers.programs import ProgramServer, built_by_go

FAKE_GCS = "github.com/fsouza/fake-gcs-server@v1.56.1"


def install() -> None:
    """Have the program."""
    built_by_go("fake-gcs-server", FAKE_GCS)


class FakeGcsServer(ProgramServer):
    """fake-gcs-server; it keeps its data in memory, since on its disk names lose a slash in front."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        """As its documentation says."""
        program = str(built_by_go("fake-gcs-server", FAKE_GCS))
        listening = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port)]
        listening += ["-public-host", f"127.0.0.1:{self.port}", "-external-url", self.url]
        return [program, *listening, "-backend", "memory"], {}

    def _ask(self, path: str, content: bytes | None = None, method: str | None = None) -> bytes:
        request = urllib.request.Request(
            f"{self.url}{path}", content, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=100) as answer:
            return answer.read()

    def make_bucket(self, name: str) -> None:
        """Make a bucket, as its owner does before the first run."""
        self._ask("/storage/v1/b?project=test", json.dumps({"name": name}).encode())

    def objects(self, bucket: str, prefix: str, *, all_of: bool = False) -> dict[str, bytes]:
        """Return what is stored below a prefix; without ``all_of`` not what is in a ``.journal``."""
        place = f"/storage/v1/b/{bucket}/o"
        found, token = {}, ""
        while True:
            page = json.loads(self._ask(f"{place}?prefix={quote(prefix, safe='')}{token}"))
            for one in page.get("items", ()):
                if all_of or ".journal/" not in one["name"]:
                    found[one["name"]] = self._ask(
                        f"{place}/{quote(one['name'], safe='')}?alt=media"
                    )
            if not page.get("nextPageToken"):
                return found
            token = f"&pageToken={quote(page['nextPageToken'])}"

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object."""
        query = f"uploadType=media&name={quote(key, safe='')}"
        self._ask(f"/upload/storage/v1/b/{bucket}/o?{query}", content)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self._ask(f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}", method="DELETE")

    def buckets(self) -> list[str]:
        """Return the names of the buckets."""
        found = json.loads(self._ask("/storage/v1/b?project=test"))
        return [one["name"] for one in found.get("items", ())]
