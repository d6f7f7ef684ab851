"""A worker process: one loop over the shared listening socket, another one over the admin listener, and housekeeping.

The main thread waits for signals, and between them looks after what is due: early heads, the access log, the sweep.
Signals are blocked in all threads and taken by ``sigtimedwait``, so no system call is ever interrupted.

    SIGTERM           answer /healthz with 503 for drain_delay_secs, then as SIGINT
    SIGINT            stop accepting, finish what is in flight, end
    SIGHUP            reopen the log, read credentials and certificate again

Rules: never forks; ends when its supervisor has gone.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from curvinefs.api import FsError
from s3server import access_log, log
from s3server.assembly import Assembly
from s3server.balance import Balance
from s3server.config import ServerConfig
from s3server.credentials_place import CredentialError
from s3server.listener import Listener
from s3server.loop import Limits, Loop

if TYPE_CHECKING:
    from s3server.metrics import Metrics

LOGGER = logging.getLogger("curvine_s3_gateway.server")
TICK = 0.5
"""Seconds between two rounds of housekeeping."""
MAINTAIN = 300.0
"""Seconds between two sweeps of the store, by the first worker."""
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
LAST_CALL = 0.25
"""Seconds: longer than a packet travels, so that nobody who is on the way here finds the door shut in his face."""
SWITCH = 0.001
"""Seconds that a thread may hold the GIL while others want it: the loop should not wait Python's usual 5 ms."""
ADMIN_CONNECTIONS, ADMIN_THREADS = 64, 4


class Admin(NamedTuple):
    """The admin listener, and what all workers share behind it."""

    listener: Listener
    balance: Balance
    metrics: Metrics


def run(
    config: ServerConfig,
    listener: Listener,
    balance: Balance,
    index: int,
    ready: Callable[[], None],
    admin: Admin | None = None,
) -> int:
    """Serve until told to end; answers the exit code.  ``ready`` is called when connections are accepted.

    Expects SIGNALS to be blocked.
    """
    supervisor = os.getppid()
    sys.setswitchinterval(SWITCH)
    access_log.write_to(sys.stderr)
    try:
        assembly = Assembly(config, partial(admin.metrics.count, index) if admin else None)
    except (FsError, CredentialError, OSError) as error:
        LOGGER.error("cannot start: %s", error)
        return 1
    worker = _Worker(config, assembly, listener, balance, index, admin)
    gc.collect()
    gc.freeze()  # modules and settings stay for ever: looking through them again and again is 20 ms for nobody
    worker.start()
    ready()
    if worker.keep_house(supervisor) == signal.SIGTERM:
        worker.announce()
    worker.drain()
    assembly.close()
    return 0


class _Worker:
    def __init__(
        self,
        config: ServerConfig,
        assembly: Assembly,
        listener: Listener,
        balance: Balance,
        index: int,
        admin: Admin | None,
    ) -> None:
        self._config = config
        self._assembly = assembly
        self._index = index
        self._admin = admin
        self._listeners = [listener]
        limits = Limits(
            head_timeout=config.head_timeout_secs,
            idle_timeout=config.idle_timeout_secs,
            request_timeout=config.request_timeout_secs,
            max_connections=config.max_connections,
            threads=config.threads,
            last_call=LAST_CALL,
        )
        self._services = [assembly.service]
        self._loop = Loop(assembly.service, limits, listener, balance, index)
        self._loops = [self._loop]
        if admin:
            from s3server import web  # late, as in the supervisor: it loads what few need

            service = assembly.admin_service(web.server(admin.metrics))
            few = replace(limits, max_connections=ADMIN_CONNECTIONS, threads=ADMIN_THREADS)
            self._services.append(service)
            self._listeners.append(admin.listener)
            self._loops.append(Loop(service, few, admin.listener, admin.balance, index))

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    def keep_house(self, supervisor: int) -> int:
        """Look after things until it is time to end; answers the signal that said so, 0 when nobody is left to."""
        sweep_at = time.monotonic() + MAINTAIN / 10  # soon after the start: a crash may have left things behind
        sweeping: threading.Thread | None = None
        while os.getppid() == supervisor:
            got = signal.sigtimedwait(SIGNALS, TICK)
            now = time.monotonic()
            self._tick(now)
            if got is not None and got.si_signo == signal.SIGHUP:
                self._read_again()
            elif got is not None:
                return got.si_signo
            if self._index == 0 and now >= sweep_at and (sweeping is None or not sweeping.is_alive()):
                sweep_at = now + MAINTAIN
                sweeping = threading.Thread(target=self._sweep, name="sweep", daemon=True)
                sweeping.start()
        LOGGER.error("the supervisor has gone: ending")
        return 0

    def _tick(self, now: float) -> None:
        service = self._assembly.service
        service.ticker.tick(now)
        service.access_log.flush()
        if self._admin:
            values = {"connections": self._loop.connection_count, "buffered_bytes": self._assembly.budget.used}
            self._admin.metrics.say(self._index, values)

    def _read_again(self) -> None:
        log.rotated(self._config.log_file)
        self._assembly.credentials.refresh()
        for listener in self._listeners:
            listener.reload_tls()
        LOGGER.info("reloaded: log, credentials, certificate")

    def _sweep(self) -> None:
        try:
            self._assembly.sweeper.maintain()
        except FsError as error:
            LOGGER.warning("sweeping the store failed, it will be tried again: %s", error)

    def announce(self) -> None:
        """Serve on for drain_delay_secs, but say on /healthz that it will end; SIGINT cuts that short."""
        for service in self._services:
            service.draining = True
        until = time.monotonic() + self._config.drain_delay_secs
        while (now := time.monotonic()) < until:
            self._tick(now)
            got = signal.sigtimedwait(SIGNALS, min(TICK, until - now))
            if got is not None and got.si_signo == signal.SIGINT:
                return

    def drain(self) -> None:
        """Let requests in flight finish, for shutdown_timeout_secs at most."""
        for loop in self._loops:
            loop.end()
        until = time.monotonic() + self._config.shutdown_timeout_secs
        while not self._loop.idle.wait(min(TICK, max(0.0, until - time.monotonic()))):
            now = time.monotonic()
            self._tick(now)
            if now >= until:
                LOGGER.warning("ending with %d connections still busy", self._loop.connection_count)
                break
        self._tick(time.monotonic())
