"""A client without manners: sends any bytes, signs any head, and reads answers more strictly than clients do.

Rules: no HTTP library, which would mend or refuse what we want to send.  Every wait is bounded; whoever does not answer
in time fails the test.  ``read_answer`` holds every answer to what all of them promise: framing that adds up, request
ids, an ``<Error>`` document that parses where the status says so, and nothing of the inside of the server.
"""

from __future__ import annotations

import hashlib
import re
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol
from urllib.parse import quote
from xml.etree import ElementTree

from s3proto import sigv4
from s3proto.http import Headers, RequestHead
from tests.gateway import User

PATIENCE = 20.0
"""Seconds for one answer."""
EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
Fields = Iterable[tuple[str, str]]

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~\x80-\xff]*)")
_INSIDE = re.compile(rb"Traceback \(most|site-packages|s3server/|s3proto/|curvinefs")


class Addressee(Protocol):
    """Who is talked to, and with whose key (``tests.gateway.Gateway``)."""

    @property
    def port(self) -> int: ...

    @property
    def region(self) -> str: ...

    @property
    def owner(self) -> User: ...


class Answer(NamedTuple):
    """One response; ``headers`` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes

    @property
    def code(self) -> str | None:
        """The error code of the document, None where there is none."""
        if self.status < 300 or not self.body:
            return None
        return ElementTree.fromstring(self.body).findtext("Code")

    @property
    def told(self) -> tuple[int, str | None]:
        return self.status, self.code

    def texts(self, path: str) -> list[str]:
        """Texts at ``path`` below the root of the document, without namespaces."""
        root = ElementTree.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return [element.text or "" for element in root.findall(path)]


class Closed(Exception):
    """The server closed the connection instead of answering."""


class Wire:
    """One connection; bytes as given, answers as promised."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def send(self, data: bytes) -> None:
        """Send all; a server that has closed meanwhile is not an error: its answer is what counts."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        self.send(data)
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer.  Raises Closed; AssertionError when it is not well-formed."""
        head = self._until(b"\r\n\r\n")
        status, headers = _parse(head)
        length = headers.get("content-length")
        if method == "HEAD" or status in (100, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            assert length is None
            body = b"".join(self._chunks())
        else:
            assert length is not None, head
            body = self._exactly(int(length))
        answer = Answer(status, headers, body, head)
        if status != 100:
            _check(answer, method)
        return answer

    def closes(self) -> bool:
        """Whether the server ends the connection, without another byte."""
        try:
            return self._read == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server was faster

    def close(self) -> None:
        self.sock.close()

    def _more(self) -> None:
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            raise Closed(f"reset after {self._read[:200]!r}") from None
        if not data:
            raise Closed(f"closed after {self._read[:200]!r}")
        self._read += data

    def _until(self, mark: bytes) -> bytes:
        while (end := self._read.find(mark)) < 0:
            self._more()
        found, self._read = self._read[: end + len(mark)], self._read[end + len(mark) :]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = int(self._until(b"\r\n")[:-2], 16)
            yield self._exactly(size)
            assert self._exactly(2) == b"\r\n"
            if not size:
                return


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head[:-4].split(b"\r\n")
    status = _STATUS.fullmatch(first)
    assert status, head
    headers: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        assert field, line
        name = field[1].decode().lower()
        assert name not in headers, head
        headers[name] = field[2].decode("latin-1")
    return int(status[1]), headers


def _check(answer: Answer, method: str) -> None:
    assert re.fullmatch("[0-9A-F]{16}", answer.headers["x-amz-request-id"]), answer
    assert answer.headers["x-amz-id-2"] and answer.headers["date"].endswith(" GMT"), answer
    if answer.status >= 300 and method != "HEAD" and answer.status != 304:
        assert answer.headers["content-type"] == "application/xml", answer
        root = ElementTree.fromstring(answer.body)
        assert root.tag == "Error" and root.findtext("Code") and root.findtext("RequestId"), answer
        assert root.findtext("RequestId") == answer.headers["x-amz-request-id"]
        assert not _INSIDE.search(answer.body), answer.body


@contextmanager
def wire(gateway: Addressee) -> Iterator[Wire]:
    """A connection, closed with the block."""
    made = Wire(gateway.port)
    try:
        yield made
    finally:
        made.close()


def amz_date(offset: float = 0.0) -> str:
    """``YYYYMMDDTHHMMSSZ`` now, or ``offset`` seconds from now."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + offset))


def head_bytes(method: str, target: str, fields: Fields) -> bytes:
    """A head of HTTP/1.1 as given, latin-1; nothing is added."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def signed(
    gateway: Addressee,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    user: User | None = None,
    payload: str = UNSIGNED,
    extra: Fields = (),
    length: int | None = None,
    date: str | None = None,
) -> bytes:
    """A request signed with version 4: head and ``body``.  ``headers`` are signed, ``extra`` fields are not.

    ``length``: what Content-Length says instead of the truth.
    """
    fields = signed_fields(gateway, method, target, headers, user=user, payload=payload, date=date)
    if body is not None or length is not None:
        fields.append(("Content-Length", str(len(body or b"") if length is None else length)))
    return head_bytes(method, target, [*fields, *extra]) + (body or b"")


def signed_fields(
    gateway: Addressee,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    *,
    user: User | None = None,
    payload: str = UNSIGNED,
    date: str | None = None,
) -> list[tuple[str, str]]:
    """The fields of a signed head, Authorization last."""
    who = user or gateway.owner
    date = date or amz_date()
    signs = {"host": f"127.0.0.1:{gateway.port}", "x-amz-date": date, "x-amz-content-sha256": payload}
    signs |= {name.lower(): value for name, value in (headers or {}).items()}
    names = ";".join(sorted(signs))
    claim = sigv4.Claim(who.access_key, date[:8], gateway.region, date, names, "", payload)
    head = RequestHead(method, target, Headers(signs.items()))
    key = sigv4.signing_key(who.secret_key, date[:8], gateway.region)
    signature = sigv4.sign(key, sigv4.string_to_sign(claim, sigv4.canonical_request(head, claim)))
    credential = f"{who.access_key}/{claim.scope}"
    authorization = f"{sigv4.ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return [*signs.items(), ("authorization", authorization)]


def presigned(
    gateway: Addressee,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    *,
    user: User | None = None,
    expires: str = "60",
    date: str | None = None,
) -> str:
    """The target of a presigned URL; host is all that it signs."""
    who = user or gateway.owner
    date = date or amz_date()
    scope = f"{date[:8]}/{gateway.region}/s3/aws4_request"
    values = {
        "X-Amz-Algorithm": sigv4.ALGORITHM,
        "X-Amz-Credential": f"{who.access_key}/{scope}",
        "X-Amz-Date": date,
        "X-Amz-Expires": expires,
        "X-Amz-SignedHeaders": "host",
        **(query or {}),
    }
    target = f"{path}?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in values.items())
    claim = sigv4.Claim(who.access_key, date[:8], gateway.region, date, "host", "", UNSIGNED, lifetime=3600)
    head = RequestHead(method, target, Headers([("host", f"127.0.0.1:{gateway.port}")]))
    key = sigv4.signing_key(who.secret_key, date[:8], gateway.region)
    return (
        f"{target}&X-Amz-Signature={sigv4.sign(key, sigv4.string_to_sign(claim, sigv4.canonical_request(head, claim)))}"
    )


def call(
    gateway: Addressee,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    user: User | None = None,
    payload: str = UNSIGNED,
    extra: Fields = (),
) -> Answer:
    """One signed request on a connection of its own."""
    with wire(gateway) as to:
        return to.ask(signed(gateway, method, target, body, headers, user=user, payload=payload, extra=extra), method)


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds, now or within PATIENCE."""
    until = time.monotonic() + PATIENCE
    while not (held := holds()) and time.monotonic() < until:
        select.select([], [], [], 0.02)
    return held
