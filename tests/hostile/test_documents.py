"""XML that is too large, too deep, too clever or not the right one: MalformedXML, and nothing has happened.

Follows "DeleteObjects", "CompleteMultipartUpload", "CreateBucket" (Amazon S3 API Reference).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from tests.gateway import Gateway
from tests.hostile.wire import Answer, call, signed, wire

pytestmark = pytest.mark.compat

ROOTS = ["Delete", "CompleteMultipartUpload", "CreateBucketConfiguration"]
ENTITIES = b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 8) for n in range(20))
INNER = b"<Object><Key>&u;</Key></Object>"
DOCUMENTS = {
    "nothing-in-it": b"\0",
    "text": b"hello",
    "another-root": b"<Other/>",
    "unterminated": b"<ROOT><Object>",
    "two-roots": b"<ROOT/><ROOT/>",
    "doctype": b"<!DOCTYPE ROOT><ROOT/>",
    "external-dtd": b'<!DOCTYPE ROOT SYSTEM "http://127.0.0.1:1/x"><ROOT/>',
    "bomb": b'<!DOCTYPE l [<!ENTITY a "aaaaaaaa">' + ENTITIES + b"]><ROOT>" + INNER + b"</ROOT>",
    "external-entity": b'<!DOCTYPE l [<!ENTITY u SYSTEM "file:///etc/passwd">]><ROOT>' + INNER + b"</ROOT>",
    "parameter-entity": b'<!DOCTYPE l [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]><ROOT/>',
    "undefined-entity": b"<ROOT>" + INNER + b"</ROOT>",
    "unbound-prefix": b"<a:ROOT/>",
    "attribute-twice": b"<ROOT a='1' a='1'/>",
    "not-utf8": b"<ROOT>\xff</ROOT>",
    "utf16": '<?xml version="1.0" encoding="utf-16"?><ROOT/>'.encode("utf-16"),
    "nul": b"<ROOT>&#0;</ROOT>",
    "surrogate": b"<ROOT>&#xD800;</ROOT>",
    "deep": b"<ROOT>" + b"<a>" * 5_000 + b"</a>" * 5_000 + b"</ROOT>",
    "endless-name": b"<" + b"a" * 60_000,
}


def document(gateway: Gateway, root: str, body: bytes) -> Answer:
    match root:
        case "Delete":
            headers = {"content-md5": b64encode(hashlib.md5(body).digest()).decode()}
            return call(gateway, "POST", "/bkt?delete", body, headers)
        case "CompleteMultipartUpload":
            return call(gateway, "POST", f"/bkt/k?uploadId={'0' * 32}", body)
        case _:
            return call(gateway, "PUT", "/never-made", body)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_malformed(gateway: Gateway, root: str, name: str) -> None:
    assert document(gateway, root, DOCUMENTS[name].replace(b"ROOT", root.encode())).told == (400, "MalformedXML")
    assert call(gateway, "HEAD", "/never-made").status == 404


@pytest.mark.parametrize("root", ROOTS)
def test_documents_without_end(gateway: Gateway, root: str) -> None:
    for body in (b"<" + b"a" * (9 << 20), b" " * (9 << 20)):
        assert document(gateway, root, body).told == (400, "MaxMessageLengthExceeded")


@pytest.mark.parametrize("piece", [b"<a/>", b"<!-- x -->", b"<Object><Key>k</Key></Object>", b"<a b='c'/>", b"&#x41;"])
def test_many_small_things(gateway: Gateway, piece: bytes) -> None:
    body = b"<Delete>" + piece * ((1 << 19) // len(piece)) + b"</Delete>"
    assert document(gateway, "Delete", body).told == (400, "MalformedXML")


OBJECT = "<Object><Key>k</Key>{}</Object>"
DELETES = {
    "none": "",
    "1001": "<Object><Key>a</Key></Object>" * 1001,
    "no-key": "<Object/>",
    "empty-key": "<Object><Key></Key></Object>",
    "two-keys": "<Object><Key>k</Key><Key>k</Key></Object>",
    "key-with-elements": "<Object><Key><a>k</a></Key></Object>",
    "quiet-twice": "<Quiet>true</Quiet><Quiet>true</Quiet>" + OBJECT,
    "size-not-ascii": OBJECT.format("<Size>٣</Size>"),
    "size-negative": OBJECT.format("<Size>-3</Size>"),
    "size-endless": OBJECT.format(f"<Size>{'9' * 5000}</Size>"),
    "date": OBJECT.format("<LastModifiedTime>yesterday</LastModifiedTime>"),
}


@pytest.mark.parametrize("inner", DELETES.values(), ids=DELETES)
def test_delete_objects(gateway: Gateway, inner: str) -> None:
    assert document(gateway, "Delete", f"<Delete>{inner}</Delete>".encode()).told == (400, "MalformedXML")
    assert call(gateway, "GET", "/bkt/k").body == b"old"


def test_deleting_what_is_no_key(gateway: Gateway) -> None:
    keys = ["../../etc/passwd", "..", ".s3~tmp.x", "/", "//", "é" * 513, "a" * 1025]
    body = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    answer = document(gateway, "Delete", f"<Delete>{body}</Delete>".encode())
    assert answer.texts("Error/Code") == ["KeyTooLongError"] * 2 and len(answer.texts("Deleted/Key")) == 5


def test_a_delete_nobody_vouches_for(gateway: Gateway) -> None:
    assert call(gateway, "POST", "/bkt?delete", b"<Delete/>").told == (400, "InvalidRequest")
    with wire(gateway) as to:
        data = signed(gateway, "POST", "/bkt?delete", b"<Delete/>", {"content-md5": b64encode(b"x" * 16).decode()})
        assert to.ask(data).told == (400, "BadDigest")


DELETE_K = b"<Delete><Object><Key>k</Key></Object></Delete>"
EXCHANGED = {
    "delete": ("POST", "/bkt?delete", DELETE_K, {"content-md5": b64encode(hashlib.md5(DELETE_K).digest()).decode()}),
    "complete": ("POST", f"/bkt/k?uploadId={'0' * 32}", b"<CompleteMultipartUpload/>", {}),
    "acl": ("PUT", "/bkt/k?acl", b"<AccessControlPolicy/>", {}),
    "create": ("PUT", "/never-made", b"<CreateBucketConfiguration/>", {}),
}


@pytest.mark.parametrize("name", EXCHANGED)
def test_a_document_that_was_exchanged_on_its_way(gateway: Gateway, name: str) -> None:
    method, target, body, headers = EXCHANGED[name]
    answer = call(gateway, method, target, body, headers, payload=hashlib.sha256(b"another").hexdigest())
    assert answer.told == (400, "XAmzContentSHA256Mismatch")
    assert call(gateway, "GET", "/bkt/k").body == b"old" and call(gateway, "HEAD", "/never-made").status == 404


# ----------------------------------------------------------------------------------------- part numbers


@pytest.fixture(scope="module")
def upload(gateway: Gateway) -> tuple[str, str]:
    """Id of an upload, and the ETag of its part 1."""
    (upload_id,) = call(gateway, "POST", "/bkt/parts?uploads").texts("UploadId")
    return upload_id, call(gateway, "PUT", f"/bkt/parts?partNumber=1&uploadId={upload_id}", b"1").headers["etag"]


NUMBERS = [
    "0",
    "-1",
    "10001",
    "1000000000",
    "9" * 5000,
    "1_0",
    "1.0",
    "0x1",
    "1e0",
    "%2B1",
    "%201",
    "%D9%A3",
    "%C2%B2",
    "",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_part_numbers(gateway: Gateway, upload: tuple[str, str], number: str) -> None:
    for method, target in (("PUT", f"/bkt/parts?uploadId={upload[0]}&"), ("GET", "/bkt/k?")):
        assert call(gateway, method, f"{target}partNumber={number}").told == (400, "InvalidArgument")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (["0"], "InvalidArgument"),
        (["2"], "InvalidPart"),
        (["10001"], "InvalidPart"),
        (["-1"], "InvalidArgument"),
        (["1_0"], "MalformedXML"),
        (["٣"], "MalformedXML"),
        (["²"], "MalformedXML"),
        (["1e0"], "MalformedXML"),
        (["9" * 5000], "MalformedXML"),
        ([""], "MalformedXML"),
        ([], "MalformedXML"),
        (["2", "1"], "InvalidPartOrder"),
        ([str(n) for n in range(1, 10_002)], "MalformedXML"),
    ],
)
def test_completing_wrong_parts(gateway: Gateway, upload: tuple[str, str], parts: list[str], code: str) -> None:
    upload_id, etag = upload
    inner = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number in parts)
    body = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()
    assert call(gateway, "POST", f"/bkt/parts?uploadId={upload_id}", body).told == (400, code)
    assert call(gateway, "HEAD", "/bkt/parts").status == 404
    assert call(gateway, "GET", f"/bkt/parts?uploadId={upload_id}").texts("Part/ETag") == [etag]


def test_after_the_end_of_an_upload(gateway: Gateway) -> None:
    (upload_id,) = call(gateway, "POST", "/bkt/ended?uploads").texts("UploadId")
    target = f"/bkt/ended?uploadId={upload_id}"
    etag = call(gateway, "PUT", f"{target}&partNumber=1", b"1").headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    first = call(gateway, "POST", target, body)
    assert call(gateway, "POST", target, body).body.replace(b" ", b"") == first.body.replace(b" ", b"")
    for method, query, sent in (
        ("PUT", "&partNumber=1", b"2"),
        ("PUT", "&partNumber=2", b"2" * (2 << 20)),
        ("DELETE", "", None),
    ):
        assert call(gateway, method, target + query, sent).told == (404, "NoSuchUpload")
    assert call(gateway, "POST", target, body.replace(b">1<", b">2<")).told == (404, "NoSuchUpload")
    assert call(gateway, "GET", "/bkt/ended").body == b"1"


LISTINGS = [
    "list-type=3",
    "list-type=2&continuation-token=x",
    "list-type=2&continuation-token=%C3%A9",
    f"list-type=2&continuation-token={'A' * 8000}",
    "encoding-type=x",
    "max-keys=-1",
    "max-keys=1_0",
    "max-keys=%D9%A3",
    f"max-keys={'9' * 5000}",
    "versions&version-id-marker=x",
    "uploads&max-uploads=x",
]


@pytest.mark.parametrize("query", LISTINGS)
def test_listings(gateway: Gateway, query: str) -> None:
    assert call(gateway, "GET", f"/bkt?{query}").told == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "query",
    [
        f"prefix={'/' * 5000}&delimiter=/",
        f"prefix={'a/' * 2500}",
        "prefix=../../",
        "prefix=.s3~&delimiter=~",
        f"marker={'%F4%8F%BF%BF' * 1000}",
        "delimiter=%00&encoding-type=url",
        "max-keys=1&max-keys=x",
    ],
)
def test_listings_of_nothing(gateway: Gateway, query: str) -> None:
    assert call(gateway, "GET", f"/bkt?{query}").status == 200
