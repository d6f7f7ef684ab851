"""Threads on demand, bounded, with a line and a reserve."""

from __future__ import annotations

import threading

from s3server.pool import ThreadPool

PATIENCE = 10.0


class Gate:
    """Jobs that wait until they are let through."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = threading.Semaphore(0)
        self.done: list[str] = []
        self.finished = threading.Semaphore(0)

    def job(self, name: str) -> None:
        self.inside.release()
        assert self.open.wait(PATIENCE)
        self.done.append(name)
        self.finished.release()


def test_jobs_beyond_the_limit_wait_in_line() -> None:
    gate, pool = Gate(), ThreadPool(2, reserve=1)
    assert pool.start(lambda: gate.job("a")) and pool.start(lambda: gate.job("b"))
    assert not pool.has_spare() and not pool.start(lambda: gate.job("refused"))
    for name in "cdef":
        pool.later(lambda name=name: gate.job(name))  # type: ignore[misc]
    assert pool.waiting == 4
    assert pool.start(lambda: gate.job("urgent"), urgent=True)
    assert not pool.start(lambda: gate.job("refused"), urgent=True)
    gate.open.set()
    for _ in range(7):
        assert gate.finished.acquire(timeout=PATIENCE)
    assert sorted(gate.done) == ["a", "b", "c", "d", "e", "f", "urgent"] and pool.waiting == 0


def test_the_last_idle_thread_is_used_again() -> None:
    pool = ThreadPool(4)
    seen: list[int] = []
    done = threading.Semaphore(0)

    def job() -> None:
        seen.append(threading.get_ident())
        done.release()

    for _ in range(20):
        pool.later(job)
        assert done.acquire(timeout=PATIENCE)
    assert len(set(seen)) <= 2  # the one before may not be back in the pool yet
