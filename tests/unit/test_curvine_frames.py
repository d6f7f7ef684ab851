"""Frames: fields, bounds, errors; any bytes in any pieces are in tests/property/test_frame_splits.py."""

from __future__ import annotations

import pytest

from curvinefs.curvine.frames import (
    COMMON,
    MAX_DATA,
    Frame,
    FrameError,
    Prefix,
    Request,
    decode_error,
    decode_prefix,
    encode,
    encode_error,
    receive,
)

STATUS_REQUEST = bytes.fromhex("00000019 00000007 07 f1 0000000000000002 ffffffff 0a052f6e6f7065")
NOT_FOUND = bytes.fromhex(
    "00000032 00000000 07 11 0000000000000002 ffffffff 000000080000001446696c65202f6e6f7065206e6f7420666f756e6400000000"
)


def whole(data: bytes) -> Frame:
    steps = receive()
    buffer = next(steps)
    try:
        while True:
            piece = data[: len(buffer)]
            buffer[: len(piece)] = piece
            data = data[len(piece) :]
            buffer = steps.send(len(piece))
    except StopIteration as done:
        assert not data
        frame: Frame = done.value
        return frame


def test_request() -> None:
    assert encode(7, Request.RPC, 2, header=b"\x0a\x05/nope") == STATUS_REQUEST
    prefix, header, data = whole(STATUS_REQUEST)
    assert prefix == Prefix(7, 0, 7, 0xF1, 2, -1)
    assert (header, bytes(data), prefix.is_error) == (b"\x0a\x05/nope", b"", False)


def test_error_reply() -> None:
    prefix, header, data = whole(NOT_FOUND)
    assert prefix.is_error and not header
    assert decode_error(data) == (8, "File /nope not found")
    assert encode_error(8, "File /nope not found") == bytes(data)


@pytest.mark.parametrize(
    "data, kind, text",
    [
        (b"", COMMON, ""),
        (b"\0\0", COMMON, "\0\0"),
        (bytes.fromhex("00000008 00000002") + b"ab", 8, "ab"),
        (bytes.fromhex("00000008 00000009") + b"ab", COMMON, None),
        (bytes.fromhex("00000008 00000001 ff"), 8, "\ufffd"),
    ],
    ids=["empty", "short", "no extra", "text cut", "not unicode"],
)
def test_lenient_errors(data: bytes, kind: int, text: str | None) -> None:
    decoded = decode_error(data)
    assert decoded[0] == kind
    assert text is None or decoded[1] == text


@pytest.mark.parametrize(
    "total, header_len",
    [(17, 0), (0, 0), (-1, 0), (18, 1), (18, -1), (18 + MAX_DATA + 1, 0), (2**31 - 1, 2**31 - 20), (18 + 101, 101)],
)
def test_bounds(total: int, header_len: int) -> None:
    prefix = total.to_bytes(4, "big", signed=True) + header_len.to_bytes(4, "big", signed=True) + bytes(14)
    with pytest.raises(FrameError):
        decode_prefix(prefix, max_header=100)


def test_most_data() -> None:
    prefix = decode_prefix(encode(81, 3, 1, 1, data_len=MAX_DATA))
    assert prefix.data_len == MAX_DATA
    with pytest.raises(ValueError):
        encode(81, 3, 1, 1, data_len=MAX_DATA + 1)


def test_status_bytes() -> None:
    for status in (*Request, 0x01, 0x05, 0x11, 0x15, 0xFF):
        assert decode_prefix(encode(1, status, 1)).status == status


def test_data_goes_where_it_should() -> None:
    """A shorter place ends the frame early: the caller reads the rest itself."""
    buffer = memoryview(bytearray(3))
    steps = receive(lambda prefix: buffer)
    sent = encode(81, 3, 1, 1, data_len=5) + b"hello"
    view = next(steps)
    with pytest.raises(StopIteration) as done:
        while True:
            count = len(view)
            view[:] = sent[:count]
            sent = sent[count:]
            view = steps.send(count)
    assert bytes(done.value.value.data) == b"hel" == bytes(buffer)
    assert sent == b"lo"
