"""The loop under pressure: clients that wait, stall, crowd in and leave; who leads; how it ends."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from s3server import early_head
from s3server.balance import Balance
from s3server.config import Address
from s3server.listener import Listener
from s3server.loop import Limits, Loop
from tests.server.toy import (
    PATIENCE,
    ToyServer,
    ToyStore,
    content_of,
    get,
    read_all,
    read_response,
    toy_server,
    toy_service,
)


def ask(server: ToyServer, path: str = "/bytes/9") -> None:
    """A normal client must be served now."""
    with server.connect() as sock:
        sock.sendall(get(path))
        assert read_response(sock)[0] == 200


def test_waiting_clients_hold_no_thread() -> None:
    with toy_server(Limits(threads=1)) as server, ExitStack() as clients:
        idle = [clients.enter_context(server.connect()) for _ in range(100)]
        for sock in idle[:50]:
            sock.sendall(b"GET /bytes/1 HTTP/1.1\r\nHo")
        ask(server)
        for sock in idle[:50]:
            sock.sendall(b"st: toy\r\n\r\n")
            assert read_response(sock)[2] == content_of(1)


def test_stalled_bodies_may_hold_all_threads_and_small_requests_are_still_served() -> None:
    with toy_server(Limits(threads=2)) as server, ExitStack() as clients:
        stalled = [clients.enter_context(server.connect()) for _ in range(6)]
        for sock in stalled:
            sock.sendall(get("/body/100", "Content-Length: 10", method="PUT") + b"12345")
        for _ in range(3):
            ask(server)
            ask(server, "/span/4096")
        for sock in stalled:
            sock.sendall(b"67890")
            assert read_response(sock)[2].startswith(b"10 ")


def test_requests_in_line_get_their_turn() -> None:
    with toy_server(Limits(threads=1)) as server, ExitStack() as clients:
        waiting = [clients.enter_context(server.connect()) for _ in range(4)]
        for sock in waiting:
            sock.sendall(get("/early") + get("/span/200000"))
        assert server.store.held.acquire(timeout=PATIENCE)
        ask(server)
        server.store.hold.set()
        for sock in waiting:
            assert read_response(sock)[0] == 200
            assert read_response(sock)[2] == content_of(200_000)


def test_a_leader_that_is_stuck_is_deposed() -> None:
    """HeadBucket counts as quick until it was seen to wait: the first one blocks the loop's own thread."""
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/hold"))
        assert server.store.held.acquire(timeout=PATIENCE)
        ask(server)
        server.store.hold.set()
        assert read_response(sock)[2] == b"held"
        sock.sendall(get("/bytes/3"))
        assert read_response(sock)[2] == content_of(3)


def test_a_client_that_does_not_read_blocks_nobody() -> None:
    with toy_server(Limits(threads=1)) as server, server.connect() as small, server.connect() as large:
        small.sendall(get("/bytes/60000") * 200)
        large.sendall(get("/span/50000000"))
        for _ in range(5):
            ask(server)
        assert len(read_response(large)[2]) == 50_000_000
        for _ in range(200):
            assert len(read_response(small)[2]) == 60_000


@pytest.mark.parametrize(
    "limits, sent, answer",
    [
        (Limits(idle_timeout=0.1), get("/bytes/1"), content_of(1)),
        (Limits(head_timeout=0.1), b"GET / HT", b""),
        (Limits(head_timeout=0.1), b"", b""),
    ],
    ids=["idle", "slow head", "silent"],
)
def test_the_loop_gives_up(limits: Limits, sent: bytes, answer: bytes) -> None:
    with toy_server(limits) as server:
        assert server.talk(sent).endswith(answer)


def test_a_stalled_body_is_given_up() -> None:
    with toy_server(request_timeout=0.2) as server:
        answer = server.talk(get("/body/100", "Content-Length: 10", method="PUT") + b"12345")
    assert answer.endswith(b"RequestTimeout") and b"Connection: close" in answer


def test_a_reader_that_stalls_is_given_up() -> None:
    with toy_server(Limits(request_timeout=0.2), request_timeout=0.2) as server, server.connect() as sock:
        sock.sendall(get("/span/50000000"))
        until_closed(server, 0)
        assert len(read_all(sock)) < 50_000_000
    with toy_server(Limits(request_timeout=0.2), request_timeout=0.2) as server, server.connect() as sock:
        sock.sendall(get("/bytes/60000") * 500)
        until_closed(server, 0)


def until_closed(server: ToyServer, left: int) -> None:
    """Wait until the server has no more than ``left`` connections; a second client's round trips are the clock."""
    with server.connect() as clock:
        for _ in range(200_000):
            clock.sendall(get("/bytes/1"))
            read_response(clock)
            if server.loop.connection_count <= left + 1:
                return
    raise AssertionError(f"{server.loop.connection_count} connections are left")


def test_the_longest_idle_connection_makes_room() -> None:
    with toy_server(Limits(max_connections=3)) as server, ExitStack() as clients:
        first, second, third = (clients.enter_context(server.connect()) for _ in range(3))
        for sock in (first, second, third, first):
            sock.sendall(get("/bytes/1"))
            read_response(sock)
        ask(server)
        assert second.recv(1) == b""
        first.sendall(get("/bytes/1"))
        assert read_response(first)[0] == 200


def test_without_an_idle_one_newcomers_wait() -> None:
    with toy_server(Limits(max_connections=1)) as server, server.connect() as busy:
        busy.sendall(get("/body/100", "Content-Length: 10", "Connection: close", method="PUT") + b"12345")
        with server.connect() as late:
            late.sendall(get("/bytes/1"))
            busy.sendall(b"67890")
            assert read_response(busy)[0] == 200
            assert read_response(late)[0] == 200


def test_ending_finishes_what_is_in_flight() -> None:
    with toy_server() as server, server.connect() as idle, server.connect() as busy, server.connect() as head:
        idle.sendall(get("/bytes/1"))
        read_response(idle)
        busy.sendall(get("/body/100", "Content-Length: 10", method="PUT") + b"12345")
        head.sendall(b"GET /bytes/4 HTTP/1.1\r\n")
        ask(server)  # by now all of that has arrived
        server.loop.end()
        assert read_all(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            for _ in range(10_000):  # idle connections may go first, the listening socket just after
                with suppress(ConnectionResetError):  # at that very moment
                    server.connect().close()
        busy.sendall(b"67890")
        assert read_response(busy)[1]["connection"] == "close"
        head.sendall(b"Host: toy\r\n\r\n")
        _, headers, body = read_response(head)
        assert headers["connection"] == "close" and body == content_of(4)


def test_at_its_end_a_loop_takes_those_who_are_on_the_way() -> None:
    """Queued, connected, or about to use a connection again: each is answered once more."""
    with toy_server(Limits(last_call=1.5)) as server, server.connect() as kept, server.connect() as fresh:
        kept.sendall(get("/bytes/1"))
        read_response(kept)
        server.loop.end()
        with server.connect() as late:
            for sock in (late, kept, fresh):
                sock.sendall(get("/bytes/2"))
            for sock in (late, kept, fresh):
                status, headers, body = read_response(sock)
                assert (status, headers["connection"], body) == (200, "close", content_of(2))
        assert server.loop.idle.wait(PATIENCE)
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_health() -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/healthz"))
        assert read_response(sock)[::2] == (200, b"ok\n")
        assert server.talk(b"HEAD /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
        server.service.draining = True
        sock.sendall(get("/healthz?x"))
        assert read_response(sock)[::2] == (503, b"shutting down\n")


# ------------------------------------------------------------------------------------------------ early heads


def test_an_early_head_comes_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_head, "FIRST", 0.0)
    monkeypatch.setattr(early_head, "EVERY", 0.0)
    with toy_server() as server, server.connect() as sock, server.connect() as old:
        sock.sendall(get("/early"))
        old.sendall(get("/early", version="1.0"))
        for _ in range(2):
            assert server.store.held.acquire(timeout=PATIENCE)
        for now in range(3):
            server.service.ticker.tick(1e12 + now)
        server.store.hold.set()
        status, headers, _ = read_response(sock)
        assert status == 200 and headers["transfer-encoding"] == "chunked" and headers["x-early"] == "1"
        sock.sendall(get("/bytes/3", "Connection: close"))
        body, _, rest = read_all(sock).partition(b"0\r\n\r\n")
        declaration = b'27\r\n<?xml version="1.0" encoding="UTF-8"?>\n\r\n'
        assert body == declaration + b"1\r\n \r\n" * 2 + b"7\r\n<Late/>\r\n"
        assert rest.startswith(b"HTTP/1.1 200") and rest.endswith(content_of(3))
        head, _, body = read_all(old).partition(b"\r\n\r\n")
        assert b"chunked" not in head and b"Connection: close" in head
        assert body == b'<?xml version="1.0" encoding="UTF-8"?>\n  <Late/>'


def test_an_early_head_that_is_not_needed_is_not_sent() -> None:
    with toy_server() as server, server.connect() as sock:
        server.store.hold.set()
        sock.sendall(get("/early"))
        _, headers, body = read_response(sock)
        assert "x-early" not in headers and body.endswith(b"<Late/>")


# ------------------------------------------------------------------------------------------------ several workers


@pytest.fixture
def pair() -> Iterator[tuple[Listener, list[Loop]]]:
    """Two loops that share a listening socket, as two workers do."""
    listener = Listener(Address("127.0.0.1", 0))
    balance = Balance(2)
    with ExitStack() as stack:
        loops = []
        for index in range(2):
            share = stack.enter_context(socket.fromfd(listener.fileno(), socket.AF_INET, socket.SOCK_STREAM))
            loops.append(Loop(toy_service(ToyStore()), Limits(), _Share(listener, share), balance, index))
        for loop in loops:
            loop.start()
        yield listener, loops
        for loop in loops:
            loop.end()
            assert loop.idle.wait(PATIENCE)
            loop.close()
        listener.server_close()


class _Share:
    """One worker's descriptor of the common socket."""

    def __init__(self, listener: Listener, sock: socket.socket) -> None:
        self._listener, self._sock = listener, sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> tuple[socket.socket, str]:
        return self._listener.accept()

    def server_close(self) -> None:
        self._sock.close()


def test_connections_are_spread_evenly(pair: tuple[Listener, list[Loop]]) -> None:
    listener, loops = pair
    with ExitStack() as clients:
        socks = [
            clients.enter_context(socket.create_connection((listener.address.host, listener.address.port), PATIENCE))
            for _ in range(16)
        ]
        for sock in socks:
            sock.sendall(get("/bytes/1"))
        for sock in socks:
            assert read_response(sock)[0] == 200
        counts = sorted(loop.connection_count for loop in loops)
        assert sum(counts) == 16 and counts[0] >= 6


# -------------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    try:
        subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return cert, key


def test_tls(certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with toy_server(tls=certificate) as server, ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(20)]
        sock = stack.enter_context(context.wrap_socket(server.connect(), server_hostname="localhost"))
        body = content_of(3_000_000)
        for _ in range(2):
            sock.sendall(get("/bytes/100000") + get("/span/3000000") + get("/span/10"))
            assert read_response(sock)[2] == content_of(100_000)
            assert read_response(sock)[2] == body
            assert read_response(sock)[2] == content_of(10)
            sock.sendall(get("/body/9999999", f"Content-Length: {len(body)}", method="PUT") + body)
            assert read_response(sock)[2].startswith(b"3000000 ")
        sock.sendall(get("/bytes/60000") * 100)
        for _ in range(100):
            assert len(read_response(sock)[2]) == 60_000
        sock.sendall(get("/bytes/6", "Connection: close"))
        assert read_response(sock)[2] == content_of(6)
        assert read_all(sock) in (b"", b"<reset>")
        silent[0].sendall(get("/bytes/1"))  # plain HTTP to a TLS port
        assert b"200" not in read_all(silent[0])


def test_a_tls_connection_that_ends_in_the_handshake_is_forgotten(certificate: tuple[Path, Path]) -> None:
    with toy_server(tls=certificate) as server:
        with server.connect() as sock:
            sock.sendall(b"\x16\x03\x01")
        context = ssl.create_default_context(cafile=str(certificate[0]))
        with context.wrap_socket(server.connect(), server_hostname="localhost") as sock:
            sock.sendall(get("/bytes/1"))
            assert read_response(sock)[0] == 200
        server.listener.reload_tls()
        with context.wrap_socket(server.connect(), server_hostname="localhost") as sock:
            sock.sendall(get("/bytes/1"))
            assert read_response(sock)[0] == 200
