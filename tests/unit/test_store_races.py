"""The store when others act between two of its steps, on a directory and on a (simulated) Curvine cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s3proto import commands as c
from s3proto import errors as e
from s3server.store.sweep import Sweeper
from tests.store_kit import STORES, Shop, open_shop


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(request.param, tmp_path) as shop:
        yield shop


class Meddled:
    """A file system where ``others`` act just before the first ``call`` on ``path``, or after that many."""

    def __init__(self, fs: Any, call: str, path: str, others: Callable[[], object], after: int = 0) -> None:
        self._fs = fs
        self._call, self._path, self._after = call, path, after
        self._others: list[Callable[[], object]] = [others]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._fs, name)
        if name != self._call:
            return value

        def call(path: str, *args: Any, **kwargs: Any) -> Any:
            if path != self._path or not self._others:
                return value(path, *args, **kwargs)
            if not self._after:
                self._others.pop()()
            answer = value(path, *args, **kwargs)
            self._after -= 1
            if not self._after:
                self._others.pop()()
            return answer

        return call

    @property
    def met(self) -> bool:
        return not self._others


@pytest.mark.parametrize("call", ["status", "delete_directory"])
def test_no_object_goes_with_the_directory_that_it_replaced(shop: Shop, call: str) -> None:
    """Two clean up after the last keys below ``a``; before the slower one has done so, ``a`` is an object."""
    shop.put("a/b", b"b")

    def others() -> None:
        shop.fs.delete_directory("/bkt/a")
        shop.put("a", b"kept")

    fs = Meddled(shop.fs, call, "/bkt/a", others)
    Shop(fs).delete("a/b")
    assert fs.met
    assert shop.keys() == ["a"] and shop.get("a") == b"kept"


def test_no_object_goes_with_a_bucket_s_empty_directory(shop: Shop) -> None:
    shop.fs.mkdir("/bkt/a")

    def others() -> None:
        shop.fs.delete_directory("/bkt/a")
        shop.put("a", b"kept")

    fs = Meddled(shop.fs, "delete_directory", "/bkt/a", others)
    with pytest.raises(e.BucketNotEmpty):
        Shop(fs).store.delete_bucket(c.DeleteBucket("bkt"))
    assert fs.met and shop.get("a") == b"kept"


def test_a_listing_shows_an_object_that_turns_into_a_directory(shop: Shop) -> None:
    etag = shop.put("a", b"12345")
    fs = Meddled(shop.fs, "list", "/bkt", lambda: shop.put("a/b", b"b"), after=2)
    page = Shop(fs).store.list_objects(c.ListObjects("bkt", "", "", "", 1000))
    assert fs.met
    assert [(row.key, row.size, row.etag) for row in page.objects] == [("a", 5, etag)]


def test_a_listing_leaves_out_what_is_no_object_any_more(shop: Shop) -> None:
    shop.put("a", b"12345")

    def others() -> None:
        shop.delete("a")
        shop.put("a/b", b"b")

    fs = Meddled(shop.fs, "list", "/bkt", others, after=2)
    page = Shop(fs).store.list_objects(c.ListObjects("bkt", "", "", "", 1000))
    assert fs.met and {row.size for row in page.objects} <= {5}


def test_an_upload_is_not_too_old_while_it_is_completed(shop: Shop) -> None:
    upload = shop.upload("k")
    shop.part("k", upload, 1, b"1")
    sweeper = Sweeper(shop.store, now=lambda: time.time() + 8 * 86400)
    with shop.fs.lock(shop.store.uploads.lock_name(upload)):
        assert [finding.repaired for finding in sweeper.inspect(repair=True)] == [False]
        assert shop.parts("k", upload)
    assert [finding.repaired for finding in sweeper.inspect(repair=True)] == [True]
    with pytest.raises(e.NoSuchUpload):
        shop.parts("k", upload)


def test_nothing_to_delete_is_answered_when_its_removal_is_durable(shop: Shop) -> None:
    """Who removed it may not have flushed yet; the same goes for a bucket that somebody has just made."""
    fs = Meddled(shop.fs, "flush", "/bkt/d/k", lambda: None)
    Shop(fs).delete("d/k")
    assert fs.met
    fs = Meddled(shop.fs, "flush", "/bkt", lambda: None)
    with pytest.raises(e.BucketAlreadyOwnedByYou):
        Shop(fs).make()
    assert fs.met
