"""Raw-socket conversations with the real loop and the toy protocol: framing, persistence, refusals, bad heads."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.form_kit import CONTENT_TYPE, encode
from tests.server.toy import content_of, get, read_all, read_response, toy_server

HEAD = re.compile(rb"HTTP/1\.1 (\d+) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n", re.S)


def put(path: str, body: bytes, *fields: str, method: str = "PUT") -> bytes:
    return get(path, f"Content-Length: {len(body)}", *fields, method=method) + body


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;x=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nx-trailer: 1\r\n\r\n"


def test_head_fields_and_keep_alive() -> None:
    with toy_server() as server, server.connect() as sock:
        seen = set()
        for _ in range(3):
            sock.sendall(get("/bytes/5"))
            status, headers, body = read_response(sock)
            assert (status, body) == (200, content_of(5))
            assert headers["server"] == "CurvineS3" and headers["x-amz-id-2"] == "host"
            assert headers["date"].endswith(" GMT") and "connection" not in headers
            assert re.fullmatch("[0-9A-Z]{16}", headers["x-amz-request-id"])
            seen.add(headers["x-amz-request-id"])
        assert len(seen) == 3


@pytest.mark.parametrize("local", [True, False], ids=["sendfile", "copied"])
@pytest.mark.parametrize("size", [0, 1, 4096, 65536, 65537, 3_000_001])
def test_spans(size: int, local: bool) -> None:
    with toy_server() as server, server.connect() as sock:
        server.store.local = local
        for _ in range(2):
            sock.sendall(get(f"/span/{size}"))
            assert read_response(sock)[2] == content_of(size)
        sock.sendall(get("/bytes/0"))
        read_response(sock)
        assert all(content.closed for content in server.store.opened) and len(server.store.opened) == 2


@pytest.mark.parametrize("path", ["/bytes/100000", "/span/100000", "/span/10", "/refuse"])
def test_head_has_no_body(path: str) -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get(path, method="HEAD") + get("/bytes/1"))
        assert read_response(sock, head_only=True)[1]["content-length"] != "0"
        assert read_response(sock)[2] == content_of(1)


def test_no_content_has_no_length() -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/fail"))
        status, headers, _ = read_response(sock)
        assert status == 500 and "content-length" in headers


@pytest.mark.parametrize("count", [2, 40, 200])
def test_pipelined_requests_are_answered_in_order(count: int) -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(b"".join(get(f"/bytes/{n}") for n in range(count)))
        assert [len(read_response(sock)[2]) for _ in range(count)] == list(range(count))


def test_a_request_may_come_byte_by_byte() -> None:
    with toy_server() as server, server.connect() as sock:
        for byte in put("/body/100", b"hello"):
            sock.sendall(bytes([byte]))
        assert read_response(sock)[2] == b"5 " + hashlib.md5(b"hello").hexdigest().encode()


@pytest.mark.parametrize("size", [0, 1, 70_000, 300_000, 1_200_000, 5_000_000])
@pytest.mark.parametrize("form", ["length", "chunked"])
def test_bodies(size: int, form: str) -> None:
    body = content_of(size)
    request = put("/body/9999999", body)
    if form == "chunked":
        request = get("/body/9999999", "Transfer-Encoding: chunked", method="PUT") + chunked(body, 70_001)
    with toy_server() as server, server.connect() as sock:
        for _ in range(2):
            sock.sendall(request + get("/bytes/3"))
            assert read_response(sock)[2] == f"{size} {hashlib.md5(body).hexdigest()}".encode()
            assert read_response(sock)[2] == content_of(3)
        if size > 1 << 20:
            assert [bytes(sink.data) for sink in server.store.sinks] == [body] * 2
        assert all(sink.closed for sink in server.store.sinks)


def test_slivers_are_joined() -> None:
    body = content_of(20_000)
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/body/99999", "Transfer-Encoding: chunked", method="PUT") + chunked(body, 1))
        assert read_response(sock)[2] == f"20000 {hashlib.md5(body).hexdigest()}".encode()


def test_continue_is_sent_when_the_body_is_wanted() -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/body/100", "Expect: 100-Continue", "Content-Length: 5", method="PUT"))
        assert read_response(sock)[0] == 100
        sock.sendall(b"hello")
        assert read_response(sock)[:1] == (200,)


@pytest.mark.parametrize("ahead", [0, 300])
def test_continue_is_sent_once_for_a_form(ahead: int) -> None:
    """Also where its file comes later than its fields; and the connection goes on."""
    body = encode({"key": "k"}, content_of(100_000))
    fields = ("Expect: 100-continue", f"Content-Length: {len(body)}", f"Content-Type: {CONTENT_TYPE}")
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/form/100000", *fields, method="POST") + body[:ahead])
        if not ahead:
            assert read_response(sock)[0] == 100
        sock.sendall(body[ahead:50_000])
        sock.sendall(body[50_000:] + get("/bytes/3"))
        assert read_response(sock)[2] == f"100000 {hashlib.md5(content_of(100_000)).hexdigest()}".encode()
        assert read_response(sock)[2] == content_of(3)


def test_continue_is_not_sent_when_the_body_is_there() -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(put("/body/100", b"hello", "Expect: 100-continue"))
        assert read_response(sock)[0] == 200


def test_continue_is_not_sent_to_a_refused_request() -> None:
    with toy_server() as server:
        answer = server.talk(get("/refuse", "Expect: 100-continue", "Content-Length: 5", method="PUT"))
    assert answer.startswith(b"HTTP/1.1 403") and b"Connection: close" in answer


def test_unknown_expectations_are_ignored() -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(put("/body/100", b"hello", "Expect: 200-ok"))
        assert read_response(sock)[0] == 200


@pytest.mark.parametrize("when", ["together", "later"])
@pytest.mark.parametrize("form", ["length", "chunked"])
def test_a_small_unread_body_keeps_the_connection(when: str, form: str) -> None:
    body = content_of(100_000)
    request, rest = get("/refuse", f"Content-Length: {len(body)}", method="PUT"), body
    if form == "chunked":
        request, rest = get("/refuse", "Transfer-Encoding: chunked", method="PUT"), chunked(body, 4000)
    with toy_server() as server, server.connect() as sock:
        if when == "together":
            sock.sendall(request + rest)
            assert read_response(sock)[0] == 403
        else:
            sock.sendall(request)
            assert read_response(sock)[0] == 403
            sock.sendall(rest)
        sock.sendall(get("/bytes/7"))
        assert read_response(sock)[2] == content_of(7)


def test_a_large_unread_body_closes_but_the_answer_arrives() -> None:
    with toy_server() as server:
        answer = server.talk(put("/refuse", content_of(3_000_000)))
    assert answer.startswith(b"HTTP/1.1 403") and b"Connection: close" in answer and answer.endswith(b"no")


def test_an_endless_unread_body_is_not_drained_for_ever() -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/refuse", "Transfer-Encoding: chunked", method="PUT"))
        assert read_response(sock)[0] == 403
        try:
            while True:
                sock.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
        except OSError:
            pass  # closed by the server: what this test is about


@pytest.mark.parametrize(
    "fields, version, keeps",
    [
        ((), "1.1", True),
        (("Connection: close",), "1.1", False),
        (("Connection: x, CLOSE",), "1.1", False),
        (("Connection: keep-alive", "Connection: close"), "1.1", False),
        ((), "1.0", False),
        (("Connection: Keep-Alive",), "1.0", True),
    ],
)
def test_persistence(fields: tuple[str, ...], version: str, keeps: bool) -> None:
    with toy_server() as server, server.connect() as sock:
        sock.sendall(get("/bytes/1", *fields, version=version))
        _, headers, _ = read_response(sock)
        if keeps:
            assert headers.get("connection", "keep-alive") == "keep-alive"
            sock.sendall(get("/bytes/2"))
            assert read_response(sock)[2] == content_of(2)
        else:
            assert headers["connection"] == "close" and read_all(sock) == b""


def test_a_half_closed_client_gets_its_answer() -> None:
    with toy_server() as server:
        assert server.talk(get("/bytes/4"), half_close=True).endswith(content_of(4))
        assert server.talk(put("/body/9", b"hi"), half_close=True).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "data, code",
    [
        (b"GET / HTTP/1.1\n\n", b"BadRequest"),
        (b"GET /\r\n\r\n", b"BadRequest"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"BadRequest"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"BadRequest"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"HTTPVersionNotSupported"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"NotImplemented"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"BadRequest"),
        (b"GET /" + b"a" * 20_000, b"InvalidURI"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 20_000, b"RequestHeaderSectionTooLarge"),
    ],
)
def test_malformed_heads_are_answered_and_closed(data: bytes, code: bytes) -> None:
    with toy_server() as server:
        answer = server.talk(data)
    assert answer.endswith(code) and b"Connection: close" in answer and b"x-amz-request-id" in answer


def test_empty_lines_before_a_request_are_skipped() -> None:
    with toy_server() as server, server.connect() as sock:
        for _ in range(2):
            sock.sendall(b"\r\n\r\n\r\n" + get("/bytes/1"))
            assert read_response(sock)[2] == content_of(1)


@pytest.mark.parametrize("path", ["/boom", "/fail"])
def test_a_defect_is_an_internal_error(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with toy_server() as server:
        answer = server.talk(get(path))
    match = HEAD.match(answer)
    assert match and match[1] == b"500" and answer.endswith(b"InternalError") and b"defect" not in answer
    request_id = re.search(rb"x-amz-request-id: (\w+)", answer)
    assert request_id and any(request_id[1].decode() in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("body, code", [(b"zz\r\n", b"BadRequest"), (b"5\r\nhe", b"IncompleteBody")])
def test_bad_bodies_close(body: bytes, code: bytes) -> None:
    with toy_server() as server:
        request = get("/body/99", "Transfer-Encoding: chunked", method="PUT") + body
        answer = server.talk(request, half_close=True)
    assert answer.endswith(code) and b"Connection: close" in answer


def test_a_body_past_the_limit_is_refused_before_it_is_asked_for() -> None:
    with toy_server() as server:
        answer = server.talk(get("/body/9", "Content-Length: 99999999", "Expect: 100-continue", method="PUT"))
    assert answer.startswith(b"HTTP/1.1 400") and answer.endswith(b"EntityTooLarge")


def test_a_body_that_grows_past_the_limit_is_refused() -> None:
    with toy_server() as server:
        request = get("/body/9", "Transfer-Encoding: chunked", method="PUT") + chunked(content_of(50), 10)
        assert b"EntityTooLarge" in server.talk(request, half_close=True)


def test_documents() -> None:
    body = content_of(100_000)
    with toy_server() as server, server.connect() as sock:
        sock.sendall(put("/document", body, method="POST"))
        assert read_response(sock)[2] == body
        sock.sendall(put("/document", bytes(2_000_000)[:1_048_577], method="POST"))
        assert read_response(sock)[2] == b"MaxMessageLengthExceeded"


@pytest.mark.parametrize("size", [1000, 1_000_000])
@pytest.mark.parametrize("local", [True, False], ids=["sendfile", "copied"])
def test_an_object_that_shrinks_breaks_the_connection(size: int, local: bool) -> None:
    with toy_server() as server:
        server.store.local, server.store.truncated = local, True
        answer = server.talk(get(f"/span/{size}"))
        assert len(answer) < size
        assert server.store.opened[0].closed
