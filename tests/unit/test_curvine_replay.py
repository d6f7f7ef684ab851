"""Large files whose workers die on the way, and nobody notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import PartRef, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import MIB, Options
from curvinefs.curvine.retry import Code
from tests.sim.cluster import FAST, Cluster
from tests.sim.errors import worker_error
from tests.sim.kit import MTIME, get, pattern, put
from tests.sim.server import Fault

OPEN, RUNNING, CANCEL, COMPLETE = 0xF2, 0xF3, 0xF4, 0xF5
DATA = pattern(7 * MIB + 5)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, workers=2) as cluster:
        yield cluster


@pytest.fixture
def options(tmp_path: Path) -> Options:
    (tmp_path / "kept").mkdir()
    return replace(FAST, large_block_size=3 * MIB, replay_directory=str(tmp_path / "kept"))


@pytest.fixture(params=[False, True], ids=["remote", "near"])
def fs(cluster: Cluster, options: Options, request: pytest.FixtureRequest) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(replace(options, short_circuit=request.param))) as fs:
        yield fs


def names(fs: CurvineFileSystem) -> list[str]:
    return [entry.name for entry in fs.list("/") if not entry.name.startswith(".s3~")]


def use_worker(cluster: Cluster, number: int) -> None:
    """Have the master place the first attempt there."""
    cluster.state.dead_to_master = {100 + other for other in (0, 1) if other != number}


def put_with(fs: CurvineFileSystem, path: str, middle: Callable[[], None]) -> None:
    """Publish DATA; ``middle`` happens when half of it is on its way."""
    with closing(fs.create(path + ".tmp", len(DATA))) as writer:
        writer.write(DATA[: 4 * MIB])
        middle()
        writer.write(DATA[4 * MIB :])
        assert writer.complete({}, MTIME).len == len(DATA)
        writer.rename(path[1:])


@pytest.mark.parametrize("skip", [0, 1, 2])
@pytest.mark.parametrize("status", [OPEN, RUNNING, COMPLETE])
@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.GARBAGE])
def test_connection_lost(cluster: Cluster, options: Options, fault: Fault, status: int, skip: int) -> None:
    """Both workers are there: the block goes to the other one, or again to the same."""
    for number in (0, 1):
        cluster.fault(fault, Code.WRITE_BLOCK, worker=number, status=status, skip=skip)
    with closing(cluster.client(options)) as fs:
        put(fs, "/f", DATA)
        assert get(fs, "/f") == DATA
        assert names(fs) == ["f"]


def test_worker_dies_for_good(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Blocks that it had finished are read when it is back; what was under way is on the other one."""
    use_worker(cluster, 0)

    def die() -> None:
        cluster.state.dead_to_master = {100}
        cluster.workers[0].server.stop()

    put_with(fs, "/f", die)
    blocks = cluster.state.tree.get("/f").blocks
    assert [[worker for worker, _ in block.workers] for block in blocks] == [[100], [101], [101]]
    cluster.state.dead_to_master.clear()
    cluster.workers[0].restart()
    assert get(fs, "/f") == DATA


def test_the_only_worker_is_started_again(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """It keeps what it had of the block, and wants that to be cancelled before it takes the block again."""
    use_worker(cluster, 0)
    worker = cluster.workers[0]

    def restart() -> None:
        worker.server.stop()
        worker.restart()

    put_with(fs, "/f", restart)
    assert get(fs, "/f") == DATA
    assert [status for _, status, _ in worker.server.requests].count(CANCEL) == 1


def test_part(cluster: Cluster, fs: CurvineFileSystem) -> None:
    use_worker(cluster, 0)
    fs.create_parted("/p", len(DATA))
    writer = fs.open_part("/p", 0, len(DATA))
    assert writer is not None
    with closing(writer):
        writer.write(DATA[: 4 * MIB])
        cluster.state.dead_to_master = {100}
        cluster.workers[0].server.stop()
        writer.write(DATA[4 * MIB :])
        token = writer.complete()
    assert fs.join_parts("/p", [PartRef(0, len(DATA), token)], {}, MTIME) is not None
    assert get(fs, "/p") == DATA


def test_spoiled_first_block(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Its id was given out before, by a master that forgot: another file has other ids."""
    error = worker_error("Block 1 length mismatch, expected: 1, actual: 2")
    for number in (0, 1):
        cluster.fault(Fault.REFUSE, Code.WRITE_BLOCK, worker=number, status=COMPLETE, error=error, times=2)
    put(fs, "/f", DATA)
    assert get(fs, "/f") == DATA
    assert names(fs) == ["f"]


@pytest.mark.parametrize("skip", [0, 1])
def test_spoiled_for_good(cluster: Cluster, fs: CurvineFileSystem, skip: int) -> None:
    error = worker_error("Block 1 length mismatch, expected: 1, actual: 2")
    use_worker(cluster, 0)
    cluster.fault(Fault.REFUSE, Code.WRITE_BLOCK, worker=0, status=COMPLETE, error=error, times=10**6, skip=skip)
    with pytest.raises(Unavailable, match="length mismatch"):
        put(fs, "/f", DATA)
    assert names(fs) == []


def test_nobody_left(cluster: Cluster, fs: CurvineFileSystem) -> None:
    def die() -> None:
        for worker in cluster.workers:
            worker.server.stop()

    with pytest.raises(Unavailable):
        put_with(fs, "/f", die)
    assert names(fs) == []


@pytest.mark.parametrize("directory", [None, "gone"])
def test_nothing_kept(cluster: Cluster, options: Options, directory: str | None, tmp_path: Path) -> None:
    """Files are written all the same, but the death of a worker is an error."""
    where = str(tmp_path / directory) if directory else None
    with closing(cluster.client(replace(options, replay_directory=where))) as fs:
        put(fs, "/f", DATA)
        assert get(fs, "/f") == DATA
        for number in (0, 1):
            cluster.fault(Fault.LOSE_REPLY, Code.WRITE_BLOCK, worker=number, status=RUNNING)
        with pytest.raises(Unavailable):
            put(fs, "/g", DATA)
