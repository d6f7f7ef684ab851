"""Early heads: when they are sent, how they end, and that no client holds the ticker."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from s3server.connection import Connection, ConnectionLost
from s3server.early_head import EVERY, FIRST, EarlyHead, Ticker

DOCUMENT = b'<?xml version="1.0" encoding="UTF-8"?>\n<Late/>'


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connection = Connection(ours, "peer", 0.0)
    with theirs:
        yield connection, theirs
    connection.close()


def test_nothing_is_sent_in_the_first_seconds(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    early, ticker = EarlyHead(connection, b"HEAD", True), Ticker()
    ticker.add(early)
    ticker.tick(time.monotonic())
    with pytest.raises(BlockingIOError):
        client.recv(100)
    assert not early.finish()
    ticker.tick(time.monotonic() + FIRST + 1)
    with pytest.raises(BlockingIOError):
        client.recv(100)


@pytest.mark.parametrize("chunked", [True, False])
def test_head_spaces_and_the_rest(pair: tuple[Connection, socket.socket], chunked: bool) -> None:
    connection, client = pair
    early, ticker, now = EarlyHead(connection, b"HEAD", chunked), Ticker(), time.monotonic() + FIRST + 1
    ticker.add(early)
    for seconds in (0.0, 0.0, EVERY - 1, EVERY):
        ticker.tick(now + seconds)
    sent = client.recv(1000)
    assert sent.startswith(b"HEAD") and sent.count(b"<?xml") == 1
    assert sent.endswith(b"1\r\n \r\n" if chunked else b"?>\n ")
    assert early.finish()
    assert early.rest(DOCUMENT) == (b"7\r\n<Late/>\r\n0\r\n\r\n" if chunked else b"<Late/>")
    assert early.rest(b"") == (b"0\r\n\r\n" if chunked else b"")
    ticker.remove(early)
    ticker.remove(early)


def test_a_client_that_does_not_take_it_is_lost(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    assert connection.send_some([bytes(10_000_000)])
    early = EarlyHead(connection, b"HEAD", True)
    early.tick(time.monotonic() + FIRST + 1)
    early.tick(time.monotonic() + FIRST + 100)
    with pytest.raises(ConnectionLost):
        early.finish()


def test_a_client_that_has_gone_is_lost(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    client.close()
    early = EarlyHead(connection, b"HEAD", True)
    early.tick(time.monotonic() + FIRST + 1)
    with pytest.raises(ConnectionLost):
        early.finish()
