"""Reading files: blocks, ranges, replicas, block files on this machine, and files replaced meanwhile."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import Corrupt, FileKind, IsADirectory, NotFound, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import MIB
from curvinefs.curvine.read import blocks_of
from curvinefs.curvine.retry import Code
from curvinefs.proto import curvine_pb2 as pb
from tests.sim.cluster import FAST, Cluster
from tests.sim.errors import worker_error
from tests.sim.kit import MTIME, codes, get, pattern, put
from tests.sim.server import Fault

OPTIONS = replace(FAST, large_block_size=2 * MIB)
OPEN, RUNNING, COMPLETE = 0xF2, 0xF3, 0xF5
LENGTH = 5 * MIB + 13
DATA = pattern(LENGTH)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, workers=2) as cluster:
        yield cluster


@pytest.fixture(params=[False, True], ids=["remote", "near"])
def fs(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(replace(OPTIONS, short_circuit=request.param, replicas=2))) as fs:
        put(fs, "/f", DATA)
        yield fs


@pytest.fixture
def remote(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(replace(OPTIONS, replicas=2))) as fs:
        put(fs, "/f", DATA)
        put(fs, "/small", b"small")
        yield fs


@pytest.fixture
def near(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(replace(OPTIONS, short_circuit=True))) as fs:
        put(fs, "/f", DATA)
        yield fs


def read(fs: CurvineFileSystem, first: int, length: int, *, planned: bool, piece: int = 300_001) -> bytes:
    with closing(fs.open("/f")) as file:
        if planned:
            file.extents(first, length)
        found = bytearray()
        while len(found) < length:
            buffer = memoryview(bytearray(min(piece, length - len(found))))
            count = file.readinto(first + len(found), buffer)
            if not count:
                break
            found += buffer[:count]
        return bytes(found)


@pytest.mark.parametrize("planned", [False, True], ids=["as it comes", "planned"])
@pytest.mark.parametrize(
    "first, length",
    [
        (0, 1),
        (0, LENGTH),
        (LENGTH - 1, 1),
        (LENGTH - 1, 100),
        (LENGTH, 1),
        (2 * MIB - 1, 2),
        (2 * MIB, 2 * MIB),
        (2 * MIB - 7, 2 * MIB + 14),
        (100, 3 * MIB),
    ],
)
def test_ranges(fs: CurvineFileSystem, first: int, length: int, planned: bool) -> None:
    assert read(fs, first, length, planned=planned) == DATA[first : first + length]


def test_anywhere(fs: CurvineFileSystem) -> None:
    chance = random.Random(1)
    with closing(fs.open("/f")) as file:
        for _ in range(60):
            first, length = chance.randrange(LENGTH), chance.randrange(1, 1_500_000)
            buffer = memoryview(bytearray(length))
            count = file.readinto(first, buffer)
            assert buffer[:count] == DATA[first : first + length]


def test_extents_are_the_bytes(near: CurvineFileSystem) -> None:
    with closing(near.open("/f")) as file:
        for first, length in ((0, LENGTH), (5, 10), (2 * MIB - 1, 2), (LENGTH - 3, 100), (LENGTH, 1), (0, 0)):
            extents = file.extents(first, length)
            assert extents is not None
            assert b"".join(os.pread(fd, count, at) for fd, at, count in extents) == DATA[first : first + length]


def test_extents_last_until_close(near: CurvineFileSystem, cluster: Cluster) -> None:
    cluster.state.delete_delay_s = 0.0
    with closing(near.open("/f")) as file:
        extents = file.extents(0, LENGTH)
        assert extents is not None
        near.delete("/f")
        assert not cluster.workers[0].blocks() | cluster.workers[1].blocks()
        assert b"".join(os.pread(fd, count, at) for fd, at, count in extents) == DATA
    with pytest.raises(OSError):
        os.fstat(extents[0].fd)


def test_worker_on_another_machine_of_that_name(near: CurvineFileSystem, cluster: Cluster) -> None:
    """The path that it grants is not here: its blocks come through the socket, and so do the next."""
    for worker in cluster.workers:
        worker.claims = "/no/such/directory"
    for _ in range(2):
        with closing(near.open("/f")) as file:
            assert file.extents(0, LENGTH) is None
        assert get(near, "/f") == DATA
    put(near, "/g", DATA)
    assert get(near, "/g") == DATA


def test_no_paths(near: CurvineFileSystem, cluster: Cluster) -> None:
    for worker in cluster.workers:
        worker.grants_paths = False
    assert get(near, "/f") == DATA
    put(near, "/f", DATA)
    assert get(near, "/f") == DATA


def test_round_trips_of_a_small_get(remote: CurvineFileSystem, cluster: Cluster) -> None:
    master = cluster.masters[0].server
    for server in (master, *(worker.server for worker in cluster.workers)):
        server.requests.clear()
    with closing(remote.open("/small")) as file:
        file.extents(0, 5)
        buffer = memoryview(bytearray(5))
        assert file.readinto(0, buffer) == 5
    assert codes(master) == [Code.GET_BLOCK_LOCATIONS]
    asked = [request for worker in cluster.workers for request in worker.server.requests]
    assert [status for _, status, _ in asked] == [OPEN, RUNNING, COMPLETE]


@pytest.mark.parametrize("status", [OPEN, RUNNING, COMPLETE])
@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.GARBAGE])
def test_another_replica(remote: CurvineFileSystem, cluster: Cluster, fault: Fault, status: int) -> None:
    for number in (0, 1):
        cluster.fault(fault, Code.READ_BLOCK, worker=number, status=status, skip=1)
    assert get(remote, "/f", 500_000) == DATA


@pytest.mark.parametrize("after", [10, 22, 1000, MIB // 2])
def test_goes_on_where_it_stopped(remote: CurvineFileSystem, cluster: Cluster, after: int) -> None:
    for number in (0, 1):
        cluster.fault(Fault.CUT, Code.READ_BLOCK, worker=number, status=RUNNING, after=after, times=3)
    assert read(remote, 0, LENGTH, planned=True) == DATA


def test_dead_worker(remote: CurvineFileSystem, cluster: Cluster) -> None:
    for number in (0, 1):
        cluster.workers[number].server.stop()
        assert get(remote, "/f") == DATA
        cluster.workers[number].server.start()


def test_worker_is_back_in_time(remote: CurvineFileSystem, cluster: Cluster) -> None:
    """The locations are asked for again until then."""
    for worker in cluster.workers:
        worker.server.stop()
    asked = cluster.fault(Fault.REFUSE, Code.GET_BLOCK_LOCATIONS, error=worker_error("all replicas has been lost"))
    asked.skip = 1
    with closing(remote.open("/f")) as file:
        cluster.workers[1].server.start()
        buffer = memoryview(bytearray(LENGTH))
        assert file.readinto(0, buffer) == LENGTH
        assert buffer == DATA


def test_no_worker(remote: CurvineFileSystem, cluster: Cluster) -> None:
    with closing(remote.open("/f")) as file:
        for worker in cluster.workers:
            worker.server.stop()
        with pytest.raises(Unavailable):
            file.readinto(0, memoryview(bytearray(10)))


def test_blocks_moved(remote: CurvineFileSystem, cluster: Cluster) -> None:
    """A location that no longer holds is not the end."""
    with closing(remote.open("/f")) as file:
        for block in cluster.state.tree.get("/f").blocks:
            cluster.workers[0].active(block.id).unlink()
            block.workers = [(101, 4)]
        buffer = memoryview(bytearray(LENGTH))
        assert file.readinto(0, buffer) == LENGTH
        assert buffer == DATA


def test_replaced_before_it_was_read(remote: CurvineFileSystem, cluster: Cluster) -> None:
    """Its blocks are gone already: broken off, never the new ones."""
    cluster.state.delete_delay_s = 0.0
    with closing(remote.open("/f")) as file:
        put(remote, "/f", b"x" * LENGTH)
        cluster.workers[0].sweep()
        with pytest.raises(Unavailable):
            file.readinto(0, memoryview(bytearray(LENGTH)))
    with closing(remote.open("/f")) as file:
        remote.delete("/f")
        with pytest.raises(Unavailable):
            file.readinto(0, memoryview(bytearray(LENGTH)))


@pytest.mark.parametrize("planned", [False, True])
def test_replaced_while_it_is_read(remote: CurvineFileSystem, cluster: Cluster, planned: bool) -> None:
    """Who reads more blocks than one holds the inode: it outlasts replacing and deleting."""
    cluster.state.delete_delay_s = 0.0
    with closing(remote.open("/f")) as file:
        if planned:
            file.extents(0, LENGTH)
        found = bytearray()
        for number in range(0, LENGTH, 500_000):
            buffer = memoryview(bytearray(min(500_000, LENGTH - number)))
            assert file.readinto(number, buffer) == len(buffer)
            found += buffer
            if number == 1_000_000:
                put(remote, "/f", b"new")
        assert found == DATA
    assert get(remote, "/f") == b"new"
    assert list(remote.list("/.s3~/readers")) == []
    assert len(cluster.state.tree.by_id) == 1 + 2 + 2  # root, two directories of ours, two files


def test_links_of_dead_readers_go_after_a_day(remote: CurvineFileSystem, cluster: Cluster) -> None:
    get(remote, "/f")
    now = int(time.time())
    names = [f"{now - age:x}.{'0' * 32}" for age in (90_000, 80_000)] + ["nonsense"]
    for name in names:
        remote.link("/small", f"/.s3~/readers/{name}")
    get(remote, "/f")  # swept less than an hour ago
    assert len(list(remote.list("/.s3~/readers"))) == 3
    with closing(cluster.client(OPTIONS)) as other:
        get(other, "/f")
    assert [entry.name for entry in remote.list("/.s3~/readers")] == [names[1], "nonsense"]


def test_link_goes_when_a_master_is_back(remote: CurvineFileSystem, cluster: Cluster) -> None:
    """Else the blocks of a file that is replaced would stay for a day."""
    with closing(remote.open("/f")) as file:
        assert file.readinto(0, memoryview(bytearray(LENGTH))) == LENGTH
        cluster.kill_master()
    cluster.start_master()
    put(remote, "/another", b"")
    assert list(remote.list("/.s3~/readers")) == []


def test_hold_that_came_too_late(remote: CurvineFileSystem, cluster: Cluster) -> None:
    with closing(remote.open("/f")) as file:
        put(remote, "/f", b"y" * LENGTH)
        buffer = memoryview(bytearray(LENGTH))
        try:
            assert file.readinto(0, buffer) == LENGTH
        except Unavailable:
            pass
        else:
            assert buffer == DATA
    assert list(remote.list("/.s3~/readers")) == []


def test_streams_that_are_left_are_not_used_again(remote: CurvineFileSystem, cluster: Cluster) -> None:
    for first in range(0, LENGTH, MIB):
        with closing(remote.open("/f")) as file:
            file.extents(first, LENGTH)
            buffer = memoryview(bytearray(10))
            file.readinto(first, buffer)
            assert buffer == DATA[first : first + 10]
    assert get(remote, "/f") == DATA


def test_what_is_no_file(remote: CurvineFileSystem, cluster: Cluster) -> None:
    remote.mkdir("/d")
    cluster.state.tree.symlink("/f", "/link", 0o777, force=False)
    assert remote.status("/link").kind is FileKind.OTHER
    with pytest.raises(IsADirectory):
        remote.open("/d")
    with pytest.raises(NotFound):
        remote.open("/link")
    assert {entry.name: entry.kind for entry in remote.list("/")}["link"] is FileKind.OTHER


def test_length_without_blocks(remote: CurvineFileSystem, cluster: Cluster) -> None:
    cluster.state.tree.get("/small").blocks.clear()
    with pytest.raises(Corrupt):
        remote.open("/small")


def test_starting_worker_is_waited_for(remote: CurvineFileSystem, cluster: Cluster) -> None:
    lost = worker_error("block 1 all replicas has been lost")
    rule = cluster.fault(Fault.REFUSE, Code.GET_BLOCK_LOCATIONS, error=lost, times=2)
    assert get(remote, "/small") == b"small"
    assert rule.times == 0


def test_lost_workers_are_no_zeros(remote: CurvineFileSystem, cluster: Cluster) -> None:
    for block in cluster.state.tree.get("/f").blocks:
        block.workers = []
    with pytest.raises(Unavailable):
        remote.open("/f")


def test_holes_are_zeros(remote: CurvineFileSystem) -> None:
    located = remote._calls.locations("/small")
    located.status.len = 10
    located.block_locs.add(
        block=pb.ExtendedBlockProto(id=1, block_size=5, alloc_opts=pb.FileAllocOptsProto(truncate=True))
    )
    assert [(block.hole, block.offset, block.length) for block in blocks_of(located)] == [(False, 0, 5), (True, 5, 5)]


def test_unfinished_file_reads_what_is_recorded(remote: CurvineFileSystem) -> None:
    with closing(remote.create("/tmp")) as writer:
        writer.write(DATA)
        assert 0 < remote.status("/tmp").len < LENGTH
        assert get(remote, "/tmp") == DATA[: remote.status("/tmp").len]
        writer.complete({}, MTIME)
        assert get(remote, "/tmp") == DATA


def test_slow_worker(remote: CurvineFileSystem, cluster: Cluster) -> None:
    with closing(cluster.client(replace(OPTIONS, worker_timeout_s=0.05, replicas=2))) as hasty:
        release = threading.Event()
        rule = cluster.fault(Fault.STALL, Code.READ_BLOCK, worker=0, release=release, times=1)
        cluster.workers[1].server.rules.append(replace(rule, skip=0))
        assert get(hasty, "/small") == b"small"
        release.set()


def test_rewritten_in_place_while_it_is_read(remote: CurvineFileSystem, cluster: Cluster) -> None:
    """By other programs: the inode and its blocks keep their ids."""
    with closing(remote.open("/f")) as file:
        assert file.readinto(0, memoryview(bytearray(100))) == 100
        cluster.state.tree.get("/f").mtime += 1
        for worker in (0, 1):
            cluster.fault(Fault.LOSE_REQUEST, Code.READ_BLOCK, worker=worker)
        with pytest.raises(Unavailable, match="rewritten"):
            file.readinto(2 * MIB, memoryview(bytearray(LENGTH)))


@pytest.mark.parametrize("code, skip", [(Code.FILE_STATUS, 1), (Code.LIST_OPTIONS, 0)])
def test_links_are_not_left_where_holding_fails(
    remote: CurvineFileSystem, cluster: Cluster, code: Code, skip: int
) -> None:
    get(remote, "/f")
    with closing(cluster.client(OPTIONS)) as other, closing(other.open("/f")) as file:
        cluster.fault(Fault.REFUSE, code, skip=skip, error=worker_error("disk"))
        assert file.readinto(0, memoryview(bytearray(LENGTH))) == LENGTH
    assert list(remote.list("/.s3~/readers")) == []
