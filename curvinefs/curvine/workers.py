"""What a client knows of workers: how to reach them, which of them failed lately, which of them are on this machine.

Block files of a near worker are opened directly ("short circuit").  The worker grants that to anybody and all hosts are
called localhost by default, so a path that it names counts only when the file is there; else the worker is
taken for distant for a while.
"""

from __future__ import annotations

import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterable

from curvinefs.api import Unavailable
from curvinefs.curvine.kept import KeptFiles
from curvinefs.curvine.options import Options, component_of
from curvinefs.curvine.pool import Address, Pool
from curvinefs.proto import curvine_pb2 as pb

_DISTANT_S = 60.0
_KNOWN_S = 10.0


class Workers:
    def __init__(self, options: Options, pool: Pool, info: Callable[[], pb.GetFilesystemInfoResponse]) -> None:
        self.options = options
        self.pool = pool
        self.component = component_of(options)
        self.kept = KeptFiles(options.replay_directory)
        self._info = info
        self._failed: dict[int, float] = {}
        self._distant: dict[int, float] = {}
        self._known: dict[int, pb.WorkerAddressProto] = {}
        self._known_until = 0.0
        self.reset()

    def reset(self) -> None:
        """In a forked child: another thread may have held it."""
        self._mutex = threading.Lock()
        self.kept.reset()

    def failed(self, worker_id: int) -> None:
        """Do not ask this one for new blocks for a while, and for others only when nobody else has them."""
        self._failed[worker_id] = time.monotonic() + self.options.avoid_worker_s

    def avoided(self) -> list[int]:
        now = time.monotonic()
        return sorted(worker for worker, until in self._failed.copy().items() if until > now)

    def rank(self, location: pb.WorkerAddressProto) -> tuple[bool, bool, float]:
        """For choosing where to read: the least is best."""
        failed = self._failed.get(location.worker_id, 0.0) > time.monotonic()
        return failed, location.hostname != self.options.hostname, random.random()

    def forgive(self) -> None:
        """There is nobody else."""
        self._failed.clear()

    def is_near(self, location: pb.WorkerAddressProto) -> bool:
        return (
            self.options.short_circuit
            and location.hostname == self.options.hostname
            and self._distant.get(location.worker_id, 0.0) < time.monotonic()
        )

    def open_near(self, location: pb.WorkerAddressProto, path: str, flags: int, size: int) -> int | None:
        """Open a block file of at least ``size`` bytes; None (and the worker counts as distant) where that fails."""
        try:
            fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, ValueError):
            self._distant[location.worker_id] = time.monotonic() + _DISTANT_S
            return None
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size >= size:
            return fd
        os.close(fd)
        return None

    def by_id(self, worker_ids: Iterable[int]) -> list[pb.WorkerAddressProto]:
        """Where workers are now; those nobody knows are left out.  Raises FsError."""
        wanted = list(worker_ids)
        with self._mutex:
            if self._known_until < time.monotonic() or not all(worker in self._known for worker in wanted):
                info = self._info()
                listed = (*info.live_workers, *info.blacklist_workers, *info.lost_workers)
                self._known = {worker.address.worker_id: worker.address for worker in listed}
                self._known_until = time.monotonic() + _KNOWN_S
            found = [self._known[worker] for worker in wanted if worker in self._known]
        if not found:
            raise Unavailable(f"none of the workers {wanted} is known")
        return found

    def are_full(self, block_size: int) -> bool:
        """Whether every worker that is there lacks room for a block; one that is starting has told of none yet."""
        present = [worker for worker in self._info().live_workers if worker.capacity]
        return bool(present) and all(worker.available <= block_size for worker in present)


def address_of(location: pb.WorkerAddressProto) -> Address:
    return Address(location.ip_addr or location.hostname, location.rpc_port)
