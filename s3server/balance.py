"""Spreads connections over the workers that share a listening socket.

Each worker keeps the number of its connections in shared memory.  One that has more than another leaves a waiting
connection to it for ``PATIENCE``, and takes it then if nobody has: a busy worker never keeps a client waiting.

Rules: made before the fork; a worker writes its own slot only, the supervisor clears the slot of a dead one.
"""

from __future__ import annotations

import mmap
import struct

PATIENCE = 0.0015
"""Seconds that a waiting connection is left to workers with fewer."""

_SLOT = struct.Struct("<q")
_ABSENT = 1 << 62


class Balance:
    """Connections per worker, in memory shared by all of them."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._memory = mmap.mmap(-1, max(1, workers) * _SLOT.size)
        for index in range(workers):
            self.clear(index)

    def set(self, index: int, connections: int) -> None:
        """Say how many connections worker ``index`` has (aligned 8 bytes: no reader sees a half-written number)."""
        _SLOT.pack_into(self._memory, index * _SLOT.size, connections)

    def clear(self, index: int) -> None:
        """Worker ``index`` does not accept connections (now)."""
        self.set(index, _ABSENT)

    def has_more(self, index: int) -> bool:
        """Whether another worker has fewer connections than worker ``index``."""
        own: int = _SLOT.unpack_from(self._memory, index * _SLOT.size)[0]
        return any(
            _SLOT.unpack_from(self._memory, other * _SLOT.size)[0] < own
            for other in range(self._workers)
            if other != index
        )
