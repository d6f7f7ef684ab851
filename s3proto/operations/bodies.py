"""Receiving request bodies: which decoder, which digests, what must hold of them.

Rules: a body is asked for only when everything that can be refused without it has been; its checks are done before
the caller sees it.

Follows "PutObject", "UploadPart", "Checking object integrity" (Amazon S3).
"""

from __future__ import annotations

from dataclasses import dataclass

from s3proto import checksums
from s3proto.body import body_is_declared, check_payload_hash, decoder_for
from s3proto.checksums import Algorithm, Declared
from s3proto.commands import BodyTarget, ReceiveBody, ReceiveDocument, Steps
from s3proto.errors import EntityTooLarge, EntityTooSmall, MissingContentLength
from s3proto.form import MAX_FORM, FileDecoder
from s3proto.model import NO_CHECKSUMS, Checksums, Received
from s3proto.request import S3Request


@dataclass(frozen=True, slots=True)
class ObjectBody:
    """A verified body and what is stored of it."""

    received: Received
    etag: str
    """MD5, hexadecimal."""
    checksums: Checksums


def receive_object(
    request: S3Request, target: BodyTarget, declared: Declared | None, wanted: Algorithm | None = None
) -> Steps[ObjectBody]:
    """Receive the bytes of an object or part and verify them.

    ``wanted`` is computed too, where the client declares no checksum.  Raises MissingContentLength, EntityTooLarge,
    EntityTooSmall (a form's file), InvalidDigest, BadDigest, and what ReceiveBody raises.
    """
    headers, most = request.headers, request.settings.max_object_size
    expected_md5 = checksums.content_md5(headers)
    if not body_is_declared(request.head):
        raise MissingContentLength()
    decoder, form, begun = decoder_for(request.head, request.identity.payload), request.identity.form, b""
    size = decoder.expected_size
    if form is not None:
        decoder, begun = FileDecoder(form.boundary), form.begun
        most = most if form.largest is None else min(most, form.largest)
        size = None if size is None else size - 3 * MAX_FORM  # the file has more: what is not the file has less
    if size is not None and size > most:
        raise EntityTooLarge(ProposedSize=size, MaxSizeAllowed=most)
    algorithm = declared.algorithm if declared else wanted
    received = yield from ReceiveBody(decoder, _digests(request, algorithm, md5=True), target, most, begun)
    if form is not None and received.size < form.smallest:
        raise EntityTooSmall(ProposedSize=received.size, MinSizeAllowed=form.smallest)
    check_payload_hash(request.identity.payload, received.digests)
    checksums.check_md5(expected_md5, received.digests["md5"])
    if declared:
        stored = checksums.check(declared, received.digests, decoder.trailers)
    elif wanted:
        stored = checksums.computed(wanted, received.digests[wanted.digest])
    else:
        stored = NO_CHECKSUMS
    return ObjectBody(received, received.digests["md5"].hex(), stored)


def receive_document(request: S3Request, *, limit: int, declared: Declared | None = None) -> Steps[bytes]:
    """Receive a small body, empty where the request has none, and verify it.

    ``declared``: its checksum, where the x-amz-checksum headers speak of the document (in CompleteMultipartUpload
    they speak of the object).  Raises InvalidDigest, BadDigest, and what ReceiveDocument raises.
    """
    expected_md5 = checksums.content_md5(request.headers)
    decoder = decoder_for(request.head, request.identity.payload)
    digests = _digests(request, declared.algorithm if declared else None, md5=expected_md5 is not None)
    document = yield from ReceiveDocument(decoder, digests, limit)
    check_payload_hash(request.identity.payload, document.digests)
    if expected_md5 is not None:
        checksums.check_md5(expected_md5, document.digests["md5"])
    if declared:
        checksums.check(declared, document.digests, decoder.trailers)
    return document.data


def _digests(request: S3Request, algorithm: Algorithm | None, *, md5: bool) -> tuple[str, ...]:
    """Name exactly the digests that somebody asked for, each once: hashing is what a PUT costs."""
    needed = {"md5"} if md5 else set()
    if request.identity.payload.sha256 is not None:
        needed.add("sha256")
    if algorithm:
        needed.add(algorithm.digest)
    return tuple(sorted(needed))
