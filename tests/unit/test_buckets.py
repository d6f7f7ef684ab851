import hashlib
from base64 import b64encode

import pytest

from s3proto import commands, errors
from s3proto.commands import (
    CheckAccess,
    CreateBucket,
    DeleteBucket,
    HeadBucket,
    ListObjects,
    PutBucketAcl,
    ReceiveDocument,
)
from s3proto.context import Settings
from s3proto.listing import make_token
from s3proto.model import Access, DeleteEntry, DeleteResult, Document, ListPage, ObjectRow
from tests.drive import Step
from tests.s3_requests import BUCKET_INFO, MD5, NOW, OWNER, PRINCIPAL, call, texts, tree

EMPTY: Step = (ReceiveDocument, Document(b""))
MADE: Step = (CreateBucket("bucket", OWNER), BUCKET_INFO)


def location(constraint: str) -> Step:
    body = (
        f"<CreateBucketConfiguration><LocationConstraint>{constraint}</LocationConstraint></CreateBucketConfiguration>"
    )
    return ReceiveDocument, Document(body.encode())


@pytest.mark.parametrize(
    ("region", "body"),
    [
        ("us-east-1", EMPTY),
        ("eu-west-1", EMPTY),
        ("us-east-1", location("us-east-1")),
        ("us-east-1", location("")),
        ("eu-west-1", location("EU")),
        ("x", (ReceiveDocument, Document(b"<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>"))),
    ],
)
def test_create_bucket(region: str, body: Step) -> None:
    response = call("PUT", "/bucket", script=[body, MADE], settings=Settings(region))
    assert (response.status, response.headers) == (200, [("Location", "/bucket")])


@pytest.mark.parametrize(
    ("headers", "body", "error"),
    [
        ({}, location("eu-west-1"), errors.IllegalLocationConstraintException),
        ({}, location("EU"), errors.IllegalLocationConstraintException),
        ({}, location("us-gov-west-1"), errors.IllegalLocationConstraintException),
        ({}, location("here"), errors.InvalidLocationConstraint),
        ({}, (ReceiveDocument, Document(b"<Other/>")), errors.MalformedXML),
        ({}, (ReceiveDocument, Document(b"no XML")), errors.MalformedXML),
        (
            {},
            (
                ReceiveDocument,
                Document(b"<CreateBucketConfiguration><Location><N/></Location></CreateBucketConfiguration>"),
            ),
            errors.RequestNotImplemented,
        ),
        ({"x-amz-bucket-object-lock-enabled": "True"}, None, errors.RequestNotImplemented),
        ({"x-amz-object-ownership": "Mine"}, None, errors.InvalidArgument),
        ({"content-md5": "x"}, None, errors.InvalidDigest),
    ],
)
def test_create_bucket_refused(headers: dict[str, str], body: Step | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        call("PUT", "/bucket", headers, [body] if body else [])


def test_a_bucket_s_own_content_md5_is_compared() -> None:
    headers = {"content-md5": b64encode(bytes(16)).decode()}
    with pytest.raises(errors.BadDigest):
        call("PUT", "/bucket", headers, [(ReceiveDocument, Document(b"", {"md5": b"x" * 16}))])


def test_illegal_names_are_refused_before_anything() -> None:
    with pytest.raises(errors.InvalidBucketName):
        call("PUT", "/Bad_Name")


def test_creating_again_is_fine_in_us_east_1_only() -> None:
    again: list[Step] = [EMPTY, (CreateBucket, errors.BucketAlreadyOwnedByYou())]
    reset: Step = PutBucketAcl("bucket", "public-read"), None
    may = CheckAccess(PRINCIPAL, "s3:PutBucketAcl", "bucket")
    script = [*again, (may, Access.OWNER), reset]
    assert call("PUT", "/bucket", {"x-amz-acl": "public-read"}, script=script).status == 200
    with pytest.raises(errors.AccessDenied):  # the policy that the bucket has by now
        call("PUT", "/bucket", script=[*again, (may, Access.DENIED)])
    with pytest.raises(errors.BucketAlreadyOwnedByYou):
        call("PUT", "/bucket", script=again, settings=Settings("eu-west-1"))


def test_creating_a_bucket_that_is_deleted_meanwhile() -> None:
    again: list[Step] = [(CreateBucket, errors.BucketAlreadyOwnedByYou()), (CheckAccess, errors.NoSuchBucket())]
    assert call("PUT", "/bucket", script=[EMPTY, *again, (CreateBucket, BUCKET_INFO)]).status == 200
    with pytest.raises(errors.OperationAborted):
        call("PUT", "/bucket", script=[EMPTY, *again, *again, *again])


def test_head_delete_location() -> None:
    response = call("HEAD", "/bucket", script=[(HeadBucket("bucket"), BUCKET_INFO)])
    assert ("x-amz-bucket-region", "us-east-1") in response.headers and response.body == b""
    assert call("DELETE", "/bucket", script=[(DeleteBucket("bucket"), None)]).status == 204
    for region, text in (("us-east-1", None), ("eu-west-1", "eu-west-1")):
        info = BUCKET_INFO._replace(region=region)
        response = call("GET", "/bucket?location", script=[(HeadBucket("bucket"), info)])
        assert tree(response).tag == "LocationConstraint" and tree(response).text == text


# ----------------------------------------------------------------------------------------------- listings

PAGE = ListPage((ObjectRow("a", 1, MD5, NOW), ObjectRow("c", 2, MD5, NOW)), ("b/",), True, "c")


def test_list_objects() -> None:
    target = "/bucket?prefix=p&marker=m&max-keys=3&delimiter=/"
    script: list[Step] = [(HeadBucket("bucket"), BUCKET_INFO), (ListObjects("bucket", "p", "/", "m", 3), PAGE)]
    response = call("GET", target, script=script)
    assert texts(response, "Contents/Key") == ["a", "c"] and texts(response, "CommonPrefixes/Prefix") == ["b/"]
    assert texts(response, "Contents/Owner/ID") == [OWNER.id] * 2
    assert texts(response, "Contents/ETag") == [f'"{MD5}"'] * 2
    assert texts(response, "Contents/LastModified") == ["2023-11-14T22:13:20.000Z"] * 2
    head = {element.tag: element.text or "" for element in tree(response) if not len(element)}
    assert head == {
        "Name": "bucket",
        "Prefix": "p",
        "Marker": "m",
        "NextMarker": "c",
        "MaxKeys": "3",
        "Delimiter": "/",
        "IsTruncated": "true",
    }


def test_the_prefix_of_version_1_is_not_encoded() -> None:
    script: list[Step] = [(HeadBucket("bucket"), BUCKET_INFO), (ListObjects("bucket", "\n%"), ListPage((), (), False))]
    assert texts(call("GET", "/bucket?prefix=%0A%25&encoding-type=url", script=script), "Prefix") == ["\n%"]


def test_next_marker_needs_a_delimiter() -> None:
    script: list[Step] = [(HeadBucket("bucket"), BUCKET_INFO), (ListObjects("bucket"), PAGE)]
    assert texts(call("GET", "/bucket", script=script), "NextMarker") == []


@pytest.mark.parametrize("target", ["/bucket?max-keys=0", "/bucket?versions&max-keys=0"])
def test_no_keys_wanted_none_looked_for(target: str) -> None:
    response = call("GET", target, script=[(HeadBucket("bucket"), BUCKET_INFO)])
    assert texts(response, "IsTruncated") == ["false"] and texts(response, "MaxKeys") == ["0"]
    assert texts(call("GET", "/bucket?list-type=2&max-keys=0"), "KeyCount") == ["0"]


def test_list_type_is_2_or_absent() -> None:
    with pytest.raises(errors.InvalidArgument):
        call("GET", "/bucket?list-type=3")


def test_list_objects_v2() -> None:
    response = call(
        "GET",
        "/bucket?list-type=2&start-after=s&fetch-owner=true",
        script=[(HeadBucket("bucket"), BUCKET_INFO), (ListObjects("bucket", after="s"), PAGE)],
    )
    assert texts(response, "KeyCount") == ["3"] and texts(response, "StartAfter") == ["s"]
    assert texts(response, "Contents/Owner/DisplayName") == ["alice"] * 2
    [token] = texts(response, "NextContinuationToken")
    response = call(
        "GET",
        f"/bucket?list-type=2&continuation-token={token}&start-after=s",
        script=[(ListObjects("bucket", after="c"), ListPage((), (), False))],
    )
    assert texts(response, "ContinuationToken") == [token] and texts(response, "NextContinuationToken") == []
    assert texts(response, "Contents/Owner") == []


def test_an_empty_token_is_none_and_comes_back() -> None:
    response = call("GET", "/bucket?list-type=2&continuation-token=", script=[(ListObjects("bucket"), PAGE)])
    assert texts(response, "ContinuationToken") == [""]


def test_list_object_versions() -> None:
    script: list[Step] = [(HeadBucket("bucket"), BUCKET_INFO), (ListObjects("bucket", after="m"), PAGE)]
    response = call("GET", "/bucket?versions&key-marker=m&version-id-marker=null", script=script)
    assert texts(response, "Version/VersionId") == ["null"] * 2 and texts(response, "Version/IsLatest") == ["true"] * 2
    assert texts(response, "NextKeyMarker") == ["c"] and texts(response, "NextVersionIdMarker") == ["null"]
    with pytest.raises(errors.InvalidArgument):
        call("GET", "/bucket?versions&version-id-marker=null")


# ------------------------------------------------------------------------------------------ DeleteObjects


def delete(*objects: str, quiet: bool = False) -> tuple[dict[str, str], Step]:
    listed = "".join(f"<Object>{entry}</Object>" for entry in objects)
    body = f"<Delete>{listed}<Quiet>{str(quiet).lower()}</Quiet></Delete>".encode()
    md5 = hashlib.md5(body).digest()
    return {"content-md5": b64encode(md5).decode()}, (ReceiveDocument, Document(body, {"md5": md5}))


def test_delete_objects() -> None:
    headers, body = delete(
        "<Key>a</Key>",
        f'<Key>b</Key><VersionId>v</VersionId><ETag>"{MD5}"</ETag><Size>3</Size>'
        "<LastModifiedTime>Tue, 14 Nov 2023 22:13:20 GMT</LastModifiedTime>",
    )
    entries = (DeleteEntry("a"), DeleteEntry("b", "v", MD5, 3, NOW))
    results = (DeleteResult("a"), DeleteResult("b", "v", errors.PreconditionFailed()))
    asked = commands.DeleteObjects("bucket", entries)
    response = call("POST", "/bucket?delete", headers, [body, (asked, results)])
    assert texts(response, "Deleted/Key") == ["a"] and texts(response, "Error/Key") == ["b"]
    assert texts(response, "Error/Code") == ["PreconditionFailed"] and texts(response, "Error/VersionId") == ["v"]


def test_quiet_tells_errors_only() -> None:
    headers, body = delete("<Key>a</Key>", "<Key>b</Key>", quiet=True)
    results = (DeleteResult("a"), DeleteResult("b", error=ValueError("never told")))
    response = call("POST", "/bucket?delete", headers, [body, (commands.DeleteObjects, results)])
    assert texts(response, "Deleted") == [] and texts(response, "Error/Code") == ["InternalError"]


def test_a_key_too_long_fails_alone() -> None:
    headers, body = delete(f"<Key>{'x' * 1025}</Key>", "<Key>a</Key>")
    asked = commands.DeleteObjects("bucket", (DeleteEntry("a"),))
    response = call("POST", "/bucket?delete", headers, [body, (asked, (DeleteResult("a"),))])
    assert texts(response, "Error/Code") == ["KeyTooLongError"] and texts(response, "Deleted/Key") == ["a"]
    headers, body = delete(f"<Key>{'x' * 1025}</Key>")
    assert texts(call("POST", "/bucket?delete", headers, [body]), "Error/Code") == ["KeyTooLongError"]


@pytest.mark.parametrize(
    "objects",
    [
        (),
        ("<Key>a</Key>",) * 1001,
        ("<Key/>",),
        ("<Key>a</Key><Key>b</Key>",),
        ("<Key>a</Key><Size>x</Size>",),
        ("<Key>a</Key><LastModifiedTime>soon</LastModifiedTime>",),
    ],
    ids=["none", "1001", "no key", "two keys", "size", "time"],
)
def test_wrong_documents(objects: tuple[str, ...]) -> None:
    headers, body = delete(*objects)
    with pytest.raises(errors.MalformedXML):
        call("POST", "/bucket?delete", headers, [body])


def test_delete_objects_must_be_vouched_for() -> None:
    with pytest.raises(errors.InvalidRequest):
        call("POST", "/bucket?delete")
    checksum = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32"}
    document = Document(b"", {"crc32": b"\0\0\0\1"})
    with pytest.raises(errors.BadDigest):
        call("POST", "/bucket?delete", checksum, [(ReceiveDocument, document)])


def test_tokens_are_those_of_the_listing() -> None:
    assert (
        make_token("c")
        == texts(call("GET", "/bucket?list-type=2", script=[(ListObjects("bucket"), PAGE)]), "NextContinuationToken")[0]
    )
