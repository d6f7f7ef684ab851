"""A 200 head and white space for a client that waits long: CopyObject, CompleteMultipartUpload.

Some clients and proxies give up after a minute of silence.  AWS therefore sends the head and an XML declaration
early, then white space, and the result (also an error) as the rest of that body; so do we, once a command has taken
``FIRST`` seconds.  On HTTP/1.1 the body is chunked, on 1.0 it ends with the connection.

Rules: the ticker never waits (a client that does not take a few bytes is given up), and never writes once ``finish``
has been called.  Follows "CompleteMultipartUpload" and "CopyObject" (Amazon S3 API Reference).
"""

from __future__ import annotations

import re
import threading
import time

from s3server.connection import Connection, ConnectionLost

FIRST = 5.0
"""Seconds of silence before the head is sent."""
EVERY = 5.0
"""Seconds between two spaces."""

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_ANY_DECLARATION = re.compile(rb"^<\?xml[^>]*\?>\s*")


class EarlyHead:
    """One request's early head: owned by its thread, ticked by the ticker's."""

    def __init__(self, connection: Connection, head: bytes, chunked: bool) -> None:
        """``head``: what is sent first, when it comes to that."""
        self._connection = connection
        self._head = head
        self._chunked = chunked
        self._due = time.monotonic() + FIRST
        self._lock = threading.Lock()
        self._open = True
        self._sent = False
        self._lost = False

    def tick(self, now: float) -> None:
        """Send what is due at ``now`` (monotonic)."""
        if now < self._due or not self._lock.acquire(blocking=False):
            return
        try:
            if not self._open or self._lost:
                return
            self._due = now + EVERY
            data = self._wrap(b" ") if self._sent else self._head + self._wrap(_DECLARATION)
            self._sent = True
            try:
                self._lost = bool(self._connection.send_some([data]))
            except ConnectionLost:
                self._lost = True
        finally:
            self._lock.release()

    def finish(self) -> bool:
        """End the ticking; True when the head has been sent.  Raises ConnectionLost when the client was."""
        with self._lock:
            self._open = False
            if self._lost:
                raise ConnectionLost
            return self._sent

    def rest(self, body: bytes) -> bytes:
        """The end of the response: a whole XML document without its declaration, already sent."""
        text = _ANY_DECLARATION.sub(b"", body)
        if not self._chunked:
            return text
        return (self._wrap(text) if text else b"") + b"0\r\n\r\n"

    def _wrap(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data


class Ticker:
    """The early heads of a process; ``tick`` is called about once a second."""

    def __init__(self) -> None:
        self._heads: set[EarlyHead] = set()
        self._lock = threading.Lock()

    def add(self, head: EarlyHead) -> None:
        with self._lock:
            self._heads.add(head)

    def remove(self, head: EarlyHead) -> None:
        with self._lock:
            self._heads.discard(head)

    def tick(self, now: float) -> None:
        """Let every early head do what is due at ``now`` (monotonic)."""
        with self._lock:
            heads = list(self._heads)
        for head in heads:
            head.tick(now)
