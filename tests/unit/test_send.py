"""Sending spans: from local files, through a buffer, in pieces; and contents that end too early."""

from __future__ import annotations

import errno
import mmap
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from curvinefs.api import Extent
from s3proto.http import Span
from s3server.connection import Connection, ConnectionLost, Pace
from s3server.send import WINDOW, read_pieces, read_span, send_span
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


@pytest.fixture
def neighbours() -> Iterator[tuple[Connection, socket.socket]]:
    """A TCP connection whose client is on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as theirs:
        theirs.settimeout(10)
        ours, _ = listener.accept()
        connection = Connection(ours, "peer", 0.0)
        yield connection, theirs
        connection.close()


def _refuse(*_: object, **__: object) -> mmap.mmap:
    raise OSError(errno.ENODEV, "this file system cannot")


def _refuse_later() -> Callable[..., mmap.mmap]:
    answers = [mmap.mmap]
    return lambda *arguments, **named: (answers.pop() if answers else _refuse)(*arguments, **named)


@pytest.mark.parametrize(
    "mapping", [lambda: mmap.mmap, lambda: _refuse, _refuse_later], ids=["mapped", "refused", "refused later"]
)
@pytest.mark.parametrize("first, length", [(0, 9_000_000), (1, 8_999_998), (4096, 5_000_001), (4_799_999, 4_200_001)])
def test_spans_to_a_client_of_this_machine(
    neighbours: tuple[Connection, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    mapping: Callable[[], Callable[..., mmap.mmap]],
    first: int,
    length: int,
) -> None:
    connection, client = neighbours
    content = ToyContent(9_000_000, local=True)
    mapped: list[int] = []
    real = mapping()

    def counted(fd: int, size: int, **named: int) -> mmap.mmap:
        mapped.append(size)
        return real(fd, size, **named)

    monkeypatch.setattr("s3server.send.mmap.mmap", counted)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(client)))
    reader.start()
    send_span(connection, b"head", Span(content, first, length), Pace(10.0), 65_536)
    connection.shutdown_write()
    reader.join()
    content.close()
    assert received == [b"head" + content_of(9_000_000)[first : first + length]]
    assert mapped and max(mapped) <= WINDOW


def test_what_is_mapped_and_ends_too_early(neighbours: tuple[Connection, socket.socket]) -> None:
    connection, client = neighbours
    content = ToyContent(9_000_000, local=True)
    content.truncate(4_400_000)
    reader = threading.Thread(target=lambda: read_all(client))
    reader.start()
    with pytest.raises(ConnectionLost, match="shorter"):
        send_span(connection, b"head", Span(content, 0, 9_000_000), Pace(10.0), 65_536)
    connection.close()
    reader.join()
    content.close()


def test_what_is_cut_off_while_it_is_mapped(neighbours: tuple[Connection, socket.socket]) -> None:
    """A signal (SIGBUS) would end this process here if anything but the kernel read the mapping."""
    connection, client = neighbours
    content = ToyContent(16_000_000, local=True)
    lost: list[BaseException] = []

    def deliver() -> None:
        try:
            send_span(connection, b"head", Span(content, 0, 16_000_000), Pace(10.0), 65_536)
        except ConnectionLost as error:
            lost.append(error)
        connection.close()

    sender = threading.Thread(target=deliver)
    sender.start()
    assert client.recv(4, socket.MSG_WAITALL) == b"head"
    content.truncate(0)  # nobody reads: the sender waits in the middle of a window
    received = read_all(client)
    sender.join()
    content.close()
    assert len(lost) == 1 and content_of(16_000_000).startswith(received) and len(received) < 16_000_000


@pytest.mark.parametrize("first, length", [(0, 9_000_000), (1, 8_388_607)], ids=["within a page", "whole pages"])
def test_no_zeros_are_sent_for_what_was_cut_off(
    neighbours: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch, first: int, length: int
) -> None:
    """A mapping shows zeros between the end of a file and that of its last page."""
    connection, client = neighbours
    content = ToyContent(9_000_000, local=True)
    real = mmap.mmap

    def cut_off(fd: int, size: int, **named: int) -> mmap.mmap:
        window = real(fd, size, **named)
        if named["offset"] + size > first + length - 2 * WINDOW:
            content.truncate(first + length - 5)
        return window

    monkeypatch.setattr("s3server.send.mmap.mmap", cut_off)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(client)))
    reader.start()
    with pytest.raises(ConnectionLost, match="shorter"):
        send_span(connection, b"head", Span(content, first, length), Pace(10.0), 65_536)
    connection.close()
    reader.join()
    content.close()
    assert received == [b"head" + content_of(9_000_000)[first : first + length - 5]]


def test_a_client_of_this_machine_that_goes_in_the_middle(neighbours: tuple[Connection, socket.socket]) -> None:
    connection, client = neighbours
    content = ToyContent(16_000_000, local=True)

    def go() -> None:
        client.recv(100_000)
        client.close()

    goes = threading.Thread(target=go)
    goes.start()
    with pytest.raises(ConnectionLost):
        send_span(connection, b"head", Span(content, 0, 16_000_000), Pace(10.0), 65_536)
    goes.join()
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
