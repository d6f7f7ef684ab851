"""s3proto.http: heads, framing, response heads.  A file in heads/ is one head; a refused one begins with its status."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3proto.errors import BadRequest, IncompleteBody, RequestHeaderSectionTooLarge, S3Error, URITooLong
from s3proto.http import (
    MAX_CHUNK_LINE,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_TARGET,
    MAX_TRAILERS,
    Framing,
    HeadCache,
    Headers,
    RequestHead,
    Response,
    Span,
    parse_head,
    remembered,
    response_head,
)

HEADS = Path(__file__).parent / "heads"

VALID = {
    "plain": RequestHead("GET", "/b/k", Headers([("host", "h")])),
    "no-host-1.0": RequestHead("GET", "/", Headers(), (1, 0)),
    "minor-version": RequestHead("GET", "/", Headers([("host", "h")])),
    "leading-blank-line": RequestHead("GET", "/b/k", Headers([("host", "h")])),
    "absolute-form": RequestHead("GET", "/b/k?x=/y", Headers([("host", "h")])),
    "absolute-form-no-path": RequestHead("GET", "/?acl", Headers([("host", "h:443")])),
    "absolute-form-1.0": RequestHead("GET", "/b", Headers([("host", "h:9")]), (1, 0)),
    "length": RequestHead("GET", "/b/k", Headers([("host", "h"), ("content-length", "0012")])),
    "chunked": RequestHead("GET", "/b/k", Headers([("host", "h"), ("transfer-encoding", "Chunked")])),
    "white-space-around-value": RequestHead(
        "GET", "/b/k", Headers([("host", "h"), ("x-a", "a  b"), ("x-b", ""), ("x-c", "c")])
    ),
    "obs-text": RequestHead("GET", "/b/k", Headers([("host", "h"), ("x-a", "caf\xc3\xa0")])),
    "repeated": RequestHead("GET", "/b/k", Headers([("host", "h"), ("x-a", "1"), ("x-a", "2")])),
    "odd-target": RequestHead("GET", "//a/../%zz?&&=+\xff", Headers([("host", "[::1]:9900")])),
    "odd-method": RequestHead("M-SEARCH", "/", Headers([("host", "a_b.c")])),
}


def test_every_valid_head_has_its_expectation() -> None:
    assert {path.stem for path in (HEADS / "valid").iterdir()} == set(VALID)


@pytest.mark.parametrize("name", VALID)
def test_valid_head(name: str) -> None:
    assert parse_head((HEADS / "valid" / f"{name}.http").read_bytes()) == VALID[name]


@pytest.mark.parametrize("path", sorted((HEADS / "invalid").iterdir()), ids=lambda path: path.stem)
def test_invalid_head(path: Path) -> None:
    with pytest.raises(S3Error) as caught:
        parse_head(path.read_bytes())
    assert caught.value.status == int(path.stem.partition("-")[0])


def head(*lines: str) -> bytes:
    return "\r\n".join(["GET / HTTP/1.1", "Host: h", *lines, "", ""]).encode("latin-1")


def test_head_limits() -> None:
    assert len(parse_head(head(*(f"x-{n}: 1" for n in range(MAX_FIELDS - 1)))).headers) == MAX_FIELDS
    with pytest.raises(RequestHeaderSectionTooLarge):
        parse_head(head(*(f"x-{n}: 1" for n in range(MAX_FIELDS))))
    largest = head("x: " + "a" * (MAX_HEAD - len(head("x: "))))
    assert len(largest) == MAX_HEAD and parse_head(largest)
    with pytest.raises(RequestHeaderSectionTooLarge):
        parse_head(head("x: " + "a" * (MAX_HEAD - len(head("x: ")) + 1)))
    with pytest.raises(URITooLong):
        parse_head(head().replace(b" / ", b" /" + b"a" * MAX_TARGET + b" "))


def test_head_is_marked_secure() -> None:
    assert parse_head(head(), secure=True).secure and not parse_head(head()).secure


def test_target_parts() -> None:
    parsed = RequestHead("GET", "/b/k?a=?&b", Headers())
    assert (parsed.raw_path, parsed.raw_query) == ("/b/k", "a=?&b")


def test_headers_lookup() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3")])
    assert headers.get("a") == "1" and headers.get("c") is None and headers.get("c", "x") == "x"
    assert headers.all("a") == ["1", "3"] and headers.joined("a") == "1,3" and headers.joined("c") is None
    assert "b" in headers and "c" not in headers and len(headers) == 3
    assert list(headers) == [("a", "1"), ("b", "2"), ("a", "3")]
    assert headers.folded() == {"a": "1,3", "b": "2"} and Headers([("a", "1")]).folded() == {"a": "1"}
    assert headers == Headers(list(headers)) and headers != Headers() and headers != "a"


def test_headers_hide_secrets() -> None:
    assert "s3cr3t" not in repr(Headers([("authorization", "s3cr3t"), ("cookie", "s3cr3t")]))
    assert "shown" in repr(Headers([("host", "shown")]))


def test_response_length() -> None:
    assert Response(200, body=b"abc").length == 3 and Response(200, body=Span(None, 5, 7)).length == 7


# --------------------------------------------------------------------------------------------- response heads

RESPONSE_HEADS = {
    "plain": (200, [("ETag", '"x"')], b'HTTP/1.1 200 OK\r\nETag: "x"\r\n\r\n'),
    "no-fields": (204, [], b"HTTP/1.1 204 No Content\r\n\r\n"),
    "unknown-status": (599, [], b"HTTP/1.1 599 \r\n\r\n"),
    "line-end": (200, [("x", "a\r\nSet-Cookie: b\0")], b"HTTP/1.1 200 OK\r\nx: a  Set-Cookie: b \r\n\r\n"),
    "bare-cr": (200, [("x", "a\rb"), ("y\n", "c")], b"HTTP/1.1 200 OK\r\nx: a b\r\ny : c\r\n\r\n"),
    "latin-1": (200, [("x", "\xe9")], b"HTTP/1.1 200 OK\r\nx: \xe9\r\n\r\n"),
    "beyond-latin-1": (200, [("x", "\xe9"), ("y", "\u4e2d")], b"HTTP/1.1 200 OK\r\nx: \xe9\r\ny: \xe4\xb8\xad\r\n\r\n"),
    "surrogate": (200, [("x", "\udc80")], b"HTTP/1.1 200 OK\r\nx: ?\r\n\r\n"),
}


@pytest.mark.parametrize("status, headers, expected", RESPONSE_HEADS.values(), ids=RESPONSE_HEADS)
def test_response_head(status: int, headers: list[tuple[str, str]], expected: bytes) -> None:
    assert response_head(status, headers) == expected


# ---------------------------------------------------------------------------------------------------- framing


def framing(*lines: str) -> Framing:
    return Framing.for_head(parse_head(head(*lines)))


def feed(decoder: Framing, data: bytes) -> bytes:
    return b"".join(bytes(piece) for piece in decoder.feed(memoryview(data)))


def test_no_body() -> None:
    decoder = framing()
    assert decoder.complete and decoder.declared == 0 and decoder.wanted == 0
    assert feed(decoder, b"GET") == b"" and decoder.unused == b"GET"
    decoder.eof()


def test_length() -> None:
    decoder = framing("Content-Length: 5")
    assert decoder.declared == 5 and decoder.wanted == 5 and not decoder.complete
    assert feed(decoder, b"abc") == b"abc" and decoder.wanted == 2
    with pytest.raises(IncompleteBody):
        decoder.eof()
    assert feed(decoder, b"deGET") == b"de" and decoder.complete and decoder.unused == b"GET" and decoder.wanted == 0


CHUNKED = b"3\r\nabc\r\n00a;x=y;z\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, len(CHUNKED)])
def test_chunked(step: int) -> None:
    decoder = framing("Transfer-Encoding: chunked")
    assert decoder.declared is None and decoder.wanted > 0
    data, at = b"", 0
    while not decoder.complete:
        with pytest.raises(IncompleteBody):
            decoder.eof()
        data += feed(decoder, (CHUNKED + b"NEXT")[at : at + step])
        at += step
    assert data == b"abc0123456789" and decoder.unused == (CHUNKED + b"NEXT")[len(CHUNKED) : at]
    decoder.eof()


BAD_CHUNKED = {
    "no-size": b"\r\n",
    "sign": b"+3\r\nabc\r\n",
    "negative": b"-3\r\nabc\r\n",
    "underscore": b"1_0\r\n",
    "prefix": b"0x3\r\nabc\r\n",
    "white-space": b"3 \r\nabc\r\n",
    "white-space-before-extension": b"3 ;x\r\nabc\r\n",
    "huge": b"1" + b"0" * 16 + b"\r\n",
    "bare-lf": b"3\nabc\r\n",
    "bare-cr": b"3\rx\r\nabc\r\n",
    "bare-lf-in-extension": b"3;\nx\r\nabc\r\n",
    "long-line": b"3;" + b"x" * MAX_CHUNK_LINE + b"\r\n",
    "endless-line": b"3;" + b"x" * 2 * MAX_CHUNK_LINE,
    "too-much-data": b"3\r\nabcd\r\n",
    "no-line-end": b"3\r\nabc3\r\nabc\r\n",
    "trailer-no-name": b"0\r\n: x\r\n\r\n",
    "trailer-fold": b"0\r\nx: y\r\n z\r\n\r\n",
    "trailer-nul": b"0\r\nx: \0\r\n\r\n",
    "many-trailers": b"0\r\n" + b"x: y\r\n" * (MAX_TRAILERS + 1) + b"\r\n",
}


@pytest.mark.parametrize("body", BAD_CHUNKED.values(), ids=BAD_CHUNKED)
@pytest.mark.parametrize("step", [1, 1 << 16])
def test_bad_chunked(body: bytes, step: int) -> None:
    decoder = framing("Transfer-Encoding: chunked")
    with pytest.raises(BadRequest):
        for at in range(0, len(body), step):
            decoder.feed(memoryview(body[at : at + step]))


def test_longest_chunk_line() -> None:
    decoder = framing("Transfer-Encoding: chunked")
    assert feed(decoder, b"1;" + b"x" * (MAX_CHUNK_LINE - 2) + b"\r\na\r\n0\r\n\r\n") == b"a" and decoder.complete


def test_a_head_cache_answers_what_it_has_parsed_before() -> None:
    cache = HeadCache(capacity=2, longest=40)
    data = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    first = cache.parse(data)
    assert first == parse_head(data) and cache.parse(bytes(bytearray(data))) is first
    assert cache.parse(data, secure=True).secure
    long = b"GET /a HTTP/1.1\r\nHost: h\r\nX: 1234567890\r\n\r\n"
    assert cache.parse(long) is not cache.parse(long)
    for number in range(3):
        cache.parse(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
    assert cache.parse(data) is not first
    with pytest.raises(BadRequest):
        cache.parse(b"GET /a HTTP/1.1\r\n\r\n")


def test_what_a_head_gives_is_worked_out_once() -> None:
    head = parse_head(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    made = iter(["first", "second"])
    assert [remembered(head, "x", lambda: next(made)) for _ in range(2)] == ["first", "first"]
    assert head == parse_head(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
