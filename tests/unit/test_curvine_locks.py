"""Locks on names over the simulated cluster; what all file systems must do is in the conformance suite."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from curvinefs.api import LockTimeout, RenameFlag, Unavailable
from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.errors import Kind, Refused
from curvinefs.curvine.locks import SAFE_S, STALE_S, Locks
from curvinefs.curvine.retry import Code
from tests.sim.cluster import Cluster
from tests.sim.kit import get, put
from tests.sim.server import Fault


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def fs(cluster: Cluster) -> Iterator[CurvineFileSystem]:
    with closing(cluster.client()) as fs:
        yield fs


def locks(fs: CurvineFileSystem, clock: Clock) -> Locks:
    return Locks(fs._calls, "/.s3~/locks", clock)


def held(cluster: Cluster) -> int:
    return len(cluster.state.tree.get("/.s3~/locks/names").locks)


def test_makes_its_file_once(cluster: Cluster, fs: CurvineFileSystem) -> None:
    with fs.lock("a"):
        assert held(cluster) == 1
    inode = fs.status("/.s3~/locks/names").id
    with fs.lock("a"):
        pass
    assert fs.status("/.s3~/locks/names").id == inode
    assert cluster.state.tree.get("/.s3~/locks/names").writers == set()
    assert held(cluster) == 0


def test_many_names_at_once(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """One thread may hold many: no two names share a place."""
    with fs.lock("a"), fs.lock("b"), fs.lock("c", 0.01):
        assert held(cluster) == 3
    assert held(cluster) == 0


def test_check(fs: CurvineFileSystem) -> None:
    clock = Clock()
    with locks(fs, clock).hold("a", 1.0) as lock:
        clock.now += SAFE_S
        lock.check()
        clock.now += 0.1
        with pytest.raises(LockTimeout):
            lock.check()


def test_dead_holder_is_released(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Seen holding for STALE_S by one who waits, however often he asked in between."""
    dead = locks(fs, Clock()).hold("a", 1.0)
    dead.__enter__()
    clock = Clock()
    waiting = locks(fs, clock)
    for _ in range(2):
        with pytest.raises(LockTimeout):
            with waiting.hold("a", 0.0):
                pass
        clock.now += STALE_S / 2 + 0.1
    assert STALE_S > 2 * SAFE_S - 1
    with waiting.hold("a", 0.0):
        assert held(cluster) == 1
    assert held(cluster) == 0


def test_live_holders_are_not_released(fs: CurvineFileSystem) -> None:
    """Each holding is another one, though the name is never free."""
    clock = Clock()
    waiting = locks(fs, clock)
    for _ in range(4):
        with fs.lock("a"):
            with pytest.raises(LockTimeout):
                with waiting.hold("a", 0.0):
                    pass
        clock.now += STALE_S


def test_threads_wait_here(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """One of a process asks the master; the others wait for it."""
    with fs.lock("a"):
        server = cluster.masters[0].server
        asked = len(server.requests)
        threads = [threading.Thread(target=lambda: _try(fs)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == asked


def _try(fs: CurvineFileSystem) -> None:
    with pytest.raises(LockTimeout):
        with fs.lock("a", 0.05):
            pass


def test_lost_replies(cluster: Cluster, fs: CurvineFileSystem) -> None:
    with fs.lock("warm"):
        pass
    for skip in range(4):
        cluster.fault(Fault.LOSE_REPLY, Code.SET_LOCK, skip=skip)
    for _ in range(3):
        with fs.lock("a", 1.0):
            assert held(cluster) == 1
    assert held(cluster) == 0


def test_no_master(cluster: Cluster, fs: CurvineFileSystem) -> None:
    cluster.leader = None
    with pytest.raises(Unavailable):
        with fs.lock("a"):
            pass


def test_error_inside_releases(cluster: Cluster, fs: CurvineFileSystem) -> None:
    with pytest.raises(ZeroDivisionError):
        with fs.lock("a"):
            raise ZeroDivisionError
    assert held(cluster) == 0


def test_child_has_a_name_of_its_own(fs: CurvineFileSystem) -> None:
    name = fs._locks._client_id
    child = os.fork()
    if child == 0:
        os._exit(0 if fs._locks._client_id != name else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fs._locks._client_id == name


def test_leader_comes_too_late(cluster: Cluster, fs: CurvineFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may have the lock by then, and have done what ours would undo."""
    monkeypatch.setattr("curvinefs.curvine.locks.SAFE_S", 0.5)
    put(fs, "/new", b"ours")
    put(fs, "/f", b"theirs")

    def sleep(seconds: float) -> None:
        time_sleep(0.6)
        cluster.leader = 0

    time_sleep = time.sleep
    for change in (lambda: fs.rename("/new", "/f"), lambda: fs.delete("/f"), lambda: fs.set_x_attr("/f", {"a": b"b"})):
        with fs.lock("f") as lock:
            lock.check()
            cluster.leader = None
            with monkeypatch.context() as patch:
                patch.setattr("curvinefs.curvine.master.time.sleep", sleep)
                with pytest.raises(LockTimeout):
                    change()
        assert get(fs, "/f") == b"theirs"
    fs.rename("/new", "/f", RenameFlag.REPLACE)
    assert get(fs, "/f") == b"ours"
    assert held(cluster) == 0


def test_limit_of_an_inner_lock_ends_with_it(fs: CurvineFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    put(fs, "/f")
    monkeypatch.setattr("curvinefs.curvine.locks.SAFE_S", 0.05)
    with fs.lock("outer"):
        with fs.lock("inner") as lock:
            lock.check()
        time.sleep(0.1)
        fs.delete("/f")


def renewals() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "renews a lock"]


def test_lasting_lock_is_not_taken_for_a_dead_one(
    cluster: Cluster, fs: CurvineFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curvinefs.curvine.locks.RENEW_S", 0.01)
    clock, own = Clock(), Clock()
    waiting = locks(fs, clock)
    with locks(fs, own).hold("a", 1.0, lasting=True) as lasting:
        for _ in range(3):
            with pytest.raises(LockTimeout):
                with waiting.hold("a", 0.0):
                    pass
            clock.now += STALE_S + 1
            own.now += SAFE_S + 1
            eventually(lambda: lasting.since == own.now)
            wait_for_another_millisecond(cluster)
            lasting.check()
    assert renewals() == [] and held(cluster) == 0


def test_lasting_lock_that_was_broken_says_so(
    cluster: Cluster, fs: CurvineFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curvinefs.curvine.locks.RENEW_S", 0.01)
    own = Clock()
    with locks(fs, own).hold("a", 1.0, lasting=True) as lasting:
        names = cluster.state.tree.get("/.s3~/locks/names")
        with cluster._mutex:
            names.locks = [replace(names.locks[0], client_id="another")]
        eventually(lambda: not renewals())
        own.now += SAFE_S + 1
        with pytest.raises(LockTimeout):
            lasting.check()
        names.locks = []


def eventually(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def wait_for_another_millisecond(cluster: Cluster) -> None:
    """Until the lock was taken again at another time of the master's clock."""
    names = cluster.state.tree.get("/.s3~/locks/names")
    before = names.locks[0].acquire_time
    eventually(lambda: names.locks[0].acquire_time != before)


def test_release_that_no_master_heard_of(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """The same process need not wait until it takes itself for dead."""
    with fs.lock("a"):
        cluster.fault(Fault.REFUSE, Code.SET_LOCK, error=Refused(Kind.IO, "disk"))
    assert held(cluster) == 1
    with fs.lock("a", 0.0):
        assert held(cluster) == 1
    assert held(cluster) == 0


def test_owed_releases_are_made_up_for(cluster: Cluster, fs: CurvineFileSystem) -> None:
    """Others need not wait until they take the holder for dead."""
    with ExitStack() as opened:
        for number in range(40):
            opened.enter_context(fs.lock(f"{number}"))
        outage = cluster.fault(Fault.REFUSE, Code.SET_LOCK, times=10**6, error=Refused(Kind.IO, "disk"))
    assert held(cluster) == 40
    outage.times = 0
    left = []
    for _ in range(4):
        with fs.lock("another"):
            pass
        left.append(held(cluster))
    assert left == [25, 10, 0, 0], "a few at a time, so that nobody pays for all"
    with locks(fs, Clock()).hold("39", 0.0):
        pass
