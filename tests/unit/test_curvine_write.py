"""Writing files: blocks, replicas, and workers that die on the way."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import Corrupt, NoSpace, NotFound, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.errors import Kind, Refused
from curvinefs.curvine.options import MIB
from curvinefs.curvine.retry import Code
from curvinefs.curvine.write import SMALL, block_size_for
from tests.sim.cluster import FAST, Cluster
from tests.sim.errors import worker_error
from tests.sim.kit import MTIME, codes, get, pattern, put
from tests.sim.server import Fault

SMALL_BLOCKS = replace(FAST, large_block_size=2 * MIB)
OPEN, RUNNING, COMPLETE = 0xF2, 0xF3, 0xF5


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, workers=2) as cluster:
        yield cluster


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(SMALL_BLOCKS)) as fs:
        yield fs


def temporaries(fs: CurvineFileSystem) -> list[str]:
    return [entry.name for entry in fs.list("/") if "tmp" in entry.name]


@pytest.mark.parametrize(
    "size, blocks",
    [(None, 1), (0, 1), (1, 1), (MIB, 1), (MIB + 1, 2), (4 * MIB + 1, 5), (64 * MIB, 64), (64 * MIB + 1, 64)],
)
def test_block_size(size: int | None, blocks: int) -> None:
    assert block_size_for(size, 64 * MIB) == blocks * MIB


@pytest.mark.parametrize("near", [False, True], ids=["remote", "near"])
@pytest.mark.parametrize("hint", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize(
    "length", [0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * MIB, 2 * MIB + 1, 4 * MIB, 5 * MIB + 7, 7_777_777]
)
def test_lengths(cluster: Cluster, length: int, hint: bool, near: bool) -> None:
    data = pattern(length)
    with closing(cluster.client(replace(SMALL_BLOCKS, short_circuit=near))) as fs:
        with closing(fs.create("/tmp", length if hint else None)) as writer:
            for start in range(0, length, 700_001):
                writer.write(memoryview(data)[start : start + 700_001])
            assert writer.complete({"a": b"1"}, MTIME).len == length
            writer.rename("f")
        assert get(fs, "/f") == data
        inode = cluster.state.tree.get("/f")
        assert not inode.writers
        assert all(block.length == inode.block_size for block in inode.blocks[:-1])


@pytest.mark.parametrize("piece", [1000, 65536, 262_144, 3 * MIB])
def test_pieces(fs: CurvineFileSystem, piece: int) -> None:
    data = pattern(5 * MIB + 3)
    with closing(fs.create("/tmp")) as writer:
        for start in range(0, len(data), piece):
            writer.write(bytearray(data[start : start + piece]))
        writer.complete({}, MTIME)
        writer.rename("f")
    assert get(fs, "/f") == data


def test_replicas(cluster: Cluster) -> None:
    data = pattern(5 * MIB)
    with closing(cluster.client(replace(SMALL_BLOCKS, replicas=2))) as fs:
        put(fs, "/f", data)
        put(fs, "/small", b"small")
        assert all(len(block.workers) == 2 for block in cluster.state.tree.get("/f").blocks)
        for number in (0, 1):
            cluster.workers[number].server.stop()
            assert get(fs, "/f") == data
            assert get(fs, "/small") == b"small"
            cluster.workers[number].server.start()


@pytest.mark.parametrize("status", [OPEN, RUNNING, COMPLETE])
@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.GARBAGE])
def test_one_replica_fails(cluster: Cluster, fault: Fault, status: int) -> None:
    """The other one goes on; only it is recorded."""
    data = pattern(3 * MIB)
    with closing(cluster.client(replace(SMALL_BLOCKS, replicas=2, large_block_size=8 * MIB))) as fs:
        cluster.fault(fault, Code.WRITE_BLOCK, worker=0, status=status)
        put(fs, "/f", data)
        (block,) = cluster.state.tree.get("/f").blocks
        assert [worker for worker, _ in block.workers] == [101]
        assert get(fs, "/f") == data


@pytest.mark.parametrize("status", [OPEN, RUNNING, COMPLETE])
@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.GARBAGE])
def test_small_file_moves_to_another_worker(cluster: Cluster, fs: CurvineFileSystem, fault: Fault, status: int) -> None:
    for number in (0, 1):
        rule = cluster.fault(fault, Code.WRITE_BLOCK, worker=number, status=status)
        put(fs, f"/{number}", b"data")
        rule.times = 0
        assert get(fs, f"/{number}") == b"data"
    assert temporaries(fs) == []


def test_dead_worker(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The master still names it for a while; both small and large files go elsewhere."""
    cluster.workers[0].server.stop()
    for number in range(4):
        put(fs, f"/{number}", b"data")
        put(fs, f"/large{number}", pattern(3 * MIB))
    assert get(fs, "/large3") == pattern(3 * MIB)
    assert {w for inode in cluster.state.tree.by_id.values() for b in inode.blocks for w, _ in b.workers} == {101}


def test_all_workers_dead(cluster: Cluster, fs: CurvineFileSystem) -> None:
    for worker in cluster.workers:
        worker.server.stop()
    for data in (b"small", pattern(3 * MIB)):
        with pytest.raises(Unavailable):
            put(fs, "/f", data)
    assert temporaries(fs) == []


def test_worker_that_was_avoided_comes_back(cluster: Cluster) -> None:
    with closing(cluster.client(replace(FAST, worker_patience_s=10.0))) as fs:
        cluster.state.dead_to_master.add(101)
        cluster.fault(Fault.LOSE_REQUEST, Code.WRITE_BLOCK, worker=0)
        put(fs, "/f", b"data")  # there is no other: asked again
        assert get(fs, "/f") == b"data"


def test_worker_that_is_starting_is_no_lack_of_space(cluster: Cluster) -> None:
    """It is listed as alive, but has told nothing of its room."""
    for worker in cluster.workers:
        worker.capacity = 0
    with closing(cluster.client(replace(FAST, worker_patience_s=0.1))) as fs:
        with pytest.raises(Unavailable):
            put(fs, "/f", b"data")


def test_no_worker_known_yet(cluster: Cluster) -> None:
    cluster.state.dead_to_master |= {100, 101}
    with closing(cluster.client(replace(FAST, worker_patience_s=0.1))) as fs:
        with pytest.raises(Unavailable):
            put(fs, "/f", b"data")


def test_dies_in_the_middle(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """What was sent is gone: the caller begins again, with his copy; the temporary file goes at once."""
    cluster.state.dead_to_master.add(101)
    for status in (RUNNING, COMPLETE):
        cluster.fault(Fault.LOSE_REQUEST, Code.WRITE_BLOCK, worker=0, status=status, skip=1)
        with pytest.raises(Unavailable):
            put(fs, "/f", pattern(5 * MIB))
        assert temporaries(fs) == []
    with pytest.raises(NotFound):
        fs.status("/f")
    cluster.workers[0].server.rules.clear()
    put(fs, "/f", pattern(5 * MIB))
    assert get(fs, "/f") == pattern(5 * MIB)


def test_no_space(tmp_path: Path) -> None:
    with Cluster(tmp_path, capacity=6 * MIB) as cluster, closing(cluster.client(SMALL_BLOCKS)) as fs:
        put(fs, "/a", pattern(3 * MIB))
        for data in (pattern(5 * MIB), pattern(9 * MIB)):
            with pytest.raises(NoSpace):
                put(fs, "/f", data)
        assert temporaries(fs) == []
        fs.delete("/a")


def test_worker_refuses_for_space(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The master hears of it later."""
    full = worker_error("Not enough Disk storage capacity for 1048576 bytes")
    for number in (0, 1):
        cluster.fault(Fault.REFUSE, Code.WRITE_BLOCK, worker=number, error=full, times=10**6)
    for data in (b"small", pattern(3 * MIB)):
        with pytest.raises(NoSpace):
            put(fs, "/f", data)


def test_ids_given_out_again(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """A master that died gives the ids of files that it forgot to new ones; their longer blocks lie on the worker."""
    cluster.state.dead_to_master.add(101)
    put(fs, "/first", b"1")
    cluster.keep()
    for number in range(3):
        put(fs, f"/lost{number}", bytes(1000))
    cluster.kill_master(forget=True)
    cluster.start_master()
    put(fs, "/new", b"short")
    assert get(fs, "/new") == b"short"
    assert [entry.name for entry in fs.list("/")] == ["first", "new"]


def test_spoiled_for_good(cluster: Cluster, fs: CurvineFileSystem) -> None:
    error = worker_error("Block 1 length mismatch, expected: 1, actual: 2")
    for number in (0, 1):
        cluster.fault(Fault.REFUSE, Code.WRITE_BLOCK, worker=number, status=COMPLETE, error=error, times=10**6)
    with pytest.raises(Unavailable, match="length mismatch"):
        put(fs, "/f", b"data")
    assert temporaries(fs) == []


def test_lost_reply_to_add_block(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The block comes again without workers: others are assigned."""
    for skip in (0, 1, 3):
        cluster.fault(Fault.LOSE_REPLY, Code.ADD_BLOCK, skip=skip)
    put(fs, "/small", b"data")
    put(fs, "/large", pattern(7 * MIB))
    assert (get(fs, "/small"), get(fs, "/large")) == (b"data", pattern(7 * MIB))


def test_directory_moves_while_writing(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The file is found by its path, so it is lost to its writer."""
    fs.mkdir("/d")
    with closing(fs.create("/d/tmp")) as writer:
        writer.write(pattern(3 * MIB))
        fs.rename("/d", "/e")
        with pytest.raises((NotFound, Unavailable)):
            writer.write(pattern(3 * MIB))
            writer.complete({}, MTIME)
    assert [entry.name for entry in fs.list("/e")] == ["tmp"]


def test_id_of_a_lost_file_given_to_another(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The master forgot a file under construction; its inode id is somebody else's when the writer goes on."""
    cluster.state.dead_to_master.add(101)
    cluster.keep()
    with closing(fs.create("/tmp")) as writer:
        writer.write(b"lost")
        cluster.kill_master(forget=True)
        cluster.start_master()
        with closing(cluster.client()) as other:
            put(other, "/theirs", b"theirs")
            with pytest.raises((NotFound, Unavailable)):
                writer.complete({"user.s3": b"ours"}, MTIME)
            assert (get(other, "/theirs"), other.status("/theirs").x_attr) == (b"theirs", {})


def test_removed_while_writing(fs: CurvineFileSystem) -> None:
    with closing(fs.create("/tmp")) as writer:
        writer.write(b"1")
        fs.delete("/tmp")
        with pytest.raises((Unavailable, NotFound)):
            writer.complete({}, MTIME)
    with closing(fs.create("/tmp")) as writer:
        fs.delete("/tmp")
        with pytest.raises(Unavailable):
            writer.write(pattern(2 * MIB))
    assert temporaries(fs) == []


def test_misuse(fs: CurvineFileSystem) -> None:
    with closing(fs.create("/tmp")) as writer:
        with pytest.raises(ValueError):
            writer.rename("f")
        writer.complete({}, MTIME)
        with pytest.raises(ValueError):
            writer.write(b"1")


def test_worker_checks_clients(cluster: Cluster) -> None:
    for worker in cluster.workers:
        worker.enforces = "0.4.1"
    with closing(cluster.client()) as fs:
        put(fs, "/f", b"data")
        assert get(fs, "/f") == b"data"
    with closing(cluster.client(replace(FAST, release_version="0.1.0", worker_patience_s=0.1))) as fs:
        with pytest.raises(Unavailable, match="compatibility policy"):
            put(fs, "/g", b"data")


def test_temporary_file_goes_when_a_master_is_back(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Its blocks would stay reserved; another file that has the name by then stays."""
    for path in ("/tmp1", "/tmp2"):
        with closing(fs.create(path, 3 * MIB)) as writer:
            writer.write(pattern(3 * MIB))
            cluster.kill_master()
        cluster.start_master()
    fs.delete("/tmp2")
    with closing(cluster.client()) as other:
        put(other, "/tmp2", b"theirs")
    put(fs, "/f", b"data")
    assert temporaries(fs) == ["tmp2"]


def test_master_forgets_blocks(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.state.dead_to_master.add(101)
    with closing(fs.create("/tmp", 6 * MIB)) as writer:
        cluster.keep()
        writer.write(pattern(2 * MIB))
        cluster.kill_master(forget=True)
        cluster.start_master()
        with pytest.raises(Unavailable):
            writer.write(pattern(4 * MIB))
    assert temporaries(fs) == []


def test_other_file_cannot_be_made(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The first one goes all the same: its block is reserved on a worker."""
    for worker in (0, 1):
        cluster.fault(Fault.REFUSE, Code.WRITE_BLOCK, worker=worker, error=worker_error("length mismatch"))
    cluster.fault(Fault.REFUSE, Code.CREATE_FILE, skip=1, error=Refused(Kind.IO, "disk"))
    with closing(fs.create("/f")) as writer:
        writer.write(b"1")
        with pytest.raises(Corrupt):
            writer.complete({}, MTIME)
    assert list(fs.list("/")) == []


@pytest.mark.parametrize("size", [1000, 3 * 2**20])
def test_full_disk_of_a_worker(cluster: Cluster, fs: CurvineFileSystem, size: int) -> None:
    full = Refused(Kind.IO, "[curvine-worker] ERROR: No space left on device (os error 28)(file.rs:1)")
    for worker in (0, 1):
        cluster.fault(Fault.REFUSE, Code.WRITE_BLOCK, worker=worker, status=RUNNING, times=100, error=full)
    with closing(fs.create("/f", size)) as writer:
        with pytest.raises(NoSpace):
            writer.write(bytes(size))
            writer.complete({}, MTIME)
    assert list(fs.list("/")) == []


def test_full_disk_of_this_machine(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with closing(cluster.client(replace(FAST, short_circuit=True))) as fs:
        with closing(fs.create("/f")) as writer:
            monkeypatch.setattr("curvinefs.curvine.blocks.os.pwrite", full)
            with pytest.raises(NoSpace):
                writer.write(bytes(3 * 2**20))
        assert list(fs.list("/")) == []


@pytest.mark.parametrize("length", [0, 10, MIB, 2 * MIB + 7, 9 * MIB])
@pytest.mark.parametrize("hint", [False, True], ids=["unknown", "known"])
def test_cluster_that_wants_large_blocks(cluster: Cluster, fs: CurvineFileSystem, length: int, hint: bool) -> None:
    cluster.state.min_block_size = 3 * MIB
    data = pattern(length)
    for path in ("/a", "/b"):  # the second one knows
        with closing(fs.create(f"{path}.tmp", length if hint else None)) as writer:
            writer.write(data)
            writer.complete({}, MTIME)
            writer.rename(path[1:])
        assert get(fs, path) == data
        assert [block.length for block in cluster.state.tree.get(path).blocks][:1] == (
            [min(length, 3 * MIB)] if length else []
        )
    with fs.lock("k"):
        pass


def test_cluster_that_takes_no_block(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The least that it takes is more than what can be told to a worker."""
    cluster.state.min_block_size = 2**33
    with pytest.raises(Corrupt, match="Block size needs"):
        put(fs, "/f", b"1")


def test_block_ids_given_out_again_while_a_file_is_written(cluster: Cluster) -> None:
    """A master forgets the file, and gives its block to another one: nothing of ours gets in there."""
    cluster.keep()
    cluster.state.dead_to_master = {101}
    data = pattern(6 * MIB)
    with closing(cluster.client()) as fs, closing(cluster.client()) as other, closing(fs.create("/t", 6 * MIB)) as ours:
        ours.write(bytes(2 * MIB))
        cluster.kill_master(forget=True)
        cluster.start_master()
        with closing(other.create("/theirs", len(data))) as theirs:
            theirs.write(data)
            assert theirs._last == ours._last
            with suppress(Unavailable):
                ours.write(bytes(2 * MIB))
            theirs.complete({}, MTIME)
            theirs.rename("f")
        assert get(other, "/f") == data


def test_file_that_a_new_master_remembers_is_written_on(cluster: Cluster) -> None:
    with closing(cluster.client()) as fs, closing(fs.create("/tmp", 6 * MIB)) as writer:
        writer.write(pattern(6 * MIB)[: 2 * MIB])
        cluster.kill_master()
        cluster.start_master()
        server = cluster.masters[0].server
        server.requests.clear()
        writer.write(pattern(6 * MIB)[2 * MIB :])
        assert codes(server) == [Code.FILE_STATUS], "asked once"
        writer.complete({}, MTIME)
        writer.rename("f")
        assert get(fs, "/f") == pattern(6 * MIB)
