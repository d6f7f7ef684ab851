"""Which bucket and key a request means: targets, queries, copy sources, bucket names, S3's percent-encoding.

Rules: plain functions of text.  Raw text is latin-1 (one character per byte sent), decoded text is Unicode that
encodes to UTF-8; nothing is decoded twice.  A key is any text: ``.``, ``..``, ``//`` and NUL mean nothing here.
In a path ``+`` is a plus; in a query it is a space, as AWS has it.

Follows "Bucket naming rules", "Virtual hosting of general purpose buckets", "Naming Amazon S3 objects",
"CopyObject" (x-amz-copy-source).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from s3proto.context import Settings
from s3proto.errors import InvalidArgument, InvalidBucketName, InvalidURI, KeyTooLongError, RequestNotImplemented
from s3proto.http import RequestHead

MAX_KEY = 1024
"""Bytes of a key in UTF-8."""
RESERVED_BUCKETS = frozenset({"healthz", "system"})
"""The health check's path, and Curvine's own directory: never buckets."""

_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_ADDRESSABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_CREATABLE = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!\.)|\.(?![.-])){1,61}[a-z0-9]")  # dots part legal host labels
_IPV4 = re.compile(r"(?:[0-9]+\.){3}[0-9]+")
_FORBIDDEN_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_FORBIDDEN_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


@dataclass(frozen=True, slots=True)
class Target:
    """What a request's address names: the service, a bucket, or an object."""

    bucket: str | None
    key: str | None
    """None for the bucket itself, never empty."""
    virtual_host: bool = False
    """True when the bucket was named by the Host header."""


def parse_target(head: RequestHead, settings: Settings) -> Target:
    """Find bucket and key in the Host header and the path.

    The bucket can be addressed, which is not to say that it exists or may be created.
    Raises InvalidURI (encoding), InvalidBucketName, KeyTooLongError.
    """
    path = head.raw_path
    bucket = bucket_of_host(head.headers.get("host") or "", settings.domain)
    virtual_host = bucket is not None
    if bucket is not None:
        rest = path[1:]
    elif path == "/":
        return Target(None, None)
    else:
        first, _, rest = path[1:].partition("/")  # before decoding: %2F does not end a bucket's name
        bucket = percent_decode(first)
    if not is_bucket_name(bucket):
        raise InvalidBucketName(BucketName=bucket)
    return Target(bucket, check_key(percent_decode(rest)) or None, virtual_host)


def bucket_of_host(host: str, domain: str | None) -> str | None:
    """Return what stands before ``domain`` in a Host header, None for any other host; a port counts for nothing."""
    if domain is None:
        return None
    name = re.sub(r":[0-9]*$", "", host.lower()).rstrip(".")
    bucket = name.removesuffix(f".{domain.lower()}")
    return None if bucket == name else bucket


def check_key(key: str) -> str:
    """Return ``key``.  Raises KeyTooLongError past 1024 bytes of UTF-8."""
    if len(key) > MAX_KEY // 4 and (size := len(key.encode())) > MAX_KEY:
        raise KeyTooLongError(Size=size, MaxSizeAllowed=MAX_KEY)
    return key


def percent_decode(raw: str) -> str:
    """Decode raw path text as UTF-8.  Raises InvalidURI for a broken escape and for what is not UTF-8."""
    if "%" in raw:
        if _BAD_PERCENT.search(raw):
            raise InvalidURI()
        data = unquote_to_bytes(raw.encode("latin-1"))
    elif raw.isascii():
        return raw
    else:
        data = raw.encode("latin-1")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidURI() from None


def parse_query(raw: str) -> list[tuple[str, str]]:
    """Decode a raw query into pairs in the order sent; ``acl`` alone is ``("acl", "")``.  Raises InvalidURI."""
    return [_parameter(item) for item in raw.replace("+", " ").split("&") if item]


@lru_cache(maxsize=128)
def _parameter(item: str) -> tuple[str, str]:
    """Most parameters of presigned URLs come again: all but the signature say who signed, when and for how long."""
    name, _, value = item.partition("=")
    return percent_decode(name), percent_decode(value)


def uri_encode(text: str, safe: str = "") -> str:
    """Percent-encode the UTF-8 of ``text`` but letters, digits, ``-._~`` and ``safe``, hexadecimal in upper case.

    S3's UriEncode, for signatures (``safe="/"`` in paths) and for listings with encoding-type=url.
    """
    if _UNRESERVED.fullmatch(text) or (safe and _UNRESERVED_PATH.fullmatch(text) and safe == "/"):
        return text  # nearly every key, at a fifth of the price
    return quote(text, safe=safe)


_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")
_UNRESERVED_PATH = re.compile(r"[A-Za-z0-9._~/-]*")


# ------------------------------------------------------------------------------------------- bucket names


def is_bucket_name(name: str) -> bool:
    """Tell whether a bucket could ever have had this name (by AWS's rules before 2018): what may be asked for."""
    return _ADDRESSABLE.fullmatch(name) is not None and not _IPV4.fullmatch(name)


def check_bucket_name(name: str) -> None:
    """Raise InvalidBucketName unless a bucket of this name may be made."""
    if (
        not _CREATABLE.fullmatch(name)
        or _IPV4.fullmatch(name)
        or name.startswith(_FORBIDDEN_PREFIXES)
        or name.endswith(_FORBIDDEN_SUFFIXES)
        or name in RESERVED_BUCKETS
    ):
        raise InvalidBucketName(BucketName=name)


# ------------------------------------------------------------------------------------------- copy sources


def parse_copy_source(value: str) -> tuple[str, str, str | None]:
    """Split x-amz-copy-source into bucket, key and version id (None without one).

    ``value`` is raw text, ``[/]bucket/key[?versionId=id]``, percent-encoded; a plus is a plus, as clients that do
    not encode at all expect.  Raises InvalidArgument, RequestNotImplemented (access point ARNs), KeyTooLongError.
    """
    if value.startswith("arn:"):
        raise RequestNotImplemented("Access points are not supported as a copy source.", Header="x-amz-copy-source")
    path, query, version = value.rpartition("?versionId=")
    if not query:
        path = version
    try:
        bucket, _, key = percent_decode(path).removeprefix("/").partition("/")
        version_id = percent_decode(version) if query else None
    except InvalidURI:
        raise _bad_copy_source("Invalid copy source encoding", value) from None
    if not is_bucket_name(bucket):
        raise _bad_copy_source("Invalid copy source bucket name", value)
    if not key:
        raise _bad_copy_source("Invalid copy source object key", value)
    if version_id == "":
        raise _bad_copy_source("Version id cannot be the empty string", value)
    return bucket, check_key(key), version_id


def _bad_copy_source(message: str, value: str) -> InvalidArgument:
    return InvalidArgument(message, ArgumentName="x-amz-copy-source", ArgumentValue=value)
