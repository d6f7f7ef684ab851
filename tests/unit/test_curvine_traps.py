"""What this server does to careless clients, and that ours is not one (WIRE.md 13.6).

Each test first shows on the simulated cluster that the trap is there, then that the client stays out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from google.protobuf.message import Message

from curvinefs.api import AlreadyExists, InvalidPath, NotADirectory, NotFound, RenameFlag
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.calls import Calls, Commit, block_id
from curvinefs.curvine.errors import Refused
from curvinefs.curvine.options import MIB
from curvinefs.curvine.paths import checked, listable, split
from curvinefs.curvine.retry import Code
from curvinefs.proto import curvine_pb2 as pb
from tests.sim.cluster import FAST, Cluster
from tests.sim.kit import get, put
from tests.sim.server import Fault

M = TypeVar("M", bound=Message)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client()) as fs:
        yield fs


def raw(fs: CurvineFileSystem, code: Code, request: Message, reply: type[M]) -> M:
    """A call past all guards."""
    return fs._master.call(code, request, reply)


@pytest.fixture
def calls(fs: CurvineFileSystem) -> Calls:
    return fs._calls


BAD = ["", "a", "a/b", "//", "/a/", "//a", "/a//b", "/.", "/a/../b", "/a\0b", "/\ud800", "/" + "x" * 256]


@pytest.mark.parametrize("path", [*BAD, "/a" * 1000, "/" + "/".join(["x" * 200] * 40)])
def test_paths_that_are_never_sent(cluster: Cluster, fs: CurvineFileSystem, path: str) -> None:
    every: list[Callable[[], object]] = [
        lambda: checked(path),
        lambda: fs.status(path),
        lambda: fs.open(path),
        lambda: list(fs.list(path)),
        lambda: fs.create(path),
        lambda: fs.mkdir(path),
        lambda: fs.mkdir(path, {"a": b"1"}),
        lambda: fs.delete(path),
        lambda: fs.link("/", path),
        lambda: fs.link(path, "/x"),
        lambda: fs.set_x_attr(path, {}),
        lambda: fs.create_parted(path, 10),
        lambda: fs.open_part(path, 0, 10),
        lambda: fs.is_abandoned(path, 0),
    ]
    for call in every:
        with pytest.raises((InvalidPath, NotADirectory)):
            call()
    assert all(isinstance(outcome, InvalidPath) for outcome in fs.delete_many([path]))
    put(fs, "/f")
    for source, destination in (("/f", path), (path, "/g")):
        for flags in RenameFlag:
            with pytest.raises(InvalidPath):
                fs.rename(source, destination, flags)
    assert not cluster.state.tree.poisoned


def test_empty_component_poisons_the_journal(cluster: Cluster, fs: CurvineFileSystem) -> None:
    options = pb.MkdirOptsProto(create_parent=True, mode=0o755, owner="", group="")
    raw(fs, Code.MKDIR, pb.MkdirRequest(path="/a//e", opts=options), pb.MkdirResponse)
    cluster.kill_master()
    with pytest.raises(RuntimeError):
        cluster.start_master()


def test_root_is_not_changed(fs: CurvineFileSystem) -> None:
    for call in (fs.delete, fs.create, fs.mkdir):
        with pytest.raises(InvalidPath):
            call("/")
    with pytest.raises(InvalidPath):
        split("/")


def test_rename_below_a_file_loses_the_source(fs: CurvineFileSystem) -> None:
    put(fs, "/f")
    put(fs, "/g")
    with pytest.raises(Refused, match="Path not a dir"):
        raw(fs, Code.RENAME, pb.RenameRequest(src="/g", dst="/f/x", flags=0), pb.RenameResponse)
    with pytest.raises(NotFound):
        fs.status("/g")
    put(fs, "/g", b"1")
    for flags in RenameFlag:
        with pytest.raises(NotADirectory):
            fs.rename("/g", "/f/x", flags)
    with closing(fs.create("/tmp")) as writer:
        writer.complete({}, 0)
        with pytest.raises(NotADirectory):
            writer.rename_to("/f/x")
        with pytest.raises(InvalidPath):
            writer.rename("f/x")
        writer.rename("h")
    assert get(fs, "/g") == b"1"


def test_id_used_twice_is_a_false_success(fs: CurvineFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    put(fs, "/f")
    monkeypatch.setattr("curvinefs.curvine.master.new_id", lambda: 42)
    fs.rename("/f", "/g")
    fs.delete("/g")
    assert fs.status("/g")
    monkeypatch.undo()
    fs.delete("/g")
    with pytest.raises(NotFound):
        fs.status("/g")


def test_glob_directories(fs: CurvineFileSystem) -> None:
    for character in fs.forbidden_in_directories:
        path = f"/a{character}b"
        fs.mkdir(path)
        for each in (path, f"{path}/c"):
            with pytest.raises(InvalidPath):
                listable(each)
            with pytest.raises(InvalidPath):
                list(fs.list(each))
    fs.mkdir("/a]b}")
    assert list(fs.list("/a]b}")) == []


@pytest.mark.parametrize("size", [0, -1, 2**32, 2**32 + 1, 100 * 2**30])
def test_block_size_would_be_cut(cluster: Cluster, calls: Calls, fs: CurvineFileSystem, size: int) -> None:
    with pytest.raises(ValueError):
        calls.create("/f", size, "c")
    assert cluster.state.tree.find("/f") is None
    options = pb.CreateFileOptsProto(replicas=1, block_size=2**32 + 1, create_parent=False)
    request = pb.CreateFileRequest(path="/f", opts=options, flags=0x41)
    assert raw(fs, Code.CREATE_FILE, request, pb.CreateFileResponse).file_status.block_size == 1


def test_length_without_blocks(cluster: Cluster, calls: Calls, fs: CurvineFileSystem) -> None:
    calls.create("/f", MIB, "c")
    with pytest.raises(ValueError):
        calls.complete("/f", "c", 5, ())
    request = pb.CompleteFileRequest(path="/f", len=5, client_name="c", only_flush=False)
    raw(fs, Code.COMPLETE_FILE, request, pb.CompleteFileResponse)
    assert cluster.state.tree.get("/f").length == 5


def test_commit_names_workers(calls: Calls) -> None:
    inode = calls.create("/f", MIB, "c").id
    calls.add_block("/f", inode, "c", None)
    with pytest.raises(ValueError):
        calls.complete("/f", "c", 5, (Commit(block_id(inode, 0), 5, ()),))


def test_unknown_last_block_appends(cluster: Cluster, calls: Calls) -> None:
    """The master appends a block; ours is not taken for the one after the last."""
    inode = calls.create("/f", MIB, "c").id
    with pytest.raises(Exception, match="instead of"):
        calls.add_block("/f", inode, "c", block_id(inode, 7))
    assert len(cluster.state.tree.get("/f").blocks) == 1


def test_create_is_exclusive(fs: CurvineFileSystem) -> None:
    put(fs, "/f", b"1")
    fs.mkdir("/d")
    for path in ("/f", "/d"):
        with pytest.raises(AlreadyExists):
            fs.create(path)
    assert get(fs, "/f") == b"1"


def test_never_cancels(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """A Cancel that the worker takes for a finished block's deletes it."""
    put(fs, "/f", b"1")
    worker = cluster.workers[0].server
    for fault in (Fault.LOSE_REPLY, Fault.LOSE_REQUEST):
        for status in (0xF2, 0xF3, 0xF5):
            cluster.fault(fault, Code.WRITE_BLOCK, worker=0, status=status)
            put(fs, "/g", b"2")
    with closing(fs.create("/h")) as writer:
        writer.write(bytes(3 * 2**20))
    assert not [request for request in worker.requests if request[1] == 0xF4]
    assert get(fs, "/f") == b"1"


def test_link_makes_no_directories(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/f")
    with pytest.raises(NotFound):
        fs.link("/f", "/no/such/g")
    assert cluster.state.tree.find("/no") is None


def test_rename_of_a_link_over_its_own_file(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/f", b"1")
    fs.link("/f", "/g")
    fs.rename("/f", "/g")
    assert cluster.state.tree.get("/g").nlink == 1
    fs.delete("/g")
    assert cluster.state.tree.by_id.keys() == {1000}


def test_client_ids_are_not_mixed_up(fs: CurvineFileSystem) -> None:
    """The lock table is keyed by client and owner written together."""
    ids = {fs._locks._client_id for _ in range(3)}
    with closing(CurvineFileSystem([("127.0.0.1", 1)], FAST)) as other:
        ids.add(other._locks._client_id)
    assert {len(each) for each in ids} == {33} and all(not each[-1].isdigit() for each in ids)
