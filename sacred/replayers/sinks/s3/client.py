"""Clients of S3, each for all the runs of a process."""

from __future__ import annotations

import os
import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.utils import determine_content_length

__all__ = ["client_for"]

#: What is sent without asking (bytes).
_SMALL = 1 << 20
_clients: dict[tuple[int, str | None, str | None], Any] = {}
_lock = threading.Lock()


def client_for(endpoint_url: str | None, region: str | None) -> Any:
    """Return a client; keys are what boto3 finds in the environment and its files.

    It stays as long as the process: to make one takes a fifth of a second, and a replay opens a
    view for each run.
    """
    key = (os.getpid(), endpoint_url, region)
    with _lock:
        found = _clients.get(key)
        if found is None:
            found = _clients[key] = _new_client(endpoint_url, region)
        return found


def _new_client(endpoint_url: str | None, region: str | None) -> Any:
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
    client = session.client("s3", region_name=region, endpoint_url=endpoint_url, config=config)
    client.meta.events.register("before-sign.s3.PutObject", _ask_no_leave)
    return client


def _ask_no_leave(request: Any, **_: Any) -> None:
    """Send a small object at once: to ask first whether it may come is a round trip more."""
    if "Expect" in request.headers:
        size = determine_content_length(request.data)
        if size is not None and size <= _SMALL:
            del request.headers["Expect"]
