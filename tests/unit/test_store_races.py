"""The store when others act between two of its steps, on a directory and on a (simulated) Curvine cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from curvinefs.local import LocalFileSystem
from s3proto import commands as c
from s3proto import errors as e
from tests.sim.cluster import Cluster
from tests.store_kit import Shop


@pytest.fixture(params=["directory", "curvine"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        if request.param == "directory":
            shop = Shop(LocalFileSystem(str(tmp_path / "data"), durability="none"))
        else:
            shop = Shop(stack.enter_context(Cluster(tmp_path)).client())
        stack.callback(shop.store.close)
        shop.make()
        yield shop


class Meddled:
    """A file system where ``others`` act just before the first ``call`` on ``path`` (its first argument)."""

    def __init__(self, fs: Any, call: str, path: str, others: Callable[[], object]) -> None:
        self._fs = fs
        self._call, self._path = call, path
        self._others: list[Callable[[], object]] = [others]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._fs, name)
        if name != self._call:
            return value

        def call(path: str, *args: Any, **kwargs: Any) -> Any:
            if path == self._path and self._others:
                self._others.pop()()
            return value(path, *args, **kwargs)

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
