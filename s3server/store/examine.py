"""Reading one object again: is it, and what lies beside it, still what was written?

Rules
- Nothing is changed.  What is compared is the strongest that is known: BLAKE3, else MD5 (an ETag that is one), else a
  checksum of the client's; of a multipart object each part; and the size.
- A finding speaks of one version.  It counts only when the same version still has the key after it was read; else the
  object is looked at again, and one that changes all the time is no finding.
- Bytes come from the disk, not from the page cache, where a local file can be told so, and leave none behind.
- A file is foreign when nobody wrote it through us or when its mtime tells that somebody rewrote it: it is read, and
  nothing is compared.  Another size under the old mtime is no rewriting.

Left out: parts of unfinished uploads; of a block with several replicas one is read, as by a GET.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from typing import NamedTuple

from curvinefs.api import File, FileStatus, FsError, NotFound, NotServed, Unavailable
from s3proto.errors import NoSuchBucket, NoSuchKey
from s3proto.model import Checksums
from s3server.digests import hasher
from s3server.store.buckets import ObjectStore
from s3server.store.publish import Publisher, Spot
from s3server.store.record import ATTRIBUTE, Record, decode, foreign

PIECE = 1 << 20
"""Bytes read at a time."""
ATTEMPTS = 3
"""How often an object is read that other writers replace meanwhile."""
_MD5 = re.compile("[0-9a-f]{32}")
_STRONGEST = ("SHA256", "SHA1", "CRC64NVME", "CRC32C", "CRC32")


class Outcome(StrEnum):
    """What became of one object; the text is for the report."""

    COMPARED = "compared with their digests"
    FOREIGN = "read only: written by other programs, no digest is known"
    REWRITTEN = "read only: rewritten by other programs, the old digest does not count"
    PARTLY = "read only: of their digests nothing, or not all, is left"
    CHANGED = "deleted or replaced while they were read"
    MOUNTED = "not read: their bytes are in mounted storage"
    UNREAD = "not read: see the findings"


class Kind(StrEnum):
    """Of a finding."""

    ROTTED = "rotted"
    """Other bytes than were written."""
    RECORD = "record damaged"
    """What lies beside the bytes: the attribute, or the side file."""
    UNREADABLE = "unreadable"
    """The bytes may be good, but are not to be had."""


class Finding(NamedTuple):
    kind: str
    bucket: str
    key: str
    etag: str
    """Empty where even that could not be read."""
    modified: float
    """POSIX seconds."""
    expected: str
    found: str


class Verdict(NamedTuple):
    outcome: Outcome
    size: int = 0
    """Bytes read."""
    findings: tuple[Finding, ...] = ()


class Stretch(NamedTuple):
    """Bytes of an object that one digest is known of, or (``algorithm`` None) none."""

    label: str
    length: int
    algorithm: str | None = None
    expected: str = ""


class Examiner:
    """Examines objects of one store, for any number of threads.

    ``take`` is asked for each piece before it is read, with its length: it may wait, or raise to break off.
    """

    def __init__(self, store: ObjectStore, take: Callable[[int], None]) -> None:
        self._store = store
        self._take = take
        self._publisher = Publisher(store.fs)

    def examine(self, bucket: str, key: str) -> Verdict:
        """Read one object.  Raises Unavailable when the store as a whole does not answer."""
        spot = self._publisher.spot(bucket, key)
        for _ in range(ATTEMPTS):
            before = self._status(spot)
            if before is None:
                break
            verdict = self._look(spot, before)
            if not verdict.findings or _same(before, self._status(spot)):
                return verdict
        return Verdict(Outcome.CHANGED)

    def unreadable(self, error: FsError, bucket: str, key: str, what: str, record: Record | None = None) -> Finding:
        """Raises Unavailable when it is the store as a whole that does not answer."""
        if isinstance(error, Unavailable):
            try:
                self._store.health()
            except FsError:
                raise error from None
        etag, modified = (record.etag, record.mtime_ms / 1000) if record else ("", 0.0)
        return Finding(Kind.UNREADABLE, bucket, key, etag, modified, what, str(error))

    def _status(self, spot: Spot) -> FileStatus | FsError | None:
        """What tells a version from the next one; None when there is no such object."""
        try:
            found = self._publisher.where(spot)
        except FsError as error:
            return error
        return found[1] if found else None

    def _look(self, spot: Spot, before: FileStatus | FsError) -> Verdict:
        record = None if isinstance(before, FsError) else _record(before, spot.key)
        with ExitStack() as opened:
            try:
                file = self._store.open_file(spot)
                opened.callback(file.close)
                record = _record(file.status, spot.key)
                return self._read(spot, file, record)
            except (NoSuchKey, NoSuchBucket):
                return Verdict(Outcome.CHANGED)
            except NotServed:
                return Verdict(Outcome.MOUNTED)
            except FsError as error:
                finding = self.unreadable(error, spot.bucket, spot.key, "its bytes", record)
                return Verdict(Outcome.UNREAD, 0, (finding,))

    def _read(self, spot: Spot, file: File, record: Record) -> Verdict:
        outcome, stretches, findings = self._known(spot, file.status, record)
        if stretches is None:
            return Verdict(Outcome.UNREAD, 0, tuple(findings))
        wrong, size = self._compare(file, stretches)
        if wrong:
            expected, found = wrong[0]
            found += f" (and {len(wrong) - 1} more parts)" if wrong[1:] else ""
            findings.append(_finding(Kind.ROTTED, spot, record, expected, found))
        return Verdict(outcome, size, tuple(findings))

    # ------------------------------------------------------------------------------------- what is known

    def _known(
        self, spot: Spot, status: FileStatus, record: Record
    ) -> tuple[Outcome, list[Stretch] | None, list[Finding]]:
        """What to compare the bytes with (None: not even their size fits), and what is wrong with the record."""
        whole = [Stretch("", status.len)]
        value = status.x_attr.get(ATTRIBUTE)
        if decode(value) is None:
            if value is None:
                return Outcome.FOREIGN, whole, []
            damaged = _finding(Kind.RECORD, spot, record, f"a record in the attribute {ATTRIBUTE}", "something else")
            return Outcome.PARTLY, whole, [damaged]
        if record.mtime_ms != status.mtime_ns // 1_000_000:
            return Outcome.REWRITTEN, whole, []
        if record.size != status.len:
            lengths = f"{record.size} bytes", f"{status.len} bytes"
            return Outcome.UNREAD, None, [_finding(Kind.ROTTED, spot, record, *lengths)]
        findings = []
        if record.side is not None:
            full, wrong = self._side(spot, record)
            record = full or record
            findings += wrong
        stretches = _stretches(record)
        known = all(stretch.algorithm for stretch in stretches)
        return Outcome.COMPARED if known else Outcome.PARTLY, stretches, findings

    def _side(self, spot: Spot, record: Record) -> tuple[Record | None, list[Finding]]:
        expected = f"its side file {record.side}"
        try:
            bucket, key, full = self._store.sides.load(spot, record)
            if (bucket, key) != (spot.bucket, spot.key) and self._store.sides.is_referred(bucket, key, full.side or ""):
                return None, []  # a copy that other programs made: it has none
            if full.parts is None or sum(part.size for part in full.parts) == full.size:
                return full, []
            found = "parts of another length"
        except NotFound:
            found = "no such file"
        except ValueError as error:
            found = str(error)
        except FsError as error:
            return None, [self.unreadable(error, spot.bucket, spot.key, expected, record)]
        return None, [_finding(Kind.RECORD, spot, record, expected, found)]

    # --------------------------------------------------------------------------------------- what is there

    def _compare(self, file: File, stretches: list[Stretch]) -> tuple[list[tuple[str, str]], int]:
        """Expected and found of what differs, and the bytes read."""
        wrong: list[tuple[str, str]] = []
        end = sum(stretch.length for stretch in stretches)
        buffer = memoryview(bytearray(max(1, min(PIECE, end))))
        near = _forget(file, 0, end)
        offset = 0
        for stretch in stretches:
            digest = hasher(stretch.algorithm) if stretch.algorithm else None
            left = stretch.length
            while left:
                self._take(min(left, PIECE))
                count = file.readinto(offset, buffer[:left])
                if not count:
                    return [*wrong, (f"{end} bytes", f"{offset} bytes")], offset
                if digest:
                    digest.update(buffer[:count])
                if near:
                    _forget(file, offset, count)
                offset, left = offset + count, left - count
            if digest and stretch.algorithm:
                found = _text(stretch.algorithm, digest.digest())
                if found != stretch.expected:
                    name = f"{stretch.label}{stretch.algorithm.upper()} "
                    wrong.append((name + stretch.expected, name + found))
        return wrong, offset


def _record(status: FileStatus, key: str) -> Record:
    """What a file's attribute says, whether it speaks for the file or not."""
    return decode(status.x_attr.get(ATTRIBUTE)) or foreign(status, key)


def _same(before: FileStatus | FsError, now: FileStatus | FsError | None) -> bool:
    """Errors have no version: twice the same kind of error is no change."""
    return before == now or (isinstance(before, FsError) and type(before) is type(now))


def _finding(kind: Kind, spot: Spot, record: Record, expected: str, found: str) -> Finding:
    return Finding(kind, spot.bucket, spot.key, record.etag, record.mtime_ms / 1000, expected, found)


def _stretches(record: Record) -> list[Stretch]:
    if record.parts is None:
        return [Stretch("", record.size, *_strongest(record.blake3, record.etag, record.checksums))]
    return [
        Stretch(f"part {part.number}: ", part.size, *_strongest(part.blake3, part.etag, Checksums(part.checksums)))
        for part in record.parts
    ]


def _strongest(blake3: str | None, etag: str, checksums: Checksums) -> tuple[str | None, str]:
    """Name and value of the digest to compare with."""
    if blake3 is not None:
        return "blake3", blake3
    if _MD5.fullmatch(etag):
        return "md5", etag
    known = {} if checksums.type == "COMPOSITE" else dict(checksums.values)
    return next(((name.lower(), known[name]) for name in _STRONGEST if name in known), (None, ""))


def _text(algorithm: str, digest: bytes) -> str:
    """As the record has it: hex, or what x-amz-checksum-* says."""
    return digest.hex() if algorithm in ("blake3", "md5") else base64.b64encode(digest).decode("ascii")


def _forget(file: File, first: int, length: int) -> bool:
    """Drop bytes of a file from the page cache; False where they do not come from local files."""
    extents = file.extents(first, length)
    for extent in extents or ():
        os.posix_fadvise(extent.fd, extent.offset, extent.length, os.POSIX_FADV_DONTNEED)
    return bool(extents)
