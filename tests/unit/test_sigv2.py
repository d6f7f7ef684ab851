"""s3proto.sigv2 on AWS's documented examples (sigv2/<example>.req, signature included), and what it refuses."""

from __future__ import annotations

import hmac
from base64 import b64decode
from pathlib import Path

import pytest

from s3proto import sigv2
from s3proto.context import Settings
from s3proto.dates import parse_http_date
from s3proto.errors import AccessDenied, InvalidArgument, RequestTimeTooSkewed, S3Error
from s3proto.http import Headers, RequestHead, parse_head
from s3proto.names import Target, parse_query, parse_target

EXAMPLES = Path(__file__).parent / "sigv2"
SECRET = b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SETTINGS = Settings(domain="s3.amazonaws.com")
NOW = 1175139600
"""Near the date of every example; the header form's own date is used where there is one."""


def example(name: str) -> tuple[RequestHead, Target]:
    head = parse_head((EXAMPLES / f"{name}.req").read_bytes().replace(b"\n", b"\r\n"))
    if name == "upload":  # AWS's example maps a domain of the user's own to the bucket
        return head, Target("static.johnsmith.net", "db-backup.dat.gz", True)
    return head, parse_target(head, SETTINGS)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.req")))
def test_documented_example(name: str) -> None:
    head, target = example(name)
    query = parse_query(head.raw_query)
    if "authorization" in head.headers:
        claim = sigv2.parse_authorization(head, SETTINGS, parse_http_date(head.headers.get("date") or "") or 0)
    else:
        claim = sigv2.parse_presigned(dict(query), NOW)
    to_sign = sigv2.strings_to_sign(head, target, query, claim)[-1]
    assert sigv2.matches(claim, hmac.digest(SECRET, to_sign, "sha1"))


def test_documented_string_to_sign() -> None:
    head, target = example("upload")
    claim = sigv2.parse_authorization(head, SETTINGS, parse_http_date("Tue, 27 Mar 2007 21:06:08 GMT") or 0)
    (to_sign,) = sigv2.strings_to_sign(head, target, [], claim)
    assert to_sign == (
        b"PUT\n4gJE4saaMU4BqNR0kLY+lw==\napplication/x-download\nTue, 27 Mar 2007 21:06:08 +0000\n"
        b"x-amz-acl:public-read\nx-amz-meta-checksumalgorithm:crc32\nx-amz-meta-filechecksum:0x02661779\n"
        b"x-amz-meta-reviewedby:joe@johnsmith.net,jane@johnsmith.net\n/static.johnsmith.net/db-backup.dat.gz"
    )


def head(authorization: str, target: str = "/b/k", **headers: str) -> RequestHead:
    fields = {"authorization": authorization, "date": "Thu, 29 Mar 2007 03:40:00 GMT"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead("GET", target, Headers([(name, value) for name, value in fields.items() if value != "-"]))


REFUSED: dict[str, tuple[RequestHead, type[S3Error]]] = {
    "no-colon": (head("AWS HAHAHA"), InvalidArgument),
    "no-key": (head("AWS :c2ln"), InvalidArgument),
    "no-signature": (head("AWS key:"), InvalidArgument),
    "nothing": (head("AWS"), InvalidArgument),
    "no-date": (head("AWS k:s", date="-"), AccessDenied),
    "bad-date": (head("AWS k:s", date="Bad Date"), AccessDenied),
    "empty-amz-date": (head("AWS k:s", x_amz_date=""), AccessDenied),
    "bad-amz-date": (head("AWS k:s", x_amz_date="x"), AccessDenied),
    "before-epoch": (head("AWS k:s", date="Tue, 07 Jul 1950 21:53:04 GMT"), AccessDenied),
    "after-end": (head("AWS k:s", date="Tue, 07 Jul 9999 21:53:04 GMT"), RequestTimeTooSkewed),
    "skewed": (head("AWS k:s", date="Thu, 29 Mar 2007 03:24:59 GMT"), RequestTimeTooSkewed),
}


@pytest.mark.parametrize("sent, error", REFUSED.values(), ids=REFUSED)
def test_refused_header_form(sent: RequestHead, error: type[S3Error]) -> None:
    with pytest.raises(error):
        sigv2.parse_authorization(sent, SETTINGS, NOW)


def test_claim_of_the_header_form() -> None:
    assert sigv2.parse_authorization(head("AWS a:b:c2ln"), SETTINGS, NOW) == sigv2.Claim(
        "a:b", "c2ln", "Thu, 29 Mar 2007 03:40:00 GMT"
    )
    with_amz_date = head("AWS a:s", date="Bad Date", x_amz_date="20070329T034000Z")
    assert sigv2.parse_authorization(with_amz_date, SETTINGS, NOW).date == ""


PRESIGNED = {"AWSAccessKeyId": "a", "Expires": str(NOW), "Signature": "s"}


def test_claim_of_the_presigned_form() -> None:
    assert sigv2.parse_presigned(PRESIGNED, NOW) == sigv2.Claim("a", "s", str(NOW), presigned=True)


@pytest.mark.parametrize("changes", [{"Signature": ""}, {"Expires": "x"}, {"Expires": "-1"}, {"Expires": "9" * 30}])
def test_refused_presigned_form(changes: dict[str, str]) -> None:
    with pytest.raises(AccessDenied):
        sigv2.parse_presigned(PRESIGNED | changes, NOW)


def test_expired() -> None:
    with pytest.raises(AccessDenied, match="Request has expired") as caught:
        sigv2.parse_presigned(PRESIGNED, NOW + 1)
    assert caught.value.fields["Expires"] == "2007-03-29T03:40:00.000Z"


RESOURCES = {
    "/b/k?acl": "/b/k?acl",
    "/b/k?acl=": "/b/k?acl=",
    "/b?prefix=x&delimiter=/": "/b",
    "/b/k?uploadId=x%2F&partNumber=2&x=y": "/b/k?partNumber=2&uploadId=x/",
    "/b/k?response-content-type=a%20b": "/b/k?response-content-type=a b",
    "/b/k?versionId=%C3%A9": "/b/k?versionId=\xc3\xa9",
    "/b/a%20b": "/b/a%20b",
    "/b?delete": "/b?delete",
}


@pytest.mark.parametrize("target, resource", RESOURCES.items())
def test_canonical_resource(target: str, resource: str) -> None:
    sent = head("AWS a:s", target)
    claim = sigv2.Claim("a", "s", "")
    to_sign = sigv2.strings_to_sign(sent, Target("b", None), parse_query(sent.raw_query), claim)[-1]
    assert to_sign.split(b"\n")[-1] == resource.encode("latin-1")


def test_virtual_host_is_part_of_the_resource() -> None:
    sent = head("AWS a:s", "/?acl")
    claim = sigv2.Claim("a", "s", "")
    (to_sign,) = sigv2.strings_to_sign(sent, Target("b", None, True), [("acl", "")], claim)
    assert to_sign.endswith(b"\n/b/?acl")


def test_botocore_signs_a_bucket_with_a_slash() -> None:
    sent = head("AWS a:s", "/b?acl")
    claim = sigv2.Claim("a", "s", "")
    botocore, page = sigv2.strings_to_sign(sent, Target("b", None), [("acl", "")], claim)
    assert botocore.endswith(b"\n/b/?acl") and page.endswith(b"\n/b?acl")


def test_presigned_parameters_stand_for_headers() -> None:
    sent = RequestHead("PUT", "/b/k?content-type=t&x-amz-acl=%C3%A9&x-amz-b=1", Headers([("x-amz-b", "2")]))
    claim = sigv2.Claim("a", "s", "99", presigned=True)
    (to_sign,) = sigv2.strings_to_sign(sent, Target("b", "k"), parse_query(sent.raw_query), claim)
    assert to_sign == b"PUT\n\nt\n99\nx-amz-acl:\xc3\xa9\nx-amz-b:2\n/b/k"


def test_presigned_parameters_may_have_any_name() -> None:
    sent = RequestHead("GET", "/b/k?x-amz-%E4%B8%AD=1", Headers())
    claim = sigv2.Claim("a", "s", "99", presigned=True)
    (to_sign,) = sigv2.strings_to_sign(sent, Target("b", "k"), parse_query(sent.raw_query), claim)
    assert to_sign == b"GET\n\n\n99\nx-amz-\xe4\xb8\xad:1\n/b/k"


@pytest.mark.parametrize("signature", ["c2ln", "", "***", "é", "A"])
def test_wrong_signature(signature: str) -> None:
    assert not sigv2.matches(sigv2.Claim("a", signature, ""), b"x" * 20)


def test_right_signature() -> None:
    assert sigv2.matches(sigv2.Claim("a", "c2ln", ""), b64decode("c2ln"))


def test_mismatch_tells_what_was_signed() -> None:
    fields = sigv2.mismatch(sigv2.Claim("a", "c2ln", ""), b"GET\xff").fields
    assert list(fields) == ["AWSAccessKeyId", "StringToSign", "SignatureProvided", "StringToSignBytes"]
    assert fields["StringToSignBytes"] == "47 45 54 ff"
