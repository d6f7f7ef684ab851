"""The frames of Curvine's RPC protocol.  Pure: no socket, no clock.

::

    total_size:i32be | header_len:i32be | code:i8 | status:i8 | req_id:i64be | seq_id:i32be | header | data
    total_size counts everything after itself: 18 + len(header) + len(data)

Rules
- Both lengths are bounded before anything is allocated.
- After an error nothing more is read from that peer: the stream has no mark to find the next frame by.
- Data is never copied: ``encode`` gives what goes before it, ``receive`` fills the buffer that the caller chose.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from enum import IntEnum
from typing import NamedTuple

_PREFIX = struct.Struct(">iibbqi")
_ERROR = struct.Struct(">iI")
_COUNTED = _PREFIX.size - 4
"""Bytes of the prefix that total_size counts."""

MAX_DATA = 16 * 2**20
"""Bytes of data in one frame, inclusive; servers drop the connection above it."""
MAX_HEADER = 256 * 2**20
"""Bytes of one header that we take: a listing is one header, and attributes of others may be large."""


class FrameError(Exception):
    """The peer does not speak this protocol, or no longer."""


class Request(IntEnum):
    """Status byte of a request (low nibble; the high one, 0xF, says that it is no reply)."""

    HEARTBEAT = 0xF0
    RPC = 0xF1
    OPEN = 0xF2
    RUNNING = 0xF3
    CANCEL = 0xF4
    COMPLETE = 0xF5


class Prefix(NamedTuple):
    """Everything of a frame but its header and data."""

    header_len: int
    data_len: int
    code: int
    status: int
    """0..255: the request's nibble low, 0 (success), 1 (error) or 0xF (a request) high."""
    req_id: int
    seq_id: int

    @property
    def is_error(self) -> bool:
        return self.status >> 4 == 1


class Frame(NamedTuple):
    prefix: Prefix
    header: bytes
    data: memoryview


def encode(code: int, status: int, req_id: int, seq_id: int = -1, header: bytes = b"", data_len: int = 0) -> bytes:
    """Prefix and header of a frame; ``data_len`` bytes of data (at most MAX_DATA) must follow."""
    if not 0 <= data_len <= MAX_DATA:
        raise ValueError(f"{data_len} bytes do not fit into a frame")
    sign = status - 256 if status > 127 else status
    return _PREFIX.pack(_COUNTED + len(header) + data_len, len(header), code, sign, req_id, seq_id) + header


def decode_prefix(data: bytes | bytearray | memoryview, max_header: int = MAX_HEADER) -> Prefix:
    """Raises FrameError for lengths out of bounds."""
    total, header_len, code, status, req_id, seq_id = _PREFIX.unpack(data)
    data_len = total - _COUNTED - header_len
    if not (0 <= header_len <= max_header and 0 <= data_len <= MAX_DATA):
        raise FrameError(f"a frame of {total} bytes with a header of {header_len}")
    return Prefix(header_len, data_len, code, status & 0xFF, req_id, seq_id)


def allocate(prefix: Prefix) -> memoryview:
    return memoryview(bytearray(prefix.data_len))


def receive(
    place: Callable[[Prefix], memoryview] = allocate, max_header: int = MAX_HEADER
) -> Generator[memoryview, int, Frame]:
    """Read one frame: yields a buffer to be filled and wants to be sent how many bytes (1 or more) came.

    ``place`` gives the buffer for the frame's data: as long as the data, or shorter; then the frame ends where that is
    full and the caller reads the rest from the stream itself.  Nothing is read beyond the frame.  Raises FrameError.
    """
    head = memoryview(bytearray(_PREFIX.size))
    yield from _fill(head)
    prefix = decode_prefix(head, max_header)
    header = b""
    if prefix.header_len:
        buffer = bytearray(prefix.header_len)
        yield from _fill(memoryview(buffer))
        header = bytes(buffer)
    data = place(prefix)[: prefix.data_len]
    yield from _fill(data)
    return Frame(prefix, header, data)


def _fill(buffer: memoryview) -> Generator[memoryview, int, None]:
    while buffer:
        buffer = buffer[(yield buffer):]


def encode_error(kind: int, text: str) -> bytes:
    """The data of an error reply."""
    message = text.encode()
    return _ERROR.pack(kind, len(message)) + message + bytes(4)


def decode_error(data: bytes | bytearray | memoryview) -> tuple[int, str]:
    """Kind and text of an error reply's data; what cannot be decoded is a COMMON error with that text."""
    data = bytes(data)
    try:
        kind, length = _ERROR.unpack_from(data)
    except struct.error:
        return COMMON, data.decode("utf-8", "replace")
    message = data[_ERROR.size : _ERROR.size + length]
    if len(message) < length:
        return COMMON, data.decode("utf-8", "replace")
    return kind, message.decode("utf-8", "replace")


COMMON = 10000
"""The kind of errors that have only a text."""
