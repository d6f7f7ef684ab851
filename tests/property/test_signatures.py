"""botocore is the oracle: what it signs verifies, and nothing else does.

Its clock is the machine's; ours is what it wrote down.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s3proto import sigv4
from s3proto.auth import Identity, authenticate
from s3proto.commands import Command, LookupSigningKey, SignV2
from s3proto.context import Context
from s3proto.dates import parse_http_date, parse_iso
from s3proto.errors import S3Error
from s3proto.http import Headers, RequestHead, parse_head
from s3proto.model import Owner, Principal, SignatureV2, SigningKey
from s3proto.names import parse_query, parse_target, uri_encode
from tests.drive import run
from tests.strategies import TOKEN, bucket_names, keys

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", SECRET)
PRINCIPAL = Principal(Owner("0" * 64, "owner"), CREDENTIALS.access_key)
SIGNERS = {
    "v4": lambda: S3SigV4Auth(CREDENTIALS, "s3", "us-east-1"),
    "v4-presigned": lambda: S3SigV4QueryAuth(CREDENTIALS, "s3", "us-east-1", expires=60),
    "v2": lambda: HmacV1Auth(CREDENTIALS),
    "v2-presigned": lambda: HmacV1QueryAuth(CREDENTIALS, expires=60),
}

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PARAMETERS = st.dictionaries(
    st.sampled_from(["acl", "prefix", "uploadId", "partNumber", "versionId", "response-content-type", "x-id", "é"]),
    TEXT,
    max_size=4,
)
AMZ_HEADERS = st.dictionaries(
    TOKEN.map(lambda name: f"x-amz-meta-{name}"),
    st.text(st.characters(codec="ascii", exclude_categories=["C"])),
    max_size=3,
)


@st.composite
def requests(draw: st.DrawFn) -> AWSRequest:
    """A request as botocore would build it, before it is signed."""
    query = "&".join(f"{uri_encode(name)}={uri_encode(value)}" for name, value in draw(PARAMETERS).items())
    bucket = draw(bucket_names())
    path = f"/{bucket}/{uri_encode(draw(keys()), safe='/')}" if draw(st.booleans()) else f"/{bucket}"
    url = f"http://h:9900{path}"
    request = AWSRequest(
        method=draw(st.sampled_from(["GET", "PUT", "DELETE"])),
        url=f"{url}?{query}" if query else url,
        headers=draw(AMZ_HEADERS) | draw(st.sampled_from([{}, {"content-type": "text/plain"}])),
        data=draw(st.binary(max_size=10)),
        auth_path=path + "/" * (path.count("/") == 1),  # as botocore's handlers set it for version 2
    )
    request.context["client_config"] = None
    return request


def sign(signer: str, request: AWSRequest) -> RequestHead:
    if signer.endswith("presigned"):
        request.data = b""  # nobody knows the body yet; botocore would take it for form fields
    SIGNERS[signer]().add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    lines = [f"{request.method} {parts.path}{'?' * bool(parts.query)}{parts.query} HTTP/1.1", "Host: h:9900"]
    for name, value in prepared.headers.items():
        text = value.decode() if isinstance(value, bytes) else value
        if name.lower() not in ("content-length", "transfer-encoding"):
            lines.append(f"{name}: {text}")
    return parse_head("\r\n".join([*lines, "", ""]).encode("latin-1"))


def driver(command: Command[Any]) -> object:
    match command:
        case LookupSigningKey(CREDENTIALS.access_key, date, region, service):
            return SigningKey(sigv4.signing_key(SECRET, date, region, service), PRINCIPAL)
        case SignV2(CREDENTIALS.access_key, to_sign):
            return SignatureV2(hmac.digest(SECRET.encode(), to_sign, "sha1"), PRINCIPAL)
    return None


def signed_at(head: RequestHead) -> float:
    query = dict(parse_query(head.raw_query))
    if "Expires" in query:
        return int(query["Expires"]) - 60
    date = head.headers.get("x-amz-date") or query.get("X-Amz-Date") or head.headers.get("date") or ""
    seconds = parse_iso(date) or parse_http_date(date)
    assert seconds
    return seconds


def verify(head: RequestHead, now: float) -> Identity:
    context = Context(now, "R", "H")
    return run(authenticate(head, parse_target(head, context.settings), context), driver)


@given(st.sampled_from(sorted(SIGNERS)), requests())
@settings(max_examples=150)
def test_what_botocore_signs_verifies(signer: str, request: AWSRequest) -> None:
    head = sign(signer, request)
    assert verify(head, signed_at(head)).principal == PRINCIPAL


@given(st.sampled_from(sorted(SIGNERS)), requests(), st.data())
@settings(max_examples=150)
def test_a_changed_signed_byte_does_not(signer: str, request: AWSRequest, data: st.DataObject) -> None:
    head = sign(signer, request)
    now = signed_at(head)
    names = [name for name in signed_headers(head, signer) if head.headers.get(name)]
    match data.draw(st.sampled_from(["method", "target", "header", "one more"])):
        case "method":
            tampered = replace(head, method="POST")
        case "target":
            path, mark, query = head.target.partition("?")
            if signer.startswith("v4"):
                tampered = replace(head, target=change_letter(data, head.target))
            else:  # version 2 signs few parameters
                tampered = replace(head, target=change_letter(data, path) + mark + query)
        case "header" if names:
            name = data.draw(st.sampled_from(names))
            value = change_letter(data, head.headers.get(name) or "")
            tampered = replace(head, headers=Headers((n, value if n == name else v) for n, v in head.headers))
        case _:
            tampered = replace(head, headers=Headers([*head.headers, ("x-amz-acl", "public-read")]))
    assume(tampered != head)
    try:
        identity = verify(tampered, now)
    except S3Error:
        return
    raise AssertionError(f"taken as {identity}")


def signed_headers(head: RequestHead, signer: str) -> list[str]:
    """Names of the headers that the signature covers, and of the one that holds it."""
    if signer.startswith("v2"):
        names = [name for name, _ in head.headers if name.startswith("x-amz-") or name == "content-type"]
        return names if signer.endswith("presigned") else [*names, "date", "authorization"]
    if authorization := head.headers.get("authorization"):
        return [*authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";"), "authorization"]
    return dict(parse_query(head.raw_query))["X-Amz-SignedHeaders"].split(";")


def change_letter(data: st.DataObject, text: str) -> str:
    """``text`` with one letter or digit made another one, so that no decoding makes it the same again."""
    places = [at for at, char in enumerate(text) if char.isascii() and char.isalnum()]
    if not places:
        return text
    at = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from("0123456789abcdefxyz").filter(lambda char: char != text[at].lower()))
    return text[:at] + other + text[at + 1 :]


# ------------------------------------------------------------------------------------------- hostile claims

FORMS = st.sampled_from(
    [
        "AWS4-HMAC-SHA256 Credential=AKIA/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=00",
        "AWS AKIA:c2ln",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA/20130524/us-east-1/s3/aws4_request&X-Amz-Date="
        "20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
        "AWSAccessKeyId=AKIA&Expires=1369353600&Signature=c2ln",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "20130524T000000Z",
        "Fri, 24 May 2013 00:00:00 GMT",
        "",
    ]
)
LATIN_1 = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=6)
HOSTILE = st.tuples(FORMS, LATIN_1, st.integers(0, 90)).map(lambda t: t[0][: t[2]] + t[1] + t[0][t[2] :])
NAMES = [
    "authorization",
    "date",
    "x-amz-date",
    "x-amz-content-sha256",
    "content-encoding",
    "x-amz-security-token",
    "host",
]


@given(HOSTILE.map(lambda text: text.replace(" ", "")), st.lists(st.tuples(st.sampled_from(NAMES), HOSTILE | FORMS)))
@settings(max_examples=300)
def test_any_claim_gives_an_identity_or_an_error(query: str, fields: list[tuple[str, str]]) -> None:
    head = RequestHead("GET", f"/bucket/key?{query}", Headers(fields))
    answers = {LookupSigningKey: SigningKey(b"k", PRINCIPAL), SignV2: SignatureV2(b"s" * 20, PRINCIPAL)}
    context = Context(1369353600, "R", "H")
    try:
        identity = run(
            authenticate(head, parse_target(head, context.settings), context), lambda command: answers[type(command)]
        )
    except S3Error:
        return
    assert identity.principal is None
