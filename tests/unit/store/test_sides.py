"""Side files when something goes wrong around them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import ObjectAttributes
from s3server.store.sweep import Sweeper
from tests.local_kit import Broken
from tests.store_kit import Shop

LONG = ObjectAttributes("text/x-long", metadata=(("m", "v" * 3000),))


@pytest.fixture
def kernel() -> Broken:
    return Broken()


@pytest.fixture
def shop(tmp_path: Path, kernel: Broken) -> Iterator[Shop]:
    shop = Shop(LocalFileSystem(str(tmp_path / "data"), kernel=kernel))
    shop.make()
    shop.put("k", b"1", attributes=LONG)
    yield shop
    shop.store.close()


def attributes(shop: Shop, key: str, bucket: str = "bkt") -> ObjectAttributes:
    return shop.store.head_object(c.HeadObject(bucket, key)).attributes


def test_an_unreadable_one_costs_no_descriptor(shop: Shop, kernel: Broken) -> None:
    before = os.listdir("/proc/self/fd")
    kernel.refused = {"preadv": errno.EIO}
    with pytest.raises(e.InternalError):
        shop.get("k")
    assert os.listdir("/proc/self/fd") == before


def test_a_moved_object_keeps_it_on_a_full_disk(shop: Shop, kernel: Broken, tmp_path: Path) -> None:
    (tmp_path / "data" / "bkt" / "k").rename(tmp_path / "data" / "bkt" / "moved")
    kernel.refused = {"pwrite": errno.ENOSPC}
    assert attributes(shop, "moved") == LONG
    kernel.refused = {}
    assert attributes(shop, "moved") == LONG


def test_the_sweep_leaves_those_of_a_renamed_bucket(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "data" / "bkt").rename(tmp_path / "data" / "renamed")
    Sweeper(shop.store, now=lambda: time.time() + 8 * 86400).inspect(repair=True)
    assert attributes(shop, "k", "renamed") == LONG


def test_one_that_is_too_long_is_none(shop: Shop, tmp_path: Path) -> None:
    (side,) = (tmp_path / "data" / ".s3~" / "b").glob("*/side/*")
    os.truncate(side, 2**30)
    assert attributes(shop, "k").content_type == LONG.content_type
