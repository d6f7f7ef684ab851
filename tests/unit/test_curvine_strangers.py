"""Answers that are none: the request fails or is asked again, the connection ends, nothing is read beyond the nonsense.

One connection is in the pool before; the one that got the nonsense must not be there afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import Corrupt
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.pool import Pool
from curvinefs.curvine.retry import Code
from tests.sim.cluster import FAST, Cluster
from tests.sim.kit import get, pattern, put
from tests.sim.server import Fault

_PREFIX = struct.Struct(">iibBqi")
Twist = Callable[[bytes], bytes]


def changed(number: int, value: Callable[[int], int]) -> Twist:
    """The reply with another value in one field of its prefix."""

    def twist(reply: bytes) -> bytes:
        fields = list(_PREFIX.unpack(reply[:22]))
        fields[number] = value(fields[number])
        return _PREFIX.pack(*fields) + reply[22:]

    return twist


def with_header(header: bytes) -> Twist:
    def twist(reply: bytes) -> bytes:
        total, length, *rest = _PREFIX.unpack(reply[:22])
        return _PREFIX.pack(total - length + len(header), len(header), *rest) + header + reply[22 + length :]

    return twist


def with_unknown_field(reply: bytes) -> bytes:
    _, length, *_ = _PREFIX.unpack(reply[:22])
    return with_header(reply[22 : 22 + length] + b"\xfa\x7f\x03new")(reply)  # number 2047


NONSENSE: dict[str, Twist] = {
    "too long": changed(0, lambda _: 2**31 - 1),
    "shorter than a prefix": changed(0, lambda _: 17),
    "negative": changed(0, lambda _: -1),
    "header longer than the frame": changed(1, lambda length: length + 1000),
    "negative header": changed(1, lambda _: -1),
    "header too long": lambda reply: _PREFIX.pack(2**30 + 18, 2**30, *_PREFIX.unpack(reply[:22])[2:]) + reply[22:],
    "another code": changed(2, lambda code: code + 1),
    "a request": changed(3, lambda status: status | 0xF0),
    "of unknown success": changed(3, lambda status: status | 0x70),
    "to another kind of request": changed(3, lambda status: status ^ 0x01),
    "to another request": changed(4, lambda req_id: req_id ^ 1),
    "out of turn": changed(5, lambda seq_id: seq_id + 1),
    "zeros": lambda reply: bytes(22),
    "text": lambda reply: b"HTTP/1.1 400 Bad Request\r\n\r\n",
}
UNREADABLE = with_header(b"\xff" * 30)
EVERY_STATUS = pytest.mark.parametrize("status", [0xF2, 0xF3, 0xF5], ids=["open", "running", "complete"])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture(params=["remote", "near"])
def fs(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client(replace(FAST, short_circuit=request.param == "near"))) as fs:
        yield fs


def idle(pool: Pool) -> list[object]:
    return [connection for connections in pool._idle.values() for connection in connections]


@pytest.mark.parametrize("twist", NONSENSE.values(), ids=NONSENSE)
def test_master(cluster: Cluster, fs: CurvineFileSystem, twist: Twist) -> None:
    put(fs, "/f", b"1")
    (before,) = idle(fs._masters)
    cluster.fault(Fault.TWIST, Code.FILE_STATUS, twist=twist)
    assert fs.status("/f").len == 1
    assert before not in idle(fs._masters)


@pytest.mark.parametrize("code", [Code.MKDIR, Code.RENAME, Code.DELETE, Code.LINK], ids=lambda code: code.name)
def test_changes_are_made_once(cluster: Cluster, fs: CurvineFileSystem, code: Code) -> None:
    for twist in NONSENSE.values():
        cluster.fault(Fault.TWIST, code, twist=twist)
        fs.mkdir("/d", {"a": b"b"})
        put(fs, "/d/f", b"1")
        fs.link("/d/f", "/d/g")
        fs.delete("/d/g")
        fs.delete("/d/f")
        fs.delete("/d")
    assert [rule for rule in cluster.masters[0].server.rules if rule.times] == []
    assert list(fs.list("/")) == []


@EVERY_STATUS
def test_worker_that_is_written_to(cluster: Cluster, fs: CurvineFileSystem, status: int) -> None:
    put(fs, "/warm", b"1")
    for name, twist in {**NONSENSE, "unreadable": UNREADABLE}.items():
        before = idle(fs._streams)
        cluster.fault(Fault.TWIST, Code.WRITE_BLOCK, worker=0, status=status, twist=twist)
        put(fs, "/f", name.encode())
        assert not set(before) & set(idle(fs._streams)), name
        assert get(fs, "/f") == name.encode()


@EVERY_STATUS
def test_worker_that_is_read_from(cluster: Cluster, fs: CurvineFileSystem, status: int) -> None:
    data = pattern(100_000)
    put(fs, "/f", data)
    for name, twist in NONSENSE.items():
        before = idle(fs._streams)
        rule = cluster.fault(Fault.TWIST, Code.READ_BLOCK, worker=0, status=status, twist=twist)
        assert get(fs, "/f") == data
        assert rule.times or not set(before) & set(idle(fs._streams)), name


def test_unreadable_messages(cluster: Cluster, fs: CurvineFileSystem) -> None:
    put(fs, "/f", b"1")
    cluster.fault(Fault.TWIST, Code.FILE_STATUS, twist=UNREADABLE)
    with pytest.raises(Corrupt):
        fs.status("/f")
    cluster.fault(Fault.TWIST, Code.READ_BLOCK, worker=0, status=0xF2, twist=UNREADABLE)
    assert get(fs, "/f") == b"1"
    assert fs.status("/f").len == 1


def test_unknown_fields_are_ignored(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.fault(Fault.TWIST, twist=with_unknown_field, times=1000)
    cluster.fault(Fault.TWIST, worker=0, status=0xF2, twist=with_unknown_field, times=1000)
    fs.mkdir("/d", {"a": b"b"})
    put(fs, "/d/f", b"1", note=b"n")
    fs.link("/d/f", "/d/g")
    fs.set_x_attr("/d/g", {"more": b"m"})
    with fs.lock("name"):
        assert [entry.status().x_attr for entry in fs.list("/d")] == [{"note": b"n", "more": b"m"}] * 2
    assert get(fs, "/d/g") == b"1"
    fs.delete("/d/g")
    assert fs.check()["workers"] == "1"
