"""A store on a directory, with short verbs: what tests of the store share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from blake3 import blake3

from curvinefs.api import FileSystem
from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto.model import Checksums, Completed, DeleteEntry, ObjectAttributes, Owner, Part, Principal
from s3server.spool import MemoryBudget, Spool
from s3server.store import ObjectStore
from s3server.store.publish import Spot
from s3server.store.state import owner_of
from tests.sim.cluster import Cluster

ALICE = Principal(owner_of("alice"), "AKIAALICE0000000")
ROOT = Principal(owner_of("curvine"), "AKIAROOT00000000", administrator=True)
PLAIN = ObjectAttributes()
STORES = ("directory", "curvine")
"""What ``open_shop`` makes."""
THRESHOLD = 1000
"""Bodies up to this many bytes wait in memory in tests: both ways are taken."""


@contextmanager
def open_shop(kind: str, directory: Path) -> Iterator[Shop]:
    """A shop on a directory, or on a simulated Curvine cluster, of its own."""
    with ExitStack() as opened:
        if kind == "directory":
            (directory / "data").mkdir(exist_ok=True)
            shop = Shop(LocalFileSystem(str(directory / "data"), durability="none"))
        else:
            shop = Shop(opened.enter_context(Cluster(directory)).client())
        opened.callback(shop.store.close)
        shop.make()
        yield shop


class Shop:
    """An ObjectStore with one bucket ``b``."""

    def __init__(self, fs: FileSystem, **kwargs: Any) -> None:
        self.fs = fs
        self.store = ObjectStore(fs, **kwargs)

    def make(self, bucket: str = "bkt", owner: Owner = ALICE.owner) -> None:
        self.store.create_bucket(c.CreateBucket(bucket, owner))

    def spool(self, target: c.BodyTarget, body: bytes, *, declared: bool = True) -> Spool:
        size = len(body) if declared else None
        spool = Spool(lambda: self.store.begin_body(target, size), MemoryBudget(1 << 30), THRESHOLD, size)
        try:
            for i in range(0, len(body), 700):
                spool.write(memoryview(body)[i : i + 700])
        except BaseException:
            spool.close()
            raise
        spool.blake3 = blake3(body).digest()
        return spool

    def put(
        self,
        key: str,
        body: bytes,
        bucket: str = "bkt",
        attributes: ObjectAttributes = PLAIN,
        **conditions: Any,
    ) -> str:
        etag = hashlib.md5(body).hexdigest()
        spool = self.spool(c.BodyTarget(bucket, key), body)
        try:
            self.store.put_object(c.PutObject(bucket, key, spool, etag, attributes, **conditions))
        finally:
            spool.close()
        return etag

    def get(self, key: str, bucket: str = "bkt") -> bytes:
        content = self.store.open_object(c.OpenObject(bucket, key)).content
        try:
            return self.read(content)
        finally:
            content.close()

    @staticmethod
    def read(content: Any) -> bytes:
        data = bytearray(content.size)
        done = 0
        while done < len(data):
            n = content.readinto(done, memoryview(data)[done:])
            assert n
            done += n
        return bytes(data)

    def delete(self, key: str, bucket: str = "bkt", **conditions: Any) -> None:
        self.store.delete_object(c.DeleteObject(bucket, DeleteEntry(key, **conditions)))

    def keys(self, bucket: str = "bkt", prefix: str = "", page: int = 1000) -> list[str]:
        return [row.key for row in self.rows(bucket, prefix, page)]

    def rows(self, bucket: str = "bkt", prefix: str = "", page: int = 1000) -> list[Any]:
        found: list[Any] = []
        after = ""
        while True:
            answer = self.store.list_objects(c.ListObjects(bucket, prefix, "", after, page))
            found += answer.objects
            if not answer.truncated:
                return found
            after = answer.last

    def upload(self, key: str, bucket: str = "bkt", attributes: ObjectAttributes = PLAIN) -> str:
        return self.store.create_multipart_upload(c.CreateMultipartUpload(bucket, key, ALICE.owner, attributes))

    def part(self, key: str, upload_id: str, number: int, body: bytes, bucket: str = "bkt") -> Part:
        spool = self.spool(c.BodyTarget(bucket, key, upload_id, number), body)
        try:
            etag = hashlib.md5(body).hexdigest()
            return self.store.upload_part(c.UploadPart(bucket, key, upload_id, number, spool, etag))
        finally:
            spool.close()

    def parts(self, key: str, upload_id: str, bucket: str = "bkt") -> tuple[Part, ...]:
        return self.store.list_parts(c.ListParts(bucket, key, upload_id, 0, 10_000)).parts

    def complete(
        self, key: str, upload_id: str, parts: tuple[Part, ...] | None = None, bucket: str = "bkt", **conditions: Any
    ) -> None:
        chosen = self.parts(key, upload_id, bucket) if parts is None else parts
        completed = Completed(f"etag-{len(chosen)}", Checksums(), "digest")
        self.store.complete_multipart_upload(
            c.CompleteMultipartUpload(bucket, key, upload_id, chosen, completed, **conditions)
        )

    def spot(self, key: str, bucket: str = "bkt") -> Spot:
        return self.store._publisher.spot(bucket, key)
