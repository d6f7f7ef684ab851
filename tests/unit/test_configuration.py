import pytest

from s3proto.commands import HeadBucket
from s3proto.errors import S3Error
from tests.s3_requests import BUCKET_INFO, call, tree


@pytest.mark.parametrize(
    ("sub_resource", "answer"),
    [
        ("accelerate", "AccelerateConfiguration"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("logging", "BucketLoggingStatus"),
        ("notification", "NotificationConfiguration"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
        ("ownershipControls", "OwnershipControlsNotFoundError"),
        ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("requestPayment", "RequestPaymentConfiguration"),
        ("versioning", "VersioningConfiguration"),
        ("website", "NoSuchWebsiteConfiguration"),
    ],
)
def test_nothing_is_configured(sub_resource: str, answer: str) -> None:
    try:
        response = call("GET", f"/bucket?{sub_resource}", script=[(HeadBucket("bucket"), BUCKET_INFO)])
    except S3Error as error:
        assert error.code == answer and error.status == 404 and error.fields == {"BucketName": "bucket"}
    else:
        assert tree(response).tag == answer
