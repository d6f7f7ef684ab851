"""Parts as blocks of one file; what all file systems must do is in the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import FileSystem, NotFound, PartRef, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import MIB
from curvinefs.curvine.retry import Code
from tests.sim.cluster import FAST, Cluster
from tests.sim.kit import MTIME, codes, get, pattern
from tests.sim.server import Fault


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, workers=2, min_block_size=1) as cluster:
        yield cluster


@pytest.fixture(params=[False, True], ids=["remote", "near"])
def fs(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(replace(FAST, short_circuit=request.param))) as fs:
        yield fs


def part(fs: FileSystem, place: int, data: bytes) -> PartRef:
    writer = fs.open_part("/p", place, len(data))
    assert writer is not None
    with closing(writer):
        for start in range(0, len(data), 400_000):
            writer.write(data[start : start + 400_000])
        return PartRef(place, len(data), writer.complete())


def read_part(fs: FileSystem, ref: PartRef) -> bytes:
    with closing(fs.open_part_file("/p", ref)) as file:
        buffer = memoryview(bytearray(ref.size))
        assert file.readinto(0, buffer) == ref.size
        return bytes(buffer)


def test_large_parts_in_any_order(cluster: Cluster, fs: CurvineFileSystem) -> None:
    size = 2 * MIB
    data = pattern(5 * size + 77)
    fs.create_parted("/p", size)
    pieces = {place: data[place * size : (place + 1) * size] for place in range(6)}
    refs = {place: part(fs, place, pieces[place]) for place in (3, 0, 5, 1, 4, 2)}
    assert all(read_part(fs, refs[place]) == pieces[place] for place in refs)
    cluster.masters[0].server.requests.clear()
    status = fs.join_parts("/p", [refs[place] for place in range(6)], {"a": b"1"}, MTIME)
    assert status is not None and status.len == len(data)
    copied = [code for code, _, _ in cluster.masters[0].server.requests if code == Code.GET_BLOCK_LOCATIONS]
    assert not copied
    fs.rename("/p", "/f")
    assert get(fs, "/f") == data
    assert fs.status("/f") == status


def test_joined_again_with_fewer_parts(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """They are copied, for a file never shrinks."""
    fs.create_parted("/p", 10)
    refs = [part(fs, place, b"%d" % place * 10) for place in range(4)]
    assert fs.join_parts("/p", refs, {}, MTIME) is not None
    fs.delete("/p.parted/00000003")
    assert fs.join_parts("/p", refs[:3], {}, MTIME) is None
    assert get(fs, "/p") == b"".join(b"%d" % place * 10 for place in range(4))
    assert read_part(fs, refs[3]) == b"3" * 10


def test_short_last_part_before_others(fs: CurvineFileSystem) -> None:
    """Blocks were allocated after it, which would make the file unreadable: copied."""
    fs.create_parted("/p", 10)
    one, two = part(fs, 1, b"2" * 10), part(fs, 0, b"1" * 7)
    assert fs.join_parts("/p", [two], {}, MTIME) is None
    assert (read_part(fs, one), read_part(fs, two)) == (b"2" * 10, b"1" * 7)


def test_far_places(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Parts far apart cost no thousands of calls; nearer ones are noted for others."""
    fs.create_parted("/p", 10)
    assert fs.open_part("/p", 5000, 10) is None
    assert fs.open_part("/p", -1, 10) is None
    part(fs, 200, b"x" * 10)
    requests = cluster.masters[0].server.requests
    requests.clear()
    with closing(cluster.client()) as other:
        part(other, 201, b"y" * 10)
    assert len([code for code, _, _ in requests if code == Code.ADD_BLOCK]) == 1


def test_parts_in_order_cost_few_calls(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Not one for each block before theirs."""
    fs.create_parted("/p", 10)
    refs = [part(fs, number, b"x" * 10) for number in range(100)]
    assert codes(cluster.masters[0].server).count(Code.ADD_BLOCK) < 1000
    assert fs.join_parts("/p", refs, {}, MTIME) is not None


@pytest.mark.parametrize("size", [2**32 - 1, 2**32, 5 * 2**30])
def test_sizes_that_no_block_has(fs: CurvineFileSystem, size: int) -> None:
    fs.create_parted("/p", size)
    assert fs.parted_in("/p") == size
    assert fs.open_part("/p", 0, 10) is None
    assert fs.join_parts("/p", [], {}, MTIME) is None


def test_size_below_that_of_blocks(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.state.min_block_size = MIB
    fs.create_parted("/p", MIB - 1)
    assert fs.parted_in("/p") == MIB - 1
    assert fs.open_part("/p", 0, 10) is None
    assert fs.join_parts("/p", [PartRef(0, 10, "")], {}, MTIME) is None


def test_claims_have_blocks_of_any_size(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.state.min_block_size = 3 * MIB
    fs.create_parted("/p", 3 * MIB)
    refs = [part(fs, 0, b"0" * 3 * MIB), part(fs, 1, b"1")]
    assert fs.join_parts("/p", refs, {}, MTIME) is not None
    assert get(fs, "/p") == b"0" * 3 * MIB + b"1"


def test_a_new_leader_that_counts_blocks_anew(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Seen of three masters: the file's blocks are journaled, and not how many it has had."""
    fs.create_parted("/p", 10)
    first = part(fs, 0, b"0" * 10)
    cluster.state.tree.get("/p").sequence = 0
    assert fs.open_part("/p", 1, 10) is None, "it goes to a file of its own"
    assert read_part(fs, first) == b"0" * 10
    assert fs.join_parts("/p", [first, PartRef(1, 10, "")], {}, MTIME) is None, "and is copied"


def test_dead_worker(cluster: Cluster, fs: CurvineFileSystem) -> None:
    fs.create_parted("/p", 10)
    cluster.workers[0].server.stop()
    refs = [part(fs, place, b"%d" % place * 10) for place in range(4)]
    assert fs.join_parts("/p", refs, {}, MTIME) is not None
    assert get(fs, "/p") == b"0" * 10 + b"1" * 10 + b"2" * 10 + b"3" * 10


def test_worker_dies_in_a_part(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The place is lost, and known to be: a join without it is still possible."""
    fs.create_parted("/p", 3 * MIB)
    cluster.state.dead_to_master.add(101)
    first = part(fs, 0, pattern(3 * MIB))
    for status in (0xF5,):
        cluster.fault(Fault.LOSE_REQUEST, Code.WRITE_BLOCK, worker=0, status=status)
        with pytest.raises(Unavailable):
            part(fs, 1, pattern(3 * MIB))
    assert fs.open_part("/p", 1, 3 * MIB) is None
    assert fs.join_parts("/p", [first], {}, MTIME) is not None
    assert get(fs, "/p") == pattern(3 * MIB)


def test_dead_writer_prevents_joining(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Nobody can tell it from a live one."""
    fs.create_parted("/p", 10)
    first = part(fs, 0, b"0" * 10)
    writer = fs.open_part("/p", 1, 10)
    assert writer is not None
    writer._block.close()
    assert fs.join_parts("/p", [first], {}, MTIME) is None
    assert read_part(fs, first) == b"0" * 10


@pytest.mark.parametrize("code", [Code.CREATE_FILE, Code.ADD_BLOCK, Code.COMPLETE_FILE, Code.SET_ATTR, Code.MKDIR])
def test_lost_replies(cluster: Cluster, fs: CurvineFileSystem, code: Code) -> None:
    for skip in range(3):
        cluster.fault(Fault.LOSE_REPLY, code, skip=3 * skip)
    fs.create_parted("/p", 10)
    refs = [part(fs, place, b"%d" % place * 10) for place in range(3)]
    assert fs.join_parts("/p", refs, {}, MTIME) is not None
    assert get(fs, "/p") == b"0" * 10 + b"1" * 10 + b"2" * 10


def test_maker_died(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The record is there, the file is not: parts go to files of their own."""
    fs.create_parted("/p", 10)
    fs.set_x_attr("/p.parted", {"user.inode": None})
    assert fs.open_part("/p", 0, 10) is None


@pytest.mark.parametrize(
    "token", ["", "?", "1:2:3", "x:y:z", "1:10:100/4", "-1:10:100/4", ":" * 10, "1:10:", "9" * 400 + ":10:1/1"]
)
def test_tokens_of_others(fs: CurvineFileSystem, token: str) -> None:
    fs.create_parted("/p", 10)
    ref = PartRef(0, 10, token)
    with pytest.raises(NotFound):
        fs.open_part_file("/p", ref)
    assert fs.join_parts("/p", [ref], {}, MTIME) is None


def test_damaged_record(fs: CurvineFileSystem) -> None:
    fs.mkdir("/p.parted", {"user.parted": b"{nonsense"})
    assert fs.parted_in("/p") is None


def test_size_is_kept(fs: CurvineFileSystem) -> None:
    fs.create_parted("/p", 10)
    writer = fs.open_part("/p", 0, 5)
    assert writer is not None
    with closing(writer):
        with pytest.raises(ValueError):
            writer.write(b"x" * 6)
    writer = fs.open_part("/p", 1, 5)
    assert writer is not None
    with closing(writer):
        writer.write(b"x")
        with pytest.raises(ValueError):
            writer.complete()
