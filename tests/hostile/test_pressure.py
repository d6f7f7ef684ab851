"""Clients that take without giving: memory, descriptors and threads stay bounded, others are served, all comes back.

Bounds are of resources, never of time: what is served beside a crowd is only required to be served.

Follows docs/architecture.md ("Processes, threads, connections"), RFC 9112 9.5 (tear-down).
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.gateway import Gateway, running_gateway, unfinished
from tests.hostile.wire import Answer, Closed, Wire, call, eventually, head_bytes, signed, signed_fields, wire

pytestmark = pytest.mark.compat

MIB = 1 << 20
GROWTH = 64 * MIB
"""What a worker may hold for bodies and documents: its buffers (48 MiB of them, 16 MiB of bodies in memory)."""
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with little of everything."""
    settings = {"max_connections": 300, "threads": 40, "head_timeout_secs": 2, "idle_timeout_secs": 2}
    settings |= {"request_timeout_secs": 2}
    directory = tmp_path_factory.mktemp("small")
    with running_gateway(directory, durability="none", workers=1, settings=settings) as gateway:
        assert call(gateway, "PUT", "/bkt").status == call(gateway, "PUT", "/bkt/k", b"old").status == 200
        yield gateway
        assert " ERROR " not in gateway.log, gateway.log[-4000:]


def descriptors(gateway: Gateway) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in gateway.worker_pids)


def resident(gateway: Gateway) -> int:
    """Bytes of the largest worker."""
    sizes = []
    for pid in gateway.worker_pids:
        pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
        sizes.append(int(pages) * resource.getpagesize())
    return max(sizes)


@contextmanager
def crowd(gateway: Gateway, *greetings: tuple[int, bytes]) -> Iterator[list[Wire]]:
    """So many connections that have said so much, and say no more."""
    with ExitStack() as opened:
        wires = []
        for count, greeting in greetings:
            for _ in range(count):
                wires.append(Wire(gateway.port))
                opened.callback(wires[-1].close)
                wires[-1].send(greeting)
        yield wires


def test_idle_and_slow_clients_hold_nobody_up(gateway: Gateway) -> None:
    before = descriptors(gateway)
    assert call(gateway, "PUT", "/bkt/large", b"x" * (8 * MIB)).status == 200
    stalled = signed(gateway, "PUT", "/bkt/stalled", b"x" * MIB, length=5 * MIB)
    unread = signed(gateway, "GET", "/bkt/large")
    slow = b"GET /bkt/k HTTP/1.1\r\nHost: h\r\nX: "
    with crowd(gateway, (300, b""), (100, slow), (50, stalled), (20, unread)) as clients:
        for drop in range(5):
            for client in clients[300:400]:
                client.send(b"x")
            with wire(gateway) as to:
                for _ in range(20):
                    assert to.ask(signed(gateway, "GET", "/bkt/k")).body == b"old"
                assert to.ask(signed(gateway, "PUT", f"/bkt/beside{drop}", b"x")).status == 200
        assert call(gateway, "GET", "/healthz").status == 200
        for client in clients[300:400]:
            assert client.ask(b"\r\n\r\n").code == "AccessDenied"
    assert eventually(lambda: descriptors(gateway) <= before)
    assert eventually(lambda: not unfinished(gateway.data))


def test_every_wait_ends(small: Gateway) -> None:
    stalled = signed(small, "PUT", "/bkt/stalled", b"x", length=5)
    with crowd(small, (3, b""), (3, b"GET / HT"), (3, stalled)) as clients:
        for client in clients[:6]:
            with suppress(Closed):
                assert client.answer().status == 400
        for client in clients[6:]:
            assert client.answer().told == (400, "RequestTimeout")
            assert client.closes()


def test_more_connections_than_there_is_room_for(small: Gateway) -> None:
    """Idle ones go first; who has begun to speak stays; the next one is served."""
    with crowd(small, (600, b"")):
        assert descriptors(small) < 400
        for _ in range(3):
            assert call(small, "GET", "/bkt/k").body == b"old"
    with crowd(small, (250, b"GET /bkt/k HTTP/1.1\r\nHost: h\r\n"), (300, b"")) as clients:
        assert clients[0].ask(b"\r\n").code == "AccessDenied"
    assert eventually(lambda: call(small, "GET", "/bkt/k").body == b"old")


def test_stalled_bodies_leave_room_for_reading(small: Gateway) -> None:
    """They may hold all threads: what needs none is served, and the rest when their time is up."""
    with crowd(small, (60, signed(small, "PUT", "/bkt/stalled", b"x", length=2 * MIB))):
        with wire(small) as to:
            for _ in range(50):
                assert to.ask(signed(small, "GET", "/bkt/k")).body == b"old"
        assert call(small, "PUT", "/bkt/waited", b"x").status == 200
    assert eventually(lambda: not unfinished(small.data))


# -------------------------------------------------------------------------------------------------- floods


def head(gateway: Gateway, method: str, target: str, *fields: tuple[str, str], **headers: str) -> bytes:
    signs = {name.replace("_", "-"): value for name, value in headers.items()}
    payload = TRAILER if "x-amz-decoded-content-length" in signs else "UNSIGNED-PAYLOAD"
    return head_bytes(method, target, [*signed_fields(gateway, method, target, signs, payload=payload), *fields])


CHUNKED = ("Transfer-Encoding", "chunked")
FLOODS: dict[str, tuple[Callable[[Gateway], bytes], bytes]] = {
    "field": (lambda g: b"GET / HTTP/1.1\r\nX: ", b"x" * MIB),
    "fields": (lambda g: b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 100_000),
    "target": (lambda g: b"GET /", b"x" * MIB),
    "empty-lines": (lambda g: b"", b"\r\n" * 100_000),
    "chunk-extension": (lambda g: head(g, "PUT", "/bkt/f", CHUNKED) + b"5;", b"x" * MIB),
    "chunk-trailers": (lambda g: head(g, "PUT", "/bkt/f", CHUNKED) + b"0\r\n", b"x: y\r\n" * 100_000),
    "huge-chunk": (lambda g: head(g, "PUT", "/bkt/f", CHUNKED) + b"ffffffffffff\r\n", b"x" * MIB),
    "tiny-chunks": (lambda g: head(g, "PUT", "/bkt/f", CHUNKED), b"1\r\nx\r\n" * 2000),
    "huge-length": (lambda g: head(g, "PUT", "/bkt/f", ("Content-Length", str(1 << 42))), b"x" * MIB),
    "content-extension": (
        lambda g: head(g, "PUT", "/bkt/f", CHUNKED, x_amz_decoded_content_length="5") + b"ffffffff\r\n5;",
        b"x" * MIB,
    ),
    "content-huge-chunk": (
        lambda g: head(g, "PUT", "/bkt/f", CHUNKED, x_amz_decoded_content_length=str(1 << 42))
        + b"ffffffff\r\nffffffff\r\n",
        b"x" * MIB,
    ),
    "document": (lambda g: head(g, "PUT", "/never-made", CHUNKED) + b"ffffffff\r\n", b"x" * MIB),
    "upload-document": (lambda g: head(g, "POST", "/bkt/k?uploadId=x", CHUNKED) + b"ffffffff\r\n", b"<a>" * 300_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_cost_no_memory(gateway: Gateway, name: str) -> None:
    begin, piece = FLOODS[name]
    before = resident(gateway)
    with wire(gateway) as to:
        to.send(begin(gateway))
        with suppress(OSError):
            for _ in range(24):
                to.sock.sendall(piece)
        assert resident(gateway) < before + GROWTH
        to.half_close()
        with suppress(Closed, ConnectionResetError):
            assert 400 <= to.answer().status < 500
    assert eventually(lambda: not unfinished(gateway.data))
    assert call(gateway, "GET", "/bkt/k").body == b"old"


def test_bodies_in_memory_have_a_budget(gateway: Gateway) -> None:
    before = resident(gateway)
    whole = signed(gateway, "PUT", "/bkt/budget", b"x" * (MIB - 1), length=MIB)
    names = signed(gateway, "POST", "/bkt/k?uploadId=x", b"<" * MIB, length=2 * MIB)
    with crowd(gateway, (60, whole), (30, names)):
        assert call(gateway, "GET", "/bkt/k").body == b"old"
        assert resident(gateway) < before + GROWTH


@pytest.mark.parametrize(
    "inner", [b"<Part><PartNumber>1</PartNumber></Part>" * 40_000, b"<a " + b"a=''" * 400_000], ids=["elements", "tag"]
)
def test_parsed_documents_have_a_budget(gateway: Gateway, inner: bytes) -> None:
    """Each is within its limit; it is all of them at once that would not fit."""
    before = resident(gateway)
    data = signed(gateway, "POST", "/bkt/k?uploadId=x", b"<CompleteMultipartUpload>" + inner)
    with crowd(gateway, (24, data)) as clients:
        told = {client.answer().told for client in clients}
    assert told <= {(400, "MalformedXML"), (503, "SlowDown")}
    assert resident(gateway) < before + 4 * GROWTH


def test_a_large_object_costs_no_memory_either_way(gateway: Gateway) -> None:
    before = resident(gateway)
    size = 128 * MIB
    with wire(gateway) as to:
        to.send(signed(gateway, "PUT", "/bkt/huge", length=size))
        for _ in range(size // MIB):
            to.sock.sendall(b"x" * MIB)
        assert to.answer().status == 200
        to.send(signed(gateway, "GET", "/bkt/huge"))
        received, buffer = 0, bytearray(MIB)
        while received < size:
            received += to.sock.recv_into(buffer)
    assert resident(gateway) < before + GROWTH


def test_pipelines_that_nobody_reads(gateway: Gateway) -> None:
    before = resident(gateway)
    with ExitStack() as opened:
        for _ in range(10):
            to = opened.enter_context(wire(gateway))
            to.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            to.sock.settimeout(0.05)
            with suppress(TimeoutError):
                to.sock.sendall(signed(gateway, "GET", "/bkt?list-type=2") * 5000)
        assert call(gateway, "GET", "/bkt/k").body == b"old"
        assert resident(gateway) < before + GROWTH


def test_pipelines_are_answered_in_order(gateway: Gateway) -> None:
    with wire(gateway) as to:
        targets = [f"/bkt/k?response-content-type=t{n}" for n in range(200)]
        to.send(b"".join(signed(gateway, "GET", target) for target in targets))
        answers: list[Answer] = [to.answer() for _ in targets]
    assert [answer.headers["content-type"] for answer in answers] == [f"t{n}" for n in range(200)]
