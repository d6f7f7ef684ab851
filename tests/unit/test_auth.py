"""s3proto.auth: which form, which commands, which payload; driven by scripted answers."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from s3proto import auth, sigv2, sigv4
from s3proto.auth import Identity
from s3proto.commands import CheckAccess, Command, HeadObject, LookupSigningKey, OpenObject, SignV2
from s3proto.context import Context
from s3proto.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidToken,
    NoSuchKey,
    RequestNotImplemented,
    RequestTimeTooSkewed,
    S3Error,
    SignatureDoesNotMatch,
)
from s3proto.http import Headers, RequestHead
from s3proto.model import Access, ObjectAttributes, ObjectInfo, OpenedObject, Owner, Principal, SignatureV2, SigningKey
from s3proto.names import Target, parse_query
from s3proto.sigv4 import PayloadKind
from tests.drive import Step, drive, freed_at_once, run
from tests.s3_requests import info

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
OWNER = Principal(Owner("0" * 64, "owner"), "AKIA")
CONTEXT = Context(now=1369353600, request_id="R", host_id="H")
KEY = sigv4.signing_key(SECRET, "20130524", "us-east-1")
TARGET = Target("b", "k")

Answers = Callable[[Command[Any]], Any]


def know(command: Command[Any]) -> Any:
    """Answer as a driver that knows one key."""
    match command:
        case LookupSigningKey("AKIA", "20130524", "us-east-1", "s3"):
            return SigningKey(KEY, OWNER)
        case SignV2("AKIA", to_sign):
            return SignatureV2(hmac.digest(SECRET.encode(), to_sign, "sha1"), OWNER)
    return None


def ask_nothing(command: Command[Any]) -> Any:
    raise AssertionError(f"asked {command}")


def head(target: str = "/b/k", **headers: str) -> RequestHead:
    fields = {"host": "h"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead("PUT", target, Headers(list(fields.items())))


def sign_v4(sha256: str = "UNSIGNED-PAYLOAD", key_id: str = "AKIA", **headers: str) -> RequestHead:
    fields = headers | {"x_amz_date": "20130524T000000Z", "x_amz_content_sha256": sha256}
    names = ";".join(sorted({"host"} | {name.replace("_", "-") for name in fields}))
    template = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/20130524/us-east-1/s3/aws4_request, SignedHeaders={names}, Signature="
    )
    unsigned = head(**fields, authorization=template + "x")
    claim = sigv4.parse_authorization(unsigned, CONTEXT.settings)
    signature = sigv4.sign(KEY, sigv4.string_to_sign(claim, sigv4.canonical_request(unsigned, claim)))
    return head(**fields, authorization=template + signature)


def presign_v4(extra: str = "", **headers: str) -> RequestHead:
    names = ";".join(sorted({"host"} | {name.replace("_", "-") for name in headers}))
    target = (
        "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        f"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders={quote(names)}{extra}&X-Amz-Signature="
    )
    unsigned = head(target + "x", **headers)
    query = dict(parse_query(unsigned.raw_query))
    claim = sigv4.parse_presigned(query, unsigned, CONTEXT.settings)
    signature = sigv4.sign(KEY, sigv4.string_to_sign(claim, sigv4.canonical_request(unsigned, claim)))
    return head(target + signature, **headers)


def sign_v2(**headers: str) -> RequestHead:
    fields = headers | {"date": "Fri, 24 May 2013 00:00:00 GMT"}
    claim = sigv2.Claim("AKIA", "", fields["date"])
    (to_sign,) = sigv2.strings_to_sign(head(**fields), TARGET, [], claim)
    signature = b64encode(hmac.digest(SECRET.encode(), to_sign, "sha1")).decode()
    return head(**fields, authorization=f"AWS AKIA:{signature}")


def presign_v2(extra: str = "") -> RequestHead:
    target = f"/b/k?AWSAccessKeyId=AKIA&Expires=1369353601{extra}"
    unsigned = head(target)
    claim = sigv2.Claim("AKIA", "", "1369353601", presigned=True)
    (to_sign,) = sigv2.strings_to_sign(unsigned, TARGET, parse_query(unsigned.raw_query), claim)
    signature = b64encode(hmac.digest(SECRET.encode(), to_sign, "sha1")).decode()
    return head(f"{target}&Signature={quote(signature, safe='')}")


def authenticate(sent: RequestHead, answers: Answers = know) -> Identity:
    return run(auth.authenticate(sent, TARGET, CONTEXT), answers)


SIGNED = {"v4": sign_v4(), "v4-presigned": presign_v4(), "v2": sign_v2(), "v2-presigned": presign_v2()}


@pytest.mark.parametrize("sent", SIGNED.values(), ids=SIGNED)
def test_what_a_head_remembers_does_not_hold_it(sent: RequestHead) -> None:
    with freed_at_once():
        again = replace(sent, memo={})
        assert authenticate(again) == authenticate(again)
        del again


@pytest.mark.parametrize("sent", SIGNED.values(), ids=SIGNED)
def test_each_form(sent: RequestHead) -> None:
    identity = authenticate(sent)
    assert identity.principal == OWNER and identity.head == sent and identity.payload.kind is PayloadKind.UNSIGNED
    with pytest.raises(SignatureDoesNotMatch):
        authenticate(RequestHead("DELETE", sent.target, sent.headers))
    with pytest.raises(InvalidAccessKeyId) as caught:
        authenticate(sent, lambda command: None)
    assert caught.value.fields == {"AWSAccessKeyId": "AKIA"}


@pytest.mark.parametrize("make", [sign_v4, presign_v4])
def test_a_head_that_was_verified_before_is_held_to_key_and_time_again(make: Callable[[], RequestHead]) -> None:
    sent = make()
    assert authenticate(sent).principal == authenticate(sent).principal == OWNER
    with pytest.raises(InvalidAccessKeyId):
        authenticate(sent, lambda command: None)
    with pytest.raises(SignatureDoesNotMatch):
        authenticate(sent, lambda command: SigningKey(b"another key", OWNER))
    with pytest.raises((AccessDenied, RequestTimeTooSkewed)):
        run(auth.authenticate(sent, TARGET, replace(CONTEXT, now=CONTEXT.now + 1000)), know)
    assert authenticate(sent).principal == OWNER


@pytest.mark.parametrize("resource", ["/b", "/b/"])
def test_v2_of_a_bucket_with_and_without_slash(resource: str) -> None:
    date = "Fri, 24 May 2013 00:00:00 GMT"
    signature = b64encode(hmac.digest(SECRET.encode(), f"PUT\n\n\n{date}\n{resource}".encode(), "sha1")).decode()
    sent = head("/b", date=date, authorization=f"AWS AKIA:{signature}")
    assert run(auth.authenticate(sent, Target("b", None), CONTEXT), know).principal == OWNER


def test_anonymous() -> None:
    identity = authenticate(head(), ask_nothing)
    assert identity.principal is None and identity.payload.kind is PayloadKind.UNSIGNED


REFUSED: dict[str, tuple[RequestHead, type[S3Error]]] = {
    "empty": (head(authorization=""), AccessDenied),
    "other-mechanism": (head(authorization="Bearer x"), InvalidArgument),
    "garbage": (head(authorization="\x7f\xff"), InvalidArgument),
    "v2-garbage": (head(authorization="AWS HAHAHA"), InvalidArgument),
    "v4-garbage": (head(authorization="AWS4-HMAC-SHA256 HAHAHA"), AuthorizationHeaderMalformed),
    "v4a": (head(authorization="AWS4-ECDSA-P256-SHA256 x"), RequestNotImplemented),
    "header-and-v4-query": (head("/b?X-Amz-Signature=x", authorization="AWS a:b"), InvalidArgument),
    "header-and-v2-query": (head("/b?Signature=x", authorization="AWS a:b"), InvalidArgument),
    "both-queries": (head("/b?Signature=x&X-Amz-Credential=y"), InvalidArgument),
    "half-v4-query": (head("/b?X-Amz-Algorithm=AWS4-HMAC-SHA256"), AuthorizationQueryParametersError),
    "half-v2-query": (head("/b?AWSAccessKeyId=x"), AccessDenied),
    "token": (head(authorization="AWS a:b", x_amz_security_token="t"), InvalidToken),
    "token-in-query": (head("/b?X-Amz-Security-Token=t&X-Amz-Signature=s"), InvalidToken),
    "anonymous-signed-chunks": (head(x_amz_content_sha256=PayloadKind.CHUNKS.value), AccessDenied),
    "anonymous-bad-hash": (head(x_amz_content_sha256="x"), InvalidArgument),
    "two-authorizations": (
        RequestHead("GET", "/", Headers([("authorization", "AWS a:b"), ("authorization", "AWS a:b")])),
        InvalidArgument,
    ),
}


@pytest.mark.parametrize("sent, error", REFUSED.values(), ids=REFUSED)
def test_refused_before_any_question(sent: RequestHead, error: type[S3Error]) -> None:
    with pytest.raises(error) as caught:
        authenticate(sent, ask_nothing)
    assert type(caught.value) is error


# ------------------------------------------------------------------------------------------------ payloads


def test_hashed_payload() -> None:
    payload = authenticate(sign_v4("a" * 64)).payload
    assert (payload.kind, payload.sha256, payload.seed) == (PayloadKind.HASHED, "a" * 64, None)


@pytest.mark.parametrize("kind", [PayloadKind.CHUNKS, PayloadKind.CHUNKS_TRAILER])
def test_signed_chunks_are_chained_to_the_request(kind: PayloadKind) -> None:
    sent = sign_v4(kind.value)
    payload = authenticate(sent).payload
    assert payload.kind is kind and payload.seed is not None
    assert payload.seed.key == KEY and payload.seed.scope == "20130524/us-east-1/s3/aws4_request"
    assert (sent.headers.get("authorization") or "").endswith(payload.seed.signature)


CHUNKED = {"content_encoding": "aws-chunked,gzip", "x_amz_decoded_content_length": "0"}
IMPLIED = {"v2": sign_v2(**CHUNKED), "anonymous": head(**CHUNKED), "v4-presigned": presign_v4(**CHUNKED)}


@pytest.mark.parametrize("sent", IMPLIED.values(), ids=IMPLIED)
def test_chunks_told_by_content_encoding_alone(sent: RequestHead) -> None:
    assert authenticate(sent).payload.kind is PayloadKind.UNSIGNED_TRAILER


def test_content_encoding_alone_is_only_a_header() -> None:
    """Ceph's test_object_content_encoding_aws_chunked sends the name without the coding."""
    assert authenticate(head(content_encoding="aws-chunked")).payload.kind is PayloadKind.UNSIGNED
    assert authenticate(head(x_amz_decoded_content_length="0")).payload.kind is PayloadKind.UNSIGNED


def test_declared_trailer() -> None:
    assert authenticate(head(x_amz_content_sha256=PayloadKind.UNSIGNED_TRAILER.value)).payload.aws_chunked
    assert authenticate(sign_v4(PayloadKind.UNSIGNED_TRAILER.value)).payload.aws_chunked


# ------------------------------------------------------------------------------------------------- hoisting


@pytest.mark.parametrize("presign", [presign_v4, presign_v2], ids=["v4", "v2"])
def test_presigned_parameters_become_headers(presign: Callable[[str], RequestHead]) -> None:
    sent = presign("&x-amz-acl=private&X-Amz-Meta-A=%C3%A9")
    identity = authenticate(sent)
    assert list(identity.head.headers) == [*sent.headers, ("x-amz-acl", "private"), ("x-amz-meta-a", "\xc3\xa9")]
    assert identity.head.target == sent.target


def test_presigned_checksums_are_signed_and_not_looked_at() -> None:
    """The SDK for JavaScript makes such URLs unasked, before it can know the body."""
    sent = presign_v4(
        "&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-amz-checksum-mode=ENABLED"
    )
    assert list(authenticate(sent).head.headers) == [*sent.headers, ("x-amz-checksum-mode", "ENABLED")]


def test_a_header_that_was_sent_wins() -> None:
    identity = authenticate(presign_v4("&x-amz-acl=public-read", x_amz_acl="private"))
    assert identity.head.headers.all("x-amz-acl") == ["private"]


def test_header_form_takes_no_parameters() -> None:
    assert "x-amz-acl" not in authenticate(head("/b/k?x-amz-acl=private")).head.headers


# ------------------------------------------------------------------------------------------------- authorize


def test_authorize() -> None:
    sent = head(x_amz_expected_bucket_owner="1", x_amz_source_expected_bucket_owner="2")
    identity = Identity(OWNER, sigv4.PayloadSpec(), sent)
    asked: list[Command[Any]] = []

    def allow(command: Command[Any]) -> Access:
        asked.append(command)
        return Access.OBJECT

    assert run(auth.authorize(identity, "s3:PutObject", "b", "k"), allow) is Access.OBJECT
    source = auth.authorize(identity, "s3:GetObject", "c", "d", owner_header="x-amz-source-expected-bucket-owner")
    run(source, allow)
    assert asked == [
        CheckAccess(OWNER, "s3:PutObject", "b", "k", "1"),
        CheckAccess(OWNER, "s3:GetObject", "c", "d", "2"),
    ]


@pytest.mark.parametrize("version", ["", "Version"])
def test_attributes_of_objects_are_for_those_who_may_read_them(version: str) -> None:
    identity = Identity(OWNER, sigv4.PayloadSpec(), head(x_amz_object_attributes="ETag"))
    action, besides = f"s3:GetObject{version}Attributes", (f"s3:GetObject{version}",)
    asked = (CheckAccess(OWNER, action, "b", "k", besides=besides), Access.OWNER)
    assert drive(auth.authorize(identity, action, "b", "k"), [asked]) is Access.OWNER


def values(sent: RequestHead, **others: Any) -> Mapping[str, str]:
    """What conditions of a bucket's policy would be held against."""

    def look(command: Command[Any]) -> Access:
        assert isinstance(command, CheckAccess)
        found.update(command.values())
        assert command.values() is command.values(), "each of a thousand conditions asks"
        return Access.OWNER

    found: dict[str, str] = {}
    run(auth.authorize(Identity(OWNER, sigv4.PayloadSpec(), sent), "s3:PutObject", "b", "k", **others), look)
    return found


@pytest.mark.parametrize(
    ("sent", "means"),
    [
        ("bkt/secret/k", "bkt/secret/k"),
        ("/bkt%2Fsecr%65t/k", "bkt/secret/k"),
        ("/bkt/k?versionId=null", "bkt/k?versionId=null"),
        ("//", "//"),
    ],
)
def test_conditions_on_a_copy_source_see_what_is_copied(sent: str, means: str) -> None:
    assert values(head(x_amz_copy_source=sent))["s3:x-amz-copy-source"] == means


def test_what_is_said_otherwise_counts_instead() -> None:
    assert values(head("/b/k?prefix=a"))["s3:prefix"] == "a"
    assert values(head("/b/k?prefix=a"), said={"s3:prefix": "k"})["s3:prefix"] == "k"


def test_authorize_refuses() -> None:
    identity = Identity(OWNER, sigv4.PayloadSpec(), head())
    with pytest.raises(AccessDenied):
        run(auth.authorize(identity, "s3:ListAllMyBuckets"), lambda command: Access.DENIED)


def test_anonymous_goes_the_same_way() -> None:
    identity = Identity(None, sigv4.PayloadSpec(), head())
    asked = (CheckAccess(None, "s3:GetObject", "b", "k"), Access.OBJECT)
    assert drive(auth.authorize(identity, "s3:GetObject", "b", "k"), [asked]) is Access.OBJECT


PUBLIC, CLOSED = ObjectAttributes(acl="public-read"), ObjectAttributes()


def reading(access: Access, *script: Step) -> ObjectInfo:
    identity = Identity(None, sigv4.PayloadSpec(), head())
    return drive(auth.reading(identity, access, "b", HeadObject("b", "k")), script)


def test_reading_asks_the_object_that_was_found() -> None:
    look = HeadObject("b", "k")
    public, closed = info("k", attributes=PUBLIC), info("k", attributes=CLOSED)
    assert reading(Access.OBJECT, (look, public)) is public
    assert reading(Access.OWNER, (look, closed)) is closed
    with pytest.raises(AccessDenied):
        reading(Access.OBJECT, (look, closed))
    identity = Identity(None, sigv4.PayloadSpec(), head())
    handle = OpenedObject(closed, "content")
    with pytest.raises(AccessDenied):
        drive(auth.reading(identity, Access.OBJECT, "b", OpenObject("b", "k")), [(OpenObject("b", "k"), handle)])


@pytest.mark.parametrize(
    ("may_list", "error"), [(Access.GUEST, NoSuchKey), (Access.DENIED, AccessDenied)], ids=["lists", "lists-not"]
)
def test_only_who_may_list_is_told_that_an_object_is_missing(may_list: Access, error: type[Exception]) -> None:
    missing = (HeadObject("b", "k"), NoSuchKey())
    with pytest.raises(error):
        reading(Access.OBJECT, missing, (CheckAccess(None, "s3:ListBucket", "b"), may_list))
    with pytest.raises(NoSuchKey):
        reading(Access.OWNER, missing)


def test_whether_a_key_is_missing_is_listing_its_name() -> None:
    def answer(command: Command[Any]) -> Access | NoSuchKey:
        if isinstance(command, HeadObject):
            return NoSuchKey()
        assert isinstance(command, CheckAccess) and command.action == "s3:ListBucket"
        assert command.values()["s3:prefix"] == "k"
        return Access.DENIED

    identity = Identity(None, sigv4.PayloadSpec(), head("/b/k?prefix=public/"))
    with pytest.raises(AccessDenied):
        run(auth.reading(identity, Access.GUEST, "b", HeadObject("b", "k")), answer)
