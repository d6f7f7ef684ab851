"""Canned ACLs: what they grant to whom, and what that lets a caller do.

Rules: pure functions of values, and the only place that knows what an ACL means.  The store asks ``bucket_access``
for CheckAccess; an object's own ACL is looked at by the operation that reads it (``s3proto.auth.reading``), on exactly
the version that it reads.  Grants are those of canned ACLs: no single users, no READ_ACP or WRITE_ACP to others.

A bucket's owner may do everything in it, also with objects that others put there (as if each had the canned ACL
bucket-owner-full-control): so what owners do costs no look at any object.  Reading and changing ACLs is for owners
only.  What the policy of a key denies it is denied before anybody asks here (``s3proto.auth.authorize``).

Follows "Access control list (ACL) overview", "Canned ACL", "Mapping of ACL permissions and access policy permissions"
(Amazon S3 User Guide).
"""

from __future__ import annotations

from typing import NamedTuple

from s3proto.model import PRIVATE, Access, BucketInfo, ObjectAttributes, Owner, Principal

BUCKET_ACLS = (PRIVATE, "public-read", "public-read-write", "authenticated-read")
OBJECT_ACLS = (*BUCKET_ACLS, "bucket-owner-read", "bucket-owner-full-control")
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
READ, WRITE, FULL_CONTROL = "READ", "WRITE", "FULL_CONTROL"
PERMISSIONS = frozenset({READ, WRITE, FULL_CONTROL, "READ_ACP", "WRITE_ACP"})


class Grant(NamedTuple):
    grantee: Owner | str
    """A user, or the URI of a group."""
    permission: str


_TO_GROUPS: dict[str, tuple[Grant, ...]] = {
    "public-read": (Grant(ALL_USERS, READ),),
    "public-read-write": (Grant(ALL_USERS, READ), Grant(ALL_USERS, WRITE)),
    "authenticated-read": (Grant(AUTHENTICATED_USERS, READ),),
}
_TO_BUCKET_OWNER = {"bucket-owner-read": READ, "bucket-owner-full-control": FULL_CONTROL}

_ON_BUCKETS = {
    "s3:ListBucket": READ,
    "s3:ListBucketVersions": READ,
    "s3:ListBucketMultipartUploads": READ,
    "s3:PutObject": WRITE,
    "s3:DeleteObject": WRITE,
    "s3:AbortMultipartUpload": WRITE,
    "s3:ListMultipartUploadParts": WRITE,
}
"""Actions that a bucket's ACL can grant."""
_READS_OBJECTS = frozenset(
    {"s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"}
)
_OF_OBJECT_OWNERS = frozenset(
    {"s3:GetObjectAcl", "s3:GetObjectVersionAcl", "s3:PutObjectAcl", "s3:PutObjectVersionAcl"}
)


def bucket_access(principal: Principal | None, action: str, bucket: BucketInfo) -> Access:
    """Tell how far ``principal`` (None: anonymous) gets with ``action`` on a bucket or on an object in it."""
    if principal is not None:
        if principal.administrator or principal.owner.id == bucket.owner.id:
            return Access.OWNER
    if (permission := _ON_BUCKETS.get(action)) is not None:
        return Access.GUEST if _reaches(bucket.acl, permission, principal) else Access.DENIED
    if action in _READS_OBJECTS or principal is not None and action in _OF_OBJECT_OWNERS:
        return Access.OBJECT
    return Access.DENIED


def may_read(principal: Principal | None, attributes: ObjectAttributes) -> bool:
    """Tell whether an object's ACL lets somebody read it who is not the bucket's owner."""
    return is_owner(principal, attributes) or _reaches(attributes.acl, READ, principal)


def is_owner(principal: Principal | None, attributes: ObjectAttributes) -> bool:
    """Tell whether an object belongs to somebody who is not the bucket's owner."""
    owner = attributes.owner
    return principal is not None and owner is not None and principal.owner.id == owner.id


def _reaches(acl: str, permission: str, principal: Principal | None) -> bool:
    groups = (ALL_USERS,) if principal is None else (ALL_USERS, AUTHENTICATED_USERS)
    return any(grant.permission == permission and grant.grantee in groups for grant in _TO_GROUPS.get(acl, ()))


def grants(acl: str, owner: Owner, bucket_owner: Owner) -> tuple[Grant, ...]:
    """Return what a canned ACL grants.  ``owner``: of the bucket or object that has it."""
    permission = _TO_BUCKET_OWNER.get(acl)
    to_bucket_owner = (Grant(bucket_owner, permission),) if permission and bucket_owner.id != owner.id else ()
    return (*_TO_GROUPS.get(acl, ()), *to_bucket_owner, Grant(owner, FULL_CONTROL))


def canned(wanted: frozenset[tuple[str, str]], among: tuple[str, ...], owner: Owner, bucket_owner: Owner) -> str | None:
    """Return the first ACL ``among`` these that grants exactly what is ``wanted``, None when there is none.

    ``wanted``: (id of a user or URI of a group, permission).
    """
    for acl in among:
        found = grants(acl, owner, bucket_owner)
        if wanted == {(who.id if isinstance(who, Owner) else who, permission) for who, permission in found}:
            return acl
    return None
