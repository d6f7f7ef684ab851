"""Takes a request body from its source to where it waits for publication, hashing it on the way.

    source.fill(buffer) ─► pieces ─► decoder.feed ─► slices ─► spool.write
                                                       └────► digests

Small bodies run through one reused buffer per thread and are hashed between two receives.  Large ones rotate three
buffers: while one is being filled, digest threads and a writing thread work on the others (tools/bench_stream.py).

Rules: nothing is allocated because of a size that a client declares; a buffer goes back to the pool only when no
digest reads and nobody writes it any more.  The caller owns spool and source.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Protocol

from s3proto.body import Decoder
from s3proto.errors import EntityTooLarge, MaxMessageLengthExceeded, SlowDown
from s3proto.form import FormDecoder
from s3proto.model import Document, Received
from s3server.digests import Digests, LaneDigests
from s3server.spool import MemoryBudget, Spool

SMALL_BUFFER = 256 * 1024
LARGE_BUFFER = 1024 * 1024
LARGE_AFTER = 2 * SMALL_BUFFER
"""Bytes of a body after which it is worth three large buffers and two digest threads."""
ROTATING = 3
FORM_PIECE = 16 * 1024
"""Bytes that are received at a time while the fields of a form come: what is more than these must be kept."""
FREE_DOCUMENT = 64 * 1024
"""Bytes of a document that need no leave from the memory budget."""


class BodySource(Protocol):
    """The raw bytes of one request body, transport framing removed."""

    @property
    def complete(self) -> bool:
        """True when the body has ended."""

    def begin(self) -> Sequence[memoryview]:
        """Ask the client for its body (100 Continue) and answer what has come already."""

    def fill(self, buffer: memoryview) -> tuple[int, Sequence[memoryview]]:
        """Receive into ``buffer``: answers the number of its bytes used, and the slices of it that are body.

        Raises IncompleteBody when the stream ends too early, RequestTimeout, BadRequest.
        """


class BufferPool:
    """Large buffers of a process: at most ``count`` exist, the others do with a small one.  Thread-safe."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._free: list[bytearray] = []
        self._lock = threading.Lock()
        self._local = threading.local()

    def small(self) -> memoryview:
        """The calling thread's own buffer; valid until the thread's next body."""
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = memoryview(bytearray(SMALL_BUFFER))
        return buffer

    def take(self, count: int) -> list[bytearray] | None:
        """``count`` buffers of LARGE_BUFFER bytes, or None when there are not so many; to be given back."""
        with self._lock:
            if len(self._free) + self._left < count:
                return None
            taken = [self._free.pop() for _ in range(min(count, len(self._free)))]
            self._left -= count - len(taken)
        return taken + [bytearray(LARGE_BUFFER) for _ in range(count - len(taken))]

    def give_back(self, buffers: Sequence[bytearray]) -> None:
        with self._lock:
            self._free.extend(buffers)


class Receiver:
    """What all bodies of a process share."""

    def __init__(self, pool: BufferPool, executor: Executor, budget: MemoryBudget, writers: Executor) -> None:
        """``executor`` hashes; ``writers`` has a thread for each body that ``pool`` has large buffers for."""
        self._pool = pool
        self._executor = executor
        self._budget = budget
        self._writers = writers

    def form(self, source: BodySource, decoder: FormDecoder) -> None:
        """Receive the fields of a form; ``body`` goes on with the file.  Raises what source and decoder raise."""
        buffer = self._pool.small()[:FORM_PIECE]
        pieces = source.begin()
        while True:
            for piece in pieces:
                decoder.feed(piece)
            if decoder.complete:
                return
            if source.complete:
                return decoder.finish()
            pieces = source.fill(buffer)[1]

    def body(
        self,
        source: BodySource,
        decoder: Decoder,
        names: Sequence[str],
        spool: Spool,
        limit: int,
        begun: bytes = b"",
    ) -> Received:
        """Receive a whole body into ``spool``, with the digests ``names`` (and spool.blake3).

        ``begun`` goes through the decoder before all that the source gives.  Raises EntityTooLarge past ``limit``
        bytes, what decoder and source raise, and the sink's S3Errors.
        """
        if (decoder.expected_size or 0) > limit:
            raise EntityTooLarge(MaxSizeAllowed=limit)
        digests = Digests((*names, "blake3"))
        for piece in (memoryview(begun), *source.begin()) if begun else source.begin():
            _write(_slices(decoder, piece), spool, limit, digests)
        if not source.complete:
            buffer = self._pool.small()
            expected = decoder.expected_size
            while not source.complete:
                for piece in source.fill(buffer)[1]:
                    _write(_slices(decoder, piece), spool, limit, digests)
                if spool.size >= LARGE_AFTER and (expected is None or expected - spool.size >= LARGE_BUFFER):
                    buffers = self._pool.take(ROTATING)
                    if buffers is not None:
                        values = self._rotate(source, decoder, spool, limit, digests, buffers)
                        break
            else:
                values = digests.values()
        else:
            values = digests.values()
        decoder.finish()
        spool.blake3 = values.pop("blake3")
        return Received(spool, spool.size, values)

    def _rotate(
        self,
        source: BodySource,
        decoder: Decoder,
        spool: Spool,
        limit: int,
        begun: Digests,
        buffers: list[bytearray],
    ) -> dict[str, bytes]:
        """Receive the rest of a large body; hashing goes on in other threads."""
        writing = _Writing(spool)
        lanes = LaneDigests(begun, self._executor, beside=(writing, self._writers))
        size = spool.size
        free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        for buffer in buffers:
            free.put(buffer)
        try:
            while not source.complete:
                buffer = free.get()  # one comes back: digests wait for nobody, writing no longer than the store
                slices: list[memoryview] = []
                for piece in _filled(source, memoryview(buffer)):
                    slices += _slices(decoder, piece)
                size += sum(map(len, slices))
                if size > limit:
                    raise EntityTooLarge(MaxSizeAllowed=limit)
                writing.check()
                lanes.put(slices, lambda buffer=buffer: free.put(buffer))  # type: ignore[misc]
            values = lanes.values()
            writing.check()
            return values
        finally:
            lanes.wait()
            self._pool.give_back(buffers)

    def document(
        self, source: BodySource, decoder: Decoder, names: Sequence[str], limit: int, opened: ExitStack
    ) -> Document:
        """Receive a whole small body into memory.

        What it takes of the memory budget it keeps until ``opened`` is closed: a parsed document is larger than its
        text, and a hundred at a time would be too much.  Raises MaxMessageLengthExceeded past ``limit`` bytes,
        SlowDown when the memory budget is spent, and what decoder and source raise.
        """
        expected = decoder.expected_size or 0
        if expected > limit:
            raise MaxMessageLengthExceeded(MaxMessageLengthBytes=limit)
        data = bytearray()
        digests = Digests(names)
        taken = 0
        opened.callback(lambda: self._budget.give_back(taken))
        pieces = source.begin()
        while True:
            for piece in pieces:
                for each in _slices(decoder, piece):
                    digests.update(each)
                    data += each
            if len(data) > limit:
                raise MaxMessageLengthExceeded(MaxMessageLengthBytes=limit)
            if len(data) > FREE_DOCUMENT + taken:
                if not self._budget.take(len(data) - taken):
                    raise SlowDown()
                taken = len(data)
            if source.complete:
                break
            pieces = source.fill(self._pool.small())[1]
        decoder.finish()
        return Document(bytes(data), digests.values())


class _Writing:
    """Writes a body's pieces to its spool, in the order they come; what goes wrong is kept for who receives."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._error: Exception | None = None

    def update(self, data: memoryview) -> None:
        if self._error is None:
            try:
                self._spool.write(data)
            except Exception as error:  # whatever it is, it is raised again where the request is worked on
                self._error = error

    def check(self) -> None:
        """Raise what writing raised."""
        if self._error is not None:
            raise self._error


def _filled(source: BodySource, view: memoryview) -> list[memoryview]:
    """Fill a buffer, or take the rest of the body; answers what of it is body, in as few pieces as can be.

    A piece costs calls all the way down: to hash, to keep, to send.
    """
    pieces: list[memoryview] = []
    begun = at = 0
    while at < len(view) and not source.complete:
        used, found = source.fill(view[at:])
        if len(found) != 1 or len(found[0]) != used:  # there is framing in it
            pieces += [view[begun:at], *found] if at > begun else found
            begun = at + used
        at += used
    return [*pieces, view[begun:at]] if at > begun else pieces


def _slices(decoder: Decoder, piece: memoryview) -> list[memoryview]:
    return without_slivers(decoder.feed(piece), len(piece))


def without_slivers(pieces: list[memoryview], size: int) -> list[memoryview]:
    """Join pieces of ``size`` bytes if they are small: each costs a client 6 bytes to make, and all that follows."""
    if len(pieces) > 16 and size < len(pieces) * 4096:
        return [memoryview(b"".join(pieces))]
    return pieces


def _write(slices: Sequence[memoryview], spool: Spool, limit: int, digests: Digests) -> None:
    for each in slices:
        spool.write(each)
        digests.update(each)
    if spool.size > limit:
        raise EntityTooLarge(MaxSizeAllowed=limit)
