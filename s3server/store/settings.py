"""Settings of buckets that can be long (CORS rules, tags, policies): documents beside them, one for each kind.

Rules
- The bucket's attribute names each document by a random id, and a document never changes: so one change of the
  attribute puts a whole setting in force, and a process reads each document once.
- A document goes when another one is in force.  A reader that comes too late for it looks at the attribute again.
- What a crash leaves is deleted by the sweep: when it is older than a day and no bucket refers to it.
- A document is the XML or JSON that the core reads and writes, so it is checked by the same parser again.
- One that is damaged or missing counts as none; but a policy then denies everything, as nobody knows what it denied.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from curvinefs.api import FileSystem, FsError, NotFound
from s3proto import bucket_policy, cors, tagging
from s3proto.bucket_policy import BucketPolicy
from s3proto.errors import S3Error
from s3proto.model import CorsRule, Pairs
from s3server.store.state import ROOT, Buckets, make_directories, read_file, write_document

log = logging.getLogger("curvine_s3_gateway.store")

MAX_KEPT = 64
"""Documents of a kind that a process keeps: the largest CORS rules take half a MiB of memory."""

T = TypeVar("T")


class Kind(NamedTuple, Generic[T]):
    """One kind of setting; an empty value is none at all."""

    name: str
    """One of ``state.KINDS``: in the bucket's attribute, and of the directory."""
    parse: Callable[[bytes, str], T]
    """Document and name of the bucket.  Raises S3Error, ValueError."""
    document: Callable[[T], bytes]
    empty: T
    unreadable: T
    """Stands for a document that is damaged or missing."""


CORS: Kind[tuple[CorsRule, ...]] = Kind(
    "cors", lambda data, _: cors.parse(data, cors.MAX_WRITTEN), cors.document, (), ()
)
TAGS: Kind[Pairs] = Kind("tags", lambda data, _: tagging.parse(data, tagging.MAX_BUCKET_TAGS), tagging.document, (), ())
POLICY: Kind[BucketPolicy | None] = Kind(
    "policy", bucket_policy.parse, lambda policy: policy.text.encode() if policy else b"", None, bucket_policy.LOCKED
)


class Settings(Generic[T]):
    """The settings of one kind of one store's buckets."""

    def __init__(self, kind: Kind[T], fs: FileSystem, buckets: Buckets) -> None:
        self._kind = kind
        self._fs = fs
        self._buckets = buckets
        self._kept: dict[tuple[str, str], T] = {}

    def get(self, name: str, *, fresh: bool) -> T:
        """As of now (``fresh``), or of a second ago.  Raises NoSuchBucket."""
        missed = ""
        while True:
            if (document := self._buckets.known(name, fresh=fresh).documents.get(self._kind.name)) is None:
                return self._kind.empty
            if (kept := self._kept.get((name, document))) is not None:
                return kept
            try:
                return self._keep(name, document, self._read(name, document))
            except NotFound:
                if document == missed:
                    log.warning("bucket %s: its document is missing: %s", name, self._kind.name)
                    return self._keep(name, document, self._kind.unreadable)
                missed, fresh = document, True  # another one is in force by now

    def _read(self, name: str, document: str) -> T:
        try:
            return self._kind.parse(read_file(self._fs, f"{self._directory(name)}/{document}"), name)
        except (ValueError, S3Error) as error:
            log.warning("bucket %s: its document is damaged: %s: %s", name, self._kind.name, error)
            return self._kind.unreadable

    def _keep(self, name: str, document: str, value: T) -> T:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[name, document] = value  # a policy means another thing in a renamed bucket
        return value

    def _directory(self, name: str) -> str:
        return f"{ROOT}/b/{self._buckets.id_of(name)}/{self._kind.name}"

    def put(self, name: str, value: T, now: float) -> None:
        """Put another value in force, or none.  ``now``: POSIX seconds.  Raises NoSuchBucket."""
        if not value and self._kind.name not in self._buckets.find(name).documents:
            return
        bucket_id = self._buckets.id_of(name)
        directory = f"{ROOT}/b/{bucket_id}/{self._kind.name}"
        document = secrets.token_hex(16) if value else None
        try:
            if document is not None:
                self._write(directory, document, value, now)
            former = self._buckets.set_document(name, bucket_id, self._kind.name, document)
        except (FsError, S3Error):
            if document is not None:
                with suppress(FsError):
                    self._discard(name, f"{directory}/{document}", document)
            raise
        if former is not None:
            with suppress(FsError):  # what resists is swept
                self._fs.delete(f"{directory}/{former}")

    def _write(self, directory: str, document: str, value: T, now: float) -> None:
        path, data, mtime_ns = f"{directory}/{document}", self._kind.document(value), int(now * 1e9)
        try:
            write_document(self._fs, path, data, mtime_ns)
        except NotFound:
            make_directories(self._fs, directory)
            write_document(self._fs, path, data, mtime_ns)

    def _discard(self, name: str, path: str, document: str) -> None:
        """Delete a document that did not come in force; it may have, and only a flush failed: then it stays."""
        try:
            in_force = self._buckets.find(name).documents.get(self._kind.name) == document
        except S3Error:  # the bucket has gone
            in_force = False
        if not in_force:
            self._fs.delete(path)
