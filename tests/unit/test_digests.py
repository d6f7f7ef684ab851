"""Digests against known values, inline and in lanes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3server.digests import Digests, LaneDigests, hasher

CHECK = memoryview(b"123456789")
KNOWN = {  # of "123456789": the check values of the CRC catalogue, RFC 1321, FIPS 180, the blake3 package's own vector
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "blake3": "b7d65b48420d1033cb2595293263b6f72eabee20d55e699d0df1973b3c9deed1",
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(name: str) -> None:
    whole, pieces = hasher(name), hasher(name)
    whole.update(CHECK)
    for at in range(len(CHECK)):
        pieces.update(CHECK[at : at + 1])
    assert whole.digest().hex() == pieces.digest().hex() == KNOWN[name]


def test_unknown_names_are_defects() -> None:
    with pytest.raises(KeyError):
        hasher("md4")


@pytest.mark.parametrize("names", [(), ("md5",), tuple(KNOWN)], ids=["none", "one", "all"])
def test_lanes_give_what_inline_gives(names: tuple[str, ...]) -> None:
    data = bytes(range(256)) * 4000
    inline, begun = Digests(names), Digests(names)
    inline.update(memoryview(data))
    begun.update(memoryview(data)[:1000])
    buffers = [memoryview(data)[at : at + 50_000] for at in range(1000, len(data), 50_000)]
    done = threading.Semaphore(0)
    with ThreadPoolExecutor(3) as executor:
        lanes = LaneDigests(begun, executor)
        for view in buffers:
            lanes.put([view[:7], view[7:]], lambda: done.release())
        assert lanes.values() == inline.values()
    for _ in buffers:
        assert done.acquire(blocking=False), "each buffer is given back, before the values are"
    assert not done.acquire(blocking=False)
