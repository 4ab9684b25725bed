"""The addresses of copies: ``journal:DIR``, ``journal:s3://bucket/path``. No driver is loaded."""

from __future__ import annotations

import os

from sacred.journal.root import root_around
from sacred.replayers.address_options import place_and_options
from sacred.replayers.errors import SinkSpecError
from sacred.replayers.objects.address import gcs_spec, s3_spec
from sacred.replayers.sink import SinkSpec

__all__ = ["BUCKETS", "COPIES", "journal_spec"]

#: The file that marks a root as one of copies.
COPIES = ".sacred-copies"
#: What the addresses of buckets begin with.
BUCKETS = ("s3:", "gs:", "gcs:")


def journal_spec(text: str) -> SinkSpec:
    """Return the specification of a copy: ``journal:DIR``, ``journal:s3://...``, ``journal:gs://...``.

    Raises
    ------
    SinkSpecError
        The address names no place, or one that copies can not have.
    """
    place = text.partition(":")[2]
    if place.startswith(BUCKETS):
        spec = s3_spec(place) if place.startswith("s3:") else gcs_spec(place)
        return SinkSpec("journal", spec.url, spec.options, f"journal:{spec.url}")
    folder, _ = place_and_options(place.removeprefix("//"), (), "a copy of journals in a folder")
    if not folder:
        raise SinkSpecError(
            "a copy of journals needs a place: --to journal:DIR or --to journal:s3://bucket/path"
        )
    if "://" in place:
        scheme = place.partition("://")[0][:20]
        raise SinkSpecError(
            f"journals are not copied to {scheme}: write --to journal:DIR, "
            "--to journal:s3://bucket/path or --to journal:gs://bucket/path"
        )
    path = os.path.abspath(os.path.expanduser(folder))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise SinkSpecError(f"{path} is no folder: give copies one of their own, --to journal:DIR")
    root = root_around(path)
    if root is not None:
        own = os.path.realpath(path) == os.path.realpath(root.path)
        if not own:
            raise SinkSpecError(
                f"{path} is a place of journals (their root is {root.path}): "
                "give copies a folder of their own, --to journal:DIR"
            )
        if not os.path.lexists(os.path.join(path, COPIES)):
            raise SinkSpecError(
                f"{path} is a root that programs write: `sacred merge` brings runs into it, and "
                "copies need a folder of their own, --to journal:DIR"
            )
    return SinkSpec("journal", path, {}, f"journal:{path}")
