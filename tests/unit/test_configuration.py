import pytest

from s3proto.commands import HeadBucket, HeadObject
from s3proto.errors import RequestNotImplemented, S3Error
from tests.s3_requests import BUCKET_INFO, OWNER, call, info, texts, tree


@pytest.mark.parametrize(
    ("sub_resource", "answer"),
    [
        ("accelerate", "AccelerateConfiguration"),
        ("cors", "NoSuchCORSConfiguration"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("logging", "BucketLoggingStatus"),
        ("notification", "NotificationConfiguration"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
        ("ownershipControls", "OwnershipControls"),
        ("policy", "NoSuchBucketPolicy"),
        ("policyStatus", "NoSuchBucketPolicy"),
        ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("requestPayment", "RequestPaymentConfiguration"),
        ("tagging", "NoSuchTagSet"),
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


@pytest.mark.parametrize("target", ["/bucket?acl", "/bucket/key?acl"])
def test_acl_is_the_owner_s(target: str) -> None:
    script = [(HeadObject("bucket", "key"), info())] if "key" in target else []
    response = call("GET", target, script=[*script, (HeadBucket("bucket"), BUCKET_INFO)])
    assert texts(response, "Owner/ID") == texts(response, "AccessControlList/Grant/Grantee/ID") == [OWNER.id]
    assert texts(response, "AccessControlList/Grant/Permission") == ["FULL_CONTROL"]
    grantee = tree(response).find("AccessControlList/Grant/Grantee")
    assert grantee is not None
    assert grantee.attrib == {"{http://www.w3.org/2001/XMLSchema-instance}type": "CanonicalUser"}


def test_objects_have_no_tags() -> None:
    script = [(HeadObject("bucket", "key", "null"), info(version_id="null"))]
    response = call("GET", "/bucket/key?tagging&versionId=null", script=script)
    assert texts(response, "TagSet") == [""] and ("x-amz-version-id", "null") in response.headers


@pytest.mark.parametrize("target", ["/bucket?acl", "/bucket/key?acl"])
def test_an_acl_that_says_what_holds_is_taken(target: str) -> None:
    script = [(HeadObject("bucket", "key"), info())] if "key" in target else [(HeadBucket("bucket"), BUCKET_INFO)]
    assert call("PUT", target, {"x-amz-acl": "private"}, script=script).status == 200


@pytest.mark.parametrize("target", ["/bucket?acl", "/bucket/key?acl"])
def test_grants_are_not_implemented(target: str) -> None:
    with pytest.raises(RequestNotImplemented):
        call("PUT", target)
