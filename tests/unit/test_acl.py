"""s3proto.acl: grants and what they let somebody do (tests/property/test_access.py has the whole table)."""

from __future__ import annotations

import pytest

from s3proto import acl
from s3proto.model import Access, BucketInfo, ObjectAttributes, Owner, Principal
from s3proto.operations import OPERATIONS

ALICE, BOB = Owner("a" * 64, "alice"), Owner("b" * 64, "bob")
SIGNED = Principal(BOB, "AKIABOB")


def bucket(name: str) -> BucketInfo:
    return BucketInfo("bucket", 0.0, ALICE, acl=name)


def test_grants() -> None:
    assert acl.grants("private", ALICE, ALICE) == (acl.Grant(ALICE, "FULL_CONTROL"),)
    assert acl.grants("bucket-owner-read", ALICE, ALICE) == acl.grants("private", ALICE, ALICE)
    assert acl.grants("bucket-owner-full-control", BOB, ALICE) == (
        acl.Grant(ALICE, "FULL_CONTROL"),
        acl.Grant(BOB, "FULL_CONTROL"),
    )


@pytest.mark.parametrize("name", acl.OBJECT_ACLS)
def test_what_an_acl_grants_names_it(name: str) -> None:
    granted = acl.grants(name, BOB, ALICE)
    wanted = frozenset((who.id if isinstance(who, Owner) else who, permission) for who, permission in granted)
    assert acl.canned(wanted, acl.OBJECT_ACLS, BOB, ALICE) == name
    assert acl.canned(wanted | {("c", "READ")}, acl.OBJECT_ACLS, BOB, ALICE) is None


@pytest.mark.parametrize("action", sorted({row.action for row in OPERATIONS} | {"s3:*", "s3:DeleteObjectVersion"}))
def test_a_private_bucket_lets_nobody_in(action: str) -> None:
    """But for what an object may allow by itself."""
    of_objects = action in ("s3:GetObject", "s3:GetObjectAttributes")
    assert acl.bucket_access(None, action, bucket("private")) is (Access.OBJECT if of_objects else Access.DENIED)
    assert acl.bucket_access(Principal(ALICE, "AKIA"), action, bucket("private")) is Access.OWNER
    assert acl.bucket_access(Principal(BOB, "AKIA", administrator=True), action, bucket("private")) is Access.OWNER


def test_settings_are_the_owner_s_whatever_the_acl() -> None:
    for action in ("s3:GetBucketAcl", "s3:PutBucketAcl", "s3:DeleteBucket", "s3:GetBucketPolicy", "s3:*"):
        assert acl.bucket_access(SIGNED, action, bucket("public-read-write")) is Access.DENIED


def test_an_uploader_reads_his_own() -> None:
    his = ObjectAttributes(owner=BOB)
    assert acl.may_read(SIGNED, his) and acl.is_owner(SIGNED, his)
    assert not acl.may_read(None, his)
    assert not acl.may_read(Principal(Owner("c" * 64, "c"), "AKIAC"), his)
