"""Both examples serve boto3: the core is embedded in two strange places by two short files."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import Any
from zlib import crc32

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum

from examples import asyncio_server, wsgi_server
from examples.memory_store import MemoryStore
from tests.form_kit import CONTENT_TYPE, encode

pytestmark = pytest.mark.compat
SECONDS = 20


@contextmanager
def serve_asyncio(store: MemoryStore) -> Iterator[int]:
    """Run the asyncio example in a thread; gives its port.  Ends when every client has closed its connections."""
    ports: list[int] = []
    up, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with await asyncio_server.start(store) as server:
            ports.append(server.sockets[0].getsockname()[1])
            up.set()
            await stop.wait()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()], daemon=True)
    thread.start()
    assert up.wait(SECONDS)
    yield ports[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(SECONDS)
    assert not thread.is_alive()
    loop.close()


@contextmanager
def serve_wsgi(store: MemoryStore) -> Iterator[int]:
    """Run the WSGI example in a thread; gives its port."""
    with wsgi_server.make(store) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(SECONDS)


MakeClient = Callable[..., Any]


@pytest.fixture(params=[serve_asyncio, serve_wsgi], ids=["asyncio", "wsgi"])
def client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes boto3 clients of a running example; keywords are of botocore's Config."""
    with request.param(MemoryStore("example", "secret")) as port, ExitStack() as opened:

        def make(**changes: Any) -> Any:
            timeouts = {"connect_timeout": SECONDS, "read_timeout": SECONDS, "retries": {"max_attempts": 1}}
            s3 = boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id="example",
                aws_secret_access_key="secret",
                config=Config(s3={"addressing_style": "path"}, **timeouts, **changes),
            )
            opened.callback(s3.close)
            return s3

        yield make


@pytest.mark.parametrize("signature_version", ["s3v4", "s3"])
def test_objects_come_back(client: MakeClient, signature_version: str) -> None:
    s3 = client(signature_version=signature_version)
    s3.create_bucket(Bucket="bucket")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["bucket"]
    content = bytes(range(256)) * 1000
    for key in ("plain.txt", "a b+c%2F/é/中", "//odd/../", "x" * 1024):
        s3.put_object(Bucket="bucket", Key=key, Body=content, ContentType="text/plain", Metadata={"who": "me"})
        answer = s3.get_object(Bucket="bucket", Key=key)
        assert answer["Body"].read() == content and answer["Metadata"] == {"who": "me"}
        assert s3.head_object(Bucket="bucket", Key=key)["ContentLength"] == len(content)
    piece = s3.get_object(Bucket="bucket", Key="plain.txt", Range="bytes=10-19")
    assert piece["Body"].read() == content[10:20]
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "a b+c%2F/é/中"})
    assert s3.get_object(Bucket="bucket", Key="copy")["Body"].read() == content
    listed = s3.list_objects_v2(Bucket="bucket", Delimiter="/")
    assert listed["ResponseMetadata"]["RequestId"] and listed["ResponseMetadata"]["HostId"]
    assert [row["Key"] for row in listed["Contents"]] == ["copy", "plain.txt", "x" * 1024]
    assert [row["Prefix"] for row in listed["CommonPrefixes"]] == ["/", "a b+c%2F/"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", PaginationConfig={"PageSize": 2})
    keys = [{"Key": row["Key"]} for page in pages for row in page["Contents"]]
    assert len(keys) == 5 and len(s3.delete_objects(Bucket="bucket", Delete={"Objects": keys})["Deleted"]) == 5
    s3.delete_bucket(Bucket="bucket")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket="bucket")


def test_trailing_checksum(client: MakeClient) -> None:
    """botocore sends trailers only over TLS: what it would send there is made of its parts here."""
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    content = b"0123456789" * 10_000
    body = AwsChunkedWrapper(BytesIO(content), Crc32Checksum, "x-amz-checksum-crc32", 8192).read()
    headers = {"Content-Encoding": "aws-chunked", "X-Amz-Trailer": "x-amz-checksum-crc32"}
    headers |= {"X-Amz-Decoded-Content-Length": str(len(content)), "Content-Length": str(len(body))}
    signed = AWSRequest("PUT", f"{s3.meta.endpoint_url}/bucket/key", headers, body)
    signed.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    S3SigV4Auth(Credentials("example", "secret"), "s3", "us-east-1").add_auth(signed)
    assert signed.headers["X-Amz-Content-SHA256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    put = urllib.request.Request(signed.url, body, dict(signed.headers.items()), method="PUT")
    with urllib.request.urlopen(put, timeout=SECONDS) as answer:
        assert answer.status == 200
    answer = s3.get_object(Bucket="bucket", Key="key", ChecksumMode="ENABLED")
    assert answer["Body"].read() == content and "ContentEncoding" not in answer
    assert b64decode(answer["ChecksumCRC32"]) == crc32(content).to_bytes(4, "big")


@pytest.mark.parametrize("signature_version", ["s3v4", "s3"])
def test_presigned_urls(client: MakeClient, signature_version: str) -> None:
    s3 = client(signature_version=signature_version)
    s3.create_bucket(Bucket="bucket")
    where = {"Bucket": "bucket", "Key": "a+b c"}
    url = s3.generate_presigned_url("put_object", where)
    put = urllib.request.Request(url, b"hello", {"Content-Type": ""}, method="PUT")  # urllib would make one up
    with urllib.request.urlopen(put, timeout=SECONDS) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", where), timeout=SECONDS) as answer:
        assert answer.read() == b"hello"


@pytest.mark.parametrize("signature_version", ["s3v4", "s3"])
@pytest.mark.parametrize("size", [0, 500_000])
def test_forms(client: MakeClient, signature_version: str, size: int) -> None:
    s3 = client(signature_version=signature_version)
    s3.create_bucket(Bucket="bucket")
    made = s3.generate_presigned_post("bucket", "a/${filename}", Conditions=[["content-length-range", 0, size]])
    status = []
    for content in (bytes(size), bytes(size + 100_000)):
        post = urllib.request.Request(made["url"], encode(made["fields"], content), {"Content-Type": CONTENT_TYPE})
        try:
            with urllib.request.urlopen(post, timeout=SECONDS) as answer:
                status.append(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                status.append(error.code)
    assert status == [204, 400]
    assert s3.get_object(Bucket="bucket", Key="a/file.txt")["Body"].read() == bytes(size)


def test_pages_of_other_origins(client: MakeClient) -> None:
    """An error is made by the core like any answer: the page can read it."""
    s3 = client()
    s3.create_bucket(Bucket="bucket")
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["http://page"]}]
    s3.put_bucket_cors(Bucket="bucket", CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket="bucket")["CORSRules"] == rules
    url = f"{s3.meta.endpoint_url}/bucket/none"
    for method, status in (("OPTIONS", 200), ("GET", 403)):
        fields = {"Origin": "http://page", "Access-Control-Request-Method": "GET"}
        asked = urllib.request.Request(url, headers=fields, method=method)
        with ExitStack() as opened:
            try:
                answer: Any = opened.enter_context(urllib.request.urlopen(asked, timeout=SECONDS))
            except urllib.error.HTTPError as error:
                answer = opened.enter_context(error)
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, "http://page")
    s3.delete_bucket(Bucket="bucket")
    s3.create_bucket(Bucket="bucket")
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket="bucket")


def test_refusals(client: MakeClient) -> None:
    client().create_bucket(Bucket="bucket")
    with pytest.raises(ClientError, match="AccessDenied"):
        client(signature_version=UNSIGNED).list_objects_v2(Bucket="bucket")
    with pytest.raises(ClientError, match="NoSuchKey"):
        client().get_object(Bucket="bucket", Key="nothing")
    with pytest.raises(ClientError, match="NotImplemented"):
        client().create_multipart_upload(Bucket="bucket", Key="key")
