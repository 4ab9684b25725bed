"""The place of Sacred's ``GoogleCloudStorageObserver``, which is still to come: importing it says so."""

from sacred.observers.later import not_here_yet

raise not_here_yet("GoogleCloudStorageObserver")
