"""Masters and workers together, started, stopped, killed and restarted."""

from __future__ import annotations

import copy
import math
import threading
import time
from pathlib import Path
from types import TracebackType

from curvinefs.client import CurvineFileSystem
from curvinefs.curvine.options import Options
from tests.sim.master import Master, State
from tests.sim.server import Fault, Rule, Server
from tests.sim.worker import Worker

FAST = Options(
    connect_timeout_s=5.0,
    master_timeout_s=10.0,
    worker_timeout_s=10.0,
    master_patience_s=1.0,
    worker_patience_s=1.0,
    short_circuit=False,
    mounts_fresh_s=math.inf,
)
"""Waits that suit tests; calls can be counted, as the table of mounts is asked for but once."""


class Cluster:
    def __init__(
        self, directory: Path, *, masters: int = 1, workers: int = 1, min_block_size: int = 2**20, capacity: int = 2**40
    ) -> None:
        self._mutex = threading.RLock()
        self.state = State(lambda: time.time_ns() // 1_000_000, min_block_size)
        self.leader: int | None = 0
        """Number of the leading master; None during an election."""
        self.masters = [Master(self.state, self._leads, self._mutex) for _ in range(masters)]
        for number in range(workers):
            self.state.workers[100 + number] = Worker(100 + number, directory / f"w{number}", capacity)
        for server in self._servers():
            server.start()

    @property
    def workers(self) -> list[Worker]:
        return list(self.state.workers.values())

    @property
    def tree(self) -> object:
        return self.state.tree

    def _leads(self, master: Master) -> bool:
        return self.leader is not None and self.masters[self.leader] is master

    def _servers(self) -> list[Server]:
        return [master.server for master in self.masters] + [worker.server for worker in self.workers]

    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", master.server.port) for master in self.masters]

    def client(self, options: Options = FAST) -> CurvineFileSystem:
        return CurvineFileSystem(self.addresses(), options)

    def fault(self, fault: Fault, code: int | None = None, *, worker: int | None = None, **rule: object) -> Rule:
        """Put a fault on worker number ``worker``, else on all masters."""
        made = Rule(fault, code, **rule)  # type: ignore[arg-type]
        for server in [self.workers[worker].server] if worker is not None else [m.server for m in self.masters]:
            server.rules.append(made)
        return made

    # -- deaths

    def keep(self) -> None:
        """What is known now has reached the journal."""
        with self._mutex:
            tree = self.state.tree
            now, tree.now = tree.now, _stopped
            self._kept_tree = copy.deepcopy(tree)
            tree.now = now

    def kill_master(self, number: int = 0, *, forget: bool = False) -> None:
        """``forget``: everything since keep() is lost; inode ids will be given out again."""
        self.masters[number].server.stop()
        with self._mutex:
            self.state.cache.clear()
            if forget:
                now = self.state.tree.now
                self.state.tree = copy.deepcopy(self._kept_tree)
                self.state.tree.now = now
            if self.leader == number:
                self.leader = None

    def start_master(self, number: int = 0) -> None:
        if self.state.tree.poisoned:
            raise RuntimeError("failed to apply journal: Mkdir")
        self.masters[number].server.start()
        self.leader = number

    def elect(self, number: int) -> None:
        with self._mutex:
            self.state.cache.clear()
            self.leader = number

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for server in self._servers():
            server.stop()


def _stopped() -> int:
    return 0
