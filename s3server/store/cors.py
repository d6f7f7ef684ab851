"""CORS rules of buckets: documents beside them, up to some 100 KB each.

Rules
- The bucket's attribute names its document by a random id, and a document never changes: so one change of the attribute
  puts all rules of a configuration in force, and a process reads each document once.
- A document goes when another one is in force.  A reader that comes too late for it looks at the attribute again.
- What a crash leaves is deleted by the sweep: when it is older than a day and no bucket refers to it.
- A document is the XML that the core reads and writes, so it is checked by the same parser again.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress

from curvinefs.api import FileSystem, FsError, NotFound
from s3proto import cors
from s3proto.errors import S3Error
from s3proto.model import CorsRule
from s3server.store.state import ROOT, Buckets, make_directories, read_file, write_document

log = logging.getLogger("curvine_s3_gateway.store")

MAX_KEPT = 64
"""Documents whose rules a process keeps: the largest take half a MiB of memory."""


class CorsRules:
    """The CORS rules of one store's buckets."""

    def __init__(self, fs: FileSystem, buckets: Buckets) -> None:
        self._fs = fs
        self._buckets = buckets
        self._kept: dict[str, tuple[CorsRule, ...]] = {}

    def rules(self, name: str, *, fresh: bool) -> tuple[CorsRule, ...]:
        """As of now (``fresh``), or of a second ago.  Raises NoSuchBucket."""
        missed = ""
        while True:
            if (document := self._buckets.known(name, fresh=fresh).cors) is None:
                return ()
            if (kept := self._kept.get(document)) is not None:
                return kept
            try:
                return self._keep(document, self._read(name, document))
            except NotFound:
                if document == missed:
                    log.warning("bucket %s: its CORS rules are missing", name)
                    return self._keep(document, ())
                missed, fresh = document, True  # another one is in force by now

    def _read(self, name: str, document: str) -> tuple[CorsRule, ...]:
        try:
            return cors.parse(read_file(self._fs, f"{self._directory(name)}/{document}"), cors.MAX_WRITTEN)
        except (ValueError, S3Error) as error:
            log.warning("bucket %s: its CORS rules are damaged: %s", name, error)
            return ()

    def _keep(self, document: str, rules: tuple[CorsRule, ...]) -> tuple[CorsRule, ...]:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[document] = rules
        return rules

    def _directory(self, name: str) -> str:
        return f"{ROOT}/b/{self._buckets.id_of(name)}/cors"

    def put(self, name: str, rules: tuple[CorsRule, ...], now: float) -> None:
        """Put other rules in force, or none.  ``now``: POSIX seconds.  Raises NoSuchBucket."""
        if not rules and self._buckets.find(name).cors is None:
            return
        bucket_id = self._buckets.id_of(name)
        directory = f"{ROOT}/b/{bucket_id}/cors"
        document = secrets.token_hex(16) if rules else None
        try:
            if document is not None:
                self._write(directory, document, rules, now)
            former = self._buckets.set_cors(name, bucket_id, document)
        except (FsError, S3Error):
            if document is not None:
                with suppress(FsError):
                    self._discard(name, f"{directory}/{document}", document)
            raise
        if former is not None:
            with suppress(FsError):  # what resists is swept
                self._fs.delete(f"{directory}/{former}")

    def _write(self, directory: str, document: str, rules: tuple[CorsRule, ...], now: float) -> None:
        path, value, mtime_ns = f"{directory}/{document}", cors.document(rules), int(now * 1e9)
        try:
            write_document(self._fs, path, value, mtime_ns)
        except NotFound:
            make_directories(self._fs, directory)
            write_document(self._fs, path, value, mtime_ns)

    def _discard(self, name: str, path: str, document: str) -> None:
        """Delete a document that did not come in force; it may have, and only a flush failed: then it stays."""
        try:
            in_force = self._buckets.find(name).cors == document
        except S3Error:  # the bucket has gone
            in_force = False
        if not in_force:
            self._fs.delete(path)
