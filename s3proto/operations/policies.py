"""GetBucketPolicy, PutBucketPolicy, DeleteBucketPolicy, GetBucketPolicyStatus.

Rules: a policy is told byte for byte as it was put.  It is checked whole before anything changes.  Only the bucket's
owner reads and changes it: whom it allows everything can still not give himself more.

Follows the pages of these operations (Amazon S3 API Reference).
"""

from __future__ import annotations

from s3proto import bucket_policy, checksums, commands
from s3proto.bucket_policy import BucketPolicy
from s3proto.commands import Steps
from s3proto.errors import MethodNotAllowed, MissingRequestBodyError, NoSuchBucketPolicy
from s3proto.http import Response
from s3proto.model import Access
from s3proto.operations.bodies import receive_document
from s3proto.operations.operation import BUCKET, Operation
from s3proto.operations.responses import xml_response
from s3proto.request import S3Request

_MOST = 64 * 1024
"""Bytes that are received: a policy that is too long is told so, not cut off."""


def get_bucket_policy(request: S3Request) -> Steps[Response]:
    _only_owner(request)
    policy = yield from _policy(request)
    return Response(200, [("Content-Type", "application/json")], policy.text.encode())


def get_bucket_policy_status(request: S3Request) -> Steps[Response]:
    policy = yield from _policy(request)
    return xml_response("PolicyStatus", [("IsPublic", policy.is_public)])


def _policy(request: S3Request) -> Steps[BucketPolicy]:
    policy = yield from commands.GetBucketPolicy(request.bucket)
    if policy is None:
        raise NoSuchBucketPolicy(BucketName=request.bucket)
    return policy


def _only_owner(request: S3Request) -> None:
    """Raise MethodNotAllowed for whom the policy itself allows it, as AWS does for other accounts."""
    if request.access is not Access.OWNER:
        raise MethodNotAllowed(Method=request.head.method, ResourceType="BUCKET")


def put_bucket_policy(request: S3Request) -> Steps[Response]:
    _only_owner(request)
    declared = checksums.declared(request.headers)
    document = yield from receive_document(request, limit=_MOST, declared=declared)
    if not document.strip():
        raise MissingRequestBodyError
    policy = bucket_policy.parse(document, request.bucket)
    yield from commands.PutBucketPolicy(request.bucket, policy, request.principal)
    return Response(204)


def delete_bucket_policy(request: S3Request) -> Steps[Response]:
    _only_owner(request)
    yield from commands.PutBucketPolicy(request.bucket, None, request.principal)
    return Response(204)


# fmt: off
OPERATIONS = (
    Operation("GetBucketPolicy",       "GET",    BUCKET, "s3:GetBucketPolicy",       get_bucket_policy,        query=("policy",)),
    Operation("PutBucketPolicy",       "PUT",    BUCKET, "s3:PutBucketPolicy",       put_bucket_policy,        query=("policy",)),
    Operation("DeleteBucketPolicy",    "DELETE", BUCKET, "s3:DeleteBucketPolicy",    delete_bucket_policy,     query=("policy",)),
    Operation("GetBucketPolicyStatus", "GET",    BUCKET, "s3:GetBucketPolicyStatus", get_bucket_policy_status, query=("policyStatus",)),
)
# fmt: on
