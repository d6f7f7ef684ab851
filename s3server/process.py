"""What Linux tells about processes and their listening sockets, out of /proc.

Rules: reads only; standard library only (the service script runs this before anything is installed).  A process that
has gone, or that belongs to somebody else, gives None or nothing: never an error.

Follows proc_pid_stat(5), proc_pid_cmdline(5), proc_pid_fd(5) and the kernel's proc_net_tcp.txt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"
"""TCP_LISTEN as /proc/net/tcp spells it."""


def start_ticks(pid: int) -> int | None:
    """Return when a process started (clock ticks since boot): with the PID that names one process for ever."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[19])  # the name, in parentheses, may hold anything


def arguments(pid: int) -> list[str]:
    """Return the command line of a process."""
    return _strings(pid, "cmdline")


def environment(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with; empty for somebody else's."""
    return {name: value for name, _, value in (line.partition("=") for line in _strings(pid, "environ"))}


def listening_ports(pid: int) -> list[int]:
    """Return the TCP ports that a process listens on, in the order in which it opened them (by descriptor)."""
    listeners = {inode: port for port, inode in _listeners()}
    return [listeners[inode] for inode in _socket_inodes(pid) if inode in listeners]


def listener_of(port: int) -> int | None:
    """Return the PID of a process that listens on a TCP port, where we may know it."""
    inodes = {inode for number, inode in _listeners() if number == port}
    pids = sorted(int(name) for name in os.listdir(PROC) if name.isdecimal())
    return next((pid for pid in pids if not inodes.isdisjoint(_socket_inodes(pid))), None)


def describe(pid: int) -> str:
    """Return ``PID n (command line)``, cut to one line."""
    words = " ".join(arguments(pid)).translate({c: " " for c in range(32)})
    return f"PID {pid} ({words[:100]})" if words else f"PID {pid}"


def _strings(pid: int, name: str) -> list[str]:
    try:
        data = (PROC / str(pid) / name).read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in data.removesuffix(b"\0").split(b"\0")] if data else []


def _socket_inodes(pid: int) -> Iterator[str]:
    try:
        links = sorted((PROC / str(pid) / "fd").iterdir(), key=lambda link: int(link.name))
    except OSError:
        return
    for link in links:
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _listeners() -> Iterator[tuple[int, str]]:
    for name in ("tcp", "tcp6"):
        try:
            rows = (PROC / "net" / name).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, rows):
            if columns[3] == LISTEN:
                yield int(columns[1].rpartition(":")[2], 16), columns[9]
