"""Real load balancers before real gateways: nginx and HAProxy, with any configuration, and a network of one's own.

    front = listening()
    with nginx(directory, configuration, front) as balancer:
        client("s3", endpoint_url=balancer.endpoint, ...)

Rules: a balancer inherits the socket that it listens on, bound to port 0 by us, so that no port is guessed and clients
may connect at once; that socket is the balancer's alone from then on.  It has ended, with all its processes, when its
block is left, and all that it writes lies below the directory it is given.  A program that is not installed skips the
test and says so.

Follows nginx "Upgrading Executable on the Fly" (the variable NGINX hands sockets over) and the HAProxy Configuration
Manual, "bind" (``fd@``) and "stats socket".
"""

from __future__ import annotations

import ctypes
import fcntl
import grp
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

STOP_SECONDS = 10.0
PLACES = os.pathsep.join((os.environ["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"))
"""Debian's users have no sbin in their PATH."""

NGINX_FRAME = """
daemon off;
worker_processes 1;
{user}
pid nginx.pid;
error_log error.log notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{configuration}
}}
"""

HAPROXY_FRAME = """
global
    stats socket fd@{stats}
{configuration}
"""


class Balancer(NamedTuple):
    """A balancer that runs."""

    endpoint: str
    """URL without a path."""
    pid: int
    log: Path
    """What it has to complain of."""


class HAProxy(NamedTuple):
    """HAProxy, with its statistics."""

    endpoint: str
    pid: int
    log: Path
    stats: tuple[str, int]

    def servers(self) -> dict[str, dict[str, str]]:
        """What it thinks of each server, by its name: ``status``, ``check_status``, ``check_code`` and others."""
        with socket.create_connection(self.stats, STOP_SECONDS) as sock:
            sock.sendall(b"show stat\n")
            with sock.makefile("r", encoding="ascii") as file:
                names, *rows = (line.strip().split(",") for line in file if line.strip())
        found = (dict(zip(names, row, strict=False)) for row in rows)
        return {row["svname"]: row for row in found if row["svname"] not in ("FRONTEND", "BACKEND")}


def listening(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A socket for a balancer to inherit."""
    front = socket.socket()
    front.bind((host, port))
    front.listen(512)
    return front


@contextmanager
def nginx(directory: Path, configuration: str, front: socket.socket) -> Iterator[Balancer]:
    """nginx with ``configuration`` in its http block, which must ``listen`` where ``front`` does."""
    program = _find("nginx")
    directory.mkdir()
    (directory / "nginx.conf").write_text(NGINX_FRAME.format(user=_user(), configuration=configuration), "utf-8")
    command = [program, "-p", f"{directory}/", "-c", "nginx.conf", "-e", "error.log"]
    environ = os.environ | {"NGINX": f"{front.fileno()};"}
    host, port = front.getsockname()
    log = directory / "error.log"
    with _running(command, directory, log, environ, [front]) as pid:
        yield Balancer(f"http://{host}:{port}", pid, log)


@contextmanager
def haproxy(directory: Path, configuration: str, front: socket.socket) -> Iterator[HAProxy]:
    """HAProxy with ``configuration``, which must ``bind fd@N`` where N is the number of ``front``."""
    program = _find("haproxy")
    directory.mkdir()
    stats = listening()
    text = HAPROXY_FRAME.format(stats=stats.fileno(), configuration=configuration)
    (directory / "haproxy.cfg").write_text(text, "utf-8")
    command = [program, "-f", "haproxy.cfg", "-db"]
    (host, port), told = front.getsockname(), stats.getsockname()
    log = directory / "haproxy.log"
    with _running(command, directory, log, dict(os.environ), [front, stats]) as pid:
        yield HAProxy(f"http://{host}:{port}", pid, log, told)


@contextmanager
def _running(
    command: Sequence[str], directory: Path, log: Path, environ: dict[str, str], fronts: Sequence[socket.socket]
) -> Iterator[int]:
    """Hands ``fronts`` over.  AssertionError, with its log, where the program ends by itself."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[front.fileno() for front in fronts],
        )
    for front in fronts:
        front.close()
    try:
        yield process.pid
        assert process.poll() is None, f"{command[0]} has ended:\n{log.read_text('utf-8', 'replace')[-4000:]}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # not waited for yet: nobody else can have its number
        process.wait(STOP_SECONDS)


def _user() -> str:
    """Lets nginx's workers write what root's test directories hold; for others they are the same user anyway."""
    return f"user root {grp.getgrgid(os.getgid()).gr_name};" if os.geteuid() == 0 else ""


def _find(name: str) -> str:
    path = shutil.which(name, path=PLACES)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


# ---------------------------------------------------------------------------------------------------- networks

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def _enter_new_network() -> None:
    """Give this thread, and those that it starts, a network with a loopback interface and all its ports free."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name, flags = struct.unpack_from("16sH", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0)))
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | IFF_UP))


@contextmanager
def own_network() -> Iterator[Executor]:
    """A thread in a network of its own: what it runs, and processes and threads that start there, see no other.

    A socket belongs to the network that it was made in, whoever has it.  Skips the test where that is not allowed.
    """
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(_enter_new_network).result()
        except OSError as error:
            pytest.skip(f"no network namespace of our own: {error.strerror}")
        yield thread


# ------------------------------------------------------------------------------------------------------- memory


def peak_memory(pid: int) -> int:
    """The most memory, in bytes, that a process has held, or one of its children, whichever is more."""
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())]
    found = re.findall(r"^VmHWM:\s+(\d+) kB$", "".join(Path(f"/proc/{n}/status").read_text() for n in pids), re.M)
    return max(map(int, found)) * 1024
