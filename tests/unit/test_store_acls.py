"""ACLs in the store, on a directory and on a (simulated) Curvine cluster: kept, changed, seen, and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import Access, ObjectAttributes, ObjectInfo, Owner, Principal
from s3server.store import ObjectStore
from s3server.store.record import ATTRIBUTE
from s3server.store.state import Buckets, owner_of
from tests.store_kit import ALICE, ROOT, STORES, Shop, open_shop

BOB = Principal(owner_of("bob"), "AKIABOB000000000")
LONG = ObjectAttributes("text/x", metadata=(("m", "v" * 3000),))


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(request.param, tmp_path) as shop:
        yield shop


def head(shop: Shop, key: str, bucket: str = "bkt") -> ObjectInfo:
    return shop.store.head_object(c.HeadObject(bucket, key))


def put_acl(shop: Shop, key: str, acl: str, owner: Owner | None = None) -> None:
    shop.store.put_object_acl(c.PutObjectAcl("bkt", key, acl, None, owner))


def access(store: ObjectStore, who: Principal | None, action: str, owner: str | None = None) -> Access:
    return store.check_access(c.CheckAccess(who, action, "bkt", None, owner))


# ------------------------------------------------------------------------------------------------ objects


@pytest.mark.parametrize("attributes", [ObjectAttributes("text/x"), LONG], ids=["short", "long"])
def test_only_the_acl_changes(shop: Shop, attributes: ObjectAttributes) -> None:
    shop.put("d/k", b"body", attributes=replace(attributes, owner=BOB.owner))
    before, row = head(shop, "d/k"), shop.rows()
    assert before.attributes == replace(attributes, owner=BOB.owner)
    for acl in ("public-read", "bucket-owner-full-control", "private", "private"):
        put_acl(shop, "d/k", acl)
        opened = shop.store.open_object(c.OpenObject("bkt", "d/k"))
        opened.content.close()
        changed = replace(before, attributes=replace(before.attributes, acl=acl))
        assert head(shop, "d/k") == opened.info == changed and shop.rows() == row
    assert shop.get("d/k") == b"body" and row[0].owner == BOB.owner


def test_an_attribute_that_grows_too_long_moves_to_a_side_file(shop: Shop) -> None:
    """Whatever its length: one of them just fits without the ACL."""
    for length in range(1850, 1990, 10):
        attributes = ObjectAttributes(metadata=(("m", "v" * length),))
        shop.put("k", b"1", attributes=attributes)
        put_acl(shop, "k", "bucket-owner-full-control")
        assert head(shop, "k").attributes == replace(attributes, acl="bucket-owner-full-control")


def test_an_object_and_a_directory_of_one_name(shop: Shop) -> None:
    for key in ("a", "a/b", "a/"):
        shop.put(key, key.encode())
        put_acl(shop, key, "public-read")
    shop.put("a/b", b"new")
    acls = {key: head(shop, key).attributes.acl for key in ("a", "a/b", "a/")}
    assert acls == {"a": "public-read", "a/b": "private", "a/": "public-read"}


def test_a_multipart_object(shop: Shop) -> None:
    begun = ObjectAttributes("a/b", acl="authenticated-read", owner=BOB.owner)
    upload = shop.upload("mp", attributes=begun)
    shop.part("mp", upload, 1, b"part")
    assert shop.store.head_upload(c.HeadUpload("bkt", "mp", upload)).attributes == begun
    shop.complete("mp", upload)
    put_acl(shop, "mp", "public-read", BOB.owner)
    info = shop.store.head_object(c.HeadObject("bkt", "mp", with_parts=True))
    assert info.attributes == replace(begun, acl="public-read") and info.parts is not None


def test_only_its_uploader_may_change_it(shop: Shop) -> None:
    shop.put("k", b"1")
    with pytest.raises(e.AccessDenied):
        put_acl(shop, "k", "public-read", BOB.owner)
    shop.put("k", b"1", attributes=ObjectAttributes(owner=ALICE.owner))
    with pytest.raises(e.AccessDenied):
        put_acl(shop, "k", "public-read", BOB.owner)
    put_acl(shop, "k", "public-read", ALICE.owner)
    assert head(shop, "k").attributes.acl == "public-read"


def test_what_is_not_there(shop: Shop) -> None:
    with pytest.raises(e.NoSuchKey):
        put_acl(shop, "k", "public-read")
    with pytest.raises(e.NoSuchBucket):
        shop.store.put_object_acl(c.PutObjectAcl("none", "k", "private"))
    shop.put("k", b"1")
    with pytest.raises(e.NoSuchVersion):
        shop.store.put_object_acl(c.PutObjectAcl("bkt", "k", "private", "v"))
    with pytest.raises(e.NoSuchBucket):
        shop.store.put_bucket_acl(c.PutBucketAcl("none", "private"))


def test_a_file_from_elsewhere_keeps_its_acl_until_it_is_rewritten(shop: Shop) -> None:
    def write(body: bytes) -> None:
        writer = shop.fs.create("/bkt/.s3~tmp.0")
        writer.write(body)
        writer.complete({}, 1_700_000_000_000_000_000)
        writer.rename("f.txt")
        writer.close()

    write(b"1")
    before = head(shop, "f.txt")
    put_acl(shop, "f.txt", "public-read")
    after = head(shop, "f.txt")
    assert after == replace(before, attributes=ObjectAttributes("text/plain", acl="public-read"))
    write(b"22")
    assert head(shop, "f.txt").attributes.acl == "private"


# ------------------------------------------------------------------------------------------------ buckets


def test_the_acl_of_a_bucket(shop: Shop) -> None:
    before = shop.store.head_bucket(c.HeadBucket("bkt"))
    upload = shop.upload("k")
    assert access(shop.store, BOB, "s3:PutObject") is access(shop.store, None, "s3:ListBucket") is Access.DENIED
    shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "public-read-write"))
    assert shop.store.head_bucket(c.HeadBucket("bkt")) == before._replace(acl="public-read-write")
    assert access(shop.store, BOB, "s3:PutObject") is access(shop.store, None, "s3:ListBucket") is Access.GUEST
    assert access(shop.store, None, "s3:ListBucket", "0" * 64) is Access.DENIED
    assert access(shop.store, ALICE, "s3:ListBucket", ALICE.owner.id) is Access.OWNER
    assert shop.store.head_upload(c.HeadUpload("bkt", "k", upload)).key == "k"  # the bucket kept its id
    shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "private"))
    assert access(shop.store, BOB, "s3:PutObject") is access(shop.store, None, "s3:ListBucket") is Access.DENIED
    assert shop.store.head_bucket(c.HeadBucket("bkt")) == before


def test_a_bucket_is_made_with_its_acl_and_leaves_none_behind(shop: Shop) -> None:
    shop.store.create_bucket(c.CreateBucket("open", ALICE.owner, "public-read"))
    look = c.CheckAccess(None, "s3:ListBucket", "open")
    assert shop.store.check_access(look) is Access.GUEST
    shop.store.delete_bucket(c.DeleteBucket("open"))
    with pytest.raises(e.NoSuchBucket):
        shop.store.check_access(look)
    shop.make("open")
    assert shop.store.check_access(look) is Access.DENIED


def test_what_has_no_bucket_is_not_for_anonymous(shop: Shop) -> None:
    for command in (c.CheckAccess(None, "s3:ListAllMyBuckets"), c.CheckAccess(None, "s3:CreateBucket", "new")):
        assert shop.store.check_access(command) is Access.DENIED
        assert shop.store.check_access(replace(command, principal=BOB)) is Access.OWNER


def test_a_directory_that_becomes_a_bucket_of_ours(shop: Shop) -> None:
    shop.fs.mkdir("/plain")
    shop.store.put_bucket_acl(c.PutBucketAcl("plain", "public-read"))
    info = shop.store.head_bucket(c.HeadBucket("plain"))
    assert (info.acl, info.owner) == ("public-read", ROOT.owner)
    shop.fs.set_x_attr("/plain", {ATTRIBUTE: b'{"acl":"public-read"}'})  # damage: nobody's grant
    assert shop.store.head_bucket(c.HeadBucket("plain")).acl == "private"


class Instance:
    """Another gateway on the same store, with a clock of its own."""

    def __init__(self, shop: Shop) -> None:
        self.now = 0.0
        self.store = ObjectStore(shop.fs)
        self.store.buckets = Buckets(shop.fs, "us-east-1", lambda: self.now)


def test_other_processes_see_grants_at_once_and_their_end_in_a_second(shop: Shop) -> None:
    other = Instance(shop)
    assert access(other.store, BOB, "s3:ListBucket") is Access.DENIED
    shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "public-read"))
    assert access(other.store, BOB, "s3:ListBucket") is Access.GUEST
    shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "private"))
    other.now += 1.1
    assert access(other.store, BOB, "s3:ListBucket") is Access.DENIED


def test_owners_cost_one_look_a_second(shop: Shop) -> None:
    """Between two looks nothing is asked, so not even that the bucket has gone is noticed."""
    other = Instance(shop)
    assert access(other.store, ALICE, "s3:PutObject") is Access.OWNER
    shop.store.delete_bucket(c.DeleteBucket("bkt"))
    assert access(other.store, ALICE, "s3:GetObject") is Access.OWNER
    other.now += 1.1
    with pytest.raises(e.NoSuchBucket):
        access(other.store, ALICE, "s3:GetObject")
