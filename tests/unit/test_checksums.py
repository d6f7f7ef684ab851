import hashlib
from base64 import b64encode

import pytest

from s3proto import checksums
from s3proto.checksums import ALGORITHMS, COMPOSITE, FULL_OBJECT, Declared
from s3proto.errors import BadDigest, InvalidDigest, InvalidRequest, MalformedTrailerError
from s3proto.http import Headers
from s3proto.model import NO_CHECKSUMS, Checksums, Part
from tests.s3_requests import info

CRC32, SHA256, CRC64NVME = ALGORITHMS["CRC32"], ALGORITHMS["SHA256"], ALGORITHMS["CRC64NVME"]
ZERO = "AAAAAA=="


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"x-amz-checksum-mode": "ENABLED", "x-amz-checksum-algorithm": "X", "x-amz-checksum-type": "Y"}, None),
        ({"x-amz-checksum-crc32": ZERO}, Declared(CRC32, ZERO)),
        ({"x-amz-checksum-crc32": ZERO, "x-amz-sdk-checksum-algorithm": "crc32"}, Declared(CRC32, ZERO)),
        ({"x-amz-trailer": "X-Amz-Checksum-Crc32"}, Declared(CRC32, None)),
        ({"x-amz-trailer": "other, x-amz-checksum-sha256"}, Declared(SHA256, None)),
    ],
)
def test_declared(headers: dict[str, str], found: Declared | None) -> None:
    assert checksums.declared(Headers(headers.items())) == found


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"x-amz-checksum-crc32": ZERO, "x-amz-checksum-crc32c": ZERO}, InvalidRequest),
        ({"x-amz-checksum-crc32": ZERO, "x-amz-trailer": "x-amz-checksum-crc32"}, InvalidRequest),
        ({"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-sha1"}, InvalidRequest),
        ({"x-amz-checksum-md4": ZERO}, InvalidRequest),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, InvalidRequest),
        ({"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": ZERO}, InvalidRequest),
        ({"x-amz-sdk-checksum-algorithm": "MD4", "x-amz-checksum-crc32": ZERO}, InvalidRequest),
        ({"x-amz-checksum-crc32": "bad"}, BadDigest),
        ({"x-amz-checksum-crc32": "AAAA"}, BadDigest),
        ({"x-amz-checksum-crc32": "\xe9"}, BadDigest),
        ({"x-amz-checksum-sha256": ZERO}, BadDigest),
    ],
)
def test_declared_wrongly(headers: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        checksums.declared(Headers(headers.items()))


def test_check() -> None:
    digests = {"crc32": bytes(4)}
    stored = Checksums((("CRC32", ZERO),), FULL_OBJECT)
    assert checksums.check(Declared(CRC32, ZERO), digests, {}) == stored
    assert checksums.check(Declared(CRC32, None), digests, {"x-amz-checksum-crc32": ZERO}) == stored
    with pytest.raises(BadDigest):
        checksums.check(Declared(CRC32, "AAAAAQ=="), digests, {})
    with pytest.raises(BadDigest):
        checksums.check(Declared(CRC32, None), digests, {"x-amz-checksum-crc32": "bad"})
    with pytest.raises(MalformedTrailerError):
        checksums.check(Declared(CRC32, None), digests, {})


def test_content_md5() -> None:
    md5 = hashlib.md5(b"").digest()
    assert checksums.content_md5(Headers()) is None
    assert checksums.content_md5(Headers([("content-md5", b64encode(md5).decode())])) == md5
    for value in ("", "YWJyYWNhZGFicmE=", "\xff"):
        with pytest.raises(InvalidDigest):
            checksums.content_md5(Headers([("content-md5", value)]))
    checksums.check_md5(None, md5)
    checksums.check_md5(md5, md5)
    with pytest.raises(BadDigest):
        checksums.check_md5(bytes(16), md5)


def test_algorithm() -> None:
    assert checksums.algorithm("crc64nvme") is CRC64NVME
    with pytest.raises(InvalidRequest):
        checksums.algorithm("MD5")


def test_answers() -> None:
    sums = Checksums((("CRC32", ZERO), ("FUTURE", "x")), COMPOSITE)
    assert checksums.headers(sums) == [("x-amz-checksum-crc32", ZERO), ("x-amz-checksum-type", COMPOSITE)]
    assert checksums.headers(NO_CHECKSUMS) == []
    assert checksums.elements((("CRC32", ZERO),), COMPOSITE) == [("ChecksumCRC32", ZERO), ("ChecksumType", COMPOSITE)]
    assert checksums.elements((), COMPOSITE) == []
    part = Part(1, 1, "e", 0.0, (("CRC32", "part"),))
    whole = info(checksums=sums)
    assert checksums.of_piece(whole, part) == Checksums((("CRC32", "part"),), COMPOSITE)
    assert checksums.of_piece(whole, None) == sums


@pytest.mark.parametrize(
    ("name", "requested", "type_"),
    [
        ("CRC32", None, COMPOSITE),
        ("CRC32", "full_object", FULL_OBJECT),
        ("CRC64NVME", None, FULL_OBJECT),
        ("SHA1", None, COMPOSITE),
        ("SHA256", COMPOSITE, COMPOSITE),
        ("CRC64NVME", COMPOSITE, None),
        ("SHA256", FULL_OBJECT, None),
        ("CRC32", "OTHER", None),
    ],
)
def test_upload_type(name: str, requested: str | None, type_: str | None) -> None:
    if type_ is None:
        with pytest.raises(InvalidRequest):
            checksums.upload_type(ALGORITHMS[name], requested)
    else:
        assert checksums.upload_type(ALGORITHMS[name], requested) == type_


def parts(name: str, *data: bytes) -> list[Part]:
    row = ALGORITHMS[name]
    return [
        Part(number, len(piece), "e", 0.0, ((name, b64encode(row.of(piece)).decode()),))
        for number, piece in enumerate(data, 1)
    ]


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
def test_full_object_of_parts_is_that_of_their_bytes(name: str) -> None:
    row = ALGORITHMS[name]
    pieces = (b"one" * 100, b"", b"two", b"three" * 7)
    assert checksums.joined(row, FULL_OBJECT, parts(name, *pieces)) == checksums.computed(row, row.of(b"".join(pieces)))


def test_composite_is_the_digest_of_digests() -> None:
    digests = hashlib.sha256(b"a").digest() + hashlib.sha256(b"b").digest()
    expected = b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
    assert checksums.joined(SHA256, COMPOSITE, parts("SHA256", b"a", b"b")) == Checksums(
        (("SHA256", expected),), COMPOSITE
    )


def test_documented_composite() -> None:
    """The suite of ceph/s3-tests has these values: one part of 1024 times ``A``."""
    made = parts("SHA256", b"A" * 1024)
    assert made[0].checksums[0][1] == "arcu6553sHVAiX4MjW0j7I7vD4w6R+Gz9Ok0Q9lTa+0="
    assert checksums.joined(SHA256, COMPOSITE, made).values[0][1] == "Ok6Cs5b96ux6+MWQkJO7UBT5sKPBeXBLwvj/hK89smg=-1"


def test_a_part_without_checksum_leaves_none() -> None:
    made = [*parts("CRC32", b"a"), Part(2, 1, "e", 0.0)]
    assert checksums.joined(CRC32, COMPOSITE, made) == NO_CHECKSUMS
    assert checksums.joined(SHA256, FULL_OBJECT, parts("SHA256", b"a")) == NO_CHECKSUMS
