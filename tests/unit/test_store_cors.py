"""CORS rules in the store, on a directory and on a (simulated) Curvine cluster: kept, replaced, seen, swept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curvinefs.api import FileKind
from s3proto import commands as c
from s3proto import cors
from s3proto import errors as e
from s3proto.model import CorsRule
from s3server.store import ObjectStore
from s3server.store.record import ATTRIBUTE, INLINE
from s3server.store.settings import CORS, Settings
from s3server.store.state import ROOT, Buckets
from s3server.store.sweep import Sweeper
from tests.store_kit import ALICE, STORES, Shop, open_shop

ONE = (CorsRule(("*",), ("GET",)),)
LARGE = tuple(
    CorsRule((f"https://{n}.example.com",), ("PUT", "GET"), tuple(f"x-{m}" for m in range(8)), ("etag",), n, f"id {n}")
    for n in range(100)
)


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(request.param, tmp_path) as shop:
        yield shop


class Instance:
    """Another gateway on the same store, with a clock of its own."""

    def __init__(self, shop: Shop) -> None:
        self.now = 0.0
        self.store = ObjectStore(shop.fs)
        self.store.buckets = Buckets(shop.fs, "us-east-1", lambda: self.now)
        self.store.cors = Settings(CORS, shop.fs, self.store.buckets)


def put(shop: Shop, rules: tuple[CorsRule, ...], bucket: str = "bkt") -> None:
    shop.store.put_bucket_cors(c.PutBucketCors(bucket, rules))


def rules(store: ObjectStore, bucket: str = "bkt", *, fresh: bool = False) -> tuple[CorsRule, ...]:
    return store.get_bucket_cors(c.GetBucketCors(bucket, fresh))


def documents(shop: Shop, bucket: str = "bkt") -> list[str]:
    directory = f"{ROOT}/b/{shop.store.buckets.id_of(bucket)}/cors"
    return [entry.name for entry in shop.fs.list(directory) if entry.kind is FileKind.FILE]


def test_rules_are_replaced_and_deleted(shop: Shop) -> None:
    before = shop.store.head_bucket(c.HeadBucket("bkt"))
    assert 48 * 1024 < len(cors.document(LARGE)) < cors.MAX_DOCUMENT
    assert rules(shop.store) == ()
    for wanted in (ONE, LARGE, ONE, ONE):
        put(shop, wanted)
        assert rules(shop.store) == rules(Instance(shop).store) == wanted
        assert len(documents(shop)) == 1
    assert len(shop.fs.status("/bkt").x_attr[ATTRIBUTE]) < INLINE
    shop.store.put_bucket_acl(c.PutBucketAcl("bkt", "public-read"))  # the other settings stay
    assert rules(shop.store, fresh=True) == ONE
    for _ in range(2):
        put(shop, ())
        assert rules(shop.store) == rules(Instance(shop).store) == () and documents(shop) == []
    assert shop.store.head_bucket(c.HeadBucket("bkt")) == before._replace(acl="public-read")


def test_what_is_not_there(shop: Shop) -> None:
    for command in (c.PutBucketCors("none", ONE), c.PutBucketCors("none", ())):
        with pytest.raises(e.NoSuchBucket):
            shop.store.put_bucket_cors(command)
    with pytest.raises(e.NoSuchBucket):
        rules(shop.store, "none")


def test_a_new_bucket_inherits_nothing(shop: Shop) -> None:
    put(shop, ONE)
    shop.store.delete_bucket(c.DeleteBucket("bkt"))
    assert [entry.name for entry in shop.fs.list(f"{ROOT}/b")] == []
    with pytest.raises(e.NoSuchBucket):
        rules(shop.store)
    shop.make()
    assert rules(shop.store) == ()


def test_a_directory_that_becomes_a_bucket_of_ours(shop: Shop) -> None:
    shop.fs.mkdir("/plain")
    assert rules(shop.store, "plain") == ()
    put(shop, (), "plain")
    put(shop, ONE, "plain")
    assert rules(Instance(shop).store, "plain") == ONE


def test_other_processes_see_it_in_a_second_and_preflights_at_once(shop: Shop) -> None:
    other = Instance(shop)
    assert rules(other.store) == ()
    put(shop, ONE)
    assert rules(other.store) == ()
    assert rules(other.store, fresh=True) == rules(other.store) == ONE
    put(shop, LARGE)
    assert rules(other.store) == ONE
    other.now += 1.1
    assert rules(other.store) == LARGE
    put(shop, ())
    assert rules(other.store) == LARGE
    other.now += 1.1
    assert rules(other.store) == ()


def test_who_comes_late_for_a_document_reads_the_next(shop: Shop) -> None:
    """What the attribute named a second ago, and has never been read here, has gone."""
    other = Instance(shop)
    put(shop, ONE)
    other.store.buckets.known("bkt")
    put(shop, LARGE)
    assert rules(other.store) == LARGE


def test_what_was_read_once_is_not_read_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    put(shop, ONE)
    assert rules(shop.store) == ONE
    monkeypatch.setattr(shop.fs, "open", None)
    assert rules(shop.store) == rules(shop.store, fresh=True) == ONE


def test_who_reads_while_others_replace_sees_one_or_the_other(shop: Shop) -> None:
    def replace(wanted: tuple[CorsRule, ...]) -> None:
        for _ in range(5):
            put(shop, wanted)

    put(shop, ONE)
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(replace, wanted) for wanted in (ONE, LARGE)]
        seen = [rules(shop.store, fresh=True)]
        while not all(writer.done() for writer in writers):
            seen.append(rules(shop.store, fresh=True))
        for writer in writers:
            writer.result()
    assert set(seen) <= {ONE, LARGE} and rules(Instance(shop).store) in (ONE, LARGE)
    assert len(documents(shop)) == 1


def test_damage_is_no_configuration(shop: Shop) -> None:
    put(shop, ONE)
    (name,) = documents(shop)
    path = f"{ROOT}/b/{shop.store.buckets.id_of('bkt')}/cors/{name}"
    shop.fs.delete(path)
    assert rules(Instance(shop).store) == ()
    writer = shop.fs.create(path)
    writer.write(b"<CORSConfiguration><CORSRule/></CORSConfiguration>")
    writer.complete({}, 0)
    writer.close()
    assert rules(Instance(shop).store) == ()
    for text in ("../../../../bkt/k", "x" * 32, 7, None):  # written by others: never a path
        attribute = json.loads(shop.fs.status("/bkt").x_attr[ATTRIBUTE]) | {"cors": text}
        shop.fs.set_x_attr("/bkt", {ATTRIBUTE: json.dumps(attribute).encode()})
        assert rules(shop.store, fresh=True) == ()
    put(shop, ONE)
    assert rules(shop.store) == ONE


def test_left_overs_of_a_crash_go_and_what_is_in_force_stays(shop: Shop) -> None:
    put(shop, ONE)
    (name,) = documents(shop)
    shop.store.cors._write(f"{ROOT}/b/{shop.store.buckets.id_of('bkt')}/cors", "0" * 32, LARGE, 0.0)
    shop.store.cors._write(f"{ROOT}/b/{shop.store.buckets.id_of('bkt')}/cors", "1" * 32, LARGE, 9e9)
    before = len(documents(shop))
    Sweeper(shop.store, now=lambda: 8e9).maintain()
    assert before == 3 and sorted(documents(shop)) == sorted([name, "1" * 32])  # young: somebody may be about to use it
    assert rules(Instance(shop).store) == ONE


def test_a_bucket_renamed_by_hand_keeps_its_rules_and_a_copy_has_none(shop: Shop) -> None:
    put(shop, ONE)
    attribute = dict(shop.fs.status("/bkt").x_attr)
    shop.fs.mkdir("/copied", attribute)
    Sweeper(shop.store, now=lambda: 9e9).maintain()
    assert rules(shop.store, "copied") == () and rules(Instance(shop).store) == ONE
    put(shop, LARGE, "copied")
    assert rules(Instance(shop).store) == ONE and rules(Instance(shop).store, "copied") == LARGE
    shop.fs.delete_directory("/bkt")
    shop.fs.mkdir("/renamed", attribute)
    Sweeper(shop.store, now=lambda: 9e9).maintain()
    assert rules(Instance(shop).store, "renamed") == rules(shop.store, "renamed") == ONE


def test_a_bucket_that_is_made_again_meanwhile_gets_no_rules(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write = shop.store.cors._write

    def interrupted(directory: str, document: str, rules: tuple[CorsRule, ...], now: float) -> None:
        write(directory, document, rules, now)
        shop.store.delete_bucket(c.DeleteBucket("bkt"))
        shop.make(owner=ALICE.owner)

    monkeypatch.setattr(shop.store.cors, "_write", interrupted)
    with pytest.raises(e.NoSuchBucket):
        put(shop, ONE)
    assert rules(shop.store) == ()
