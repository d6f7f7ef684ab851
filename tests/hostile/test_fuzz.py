"""Any bytes, in any pieces, to the whole server in this process: it answers well-formed or closes, and logs no defect.

Requests come from a grammar of everything that S3 and HTTP know and much that they do not; half of them are signed as
they are, so that nonsense gets past the signature; then, maybe, bytes are changed anywhere.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3proto.operations import BUCKET, OBJECT, OPERATIONS, SERVICE, SUB_RESOURCES
from s3server.assembly import Assembly
from s3server.balance import Balance
from s3server.config import Address, ServerConfig
from s3server.listener import Listener
from s3server.loop import Limits, Loop
from tests.gateway import OWNER, User
from tests.hostile.wire import Closed, Wire, call, head_bytes, presigned, signed_fields

EXAMPLES = 150
LIMITS = Limits(head_timeout=5.0, idle_timeout=5.0, request_timeout=5.0, threads=8)


@dataclass(frozen=True)
class Server:
    """The real gateway without processes, over a store of one bucket, one object and one upload."""

    port: int
    defects: list[logging.LogRecord]
    upload_id: str = ""
    region: str = "us-east-1"
    owner: User = OWNER


class Defects(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("fuzz")
    credentials = home / "credentials.jsonl"
    row = f'{{"access_key":"{OWNER.access_key}","secret_key":"{OWNER.secret_key}","created_at":1,"enabled":true}}\n'
    credentials.touch(0o600)
    credentials.write_text(row, "utf-8")
    assembly = Assembly(configured(home, credentials))
    listener = Listener(Address("127.0.0.1", 0))
    loop = Loop(assembly.service, LIMITS, listener, Balance(1), 0)
    defects = Defects()
    logger = logging.getLogger("curvine_s3_gateway")
    logger.addHandler(defects)
    loop.start()
    try:
        served = Server(listener.address.port, defects.records)
        assert call(served, "PUT", "/bkt").status == call(served, "PUT", "/bkt/k", b"hello").status == 200
        (upload_id,) = call(served, "POST", "/bkt/k?uploads").texts("UploadId")
        yield replace(served, upload_id=upload_id)
    finally:
        loop.end()
        assert loop.idle.wait(10.0), "requests are still in flight"
        loop.close()
        assembly.close()
        logger.removeHandler(defects)


def configured(home: Path, credentials: Path) -> ServerConfig:
    store, spool = (home / "data").as_uri(), home / "spool"
    return ServerConfig(home=home, store=store, credentials_path=credentials, put_temp_dir=spool, durability="none")


# ------------------------------------------------------------------------------------------------ requests

UPLOAD = "UPLOAD"
"""Stands for the id of the upload that exists."""
NUMBERS = st.sampled_from(
    ["", "0", "1", "2", "10000", "10001", "-1", "+1", "1_0", "0x1", "1e3", " 1", "9" * 19, "9" * 40, "٣", "²"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        "*",
        "/",
        "..",
        "../..",
        ".s3~",
        ".s3~self",
        "\0",
        "\r\n",
        "%",
        "%00",
        "\ufffe",
        "a" * 1025,
        '"',
        "'",
        "&<>",
        "😀",
    ]
)
DATES = st.sampled_from(
    ["20200101T000000Z", "20200101", "Thu, 01 Jan 1970 00:00:00 GMT", "2020-01-01", "x", "99999999T999999Z"]
)
WORDS = st.sampled_from(
    "url ENABLED true COPY REPLACE STANDARD GLACIER private public-read CRC32 CRC64NVME SHA256 FULL_OBJECT COMPOSITE"
    " null aws-chunked gzip chunked identity 100-continue bytes=0-1 bytes=5- bytes=-1 bytes=9-1 bytes=0-0,2-3 AAAAAA=="
    " x-amz-checksum-crc32 x-amz-checksum-foo 1B2M2Y8AsgTpgAmY7PhCfg== /bkt/k bkt/k?versionId=null arn:aws:s3:::bkt/k"
    " ETag,Checksum,ObjectParts".split()
)
VALUES = NUMBERS | TEXTS | DATES | WORDS
PARAMETERS = st.sampled_from(
    [
        *sorted(SUB_RESOURCES),
        *"prefix delimiter marker max-keys continuation-token start-after key-marker version-id-marker".split(),
        *"upload-id-marker max-uploads max-parts part-number-marker encoding-type list-type=2".split(),
        *"response-expires response-content-type response-content-disposition x-id".split(),
        *"X-Amz-Signature X-Amz-Credential X-Amz-Algorithm X-Amz-Expires X-Amz-Date X-Amz-Security-Token".split(),
        *"Signature AWSAccessKeyId Expires x-amz-meta-x x-amz-中".split(),
    ]
)
NAMES = st.sampled_from(
    "range if-match if-none-match if-modified-since if-unmodified-since if-range content-md5 content-type expires"
    " content-encoding content-language cache-control content-disposition date x-amz-date x-amz-content-sha256"
    " x-amz-checksum-crc32 x-amz-checksum-crc32c x-amz-checksum-crc64nvme x-amz-checksum-sha1 x-amz-checksum-sha256"
    " x-amz-trailer x-amz-decoded-content-length x-amz-sdk-checksum-algorithm x-amz-checksum-algorithm"
    " x-amz-checksum-type x-amz-checksum-mode x-amz-copy-source x-amz-copy-source-range x-amz-copy-source-if-match"
    " x-amz-copy-source-if-none-match x-amz-metadata-directive x-amz-tagging-directive x-amz-meta-m x-amz-meta-"
    " x-amz-object-attributes x-amz-max-parts x-amz-part-number-marker x-amz-storage-class x-amz-acl x-amz-tagging"
    " x-amz-mp-object-size x-amz-if-match-size x-amz-if-match-last-modified-time x-amz-expected-bucket-owner"
    " x-amz-if-match-initiated-time"
    " x-amz-website-redirect-location x-amz-security-token x-amz-bucket-object-lock-enabled x-amz-object-ownership"
    " connection expect authorization cookie".split()
)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "!"])
PATHS = st.sampled_from(["/", "/bkt", "/bkt/", "/bkt/a/b", "/new", "/healthz", "*"]) | TEXTS.map(
    lambda text: f"/bkt/{quote(text)}"
)
ADDRESSES = {SERVICE: "/", BUCKET: "/bkt", OBJECT: "/bkt/k"}
PAYLOADS = st.sampled_from(
    [
        *["UNSIGNED-PAYLOAD"] * 4,
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "0" * 64,
        "x",
    ]
)
DOCUMENTS = st.sampled_from(
    [
        b"",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
        b"<Delete><Quiet>true</Quiet><Object><Key>k</Key><Size>1</Size></Object></Delete>",
        b"<CreateBucketConfiguration><LocationConstraint>x</LocationConstraint></CreateBucketConfiguration>",
        b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"hello",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes, str]:
    """Method, target, fields, body, payload: consistent or not."""
    row = draw(st.sampled_from([*OPERATIONS, None]))
    pairs = [(name, draw(VALUES)) for name in draw(st.lists(PARAMETERS, max_size=3 if row is None else 1))]
    if row is not None:
        pairs += [(name.partition("=")[0], name.partition("=")[2] or draw(VALUES)) for name in row.query]
    query = "&".join(f"{quote(name, safe='=')}={quote(value)}" for name, value in pairs)
    path = draw(PATHS) if row is None else ADDRESSES[row.resource]
    target = path + (f"?{query}" if pairs else "")
    fields = draw(st.dictionaries(NAMES, VALUES, max_size=4))
    if row is not None and row.header:
        fields[row.header] = draw(VALUES)
    method = draw(METHODS) if row is None else row.method
    if draw(st.booleans()):
        target = re.sub("(?<=uploadId=)[^&]*", UPLOAD, target)
    return method, target, {n: field_text(v) for n, v in fields.items()}, draw(DOCUMENTS), draw(PAYLOADS)


CONTROLS = re.compile("[\x00-\x1f\x7f]")


def field_text(value: str) -> str:
    """A header's value as it can be signed: latin-1, no control characters, no white space around."""
    return CONTROLS.sub("", value.encode().decode("latin-1")).strip(" \t")


@st.composite
def framed(draw: st.DrawFn, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Fields that say where a body ends, and its bytes."""
    match draw(st.sampled_from(["none", "length", "length", "length", "chunked", "wrong", "both"])):
        case "none":
            return [], b""
        case "length":
            return [("Content-Length", str(len(body)))], body
        case "chunked":
            pieces = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
            return [("Transfer-Encoding", "chunked")], pieces
        case "wrong":
            return [("Content-Length", field_text(draw(NUMBERS)))], body
        case _:
            return [("Content-Length", str(len(body))), ("Transfer-Encoding", "chunked")], body


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Some bytes replaced, removed, doubled or put in."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 8))
        piece = data[at : at + size]
        put = draw(st.binary(max_size=4) | st.sampled_from([b"", b"\r\n", b"\0", b"\xff", b"%", piece + piece]))
        data = data[:at] + put + data[at + size :]
    return data


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_anything(server: Server, data: st.DataObject) -> None:
    method, target, fields, body, payload = data.draw(requests())
    target = target.replace(UPLOAD, server.upload_id)
    framing, sent_body = data.draw(framed(body))
    match data.draw(st.sampled_from(["header", "header", "query", "none"])):
        case "header":
            head = [*signed_fields(server, method, target, fields, payload=payload), *framing]
        case "query":
            target = presigned(server, method, target.partition("?")[0])
            head = [("Host", f"127.0.0.1:{server.port}"), *fields.items(), *framing]
        case _:
            head = [("Host", "h"), *fields.items(), *framing]
    raw = head_bytes(method, target, head) + sent_body
    if data.draw(st.sampled_from([True, False, False])):
        raw = data.draw(mutated(raw))
    converse(server, raw, data.draw(st.sampled_from([0, 0, 1, 20, len(raw) // 2])))


@settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes(server: Server, raw: bytes, split: int) -> None:
    converse(server, raw, split)


def converse(server: Server, raw: bytes, split: int) -> None:
    """Send ``raw`` in two pieces and hear the server out."""
    del server.defects[:]
    wire = Wire(server.port)
    try:
        wire.send(raw[:split])
        wire.send(raw[split:])
        wire.half_close()
        try:
            method = "HEAD" if raw.lstrip(b"\r\n").startswith(b"HEAD ") else "GET"
            while True:
                answer = wire.answer(method)
                method = "GET"  # whatever a body's bytes look like, no draw hides a second HEAD in it
                assert answer.status != 500 and answer.code != "InternalError", answer
        except Closed as closed:
            assert "b''" in str(closed), closed
    finally:
        wire.close()
    assert not server.defects, [record.getMessage() for record in server.defects]
