"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl by script."""

from __future__ import annotations

import pytest

from s3proto import acl, errors
from s3proto.commands import CheckAccess, HeadBucket, HeadObject, PutBucketAcl, PutObjectAcl, ReceiveDocument
from s3proto.model import Access, Document, ObjectAttributes, Owner, Principal
from tests.drive import Step
from tests.s3_requests import BUCKET_INFO, OWNER, PRINCIPAL, call, info, texts, tree

BOB = Principal(Owner("b" * 64, "bob"), "AKIABOB")
BUCKET: Step = (HeadBucket("bucket"), BUCKET_INFO)
HEAD = HeadObject("bucket", "key")
MINE: Step = (HEAD, info())
BOBS: Step = (HEAD, info(attributes=ObjectAttributes(acl="bucket-owner-read", owner=BOB.owner)))
EMPTY: Step = (ReceiveDocument, Document(b""))
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def grant(who: str, permission: str, name: str = "ID") -> str:
    return f"<Grant><Grantee><{name}>{who}</{name}></Grantee><Permission>{permission}</Permission></Grant>"


def policy(*grants: str, owner: str = OWNER.id) -> Step:
    text = f"<Owner><ID>{owner}</ID></Owner><AccessControlList>{''.join(grants)}</AccessControlList>"
    return ReceiveDocument, Document(f"<AccessControlPolicy>{text}</AccessControlPolicy>".encode())


MY_OWN = grant(OWNER.id, "FULL_CONTROL")
TO_ALL = grant(acl.ALL_USERS, "READ", "URI")

# ------------------------------------------------------------------------------------------------ telling


@pytest.mark.parametrize("target", ["/bucket?acl", "/bucket/key?acl"])
def test_a_private_acl_names_the_owner(target: str) -> None:
    response = call("GET", target, script=[BUCKET, *([MINE] if "key" in target else [])])
    assert texts(response, "Owner/ID") == texts(response, "AccessControlList/Grant/Grantee/ID") == [OWNER.id]
    assert texts(response, "AccessControlList/Grant/Permission") == ["FULL_CONTROL"]
    grantee = tree(response).find("AccessControlList/Grant/Grantee")
    assert grantee is not None and grantee.attrib == {XSI_TYPE: "CanonicalUser"}


def test_grants_to_groups_are_told() -> None:
    response = call("GET", "/bucket?acl", script=[(BUCKET[0], BUCKET_INFO._replace(acl="public-read-write"))])
    assert texts(response, "AccessControlList/Grant/Grantee/URI") == [acl.ALL_USERS] * 2
    assert texts(response, "AccessControlList/Grant/Permission") == ["READ", "WRITE", "FULL_CONTROL"]
    kinds = [grantee.attrib[XSI_TYPE] for grantee in tree(response).iter("Grantee")]
    assert kinds == ["Group", "Group", "CanonicalUser"]


def test_an_object_of_somebody_else_s() -> None:
    response = call("GET", "/bucket/key?acl", script=[BUCKET, BOBS], principal=BOB, access=Access.OBJECT)
    assert texts(response, "Owner/DisplayName") == ["bob"]
    assert texts(response, "AccessControlList/Grant/Grantee/ID") == [OWNER.id, BOB.owner.id]
    assert texts(response, "AccessControlList/Grant/Permission") == ["READ", "FULL_CONTROL"]
    with pytest.raises(errors.AccessDenied):
        call("GET", "/bucket/key?acl", script=[BUCKET, MINE], principal=BOB, access=Access.OBJECT)


# ----------------------------------------------------------------------------------------------- changing


STILL_MAY: Step = (CheckAccess(PRINCIPAL, "s3:PutBucketAcl", "bucket"), Access.OWNER)


def test_a_document_that_took_long_does_not_reach_a_bucket_of_somebody_else() -> None:
    with pytest.raises(errors.AccessDenied):
        call("PUT", "/bucket?acl", script=[BUCKET, policy(TO_ALL, MY_OWN), (STILL_MAY[0], Access.DENIED)])


@pytest.mark.parametrize("name", acl.OBJECT_ACLS)
def test_canned_acls_are_set(name: str) -> None:
    headers = {"x-amz-acl": name}
    script = [BUCKET, MINE, EMPTY, (PutObjectAcl("bucket", "key", name), None)]
    assert call("PUT", "/bucket/key?acl", headers, script).status == 200
    on_bucket = name if name in acl.BUCKET_ACLS else "private"
    script = [BUCKET, EMPTY, STILL_MAY, (PutBucketAcl("bucket", on_bucket), None)]
    assert call("PUT", "/bucket?acl", headers, script).status == 200


def test_the_owner_of_an_object_is_checked_where_its_acl_is_set() -> None:
    command = PutObjectAcl("bucket", "key", "public-read", "null", BOB.owner)
    script = [BUCKET, (HeadObject("bucket", "key", "null"), BOBS[1]), EMPTY, (command, None)]
    call(
        "PUT",
        "/bucket/key?acl&versionId=null",
        {"x-amz-acl": "public-read"},
        script,
        principal=BOB,
        access=Access.OBJECT,
    )
    with pytest.raises(errors.AccessDenied):
        call("PUT", "/bucket/key?acl", {"x-amz-acl": "private"}, [BUCKET, MINE], principal=BOB, access=Access.OBJECT)


@pytest.mark.parametrize(
    ("grants", "name"),
    [
        ([MY_OWN], "private"),
        ([TO_ALL, MY_OWN], "public-read"),
        ([MY_OWN, TO_ALL, grant(acl.ALL_USERS, "WRITE", "URI")], "public-read-write"),
        ([MY_OWN, grant(acl.AUTHENTICATED_USERS, "READ", "URI"), MY_OWN], "authenticated-read"),
    ],
)
def test_a_policy_that_a_canned_acl_stands_for(grants: list[str], name: str) -> None:
    call("PUT", "/bucket?acl", script=[BUCKET, policy(*grants), STILL_MAY, (PutBucketAcl("bucket", name), None)])


def test_a_policy_that_grants_to_the_bucket_s_owner() -> None:
    given = policy(grant(BOB.owner.id, "FULL_CONTROL"), grant(OWNER.id, "READ"), owner=BOB.owner.id)
    done: Step = (PutObjectAcl("bucket", "key", "bucket-owner-read", None, BOB.owner), None)
    call("PUT", "/bucket/key?acl", script=[BUCKET, BOBS, given, done], principal=BOB, access=Access.OBJECT)


NO_POLICY = b"<AccessControlPolicy>%s</AccessControlPolicy>"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (policy(MY_OWN, grant("b" * 64, "READ")), errors.RequestNotImplemented),
        (policy(MY_OWN, grant(acl.ALL_USERS, "WRITE_ACP", "URI")), errors.RequestNotImplemented),
        (policy(MY_OWN, grant("a@b.example", "READ", "EmailAddress")), errors.RequestNotImplemented),
        (policy(), errors.RequestNotImplemented),
        (policy(MY_OWN, owner="b" * 64), errors.AccessDenied),
        (policy(grant(OWNER.id, "ALL")), errors.MalformedACLError),
        (policy(grant("", "READ")), errors.MalformedACLError),
        (policy("<Grant><Permission>READ</Permission></Grant>"), errors.MalformedACLError),
        ((ReceiveDocument, Document(b"no XML")), errors.MalformedACLError),
        ((ReceiveDocument, Document(b"<Other/>")), errors.MalformedACLError),
        ((ReceiveDocument, Document(NO_POLICY % b"")), errors.MalformedACLError),
        ((ReceiveDocument, Document(NO_POLICY % b"<Owner><ID>i</ID></Owner>")), errors.MalformedACLError),
        (EMPTY, errors.MissingSecurityHeader),
    ],
)
def test_policies_that_are_refused(body: Step, error: type[Exception]) -> None:
    with pytest.raises(error):
        call("PUT", "/bucket?acl", script=[BUCKET, body])


def test_a_policy_and_a_name_at_once() -> None:
    with pytest.raises(errors.UnexpectedContent):
        call("PUT", "/bucket?acl", {"x-amz-acl": "private"}, [BUCKET, policy(MY_OWN)])
