"""Requests without a signature: what they reach, operation by operation, and what guests do to each other.

Follows "Access control list (ACL) overview" (Amazon S3 User Guide).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5

import pytest

from s3proto.operations import BUCKET, OBJECT, OPERATIONS, SERVICE
from s3proto.operations.operation import Operation
from tests.form_kit import CONTENT_TYPE, encode
from tests.gateway import Gateway, User
from tests.hostile.wire import Answer, call, head_bytes, wire

pytestmark = pytest.mark.compat

DELETE = b"<Delete><Object><Key>k</Key></Object></Delete>"


def ask(gateway: Gateway, method: str, target: str, body: bytes = b"", **fields: str) -> Answer:
    """A request that nobody signed."""
    lines = [("Host", f"127.0.0.1:{gateway.port}"), *((name.replace("_", "-"), v) for name, v in fields.items())]
    if method in ("PUT", "POST"):
        lines.append(("Content-Length", str(len(body))))
    with wire(gateway) as to:
        return to.ask(head_bytes(method, target, lines) + body, method)


@pytest.fixture(scope="module")
def hers(gateway: Gateway) -> Iterator[User]:
    """Alice's buckets, named after their ACLs, each with a private object ``k`` and a public one ``p``."""
    user = gateway.users["alice"]
    for acl in ("private", "public-read", "public-read-write", "authenticated-read"):
        assert call(gateway, "PUT", f"/acl-{acl}", None, {"x-amz-acl": acl}, user=user).status == 200
        assert call(gateway, "PUT", f"/acl-{acl}/k", b"secret", user=user).status == 200
        assert call(gateway, "PUT", f"/acl-{acl}/p", b"public", {"x-amz-acl": "public-read"}, user=user).status == 200
    yield user
    for acl in ("private", "public-read", "authenticated-read"):
        assert call(gateway, "GET", f"/acl-{acl}", user=user).texts("Contents/Key") == ["k", "p"]
        assert call(gateway, "GET", f"/acl-{acl}/k", user=user).body == b"secret"


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_nothing_of_a_private_bucket(gateway: Gateway, hers: User, row: Operation) -> None:
    path = {SERVICE: "/", BUCKET: "/acl-private", OBJECT: "/acl-private/k"}[row.resource]
    query = "&".join(c if "=" in c else f"{c}=1" for c in row.query)
    fields = {"x_amz_acl": "public-read"} if row.name in ("PutBucketAcl", "PutObjectAcl") else {}
    if row.name == "GetObjectAttributes":
        fields["x_amz_object_attributes"] = "ETag"
    if row.header:
        fields[row.header] = "acl-private/k"
    if row.name == "DeleteObjects":
        fields["content_md5"] = b64encode(md5(DELETE).digest()).decode()
    body = DELETE if row.method == "POST" else b""
    if row.name == "PostObject":
        fields["content_type"], body = CONTENT_TYPE, encode({"key": "new"}, b"x")
    answer = ask(gateway, row.method, f"{path}?{query}", body, **fields)
    assert answer.told == (403, None if row.method == "HEAD" else "AccessDenied")


READS = [("GET", ""), ("GET", "?versions"), ("GET", "?uploads"), ("GET", "?list-type=2"), ("HEAD", "")]


@pytest.mark.parametrize(("method", "query"), READS)
def test_who_may_list(gateway: Gateway, hers: User, method: str, query: str) -> None:
    bob = gateway.users["bob"]
    for acl, nobody, anybody in (
        ("private", 403, 403),
        ("authenticated-read", 403, 200),
        ("public-read", 200, 200),
        ("public-read-write", 200, 200),
    ):
        assert ask(gateway, method, f"/acl-{acl}{query}").status == nobody
        assert call(gateway, method, f"/acl-{acl}{query}", user=bob).status == anybody


def test_an_object_s_own_acl_counts_wherever_it_is(gateway: Gateway, hers: User) -> None:
    for acl in ("private", "public-read", "public-read-write"):
        assert ask(gateway, "GET", f"/acl-{acl}/p").body == b"public"
        assert ask(gateway, "GET", f"/acl-{acl}/p?versionId=null").status == 200
        assert ask(gateway, "GET", f"/acl-{acl}/k").told == (403, "AccessDenied")
        assert ask(gateway, "GET", f"/acl-{acl}/p?acl").told == (403, "AccessDenied")
        assert ask(gateway, "PUT", f"/acl-{acl}/p?acl", x_amz_acl="public-read").told == (403, "AccessDenied")
    assert ask(gateway, "GET", "/acl-private/none").told == (403, "AccessDenied")
    assert ask(gateway, "GET", "/acl-public-read/none").told == (404, "NoSuchKey")
    assert ask(gateway, "GET", "/acl-private/p?response-expires=x").told == (400, "InvalidRequest")
    assert ask(gateway, "GET", "/no-such-bucket/p").told == (404, "NoSuchBucket")


def test_what_cannot_be_read_cannot_be_copied(gateway: Gateway, hers: User) -> None:
    bob = gateway.users["bob"]
    to = "/acl-public-read-write/copy"
    for source, status in (("acl-private/k", 403), ("acl-private/p", 200), ("acl-public-read-write/k", 403)):
        assert call(gateway, "PUT", to, None, {"x-amz-copy-source": source}, user=bob).status == status
        assert ask(gateway, "PUT", to, x_amz_copy_source=source).told == (403, "AccessDenied")  # nobody copies
    assert ask(gateway, "GET", to).status == 403  # the copy of what is public is private


def test_settings_stay_the_owner_s(gateway: Gateway, hers: User) -> None:
    for query in ("acl", "policy", "location", "tagging", "versioning"):
        assert ask(gateway, "GET", f"/acl-public-read-write?{query}").told == (403, "AccessDenied")
    assert ask(gateway, "DELETE", "/acl-public-read-write").told == (403, "AccessDenied")
    assert ask(gateway, "PUT", "/acl-public-read-write?policy", b"{}").told == (403, "AccessDenied")
    assert ask(gateway, "PUT", "/acl-public-read-write?acl", x_amz_acl="private").told == (403, "AccessDenied")


def test_guests_leave_each_other_s_uploads_alone(gateway: Gateway, hers: User) -> None:
    bob, target = gateway.users["bob"], "/acl-public-read-write/mp"
    assert ask(gateway, "POST", f"{target}?uploads").told == (403, "AccessDenied")
    (upload_id,) = call(gateway, "POST", f"{target}?uploads", user=bob).texts("UploadId")
    (listed,) = ask(gateway, "GET", "/acl-public-read-write?uploads").texts("Upload/UploadId")
    assert listed == upload_id
    where = f"{target}?uploadId={upload_id}"
    part = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>"
    for method, query, body in (
        ("GET", "", b""),
        ("DELETE", "", b""),
        ("PUT", "&partNumber=1", b"x"),
        ("POST", "", part),
    ):
        assert ask(gateway, method, where + query, body).told == (403, "AccessDenied")
    assert call(gateway, "DELETE", where, user=hers).status == 204  # the bucket's owner may


def test_guests_own_what_they_upload(gateway: Gateway, hers: User) -> None:
    bob, target = gateway.users["bob"], "/acl-public-read-write/bobs"
    assert call(gateway, "PUT", target, b"his", user=bob).status == 200
    assert call(gateway, "GET", f"{target}?acl", user=hers).texts("Owner/DisplayName") == ["bob"]
    assert call(gateway, "GET", target, user=bob).body == call(gateway, "GET", target, user=hers).body == b"his"
    assert ask(gateway, "GET", target).told == (403, "AccessDenied")
    assert call(gateway, "PUT", f"{target}?acl", None, {"x-amz-acl": "public-read"}, user=bob).status == 200
    assert ask(gateway, "GET", target).body == b"his"
    assert ask(gateway, "PUT", target, b"nobody's").status == 200
    assert call(gateway, "GET", f"{target}?acl", user=hers).texts("Owner/DisplayName") == ["alice"]
    assert ask(gateway, "GET", target).told == call(gateway, "GET", target, user=bob).told == (403, "AccessDenied")
    assert call(gateway, "PUT", f"{target}?acl", None, {"x-amz-acl": "public-read"}, user=bob).status == 403
    assert ask(gateway, "DELETE", target).status == 204
