"""The AWS command line against a gateway: the ``s3`` commands, and the operations of ``s3api`` that users script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.compat import clients
from tests.compat.clients import MIB, Client, bytes_of, make_tree, tree
from tests.gateway import Gateway

pytestmark = pytest.mark.compat


@pytest.fixture
def aws(gateway: Gateway, tmp_path: Path) -> Client:
    return clients.aws(gateway, tmp_path)


def test_files(aws: Client, name: str, tmp_path: Path) -> None:
    """mb, cp in all directions, ls, mv, rm, rb."""
    content = bytes_of(20 * MIB + 1)  # three parts
    (tmp_path / "up").write_bytes(content)
    url = f"s3://{name}"
    assert aws("s3", "mb", url) == f"make_bucket: {name}\n"
    assert f" {name}\n" in aws("s3", "ls")
    aws("s3", "cp", "up", f"{url}/big", "--metadata", "a=b", "--content-type", "text/x", "--no-progress")
    aws("s3", "cp", f"{url}/big", f"{url}/dir/copy")  # by UploadPartCopy
    aws("s3", "mv", f"{url}/dir/copy", f"{url}/dir/moved")
    aws("s3", "cp", "-", f"{url}/dir/ü b.txt", stdin=b"from a pipe")
    assert aws("s3", "cp", f"{url}/dir/ü b.txt", "-") == "from a pipe"
    aws("s3", "mv", f"{url}/dir/moved", "down")
    assert (tmp_path / "down").read_bytes() == content
    assert [line[20:].split(maxsplit=1) for line in aws("s3", "ls", f"{url}/").splitlines()] == [
        ["PRE", "dir/"],
        [str(len(content)), "big"],
    ]
    listed = aws("s3", "ls", url, "--recursive", "--summarize")
    assert "dir/ü b.txt" in listed and "Total Objects: 2" in listed
    assert "BucketNotEmpty" in aws.run("s3", "rb", url, fails=True).stderr
    aws("s3", "rm", url, "--recursive")
    aws("s3", "rb", url)
    assert "NoSuchBucket" in aws.run("s3", "ls", url, fails=True).stderr


def test_sync(aws: Client, gateway: Gateway, bucket: str, tmp_path: Path) -> None:
    files = make_tree(tmp_path / "up")
    words = ("s3", "sync", "up", f"s3://{bucket}/p", "--no-progress")
    assert aws(*words).count("upload: ") == len(files)
    assert aws(*words) == ""
    assert tree(gateway.data / bucket / "p") == files
    back = ("s3", "sync", f"s3://{bucket}/p", "down", "--no-progress")
    assert aws(*back).count("download: ") == len(files)
    assert aws(*back) == ""
    assert tree(tmp_path / "down") == files
    (tmp_path / "up/plain.txt").unlink()
    (tmp_path / "up/deep/er/100%.bin").write_bytes(b"changed")
    changed = aws(*words, "--delete")
    assert changed.count("\n") == 2 and "delete: " in changed and "upload: " in changed
    assert tree(gateway.data / bucket / "p") == tree(tmp_path / "up")
    # rb --force empties the bucket first.
    aws("s3", "rb", f"s3://{bucket}", "--force")


def test_empty_files_that_expect_to_be_continued(aws: Client, bucket: str, tmp_path: Path) -> None:
    """The CLI's botocore must not confuse the next answer on the connection (s3server/socket_body.py)."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\ns3 =\n  max_concurrent_requests = 1\n")
    (tmp_path / "up").mkdir()
    for number in range(10):
        (tmp_path / f"up/{number}").write_bytes(b"content" * (number % 2))
    copied = aws("s3", "cp", "up", f"s3://{bucket}/", "--recursive", "--no-progress", "--cli-read-timeout=10")
    assert copied.count("upload: ") == 10


def test_presign(aws: Client, bucket: str, client: Any, tmp_path: Path) -> None:
    client.put_object(Bucket=bucket, Key="a b.txt", Body=b"presigned")
    url = aws("s3", "presign", f"s3://{bucket}/a b.txt", "--expires-in", "60").strip()
    assert Client("curl", tmp_path, {})("--silent", "--show-error", "--fail", url) == "presigned"


class Api:
    """``aws s3api``: words in, JSON out."""

    def __init__(self, aws: Client) -> None:
        self._aws = aws

    def __call__(self, operation: str, **options: str | Path | int) -> Any:
        printed = self._aws("s3api", operation, *self._words(options), "--output", "json")
        return json.loads(printed) if printed.strip() else {}

    def error(self, operation: str, **options: str | Path | int) -> str:
        return self._aws.run("s3api", operation, *self._words(options), fails=True).stderr

    @staticmethod
    def _words(options: dict[str, str | Path | int]) -> list[str]:
        """``outfile`` is the one that stands alone."""
        words = [str(options["outfile"])] if "outfile" in options else []
        for name, value in options.items():
            if name != "outfile":
                words += [f"--{name.replace('_', '-')}", str(value)]
        return words


@pytest.fixture
def api(aws: Client) -> Api:
    return Api(aws)


def test_api_of_buckets(api: Api, name: str, gateway: Gateway) -> None:
    for bucket in (f"{name}-x", f"{name}-y"):
        assert api("create-bucket", bucket=bucket) == {"Location": f"/{bucket}"}
    assert api("head-bucket", bucket=f"{name}-x")["BucketRegion"] == gateway.region
    assert api("get-bucket-location", bucket=f"{name}-x") == {"LocationConstraint": None}
    listed = api("list-buckets", prefix=f"{name}-", page_size=1)
    assert [row["Name"] for row in listed["Buckets"]] == [f"{name}-x", f"{name}-y"]
    assert api("get-bucket-versioning", bucket=f"{name}-x") == {}
    assert api("get-bucket-acl", bucket=f"{name}-x")["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert "NoSuchBucketPolicy" in api.error("get-bucket-policy", bucket=f"{name}-x")
    for bucket in (f"{name}-x", f"{name}-y"):
        api("delete-bucket", bucket=bucket)
    assert "404" in api.error("head-bucket", bucket=f"{name}-x")


def test_api_of_objects(api: Api, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"0123456789")
    one = {"bucket": bucket, "key": "k"}
    etag = api("put-object", **one, body="body", checksum_algorithm="SHA256", if_none_match="*")["ETag"]
    assert "PreconditionFailed" in api.error("put-object", **one, body="body", if_none_match="*")
    api("put-object", **one, body="body", if_match=etag, checksum_algorithm="CRC64NVME")
    assert api("get-object", **one, range="bytes=2-4", outfile=tmp_path / "part")["ContentRange"] == "bytes 2-4/10"
    assert (tmp_path / "part").read_bytes() == b"234"
    assert api("head-object", **one)["ContentLength"] == 10
    attributes = api("get-object-attributes", **one, object_attributes='["Checksum","ObjectSize"]')
    assert attributes["ObjectSize"] == 10 and attributes["Checksum"]["ChecksumCRC64NVME"]
    assert api("copy-object", bucket=bucket, key="c", copy_source=f"{bucket}/k")["CopyObjectResult"]["ETag"] == etag
    assert [row["Key"] for row in api("list-objects", bucket=bucket)["Contents"]] == ["c", "k"]
    assert [row["Key"] for row in api("list-objects-v2", bucket=bucket, page_size=1)["Contents"]] == ["c", "k"]
    assert [row["VersionId"] for row in api("list-object-versions", bucket=bucket)["Versions"]] == ["null", "null"]
    batch = json.dumps({"Objects": [{"Key": "c"}, {"Key": "k"}, {"Key": "never"}]})
    assert len(api("delete-objects", bucket=bucket, delete=batch)["Deleted"]) == 3
    assert "404" in api.error("head-object", **one)


def test_api_of_multipart_uploads(api: Api, bucket: str, tmp_path: Path, client: Any) -> None:
    (tmp_path / "first").write_bytes(bytes_of(5 * MIB))
    (tmp_path / "last").write_bytes(b"last")
    one = {"bucket": bucket, "key": "k"}
    upload = {**one, "upload_id": api("create-multipart-upload", **one)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": api("upload-part", **upload, part_number=number, body=body)["ETag"]}
        for number, body in enumerate(("first", "last"), 1)
    ]
    assert [row["Size"] for row in api("list-parts", **upload)["Parts"]] == [5 * MIB, 4]
    assert [row["Key"] for row in api("list-multipart-uploads", bucket=bucket)["Uploads"]] == ["k"]
    api("complete-multipart-upload", **upload, multipart_upload=json.dumps({"Parts": parts}))
    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == 5 * MIB + 4
    again = {**one, "upload_id": api("create-multipart-upload", **one)["UploadId"]}
    api("upload-part-copy", **again, part_number=1, copy_source=f"{bucket}/k", copy_source_range="bytes=0-9")
    api("abort-multipart-upload", **again)
    assert "Uploads" not in api("list-multipart-uploads", bucket=bucket)
