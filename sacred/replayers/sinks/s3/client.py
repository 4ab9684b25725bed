"""Clients of S3, each for all the runs of a process."""

from __future__ import annotations

import os
import threading
from typing import Any

import boto3
from botocore.config import Config

__all__ = ["borrow_client", "return_client"]

_clients: dict[tuple[int, str | None, str | None], list[Any]] = {}
_lock = threading.Lock()


def borrow_client(endpoint_url: str | None, region: str | None) -> Any:
    """Return a client; keys are what boto3 finds in the environment and its files."""
    key = (os.getpid(), endpoint_url, region)
    with _lock:
        found = _clients.get(key)
        if found is None:
            config = Config(
                # The follower tries again, and a store that swallows packets must not hold a view.
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=60,
                user_agent_extra="sacred-journal",
                # Other stores than AWS's know neither these checksums nor a bucket's own host.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path"} if endpoint_url else None,
            )
            # Of its own: the session that boto3 shares is not for several threads.
            session = boto3.session.Session()
            client = session.client(
                "s3", region_name=region, endpoint_url=endpoint_url, config=config
            )
            found = _clients[key] = [client, 0]
        found[1] += 1
        return found[0]


def return_client(client: Any) -> None:
    """Give a client back; the last one who does closes it."""
    with _lock:
        for key, found in list(_clients.items()):
            if found[0] is client:
                found[1] -= 1
                if found[1] <= 0:
                    del _clients[key]
                    client.close()
