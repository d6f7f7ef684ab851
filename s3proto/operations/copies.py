"""CopyObject and UploadPartCopy: the one source they share, and what becomes of it.

Rules: the caller must be allowed to read the source; the source is opened first, so that what is checked is what
is copied.  From AllowEarlyHead on, an error is told inside a 200 answer, as on AWS.

Follows "CopyObject", "UploadPartCopy" (Amazon S3 API Reference).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from s3proto import checksums, commands, conditions, metadata, ranges, tagging
from s3proto.auth import authorize, of_version, reading
from s3proto.commands import Steps
from s3proto.dates import iso_date
from s3proto.errors import AccessDenied, InvalidArgument, InvalidRequest
from s3proto.http import Response
from s3proto.model import Access, ObjectAttributes, OpenedObject
from s3proto.names import parse_copy_source
from s3proto.operations import conditional
from s3proto.operations.multipart import head_open_upload
from s3proto.operations.operation import OBJECT, Operation
from s3proto.operations.responses import XML_TYPE, Pairs, version_header, xml_response
from s3proto.request import S3Request

_DIRECTIVES = ("COPY", "REPLACE")


def copy_object(request: S3Request) -> Steps[Response]:
    headers, bucket, key = request.headers, request.bucket, request.key
    if request.identity.principal is None:
        raise AccessDenied("Anonymous users cannot copy objects.  Please authenticate.")
    replaces = _directive(request, "x-amz-metadata-directive")
    tags = tagging.parse_header(headers.get(tagging.HEADER)) if _directive(request, "x-amz-tagging-directive") else None
    condition = conditions.parse_write(headers)
    given = metadata.parse_attributes(headers, request.writer) if replaces else None
    wanted = headers.get("x-amz-checksum-algorithm")
    algorithm = checksums.algorithm(wanted).name if wanted else None
    named = _source(request)
    source = yield from _open_source(request, named)
    attributes = given or metadata.copied_attributes(source.info.attributes, headers, request.writer)
    if tags is None:
        tags = source.info.attributes.tags
        if tags:
            yield from _may_copy_tags(request, named)
    attributes = replace(attributes, tags=tags)
    if named == _Source(bucket, key, None) and not replaces and not wanted:
        _refuse_pointless(request, source.info.attributes)
    if algorithm is None and source.info.checksums.type == checksums.COMPOSITE and source.info.checksums.values:
        algorithm = source.info.checksums.values[0][0]  # the copy has no parts, so no composite of them
    yield from conditional.refuse_hopeless(condition, bucket, key)
    yield from commands.AllowEarlyHead((XML_TYPE, *request.to_browsers))
    info = yield from conditional.publish(
        condition,
        bucket,
        key,
        lambda guard: commands.CopyObject(
            source,
            bucket,
            key,
            attributes,
            algorithm,
            if_match=guard.if_match,
            if_none_match=guard.if_none_match,
        ),
    )
    return xml_response(
        "CopyObjectResult",
        [
            ("LastModified", iso_date(info.last_modified)),
            ("ETag", f'"{info.etag}"'),
            *checksums.elements(info.checksums.values, info.checksums.type),
        ],
        [*_source_version(source), *version_header(info.version_id)],
    )


def upload_part_copy(request: S3Request) -> Steps[Response]:
    number = ranges.part_number(request.query["partNumber"])
    named = _source(request)
    upload = yield from head_open_upload(request)
    source = yield from _open_source(request, named)
    first, length = ranges.resolve_copy_source(request.headers.get("x-amz-copy-source-range"), source.info.size)
    yield from commands.AllowEarlyHead((XML_TYPE, *request.to_browsers))
    part = yield from commands.UploadPartCopy(
        request.bucket, request.key, upload.upload_id, number, source, first, length, upload.checksum_algorithm
    )
    return xml_response(
        "CopyPartResult",
        [
            ("LastModified", iso_date(part.last_modified)),
            ("ETag", f'"{part.etag}"'),
            *checksums.elements(part.checksums),
        ],
        _source_version(source),
    )


class _Source(NamedTuple):
    """What x-amz-copy-source names."""

    bucket: str
    key: str
    version_id: str | None


def _source(request: S3Request) -> _Source:
    return _Source(*parse_copy_source(request.headers.get("x-amz-copy-source") or ""))


def _open_source(request: S3Request, source: _Source) -> Steps[OpenedObject]:
    """Open the source of a copy, if the caller may read it and its conditions hold."""
    access = yield from _authorize_source(request, source, "s3:GetObject")
    opened = yield from reading(request.identity, access, source.bucket, commands.OpenObject(*source))
    conditions.check_copy_source(request.headers, opened.info)
    return opened


def _authorize_source(request: S3Request, source: _Source, action: str) -> Steps[Access]:
    bucket, key, version_id = source
    said = {} if version_id is None else {"s3:versionid": version_id}
    header = "x-amz-source-expected-bucket-owner"
    action = of_version(action, version_id)
    return (yield from authorize(request.identity, action, bucket, key, owner_header=header, said=said))


def _directive(request: S3Request, name: str) -> bool:
    """Return True for REPLACE, False for COPY.  Raises InvalidArgument."""
    value = request.headers.get(name) or "COPY"
    if value not in _DIRECTIVES:
        raise InvalidArgument("Unknown directive.", ArgumentName=name, ArgumentValue=value)
    return value == "REPLACE"


def _may_copy_tags(request: S3Request, source: _Source) -> Steps[None]:
    """Require what reading the source's tags and giving them to the copy takes.  Raises AccessDenied."""
    yield from authorize(request.identity, "s3:PutObject", request.bucket, request.key, tags=True)
    yield from _authorize_source(request, source, "s3:GetObjectTagging")


def _refuse_pointless(request: S3Request, source: ObjectAttributes) -> None:
    headers = request.headers
    same_class = headers.get("x-amz-storage-class", source.storage_class) == source.storage_class
    if same_class and "x-amz-website-redirect-location" not in headers:
        raise InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )


def _source_version(source: OpenedObject) -> Pairs:
    return version_header(source.info.version_id, "x-amz-copy-source-version-id")


# fmt: off
OPERATIONS = (
    Operation("CopyObject",     "PUT", OBJECT, "s3:PutObject", copy_object,      header="x-amz-copy-source"),
    Operation("UploadPartCopy", "PUT", OBJECT, "s3:PutObject", upload_part_copy, query=("partNumber", "uploadId"), header="x-amz-copy-source"),
)
# fmt: on
