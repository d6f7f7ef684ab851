"""Additional checksums: which one a request declares, whether it held, what a multipart object's is.

Rules: plain functions.  The core names digests and compares their values; the driver computes them.  A value on the
wire is the base64 of the big-endian digest; inside it stays that text, as Checksums and Part carry it.

A request may declare one checksum, as a header or as a trailer (named by x-amz-trailer, so the value arrives after
the body).  A value that cannot be one (not base64, wrong length) is a BadDigest like every value that does not
match, and is refused before the body is sent.

Follows "Checking object integrity in Amazon S3" (User Guide), "CreateMultipartUpload" (API Reference).
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from s3proto.crc import CRC32, CRC32C, CRC64NVME, Crc
from s3proto.errors import BadDigest, InvalidDigest, InvalidRequest, MalformedTrailerError
from s3proto.http import Headers
from s3proto.model import NO_CHECKSUMS, Checksums, ObjectInfo, Part

HEADER_PREFIX = "x-amz-checksum-"
FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row of ALGORITHMS."""

    name: str
    """As in x-amz-checksum-algorithm and ``Checksum<name>`` elements."""
    digest: str
    """As Received.digests calls it, and the rest of the header's name."""
    size: int
    """Bytes of a value."""
    crc: Crc | None
    """How values of parts join to that of the object; None for hashes, which cannot."""
    composite: bool
    """True where AWS makes a checksum of the parts' checksums; it is the default then."""

    @property
    def header(self) -> str:
        return HEADER_PREFIX + self.digest

    def of(self, data: bytes) -> bytes:
        """Return the digest of a few bytes."""
        if self.crc is not None:
            return self.crc.of(data).to_bytes(self.size, "big")
        return hashlib.new(self.digest, data).digest()


ALGORITHMS = {
    row.name: row
    for row in (
        Algorithm("CRC32", "crc32", 4, CRC32, composite=True),
        Algorithm("CRC32C", "crc32c", 4, CRC32C, composite=True),
        Algorithm("CRC64NVME", "crc64nvme", 8, CRC64NVME, composite=False),
        Algorithm("SHA1", "sha1", 20, None, composite=True),
        Algorithm("SHA256", "sha256", 32, None, composite=True),
    )
}
_BY_HEADER = {row.header: row for row in ALGORITHMS.values()}
_NOT_VALUES = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})


def algorithm(name: str) -> Algorithm:
    """Return the row of an x-amz-checksum-algorithm value (any case).  Raises InvalidRequest."""
    if (row := ALGORITHMS.get(name.upper())) is None:
        raise InvalidRequest(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(ALGORITHMS)}]"
        )
    return row


# ------------------------------------------------------------------------------------- one body's checksum


@dataclass(frozen=True, slots=True)
class Declared:
    """The checksum that a request declares for its body."""

    algorithm: Algorithm
    value: str | None
    """Base64, or None: it comes as a trailer."""


def declared(headers: Headers) -> Declared | None:
    """Return the one checksum that the headers declare, None for none.

    Raises InvalidRequest (several, unknown, or announced and not there), BadDigest (cannot be a value).
    """
    values = [(name, value) for name, value in headers if name.startswith(HEADER_PREFIX) and name not in _NOT_VALUES]
    trailers = [name.strip().lower() for name in (headers.joined("x-amz-trailer") or "").split(",")]
    trailers = [name for name in trailers if name.startswith(HEADER_PREFIX)]
    if len(values) + len(trailers) > 1:
        raise _several()
    found = None
    if values:
        name, value = values[0]
        found = Declared(_of_header(name), value)
        if _decoded(value, found.algorithm.size) is None:
            raise BadDigest(f"Value for {name} header is invalid.")
    elif trailers:
        found = Declared(_of_header(trailers[0]), None)
    if announced := headers.get("x-amz-sdk-checksum-algorithm"):
        if algorithm(announced) is not (found and found.algorithm):
            raise InvalidRequest(
                "Value for x-amz-sdk-checksum-algorithm header is invalid."
                if found
                else "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                "headers were found."
            )
    return found


def claimed(headers: Headers) -> tuple[Algorithm, str] | None:
    """Return the checksum that a Complete's headers claim for the object, None for none.  Raises InvalidRequest."""
    found = [(row, value) for row in ALGORITHMS.values() if (value := headers.get(row.header)) is not None]
    if len(found) > 1:
        raise _several()
    return found[0] if found else None


def is_value(row: Algorithm, text: str) -> bool:
    """Tell whether ``text`` can be a checksum of this algorithm."""
    return _decoded(text, row.size) is not None


def _several() -> InvalidRequest:
    return InvalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")


def _of_header(name: str) -> Algorithm:
    if (row := _BY_HEADER.get(name)) is None:
        raise InvalidRequest(f"The header {name} names a checksum algorithm that is not supported.")
    return row


def check(found: Declared, digests: Mapping[str, bytes], trailers: Mapping[str, str]) -> Checksums:
    """Compare a declared checksum with what arrived; answer it as it is stored.

    Raises BadDigest, MalformedTrailerError (the announced trailer did not come).
    """
    row = found.algorithm
    value = found.value if found.value is not None else trailers.get(row.header)
    if value is None:
        raise MalformedTrailerError()
    actual = digests[row.digest]
    if _decoded(value, row.size) != actual:
        raise BadDigest(f"The {row.name} you specified did not match the calculated checksum.")
    return computed(row, actual)


def computed(row: Algorithm, digest: bytes) -> Checksums:
    """Return the full-object checksum of one body."""
    return Checksums(((row.name, b64encode(digest).decode()),), FULL_OBJECT)


def content_md5(headers: Headers) -> bytes | None:
    """Return the 16 bytes of Content-MD5, None without one.  Raises InvalidDigest."""
    if (value := headers.get("content-md5")) is None:
        return None
    if (digest := _decoded(value, 16)) is None:
        raise InvalidDigest(**{"Content-MD5": value})
    return digest


def check_md5(expected: bytes | None, actual: bytes) -> None:
    """Raise BadDigest when a Content-MD5 was sent and is not that of the body."""
    if expected is not None and expected != actual:
        raise BadDigest(
            "The Content-MD5 you specified did not match what we received.",
            ExpectedDigest=expected.hex(),
            CalculatedDigest=b64encode(actual).decode(),
        )


def _decoded(text: str, size: int) -> bytes | None:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return None
    return data if len(data) == size else None


# ------------------------------------------------------------------------------------------------ answers


def headers(checksums: Checksums) -> list[tuple[str, str]]:
    """Return the response headers that tell checksums."""
    found = [(ALGORITHMS[name].header, value) for name, value in checksums.values if name in ALGORITHMS]
    if found and checksums.type:
        found.append(("x-amz-checksum-type", checksums.type))
    return found


def elements(values: Sequence[tuple[str, str]], type_: str | None = None) -> list[tuple[str, str]]:
    """Return the XML children that tell checksums, ``<ChecksumType>`` last where given."""
    found = [(f"Checksum{name}", value) for name, value in values]
    return [*found, ("ChecksumType", type_)] if found and type_ else found


def of_piece(info: ObjectInfo, part: Part | None) -> Checksums:
    """Return the checksums that a response with this part (None: the whole object) carries."""
    return info.checksums if part is None else Checksums(part.checksums, info.checksums.type)


# ---------------------------------------------------------------------------------------------- multipart


def default_type(row: Algorithm) -> str:
    return COMPOSITE if row.composite else FULL_OBJECT


def upload_type(row: Algorithm, requested: str | None) -> str:
    """Return the checksum type of an upload.  Raises InvalidRequest where AWS has no such combination."""
    type_ = requested.upper() if requested else default_type(row)
    if type_ not in (FULL_OBJECT, COMPOSITE):
        raise InvalidRequest("Value for x-amz-checksum-type header is invalid.")
    if not (row.crc if type_ == FULL_OBJECT else row.composite):
        raise InvalidRequest(
            f"The {type_} checksum type cannot be used with the {row.name.lower()} checksum algorithm."
        )
    return type_


def joined(row: Algorithm, type_: str, parts: Sequence[Part]) -> Checksums:
    """Return the checksum of an object made of ``parts``, out of the parts' own; none when one of them has none."""
    values = [_decoded(dict(part.checksums).get(row.name, ""), row.size) for part in parts]
    digests = [value for value in values if value is not None]
    if len(digests) < len(parts):
        return NO_CHECKSUMS
    if type_ == FULL_OBJECT and row.crc is not None:
        crc = 0
        for digest, part in zip(digests, parts, strict=True):
            crc = row.crc.combine(crc, int.from_bytes(digest, "big"), part.size)
        return computed(row, crc.to_bytes(row.size, "big"))
    if type_ == COMPOSITE:
        value = b64encode(row.of(b"".join(digests))).decode()
        return Checksums(((row.name, f"{value}-{len(parts)}"),), COMPOSITE)
    return NO_CHECKSUMS
