"""Connections to masters and workers, and those that wait to be used again.

Rules
- A connection serves one call or stream at a time and comes back only when every reply has been read; on any doubt
  it is closed.
- Last in, first out: what is not needed grows old and is closed.  A connection that the peer has closed, or that has
  unread bytes, is found out before it is used.
- A forked child begins with empty pools; its copies of the parent's sockets are closed, never used.
- A connection knows which life of its peer it belongs to: while an older one is still open, the process is the same.
- No operation waits longer than the timeouts: they are the kernel's (SO_RCVTIMEO), so a wait costs no further call.

Sockets are plain TCP without login or TLS: Curvine has neither.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

from curvinefs.curvine.errors import ConnectionLost
from curvinefs.curvine.frames import Frame, FrameError, Prefix, allocate, receive

_TIMEVAL = struct.Struct("@ll")
_MOST_PARTS = 64


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Connection:
    """One blocking TCP connection; every failure is ConnectionLost and closes it."""

    __slots__ = ("address", "life", "since", "socket", "__weakref__")

    def __init__(self, address: Address, connect_timeout_s: float, io_timeout_s: float) -> None:
        self.address = address
        self.life = 0
        """Equal for connections to one and the same process; a restarted one has another."""
        self.since = 0.0
        """Since when it has been idle, monotonic."""
        try:
            self.socket = socket.create_connection(address, connect_timeout_s)
        except (OSError, UnicodeError, OverflowError) as error:  # the last two: what a reply named is no address
            raise ConnectionLost(f"{address}: {error}", sent=False) from error
        self.socket.settimeout(None)
        limit = _TIMEVAL.pack(int(io_timeout_s), int(io_timeout_s % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, limit)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Send all; nothing is kept of the buffers."""
        try:
            sent = self.socket.sendmsg(parts[:_MOST_PARTS])
            total = sum(len(part) for part in parts)
            while sent < total:
                rest = []
                for part in parts:
                    if sent >= len(part):
                        sent -= len(part)
                    else:
                        rest.append(memoryview(part)[sent:])
                        sent = 0
                parts, total = rest, sum(len(part) for part in rest)
                sent = self.socket.sendmsg(parts[:_MOST_PARTS])
        except OSError as error:
            raise self.lost(error) from error

    def receive(self, place: Callable[[Prefix], memoryview] = allocate) -> Frame:
        """The next frame; see frames.receive."""
        steps = receive(place)
        try:
            buffer = next(steps)
            while True:
                buffer = steps.send(self.receive_some(buffer))
        except StopIteration as done:
            frame: Frame = done.value
            return frame
        except FrameError as error:
            raise self.lost(error) from error

    def receive_some(self, buffer: memoryview) -> int:
        """1 or more bytes."""
        try:
            count = self.socket.recv_into(buffer)
        except OSError as error:
            raise self.lost(error) from error
        if not count:
            raise self.lost("closed by the peer")
        return count

    def receive_all(self, buffer: memoryview) -> None:
        while buffer:
            buffer = buffer[self.receive_some(buffer) :]

    def lost(self, why: object) -> ConnectionLost:
        self.close()
        if isinstance(why, BlockingIOError):
            why = "no answer in time"
        return ConnectionLost(f"{self.address}: {why}", sent=True)

    def is_quiet(self) -> bool:
        """Open, with nothing to read: a peer that has closed it, or said something unasked, is no use."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)

    def is_open(self) -> bool:
        """Whether the peer has not ended it; may be asked while another thread uses it."""
        try:
            poll = select.poll()
            poll.register(self.socket, select.POLLRDHUP)
            return not poll.poll(0)
        except (OSError, ValueError):
            return False  # closed here

    def close(self) -> None:
        self.socket.close()


class Pool:
    """Idle connections by address."""

    def __init__(self, connect_timeout_s: float, io_timeout_s: float, max_idle_s: float, max_idle: int) -> None:
        """``max_idle_s``: a connection idle for longer is closed; ``max_idle``: how many of one address may wait."""
        self._connect_timeout_s = connect_timeout_s
        self._io_timeout_s = io_timeout_s
        self._max_idle_s = max_idle_s
        self._max_idle = max_idle
        self._look_at_all = 0.0
        self._start_again()
        _living.add(self)

    def take(self, address: Address) -> Connection:
        """A connection for one call or stream; the caller gives it back or closes it.  Raises ConnectionLost."""
        oldest = time.monotonic() - self._max_idle_s
        while True:
            with self._mutex:
                idle = self._idle.get(address)
                connection = idle.pop() if idle else None
            if connection is None:
                return self._connect(address)
            if connection.since >= oldest and connection.is_quiet():
                return connection
            connection.close()

    def _connect(self, address: Address) -> Connection:
        connection = Connection(address, self._connect_timeout_s, self._io_timeout_s)
        with self._mutex:
            made = self._made.setdefault(address, weakref.WeakSet())
            same = next((older for older in made if older.is_open()), None)
            connection.life = next(self._lives) if same is None else same.life
            made.add(connection)
        return connection

    def lives(self, address: Address, life: int) -> bool:
        """Whether that process is certainly still there: see Connection.life."""
        with self._mutex:
            return any(each.life == life and each.is_open() for each in self._made.get(address, ()))

    def give(self, connection: Connection) -> None:
        """Nothing is under way on it."""
        now = connection.since = time.monotonic()
        with self._mutex:
            idle = self._idle.setdefault(connection.address, [])
            idle.append(connection)
            old = self._aged(idle, now)
            if now >= self._look_at_all:  # also at peers that nobody asks any more
                self._look_at_all = now + self._max_idle_s
                for others in self._idle.values():
                    old += self._aged(others, now)
        for connection in old:
            connection.close()

    def _aged(self, idle: list[Connection], now: float) -> list[Connection]:
        """Take out those that are too old or too many."""
        surplus = max(0, len(idle) - self._max_idle)
        while surplus < len(idle) and idle[surplus].since < now - self._max_idle_s:
            surplus += 1
        old = idle[:surplus]
        del idle[:surplus]
        return old

    def close(self) -> None:
        with self._mutex:
            connections = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _start_again(self) -> None:
        self._mutex = threading.Lock()
        self._idle: dict[Address, list[Connection]] = {}
        self._made: dict[Address, weakref.WeakSet[Connection]] = {}
        self._lives = itertools.count(1)


_living: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_living):
        for made in pool._made.values():  # idle or in use by a thread that is not here
            for connection in list(made):
                connection.close()
        pool._start_again()


os.register_at_fork(after_in_child=_after_fork)
