"""GetBucketPolicy, PutBucketPolicy, DeleteBucketPolicy, GetBucketPolicyStatus.

Rules: a policy is told byte for byte as it was put.  It is checked whole before anything changes.

Follows the pages of these operations (Amazon S3 API Reference).
"""

from __future__ import annotations

from s3proto import bucket_policy, checksums, commands
from s3proto.bucket_policy import BucketPolicy
from s3proto.commands import Steps
from s3proto.errors import MissingRequestBodyError, NoSuchBucketPolicy
from s3proto.http import Response
from s3proto.operations.bodies import receive_document
from s3proto.operations.operation import BUCKET, Operation
from s3proto.operations.responses import xml_response
from s3proto.request import S3Request

_MOST = 64 * 1024
"""Bytes that are received: a policy that is too long is told so, not cut off."""


def get_bucket_policy(request: S3Request) -> Steps[Response]:
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


def put_bucket_policy(request: S3Request) -> Steps[Response]:
    declared = checksums.declared(request.headers)
    document = yield from receive_document(request, limit=_MOST, declared=declared)
    if not document.strip():
        raise MissingRequestBodyError
    yield from commands.PutBucketPolicy(request.bucket, bucket_policy.parse(document, request.bucket))
    return Response(204)


def delete_bucket_policy(request: S3Request) -> Steps[Response]:
    yield from commands.PutBucketPolicy(request.bucket, None)
    return Response(204)


# fmt: off
OPERATIONS = (
    Operation("GetBucketPolicy",       "GET",    BUCKET, "s3:GetBucketPolicy",       get_bucket_policy,        query=("policy",)),
    Operation("PutBucketPolicy",       "PUT",    BUCKET, "s3:PutBucketPolicy",       put_bucket_policy,        query=("policy",)),
    Operation("DeleteBucketPolicy",    "DELETE", BUCKET, "s3:DeleteBucketPolicy",    delete_bucket_policy,     query=("policy",)),
    Operation("GetBucketPolicyStatus", "GET",    BUCKET, "s3:GetBucketPolicyStatus", get_bucket_policy_status, query=("policyStatus",)),
)
# fmt: on
