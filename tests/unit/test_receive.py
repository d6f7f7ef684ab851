"""Receiving bodies from a scripted source: small, large, without buffers, and what goes wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from blake3 import blake3

from s3proto.body import PlainDecoder
from s3proto.errors import (
    EntityTooLarge,
    IncompleteBody,
    MalformedPOSTRequest,
    MaxMessageLengthExceeded,
    MaxPostPreDataLengthExceededError,
    SlowDown,
    StorageFull,
)
from s3proto.form import FileDecoder, FormDecoder
from s3server.receive import FORM_PIECE, FREE_DOCUMENT, LARGE_BUFFER, ROTATING, BufferPool, Receiver
from s3server.spool import MemoryBudget, Spool
from tests.form_kit import BOUNDARY, encode
from tests.server.toy import ToySink, content_of


class Source:
    """Gives ``ahead`` at once, and the rest of ``data`` as the receiver asks; ends early after ``stop`` bytes.

    With ``framing`` now and then something that is not body stands before a piece.
    """

    def __init__(self, data: bytes, ahead: int = 0, stop: int | None = None, framing: bytes = b"") -> None:
        self._data, self._at, self._ahead, self._stop, self._framing = data, 0, ahead, stop, framing

    @property
    def complete(self) -> bool:
        return self._at == len(self._data)

    def begin(self) -> Sequence[memoryview]:
        begun, self._at = self._at, max(self._at, self._ahead)  # a form's body is begun twice
        return [memoryview(self._data)[begun : self._at]]

    def fill(self, buffer: memoryview) -> tuple[int, Sequence[memoryview]]:
        framing = self._framing if self._at % 3 else b""
        framing = framing[: len(buffer) - 1]
        piece = self._data[self._at : self._at + min(len(buffer) - len(framing), 100_000)]
        self._at += len(piece)
        if self._stop is not None and self._at > self._stop:
            raise IncompleteBody()
        used = len(framing) + len(piece)
        buffer[:used] = framing + piece
        return used, [buffer[len(framing) : used]]


def receiver(pool: BufferPool, budget: MemoryBudget | None = None) -> Receiver:
    return Receiver(pool, ThreadPoolExecutor(2), budget or MemoryBudget(1 << 30), ThreadPoolExecutor(1))


@pytest.mark.parametrize("buffers", [0, ROTATING], ids=["small buffer", "rotating"])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("framing", [b"", b"\r\n9\r\n"])
@pytest.mark.parametrize("size", [0, 1, 500_000, 7_000_001])
def test_bodies(size: int, framing: bytes, declared: bool, buffers: int) -> None:
    data = content_of(size)
    sink = ToySink()
    pool = BufferPool(buffers)
    decoder = PlainDecoder(size if declared else None)
    spool = Spool(lambda: sink, MemoryBudget(1 << 30), 600_000, decoder.expected_size)
    received = receiver(pool).body(Source(data, size // 10, framing=framing), decoder, ("md5", "crc32"), spool, size)
    assert received.size == size and received.content is spool
    assert received.digests.keys() == {"md5", "crc32"} and received.digests["md5"] == hashlib.md5(data).digest()
    assert spool.blake3 == blake3(data).digest()
    assert (bytes(sink.data) if spool.sink else b"".join(spool.memory or ())) == data
    taken = pool.take(buffers)
    assert taken is not None and len(taken) == buffers, "all buffers came back"


@pytest.mark.parametrize("size", [5_500_000, 9_000_000, 90_000_000])
def test_what_goes_wrong_while_writing_ends_the_body(size: int) -> None:
    class Full(ToySink):
        def write(self, data: memoryview | bytes) -> None:
            super().write(data)
            if self.size > 5_000_000:
                raise StorageFull()

    pool, sink = BufferPool(ROTATING), Full()
    spool = Spool(lambda: sink, MemoryBudget(1 << 30), 1, size)
    with pytest.raises(StorageFull):
        receiver(pool).body(Source(content_of(size)), PlainDecoder(size), ("md5",), spool, size)
    assert pool.take(ROTATING) is not None and sink.size < 12_000_000


def test_large_bodies_are_passed_on_in_large_pieces() -> None:
    size = 20 * LARGE_BUFFER
    sink = ToySink()
    spool = Spool(lambda: sink, MemoryBudget(1 << 30), 1, size)
    receiver(BufferPool(ROTATING)).body(Source(content_of(size)), PlainDecoder(size), ("md5",), spool, size)
    assert sink.size == size and sink.writes < 20 + 10


@pytest.mark.parametrize("stop", [0, 100, 5_000_000])
def test_buffers_come_back_after_an_error(stop: int) -> None:
    pool = BufferPool(ROTATING)
    spool = Spool(ToySink, MemoryBudget(1 << 30), 1, 9_000_000)
    with pytest.raises(IncompleteBody):
        source = Source(content_of(9_000_000), stop=stop)
        receiver(pool).body(source, PlainDecoder(9_000_000), ("md5",), spool, 1 << 40)
    assert pool.take(ROTATING) is not None


@pytest.mark.parametrize("declared", [True, False])
def test_limits(declared: bool) -> None:
    data = content_of(3_000_000)
    decoder = PlainDecoder(len(data) if declared else None)
    spool = Spool(ToySink, MemoryBudget(1 << 30), 1, None)
    with pytest.raises(EntityTooLarge):
        receiver(BufferPool(3)).body(Source(data), decoder, (), spool, len(data) - 1)
    decoder = PlainDecoder(len(data) if declared else None)
    with pytest.raises(MaxMessageLengthExceeded):
        receiver(BufferPool(3)).document(Source(data), decoder, (), len(data) - 1, ExitStack())


def test_documents_share_the_memory_budget() -> None:
    budget = MemoryBudget(200_000)
    everything = receiver(BufferPool(0), budget)
    with ExitStack() as opened:
        document = everything.document(Source(content_of(150_000)), PlainDecoder(150_000), ("md5",), 1 << 20, opened)
        assert document.data == content_of(150_000) and document.digests["md5"] == hashlib.md5(document.data).digest()
        assert budget.used >= 150_000 - FREE_DOCUMENT, "it is about to be parsed"
    assert budget.used == 0
    with pytest.raises(SlowDown), ExitStack() as opened:
        everything.document(Source(content_of(400_000)), PlainDecoder(400_000), (), 1 << 20, opened)
    assert budget.used == 0
    assert budget.take(200_000)
    with ExitStack() as opened:
        small = everything.document(Source(content_of(FREE_DOCUMENT)), PlainDecoder(None), (), 1 << 20, opened)
    assert len(small.data) == FREE_DOCUMENT


@pytest.mark.parametrize("ahead", [0, 100, 10_000])
@pytest.mark.parametrize("framing", [b"", b"\r\n9\r\n"])
@pytest.mark.parametrize("size", [0, 1, 500_000, 7_000_001])
def test_forms(size: int, framing: bytes, ahead: int) -> None:
    """Fields first, then the file: of it comes along what one receive brings, and that is not lost."""
    file, sink, everything = content_of(size), ToySink(), receiver(BufferPool(ROTATING))
    body = encode({"key": "k"}, file)
    source, form = Source(body, min(ahead, len(body)), framing=framing), FormDecoder(BOUNDARY.encode())
    everything.form(source, form)
    assert form.fields == {"key": "k"} and len(form.begun) <= FORM_PIECE
    spool = Spool(lambda: sink, MemoryBudget(1 << 30), 600_000, None)
    received = everything.body(source, FileDecoder(form.boundary), ("md5",), spool, size, form.begun)
    assert received.size == size and received.digests == {"md5": hashlib.md5(file).digest()}
    assert spool.blake3 == blake3(file).digest()
    assert (bytes(sink.data) if spool.sink else b"".join(spool.memory or ())) == file


@pytest.mark.parametrize(
    ("body", "error"), [(b"x" * 100, MalformedPOSTRequest), (b"x" * 10**6, MaxPostPreDataLengthExceededError)]
)
def test_forms_without_a_file(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        receiver(BufferPool(0)).form(Source(body), FormDecoder(b"b"))


def test_a_file_of_a_form_that_is_too_large() -> None:
    body, sink = encode({}, content_of(9_000_000)), ToySink()
    source, form, everything = Source(body), FormDecoder(BOUNDARY.encode()), receiver(BufferPool(ROTATING))
    everything.form(source, form)
    spool = Spool(lambda: sink, MemoryBudget(1 << 30), 1, None)
    with pytest.raises(EntityTooLarge):
        everything.body(source, FileDecoder(form.boundary), ("md5",), spool, 5_000_000, form.begun)
    assert sink.size < 5_000_000 + 2 * LARGE_BUFFER


def test_the_pool_makes_no_more_buffers_than_it_may() -> None:
    pool = BufferPool(4)
    first = pool.take(3)
    assert first is not None and pool.take(2) is None
    assert {len(buffer) for buffer in first} == {LARGE_BUFFER}
    pool.give_back(first)
    again = pool.take(4)
    assert again is not None and sum(any(one is buffer for buffer in first) for one in again) == 3
    assert pool.small() is pool.small()
