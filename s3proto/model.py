"""The values that answers carry: buckets, objects, parts, principals.

Rules: frozen records without behaviour.  Sizes and offsets are bytes, times are POSIX seconds (UTC, float),
ETags are bare (no quotes), keys are str (any Unicode that encodes to UTF-8).  Rows that come by the thousand
are NamedTuples: they cost a sixth of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from s3proto.policy import Policy

Pairs = tuple[tuple[str, str], ...]
PRIVATE = "private"
"""The canned ACL of what was given none: its owner has full control, nobody else any."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Canonical user: ``id`` is 64 hex digits, ``display_name`` the user's name."""

    id: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sent a request, once its signature was verified."""

    owner: Owner
    access_key_id: str
    administrator: bool = False
    """True for keys without a user: the one owner, who may do everything."""
    policy: Policy | None = None
    """What the key may do of all that its user may; None: all of it."""


class Access(Enum):
    """How far somebody gets with an action."""

    DENIED = "denied"
    OBJECT = "object"
    """As far as the ACL of the object lets him: ``s3proto.auth.reading`` looks at the version that is used."""
    GUEST = "guest"
    """The bucket's ACL or policy grants it to people like him."""
    EACH_KEY = "each key"
    """The bucket has a policy: for each key in the document, CheckAccess is to be asked."""
    OWNER = "owner"
    """The bucket is his, or he may everything."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A SigV4 key derived for one scope, and whose it is."""

    key: bytes = field(repr=False)
    principal: Principal


@dataclass(frozen=True, slots=True)
class SignatureV2:
    """The HMAC-SHA1 that a SigV2 request should carry, and whose it is."""

    signature: bytes = field(repr=False)
    """20 raw bytes."""
    principal: Principal


class BucketInfo(NamedTuple):
    name: str
    created: float
    owner: Owner
    region: str = "us-east-1"
    acl: str = PRIVATE
    """A canned ACL, one of ``acl.BUCKET_ACLS``."""


class CorsRule(NamedTuple):
    """One CORSRule of a bucket, as ``s3proto.cors`` checked it."""

    origins: tuple[str, ...]
    """Patterns, as are ``headers``; at least one."""
    methods: tuple[str, ...]
    """At least one of ``cors.METHODS``."""
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age: int | None = None
    """Seconds."""
    id: str | None = None


class BucketPage(NamedTuple):
    buckets: tuple[BucketInfo, ...]
    """In byte order of names."""
    truncated: bool
    """True when more follow after the last one."""


@dataclass(frozen=True, slots=True)
class Checksums:
    """The x-amz-checksum-* values of an object or part."""

    values: Pairs = ()
    """(algorithm, base64 text as on the wire); algorithm is ``CRC32 CRC32C CRC64NVME SHA1 SHA256``.
    A composite value ends in ``-N``."""
    type: str | None = None
    """``FULL_OBJECT``, ``COMPOSITE`` or None where there is none (or for a part)."""


NO_CHECKSUMS = Checksums()


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """What a client gives an object besides its bytes; stored with it and given back by HEAD and GET."""

    content_type: str | None = None
    headers: Pairs = ()
    """System headers, lower-case: cache-control content-disposition content-encoding content-language
    expires x-amz-website-redirect-location."""
    metadata: Pairs = ()
    """User metadata: lower-case names without ``x-amz-meta-``, values as str."""
    storage_class: str = "STANDARD"
    acl: str = PRIVATE
    """A canned ACL, one of ``acl.OBJECT_ACLS``."""
    owner: Owner | None = None
    """Who uploaded it by leave of the bucket's ACL; None: it is the bucket owner's."""
    tags: Pairs = ()
    """In order of their keys."""


class Part(NamedTuple):
    """One part of an unfinished upload or of a finished multipart object."""

    number: int
    size: int
    etag: str
    last_modified: float
    checksums: Pairs = ()
    """(algorithm, base64)."""
    part_id: str = ""
    """Opaque: which upload of this part number it was.  Empty for parts of finished objects."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """All that HEAD tells of one object version."""

    key: str
    size: int
    etag: str
    last_modified: float
    attributes: ObjectAttributes = ObjectAttributes()
    checksums: Checksums = NO_CHECKSUMS
    parts_count: int | None = None
    """Number of parts of a multipart object, None for others."""
    parts: tuple[Part, ...] | None = None
    """Present where asked for (``with_parts``) and the object is a multipart one."""
    version_id: str | None = None
    """None in a bucket that never had versioning."""


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """An object opened for reading: this version stays readable whatever happens to its key."""

    info: ObjectInfo
    content: Any
    """Opaque handle for Span and for copying; the driver closes it at the end of the request."""


class ObjectRow(NamedTuple):
    """One entry of a listing."""

    key: str
    size: int
    etag: str
    last_modified: float
    storage_class: str = "STANDARD"
    checksum_algorithms: tuple[str, ...] = ()
    checksum_type: str | None = None
    owner: Owner | None = None
    """None: the bucket's."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """Entries in UTF-8 byte order of whole keys, common prefixes rolled up among them."""

    objects: tuple[ObjectRow, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: str = ""
    """The last key or common prefix returned (the greater one); continue with ``after=last``."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload."""

    key: str
    upload_id: str
    initiated: float
    owner: Owner
    attributes: ObjectAttributes = ObjectAttributes()
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    completed: Completed | None = None
    """Set when this upload was completed already: the answer to repeat; nothing may be changed then."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What CompleteMultipartUpload answered."""

    etag: str
    checksums: Checksums
    parts_digest: str
    """Digest over the request's part list: a repeat must name the same parts."""


class UploadRow(NamedTuple):
    key: str
    upload_id: str
    initiated: float
    owner: Owner
    storage_class: str = "STANDARD"
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Uploads by key, then by time of initiation; common prefixes rolled up."""

    uploads: tuple[UploadRow, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    next_key: str = ""
    next_upload_id: str = ""


@dataclass(frozen=True, slots=True)
class PartPage:
    parts: tuple[Part, ...]
    """In order of part numbers."""
    truncated: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A body that has arrived whole: length, framing and chunk signatures were right."""

    content: Any
    """Opaque handle: give it to PutObject or UploadPart; what is never given is thrown away by the driver."""
    size: int
    digests: Mapping[str, bytes] = field(default_factory=dict)
    """Raw values of the digests asked for: ``md5 sha256 sha1 crc32 crc32c crc64nvme`` (CRCs big-endian)."""


@dataclass(frozen=True, slots=True)
class Document:
    """A small body (XML) as bytes, with the digests asked for."""

    data: bytes
    digests: Mapping[str, bytes] = field(default_factory=dict)


class DeleteEntry(NamedTuple):
    key: str
    version_id: str | None = None
    if_match: str | None = None
    """Bare ETag or ``*``."""
    if_size: int | None = None
    """x-amz-if-match-size."""
    if_modified: float | None = None
    """x-amz-if-match-last-modified-time, whole POSIX seconds."""


class DeleteResult(NamedTuple):
    """Outcome for one entry: ``error`` None means deleted (or was not there: the same to S3)."""

    key: str
    version_id: str | None = None
    error: Exception | None = None
    """An S3Error."""
