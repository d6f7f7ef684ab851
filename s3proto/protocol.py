"""The life of a request, from its head to its response.

Rules: nothing else in the project knows this order.  Nobody is told more than his identity allows: no storage
command before authentication and CheckAccess, but for the CORS rules that every browser may know.  Every S3Error
becomes an ``<Error>`` here and only here; anything else passes through to the driver.

Follows "Making requests", "Error responses" (Amazon S3 API Reference).
"""

from __future__ import annotations

from dataclasses import replace

from s3proto.auth import authenticate, authenticate_form, authorize, of_version
from s3proto.commands import Steps
from s3proto.context import Context
from s3proto.errors import S3Error
from s3proto.http import RequestHead, Response, remembered
from s3proto.metadata import refuse_unsupported
from s3proto.names import Target, parse_query, parse_target
from s3proto.operations import BUCKET, OBJECT, SERVICE, SUB_RESOURCES, Operation, Resource, cors, resolve
from s3proto.operations.responses import Pairs, error_response
from s3proto.request import S3Request


def serve(head: RequestHead, context: Context) -> Steps[Response]:
    """Answer one request: yields Commands, returns the Response.  Never raises an S3Error."""
    target = Target(None, None)
    to_browsers: Pairs = []
    try:
        target = remembered(head, "target", lambda: parse_target(head, context.settings))
        if head.method == "OPTIONS":
            return (yield from cors.preflight(head, target))
        if "origin" in head.headers:
            to_browsers = yield from cors.told(head, target.bucket)
        query = remembered(head, "query", lambda: dict(reversed(parse_query(head.raw_query))))
        resource = _resource(target)
        if head.method == "POST" and resource is BUCKET and SUB_RESOURCES.isdisjoint(query):
            identity = yield from authenticate_form(head, target.bucket or "", context)
        else:
            identity = yield from authenticate(head, target, context)
        # The signed head: what a presigned URL, or a form, says of x-amz-* headers counts for all that follows.
        signed = identity.head.headers
        operation = remembered(head, "operation", lambda: resolve(head.method, resource, query, signed))
        if identity.form is not None:
            target = replace(target, key=identity.form.key)
        action = operation.action
        if action in _VERSIONED:
            action = of_version(action, query.get("versionId"))
        access = yield from authorize(identity, action, target.bucket, target.key)
        refuse_unsupported(identity.head.headers)
        bucket, key = target.bucket or "", target.key or ""
        request = S3Request(identity.head, bucket, key, query, identity, access, context, tuple(to_browsers))
        response = yield from operation.run(request)
    except S3Error as error:
        response = error_response(error, head, target.bucket, target.key, context)
    response.headers.extend(to_browsers)
    return response


def operation_of(head: RequestHead) -> str | None:
    """Return AWS's name of the operation that ``serve`` has found a head to mean; None where it did not come so far."""
    operation: Operation | None = head.memo.get("operation")
    return None if operation is None else operation.name


def _resource(target: Target) -> Resource:
    if target.bucket is None:
        return SERVICE
    return BUCKET if target.key is None else OBJECT


_VERSIONED = frozenset(
    f"s3:{name}"
    for name in "GetObject GetObjectAttributes DeleteObject GetObjectAcl PutObjectAcl GetObjectTagging PutObjectTagging"
    " DeleteObjectTagging".split()
)
"""Actions that IAM knows once more for a named version (``s3:GetObjectVersionAcl``)."""
