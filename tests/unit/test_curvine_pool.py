"""Connections that wait to be used again."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from curvinefs.curvine.errors import ConnectionLost
from curvinefs.curvine.frames import Frame, Request, encode
from curvinefs.curvine.pool import Address, Connection, Pool
from tests.sim.server import Server


def echo(frame: Frame) -> tuple[bytes, bytes]:
    return frame.header, bytes(frame.data)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(lambda: echo)
    server.start()
    yield server
    server.stop()


def address(server: Server) -> Address:
    return Address("127.0.0.1", server.port)


def pool(max_idle_s: float = 60.0, max_idle: int = 2) -> Pool:
    return Pool(5.0, 5.0, max_idle_s, max_idle)


def ask(connection: Connection, header: bytes = b"x", data: bytes = b"") -> Frame:
    connection.send((encode(1, Request.RPC, 7, header=header, data_len=len(data)), data))
    return connection.receive()


def test_last_in_first_out(server: Server) -> None:
    idle = pool(max_idle=3)
    taken = [idle.take(address(server)) for _ in range(3)]
    for connection in taken:
        idle.give(connection)
    assert [idle.take(address(server)) for _ in range(3)] == taken[::-1]
    for connection in taken:
        connection.close()


def test_most_idle(server: Server) -> None:
    idle = pool(max_idle=2)
    first, second, third = (idle.take(address(server)) for _ in range(3))
    for connection in (first, second, third):
        idle.give(connection)
    assert first.socket.fileno() == -1
    idle.close()
    assert (second.socket.fileno(), third.socket.fileno()) == (-1, -1)


def test_too_old(server: Server) -> None:
    idle = pool(max_idle_s=-1.0)
    first = idle.take(address(server))
    idle.give(first)
    second = idle.take(address(server))
    assert second is not first and first.socket.fileno() == -1
    second.close()


def test_closed_by_peer(server: Server) -> None:
    idle = pool()
    first = idle.take(address(server))
    ask(first)
    idle.give(first)
    server.cut_all()
    while first.is_quiet():  # until the end has arrived
        pass
    second = idle.take(address(server))
    assert second is not first
    assert ask(second).header == b"x"
    idle.give(second)
    idle.close()


def test_unasked_bytes(server: Server) -> None:
    idle = pool()
    first = idle.take(address(server))
    first.send((encode(1, Request.RPC, 7),))
    while first.is_quiet():
        pass
    idle.give(first)
    second = idle.take(address(server))
    assert second is not first
    second.close()


def test_large_messages_in_many_parts(server: Server) -> None:
    """More than the socket's buffers hold and more parts than one call takes."""
    connection = Connection(address(server), 5.0, 5.0)
    pieces = [bytes([number % 251]) * 60_000 for number in range(200)]
    connection.send([encode(1, Request.RPC, 7, data_len=12_000_000), *pieces])
    assert bytes(connection.receive().data) == b"".join(pieces)
    connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "x" * 300, "a..b"])
def test_nobody_there(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ConnectionLost) as caught:
        pool().take(Address(host, port))
    assert not caught.value.sent


def test_impossible_port() -> None:
    with pytest.raises(ConnectionLost):
        pool().take(Address("127.0.0.1", 2**17))


def test_no_answer_in_time(server: Server) -> None:
    connection = Connection(address(server), 5.0, 0.05)
    with pytest.raises(ConnectionLost, match="no answer in time"):
        connection.receive()
    assert connection.socket.fileno() == -1


def test_garbage_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(Address("127.0.0.1", listener.getsockname()[1]), 5.0, 5.0)
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(ConnectionLost):
                connection.receive()
    assert connection.socket.fileno() == -1


def test_child_begins_afresh(server: Server) -> None:
    idle = pool()
    first = idle.take(address(server))
    ask(first)
    idle.give(first)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = idle.take(address(server))
            code = 0 if own is not first and ask(own).header == b"x" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    again = idle.take(address(server))
    assert again is first and ask(again).header == b"x"
    again.close()


def test_child_closes_what_threads_of_its_parent_use(server: Server) -> None:
    used = pool()
    taken = used.take(address(server))
    child = os.fork()
    if child == 0:
        os._exit(0 if taken.socket.fileno() == -1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(taken).header == b"x"
    taken.close()


def test_connections_of_a_peer_that_nobody_asks_any_more(server: Server) -> None:
    old = Server(lambda: lambda frame: (frame.header, b""))
    old.start()
    idle = pool(max_idle_s=0.0)
    first = idle.take(address(old))
    idle.give(first)
    time.sleep(0.001)
    other = idle.take(address(server))
    idle.give(other)
    assert first.socket.fileno() == -1
    idle.close()
    old.stop()
