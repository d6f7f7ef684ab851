"""Any way in which the bytes of some pipelined requests arrive gives the same answers; any bytes at all give answers
that are whole, and an end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from s3server import connection
from tests.form_kit import CONTENT_TYPE, encode
from tests.server.toy import ToyServer, content_of, get, toy_server

RESPONSE = re.compile(
    rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?(?:Content-Length: (\d+)\r\n(?:[^\r\n]+\r\n)*)?\r\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[ToyServer]:
    with toy_server() as running:
        yield running


def converse(server: ToyServer, stream: bytes, receive: int) -> bytes:
    """Send a stream to a server that takes ``receive`` bytes at a time; answers all that comes back until it closes."""
    before = connection.RECEIVE
    connection.RECEIVE = receive
    try:
        return server.talk(stream, half_close=True)
    finally:
        connection.RECEIVE = before


def parse(answers: bytes) -> list[tuple[int, bytes]]:
    """Cut responses apart; AssertionError when they are not whole."""
    found = []
    while answers:
        match = RESPONSE.match(answers)
        assert match, answers[:200]
        length = int(match[2] or 0)
        body = answers[match.end() : match.end() + length]
        assert len(body) == length
        found.append((int(match[1]), body))
        answers = answers[match.end() + length :]
    return found


BODIES = st.binary(max_size=300)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, tuple[int, bytes]]:
    """A request and its answer."""
    kind = draw(st.sampled_from(["bytes", "length", "chunked", "refuse", "form"]))
    if kind == "bytes":
        size = draw(st.integers(0, 2000))
        return get(f"/bytes/{size}"), (200, content_of(size))
    body = draw(BODIES)
    digest = hashlib.md5(body).hexdigest()
    whole = encode({"key": "k"}, body) if kind == "form" else body
    raw, field = whole, f"Content-Length: {len(whole)}"
    if kind != "length" and draw(st.booleans()) or kind == "chunked":
        cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
        chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        raw = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
        field = "Transfer-Encoding: chunked"
    if kind == "refuse":
        return get("/refuse", field, method="PUT") + raw, (403, b"no")
    if kind == "form":
        fields = (field, f"Content-Type: {CONTENT_TYPE}")
        return get("/form/9999", *fields, method="POST") + raw, (200, f"{len(body)} {digest}".encode())
    return get("/body/9999", field, method="PUT") + raw, (200, f"{len(body)} {digest}".encode())


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(requests(), min_size=1, max_size=5), receive=st.integers(1, 200))
def test_answers_do_not_depend_on_how_bytes_arrive(
    server: ToyServer, asked: list[tuple[bytes, tuple[int, bytes]]], receive: int
) -> None:
    stream = b"".join(request for request, _ in asked)
    assert parse(converse(server, stream, receive)) == [answer for _, answer in asked]


WHOLE = [get("/bytes/3"), get("/body/9", "Content-Length: 3", method="PUT"), b"\r\n", b"GET / HTTP/1.1\r\n"]


@settings(max_examples=100, deadline=None)
@given(pieces=st.lists(st.binary(max_size=60) | st.sampled_from(WHOLE), max_size=6), receive=st.integers(1, 200))
@example([b"GET / HTTP/1.1\r\n", b"\r\n\r\n"], 1)
def test_any_bytes_get_whole_answers(server: ToyServer, pieces: list[bytes], receive: int) -> None:
    stream = b"".join(pieces)
    assume(b"HEAD" not in stream)  # what is answered to that has no body, and ``parse`` wants one
    parse(converse(server, stream, receive))
