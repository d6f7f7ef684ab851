"""The Curvine client: the conformance suite on the simulated cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import FileSystem
from curvinefs.curvine.options import Options
from tests.fs_conformance import FileSystemConformance, put
from tests.fs_conformance_sharing import SharingConformance
from tests.sim.cluster import FAST, Cluster


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
        with Cluster(tmp_path) as cluster:
            yield cluster

    @pytest.fixture
    def fs(self, cluster: Cluster, options: Options) -> Iterator[FileSystem]:
        with closing(cluster.client(options)) as fs:
            yield fs

    @pytest.fixture
    def other(self, cluster: Cluster, options: Options) -> Iterator[FileSystem]:
        with closing(cluster.client(options)) as other:
            yield other
