"""Tags by script: the six operations, those that come with objects, forms and copies, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3proto import errors, tagging
from s3proto.commands import (
    AllowEarlyHead,
    CheckAccess,
    CopyObject,
    GetBucketTagging,
    HeadObject,
    OpenObject,
    PutBucketTagging,
    PutObjectTagging,
    ReceiveDocument,
)
from s3proto.model import Access, Document, ObjectAttributes, Pairs, Principal
from s3proto.policy import parse as parse_policy
from s3proto.policy import policy_of
from tests.drive import Step
from tests.s3_requests import PRINCIPAL, call, info, opened, texts

TAGS = (("a", "1"), ("b", ""))
DOCUMENT: Step = (ReceiveDocument, Document(tagging.document(TAGS)))
TAGGED = ObjectAttributes("text/plain", tags=TAGS)


def document(*tags: tuple[str, str]) -> bytes:
    rows = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    return f"<Tagging><TagSet>{rows}</TagSet></Tagging>".encode()


# ------------------------------------------------------------------------------------------------ objects


def test_tags_of_an_object_are_told() -> None:
    script: list[Step] = [(HeadObject("bucket", "key", "null"), info(version_id="null", attributes=TAGGED))]
    response = call("GET", "/bucket/key?tagging&versionId=null", script=script)
    assert texts(response, "TagSet/Tag/Key") == ["a", "b"] and texts(response, "TagSet/Tag/Value") == ["1", ""]
    assert ("x-amz-version-id", "null") in response.headers
    none = call("GET", "/bucket/key?tagging", script=[(HeadObject("bucket", "key"), info())])
    assert none.status == 200 and texts(none, "TagSet") == [""]


def test_tags_that_others_wrote_are_told_as_far_as_xml_can() -> None:
    attributes = ObjectAttributes(tags=(("", "\x00\ufffe"), ("<\r", "a" * 300)))
    response = call("GET", "/bucket/key?tagging", script=[(HeadObject, info(attributes=attributes))])
    assert texts(response, "TagSet/Tag/Key") == ["", "<\r"]
    assert texts(response, "TagSet/Tag/Value") == ["\ufffd\ufffd", "a" * 300]


def test_tags_of_an_object_are_given_and_taken_away() -> None:
    script = [DOCUMENT, (PutObjectTagging("bucket", "key", TAGS), None)]
    assert call("PUT", "/bucket/key?tagging", script=script).status == 200
    script = [(PutObjectTagging("bucket", "key", (), "null"), None)]
    assert call("DELETE", "/bucket/key?tagging&versionId=null", script=script).status == 204


def reader(*actions: str) -> Principal:
    statement = {"Effect": "Allow", "Action": [f"s3:{action}" for action in actions], "Resource": "*"}
    return replace(PRINCIPAL, policy=policy_of({"Statement": statement}))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize(
    ("principal", "query", "asked", "access", "told"),
    [
        (PRINCIPAL, "", "s3:GetObjectTagging", Access.OWNER, True),
        (PRINCIPAL, "?versionId=null", "s3:GetObjectVersionTagging", Access.GUEST, True),
        (PRINCIPAL, "", "s3:GetObjectTagging", Access.DENIED, False),
        (None, "", "s3:GetObjectTagging", Access.DENIED, False),
        (reader("GetObject*"), "", "s3:GetObjectTagging", Access.OWNER, True),
        (reader("GetObject"), "", None, None, False),
        (reader("GetObjectVersion", "GetObjectTagging"), "?versionId=null", None, None, False),
    ],
)
def test_how_many_there_are_is_told_to_those_who_may_read_them(
    method: str, principal: Principal | None, query: str, asked: str | None, access: Access | None, told: bool
) -> None:
    found = info(attributes=TAGGED)
    script: list[Step] = [(HeadObject, found) if method == "HEAD" else (OpenObject, replace(opened(), info=found))]
    if asked is not None:
        script.append((CheckAccess(principal, asked, "bucket", "key"), access))
    headers = call(method, f"/bucket/key{query}", script=script, principal=principal).headers
    assert [pair for pair in headers if "tagging" in pair[0]] == [("x-amz-tagging-count", "2")] * told


# ------------------------------------------------------------------------------------------------ buckets


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_who_may_give_tags_and_not_list_is_not_told_what_is_missing(method: str) -> None:
    given = [DOCUMENT] if method == "PUT" else []
    missing: Step = (PutObjectTagging, errors.NoSuchKey())
    for access, error in ((Access.DENIED, errors.AccessDenied), (Access.GUEST, errors.NoSuchKey)):
        may_list: Step = (CheckAccess(PRINCIPAL, "s3:ListBucket", "bucket"), access)
        with pytest.raises(error):
            call(method, "/bucket/key?tagging", script=[*given, missing, may_list], access=Access.GUEST)


def test_tags_of_a_bucket() -> None:
    response = call("GET", "/bucket?tagging", script=[(GetBucketTagging("bucket"), TAGS)])
    assert texts(response, "TagSet/Tag/Key") == ["a", "b"]
    with pytest.raises(errors.NoSuchTagSet) as caught:
        call("GET", "/bucket?tagging", script=[(GetBucketTagging("bucket"), ())])
    assert caught.value.fields == {"BucketName": "bucket"}
    script = [DOCUMENT, (PutBucketTagging("bucket", TAGS), None)]
    assert call("PUT", "/bucket?tagging", script=script).status == 204
    assert call("DELETE", "/bucket?tagging", script=[(PutBucketTagging("bucket", ()), None)]).status == 204


def test_a_bucket_has_more_than_an_object() -> None:
    tags = tuple((f"{n:02}", "v") for n in range(50))
    received: Step = (ReceiveDocument, Document(document(*tags)))
    call("PUT", "/bucket?tagging", script=[received, (PutBucketTagging("bucket", tags), None)])
    with pytest.raises(errors.InvalidTag):
        call("PUT", "/bucket/key?tagging", script=[received])
    with pytest.raises(errors.InvalidTag):
        tagging.parse(document(*tags, ("more", "v")), tagging.MAX_BUCKET_TAGS)


# ---------------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b" ", errors.MissingRequestBodyError),
        (b"<Tagging/>", errors.MalformedXML),
        (b"<Tagging><TagSet/><TagSet/></Tagging>", errors.MalformedXML),
        (b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>", errors.MalformedXML),
        (b"<Tagging><TagSet><Tag><Value>v</Value></Tag></TagSet></Tagging>", errors.MalformedXML),
        (document(("", "v")), errors.MalformedXML),
        (document(("k" * 129, "v")), errors.InvalidTag),
        (document(("k", "v" * 257)), errors.InvalidTag),
        (document(("k", "1"), ("k", "2")), errors.InvalidTag),
        (document(("aws:k", "v")), errors.InvalidTag),
        (document(("AWS:k", "v")), errors.InvalidTag),
        (document(("k", "a\nb")), errors.InvalidTag),
        (document(("k{}", "v")), errors.InvalidTag),
        (document(*((str(n), "") for n in range(11))), errors.InvalidTag),
    ],
)
def test_documents_that_are_refused(data: bytes, error: type[errors.S3Error]) -> None:
    with pytest.raises(error):
        call("PUT", "/bucket/key?tagging", script=[(ReceiveDocument, Document(data))])


def test_the_longest_that_is_taken() -> None:
    tags = tuple(sorted((f"{n}" + "\U0001d518" * 127, "\u00e4" * 256) for n in range(10)))
    assert tagging.parse(document(*tags)) == tags
    escaped = document(*tags).decode().replace("\U0001d518", "&#x1d518;").replace("\u00e4", "&#x000000e4;")
    assert tagging.parse(escaped.encode()) == tags
    assert tagging.parse(document()) == ()


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (None, ()),
        ("", ()),
        ("foo=bar&bar", (("bar", ""), ("foo", "bar"))),
        ("a+b=c%2Bd", (("a b", "c+d"),)),
        ("%C3%A4=\u00c3\u00a4", (("\u00e4", "\u00e4"),)),
        ("k=a=b", (("k", "a=b"),)),
    ],
)
def test_headers(value: str | None, tags: Pairs) -> None:
    assert tagging.parse_header(value) == tags


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("%ff=1", "InvalidArgument"),
        ("\u00e4=1", "InvalidArgument"),
        ("&".join(f"{n}=" for n in range(60)), "InvalidArgument"),
        ("&".join(f"{n}=" for n in range(11)), "InvalidTag"),
        ("=v", "InvalidTag"),
        ("aws:a=1", "InvalidTag"),
    ],
)
def test_headers_that_are_refused(value: str, code: str) -> None:
    with pytest.raises(errors.S3Error) as caught:
        call("PUT", "/bucket/key", {"content-length": "0", "x-amz-tagging": value})
    assert caught.value.code == code


# ------------------------------------------------------------------------------------------------- copies

SOURCE = {"x-amz-copy-source": "/other/k"}
ALLOWED: Step = (CheckAccess(PRINCIPAL, "s3:GetObject", "other", "k"), Access.OWNER)
OPENED = opened("k", attributes=TAGGED)
OPEN: Step = (OpenObject("other", "k"), OPENED)
EARLY: Step = (AllowEarlyHead, None)


def copied(tags: Pairs) -> Step:
    return (CopyObject(OPENED, "bucket", "key", ObjectAttributes("text/plain", tags=tags)), info())


def giving(principal: Principal) -> Step:
    besides = ("s3:PutObjectTagging",)
    return CheckAccess(principal, "s3:PutObject", "bucket", "key", besides=besides), Access.OWNER


def test_a_copy_takes_tags_over_from_whoever_may_read_them() -> None:
    give, look = giving(PRINCIPAL), (CheckAccess(PRINCIPAL, "s3:GetObjectTagging", "other", "k"), Access.OWNER)
    call("PUT", "/bucket/key", SOURCE, [ALLOWED, OPEN, give, look, EARLY, copied(TAGS)])
    headers = SOURCE | {"x-amz-tagging": "ignored=1"}
    call("PUT", "/bucket/key", headers, [ALLOWED, OPEN, give, look, EARLY, copied(TAGS)])
    for refused in ([(give[0], Access.DENIED)], [give, (look[0], Access.DENIED)]):
        with pytest.raises(errors.AccessDenied):
            call("PUT", "/bucket/key", SOURCE, [ALLOWED, OPEN, *refused])


def test_a_copy_gets_other_tags() -> None:
    headers = SOURCE | {"x-amz-tagging-directive": "REPLACE"}
    call("PUT", "/bucket/key", headers, [ALLOWED, OPEN, EARLY, copied(())])
    call("PUT", "/bucket/key", headers | {"x-amz-tagging": "n=1"}, [ALLOWED, OPEN, EARLY, copied((("n", "1"),))])
    with pytest.raises(errors.InvalidTag):
        call("PUT", "/bucket/key", headers | {"x-amz-tagging": "=1"})


def test_a_policy_must_allow_tagging_besides() -> None:
    text = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": %s, "Resource": "arn:aws:s3:::*"}]}'
    narrow = replace(PRINCIPAL, policy=parse_policy(text % '["s3:PutObject", "s3:GetObject", "s3:GetObjectTagging"]'))
    wide = replace(PRINCIPAL, policy=parse_policy(text % '["s3:PutObject", "s3:GetObject", "s3:*Tagging"]'))
    read: Step = (CheckAccess(wide, "s3:GetObject", "other", "k"), Access.OWNER)
    look: Step = (CheckAccess(wide, "s3:GetObjectTagging", "other", "k"), Access.OWNER)
    call("PUT", "/bucket/key", SOURCE, [read, OPEN, giving(wide), look, EARLY, copied(TAGS)], principal=wide)
    read = (CheckAccess(narrow, "s3:GetObject", "other", "k"), Access.OWNER)
    with pytest.raises(errors.AccessDenied):
        call("PUT", "/bucket/key", SOURCE, [read, OPEN], principal=narrow)
