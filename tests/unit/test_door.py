"""The door: open, shut, left to others, closed."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator

import pytest

from s3server.balance import PATIENCE, Balance
from s3server.config import Address
from s3server.door import Door
from s3server.listener import Listener


class Broken(Listener):
    def accept(self) -> tuple[socket.socket, str]:
        raise OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as made:
        yield made


def waiting(door: Door, epoll: select.epoll) -> bool:
    """Whether epoll tells of a connection at the door."""
    return any(fd == door.fd for fd, _ in epoll.poll(0.1))


def test_taking_connections(epoll: select.epoll) -> None:
    listener = Listener(Address("127.0.0.1", 0))
    door = Door(epoll, listener, Balance(1), 0)
    with socket.create_connection((listener.address.host, listener.address.port), 10):
        assert not waiting(door, epoll)
        door.open()
        door.open()
        assert waiting(door, epoll)
        door.shut()
        assert not waiting(door, epoll)
        door.open()
        assert not door.leave_to_others(5.0)
        taken = door.take()
        assert taken is not None and taken[1].startswith("127.0.0.1:")
        taken[0].close()
        assert door.take() is None
    door.close()
    door.close()
    door.open()
    assert door.fd == -1 and not waiting(door, epoll)


def test_leaving_connections_to_others(epoll: select.epoll) -> None:
    balance = Balance(2)
    door = Door(epoll, Listener(Address("127.0.0.1", 0)), balance, 0)
    door.open()
    door.count(3)
    balance.set(1, 2)
    assert door.leave_to_others(5.0) and door.due == 5.0 + PATIENCE
    assert balance.has_more(0) and not balance.has_more(1)
    door.retire()
    assert not balance.has_more(1)
    door.close()
    assert door.due == 0.0


def test_a_door_that_cannot_take_is_shut(epoll: select.epoll) -> None:
    listener = Broken(Address("127.0.0.1", 0))
    door = Door(epoll, listener, Balance(1), 0)
    door.open()
    with socket.create_connection((listener.address.host, listener.address.port), 10):
        assert waiting(door, epoll)
        assert door.take() is None and not waiting(door, epoll)
        door.open()
        assert waiting(door, epoll)
    door.close()
