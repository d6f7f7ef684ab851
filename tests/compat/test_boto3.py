"""boto3 against a gateway: every way it has to sign, address, check and transfer."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.compat import clients
from tests.compat.clients import MIB, bytes_of
from tests.compat.conftest import DOMAIN
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

SMALL_PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=8)
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


class OneWayStream:
    """A body of unknown length that can be read once."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(size)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    found: str = error.value.response["Error"]["Code"]
    return found


def read(client: Any, bucket: str, key: str, **arguments: Any) -> bytes:
    with client.get_object(Bucket=bucket, Key=key, **arguments)["Body"] as body:
        content: bytes = body.read()
    return content


def fetch(
    gateway: Gateway, url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    """Status and body of what a plain HTTP client gets; the URL may name any host."""
    parts = urlsplit(url)
    with closing(gateway.connect()) as connection:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, {"Host": parts.netloc, **headers})
        response = connection.getresponse()
        return response.status, response.read()


# ----------------------------------------------------------------------------------------- signing and addressing


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_signature_versions(gateway: Gateway, bucket: str, version: str) -> None:
    key = "a b/ü+&=?#%.txt"
    with closing(clients.s3(gateway, signature_version=version)) as client:
        client.put_object(Bucket=bucket, Key=key, Body=b"signed", Metadata={"k": "v"})
        assert read(client, bucket, key) == b"signed"
        assert clients.keys(client, bucket) == [key]
        assert client.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
        upload = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
        client.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"p")
        client.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)
        client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
        assert clients.keys(client, bucket) == []


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls(gateway: Gateway, bucket: str, version: str) -> None:
    with closing(clients.s3(gateway, signature_version=version)) as client:
        where = {"Bucket": bucket, "Key": "pre signed/ü.txt"}
        url = client.generate_presigned_url("put_object", where, ExpiresIn=60)
        assert fetch(gateway, url, "PUT", b"by URL") == (200, b"")
        override = {"ResponseContentType": "text/x-test", "ResponseContentDisposition": 'attachment; filename="a b"'}
        url = client.generate_presigned_url("get_object", where | override, ExpiresIn=60)
        assert fetch(gateway, url) == (200, b"by URL")
        assert fetch(gateway, url, Range="bytes=3-") == (206, b"URL")
        assert fetch(gateway, url, "DELETE")[0] == 403
        assert fetch(gateway, url.replace("Signature=", "Signature=0"))[0] == 403
        if version == "s3":  # awscrt, which signs the others, refuses to make one that has expired
            assert fetch(gateway, client.generate_presigned_url("get_object", where, ExpiresIn=-1))[0] == 403
        url = client.generate_presigned_url("delete_object", where, ExpiresIn=60)
        assert fetch(gateway, url, "DELETE") == (204, b"")


def test_wrong_secret_unknown_key_and_nobody(gateway: Gateway, bucket: str) -> None:
    wrong = gateway.owner._replace(secret_key="x" * 40)
    unknown = gateway.owner._replace(access_key="AKIAUNKNOWN000000000")
    for user, expected in ((wrong, "SignatureDoesNotMatch"), (unknown, "InvalidAccessKeyId")):
        with closing(clients.s3(gateway, user)) as client, pytest.raises(ClientError) as error:
            client.list_objects_v2(Bucket=bucket)
        assert code(error) == expected
    assert fetch(gateway, f"{gateway.endpoint}/{bucket}")[0] == 403


def test_users_see_their_own_buckets(gateway: Gateway, bucket: str, name: str) -> None:
    with closing(clients.s3(gateway, gateway.users["alice"])) as alice:
        alice.create_bucket(Bucket=f"{name}-alice")
        assert [row["Name"] for row in alice.list_buckets()["Buckets"]] == [f"{name}-alice"]
        with pytest.raises(ClientError) as error:
            alice.list_objects_v2(Bucket=bucket)
        assert code(error) == "AccessDenied"
        alice.delete_bucket(Bucket=f"{name}-alice")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_virtual_hosts(gateway: Gateway, name: str, version: str) -> None:
    """The names need not resolve here: botocore takes the gateway for a proxy and asks it for absolute URLs."""
    config = {
        "s3": {"addressing_style": "virtual"},
        "proxies": {"http": gateway.endpoint},
        "signature_version": version,
    }
    with closing(clients.s3(gateway, None, f"http://{DOMAIN}:{gateway.port}", **config)) as client:
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="x/y ü", Body=b"host")
        assert read(client, name, "x/y ü") == b"host"
        assert clients.keys(client, name, Prefix="x/") == ["x/y ü"]
        url = client.generate_presigned_url("get_object", {"Bucket": name, "Key": "x/y ü"}, ExpiresIn=60)
        assert url.startswith(f"http://{name}.{DOMAIN}:")
        assert fetch(gateway, url) == (200, b"host")
    assert (gateway.data / name / "x" / "y ü").read_bytes() == b"host"


# ------------------------------------------------------------------------------------------------------ integrity


@pytest.fixture(params=["http", "https"])
def either(request: pytest.FixtureRequest, store: str, name: str) -> Iterator[tuple[Any, str]]:
    """A client of a gateway without and with TLS, and a bucket, on each store.

    By default botocore sends a checksum with each object: over TLS as a trailer behind a body that is not signed.
    """
    gateway = request.getfixturevalue("gateway" if request.param == "http" else "tls_gateway")
    with closing(clients.s3(gateway)) as client:
        client.create_bucket(Bucket=f"{name}-either")
        yield client, f"{name}-either"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [0, 1, 70_000, MIB + 1])
def test_checksums(either: tuple[Any, str], algorithm: str, size: int) -> None:
    client, bucket = either
    content = bytes_of(size)
    field = f"Checksum{algorithm}"
    put = client.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(content), ChecksumAlgorithm=algorithm)
    assert put[field]
    assert put["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    # Reading to the end, botocore compares the checksum that we say with the bytes that it got.
    got = client.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[field] == put[field]
    with got["Body"] as body:
        assert body.read() == content
    attributes = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize"])
    assert attributes["Checksum"][field] == put[field]
    assert attributes["ObjectSize"] == size


def test_default_checksum(either: tuple[Any, str]) -> None:
    client, bucket = either
    client.put_object(Bucket=bucket, Key="k", Body=b"default")
    head = client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"default").to_bytes(4, "big")).decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_multipart_checksums(either: tuple[Any, str], algorithm: str) -> None:
    client, bucket = either
    content = bytes_of(5 * MIB + 1000)
    source = io.BytesIO(content)
    extra = {"ChecksumAlgorithm": algorithm}
    client.upload_fileobj(source, bucket, "k", ExtraArgs=extra, Config=SMALL_PARTS)
    attributes = client.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectParts"])
    assert attributes["Checksum"][f"Checksum{algorithm}"]
    assert attributes["ObjectParts"]["TotalPartsCount"] == 2
    assert read(client, bucket, "k", ChecksumMode="ENABLED") == content


def test_wrong_checksum_is_refused(client: Any, bucket: str) -> None:
    for wrong in ({"ChecksumCRC32": "AAAAAA=="}, {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}):
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket=bucket, Key="k", Body=b"content", **wrong)
        assert code(error) == "BadDigest"
    assert clients.keys(client, bucket) == []


# ------------------------------------------------------------------------------------------------------ transfers


def test_transfer_manager(gateway: Gateway, either: tuple[Any, str], tmp_path: Path) -> None:
    client, bucket = either
    content = bytes_of(23 * MIB + 17)
    (tmp_path / "up").write_bytes(content)
    client.upload_file(str(tmp_path / "up"), bucket, "big", ExtraArgs={"ContentType": "a/b"}, Config=SMALL_PARTS)
    head = client.head_object(Bucket=bucket, Key="big")
    assert (head["ContentLength"], head["ContentType"], head["ETag"][-3:]) == (len(content), "a/b", '-5"')
    client.download_file(bucket, "big", str(tmp_path / "down"), Config=SMALL_PARTS)
    assert (tmp_path / "down").read_bytes() == content
    client.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=SMALL_PARTS)  # by UploadPartCopy
    assert read(client, bucket, "copy") == content


def test_stream_of_unknown_length(either: tuple[Any, str]) -> None:
    client, bucket = either
    content = bytes_of(6 * MIB)
    client.upload_fileobj(OneWayStream(content), bucket, "parts", Config=SMALL_PARTS)
    assert read(client, bucket, "parts") == content


def test_chunked_without_content_length(gateway: Gateway, bucket: str, client: Any) -> None:
    """What http.client does with an iterable: Transfer-Encoding: chunked and nothing said about the size."""
    content = [bytes_of(size, size) for size in (1, 100_000, 7, MIB)]
    url = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "chunked"}, ExpiresIn=60)
    with closing(gateway.connect()) as connection:
        target = url.removeprefix(gateway.endpoint)
        connection.request(
            "PUT", target, body=iter(content), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        assert connection.getresponse().status == 200
    assert read(client, bucket, "chunked") == b"".join(content)


def test_empty_files_that_expect_to_be_continued(gateway: Gateway, bucket: str) -> None:
    """Older botocores confuse the next answer on the connection; see the test of the same name for the AWS CLI."""
    with closing(clients.s3(gateway, max_pool_connections=1, read_timeout=10)) as client:
        for number in range(3):
            client.put_object(Bucket=bucket, Key="empty", Body=io.BytesIO())
            client.put_object(Bucket=bucket, Key=f"full-{number}", Body=io.BytesIO(b"content"))
            for content in (b"", b"content"):
                with pytest.raises(ClientError) as error:
                    client.put_object(Bucket=bucket, Key="empty", Body=io.BytesIO(content), IfNoneMatch="*")
                assert code(error) == "PreconditionFailed"
            assert read(client, bucket, f"full-{number}") == b"content"


def test_ranges(client: Any, bucket: str) -> None:
    content = bytes_of(300_000)
    client.put_object(Bucket=bucket, Key="k", Body=content)
    for asked, expected in (("0-0", content[:1]), ("5-99999", content[5:100_000]), ("-10", content[-10:])):
        assert read(client, bucket, "k", Range=f"bytes={asked}") == expected
    with pytest.raises(ClientError) as error:
        client.get_object(Bucket=bucket, Key="k", Range="bytes=300000-")
    assert code(error) == "InvalidRange"


# ------------------------------------------------------------------------------------------------------- listings


def test_paginators(client: Any, bucket: str) -> None:
    names = sorted(f"{top}/{number:02}" for top in ("a", "b", "c") for number in range(9))
    for key in names:
        client.put_object(Bucket=bucket, Key=key)
    small = {"PageSize": 4}
    for operation, field in (
        ("list_objects", "Contents"),
        ("list_objects_v2", "Contents"),
        ("list_object_versions", "Versions"),
    ):
        pages = client.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig=small)
        assert [row["Key"] for page in pages for row in page[field]] == names, operation
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    assert [row["Prefix"] for page in pages for row in page["CommonPrefixes"]] == ["a/", "b/", "c/"]
    uploads = [client.create_multipart_upload(Bucket=bucket, Key=f"u{n}")["UploadId"] for n in range(3)]
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [row["UploadId"] for page in pages for row in page["Uploads"]] == uploads
    for number in range(1, 6):
        client.upload_part(Bucket=bucket, Key="u0", UploadId=uploads[0], PartNumber=number, Body=b"p")
    pages = client.get_paginator("list_parts").paginate(
        Bucket=bucket, Key="u0", UploadId=uploads[0], PaginationConfig={"PageSize": 2}
    )
    assert [row["PartNumber"] for page in pages for row in page["Parts"]] == [1, 2, 3, 4, 5]


def test_buckets_in_pages(gateway: Gateway, name: str) -> None:
    names = [f"{name}-paged-{number}" for number in range(4)]
    with closing(clients.s3(gateway)) as client:
        for bucket in names:
            client.create_bucket(Bucket=bucket)
        pages = client.get_paginator("list_buckets").paginate(Prefix=f"{name}-paged", PaginationConfig={"PageSize": 3})
        assert [[row["Name"] for row in page["Buckets"]] for page in pages] == [names[:3], names[3:]]
        for bucket in names:
            client.delete_bucket(Bucket=bucket)


AWKWARD_KEYS = (
    "a", "a/b", "a/", "a//b", "../a", "/a", "./a", "a/./b", "a/../../b", "//", "/", ".", "..", " ", "a ", "%2F",
    "*?[x]", "ü", "u\u0308", "日本語/キー", "😀", "new\nline", "tab\t", "back\\slash", "<&>\"'", ".s3~tmp.x",
    "p" * 1000 + "/x", "n/" * 500,
)  # fmt: skip


def test_awkward_keys(gateway: Gateway, client: Any, bucket: str) -> None:
    contents = {key: f"content of {key}".encode() for key in AWKWARD_KEYS}
    for key, content in contents.items():
        client.put_object(Bucket=bucket, Key=key, Body=content)
    assert clients.keys(client, bucket) == sorted(contents, key=str.encode)
    assert {key: read(client, bucket, key) for key in contents} == contents
    # The prefix and the delimiter see the key, whatever it is on the disk.
    assert clients.keys(client, bucket, Prefix="a/") == sorted(
        (k for k in contents if k.startswith("a/")), key=str.encode
    )
    top = client.list_objects_v2(Bucket=bucket, Delimiter="/")
    tops = {f"{key.partition('/')[0]}/" for key in contents if "/" in key}
    assert [row["Prefix"] for row in top["CommonPrefixes"]] == sorted(tops, key=str.encode)
    for key in AWKWARD_KEYS:
        client.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": key})
        assert read(client, bucket, "copied") == contents[key]
    client.delete_object(Bucket=bucket, Key="copied")
    for half in (AWKWARD_KEYS[::2], AWKWARD_KEYS[1::2]):
        deleted = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in half]})
        assert "Errors" not in deleted
    assert clients.keys(client, bucket) == []
    assert list((gateway.data / bucket).iterdir()) == []
    client.delete_bucket(Bucket=bucket)


def test_plain_keys_are_plain_paths(gateway: Gateway, client: Any, bucket: str) -> None:
    top = gateway.data / bucket
    for key in ("plain.txt", "with/directories/x", "ünï/日本語", "glob*?[", "..."):
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert (top / key).read_bytes() == key.encode()
    # And the other way round: what others put there is an object.
    (top / "from").mkdir()
    (top / "from/elsewhere.html").write_bytes(b"<p>")
    got = client.get_object(Bucket=bucket, Key="from/elsewhere.html")
    with got["Body"] as body:
        assert (body.read(), got["ContentType"]) == (b"<p>", "text/html")
    assert "-" in got["ETag"]


# ------------------------------------------------------------------------------------------------ objects at large


def test_metadata(client: Any, bucket: str) -> None:
    given = {
        "Metadata": {"colour": "red", "empty": ""},
        "ContentType": "text/html; charset=utf-8",
        "CacheControl": "max-age=5",
        "ContentDisposition": "inline",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
    }
    client.put_object(Bucket=bucket, Key="k", Body=b"x", **given)
    client.copy_object(Bucket=bucket, Key="same", CopySource=f"{bucket}/k")
    client.copy_object(
        Bucket=bucket, Key="other", CopySource=f"{bucket}/k", MetadataDirective="REPLACE", Metadata={"colour": "blue"}
    )
    for key in ("k", "same"):
        head = client.head_object(Bucket=bucket, Key=key)
        assert {name: head[name] for name in given} == given
    assert client.head_object(Bucket=bucket, Key="other")["Metadata"] == {"colour": "blue"}


def test_conditions(client: Any, bucket: str) -> None:
    first = client.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    for wrong in ({"IfNoneMatch": "*"}, {"IfMatch": '"00000000000000000000000000000000"'}):
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket=bucket, Key="k", Body=b"2", **wrong)
        assert code(error) == "PreconditionFailed"
    second = client.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)["ETag"]
    with pytest.raises(ClientError) as error:
        client.get_object(Bucket=bucket, Key="k", IfNoneMatch=second)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304
    with pytest.raises(ClientError) as error:
        client.delete_object(Bucket=bucket, Key="k", IfMatch=first)
    assert code(error) == "PreconditionFailed"
    client.delete_object(Bucket=bucket, Key="k", IfMatch=second)


def test_multipart_by_hand(client: Any, bucket: str) -> None:
    head, tail = bytes_of(5 * MIB, 1), b"tail"
    client.put_object(Bucket=bucket, Key="source", Body=head)
    where = {"Bucket": bucket, "Key": "whole"}
    where["UploadId"] = client.create_multipart_upload(**where, Metadata={"m": "1"})["UploadId"]
    copied = client.upload_part_copy(**where, PartNumber=1, CopySource=f"{bucket}/source")["CopyPartResult"]["ETag"]
    sent = client.upload_part(**where, PartNumber=2, Body=tail)["ETag"]
    client.upload_part(**where, PartNumber=9, Body=b"never used")
    assert clients.keys(client, bucket) == ["source"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": copied}, {"PartNumber": 2, "ETag": sent}]}
    done = client.complete_multipart_upload(**where, MultipartUpload=parts)
    assert client.complete_multipart_upload(**where, MultipartUpload=parts)["ETag"] == done["ETag"]
    got = client.get_object(Bucket=bucket, Key="whole", PartNumber=2)
    with got["Body"] as body:
        assert (body.read(), got["PartsCount"], got["Metadata"]) == (tail, 2, {"m": "1"})
    assert read(client, bucket, "whole") == head + tail
    with pytest.raises(ClientError) as error:
        client.upload_part(**where, PartNumber=1, Body=b"late")
    assert code(error) == "NoSuchUpload"
