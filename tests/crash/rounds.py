"""Rounds of load, kill (or power cut), restart and verification of one gateway."""

from __future__ import annotations

import random
import subprocess
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.client import Client
from tests.crash.ledger import Ledger
from tests.crash.load import COUNTERS, SEED, Load, Upload
from tests.crash.verify import verify
from tests.gateway import Gateway, unfinished
from tools.powercut import cut_power, mounted

CLIENTS = 8
IMAGE = 2 << 30
"""Bytes; the file is sparse."""
SHORTEST, LONGEST = 0.3, 2.5
"""Seconds of load before a kill."""
TRIES = 5


@dataclass(kw_only=True)
class Rounds:
    """Kills one gateway again and again, and knows what must be in its bucket."""

    gateway: Gateway
    seed: int
    bucket: str = "crash"
    ledger: Ledger = field(default_factory=Ledger)
    uploads: list[Upload] = field(default_factory=list)
    kills: int = 0
    left_over: int = 0
    """Unfinished files found after kills."""
    servers: int = 0
    """Most processes that answered in one round."""

    def prepare(self) -> None:
        """Make the bucket and what the load needs in it."""
        client = Client(self.gateway)
        assert client.request("PUT", self.bucket).done
        for version in (SEED, *(self.ledger.version(key, 200) for key in COUNTERS)):
            write = self.ledger.begin(version.key, self.ledger.known(version))
            assert client.put(self.bucket, version.key, version.body, version.headers).done
            self.ledger.end(version.key, write, done=True)
        client.close()

    def round(self) -> None:
        """Load for a while, kill everything, start again, verify; now and then kill one worker before, repair after."""
        chance = random.Random(f"{self.seed} {self.kills}")
        self.ledger.phase = f"load {self.kills}"
        load = Load(self.gateway, self.bucket, self.ledger, self.uploads)
        load.start(CLIENTS, chance.randrange(1 << 30))
        never = threading.Event()
        never.wait(chance.uniform(SHORTEST, LONGEST))
        if chance.random() < 0.4:
            load.wounded.set()
            self.gateway.kill_worker(chance.randrange(self.gateway.workers))
            self.ledger.count("workers killed alone")
            never.wait(chance.uniform(SHORTEST, LONGEST))
        self.crash(load)
        load.join()
        self.ledger.killed()
        self.ledger.phase = f"after crash {self.kills}"
        self.kills += 1
        self.servers = max(self.servers, len(load.servers))
        self.left_over += len(unfinished(self.gateway.data))
        if chance.random() < 0.5:
            self.repair()
        self.restart()
        verify(self.gateway, self.bucket, self.ledger, self.uploads)

    def crash(self, load: Load) -> None:
        """What happens at the end of each load."""
        load.ending.set()
        self.gateway.kill()

    def restart(self) -> None:
        """What follows it."""
        self.gateway.restart()

    def repair(self) -> None:
        """``check --repair`` removes what killed writers left, but for empty files and directories that are young."""
        checked = self.gateway.check(repair=True)
        if checked.returncode:
            self.ledger.violation(f"check --repair: {checked.stdout}{checked.stderr}")
        full = [path for path in unfinished(self.gateway.data) if path.is_file() and path.stat().st_size]
        if full:
            self.ledger.violation(f"check --repair left something behind: {full}")

    def finish(self) -> None:
        """Delete everything: left-overs must be no obstacle to DeleteBucket, and nothing of it may stay."""
        client = Client(self.gateway)
        keys = [row.key for page in client.pages(self.bucket) for row in page.rows]
        for _ in range(TRIES):  # on a cluster, a killed gateway may have left a lock, for 10 s at most
            answer = client.delete_objects(self.bucket, keys)
            assert answer.done
            errors = [(row.findtext("Key") or "", row.findtext("Code")) for row in answer.xml().iter("Error")]
            if not (keys := [key for key, code in errors if code == "SlowDown"]):
                break
        if remaining := client.page(self.bucket, {}).rows:
            self.ledger.violation(f"deleted in one batch, and still there: {remaining}")
        for _ in range(TRIES):
            answer = client.request("DELETE", self.bucket)
            if answer.code != "SlowDown":
                break
        if answer.status != 204:
            kept = sorted(str(path) for path in (self.gateway.data / self.bucket).rglob("*"))
            self.ledger.violation(f"DeleteBucket: {answer.status} {answer.code}; there is still {kept}")
        client.close()
        self.repair()
        if left := unfinished(self.gateway.data):
            self.ledger.violation(f"left-overs after DeleteBucket and repair: {left}")


@dataclass(kw_only=True)
class PowerCuts(Rounds):
    """Before the kill the store's file system is shut down without its journal: what was not flushed is gone."""

    disk: Disk

    def crash(self, load: Load) -> None:
        load.ending.set()
        cut_power(self.disk.where)
        self.gateway.kill()
        self.disk.mount_again()


class Disk:
    """An ext4 image below ``directory``, mounted at ``where``.  Needs root and loop devices: ``powercut.why_not``."""

    def __init__(self, directory: Path) -> None:
        """Raises subprocess.CalledProcessError when it cannot be made or mounted here."""
        self.where = directory / "mounted"
        self._image = directory / "image"
        self._mounted = ExitStack()
        self.where.mkdir()
        with open(self._image, "wb") as image:
            image.truncate(IMAGE)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._image], check=True, capture_output=True)
        self._mounted.enter_context(mounted(self._image, self.where))

    def mount_again(self) -> None:
        self._mounted.close()
        self._mounted.enter_context(mounted(self._image, self.where))

    def close(self) -> None:
        self._mounted.close()
