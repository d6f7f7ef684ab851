"""Request bodies over a connection: what has come, what is asked for, what is left over."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from s3proto.errors import BadRequest, IncompleteBody, RequestTimeout
from s3proto.http import parse_head
from s3server.connection import Connection
from s3server.socket_body import CONTINUE, DRAINED, SocketBody
from tests.server.toy import get

NEXT = get("/next")


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    connection = Connection(ours, "peer", 0.0)
    with theirs:
        yield connection, theirs
    connection.close()


def body_of(connection: Connection, client: socket.socket, *fields: str, sent: bytes = b"") -> SocketBody:
    """The body of a request that has come with ``sent`` behind its head."""
    client.sendall(get("/", *fields, method="PUT") + sent)
    assert connection.receive()
    data = connection.take_head()
    assert data is not None
    return SocketBody(connection, parse_head(data), 0.05)


def read(body: SocketBody) -> bytes:
    data = b"".join(map(bytes, body.begin()))
    buffer = memoryview(bytearray(7))
    while not body.complete:
        data += b"".join(map(bytes, body.fill(buffer)[1]))
    return data


@pytest.mark.parametrize("field, raw", [("Content-Length: 10", b"0123456789"), ("Transfer-Encoding: chunked", None)])
@pytest.mark.parametrize("split", [0, 1, 5, 10])
def test_bodies(pair: tuple[Connection, socket.socket], field: str, raw: bytes | None, split: int) -> None:
    connection, client = pair
    raw = raw or b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"
    body = body_of(connection, client, field, sent=raw[:split])
    client.sendall(raw[split:] + NEXT)
    assert read(body) == b"0123456789" and body.received == 10 and body.settle() and body.complete
    assert connection.receive()
    assert connection.take_head() == NEXT


@pytest.mark.parametrize(
    "fields, sent, arrived",
    [
        ((), b"", True),
        (("Content-Length: 0",), b"", True),
        (("Content-Length: 3",), b"ab", False),
        (("Content-Length: 3",), b"abc", True),
        (("Content-Length: 3",), b"abc" + NEXT, True),
        (("Transfer-Encoding: chunked",), b"0\r\n\r\n", False),
    ],
)
def test_what_has_arrived(
    pair: tuple[Connection, socket.socket], fields: tuple[str, ...], sent: bytes, arrived: bool
) -> None:
    assert body_of(*pair, *fields, sent=sent).arrived == arrived


@pytest.mark.parametrize("length, asked", [("0", True), ("5", True), (None, False)])
def test_continue(pair: tuple[Connection, socket.socket], length: str | None, asked: bool) -> None:
    connection, client = pair
    fields = ["Expect: 100-continue", *([f"Content-Length: {length}"] if length else [])]
    body = body_of(connection, client, *fields)
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(100)
    body.begin()
    body.begin()
    if asked:
        assert client.recv(100) == CONTINUE
    else:
        with pytest.raises(BlockingIOError):
            client.recv(100)


@pytest.mark.parametrize(
    "fields, sent, usable, complete",
    [
        (("Content-Length: 5",), b"01234" + NEXT, True, True),
        (("Content-Length: 5",), b"0", True, False),
        ((f"Content-Length: {DRAINED}",), b"", True, False),
        ((f"Content-Length: {DRAINED + 1}",), b"", False, False),
        (("Content-Length: 5", "Expect: 100-continue"), b"", False, False),
        (("Transfer-Encoding: chunked",), b"5\r\n0", True, False),
        (("Transfer-Encoding: chunked",), b"x\r\n", False, False),
        ((), NEXT, True, True),
    ],
)
def test_settling_an_unread_body(
    pair: tuple[Connection, socket.socket], fields: tuple[str, ...], sent: bytes, usable: bool, complete: bool
) -> None:
    connection, client = pair
    body = body_of(connection, client, *fields, sent=sent)
    assert body.settle() == usable and body.complete == complete
    if sent.endswith(NEXT):
        assert connection.take_head() == NEXT


def test_broken_bodies_end_their_connection(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    slow = body_of(connection, client, "Content-Length: 5", sent=b"0")
    with pytest.raises(RequestTimeout):
        read(slow)
    assert not slow.settle()
    wrong = body_of(connection, client, "Transfer-Encoding: chunked", sent=b"x\r\n")
    with pytest.raises(BadRequest):
        read(wrong)
    assert not wrong.settle()
    short = body_of(connection, client, "Content-Length: 5", sent=b"0")
    client.close()
    with pytest.raises(IncompleteBody):
        read(short)
    assert not short.settle()


def test_slivers_are_joined(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    sent = b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"
    pieces = body_of(connection, client, "Transfer-Encoding: chunked", sent=sent).begin()
    assert [bytes(piece) for piece in pieces] == [b"x" * 1000]
