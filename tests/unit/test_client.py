"""The Curvine client under the conformance suite: on the simulated cluster, and on a live one where there is one.

For a live one set CURVINE_MASTERS=host:port[,host:port...].  It needs ``master.min_block_size = 1`` and is
written to: ``/t`` is removed before and after every test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import FileKind, FileSystem, NotFound
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import Options
from tests.fs_conformance import FileSystemConformance, put
from tests.fs_conformance_sharing import SharingConformance
from tests.sim.cluster import FAST, Cluster

MASTERS = [
    (host, int(port))
    for host, _, port in (each.rpartition(":") for each in os.environ.get("CURVINE_MASTERS", "").split(",") if each)
]


class _Conformance(FileSystemConformance, SharingConformance):
    def test_entry_that_went(self, fs: FileSystem) -> None:
        """An entry's status is as of the page that named it: listings need no call for each entry."""
        put(fs, "/t/f", s3=b"x")
        listed = fs.status("/t/f")
        (entry,) = fs.list("/t")
        fs.delete("/t/f")
        assert entry.status() == listed


class TestSimulated(_Conformance):
    @pytest.fixture(params=["remote", "near"])
    def options(self, request: pytest.FixtureRequest) -> Options:
        return replace(FAST, short_circuit=request.param == "near", worker_patience_s=5.0, master_patience_s=5.0)

    @pytest.fixture
    def cluster(self, tmp_path: Path) -> Iterator[Cluster]:
        with Cluster(tmp_path, min_block_size=1) as cluster:
            yield cluster

    @pytest.fixture
    def fs(self, cluster: Cluster, options: Options) -> Iterator[FileSystem]:
        with closing(cluster.client(options)) as fs:
            yield fs

    @pytest.fixture
    def other(self, cluster: Cluster, options: Options) -> Iterator[FileSystem]:
        with closing(cluster.client(options)) as other:
            yield other


@pytest.mark.curvine
@pytest.mark.skipif(not MASTERS, reason="CURVINE_MASTERS names no cluster")
class TestLive(_Conformance):
    @pytest.fixture(params=["remote", "near"])
    def options(self, request: pytest.FixtureRequest) -> Options:
        return Options(short_circuit=request.param == "near")

    @pytest.fixture
    def fs(self, options: Options) -> Iterator[FileSystem]:
        with closing(CurvineFileSystem(MASTERS, options)) as fs:
            remove(fs, "/t")
            yield fs
            remove(fs, "/t")

    @pytest.fixture
    def other(self, fs: FileSystem, options: Options) -> Iterator[FileSystem]:
        with closing(CurvineFileSystem(MASTERS, options)) as other:
            yield other


def remove(fs: FileSystem, path: str) -> None:
    try:
        for entry in fs.list(path):
            if entry.kind is FileKind.DIRECTORY:
                remove(fs, f"{path}/{entry.name}")
            else:
                fs.delete(f"{path}/{entry.name}")
        fs.delete(path)
    except NotFound:
        return
