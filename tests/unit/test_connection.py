"""The inbox, the pace, and both directions of a connection over a socket pair."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from s3proto.errors import BadRequest, RequestHeaderSectionTooLarge, RequestTimeout, URITooLong
from s3proto.http import MAX_HEAD
from s3server.connection import MIN_RATE, Connection, ConnectionLost, Pace, State

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    connection = Connection(ours, "peer", 0.0)
    with theirs:
        yield connection, theirs
    connection.close()


def test_heads_are_cut_off_one_by_one(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    assert connection.state is State.IDLE and connection.take_head() is None
    client.sendall(b"\r\n\n\r\n" + HEAD + HEAD + b"GET")
    assert connection.receive()
    assert [connection.take_head() for _ in range(3)] == [HEAD, HEAD, None]
    assert connection.inbox_size == 3
    client.sendall(HEAD[3:])
    assert connection.receive() and connection.take_head() == HEAD and connection.inbox_size == 0


def test_a_head_may_come_byte_by_byte(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    for byte in HEAD[:-1]:
        client.sendall(bytes([byte]))
        assert connection.receive() and connection.take_head() is None
    client.sendall(HEAD[-1:])
    assert connection.receive() and connection.take_head() == HEAD


@pytest.mark.parametrize(
    "data, error",
    [
        (b"GET / HTTP/1.1\n\n", BadRequest),
        (b"\x16\x03\x01", BadRequest),
        (b"G" * 20_000, URITooLong),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEAD // 6), RequestHeaderSectionTooLarge),
    ],
)
def test_what_can_never_become_a_head(
    pair: tuple[Connection, socket.socket], data: bytes, error: type[Exception]
) -> None:
    connection, client = pair
    client.sendall(data)
    assert connection.receive()
    with pytest.raises(error):
        connection.take_head()


def test_the_end_of_the_stream(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    assert connection.receive() and not connection.has_sent()
    client.sendall(HEAD)
    assert connection.has_sent()
    client.close()
    assert connection.receive() and not connection.receive()
    assert connection.take_head() == HEAD
    assert connection.recv_into(memoryview(bytearray(1)), Pace(1.0)) == 0
    with pytest.raises(ConnectionLost):
        connection.send_all(bytes(10), Pace(1.0))


def test_waiting_is_bounded(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    with pytest.raises(RequestTimeout):
        connection.recv_into(memoryview(bytearray(1)), Pace(0.01))
    with pytest.raises(ConnectionLost):
        connection.send_all(bytes(10_000_000), Pace(0.01))


def test_what_does_not_fit_is_given_back(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    data = bytes(range(256)) * 20_000
    rest = connection.send_some([b"head", data])
    assert 0 < len(rest) < len(data) and data.endswith(rest)
    assert connection.send_some([b"more"]) == b"more"
    client.settimeout(10)
    left = 4 + len(data) - len(rest)
    while left:
        left -= len(client.recv(left))
    assert connection.send_some([b"more"]) == b""


def test_a_pace_has_a_limit_in_both_ways() -> None:
    pace = Pace(10.0)
    pace.moved(1 << 40)
    assert pace.left() <= 10.0  # much at once is no credit for later
    slow = Pace(0.0)
    for _ in range(1000):
        slow.moved(1)
    assert slow.left() <= 1000 / MIN_RATE  # and little by little is no progress


@pytest.mark.parametrize(
    ("listen", "family", "client", "target", "local"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", socket.AF_INET, "127.0.0.2", "127.0.0.1", False),
        ("::1", socket.AF_INET6, "::1", "::1", True),
        ("::", socket.AF_INET, "127.0.0.1", "127.0.0.1", True),
        ("::", socket.AF_INET, "127.0.0.2", "127.0.0.1", False),
    ],
)
def test_who_is_on_this_machine(listen: str, family: int, client: str, target: str, local: bool) -> None:
    """As addresses tell; IPv4 clients of a listener for both have mapped ones."""
    version = socket.AF_INET6 if ":" in listen else socket.AF_INET
    try:
        listener = socket.create_server((listen, 0), family=version, dualstack_ipv6=listen == "::")
    except (OSError, ValueError):
        pytest.skip("no IPv6 here")
    with listener, socket.socket(family) as theirs:
        theirs.bind((client, 0))
        theirs.connect((target, listener.getsockname()[1]))
        connection = Connection(listener.accept()[0], "peer", 0.0)
        assert connection.is_local() is local
        connection.close()
        assert connection.is_local() is False


def test_a_socket_without_addresses_is_not_local() -> None:
    """They tell nothing: sendfile is good everywhere."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours, "peer", 0.0)
    assert connection.is_local() is False
    connection.close()
    theirs.close()
