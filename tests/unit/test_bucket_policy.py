"""Policies of buckets: what is refused of a document, the operations by script, and DeleteObjects key by key."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from s3proto import errors
from s3proto.bucket_policy import parse
from s3proto.commands import (
    CheckAccess,
    Command,
    DeleteObjects,
    GetBucketPolicy,
    HeadObject,
    OpenObject,
    PutBucketPolicy,
    ReceiveDocument,
)
from s3proto.model import Access, DeleteEntry, DeleteResult, Document, Principal
from s3proto.operations.buckets import delete_objects
from s3proto.policy import MAX_BYTES
from tests.drive import Step, run
from tests.s3_requests import PRINCIPAL, call, request, texts

PUBLIC = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}


def text(*statements: Any, **others: Any) -> bytes:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **others}).encode()


def test_it_is_put_told_and_deleted() -> None:
    document = b" " + text(PUBLIC, Id="i") + b"\n"
    policy = parse(document, "bucket")
    received: Step = (ReceiveDocument, Document(document))
    script = [received, (PutBucketPolicy("bucket", policy, PRINCIPAL), None)]
    assert call("PUT", "/bucket?policy", script=script).status == 204
    told = call("GET", "/bucket?policy", script=[(GetBucketPolicy("bucket"), policy)])
    assert told.body == document and ("Content-Type", "application/json") in told.headers
    assert call("DELETE", "/bucket?policy", script=[(PutBucketPolicy("bucket", None, PRINCIPAL), None)]).status == 204
    for target in ("/bucket?policy", "/bucket?policyStatus"):
        with pytest.raises(errors.NoSuchBucketPolicy):
            call("GET", target, script=[(GetBucketPolicy("bucket"), None)])


@pytest.mark.parametrize(
    ("change", "public"),
    [
        ({}, "true"),
        ({"Principal": {"AWS": ["arn:aws:iam::1:user/x", "*"]}}, "true"),
        ({"Principal": {"AWS": "arn:aws:iam::1:user/x"}}, "false"),
        ({"Effect": "Deny"}, "false"),
        ({"Condition": {"StringEquals": {"aws:username": "bob"}}}, "false"),
        ({"Condition": {"StringLike": {"aws:Referer": "http://page/*"}}}, "true"),
        ({"Condition": {"StringNotEquals": {"aws:username": "bob"}}}, "true"),
        ({"Condition": {"StringEqualsIfExists": {"aws:username": "bob"}}}, "true"),
        ({"Condition": {"StringLike": {"aws:username": "*"}}}, "true"),
    ],
)
def test_status(change: dict[str, Any], public: str) -> None:
    policy = parse(text({**PUBLIC, **change}), "bucket")
    response = call("GET", "/bucket?policyStatus", script=[(GetBucketPolicy("bucket"), policy)])
    assert texts(response, "IsPublic") == [public]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "JSON"),
        (b"\xff", "Json"),
        (b"[]", "object"),
        (text(), "Statement"),
        (text({name: value for name, value in PUBLIC.items() if name != "Principal"}), "Principal"),
        (text({**PUBLIC, "NotPrincipal": "*"}), "NotPrincipal"),
        (text({**PUBLIC, "Principal": "bob"}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"AWS": []}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"AWS": ["*", 1]}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"AWS": "arn:aws:iam::1:root"}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"AWS": "arn:aws:iam::1:user/"}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"AWS": "arn:aws:iam::1:user/*"}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"AWS": "arn:aws:iam::1:user/bo?"}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"CanonicalUser": "*"}}), "Invalid principal"),
        (text({**PUBLIC, "Principal": {"Service": "x"}}), "Invalid principal"),
        (text({**PUBLIC, "Resource": "arn:aws:s3:::other/*"}), "invalid resource"),
        (text({**PUBLIC, "Resource": "arn:aws:s3:::buck?"}), "invalid resource"),
        (text({**PUBLIC, "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::other*"]}), "invalid resource"),
        (text({**PUBLIC, "Action": "iam:PassRole"}), "invalid action"),
        (text({**PUBLIC, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}), "not supported"),
        (text({**PUBLIC, "Condition": {"StringEquals": {"s3:ExistingObjectTag/a": "b"}}}), "not supported"),
        (text({**PUBLIC, "Resource": "arn:aws:s3:::bucket/*" + "?" * 1025 + "*"}), "question mark"),
        (text(PUBLIC, Other=1), "Other"),
        (text({**PUBLIC, "Sid": "x" * MAX_BYTES}), "bytes"),
    ],
)
def test_what_is_refused(document: bytes, says: str) -> None:
    with pytest.raises(errors.MalformedPolicy) as caught:
        call("PUT", "/bucket?policy", script=[(ReceiveDocument, Document(document))])
    assert says in caught.value.detail and caught.value.status == 400


@pytest.mark.parametrize(
    "resource", ["*", "arn:aws:s3:::*", "arn:aws:s3:::buck*/*", ["arn:aws:s3:::bucket/${aws:username}"]]
)
def test_resources(resource: Any) -> None:
    assert len(parse(text({**PUBLIC, "Resource": resource}), "bucket").statements) == 1


def test_an_empty_body() -> None:
    with pytest.raises(errors.MissingRequestBodyError):
        call("PUT", "/bucket?policy", script=[(ReceiveDocument, Document(b" "))])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("principal", [PRINCIPAL, None])
def test_whom_it_allows_everything_does_not_reach_the_policy_itself(method: str, principal: Principal | None) -> None:
    with pytest.raises(errors.MethodNotAllowed):
        call(method, "/bucket?policy", access=Access.GUEST, principal=principal)


def test_each_key_of_delete_objects_is_asked_about() -> None:
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>"
    entry = DeleteEntry("a")

    def ask(key: str, access: Access) -> Step:
        return CheckAccess(PRINCIPAL, "s3:DeleteObject", "bucket", key), access

    script: list[Step] = [
        (ReceiveDocument, Document(body, {"md5": bytes(16)})),
        ask("a", Access.GUEST),
        ask("b", Access.DENIED),
        (DeleteObjects("bucket", (entry,)), (DeleteResult("a"),)),
    ]
    headers = {"content-length": str(len(body)), "content-md5": base64.b64encode(bytes(16)).decode()}
    response = call("POST", "/bucket?delete", headers, script, access=Access.EACH_KEY)
    assert texts(response, "Deleted/Key") == ["a"] and texts(response, "Error/Key") == ["b"]
    assert texts(response, "Error/Code") == ["AccessDenied"]


def test_conditions_see_the_version_of_each_key() -> None:
    body = b"<Delete><Object><Key>a</Key><VersionId>null</VersionId></Object></Delete>"
    headers = {"content-length": str(len(body)), "content-md5": base64.b64encode(bytes(16)).decode()}

    def answer(command: Command[Any]) -> Any:
        if isinstance(command, CheckAccess):
            assert (command.action, command.values()["s3:versionid"]) == ("s3:DeleteObjectVersion", "null")
            return Access.DENIED
        return Document(body, {"md5": bytes(16)})

    asked = request("POST", "/bucket?delete", headers, access=Access.EACH_KEY)
    assert texts(run(delete_objects(asked), answer), "Error/Code") == ["AccessDenied"]


@pytest.mark.parametrize(("method", "look"), [("GET", OpenObject), ("HEAD", HeadObject)])
def test_a_guest_is_not_told_what_is_missing(method: str, look: type) -> None:
    """Unless he may list."""
    missing: Step = (look, errors.NoSuchKey())
    for access, error in ((Access.DENIED, errors.AccessDenied), (Access.GUEST, errors.NoSuchKey)):
        may_list: Step = (CheckAccess(PRINCIPAL, "s3:ListBucket", "bucket"), access)
        with pytest.raises(error):
            call(method, "/bucket/key", script=[missing, may_list], access=Access.GUEST)
