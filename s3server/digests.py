"""Digests of bodies: the named ones of s3proto (``md5 sha256 sha1 crc32 crc32c crc64nvme``) and our own ``blake3``.

Small bodies are hashed where they are received (``Digests``).  Large ones are hashed in lanes: a lane is an ordered
queue of pieces that one thread at a time works off, the slow digest in one lane and the quick ones in another, while
the next buffer is being received and written.  hashlib, zlib, blake3 and awscrt let go of the GIL for pieces of more
than a few KiB, so lanes run on several cores (tools/bench_stream.py shows what each digest costs).

Rules: pieces belong to the caller until ``done`` is called; digest threads never wait for anything but work.
Follows "Checking object integrity" (Amazon S3 User Guide); CRCs are big-endian as in x-amz-checksum-*.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Protocol

import blake3
from awscrt import checksums  # type: ignore[import-untyped]


class Consumer(Protocol):
    def update(self, data: memoryview, /) -> object: ...


class Hasher(Consumer, Protocol):
    def digest(self) -> bytes: ...


class _Crc:
    """A CRC function ``(data, previous) -> int`` in the shape of a hashlib object."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[memoryview, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_MAKERS: dict[str, Callable[[], Hasher]] = {
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(checksums.crc32c, 4),
    "crc64nvme": lambda: _Crc(checksums.crc64nvme, 8),
    "blake3": blake3.blake3,
}

_COST = {"md5": 164, "sha1": 68, "sha256": 70, "crc32": 38, "blake3": 20, "crc32c": 2, "crc64nvme": 2}
"""CPU seconds per 100 GiB, roughly: only used to spread digests over lanes."""


def hasher(name: str) -> Hasher:
    """A fresh digest object.  KeyError for a name that is not in the module's list."""
    return _MAKERS[name]()


class Digests:
    """Several digests of one stream, computed by the caller's thread."""

    __slots__ = ("_hashers",)

    def __init__(self, names: Iterable[str]) -> None:
        self._hashers = {name: hasher(name) for name in names}

    def update(self, data: memoryview) -> None:
        for each in self._hashers.values():
            each.update(data)

    def values(self) -> dict[str, bytes]:
        """Raw digest values by name."""
        return {name: each.digest() for name, each in self._hashers.items()}


class _Lane:
    """Some digests, fed in order by whichever pool thread is working the queue off."""

    def __init__(self, hashers: Sequence[Consumer], executor: Executor) -> None:
        self._hashers = hashers
        self._executor = executor
        self._queue: deque[tuple[Sequence[memoryview], Callable[[], None]]] = deque()
        self._lock = threading.Lock()
        self._working = False

    def put(self, pieces: Sequence[memoryview], done: Callable[[], None]) -> None:
        with self._lock:
            self._queue.append((pieces, done))
            if self._working:
                return
            self._working = True
        self._executor.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._working = False
                    return
                pieces, done = self._queue.popleft()
            for each in self._hashers:
                for piece in pieces:
                    each.update(piece)
            done()


class LaneDigests:
    """Several digests of one stream, computed by the executor's threads while the caller goes on.

    Continues a ``Digests`` that has hashed the stream so far.  ``beside`` gets the stream, too: a consumer that may
    wait, and must not raise, and the executor whose threads may wait with it.
    """

    def __init__(
        self,
        begun: Digests,
        executor: Executor,
        lanes: int = 2,
        beside: tuple[Consumer, Executor] | None = None,
    ) -> None:
        self._all = begun._hashers
        groups: list[list[str]] = [[] for _ in range(max(1, min(lanes, len(self._all))))]
        for name in sorted(self._all, key=lambda n: -_COST[n]):
            min(groups, key=lambda group: sum(_COST[n] for n in group)).append(name)
        self._lanes = [_Lane([self._all[n] for n in group], executor) for group in groups]
        if beside is not None:
            consumer, waiting = beside
            self._lanes.append(_Lane([consumer], waiting))
        self._pending = 0
        self._changed = threading.Condition()

    def put(self, pieces: Sequence[memoryview], done: Callable[[], None]) -> None:
        """Hash ``pieces`` next.  They must stay as they are until ``done`` is called, once, by another thread."""
        with self._changed:
            self._pending += 1
        left = len(self._lanes)

        def lane_done() -> None:
            nonlocal left
            with self._changed:
                left -= 1
                if left:
                    return
                self._pending -= 1
                self._changed.notify_all()
            done()

        for lane in self._lanes:
            lane.put(pieces, lane_done)

    def wait(self) -> None:
        """Return when everything put is hashed and consumed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending == 0)

    def values(self) -> dict[str, bytes]:
        """Wait, and answer the raw digest values by name."""
        self.wait()
        return {name: each.digest() for name, each in self._all.items()}
