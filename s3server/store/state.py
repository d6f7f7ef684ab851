"""Our own files beside the buckets: ``/.s3~/b/<bucket id>/{uploads,done,side,cors,tags,policy}/``.

Rules
- State hangs on a bucket's random id, an attribute of its directory: a new bucket of the same name inherits nothing.
- Documents are small files (JSON; settings as XML), published by rename: seen whole or not at all.
- Names below are made of our own random ids only; nothing a client sends becomes a path here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from curvinefs.api import (
    AlreadyExists,
    DirectoryNotEmpty,
    DirEntry,
    FileKind,
    FileStatus,
    FileSystem,
    IsADirectory,
    NotADirectory,
    NotFound,
    RenameFlag,
)
from s3proto.acl import BUCKET_ACLS
from s3proto.errors import NoSuchBucket
from s3proto.model import PRIVATE, BucketInfo, Owner
from s3proto.names import RESERVED_BUCKETS, is_bucket_name
from s3server.store.keypath import RESERVED
from s3server.store.publish import temporary_name
from s3server.store.record import ATTRIBUTE, DAMAGE, canned_acl, load_json, named_owner, text

ROOT = f"/{RESERVED}"
MAX_DOCUMENT = 64 * 2**20
"""Bytes of one document: 10,000 parts with all their digests take 4 MiB."""


def owner_of(user: str) -> Owner:
    """The canonical owner of a user name (the same derivation as for access keys)."""
    return Owner(hashlib.sha256(f"curvine-s3-user:{user}".encode()).hexdigest(), user)


ADMINISTRATOR = owner_of("curvine")
"""Owner of what nobody else owns: buckets that were made as plain directories."""


KNOWN_FRESH = 1.0
"""Seconds that another process may take to notice that an ACL grants less, that there are other CORS rules or another
policy, or that a bucket is somebody else's now."""
MAX_KNOWN = 4096


KINDS = ("cors", "tags", "policy")
"""Settings of a bucket that have a document of their own."""
NO_DOCUMENTS: Mapping[str, str] = MappingProxyType({})


class Bucket(NamedTuple):
    info: BucketInfo
    id: str | None
    """None for a directory that somebody made: it gets an id when state is first needed."""
    documents: Mapping[str, str] = NO_DOCUMENTS
    """The names of the documents with its settings, by kind (s3server.store.settings)."""


def read_file(fs: FileSystem, path: str) -> bytes:
    """The contents of a small file of ours.  NotFound; ValueError when it is too long to be one."""
    file = fs.open(path)
    try:
        size = file.status.len
        if size > MAX_DOCUMENT:
            raise ValueError(f"{path}: too long for a document of ours")
        buffer = memoryview(bytearray(size))
        done = 0
        while done < size and (n := file.readinto(done, buffer[done:])):
            done += n
        return bytes(buffer[:done])
    finally:
        file.close()


def read_document(fs: FileSystem, path: str) -> Any:
    """Decode a JSON document.  NotFound; ValueError when it is damaged."""
    return load_json(read_file(fs, path))


def write_document(fs: FileSystem, path: str, value: bytes, mtime_ns: int) -> None:
    """Publish a document, replacing an older one.  NotFound when its directory is missing."""
    directory, _, name = path.rpartition("/")
    writer = fs.create(f"{directory}/{temporary_name()}")
    try:
        writer.write(value)
        writer.complete({}, mtime_ns)
        writer.rename(name, RenameFlag.REPLACE)
    finally:
        writer.close()


def make_directories(fs: FileSystem, path: str) -> None:
    """Make a directory of ours with its parents."""
    missing = []
    while path:
        try:
            fs.mkdir(path)
            break
        except AlreadyExists:
            break
        except NotFound:
            missing.append(path)
            path = path.rpartition("/")[0]
    for path in reversed(missing):
        try:
            fs.mkdir(path)
        except AlreadyExists:
            pass


def remove_tree(fs: FileSystem, path: str) -> None:
    """Delete a directory of ours with all that is in it; what is not there is fine."""
    try:
        for entry in list(fs.list(path)):
            below = f"{path}/{entry.name}"
            if entry.kind is FileKind.DIRECTORY:
                remove_tree(fs, below)
            else:
                try:
                    fs.delete(below)
                except NotFound:
                    continue
        fs.delete(path)
    except (NotFound, NotADirectory, DirectoryNotEmpty):
        return


def entries(fs: FileSystem, path: str, start: str = "") -> Iterator[DirEntry]:
    """Entries of a directory of ours; a missing one has none."""
    try:
        yield from fs.list(path, start)
    except (NotFound, NotADirectory):
        return


class Buckets:
    """Bucket directories and their attribute."""

    def __init__(self, fs: FileSystem, region: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: monotonic seconds."""
        self._fs = fs
        self._region = region
        self._clock = clock
        self._known: dict[str, tuple[float, Bucket]] = {}

    def find(self, name: str) -> Bucket:
        """Raises NoSuchBucket."""
        if not is_bucket_name(name) or name in RESERVED_BUCKETS:
            raise NoSuchBucket(BucketName=name)
        try:
            status = self._fs.status(f"/{name}")
        except (NotFound, NotADirectory):
            raise NoSuchBucket(BucketName=name) from None
        if status.kind is not FileKind.DIRECTORY:
            raise NoSuchBucket(BucketName=name)
        return self.of_status(name, status)

    def known(self, name: str, *, fresh: bool = False) -> Bucket:
        """Whose bucket it is and who else may use it, as of KNOWN_FRESH seconds ago at most.  Raises NoSuchBucket.

        ``fresh``: as of now.  What deletes and changes buckets in this process is seen at once.  Nothing but access and
        what pages are told hangs on it: an operation on a bucket that has gone finds that out by itself.
        """
        now = self._clock()
        known = self._known.get(name)
        if fresh or known is None or known[0] < now:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[name] = (now + KNOWN_FRESH, self.find(name))
        return known[1]

    def forget(self, name: str) -> None:
        """A bucket was deleted or changed."""
        self._known.pop(name, None)

    def of_status(self, name: str, status: FileStatus) -> Bucket:
        """What a directory's attribute says; one that nobody made through us is the administrator's."""
        value = status.x_attr.get(ATTRIBUTE)
        bucket = None if value is None else _decoded(name, value, self._region)
        return bucket or Bucket(BucketInfo(name, status.mtime_ns / 1e9, ADMINISTRATOR, self._region), None)

    def create(self, name: str, owner: Owner, created: float, acl: str = PRIVATE) -> BucketInfo:
        """Raises AlreadyExists."""
        info = BucketInfo(name, created, owner, self._region, acl)
        self._fs.mkdir(f"/{name}", _attribute(Bucket(info, secrets.token_hex(12))))
        return info

    def remove(self, name: str) -> None:
        """Nobody is changing its attribute: that would come to be a new bucket's.  As delete_directory."""
        with self._fs.lock(f"{name}/") as held:
            held.check()
            self._fs.delete_directory(f"/{name}")
        self.forget(name)

    def set_acl(self, name: str, acl: str) -> None:
        """Raises NoSuchBucket."""
        if self.find(name).info.acl != acl:
            self._change(name, self.id_of(name), lambda bucket: bucket._replace(info=bucket.info._replace(acl=acl)))

    def set_document(self, name: str, bucket_id: str, kind: str, document: str | None) -> str | None:
        """Answer the name of the document before.  Raises NoSuchBucket, also when ``bucket_id`` is another's by now."""

        def change(bucket: Bucket) -> Bucket:
            others = {each: name for each, name in bucket.documents.items() if each != kind}
            return bucket._replace(documents=others if document is None else {**others, kind: document})

        return self._change(name, bucket_id, change).documents.get(kind)

    def _change(self, name: str, bucket_id: str, change: Callable[[Bucket], Bucket]) -> Bucket:
        """Answer the bucket as it was."""
        try:
            with self._fs.lock(f"{name}/") as held:
                bucket = self.find(name)
                if bucket.id != bucket_id:  # another one of this name was made meanwhile
                    raise NoSuchBucket(BucketName=name)
                held.check()
                try:
                    self._fs.set_x_attr(f"/{name}", dict(_attribute(change(bucket))))
                except (NotFound, NotADirectory):
                    raise NoSuchBucket(BucketName=name) from None
        finally:
            self.forget(name)
        return bucket

    def id_of(self, name: str) -> str:
        """The id that state hangs on; settled now for a directory that came by other hands.  Raises NoSuchBucket."""
        bucket = self.find(name)
        if bucket.id is not None:
            return bucket.id
        with self._fs.lock(f"{name}/") as held:
            bucket = self.find(name)
            if bucket.id is not None:
                return bucket.id
            inherited = self._inherited_id(name)
            bucket_id = inherited or secrets.token_hex(12)
            settled = Bucket(bucket.info, bucket_id, bucket.documents if inherited else NO_DOCUMENTS)
            held.check()
            self._fs.set_x_attr(f"/{name}", dict(_attribute(settled)))
            self.forget(name)
            return bucket_id

    def _inherited_id(self, name: str) -> str | None:
        """The id of a renamed bucket; None for a plain directory, and for a copy of a bucket that is still there."""
        try:
            named = _named(self._fs.status(f"/{name}"))
        except NotFound:
            return None
        if named is None:
            return None
        former, bucket_id, _ = named
        try:
            return bucket_id if self.find(former).id != bucket_id else None
        except NoSuchBucket:
            return bucket_id

    def ids(self) -> dict[str, str]:
        """All ids that state may hang on, with the names of their directories now: renamed ones keep their state."""
        return {named[1]: name for name, status in self._directories() if (named := _named(status)) is not None}

    def documents(self) -> set[str]:
        """Names of all documents that a directory refers to, whatever it is called now."""
        found = (named for _, status in self._directories() if (named := _named(status)) is not None)
        return {document for named in found for document in named[2].values()}

    def _directories(self) -> Iterator[tuple[str, FileStatus]]:
        for entry in self._fs.list("/"):
            if entry.kind is FileKind.DIRECTORY:
                try:
                    yield entry.name, entry.status()
                except (NotFound, NotADirectory):
                    continue

    def all(self) -> Iterator[Bucket]:
        """In order of names."""
        for entry in self._fs.list("/"):
            if entry.kind is FileKind.DIRECTORY and is_bucket_name(entry.name) and entry.name not in RESERVED_BUCKETS:
                try:
                    yield self.of_status(entry.name, entry.status())
                except (NotFound, NotADirectory, IsADirectory):
                    continue


_ID = re.compile("[0-9a-f]{24}")
_DOCUMENT = re.compile("[0-9a-f]{32}")


def _named(status: FileStatus) -> tuple[str, str, Mapping[str, str]] | None:
    """The bucket that a directory's attribute was written for, its id, and its documents."""
    try:
        f = load_json(status.x_attr[ATTRIBUTE])
        former, bucket_id = text(f["bucket"]), f["id"]
        return (former, bucket_id, _documents(f)) if _ID.fullmatch(bucket_id) else None
    except DAMAGE:
        return None


@lru_cache(maxsize=256)
def _decoded(name: str, value: bytes, region: str) -> Bucket | None:
    """Read an attribute (every request asks for its bucket's); None when it is not one of ours."""
    try:
        f = load_json(value)
        created = float(f["created"])
        if not math.isfinite(created):
            return None
        # a directory that was copied or renamed by hand settles its id in id_of
        bucket_id = f["id"] if f.get("bucket") == name and _ID.fullmatch(f["id"]) else None
        owner = named_owner(f["owner"], f["name"])
        return Bucket(BucketInfo(name, created, owner, region, canned_acl(f, BUCKET_ACLS)), bucket_id, _documents(f))
    except (*DAMAGE, OverflowError):
        return None


def _documents(f: Any) -> Mapping[str, str]:
    named = ((kind, f.get(kind)) for kind in KINDS)
    return {kind: name for kind, name in named if name is not None and _DOCUMENT.fullmatch(name)}


def _attribute(bucket: Bucket) -> dict[str, bytes]:
    info, owner = bucket.info, bucket.info.owner
    value: dict[str, Any] = {"bucket": info.name, "id": bucket.id, "owner": owner.id, "name": owner.display_name}
    value["created"] = info.created
    if info.acl != PRIVATE:
        value["acl"] = info.acl
    value |= bucket.documents
    return {ATTRIBUTE: json.dumps(value, separators=(",", ":")).encode()}
