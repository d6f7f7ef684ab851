"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl.

Rules: an ACL is one of the canned ones.  It is given by name (x-amz-acl), or as an AccessControlPolicy that grants just
what one of them does; what grants anything else is NotImplemented, so that nobody believes in a grant that does not
hold.  The owner in a policy must be the owner: an object is given to nobody by its ACL.

Follows the pages of these operations (Amazon S3 API Reference).
"""

from __future__ import annotations

from typing import NamedTuple

from s3proto import acl, checksums, commands, xml
from s3proto.auth import authorize, reading
from s3proto.commands import Steps
from s3proto.errors import (
    AccessDenied,
    MalformedACLError,
    MalformedXML,
    MissingSecurityHeader,
    RequestNotImplemented,
    UnexpectedContent,
)
from s3proto.http import Response
from s3proto.model import PRIVATE, Access, Owner
from s3proto.operations.bodies import receive_document
from s3proto.operations.operation import BUCKET, OBJECT, Operation
from s3proto.operations.responses import owner_element, version_header, xml_response
from s3proto.request import S3Request

_MAX_POLICY = 64 * 1024
_GRANTEE = 'Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{}"'


class _Subject(NamedTuple):
    """The bucket or object that a request is about."""

    acl: str
    owner: Owner
    bucket_owner: Owner
    version_id: str | None = None


def get_acl(request: S3Request) -> Steps[Response]:
    subject = yield from _subject(request)
    granted = acl.grants(subject.acl, subject.owner, subject.bucket_owner)
    return xml_response(
        "AccessControlPolicy",
        [owner_element("Owner", subject.owner), ("AccessControlList", [_grant_element(grant) for grant in granted])],
        version_header(subject.version_id),
    )


def put_bucket_acl(request: S3Request) -> Steps[Response]:
    subject = yield from _subject(request)
    wanted = yield from _wanted(request, subject, acl.BUCKET_ACLS)
    # A document may take long to come, and the bucket be deleted and made by somebody else meanwhile.
    yield from authorize(request.identity, "s3:PutBucketAcl", request.bucket)
    yield from commands.PutBucketAcl(request.bucket, bucket_acl(wanted))
    return Response(200)


def put_object_acl(request: S3Request) -> Steps[Response]:
    subject = yield from _subject(request)
    wanted = yield from _wanted(request, subject, acl.OBJECT_ACLS)
    owner = subject.owner if request.access is Access.OBJECT else None
    yield from commands.PutObjectAcl(request.bucket, request.key, wanted, request.version_id, owner)
    return Response(200, version_header(subject.version_id))


def bucket_acl(name: str) -> str:
    """Return the canned ACL that a bucket gets; those for objects only are ignored on buckets, as on AWS."""
    return name if name in acl.BUCKET_ACLS else PRIVATE


def _subject(request: S3Request) -> Steps[_Subject]:
    bucket = yield from commands.HeadBucket(request.bucket)
    if not request.key:
        return _Subject(bucket.acl, bucket.owner, bucket.owner)
    look = commands.HeadObject(request.bucket, request.key, request.version_id)
    info = yield from reading(request.identity, request.access, request.bucket, look, acl.is_owner)
    return _Subject(info.attributes.acl, info.attributes.owner or bucket.owner, bucket.owner, info.version_id)


def _grant_element(grant: acl.Grant) -> xml.Node:
    who: xml.Node
    if isinstance(grant.grantee, Owner):
        who = owner_element(_GRANTEE.format("CanonicalUser"), grant.grantee)
    else:
        who = _GRANTEE.format("Group"), (("URI", grant.grantee),)
    return "Grant", (who, ("Permission", grant.permission))


def _wanted(request: S3Request, subject: _Subject, among: tuple[str, ...]) -> Steps[str]:
    """Return the canned ACL that the request names or describes."""
    declared = checksums.declared(request.headers)
    document = yield from receive_document(request, limit=_MAX_POLICY, declared=declared)
    name = request.headers.get("x-amz-acl")
    if not document.strip():
        if name is None:
            raise MissingSecurityHeader(MissingHeaderName="x-amz-acl")
        return name
    if name is not None:
        raise UnexpectedContent
    owner_id, wanted = _parse(document)
    if owner_id != subject.owner.id:
        raise AccessDenied
    if (found := acl.canned(wanted, among, subject.owner, subject.bucket_owner)) is None:
        raise RequestNotImplemented("Only grants that a canned ACL stands for are implemented.")
    return found


def _parse(document: bytes) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return the owner's id, and (grantee, permission) of every grant.  Raises MalformedACLError."""
    try:
        root = xml.parse(document, "AccessControlPolicy", max_bytes=_MAX_POLICY)
        owner = _only(root, "Owner").require("ID")
        return owner, frozenset(_parse_grant(grant) for grant in _only(root, "AccessControlList").all("Grant"))
    except MalformedXML:
        raise MalformedACLError from None


def _parse_grant(grant: xml.Element) -> tuple[str, str]:
    grantee, permission = _only(grant, "Grantee"), grant.require("Permission")
    who = grantee.get("ID") or grantee.get("URI") or grantee.get("EmailAddress")
    if not who or permission not in acl.PERMISSIONS:
        raise MalformedXML
    return who, permission


def _only(parent: xml.Element, name: str) -> xml.Element:
    match list(parent.all(name)):
        case [element]:
            return element
    raise MalformedXML


# fmt: off
OPERATIONS = (
    Operation("GetBucketAcl", "GET", BUCKET, "s3:GetBucketAcl", get_acl,        query=("acl",)),
    Operation("PutBucketAcl", "PUT", BUCKET, "s3:PutBucketAcl", put_bucket_acl, query=("acl",)),
    Operation("GetObjectAcl", "GET", OBJECT, "s3:GetObjectAcl", get_acl,        query=("acl",), accepts=("versionId",)),
    Operation("PutObjectAcl", "PUT", OBJECT, "s3:PutObjectAcl", put_object_acl, query=("acl",), accepts=("versionId",)),
)
# fmt: on
