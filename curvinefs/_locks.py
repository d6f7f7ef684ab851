"""Exclusive locks on names, between threads and between processes.

A name is one byte of ``/.s3~/locks/names``, at the place that its 62-bit hash says; the file stays empty.  The byte is
locked for the open file description (F_OFD_SETLK), which each process opens for itself.  The kernel lets go when
the process dies.  Threads of one process queue on an ordinary lock first and do not poll.

Rules
- A description never reaches a forked child: there it would keep the locks of a dead parent.
- A queue exists only while somebody holds or wants its place: names may be any number.

Follows fcntl_locking(2), "Open file description locks".
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from curvinefs._linux import Kernel, fs_error
from curvinefs.api import LockTimeout

_MOST_HELD_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0002, 0.005


class LocalLock:
    __slots__ = ("_name", "_since")

    def __init__(self, name: str) -> None:
        self._name = name
        self._since = time.monotonic()

    def check(self) -> None:
        age = time.monotonic() - self._since
        if age > _MOST_HELD_S:
            raise LockTimeout(f"{self._name}: held for {age:.1f} s")


class _Queue:
    __slots__ = ("turn", "users")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.users = 0


class Locks:
    def __init__(self, kernel: Kernel, opener: Callable[[], int]) -> None:
        """``opener`` opens the lock file for writing, anew each time; raises OSError."""
        self._kernel = kernel
        self._opener = opener
        self._fd = -1
        self.reset()

    def reset(self) -> None:
        """In a forked child: let go of the parent's description and its threads' queues."""
        self.close()
        self._mutex = threading.Lock()
        self._queues: dict[int, _Queue] = {}

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @contextmanager
    def hold(self, name: str, timeout_s: float) -> Iterator[LocalLock]:
        """LockTimeout."""
        timeout_s = max(0.0, timeout_s)
        deadline = time.monotonic() + timeout_s
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place = int.from_bytes(digest) >> 2
        queue = self._enter(place)
        try:
            if not queue.turn.acquire(timeout=timeout_s):
                raise LockTimeout(f"{name}: not free within {timeout_s} s")
            try:
                self._wait(name, place, deadline)
                try:
                    yield LocalLock(name)
                finally:
                    self._kernel.unlock_byte(self._fd, place)
            finally:
                queue.turn.release()
        finally:
            self._leave(place, queue)

    def _enter(self, place: int) -> _Queue:
        with self._mutex:
            if self._fd < 0:
                try:
                    self._fd = self._opener()
                except OSError as error:
                    raise fs_error(error, "locks") from error
            queue = self._queues.get(place)
            if queue is None:
                queue = self._queues[place] = _Queue()
            queue.users += 1
            return queue

    def _leave(self, place: int, queue: _Queue) -> None:
        with self._mutex:
            queue.users -= 1
            if not queue.users:
                del self._queues[place]

    def _wait(self, name: str, place: int, deadline: float) -> None:
        pause = _FIRST_PAUSE_S
        try:
            while not self._kernel.lock_byte(self._fd, place):
                if time.monotonic() + pause > deadline:
                    raise LockTimeout(f"{name}: held by another process")
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        except OSError as error:
            raise fs_error(error, name) from error
