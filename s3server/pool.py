"""Threads of a process: spawned on demand, bounded, the last one idle is the first one used.

Jobs never wait in a queue without the caller knowing: ``start`` refuses when no thread is spare, ``later`` puts a job
in line for the next thread that becomes free.  A reserve of threads exists for jobs that must run at once whatever
the others do (the loop itself).

Rules: a job raises nothing; a thread idle for IDLE seconds ends.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Job: TypeAlias = Callable[[], None]

IDLE = 30.0
"""Seconds after which an idle thread ends."""


class _Worker:
    __slots__ = ("wake", "job")

    def __init__(self, job: Job | None) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.job = job


class ThreadPool:
    """See the module's header.  Thread-safe."""

    def __init__(self, limit: int, reserve: int = 2) -> None:
        """``limit``: threads that work on requests at the same time; ``reserve``: more for ``start(urgent=True)``."""
        self._limit = limit
        self._reserve = reserve
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._waiting: deque[Job] = deque()
        self._count = 0

    @property
    def waiting(self) -> int:
        """Jobs in line."""
        return len(self._waiting)

    def has_spare(self) -> bool:
        """Whether ``start`` would find a thread now."""
        return bool(self._idle) or self._count < self._limit

    def start(self, job: Job, *, urgent: bool = False) -> bool:
        """Run ``job`` in a spare thread; False when there is none."""
        with self._lock:
            if self._idle:
                worker = self._idle.pop()
                worker.job = job
                worker.wake.release()
                return True
            if self._count >= self._limit + (self._reserve if urgent else 0):
                return False
            self._count += 1
            worker = _Worker(job)
        try:
            threading.Thread(target=self._run, args=(worker,), name="request", daemon=True).start()
        except RuntimeError:  # the system has no more threads for us
            with self._lock:
                self._count -= 1
            return False
        return True

    def later(self, job: Job) -> None:
        """Run ``job`` as soon as a thread is free, in order."""
        if self.start(job):
            return
        with self._lock:
            self._waiting.append(job)

    def _run(self, worker: _Worker) -> None:
        while True:
            job = worker.job
            assert job is not None
            job()
            with self._lock:
                if self._waiting:
                    worker.job = self._waiting.popleft()
                    continue
                if self._count > self._limit:
                    self._count -= 1
                    return
                worker.job = None
                self._idle.append(worker)
            if not worker.wake.acquire(timeout=IDLE):
                with self._lock:
                    if worker in self._idle:
                        self._idle.remove(worker)
                        self._count -= 1
                        return
                worker.wake.acquire()  # a job was handed over at the last moment
