"""Sub-resources that configure what this gateway does not have: what clients that probe them are told.

Rules: every answer is AWS's for a bucket where nothing was configured.  Only reading is answered; any change
is NotImplemented (the package's ``resolve``), so that nobody believes in a setting that does not hold.

GetBucketOwnershipControls has none to tell: ACLs are in force, and an object is its uploader's, yet wholly at the
bucket owner's disposal, which is none of AWS's three settings.

Follows the pages of the operations named in OPERATIONS (Amazon S3 API Reference).
"""

from __future__ import annotations

from s3proto import commands, errors, xml
from s3proto.commands import Steps
from s3proto.errors import S3Error
from s3proto.http import Response
from s3proto.operations.operation import BUCKET, Operation, Run
from s3proto.operations.responses import xml_response
from s3proto.request import S3Request


def _says(root: str, *content: xml.Node) -> Run:
    """An operation on a bucket that exists (CheckAccess has said so) with a constant answer."""

    def run(request: S3Request) -> Steps[Response]:
        yield from commands.HeadBucket(request.bucket)
        return xml_response(root, content)

    return run


def _raises(error: type[S3Error]) -> Run:
    """An operation on a bucket that exists with a constant error."""

    def run(request: S3Request) -> Steps[Response]:
        yield from commands.HeadBucket(request.bucket)
        raise error(BucketName=request.bucket)

    return run


# fmt: off
_ANSWERS: tuple[tuple[str, str, str, Run], ...] = (
    # operation                              sub-resource         action                                 answer
    ("GetBucketAccelerateConfiguration",     "accelerate",        "s3:GetAccelerateConfiguration",       _says("AccelerateConfiguration")),
    ("GetBucketEncryption",                  "encryption",        "s3:GetEncryptionConfiguration",       _raises(errors.ServerSideEncryptionConfigurationNotFoundError)),
    ("GetBucketLifecycleConfiguration",      "lifecycle",         "s3:GetLifecycleConfiguration",        _raises(errors.NoSuchLifecycleConfiguration)),
    ("GetBucketLogging",                     "logging",           "s3:GetBucketLogging",                 _says("BucketLoggingStatus")),
    ("GetBucketNotificationConfiguration",   "notification",      "s3:GetBucketNotification",            _says("NotificationConfiguration")),
    ("GetObjectLockConfiguration",           "object-lock",       "s3:GetBucketObjectLockConfiguration", _raises(errors.ObjectLockConfigurationNotFoundError)),
    ("GetBucketOwnershipControls",           "ownershipControls", "s3:GetBucketOwnershipControls",       _raises(errors.OwnershipControlsNotFoundError)),
    ("GetPublicAccessBlock",                 "publicAccessBlock", "s3:GetBucketPublicAccessBlock",       _raises(errors.NoSuchPublicAccessBlockConfiguration)),
    ("GetBucketReplication",                 "replication",       "s3:GetReplicationConfiguration",      _raises(errors.ReplicationConfigurationNotFoundError)),
    ("GetBucketRequestPayment",              "requestPayment",    "s3:GetBucketRequestPayment",          _says("RequestPaymentConfiguration", ("Payer", "BucketOwner"))),
    ("GetBucketVersioning",                  "versioning",        "s3:GetBucketVersioning",              _says("VersioningConfiguration")),
    ("GetBucketWebsite",                     "website",           "s3:GetBucketWebsite",                 _raises(errors.NoSuchWebsiteConfiguration)),
)

OPERATIONS = tuple(
    Operation(name, "GET", BUCKET, action, run, query=(sub_resource,)) for name, sub_resource, action, run in _ANSWERS
)
# fmt: on
