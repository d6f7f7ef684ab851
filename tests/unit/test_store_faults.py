"""The store on a file system that fails at any step: never less than there is, never half of what was sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from curvinefs.api import Unavailable
from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import DeleteEntry
from s3server.store import uploads
from tests.sim.cluster import Cluster
from tests.store_kit import ROOT, Shop


class Failing:
    """A file system, or a writer of it, of whose steps some fail: before they are done, or (``after``) just then."""

    def __init__(self, inner: Any, plan: Failing | None = None) -> None:
        self._inner = inner
        self._plan = plan or self
        self.set(math.inf)

    def set(self, first: float, *, last: float = math.inf, after: bool = False) -> None:
        """Let the steps ``first`` .. ``last`` from now on fail."""
        self.first, self.last, self.after, self.step = first, last, after, -1

    @property
    def failed(self) -> bool:
        return self.step >= self.first

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name in ("close", "deferred"):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            plan = self._plan
            plan.step += 1
            fails = plan.first <= plan.step <= plan.last
            if fails and not plan.after:
                raise Unavailable(name)
            answer = value(*args, **kwargs)
            if fails:
                if hasattr(answer, "close"):
                    answer.close()
                raise Unavailable(name)
            return Failing(answer, plan) if name == "create" else answer

        return call


@pytest.fixture(params=["directory", "curvine"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        if request.param == "directory":
            inner: Any = LocalFileSystem(str(tmp_path / "data"), durability="none")
        else:
            inner = stack.enter_context(Cluster(tmp_path)).client()
        shop = Shop(Failing(inner))
        stack.callback(shop.store.close)
        shop.make()
        yield shop


def failures(shop: Shop, act: Callable[[], object]) -> Iterator[tuple[object, e.S3Error | None]]:
    """What ``act`` answered or raised with its first step failing, its second, ... to the first time that none did."""
    failing = cast(Failing, shop.fs)
    for for_good, after in ((False, False), (False, True), (True, False)):
        for first in range(500):
            failing.set(first, last=math.inf if for_good else first, after=after)
            answer, error = None, None
            try:
                answer = act()
            except e.S3Error as raised:
                error = raised
            failed = failing.failed
            failing.set(math.inf)
            yield answer, error
            if not failed:
                break
        else:
            raise AssertionError("it never ends")


LOOKS: dict[str, Callable[[Shop], object]] = {
    "list": lambda shop: shop.keys(page=2),
    "prefixes": lambda shop: shop.store.list_objects(c.ListObjects("bkt", "", "/", "", 1000)).prefixes,
    "uploads": lambda shop: [u.key for u in shop.store.list_multipart_uploads(c.ListMultipartUploads("bkt")).uploads],
    "buckets": lambda shop: [b.name for b in shop.store.list_buckets(c.ListBuckets(ROOT)).buckets],
    "head": lambda shop: shop.store.head_object(c.HeadObject("bkt", "a")).etag,
    "get": lambda shop: shop.get("a/b"),
    "bucket": lambda shop: shop.store.head_bucket(c.HeadBucket("bkt")),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_look_sees_all_or_fails(shop: Shop, look: Callable[[Shop], object]) -> None:
    """Who synchronises with a listing that lacks something deletes that."""
    for key in ("a", "a/b", "a/", "b//c", "é" * 200, "d/e"):
        shop.put(key, key.encode())
        shop.upload(key)
    expected = look(shop)
    for answer, error in failures(shop, lambda: look(shop)):
        assert (answer, error) == (expected, None) or (answer is None and isinstance(error, e.SlowDown))


def copy(shop: Shop) -> None:
    opened = shop.store.open_object(c.OpenObject("bkt", "new"))
    try:
        shop.store.copy_object(c.CopyObject(opened, "bkt", "a", None))
    finally:
        opened.content.close()


def delete_batch(shop: Shop) -> None:
    (result,) = shop.store.delete_objects(c.DeleteObjects("bkt", (DeleteEntry("a"),)))
    if result.error is not None:
        raise result.error


NEW = b"new" * 1000
CHANGES: dict[str, tuple[Callable[[Shop], object], bytes | None]] = {
    "put": (lambda shop: shop.put("a", b"new"), b"new"),
    "put-large": (lambda shop: shop.put("a", NEW), NEW),
    "put-below": (lambda shop: shop.put("a/b/c", b"new"), b"old"),
    "copy": (copy, NEW),
    "delete": (lambda shop: shop.delete("a"), None),
    "delete-batch": (delete_batch, None),
}


@pytest.mark.parametrize(("change", "becomes"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_whole_or_none(shop: Shop, change: Callable[[Shop], object], becomes: bytes | None) -> None:
    shop.put("new", NEW)
    shop.put("a/y", b"y")

    def found() -> bytes | None:
        try:
            return shop.get("a")
        except e.NoSuchKey:
            return None

    shop.put("a", b"old")
    for _, error in failures(shop, lambda: change(shop)):
        if error is None:
            assert found() == becomes
        else:
            assert isinstance(error, e.SlowDown) and found() in (b"old", becomes)
            change(shop)  # again, as clients do
            assert found() == becomes
        assert shop.get("a/y") == b"y" and shop.get("new") == NEW
        shop.delete("a/b/c")
        shop.put("a", b"old")
        assert shop.keys() == ["a", "a/y", "new"]


@pytest.mark.parametrize("size", [4096, 10], ids=["in-place", "small"])
def test_a_complete_is_whole_or_none(shop: Shop, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(uploads, "MIN_PLACE", 4096)
    whole = b"1" * size + b"2"
    upload = ""

    def begin() -> None:
        nonlocal upload
        shop.put("a", b"old")
        upload = shop.upload("a")
        shop.part("a", upload, 1, b"1" * size)
        shop.part("a", upload, 2, b"2")

    def complete() -> None:
        if shop.store.head_upload(c.HeadUpload("bkt", "a", upload)).completed is None:
            shop.complete("a", upload)

    begin()
    for _, error in failures(shop, complete):
        if error is not None:
            assert isinstance(error, e.SlowDown) and shop.get("a") in (b"old", whole)
            complete()
        assert shop.get("a") == whole and shop.keys() == ["a"]
        begin()
