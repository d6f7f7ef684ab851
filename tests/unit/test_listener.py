"""Binding: addresses of all kinds, and one clear line when it fails."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

import pytest

from s3server.config import Address
from s3server.listener import Listener, ListenError

needs_ipv6 = pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")


@pytest.mark.parametrize(
    "host, reached_by",
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        pytest.param("::1", "::1", marks=needs_ipv6),
        pytest.param("::", "127.0.0.1", marks=needs_ipv6),
        pytest.param("::", "::1", marks=needs_ipv6),
    ],
)
def test_addresses(host: str, reached_by: str) -> None:
    listener = Listener(Address(host, 0))
    try:
        assert listener.address.host == host and listener.address.port > 0
        with pytest.raises(BlockingIOError):
            listener.accept()
        with socket.create_connection((reached_by, listener.address.port), 10) as client:
            sock, peer = listener.accept()
            with sock:
                port = client.getsockname()[1]
                assert peer in (f"127.0.0.1:{port}", f"[::1]:{port}")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        listener.server_close()


def test_a_port_in_use_names_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = Address("127.0.0.1", holder.getsockname()[1])
        with pytest.raises(ListenError) as caught:
            Listener(address)
    assert f"cannot listen on {address}: the port is in use by PID {os.getpid()} (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["host.invalid", "192.0.2.1", "a" * 70 + ".invalid"])
def test_addresses_that_are_not_ours(host: str) -> None:
    with pytest.raises(ListenError, match="cannot listen on"):
        Listener(Address(host, 0))


def test_a_certificate_that_cannot_be_loaded(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    for cert in (tmp_path / "missing.pem", broken):
        with pytest.raises(ListenError, match="cannot be loaded"):
            Listener(Address("127.0.0.1", 0), cert, broken)


def test_newcomers_are_left_out_while_the_queue_is_emptied() -> None:
    """Without an answer, not refused: they try again by themselves.  Who is in already, is served."""
    listener = Listener(Address("127.0.0.1", 0))
    try:
        address = ("127.0.0.1", listener.address.port)
        with socket.create_connection(address, 10) as early, socket.socket() as late:
            listener.leave_newcomers()
            late.setblocking(False)
            with pytest.raises(BlockingIOError):
                late.connect(address)
            accepted, peer = listener.accept()
            with accepted:
                assert peer == f"127.0.0.1:{early.getsockname()[1]}"
                early.sendall(b"x")
                assert accepted.recv(1) == b"x"
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert select.select([], [late], [], 0)[1] == []
    finally:
        listener.server_close()
