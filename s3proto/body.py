"""Push decoders of a body's content coding: as it is, or aws-chunked (signed or not, with trailers or not).

Rules: pure; no decoder holds more than one line, whatever sizes the client declares; the same bytes give the same
pieces and the same error however they are split.  Pieces go out before their chunk's signature is known: nothing is
visible to anybody until ``finish`` succeeded.  Errors of content coding only; digests are the driver's (their values
are compared with ``check_payload_hash`` and by the operation).  Chunks that are not framed as they should be are an
IncompleteBody, as AWS has it; trailing headers a MalformedTrailerError.

    chunk    = size [";chunk-signature=" signature] CRLF bytes CRLF
    body     = *chunk, last chunk (size 0, no bytes, no CRLF of its own), *( name ":" value CRLF ), CRLF

Follows "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", "... Including
Trailing Headers", "Checking object integrity" (trailing checksums).  Left out: AWS's InvalidChunkSizeError (chunks
below 8 KiB): a client that reads from a pipe sends small ones and they do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from hashlib import sha256
from typing import Protocol

from s3proto.errors import (
    BadRequest,
    IncompleteBody,
    InvalidRequest,
    MalformedTrailerError,
    MissingContentLength,
    SignatureDoesNotMatch,
    XAmzContentSHA256Mismatch,
)
from s3proto.http import LineCollector, RequestHead, chunk_size, is_token
from s3proto.sigv4 import ChunkSigner, PayloadKind, PayloadSpec, same_signature

MAX_TRAILERS = 16
"""Trailing headers of one body."""
MAX_LINE = 1024
"""Bytes of a chunk-size line or a trailing header, without CRLF."""

_TRAILER_SIGNATURE = "x-amz-trailer-signature"
_SIGNATURE_SIZE = 64
"""Hexadecimal digits of a chunk's signature."""
_LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)


class Decoder(Protocol):
    """A push decoder of one body's content coding; transport framing is already gone.

    feed* ... finish.  Memory use is constant whatever sizes the client declares.
    """

    @property
    def expected_size(self) -> int | None:
        """Decoded bytes to come in all, where the request declared it."""

    def feed(self, data: memoryview) -> list[memoryview]:
        """Take the next raw bytes; answers slices of ``data`` (valid until the next feed).  Raises S3Errors."""

    def finish(self) -> None:
        """The raw body has ended: raises IncompleteBody, SignatureDoesNotMatch, MalformedTrailerError."""

    @property
    def trailers(self) -> dict[str, str]:
        """Lower-case trailing headers, after finish."""


def decoder_for(head: RequestHead, payload: PayloadSpec) -> Decoder:
    """Return the decoder of a request's body.

    Raises MissingContentLength (aws-chunked without a number in x-amz-decoded-content-length), InvalidRequest.
    """
    if not payload.aws_chunked:
        length = head.headers.get("content-length")
        if length is not None and not _LENGTH.fullmatch(length):
            raise InvalidRequest("The declared length of the request body is not a number.")
        return PlainDecoder(None if length is None else int(length))
    declared = head.headers.get("x-amz-decoded-content-length")
    if declared is None or not _LENGTH.fullmatch(declared):
        raise MissingContentLength()
    signer = ChunkSigner(payload.seed) if payload.seed is not None else None
    announced: tuple[str, ...] = ()
    if payload.kind is not PayloadKind.CHUNKS:
        announced = _announced(head.headers.joined("x-amz-trailer"))
    return AwsChunkedDecoder(int(declared), signer=signer, announced=announced)


def check_payload_hash(payload: PayloadSpec, digests: Mapping[str, bytes]) -> None:
    """Raise XAmzContentSHA256Mismatch unless the body that arrived is the one that was signed.

    ``digests`` must hold ``sha256`` where ``payload.sha256`` is not None.
    """
    if payload.sha256 is not None and payload.sha256 != digests["sha256"].hex():
        raise XAmzContentSHA256Mismatch(
            ClientComputedContentSHA256=payload.sha256, S3ComputedContentSHA256=digests["sha256"].hex()
        )


def body_is_declared(head: RequestHead) -> bool:
    """Tell whether the request says where its body ends; without that there is no body (MissingContentLength)."""
    return "content-length" in head.headers or "transfer-encoding" in head.headers


def _announced(value: str | None) -> tuple[str, ...]:
    names = tuple(name.strip(" \t").lower() for name in value.split(",")) if value else ()
    for name in names:
        if not name.startswith("x-amz-checksum-"):
            raise InvalidRequest("The value specified in the x-amz-trailer header is not supported")
    return names


class PlainDecoder:
    """A body that is its own content."""

    __slots__ = ("expected_size", "trailers", "_received")

    def __init__(self, expected_size: int | None) -> None:
        """``expected_size``: bytes to come, None when only the transport knows."""
        self.expected_size = expected_size
        self.trailers: dict[str, str] = {}
        self._received = 0

    def feed(self, data: memoryview) -> list[memoryview]:
        self._received += len(data)
        if self.expected_size is not None and self._received > self.expected_size:
            raise IncompleteBody("The request body is longer than its Content-Length.")
        return [data] if len(data) else []

    def finish(self) -> None:
        if self.expected_size is not None and self._received != self.expected_size:
            raise IncompleteBody()


class _Expect(Enum):
    SIZE = "a chunk-size line"
    DATA = "bytes of a chunk"
    DATA_END = "the line end after a chunk"
    TRAILER = "a trailing header or the last, empty line"
    NOTHING = "nothing: the body is complete"


class AwsChunkedDecoder:
    """A body in the content coding ``aws-chunked``; ``signer`` None where chunks are not signed."""

    __slots__ = (
        "expected_size",
        "trailers",
        "_announced",
        "_expect",
        "_hash",
        "_left",
        "_line",
        "_received",
        "_signature",
        "_signer",
    )

    def __init__(self, expected_size: int, *, signer: ChunkSigner | None, announced: tuple[str, ...] = ()) -> None:
        """``expected_size``: x-amz-decoded-content-length; ``announced``: names of x-amz-trailer, lower-case."""
        self.expected_size = expected_size
        self.trailers: dict[str, str] = {}
        self._signer = signer
        self._announced = announced
        self._expect = _Expect.SIZE
        self._line = LineCollector(MAX_LINE)
        self._left = 0
        self._received = 0
        self._hash = sha256()
        self._signature = b""

    def feed(self, data: memoryview) -> list[memoryview]:
        pieces: list[memoryview] = []
        at, end = 0, len(data)
        while at < end:
            if self._expect is _Expect.DATA:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._signer is not None:
                    self._hash.update(piece)
                pieces.append(piece)
                if not self._left:
                    self._expect = _Expect.DATA_END
            elif self._expect is _Expect.NOTHING:
                raise IncompleteBody("The request body goes on after its last chunk.")
            else:
                at, line = self._take_line(data, at)
                match line, self._expect:
                    case None, _:
                        pass
                    case bytes(), _Expect.SIZE:
                        self._begin_chunk(line)
                    case b"", _Expect.DATA_END:
                        self._expect = _Expect.SIZE
                        self._check_chunk()
                    case bytes(), _Expect.DATA_END:
                        raise IncompleteBody("A chunk of the request body is longer than its size.")
                    case b"", _:
                        self._expect = _Expect.NOTHING
                        self._check_trailers()
                    case bytes(), _:
                        self._take_trailer(line)
        return pieces

    def _take_line(self, data: memoryview, at: int) -> tuple[int, bytes | None]:
        try:
            return self._line.take(data, at)
        except BadRequest as error:
            kind = MalformedTrailerError if self._expect is _Expect.TRAILER else IncompleteBody
            raise kind(error.detail) from None

    def _begin_chunk(self, line: bytes) -> None:
        digits, _, extension = line.partition(b";")
        size = chunk_size(digits)
        if size is None:
            raise IncompleteBody("A chunk size of the request body is not valid.")
        if self._signer is not None:
            name, _, self._signature = extension.partition(b"=")
            if name != b"chunk-signature" or len(self._signature) != _SIGNATURE_SIZE:
                raise IncompleteBody("A chunk of the request body has no signature.")
        self._received += size
        if self._received > self.expected_size:
            raise IncompleteBody("The request body is longer than its x-amz-decoded-content-length.")
        self._left = size
        if size:
            self._expect = _Expect.DATA
        else:
            self._expect = _Expect.TRAILER
            self._check_chunk()

    def _check_chunk(self) -> None:
        """The chunk's bytes are all there: compare its signature, begin the next hash."""
        if self._signer is not None:
            self._compare(self._signer.chunk(self._hash.hexdigest()), self._signature.decode("latin-1"))
            self._hash = sha256()

    def _take_trailer(self, line: bytes) -> None:
        # AWS's page has an LF before the CRLF of a trailing header; the SDKs do not send it.
        name_bytes, colon, value_bytes = line.removesuffix(b"\n").partition(b":")
        name = name_bytes.decode("latin-1").lower()
        value = value_bytes.decode("latin-1").strip(" \t")
        if not colon or not is_token(name) or name in self.trailers or len(self.trailers) >= MAX_TRAILERS:
            raise MalformedTrailerError()
        if _TRAILER_SIGNATURE in self.trailers:
            raise MalformedTrailerError("The trailer signature is not the last trailing header.")
        self.trailers[name] = value

    def _check_trailers(self) -> None:
        signature = self.trailers.pop(_TRAILER_SIGNATURE, None)
        if sorted(self.trailers) != sorted(self._announced):
            raise MalformedTrailerError()
        if self._signer is not None and (self._announced or signature is not None):
            if signature is None:
                raise MalformedTrailerError("The trailing headers are not signed.")
            signed = "".join([f"{name}:{value}\n" for name, value in self.trailers.items()])
            self._compare(self._signer.trailer(signed.encode("latin-1")), signature)

    @staticmethod
    def _compare(ours: str, theirs: str) -> None:
        if not same_signature(ours, theirs):
            raise SignatureDoesNotMatch(SignatureProvided=theirs)

    def finish(self) -> None:
        if self._expect is _Expect.TRAILER and not self._line.begun and len(self.trailers) >= len(self._announced):
            self._check_trailers()  # only the last, empty line is missing: AWS's own example ends like that
        elif self._expect is not _Expect.NOTHING:
            raise IncompleteBody("The request body ends before its last chunk and its trailing headers.")
        if self._received != self.expected_size:
            raise IncompleteBody("The request body is shorter than its x-amz-decoded-content-length.")
