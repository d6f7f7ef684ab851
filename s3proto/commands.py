"""The questions the core asks its driver; each is answered by one value or one raised S3Error.

A command is frozen, slotted and without behaviour; its docstring is the contract: answer, errors, atomicity.
``answer = yield from SomeCommand(...)`` types under mypy --strict.  Whatever guards a write travels *inside* the
write command: asking first and acting later would be a race.

Rules for functions that yield them (``Steps``): see docs/architecture.md, "The core".
Any storage command may also raise SlowDown, ServiceUnavailable, StorageFull or InternalError.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from s3proto.body import Decoder
from s3proto.bucket_policy import BucketPolicy
from s3proto.form import FormDecoder
from s3proto.model import (
    NO_CHECKSUMS,
    PRIVATE,
    Access,
    BucketInfo,
    BucketPage,
    Checksums,
    Completed,
    CorsRule,
    DeleteEntry,
    DeleteResult,
    Document,
    ListPage,
    ObjectAttributes,
    ObjectInfo,
    OpenedObject,
    Owner,
    Pairs,
    Part,
    PartPage,
    Principal,
    Received,
    SignatureV2,
    SigningKey,
    Upload,
    UploadPage,
)

R = TypeVar("R", covariant=True)
T = TypeVar("T")


class Command(Generic[R]):
    """A question that the core cannot answer alone; R is the type of the answer."""

    __slots__ = ()

    def __iter__(self) -> Generator[Command[Any], Any, R]:
        answer: R = yield self
        return answer


Steps: TypeAlias = Generator[Command[Any], Any, T]

# ---------------------------------------------------------------------------------------------- identity


@dataclass(frozen=True, slots=True)
class LookupSigningKey(Command[SigningKey | None]):
    """The SigV4 signing key of an access key for one scope; None when there is no such enabled key."""

    access_key_id: str
    date: str
    """YYYYMMDD."""
    region: str
    service: str


@dataclass(frozen=True, slots=True)
class SignV2(Command[SignatureV2 | None]):
    """HMAC-SHA1 of ``string_to_sign`` with the secret of an access key; None when there is no such enabled key."""

    access_key_id: str
    string_to_sign: bytes


@dataclass(frozen=True, slots=True)
class CheckAccess(Command[Access]):
    """May ``principal`` (None: anonymous) do ``action`` (AWS's IAM name, ``s3:GetObject``)?

    A driver that knows no ACLs answers OWNER or DENIED; one that knows policies of buckets asks
    ``bucket_policy.access``.  DENIED also when ``expected_owner`` is given and is not the bucket owner's id.  Raises
    NoSuchBucket when ``bucket`` is named and missing (except for s3:CreateBucket).
    """

    principal: Principal | None
    action: str
    bucket: str | None = None
    key: str | None = None
    expected_owner: str | None = None
    besides: tuple[str, ...] = ()
    """Actions that the request's headers ask for besides (``x-amz-acl``)."""
    values: Callable[[], Mapping[str, str]] = field(default=dict, compare=False, repr=False)
    """What conditions of policies are about, by ``policy.CONDITION_KEYS``."""


# ------------------------------------------------------------------------------------------------ bodies


@dataclass(frozen=True, slots=True)
class BodyTarget:
    """Where a body will be published, so that the store can receive it in the right place."""

    bucket: str
    key: str
    upload_id: str | None = None
    part_number: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiveBody(Command[Received]):
    """Take the request's body through ``decoder`` to the end and keep it for PutObject or UploadPart.

    The driver sends 100 Continue now and not before.  Raises what the decoder raises (IncompleteBody,
    SignatureDoesNotMatch, ...), EntityTooLarge past ``limit`` bytes, RequestTimeout.  Nothing is visible.
    """

    decoder: Decoder
    digests: tuple[str, ...]
    target: BodyTarget
    limit: int
    begun: bytes = b""
    """What goes through the decoder first: bytes that came along with a form's fields."""


@dataclass(frozen=True, slots=True)
class ReceiveForm(Command[None]):
    """Feed the body to ``decoder`` until that is complete, and take no more than comes along; else ``finish`` it.

    What follows is for ReceiveBody.  100 Continue is sent now.  Raises what the decoder raises, RequestTimeout.
    """

    decoder: FormDecoder


@dataclass(frozen=True, slots=True)
class ReceiveDocument(Command[Document]):
    """Take a small body (XML) into memory.  Raises MaxMessageLengthExceeded past ``limit``, else as ReceiveBody."""

    decoder: Decoder
    digests: tuple[str, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class AllowEarlyHead(Command[None]):
    """From here the driver may send a 200 head and white space now and then while later commands take long.

    Once it has, the final response (also an error) is sent as the rest of that body.
    """

    headers: tuple[tuple[str, str], ...] = ()


# ----------------------------------------------------------------------------------------------- buckets


@dataclass(frozen=True, slots=True)
class ListBuckets(Command[BucketPage]):
    """Buckets that the principal may see, in byte order of names, after ``after`` (exclusive)."""

    principal: Principal
    prefix: str = ""
    after: str = ""
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class CreateBucket(Command[BucketInfo]):
    """Make a bucket, atomically.  Raises BucketAlreadyOwnedByYou, BucketAlreadyExists (somebody else's)."""

    bucket: str
    owner: Owner
    acl: str = PRIVATE


@dataclass(frozen=True, slots=True)
class PutBucketAcl(Command[None]):
    """Give a bucket another canned ACL (one of ``acl.BUCKET_ACLS``).  Raises NoSuchBucket."""

    bucket: str
    acl: str


@dataclass(frozen=True, slots=True)
class GetBucketCors(Command[tuple[CorsRule, ...]]):
    """What a bucket lets pages of other origins do; none: no configuration.  Raises NoSuchBucket.

    The only storage command that comes before CheckAccess, and often: without ``fresh`` the answer may be a second old.
    """

    bucket: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class PutBucketCors(Command[None]):
    """Give a bucket other rules, all at once; none: no configuration any more.  Raises NoSuchBucket."""

    bucket: str
    rules: tuple[CorsRule, ...]


@dataclass(frozen=True, slots=True)
class GetBucketTagging(Command[Pairs]):
    """A bucket's tags as they are now, in order of their keys.  Raises NoSuchBucket."""

    bucket: str


@dataclass(frozen=True, slots=True)
class PutBucketTagging(Command[None]):
    """Give a bucket other tags, all at once; none: no tags any more.  Raises NoSuchBucket."""

    bucket: str
    tags: Pairs


@dataclass(frozen=True, slots=True)
class GetBucketPolicy(Command[BucketPolicy | None]):
    """A bucket's policy as it is now; None: it has none.  Raises NoSuchBucket."""

    bucket: str


@dataclass(frozen=True, slots=True)
class PutBucketPolicy(Command[None]):
    """Give ``principal``'s bucket another policy; None: none any more.  Raises NoSuchBucket, AccessDenied.

    AccessDenied: it is somebody else's by now, for a document may take long to come.
    """

    bucket: str
    policy: BucketPolicy | None
    principal: Principal


@dataclass(frozen=True, slots=True)
class HeadBucket(Command[BucketInfo]):
    """Raises NoSuchBucket."""

    bucket: str


@dataclass(frozen=True, slots=True)
class DeleteBucket(Command[None]):
    """Remove an empty bucket with its unfinished uploads.  Raises NoSuchBucket, BucketNotEmpty."""

    bucket: str


# ----------------------------------------------------------------------------------------------- objects


@dataclass(frozen=True, slots=True)
class ListObjects(Command[ListPage]):
    """At most ``limit`` keys and common prefixes together, in byte order, greater than ``after``.

    A common prefix equal to ``after`` is skipped with all its keys.  ``delimiter`` "" means none.
    ``limit`` is at least 1.  Raises NoSuchBucket.
    """

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class HeadObject(Command[ObjectInfo]):
    """Raises NoSuchBucket, NoSuchKey, NoSuchVersion (any version id but ``null``)."""

    bucket: str
    key: str
    version_id: str | None = None
    with_parts: bool = False


@dataclass(frozen=True, slots=True)
class OpenObject(Command[OpenedObject]):
    """Open one object for reading.  Raises as HeadObject."""

    bucket: str
    key: str
    version_id: str | None = None
    with_parts: bool = False


@dataclass(frozen=True, slots=True)
class PutObject(Command[ObjectInfo]):
    """Publish a received body under a key, all or nothing.

    Conditions hold at the moment of publishing against every other writer: ``if_none_match`` is "*" or None,
    ``if_match`` a bare ETag, "*" or None.  Raises NoSuchBucket, PreconditionFailed, NoSuchKey (if_match and no object),
    ConditionalRequestConflict.
    """

    bucket: str
    key: str
    content: Any
    etag: str
    attributes: ObjectAttributes
    checksums: Checksums = NO_CHECKSUMS
    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True, slots=True)
class CopyObject(Command[ObjectInfo]):
    """Publish the bytes of an opened object under a key, as PutObject does.

    ``attributes`` None takes the source's.  ``checksum_algorithm`` asks for a FULL_OBJECT checksum of that kind; None
    takes the source's.  Source and destination may be the same key.
    """

    source: OpenedObject
    bucket: str
    key: str
    attributes: ObjectAttributes | None
    checksum_algorithm: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True, slots=True)
class PutObjectAcl(Command[None]):
    """Give an object another canned ACL (one of ``acl.OBJECT_ACLS``); its time and ETag stay.

    Atomic against every writer of the key.  ``owner``: AccessDenied unless the object is his (``attributes.owner``) at
    that moment; None: whosever it is.  Raises as HeadObject.
    """

    bucket: str
    key: str
    acl: str
    version_id: str | None = None
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class PutObjectTagging(Command[None]):
    """Give an object other tags, all at once; none: no tags.  Its time and ETag stay.

    Atomic against every writer of the key.  Raises as HeadObject.
    """

    bucket: str
    key: str
    tags: Pairs
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteObject(Command[DeleteResult]):
    """Remove one object; one that is not there counts as deleted.

    Raises NoSuchBucket, PreconditionFailed; NoSuchKey where ``entry`` has a condition and there is no object;
    NoSuchVersion never: an unknown version id deletes nothing and succeeds.
    """

    bucket: str
    entry: DeleteEntry


@dataclass(frozen=True, slots=True)
class DeleteObjects(Command[tuple[DeleteResult, ...]]):
    """Remove several objects; answers in the order asked, an error per entry.  Raises NoSuchBucket."""

    bucket: str
    entries: tuple[DeleteEntry, ...]


# --------------------------------------------------------------------------------------------- multipart


@dataclass(frozen=True, slots=True)
class CreateMultipartUpload(Command[str]):
    """Begin an upload; answers its id (URL-safe, opaque, bound to bucket and key).  Raises NoSuchBucket."""

    bucket: str
    key: str
    owner: Owner
    attributes: ObjectAttributes
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


@dataclass(frozen=True, slots=True)
class HeadUpload(Command[Upload]):
    """Raises NoSuchBucket, NoSuchUpload.  A completed upload answers with ``completed`` for 24 hours."""

    bucket: str
    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class UploadPart(Command[Part]):
    """Record a received body as a part; the last one of a number wins.  Raises NoSuchBucket, NoSuchUpload."""

    bucket: str
    key: str
    upload_id: str
    part_number: int
    content: Any
    etag: str
    checksums: Checksums = NO_CHECKSUMS


@dataclass(frozen=True, slots=True)
class UploadPartCopy(Command[Part]):
    """Record bytes ``first .. first+length-1`` of an opened object as a part.

    MD5, and the checksum of ``checksum_algorithm``, are computed from what is copied.
    """

    bucket: str
    key: str
    upload_id: str
    part_number: int
    source: OpenedObject
    first: int
    length: int
    checksum_algorithm: str | None = None


@dataclass(frozen=True, slots=True)
class ListParts(Command[PartPage]):
    """Parts numbered above ``after``, at most ``limit``.  Raises NoSuchBucket, NoSuchUpload."""

    bucket: str
    key: str
    upload_id: str
    after: int = 0
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class ListMultipartUploads(Command[UploadPage]):
    """Uploads after (key_marker, upload_id_marker); an empty upload_id_marker skips all of key_marker."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    key_marker: str = ""
    upload_id_marker: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class CompleteMultipartUpload(Command[ObjectInfo]):
    """Join ``parts`` (as ListParts gave them, chosen and checked by the core) and publish as PutObject does.

    Raises InvalidPart when one of them was replaced meanwhile, else as PutObject; after an error the upload
    still exists.  ``completed`` is kept for repeats.
    """

    bucket: str
    key: str
    upload_id: str
    parts: tuple[Part, ...]
    completed: Completed
    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True, slots=True)
class AbortMultipartUpload(Command[None]):
    """Forget an upload and its parts.  Raises NoSuchBucket, NoSuchUpload."""

    bucket: str
    key: str
    upload_id: str
