"""Bodies decode to the same bytes or the same error however they are cut; any bytes give only S3Errors."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from s3proto.body import Decoder, decoder_for
from s3proto.errors import S3Error
from s3proto.http import Headers, RequestHead
from s3proto.sigv4 import ChunkSeed, ChunkSigner, PayloadKind, PayloadSpec
from tests.strategies import changed, splits

SEED = ChunkSeed(b"k" * 32, "20130524T000000Z", "20130524/us-east-1/s3/aws4_request", "0" * 64)
TRAILERS = [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-sha1", "é")]
AWS_CHUNKED = (PayloadKind.UNSIGNED_TRAILER, PayloadKind.CHUNKS, PayloadKind.CHUNKS_TRAILER)


def encode(kind: PayloadKind, chunks: list[bytes]) -> bytes:
    """What a client sends: the reference that the decoder is held to."""
    signer = None if kind is PayloadKind.UNSIGNED_TRAILER else ChunkSigner(SEED)
    body = b""
    for chunk in [*filter(None, chunks), b""]:
        signature = f";chunk-signature={signer.chunk(sha256(chunk).hexdigest())}" if signer else ""
        body += f"{len(chunk):x}{signature}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    if kind is not PayloadKind.CHUNKS:
        body += "".join(f"{name}:{value}\r\n" for name, value in TRAILERS).encode("latin-1")
    if signer and kind is PayloadKind.CHUNKS_TRAILER:
        signed = "".join(f"{name}:{value}\n" for name, value in TRAILERS).encode("latin-1")
        body += f"x-amz-trailer-signature:{signer.trailer(signed)}\r\n".encode()
    return body + b"\r\n"


def decoder(kind: PayloadKind, size: int) -> Decoder:
    fields = [("content-length" if kind is PayloadKind.UNSIGNED else "x-amz-decoded-content-length", str(size))]
    if kind in (PayloadKind.UNSIGNED_TRAILER, PayloadKind.CHUNKS_TRAILER):
        fields.append(("x-amz-trailer", ",".join(name for name, _ in TRAILERS)))
    seed = SEED if kind in (PayloadKind.CHUNKS, PayloadKind.CHUNKS_TRAILER) else None
    return decoder_for(RequestHead("PUT", "/b/k", Headers(fields)), PayloadSpec(kind, seed=seed))


def take(to: Decoder, pieces: list[bytes]) -> tuple[bytes, dict[str, str], str]:
    """Feed pieces and finish; answers the bytes and trailers, or the error."""
    out = b""
    try:
        for piece in pieces:
            out += b"".join(bytes(part) for part in to.feed(memoryview(piece)))
        to.finish()
    except S3Error as error:
        return b"", {}, f"{error.code} {error.detail} {error.fields}"
    return out, to.trailers, ""


def bytewise(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


CHUNKS = st.lists(st.binary(max_size=40), max_size=4)


@given(st.sampled_from(AWS_CHUNKED), CHUNKS, st.data())
def test_bodies_round_trip(kind: PayloadKind, chunks: list[bytes], data: st.DataObject) -> None:
    body, content = encode(kind, chunks), b"".join(chunks)
    expected = (content, {} if kind is PayloadKind.CHUNKS else dict(TRAILERS), "")
    assert take(decoder(kind, len(content)), data.draw(splits(body))) == expected
    assert take(decoder(kind, len(content)), bytewise(body)) == expected


@given(st.sampled_from([PayloadKind.UNSIGNED, *AWS_CHUNKED]), CHUNKS, st.data())
@settings(max_examples=200)
def test_any_split_gives_the_same(kind: PayloadKind, chunks: list[bytes], data: st.DataObject) -> None:
    body = data.draw(changed(encode(kind, chunks)) | st.binary(max_size=60))
    size = len(b"".join(chunks)) + data.draw(st.sampled_from([0, 0, 0, 1, -1]))
    whole = take(decoder(kind, max(size, 0)), [body])
    assert take(decoder(kind, max(size, 0)), data.draw(splits(body))) == whole
    assert take(decoder(kind, max(size, 0)), bytewise(body)) == whole


@given(st.sampled_from([PayloadKind.CHUNKS, PayloadKind.CHUNKS_TRAILER]), CHUNKS, st.data())
def test_a_changed_byte_is_never_taken(kind: PayloadKind, chunks: list[bytes], data: st.DataObject) -> None:
    """Whatever decodes without an error is what was signed."""
    body, content = encode(kind, chunks), b"".join(chunks)
    out, trailers, error = take(decoder(kind, len(content)), [data.draw(changed(body))])
    assert error or (out == content and trailers == ({} if kind is PayloadKind.CHUNKS else dict(TRAILERS)))


@given(st.dictionaries(st.sampled_from(["content-length", "x-amz-decoded-content-length", "x-amz-trailer"]), st.text()))
def test_any_declaration_gives_a_decoder_or_an_error(fields: dict[str, str]) -> None:
    head = RequestHead("PUT", "/b/k", Headers(fields.items()))
    make: Callable[[PayloadKind], Decoder] = lambda kind: decoder_for(head, PayloadSpec(kind))  # noqa: E731
    for kind in PayloadKind:
        try:
            make(kind)
        except S3Error:
            pass
