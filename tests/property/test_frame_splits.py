"""Frames in any pieces, and anything instead of frames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from curvinefs.curvine.frames import Frame, FrameError, Request, decode_error, encode, encode_error, receive

frames = st.tuples(
    st.integers(-128, 127),
    st.sampled_from([*Request, 0x01, 0x02, 0x13, 0xFF]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.binary(max_size=50),
    st.binary(max_size=300),
)


def read(data: bytes, sizes: list[int]) -> tuple[list[Frame], bytes]:
    """The frames of ``data`` taken in pieces of at most ``sizes`` bytes, and what is left unread of it."""
    found: list[Frame] = []
    number = 0
    while True:
        steps = receive(max_header=1000)
        view = next(steps)
        try:
            while data:
                count = min(len(view), len(data), sizes[number % len(sizes)])
                number += 1
                view[:count] = data[:count]
                data = data[count:]
                view = steps.send(count)
            return found, data
        except StopIteration as done:
            found.append(done.value)
            if not data:
                return found, data


@settings(max_examples=100)
@given(st.lists(frames, max_size=4), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_any_split_gives_the_same_frames(sent: list[tuple[int, int, int, int, bytes, bytes]], sizes: list[int]) -> None:
    data = b"".join(
        encode(code, status, req_id, seq_id, header, len(body)) + body
        for code, status, req_id, seq_id, header, body in sent
    )
    found, rest = read(data, sizes)
    assert not rest
    assert [(p.code, p.status, p.req_id, p.seq_id, header, bytes(body)) for p, header, body in found] == sent


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_anything_gives_frames_or_one_error(data: bytes) -> None:
    try:
        read(data, [7])
    except FrameError:
        pass


@given(st.integers(-(2**31), 2**31 - 1), st.text(max_size=60))
def test_errors_round_trip(kind: int, text: str) -> None:
    assert decode_error(encode_error(kind, text)) == (kind, text)


@given(st.binary(max_size=60))
def test_any_error_data_decodes(data: bytes) -> None:
    kind, text = decode_error(data)
    assert isinstance(kind, int) and isinstance(text, str)
