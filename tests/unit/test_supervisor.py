"""Whole processes: workers that die, signals, ready files, ports that are taken.  Clients are plain sockets."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from s3server import process
from tests.server.toy import PATIENCE, get, read_all, read_response

pytestmark = pytest.mark.compat

CHECKOUT = Path(__file__).resolve().parents[2]
SERVE = """
import os, sys
from pathlib import Path
from s3server import config, log, startup, supervisor
settings, _ = config.load(config.SettingsParser("test", "", ""), sys.argv[2:], os.environ)
log.setup(os.environ, settings.log_file)
startup.prepare(settings, os.environ)
sys.exit(supervisor.run(settings, Path(sys.argv[1])))
"""
"""What ``curvine-s3-gateway serve`` does, with a ready file."""


class Running:
    def __init__(self, home: Path, *flags: str) -> None:
        self.home = home
        self.ready = home / "ready"
        command = [sys.executable, "-c", SERVE, str(self.ready), "--credentials-path", str(home / "keys")]
        command += ["--put-temp-dir", str(home / "spool"), "--log-file", str(home / "log"), *flags]
        foreign = ("AWS_", "S3_", "CURVINE_", "RUST_LOG")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        environ |= {"CURVINE_HOME": str(home), "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": ""}
        self.process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_until_ready(self) -> None:
        until = time.monotonic() + 3 * PATIENCE
        while not self.ready.exists():
            assert self.process.poll() is None and time.monotonic() < until, self.log()
            select.select([], [], [], 0.01)

    @property
    def port(self) -> int:
        return int(self.ready.read_text().rpartition(":")[2])

    @property
    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def log(self) -> str:
        log = self.home / "log"
        return log.read_text() if log.exists() else ""

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def ask(self) -> int:
        with self.connect() as sock:
            sock.sendall(get("/healthz"))
            return read_response(sock)[0]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(3 * PATIENCE)


@contextmanager
def running(home: Path, *flags: str) -> Iterator[Running]:
    gateway = Running(home, "--listen", "127.0.0.1:0", "--workers", "2", *flags)
    try:
        gateway.wait_until_ready()
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.signal(signal.SIGTERM)
            try:
                gateway.wait()
            except subprocess.TimeoutExpired:
                gateway.process.kill()
                raise
        gateway.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_drains(tmp_path: Path, number: int) -> None:
    with running(tmp_path) as gateway:
        assert gateway.ask() == 200 and len(gateway.workers) == 2
        assert "ready: http://127.0.0.1:" in gateway.log()
        with gateway.connect() as idle, gateway.connect() as half:
            half.sendall(b"GET /healthz HTTP/1.1\r\n")
            idle.sendall(get("/healthz"))
            read_response(idle)
            gateway.signal(number)
            assert read_all(idle) == b""
            half.sendall(b"Host: a\r\n\r\n")
            # Its worker may have got the signal before or after that; it answers, and then it closes.
            assert read_all(half).endswith((b"shutting down\n", b"ok\n"))
        assert gateway.wait() == 0
        assert not gateway.ready.exists() and "Traceback" not in gateway.log()


def test_connections_are_spread_over_the_workers(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, ExitStack() as clients:
        socks = [clients.enter_context(gateway.connect()) for _ in range(16)]
        for sock in socks:
            sock.sendall(get("/healthz"))
        for sock in socks:
            assert read_response(sock)[0] == 200
        counts = sorted(len(set(_sockets(pid))) for pid in gateway.workers)
        assert counts[1] - counts[0] <= 4


def _sockets(pid: int) -> list[str]:
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return [link for link in links if link.startswith("socket:")]


def test_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        before = gateway.workers
        descriptor = os.pidfd_open(before[0])
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
        until = time.monotonic() + PATIENCE
        while len(set(gateway.workers) - {before[0]}) < 2:
            assert time.monotonic() < until, gateway.log()
            assert gateway.ask() == 200
        assert before[1] in gateway.workers and "SIGKILL" in gateway.log()


def test_nobody_who_reads_the_log_is_missed(tmp_path: Path) -> None:
    with running(tmp_path, "--log-file", "/dev/stderr") as gateway:
        assert gateway.process.stderr
        gateway.process.stderr.close()
        before = set(gateway.workers)
        descriptor = os.pidfd_open(min(before))
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
        until = time.monotonic() + PATIENCE
        while len(set(gateway.workers) - before) < 1:
            assert gateway.process.poll() is None and time.monotonic() < until
            select.select([], [], [], 0.01)
        assert gateway.ask() == 200


def test_hangup_reopens_the_log_and_serving_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, gateway.connect() as sock:
        (tmp_path / "log").rename(tmp_path / "log.1")
        gateway.signal(signal.SIGHUP)
        until = time.monotonic() + PATIENCE
        while gateway.log().count("reloaded") < 2:
            assert time.monotonic() < until, gateway.log()
            sock.sendall(get("/healthz"))
            assert read_response(sock)[0] == 200
        assert len(gateway.workers) == 2


def test_a_hangup_while_it_starts_is_heard(tmp_path: Path) -> None:
    gateway = Running(tmp_path, "--listen", "127.0.0.1:0", "--workers", "2")
    try:
        until = time.monotonic() + PATIENCE
        while not process.listening_ports(gateway.process.pid):
            assert gateway.process.poll() is None and time.monotonic() < until
        gateway.signal(signal.SIGHUP)
        while gateway.log().count("reloaded") < 2:
            assert gateway.process.poll() is None and time.monotonic() < until, gateway.log()
            select.select([], [], [], 0.01)
    finally:
        gateway.signal(signal.SIGTERM)
        gateway.wait()
        gateway.process.communicate()


def test_a_log_that_cannot_be_made_anew_stays(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        log = tmp_path / "log"
        old = log.rename(tmp_path / "log.1")
        log.mkdir()  # stands where the new one should be
        gateway.signal(signal.SIGHUP)
        until = time.monotonic() + PATIENCE
        while old.read_text().count("cannot be made anew") < 3:
            assert time.monotonic() < until, old.read_text()
        assert gateway.ask() == 200


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with running(tmp_path, "--shutdown-timeout-secs", "3600") as gateway, gateway.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert gateway.ask() == 200
        gateway.signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while process.listening_ports(gateway.process.pid):
            assert time.monotonic() < until
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0 and read_all(sock) in (b"", b"<reset>")


def test_draining_is_bounded(tmp_path: Path) -> None:
    with running(tmp_path, "--shutdown-timeout-secs", "1") as gateway, gateway.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert gateway.ask() == 200
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0 and "still busy" in gateway.log()


def test_draining_is_announced(tmp_path: Path) -> None:
    """503 for load balancers, and everything else as ever, until the time is up or somebody says again that it is."""
    with running(tmp_path, "--drain-delay-secs", "3600") as gateway:
        assert gateway.ask() == 200
        gateway.signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while gateway.ask() != 503:
            assert time.monotonic() < until
        with gateway.connect() as sock:
            sock.sendall(get("/"))
            status, headers, _ = read_response(sock)
        assert status == 403 and headers["connection"] == "close"
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0


def test_an_interrupt_waits_for_no_balancer(tmp_path: Path) -> None:
    with running(tmp_path, "--drain-delay-secs", "3600") as gateway:
        gateway.signal(signal.SIGINT)
        assert gateway.wait() == 0


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        gateway = Running(tmp_path, "--listen", f"127.0.0.1:{holder.getsockname()[1]}")
        output, errors = gateway.process.communicate(timeout=3 * PATIENCE)
    assert gateway.process.returncode == 1
    assert f"in use by PID {os.getpid()}" in gateway.log() + errors.decode()


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")
    gateway = Running(tmp_path, "--listen", "127.0.0.1:0", "--workers", "2")
    gateway.process.communicate(timeout=3 * PATIENCE)
    assert gateway.process.returncode == 1 and "cannot start" in gateway.log()
