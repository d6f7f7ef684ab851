"""Exclusive locks on names, for all clients of a cluster.

A name is one byte of one lock file, at the place that its 62-bit hash says; the master keeps who holds which byte, and
never waits, so we ask again.  Threads of one process queue here and only the first one asks.

Rules
- The lock file is never replaced: a lock belongs to an inode.
- Every holding has an owner id of its own, and the client id has a fixed length and ends in a letter: the master's
  table mixes up others.
- The master would keep a dead holder's lock for five minutes.  A waiter that has seen one holding for STALE_S releases
  it in the holder's name; a holder asks ``check`` before it acts, which refuses from SAFE_S on, and after which nothing
  is sent to a master when it is older.  Both are measured by clocks of their own, so clocks need not agree.
- A master that died may have forgotten a lock.  So what is done under it is sent only to the one that granted it.
- A lock that is to last is taken again every RENEW_S by a thread of its own while its holder works, which makes it
  another holding for those who wait.  That thread has ended when the lock is released.
- A release that no master heard of is owed, and made up for after the next one that is heard.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from curvinefs.api import AlreadyExists, FsError, LockTimeout, NotFound
from curvinefs.curvine.calls import Calls, LockRange
from curvinefs.curvine.master import Life
from curvinefs.proto import curvine_pb2 as pb

SAFE_S = 5.0
STALE_S = 10.0
RENEW_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.02
_MOST_SEEN = 1024
_MOST_OWED, _AT_ONCE = 10_000, 16


class CurvineLock:
    __slots__ = ("_name", "since", "_life", "_calls", "_clock")

    def __init__(self, name: str, since: float, life: Life | None, calls: Calls, clock: Callable[[], float]) -> None:
        """``life``: of the master that granted it."""
        self._name = name
        self.since = since
        """Before the lock was asked for, the last time that it was granted."""
        self._life = life
        self._calls = calls
        self._clock = clock

    def check(self) -> None:
        age = self._clock() - self.since
        if age > SAFE_S:
            raise LockTimeout(f"{self._name}: held for {age:.1f} s")
        self._calls.master.not_after(time.monotonic() + SAFE_S - age, self._life)


class _Queue:
    __slots__ = ("turn", "users")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.users = 0


_Holding = tuple[str, int, int]


class Locks:
    def __init__(self, calls: Calls, directory: str, clock: Callable[[], float] = time.monotonic) -> None:
        """The lock file is ``names`` in ``directory``; both are made when first wanted, below the root or in turn."""
        self._calls = calls
        self._path = f"{directory}/names"
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Also in a forked child: it holds nothing."""
        self._client_id = uuid.uuid4().hex + "x"
        self._mutex = threading.Lock()
        self._queues: dict[int, _Queue] = {}
        self._seen: dict[_Holding, float] = {}
        """Holdings of others that were in our way, and since when."""
        self._owed: deque[LockRange] = deque(maxlen=_MOST_OWED)
        """Locks that may still be ours and should not."""

    @contextmanager
    def hold(self, name: str, timeout_s: float, *, lasting: bool = False) -> Iterator[CurvineLock]:
        """LockTimeout."""
        timeout_s = max(0.0, timeout_s)
        deadline = self._clock() + timeout_s
        place = int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 2
        lock = LockRange(self._client_id, int.from_bytes(os.urandom(8)) >> 1, place)
        queue = self._enter(place)
        try:
            if not queue.turn.acquire(timeout=timeout_s):
                raise LockTimeout(f"{name}: not free within {timeout_s} s")
            try:
                since = self._wait(name, lock, deadline)
                held = CurvineLock(name, since, self._calls.life, self._calls, self._clock)
                try:
                    with self._calls.master.limited(), self._renewed(lock, held) if lasting else nullcontext():
                        yield held
                finally:
                    self._release(lock)
            finally:
                queue.turn.release()
        finally:
            self._leave(place, queue)

    @contextmanager
    def _renewed(self, lock: LockRange, held: CurvineLock) -> Iterator[None]:
        done = threading.Event()

        def renew() -> None:
            while not done.wait(RENEW_S):
                since = self._clock()
                try:
                    if self._calls.set_lock(self._path, lock) is not None:
                        return  # somebody took us for dead: check() will say so
                except FsError:
                    continue
                held.since = since

        thread = threading.Thread(target=renew, name="renews a lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _release(self, lock: LockRange) -> None:
        self._owed.append(lock)
        for _ in range(_AT_ONCE):
            try:
                lock = self._owed.pop()  # ours first: somebody waits for it
            except IndexError:
                return
            try:
                self._calls.set_lock(self._path, lock, release=True)
            except FsError:
                self._owed.append(lock)  # what was done under it is done
                return

    def _wait(self, name: str, lock: LockRange, deadline: float) -> float:
        """Take it; when it was asked for.  LockTimeout."""
        pause = _FIRST_PAUSE_S
        while True:
            since = self._clock()
            try:
                conflict = self._calls.set_lock(self._path, lock)
            except NotFound:
                self._make_file()
                continue
            except FsError:
                self._release(lock)  # it may be ours: the answer was lost
                raise
            if conflict is None:
                return since
            # In our own name: the turn is ours, so it is left from a release that no master heard of yet.
            if conflict.client_id == self._client_id or self._is_stale(conflict):
                self._calls.set_lock(
                    self._path, LockRange(conflict.client_id, conflict.owner_id, lock.place), release=True
                )
                continue
            if self._clock() + pause > deadline:
                raise LockTimeout(f"{name}: held by {conflict.client_id}")
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _is_stale(self, conflict: pb.FileLockProto) -> bool:
        holding = (conflict.client_id, conflict.owner_id, conflict.acquire_time)
        now = self._clock()
        with self._mutex:
            if len(self._seen) > _MOST_SEEN:
                self._seen = {each: since for each, since in self._seen.items() if now - since < 6 * STALE_S}
            return now - self._seen.setdefault(holding, now) > STALE_S

    def _make_file(self) -> None:
        names = self._path.split("/")[1:-1]
        for depth in range(1, len(names) + 1):
            try:
                self._calls.mkdir("/" + "/".join(names[:depth]), {})
            except AlreadyExists:
                pass
        client_name = uuid.uuid4().hex
        try:
            self._calls.create(self._path, 2**20, client_name)
        except AlreadyExists:
            return
        self._calls.complete(self._path, client_name, 0, ())

    def _enter(self, place: int) -> _Queue:
        with self._mutex:
            queue = self._queues.setdefault(place, _Queue())
            queue.users += 1
            return queue

    def _leave(self, place: int, queue: _Queue) -> None:
        with self._mutex:
            queue.users -= 1
            if not queue.users:
                self._queues.pop(place, None)
