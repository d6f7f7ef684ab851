"""Where a body waits between its arrival and its publication: in memory, or with the store.

A body of a declared size goes to one of the two at once: memory up to ``threshold`` bytes, else a sink that the store
opens where the object will lie, so publishing copies nothing.  A body of unknown size starts in memory and moves
once.  All bodies of a process share one ``MemoryBudget``; a body that cannot have its memory goes to a sink.

Rules: memory is taken as bytes arrive, never because a client announced them.  Whoever makes a Spool closes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

STEP = 64 * 1024
"""Bytes that a spool takes from the budget at a time: one lock per step, not per piece."""


class Sink(Protocol):
    """A body on its way into the store (``ObjectStore.begin_body``)."""

    @property
    def size(self) -> int: ...

    def write(self, data: memoryview | bytes) -> None:
        """Append; the buffer may be reused at once.  Raises S3Errors (StorageFull, ...)."""

    def close(self) -> None:
        """Throw away what was never published.  May be called twice."""


class MemoryBudget:
    """Bytes that all buffered bodies of this process may hold together.  Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        return self._used

    def take(self, count: int) -> bool:
        """Reserve ``count`` bytes; False when there are not so many left."""
        with self._lock:
            if self._used + count > self.limit:
                return False
            self._used += count
            return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self._used -= count


class Spool:
    """One received body; the ``content`` of PutObject and UploadPart."""

    __slots__ = ("_begin_sink", "_budget", "_threshold", "_taken", "_buffer", "sink", "blake3")

    def __init__(
        self, begin_sink: Callable[[], Sink], budget: MemoryBudget, threshold: int, declared: int | None
    ) -> None:
        """``declared``: decoded size in bytes where known.  ``begin_sink`` is called at most once, and may raise."""
        self._begin_sink = begin_sink
        self._budget = budget
        self._threshold = threshold
        self._taken = 0
        self._buffer: bytearray | None = bytearray()
        self.sink: Sink | None = None
        """The store's sink, or None while the body is in memory."""
        self.blake3 = b""
        """Digest of the whole body; set by the receiver when it has arrived."""
        if declared is not None and declared > threshold:
            self._move()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        if self._buffer is not None:
            return len(self._buffer)
        return self.sink.size if self.sink is not None else 0

    @property
    def memory(self) -> Sequence[bytes | bytearray | memoryview] | None:
        """The body's pieces when it is in memory; valid until close."""
        return None if self._buffer is None else (self._buffer,)

    def write(self, data: memoryview) -> None:
        """Append a copy of ``data``.  Raises what the sink raises."""
        buffer = self._buffer
        if buffer is not None:
            size = len(buffer) + len(data)
            if size <= self._threshold and (size <= self._taken or self._take(size)):
                buffer += data
                return
            self._move()
        assert self.sink is not None
        self.sink.write(data)

    def close(self) -> None:
        """Give memory back, throw an unpublished sink away.  May be called twice."""
        self._release()
        self._buffer = None
        if self.sink is not None:
            self.sink.close()

    def _take(self, size: int) -> bool:
        step = max(STEP, size - self._taken)
        if not self._budget.take(step):
            return False
        self._taken += step
        return True

    def _release(self) -> None:
        self._budget.give_back(self._taken)
        self._taken = 0

    def _move(self) -> None:
        """Go over to a sink, with what has come so far."""
        self.sink = self._begin_sink()
        if self._buffer:
            self.sink.write(memoryview(self._buffer))
        self._buffer = None
        self._release()
