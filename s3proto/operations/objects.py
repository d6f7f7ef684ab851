"""Operations on objects: reading, telling, writing, deleting.

Follows "GetObject", "HeadObject", "GetObjectAttributes", "PutObject", "DeleteObject" (Amazon S3 API Reference).
"""

from __future__ import annotations

from dataclasses import dataclass

from s3proto import checksums, commands, conditions, metadata, ranges
from s3proto.auth import authorize, of_version, reading
from s3proto.commands import BodyTarget, Steps
from s3proto.dates import http_date
from s3proto.errors import AccessDenied, InvalidArgument, InvalidRequest, NotModified, RequestNotImplemented, S3Error
from s3proto.http import Response, Span
from s3proto.model import DeleteEntry, ObjectInfo
from s3proto.operations import conditional
from s3proto.operations.bodies import receive_object
from s3proto.operations.operation import OBJECT, Operation
from s3proto.operations.responses import Pairs, version_header, xml_response
from s3proto.request import S3Request, parse_date, whole_number
from s3proto.xml import Node

# ------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True, slots=True)
class _Read:
    """What GET or HEAD answers: bytes ``first .. first+length-1`` under these headers."""

    status: int
    headers: Pairs
    first: int
    length: int


def get_object(request: S3Request) -> Steps[Response]:
    number = _check_read_request(request)
    look = commands.OpenObject(request.bucket, request.key, request.version_id, with_parts=number is not None)
    opened = yield from reading(request.identity, request.access, request.bucket, look)
    read = _read(request, opened.info, number)
    count = yield from _tag_count(request, opened.info)
    return Response(read.status, [*read.headers, *count], Span(opened.content, read.first, read.length))


def head_object(request: S3Request) -> Steps[Response]:
    number = _check_read_request(request)
    look = commands.HeadObject(request.bucket, request.key, request.version_id, with_parts=number is not None)
    info = yield from reading(request.identity, request.access, request.bucket, look)
    read = _read(request, info, number)
    count = yield from _tag_count(request, info)
    return Response(read.status, [*read.headers, *count, ("Content-Length", str(read.length))])


def _check_read_request(request: S3Request) -> int | None:
    """Refuse what needs no object to be refused; return the part number asked for."""
    if metadata.has_overrides(request.query) and request.identity.principal is None:
        raise InvalidRequest("Request specific response headers cannot be used for anonymous GET requests.")
    if (text := request.query.get("partNumber")) is None:
        return None
    if "range" in request.headers:
        raise InvalidRequest("Cannot specify both Range header and partNumber query parameter")
    return ranges.part_number(text)


def _read(request: S3Request, info: ObjectInfo, number: int | None) -> _Read:
    headers = request.headers
    try:
        conditions.check_read(headers, info)
    except NotModified as error:
        error.headers.extend(metadata.not_modified_headers(info))
        raise
    found = metadata.overridden(metadata.object_headers(info), request.query)
    part = None
    if number is not None:
        first, length, part = ranges.locate_part(info, number)
        piece: tuple[int, int] | None = (first, length)
        if info.parts is not None:
            found.append(("x-amz-mp-parts-count", str(len(info.parts))))
    else:
        piece = None
        if conditions.range_applies(headers, info):
            piece = ranges.resolve(headers.get("range"), info.size)
    # The checksum of a whole must not stand beside a piece: clients would compare it with what they get.
    if (headers.get("x-amz-checksum-mode") or "").upper() == "ENABLED" and (piece is None or number is not None):
        found.extend(checksums.headers(checksums.of_piece(info, part)))
    if piece is None or piece[1] == 0:
        return _Read(200, found, 0, 0 if piece else info.size)
    found.append(("Content-Range", ranges.content_range(*piece, info.size)))
    return _Read(206, found, *piece)


def _tag_count(request: S3Request, info: ObjectInfo) -> Steps[Pairs]:
    """Tell how many tags there are, as AWS does, only those who may read them."""
    if not info.attributes.tags:
        return []
    action = of_version("s3:GetObjectTagging", request.version_id)
    try:
        yield from authorize(request.identity, action, request.bucket, request.key)
    except AccessDenied:
        return []
    return [("x-amz-tagging-count", str(len(info.attributes.tags)))]


_ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
_MAX_PARTS = 1000


def get_object_attributes(request: S3Request) -> Steps[Response]:
    names = request.headers.joined("x-amz-object-attributes")
    if not names:
        raise InvalidRequest(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"
        )
    wanted = {name.strip() for name in names.split(",")}
    if not wanted <= _ATTRIBUTES:
        raise InvalidArgument(
            "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes", ArgumentValue=names
        )
    limit = whole_number(request.headers.get("x-amz-max-parts"), "max-parts", default=_MAX_PARTS, most=_MAX_PARTS)
    name = "part-number-marker"
    after = whole_number(request.headers.get(f"x-amz-{name}"), name, default=0, most=ranges.MAX_PART_NUMBER)
    look = commands.HeadObject(request.bucket, request.key, request.version_id, with_parts="ObjectParts" in wanted)
    info = yield from reading(request.identity, request.access, request.bucket, look)
    conditions.check_read(request.headers, info)
    sums = checksums.elements(info.checksums.values, info.checksums.type)
    content: dict[str, Node | None] = {
        "ETag": ("ETag", info.etag),
        "Checksum": ("Checksum", sums) if sums else None,
        "ObjectParts": _parts_element(info, after, limit),
        "StorageClass": ("StorageClass", info.attributes.storage_class),
        "ObjectSize": ("ObjectSize", info.size),
    }
    return xml_response(
        "GetObjectAttributesResponse",
        [node for name, node in content.items() if name in wanted],
        [("Last-Modified", http_date(info.last_modified)), *version_header(info.version_id)],
    )


def _parts_element(info: ObjectInfo, after: int, limit: int) -> Node | None:
    if info.parts is None:
        return None
    remaining = [part for part in info.parts if part.number > after]
    shown = remaining[:limit]
    rows: list[Node] = [
        (
            "Part",
            (*checksums.elements(part.checksums), ("PartNumber", part.number), ("Size", part.size)),
        )
        for part in shown
    ]
    return "ObjectParts", [
        ("PartsCount", len(info.parts)),
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", shown[-1].number if shown else after),
        ("MaxParts", limit),
        ("IsTruncated", len(shown) < len(remaining)),
        *rows,
    ]


# ------------------------------------------------------------------------------------------------ writing


def put_object(request: S3Request) -> Steps[Response]:
    return Response(200, (yield from store_object(request)))


def store_object(request: S3Request) -> Steps[Pairs]:
    """Receive and publish an object; answer the headers that tell of it, ETag first."""
    bucket, key = request.bucket, request.key
    if "content-range" in request.headers:  # a part of the object, as in `curl -C`: never to be taken for the whole
        raise RequestNotImplemented(Header="Content-Range")
    attributes = metadata.parse_attributes(request.headers, request.writer)
    declared = checksums.declared(request.headers)
    condition = conditions.parse_write(request.headers)
    yield from conditional.refuse_hopeless(condition, bucket, key)
    body = yield from receive_object(request, BodyTarget(bucket, key), declared)
    info = yield from conditional.publish(
        condition,
        bucket,
        key,
        lambda guard: commands.PutObject(
            bucket,
            key,
            body.received.content,
            body.etag,
            attributes,
            body.checksums,
            if_match=guard.if_match,
            if_none_match=guard.if_none_match,
        ),
    )
    return [("ETag", f'"{info.etag}"'), *checksums.headers(body.checksums), *version_header(info.version_id)]


def delete_object(request: S3Request) -> Steps[Response]:
    headers = request.headers
    if_match = headers.joined("if-match")
    size = headers.get("x-amz-if-match-size")
    entry = DeleteEntry(
        request.key,
        request.version_id,
        if_match=None if if_match is None else conditions.bare_etag(if_match),
        if_size=None if size is None else whole_size(size, "x-amz-if-match-size"),
        if_modified=_if_modified(headers.get("x-amz-if-match-last-modified-time")),
    )
    result = yield from commands.DeleteObject(request.bucket, entry)
    if isinstance(result.error, S3Error):
        raise result.error
    return Response(204, version_header(result.version_id))


def whole_size(text: str, name: str) -> int:
    """Return a header's number of bytes.  Raises InvalidArgument."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise InvalidArgument(ArgumentName=name, ArgumentValue=text)
    return int(text)


def _if_modified(value: str | None) -> float | None:
    if value is None:
        return None
    if (seconds := parse_date(value)) is None:
        raise InvalidArgument(ArgumentName="x-amz-if-match-last-modified-time", ArgumentValue=value)
    return seconds


# fmt: off
OPERATIONS = (
    Operation("GetObject",           "GET",    OBJECT, "s3:GetObject",           get_object,    accepts=("partNumber", "versionId")),
    Operation("HeadObject",          "HEAD",   OBJECT, "s3:GetObject",           head_object,   accepts=("partNumber", "versionId")),
    Operation("GetObjectAttributes", "GET",    OBJECT, "s3:GetObjectAttributes", get_object_attributes, query=("attributes",), accepts=("versionId",)),
    Operation("PutObject",           "PUT",    OBJECT, "s3:PutObject",           put_object),
    Operation("DeleteObject",        "DELETE", OBJECT, "s3:DeleteObject",        delete_object, accepts=("versionId",)),
)
# fmt: on
