import hashlib
from base64 import b64encode

import pytest

from s3proto import errors
from s3proto.body import PlainDecoder
from s3proto.commands import BodyTarget, Command, DeleteObject, HeadObject, OpenObject, PutObject, ReceiveBody
from s3proto.context import Settings
from s3proto.dates import http_date
from s3proto.http import Span
from s3proto.model import (
    NO_CHECKSUMS,
    Checksums,
    DeleteEntry,
    DeleteResult,
    ObjectAttributes,
    Part,
    Received,
)
from s3proto.operations.objects import put_object
from tests.drive import Step, run
from tests.s3_requests import MD5, NOW, call, info, opened, request, texts

OPEN = OpenObject("bucket", "key")
CRC = (("CRC32", "AAAAAA=="),)
PARTS = (Part(1, 6, "e1", NOW, CRC), Part(3, 4, "e3", NOW, CRC))


def put(**headers: str) -> dict[str, str]:
    return {"content-length": "3"} | {name.replace("_", "-"): value for name, value in headers.items()}


# ------------------------------------------------------------------------------------------------ reading


def test_get_object() -> None:
    response = call("GET", "/bucket/key", script=[(OPEN, opened())])
    assert (response.status, response.body) == (200, Span("handle", 0, 10))
    assert dict(response.headers) == {
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "ETag": f'"{MD5}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "text/plain",
    }


def test_head_object_tells_the_length_and_sends_nothing() -> None:
    response = call("HEAD", "/bucket/key", {"range": "bytes=1-2"}, [(HeadObject("bucket", "key"), info())])
    assert (response.status, response.body) == (206, b"") and ("Content-Length", "2") in response.headers


@pytest.mark.parametrize(
    ("headers", "status", "span"),
    [
        ({"range": "bytes=2-4"}, 206, (2, 3)),
        ({"range": "bytes=-4"}, 206, (6, 4)),
        ({"range": "bytes=0-1,3-4"}, 200, (0, 10)),
        ({"range": "bytes=2-4", "if-range": f'"{MD5}"'}, 206, (2, 3)),
        ({"range": "bytes=2-4", "if-range": '"other"'}, 200, (0, 10)),
    ],
)
def test_ranges(headers: dict[str, str], status: int, span: tuple[int, int]) -> None:
    response = call("GET", "/bucket/key", headers, [(OPEN, opened())])
    assert (response.status, response.body) == (status, Span("handle", *span))
    expected = f"bytes {span[0]}-{sum(span) - 1}/10" if status == 206 else None
    assert dict(response.headers).get("Content-Range") == expected


def test_range_of_nothing() -> None:
    with pytest.raises(errors.InvalidRange):
        call("GET", "/bucket/key", {"range": "bytes=40-50"}, [(OPEN, opened(size=0))])


@pytest.mark.parametrize(("number", "span"), [(1, (0, 6)), (3, (6, 4))])
def test_part_numbers(number: int, span: tuple[int, int]) -> None:
    whole = opened(parts=PARTS, parts_count=2, checksums=Checksums((("CRC32", "whole"),), "FULL_OBJECT"))
    response = call(
        "GET",
        f"/bucket/key?partNumber={number}",
        {"x-amz-checksum-mode": "ENABLED"},
        [(OpenObject("bucket", "key", with_parts=True), whole)],
    )
    assert (response.status, response.body) == (206, Span("handle", *span))
    headers = dict(response.headers)
    assert headers["x-amz-mp-parts-count"] == "2" and headers["x-amz-checksum-crc32"] == "AAAAAA=="
    assert headers["x-amz-checksum-type"] == "FULL_OBJECT"


def test_an_object_in_one_piece_is_its_own_part_1() -> None:
    script: list[Step] = [(OpenObject("bucket", "key", with_parts=True), opened())]
    assert call("GET", "/bucket/key?partNumber=1", script=script).status == 206
    script = [(OpenObject("bucket", "key", with_parts=True), opened(size=0))]
    assert call("GET", "/bucket/key?partNumber=1", script=script).status == 200
    script = [(OpenObject("bucket", "key", with_parts=True), opened())]
    with pytest.raises(errors.InvalidPart):
        call("GET", "/bucket/key?partNumber=2", script=script)


def test_part_number_or_range() -> None:
    with pytest.raises(errors.InvalidRequest):
        call("GET", "/bucket/key?partNumber=1", {"range": "bytes=0-1"})
    with pytest.raises(errors.InvalidArgument):
        call("GET", "/bucket/key?partNumber=0")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, False),
        ({"x-amz-checksum-mode": "ENABLED"}, True),
        ({"x-amz-checksum-mode": "ENABLED", "range": "bytes=0-1"}, False),
    ],
)
def test_checksums_are_told_when_asked_for_and_whole(headers: dict[str, str], told: bool) -> None:
    answer = opened(checksums=Checksums(CRC, "FULL_OBJECT"))
    response = call("GET", "/bucket/key", headers, [(OPEN, answer)])
    assert (("x-amz-checksum-crc32", "AAAAAA==") in response.headers) is told


def test_not_modified_keeps_the_cache_s_headers() -> None:
    with pytest.raises(errors.NotModified) as caught:
        call("GET", "/bucket/key", {"if-none-match": MD5}, [(OPEN, opened())])
    assert [name for name, _ in caught.value.headers] == ["Last-Modified", "ETag"]


def test_overrides_are_for_known_callers() -> None:
    target = "/bucket/key?response-content-type=a/b&response-expires=123"
    headers = dict(call("GET", target, script=[(OPEN, opened())]).headers)
    assert headers["Content-Type"] == "a/b" and headers["Expires"] == "123"
    with pytest.raises(errors.InvalidRequest):
        call("GET", target, principal=None)


def test_get_object_attributes() -> None:
    whole = info(parts=PARTS, checksums=Checksums(CRC, "FULL_OBJECT"))
    response = call(
        "GET",
        "/bucket/key?attributes",
        {"x-amz-object-attributes": "ETag, Checksum,ObjectParts,StorageClass,ObjectSize", "x-amz-max-parts": "1"},
        [(HeadObject("bucket", "key", with_parts=True), whole)],
    )
    assert texts(response, "ETag") == [MD5] and texts(response, "ObjectSize") == ["10"]
    assert texts(response, "StorageClass") == ["STANDARD"]
    assert texts(response, "Checksum/*") == ["AAAAAA==", "FULL_OBJECT"]
    assert texts(response, "ObjectParts/PartsCount") == ["2"]
    assert (
        texts(response, "ObjectParts/Part/PartNumber") == texts(response, "ObjectParts/NextPartNumberMarker") == ["1"]
    )
    assert texts(response, "ObjectParts/IsTruncated") == ["true"]


def test_get_object_attributes_goes_on() -> None:
    headers = {"x-amz-object-attributes": "ObjectParts", "x-amz-part-number-marker": "1"}
    script: list[Step] = [(HeadObject("bucket", "key", with_parts=True), info(parts=PARTS))]
    response = call("GET", "/bucket/key?attributes", headers, script)
    assert texts(response, "ObjectParts/Part/PartNumber") == ["3"] and texts(response, "ETag") == []
    assert texts(response, "ObjectParts/IsTruncated") == ["false"]
    headers["x-amz-part-number-marker"] = "3"
    assert texts(call("GET", "/bucket/key?attributes", headers, script), "ObjectParts/NextPartNumberMarker") == ["3"]


def test_get_object_attributes_of_a_simple_object() -> None:
    headers = {"x-amz-object-attributes": "ObjectParts,Checksum,ObjectSize"}
    script: list[Step] = [(HeadObject("bucket", "key", with_parts=True), info())]
    assert texts(call("GET", "/bucket/key?attributes", headers, script), "*") == ["10"]


@pytest.mark.parametrize("names", ["Etag", "ETag,"])
def test_get_object_attributes_wants_known_names(names: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        call("GET", "/bucket/key?attributes", {"x-amz-object-attributes": names})


@pytest.mark.parametrize("headers", [{}, {"x-amz-object-attributes": ""}])
def test_get_object_attributes_wants_names(headers: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidRequest):
        call("GET", "/bucket/key?attributes", headers)


# ------------------------------------------------------------------------------------------------ writing

RECEIVED = Received("content", 3, {"md5": bytes.fromhex(MD5), "crc32": bytes(4), "sha256": bytes(32)})


def stored(checksums: Checksums = NO_CHECKSUMS, **guard: str) -> PutObject:
    return PutObject("bucket", "key", "content", MD5, ObjectAttributes("binary/octet-stream"), checksums, **guard)


def test_put_object() -> None:
    response = call("PUT", "/bucket/key", put(), [(ReceiveBody, RECEIVED), (stored(), info())])
    assert (response.status, response.headers) == (200, [("ETag", f'"{MD5}"')])


def test_put_object_with_a_checksum() -> None:
    sums = Checksums(CRC, "FULL_OBJECT")
    headers = put(x_amz_checksum_crc32="AAAAAA==", x_amz_sdk_checksum_algorithm="CRC32")
    response = call("PUT", "/bucket/key", headers, [(ReceiveBody, RECEIVED), (stored(sums), info())])
    assert response.headers[1:] == [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-type", "FULL_OBJECT")]


@pytest.mark.parametrize(
    ("headers", "digests"),
    [
        ({}, ("md5",)),
        ({"content-md5": b64encode(bytes(16)).decode()}, ("md5",)),
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}, ("crc64nvme", "md5")),
        ({"x-amz-trailer": "x-amz-checksum-sha256"}, ("md5", "sha256")),
    ],
)
def test_only_the_digests_needed_are_asked_for(headers: dict[str, str], digests: tuple[str, ...]) -> None:
    asked: list[Command[object]] = []

    def answer(command: Command[object]) -> Exception:
        asked.append(command)
        return errors.IncompleteBody()

    with pytest.raises(errors.IncompleteBody):
        run(put_object(request("PUT", "/bucket/key", {"content-length": "3"} | headers)), answer)
    [command] = asked
    assert isinstance(command, ReceiveBody) and isinstance(command.decoder, PlainDecoder)
    assert (command.digests, command.target, command.limit) == (digests, BodyTarget("bucket", "key"), 5 * 2**40)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, errors.MissingContentLength),
        ({"content-length": str(6 * 2**40)}, errors.EntityTooLarge),
        (put(content_md5=""), errors.InvalidDigest),
        (put(x_amz_checksum_crc32="bad"), errors.BadDigest),
        (put(x_amz_storage_class="x"), errors.InvalidStorageClass),
        (put(**{"x-amz-meta-a": "x" * 2048}), errors.MetadataTooLarge),
        (put(if_modified_since=http_date(NOW)), errors.RequestNotImplemented),
        (put(content_range="bytes 0-4/10"), errors.RequestNotImplemented),
    ],
)
def test_refused_before_the_body_is_sent(headers: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        call("PUT", "/bucket/key", headers)


@pytest.mark.parametrize(
    "headers",
    [put(content_md5=b64encode(hashlib.md5(b"other").digest()).decode()), put(x_amz_checksum_crc32="AAAAAQ==")],
)
def test_a_body_that_is_not_what_was_said_is_not_stored(headers: dict[str, str]) -> None:
    with pytest.raises(errors.BadDigest):
        call("PUT", "/bucket/key", headers, [(ReceiveBody, RECEIVED)])


HEAD: Step = (HeadObject("bucket", "key"), info())
NO_HEAD: Step = (HeadObject("bucket", "key"), errors.NoSuchKey())
BODY: Step = (ReceiveBody, RECEIVED)


@pytest.mark.parametrize(
    ("headers", "script"),
    [
        (put(if_match=MD5), [HEAD, BODY, (stored(if_match=MD5), info())]),
        (put(if_match="*"), [HEAD, BODY, (stored(if_match="*"), info())]),
        (put(if_none_match="*"), [NO_HEAD, BODY, (stored(if_none_match="*"), info())]),
        (put(if_none_match="x"), [HEAD, BODY, HEAD, (stored(if_match=MD5), info())]),
        (put(if_none_match="x"), [NO_HEAD, BODY, NO_HEAD, (stored(if_none_match="*"), info())]),
    ],
)
def test_conditional_writes_carry_their_condition(headers: dict[str, str], script: list[Step]) -> None:
    assert call("PUT", "/bucket/key", headers, script).status == 200


@pytest.mark.parametrize(
    ("headers", "script", "error"),
    [
        (put(if_match="x"), [HEAD], errors.PreconditionFailed),
        (put(if_match="*"), [NO_HEAD], errors.NoSuchKey),
        (put(if_none_match="*"), [HEAD], errors.PreconditionFailed),
        (put(if_none_match=MD5), [HEAD], errors.PreconditionFailed),
        (put(if_none_match="x"), [NO_HEAD, BODY, (HEAD[0], info(etag="x"))], errors.PreconditionFailed),
        (put(if_match=MD5), [HEAD, BODY, (PutObject, errors.PreconditionFailed())], errors.PreconditionFailed),
        (put(if_match=MD5), [HEAD, BODY, (PutObject, errors.NoSuchKey())], errors.NoSuchKey),
        (
            put(if_none_match="x"),
            [HEAD, BODY, HEAD, (PutObject, errors.NoSuchKey())],
            errors.ConditionalRequestConflict,
        ),
        (
            put(if_none_match="x"),
            [HEAD, BODY, HEAD, (PutObject, errors.PreconditionFailed())],
            errors.ConditionalRequestConflict,
        ),
    ],
)
def test_conditional_writes_fail(headers: dict[str, str], script: list[Step], error: type[Exception]) -> None:
    with pytest.raises(error):
        call("PUT", "/bucket/key", headers, script)


def test_delete_object() -> None:
    script: list[Step] = [(DeleteObject("bucket", DeleteEntry("key")), DeleteResult("key"))]
    assert call("DELETE", "/bucket/key", script=script).status == 204
    entry = DeleteEntry("key", "null", MD5, 3, NOW)
    headers = {
        "if-match": f'"{MD5}"',
        "x-amz-if-match-size": "3",
        "x-amz-if-match-last-modified-time": http_date(NOW),
    }
    script = [(DeleteObject("bucket", entry), DeleteResult("key", "null"))]
    assert call("DELETE", "/bucket/key?versionId=null", headers, script).headers == [("x-amz-version-id", "null")]
    script = [(DeleteObject, DeleteResult("key", error=errors.PreconditionFailed()))]
    with pytest.raises(errors.PreconditionFailed):
        call("DELETE", "/bucket/key", {"if-match": "*"}, script)


@pytest.mark.parametrize(
    "headers", [{"x-amz-if-match-size": "x"}, {"x-amz-if-match-last-modified-time": "soon"}], ids=["size", "time"]
)
def test_delete_object_with_conditions_that_are_none(headers: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidArgument):
        call("DELETE", "/bucket/key", headers)


def test_settings_bound_objects() -> None:
    with pytest.raises(errors.EntityTooLarge):
        call("PUT", "/bucket/key", put(), settings=Settings(max_object_size=2))
