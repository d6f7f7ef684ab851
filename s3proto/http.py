"""HTTP/1.1 values of one exchange, the strict parser of a request head, and where its body ends.

Rules: values and pure decoders only, no sockets.  Header names are lower-case once parsed and written with AWS's
casing in a Response.  Nothing is percent-decoded here: signatures and keys need the target exactly as it was sent.
What two readers of a head could understand differently (and so disagree where a request ends) is refused, never
repaired: bare LF, folded lines, two lengths, a length beside chunked.

Header values are latin-1 text, one character per byte sent; whoever expects UTF-8 in one decodes it.
Follows RFC 9112 (message syntax), RFC 9110 (fields).  The dates of both are in ``s3proto.dates``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, TypeVar

from s3proto.dates import http_date, iso_date, parse_http_date, parse_iso
from s3proto.errors import (
    BadRequest,
    HTTPVersionNotSupported,
    IncompleteBody,
    RequestHeaderSectionTooLarge,
    RequestNotImplemented,
    URITooLong,
)

__all__ = [
    "Framing",
    "HeadCache",
    "Headers",
    "RequestHead",
    "Response",
    "SECRET_HEADERS",
    "Span",
    "http_date",
    "iso_date",
    "parse_head",
    "parse_http_date",
    "parse_iso",
    "remembered",
    "response_head",
]

T = TypeVar("T")

MAX_HEAD = 32 * 1024
"""Bytes of a request line and its header fields, blank line included."""
MAX_TARGET = 16 * 1024
"""Bytes of a target: a key, a prefix and a marker of 1024 bytes, all percent-encoded, and a signature."""
MAX_FIELDS = 100
"""Header fields of one head."""


class Headers:
    """Request header fields: lower-case names, values without surrounding white space, order kept."""

    __slots__ = ("_items", "_first")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        """``items``: (lower-case name, value) in the order received; repeated names allowed."""
        self._items: list[tuple[str, str]] = list(items)
        self._first: dict[str, str] = dict(reversed(self._items))

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of ``name`` (lower-case), or ``default``."""
        return self._first.get(name, default)

    def all(self, name: str) -> list[str]:
        """Return every value of ``name`` in order."""
        return [v for n, v in self._items if n == name] if name in self._first else []

    def joined(self, name: str) -> str | None:
        """Return all values joined by a comma (RFC 9110 5.3), or None when absent."""
        values = self.all(name)
        return ",".join(values) if values else None

    def folded(self) -> dict[str, str]:
        """Return every name once, its values joined by commas, in order of first appearance."""
        if len(self._first) == len(self._items):
            return dict(self._items)
        values: dict[str, list[str]] = {}
        for name, value in self._items:
            values.setdefault(name, []).append(value)
        return {name: ",".join(several) for name, several in values.items()}

    def has_any(self, names: frozenset[str]) -> bool:
        """Tell whether one of these lower-case names was sent."""
        return not names.isdisjoint(self._first)

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __repr__(self) -> str:
        shown = [(n, "..." if n in SECRET_HEADERS else v) for n, v in self._items]
        return f"Headers({shown!r})"


SECRET_HEADERS = frozenset({"authorization", "x-amz-security-token", "cookie"})
"""Never shown in a repr or a log line."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request line and its header fields, syntactically valid."""

    method: str
    target: str
    """Origin form exactly as sent, latin-1 decoded: raw path, then optional ``?`` and raw query."""
    headers: Headers
    version: tuple[int, int] = (1, 1)
    """(1, 0) or (1, 1)."""
    secure: bool = False
    """True when the request came over TLS."""
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What was worked out of this head alone, by whoever did (``remembered``): a HeadCache hands out a head again."""

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of an opened object, to be sent by the driver; the core never touches its bytes."""

    content: Any
    """Opaque handle out of OpenedObject.content; closed by the driver, never by the core."""
    first: int
    """Offset of the first byte."""
    length: int
    """Number of bytes; 0 is allowed."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is to be sent.  The driver adds Date, Server, Connection, request ids and Content-Length."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    """AWS's casing.  For a HEAD response the core sets Content-Length itself where it differs from the body."""
    body: bytes | Span = b""
    error_code: str | None = None
    """S3 error code for the access log, None on success."""

    @property
    def length(self) -> int:
        """Number of body bytes."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


# ------------------------------------------------------------------------------------------ request heads

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONTROLS = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"
_NOT_CONTROLS = bytes(byte for byte in range(256) if byte not in _CONTROLS)
"""Everything a head may hold besides its line ends; HTAB is white space in values."""
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?")
_VERSIONS = {"HTTP/1.1": (1, 1), "HTTP/1.0": (1, 0)}
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_token(text: str) -> bool:
    """Tell whether ``text`` is a token (RFC 9110 5.6.2): a method, a field name."""
    return text != "" and text.isascii() and not text.encode("ascii").translate(None, _TOKEN)


def parse_head(data: bytes, *, secure: bool = False) -> RequestHead:
    """Parse one head, ``data`` ending with its blank line.

    One empty line before the request line is skipped (RFC 9112 2.2).  Raises BadRequest, URITooLong,
    RequestHeaderSectionTooLarge, RequestNotImplemented (a transfer coding), HTTPVersionNotSupported.
    """
    if len(data) > MAX_HEAD:
        raise RequestHeaderSectionTooLarge(MaxSizeAllowed=MAX_HEAD)
    if data.startswith(b"\r\n"):
        data = data[2:]
    lines = data.decode("latin-1").split("\r\n")
    # Every CR, LF, NUL ... in the head, and nothing but them: exactly one CRLF for each split, or one is a stray.
    if len(data.translate(None, _NOT_CONTROLS)) != 2 * (len(lines) - 1):
        raise BadRequest("The request head contains a control character.")
    if lines[-2:] != ["", ""] or "" in lines[:-2]:
        raise BadRequest("The request head does not end with its first blank line.")
    if len(lines) - 3 > MAX_FIELDS:
        raise RequestHeaderSectionTooLarge(f"The request has more than {MAX_FIELDS} header fields.")

    names: list[str] = []
    items: list[tuple[str, str]] = []
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        if not (name and colon):
            raise BadRequest("A header line has no name.")
        name = name.lower()
        names.append(name)
        items.append((name, value.strip(" \t")))  # strip() alone would eat latin-1 white space: half of a UTF-8 letter
    # All names at once; a folded line or a space before the colon shows as a space in a name.
    if "".join(names).encode("latin-1").translate(None, _TOKEN):
        raise BadRequest("A header name contains an illegal character.")

    method, target, version = _request_line(lines[0])
    headers = Headers(items)
    _check_framing_fields(names, headers, version)
    host = _host(names, headers, version)
    if not target.startswith("/"):
        target, authority = _reduce(target, host)
        if host is None:
            headers = Headers([*items, ("host", authority)])
    return RequestHead(method, target, headers, version, secure)


def _request_line(line: str) -> tuple[str, str, tuple[int, int]]:
    words = line.split(" ")
    if len(words) != 3 or "\t" in line:
        raise BadRequest("The request line is malformed.")
    method, target, name = words
    version = _VERSIONS.get(name)
    if version is None:
        if not _VERSION.fullmatch(name):
            raise BadRequest("The request line is malformed.")
        if name[5] != "1":
            raise HTTPVersionNotSupported()
        version = (1, 1)  # RFC 9110 2.5: a higher minor version is answered as our highest
    if len(target) > MAX_TARGET:
        raise URITooLong()
    if not is_token(method) or not target or "#" in target:
        raise BadRequest("The request line is malformed.")
    if method == "CONNECT":
        raise BadRequest("CONNECT is not supported.")
    return method, target, version


def _check_framing_fields(names: list[str], headers: Headers, version: tuple[int, int]) -> None:
    """Refuse every head whose body could end at two places."""
    length = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if length is not None:
        if names.count("content-length") > 1 or not (length.isascii() and length.isdigit()) or len(length) > 19:
            raise BadRequest("The Content-Length header is not valid.")
        if coding is not None:
            raise BadRequest("Content-Length and Transfer-Encoding exclude each other.")
    if coding is not None:
        if version == (1, 0):
            raise BadRequest("Transfer-Encoding needs HTTP/1.1.")
        if coding.lower() != "chunked" or names.count("transfer-encoding") > 1:
            raise RequestNotImplemented("The only transfer coding supported is chunked.", Header="Transfer-Encoding")


def _host(names: list[str], headers: Headers, version: tuple[int, int]) -> str | None:
    host = headers.get("host")
    if host is None:
        if version == (1, 0):
            return None
        raise BadRequest("The Host header is missing.")
    if names.count("host") > 1 or not _HOST.fullmatch(host):
        raise BadRequest("The Host header is not valid.")
    return host


def _reduce(target: str, host: str | None) -> tuple[str, str]:
    """Turn ``http://authority/path?query`` into its origin form and the authority, which must be ``host``."""
    scheme, separator, rest = target.partition("://")
    scheme = scheme.lower()
    authority, query_mark, query = rest.partition("?")
    authority, slash, path = authority.partition("/")
    if not separator or scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(authority):
        raise BadRequest("The request target is not valid.")
    port = _DEFAULT_PORTS[scheme]
    if host is not None and authority.lower().removesuffix(port) != host.lower().removesuffix(port):
        raise BadRequest("The request target and the Host header name different hosts.")
    return f"/{path}{query_mark}{query}", authority


class HeadCache:
    """Parses heads, and answers a head that was seen lately with the RequestHead that it gave then.

    Clients that load the same presigned URL again, or the same object several times a second, send the same bytes:
    then all that follows from them alone (``RequestHead.memo``) is known already.  For one server with one Settings.
    """

    def __init__(self, capacity: int = 1024, longest: int = 2048) -> None:
        """``capacity`` heads of up to ``longest`` bytes are kept."""
        self._capacity, self._longest = capacity, longest
        self._seen: dict[bytes, RequestHead] = {}

    def parse(self, data: bytes, *, secure: bool = False) -> RequestHead:
        """As parse_head.  ``secure`` must be the same for the same cache and bytes, as it is on one port."""
        head = self._seen.get(data)
        if head is None or head.secure != secure:
            head = parse_head(data, secure=secure)
            if len(data) <= self._longest:
                if len(self._seen) >= self._capacity:
                    self._seen = {}  # cheaper than an order of use, and as good for what repeats
                self._seen[data] = head
        return head


def remembered(head: RequestHead, what: str, make: Callable[[], T]) -> T:
    """Answer what ``make`` makes of this head alone; what it raises is not remembered."""
    value: T | None = head.memo.get(what)
    if value is None:
        value = head.memo[what] = make()
    return value


# ----------------------------------------------------------------------------------------- response heads

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}
_BREAKS = str.maketrans("\r\n\0", "   ")


def response_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a status line and header fields with the blank line.

    No value can end its line: CR, LF and NUL become spaces.  Characters beyond latin-1 are sent as UTF-8.
    """
    lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} "]
    lines += [f"{name}: {value}" for name, value in headers]
    text = "\r\n".join(lines)
    if not text.count("\n") == text.count("\r") == len(lines) - 1 or "\0" in text:
        text = "\r\n".join([line.translate(_BREAKS) for line in lines])
    try:
        return text.encode("latin-1") + b"\r\n\r\n"
    except UnicodeEncodeError:
        return b"\r\n".join([_encode(line) for line in text.split("\r\n")]) + b"\r\n\r\n"


def _encode(line: str) -> bytes:
    try:
        return line.encode("latin-1")
    except UnicodeEncodeError:
        return line.encode("utf-8", "replace")


# ------------------------------------------------------------------------------------- where a body ends

MAX_CHUNK_LINE = 1024
"""Bytes of a chunk-size line with its extensions, or of a trailer line, without CRLF."""
MAX_TRAILERS = 32
"""Lines of a trailer section."""
CHUNKED_READ = 64 * 1024
"""Bytes worth reading at once while the end of the body is unknown."""

_HEX_DIGITS = b"0123456789abcdefABCDEF"


class LineCollector:
    """Cut a line of bounded length out of pieces; copies nothing but the line."""

    __slots__ = ("_limit", "_held")

    def __init__(self, limit: int = MAX_CHUNK_LINE) -> None:
        """``limit``: bytes of a line at most, without its CRLF."""
        self._limit = limit
        self._held = b""

    @property
    def begun(self) -> bool:
        """True when a part of a line has come."""
        return self._held != b""

    def take(self, data: memoryview, first: int) -> tuple[int, bytes | None]:
        """Read from offset ``first``; answers the offset after what was taken, and the line once it is whole.

        Raises BadRequest when the limit is passed.
        """
        held = self._held
        joined = held + data[first : first + self._limit + 2 - len(held)]
        end = joined.find(b"\r\n")
        if end >= 0:
            self._held = b""
            return first + end + 2 - len(held), joined[:end]
        if len(joined) >= self._limit + 2:
            raise BadRequest("A line of the request body is too long.")
        self._held = joined
        return first + len(joined) - len(held), None


def chunk_size(text: bytes) -> int | None:
    """Return the value of 1 to 16 hexadecimal digits, None for anything else (signs, spaces, underscores)."""
    if not 0 < len(text) <= 16 or text.translate(None, _HEX_DIGITS):
        return None
    return int(text, 16)


class _Expect(Enum):
    SIZE = "a chunk-size line"
    DATA = "bytes of the body"
    DATA_END = "the line end after a chunk"
    TRAILER = "a trailer line or the last, empty line"
    NOTHING = "nothing: the body is complete"


class Framing:
    """Cut one request's body out of the byte stream of its connection.

    feed* ... until ``complete``; ``eof`` when the stream ends before.  Memory use is constant.
    """

    __slots__ = ("declared", "unused", "_expect", "_left", "_line", "_chunked", "_trailers")

    def __init__(self, *, length: int = 0, chunked: bool = False) -> None:
        self.declared: int | None = None if chunked else length
        """Bytes of the body in all, None while only its end will tell."""
        self.unused = b""
        """What the last feed held beyond the body: the beginning of the next request."""
        self._chunked = chunked
        self._left = length
        self._line = LineCollector()
        self._trailers = 0
        self._expect = _Expect.SIZE if chunked else _Expect.DATA if length else _Expect.NOTHING

    @classmethod
    def for_head(cls, head: RequestHead) -> Framing:
        """Return the framing that a parsed head declares; without a declaration there is no body."""
        if "transfer-encoding" in head.headers:
            return cls(chunked=True)
        return cls(length=int(head.headers.get("content-length", "0") or "0"))

    @property
    def complete(self) -> bool:
        return self._expect is _Expect.NOTHING

    @property
    def wanted(self) -> int:
        """Bytes to read next at most; exact for a declared length, so that nothing of the next request is taken."""
        if self._expect is _Expect.NOTHING:
            return 0
        return CHUNKED_READ if self._chunked else self._left

    def feed(self, data: memoryview) -> list[memoryview]:
        """Take the next bytes of the connection; answers slices of ``data`` that are body.  Raises BadRequest."""
        pieces: list[memoryview] = []
        at, end = 0, len(data)
        while at < end and self._expect is not _Expect.NOTHING:
            if self._expect is _Expect.DATA:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if not self._left:
                    self._expect = _Expect.DATA_END if self._chunked else _Expect.NOTHING
            else:
                at, line = self._line.take(data, at)
                if line is not None:
                    self._take_line(line)
        self.unused = bytes(data[at:])
        return pieces

    def _take_line(self, line: bytes) -> None:
        if line.translate(None, _NOT_CONTROLS):
            raise BadRequest("The chunked body contains a control character.")
        match self._expect:
            case _Expect.SIZE:
                size = chunk_size(line.partition(b";")[0])
                if size is None:
                    raise BadRequest("A chunk size of the request body is not valid.")
                self._left = size
                self._expect = _Expect.DATA if size else _Expect.TRAILER
            case _Expect.DATA_END:
                if line:
                    raise BadRequest("A chunk of the request body is longer than its size.")
                self._expect = _Expect.SIZE
            case _ if not line:
                self._expect = _Expect.NOTHING
            case _:
                # S3 has no use for transport trailers (its own are inside aws-chunked): checked and dropped.
                self._trailers += 1
                if self._trailers > MAX_TRAILERS or not is_token(line.partition(b":")[0].decode("latin-1")):
                    raise BadRequest("The trailer section of the request body is not valid.")

    def eof(self) -> None:
        """The connection has ended.  Raises IncompleteBody unless the body is complete."""
        if not self.complete:
            raise IncompleteBody()
