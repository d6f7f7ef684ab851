"""HTTP/1.1 values of one exchange, and the strict parser of a request head.

Rules: values only, no sockets.  Header names are lower-case once parsed and written with AWS's casing in a
Response.  Nothing is percent-decoded here: signatures and keys need the target exactly as it was sent.

Follows RFC 9112 (message syntax), RFC 9110 (fields, dates).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


class Headers:
    """Request header fields: lower-case names, values without surrounding white space, order kept."""

    __slots__ = ("_items", "_first")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        """``items``: (lower-case name, value) in the order received; repeated names allowed."""
        self._items: list[tuple[str, str]] = list(items)
        self._first: dict[str, str] = {}
        for name, value in self._items:
            self._first.setdefault(name, value)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of ``name`` (lower-case), or ``default``."""
        return self._first.get(name, default)

    def all(self, name: str) -> list[str]:
        """Return every value of ``name`` in order."""
        return [v for n, v in self._items if n == name]

    def joined(self, name: str) -> str | None:
        """Return all values joined by a comma (RFC 9110 5.3), or None when absent."""
        values = self.all(name)
        return ",".join(values) if values else None

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
