"""The gateway as a WSGI application: a second driver of the same core, for gunicorn, uWSGI, mod_wsgi and the like.

    CURVINE_S3_STORE=file:///srv/s3 gunicorn --threads 16 s3server.wsgi:application

Settings come from the environment (``CURVINE_S3_*``) and the usual file; nothing is opened before the first request,
so servers may import this and fork.  What belongs to the server stays with it: sockets, TLS, timeouts, 100 Continue,
keep-alive, its own log.  What only ``curvine-s3-gateway serve`` does: sweeping left-overs, early heads.

Rules: the target is the one that was sent (``REQUEST_URI`` or ``RAW_URI``), because signatures and keys need it; a
server that gives neither gets its decoded path encoded again, which is wrong for keys such as ``a%2Fb``.  Heads are
written out and parsed by s3proto, so they are checked as strictly as those from a socket.

Follows PEP 3333; ``wsgi.input_terminated`` as gunicorn and Werkzeug give it for chunked bodies.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import quote

from s3proto.commands import Command
from s3proto.errors import IncompleteBody, InternalError, S3Error
from s3proto.http import RequestHead, Response, Span, parse_head
from s3server import startup
from s3server.admin import health_steps, is_health_request
from s3server.assembly import Assembly
from s3server.config import Address, SettingsParser, load
from s3server.driver import run
from s3server.exchange import Service
from s3server.receive import BodySource
from s3server.send import read_pieces

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOGGER = logging.getLogger("curvine_s3_gateway.server")


class WsgiBody:
    """Implements ``receive.BodySource`` over ``wsgi.input``; the server has removed the transport framing."""

    def __init__(self, stream: IO[bytes], length: int | None) -> None:
        """``length``: bytes of the body; None: until the stream ends."""
        self._stream = stream
        self._left = length
        self.complete = length == 0

    def begin(self) -> Sequence[memoryview]:
        """Nothing has come yet; the server sends 100 Continue at the first read."""
        return []

    def fill(self, buffer: memoryview) -> tuple[int, Sequence[memoryview]]:
        """See ``receive.BodySource.fill``."""
        wanted = len(buffer) if self._left is None else min(len(buffer), self._left)
        data = self._stream.read(wanted)
        count = len(data)
        buffer[:count] = data
        if self._left is not None:
            if not count:
                raise IncompleteBody()
            self._left -= count
        self.complete = self._left == 0 if self._left is not None else not count
        return count, [buffer[:count]] if count else []


class WsgiRequest:
    """What commands see of one request (``gateway.Request``)."""

    def __init__(self, service: Service, body: WsgiBody) -> None:
        self._service = service
        self._body = body
        self.opened = ExitStack()
        self.access_key_id = ""

    @property
    def body(self) -> BodySource:
        return self._body

    @property
    def body_arrived(self) -> bool:
        return self._body.complete

    def allow_early_head(self, headers: tuple[tuple[str, str], ...]) -> None:
        """PEP 3333 has no way to send a head while the application works."""

    def perform(self, command: Command[Any]) -> Any:
        return self._service.gateway.perform(self, command)


class _Content:
    """A Span as WSGI iterates it: one buffer's worth at a time, closed by the server."""

    def __init__(self, span: Span, chunk_size: int, opened: ExitStack) -> None:
        """Raises S3Error where its first bytes cannot be read."""
        self._pieces = read_pieces(span, chunk_size)
        self._first = bytes(next(self._pieces, b""))
        self._opened = opened

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        for piece in self._pieces:
            yield bytes(piece)

    def close(self) -> None:
        self._opened.close()


class Application:
    """The WSGI callable; ``service`` None: made from the environment at the first request."""

    def __init__(self, service: Service | None = None) -> None:
        self._service = service
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        service = self._service or self._start(environ)
        context = service.context(time.time())
        head: RequestHead | None = None
        content: _Content | None = None
        request = WsgiRequest(service, _body(environ))
        try:
            head = parse_head(_head(environ), secure=environ.get("wsgi.url_scheme") == "https")
            if is_health_request(head, service.settings.domain):
                response = run(health_steps(False), request.perform)
            else:
                response = run(service.serve(head, context), request.perform)
            if isinstance(response.body, Span) and head.method != "HEAD":
                content = _Content(response.body, service.chunk_size, request.opened)
        except S3Error as error:
            response = service.refuse(error, head, context)
        except Exception:  # the driver's border, as in s3server.exchange
            LOGGER.exception("request %s failed", context.request_id)
            response = service.refuse(InternalError(), head, context)
        headers = [("x-amz-request-id", context.request_id), ("x-amz-id-2", context.host_id), *response.headers]
        bodiless = environ["REQUEST_METHOD"] == "HEAD" or response.status in (204, 304)
        if not (bodiless or any(name.lower() == "content-length" for name, _ in headers)):
            headers.append(("Content-Length", str(response.length)))
        start_response(_status_line(response), headers)
        if content is not None:
            return content
        request.opened.close()
        return [] if bodiless or not response.length else [cast(bytes, response.body)]

    def _start(self, environ: WSGIEnvironment) -> Service:
        with self._lock:
            if self._service is None:
                config, _ = load(SettingsParser("s3server.wsgi", "", ""), [], os.environ)
                keys = startup.prepare(config, os.environ)
                for warning in (*config.warnings, *keys.warnings):
                    LOGGER.warning("%s", warning)
                if keys.first:
                    server = Address(environ["SERVER_NAME"], int(environ["SERVER_PORT"]))
                    url = startup.client_url(server, environ["wsgi.url_scheme"] == "https")
                    print(startup.first_key_notice(keys.first, config.region, url), file=sys.stderr, flush=True)
                self._service = Assembly(config).service
            return self._service


def _status_line(response: Response) -> str:
    try:
        return f"{response.status} {HTTPStatus(response.status).phrase}"
    except ValueError:
        return f"{response.status} -"


def _body(environ: WSGIEnvironment) -> WsgiBody:
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdigit():
        return WsgiBody(environ["wsgi.input"], int(length))
    return WsgiBody(environ["wsgi.input"], None if environ.get("wsgi.input_terminated") else 0)


def _head(environ: WSGIEnvironment) -> bytes:
    """Write the head out as it came, as far as WSGI lets us know."""
    target = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not target:
        target = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), "/~")
        if environ.get("QUERY_STRING"):
            target += "?" + environ["QUERY_STRING"]
    protocol = environ.get("SERVER_PROTOCOL", "HTTP/1.1")
    lines = [f"{environ['REQUEST_METHOD']} {target} {protocol if protocol == 'HTTP/1.0' else 'HTTP/1.1'}"]
    if environ.get("CONTENT_TYPE"):
        lines.append(f"content-type: {environ['CONTENT_TYPE']}")
    if environ.get("CONTENT_LENGTH"):
        lines.append(f"content-length: {environ['CONTENT_LENGTH']}")
    for name, value in environ.items():
        if name.startswith("HTTP_") and name not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            lines.append(f"{name[5:].replace('_', '-')}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


application = Application()
"""What a WSGI server is told to load."""
