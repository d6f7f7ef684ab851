"""Tags in the store, on a directory and on a (simulated) Curvine cluster: kept, changed, copied, swept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import FileKind
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import ObjectAttributes, ObjectInfo, Pairs
from s3server.store import ObjectStore
from s3server.store.record import ATTRIBUTE, INLINE
from s3server.store.state import ROOT
from s3server.store.sweep import DAY, Sweeper
from tests.store_kit import STORES, Shop, open_shop

FEW: Pairs = (("a", "1"), ("b", "\u00e4"))
MANY: Pairs = tuple((f"{n}" + "\U0001d518" * 127, "\u00e4" * 256) for n in range(10))
"""As long as tags can be: 10 KiB."""
LONG = ObjectAttributes("text/x", metadata=(("m", "v" * 3000),))


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(request.param, tmp_path) as shop:
        yield shop


def head(shop: Shop, key: str) -> ObjectInfo:
    return shop.store.head_object(c.HeadObject("bkt", key, with_parts=True))


def tag(shop: Shop, key: str, tags: Pairs) -> None:
    shop.store.put_object_tagging(c.PutObjectTagging("bkt", key, tags))


def sides(shop: Shop) -> list[str]:
    directory = f"{ROOT}/b/{shop.store.buckets.id_of('bkt')}/side"
    try:
        return [entry.name for entry in shop.fs.list(directory) if entry.kind is FileKind.FILE]
    except e.S3Error:
        raise
    except Exception:  # none was ever made
        return []


@pytest.mark.parametrize("attributes", [ObjectAttributes("text/x"), LONG], ids=["short", "long"])
def test_only_the_tags_change(shop: Shop, attributes: ObjectAttributes) -> None:
    shop.put("d/k", b"body", attributes=attributes)
    before, row = head(shop, "d/k"), shop.rows()
    for tags in (FEW, MANY, MANY, FEW, (), ()):
        tag(shop, "d/k", tags)
        opened = shop.store.open_object(c.OpenObject("bkt", "d/k"))
        opened.content.close()
        changed = replace(before, attributes=replace(attributes, tags=tags))
        assert head(shop, "d/k") == opened.info == changed and shop.rows() == row
        assert len(shop.fs.status("/bkt/d/k").x_attr[ATTRIBUTE]) <= INLINE
        shop.store.put_object_acl(c.PutObjectAcl("bkt", "d/k", "public-read"))  # either leaves the other alone
        assert head(shop, "d/k").attributes == replace(attributes, tags=tags, acl="public-read")
        shop.store.put_object_acl(c.PutObjectAcl("bkt", "d/k", "private"))
    assert shop.get("d/k") == b"body"


@pytest.mark.parametrize("tags", [FEW, MANY], ids=["few", "many"])
def test_they_come_with_the_object_and_go_with_it(shop: Shop, tags: Pairs) -> None:
    tagged = ObjectAttributes("text/x", tags=tags)
    shop.put("k", b"1", attributes=tagged)
    assert head(shop, "k").attributes == tagged
    upload = shop.upload("mp", attributes=tagged)
    shop.part("mp", upload, 1, b"part")
    assert shop.store.head_upload(c.HeadUpload("bkt", "mp", upload)).attributes == tagged
    shop.complete("mp", upload)
    assert head(shop, "mp").attributes == tagged
    shop.put("k", b"2")
    assert head(shop, "k").attributes.tags == ()


def test_a_multipart_object_keeps_its_parts(shop: Shop) -> None:
    upload = shop.upload("mp")
    shop.part("mp", upload, 1, b"part")
    shop.complete("mp", upload)
    before = head(shop, "mp")
    assert before.parts
    for tags in (FEW, MANY, ()):
        tag(shop, "mp", tags)
        assert head(shop, "mp") == replace(before, attributes=replace(before.attributes, tags=tags))
    assert shop.store.health is not None and shop.get("mp") == b"part"


def test_a_copy_has_those_it_is_given(shop: Shop) -> None:
    shop.put("k", b"1", attributes=ObjectAttributes(tags=MANY))
    for given in (ObjectAttributes(tags=FEW), ObjectAttributes(tags=MANY), None):
        source = shop.store.open_object(c.OpenObject("bkt", "k"))
        shop.store.copy_object(c.CopyObject(source, "bkt", "copy", given))
        source.content.close()
        assert head(shop, "copy").attributes == (given or ObjectAttributes(tags=MANY))


def test_what_is_not_there(shop: Shop) -> None:
    with pytest.raises(e.NoSuchKey):
        tag(shop, "k", FEW)
    with pytest.raises(e.NoSuchBucket):
        shop.store.put_object_tagging(c.PutObjectTagging("none", "k", FEW))
    shop.put("k", b"1")
    with pytest.raises(e.NoSuchVersion):
        shop.store.put_object_tagging(c.PutObjectTagging("bkt", "k", FEW, "v"))
    for tags in (FEW, ()):
        with pytest.raises(e.NoSuchBucket):
            shop.store.put_bucket_tagging(c.PutBucketTagging("none", tags))
    with pytest.raises(e.NoSuchBucket):
        shop.store.get_bucket_tagging(c.GetBucketTagging("none"))


def test_a_file_from_elsewhere_keeps_its_tags_until_it_is_rewritten(shop: Shop) -> None:
    def write(body: bytes) -> None:
        writer = shop.fs.create("/bkt/.s3~tmp.0")
        writer.write(body)
        writer.complete({}, 1_700_000_000_000_000_000)
        writer.rename("f.txt")
        writer.close()

    write(b"1")
    before = head(shop, "f.txt")
    tag(shop, "f.txt", FEW)
    assert head(shop, "f.txt") == replace(before, attributes=ObjectAttributes("text/plain", tags=FEW))
    write(b"22")
    assert head(shop, "f.txt").attributes.tags == ()


def test_no_sweep_takes_what_is_about_to_be_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of long ago gets a side file now; the sweep runs between its two steps."""
    store = ObjectStore(shop.fs, now=lambda: time.time() - 3 * DAY)
    now, shop.store = shop.store, store
    shop.put("k", b"1")
    shop.store = now
    sweeper = Sweeper(now)
    real = shop.fs.set_x_attr

    def swept(path: str, x_attr: dict[str, bytes | None]) -> None:
        sweeper.maintain()
        real(path, x_attr)

    monkeypatch.setattr(shop.fs, "set_x_attr", swept)
    tag(shop, "k", MANY)
    sweeper.maintain()
    assert head(shop, "k").attributes.tags == MANY and len(sides(shop)) == 1


def test_side_files_that_nothing_names_are_swept(shop: Shop) -> None:
    shop.put("k", b"1")
    for n in range(3):
        tag(shop, "k", (*MANY[1:], ("n", str(n))))
    assert len(sides(shop)) == 3
    Sweeper(shop.store, now=lambda: time.time() + 2 * DAY).maintain()
    assert len(sides(shop)) == 1 and head(shop, "k").attributes.tags == (*MANY[1:], ("n", "2"))


def test_who_tags_while_others_write(shop: Shop) -> None:
    """The tags are those of one writer, never of an object that has been replaced; nothing is lost."""

    def write(n: int) -> None:
        for _ in range(10):
            shop.put("k", str(n).encode(), attributes=ObjectAttributes(tags=(("by", str(n)),)))

    def change(n: int) -> None:
        for _ in range(10):
            tag(shop, "k", (*MANY, ("n", str(n))))

    shop.put("k", b"0")
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, n) for n in range(2) for work in (write, change)]:
            done.result()
    info = head(shop, "k")
    assert shop.get("k") in (b"0", b"1") and info.size == 1
    assert dict(info.attributes.tags).get("by") == shop.get("k").decode() or len(info.attributes.tags) == 11


def test_the_tags_of_a_bucket(shop: Shop) -> None:
    look = c.GetBucketTagging("bkt")
    assert shop.store.get_bucket_tagging(look) == ()
    fifty: Pairs = tuple((f"{n:02}" + "\U0001d518" * 126, "\u00e4" * 256) for n in range(50))
    for tags in (FEW, fifty, FEW, ()):
        shop.store.put_bucket_tagging(c.PutBucketTagging("bkt", tags))
        assert shop.store.get_bucket_tagging(look) == ObjectStore(shop.fs).get_bucket_tagging(look) == tags
        shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "public-read"))
        assert shop.store.get_bucket_tagging(look) == tags
        shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "private"))
    shop.store.put_bucket_tagging(c.PutBucketTagging("bkt", FEW))
    shop.store.delete_bucket(c.DeleteBucket("bkt"))
    shop.make()
    assert shop.store.get_bucket_tagging(look) == ()
