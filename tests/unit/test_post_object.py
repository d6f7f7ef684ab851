"""PostObject from its head to its answer: who may, in which order it is asked, what is stored, what is told."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from s3proto.checksums import ALGORITHMS
from s3proto.commands import (
    BodyTarget,
    CheckAccess,
    HeadObject,
    LookupSigningKey,
    PutObject,
    ReceiveBody,
    ReceiveForm,
    SignV2,
)
from s3proto.context import Settings
from s3proto.form import MAX_FORM, FileDecoder
from s3proto.http import Headers, RequestHead
from s3proto.model import NO_CHECKSUMS, Access, Checksums, ObjectAttributes
from s3proto.protocol import serve
from tests.drive import run
from tests.form_kit import CONTENT_TYPE, SECRET, Driver, encode, post, sign_v2, sign_v4
from tests.s3_requests import CONTEXT, KEY, MD5, PRINCIPAL, head, texts

FILE = b"the file"


def refused(
    fields: dict[str, str], file: bytes | None = FILE, headers: Mapping[str, str] | None = None
) -> tuple[int, str | None]:
    """Post a form that must not be stored; answers status and code."""
    driver = Driver(encode(fields, file))
    response = post(driver, headers=headers)
    assert driver.put is None
    return response.status, response.error_code


@pytest.mark.parametrize("version", ["v4", "v2", "nobody"])
def test_who_signed_it_is_asked_for(version: str) -> None:
    fields = {"key": "a/${filename}", "Content-Type": "text/plain", "acl": "public-read", "x-amz-meta-m": "ü"}
    conditions = [{"bucket": "bucket"}, ["starts-with", "$key", "a/f"], {"acl": "public-read"}]
    conditions += [["starts-with", "$Content-Type", "text/"], ["starts-with", "$x-amz-meta-m", ""]]
    signed = {
        "v4": sign_v4(fields, "bucket", KEY.key, conditions=conditions),
        "v2": sign_v2(fields, "bucket", SECRET, "AKIAEXAMPLE", conditions=conditions),
        "nobody": fields,
    }[version]
    driver = Driver(encode(signed, FILE), Access.OWNER if version != "nobody" else Access.GUEST)
    response = post(driver)
    assert (response.status, response.body, response.error_code) == (204, b"", None)
    assert response.headers == [("ETag", f'"{MD5}"'), ("Location", "http://s3.example/bucket/a/file.txt")]
    asked = {"v4": LookupSigningKey, "v2": SignV2}.get(version)
    assert driver.asked == [step for step in (ReceiveForm, asked, CheckAccess, ReceiveBody, PutObject) if step]
    who = None if version == "nobody" else PRINCIPAL
    assert driver.checked == CheckAccess(who, "s3:PutObject", "bucket", "a/file.txt", besides=("s3:PutObjectAcl",))
    attributes = ObjectAttributes("text/plain", metadata=(("m", "ü"),), acl="public-read")
    assert driver.put == PutObject("bucket", "a/file.txt", FILE, MD5, attributes, NO_CHECKSUMS)
    assert driver.received is not None and driver.received.target == BodyTarget("bucket", "a/file.txt")
    assert isinstance(driver.received.decoder, FileDecoder) and driver.received.limit == 5 * 2**40


def test_a_virtual_host() -> None:
    driver = Driver(encode(sign_v4({"key": "k ü"}, "bkt", KEY.key), FILE))
    fields = [("host", "bkt.example:9900"), ("content-type", CONTENT_TYPE), ("content-length", "1000")]
    context = replace(CONTEXT, settings=Settings(domain="example"))
    response = run(serve(RequestHead("POST", "/", Headers(fields), secure=True), context), driver)
    assert dict(response.headers)["Location"] == "https://bkt.example:9900/k%20%C3%BC"
    assert driver.put is not None and (driver.put.bucket, driver.put.key) == ("bkt", "k ü")


def test_the_service_takes_no_form() -> None:
    assert post(Driver(b""), "/").error_code == "MethodNotAllowed"
    assert post(Driver(b""), "/bucket/key").error_code == "MethodNotAllowed"


def test_checksums_and_the_rest_of_what_is_stored() -> None:
    sha = b64encode(ALGORITHMS["SHA256"].of(FILE)).decode()
    fields = {"key": "k", "x-amz-checksum-sha256": sha, "x-amz-storage-class": "GLACIER", "Cache-Control": "no-cache"}
    driver = Driver(encode(sign_v4(fields, "bucket", KEY.key), FILE))
    response = post(driver, headers={"if-none-match": "*", "x-amz-acl": "public-read", "x-amz-meta-a": "b"})
    assert ("x-amz-checksum-sha256", sha) in response.headers
    assert driver.asked == [ReceiveForm, LookupSigningKey, CheckAccess, HeadObject, ReceiveBody, PutObject]
    assert driver.put is not None and driver.put.checksums == Checksums((("SHA256", sha),), "FULL_OBJECT")
    attributes = driver.put.attributes
    assert (attributes.storage_class, attributes.headers) == ("GLACIER", (("cache-control", "no-cache"),))
    assert (attributes.acl, attributes.metadata, driver.put.if_none_match) == ("private", (), "*")


@pytest.mark.parametrize(
    ("status", "expected"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204), ("303", 204)]
)
def test_success_action_status(status: str, expected: int) -> None:
    response = post(Driver(encode({"key": "a b\x01/${filename}", "success_action_status": status}, FILE, "<ü>")))
    assert response.status == expected
    if expected == 201:
        location = "http://s3.example/bucket/a%20b%01/%3C%C3%BC%3E"
        found = [texts(response, name) for name in ("Location", "Bucket", "Key", "ETag")]
        assert found == [[location], ["bucket"], ["a b\ufffd/<ü>"], [f'"{MD5}"']]
        assert dict(response.headers)["Location"] == location
    else:
        assert response.body == b""


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
@pytest.mark.parametrize(
    ("url", "before"),
    [
        ("http://h/p", "http://h/p?"),
        ("https://h", "https://h?"),
        ("HTTP://h/p?a=b&c", "http://h/p?a=b&c&"),
        ("http://h/ü\r\nX: y/%20", "http://h/%C3%BC%0D%0AX:%20y/%20?"),
    ],
)
def test_redirections(url: str, before: str, name: str) -> None:
    response = post(Driver(encode({"key": "a/b c", name: url, "success_action_status": "201"}, FILE)))
    location = dict(response.headers)["Location"]
    assert (response.status, response.body) == (303, b"") and location.startswith(before)
    assert location.removeprefix(before) == f"bucket=bucket&key=a%2Fb%20c&etag=%22{MD5}%22"


def test_a_redirection_keeps_its_fragment() -> None:
    response = post(Driver(encode({"key": "k", "redirect": "http://h/p?a=b#f"}, FILE)))
    found = urlsplit(dict(response.headers)["Location"])
    assert (found.fragment, parse_qs(found.query)["key"]) == ("f", ["k"])


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://h/", "//h/p", "/p", "http://", "http://[", "x"])
def test_where_nobody_is_sent(url: str) -> None:
    response = post(Driver(encode({"key": "k", "success_action_redirect": url}, FILE)))
    assert response.status == 204


# ----------------------------------------------------------------------------------------------- refusals


def changed(fields: dict[str, str], **changes: str | None) -> dict[str, str]:
    """Signed fields, changed afterwards; None takes one away."""
    made = fields | {name.replace("_", "-"): value for name, value in changes.items() if value is not None}
    return {name: value for name, value in made.items() if changes.get(name.replace("-", "_"), "") is not None}


SIGNED_V4 = sign_v4({"key": "k"}, "bucket", KEY.key)
SIGNED_V2 = sign_v2({"key": "k"}, "bucket", SECRET, "AKIAEXAMPLE")
OTHER_SCOPE = "AKIAEXAMPLE/20231114/{}/aws4_request"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (400, "InvalidArgument")),
        ({"key": ""}, (400, "InvalidArgument")),
        ({"key": "k" * 1025}, (400, "KeyTooLongError")),
        (changed(SIGNED_V4, key="other"), (403, "AccessDenied")),
        (changed(SIGNED_V4, acl="public-read"), (403, "AccessDenied")),
        (changed(SIGNED_V4, x_amz_signature="0" * 64), (403, "SignatureDoesNotMatch")),
        (changed(SIGNED_V4, x_amz_signature="ü"), (403, "SignatureDoesNotMatch")),
        (changed(SIGNED_V4, x_amz_signature=None), (400, "InvalidArgument")),
        (changed(SIGNED_V4, policy=None), (400, "InvalidArgument")),
        (changed(SIGNED_V4, policy="ü"), (400, "InvalidPolicyDocument")),
        (changed(SIGNED_V4, policy="x"), (403, "SignatureDoesNotMatch")),
        (changed(SIGNED_V4, x_amz_algorithm="AWS4-ECDSA-P256-SHA256"), (501, "NotImplemented")),
        (changed(SIGNED_V4, x_amz_algorithm="x"), (400, "AuthorizationQueryParametersError")),
        (changed(SIGNED_V4, x_amz_date="20231114"), (400, "AuthorizationQueryParametersError")),
        (changed(SIGNED_V4, x_amz_date="20231115T000000Z"), (400, "AuthorizationQueryParametersError")),
        (changed(SIGNED_V4, x_amz_credential="x"), (400, "AuthorizationQueryParametersError")),
        (
            changed(SIGNED_V4, x_amz_credential=OTHER_SCOPE.format("eu-west-1/s3")),
            (400, "AuthorizationQueryParametersError"),
        ),
        (
            changed(SIGNED_V4, x_amz_credential="AKIAOTHER/20231114/us-east-1/s3/aws4_request"),
            (403, "InvalidAccessKeyId"),
        ),
        (changed(SIGNED_V4, x_amz_security_token="x"), (400, "InvalidToken")),
        (SIGNED_V4 | SIGNED_V2, (400, "InvalidArgument")),
        (changed(SIGNED_V2, signature=None), (400, "InvalidArgument")),
        (changed(SIGNED_V2, signature="x"), (403, "SignatureDoesNotMatch")),
        (changed(SIGNED_V2, AWSAccessKeyId="AKIAOTHER"), (403, "InvalidAccessKeyId")),
        (changed(SIGNED_V2, key="other"), (403, "AccessDenied")),
        ({"key": "k", "policy": SIGNED_V2["policy"]}, (400, "InvalidArgument")),
        (sign_v4({"key": "k"}, "other", KEY.key), (403, "AccessDenied")),
        (sign_v4({"key": "k"}, "bucket", KEY.key, expiration="2023-11-14T22:13:19Z"), (403, "AccessDenied")),
        (sign_v4({"key": "k"}, "bucket", KEY.key, expiration="x"), (400, "InvalidPolicyDocument")),
        ({"key": "k", "acl": "x"}, (400, "InvalidArgument")),
        ({"key": "k", "x-amz-storage-class": "x"}, (400, "InvalidStorageClass")),
        ({"key": "k", "tagging": "<Tagging/>"}, (400, "MalformedXML")),
        ({"key": "k", "x-amz-server-side-encryption": "AES256"}, (501, "NotImplemented")),
        ({"key": "k", "x-amz-copy-source": "bucket/other"}, (501, "NotImplemented")),
        ({"key": "k", "x-amz-object-lock-mode": "GOVERNANCE"}, (501, "NotImplemented")),
        ({"key": "k", "x-amz-meta-a": "x" * 2048}, (400, "MetadataTooLarge")),
        ({"key": "k", "x-amz-meta-a": "\r\n"}, (400, "InvalidArgument")),
        ({"key": "k", "x-amz-checksum-crc32": "AAAAAA=="}, (400, "BadDigest")),
        ({"key": "k", "x-amz-checksum-crc32": "x"}, (400, "BadDigest")),
        ({"key": "k", "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, (400, "BadDigest")),
    ],
)
def test_refusals(fields: dict[str, str], expected: tuple[int, str]) -> None:
    assert refused(fields) == expected


def test_refusals_of_requests() -> None:
    assert refused({"key": "k"}, headers={"content-type": "text/plain"}) == (412, "PreconditionFailed")
    assert refused({"key": "k"}, headers={"content-type": "multipart/form-data"}) == (400, "MalformedPOSTRequest")
    assert refused({"key": "k"}, headers={"authorization": "AWS4-HMAC-SHA256 x"}) == (400, "InvalidArgument")
    assert refused({"key": "k"}, headers={"content-range": "bytes 0-7/20"}) == (501, "NotImplemented")
    assert refused({"key": "k"}, file=None) == (400, "InvalidArgument")
    driver = Driver(b"")
    response = run(serve(head("POST", "/bucket", {"content-type": CONTENT_TYPE}), CONTEXT), driver)
    assert (response.status, driver.asked) == (411, [])


def test_who_may_not_is_told_before_the_file_is_received() -> None:
    driver = Driver(encode({"key": "k"}, FILE), Access.DENIED)
    assert (post(driver).error_code, driver.asked) == ("AccessDenied", [ReceiveForm, CheckAccess])


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [(0, 8, None), (8, 8, None), (9, 20, "EntityTooSmall"), (0, 8 + 3 * MAX_FORM, None), (0, 0, None)],
)
def test_sizes(least: int, most: int, expected: str | None) -> None:
    """What is too large is the driver's to find, while it receives."""
    ranged = [{"bucket": "bucket"}, {"key": "k"}, ["content-length-range", least, most]]
    driver = Driver(encode(sign_v4({"key": "k"}, "bucket", KEY.key, conditions=ranged), FILE))
    response = post(driver)
    assert response.error_code == expected and (driver.put is None) is (expected is not None)
    assert driver.received is not None and driver.received.limit == most


def test_what_is_far_too_large_is_not_received() -> None:
    ranged = [{"bucket": "bucket"}, {"key": "k"}, ["content-length-range", 0, 1000]]
    driver = Driver(encode(sign_v4({"key": "k"}, "bucket", KEY.key, conditions=ranged), FILE))
    response = post(driver, headers={"content-length": str(1001 + 3 * MAX_FORM)})
    assert response.error_code == "EntityTooLarge" and driver.received is None


def test_nothing_is_remembered_of_a_head_that_its_form_said() -> None:
    """A HeadCache hands out a head again: another form may come with it."""
    one, other = Driver(encode(SIGNED_V4, FILE)), Driver(encode({"key": "other", "acl": "public-read"}, FILE))
    asked = head("POST", "/bucket", {"content-type": CONTENT_TYPE, "content-length": "1000"})
    for driver in (one, other, one):
        assert run(serve(asked, CONTEXT), driver).status == 204
    assert one.put is not None and other.put is not None
    assert (one.put.key, one.put.attributes.acl) == ("k", "private")
    assert (other.put.key, other.put.attributes.acl) == ("other", "public-read")
