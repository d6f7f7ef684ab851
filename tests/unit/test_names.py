"""s3proto.names."""

from __future__ import annotations

import pytest

from s3proto.context import Settings
from s3proto.errors import (
    InvalidArgument,
    InvalidBucketName,
    InvalidURI,
    KeyTooLongError,
    RequestNotImplemented,
    S3Error,
)
from s3proto.http import Headers, RequestHead
from s3proto.names import (
    RESERVED_BUCKETS,
    Target,
    check_bucket_name,
    is_bucket_name,
    parse_copy_source,
    parse_query,
    parse_target,
    uri_encode,
)


def target(path: str, host: str | None = "s3.local:9900", domain: str | None = "s3.local") -> Target:
    headers = Headers([("host", host)] if host is not None else [])
    return parse_target(RequestHead("GET", path, headers), Settings(domain=domain))


PATH_STYLE = {
    "/": Target(None, None),
    "/?acl": Target(None, None),
    "/bucket": Target("bucket", None),
    "/bucket/": Target("bucket", None),
    "/bucket?acl": Target("bucket", None),
    "/bucket/a": Target("bucket", "a"),
    "/bucket//a": Target("bucket", "/a"),
    "/bucket//": Target("bucket", "/"),
    "/bucket/a/": Target("bucket", "a/"),
    "/bucket/../.": Target("bucket", "../."),
    "/bucket/a+b%2B%20": Target("bucket", "a+b+ "),
    "/bucket/%00": Target("bucket", "\0"),
    "/bucket/%252F%2F": Target("bucket", "%2F/"),
    "/bucket/%E4%b8%AD": Target("bucket", "中"),
    "/bucket/\xe4\xb8\xad": Target("bucket", "中"),
    "/Old_Bucket/a": Target("Old_Bucket", "a"),
    "/bucket/" + "a" * 1024: Target("bucket", "a" * 1024),
    "/bucket/" + "%C3%A9" * 512: Target("bucket", "é" * 512),
}


@pytest.mark.parametrize("path, expected", PATH_STYLE.items())
def test_path_style(path: str, expected: Target) -> None:
    assert target(path) == expected == target(path, host=None) == target(path, domain=None)


@pytest.mark.parametrize("host", ["bucket.s3.local", "BUCKET.S3.Local:9900", "bucket.s3.local.", "bucket.s3.local.:80"])
def test_virtual_host(host: str) -> None:
    assert target("/", host) == Target("bucket", None, True)
    assert target("/a/b?acl", host) == Target("bucket", "a/b", True)
    assert target("//", host) == Target("bucket", "/", True)
    assert target("/bucket/a", host, domain=None) == Target("bucket", "a")


def test_virtual_host_with_dots() -> None:
    assert target("/a", "my.bucket.s3.local") == Target("my.bucket", "a", True)
    assert target("/bucket", "notours3.local") == target("/bucket", "[::1]:80") == Target("bucket", None)


BAD_TARGETS: dict[str, type[S3Error]] = {
    "//": InvalidBucketName,
    "//key": InvalidBucketName,
    "/a": InvalidBucketName,
    "/..": InvalidBucketName,
    "/../x": InvalidBucketName,
    "/.../x": InvalidBucketName,
    "/.s3~/x": InvalidBucketName,
    "/bucket%2Fkey": InvalidBucketName,
    "/%E4%B8%AD%E4%B8%AD%E4%B8%AD/x": InvalidBucketName,
    "/bucket%00": InvalidBucketName,
    "/bucket%0A/x": InvalidBucketName,
    "/" + "a" * 256: InvalidBucketName,
    "/bucket/%": InvalidURI,
    "/bucket/%4": InvalidURI,
    "/bucket/%G0": InvalidURI,
    "/bucket/%u1234": InvalidURI,
    "/bucket/%FF": InvalidURI,
    "/bucket/\xff": InvalidURI,
    "/bucket/%ED%A0%80": InvalidURI,
    "/bucket/%C0%AF": InvalidURI,
    "/%FF": InvalidURI,
    "/bucket/" + "a" * 1025: KeyTooLongError,
    "/bucket/" + "%C3%A9" * 513: KeyTooLongError,
}


@pytest.mark.parametrize("path, error", BAD_TARGETS.items())
def test_bad_target(path: str, error: type[S3Error]) -> None:
    with pytest.raises(error):
        target(path)


def test_key_too_long_says_by_how_much() -> None:
    with pytest.raises(KeyTooLongError) as caught:
        target("/bucket/" + "%C3%A9" * 513)
    assert caught.value.fields == {"Size": "1026", "MaxSizeAllowed": "1024"}


QUERIES = {
    "": [],
    "&&": [],
    "acl": [("acl", "")],
    "acl=": [("acl", "")],
    "a=1&b=2&a=3": [("a", "1"), ("b", "2"), ("a", "3")],
    "prefix=a+b%2B%20c": [("prefix", "a b+ c")],
    "a=b=c": [("a", "b=c")],
    "%61=%C3%A9": [("a", "é")],
    "a;b=1": [("a;b", "1")],
}


@pytest.mark.parametrize("raw, pairs", QUERIES.items())
def test_parse_query(raw: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_query(raw) == pairs


@pytest.mark.parametrize("raw", ["%", "a=%F", "a=%FF", "\xff=1"])
def test_bad_query(raw: str) -> None:
    with pytest.raises(InvalidURI):
        parse_query(raw)


def test_uri_encode() -> None:
    assert uri_encode("aZ0-._~/ +é%") == "aZ0-._~%2F%20%2B%C3%A9%25" and uri_encode("a/b", safe="/") == "a/b"


# ------------------------------------------------------------------------------------------- bucket names

GOOD_NAMES = ["abc", "a" * 63, "my-bucket.1", "1.2.3", "1.2.3.4.5", "0--0", "a.b.c", "xn-a", "systems"]
BAD_NAMES = [
    "",
    "ab",
    "a" * 64,
    "Bucket",
    "under_score",
    "-start",
    "end-",
    ".start",
    "end.",
    "two..dots",
    "dash-.dot",
    "dot.-dash",
    "192.168.5.4",
    "999.1.1.1",
    "xn--a",
    "sthree-a",
    "amzn-s3-demo-a",
    "a-s3alias",
    "a--ol-s3",
    "abc.mrap",
    "a--x-s3",
    "a--table-s3",
    "b\u00fccher",
    "new\nline",
    "bucket\n",
    "\u0661\u0661\u0661",
    *sorted(RESERVED_BUCKETS),  # every xdist worker must collect the same order
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_bucket_name(name: str) -> None:
    check_bucket_name(name)
    assert is_bucket_name(name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_bucket_name(name: str) -> None:
    with pytest.raises(InvalidBucketName) as caught:
        check_bucket_name(name)
    assert caught.value.fields == {"BucketName": name}


# ------------------------------------------------------------------------------------------- copy sources

SOURCES = {
    "bucket/key": ("bucket", "key", None),
    "/bucket/key": ("bucket", "key", None),
    "bucket//key": ("bucket", "/key", None),
    "%2Fbucket%2Fa%2Fb": ("bucket", "a/b", None),
    "bucket/a+b%2B%20c": ("bucket", "a+b+ c", None),
    "bucket/key?versionId=abc": ("bucket", "key", "abc"),
    "bucket/key%3FversionId=abc": ("bucket", "key?versionId=abc", None),
    "bucket/a?b?versionId=null": ("bucket", "a?b", "null"),
    "bucket/a?b": ("bucket", "a?b", None),
    "bucket/\xc3\xa9": ("bucket", "é", None),
}


@pytest.mark.parametrize("value, expected", SOURCES.items())
def test_copy_source(value: str, expected: tuple[str, str, str | None]) -> None:
    assert parse_copy_source(value) == expected


BAD_SOURCES: dict[str, type[S3Error]] = {
    "": InvalidArgument,
    "/": InvalidArgument,
    "bucket": InvalidArgument,
    "bucket/": InvalidArgument,
    "//bucket/key": InvalidArgument,
    "../key": InvalidArgument,
    "bucket/%": InvalidArgument,
    "bucket/%FF": InvalidArgument,
    "bucket/key?versionId=": InvalidArgument,
    "?versionId=x": InvalidArgument,
    "arn:aws:s3:us-east-1:1:accesspoint/a/object/k": RequestNotImplemented,
    "bucket/" + "a" * 1025: KeyTooLongError,
}


@pytest.mark.parametrize("value, error", BAD_SOURCES.items())
def test_bad_copy_source(value: str, error: type[S3Error]) -> None:
    with pytest.raises(error):
        parse_copy_source(value)
