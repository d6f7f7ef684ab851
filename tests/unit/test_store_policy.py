"""Policies of buckets in the store, on a directory and on a (simulated) Curvine cluster: kept, replaced, in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curvinefs.api import RenameFlag
from s3proto import bucket_policy
from s3proto import commands as c
from s3proto import errors as e
from s3proto.bucket_policy import LOCKED, BucketPolicy
from s3proto.model import Access, Principal
from s3server.store import ObjectStore
from s3server.store.settings import POLICY, Settings
from s3server.store.state import ROOT as STATE
from s3server.store.state import Buckets, owner_of
from tests.store_kit import ALICE, ROOT, STORES, Shop, open_shop

BOB = Principal(owner_of("bob"), "AKIABOB000000000")


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(request.param, tmp_path) as shop:
        yield shop


def policy(action: str = "s3:GetObject", effect: str = "Allow", **others: Any) -> BucketPolicy:
    statement = {"Effect": effect, "Principal": "*", "Action": action, "Resource": "arn:aws:s3:::bkt/*", **others}
    return bucket_policy.parse(json.dumps({"Statement": statement}).encode(), "bkt")


def put(shop: Shop, wanted: BucketPolicy | None) -> None:
    shop.store.put_bucket_policy(c.PutBucketPolicy("bkt", wanted, ALICE))


def access(
    store: ObjectStore, who: Principal | None, action: str = "GetObject", key: str | None = "k", **others: Any
) -> Access:
    return store.check_access(c.CheckAccess(who, f"s3:{action}", "bkt", key, **others))


def other_process(shop: Shop, clock: list[float]) -> ObjectStore:
    store = ObjectStore(shop.fs)
    store.buckets = Buckets(shop.fs, "us-east-1", lambda: clock[0])
    store.policy = Settings(POLICY, shop.fs, store.buckets)
    return store


def test_it_is_kept_replaced_and_deleted(shop: Shop) -> None:
    look = c.GetBucketPolicy("bkt")
    assert shop.store.get_bucket_policy(look) is None
    large = policy(Sid="x" * 19_000)
    for wanted in (policy(), large, policy("s3:*"), None, None):
        put(shop, wanted)
        assert shop.store.get_bucket_policy(look) == ObjectStore(shop.fs).get_bucket_policy(look) == wanted
    put(shop, policy())
    shop.store.delete_bucket(c.DeleteBucket("bkt"))
    shop.make()
    assert shop.store.get_bucket_policy(look) is None and access(shop.store, None) is Access.OBJECT
    for refused in (c.PutBucketPolicy("none", policy(), ALICE), c.PutBucketPolicy("none", None, ALICE)):
        with pytest.raises(e.NoSuchBucket):
            shop.store.put_bucket_policy(refused)


def test_a_document_that_took_long_does_not_reach_a_bucket_of_somebody_else(shop: Shop) -> None:
    for wanted in (policy("s3:*"), None):
        with pytest.raises(e.AccessDenied):
            shop.store.put_bucket_policy(c.PutBucketPolicy("bkt", wanted, BOB))
    assert shop.store.get_bucket_policy(c.GetBucketPolicy("bkt")) is None
    shop.store.put_bucket_policy(c.PutBucketPolicy("bkt", policy(), ROOT))


def test_it_is_in_force(shop: Shop) -> None:
    put(shop, policy())
    assert access(shop.store, None) is access(shop.store, BOB) is Access.GUEST
    assert access(shop.store, ALICE) is access(shop.store, ROOT) is Access.OWNER
    assert access(shop.store, BOB, "PutObject") is access(shop.store, BOB, "ListBucket", None) is Access.DENIED
    assert access(shop.store, None, expected_owner="0" * 64) is Access.DENIED
    put(shop, policy("s3:*", "Deny", Condition={"Bool": {"aws:SecureTransport": "false"}}))
    for who in (ALICE, ROOT):
        assert access(shop.store, who, values=lambda: {"aws:securetransport": "false"}) is Access.DENIED
        assert access(shop.store, who, values=lambda: {"aws:securetransport": "true"}) is Access.OWNER
    put(shop, policy("s3:PutObject"))
    assert access(shop.store, BOB, "PutObject") is Access.GUEST
    assert access(shop.store, BOB, "PutObject", besides=("s3:PutObjectAcl",)) is Access.DENIED
    put(shop, None)
    assert access(shop.store, BOB, "PutObject") is Access.DENIED


def test_others_see_what_is_granted_at_once_and_what_is_denied_in_a_second(shop: Shop) -> None:
    clock = [0.0]
    other = other_process(shop, clock)
    assert access(other, BOB, "PutObject") is Access.DENIED
    put(shop, policy("s3:PutObject"))
    assert access(other, BOB, "PutObject") is Access.GUEST
    put(shop, policy("s3:PutObject", "Deny"))
    clock[0] += 1.1
    assert access(other, BOB, "PutObject") is access(other, ALICE, "PutObject") is Access.DENIED


def test_what_a_process_knew_does_not_hold_in_a_bucket_that_was_renamed_by_hand(shop: Shop) -> None:
    put(shop, policy("s3:PutObject", "Deny"))
    assert access(shop.store, ALICE, "PutObject") is Access.DENIED
    attribute = dict(shop.fs.status("/bkt").x_attr)
    shop.store.buckets.remove("bkt")
    shop.fs.mkdir("/renamed", attribute)
    for store in (shop.store, ObjectStore(shop.fs)):
        assert store.check_access(c.CheckAccess(ALICE, "s3:PutObject", "renamed", "k")) is Access.DENIED
        assert store.get_bucket_policy(c.GetBucketPolicy("renamed")) is LOCKED


@pytest.mark.parametrize("damage", [b"", b"{", None], ids=["empty", "half", "missing"])
def test_one_that_cannot_be_read_locks_the_bucket(shop: Shop, damage: bytes | None) -> None:
    put(shop, policy())
    directory = f"{STATE}/b/{shop.store.buckets.id_of('bkt')}/policy"
    (name,) = (entry.name for entry in shop.fs.list(directory))
    if damage is None:
        shop.fs.delete(f"{directory}/{name}")
    else:
        writer = shop.fs.create(f"{directory}/.s3~tmp.0")
        writer.write(damage)
        writer.complete({}, 0)
        writer.rename(name, RenameFlag.REPLACE)
        writer.close()
    store = ObjectStore(shop.fs)
    assert access(store, None) is access(store, BOB) is access(store, ALICE) is access(store, ROOT) is Access.DENIED
    assert access(store, ALICE, "DeleteBucketPolicy", None) is Access.OWNER
    assert store.get_bucket_policy(c.GetBucketPolicy("bkt")) is LOCKED
    store.put_bucket_policy(c.PutBucketPolicy("bkt", None, ALICE))
    assert access(store, ALICE) is Access.OWNER
