"""One client's connection: a non-blocking socket, what it has sent ahead, and how long to wait for it.

Rules
- A connection has one owner at a time: the loop (states that wait) or one thread (``BUSY``).  Nothing here locks.
- Nobody waits longer than a ``Pace`` allows, in either direction.
- Knows heads only by their blank line; what they mean is s3proto's.
- Plain and TLS sockets behave the same behind ``receive``, ``recv_into`` and ``send``.

Follows RFC 9112 2.2 (empty lines before a request), 9.6 (closing in two steps).
"""

from __future__ import annotations

import enum
import select
import socket
import ssl
import time
from collections.abc import Sequence

from s3proto.errors import BadRequest, RequestHeaderSectionTooLarge, RequestTimeout, URITooLong
from s3proto.http import MAX_HEAD, MAX_TARGET, Framing

RECEIVE = 64 * 1024
"""Bytes asked for when a head is expected: a head and a small body come in one call."""
MIN_RATE = 1024
"""Bytes per second below which a client is not waited for any longer, once its credit (the timeout) is used up."""
MSG_MORE = socket.MSG_MORE


class ConnectionLost(Exception):
    """The client has gone, or cannot be answered any more: nothing to say, close."""


class State(enum.Enum):
    """Who is waiting for what."""

    HANDSHAKE = "TLS is being set up"
    IDLE = "no byte of a next request has come"
    HEAD = "a part of a head has come"
    BUSY = "a thread works on a request"
    FLUSHING = "the end of a small response waits for room in the socket"
    DRAINING = "the unread rest of a request body is thrown away"
    LINGERING = "everything is said; waiting for the client to close, so that it can read the answer"


class Pace:
    """How long a transfer may take: ``timeout`` seconds without progress, and on the whole MIN_RATE.

    Bytes move the deadline on by the time they should take at most, never further than ``timeout`` from now: so
    neither a stalled client nor one that drips is waited for much longer than ``timeout``.
    """

    __slots__ = ("_timeout", "_deadline")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def moved(self, count: int) -> None:
        self._deadline = min(self._deadline + count / MIN_RATE, time.monotonic() + self._timeout)

    def left(self) -> float:
        """Seconds until the deadline; 0 or less when it has passed."""
        return self._deadline - time.monotonic()


class Connection:
    """A socket and its inbox: bytes received that no request has used yet."""

    __slots__ = (
        "sock",
        "fd",
        "peer",
        "secure",
        "state",
        "next_state",
        "deadline",
        "framing",
        "allowance",
        "outbox",
        "registered",
        "_inbox",
        "_searched",
    )

    def __init__(self, sock: socket.socket, peer: str, deadline: float) -> None:
        """Takes ownership of ``sock``.  ``deadline``: monotonic time until which its first bytes must come."""
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        """Address of the client for the log."""
        self.secure = isinstance(sock, ssl.SSLSocket)
        self.state = State.HANDSHAKE if self.secure else State.IDLE
        self.next_state = State.IDLE
        """What follows FLUSHING."""
        self.deadline = deadline
        """Monotonic time at which the loop gives up the state it waits in."""
        self.framing: Framing | None = None
        """What is being drained, in DRAINING."""
        self.allowance = 0
        """Bytes that DRAINING and LINGERING may still throw away."""
        self.outbox = b""
        """Rest of a response, in FLUSHING."""
        self.registered = 0
        """Event mask in the loop's epoll; 0 when it is not there."""
        self._inbox: bytes | bytearray = b""
        self._searched = 0

    def is_local(self) -> bool:
        """Whether the client runs on this machine, as far as addresses tell."""
        try:
            here, there = self.sock.getsockname(), self.sock.getpeername()
        except OSError:  # it has gone
            return False
        return isinstance(here, tuple) and here[0] == there[0]

    # ---------------------------------------------------------------------------------------- receiving

    def receive(self) -> bool:
        """Take what has come into the inbox; False at the end of the stream.  Never blocks.

        Raises ConnectionLost on a broken connection.
        """
        try:
            data = self.sock.recv(RECEIVE)
            if self.secure:  # decrypted bytes inside the SSL object wake no epoll: take them all (bounded: one RECEIVE)
                rest = self.pending()
                if rest:
                    data += self.sock.recv(rest)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except ssl.SSLEOFError:
            return False
        except OSError as error:
            raise ConnectionLost from error
        if not self._inbox:
            self._inbox = data
        else:
            if isinstance(self._inbox, bytes):
                self._inbox = bytearray(self._inbox)
            self._inbox += data
        return bool(data)

    def handshake(self) -> int:
        """Go on with the TLS handshake; answers the epoll events to wait for, 0 when it is done.

        Raises ConnectionLost when it has failed.
        """
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return select.EPOLLIN
        except ssl.SSLWantWriteError:
            return select.EPOLLOUT
        except OSError as error:  # ssl.SSLError is one
            raise ConnectionLost from error
        return 0

    def pending(self) -> int:
        """Bytes that TLS has decrypted and nobody has taken: no epoll tells of them."""
        return self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0

    @property
    def inbox_size(self) -> int:
        return len(self._inbox)

    def take_head(self) -> bytes | None:
        """Cut the next head, with its blank line, off the inbox; None while it is incomplete.

        Raises BadRequest, URITooLong or RequestHeaderSectionTooLarge for what can never become a head.
        """
        inbox = self._inbox
        if inbox[:1] == b"\r" or inbox[:1] == b"\n":  # empty lines before a request: left-overs of clumsy clients
            inbox = self._inbox = bytes(inbox).lstrip(b"\r\n")
            self._searched = 0
        end = inbox.find(b"\r\n\r\n", self._searched)
        if end < 0:
            if inbox:
                self._check_partial(inbox)
                self._searched = max(0, len(inbox) - 3)
            return None
        self._searched = 0
        end += 4
        self._inbox = bytes(inbox[end:]) if end < len(inbox) else b""
        return bytes(inbox[:end])

    def _check_partial(self, inbox: bytes | bytearray) -> None:
        if len(inbox) >= MAX_HEAD:
            raise RequestHeaderSectionTooLarge(MaxSizeAllowed=MAX_HEAD)
        if len(inbox) > MAX_TARGET + 32 and b"\n" not in inbox:
            raise URITooLong()
        # Would wait in vain for a blank line: bare line feeds, TLS on a plain port.
        if b"\n\n" in inbox or not 65 <= inbox[0] <= 122:
            raise BadRequest("The request head is malformed.")

    def has_sent(self) -> bool:
        """Whether something has come that nobody has taken off the socket yet (its end counts too)."""
        try:
            socket.socket.recv(self.sock, 1, socket.MSG_PEEK)  # below TLS
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def take_inbox(self) -> bytes:
        """Take all that has come ahead, for a request body."""
        data, self._inbox, self._searched = self._inbox, b"", 0
        return bytes(data)

    def put_back(self, data: bytes) -> None:
        """Give back what a request body did not use."""
        self._inbox, self._searched = data, 0

    def recv_into(self, buffer: memoryview, pace: Pace) -> int:
        """Fill (a part of) ``buffer``, waiting as long as ``pace`` allows; 0 at the end of the stream.

        Raises RequestTimeout, ConnectionLost.
        """
        while True:
            try:
                count = self.sock.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, pace)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, pace)
            except ssl.SSLEOFError:
                return 0
            except OSError as error:
                raise ConnectionLost from error
            else:
                pace.moved(count)
                return count

    # ------------------------------------------------------------------------------------------ sending

    def send_some(self, pieces: Sequence[bytes | memoryview]) -> bytes:
        """Send what fits now; answers the rest, copied.  Raises ConnectionLost."""
        try:
            if self.secure:
                data = b"".join(pieces)
                sent = self.sock.send(data)
                return data[sent:]
            sent = self.sock.sendmsg(pieces)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError as error:
            raise ConnectionLost from error
        if sent == sum(map(len, pieces)):
            return b""
        return b"".join(pieces)[sent:]

    def send_all(self, data: bytes | memoryview, pace: Pace, flags: int = 0) -> None:
        """Send all of ``data``, waiting as ``pace`` allows.  Raises ConnectionLost, also when time is up."""
        view = memoryview(data)
        while view:
            try:
                count = self.sock.send(view) if self.secure else self.sock.send(view, flags)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self.wait_writable(pace)
            except ssl.SSLWantReadError:
                self._wait_or_lose(select.POLLIN, pace)
            except OSError as error:
                raise ConnectionLost from error
            else:
                pace.moved(count)
                view = view[count:]

    def wait_writable(self, pace: Pace) -> None:
        """Wait for room in the socket.  Raises ConnectionLost when time is up: half a response cannot be mended."""
        self._wait_or_lose(select.POLLOUT, pace)

    def _wait_or_lose(self, events: int, pace: Pace) -> None:
        try:
            self._wait(events, pace)
        except RequestTimeout as error:
            raise ConnectionLost from error

    def _wait(self, events: int, pace: Pace) -> None:
        poller = select.poll()
        poller.register(self.fd, events)
        if not poller.poll(max(0.0, pace.left() * 1000)):
            raise RequestTimeout()

    # ------------------------------------------------------------------------------------------ closing

    def shutdown_write(self) -> None:
        """Say that nothing more will come, and keep listening."""
        try:
            if self.secure:
                # unwrap() would wait for the peer's close_notify; without it a client sees a truncated stream only
                # where it does not count bytes, and every response of ours is counted or chunked.
                socket.socket.shutdown(self.sock, socket.SHUT_WR)
            else:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client was faster

    def close(self) -> None:
        try:
            self.sock.close()
        except OSError:
            pass  # nothing to be done about a descriptor whose peer has reset it
