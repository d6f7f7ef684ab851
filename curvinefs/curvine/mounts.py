"""Mounts of other storage in the cluster's tree: where not to look, and not to write.

Of a mount in cache mode the other storage is the truth, and each client asks it by itself; the master knows no more
than what was cached of it.  So a listing would lack names, and what we wrote nobody else would see.  We speak Curvine
only: a path below such a mount is refused, whatever the master says of it.  In fs mode the master knows all, and tells
the other storage itself: such a mount is like any directory.

Rule: the table is asked for anew when it is older than ``fresh_s``, as Curvine's own clients do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from curvinefs.api import NotServed
from curvinefs.proto import curvine_pb2 as pb


class Mounts:
    """Any number of threads; each may find out for itself that the table is old."""

    def __init__(self, fetch: Callable[[], Iterable[pb.MountInfoProto]], fresh_s: float) -> None:
        """``fetch`` asks the master; what it raises goes through."""
        self._fetch = fetch
        self._fresh_s = fresh_s
        self._due = -math.inf
        self._closed: tuple[str, ...] = ()

    def closed(self) -> tuple[str, ...]:
        """Mount points that we stay out of."""
        if time.monotonic() >= self._due:
            self._closed = tuple(sorted(mount.cv_path for mount in self._fetch() if not mount.write_type))
            self._due = time.monotonic() + self._fresh_s
        return self._closed

    def check(self, path: str) -> None:
        """Raises NotServed."""
        for mount in self.closed():
            if path == mount or path.startswith(f"{mount.rstrip('/')}/"):
                raise NotServed(f"{path}: lies in {mount}, a mount of other storage")
