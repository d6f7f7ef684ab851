"""The loop of a worker process: connections that wait hold no thread, requests that do not wait change no thread.

One thread at a time *leads*: it waits in epoll for all waiting connections, and works on the requests that arrive,
itself, one after the other.  A small GET is four system calls and no thread switch; eight busy connections need one
runnable thread, so nobody queues for the GIL.  A request that is about to wait (a body still on its way, a write that
flushes, a long response) leaves: its thread hands the lead to another and becomes an ordinary thread for the rest of
that request.  When no thread is spare the request is put in line instead, and leading goes on: stalled clients can
hold all threads, and small requests are still served.

A leader that gets stuck without having left (a slow disk) is deposed by the watch (``s3server.turn``); the next
commands of that kind leave in time (``Gateway.is_quick``).

    IDLE ─byte─► HEAD ─blank line─► BUSY ──► IDLE | FLUSHING | DRAINING | LINGERING ──► closed
      deadlines:  head_timeout                      each bounded too (``_sweep``)

Rules
- A connection is in epoll exactly while the loop owns it; whoever takes it out owns it.  Masks are level-triggered.
- ``_lock`` guards who leads and nothing else; connections have one owner and need none.
- Nothing here knows S3.

Rejected: a thread that parks connections and hands each request to another one.  A small GET then costs 290 us of CPU
instead of 210 (2 workers on 2 cores, wrk with 16 connections, 2026-11; ``Gateway.is_quick`` answering False shows it).
"""

from __future__ import annotations

import heapq
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from s3proto.errors import S3Error
from s3server.balance import Balance
from s3server.connection import Connection, ConnectionLost, State
from s3server.door import Acceptor, Door
from s3server.exchange import Exchange, Outcome, Service
from s3server.pool import ThreadPool
from s3server.socket_body import DRAINED
from s3server.turn import ORDINARY, Ordinary, Turn, Watch

LOGGER = logging.getLogger("curvine_s3_gateway.server")

SWEEP = 0.5
"""Seconds between two looks at all deadlines."""
DRAIN_TIMEOUT = 5.0
"""Seconds for the rest of an unread body."""
DRAIN_BYTES = 2 * DRAINED
"""Bytes that are thrown away of it, chunk framing included."""
LINGER_TIMEOUT = 3.0
"""Seconds that a client is given to read the last answer and close."""
LINGER_BYTES = 4 << 20
"""Bytes thrown away meanwhile."""
EVENTS = 64
"""Events taken from epoll at once."""
BURST = 32
"""Pipelined requests worked on before others get their turn."""

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


@dataclass(frozen=True)
class Limits:
    """Seconds, and connections of this process."""

    head_timeout: float = 20.0
    idle_timeout: float = 75.0
    request_timeout: float = 60.0
    max_connections: int = 4096
    threads: int = 128
    last_call: float = 0.0
    """How long, when the loop ends, those who are about to send are waited for."""


class Loop:
    """Serves one listening socket in this process."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        listener: Acceptor,
        balance: Balance,
        index: int,
    ) -> None:
        self._service = service
        self._limits = limits
        self._pool = ThreadPool(limits.threads + 1)  # one of them leads
        self._epoll = select.epoll()
        self._door = Door(self._epoll, listener, balance, index)
        self._connections: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._sweep_at = 0.0
        self._ending = False
        self._shuts_at = 0.0
        self._waker_out, self._waker_in = socket.socketpair()
        self._waker_out.setblocking(False)
        self._waker_in.setblocking(False)
        self._watch = Watch(self)
        self._victims: list[Connection] = []
        self.idle = threading.Event()
        """Set when the loop is ending and its last connection has gone."""

    # ------------------------------------------------------------------------------------ start and end

    def start(self) -> None:
        """Begin to accept and serve, in threads of its own."""
        self._epoll.register(self._waker_out.fileno(), select.EPOLLIN)
        self._door.count(0)
        self._door.open()
        turn = Turn(self)
        self._pool.start(lambda: self._lead(turn))
        self._watch.start(turn)

    def end(self) -> None:
        """Stop accepting, close idle connections, let requests in flight finish; then ``idle`` is set.

        Who is in the kernel's queue, or has connected but not yet sent, would see a reset, and a load balancer that
        streams bodies (nginx) must pass that on.  So accepting stops only after ``last_call``, and connections that
        are idle have as long again: what comes meanwhile is answered, with ``Connection: close``.
        """
        self._service.draining = True
        self._shuts_at = time.monotonic() + self._limits.last_call
        self._ending = True
        self._door.retire()
        self._wake()

    def close(self) -> None:
        """Give back what the loop itself holds; after ``idle``, or at the end of the process."""
        self._watch.join()
        self._epoll.close()
        self._waker_in.close()
        self._waker_out.close()

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    # --------------------------------------------------------------------------------------------- leading

    def _lead(self, turn: Turn) -> None:
        """Lead until ``turn`` is over; the process ends when that is not possible."""
        try:
            self._wait_and_serve(turn)
        except Exception:  # connections have borders of their own: this is the loop itself
            LOGGER.critical("the loop has failed; ending this process, another one takes its place", exc_info=True)
            logging.shutdown()
            os._exit(70)

    def _wait_and_serve(self, turn: Turn) -> None:
        epoll, connections = self._epoll, self._connections
        while turn.inline:
            now = time.monotonic()
            if now >= self._sweep_at:
                self._sweep(now)
                if self.idle.is_set():
                    return
            door = self._door
            if door.due and now >= door.due:
                door.due = 0.0
                door.open()
                self._accept()
            until = min(self._sweep_at, door.due or self._sweep_at)
            for fd, event in epoll.poll(max(0.0, until - now), EVENTS):
                connection = connections.get(fd)
                if connection is not None:
                    self._ready(connection, event, turn)
                elif fd == door.fd:
                    if not door.leave_to_others(time.monotonic()):
                        self._accept()
                elif fd == self._waker_out.fileno():
                    self._waker_out.recv(64)
                    self._sweep_at = 0.0
                if not turn.inline:
                    return  # what is left of the events is seen again by the one who leads now

    def hand_over(self, turn: Turn, requests: int | None) -> bool:
        """See ``turn.Lead``."""
        with self._lock:
            if not turn.inline:
                return True
            connection = turn.connection
            if requests is not None and (connection is None or turn.requests != requests):
                return False
            if requests is None and not self._pool.has_spare():
                return False
            successor = Turn(self)
            events = connection.registered if connection is not None else 0
            if connection is not None:
                self._unregister(connection)  # first: the successor may be in epoll before start returns
            if not self._pool.start(lambda: self._lead(successor), urgent=True):
                if connection is not None:
                    self._epoll.register(connection.fd, events)
                    connection.registered = events
                return False
            turn.inline = False
            self._watch.follow(successor)
        return True

    # ----------------------------------------------------------------------------------------- connections

    def _ready(self, connection: Connection, event: int, turn: Turn) -> None:
        """A connection that the loop owns can go on."""
        with self._border(connection):
            match connection.state:
                case State.IDLE | State.HEAD:
                    if connection.receive():
                        self._serve(connection, turn)
                    else:
                        self._close(connection)
                case State.HANDSHAKE:
                    self._handshake(connection, turn)
                case State.FLUSHING:
                    self._flush(connection, turn)
                case State.DRAINING | State.LINGERING:
                    self._discard(connection, turn)
                case State.BUSY:
                    self._unregister(connection)  # cannot be: a thread's connection is not in epoll

    @contextmanager
    def _border(self, connection: Connection) -> Iterator[None]:
        """Whatever goes wrong with a connection ends that connection and nothing else."""
        try:
            yield
        except ConnectionLost:
            self._close(connection)
        except Exception:
            LOGGER.exception("connection of %s failed", connection.peer)
            self._close(connection)

    def _serve(self, connection: Connection, turn: Turn | Ordinary) -> None:
        """Work on the requests in a connection's inbox; the calling thread may have stopped leading afterwards."""
        for _ in range(BURST):
            try:
                head: bytes | S3Error | None = connection.take_head()
            except S3Error as error:
                head = error
            if head is None:
                if connection.secure and connection.pending() and connection.receive():
                    continue
                break
            if not self._request(Exchange(self._service, connection, head), connection, turn):
                return
        else:  # the inbox may hold more, and no epoll will tell
            self._unregister(connection)
            self._pool.later(lambda: self._serve_in_thread(connection))
            return
        self._wait(connection)

    def _request(self, exchange: Exchange, connection: Connection, turn: Turn | Ordinary) -> bool:
        """Run one exchange; True when the connection may go on to its next request at once."""
        connection.state = State.BUSY
        if isinstance(turn, Turn) and turn.inline:
            turn.connection = connection
            turn.requests += 1
            if self._watch.asleep:
                self._watch.wake()
        outcome = exchange.run(turn)
        if isinstance(turn, Turn) and turn.inline:
            with self._lock:
                turn.connection = None  # from here the watch leaves this turn alone
        if outcome is Outcome.LATER:
            self._unregister(connection)
            self._pool.later(lambda: self._resume(exchange, connection))
            return False
        return self._after(exchange, outcome, connection)

    def _after(self, exchange: Exchange, outcome: Outcome, connection: Connection) -> bool:
        """What becomes of a connection whose response is out; True when its next request may be looked for."""
        now = time.monotonic()
        match outcome:
            case Outcome.KEEP:
                state = State.IDLE
            case Outcome.DRAIN:
                state = State.DRAINING
                connection.framing = exchange.unread_body()
            case Outcome.CLOSE:
                state = State.LINGERING
            case _:
                if not connection.outbox:
                    self._close(connection)
                    return False
                state = State.LINGERING
        if connection.outbox:
            connection.next_state = state
            connection.state = State.FLUSHING
            connection.deadline = now + self._limits.request_timeout
            self._register(connection, WRITE)
            return False
        return self._enter(connection, state, now)

    def _enter(self, connection: Connection, state: State, now: float) -> bool:
        """Enter a waiting state; True when it is the one in which the next request may have come."""
        connection.state = state
        if state is State.IDLE:
            return True
        if state is State.LINGERING:
            connection.shutdown_write()
            connection.deadline = now + LINGER_TIMEOUT
            connection.allowance = LINGER_BYTES
        else:
            connection.deadline = now + DRAIN_TIMEOUT
            connection.allowance = DRAIN_BYTES
        self._register(connection, READ)
        return False

    def _resume(self, exchange: Exchange, connection: Connection) -> None:
        """Go on with a request that was put in line, in an ordinary thread."""
        with self._border(connection):
            if self._after(exchange, exchange.run(ORDINARY), connection):
                self._serve(connection, ORDINARY)

    def _serve_in_thread(self, connection: Connection) -> None:
        with self._border(connection):
            self._serve(connection, ORDINARY)

    def _wait(self, connection: Connection) -> None:
        """Leave a connection to the loop until more of its next request comes."""
        now = time.monotonic()
        if connection.inbox_size:
            if connection.state is not State.HEAD:
                connection.state = State.HEAD
                connection.deadline = now + self._limits.head_timeout
        elif self._called(now):
            self._close(connection)
            return
        else:
            connection.state = State.IDLE
            connection.deadline = now + self._limits.idle_timeout
        if connection.registered != READ:
            self._register(connection, READ)

    def _handshake(self, connection: Connection, turn: Turn) -> None:
        events = connection.handshake()
        if events:
            self._register(connection, events)
            return
        self._register(connection, READ)
        connection.state = State.IDLE
        if connection.receive():
            self._serve(connection, turn)
        else:
            self._close(connection)

    def _flush(self, connection: Connection, turn: Turn) -> None:
        before = len(connection.outbox)
        connection.outbox = connection.send_some([connection.outbox])
        now = time.monotonic()
        if connection.outbox:
            if len(connection.outbox) < before:
                connection.deadline = now + self._limits.request_timeout
            return
        self._register(connection, READ)
        if self._enter(connection, connection.next_state, now):
            self._serve(connection, turn)

    def _discard(self, connection: Connection, turn: Turn) -> None:
        if not connection.receive():
            self._close(connection)
            return
        data = connection.take_inbox()
        framing = connection.framing
        connection.allowance -= len(data)
        if connection.allowance < 0:
            self._close(connection)
            return
        if connection.state is State.LINGERING or framing is None:
            return
        try:
            framing.feed(memoryview(data))
        except S3Error:
            self._close(connection)
            return
        if framing.complete:
            connection.put_back(framing.unused)
            connection.framing = None
            connection.state = State.IDLE
            self._serve(connection, turn)

    # ------------------------------------------------------------------------------------ epoll and deadlines

    def _register(self, connection: Connection, events: int) -> None:
        if connection.registered:
            connection.registered = events
            self._epoll.modify(connection.fd, events)
        else:
            with self._lock:  # against _sweep, which must not close a descriptor that is about to be registered
                connection.registered = events
                self._epoll.register(connection.fd, events)

    def _unregister(self, connection: Connection) -> None:
        if connection.registered:
            connection.registered = 0
            self._epoll.unregister(connection.fd)

    def _close(self, connection: Connection) -> None:
        # First out of the table: the kernel may give the descriptor's number to the next connection at once.
        if self._connections.get(connection.fd) is not connection:
            return
        del self._connections[connection.fd]
        connection.registered = 0
        connection.close()
        self._count_changed()

    def _count_changed(self) -> None:
        if not self._ending:
            self._door.count(len(self._connections))
        elif not self._connections:
            self._wake()

    def _wake(self) -> None:
        """Let the leader look around now."""
        try:
            self._waker_in.send(b"x")
        except OSError:
            pass  # full: it is about to; closed: it has ended

    def _sweep(self, now: float) -> None:
        """Close what has passed its deadline."""
        self._sweep_at = now + SWEEP
        called = self._called(now)
        for connection in list(self._connections.values()):
            if connection.deadline <= now or called and self._is_idle(connection):
                with self._lock:
                    waits = connection.registered != 0
                if waits:
                    self._close(connection)
        if self._ending and now >= self._shuts_at:
            self._shut()
            if not self._connections:
                self.idle.set()
                self._watch.end()
        elif not self._door.due:
            self._door.open()
        if self._ending:
            steps = (self._shuts_at, self._shuts_at + self._limits.last_call)
            self._sweep_at = min((self._sweep_at, *(at for at in steps if at > now)))

    def _shut(self) -> None:
        """Take those who are still in the kernel's queue, and nobody after them."""
        while self._door.fd >= 0 and len(self._connections) < self._limits.max_connections and self._accept():
            pass
        self._door.close()

    def _called(self, now: float) -> bool:
        """Whether the last call is over, for connections too."""
        return self._ending and now >= self._shuts_at + self._limits.last_call

    @staticmethod
    def _is_idle(connection: Connection) -> bool:
        """Whether nobody would miss it: nothing of a request has come, not even unread."""
        return connection.state in (State.IDLE, State.HANDSHAKE) and not connection.has_sent()

    # -------------------------------------------------------------------------------------------- accepting

    def _accept(self) -> bool:
        """Take one waiting connection, if there is room for it; False when none was taken."""
        if len(self._connections) >= self._limits.max_connections and not self._make_room():
            self._door.shut()  # until the next sweep: the kernel's queue holds them
            return False
        if (taken := self._door.take()) is None:
            return False
        sock, peer = taken
        connection = Connection(sock, peer, time.monotonic() + self._limits.head_timeout)
        self._connections[connection.fd] = connection
        with self._border(connection):
            self._register(connection, READ)
        self._count_changed()
        return True

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest; False when none is idle."""
        if not self._victims:
            self._find_victims()
        while self._victims:
            victim = self._victims.pop()
            if victim.registered and victim.state is State.IDLE and self._connections.get(victim.fd) is victim:
                if victim.has_sent():
                    continue  # its next request is here, only not read yet
                self._close(victim)
                return True
        return False

    def _find_victims(self) -> None:
        """Look once for many: a crowd of newcomers must not cost a walk over all connections each."""
        idle = [c for c in list(self._connections.values()) if c.state is State.IDLE and c.registered]
        self._victims = heapq.nsmallest(64, idle, key=lambda c: c.deadline)[::-1]
