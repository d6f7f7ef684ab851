"""Operations on multipart uploads.

Rules: an upload that was completed is gone for everything but a repeat of CompleteMultipartUpload, which is answered
from the record and changes nothing.  The core chooses and checks the parts; the store joins exactly those or fails.

Follows "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts",
"ListMultipartUploads" (Amazon S3 API Reference), "Amazon S3 multipart upload limits" (User Guide).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from s3proto import checksums, commands, conditions, listing, metadata, ranges, xml
from s3proto.checksums import ALGORITHMS, Algorithm
from s3proto.commands import BodyTarget, Steps
from s3proto.errors import (
    AccessDenied,
    BadDigest,
    ConditionalRequestConflict,
    EntityTooLarge,
    EntityTooSmall,
    InternalError,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    MalformedXML,
    NoSuchUpload,
    PreconditionFailed,
)
from s3proto.http import Response
from s3proto.model import NO_CHECKSUMS, Access, Checksums, Completed, Part, Upload
from s3proto.operations import conditional
from s3proto.operations.bodies import receive_document, receive_object
from s3proto.operations.operation import BUCKET, OBJECT, Operation
from s3proto.operations.responses import XML_TYPE, Pairs, document_response, version_header, xml_response
from s3proto.request import S3Request, parse_date, whole_number

MAX_PARTS = 10_000

# ------------------------------------------------------------------------------------------ begin and fill


def create_multipart_upload(request: S3Request) -> Steps[Response]:
    headers = request.headers
    if request.identity.principal is None:
        raise AccessDenied("Anonymous users cannot initiate multipart uploads.  Please authenticate.")
    attributes = metadata.parse_attributes(headers, request.writer)
    name, type_ = headers.get("x-amz-checksum-algorithm"), headers.get("x-amz-checksum-type")
    if name:
        row = checksums.algorithm(name)
        name, type_ = row.name, checksums.upload_type(row, type_)
    elif type_:
        raise InvalidRequest(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )
    upload_id = yield from commands.CreateMultipartUpload(
        request.bucket, request.key, request.principal.owner, attributes, name or None, type_ or None
    )
    told: Pairs = [("x-amz-checksum-algorithm", name), ("x-amz-checksum-type", type_)] if name and type_ else []
    return xml_response(
        "InitiateMultipartUploadResult",
        [("Bucket", request.bucket), ("Key", xml.printable(request.key)), ("UploadId", upload_id)],
        told,
    )


def upload_part(request: S3Request) -> Steps[Response]:
    bucket, key = request.bucket, request.key
    number = ranges.part_number(request.query["partNumber"])
    declared = checksums.declared(request.headers)
    upload = yield from head_open_upload(request)
    wanted = ALGORITHMS.get(upload.checksum_algorithm or "")
    if declared and wanted and declared.algorithm is not wanted:
        raise InvalidRequest(
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted.digest}, "
            f"actual checksum Type: {declared.algorithm.digest}"
        )
    target = BodyTarget(bucket, key, upload.upload_id, number)
    body = yield from receive_object(request, target, declared, wanted)
    part = yield from commands.UploadPart(
        bucket, key, upload.upload_id, number, body.received.content, body.etag, body.checksums
    )
    told = Checksums(body.checksums.values)  # a part's checksum has no type
    return Response(200, [("ETag", f'"{part.etag}"'), *checksums.headers(told)])


def head_open_upload(request: S3Request) -> Steps[Upload]:
    """Look the request's upload up.  Raises NoSuchUpload, also for one that was completed, and AccessDenied."""
    upload = yield from commands.HeadUpload(request.bucket, request.key, request.query["uploadId"])
    if upload.completed is not None:
        raise NoSuchUpload(UploadId=upload.upload_id)
    _check_initiator(request, upload)
    return upload


def _check_initiator(request: S3Request, upload: Upload) -> None:
    """Leave an upload to whoever began it, and to the bucket's owner.  Raises AccessDenied."""
    if request.access is not Access.OWNER and request.principal.owner.id != upload.owner.id:
        raise AccessDenied


# ------------------------------------------------------------------------------------------ end or give up


class _PartClaim(NamedTuple):
    """One ``<Part>`` of a CompleteMultipartUpload document."""

    number: int
    etag: str
    checksum: tuple[str, str] | None
    """(algorithm, base64)."""


_LOST = (NoSuchUpload, InvalidPart, PreconditionFailed, ConditionalRequestConflict)
"""What a Complete meets when the same one, sent again or twice, comes first: its parts go, its object is there."""


def complete_multipart_upload(request: S3Request) -> Steps[Response]:
    limit = request.settings.max_document
    condition = conditions.parse_write(request.headers)
    claimed = checksums.claimed(request.headers)
    claims = _parse_claims((yield from receive_document(request, limit=limit)), limit)
    head = commands.HeadUpload(request.bucket, request.key, request.query["uploadId"])
    upload = yield from head
    if upload.completed is None:
        _check_initiator(request, upload)
        try:
            return (yield from _complete(request, upload, claims, claimed, condition))
        except _LOST:
            upload = yield from head
            if upload.completed is None:
                raise
    if upload.completed.parts_digest != _digest(claims):
        raise NoSuchUpload(UploadId=upload.upload_id)
    return _completed_response(request, upload.completed, None)


def _complete(
    request: S3Request,
    upload: Upload,
    claims: Sequence[_PartClaim],
    claimed: tuple[Algorithm, str] | None,
    condition: conditions.WriteCondition,
) -> Steps[Response]:
    bucket, key, upload_id = request.bucket, request.key, upload.upload_id
    page = yield from commands.ListParts(bucket, key, upload_id, limit=MAX_PARTS)
    parts = _choose(claims, {part.number: part for part in page.parts})
    _check_sizes(request, parts)
    sums = _object_checksums(request, upload, parts, claimed)
    completed = Completed(_multipart_etag(parts), sums, _digest(claims))
    yield from conditional.refuse_hopeless(condition, bucket, key)
    yield from commands.AllowEarlyHead((XML_TYPE, *request.to_browsers))
    info = yield from conditional.publish(
        condition,
        bucket,
        key,
        lambda guard: commands.CompleteMultipartUpload(
            bucket,
            key,
            upload_id,
            tuple(parts),
            completed,
            if_match=guard.if_match,
            if_none_match=guard.if_none_match,
        ),
    )
    return _completed_response(request, completed, info.version_id)


def abort_multipart_upload(request: S3Request) -> Steps[Response]:
    upload = yield from head_open_upload(request)
    _check_initiated(request, upload)
    yield from commands.AbortMultipartUpload(request.bucket, request.key, upload.upload_id)
    return Response(204)


def _check_initiated(request: S3Request, upload: Upload) -> None:
    """Raise PreconditionFailed for an upload that was not begun when the client believes it was."""
    name = "x-amz-if-match-initiated-time"
    if (value := request.headers.get(name)) is None:
        return
    if (seconds := parse_date(value)) is None:
        raise InvalidArgument(ArgumentName=name, ArgumentValue=value)
    if seconds != int(upload.initiated):
        raise PreconditionFailed(Condition=name)


def _completed_response(request: S3Request, completed: Completed, version_id: str | None) -> Response:
    return xml_response(
        "CompleteMultipartUploadResult",
        [
            ("Location", request.location()),
            ("Bucket", request.bucket),
            ("Key", xml.printable(request.key)),
            ("ETag", f'"{completed.etag}"'),
            *checksums.elements(completed.checksums.values, completed.checksums.type),
        ],
        version_header(version_id),
    )


def _parse_claims(body: bytes, limit: int) -> list[_PartClaim]:
    """Return the parts that the document names, in its order.

    Raises MalformedXML, InvalidArgument (a number or checksum that cannot be one), InvalidPartOrder.
    """
    root = xml.parse(body, "CompleteMultipartUpload", max_bytes=limit)
    claims = []
    for element in root.all("Part"):
        number = element.require("PartNumber").strip()
        if not re.fullmatch("-?[0-9]{1,9}", number):
            raise MalformedXML
        if int(number) < 1:
            raise InvalidArgument("PartNumber must be >= 1", ArgumentName="PartNumber", ArgumentValue=number)
        etag = conditions.bare_etag(element.require("ETag"))
        claims.append(_PartClaim(int(number), etag, _part_checksum(element)))
    if not 1 <= len(claims) <= MAX_PARTS:
        raise MalformedXML
    if any(earlier.number > later.number for earlier, later in zip(claims, claims[1:])):
        raise InvalidPartOrder
    # A client that sent a part again may name it twice: the last one counts, as it does among the parts.
    return list({claim.number: claim for claim in claims}.values())


def _part_checksum(element: xml.Element) -> tuple[str, str] | None:
    found = [(row, value) for row in ALGORITHMS.values() if (value := element.get(f"Checksum{row.name}"))]
    if len(found) > 1 or not all(checksums.is_value(row, value) for row, value in found):
        raise InvalidArgument(
            "Invalid Base64 or multiple checksums present in request",
            ArgumentName="Checksum",
            ArgumentValue=";".join(f"{row.name}:{value}" for row, value in found),
        )
    return (found[0][0].name, found[0][1]) if found else None


def _digest(claims: Sequence[_PartClaim]) -> str:
    """What a repeat must equal: part numbers and ETags."""
    text = "".join(f"{claim.number} {claim.etag}\n" for claim in claims)
    return hashlib.sha256(text.encode()).hexdigest()


def _choose(claims: Sequence[_PartClaim], found: dict[int, Part]) -> list[Part]:
    """Return the stored parts that were claimed.

    Raises InvalidPart for one that is not there or is another, BadDigest for a checksum that a part was stored without.
    """
    chosen = []
    for claim in claims:
        part = found.get(claim.number)
        if part is None or part.etag != claim.etag:
            raise _invalid_part(claim)
        if claim.checksum is not None and claim.checksum not in part.checksums:
            name = claim.checksum[0]
            if name in dict(part.checksums):
                raise _invalid_part(claim)
            raise BadDigest(f"The {name.lower()} you specified for part {claim.number} did not match what we received.")
        chosen.append(part)
    return chosen


def _invalid_part(claim: _PartClaim) -> InvalidPart:
    return InvalidPart(UploadedPartNumber=claim.number, PartNumber=claim.number, ETag=claim.etag)


def _check_sizes(request: S3Request, parts: Sequence[Part]) -> None:
    settings = request.settings
    for part in parts[:-1]:
        if part.size < settings.min_part_size:
            raise EntityTooSmall(
                ProposedSize=part.size, MinSizeAllowed=settings.min_part_size, PartNumber=part.number, ETag=part.etag
            )
    total = sum(part.size for part in parts)
    if total > settings.max_object_size:
        raise EntityTooLarge(ProposedSize=total, MaxSizeAllowed=settings.max_object_size)
    expected = request.headers.get("x-amz-mp-object-size")
    if expected is not None and expected != str(total):
        raise InvalidRequest(
            f"The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {total}"
        )


def _object_checksums(
    request: S3Request, upload: Upload, parts: Sequence[Part], claimed: tuple[Algorithm, str] | None
) -> Checksums:
    """Compute the object's checksum and compare it with what the request says of it."""
    type_ = request.headers.get("x-amz-checksum-type")
    if type_ and upload.checksum_type and type_.upper() != upload.checksum_type:
        raise InvalidRequest(
            "The upload was created using the "
            f"{upload.checksum_type} checksum mode. The complete request must use the same checksum mode."
        )
    row = ALGORITHMS.get(upload.checksum_algorithm or "")
    sums = checksums.joined(row, upload.checksum_type or checksums.default_type(row), parts) if row else NO_CHECKSUMS
    if claimed is not None:
        other, value = claimed
        if other is not row:
            raise InvalidRequest(
                f"The upload was not created with the {other.name.lower()} checksum algorithm: it cannot be compared."
            )
        made = dict(sums.values).get(other.name)
        # AWS takes a composite value also without the number of parts, which minio-go leaves out.
        if made is None or value not in (made, made.partition("-")[0]):
            raise BadDigest(f"The {other.name.lower()} you specified did not match the calculated checksum.")
    return sums


def _multipart_etag(parts: Sequence[Part]) -> str:
    """MD5 over the parts' MD5s, and their number."""
    try:
        digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    except ValueError:
        raise InternalError("A part's ETag is not its MD5.") from None
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"


# ----------------------------------------------------------------------------------------------- listings


def list_parts(request: S3Request) -> Steps[Response]:
    query = request.query
    limit = whole_number(query.get("max-parts"), "max-parts", default=listing.MAX_PAGE, most=listing.MAX_PAGE)
    name = "part-number-marker"
    after = whole_number(query.get(name), name, default=0, most=ranges.MAX_PART_NUMBER)
    upload = yield from head_open_upload(request)
    page = listing.EMPTY_PARTS
    if limit:
        page = yield from commands.ListParts(request.bucket, request.key, upload.upload_id, after, limit)
    return document_response(listing.parts(request.bucket, upload, after, limit, page))


def list_multipart_uploads(request: S3Request) -> Steps[Response]:
    query = request.query
    wanted = listing.parse(query, "max-uploads")
    key_marker = query.get("key-marker", "")
    upload_id_marker = query.get("upload-id-marker", "") if key_marker else ""  # alone it is ignored, as on AWS
    page = listing.EMPTY_UPLOADS
    if wanted.limit:
        page = yield from commands.ListMultipartUploads(
            request.bucket, wanted.prefix, wanted.delimiter, key_marker, upload_id_marker, wanted.limit
        )
    return document_response(listing.multipart_uploads(request.bucket, wanted, key_marker, upload_id_marker, page))


# fmt: off
OPERATIONS = (
    Operation("CreateMultipartUpload",   "POST",   OBJECT, "s3:PutObject",                  create_multipart_upload,   query=("uploads",)),
    Operation("UploadPart",              "PUT",    OBJECT, "s3:PutObject",                  upload_part,               query=("partNumber", "uploadId")),
    Operation("CompleteMultipartUpload", "POST",   OBJECT, "s3:PutObject",                  complete_multipart_upload, query=("uploadId",)),
    Operation("AbortMultipartUpload",    "DELETE", OBJECT, "s3:AbortMultipartUpload",       abort_multipart_upload,    query=("uploadId",)),
    Operation("ListParts",               "GET",    OBJECT, "s3:ListMultipartUploadParts",   list_parts,                query=("uploadId",)),
    Operation("ListMultipartUploads",    "GET",    BUCKET, "s3:ListBucketMultipartUploads", list_multipart_uploads,    query=("uploads",)),
)
# fmt: on
