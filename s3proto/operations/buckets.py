"""Operations on buckets: making, asking, deleting, listing what they hold.

Follows "CreateBucket", "HeadBucket", "DeleteBucket", "GetBucketLocation", "ListObjects", "ListObjectsV2",
"ListObjectVersions", "DeleteObjects" (Amazon S3 API Reference).
"""

from __future__ import annotations

import re

from s3proto import checksums, commands, conditions, listing, metadata, xml
from s3proto.auth import authorize, of_version, permitted
from s3proto.commands import Steps
from s3proto.errors import (
    AccessDenied,
    BucketAlreadyOwnedByYou,
    IllegalLocationConstraintException,
    InternalError,
    InvalidArgument,
    InvalidLocationConstraint,
    InvalidRequest,
    KeyTooLongError,
    MalformedXML,
    NoSuchBucket,
    OperationAborted,
    RequestNotImplemented,
    S3Error,
)
from s3proto.http import Response
from s3proto.model import Access, DeleteEntry, DeleteResult
from s3proto.names import check_bucket_name, check_key
from s3proto.operations.acls import bucket_acl
from s3proto.operations.bodies import receive_document
from s3proto.operations.operation import BUCKET, Operation
from s3proto.operations.responses import XML_TYPE, document_response, xml_response
from s3proto.request import S3Request, parse_date

MAX_DELETED = 1000
"""Keys of one DeleteObjects."""
_MAX_CONFIGURATION = 64 * 1024
_REGION = re.compile("EU|[a-z]{2}(?:-[a-z]+)+-[0-9]")
"""What can be a region of somebody's."""
_OWNERSHIPS = frozenset({"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"})

_ATTEMPTS = 3
"""To create a bucket that others delete and create at the same time."""

# ------------------------------------------------------------------------------------------------ buckets


def create_bucket(request: S3Request) -> Steps[Response]:
    check_bucket_name(request.bucket)
    headers = request.headers
    if (headers.get("x-amz-bucket-object-lock-enabled") or "").lower() == "true":
        raise RequestNotImplemented(Header="x-amz-bucket-object-lock-enabled")
    ownership = headers.get("x-amz-object-ownership")
    if ownership is not None and ownership not in _OWNERSHIPS:
        raise InvalidArgument(ArgumentName="x-amz-object-ownership", ArgumentValue=ownership)
    region = request.settings.region
    declared = checksums.declared(headers)
    _check_configuration((yield from receive_document(request, limit=_MAX_CONFIGURATION, declared=declared)), region)
    acl = bucket_acl(metadata.parse_acl(headers))
    for _ in range(_ATTEMPTS):
        try:
            yield from commands.CreateBucket(request.bucket, request.principal.owner, acl)
        except BucketAlreadyOwnedByYou:
            if region != "us-east-1":
                raise
            try:
                # AWS: the same request again resets the ACL.  Of a bucket that exists its policy decides who may.
                yield from authorize(request.identity, "s3:PutBucketAcl", request.bucket)
                yield from commands.PutBucketAcl(request.bucket, acl)
            except NoSuchBucket:
                continue  # deleted between the two
        return Response(200, [("Location", f"/{request.bucket}")])
    raise OperationAborted(BucketName=request.bucket)


def _check_configuration(body: bytes, region: str) -> None:
    """Refuse what CreateBucketConfiguration asks for and a gateway of one region has not.

    A request without a location is taken in any region: clients of a gateway seldom name one.
    """
    if not body.strip():
        return
    root = xml.parse(body, "CreateBucketConfiguration", max_bytes=_MAX_CONFIGURATION)
    if unsupported := next((e for e in root.children if e.name in ("Location", "Bucket", "Tags") and e.children), None):
        raise RequestNotImplemented(Element=unsupported.name)
    constraint = root.get("LocationConstraint")
    if constraint and constraint != region and not (constraint == "EU" and region == "eu-west-1"):
        if not _REGION.fullmatch(constraint):
            raise InvalidLocationConstraint(LocationConstraint=constraint)
        raise IllegalLocationConstraintException(
            f"The {constraint} location constraint is incompatible for the region specific endpoint this request was "
            "sent to."
        )


def head_bucket(request: S3Request) -> Steps[Response]:
    info = yield from commands.HeadBucket(request.bucket)
    return Response(200, [XML_TYPE, ("x-amz-bucket-region", info.region), ("x-amz-access-point-alias", "false")])


def delete_bucket(request: S3Request) -> Steps[Response]:
    yield from commands.DeleteBucket(request.bucket)
    return Response(204)


def get_bucket_location(request: S3Request) -> Steps[Response]:
    info = yield from commands.HeadBucket(request.bucket)
    # us-east-1 is older than the element: it is the empty one.
    return document_response(xml.leaf("LocationConstraint", "" if info.region == "us-east-1" else info.region))


# ----------------------------------------------------------------------------------------------- listings


def list_objects(request: S3Request) -> Steps[Response]:
    if (list_type := request.query.get("list-type")) is not None:
        raise InvalidArgument("Invalid List Type specified", ArgumentName="list-type", ArgumentValue=list_type)
    wanted = listing.parse(request.query)
    marker = request.query.get("marker", "")
    bucket = yield from commands.HeadBucket(request.bucket)
    page = listing.EMPTY_PAGE
    if wanted.limit:
        page = yield from commands.ListObjects(request.bucket, wanted.prefix, wanted.delimiter, marker, wanted.limit)
    return document_response(listing.objects_v1(request.bucket, wanted, marker, page, bucket.owner))


def list_objects_v2(request: S3Request) -> Steps[Response]:
    query = request.query
    wanted = listing.parse(query)
    token, start_after = query.get("continuation-token"), query.get("start-after")
    after = listing.read_token(token) if token else start_after or ""
    owner = None
    if query.get("fetch-owner") == "true":
        owner = (yield from commands.HeadBucket(request.bucket)).owner
    page = listing.EMPTY_PAGE
    if wanted.limit:
        page = yield from commands.ListObjects(request.bucket, wanted.prefix, wanted.delimiter, after, wanted.limit)
    return document_response(listing.objects_v2(request.bucket, wanted, token, start_after, page, owner))


def list_object_versions(request: S3Request) -> Steps[Response]:
    query = request.query
    wanted = listing.parse(query)
    key_marker, version_id_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
    if version_id_marker and not key_marker:
        raise InvalidArgument(
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
            ArgumentValue=version_id_marker,
        )
    bucket = yield from commands.HeadBucket(request.bucket)
    page = listing.EMPTY_PAGE
    if wanted.limit:
        # Each key has one version: past any version of the marker is past its key.
        page = yield from commands.ListObjects(
            request.bucket, wanted.prefix, wanted.delimiter, key_marker, wanted.limit
        )
    return document_response(
        listing.object_versions(request.bucket, wanted, key_marker, version_id_marker, page, bucket.owner)
    )


# ------------------------------------------------------------------------------------------ DeleteObjects


def delete_objects(request: S3Request) -> Steps[Response]:
    limit = request.settings.max_document
    declared = checksums.declared(request.headers)
    if declared is None and "content-md5" not in request.headers:
        raise InvalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    body = yield from receive_document(request, limit=limit, declared=declared)
    root = xml.parse(body, "Delete", max_bytes=limit, max_elements=10 * MAX_DELETED)
    entries = [_delete_entry(element) for element in root.all("Object")]
    if not 1 <= len(entries) <= MAX_DELETED:
        raise MalformedXML
    quiet = (root.get("Quiet") or "").strip().lower() == "true"
    refused: dict[DeleteEntry, S3Error] = {}
    for entry in entries:
        if (error := (yield from _key_error(request, entry))) is not None:
            refused[entry] = error
    asked = tuple(entry for entry in entries if entry not in refused)
    results: list[DeleteResult] = [DeleteResult(entry.key, entry.version_id, refused[entry]) for entry in refused]
    if asked:
        results.extend((yield from commands.DeleteObjects(request.bucket, asked)))
    return xml_response(
        "DeleteResult",
        [_delete_result(result) for result in results if not quiet or result.error is not None],
    )


def _delete_entry(element: xml.Element) -> DeleteEntry:
    etag, size, modified = (element.get(name) for name in ("ETag", "Size", "LastModifiedTime"))
    return DeleteEntry(
        key=element.require("Key"),
        version_id=element.get("VersionId") or None,
        if_match=conditions.bare_etag(etag) if etag else None,
        if_size=_size(size) if size else None,
        if_modified=_time(modified) if modified else None,
    )


def _key_error(request: S3Request, entry: DeleteEntry) -> Steps[S3Error | None]:
    action = of_version("s3:DeleteObject", entry.version_id)
    said = {"s3:versionid": entry.version_id} if entry.version_id else {}
    try:
        check_key(entry.key)
        if request.access is Access.EACH_KEY:
            yield from authorize(request.identity, action, request.bucket, entry.key, said=said)
    except (KeyTooLongError, AccessDenied) as error:
        return error
    return None if permitted(request.identity, action, request.bucket, entry.key, said) else AccessDenied()


def _size(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise MalformedXML
    return int(text)


def _time(text: str) -> float:
    text = text.strip()
    if (seconds := parse_date(text)) is None:
        raise MalformedXML
    return seconds


def _delete_result(result: DeleteResult) -> xml.Node:
    version = ("VersionId", result.version_id) if result.version_id else None
    if result.error is None:
        return "Deleted", (("Key", result.key), version)
    error = result.error if isinstance(result.error, S3Error) else InternalError()
    return "Error", (("Key", result.key), version, ("Code", error.code), ("Message", error.detail))


# fmt: off
OPERATIONS = (
    Operation("CreateBucket",       "PUT",    BUCKET, "s3:CreateBucket",       create_bucket),
    Operation("HeadBucket",         "HEAD",   BUCKET, "s3:ListBucket",         head_bucket),
    Operation("DeleteBucket",       "DELETE", BUCKET, "s3:DeleteBucket",       delete_bucket),
    Operation("GetBucketLocation",  "GET",    BUCKET, "s3:GetBucketLocation",  get_bucket_location,  query=("location",)),
    Operation("ListObjects",        "GET",    BUCKET, "s3:ListBucket",         list_objects,         accepts=("list-type",)),
    Operation("ListObjectsV2",      "GET",    BUCKET, "s3:ListBucket",         list_objects_v2,      query=("list-type=2",)),
    Operation("ListObjectVersions", "GET",    BUCKET, "s3:ListBucketVersions", list_object_versions, query=("versions",)),
    Operation("DeleteObjects",      "POST",   BUCKET, "s3:DeleteObject",       delete_objects,       query=("delete",)),
)
# fmt: on
