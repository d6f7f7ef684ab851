"""What the gateways of the compatibility tests serve: a directory, a simulated Curvine cluster, and a live one.

A live one is served when ``CURVINE_MASTERS=HOST:PORT,...`` is set.  It outlasts the tests, so buckets have random
names, and some of them stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curvinefs.api import FileKind, FileSystem, NotFound
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import Options
from tests.gateway import Gateway, running_gateway
from tests.sim.cluster import Cluster
from tests.sim.kit import get, put

MASTERS = os.environ.get("CURVINE_MASTERS", "")
DIRECTORY, SIMULATED, LIVE = "directory", "simulated", "live"
_LIVE_MARKS = (pytest.mark.curvine, pytest.mark.skipif(not MASTERS, reason="CURVINE_MASTERS names no cluster"))
CLUSTERS = (SIMULATED, pytest.param(LIVE, marks=_LIVE_MARKS))
STORES = (DIRECTORY, *CLUSTERS)


@dataclass(frozen=True, order=True)
class ClusterPath:
    """As much of pathlib.Path as the tests need, through a client of its own: what FUSE users see."""

    path: str
    fs: FileSystem

    def __truediv__(self, name: str) -> ClusterPath:
        return ClusterPath(f"{self.path}/{name}", self.fs)

    def __str__(self) -> str:
        return self.path

    def relative_to(self, top: ClusterPath) -> str:
        assert self.path.startswith(f"{top.path}/")
        return self.path[len(top.path) + 1 :]

    def exists(self) -> bool:
        try:
            self.fs.status(self.path)
            return True
        except NotFound:
            return False

    def is_file(self) -> bool:
        return self.fs.status(self.path).kind is FileKind.FILE

    def iterdir(self) -> Iterator[ClusterPath]:
        return (self / entry.name for entry in self.fs.list(self.path))

    def rglob(self, pattern: str) -> Iterator[ClusterPath]:
        assert pattern == "*"
        for path in self.iterdir():
            yield path
            if not path.is_file():
                yield from path.rglob(pattern)

    def read_bytes(self) -> bytes:
        return get(self.fs, self.path)

    def read_text(self) -> str:
        return self.read_bytes().decode()

    def write_bytes(self, data: bytes) -> None:
        put(self.fs, self.path, data)

    def mkdir(self) -> None:
        self.fs.mkdir(self.path)


def client_of(masters: str) -> CurvineFileSystem:
    """A client of ``HOST:PORT,...``; to be closed."""
    return CurvineFileSystem(
        [(host, int(port)) for host, _, port in (each.rpartition(":") for each in masters.split(","))], Options()
    )


@contextmanager
def gateway_on_cluster(
    directory: Path, masters: str, fs: FileSystem, conf: str = "", *, tls: bool = False, **settings: Any
) -> Iterator[Gateway]:
    """A gateway on a cluster, with its ``data`` seen by ``fs``."""
    directory.mkdir(exist_ok=True)
    file = directory / "cluster.toml"
    file.write_text(conf, "utf-8")
    settings = {"store": f"curvine://{masters}/", "conf": file, **settings}
    with running_gateway(directory / "instance", tls=tls, settings=settings) as made:
        made.data = ClusterPath("", fs)  # type: ignore[assignment]
        yield made


@contextmanager
def gateway_on_store(store: str, directory: Path, *, tls: bool = False, **settings: Any) -> Iterator[Gateway]:
    """A gateway on one of STORES."""
    if store == DIRECTORY:
        with running_gateway(directory, durability="none", tls=tls, settings=settings) as made:
            yield made
        return
    with ExitStack() as opened:
        masters = MASTERS
        if store == SIMULATED:
            cluster = opened.enter_context(Cluster(directory / "cluster", workers=2))
            masters = ",".join(f"{host}:{port}" for host, port in cluster.addresses())
        fs = opened.enter_context(closing(client_of(masters)))
        yield opened.enter_context(gateway_on_cluster(directory / "gateway", masters, fs, tls=tls, **settings))
