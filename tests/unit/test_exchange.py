"""One request: where it may stop, what it closes, what is said of it in the log."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3server.access_log import AccessLog
from s3server.connection import Connection
from s3server.exchange import SMALL_BODY, Exchange, Outcome, Service
from s3server.turn import ORDINARY
from tests.drive import freed_at_once
from tests.server.toy import ToyStore, content_of, get, read_response, toy_service


class Full:
    """The lead, while no other thread is spare."""

    inline = True

    def leave(self) -> bool:
        return False


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    connection = Connection(ours, "peer", 0.0)
    with theirs:
        yield connection, theirs
    connection.close()


def begin(service: Service, connection: Connection, client: socket.socket, request: bytes) -> Exchange:
    client.sendall(request)
    assert connection.receive()
    data = connection.take_head()
    assert data is not None
    return Exchange(service, connection, data)


@pytest.mark.parametrize("path", ["/bytes/100", "/span/100", "/refuse", "/boom"])
def test_quick_requests_need_no_other_thread(pair: tuple[Connection, socket.socket], path: str) -> None:
    exchange = begin(toy_service(ToyStore()), *pair, get(path))
    assert exchange.run(Full()) in (Outcome.KEEP, Outcome.LOST)
    assert read_response(pair[1])[0] in (200, 403, 500)


@pytest.mark.parametrize("path", ["/early", "/fail", f"/span/{SMALL_BODY + 1}", f"/bytes/{SMALL_BODY + 1}"])
def test_others_stop_and_go_on_elsewhere(pair: tuple[Connection, socket.socket], path: str) -> None:
    store = ToyStore()
    store.hold.set()
    exchange = begin(toy_service(store), *pair, get(path))
    assert exchange.run(Full()) is Outcome.LATER
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)
    pair[1].settimeout(10)
    assert exchange.run(ORDINARY) in (Outcome.KEEP, Outcome.LOST)
    assert read_response(pair[1])[0] in (200, 500)
    assert all(content.closed for content in store.opened)


def test_a_body_that_is_there_does_not_wait(pair: tuple[Connection, socket.socket]) -> None:
    request = get("/body/9", "Content-Length: 5", method="PUT")
    assert begin(toy_service(ToyStore()), *pair, request + b"hello").run(Full()) is Outcome.KEEP
    assert begin(toy_service(ToyStore()), *pair, request + b"hell").run(Full()) is Outcome.LATER


def test_what_does_not_fit_waits_in_the_outbox(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    while not connection.send_some([content_of(SMALL_BODY)]):
        pass
    assert begin(toy_service(ToyStore()), connection, client, get("/bytes/60000")).run(Full()) is Outcome.KEEP
    assert connection.outbox.endswith(content_of(60_000))


@pytest.mark.parametrize("size", [9, SMALL_BODY + 1, 3_000_000])
def test_what_cannot_be_read_from_the_start_is_refused(pair: tuple[Connection, socket.socket], size: int) -> None:
    store = ToyStore()
    store.local, store.readable = False, 0
    assert begin(toy_service(store), *pair, get(f"/span/{size}")).run(ORDINARY) is Outcome.KEEP
    assert read_response(pair[1])[0] == 503
    assert store.opened[0].closed


def test_what_cannot_be_read_to_its_end_is_broken_off(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    store = ToyStore()
    store.local, store.readable = False, 2_000_000
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(lambda: client.makefile("rb").read())
        assert begin(toy_service(store), connection, client, get("/span/3000000")).run(ORDINARY) is Outcome.LOST
        connection.close()
        head, _, body = received.result(30).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and content_of(3_000_000).startswith(body) and len(body) < 3_000_000


def test_abandoning_closes_what_was_opened(pair: tuple[Connection, socket.socket]) -> None:
    store = ToyStore()
    exchange = begin(toy_service(store), *pair, get(f"/span/{SMALL_BODY + 1}"))
    assert exchange.run(Full()) is Outcome.LATER and not store.opened[0].closed
    exchange.abandon()
    assert store.opened[0].closed


@pytest.mark.parametrize(
    "request_bytes, outcome",
    [
        (get("/bytes/1"), Outcome.KEEP),
        (get("/bytes/1", "Connection: close"), Outcome.LOST),
        (get("/bytes/1", "Connection: close") + b"more", Outcome.CLOSE),
        (get("/refuse", "Content-Length: 9", method="PUT"), Outcome.DRAIN),
        (get("/refuse", "Content-Length: 999999999", method="PUT"), Outcome.CLOSE),
    ],
)
def test_what_becomes_of_the_connection(
    pair: tuple[Connection, socket.socket], request_bytes: bytes, outcome: Outcome
) -> None:
    assert begin(toy_service(ToyStore()), *pair, request_bytes).run(ORDINARY) is outcome


@pytest.mark.parametrize("path", ["/bytes/9", "/span/9", "/refuse"])
def test_a_request_is_freed_when_it_is_over(pair: tuple[Connection, socket.socket], path: str) -> None:
    service = toy_service(ToyStore())
    with freed_at_once():
        begin(service, *pair, get(path)).run(ORDINARY)


def test_the_log(pair: tuple[Connection, socket.socket], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    service = toy_service(ToyStore(), access_log=AccessLog(logging.getLogger("test.exchange")))
    for request in (
        get("/body/9", "Content-Length: 5", method="PUT") + b"hello",
        get("/bytes/10", method="HEAD"),
        get("/refuse"),
    ):
        begin(service, *pair, request).run(ORDINARY)
    service.access_log.flush()
    lines = [line.partition(": ")[2].split(" ") for line in caplog.messages[-1].splitlines()]
    assert [line[1:-1] for line in lines] == [
        ["peer", "-", '"PUT', '/body/9"', "200", "-", "5", "34"],
        ["peer", "-", '"HEAD', '/bytes/10"', "200", "-", "0", "0"],
        ["peer", "-", '"GET', '/refuse"', "403", "AccessDenied", "0", "2"],
    ]
