"""Browsers' forms against a gateway, as boto3 presigns them and curl sends them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests.compat import clients
from tests.compat.clients import MIB, Client, bytes_of
from tests.compat.conftest import DOMAIN
from tests.compat.test_boto3 import read
from tests.form_kit import CONTENT_TYPE, encode
from tests.gateway import Gateway

pytestmark = pytest.mark.compat


def post(
    gateway: Gateway, url: str, fields: Mapping[str, str], file: bytes, filename: str = "file.txt", *, chunks: int = 0
) -> tuple[int, str, dict[str, str]]:
    """Send a form; answers status, error code (or what else is said) and headers.  ``chunks``: of as many bytes."""
    body, parts = encode(fields, file, filename), urlsplit(url)
    with closing(gateway.connect()) as connection:
        pieces = (body[at : at + chunks] for at in range(0, len(body), chunks)) if chunks else body
        headers = {"Host": parts.netloc, "Content-Type": CONTENT_TYPE}
        connection.request("POST", parts.path, pieces, headers, encode_chunked=bool(chunks))
        answer = connection.getresponse()
        said = answer.read().decode()
        text = ElementTree.fromstring(said).findtext("Code") if answer.status >= 400 else said
        return answer.status, text or "", {name.lower(): value for name, value in answer.getheaders()}


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_form(gateway: Gateway, bucket: str, version: str) -> None:
    with closing(clients.s3(gateway, signature_version=version)) as client:
        fields = {
            "acl": "public-read",
            "Content-Type": "text/plain",
            "x-amz-meta-who": "me",
            "x-amz-storage-class": "GLACIER",
        }
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        made = client.generate_presigned_post(
            bucket, "d/ü ${filename}", fields, [*conditions, ["content-length-range", 3, 9]]
        )
        url, fields = made["url"], made["fields"]
        status, said, headers = post(gateway, url, fields, b"hello", "a+b.txt")
        assert (status, said, headers["etag"]) == (204, "", f'"{hashlib.md5(b"hello").hexdigest()}"')
        assert headers["location"] == f"{url.rstrip('/')}/d/%C3%BC%20a%2Bb.txt"
        found = client.get_object(Bucket=bucket, Key="d/ü a+b.txt")
        assert found["Body"].read() == b"hello" and found["Metadata"] == {"who": "me"}
        assert (found["ContentType"], found["StorageClass"]) == ("text/plain", "GLACIER")
        grants = client.get_object_acl(Bucket=bucket, Key="d/ü a+b.txt")["Grants"]
        assert [grant["Permission"] for grant in grants if "URI" in grant["Grantee"]] == ["READ"]
        for changes, file, expected in (
            ({}, b"ab", (400, "EntityTooSmall")),
            ({}, b"0123456789", (400, "EntityTooLarge")),
            ({}, bytes(MIB), (400, "EntityTooLarge")),
            ({"acl": "private"}, b"hello", (403, "AccessDenied")),
            ({"x-amz-meta-more": "x"}, b"hello", (403, "AccessDenied")),
            ({"key": "other"}, b"hello", (403, "AccessDenied")),
            ({"policy": fields["policy"][:-8]}, b"hello", (403, "SignatureDoesNotMatch")),
        ):
            assert post(gateway, url, fields | changes, file)[:2] == expected
        assert clients.keys(client, bucket) == ["d/ü a+b.txt"] and read(client, bucket, "d/ü a+b.txt") == b"hello"


@pytest.mark.parametrize("size", [0, 1, MIB, 6 * MIB + 1])
@pytest.mark.parametrize("chunks", [0, 65_536, 1000])
def test_any_size_and_framing(gateway: Gateway, client: Any, bucket: str, size: int, chunks: int) -> None:
    content = b"\r\n--" + bytes_of(size)
    made = client.generate_presigned_post(bucket, "k")
    assert post(gateway, made["url"], made["fields"], content, chunks=chunks)[0] == 204
    assert read(client, bucket, "k") == content
    assert client.head_object(Bucket=bucket, Key="k")["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'


def test_over_tls(tls_gateway: Gateway, name: str) -> None:
    with closing(clients.s3(tls_gateway)) as client:
        client.create_bucket(Bucket=name)
        made = client.generate_presigned_post(name, "k")
        content = bytes_of(3 * MIB)
        assert post(tls_gateway, made["url"], made["fields"], content)[0] == 204
        assert read(client, name, "k") == content


def test_a_virtual_host(gateway: Gateway, bucket: str, client: Any) -> None:
    endpoint = f"http://{DOMAIN}:{gateway.port}"
    with closing(clients.s3(gateway, None, endpoint, s3={"addressing_style": "virtual"})) as virtual:
        made = virtual.generate_presigned_post(bucket, "a/k")
    assert urlsplit(made["url"]).path == "/"
    _, _, headers = post(gateway, made["url"], made["fields"], b"virtual")
    assert headers["location"] == f"http://{bucket}.{DOMAIN}:{gateway.port}/a/k"
    assert read(client, bucket, "a/k") == b"virtual"


def test_what_a_browser_is_told(gateway: Gateway, client: Any, bucket: str) -> None:
    fields = {"success_action_status": "201"}
    made = client.generate_presigned_post(bucket, "k", fields, [fields])
    status, said, headers = post(gateway, made["url"], made["fields"], b"x")
    told = [ElementTree.fromstring(said).findtext(name) for name in ("Location", "Bucket", "Key", "ETag")]
    assert (status, told) == (201, [headers["location"], bucket, "k", headers["etag"]])
    fields = {"success_action_redirect": "http://127.0.0.1:1/done?a=b"}
    made = client.generate_presigned_post(bucket, "k", fields, [fields])
    status, said, headers = post(gateway, made["url"], made["fields"], b"x")
    etag = headers["etag"].strip('"')
    assert (status, said) == (303, "")
    assert headers["location"] == f"http://127.0.0.1:1/done?a=b&bucket={bucket}&key=k&etag=%22{etag}%22"


def test_without_a_signature(gateway: Gateway, client: Any, bucket: str) -> None:
    url, fields = f"{gateway.endpoint}/{bucket}", {"key": "k", "Content-Type": "text/plain"}
    assert post(gateway, url, fields, b"x")[:2] == (403, "AccessDenied")
    client.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert post(gateway, url, fields, b"anybody's")[0] == 204
    assert read(client, bucket, "k") == b"anybody's"
    assert post(gateway, f"{gateway.endpoint}/no-such-bucket", fields, b"x")[:2] == (404, "NoSuchBucket")


def test_a_form_is_good_for_what_its_signer_may(gateway: Gateway, bucket: str) -> None:
    with closing(clients.s3(gateway, gateway.users["alice"])) as alice:
        made = alice.generate_presigned_post(bucket, "k")
    assert post(gateway, made["url"], made["fields"], b"x")[:2] == (403, "AccessDenied")


def test_a_checksum_that_the_policy_does_not_know(gateway: Gateway, client: Any, bucket: str) -> None:
    made = client.generate_presigned_post(bucket, "k")
    fields, sha = made["fields"], base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    assert post(gateway, made["url"], fields | {"x-amz-checksum-sha256": sha}, b"y")[:2] == (400, "BadDigest")
    assert post(gateway, made["url"], fields | {"x-amz-checksum-sha256": sha}, b"x")[0] == 204
    assert client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha


def test_curl(gateway: Gateway, client: Any, bucket: str, tmp_path: Path) -> None:
    curl = Client("curl", tmp_path, {}, ("--silent", "--show-error", "--fail-with-body"))
    content = bytes_of(2 * MIB)
    (tmp_path / "ä b.bin").write_bytes(content)
    made = client.generate_presigned_post(bucket, "d/${filename}")
    words = [word for name, value in made["fields"].items() for word in ("--form-string", f"{name}={value}")]
    curl(*words, "--form", "file=@ä b.bin", made["url"])  # with Expect: 100-continue
    assert read(client, bucket, "d/ä b.bin") == content
    (tmp_path / "small").write_bytes(b"small")
    curl(*words, "--form", "file=@small", "--form", "submit=Upload", made["url"])
    assert read(client, bucket, "d/small") == b"small"
