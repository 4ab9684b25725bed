"""S3: the observer that declares a view in a bucket."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import checked_priority, file_name
from sacred.core.lending import lend
from sacred.core.view_options import s3_option
from sacred.observers.declaration import declares_a_view
from sacred.observers.object_entry import ObjectEntry, checked_bucket, joined, require_driver

if TYPE_CHECKING:
    from sacred.replayers.objects.store import ObjectStore

__all__ = ["DEFAULT_S3_PRIORITY", "S3Observer", "is_valid_bucket", "s3_option", "s3_join"]

DEFAULT_S3_PRIORITY = 20


@declares_a_view
class S3Observer(ObjectEntry):
    """Declares that runs shall be written as objects of an S3 bucket.

    Nothing is connected here: a process of its own writes the run from its journal, and makes the
    bucket if it is not there. A subclass, or an observer with a replaced method, is called event by
    event instead, in the run's process, and writes as Sacred's does. Keys are what boto3 finds in
    the environment, in ``~/.aws`` or from the machine.

    Parameters
    ----------
    bucket
        Its name.
    basedir
        What the names of all objects begin with: a run's are ``<basedir>/<id>/run.json`` and so on.
    resource_dir, source_dir
        Where resources and sources are kept; ``<basedir>/_resources`` and ``_sources`` by default.
    priority
        Higher ones are asked for a run's id first.
    region
        Of the bucket; by default what ``AWS_DEFAULT_REGION`` or the driver's configuration says.
    endpoint_url
        Another store that speaks S3; by default what ``AWS_ENDPOINT_URL`` says. Not in Sacred.
    required
        True: a run does not begin without the view, and ends when it has everything. Not in Sacred.

    Raises
    ------
    ValueError
        No bucket can have this name, nothing says a region, or ``endpoint_url`` is none.
    ImportError
        boto3 is not installed.
    InvalidArgumentError
        ``bucket`` or ``basedir`` is no text, or ``priority`` no number. It is a ``TypeError``.
    """

    VERSION = "S3Observer-0.1.0"
    _scheme = "s3"

    def __init__(
        self,
        bucket: str,
        basedir: str | os.PathLike[str],
        resource_dir: str | os.PathLike[str] | None = None,
        source_dir: str | os.PathLike[str] | None = None,
        priority: int = DEFAULT_S3_PRIORITY,
        region: str | None = None,
        endpoint_url: str | None = None,
        required: bool = False,
    ) -> None:
        name = type(self).__name__
        require_driver(name, "boto3", "boto3")
        self.bucket = checked_bucket(bucket, name, is_valid_bucket)
        self.basedir = file_name(basedir, f"{name}(bucket, PATH)")
        self._set_places(resource_dir, source_dir)
        self.region = region or region_of_environment()
        if self.region is None:
            raise ValueError(
                "You must either pass in an AWS region name, or have a region name specified in "
                f'your AWS config file: {name}(..., region="eu-central-1"), or set '
                "AWS_DEFAULT_REGION."
            )
        self.endpoint_url = _endpoint_of(endpoint_url)
        self.priority = checked_priority(priority, name)
        self.required = required

    def _specification(self) -> dict[str, Any]:
        from sacred.replayers.objects.address import objects_spec

        options = {
            "endpoint_url": self.endpoint_url,
            "region": self.region,
            "resource_dir": os.fspath(self.resource_dir),
            "source_dir": os.fspath(self.source_dir),
            "priority": self.priority,
        }
        return objects_spec("s3", "s3", self.bucket, self.basedir, **options).to_wire()

    def _new_store(self) -> ObjectStore:
        from sacred.replayers.sink import SinkSpec
        from sacred.replayers.sinks.s3.store import S3Store

        # An observer that is called leaves nothing beside Sacred's objects.
        return S3Store(SinkSpec.from_wire(self._specification()), probes=False)


def is_valid_bucket(bucket_name: str) -> bool:
    """Tell whether S3 allows a bucket of this name."""
    from sacred.replayers.objects.address import bucket_is_valid

    return bucket_is_valid(bucket_name)


def s3_join(*args: str) -> str:
    """Join the parts of an object's name."""
    return joined(*args)


def region_of_environment() -> str | None:
    """Return the region that the driver would take, without loading it."""
    named = os.environ.get("AWS_DEFAULT_REGION")
    if named:
        return named
    import configparser

    file = os.path.expanduser(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read(file, encoding="utf-8")
    except (configparser.Error, OSError, ValueError):
        return None
    for section in (profile, f"profile {profile}", f'profile "{profile}"'):
        if config.has_option(section, "region"):
            return config.get(section, "region") or None
    return None


def _endpoint_of(given: str | None) -> str | None:
    from sacred.replayers.objects.address import endpoint_of

    return endpoint_of(given)


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    RunObserver="sacred.core.observers",
    cli_option="sacred.core.options",
    flatten="sacred.serializer",
    get_digest="sacred.core.sources",
)
