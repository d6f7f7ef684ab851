"""Tags of objects and buckets: GetObjectTagging, PutObjectTagging, DeleteObjectTagging, and the bucket's three.

Rules: tags belong to whoever the bucket belongs to; no ACL grants them, a bucket's policy may.  Those that come with
an object are checked where its other headers are (``s3proto.metadata``).

Follows the pages of these operations (Amazon S3 API Reference).
"""

from __future__ import annotations

from s3proto import checksums, commands, tagging
from s3proto.auth import looking, reading
from s3proto.commands import Steps
from s3proto.errors import MissingRequestBodyError, NoSuchTagSet
from s3proto.http import Response
from s3proto.model import Pairs
from s3proto.operations.bodies import receive_document
from s3proto.operations.operation import BUCKET, OBJECT, Operation
from s3proto.operations.responses import document_response, version_header
from s3proto.request import S3Request


def get_object_tagging(request: S3Request) -> Steps[Response]:
    look = commands.HeadObject(request.bucket, request.key, request.version_id)
    info = yield from reading(request.identity, request.access, request.bucket, look)
    return document_response(tagging.document(info.attributes.tags), version_header(info.version_id))


def put_object_tagging(request: S3Request) -> Steps[Response]:
    tags = yield from _given(request, tagging.MAX_OBJECT_TAGS)
    yield from _put(request, tags)
    return Response(200)


def delete_object_tagging(request: S3Request) -> Steps[Response]:
    yield from _put(request, ())
    return Response(204)


def _put(request: S3Request, tags: Pairs) -> Steps[None]:
    put = commands.PutObjectTagging(request.bucket, request.key, tags, request.version_id)
    yield from looking(request.identity, request.access, request.bucket, put)


def get_bucket_tagging(request: S3Request) -> Steps[Response]:
    tags = yield from commands.GetBucketTagging(request.bucket)
    if not tags:
        raise NoSuchTagSet(BucketName=request.bucket)
    return document_response(tagging.document(tags))


def put_bucket_tagging(request: S3Request) -> Steps[Response]:
    tags = yield from _given(request, tagging.MAX_BUCKET_TAGS)
    yield from commands.PutBucketTagging(request.bucket, tags)
    return Response(204)


def delete_bucket_tagging(request: S3Request) -> Steps[Response]:
    yield from commands.PutBucketTagging(request.bucket, ())
    return Response(204)


def _given(request: S3Request, most: int) -> Steps[Pairs]:
    declared = checksums.declared(request.headers)
    document = yield from receive_document(request, limit=tagging.MAX_DOCUMENT, declared=declared)
    if not document.strip():
        raise MissingRequestBodyError
    return tagging.parse(document, most)


# fmt: off
OPERATIONS = (
    Operation("GetObjectTagging",    "GET",    OBJECT, "s3:GetObjectTagging",    get_object_tagging,    query=("tagging",), accepts=("versionId",)),
    Operation("PutObjectTagging",    "PUT",    OBJECT, "s3:PutObjectTagging",    put_object_tagging,    query=("tagging",), accepts=("versionId",)),
    Operation("DeleteObjectTagging", "DELETE", OBJECT, "s3:DeleteObjectTagging", delete_object_tagging, query=("tagging",), accepts=("versionId",)),
    Operation("GetBucketTagging",    "GET",    BUCKET, "s3:GetBucketTagging",    get_bucket_tagging,    query=("tagging",)),
    Operation("PutBucketTagging",    "PUT",    BUCKET, "s3:PutBucketTagging",    put_bucket_tagging,    query=("tagging",)),
    Operation("DeleteBucketTagging", "DELETE", BUCKET, "s3:PutBucketTagging",    delete_bucket_tagging, query=("tagging",)),
)
# fmt: on
