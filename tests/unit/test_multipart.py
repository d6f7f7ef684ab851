import hashlib
from base64 import b64encode
from dataclasses import replace

import pytest

from s3proto import checksums, commands, errors
from s3proto.commands import (
    AllowEarlyHead,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    HeadObject,
    HeadUpload,
    ListMultipartUploads,
    ListParts,
    ReceiveBody,
    ReceiveDocument,
    UploadPart,
)
from s3proto.context import Settings
from s3proto.dates import http_date
from s3proto.model import (
    NO_CHECKSUMS,
    Checksums,
    Completed,
    Document,
    ObjectAttributes,
    Part,
    PartPage,
    Received,
    Upload,
    UploadPage,
    UploadRow,
)
from tests.drive import Step
from tests.s3_requests import MD5, NOW, OWNER, call, info, texts

SMALL = Settings(min_part_size=5)
TARGET = "/bucket/key?uploadId=id"
PART_TARGET = "/bucket/key?partNumber=2&uploadId=id"
UPLOAD = Upload("key", "id", NOW, OWNER)
CRC_UPLOAD = Upload("key", "id", NOW, OWNER, checksum_algorithm="CRC32", checksum_type="FULL_OBJECT")
EARLY: Step = (AllowEarlyHead, None)


def found(upload: Upload = UPLOAD) -> Step:
    return HeadUpload("bucket", "key", "id"), upload


DONE = found(Upload("key", "id", NOW, OWNER, completed=Completed("e-1", NO_CHECKSUMS, "other")))
GONE: Step = (HeadUpload("bucket", "key", "id"), errors.NoSuchUpload())

# ------------------------------------------------------------------------------------------ begin and fill


@pytest.mark.parametrize(
    ("headers", "algorithm", "type_"),
    [
        ({}, None, None),
        ({"x-amz-checksum-algorithm": "crc32"}, "CRC32", "COMPOSITE"),
        ({"x-amz-checksum-algorithm": "CRC64NVME"}, "CRC64NVME", "FULL_OBJECT"),
        ({"x-amz-checksum-algorithm": "CRC32C", "x-amz-checksum-type": "FULL_OBJECT"}, "CRC32C", "FULL_OBJECT"),
    ],
)
def test_create(headers: dict[str, str], algorithm: str | None, type_: str | None) -> None:
    asked = CreateMultipartUpload("bucket", "key", OWNER, ObjectAttributes("binary/octet-stream"), algorithm, type_)
    response = call("POST", "/bucket/key?uploads", headers, [(asked, "id")])
    assert texts(response, "UploadId") == ["id"] and texts(response, "Key") == ["key"]
    assert dict(response.headers).get("x-amz-checksum-algorithm") == algorithm
    assert dict(response.headers).get("x-amz-checksum-type") == type_


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-algorithm": "MD4"},
        {"x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-algorithm": "SHA1", "x-amz-checksum-type": "FULL_OBJECT"},
    ],
)
def test_create_with_a_checksum_that_is_none(headers: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidRequest):
        call("POST", "/bucket/key?uploads", headers)


RECEIVED = Received("content", 3, {"md5": bytes.fromhex(MD5), "crc32": bytes(4)})
CRC = Checksums((("CRC32", "AAAAAA=="),), "FULL_OBJECT")


@pytest.mark.parametrize(
    ("upload", "headers", "sums"),
    [
        (UPLOAD, {}, NO_CHECKSUMS),
        (UPLOAD, {"x-amz-checksum-crc32": "AAAAAA=="}, CRC),
        (CRC_UPLOAD, {"x-amz-checksum-crc32": "AAAAAA=="}, CRC),
        (CRC_UPLOAD, {}, CRC),
    ],
    ids=["none", "client's", "both", "upload's"],
)
def test_upload_part(upload: Upload, headers: dict[str, str], sums: Checksums) -> None:
    made = UploadPart("bucket", "key", "id", 2, "content", MD5, sums)
    script: list[Step] = [found(upload), (ReceiveBody, RECEIVED), (made, Part(2, 3, MD5, NOW, sums.values))]
    response = call("PUT", PART_TARGET, {"content-length": "3"} | headers, script)
    told = [("x-amz-checksum-crc32", "AAAAAA==")] if sums.values else []
    assert response.headers == [("ETag", f'"{MD5}"'), *told]


@pytest.mark.parametrize(
    ("target", "headers", "script", "error"),
    [
        (PART_TARGET.replace("=2", "=0"), {}, [], errors.InvalidArgument),
        (PART_TARGET, {}, [GONE], errors.NoSuchUpload),
        (PART_TARGET, {}, [DONE], errors.NoSuchUpload),
        (PART_TARGET, {}, [found()], errors.MissingContentLength),
        (
            PART_TARGET,
            {"x-amz-checksum-sha1": b64encode(bytes(20)).decode()},
            [found(CRC_UPLOAD)],
            errors.InvalidRequest,
        ),
    ],
)
def test_upload_part_refused(target: str, headers: dict[str, str], script: list[Step], error: type[Exception]) -> None:
    with pytest.raises(error):
        call("PUT", target, headers, script)


# ------------------------------------------------------------------------------------------ end or give up


def part(number: int, data: bytes, name: str | None = None) -> Part:
    row = checksums.ALGORITHMS[name] if name else None
    sums = ((row.name, b64encode(row.of(data)).decode()),) if row else ()
    return Part(number, len(data), hashlib.md5(data).hexdigest(), NOW, sums, f"id{number}")


ONE, TWO = part(1, b"12345"), part(3, b"678")
ETAG = hashlib.md5(hashlib.md5(b"12345").digest() + hashlib.md5(b"678").digest()).hexdigest() + "-2"
CRC_ONE, CRC_TWO = part(1, b"12345", "CRC32"), part(3, b"6789", "CRC32")


def claim(*parts: Part | str) -> Step:
    """The document that names these parts."""
    text = "".join(
        (
            p
            if isinstance(p, str)
            else f'<Part><PartNumber>{p.number}</PartNumber><ETag>"{p.etag}"</ETag>'
            + "".join(f"<Checksum{name}>{value}</Checksum{name}>" for name, value in p.checksums)
            + "</Part>"
        )
        for p in parts
    )
    return ReceiveDocument, Document(f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>".encode())


def listed(*parts: Part) -> Step:
    return ListParts("bucket", "key", "id", limit=10_000), PartPage(parts, False)


def test_complete() -> None:
    script: list[Step] = [claim(ONE, TWO), found(), listed(ONE, part(2, b"unused"), TWO), EARLY]
    digest = hashlib.sha256(f"1 {ONE.etag}\n3 {TWO.etag}\n".encode()).hexdigest()
    made = CompleteMultipartUpload("bucket", "key", "id", (ONE, TWO), Completed(ETAG, NO_CHECKSUMS, digest))
    script.append((made, info(etag=ETAG)))
    response = call("POST", TARGET, {"x-amz-mp-object-size": "8"}, script, settings=SMALL)
    assert texts(response, "ETag") == [f'"{ETAG}"'] and texts(response, "Bucket") == ["bucket"]
    assert texts(response, "Location") == ["http://s3.example/bucket/key"]


@pytest.mark.parametrize("claimed", [True, False], ids=["checksums claimed", "left out"])
def test_complete_with_a_full_object_checksum(claimed: bool) -> None:
    parts = (CRC_ONE, CRC_TWO)
    document = claim(*(parts if claimed else [p._replace(checksums=()) for p in parts]))
    script: list[Step] = [document, found(CRC_UPLOAD), listed(*parts), EARLY, (CompleteMultipartUpload, info())]
    headers = {"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-checksum-type": "FULL_OBJECT"}  # of 123456789
    response = call("POST", TARGET, headers, script, settings=SMALL)
    assert texts(response, "ChecksumCRC32") == ["y/Q5Jg=="] and texts(response, "ChecksumType") == ["FULL_OBJECT"]


@pytest.mark.parametrize("value", ["4zspdQ==-2", "4zspdQ=="], ids=["as told", "without the number of parts"])
def test_complete_with_a_composite_checksum(value: str) -> None:
    parts = (CRC_ONE, CRC_TWO)
    upload = found(replace(CRC_UPLOAD, checksum_type="COMPOSITE"))
    script: list[Step] = [claim(*parts), upload, listed(*parts), EARLY, (CompleteMultipartUpload, info())]
    response = call("POST", TARGET, {"x-amz-checksum-crc32": value}, script, settings=SMALL)
    assert texts(response, "ChecksumCRC32") == ["4zspdQ==-2"] and texts(response, "ChecksumType") == ["COMPOSITE"]


def test_the_last_claim_of_a_part_counts() -> None:
    made = CompleteMultipartUpload(
        "bucket",
        "key",
        "id",
        (ONE,),
        Completed(
            hashlib.md5(bytes.fromhex(ONE.etag)).hexdigest() + "-1",
            NO_CHECKSUMS,
            hashlib.sha256(f"1 {ONE.etag}\n".encode()).hexdigest(),
        ),
    )
    twice = claim(ONE._replace(etag=TWO.etag), ONE)
    assert call("POST", TARGET, {}, [twice, found(), listed(ONE), EARLY, (made, info())]).status == 200


def test_a_repeat_is_answered_from_the_record() -> None:
    sums = Checksums((("CRC32", "x"),), "COMPOSITE")
    digest = hashlib.sha256(f"1 {ONE.etag}\n".encode()).hexdigest()
    record = Upload("key", "id", NOW, OWNER, completed=Completed("e-1", sums, digest))
    response = call("POST", TARGET, {"if-none-match": "*"}, [claim(ONE), found(record)])
    assert texts(response, "ETag") == ['"e-1"'] and texts(response, "ChecksumCRC32") == ["x"]
    with pytest.raises(errors.NoSuchUpload):
        call("POST", TARGET, {}, [claim(TWO), found(record)])


def test_conditional_completion() -> None:
    head: Step = (HeadObject("bucket", "key"), errors.NoSuchKey())
    script: list[Step] = [claim(ONE), found(), listed(ONE), head, EARLY, (CompleteMultipartUpload, info())]
    assert call("POST", TARGET, {"if-none-match": "*"}, script).status == 200
    script = [claim(ONE), found(), listed(ONE), (head[0], info()), found()]
    with pytest.raises(errors.PreconditionFailed):
        call("POST", TARGET, {"if-none-match": "*"}, script)


MANY = "<Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>" * 10_001


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ((ReceiveDocument, Document(b"")), errors.MalformedXML),
        (claim(), errors.MalformedXML),
        (claim("<Part><PartNumber>x</PartNumber><ETag>e</ETag></Part>"), errors.MalformedXML),
        (claim("<Part><PartNumber>1</PartNumber></Part>"), errors.MalformedXML),
        (claim("<Part><ETag>e</ETag></Part>"), errors.MalformedXML),
        (claim(MANY), errors.MalformedXML),
        (claim(TWO, ONE), errors.InvalidPartOrder),
        (claim(ONE._replace(number=0)), errors.InvalidArgument),
        (claim(ONE._replace(number=-4)), errors.InvalidArgument),
        (claim(ONE._replace(checksums=(("CRC32", "no base64"),))), errors.InvalidArgument),
        (claim(ONE._replace(checksums=(*CRC.values, ("CRC32C", "AAAAAA==")))), errors.InvalidArgument),
    ],
    ids=[
        "no body",
        "no parts",
        "no number",
        "no etag",
        "number missing",
        "10001",
        "order",
        "zero",
        "negative",
        "checksum",
        "two checksums",
    ],
)
def test_complete_with_a_wrong_document(document: Step, error: type[Exception]) -> None:
    with pytest.raises(error):
        call("POST", TARGET, {}, [document])


def test_complete_with_two_checksums() -> None:
    with pytest.raises(errors.InvalidRequest):
        call("POST", TARGET, {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="})


BIG = Settings(min_part_size=1, max_object_size=7)


@pytest.mark.parametrize(
    ("parts", "settings", "headers", "upload", "error"),
    [
        ((part(9999, b""),), SMALL, {}, UPLOAD, errors.InvalidPart),
        ((ONE._replace(etag="f" * 32),), SMALL, {}, UPLOAD, errors.InvalidPart),
        ((CRC_ONE._replace(checksums=(("CRC32", "AAAAAA=="),)),), SMALL, {}, CRC_UPLOAD, errors.InvalidPart),
        ((ONE, TWO), Settings(), {}, UPLOAD, errors.EntityTooSmall),
        ((ONE, TWO), BIG, {}, UPLOAD, errors.EntityTooLarge),
        ((ONE,), SMALL, {"x-amz-mp-object-size": "6"}, UPLOAD, errors.InvalidRequest),
        ((ONE,), SMALL, {"x-amz-mp-object-size": "-1"}, UPLOAD, errors.InvalidRequest),
        ((ONE._replace(checksums=CRC.values),), SMALL, {}, UPLOAD, errors.BadDigest),
        ((ONE,), SMALL, {"x-amz-checksum-crc32": "AAAAAA=="}, UPLOAD, errors.InvalidRequest),
        ((CRC_ONE,), SMALL, {"x-amz-checksum-crc32": "bad"}, CRC_UPLOAD, errors.BadDigest),
        ((CRC_ONE,), SMALL, {"x-amz-checksum-type": "COMPOSITE"}, CRC_UPLOAD, errors.InvalidRequest),
    ],
)
def test_complete_refused(
    parts: tuple[Part, ...], settings: Settings, headers: dict[str, str], upload: Upload, error: type[Exception]
) -> None:
    stored = (CRC_ONE if upload is CRC_UPLOAD else ONE, TWO)
    script = [claim(*parts), found(upload), listed(*stored)]
    if error is errors.InvalidPart:
        script.append(found(upload))  # was it completed or aborted meanwhile?
    with pytest.raises(error):
        call("POST", TARGET, headers, script, settings=settings)


LOST_RACES: list[list[Step]] = [
    [(ListParts, errors.NoSuchUpload())],
    [listed()],  # the parts went while they were listed
    [listed(ONE), EARLY, (CompleteMultipartUpload, errors.NoSuchUpload())],
    [listed(ONE), EARLY, (CompleteMultipartUpload, errors.InvalidPart())],
    [listed(ONE), EARLY, (CompleteMultipartUpload, errors.PreconditionFailed())],
]


@pytest.mark.parametrize("lost", LOST_RACES, ids=["gone", "going", "gone late", "going late", "condition"])
def test_another_complete_or_an_abort_comes_first(lost: list[Step]) -> None:
    digest = hashlib.sha256(f"1 {ONE.etag}\n".encode()).hexdigest()
    record = Upload("key", "id", NOW, OWNER, completed=Completed("e-1", NO_CHECKSUMS, digest))
    response = call("POST", TARGET, {}, [claim(ONE), found(), *lost, found(record)])
    assert texts(response, "ETag") == ['"e-1"']
    with pytest.raises(errors.S3Error):
        call("POST", TARGET, {}, [claim(ONE), found(), *lost, found()])  # neither did: the error is the request's
    for ended in (DONE, GONE):
        with pytest.raises(errors.NoSuchUpload):
            call("POST", TARGET, {}, [claim(ONE), found(), *lost, ended])


def test_too_small_names_the_part() -> None:
    with pytest.raises(errors.EntityTooSmall) as caught:
        call("POST", TARGET, {}, [claim(ONE, TWO), found(), listed(ONE, TWO)])
    assert caught.value.fields == {
        "ProposedSize": "5",
        "MinSizeAllowed": str(5 * 2**20),
        "PartNumber": "1",
        "ETag": ONE.etag,
    }


def test_a_store_with_wrong_etags_is_our_error() -> None:
    odd = ONE._replace(etag="no md5")
    with pytest.raises(errors.InternalError):
        call("POST", TARGET, {}, [claim(odd), found(), listed(odd)])


def test_documents_parse_whatever_the_key() -> None:
    """A client that cannot read its upload id would leave one upload behind for each try."""
    target = "/bucket/a%01%EF%BF%BEb"
    begun = call("POST", f"{target}?uploads", script=[(CreateMultipartUpload, "id")])
    upload: Step = (HeadUpload, Upload("a\x01\ufffeb", "id", NOW, OWNER))
    parts: Step = (ListParts, PartPage((ONE,), False))
    told = call("GET", f"{target}?uploadId=id", script=[upload, parts])
    script: list[Step] = [claim(ONE), upload, parts, EARLY, (CompleteMultipartUpload, info())]
    done = call("POST", f"{target}?uploadId=id", {}, script)
    for response in (begun, told, done):
        assert texts(response, "Key") == ["a\ufffd\ufffdb"]


def test_abort() -> None:
    script: list[Step] = [found(), (commands.AbortMultipartUpload("bucket", "key", "id"), None)]
    assert call("DELETE", TARGET, script=script).status == 204
    for missing in (GONE, DONE):
        with pytest.raises(errors.NoSuchUpload):
            call("DELETE", TARGET, script=[missing])


def test_abort_of_the_upload_that_was_begun_then() -> None:
    name = "x-amz-if-match-initiated-time"
    script: list[Step] = [found(), (commands.AbortMultipartUpload("bucket", "key", "id"), None)]
    assert call("DELETE", TARGET, {name: http_date(UPLOAD.initiated)}, script).status == 204
    with pytest.raises(errors.PreconditionFailed):
        call("DELETE", TARGET, {name: http_date(UPLOAD.initiated + 1)}, [found()])
    with pytest.raises(errors.InvalidArgument):
        call("DELETE", TARGET, {name: "then"}, [found()])


# ----------------------------------------------------------------------------------------------- listings


def test_list_parts() -> None:
    page = PartPage((CRC_ONE, CRC_TWO), True)
    asked = ListParts("bucket", "key", "id", 0, 2)
    response = call("GET", f"{TARGET}&max-parts=2", script=[found(CRC_UPLOAD), (asked, page)])
    assert texts(response, "Part/PartNumber") == ["1", "3"] and texts(response, "NextPartNumberMarker") == ["3"]
    assert texts(response, "Part/ETag") == [f'"{CRC_ONE.etag}"', f'"{CRC_TWO.etag}"']
    assert texts(response, "Part/ChecksumCRC32") == [CRC_ONE.checksums[0][1], CRC_TWO.checksums[0][1]]
    assert texts(response, "ChecksumAlgorithm") == ["CRC32"] and texts(response, "Initiator/ID") == [OWNER.id]
    assert texts(response, "Owner/DisplayName") == ["alice"] and texts(response, "IsTruncated") == ["true"]


def test_list_parts_at_the_end() -> None:
    asked = ListParts("bucket", "key", "id", 7, 1000)
    response = call("GET", f"{TARGET}&part-number-marker=7", script=[found(), (asked, PartPage((), False))])
    assert texts(response, "PartNumberMarker") == ["7"] and texts(response, "Part") == []
    assert texts(call("GET", f"{TARGET}&max-parts=0", script=[found()]), "MaxParts") == ["0"]
    with pytest.raises(errors.NoSuchUpload):
        call("GET", TARGET, script=[DONE])


def test_list_multipart_uploads() -> None:
    rows = (UploadRow("k", "u", NOW, OWNER, "GLACIER", "CRC32", "COMPOSITE"),)
    page = UploadPage(rows, ("p/",), True, "k", "u")
    asked = ListMultipartUploads("bucket", "p", "/", "a", "b", 5)
    target = "/bucket?uploads&prefix=p&delimiter=/&key-marker=a&upload-id-marker=b&max-uploads=5"
    response = call("GET", target, script=[(asked, page)])
    assert texts(response, "Upload/*")[:2] == ["k", "u"] and texts(response, "CommonPrefixes/Prefix") == ["p/"]
    assert texts(response, "Upload/Owner/ID") == texts(response, "Upload/Initiator/ID") == [OWNER.id]
    assert texts(response, "Upload/StorageClass") == ["GLACIER"]
    assert texts(response, "NextKeyMarker") == ["k"] and texts(response, "NextUploadIdMarker") == ["u"]


def test_an_upload_id_marker_alone_is_ignored() -> None:
    asked = ListMultipartUploads("bucket")
    script: list[Step] = [(asked, UploadPage((), (), False))]
    response = call("GET", "/bucket?uploads&upload-id-marker=b", script=script)
    assert texts(response, "UploadIdMarker") == [""] and texts(response, "NextKeyMarker") == []
    assert texts(call("GET", "/bucket?uploads&max-uploads=0"), "MaxUploads") == ["0"]
