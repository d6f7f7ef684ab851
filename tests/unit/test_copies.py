import pytest

from s3proto import errors
from s3proto.commands import (
    AllowEarlyHead,
    CheckAccess,
    CopyObject,
    HeadObject,
    HeadUpload,
    OpenObject,
    UploadPartCopy,
)
from s3proto.model import Access, Checksums, ObjectAttributes, Part, Upload
from tests.drive import Step
from tests.s3_requests import MD5, NOW, OWNER, PRINCIPAL, call, info, opened, texts

SOURCE = {"x-amz-copy-source": "/other/a%20b"}
ALLOWED: Step = (CheckAccess(PRINCIPAL, "s3:GetObject", "other", "a b"), Access.OWNER)
OPEN: Step = (OpenObject("other", "a b"), opened("a b"))
EARLY: Step = (AllowEarlyHead, None)
PLAIN = ObjectAttributes("text/plain")


def copied(attributes: ObjectAttributes = PLAIN, algorithm: str | None = None, **guard: str) -> Step:
    return CopyObject(opened("a b"), "bucket", "key", attributes, algorithm, **guard), info()


def test_copy_object() -> None:
    response = call("PUT", "/bucket/key", SOURCE, [ALLOWED, OPEN, EARLY, copied()])
    assert texts(response, "ETag") == [f'"{MD5}"'] and texts(response, "LastModified") == ["2023-11-14T22:13:20.000Z"]


def test_copy_object_replaces_metadata() -> None:
    headers = SOURCE | {
        "x-amz-metadata-directive": "REPLACE",
        "content-type": "a/b",
        "x-amz-meta-m": "v",
        "x-amz-checksum-algorithm": "sha256",
        "x-amz-tagging-directive": "REPLACE",
    }
    attributes = ObjectAttributes("a/b", metadata=(("m", "v"),))
    call("PUT", "/bucket/key", headers, [ALLOWED, OPEN, EARLY, copied(attributes, "SHA256")])


def test_versions_of_sources() -> None:
    headers = {"x-amz-copy-source": "other/k?versionId=null", "x-amz-source-expected-bucket-owner": "me"}
    source = opened("k", version_id="null")
    script: list[Step] = [
        (CheckAccess(PRINCIPAL, "s3:GetObjectVersion", "other", "k", "me"), Access.OWNER),
        (OpenObject("other", "k", "null"), source),
        EARLY,
        (CopyObject(source, "bucket", "key", PLAIN), info()),
    ]
    assert ("x-amz-copy-source-version-id", "null") in call("PUT", "/bucket/key", headers, script).headers


def test_a_composite_checksum_becomes_a_whole_one() -> None:
    sums = Checksums((("CRC32", "x-2"),), "COMPOSITE")
    source = opened("a b", checksums=sums)
    made = CopyObject(source, "bucket", "key", PLAIN, "CRC32")
    script: list[Step] = [ALLOWED, (OPEN[0], source), EARLY, (made, info(checksums=Checksums((("CRC32", "y"),))))]
    assert texts(call("PUT", "/bucket/key", SOURCE, script), "ChecksumCRC32") == ["y"]


ITSELF = {"x-amz-copy-source": "bucket/key"}
ITSELF_ALLOWED: Step = (CheckAccess(PRINCIPAL, "s3:GetObject", "bucket", "key"), Access.OWNER)
ITSELF_OPEN: Step = (OpenObject("bucket", "key"), opened())


def test_copying_an_object_to_itself_changes_nothing() -> None:
    for headers in ({}, {"x-amz-storage-class": "STANDARD"}):
        with pytest.raises(errors.InvalidRequest, match="copy an object to itself"):
            call("PUT", "/bucket/key", ITSELF | headers, [ITSELF_ALLOWED, ITSELF_OPEN])


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-metadata-directive": "REPLACE"},
        {"x-amz-storage-class": "GLACIER"},
        {"x-amz-website-redirect-location": "/x"},
        {"x-amz-checksum-algorithm": "CRC32"},
    ],
)
def test_copying_an_object_to_itself_with_changes(headers: dict[str, str]) -> None:
    script: list[Step] = [ITSELF_ALLOWED, ITSELF_OPEN, EARLY, (CopyObject, info())]
    assert call("PUT", "/bucket/key", ITSELF | headers, script).status == 200


@pytest.mark.parametrize(
    ("headers", "script", "error"),
    [
        ({"x-amz-copy-source": ""}, [], errors.InvalidArgument),
        (SOURCE | {"x-amz-metadata-directive": "MOVE"}, [], errors.InvalidArgument),
        (SOURCE | {"x-amz-checksum-algorithm": "MD4"}, [], errors.InvalidRequest),
        (SOURCE, [(ALLOWED[0], Access.DENIED)], errors.AccessDenied),
        (SOURCE, [(ALLOWED[0], errors.NoSuchBucket())], errors.NoSuchBucket),
        (SOURCE, [ALLOWED, (OPEN[0], errors.NoSuchKey())], errors.NoSuchKey),
        (SOURCE | {"x-amz-copy-source-if-match": "x"}, [ALLOWED, OPEN], errors.PreconditionFailed),
        (SOURCE | {"x-amz-copy-source-if-none-match": MD5}, [ALLOWED, OPEN], errors.PreconditionFailed),
        (
            SOURCE | {"if-none-match": "*"},
            [ALLOWED, OPEN, (HeadObject("bucket", "key"), info())],
            errors.PreconditionFailed,
        ),
    ],
)
def test_copy_object_refused(headers: dict[str, str], script: list[Step], error: type[Exception]) -> None:
    with pytest.raises(error):
        call("PUT", "/bucket/key", headers, script)


UPLOAD = Upload("key", "id", NOW, OWNER, checksum_algorithm="CRC32", checksum_type="COMPOSITE")
HEAD_UPLOAD: Step = (HeadUpload("bucket", "key", "id"), UPLOAD)
TARGET = "/bucket/key?partNumber=2&uploadId=id"


@pytest.mark.parametrize(("range_", "piece"), [(None, (0, 10)), ("bytes=2-4", (2, 3))])
def test_upload_part_copy(range_: str | None, piece: tuple[int, int]) -> None:
    headers = SOURCE | ({"x-amz-copy-source-range": range_} if range_ else {})
    made = UploadPartCopy("bucket", "key", "id", 2, opened("a b"), *piece, "CRC32")
    part = Part(2, 3, MD5, NOW, (("CRC32", "x"),))
    response = call("PUT", TARGET, headers, [HEAD_UPLOAD, ALLOWED, OPEN, EARLY, (made, part)])
    assert texts(response, "ETag") == [f'"{MD5}"'] and texts(response, "ChecksumCRC32") == ["x"]


@pytest.mark.parametrize(("range_", "error"), [("0-2", errors.InvalidArgument), ("bytes=0-21", errors.InvalidRange)])
def test_upload_part_copy_of_a_wrong_range(range_: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        call("PUT", TARGET, SOURCE | {"x-amz-copy-source-range": range_}, [HEAD_UPLOAD, ALLOWED, OPEN])


@pytest.mark.parametrize("source", ["bucket", "bucket/", "b%", "10.0.0.1/key", "a&b/key"])
def test_a_source_that_cannot_be_one_is_told_first(source: str) -> None:
    for target in ("/bucket/key", TARGET):
        with pytest.raises(errors.InvalidArgument):
            call("PUT", target, {"x-amz-copy-source": source})


def test_nobody_copies_without_a_signature() -> None:
    with pytest.raises(errors.AccessDenied):
        call("PUT", "/bucket/key", SOURCE, principal=None, access=Access.GUEST)
