"""One request on one connection, from its head to the last byte of its answer.

    head ─► serve(head, context) ─► Drive ─► Response ─► socket ─► access log

Rules
- A request may begin in the loop's thread and stop in two places to go on elsewhere (``Outcome.LATER``): before a
  command that may wait, and before a long response.  Whatever waits longer than a few system calls happens only after
  ``turn.leave()`` has made this thread an ordinary one.
- What the request opened is closed when its response is out, whatever happened.
- The connection is used again only if the request's body was read to its end.
- An InternalError tells the client nothing but its request id; the log has the traceback under the same id.

Follows RFC 9112 9 (persistence), RFC 9110 8.6, 9.3.2 (lengths, HEAD), "Common Response Headers" (Amazon S3 API
Reference).
"""

from __future__ import annotations

import enum
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from s3proto.commands import Command, Steps
from s3proto.context import Context, Settings
from s3proto.dates import http_date
from s3proto.errors import InternalError, S3Error
from s3proto.http import Framing, HeadCache, Headers, RequestHead, Response, response_head
from s3proto.protocol import operation_of
from s3server.access_log import AccessLog, Entry
from s3server.admin import health_steps, is_health_request
from s3server.connection import Connection, ConnectionLost, Pace
from s3server.driver import Drive
from s3server.early_head import EarlyHead, Ticker
from s3server.gateway import Gateway
from s3server.receive import BodySource
from s3server.send import SMALL_SPAN, read_span, send_span
from s3server.socket_body import SocketBody

LOGGER = logging.getLogger("curvine_s3_gateway.server")
SMALL_BODY = 64 * 1024
"""Bytes of a response that the loop's own thread may send: what does not fit the socket is kept, so it is bounded."""


class Outcome(enum.Enum):
    """What is to become of the connection."""

    KEEP = "the next request may come"
    DRAIN = "the next request may come after the rest of this one's body"
    CLOSE = "the client may have more to send: close in two steps"
    LOST = "close at once"
    LATER = "not finished: go on in another thread"


class Turn(Protocol):
    """The right to use the loop's thread."""

    def leave(self) -> bool:
        """Become an ordinary thread, which may wait; True when that was possible or has happened before."""

    @property
    def inline(self) -> bool:
        """True while this is the loop's thread."""


@dataclass
class Service:
    """What all requests of a process share."""

    gateway: Gateway
    serve: Callable[[RequestHead, Context], Steps[Response]]
    refuse: Callable[[S3Error, RequestHead | None, Context], Response]
    """Makes the response where the core could not: a head that makes no sense (None), a defect."""
    settings: Settings = Settings()
    access_log: AccessLog = field(default_factory=AccessLog)
    ticker: Ticker = field(default_factory=Ticker)
    heads: HeadCache = field(default_factory=HeadCache)
    host_id: str = ""
    """x-amz-id-2: names this process."""
    request_timeout: float = 60.0
    """Seconds that a body or an answer may make no progress."""
    chunk_size: int = 1 << 20
    """Bytes of a piece where a response is read and sent."""
    draining: bool = False
    """True once the process is to end: every response closes its connection."""
    _second: int = 0
    _date: str = ""

    def context(self, now: float) -> Context:
        """The context of a request that arrived at ``now`` (POSIX seconds)."""
        return Context(now, f"{random.getrandbits(64):016X}", self.host_id, self.settings)

    def date(self) -> str:
        """The Date header's value; made once a second."""
        now = int(time.time())
        if now != self._second:
            self._date, self._second = http_date(now), now
        return self._date


class Exchange:
    """One request; ``run`` until the outcome is not LATER."""

    __slots__ = (
        "opened",
        "access_key_id",
        "_service",
        "_connection",
        "_begun",
        "_head",
        "_context",
        "_body",
        "_drive",
        "_response",
        "_early",
        "_failed",
        "_turn",
    )

    def __init__(self, service: Service, connection: Connection, data: bytes | S3Error) -> None:
        """``data``: the bytes of the head, or why there will never be any."""
        self.opened = ExitStack()
        self.access_key_id = ""
        self._service = service
        self._connection = connection
        self._begun = time.monotonic()
        self._context = service.context(time.time())
        self._head: RequestHead | None = None
        self._body: SocketBody | None = None
        self._drive: Drive[Response] | None = None
        self._response: Response | None = None
        self._early: EarlyHead | None = None
        self._failed = False
        self._turn: Turn | None = None
        try:
            if isinstance(data, S3Error):
                raise data
            head = self._head = service.heads.parse(data, secure=connection.secure)
            self._body = SocketBody(connection, head, service.request_timeout)
        except S3Error as error:
            if isinstance(data, bytes) and data.startswith(b"HEAD "):
                self._head = RequestHead("HEAD", "", Headers())  # the rest makes no sense, but a body would be wrong
            self._response = service.refuse(error, self._head, self._context)
            self._failed = True
            return
        if is_health_request(head, service.settings.domain):
            steps = health_steps(service.draining)
        else:
            steps = service.serve(head, self._context)
        self._drive = Drive(steps, self._perform)

    # -------------------------------------------------------------------------- what commands see of a request

    @property
    def body(self) -> BodySource:
        assert self._body is not None
        return self._body

    @property
    def body_arrived(self) -> bool:
        return self._body is not None and self._body.arrived

    def allow_early_head(self, headers: tuple[tuple[str, str], ...]) -> None:
        """See ``gateway.Request``."""
        if self._early is None and self._head is not None:
            chunked = self._head.version == (1, 1)
            keep = chunked and self._keeps()
            fields = [*headers, ("Transfer-Encoding", "chunked")] if chunked else list(headers)
            self._early = EarlyHead(self._connection, self._head_bytes(200, fields, keep), chunked)
            self._service.ticker.add(self._early)
            self._failed = self._failed or not keep

    def _perform(self, command: Command[Any]) -> Any:
        return self._service.gateway.perform(self, command)

    # ----------------------------------------------------------------------------------------------- running

    def run(self, turn: Turn) -> Outcome:
        """Go on as far as this thread may; never raises."""
        self._turn = turn
        try:
            if self._response is None and not self._advance(turn):
                return Outcome.LATER
            outcome = self._respond(turn)
            if outcome is Outcome.LATER:
                return outcome
        except ConnectionLost:
            outcome = Outcome.LOST
        except Exception:  # the driver's border: a defect costs one connection, never a thread of the loop
            LOGGER.exception("request %s: sending its response failed", self._context.request_id)
            outcome = Outcome.LOST
        self._close()
        return outcome

    def abandon(self) -> None:
        """Give up a request that stopped (LATER) and will not go on."""
        self._close()

    def _advance(self, turn: Turn) -> bool:
        assert self._drive is not None
        try:
            if not self._drive.advance(self._stop_before if turn.inline else None):
                return False
            self._response = self._drive.result
        except ConnectionLost:
            raise
        except Exception:
            LOGGER.exception("request %s failed", self._context.request_id)
            self._response = self._service.refuse(InternalError(), self._head, self._context)
            self._failed = True
        return True

    def _stop_before(self, command: Command[Any]) -> bool:
        assert self._turn is not None
        return not self._service.gateway.is_quick(self, command) and not self._turn.leave()

    def _close(self) -> None:
        if self._early is not None:
            self._service.ticker.remove(self._early)
        try:
            if self._drive is not None:
                self._drive.close()
                self._drive = None  # it knows us: without cycles, memory is freed at once and not in pauses
            self.opened.close()
        except Exception:  # the same border: what fails to close was opened for this request only
            LOGGER.exception("request %s: closing what it had opened failed", self._context.request_id)

    # --------------------------------------------------------------------------------------------- responding

    def _keeps(self) -> bool:
        """Whether the client and the state of the process allow another request on this connection."""
        head = self._head
        if head is None or self._failed or self._service.draining:
            return False
        said = head.headers.get("connection")
        if said is None:
            return head.version == (1, 1)
        tokens = [token.strip() for token in (head.headers.joined("connection") or "").lower().split(",")]
        return "close" not in tokens and (head.version == (1, 1) or "keep-alive" in tokens)

    def _respond(self, turn: Turn) -> Outcome:
        response, connection, body = self._response, self._connection, self._body
        assert response is not None
        if self._early is not None and self._early.finish():
            content = response.body if isinstance(response.body, bytes) else b""
            connection.send_all(self._early.rest(content), Pace(self._service.request_timeout))
            keep = self._keeps() and body is not None and body.settle()
            self._log(response, len(content))
            return self._outcome(keep)
        keep = self._keeps() and body is not None and body.settle()
        method = "GET" if self._head is None else self._head.method
        bodiless = method == "HEAD" or response.status in (204, 304)
        sent = 0 if bodiless else response.length
        if sent > SMALL_BODY and turn.inline and not turn.leave():
            return Outcome.LATER
        head = self._head_bytes(response.status, self._fields(response, bodiless, keep), keep)
        try:
            if bodiless or not sent:
                self._send_small([head], turn)
            elif isinstance(response.body, bytes):
                self._send_small([head, response.body], turn)
            elif sent <= SMALL_SPAN:
                self._send_small([head, read_span(response.body)], turn)
            else:
                pace = Pace(self._service.request_timeout)
                send_span(connection, head, response.body, pace, self._service.chunk_size)
        except S3Error as error:  # not even the first bytes could be read, and nothing was sent
            self._response = self._service.refuse(error, self._head, self._context)
            return self._respond(turn)
        self._log(response, sent)
        return self._outcome(keep)

    def _outcome(self, keep: bool) -> Outcome:
        body = self._body
        if keep:
            assert body is not None
            return Outcome.KEEP if body.complete else Outcome.DRAIN
        if body is not None and body.complete and not self._connection.inbox_size:
            return Outcome.LOST  # nothing unread that would make the kernel reset the connection: no ceremony
        return Outcome.CLOSE

    def unread_body(self) -> Framing | None:
        """Where the body ends whose rest is to be thrown away, after Outcome.DRAIN."""
        return self._body.framing if self._body is not None else None

    def _send_small(self, pieces: Sequence[bytes | memoryview], turn: Turn) -> None:
        rest = self._connection.send_some(pieces)
        if not rest:
            return
        if turn.inline:
            self._connection.outbox = rest  # at most SMALL_BODY and a head; the loop sends it
        else:
            self._connection.send_all(rest, Pace(self._service.request_timeout))

    def _fields(self, response: Response, bodiless: bool, keep: bool) -> list[tuple[str, str]]:
        fields = list(response.headers)
        if response.status in (204, 304):
            return fields
        # In answer to HEAD the core says what GET would send.
        if not bodiless or not any(name.lower() == "content-length" for name, _ in fields):
            fields.append(("Content-Length", str(response.length)))
        return fields

    def _head_bytes(self, status: int, fields: list[tuple[str, str]], keep: bool) -> bytes:
        context = self._context
        lines = [
            ("Server", "CurvineS3"),
            ("Date", self._service.date()),
            ("x-amz-request-id", context.request_id),
            ("x-amz-id-2", context.host_id),
        ]
        lines += fields
        if not keep:
            lines.append(("Connection", "close"))
        elif self._head is not None and self._head.version == (1, 0):
            lines.append(("Connection", "keep-alive"))
        return response_head(status, lines)

    def _log(self, response: Response, sent: int) -> None:
        log = self._service.access_log
        if not log.enabled:
            return
        head, context = self._head, self._context
        log.add(
            Entry(
                context.now,
                context.request_id,
                self._connection.peer,
                self.access_key_id,
                head.method if head else "-",
                head.target if head else "-",
                response.status,
                response.error_code,
                self._body.received if self._body else 0,
                sent,
                time.monotonic() - self._begun,
                operation_of(head) if head else None,
            )
        )
