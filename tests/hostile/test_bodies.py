"""Bodies that do not hold: the error is AWS's, the old object stays as it was, and nothing is left on the disk.

Small bodies wait in memory and large ones in the store, so everything is tried with both.

Follows "Checking object integrity in Amazon S3", "Signature Calculations for the Authorization Header: Transferring
Payload in Multiple Chunks" (AWS), RFC 9112 7 (chunked), RFC 9110 10.1.1 (Expect).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import pytest

from tests.gateway import Gateway, unfinished
from tests.hostile.conftest import OLD
from tests.hostile.wire import Answer, call, eventually, head_bytes, signed, signed_fields, wire

pytestmark = pytest.mark.compat

TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
BODIES = {"small": b"hello", "large": b"0123456789abcdef" * (1 << 17)}
SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}


@pytest.fixture(params=BODIES)
def body(request: pytest.FixtureRequest) -> bytes:
    return BODIES[request.param]


def put(gateway: Gateway, data: bytes) -> Answer:
    """Send a request for /bkt/k, and that is all there is."""
    with wire(gateway) as to:
        to.send(data)
        to.half_close()
        return to.answer()


def refused(gateway: Gateway, answer: Answer, code: str, status: int = 400) -> None:
    assert answer.told == (status, code)
    assert call(gateway, "GET", "/bkt/k").body == OLD
    assert leaves_nothing(gateway.data)


def leaves_nothing(data: Path, *below: str) -> bool:
    """Whether nothing unfinished stays in the store; a request puts its things away just after its answer."""
    return eventually(lambda: not unfinished(data) and not any((data / name).exists() for name in below))


def value(size: int) -> str:
    return b64encode(b"x" * size).decode()


# ------------------------------------------------------------------------------------------------- digests

MD5S = {"": "InvalidDigest", "x": "InvalidDigest", "é": "InvalidDigest", value(15): "InvalidDigest"}
MD5S |= {value(17): "InvalidDigest", value(16): "BadDigest"}


@pytest.mark.parametrize(("md5", "code"), MD5S.items())
def test_content_md5(gateway: Gateway, body: bytes, md5: str, code: str) -> None:
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", body, {"content-md5": md5})), code)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("wrong", ["value", "length", "text"])
def test_checksum_headers(gateway: Gateway, body: bytes, name: str, wrong: str) -> None:
    given = {"value": value(SIZES[name]), "length": value(SIZES[name] + 1), "text": "é"}[wrong]
    refused(
        gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", body, {f"x-amz-checksum-{name}": given})), "BadDigest"
    )


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("{name}:{value}", "BadDigest"),
        ("{name}:AA==", "BadDigest"),
        ("", "MalformedTrailerError"),
        ("x-amz-checksum-other:AA==", "MalformedTrailerError"),
        ("{name}:{value}\r\n{name}:{value}", "MalformedTrailerError"),
        ("{name}:" + "A" * 100_000, "MalformedTrailerError"),
        ("\r\n".join(f"x-amz-{n}:1" for n in range(20_000)), "MalformedTrailerError"),
    ],
    ids="wrong short missing other twice long many".split(),
)
def test_checksum_trailers(gateway: Gateway, name: str, lines: str, code: str) -> None:
    header = f"x-amz-checksum-{name}"
    trailers = lines.replace("{name}", header).replace("{value}", value(SIZES[name])) + "\r\n\r\n" * bool(lines)
    data = b"5\r\nhello\r\n0\r\n" + (trailers or "\r\n").encode()
    headers = {"x-amz-trailer": header, "x-amz-decoded-content-length": "5"}
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", data, headers, payload=TRAILER)), code)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-checksum-crc32": value(4), "x-amz-checksum-sha1": value(20)}, "InvalidRequest"),
        ({"x-amz-checksum-md4": value(16)}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
    ],
)
def test_impossible_checksums(gateway: Gateway, body: bytes, headers: dict[str, str], code: str) -> None:
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", body, headers)), code)


@pytest.mark.parametrize(
    ("payload", "code"),
    [("0" * 64, "XAmzContentSHA256Mismatch"), ("0" * 63, "InvalidArgument"), ("X", "InvalidArgument")],
)
def test_payload_hash(gateway: Gateway, body: bytes, payload: str, code: str) -> None:
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", body, payload=payload)), code)


# ------------------------------------------------------------------------------------------------- lengths


def test_shorter_than_declared(gateway: Gateway, body: bytes) -> None:
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", body, length=len(body) + 1)), "IncompleteBody")


@pytest.mark.parametrize("length", [6 << 40, 9 * 10**18])
def test_longer_than_any_object(gateway: Gateway, length: int) -> None:
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", b"x", length=length)), "EntityTooLarge")


def test_without_a_length(gateway: Gateway) -> None:
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k")), "MissingContentLength", 411)


DECODED = {"6": "IncompleteBody", "4": "IncompleteBody", "9" * 19: "EntityTooLarge"}
DECODED |= dict.fromkeys(("", "-1", "x", "1_0", "0x5", "²", "9" * 20), "MissingContentLength")


@pytest.mark.parametrize(("decoded", "code"), DECODED.items())
def test_decoded_length(gateway: Gateway, decoded: str, code: str) -> None:
    headers = {"x-amz-decoded-content-length": decoded}
    data = signed(gateway, "PUT", "/bkt/k", b"5\r\nhello\r\n0\r\n\r\n", headers, payload=TRAILER)
    refused(gateway, put(gateway, data), code, 411 if code == "MissingContentLength" else 400)


# -------------------------------------------------------------------------------------------------- chunks

CHUNKED = {
    "no-last-chunk": b"SIZE\r\nBODY\r\n",
    "0x": b"0xSIZE\r\nBODY\r\n0\r\n\r\n",
    "underscore": b"0_SIZE\r\nBODY\r\n0\r\n\r\n",
    "space-before": b" SIZE\r\nBODY\r\n0\r\n\r\n",
    "space-behind": b"SIZE \r\nBODY\r\n0\r\n\r\n",
    "minus": b"-SIZE\r\nBODY\r\n0\r\n\r\n",
    "plus": b"+SIZE\r\nBODY\r\n0\r\n\r\n",
    "no-size": b"\r\nBODY\r\n0\r\n\r\n",
    "17-digits": b"0000000000000000SIZE\r\nBODY\r\n0\r\n\r\n",
    "larger-than-sent": b"ffffffffSIZE\r\nBODY",
    "too-long": b"SIZE\r\nBODYx\r\n0\r\n\r\n",
    "bare-lf": b"SIZE\nBODY\n0\n\n",
    "long-extension": b"SIZE;" + b"a" * 100_000 + b"\r\nBODY\r\n0\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("form", CHUNKED)
@pytest.mark.parametrize("coding", ["transport", "content"])
def test_chunks(gateway: Gateway, body: bytes, form: str, coding: str) -> None:
    data = CHUNKED[form].replace(b"SIZE", b"%x" % len(body)).replace(b"BODY", body)
    if coding == "transport":
        fields = [*signed_fields(gateway, "PUT", "/bkt/k"), ("Transfer-Encoding", "chunked")]
        answer = put(gateway, head_bytes("PUT", "/bkt/k", fields) + data)
        assert answer.headers["connection"] == "close"
    else:
        headers = {"x-amz-decoded-content-length": str(len(body))}
        answer = put(gateway, signed(gateway, "PUT", "/bkt/k", data, headers, payload=TRAILER))
    assert answer.code in ("BadRequest", "IncompleteBody")
    refused(gateway, answer, answer.code)


@pytest.mark.parametrize("behind", [b"x", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"])
def test_content_goes_on_after_its_last_chunk(gateway: Gateway, behind: bytes) -> None:
    headers = {"x-amz-decoded-content-length": "5"}
    data = b"5\r\nhello\r\n0\r\n\r\n" + behind
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", data, headers, payload=TRAILER)), "IncompleteBody")


@pytest.mark.parametrize(
    ("extension", "status", "code"),
    [
        (b"", 400, "IncompleteBody"),
        (b";chunk-signature=" + b"0" * 64, 403, "SignatureDoesNotMatch"),
        (b";chunk-signature=" + b"\xff" * 64, 403, "SignatureDoesNotMatch"),
        (b";chunk-signature=", 400, "IncompleteBody"),
        (b";chunk-signature=\xff", 400, "IncompleteBody"),
        (b";chunk-signature=" + b"0" * 900, 400, "IncompleteBody"),
        (b";signature=" + b"0" * 64, 400, "IncompleteBody"),
    ],
)
def test_signed_chunks(gateway: Gateway, body: bytes, extension: bytes, status: int, code: str) -> None:
    data = b"%x%b\r\n%b\r\n0%b\r\n\r\n" % (len(body), extension, body, extension)
    headers = {"x-amz-decoded-content-length": str(len(body))}
    refused(gateway, put(gateway, signed(gateway, "PUT", "/bkt/k", data, headers, payload=CHUNKS)), code, status)


# --------------------------------------------------------------------------------------- the conversation


def test_nobody_is_asked_for_a_body_in_vain(gateway: Gateway) -> None:
    expect = [("Expect", "100-continue")]
    for target, code in (("/no-such-bucket/k", "NoSuchBucket"), ("/bkt/k?partNumber=1&uploadId=x", "NoSuchUpload")):
        with wire(gateway) as to:
            to.send(signed(gateway, "PUT", target, length=10, extra=expect))
            assert to.answer().told == (404, code) and to.closes()
    with wire(gateway) as to:
        to.send(signed(gateway, "PUT", "/bkt/asked", length=5, extra=expect))
        assert to.answer().status == 100
        assert to.ask(b"hello").status == 200


@pytest.mark.parametrize("target", ["/no-such-bucket/k", "/bkt/k"])
def test_a_refused_upload_hears_why(gateway: Gateway, target: str) -> None:
    """The client sends all of it before it listens: the answer must not be lost to a reset."""
    data = signed(gateway, "PUT", target, b"x" * (48 << 20), {"content-md5": "x"})
    with wire(gateway) as to:
        assert to.ask(data).told in ((404, "NoSuchBucket"), (400, "InvalidDigest"))
    assert leaves_nothing(gateway.data)


def test_uploads_that_break_off_leave_nothing(gateway: Gateway) -> None:
    for _ in range(20):
        with wire(gateway) as to:
            to.send(signed(gateway, "PUT", "/bkt/deep/er/k", b"x" * (2 << 20), length=3 << 20))
            to.half_close()
            assert to.answer().code == "IncompleteBody"
    assert leaves_nothing(gateway.data, "bkt/deep")


def test_etags_of_what_arrived(gateway: Gateway, body: bytes) -> None:
    data = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + 7919]), body[at : at + 7919]) for at in range(0, len(body), 7919)
    )
    headers = {"x-amz-decoded-content-length": str(len(body))}
    answer = put(gateway, signed(gateway, "PUT", "/bkt/whole", data + b"0\r\n\r\n", headers, payload=TRAILER))
    assert answer.headers["etag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert call(gateway, "GET", "/bkt/whole").body == body
