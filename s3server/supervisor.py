"""The first process: binds the socket, forks the workers, and keeps them running.

    bind ─► fork × workers ─► wait for signals and for dead workers
      SIGTERM           /healthz answers 503 for drain_delay_secs, then as SIGINT
      SIGINT            workers drain; the socket closes; exit 0.  A second signal kills what is left.
      SIGHUP            log, credentials and certificate are read again by everybody

Rules: one thread, no store, no request: there is nothing here that could hang or leak, and forking stays safe.  Only
its own children are ever signalled.  A worker that dies is started again, later and later when it dies young.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s3server import log, startup, worker
from s3server.balance import Balance
from s3server.config import Address, ServerConfig
from s3server.listener import Listener, ListenError

LOGGER = logging.getLogger("curvine_s3_gateway.server")
SIGNALS = worker.SIGNALS | {signal.SIGCHLD}
YOUNG = 10.0
"""Seconds: a worker that dies sooner is not started again at once."""
LONGEST_WAIT = 30.0
"""Seconds before a worker that keeps dying is tried again."""
GRACE = 5.0
"""Seconds beyond shutdown_timeout_secs before workers are killed."""


@dataclass
class _Slot:
    """One worker's place."""

    pid: int = 0
    started: float = 0.0
    deaths: int = 0
    """Young deaths in a row."""
    again_at: float = 0.0


def run(config: ServerConfig, ready_file: Path | None = None) -> int:
    """Serve until told to end; answers the exit code.

    ``ready_file``: gets the address, as ``host:port``, once all workers accept connections; removed at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    opened: list[Listener] = []
    try:
        listener = Listener(config.listen, config.tls_cert, config.tls_key)
        opened.append(listener)
        admin = _open_admin(config)
        opened += [admin.listener] if admin else []
    except ListenError as error:
        for each in opened:
            each.server_close()
        print(error, file=sys.stderr, flush=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return 1
    _raise_descriptor_limit()
    supervisor = _Supervisor(config, listener, admin)
    try:
        if (code := supervisor.start()) is not None:
            supervisor.end()
            return code
        address = listener.address
        url = startup.client_url(address, listener.secure)
        LOGGER.info("ready: %s (%s, %d workers)", url, address, config.workers)
        if admin:
            LOGGER.info("admin: %s", startup.client_url(admin.listener.address, admin.listener.secure))
        if ready_file is not None:
            _publish(ready_file, address)
        supervisor.watch()
        return 0
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        for each in opened:
            each.server_close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _open_admin(config: ServerConfig) -> worker.Admin | None:
    """Raises ListenError."""
    if config.web_listen is None:
        return None
    from s3server.metrics import Metrics

    listener = Listener(config.web_listen, config.tls_cert, config.tls_key, "--web-listen")
    return worker.Admin(listener, Balance(config.workers), Metrics(config.workers))


def _raise_descriptor_limit() -> None:
    """As many descriptors as we may have: the usual soft limit of 1024 is less than max_connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _publish(path: Path, address: Address) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(f"{address}\n", "utf-8")
    temporary.replace(path)


class _Supervisor:
    def __init__(self, config: ServerConfig, listener: Listener, admin: worker.Admin | None) -> None:
        self._config = config
        self._listener = listener
        self._admin = admin
        self._balance = Balance(config.workers)
        self._slots = [_Slot() for _ in range(config.workers)]
        self._ready_read, self._ready_write = os.pipe()
        os.set_blocking(self._ready_read, False)

    # ---------------------------------------------------------------------------------------------- start

    def start(self) -> int | None:
        """Start all workers; answers an exit code when one of them could not, or when told to end meanwhile."""
        for index in range(len(self._slots)):
            self._fork(index)
        if not all(slot.pid for slot in self._slots):
            return 1
        ready = 0
        while ready < len(self._slots):
            got = signal.sigtimedwait(SIGNALS, 0.02)
            if got is not None and got.si_signo == signal.SIGCHLD:
                if self._reap():
                    return 1
            elif got is not None and got.si_signo == signal.SIGHUP:
                self._read_again()
            ready += self._count_ready()
            if got is not None and got.si_signo in (signal.SIGTERM, signal.SIGINT):
                self.end(self._delay(got.si_signo) if ready else 0.0)  # who is ready may have clients already
                return 0
        return None

    def _delay(self, number: int) -> float:
        """How long workers serve on after this signal."""
        return self._config.drain_delay_secs if number == signal.SIGTERM else 0.0

    def _count_ready(self) -> int:
        try:
            return len(os.read(self._ready_read, 4096))
        except BlockingIOError:
            return 0

    def _fork(self, index: int) -> None:
        for stream in sys.stdout, sys.stderr:
            with suppress(OSError):  # whoever read our log has gone: no reason to go, too
                stream.flush()
        slot = self._slots[index]
        slot.started = time.monotonic()
        try:
            slot.pid = os.fork()
        except OSError as error:  # out of processes or memory
            LOGGER.error("worker %d cannot be started: %s", index, error)
            self._plan(index)
            return
        if slot.pid:
            return
        code = 70  # EX_SOFTWARE, unless the worker comes to say otherwise
        try:
            os.close(self._ready_read)
            code = worker.run(self._config, self._listener, self._balance, index, self._tell_ready, self._admin)
        except Exception:  # nothing must return into the supervisor's code in this process
            LOGGER.exception("worker %d failed", index)
        finally:
            logging.shutdown()
            os._exit(code)  # what the supervisor has opened is the supervisor's to close

    def _tell_ready(self) -> None:
        os.write(self._ready_write, b".")

    # ---------------------------------------------------------------------------------------------- watching

    def watch(self) -> None:
        """Keep the workers running until told to end, and end them."""
        while True:
            got = signal.sigtimedwait(SIGNALS, self._patience())
            if got is not None and got.si_signo == signal.SIGHUP:
                self._read_again()
            elif got is not None and got.si_signo != signal.SIGCHLD:
                self.end(self._delay(got.si_signo))
                return
            for index in self._reap():
                self._plan(index)
            now = time.monotonic()
            for index, slot in enumerate(self._slots):
                if not slot.pid and slot.again_at <= now:
                    self._fork(index)
            self._count_ready()

    def _read_again(self) -> None:
        log.rotated(self._config.log_file)
        self._signal(signal.SIGHUP)

    def _patience(self) -> float:
        """Seconds until something is due."""
        now = time.monotonic()
        waits = [slot.again_at - now for slot in self._slots if not slot.pid]
        return max(0.0, min(waits, default=60.0))

    def _reap(self) -> list[int]:
        """Take note of workers that have ended; answers their indexes."""
        ended: list[int] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if not pid:
                return ended
            for index, slot in enumerate(self._slots):
                if slot.pid == pid:
                    slot.pid = 0
                    self._balance.clear(index)
                    if self._admin:
                        self._admin.balance.clear(index)
                        self._admin.metrics.say(index, {})
                    ended.append(index)
                    LOGGER.info("worker %d (PID %d) ended: %s", index, pid, _how(status))

    def _plan(self, index: int) -> None:
        """Decide when a dead worker is started again."""
        slot, now = self._slots[index], time.monotonic()
        slot.deaths = slot.deaths + 1 if now - slot.started < YOUNG else 0
        wait = min(LONGEST_WAIT, 0.1 * 2**slot.deaths) if slot.deaths else 0.0
        slot.again_at = now + wait
        LOGGER.error("worker %d is down; starting another one in %.1f s", index, wait)

    # ------------------------------------------------------------------------------------------------ ending

    def end(self, delay: float = 0.0) -> None:
        """Drain and end all workers; kill those that do not end in time, or at a second signal.

        ``delay``: seconds in which they serve on, and say that they are going to end.
        """
        shuts_at = time.monotonic() + delay
        until = shuts_at + self._config.shutdown_timeout_secs + GRACE
        self._signal(signal.SIGTERM if delay else signal.SIGINT)
        killed = closed = False
        while any(slot.pid for slot in self._slots):
            if not closed and time.monotonic() >= shuts_at:
                self._listener.leave_newcomers()  # the workers empty the queue (worker.LAST_CALL), and close theirs too
                self._listener.server_close()
                closed = True
            got = signal.sigtimedwait(SIGNALS, 0.2 if closed else min(0.2, max(0.0, shuts_at - time.monotonic())))
            if got is not None and got.si_signo == signal.SIGHUP:
                self._read_again()
            again = got is not None and got.si_signo in (signal.SIGTERM, signal.SIGINT)
            if not killed and (again or time.monotonic() >= until):
                LOGGER.warning("killing workers that have not ended")
                self._signal(signal.SIGKILL)
                killed = True
            self._reap()

    def _signal(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid:
                os.kill(slot.pid, number)  # our child, not yet waited for: its PID cannot be anybody else's


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
