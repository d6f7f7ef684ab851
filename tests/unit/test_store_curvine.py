"""The store on a simulated cluster: what a directory does not show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.retry import Code
from curvinefs.proto import curvine_pb2 as pb
from s3server.store.uploads import Uploads
from tests.sim.cluster import Cluster
from tests.sim.kit import pattern
from tests.store_kit import Shop


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client()) as fs:
        yield fs


@pytest.fixture
def shop(fs: CurvineFileSystem) -> Shop:
    shop = Shop(fs)
    shop.make()
    return shop


def foreign_directory(fs: CurvineFileSystem, path: str) -> None:
    options = pb.MkdirOptsProto(create_parent=False, mode=0o755, owner="", group="")
    fs._master.call(Code.MKDIR, pb.MkdirRequest(path=path, opts=options), pb.MkdirResponse)


def foreign_file(fs: CurvineFileSystem, path: str) -> None:
    """As other programs make it, before its first byte."""
    options = pb.CreateFileOptsProto(replicas=1, block_size=2**20, client_name="cli", create_parent=False)
    fs._master.call(Code.CREATE_FILE, pb.CreateFileRequest(path=path, opts=options, flags=0x41), pb.CreateFileResponse)


def test_names_that_no_file_system_has(fs: CurvineFileSystem, shop: Shop) -> None:
    """Curvine takes them, so other programs may have made them: they are passed by, and stop nothing."""
    shop.put("a", b"1")
    shop.put("z", b"2")
    for name in ("n\0ul", "x" * 4000, "gl*b", "g[a]", "back\\slash", "."):
        foreign_directory(fs, f"/bkt/{name}")
        foreign_file(fs, f"/bkt/{name}/f")
    for name in ("nul\0", "y" * 256, "\N{PILE OF POO}" * 64):
        foreign_file(fs, f"/bkt/{name}")
    assert shop.keys() == ["a", "z"]
    assert shop.keys(page=1) == ["a", "z"]


def test_file_that_another_program_is_writing(fs: CurvineFileSystem, shop: Shop) -> None:
    """It is an object with the bytes that are there so far, and can be replaced and deleted."""
    foreign_file(fs, "/bkt/f")
    assert [(row.key, row.size) for row in shop.rows()] == [("f", 0)]
    assert shop.get("f") == b""
    shop.put("f", b"new")
    assert shop.get("f") == b"new"
    foreign_file(fs, "/bkt/g")
    shop.put("g/h", b"below")
    assert shop.keys() == ["f", "g", "g/h"]
    shop.delete("g")
    assert shop.keys() == ["f", "g/h"]


def test_many_pages(fs: CurvineFileSystem, shop: Shop) -> None:
    names = sorted({f"k{number:04d}" for number in range(2100)} | {"k1000/x", "k1000!", "k0999/y"})
    for name in names:
        if "/" in name:
            shop.put(name, b"")
        else:
            foreign_file(fs, f"/bkt/{name}") if name not in ("k1000", "k0999") else shop.put(name, b"")
    assert shop.keys() == names
    assert shop.keys(page=999) == names


@pytest.mark.parametrize("sizes", [(100,), (2**20, 5), (2**20, 2**20 + 1), (2**20 + 1, 2**20, 7)])
def test_uploads_of_any_parts(shop: Shop, sizes: tuple[int, ...]) -> None:
    """Blocks have a least size: shorter parts are copied together."""
    upload = shop.upload("k")
    bodies = [pattern(size) for size in sizes]
    for number, body in enumerate(bodies, 1):
        shop.part("k", upload, number, body)
    shop.complete("k", upload)
    assert shop.get("k") == b"".join(bodies)


def test_lock_of_a_long_completion_lasts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying takes longer than the age at which others take a holder for dead."""
    renewing: list[bool] = []

    def copy(self: Uploads, *args: Any) -> None:
        renewing.append(any(thread.name == "renews a lock" for thread in threading.enumerate()))
        original(self, *args)

    original = Uploads.copy
    monkeypatch.setattr(Uploads, "copy", copy)
    upload = shop.upload("k")
    shop.part("k", upload, 1, b"small")
    shop.complete("k", upload)
    assert shop.get("k") == b"small" and renewing == [True]
