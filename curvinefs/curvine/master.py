"""One call to whichever master leads: finding it, and asking again where ``retry`` allows.

Masters other than the leader answer nothing and do not say who leads; a starting one refuses connections.  So the last
leader is asked first, then all in turn, with growing pauses, until ``patience_s`` is over.  Once that was in vain,
calls ask everybody once and give up, until somebody answers: an outage holds few threads for long.

Rules
- After an error that says nothing of what was done (RAFT, TIMEOUT), "exists" and "not found" may be our own doing.
- What is done under a lock is never sent when the lock may have passed to others: however long the leader was missing,
  and to no master but the one that granted it, for another one may have forgotten it.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from curvinefs.api import Corrupt, LockLost, LockTimeout, Unavailable
from curvinefs.curvine.errors import ConnectionLost, Kind, Refused, Renewed, ReplyLost
from curvinefs.curvine.frames import Request, decode_error, encode
from curvinefs.curvine.pool import Address, Connection, Pool
from curvinefs.curvine.retry import (
    FIRST_PAUSE_S,
    GUARDED,
    LONGEST_PAUSE_S,
    OWN_DOING,
    RESEND,
    WAIT,
    Code,
    Resend,
    new_id,
)

M = TypeVar("M", bound=Message)
Life = tuple[Address, int]
"""A master's process: see Connection.life."""
_HOPELESS_S = 10.0


class _Limit(NamedTuple):
    """Until when, monotonic, and to which master's life GUARDED calls may be sent (to none if there are two)."""

    when: float = math.inf
    lives: frozenset[Life] = frozenset()


class Master:
    def __init__(self, addresses: Sequence[Address], pool: Pool, patience_s: float) -> None:
        if not addresses:
            raise ValueError("no masters")
        self._addresses = list(addresses)
        self._pool = pool
        self._patience_s = patience_s
        self._leader: Address | None = None
        self._next = 0
        self._hopeless_until = 0.0
        """Nobody answered lately: until this time, monotonic, calls have no patience."""
        self._answered = threading.local()
        self._limit = threading.local()

    @property
    def leader(self) -> Address | None:
        """Who answered last."""
        return self._leader

    @property
    def hopeless(self) -> bool:
        """Nobody answered lately: what can wait should."""
        return time.monotonic() < self._hopeless_until

    @property
    def life(self) -> Life | None:
        """Of the master that answered this thread's last call: what it said then, it knows as long as it lives."""
        life: Life | None = getattr(self._answered, "life", None)
        return life

    def lives(self, life: Life | None) -> bool:
        """Whether that master is certainly still there, and nobody else was found to lead since; asks nobody."""
        return life is not None and life[0] == self._leader and self._pool.lives(*life)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """What not_after says inside ends here."""
        before = self._limits
        try:
            yield
        finally:
            self._limit.now = before

    def not_after(self, when: float, life: Life | None = None) -> None:
        """From ``when`` (monotonic) on, this thread's GUARDED calls are LockTimeout instead of being sent; and LockLost
        where the master is not that of ``life``."""
        last, lives = self._limits
        self._limit.now = _Limit(min(when, last), lives if life is None else lives | {life})

    @property
    def _limits(self) -> _Limit:
        limit: _Limit = getattr(self._limit, "now", _Limit())
        return limit

    def call(self, code: Code, request: Message, reply: type[M], *, life: Life | None = None) -> M:
        """Ask and wait for the answer; with ``life`` only a master that has lived since then.

        Raises Refused; ReplyLost when a change may have happened and ``retry`` forbids to ask again; Renewed;
        Unavailable; LockTimeout.
        """
        body = request.SerializeToString()
        resend = RESEND[code]
        req_id = new_id()
        began = time.monotonic()
        give_up = began if began < self._hopeless_until else began + self._patience_s
        limit = self._limits if code in GUARDED else _Limit()
        doubtful: Address | None = None  # knows whether it did it, if it still lives
        half_done = False  # perhaps, though the master takes it for failed and does it again
        pause, failures = FIRST_PAUSE_S, 0
        why: Exception | None = None
        while True:
            if time.monotonic() > limit.when:
                if doubtful is not None:
                    raise ReplyLost(f"{code.name}: its lock has grown old") from why
                raise LockTimeout(f"{code.name}: its lock has grown old") from why
            address = doubtful or self._leader or self._addresses[self._next % len(self._addresses)]
            try:
                answer = self._exchange(address, code, req_id, body, life, limit.lives)
                self._leader, self._hopeless_until = address, 0.0
                return decode(answer, reply)
            except ConnectionLost as error:
                self._forget(address)
                if error.sent and resend is Resend.FREELY:
                    req_id = new_id()
                elif (error.sent and resend is Resend.NEVER) or (doubtful is not None and not error.sent):
                    raise ReplyLost(f"{code.name}: {error}") from error
                elif error.sent:
                    doubtful = address
                why = error
            except (Renewed, LockLost) as error:
                if doubtful is not None:
                    raise ReplyLost(f"{code.name}: {error}") from error
                raise
            except Refused as error:
                if error.kind == Kind.NOT_LEADER:
                    self._forget(address)
                    if doubtful is not None:
                        raise ReplyLost(f"{code.name}: {error}") from error
                elif error.kind not in WAIT:
                    self._leader, self._hopeless_until = address, 0.0
                    if half_done and error.kind in OWN_DOING:
                        raise ReplyLost(f"{code.name}: {error}") from error
                    raise
                elif resend is Resend.FREELY:
                    req_id = new_id()  # by the old one SetAttr would be "in progress" for ten minutes
                elif resend is Resend.NEVER:
                    raise ReplyLost(f"{code.name}: {error}") from error
                else:
                    doubtful = address
                    half_done |= error.kind != Kind.IN_PROGRESS
                why = error
            failures += 1
            if failures % len(self._addresses) == 0 or doubtful is not None or self._leader is not None:
                if time.monotonic() + pause > give_up:
                    break
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_S)
        self._hopeless_until = time.monotonic() + _HOPELESS_S
        if doubtful is not None:
            raise ReplyLost(f"{code.name}: {why}") from why
        raise Unavailable(f"no master of {', '.join(map(str, self._addresses))} serves: {why}") from why

    def _forget(self, address: Address) -> None:
        if self._leader == address:
            self._leader = None
        if self._addresses[self._next % len(self._addresses)] == address:
            self._next += 1

    def _exchange(
        self, address: Address, code: Code, req_id: int, body: bytes, life: Life | None, lives: frozenset[Life]
    ) -> bytes:
        """One request, one reply.  Raises Refused, ConnectionLost, Renewed, LockLost."""
        connection = self._pool.take(address)
        here = address, connection.life
        if life not in (None, here) or not lives <= {here}:
            self._pool.give(connection)
            raise (Renewed if life not in (None, here) else LockLost)(f"{address} began anew, or leads now")
        self._answered.life = here
        try:
            connection.send((encode(code, Request.RPC, req_id, header=body),))
            answer = receive_reply(connection, code, Request.RPC, req_id, -1)
        except Refused:
            self._pool.give(connection)
            raise
        self._pool.give(connection)
        return answer


def receive_message(connection: Connection, code: int, status: Request, req_id: int, seq_id: int, reply: type[M]) -> M:
    """As receive_reply; ConnectionLost also where the header is not such a message."""
    header = receive_reply(connection, code, status, req_id, seq_id)
    try:
        return reply.FromString(header)
    except DecodeError as error:
        raise connection.lost(f"{reply.__name__}: {error}") from error


def receive_reply(connection: Connection, code: int, status: Request, req_id: int, seq_id: int) -> bytes:
    """The header of the reply that must come next.  Raises Refused (nothing more of it to be read), ConnectionLost."""
    prefix, header, data = connection.receive()
    if (prefix.code, prefix.status & 0xF, prefix.req_id, prefix.seq_id) != (code, status & 0xF, req_id, seq_id):
        raise connection.lost(f"an answer to something else: {prefix}")
    if prefix.status >> 4 == 0:
        return header
    if prefix.is_error:
        raise Refused(*decode_error(data))
    raise connection.lost(f"neither success nor error: {prefix}")


def decode(header: bytes, reply: type[M]) -> M:
    try:
        return reply.FromString(header)
    except DecodeError as error:
        raise Corrupt(f"{reply.__name__}: {error}") from error
