"""Google Cloud Storage: the observer that declares a view in a bucket."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import checked_priority, file_name
from sacred.core.lending import lend
from sacred.core.view_options import gcs_option
from sacred.observers.declaration import declares_a_view
from sacred.observers.object_entry import ObjectEntry, checked_bucket, joined, require_driver

if TYPE_CHECKING:
    from sacred.replayers.objects.store import ObjectStore

__all__ = [
    "DEFAULT_GCS_PRIORITY",
    "GoogleCloudStorageObserver",
    "gcs_join",
    "gcs_option",
    "is_valid_bucket",
]

DEFAULT_GCS_PRIORITY = 20


@declares_a_view
class GoogleCloudStorageObserver(ObjectEntry):
    """Declares that runs shall be written as objects of a bucket of Google Cloud Storage.

    Nothing is connected here: a process of its own writes the run from its journal. A subclass, or
    an observer with a replaced method, is called event by event instead, in the run's process, and
    writes as Sacred's does. Credentials are what Google's driver finds:
    ``GOOGLE_APPLICATION_CREDENTIALS``, those of ``gcloud``, or the machine's.

    Parameters
    ----------
    bucket
        Its name; it has to be there when a replayer writes.
    basedir
        What the names of all objects begin with: a run's are ``<basedir>/<id>/run.json`` and so on.
    resource_dir, source_dir
        Where resources and sources are kept; ``<basedir>/_resources`` and ``_sources`` by default.
    priority
        Higher ones are asked for a run's id first.
    required
        True: a run does not begin without the view, and ends when it has everything. Not in Sacred.

    Raises
    ------
    ValueError
        No bucket can have this name.
    ImportError
        google-cloud-storage is not installed.
    InvalidArgumentError
        ``bucket`` or ``basedir`` is no text, or ``priority`` no number. It is a ``TypeError``.
    """

    VERSION = "GoogleCloudStorageObserver-0.1.0"
    _scheme = "gs"

    def __init__(
        self,
        bucket: str,
        basedir: str | os.PathLike[str],
        resource_dir: str | os.PathLike[str] | None = None,
        source_dir: str | os.PathLike[str] | None = None,
        priority: int = DEFAULT_GCS_PRIORITY,
        required: bool = False,
    ) -> None:
        name = type(self).__name__
        require_driver(name, "google.cloud.storage", "google-cloud-storage")
        self.bucket = checked_bucket(bucket, name, is_valid_bucket)
        self.basedir = file_name(basedir, f"{name}(bucket, PATH)")
        self._set_places(resource_dir, source_dir)
        self.priority = checked_priority(priority, name)
        self.required = required

    def _specification(self) -> dict[str, Any]:
        from sacred.replayers.objects.address import objects_spec

        options = {
            "resource_dir": os.fspath(self.resource_dir),
            "source_dir": os.fspath(self.source_dir),
            "priority": self.priority,
        }
        return objects_spec("gcs", "gs", self.bucket, self.basedir, **options).to_wire()

    def _new_store(self) -> ObjectStore:
        from sacred.replayers.sink import SinkSpec
        from sacred.replayers.sinks.gcs.store import GcsStore

        return GcsStore(SinkSpec.from_wire(self._specification()))


def is_valid_bucket(bucket_name: str) -> bool:
    """Tell whether Google Cloud Storage allows a bucket of this name."""
    from sacred.replayers.objects.address import gcs_bucket_is_valid

    return gcs_bucket_is_valid(bucket_name)


def gcs_join(*args: str) -> str:
    """Join the parts of an object's name."""
    return joined(*args)


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    RunObserver="sacred.core.observers",
    cli_option="sacred.core.options",
    flatten="sacred.serializer",
    get_digest="sacred.core.sources",
)
