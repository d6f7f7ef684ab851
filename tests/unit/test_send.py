"""Sending spans: from local files, through a buffer, in pieces; and contents that end too early."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from curvinefs.api import Extent
from s3proto.http import Span
from s3server.connection import Connection, ConnectionLost, Pace
from s3server.send import read_pieces, read_span, send_span
from tests.server.toy import ToyContent, content_of, read_all


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    connection = Connection(ours, "peer", 0.0)
    with theirs:
        yield connection, theirs
    connection.close()


@pytest.mark.parametrize("local", [True, False], ids=["sendfile", "copied"])
@pytest.mark.parametrize("first, length", [(0, 3_000_000), (1, 2_999_999), (5, 70_000)])
def test_spans(pair: tuple[Connection, socket.socket], local: bool, first: int, length: int) -> None:
    connection, client = pair
    content = ToyContent(3_000_000, local=local)

    def send() -> None:
        send_span(connection, b"head", Span(content, first, length), Pace(10.0), 65_536)
        connection.shutdown_write()

    sender = threading.Thread(target=send)
    sender.start()
    assert read_all(client) == b"head" + content_of(3_000_000)[first : first + length]
    sender.join()
    content.close()


def test_pieces_share_one_buffer() -> None:
    content = ToyContent(100_000, local=False)
    pieces, buffers = [], set()
    for piece in read_pieces(Span(content, 7, 99_000), 40_000):
        pieces.append(bytes(piece))
        buffers.add(id(piece.obj))
    assert b"".join(pieces) == content_of(100_000)[7:99_007] and len(pieces) == 3 and len(buffers) == 1
    assert bytes(read_span(Span(content, 99_990, 10))) == content_of(100_000)[-10:]
    assert bytes(read_span(Span(content, 0, 0))) == b""
    content.close()


@pytest.mark.parametrize("local", [True, False], ids=["sendfile", "copied"])
def test_contents_that_end_too_early(pair: tuple[Connection, socket.socket], local: bool) -> None:
    content = ToyContent(100_000, local=local)
    content.truncate(50_000)
    with pytest.raises(ConnectionLost, match="shorter"):
        send_span(pair[0], b"head", Span(content, 0, 100_000), Pace(10.0), 65_536)
    with pytest.raises(ConnectionLost, match="shorter"):
        read_span(Span(content, 49_999, 2))
    content.close()


def test_a_file_that_sendfile_cannot_read_is_a_defect(pair: tuple[Connection, socket.socket]) -> None:
    class Pipe:
        def extents(self, first: int, length: int) -> Sequence[Extent] | None:
            return [Extent(pair[1].fileno(), 0, length)]

        def readinto(self, first: int, buffer: memoryview) -> int:
            raise AssertionError("not used")

    with pytest.raises((OSError, ConnectionLost)):
        send_span(pair[0], b"head", Span(Pipe(), 0, 10), Pace(10.0), 65_536)


def test_a_client_that_has_gone(pair: tuple[Connection, socket.socket]) -> None:
    content = ToyContent(100_000, local=True)
    pair[1].close()
    with pytest.raises(ConnectionLost):
        send_span(pair[0], b"head", Span(content, 0, 100_000), Pace(10.0), 65_536)
    content.close()
