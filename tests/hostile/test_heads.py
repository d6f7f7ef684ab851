"""Request heads that nobody should send: refused with AWS's code, and the connection closed where its end is in doubt.

Follows RFC 9112 (11.2 request smuggling), RFC 9110 9.3.2, "Error responses" (Amazon S3 API Reference).
"""

from __future__ import annotations

import pytest

from tests.gateway import Gateway
from tests.hostile.wire import Closed, head_bytes, signed, signed_fields, wire

pytestmark = pytest.mark.compat

GET = "GET /bkt/k HTTP/1.1\r\nHost: h\r\n"
PUT = "PUT /bkt/k HTTP/1.1\r\nHost: h\r\n"
MALFORMED = {
    "no-version": ("GET /\r\n\r\n", 400, "BadRequest"),
    "old-version": ("GET / HTTP/0.9\r\n\r\n", 505, "HTTPVersionNotSupported"),
    "http2-preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTPVersionNotSupported"),
    "lower-case-version": ("GET / http/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "tls-on-a-plain-port": ("\x16\x03\x01\x02\x00\x01", 400, "BadRequest"),
    "two-spaces": ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "tabs": ("GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "space-in-target": ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "method-is-no-token": ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "connect": ("CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "fragment": ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "no-slash": ("GET bkt/k HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "absolute-elsewhere": ("GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "absolute-with-user": ("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "bare-lf": ("GET / HTTP/1.1\nHost: h\n\n", 400, "BadRequest"),
    "bare-lf-in-a-field": (f"{GET}A: b\nB: c\r\n\r\n", 400, "BadRequest"),
    "bare-cr": (f"{GET}A: b\rB: c\r\n\r\n", 400, "BadRequest"),
    "nul-in-target": ("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BadRequest"),
    "nul-in-a-field": (f"{GET}A: \0\r\n\r\n", 400, "BadRequest"),
    "folded": (f"{GET}A: b\r\n c\r\n\r\n", 400, "BadRequest"),
    "no-colon": (f"{GET}A\r\n\r\n", 400, "BadRequest"),
    "no-name": (f"{GET}: a\r\n\r\n", 400, "BadRequest"),
    "space-before-colon": ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400, "BadRequest"),
    "no-host": ("GET / HTTP/1.1\r\n\r\n", 400, "BadRequest"),
    "two-hosts": (f"{GET}Host: h\r\n\r\n", 400, "BadRequest"),
    "host-with-path": ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "BadRequest"),
    "host-with-user": ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "BadRequest"),
    "length-and-chunked": (f"{PUT}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "BadRequest"),
    "two-lengths": (f"{PUT}Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, "BadRequest"),
    "list-of-lengths": (f"{PUT}Content-Length: 5, 5\r\n\r\n", 400, "BadRequest"),
    "length-plus": (f"{PUT}Content-Length: +5\r\n\r\n", 400, "BadRequest"),
    "length-minus": (f"{PUT}Content-Length: -5\r\n\r\n", 400, "BadRequest"),
    "length-underscore": (f"{PUT}Content-Length: 5_0\r\n\r\n", 400, "BadRequest"),
    "length-hex": (f"{PUT}Content-Length: 0x5\r\n\r\n", 400, "BadRequest"),
    "length-superscript": (f"{PUT}Content-Length: \xb2\r\n\r\n", 400, "BadRequest"),
    "length-empty": (f"{PUT}Content-Length:\r\n\r\n", 400, "BadRequest"),
    "length-past-64-bits": (f"{PUT}Content-Length: {'9' * 20}\r\n\r\n", 400, "BadRequest"),
    "coding-gzip": (f"{PUT}Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "NotImplemented"),
    "coding-nearly": (f"{PUT}Transfer-Encoding: xchunked\r\n\r\n", 501, "NotImplemented"),
    "coding-with-vertical-tab": (f"{PUT}Transfer-Encoding: \x0bchunked\r\n\r\n", 400, "BadRequest"),
    "two-codings": (f"{PUT}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 501, "NotImplemented"),
    "coding-on-1.0": (f"{PUT.replace('1.1', '1.0')}Transfer-Encoding: chunked\r\n\r\n", 400, "BadRequest"),
    "long-target": (f"GET /{'a' * 17_000} HTTP/1.1\r\nHost: h\r\n\r\n", 414, "InvalidURI"),
    "endless-target": (f"GET /{'a' * 20_000}", 414, "InvalidURI"),
    "long-field": (f"{GET}A: {'b' * 40_000}\r\n\r\n", 400, "RequestHeaderSectionTooLarge"),
    "many-fields": (GET + "A: b\r\n" * 200 + "\r\n", 400, "RequestHeaderSectionTooLarge"),
    "endless-fields": (GET + "A: b\r\n" * 6000, 400, "RequestHeaderSectionTooLarge"),
}


@pytest.mark.parametrize(("data", "status", "code"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(gateway: Gateway, data: str, status: int, code: str) -> None:
    with wire(gateway) as to:
        answer = to.ask(data.encode("latin-1"))
        assert answer.told == (status, code)
        assert answer.headers["connection"] == "close" and to.closes()


def test_a_malformed_head_request_is_told_its_status_only(gateway: Gateway) -> None:
    with wire(gateway) as to:
        answer = to.ask(b"HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n", "HEAD")
        assert answer.status == 400 and to.closes()


ADDRESSES = {
    "percent": ("/bkt/%", 400, "InvalidURI"),
    "percent-not-hex": ("/bkt/%zz", 400, "InvalidURI"),
    "percent-u": ("/bkt/%u0041", 400, "InvalidURI"),
    "not-utf8": ("/bkt/%ff", 400, "InvalidURI"),
    "raw-not-utf8": ("/bkt/\xff", 400, "InvalidURI"),
    "surrogate": ("/bkt/%ed%a0%80", 400, "InvalidURI"),
    "overlong": ("/bkt/%c0%af", 400, "InvalidURI"),
    "query-not-utf8": ("/bkt?prefix=%ff", 400, "InvalidURI"),
    "key-too-long": (f"/bkt/{'a' * 1025}", 400, "KeyTooLongError"),
    "key-too-long-in-utf8": (f"/bkt/{'%C3%A9' * 513}", 400, "KeyTooLongError"),
    "bucket-dots": ("/../k", 400, "InvalidBucketName"),
    "bucket-nul": ("/bkt%00/k", 400, "InvalidBucketName"),
    "bucket-slash": ("/bkt%2fk", 400, "InvalidBucketName"),
    "bucket-ours": ("/.s3~/format.json", 400, "InvalidBucketName"),
    "bucket-of-curvine": ("/system/k", 404, "NoSuchBucket"),
    "method-unknown": ("/bkt/k", 405, "MethodNotAllowed"),
}


@pytest.mark.parametrize(("target", "status", "code"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses(gateway: Gateway, target: str, status: int, code: str) -> None:
    method = "FROB" if status == 405 else "GET"
    with wire(gateway) as to:
        for _ in range(2):  # refused, but understood: the connection goes on
            assert to.ask(signed(gateway, method, target)).told == (status, code)


def test_ten_thousand_parameters_cost_no_more_than_their_bytes(gateway: Gateway) -> None:
    with wire(gateway) as to:
        target = "/bkt?" + "&".join(["a"] * 8000)
        assert to.ask(signed(gateway, "GET", target)).status == 200


# ------------------------------------------------------------------------------- where one request ends


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_follows_a_body_is_the_next_request(gateway: Gateway, framing: str) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n" if framing == "chunked" else b"hello"
    field = ("Transfer-Encoding", "chunked") if framing == "chunked" else ("Content-Length", "5")
    put = head_bytes("PUT", "/bkt/next", [*signed_fields(gateway, "PUT", "/bkt/next"), field]) + body
    with wire(gateway) as to:
        to.send(put + signed(gateway, "GET", "/bkt/next") + b"garbage\r\n\r\n" + signed(gateway, "GET", "/bkt/next"))
        assert to.answer().status == 200
        assert to.answer().body == b"hello"
        assert to.answer().told == (400, "BadRequest")
        assert to.closes()


def test_a_body_that_nobody_asked_for_is_not_a_request(gateway: Gateway) -> None:
    smuggled = signed(gateway, "DELETE", "/bkt/k")
    with wire(gateway) as to:
        to.send(signed(gateway, "GET", "/bkt/k", smuggled) + signed(gateway, "GET", "/bkt/k"))
        assert to.answer().body == to.answer().body == b"old"


def test_underscores_are_no_dashes(gateway: Gateway) -> None:
    with wire(gateway) as to:
        fields = signed_fields(gateway, "PUT", "/bkt/score")
        data = head_bytes("PUT", "/bkt/score", [*fields, ("Content-Length", "5"), ("Transfer_Encoding", "chunked")])
        assert to.ask(data + b"hello").status == 200
        assert to.ask(signed(gateway, "GET", "/bkt/score")).body == b"hello"


@pytest.mark.parametrize(("said", "keeps"), [(None, False), ("keep-alive", True), ("close", False)])
def test_http_1_0(gateway: Gateway, said: str | None, keeps: bool) -> None:
    fields = [*signed_fields(gateway, "GET", "/bkt/k"), *([("Connection", said)] if said else [])]
    data = head_bytes("GET", "/bkt/k", fields).replace(b"HTTP/1.1", b"HTTP/1.0")
    with wire(gateway) as to:
        assert to.ask(data).body == b"old"
        if keeps:
            assert to.ask(data).body == b"old"
        else:
            assert to.closes()


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\nHo", b"\r\n\r\n"])
def test_half_a_head_and_gone(gateway: Gateway, data: bytes) -> None:
    with wire(gateway) as to:
        to.send(data)
        to.half_close()
        with pytest.raises(Closed, match="b''"):
            to.answer()
