"""Multipart uploads: no state in memory, so any process can take any part and finish any upload.

An upload is the directory ``/.s3~/b/<bucket id>/uploads/<upload id>/``:

==============  =========================================================================================
``upload``      document: key, owner, attributes, checksum algorithm; written once
``data``        the parted file (curvinefs): parts of one size at their final places
``part.NNNNN``  one per part, replaced by rename: attribute = what we know of it; contents = the part's bytes, or
                nothing where the bytes lie in ``data`` (the attribute has the token)
``whole``       the parts copied together, where they do not lie in ``data`` as they are wanted
``answer``      document: what Complete will answer, and which file (``data`` or ``whole``) is to be published
==============  =========================================================================================

Rules: the last complete upload of a part number wins, whole.  Complete holds the upload's lock, checks that every part
is still the one that the core has seen, and is one rename where all parts lie in ``data``; else it copies.
``answer`` is written before the file is published, and publishing moves that file away.  So it is certain for ever
whether a killed Complete published: ``answer`` is there and its file is not.  (The journal of the file system keeps
the two in order.  Between two file systems, ``multipart_temp``, only the object itself tells, while it is there.)
A finished upload leaves its answer as ``done/<upload id>`` for a day, for repeats.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from curvinefs.api import (
    AlreadyExists,
    File,
    FileKind,
    FileStatus,
    FileSystem,
    FsError,
    NotADirectory,
    NotFound,
    PartRef,
    PartWriter,
    RenameFlag,
    Writer,
)
from s3proto.errors import InvalidPart, NoSuchUpload
from s3proto.model import (
    Checksums,
    Completed,
    Owner,
    Part,
    Upload,
    UploadPage,
    UploadRow,
)
from s3server.store.publish import temporary_name
from s3server.store.record import ATTRIBUTE, DAMAGE, attribute_fields, attributes_of, load_json
from s3server.store.state import ROOT, entries, make_directories, read_document, remove_tree, write_document

UPLOAD_ID = re.compile(r"[0-9a-f]{12}[0-9a-f]{20}")
"""Milliseconds of initiation (ids sort by time), then 80 random bits."""
MIN_PLACE = 1 << 20
"""Parts below this size are not worth a place of their own."""


class StoredPart(NamedTuple):
    part: Part
    blake3: str | None
    token: str | None
    """Where it lies in ``data``; None: in its own file."""
    path: str


class PartSink:
    """One part on its way: into its place in ``data`` where it can have it, else into a file of its own."""

    def __init__(self, directory: str, writer: Writer | None, place: PartWriter | None) -> None:
        self._directory = directory
        self._writer = writer
        self._place = place
        self.size = 0

    def write(self, data: memoryview | bytes | bytearray) -> None:
        out = self._place or self._writer
        assert out is not None
        out.write(data)
        self.size += len(data)

    def copy_from(self, source: File, first: int, length: int) -> None:
        out = self._place or self._writer
        assert out is not None
        out.copy_from(source, first, length)
        self.size += length

    def publish(self, fs: FileSystem, name: str, fields: dict[str, Any], mtime_ns: int) -> None:
        """Record the part under ``name``.  NotFound when the upload is gone."""
        if self._place is not None:
            fields["token"] = self._place.complete()
            self._writer = fs.create(f"{self._directory}/{temporary_name()}")
        assert self._writer is not None
        self._writer.complete({ATTRIBUTE: json.dumps(fields, separators=(",", ":")).encode()}, mtime_ns)
        self._writer.rename(name, RenameFlag.REPLACE)

    def close(self) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            if self._place is not None:
                self._place.close()


class Uploads:
    """The uploads of a store.  ``fs``: where they lie; ``shared`` False when objects lie in another file system."""

    def __init__(self, fs: FileSystem, id_of: Callable[[str], str], now: Callable[[], float], shared: bool) -> None:
        self._fs = fs
        self._id_of = id_of
        self._now = now
        self._shared = shared

    @property
    def fs(self) -> FileSystem:
        return self._fs

    @property
    def shared(self) -> bool:
        """Whether uploads lie in the file system of the objects."""
        return self._shared

    def base(self, bucket: str) -> str:
        return f"{ROOT}/b/{self._id_of(bucket)}"

    def _directory(self, bucket: str, upload_id: str) -> str:
        if not UPLOAD_ID.fullmatch(upload_id):
            raise NoSuchUpload(UploadId=upload_id[:200])
        return f"{self.base(bucket)}/uploads/{upload_id}"

    # ----------------------------------------------------------------------------------------- the upload

    def create(
        self, bucket: str, key: str, owner: Owner, attributes: Any, algorithm: str | None, kind: str | None
    ) -> str:
        now = self._now()
        upload_id = f"{int(now * 1000):012x}{secrets.token_hex(10)}"
        directory = self._directory(bucket, upload_id)
        make_directories(self._fs, directory)
        fields = {"key": key, "owner": owner.id, "name": owner.display_name, "initiated": now}
        fields |= attribute_fields(attributes)
        fields |= {"algorithm": algorithm, "checksum_type": kind}
        self._write(f"{directory}/upload", fields)
        return upload_id

    def find(self, bucket: str, key: str, upload_id: str) -> Upload:
        """An unfinished upload.  Raises NoSuchUpload."""
        upload = self._read(f"{self._directory(bucket, upload_id)}/upload", upload_id)
        if upload is None or upload.key != key:
            raise NoSuchUpload(UploadId=upload_id)
        return upload

    def _read(self, path: str, upload_id: str) -> Upload | None:
        try:
            f = read_document(self._fs, path)
            return Upload(
                f["key"],
                upload_id,
                f["initiated"],
                Owner(f["owner"], f["name"]),
                attributes_of(f),
                f["algorithm"],
                f["checksum_type"],
            )
        except (NotFound, NotADirectory, *DAMAGE):
            return None

    def _write(self, path: str, fields: dict[str, Any]) -> None:
        value = json.dumps(fields, separators=(",", ":")).encode()
        write_document(self._fs, path, value, int(self._now() * 1000) * 1_000_000)

    def remove(self, bucket: str, upload_id: str) -> None:
        """Forget an upload at once (its name goes first), then its parts.  NotFound when it is gone."""
        self._remove(self._directory(bucket, upload_id))

    def _remove(self, directory: str) -> None:
        aside = f"{directory.rpartition('/')[0]}/{temporary_name()}"
        self._fs.rename(directory, aside, RenameFlag.NO_REPLACE)
        remove_tree(self._fs, aside)

    def expire(self, base: str, upload_id: str) -> None:
        """Forget an upload that is too old, below ``base``; not while a Complete is at work on it (LockTimeout)."""
        with self._fs.lock(self.lock_name(upload_id)):
            self._remove(f"{base}/{upload_id}")

    def lock_name(self, upload_id: str) -> str:
        return f"//upload/{upload_id}"

    # ------------------------------------------------------------------------------------------- its parts

    def begin_part(self, bucket: str, upload_id: str, number: int, size: int | None) -> PartSink:
        """Begin to receive a part.  Raises NoSuchUpload."""
        directory = self._directory(bucket, upload_id)
        try:
            place = self._place(directory, number, size) if size is not None and self._shared else None
            writer = None if place else self._fs.create(f"{directory}/{temporary_name()}", size)
            return PartSink(directory, writer, place)
        except (NotFound, NotADirectory):
            raise NoSuchUpload(UploadId=upload_id) from None

    def _place(self, directory: str, number: int, size: int) -> PartWriter | None:
        """The part's place in ``data``.  The first part that comes decides the size of all places."""
        data = f"{directory}/data"
        if self._fs.parted_in(data) is None:
            if size < MIN_PLACE:
                return None
            try:
                self._fs.create_parted(data, size)
            except AlreadyExists:
                pass
        return self._fs.open_part(data, number - 1, size)

    def record_part(
        self, upload_id: str, number: int, sink: PartSink, etag: str, checksums: Checksums, blake3: bytes
    ) -> Part:
        """Make a received part count.  Raises NoSuchUpload."""
        now_ms = int(self._now() * 1000)
        fields = {
            "etag": etag,
            "size": sink.size,
            "checksums": dict(checksums.values),
            "blake3": blake3.hex(),
            "id": secrets.token_hex(8),
            "mtime": now_ms,
        }
        try:
            sink.publish(self._fs, f"part.{number:05d}", fields, now_ms * 1_000_000)
        except (NotFound, NotADirectory):
            raise NoSuchUpload(UploadId=upload_id) from None
        return Part(number, sink.size, etag, now_ms / 1000, checksums.values, str(fields["id"]))

    def parts(self, bucket: str, upload_id: str, after: int = 0) -> Iterator[StoredPart]:
        """Recorded parts numbered above ``after``, in order."""
        directory = self._directory(bucket, upload_id)
        for entry in entries(self._fs, directory, f"part.{after + 1:05d}"):
            if not entry.name.startswith("part."):
                return
            try:
                part = _stored_part(entry.name, entry.status(), directory)
            except NotFound:
                continue
            if part is not None:
                yield part

    # ----------------------------------------------------------------------------------------- completing

    def chosen(self, bucket: str, upload_id: str, parts: tuple[Part, ...]) -> list[StoredPart]:
        """The stored parts that the core chose.  Raises InvalidPart when one was replaced meanwhile."""
        stored = {p.part.number: p for p in self.parts(bucket, upload_id)}
        answer = []
        for part in parts:
            found = stored.get(part.number)
            if found is None or found.part.part_id != part.part_id:
                raise InvalidPart(UploadId=upload_id, PartNumber=part.number, ETag=part.etag)
            answer.append(found)
        return answer

    def join(
        self, bucket: str, upload_id: str, chosen: list[StoredPart], x_attr: dict[str, bytes], mtime_ns: int
    ) -> tuple[str, FileStatus]:
        """The path and status of a complete file of the chosen parts, copied together only where that must be."""
        directory = self._directory(bucket, upload_id)
        if all(p.token is not None for p in chosen):
            refs = [PartRef(p.part.number - 1, p.part.size, p.token or "") for p in chosen]
            joined = self._fs.join_parts(f"{directory}/data", refs, x_attr, mtime_ns)
            if joined is not None:
                return f"{directory}/data", joined
        writer = self._fs.create(f"{directory}/{temporary_name()}")
        try:
            self.copy(bucket, upload_id, chosen, writer)
            status = writer.complete(x_attr, mtime_ns)
            writer.rename("whole", RenameFlag.REPLACE)
            return f"{directory}/whole", status
        finally:
            writer.close()

    def copy(self, bucket: str, upload_id: str, chosen: list[StoredPart], writer: Writer) -> None:
        """Append the bytes of the chosen parts."""
        for stored in chosen:
            file = self.open_part(bucket, upload_id, stored)
            try:
                writer.copy_from(file, 0, stored.part.size)
            finally:
                file.close()

    def promise(
        self, bucket: str, key: str, upload_id: str, completed: Completed, contents: tuple[str, FileStatus] | None
    ) -> None:
        """Write down the answer, and the file that will be moved away by publishing (None: it lies elsewhere)."""
        fields: dict[str, Any] = {
            "key": key,
            "etag": completed.etag,
            "checksums": dict(completed.checksums.values),
            "checksum_type": completed.checksums.type,
            "parts_digest": completed.parts_digest,
        }
        if contents is not None:
            fields |= {"contents": contents[0].rpartition("/")[2], "inode": contents[1].id}
        self._write(f"{self._directory(bucket, upload_id)}/answer", fields)

    def retract(self, bucket: str, upload_id: str) -> None:
        """Take back the promise of a Complete that did not publish: only then may its file be replaced or go."""
        with suppress(NotFound):
            self._fs.delete(f"{self._directory(bucket, upload_id)}/answer")

    def withdraw(self, bucket: str, upload_id: str) -> None:
        """Take a promise back that could not be kept, and its file; nothing happens where it was kept."""
        with suppress(FsError):
            if self.published(bucket, upload_id) is None:
                self.retract(bucket, upload_id)
                self._fs.delete(f"{self._directory(bucket, upload_id)}/whole")

    def published(self, bucket: str, upload_id: str) -> Completed | None:
        """The answer of an upload that was published but not finished; None: not published, or not known here."""
        directory = self._directory(bucket, upload_id)
        try:
            f = read_document(self._fs, f"{directory}/answer")
            if "contents" not in f or self._is_there(f"{directory}/{f['contents']}", f["inode"]):
                return None
            self._fs.status(f"{directory}/answer")  # else all of the upload went meanwhile
            return _completed(f)
        except (NotFound, NotADirectory, *DAMAGE):
            return None

    def _is_there(self, path: str, inode: int) -> bool:
        try:
            return self._fs.status(path).id == inode
        except NotFound:
            return False

    def open_part(self, bucket: str, upload_id: str, stored: StoredPart) -> File:
        """The bytes of a stored part, offsets from 0.  Raises InvalidPart when it was replaced meanwhile."""
        try:
            if stored.token is None:
                file = self._fs.open(stored.path)
                if file.status.len == stored.part.size and _id(file.status) == stored.part.part_id:
                    return file
                file.close()
            else:
                data = f"{self._directory(bucket, upload_id)}/data"
                return self._fs.open_part_file(data, PartRef(stored.part.number - 1, stored.part.size, stored.token))
        except (NotFound, NotADirectory):
            pass
        raise InvalidPart(UploadId=upload_id, PartNumber=stored.part.number, ETag=stored.part.etag)

    def finish(self, bucket: str, upload_id: str) -> None:
        """Leave the answer for repeats, then forget the upload."""
        done = f"{self.base(bucket)}/done"
        try:
            make_directories(self._fs, done)
            with suppress(AlreadyExists):  # linked, not moved: an upload without it would look unpublished
                self._fs.link(f"{self._directory(bucket, upload_id)}/answer", f"{done}/{upload_id}")
            self.remove(bucket, upload_id)
        except FsError:
            pass  # finished by another already, or to be finished by whoever meets it

    def completed(self, bucket: str, key: str, upload_id: str) -> Completed | None:
        """The answer of a finished upload, from its record."""
        if not UPLOAD_ID.fullmatch(upload_id):
            return None
        try:
            f = read_document(self._fs, f"{self.base(bucket)}/done/{upload_id}")
            if f["key"] != key:
                return None
            return _completed(f)
        except (NotFound, NotADirectory, *DAMAGE):
            return None

    # --------------------------------------------------------------------------------------------- listing

    def all(self, bucket: str) -> list[UploadRow]:
        """Unfinished uploads by key, then by time."""
        base = f"{self.base(bucket)}/uploads"
        rows = []
        for entry in entries(self._fs, base):
            if entry.kind is not FileKind.DIRECTORY or not UPLOAD_ID.fullmatch(entry.name):
                continue
            upload = self._read(f"{base}/{entry.name}/upload", entry.name)
            if upload is not None and self.published(bucket, entry.name) is None:
                rows.append(
                    UploadRow(
                        upload.key,
                        upload.upload_id,
                        upload.initiated,
                        upload.owner,
                        upload.attributes.storage_class,
                        upload.checksum_algorithm,
                        upload.checksum_type,
                    )
                )
        rows.sort(key=lambda r: (r.key, r.upload_id))
        return rows


def page_of(
    rows: list[UploadRow], prefix: str, delimiter: str, key_marker: str, upload_id_marker: str, limit: int
) -> UploadPage:
    """One page as commands.ListMultipartUploads defines it; ``rows`` sorted by key and upload id."""
    uploads: list[UploadRow] = []
    prefixes: list[str] = []
    last_key = last_id = ""
    for row in rows:
        if not row.key.startswith(prefix):
            continue
        cut = row.key.find(delimiter, len(prefix)) if delimiter else -1
        group = row.key[: cut + len(delimiter)] if cut >= 0 else None
        if key_marker:
            if group is not None and group <= key_marker:
                continue
            if row.key < key_marker or row.key == key_marker and row.upload_id <= (upload_id_marker or "~"):
                continue
        if group is not None and prefixes and prefixes[-1] == group:
            continue
        if len(uploads) + len(prefixes) == limit:
            return UploadPage(tuple(uploads), tuple(prefixes), True, last_key, last_id)
        if group is not None:
            prefixes.append(group)
            last_key, last_id = group, ""
        else:
            uploads.append(row)
            last_key, last_id = row.key, row.upload_id
    return UploadPage(tuple(uploads), tuple(prefixes), False, last_key, last_id)


def _completed(f: Any) -> Completed:
    return Completed(f["etag"], Checksums(tuple(f["checksums"].items()), f["checksum_type"]), f["parts_digest"])


def _stored_part(name: str, status: FileStatus, directory: str) -> StoredPart | None:
    try:
        f = load_json(status.x_attr[ATTRIBUTE])
        token = f.get("token")
        if token is None and status.len != f["size"]:
            return None
        checksums = tuple(f["checksums"].items())
        part = Part(int(name[5:]), f["size"], f["etag"], f["mtime"] / 1000, checksums, f["id"])
        return StoredPart(part, f.get("blake3"), token, f"{directory}/{name}")
    except DAMAGE:
        return None


def _id(status: FileStatus) -> Any:
    try:
        return load_json(status.x_attr[ATTRIBUTE]).get("id")
    except DAMAGE:
        return None
