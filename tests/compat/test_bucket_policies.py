"""Policies of buckets by boto3, by anonymous requests and by mc."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from s3server.store.state import KNOWN_FRESH
from tests.compat import clients
from tests.compat.test_boto3 import code
from tests.gateway import Gateway

pytestmark = pytest.mark.compat


def put(client: Any, bucket: str, *statements: dict[str, Any]) -> None:
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def statement(
    bucket: str, actions: list[str], keys: str = "*", who: Any = "*", effect: str = "Allow"
) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{keys}"]
    return {"Effect": effect, "Principal": who, "Action": [f"s3:{each}" for each in actions], "Resource": resources}


@pytest.fixture
def nobody(gateway: Gateway) -> Any:
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=gateway.endpoint, region_name=gateway.region, config=config)


def refused(call: Any, expected: str = "AccessDenied") -> None:
    with pytest.raises(ClientError) as caught:
        call()
    assert code(caught) in (expected, "403")


def test_a_public_bucket(client: Any, bucket: str, nobody: Any) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"1")
    refused(lambda: nobody.get_object(Bucket=bucket, Key="k"))
    put(client, bucket, statement(bucket, ["GetObject"]))
    for _ in range(8):  # whichever process it meets
        assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    refused(lambda: nobody.list_objects_v2(Bucket=bucket))
    refused(lambda: nobody.head_object(Bucket=bucket, Key="none"))
    refused(lambda: nobody.put_object(Bucket=bucket, Key="k", Body=b"2"))
    assert client.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    told = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    assert told["Statement"] == [statement(bucket, ["GetObject"])]
    client.delete_bucket_policy(Bucket=bucket)
    refused(lambda: client.get_bucket_policy(Bucket=bucket), "NoSuchBucketPolicy")


def test_a_user_in_a_prefix(gateway: Gateway, client: Any, bucket: str) -> None:
    bob = {"AWS": "arn:aws:iam::123456789012:user/bob"}
    put(
        client,
        bucket,
        statement(bucket, ["GetObject", "PutObject", "DeleteObject"], "home/${aws:username}/*", bob),
        statement(bucket, ["DeleteObject"], "home/bob/keep/*", "*", "Deny"),
    )
    time.sleep(KNOWN_FRESH)
    with closing(clients.s3(gateway, gateway.users["bob"])) as user:
        for key in ("home/bob/a", "home/bob/b", "home/bob/keep/c"):
            user.put_object(Bucket=bucket, Key=key, Body=b"1")
        assert user.get_object(Bucket=bucket, Key="home/bob/a")["Body"].read() == b"1"
        refused(lambda: user.put_object(Bucket=bucket, Key="home/ann/a", Body=b"1"))
        client.put_object(Bucket=bucket, Key="mine", Body=b"1")
        asked = [{"Key": key} for key in ("home/bob/a", "home/bob/keep/c", "mine")]
        answer = user.delete_objects(Bucket=bucket, Delete={"Objects": asked})
        assert [each["Key"] for each in answer["Deleted"]] == ["home/bob/a"]
        assert {(each["Key"], each["Code"]) for each in answer["Errors"]} == {
            ("home/bob/keep/c", "AccessDenied"),
            ("mine", "AccessDenied"),
        }
    refused(lambda: client.delete_object(Bucket=bucket, Key="home/bob/keep/c"))  # the owner, too
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "home/bob/keep/c"}, {"Key": "mine"}]})
    assert [each["Key"] for each in answer["Deleted"]] == ["mine"]
    client.delete_bucket_policy(Bucket=bucket)
    time.sleep(KNOWN_FRESH)
    client.delete_object(Bucket=bucket, Key="home/bob/keep/c")


def test_only_with_tls(client: Any, bucket: str) -> None:
    denied = statement(bucket, ["*"], effect="Deny")
    put(client, bucket, {**denied, "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    time.sleep(KNOWN_FRESH)  # as long as another process may take to notice
    refused(lambda: client.put_object(Bucket=bucket, Key="k", Body=b"1"))
    refused(lambda: client.list_objects_v2(Bucket=bucket))
    client.delete_bucket_policy(Bucket=bucket)  # he is never shut out
    client.put_object(Bucket=bucket, Key="k", Body=b"1")


def test_tags(client: Any, bucket: str, nobody: Any) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "k"}
    reads = statement(bucket, ["GetObject"])
    put(client, bucket, reads, statement(bucket, ["PutObjectTagging"], "plain/*", effect="Deny"))
    time.sleep(KNOWN_FRESH)
    assert "TagCount" not in nobody.head_object(Bucket=bucket, Key="k")
    refused(lambda: nobody.get_object_tagging(Bucket=bucket, Key="k"))
    refused(lambda: client.put_object(Bucket=bucket, Key="plain/k", Body=b"1", Tagging="a=1"))
    refused(lambda: client.copy_object(Bucket=bucket, Key="plain/k", CopySource=source))
    client.copy_object(Bucket=bucket, Key="plain/k", CopySource=source, TaggingDirective="REPLACE")
    put(client, bucket, reads, statement(bucket, ["GetObjectTagging"]))
    time.sleep(KNOWN_FRESH)
    assert nobody.head_object(Bucket=bucket, Key="k")["TagCount"] == 1
    assert nobody.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]


def test_what_is_refused(gateway: Gateway, client: Any, bucket: str) -> None:
    refused(lambda: put(client, bucket, statement("other", ["GetObject"])), "MalformedPolicy")
    unknown = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    refused(lambda: put(client, bucket, {**statement(bucket, ["GetObject"]), "Condition": unknown}), "MalformedPolicy")
    refused(lambda: client.get_bucket_policy(Bucket=bucket), "NoSuchBucketPolicy")
    with closing(clients.s3(gateway, gateway.users["bob"])) as bob:
        refused(lambda: put(bob, bucket, statement(bucket, ["*"])))
        refused(lambda: bob.get_bucket_policy(Bucket=bucket))
        refused(lambda: bob.delete_bucket_policy(Bucket=bucket))
    put(client, bucket, statement(bucket, ["*"]))
    with closing(clients.s3(gateway, gateway.users["bob"])) as bob:
        refused(lambda: put(bob, bucket, statement(bucket, ["*"])), "MethodNotAllowed")
        refused(lambda: bob.delete_bucket_policy(Bucket=bucket), "MethodNotAllowed")
