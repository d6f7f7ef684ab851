"""Never more than the ACL grants: every principal, ACL and action against AWS's tables written out by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proto import acl, commands
from s3proto.commands import CheckAccess, Command
from s3proto.errors import NoSuchKey
from s3proto.model import (
    BucketInfo,
    Document,
    ObjectAttributes,
    ObjectInfo,
    OpenedObject,
    Owner,
    Principal,
    Received,
    SigningKey,
    Upload,
)
from s3proto.operations import BUCKET, OBJECT, OPERATIONS
from s3proto.operations.operation import Operation
from s3proto.policy import NOTHING
from s3proto.protocol import serve
from tests.drive import run
from tests.form_kit import CONTENT_TYPE, encode, sign_v4
from tests.s3_requests import CONTEXT, KEY, NOW, head, signed

ALICE, BOB, CAROL = (Owner(letter * 64, letter) for letter in "abc")
WHO: dict[str, Principal | None] = {
    "anonymous": None,
    "owner": Principal(ALICE, "AKIAEXAMPLE"),
    "root": Principal(CAROL, "AKIAEXAMPLE", administrator=True),
    "stranger": Principal(CAROL, "AKIAEXAMPLE"),
    "uploader": Principal(BOB, "AKIAEXAMPLE"),
    "restricted": Principal(ALICE, "AKIAEXAMPLE", policy=NOTHING),
}
# "Mapping of ACL permissions and access policy permissions", by operation.
READ_BUCKET = set("HeadBucket ListObjects ListObjectsV2 ListObjectVersions ListMultipartUploads".split())
WRITE_BUCKET = set("PutObject PostObject DeleteObject DeleteObjects".split())
UPLOADS = set("CreateMultipartUpload UploadPart CompleteMultipartUpload AbortMultipartUpload ListParts".split())
READ_OBJECT = set("GetObject HeadObject GetObjectAttributes".split())
OBJECT_ACL = {"GetObjectAcl", "PutObjectAcl"}
COPIES = {"CopyObject", "UploadPartCopy"}

READERS = {"public-read": {"anonymous", "stranger", "uploader"}, "authenticated-read": {"stranger", "uploader"}}
READERS["public-read-write"] = READERS["public-read"]


def allowed(name: str, who: str, bucket_acl: str, object_acl: str) -> bool:
    """The plain model.  The object and the upload are Bob's, the bucket is Alice's."""
    if who in ("owner", "root") or who == "restricted":
        return who != "restricted"
    writes = bucket_acl == "public-read-write"
    reads = who in READERS.get(object_acl, ()) or who == "uploader"
    if name in READ_BUCKET:
        return who in READERS.get(bucket_acl, ())
    if name in WRITE_BUCKET:
        return writes
    if name == "CreateMultipartUpload":
        return writes and who != "anonymous"
    if name in UPLOADS:
        return writes and who == "uploader"
    if name in READ_OBJECT:
        return reads
    if name == "CopyObject":
        return writes and reads and who != "anonymous"
    if name == "UploadPartCopy":
        return writes and who == "uploader"
    return name in OBJECT_ACL and who == "uploader"


class Stop(Exception):
    """The request has got through."""


def outcome(row: Operation, who: str, bucket_acl: str, object_acl: str, *, missing: bool = False) -> str:
    """``denied``, another error's code, or ``through``: answered, or about to touch what others must not touch."""
    bucket = BucketInfo("bucket", NOW, ALICE, acl=bucket_acl)
    info = ObjectInfo("key", 3, "e" * 32, NOW, ObjectAttributes(acl=object_acl, owner=BOB))
    upload = Upload("key", "1", NOW, BOB)
    body = b"<Delete><Object><Key>key</Key></Object></Delete>" if row.name == "DeleteObjects" else b""
    if row.name == "CompleteMultipartUpload":
        body = (
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>"
        )

    def answer(command: Command[object]) -> object:
        match command:
            case commands.LookupSigningKey():
                return SigningKey(KEY.key, WHO[who] or KEY.principal)
            case CheckAccess():
                return acl.bucket_access(command.principal, command.action, bucket)
            case commands.HeadBucket():
                return bucket
            case commands.HeadObject() | commands.OpenObject() if missing:
                return NoSuchKey()
            case commands.HeadObject():
                return info
            case commands.OpenObject():
                return OpenedObject(info, "content")
            case commands.HeadUpload():
                return upload
            case commands.ReceiveForm():
                fields = {"key": "key"}
                command.decoder.feed(
                    memoryview(encode(sign_v4(fields, "bucket", KEY.key) if WHO[who] else fields, b""))
                )
                return None
            case commands.ReceiveDocument():
                return Document(body, {"md5": bytes(16)})
            case commands.AllowEarlyHead():
                return None
        return Stop()

    query = "&".join(c if "=" in c else f"{c}=1" for c in row.query)
    target = f"/bucket{'/key' if row.resource is OBJECT else ''}?{query}"
    headers = {"content-length": "3", "x-amz-object-attributes": "ETag"}
    if row.name == "DeleteObjects":
        headers["content-md5"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    if row.name in OBJECT_ACL | {"PutBucketAcl"}:
        headers["x-amz-acl"] = "private"
    if row.header:
        headers[row.header] = "bucket/other"
    if row.name == "PostObject":
        headers["content-type"] = CONTENT_TYPE
    make = head if WHO[who] is None or row.name == "PostObject" else signed
    try:
        response = run(serve(make(row.method, target, headers), CONTEXT), answer)
    except Stop:
        return "through"
    if row.name == "DeleteObjects" and "<Code>AccessDenied</Code>" in str(response.body):  # a policy: key by key
        return "denied"
    return {"AccessDenied": "denied"}.get(response.error_code or "", response.error_code or "through")


ROWS = [row for row in OPERATIONS if row.resource in (BUCKET, OBJECT) and row.name != "CreateBucket"]
ACLS = st.sampled_from(acl.OBJECT_ACLS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_never_more_and_never_less_than_granted(row: Operation) -> None:
    """All cases: there are few enough."""
    for case in itertools.product(sorted(WHO), acl.BUCKET_ACLS, acl.OBJECT_ACLS):
        found = outcome(row, *case)
        assert (found != "denied") is allowed(row.name, *case), (case, found)


@given(st.sampled_from(sorted(READ_OBJECT)), st.sampled_from(sorted(WHO)), st.sampled_from(acl.BUCKET_ACLS))
def test_what_is_missing_is_told_to_those_who_may_list(name: str, who: str, bucket_acl: str) -> None:
    row = next(row for row in ROWS if row.name == name)
    expected = "NoSuchKey" if allowed("ListObjects", who, bucket_acl, "private") else "denied"
    assert outcome(row, who, bucket_acl, "public-read", missing=True) == expected


def test_guests_own_what_they_write() -> None:
    """Signed ones: what nobody signed for is the bucket owner's."""
    bucket = BucketInfo("bucket", NOW, ALICE, acl="public-read-write")
    owners = {}
    for who, principal in WHO.items():

        def answer(command: Command[object], principal: Principal | None = principal, who: str = who) -> object:
            match command:
                case commands.LookupSigningKey():
                    return SigningKey(KEY.key, principal or KEY.principal)
                case CheckAccess():
                    return acl.bucket_access(command.principal, command.action, bucket)
                case commands.CreateMultipartUpload() | commands.PutObject():
                    owners[who] = command.attributes.owner
                case commands.ReceiveBody():
                    return Received("content", 3, {"md5": bytes(16)})
            return Stop()

        asked = (head if principal is None else signed)("PUT", "/bucket/key", {"content-length": "3"})
        try:
            run(serve(asked, CONTEXT), answer)
        except Stop:
            pass
    assert owners == {"anonymous": None, "owner": None, "root": None, "stranger": CAROL, "uploader": BOB}
