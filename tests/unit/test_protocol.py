"""The pipeline: what is asked in which order, and what errors look like."""

import pytest

from s3proto import errors
from s3proto.commands import CheckAccess, DeleteObject, HeadObject, LookupSigningKey, OpenObject
from s3proto.http import Headers, RequestHead, Response, Span
from s3proto.model import Access, DeleteResult
from s3proto.protocol import serve
from tests.drive import Step, drive
from tests.s3_requests import CONTEXT, KEY, MD5, PRINCIPAL, head, opened, signed, texts, tree

KNOWN: Step = (LookupSigningKey("AKIAEXAMPLE", "20231114", "us-east-1", "s3"), KEY)


def allowed(action: str, bucket: str | None = "bucket", key: str | None = "key") -> Step:
    return CheckAccess(PRINCIPAL, action, bucket, key), Access.OWNER


def ask(request: RequestHead, *script: Step) -> Response:
    return drive(serve(request, CONTEXT), script)


def test_a_request_from_head_to_response() -> None:
    response = ask(
        signed("GET", "/bucket/key"), KNOWN, allowed("s3:GetObject"), (OpenObject("bucket", "key"), opened())
    )
    assert (response.status, response.body, response.error_code) == (200, Span("handle", 0, 10), None)


def test_a_named_version_is_another_action() -> None:
    response = ask(
        signed("DELETE", "/bucket/key?versionId=v"),
        KNOWN,
        allowed("s3:DeleteObjectVersion"),
        (DeleteObject, DeleteResult("key", "v")),
    )
    assert response.status == 204


@pytest.mark.parametrize(
    ("method", "sub_resource", "action"),
    [
        ("GET", "acl", "s3:GetObjectVersionAcl"),
        ("PUT", "acl", "s3:PutObjectVersionAcl"),
        ("GET", "tagging", "s3:GetObjectVersionTagging"),
        ("PUT", "tagging", "s3:PutObjectVersionTagging"),
        ("DELETE", "tagging", "s3:DeleteObjectVersionTagging"),
    ],
)
def test_so_are_its_acl_and_its_tags(method: str, sub_resource: str, action: str) -> None:
    refused = (allowed(action)[0], Access.DENIED)
    response = ask(signed(method, f"/bucket/key?{sub_resource}&versionId=null"), KNOWN, refused)
    assert response.error_code == "AccessDenied"


@pytest.mark.parametrize(
    ("headers", "besides"),
    [
        ({"x-amz-tagging": "a=1"}, ("s3:PutObjectTagging",)),
        ({"x-amz-tagging": ""}, ()),
        ({"x-amz-acl": "private", "x-amz-tagging": "a=1"}, ("s3:PutObjectAcl", "s3:PutObjectTagging")),
    ],
)
def test_headers_ask_for_more(headers: dict[str, str], besides: tuple[str, ...]) -> None:
    """An empty one, which some clients send always, asks for nothing."""
    look = CheckAccess(PRINCIPAL, "s3:PutObject", "bucket", "key", besides=besides)
    response = ask(signed("PUT", "/bucket/key", headers), KNOWN, (look, Access.DENIED))
    assert response.error_code == "AccessDenied"


def test_an_error_is_a_document() -> None:
    response = ask(
        signed("GET", "/bucket/a%20b%01"),
        KNOWN,
        allowed("s3:GetObject", key="a b\x01"),
        (OpenObject, errors.NoSuchKey(Key="a b\x01")),
    )
    assert (response.status, response.error_code, response.headers) == (
        404,
        "NoSuchKey",
        [("Content-Type", "application/xml")],
    )
    assert [(element.tag, element.text) for element in tree(response)] == [
        ("Code", "NoSuchKey"),
        ("Message", "The specified key does not exist."),
        ("Key", "a b\ufffd"),
        ("Resource", "/bucket/a%20b%01"),
        ("RequestId", CONTEXT.request_id),
        ("HostId", CONTEXT.host_id),
    ]
    assert b"xmlns" not in response.body  # type: ignore[operator]


def test_missing_buckets_and_keys_are_named() -> None:
    missing = (allowed("s3:GetObject")[0], errors.NoSuchBucket())
    assert texts(ask(signed("GET", "/bucket/key"), KNOWN, missing), "BucketName") == ["bucket"]
    for gone in (errors.NoSuchKey(), errors.NoSuchVersion(VersionId="v")):
        response = ask(signed("GET", "/bucket/key"), KNOWN, allowed("s3:GetObject"), (OpenObject, gone))
        assert texts(response, "Key") == ["key"]


def test_head_has_no_body() -> None:
    response = ask(signed("HEAD", "/bucket/key"), KNOWN, allowed("s3:GetObject"), (HeadObject, errors.NoSuchKey()))
    assert (response.status, response.body, response.error_code) == (404, b"", "NoSuchKey")


def test_who_may_not_look_into_a_bucket_is_told_its_region() -> None:
    response = ask(head("HEAD", "/bucket"), (CheckAccess(None, "s3:ListBucket", "bucket"), Access.DENIED))
    assert (response.status, response.headers) == (403, [("x-amz-bucket-region", "us-east-1")])


def test_not_modified_has_no_body() -> None:
    request = signed("GET", "/bucket/key", {"if-none-match": f'"{MD5}"'})
    response = ask(request, KNOWN, allowed("s3:GetObject"), (OpenObject, opened()))
    assert (response.status, response.body) == (304, b"") and ("ETag", f'"{MD5}"') in response.headers


def test_an_error_s_own_headers_are_sent() -> None:
    request = signed("GET", "/bucket/key", {"range": "bytes=99-"})
    response = ask(request, KNOWN, allowed("s3:GetObject"), (OpenObject, opened()))
    assert response.status == 416 and ("Content-Range", "bytes */10") in response.headers


@pytest.mark.parametrize(
    ("request_head", "script", "code"),
    [
        (
            head("GET", "/bucket/key"),
            [(CheckAccess(None, "s3:GetObject", "bucket", "key"), Access.DENIED)],
            "AccessDenied",
        ),
        (head("GET", "/"), [(CheckAccess(None, "s3:ListAllMyBuckets"), Access.DENIED)], "AccessDenied"),
        (head("GET", "/b"), [], "InvalidBucketName"),
        (head("GET", "/bucket/%zz"), [], "InvalidURI"),
        (head("PATCH", "/bucket"), [], "MethodNotAllowed"),
        (signed("GET", "/bucket/key"), [(KNOWN[0], None)], "InvalidAccessKeyId"),
        (signed("PUT", "/bucket?lifecycle"), [KNOWN, (allowed("s3:*", key=None)[0], Access.DENIED)], "AccessDenied"),
        (signed("PUT", "/bucket?lifecycle"), [KNOWN, allowed("s3:*", key=None)], "NotImplemented"),
        (signed("PUT", "/bucket/key", {"x-amz-grant-read": "a"}), [KNOWN, allowed("s3:PutObject")], "NotImplemented"),
    ],
)
def test_refusals_in_their_order(request_head: RequestHead, script: list[Step], code: str) -> None:
    response = ask(request_head, *script)
    assert response.error_code == code and texts(response, "Code") == [code]


def test_what_is_no_s3_error_is_the_driver_s() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(signed("GET", "/bucket/key"), (KNOWN[0], ZeroDivisionError()))


def test_a_signature_that_is_wrong() -> None:
    good = signed("GET", "/bucket/key")
    changed = RequestHead("GET", "/bucket/other", Headers(good.headers))
    assert ask(changed, KNOWN).error_code == "SignatureDoesNotMatch"
