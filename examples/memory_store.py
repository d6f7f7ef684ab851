"""A store in a dict that answers enough of s3proto's commands for clients to be happy: the examples' other half.

One access key, buckets, objects, listings, copies, deletes; multipart uploads and tags are left as an exercise (they
are answered NotImplemented).  Not thread-safe, nothing is kept: real stores are in s3server.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
import zlib
from collections.abc import Callable
from typing import Any, TypeAlias

from s3proto import Command, Context, Response, Span, commands, sigv4
from s3proto.errors import (
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    EntityTooLarge,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    PreconditionFailed,
    RequestNotImplemented,
    S3Error,
)
from s3proto.model import (
    PRIVATE,
    Access,
    BucketInfo,
    BucketPage,
    CorsRule,
    DeleteEntry,
    DeleteResult,
    Document,
    ListPage,
    ObjectInfo,
    ObjectRow,
    OpenedObject,
    Owner,
    Principal,
    Received,
    SignatureV2,
    SigningKey,
)

Receive: TypeAlias = commands.ReceiveBody | commands.ReceiveForm | commands.ReceiveDocument
"""What a driver answers itself, from its transport."""


class Body:
    """Collects the body that a command asks for; the driver feeds what comes from its transport."""

    def __init__(self, command: Receive) -> None:
        self._command = command
        self._data = bytearray()
        if isinstance(command, commands.ReceiveBody):
            self.feed(memoryview(command.begun))

    @property
    def complete(self) -> bool:
        """Whether nothing more is wanted, though more may come: the file of a form whose fields were asked for."""
        return isinstance(self._command, commands.ReceiveForm) and self._command.decoder.complete

    def feed(self, data: memoryview) -> None:
        if isinstance(self._command, commands.ReceiveForm):
            self._command.decoder.feed(data)
            return
        for piece in self._command.decoder.feed(data):
            self._data += piece
        if len(self._data) > self._command.limit:
            raise EntityTooLarge()

    def finish(self) -> Received | Document | None:
        """All has come: answers the command."""
        self._command.decoder.finish()
        if isinstance(self._command, commands.ReceiveForm):
            return None
        data = bytes(self._data)
        digests = {name: digest(name, data) for name in self._command.digests}
        if isinstance(self._command, commands.ReceiveDocument):
            return Document(data, digests)
        return Received(data, len(data), digests)


def digest(name: str, data: bytes) -> bytes:
    if name == "crc32":
        return zlib.crc32(data).to_bytes(4, "big")
    if name in ("crc32c", "crc64nvme"):
        raise RequestNotImplemented("The standard library does not know this checksum.")
    return hashlib.new(name, data).digest()


def _refuse_grants(acl: str) -> None:
    if acl != PRIVATE:
        raise RequestNotImplemented("The memory store knows its one owner and nobody else.")


def finished(response: Response, context: Context) -> tuple[list[tuple[str, str]], bytes]:
    """Return a response's headers with the request's ids and Content-Length, and its bytes."""
    headers = [("x-amz-request-id", context.request_id), ("x-amz-id-2", context.host_id), *response.headers]
    if not any(name == "Content-Length" for name, _ in headers) and response.status not in (204, 304):
        headers.append(("Content-Length", str(response.length)))
    body = response.body
    return headers, body.content[body.first :][: body.length] if isinstance(body, Span) else body


class MemoryStore:
    """Call ``perform`` with any command but ``Receive``."""

    def __init__(self, access_key_id: str, secret_access_key: str) -> None:
        self._access_key_id = access_key_id
        self._secret = secret_access_key
        self._principal = Principal(Owner("0" * 64, "memory"), access_key_id, administrator=True)
        self._buckets: dict[str, tuple[BucketInfo, dict[str, tuple[ObjectInfo, bytes]]]] = {}
        self._cors: dict[str, tuple[CorsRule, ...]] = {}
        self._requests = itertools.count(1)
        self._methods: dict[type[Command[Any]], Callable[[Any], Any]] = {
            commands.LookupSigningKey: self._signing_key,
            commands.SignV2: self._sign_v2,
            commands.CheckAccess: self._check_access,
            commands.AllowEarlyHead: lambda command: None,
            commands.ListBuckets: self._list_buckets,
            commands.CreateBucket: self._create_bucket,
            commands.HeadBucket: lambda command: self._bucket(command.bucket)[0],
            commands.PutBucketAcl: self._put_bucket_acl,
            commands.GetBucketCors: self._get_bucket_cors,
            commands.PutBucketCors: self._put_bucket_cors,
            commands.DeleteBucket: self._delete_bucket,
            commands.ListObjects: self._list_objects,
            commands.HeadObject: lambda command: self._find(command)[0],
            commands.OpenObject: lambda command: OpenedObject(*self._find(command)),
            commands.PutObject: self._put_object,
            commands.CopyObject: self._copy_object,
            commands.DeleteObject: lambda command: self._delete_object(command.bucket, command.entry),
            commands.DeleteObjects: self._delete_objects,
        }

    def perform(self, command: Command[Any]) -> Any:
        """Answer one command.  Raises S3Errors."""
        method = self._methods.get(type(command))
        if method is None:
            raise RequestNotImplemented(f"The memory store has no {type(command).__name__}.")
        return method(command)

    def context(self) -> Context:
        """Return what one request is told of the world."""
        number = next(self._requests)
        return Context(now=time.time(), request_id=f"{number:016X}", host_id="memory")

    # identity

    def _signing_key(self, command: commands.LookupSigningKey) -> SigningKey | None:
        if command.access_key_id != self._access_key_id:
            return None
        key = sigv4.signing_key(self._secret, command.date, command.region, command.service)
        return SigningKey(key, self._principal)

    def _sign_v2(self, command: commands.SignV2) -> SignatureV2 | None:
        if command.access_key_id != self._access_key_id:
            return None
        return SignatureV2(hmac.digest(self._secret.encode(), command.string_to_sign, "sha1"), self._principal)

    def _check_access(self, command: commands.CheckAccess) -> Access:
        if command.bucket is not None and command.action != "s3:CreateBucket":
            self._bucket(command.bucket)
        if command.principal is None or command.expected_owner not in (None, self._principal.owner.id):
            return Access.DENIED
        return Access.OWNER

    # buckets

    def _bucket(self, name: str) -> tuple[BucketInfo, dict[str, tuple[ObjectInfo, bytes]]]:
        if name not in self._buckets:
            raise NoSuchBucket(BucketName=name)
        return self._buckets[name]

    def _list_buckets(self, command: commands.ListBuckets) -> BucketPage:
        names = [n for n in sorted(self._buckets) if n.startswith(command.prefix) and n > command.after]
        page = tuple(self._buckets[name][0] for name in names[: command.limit])
        return BucketPage(page, len(names) > command.limit)

    def _create_bucket(self, command: commands.CreateBucket) -> BucketInfo:
        if command.bucket in self._buckets:
            raise BucketAlreadyOwnedByYou(BucketName=command.bucket)
        _refuse_grants(command.acl)
        info = BucketInfo(command.bucket, time.time(), command.owner)
        self._buckets[command.bucket] = info, {}
        return info

    def _put_bucket_acl(self, command: commands.PutBucketAcl) -> None:
        self._bucket(command.bucket)
        _refuse_grants(command.acl)

    def _get_bucket_cors(self, command: commands.GetBucketCors) -> tuple[CorsRule, ...]:
        self._bucket(command.bucket)
        return self._cors.get(command.bucket, ())

    def _put_bucket_cors(self, command: commands.PutBucketCors) -> None:
        self._bucket(command.bucket)
        self._cors[command.bucket] = command.rules

    def _delete_bucket(self, command: commands.DeleteBucket) -> None:
        if self._bucket(command.bucket)[1]:
            raise BucketNotEmpty(BucketName=command.bucket)
        del self._buckets[command.bucket]
        self._cors.pop(command.bucket, None)

    # objects

    def _find(self, command: commands.HeadObject | commands.OpenObject) -> tuple[ObjectInfo, bytes]:
        objects = self._bucket(command.bucket)[1]
        if command.version_id not in (None, "null"):
            raise NoSuchVersion(Key=command.key, VersionId=command.version_id)
        if command.key not in objects:
            raise NoSuchKey(Key=command.key)
        return objects[command.key]

    def _list_objects(self, command: commands.ListObjects) -> ListPage:
        rows: list[ObjectRow] = []
        prefixes: list[str] = []
        last = ""
        for key, (info, _) in sorted(self._bucket(command.bucket)[1].items(), key=lambda item: item[0].encode()):
            if not key.startswith(command.prefix) or key.encode() <= command.after.encode():
                continue
            stem, delimiter, _ = key[len(command.prefix) :].partition(command.delimiter or "\0\0")
            common = command.prefix + stem + delimiter if delimiter == command.delimiter != "" else None
            if common is not None and common in (command.after, *prefixes[-1:]):
                continue
            if len(rows) + len(prefixes) == command.limit:
                return ListPage(tuple(rows), tuple(prefixes), True, last)
            if common is None:
                rows.append(ObjectRow(key, info.size, info.etag, info.last_modified))
            else:
                prefixes.append(common)
            last = common or key
        return ListPage(tuple(rows), tuple(prefixes), False, last)

    def _put_object(self, command: commands.PutObject) -> ObjectInfo:
        _refuse_grants(command.attributes.acl)
        self._check_conditions(command)
        return self._publish(
            command.bucket,
            command.content,
            ObjectInfo(
                command.key, len(command.content), command.etag, time.time(), command.attributes, command.checksums
            ),
        )

    def _copy_object(self, command: commands.CopyObject) -> ObjectInfo:
        _refuse_grants(command.attributes.acl if command.attributes else PRIVATE)
        self._check_conditions(command)
        source = command.source.info
        return self._publish(
            command.bucket,
            command.source.content,
            ObjectInfo(
                command.key,
                source.size,
                source.etag,
                time.time(),
                command.attributes or source.attributes,
                source.checksums,
            ),
        )

    def _check_conditions(self, command: commands.PutObject | commands.CopyObject) -> None:
        existing = self._bucket(command.bucket)[1].get(command.key)
        if command.if_none_match and existing:
            raise PreconditionFailed(Condition="If-None-Match")
        if command.if_match and existing is None:
            raise NoSuchKey(Key=command.key)
        if command.if_match and existing and command.if_match not in ("*", existing[0].etag):
            raise PreconditionFailed(Condition="If-Match")

    def _publish(self, bucket: str, content: bytes, info: ObjectInfo) -> ObjectInfo:
        self._bucket(bucket)[1][info.key] = info, content
        return info

    def _delete_object(self, bucket: str, entry: DeleteEntry) -> DeleteResult:
        objects = self._bucket(bucket)[1]
        existing = objects.get(entry.key)
        if entry.if_match is not None:
            if existing is None:
                raise NoSuchKey(Key=entry.key)
            if entry.if_match not in ("*", existing[0].etag):
                raise PreconditionFailed(Condition="If-Match")
        if entry.version_id in (None, "null"):
            objects.pop(entry.key, None)
        return DeleteResult(entry.key, entry.version_id)

    def _delete_objects(self, command: commands.DeleteObjects) -> tuple[DeleteResult, ...]:
        results = []
        for entry in command.entries:
            try:
                results.append(self._delete_object(command.bucket, entry))
            except S3Error as error:
                results.append(DeleteResult(entry.key, entry.version_id, error))
        return tuple(results)
