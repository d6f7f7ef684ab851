"""s3proto.body: plain and aws-chunked bodies."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest

from s3proto.body import (
    MAX_LINE,
    MAX_TRAILERS,
    Decoder,
    body_is_declared,
    check_payload_hash,
    decoder_for,
)
from s3proto.errors import (
    IncompleteBody,
    InvalidRequest,
    MalformedTrailerError,
    MissingContentLength,
    S3Error,
    SignatureDoesNotMatch,
    XAmzContentSHA256Mismatch,
)
from s3proto.http import Headers, RequestHead
from s3proto.sigv4 import ChunkSeed, PayloadKind, PayloadSpec, signing_key

SEED_KEY = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1")
SCOPE = "20130524/us-east-1/s3/aws4_request"


def seed(signature: str) -> ChunkSeed:
    return ChunkSeed(SEED_KEY, "20130524T000000Z", SCOPE, signature)


def decoder(payload: PayloadSpec | PayloadKind, **headers: str) -> Decoder:
    spec = payload if isinstance(payload, PayloadSpec) else PayloadSpec(payload)
    return decoder_for(
        RequestHead("PUT", "/b/k", Headers([(n.replace("_", "-"), v) for n, v in headers.items()])), spec
    )


def take(to: Decoder, body: bytes, step: int = 1 << 20) -> bytes:
    pieces: list[bytes] = []
    for at in range(0, len(body), step):
        pieces += [bytes(piece) for piece in to.feed(memoryview(body[at : at + step]))]
    to.finish()
    return b"".join(pieces)


# ------------------------------------------------------------------------------------------------- plain


def test_plain_body() -> None:
    plain = decoder(PayloadKind.UNSIGNED, content_length="5")
    assert plain.expected_size == 5 and take(plain, b"abcde", 2) == b"abcde" and plain.trailers == {}
    unknown = decoder(PayloadKind.HASHED)
    assert unknown.expected_size is None and take(unknown, b"abc") == b"abc"
    assert decoder(PayloadKind.UNSIGNED).feed(memoryview(b"")) == []


@pytest.mark.parametrize("body", [b"", b"abcd", b"abcdef"])
def test_plain_body_of_another_length(body: bytes) -> None:
    with pytest.raises(IncompleteBody):
        take(decoder(PayloadKind.UNSIGNED, content_length="5"), body)


def test_pieces_are_slices() -> None:
    data = memoryview(b"3\r\nabc\r\n")
    for to in (decoder(PayloadKind.UNSIGNED), decoder(PayloadKind.UNSIGNED_TRAILER, x_amz_decoded_content_length="3")):
        assert all(piece.obj is data.obj for piece in to.feed(data))


def test_payload_hash() -> None:
    spec = PayloadSpec(PayloadKind.HASHED, sha256=sha256(b"a").hexdigest())
    check_payload_hash(spec, {"sha256": sha256(b"a").digest()})
    check_payload_hash(PayloadSpec(), {})
    with pytest.raises(XAmzContentSHA256Mismatch) as caught:
        check_payload_hash(spec, {"sha256": sha256(b"b").digest()})
    assert caught.value.fields["S3ComputedContentSHA256"] == sha256(b"b").hexdigest()


def test_body_is_declared() -> None:
    for name, declared in ("content-length", True), ("transfer-encoding", True), ("content-type", False):
        assert body_is_declared(RequestHead("PUT", "/", Headers([(name, "0")]))) == declared


# -------------------------------------------------------------------------------------------- signed chunks

DOCUMENTED = (
    b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
    + b"a" * 65536
    + b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
    + b"a" * 1024
    + b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
)
DOCUMENTED_TRAILER = (
    b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
    + b"a" * 65536
    + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
    + b"a" * 1024
    + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
    + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)


def documented(length: str = "66560") -> Decoder:
    signed = seed("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
    return decoder(PayloadSpec(PayloadKind.CHUNKS, seed=signed), x_amz_decoded_content_length=length)


def documented_trailer(announced: str = "x-amz-checksum-crc32c") -> Decoder:
    signed = seed("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")
    return decoder(
        PayloadSpec(PayloadKind.CHUNKS_TRAILER, seed=signed),
        x_amz_decoded_content_length="66560",
        x_amz_trailer=announced,
    )


@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_documented_chunks(step: int) -> None:
    assert len(DOCUMENTED) == 66824  # the Content-Length of AWS's example
    to = documented()
    assert to.expected_size == 66560 and take(to, DOCUMENTED, step) == b"a" * 66560 and to.trailers == {}


@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_documented_trailer(step: int) -> None:
    to = documented_trailer()
    assert take(to, DOCUMENTED_TRAILER, step) == b"a" * 66560
    assert to.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


def test_trailer_as_the_page_draws_it() -> None:
    """With LF before CRLF, without the last empty line."""
    drawn = DOCUMENTED_TRAILER.replace(b"Q==\r\n", b"Q==\n\r\n").removesuffix(b"\r\n")
    to = documented_trailer(" X-Amz-Checksum-CRC32C ")
    take(to, drawn)
    assert to.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


@pytest.mark.parametrize("at", [25, 90, 65536, 65700, 66700, len(DOCUMENTED) - 6])
def test_changed_byte_of_signed_chunks(at: int) -> None:
    changed = bytearray(DOCUMENTED)
    changed[at] ^= 1
    with pytest.raises(SignatureDoesNotMatch):
        take(documented(), bytes(changed))


@pytest.mark.parametrize("end", [0, 10, 90, 65620, 65632, 66700, len(DOCUMENTED) - 4])
def test_truncated_chunks(end: int) -> None:
    with pytest.raises(IncompleteBody):
        take(documented(), DOCUMENTED[:end])


@pytest.mark.parametrize("length", ["66559", "66561", "0"])
def test_decoded_length_must_be_right(length: str) -> None:
    with pytest.raises(IncompleteBody):
        take(documented(length), DOCUMENTED)


SIGNED_TRAILER_ERRORS: dict[str, tuple[bytes, str, type[S3Error]]] = {
    "value": (DOCUMENTED_TRAILER.replace(b"sOO8", b"sOO9"), "x-amz-checksum-crc32c", SignatureDoesNotMatch),
    "signature": (DOCUMENTED_TRAILER.replace(b"d81f", b"d81e"), "x-amz-checksum-crc32c", SignatureDoesNotMatch),
    "announced-other": (DOCUMENTED_TRAILER, "x-amz-checksum-crc32", MalformedTrailerError),
    "announced-nothing": (DOCUMENTED_TRAILER, "", MalformedTrailerError),
    "no-signature": (DOCUMENTED_TRAILER[:-92] + b"\r\n", "x-amz-checksum-crc32c", MalformedTrailerError),
    "after-signature": (DOCUMENTED_TRAILER[:-2] + b"x: y\r\n\r\n", "x-amz-checksum-crc32c", MalformedTrailerError),
}


@pytest.mark.parametrize("body, announced, error", SIGNED_TRAILER_ERRORS.values(), ids=SIGNED_TRAILER_ERRORS)
def test_signed_trailer_errors(body: bytes, announced: str, error: type[S3Error]) -> None:
    with pytest.raises(error):
        take(documented_trailer(announced), body)


def test_chunks_without_signature() -> None:
    with pytest.raises(IncompleteBody):
        take(documented(), b"0\r\n\r\n")
    with pytest.raises(IncompleteBody):
        take(documented(), b"0;signature=00\r\n\r\n")
    for size in (0, 63, 65):
        with pytest.raises(IncompleteBody):
            take(documented(), b"0;chunk-signature=" + b"0" * size + b"\r\n\r\n")


# ------------------------------------------------------------------------------------------ unsigned chunks

TRAILER = b"x-amz-checksum-crc32:AAAAAA==\r\n"


def unsigned(length: str = "13", trailer: str | None = "x-amz-checksum-crc32") -> Decoder:
    announced = {} if trailer is None else {"x_amz_trailer": trailer}
    return decoder(PayloadKind.UNSIGNED_TRAILER, x_amz_decoded_content_length=length, **announced)


@pytest.mark.parametrize("step", [1, 2, 5, 100])
def test_unsigned_chunks(step: int) -> None:
    to = unsigned()
    assert take(to, b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n" + TRAILER + b"\r\n", step) == b"abc0123456789"
    assert to.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


def test_no_bytes_and_no_trailer() -> None:
    assert take(unsigned("0", None), b"0\r\n\r\n") == b""


def bad_bodies() -> Iterator[tuple[str, bytes, type[S3Error]]]:
    for name, line in {
        "empty": b"",
        "sign": b"+3",
        "negative": b"-3",
        "underscore": b"1_0",
        "prefix": b"0x3",
        "space": b"3 ",
        "huge": b"1" + b"0" * 16,
        "bare-lf": b"3\n",
        "long": b"3;" + b"x" * MAX_LINE,
        "endless": b"x" * 2 * MAX_LINE,
    }.items():
        yield f"size-{name}", line + b"\r\nabc\r\n", IncompleteBody
    yield "more-than-declared", b"E\r\n", IncompleteBody
    yield "huge-chunk", b"FFFFFFFFFFFFFFFF\r\n", IncompleteBody
    yield "long-chunk", b"3\r\nabcd\r\n", IncompleteBody
    yield "after-the-end", b"D\r\n0123456789abc\r\n0\r\n" + TRAILER + b"\r\nx", IncompleteBody
    yield "less-than-declared", b"3\r\nabc\r\n0\r\n" + TRAILER + b"\r\n", IncompleteBody
    yield "no-last-chunk", b"D\r\n0123456789abc\r\n", IncompleteBody
    yield "no-trailer", b"D\r\n0123456789abc\r\n0\r\n", IncompleteBody
    yield "half-a-trailer", b"D\r\n0123456789abc\r\n0\r\n" + TRAILER[:-2], IncompleteBody
    yield "half-an-end", b"D\r\n0123456789abc\r\n0\r\n" + TRAILER + b"\r", IncompleteBody
    yield "garbage-at-the-end", b"D\r\n0123456789abc\r\n0\r\n" + TRAILER + b"x", IncompleteBody
    for name, trailer in {
        "missing": b"",
        "other": b"x-amz-checksum-sha1:AA\r\n",
        "twice": TRAILER * 2,
        "and-another": TRAILER + b"x-amz-meta-a:b\r\n",
        "no-colon": b"x-amz-checksum-crc32\r\n",
        "no-name": b":x\r\n",
        "endless": b"x" * 2 * MAX_LINE + b"\r\n",
        "signature": TRAILER + b"x-amz-trailer-signature:0\r\n" * 2,
        "many": b"".join(b"x-%d:y\r\n" % n for n in range(MAX_TRAILERS + 1)),
    }.items():
        yield f"trailer-{name}", b"D\r\n0123456789abc\r\n0\r\n" + trailer + b"\r\n", MalformedTrailerError


@pytest.mark.parametrize("body, error", [pytest.param(body, error, id=name) for name, body, error in bad_bodies()])
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_bad_unsigned_chunks(body: bytes, error: type[S3Error], step: int) -> None:
    with pytest.raises(error) as caught:
        take(unsigned(), body, step)
    assert type(caught.value) is error


def test_declarations() -> None:
    with pytest.raises(MissingContentLength):
        decoder(PayloadKind.UNSIGNED_TRAILER, content_length="5")
    for length in ("", "-1", "+1", "1_0", "9" * 20, "²"):
        with pytest.raises(MissingContentLength):
            unsigned(length)
    with pytest.raises(InvalidRequest):
        unsigned(trailer="x-amz-meta-a")
    with pytest.raises(InvalidRequest):
        decoder(PayloadKind.UNSIGNED, content_length="x")
