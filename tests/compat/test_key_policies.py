"""Keys with policies, as ``credential generate --policy`` makes them, used by boto3 at a running gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.compat.clients import s3
from tests.form_kit import CONTENT_TYPE, encode
from tests.gateway import Gateway, User, running_gateway

SPAM = "spam/"
PATIENCE = 30.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("policies")
    with running_gateway(directory, durability="none", workers=1, settings={"cache_refresh_interval_secs": 1}) as made:
        yield made


@pytest.fixture(scope="module")
def owner(gateway: Gateway) -> Any:
    client = s3(gateway)
    client.create_bucket(Bucket="bkt")
    client.create_bucket(Bucket="other")
    client.put_object(Bucket="bkt", Key="k", Body=b"1")
    client.put_object(Bucket="bkt", Key=f"{SPAM}k", Body=b"2")
    return client


def client_with(gateway: Gateway, policy: str, user: str | None = None) -> Any:
    """A client with a new key, which the gateway knows."""
    command = [sys.executable, "-m", "s3server", "credential", "generate", "--policy", policy]
    command += ["--credentials-path", str(gateway.credentials_file), *(["--user", user] if user else [])]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | {"CURVINE_HOME": str(gateway.home)}
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(gateway.credentials_file.read_text().splitlines()[-1])
    client = s3(gateway, User(user, made["access_key"], made["secret_key"]))
    until = time.monotonic() + PATIENCE
    while True:
        try:
            client.list_buckets()
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidAccessKeyId":
                assert time.monotonic() < until
                continue
        return client


def document(tmp_path: Path, *statements: dict[str, Any]) -> str:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    return str(path)


def denied(act: Callable[[], object]) -> bool:
    try:
        act()
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        return True
    return False


def test_readonly(gateway: Gateway, owner: Any) -> None:
    reader = client_with(gateway, "readonly")
    assert reader.get_object(Bucket="bkt", Key="k")["Body"].read() == b"1"
    assert [row["Key"] for row in reader.list_objects_v2(Bucket="bkt")["Contents"]] == ["k", f"{SPAM}k"]
    assert {"bkt", "other"} <= {row["Name"] for row in reader.list_buckets()["Buckets"]}
    assert denied(lambda: reader.put_object(Bucket="bkt", Key="new", Body=b""))
    assert denied(lambda: reader.delete_object(Bucket="bkt", Key="k"))
    assert denied(lambda: reader.copy_object(Bucket="bkt", Key="new", CopySource="bkt/k"))
    assert denied(lambda: reader.create_multipart_upload(Bucket="bkt", Key="new"))
    assert denied(lambda: reader.create_bucket(Bucket="new-bucket"))
    errors = reader.delete_objects(Bucket="bkt", Delete={"Objects": [{"Key": "k"}]})["Errors"]
    assert [(row["Key"], row["Code"]) for row in errors] == [("k", "AccessDenied")]
    assert owner.get_object(Bucket="bkt", Key="k")["Body"].read() == b"1"


def test_writeonly(gateway: Gateway, owner: Any) -> None:
    writer = client_with(gateway, "writeonly")
    writer.put_object(Bucket="bkt", Key="written", Body=b"3")
    upload = writer.create_multipart_upload(Bucket="bkt", Key="large")["UploadId"]
    part = writer.upload_part(Bucket="bkt", Key="large", UploadId=upload, PartNumber=1, Body=b"4")
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    writer.complete_multipart_upload(Bucket="bkt", Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    assert owner.get_object(Bucket="bkt", Key="large")["Body"].read() == b"4"
    assert denied(lambda: writer.get_object(Bucket="bkt", Key="written"))
    assert denied(lambda: writer.head_object(Bucket="bkt", Key="missing")), "not even what is not there"
    assert denied(lambda: writer.list_objects_v2(Bucket="bkt"))
    assert denied(lambda: writer.put_object(Bucket="bkt", Key="open", Body=b"", ACL="public-read"))
    for key in ("written", "large"):
        owner.delete_object(Bucket="bkt", Key=key)


def test_forms(gateway: Gateway, owner: Any, tmp_path: Path) -> None:
    """A form may what the key that signed its policy may, also where that is about headers: fields are those."""
    put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::bkt/{SPAM}*"}
    evil = {"StringLike": {"aws:Referer": "http://evil*"}}
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": evil}
    client = client_with(gateway, document(tmp_path, put, deny))

    def status(key: str, fields: dict[str, str] | None = None, **headers: str) -> int:
        conditions = [{name: value} for name, value in (fields or {}).items()]
        made = client.generate_presigned_post("bkt", key, fields, conditions)
        with closing(gateway.connect()) as connection:
            body = encode(made["fields"], b"x")
            connection.request("POST", "/bkt", body, {"Content-Type": CONTENT_TYPE, **headers})
            return connection.getresponse().status

    assert status(f"{SPAM}form") == 204
    assert status("form") == 403
    assert status(f"{SPAM}form", {"acl": "public-read"}) == 403, "that is PutObjectAcl"
    assert status(f"{SPAM}form", Referer="http://evil.example/") == 403
    owner.delete_object(Bucket="bkt", Key=f"{SPAM}form")


def test_a_user_has_no_more_by_a_policy(gateway: Gateway, owner: Any) -> None:
    ann = client_with(gateway, "readwrite", user="ann")
    assert denied(lambda: ann.get_object(Bucket="bkt", Key="k")), "another's bucket stays another's"
    ann.create_bucket(Bucket="anns")
    ann.put_object(Bucket="anns", Key="k", Body=b"5")
    assert [row["Name"] for row in ann.list_buckets()["Buckets"]] == ["anns"]


def test_a_part_of_a_bucket(gateway: Gateway, owner: Any, tmp_path: Path) -> None:
    objects = {"Effect": "Allow", "Action": "s3:*Object", "Resource": f"arn:aws:s3:::bkt/{SPAM}*"}
    listing = {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::bkt",
        "Condition": {"StringLike": {"s3:prefix": f"{SPAM}*"}},
    }
    client = client_with(gateway, document(tmp_path, objects, listing))
    assert [row["Key"] for row in client.list_objects_v2(Bucket="bkt", Prefix=SPAM)["Contents"]] == [f"{SPAM}k"]
    assert denied(lambda: client.list_objects_v2(Bucket="bkt"))
    assert client.get_object(Bucket="bkt", Key=f"{SPAM}k")["Body"].read() == b"2"
    assert denied(lambda: client.get_object(Bucket="bkt", Key="k"))
    assert denied(lambda: client.copy_object(Bucket="bkt", Key=f"{SPAM}copy", CopySource="bkt/k")), "source"
    assert denied(lambda: client.copy_object(Bucket="bkt", Key="copy", CopySource=f"bkt/{SPAM}k")), "destination"
    client.copy_object(Bucket="bkt", Key=f"{SPAM}copy", CopySource=f"bkt/{SPAM}k")
    entries = [{"Key": f"{SPAM}copy"}, {"Key": "k"}]
    done = client.delete_objects(Bucket="bkt", Delete={"Objects": entries})
    assert [row["Key"] for row in done["Deleted"]] == [f"{SPAM}copy"]
    assert [(row["Key"], row["Code"]) for row in done["Errors"]] == [("k", "AccessDenied")]
