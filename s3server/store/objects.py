"""Objects: opening, publishing, copying and deleting them; the errors and handles that all of the store shares.

Rules: as in s3server.store, whose first layer this is.  Nothing here knows of buckets' owners or of uploads.
"""

from __future__ import annotations

import base64
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from curvinefs import api as fs_api
from curvinefs.api import Extent, File, FileSystem, FsError, IsADirectory, NotADirectory, NotFound, Writer
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import Checksums, DeleteEntry, DeleteResult, ListPage, ObjectInfo, OpenedObject
from s3server.digests import Digests
from s3server.spool import Spool
from s3server.store.keypath import MARKER, SELF
from s3server.store.listing import Walker, list_page
from s3server.store.publish import Condition, Publisher, Spot
from s3server.store.record import ATTRIBUTE, Record, encode_attribute, info_of, of_status
from s3server.store.settings import CORS, POLICY, TAGS, Settings
from s3server.store.sides import Sides
from s3server.store.state import Buckets
from s3server.store.uploads import PartSink, Uploads

log = logging.getLogger("curvine_s3_gateway.store")

COPY_PIECE = 1 << 20
"""Bytes read at a time where a copy must be hashed."""


def _mounted() -> e.S3Error:
    return e.RequestNotImplemented("This is kept in other storage that is mounted: not served by this gateway.")


_ERRORS: dict[type[FsError], Callable[[], e.S3Error]] = {
    fs_api.NoSpace: e.StorageFull,
    fs_api.NotPermitted: e.AccessDenied,
    fs_api.InvalidPath: e.InvalidArgument,
    fs_api.Unavailable: e.SlowDown,
    fs_api.LockTimeout: e.SlowDown,
    fs_api.NotServed: _mounted,
}
"""The same everywhere; what has a meaning of its own is caught where it arises, the rest is InternalError."""
RETRY_AFTER_S = 2
"""When a client should ask again: an election, or a worker that starts again, takes a few seconds."""

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Objects | ObjectSink | Content")


def mapped(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Let no FsError out of a method of the store."""

    @functools.wraps(method)
    def wrapper(self: S, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except FsError as error:
            raise s3_error(error) from error

    return wrapper  # type: ignore[return-value]  # functools.wraps names self


def s3_error(error: FsError) -> e.S3Error:
    """The S3Error of an FsError that no method has given a meaning."""
    kind = next((_ERRORS[base] for base in type(error).__mro__ if base in _ERRORS), None)
    if kind is None:
        log.error("%s: %s", type(error).__name__, error)
        return e.InternalError()
    log.warning("%s: %s", type(error).__name__, error)
    made = kind()
    if made.status == 503:
        made.headers.append(("Retry-After", str(RETRY_AFTER_S)))
    return made


class Content:
    """An opened object: its file and what we know of it; ``content`` of OpenedObject.  Closed by the driver."""

    __slots__ = ("file", "record")

    def __init__(self, file: File, record: Record) -> None:
        self.file = file
        self.record = record

    @property
    def size(self) -> int:
        return self.record.size

    @mapped
    def extents(self, first: int, length: int) -> Sequence[Extent] | None:
        return self.file.extents(first, length)

    @mapped
    def readinto(self, first: int, buffer: memoryview) -> int:
        return self.file.readinto(first, buffer)

    def close(self) -> None:
        self.file.close()


class ObjectSink:
    """A large body on its way to the directory where it will be published (``begin_body``)."""

    def __init__(self, store: Objects, spot: Spot | None, out: Writer | PartSink) -> None:
        self._store = store
        self.spot = spot
        self.out: Writer | PartSink | None = out
        self.size = 0

    @mapped
    def write(self, data: memoryview | bytes) -> None:
        assert self.out is not None
        try:
            self.out.write(data)
        except NotFound:
            self._store.lost(self.spot)
        self.size += len(data)

    def take(self) -> Writer | PartSink:
        """Hand what was received over to the publishing method, which closes it."""
        out, self.out = self.out, None
        assert out is not None
        return out

    def close(self) -> None:
        """Throw away what was never taken."""
        out, self.out = self.out, None
        if out is not None:
            self._store.drop(self.spot, out)


class Objects:
    """The first layer of the store; see ``s3server.store.ObjectStore`` for the arguments."""

    def __init__(
        self,
        fs: FileSystem,
        *,
        region: str = "us-east-1",
        uploads_fs: FileSystem | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.fs = fs
        self._now = now
        self._publisher = Publisher(fs)
        self.buckets = Buckets(fs, region)
        self.cors = Settings(CORS, fs, self.buckets)
        self.tags = Settings(TAGS, fs, self.buckets)
        self.policy = Settings(POLICY, fs, self.buckets)
        self.sides = Sides(fs, self.buckets.id_of, self._publisher)
        self.uploads = Uploads(uploads_fs or fs, self.buckets.id_of, now, shared=uploads_fs is None)
        self.met: deque[str] = deque(maxlen=10_000)
        """Paths of unfinished files that listings came across: looked at by the next sweep."""

    # ------------------------------------------------------------------------------------------ reading

    @mapped
    def list_objects(self, command: c.ListObjects) -> ListPage:
        page = list_page(
            Walker(self.fs, command.bucket, self.met.append),
            command.prefix,
            command.delimiter,
            command.after,
            command.limit,
        )
        if not page.objects and not page.prefixes:
            self.buckets.find(command.bucket)
        return page

    @mapped
    def head_object(self, command: c.HeadObject) -> ObjectInfo:
        _check_version(command.version_id)
        spot = self._publisher.spot(command.bucket, command.key)
        found = self._publisher.where(spot)
        if found is None:
            raise self._missing(spot)
        record = of_status(found[1], spot.key)
        if record.side is not None:
            content = self._open(spot)
            content.close()
            record = content.record
        return info_of(record, spot.key, with_parts=command.with_parts)

    @mapped
    def open_object(self, command: c.OpenObject) -> OpenedObject:
        _check_version(command.version_id)
        content = self._open(self._publisher.spot(command.bucket, command.key))
        return OpenedObject(info_of(content.record, command.key, with_parts=command.with_parts), content)

    def _open(self, spot: Spot) -> Content:
        """Open an object together with its whole record.  Raises NoSuchKey, NoSuchBucket."""
        missed: str | None = None
        while True:
            file = self.open_file(spot)
            record = of_status(file.status, spot.key)
            if record.side is None:
                return Content(file, record)
            try:
                full = self.sides.read(spot, record)
            except NotFound:
                full = None
                if missed != record.side:  # replaced at this moment, perhaps: look the object up again
                    missed = record.side
                    file.close()
                    continue
            except BaseException:
                file.close()
                raise
            return Content(file, full or replace(record, side=None))

    def open_file(self, spot: Spot) -> File:
        """Open an object's file.  Raises NoSuchKey, NoSuchBucket."""
        try:
            try:
                return self.fs.open(spot.path)
            except IsADirectory:
                if spot.place.name == MARKER:
                    raise NotFound(spot.path) from None
                return self.fs.open(f"{spot.path}/{SELF}")
        except (NotFound, NotADirectory, IsADirectory):
            raise self._missing(spot) from None

    def _missing(self, spot: Spot) -> e.S3Error:
        try:
            self.buckets.find(spot.bucket)
        except e.NoSuchBucket as error:
            return error
        return e.NoSuchKey(Key=spot.key)

    # ------------------------------------------------------------------------------------------ writing

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    @mapped
    def begin_body(self, target: c.BodyTarget, expected_size: int | None) -> ObjectSink:
        """Begin to receive a body too large for memory where it will lie.  Raises NoSuchBucket, NoSuchUpload."""
        if target.upload_id is not None and target.part_number is not None:
            part = self.uploads.begin_part(target.bucket, target.upload_id, target.part_number, expected_size)
            return ObjectSink(self, None, part)
        spot = self._publisher.spot(target.bucket, target.key)
        return ObjectSink(self, spot, self._publisher.stage(spot, expected_size))

    def drop(self, spot: Spot | None, out: Writer | PartSink) -> None:
        """Throw an unfinished body away, with the directories that were made for it."""
        try:
            out.close()
            if spot is not None:
                self._publisher.clean(spot)
        except FsError as error:
            log.warning("a left-over stays until the next sweep: %s", error)

    def lost(self, spot: Spot | None) -> NoReturn:
        """A file under construction went from under its writer: its bucket or (``spot`` None) its upload was."""
        if spot is None:
            raise e.NoSuchUpload()
        self._publisher.lost(spot)

    @mapped
    def put_object(self, command: c.PutObject) -> ObjectInfo:
        content: Spool = command.content
        spot = self._publisher.spot(command.bucket, command.key)
        record = Record(
            command.etag, content.size, self._now_ms(), command.attributes, command.checksums, content.blake3.hex()
        )
        condition = Condition(command.if_match, command.if_none_match)
        with self.fs.deferred():
            if isinstance(content.sink, ObjectSink):
                writer = content.sink.take()
                assert not isinstance(writer, PartSink)
            else:
                writer = self._publisher.stage(spot, content.size)
            self._publish(spot, writer, record, condition, content.memory or ())
        return info_of(record, spot.key)

    def _publish(
        self, spot: Spot, writer: Writer, record: Record, condition: Condition, pieces: Sequence[Any] = ()
    ) -> None:
        """Complete a staged file with ``pieces`` and publish it.  Closes ``writer``; after an error nothing stays."""
        side: str | None = None
        try:
            record, attribute = self.sides.seal(spot, record, self._now_ms())
            side = record.side
            try:
                for piece in pieces:
                    writer.write(piece)
                writer.complete({ATTRIBUTE: attribute}, record.mtime_ms * 1_000_000)
            except NotFound:
                self.lost(spot)
            self._publisher.publish(spot, writer, condition)
        except BaseException:
            self.drop(spot, writer)
            if side is not None:
                self.sides.discard(spot, side)
            raise
        writer.close()

    @mapped
    def copy_object(self, command: c.CopyObject) -> ObjectInfo:
        source: Content = command.source.content
        spot = self._publisher.spot(command.bucket, command.key)
        known = source.record
        attributes = command.attributes if command.attributes is not None else known.attributes
        algorithm = command.checksum_algorithm
        with self.fs.deferred():
            writer = self._publisher.stage(spot, known.size)
            try:
                if _is_ours(known) and (algorithm is None or _has_checksum(known, algorithm)):
                    writer.copy_from(source.file, 0, known.size)
                    record = replace(known, attributes=attributes, upload=None, side=None)
                else:
                    digests = copy_hashed(writer, source.file, 0, known.size, algorithm)
                    checksums = checksums_of(algorithm, digests)
                    record = Record(digests["md5"].hex(), known.size, 0, attributes, checksums, digests["blake3"].hex())
            except BaseException:
                self.drop(spot, writer)
                raise
            record = replace(record, mtime_ms=self._now_ms())
            self._publish(spot, writer, record, Condition(command.if_match, command.if_none_match))
        return info_of(record, spot.key)

    @mapped
    def put_object_acl(self, command: c.PutObjectAcl) -> None:
        def change(record: Record) -> Record:
            owner = record.attributes.owner
            if command.owner is not None and (owner is None or owner.id != command.owner.id):
                raise e.AccessDenied()
            return replace(record, attributes=replace(record.attributes, acl=command.acl))

        # A side file keeps the ACL that it was written with: the attribute's counts.
        self._change(command, change, keeps_side=True)

    @mapped
    def put_object_tagging(self, command: c.PutObjectTagging) -> None:
        self._change(command, lambda r: replace(r, attributes=replace(r.attributes, tags=command.tags)))

    def _change(
        self,
        command: c.PutObjectAcl | c.PutObjectTagging,
        change: Callable[[Record], Record],
        *,
        keeps_side: bool = False,
    ) -> None:
        """Change what is recorded of an object, not its bytes.  ``keeps_side``: what changes is in the attribute."""
        _check_version(command.version_id)
        spot = self._publisher.spot(command.bucket, command.key)
        with self.fs.lock(spot.lock) as held:
            found = self._publisher.where(spot)
            if found is None:
                raise self._missing(spot)
            record = of_status(found[1], spot.key)
            if record.side is not None and not keeps_side:
                with suppress(NotFound):  # a mere copy has none: what its attribute tells is all there is
                    record = self.sides.read(spot, record) or record
            changed = change(record)
            if changed == record:
                return
            if keeps_side and record.side is not None:
                attribute, side = encode_attribute(changed), None
            else:
                sealed, attribute = self.sides.seal(spot, replace(changed, side=None), self._now_ms())
                side = sealed.side
            try:
                held.check()
                self.fs.set_x_attr(found[0], {ATTRIBUTE: attribute})
            except FsError as error:
                # Where nobody can tell whether it was done, the new side file is left to the sweep.
                if side is not None and not isinstance(error, fs_api.Unavailable):
                    self.sides.discard(spot, side)
                if isinstance(error, NotFound):
                    raise self._missing(spot) from None
                raise

    # ----------------------------------------------------------------------------------------- deleting

    @mapped
    def delete_object(self, command: c.DeleteObject) -> DeleteResult:
        with self.fs.deferred():
            result = self._delete(command.bucket, command.entry)
        if result.error is not None:
            raise result.error
        return result

    @mapped
    def delete_objects(self, command: c.DeleteObjects) -> tuple[DeleteResult, ...]:
        self.buckets.find(command.bucket)
        results: list[DeleteResult] = []
        with self.fs.deferred():
            try:
                for entry in command.entries:
                    results.append(self._delete(command.bucket, entry))
            except fs_api.Unavailable as error:  # not a wait for each of a thousand
                made = s3_error(error)
                results += (DeleteResult(each.key, each.version_id, made) for each in command.entries[len(results) :])
        return tuple(results)

    def _delete(self, bucket: str, entry: DeleteEntry) -> DeleteResult:
        if entry.version_id not in (None, "null"):
            return DeleteResult(entry.key, entry.version_id)
        try:
            condition = Condition(entry.if_match, None, entry.if_size, entry.if_modified)
            if not self._publisher.remove(self._publisher.spot(bucket, entry.key), condition):
                self.buckets.find(bucket)
        except e.S3Error as error:
            return DeleteResult(entry.key, entry.version_id, error)
        except fs_api.Unavailable:
            raise
        except FsError as error:
            return DeleteResult(entry.key, entry.version_id, s3_error(error))
        return DeleteResult(entry.key, entry.version_id)


def _check_version(version_id: str | None) -> None:
    if version_id not in (None, "null"):
        raise e.NoSuchVersion(VersionId=version_id)


def _is_ours(record: Record) -> bool:
    """True when ETag and digests are of the bytes, so that a copy may take them over."""
    return record.blake3 is not None or record.parts is not None


def _has_checksum(record: Record, algorithm: str) -> bool:
    return record.checksums.type == "FULL_OBJECT" and any(a == algorithm for a, _ in record.checksums.values)


def copy_hashed(
    out: Writer | PartSink, source: File, first: int, length: int, algorithm: str | None
) -> Mapping[str, bytes]:
    """Copy bytes of a file and answer their digests.  Raises InternalError when the file is shorter."""
    digests = Digests(("md5", "blake3", *((algorithm.lower(),) if algorithm else ())))
    buffer = memoryview(bytearray(min(COPY_PIECE, max(length, 1))))
    done = 0
    while done < length:
        n = source.readinto(first + done, buffer[: min(len(buffer), length - done)])
        if n == 0:
            raise e.InternalError("The source of the copy is shorter than it was.")
        digests.update(buffer[:n])
        out.write(buffer[:n])
        done += n
    return digests.values()


def checksums_of(algorithm: str | None, digests: Mapping[str, bytes]) -> Checksums:
    if algorithm is None:
        return Checksums()
    return Checksums(((algorithm, base64.b64encode(digests[algorithm.lower()]).decode()),), "FULL_OBJECT")
