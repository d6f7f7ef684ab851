"""The listening socket in a loop's epoll: open while connections may come in, and fair to the other workers.

Rules: level-triggered, so what is not taken now is reported again; shut while taking is impossible (no room, no
descriptors) or left to others, because an event that nobody handles would spin.  Used by the leading thread only,
but for ``count``.
"""

from __future__ import annotations

import logging
import select
import socket
from typing import Protocol

from s3server.balance import PATIENCE, Balance

LOGGER = logging.getLogger("curvine_s3_gateway.server")


class Acceptor(Protocol):
    """A listening socket (``s3server.listener.Listener``)."""

    def fileno(self) -> int: ...

    def accept(self) -> tuple[socket.socket, str]:
        """Take one waiting connection, with the client's address for the log.  Raises OSError."""

    def server_close(self) -> None: ...


class Door:
    """One worker's share of a listening socket."""

    def __init__(self, epoll: select.epoll, listener: Acceptor, balance: Balance, index: int) -> None:
        self._epoll = epoll
        self._listener = listener
        self._balance = balance
        self._index = index
        self._open = False
        self._closed = False
        self.fd = listener.fileno()
        """-1 once it is closed."""
        self.due = 0.0
        """Monotonic time at which a connection that was left to others is taken after all; 0: none was."""

    def open(self) -> None:
        """Let epoll tell of waiting connections."""
        if not self._open and not self._closed:
            self._epoll.register(self.fd, select.EPOLLIN)
            self._open = True

    def shut(self) -> None:
        """Let them wait in the kernel."""
        if self._open:
            self._epoll.unregister(self.fd)
            self._open = False

    def close(self) -> None:
        """Take no connection any more."""
        if not self._closed:
            self.shut()
            self._closed = True
            self._listener.server_close()
            self.fd = -1
            self.due = 0.0

    def retire(self) -> None:
        """Tell the other workers not to leave anything to us.  From any thread."""
        self._balance.clear(self._index)

    def count(self, connections: int) -> None:
        """Say how many connections this worker has."""
        self._balance.set(self._index, connections)

    def leave_to_others(self, now: float) -> bool:
        """Whether a waiting connection should go to a worker with fewer; then ``due`` says until when."""
        if not self._balance.has_more(self._index):
            return False
        self.shut()
        self.due = now + PATIENCE
        return True

    def take(self) -> tuple[socket.socket, str] | None:
        """Take one waiting connection; None when there is none, or when it cannot be taken (then the door is shut)."""
        try:
            return self._listener.accept()
        except BlockingIOError:
            return None  # another worker was quicker
        except OSError as error:
            LOGGER.warning("accepting a connection failed: %s", error)
            self.shut()  # no descriptors left, or the like: the loop opens it again at its next sweep
            return None
