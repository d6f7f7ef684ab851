"""Multipart uploads as storage commands: the second layer of the store.

Rules: as in s3server.store.  How an upload lies on disk is the affair of s3server.store.uploads; how a name changes, of
s3server.store.publish.
"""

from __future__ import annotations

from dataclasses import replace

from curvinefs.api import NotFound, Writer
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import Completed, ObjectInfo, Part, PartPage, Upload, UploadPage
from s3server.spool import Spool
from s3server.store.objects import Content, Objects, ObjectSink, checksums_of, copy_hashed, mapped
from s3server.store.publish import Condition, Moved, Spot
from s3server.store.record import ATTRIBUTE, PartRecord, Record, decode, info_of
from s3server.store.uploads import PartSink, StoredPart, page_of


class Multipart(Objects):
    """Adds uploads to objects."""

    @mapped
    def create_multipart_upload(self, command: c.CreateMultipartUpload) -> str:
        with self.fs.deferred():
            return self.uploads.create(
                command.bucket,
                command.key,
                command.owner,
                command.attributes,
                command.checksum_algorithm,
                command.checksum_type,
            )

    @mapped
    def head_upload(self, command: c.HeadUpload) -> Upload:
        bucket, key, upload_id = command.bucket, command.key, command.upload_id
        try:
            upload = self.uploads.find(bucket, key, upload_id)
        except e.NoSuchUpload:
            completed = self.uploads.completed(bucket, key, upload_id)
            if completed is None:
                raise
            owner = self.buckets.find(bucket).info.owner
            return Upload(key, upload_id, int(upload_id[:12], 16) / 1000, owner, completed=completed)
        return replace(upload, completed=self._completed_before(upload, bucket))

    def _completed_before(self, upload: Upload, bucket: str) -> Completed | None:
        """The answer of a Complete that was killed after it published; it is finished now."""
        uploads = self.uploads
        if uploads.published(bucket, upload.upload_id) is None:
            return None if uploads.shared else self._published_here(upload, bucket)
        with uploads.fs.lock(uploads.lock_name(upload.upload_id), timeout_s=60.0):  # the Complete may be alive
            completed = uploads.published(bucket, upload.upload_id)
            if completed is None:
                return uploads.completed(bucket, upload.key, upload.upload_id)
            self.fs.flush(self._publisher.spot(bucket, upload.key).path)  # the dead one may not have come to that
            with uploads.fs.deferred():
                uploads.finish(bucket, upload.upload_id)
            return completed

    def _published_here(self, upload: Upload, bucket: str) -> Completed | None:
        found = self._publisher.where(self._publisher.spot(bucket, upload.key))
        record = decode(found[1].x_attr.get(ATTRIBUTE)) if found else None
        if record is None or record.upload is None or record.upload[0] != upload.upload_id:
            return None
        return Completed(record.etag, record.checksums, record.upload[1])

    @mapped
    def upload_part(self, command: c.UploadPart) -> Part:
        content: Spool = command.content
        upload_id, number = command.upload_id, command.part_number
        with self.uploads.fs.deferred():
            if isinstance(content.sink, ObjectSink):
                sink = content.sink.take()
                assert isinstance(sink, PartSink)
            else:
                sink = self.uploads.begin_part(command.bucket, upload_id, number, None)
            try:
                for piece in content.memory or ():
                    sink.write(piece)
                return self.uploads.record_part(
                    upload_id, number, sink, command.etag, command.checksums, content.blake3
                )
            finally:
                sink.close()

    @mapped
    def upload_part_copy(self, command: c.UploadPartCopy) -> Part:
        source: Content = command.source.content
        with self.uploads.fs.deferred():
            sink = self.uploads.begin_part(command.bucket, command.upload_id, command.part_number, command.length)
            try:
                algorithm = command.checksum_algorithm
                digests = copy_hashed(sink, source.file, command.first, command.length, algorithm)
                return self.uploads.record_part(
                    command.upload_id,
                    command.part_number,
                    sink,
                    digests["md5"].hex(),
                    checksums_of(algorithm, digests),
                    digests["blake3"],
                )
            finally:
                sink.close()

    @mapped
    def list_parts(self, command: c.ListParts) -> PartPage:
        self.uploads.find(command.bucket, command.key, command.upload_id)
        found: list[Part] = []
        for stored in self.uploads.parts(command.bucket, command.upload_id, command.after):
            if len(found) == command.limit:
                return PartPage(tuple(found), True)
            found.append(stored.part)
        return PartPage(tuple(found), False)

    @mapped
    def list_multipart_uploads(self, command: c.ListMultipartUploads) -> UploadPage:
        return page_of(
            self.uploads.all(command.bucket),
            command.prefix,
            command.delimiter,
            command.key_marker,
            command.upload_id_marker,
            command.limit,
        )

    @mapped
    def complete_multipart_upload(self, command: c.CompleteMultipartUpload) -> ObjectInfo:
        bucket, upload_id = command.bucket, command.upload_id
        spot = self._publisher.spot(bucket, command.key)
        uploads = self.uploads
        with uploads.fs.lock(uploads.lock_name(upload_id), timeout_s=60.0, lasting=True):
            upload = self._open_upload(bucket, command.key, upload_id)
            uploads.retract(bucket, upload_id)  # of one that was killed
            chosen = uploads.chosen(bucket, upload_id, command.parts)
            record = Record(
                etag=command.completed.etag,
                size=sum(p.part.size for p in chosen),
                mtime_ms=self._now_ms(),
                attributes=upload.attributes,
                checksums=command.completed.checksums,
                parts=tuple(
                    PartRecord(p.part.number, p.part.size, p.part.etag, p.part.checksums, p.blake3) for p in chosen
                ),
                parts_count=len(chosen),
                upload=(upload_id, command.completed.parts_digest),
            )
            with self.fs.deferred():
                writer = self._publisher.stage(spot)
                side: str | None = None
                try:
                    sealed, attribute = self.sides.seal(spot, record, self._now_ms())
                    side = sealed.side
                    self._publish_upload(spot, writer, command, chosen, {ATTRIBUTE: attribute}, record.mtime_ms)
                except BaseException:
                    self.drop(spot, writer)
                    uploads.withdraw(bucket, upload_id)
                    if side is not None:
                        self.sides.discard(spot, side)
                    raise
                writer.close()
            with uploads.fs.deferred():
                uploads.finish(bucket, upload_id)
        return info_of(record, command.key)

    def _publish_upload(
        self,
        spot: Spot,
        writer: Writer,
        command: c.CompleteMultipartUpload,
        chosen: list[StoredPart],
        x_attr: dict[str, bytes],
        mtime_ms: int,
    ) -> None:
        """``writer``: staged for the key; where no contents come into it, it keeps their directory in being."""
        bucket, key, upload_id, mtime_ns = command.bucket, command.key, command.upload_id, mtime_ms * 1_000_000
        condition = Condition(command.if_match, command.if_none_match)
        if self.uploads.shared:
            contents = self.uploads.join(bucket, upload_id, chosen, x_attr, mtime_ns)
            self.uploads.promise(bucket, key, upload_id, command.completed, contents)
            self._publisher.publish(spot, Moved(self.fs, contents[0], spot.directory, writer), condition)
        else:
            self.uploads.copy(bucket, upload_id, chosen, writer)
            writer.complete(x_attr, mtime_ns)
            self.uploads.promise(bucket, key, upload_id, command.completed, None)
            self._publisher.publish(spot, writer, condition)

    def _open_upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """An upload that was not published; its lock is held.  Raises NoSuchUpload."""
        upload = self.uploads.find(bucket, key, upload_id)
        if self.uploads.published(bucket, upload_id) is not None:
            raise e.NoSuchUpload(UploadId=upload_id)
        return upload

    @mapped
    def abort_multipart_upload(self, command: c.AbortMultipartUpload) -> None:
        uploads = self.uploads
        with uploads.fs.lock(uploads.lock_name(command.upload_id), timeout_s=60.0):
            self._open_upload(command.bucket, command.key, command.upload_id)
            try:
                with uploads.fs.deferred():
                    uploads.remove(command.bucket, command.upload_id)
            except NotFound:
                raise e.NoSuchUpload(UploadId=command.upload_id) from None
