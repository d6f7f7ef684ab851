"""What a client gives an object besides its bytes, and how it is given back.

Rules: plain functions from request headers to ObjectAttributes and from there to response headers.  Header text is
latin-1 here, one character per byte; system headers come back byte for byte.  A response header never carries a
control character, whoever wrote the stored value.

User metadata beyond ASCII: what is UTF-8 is read as that, everything else as latin-1, and it is answered in latin-1
where that can say it, else in UTF-8.  So botocore (which sends UTF-8 and reads latin-1), Python, Node and browsers
(which do both in latin-1) get their text back; RFC 2047 words are left as they are.  AWS answers RFC 2047 words, of
the UTF-8 bytes taken as latin-1, which nobody reads.

A header that asks for what this gateway does not do is refused, never ignored: ``refuse_unsupported``.

Follows "Working with object metadata" (Amazon S3 User Guide), "PutObject", "CopyObject" (API Reference).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from s3proto import tagging
from s3proto.acl import OBJECT_ACLS
from s3proto.dates import http_date
from s3proto.errors import (
    InvalidArgument,
    InvalidRedirectLocation,
    InvalidStorageClass,
    MetadataTooLarge,
    RequestNotImplemented,
)
from s3proto.http import Headers
from s3proto.model import PRIVATE, ObjectAttributes, ObjectInfo, Owner

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
MAX_USER_METADATA = 2048
"""Bytes of all names (without ``x-amz-meta-``) and values together."""
META_PREFIX = "x-amz-meta-"
STORAGE_CLASSES = frozenset(
    "STANDARD REDUCED_REDUNDANCY STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER DEEP_ARCHIVE OUTPOSTS GLACIER_IR"
    " SNOW EXPRESS_ONEZONE FSX_OPENZFS".split()
)

_SYSTEM_HEADERS = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
    "x-amz-website-redirect-location": "x-amz-website-redirect-location",
}
_OVERRIDES = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")

# --------------------------------------------------------------------------------- what is not done here

_AMAZONS_ACLS = frozenset({"aws-exec-read", "log-delivery-write"})
"""Canned ACLs that grant something to services of Amazon's."""
_UNSUPPORTED_PREFIXES = (
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-write-offset-bytes",
    "x-amz-rename-source",
)


def refuse_unsupported(headers: Headers) -> None:
    """Raise RequestNotImplemented for a header whose wish would go unfulfilled, InvalidArgument for a bad ACL."""
    for name, value in headers:
        if not name.startswith("x-amz-"):
            continue
        if name.startswith(_UNSUPPORTED_PREFIXES):
            raise RequestNotImplemented(Header=name)
        if name == "x-amz-acl" and value not in OBJECT_ACLS:
            if value in _AMAZONS_ACLS:
                raise RequestNotImplemented(Header=name)
            raise InvalidArgument(ArgumentName=name, ArgumentValue=value)


# ----------------------------------------------------------------------------------- request to attributes


def parse_attributes(headers: Headers, owner: Owner | None = None) -> ObjectAttributes:
    """Return the attributes that the headers of a write give; ``owner`` as in ObjectAttributes.

    Raises MetadataTooLarge, InvalidStorageClass, InvalidRedirectLocation, InvalidTag, InvalidArgument.
    """
    system = []
    for name in _SYSTEM_HEADERS:
        if (value := headers.joined(name)) is not None:
            if name == "content-encoding":
                value = _without_aws_chunked(value)
            if value:
                system.append((name, value))
    _check_redirect(headers)
    return ObjectAttributes(
        content_type=headers.get("content-type") or DEFAULT_CONTENT_TYPE,
        headers=tuple(system),
        metadata=_user_metadata(headers),
        storage_class=parse_storage_class(headers),
        acl=parse_acl(headers),
        owner=owner,
        tags=tagging.parse_header(headers.get(tagging.HEADER)),
    )


def parse_acl(headers: Headers) -> str:
    """Return x-amz-acl, which ``refuse_unsupported`` has looked at; ``private`` without one."""
    return headers.get("x-amz-acl") or PRIVATE


def parse_storage_class(headers: Headers) -> str:
    """Return x-amz-storage-class, ``STANDARD`` without one.  Raises InvalidStorageClass."""
    storage_class = headers.get("x-amz-storage-class") or "STANDARD"
    if storage_class not in STORAGE_CLASSES:
        raise InvalidStorageClass(StorageClassRequested=storage_class)
    return storage_class


def copied_attributes(source: ObjectAttributes, headers: Headers, owner: Owner | None = None) -> ObjectAttributes:
    """Return the attributes of a copy that keeps its source's metadata; ``owner`` is the copy's.

    The storage class, the ACL and the website redirect are the request's: AWS copies none of them.  It has no
    tags: whose it gets, another header of the request says.
    """
    _check_redirect(headers)
    name = "x-amz-website-redirect-location"
    system = tuple(pair for pair in source.headers if pair[0] != name)
    if location := headers.get(name):
        system += ((name, location),)
    return ObjectAttributes(
        source.content_type, system, source.metadata, parse_storage_class(headers), parse_acl(headers), owner
    )


def _user_metadata(headers: Headers) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(META_PREFIX):
            name = name[len(META_PREFIX) :]
            found[name] = f"{found[name]},{value}" if name in found else value
    size = sum(len(name) + len(value) for name, value in found.items())
    if size > MAX_USER_METADATA:
        raise MetadataTooLarge(Size=size, MaxSizeAllowed=MAX_USER_METADATA)
    return tuple((name, _decoded(value)) for name, value in found.items())


def _decoded(value: str) -> str:
    try:
        return value if value.isascii() else value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value


def _without_aws_chunked(value: str) -> str:
    """``aws-chunked`` is how the body travels, not what it is; other codings stay as they were sent."""
    codings = [coding.strip() for coding in value.split(",")]
    kept = [coding for coding in codings if coding.lower() != "aws-chunked"]
    return value if len(kept) == len(codings) else ", ".join(kept)


def _check_redirect(headers: Headers) -> None:
    location = headers.get("x-amz-website-redirect-location")
    if location and not (location.startswith(("/", "http://", "https://")) and len(location) <= 2048):
        raise InvalidRedirectLocation


# --------------------------------------------------------------------------------- attributes to response


def object_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return the response headers of GET and HEAD that tell of the object itself, not of the piece answered."""
    attributes = info.attributes
    found = [
        ("Last-Modified", http_date(info.last_modified)),
        ("ETag", f'"{info.etag}"'),
        ("Accept-Ranges", "bytes"),
        ("Content-Type", header_text(attributes.content_type or DEFAULT_CONTENT_TYPE)),
    ]
    for name, value in attributes.headers:
        if name in _SYSTEM_HEADERS:
            found.append((_SYSTEM_HEADERS[name], header_text(value)))
    for name, value in attributes.metadata:
        if _TOKEN.fullmatch(name):
            found.append((META_PREFIX + name, header_text(value)))
    if attributes.storage_class != "STANDARD":
        found.append(("x-amz-storage-class", attributes.storage_class))
    if info.version_id is not None:
        found.append(("x-amz-version-id", info.version_id))
    return found


def not_modified_headers(info: ObjectInfo) -> list[tuple[str, str]]:
    """Return what of ``object_headers`` a 304 carries (RFC 9110 15.4.5)."""
    kept = ("Last-Modified", "ETag", "Cache-Control", "Expires", "x-amz-version-id")
    return [pair for pair in object_headers(info) if pair[0] in kept]


def overridden(headers: list[tuple[str, str]], query: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return ``headers`` with those replaced that ``response-*`` parameters name.

    Raises InvalidArgument for a value that no header can carry.
    """
    changed = {}
    for parameter, name in _OVERRIDES.items():
        if value := query.get(parameter):
            if _CONTROL.search(value) or not _is_latin_1(value):
                raise InvalidArgument(
                    "Header value cannot be represented using ISO-8859-1.",
                    ArgumentName=parameter,
                    ArgumentValue=value,
                )
            changed[name] = value
    if not changed:
        return headers
    return [pair for pair in headers if pair[0] not in changed] + list(changed.items())


def has_overrides(query: Mapping[str, str]) -> bool:
    """Tell whether any ``response-*`` parameter is present."""
    return not _OVERRIDES.keys().isdisjoint(query)


def header_text(value: str) -> str:
    """Stored text as a header can carry it: other writers of the store need not have been as careful as we are."""
    if not _is_latin_1(value):
        value = value.encode("utf-8", "replace").decode("latin-1")
    return _CONTROL.sub(" ", value)


def _is_latin_1(text: str) -> bool:
    return text.isascii() or max(text) <= "\xff"
