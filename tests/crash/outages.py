"""Rounds in which a server of the cluster below the gateway dies and comes back; the gateway lives on.

Workers keep what they have: whatever they do, nothing that was acknowledged may be missing, and the load goes on.
A master forgets its last moments: those changes are *doubted*, either outcome is permitted, and counted.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.client import Client, Lost
from tests.crash.load import Load
from tests.crash.rounds import CLIENTS, LONGEST, SHORTEST, Rounds
from tests.crash.verify import verify

PATIENCE = 90.0
"""Seconds until a change must succeed again."""
FORGETS = 0.15
"""Seconds before its death of which a master may have forgotten what it acknowledged (docs/durability.md)."""


@dataclass(kw_only=True)
class Outages(Rounds):
    """``die`` and ``revive`` one server of the cluster."""

    die: Callable[[], None]
    revive: Callable[[], None]
    down: float = 1.0
    """Seconds between the two."""
    recoveries: list[float] = field(default_factory=list)
    """Seconds from each revival to the next change that was acknowledged."""

    def recover(self) -> None:
        """The second half: back after ``down`` seconds, and changed again."""
        threading.Event().wait(self.down)
        self.revive()
        began = time.monotonic()
        version = self.ledger.version("recovered", 100)
        while True:
            client = Client(self.gateway)
            write = self.ledger.begin(version.key, version)
            try:
                done = client.put(self.bucket, version.key, version.body, version.headers).done
            except Lost:
                done = False
            finally:
                client.close()
            self.ledger.end(version.key, write, done=done or None)
            if done:
                break
            assert time.monotonic() < began + PATIENCE, f"no change succeeds any more:\n{self.gateway.log[-4000:]}"
        self.recoveries.append(time.monotonic() - began)


@dataclass(kw_only=True)
class WorkerDeaths(Outages):
    """The load goes on all the time; what fails of it is counted."""

    def round(self) -> None:
        chance = random.Random(f"{self.seed} {self.kills}")
        self.ledger.phase = f"load {self.kills}"
        load = Load(self.gateway, self.bucket, self.ledger, self.uploads)
        load.wounded.set()  # a response that has begun breaks off where its only worker stays away
        load.start(CLIENTS, chance.randrange(1 << 30))
        never = threading.Event()
        never.wait(chance.uniform(SHORTEST, LONGEST))
        self.die()
        self.recover()
        never.wait(chance.uniform(SHORTEST, LONGEST))
        load.ending.set()
        load.join()
        self.ledger.killed()
        self.kills += 1
        self.servers = max(self.servers, len(load.servers))
        self.ledger.phase = f"after death {self.kills}"
        verify(self.gateway, self.bucket, self.ledger, self.uploads)


@dataclass(kw_only=True)
class MasterDeaths(Outages):
    """The load ends with the master's death, so that every change that it forgot can be told."""

    forgets: float = FORGETS
    idle: float = 0.0
    """Seconds between the load's end and the death, if the load is to end before: then nothing may be forgotten."""

    def crash(self, load: Load) -> None:
        if self.idle:
            load.ending.set()
            load.join()
            threading.Event().wait(self.idle)
            self.die()
            self.recover()
            return
        load.wounded.set()
        died = time.monotonic()
        self.die()
        load.ending.set()
        load.join()
        self.ledger.doubt(died - self.forgets, time.monotonic())
        self.recover()
        self.uploads.clear()  # which of their parts are remembered, nobody can tell

    def restart(self) -> None:
        pass
