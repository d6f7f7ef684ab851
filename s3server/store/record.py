"""What is stored with an object: one JSON value in the attribute ``user.s3`` of its file, and its side file.

Rules: pure values and text; no I/O.  A record speaks for a file only while size and mtime are those it was written
with (``speaks_for``); a file that somebody rewrote behind our back, or that never was ours, is *foreign*: its ETag
comes from inode, mtime and size in a form no client takes for an MD5, its type from its suffix.

What can grow (part lists, long metadata) goes to a side file that the attribute refers to, because a file system
gives attributes little room (ext4: 4 KiB for all; Curvine carries them in every listing).
"""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from curvinefs.api import FileStatus
from s3proto.acl import OBJECT_ACLS
from s3proto.model import PRIVATE, Checksums, ObjectAttributes, ObjectInfo, ObjectRow, Owner, Pairs, Part
from s3proto.names import is_bucket_name

ATTRIBUTE = "user.s3"
"""The one attribute that the gateway writes: on objects, buckets, parts and directories made for a key."""
INLINE = 2048
"""Bytes of JSON kept in the attribute; what is longer moves to the side file, and in an attribute is not ours."""
MADE_BY_US = {ATTRIBUTE: b"{}"}
"""Attributes of a directory that was made for a key and goes with its last one."""

T = TypeVar("T")
_TYPES = mimetypes.MimeTypes(filenames=())


@dataclass(frozen=True, slots=True)
class Record:
    """What we know of an object's bytes and what its client gave with them."""

    etag: str
    size: int
    mtime_ms: int
    attributes: ObjectAttributes = ObjectAttributes()
    checksums: Checksums = Checksums()
    blake3: str | None = None
    """Hex; None for multipart objects (one per part) and files from elsewhere."""
    parts: tuple[PartRecord, ...] | None = None
    """Complete only when the side file was read."""
    parts_count: int | None = None
    upload: tuple[str, str] | None = None
    """The upload that made this object: its id, and the digest of the part list it was completed with."""
    side: str | None = None
    """Id of the side file."""

    def speaks_for(self, status: FileStatus) -> bool:
        return self.size == status.len and self.mtime_ms == status.mtime_ns // 1_000_000


@dataclass(frozen=True, slots=True)
class PartRecord:
    """A part of a finished multipart object."""

    number: int
    size: int
    etag: str
    checksums: Pairs = ()
    blake3: str | None = None


def encode(record: Record) -> bytes:
    """JSON of everything in a record, without its side id."""
    return _dump(_fields(record))


def encode_attribute(record: Record) -> bytes:
    """JSON for the attribute of a record that has a side file: what listings and conditions need."""
    fields = _fields(replace(record, parts=None))
    for name in ("headers", "metadata", "tags"):
        fields.pop(name, None)
    if len(fields.get("type", "")) > 256:
        del fields["type"]
    return _dump({**fields, "side": record.side})


def encode_side(record: Record, bucket: str, key: str) -> bytes:
    """JSON for the side file; it names its object, so that sweeping needs no scan."""
    return _dump({"bucket": bucket, "key": key, "side": record.side, "record": _fields(record)})


def decode(value: bytes | None) -> Record | None:
    """Read an attribute's JSON; None when it is missing or is not a record of an object."""
    return None if value is None or len(value) > INLINE else _decoded(value)


@lru_cache(maxsize=4096)
def _decoded(value: bytes) -> Record | None:
    """Objects that are read often give the same bytes: 4096 of them take a few MiB."""
    try:
        f = load_json(value)
        return record_of(f) if "etag" in f else None
    except DAMAGE:
        return None


def decode_side(value: bytes) -> tuple[str, str, str, Record] | None:
    """Answer bucket, key, side id and the whole record of a side file; None when it is damaged."""
    try:
        f = load_json(value)
        bucket, key, side = text(f["bucket"]), text(f["key"]), text(f["side"])
        return (
            (bucket, key, side, replace(record_of(f["record"]), side=side)) if key and is_bucket_name(bucket) else None
        )
    except DAMAGE:
        return None


def record_of(f: Mapping[str, Any]) -> Record:
    """Build a record from decoded JSON.  Raises KeyError, TypeError, ValueError for what is none.

    Others can write attributes too: only what could be ours gets any further.
    """
    parts = f.get("parts")
    upload = f.get("upload")
    return Record(
        etag=_word(f["etag"]),
        size=_count(f["size"]),
        mtime_ms=_integer(f["mtime"]),
        attributes=attributes_of(f),
        checksums=(
            Checksums(_sums(f["checksums"]), _optional(_name, f.get("checksum_type"))) if "checksums" in f else _NONE
        ),
        blake3=_optional(_word, f.get("blake3")),
        parts=None if parts is None else tuple(_part(*row) for row in parts),
        parts_count=_optional(_count, f.get("parts_count")),
        upload=None if upload is None else (_word(upload[0]), _word(upload[1])),
        side=_optional(_word, f.get("side")),
    )


def _part(number: Any, size: Any, etag: Any, checksums: Any, blake3: Any) -> PartRecord:
    return PartRecord(_count(number), _count(size), _word(etag), _sums(checksums), _optional(_word, blake3))


DAMAGE = (ValueError, TypeError, LookupError, AttributeError)
"""What reading JSON of another shape than ours raises."""
_WORD = re.compile(r"[!#-~]{1,80}")
_NAME = re.compile(r"[A-Z0-9_]{1,32}")
"""Storage classes, checksum algorithms: they become names of elements."""
_NONE = Checksums()
_PLAIN = ObjectAttributes()


def text(value: Any) -> str:
    """Return ``value``, which is text that UTF-8 can carry (JSON can name half a character).  TypeError, ValueError."""
    if type(value) is not str:
        raise TypeError("not text")
    value.encode()
    return value


def _word(value: Any) -> str:
    if not _WORD.fullmatch(value):
        raise ValueError("not a word")
    return str(value)


def _optional(check: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else check(value)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def _count(value: Any) -> int:
    if _integer(value) < 0:
        raise ValueError("negative")
    return int(value)


def _sums(value: Any) -> Pairs:
    return tuple((_name(name), _word(each)) for name, each in value.items())


def _name(value: Any) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("not a name")
    return str(value)


def attributes_of(f: Mapping[str, Any]) -> ObjectAttributes:
    """Build ObjectAttributes from decoded JSON."""
    if not (
        "type" in f or "headers" in f or "metadata" in f or "class" in f or "acl" in f or "writer" in f or "tags" in f
    ):
        return _PLAIN
    return ObjectAttributes(
        text(f["type"]) if "type" in f else None,
        _pairs(f.get("headers")),
        _pairs(f.get("metadata")),
        _name(f.get("class", "STANDARD")),
        canned_acl(f, OBJECT_ACLS),
        _optional(_writer, f.get("writer")),
        _pairs(f.get("tags")),
    )


def canned_acl(f: Mapping[str, Any], among: tuple[str, ...]) -> str:
    """The ACL in decoded JSON; one that we do not know grants nothing."""
    acl: Any = f.get("acl", PRIVATE)
    return str(acl) if acl in among else PRIVATE


def named_owner(owner_id: Any, name: Any) -> Owner:
    """Build an Owner from decoded JSON.  Raises TypeError, ValueError."""
    owner = Owner(text(owner_id), text(name))
    if not (owner.id.isprintable() and owner.display_name.isprintable()):
        raise ValueError("an owner that no document could name")
    return owner


def _writer(value: Any) -> Owner:
    owner_id, name = value
    return named_owner(owner_id, name)


def attribute_fields(attributes: ObjectAttributes) -> dict[str, Any]:
    """The JSON fields of ObjectAttributes; defaults are left out."""
    f: dict[str, Any] = {}
    if attributes.content_type is not None:
        f["type"] = attributes.content_type
    if attributes.headers:
        f["headers"] = dict(attributes.headers)
    if attributes.metadata:
        f["metadata"] = dict(attributes.metadata)
    if attributes.storage_class != "STANDARD":
        f["class"] = attributes.storage_class
    if attributes.acl != PRIVATE:
        f["acl"] = attributes.acl
    if attributes.owner is not None:
        f["writer"] = (attributes.owner.id, attributes.owner.display_name)
    if attributes.tags:
        f["tags"] = dict(attributes.tags)
    return f


def _fields(record: Record) -> dict[str, Any]:
    f: dict[str, Any] = {"etag": record.etag, "size": record.size, "mtime": record.mtime_ms}
    f |= attribute_fields(record.attributes)
    if record.checksums.values:
        f["checksums"] = dict(record.checksums.values)
        f["checksum_type"] = record.checksums.type
    if record.blake3 is not None:
        f["blake3"] = record.blake3
    if record.parts is not None:
        f["parts"] = [(p.number, p.size, p.etag, dict(p.checksums), p.blake3) for p in record.parts]
    if record.parts_count is not None:
        f["parts_count"] = record.parts_count
    if record.upload is not None:
        f["upload"] = record.upload
    return f


def load_json(value: bytes) -> Any:
    """Decode JSON; ValueError.  (json.loads would first guess an encoding, which costs as much as decoding.)"""
    try:
        return _decode(value.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


_decode = json.JSONDecoder().decode


def _dump(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def _pairs(value: Mapping[str, str] | None) -> Pairs:
    return tuple((text(name), text(each)) for name, each in value.items()) if value else ()


# ------------------------------------------------------------------------------------- what the core sees


def foreign(status: FileStatus, name: str) -> Record:
    """The record of a file that nobody wrote through us (or that was rewritten since)."""
    content_type, encoding = _TYPES.guess_type("x" + name[-200:], strict=False)
    if encoding is not None:  # the type of what is served, not of what it unpacks to
        content_type = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}.get(
            encoding
        )
    return Record(
        etag=f"{status.id:x}-{status.mtime_ns:x}-{status.len:x}",
        size=status.len,
        mtime_ms=status.mtime_ns // 1_000_000,
        attributes=ObjectAttributes(content_type),
    )


def of_status(status: FileStatus, name: str) -> Record:
    """The record that speaks for a file now."""
    record = decode(status.x_attr.get(ATTRIBUTE))
    return record if record is not None and record.speaks_for(status) else foreign(status, name)


def info_of(record: Record, key: str, *, with_parts: bool = False) -> ObjectInfo:
    """What HEAD tells."""
    parts = None
    if with_parts and record.parts is not None:
        parts = tuple(Part(p.number, p.size, p.etag, record.mtime_ms / 1000, p.checksums) for p in record.parts)
    return ObjectInfo(
        key=key,
        size=record.size,
        etag=record.etag,
        last_modified=record.mtime_ms / 1000,
        attributes=record.attributes,
        checksums=record.checksums,
        parts_count=record.parts_count,
        parts=parts,
    )


def row_of(status: FileStatus, key: str) -> ObjectRow:
    """One entry of a listing; reads no more of the JSON than it needs."""
    value = status.x_attr.get(ATTRIBUTE)
    fields = None if value is None or len(value) > INLINE else _row_fields(value)
    if fields is not None and fields[0] == status.len and fields[1] == status.mtime_ns // 1_000_000:
        size, mtime_ms, etag, storage_class, algorithms, checksum_type, owner = fields
        return ObjectRow(key, size, etag, mtime_ms / 1000, storage_class, algorithms, checksum_type, owner)
    record = foreign(status, "")
    return ObjectRow(key, record.size, record.etag, record.mtime_ms / 1000)


@lru_cache(maxsize=8192)
def _row_fields(value: bytes) -> tuple[int, int, str, str, tuple[str, ...], str | None, Owner | None] | None:
    """What a listing needs of an attribute; remembered, for listings are paged and repeated.  None: none of ours."""
    try:
        f = load_json(value)
        checksums = f.get("checksums")
        return (
            _count(f["size"]),
            _integer(f["mtime"]),
            _word(f["etag"]),
            _name(f["class"]) if "class" in f else "STANDARD",
            tuple(map(_name, checksums)) if checksums else (),
            _name(f["checksum_type"]) if checksums and f.get("checksum_type") else None,
            _writer(f["writer"]) if "writer" in f else None,
        )
    except DAMAGE:
        return None
