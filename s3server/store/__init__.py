"""The object store: buckets and keys over any curvinefs file system, one method for each storage command.

From the bottom up: ``keypath`` (names), ``record`` (attributes), ``state`` (our own files), ``publish`` (how a name
changes), ``sides`` (long records), ``listing`` (key order), ``uploads`` (multipart on disk); then the commands in three
layers, ``objects``, ``multipart`` and ``buckets``; and ``sweep`` (left-overs).
"""

from s3server.store.buckets import ObjectStore
from s3server.store.sweep import Finding, Sweeper

__all__ = ["Finding", "ObjectStore", "Sweeper"]
