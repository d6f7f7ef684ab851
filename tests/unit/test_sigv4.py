"""s3proto.sigv4 on AWS's documented examples, and what it refuses.

sigv4/<example>.req is the request head (LF for CRLF), .creq the canonical request and .sts the string to sign of the
documentation; the expected signature stands in the request itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from s3proto import sigv4
from s3proto.context import Settings
from s3proto.dates import parse_iso
from s3proto.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidArgument,
    InvalidRequest,
    PresignedExpiresOutOfRange,
    RequestNotImplemented,
    RequestTimeTooSkewed,
    S3Error,
    SignatureDoesNotMatch,
)
from s3proto.http import Headers, RequestHead, parse_head
from s3proto.names import parse_query
from s3proto.sigv4 import Claim, PayloadKind

EXAMPLES = Path(__file__).parent / "sigv4"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = parse_iso("20130524T000000Z") or 0.0
KEY = sigv4.signing_key(SECRET, "20130524", "us-east-1")
SETTINGS = Settings()


def example(name: str) -> RequestHead:
    return parse_head((EXAMPLES / f"{name}.req").read_bytes().replace(b"\n", b"\r\n"))


def parse(head: RequestHead, *, now: float = NOW, settings: Settings = SETTINGS) -> Claim:
    if "authorization" in head.headers:
        claim = sigv4.parse_authorization(head, settings)
    else:
        claim = sigv4.parse_presigned(dict(parse_query(head.raw_query)), head, settings)
    sigv4.check_dates(claim, settings, now)
    return claim


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.req")))
def test_documented_example(name: str) -> None:
    head = example(name)
    claim = parse(head)
    canonical = sigv4.canonical_request(head, claim)
    assert canonical == (EXAMPLES / f"{name}.creq").read_text()
    assert sigv4.string_to_sign(claim, canonical) == (EXAMPLES / f"{name}.sts").read_text()
    sigv4.verify(head, claim, KEY)


CHUNK_SIGNATURES = {
    "put-object-chunked": (
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ),
    "put-object-chunked-trailer": (
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ),
}


@pytest.mark.parametrize("name", CHUNK_SIGNATURES)
def test_documented_chunk_signatures(name: str) -> None:
    claim = parse(example(name))
    signer = sigv4.ChunkSigner(sigv4.ChunkSeed(KEY, claim.amz_date, claim.scope, claim.signature))
    chunks = (b"a" * 65536, b"a" * 1024, b"")
    assert tuple(signer.chunk(sha256(chunk).hexdigest()) for chunk in chunks) == CHUNK_SIGNATURES[name]
    if name.endswith("trailer"):
        assert (
            signer.trailer(b"x-amz-checksum-crc32c:sOO8/Q==\n")
            == "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
        )


def test_mismatch_tells_what_was_signed() -> None:
    head = example("get-object")
    with pytest.raises(SignatureDoesNotMatch) as caught:
        sigv4.verify(replace(head, method="PUT"), parse(head), KEY)
    fields = caught.value.fields
    assert list(fields) == [
        "AWSAccessKeyId",
        "StringToSign",
        "SignatureProvided",
        "StringToSignBytes",
        "CanonicalRequest",
        "CanonicalRequestBytes",
    ]
    assert fields["AWSAccessKeyId"] == "AKIAIOSFODNN7EXAMPLE" and fields["CanonicalRequest"].startswith("PUT\n")
    assert bytes.fromhex(fields["StringToSignBytes"]).decode() == fields["StringToSign"]


def test_signature_may_be_any_text() -> None:
    head = example("get-object")
    for signature in ("", "é", "中", "0" * 64):
        with pytest.raises(SignatureDoesNotMatch):
            sigv4.verify(head, replace(parse(head), signature=signature), KEY)


def test_secrets_stay_out_of_reprs() -> None:
    assert str(KEY) not in repr(sigv4.ChunkSeed(KEY, "", "", ""))


# -------------------------------------------------------------------------------------------- the header form

SCOPE = "20130524/us-east-1/s3/aws4_request"
ALL = "host;x-amz-content-sha256;x-amz-date"


def authorization(credential: str = f"AKIA/{SCOPE}", signed: str = ALL, signature: str = "00") -> str:
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"


AUTHORIZATION = authorization()


def signed_head(value: str = AUTHORIZATION, *, target: str = "/b/k", **headers: str) -> RequestHead:
    """A head with the headers of a signed request; ``x_amz_date="..."`` replaces or adds, "-" removes."""
    fields = {"host": "h", "x-amz-date": "20130524T000000Z", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    fields |= {"authorization": value} | {name.replace("_", "-"): text for name, text in headers.items()}
    return RequestHead("GET", target, Headers([(name, text) for name, text in fields.items() if text != "-"]))


def test_claim_of_the_header_form() -> None:
    assert parse(signed_head()) == Claim(
        "AKIA", "20130524", "us-east-1", "20130524T000000Z", ALL, "00", "UNSIGNED-PAYLOAD", NOW
    )
    assert parse(signed_head(authorization(f"AK/IA/{SCOPE}"))).access_key_id == "AK/IA"
    assert parse(signed_head(authorization().replace(", ", ",\t "))).signature == "00"
    http_date = signed_head(x_amz_date="-", date="Fri, 24 May 2013 00:00:01 GMT")
    assert parse(http_date).amz_date == "20130524T000001Z"
    iso_date = signed_head(x_amz_date="-", date="20130524T000002Z")
    assert parse(iso_date).amz_date == "20130524T000002Z"


MALFORMED: dict[str, tuple[RequestHead, type[S3Error], str]] = {
    "nothing": (signed_head("AWS4-HMAC-SHA256"), AuthorizationHeaderMalformed, "three components"),
    "no-signature": (signed_head(authorization(signature="")), AuthorizationHeaderMalformed, "three components"),
    "short-credential": (signed_head(authorization(SCOPE)), AuthorizationHeaderMalformed, "mal-formed"),
    "no-key": (signed_head(authorization(f"/{SCOPE}")), AuthorizationHeaderMalformed, "mal-formed"),
    "terminal": (signed_head(authorization(f"A/{SCOPE}2")), AuthorizationHeaderMalformed, "incorrect terminal"),
    "service": (
        signed_head(authorization("A/20130524/us-east-1/ec2/aws4_request")),
        AuthorizationHeaderMalformed,
        'incorrect service "ec2"',
    ),
    "date-format": (
        signed_head(authorization("A/2013/us-east-1/s3/aws4_request")),
        AuthorizationHeaderMalformed,
        "incorrect date format",
    ),
    "date-digits": (
        signed_head(authorization("A/2013052²/us-east-1/s3/aws4_request")),
        AuthorizationHeaderMalformed,
        "incorrect date format",
    ),
    "date-of-another-day": (
        signed_head(authorization("A/20130523/us-east-1/s3/aws4_request")),
        AuthorizationHeaderMalformed,
        "Invalid credential date",
    ),
    "region": (
        signed_head(authorization("A/20130524/eu-west-1/s3/aws4_request")),
        AuthorizationHeaderMalformed,
        "the region 'eu-west-1' is wrong; expecting 'us-east-1'",
    ),
    "no-date": (signed_head(x_amz_date="-"), AccessDenied, "valid Date"),
    "bad-date": (signed_head(x_amz_date="20130524T0000"), AccessDenied, "valid Date"),
    "date-before-epoch": (
        signed_head(x_amz_date="-", date="Tue, 07 Jul 1950 21:53:04 GMT"),
        AccessDenied,
        "valid Date",
    ),
    "too-early": (signed_head(x_amz_date="20130523T234400Z"), AuthorizationHeaderMalformed, "Invalid credential"),
    "skewed": (signed_head(x_amz_date="20130524T001501Z"), RequestTimeTooSkewed, "difference"),
    "repeated-name": (signed_head(authorization(signed=f"{ALL};host")), AuthorizationHeaderMalformed, "SignedHeaders"),
    "capital-name": (signed_head(authorization(signed="Host")), AuthorizationHeaderMalformed, "SignedHeaders"),
    "non-ascii-name": (signed_head(authorization(signed="host;é")), AuthorizationHeaderMalformed, "SignedHeaders"),
    "host-unsigned": (
        signed_head(authorization(signed=ALL.removeprefix("host;"))),
        AccessDenied,
        "not signed",
    ),
    "amz-unsigned": (signed_head(x_amz_acl="private"), AccessDenied, "not signed"),
    "no-hash": (signed_head(x_amz_content_sha256="-", content_length="1"), InvalidRequest, "x-amz-content-sha256"),
    "no-hash-chunked": (
        signed_head(x_amz_content_sha256="-", transfer_encoding="chunked"),
        InvalidRequest,
        "x-amz-content-sha256",
    ),
    "bad-hash": (signed_head(x_amz_content_sha256="0" * 63), InvalidArgument, "valid sha256"),
    "capital-hash": (signed_head(x_amz_content_sha256="A" * 64), InvalidArgument, "valid sha256"),
    "v4a": (signed_head("AWS4-ECDSA-P256-SHA256 Credential=x"), RequestNotImplemented, "SigV4A"),
    "v4a-chunks": (
        signed_head(x_amz_content_sha256="STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"),
        RequestNotImplemented,
        "SigV4A",
    ),
}


@pytest.mark.parametrize("head, error, message", MALFORMED.values(), ids=MALFORMED)
def test_refused_header_form(head: RequestHead, error: type[S3Error], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse(head)
    assert type(caught.value) is error


@pytest.mark.parametrize("length", ["-", "0"])
def test_no_body_needs_no_hash(length: str) -> None:
    assert parse(signed_head(x_amz_content_sha256="-", content_length=length)).payload_hash == sigv4.EMPTY_SHA256


def test_skew_is_inclusive() -> None:
    head = signed_head(x_amz_date="20130524T001500Z")
    assert parse(head) and parse(head, now=NOW + 1800)
    with pytest.raises(RequestTimeTooSkewed) as caught:
        parse(head, now=NOW + 1801)
    assert caught.value.fields["MaxAllowedSkewMilliseconds"] == "900000"


def test_wrong_region_says_the_right_one() -> None:
    with pytest.raises(AuthorizationHeaderMalformed) as caught:
        parse(signed_head(), settings=Settings(region="eu-west-1"))
    assert caught.value.fields == {"Region": "eu-west-1"}
    assert caught.value.headers == [("x-amz-bucket-region", "eu-west-1")]


@pytest.mark.parametrize("target", ["/b?location", "/b?location="])
def test_region_may_be_asked_from_us_east_1(target: str) -> None:
    assert parse(signed_head(target=target), settings=Settings(region="eu-west-1")).region == "us-east-1"


@pytest.mark.parametrize("kind", list(PayloadKind))
def test_payload_kinds(kind: PayloadKind) -> None:
    value = "0" * 64 if kind is PayloadKind.HASHED else kind.value
    assert sigv4.payload_kind(value) is kind
    assert sigv4.PayloadSpec(kind).aws_chunked == value.startswith("STREAMING-")


# ----------------------------------------------------------------------------------------- the presigned form

QUERY = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": f"AKIA/{SCOPE}",
    "X-Amz-Date": "20130524T000000Z",
    "X-Amz-Expires": "60",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Signature": "00",
}
HOST = RequestHead("GET", "/", Headers([("host", "h")]))


def parse_query_form(changes: Mapping[str, str] | None = None, *, now: float = NOW, head: RequestHead = HOST) -> Claim:
    query = QUERY | {f"X-Amz-{name}": value for name, value in (changes or {}).items()}
    claim = sigv4.parse_presigned(query, head, SETTINGS)
    sigv4.check_dates(claim, SETTINGS, now)
    return claim


def test_claim_of_the_presigned_form() -> None:
    assert parse_query_form() == Claim(
        "AKIA", "20130524", "us-east-1", "20130524T000000Z", "host", "00", "UNSIGNED-PAYLOAD", NOW, 60
    )
    assert sigv4.parse_presigned(QUERY | {"X-Amz-Content-Sha256": "0" * 64}, HOST, SETTINGS).payload_hash[0] == "0"
    assert (
        parse_query_form({"Expires": "604800"}) and parse_query_form(now=NOW + 60) and parse_query_form(now=NOW - 900)
    )


REFUSED: dict[str, tuple[dict[str, str], type[S3Error], str]] = {
    "algorithm": ({"Algorithm": "AWS4"}, AuthorizationQueryParametersError, "X-Amz-Algorithm only supports"),
    "v4a": ({"Algorithm": "AWS4-ECDSA-P256-SHA256"}, RequestNotImplemented, "SigV4A"),
    "credential": ({"Credential": "x"}, AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential"),
    "region": (
        {"Credential": "A/20130524/x/s3/aws4_request"},
        AuthorizationQueryParametersError,
        "the region 'x' is wrong",
    ),
    "date": ({"Date": "Fri, 24 May 2013 00:00:00 GMT"}, AuthorizationQueryParametersError, "ISO8601 Long Format"),
    "expires-text": ({"Expires": "soon"}, AuthorizationQueryParametersError, "should be a number"),
    "expires-digits": ({"Expires": "६"}, AuthorizationQueryParametersError, "should be a number"),
    "expires-negative": ({"Expires": "-7"}, PresignedExpiresOutOfRange, "non-negative"),
    "expires-zero": ({"Expires": "0"}, PresignedExpiresOutOfRange, "at least 1"),
    "expires-long": ({"Expires": "604801"}, PresignedExpiresOutOfRange, "less than a week"),
    "headers": ({"SignedHeaders": "host;中"}, AuthorizationQueryParametersError, "SignedHeaders"),
    "no-host": ({"SignedHeaders": "range"}, AccessDenied, "not signed"),
    "hash": ({"Content-Sha256": "x"}, InvalidArgument, "valid sha256"),
    **{name: ({name: ""}, AuthorizationQueryParametersError, "requires the") for name in ("Signature", "Expires")},
}


@pytest.mark.parametrize("changes, error, message", REFUSED.values(), ids=REFUSED)
def test_refused_presigned_form(changes: dict[str, str], error: type[S3Error], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse_query_form(changes)
    assert type(caught.value) is error


def test_presigned_dates() -> None:
    with pytest.raises(AccessDenied, match="Request has expired") as caught:
        parse_query_form(now=NOW + 61)
    assert caught.value.fields == {
        "X-Amz-Expires": "60",
        "Expires": "2013-05-24T00:01:00.000Z",
        "ServerTime": "2013-05-24T00:01:01.000Z",
    }
    with pytest.raises(AccessDenied, match="not yet valid"):
        parse_query_form(now=NOW - 901)


def test_presigned_amz_headers_must_be_signed() -> None:
    head = RequestHead("PUT", "/", Headers([("host", "h"), ("x-amz-acl", "public-read")]))
    with pytest.raises(AccessDenied) as caught:
        parse_query_form(head=head)
    assert caught.value.fields == {"HeadersNotSigned": "x-amz-acl"}
    assert parse_query_form({"SignedHeaders": "host;x-amz-acl"}, head=head)


# ----------------------------------------------------------------------------------------- canonical forms

PATHS = {
    "/": "/",
    "/a/b-._~": "/a/b-._~",
    "//a/./../b/": "//a/./../b/",
    "/a b+c": "/a%20b%2Bc",
    "/%41%2f%2F%c3%a9": "/A//%C3%A9",
    "/\xc3\xa9": "/%C3%A9",
    "/%zz%": "/%25zz%25",
    "/test$file": "/test%24file",
}
QUERIES = {
    "": "",
    "acl": "acl=",
    "b=2&a=1&a=0": "a=0&a=1&b=2",
    "a=b=c": "a=b%3Dc",
    "prefix=a/b+c%2B": "prefix=a%2Fb%20c%2B",
    "&&a&": "a=",
    "a-b=1&a=2": "a=2&a-b=1",
    "k=\xc3\xa9": "k=%C3%A9",
}


@pytest.mark.parametrize("raw, canonical", PATHS.items())
def test_canonical_path(raw: str, canonical: str) -> None:
    assert sigv4.canonical_path(raw) == canonical


@pytest.mark.parametrize("raw, canonical", QUERIES.items())
def test_canonical_query(raw: str, canonical: str) -> None:
    assert sigv4.canonical_query(raw) == canonical


def test_presigned_signature_is_not_signed() -> None:
    assert sigv4.canonical_query("X-Amz-Signature=0&a", presigned=True) == "a="
    assert sigv4.canonical_query("X-Amz-Signature=0", presigned=False) == "X-Amz-Signature=0"


def test_header_values_are_folded() -> None:
    claim = parse(signed_head())
    head = RequestHead("GET", "/", Headers([("a", "1  \t 2"), ("b", "\xa0  x"), ("a", "3")]))
    canonical = sigv4.canonical_request(head, replace(claim, signed_headers="a;b;c"))
    assert canonical == "GET\n/\n\na:1 2,3\nb:\xa0 x\nc:\n\na;b;c\nUNSIGNED-PAYLOAD"
