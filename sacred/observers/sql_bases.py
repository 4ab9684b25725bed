"""Sacred's rows as objects of SQLAlchemy, for programs that query the tables themselves.

::

    session = SqlObserver("sqlite:///runs.db").session
    session.query(Run).filter_by(status="COMPLETED").all()

Importing this module loads SQLAlchemy. Classes and columns have Sacred's names.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import DeclarativeBase, relationship

from sacred.core.lending import lend
from sacred.core.sources import get_digest
from sacred.replayers.sinks.sql import tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

__all__ = [
    "Artifact",
    "Base",
    "Dependency",
    "Experiment",
    "Host",
    "Repository",
    "Resource",
    "Run",
    "Source",
]


experiment_dependency_association = tables.experiments_dependencies
experiment_repository_association = tables.experiments_repositories
experiment_source_association = tables.experiments_sources
run_resource_association = tables.runs_resources


class Base(DeclarativeBase):
    """Base of the classes; ``Base.metadata`` has the tables."""

    metadata = tables.SACRED

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a column's value: the columns are the table's."""

        def __setattr__(self, name: str, value: Any) -> None:
            """Set a column's value."""


def text_of(content: bytes) -> str:
    """Return a content as a text column can hold it."""
    return content.decode("utf-8", "replace").replace("\0", "\ufffd")


class Source(Base):
    """A source file."""

    __table__ = tables.source

    @classmethod
    def get_or_create(
        cls, filename: str, md5sum: str, session: Session, basedir: str | os.PathLike[str]
    ) -> Source:
        """Return the row of a file, which is read if there is none.

        What is no text in UTF-8 is stored as far as it is.
        """
        known = session.query(cls).filter_by(filename=filename, md5sum=md5sum).first()
        row = known or cls(filename=filename, md5sum=md5sum)
        if row.content is None:
            path = os.path.join(basedir, filename)
            # One that was changed since is not what ran.
            if os.path.isfile(path) and get_digest(path) == md5sum:
                with open(path, "rb") as file:
                    row.content = text_of(file.read())
        return row

    def to_json(self) -> dict[str, Any]:
        """Return name and checksum."""
        return {"filename": self.filename, "md5sum": self.md5sum}


class Repository(Base):
    """A git repository at a commit."""

    __table__ = tables.repository

    @classmethod
    def get_or_create(
        cls, url: str, commit: str, dirty: bool | None, session: Session
    ) -> Repository:
        """Return the row of a repository's state."""
        facts = {"url": url, "commit": commit, "dirty": dirty}
        return session.query(cls).filter_by(**facts).first() or cls(**facts)

    def to_json(self) -> dict[str, Any]:
        """Return address, commit, and whether there were changes."""
        return {"url": self.url, "commit": self.commit, "dirty": self.dirty}


class Dependency(Base):
    """A package at a version."""

    __table__ = tables.dependency

    @classmethod
    def get_or_create(cls, dep: str, session: Session) -> Dependency:
        """Return the row of ``name==version``."""
        name, _, version = dep.partition("==")
        facts = {"name": name, "version": version}
        return session.query(cls).filter_by(**facts).first() or cls(**facts)

    def to_json(self) -> str:
        """Return ``name==version``."""
        return f"{self.name}=={self.version}"


class Artifact(Base):
    """A file that a run made."""

    __table__ = tables.artifact

    @classmethod
    def create(cls, name: str, filename: str | os.PathLike[str]) -> Artifact:
        """Return a new row with the content of a file."""
        with open(filename, "rb") as file:
            return cls(filename=name, content=file.read())

    def to_json(self) -> dict[str, Any]:
        """Return key and name."""
        return {"_id": self.artifact_id, "filename": self.filename}


class Resource(Base):
    """A file that a run needed."""

    __table__ = tables.resource

    @classmethod
    def get_or_create(cls, filename: str, session: Session) -> Resource:
        """Return the row of a file's content."""
        md5sum = get_digest(filename)
        known = session.query(cls).filter_by(filename=filename, md5sum=md5sum).first()
        if known is not None:
            return known
        with open(filename, "rb") as file:
            return cls(filename=filename, md5sum=md5sum, content=file.read())

    def to_json(self) -> dict[str, Any]:
        """Return name and checksum."""
        return {"filename": self.filename, "md5sum": self.md5sum}


class Host(Base):
    """A machine."""

    __table__ = tables.host

    @classmethod
    def get_or_create(cls, host_info: Mapping[str, Any], session: Session) -> Host:
        """Return the row of a machine."""
        system = host_info.get("os")
        pair = (*system, None, None)[:2] if isinstance(system, (list, tuple)) else (system, None)
        facts = {
            "hostname": host_info.get("hostname"),
            "cpu": host_info.get("cpu"),
            "os": pair[0],
            "os_info": pair[1],
            "python_version": host_info.get("python_version"),
        }
        return session.query(cls).filter_by(**facts).first() or cls(**facts)

    def to_json(self) -> dict[str, Any]:
        """Return what the run's ``host`` was."""
        return {
            "cpu": self.cpu,
            "hostname": self.hostname,
            "os": [self.os, self.os_info],
            "python_version": self.python_version,
        }


class Experiment(Base):
    """An experiment, as its code was."""

    __table__ = tables.experiment

    sources = relationship(Source, secondary=experiment_source_association)
    repositories = relationship(Repository, secondary=experiment_repository_association)
    dependencies = relationship(Dependency, secondary=experiment_dependency_association)

    @classmethod
    def get_or_create(cls, ex_info: Mapping[str, Any], session: Session) -> Experiment:
        """Return the row of an experiment, known by the checksum of all that is said of it."""
        said = json.dumps(ex_info, default=str)
        md5sum = hashlib.md5(said.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
        known = session.query(cls).filter_by(md5sum=md5sum).first()
        if known is not None:
            return known
        base = str(ex_info.get("base_dir") or "")
        return cls(
            name=ex_info.get("name"),
            md5sum=md5sum,
            base_dir=ex_info.get("base_dir"),
            sources=[
                Source.get_or_create(str(name), md5, session, base)
                for name, md5 in ex_info.get("sources") or ()
            ],
            repositories=[
                Repository.get_or_create(one["url"], one["commit"], one["dirty"], session)
                for one in ex_info.get("repositories") or ()
            ],
            dependencies=[
                Dependency.get_or_create(str(one), session)
                for one in ex_info.get("dependencies") or ()
            ],
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the run's ``experiment`` was."""
        return {
            "name": self.name,
            "sources": [one.to_json() for one in self.sources],
            "repositories": [one.to_json() for one in self.repositories],
            "dependencies": [one.to_json() for one in self.dependencies],
            "base_dir": self.base_dir,
        }


class Run(Base):
    """A run."""

    __table__ = tables.run

    host = relationship(Host)
    experiment = relationship(Experiment)
    resources = relationship(Resource, secondary=run_resource_association)
    artifacts = relationship(Artifact, order_by=tables.artifact.c.artifact_id, back_populates="run")

    def to_json(self) -> dict[str, Any]:
        """Return the run as Sacred shows it: all of it but ``info``."""
        return {
            "_id": self.run_id,
            "command": self.command,
            "start_time": self.start_time,
            "heartbeat": self.heartbeat,
            "stop_time": self.stop_time,
            "queue_time": self.queue_time,
            "status": self.status,
            "result": self._result(),
            "meta": {"comment": self.comment, "priority": self.priority},
            "resources": [one.to_json() for one in self.resources],
            "artifacts": [one.to_json() for one in self.artifacts],
            "host": self.host.to_json() if self.host is not None else None,
            "experiment": self.experiment.to_json() if self.experiment is not None else None,
            "config": _read(self.config or "{}"),
            "captured_out": self.captured_out,
            "fail_trace": self.fail_trace,
        }

    def _result(self) -> Any:
        if self.result is not None or self.result_json is None:
            return self.result
        return _read(self.result_json)


Artifact.run = relationship(Run, back_populates="artifacts")


def _read(text: str) -> Any:
    """Return what a text of JSON says, with tuples where Sacred marked some."""
    return sys.modules[__name__].restore(json.loads(text))


#: What Sacred's module has because it imports it.
lend(sys.modules[__name__], restore="sacred.serializer")
