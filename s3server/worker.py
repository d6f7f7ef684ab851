"""A worker process: one loop over the shared listening socket, and its housekeeping.

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

from curvinefs.api import FsError
from s3server import access_log, log
from s3server.assembly import Assembly
from s3server.balance import Balance
from s3server.config import ServerConfig
from s3server.credentials_place import CredentialError
from s3server.listener import Listener
from s3server.loop import Limits, Loop

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


def run(config: ServerConfig, listener: Listener, balance: Balance, index: int, ready: Callable[[], None]) -> int:
    """Serve until told to end; answers the exit code.  ``ready`` is called when connections are accepted.

    Expects SIGNALS to be blocked.
    """
    supervisor = os.getppid()
    sys.setswitchinterval(SWITCH)
    access_log.write_to(sys.stderr)
    try:
        assembly = Assembly(config)
    except (FsError, CredentialError, OSError) as error:
        LOGGER.error("cannot start: %s", error)
        return 1
    limits = Limits(
        head_timeout=config.head_timeout_secs,
        idle_timeout=config.idle_timeout_secs,
        request_timeout=config.request_timeout_secs,
        max_connections=config.max_connections,
        threads=config.threads,
        last_call=LAST_CALL,
    )
    loop = Loop(assembly.service, limits, listener, balance, index)
    gc.collect()
    gc.freeze()  # modules and settings stay for ever: looking through them again and again is 20 ms for nobody
    loop.start()
    ready()
    if _housekeeping(config, assembly, listener, index, supervisor) == signal.SIGTERM:
        _announce(config, assembly)
    _drain(config, assembly, loop)
    assembly.close()
    return 0


def _housekeeping(config: ServerConfig, assembly: Assembly, listener: Listener, index: int, supervisor: int) -> int:
    """Look after things until it is time to end; answers the signal that said so, 0 when nobody is left to send one."""
    service = assembly.service
    sweep_at = time.monotonic() + MAINTAIN / 10  # soon after the start: a crash may have left things behind
    sweeping: threading.Thread | None = None
    while os.getppid() == supervisor:
        got = signal.sigtimedwait(SIGNALS, TICK)
        now = time.monotonic()
        service.ticker.tick(now)
        service.access_log.flush()
        if got is not None and got.si_signo == signal.SIGHUP:
            log.rotated(config.log_file)
            assembly.credentials.refresh()
            listener.reload_tls()
            LOGGER.info("reloaded: log, credentials, certificate")
        elif got is not None:
            return got.si_signo
        if index == 0 and now >= sweep_at and (sweeping is None or not sweeping.is_alive()):
            sweep_at = now + MAINTAIN
            sweeping = threading.Thread(target=_sweep, args=(assembly,), name="sweep", daemon=True)
            sweeping.start()
    LOGGER.error("the supervisor has gone: ending")
    return 0


def _sweep(assembly: Assembly) -> None:
    try:
        assembly.sweeper.maintain()
    except FsError as error:
        LOGGER.warning("sweeping the store failed, it will be tried again: %s", error)


def _announce(config: ServerConfig, assembly: Assembly) -> None:
    """Serve on for drain_delay_secs, but say on /healthz that it will end; SIGINT cuts that short."""
    service = assembly.service
    service.draining = True
    until = time.monotonic() + config.drain_delay_secs
    while (now := time.monotonic()) < until:
        service.ticker.tick(now)
        service.access_log.flush()
        got = signal.sigtimedwait(SIGNALS, min(TICK, until - now))
        if got is not None and got.si_signo == signal.SIGINT:
            return


def _drain(config: ServerConfig, assembly: Assembly, loop: Loop) -> None:
    """Let requests in flight finish, for shutdown_timeout_secs at most."""
    loop.end()
    until = time.monotonic() + config.shutdown_timeout_secs
    while not loop.idle.wait(min(TICK, max(0.0, until - time.monotonic()))):
        now = time.monotonic()
        assembly.service.ticker.tick(now)
        if now >= until:
            LOGGER.warning("ending with %d connections still busy", loop.connection_count)
            break
    assembly.service.access_log.flush()
