"""A request's body as it comes over a connection, transport framing removed.

Rules: 100 Continue is sent when somebody wants the body, at most once, and never when the body is there already.  An
empty body is asked for as well: botocore up to 1.43 (AWS CLI 1.46), answered without it, believes of the next answer on
that connection that its status line is read already, and waits for its end in vain.  What lies behind the body goes
back into the connection's inbox.

Follows RFC 9110 10.1.1 (Expect; expectations other than 100-continue are ignored, as AWS does), RFC 9112 6.
"""

from __future__ import annotations

from collections.abc import Sequence

from s3proto.errors import S3Error
from s3proto.http import Framing, RequestHead
from s3server.connection import Connection, ConnectionLost, Pace
from s3server.receive import without_slivers

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
DRAINED = 256 * 1024
"""Bytes of an unread body that are worth reading to keep the connection."""


class SocketBody:
    """Implements ``receive.BodySource`` over a connection."""

    __slots__ = ("framing", "received", "broken", "_connection", "_timeout", "_pace", "_awaited")

    def __init__(self, connection: Connection, head: RequestHead, timeout: float) -> None:
        """``timeout``: seconds without progress after which the client is given up."""
        self.framing = Framing.for_head(head)
        self.received = 0
        """Bytes of the body so far."""
        self.broken = False
        """True when the end of this body cannot be found any more."""
        self._connection = connection
        self._timeout = timeout
        self._pace: Pace | None = None
        expect = head.headers.get("expect")
        self._awaited = (
            expect is not None
            and expect.lower() == "100-continue"
            and head.version == (1, 1)
            and ("content-length" in head.headers or "transfer-encoding" in head.headers)
        )
        """The client waits to be told to go on."""

    @property
    def complete(self) -> bool:
        return self.framing.complete

    @property
    def arrived(self) -> bool:
        """True when receiving will not wait."""
        if self.framing.complete:
            return True
        return self.framing.declared is not None and self._connection.inbox_size >= self.framing.wanted

    def begin(self) -> Sequence[memoryview]:
        """Answer what has come with the head; ask for the rest.  Raises BadRequest, ConnectionLost."""
        self._pace = Pace(self._timeout)
        data = self._connection.take_inbox()
        awaited, self._awaited = self._awaited, False
        if awaited and not data:
            self._connection.send_all(CONTINUE, self._pace)
        return self._take(memoryview(data))

    def fill(self, buffer: memoryview) -> tuple[int, Sequence[memoryview]]:
        """See ``receive.BodySource.fill``."""
        assert self._pace is not None
        try:
            count = self._connection.recv_into(buffer[: self.framing.wanted], self._pace)
            if not count:
                self.framing.eof()
        except (S3Error, ConnectionLost):
            self.broken = True
            raise
        return count, self._take(buffer[:count])

    def settle(self) -> bool:
        """Use up what has arrived of an unread body; False when the connection must not be used again.

        When True and not ``complete``, the rest is worth draining.
        """
        if self.broken:
            return False
        if not self.framing.complete and self._connection.inbox_size:
            try:
                self._take(memoryview(self._connection.take_inbox()))
            except S3Error:
                return False
        # A client that still waits for 100 Continue may send the body, or its next request instead.
        if self._awaited and not self.received:
            return False
        return self.framing.complete or self.framing.wanted <= DRAINED

    def _take(self, data: memoryview) -> Sequence[memoryview]:
        try:
            pieces = self.framing.feed(data)
        except S3Error:
            self.broken = True
            raise
        pieces = without_slivers(pieces, len(data))
        self.received += sum(map(len, pieces))
        if self.framing.unused:
            self._connection.put_back(self.framing.unused)
        return pieces
