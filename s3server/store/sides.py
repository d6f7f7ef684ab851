"""Side files: what of an object's record is too long for its attribute (part lists, long metadata).

Rules
- The attribute names the side file by a random id, so the rename that publishes the object publishes both.
- A side file names its object.  A reference is good when both agree; a file that other tools moved takes its side
  file over once the object named there has gone; a mere copy has none and keeps what its attribute tells.
- It is deleted only by the sweep, when it is older than a day and its object no longer refers to it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from curvinefs.api import FileSystem, FsError, NotFound
from s3server.store.publish import Publisher, Spot
from s3server.store.record import ATTRIBUTE, INLINE, Record, decode, decode_side, encode, encode_attribute, encode_side
from s3server.store.state import ROOT, make_directories, read_file, write_document

_ID = re.compile(r"[0-9a-f]{32}")


class Sides:
    """The side files of one store; ``id_of`` answers a bucket's id."""

    def __init__(self, fs: FileSystem, id_of: Callable[[str], str], publisher: Publisher) -> None:
        self._fs = fs
        self._id_of = id_of
        self._publisher = publisher

    def directory(self, bucket: str) -> str:
        return f"{ROOT}/b/{self._id_of(bucket)}/side"

    def seal(self, spot: Spot, record: Record, now_ms: int) -> tuple[Record, bytes]:
        """Answer the record and its attribute's value, with the side file written where one is needed.

        ``now_ms``: POSIX time in ms.  The side file carries it: no sweep takes it before the attribute refers to it.
        """
        data = encode(record)
        if len(data) <= INLINE and record.parts is None:
            return record, data
        side = secrets.token_hex(16)
        record = replace(record, side=side)
        directory = self.directory(spot.bucket)
        value, mtime_ns = encode_side(record, spot.bucket, spot.key), now_ms * 1_000_000
        try:
            try:
                write_document(self._fs, f"{directory}/{side}", value, mtime_ns)
            except NotFound:
                make_directories(self._fs, directory)
                write_document(self._fs, f"{directory}/{side}", value, mtime_ns)
        except FsError:
            with suppress(FsError):  # perhaps only its flush failed
                self._fs.delete(f"{directory}/{side}")
            raise
        return record, encode_attribute(record)

    def read(self, spot: Spot, record: Record) -> Record | None:
        """The whole record of an object that refers to a side file; None when that is another object's.

        Raises NotFound when there is no such side file.
        """
        try:
            bucket, key, full = self.load(spot, record)
        except ValueError:
            return None
        side = record.side or ""
        if (bucket, key) != (spot.bucket, spot.key):
            if self.is_referred(bucket, key, side):
                return None
            path = f"{self.directory(spot.bucket)}/{side}"
            with suppress(FsError):  # nothing that a reader need know: the next one tries again
                write_document(self._fs, path, encode_side(full, spot.bucket, spot.key), record.mtime_ms * 1_000_000)
        # The ACL may change under a side file, and only in the attribute.
        return replace(full, attributes=replace(full.attributes, acl=record.attributes.acl))

    def load(self, spot: Spot, record: Record) -> tuple[str, str, Record]:
        """Bucket, key and record in the side file that an object refers to; changes nothing.

        Raises NotFound; ValueError when it is damaged or was written with another version.
        """
        side = record.side or ""
        if not _ID.fullmatch(side):
            raise ValueError(f"{side}: no id of a side file")
        path = f"{self.directory(spot.bucket)}/{side}"
        decoded = decode_side(read_file(self._fs, path))
        if decoded is None:
            raise ValueError(f"{path}: damaged")
        bucket, key, _, full = decoded
        if (full.etag, full.size, full.mtime_ms) != (record.etag, record.size, record.mtime_ms):
            raise ValueError(f"{path}: of another version")
        return bucket, key, full

    def is_referred(self, bucket: str, key: str, side: str) -> bool:
        """True when the object at a key refers to this side file."""
        found = self._publisher.where(self._publisher.spot(bucket, key))
        record = decode(found[1].x_attr.get(ATTRIBUTE)) if found else None
        return record is not None and record.side == side

    def discard(self, spot: Spot, side: str) -> None:
        """Delete the side file of an object that was not published; what resists is swept.

        It may have been, and only the flush failed: then it stays.
        """
        with suppress(FsError):
            if not self.is_referred(spot.bucket, spot.key, side):
                self._fs.delete(f"{self.directory(spot.bucket)}/{side}")
