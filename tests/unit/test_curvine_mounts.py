"""Other storage mounted in the cluster's tree: where only a part would be seen, nothing is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import NotServed, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.mounts import Mounts
from curvinefs.curvine.retry import Code
from curvinefs.proto import curvine_pb2 as pb
from s3proto import commands as c
from s3proto import errors as e
from s3proto.model import DeleteEntry
from tests.fs_conformance import get, put
from tests.sim.cluster import FAST, Cluster
from tests.sim.server import Fault
from tests.store_kit import ALICE, ROOT, Shop

CACHE, FS = 0, 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as made:
        yield made


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(replace(FAST, mounts_fresh_s=0.0))) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "refused"),
    [("/m", True), ("/m/a/b", True), ("/mm", False), ("/", False), ("/a/m", False), ("/a/b/c", True), ("/a/b", True)],
)
def test_what_lies_below(path: str, refused: bool) -> None:
    mounts = Mounts(lambda: [pb.MountInfoProto(cv_path=each, write_type=CACHE) for each in ("/a/b", "/m")], 60.0)
    if refused:
        with pytest.raises(NotServed):
            mounts.check(path)
    else:
        mounts.check(path)


def test_the_table_is_kept_for_a_while() -> None:
    asked = []

    def fetch() -> list[pb.MountInfoProto]:
        asked.append(1)
        return []

    for fresh_s, times in ((3600.0, 1), (0.0, 3)):
        asked.clear()
        mounts = Mounts(fetch, fresh_s)
        for _ in range(3):
            mounts.check("/x")
        assert len(asked) == times


def test_without_the_table_nothing_is_believed(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/f", b"1")
    rule = cluster.fault(Fault.LOSE_REQUEST, Code.GET_MOUNT_TABLE, times=10**6)
    with pytest.raises(Unavailable):
        fs.status("/f")
    rule.times = 0
    assert get(fs, "/f") == b"1"


MOUNTED: dict[str, Callable[[Shop], object]] = {
    "list": lambda shop: shop.keys(),
    "list below": lambda shop: shop.keys(prefix="d/m/"),
    "prefixes": lambda shop: shop.store.list_objects(c.ListObjects("bkt", "d/", "/", "", 1000)),
    "get": lambda shop: shop.get("d/m/cached"),
    "head": lambda shop: shop.store.head_object(c.HeadObject("bkt", "d/m/absent")),
    "put": lambda shop: shop.put("d/m/new", b"1"),
    "put-large": lambda shop: shop.put("d/m/new", b"1" * 5000),
    "over": lambda shop: shop.put("d/m", b"1"),
    "delete": lambda shop: shop.delete("d/m/cached"),
    "bucket": lambda shop: shop.store.delete_bucket(c.DeleteBucket("bkt")),
    "mounted bucket": lambda shop: shop.store.head_bucket(c.HeadBucket("mounted")),
    "its access": lambda shop: shop.store.check_access(c.CheckAccess(ALICE, "s3:ListBucket", "mounted")),
}


@pytest.mark.parametrize("act", MOUNTED.values(), ids=MOUNTED)
def test_nothing_of_a_mount_is_served(cluster: Cluster, fs: CurvineFileSystem, act: Callable[[Shop], object]) -> None:
    """What was cached of other storage looks like all that there is."""
    shop = Shop(fs)
    shop.make()
    shop.make("mounted")
    for key in ("k", "d/m/cached"):
        shop.put(key, key.encode())
    cluster.state.mounts = {"/bkt/d/m": CACHE, "/mounted": CACHE}
    with pytest.raises(e.RequestNotImplemented) as refused:
        act(shop)
    assert "mount" in refused.value.detail
    assert shop.get("k") == b"k"
    assert [bucket.name for bucket in shop.store.list_buckets(c.ListBuckets(ROOT)).buckets] == ["bkt", "mounted"]
    (result,) = shop.store.delete_objects(c.DeleteObjects("bkt", (DeleteEntry("d/m/cached"),)))
    assert isinstance(result.error, e.RequestNotImplemented)
    assert fs.check()["mounts_not_served"] == "/bkt/d/m /mounted"
    cluster.state.mounts = {}
    assert shop.keys() == ["d/m/cached", "k"] and shop.get("d/m/cached") == b"d/m/cached"


def test_a_mount_that_the_master_knows_all_of_is_served(cluster: Cluster, fs: CurvineFileSystem) -> None:
    shop = Shop(fs)
    shop.make()
    cluster.state.mounts = {"/bkt": FS}
    shop.put("a/b", b"1")
    assert shop.keys() == ["a/b"] and "mounts_not_served" not in fs.check()


def test_bytes_that_only_mounted_storage_has(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The master knows all of them, but somebody must load them."""
    shop = Shop(fs)
    shop.make()
    cluster.state.mounts = {"/bkt/d": FS}
    shop.put("d/f", b"1" * 10)
    inode = cluster.state.tree.get("/bkt/d/f")
    blocks, inode.blocks, inode.state = inode.blocks, [], 2
    assert shop.keys() == ["d/f"]
    with pytest.raises(NotServed):
        fs.open("/bkt/d/f")
    with pytest.raises(e.RequestNotImplemented):
        shop.get("d/f")
    inode.blocks, inode.state = blocks, 3
    assert shop.get("d/f") == b"1" * 10
