"""Tags by boto3 and by the AWS command line."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError

from tests.compat import clients
from tests.compat.clients import MIB, bytes_of
from tests.compat.test_boto3 import code
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

FEW = [{"Key": "colour", "Value": "green"}, {"Key": "ünïcode key", "Value": ""}]
MANY = [{"Key": f"{n}" + "k" * 127, "Value": "\u00e4" * 256} for n in range(10)]


def tags_of(client: Any, bucket: str, key: str) -> list[dict[str, str]]:
    return list(client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"])


def test_tags_of_an_object(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="colour=green&%C3%BCn%C3%AFcode+key")
    before = client.head_object(Bucket=bucket, Key="k")
    assert tags_of(client, bucket, "k") == FEW and before["TagCount"] == 2
    for tags in (MANY, FEW, MANY):
        client.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
        assert tags_of(client, bucket, "k") == tags
        found = client.get_object(Bucket=bucket, Key="k")
        found["Body"].read()
        assert found["TagCount"] == len(tags)
        assert (found["ETag"], found["LastModified"]) == (before["ETag"], before["LastModified"])
    client.delete_object_tagging(Bucket=bucket, Key="k")
    assert tags_of(client, bucket, "k") == [] and "TagCount" not in client.head_object(Bucket=bucket, Key="k")
    with pytest.raises(ClientError) as caught:
        client.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": FEW + FEW})
    assert code(caught) == "InvalidTag" and tags_of(client, bucket, "k") == []


def test_copies(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "k"}
    client.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert tags_of(client, bucket, "copy") == [{"Key": "a", "Value": "1"}]
    client.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    assert tags_of(client, bucket, "copy") == [{"Key": "b", "Value": "2"}]


def test_a_copy_in_parts_as_the_command_line_makes_it(client: Any, bucket: str) -> None:
    """Version 2 of the AWS CLI reads the source's tags, and gives them to the upload, or later what is too long."""
    client.put_object(Bucket=bucket, Key="large", Body=bytes_of(6 * MIB))
    client.put_object_tagging(Bucket=bucket, Key="large", Tagging={"TagSet": FEW})
    given = urlencode([(tag["Key"], tag["Value"]) for tag in tags_of(client, bucket, "large")])
    made = client.create_multipart_upload(Bucket=bucket, Key="copy", Tagging=given)
    upload = {"Bucket": bucket, "Key": "copy", "UploadId": made["UploadId"]}
    source = {"Bucket": bucket, "Key": "large"}
    etags = []
    for number, piece in enumerate((f"bytes=0-{5 * MIB - 1}", f"bytes={5 * MIB}-{6 * MIB - 1}"), 1):
        part = client.upload_part_copy(**upload, PartNumber=number, CopySource=source, CopySourceRange=piece)
        etags.append({"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]})
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": etags})
    assert tags_of(client, bucket, "copy") == FEW
    client.put_object_tagging(Bucket=bucket, Key="copy", Tagging={"TagSet": MANY})
    parts = client.get_object_attributes(Bucket=bucket, Key="copy", ObjectAttributes=["ObjectParts"])
    assert tags_of(client, bucket, "copy") == MANY and parts["ObjectParts"]["TotalPartsCount"] == 2


def test_the_command_line(gateway: Gateway, client: Any, bucket: str, tmp_path: Path) -> None:
    aws = clients.aws(gateway, tmp_path)
    (tmp_path / "up").write_bytes(b"1")
    aws("s3api", "put-object", "--bucket", bucket, "--key", "k", "--body", "up", "--tagging", "a=1&b=2")
    told = json.loads(aws("s3api", "get-object-tagging", "--bucket", bucket, "--key", "k"))
    assert told["TagSet"] == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    given = json.dumps({"TagSet": MANY})
    aws("s3api", "put-object-tagging", "--bucket", bucket, "--key", "k", "--tagging", given)
    assert tags_of(client, bucket, "k") == MANY


def test_tags_of_a_bucket(client: Any, bucket: str) -> None:
    def missing() -> None:
        with pytest.raises(ClientError) as caught:
            client.get_bucket_tagging(Bucket=bucket)
        assert code(caught) == "NoSuchTagSet"

    missing()
    for tags in (FEW, [{"Key": f"{n:02}", "Value": "v" * 256} for n in range(50)], FEW):
        client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
        assert client.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    for _ in range(2):
        client.delete_bucket_tagging(Bucket=bucket)
        missing()


def test_they_are_the_owner_s(gateway: Gateway, client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"1", ACL="public-read", Tagging="a=1")
    with closing(clients.s3(gateway, gateway.users["bob"])) as bob:
        assert bob.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
        for refused in (
            lambda: bob.get_object_tagging(Bucket=bucket, Key="k"),
            lambda: bob.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": FEW}),
            lambda: bob.delete_object_tagging(Bucket=bucket, Key="k"),
            lambda: bob.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": FEW}),
            lambda: bob.get_bucket_tagging(Bucket=bucket),
        ):
            with pytest.raises(ClientError) as caught:
                refused()
            assert code(caught) == "AccessDenied"
    assert tags_of(client, bucket, "k") == [{"Key": "a", "Value": "1"}]
