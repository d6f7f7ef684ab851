"""GetBucketCors, PutBucketCors, DeleteBucketCors, preflights, and what browsers are told beside every answer.

Rules: a bucket's rules are told to every browser that asks, so they are looked up before anybody's identity is known;
nothing else is.  A request without Origin asks nothing here.  The rules say what a page may see, never who may do
what: a request that no rule allows is answered, only without the headers that would let the page read the answer.

Follows the pages of these operations, "OPTIONS object" (Amazon S3 API Reference), "Troubleshooting CORS" (User Guide).
"""

from __future__ import annotations

from s3proto import checksums, commands, cors
from s3proto.commands import Steps
from s3proto.errors import AccessForbidden, BadRequest, MissingRequestBodyError, NoSuchBucket, NoSuchCORSConfiguration
from s3proto.http import RequestHead, Response
from s3proto.names import Target
from s3proto.operations.bodies import receive_document
from s3proto.operations.operation import BUCKET, Operation
from s3proto.operations.responses import Pairs, document_response
from s3proto.request import S3Request

_NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)
"""AWS's spelling."""


def get_bucket_cors(request: S3Request) -> Steps[Response]:
    rules = yield from commands.GetBucketCors(request.bucket, fresh=True)
    if not rules:
        raise NoSuchCORSConfiguration(BucketName=request.bucket)
    return document_response(cors.document(rules))


def put_bucket_cors(request: S3Request) -> Steps[Response]:
    declared = checksums.declared(request.headers)
    document = yield from receive_document(request, limit=cors.MAX_DOCUMENT, declared=declared)
    if not document.strip():
        raise MissingRequestBodyError
    yield from commands.PutBucketCors(request.bucket, cors.parse(document))
    return Response(200)


def delete_bucket_cors(request: S3Request) -> Steps[Response]:
    yield from commands.PutBucketCors(request.bucket, ())
    return Response(204)


def preflight(head: RequestHead, target: Target) -> Steps[Response]:
    """Answer OPTIONS.  Raises BadRequest, AccessForbidden, NoSuchBucket."""
    if (asked := cors.crossing(head)) is None:
        raise BadRequest("Insufficient information. Origin request header needed.")
    method = head.headers.get("access-control-request-method")
    if method not in cors.METHODS:
        raise BadRequest(f"Invalid Access-Control-Request-Method: {method or 'null'}")
    rules = (yield from commands.GetBucketCors(target.bucket, fresh=True)) if target.bucket else ()
    if (rule := cors.find(rules, asked)) is None:
        resource = "BUCKET" if target.key is None else "OBJECT"
        raise AccessForbidden(_NOT_ALLOWED if rules else None, Method=method, ResourceType=resource)
    return Response(200, cors.response_headers(rule, asked))


def told(head: RequestHead, bucket: str | None) -> Steps[Pairs]:
    """Return the headers that go with any answer to a browser's request; none when it is not one."""
    if bucket is None or (asked := cors.crossing(head)) is None:
        return []
    try:
        rules = yield from commands.GetBucketCors(bucket)
    except NoSuchBucket:
        return []
    if (rule := cors.find(rules, asked)) is None:
        return [cors.VARY] if rules else []
    return cors.response_headers(rule, asked)


# fmt: off
OPERATIONS = (
    Operation("GetBucketCors",    "GET",    BUCKET, "s3:GetBucketCORS", get_bucket_cors,    query=("cors",)),
    Operation("PutBucketCors",    "PUT",    BUCKET, "s3:PutBucketCORS", put_bucket_cors,    query=("cors",)),
    Operation("DeleteBucketCors", "DELETE", BUCKET, "s3:PutBucketCORS", delete_bucket_cors, query=("cors",)),
)
# fmt: on
