"""``scrub``: read all objects again, compare them with their digests, and report what does not fit.

Rules
- Nothing is changed but the file that keeps the position (``scrub_state``); gateways may serve the store meanwhile.
- Objects are taken in the order of listings, and READERS of them are read at a time; at most AHEAD are begun before
  the first of them is dealt with, so memory is bounded and the position is a key.
- The report is on standard output; progress, and each finding when it is made, on standard error.
- A store that does not answer as a whole ends the run, which can be gone on with; whatever concerns one object, or one
  directory, is a finding.

What is compared, and what is a finding: ``store.examine``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from curvinefs.api import FileStatus, FsError, NotADirectory, NotFound
from s3proto.errors import NoSuchBucket
from s3server.config import ConfigError, ServerConfig
from s3server.filesystems import open_store
from s3server.scrub_report import DRAW_SECONDS, Progress, behind, counted, report, say, shown
from s3server.scrub_state import PAST, Busy, Position, Run, alone
from s3server.store import ObjectStore
from s3server.store.examine import Examiner, Outcome, Verdict
from s3server.store.listing import Walker

READERS = 4
AHEAD = 1000
SAVE_SECONDS = 10.0


class Stopped(Exception):
    """A reader was told to stop."""


def run(config: ServerConfig, bucket: str | None, rate: int | None, restart: bool) -> int:
    """Scrub; return the exit code.  ``rate``: MiB a second, None: as fast as it goes.  Raises ConfigError."""
    for warning in config.warnings:
        say(warning)
    if config.store.startswith("file:") and not config.store_path.exists():
        say(f"{config.store}: there is no such directory")
        return 1
    try:
        with alone(config):
            store = open_store(config)
            try:
                return _Scrub(config, store, bucket, rate, restart).run()
            finally:
                store.close()
    except Busy:
        say(f"{config.store}: another scrub of it is running on this machine")
    except FsError as error:
        say(f"{config.store}: {error}")
    return 1


class _Target(NamedTuple):
    bucket: str
    key: str
    status: Callable[[], FileStatus] | None
    """NotFound, NotADirectory when it went meanwhile."""
    error: FsError | None = None
    """Why the keys from here on could not be listed."""


class _Scrub:
    def __init__(
        self, config: ServerConfig, store: ObjectStore, bucket: str | None, rate: int | None, restart: bool
    ) -> None:
        """Raises ConfigError when there is no such bucket, FsError when the store does not answer."""
        if bucket is not None:
            try:
                store.buckets.find(bucket)
            except NoSuchBucket:
                raise ConfigError(f"--bucket: there is no bucket {bucket!r} in {config.store}") from None
        self._name = f"{config.store}{f', bucket {bucket}' if bucket else ''}"
        self._store = store
        self._bucket = bucket
        self._pace = Pace(rate)
        self._examiner = Examiner(store, self._pace.take)
        self._position = Position(config, bucket)
        self._done = self._begin(restart)
        self._before = self._done.seconds
        self._began = time.monotonic()
        self._saved = self._began
        self._progress = Progress(sys.stderr, self._done)

    def _begin(self, restart: bool) -> Run:
        known = None if restart else self._position.load()
        if known is None:
            return Run()
        say(f"going on{behind(known)} ({counted(known)}); --restart begins anew")
        return known

    def run(self) -> int:
        ahead = threading.Thread(target=self._count, args=self._done.at, name="ahead")
        try:
            try:
                self._save()
            except OSError as error:
                say(f"{self._position.path}: {error.strerror}: this run cannot be gone on with when it is stopped")
            if self._progress.drawn:  # else nobody looks
                ahead.start()
            self._read_all()
        except (KeyboardInterrupt, FsError) as error:
            self._progress.clear()
            stopped = isinstance(error, KeyboardInterrupt)
            why = "stopped" if stopped else f"the store does not answer ({error}), stopped"
            say(f"{why}{behind(self._done)} ({counted(self._done)}): the same command goes on there")
            return 130 if stopped else 1
        finally:
            self._pace.stop.set()
            if ahead.ident:
                ahead.join()
            self._try_to_save()
        self._position.remove()
        self._progress.clear()
        report(sys.stdout, self._name, self._done)
        return 1 if self._done.found else 0

    def _read_all(self) -> None:
        """Raises FsError when the store does not answer."""
        pending: deque[tuple[_Target, Future[Verdict]]] = deque()
        with ThreadPoolExecutor(READERS, "scrub") as readers:
            try:
                for target in self._targets(*self._done.at):
                    pending.append((target, readers.submit(self._examine, target)))
                    while pending and (len(pending) >= AHEAD or pending[0][1].done()):
                        self._take(*pending.popleft())
                while pending:
                    self._take(*pending.popleft())
            except BaseException:
                self._pace.stop.set()
                readers.shutdown(wait=False, cancel_futures=True)
                raise

    def _targets(self, bucket: str, key: str) -> Iterator[_Target]:
        """All objects behind a position.  Raises FsError when the buckets cannot be listed."""
        for name in [self._bucket] if self._bucket else (found.info.name for found in self._store.buckets.all()):
            if name < bucket:
                continue
            last = key if name == bucket else ""
            try:
                walker = Walker(self._store.fs, name)
                for found in walker.walk(after=last):
                    last = found.key
                    yield _Target(name, last, partial(walker.status, found))
            except FsError as error:
                yield _Target(name, last, None, error)

    def _examine(self, target: _Target) -> Verdict:
        if target.error is None:
            return self._examiner.examine(target.bucket, target.key)
        what = f"a listing (what comes behind {shown(target.bucket, target.key)} was not read)"
        return Verdict(Outcome.UNREAD, 0, (self._examiner.unreadable(target.error, target.bucket, "", what),))

    def _count(self, bucket: str, key: str) -> None:
        """Count what there is to read behind a position, for the estimate of what is left."""
        objects = size = 0
        with suppress(FsError):
            for target in self._targets(bucket, key):
                if self._pace.stop.is_set() or target.status is None:
                    return
                with suppress(NotFound, NotADirectory):
                    size += target.status().len
                    objects += 1
            self._progress.rest = objects, size

    def _take(self, target: _Target, future: Future[Verdict]) -> None:
        """Wait for a verdict, and add it up."""
        while not future.done():
            wait((future,), DRAW_SECONDS)
            self._tick()
        verdict = future.result()
        if target.error is None:
            self._done.add((target.bucket, target.key), verdict)
        else:
            self._done.add_findings((target.bucket, PAST), verdict.findings)
        for finding in verdict.findings:
            self._progress.clear()
            say(f"{finding.kind}: {shown(finding.bucket, finding.key)}: {finding.found}")
        self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        self._progress.show(now, self._pace.size)
        if now >= self._saved + SAVE_SECONDS:
            self._saved = now
            self._try_to_save()

    def _try_to_save(self) -> None:
        with suppress(OSError):  # said when it began
            self._save()

    def _save(self) -> None:
        self._done.seconds = self._before + time.monotonic() - self._began
        self._position.save(self._done)


class Pace:
    """Counts what is read, holds readers back to ``rate`` MiB a second, and lets them stop."""

    def __init__(self, rate: int | None) -> None:
        self.stop = threading.Event()
        self.size = 0
        """Bytes read by now."""
        self._seconds_per_byte = 1 / (rate * 2**20) if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Wait until ``size`` bytes may be read.  Raises Stopped."""
        with self._lock:
            self.size += size
            now = time.monotonic()
            start = max(self._next, now)
            self._next = start + size * self._seconds_per_byte
        if self.stop.wait(start - now) if start > now else self.stop.is_set():
            raise Stopped
