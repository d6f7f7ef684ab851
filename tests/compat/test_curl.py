"""curl against a gateway: its own signatures (``--aws-sigv4``), and plain HTTP where that is all one has."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.compat import clients
from tests.compat.clients import Client, bytes_of
from tests.compat.conftest import DOMAIN
from tests.gateway import Gateway

pytestmark = pytest.mark.compat

UNHASHED = ("--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
"""curl (7.88) does not say the hash of what it uploads, and S3 wants to be told so."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client("curl", tmp_path_factory.mktemp("plain"), {}, ("--silent", "--show-error", "--fail-with-body"))


@pytest.fixture
def signed(gateway: Gateway, tmp_path: Path) -> Client:
    return signing(gateway, tmp_path)


def signing(gateway: Gateway, directory: Path) -> Client:
    user = gateway.owner
    flags = ["--silent", "--show-error", "--fail-with-body"]
    flags += ["--aws-sigv4", f"aws:amz:{gateway.region}:s3", "--user", f"{user.access_key}:{user.secret_key}"]
    if gateway.certificate:
        flags += ["--cacert", str(gateway.certificate)]
    return Client("curl", directory, {}, flags)


def test_signed_requests(signed: Client, gateway: Gateway, name: str, tmp_path: Path) -> None:
    url = f"{gateway.endpoint}/{name}"
    content = bytes_of(50_000).hex()
    (tmp_path / "file.txt").write_text(content)
    signed("--request", "PUT", url)
    assert f"<Name>{name}</Name>" in signed(gateway.endpoint)
    signed("--upload-file", "file.txt", f"{url}/d/file.txt", *UNHASHED, "--header", "Content-Type: text/x")
    signed(*UNHASHED, "--request", "PUT", "--data-binary", "@file.txt", f"{url}/d/data.txt")
    assert signed(f"{url}/d/file.txt") == signed(f"{url}/d/data.txt") == content
    assert signed("--header", "Range: bytes=0-999", f"{url}/d/file.txt") == content[:1000]
    assert signed("--header", "Range: bytes=-1000", f"{url}/d/file.txt") == content[-1000:]
    assert f"content-length: {len(content)}" in signed("--head", f"{url}/d/file.txt").lower()
    assert "<Key>d/file.txt</Key>" in signed(f"{url}?list-type=2&prefix=d")
    for key in ("d/file.txt", "d/data.txt"):
        signed("--request", "DELETE", f"{url}/{key}")
    signed("--request", "DELETE", url)
    assert "NoSuchBucket" in signed.run(url, fails=True).stdout


def test_tls(tls_gateway: Gateway, name: str, tmp_path: Path) -> None:
    signed = signing(tls_gateway, tmp_path)
    (tmp_path / "file").write_bytes(b"over TLS")
    signed("--request", "PUT", f"{tls_gateway.endpoint}/{name}-curl")
    signed(*UNHASHED, "--upload-file", "file", f"{tls_gateway.endpoint}/{name}-curl/k")
    assert signed(f"{tls_gateway.endpoint}/{name}-curl/k") == "over TLS"


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls_of_virtual_hosts(gateway: Gateway, bucket: str, plain: Client, version: str) -> None:
    endpoint = f"http://{DOMAIN}:{gateway.port}"
    virtual: dict[str, Any] = {"s3": {"addressing_style": "virtual"}, "signature_version": version}
    with closing(clients.s3(gateway, None, endpoint, **virtual)) as client:
        where = {"Bucket": bucket, "Key": "d/ü +.txt"}
        put = client.generate_presigned_url("put_object", where, ExpiresIn=60)
        get = client.generate_presigned_url("get_object", where, ExpiresIn=60)
    here = ("--connect-to", f"::127.0.0.1:{gateway.port}")
    assert f"{bucket}.{DOMAIN}" in put
    plain(*here, "--upload-file", "-", put, stdin=b"chunked from a pipe")  # Transfer-Encoding: chunked
    assert plain(*here, get) == "chunked from a pipe"
    assert plain(*here, "--range", "0-6", get) == "chunked"
    assert (gateway.data / bucket / "d/ü +.txt").read_bytes() == b"chunked from a pipe"


def test_nobody_gets_nothing(gateway: Gateway, bucket: str, plain: Client) -> None:
    assert "<Code>AccessDenied</Code>" in plain.run(f"{gateway.endpoint}/{bucket}", fails=True).stdout
    assert plain(f"{gateway.endpoint}/healthz") == "ok\n"
