"""Signatures that are nearly right, and users who want what is another's: no route leads to it.

Follows "Authenticating Requests (AWS Signature Version 4)", "Signing and Authenticating REST Requests (AWS signature
version 2)", "Error responses" (Amazon S3 API Reference).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

import pytest

from tests.gateway import OWNER, Gateway, User, running_gateway
from tests.hostile.wire import Answer, amz_date, call, eventually, head_bytes, presigned, signed, signed_fields, wire

pytestmark = pytest.mark.compat


def ask(gateway: Gateway, method: str, target: str, *fields: tuple[str, str]) -> Answer:
    """A request with these fields and no others, but Host."""
    with wire(gateway) as to:
        return to.ask(head_bytes(method, target, [("Host", f"127.0.0.1:{gateway.port}"), *fields]), method)


# ---------------------------------------------------------------------------------------------- signatures

NO_CLAIM = {
    "AWS4-HMAC-SHA256": (400, "AuthorizationHeaderMalformed"),
    "AWS4-HMAC-SHA256 Credential": (400, "AuthorizationHeaderMalformed"),
    "AWS4-HMAC-SHA256 ,,,,=,=": (400, "AuthorizationHeaderMalformed"),
    "AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=host,Signature=x": (400, "AuthorizationHeaderMalformed"),
    "AWS4-HMAC-SHA256 " + "Credential=a," * 1500: (400, "AuthorizationHeaderMalformed"),
    "AWS4-ECDSA-P256-SHA256 x": (501, "NotImplemented"),
    "aws4-hmac-sha256 x": (400, "InvalidArgument"),
    "Bearer x": (400, "InvalidArgument"),
    "AWS": (400, "InvalidArgument"),
    "AWS a:": (400, "InvalidArgument"),
    "AWS :b": (400, "InvalidArgument"),
    "AWS a:b:\xff": (403, "InvalidAccessKeyId"),
    "": (403, "AccessDenied"),
}


@pytest.mark.parametrize(("authorization", "told"), NO_CLAIM.items(), ids=range(len(NO_CLAIM)))
def test_no_claim(gateway: Gateway, authorization: str, told: tuple[int, str]) -> None:
    fields = [("x-amz-date", amz_date()), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]
    assert ask(gateway, "GET", "/bkt/k", *fields, ("Authorization", authorization)).told == told


SIGNATURE = "0" * 64
CHANGES: dict[str, tuple[Callable[[str], str], int, str]] = {
    "upper-case": (lambda a: a[:-64] + a[-64:].upper(), 403, "SignatureDoesNotMatch"),
    "truncated": (lambda a: a[:-1], 403, "SignatureDoesNotMatch"),
    "longer": (lambda a: a + "0", 403, "SignatureDoesNotMatch"),
    "quoted": (lambda a: f'{a[:-64]}"{a[-64:]}"', 403, "SignatureDoesNotMatch"),
    "not-ascii": (lambda a: a[:-1] + "\xb2", 403, "SignatureDoesNotMatch"),
    "second-signature": (lambda a: a + f",Signature={SIGNATURE}", 403, "SignatureDoesNotMatch"),
    "no-commas": (lambda a: a.replace(",", ""), 400, "AuthorizationHeaderMalformed"),
    "another-key": (lambda a: a.replace("AKIAALICE", "AKIAX"), 403, "InvalidAccessKeyId"),
    "another-region": (lambda a: a.replace("us-east-1", "eu-west-1"), 400, "AuthorizationHeaderMalformed"),
    "another-service": (lambda a: a.replace("/s3/", "/ec2/"), 400, "AuthorizationHeaderMalformed"),
    "another-terminal": (lambda a: a.replace("aws4_request", "aws5_request"), 400, "AuthorizationHeaderMalformed"),
    "another-day": (lambda a: a.replace(amz_date()[:8], "20200101"), 400, "AuthorizationHeaderMalformed"),
    "host-not-signed": (lambda a: a.replace("host;", ""), 403, "AccessDenied"),
    "date-not-signed": (lambda a: a.replace(";x-amz-date", ""), 403, "AccessDenied"),
    "name-twice": (lambda a: a.replace("host;", "host;host;"), 400, "AuthorizationHeaderMalformed"),
    "name-upper-case": (lambda a: a.replace("host;", "Host;"), 400, "AuthorizationHeaderMalformed"),
    "name-not-sent": (lambda a: a.replace("x-amz-date,", "x-amz-date;x-other,"), 403, "SignatureDoesNotMatch"),
}


@pytest.mark.parametrize(("change", "status", "code"), CHANGES.values(), ids=CHANGES)
def test_changed_authorization(gateway: Gateway, change: Callable[[str], str], status: int, code: str) -> None:
    *fields, (name, authorization) = signed_fields(gateway, "GET", "/bkt/k", user=gateway.users["alice"])
    with wire(gateway) as to:
        assert to.ask(head_bytes("GET", "/bkt/k", [*fields, (name, change(authorization))])).told == (status, code)


DATES = {
    "20231114": "AccessDenied",
    "20231114T221320": "AccessDenied",
    "20231114T221320+0000": "AccessDenied",
    "20231114t221320z": "AccessDenied",
    "99999999T999999Z": "AccessDenied",
    "²0231114T221320Z": "AccessDenied",
    "20231114T221320Z": "RequestTimeTooSkewed",
}


@pytest.mark.parametrize(("date", "code"), DATES.items())
def test_dates(gateway: Gateway, date: str, code: str) -> None:
    with wire(gateway) as to:
        assert to.ask(signed(gateway, "GET", "/bkt/k", date=date)).told == (403, code)


@pytest.mark.parametrize("offset", [-16 * 60, 16 * 60])
def test_replay_outside_the_window(gateway: Gateway, offset: int) -> None:
    with wire(gateway) as to:
        assert to.ask(signed(gateway, "GET", "/bkt/k", date=amz_date(offset))).code == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    "expires", ["0", "-1", "604801", "9" * 18, "9" * 30, "1e3", "٣", "0x10", " 5", "+5", "1_0", ""]
)
def test_presigned_lifetimes(gateway: Gateway, expires: str) -> None:
    answer = ask(gateway, "GET", presigned(gateway, "GET", "/bkt/k", expires=expires))
    assert answer.status in (400, 403) and answer.code == "AuthorizationQueryParametersError"


def test_presigned_urls_die(gateway: Gateway) -> None:
    assert ask(gateway, "GET", presigned(gateway, "GET", "/bkt/k", date=amz_date(-61))).told == (403, "AccessDenied")
    target = presigned(gateway, "GET", "/bkt/k")
    assert ask(gateway, "GET", target).status == 200
    assert ask(gateway, "DELETE", target).told == (403, "SignatureDoesNotMatch")
    assert ask(gateway, "GET", target.replace("/k", "/l")).told == (403, "SignatureDoesNotMatch")
    assert ask(gateway, "GET", target + "&x=1").told == (403, "SignatureDoesNotMatch")
    assert ask(gateway, "GET", target, ("x-amz-copy-source", "/bkt/k")).told == (403, "AccessDenied")


def test_one_mechanism_at_a_time(gateway: Gateway) -> None:
    fields = signed_fields(gateway, "GET", "/bkt/k")
    assert ask(gateway, "GET", presigned(gateway, "GET", "/bkt/k"), *fields[1:]).told == (400, "InvalidArgument")
    assert ask(gateway, "GET", "/bkt/k", *fields[1:], fields[-1]).told == (400, "InvalidArgument")
    v2 = "/bkt/k?AWSAccessKeyId=a&Signature=b&Expires=1"
    assert ask(gateway, "GET", v2, *fields[1:]).told == (400, "InvalidArgument")


V2 = {
    "AWSAccessKeyId=a": (403, "AccessDenied"),
    "AWSAccessKeyId=a&Signature=b&Expires=x": (403, "AccessDenied"),
    "AWSAccessKeyId=a&Signature=b&Expires=-1": (403, "AccessDenied"),
    "AWSAccessKeyId=a&Signature=b&Expires=٣": (403, "AccessDenied"),
    "AWSAccessKeyId=a&Signature=b&Expires=" + "9" * 30: (403, "AccessDenied"),
    "AWSAccessKeyId=a&Signature=b&Expires=1": (403, "AccessDenied"),
    "AWSAccessKeyId=a&Signature=b&Expires=9999999999": (403, "InvalidAccessKeyId"),
    f"AWSAccessKeyId={OWNER.access_key}&Signature=b&Expires=9999999999&x-amz-%E4%B8%AD=1": (
        403,
        "SignatureDoesNotMatch",
    ),
}


@pytest.mark.parametrize(("query", "told"), V2.items(), ids=range(len(V2)))
def test_version_2(gateway: Gateway, query: str, told: tuple[int, str]) -> None:
    assert ask(gateway, "GET", f"/bkt/k?{query.replace('٣', '%D9%A3')}").told == told


def test_session_tokens_are_nobodys(gateway: Gateway) -> None:
    with wire(gateway) as to:
        data = signed(gateway, "GET", "/bkt/k", headers={"x-amz-security-token": "t"})
        assert to.ask(data).told == (400, "InvalidToken")


# ----------------------------------------------------------------------------------------------- isolation


@dataclass
class Alice:
    """What is hers, and an upload of bob's."""

    user: User
    upload_id: str
    etag: str
    bobs_upload_id: str


@pytest.fixture(scope="module")
def alice(gateway: Gateway) -> Iterator[Alice]:
    hers, bob = gateway.users["alice"], gateway.users["bob"]
    for who, bucket in ((hers, "alices"), (bob, "bobs")):
        assert call(gateway, "PUT", f"/{bucket}", user=who).status == 200
        assert call(gateway, "PUT", f"/{bucket}/k", b"secret", user=who).status == 200
    (upload_id,) = call(gateway, "POST", "/alices/mp?uploads", user=hers).texts("UploadId")
    part = call(gateway, "PUT", f"/alices/mp?partNumber=1&uploadId={upload_id}", b"secret", user=hers)
    (bobs,) = call(gateway, "POST", "/bobs/mp?uploads", user=bob).texts("UploadId")
    yield Alice(hers, upload_id, part.headers["etag"], bobs)
    assert call(gateway, "GET", "/alices/k", user=hers).body == b"secret"
    assert call(gateway, "GET", "/alices", user=hers).texts("Contents/Key") == ["k"]
    assert call(gateway, "GET", f"/alices/mp?uploadId={upload_id}", user=hers).texts("Part/ETag") == [
        part.headers["etag"]
    ]


DIRECT = [
    ("GET", "/alices"),
    ("HEAD", "/alices"),
    ("DELETE", "/alices"),
    *[("GET", f"/alices?{q}") for q in ("location", "acl", "policy", "versions", "uploads", "list-type=2", "tagging")],
    *[(m, "/alices/k") for m in ("GET", "HEAD", "PUT", "DELETE")],
    *[("GET", f"/alices/k?{q}") for q in ("acl", "tagging", "versionId=null", "attributes", "partNumber=1")],
    ("GET", "/alices/not-there"),
    ("POST", "/alices/k?uploads"),
    ("POST", "/alices?delete"),
    ("PUT", "/alices/mp?partNumber=1&uploadId=ID"),
    ("GET", "/alices/mp?uploadId=ID"),
    ("DELETE", "/alices/mp?uploadId=ID"),
    ("POST", "/alices/mp?uploadId=ID"),
]


@pytest.mark.parametrize(("method", "target"), DIRECT)
def test_hers_is_denied(gateway: Gateway, alice: Alice, method: str, target: str) -> None:
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    headers = {"content-md5": b64encode(md5(document).digest()).decode(), "x-amz-object-attributes": "ETag"}
    body = document if method in ("PUT", "POST") else None
    target = target.replace("ID", alice.upload_id)
    answer = call(gateway, method, target, body, headers, user=gateway.users["bob"])
    assert answer.told == (403, None if method == "HEAD" else "AccessDenied")


def test_her_buckets_are_not_listed(gateway: Gateway, alice: Alice) -> None:
    for query in ("", "?prefix=a", "?prefix=alices", "?max-buckets=1"):
        assert "alices" not in call(gateway, "GET", f"/{query}", user=gateway.users["bob"]).texts("Buckets/Bucket/Name")
    assert call(gateway, "PUT", "/alices", user=gateway.users["bob"]).told == (409, "BucketAlreadyExists")


SOURCES = {
    "/alices/k": (403, "AccessDenied"),
    "alices/k": (403, "AccessDenied"),
    "alices%2Fk": (403, "AccessDenied"),
    "%2Falices%2Fk": (403, "AccessDenied"),
    "/alices/k?versionId=null": (403, "AccessDenied"),
    "/bobs/../alices/k": (404, "NoSuchKey"),
    "bobs/%2e%2e/alices/k": (404, "NoSuchKey"),
    "../alices/k": (400, "InvalidArgument"),
    "//alices/k": (400, "InvalidArgument"),
    "alices": (400, "InvalidArgument"),
    ".s3~/format.json": (400, "InvalidArgument"),
    "system/k": (404, "NoSuchBucket"),
    "arn:aws:s3:::alices/k": (501, "NotImplemented"),
    "arn:aws:s3:us-east-1:1:accesspoint/a/object/k": (501, "NotImplemented"),
    "": (400, "InvalidArgument"),
}


@pytest.mark.parametrize(("source", "told"), SOURCES.items())
@pytest.mark.parametrize("part", [False, True], ids=["object", "part"])
def test_hers_is_no_source(gateway: Gateway, alice: Alice, source: str, told: tuple[int, str], part: bool) -> None:
    target = f"/bobs/mp?partNumber=1&uploadId={alice.bobs_upload_id}" if part else "/bobs/copy"
    answer = call(gateway, "PUT", target, None, {"x-amz-copy-source": source}, user=gateway.users["bob"])
    assert answer.told == told


def test_the_source_may_hide_in_a_presigned_url(gateway: Gateway, alice: Alice) -> None:
    target = presigned(gateway, "PUT", "/bobs/copy", {"x-amz-copy-source": "/alices/k"}, user=gateway.users["bob"])
    assert ask(gateway, "PUT", target).told == (403, "AccessDenied")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_her_upload_is_not_his_by_its_id(gateway: Gateway, alice: Alice, method: str) -> None:
    target = f"/bobs/mp?uploadId={alice.upload_id}" + ("&partNumber=1" if method == "PUT" else "")
    part = f"<Part><PartNumber>1</PartNumber><ETag>{alice.etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode() if method in ("PUT", "POST") else None
    assert call(gateway, method, target, body, user=gateway.users["bob"]).told == (404, "NoSuchUpload")


@pytest.mark.parametrize(
    "upload_id", ["", "x", "../../x", "%2Fetc%2Fpasswd", "%2e%2e", "%00", "a" * 5000, "%C2%B2" * 32]
)
@pytest.mark.parametrize("size", [1, 2 << 20])
def test_upload_ids_are_no_paths(gateway: Gateway, upload_id: str, size: int) -> None:
    target = f"/bkt/mp?partNumber=1&uploadId={upload_id}"
    assert call(gateway, "PUT", target, b"x" * size).told == (404, "NoSuchUpload")
    assert call(gateway, "DELETE", f"/bkt/mp?uploadId={upload_id}").told == (404, "NoSuchUpload")


def test_expected_owners(gateway: Gateway, alice: Alice) -> None:
    for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        headers = {"x-amz-copy-source": "/alices/k", name: "123456789012"}
        assert call(gateway, "PUT", "/alices/c", None, headers, user=alice.user).told == (403, "AccessDenied")


@pytest.mark.parametrize(
    "field", ["X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Host", "X-Forwarded-For"]
)
def test_fields_of_proxies_mean_nothing(gateway: Gateway, field: str) -> None:
    with wire(gateway) as to:
        assert to.ask(signed(gateway, "GET", "/bkt/k", extra=[(field, "/alices/k")])).body == b"old"


HOSTS = {
    "alices.s3.test": (403, "AccessDenied"),
    "ALICES.S3.TEST:80": (403, "AccessDenied"),
    "alices.s3.test.": (403, "AccessDenied"),
    "bobs.s3.test": (404, "NoSuchKey"),
    ".s3.test": (400, "InvalidBucketName"),
    "..s3.test": (400, "InvalidBucketName"),
    "x.alices.s3.test": (404, "NoSuchBucket"),
    "system.s3.test": (404, "NoSuchBucket"),
    "s3.test": (403, "AccessDenied"),
    "alices.s3.testx": (403, "AccessDenied"),
    "[::1]:80": (403, "AccessDenied"),
}


def test_hosts_and_keys_that_stop_working(tmp_path: Path) -> None:
    """Virtual hosts; a key with a policy, and a disabled one."""
    settings = {"domain": "s3.test", "cache_refresh_interval_secs": 1}
    with running_gateway(tmp_path, durability="none", settings=settings) as gateway:
        hers, bob = gateway.users["alice"], gateway.users["bob"]
        for who, bucket in ((hers, "alices"), (bob, "bobs")):
            assert call(gateway, "PUT", f"/{bucket}", user=who).status == 200
        assert call(gateway, "PUT", "/alices/k", b"secret", user=hers).status == 200
        for host, told in HOSTS.items():
            for target in ("/alices/k", "/../alices/k"):
                fields = signed_fields(gateway, "GET", target, {"host": host}, user=bob)
                with wire(gateway) as to:
                    answer = to.ask(head_bytes("GET", target, fields))
                assert answer.status >= 400 and (answer.told == told or target != "/alices/k"), (host, target)

        again = signed(gateway, "GET", "/alices/k", user=hers)
        link = presigned(gateway, "GET", "/alices/k", user=hers)
        with wire(gateway) as to:  # an open connection knows as little as a new one, the same bytes as little as others
            assert to.ask(again).body == b"secret" == ask(gateway, "GET", link).body
            rows = [json.loads(line) for line in gateway.credentials_file.read_text("utf-8").splitlines()]
            rows[1]["enabled"] = False
            gateway.credentials_file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            assert eventually(lambda: to.ask(again).code == "InvalidAccessKeyId")
            assert eventually(lambda: ask(gateway, "GET", link).code == "InvalidAccessKeyId")
            assert to.ask(signed(gateway, "GET", "/alices/k", user=bob)).code == "AccessDenied"
