"""A few outages of a simulated cluster below the gateway; ``tools/crash_rounds.py`` does many, on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.outages import MasterDeaths, Outages, WorkerDeaths
from tests.crash.rounds import Rounds
from tests.gateway import Gateway, running_gateway
from tests.sim.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.compat]


@contextmanager
def on_cluster(directory: Path, cluster: Cluster, client: str = "") -> Iterator[Gateway]:
    conf = directory / "cluster.toml"
    conf.write_text(f"[client]\n{client}")
    masters = ",".join(f"{host}:{port}" for host, port in cluster.addresses())
    settings = {"store": f"curvine://{masters}/", "conf": conf}
    with running_gateway(directory / "gateway", settings=settings) as gateway:
        yield gateway


def run(rounds: Rounds) -> None:
    rounds.prepare()
    rounds.round()
    rounds.finish()
    assert not rounds.ledger.violations, "\n".join(rounds.ledger.violations[:20])
    assert rounds.ledger.counts["acknowledged"] > 20
    assert not isinstance(rounds, Outages) or len(rounds.recoveries) == 1


def test_gateways_die(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, on_cluster(tmp_path, cluster) as gateway:
        run(Rounds(gateway=gateway, seed=1))


def test_workers_die(tmp_path: Path) -> None:
    with Cluster(tmp_path, workers=2) as cluster:
        worker = cluster.workers[0]
        with on_cluster(tmp_path, cluster, "replicas = 2\n") as gateway:
            run(WorkerDeaths(gateway=gateway, seed=1, die=worker.server.stop, revive=worker.restart))


def test_masters_die(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, on_cluster(tmp_path, cluster) as gateway:
        cluster.keep()
        run(MasterDeaths(gateway=gateway, seed=1, die=cluster.kill_master, revive=cluster.start_master))
