"""Any bytes are a head or one S3Error; a body ends at the same byte however it arrives."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from s3proto.dates import http_date, iso_date, parse_http_date, parse_iso
from s3proto.errors import S3Error
from s3proto.http import Framing, Headers, RequestHead, parse_head, response_head
from tests.strategies import TOKEN, VALUES, changed, splits

RESERVED = {"host", "content-length", "transfer-encoding"}
FIELDS = st.lists(st.tuples(TOKEN.filter(lambda name: name not in RESERVED), VALUES), max_size=8)
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="#\x7f"), max_size=30)
HEAD = (
    b"PUT /b/k?x=y HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n"
    b"Authorization: AWS a:b\r\nX-Amz-Date: 20130524T000000Z\r\n\r\n"
)


@given(st.binary(max_size=200) | changed(HEAD) | changed(HEAD.replace(b"Transfer-Encoding: chunked\r\n", b"")))
@settings(max_examples=300)
def test_any_bytes_are_a_head_or_an_error(data: bytes) -> None:
    try:
        head = parse_head(data)
    except S3Error:
        return
    assert head.target.startswith("/") and " " not in head.target and head.version in ((1, 0), (1, 1))
    assert all(name == name.lower() and not set("\r\n\0") & set(name + value) for name, value in head.headers)
    Framing.for_head(head)


@given(TOKEN.filter(str.isalpha), TARGETS, FIELDS)
def test_what_was_sent_is_what_is_parsed(method: str, target: str, fields: list[tuple[str, str]]) -> None:
    fields = [("host", "h"), *fields]
    lines = [f"{method.upper()} /{target} HTTP/1.1", *(f"{name.upper()}: {value}" for name, value in fields)]
    head = parse_head("\r\n".join([*lines, "", ""]).encode("latin-1"))
    assert head == RequestHead(method.upper(), f"/{target}", Headers(fields))


@given(st.integers(100, 599), st.lists(st.tuples(TOKEN, st.text(max_size=20)), max_size=6))
def test_a_response_head_has_one_line_per_field(status: int, fields: list[tuple[str, str]]) -> None:
    data = response_head(status, fields)
    lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert len(lines) == len(fields) + 1 and data.count(b"\n") == data.count(b"\r") == len(lines) + 1
    assert b"\0" not in data


# --------------------------------------------------------------------------------------------------- framing


def take(framing: Framing, pieces: list[bytes]) -> tuple[bytes, bytes, str]:
    """Feed pieces to the end; answers the body, the bytes left over, and the error's name."""
    body, left = b"", b""
    try:
        for piece in pieces:
            if framing.complete:
                left += piece
            else:
                body += b"".join(bytes(part) for part in framing.feed(memoryview(piece)))
                left += framing.unused
        framing.eof()
    except S3Error as error:
        return b"", b"", f"{error.code} {error.detail}"
    return body, left, ""


def chunked(chunks: list[bytes], extension: bytes) -> bytes:
    return b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


CHUNKS = st.lists(st.binary(min_size=1, max_size=20), max_size=5)


@given(CHUNKS, st.sampled_from([b"", b";x", b";x=y"]), st.binary(max_size=10), st.data())
def test_chunked_bodies_round_trip(
    chunks: list[bytes], extension: bytes, following: bytes, data: st.DataObject
) -> None:
    pieces = data.draw(splits(chunked(chunks, extension) + following))
    assert take(Framing(chunked=True), pieces) == (b"".join(chunks), following, "")


@given(st.data())
@settings(max_examples=200)
def test_any_split_gives_the_same(data: st.DataObject) -> None:
    body = data.draw(changed(chunked([b"abc", b"0123456789abcdef"], b";x") + b"NEXT") | st.binary(max_size=30))
    declared = data.draw(st.integers(0, 20))
    for make in (partial(Framing, chunked=True), partial(Framing, length=declared)):
        whole = take(make(), [body])
        assert take(make(), data.draw(splits(body))) == whole
        assert take(make(), [body[at : at + 1] for at in range(len(body))]) == whole


@given(st.integers(0, 50), st.binary(max_size=60))
def test_wanted_never_overreads(length: int, data: bytes) -> None:
    framing = Framing(length=length)
    while framing.wanted and data:
        piece, data = data[: framing.wanted], data[framing.wanted :]
        framing.feed(memoryview(piece))
        assert framing.unused == b""


# ----------------------------------------------------------------------------------------------------- dates

SECONDS = st.integers(0, 253402300799)


@given(SECONDS)
def test_dates_round_trip(seconds: int) -> None:
    assert parse_http_date(http_date(seconds)) == seconds
    assert parse_iso(iso_date(seconds)) == seconds


@given(st.floats(allow_nan=False))
def test_any_time_has_a_date(seconds: float) -> None:
    assert len(http_date(seconds)) == 29 and len(iso_date(seconds)) == 24


NEARLY_DATES = st.from_regex(r"[A-Z][a-z]{2}, \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", fullmatch=True)


@given(st.text(max_size=40) | NEARLY_DATES)
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert parse_http_date(text) is None or isinstance(parse_http_date(text), int)
    assert parse_iso(text) is None or isinstance(parse_iso(text), float)
