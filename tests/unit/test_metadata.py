import pytest

from s3proto import metadata
from s3proto.acl import OBJECT_ACLS
from s3proto.errors import (
    InvalidArgument,
    InvalidRedirectLocation,
    InvalidStorageClass,
    MetadataTooLarge,
    RequestNotImplemented,
)
from s3proto.http import Headers
from s3proto.model import ObjectAttributes
from tests.s3_requests import MD5, info


def parse(*headers: tuple[str, str]) -> ObjectAttributes:
    return metadata.parse_attributes(Headers(headers))


def test_defaults() -> None:
    assert parse() == ObjectAttributes("binary/octet-stream")
    assert parse(("content-type", "")).content_type == "binary/octet-stream"


def test_everything_is_kept_as_sent() -> None:
    assert parse(
        ("content-type", "text/plain; charset=x"),
        ("cache-control", "no-cache"),
        ("cache-control", "private"),
        ("expires", "not a date"),
        ("x-amz-website-redirect-location", "/elsewhere"),
        ("x-amz-storage-class", "GLACIER_IR"),
        ("x-amz-meta-a", "Hello World\xe9"),
        ("x-amz-meta-b", "1"),
        ("x-amz-meta-b", "2"),
    ) == ObjectAttributes(
        "text/plain; charset=x",
        (
            ("cache-control", "no-cache,private"),
            ("expires", "not a date"),
            ("x-amz-website-redirect-location", "/elsewhere"),
        ),
        (("a", "Hello World\xe9"), ("b", "1,2")),
        "GLACIER_IR",
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate, gzip"),
        ("deflate,gzip", "deflate,gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked,gzip, br", "gzip, br"),
        ("AWS-Chunked", None),
        ("aws-chunked, aws-chunked", None),
        ("", None),
    ],
)
def test_aws_chunked_is_no_content_encoding(sent: str, kept: str | None) -> None:
    assert dict(parse(("content-encoding", sent)).headers).get("content-encoding") == kept


@pytest.mark.parametrize(
    ("sent", "stored", "told"),
    [
        ("plain", "plain", "plain"),
        ("\xc3\xa9", "\xe9", "\xe9"),
        ("\xe9", "\xe9", "\xe9"),
        ("\xe2\x82\xac", "\u20ac", "\xe2\x82\xac"),
        ("=?UTF-8?Q?=C3=A9?=", "=?UTF-8?Q?=C3=A9?=", "=?UTF-8?Q?=C3=A9?="),
    ],
    ids=["ascii", "utf-8", "latin-1", "beyond latin-1", "rfc 2047"],
)
def test_user_metadata_beyond_ascii(sent: str, stored: str, told: str) -> None:
    attributes = parse(("x-amz-meta-m", sent))
    assert attributes.metadata == (("m", stored),)
    assert ("x-amz-meta-m", told) in metadata.object_headers(info(attributes=attributes))


def test_user_metadata_limit_is_2_kib_of_names_and_values() -> None:
    assert parse(("x-amz-meta-ab", "x" * 2046))
    with pytest.raises(MetadataTooLarge):
        parse(("x-amz-meta-abc", "x" * 2046))


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (("x-amz-storage-class", "COLD"), InvalidStorageClass),
        (("x-amz-website-redirect-location", "elsewhere"), InvalidRedirectLocation),
    ],
)
def test_refused_values(header: tuple[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(header)


def test_copied_attributes_take_class_and_redirect_from_the_request() -> None:
    source = ObjectAttributes(
        "a/b",
        (("expires", "x"), ("x-amz-website-redirect-location", "/old")),
        (("m", "v"),),
        "GLACIER",
    )
    assert metadata.copied_attributes(source, Headers()) == ObjectAttributes("a/b", (("expires", "x"),), (("m", "v"),))
    changed = metadata.copied_attributes(source, Headers([("x-amz-website-redirect-location", "/new")]))
    assert dict(changed.headers)["x-amz-website-redirect-location"] == "/new"


@pytest.mark.parametrize(
    "header",
    [
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption-customer-key", "k"),
        ("x-amz-copy-source-server-side-encryption-customer-key", "k"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-grant-read", "id=x"),
        ("x-amz-acl", "aws-exec-read"),
        ("x-amz-write-offset-bytes", "0"),
    ],
)
def test_headers_that_ask_for_what_is_not_done(header: tuple[str, str]) -> None:
    with pytest.raises(RequestNotImplemented) as caught:
        metadata.refuse_unsupported(Headers([header]))
    assert caught.value.fields == {"Header": header[0]}


def test_headers_that_change_nothing_are_taken() -> None:
    metadata.refuse_unsupported(Headers([("x-amz-acl", name) for name in OBJECT_ACLS]))
    metadata.refuse_unsupported(Headers([("x-amz-tagging", "a=b"), ("x-amz-request-payer", "requester"), ("x", "y")]))
    with pytest.raises(InvalidArgument):
        metadata.refuse_unsupported(Headers([("x-amz-acl", "everybody")]))


def test_object_headers() -> None:
    attributes = ObjectAttributes(
        None, (("cache-control", "a\r\nb"), ("unknown", "x")), (("m", "\u20ac\x00"), ("bad name", "x")), "GLACIER"
    )
    assert metadata.object_headers(info(attributes=attributes, version_id="v")) == [
        ("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("ETag", f'"{MD5}"'),
        ("Accept-Ranges", "bytes"),
        ("Content-Type", "binary/octet-stream"),
        ("Cache-Control", "a  b"),
        ("x-amz-meta-m", "\xe2\x82\xac "),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-version-id", "v"),
    ]


def test_a_304_keeps_what_caches_need() -> None:
    attributes = ObjectAttributes("t/p", (("cache-control", "a"), ("expires", "b"), ("content-language", "c")))
    names = [name for name, _ in metadata.not_modified_headers(info(attributes=attributes))]
    assert names == ["Last-Modified", "ETag", "Cache-Control", "Expires"]


def test_overrides() -> None:
    headers = [("Content-Type", "a"), ("ETag", "e")]
    assert metadata.overridden(headers, {"response-content-type": ""}) is headers
    assert metadata.overridden(headers, {"response-content-type": "b", "response-expires": "c"}) == [
        ("ETag", "e"),
        ("Content-Type", "b"),
        ("Expires", "c"),
    ]
    assert metadata.has_overrides({"response-expires": ""}) and not metadata.has_overrides({"x": "y"})
    for value in ("a\r\nb", "\u20ac"):
        with pytest.raises(InvalidArgument):
            metadata.overridden(headers, {"response-content-type": value})
